/* head_node.c - the head's members: who is in the cluster, and how it does.
 *
 *           NODE_JOIN, safe            3 s of silence
 *   (none) ----------------> alive <-------------------> suspect
 *                              |       it is heard          |
 *                              | it was dropped             |
 *                              +---------> gone <-----------+
 *                                           | the next boot joins: alive again
 *
 * Suspect and gone are the same in a view: not alive.  A view goes to all
 * members when one of them comes or goes, at most every HEAD_VIEW_EVERY, and
 * when amounts changed every HEAD_STATE_EVERY.
 */
#include "core/head_internal.h"
#include "core/resources.h"
#include "core/rows.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct head_node *members_find(const struct head *h, uint32_t number)
{
    return map_get(&h->nodes, &number);
}

static struct head_node *new_node(struct head *h, uint32_t number)
{
    struct head_node *n = calloc(1, sizeof *n);
    if (!n || !map_put(&h->nodes, &number, n)) {
        free(n);
        return NULL;
    }
    n->number = number;
    list_init(&n->in_alive);
    if (number > h->node_last)
        h->node_last = number;
    return n;
}

static void copy_name(char out[HEAD_NAME_MAX], struct span name)
{
    uint32_t len = name.len < HEAD_NAME_MAX ? name.len : HEAD_NAME_MAX - 1;
    for (uint32_t i = 0; i < len; i++)
        out[i] = name.data[i] < ' ' || name.data[i] == 127 ? '?' : (char)name.data[i];
    out[len] = 0;
}

void members_free(struct head *h)
{
    struct head_node *n;
    for (uint32_t i = 0; (n = map_next(&h->nodes, &i)) != NULL;)
        free(n);
    map_fini(&h->nodes);
}

/* ---- the record ------------------------------------------------------------------------- */

static struct span row_key(uint8_t key[5], char table, uint32_t number)
{
    key[0] = (uint8_t)table;
    for (int i = 0; i < 4; i++)
        key[1 + i] = (uint8_t)(number >> (24 - 8 * i));
    return span_of(key, 5);
}

covey_status members_load(struct head *h, struct span key, struct span value)
{
    struct msg m;
    covey_status status = h->ops->decode(value, &m);
    if (status != COVEY_OK)
        return status;
    if (key.len != 5)
        return COVEY_EPROTO;
    uint32_t number = (uint32_t)key.data[1] << 24 | (uint32_t)key.data[2] << 16 |
                      (uint32_t)key.data[3] << 8 | key.data[4];
    if (number == 0 || (m.kind != MSG_NODE_JOIN && m.kind != MSG_NODE_JOINED))
        return COVEY_EPROTO;
    struct head_node *n = members_find(h, number);
    if (!n && !(n = new_node(h, number)))
        return COVEY_ENOMEM;
    if (m.kind == MSG_NODE_JOIN) {
        copy_name(n->name, m.u.node_join.name);
        n->total = n->free = m.u.node_join.total;
    } else {
        n->inc = m.u.node_joined.inc;
        n->boot = m.u.node_joined.boot;
    }
    return COVEY_OK;
}

static bool persist_node(struct head *h, const struct head_node *n)
{
    uint8_t key[5];
    struct msg join = {.kind = MSG_NODE_JOIN}, joined = {.kind = MSG_NODE_JOINED};
    join.u.node_join = (struct msg_node_join){n->number, n->boot, span_str(n->name), n->total};
    joined.u.node_joined = (struct msg_node_joined){n->number, n->inc, n->boot, h->epoch};
    return head_persist(h, "node", row_key(key, 'j', n->number), &join) &&
           head_persist(h, "node", row_key(key, 'i', n->number), &joined);
}

/* ---- joining ------------------------------------------------------------------------------- */

static void try_again(struct head *h, struct head_node *n)
{
    h->retries += !n->retry;
    n->retry = true;
    if (h->retry_at == NEVER_NS)
        h->retry_at = h->now + HEAD_RETRY;
}

static void answer_join(struct head *h, struct head_node *n)
{
    struct pending p = {.kind = PENDING_JOIN, .to = n->addr, .request = n->boot, .node = n};
    if (!head_later(h, &p))
        try_again(h, n);
}

static void silence(struct head *h, struct head_node *n)
{
    h->members_changed |= n->alive;
    n->alive = false;
    list_del(&n->in_alive);
}

