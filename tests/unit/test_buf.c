/* test_buf.c - the growing buffer and the scratch memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/scratch.h"

static void test_append_keeps_bytes_across_growth(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf);
    for (uint32_t i = 0; i < 10000; i++)
        buf_append(&buf, &i, sizeof(i));
    assert_false(buf.failed);
    assert_int_equal(buf.len, 10000 * sizeof(uint32_t));
    assert_true(buf.len <= buf.cap);
    for (uint32_t i = 0; i < 10000; i++)
        assert_memory_equal(buf.data + i * sizeof(i), &i, sizeof(i));
    struct span span = buf_span(&buf);
    assert_ptr_equal(span.data, buf.data);
    assert_int_equal(span.len, buf.len);
    buf_fini(&buf);
    assert_null(buf.data);
}

static void test_nothing_can_be_appended(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf);
    buf_append(&buf, NULL, 0);
    assert_false(buf.failed);
    assert_int_equal(buf.len, 0);
    buf_fini(&buf);
}

static void test_reserve_gives_room_at_once(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf);
    buf_append(&buf, "abc", 3);
    assert_true(buf_reserve(&buf, 100000));
    assert_true(buf.cap - buf.len >= 100000);
    assert_int_equal(buf.len, 3);
    assert_memory_equal(buf.data, "abc", 3);
    uint8_t *data = buf.data;
    assert_true(buf_reserve(&buf, 100000));
    assert_ptr_equal(buf.data, data);
    buf_fini(&buf);
}

static void test_reset_keeps_memory(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf);
    buf_append(&buf, "abc", 3);
    size_t cap = buf.cap;
    buf_reset(&buf);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf.cap, cap);
    buf_fini(&buf);
}

/* What was there stays, and nothing is added until a reset. */
static void test_failure_sticks(void **state)
{
    (void)state;
    static const size_t too_large[] = {SIZE_MAX, SIZE_MAX - 3, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof(too_large) / sizeof(too_large[0]); i++) {
        struct buf buf;
        buf_init(&buf);
        buf_append(&buf, "abc", 3);
        assert_false(buf_reserve(&buf, too_large[i]));
        assert_true(buf.failed);
        buf_append(&buf, "d", 1);
        assert_false(buf_reserve(&buf, 1));
        assert_int_equal(buf.len, 3);
        assert_memory_equal(buf.data, "abc", 3);
        buf_reset(&buf);
        buf_append(&buf, "d", 1);
        assert_false(buf.failed);
        assert_int_equal(buf.len, 1);
        buf_fini(&buf);
    }
}

/* Pieces are aligned, writable and do not overlap. */
static void test_scratch_pieces_are_apart(void **state)
{
    (void)state;
    enum { PIECES = 500 };
    struct scratch scratch;
    uint8_t *piece[PIECES];
    scratch_init(&scratch);
    for (int i = 0; i < PIECES; i++) {
        piece[i] = scratch_alloc(&scratch, (size_t)i);
        assert_non_null(piece[i]);
        assert_int_equal((uintptr_t)piece[i] % 16, 0);
        memset(piece[i], i & 0xff, (size_t)i);
    }
    for (int i = 0; i < PIECES; i++)
        for (int j = 0; j < i; j++)
            assert_int_equal(piece[i][j], i & 0xff);
    scratch_fini(&scratch);
    assert_null(scratch.chunk);
}

static void test_scratch_takes_pieces_of_any_size(void **state)
{
    (void)state;
    struct scratch scratch;
    scratch_init(&scratch);
    for (size_t size = 1; size <= 1u << 20; size *= 2) {
        uint8_t *p = scratch_alloc(&scratch, size);
        assert_non_null(p);
        memset(p, 0xff, size);
    }
    scratch_fini(&scratch);
}

static void test_scratch_reset_keeps_the_largest(void **state)
{
    (void)state;
    struct scratch scratch;
    scratch_init(&scratch);
    for (int i = 0; i < 100; i++)
        assert_non_null(scratch_alloc(&scratch, 1000));
    struct scratch_chunk *largest = scratch.chunk;
    scratch_reset(&scratch);
    assert_ptr_equal(scratch.chunk, largest);
    assert_int_equal(scratch.used, 0);

    /* Steady: the second step needs no more chunks than are there. */
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < 50; i++)
            assert_non_null(scratch_alloc(&scratch, 1000));
        assert_ptr_equal(scratch.chunk, largest);
        scratch_reset(&scratch);
    }
    scratch_fini(&scratch);
}

static void test_scratch_refuses_what_no_memory_holds(void **state)
{
    (void)state;
    struct scratch scratch;
    scratch_init(&scratch);
    assert_null(scratch_alloc(&scratch, SIZE_MAX));
    assert_null(scratch_alloc(&scratch, SIZE_MAX - 15));
    assert_null(scratch_alloc(&scratch, SIZE_MAX / 2));
    assert_non_null(scratch_alloc(&scratch, 1));
    scratch_fini(&scratch);
}

static void test_scratch_reset_of_nothing(void **state)
{
    (void)state;
    struct scratch scratch;
    scratch_init(&scratch);
    scratch_reset(&scratch);
    assert_null(scratch.chunk);
    scratch_fini(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_keeps_bytes_across_growth),
        cmocka_unit_test(test_nothing_can_be_appended),
        cmocka_unit_test(test_reserve_gives_room_at_once),
        cmocka_unit_test(test_reset_keeps_memory),
        cmocka_unit_test(test_failure_sticks),
        cmocka_unit_test(test_scratch_pieces_are_apart),
        cmocka_unit_test(test_scratch_takes_pieces_of_any_size),
        cmocka_unit_test(test_scratch_reset_keeps_the_largest),
        cmocka_unit_test(test_scratch_refuses_what_no_memory_holds),
        cmocka_unit_test(test_scratch_reset_of_nothing),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
