/* serve.c - a worker's life: enter the node, run tasks until the node ends.
 *
 * The main thread runs user code and polls while there is none; the helper
 * (client/process.h) answers for the process while user code runs.  Replies
 * gather in a frame while tasks are queued, for PROCESS_FLUSH at most. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/mono.h"
#include "base/clock.h"
#include "worker/reporter.h"
#include "worker/threads.h"
#include "worker/zygote.h"

/* ---- effects of the executor -------------------------------------------------------- */

static void on_send(void *io, struct addr to, const struct msg *msg) { process_send(io, to, msg); }

static void on_cancel(void *io, struct exec_task *task)
{
    covey *c = io;
    covey_ctx *ctx = run_of(c, task);
    if (ctx && ctx->command > 0)
        kill(-ctx->command, SIGTERM);
    if (ctx && task->recursive)
        c->cancels_due = ctx->cancel_children = true;   /* the owner may be in the middle of a step */
    pthread_cond_broadcast(&c->turn_cond);
}

/* A command can be killed alone; user code only with its process. */
static void on_kill_self(void *io, struct exec_task *task)
{
    covey *c = io;
    covey_ctx *ctx = run_of(c, task);
    if (ctx && ctx->command > 0) {
        kill(-ctx->command, SIGKILL);
        return;
    }
    process_flush(c, c->now);
    port_close(&c->port, 100);          /* what is queued leaves first */
    kill(getpid(), SIGKILL);
}

static void on_drop_result(void *io, const struct place *place)
{
    covey *c = io;
    store_free(c->store, place);
}

static void on_wake(void *io)
{
    covey *c = io;
    pthread_cond_broadcast(&c->turn_cond);
}

static int64_t on_unix_ms(void *io)
{
    (void)io;
    return clock_unix_ms();
}

static bool on_answered(void *io, struct exec_task *task, uint64_t number, struct span body)
{
    covey_ctx *ctx = run_of(io, task);
    return ctx && ctx->reporter && reporter_answer(ctx->reporter, number, body);
}

static const struct exec_ops ops = {on_send, on_cancel, on_kill_self, on_drop_result, on_wake, on_unix_ms,
                                    on_answered};

covey_status run_make_exec(covey *c) { return exec_new(&c->exec, c->self, c->node, &ops, c); }

/* ---- the loop -------------------------------------------------------------------------- */

static bool has_task(covey *c, void *ctx)
{
    (void)ctx;
    return exec_queued(c->exec) > 0;
}

static _Noreturn void serve(covey *c)
{
    int64_t flushed_at = mono_ns();
    pthread_mutex_lock(&c->lock);
    for (;;) {
        struct exec_task *task = exec_start(c->exec, c->now);
        if (!task) {
            if (process_wait(c, has_task, NULL, NEVER_NS, false) != COVEY_OK)
                _exit(0);
            flushed_at = c->now;
            continue;
        }
        run_task(c, task);
        if (c->now - flushed_at > PROCESS_FLUSH) {
            if (!c->polling)
                process_turn(c, c->now);
            process_flush(c, c->now);
            flushed_at = c->now;
        }
    }
}

_Noreturn void worker_main(void)
{
    struct zygote_child child = zygote_serve();
    struct msg_door_hello hello = {.version = WIRE_VERSION, .role = ROLE_WORKER, .proc = child.proc,
                                   .token = child.token, .name = span_str(program_invocation_short_name)};
    covey *c;
    if (process_open(&c, child.dir, &hello, child.node) != COVEY_OK) {
        fprintf(stderr, "covey: this worker could not enter its node: %s\n", covey_error());
        _exit(1);
    }
    threads_init(child.threads, child.thread_names);
    page_user_open(&c->page, child.page_fd);
    serve(c);
}
