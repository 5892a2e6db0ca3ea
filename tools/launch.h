/* launch.h - spawn one daemon of ours and hear that it is ready.
 *
 *   covey ---fork, setsid, exec---> covey _head --name NAME --ready-fd 3
 *         <---- "ready\n", or "failed: WHY\n" ----
 *
 * The daemon is this same program file.  It keeps nothing of its starter:
 * standard input is /dev/null, output and errors go to a file under the state
 * directory, no other descriptor but the ready one is inherited.
 */
#ifndef COVEY_TOOLS_LAUNCH_H
#define COVEY_TOOLS_LAUNCH_H

#include <sys/types.h>
#include "cluster.h"

struct launched {
    pid_t pid;
    int ready_fd, pidfd;        /* -1: none */
    char log[PLACE_MAX + 32];   /* where its words go */
};
#define LAUNCHED_NONE ((struct launched){.ready_fd = -1, .pidfd = -1})

covey_status launch_daemon(struct launched *d, const char *command, const struct places *p,
                          const struct cluster_options *options, char *why, size_t why_size);
/* Blocks until it said so, at most until @deadline (of mono_ns()).
 * COVEY_ETIMEOUT; COVEY_ESYSTEM: it ended, its last words are in @why. */
covey_status launch_wait_ready(struct launched *d, int64_t deadline, char *why, size_t why_size);
/* SIGTERM, and SIGKILL after a second; returns when it is dead. */
void launch_kill(struct launched *d);
/* Give up the descriptors, not the daemon. */
void launch_close(struct launched *d);

#endif
