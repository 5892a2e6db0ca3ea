/* program.c - what simulated programs do: clients that submit, cancel, release
 * and wait; tasks that compute, submit tasks and wait for them, fail, crash,
 * hang, post, and ignore being cancelled.
 *
 * A task's script is one number among its arguments; what it does follows from
 * the number alone, so that an attempt again does the same, but for accidents
 * (crash, fail), which also depend on the attempt. */
#include "world.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/value.h"

#define CLIENT_REFS_MAX 256u
#define SCRIPT_DEPTH(script) ((script) & 3)
#define KEEP_ALIVE 12u          /* refs that a client holds on to until the end, at least */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * UINT64_C(0x7fb5d329728ea185);
    x = (x ^ (x >> 27)) * UINT64_C(0x81dadef4bc2dd44d);
    return x ^ (x >> 33);
}

/* ---- submitting, by clients and tasks alike ------------------------------------------------ */

struct plan { uint64_t script; uint32_t results; bool hangs; };

/* A task that waits keeps its devices, so a task that holds some and waits for
 * one that needs some can wait for ever: that is its program's fault, and these
 * programs do not do it.  Only what never waits gets devices. */
static bool never_waits(const struct plan *plan, const struct owner_dep *deps, uint32_t dep_count)
{
    for (uint32_t i = 0; i < dep_count; i++)
        if (deps[i].handle)
            return false;
    return SCRIPT_DEPTH(plan->script) == 0;
}

static covey_ref submit(struct process *p, const struct plan *plan, const struct owner_dep *deps, uint32_t dep_count,
                        uint64_t parent)
{
    struct world *w = p->w;
    struct resources need = {.cpu_milli = world_chance(w, 800) ? 1000 : 500,
                             .gpu_milli = never_waits(plan, deps, dep_count) && world_chance(w, 150) ? 500 : 0};
    struct task_spec spec = {
        .name = "simulated", .deps = deps, .dep_count = dep_count, .result_count = plan->results,
        .retries = (int)world_below(w, 4), .retry_on = world_chance(w, 500) ? 3 : 1,
        .backoff_ms = 1 + (int64_t)world_below(w, 20), .priority = world_chance(w, 200) ? (int32_t)world_below(w, 5) - 2 : 0,
        .deadline_ms = plan->hangs ? 50 + (int64_t)world_below(w, 500) : 0, .job = p->proc, .trace = 1, .parent = parent,
    };
    struct hash128 package = {1, 1};
    if (owner_class(p->owner, package, &need, &spec.class_id) != COVEY_OK ||
        owner_function(p->owner, world_chance(w, 500) ? "f" : "g", "any...", &spec.fn_id) != COVEY_OK)
        world_fail(w, "out of memory");
    struct buf args;
    buf_init(&args);
    value_put_u64(&args, plan->script);
    value_put_u64(&args, plan->results);
    for (uint32_t i = 0; i < dep_count; i++)
        value_put_dep(&args, i);
    spec.args = buf_span(&args);
    covey_ref ref = owner_submit(p->owner, &spec, w->now);
    buf_fini(&args);
    if (!ref.generation)
        world_fail(w, "a submit gave no ref");
    owner_watch(p->owner, ref);
    return ref;
}

/* ---- clients ------------------------------------------------------------------------------------- */

struct client {
    covey_ref refs[CLIENT_REFS_MAX];
    uint32_t settled[CLIENT_REFS_MAX];
    bool released[CLIENT_REFS_MAX];
    uint32_t ref_count, to_submit;
    bool finishing, left, closed;
};

static uint32_t find(const struct client *c, covey_ref ref)
{
    for (uint32_t i = 0; i < c->ref_count; i++)
        if (c->refs[i].index == ref.index && c->refs[i].generation == ref.generation && !c->released[i])
            return i;
    return CLIENT_REFS_MAX;
}

void program_settled(struct process *p, covey_ref ref)
{
    if (!p->client)
        return;
    uint32_t i = find(p->client, ref);
    if (i < CLIENT_REFS_MAX && ++p->client->settled[i] > 1)
        world_fail(p->w, "ref %u of p%u settled %u times", i, p->proc, p->client->settled[i]);
}

