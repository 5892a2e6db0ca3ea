/* port.c - see port.h for the contract.
 *
 * Hot sockets.  A socket is hot from the moment that it may have input nobody
 * has looked for: its descriptor stirred, or a send on it may have swallowed
 * the edge.  It is cold only after a receive, or ZMQ_EVENTS, has found nothing:
 * both have read all of the socket's mail, so the next news makes its descriptor
 * readable again.  Nobody may sleep on the epoll descriptor while a socket is
 * hot; that is all of port_pending().
 *
 * Refused transmits.  Room in a pipe is told by the same edge.  For a DEALER
 * ZMQ_EVENTS says so exactly; for a ROUTER it only says that somebody's pipe
 * has room, and asking in a loop would spin.  So whenever any socket stirs, all
 * refused peers are tried again, and a timer does it for edges that a receive
 * has swallowed.  Refusals are rare: links run out of credit before.
 */
#include "io/port_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_MAX 64

enum sent { SENT, SENT_FULL, SENT_GONE };

/* ---- sending ------------------------------------------------------------------ */

/* ZeroMQ's queues order what we wrote before a send and what on_sent() does.
 * ThreadSanitizer cannot see that, since the library is not built for it, so it
 * is told; its other builds know nothing of this. */
#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define TELL_SENT(frame) __tsan_release(frame)
#define TELL_RETURNED(frame) __tsan_acquire(frame)
#else
#define TELL_SENT(frame) ((void)0)
#define TELL_RETURNED(frame) ((void)0)
#endif

/* On ZeroMQ's I/O thread, usually. */
static void on_sent(void *data, void *hint)
{
    (void)data;
    TELL_RETURNED(hint);
    frame_unref(hint);
}

/* Frames of every size go by reference.  At 128 bytes a copy costs the same
 * (one allocation either way), from 2 KiB on it costs more; and the link sees
 * by the reference that the frame is still on its way.  False: no memory. */
static bool msg_of_frame(zmq_msg_t *msg, struct frame *frame)
{
    frame_ref(frame);
    TELL_SENT(frame);
    if (zmq_msg_init_data(msg, frame->data, frame->len, on_sent, frame) == 0)
        return true;
    frame_unref(frame);
    return false;
}

static enum sent sent_of(int rc)
{
    if (rc >= 0)
        return SENT;
    if (errno == EHOSTUNREACH)
        return SENT_GONE;
    assert(errno == EAGAIN || errno == EINTR || errno == ENOMEM);
    return SENT_FULL;
}

/* The message exists before the first part goes out: once ROUTER has taken an
 * identity, the body must follow, and it is never refused. */
static enum sent send_to(struct port *port, struct peer *peer, struct frame *frame)
{
    struct sock *sock = peer->dealer.zsock ? &peer->dealer : &port->router;
    zmq_msg_t msg;
    if (!msg_of_frame(&msg, frame)) {
        port->stats.lost++;
        return SENT; /* lost on the way; the link sends it again */
    }
    port_heat(port, sock);
    enum sent sent = SENT;
    if (sock == &port->router)
        sent = sent_of(zmq_send(sock->zsock, peer->conn->identity, IDENTITY_BYTES,
                                ZMQ_DONTWAIT | ZMQ_SNDMORE));
    if (sent == SENT)
        sent = sent_of(zmq_msg_send(&msg, sock->zsock, ZMQ_DONTWAIT));
    if (sent != SENT)
        zmq_msg_close(&msg);
    return sent;
}

static void arm_timer(struct port *port, bool on)
{
    if (on == port->timer_armed)
        return;
    struct itimerspec spec = {{0, 0}, {0, on ? PORT_RETRY_MS * MS_NS : 0}};
    int rc = timerfd_settime(port->timer_fd, 0, &spec, NULL);
    assert(rc == 0);
    (void)rc;
    port->timer_armed = on;
}

static bool refuse(struct port *port, struct peer *peer, struct addr to)
{
    peer->refused = to;
    if (list_empty(&peer->in_refused))
        list_push(&port->refused, &peer->in_refused);
    arm_timer(port, true);
    port->stats.refused++;
    return false;
}

