/* test_extents.c - the arena's bookkeeping against a fake arena and a model.
 *
 * COVEY_TEST_SEED=N runs the random test from that seed alone.
 */
#include "extents_world.h"

#include <stdio.h>

/* ---- tests ------------------------------------------------------------------------- */

static void test_new_refuses_nonsense(void **state)
{
    (void)state;
    struct extents *x = NULL;
    assert_int_equal(extents_new(&x, NODE, 0, &ops, NULL), COVEY_EINVAL);
    assert_int_equal(extents_new(&x, NODE, ARENA_BLOCK, &ops, NULL), COVEY_EINVAL);
    assert_int_equal(extents_new(&x, NODE, UINT64_MAX, &ops, NULL), COVEY_ETOOBIG);
    assert_null(x);
}

static void test_life(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    struct model *m = lent(f, 1, 1, 8);
    assert_int_equal(m->extent % 8, 0); /* a huge page */
    for (int i = 0; i < 3; i++)
        assert_true(write_object(f, m, proc_addr(2), 100, true));
    uint32_t extent = m->extent;
    uint64_t gen = m->gen;
    model_free(f, m, 1);
    model_free(f, m, 1);
    model_close(f, m);
    compare(f);
    assert_int_equal(extents_stats(f->x).objects_live, 2);
    model_free(f, m, 0);
    model_free(f, m, 0); /* twice is once */
    compare(f);
    assert_int_equal(extents_stats(f->x).closed, 1);
    model_free(f, m, 2);
    compare(f);
    assert_int_equal(extents_stats(f->x).closed, 0);
    /* Warm blocks are lent again, to the process that had them. */
    struct model *again = lent(f, 1, 2, 8);
    assert_int_equal(again->extent, extent);
    assert_true(again->gen > gen);
    extents_object_free(f->x, extent, gen, 0);
    extents_close(f->x, proc_addr(1), extent, gen, 3, span_of(NULL, 0));
    compare(f);
    fixture_free(f);
}

static void test_wants_are_idempotent(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    f->sync = false;
    want(f, 1, 7, 4);
    extents_want(f->x, proc_addr(1), 7, 4 * ARENA_BLOCK); /* while it waits: one answer */
    assert_int_equal(f->granted, 0);
    while (f->fill_count) {
        f->fill_count--;
        fill_done(f, f->fill[f->fill_count].first, f->fill[f->fill_count].n, true);
    }
    assert_int_equal(f->granted, 1);
    struct extent_grant first = f->grant;
    extents_want(f->x, proc_addr(1), 7, 4 * ARENA_BLOCK);
    assert_int_equal(f->granted, 2);
    assert_int_equal(first.extent, f->grant.extent);
    assert_int_equal(first.gen, f->grant.gen);
    assert_int_equal(first.bytes, f->grant.bytes);
    assert_int_equal(extents_stats(f->x).lent, 1);
    want(f, 2, 7, 4); /* another process's 7 */
    assert_int_equal(extents_stats(f->x).lent, 2);
    compare(f);
    fixture_free(f);
}

static void test_closes_by_others_do_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    struct model *m = lent(f, 1, 1, 2);
    extents_close(f->x, proc_addr(2), m->extent, m->gen, 0, span_of(NULL, 0));
    extents_close(f->x, proc_addr(1), m->extent, m->gen + 1, 0, span_of(NULL, 0));
    extents_close(f->x, proc_addr(1), m->extent + 1, m->gen, 0, span_of(NULL, 0));
    extents_close(f->x, proc_addr(1), UINT32_MAX, m->gen, 0, span_of(NULL, 0));
    extents_object_free(f->x, m->extent, m->gen, UINT32_MAX);
    compare(f);
    assert_true(write_object(f, m, proc_addr(1), 8, true));
    model_close(f, m);
    extents_close(f->x, proc_addr(1), m->extent, m->gen, 0, span_of(NULL, 0)); /* again */
    extents_object_free(f->x, m->extent, m->gen, 1); /* never sealed */
    compare(f);
    assert_int_equal(extents_stats(f->x).objects_live, 1);
    fixture_free(f);
}

