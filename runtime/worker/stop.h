/* stop.h - a worker is told to end (SIGTERM) while it runs a command.
 *
 * Else a worker dies of SIGTERM, and a command with it, by SIGKILL: it would
 * have no time to leave its work in order.  So while a command runs, its group
 * gets the signal too, at once, and the worker lives on until the command has
 * ended or its grace is over; then it dies as it was told.
 *
 * Threads: begin and end on the main thread; the signal comes to any.
 */
#ifndef COVEY_WORKER_STOP_H
#define COVEY_WORKER_STOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct stop {
    int fd;                     /* borrowed; readable when the signal came; -1: look no more */
    bool works;
    pid_t group;
    int64_t grace_ms, kill_at;
    struct sigaction before;
};

/* From here on SIGTERM goes to process group @group, and SIGKILL @grace_ms
 * later.  Without descriptors left it ends the worker, as ever. */
void stop_begin(struct stop *stop, pid_t group, int64_t grace_ms);
/* How long poll() may sleep, and what to do after it; @readable: stop->fd is. */
int stop_poll_ms(const struct stop *stop);
void stop_turn(struct stop *stop, bool readable);
/* As before, for the next signal.  True: one came. */
bool stop_end(struct stop *stop);

#endif
