/* extents_walk.c - what has to read headers: a writer's death, an owner's end,
 * lists, and how much of an extent lives.
 *
 * Headers were written by processes that may have died at any instruction, or
 * lie.  A walk starts at the extent's first byte and goes on as long as each
 * header has this generation, the next ordinal, and a size that stays inside;
 * the first that does not ends it.  So a lie can hide the liar's own later
 * objects, and nothing else.
 */
#include "core/extents_internal.h"

#include <stdlib.h>

/* Headers that are read to learn how much of an extent lives.  The objects of
 * one that has more are small, so their mean says enough; and a refusal stays
 * within some 40 ms even where 64 GiB of extents are all in pieces. */
#define MEASURE_HEADERS_MAX 256u

struct walk {
    uint64_t offset, end;
    uint64_t gen;
    uint32_t ordinal, ordinal_end;
};

static struct walk walk_of(const struct extent *e)
{
    uint64_t offset = (uint64_t)e->first * ARENA_BLOCK;
    return (struct walk){
        .offset = offset,
        .end = offset + (uint64_t)e->blocks * ARENA_BLOCK,
        .gen = e->gen,
        .ordinal_end = e->state == EXTENT_CLOSED ? e->sealed : e->objects_max,
    };
}

/* The next header.  *@sealed: it is an object, not one that was being written. */
static bool walk_next(const struct extents *x, struct walk *w, struct object_header *h,
                      struct place *place, bool *sealed)
{
    if (w->ordinal >= w->ordinal_end || w->end - w->offset < OBJECT_ALIGN)
        return false;
    if (!x->ops->header(x->io, w->offset, h))
        return false;
    *sealed = h->state == (OBJECT_SEALED ^ w->gen);
    if (!*sealed && h->state != (OBJECT_OPEN ^ w->gen))
        return false;
    if (h->gen != w->gen || h->ordinal != w->ordinal)
        return false;
    if (h->size > w->end - w->offset - OBJECT_ALIGN)
        return false;
    place->offset = w->offset;
    place->size = h->size;
    place->ordinal = h->ordinal;
    place->kind = h->kind;
    w->ordinal++;
    w->offset += object_stride(h->size);
    return true;
}

static struct place place_in(const struct extents *x, const struct extent *e)
{
    return (struct place){.node = x->node, .extent = e->first, .gen = e->gen};
}

static struct oid id_of(const struct object_header *h)
{
    return (struct oid){.node = h->node, .proc = h->proc, .seq = h->seq, .index = h->index};
}

/* ---- a writer's death ------------------------------------------------------- */

/* Objects of others, whose owners may never have heard of them: the dead one may not have
 * come to its reply. */
static void tell_sealed(struct extents *x, const struct extent *e, const struct object_header *h,
                        const struct place *place, struct addr dead)
{
    if (!freed_get(e, place->ordinal) && (h->node != dead.node || h->proc != dead.proc))
        x->ops->sealed(x->io, id_of(h), place);
}

static void look_at_closed(struct extents *x, struct addr dead)
{
    list_each(it, &x->closed) {
        struct extent *e = list_entry(it, struct extent, in_state);
        if (!addr_eq(e->who, dead))
            continue;
        struct walk w = walk_of(e);
        struct place place = place_in(x, e);
        struct object_header h;
        bool sealed;
        while (walk_next(x, &w, &h, &place, &sealed))
            if (sealed && h.seq != 0)
                tell_sealed(x, e, &h, &place, dead);
    }
}

static void close_for_dead(struct extents *x, struct extent *e, struct addr dead)
{
    struct walk w = walk_of(e);
    struct place place = place_in(x, e);
    struct object_header h;
    bool sealed;
    while (walk_next(x, &w, &h, &place, &sealed)) {
        if (!sealed || h.seq == 0) /* unfinished, or given up: nobody knows it */
            freed_set(e, place.ordinal);
        else
            tell_sealed(x, e, &h, &place, dead);
    }
    extent_close(x, e, w.ordinal);
}

void extents_proc_dead(struct extents *x, struct addr proc)
{
    struct writer *w = extent_writer_find(x, proc);
    look_at_closed(x, proc);
    if (!w)
        return;
    list_each(it, &w->extents) {
        struct extent *e = list_entry(it, struct extent, in_writer);
        if (e->state == EXTENT_WAITING)
            extent_drop(x, e);
        else
            close_for_dead(x, e, proc);
    }
    assert(list_empty(&w->extents));
    struct key_addr key = {proc.node, proc.proc, proc.inc, proc.actor};
    map_del(&x->writers, &key);
    free(w);
    extents_settle(x);
}

/* ---- an owner's end ---------------------------------------------------------- */