/* A close may claim anything; it stays inside the bookkeeping. */
static void test_lying_close(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    struct model *m = lent(f, 1, 1, 1);
    uint8_t ones[8192];
    memset(ones, 0xff, sizeof(ones));
    m->state = MODEL_NONE;
    extents_close(f->x, proc_addr(1), m->extent, m->gen, UINT32_MAX, span_of(ones, sizeof(ones)));
    compare(f);
    assert_int_equal(extents_stats(f->x).closed, 0);
    fixture_free(f);
}

static void test_fragmented(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(72);
    lent(f, 2, 1, 7); /* beside the table, where no huge page fits */
    struct model *m[8];
    for (uint64_t i = 0; i < 8; i++) {
        m[i] = lent(f, 1, i, 8);
        assert_true(write_object(f, m[i], proc_addr(1), 1000, true));
        assert_true(write_object(f, m[i], proc_addr(1), 1000, true));
        model_close(f, m[i]);
    }
    want(f, 1, 100, 1);
    assert_int_equal(f->refusal.status, COVEY_ESTOREFULL);
    assert_int_equal(f->refusal.free_bytes, 0);
    assert_int_equal(f->refusal.held_extents, 8);
    assert_int_equal(f->refusal.live_bytes, 8 * EXTENT_BYTES); /* nothing is dead */
    /* One live object stays in every extent: nothing is free, and hardly
     * anything lives. */
    for (uint32_t i = 0; i < 8; i++)
        model_free(f, m[i], 0);
    want(f, 1, 101, 36);
    assert_int_equal(f->refusal.status, COVEY_EFRAGMENTED);
    assert_int_equal(f->refusal.free_bytes, 0);
    assert_int_equal(f->refusal.held_extents, 8);
    assert_int_equal(f->refusal.held_bytes, 8 * EXTENT_BYTES);
    assert_int_equal(f->refusal.live_objects, 8);
    assert_int_equal(f->refusal.live_bytes, 8 * object_stride(1000));
    /* Every other extent ends: half of the store is free, in pieces. */
    for (uint32_t i = 0; i < 8; i++)
        if (m[i]->extent / 8 % 2)
            model_free(f, m[i], 1);
    compare(f);
    want(f, 1, 102, 32);
    assert_int_equal(f->refusal.status, COVEY_EFRAGMENTED);
    assert_int_equal(f->refusal.free_bytes, 4 * EXTENT_BYTES);
    assert_int_equal(f->refusal.largest_bytes, EXTENT_BYTES);
    want(f, 1, 103, 33); /* more than is free, but not more than is dead */
    assert_int_equal(f->refusal.status, COVEY_EFRAGMENTED);
    assert_int_equal(f->refusal.live_objects, 4);
    want(f, 1, 107, 64); /* all would have to go */
    assert_int_equal(f->refusal.status, COVEY_ESTOREFULL);
    want(f, 1, 104, 72);
    assert_int_equal(f->refusal.status, COVEY_ETOOBIG);
    assert_int_equal(f->refusal.request, 104);
    want(f, 1, 105, UINT64_MAX / ARENA_BLOCK);
    assert_int_equal(f->refusal.status, COVEY_ETOOBIG);
    lent(f, 1, 106, 8);
    compare(f);
    fixture_free(f);
}

