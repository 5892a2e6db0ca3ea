/* node_lease.c - wants, grants, returns, blocking, and the scheduling pass.
 *
 * A lease charges the node from the moment that its worker is chosen: one that
 * has to be started first, or to wait for a slot, is PENDING until the hello.
 *
 *             chosen          hello           LEASE_RETURN, death of the worker
 *   (want) ----------> PENDING -----> HELD ---------------------> (none)
 *                         |             |  death of the owner
 *                         | not wanted  +------------------> ORPHAN --> (none)
 *                         +--> (none)                              death of the worker
 *
 * An orphan keeps its resources until its process has really gone: the next
 * user of a device must not meet the last one.
 *
 * When what is served.  A want is tried once when it comes (nothing that waits
 * fits at that moment, so nothing is overtaken unfairly), and in passes: one
 * after each event in which something became free, and a thorough one that
 * also recalls (node_recall.c).  A pass takes wants in order and stops when no
 * CPU is left and no want without a CPU waits.
 *
 * Overtaking.  A want that does not fit lets others by at first, so nothing
 * idles.  After NODE_PATIENCE what it needs is reserved against all wants
 * behind it, else small wants could starve a large one for ever.  Only while no
 * blocked lease holds what it lacks: such a lease may be waiting for one of the
 * wants behind.
 */
#include "core/node_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- classes --------------------------------------------------------------------- */

static void send_stall(struct node *n, struct addr to, uint32_t class_id, covey_status status,
                       const char *why)
{
    struct msg m = {.kind = MSG_LEASE_STALL};
    m.u.lease_stall = (struct msg_lease_stall){class_id, status, span_str(why)};
    node_send(n, to, &m);
}

void want_stall(struct node *n, struct want *w, covey_status status, const char *why)
{
    w->told = status;
    send_stall(n, w->owner->addr, w->class_id, status, why);
}

/* The process cap is not what stops it any more. */
static void unstall(struct node *n, struct want *w)
{
    if (w->told != COVEY_ELIMIT)
        return;
    w->told = COVEY_OK;
    send_stall(n, w->owner->addr, w->class_id, COVEY_EAGAIN, "");
}

static void stall_impossible(struct node *n, struct want *w)
{
    char why[256];
    if (!resources_short(&w->need, &n->config.total, why, sizeof why))
        snprintf(why, sizeof why, "no worker may run beside the others: the node's process limit is %u",
                 n->config.processes_max);
    want_stall(n, w, COVEY_EIMPOSSIBLE, why);
}

void want_class(struct node *n, struct proc *from, const struct msg_class *msg)
{
    struct package *package = package_find(n, msg->package);
    if (map_get(&from->wants, &msg->class_id) || map_count(&from->wants) >= NODE_WANTS_MAX)
        return;
    if (!package || !resources_valid(&msg->need))
        return;                 /* told with the first want for it */
    struct want *w = calloc(1, sizeof *w);
    if (!w || !waiting_reserve_want(from) || !map_put(&from->wants, &msg->class_id, w)) {
        free(w);
        return;
    }
    *w = (struct want){.class_id = msg->class_id, .owner = from, .package = package,
                       .need = msg->need, .lacking_since = NEVER_NS};
    w->possible = resources_lacking(&w->need, &n->config.total) == 0 && n->config.processes_max > 0;
    list_init(&w->aside);
    list_push(&package->wants, &w->in_package);
}

void want_free(struct node *n, struct want *w)
{
    assert(w->leases == 0);
    w->level = 0;
    waiting_update(n, w);
    map_del(&w->owner->wants, &w->class_id);
    list_del(&w->in_package);
    package_unuse(n, w->package);
    free(w);
}

/* ---- leases ------------------------------------------------------------------------ */

static struct proc *lease_worker(const struct proc *owner, struct node *n, uint64_t lease)
{
    struct proc *worker = proc_find(n, (uint32_t)(lease >> 32));
    if (!worker || worker->lease.id != lease || worker->lease.state != LEASE_HELD)
        return NULL;
    return worker->lease.want->owner == owner ? worker : NULL;
}

