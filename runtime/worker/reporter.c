/* reporter.c - see reporter.h for the contract. */
#include "worker/reporter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/mono.h"

#define READ_MAX 65536

static const char told_to_end[] = "{\"stop\":true}\n";

bool reporter_open(struct reporter *r, covey_ctx *ctx)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    *r = (struct reporter){.ctx = ctx, .listen_fd = -1};
    for (int i = 0; i < REPORTER_PEERS_MAX; i++)
        r->peers[i].fd = -1;
    int len = snprintf(r->path, sizeof r->path, "%s/report.%u", ctx->c->dir, ctx->c->self.proc);
    if ((size_t)len >= sizeof r->path) {
        run_fail(ctx, COVEY_ETOOBIG, 0, "the path of the report socket is too long: %s", r->path);
        r->path[0] = 0;
        return false;
    }
    memcpy(at.sun_path, r->path, (size_t)len + 1);
    unlink(r->path);                    /* of a task of this worker that was cut short */
    r->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r->listen_fd >= 0 && bind(r->listen_fd, (struct sockaddr *)&at, sizeof at) == 0 &&
        chmod(r->path, 0600) == 0 && listen(r->listen_fd, 64) == 0)
        return true;
    run_fail(ctx, COVEY_ESYSTEM, errno, "cannot listen for reports at %s: %s", r->path, strerror(errno));
    reporter_close(r);
    return false;
}

static void drop_peer(struct reporter_peer *peer)
{
    close(peer->fd);
    peer->fd = -1;
    buf_fini(&peer->in);
}

void reporter_close(struct reporter *r)
{
    for (int i = 0; i < REPORTER_PEERS_MAX; i++)
        if (r->peers[i].fd >= 0)
            drop_peer(&r->peers[i]);
    if (r->listen_fd >= 0)
        close(r->listen_fd);
    r->listen_fd = -1;
    if (r->path[0])
        unlink(r->path);
    r->path[0] = 0;
}

int reporter_poll(const struct reporter *r, struct pollfd *fds)
{
    int n = 0;
    bool room = false;
    for (int i = 0; i < REPORTER_PEERS_MAX; i++) {
        if (r->peers[i].fd >= 0)
            fds[n++] = (struct pollfd){r->peers[i].fd, POLLIN, 0};
        else
            room = true;
    }
    if (room && r->listen_fd >= 0)
        fds[n++] = (struct pollfd){r->listen_fd, POLLIN, 0};
    return n;
}

/* ---- questions ------------------------------------------------------------------------ */

struct asking { struct reporter *r; int peer; struct span line; covey_status status; };

static bool ask(covey *c, void *arg)
{
    struct asking *a = arg;
    struct reporter *r = a->r;
    uint64_t number;
    if (a->peer >= 0 && r->asked_count == POST_WINDOW) {
        a->status = covey_cancelled(r->ctx) ? COVEY_ECANCELLED : COVEY_EAGAIN;
        return a->status == COVEY_ECANCELLED;
    }
    a->status = exec_post(c->exec, r->ctx->task, a->line, a->peer >= 0, &number);
    if (a->status != COVEY_OK || a->peer < 0)
        return a->status != COVEY_EAGAIN;
    uint32_t at = (r->asked_first + r->asked_count++) % POST_WINDOW;
    r->asked[at].number = number;
    r->asked[at].peer = (uint32_t)a->peer;
    r->asked[at].serial = r->peers[a->peer].serial;
    return true;
}

/* @peer -1: nobody waits for an answer. */
static void post(struct reporter *r, int peer, const char *line, size_t size)
{
    covey *c = r->ctx->c;
    struct asking a = {.r = r, .peer = peer, .line = span_of(line, size)};
    pthread_mutex_lock(&c->lock);
    c->now = mono_ns();
    (void)process_wait(c, ask, &a, NEVER_NS, false);
    process_flush(c, c->now);
    process_after(c, c->now);
    pthread_mutex_unlock(&c->lock);
    if (a.status != COVEY_OK && peer >= 0)      /* cancelled: nobody is asked any more */
        (void)send(r->peers[peer].fd, told_to_end, sizeof told_to_end - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void reporter_post(struct reporter *r, const char *line, size_t size) { post(r, -1, line, size); }

bool reporter_answer(struct reporter *r, uint64_t number, struct span body)
{
    char line[1024];
    if (r->asked_count == 0 || r->asked[r->asked_first].number != number)
        return false;
    const struct reporter_peer *peer = &r->peers[r->asked[r->asked_first].peer];
    bool there = peer->fd >= 0 && peer->serial == r->asked[r->asked_first].serial;
    r->asked_first = (r->asked_first + 1) % POST_WINDOW;
    r->asked_count--;
    if (there && body.len < sizeof line) {
        memcpy(line, body.data, body.len);
        line[body.len] = '\n';
        (void)send(peer->fd, line, body.len + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return true;
}

/* ---- reading ------------------------------------------------------------------------------ */

static void take_lines(struct reporter *r, int i)
{
    struct buf *in = &r->peers[i].in;
    size_t from = 0;
    for (;;) {
        const char *start = (const char *)in->data + from;
        const char *end = from < in->len ? memchr(start, '\n', in->len - from) : NULL;
        if (!end)
            break;
        if (end > start)
            post(r, i, start, (size_t)(end - start));
        from += (size_t)(end - start) + 1;
    }
    if (from > 0) {
        memmove(in->data, in->data + from, in->len - from);
        in->len -= from;
    }
}

/* False: the peer is gone, or is to be. */
static bool read_peer(struct reporter *r, int i)
{
    char room[READ_MAX];
    ssize_t n = recv(r->peers[i].fd, room, sizeof room, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    buf_append(&r->peers[i].in, room, (size_t)n);
    if (n == 0 && r->peers[i].in.len > 0)
        buf_append(&r->peers[i].in, "\n", 1);   /* its last line had no end */
    if (r->peers[i].in.failed)
        return false;
    take_lines(r, i);
    return n > 0 && r->peers[i].in.len <= REPORTER_LINE_MAX;
}

/* The peer's process may have gone without waiting; the answer then meets nobody. */
static void accept_peer(struct reporter *r)
{
    int i = 0, fd;
    while (i < REPORTER_PEERS_MAX && r->peers[i].fd >= 0)
        i++;
    if (i == REPORTER_PEERS_MAX || (fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
        return;
    pthread_mutex_lock(&r->ctx->c->lock);
    r->peers[i] = (struct reporter_peer){.fd = fd, .serial = ++r->serial};
    pthread_mutex_unlock(&r->ctx->c->lock);
    buf_init(&r->peers[i].in);
    if (!read_peer(r, i)) {
        pthread_mutex_lock(&r->ctx->c->lock);
        drop_peer(&r->peers[i]);
        pthread_mutex_unlock(&r->ctx->c->lock);
    }
}

void reporter_turn(struct reporter *r, const struct pollfd *fds, int count)
{
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
        if (i < REPORTER_PEERS_MAX && !read_peer(r, i)) {
            pthread_mutex_lock(&r->ctx->c->lock);
            drop_peer(&r->peers[i]);
            pthread_mutex_unlock(&r->ctx->c->lock);
        }
    }
}

void reporter_finish(struct reporter *r)
{
    for (int rounds = 0; rounds < 2 * REPORTER_PEERS_MAX; rounds++) {
        struct pollfd fds[REPORTER_PEERS_MAX + 1];
        int n = reporter_poll(r, fds);
        if (poll(fds, (nfds_t)n, 0) <= 0)
            return;
        reporter_turn(r, fds, n);
    }
}