/* What is lent is its writer's, and what all lives cannot be released in part. */
static void test_full_is_not_fragmented(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(24);
    struct model *whole = lent(f, 1, 1, 7), *open = lent(f, 2, 2, 8), *half = lent(f, 1, 3, 8);
    assert_true(write_object(f, whole, proc_addr(1), 1000, true));
    model_close(f, whole);
    assert_true(write_object(f, open, proc_addr(2), 1000, true));
    for (uint32_t i = 0; i < 2; i++)
        assert_true(write_object(f, half, proc_addr(1), EXTENT_BYTES / 2 - OBJECT_ALIGN, true));
    model_close(f, half);
    model_free(f, half, 1);
    want(f, 1, 4, 4);
    assert_int_equal(f->refusal.status, COVEY_EFRAGMENTED);
    assert_int_equal(f->refusal.live_bytes, 7 * ARENA_BLOCK + EXTENT_BYTES / 2);
    want(f, 1, 5, 5);
    assert_int_equal(f->refusal.status, COVEY_ESTOREFULL);
    model_free(f, open, 0);
    want(f, 1, 6, 5);
    assert_int_equal(f->refusal.status, COVEY_ESTOREFULL);
    compare(f);
    fixture_free(f);
}

/* Of thousands of objects in one extent only the first are looked at. */
static void test_live_bytes_of_many_objects(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    struct fixture *f = fixture_new(9);
    struct model *m = lent(f, 1, 1, 8);
    uint64_t offset = (uint64_t)m->extent * ARENA_BLOCK;
    for (uint32_t i = 0; i < COUNT; i++, offset += object_stride(100))
        *header_at(f, offset) = (struct object_header){
            .state = OBJECT_SEALED ^ m->gen, .gen = m->gen, .size = 100, .seq = i + 1, .node = NODE,
            .proc = 1, .ordinal = i,
        };
    extents_close(f->x, proc_addr(1), m->extent, m->gen, COUNT, (struct span){NULL, 0});
    for (uint32_t i = 0; i < COUNT - 1; i += 2)
        extents_object_free(f->x, m->extent, m->gen, i);
    want(f, 1, 2, 1);
    assert_int_equal(f->refusal.status, COVEY_EFRAGMENTED);
    assert_int_equal(f->refusal.live_bytes, COUNT / 2 * object_stride(100));
    for (uint32_t i = 1; i < COUNT - 1; i += 2)
        extents_object_free(f->x, m->extent, m->gen, i);
    want(f, 1, 3, 1); /* the last one alone */
    assert_int_equal(f->refusal.live_bytes, object_stride(100));
    *header_at(f, (uint64_t)m->extent * ARENA_BLOCK) = (struct object_header){.state = 0};
    extents_object_free(f->x, m->extent, m->gen, COUNT - 1);
    assert_int_equal(extents_stats(f->x).closed, 0);
    m->state = MODEL_NONE;
    fixture_free(f);
}

static void test_budget(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(128);
    f->budget_blocks = 1 + 10;
    lent(f, 1, 1, 8);
    want(f, 1, 2, 8);
    assert_int_equal(f->refusal.status, COVEY_ESTOREFULL);
    assert_int_equal(f->refusal.free_bytes, 2 * ARENA_BLOCK);
    assert_int_equal(f->refusal.largest_bytes, 2 * ARENA_BLOCK);
    lent(f, 1, 3, 2);
    want(f, 1, 4, 1);
    assert_int_equal(f->refusal.status, COVEY_ESTOREFULL);
    f->budget_blocks = 128;
    lent(f, 1, 5, 100);
    compare(f);
    fixture_free(f);
}

/* The budget is under way elsewhere: the second want waits for those pages. */
static void test_waits_for_pages_under_way(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(128);
    f->sync = false;
    f->budget_blocks = 1 + 8;
    extents_keep_warm(f->x, 8 * ARENA_BLOCK);
    assert_int_equal(f->fill_count, 1);
    want(f, 1, 1, 8);
    assert_int_equal(f->granted + f->refused, 0);
    f->fill_count = 0;
    fill_done(f, f->fill[0].first, f->fill[0].n, true);
    assert_int_equal(f->granted, 1);
    want(f, 1, 2, 1);
    assert_int_equal(f->refused, 1);
    compare(f);
    fixture_free(f);
}

