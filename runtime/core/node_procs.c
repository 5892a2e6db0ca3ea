/* node_procs.c - the process table: who is here, in which state, since when.
 *
 * A worker exists from the moment that something wants it.  At the process cap
 * it first waits for another process's end (QUEUED).  From STARTING to its end
 * it counts against the cap.  ENDING was told to end and is used for nothing
 * more.  Clients and tools are PRESENT from hello to end of file.
 *
 *   state      in lists
 *   QUEUED     node.queued
 *   STARTING   node.starting; package.starting unless a lease waits for it
 *   IDLE       node.idle, package.idle or idle_devices
 *   LEASED     (its lease is in its owner's list)
 *   ENDING     node.ending
 *
 * The lists of the node are in the order of arrival, which with one waiting
 * time per state is the order of deadlines.
 */
#include "core/node_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define NO PROC_STATE_COUNT     /* cannot happen: a bug of ours */

static const uint8_t next_state[PROC_STATE_COUNT][PROC_EVENT_COUNT] = {
    /*                 SLOT           HELLO        LEASE        RETURN     END          GONE */
    [PROC_QUEUED]   = {PROC_STARTING, NO,          NO,          NO,        NO,          PROC_DEAD},
    [PROC_STARTING] = {NO,            PROC_IDLE,   NO,          NO,        PROC_ENDING, PROC_DEAD},
    [PROC_IDLE]     = {NO,            NO,          PROC_LEASED, NO,        PROC_ENDING, PROC_DEAD},
    [PROC_LEASED]   = {NO,            NO,          NO,          PROC_IDLE, PROC_ENDING, PROC_DEAD},
    [PROC_ENDING]   = {NO,            NO,          NO,          NO,        PROC_ENDING, PROC_DEAD},
    [PROC_PRESENT]  = {NO,            NO,          NO,          NO,        NO,          PROC_DEAD},
    [PROC_DEAD]     = {NO,            NO,          NO,          NO,        NO,          NO},
};

static void enter(struct node *n, struct proc *p)
{
    p->since = n->now;
    switch (p->state) {
    case PROC_QUEUED:
        list_push(&n->queued, &p->in_state);
        n->queued_count++;
        break;
    case PROC_STARTING:
        list_push(&n->starting, &p->in_state);
        n->worker_count++;
        break;
    case PROC_IDLE:
        list_push(&n->idle, &p->in_state);
        list_push_front(p->devices ? &p->package->idle_devices : &p->package->idle, &p->in_package);
        p->package->idle_count++;
        n->idle_count++;
        break;
    case PROC_ENDING:
        list_push(&n->ending, &p->in_state);
        n->ending_count++;
        break;
    default:
        break;
    }
}

static void leave(struct node *n, struct proc *p, enum proc_state to)
{
    list_del(&p->in_state);
    if (p->state == PROC_QUEUED)
        n->queued_count--;
    if (p->state == PROC_IDLE) {
        p->package->idle_count--;
        n->idle_count--;
    }
    if (p->state == PROC_STARTING && !list_empty(&p->in_package))
        p->package->starting_count--;
    list_del(&p->in_package);
    if (p->state == PROC_ENDING)
        n->ending_count -= to != PROC_ENDING;
    if (to == PROC_DEAD && proc_is_worker(p) && p->state != PROC_QUEUED)
        n->worker_count--;
}

void proc_event(struct node *n, struct proc *p, enum proc_event event)
{
    enum proc_state to = next_state[p->state][event];
    assert(to != NO);
    if (to == PROC_ENDING && p->state == PROC_ENDING)
        return;                 /* its grace runs already */
    leave(n, p, to);
    p->state = to;
    enter(n, p);
}

/* ---- the table ------------------------------------------------------------------ */

static struct proc *proc_any(const struct node *n, uint32_t number)
{
    return map_get(&n->procs, &number);
}

struct proc *proc_find(const struct node *n, uint32_t number)
{
    struct proc *p = proc_any(n, number);
    return p && p->state != PROC_DEAD ? p : NULL;
}

struct proc *proc_of(const struct node *n, struct addr addr)
{
    if (addr.node != n->config.self.node || addr.proc == 0)
        return NULL;
    struct proc *p = proc_find(n, addr.proc);
    return p && p->said_hello ? p : NULL;
}

struct proc *proc_dead(const struct node *n, struct oid id)
{
    if (id.node != n->config.self.node)
        return NULL;
    struct proc *p = proc_any(n, id.proc);
    return p && p->state == PROC_DEAD ? p : NULL;
}

bool proc_is_peer(const struct proc *p)
{
    return p->said_hello && p->state != PROC_DEAD &&
           (p->role == ROLE_CLIENT || p->role == ROLE_WORKER);
}