static void client_submit(struct process *p)
{
    struct world *w = p->w;
    struct client *c = p->client;
    struct owner_dep deps[4];
    uint32_t dep_count = 0;
    uint64_t wanted = world_below(w, 4);
    for (uint64_t i = 0; i < wanted && c->ref_count > 0; i++) {
        uint32_t at = (uint32_t)world_below(w, c->ref_count);
        if (!c->released[at])
            deps[dep_count++] = (struct owner_dep){c->refs[at], world_chance(w, 200)};
    }
    struct plan plan = {.script = world_random(w), .results = 1 + (uint32_t)(world_chance(w, 200) ? world_below(w, 3) : 0)};
    plan.hangs = mix(plan.script) % 100 < 3;
    c->refs[c->ref_count++] = submit(p, &plan, deps, dep_count, 0);
    if (plan.results > 1 && world_chance(w, 500) && c->ref_count < CLIENT_REFS_MAX) {
        covey_ref other = owner_result(p->owner, c->refs[c->ref_count - 1], 1);
        if (other.generation)
            c->refs[c->ref_count++] = other;
        owner_watch(p->owner, other);
    }
}

static void client_put(struct process *p)
{
    struct client *c = p->client;
    struct place place;
    struct oid id;
    if (process_alloc(p, 1024 + world_below(p->w, 100000), &place) != COVEY_OK)
        return;
    covey_ref ref = owner_create(p->owner, &id);
    process_seal(p, &place, id);
    owner_sealed(p->owner, ref, &place, p->w->now);
    c->refs[c->ref_count++] = ref;
}

static void client_release(struct process *p, uint32_t i)
{
    struct client *c = p->client;
    if (c->released[i])
        return;
    c->released[i] = true;
    if (owner_release(p->owner, c->refs[i], p->w->now) != COVEY_OK)
        world_fail(p->w, "a live ref is stale");
}

static void on_client_turn(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b)
{
    (void)data; (void)a; (void)b;
    struct client *c = p->client;
    uint32_t burst = 1 + (uint32_t)world_below(w, 8);
    while (burst-- > 0 && c->to_submit > 0 && c->ref_count < CLIENT_REFS_MAX - 2) {
        c->to_submit--;
        if (world_chance(w, 850))
            client_submit(p);
        else
            client_put(p);
    }
    uint32_t i = (uint32_t)world_below(w, c->ref_count ? c->ref_count : 1);
    if (c->ref_count > KEEP_ALIVE && world_chance(w, 300))
        client_release(p, i);
    else if (c->ref_count > 0 && !c->released[i] && world_chance(w, 150))
        owner_cancel(p->owner, c->refs[i], (int64_t)world_below(w, 100), world_chance(w, 500), w->now);
    if (c->to_submit > 0)
        world_at(w, (int64_t)world_below(w, 20 * (uint64_t)MS_NS), p, on_client_turn, NULL, 0, 0);
    else
        c->finishing = true;
}

static void on_alarm(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b)
{
    (void)w; (void)p; (void)data; (void)a; (void)b;     /* process_step() does the rest */
}

void program_client_start(struct process *p)
{
    struct world *w = p->w;
    p->client = calloc(1, sizeof(*p->client));
    p->client->to_submit = 5 + (uint32_t)world_below(w, 60);
    struct msg m = {.kind = MSG_PACKAGE};
    m.u.package = (struct msg_package){.hash = {1, 1}, .path = span_str("/simulated"), .cwd = span_str("/"),
                                       .argv = span_of("x", 2), .env = span_of("", 1)};
    (void)mesh_send(p->mesh, w->node, &m, w->now);
    world_at(w, 0, p, on_client_turn, NULL, 0, 0);
    world_at(w, SIM_HEAL_AT > w->now ? SIM_HEAL_AT - w->now : 0, p, on_alarm, NULL, 0, 0);
}

static bool everything_settled(const struct process *p)
{
    const struct client *c = p->client;
    for (uint32_t i = 0; i < c->ref_count; i++) {
        struct object_view view;
        if (!c->released[i] && (owner_view(p->owner, c->refs[i], &view) != COVEY_OK || view.state == OBJECT_PENDING))
            return false;
    }
    return true;
}

/* What it got from the store must be there for as long as it holds the ref. */
static void check_values(const struct process *p)
{
    const struct client *c = p->client;
    for (uint32_t i = 0; i < c->ref_count; i++) {
        struct object_view view;
        if (c->released[i] || owner_view(p->owner, c->refs[i], &view) != COVEY_OK)
            continue;
        if (view.state == OBJECT_READY && view.in_store && !machine_header(p->w, &view.place, view.id))
            world_fail(p->w, "p%u holds ref %u, and its bytes are gone", p->proc, i);
    }
}