/* The budget shrinks below what is already under way: nothing more is asked. */
static void test_budget_shrinks(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(128);
    f->sync = false;
    want(f, 1, 1, 64);
    assert_int_equal(f->fill_count, 1);
    f->budget_blocks = 10;
    want(f, 1, 2, 8);
    assert_int_equal(f->fill_count, 1);
    f->fill_count = 0;
    fill_done(f, f->fill[0].first, f->fill[0].n, true);
    assert_int_equal(f->granted, 1);
    assert_int_equal(f->refused, 1);
    compare(f);
    fixture_free(f);
}

static void test_populate_fails(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(128);
    f->sync_fails = true;
    want(f, 1, 1, 8);
    assert_int_equal(f->refused, 1);
    assert_int_equal(f->refusal.status, COVEY_ESTOREFULL);
    assert_int_equal(f->refusal.free_bytes, 0);
    extents_keep_warm(f->x, 64 * ARENA_BLOCK); /* gives up rather than spin */
    compare(f);
    f->sync_fails = false;
    struct model *m = lent(f, 1, 2, 8);
    /* What is warm serves when there is no more, however it failed. */
    model_close(f, m);
    f->sync_fails = true;
    lent(f, 1, 3, 8);
    want(f, 1, 4, 100);
    assert_int_equal(f->refused, 2);
    compare(f);
    fixture_free(f);
}

static void test_keep_warm(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(256);
    f->sync = false;
    extents_keep_warm(f->x, 80 * ARENA_BLOCK);
    uint32_t runs = 0;
    while (f->fill_count) {
        assert_int_equal(f->fill_count, 1); /* one at a time */
        f->fill_count = 0;
        fill_done(f, f->fill[0].first, f->fill[0].n, true);
        extents_check(f->x);
        runs++;
    }
    assert_true(runs >= 2);
    uint32_t warm = warm_count(f);
    assert_true(warm >= 81 && warm < 81 + POPULATE_BLOCKS);
    lent(f, 1, 1, 64); /* at once, and the pool fills up again */
    assert_int_equal(f->fill_count, 1);
    compare(f);
    fixture_free(f);
}

static void test_wants_are_bounded(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    f->sync = false;
    f->budget_blocks = 1 + 8;
    extents_keep_warm(f->x, 8 * ARENA_BLOCK);
    for (uint64_t i = 0; i < EXTENTS_WANTS_MAX; i++)
        want(f, 1, i, 10);
    assert_int_equal(f->refused, 0);
    want(f, 1, EXTENTS_WANTS_MAX, 10);
    assert_int_equal(f->refused, 1);
    assert_int_equal(f->refusal.status, COVEY_ELIMIT);
    model_dead(f, 1); /* takes the waiting ones along */
    f->fill_count = 0;
    fill_done(f, f->fill[0].first, f->fill[0].n, true);
    assert_int_equal(f->granted, 0);
    assert_int_equal(f->refused, 1);
    lent(f, 2, 1, 8);
    fixture_free(f);
}

static void test_writer_dies(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    struct model *m = lent(f, 1, 1, 8);
    assert_true(write_object(f, m, proc_addr(2), 100, true));
    assert_true(write_object(f, m, proc_addr(2), 300000, false));   /* was writing it */
    assert_true(write_object(f, m, proc_addr(1), 0, true));         /* its own */
    assert_true(write_object(f, m, proc_addr(3), 64, true));
    assert_true(write_object(f, m, proc_addr(3), 64, true));
    model_free(f, m, 4);                                            /* its owner is done */
    /* A header of the block's former life, half overwritten. */
    struct object_header *h = header_at(f, (uint64_t)m->extent * ARENA_BLOCK + m->used);
    *h = (struct object_header){.state = OBJECT_SEALED ^ (m->gen - 1), .gen = m->gen, .ordinal = 5};
    model_dead(f, 1);
    assert_int_equal(f->told, 2);
    assert_int_equal(f->told_id.proc, 3);
    assert_int_equal(f->told_place.ordinal, 3);
    compare(f);
    assert_int_equal(extents_stats(f->x).objects_live, 3);
    model_dead(f, 1); /* is dead already */
    model_free(f, m, 0);
    model_free(f, m, 3);
    m->object[2].freed = true;
    model_settle(m);
    extents_owner_gone(f->x, proc_addr(1), NULL, 0);
    compare(f);
    assert_int_equal(extents_stats(f->x).free_bytes, 63u * ARENA_BLOCK);
    fixture_free(f);
}

