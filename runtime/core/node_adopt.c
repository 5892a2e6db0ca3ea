/* node_adopt.c - objects that outlive their owner.
 *
 * Such an object lives while some process of this node holds it.  A process
 * holds it because its census said so, or because a holder passed it on
 * (BORROW_ADD); it lets go by BORROW_DROP or by dying.  Adds and drops carry the
 * borrower's version and may arrive in any order: a drop that comes first is
 * remembered, and an older one than the last add does nothing.
 *
 * While the census goes on the node does not know all holders yet: nothing is
 * freed, and waits are answered when it ends.  An object that nobody told the
 * place of (blind) was never sealed, as far as anybody knows: it ends then.
 */
#include "core/node_internal.h"

#include <stdlib.h>

#define NODE_WAITS_MAX 65536u   /* waits that a census holds up, and blind objects */

struct waiter {
    struct list in_census;
    struct addr from;
    struct oid id;
};

struct adopted *adopt_find(const struct node *n, struct oid id)
{
    struct key_oid key = key_of_oid(id);
    return map_get(&n->adopted, &key);
}

static void holder_free(struct holder *h)
{
    list_del(&h->in_object);
    list_del(&h->in_proc);
    free(h);
}

static void forget(struct node *n, struct adopted *a)
{
    struct key_oid key = key_of_oid(a->id);
    map_del(&n->adopted, &key);
    list_each(it, &a->holders)
        holder_free(list_entry(it, struct holder, in_object));
    list_del(&a->in_owner);
    n->adopted_blind -= a->place.node == 0;
    free(a);
}

/* Nobody holds it any more.  During the census it just drops out of the set:
 * the end of the census frees what is not in it. */
static void end_object(struct node *n, struct adopted *a)
{
    struct place place = a->place;
    bool settled = !proc_dead(n, a->id);
    forget(n, a);
    if (settled)
        extents_object_free(n->extents, place.extent, place.gen, place.ordinal);
}

static struct adopted *adopt(struct node *n, struct proc *dead, struct oid id, bool blind)
{
    if (blind && n->adopted_blind >= NODE_WAITS_MAX)
        return NULL;
    struct key_oid key = key_of_oid(id);
    struct adopted *a = calloc(1, sizeof *a);
    if (!a || !map_put(&n->adopted, &key, a)) {
        free(a);
        return NULL;
    }
    a->id = id;
    list_init(&a->holders);
    list_push(&dead->census.adopted, &a->in_owner);
    n->adopted_blind++;
    return a;
}

static struct holder *find_holder(const struct adopted *a, const struct proc *proc)
{
    list_each(it, &a->holders) {
        struct holder *h = list_entry(it, struct holder, in_object);
        if (h->proc == proc)
            return h;
    }
    return NULL;
}

static struct holder *add_holder(struct adopted *a, struct proc *proc)
{
    struct holder *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->object = a;
    h->proc = proc;
    h->dropped = true;
    list_push(&a->holders, &h->in_object);
    list_push(&proc->holds, &h->in_proc);
    return h;
}

bool adopt_hold(struct node *n, struct oid id, const struct place *place, struct proc *proc,
                uint64_t version)
{
    struct proc *dead = proc_dead(n, id);
    struct adopted *a = adopt_find(n, id);
    bool fresh = !a && dead;
    if (fresh)
        a = adopt(n, dead, id, !place);
    if (!a)
        return !fresh;
    struct holder *h = find_holder(a, proc);
    bool is_new = !h;
    if (is_new)
        h = add_holder(a, proc);
    if (!h) {
        if (fresh)
            forget(n, a);
        return false;
    }
    if (place && a->place.node == 0) {
        a->place = *place;
        n->adopted_blind--;
    }
    if (h->dropped && (is_new || version > h->version)) {
        h->dropped = false;
        a->holder_count++;
    }
    if (version > h->version)
        h->version = version;
    return true;
}

void adopt_let_go(struct node *n, struct proc *proc)
{
    list_each(it, &proc->holds) {
        struct holder *h = list_entry(it, struct holder, in_proc);
        struct adopted *a = h->object;
        bool held = !h->dropped;
        holder_free(h);
        if (held && --a->holder_count == 0)
            end_object(n, a);
    }
}

/* ---- messages as to the owner -------------------------------------------------------- */