static uint64_t owner_bit(uint32_t node, uint32_t proc)
{
    uint64_t h = ((uint64_t)node << 32 | proc) * UINT64_C(0x9e3779b97f4a7c15);
    return UINT64_C(1) << (h >> 58);
}

/* Mark what is held.  Where there is no memory for marks everything in that
 * extent counts as held: that costs space and never a reader's bytes. */
static void mark_held(struct extents *x, const struct place *held, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (held[i].node != x->node)
            continue;
        struct extent *e = extent_find(x, held[i].extent, held[i].gen);
        if (!e)
            continue;
        uint32_t end = e->state == EXTENT_CLOSED ? e->sealed : e->objects_max;
        if (held[i].ordinal >= end)
            continue;
        if (!e->keep)
            e->keep = calloc((end + 63) / 64, sizeof(uint64_t));
        if (e->keep)
            e->keep[held[i].ordinal / 64] |= UINT64_C(1) << (held[i].ordinal % 64);
        else
            e->keep_all = true;
    }
}

static void unmark_held(struct extents *x, const struct place *held, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct extent *e = extent_find(x, held[i].extent, held[i].gen);
        if (!e)
            continue;
        free(e->keep);
        e->keep = NULL;
        e->keep_all = false;
    }
}

static bool is_kept(const struct extent *e, uint32_t ordinal)
{
    return e->keep_all || (e->keep && e->keep[ordinal / 64] >> (ordinal % 64) & 1);
}

/* A closed extent remembers (roughly) whose objects it has, so that the deaths
 * of processes that own little do not read every header of the store. */
static void free_owned(struct extents *x, struct extent *e, struct addr owner)
{
    if (e->owners_known && owner.proc && !(e->owners & owner_bit(owner.node, owner.proc)))
        return;
    struct walk w = walk_of(e);
    struct place place = place_in(x, e);
    struct object_header h;
    uint64_t owners = 0;
    bool sealed;
    while (walk_next(x, &w, &h, &place, &sealed)) {
        owners |= owner_bit(h.node, h.proc);
        bool owned = h.node == owner.node && (h.proc == owner.proc || owner.proc == 0);
        if (sealed && owned && !is_kept(e, place.ordinal))
            extent_mark_freed(x, e, place.ordinal);
    }
    e->owners = owners;
    e->owners_known = e->state == EXTENT_CLOSED;
    extent_end_if_empty(x, e);
}

void extents_owner_gone(struct extents *x, struct addr owner,
                        const struct place *held, uint32_t held_count)
{
    mark_held(x, held, held_count);
    list_each(it, &x->lent)
        free_owned(x, list_entry(it, struct extent, in_state), owner);
    list_each(it, &x->closed)
        free_owned(x, list_entry(it, struct extent, in_state), owner);
    unmark_held(x, held, held_count);
    extents_settle(x);
}

/* ---- lists --------------------------------------------------------------------- */

void extents_each(struct extents *x,
                  void (*fn)(void *ctx, const struct object_header *h, const struct place *p), void *ctx)
{
    struct list *lists[] = {&x->lent, &x->closed};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        list_each(it, lists[i]) {
            struct extent *e = list_entry(it, struct extent, in_state);
            struct walk w = walk_of(e);
            struct place place = place_in(x, e);
            struct object_header h;
            bool sealed;
            while (walk_next(x, &w, &h, &place, &sealed))
                if (sealed && !freed_get(e, place.ordinal))
                    fn(ctx, &h, &place);
        }
    }
}

/* ---- what lives ------------------------------------------------------------------ */

static uint64_t measure(const struct extents *x, const struct extent *e)
{
    struct walk w = walk_of(e);
    struct place place = place_in(x, e);
    struct object_header h;
    uint64_t bytes = 0, start = w.offset;
    uint32_t seen = 0;
    bool sealed;
    while (seen < e->live && w.ordinal < MEASURE_HEADERS_MAX && walk_next(x, &w, &h, &place, &sealed)) {
        if (freed_get(e, place.ordinal))
            continue;
        seen++;
        bytes += object_stride(h.size);
    }
    uint64_t extent_bytes = (uint64_t)e->blocks * ARENA_BLOCK;
    uint64_t mean = w.ordinal ? (w.offset - start) / w.ordinal : extent_bytes;
    bytes += (e->live - seen) * mean;
    return bytes < extent_bytes ? bytes : extent_bytes;
}

uint64_t extent_live_bytes(const struct extents *x, struct extent *e)
{
    assert(e->state == EXTENT_CLOSED);
    if (e->live_measured != e->live) {
        e->live_bytes = e->live == e->sealed ? (uint64_t)e->blocks * ARENA_BLOCK : measure(x, e);
        e->live_measured = e->live; /* it only falls: the same number is the same objects */
    }
    return e->live_bytes;
}
