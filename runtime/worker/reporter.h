/* reporter.h - a command's way to its submitter: lines on a unix socket become
 * messages of the task, answers become lines.
 *
 *   command's processes --connect--> socket --line--> message with a question
 *                                       ^                    |
 *                                       +---- line <---- answer
 *
 * The socket is this task's alone, in the node's directory, and is gone with
 * the task.  A peer that does not read its answers loses them, and a line
 * beyond REPORTER_LINE_MAX ends its connection.
 *
 * Threads  The main thread, which runs the command, except reporter_answer():
 *          with the process's lock held, from whichever thread received it.
 */
#ifndef COVEY_WORKER_REPORTER_H
#define COVEY_WORKER_REPORTER_H

#include <poll.h>
#include "worker/run.h"

#define REPORTER_PEERS_MAX 16           /* connections at once; more wait in the backlog */
#define REPORTER_LINE_MAX (64u * 1024)
#define REPORTER_PATH_MAX 108

struct reporter_peer {
    int fd;                             /* -1: none */
    uint32_t serial;                    /* so that a late answer meets nobody else */
    struct buf in;                      /* a line that has not ended */
};

struct reporter {
    covey_ctx *ctx;
    char path[REPORTER_PATH_MAX];
    int listen_fd;                      /* -1: closed */
    struct reporter_peer peers[REPORTER_PEERS_MAX];
    /* Questions without an answer, oldest first; under the lock. */
    struct { uint64_t number; uint32_t peer, serial; } asked[POST_WINDOW];
    uint32_t asked_first, asked_count, serial;
};

/* False: run_fail() was called. */
bool reporter_open(struct reporter *r, covey_ctx *ctx);
void reporter_close(struct reporter *r);
/* The descriptors to wait for: @fds has room for REPORTER_PEERS_MAX + 1; how many were
 * set.  reporter_turn() takes them back after the poll. */
int reporter_poll(const struct reporter *r, struct pollfd *fds);
void reporter_turn(struct reporter *r, const struct pollfd *fds, int count);
/* A line that came by another way, without an answer. */
void reporter_post(struct reporter *r, const char *line, size_t size);
/* Read what has arrived when the command has ended. */
void reporter_finish(struct reporter *r);
/* True: the question was one of these, and its answer has been written. */
bool reporter_answer(struct reporter *r, uint64_t number, struct span body);

#endif
