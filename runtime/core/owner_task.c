/* owner_task.c - the task's state machine: submit, retry, cancel, commit.
 *
 * The table below says which transitions exist; task_move() is the only place
 * that makes one.  A task is DONE exactly once per run of its life; only the
 * rebuilding of a lost object brings one back (DONE -> WAITING).
 */
#include "core/owner_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define TO(state) (1u << TASK_##state)

static const struct {
    const char *name;
    uint32_t next;
} table[TASK_STATES] = {
    [TASK_WAITING] = {"waiting", TO(QUEUED) | TO(DONE)},
    [TASK_QUEUED] = {"queued", TO(PUSHED) | TO(LOCAL) | TO(WAITING) | TO(DONE)},
    [TASK_PUSHED] = {"pushed", TO(REVOKING) | TO(QUEUED) | TO(PAUSED) | TO(WAITING) | TO(DONE)},
    [TASK_REVOKING] = {"revoking", TO(PUSHED) | TO(QUEUED) | TO(PAUSED) | TO(WAITING) | TO(DONE)},
    [TASK_PAUSED] = {"paused", TO(QUEUED) | TO(DONE)},
    [TASK_LOCAL] = {"local", TO(PAUSED) | TO(WAITING) | TO(DONE)},
    [TASK_DONE] = {"done", TO(WAITING)},
};

const char *task_state_name(enum task_state state) { return table[state].name; }

void task_move(struct task *t, enum task_state to)
{
    assert(table[t->state].next & (1u << to));
    t->state = to;
}

struct task *task_of_seq(const struct owner *o, uint64_t seq)
{
    struct object *obj = object_at(o, (uint32_t)(seq & ((1u << SLOT_BITS) - 1)));
    if (obj && obj->live && !obj->borrowed && obj->task && obj->task->seq == seq)
        return obj->task;
    return NULL;
}

/* Result @i's object; NULL when it is gone (its slot may be another's by now). */
struct object *task_result(const struct owner *o, const struct task *t, uint32_t i)
{
    struct object *obj = object_at(o, t->results[i]);
    return obj->live && obj->task == t ? obj : NULL;
}

/* "t5.12": process and serial. */
static void task_id(const struct owner *o, const struct task *t, char *out, size_t size)
{
    snprintf(out, size, "t%u.%llu", o->self.proc, (unsigned long long)(t->seq >> SLOT_BITS));
}

/* ---- submit ------------------------------------------------------------------ */

/* Programs may say INT64_MAX and mean never. */
static int64_t ms_after(int64_t now, int64_t ms)
{
    return ms < (NEVER_NS - now) / MS_NS ? now + ms * MS_NS : NEVER_NS;
}

static struct task *task_new(struct owner *o, const struct task_spec *spec, int64_t now)
{
    size_t name_len = strlen(spec->name);
    size_t size = sizeof(struct task) + spec->dep_count * sizeof(struct dep_ref) +
                  spec->result_count * sizeof(uint32_t) + spec->args.len + name_len + 1;
    struct task *t = malloc(size);
    if (!t)
        return NULL;
    *t = (struct task){.class = o->classes[spec->class_id], .fn_id = spec->fn_id,
                       .dep_count = spec->dep_count, .result_count = spec->result_count,
                       .retry_on = spec->retry_on, .job = spec->job, .trace = spec->trace,
                       .parent = spec->parent, .priority = spec->priority, .backoff_ms = spec->backoff_ms,
                       .deadline = spec->deadline_ms > 0 ? ms_after(now, spec->deadline_ms) : NEVER_NS,
                       .grace_ms = spec->grace_ms, .submitted_at = now, .attempts_max = 1 + (uint32_t)spec->retries,
                       .bytes = (uint32_t)size, .retry_at = NEVER_NS, .kill_at = NEVER_NS};
    t->deps = (struct dep_ref *)(t + 1);
    t->results = (uint32_t *)(t->deps + t->dep_count);
    uint8_t *args = (uint8_t *)(t->results + t->result_count);
    memcpy(args, spec->args.data ? spec->args.data : (const uint8_t *)"", spec->args.len);
    t->args = (struct span){args, spec->args.len};
    memcpy(args + spec->args.len, spec->name, name_len + 1);
    t->name = (const char *)args + spec->args.len;
    list_init(&t->in_queue);
    return t;
}

