/* reporter.h - a command's way to its submitter: lines on a unix socket become
 * messages of the task, answers become lines.
 *
 *   command's processes --connect--> socket --line--> message with a question
 *                                       ^                    |
 *                                       +---- line <---- answer
 *
 * The socket is the process's, in the node's directory; its path is this attempt's
 * alone, another name that is gone with it, so that what a command left behind
 * cannot report for the next one.  Its peers are processes of users, so each is held
 * to bounds: a line beyond LINE_BYTES_MAX ends its connection, and so does an answer
 * that it leaves no room for because it does not read; the command's log tells that.
 * Where all places are taken, a
 * peer that has been silent and waits for nothing gives its place to the next one.
 *
 * Threads  The main thread, which runs the command, except reporter_answer():
 *          with the process's lock held, from whichever thread received it.
 */
#ifndef COVEY_WORKER_REPORTER_H
#define COVEY_WORKER_REPORTER_H

#include <poll.h>
#include "worker/command_log.h"
#include "worker/lines.h"
#include "worker/run.h"

#define REPORTER_PEERS_MAX 64           /* connections at once; more wait in the backlog ... */
#define REPORTER_BACKLOG 64             /* ... and beyond it, in connect(2) */
#define REPORTER_PATH_MAX 108

struct reporter_peer {
    int fd;                             /* -1: none */
    uint32_t serial;                    /* so that a late answer meets nobody else */
    struct lines lines;
    uint32_t asked;                     /* questions without an answer; under the lock */
    bool deaf;                          /* it was cut off, since it reads no answers; under the lock */
    uint64_t heard_at;                  /* the turn in which it last said something */
};

struct reporter {
    covey_ctx *ctx;
    struct command_log *log;            /* borrowed */
    char path[REPORTER_PATH_MAX];
    int listen_fd;                      /* -1: closed */
    struct reporter_peer peers[REPORTER_PEERS_MAX];
    /* Questions without an answer, in any order; number 0: none.  Under the lock. */
    struct { uint64_t number; uint32_t peer, serial; } asked[POST_WINDOW];
    uint32_t serial;
    uint64_t turns;
};

/* @log must outlive @r, and may have no file.  False: run_fail() was called. */
bool reporter_open(struct reporter *r, covey_ctx *ctx, struct command_log *log);
void reporter_close(struct reporter *r);
/* The descriptors to wait for: @fds has room for REPORTER_PEERS_MAX + 1; how many were
 * set.  reporter_turn() takes them back after the poll. */
int reporter_poll(const struct reporter *r, struct pollfd *fds);
/* How long that poll may take at most, @ms otherwise (-1: without end): where all places
 * are taken by peers that wait, an answer makes room, and no descriptor tells of it. */
int reporter_poll_ms(const struct reporter *r, const struct pollfd *fds, int count, int ms);
void reporter_turn(struct reporter *r, const struct pollfd *fds, int count);
/* A line that came by another way, without an answer. */
void reporter_post(struct reporter *r, struct span line);
/* Read what has arrived when the command has ended. */
void reporter_finish(struct reporter *r);
/* True: the question was one of these, and its answer has been written. */
bool reporter_answer(struct reporter *r, uint64_t number, struct span body);

#endif
