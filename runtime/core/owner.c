/* owner.c - assembly of the owner: events in, timers, the loop that settles.
 * See owner.h for the contract and owner_internal.h for the parts. */
#include "core/owner_internal.h"

#include <stdlib.h>

covey_status owner_new(struct owner **out, const struct owner_config *config,
                       const struct owner_ops *ops, void *io)
{
    struct owner *o = calloc(1, sizeof(*o));
    if (!o)
        return COVEY_ENOMEM;
    o->self = config->self;
    o->node = config->node;
    o->payload = config->payload;
    o->ops = ops;
    o->io = io;
    o->free_slot = SLOT_NONE;
    o->settling_tail = &o->settling;
    o->lease_at = NEVER_NS;
    list_init(&o->tasks);
    map_init(&o->borrowed, sizeof(struct key_oid));
    map_init(&o->leases, sizeof(uint64_t));
    *out = o;
    return COVEY_OK;
}

static void free_objects(struct owner *o)
{
    for (uint32_t slot = 0; slot < o->chunk_count * CHUNK_OBJECTS; slot++) {
        struct object *obj = object_at(o, slot);
        if (!obj->live)
            continue;
        if (obj->state == OBJECT_READY && obj->value_on_heap)
            free(obj->v.heap.room);
        if (obj->failure)
            failure_drop(obj->failure);
        borrow_free_lists(obj);
        if (obj->task && --obj->task->results_live == 0)
            free(obj->task);
    }
    for (uint32_t i = 0; i < o->chunk_count; i++)
        free(o->chunks[i]);
    free(o->chunks);
}

/* Memory alone: whoever wants to leave in order calls owner_leave() before. */
void owner_free(struct owner **owner)
{
    struct owner *o = *owner;
    if (!o)
        return;
    *owner = NULL;
    struct lease *l;
    for (uint32_t i = 0; (l = map_next(&o->leases, &i)) != NULL;) {
        free(l->dead_why);
        free(l);
    }
    free_objects(o);
    for (uint32_t i = 0; i < o->class_count; i++)
        class_free(o->classes[i]);
    for (uint32_t i = 0; i < o->function_count; i++) {
        free(o->functions[i].name);
        free(o->functions[i].signature);
    }
    map_fini(&o->borrowed);
    map_fini(&o->leases);
    free(o->timers);
    free(o->dep_room);
    free(o);
}

covey_status owner_function(struct owner *o, const char *name, const char *signature, uint32_t *fn_id)
{
    for (uint32_t i = 0; i < o->function_count; i++) {
        if (strcmp(o->functions[i].name, name) == 0) {
            *fn_id = i;
            return COVEY_OK;
        }
    }
    if (o->function_count == OWNER_FUNCTIONS_MAX)
        return COVEY_ELIMIT;
    struct function f = {strdup(name), strdup(signature)};
    if (!f.name || !f.signature) {
        free(f.name);
        free(f.signature);
        return COVEY_ENOMEM;
    }
    *fn_id = o->function_count;
    o->functions[o->function_count++] = f;
    return COVEY_OK;
}

/* ---- timers: a heap, entries checked for being current when they fire ---------- */

static void swap(struct timer *a, struct timer *b)
{
    struct timer t = *a;
    *a = *b;
    *b = t;
}

bool owner_timer(struct owner *o, int64_t at, uint64_t seq, enum timer_kind kind)
{
    if (o->timer_count == o->timer_cap) {
        uint32_t cap = o->timer_cap ? o->timer_cap * 2 : 64;
        struct timer *timers = realloc(o->timers, cap * sizeof(*timers));
        if (!timers)
            return false;
        o->timers = timers;
        o->timer_cap = cap;
    }
    uint32_t i = o->timer_count++;
    o->timers[i] = (struct timer){at, seq, kind};
    for (; i > 0 && o->timers[(i - 1) / 2].at > o->timers[i].at; i = (i - 1) / 2)
        swap(&o->timers[i], &o->timers[(i - 1) / 2]);
    return true;
}

