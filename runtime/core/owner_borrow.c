/* owner_borrow.c - refs that cross processes.
 *
 * As owner.  A task's reply lists the refs that its process still holds; each
 * becomes a borrower.  Its versions grow with each time that it borrows the
 * object anew, so the highest one that was heard of, and whether that one was
 * dropped, is all that counts: adds and drops may come in any order, by
 * different ways, and more than once.  Processes that asked for a value are
 * watchers and hear OBJECT_READY once.
 *
 * As borrower.  A handle among a task's arguments makes a borrowed object; the
 * task covers it while it runs.  If the process keeps it, the reply says so,
 * and from then on the owner is told with BORROW_DROP when it lets go.  A
 * borrowed ref that is passed on to a task of ours, whose worker keeps it, is
 * told to the owner with BORROW_ADD, and held here until the owner has
 * acknowledged the new holder.
 *
 * When an owner dies its node takes its place: what is not there by then is
 * COVEY_EOWNER, what is in the store stays readable, and drops go to the node.
 */
#include "core/owner_internal.h"

#include <stdlib.h>

bool borrow_active(const struct object *obj)
{
    for (const struct borrower *b = obj->borrowers; b; b = b->next)
        if (!b->dropped)
            return true;
    return false;
}

void borrow_free_lists(struct object *obj)
{
    while (obj->borrowers) {
        struct borrower *b = obj->borrowers;
        obj->borrowers = b->next;
        free(b);
    }
    while (obj->watchers) {
        struct watcher *w = obj->watchers;
        obj->watchers = w->next;
        free(w);
    }
}

/* ---- as owner ------------------------------------------------------------------- */

static struct borrower *find(const struct object *obj, struct addr who)
{
    struct borrower *b = obj->borrowers;
    while (b && !addr_eq(b->who, who))
        b = b->next;
    return b;
}

static bool put(struct object *obj, struct addr who, uint64_t version, bool dropped)
{
    struct borrower *b = malloc(sizeof(*b));
    if (!b)
        return false;
    *b = (struct borrower){obj->borrowers, who, version, dropped};
    obj->borrowers = b;
    return true;
}

static void borrower_add(struct object *obj, struct addr who, uint64_t version)
{
    struct borrower *b = find(obj, who);
    if (b && version > b->version) {
        b->version = version;
        b->dropped = false;
    } else if (!b && !put(obj, who, version, false)) {
        obj->uses++;                /* without memory for the borrower the object stays for good */
    }
}

static void borrower_drop(struct owner *o, struct object *obj, struct addr who, uint64_t version)
{
    struct borrower *b = find(obj, who);
    if (!b) {
        put(obj, who, version, true);
    } else if (version >= b->version) {
        b->version = version;
        b->dropped = true;
        object_check_dead(o, obj);
    }
}

static void send_ready(struct owner *o, struct addr to, const struct object *obj)
{
    struct msg m = {.kind = MSG_OBJECT_READY};
    object_fill(obj, &m.u.object_ready);
    o->ops->send(o->io, to, &m);
}

void borrow_settled(struct owner *o, struct object *obj)
{
    while (obj->watchers) {
        struct watcher *w = obj->watchers;
        obj->watchers = w->next;
        send_ready(o, w->who, obj);
        free(w);
    }
}

static void send_never(struct owner *o, struct addr to, struct oid id, covey_status status, const char *why)
{
    struct msg m = {.kind = MSG_OBJECT_READY};
    m.u.object_ready = (struct msg_object_ready){.id = id, .status = status, .why = span_str(why)};
    o->ops->send(o->io, to, &m);
}

static void on_wait(struct owner *o, struct addr from, struct oid id)
{
    struct object *obj = object_of_id(o, id);
    if (!obj || obj->borrowed) {
        send_never(o, from, id, COVEY_ELOST, "its owner has let it go");
        return;
    }
    if (obj->state != OBJECT_PENDING) {
        send_ready(o, from, obj);
        return;
    }
    for (struct watcher *w = obj->watchers; w; w = w->next)
        if (addr_eq(w->who, from))
            return;
    struct watcher *w = malloc(sizeof(*w));
    if (!w) {                       /* it asks only once */
        send_never(o, from, id, COVEY_ENOMEM, "its owner is out of memory");
        return;
    }
    *w = (struct watcher){obj->watchers, from};
    obj->watchers = w;
}

static void on_add(struct owner *o, struct addr from, const struct msg_borrow_add *m)
{
    struct object *obj = object_of_id(o, m->id);
    if (obj)
        borrower_add(obj, m->borrower, m->version);
    struct msg ack = {.kind = MSG_BORROW_ADDED};
    ack.u.borrow_added = (struct msg_borrow_added){m->id, m->borrower, m->version};
    o->ops->send(o->io, from, &ack);
}

