/* head_link.h - the node's connection to the head, which may come and go.
 *
 * The head's address is the same in every life of it, and links count frames:
 * so what a node has with one head cannot go on with the next.  Each connection
 * gets a mesh of its own here, beside the one for this machine's processes, and
 * an incarnation of its own, so that neither side ever takes a late frame of one
 * for the other's: the node's, and HEAD_LINK_COUNT_BITS that count connections.
 *
 *          head.pid names           NODE_JOINED
 *   ABSENT ---------------> JOINING -----------> JOINED
 *      ^    a live process     |                    |
 *      +-----------------------+--------------------+
 *         its end (pidfd), or head.pid names another
 *
 * The node serves in every state.  Only while it is JOINED does it report, so
 * nothing piles up for a head that is not there.
 *
 * Threads: the loop thread.
 */
#ifndef COVEY_NODE_HEAD_LINK_H
#define COVEY_NODE_HEAD_LINK_H

#include <uv.h>

#include "core/msg.h"
#include "io/port.h"

#define HEAD_LINK_LOOK (200 * MS_NS)        /* for a head, while none is joined ... */
#define HEAD_LINK_LOOK_JOINED (2 * SECOND_NS)   /* ... and for another one */
#define HEAD_LINK_JOIN_AGAIN (2 * SECOND_NS)    /* a head that has not answered is asked again */
#define HEAD_LINK_STATE_MIN (100 * MS_NS)   /* between two reports */
#define HEAD_LINK_STATE_MAX (1 * SECOND_NS) /* without a change */

#define HEAD_LINK_COUNT_BITS 12

struct head_link;

struct head_link_ops {
    void (*joined)(void *io, const struct msg_node_joined *joined);
    /* Everything else that it sends. */
    void (*msg)(void *io, const struct msg *msg);
    /* Fill in what is to be reported, except the version. */
    void (*state)(void *io, struct msg_node_state *out);
};

struct head_link_config {
    uv_loop_t *loop;
    struct port *port;          /* borrowed */
    const char *dir;            /* borrowed */
    struct addr self;
    uint64_t boot;
    const char *name;           /* borrowed */
    struct resources total;
};

covey_status head_link_open(struct head_link **out, const struct head_link_config *config,
                            const struct head_link_ops *ops, void *io);
void head_link_close(struct head_link **link);

bool head_link_joined(const struct head_link *link);
/* Dropped unless joined. */
void head_link_send(struct head_link *link, const struct msg *msg, int64_t now);
void head_link_frame(struct head_link *link, struct span frame, int64_t now);
void head_link_writable(struct head_link *link, int64_t now);
void head_link_flush(struct head_link *link, int64_t now);
void head_link_tick(struct head_link *link, int64_t now);
int64_t head_link_deadline(const struct head_link *link);

#endif
