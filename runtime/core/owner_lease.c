/* owner_lease.c - classes and leases: ask, push, take back, give back.
 *
 * Wanting.  The level told to the node is the leases held plus the queued
 * tasks rounded up to a power of two, so a burst of n submits costs log n
 * messages.  It is lowered to what is held when the queue is empty.
 *
 * Pushing.  The window of a lease is what OWNER_WINDOW_NS holds of tasks of
 * the class's smoothed run time, at least one: short tasks queue at the worker
 * so that it never idles; a task longer than the window never waits behind
 * another.  The lease with the fewest in flight gets the next task.
 *
 * Taking back.  When the queue is empty and one lease idles while another has
 * had two or more tasks for OWNER_REBALANCE without progress, half of those
 * are revoked.  Behind a task that has run for OWNER_STALLED nothing waits: all
 * others are revoked and nothing is pushed there until it ends; they are wanted
 * leases for instead.  A task is REVOKING until the worker lists it as returned; one
 * that is not listed has started.
 */
#include "core/owner_internal.h"

#include <stdlib.h>

/* ---- classes ------------------------------------------------------------------ */

static bool need_eq(const struct resources *a, const struct resources *b)
{
    if (a->cpu_milli != b->cpu_milli || a->gpu_milli != b->gpu_milli || a->memory_bytes != b->memory_bytes ||
        a->gpu_memory_bytes != b->gpu_memory_bytes || a->custom_count != b->custom_count)
        return false;
    for (uint32_t i = 0; i < a->custom_count; i++)
        if (a->custom[i].milli != b->custom[i].milli || strcmp(a->custom[i].name, b->custom[i].name) != 0)
            return false;
    return true;
}

covey_status owner_class(struct owner *o, struct hash128 package, const struct resources *need, uint32_t *class_id)
{
    for (uint32_t i = 0; i < o->class_count; i++) {
        if (need_eq(&o->classes[i]->need, need) && hash_eq(o->classes[i]->package, package)) {
            *class_id = i;
            return COVEY_OK;
        }
    }
    if (o->class_count == OWNER_CLASSES_MAX)
        return COVEY_ELIMIT;
    struct class *c = calloc(1, sizeof(*c));
    if (!c)
        return COVEY_ENOMEM;
    c->id = o->class_count;
    c->package = package;
    c->need = *need;
    list_init(&c->leases);
    o->classes[o->class_count++] = c;
    *class_id = c->id;
    return COVEY_OK;
}

static void lease_free(struct owner *o, struct lease *l)
{
    assert(list_empty(&l->pushed));
    map_del(&o->leases, &l->id);
    list_del(&l->in_class);
    l->class->lease_count--;
    o->stats.leases--;
    free(l->dead_why);
    free(l);
}

void class_free(struct class *c)
{
    while (c->buckets) {
        struct bucket *b = c->buckets;
        c->buckets = b->next;
        free(b);
    }
    free(c);
}

void class_dirty(struct owner *o, struct class *c)
{
    c->dirty = true;
    o->any_dirty = true;
}

static struct bucket *bucket_of(struct class *c, int32_t priority)
{
    struct bucket **at = &c->buckets;
    while (*at && (*at)->priority > priority)
        at = &(*at)->next;
    if (*at && (*at)->priority == priority)
        return *at;
    struct bucket *b = malloc(sizeof(*b));
    if (!b)                         /* rather out of order than lost */
        return *at ? *at : c->buckets;
    b->priority = priority;
    b->next = *at;
    list_init(&b->tasks);
    *at = b;
    return b;
}

void class_enqueue(struct owner *o, struct task *t, bool front)
{
    struct bucket *b = bucket_of(t->class, t->priority);
    if (!b) {                       /* no memory for the very first one */
        list_init(&t->in_queue);
        t->class->queued++;         /* task_fail() takes it off again */
        task_fail(o, t, failure_share(&failure_no_memory), 0);
        return;
    }
    if (front)
        list_push_front(&b->tasks, &t->in_queue);
    else
        list_push(&b->tasks, &t->in_queue);
    t->class->queued++;
    class_dirty(o, t->class);
}

static void take(struct task *t)
{
    list_del(&t->in_queue);
    assert(t->class->queued > 0);
    t->class->queued--;
}

