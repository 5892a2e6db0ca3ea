/* reporter.c - see reporter.h for the contract. */
#include "worker/reporter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/mono.h"
#include "io/port.h"

#define READ_MAX 65536
#define FULL_POLL_MS 10         /* answers come within a few */
#define SERIAL_BYTES 4          /* of a task, at the end of its path */

static const char told_to_end[] = "{\"stop\":true}\n";
static const char cut_off[] = "[covey: a connection for reports was closed, because nobody reads the answers on it: "
                              "each report is answered by a line, and some 250 may wait]\n";

/* Of this process, bound once: to make and remove a socket costs more than all else
 * that a small command needs. */
static struct { int fd; uint16_t tasks; char path[REPORTER_PATH_MAX]; } own = {.fd = -1};

static bool bind_own(const covey *c)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (own.fd >= 0)
        return true;
    if (!port_report_path(own.path, sizeof own.path - SERIAL_BYTES, c->dir, c->self)) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(at.sun_path, own.path, strlen(own.path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && chmod(own.path, 0600) == 0 &&
        listen(fd, REPORTER_BACKLOG) == 0) {
        own.fd = fd;
        return true;
    }
    int error = errno;
    if (fd >= 0) {
        unlink(own.path);
        close(fd);
    }
    errno = error;
    return false;
}

