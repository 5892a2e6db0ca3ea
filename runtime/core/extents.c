/* extents.c - see extents.h for the contract.
 *
 * A want becomes a struct extent at once.  It waits until it has a place and
 * every block of that place is warm; extents_settle() is the one function that
 * moves it on, whenever something may have changed:
 *
 *   no place         warm blocks, else cold ones within the budget (which are
 *                    then asked for), else wait while other pages are under
 *                    way, else refuse
 *   place, filling   wait
 *   place, cold      the system had no pages: give the place up, and from now
 *                    on take only blocks that are warm
 *   place, warm      lend
 *
 * populate() may answer from inside, so settling is guarded against itself.
 */
#include "core/extents_internal.h"

#include <stdlib.h>

static uint32_t blocks_of(uint64_t bytes)
{
    return (uint32_t)((bytes + ARENA_BLOCK - 1) / ARENA_BLOCK);
}

covey_status extents_new(struct extents **out, uint32_t node, uint64_t arena_bytes,
                         const struct extents_ops *ops, void *io)
{
    uint64_t count = arena_bytes / ARENA_BLOCK;
    if (count > UINT32_MAX / 2)
        return COVEY_ETOOBIG;
    uint32_t table = blocks_of(count * sizeof(uint64_t));
    if (count <= table)
        return COVEY_EINVAL;
    struct extents *x = calloc(1, sizeof(*x));
    if (!x)
        return COVEY_ENOMEM;
    x->at = calloc(count, sizeof(*x->at));
    if (!x->at || !blocks_init(&x->blocks, (uint32_t)count, table)) {
        free(x->at);
        free(x);
        return COVEY_ENOMEM;
    }
    x->node = node;
    x->ops = ops;
    x->io = io;
    x->gen_next = 1;
    map_init(&x->writers, sizeof(struct key_addr));
    list_init(&x->waiting);
    list_init(&x->lent);
    list_init(&x->closed);
    *out = x;
    return COVEY_OK;
}

static void extent_delete(struct extent *e)
{
    list_del(&e->in_state);
    list_del(&e->in_writer);
    free(e->freed);
    free(e->keep);
    free(e);
}

void extents_free(struct extents **extents)
{
    struct extents *x = *extents;
    if (!x)
        return;
    struct list *lists[] = {&x->waiting, &x->lent, &x->closed};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        list_each(it, lists[i])
            extent_delete(list_entry(it, struct extent, in_state));
    struct writer *w;
    for (uint32_t i = 0; (w = map_next(&x->writers, &i)) != NULL;)
        free(w);
    map_fini(&x->writers);
    blocks_fini(&x->blocks);
    free(x->at);
    free(x);
    *extents = NULL;
}

/* ---- writers and extents --------------------------------------------------- */

static struct key_addr key_of(struct addr a)
{
    return (struct key_addr){a.node, a.proc, a.inc, a.actor};
}

struct writer *extent_writer_find(const struct extents *x, struct addr who)
{
    struct key_addr key = key_of(who);
    return map_get(&x->writers, &key);
}

static struct writer *writer_of(struct extents *x, struct addr who)
{
    struct key_addr key = key_of(who);
    struct writer *w = map_get(&x->writers, &key);
    if (w)
        return w;
    w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->who = who;
    list_init(&w->extents);
    if (!map_put(&x->writers, &key, w)) {
        free(w);
        return NULL;
    }
    return w;
}

static struct extent *extent_new(struct writer *w, uint64_t request, uint64_t bytes)
{
    struct extent *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->state = EXTENT_WAITING;
    e->writer = w;
    e->who = w->who;
    e->request = request;
    e->blocks = bytes ? blocks_of(bytes) : 1;
    /* A large extent holds one large object, so this bounds every honest one. */
    uint64_t used = (uint64_t)e->blocks * ARENA_BLOCK;
    e->objects_max = (uint32_t)((used < EXTENT_BYTES ? used : EXTENT_BYTES) / OBJECT_ALIGN);
    e->freed = calloc((e->objects_max + 63) / 64, sizeof(uint64_t));
    if (!e->freed) {
        free(e);
        return NULL;
    }
    list_init(&e->in_state);
    list_push(&w->extents, &e->in_writer);
    return e;
}

