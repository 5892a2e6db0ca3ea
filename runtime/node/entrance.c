/* entrance.c - see entrance.h for the contract. */
#include "node/entrance.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/list.h"
#include "core/map.h"
#include "io/door.h"
#include "io/mono.h"
#include "io/watch.h"
#include "node/machine.h"
#include "node/starter.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77     /* Linux 6.5 */
#endif

struct visitor {
    struct entrance *entrance;
    struct list in_entrance;
    int fd;                     /* owned */
    struct watch *watch;        /* owned */
    pid_t pid;
    int64_t give_up_at;
};

struct guest {
    struct entrance *entrance;
    uint32_t proc;
    bool is_worker, greeted;
    int door, pidfd;            /* owned; -1 */
    struct watch *door_watch, *pidfd_watch; /* owned */
    /* the end */
    bool dead;                  /* by its pidfd */
    bool has_status, orphan, killed_by_us, left_door;
    int wait_status;
    struct list in_leaving;     /* waits for the status until ... */
    int64_t wait_until;
};

struct entrance {
    struct entrance_config config;
    const struct entrance_ops *ops;
    void *io;
    int listen_fd;              /* owned; -1: shut */
    struct watch *watch;        /* owned, of listen_fd */
    struct list visitors;       /* owned, oldest first */
    uint32_t visitor_count, worker_count;
    struct map guests;          /* proc -> struct guest, owned */
    struct list leaving;        /* guests, the first to be given up first */
    uint64_t oom_kills;         /* seen so far */
};

static void on_listen(void *ctx);

static struct guest *guest_find(const struct entrance *e, uint32_t proc)
{
    return map_get(&e->guests, &proc);
}

/* ---- the end of a process ---------------------------------------------------------------- */

static void close_door(struct guest *g)
{
    watch_close(&g->door_watch);
    if (g->door >= 0)
        close(g->door);
    g->door = -1;
}

static void guest_free(struct guest *g)
{
    struct entrance *e = g->entrance;
    close_door(g);
    watch_close(&g->pidfd_watch);
    if (g->pidfd >= 0)
        close(g->pidfd);
    list_del(&g->in_leaving);
    e->worker_count -= g->is_worker;
    map_del(&e->guests, &g->proc);
    free(g);
}

/* A SIGKILL that nobody here sent is the kernel's, or a person's. */
static const char *explain_kill(struct entrance *e, const struct guest *g)
{
    if (!WIFSIGNALED(g->wait_status) || WTERMSIG(g->wait_status) != SIGKILL || g->killed_by_us)
        return "";
    uint64_t kills = machine_oom_kills();
    bool out_of_memory = kills > e->oom_kills;
    e->oom_kills = kills;
    return out_of_memory ? " (the system was out of memory)" : "";
}

static int32_t explain(struct entrance *e, struct guest *g, char why[ENTRANCE_WHY_MAX])
{
    int32_t exit_status = -SIGKILL;
    char how[96];
    if (!g->is_worker) {
        snprintf(why, ENTRANCE_WHY_MAX, g->dead ? "its process ended" : "it left");
        return 0;
    }
    if (g->has_status) {
        describe_exit(g->wait_status, how, sizeof how);
        exit_status = WIFSIGNALED(g->wait_status) ? -WTERMSIG(g->wait_status)
                                                  : WEXITSTATUS(g->wait_status);
    } else {
        snprintf(how, sizeof how, "ended together with the process that forked it");
    }
    int len = snprintf(why, ENTRANCE_WHY_MAX, "%s%s%s%s", how, explain_kill(e, g),
                       g->left_door ? " after it had closed its door to the node" : "",
                       g->greeted ? "" : " before it had said hello to the node");
    e->ops->tail(e->io, g->proc, why + len, ENTRANCE_WHY_MAX - (size_t)len);
    return exit_status;
}

static void over(struct guest *g)
{
    struct entrance *e = g->entrance;
    char why[ENTRANCE_WHY_MAX];
    uint32_t proc = g->proc;
    bool greeted = g->greeted;
    int32_t exit_status = explain(e, g, why);
    guest_free(g);
    e->ops->gone(e->io, proc, greeted, exit_status, why);
}