static void hear(struct head *h, struct head_node *n)
{
    h->members_changed |= !n->alive;
    n->alive = true;
    n->heard_at = h->now;
    list_del(&n->in_alive);
    list_push(&h->alive, &n->in_alive);
}

static struct head_node *find_boot(const struct head *h, uint64_t boot)
{
    struct head_node *n;
    for (uint32_t i = 0; (n = map_next(&h->nodes, &i)) != NULL;)
        if (n->boot == boot)
            return n;
    return NULL;
}

/* Of a connection before the one that it has: links of their own may overtake
 * each other.  An address's incarnation grows with each connection. */
static bool is_late(const struct head_node *n, struct addr from)
{
    return n->addr.node == from.node && n->addr.proc == from.proc && (int32_t)(from.inc - n->addr.inc) < 0;
}

void members_join(struct head *h, struct addr from, const struct msg_node_join *msg)
{
    struct head_node *n = msg->node ? members_find(h, msg->node) : find_boot(h, msg->boot);
    if (!resources_valid(&msg->total) || msg->boot == 0)
        return;
    if (!n) {
        uint32_t number = msg->node ? msg->node : h->node_last + 1;
        if (map_count(&h->nodes) >= HEAD_NODES_MAX || number == 0 || !(n = new_node(h, number)))
            return;             /* a cluster as large as it gets, or a head without memory */
    }
    if (is_late(n, from))
        return;
    if (n->addr.node != 0 && !addr_eq(n->addr, from))
        h->ops->forget(h->io, n->addr);
    n->addr = from;
    if (n->boot == msg->boot && !n->retry) {
        answer_join(h, n);      /* a second copy, or to the next head */
        return;
    }
    if (n->boot != msg->boot) {
        silence(h, n);          /* whoever had this number before is gone */
        n->joined = false;
        n->inc++;
        n->boot = msg->boot;
        copy_name(n->name, msg->name);
        n->total = n->free = msg->total;
        n->state = (struct msg_node_state){0};
    }
    if (persist_node(h, n))
        answer_join(h, n);
    else
        try_again(h, n);
}

void members_joined(struct head *h, const struct pending *p, bool ok)
{
    struct head_node *n = p->node;
    if (n->boot != p->request)
        return;                 /* its next boot was faster */
    if (!ok || !h->epoch_safe) {
        try_again(h, n);
        return;
    }
    n->joined = true;
    hear(h, n);
    struct msg m = {.kind = MSG_NODE_JOINED};
    m.u.node_joined = (struct msg_node_joined){n->number, n->inc, n->boot, h->epoch};
    head_send(h, p->to, &m);
}

static void join_again(struct head *h)
{
    struct head_node *n;
    for (uint32_t i = 0; h->retries > 0 && (n = map_next(&h->nodes, &i)) != NULL;) {
        if (!n->retry)
            continue;
        n->retry = false;
        h->retries--;
        if (!persist_node(h, n)) {
            try_again(h, n);
            break;
        }
        answer_join(h, n);
    }
}

/* ---- what they say ---------------------------------------------------------------------------- */

void members_state(struct head *h, struct addr from, const struct msg_node_state *msg)
{
    struct head_node *n = members_find(h, from.node);
    if (!n || !n->joined || !addr_eq(n->addr, from) || !resources_valid(&msg->free))
        return;
    hear(h, n);
    if (msg->version <= n->state.version)
        return;
    h->amounts_changed |= !resources_equal(&n->free, &msg->free);
    n->state = *msg;
    n->free = msg->free;
}

void members_gone(struct head *h, struct head_node *n)
{
    silence(h, n);
    n->joined = false;
}

void members_shutdown(struct head *h, int64_t grace_ms)
{
    struct head_node *n;
    struct msg m = {.kind = MSG_SHUTDOWN, .u.shutdown = {grace_ms}};
    for (uint32_t i = 0; (n = map_next(&h->nodes, &i)) != NULL;)
        if (n->joined)
            head_send(h, n->addr, &m);
}

/* ---- views --------------------------------------------------------------------------------------- */

