/* fuzz_wire.c - any bytes as records back to back.
 *
 * What the decoder accepts must encode, decode to the same message and encode
 * to the same bytes; what the walk refuses must have taken no memory.
 */
#include "fuzz.h"

#include "../msg_random.h"

#define REFUSAL_BYTES_MAX (1024u * 1024)

static struct buf first, second;
static struct scratch scratch, scratch_again;

static void check_round_trip(const struct msg *msg)
{
    struct msg again;
    size_t used = 0;
    char why[200];
    buf_reset(&first);
    buf_reset(&second);
    scratch_reset(&scratch_again);
    covey_status status = wire_encode(&first, msg);
    FUZZ_CHECK(status == COVEY_OK);
    status = wire_decode(buf_span(&first), &used, &scratch_again, &again, why, sizeof(why));
    FUZZ_CHECK(status == COVEY_OK);
    FUZZ_CHECK(used == first.len);
    FUZZ_CHECK(msg_equal(msg, &again));
    status = wire_encode(&second, &again);
    FUZZ_CHECK(status == COVEY_OK);
    FUZZ_CHECK(first.len == second.len);
    FUZZ_CHECK(memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > UINT32_MAX)
        return 0;
    struct span rest = span_of(data, size);
    covey_status status = COVEY_OK;
    while (rest.len > 0 && status == COVEY_OK) {
        struct msg msg;
        size_t walked = 0, used = 0;
        char why[200] = "unset";
        covey_status walk = wire_walk(rest, &walked);
        FUZZ_CHECK(walk != COVEY_OK || (walked > 0 && walked <= rest.len));
        scratch_fini(&scratch); /* a fresh one shows what this record takes */
        status = wire_decode(rest, &used, &scratch, &msg, why, sizeof(why));
        if (status != COVEY_OK) {
            FUZZ_CHECK(strcmp(why, "unset") != 0);
            FUZZ_CHECK(walk == COVEY_OK || scratch.chunk == NULL);
            FUZZ_CHECK(scratch.used <= REFUSAL_BYTES_MAX);
            break;
        }
        FUZZ_CHECK(walk == COVEY_OK);
        FUZZ_CHECK(used == walked);
        check_round_trip(&msg);
        rest = span_of(rest.data + used, rest.len - used);
    }
    scratch_fini(&scratch);
    return 0;
}
