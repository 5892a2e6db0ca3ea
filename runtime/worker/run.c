/* run.c - see run.h: running tasks, nesting, waiting, messages. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <stdatomic.h>

#include "client/callbacks.h"
#include "io/mono.h"
#include "worker/run.h"
#include "worker/threads.h"

covey_status run_fail(covey_ctx *ctx, covey_status status, int32_t code, const char *format, ...)
{
    if (ctx->status != COVEY_OK)
        return ctx->status;             /* the first cause counts */
    va_list args;
    va_start(args, format);
    vsnprintf(ctx->why, sizeof(ctx->why), format, args);
    va_end(args);
    ctx->status = status;
    ctx->user_code = code;
    return status;
}

/* ---- contexts: kept with their buffers for the next task ------------------------- */

static covey_ctx *ctx_take(covey *c)
{
    covey_ctx *ctx = c->spare_run;
    if (ctx) {
        c->spare_run = ctx->outer;
    } else {
        ctx = calloc(1, sizeof(*ctx));
        if (!ctx)
            return NULL;
        buf_init(&ctx->out);
        buf_init(&ctx->answer);
        scratch_init(&ctx->scratch);
    }
    ctx->c = c;
    ctx->outer = c->run;
    ctx->depth = c->run ? c->run->depth + 1 : 0;
    ctx->number = ++c->runs;
    ctx->nested = false;
    ctx->def = NULL;
    ctx->arg_count = ctx->result_count = 0;
    ctx->status = COVEY_OK;
    ctx->user_code = 0;
    ctx->why[0] = 0;
    ctx->command = 0;
    ctx->cancel_children = false;
    buf_reset(&ctx->out);
    c->run = ctx;
    return ctx;
}

static void ctx_give(covey_ctx *ctx)
{
    covey *c = ctx->c;
    assert(c->run == ctx);
    c->run = ctx->outer;
    ctx->outer = c->spare_run;
    c->spare_run = ctx;
}

struct covey_ctx *run_of(covey *c, const struct exec_task *task)
{
    for (covey_ctx *ctx = c->run; ctx; ctx = ctx->outer)
        if (ctx->task == task)
            return ctx;
    return NULL;
}

void run_describe(covey *c, struct task_spec *spec)
{
    const covey_ctx *ctx = c->run;
    spec->job = ctx ? ctx->task->job : c->self.proc;
    spec->trace = ctx && ctx->task->trace ? ctx->task->trace : ((uint64_t)c->self.proc << 32) | ++c->traces;
    spec->parent = ctx ? ctx->number : 0;
}

/* ---- one run ------------------------------------------------------------------------ */

static void check_results(covey_ctx *ctx)
{
    static const uint8_t kinds[SIG_TYPES] = {
        [SIG_I64] = COVEY_I64, [SIG_U64] = COVEY_U64, [SIG_F64] = COVEY_F64, [SIG_STR] = COVEY_STR,
        [SIG_BYTES] = COVEY_BYTES,
    };
    const struct signature *s = &ctx->def->signature;
    uint32_t begin = 0;
    for (uint32_t i = 0; i < ctx->result_count && i < s->result_count; i++) {
        const struct result *r = &ctx->results[i];
        covey_kind kind = (covey_kind)r->place.kind;
        struct value v;
        if (!r->in_store) {
            struct span in = {ctx->out.data + begin, r->value.len - begin};
            begin = r->value.len;
            if (s->result[i] == SIG_ANY || value_next(&in, &v) != COVEY_OK)
                continue;
            kind = v.kind == COVEY_U64 && s->result[i] == SIG_I64 && v.u64 <= INT64_MAX ? COVEY_I64
                 : v.kind == COVEY_I64 && s->result[i] == SIG_U64 && v.i64 >= 0 ? COVEY_U64 : v.kind;
        }
        if (s->result[i] != SIG_ANY && kind != (covey_kind)kinds[s->result[i]])
            run_fail(ctx, COVEY_ESIGNATURE, 0, "its result %u is %s, the signature \"%s\" has %s there", i, value_kind_name(kind),
                     ctx->def->text, sig_type_name((enum sig_type)s->result[i]));
    }
    if (ctx->result_count < s->result_count)
        run_fail(ctx, COVEY_ESIGNATURE, 0, "it returned %u results, the signature \"%s\" has %u", ctx->result_count,
                 ctx->def->text, s->result_count);
}