static struct proc *proc_new(struct node *n, enum role role)
{
    struct proc *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    uint32_t number = n->proc_last + 1;
    p->addr = (struct addr){.node = n->config.self.node, .proc = number};
    p->role = role;
    map_init(&p->wants, sizeof(uint32_t));
    map_init(&p->census.awaited, sizeof(uint32_t));
    waiting_init_owner(p);
    struct list *lists[] = {&p->leases, &p->active, &p->giver, &p->lease.in_owner, &p->in_state, &p->in_package,
                            &p->in_resumes, &p->holds, &p->dead, &p->census.adopted, &p->census.waiters};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        list_init(lists[i]);
    if (!waiting_reserve_owner(n) || !map_put(&n->procs, &number, p)) {
        free(p);
        return NULL;
    }
    n->proc_last = number;
    return p;
}

void proc_free(struct node *n, struct proc *p)
{
    uint32_t number = p->addr.proc;
    map_del(&n->procs, &number);
    waiting_fini_owner(n, p);
    map_fini(&p->wants);
    census_fini(n, &p->census);
    free(p);
}

/* ---- workers ------------------------------------------------------------------------ */

void devices_text(const struct node *n, uint64_t mask, char *out, size_t size)
{
    size_t len = 0;
    out[0] = 0;
    for (uint64_t left = mask; left && len < size; left &= left - 1)
        len += (size_t)snprintf(out + len, size - len, "%s%s", len ? "," : "",
                                n->config.devices[__builtin_ctzll(left)]);
}

static void start(struct node *n, struct proc *p)
{
    char devices[DEVICES_TEXT_MAX];
    devices_text(n, p->devices, devices, sizeof devices);
    /* The processor count is for libraries that start threads; an idle worker
     * does not know its lease yet and is told one CPU. */
    int64_t cpu_milli = p->lease.state != LEASE_NONE ? p->lease.need.cpu_milli : 1000;
    n->ops->start_worker(n->io, p->addr.proc, p->token, &p->package->what, devices, cpu_milli);
}

struct proc *worker_new(struct node *n, struct package *package, uint64_t devices)
{
    struct proc *p = proc_new(n, ROLE_WORKER);
    if (!p)
        return NULL;
    p->package = package;
    p->devices = devices;
    do
        p->token = n->ops->random(n->io);
    while (p->token == 0);
    package->workers++;
    p->state = PROC_QUEUED;
    enter(n, p);
    return p;
}

void worker_start(struct node *n, struct proc *p)
{
    assert(n->worker_count < n->config.processes_max + n->beyond_cap);
    proc_event(n, p, PROC_SLOT);
    start(n, p);
}

void worker_unbind(struct proc *p)
{
    assert(p->state == PROC_STARTING);
    assert(p->lease.state == LEASE_NONE);
    list_push(&p->package->starting, &p->in_package);
    p->package->starting_count++;
}

void worker_end(struct node *n, struct proc *p, enum node_kill how)
{
    p->doomed = true;
    /* One that is killed while its lease is held stays LEASED until it is gone:
     * the owner still has to be told. */
    if (p->lease.state != LEASE_HELD)
        proc_event(n, p, PROC_END);
    bool again = p->killed || (p->terminated && how == NODE_KILL_TERM);
    p->terminated = true;
    p->killed |= how == NODE_KILL_NOW;
    if (p->killed && p->state == PROC_ENDING)
        list_del(&p->in_state); /* no grace left to wait for */
    if (!again)
        n->ops->kill(n->io, p->addr.proc, how);
}

void worker_drop(struct node *n, struct proc *p)
{
    assert(p->lease.state == LEASE_NONE);
    struct package *package = p->package;
    proc_event(n, p, PROC_GONE);
    p->package = NULL;
    package->workers--;
    package_unuse(n, package);
    if (n->beyond_cap > 0 && n->worker_count < n->config.processes_max + n->beyond_cap)
        n->beyond_cap--;
    if (!list_empty(&n->queued) && n->worker_count < n->config.processes_max)
        worker_start(n, list_entry(n->queued.next, struct proc, in_state));
    n->dirty = true;
}

void worker_start_lost(struct node *n, struct proc *p, const char *why, bool killed)
{
    assert(!p->said_hello);
    if (p->lease.state != LEASE_NONE)
        lending_end(n, p);
    if (p->state == PROC_STARTING)  /* else it was counted when its time was up */
        package_start_failed(n, p->package, why, killed);
    worker_drop(n, p);
    proc_free(n, p);
}

/* ---- hello ---------------------------------------------------------------------------- */

void name_copy(char out[NODE_NAME_MAX], struct span name)
{
    uint32_t len = name.len < NODE_NAME_MAX ? name.len : NODE_NAME_MAX - 1;
    for (uint32_t i = 0; i < len; i++)
        out[i] = name.data[i] < ' ' || name.data[i] == 127 ? '?' : (char)name.data[i];
    out[len] = 0;
}

