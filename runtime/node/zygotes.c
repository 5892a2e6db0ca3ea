/* zygotes.c - the zygotes of a node: their life and their records.
 *
 * See starter.h.  The keeper's EXITED is the one end of a zygote; the end of
 * its control socket only says that it is near, and comes without a status.
 */
#include "node/starter_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The end of an error text: what the program printed last. */
static void append_tail(struct zygote *z, char *why, size_t size)
{
    size_t used = strlen(why);
    if (!z->output.log || used + 1 >= size)
        return;
    output_drain(&z->output);
    log_tail(z->output.log, why + used, size - used);
}

static void control_close(struct zygote *z)
{
    watch_close(&z->watch);
    if (z->control >= 0)
        close(z->control);
    z->control = -1;
}

void zygote_free(struct zygote *z)
{
    list_each(it, &z->starts) {
        struct start *start = list_entry(it, struct start, in_zygote);
        start->zygote = NULL;
        list_del(it);
    }
    list_del(&z->in_starter);
    z->starter->zygote_count--;
    control_close(z);
    output_close(&z->output);
    packages_release(z->program);
    free(z);
}

/* No worker can come from it any more: those that wait never ran, and of those
 * that run nobody hears the end.  @killed: from outside. */
static void abandon(struct zygote *z, bool killed, const char *why)
{
    struct starter *s = z->starter;
    z->state = ZYGOTE_IS_ENDED;
    while (!list_empty(&z->starts)) {
        struct start *start = list_entry(z->starts.next, struct start, in_zygote);
        list_del(&start->in_zygote);
        start->zygote = NULL;
        start->killed = killed;
        if (start->state == START_WAITS || start->state == START_SENT)
            start_fail(start, why);
        else if (start->state == START_RUNS)
            s->ops->orphaned(s->io, start->proc);
    }
}

/* ---- records ------------------------------------------------------------------------------ */

/* Where the zygote is dead already, the start waits for the keeper to say so and
 * ends with it: that is one failure of the program, and not one of each start. */
static void send_fork(struct zygote *z, struct start *start)
{
    if (start_send(start, z->control, true) != COVEY_OK) {
        char why[256];
        if (errno == EPIPE || errno == ECONNRESET)
            return;
        snprintf(why, sizeof why, "%s does not take a request to fork: %s", z->program->path,
                 strerror(errno));
        list_del(&start->in_zygote);
        start->zygote = NULL;
        start_fail(start, why);
        return;
    }
    start->state = START_SENT;
    start_close_fds(start);
}

static void on_ready(struct zygote *z, const struct zygote_record *r)
{
    if (z->state != ZYGOTE_IS_STARTING)
        return;
    if (r->value == 1) {
        z->state = ZYGOTE_IS_SERVING;
        list_each(it, &z->starts)
            send_fork(z, list_entry(it, struct start, in_zygote));
        return;
    }
    /* It cannot be forked.  This process ends with its socket; what is kept is
     * the knowledge. */
    z->state = ZYGOTE_IS_THREADED;
    list_each(it, &z->starts) {
        struct start *start = list_entry(it, struct start, in_zygote);
        list_del(it);
        start_spawn(start, z->program, z->threads);
    }
    z->idle_since = z->starter->now;
    control_close(z);
}

static struct start *start_of(struct zygote *z, uint32_t proc)
{
    struct start *start = map_get(&z->starter->starts, &proc);
    return start && start->zygote == z ? start : NULL;
}

static void on_record(struct zygote *z, const struct zygote_record *r)
{
    struct starter *s = z->starter;
    struct start *start = start_of(z, r->proc);
    char why[256];
    if (r->kind == ZYGOTE_READY) {
        on_ready(z, r);
    } else if (start && r->kind == ZYGOTE_FORKED && start->state == START_SENT) {
        start->pid = r->value;
        start->state = START_RUNS;
    } else if (start && r->kind == ZYGOTE_FORK_FAILED && start->state == START_SENT) {
        snprintf(why, sizeof why, "%s could not be forked: %s", z->program->path, strerror(r->value));
        list_del(&start->in_zygote);
        start->zygote = NULL;
        start_fail(start, why);
    } else if (start && r->kind == ZYGOTE_EXITED && start->state == START_RUNS) {
        start->state = START_ENDED;
        list_del(&start->in_zygote);
        start->zygote = NULL;
        if (list_empty(&z->starts))
            z->idle_since = s->now;
        s->ops->exited(s->io, r->proc, r->wait_status);
    }
}

/* What is told here may come back as the next start, which may look for a
 * zygote to end; hence @busy. */
static void read_records(struct zygote *z)
{
    while (z->control >= 0) {
        struct zygote_record r;
        ssize_t n = recv(z->control, &r, sizeof r, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n == (ssize_t)sizeof r && r.version == ZYGOTE_VERSION) {
            on_record(z, &r);
            continue;
        }
        /* Its end is near; or it speaks another version and gets it now. */
        control_close(z);
        if (n > 0) {
            char why[256];
            snprintf(why, sizeof why, "%s is linked with another version of libcovey than this node's",
                     z->program->path);
            keeper_kill(z->starter->config.keeper, z->id, SIGKILL);
            abandon(z, false, why);
        }
    }
}

static void on_control(void *ctx)
{
    struct zygote *z = ctx;
    z->busy = true;
    read_records(z);
    z->busy = false;
}

/* ---- its life ------------------------------------------------------------------------------ */