/* User code; without the lock. */
static void call(covey_ctx *ctx, struct span args)
{
    if (!run_take_args(ctx, args))
        return;
    covey_status status = ctx->def->fn(ctx);
    fflush(stdout);
    if (process_forked(ctx->c))
        _exit(0);               /* a child that the task forked: it is no worker */
    if (ctx->status == COVEY_OK && status != COVEY_OK)
        run_fail(ctx, status < COVEY_STATUS_COUNT && status > 0 ? status : COVEY_ETASK, (int32_t)status,
                 "it returned %d (%s)", (int)status, covey_strerror(status));
    if (ctx->status == COVEY_OK && ctx->result_count == 0 && ctx->def->signature.result[0] == SIG_ANY)
        (void)covey_return_nil(ctx);
    if (ctx->status == COVEY_OK)
        check_results(ctx);
}

/* Handles that live on are listed; the others end with the task. */
static uint32_t give_handles_back(covey_ctx *ctx, struct held *held)
{
    uint32_t n = 0;
    for (uint32_t i = 0; ctx->handles && i < ctx->dep_count; i++)
        if (ctx->handles[i].generation &&
            owner_borrow_end(ctx->c->owner, ctx->handles[i], ctx->keeps[i], &held[n], ctx->c->now))
            n++;
    return n;
}

static void find_function(covey_ctx *ctx, struct exec_function *f)
{
    char why[512] = "";
    if (f && f->user)
        ctx->def = f->user;
    else if (f && strcmp(f->name, COMMAND_TASK) == 0)
        ctx->def = &command_def;
    else if (f)
        ctx->def = registry_find(f->name, why, sizeof(why));
    if (ctx->def)
        f->user = (void *)(uintptr_t)ctx->def;
    else
        run_fail(ctx, COVEY_EUNKNOWN, 0, "%s", f ? why : "a function that was never named");
}

static void out_of_memory(covey *c, struct exec_task *task)
{
    struct exec_outcome outcome = {.status = COVEY_ENOMEM, .why = span_str("the worker is out of memory")};
    exec_finish(c->exec, task, &outcome, c->now);
}

void run_task(covey *c, struct exec_task *task)
{
    covey_ctx *ctx = ctx_take(c);
    if (!ctx) {
        out_of_memory(c, task);
        return;
    }
    ctx->task = task;
    ctx->deps = task->deps;
    ctx->dep_count = task->dep_count;
    find_function(ctx, task->function);
    struct printed printed = {.out_begin = c->page.printed[0], .err_begin = c->page.printed[1]};
    if (ctx->def) {
        pthread_mutex_unlock(&c->lock);
        threads_set(task->threads);
        page_run(&c->page, task->owner, task->seq, task->attempt);
        int64_t begin = mono_ns();
        call(ctx, task->args);
        if (mono_ns() - begin >= c->page.quiet_ns)
            page_count(&c->page);
        page_run(&c->page, task->owner, 0, 0);
        pthread_mutex_lock(&c->lock);
    }
    printed.out_end = c->page.printed[0];
    printed.err_end = c->page.printed[1];
    c->now = c->user_at = mono_ns();
    run_end_results(ctx, ctx->status == COVEY_OK);
    struct held *held = ctx->handles ? malloc(ctx->dep_count * sizeof(*held)) : NULL;
    struct exec_outcome outcome = {
        .status = ctx->status, .user_code = ctx->user_code, .why = span_str(ctx->why),
        .result_count = ctx->result_count, .results = ctx->results,
        .held_count = held ? give_handles_back(ctx, held) : 0, .held = held,
        .printed = printed,
    };
    exec_finish(c->exec, task, &outcome, c->now);
    free(held);
    run_drop_args(ctx);
    ctx_give(ctx);
}

void run_cancel_children(covey *c)
{
    c->cancels_due = false;
    for (covey_ctx *ctx = c->run; ctx; ctx = ctx->outer) {
        bool due = ctx->cancel_children;
        ctx->cancel_children = false;
        if (due)
            owner_cancel_children(c->owner, ctx->number, c->now);
    }
}

/* ---- waiting ------------------------------------------------------------------------------ */

bool run_is_mine(const covey *c)
{
    return c->run && pthread_equal(pthread_self(), c->main_thread);
}

void run_block(covey *c) { exec_block(c->exec, c->now = mono_ns()); }

static bool resumed(covey *c, void *ctx)
{
    (void)ctx;
    return exec_resumed(c->exec);
}

