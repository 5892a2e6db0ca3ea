/* process.c - see process.h for the contract and the thread rule. */
#include "client/process.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/callbacks.h"
#include "client/show.h"
#include "io/door.h"
#include "io/mono.h"
#include "io/wake.h"
#include "wire/wire.h"

/* ---- errors ---------------------------------------------------------------------- */

static _Thread_local char last_error[WHY_MAX];

const char *covey_error(void) { return last_error; }
void error_clear(void) { last_error[0] = 0; }

void error_set(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(last_error, sizeof(last_error), format, args);
    va_end(args);
}

/* ---- entry ------------------------------------------------------------------------- */

static pid_t this_pid;                  /* getpid() without the system call */
static void after_fork(void) { this_pid = getpid(); }
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static void watch_forks(void)
{
    this_pid = getpid();
    pthread_atfork(NULL, NULL, after_fork);
}

bool process_forked(const covey *c) { return c->pid != this_pid; }

covey_status process_enter(covey *c)
{
    if (!c) {
        error_set("the covey handle is NULL: covey_init() failed, or was not called");
        return COVEY_EINVAL;
    }
    if (process_forked(c)) {
        error_set("this process is a fork of the one that opened the handle; open one of its own");
        return COVEY_EFORK;
    }
    pthread_mutex_lock(&c->lock);
    if (!c->closing)
        return COVEY_OK;
    pthread_mutex_unlock(&c->lock);
    error_set("the covey handle is closed");
    return COVEY_ECLOSED;
}

int64_t deadline_of(int64_t timeout_ms, int64_t now)
{
    if (timeout_ms < 0 || timeout_ms > (NEVER_NS - now) / MS_NS)
        return NEVER_NS;
    return now + timeout_ms * MS_NS;
}

/* ---- effects of the cores --------------------------------------------------------------- */

static void process_broken(covey *c, covey_status why);

void process_send(covey *c, struct addr to, const struct msg *msg)
{
    if (addr_eq(to, c->self)) {
        if (c->exec)
            (void)exec_msg(c->exec, to, msg, c->now);
        return;
    }
    covey_status status = mesh_send(c->mesh, to, msg, c->now);
    if (status != COVEY_OK && status != COVEY_ECLOSED)  /* to the dead: their death is news of its own */
        process_broken(c, status);
}

static void on_send(void *io, struct addr to, const struct msg *msg) { process_send(io, to, msg); }

static void on_free_place(void *io, const struct place *place)
{
    covey *c = io;
    store_free(c->store, place);
}

static void on_settled(void *io, covey_ref ref) { process_settled(io, ref); }
static void on_post(void *io, covey_ref ref, const struct msg_post *m) { callbacks_post(io, ref, m); }

static const struct owner_ops owner_ops = {on_send, on_free_place, on_post, on_settled};

static uint32_t value_payload(struct span value)
{
    struct value v;
    struct span in = value;
    if (value_next(&in, &v) != COVEY_OK || (v.kind != COVEY_STR && v.kind != COVEY_BYTES))
        return 0;
    return (uint32_t)(value.len - v.bytes.len);
}

/* ---- messages in ------------------------------------------------------------------------- */

static void on_proc_dead(covey *c, struct addr who)
{
    if (c->exec)
        exec_proc_dead(c->exec, who, c->now);
    owner_proc_dead(c->owner, who, c->now);
    mesh_forget(c->mesh, who);
    port_forget(c->port, who);
}

static void on_message(void *io, struct addr from, const struct msg *m)
{
    covey *c = io;
    switch (m->kind) {
    case MSG_EXTENT_GRANT: store_granted(c->store, &m->u.extent_grant); break;
    case MSG_EXTENT_REFUSED: store_refused(c->store, &m->u.extent_refused); break;
    case MSG_PROC_DEAD: on_proc_dead(c, m->u.proc_dead.who); break;
    case MSG_LOG: show_log(c, &m->u.log); break;
    case MSG_QUERY: show_tasks(c, from, &m->u.query); break;
    default:
        if (!c->exec || !exec_msg(c->exec, from, m, c->now))
            (void)owner_msg(c->owner, from, m, c->now);
    }
}

