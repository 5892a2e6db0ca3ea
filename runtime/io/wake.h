/* wake.h - wake a thread that sleeps in poll(): one eventfd.
 *
 * Wakes coalesce, so each stands for "look at the queue" and never for one
 * item of it.  wake_set() may be called from any thread and from a signal
 * handler; wake_clear() by the thread that sleeps, before it looks.
 */
#ifndef COVEY_IO_WAKE_H
#define COVEY_IO_WAKE_H

#include "core/types.h"

/* The caller owns *@fd: non-blocking, close-on-exec.  COVEY_ESYSTEM, errno. */
covey_status wake_open(int *fd);
void wake_set(int fd);
/* True if it was set. */
bool wake_clear(int fd);

#endif
