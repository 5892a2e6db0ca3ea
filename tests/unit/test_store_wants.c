/* test_store_wants.c - asking the node for room: refusals, fragments, and
 * answers that come late, twice or make no sense.
 */
#include "store_world.h"

#define MIB (1024u * 1024)

static void test_full(void **state)
{
    (void)state;
    struct world *w = world_new(16 * MIB, 1);
    struct store *s = w->store[1];
    struct place p, held = world_put(w, 1, world_id(1, 1), 10 * MIB, 1);
    void *data;
    struct msg_extent_refused why;
    assert_int_equal(world_alloc(w, 1, world_id(1, 2), 10 * MIB, &p, &data), COVEY_ESTOREFULL);
    assert_int_equal(store_refusal(s, 10 * MIB, &why), COVEY_OK); /* told once */
    /* Looking before trying again works as well, and has the figures. */
    assert_int_equal(store_alloc(s, world_id(1, 2), 0, 10 * MIB, &p, &data), COVEY_EAGAIN);
    world_pump(w, 1);
    assert_int_equal(store_refusal(s, 10 * MIB, &why), COVEY_ESTOREFULL);
    assert_true(why.free_bytes < 10 * MIB);
    assert_int_equal(why.store_bytes, 16 * MIB - ARENA_BLOCK);
    store_free(s, &held);
    world_pump(w, 1);
    assert_int_equal(world_alloc(w, 1, world_id(1, 2), 10 * MIB, &p, &data), COVEY_OK);
    world_free(w);
}

/* A caller that never looks at refusals still asks again. */
static void test_refusal_ignored(void **state)
{
    (void)state;
    struct world *w = world_new(16 * MIB, 1);
    struct store *s = w->store[1];
    struct place p, held = world_put(w, 1, world_id(1, 1), 10 * MIB, 1);
    void *data;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(store_alloc(s, world_id(1, 2), 0, 10 * MIB, &p, &data), COVEY_EAGAIN);
        world_pump(w, 1);
    }
    assert_true(w->refused >= 2);
    store_free(s, &held);
    covey_status status = COVEY_EAGAIN;
    for (int i = 0; i < 4 && status == COVEY_EAGAIN; i++) {
        world_pump(w, 1);
        status = store_alloc(s, world_id(1, 2), 0, 10 * MIB, &p, &data);
    }
    assert_int_equal(status, COVEY_OK);
    world_free(w);
}

/* Where no whole extent is free, small objects go into what there is. */
static void test_fragmented_small_puts(void **state)
{
    (void)state;
    struct world *w = world_new(16 * MIB, 2);
    struct place small[64];
    uint32_t n = 0;
    struct place p;
    void *data;
    while (world_alloc(w, 1, world_id(1, n + 1), MIB + 10, &p, &data) == COVEY_OK) {
        store_seal(w->store[1], &p);
        small[n++] = p;
    }
    assert_true(n >= 8);
    for (uint32_t i = 0; i < n; i += 2)
        store_free(w->store[1], &small[i]);
    world_pump(w, 1);
    assert_int_equal(world_alloc(w, 1, world_id(1, 90), 6 * MIB, &p, &data), COVEY_EFRAGMENTED);
    for (uint64_t i = 0; i < 3000; i++)
        world_put(w, 2, world_id(2, i + 1), 1000, 5);
    world_free(w);
}

static void test_unwant(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 1);
    struct store *s = w->store[1];
    struct place p;
    void *data;
    struct msg_extent_want want;
    /* Before it was asked for. */
    assert_int_equal(store_alloc(s, world_id(1, 1), 0, 9 * MIB, &p, &data), COVEY_EAGAIN);
    store_unwant(s, 9 * MIB);
    assert_false(store_want(s, &want));
    /* While it is under way, and after it came. */
    for (int when = 0; when < 2; when++) {
        assert_int_equal(store_alloc(s, world_id(1, 1), 0, 9 * MIB, &p, &data), COVEY_EAGAIN);
        assert_true(store_want(s, &want));
        if (when == 0)
            store_unwant(s, 9 * MIB);
        extents_want(w->x, world_addr(1), want.request, want.bytes);
        if (when == 1)
            store_unwant(s, 9 * MIB);
        assert_int_equal(extents_stats(w->x).lent, 1);
        world_pump(w, 1);
        assert_int_equal(extents_stats(w->x).lent, 0);
    }
    store_unwant(s, 10);
    store_unwant(s, UINT64_MAX);
    world_free(w);
}