/* It had closed the extent and not come to its reply: the owner may not know. */
static void test_writer_dies_after_it_closed(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    struct model *m = lent(f, 1, 1, 8);
    assert_true(write_object(f, m, proc_addr(3), 100, true));
    assert_true(write_object(f, m, proc_addr(3), 100, true));
    assert_true(write_object(f, m, proc_addr(1), 100, true));       /* its own */
    model_close(f, m);
    model_free(f, m, 0);                                            /* this one was known */
    struct model *other = lent(f, 2, 1, 8);
    assert_true(write_object(f, other, proc_addr(3), 100, true));
    model_close(f, other);                                          /* a living writer's */
    model_dead(f, 1);
    assert_int_equal(f->told, 1);
    assert_int_equal(f->told_id.proc, 3);
    assert_int_equal(f->told_place.extent, m->extent);
    assert_int_equal(f->told_place.ordinal, 1);
    compare(f);
    fixture_free(f);
}

/* Each lie ends the walk: what came before stays, nothing outside is touched. */
static void test_lying_headers(void **state)
{
    (void)state;
    for (int lie = 0; lie < 6; lie++) {
        struct fixture *f = fixture_new(64);
        struct model *m = lent(f, 1, 1, 8);
        assert_true(write_object(f, m, proc_addr(2), 100, true));
        assert_true(write_object(f, m, proc_addr(2), 100, true));
        assert_true(write_object(f, m, proc_addr(2), 100, true));
        struct object_header *h = header_at(f, m->object[1].place.offset);
        switch (lie) {
        case 0: h->size = UINT64_MAX; break;
        case 1: h->size = EXTENT_BYTES - 3 * OBJECT_ALIGN; break;
        case 2: h->ordinal = 0; break;
        case 3: h->gen = m->gen + 1; break;
        case 4: h->state = OBJECT_SEALED; break;
        case 5: h->state = 0; break;
        }
        m->count = 1;
        model_dead(f, 1);
        assert_int_equal(f->told, 1);
        compare(f);
        assert_int_equal(extents_stats(f->x).objects_live, 1);
        fixture_free(f);
    }
}

/* The last object may end exactly where the extent does. */
static void test_walk_ends_at_the_extent(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    struct model *m = lent(f, 1, 1, 1);
    struct model *next = lent(f, 2, 1, 1);
    assert_true(write_object(f, m, proc_addr(3), ARENA_BLOCK - OBJECT_ALIGN, true));
    assert_true(write_object(f, next, proc_addr(3), 5, true));
    model_dead(f, 1);
    assert_int_equal(f->told, 1);
    compare(f);
    fixture_free(f);
}

static void test_owner_gone(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    struct model *a = lent(f, 1, 1, 8), *b = lent(f, 2, 1, 8);
    struct addr abroad = {2, 9, 0, 0};
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(write_object(f, a, proc_addr(3 + i % 2), 10, true));
        assert_true(write_object(f, b, i % 2 ? abroad : proc_addr(3), 10, true));
    }
    model_close(f, a);
    struct place held[4] = {a->object[2].place, b->object[4].place, a->object[0].place,
                            a->object[4].place};
    held[2].gen--;      /* stale */
    held[3].node = 7;   /* somewhere else */
    /* a: 0, 2, 4 are of 3; 2 is held.  b, still lent: 0, 2, 4; 4 is held. */
    a->object[0].freed = a->object[4].freed = true;
    b->object[0].freed = b->object[2].freed = true;
    extents_owner_gone(f->x, proc_addr(3), held, 4);
    compare(f);
    extents_owner_gone(f->x, proc_addr(77), NULL, 0);
    compare(f);
    model_close(f, b);
    compare(f);
    model_free(f, a, 2);
    model_free(f, b, 4);
    a->object[1].freed = a->object[3].freed = a->object[5].freed = true;
    model_settle(a);
    extents_owner_gone(f->x, proc_addr(4), NULL, 0);
    compare(f);
    assert_int_equal(extents_stats(f->x).closed, 1);
    b->object[1].freed = b->object[3].freed = b->object[5].freed = true;
    model_settle(b);
    extents_owner_gone(f->x, (struct addr){2, 0, 0, 0}, NULL, 0); /* the whole node */
    compare(f);
    assert_int_equal(extents_stats(f->x).closed, 0);
    fixture_free(f);
}

