/* node.c - see node.h for the contract, node_internal.h for the parts.
 *
 * Assembly: makes the machine, gives each message to the part that it is for,
 * keeps time, and checks everything.
 */
#include "core/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void node_send(struct node *n, struct addr to, const struct msg *msg)
{
    n->ops->send(n->io, to, msg);
}

/* Every entry point ends here. */
void node_settle(struct node *n)
{
    while (n->dirty) {
        n->dirty = false;
        lending_pass(n, false);
    }
}

/* ---- the store's effects ------------------------------------------------------------ */

static void on_granted(void *io, struct addr proc, const struct extent_grant *grant)
{
    struct msg m = {.kind = MSG_EXTENT_GRANT};
    m.u.extent_grant = (struct msg_extent_grant){grant->request, grant->extent, grant->gen,
                                                 grant->offset, grant->bytes};
    node_send(io, proc, &m);
}

static void on_refused(void *io, struct addr proc, const struct extent_refusal *r)
{
    char why[256];
    snprintf(why, sizeof why, "%s: of %" PRIu64 " bytes %" PRIu64 " are free, %" PRIu64 " of them in one piece",
             covey_strerror(r->status), r->store_bytes, r->free_bytes, r->largest_bytes);
    struct msg m = {.kind = MSG_EXTENT_REFUSED};
    m.u.extent_refused = (struct msg_extent_refused){
        .request = r->request, .status = r->status, .store_bytes = r->store_bytes,
        .free_bytes = r->free_bytes, .largest_bytes = r->largest_bytes,
        .held_extents = r->held_extents, .held_bytes = r->held_bytes,
        .live_objects = r->live_objects, .live_bytes = r->live_bytes, .why = span_str(why),
    };
    node_send(io, proc, &m);
}

static void on_populate(void *io, uint32_t first_block, uint32_t blocks)
{
    struct node *n = io;
    n->ops->extents.populate(n->io, first_block, blocks);
}

static void on_publish(void *io, uint32_t block, uint64_t gen)
{
    struct node *n = io;
    n->ops->extents.publish(n->io, block, gen);
}

static bool on_header(void *io, uint64_t offset, struct object_header *out)
{
    struct node *n = io;
    return n->ops->extents.header(n->io, offset, out);
}

static void on_sealed(void *io, struct oid id, const struct place *place)
{
    death_found(io, id, place);
}

static uint64_t on_budget(void *io)
{
    struct node *n = io;
    return n->ops->extents.budget(n->io);
}

/* ---- life ------------------------------------------------------------------------------- */

covey_status node_new(struct node **out, const struct node_config *config,
                      const struct node_ops *ops, void *io)
{
    assert(config->device_count <= NODE_DEVICES_MAX);
    assert(config->total.gpu_milli == (int64_t)config->device_count * DEVICE_MILLI);
    if (!resources_valid(&config->total))
        return COVEY_EINVAL;
    struct node *n = calloc(1, sizeof *n);
    if (!n)
        return COVEY_ENOMEM;
    n->config = *config;
    n->ops = ops;
    n->io = io;
    n->free = n->blocked = n->reserved = config->total;
    resources_sub(&n->blocked, &config->total);
    resources_sub(&n->reserved, &config->total);
    n->recall_at = n->retry_at = NEVER_NS;
    devices_init(&n->devices, config->device_count);
    map_init(&n->procs, sizeof(uint32_t));
    map_init(&n->packages, sizeof(struct hash128));
    map_init(&n->adopted, sizeof(struct key_oid));
    waiting_init(n);
    struct list *lists[] = {&n->queued, &n->starting, &n->idle, &n->ending, &n->active,
                            &n->resumes, &n->dead, &n->queries};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        list_init(lists[i]);
    n->extents_ops = (struct extents_ops){on_granted, on_refused, on_populate, on_publish,
                                          on_header, on_sealed, on_budget};
    covey_status status = extents_new(&n->extents, config->self.node, config->arena_bytes,
                                      &n->extents_ops, n);
    if (status != COVEY_OK) {
        free(n);
        return status;
    }
    *out = n;
    return COVEY_OK;
}