struct extent *extent_find(struct extents *x, uint32_t extent, uint64_t gen)
{
    struct extent *e = extent < x->blocks.count ? x->at[extent] : NULL;
    return e && e->state != EXTENT_WAITING && e->gen == gen ? e : NULL;
}

static void publish(struct extents *x, const struct extent *e, uint64_t gen)
{
    for (uint32_t i = 0; i < e->blocks; i++)
        x->ops->publish(x->io, e->first + i, gen);
}

/* ---- budget and refusals --------------------------------------------------- */

/* Cold blocks that may be filled now.  What is under way is not yet in the
 * figures from which io computes the budget, so it is taken off here. */
static uint32_t room(const struct extents *x)
{
    uint64_t blocks = x->ops->budget(x->io) / ARENA_BLOCK;
    if (blocks <= x->blocks.filling)
        return 0;
    blocks -= x->blocks.filling;
    return blocks < x->blocks.count ? (uint32_t)blocks : x->blocks.count;
}

static struct extent_refusal refusal_of(const struct extents *x, uint64_t request,
                                        covey_status status, uint32_t room_blocks)
{
    const struct blocks *b = &x->blocks;
    return (struct extent_refusal){
        .request = request,
        .status = status,
        .store_bytes = (uint64_t)(b->count - b->table) * ARENA_BLOCK,
        .free_bytes = (uint64_t)blocks_available(b, room_blocks) * ARENA_BLOCK,
        .largest_bytes = (uint64_t)blocks_largest(b, room_blocks) * ARENA_BLOCK,
    };
}

static void refuse(struct extents *x, struct addr who, uint64_t request, covey_status status)
{
    struct extent_refusal r = refusal_of(x, request, status, room(x));
    x->ops->refused(x->io, who, &r);
}

/* There is no place for @e.  It is fragmented where what lives would leave room
 * for it: then releasing a few objects helps, and not only a larger store. */
static void refuse_full(struct extents *x, const struct extent *e, uint32_t room_blocks)
{
    struct extent_refusal r = refusal_of(x, e->request, COVEY_ESTOREFULL, room_blocks);
    list_each(it, &x->closed)
        r.live_bytes += extent_live_bytes(x, list_entry(it, struct extent, in_state));
    r.held_extents = x->closed_count;
    r.held_bytes = (uint64_t)x->closed_blocks * ARENA_BLOCK;
    r.live_objects = x->objects_live;
    if (r.free_bytes + (r.held_bytes - r.live_bytes) >= (uint64_t)e->blocks * ARENA_BLOCK)
        r.status = COVEY_EFRAGMENTED;
    x->ops->refused(x->io, e->writer->who, &r);
}

/* ---- waiting -> lent ------------------------------------------------------- */

static void ask_pages(struct extents *x, uint32_t first, uint32_t n, uint32_t spare)
{
    for (uint32_t at = first, m; blocks_next_cold(&x->blocks, false, first + n, &at, &m);) {
        uint32_t from = at, count = m, end = at + m;
        blocks_widen(&x->blocks, POPULATE_BLOCKS, spare, &from, &count);
        spare -= count - m;
        blocks_fill(&x->blocks, from, count);
        x->ops->populate(x->io, from, count);
        at = end;
    }
}

static void put_at(struct extents *x, struct extent *e, uint32_t first)
{
    assert(e->first == 0);
    e->first = first;
    blocks_take(&x->blocks, first, e->blocks, e->writer->who.proc);
    assert(x->at[first] == NULL);
    x->at[first] = e;
}

static void take_away(struct extents *x, struct extent *e)
{
    if (!e->first)
        return;
    assert(x->at[e->first] == e);
    x->at[e->first] = NULL;
    blocks_give(&x->blocks, e->first, e->blocks);
    e->first = 0;
}

void extent_drop(struct extents *x, struct extent *e)
{
    assert(e->state == EXTENT_WAITING);
    take_away(x, e);
    x->waiting_count--;
    extent_delete(e);
}

/* Find a place, and ask for pages where they miss.  False: none now.  Then it
 * waits for pages under way if those could help, else it is refused and gone. */
