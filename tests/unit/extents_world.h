/* extents_world.h - a fake arena for extents.c, and a model that judges it.
 *
 * The fake is plain memory with a generation table and a set of populated
 * blocks.  It judges every call from the core: nothing is lent twice, lent
 * without pages, or under an old generation, and no page beyond the budget is
 * asked for.
 */
#ifndef COVEY_TESTS_EXTENTS_WORLD_H
#define COVEY_TESTS_EXTENTS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/extents.h"

#define NODE 1u
#define BLOCKS_MAX 512u
#define FILLS_MAX 64u
#define OBJECTS_MAX 64u     /* in one extent of the model */
#define MODEL_MAX 512u
#define PROCS_MAX 8u

enum model_state { MODEL_NONE, MODEL_LENT, MODEL_CLOSED };

struct model {
    enum model_state state;
    uint32_t extent, blocks, writer;
    uint64_t gen, request;
    uint32_t count;             /* objects written */
    uint64_t used;              /* bytes */
    uint32_t sealed;            /* once closed */
    struct {
        struct oid id;
        struct place place;
        bool sealed, freed;
    } object[OBJECTS_MAX];
};

struct fixture {
    struct extents *x;
    uint32_t blocks, table;
    uint8_t *memory;
    uint64_t gen[BLOCKS_MAX];
    bool warm[BLOCKS_MAX], filling[BLOCKS_MAX];
    uint64_t budget_blocks;     /* may exist in all, table included */
    struct { uint32_t first, n; } fill[FILLS_MAX];
    uint32_t fill_count;
    bool sync;                  /* populate answers from inside */
    bool sync_fails;

    struct model model[MODEL_MAX];
    uint64_t gen_last;
    uint32_t outstanding[PROCS_MAX];    /* wants without an answer */
    bool uncertain;             /* pages were refused while somebody waited */

    uint32_t granted, refused, told;
    struct extent_grant grant;
    struct extent_refusal refusal;
    struct addr proc;
    struct place told_place;
    struct oid told_id;
};

static struct addr proc_addr(uint32_t proc) { return (struct addr){NODE, proc, 0, 0}; }

static struct model *model_find(struct fixture *f, uint32_t extent, uint64_t gen)
{
    for (uint32_t i = 0; i < MODEL_MAX; i++) {
        struct model *m = &f->model[i];
        if (m->state != MODEL_NONE && m->extent == extent && m->gen == gen)
            return m;
    }
    return NULL;
}

static bool model_busy(const struct fixture *f, uint32_t block)
{
    for (uint32_t i = 0; i < MODEL_MAX; i++) {
        const struct model *m = &f->model[i];
        if (m->state != MODEL_NONE && block >= m->extent && block < m->extent + m->blocks)
            return true;
    }
    return block < f->table;
}

static uint32_t outstanding(const struct fixture *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < PROCS_MAX; i++)
        n += f->outstanding[i];
    return n;
}

static uint32_t warm_count(const struct fixture *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->blocks; i++)
        n += f->warm[i];
    return n;
}

/* ---- the fake arena ----------------------------------------------------------- */

static uint64_t on_budget(void *io)
{
    struct fixture *f = io;
    uint32_t warm = warm_count(f);
    return f->budget_blocks > warm ? (f->budget_blocks - warm) * ARENA_BLOCK : 0;
}

static void on_granted(void *io, struct addr proc, const struct extent_grant *g)
{
    struct fixture *f = io;
    f->granted++;
    f->grant = *g;
    f->proc = proc;
    assert_int_equal(g->offset, (uint64_t)g->extent * ARENA_BLOCK);
    assert_int_equal(g->bytes % ARENA_BLOCK, 0);
    uint32_t n = (uint32_t)(g->bytes / ARENA_BLOCK);
    struct model *again = model_find(f, g->extent, g->gen);
    if (again) { /* the answer to a second copy of the want */
        assert_int_equal(again->request, g->request);
        assert_int_equal(again->blocks, n);
        return;
    }
    f->outstanding[proc.proc]--;
    assert_true(g->gen > f->gen_last);
    f->gen_last = g->gen;
    struct model *m = NULL;
    for (uint32_t i = 0; i < MODEL_MAX && !m; i++)
        m = f->model[i].state == MODEL_NONE ? &f->model[i] : NULL;
    assert_non_null(m);
    for (uint32_t i = g->extent; i < g->extent + n; i++) {
        assert_true(i < f->blocks);
        assert_false(model_busy(f, i));
        assert_true(f->warm[i]);
        assert_int_equal(f->gen[i], g->gen);
    }
    *m = (struct model){.state = MODEL_LENT, .extent = g->extent, .blocks = n,
                        .writer = proc.proc, .gen = g->gen, .request = g->request};
}

