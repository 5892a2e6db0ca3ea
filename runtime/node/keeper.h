/* keeper.h - the small process that starts all others and outlives the node.
 *
 *   node ---socketpair---> keeper ---vfork, exec---> zygotes, workers
 *
 * Forked by the node as its very first act, before threads, the arena and
 * ZeroMQ: starting a program from a large process costs milliseconds, and
 * somebody must clean up after a node that was killed.
 *
 * The keeper is a subreaper: what loses its parent below it comes to it and is
 * reaped there.  When the node's end of the socketpair closes, for whatever
 * reason, it kills everything that descends from it, removes the sockets of the
 * node's processes, the door and node.pid, and ends.  It holds the node's lock
 * until then, so that a new node does not start among the remains.
 *
 * Packets of fixed size; strings (path, directory, arguments, environment)
 * travel as a memfd, since an environment may exceed what a packet holds.
 *
 *   SPAWN id  ->  SPAWNED id pid | SPAWN_FAILED id why;  later EXITED id status
 *   KILL id signal
 *   SWEEP proc pid          kill what a dead and reaped worker left behind
 *
 * A spawned program has its own session, the default signals, /dev/null, the
 * two pipes and the control socket as descriptors 0 to 3 and no others, and is
 * killed when the keeper dies.  When it ends, so do its process group and what
 * it left behind.
 *
 * Threads: the node's loop thread.
 */
#ifndef COVEY_NODE_KEEPER_H
#define COVEY_NODE_KEEPER_H

#include <sys/types.h>
#include "core/types.h"

#define KEEPER_CONTROL_FD 3
#define KEEPER_STRINGS_MAX (8u * 1024 * 1024)   /* arguments and environment of one program */
#define KEEPER_CHILDREN_MAX 65536u
#define KEEPER_TEXT_MAX 512
#define KEEPER_END_WAIT_MS 5000     /* for descendants that do not die at once */

struct keeper;

struct keeper_spawn {
    uint64_t id;            /* the caller's, not in use */
    uint32_t proc;          /* for the marker; 0: a zygote */
    const char *path;
    const char *cwd;        /* NULL: the node's */
    struct span argv;       /* NUL-separated */
    struct span env;        /* NUL-separated; the marker is added */
    int out_fd, err_fd, control_fd; /* the caller closes its own */
};

enum keeper_event_kind { KEEPER_SPAWNED, KEEPER_SPAWN_FAILED, KEEPER_EXITED };

struct keeper_event {
    enum keeper_event_kind kind;
    uint64_t id;
    pid_t pid;
    int wait_status;        /* as of waitpid() */
    char why[KEEPER_TEXT_MAX];
};

/* Fork the keeper.  @dir and @node name the sockets to remove in the end;
 * @lock_fd (or -1) stays open in it.  Every other descriptor of the caller
 * beyond standard error is closed there.  COVEY_ESYSTEM with errno. */
covey_status keeper_start(struct keeper **out, const char *dir, uint32_t node, int lock_fd);
/* Close the node's end and wait for the keeper's, at most @wait_ms; false if it
 * has not ended by then. */
bool keeper_close(struct keeper **keeper, int64_t wait_ms);

int keeper_fd(const struct keeper *keeper);     /* readable: keeper_next() */
pid_t keeper_pid(const struct keeper *keeper);

/* None of these blocks.  COVEY_EAGAIN: the keeper does not keep up.
 * COVEY_ECLOSED: it is dead.  COVEY_ETOOBIG, COVEY_ENOMEM: strings. */
covey_status keeper_spawn(struct keeper *keeper, const struct keeper_spawn *spawn);
covey_status keeper_kill(struct keeper *keeper, uint64_t id, int signal_number);
covey_status keeper_sweep(struct keeper *keeper, uint32_t proc, pid_t pid);

/* COVEY_EAGAIN: nothing more.  COVEY_ECLOSED: the keeper is dead. */
covey_status keeper_next(struct keeper *keeper, struct keeper_event *out);

/* The sockets of @node's processes, the door and node.pid: what the keeper does
 * in the end; for a node whose keeper was killed. */
void keeper_remove_sockets(const char *dir, uint32_t node);
/* The report sockets (worker/reporter.h) of a worker that could not do it itself. */
void keeper_remove_reports(const char *dir, uint32_t node, uint32_t proc);

#endif