/* The owner lives and speaks for itself: such a message is lost its way. */
static bool has_owner(const struct node *n, struct oid id)
{
    return id.node != n->config.self.node || proc_of(n, oid_owner(id));
}

void adopt_borrow_add(struct node *n, struct addr from, const struct msg_borrow_add *msg)
{
    if (has_owner(n, msg->id))
        return;
    struct proc *borrower = proc_of(n, msg->borrower);
    if (borrower && !adopt_hold(n, msg->id, NULL, borrower, msg->version))
        return;                 /* no memory: not acknowledged, so the sender goes on holding it */
    struct msg m = {.kind = MSG_BORROW_ADDED};
    m.u.borrow_added = (struct msg_borrow_added){msg->id, msg->borrower, msg->version};
    node_send(n, from, &m);
}

void adopt_borrow_drop(struct node *n, const struct msg_borrow_drop *msg)
{
    struct adopted *a = adopt_find(n, msg->id);
    struct proc *borrower = proc_of(n, msg->borrower);
    if (!a || !borrower)
        return;
    struct holder *h = find_holder(a, borrower);
    if (!h)
        h = add_holder(a, borrower);    /* its add is still on the way */
    if (!h || msg->version < h->version)
        return;
    h->version = msg->version;
    if (h->dropped)
        return;
    h->dropped = true;
    if (--a->holder_count == 0)
        end_object(n, a);
}

static void answer_wait(struct node *n, struct addr to, struct oid id)
{
    const struct adopted *a = adopt_find(n, id);
    struct msg m = {.kind = MSG_OBJECT_READY};
    m.u.object_ready.id = id;
    if (a && a->place.node != 0) {
        m.u.object_ready.in_store = true;
        m.u.object_ready.place = a->place;
    } else {
        m.u.object_ready.status = COVEY_EOWNER;
        m.u.object_ready.why = span_str("the process that owned it has ended, and nobody holds its value");
    }
    node_send(n, to, &m);
}

void adopt_wait(struct node *n, struct addr from, struct oid id)
{
    if (has_owner(n, id))
        return;
    const struct adopted *a = adopt_find(n, id);
    struct proc *dead = proc_dead(n, id);
    if (!dead || (a && a->place.node != 0)) {
        answer_wait(n, from, id);
        return;
    }
    list_each(it, &dead->census.waiters) {
        const struct waiter *w = list_entry(it, struct waiter, in_census);
        if (addr_eq(w->from, from) && oid_eq(w->id, id))
            return;
    }
    struct waiter *w = n->waiter_count < NODE_WAITS_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w) {
        answer_wait(n, from, id);
        return;
    }
    w->from = from;
    w->id = id;
    list_push(&dead->census.waiters, &w->in_census);
    n->waiter_count++;
}

/* ---- the end of a census ------------------------------------------------------------------ */

static void drop_waiters(struct node *n, struct proc *dead, bool answer)
{
    list_each(it, &dead->census.waiters) {
        struct waiter *w = list_entry(it, struct waiter, in_census);
        if (answer && (w->from.node != n->config.self.node || proc_of(n, w->from)))
            answer_wait(n, w->from, w->id);
        list_del(&w->in_census);
        n->waiter_count--;
        free(w);
    }
}

bool adopt_settle(struct node *n, struct proc *dead)
{
    uint32_t count = 0;
    list_each(it, &dead->census.adopted)
        count += list_entry(it, struct adopted, in_owner)->place.node != 0;
    struct place *held = count ? malloc(count * sizeof *held) : NULL;
    if (count && !held)
        return false;
    count = 0;
    list_each(it, &dead->census.adopted) {
        struct adopted *a = list_entry(it, struct adopted, in_owner);
        list_del(&a->in_owner);
        if (a->place.node != 0)
            held[count++] = a->place;
        else
            forget(n, a);
    }
    extents_owner_gone(n->extents, dead->addr, held, count);
    free(held);
    drop_waiters(n, dead, true);
    return true;
}

void adopt_fini(struct node *n)
{
    struct adopted *a;
    for (uint32_t i = 0; (a = map_next(&n->adopted, &i)) != NULL;)
        forget(n, a);
    list_each(it, &n->dead)
        drop_waiters(n, list_entry(it, struct proc, dead), false);
    map_fini(&n->adopted);
}
