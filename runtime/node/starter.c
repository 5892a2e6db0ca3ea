/* starter.c - see starter.h for the contract, starter_internal.h for the parts. */
#include "node/starter_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/dlog.h"
#include "io/mono.h"
#include "node/family.h"
#include "worker/threads.h"

void describe_exit(int wait_status, char *out, size_t size)
{
    if (WIFSIGNALED(wait_status)) {
        const char *name = sigabbrev_np(WTERMSIG(wait_status));
        snprintf(out, size, "was killed by SIG%s", name ? name : "?");
    } else {
        snprintf(out, size, "ended with status %d", WEXITSTATUS(wait_status));
    }
}

/* ---- environment ------------------------------------------------------------------------ */

static bool names(const char *string, const char *name)
{
    size_t len = strlen(name);
    return strncmp(string, name, len) == 0 && string[len] == '=';
}

static const char *const thread_variables[THREADS_COUNT] = {
#define VARIABLE_(variable, function) variable,
    THREADS_NAMES(VARIABLE_)
#undef VARIABLE_
};

/* A bit for each of the variables that the user's environment leaves to us.
 * program_new() has put a NUL behind the last string. */
static uint32_t thread_names(struct span user)
{
    uint32_t ours = (1u << THREADS_COUNT) - 1;
    const char *end = (const char *)user.data + user.len;
    for (const char *at = (const char *)user.data; user.len > 0 && at < end; at += strlen(at) + 1)
        for (int i = 0; i < THREADS_COUNT; i++)
            if (names(at, thread_variables[i]))
                ours &= ~(1u << i);
    return ours;
}

#define DEVICES_ENV "COVEY_DEVICES"     /* what covey_devices() tells, and a command may read */

/* The client's environment, without what marks processes, and with the number
 * of threads for the libraries that ask for it in this way. */
static void build_env(struct buf *env, const struct msg_package *package, uint32_t threads, const char *marker)
{
    static const char *const ours[] = {ZYGOTE_ENV, ZYGOTE_WORKER_ENV, "COVEY_PROC", ZYGOTE_PACKAGE_ENV, DEVICES_ENV};
    struct span user = package->env;
    char text[64];
    /* program_new() has put a NUL behind the last string. */
    for (const char *at = (const char *)user.data; user.len > 0 && at < (const char *)user.data + user.len;
         at += strlen(at) + 1) {
        bool skip = at[0] == '\0';
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            skip = skip || names(at, ours[i]);
        if (!skip)
            buf_append(env, at, strlen(at) + 1);
    }
    for (int i = 0; i < THREADS_COUNT; i++) {
        int len = snprintf(text, sizeof text, "%s=%u", thread_variables[i], (unsigned)threads);
        if (thread_names(package->env) & 1u << i)
            buf_append(env, text, (size_t)len + 1);
    }
    int len = snprintf(text, sizeof text, ZYGOTE_PACKAGE_ENV "=%016llx%016llx", (unsigned long long)package->hash.hi,
                       (unsigned long long)package->hash.lo);
    buf_append(env, text, (size_t)len + 1);
    len = snprintf(text, sizeof text, "%s=%d", marker, KEEPER_CONTROL_FD);
    buf_append(env, text, (size_t)len + 1);
}

covey_status starter_spawn(struct starter *s, uint64_t id, uint32_t proc, struct program *program,
                           uint32_t threads, const char *marker, const int write_fds[2],
                           int control_fd, char *why, size_t why_size)
{
    char path[4096];
    covey_status status = program_file(program, path, sizeof path, why, why_size);
    if (status != COVEY_OK)
        return status;
    struct buf env;
    buf_init(&env);
    build_env(&env, &program->what, threads, marker);
    struct span argv = program->what.argv.len > 0 ? program->what.argv : span_str(program->path);
    status = COVEY_ENOMEM;
    if (!env.failed) {
        status = keeper_spawn(s->config.keeper, &(struct keeper_spawn){
            .id = id, .proc = proc, .path = path, .cwd = program->cwd[0] ? program->cwd : NULL,
            .argv = argv, .env = buf_span(&env), .out_fd = write_fds[0], .err_fd = write_fds[1],
            .control_fd = control_fd});
    }
    buf_fini(&env);
    if (status != COVEY_OK)
        snprintf(why, why_size, "%s: the keeper was not asked: %s", path, covey_strerror(status));
    return status;
}

