/* fuzz_lines.c - any bytes, in pieces of any size, as the lines of a report socket.
 *
 * What comes out must be what a plain look at the whole input finds, and no more
 * than one line may be kept.  The first byte says how large the pieces are.
 */
#include "fuzz.h"

#include <string.h>

#include "worker/lines.h"

struct expected { const uint8_t *at, *end; };

/* The next line of the whole input that is not too long; false: there is none. */
static bool next_line(struct expected *e, struct span *out)
{
    while (e->at < e->end) {
        const uint8_t *from = e->at, *stop = memchr(from, '\n', (size_t)(e->end - from));
        e->at = stop ? stop + 1 : e->end;
        size_t len = (size_t)((stop ? stop : e->end) - from);
        *out = span_of(from, len);
        if (len <= LINE_BYTES_MAX)
            return true;
    }
    return false;
}

static void on_line(void *ctx, struct span line)
{
    struct span want;
    FUZZ_CHECK(next_line(ctx, &want) && line.len == want.len);
    FUZZ_CHECK(memcmp(line.data, want.data, line.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lines lines;
    if (size < 1 || size > UINT32_MAX)
        return 0;
    /* From a byte at a time to more than any line may have. */
    size_t piece = 1 + (size_t)data[0] * data[0] * 2;
    struct expected e = {data + 1, data + size};
    lines_init(&lines);
    for (size_t at = 1; at < size; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        (void)lines_add(&lines, span_of(data + at, len), on_line, &e);
        FUZZ_CHECK(lines.part.len <= LINE_BYTES_MAX);
    }
    lines_end(&lines, on_line, &e);
    struct span more;
    FUZZ_CHECK(!next_line(&e, &more));
    lines_fini(&lines);
    return 0;
}
