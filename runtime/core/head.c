/* head.c - see head.h for the contract.
 *
 * The record's rows, each an encoded message:
 *
 *   meta     "epoch"           NODE_JOINED, of which only the epoch counts
 *   node     'j' and number    NODE_JOIN: name and total
 *            'i' and number    NODE_JOINED: incarnation and boot; written after the
 *                              other, so a node exists when it has this one
 *   package  hash              PACKAGE
 *   kv       key               KV_PUT, its request mixed with the sender
 */
#include "core/head_internal.h"

#include <stdlib.h>

#define EPOCH_KEY "epoch"

static int package_known;       /* what the set of packages points to */

void head_send(struct head *h, struct addr to, const struct msg *msg)
{
    h->ops->send(h->io, to, msg);
}

/* ---- life ------------------------------------------------------------------------ */

covey_status head_new(struct head **out, const struct head_ops *ops, void *io)
{
    struct head *h = calloc(1, sizeof *h);
    if (!h)
        return COVEY_ENOMEM;
    h->ops = ops;
    h->io = io;
    h->retry_at = NEVER_NS;
    list_init(&h->pending);
    list_init(&h->alive);
    buf_init(&h->row);
    map_init(&h->nodes, sizeof(uint32_t));
    map_init(&h->packages, sizeof(struct hash128));
    map_init(&h->kv, 2 * sizeof(uint64_t));
    *out = h;
    return COVEY_OK;
}

void head_free(struct head **head)
{
    struct head *h = *head;
    *head = NULL;
    if (!h)
        return;
    list_each(it, &h->pending) {
        struct pending *p = list_entry(it, struct pending, in_head);
        free(p->value);
        free(p);
    }
    members_free(h);
    kv_free(h);
    map_fini(&h->packages);
    buf_fini(&h->row);
    free(h);
}

uint64_t head_epoch(const struct head *h)
{
    return h->epoch;
}

/* ---- the record ---------------------------------------------------------------------- */

bool head_persist(struct head *h, const char *table, struct span key, const struct msg *value)
{
    if (h->number - h->safe >= HEAD_PERSIST_MAX)
        return false;
    buf_reset(&h->row);
    h->ops->encode(&h->row, value);
    if (h->row.failed)
        return false;
    struct head_record record = {.number = ++h->number, .table = table, .key = key,
                                 .value = buf_span(&h->row)};
    h->ops->persist(h->io, &record);
    return true;
}

static void epoch_done(struct head *h, bool ok)
{
    h->epoch_staged = false;
    h->epoch_safe = ok;
    if (!ok && h->retry_at == NEVER_NS)
        h->retry_at = h->now + HEAD_RETRY;
}

static void package_done(struct head *h, const struct pending *p, bool ok)
{
    if (!ok)
        map_del(&h->packages, &p->package); /* whoever tells it again writes it again */
}

static void carry_out(struct head *h, struct pending *p, bool ok)
{
    switch (p->kind) {
    case PENDING_EPOCH: epoch_done(h, ok); break;
    case PENDING_JOIN: members_joined(h, p, ok); break;
    case PENDING_PACKAGE: package_done(h, p, ok); break;
    default: kv_done(h, p, ok); break;
    }
}

struct pending *head_reserve(struct head *h, const struct pending *what)
{
    struct pending *p = h->pending_count < 2 * HEAD_PERSIST_MAX ? malloc(sizeof *p) : NULL;
    if (p)
        *p = *what;
    return p;
}

void head_queue(struct head *h, struct pending *p)
{
    p->number = h->number;
    if (h->number == h->safe) {
        carry_out(h, p, true);
        free(p);
        return;
    }
    list_push(&h->pending, &p->in_head);
    h->pending_count++;
}

void head_persisted(struct head *h, uint64_t number, bool ok, int64_t now)
{
    assert(number <= h->number);
    h->now = now;
    if (number > h->safe)
        h->safe = number;
    while (!list_empty(&h->pending)) {
        struct pending *p = list_entry(h->pending.next, struct pending, in_head);
        if (p->number > number)
            break;
        list_del(&p->in_head);
        h->pending_count--;
        carry_out(h, p, ok);
        free(p);
    }
}

