/* extents.h - the node's bookkeeping of its arena: who has which extent, what
 * in it lives, what exists in memory.  A core machine: it never touches the
 * arena itself; pages come and headers are read through extents_ops.
 *
 *           want                 close (or death of the writer)
 *   free ---------> lent ------------------------------> closed
 *     ^               (its writer bumps and seals)          |
 *     +-----------------------------------------------------+
 *                 every sealed object is freed
 *
 * Writers.  An extent is lent to one process, which allocates in it without
 * telling anybody.  Objects count from 0 (ordinal).  The owner of an object,
 * often another process, frees by (extent, generation, ordinal); frees are
 * idempotent: a bit each.  A lent extent collects frees, too; it is used again
 * only after it is closed and every one of its sealed objects is freed.
 *
 * Generations.  Each lend gives the extent a generation that was never used
 * before; extents_ops.publish writes it to the table that readers check.
 * Messages with another generation are old and do nothing.
 *
 * Memory that exists.  Blocks are populated (given pages) in runs of
 * POPULATE_BLOCKS before they are lent, never after, and stay populated; warm
 * blocks are lent first.  A request that needs cold blocks waits for them; the
 * budget says how much may still be populated.
 *
 * Death.  extents_proc_dead(writer): its lent extents are walked (headers are
 * claims: bounds, generation, ordinals are checked) and closed with what was
 * sealed.  For each sealed object of another owner, also in extents that the dead
 * one had closed, ops->sealed tells; the caller asks that owner whether it knows
 * the object.
 * extents_owner_gone(owner): after every process has said what it still holds
 * (the caller's census), all sealed objects of that owner are freed except
 * those in the given set; the set's members are the caller's to free later.
 *
 * Full.  A want that cannot be met is refused with the free total, the largest
 * run, and what closed extents hold beside what lives in them: COVEY_ETOOBIG
 * (larger than the whole store), COVEY_EFRAGMENTED (it would fit into what is
 * free together with what is dead in extents that a few live objects keep, but
 * no run is long enough), COVEY_ESTOREFULL.  What is free counts cold blocks
 * only as far as the budget goes; what lives is read from headers, of an extent
 * with very many objects estimated from the first.  Also COVEY_ELIMIT (too many
 * wait for pages) and COVEY_ENOMEM.  Nothing waits for space; the process that
 * wants it asks again.
 */
#ifndef COVEY_CORE_EXTENTS_H
#define COVEY_CORE_EXTENTS_H

#include "core/object.h"
#include "core/types.h"

#define POPULATE_BLOCKS (8u * 1024 * 1024 / ARENA_BLOCK)  /* 8 MiB at a time at least, 2 MiB aligned */
#define EXTENTS_WANTS_MAX 1024u /* requests that wait for pages */

struct extents;

struct extent_grant {
    uint64_t request;
    uint32_t extent;
    uint64_t gen, offset, bytes;
};
struct extent_refusal {
    uint64_t request;
    covey_status status;
    uint64_t store_bytes, free_bytes, largest_bytes;
    /* Of COVEY_EFRAGMENTED and COVEY_ESTOREFULL: closed extents, their bytes,
     * and the objects in them that live. */
    uint64_t held_extents, held_bytes, live_objects, live_bytes;
};

/* Only populate() may call back into extents. */
struct extents_ops {
    void (*granted)(void *io, struct addr proc, const struct extent_grant *grant);
    void (*refused)(void *io, struct addr proc, const struct extent_refusal *refusal);
    /* Give pages to these blocks; answer with extents_populated(). */
    void (*populate)(void *io, uint32_t first_block, uint32_t blocks);
    /* Write @block's generation: called for each block of an extent, with its
     * generation when it is lent and with 0 when it ends. */
    void (*publish)(void *io, uint32_t block, uint64_t gen);
    /* Copy the header at @offset, open or sealed; false if there is none. */
    bool (*header)(void *io, uint64_t offset, struct object_header *out);
    /* Found in a dead writer's extent: alive, owned by somebody else. */
    void (*sealed)(void *io, struct oid id, const struct place *place);
    /* Bytes that may still be populated, now. */
    uint64_t (*budget)(void *io);
};

/* @node stamps places.  The first blocks hold the generation table and are
 * never lent. */
covey_status extents_new(struct extents **out, uint32_t node, uint64_t arena_bytes,
                         const struct extents_ops *ops, void *io);
void extents_free(struct extents **extents);

/* A process wants @bytes contiguous (rounded up to blocks).  Answered through
 * ops, perhaps from inside.  The same (proc, request) again gets the same
 * answer while the extent is still lent. */
void extents_want(struct extents *x, struct addr proc, uint64_t request, uint64_t bytes);
void extents_populated(struct extents *x, uint32_t first_block, uint32_t blocks, bool ok);
/* Have this much warm and unlent, in the background.  Stops when there are no
 * pages to be had, until called again. */
void extents_keep_warm(struct extents *x, uint64_t bytes);
/* @freed: bit i is ordinal i. */
void extents_close(struct extents *x, struct addr proc, uint32_t extent, uint64_t gen,
                   uint32_t sealed, struct span freed);
void extents_object_free(struct extents *x, uint32_t extent, uint64_t gen, uint32_t ordinal);
void extents_proc_dead(struct extents *x, struct addr proc);
/* @held: @held_count places that somebody still reads.  An owner with proc 0
 * means every owner of that node. */
void extents_owner_gone(struct extents *x, struct addr owner,
                        const struct place *held, uint32_t held_count);

struct extents_stats {
    uint64_t store_bytes, populated_bytes, lent_bytes, closed_bytes, free_bytes, largest_bytes;
    uint32_t lent, closed;
    uint64_t objects_live;      /* in closed extents */
};
struct extents_stats extents_stats(const struct extents *x);
/* For lists: call @fn for each sealed, unfreed object (reads headers). */
void extents_each(struct extents *x,
                  void (*fn)(void *ctx, const struct object_header *h, const struct place *p), void *ctx);
/* Every invariant of the bookkeeping; asserts.  For tests and the simulator. */
void extents_check(const struct extents *x);

#endif
