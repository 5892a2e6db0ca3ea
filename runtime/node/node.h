/* node.h - the node process: core/node.h between the door, the port, the store
 * and the processes that it starts.
 *
 *   keeper --- zygotes --- workers          clients
 *      |          |           |  door, port    |
 *      +----- starter      entrance -----------+
 *                 \           |
 *                  +------ daemon ------ port, mesh --- head_link --- head
 *                             |
 *                        core node --- arena, pager
 *
 * One loop, one thread that gives pages to the arena, ZeroMQ's own.  The node
 * holds PLACES_NODE_LOCK for as long as it or its keeper lives.  It ends on
 * SIGTERM, SIGINT or SIGHUP, when it is told to shut down, or at the end of
 * @parent_fd: workers get SIGTERM, and SIGKILL after NODE_STOP_WAIT or the grace
 * that it is told; after a second signal at once.  No process and no socket stays.  The same holds, without the grace, when it is
 * killed: that is the keeper's work (keeper.h).
 */
#ifndef COVEY_NODE_NODE_H
#define COVEY_NODE_NODE_H

#include "io/places.h"

#define NODE_STOP_WAIT (2 * SECOND_NS)

/* Zero means default, except for @parent_fd; begin with NODE_OPTIONS_DEFAULT. */
struct node_options {
    double cpus;                /* 0: those that we may use */
    double gpus;                /* declared, not found */
    uint64_t memory_bytes;      /* 0: what is available, less the store */
    uint64_t store_bytes;       /* 0: 30 % of what is available */
    uint32_t processes_max;     /* 0: by the CPUs */
    const char *name;           /* for lists; NULL: the host's */
    /* -1: none.  When it comes to its end the node and the head shut down. */
    int parent_fd;
    bool quiet;                 /* what workers print goes to their files only */
};
#define NODE_OPTIONS_DEFAULT ((struct node_options){.parent_fd = -1})

/* Be the node of the cluster at @p, whose directories exist; blocks until it
 * ends.  The process must have one thread and no children.  @options may be
 * NULL.  Takes @ready_fd (-1: none): "ready\n" is written to it once the door
 * is open, or "failed: WHY\n", and it is closed.
 *
 * Returns an exit status: 0 ended as told, 1 could not start or lost its
 * keeper, 4 another node has this directory. */
int node_main(const struct places *p, const struct node_options *options, int ready_fd);

#endif
