/* store.h - a process's side of its node's arena: write into lent extents,
 * read objects in place.
 *
 * The arena is one memfd.  The whole of it is mapped read-only: pointers that
 * users get come from there.  Lent extents are mapped writable, in a window of
 * their own at the same offsets, and stay mapped when they go back, since the
 * same warm pages tend to return.  That guards against accidents and not
 * against a hostile process of the same user.
 *
 * Allocation bumps in the one open extent; an object beyond OBJECT_SHARED_MAX
 * has an extent of its own.  When there is none with room, store_alloc()
 * returns COVEY_EAGAIN and store_want() tells what to ask the node for; the
 * caller sends that, waits for the grant, and tries again.  A spare is asked
 * for ahead, when the open extent is three quarters full.  Where the store is
 * too fragmented for whole extents, smaller ones are asked for.
 *
 * Frees of objects in extents that are still lent to this process stay local
 * (a bit); they travel with the close.  Others are gathered per extent for
 * store_next_free().  An extent that closes with every object freed is just
 * such a message, too: only the node makes extents free again.
 *
 * Threads: the caller's lock, except store_read(), store_warm() and
 * store_copy(), which are safe from any thread while the store is open.
 */
#ifndef COVEY_STORE_STORE_H
#define COVEY_STORE_STORE_H

#include "core/msg.h"
#include "core/object.h"
#include "core/types.h"

/* Sizes that are asked for at the same time, and large extents that were
 * granted and that nobody has come back for. */
#define STORE_WANTS_MAX 16u

struct store;

/* Takes both descriptors (@rw_fd may be -1: read only).  COVEY_ENOMEM,
 * COVEY_ESYSTEM with errno when the mapping fails. */
covey_status store_open(struct store **out, int ro_fd, int rw_fd, uint64_t arena_bytes, uint32_t node);
void store_close(struct store **store);
/* What extents can take: the arena without its table of generations. */
uint64_t store_bytes(const struct store *s);

/* Room for an object.  *@data is writable, 64-aligned, uninitialised; *@place
 * is where it will be.  COVEY_EAGAIN: ask the node (store_want), then again.
 * COVEY_ETOOBIG: larger than the store.  COVEY_ENOMEM. */
covey_status store_alloc(struct store *s, struct oid id, covey_kind kind, uint64_t size,
                         struct place *place, void **data);
/* Before writing a large object: fill the page tables of its place in one call,
 * which is faster than a fault a page.  Takes 0.25 s a GiB the first time this
 * process writes there (4 KiB pages) and nothing afterwards, so call it without
 * the lock; for objects below 4 MiB it is done already. */
void store_warm(struct store *s, const struct place *place);
/* Publish it.  From now on any process reads it. */
void store_seal(struct store *s, const struct place *place);
/* Give up an object that was never sealed: it is sealed empty and freed. */
void store_abandon(struct store *s, const struct place *place);

/* The payload, read-only, for as long as the caller keeps the object alive.
 * COVEY_ESTALE: the hint is wrong (generation, bounds, id, not sealed). */
covey_status store_read(struct store *s, struct oid id, const struct place *place, const void **data);

/* The owner let go of it. */
void store_free(struct store *s, const struct place *place);

/* Something to ask for: true fills @out (each is told once; a refusal or grant
 * ends it). */
bool store_want(struct store *s, struct msg_extent_want *out);
void store_granted(struct store *s, const struct msg_extent_grant *grant);
void store_refused(struct store *s, const struct msg_extent_refused *refused);
/* Why allocs of this size cannot be served: valid after a refusal, before or
 * after the next store_alloc(), which then returns COVEY_EAGAIN but asks for
 * nothing.  Telling ends the refusal: the next alloc asks again.  COVEY_OK if
 * there is none. */
covey_status store_refusal(struct store *s, uint64_t size, struct msg_extent_refused *out);
/* Nobody waits for this size any more (a timeout, a cancel): what comes for it
 * goes back. */
void store_unwant(struct store *s, uint64_t size);

/* Messages that are due; spans and arrays are valid until the next call. */
bool store_next_close(struct store *s, struct msg_extent_close *out);
bool store_next_free(struct store *s, struct msg_object_free *out);
/* Close the open extents, too (before leaving). */
void store_close_extents(struct store *s);

/* Copy with the fastest stores for the size (non-temporal from 1 MiB). */
void store_copy(void *dst, const void *src, size_t size);

/* The node's side: make and size the memfd (sealed SHRINK|GROW), map it, give
 * pages.  No names anywhere. */
struct arena;
covey_status arena_new(struct arena **out, uint64_t bytes);
void arena_free(struct arena **arena);
int arena_fd_read_only(const struct arena *arena);  /* owned by the arena */
int arena_fd_writable(const struct arena *arena);
/* MADV_POPULATE_WRITE with huge pages where they are allowed; blocks until the
 * pages are there; thread-safe.  COVEY_ENOMEM: the system has none. */
covey_status arena_populate(struct arena *arena, uint64_t offset, uint64_t bytes);
void arena_publish(struct arena *arena, uint32_t block, uint64_t gen);
bool arena_header(const struct arena *arena, uint64_t offset, struct object_header *out);
/* min(@limit - @populated, what the machine and the cgroup can still give, less
 * a reserve).  Reads a few small files. */
uint64_t arena_budget(uint64_t populated_bytes, uint64_t limit_bytes);

#endif