static void on_full(void *io, struct addr peer, bool is_full)
{
    covey *c = io;
    owner_link_full(c->owner, peer, is_full, c->now);
}

static void on_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    covey *c = io;
    fprintf(stderr, "covey: dropped process p%u of node %u: %s: %s\n", peer.proc, peer.node, covey_strerror(status), why);
    port_forget(c->port, peer);
}

static bool on_transmit(void *io, struct addr to, struct frame *frame)
{
    covey *c = io;
    uint64_t lost = port_stats(c->port).lost;
    bool taken = port_transmit(c->port, to, frame);
    if (c->is_worker && port_stats(c->port).lost != lost)
        process_broken(c, COVEY_ENOMEM);    /* user code has it all, and may keep it */
    return taken;
}

static void on_frame(void *io, struct span frame)
{
    covey *c = io;
    mesh_receive(c->mesh, frame, c->now);
}

static void on_writable(void *io, struct addr peer)
{
    covey *c = io;
    mesh_writable(c->mesh, peer, c->now);
}

static const struct mesh_ops mesh_ops = {on_transmit, on_message, on_full, on_broken};
static const struct mesh_codec codec = {wire_encode, wire_decode};
static const struct port_ops port_ops = {on_frame, on_writable};

/* ---- turns ---------------------------------------------------------------------------------- */

static bool busy(const covey *c)
{
    return owner_busy(c->owner) || c->run || (c->exec && exec_queued(c->exec) > 0);
}

/* What the store has to say to the node.  What is given back comes first: a
 * want must not be refused for room that its own process has just freed. */
static void store_speak(covey *c)
{
    struct msg m;
    m.kind = MSG_EXTENT_CLOSE;
    while (store_next_close(c->store, &m.u.extent_close))
        process_send(c, c->node, &m);
    m.kind = MSG_OBJECT_FREE;
    while (store_next_free(c->store, &m.u.object_free))
        process_send(c, c->node, &m);
    m.kind = MSG_EXTENT_WANT;
    while (store_want(c->store, &m.u.extent_want))
        process_send(c, c->node, &m);
}

void process_turn(covey *c, int64_t now)
{
    c->now = now;
    while (port_receive(c->port, PROCESS_BURST) == PROCESS_BURST)
        c->now = now = mono_ns();
    if (owner_deadline(c->owner) <= now)
        owner_tick(c->owner, now);
    if (c->exec && exec_deadline(c->exec) <= now)
        exec_tick(c->exec, now);
    if (mesh_deadline(c->mesh) <= now)
        mesh_tick(c->mesh, now);
    while (c->cancels_due)
        run_cancel_children(c);
}

void process_flush(covey *c, int64_t now)
{
    c->now = now;
    store_speak(c);
    mesh_flush(c->mesh, now);
}

void process_wake(covey *c)
{
    if (!c->woken) {
        c->woken = true;
        wake_set(c->wake_fd);
    }
}

static int64_t next_deadline(const covey *c)
{
    int64_t at = owner_deadline(c->owner), other = mesh_deadline(c->mesh);
    if (other < at)
        at = other;
    other = c->exec ? exec_deadline(c->exec) : NEVER_NS;
    return other < at ? other : at;
}

static void rouse_helper(covey *c)
{
    if (c->helper_sleeps) {
        c->helper_sleeps = false;
        c->worked_at = c->now;          /* or it would sleep again at once, and be woken by the next task */
        pthread_cond_signal(&c->helper_cond);
    }
}

