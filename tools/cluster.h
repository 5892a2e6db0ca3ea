/* cluster.h - start, find and end the daemons of one machine's cluster.
 *
 * Who lives is decided by locks, never by a pid that was read: head and node
 * hold DIR/lock and DIR/lock.node for as long as they (or what cleans up behind
 * them) live.  A pid from DIR/head.pid is only used through a pidfd that was
 * opened while the lock was seen held, so that no other process is ever hit.
 *
 * Starting and stopping exclude each other by DIR/lock.start.
 */
#ifndef COVEY_TOOLS_CLUSTER_H
#define COVEY_TOOLS_CLUSTER_H

#include <sys/types.h>
#include "covey.h"
#include "io/places.h"

#define CLUSTER_START_MS 10000  /* until both daemons are ready */
#define CLUSTER_LEAVE_MS 4000   /* after the grace, until what remains is killed */

/* What is refused at once, as a slip of the finger. */
#define CLUSTER_CPUS_MAX 65536
#define CLUSTER_GPUS_MAX 64
#define CLUSTER_PROCESSES_MAX 65536u
#define CLUSTER_STORE_MIN (16u * 1024 * 1024)

/* What `covey start` takes; passed on to the node's command line.  Zero, or a
 * negative amount: the node's own default. */
struct cluster_options {
    double cpus, gpus;          /* < 0: not given */
    uint64_t memory_bytes, store_bytes, processes_max;
    /* The daemons end when this process does: of private clusters. */
    bool bound;
};

struct cluster_life {
    pid_t head, node;           /* 0: not running */
};

/* Start head and node; both are ready when this returns COVEY_OK, nothing runs
 * and nothing is left when it does not.
 *
 * COVEY_EREFUSED  one of that name runs already
 * COVEY_ETIMEOUT  a daemon was not ready in time
 * COVEY_ESYSTEM   a daemon ended; @why has its words */
covey_status cluster_start(const struct places *p, const struct cluster_options *options,
                           struct cluster_life *out, char *why, size_t why_size);

/* End it: ask, wait @grace_ms and CLUSTER_LEAVE_MS, then kill.  Works with either
 * daemon dead, and removes what a killed cluster left.
 *
 * COVEY_ENOCLUSTER  nothing was there
 * COVEY_ETIMEOUT    something did not even die of SIGKILL */
covey_status cluster_stop(const struct places *p, int64_t grace_ms, bool state_too, bool *killed,
                          char *why, size_t why_size);

/* A name for a cluster that nobody is to find by accident. */
#define CLUSTER_PRIVATE_PREFIX "private-"
void cluster_private_name(char out[CLUSTER_NAME_MAX]);
/* Remove what private clusters beside @p left that were killed with all who
 * would have cleaned up: nobody ever comes by their names again. */
void cluster_sweep(const struct places *p);

/* Who a private cluster is there for, told to people who look for any cluster.  It lies in its
 * directory and goes with it; as all that is in there, for its user alone. */
void cluster_tell_owner(const struct places *p, pid_t owner);
/* If @c's cluster is a private one: it runs the sweep in the directory @sweep. */
void cluster_tell_sweep(covey *c, const char *sweep);

struct cluster_private {
    char name[CLUSTER_NAME_MAX];
    pid_t owner;
    char sweep[4096];           /* "": it is no sweep */
};
/* Those that run beside @p; at most @max of them are written.  How many there are. */
size_t cluster_privates(const struct places *p, struct cluster_private *out, size_t max);

#endif
