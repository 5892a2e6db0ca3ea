/* node_recall.c - whose leases come back when others wait.
 *
 * A lease whose owner has work never ends by itself, so wants that do not fit
 * would wait for ever.  For each lease that is missing one is recalled:
 *
 *   from another owner  that holds more than an equal share and at least two
 *                       more than the one that waits, the one with most first;
 *   by turns            where there are more owners than leases, the only lease
 *                       of one goes after NODE_TURN to an owner without any;
 *   from the same owner when a worker of its own waits for its CPU, or when a
 *                       class of lower priority, or with at least two more
 *                       leases, has what another class waits for;
 *   from the worker     that waits for its CPU: what it has lent to tasks of its
 *                       own, which perhaps have ended.
 *
 * Each rule leaves the receiver with no more than the giver keeps (a turn
 * excepted, which takes its time), and never takes from higher priority: so a
 * lease that comes back is not wanted back at once.  Recalls under way count as
 * given, so none is made twice.
 *
 * Only leases that hold their CPU count or are recalled: a blocked one cannot
 * be returned before its task goes on.
 */
#include "core/node_internal.h"

#define FUTILE_MAX 8u

struct recall {
    struct list givers;         /* owners with leases that count */
    uint32_t share;             /* leases an owner may keep in any case */
    uint32_t under_way;         /* recalls not answered and not promised to anybody yet */
    /* Searches among others that found nothing.  Wants come by falling priority,
     * so one that lacks no more and has no less will find nothing either: with
     * thousands that wait few have to look. */
    struct { uint32_t lacking, has; } futile[FUTILE_MAX];
    uint32_t futile_count;
};

/* Whoever waits, for what. */
struct need {
    struct want *want;
    uint32_t lacking;
    const struct proc *resume;  /* the worker that wants to go on, or NULL */
};

static bool is_firm(const struct lease *l)
{
    return l->cpu == CPU_TAKEN && !l->recalled;
}

static void count_leases(struct node *n, struct recall *r)
{
    uint32_t total = 0;
    *r = (struct recall){0};
    list_init(&r->givers);
    list_each(it, &n->active) {
        struct proc *owner = list_entry(it, struct proc, active);
        owner->firm = owner->promised = 0;
        list_each(in_owner, &owner->leases)
            list_entry(in_owner, struct lease, in_owner)->want->firm = 0;
        list_each(in_owner, &owner->leases) {
            const struct lease *l = list_entry(in_owner, struct lease, in_owner);
            owner->firm += is_firm(l);
            l->want->firm += is_firm(l);
            r->under_way += l->recalled && l->cpu == CPU_TAKEN;
            total += l->cpu == CPU_TAKEN;
        }
        if (owner->firm > 0)
            list_push(&r->givers, &owner->giver);
    }
    r->share = n->active_count ? total / n->active_count : 0;
}

/* Could this lease help at all? */
static bool is_useful(const struct node *n, const struct proc *worker, const struct need *need)
{
    const struct lease *l = &worker->lease;
    return l->state == LEASE_HELD && is_firm(l) && !worker->doomed &&
           (resources_used(&l->need, &n->config.total) & need->lacking);
}

static uint32_t has_of(const struct need *need)
{
    return need->want->owner->firm + need->want->owner->promised;
}

static bool may_take(struct node *n, const struct recall *r, const struct proc *giver,
                     const struct lease *l, const struct need *need)
{
    uint32_t has = has_of(need);
    if (l->want->priority > need->want->priority)
        return false;
    if (giver->firm > r->share && giver->firm > has + 1)
        return true;
    if (r->share > 0 || has > 0)
        return false;
    int64_t turn_over = l->granted_at + NODE_TURN;
    if (turn_over > n->now)
        node_by(&n->recall_at, turn_over);
    return turn_over <= n->now;
}

static bool may_take_own(const struct lease *l, const struct need *need)
{
    if (need->resume)
        return true;
    if (l->want == need->want || l->want->priority > need->want->priority)
        return false;
    return l->want->priority < need->want->priority || l->want->firm > need->want->leases + need->want->promised + 1;
}

