/* zygote.h - a program that waits at covey_init() and forks workers.
 *
 * Loading a program is most of a worker's start, so a node starts it once and
 * lets that process, the zygote, fork each worker (0.2 ms instead of 3).  A
 * program that has more than one thread at covey_init() cannot be forked; the
 * node is told and executes it anew for each worker.
 *
 *   COVEY_ZYGOTE=FD   serve forks on the control socket FD
 *   COVEY_WORKER=FD   be one worker: its record waits on FD
 *
 *   zygote --READY threads------------------------------> node
 *   zygote <--FORK node proc token dir env + page, out, err---- node
 *   zygote --FORKED proc pid | FORK_FAILED proc errno---> node
 *   zygote <--KILL proc signal--------------------------- node
 *   zygote --EXITED proc pid status---------------------> node
 *   worker <--FORK node proc token dir env + page------------- node   (COVEY_WORKER)
 *
 * One record a packet: struct zygote_record, then the directory and the
 * environment.  Both ends may be of different builds, so it has a version and
 * fixed-size fields.
 *
 * A worker is the leader of a session of its own; is killed when its zygote
 * dies; has the environment that the record adds; shows its process number in
 * COVEY_PROC (node/family.h), written over the zygote's in place, so that
 * /proc/PID/environ of it and of what it starts tells whose they are; and is
 * more killable than the node when memory runs out.
 *
 * No libuv, no ZeroMQ, no thread: the zygote must stay forkable.
 */
#ifndef COVEY_WORKER_ZYGOTE_H
#define COVEY_WORKER_ZYGOTE_H

#include <stdbool.h>
#include <stdint.h>

#define ZYGOTE_VERSION 2u
#define ZYGOTE_ENV "COVEY_ZYGOTE"
#define ZYGOTE_WORKER_ENV "COVEY_WORKER"
#define ZYGOTE_PACKAGE_ENV "COVEY_PACKAGE"  /* hash of what runs, 32 hex digits, for submits of its own */
#define ZYGOTE_FDS 3                    /* of a FORK: the page (io/page.h), stdout, stderr */
#define ZYGOTE_DIR_MAX 512u             /* with the NUL */
#define ZYGOTE_ADDED_ENV_MAX 16384u
#define ZYGOTE_OOM_SCORE_ADJ 500        /* of workers; raising it needs no privilege */

enum zygote_kind {
    ZYGOTE_READY = 1, ZYGOTE_FORK, ZYGOTE_FORKED, ZYGOTE_FORK_FAILED, ZYGOTE_KILL, ZYGOTE_EXITED,
};

struct zygote_record {
    uint32_t version, kind;
    uint32_t proc;
    int32_t value;          /* READY: threads; FORKED, EXITED: pid; FORK_FAILED: errno;
                               KILL: signal */
    int32_t wait_status;    /* EXITED, as of waitpid() */
    uint32_t dir_bytes;     /* FORK: directory with its NUL, after this struct ... */
    uint32_t env_bytes;     /* ... then "K=V", each with its NUL */
    uint32_t node;          /* FORK: the node's number */
    uint32_t threads, thread_names; /* FORK: as of threads_init() */
    uint64_t token;
};
#define ZYGOTE_RECORD_MAX (sizeof(struct zygote_record) + ZYGOTE_DIR_MAX + ZYGOTE_ADDED_ENV_MAX)

struct zygote_child {
    /* The worker's address: it can bind its socket before it says hello, so that
     * who hears of it connects at once. */
    uint32_t node, proc;
    uint32_t threads, thread_names; /* as of threads_init() */
    uint64_t token;         /* of the hello at the door of ... */
    char dir[ZYGOTE_DIR_MAX];
    int page_fd;            /* the caller's; -1: none came */
};

/* Was this process started by a node?  Checks that the marker names a unix
 * seqpacket socket of our own user, then takes it: unset, close-on-exec, so
 * that what a task starts does not take itself for a worker. */
bool zygote_marked(void);
/* After zygote_marked().  Returns in each worker; in the zygote never: it ends
 * with the control socket.  Standard output is line-buffered from here on. */
struct zygote_child zygote_serve(void);

#endif