static void count_each(void *ctx, const struct object_header *h, const struct place *p)
{
    uint64_t *sum = ctx;
    assert_int_equal(h->ordinal, p->ordinal);
    *sum += h->size;
}

static void test_each(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(64);
    struct model *m = lent(f, 1, 1, 8), *n = lent(f, 2, 1, 1);
    assert_true(write_object(f, m, proc_addr(1), 1, true));
    assert_true(write_object(f, m, proc_addr(1), 10, false));
    assert_true(write_object(f, m, proc_addr(1), 100, true));
    assert_true(write_object(f, n, proc_addr(1), 1000, true));
    assert_true(write_object(f, n, proc_addr(1), 10000, true));
    model_free(f, n, 1);
    model_close(f, n);
    uint64_t sum = 0;
    extents_each(f->x, count_each, &sum);
    assert_int_equal(sum, 1101);
    fixture_free(f);
}

/* Small extents do not break the run that a large object left. */
static void test_large_place_is_kept_whole(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(256);
    struct model *small[4];
    for (uint64_t i = 0; i < 3; i++)
        small[i] = lent(f, 1, i, 8);
    struct model *large = lent(f, 1, 10, 128);
    small[3] = lent(f, 1, 3, 8);
    uint32_t small_at = small[1]->extent, large_at = large->extent;
    model_close(f, large);
    model_close(f, small[1]);
    assert_int_equal(lent(f, 1, 11, 8)->extent, small_at); /* it had both places */
    assert_int_equal(lent(f, 1, 12, 128)->extent, large_at);
    compare(f);
    fixture_free(f);
}

/* ---- anything, in any order ------------------------------------------------------ */

static uint64_t rng;
static uint32_t pick(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)((rng >> 16) % n);
}

static struct model *pick_model(struct fixture *f, enum model_state state)
{
    uint32_t start = pick(MODEL_MAX);
    for (uint32_t i = 0; i < MODEL_MAX; i++) {
        struct model *m = &f->model[(start + i) % MODEL_MAX];
        if (m->state == state)
            return m;
    }
    return NULL;
}

static struct addr pick_owner(void)
{
    return pick(8) ? proc_addr(1 + pick(6)) : (struct addr){2, 3, 0, 0};
}

static void random_owner_gone(struct fixture *f)
{
    static struct place held[MODEL_MAX * OBJECTS_MAX];
    uint32_t count = 0;
    struct addr owner = pick_owner();
    for (uint32_t i = 0; i < MODEL_MAX; i++) {
        struct model *m = &f->model[i];
        for (uint32_t k = 0; m->state != MODEL_NONE && k < m->count; k++) {
            if (!addr_eq(oid_owner(m->object[k].id), owner) || !m->object[k].sealed)
                continue;
            if (pick(4) == 0)
                held[count++] = m->object[k].place;
            else
                m->object[k].freed = true;
        }
        model_settle(m);
    }
    extents_owner_gone(f->x, owner, held, count);
}

static void random_fill_done(struct fixture *f)
{
    if (!f->fill_count)
        return;
    uint32_t i = pick(f->fill_count), first = f->fill[i].first, n = f->fill[i].n;
    f->fill[i] = f->fill[--f->fill_count];
    fill_done(f, first, n, pick(10) != 0);
}