static struct timer pop_timer(struct owner *o)
{
    struct timer first = o->timers[0];
    o->timers[0] = o->timers[--o->timer_count];
    for (uint32_t i = 0, child; (child = 2 * i + 1) < o->timer_count; i = child) {
        if (child + 1 < o->timer_count && o->timers[child + 1].at < o->timers[child].at)
            child++;
        if (o->timers[i].at <= o->timers[child].at)
            break;
        swap(&o->timers[i], &o->timers[child]);
    }
    return first;
}

void owner_tick(struct owner *o, int64_t now)
{
    while (o->timer_count > 0 && o->timers[0].at <= now) {
        struct timer timer = pop_timer(o);
        struct task *t = task_of_seq(o, timer.seq);
        if (t)
            task_timer(o, t, timer.kind, timer.at, now);
    }
    lease_tick(o, now);
    owner_run(o, now);
}

int64_t owner_deadline(const struct owner *o)
{
    int64_t at = o->lease_at;
    if (o->timer_count > 0 && o->timers[0].at < at)
        at = o->timers[0].at;
    return at;
}

/* ---- the end of every event ------------------------------------------------------ */

static void settle_one(struct owner *o, struct object *obj, int64_t now)
{
    obj->settling = false;
    o->settled_count++;
    borrow_settled(o, obj);
    while (obj->dependents) {
        struct dep_ref *dep = obj->dependents;
        obj->dependents = dep->next;
        task_dep_settled(o, dep, obj, now);
    }
    if (obj->watched) {
        obj->watched = false;
        o->ops->settled(o->io, object_ref(obj));
    }
    object_check_dead(o, obj);
}

void owner_run(struct owner *o, int64_t now)
{
    while (o->settling || o->dying || o->any_dirty) {
        if (o->settling) {
            struct object *obj = o->settling;
            o->settling = obj->next_work;
            if (!o->settling)
                o->settling_tail = &o->settling;
            settle_one(o, obj, now);
        } else if (o->dying) {
            struct object *obj = o->dying;
            o->dying = obj->next_work;
            obj->dying = false;
            if (!obj->local && !obj->uses && !borrow_active(obj))
                object_end(o, obj);
        } else {
            o->any_dirty = false;
            for (uint32_t i = 0; i < o->class_count; i++)
                if (o->classes[i]->dirty)
                    class_pump(o, o->classes[i], now);
        }
    }
}

/* ---- posts ---------------------------------------------------------------------------- */

static void on_post(struct owner *o, struct addr from, const struct msg_post *m)
{
    struct task *t = task_of_seq(o, m->seq);
    bool local = t && t->state == TASK_LOCAL && addr_eq(o->self, from);
    bool leased = t && t->lease && addr_eq(t->lease->worker, from);
    if ((!local && !leased) || t->attempt != m->attempt)
        return;
    if (m->number <= t->post_seen)
        return;                     /* a second copy */
    t->post_seen = m->number;
    struct object *obj = task_result(o, t, 0);
    if (obj && obj->local) {
        struct msg_post shown = *m;
        shown.number += t->post_base;
        o->ops->post(o->io, object_ref(obj), &shown);
        return;
    }
    /* Nobody holds the ref: nobody will read it, so that its sender goes on. */
    struct msg ack = {.kind = MSG_POST_ACK};
    ack.u.post_ack = (struct msg_post_ack){.seq = t->seq, .attempt = t->attempt, .number = m->number,
                                           .is_answer = m->wants_answer};
    o->ops->send(o->io, from, &ack);
}