/* A reply's list: @borrower still holds these. Some are ours, some we borrowed
 * ourselves and passed on. */
void borrow_held(struct owner *o, struct addr borrower, const struct held *held, uint32_t count, int64_t now)
{
    (void)now;
    for (uint32_t i = 0; i < count; i++) {
        struct object *obj = object_of_id(o, held[i].id);
        if (!obj)
            continue;
        if (!obj->borrowed) {
            borrower_add(obj, borrower, held[i].version);
            continue;
        }
        obj->uses++;                /* until BORROW_ADDED, or its owner's death */
        obj->passing++;
        struct msg m = {.kind = MSG_BORROW_ADD};
        m.u.borrow_add = (struct msg_borrow_add){obj->id, borrower, held[i].version};
        o->ops->send(o->io, obj->owner_dead ? o->node : oid_owner(obj->id), &m);
    }
}

/* ---- as borrower ------------------------------------------------------------------ */

covey_ref owner_borrow(struct owner *o, const struct dep *dep)
{
    struct object *obj = object_of_id(o, dep->id);
    if (!obj && dep->id.node == o->self.node && dep->id.proc == o->self.proc)
        return (covey_ref){0, 0};   /* our own, and gone */
    if (!obj) {
        obj = object_new(o);
        if (!obj)
            return (covey_ref){0, 0};
        struct key_oid key = key_of_oid(dep->id);
        if (!map_put(&o->borrowed, &key, obj)) {
            object_end(o, obj);
            return (covey_ref){0, 0};
        }
        obj->borrowed = true;
        obj->id = dep->id;
        if (dep->kind == DEP_INLINE)
            (void)object_set_value(o, obj, dep->value);
        else if (dep->place.node)
            object_set_place(obj, &dep->place);
    }
    obj->local++;
    return object_ref(obj);
}

bool owner_borrow_end(struct owner *o, covey_ref ref, bool keep, struct held *out, int64_t now)
{
    struct object *obj = object_of_ref(o, ref);
    if (!obj)
        return false;               /* the task released it itself */
    if (!keep)
        obj->local--;
    bool held = obj->borrowed && (obj->local || obj->uses);
    if (held) {
        if (!obj->version)
            obj->version = ++o->borrow_version;
        *out = (struct held){obj->id, obj->version};
    } else {
        object_check_dead(o, obj);
        owner_run(o, now);
    }
    return held;
}

/* The last hold of a borrowed object went. */
void borrow_dropped(struct owner *o, struct object *obj)
{
    if (!obj->version)
        return;                     /* a task covered it all along */
    struct msg m = {.kind = MSG_BORROW_DROP};
    m.u.borrow_drop = (struct msg_borrow_drop){obj->id, o->self, obj->version};
    o->ops->send(o->io, obj->owner_dead ? o->node : oid_owner(obj->id), &m);
}

covey_status owner_request(struct owner *o, covey_ref ref, int64_t now)
{
    (void)now;
    struct object *obj = object_of_ref(o, ref);
    if (!obj)
        return COVEY_ESTALE;
    if (!obj->borrowed || obj->state != OBJECT_PENDING || obj->requested)
        return COVEY_OK;
    obj->requested = true;
    struct msg m = {.kind = MSG_OBJECT_WAIT};
    m.u.object_wait = (struct msg_object_wait){obj->id};
    o->ops->send(o->io, obj->owner_dead ? o->node : oid_owner(obj->id), &m);
    return COVEY_OK;
}

static void on_ready(struct owner *o, const struct msg_object_ready *m)
{
    struct object *obj = object_of_id(o, m->id);
    if (!obj || !obj->borrowed || obj->state != OBJECT_PENDING)
        return;
    if (m->status != COVEY_OK)
        object_set_failure(obj, failure_new((covey_status)m->status, m->user_code, 0, "%.*s", (int)m->why.len,
                                            m->why.len ? (const char *)m->why.data : ""));
    else if (m->in_store)
        object_set_place(obj, &m->place);
    else if (!object_set_value(o, obj, m->value))
        object_set_failure(obj, failure_share(&failure_no_memory));
    object_settle(o, obj);
}

static void on_added(struct owner *o, struct oid id)
{
    struct object *obj = object_of_id(o, id);
    if (obj && obj->borrowed && obj->passing) {
        obj->passing--;
        object_unuse(o, obj);
    }
}

static void on_cancel(struct owner *o, const struct msg_object_cancel *m, int64_t now)
{
    struct object *obj = object_of_id(o, m->id);
    if (obj && !obj->borrowed && obj->task)
        task_cancel(o, obj->task, COVEY_ECANCELLED, task_grace(obj->task, m->grace_ms), m->recursive, now);
}