bool port_transmit(struct port *port, struct addr to, struct frame *frame)
{
    assert(frame->len >= FRAME_HEADER && frame->len <= FRAME_BYTES_MAX);
    struct peer *peer = peer_need(port, to);
    if (!peer) {
        port->stats.lost++;
        return true; /* on the way, as above */
    }
    enum sent sent = SENT_GONE;
    if (peer->conn || peer->dealer.zsock)
        sent = send_to(port, peer, frame);
    if (sent == SENT_GONE) { /* never spoke, or hung up: call it ourselves */
        assert(!peer->dealer.zsock);
        if (peer->conn)
            conn_drop(port, peer->conn);
        if (!dealer_open(port, peer))
            return refuse(port, peer, to); /* no descriptors: later, perhaps */
        sent = send_to(port, peer, frame);
    }
    if (sent != SENT)
        return refuse(port, peer, to);
    port->stats.frames_out++;
    return true;
}

/* Every refused peer once; those that are refused again wait for the next
 * round. */
static void retry_refused(struct port *port)
{
    port->retry = false;
    if (list_empty(&port->refused))
        return;
    struct list round;
    list_init(&round);
    while (!list_empty(&port->refused)) {
        struct list *item = port->refused.next;
        list_del(item);
        list_push(&round, item);
    }
    while (!list_empty(&round)) {
        struct peer *peer = list_entry(round.next, struct peer, in_refused);
        struct addr to = peer->refused;
        list_del(&peer->in_refused);
        peer_release(port, peer);
        port->ops->writable(port->io, to);
    }
    arm_timer(port, !list_empty(&port->refused));
}

/* ---- receiving ------------------------------------------------------------------ */

static bool recv_part(struct sock *sock, zmq_msg_t *msg)
{
    int rc;
    do
        rc = zmq_msg_recv(msg, sock->zsock, ZMQ_DONTWAIT);
    while (rc < 0 && errno == EINTR);
    assert(rc >= 0 || errno == EAGAIN);
    return rc >= 0;
}

/* Take what is left of a message that has too many parts. */
static void recv_rest(struct sock *sock, zmq_msg_t *msg)
{
    while (zmq_msg_more(msg) && recv_part(sock, msg))
        continue;
}

/* Whose frame is it that came to the ROUTER?  NULL: nobody's that we listen to. */
static struct conn *conn_of(struct port *port, zmq_msg_t *id, const struct frame_header *header)
{
    const uint8_t *identity = zmq_msg_data(id);
    if (zmq_msg_size(id) != IDENTITY_BYTES || identity[0] != 0)
        return NULL;
    struct conn *conn = map_get(&port->conns, identity);
    if (conn && !conn->peer)
        return NULL;
    if (!header || (conn && !addr_eq(conn->addr, header->from))) {
        if (conn) {
            struct peer *peer = conn->peer;
            conn_drop(port, conn);
            peer_release(port, peer);
        }
        return NULL;
    }
    if (!conn)
        return conn_new(port, identity, header->from);
    list_del(&conn->in_port);
    list_push(&port->live, &conn->in_port);
    return conn;
}

/* A DEALER's path says who answers there; only its incarnation is news. */
static bool from_peer(struct peer *peer, const struct frame_header *header)
{
    if (!header || header->from.node != peer->addr.node || header->from.proc != peer->addr.proc)
        return false;
    if (peer->addr.inc < header->from.inc)
        peer->addr.inc = header->from.inc;
    return true;
}

/* Receive one message and deliver it if it is a frame.  False: there was none,
 * and the socket is cold.  @sock may be gone on return. */
static bool receive_one(struct port *port, struct sock *sock)
{
    zmq_msg_t id, body;
    zmq_msg_init(&id);
    zmq_msg_init(&body);
    bool routed = sock == &port->router;
    bool received = recv_part(sock, routed ? &id : &body);
    if (!received) {
        list_del(&sock->in_hot);
        return false;
    }
    /* The parts of one message arrive together. */
    bool whole = !routed || (zmq_msg_more(&id) && recv_part(sock, &body));
    if (whole && zmq_msg_more(&body)) {
        whole = false;
        recv_rest(sock, &body);
    }
    struct frame_header header;
    struct span bytes = {zmq_msg_data(&body), 0};
    if (whole && zmq_msg_size(&body) <= FRAME_BYTES_MAX)
        bytes.len = (uint32_t)zmq_msg_size(&body);
    const struct frame_header *known = frame_parse(bytes, &header) == COVEY_OK ? &header : NULL;
    if (routed ? conn_of(port, &id, known) != NULL : from_peer(sock->peer, known)) {
        port->stats.frames_in++;
        port->ops->frame(port->io, bytes);
    } else {
        port->stats.dropped++;
    }
    zmq_msg_close(&id);
    zmq_msg_close(&body);
    return true;
}