static covey_status hello_worker(struct node *n, const struct msg_door_hello *hello,
                                 struct proc **out, char *why, size_t why_size)
{
    struct proc *p = proc_find(n, hello->proc);
    if (!p || p->state != PROC_STARTING || p->token != hello->token) {
        snprintf(why, why_size, "no worker %u is expected with this token", hello->proc);
        return COVEY_EREFUSED;
    }
    p->said_hello = true;
    package_mend(n, p->package);
    proc_event(n, p, PROC_HELLO);
    if (p->lease.state == LEASE_PENDING)
        lending_grant(n, p);
    else
        n->dirty = true;
    *out = p;
    return COVEY_OK;
}

static covey_status hello_visitor(struct node *n, const struct msg_door_hello *hello,
                                  struct proc **out, char *why, size_t why_size)
{
    if (hello->role >= ROLE_NODE || hello->proc != 0 || hello->token != 0) {
        snprintf(why, why_size, "role %u does not enter by this door, or not with a number of its own",
                 hello->role);
        return COVEY_EREFUSED;
    }
    if (n->client_count + n->tool_count >= NODE_CLIENTS_MAX) {
        snprintf(why, why_size, "%u clients are connected, no more are taken", NODE_CLIENTS_MAX);
        return COVEY_ELIMIT;
    }
    struct proc *p = proc_new(n, (enum role)hello->role);
    if (!p) {
        snprintf(why, why_size, "the node is out of memory");
        return COVEY_ENOMEM;
    }
    p->said_hello = true;
    p->state = PROC_PRESENT;
    p->since = n->now;
    if (p->role == ROLE_CLIENT) {
        n->client_count++;
        if (!n->store_warmed)
            extents_keep_warm(n->extents, NODE_STORE_WARM);
        n->store_warmed = true;
    } else {
        n->tool_count++;
    }
    *out = p;
    return COVEY_OK;
}

covey_status node_hello(struct node *n, const struct msg_door_hello *hello, int32_t pid, int64_t now,
                        struct addr *self, char *why, size_t why_size)
{
    struct proc *p = NULL;
    n->now = now;
    if (hello->version != WIRE_VERSION) {
        snprintf(why, why_size, "this node speaks version %d, the process speaks %u", WIRE_VERSION,
                 hello->version);
        return COVEY_EVERSION;
    }
    covey_status status = hello->role == ROLE_WORKER ? hello_worker(n, hello, &p, why, why_size)
                                                     : hello_visitor(n, hello, &p, why, why_size);
    if (status != COVEY_OK)
        return status;
    p->pid = pid;
    name_copy(p->name, hello->name);
    *self = p->addr;
    node_settle(n);
    return COVEY_OK;
}

void node_start_failed(struct node *n, uint32_t proc, covey_status status, const char *why, int64_t now)
{
    struct proc *p = proc_find(n, proc);
    if (!p || p->said_hello || p->state == PROC_QUEUED)
        return;
    char text[NODE_START_WHY_MAX];
    snprintf(text, sizeof text, "%s: %s", covey_strerror(status), why);
    n->now = now;
    worker_start_lost(n, p, status == COVEY_ESTART ? why : text, status == COVEY_EWORKER);
    node_settle(n);
}

/* ---- time ------------------------------------------------------------------------------- */

static struct proc *oldest(const struct list *in_state)
{
    return list_empty(in_state) ? NULL : list_entry(in_state->next, struct proc, in_state);
}

static void give_up_start(struct node *n, struct proc *p)
{
    char why[128];
    snprintf(why, sizeof why, "the process did not say hello within %d s",
             (int)(NODE_START_WAIT / SECOND_NS));
    if (p->lease.state != LEASE_NONE)
        lending_end(n, p);
    worker_end(n, p, NODE_KILL_NOW);
    package_start_failed(n, p->package, why, false);
}

static void look_at_idle(struct node *n, struct proc *p)
{
    if (package_can_spare(n, p->package) && !proc_is_busy_owner(p)) {
        worker_end(n, p, NODE_KILL_TERM);
        return;
    }
    p->since = n->now;          /* kept; look again */
    list_del(&p->in_state);
    list_push(&n->idle, &p->in_state);
}

void procs_tick(struct node *n)
{
    struct proc *p;
    while ((p = oldest(&n->starting)) && p->since + NODE_START_WAIT <= n->now)
        give_up_start(n, p);
    while ((p = oldest(&n->ending)) && p->since + NODE_END_GRACE <= n->now)
        worker_end(n, p, NODE_KILL_NOW);
    while ((p = oldest(&n->idle)) && p->since + NODE_IDLE_END <= n->now)
        look_at_idle(n, p);
}

int64_t procs_deadline(const struct node *n)
{
    int64_t at = NEVER_NS;
    const struct proc *p;
    if ((p = oldest(&n->starting)))
        node_by(&at, p->since + NODE_START_WAIT);
    if ((p = oldest(&n->ending)))
        node_by(&at, p->since + NODE_END_GRACE);
    if ((p = oldest(&n->idle)))
        node_by(&at, p->since + NODE_IDLE_END);
    return at;
}
