/* port_internal.h - a port's sockets, peers and connections; for port*.c only.
 *
 *   peer (node, process)    sock: a DEALER of ours, or none
 *                           conn: the connection that it made, or none
 *   conn (identity)         peer, or none: dropped
 *
 * A peer exists while it has one of them or waits to be tried again.
 */
#ifndef COVEY_IO_PORT_INTERNAL_H
#define COVEY_IO_PORT_INTERNAL_H

#include <sys/un.h>
#include <zmq.h>

#include "core/map.h"
#include "io/port.h"

/* ZeroMQ's own identities: a zero byte and a number.  What a peer chose itself
 * looks different or is refused. */
#define IDENTITY_BYTES 5
#define PEER_KEY_BYTES 8 /* node, process */
#define PATH_BYTES (sizeof((struct sockaddr_un *)NULL)->sun_path)

struct sock {
    void *zsock;                /* owned; NULL: not open */
    int fd;                     /* ZMQ_FD; ZeroMQ's */
    struct list in_hot;
    struct peer *peer;          /* of a DEALER; NULL: the ROUTER */
};

/* One process that we speak with: over its connection or over our own. */
struct peer {
    struct addr addr;           /* with its latest incarnation */
    struct sock dealer;
    struct conn *conn;          /* the one to answer on; NULL: none */
    struct list in_refused;
    struct addr refused;        /* whom the refused transmit was for */
};

/* One connection that somebody made to our ROUTER. */
struct conn {
    uint8_t identity[IDENTITY_BYTES];
    struct addr addr;           /* of its first frame */
    struct peer *peer;          /* NULL: dropped */
    struct list in_port;        /* live: longest silent first; dropped: oldest first */
};

struct port {
    struct addr self;
    const struct port_ops *ops;
    void *io;
    char dir[PATH_BYTES];
    void *context;              /* owned */
    int lock_fd, epoll_fd, timer_fd;    /* owned; -1: not open */
    struct sock router;
    bool bound;                 /* the path is ours to remove */
    struct map peers;           /* owned: struct peer by node and process */
    struct map conns;           /* owned: struct conn by identity */
    struct list hot, refused, live, dropped;
    uint32_t dropped_count;
    bool timer_armed;
    bool retry;                 /* a DEALER that had refused has room */
    struct port_stats stats;
};

static inline void port_heat(struct port *port, struct sock *sock)
{
    if (list_empty(&sock->in_hot))
        list_push(&port->hot, &sock->in_hot);
}

/* "ipc://" and the path.  The port's own directory was measured at its start,
 * but another number may have more digits: false. */
bool endpoint_of(char out[PATH_BYTES + 8], const char *dir, struct addr who);

bool sock_set_int(void *zsock, int option, int value);
/* Make @sock, with its limits, and watch it; hot from the start.  False: errno
 * says why. */
bool sock_open(struct port *port, struct sock *sock, int type);
void sock_close(struct port *port, struct sock *sock, int linger_ms);

struct peer *peer_find(const struct port *port, struct addr who);
/* Find or make; takes note of a later incarnation.  NULL: out of memory. */
struct peer *peer_need(struct port *port, struct addr who);
/* Nothing ties us to @peer any more?  Then it goes. */
void peer_release(struct port *port, struct peer *peer);

/* A connection that has not spoken before says who it is.  NULL: no memory. */
struct conn *conn_new(struct port *port, const uint8_t *identity, struct addr from);
/* Nothing from @conn passes from now on.  ROUTER cannot hang up, so it is
 * remembered, among the last PORT_DROPPED_MAX.  Its peer stays. */
void conn_drop(struct port *port, struct conn *conn);

bool dealer_open(struct port *port, struct peer *peer);
void dealer_close(struct port *port, struct peer *peer, int linger_ms);

#endif
