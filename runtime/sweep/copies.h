/* copies.h - checkpoints are copied and removed by a thread of their own.
 *
 *   loop    copies_add() --queue--> thread: tree_copy(), one after the other --+
 *              copies_take() <--copies_fd()------------------------------------+
 *
 * A checkpoint of 100,000 files takes many seconds, in which the loop answers reports.
 *
 *   COPY_SNAPSHOT   trials/T/checkpoint  ->  trials/T/snapshot    for those who clone T
 *   COPY_CLONE      trials/F/snapshot, else its checkpoint  ->  trials/T/checkpoint
 *   COPY_REMOVE     both of T, which is over
 *
 * Order    As added, so that a clone gets the snapshot that its donor had when the clone was
 *          decided, whatever the donor does meanwhile.
 * Threads  All calls from the loop's thread.  From copies_add() on until copies_take() the
 *          two trees belong to the copying thread: the loop neither reads nor writes
 *          them, and starts no trial that would (copies_last() says whether there is a reason
 *          to wait).  The trial whose snapshot is taken waits for its answer so long.
 * Crashes  What is to be copied stands in DIR/copies from copies_add() on until the copy is
 *          whole and in its place: a link that leads nowhere, named by its number, with the
 *          words "snapshot T" or "clone T F".  A runner that was killed, or stopped in the
 *          middle, leaves it there; the next one begins with copies_pick_up(), in the old
 *          order, and what a trial goes on from is the old tree or the whole new one.  A snapshot
 *          that is taken again may be newer than the score that it belongs to, never older.
 * Bounds   What the loop adds: two for each trial that runs, and a removal for each that ends.
 */
#ifndef COVEY_SWEEP_COPIES_H
#define COVEY_SWEEP_COPIES_H

#include <stdbool.h>
#include <stdint.h>

enum copy_kind { COPY_SNAPSHOT, COPY_CLONE, COPY_REMOVE };
struct copy {
    uint64_t number;            /* grows from copy to copy */
    enum copy_kind kind;
    uint32_t trial, from;
    int error;                  /* errno; ECANCELED: stopped, DIR/copies still has it; 0: done */
};
struct copies;

/* @dir: the sweep's, at most SWEEP_PATH_MAX.  NULL: out of memory or of descriptors. */
struct copies *copies_new(const char *dir);
/* Waits until all is done, or stopped. */
void copies_free(struct copies **copies);

/* Number of the copy; 0 with errno: it cannot be noted, or there is no memory or thread. */
uint64_t copies_add(struct copies *copies, enum copy_kind kind, uint32_t trial, uint32_t from);
/* Add what is in DIR/copies, of runs that ended early, and let copies begin again after
 * copies_stop().  Nothing may be under way.  False with errno: DIR/copies cannot be read. */
bool copies_pick_up(struct copies *copies);
/* The last that was added for @trial's own trees and not yet taken; 0: none. */
uint64_t copies_last(const struct copies *copies, uint32_t trial);

/* Readable when there may be one to take, or the thread is done. */
int copies_fd(const struct copies *copies);
/* The next that has ended, in order. */
bool copies_take(struct copies *copies, struct copy *out);
/* Is there one that was not taken, or does the thread still tidy up? */
bool copies_busy(struct copies *copies);

/* What is under way and what comes ends with ECANCELED: copies, or @removals, too. */
void copies_stop(struct copies *copies, bool removals);

#endif
