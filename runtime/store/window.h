/* window.h - a process's two views of the arena: all of it read-only, and
 * writable what was lent.
 *
 * Both are at fixed offsets, so an object has the same offset in either.  What
 * was lent once stays mapped: the node prefers to lend a process what it had.
 *
 * Reading needs no warming: one fault maps many neighbours of a page that
 * exists, and asking for all at once was no faster (140 against 117 ms a GiB).
 * Writing does: each page is a fault of its own (460 against 300 ms, copy
 * included).
 *
 * Threads   window_warm() from any thread; the others under their caller's lock.
 */
#ifndef COVEY_STORE_WINDOW_H
#define COVEY_STORE_WINDOW_H

#include "core/object.h"
#include "core/types.h"

struct window {
    uint64_t bytes;
    uint8_t *read, *write;      /* owned; write is NULL without a descriptor */
    int ro_fd, rw_fd;           /* owned */
    uint64_t *mapped;           /* owned; a bit a block: writable */
    _Atomic uint64_t *warm;     /* owned; a bit a block: writable without a fault */
};

/* Takes the descriptors on success. */
covey_status window_open(struct window *w, int ro_fd, int rw_fd, uint64_t arena_bytes);
void window_close(struct window *w);
/* Make it writable.  False with errno. */
bool window_lend(struct window *w, uint64_t offset, uint64_t bytes);
/* Fill page tables before writing, once for each block; failures are only slow. */
void window_warm(struct window *w, uint64_t offset, uint64_t bytes);

#endif