/* Taken out of the queue for another reason than a push: the want follows. */
void class_remove(struct owner *o, struct task *t)
{
    take(t);
    class_dirty(o, t->class);
}

static struct task *class_first(struct class *c)
{
    for (struct bucket *b = c->buckets; b; b = b->next)
        if (!list_empty(&b->tasks))
            return list_entry(b->tasks.next, struct task, in_queue);
    return NULL;
}

/* ---- wanting -------------------------------------------------------------------- */

static uint32_t pow2_ceil(uint32_t n)
{
    uint32_t p = 1;
    while (p < n && p < (1u << 20))
        p *= 2;
    return p;
}

static void tell_class(struct owner *o, struct class *c)
{
    if (c->told)
        return;
    struct msg m = {.kind = MSG_CLASS};
    m.u.class_ = (struct msg_class){.class_id = c->id, .package = c->package, .need = c->need};
    o->ops->send(o->io, o->node, &m);
    c->told = true;
}

static void send_want(struct owner *o, struct class *c, uint32_t want)
{
    tell_class(o, c);
    struct task *first = class_first(c);
    struct msg m = {.kind = MSG_LEASE_WANT};
    m.u.lease_want = (struct msg_lease_want){.class_id = c->id, .want = want, .version = ++c->want_version,
                                             .priority = first ? first->priority : 0};
    o->ops->send(o->io, o->node, &m);
    c->want_sent = want;
}

static void update_want(struct owner *o, struct class *c)
{
    uint32_t held = c->lease_count;
    if (c->queued == 0) {
        if (c->want_sent > held)
            send_want(o, c, held);
        return;
    }
    uint32_t want = held + pow2_ceil(c->queued);
    if (c->want_sent <= held || want > c->want_sent)
        send_want(o, c, want);
}

/* ---- pushing --------------------------------------------------------------------- */

void lease_measure(struct class *c, int64_t run_ns)
{
    if (run_ns < 1)
        run_ns = 1;
    if (c->run_ns == 0)
        c->run_ns = run_ns;
    else if (run_ns > 4 * c->run_ns)
        c->run_ns = run_ns / 2;     /* tasks grew long: do not queue them for long */
    else
        c->run_ns += (run_ns - c->run_ns) / 8;
    if (c->run_ns < 1)
        c->run_ns = 1;
}

static uint32_t window(const struct class *c)
{
    if (c->run_ns == 0)
        return 1;
    int64_t n = OWNER_WINDOW_NS / c->run_ns;
    return n < 1 ? 1 : n > OWNER_WINDOW_MAX ? OWNER_WINDOW_MAX : (uint32_t)n;
}

static bool usable(const struct lease *l)
{
    return !l->recalled && !l->blocked && !l->full && l->dead_at == NEVER_NS;
}

/* What runs there has shown to be long. */
static bool stalled(const struct lease *l, int64_t now)
{
    return l->in_flight > 0 && now >= l->progress_at + OWNER_STALLED;
}

static struct lease *best_lease(struct class *c, int64_t now)
{
    struct lease *best = NULL;
    uint32_t room = window(c);
    list_each(it, &c->leases) {
        struct lease *l = list_entry(it, struct lease, in_class);
        if (!usable(l) || stalled(l, now) || l->in_flight >= room || (l->in_flight && l->bytes >= OWNER_WINDOW_BYTES))
            continue;
        if (!best || l->in_flight < best->in_flight)
            best = l;
    }
    return best;
}

static void tell_function(struct owner *o, struct lease *l, uint32_t fn_id)
{
    if (fn_id / 8 < sizeof(l->known)) {
        if (l->known[fn_id / 8] & (1u << (fn_id % 8)))
            return;
        l->known[fn_id / 8] |= (uint8_t)(1u << (fn_id % 8));
    }
    struct msg m = {.kind = MSG_FUNCTION};
    m.u.function = (struct msg_function){.fn_id = fn_id, .name = span_str(o->functions[fn_id].name),
                                         .signature = span_str(o->functions[fn_id].signature)};
    o->ops->send(o->io, l->worker, &m);
}