static covey_status post_ack(struct owner *o, covey_ref ref, uint64_t number, bool is_answer, struct span body)
{
    struct object *obj = object_of_ref(o, ref);
    if (!obj)
        return COVEY_ESTALE;
    struct task *t = obj->task;
    if (!t || (!t->lease && t->state != TASK_LOCAL) || number <= t->post_base)
        return COVEY_ECLOSED;           /* it has ended, or that attempt has */
    struct msg m = {.kind = MSG_POST_ACK};
    m.u.post_ack = (struct msg_post_ack){t->seq, t->attempt, number - t->post_base, is_answer, body};
    o->ops->send(o->io, t->lease ? t->lease->worker : o->self, &m);
    return COVEY_OK;
}

covey_status owner_post_read(struct owner *o, covey_ref ref, uint64_t number, int64_t now)
{
    (void)now;
    return post_ack(o, ref, number, false, (struct span){NULL, 0});
}

covey_status owner_post_answer(struct owner *o, covey_ref ref, uint64_t number, struct span body, int64_t now)
{
    (void)now;
    return post_ack(o, ref, number, true, body);
}

bool owner_posts_ended(struct owner *o, covey_ref ref)
{
    struct object *obj = object_of_ref(o, ref);
    return !obj || !obj->task || obj->task->state == TASK_DONE;
}

/* ---- running one's own task -------------------------------------------------------------- */

bool owner_local_begin(struct owner *o, covey_ref ref, struct msg_task *out, const char **function, int64_t now)
{
    struct object *obj = object_of_ref(o, ref);
    struct task *t = obj && !obj->borrowed && obj->state == OBJECT_PENDING ? task_startable(o, obj->task) : NULL;
    *out = (struct msg_task){0};
    if (!t || !task_deps_ready(o, t, now) || task_deps_fill(o, t, out) != COVEY_OK) {
        owner_run(o, now);
        return false;
    }
    class_remove(o, t);
    task_move(t, TASK_LOCAL);
    t->attempt++;
    task_posts_begin(t);
    task_fill(o, t, out, now);
    *function = o->functions[t->fn_id].name;
    owner_run(o, now);              /* the node hears that it is wanted no more */
    return true;
}

covey_ref owner_local_reader(struct owner *o, uint64_t seq)
{
    struct task *t = task_of_seq(o, seq);
    struct object *obj = t ? task_result(o, t, 0) : NULL;
    return obj && obj->local ? object_ref(obj) : (covey_ref){0, 0};
}

void owner_local_post(struct owner *o, uint64_t seq, struct span body, bool wants_answer)
{
    const struct task *t = task_of_seq(o, seq);
    assert(t && t->state == TASK_LOCAL);
    struct msg_post post = {seq, t->attempt, t->post_seen + 1, wants_answer, body};
    on_post(o, o->self, &post);
}

void owner_local_end(struct owner *o, uint64_t seq, const struct msg_reply *reply, int64_t now)
{
    struct task *t = task_of_seq(o, seq);
    assert(t && t->state == TASK_LOCAL);
    task_finish(o, t, o->self, reply, now);
    owner_run(o, now);
}

/* ---- the rest ------------------------------------------------------------------------------ */

bool owner_msg(struct owner *o, struct addr from, const struct msg *msg, int64_t now)
{
    bool mine = true;
    if (msg->kind == MSG_REPLY)
        task_reply(o, from, &msg->u.reply, now);
    else if (msg->kind == MSG_POST)
        on_post(o, from, &msg->u.post);
    else
        mine = lease_msg(o, from, msg, now) || borrow_msg(o, from, msg, now);
    owner_run(o, now);
    return mine;
}

void owner_link_full(struct owner *o, struct addr peer, bool is_full, int64_t now)
{
    struct lease *l;
    for (uint32_t i = 0; (l = map_next(&o->leases, &i)) != NULL;) {
        if (!addr_eq(l->worker, peer))
            continue;
        l->full = is_full;
        class_dirty(o, l->class);
    }
    owner_run(o, now);
}

void owner_proc_dead(struct owner *o, struct addr who, int64_t now)
{
    borrow_proc_dead(o, who, now);
    owner_run(o, now);
}

void owner_yield(struct owner *o, int64_t now)
{
    lease_yield(o);
    owner_run(o, now);
}

