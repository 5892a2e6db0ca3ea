/* node_queue.c - the order in which wants are served.
 *
 * Higher priority first, then the owner with the fewest leases, then arrival.
 * Among the wants of one owner the one with the fewest leases of its own comes
 * before arrival: a class whose tasks wait for another class's cannot take
 * every worker.
 *
 * Two levels of heaps, since a grant changes the place of all wants of its
 * owner at once: each owner has a heap of its unmet wants, and the node has one
 * of owners, compared by their best want.  So every change costs O(log n).
 * Room is reserved when owners and wants are made, so nothing here fails later.
 */
#include "core/node_internal.h"

#include <stdlib.h>

/* ---- heaps -------------------------------------------------------------------- */

static bool heap_reserve(struct heap *h, uint32_t count)
{
    if (count < h->cap)
        return true;
    uint32_t cap = h->cap ? h->cap : 8;
    while (cap <= count)
        cap *= 2;
    struct heap_item **items = realloc(h->items, cap * sizeof *items);
    if (!items)
        return false;
    h->items = items;
    h->cap = cap;
    return true;
}

static struct heap_item *heap_top(const struct heap *h)
{
    return h->count ? h->items[1] : NULL;
}

static void heap_set(struct heap *h, uint32_t at, struct heap_item *item)
{
    h->items[at] = item;
    item->at = at;
}

static void sift_up(struct heap *h, struct heap_item *item)
{
    uint32_t at = item->at;
    while (at > 1 && h->before(item, h->items[at / 2])) {
        heap_set(h, at, h->items[at / 2]);
        at /= 2;
    }
    heap_set(h, at, item);
}

static void sift_down(struct heap *h, struct heap_item *item)
{
    uint32_t at = item->at;
    for (;;) {
        uint32_t child = at * 2;
        if (child > h->count)
            break;
        if (child < h->count && h->before(h->items[child + 1], h->items[child]))
            child++;
        if (!h->before(h->items[child], item))
            break;
        heap_set(h, at, h->items[child]);
        at = child;
    }
    heap_set(h, at, item);
}

/* Insert, or move after a change. */
static void heap_put(struct heap *h, struct heap_item *item)
{
    if (item->at == 0) {
        assert(h->count + 1 < h->cap);
        heap_set(h, ++h->count, item);
    }
    sift_up(h, item);
    sift_down(h, item);
}

static void heap_del(struct heap *h, struct heap_item *item)
{
    uint32_t at = item->at;
    if (at == 0)
        return;
    assert(h->items[at] == item);
    struct heap_item *last = h->items[h->count--];
    item->at = 0;
    if (last == item)
        return;
    heap_set(h, at, last);
    heap_put(h, last);
}

/* ---- order ---------------------------------------------------------------------- */

static struct want *want_at(const struct heap_item *item)
{
    return list_entry(item, struct want, in_owner);
}

static struct proc *owner_at(const struct heap_item *item)
{
    return list_entry(item, struct proc, in_waiting);
}

static bool want_before(const struct heap_item *a, const struct heap_item *b)
{
    const struct want *x = want_at(a), *y = want_at(b);
    if (x->priority != y->priority)
        return x->priority > y->priority;
    if (x->leases != y->leases)
        return x->leases < y->leases;
    return x->arrival < y->arrival;
}

static bool owner_before(const struct heap_item *a, const struct heap_item *b)
{
    const struct proc *p = owner_at(a), *q = owner_at(b);
    const struct want *x = want_at(heap_top(&p->waiting)), *y = want_at(heap_top(&q->waiting));
    if (x->priority != y->priority)
        return x->priority > y->priority;
    if (p->lease_count != q->lease_count)
        return p->lease_count < q->lease_count;
    return x->arrival < y->arrival;
}

void waiting_init(struct node *n)
{
    n->waiting = (struct heap){.before = owner_before};
}

void waiting_fini(struct node *n)
{
    free(n->waiting.items);
}

void waiting_init_owner(struct proc *owner)
{
    owner->waiting = (struct heap){.before = want_before};
}

void waiting_fini_owner(struct node *n, struct proc *owner)
{
    assert(owner->waiting.count == 0);
    heap_del(&n->waiting, &owner->in_waiting);
    free(owner->waiting.items);
    owner->waiting.items = NULL;
}

bool waiting_reserve_owner(struct node *n)
{
    return heap_reserve(&n->waiting, map_count(&n->procs) + 1);
}

bool waiting_reserve_want(struct proc *owner)
{
    return heap_reserve(&owner->waiting, map_count(&owner->wants) + 1);
}

/* The owner's best want, or its number of leases, changed. */
static void place_owner(struct node *n, struct proc *owner)
{
    if (owner->waiting.count)
        heap_put(&n->waiting, &owner->in_waiting);
    else
        heap_del(&n->waiting, &owner->in_waiting);
}

static void count_active(struct node *n, struct proc *owner)
{
    bool active = owner->lease_count || owner->waiting_count;
    if (active && list_empty(&owner->active)) {
        list_push(&n->active, &owner->active);
        n->active_count++;
    } else if (!active && !list_empty(&owner->active)) {
        list_del(&owner->active);
        n->active_count--;
    }
}

static void leave(struct node *n, struct want *w)
{
    heap_del(&w->owner->waiting, &w->in_owner);
    place_owner(n, w->owner);
}

void waiting_update(struct node *n, struct want *w)
{
    bool waits = want_waits(w), waited = w->counted > 0;
    uint32_t unmet = waits ? want_unmet(w) : 0;
    if (waits && !waited) {
        w->arrival = ++n->arrivals;
        w->owner->waiting_count++;
        n->waiting_cpuless += w->need.cpu_milli == 0;
    }
    if (!waits && waited) {
        w->lacking = 0;
        w->lacking_since = NEVER_NS;
        w->owner->waiting_count--;
        n->waiting_cpuless -= w->need.cpu_milli == 0;
    }
    n->unmet = n->unmet - w->counted + unmet;
    w->counted = unmet;
    list_del(&w->aside);
    /* Out first, in any case: one that moves must not be compared with itself
     * half changed while its owner is placed. */
    leave(n, w);
    if (waits) {
        heap_put(&w->owner->waiting, &w->in_owner);
        place_owner(n, w->owner);
    }
    count_active(n, w->owner);
}

struct want *waiting_top(const struct node *n)
{
    struct heap_item *top = heap_top(&n->waiting);
    return top ? want_at(heap_top(&owner_at(top)->waiting)) : NULL;
}

void waiting_set_aside(struct node *n, struct want *w, struct list *aside)
{
    leave(n, w);
    list_push(aside, &w->aside);
}

void waiting_restore(struct node *n, struct list *aside)
{
    list_each(it, aside) {
        struct want *w = list_entry(it, struct want, aside);
        list_del(&w->aside);
        heap_put(&w->owner->waiting, &w->in_owner);
        place_owner(n, w->owner);
    }
}
