/* entrance.h - who comes in at the door, and how each process ends.
 *
 *   connect     hello             end of file, pidfd, or parent's word
 *   -------> VISITOR -------> GUEST ------------------------------------> gone
 *                               ^
 *   a worker is expected --> EXPECTED (its parent may tell its end before)
 *
 * A process is known by a pidfd taken from its connection, so a signal never
 * hits another one that got its number.  Its death is seen three ways:
 *
 *   the parent's word      has the status; for workers it is waited for
 *   the pidfd              the process is dead, whoever still holds its door
 *   end of file at door    it left, or closed every descriptor it had
 *
 * A worker that closed its door and lives on cannot be reached any more and is
 * killed.  Where no status comes within ENTRANCE_STATUS_WAIT (its zygote died,
 * too), the end is told without.
 *
 * Threads: the loop thread.
 */
#ifndef COVEY_NODE_ENTRANCE_H
#define COVEY_NODE_ENTRANCE_H

#include <sys/types.h>
#include <uv.h>

#include "core/node.h"

#define ENTRANCE_VISITORS_MAX 256u      /* connected, not greeted; more wait in the backlog */
#define ENTRANCE_HELLO_WAIT (5 * SECOND_NS)
#define ENTRANCE_STATUS_WAIT (1 * SECOND_NS)
#define ENTRANCE_BURST 64               /* connections taken in one turn */
#define ENTRANCE_WHY_MAX 3072

struct entrance;

struct entrance_ops {
    /* As node_hello(). */
    covey_status (*hello)(void *io, const struct msg_door_hello *hello, pid_t pid,
                          struct addr *self, char *why, size_t why_size);
    /* The rest of the welcome: everything but version, self and dir. */
    void (*welcome)(void *io, struct msg_door_welcome *out, int arena_fds[2]);
    /* The last lines of a worker, as log_tail(). */
    void (*tail)(void *io, uint32_t proc, char *out, size_t size);
    /* Signal one that has not said hello. */
    void (*signal_start)(void *io, uint32_t proc, int signal_number);
    /* It is over.  @greeted: as node_proc_gone(), else node_start_failed(). */
    void (*gone)(void *io, uint32_t proc, bool greeted, int32_t exit_status, const char *why);
};

struct entrance_config {
    uv_loop_t *loop;
    const char *dir;            /* borrowed */
};

/* The door is open when this returns.  COVEY_ESYSTEM with errno. */
covey_status entrance_open(struct entrance **out, const struct entrance_config *config,
                           const struct entrance_ops *ops, void *io);
/* Nobody new comes in. */
void entrance_shut(struct entrance *e);
/* All doors close.  Nothing is told. */
void entrance_close(struct entrance **entrance);

/* A worker was asked for; and what its parent says of it. */
void entrance_expect(struct entrance *e, uint32_t proc);
void entrance_exited(struct entrance *e, uint32_t proc, int wait_status);
void entrance_orphaned(struct entrance *e, uint32_t proc);
void entrance_start_failed(struct entrance *e, uint32_t proc, bool killed, const char *why);

/* Signal a worker; nothing if it is not known. */
void entrance_kill(struct entrance *e, uint32_t proc, int signal_number);
void entrance_kill_workers(struct entrance *e, int signal_number);
/* It broke the protocol: nothing more is heard of it or said to it. */
void entrance_expel(struct entrance *e, uint32_t proc);
uint32_t entrance_workers(const struct entrance *e);
/* It said hello and is alive. */
bool entrance_is_guest(const struct entrance *e, uint32_t proc);

void entrance_tick(struct entrance *e, int64_t now);
int64_t entrance_deadline(const struct entrance *e);

#endif