static void test_many_sizes_at_once(void **state)
{
    (void)state;
    struct world *w = world_new(256 * MIB, 1);
    struct store *s = w->store[1];
    struct place p;
    void *data;
    uint64_t n = STORE_WANTS_MAX + 8;
    for (uint64_t i = 1; i <= n; i++)
        assert_int_equal(store_alloc(s, world_id(1, i), 0, MIB + i * ARENA_BLOCK, &p, &data), COVEY_EAGAIN);
    struct msg_extent_want want;
    uint32_t asked = 0;
    while (store_want(s, &want)) {
        extents_want(w->x, world_addr(1), want.request, want.bytes);
        asked++;
    }
    assert_int_equal(asked, STORE_WANTS_MAX - 1);
    for (uint64_t i = n; i >= 1; i--) {
        p = world_put(w, 1, world_id(1, i), MIB + i * ARENA_BLOCK, 1);
        store_free(s, &p);
        world_pump(w, 1);
    }
    store_close_extents(s);
    world_pump(w, 1);
    assert_int_equal(extents_stats(w->x).lent, 0);
    assert_int_equal(extents_stats(w->x).closed, 0);
    world_free(w);
}

static void test_grants_that_make_no_sense(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 1);
    struct store *s = w->store[1];
    struct place p;
    void *data;
    struct msg_extent_want want;
    struct msg_extent_close c;
    assert_int_equal(store_alloc(s, world_id(1, 1), 0, 10, &p, &data), COVEY_EAGAIN);
    assert_true(store_want(s, &want));
    struct msg_extent_grant good = {want.request, 8, 1, 8ull * ARENA_BLOCK, EXTENT_BYTES}, bad;
#define BAD(field, value) (bad = good, bad.field = (value), store_granted(s, &bad))
    BAD(offset, 0);
    BAD(gen, 0);
    BAD(bytes, 0);
    BAD(bytes, 65ull * MIB);
    BAD(bytes, 100);
    BAD(bytes, UINT64_MAX - ARENA_BLOCK + 1);
    bad = (struct msg_extent_grant){want.request, UINT32_MAX, 1, (uint64_t)UINT32_MAX * ARENA_BLOCK, MIB};
    store_granted(s, &bad);
    assert_int_equal(store_alloc(s, world_id(1, 1), 0, 10, &p, &data), COVEY_EAGAIN);
    /* Not asked for: goes back at once. */
    BAD(request, 999);
    assert_true(store_next_close(s, &c));
    assert_int_equal(c.extent, 8);
    assert_int_equal(c.sealed, 0);
    assert_false(store_next_close(s, &c));
    extents_want(w->x, world_addr(1), want.request, want.bytes);
    assert_int_equal(store_alloc(s, world_id(1, 1), 0, 10, &p, &data), COVEY_OK);
    /* A second copy of the grant changes nothing. */
    extents_want(w->x, world_addr(1), want.request, want.bytes);
    assert_false(store_next_close(s, &c));
    store_seal(s, &p);
    assert_false(store_next_close(s, &c));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_refusal_ignored),
        cmocka_unit_test(test_fragmented_small_puts),
        cmocka_unit_test(test_unwant),
        cmocka_unit_test(test_many_sizes_at_once),
        cmocka_unit_test(test_grants_that_make_no_sense),
    };
    return cmocka_run_group_tests_name("store_wants", tests, NULL, NULL);
}