/* Ask epoll who stirred. */
static void gather(struct port *port)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(port->epoll_fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr) {
            port_heat(port, events[i].data.ptr);
        } else {
            uint64_t expirations;
            ssize_t rc = read(port->timer_fd, &expirations, sizeof expirations);
            (void)rc; /* EAGAIN where it was armed again meanwhile */
            port->timer_armed = false;
        }
    }
    if (n > 0)
        port->retry = true;
}

int port_receive(struct port *port, int frames_max)
{
    gather(port);
    if (port->retry)
        retry_refused(port);
    int frames = 0;
    while (frames < frames_max && !list_empty(&port->hot)) {
        struct sock *sock = list_entry(port->hot.next, struct sock, in_hot);
        list_del(&sock->in_hot); /* to the end: one loud peer does not hold up the others */
        list_push(&port->hot, &sock->in_hot);
        frames += receive_one(port, sock);
    }
    return frames;
}

bool port_pending(struct port *port)
{
    while (!list_empty(&port->hot)) {
        struct sock *sock = list_entry(port->hot.next, struct sock, in_hot);
        int events = 0;
        size_t size = sizeof events;
        int rc = zmq_getsockopt(sock->zsock, ZMQ_EVENTS, &events, &size);
        assert(rc == 0 || errno == EINTR);
        if (rc != 0)
            continue;
        if (sock->peer && !list_empty(&sock->peer->in_refused) && (events & ZMQ_POLLOUT))
            port->retry = true;
        if (port->retry || (events & ZMQ_POLLIN))
            return true;
        list_del(&sock->in_hot);
    }
    return port->retry;
}

/* ---- life -------------------------------------------------------------------------- */

int port_fd(const struct port *port)
{
    return port->epoll_fd;
}

struct port_stats port_stats(const struct port *port)
{
    return port->stats;
}

void port_forget(struct port *port, struct addr who)
{
    struct peer *peer = peer_find(port, who);
    if (!peer || peer->addr.inc > who.inc)
        return;
    list_del(&peer->in_refused);
    dealer_close(port, peer, 0);
    if (peer->conn)
        conn_drop(port, peer->conn);
    peer_release(port, peer);
}

/* Byte (node, proc) of one file of locks: it leaves nothing behind when its
 * process dies, unlike a file for each.  Of the open file and not of the
 * process, so that a second port in the same process is refused, too. */
static bool take_path(struct port *port, char *why, size_t why_size)
{
    char path[PATH_BYTES + sizeof PORT_LOCKS];
    snprintf(path, sizeof path, "%s/" PORT_LOCKS, port->dir);
    port->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (port->lock_fd < 0) {
        snprintf(why, why_size, "cannot open %s: %s", path, strerror(errno));
        return false;
    }
    struct flock lock = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = (off_t)port->self.node << 32 | (off_t)port->self.proc,
        .l_len = 1,
    };
    if (fcntl(port->lock_fd, F_OFD_SETLK, &lock) == 0)
        return true;
    if (errno == EAGAIN || errno == EACCES)
        snprintf(why, why_size, "%s/%u.%u: address in use: another process is bound there",
                 port->dir, port->self.node, port->self.proc);
    else
        snprintf(why, why_size, "cannot lock %s: %s", path, strerror(errno));
    return false;
}

static bool open_context(struct port *port)
{
    port->context = zmq_ctx_new();
    return port->context && zmq_ctx_set(port->context, ZMQ_IO_THREADS, 1) == 0 &&
           zmq_ctx_set(port->context, ZMQ_MAX_SOCKETS, PORT_SOCKETS_MAX) == 0;
}