/* ---- one start ---------------------------------------------------------------------------- */

void start_fail(struct start *start, const char *why)
{
    start->state = START_FAILED;
    snprintf(start->why, sizeof start->why, "%s", why);
    if (list_empty(&start->in_failed))
        list_push(&start->starter->failed, &start->in_failed);
}

void start_close_fds(struct start *start)
{
    int *fds[] = {&start->page_fd, &start->write_fds[0], &start->write_fds[1]};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

covey_status start_send(struct start *start, int control, bool with_pipes)
{
    const struct starter_config *config = &start->starter->config;
    union { struct zygote_record record; char bytes[ZYGOTE_RECORD_MAX]; } packet;
    size_t dir_bytes = strlen(config->dir) + 1, env_bytes = 0;
    char *dir = packet.bytes + sizeof packet.record, *env = dir + dir_bytes;
    assert(dir_bytes <= ZYGOTE_DIR_MAX);
    memcpy(dir, config->dir, dir_bytes);
    if (config->has_devices) {
        int len = snprintf(env, ZYGOTE_ADDED_ENV_MAX, "CUDA_VISIBLE_DEVICES=%s%c" DEVICES_ENV "=%s", start->devices, 0,
                           start->devices);
        assert((size_t)len < ZYGOTE_ADDED_ENV_MAX);
        env_bytes = (size_t)len + 1;
    }
    packet.record = (struct zygote_record){
        .version = ZYGOTE_VERSION, .kind = ZYGOTE_FORK, .node = config->node, .proc = start->proc,
        .token = start->token, .threads = start->threads, .thread_names = start->thread_names,
        .dir_bytes = (uint32_t)dir_bytes, .env_bytes = (uint32_t)env_bytes};

    struct iovec iov = {&packet, sizeof packet.record + dir_bytes + env_bytes};
    union { struct cmsghdr align; char bytes[CMSG_SPACE(ZYGOTE_FDS * sizeof(int))]; } rights = {0};
    size_t fds_bytes = (with_pipes ? ZYGOTE_FDS : 1) * sizeof(int);
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = rights.bytes,
                         .msg_controllen = CMSG_SPACE(fds_bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(fds_bytes)};
    memcpy(CMSG_DATA(c), (int[ZYGOTE_FDS]){start->page_fd, start->write_fds[0], start->write_fds[1]}, fds_bytes);
    ssize_t n;
    do
        n = sendmsg(control, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n >= 0 ? COVEY_OK : COVEY_ESYSTEM;
}

void start_spawn(struct start *start, struct program *program, uint32_t threads)
{
    struct starter *s = start->starter;
    char why[STARTER_WHY_MAX];
    int pair[2];
    start->zygote = NULL;
    start->spawn_id = ++s->ids;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        snprintf(why, sizeof why, "no control socket: %s", strerror(errno));
        start_fail(start, why);
        return;
    }
    /* The record waits in the socket until the program reads it; nothing else
     * crosses, so this end is not kept. */
    bool ok = map_put(&s->spawned, &start->spawn_id, start)
              && start_send(start, pair[0], false) == COVEY_OK;
    if (!ok)
        snprintf(why, sizeof why, "the start could not be written down: %s", strerror(errno));
    ok = ok && starter_spawn(s, start->spawn_id, start->proc, program, threads, ZYGOTE_WORKER_ENV,
                             start->write_fds, pair[1], why, sizeof why) == COVEY_OK;
    close(pair[0]);
    close(pair[1]);
    start_close_fds(start);
    start->state = START_SENT;
    if (!ok)
        start_fail(start, why);
}

static void start_free(struct start *start)
{
    struct starter *s = start->starter;
    map_del(&s->starts, &start->proc);
    if (start->spawn_id != 0)
        map_del(&s->spawned, &start->spawn_id);
    list_del(&start->in_zygote);
    list_del(&start->in_failed);
    start_close_fds(start);
    output_close(&start->output);
    free(start->devices);
    free(start);
}

static struct start *start_find(const struct starter *s, uint32_t proc)
{
    return map_get(&s->starts, &proc);
}

/* ---- the keeper's word ------------------------------------------------------------------------ */

static void start_keeper_event(struct start *start, const struct keeper_event *event)
{
    struct starter *s = start->starter;
    char why[STARTER_WHY_MAX];
    switch (event->kind) {
    case KEEPER_SPAWNED:
        start->pid = event->pid;
        start->state = START_RUNS;
        break;
    case KEEPER_SPAWN_FAILED:
        snprintf(why, sizeof why, "the program could not be executed: %s", event->why);
        start_fail(start, why);
        break;
    case KEEPER_EXITED:
        start->state = START_ENDED;
        s->ops->exited(s->io, start->proc, event->wait_status);
        break;
    }
}

static void on_keeper(void *ctx)
{
    struct starter *s = ctx;
    struct keeper_event event;
    covey_status status;
    while ((status = keeper_next(s->config.keeper, &event)) == COVEY_OK) {
        struct start *start = map_get(&s->spawned, &event.id);
        if (start) {
            start_keeper_event(start, &event);
            continue;
        }
        list_each(it, &s->zygotes) {
            struct zygote *z = list_entry(it, struct zygote, in_starter);
            if (z->id == event.id) {
                zygote_keeper_event(z, &event);
                break;
            }
        }
    }
    if (status == COVEY_ECLOSED) {
        watch_close(&s->keeper_watch);
        s->ops->keeper_dead(s->io);
    }
}

/* ---- the contract ------------------------------------------------------------------------------- */

covey_status starter_new(struct starter **out, const struct starter_config *config,
                         const struct starter_ops *ops, void *io)
{
    struct starter *s = calloc(1, sizeof *s);
    if (!s)
        return COVEY_ENOMEM;
    s->config = *config;
    s->ops = ops;
    s->io = io;
    s->now = mono_ns();
    list_init(&s->failed);
    list_init(&s->zygotes);
    map_init(&s->starts, sizeof(uint32_t));
    map_init(&s->spawned, sizeof(uint64_t));
    covey_status status = watch_open(&s->keeper_watch, config->loop, keeper_fd(config->keeper),
                                     on_keeper, s);
    if (status != COVEY_OK) {
        free(s);
        return status;
    }
    *out = s;
    return COVEY_OK;
}

void starter_free(struct starter **starter)
{
    struct starter *s = *starter;
    if (!s)
        return;
    *starter = NULL;
    watch_close(&s->keeper_watch);
    struct start *start;
    for (uint32_t i = 0; (start = map_next(&s->starts, &i)) != NULL;)
        start_free(start);
    while (!list_empty(&s->zygotes))
        zygote_free(list_entry(s->zygotes.next, struct zygote, in_starter));
    map_fini(&s->starts);
    map_fini(&s->spawned);
    free(s);
}

void starter_prepare(struct starter *s, const struct msg_package *package)
{
    char why[STARTER_WHY_MAX];
    struct program *program = packages_take(s->config.packages, package);
    if (!program)
        return;
    /* What is wrong with it the first start will find, and tell somebody. */
    zygote_get(s, program, 1, why, sizeof why);
    packages_release(program);
}

static struct start *start_new(struct starter *s, uint32_t proc, uint64_t token, const char *devices)
{
    struct start *start = calloc(1, sizeof *start);
    char *copy = strdup(devices);
    if (!start || !copy || !map_put(&s->starts, &proc, start)) {
        free(start);
        free(copy);
        return NULL;
    }
    start->starter = s;
    start->proc = proc;
    start->token = token;
    start->devices = copy;
    start->page_fd = start->write_fds[0] = start->write_fds[1] = -1;
    list_init(&start->in_zygote);
    list_init(&start->in_failed);
    return start;
}

void starter_start(struct starter *s, uint32_t proc, uint64_t token,
                   const struct msg_package *package, const char *devices, int64_t cpu_milli)
{
    char why[STARTER_WHY_MAX];
    struct start *start = start_new(s, proc, token, devices);
    if (!start) {
        /* Nothing is left to remember it by.  The core gives a start up that
         * does not say hello in time. */
        dlog_warn("no memory to start worker %u", (unsigned)proc);
        return;
    }
    if (output_open(&start->output, s->config.loop, s->config.logs, proc, start->write_fds) != COVEY_OK) {
        snprintf(why, sizeof why, "no descriptors for its output: %s", strerror(errno));
        start_fail(start, why);
        return;
    }
    start->page_fd = log_take_page(start->output.log);
    struct program *program = packages_take(s->config.packages, package);
    if (!program) {
        start_fail(start, "too many different programs are in use, or memory is out");
        return;
    }
    start->threads = threads_of_cpus(cpu_milli);
    start->thread_names = thread_names(program->what.env);
    struct zygote *z = zygote_get(s, program, start->threads, why, sizeof why);
    if (z)
        zygote_add(z, start);
    else
        start_fail(start, why);
    packages_release(program);
}

void starter_kill(struct starter *s, uint32_t proc, int signal_number)
{
    struct start *start = start_find(s, proc);
    if (!start)
        return;
    if (start->state == START_WAITS) {
        struct zygote *z = start->zygote;
        list_del(&start->in_zygote);
        start->zygote = NULL;
        start_fail(start, "it was ended before it had started");
        zygote_unwanted(z);
    } else if (start->spawn_id != 0) {
        keeper_kill(s->config.keeper, start->spawn_id, signal_number);
    } else if (start->zygote) {
        zygote_kill_worker(start->zygote, proc, signal_number);
    }
}

void starter_tail(struct starter *s, uint32_t proc, char *out, size_t size)
{
    struct start *start = start_find(s, proc);
    out[0] = '\0';
    if (!start || !start->output.log)
        return;
    output_drain(&start->output);
    log_tail(start->output.log, out, size);
}

void starter_drain(struct starter *s, uint32_t proc)
{
    struct start *start = start_find(s, proc);
    if (start)
        output_drain(&start->output);
}

bool starter_running(const struct starter *s, uint32_t proc, struct page_task *out)
{
    const struct start *start = start_find(s, proc);
    return start && start->output.log && log_running(start->output.log, out);
}

void starter_forget(struct starter *s, uint32_t proc)
{
    struct start *start = start_find(s, proc);
    if (!start)
        return;
    /* Of spawned ones the keeper knows by itself. */
    if (start->spawn_id == 0 && start->state >= START_SENT)
        keeper_sweep(s->config.keeper, proc, start->pid);
    struct zygote *z = start->zygote;
    start_free(start);
    if (z && list_empty(&z->starts))
        z->idle_since = s->now;
}

void starter_tick(struct starter *s, int64_t now)
{
    s->now = now;
    while (!list_empty(&s->failed)) {
        struct start *start = list_entry(s->failed.next, struct start, in_failed);
        list_del(&start->in_failed);
        s->ops->failed(s->io, start->proc, start->killed, start->why);
    }
    zygotes_tick(s);
}

int64_t starter_deadline(const struct starter *s)
{
    return list_empty(&s->failed) ? zygotes_deadline(s) : s->now;
}