/* The result slots; false when there are none, with everything undone. */
static bool make_results(struct owner *o, struct task *t)
{
    for (uint32_t i = 0; i < t->result_count; i++) {
        struct object *obj = object_new(o);
        if (!obj) {
            while (i-- > 0) {
                struct object *made = object_at(o, t->results[i]);
                made->task = NULL;
                made->local = made->uses = 0;
                object_check_dead(o, made);
            }
            return false;
        }
        t->results[i] = obj->slot;
        obj->task = t;
        obj->uses = i == 0 ? 1 : 2;     /* its producer; and result 0 for its sisters */
        if (i == 0) {
            obj->local = 1;
            t->seq = obj->id.seq;
        }
        obj->id.seq = t->seq;
        obj->id.index = i;
    }
    t->results_live = t->result_count;
    return true;
}

void task_dep_attach(struct dep_ref *dep, struct object *obj)
{
    dep->waiting = true;
    dep->next = obj->dependents;
    obj->dependents = dep;
    dep->task->waiting++;
}

struct failure *task_dep_failure(const struct owner *o, const struct task *t, uint32_t index, struct failure *cause)
{
    if (cause->depth >= FAILURE_CHAIN_MAX)
        return failure_share(cause);
    char id[48];
    task_id(o, t, id, sizeof(id));
    return failure_new(COVEY_EDEPENDENCY, cause->user_code, cause->depth + 1,
                       "task \"%s\" (%s) did not run: its argument %u could not be made\n  because %s",
                       t->name, id, index, cause->why);
}

/* Hold every argument; NULL, or why one of them can never be there. */
static struct failure *attach_deps(struct owner *o, struct task *t, const struct owner_dep *deps)
{
    struct failure *why = NULL;
    for (uint32_t i = 0; i < t->dep_count; i++) {
        struct object *obj = object_of_ref(o, deps[i].ref);
        t->deps[i] = (struct dep_ref){.task = t, .slot = obj ? obj->slot : SLOT_NONE, .handle = deps[i].handle};
        if (!obj) {
            if (!why)
                why = failure_new(COVEY_EDEPENDENCY, 0, 0, "task \"%s\": argument %u is a ref that was released, "
                                  "or never was one; keep refs until the tasks that use them are submitted",
                                  t->name, i);
            continue;
        }
        obj->uses++;
        if (deps[i].handle)
            continue;
        if (obj->state == OBJECT_PENDING)
            task_dep_attach(&t->deps[i], obj);
        else if (obj->state == OBJECT_FAILED && !why)
            why = task_dep_failure(o, t, i, obj->failure);
    }
    t->deps_held = true;
    return why;
}

static void request_borrowed(struct owner *o, const struct task *t, int64_t now)
{
    for (uint32_t i = 0; i < t->dep_count; i++)
        if (t->deps[i].waiting)
            owner_request(o, object_ref(object_at(o, t->deps[i].slot)), now);
}

covey_ref owner_submit(struct owner *o, const struct task_spec *spec, int64_t now)
{
    assert(spec->class_id < o->class_count && spec->fn_id < o->function_count);
    assert(spec->result_count >= 1 && spec->result_count <= TASK_RESULTS_MAX);
    struct task *t = task_new(o, spec, now);
    if (!t || !make_results(o, t)) {
        free(t);
        owner_run(o, now);
        return (covey_ref){0, 0};
    }
    o->stats.submitted++;
    o->stats.tasks++;
    list_push(&o->tasks, &t->in_all);
    covey_ref ref = object_ref(object_at(o, t->results[0]));
    struct failure *why = attach_deps(o, t, spec->deps);
    t->state = TASK_WAITING;
    if (!why && t->deadline != NEVER_NS && !owner_timer(o, t->deadline, t->seq, TIMER_DEADLINE))
        why = failure_share(&failure_no_memory);
    if (why)
        task_fail(o, t, why, now);
    else if (t->waiting)
        request_borrowed(o, t, now);
    else
        task_requeue(o, t, false, now);
    owner_run(o, now);
    return ref;
}

