/* extents_internal.h - what the files of extents share; see extents.h.
 *
 *   extents.c        wants, grants, closes, frees
 *   extents_walk.c   what reads headers: deaths, owners gone, lists, live bytes
 *   extents_check.c  the invariants
 *   blocks.c         which blocks are free, which have pages
 */
#ifndef COVEY_CORE_EXTENTS_INTERNAL_H
#define COVEY_CORE_EXTENTS_INTERNAL_H

#include "core/blocks.h"
#include "core/extents.h"
#include "core/list.h"
#include "core/map.h"

enum extent_state {
    EXTENT_WAITING,     /* for pages, or for a place (first == 0) */
    EXTENT_LENT,
    EXTENT_CLOSED
};

struct writer {
    struct addr who;
    struct list extents;        /* waiting and lent */
};

struct extent {
    struct list in_state, in_writer;
    enum extent_state state;
    uint32_t first, blocks;

    struct writer *writer;      /* NULL once closed */
    struct addr who;            /* writes it, or wrote */
    uint64_t request;
    bool warm_only;             /* pages were refused once: take only what exists */

    uint64_t gen;               /* once lent */
    uint32_t objects_max;
    uint64_t *freed;            /* owned; a bit an ordinal */

    uint32_t sealed, live;      /* once closed */
    uint64_t live_bytes;        /* when @live_measured of them lived */
    uint32_t live_measured;     /* 0: never measured */
    bool owners_known;
    uint64_t owners;            /* a bit for a hash of each owner in it */

    uint64_t *keep;             /* owned; during extents_owner_gone(): still held */
    bool keep_all;
};

struct extents {
    uint32_t node;
    const struct extents_ops *ops;
    void *io;
    struct blocks blocks;
    struct extent **at;         /* owned; by first block */
    struct map writers;         /* key_addr -> struct writer, owned */
    struct list waiting, lent, closed;
    uint32_t waiting_count, lent_count, closed_count;
    uint32_t lent_blocks, closed_blocks;
    uint64_t objects_live;
    uint64_t gen_next;
    uint32_t keep_warm_blocks;  /* 0 after a failure, until asked again */
    bool settling, again;
};

static inline bool freed_get(const struct extent *e, uint32_t ordinal)
{
    return e->freed[ordinal / 64] >> (ordinal % 64) & 1;
}
static inline void freed_set(struct extent *e, uint32_t ordinal)
{
    e->freed[ordinal / 64] |= UINT64_C(1) << (ordinal % 64);
}

/* The lent or closed extent that has this generation, else NULL. */
struct extent *extent_find(struct extents *x, uint32_t extent, uint64_t gen);
struct writer *extent_writer_find(const struct extents *x, struct addr who);
/* No more of it is written; @sealed ordinals exist.  May end the extent. */
void extent_close(struct extents *x, struct extent *e, uint32_t sealed);
/* One ordinal is freed; a second time does nothing. */
void extent_mark_freed(struct extents *x, struct extent *e, uint32_t ordinal);
/* Closed, and nothing in it lives: it is free again and @e is gone. */
void extent_end_if_empty(struct extents *x, struct extent *e);
/* About how many bytes of a closed one the objects take that live in it.  All of
 * it while every one lives: then nothing in it could be released alone. */
uint64_t extent_live_bytes(const struct extents *x, struct extent *e);
/* Forget a waiting one. */
void extent_drop(struct extents *x, struct extent *e);
/* Look at everything that waits, after anything changed. */
void extents_settle(struct extents *x);

#endif