void process_after(covey *c, int64_t now)
{
    while (c->cancels_due)
        run_cancel_children(c);
    store_speak(c);
    mesh_flush_idle(c->mesh, now);
    c->user_at = now;
    if (!c->polling) {
        rouse_helper(c);
        return;
    }
    if (port_pending(c->port)) {
        process_turn(c, now);
        process_flush(c, now);
    }
    if (next_deadline(c) < c->polling_until || owner_settled_count(c->owner) != c->polling_settled || c->callbacks ||
        mesh_has_open(c->mesh))
        process_wake(c);
}

/* A message that is lost is a wait that never ends: rather an end with a cause.
 * No memory may be asked for here. */
static void process_broken(covey *c, covey_status why)
{
    if (c->is_worker && why != COVEY_ENODE) {
        static const char text[] = "covey: this worker is out of memory, or cannot send a message\n";
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        _exit(COVEY_LOST_MESSAGE_EXIT); /* the node tells who waits for us */
    }
    if (c->is_worker)
        _exit(0);                       /* the node is gone; its keeper ends us anyway */
    if (c->broken)
        return;
    c->broken = true;
    c->broken_why = why;
    if (c->public_fd >= 0)
        epoll_ctl(c->public_fd, EPOLL_CTL_DEL, c->door_fd, NULL);   /* it would be readable for ever */
    callbacks_settle_all(c);
    pthread_cond_broadcast(&c->turn_cond);
    if (c->polling)
        process_wake(c);
}

const char *process_broken_why(const covey *c)
{
    if (!c->broken)
        return "";
    return c->broken_why == COVEY_ENODE
        ? "the cluster ended, or its node died, before the task had; start a cluster (covey start), open a new handle "
          "and submit it again"
        : "this process is out of memory, or cannot send messages; it has lost its cluster; free memory, open a new "
          "handle and submit the task again";
}