/* ---- arguments ------------------------------------------------------------------ */

static void dep_detach(struct owner *o, struct dep_ref *dep)
{
    struct dep_ref **at = &object_at(o, dep->slot)->dependents;
    while (*at != dep)
        at = &(*at)->next;
    *at = dep->next;
    dep->waiting = false;
    dep->task->waiting--;
}

void task_release_deps(struct owner *o, struct task *t)
{
    if (!t->deps_held)
        return;
    t->deps_held = false;
    for (uint32_t i = 0; i < t->dep_count; i++) {
        if (t->deps[i].slot == SLOT_NONE)
            continue;
        if (t->deps[i].waiting)
            dep_detach(o, &t->deps[i]);
        object_unuse(o, object_at(o, t->deps[i].slot));
    }
}

/* @dep is off its object's list already. */
void task_dep_settled(struct owner *o, struct dep_ref *dep, struct object *obj, int64_t now)
{
    struct task *t = dep->task;
    assert(t->state == TASK_WAITING && dep->waiting);
    dep->waiting = false;
    t->waiting--;
    if (obj->state == OBJECT_FAILED)
        task_fail(o, t, task_dep_failure(o, t, (uint32_t)(dep - t->deps), obj->failure), now);
    else if (t->waiting == 0)
        task_requeue(o, t, false, now);
}

/* What the executor gets for each ref.  COVEY_ENOMEM; COVEY_ETOOBIG when it does
 * not fit into one message. */
covey_status task_deps_fill(struct owner *o, struct task *t, struct msg_task *out)
{
    if (t->dep_count > o->dep_room_cap) {
        struct dep *room = realloc(o->dep_room, t->dep_count * sizeof(*room));
        if (!room)
            return COVEY_ENOMEM;
        o->dep_room = room;
        o->dep_room_cap = t->dep_count;
    }
    uint64_t bytes = t->args.len + TASK_RECORD_BYTES;
    for (uint32_t i = 0; i < t->dep_count; i++) {
        const struct object *obj = object_at(o, t->deps[i].slot);
        struct dep *dep = &o->dep_room[i];
        *dep = (struct dep){.kind = DEP_HANDLE, .id = obj->id};
        if (obj->state == OBJECT_READY && obj->in_store)
            dep->place = obj->v.place;
        if (t->deps[i].handle)
            continue;
        assert(obj->state == OBJECT_READY);
        dep->kind = obj->in_store ? DEP_PLACE : DEP_INLINE;
        if (!obj->in_store)
            dep->value = object_value(obj);
        bytes += DEP_RECORD_BYTES + dep->value.len;
    }
    if (bytes > MSG_BYTES_MAX)
        return COVEY_ETOOBIG;
    out->deps = o->dep_room;
    out->dep_count = t->dep_count;
    return COVEY_OK;
}

void task_fill(const struct owner *o, const struct task *t, struct msg_task *out, int64_t now)
{
    (void)o;
    int64_t left_ms = -1;
    if (t->deadline != NEVER_NS)
        left_ms = t->deadline > now ? (t->deadline - now + MS_NS - 1) / MS_NS : 0;
    out->seq = t->seq;
    out->attempt = t->attempt;
    out->fn_id = t->fn_id;
    out->job = t->job;
    out->trace = t->trace;
    out->priority = t->priority;
    out->left_ms = left_ms;
    out->grace_ms = t->grace_ms;
    out->threads = threads_of_cpus(t->class->need.cpu_milli);
    out->args = t->args;
}

/* ---- ends ------------------------------------------------------------------------ */

void task_requeue(struct owner *o, struct task *t, bool front, int64_t now)
{
    (void)now;
    task_move(t, TASK_QUEUED);
    class_enqueue(o, t, front);
}

/* Leave whatever queue or lease it is on. */
void task_take_out(struct owner *o, struct task *t, int64_t now)
{
    if (t->state == TASK_QUEUED)
        class_remove(o, t);
    else if (t->state == TASK_PUSHED || t->state == TASK_REVOKING)
        lease_take_off(o, t, now);
}