void owner_leave(struct owner *o, int64_t now)
{
    o->leaving = true;
    list_each(it, &o->tasks) {
        struct task *t = list_entry(it, struct task, in_all);
        int64_t grace_ms = t->grace_ms < OWNER_LEAVE_GRACE_MS ? t->grace_ms : OWNER_LEAVE_GRACE_MS;
        task_cancel(o, t, COVEY_ECANCELLED, grace_ms, true, now);
    }
    lease_leave(o);
    owner_run(o, now);
}

uint64_t owner_settled_count(const struct owner *o) { return o->settled_count; }
struct owner_stats owner_stats(const struct owner *o) { return o->stats; }

bool owner_busy(const struct owner *o)
{
    return o->stats.tasks > 0 || o->stats.leases > 0;
}

void owner_each_task(struct owner *o, uint32_t limit, int64_t now,
                     void (*fn)(void *ctx, const struct task_row *row), void *ctx)
{
    for (struct list *it = o->tasks.prev; it != &o->tasks && limit-- > 0; it = it->prev) {
        const struct task *t = list_entry(it, struct task, in_all);
        struct task_row row = {t->seq, t->name, task_state_name(t->state), t->attempt, {0, 0, 0, 0},
                               (now - t->submitted_at) / MS_NS};
        if (t->lease)
            row.worker = t->lease->worker;
        fn(ctx, &row);
    }
}

/* ---- invariants ------------------------------------------------------------------------------- */

static void check_task(const struct owner *o, const struct task *t)
{
    assert(t->state != TASK_DONE);
    assert(task_of_seq(o, t->seq) == t);
    assert((t->state == TASK_PUSHED || t->state == TASK_REVOKING) == (t->lease != NULL));
    assert((t->state == TASK_WAITING) == (t->waiting > 0));
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < t->dep_count; i++) {
        const struct object *obj = object_at(o, t->deps[i].slot);
        assert(obj->live && obj->uses > 0);
        assert(!t->deps[i].waiting || (!t->deps[i].handle && obj->state == OBJECT_PENDING));
        waiting += t->deps[i].waiting;
    }
    assert(waiting == t->waiting);
}

static void check_class(const struct class *c)
{
    uint32_t queued = 0, leases = 0;
    for (const struct bucket *b = c->buckets; b; b = b->next)
        list_each(it, &b->tasks) {
            assert(list_entry(it, struct task, in_queue)->state == TASK_QUEUED);
            queued++;
        }
    list_each(it, &c->leases) {
        const struct lease *l = list_entry(it, struct lease, in_class);
        uint32_t in_flight = 0, bytes = 0;
        list_each(at, &l->pushed) {
            const struct task *t = list_entry(at, struct task, in_queue);
            assert(t->lease == l);
            in_flight++;
            bytes += t->bytes;
        }
        assert(in_flight == l->in_flight && bytes == l->bytes);
        leases++;
    }
    assert(queued == c->queued && leases == c->lease_count);
}

void owner_check(const struct owner *o)
{
    uint32_t tasks = 0, objects = 0;
    assert(!o->settling && !o->dying && !o->any_dirty);
    list_each(it, &o->tasks) {
        check_task(o, list_entry(it, struct task, in_all));
        tasks++;
    }
    assert(tasks == o->stats.tasks);
    for (uint32_t i = 0; i < o->class_count; i++)
        check_class(o->classes[i]);
    for (uint32_t slot = 0; slot < o->chunk_count * CHUNK_OBJECTS; slot++) {
        const struct object *obj = object_at(o, slot);
        if (!obj->live)
            continue;
        objects++;
        bool held = obj->local || obj->uses || borrow_active(obj);
        bool first = obj->task && obj->id.index == 0 && obj->task->results_live > 1;
        assert(held || first);      /* none kept that nothing holds */
        assert(!obj->dependents || obj->state == OBJECT_PENDING);
    }
    assert(objects == o->stats.objects);
}
