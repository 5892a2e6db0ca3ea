/* port_peer.c - see port_internal.h: sockets, peers, connections. */
#include "io/port_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct key_peer { uint32_t node, proc; };
_Static_assert(sizeof(struct key_peer) == PEER_KEY_BYTES, "keys have no padding");

/* ---- paths ---------------------------------------------------------------- */

bool port_path(char *out, size_t size, const char *dir, struct addr who)
{
    int n = snprintf(out, size, "%s/%u.%u", dir, who.node, who.proc);
    return n > 0 && (size_t)n < size && (size_t)n < PATH_BYTES;
}

bool port_report_path(char *out, size_t size, const char *dir, struct addr who)
{
    int n = snprintf(out, size, "%s/%u.%u.r", dir, who.node, who.proc);
    return n > 0 && (size_t)n < size && (size_t)n < PATH_BYTES;
}

void port_unlink(const char *dir, struct addr who)
{
    char path[PATH_BYTES];
    if (port_path(path, sizeof path, dir, who))
        unlink(path);
    if (port_report_path(path, sizeof path, dir, who))
        unlink(path);
}

bool endpoint_of(char out[PATH_BYTES + 8], const char *dir, struct addr who)
{
    char path[PATH_BYTES];
    if (!port_path(path, sizeof path, dir, who))
        return false;
    snprintf(out, PATH_BYTES + 8, "ipc://%s", path);
    return true;
}

/* ---- sockets --------------------------------------------------------------- */

bool sock_set_int(void *zsock, int option, int value)
{
    return zmq_setsockopt(zsock, option, &value, sizeof value) == 0;
}

static bool set_limits(void *zsock)
{
    int64_t frame_bytes = FRAME_BYTES_MAX;
    return sock_set_int(zsock, ZMQ_LINGER, 0) && sock_set_int(zsock, ZMQ_SNDHWM, PORT_HWM) &&
           sock_set_int(zsock, ZMQ_RCVHWM, PORT_HWM) && sock_set_int(zsock, ZMQ_IMMEDIATE, 0) &&
           sock_set_int(zsock, ZMQ_HANDSHAKE_IVL, PORT_HANDSHAKE_MS) &&
           sock_set_int(zsock, ZMQ_RECONNECT_IVL, PORT_RECONNECT_MS) &&
           sock_set_int(zsock, ZMQ_RECONNECT_IVL_MAX, PORT_RECONNECT_MS_MAX) &&
           zmq_setsockopt(zsock, ZMQ_MAXMSGSIZE, &frame_bytes, sizeof frame_bytes) == 0;
}

bool sock_open(struct port *port, struct sock *sock, int type)
{
    size_t fd_size = sizeof sock->fd;
    void *zsock = zmq_socket(port->context, type);
    if (!zsock)
        return false;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = sock};
    if (!set_limits(zsock) || zmq_getsockopt(zsock, ZMQ_FD, &sock->fd, &fd_size) != 0 ||
        epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, sock->fd, &event) != 0) {
        int saved = errno;
        zmq_close(zsock);
        errno = saved;
        return false;
    }
    sock->zsock = zsock;
    port_heat(port, sock);
    return true;
}

void sock_close(struct port *port, struct sock *sock, int linger_ms)
{
    if (!sock->zsock)
        return;
    list_del(&sock->in_hot);
    epoll_ctl(port->epoll_fd, EPOLL_CTL_DEL, sock->fd, NULL);
    sock_set_int(sock->zsock, ZMQ_LINGER, linger_ms);
    zmq_close(sock->zsock);
    sock->zsock = NULL;
}

/* ---- peers and connections --------------------------------------------------- */

struct peer *peer_find(const struct port *port, struct addr who)
{
    return map_get(&port->peers, &(struct key_peer){who.node, who.proc});
}

struct peer *peer_need(struct port *port, struct addr who)
{
    struct peer *peer = peer_find(port, who);
    if (peer) {
        if (peer->addr.inc < who.inc)
            peer->addr.inc = who.inc;
        return peer;
    }
    peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->addr = who;
    peer->dealer.peer = peer;
    list_init(&peer->dealer.in_hot);
    list_init(&peer->in_refused);
    if (!map_put(&port->peers, &(struct key_peer){who.node, who.proc}, peer)) {
        free(peer);
        return NULL;
    }
    return peer;
}

void peer_release(struct port *port, struct peer *peer)
{
    if (peer->conn || peer->dealer.zsock || !list_empty(&peer->in_refused))
        return;
    map_del(&port->peers, &(struct key_peer){peer->addr.node, peer->addr.proc});
    free(peer);
}

static void conn_free(struct port *port, struct conn *conn)
{
    list_del(&conn->in_port);
    map_del(&port->conns, conn->identity);
    free(conn);
}

/* Take @conn from its peer, which stays. */
static void conn_detach(struct port *port, struct conn *conn)
{
    if (conn->peer && conn->peer->conn == conn)
        conn->peer->conn = NULL;
    conn->peer = NULL;
    list_del(&conn->in_port);
    port->stats.connections--;
}

void conn_drop(struct port *port, struct conn *conn)
{
    assert(conn->peer);
    conn_detach(port, conn);
    list_push(&port->dropped, &conn->in_port);
    if (++port->dropped_count > PORT_DROPPED_MAX) {
        conn_free(port, list_entry(port->dropped.next, struct conn, in_port));
        port->dropped_count--;
    }
}

/* ROUTER does not say when a connection ends, so the longest silent one makes
 * room.  If it lives, its next frame makes it known again. */
static void conn_make_room(struct port *port)
{
    if (port->stats.connections < PORT_SOCKETS_MAX)
        return;
    struct conn *conn = list_entry(port->live.next, struct conn, in_port);
    struct peer *peer = conn->peer;
    conn_detach(port, conn);
    conn_free(port, conn);
    peer_release(port, peer);
}

struct conn *conn_new(struct port *port, const uint8_t *identity, struct addr from)
{
    conn_make_room(port);
    struct conn *conn = calloc(1, sizeof *conn);
    struct peer *peer = conn ? peer_need(port, from) : NULL;
    if (!peer || !map_put(&port->conns, identity, conn)) {
        free(conn);
        if (peer)
            peer_release(port, peer);
        return NULL;
    }
    memcpy(conn->identity, identity, IDENTITY_BYTES);
    conn->addr = from;
    if (peer->conn) /* a new one takes the place of one that ended */
        conn_drop(port, peer->conn);
    conn->peer = peer;
    peer->conn = conn;
    list_push(&port->live, &conn->in_port);
    port->stats.connections++;
    return conn;
}

bool dealer_open(struct port *port, struct peer *peer)
{
    char endpoint[PATH_BYTES + 8];
    if (!endpoint_of(endpoint, port->dir, peer->addr))
        return false;
    if (!sock_open(port, &peer->dealer, ZMQ_DEALER))
        return false;
    if (zmq_connect(peer->dealer.zsock, endpoint) != 0) {
        sock_close(port, &peer->dealer, 0);
        return false;
    }
    port->stats.dealers++;
    return true;
}

void dealer_close(struct port *port, struct peer *peer, int linger_ms)
{
    if (!peer->dealer.zsock)
        return;
    sock_close(port, &peer->dealer, linger_ms);
    port->stats.dealers--;
}