static void on_close(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b)
{
    (void)w; (void)data; (void)a; (void)b;
    process_die(p, 0);
}

/* Wait for everything, let go of everything, leave. */
void program_client_step(struct process *p)
{
    struct client *c = p->client;
    check_values(p);
    if (!c->finishing || p->w->now < SIM_HEAL_AT || !everything_settled(p))
        return;
    for (uint32_t i = 0; i < c->ref_count; i++)
        client_release(p, i);
    if (!c->left) {
        c->left = true;
        owner_leave(p->owner, p->w->now);
    }
    if (owner_busy(p->owner) || c->closed)
        return;
    c->closed = true;
    process_close_holds(p);
    world_at(p->w, 20 * MS_NS, p, on_close, NULL, 0, 0);
}

void program_client_free(struct process *p) { free(p->client); }

/* ---- tasks --------------------------------------------------------------------------------------------- */

static struct frame_of *push_frame(struct process *p)
{
    struct frame_of *f = calloc(1, sizeof(*f));
    f->below = p->top;
    f->number = ++p->frames;
    buf_init(&f->out);
    p->top = f;
    return f;
}

static void pop_frame(struct process *p)
{
    struct frame_of *f = p->top;
    p->top = f->below;
    buf_fini(&f->out);
    free(f);
}

void program_worker_free(struct process *p)
{
    while (p->top)
        pop_frame(p);
}

void program_cancel(struct process *p, struct exec_task *task)
{
    for (struct frame_of *f = p->top; f; f = f->below)
        if (f->task == task && task->recursive)
            p->cancels_due = f->cancel_children = true;
}

static bool owner_alive(const struct process *p, struct addr owner)
{
    return owner.proc < p->w->process_count && p->w->processes[owner.proc] &&
           p->w->processes[owner.proc]->life == LIFE_ALIVE;
}

/* Arguments: the script first; every object that came by place must be there. */
static void begin(struct process *p, struct frame_of *f, struct span args, const struct dep *deps, uint32_t dep_count)
{
    struct world *w = p->w;
    struct value v = {0};
    if (value_next(&args, &v) != COVEY_OK)
        world_fail(w, "a task without arguments");
    f->script = v.u64;
    if (value_next(&args, &v) != COVEY_OK)
        world_fail(w, "a task without a number of results");
    f->result_wanted = (uint32_t)v.u64;
    for (uint32_t i = 0; i < dep_count; i++) {
        if (deps[i].kind == DEP_PLACE && owner_alive(p, f->task->owner) && !machine_header(w, &deps[i].place, deps[i].id))
            world_fail(w, "p%u runs a task of p%u whose argument %u is freed", p->proc, f->task->owner.proc, i);
        if (deps[i].kind == DEP_HANDLE && f->handle_count < 8) {
            covey_ref ref = owner_borrow(p->owner, &deps[i]);
            if (ref.generation)
                f->handles[f->handle_count++] = ref;
        }
    }
    uint64_t r = mix(f->script + f->task->attempt);
    static const int64_t times[] = {1000, 20000, 20000, 400000, 3 * MS_NS, 30 * MS_NS};
    f->until = w->now + times[r % 6];
    f->ignores_cancel = (r >> 8) % 100 < 20;
    if (mix(f->script) % 100 < 3)
        f->until = NEVER_NS;            /* hangs: it has a deadline */
    if ((r >> 16) % 100 < 6 && w->now < SIM_HEAL_AT)
        f->status = COVEY_ETASK;
    if ((r >> 24) % 100 < 4 && w->now < SIM_HEAL_AT)
        f->status = COVEY_EWORKER;      /* it crashes */
    if (SCRIPT_DEPTH(f->script) > 0 && (r >> 32) % 100 < 40) {
        uint32_t children = 1 + (uint32_t)((r >> 40) % 3);
        for (uint32_t i = 0; i < children; i++) {
            struct plan plan = {.script = (mix(f->script + i) & ~UINT64_C(3)) | (SCRIPT_DEPTH(f->script) - 1), .results = 1};
            plan.hangs = mix(plan.script) % 100 < 3;
            struct owner_dep dep = {i > 0 ? f->refs[0] : (covey_ref){0, 0}, false};
            bool pass = f->handle_count > 0 && i == 0;
            if (pass)
                dep = (struct owner_dep){f->handles[0], true};
            f->refs[f->ref_count++] = submit(p, &plan, &dep, i > 0 || pass ? 1 : 0, f->number);
        }
        f->phase = PHASE_WAIT;
    } else {
        f->phase = f->handle_count && (r >> 48) % 100 < 40 ? PHASE_WAIT : PHASE_COMPUTE;
        for (uint32_t i = 0; f->phase == PHASE_WAIT && i < f->handle_count; i++)
            owner_request(p->owner, f->handles[i], w->now);
    }
    if (!f->nested && (r >> 56) % 100 < 20) {
        uint64_t number;
        (void)exec_post(p->exec, f->task, span_str("hello"), false, &number);
    }
}