static void wait_for_status(struct guest *g, int64_t now)
{
    g->wait_until = now + ENTRANCE_STATUS_WAIT;
    list_del(&g->in_leaving);
    list_push(&g->entrance->leaving, &g->in_leaving);
}

static void leaves(struct guest *g)
{
    /* Of a dead orphan there is nothing more to hear; and one that has not said
     * hello dies unseen, with its zygote, and is not let in any more. */
    if (!g->is_worker || g->has_status || (g->orphan && (g->dead || !g->greeted))) {
        over(g);
        return;
    }
    if (list_empty(&g->in_leaving))
        wait_for_status(g, mono_ns());
}

static void on_pidfd(void *ctx)
{
    struct guest *g = ctx;
    g->dead = true;
    watch_close(&g->pidfd_watch);
    close_door(g);
    leaves(g);
}

/* Nothing is said at the door after the welcome; so this is its end, or a
 * process that does not keep to that and is treated as gone, too. */
static void on_door(void *ctx)
{
    struct guest *g = ctx;
    close_door(g);
    leaves(g);
}

static void signal_guest(struct guest *g, int signal_number)
{
    struct entrance *e = g->entrance;
    g->killed_by_us = g->killed_by_us || signal_number == SIGKILL;
    if (g->pidfd < 0)
        e->ops->signal_start(e->io, g->proc, signal_number);
    else if (!g->dead)
        syscall(SYS_pidfd_send_signal, g->pidfd, signal_number, NULL, 0);
}

/* The status did not come in time. */
static void waited_enough(struct guest *g, int64_t now)
{
    if (g->dead || g->orphan || g->killed_by_us) {
        over(g);
        return;
    }
    g->left_door = true;
    signal_guest(g, SIGKILL);
    wait_for_status(g, now);
}

/* ---- hello --------------------------------------------------------------------------------- */

static void visitor_free(struct visitor *v)
{
    struct entrance *e = v->entrance;
    watch_close(&v->watch);
    if (v->fd >= 0)
        close(v->fd);
    list_del(&v->in_entrance);
    free(v);
    /* At the limit nobody was taken in. */
    if (e->visitor_count-- == ENTRANCE_VISITORS_MAX && e->listen_fd >= 0 && !e->watch)
        (void)watch_open(&e->watch, e->config.loop, e->listen_fd, on_listen, e);
}

static struct guest *guest_new(struct entrance *e, uint32_t proc)
{
    struct guest *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    *g = (struct guest){.entrance = e, .proc = proc, .door = -1, .pidfd = -1};
    list_init(&g->in_leaving);
    if (!map_put(&e->guests, &proc, g)) {
        free(g);
        return NULL;
    }
    return g;
}

/* The kernel's own handle of who connected; an older one does not have it, and
 * then the number is good as long as the connection is not at its end. */
static int open_pidfd(int fd, pid_t pid)
{
    int pidfd = -1;
    socklen_t len = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
        return pidfd;
    pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (pidfd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLHUP)) {
        close(pidfd);
        pidfd = -1;
    }
    return pidfd;
}

static void refuse(struct visitor *v, covey_status status, const char *why)
{
    struct msg m = {.kind = MSG_DOOR_REFUSE};
    m.u.door_refuse = (struct msg_door_refuse){
        .version = WIRE_VERSION, .status = status, .why = span_str(why)};
    (void)door_send(v->fd, &m, NULL, 0);    /* one that does not read hears the close */
}

/* The address and everything it needs.  False: it is gone already. */
static bool welcome(struct visitor *v, struct addr self)
{
    struct entrance *e = v->entrance;
    struct msg m = {.kind = MSG_DOOR_WELCOME};
    int fds[2];
    e->ops->welcome(e->io, &m.u.door_welcome, fds);
    m.u.door_welcome.version = WIRE_VERSION;
    m.u.door_welcome.self = self;
    m.u.door_welcome.dir = span_str(e->config.dir);
    return door_send(v->fd, &m, fds, 2) == COVEY_OK;
}