static void persist_epoch(struct head *h)
{
    struct msg m = {.kind = MSG_NODE_JOINED};
    struct pending what = {.kind = PENDING_EPOCH}, *p = head_reserve(h, &what);
    m.u.node_joined.head_epoch = h->epoch;
    if (p && head_persist(h, "meta", span_str(EPOCH_KEY), &m)) {
        h->epoch_staged = true;
        head_queue(h, p);
    } else {
        free(p);
        h->retry_at = h->now + HEAD_RETRY;
    }
}

covey_status head_load(struct head *h, const char *table, struct span key, struct span value)
{
    struct msg m;
    assert(!h->started);
    if (strcmp(table, "node") == 0)
        return members_load(h, key, value);
    if (strcmp(table, "package") == 0) {
        if (key.len != sizeof(struct hash128))
            return COVEY_EPROTO;
        return map_put(&h->packages, key.data, &package_known) ? COVEY_OK : COVEY_ENOMEM;
    }
    covey_status status = h->ops->decode(value, &m);
    if (status != COVEY_OK)
        return status;
    if (strcmp(table, "kv") == 0 && m.kind == MSG_KV_PUT)
        return kv_load(h, key, &m.u.kv_put);
    if (strcmp(table, "meta") != 0 || m.kind != MSG_NODE_JOINED)
        return COVEY_EPROTO;
    if (m.u.node_joined.head_epoch > h->epoch)
        h->epoch = m.u.node_joined.head_epoch;
    return COVEY_OK;
}

void head_load_nothing(struct head *h, uint64_t epoch)
{
    assert(!h->started);
    if (epoch > h->epoch)
        h->epoch = epoch;
}

void head_start(struct head *h, int64_t now)
{
    assert(!h->started);
    h->now = now;
    h->started = true;
    h->epoch++;
    h->view_sent_at = now - HEAD_STATE_EVERY;
    persist_epoch(h);
}

/* ---- messages ---------------------------------------------------------------------------- */

static void on_package(struct head *h, const struct msg *m)
{
    struct hash128 hash = m->u.package.hash;
    struct pending what = {.kind = PENDING_PACKAGE, .package = hash};
    if (map_get(&h->packages, &hash) || map_count(&h->packages) >= HEAD_PACKAGES_MAX)
        return;
    struct pending *p = head_reserve(h, &what);
    if (p && map_put(&h->packages, &hash, &package_known)) {
        if (head_persist(h, "package", span_of(&hash, sizeof hash), m)) {
            head_queue(h, p);
            return;
        }
        map_del(&h->packages, &hash);
    }
    free(p);                    /* not known, then; whoever needs it tells it again */
}

void head_msg(struct head *h, struct addr from, const struct msg *m, int64_t now)
{
    assert(h->started);
    h->now = now;
    switch (m->kind) {
    case MSG_NODE_JOIN: members_join(h, from, &m->u.node_join); break;
    case MSG_NODE_STATE: members_state(h, from, &m->u.node_state); break;
    case MSG_PACKAGE: on_package(h, m); break;
    case MSG_KV_PUT: kv_put(h, from, &m->u.kv_put); break;
    case MSG_KV_GET: kv_get(h, from, &m->u.kv_get); break;
    case MSG_QUERY: members_query(h, from, &m->u.query); break;
    case MSG_SHUTDOWN:
        members_shutdown(h, m->u.shutdown.grace_ms);
        h->ops->shutdown(h->io, m->u.shutdown.grace_ms);
        break;
    default: break;             /* not for a head */
    }
}

void head_node_gone(struct head *h, struct addr who, int64_t now)
{
    struct head_node *n = members_find(h, who.node);
    h->now = now;
    if (n && addr_eq(n->addr, who))
        members_gone(h, n);
}

/* ---- time -------------------------------------------------------------------------------------- */

void head_tick(struct head *h, int64_t now)
{
    h->now = now;
    if (!h->started)
        return;
    if (h->retry_at <= now) {
        h->retry_at = NEVER_NS;
        if (!h->epoch_safe && !h->epoch_staged)
            persist_epoch(h);
    }
    members_tick(h);
}

int64_t head_deadline(const struct head *h)
{
    int64_t at = members_deadline(h);
    return h->retry_at < at ? h->retry_at : at;
}