static bool settled(struct process *p, covey_ref ref)
{
    struct object_view view;
    return owner_view(p->owner, ref, &view) != COVEY_OK || view.state != OBJECT_PENDING;
}

static bool waits_over(struct process *p, const struct frame_of *f)
{
    if (atomic_load(&f->task->cancelled) && !f->ignores_cancel)
        return true;
    for (uint32_t i = 0; i < f->ref_count; i++)
        if (!settled(p, f->refs[i]))
            return false;
    for (uint32_t i = 0; f->ref_count == 0 && i < f->handle_count; i++)
        if (!settled(p, f->handles[i]))
            return false;
    return true;
}

static bool can_run_here(struct process *p, const struct frame_of *f, covey_ref *ref)
{
    for (uint32_t i = 0; i < f->ref_count; i++) {
        struct object_view view;
        if (owner_view(p->owner, f->refs[i], &view) == COVEY_OK && view.local_runnable) {
            *ref = f->refs[i];
            return true;
        }
    }
    return false;
}

static bool start_here(struct process *p, covey_ref ref)
{
    struct msg_task m;
    const char *name;
    struct frame_of *f = push_frame(p);
    f->nested = true;
    f->task = &f->nested_task;
    if (!owner_local_begin(p->owner, ref, &m, &name, p->w->now)) {
        pop_frame(p);
        return false;
    }
    f->nested_task = (struct exec_task){.state = EXEC_RUNNING, .owner = p->self, .seq = m.seq, .attempt = m.attempt,
                                        .kill_at = NEVER_NS, .started_at = p->w->now,
                                        .deadline = m.left_ms < 0 ? NEVER_NS : p->w->now + m.left_ms * MS_NS};
    exec_nest(p->exec, f->task, p->w->now);
    begin(p, f, m.args, m.deps, m.dep_count);
    return true;
}

/* Results, some in the store.  False: wait for an extent. */
static bool make_results(struct process *p, struct frame_of *f)
{
    while (f->result_count < f->result_wanted && f->status == COVEY_OK) {
        uint64_t r = mix(f->script * 31 + f->result_count);
        struct result *out = &f->results[f->result_count];
        memset(out, 0, sizeof(*out));
        if (r % 100 < 40) {
            covey_status status = process_alloc(p, 70000 + r % 3000000 / (r % 7 + 1), &out->place);
            if (status == COVEY_EAGAIN)
                return false;
            if (status != COVEY_OK) {
                f->status = status;
                break;
            }
            struct oid id = {f->task->owner.node, f->task->owner.proc, f->task->seq, f->result_count};
            out->in_store = true;
            process_seal(p, &out->place, id);
        } else {
            size_t before = f->out.len;
            value_put_u64(&f->out, r);
            out->value = (struct span){NULL, (uint32_t)(f->out.len - before)};
        }
        f->result_count++;
    }
    return true;
}

static void finish(struct process *p, struct frame_of *f)
{
    struct world *w = p->w;
    size_t at = 0;
    for (uint32_t i = 0; i < f->result_count; i++) {
        if (!f->results[i].in_store) {
            f->results[i].value.data = f->out.data + at;
            at += f->results[i].value.len;
        } else if (f->status != COVEY_OK) {
            process_free_place(p, &f->results[i].place);
        }
    }
    if (f->status != COVEY_OK)
        f->result_count = 0;
    for (uint32_t i = 0; i < f->ref_count; i++)
        owner_release(p->owner, f->refs[i], w->now);
    struct held held[8];
    uint32_t held_count = 0;
    for (uint32_t i = 0; i < f->handle_count; i++)
        if (owner_borrow_end(p->owner, f->handles[i], false, &held[held_count], w->now))
            held_count++;
    uint64_t number;
    if (!f->nested && atomic_load(&f->task->cancelled))
        (void)exec_post(p->exec, f->task, span_str("last words"), true, &number);
    if (f->nested) {
        struct msg_reply reply = {.seq = f->task->seq, .attempt = f->task->attempt, .status = (uint32_t)f->status,
                                  .result_count = f->result_count, .results = f->results, .run_ns = 1000};
        exec_unnest(p->exec, f->task, w->now);
        owner_local_end(p->owner, f->task->seq, &reply, w->now);
    } else {
        struct exec_outcome outcome = {.status = f->status, .result_count = f->result_count, .results = f->results,
                                       .held = held, .held_count = held_count};
        exec_finish(p->exec, f->task, &outcome, w->now);
    }
    pop_frame(p);
}