static void lend(struct node *n, struct want *w, struct proc *worker, struct device_set devices)
{
    assert(worker->lease.state == LEASE_NONE);
    assert(worker->devices == devices.mask);
    struct lease *l = &worker->lease;
    resources_sub(&n->free, &w->need);
    devices_take(&n->devices, devices);
    l->state = LEASE_PENDING;
    l->cpu = CPU_TAKEN;
    l->id = (uint64_t)worker->addr.proc << 32 | ++worker->lease_serial;
    l->want = w;
    l->need = w->need;
    l->devices = devices;
    l->granted_at = n->now;
    l->recalled = false;
    list_push(&w->owner->leases, &l->in_owner);
    w->owner->lease_count++;
    w->leases++;
    w->pending++;
    w->arrival = ++n->arrivals; /* back to the end of the line */
    unstall(n, w);
    waiting_update(n, w);
}

void lending_grant(struct node *n, struct proc *worker)
{
    struct lease *l = &worker->lease;
    assert(l->state == LEASE_PENDING);
    proc_event(n, worker, PROC_LEASE);
    l->state = LEASE_HELD;
    l->granted_at = n->now;
    l->want->pending--;
    n->granted++;
    char devices[DEVICES_TEXT_MAX];
    devices_text(n, l->devices.mask, devices, sizeof devices);
    struct msg m = {.kind = MSG_LEASE_GRANT};
    m.u.lease_grant = (struct msg_lease_grant){
        .class_id = l->want->class_id, .lease = l->id, .epoch = n->config.self.inc,
        .worker = worker->addr, .devices = span_str(devices),
    };
    node_send(n, l->want->owner->addr, &m);
}

static void send_resume(struct node *n, struct proc *worker)
{
    struct msg m = {.kind = MSG_RESUME};
    m.u.resume.version = worker->unblock_version;
    node_send(n, worker->addr, &m);
}

/* What a blocked lease goes on holding. */
static struct resources without_cpu(const struct resources *need)
{
    struct resources rest = *need;
    rest.cpu_milli = 0;
    return rest;
}

static void take_cpu(struct node *n, struct proc *worker)
{
    struct lease *l = &worker->lease;
    struct resources rest = without_cpu(&l->need);
    assert(l->cpu != CPU_TAKEN);
    resources_sub(&n->blocked, &rest);
    n->free.cpu_milli -= l->need.cpu_milli;
    l->cpu = CPU_TAKEN;
    list_del(&worker->in_resumes);
}

static void give_cpu(struct node *n, struct proc *worker)
{
    struct lease *l = &worker->lease;
    struct resources rest = without_cpu(&l->need);
    assert(l->cpu == CPU_TAKEN);
    resources_add(&n->blocked, &rest);
    n->free.cpu_milli += l->need.cpu_milli;
    l->cpu = CPU_GIVEN;
    n->dirty = true;
}

/* The want loses a lease that it had. */
static void detach(struct node *n, struct lease *l)
{
    struct want *w = l->want;
    w->pending -= l->state == LEASE_PENDING;
    n->granted -= l->state == LEASE_HELD;
    w->leases--;
    w->owner->lease_count--;
    list_del(&l->in_owner);
    l->want = NULL;
    if (l->recalled)            /* for others: not before them again */
        w->arrival = ++n->arrivals;
    waiting_update(n, w);
    if (want_unmet(w) > 0 && w->package->broken && w->told != COVEY_ESTART)
        want_stall(n, w, COVEY_ESTART, w->package->why);
}

void lending_end(struct node *n, struct proc *worker)
{
    struct lease *l = &worker->lease;
    assert(l->state != LEASE_NONE);
    bool waits = l->cpu == CPU_WANTED;
    if (l->cpu != CPU_TAKEN)
        take_cpu(n, worker);    /* for a moment: now all of it is given back */
    resources_add(&n->free, &l->need);
    devices_give(&n->devices, l->devices);
    if (l->want)
        detach(n, l);
    l->state = LEASE_NONE;
    if (waits && worker->state == PROC_LEASED)
        send_resume(n, worker); /* rather one CPU too many for a moment than a worker that hangs */
    n->dirty = true;
}

