/* tensorboard.h - DIR/tb/0007/events.out.tfevents.*: the reports of trial 7, for TensorBoard.
 *
 * A file for each run of a trial, but for one that ended at once and reported
 * nothing.  Events wait in memory and are appended in
 * batches, and no file stays open, so that thousands of trials need no
 * descriptors.  Not durable: what a crash cut off is written anew from the
 * tables, into files of the next generation.
 *
 * All return 0 or an errno; tensorboard_path() then tells of which file.
 */
#ifndef COVEY_SWEEP_TENSORBOARD_H
#define COVEY_SWEEP_TENSORBOARD_H

#include "sweep/record/record.h"

#define TENSORBOARD_DIR "tb"
#define TENSORBOARD_PENDING_MAX (4u * 1024 * 1024)  /* bytes in memory, over all trials */

struct tensorboard;

/* @generation: how often the record was opened for writing.  NULL: out of memory. */
struct tensorboard *tensorboard_new(const char *dir, uint32_t generation);
/* What waits is lost. */
void tensorboard_free(struct tensorboard **tb);

/* A start begins a file; the end of a run completes it, on disk.  Reports of a run that
 * began before this process go to its file's end. */
int tensorboard_take(struct tensorboard *tb, const struct record_event *event);
int tensorboard_flush(struct tensorboard *tb);
/* Remove the trial's files of earlier generations. */
int tensorboard_forget(struct tensorboard *tb, uint32_t trial);
const char *tensorboard_path(const struct tensorboard *tb);

#endif