static void push(struct owner *o, struct lease *l, struct task *t, int64_t now)
{
    if (!task_deps_ready(o, t, now))
        return;
    struct msg m = {.kind = MSG_TASK};
    m.u.task = (struct msg_task){.lease = l->id, .epoch = l->epoch};
    take(t);
    covey_status status = task_deps_fill(o, t, &m.u.task);
    if (status != COVEY_OK) {
        t->state = TASK_QUEUED;
        list_init(&t->in_queue);
        t->class->queued++;         /* task_fail() takes it off again */
        task_fail(o, t, status == COVEY_ENOMEM ? failure_share(&failure_no_memory)
                        : failure_new(status, 0, 0, "task \"%s\": its %u refs and their values do not fit into one message "
                                      "of %u bytes; put large values into the store, or group the refs in stages",
                                      t->name, t->dep_count, MSG_BYTES_MAX), now);
        return;
    }
    tell_function(o, l, t->fn_id);
    task_move(t, TASK_PUSHED);
    t->attempt++;
    t->lease = l;
    task_posts_begin(t);
    list_push(&l->pushed, &t->in_queue);
    if (l->in_flight++ == 0)
        l->progress_at = now;
    else if (l->in_flight == 2)
        owner_lease_by(o, l->progress_at + OWNER_STALLED);
    l->bytes += t->bytes;
    task_fill(o, t, &m.u.task, now);
    o->ops->send(o->io, l->worker, &m);
}

/* First the lower want, so that the node does not grant it right back. */
static void give_back(struct owner *o, struct lease *l)
{
    struct class *c = l->class;
    if (c->queued == 0 && c->want_sent > c->lease_count - 1)
        send_want(o, c, c->lease_count - 1);
    struct msg m = {.kind = MSG_LEASE_RETURN};
    m.u.lease_return = (struct msg_lease_return){l->id};
    o->ops->send(o->io, o->node, &m);
    lease_free(o, l);
}

static void want_rebalance(struct owner *o, struct class *c, int64_t now)
{
    list_each(it, &c->leases) {
        struct lease *l = list_entry(it, struct lease, in_class);
        if (l->in_flight >= 2 && !l->revoking && l->dead_at == NEVER_NS)
            owner_lease_by(o, l->progress_at + OWNER_REBALANCE > now ? l->progress_at + OWNER_REBALANCE : now);
    }
}

void class_pump(struct owner *o, struct class *c, int64_t now)
{
    c->dirty = false;
    while (c->queued > 0) {
        struct lease *l = best_lease(c, now);
        if (!l)
            break;
        push(o, l, class_first(c), now);
    }
    bool idles = false;
    list_each(it, &c->leases) {
        struct lease *l = list_entry(it, struct lease, in_class);
        if (l->in_flight > 0 || l->dead_at != NEVER_NS)
            continue;
        if (l->recalled || o->leaving)
            give_back(o, l);
        else
            idles = true;
    }
    if (idles && c->lease_count > 1)
        want_rebalance(o, c, now);
    update_want(o, c);
}

/* ---- taking back -------------------------------------------------------------------- */

static void revoke(struct owner *o, struct lease *l, uint32_t count)
{
    uint64_t seqs[OWNER_WINDOW_MAX];
    uint32_t n = 0;
    for (struct list *it = l->pushed.prev; it != &l->pushed && n < count && n < OWNER_WINDOW_MAX; it = it->prev) {
        struct task *t = list_entry(it, struct task, in_queue);
        if (t->state != TASK_PUSHED)
            continue;
        task_move(t, TASK_REVOKING);
        seqs[n++] = t->seq;
    }
    if (n == 0)
        return;
    l->revoking = true;
    struct msg m = {.kind = MSG_REVOKE};
    m.u.revoke = (struct msg_revoke){.lease = l->id, .seq_count = n, .seqs = seqs};
    o->ops->send(o->io, l->worker, &m);
}

/* A lease without tasks lingers, or goes back when others wait: class_pump(). */
void lease_take_off(struct owner *o, struct task *t, int64_t now)
{
    struct lease *l = t->lease;
    assert(l && l->in_flight > 0);
    list_del(&t->in_queue);
    t->lease = NULL;
    l->in_flight--;
    l->bytes -= t->bytes;
    l->progress_at = l->idle_since = now;
    if (l->in_flight == 0)
        owner_lease_by(o, now + OWNER_LINGER);
    class_dirty(o, l->class);
}

