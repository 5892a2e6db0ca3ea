/* head_kv.c - the head's key-value table.
 *
 * A put is staged at once, so that the next one sees it, and safe when its
 * record is; then it is acknowledged, and gets show it.  When the disk fails it
 * is as if it had never been.
 *
 * Keys are of any bytes, so the map holds two hashes of each, and entries whose
 * hashes are equal form a chain.
 */
#include "core/head_internal.h"

#include <stdlib.h>

struct key_hash { uint64_t a, b; };

/* FNV-1a, twice with different starts; only the spread matters. */
static struct key_hash hash_key(struct span key)
{
    struct key_hash h = {UINT64_C(0xcbf29ce484222325), UINT64_C(0x9ae16a3b2f90404f)};
    for (uint32_t i = 0; i < key.len; i++) {
        h.a = (h.a ^ key.data[i]) * UINT64_C(0x100000001b3);
        h.b = (h.b ^ key.data[i]) * UINT64_C(0xff51afd7ed558ccd);
    }
    return h;
}

static uint64_t mix(uint64_t x, uint64_t y)
{
    x = (x ^ y) * UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

/* Who wrote it, by which request: a second copy of that is recognised even by
 * the next head. */
static uint64_t writer_of(struct addr from, uint64_t request)
{
    return mix(mix(mix(1, (uint64_t)from.node << 32 | from.proc), from.inc), request);
}

static struct kv_entry *find_entry(const struct head *h, struct span key)
{
    struct key_hash hash = hash_key(key);
    struct kv_entry *e = map_get(&h->kv, &hash);
    while (e && (e->key_len != key.len || memcmp(e->key, key.data, key.len) != 0))
        e = e->next;
    return e;
}

static struct kv_entry *new_entry(struct head *h, struct span key)
{
    struct key_hash hash = hash_key(key);
    struct kv_entry *e = calloc(1, sizeof *e + key.len);
    if (!e)
        return NULL;
    e->key_len = key.len;
    memcpy(e->key, key.data, key.len);
    e->next = map_get(&h->kv, &hash);
    if (!map_put(&h->kv, &hash, e)) {
        free(e);
        return NULL;
    }
    h->kv_count++;
    h->kv_bytes += key.len;
    return e;
}

static struct kv_value *new_value(struct head *h, struct span data, uint64_t writer)
{
    struct kv_value *v = malloc(sizeof *v + data.len);
    if (!v)
        return NULL;
    v->writer = writer;
    v->len = data.len;
    if (data.len)
        memcpy(v->data, data.data, data.len);
    h->kv_bytes += data.len;
    return v;
}

static void drop_value(struct head *h, struct kv_value *v)
{
    if (v)
        h->kv_bytes -= v->len;
    free(v);
}

static void reply(struct head *h, struct addr to, uint64_t request, covey_status status,
                  const struct kv_value *v)
{
    struct msg m = {.kind = MSG_KV_VALUE};
    m.u.kv_value = (struct msg_kv_value){.request = request, .status = status};
    if (v)
        m.u.kv_value.value = span_of(v->data, v->len);
    head_send(h, to, &m);
}

/* ---- put ------------------------------------------------------------------------------ */

static covey_status check_put(const struct head *h, const struct msg_kv_put *msg,
                              const struct kv_entry *e)
{
    if (msg->key.len == 0)
        return COVEY_EINVAL;
    if (msg->key.len > HEAD_KV_KEY_MAX || msg->value.len > HEAD_KV_BYTES_MAX)
        return COVEY_ETOOBIG;
    if (!e && h->kv_count >= HEAD_KV_ENTRIES_MAX)
        return COVEY_ELIMIT;
    if (h->kv_bytes + msg->key.len + msg->value.len > HEAD_KV_TOTAL_MAX)
        return COVEY_ELIMIT;
    return COVEY_OK;
}

/* Write it, and answer when it is safe. */
static covey_status stage(struct head *h, struct addr from, const struct msg_kv_put *msg,
                          struct kv_entry *e, uint64_t writer)
{
    struct pending what = {.kind = PENDING_PUT, .to = from, .request = msg->request};
    struct msg row = {.kind = MSG_KV_PUT, .u.kv_put = *msg};
    row.u.kv_put.request = writer;
    if (!e)
        e = new_entry(h, msg->key);
    struct kv_value *v = e ? new_value(h, msg->value, writer) : NULL;
    struct pending *p = v ? head_reserve(h, &what) : NULL;
    if (!p || !head_persist(h, "kv", msg->key, &row)) {
        covey_status status = p ? COVEY_ELIMIT : COVEY_ENOMEM;
        drop_value(h, v);
        free(p);
        return status;
    }
    p->entry = e;
    p->value = e->staged = v;
    head_queue(h, p);
    return COVEY_OK;
}

void kv_put(struct head *h, struct addr from, const struct msg_kv_put *msg)
{
    struct kv_entry *e = find_entry(h, msg->key);
    const struct kv_value *now = !e ? NULL : e->staged ? e->staged : e->safe;
    uint64_t writer = writer_of(from, msg->request);
    struct pending p = {.to = from, .request = msg->request, .entry = e, .writer = writer};
    bool again = now && now->writer == writer && now->len == msg->value.len &&
                 (now->len == 0 || memcmp(now->data, msg->value.data, now->len) == 0);
    covey_status status = COVEY_OK;
    if (again || (now && msg->only_new)) {
        p.kind = again ? PENDING_PUT_AGAIN : PENDING_PUT_REFUSED;
        status = head_later(h, &p) ? COVEY_OK : COVEY_ELIMIT;
    } else if ((status = check_put(h, msg, e)) == COVEY_OK) {
        status = stage(h, from, msg, e, writer);
    }
    if (status != COVEY_OK)
        reply(h, from, msg->request, status, NULL);
}

/* ---- get -------------------------------------------------------------------------------- */

void kv_get(struct head *h, struct addr from, const struct msg_kv_get *msg)
{
    struct kv_entry *e = find_entry(h, msg->key);
    struct pending p = {.kind = PENDING_GET, .to = from, .request = msg->request, .entry = e};
    if (!e)
        reply(h, from, msg->request, COVEY_EUNKNOWN, NULL);
    else if (!head_later(h, &p))
        reply(h, from, msg->request, COVEY_ELIMIT, NULL);
}

/* ---- done ---------------------------------------------------------------------------------- */

static void put_done(struct head *h, struct pending *p, bool ok)
{
    struct kv_entry *e = p->entry;
    if (e->staged == p->value)
        e->staged = NULL;
    if (ok) {
        drop_value(h, e->safe);
        e->safe = p->value;
    } else {
        drop_value(h, p->value);
    }
    p->value = NULL;
    reply(h, p->to, p->request, ok ? COVEY_OK : COVEY_ESYSTEM, NULL);
}

void kv_done(struct head *h, struct pending *p, bool ok)
{
    const struct kv_value *v = p->entry->safe;
    switch (p->kind) {
    case PENDING_PUT: put_done(h, p, ok); break;
    case PENDING_PUT_AGAIN:
        reply(h, p->to, p->request, v && v->writer == p->writer ? COVEY_OK : COVEY_ESYSTEM, NULL);
        break;
    case PENDING_PUT_REFUSED: reply(h, p->to, p->request, v ? COVEY_EREFUSED : COVEY_ESYSTEM, v); break;
    default: reply(h, p->to, p->request, v ? COVEY_OK : COVEY_EUNKNOWN, v); break;
    }
}

/* ---- the record -------------------------------------------------------------------------------- */

covey_status kv_load(struct head *h, struct span key, const struct msg_kv_put *msg)
{
    if (key.len == 0 || key.len != msg->key.len || memcmp(key.data, msg->key.data, key.len) != 0)
        return COVEY_EPROTO;
    struct kv_entry *e = find_entry(h, key);
    if (!e)
        e = new_entry(h, key);
    struct kv_value *v = e ? new_value(h, msg->value, msg->request) : NULL;
    if (!v)
        return COVEY_ENOMEM;
    drop_value(h, e->safe);
    e->safe = v;
    return COVEY_OK;
}

void kv_free(struct head *h)
{
    struct kv_entry *e;
    for (uint32_t i = 0; (e = map_next(&h->kv, &i)) != NULL;) {
        while (e) {
            struct kv_entry *next = e->next;
            free(e->safe);
            free(e);
            e = next;
        }
    }
    map_fini(&h->kv);
}