static bool keeps_lineage(struct owner *o, struct task *t)
{
    if (o->leaving || o->lineage_bytes + t->bytes > OWNER_LINEAGE_BYTES_MAX)
        return false;
    for (uint32_t i = 0; i < t->result_count; i++) {
        const struct object *obj = task_result(o, t, i);
        if (obj && obj->state == OBJECT_READY && obj->in_store)
            return true;
    }
    return false;
}

void task_free(struct owner *o, struct task *t)
{
    assert(t->state == TASK_DONE && t->results_live == 0);
    if (t->deps_held) {
        o->lineage_bytes -= t->bytes;
        task_release_deps(o, t);
    }
    free(t);
}

/* The task's results are settled and it is on no lease: let go of what it held. */
static void task_done(struct owner *o, struct task *t, int64_t now)
{
    task_take_out(o, t, now);
    task_move(t, TASK_DONE);
    list_del(&t->in_all);
    o->stats.tasks--;
    o->stats.done++;
    if (keeps_lineage(o, t))
        o->lineage_bytes += t->bytes;
    else
        task_release_deps(o, t);
    /* One inline result and no lineage: nothing will ask for the task again. */
    bool group = t->result_count > 1 || t->deps_held;
    uint32_t count = t->result_count;
    for (uint32_t i = 0; i < count; i++) {
        struct object *obj = task_result(o, t, i);
        if (!obj)
            continue;
        if (!group) {
            obj->task = NULL;
            t->results_live--;
        }
        object_unuse(o, obj);
    }
    if (!group) {
        assert(t->results_live == 0);
        free(t);
    }
}

static void settle_failed(struct owner *o, struct task *t, struct failure *failure)
{
    if (t->settled)
        return;
    t->settled = true;
    o->stats.failed++;
    for (uint32_t i = 0; i < t->result_count; i++) {
        struct object *obj = task_result(o, t, i);
        if (!obj || obj->state != OBJECT_PENDING)
            continue;               /* a rebuild: this one was never lost */
        object_set_failure(obj, failure_share(failure));
        object_settle(o, obj);
    }
}

/* For good: no attempt will follow.  Takes a share of @failure. */
void task_fail(struct owner *o, struct task *t, struct failure *failure, int64_t now)
{
    settle_failed(o, t, failure);
    failure_drop(failure);
    task_done(o, t, now);
}

static int64_t backoff_ns(const struct task *t)
{
    int64_t ms = t->backoff_ms;
    for (uint32_t i = 1; i < t->attempt && ms < OWNER_BACKOFF_MAX_MS; i++)
        ms *= 2;
    return (ms < OWNER_BACKOFF_MAX_MS ? ms : OWNER_BACKOFF_MAX_MS) * MS_NS;
}

/* The attempt ended without a result; @cause is what a retry would be for.
 * Takes a share of @failure. */
void task_attempt_failed(struct owner *o, struct task *t, uint32_t cause, struct failure *failure, int64_t now)
{
    bool again = t->cancel == COVEY_OK && !t->settled && !o->leaving && (t->retry_on & cause) &&
                 t->attempt < t->attempts_max;
    int64_t at = now + backoff_ns(t);
    if (!again || !owner_timer(o, at, t->seq, TIMER_RETRY)) {
        task_fail(o, t, failure, now);
        return;
    }
    failure_drop(failure);
    task_take_out(o, t, now);
    task_move(t, TASK_PAUSED);
    t->retry_at = at;
    o->stats.retried++;
}

void task_timer(struct owner *o, struct task *t, enum timer_kind kind, int64_t at, int64_t now)
{
    if (kind == TIMER_RETRY && t->state == TASK_PAUSED && t->retry_at == at) {
        task_requeue(o, t, false, now);
    } else if (kind == TIMER_DEADLINE && t->deadline == at && t->state != TASK_DONE && !t->settled) {
        task_cancel(o, t, COVEY_EDEADLINE, task_grace(t, 0), true, now);
    } else if (kind == TIMER_KILL && t->kill_at == at && t->lease) {
        struct msg m = {.kind = MSG_WORKER_KILL};
        m.u.worker_kill = (struct msg_worker_kill){.lease = t->lease->id, .seq = t->seq};
        o->ops->send(o->io, o->node, &m);
    }
}

/* ---- cancel ------------------------------------------------------------------------ */

