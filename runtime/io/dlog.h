/* dlog.h - what a daemon tells its operator: lines with a time and a level.
 *
 *     2026-03-01T10:20:30.123Z warn  covey node: the head sent nonsense: ...
 *
 * They go to standard error, which is STATE/node.log or head.log (covey logs node,
 * covey logs head).  COVEY_LOG says down to which level: error, warn, info or
 * debug; info unless it is set.
 *
 *   error   it cannot do its work any more
 *   warn    something is wrong, and it goes on
 *   info    what happens a few times in a cluster's life
 *   debug   what happens with each process
 *
 * A file is emptied when this process has written DLOG_FILE_MAX bytes to it, so that a
 * daemon that complains for months does not fill a disk; the first line then says so.
 *
 * Threads: any, once dlog_open() has returned; a line is one write(2).
 */
#ifndef COVEY_IO_DLOG_H
#define COVEY_IO_DLOG_H

#include "covey.h"

enum dlog_level { DLOG_ERROR, DLOG_WARN, DLOG_INFO, DLOG_DEBUG, DLOG_COUNT };

#define DLOG_FILE_MAX (16 * 1024 * 1024)
#define DLOG_LINE_MAX 1024               /* bytes; what is longer is cut, and what is no text is a space */

/* @name: "node"; borrowed for ever.  Reads COVEY_LOG. */
void dlog_open(const char *name);
void dlog_line(enum dlog_level level, const char *format, ...) COVEY_PRINTF(2, 3);

#define dlog_error(...) dlog_line(DLOG_ERROR, __VA_ARGS__)
#define dlog_warn(...) dlog_line(DLOG_WARN, __VA_ARGS__)
#define dlog_info(...) dlog_line(DLOG_INFO, __VA_ARGS__)
#define dlog_debug(...) dlog_line(DLOG_DEBUG, __VA_ARGS__)

#endif
