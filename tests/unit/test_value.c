/* test_value.c - arguments and results, one value at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <msgpack.h>

#include "wire/value.h"

/* The one value in @buf, with nothing behind it. */
static struct value only_value(const struct buf *buf)
{
    struct span in = buf_span(buf);
    struct value value;
    assert_int_equal(value_next(&in, &value), COVEY_OK);
    assert_int_equal(in.len, 0);
    assert_int_equal(value_next(&in, &value), COVEY_EAGAIN);
    return value;
}

static const int64_t SIGNED_EDGES[] = {
    0, 1, 127, 128, 255, 256, INT16_MAX, INT16_MAX + 1, UINT16_MAX, INT32_MAX,
    INT64_C(1) << 31, UINT32_MAX, INT64_C(1) << 32, INT64_MAX,
    -1, -32, -33, -128, -129, INT16_MIN, INT16_MIN - 1, INT32_MIN, -(INT64_C(1) << 31) - 1, INT64_MIN,
};

static void test_i64_comes_back_as_i64(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf);
    for (size_t i = 0; i < sizeof(SIGNED_EDGES) / sizeof(SIGNED_EDGES[0]); i++) {
        int64_t x = SIGNED_EDGES[i];
        buf_reset(&buf);
        value_put_i64(&buf, x);
        struct value value = only_value(&buf);
        assert_int_equal(value.kind, COVEY_I64);
        assert_true(value.i64 == x);
        assert_true(value.u64 == (x >= 0 ? (uint64_t)x : 0));
    }
    buf_fini(&buf);
}

static void test_u64_comes_back_as_u64(void **state)
{
    (void)state;
    static const uint64_t edges[] = {0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX,
                                     UINT64_C(1) << 32, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX};
    struct buf buf;
    buf_init(&buf);
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        uint64_t x = edges[i];
        buf_reset(&buf);
        value_put_u64(&buf, x);
        struct value value = only_value(&buf);
        assert_int_equal(value.kind, COVEY_U64);
        assert_true(value.u64 == x);
        assert_true(value.i64 == (x <= INT64_MAX ? (int64_t)x : 0));
    }
    buf_fini(&buf);
}

static void test_f64_keeps_its_bits(void **state)
{
    (void)state;
    const double edges[] = {0.0, -0.0, 1.5, -1e308, 5e-324, INFINITY, -INFINITY, NAN};
    struct buf buf;
    buf_init(&buf);
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        buf_reset(&buf);
        value_put_f64(&buf, edges[i]);
        struct value value = only_value(&buf);
        assert_int_equal(value.kind, COVEY_F64);
        assert_memory_equal(&value.f64, &edges[i], sizeof(double));
    }
    buf_fini(&buf);
}

static void test_blobs_alias_the_input(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 100000};
    static char data[100000];
    struct buf buf;
    buf_init(&buf);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)i;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (int text = 0; text < 2; text++) {
            buf_reset(&buf);
            if (text)
                value_put_str(&buf, data, lengths[i]);
            else
                value_put_bytes(&buf, data, lengths[i]);
            struct value value = only_value(&buf);
            assert_int_equal(value.kind, text ? COVEY_STR : COVEY_BYTES);
            assert_int_equal(value.bytes.len, lengths[i]);
            assert_memory_equal(value.bytes.data, data, lengths[i]);
            assert_ptr_equal(value.bytes.data + value.bytes.len, buf.data + buf.len);
        }
    }
    buf_fini(&buf);
}

static void test_empty_blobs_may_be_null(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf);
    value_put_str(&buf, NULL, 0);
    assert_int_equal(only_value(&buf).kind, COVEY_STR);
    buf_reset(&buf);
    value_put_bytes(&buf, NULL, 0);
    assert_int_equal(only_value(&buf).bytes.len, 0);
    buf_fini(&buf);
}

static void put_one_of_each(struct buf *buf)
{
    value_put_nil(buf);
    value_put_i64(buf, -7);
    value_put_u64(buf, 300);
    value_put_f64(buf, 2.5);
    value_put_str(buf, "text", 4);
    value_put_bytes(buf, "\0\1\2", 3);
    value_put_dep(buf, 0xdeadbeef);
}

