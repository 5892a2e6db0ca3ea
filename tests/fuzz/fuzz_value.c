/* fuzz_value.c - any bytes as values back to back.
 *
 * A value that was read must be inside the input, and come back equal when it
 * is put and read again.
 */
#include "fuzz.h"

#include "wire/value.h"

static struct buf buf;

static void put(const struct value *value)
{
    buf_reset(&buf);
    switch (value->kind) {
    case COVEY_NIL:   value_put_nil(&buf); break;
    case COVEY_I64:   value_put_i64(&buf, value->i64); break;
    case COVEY_U64:   value_put_u64(&buf, value->u64); break;
    case COVEY_F64:   value_put_f64(&buf, value->f64); break;
    case COVEY_STR:   value_put_str(&buf, (const char *)value->bytes.data, value->bytes.len); break;
    case COVEY_BYTES: value_put_bytes(&buf, value->bytes.data, value->bytes.len); break;
    case COVEY_REF:   value_put_dep(&buf, value->dep); break;
    default:          FUZZ_CHECK(!"a kind that no value has");
    }
    FUZZ_CHECK(!buf.failed);
}

static void check_equal(const struct value *a, const struct value *b)
{
    FUZZ_CHECK(a->kind == b->kind);
    FUZZ_CHECK(a->i64 == b->i64);
    FUZZ_CHECK(a->u64 == b->u64);
    FUZZ_CHECK(memcmp(&a->f64, &b->f64, sizeof(a->f64)) == 0); /* NaN is equal to itself here */
    FUZZ_CHECK(a->dep == b->dep);
    FUZZ_CHECK(a->bytes.len == b->bytes.len);
    if (a->bytes.len > 0)
        FUZZ_CHECK(memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > UINT32_MAX)
        return 0;
    struct span in = span_of(data, size);
    for (;;) {
        struct value value, again;
        struct span before = in;
        covey_status status = value_next(&in, &value);
        if (status != COVEY_OK) {
            FUZZ_CHECK(status == (before.len == 0 ? COVEY_EAGAIN : COVEY_EPROTO));
            FUZZ_CHECK(in.data == before.data && in.len == before.len);
            return 0;
        }
        FUZZ_CHECK(in.len < before.len);
        FUZZ_CHECK(in.data + in.len == data + size);
        if (value.bytes.len > 0)
            FUZZ_CHECK(value.bytes.data > before.data &&
                       value.bytes.data + value.bytes.len == in.data);
        put(&value);
        struct span back = buf_span(&buf);
        status = value_next(&back, &again);
        FUZZ_CHECK(status == COVEY_OK);
        FUZZ_CHECK(back.len == 0);
        check_equal(&value, &again);
    }
}