void process_check_door(covey *c)
{
    char byte;
    if (c->broken)
        return;
    ssize_t n = recv(c->door_fd, &byte, 1, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        process_broken(c, COVEY_ENODE);
}

/* Sleep until something happens, without the lock. */
static void poll_once(covey *c, int64_t deadline, int64_t now)
{
    int64_t until = next_deadline(c);
    if (deadline < until)
        until = deadline;
    int64_t left = until == NEVER_NS ? 0 : until > now ? until - now : 0;
    struct timespec timeout = {left / SECOND_NS, left % SECOND_NS};
    struct pollfd fds[3] = {{.fd = port_fd(c->port), .events = POLLIN}, {.fd = c->wake_fd, .events = POLLIN},
                            {.fd = c->broken ? -1 : c->door_fd, .events = POLLIN}};
    c->polling = true;
    c->polling_until = until;
    c->polling_settled = owner_settled_count(c->owner);
    pthread_mutex_unlock(&c->lock);
    int n = ppoll(fds, 3, until == NEVER_NS ? NULL : &timeout, NULL);
    pthread_mutex_lock(&c->lock);
    c->polling = false;
    if (n > 0 && fds[1].revents) {
        wake_clear(c->wake_fd);
        c->woken = false;
    }
    if (n > 0 && fds[2].revents)
        process_check_door(c);
}

/* Sleep on @cond until @deadline of mono_ns(). */
static void cond_wait_until(covey *c, pthread_cond_t *cond, int64_t deadline, int64_t now)
{
    if (deadline == NEVER_NS) {
        pthread_cond_wait(cond, &c->lock);
        return;
    }
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    int64_t ns = at.tv_nsec + (deadline > now ? deadline - now : 0);
    at.tv_sec += ns / SECOND_NS;
    at.tv_nsec = ns % SECOND_NS;
    pthread_cond_timedwait(cond, &c->lock, &at);
}

/* Somebody else polls: ask for the role, or be woken when something settled. */
static void wait_behind(covey *c, int64_t deadline, int64_t now)
{
    c->want_poll++;
    if (c->helper_polls)
        process_wake(c);
    cond_wait_until(c, &c->turn_cond, deadline, now);
    c->want_poll--;
}

/* What was queued before it was done comes first: a task's messages are seen
 * before its end.  Not inside a callback, where each level would call the next. */
bool process_done(covey *c, bool (*done)(covey *c, void *ctx), void *ctx, bool callbacks)
{
    while (done(c, ctx))
        if (!callbacks || !c->callbacks || callbacks_inside() || process_callbacks(c) == 0)
            return true;
    return false;
}

covey_status process_wait(covey *c, bool (*done)(covey *c, void *ctx), void *ctx, int64_t deadline, bool callbacks)
{
    covey_status status = COVEY_OK;
    while (!process_done(c, done, ctx, callbacks)) {
        int64_t now = mono_ns();
        if (callbacks && c->callbacks && process_callbacks(c) > 0)
            continue;
        if (c->broken || c->closing)
            status = c->broken ? c->broken_why : COVEY_ECLOSED;
        else if (now >= deadline)
            status = COVEY_ETIMEOUT;
        if (status != COVEY_OK)
            break;
        c->user_at = now;
        if (c->polling) {
            wait_behind(c, deadline, now);
            continue;
        }
        process_flush(c, now);
        uint64_t settled = owner_settled_count(c->owner);
        if (!port_pending(c->port))
            poll_once(c, deadline, now);
        process_turn(c, mono_ns());
        if (c->want_poll > 0 && owner_settled_count(c->owner) != settled)
            pthread_cond_broadcast(&c->turn_cond);
    }
    c->user_at = mono_ns();
    if (c->want_poll > 0 && !c->polling)
        pthread_cond_broadcast(&c->turn_cond);
    rouse_helper(c);
    return status;
}

/* ---- the helper -------------------------------------------------------------------------------- */

static void helper_turn(covey *c)
{
    int64_t now = mono_ns();
    c->helper_polls = true;
    process_turn(c, now);
    process_flush(c, now);
    if (c->want_poll == 0 && !c->closing && !port_pending(c->port)) {
        poll_once(c, NEVER_NS, now);
        process_turn(c, mono_ns());
        process_flush(c, c->now);
    }
    c->helper_polls = false;
    if (c->want_poll > 0) {
        c->user_at = c->now;            /* theirs now */
        pthread_cond_broadcast(&c->turn_cond);
    }
}

static void *helper_main(void *arg)
{
    covey *c = arg;
    pthread_mutex_lock(&c->lock);
    while (!c->closing) {
        int64_t now = mono_ns();
        if (busy(c))
            c->worked_at = now;
        if (c->polling && now - c->worked_at > PROCESS_QUIET) {
            c->helper_sleeps = true;
            pthread_cond_wait(&c->helper_cond, &c->lock);
        } else if (c->polling || c->want_poll > 0) {
            cond_wait_until(c, &c->helper_cond, now + PROCESS_WATCH, now);
        } else if (now - c->user_at < PROCESS_ABSENT) {
            cond_wait_until(c, &c->helper_cond, now + PROCESS_ABSENT, now);
        } else {
            helper_turn(c);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- open and close -------------------------------------------------------------------------------- */

static void init_locks(covey *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->turn_cond, &attr);
    pthread_cond_init(&c->helper_cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&c->lock, NULL);
}

static void dismantle(covey *c)
{
    port_close(&c->port, 100);
    mesh_free(&c->mesh);
    owner_free(&c->owner);
    exec_free(&c->exec);
    store_close(&c->store);
    if (c->door_fd >= 0)
        close(c->door_fd);
    if (c->wake_fd >= 0)
        close(c->wake_fd);
    if (c->callback_fd >= 0)
        close(c->callback_fd);
    if (c->public_fd >= 0)
        close(c->public_fd);
    map_fini(&c->extras);
    buf_fini(&c->args);
    free(c->deps);
    scratch_fini(&c->scratch);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->turn_cond);
    pthread_cond_destroy(&c->helper_cond);
    free(c);
}

static covey_status enter_door(covey *c, const char *dir, const struct msg_door_hello *hello,
                               struct msg_door_welcome *welcome)
{
    char why[512] = "";
    int ro = -1, rw = -1;
    covey_status status = door_enter(dir, hello, 10000, &c->scratch, welcome, &c->door_fd, &ro, &rw, why, sizeof(why));
    if (status != COVEY_OK) {
        error_set("%s", why);
        return status;
    }
    c->self = welcome->self;
    c->node = welcome->node;
    c->node_cpus = welcome->cpus;
    c->node_gpus = welcome->gpus;
    status = store_open(&c->store, ro, rw, welcome->arena_bytes, welcome->node.node);
    if (status != COVEY_OK)
        error_set("cannot map the object store: %s", strerror(errno));
    return status;
}

static covey_status bind_port(covey *c, const char *dir, struct addr self)
{
    char why[512] = "";
    if (c->port)
        return COVEY_OK;
    covey_status status = port_open(&c->port, dir, self, &port_ops, c, why, sizeof(why));
    if (status != COVEY_OK)
        error_set("%s", why);
    return status;
}

static covey_status make_parts(covey *c, const char *dir)
{
    struct owner_config config = {c->self, c->node, value_payload};
    covey_status status = bind_port(c, dir, c->self);
    if (status != COVEY_OK)
        return status;
    if (wake_open(&c->wake_fd) != COVEY_OK || wake_open(&c->callback_fd) != COVEY_OK)
        status = COVEY_ESYSTEM;
    if (status == COVEY_OK)
        status = mesh_new(&c->mesh, c->self, &codec, &mesh_ops, c);
    if (status == COVEY_OK)
        status = owner_new(&c->owner, &config, &owner_ops, c);
    if (status == COVEY_OK && c->is_worker)
        status = run_make_exec(c);
    if (status != COVEY_OK)
        error_set("cannot set up this process: %s", covey_strerror(status));
    return status;
}

covey_status process_open(covey **out, const char *dir, const struct msg_door_hello *hello, uint32_t node)
{
    covey *c = calloc(1, sizeof(*c));
    if (!c) {
        error_set("out of memory");
        return COVEY_ENOMEM;
    }
    pthread_once(&fork_once, watch_forks);
    c->pid = this_pid;
    c->door_fd = c->wake_fd = c->callback_fd = c->public_fd = c->cluster_fd = -1;
    c->is_worker = hello->role == ROLE_WORKER;
    c->callbacks_last = &c->callbacks;
    c->main_thread = pthread_self();
    init_locks(c);
    scratch_init(&c->scratch);
    buf_init(&c->args);
    map_init(&c->extras, sizeof(covey_ref));
    snprintf(c->dir, sizeof(c->dir), "%s", dir);
    struct msg_door_welcome welcome;
    covey_status status = c->is_worker ? bind_port(c, dir, (struct addr){node, hello->proc, 0, 0}) : COVEY_OK;
    if (status == COVEY_OK)
        status = enter_door(c, dir, hello, &welcome);
    if (status == COVEY_OK)
        status = make_parts(c, dir);
    if (status == COVEY_OK) {
        c->now = c->user_at = c->worked_at = mono_ns();
        if (pthread_create(&c->helper, NULL, helper_main, c) == 0)
            c->helper_runs = true;
        else
            status = COVEY_ESYSTEM;
    }
    if (status != COVEY_OK) {
        dismantle(c);
        return status;
    }
    *out = c;
    return COVEY_OK;
}

void process_close(covey *c)
{
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    c->helper_sleeps = false;
    pthread_cond_broadcast(&c->helper_cond);
    pthread_cond_broadcast(&c->turn_cond);
    process_wake(c);
    pthread_mutex_unlock(&c->lock);
    if (c->helper_runs)
        pthread_join(c->helper, NULL);
    callbacks_free(c);
    dismantle(c);
}