static void on_revoked(struct owner *o, struct addr from, const struct msg_revoked *m, int64_t now)
{
    struct lease *l = map_get(&o->leases, &m->lease);
    if (!l || !addr_eq(l->worker, from))
        return;
    l->blocked = m->blocked;
    l->revoking = false;
    int64_t progress_at = l->progress_at;   /* what comes back unstarted is no progress */
    /* From the last to the first, each to the front: the order stays. */
    for (uint32_t i = m->seq_count; i-- > 0;) {
        struct task *t = task_of_seq(o, m->seqs[i]);
        if (t && t->lease == l)
            task_returned(o, t, now);
    }
    l->progress_at = progress_at;
    list_each(it, &l->pushed) {
        struct task *t = list_entry(it, struct task, in_queue);
        if (t->state == TASK_REVOKING)
            task_move(t, TASK_PUSHED);
    }
    class_dirty(o, l->class);
}

/* ---- what the node says ---------------------------------------------------------------- */

static void set_capped(struct owner *o, struct class *c, bool capped)
{
    o->capped += capped - c->capped;
    c->capped = capped;
}

static void on_grant(struct owner *o, const struct msg_lease_grant *m, int64_t now)
{
    if (m->class_id >= o->class_count || map_get(&o->leases, &m->lease))
        return;
    struct class *c = o->classes[m->class_id];
    struct lease *l = calloc(1, sizeof(*l));
    if (l) {
        *l = (struct lease){.class = c, .id = m->lease, .epoch = m->epoch, .worker = m->worker,
                            .idle_since = now, .progress_at = now, .dead_at = NEVER_NS};
        list_init(&l->pushed);
    }
    if (!l || o->leaving || !map_put(&o->leases, &l->id, l)) {
        free(l);
        struct msg back = {.kind = MSG_LEASE_RETURN};
        back.u.lease_return = (struct msg_lease_return){m->lease};
        o->ops->send(o->io, o->node, &back);
        return;
    }
    list_push(&c->leases, &l->in_class);
    c->lease_count++;
    set_capped(o, c, false);
    o->stats.leases++;
    owner_lease_by(o, now + OWNER_LINGER);
    class_dirty(o, c);
}

static void on_recall(struct owner *o, uint64_t id)
{
    struct lease *l = map_get(&o->leases, &id);
    if (!l || l->recalled)
        return;
    l->recalled = true;
    if (l->in_flight > 1 && !l->revoking)
        revoke(o, l, l->in_flight);
    class_dirty(o, l->class);
}

/* Nothing will ever run it: every queued task of the class fails. */
static void fail_queued(struct owner *o, struct class *c, const struct msg_lease_stall *m, int64_t now)
{
    struct failure *f = failure_new((covey_status)m->status, 0, 0, "%s: %.*s", covey_strerror((covey_status)m->status),
                                    (int)m->why.len, m->why.len ? (const char *)m->why.data : "");
    while (c->queued > 0)
        task_fail(o, class_first(c), failure_share(f), now);
    failure_drop(f);
}

static void on_stall(struct owner *o, const struct msg_lease_stall *m, int64_t now)
{
    if (m->class_id >= o->class_count)
        return;
    struct class *c = o->classes[m->class_id];
    if (m->status == COVEY_ELIMIT) {
        set_capped(o, c, true);
    } else if (m->status == COVEY_EAGAIN) {
        set_capped(o, c, false);
    } else {
        fail_queued(o, c, m, now);
        send_want(o, c, c->lease_count);    /* so that what is queued next is asked for anew */
    }
    class_dirty(o, c);
}

static void on_worker_died(struct owner *o, const struct msg_worker_died *m, int64_t now)
{
    struct lease *l = map_get(&o->leases, &m->lease);
    if (!l || l->dead_at != NEVER_NS)
        return;
    l->dead_at = now + OWNER_DEATH_GRACE;
    l->dead_running = m->running_seq;
    l->dead_why = strndup(m->why.len ? (const char *)m->why.data : "", m->why.len);
    owner_lease_by(o, l->dead_at);
}

/* The replies that were on their way have been taken.  The task that ran has
 * lost an attempt; those behind it have not started. */