/* Where the CPU does not come at once, the leases that this process keeps for
 * later may be what is in the way. */
covey_status run_unblock(covey *c)
{
    exec_unblock(c->exec, c->now = mono_ns());
    covey_status status = process_wait(c, resumed, NULL, c->now + RUN_RESUME_SOON, false);
    if (status == COVEY_ETIMEOUT) {
        owner_yield(c->owner, c->now);
        status = process_wait(c, resumed, NULL, NEVER_NS, false);
    }
    return status;
}

/* A copy of everything that @m points to: other tasks may be submitted before
 * this one ends. */
static bool copy_nested(covey_ctx *ctx, const struct msg_task *m, struct span *args)
{
    uint8_t *room = scratch_alloc(&ctx->scratch, m->args.len + 1);
    struct dep *deps = scratch_alloc(&ctx->scratch, (m->dep_count + 1) * sizeof(*deps));
    if (!room || !deps)
        return false;
    memcpy(room, m->args.data, m->args.len);
    *args = (struct span){room, m->args.len};
    for (uint32_t i = 0; i < m->dep_count; i++) {
        deps[i] = m->deps[i];
        if (deps[i].kind != DEP_INLINE)
            continue;
        uint8_t *value = scratch_alloc(&ctx->scratch, deps[i].value.len + 1);
        if (!value)
            return false;
        memcpy(value, m->deps[i].value.data, m->deps[i].value.len);
        deps[i].value.data = value;
    }
    ctx->deps = deps;
    ctx->dep_count = m->dep_count;
    return true;
}

covey_status run_local(covey *c, covey_ref ref)
{
    if (c->run->depth + 1 >= RUN_DEPTH_MAX) {
        error_set("tasks wait for tasks %u levels deep on one worker's stack, and the cluster has no process left "
                  "for them; submit flatter, or allow more processes", RUN_DEPTH_MAX);
        return COVEY_EDEPTH;
    }
    covey_ctx *ctx = ctx_take(c);
    if (!ctx)
        return COVEY_ENOMEM;
    struct msg_task m;
    const char *name;
    struct span args;
    struct exec_task task = {.owner = c->self, .state = EXEC_RUNNING, .deadline = NEVER_NS, .kill_at = NEVER_NS,
                             .started_at = mono_ns()};
    ctx->task = &task;
    ctx->nested = true;
    if (!owner_local_begin(c->owner, ref, &m, &name, task.started_at)) {
        ctx_give(ctx);
        return COVEY_OK;                /* it found a worker meanwhile */
    }
    if (m.left_ms >= 0)
        task.deadline = task.started_at + m.left_ms * MS_NS;
    task.seq = m.seq;
    task.attempt = m.attempt;
    task.job = m.job;
    task.trace = m.trace;
    struct exec_function function = {.name = (char *)(uintptr_t)name};
    find_function(ctx, &function);
    if (!copy_nested(ctx, &m, &args))
        run_fail(ctx, COVEY_ENOMEM, 0, "out of memory");
    exec_nest(c->exec, &task, task.started_at);
    if (ctx->status == COVEY_OK) {
        pthread_mutex_unlock(&c->lock);
        call(ctx, args);
        pthread_mutex_lock(&c->lock);
    }
    c->now = mono_ns();
    exec_unnest(c->exec, &task, c->now);
    run_end_results(ctx, ctx->status == COVEY_OK);
    for (uint32_t i = 0; ctx->handles && i < ctx->dep_count; i++) {
        struct held held;               /* of our own process: nobody needs to be told */
        if (ctx->handles[i].generation)
            (void)owner_borrow_end(c->owner, ctx->handles[i], ctx->keeps[i], &held, c->now);
    }
    struct msg_reply reply = {.seq = task.seq, .attempt = task.attempt, .status = (uint32_t)ctx->status,
                              .user_code = ctx->user_code, .why = span_str(ctx->why),
                              .run_ns = c->now - task.started_at,
                              .result_count = ctx->result_count, .results = ctx->results};
    owner_local_end(c->owner, task.seq, &reply, c->now);
    run_drop_args(ctx);
    ctx_give(ctx);
    return COVEY_OK;
}

/* ---- what user code calls ---------------------------------------------------------------------- */

covey *covey_self(covey_ctx *ctx) { return ctx ? ctx->c : NULL; }
bool covey_cancelled(covey_ctx *ctx) { return ctx && atomic_load_explicit(&ctx->task->cancelled, memory_order_relaxed); }
unsigned covey_attempt(covey_ctx *ctx) { return ctx ? ctx->task->attempt : 0; }