static void check_refusal(struct fixture *f, const struct extent_refusal *r)
{
    uint64_t left = on_budget(f) / ARENA_BLOCK;
    uint64_t largest = 0, warm_free = 0, cold_free = 0;
    for (uint32_t i = 0; i < f->blocks; i++) {
        uint64_t cold = 0;
        for (uint32_t j = i; j < f->blocks && !model_busy(f, j); j++) {
            cold += !f->warm[j];
            if (cold <= left && j + 1 - i > largest)
                largest = j + 1 - i;
        }
        if (!model_busy(f, i))
            *(f->warm[i] ? &warm_free : &cold_free) += 1;
    }
    uint64_t available = warm_free + (cold_free < left ? cold_free : left);
    assert_int_equal(r->largest_bytes, largest * ARENA_BLOCK);
    assert_int_equal(r->free_bytes, available * ARENA_BLOCK);
}

static void on_refused(void *io, struct addr proc, const struct extent_refusal *r)
{
    struct fixture *f = io;
    f->refused++;
    f->outstanding[proc.proc]--;
    f->refusal = *r;
    f->proc = proc;
    assert_int_equal(r->store_bytes, (uint64_t)(f->blocks - f->table) * ARENA_BLOCK);
    assert_true(r->largest_bytes <= r->free_bytes);
    /* Others that wait may hold places of which the model does not know, and
     * one that was refused pages counts warm blocks alone. */
    if (outstanding(f) == 0 && f->fill_count == 0 && !f->uncertain)
        check_refusal(f, r);
}

static void fill_done(struct fixture *f, uint32_t first, uint32_t n, bool ok)
{
    for (uint32_t i = first; i < first + n; i++) {
        assert_true(f->filling[i]);
        f->filling[i] = false;
        f->warm[i] = ok;
    }
    f->uncertain |= !ok && outstanding(f) > 0;
    extents_populated(f->x, first, n, ok);
}

static void on_populate(void *io, uint32_t first, uint32_t n)
{
    struct fixture *f = io;
    uint64_t planned = warm_count(f) + n;
    assert_true(n > 0);
    assert_true(first >= f->table);
    assert_true(first + n <= f->blocks);
    for (uint32_t i = 0; i < f->blocks; i++)
        planned += f->filling[i];
    assert_true(planned <= f->budget_blocks);
    for (uint32_t i = first; i < first + n; i++) {
        assert_false(f->warm[i]);
        assert_false(f->filling[i]);
        assert_int_equal(f->gen[i], 0);
        f->filling[i] = true;
    }
    if (f->sync) {
        fill_done(f, first, n, !f->sync_fails);
        return;
    }
    assert_true(f->fill_count < FILLS_MAX);
    f->fill[f->fill_count].first = first;
    f->fill[f->fill_count++].n = n;
}

static void on_publish(void *io, uint32_t block, uint64_t gen)
{
    struct fixture *f = io;
    assert_true(block >= f->table);
    assert_true(block < f->blocks);
    f->gen[block] = gen;
}

static bool on_header(void *io, uint64_t offset, struct object_header *out)
{
    struct fixture *f = io;
    assert_true(offset + OBJECT_ALIGN <= (uint64_t)f->blocks * ARENA_BLOCK);
    assert_true(f->warm[offset / ARENA_BLOCK]); /* never a page that is not there */
    memcpy((void *)out, f->memory + offset, sizeof(*out));
    return out->state != 0;
}

static void on_sealed(void *io, struct oid id, const struct place *place)
{
    struct fixture *f = io;
    f->told++;
    f->told_id = id;
    f->told_place = *place;
    struct model *m = model_find(f, place->extent, place->gen);
    assert_non_null(m);
    assert_true(place->ordinal < m->count);
    assert_true(m->object[place->ordinal].sealed);
    assert_false(m->object[place->ordinal].freed);
    assert_true(oid_eq(id, m->object[place->ordinal].id));
    assert_memory_equal(place, &m->object[place->ordinal].place, sizeof(*place));
}

static const struct extents_ops ops = {
    .granted = on_granted, .refused = on_refused, .populate = on_populate,
    .publish = on_publish, .header = on_header, .sealed = on_sealed, .budget = on_budget,
};

static struct fixture *fixture_new(uint32_t blocks)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    assert_true(blocks <= BLOCKS_MAX);
    f->blocks = blocks;
    f->table = 1;
    f->warm[0] = true;
    f->budget_blocks = blocks;
    f->sync = true;
    f->memory = calloc(blocks, ARENA_BLOCK);
    assert_non_null(f->memory);
    assert_int_equal(extents_new(&f->x, NODE, (uint64_t)blocks * ARENA_BLOCK, &ops, f), COVEY_OK);
    return f;
}

static void fixture_free(struct fixture *f)
{
    extents_check(f->x);
    extents_free(&f->x);
    assert_null(f->x);
    free(f->memory);
    free(f);
}

static void want(struct fixture *f, uint32_t proc, uint64_t request, uint64_t blocks)
{
    f->uncertain &= outstanding(f) > 0;
    f->outstanding[proc]++;
    extents_want(f->x, proc_addr(proc), request, blocks * ARENA_BLOCK);
    extents_check(f->x);
}

