/* head.c - see head.h for the contract.
 *
 * Rows of the record, each value an encoded message:
 *
 *   meta     "head"        NODE_JOINED   last node number, last incarnation, epoch
 *   node     number        NODE_JOINED   its incarnation and boot
 *   package  hash          PACKAGE
 *   kv       key           KV_VALUE      (so that an empty value is not a deletion)
 *
 * A node that joins with the number and boot that it had gets the incarnation
 * that it had: a repeated join changes nothing.  Another boot is another life
 * of the node and gets the next incarnation.
 */
#include "core/head.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/map.h"

struct member {
    uint32_t node, inc;
    uint64_t boot, version;     /* of its last report */
    bool alive;
    char name[64];
    struct resources total, free;
    int64_t seen_at;
};

/* A value of the key-value table, or a package: encoded, as it is persisted. */
struct entry {
    uint32_t len;
    uint8_t data[];
};

/* An answer that waits for its record. */
struct waiting {
    uint64_t number;
    struct addr to;
    struct msg reply;           /* without spans */
};

struct head {
    const struct head_ops *ops;
    void *io;
    uint64_t epoch;
    uint32_t last_node, last_inc;
    struct map members;         /* number -> member, owned */
    struct map kv;              /* hash of the key -> chain of pairs, owned */
    struct map packages;        /* hash128 -> entry, owned */
    uint64_t persisted, persist_number;
    struct waiting *waiting;    /* owned; a ring */
    uint32_t waiting_first, waiting_count;
    uint64_t view_version;
    bool view_dirty;
    int64_t deadline;
    struct buf row;
};

struct pair {
    struct pair *next;
    struct entry *value;        /* owned */
    uint32_t key_len;
    char key[];
};

/* ---- small things ----------------------------------------------------------------- */

static struct entry *entry_new(struct span bytes)
{
    struct entry *e = malloc(sizeof(*e) + bytes.len);
    if (e) {
        e->len = bytes.len;
        if (bytes.len)
            memcpy(e->data, bytes.data, bytes.len);
    }
    return e;
}

static uint64_t key_hash(struct span key)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < key.len; i++)
        h = (h ^ key.data[i]) * UINT64_C(0x100000001b3);
    return h;
}

static struct pair *kv_find(const struct head *h, struct span key)
{
    uint64_t hash = key_hash(key);
    for (struct pair *p = map_get(&h->kv, &hash); p; p = p->next)
        if (p->key_len == key.len && memcmp(p->key, key.data, key.len) == 0)
            return p;
    return NULL;
}

static bool kv_set(struct head *h, struct span key, struct span encoded)
{
    struct entry *value = entry_new(encoded);
    if (!value)
        return false;
    struct pair *p = kv_find(h, key);
    if (p) {
        free(p->value);
        p->value = value;
        return true;
    }
    uint64_t hash = key_hash(key);
    p = malloc(sizeof(*p) + key.len);
    if (p) {
        *p = (struct pair){map_get(&h->kv, &hash), value, key.len};
        memcpy(p->key, key.data, key.len);
        if (map_put(&h->kv, &hash, p))
            return true;
    }
    free(p);
    free(value);
    return false;
}

static struct member *member_of(const struct head *h, uint32_t node) { return map_get(&h->members, &node); }

static struct member *member_new(struct head *h, uint32_t node)
{
    if (map_count(&h->members) >= HEAD_NODES_MAX)
        return NULL;
    struct member *m = calloc(1, sizeof(*m));
    if (m && !map_put(&h->members, &node, m)) {
        free(m);
        return NULL;
    }
    if (m)
        m->node = node;
    return m;
}

/* ---- the record --------------------------------------------------------------------- */

static bool put_row(struct head *h, const char *table, struct span key, const struct msg *value)
{
    buf_reset(&h->row);
    h->ops->encode(&h->row, value);
    if (h->row.failed)
        return false;
    struct head_record row = {++h->persist_number, table, key, buf_span(&h->row)};
    h->ops->persist(h->io, &row);
    return true;
}