static void free_proc(struct node *n, struct proc *p)
{
    struct want *w;
    p->lease_count = 0;         /* the workers go, too */
    for (uint32_t i = 0; (w = map_next(&p->wants, &i)) != NULL;) {
        w->leases = 0;
        want_free(n, w);
    }
    package_leave(n, p);
    if (p->package) {
        p->package->workers--;
        package_unuse(n, p->package);
    }
    proc_free(n, p);
}

void node_free(struct node **node)
{
    struct node *n = *node;
    *node = NULL;
    if (!n)
        return;
    struct proc *p;
    for (uint32_t i = 0; (p = map_next(&n->procs, &i)) != NULL;)
        adopt_let_go(n, p);
    adopt_fini(n);
    list_fini(n);
    for (uint32_t i = 0; (p = map_next(&n->procs, &i)) != NULL;)
        free_proc(n, p);
    assert(map_count(&n->packages) == 0);
    map_fini(&n->procs);
    map_fini(&n->packages);
    waiting_fini(n);
    finished_free(n);
    extents_free(&n->extents);
    free(n->kept);
    free(n);
}

/* ---- messages ---------------------------------------------------------------------------- */

static void free_objects(struct node *n, const struct msg_object_free *msg)
{
    for (uint32_t i = 0; i < msg->ordinal_count; i++)
        extents_object_free(n->extents, msg->extent, msg->gen, msg->ordinals[i]);
}

/* What only a process of this node may say.  False: it is none of these. */
static bool proc_msg(struct node *n, struct proc *p, const struct msg *m)
{
    switch (m->kind) {
    case MSG_PACKAGE: package_msg(n, p, &m->u.package); return true;
    case MSG_CLASS: want_class(n, p, &m->u.class_); return true;
    case MSG_LEASE_WANT: want_level(n, p, &m->u.lease_want); return true;
    case MSG_LEASE_RETURN: lending_return(n, p, m->u.lease_return.lease); return true;
    case MSG_WORKER_KILL: lending_kill(n, p, m->u.worker_kill.lease, m->u.worker_kill.seq); return true;
    case MSG_BLOCKED: lending_blocked(n, p, m->u.blocked.version); return true;
    case MSG_UNBLOCKED: lending_unblocked(n, p, m->u.unblocked.version); return true;
    case MSG_TASK_DONE: finished_add(n, p, &m->u.task_done); return true;
    case MSG_EXTENT_WANT:
        extents_want(n->extents, p->addr, m->u.extent_want.request, m->u.extent_want.bytes);
        return true;
    case MSG_EXTENT_CLOSE:
        extents_close(n->extents, p->addr, m->u.extent_close.extent, m->u.extent_close.gen,
                      m->u.extent_close.sealed, m->u.extent_close.freed);
        return true;
    case MSG_CENSUS: death_census(n, p, &m->u.census); return true;
    case MSG_ROWS: list_rows(n, p, &m->u.rows); return true;
    default: return false;
    }
}

void node_msg(struct node *n, struct addr from, const struct msg *m, int64_t now)
{
    struct proc *p = proc_of(n, from);
    n->now = now;
    bool local = from.node == n->config.self.node && from.proc != 0;
    if (local && !p)
        return;                 /* of a process that died meanwhile, or never was one */
    if (!p || !proc_msg(n, p, m)) {
        switch (m->kind) {
        case MSG_OBJECT_FREE: free_objects(n, &m->u.object_free); break;
        case MSG_OBJECT_WAIT: adopt_wait(n, from, m->u.object_wait.id); break;
        case MSG_BORROW_ADD: adopt_borrow_add(n, from, &m->u.borrow_add); break;
        case MSG_BORROW_DROP: adopt_borrow_drop(n, &m->u.borrow_drop); break;
        case MSG_KEEP_ANSWER: death_keep_answer(n, from, &m->u.keep_answer); break;
        case MSG_QUERY: list_query(n, from, &m->u.query); break;
        case MSG_VIEW:
            if (addr_is_head(from))
                list_view(n, &m->u.view);
            break;
        case MSG_SHUTDOWN:
            if (!p || !proc_is_worker(p))   /* no task ends the cluster */
                n->ops->shutdown(n->io, m->u.shutdown.grace_ms);
            break;
        default: break;         /* not for a node: a peer of another mind, and harmless */
        }
    }
    node_settle(n);
}

