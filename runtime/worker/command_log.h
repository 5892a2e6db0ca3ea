/* command_log.h - the file that a command's output goes to, and how much of it.
 *
 * The first half of COMMAND_LOG_MAX is written as it comes.  Of what follows only
 * the end is kept, in memory, and is written when the command has ended, behind
 * a line that says how much is left out: a script that prints gigabytes fills no
 * disk, and its first and last words are there. */
#ifndef COVEY_WORKER_COMMAND_LOG_H
#define COVEY_WORKER_COMMAND_LOG_H

#include "core/buf.h"

struct command_log {
    int fd;                             /* -1: none */
    uint64_t written, printed;          /* bytes in the file; and that came */
    struct buf tail;
};

/* Append to @path.  False: errno says why. */
bool command_log_open(struct command_log *log, const char *path);
void command_log_add(struct command_log *log, const void *data, size_t size);
void command_log_close(struct command_log *log);

/* Keep the last COMMAND_CAPTURE_MAX bytes of @b, at least. */
void command_keep_tail(struct buf *b);

#endif