/* Those who came for a task that is over. */
static void turn_away(void)
{
    int fd;
    while (own.fd >= 0 && (fd = accept4(own.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        close(fd);
}

bool reporter_open(struct reporter *r, covey_ctx *ctx, struct command_log *log)
{
    *r = (struct reporter){.ctx = ctx, .log = log, .listen_fd = -1};
    for (int i = 0; i < REPORTER_PEERS_MAX; i++)
        r->peers[i].fd = -1;
    bool bound = bind_own(ctx->c);
    turn_away();
    snprintf(r->path, sizeof r->path, "%.*s%x", (int)(sizeof r->path - 1 - SERIAL_BYTES), own.path, ++own.tasks);
    if (bound && link(own.path, r->path) == 0) {
        r->listen_fd = own.fd;
        return true;
    }
    run_fail(ctx, COVEY_ESYSTEM, errno, "cannot listen for reports at %s: %s", r->path, strerror(errno));
    r->path[0] = 0;
    return false;
}

/* Lock held where answers may come. */
static void drop_peer(struct reporter_peer *peer)
{
    close(peer->fd);
    peer->fd = -1;
    lines_fini(&peer->lines);
}

static void end_peer(struct reporter *r, int i)
{
    pthread_mutex_lock(&r->ctx->c->lock);
    bool deaf = r->peers[i].deaf;
    drop_peer(&r->peers[i]);
    pthread_mutex_unlock(&r->ctx->c->lock);
    if (deaf && r->log->fd >= 0)
        command_log_add(r->log, cut_off, sizeof cut_off - 1);
}

/* One that has said least lately, is in the middle of no line and waits for no
 * answer; -1: all are busy. */
static int silent_peer(const struct reporter *r)
{
    int silent = -1;
    pthread_mutex_lock(&r->ctx->c->lock);
    for (int i = 0; i < REPORTER_PEERS_MAX; i++) {
        const struct reporter_peer *p = &r->peers[i];
        if (p->asked == 0 && p->lines.part.len == 0 && !p->lines.skipping &&
            (silent < 0 || p->heard_at < r->peers[silent].heard_at))
            silent = i;
    }
    pthread_mutex_unlock(&r->ctx->c->lock);
    return silent;
}

static int free_place(const struct reporter *r)
{
    int i = 0;
    while (i < REPORTER_PEERS_MAX && r->peers[i].fd >= 0)
        i++;
    return i;
}

void reporter_close(struct reporter *r)
{
    for (int i = 0; i < REPORTER_PEERS_MAX; i++)
        if (r->peers[i].fd >= 0)
            drop_peer(&r->peers[i]);
    r->listen_fd = -1;
    if (r->path[0])
        unlink(r->path);
    r->path[0] = 0;
    turn_away();
}

int reporter_poll(const struct reporter *r, struct pollfd *fds)
{
    int n = 0;
    for (int i = 0; i < REPORTER_PEERS_MAX; i++)
        if (r->peers[i].fd >= 0)
            fds[n++] = (struct pollfd){r->peers[i].fd, POLLIN, 0};
    if (r->listen_fd >= 0 && (n < REPORTER_PEERS_MAX || silent_peer(r) >= 0))
        fds[n++] = (struct pollfd){r->listen_fd, POLLIN, 0};
    return n;
}

int reporter_poll_ms(const struct reporter *r, const struct pollfd *fds, int count, int ms)
{
    bool is_full = r->listen_fd >= 0 && (count == 0 || fds[count - 1].fd != r->listen_fd);
    return is_full && (ms < 0 || ms > FULL_POLL_MS) ? FULL_POLL_MS : ms;
}

/* ---- questions ------------------------------------------------------------------------ */

struct asking { struct reporter *r; int peer; struct span line; covey_status status; };

/* Where the next question is remembered; POST_WINDOW: there are as many already. */
static uint32_t free_question(const struct reporter *r)
{
    uint32_t at = 0;
    while (at < POST_WINDOW && r->asked[at].number != 0)
        at++;
    return at;
}

/* False: not now, for as many lines as may be are unread. */
static bool ask(covey *c, void *arg)
{
    struct asking *a = arg;
    struct reporter *r = a->r;
    uint64_t number;
    uint32_t at = a->peer >= 0 ? free_question(r) : 0;
    if (at == POST_WINDOW && !covey_cancelled(r->ctx))
        return false;
    a->status = exec_post(c->exec, r->ctx->task, a->line, a->peer >= 0, &number);
    if (a->status == COVEY_OK && a->peer >= 0) {
        struct reporter_peer *peer = &r->peers[a->peer];
        r->asked[at].number = number;
        r->asked[at].peer = (uint32_t)a->peer;
        r->asked[at].serial = peer->serial;
        peer->asked++;
    }
    return a->status != COVEY_EAGAIN;
}

/* @peer -1: nobody waits for an answer. */
static void post(struct reporter *r, int peer, struct span line)
{
    covey *c = r->ctx->c;
    struct asking a = {.r = r, .peer = peer, .line = line};
    pthread_mutex_lock(&c->lock);
    c->now = mono_ns();
    (void)process_wait(c, ask, &a, NEVER_NS, false);
    process_flush(c, c->now);
    process_after(c, c->now);
    pthread_mutex_unlock(&c->lock);
    if (a.status != COVEY_OK && peer >= 0)      /* cancelled: nobody is asked any more */
        (void)send(r->peers[peer].fd, told_to_end, sizeof told_to_end - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void reporter_post(struct reporter *r, struct span line) { post(r, -1, line); }

/* A part of an answer would be taken for another answer: all of it, or the end. */
static void write_answer(struct reporter_peer *peer, struct span body)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)body.data, body.len}, {(void *)(uintptr_t)"\n", 1}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = sendmsg(peer->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == (ssize_t)body.len + 1)
        return;
    peer->deaf = peer->deaf || n >= 0 || errno == EAGAIN;
    shutdown(peer->fd, SHUT_RDWR);              /* the main thread reads its end */
}

bool reporter_answer(struct reporter *r, uint64_t number, struct span body)
{
    uint32_t at = 0;
    while (at < POST_WINDOW && r->asked[at].number != number)
        at++;
    if (at == POST_WINDOW)
        return false;
    struct reporter_peer *peer = &r->peers[r->asked[at].peer];
    r->asked[at].number = 0;
    if (peer->fd >= 0 && peer->serial == r->asked[at].serial) {
        peer->asked--;
        write_answer(peer, body);
    }
    return true;
}

/* ---- reading ------------------------------------------------------------------------------ */

struct line_from { struct reporter *r; int peer; };

static void on_line(void *ctx, struct span line)
{
    const struct line_from *from = ctx;
    post(from->r, from->peer, line);
}

/* False: the peer is gone, or is to be. */
static bool read_peer(struct reporter *r, int i)
{
    char room[READ_MAX];
    struct line_from from = {r, i};
    ssize_t n = recv(r->peers[i].fd, room, sizeof room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    /* Gone, perhaps with answers unread, which is ECONNRESET; its last line may have no end. */
    if (n <= 0) {
        lines_end(&r->peers[i].lines, on_line, &from);
        return false;
    }
    r->peers[i].heard_at = r->turns;
    return lines_add(&r->peers[i].lines, span_of(room, (size_t)n), on_line, &from);
}

/* The peer's process may have gone without waiting; the answer then meets nobody. */
static void accept_peer(struct reporter *r)
{
    int i = free_place(r), fd;
    if (i == REPORTER_PEERS_MAX) {
        i = silent_peer(r);
        if (i < 0)
            return;
        end_peer(r, i);
    }
    if ((fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
        return;
    pthread_mutex_lock(&r->ctx->c->lock);
    r->peers[i] = (struct reporter_peer){.fd = fd, .serial = ++r->serial, .heard_at = r->turns};
    pthread_mutex_unlock(&r->ctx->c->lock);
    lines_init(&r->peers[i].lines);
    if (!read_peer(r, i))
        end_peer(r, i);
}

void reporter_turn(struct reporter *r, const struct pollfd *fds, int count)
{
    r->turns++;
    for (int k = 0; k < count; k++) {
        if (!fds[k].revents)
            continue;
        if (fds[k].fd == r->listen_fd) {
            accept_peer(r);
            continue;
        }
        int i = 0;
        while (i < REPORTER_PEERS_MAX && r->peers[i].fd != fds[k].fd)
            i++;
        if (i < REPORTER_PEERS_MAX && !read_peer(r, i))
            end_peer(r, i);
    }
}

/* As many rounds as let each peer that waited say something. */
void reporter_finish(struct reporter *r)
{
    for (int rounds = 0; rounds < 2 * (REPORTER_PEERS_MAX + REPORTER_BACKLOG); rounds++) {
        struct pollfd fds[REPORTER_PEERS_MAX + 1];
        int n = reporter_poll(r, fds);
        if (poll(fds, (nfds_t)n, 0) <= 0)
            return;
        reporter_turn(r, fds, n);
    }
}