/* From now on it is a guest, and its end is told to the node. */
static void admit(struct visitor *v, struct addr self)
{
    struct entrance *e = v->entrance;
    struct guest *g = guest_find(e, self.proc);
    if (!g && !(g = guest_new(e, self.proc))) {
        e->ops->gone(e->io, self.proc, true, 0, "the node is out of memory");
        return;
    }
    g->greeted = true;
    g->pidfd = open_pidfd(v->fd, v->pid);
    g->door = v->fd;
    v->fd = -1;
    watch_close(&v->watch);
    bool watched = watch_open(&g->door_watch, e->config.loop, g->door, on_door, g) == COVEY_OK
                   && g->pidfd >= 0
                   && watch_open(&g->pidfd_watch, e->config.loop, g->pidfd, on_pidfd, g) == COVEY_OK;
    if (!watched)
        on_door(g);     /* died meanwhile, or could not be watched */
}

static void on_visitor(void *ctx)
{
    struct visitor *v = ctx;
    struct entrance *e = v->entrance;
    struct scratch scratch;
    struct msg m;
    struct addr self;
    char why[512] = "";
    int fds[DOOR_FDS_MAX], fd_count = 0;
    scratch_init(&scratch);
    covey_status status = door_receive(v->fd, 0, &scratch, &m, fds, &fd_count, why, sizeof why);
    for (int i = 0; i < fd_count; i++)
        close(fds[i]);
    if (status == COVEY_EAGAIN || status == COVEY_ETIMEOUT) {
        scratch_fini(&scratch);
        return;
    }
    if (status == COVEY_OK && m.kind != MSG_DOOR_HELLO) {
        status = COVEY_EPROTO;
        snprintf(why, sizeof why, "the first word at the door is DOOR_HELLO");
    }
    if (status == COVEY_OK)
        status = e->ops->hello(e->io, &m.u.door_hello, v->pid, &self, why, sizeof why);
    if (status == COVEY_OK) {
        if (welcome(v, self))
            admit(v, self);
        else
            e->ops->gone(e->io, self.proc, true, 0, "it ended while it was let in");
    } else if (status != COVEY_ECLOSED) {
        refuse(v, status, why);
    }
    scratch_fini(&scratch);
    visitor_free(v);
}

static covey_status visitor_new(struct entrance *e, int fd, pid_t pid)
{
    struct visitor *v = calloc(1, sizeof *v);
    if (!v)
        return COVEY_ENOMEM;
    *v = (struct visitor){.entrance = e, .fd = fd, .pid = pid,
                          .give_up_at = mono_ns() + ENTRANCE_HELLO_WAIT};
    if (watch_open(&v->watch, e->config.loop, fd, on_visitor, v) != COVEY_OK) {
        free(v);
        return COVEY_ENOMEM;
    }
    list_push(&e->visitors, &v->in_entrance);
    e->visitor_count++;
    return COVEY_OK;
}

static void on_listen(void *ctx)
{
    struct entrance *e = ctx;
    for (int i = 0; i < ENTRANCE_BURST; i++) {
        int fd;
        pid_t pid;
        if (e->visitor_count == ENTRANCE_VISITORS_MAX) {
            watch_close(&e->watch);     /* they wait in the backlog; see visitor_free() */
            return;
        }
        covey_status status = door_accept(e->listen_fd, &fd, &pid);
        if (status == COVEY_EREFUSED)
            continue;
        if (status != COVEY_OK)
            return;
        if (visitor_new(e, fd, pid) != COVEY_OK)
            close(fd);
    }
}

/* ---- the contract ----------------------------------------------------------------------------- */

