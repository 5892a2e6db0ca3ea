/* node_death.c - what a process leaves behind.
 *
 * As a worker it had a lease: its owner is told.  As an owner it had leases:
 * their workers are ended, since nobody reads what they do.  As a writer it had
 * extents: what it had sealed for others stays, and their owners are asked
 * whether they know of it (a reply may have died with it).  As the owner of
 * objects it is missed by others: the census finds out what they still hold.
 *
 *   PROC_DEAD to everybody -> CENSUS from everybody (or their death)
 *     -> what is held is adopted (node_adopt.c), the rest is freed
 *
 * Until then the process stays in the table as DEAD.  A census that cannot
 * begin or end for lack of memory is tried again: freeing less for a while is
 * safe, freeing what somebody reads is not.
 */
#include "core/node_internal.h"

#include <stdlib.h>

#define KEEP_BATCH 8192u        /* objects asked for in one message */

/* ---- objects in the dead one's extents ------------------------------------------ */

/* Called from inside extents_proc_dead(), so only noted.  One that cannot be
 * noted stays until the store ends; that is all that a lack of memory costs. */
void death_found(struct node *n, struct oid id, const struct place *place)
{
    if (n->kept_count == n->kept_cap) {
        uint32_t cap = n->kept_cap ? n->kept_cap * 2 : 256;
        struct kept *kept = realloc(n->kept, cap * sizeof *kept);
        if (!kept)
            return;
        n->kept = kept;
        n->kept_cap = cap;
    }
    n->kept[n->kept_count++] = (struct kept){id, *place};
}

static int compare_owners(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    if (x->id.node != y->id.node)
        return x->id.node < y->id.node ? -1 : 1;
    if (x->id.proc != y->id.proc)
        return x->id.proc < y->id.proc ? -1 : 1;
    if (x->place.offset != y->place.offset)
        return x->place.offset < y->place.offset ? -1 : 1;
    return 0;
}

/* Their owner is dead, too.  Its census frees them; after that only what was
 * adopted lives. */
static void free_ownerless(struct node *n, const struct kept *kept, uint32_t count)
{
    if (proc_dead(n, kept[0].id))
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct place *place = &kept[i].place;
        const struct adopted *a = adopt_find(n, kept[i].id);
        if (!a || a->place.offset != place->offset)
            extents_object_free(n->extents, place->extent, place->gen, place->ordinal);
    }
}

static void ask_owner(struct node *n, const struct kept *kept, uint32_t count)
{
    struct addr owner = oid_owner(kept[0].id);
    if (owner.node == n->config.self.node && !proc_of(n, owner)) {
        free_ownerless(n, kept, count);
        return;
    }
    for (uint32_t at = 0; at < count; at += KEEP_BATCH) {
        struct msg m = {.kind = MSG_KEEP_ASK};
        m.u.keep_ask = (struct msg_keep_ask){
            .request = ++n->keep_requests,
            .kept_count = count - at < KEEP_BATCH ? count - at : KEEP_BATCH,
            .kept = kept + at,
        };
        node_send(n, owner, &m);
    }
}

static void ask_owners(struct node *n)
{
    if (n->kept_count > 0)
        qsort(n->kept, n->kept_count, sizeof *n->kept, compare_owners);
    for (uint32_t at = 0, end; at < n->kept_count; at = end) {
        struct addr owner = oid_owner(n->kept[at].id);
        for (end = at + 1; end < n->kept_count && addr_eq(owner, oid_owner(n->kept[end].id)); end++) {
            /* to the last one of this owner */
        }
        ask_owner(n, n->kept + at, end - at);
    }
    free(n->kept);
    n->kept = NULL;
    n->kept_count = n->kept_cap = 0;
}

void death_keep_answer(struct node *n, struct addr from, const struct msg_keep_answer *msg)
{
    for (uint32_t i = 0; i < msg->kept_count; i++) {
        const struct kept *k = &msg->kept[i];
        if (addr_eq(oid_owner(k->id), from) && k->place.node == n->config.self.node)
            extents_object_free(n->extents, k->place.extent, k->place.gen, k->place.ordinal);
    }
}

/* ---- the census --------------------------------------------------------------------- */

static void end_census(struct node *n, struct proc *dead)
{
    if (!adopt_settle(n, dead)) {
        node_by(&n->retry_at, n->now + NODE_RETRY);
        return;
    }
    list_del(&dead->dead);
    proc_free(n, dead);
}

/* The whole list first, then the messages: whoever is told is awaited. */
static bool list_awaited(struct node *n, struct proc *dead)
{
    struct proc *p;
    for (uint32_t i = 0; (p = map_next(&n->procs, &i)) != NULL;) {
        if (proc_is_peer(p) && !map_put(&dead->census.awaited, &p->addr.proc, p)) {
            map_fini(&dead->census.awaited);
            map_init(&dead->census.awaited, sizeof(uint32_t));
            return false;
        }
    }
    return true;
}

static void begin_census(struct node *n, struct proc *dead)
{
    if (!list_awaited(n, dead)) {
        node_by(&n->retry_at, n->now + NODE_RETRY);
        return;
    }
    dead->census.begun = true;
    struct msg m = {.kind = MSG_PROC_DEAD};
    m.u.proc_dead.who = dead->addr;
    struct proc *p;
    for (uint32_t i = 0; (p = map_next(&dead->census.awaited, &i)) != NULL;)
        node_send(n, p->addr, &m);
    if (map_count(&dead->census.awaited) == 0)
        end_census(n, dead);
}