static struct model *lent(struct fixture *f, uint32_t proc, uint64_t request, uint64_t blocks)
{
    uint32_t before = f->granted;
    want(f, proc, request, blocks);
    assert_int_equal(f->granted, before + 1);
    return model_find(f, f->grant.extent, f->grant.gen);
}

/* ---- a writer ------------------------------------------------------------------- */

static struct object_header *header_at(struct fixture *f, uint64_t offset)
{
    return (struct object_header *)(void *)(f->memory + offset);
}

static bool write_object(struct fixture *f, struct model *m, struct addr owner, uint64_t size,
                         bool seal)
{
    uint64_t bytes = (uint64_t)m->blocks * ARENA_BLOCK;
    if (m->count == OBJECTS_MAX || bytes - m->used < object_stride(size))
        return false;
    uint64_t offset = (uint64_t)m->extent * ARENA_BLOCK + m->used;
    uint32_t n = m->count++;
    struct oid id = {owner.node, owner.proc, m->gen * 1000 + n, 0};
    *header_at(f, offset) = (struct object_header){
        .state = (seal ? OBJECT_SEALED : OBJECT_OPEN) ^ m->gen, .gen = m->gen, .size = size,
        .seq = id.seq, .node = id.node, .proc = id.proc, .ordinal = n,
    };
    m->object[n].id = id;
    m->object[n].sealed = seal;
    m->object[n].freed = false;
    m->object[n].place = (struct place){.node = NODE, .extent = m->extent, .gen = m->gen,
                                        .offset = offset, .size = size, .ordinal = n};
    m->used += object_stride(size);
    return true;
}

static void model_settle(struct model *m)
{
    if (m->state != MODEL_CLOSED)
        return;
    for (uint32_t i = 0; i < m->sealed; i++)
        if (!m->object[i].freed)
            return;
    m->state = MODEL_NONE;
}

static void model_free(struct fixture *f, struct model *m, uint32_t ordinal)
{
    uint32_t extent = m->extent;
    uint64_t gen = m->gen;
    if (ordinal < m->count)
        m->object[ordinal].freed = true;
    model_settle(m);
    extents_object_free(f->x, extent, gen, ordinal);
}

static void model_close(struct fixture *f, struct model *m)
{
    uint8_t bits[OBJECTS_MAX / 8] = {0};
    uint32_t extent = m->extent, writer = m->writer, count = m->count;
    uint64_t gen = m->gen;
    for (uint32_t i = 0; i < m->count; i++) {
        /* A writer seals or abandons all before it closes. */
        if (!m->object[i].sealed)
            m->object[i].freed = true;
        if (m->object[i].freed)
            bits[i / 8] |= (uint8_t)(1 << (i % 8));
    }
    m->state = MODEL_CLOSED;
    m->sealed = m->count;
    model_settle(m);
    extents_close(f->x, proc_addr(writer), extent, gen, count, span_of(bits, (count + 7) / 8));
}

static void model_dead(struct fixture *f, uint32_t proc)
{
    f->outstanding[proc] = 0;
    for (uint32_t i = 0; i < MODEL_MAX; i++) {
        struct model *m = &f->model[i];
        if (m->state != MODEL_LENT || m->writer != proc)
            continue;
        for (uint32_t k = 0; k < m->count; k++)
            m->object[k].freed |= !m->object[k].sealed;
        m->state = MODEL_CLOSED;
        m->sealed = m->count;
        model_settle(m);
    }
    extents_proc_dead(f->x, proc_addr(proc));
}

/* The generation table and the figures say what the model says. */
static void compare(struct fixture *f)
{
    extents_check(f->x);
    struct extents_stats stats = extents_stats(f->x);
    uint64_t lent_bytes = 0, closed_bytes = 0, live = 0;
    uint64_t gens[BLOCKS_MAX] = {0};
    for (uint32_t i = 0; i < MODEL_MAX; i++) {
        struct model *m = &f->model[i];
        if (m->state == MODEL_NONE)
            continue;
        for (uint32_t k = 0; k < m->blocks; k++)
            gens[m->extent + k] = m->gen;
        *(m->state == MODEL_LENT ? &lent_bytes : &closed_bytes) += (uint64_t)m->blocks * ARENA_BLOCK;
        for (uint32_t k = 0; m->state == MODEL_CLOSED && k < m->sealed; k++)
            live += !m->object[k].freed;
    }
    assert_memory_equal(gens, f->gen, f->blocks * sizeof(gens[0]));
    assert_int_equal(stats.lent_bytes, lent_bytes);
    assert_int_equal(stats.closed_bytes, closed_bytes);
    assert_int_equal(stats.objects_live, live);
    assert_int_equal(stats.populated_bytes, (uint64_t)warm_count(f) * ARENA_BLOCK);
}

#endif
