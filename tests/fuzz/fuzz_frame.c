/* fuzz_frame.c - any bytes as one frame.
 *
 * A header that was accepted must describe the frame that it came from, and be
 * written again to the same bytes.
 */
#include "fuzz.h"

#include "core/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > UINT32_MAX)
        return 0;
    struct frame_header header;
    covey_status status = frame_parse(span_of(data, size), &header);
    if (status != COVEY_OK) {
        FUZZ_CHECK(status == COVEY_EPROTO || status == COVEY_EVERSION);
        return 0;
    }
    FUZZ_CHECK(size >= FRAME_HEADER);
    FUZZ_CHECK(size <= FRAME_BYTES_MAX);
    FUZZ_CHECK(header.body_len == size - FRAME_HEADER);
    uint8_t again[FRAME_HEADER];
    frame_write_header(again, &header);
    FUZZ_CHECK(memcmp(again, data, FRAME_HEADER) == 0);
    return 0;
}