/* A writer died; which of these places are the owner's?  What it does not know
 * is freed.  A death that waits for its grace is carried out first, so that no
 * reply can commit a place that is being given up here. */
static void on_keep_ask(struct owner *o, struct addr from, const struct msg_keep_ask *ask, int64_t now)
{
    for (uint32_t i = 0; i < ask->kept_count; i++) {
        struct task *t = task_of_seq(o, ask->kept[i].id.seq);
        if (t && t->lease && t->lease->dead_at != NEVER_NS)
            lease_died(o, t->lease, now);
    }
    struct kept *unknown = malloc((ask->kept_count + 1) * sizeof(*unknown));
    uint32_t n = 0;
    for (uint32_t i = 0; unknown && i < ask->kept_count; i++) {
        const struct kept *k = &ask->kept[i];
        struct object *obj = object_of_id(o, k->id);
        if (!obj || !object_is_at(obj, &k->place))
            unknown[n++] = *k;
    }
    struct msg m = {.kind = MSG_KEEP_ANSWER};
    m.u.keep_answer = (struct msg_keep_answer){ask->request, n, unknown};
    if (unknown)                    /* without an answer nothing is freed: the safe side */
        o->ops->send(o->io, from, &m);
    free(unknown);
}

/* ---- death -------------------------------------------------------------------------- */

static void forget_process(struct owner *o, struct object *obj, struct addr who)
{
    for (struct borrower **at = &obj->borrowers; *at;) {
        struct borrower *b = *at;
        if (addr_eq(b->who, who)) {
            *at = b->next;
            free(b);
        } else {
            at = &b->next;
        }
    }
    for (struct watcher **at = &obj->watchers; *at;) {
        struct watcher *w = *at;
        if (addr_eq(w->who, who)) {
            *at = w->next;
            free(w);
        } else {
            at = &w->next;
        }
    }
    object_check_dead(o, obj);
}

static void orphan(struct owner *o, struct object *obj)
{
    obj->owner_dead = true;
    for (; obj->passing; obj->passing--)
        object_unuse(o, obj);       /* the new holder speaks for itself in its CENSUS */
    if (obj->state == OBJECT_PENDING && obj->requested) {
        object_set_failure(obj, failure_new(COVEY_EOWNER, 0, 0, "the process that owned it (p%u of node %u) died before "
                                            "it was made", obj->id.proc, obj->id.node));
        object_settle(o, obj);
    }
}

/* What this process holds of @who's objects, for the node.  Not what a running
 * task covers: whoever passed that on holds it until the task has replied. */
static void send_census(struct owner *o, struct addr who)
{
    uint32_t count = map_count(&o->borrowed), n = 0;
    struct place *places = malloc((count + 1) * sizeof(*places));
    struct object *obj;
    for (uint32_t i = 0; places && (obj = map_next(&o->borrowed, &i)) != NULL;)
        if (addr_eq(oid_owner(obj->id), who) && obj->version && obj->state == OBJECT_READY && obj->in_store)
            places[n++] = obj->v.place;
    struct msg m = {.kind = MSG_CENSUS};
    m.u.census = (struct msg_census){who, n, places};
    if (places)
        o->ops->send(o->io, o->node, &m);
    free(places);
}

void borrow_proc_dead(struct owner *o, struct addr who, int64_t now)
{
    (void)now;
    for (uint32_t slot = 0; slot < o->chunk_count * CHUNK_OBJECTS; slot++) {
        struct object *obj = object_at(o, slot);
        if (!obj->live)
            continue;
        if (obj->borrowed && addr_eq(oid_owner(obj->id), who))
            orphan(o, obj);
        else if (obj->borrowers || obj->watchers)
            forget_process(o, obj, who);
    }
    send_census(o, who);
}

bool borrow_msg(struct owner *o, struct addr from, const struct msg *m, int64_t now)
{
    struct object *obj;
    switch (m->kind) {
    case MSG_OBJECT_WAIT: on_wait(o, from, m->u.object_wait.id); return true;
    case MSG_OBJECT_READY: on_ready(o, &m->u.object_ready); return true;
    case MSG_BORROW_ADD: on_add(o, from, &m->u.borrow_add); return true;
    case MSG_BORROW_ADDED: on_added(o, m->u.borrow_added.id); return true;
    case MSG_BORROW_DROP:
        obj = object_of_id(o, m->u.borrow_drop.id);
        if (obj)
            borrower_drop(o, obj, m->u.borrow_drop.borrower, m->u.borrow_drop.version);
        return true;
    case MSG_OBJECT_CANCEL: on_cancel(o, &m->u.object_cancel, now); return true;
    case MSG_KEEP_ASK: on_keep_ask(o, from, &m->u.keep_ask, now); return true;
    default: return false;
    }
}