void lease_died(struct owner *o, struct lease *l, int64_t now)
{
    struct task *blamed = NULL;
    list_each(it, &l->pushed) {
        struct task *t = list_entry(it, struct task, in_queue);
        if (!blamed || t->seq == l->dead_running)
            blamed = t;
    }
    while (!list_empty(&l->pushed)) {
        struct task *t = list_entry(l->pushed.prev, struct task, in_queue);
        if (t != blamed) {
            task_returned(o, t, now);
            continue;
        }
        const char *why = l->dead_why ? l->dead_why : "";
        struct failure *f = t->cancel == COVEY_OK
            ? failure_new(COVEY_EWORKER, 0, 0, "task \"%s\" (t%u.%llu, attempt %u of %u): worker w%u of node %u died: %s",
                          t->name, o->self.proc, (unsigned long long)(t->seq >> SLOT_BITS), t->attempt,
                          t->attempts_max, l->worker.proc, l->worker.node, why)
            : failure_new(t->cancel, 0, 0, "task \"%s\" (t%u.%llu) was %s; its grace passed and it was killed",
                          t->name, o->self.proc, (unsigned long long)(t->seq >> SLOT_BITS),
                          t->cancel == COVEY_EDEADLINE ? "ended at its deadline" : "cancelled");
        task_attempt_failed(o, t, COVEY_RETRY_DEATH, f, now);
    }
    struct class *c = l->class;
    lease_free(o, l);
    class_dirty(o, c);
}

bool lease_msg(struct owner *o, struct addr from, const struct msg *m, int64_t now)
{
    switch (m->kind) {
    case MSG_LEASE_GRANT: on_grant(o, &m->u.lease_grant, now); return true;
    case MSG_LEASE_STALL: on_stall(o, &m->u.lease_stall, now); return true;
    case MSG_LEASE_RECALL: on_recall(o, m->u.lease_recall.lease); return true;
    case MSG_WORKER_DIED: on_worker_died(o, &m->u.worker_died, now); return true;
    case MSG_REVOKED: on_revoked(o, from, &m->u.revoked, now); return true;
    default: return false;
    }
}

/* ---- time ---------------------------------------------------------------------------------- */

static bool has_idle_beside(const struct class *c, const struct lease *loaded)
{
    list_each(it, &c->leases) {
        const struct lease *l = list_entry(it, struct lease, in_class);
        if (l != loaded && l->in_flight == 0 && usable(l))
            return true;
    }
    return false;
}

static void lease_turn(struct owner *o, struct lease *l, int64_t now)
{
    if (l->dead_at != NEVER_NS) {
        if (now >= l->dead_at)
            lease_died(o, l, now);
        else
            owner_lease_by(o, l->dead_at);
    } else if (l->in_flight == 0) {
        if (now >= l->idle_since + OWNER_LINGER)
            give_back(o, l);
        else
            owner_lease_by(o, l->idle_since + OWNER_LINGER);
    } else if (l->in_flight >= 2 && !l->revoking) {
        bool beside = l->class->queued == 0 && has_idle_beside(l->class, l);
        int64_t at = l->progress_at + (beside ? OWNER_REBALANCE : OWNER_STALLED);
        if (now < at)
            owner_lease_by(o, at);
        else
            revoke(o, l, stalled(l, now) ? l->in_flight : l->in_flight / 2);
    }
}

void lease_tick(struct owner *o, int64_t now)
{
    if (now < o->lease_at)
        return;
    o->lease_at = NEVER_NS;
    for (uint32_t i = 0; i < o->class_count; i++) {
        list_each(it, &o->classes[i]->leases)
            lease_turn(o, list_entry(it, struct lease, in_class), now);
    }
}

void lease_yield(struct owner *o)
{
    for (uint32_t i = 0; i < o->class_count; i++)
        list_each(it, &o->classes[i]->leases) {
            struct lease *l = list_entry(it, struct lease, in_class);
            if (l->in_flight == 0 && l->dead_at == NEVER_NS)
                give_back(o, l);
        }
}

void lease_leave(struct owner *o)
{
    for (uint32_t i = 0; i < o->class_count; i++) {
        struct class *c = o->classes[i];
        list_each(it, &c->leases) {
            struct lease *l = list_entry(it, struct lease, in_class);
            if (l->in_flight == 0 && l->dead_at == NEVER_NS)
                give_back(o, l);
            else
                l->recalled = true;
        }
        if (c->want_sent > 0)
            send_want(o, c, 0);
    }
}