void lending_cancel(struct node *n, struct proc *worker)
{
    assert(worker->lease.state == LEASE_PENDING);
    lending_end(n, worker);
    if (worker->state == PROC_QUEUED) {
        worker_drop(n, worker);
        proc_free(n, worker);
    } else {
        worker_unbind(worker);
    }
}

void lending_orphan(struct node *n, struct proc *worker)
{
    assert(worker->lease.state == LEASE_HELD);
    detach(n, &worker->lease);
    worker->lease.state = LEASE_ORPHAN;
    list_del(&worker->in_resumes);
    worker_end(n, worker, NODE_KILL_TERM);
}

void lending_return(struct node *n, struct proc *from, uint64_t lease)
{
    struct proc *worker = lease_worker(from, n, lease);
    if (!worker)
        return;
    lending_end(n, worker);
    if (worker->doomed)
        worker_end(n, worker, NODE_KILL_NOW);
    else if (n->beyond_cap > 0)
        worker_end(n, worker, NODE_KILL_TERM);  /* back below the cap */
    else
        proc_event(n, worker, PROC_RETURN);
}

void lending_kill(struct node *n, struct proc *from, uint64_t lease, uint64_t seq)
{
    struct proc *worker = lease_worker(from, n, lease);
    if (!worker || worker->killed)
        return;
    worker->kill_seq = seq;
    worker_end(n, worker, NODE_KILL_NOW);
}

/* ---- finding a worker -------------------------------------------------------------- */

enum served { SERVED, LACKING, NO_WORKER, NO_MEMORY };

/* An idle worker that may end for another: not one that still has tasks of its
 * own somewhere, which would end with it. */
static struct proc *find_replaceable(const struct node *n)
{
    list_each(it, (struct list *)&n->idle) {
        struct proc *p = list_entry(it, struct proc, in_state);
        if (!proc_is_busy_owner(p))
            return p;
    }
    return NULL;
}

/* A process more fits below the cap, when those that end have ended, @more of
 * them beside, and those that wait for a slot have started. */
static bool has_slot(const struct node *n, uint32_t more)
{
    return n->worker_count + n->queued_count < n->config.processes_max + n->ending_count + more;
}

static bool can_get_worker(const struct node *n, const struct want *w)
{
    return has_slot(n, 0) ||
           w->package->starting_count > 0 || find_replaceable(n);
}

/* Nobody is lent to itself: a worker does not push tasks over a link to itself. */
static struct proc *match(const struct node *n, const struct want *w, struct list *in_package,
                          struct device_set best)
{
    list_each(it, in_package) {
        struct proc *p = list_entry(it, struct proc, in_package);
        bool fits = best.mask == 0 ? p->devices == 0 : devices_as_good(&n->devices, p->devices, best);
        if (fits && p != w->owner)
            return p;
    }
    return NULL;
}

/* A worker of the want's package for @devices, which may change to an equally
 * good set that a worker has already. */
static enum served find_worker(struct node *n, struct want *w, struct device_set *devices,
                               struct proc **out)
{
    struct package *package = w->package;
    struct proc *p = match(n, w, devices->mask ? &package->idle_devices : &package->idle, *devices);
    if (!p)
        p = match(n, w, &package->starting, *devices);
    if (p) {
        devices->mask = p->devices;
        *out = p;
        return SERVED;
    }
    /* One process less first, unless one is on its way out for nobody. */
    struct proc *old = NULL;
    if (!has_slot(n, 0)) {
        if (!(old = find_replaceable(n)))
            return NO_WORKER;
        if (!has_slot(n, 1)) {
            worker_end(n, old, NODE_KILL_TERM);     /* one above the cap leaves no slot behind */
            return NO_WORKER;
        }
    }
    p = worker_new(n, package, devices->mask);
    if (!p)
        return NO_MEMORY;
    if (old)
        worker_end(n, old, NODE_KILL_TERM);
    *out = p;
    return SERVED;
}

/* Nobody computes, nobody is on the way in or out: all wait for somebody else.  An idle one
 * is no help, or it would have been found: it has tasks of its own somewhere, which outlived
 * the one that submitted them. */