static bool put_meta(struct head *h)
{
    struct msg m = {.kind = MSG_NODE_JOINED};
    m.u.node_joined = (struct msg_node_joined){h->last_node, h->last_inc, 0, h->epoch};
    return put_row(h, "meta", span_str("head"), &m);
}

static bool may_persist(const struct head *h)
{
    return h->waiting_count < HEAD_PERSIST_MAX && h->persist_number - h->persisted < HEAD_PERSIST_MAX;
}

/* Answer when everything that was persisted so far is safe. */
static void answer_later(struct head *h, struct addr to, const struct msg *reply)
{
    assert(h->waiting_count < HEAD_PERSIST_MAX);
    h->waiting[(h->waiting_first + h->waiting_count++) % HEAD_PERSIST_MAX] =
        (struct waiting){h->persist_number, to, *reply};
}

void head_persisted(struct head *h, uint64_t number, bool ok, int64_t now)
{
    (void)now;
    if (number > h->persisted)
        h->persisted = number;
    while (h->waiting_count > 0 && h->waiting[h->waiting_first].number <= h->persisted) {
        struct waiting *w = &h->waiting[h->waiting_first];
        h->waiting_first = (h->waiting_first + 1) % HEAD_PERSIST_MAX;
        h->waiting_count--;
        if (!ok && w->reply.kind == MSG_KV_VALUE)
            w->reply.u.kv_value.status = COVEY_ESYSTEM;
        else if (!ok)
            continue;           /* a join is asked again until it is answered */
        h->ops->send(h->io, w->to, &w->reply);
    }
}

covey_status head_load(struct head *h, const char *table, struct span key, struct span value)
{
    struct msg m;
    covey_status status = h->ops->decode(value, &m);
    if (status != COVEY_OK)
        return status;
    if (strcmp(table, "meta") == 0 && m.kind == MSG_NODE_JOINED) {
        h->last_node = m.u.node_joined.node;
        h->last_inc = m.u.node_joined.inc;
        h->epoch = m.u.node_joined.head_epoch;
    } else if (strcmp(table, "node") == 0 && m.kind == MSG_NODE_JOINED) {
        struct member *node = member_of(h, m.u.node_joined.node);
        if (!node && !(node = member_new(h, m.u.node_joined.node)))
            return COVEY_ENOMEM;
        node->inc = m.u.node_joined.inc;
        node->boot = m.u.node_joined.boot;
    } else if (strcmp(table, "kv") == 0 && m.kind == MSG_KV_VALUE) {
        return kv_set(h, key, value) ? COVEY_OK : COVEY_ENOMEM;
    } else if (strcmp(table, "package") == 0 && m.kind == MSG_PACKAGE) {
        struct entry *e = entry_new(value);
        if (!e || !map_put(&h->packages, &m.u.package.hash, e)) {
            free(e);
            return COVEY_ENOMEM;
        }
    } else {
        return COVEY_EPROTO;
    }
    return COVEY_OK;
}

/* ---- the view ----------------------------------------------------------------------------- */

static void send_view(struct head *h)
{
    uint32_t count = map_count(&h->members), n = 0;
    struct node_view *nodes = calloc(count + 1, sizeof(*nodes));
    if (!nodes)
        return;                 /* the next change brings another */
    struct member *m;
    for (uint32_t i = 0; (m = map_next(&h->members, &i)) != NULL;)
        nodes[n++] = (struct node_view){m->node, m->inc, m->alive, span_str(m->name), m->total, m->free};
    struct msg view = {.kind = MSG_VIEW};
    view.u.view = (struct msg_view){++h->view_version, n, nodes};
    for (uint32_t i = 0; (m = map_next(&h->members, &i)) != NULL;)
        if (m->alive)
            h->ops->send(h->io, (struct addr){m->node, 0, 0, 0}, &view);
    free(nodes);
    h->view_dirty = false;
}

static void mark_gone(struct head *h, struct member *m)
{
    if (!m->alive)
        return;
    m->alive = false;
    h->view_dirty = true;
}