void node_view(struct node *n, const struct msg_view *view, int64_t now)
{
    n->now = now;
    list_view(n, view);
}

void node_populated(struct node *n, uint32_t first_block, uint32_t blocks, bool ok, int64_t now)
{
    n->now = now;
    extents_populated(n->extents, first_block, blocks, ok);
    node_settle(n);
}

/* ---- time ----------------------------------------------------------------------------------- */

void node_tick(struct node *n, int64_t now)
{
    n->now = now;
    procs_tick(n);
    list_tick(n);
    if (n->retry_at <= now) {
        n->retry_at = NEVER_NS;
        n->dirty = true;
        death_tick(n);
    }
    node_settle(n);
    if (n->recall_at <= now)
        lending_pass(n, true);
    node_settle(n);
}

int64_t node_deadline(const struct node *n)
{
    int64_t at = procs_deadline(n);
    node_by(&at, list_deadline(n));
    node_by(&at, n->retry_at);
    node_by(&at, n->recall_at);
    return at;
}

/* ---- views ------------------------------------------------------------------------------------ */

bool node_worker_owner(const struct node *n, uint32_t proc, struct addr *owner)
{
    const struct proc *p = proc_find(n, proc);
    if (!p || p->lease.state != LEASE_HELD)
        return false;
    *owner = p->lease.want->owner->addr;
    return true;
}

struct node_stats node_stats(const struct node *n)
{
    return (struct node_stats){
        .clients = n->client_count,
        .workers = n->worker_count,
        .idle = n->idle_count,
        .leases = n->granted,
        .wants = n->unmet < UINT32_MAX ? (uint32_t)n->unmet : UINT32_MAX,
        .free = n->free,
        .tasks_finished = n->tasks_finished,
        .tasks_failed = n->tasks_failed,
        .history_dropped = finished_dropped(n),
    };
}

struct extents_stats node_store_stats(const struct node *n)
{
    return extents_stats(n->extents);
}

/* ---- invariants ----------------------------------------------------------------------------------- */

struct sums {
    struct resources lent, blocked;
    struct devices devices;
    uint32_t states[PROC_STATE_COUNT], workers, clients, tools, held, resumes;
    uint64_t unmet;
    uint32_t cpuless, waiting_owners;
};

static void check_lease(const struct node *n, const struct proc *p, struct sums *s)
{
    const struct lease *l = &p->lease;
    struct resources taken = l->need, rest = l->need;
    assert(p->state == PROC_LEASED || p->state == PROC_ENDING || p->state == PROC_STARTING ||
           p->state == PROC_QUEUED);
    assert((l->state == LEASE_PENDING) == (p->state == PROC_STARTING || p->state == PROC_QUEUED));
    assert((l->state == LEASE_HELD) == (p->state == PROC_LEASED));
    assert((l->state == LEASE_ORPHAN) == (l->want == NULL));
    assert((uint32_t)(l->id >> 32) == p->addr.proc);
    assert(p->devices == l->devices.mask);
    if (l->cpu != CPU_TAKEN) {
        taken.cpu_milli = rest.cpu_milli = 0;
        resources_add(&s->blocked, &rest);
    }
    assert((l->cpu == CPU_WANTED && l->want) == !list_empty(&p->in_resumes));
    resources_add(&s->lent, &taken);
    devices_take(&s->devices, l->devices);
    s->held += l->state == LEASE_HELD;
    s->resumes += !list_empty(&p->in_resumes);
    assert(!l->want || proc_find(n, l->want->owner->addr.proc) == l->want->owner);
}