static bool place(struct extents *x, struct extent *e)
{
    struct blocks *b = &x->blocks;
    uint32_t at = blocks_find_warm(b, e->blocks, e->writer->who.proc);
    if (at) {
        put_at(x, e, at);
        return true;
    }
    uint32_t cold = 0, most = e->warm_only ? 0 : room(x);
    if (!e->warm_only)
        at = blocks_find(b, e->blocks, most, &cold);
    if (at) {
        put_at(x, e, at);
        ask_pages(x, at, e->blocks, most - cold);
        return true;
    }
    if (b->filling && blocks_largest(b, BLOCKS_ALL) >= e->blocks)
        return false;
    refuse_full(x, e, most);
    extent_drop(x, e);
    return false;
}

static void tell_grant(struct extents *x, const struct extent *e)
{
    struct extent_grant grant = {
        .request = e->request,
        .extent = e->first,
        .gen = e->gen,
        .offset = (uint64_t)e->first * ARENA_BLOCK,
        .bytes = (uint64_t)e->blocks * ARENA_BLOCK,
    };
    x->ops->granted(x->io, e->writer->who, &grant);
}

static void lend(struct extents *x, struct extent *e)
{
    e->state = EXTENT_LENT;
    e->gen = x->gen_next++;
    list_del(&e->in_state);
    list_push(&x->lent, &e->in_state);
    x->waiting_count--;
    x->lent_count++;
    x->lent_blocks += e->blocks;
    publish(x, e, e->gen);
    tell_grant(x, e);
}

static void advance(struct extents *x, struct extent *e)
{
    if (e->first && blocks_any_cold(&x->blocks, e->first, e->blocks)) {
        take_away(x, e);
        e->warm_only = true;
    }
    if (!e->first && !place(x, e))
        return;
    if (blocks_are_warm(&x->blocks, e->first, e->blocks))
        lend(x, e);
}

/* ---- pages ahead of need --------------------------------------------------- */

/* One run at a time, and only while no request waits for pages. */
static void top_up(struct extents *x)
{
    struct blocks *b = &x->blocks;
    if (b->filling || b->warm_free >= x->keep_warm_blocks)
        return;
    uint32_t first = 0, n, most = room(x), missing = x->keep_warm_blocks - b->warm_free;
    if (!most || !blocks_next_cold(b, true, b->count, &first, &n)) {
        x->keep_warm_blocks = 0;
        return;
    }
    uint32_t want = missing < POPULATE_BLOCKS ? missing : POPULATE_BLOCKS;
    want = want < most ? want : most;
    n = n < want ? n : want;
    blocks_widen(b, POPULATE_BLOCKS, most - n, &first, &n);
    blocks_fill(b, first, n);
    x->ops->populate(x->io, first, n);
}

void extents_keep_warm(struct extents *x, uint64_t bytes)
{
    uint64_t blocks = bytes / ARENA_BLOCK + (bytes % ARENA_BLOCK != 0);
    x->keep_warm_blocks = blocks < x->blocks.count ? (uint32_t)blocks : x->blocks.count;
    extents_settle(x);
}

void extents_settle(struct extents *x)
{
    if (x->settling) {
        x->again = true;
        return;
    }
    x->settling = true;
    do {
        x->again = false;
        list_each(it, &x->waiting)
            advance(x, list_entry(it, struct extent, in_state));
        top_up(x);
    } while (x->again);
    x->settling = false;
}

/* ---- events ---------------------------------------------------------------- */

void extents_want(struct extents *x, struct addr proc, uint64_t request, uint64_t bytes)
{
    if (bytes > (uint64_t)(x->blocks.count - x->blocks.table) * ARENA_BLOCK) {
        refuse(x, proc, request, COVEY_ETOOBIG);
        return;
    }
    struct writer *w = writer_of(x, proc);
    if (!w) {
        refuse(x, proc, request, COVEY_ENOMEM);
        return;
    }
    list_each(it, &w->extents) {
        struct extent *e = list_entry(it, struct extent, in_writer);
        if (e->request != request)
            continue;
        if (e->state == EXTENT_LENT)
            tell_grant(x, e);
        return; /* a waiting one is answered when it is ready */
    }
    if (x->waiting_count >= EXTENTS_WANTS_MAX) {
        refuse(x, proc, request, COVEY_ELIMIT);
        return;
    }
    struct extent *e = extent_new(w, request, bytes);
    if (!e) {
        refuse(x, proc, request, COVEY_ENOMEM);
        return;
    }
    list_push(&x->waiting, &e->in_state);
    x->waiting_count++;
    extents_settle(x);
}