static struct failure *cancel_failure(const struct owner *o, const struct task *t, const char *how)
{
    char id[48];
    task_id(o, t, id, sizeof(id));
    if (t->cancel == COVEY_EDEADLINE)
        return failure_new(COVEY_EDEADLINE, 0, 0, "task \"%s\" (%s) passed its deadline of %lld ms (%s)", t->name, id,
                           (long long)((t->deadline - t->submitted_at) / MS_NS), how);
    return failure_new(COVEY_ECANCELLED, 0, 0, "task \"%s\" (%s) was cancelled (%s)", t->name, id, how);
}

int64_t task_grace(const struct task *t, int64_t grace_ms)
{
    return grace_ms > 0 ? grace_ms : t->grace_ms > 0 ? t->grace_ms : OWNER_GRACE_DEFAULT_MS;
}

void task_cancel(struct owner *o, struct task *t, covey_status status, int64_t grace_ms, bool recursive, int64_t now)
{
    const bool again = t->cancel != COVEY_OK;   /* counts if it leaves less time */
    const int64_t kill_at = ms_after(now + OWNER_KILL_MARGIN, grace_ms);
    if (t->state == TASK_DONE || (again && kill_at >= t->kill_at))
        return;
    t->cancel = again ? t->cancel : status;
    if (t->state != TASK_PUSHED && t->state != TASK_REVOKING && t->state != TASK_LOCAL) {
        task_fail(o, t, cancel_failure(o, t, "before it started"), now);
        return;
    }
    struct msg m = {.kind = MSG_CANCEL};
    m.u.cancel = (struct msg_cancel){t->seq, t->attempt, grace_ms, recursive};
    /* One that runs on this process's own stack: its executor is here. */
    o->ops->send(o->io, t->lease ? t->lease->worker : o->self, &m);
    t->kill_at = kill_at;
    if (kill_at != NEVER_NS)
        owner_timer(o, kill_at, t->seq, TIMER_KILL);
    if (status == COVEY_EDEADLINE && !again) {
        struct failure *f = cancel_failure(o, t, "while it ran");
        settle_failed(o, t, f);
        failure_drop(f);
    }
}

/* It comes back from a lease where it has not started. */
void task_returned(struct owner *o, struct task *t, int64_t now)
{
    o->stats.revoked++;
    if (t->cancel != COVEY_OK) {
        task_fail(o, t, cancel_failure(o, t, "before it started"), now);
        return;
    }
    t->attempt--;
    lease_take_off(o, t, now);
    task_requeue(o, t, true, now);
}

covey_status owner_cancel(struct owner *o, covey_ref ref, int64_t grace_ms, bool recursive, int64_t now)
{
    struct object *obj = object_of_ref(o, ref);
    if (!obj)
        return COVEY_ESTALE;
    if (obj->borrowed && obj->state == OBJECT_PENDING) {
        struct msg m = {.kind = MSG_OBJECT_CANCEL};
        m.u.object_cancel = (struct msg_object_cancel){obj->id, grace_ms, recursive};
        o->ops->send(o->io, obj->owner_dead ? o->node : oid_owner(obj->id), &m);
    } else if (!obj->borrowed && obj->task) {
        task_cancel(o, obj->task, COVEY_ECANCELLED, task_grace(obj->task, grace_ms), recursive, now);
    }
    owner_run(o, now);
    return COVEY_OK;
}

void owner_cancel_children(struct owner *o, uint64_t parent, int64_t now)
{
    /* A task that ends leaves the list; list_each keeps its successor, and none ends another before owner_run(). */
    list_each(it, &o->tasks) {
        struct task *t = list_entry(it, struct task, in_all);
        if (t->parent == parent)
            task_cancel(o, t, COVEY_ECANCELLED, task_grace(t, 0), true, now);
    }
    owner_run(o, now);
}

/* ---- commit ------------------------------------------------------------------------- */

static void acknowledge(struct owner *o, struct addr to, const struct msg_reply *reply, bool committed)
{
    bool matters = reply->held_count > 0;
    for (uint32_t i = 0; i < reply->result_count && !matters; i++)
        matters = reply->results[i].in_store;
    if (!matters)
        return;                     /* the executor keeps such replies for a while, bounded, and needs no word */
    struct msg m = {.kind = MSG_REPLY_ACK};
    m.u.reply_ack = (struct msg_reply_ack){reply->seq, reply->attempt, committed};
    o->ops->send(o->io, to, &m);
}