void zygote_keeper_event(struct zygote *z, const struct keeper_event *event)
{
    char why[STARTER_WHY_MAX], how[64];
    if (event->kind == KEEPER_SPAWNED)
        return;
    if (event->kind == KEEPER_SPAWN_FAILED) {
        snprintf(why, sizeof why, "the program could not be executed: %s", event->why);
    } else {
        describe_exit(event->wait_status, how, sizeof how);
        bool early = z->state == ZYGOTE_IS_STARTING;
        snprintf(why, sizeof why, "%s %s %s", z->program->path, how,
                 early ? "before covey_init()" : "while it was to start workers");
        append_tail(z, why, sizeof why);
    }
    if (z->state == ZYGOTE_IS_THREADED)
        return;
    z->busy = true;
    read_records(z);    /* what it said before */
    bool killed = event->kind == KEEPER_EXITED && WIFSIGNALED(event->wait_status)
                  && WTERMSIG(event->wait_status) == SIGKILL;
    abandon(z, killed, why);
    zygote_free(z);
}

static struct zygote *find(struct starter *s, const struct program *program, uint32_t threads)
{
    list_each(it, &s->zygotes) {
        struct zygote *z = list_entry(it, struct zygote, in_starter);
        bool usable = z->state != ZYGOTE_IS_ENDED
                      && (z->state != ZYGOTE_IS_SERVING || z->control >= 0);
        if (usable && z->program == program && z->threads == threads)
            return z;
    }
    return NULL;
}

static bool is_idle(const struct zygote *z)
{
    return !z->busy && z->state != ZYGOTE_IS_STARTING && list_empty(&z->starts);
}

/* False if all are at work. */
static bool make_room(struct starter *s)
{
    if (s->zygote_count < STARTER_ZYGOTES_MAX)
        return true;
    list_each(it, &s->zygotes) {
        struct zygote *z = list_entry(it, struct zygote, in_starter);
        if (is_idle(z)) {
            zygote_free(z);
            return true;
        }
    }
    return false;
}

static struct zygote *zygote_new(struct starter *s, struct program *program, uint32_t threads)
{
    struct zygote *z = calloc(1, sizeof *z);
    if (!z)
        return NULL;
    z->starter = s;
    z->program = program;
    program->users++;
    z->threads = threads;
    z->id = ++s->ids;
    z->control = -1;
    z->idle_since = s->now;
    list_init(&z->starts);
    list_push(&s->zygotes, &z->in_starter);
    s->zygote_count++;
    return z;
}

static covey_status spawn(struct zygote *z, char *why, size_t why_size)
{
    struct starter *s = z->starter;
    int pair[2], write_fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        snprintf(why, why_size, "no control socket: %s", strerror(errno));
        return COVEY_ESYSTEM;
    }
    z->control = pair[0];
    if (output_open(&z->output, s->config.loop, s->config.logs, 0, write_fds) != COVEY_OK) {
        snprintf(why, why_size, "no pipes for its output: %s", strerror(errno));
        close(pair[1]);
        return COVEY_ESYSTEM;
    }
    covey_status status = starter_spawn(s, z->id, 0, z->program, z->threads, ZYGOTE_ENV, write_fds,
                                        pair[1], why, why_size);
    close(pair[1]);
    close(write_fds[0]);
    close(write_fds[1]);
    if (status == COVEY_OK) {
        status = watch_open(&z->watch, s->config.loop, z->control, on_control, z);
        if (status != COVEY_OK)
            snprintf(why, why_size, "the control socket cannot be watched");
    }
    return status;
}

struct zygote *zygote_get(struct starter *s, struct program *program, uint32_t threads, char *why,
                          size_t why_size)
{
    struct zygote *z = find(s, program, threads);
    if (z) {
        list_del(&z->in_starter);
        list_push(&s->zygotes, &z->in_starter);
        return z;
    }
    z = make_room(s) ? zygote_new(s, program, threads) : NULL;
    if (!z) {
        snprintf(why, why_size, "%u different programs have workers here, no more are started",
                 (unsigned)s->zygote_count);
        return NULL;
    }
    if (spawn(z, why, why_size) != COVEY_OK) {
        zygote_free(z);
        return NULL;
    }
    return z;
}

void zygote_add(struct zygote *z, struct start *start)
{
    if (z->state == ZYGOTE_IS_THREADED) {
        z->idle_since = z->starter->now;
        start_spawn(start, z->program, z->threads);
        return;
    }
    start->zygote = z;
    start->state = START_WAITS;
    list_push(&z->starts, &start->in_zygote);
    if (z->state == ZYGOTE_IS_SERVING)
        send_fork(z, start);
}

void zygote_kill_worker(struct zygote *z, uint32_t proc, int signal_number)
{
    struct zygote_record r = {.version = ZYGOTE_VERSION, .kind = ZYGOTE_KILL, .proc = proc,
                              .value = signal_number};
    if (z->control >= 0)
        send(z->control, &r, sizeof r, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void zygote_unwanted(struct zygote *z)
{
    if (z->state == ZYGOTE_IS_STARTING && list_empty(&z->starts))
        keeper_kill(z->starter->config.keeper, z->id, SIGKILL);
}

/* ---- time ---------------------------------------------------------------------------------- */

void zygotes_tick(struct starter *s)
{
    list_each(it, &s->zygotes) {
        struct zygote *z = list_entry(it, struct zygote, in_starter);
        if (is_idle(z) && z->idle_since + STARTER_ZYGOTE_IDLE <= s->now)
            zygote_free(z);
    }
}

int64_t zygotes_deadline(const struct starter *s)
{
    int64_t at = NEVER_NS;
    list_each(it, &s->zygotes) {
        const struct zygote *z = list_entry(it, struct zygote, in_starter);
        if (is_idle(z) && z->idle_since + STARTER_ZYGOTE_IDLE < at)
            at = z->idle_since + STARTER_ZYGOTE_IDLE;
    }
    return at;
}