/* Bind under the lock.  ZeroMQ removes a dead process's socket first. */
static bool bind_router(struct port *port)
{
    char endpoint[PATH_BYTES + 8], path[PATH_BYTES];
    uid_t uid = geteuid();
    bool fits = endpoint_of(endpoint, port->dir, port->self) &&
                port_path(path, sizeof path, port->dir, port->self);
    assert(fits);
    (void)fits;
    if (!sock_open(port, &port->router, ZMQ_ROUTER) ||
        !sock_set_int(port->router.zsock, ZMQ_ROUTER_MANDATORY, 1) ||
        zmq_setsockopt(port->router.zsock, ZMQ_IPC_FILTER_UID, &uid, sizeof uid) != 0 ||
        zmq_bind(port->router.zsock, endpoint) != 0)
        return false;
    port->bound = true;
    return chmod(path, 0600) == 0;
}

static bool open_descriptors(struct port *port)
{
    port->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    port->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    return port->epoll_fd >= 0 && port->timer_fd >= 0 &&
           epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, port->timer_fd, &event) == 0;
}

static struct port *port_new(const char *dir, struct addr self, const struct port_ops *ops, void *io)
{
    struct port *port = calloc(1, sizeof *port);
    if (!port)
        return NULL;
    port->self = self;
    port->ops = ops;
    port->io = io;
    port->lock_fd = port->epoll_fd = port->timer_fd = -1;
    memcpy(port->dir, dir, strlen(dir) + 1);
    map_init(&port->peers, PEER_KEY_BYTES);
    map_init(&port->conns, IDENTITY_BYTES);
    list_init(&port->hot);
    list_init(&port->refused);
    list_init(&port->live);
    list_init(&port->dropped);
    list_init(&port->router.in_hot);
    return port;
}

covey_status port_open(struct port **out, const char *dir, struct addr self,
                       const struct port_ops *ops, void *io, char *why, size_t why_size)
{
    assert(self.node <= INT32_MAX); /* the locks' offsets are signed */
    *out = NULL;
    char path[PATH_BYTES];
    if (!port_path(path, sizeof path, dir, self)) {
        snprintf(why, why_size,
                 "%s/%u.%u is too long for a socket (%zu bytes); use a shorter directory "
                 "(COVEY_DIR)", dir, self.node, self.proc, PATH_BYTES - 1);
        return COVEY_ESYSTEM;
    }
    struct port *port = port_new(dir, self, ops, io);
    if (!port) {
        snprintf(why, why_size, "out of memory");
        return COVEY_ENOMEM;
    }
    if (!take_path(port, why, why_size)) {
        port_close(&port, 0);
        return COVEY_ESYSTEM;
    }
    if (!open_context(port) || !open_descriptors(port) || !bind_router(port)) {
        snprintf(why, why_size, "cannot bind %s: %s", path, zmq_strerror(errno));
        port_close(&port, 0);
        return COVEY_ESYSTEM;
    }
    *out = port;
    return COVEY_OK;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Nobody is there: what is queued for it would wait for a process that has ended. */
static bool has_socket(const struct port *port, const struct peer *peer)
{
    char path[PATH_BYTES];
    return port_path(path, sizeof path, port->dir, peer->addr) && access(path, F_OK) == 0;
}

void port_close(struct port **port_at, int linger_ms)
{
    struct port *port = *port_at;
    *port_at = NULL;
    if (!port)
        return;
    struct conn *conn;
    struct peer *peer;
    for (uint32_t i = 0; (peer = map_next(&port->peers, &i)) != NULL; free(peer))
        dealer_close(port, peer, has_socket(port, peer) ? linger_ms : 0);
    for (uint32_t i = 0; (conn = map_next(&port->conns, &i)) != NULL;)
        free(conn);
    sock_close(port, &port->router, linger_ms);
    if (port->context)
        while (zmq_ctx_term(port->context) != 0 && errno == EINTR)
            continue;
    if (port->bound) /* ZeroMQ leaves it */
        port_unlink(port->dir, port->self);
    map_fini(&port->peers);
    map_fini(&port->conns);
    close_fd(port->timer_fd);
    close_fd(port->epoll_fd);
    close_fd(port->lock_fd); /* last: the path is somebody else's from here on */
    free(port);
}