const char *covey_devices(covey_ctx *ctx)
{
    const char *devices = ctx ? getenv("COVEY_DEVICES") : NULL;
    return devices ? devices : "";
}

struct posting { covey_ctx *ctx; struct span body; bool wants_answer; uint64_t number; covey_status status; };

/* The submitter waits below on this very stack.  Its on_message runs here, while
 * the task waits; a submitter without one cannot come to answer. */
static covey_status post_nested(covey *c, struct posting *p)
{
    struct exec_task *task = p->ctx->task;
    covey_ref reader = owner_local_reader(c->owner, task->seq);
    struct extra *x = reader.generation ? extra_of(c, reader, false) : NULL;
    if (p->body.len > POST_BYTES_MAX)
        return COVEY_ETOOBIG;
    if (p->wants_answer && !task->cancelled && reader.generation && !(x && x->on_message))
        return COVEY_ELIMIT;
    p->number = ++task->posted;
    owner_local_post(c->owner, task->seq, p->body, p->wants_answer && !task->cancelled);
    return task->cancelled ? COVEY_ECANCELLED : COVEY_OK;
}

static bool posted(covey *c, void *arg)
{
    struct posting *p = arg;
    if (p->ctx->nested)
        p->status = post_nested(c, p);
    else
        p->status = exec_post(c->exec, p->ctx->task, p->body, p->wants_answer, &p->number);
    return p->status != COVEY_EAGAIN;
}

static covey_status post_locked(covey *c, struct posting *p)
{
    c->now = mono_ns();
    covey_status status = process_wait(c, posted, p, NEVER_NS, false);
    if (status == COVEY_OK)
        status = p->status;
    if (status == COVEY_ETOOBIG)
        error_set("a message of %u bytes, at most %u; put larger ones into the store", p->body.len, POST_BYTES_MAX);
    else if (status == COVEY_ELIMIT)
        error_set("all worker processes are in use, so this task runs on its submitter's stack, which waits for it and "
                  "cannot answer; allow more processes, or submit it with on_message");
    else if (status == COVEY_ECANCELLED)
        error_set("the task was cancelled");
    else if (status != COVEY_OK)
        error_set("the message was not sent: %s", covey_strerror(status));
    return status;
}

covey_status covey_post(covey_ctx *ctx, const void *data, size_t size)
{
    if (!ctx || (size && !data) || size > UINT32_MAX)
        return COVEY_EINVAL;
    covey *c = ctx->c;
    struct posting p = {.ctx = ctx, .body = span_of(data, size)};
    pthread_mutex_lock(&c->lock);
    covey_status status = post_locked(c, &p);
    process_flush(c, c->now);
    process_after(c, c->now);
    pthread_mutex_unlock(&c->lock);
    return status;
}

static bool answered(covey *c, void *arg)
{
    (void)c;
    const struct posting *p = arg;
    return p->ctx->task->answered >= p->number || covey_cancelled(p->ctx);
}

covey_status covey_ask(covey_ctx *ctx, const void *data, size_t size, int64_t timeout_ms,
                       const void **answer, size_t *answer_size)
{
    if (!ctx || (size && !data) || size > UINT32_MAX)
        return COVEY_EINVAL;
    covey *c = ctx->c;
    struct posting p = {.ctx = ctx, .body = span_of(data, size), .wants_answer = true};
    pthread_mutex_lock(&c->lock);
    covey_status status = post_locked(c, &p);
    if (status == COVEY_OK) {
        bool mine = run_is_mine(c);
        if (mine)
            run_block(c);
        status = process_wait(c, answered, &p, deadline_of(timeout_ms, mono_ns()), ctx->nested);
        if (mine && run_unblock(c) != COVEY_OK && status == COVEY_OK)
            status = COVEY_ECLOSED;
        if (status == COVEY_OK && ctx->task->answered < p.number)
            status = COVEY_ECANCELLED;
    }
    if (status == COVEY_OK) {
        const struct buf *from = ctx->task->answer;
        buf_reset(&ctx->answer);
        if (from && from->len)
            buf_append(&ctx->answer, from->data, from->len);
        if (answer)
            *answer = ctx->answer.data;
        if (answer_size)
            *answer_size = ctx->answer.len;
    }
    pthread_mutex_unlock(&c->lock);
    return status;
}
