/* lines.c - see lines.h for the contract. */
#include "worker/lines.h"

#include <string.h>

void lines_init(struct lines *l)
{
    *l = (struct lines){0};
    buf_init(&l->part);
}

void lines_fini(struct lines *l) { buf_fini(&l->part); }

/* Keep the beginning of a line.  False: it is too long, and will be left out. */
static bool keep(struct lines *l, struct span piece)
{
    if (l->skipping)
        return true;                    /* it was told already */
    if (l->part.len + piece.len <= LINE_BYTES_MAX)
        buf_append(&l->part, piece.data, piece.len);
    else
        l->skipping = true;
    l->skipping = l->skipping || l->part.failed;
    if (l->skipping)
        buf_reset(&l->part);
    return !l->skipping;
}

void lines_end(struct lines *l, lines_fn fn, void *ctx)
{
    if (l->part.len > 0)
        fn(ctx, buf_span(&l->part));
    buf_reset(&l->part);
    l->skipping = false;
}

bool lines_add(struct lines *l, struct span data, lines_fn fn, void *ctx)
{
    bool whole = true;
    while (data.len > 0) {
        const uint8_t *end = memchr(data.data, '\n', data.len);
        struct span piece = {data.data, end ? (uint32_t)(end - data.data) : data.len};
        bool alone = end && l->part.len == 0 && !l->skipping && piece.len <= LINE_BYTES_MAX;
        if (!alone)
            whole = keep(l, piece) && whole;
        else
            fn(ctx, piece);             /* it lies here as a whole: no copy */
        if (end && !alone)
            lines_end(l, fn, ctx);
        uint32_t taken = piece.len + (end != NULL);
        data = (struct span){data.data + taken, data.len - taken};
    }
    return whole;
}