static void test_values_stand_back_to_back(void **state)
{
    (void)state;
    static const covey_kind kinds[] = {COVEY_NIL, COVEY_I64, COVEY_U64, COVEY_F64,
                                       COVEY_STR, COVEY_BYTES, COVEY_REF};
    struct buf buf;
    struct value value;
    buf_init(&buf);
    put_one_of_each(&buf);
    struct span in = buf_span(&buf);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        assert_int_equal(value_next(&in, &value), COVEY_OK);
        assert_int_equal(value.kind, kinds[i]);
    }
    assert_int_equal(value.dep, 0xdeadbeef);
    assert_int_equal(value_next(&in, &value), COVEY_EAGAIN);
    buf_fini(&buf);
}

/* Each prefix ends between two values or is refused, without reading on. */
static void test_truncation_is_refused(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf);
    put_one_of_each(&buf);
    unsigned between = 0;
    for (size_t len = 0; len <= buf.len; len++) {
        uint8_t *exact = test_malloc(len + 1); /* so that sanitizers see a read behind it */
        memcpy(exact, buf.data, len);
        struct span in = span_of(exact, len);
        struct value value;
        covey_status status;
        do
            status = value_next(&in, &value);
        while (status == COVEY_OK);
        assert_true(status == COVEY_EAGAIN || status == COVEY_EPROTO);
        between += status == COVEY_EAGAIN;
        test_free(exact);
    }
    assert_int_equal(between, 8); /* seven values */
    buf_fini(&buf);
}

static void test_malformed_is_refused_and_stays(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"\x80", 1},                          /* a map */
        {"\x90", 1}, {"\x91\x01", 2},         /* arrays */
        {"\xc1", 1},                          /* never used */
        {"\xc2", 1}, {"\xc3", 1},             /* booleans */
        {"\xca\0\0\0\0", 5},                  /* float32 */
        {"\xd6\x02\0\0\0\1", 6},              /* another ext type */
        {"\xd6\xff\0\0\0\1", 6},
        {"\xd5\x01\0\1", 4},                  /* a dep of another length */
        {"\xc7\x04\x01\0\0\0\1", 7},
        {"\xd6\x01\0\0\1", 5},
        {"\xdb\xff\xff\xff\xff", 5},          /* more than there is */
        {"\xc6\xff\xff\xff\xff", 5},
        {"\xdd\xff\xff\xff\xff", 5},
        {"\xdf\xff\xff\xff\xff", 5},
        {"\xa2" "a", 2}, {"\xd9", 1}, {"\xc4", 1}, {"\xcb\0", 2},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct span in = span_of(bad[i].bytes, bad[i].len);
        struct value value;
        assert_int_equal(value_next(&in, &value), COVEY_EPROTO);
        assert_ptr_equal(in.data, bad[i].bytes);
        assert_int_equal(in.len, bad[i].len);
    }
}

static void test_msgpack_c_reads_the_same(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf);
    put_one_of_each(&buf);
    static const msgpack_object_type types[] = {
        MSGPACK_OBJECT_NIL, MSGPACK_OBJECT_NEGATIVE_INTEGER, MSGPACK_OBJECT_POSITIVE_INTEGER,
        MSGPACK_OBJECT_FLOAT64, MSGPACK_OBJECT_STR, MSGPACK_OBJECT_BIN, MSGPACK_OBJECT_EXT};
    size_t offset = 0;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)buf.data, buf.len, &offset),
                         MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(unpacked.data.type, types[i]);
    }
    assert_int_equal(unpacked.data.via.ext.type, 1);
    assert_memory_equal(unpacked.data.via.ext.ptr, "\xde\xad\xbe\xef", 4);
    assert_int_equal(offset, buf.len);
    msgpack_unpacked_destroy(&unpacked);
    buf_fini(&buf);
}

static void test_out_of_memory_is_marked(void **state)
{
    (void)state;
    struct buf buf = {.data = NULL, .len = SIZE_MAX - 2, .cap = SIZE_MAX - 2};
    value_put_u64(&buf, 1);
    assert_true(buf.failed);
    buf_init(&buf);
    buf.failed = true;
    put_one_of_each(&buf);
    assert_int_equal(buf.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_i64_comes_back_as_i64),
        cmocka_unit_test(test_u64_comes_back_as_u64),
        cmocka_unit_test(test_f64_keeps_its_bits),
        cmocka_unit_test(test_blobs_alias_the_input),
        cmocka_unit_test(test_empty_blobs_may_be_null),
        cmocka_unit_test(test_values_stand_back_to_back),
        cmocka_unit_test(test_truncation_is_refused),
        cmocka_unit_test(test_malformed_is_refused_and_stays),
        cmocka_unit_test(test_msgpack_c_reads_the_same),
        cmocka_unit_test(test_out_of_memory_is_marked),
    };
    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
