/* logs.h - what workers print: to a file each, to the owner whose task runs,
 * and the last lines for causes of death.
 *
 *   pipe --> whole lines --> STATE/logs/worker-PROC.log   (one .1 behind it)
 *                       \--> logs_ops.lines: the owner     at most LOG_OWNER_RATE
 *                        \-> the last LOG_TAIL_LINES       always
 *
 * Nobody waits.  A worker that prints more than the rates is read all the same
 * and what exceeds them is dropped, counted, and said: in the file by a line of
 * its own, to the owner with the next lines.  So printing gigabytes blocks
 * nobody, fills no memory (LOG_LINE_MAX a stream), and no disk (twice
 * LOG_BYTES_MAX a worker, LOG_FILES_MAX dead workers).
 *
 * Standard error and standard output stand in one file, in the order in which
 * they were read.  A line longer than LOG_LINE_MAX is broken.  NUL bytes become
 * blanks, since lists separate cells by NUL.
 *
 * A file appears with the first line.  Files of the run before are in
 * STATE/logs/previous.
 *
 * Threads: the node's loop thread; file writes go to the page cache.
 */
#ifndef COVEY_NODE_LOGS_H
#define COVEY_NODE_LOGS_H

#include "core/buf.h"
#include "core/types.h"
#include "io/page.h"

#define LOG_BYTES_MAX (16u * 1024 * 1024)   /* of a file before it becomes .1 */
#define LOG_FILES_MAX 256u                  /* of dead workers */
#define LOG_LINE_MAX (8u * 1024)
#define LOG_READ_MAX (64u * 1024)           /* of one worker in one turn */
#define LOG_TAIL_LINES 8u
#define LOG_TAIL_LINE_MAX 200u              /* bytes kept of each */
#define LOG_FILE_RATE (8u * 1024 * 1024)    /* bytes a second ... */
#define LOG_FILE_BURST (16u * 1024 * 1024)
#define LOG_OWNER_RATE (1u * 1024 * 1024)
#define LOG_OWNER_BURST (2u * 1024 * 1024)
#define LOG_QUERY_BYTES_MAX (4u * 1024 * 1024)  /* of a file's end that a query looks at */

struct logs;
struct log;

struct logs_ops {
    /* Whole lines of @proc, at most LOG_READ_MAX + LOG_LINE_MAX bytes, borrowed.
     * @dropped bytes were left out before them.  False: not wanted now; they
     * count as left out. */
    bool (*lines)(void *io, uint32_t proc, bool is_error, uint64_t dropped, struct span text);
};

/* COVEY_ENOMEM, COVEY_ESYSTEM: the directory cannot be made. */
covey_status logs_open(struct logs **out, const char *state_dir, const struct logs_ops *ops, void *io);
/* All logs must be closed. */
void logs_close(struct logs **logs);

/* @proc 0: neither file nor owner, only the last lines (a zygote's).  A file
 * that cannot be written is told on standard error, once; the rest works
 * without.  COVEY_ENOMEM, COVEY_ESYSTEM: no page to share. */
covey_status log_open(struct log **out, struct logs *logs, uint32_t proc);
void log_close(struct log **log);
/* The descriptor of the page that is shared with the worker (io/page.h), now
 * the caller's.  -1: @proc was 0, or it was taken. */
int log_take_page(struct log *log);
/* What runs in it, or ran when it died; false: nothing. */
bool log_running(const struct log *log, struct page_task *out);

enum log_read { LOG_MORE, LOG_EMPTY, LOG_END };
/* Take what the pipe @fd (non-blocking) has, at most LOG_READ_MAX. */
enum log_read log_read(struct log *log, int fd, bool is_error, int64_t now);
/* Both pipes have ended: what is left of unfinished lines counts as lines. */
void log_finish(struct log *log, int64_t now);
/* "; last lines:" and the last lines, newest last, each on a line of its own;
 * "" if there are none. */
void log_tail(const struct log *log, char *out, size_t size);

/* The last @limit lines (0: all) within the last LOG_QUERY_BYTES_MAX of @proc,
 * alive or dead, each ended by NUL, in @cells; *@left_out: how many lines of
 * these bytes the limit left out.  COVEY_EUNKNOWN: it printed nothing, or its
 * file is gone.  COVEY_ENOMEM. */
covey_status logs_query(const struct logs *logs, uint32_t proc, uint32_t limit, struct buf *cells,
                        uint64_t *left_out);

/* The task "tOWNER.NUMBER" (rows.h) that a worker runs, or that a worker died
 * of: who and what, to be shown with logs_query_task(). */
bool logs_find_running(const struct logs *logs, uint32_t owner, uint64_t number, uint32_t *worker,
                       struct printed *out);
/* The same as logs_query() for what @proc printed while a task ran, behind
 * position @after of the log; each line with its position and a blank before.
 * Of a task that runs only whole lines.  COVEY_EUNKNOWN: the worker's log is
 * gone.  Read the pipes first (output_drain). */
covey_status logs_query_task(const struct logs *logs, uint32_t proc, const struct printed *printed,
                             uint64_t after, uint32_t limit, struct buf *cells, uint64_t *left_out);

#endif