static struct failure *reply_failure(const struct owner *o, const struct task *t, struct addr from,
                                     const struct msg_reply *r)
{
    char id[48], where[64];
    task_id(o, t, id, sizeof(id));
    if (addr_eq(from, o->self))
        snprintf(where, sizeof(where), "on its caller's stack");
    else
        snprintf(where, sizeof(where), "on worker w%u of node %u", from.proc, from.node);
    return failure_new((covey_status)r->status, r->user_code, 0, "task \"%s\" (%s, attempt %u of %u, %s) failed: %s%s%.*s",
                       t->name, id, t->attempt, t->attempts_max, where, covey_strerror((covey_status)r->status),
                       r->why.len ? ": " : "", (int)r->why.len, r->why.len ? (const char *)r->why.data : "");
}

static bool commit_one(struct owner *o, struct object *obj, const struct result *result)
{
    if (result->in_store) {
        object_set_place(obj, &result->place);
        return true;
    }
    return object_set_value(o, obj, result->value);
}

static void commit(struct owner *o, struct task *t, const struct msg_reply *r, int64_t now)
{
    for (uint32_t i = 0; i < r->result_count; i++) {
        struct object *obj = i < t->result_count ? task_result(o, t, i) : NULL;
        if (!obj || obj->state != OBJECT_PENDING) {     /* beyond what was declared, or rebuilt beside a lost one */
            if (r->results[i].in_store)
                o->ops->free_place(o->io, &r->results[i].place);
            continue;
        }
        if (!commit_one(o, obj, &r->results[i]))
            object_set_failure(obj, failure_share(&failure_no_memory));
        object_settle(o, obj);
    }
    t->settled = true;
    task_done(o, t, now);
}

/* ---- finish --------------------------------------------------------------------------- */

/* @reply is current: from a lease, or from this process's own stack. */
void task_finish(struct owner *o, struct task *t, struct addr from, const struct msg_reply *r, int64_t now)
{
    if (t->settled || (t->cancel != COVEY_OK && r->status != COVEY_OK)) {
        results_free(o, r);
        char how[256];
        snprintf(how, sizeof(how), "while it ran%s%.*s", r->why.len ? ": " : "", (int)r->why.len,
                 r->why.len ? (const char *)r->why.data : "");
        task_fail(o, t, cancel_failure(o, t, how), now);
    } else if (r->status == COVEY_OK && r->result_count >= t->result_count) {
        commit(o, t, r, now);
    } else if (r->status == COVEY_OK) {
        results_free(o, r);
        task_fail(o, t, failure_new(COVEY_ESIGNATURE, 0, 0, "task \"%s\" returned %u results where its signature has %u",
                                    t->name, r->result_count, t->result_count), now);
    } else {
        results_free(o, r);
        if (r->status == COVEY_ELOST && task_wait_for_lost(o, t, (uint32_t)r->user_code, now))
            return;
        bool deaf = r->status == COVEY_ESIGNATURE || r->status == COVEY_EUNKNOWN;   /* the same each time */
        task_attempt_failed(o, t, deaf ? 0 : COVEY_RETRY_FAILURE, reply_failure(o, t, from, r), now);
    }
}

void task_reply(struct owner *o, struct addr from, const struct msg_reply *r, int64_t now)
{
    struct task *t = task_of_seq(o, r->seq);
    bool current = t && t->lease && t->attempt == r->attempt && t->lease->id == r->lease &&
                   t->lease->epoch == r->epoch && addr_eq(t->lease->worker, from);
    if (!current) {
        o->stats.refused++;
        bool copy = results_free(o, r);
        borrow_held(o, from, r->held, r->held_count, now);
        acknowledge(o, from, r, copy);
        return;
    }
    t->lease->blocked = false;
    lease_measure(t->class, r->run_ns);
    borrow_held(o, from, r->held, r->held_count, now);
    task_finish(o, t, from, r, now);
    acknowledge(o, from, r, true);
}