static void check_owner(const struct node *n, const struct proc *p, struct sums *s)
{
    uint32_t leases = 0, waiting = 0, by_want = 0, pending = 0;
    const struct want *w;
    list_each(it, &p->leases) {
        const struct lease *l = list_entry(it, struct lease, in_owner);
        assert(l->want && l->want->owner == p);
        pending += l->state == LEASE_PENDING;
        leases++;
    }
    for (uint32_t i = 0; (w = map_next(&p->wants, &i)) != NULL;) {
        assert(want_waits(w) == (w->counted > 0));
        assert(want_waits(w) == (w->in_owner.at > 0));
        assert(list_empty(&w->aside));
        assert(w->pending <= w->leases);
        assert(package_find(n, w->package->what.hash) == w->package);
        assert(!w->package->broken || want_unmet(w) == 0 || w->told == COVEY_ESTART || !w->possible);
        s->unmet += w->counted;
        s->cpuless += want_waits(w) && w->need.cpu_milli == 0;
        by_want += w->leases;
        pending -= w->pending;
        waiting += want_waits(w);
    }
    assert(leases == p->lease_count);
    assert(by_want == leases);
    assert(pending == 0);
    assert(waiting == p->waiting_count);
    assert(waiting == p->waiting.count);
    assert((waiting > 0) == (p->in_waiting.at > 0));
    assert((leases > 0 || waiting > 0) == !list_empty(&p->active));
    s->waiting_owners += waiting > 0;
}

static void check_sums(const struct node *n, const struct sums *s)
{
    struct resources all = n->free;
    resources_add(&all, &s->lent);
    assert(resources_equal(&all, &n->config.total));
    assert(resources_equal(&s->blocked, &n->blocked));
    assert(memcmp(&s->devices, &n->devices, sizeof s->devices) == 0);
    assert(n->worker_count == s->workers - s->states[PROC_QUEUED]);
    assert(n->queued_count == s->states[PROC_QUEUED]);
    assert(n->ending_count == s->states[PROC_ENDING]);
    assert(n->idle_count == s->states[PROC_IDLE]);
    assert(n->client_count == s->clients);
    assert(n->tool_count == s->tools);
    assert(n->granted == s->held);
    assert(n->unmet == s->unmet);
    assert(n->waiting_cpuless == s->cpuless);
    assert(n->waiting.count == s->waiting_owners);
    assert((s->resumes > 0) == !list_empty(&n->resumes));
}

static void check_deep(const struct node *n)
{
    struct sums s = {.lent = n->config.total};
    struct proc *p;
    resources_sub(&s.lent, &n->config.total);
    s.blocked = s.lent;
    devices_init(&s.devices, n->config.device_count);
    for (uint32_t i = 0; (p = map_next(&n->procs, &i)) != NULL;) {
        if (p->state == PROC_DEAD) {
            assert(!list_empty(&p->dead));
            continue;
        }
        s.states[p->state]++;
        s.workers += proc_is_worker(p);
        s.clients += p->role == ROLE_CLIENT;
        s.tools += p->state == PROC_PRESENT && p->role != ROLE_CLIENT;
        if (p->lease.state != LEASE_NONE)
            check_lease(n, p, &s);
        check_owner(n, p, &s);
    }
    check_sums(n, &s);
    const struct adopted *a;
    for (uint32_t i = 0; (a = map_next(&n->adopted, &i)) != NULL;) {
        assert(!list_empty(&a->holders));
        assert(a->place.node != 0 || proc_dead(n, a->id));
    }
    extents_check(n->extents);
}

void node_check(const struct node *n, bool deep)
{
    assert(!n->dirty);
    assert(n->worker_count <= n->config.processes_max + n->beyond_cap);
    assert(n->queued_count == 0 || n->worker_count >= n->config.processes_max);
    /* Each of them has a slot to come. */
    assert(n->queued_count == 0 ||
           n->worker_count + n->queued_count <= n->config.processes_max + n->ending_count);
    assert(n->free.cpu_milli >= 0);
    assert(n->free.cpu_milli <= n->config.total.cpu_milli);
    assert(n->free.gpu_milli >= 0);
    assert(n->free.memory_bytes >= 0);
    assert(n->free.gpu_memory_bytes >= 0);
    assert(n->waiting.count <= n->active_count);
    if (deep)
        check_deep(n);
}