static bool all_blocked(const struct node *n)
{
    const struct proc *p;
    for (uint32_t i = 0; (p = map_next(&n->procs, &i)) != NULL;)
        if (p->role == ROLE_WORKER && p->state != PROC_DEAD && p->state != PROC_IDLE &&
            (p->state != PROC_LEASED || p->lease.cpu != CPU_GIVEN))
            return false;
    return true;
}

/* The cap has been told and still the want stands: its owner cannot run the
 * task itself, for instance since it waits for a task of another owner.  One
 * process more lets things go on; it ends when it has done its task. */
static enum served go_beyond(struct node *n, struct want *w, struct device_set *devices, struct proc **out)
{
    if (n->now < w->told_at + NODE_CAP_PATIENCE) {
        node_by(&n->retry_at, w->told_at + NODE_CAP_PATIENCE);
        return NO_WORKER;
    }
    if (!all_blocked(n)) {
        node_by(&n->retry_at, n->now + NODE_CAP_PATIENCE);
        return NO_WORKER;
    }
    struct proc *p = worker_new(n, w->package, devices->mask);
    if (!p)
        return NO_MEMORY;
    n->beyond_cap++;
    *out = p;
    return SERVED;
}

/* ---- serving ------------------------------------------------------------------------- */

/* What is free for @w: not what others have waited for long enough. */
static uint32_t find_lacking(const struct node *n, const struct want *w, struct device_set *devices)
{
    struct resources open = n->free;
    if (n->reserving && w->priority <= n->reserve_priority)
        resources_sub(&open, &n->reserved);
    if (!list_empty(&n->resumes))
        open.cpu_milli = 0;
    uint32_t lacking = resources_lacking(&w->need, &open);
    *devices = (struct device_set){0, 0};
    if (w->need.gpu_milli > 0 && !(lacking & RESOURCE_GPU) &&
        !devices_find(&n->devices, w->need.gpu_milli, devices))
        lacking |= RESOURCE_GPU;
    return lacking;
}

static enum served note_lacking(struct node *n, struct want *w, uint32_t lacking)
{
    w->lacking = lacking;
    if (w->lacking_since == NEVER_NS)
        w->lacking_since = n->now;
    if (w->told == COVEY_ELIMIT && can_get_worker(n, w))
        unstall(n, w);
    recall_soon(n);
    return LACKING;
}

/* One lease for @w. */
static enum served serve(struct node *n, struct want *w)
{
    struct device_set devices;
    struct proc *worker = NULL;
    uint32_t lacking = find_lacking(n, w, &devices);
    if (lacking)
        return note_lacking(n, w, lacking);
    w->lacking = 0;
    w->lacking_since = NEVER_NS;
    enum served result = find_worker(n, w, &devices, &worker);
    if (result == NO_WORKER && w->told == COVEY_ELIMIT)
        result = go_beyond(n, w, &devices, &worker);
    if (result == NO_MEMORY)
        node_by(&n->retry_at, n->now + NODE_RETRY);
    if (result == NO_WORKER && w->told != COVEY_ELIMIT) {
        char why[96];
        snprintf(why, sizeof why, "all %u worker processes are in use", n->config.processes_max);
        want_stall(n, w, COVEY_ELIMIT, why);
        w->told_at = n->now;
        node_by(&n->retry_at, n->now + NODE_CAP_PATIENCE);
    }
    if (result != SERVED)
        return result;
    bool unbound = worker->state == PROC_STARTING;
    if (unbound) {
        list_del(&worker->in_package);
        w->package->starting_count--;
    }
    lend(n, w, worker, devices);
    if (worker->state == PROC_IDLE)
        lending_grant(n, worker);
    else if (!unbound && n->worker_count < n->config.processes_max + n->beyond_cap)
        worker_start(n, worker);
    return SERVED;
}

static void cancel_surplus(struct node *n, struct want *w)
{
    for (struct list *it = w->owner->leases.prev; it != &w->owner->leases;) {
        struct proc *worker = list_entry(it, struct proc, lease.in_owner);
        it = it->prev;
        if (w->pending == 0 || w->leases <= w->level)
            return;
        if (worker->lease.want == w && worker->lease.state == LEASE_PENDING)
            lending_cancel(n, worker);
    }
}