/* One transition of the task on top; false: it must wait for an event. */
static bool advance(struct process *p, struct frame_of *f)
{
    struct world *w = p->w;
    covey_ref here;
    switch (f->phase) {
    case PHASE_WAIT:
        if (!waits_over(p, f)) {
            if (!f->blocked) {
                f->blocked = true;
                exec_block(p->exec, w->now);
                return true;
            }
            if (!can_run_here(p, f, &here))
                return false;
        }
        if (f->blocked) {
            f->blocked = false;
            exec_unblock(p->exec, w->now);
        }
        f->phase = PHASE_RESUME;
        return true;
    case PHASE_RESUME:
        if (!exec_resumed(p->exec))
            return false;
        if (!waits_over(p, f)) {
            f->phase = PHASE_WAIT;
            return can_run_here(p, f, &here) ? start_here(p, here) : true;
        }
        f->phase = PHASE_COMPUTE;
        if (f->until != NEVER_NS && f->until < w->now)
            f->until = w->now + 10000;
        return true;
    case PHASE_COMPUTE:
        if (atomic_load(&f->task->cancelled) && !f->ignores_cancel) {
            f->status = COVEY_ECANCELLED;
            f->phase = PHASE_RESULTS;
            return true;
        }
        if (w->now < f->until) {
            if (f->until != NEVER_NS && !f->waited) {
                f->waited = true;
                world_at(w, f->until - w->now, p, on_alarm, NULL, 0, 0);
            }
            return false;
        }
        if (f->status == COVEY_EWORKER) {
            process_die(p, -11);
            return false;
        }
        f->phase = PHASE_RESULTS;
        return true;
    case PHASE_RESULTS:
        if (!make_results(p, f))
            return false;
        finish(p, f);
        return true;
    default:
        world_fail(w, "a task in no phase");
    }
}

static void cancel_children(struct process *p)
{
    p->cancels_due = false;
    for (struct frame_of *f = p->top; f; f = f->below) {
        bool due = f->cancel_children;
        f->cancel_children = false;
        if (due)
            owner_cancel_children(p->owner, f->number, p->w->now);
    }
}

void program_worker_step(struct process *p)
{
    for (;;) {
        while (p->cancels_due)
            cancel_children(p);
        if (p->life == LIFE_DEAD)
            return;
        if (p->top) {
            if (!advance(p, p->top))
                return;
            continue;
        }
        struct exec_task *task = exec_start(p->exec, p->w->now);
        if (!task)
            return;
        struct frame_of *f = push_frame(p);
        f->task = task;
        begin(p, f, task->args, task->deps, task->dep_count);
    }
}

static void tell_task(void *ctx, const struct task_row *row)
{
    const struct process *p = ctx;
    fprintf(stderr, "  p%u owns task %llx, %s, attempt %u, on p%u\n", p->proc, (unsigned long long)row->seq, row->state,
            row->attempt, row->worker.proc);
}

void program_tell(struct process *p)
{
    if (!p || p->life != LIFE_ALIVE)
        return;
    struct owner_stats s = owner_stats(p->owner);
    fprintf(stderr, "p%u: %s, %u tasks, %u leases, %u objects\n", p->proc, p->role == ROLE_CLIENT ? "client" : "worker",
            s.tasks, s.leases, s.objects);
    if (p->client)
        fprintf(stderr, "  finishing %d, left %d\n", p->client->finishing, p->client->left);
    owner_each_task(p->owner, 20, p->w->now, tell_task, p);
    for (struct frame_of *f = p->top; f; f = f->below)
        fprintf(stderr, "  runs task %llx of p%u, phase %d, blocked %d, queued %u\n", (unsigned long long)f->task->seq,
                f->task->owner.proc, (int)f->phase, f->blocked, exec_queued(p->exec));
}