static void send_views(struct head *h)
{
    uint32_t count = map_count(&h->nodes);
    if (count > HEAD_VIEW_NODES_MAX)
        count = HEAD_VIEW_NODES_MAX;
    h->view_sent_at = h->now;
    struct node_view *nodes = malloc((count + 1) * sizeof *nodes);
    if (!nodes)
        return;                 /* the change is still marked: in a while, then */
    h->members_changed = h->amounts_changed = false;
    struct head_node *n;
    struct msg m = {.kind = MSG_VIEW};
    /* The epoch in front, so that versions grow from one head to the next. */
    m.u.view = (struct msg_view){.version = h->epoch << 32 | ++h->view_count, .nodes = nodes};
    for (uint32_t i = 0; m.u.view.node_count < count && (n = map_next(&h->nodes, &i)) != NULL;)
        nodes[m.u.view.node_count++] = (struct node_view){n->number, n->inc, n->alive, span_str(n->name),
                                                          n->total, n->free};
    for (uint32_t i = 0; (n = map_next(&h->nodes, &i)) != NULL;)
        if (n->joined)
            head_send(h, n->addr, &m);
    free(nodes);
}

static int64_t view_due(const struct head *h)
{
    return h->members_changed ? h->view_sent_at + HEAD_VIEW_EVERY
         : h->amounts_changed ? h->view_sent_at + HEAD_STATE_EVERY
                              : NEVER_NS;
}

static struct head_node *longest_silent(const struct head *h)
{
    return list_empty(&h->alive) ? NULL : list_entry(h->alive.next, struct head_node, in_alive);
}

void members_tick(struct head *h)
{
    struct head_node *n;
    while ((n = longest_silent(h)) && n->heard_at + HEAD_NODE_SUSPECT <= h->now)
        silence(h, n);
    /* The retry time has passed when it is set no more, and joins are left. */
    if (h->retries > 0 && h->retry_at == NEVER_NS)
        join_again(h);
    if (view_due(h) <= h->now)
        send_views(h);
}

int64_t members_deadline(const struct head *h)
{
    const struct head_node *n = longest_silent(h);
    int64_t at = view_due(h);
    if (n && n->heard_at + HEAD_NODE_SUSPECT < at)
        at = n->heard_at + HEAD_NODE_SUSPECT;
    return at;
}

/* ---- lists ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3)))
static void cell(struct buf *cells, const char *format, ...)
{
    char text[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_append(cells, text, strlen(text) + 1);
}

static void write_row(struct buf *cells, const struct head_node *n)
{
    cell(cells, "n%u", n->number);
    cell(cells, "%s", n->name);
    cell(cells, "%s", n->alive ? "alive" : "suspect");
    cell(cells, "%g", (double)n->total.cpu_milli / 1000);
    cell(cells, "%g", (double)n->free.cpu_milli / 1000);
    cell(cells, "%g", (double)n->total.gpu_milli / 1000);
    cell(cells, "%g", (double)n->free.gpu_milli / 1000);
    cell(cells, "%" PRId64, n->total.memory_bytes);
    cell(cells, "%" PRId64, n->free.memory_bytes);
    cell(cells, "%" PRIu64, n->state.store_bytes);
    cell(cells, "%" PRIu64, n->state.store_used);
    cell(cells, "%u", n->state.workers);
}

static bool is_shown(const struct head_node *n, struct span state)
{
    const char *name = n->alive ? "alive" : "suspect";
    return state.len == 0 || (state.len == strlen(name) && memcmp(state.data, name, state.len) == 0);
}

void members_query(struct head *h, struct addr from, const struct msg_query *msg)
{
    uint32_t limit = msg->limit && msg->limit < ROWS_LIMIT_MAX ? msg->limit : ROWS_LIMIT_MAX;
    struct msg m = {.kind = MSG_ROWS};
    struct buf cells;
    struct head_node *n;
    buf_init(&cells);
    m.u.rows = (struct msg_rows){.request = msg->request, .columns = ROWS_NODES_COLUMNS};
    for (uint32_t i = 0; msg->what == QUERY_NODES && (n = map_next(&h->nodes, &i)) != NULL;) {
        if (!is_shown(n, msg->state))
            continue;
        if (limit == 0 || cells.failed) {
            m.u.rows.dropped++;
            continue;
        }
        limit--;
        write_row(&cells, n);
        if (cells.len >= ROWS_BYTES && !cells.failed) {
            m.u.rows.cells = buf_span(&cells);
            head_send(h, from, &m);
            buf_reset(&cells);
        }
    }
    m.u.rows.last = true;
    m.u.rows.cells = cells.failed ? (struct span){NULL, 0} : buf_span(&cells);
    head_send(h, from, &m);
    buf_fini(&cells);
}
