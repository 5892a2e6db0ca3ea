/* node.h - the node's core machine: processes, leases, workers, extents, death.
 *
 * Pure: events come as calls with @now, effects go out through node_ops, which
 * only record them (no op calls back into the node before the call returns).
 *
 * A process (client, worker, tool) is known from its hello at the door until
 * its death.  A worker:
 *
 *   start            hello          grant         return
 *   -----> STARTING -------> IDLE ---------> LEASED ------> IDLE
 *              |               |               |
 *              | start failed  | idle too long | exit, kill, owner's death
 *              +---------------+---------------+------------------> DEAD
 *
 * Wants and grants.  An owner states per class how many leases it could use
 * (a level, those that it holds included: lower it before a return, else the
 * lease comes right back).  A scheduling pass serves resumes first (a worker
 * whose task waited and wants its CPU back), then wants: higher priority, then
 * the owner with the fewest leases, then its class with the fewest, then arrival
 * (or the last grant).  Nobody is lent to itself.  A want that fits the free
 * resources takes an idle worker of its package and device set, else starts one
 * below the process cap, else replaces an idle worker of another package or
 * set, else is told COVEY_ELIMIT (run it on your own stack) and COVEY_EAGAIN when
 * that ends.  A want that can never fit is told COVEY_EIMPOSSIBLE with the
 * name, the wanted and the greatest amount.  Where wants or resumes are left
 * for lack of resources, leases are recalled from the owners that hold most,
 * never below an equal share and never the last one of an owner whose share is
 * one, at most one recall for each unmet want.  With more owners than leases
 * there is no share of one: the only lease of one goes to one without any, by
 * turns.  An owner's own leases are recalled for its resumes and for its classes
 * of higher priority.  Nothing is recalled for lower priority.  A want that was
 * left for a while is not overtaken any more (node_lease.c).
 *
 * An idle worker that ends, for another or for its age, is one without leases
 * and wants of its own.
 *
 * Never more is granted than there is: the sum of all leases (less the CPUs of
 * blocked ones) plus free equals total, for each resource; node_check() proves it.
 *
 * Blocked.  BLOCKED(v) gives the lease's cpu back, UNBLOCKED(v) wants it again,
 * RESUME(v) is the answer.  Old versions do nothing.
 *
 * Death of a process: its extents are closed with what was sealed; its leases
 * end, and the workers leased to it are killed (their work has no reader; what
 * they hold is free when their processes are gone); a leased worker's owner is
 * told WORKER_DIED; every other process hears PROC_DEAD and answers CENSUS (what it holds of the dead one's objects); when
 * all have answered or died, the dead one's objects are freed except those
 * held.  Objects of live owners found in its extents are offered to them in
 * KEEP_ASK; the owner answers with those that it does not know.
 *
 * What a held object of a dead owner needs afterwards comes to its node as to
 * the owner: OBJECT_WAIT is served from the place, BORROW_DROP frees it when
 * the last holder let go; what was never sealed is COVEY_EOWNER.
 */
#ifndef COVEY_CORE_NODE_H
#define COVEY_CORE_NODE_H

#include "core/extents.h"
#include "core/msg.h"

#define NODE_HISTORY_MAX 100000u    /* finished tasks remembered for lists */
#define NODE_QUERY_WAIT (1 * SECOND_NS) /* for owners' answers to a list */
#define NODE_DEVICES_MAX 64u
#define NODE_IDLE_END (30 * SECOND_NS)  /* an idle worker beyond the warm ones ends */
#define NODE_START_WAIT (20 * SECOND_NS) /* from start to hello */
#define NODE_START_FAILURES_MAX 3u  /* in a row: the package is COVEY_ESTART */

enum node_kill { NODE_KILL_TERM, NODE_KILL_NOW };

struct node_ops {
    void (*send)(void *io, struct addr to, const struct msg *msg);
    /* Start a worker of @package as process @proc; it says hello with @token.
     * Failing is told by node_start_failed().  @devices: UUIDs, or "". */
    void (*start_worker)(void *io, uint32_t proc, uint64_t token,
                         const struct msg_package *package, const char *devices, int64_t cpu_milli);
    /* Signal a process that this node started. node_proc_gone() follows. */
    void (*kill)(void *io, uint32_t proc, enum node_kill how);
    /* A package arrived for the first time: get ready to start it fast. */
    void (*package_known)(void *io, const struct msg_package *package);
    void (*shutdown)(void *io, int64_t grace_ms);
    uint64_t (*random)(void *io);       /* tokens */
    int64_t (*unix_ms)(void *io);       /* for people only */
    struct extents_ops extents;         /* populate, publish, header, budget are used; the
                                           rest is the node's own */
};

struct node_config {
    struct addr self;
    struct resources total;
    char name[64];
    uint32_t processes_max;             /* workers, blocked ones included */
    uint32_t warm;                      /* workers started ahead of need per package */
    uint64_t arena_bytes;
    uint32_t device_count;              /* of total.gpu_milli / 1000 */
    char devices[NODE_DEVICES_MAX][48]; /* UUIDs */
};

struct node;
covey_status node_new(struct node **out, const struct node_config *config,
                      const struct node_ops *ops, void *io);
void node_free(struct node **node);

/* A process says hello at the door.  On COVEY_OK *@self is its address.  A
 * worker must show the proc and token that it was started with: COVEY_EREFUSED
 * with @why.  A repeated hello of a live process is refused. */
covey_status node_hello(struct node *n, const struct msg_door_hello *hello, int32_t pid, int64_t now,
                        struct addr *self, char *why, size_t why_size);
void node_msg(struct node *n, struct addr from, const struct msg *msg, int64_t now);
/* Its end of file at the door, with the cause where the node was its parent:
 * @exit_status 0..255 or -signal; @why for people ("killed by SIGSEGV; last
 * lines: ...").  For one that never said hello: node_start_failed(). */
void node_proc_gone(struct node *n, uint32_t proc, int32_t exit_status, const char *why, int64_t now);
/* Before that, where it is known: the task of @owner that a worker ran when it
 * died, for WORKER_DIED. */
void node_worker_ran(struct node *n, uint32_t proc, struct addr owner, uint64_t seq);
/* @status COVEY_EWORKER: it was killed from outside, perhaps with others that
 * started (their zygote died); such a burst counts as one failure of the package. */
void node_start_failed(struct node *n, uint32_t proc, covey_status status, const char *why, int64_t now);
void node_populated(struct node *n, uint32_t first_block, uint32_t blocks, bool ok, int64_t now);
/* The head's picture of the cluster, for lists. */
void node_view(struct node *n, const struct msg_view *view, int64_t now);
void node_tick(struct node *n, int64_t now);
int64_t node_deadline(const struct node *n);

/* For the driver: which owner a worker's output belongs to now; false: nobody. */
bool node_worker_owner(const struct node *n, uint32_t proc, struct addr *owner);
/* Of the newest attempt of the finished task "tOWNER_PROC.NUMBER" (rows.h);
 * false: not remembered. */
bool node_task_printed(const struct node *n, uint32_t owner_proc, uint64_t number, uint32_t *worker,
                       struct printed *out);
struct node_stats {
    uint32_t clients, workers, idle, leases, wants;
    struct resources free;
    uint64_t tasks_finished, tasks_failed, history_dropped;
};
struct node_stats node_stats(const struct node *n);
struct extents_stats node_store_stats(const struct node *n);
/* Every invariant; asserts.  Cheap ones after each event when @deep is false. */
void node_check(const struct node *n, bool deep);

#endif