static void answered(struct node *n, struct proc *dead, const struct proc *by)
{
    if (map_del(&dead->census.awaited, &by->addr.proc) && map_count(&dead->census.awaited) == 0)
        end_census(n, dead);
}

/* The object at @place, if it is one of @owner's.  Both the place and the header
 * are claims of processes. */
static bool read_id(const struct node *n, const struct place *place, struct addr owner, struct oid *id)
{
    struct object_header h;
    if (place->node != n->config.self.node || place->offset % OBJECT_ALIGN != 0 ||
        place->offset >= n->config.arena_bytes)
        return false;
    if (!n->ops->extents.header(n->io, place->offset, &h) || h.state != (OBJECT_SEALED ^ place->gen) ||
        h.gen != place->gen || h.ordinal != place->ordinal)
        return false;
    *id = (struct oid){h.node, h.proc, h.seq, h.index};
    return addr_eq(oid_owner(*id), owner);
}

void death_census(struct node *n, struct proc *from, const struct msg_census *msg)
{
    struct oid any_of = {.node = msg->who.node, .proc = msg->who.proc};
    struct proc *dead = proc_dead(n, any_of);
    if (!dead || !map_get(&dead->census.awaited, &from->addr.proc))
        return;                 /* a second copy, or of a time long past */
    for (uint32_t i = 0; i < msg->place_count; i++) {
        struct oid id;
        /* Without memory to remember it, the answer does not count: the census
         * stays open, and nothing of this owner is freed, until @from dies. */
        if (read_id(n, &msg->places[i], dead->addr, &id) &&
            !adopt_hold(n, id, &msg->places[i], from, 0))
            return;
    }
    answered(n, dead, from);
}

void death_tick(struct node *n)
{
    list_each(it, &n->dead) {
        struct proc *dead = list_entry(it, struct proc, dead);
        if (!dead->census.begun)
            begin_census(n, dead);
        else if (map_count(&dead->census.awaited) == 0)
            end_census(n, dead);
    }
}

void census_fini(struct node *n, struct census *census)
{
    assert(list_empty(&census->adopted));
    assert(list_empty(&census->waiters));
    (void)n;
    map_fini(&census->awaited);
}

/* ---- death ------------------------------------------------------------------------------ */

void node_worker_ran(struct node *n, uint32_t proc, struct addr owner, uint64_t seq)
{
    struct proc *p = proc_find(n, proc);
    if (p && p->lease.state == LEASE_HELD && addr_eq(p->lease.want->owner->addr, owner))
        p->ran_seq = seq;
}

static void end_as_worker(struct node *n, struct proc *p, int32_t exit_status, const char *why)
{
    struct lease *l = &p->lease;
    if (l->state == LEASE_HELD) {
        struct msg m = {.kind = MSG_WORKER_DIED};
        m.u.worker_died = (struct msg_worker_died){
            .lease = l->id, .worker = p->addr, .exit_status = exit_status,
            .running_seq = p->kill_seq ? p->kill_seq : p->ran_seq, .why = span_str(why),
        };
        node_send(n, l->want->owner->addr, &m);
    }
    if (l->state != LEASE_NONE)
        lending_end(n, p);
    worker_drop(n, p);
}

static void end_as_owner(struct node *n, struct proc *p)
{
    struct want *w;
    for (uint32_t i = 0; (w = map_next(&p->wants, &i)) != NULL;) {
        w->level = 0;           /* nothing more is granted or told to it */
        waiting_update(n, w);
    }
    list_each(it, &p->leases) {
        struct proc *worker = list_entry(it, struct proc, lease.in_owner);
        if (worker->lease.state == LEASE_PENDING)
            lending_cancel(n, worker);
        else
            lending_orphan(n, worker);
    }
    for (uint32_t i = 0; (w = map_next(&p->wants, &i)) != NULL;)
        want_free(n, w);
    package_leave(n, p);
    n->dirty = true;
}

static void bury(struct node *n, struct proc *p)
{
    list_push(&n->dead, &p->dead);
    adopt_let_go(n, p);
    list_each(it, &n->dead) {
        struct proc *dead = list_entry(it, struct proc, dead);
        if (dead->census.begun)
            answered(n, dead, p);
    }
    extents_proc_dead(n->extents, p->addr);
    ask_owners(n);
    begin_census(n, p);
}

void node_proc_gone(struct node *n, uint32_t proc, int32_t exit_status, const char *why, int64_t now)
{
    struct proc *p = proc_find(n, proc);
    if (!p || p->state == PROC_QUEUED)
        return;
    n->now = now;
    if (!p->said_hello) {
        worker_start_lost(n, p, why, false);
        node_settle(n);
        return;
    }
    bool peer = proc_is_peer(p);
    end_as_owner(n, p);
    if (proc_is_worker(p)) {
        end_as_worker(n, p, exit_status, why);
    } else {
        proc_event(n, p, PROC_GONE);
        *(p->role == ROLE_CLIENT ? &n->client_count : &n->tool_count) -= 1;
    }
    list_proc_gone(n, p);
    if (peer)
        bury(n, p);
    else
        proc_free(n, p);
    node_settle(n);
}