void head_node_gone(struct head *h, uint32_t node, int64_t now)
{
    struct member *m = member_of(h, node);
    if (m)
        mark_gone(h, m);
    head_tick(h, now);
}

void head_tick(struct head *h, int64_t now)
{
    h->deadline = NEVER_NS;
    struct member *m;
    for (uint32_t i = 0; (m = map_next(&h->members, &i)) != NULL;) {
        if (!m->alive)
            continue;
        if (now - m->seen_at >= HEAD_NODE_SUSPECT)
            mark_gone(h, m);
        else if (m->seen_at + HEAD_NODE_SUSPECT < h->deadline)
            h->deadline = m->seen_at + HEAD_NODE_SUSPECT;
    }
    if (h->view_dirty)
        send_view(h);
}

int64_t head_deadline(const struct head *h) { return h->deadline; }

static void seen(struct head *h, struct member *m, int64_t now)
{
    m->seen_at = now;
    if (!m->alive) {
        m->alive = true;
        h->view_dirty = true;
    }
    if (now + HEAD_NODE_SUSPECT < h->deadline)
        h->deadline = now + HEAD_NODE_SUSPECT;
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct member *member_with_boot(const struct head *h, uint64_t boot)
{
    struct member *m;
    for (uint32_t i = 0; (m = map_next(&h->members, &i)) != NULL;)
        if (m->boot == boot)
            return m;
    return NULL;
}

/* The member that joins, with a number and an incarnation; NULL: no room. */
static struct member *admit(struct head *h, const struct msg_node_join *j, bool *changed)
{
    struct member *m = j->node ? member_of(h, j->node) : member_with_boot(h, j->boot);
    if (!m) {
        uint32_t node = j->node;
        while (node == 0 || member_of(h, node))
            node = ++h->last_node;
        m = member_new(h, node);
        if (!m)
            return NULL;
        if (node > h->last_node)
            h->last_node = node;
    }
    *changed = m->inc == 0 || m->boot != j->boot;
    if (*changed) {
        m->inc = ++h->last_inc;
        m->boot = j->boot;
        m->version = 0;
    }
    return m;
}

static void on_join(struct head *h, struct addr from, const struct msg_node_join *j, int64_t now)
{
    bool changed;
    if (!may_persist(h))
        return;                 /* it asks again */
    struct member *m = admit(h, j, &changed);
    if (!m)
        return;
    snprintf(m->name, sizeof(m->name), "%.*s", (int)(j->name.len < 63 ? j->name.len : 63), (const char *)j->name.data);
    m->total = j->total;
    if (changed)
        m->free = j->total;
    struct msg reply = {.kind = MSG_NODE_JOINED};
    reply.u.node_joined = (struct msg_node_joined){m->node, m->inc, m->boot, h->epoch};
    char key[16];
    snprintf(key, sizeof(key), "%u", m->node);
    if (changed && !(put_meta(h) && put_row(h, "node", span_str(key), &reply)))
        return;
    seen(h, m, now);
    h->view_dirty = true;
    answer_later(h, from, &reply);
    head_persisted(h, h->persisted, true, now);     /* nothing changed: nothing to wait for */
}

static void on_state(struct head *h, struct addr from, const struct msg_node_state *s, int64_t now)
{
    struct member *m = member_of(h, from.node);
    if (!m || m->inc == 0)
        return;
    seen(h, m, now);
    if (s->version <= m->version)
        return;
    m->version = s->version;
    m->free = s->free;
    h->view_dirty = true;
}

static void on_package(struct head *h, const struct msg *msg)
{
    const struct msg_package *p = &msg->u.package;
    if (map_get(&h->packages, &p->hash) || !may_persist(h))
        return;
    if (!put_row(h, "package", span_of(&p->hash, sizeof(p->hash)), msg))
        return;
    struct entry *e = entry_new(buf_span(&h->row));
    if (!e || !map_put(&h->packages, &p->hash, e))
        free(e);
}

static void on_put(struct head *h, struct addr from, const struct msg_kv_put *p)
{
    struct msg reply = {.kind = MSG_KV_VALUE}, value = {.kind = MSG_KV_VALUE};
    reply.u.kv_value = (struct msg_kv_value){.request = p->request, .status = COVEY_OK};
    value.u.kv_value = (struct msg_kv_value){.status = COVEY_OK, .value = p->value};
    if (p->value.len > HEAD_KV_BYTES_MAX)
        reply.u.kv_value.status = COVEY_ETOOBIG;
    else if (p->only_new && kv_find(h, p->key))
        reply.u.kv_value.status = COVEY_EREFUSED;
    else if (!may_persist(h))
        reply.u.kv_value.status = COVEY_EAGAIN;
    else if (!put_row(h, "kv", p->key, &value) || !kv_set(h, p->key, buf_span(&h->row)))
        reply.u.kv_value.status = COVEY_ENOMEM;
    if (reply.u.kv_value.status != COVEY_OK)
        h->ops->send(h->io, from, &reply);
    else
        answer_later(h, from, &reply);
}

static void on_get(struct head *h, struct addr from, const struct msg_kv_get *g)
{
    struct msg reply = {.kind = MSG_KV_VALUE};
    const struct pair *p = kv_find(h, g->key);
    if (!p)
        reply.u.kv_value.status = COVEY_EUNKNOWN;
    else if (h->ops->decode((struct span){p->value->data, p->value->len}, &reply) != COVEY_OK)
        reply.u.kv_value.status = COVEY_EPROTO;
    reply.u.kv_value.request = g->request;
    h->ops->send(h->io, from, &reply);
}

void head_msg(struct head *h, struct addr from, const struct msg *msg, int64_t now)
{
    switch (msg->kind) {
    case MSG_NODE_JOIN: on_join(h, from, &msg->u.node_join, now); break;
    case MSG_NODE_STATE: on_state(h, from, &msg->u.node_state, now); break;
    case MSG_PACKAGE: on_package(h, msg); break;
    case MSG_KV_PUT: on_put(h, from, &msg->u.kv_put); break;
    case MSG_KV_GET: on_get(h, from, &msg->u.kv_get); break;
    case MSG_SHUTDOWN: h->ops->shutdown(h->io, msg->u.shutdown.grace_ms); break;
    default: break;             /* not for a head */
    }
    if (h->view_dirty)
        send_view(h);
}

/* ---- life ---------------------------------------------------------------------------------------- */

covey_status head_new(struct head **out, const struct head_ops *ops, void *io)
{
    struct head *h = calloc(1, sizeof(*h));
    if (!h)
        return COVEY_ENOMEM;
    h->ops = ops;
    h->io = io;
    h->deadline = NEVER_NS;
    h->waiting = calloc(HEAD_PERSIST_MAX, sizeof(*h->waiting));
    if (!h->waiting) {
        free(h);
        return COVEY_ENOMEM;
    }
    map_init(&h->members, sizeof(uint32_t));
    map_init(&h->kv, sizeof(uint64_t));
    map_init(&h->packages, sizeof(struct hash128));
    buf_init(&h->row);
    *out = h;
    return COVEY_OK;
}

void head_free(struct head **head)
{
    struct head *h = *head;
    if (!h)
        return;
    *head = NULL;
    void *item;
    for (uint32_t i = 0; (item = map_next(&h->members, &i)) != NULL;)
        free(item);
    for (uint32_t i = 0; (item = map_next(&h->packages, &i)) != NULL;)
        free(item);
    for (uint32_t i = 0; (item = map_next(&h->kv, &i)) != NULL;) {
        struct pair *p = item;
        while (p) {
            struct pair *next = p->next;
            free(p->value);
            free(p);
            p = next;
        }
    }
    map_fini(&h->members);
    map_fini(&h->packages);
    map_fini(&h->kv);
    buf_fini(&h->row);
    free(h->waiting);
    free(h);
}

/* A higher epoch than any life before, safe on disk before anything else is:
 * records are persisted in order. */
void head_start(struct head *h, int64_t now)
{
    (void)now;
    h->epoch++;
    (void)put_meta(h);
}

uint64_t head_epoch(const struct head *h) { return h->epoch; }