void extents_populated(struct extents *x, uint32_t first_block, uint32_t blocks, bool ok)
{
    if (first_block >= x->blocks.count)
        return;
    uint32_t left = x->blocks.count - first_block;
    blocks_filled(&x->blocks, first_block, blocks < left ? blocks : left, ok);
    if (!ok)
        x->keep_warm_blocks = 0;
    extents_settle(x);
}

/* ---- lent -> closed -> free ------------------------------------------------ */

void extent_end_if_empty(struct extents *x, struct extent *e)
{
    if (e->state != EXTENT_CLOSED || e->live)
        return;
    x->closed_count--;
    x->closed_blocks -= e->blocks;
    publish(x, e, 0);
    take_away(x, e);
    extent_delete(e);
}

static uint32_t freed_below(const struct extent *e, uint32_t sealed)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i * 64 < sealed; i++) {
        uint64_t word = e->freed[i];
        if (sealed - i * 64 < 64)
            word &= (UINT64_C(1) << (sealed - i * 64)) - 1;
        count += (uint32_t)__builtin_popcountll(word);
    }
    return count;
}

void extent_close(struct extents *x, struct extent *e, uint32_t sealed)
{
    assert(e->state == EXTENT_LENT);
    assert(sealed <= e->objects_max);
    e->state = EXTENT_CLOSED;
    e->writer = NULL;
    list_del(&e->in_writer);
    list_del(&e->in_state);
    list_push(&x->closed, &e->in_state);
    x->lent_count--;
    x->lent_blocks -= e->blocks;
    x->closed_count++;
    x->closed_blocks += e->blocks;
    e->sealed = sealed;
    e->live = sealed - freed_below(e, sealed);
    x->objects_live += e->live;
    if (e->live == 0) {
        extent_end_if_empty(x, e);
        return;
    }
    /* Most extents have far fewer objects than the bitmap could hold. */
    uint64_t *smaller = realloc(e->freed, (sealed + 63) / 64 * sizeof(uint64_t));
    if (smaller)
        e->freed = smaller;
}

void extents_close(struct extents *x, struct addr proc, uint32_t extent, uint64_t gen,
                   uint32_t sealed, struct span freed)
{
    struct extent *e = extent_find(x, extent, gen);
    if (!e || e->state != EXTENT_LENT || !addr_eq(e->writer->who, proc))
        return;
    if (sealed > e->objects_max)
        sealed = e->objects_max;
    for (uint32_t i = 0; i < freed.len && i < (sealed + 7) / 8; i++)
        e->freed[i / 8] |= (uint64_t)freed.data[i] << (i % 8 * 8);
    extent_close(x, e, sealed);
    extents_settle(x);
}

void extent_mark_freed(struct extents *x, struct extent *e, uint32_t ordinal)
{
    if (ordinal >= (e->state == EXTENT_CLOSED ? e->sealed : e->objects_max))
        return;
    if (freed_get(e, ordinal))
        return;
    freed_set(e, ordinal);
    if (e->state != EXTENT_CLOSED)
        return;
    assert(e->live > 0);
    e->live--;
    x->objects_live--;
}

void extents_object_free(struct extents *x, uint32_t extent, uint64_t gen, uint32_t ordinal)
{
    struct extent *e = extent_find(x, extent, gen);
    if (!e)
        return;
    extent_mark_freed(x, e, ordinal);
    extent_end_if_empty(x, e);
    if (x->waiting_count)
        extents_settle(x);
}

/* ---- figures ---------------------------------------------------------------- */

struct extents_stats extents_stats(const struct extents *x)
{
    const struct blocks *b = &x->blocks;
    return (struct extents_stats){
        .store_bytes = (uint64_t)(b->count - b->table) * ARENA_BLOCK,
        .populated_bytes = (uint64_t)b->warm * ARENA_BLOCK,
        .lent_bytes = (uint64_t)x->lent_blocks * ARENA_BLOCK,
        .closed_bytes = (uint64_t)x->closed_blocks * ARENA_BLOCK,
        .free_bytes = (uint64_t)(b->count - b->busy) * ARENA_BLOCK,
        .largest_bytes = (uint64_t)blocks_largest(b, BLOCKS_ALL) * ARENA_BLOCK,
        .lent = x->lent_count,
        .closed = x->closed_count,
        .objects_live = x->objects_live,
    };
}
