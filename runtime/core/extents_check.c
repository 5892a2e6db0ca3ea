/* extents_check.c - every invariant of the bookkeeping, recounted.
 *
 * Slow (linear in the arena) and exhaustive: tests and the simulator call it
 * after steps, servers never do.
 */
#include "core/extents_internal.h"

struct tally {
    uint32_t extents, busy;
};

static void check_place(const struct extents *x, const struct extent *e, struct tally *tally)
{
    const struct blocks *b = &x->blocks;
    assert(e->blocks > 0);
    if (!e->first) {
        assert(e->state == EXTENT_WAITING);
        return;
    }
    assert(e->first >= b->table);
    assert(e->first + e->blocks <= b->count);
    assert(x->at[e->first] == e);
    for (uint32_t i = 0; i < e->blocks; i++) {
        assert(!blocks_is_free(b, e->first + i));
        assert(e->state == EXTENT_WAITING || blocks_is_warm(b, e->first + i));
        assert(i == 0 || x->at[e->first + i] == NULL);
    }
    tally->extents++;
    tally->busy += e->blocks;
}

static void check_generation(const struct extents *x, const struct extent *e)
{
    if (e->state == EXTENT_WAITING) {
        assert(e->gen == 0);
        return;
    }
    assert(e->gen > 0);
    assert(e->gen < x->gen_next);
}

static uint32_t live_of(const struct extent *e)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < e->sealed; i++)
        live += !freed_get(e, i);
    return live;
}

static void check_list(const struct extents *x, const struct list *list, enum extent_state state,
                       uint32_t count, struct tally *tally)
{
    uint32_t seen = 0;
    list_each(it, list) {
        const struct extent *e = list_entry(it, struct extent, in_state);
        assert(e->state == state);
        assert((e->writer == NULL) == (state == EXTENT_CLOSED));
        assert(e->keep == NULL);
        assert(!e->keep_all);
        check_place(x, e, tally);
        check_generation(x, e);
        seen++;
    }
    assert(seen == count);
}

static void check_closed(const struct extents *x)
{
    uint64_t live = 0;
    uint32_t blocks = 0;
    list_each(it, &x->closed) {
        const struct extent *e = list_entry(it, struct extent, in_state);
        assert(e->sealed <= e->objects_max);
        assert(e->live > 0);
        assert(e->live == live_of(e));
        live += e->live;
        blocks += e->blocks;
    }
    assert(live == x->objects_live);
    assert(blocks == x->closed_blocks);
}

static void check_writers(const struct extents *x)
{
    uint32_t held = 0;
    const struct writer *w;
    for (uint32_t i = 0; (w = map_next(&x->writers, &i)) != NULL;) {
        list_each(it, &w->extents) {
            const struct extent *e = list_entry(it, struct extent, in_writer);
            assert(e->writer == w);
            assert(e->state != EXTENT_CLOSED);
            held++;
        }
    }
    assert(held == x->waiting_count + x->lent_count);
}

void extents_check(const struct extents *x)
{
    struct tally tally = {0};
    uint32_t lent_blocks = 0, at = 0;
    blocks_check(&x->blocks);
    assert(!x->settling);
    assert(x->waiting_count <= EXTENTS_WANTS_MAX);
    check_list(x, &x->waiting, EXTENT_WAITING, x->waiting_count, &tally);
    check_list(x, &x->lent, EXTENT_LENT, x->lent_count, &tally);
    check_list(x, &x->closed, EXTENT_CLOSED, x->closed_count, &tally);
    list_each(it, &x->lent)
        lent_blocks += list_entry(it, struct extent, in_state)->blocks;
    assert(lent_blocks == x->lent_blocks);
    for (uint32_t i = 0; i < x->blocks.count; i++)
        at += x->at[i] != NULL;
    assert(at == tally.extents);
    assert(tally.busy + x->blocks.table == x->blocks.busy);
    check_closed(x);
    check_writers(x);
}