covey_status entrance_open(struct entrance **out, const struct entrance_config *config,
                           const struct entrance_ops *ops, void *io)
{
    struct entrance *e = calloc(1, sizeof *e);
    if (!e)
        return COVEY_ENOMEM;
    e->config = *config;
    e->ops = ops;
    e->io = io;
    e->listen_fd = -1;
    e->oom_kills = machine_oom_kills();
    list_init(&e->visitors);
    list_init(&e->leaving);
    map_init(&e->guests, sizeof(uint32_t));
    covey_status status = door_listen(&e->listen_fd, config->dir);
    if (status == COVEY_OK)
        status = watch_open(&e->watch, config->loop, e->listen_fd, on_listen, e);
    if (status != COVEY_OK) {
        int error = errno;
        entrance_close(&e);
        errno = error;
        return status;
    }
    *out = e;
    return COVEY_OK;
}

void entrance_shut(struct entrance *e)
{
    watch_close(&e->watch);
    if (e->listen_fd >= 0)
        close(e->listen_fd);
    e->listen_fd = -1;
}

void entrance_close(struct entrance **entrance)
{
    struct entrance *e = *entrance;
    if (!e)
        return;
    *entrance = NULL;
    entrance_shut(e);
    while (!list_empty(&e->visitors))
        visitor_free(list_entry(e->visitors.next, struct visitor, in_entrance));
    struct guest *g;
    for (uint32_t i = 0; (g = map_next(&e->guests, &i)) != NULL;)
        guest_free(g);
    map_fini(&e->guests);
    free(e);
}

void entrance_expect(struct entrance *e, uint32_t proc)
{
    struct guest *g = guest_new(e, proc);
    if (!g)
        return;     /* it is made when it says hello */
    g->is_worker = true;
    e->worker_count++;
}

void entrance_exited(struct entrance *e, uint32_t proc, int wait_status)
{
    struct guest *g = guest_find(e, proc);
    if (!g)
        return;
    g->has_status = true;
    g->wait_status = wait_status;
    over(g);
}

void entrance_orphaned(struct entrance *e, uint32_t proc)
{
    struct guest *g = guest_find(e, proc);
    if (!g)
        return;
    g->orphan = true;
    if (!g->dead)
        signal_guest(g, SIGKILL);
    leaves(g);
}

void entrance_start_failed(struct entrance *e, uint32_t proc, bool killed, const char *why)
{
    struct guest *g = guest_find(e, proc);
    if (g)
        guest_free(g);
    e->ops->gone(e->io, proc, false, killed ? -SIGKILL : 0, why);
}

void entrance_kill(struct entrance *e, uint32_t proc, int signal_number)
{
    struct guest *g = guest_find(e, proc);
    if (g)
        signal_guest(g, signal_number);
}

void entrance_kill_workers(struct entrance *e, int signal_number)
{
    struct guest *g;
    for (uint32_t i = 0; (g = map_next(&e->guests, &i)) != NULL;)
        if (g->is_worker)
            signal_guest(g, signal_number);
}

void entrance_expel(struct entrance *e, uint32_t proc)
{
    struct guest *g = guest_find(e, proc);
    if (!g)
        return;
    if (g->is_worker)
        signal_guest(g, SIGKILL);
    else
        on_door(g);
}

uint32_t entrance_workers(const struct entrance *e) { return e->worker_count; }

bool entrance_is_guest(const struct entrance *e, uint32_t proc)
{
    const struct guest *g = guest_find(e, proc);
    return g && g->greeted;
}

void entrance_tick(struct entrance *e, int64_t now)
{
    while (!list_empty(&e->visitors)) {
        struct visitor *v = list_entry(e->visitors.next, struct visitor, in_entrance);
        if (v->give_up_at > now)
            break;
        visitor_free(v);
    }
    while (!list_empty(&e->leaving)) {
        struct guest *g = list_entry(e->leaving.next, struct guest, in_leaving);
        if (g->wait_until > now)
            break;
        waited_enough(g, now);
    }
}

int64_t entrance_deadline(const struct entrance *e)
{
    int64_t at = NEVER_NS;
    if (!list_empty(&e->visitors))
        at = list_entry(e->visitors.next, struct visitor, in_entrance)->give_up_at;
    if (!list_empty(&e->leaving)) {
        int64_t until = list_entry(e->leaving.next, struct guest, in_leaving)->wait_until;
        at = until < at ? until : at;
    }
    return at;
}