/* Lower priority first, then the newest: it has the least work behind it. */
static bool is_better(const struct proc *a, const struct proc *b)
{
    if (!b)
        return true;
    int32_t x = a->lease.want->priority, y = b->lease.want->priority;
    return x != y ? x < y : a->lease.granted_at > b->lease.granted_at;
}

static bool is_futile(const struct recall *r, const struct need *need)
{
    for (uint32_t i = 0; i < r->futile_count; i++)
        if ((need->lacking & ~r->futile[i].lacking) == 0 && has_of(need) >= r->futile[i].has)
            return true;
    return false;
}

static struct proc *find_other(struct node *n, const struct recall *r, const struct need *need)
{
    struct proc *best = NULL;
    list_each(it, &r->givers) {
        struct proc *giver = list_entry(it, struct proc, giver);
        uint32_t most = best ? best->lease.want->owner->firm : 0;
        if (giver == need->want->owner || giver->firm == 0 || giver->firm < most)
            continue;
        list_each(in_owner, &giver->leases) {
            struct proc *worker = list_entry(in_owner, struct proc, lease.in_owner);
            if (is_useful(n, worker, need) && may_take(n, r, giver, &worker->lease, need) &&
                (giver->firm > most || is_better(worker, best))) {
                best = worker;
                most = giver->firm;
            }
        }
    }
    return best;
}

static struct proc *find_own(struct node *n, const struct proc *owner, const struct need *need)
{
    struct proc *best = NULL;
    if (!need->resume && map_count(&owner->wants) < 2)
        return NULL;
    list_each(in_owner, &owner->leases) {
        struct proc *worker = list_entry(in_owner, struct proc, lease.in_owner);
        if (is_useful(n, worker, need) && may_take_own(&worker->lease, need) && is_better(worker, best))
            best = worker;
    }
    return best;
}

/* One lease for @need.  False: there is none to recall. */
static bool recall_one(struct node *n, struct recall *r, const struct need *need)
{
    if (r->under_way > 0) {
        r->under_way--;
        need->want->owner->promised++;
        need->want->promised++;
        return true;
    }
    struct proc *worker = NULL;
    if (!is_futile(r, need)) {
        worker = find_other(n, r, need);
        /* Not for a resume: its priority is out of line. */
        if (!worker && !need->resume && r->futile_count < FUTILE_MAX) {
            r->futile[r->futile_count].lacking = need->lacking;
            r->futile[r->futile_count++].has = has_of(need);
        }
    }
    if (!worker)
        worker = find_own(n, need->want->owner, need);
    if (!worker && need->resume)
        worker = find_own(n, need->resume, need);
    if (!worker)
        return false;
    worker->lease.recalled = true;
    worker->lease.want->owner->firm--;
    worker->lease.want->firm--;
    need->want->owner->promised++;
    need->want->promised++;
    struct msg m = {.kind = MSG_LEASE_RECALL};
    m.u.lease_recall.lease = worker->lease.id;
    node_send(n, worker->lease.want->owner->addr, &m);
    return true;
}

void recall_leases(struct node *n, struct list *aside)
{
    n->recall_at = NEVER_NS;
    struct recall r;
    count_leases(n, &r);
    list_each(it, &n->resumes) {
        struct proc *worker = list_entry(it, struct proc, in_resumes);
        struct need need = {worker->lease.want, RESOURCE_CPU, worker};
        recall_one(n, &r, &need);
    }
    list_each(it, aside) {
        struct want *w = list_entry(it, struct want, aside);
        struct need need = {w, w->lacking, NULL};
        if (!w->lacking)
            continue;           /* it waits for a process and not for resources */
        if (w->lacking_since + NODE_PATIENCE > n->now) {
            node_by(&n->recall_at, w->lacking_since + NODE_PATIENCE);
            continue;
        }
        w->promised = 0;
        for (uint32_t i = want_unmet(w); i > 0; i--)
            if (!recall_one(n, &r, &need))
                break;
    }
    list_each(it, &r.givers)
        list_del(it);
}

void recall_soon(struct node *n)
{
    if (n->recall_at != NEVER_NS)
        return;
    const struct list *first = n->active.next;
    bool alone = n->active_count == 1 && list_empty(&n->resumes) &&
                 map_count(&list_entry(first, struct proc, active)->wants) < 2;
    if (!alone)
        n->recall_at = n->now + NODE_PATIENCE;
}
