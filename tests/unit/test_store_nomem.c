/* test_store_nomem.c - allocation n fails, for every n: in the node's
 * bookkeeping and in a process's store alike.  Nothing crashes or leaks, what
 * was sealed stays readable, and when memory is back, all goes on.
 */
#include "failing_malloc.h"
#include "store_world.h"

#define MIB (1024u * 1024)

static bool is_known(covey_status status)
{
    return status == COVEY_OK || status == COVEY_ENOMEM || status == COVEY_EAGAIN;
}

/* False: no room for the world itself. */
static bool try_world(struct world *w)
{
    w->bytes = 64 * MIB;
    w->limit_bytes = UINT64_MAX;
    covey_status status = arena_new(&w->arena, w->bytes);
    if (status == COVEY_OK)
        status = extents_new(&w->x, NODE, w->bytes, &world_ops, w);
    for (uint32_t i = 1; i <= 2 && status == COVEY_OK; i++) {
        int ro = fcntl(arena_fd_read_only(w->arena), F_DUPFD_CLOEXEC, 0);
        int rw = fcntl(arena_fd_writable(w->arena), F_DUPFD_CLOEXEC, 0);
        status = store_open(&w->store[i], ro, rw, w->bytes, NODE);
        if (status != COVEY_OK) { /* then they are still ours */
            assert_int_equal(close(ro), 0);
            assert_int_equal(close(rw), 0);
        }
    }
    assert_true(status == COVEY_OK || status == COVEY_ENOMEM);
    return status == COVEY_OK;
}

static bool try_put(struct world *w, uint64_t seq, uint64_t size, struct place *place)
{
    void *data = NULL;
    covey_status status = world_alloc(w, 1, world_id(1, seq), size, place, &data);
    assert_true(is_known(status));
    if (status != COVEY_OK)
        return false;
    memset(data, (int)seq, size);
    store_seal(w->store[1], place);
    return true;
}

static void use(struct world *w)
{
    struct place place[4];
    bool put[4];
    uint64_t sizes[4] = {100, 3 * MIB, OBJECT_SHARED_MAX, OBJECT_SHARED_MAX};
    for (uint64_t i = 0; i < 4; i++)
        put[i] = try_put(w, i + 1, sizes[i], &place[i]);
    world_pump(w, 1);
    extents_check(w->x);
    for (uint64_t i = 0; i < 4; i++) {
        if (!put[i])
            continue;
        assert_true(world_has(w->store[2], world_id(1, i + 1), place[i], (uint8_t)(i + 1)));
        store_free(w->store[i % 2 + 1], &place[i]);
    }
    world_pump(w, 2);
    store_close_extents(w->store[1]);
    world_pump(w, 1);
    extents_owner_gone(w->x, world_addr(1), put[0] ? place : NULL, put[0]);
    extents_proc_dead(w->x, world_addr(1));
    extents_check(w->x);
}

static void end(struct world *w)
{
    for (uint32_t i = 1; i <= 2; i++)
        store_close(&w->store[i]);
    extents_free(&w->x);
    arena_free(&w->arena);
}

/* Returns how many allocations were tried. */
static uint64_t scenario(uint64_t first, uint64_t count)
{
    struct world w = {0};
    malloc_fail(first, count);
    bool there = try_world(&w);
    if (there)
        use(&w);
    uint64_t calls = malloc_calls;
    malloc_fail(0, 0);
    if (there) {
        struct place place;
        assert_true(try_put(&w, 77, 1000, &place));
        assert_true(world_has(w.store[2], world_id(1, 77), place, 77));
    }
    end(&w);
    return calls;
}

static void test_every_allocation(void **state)
{
    (void)state;
    uint64_t calls = scenario(0, 0);
    assert_true(calls > 20);
    for (uint64_t n = 1; n <= calls; n++) {
        scenario(n, 1);
        scenario(n, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
    };
    return cmocka_run_group_tests_name("store_nomem", tests, NULL, NULL);
}
