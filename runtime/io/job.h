/* job.h - run one function on a thread of libuv's pool, and its end on the loop.
 *
 * For work that blocks on the disk.  Threads: job_run() and @done on the loop
 * thread.  The loop must run until every job is done: libuv cannot stop one.
 */
#ifndef COVEY_IO_JOB_H
#define COVEY_IO_JOB_H

#include <uv.h>

#include "core/types.h"

/* @work runs elsewhere and touches nothing but @ctx; then @done runs here.  If
 * COVEY_ENOMEM is returned neither does. */
covey_status job_run(uv_loop_t *loop, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

#endif