static void random_step(struct fixture *f, uint64_t *request)
{
    struct model *m = pick_model(f, pick(3) ? MODEL_LENT : MODEL_CLOSED);
    switch (pick(12)) {
    case 0: case 1: {
        uint32_t sizes[] = {1, 2, 5, 8, 8, 8, 13, 40, 90};
        want(f, 1 + pick(4), ++*request, sizes[pick(9)]);
        break;
    }
    case 2: /* a second copy of a want */
        if (m && m->state == MODEL_LENT)
            extents_want(f->x, proc_addr(m->writer), m->request, (uint64_t)m->blocks * ARENA_BLOCK);
        break;
    case 3: case 4: case 5:
        for (uint32_t i = pick(8); m && m->state == MODEL_LENT && i > 0; i--)
            write_object(f, m, pick_owner(), pick(5) ? pick(2000) : pick(600000), pick(8) != 0);
        break;
    case 6: case 7: case 8:
        for (uint32_t i = pick(16); m && m->state != MODEL_NONE && m->count && i > 0; i--)
            model_free(f, m, pick(m->count));
        if (m)
            extents_object_free(f->x, m->extent, m->gen - pick(2) - 1, pick(8));
        break;
    case 9:
        if (m && m->state == MODEL_LENT)
            model_close(f, m);
        break;
    case 10:
        if (pick(4))
            break;
        if (pick(3) == 0) {
            model_dead(f, 1 + pick(4));
        } else {
            random_owner_gone(f);
        }
        break;
    case 11:
        if (pick(3) == 0)
            f->budget_blocks = 100 + pick(f->blocks);
        if (pick(3) == 0)
            extents_keep_warm(f->x, (uint64_t)pick(64) * ARENA_BLOCK);
        break;
    }
    if (pick(2))
        random_fill_done(f);
}

static void run_seed(uint64_t seed)
{
    rng = seed * 2654435761u + 88172645463325252u;
    struct fixture *f = fixture_new(200 + pick(200));
    f->sync = false;
    uint64_t request = 0;
    for (uint32_t step = 0; step < 1500; step++) {
        random_step(f, &request);
        compare(f);
    }
    /* Everything ends, and everything is free again. */
    while (f->fill_count)
        random_fill_done(f);
    for (uint32_t proc = 1; proc <= 6; proc++)
        model_dead(f, proc);
    for (uint32_t i = 0; i < MODEL_MAX; i++)
        f->model[i].state = MODEL_NONE;
    for (uint32_t proc = 1; proc <= 6; proc++)
        extents_owner_gone(f->x, proc_addr(proc), NULL, 0);
    extents_owner_gone(f->x, (struct addr){2, 3, 0, 0}, NULL, 0);
    compare(f);
    assert_int_equal(extents_stats(f->x).free_bytes, (uint64_t)(f->blocks - 1) * ARENA_BLOCK);
    fixture_free(f);
}

static void test_random(void **state)
{
    (void)state;
    const char *given = getenv("COVEY_TEST_SEED");
    uint64_t first = given ? strtoull(given, NULL, 10) : 1, last = given ? first : 40;
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_refuses_nonsense),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_wants_are_idempotent),
        cmocka_unit_test(test_closes_by_others_do_nothing),
        cmocka_unit_test(test_lying_close),
        cmocka_unit_test(test_fragmented),
        cmocka_unit_test(test_full_is_not_fragmented),
        cmocka_unit_test(test_live_bytes_of_many_objects),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_waits_for_pages_under_way),
        cmocka_unit_test(test_budget_shrinks),
        cmocka_unit_test(test_populate_fails),
        cmocka_unit_test(test_keep_warm),
        cmocka_unit_test(test_wants_are_bounded),
        cmocka_unit_test(test_writer_dies),
        cmocka_unit_test(test_writer_dies_after_it_closed),
        cmocka_unit_test(test_lying_headers),
        cmocka_unit_test(test_walk_ends_at_the_extent),
        cmocka_unit_test(test_owner_gone),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_large_place_is_kept_whole),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("extents", tests, NULL, NULL);
}