void want_level(struct node *n, struct proc *from, const struct msg_lease_want *msg)
{
    struct want *w = map_get(&from->wants, &msg->class_id);
    if (!w) {
        if (msg->want > 0)
            send_stall(n, from->addr, msg->class_id, COVEY_EIMPOSSIBLE,
                       "the node does not have this class: its resources or program are malformed, "
                       "the process has too many of them, or the node is out of memory");
        return;
    }
    if (msg->version <= w->version)
        return;
    w->version = msg->version;
    w->level = msg->want;
    w->priority = msg->priority;
    waiting_update(n, w);
    cancel_surplus(n, w);
    if (want_unmet(w) == 0) {
        unstall(n, w);
        w->told = COVEY_OK;     /* what it wants next has not been refused yet */
        return;
    }
    if (!w->possible)
        stall_impossible(n, w);
    else if (w->package->broken)
        want_stall(n, w, COVEY_ESTART, w->package->why);
    while (want_waits(w) && serve(n, w) == SERVED) {
        /* as many as there are */
    }
}

/* ---- blocking -------------------------------------------------------------------------- */

void lending_blocked(struct node *n, struct proc *worker, uint64_t version)
{
    if (version <= worker->block_version)
        return;
    worker->block_version = version;
    struct lease *l = &worker->lease;
    if (l->state != LEASE_HELD)
        return;
    if (l->cpu == CPU_TAKEN) {
        give_cpu(n, worker);
    } else {
        l->cpu = CPU_GIVEN;     /* it waits again before it had its CPU back */
        list_del(&worker->in_resumes);
    }
}

/* Those that waited longest first; one that does not fit holds up the rest and
 * all wants, else it might wait for ever. */
static void serve_resumes(struct node *n)
{
    while (!list_empty(&n->resumes)) {
        struct proc *worker = list_entry(n->resumes.next, struct proc, in_resumes);
        if (worker->lease.need.cpu_milli > n->free.cpu_milli)
            break;
        take_cpu(n, worker);
        send_resume(n, worker);
    }
    if (!list_empty(&n->resumes))
        recall_soon(n);
}

void lending_unblocked(struct node *n, struct proc *worker, uint64_t version)
{
    if (version <= worker->unblock_version || version < worker->block_version)
        return;
    worker->unblock_version = worker->block_version = version;
    struct lease *l = &worker->lease;
    if (l->state != LEASE_HELD || l->cpu == CPU_TAKEN) {
        send_resume(n, worker);
        return;
    }
    if (l->cpu == CPU_WANTED)
        return;
    l->cpu = CPU_WANTED;
    list_push(&n->resumes, &worker->in_resumes);
    serve_resumes(n);
}

/* ---- the pass ---------------------------------------------------------------------------- */

static void reserve(struct node *n, const struct want *w)
{
    uint32_t stuck = resources_used(&n->blocked, &n->config.total);
    if (w->lacking_since + NODE_PATIENCE > n->now || (w->lacking & stuck))
        return;
    if (!n->reserving)
        n->reserve_priority = w->priority;
    n->reserving = true;
    resources_add(&n->reserved, &w->need);
}

static void clear_reserved(struct node *n)
{
    n->reserving = false;
    n->reserved = n->config.total;
    resources_sub(&n->reserved, &n->config.total);
}

static bool exhausted(const struct node *n)
{
    bool cpu = list_empty(&n->resumes) && n->free.cpu_milli > n->reserved.cpu_milli;
    return !cpu && n->waiting_cpuless == 0;
}

void lending_pass(struct node *n, bool thorough)
{
    struct list aside;
    struct want *w;
    list_init(&aside);
    clear_reserved(n);
    serve_resumes(n);
    while ((thorough || !exhausted(n)) && (w = waiting_top(n))) {
        enum served result = serve(n, w);
        if (result == SERVED)
            continue;
        waiting_set_aside(n, w, &aside);
        if (result == LACKING)
            reserve(n, w);
        if (result == NO_MEMORY)
            break;
    }
    if (waiting_top(n))
        recall_soon(n);         /* the rest was not even tried */
    if (thorough)
        recall_leases(n, &aside);
    waiting_restore(n, &aside);
}
