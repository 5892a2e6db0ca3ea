/* node_list.c - answers to queries, as rows of text (rows.h).
 *
 * Most lists are written at once from what the node knows.  Tasks are known to
 * their owners: the QUERY goes on to every process that may own some, their
 * rows pass through as they come, and when all have answered, died, or had
 * NODE_QUERY_WAIT, the node adds the finished ones that it remembers and says
 * that this was all.  A task that an owner showed is not shown again: it may
 * have ended in between.
 *
 * Rows leave in messages of about ROWS_BYTES, so an answer of any length takes
 * bounded memory here.
 */
#include "core/node_internal.h"
#include "core/rows.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NODE_QUERIES_MAX 64u    /* that wait for owners; more get what the node knows */
#define NODE_PICTURE_MAX 8192u  /* nodes of a view that are kept for lists */
#define CELL_MAX 512u

/* An answer under way. */
struct rows {
    struct node *node;
    struct addr to;
    uint64_t request;
    uint32_t columns, limit, shown;
    uint64_t dropped;           /* not told yet */
    struct buf cells;
};

struct query {
    struct list in_node;
    struct rows rows;
    uint64_t id;                /* under which owners were asked */
    char state[32];             /* filter */
    struct map awaited;         /* processes, by number */
    struct map seen;            /* tasks that owners showed: key_task */
    int64_t deadline;
};

struct key_task { uint32_t proc, number_lo, number_hi; };

/* ---- writing rows ------------------------------------------------------------------ */

static void rows_begin(struct rows *r, struct node *n, struct addr to, const struct msg_query *msg)
{
    *r = (struct rows){.node = n, .to = to, .request = msg->request};
    r->columns = rows_table_of(msg->what).columns;
    r->limit = msg->limit && msg->limit < ROWS_LIMIT_MAX ? msg->limit : ROWS_LIMIT_MAX;
    buf_init(&r->cells);
}

static void rows_flush(struct rows *r, bool last)
{
    struct msg m = {.kind = MSG_ROWS};
    m.u.rows = (struct msg_rows){
        .request = r->request, .last = last, .columns = r->columns, .dropped = r->dropped,
        .cells = r->cells.failed ? (struct span){NULL, 0} : buf_span(&r->cells),
    };
    node_send(r->node, r->to, &m);
    r->dropped = 0;
    buf_reset(&r->cells);
}

static void rows_end(struct rows *r)
{
    rows_flush(r, true);
    buf_fini(&r->cells);
}

/* Room for one more row?  Otherwise it counts as dropped. */
static bool rows_next(struct rows *r)
{
    if (r->shown == r->limit || r->cells.failed) {
        r->dropped++;
        return false;
    }
    if (r->cells.len >= ROWS_BYTES)
        rows_flush(r, false);
    r->shown++;
    return true;
}

__attribute__((format(printf, 2, 3)))
static void cell(struct rows *r, const char *format, ...)
{
    char text[CELL_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(len >= 0);
    buf_append(&r->cells, text, (len < (int)sizeof text ? (size_t)len : sizeof text - 1) + 1);
}

static void cell_amount(struct rows *r, int64_t milli)
{
    cell(r, "%g", (double)milli / 1000);
}

static void cell_proc(struct rows *r, struct addr addr)
{
    const struct proc *p = proc_of(r->node, addr);
    cell(r, "%c%u", p && p->role == ROLE_CLIENT ? 'c' : p && proc_is_worker(p) ? 'w' : 'p', addr.proc);
}

static bool wants_state(const char *filter, const char *state)
{
    return filter[0] == 0 || strcmp(filter, state) == 0;
}

/* ---- status ------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4)))
static void pair(struct rows *r, const char *key, const char *format, ...)
{
    char value[CELL_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    if (!rows_next(r))
        return;
    cell(r, "%s", key);
    cell(r, "%s", value);
}

static void list_status(struct rows *r)
{
    const struct node *n = r->node;
    const struct resources *total = &n->config.total;
    struct node_stats s = node_stats(n);
    struct extents_stats x = extents_stats(n->extents);
    pair(r, "node", "%u", n->config.self.node);
    pair(r, "name", "%s", n->config.name);
    pair(r, "clients", "%u", s.clients);
    pair(r, "workers", "%u", s.workers);
    pair(r, "workers_idle", "%u", s.idle);
    pair(r, "processes_max", "%u", n->config.processes_max);
    pair(r, "leases", "%u", s.leases);
    pair(r, "leases_wanted", "%u", s.wants);
    pair(r, "cpus", "%g", (double)total->cpu_milli / 1000);
    pair(r, "cpus_free", "%g", (double)n->free.cpu_milli / 1000);
    pair(r, "gpus", "%g", (double)total->gpu_milli / 1000);
    pair(r, "gpus_free", "%g", (double)n->free.gpu_milli / 1000);
    pair(r, "memory_bytes", "%" PRId64, total->memory_bytes);
    pair(r, "memory_free_bytes", "%" PRId64, n->free.memory_bytes);
    pair(r, "gpu_memory_bytes", "%" PRId64, total->gpu_memory_bytes);
    pair(r, "gpu_memory_free_bytes", "%" PRId64, n->free.gpu_memory_bytes);
    for (uint32_t i = 0; i < total->custom_count; i++) {
        char key[CUSTOM_NAME_MAX + 8];
        pair(r, total->custom[i].name, "%g", (double)total->custom[i].milli / 1000);
        snprintf(key, sizeof key, "%s_free", total->custom[i].name);
        pair(r, key, "%g", (double)n->free.custom[i].milli / 1000);
    }
    pair(r, "store_bytes", "%" PRIu64, x.store_bytes);
    pair(r, "store_populated_bytes", "%" PRIu64, x.populated_bytes);
    pair(r, "store_used_bytes", "%" PRIu64, x.lent_bytes + x.closed_bytes);
    pair(r, "store_free_bytes", "%" PRIu64, x.free_bytes);
    pair(r, "store_largest_bytes", "%" PRIu64, x.largest_bytes);
    pair(r, "tasks_finished", "%" PRIu64, s.tasks_finished);
    pair(r, "tasks_failed", "%" PRIu64, s.tasks_failed);
    pair(r, "history_dropped", "%" PRIu64, s.history_dropped);
}

/* ---- workers, objects, nodes --------------------------------------------------------- */

static const char *worker_state(const struct proc *p)
{
    switch (p->state) {
    case PROC_QUEUED:
    case PROC_STARTING: return "starting";
    case PROC_IDLE: return "idle";
    case PROC_LEASED: return p->lease.cpu == CPU_TAKEN ? "running" : "blocked";
    default: return "ending";
    }
}

static void list_workers(struct rows *r, const char *state)
{
    struct proc *p;
    for (uint32_t i = 0; (p = map_next(&r->node->procs, &i)) != NULL;) {
        if (!proc_is_worker(p) || p->state == PROC_DEAD || !wants_state(state, worker_state(p)))
            continue;
        if (!rows_next(r))
            continue;
        char program[NODE_NAME_MAX];
        name_copy(program, p->package->what.path);
        cell(r, "w%u", p->addr.proc);
        cell(r, "%d", (int)p->pid);
        cell(r, "%s", worker_state(p));
        cell(r, "%s", p->name[0] ? p->name : program);
        if (p->lease.want)
            cell_proc(r, p->lease.want->owner->addr);
        else
            cell(r, "%s", "");
        cell(r, "%" PRIu64, p->tasks_done);
    }
}

struct object_rows { struct rows *rows; const char *state; };

static void on_object(void *ctx, const struct object_header *h, const struct place *place)
{
    static const char *const kinds[] = {"nil", "i64", "u64", "f64", "str", "bytes", "ref", "handle"};
    _Static_assert(sizeof kinds / sizeof kinds[0] == COVEY_KIND_COUNT, "a name for every kind");
    struct object_rows *o = ctx;
    struct oid id = {h->node, h->proc, h->seq, h->index};
    const char *state = adopt_find(o->rows->node, id) ? "adopted" : "sealed";
    if (!wants_state(o->state, state) || !rows_next(o->rows))
        return;
    cell(o->rows, "o%u.%llu.%u", h->proc, rows_number(h->seq), h->index);
    cell(o->rows, "%" PRIu64, place->size);
    cell(o->rows, "%s", h->kind < COVEY_KIND_COUNT ? kinds[h->kind] : "?");
    cell(o->rows, "%u", place->node);
    cell(o->rows, "%u:%" PRIu64, place->extent, place->offset);
    cell(o->rows, "%s", state);
}

static void list_node(struct rows *r, uint32_t node, const char *name, const char *state,
                      const struct resources *total, const struct resources *free_now)
{
    if (!rows_next(r))
        return;
    cell(r, "n%u", node);
    cell(r, "%s", name);
    cell(r, "%s", state);
    cell_amount(r, total->cpu_milli);
    cell_amount(r, free_now->cpu_milli);
    cell_amount(r, total->gpu_milli);
    cell_amount(r, free_now->gpu_milli);
    cell(r, "%" PRId64, total->memory_bytes);
    cell(r, "%" PRId64, free_now->memory_bytes);
    if (node != r->node->config.self.node) {    /* the head's view does not say */
        for (int i = 0; i < 3; i++)
            cell(r, "%s", "");
        return;
    }
    struct extents_stats x = extents_stats(r->node->extents);
    cell(r, "%" PRIu64, x.store_bytes);
    cell(r, "%" PRIu64, x.lent_bytes + x.closed_bytes);
    cell(r, "%u", r->node->worker_count);
}

static void list_nodes(struct rows *r, const char *state)
{
    const struct node *n = r->node;
    if (n->picture.count == 0 && wants_state(state, "alive"))
        list_node(r, n->config.self.node, n->config.name, "alive", &n->config.total, &n->free);
    for (uint32_t i = 0; i < n->picture.count; i++) {
        const struct picture_row *row = &n->picture.rows[i];
        bool self = row->node == n->config.self.node;
        const char *row_state = row->alive ? "alive" : "suspect";
        if (wants_state(state, row_state))
            list_node(r, row->node, row->name, row_state, &row->total, self ? &n->free : &row->free);
    }
    r->dropped += n->picture.dropped;
}

void list_view(struct node *n, const struct msg_view *view)
{
    uint32_t count = view->node_count < NODE_PICTURE_MAX ? view->node_count : NODE_PICTURE_MAX;
    if (view->version <= n->picture.version || count == 0)
        return;
    struct picture_row *rows = calloc(count, sizeof *rows);
    if (!rows)
        return;                 /* the old picture, then; a new one comes within a second */
    for (uint32_t i = 0; i < count; i++) {
        const struct node_view *v = &view->nodes[i];
        rows[i] = (struct picture_row){.node = v->node, .alive = v->alive, .total = v->total, .free = v->free};
        name_copy(rows[i].name, v->name);
    }
    free(n->picture.rows);
    n->picture = (struct node_picture){view->version, rows, count, view->node_count - count};
}

/* ---- tasks ------------------------------------------------------------------------------ */

static const char *finished_state(uint32_t status)
{
    return status == COVEY_OK ? "done" : status == COVEY_ECANCELLED ? "cancelled" : "failed";
}

static void list_finished(struct rows *r, const char *state, const struct map *seen)
{
    uint32_t count = finished_count(r->node);
    for (uint32_t i = 0; i < count; i++) {
        const struct finished *f = finished_newest(r->node, i);
        uint64_t number = f->seq >> ROWS_SLOT_BITS;
        struct key_task key = {f->owner.proc, (uint32_t)number, (uint32_t)(number >> 32)};
        if (!wants_state(state, finished_state(f->status)) || (seen && map_get(seen, &key)))
            continue;
        if (!rows_next(r)) {
            r->dropped += count - i - 1;
            break;
        }
        cell(r, "t%u.%llu", f->owner.proc, rows_number(f->seq));
        cell(r, "%s", finished_state(f->status));
        cell(r, "%s", f->name);
        cell_proc(r, f->owner);
        cell(r, "w%u", f->worker);
        cell(r, "%u", f->attempt);
        cell(r, "%.3f", (double)f->run_ns / (double)MS_NS);
        cell(r, "%" PRId64, f->end_unix_ms);
        cell(r, "%s", covey_strerror((covey_status)f->status));
    }
    r->dropped += finished_dropped(r->node);
}

static void query_free(struct query *q)
{
    list_del(&q->in_node);
    map_fini(&q->awaited);
    map_fini(&q->seen);
    buf_fini(&q->rows.cells);
    free(q);
}

static void query_end(struct node *n, struct query *q)
{
    list_finished(&q->rows, q->state, &q->seen);
    rows_end(&q->rows);
    n->query_count--;
    query_free(q);
}

static struct query *query_new(struct node *n, struct addr from, const struct msg_query *msg,
                               const char *state)
{
    struct query *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    rows_begin(&q->rows, n, from, msg);
    list_init(&q->in_node);
    map_init(&q->awaited, sizeof(uint32_t));
    map_init(&q->seen, sizeof(struct key_task));
    snprintf(q->state, sizeof q->state, "%s", state);
    q->id = ++n->query_requests;
    q->deadline = n->now + NODE_QUERY_WAIT;
    struct proc *p;
    for (uint32_t i = 0; (p = map_next(&n->procs, &i)) != NULL;) {
        if (proc_is_peer(p) && p->addr.proc != from.proc && !map_put(&q->awaited, &p->addr.proc, p)) {
            query_free(q);
            return NULL;
        }
    }
    return q;
}

static void list_tasks(struct node *n, struct addr from, const struct msg_query *msg, const char *state)
{
    list_each(it, &n->queries) {
        const struct query *q = list_entry(it, struct query, in_node);
        if (addr_eq(q->rows.to, from) && q->rows.request == msg->request)
            return;             /* it is being answered */
    }
    struct query *q = n->query_count < NODE_QUERIES_MAX ? query_new(n, from, msg, state) : NULL;
    if (!q) {
        struct rows r;
        rows_begin(&r, n, from, msg);
        list_finished(&r, state, NULL);
        rows_end(&r);
        return;
    }
    list_push(&n->queries, &q->in_node);
    n->query_count++;
    struct msg m = {.kind = MSG_QUERY};
    m.u.query = (struct msg_query){.request = q->id, .what = QUERY_TASKS, .limit = q->rows.limit,
                                   .state = span_str(q->state)};
    struct proc *p;
    for (uint32_t i = 0; (p = map_next(&q->awaited, &i)) != NULL;)
        node_send(n, p->addr, &m);
    if (map_count(&q->awaited) == 0)
        query_end(n, q);
}

/* The length of the row at the front of @cells; 0: it is cut off. */
static uint32_t row_length(struct span cells, uint32_t columns)
{
    uint32_t len = 0;
    while (columns > 0 && len < cells.len)
        columns -= cells.data[len++] == 0;
    return columns == 0 ? len : 0;
}

static void relay_rows(struct query *q, struct span cells)
{
    uint32_t len;
    while ((len = row_length(cells, q->rows.columns)) > 0) {
        struct key_task key;
        unsigned proc;
        unsigned long long number;
        if (rows_next(&q->rows)) {
            buf_append(&q->rows.cells, cells.data, len);
            if (sscanf((const char *)cells.data, "t%u.%llu", &proc, &number) == 2) {
                key = (struct key_task){proc, (uint32_t)number, (uint32_t)(number >> 32)};
                /* Without memory for it the task may show twice. */
                (void)map_put(&q->seen, &key, q);
            }
        }
        cells.data += len;
        cells.len -= len;
    }
}

static void owner_answered(struct node *n, struct query *q, const struct proc *p)
{
    if (map_del(&q->awaited, &p->addr.proc) && map_count(&q->awaited) == 0)
        query_end(n, q);
}

void list_rows(struct node *n, struct proc *from, const struct msg_rows *msg)
{
    list_each(it, &n->queries) {
        struct query *q = list_entry(it, struct query, in_node);
        if (q->id != msg->request || !map_get(&q->awaited, &from->addr.proc))
            continue;
        if (msg->columns == q->rows.columns)
            relay_rows(q, msg->cells);
        q->rows.dropped += msg->dropped;
        if (msg->last)
            owner_answered(n, q, from);
    }
}

void list_proc_gone(struct node *n, const struct proc *p)
{
    list_each(it, &n->queries) {
        struct query *q = list_entry(it, struct query, in_node);
        if (addr_eq(q->rows.to, p->addr)) {
            n->query_count--;
            query_free(q);
        } else {
            owner_answered(n, q, p);
        }
    }
}

/* ---- all ------------------------------------------------------------------------------------ */

void list_query(struct node *n, struct addr from, const struct msg_query *msg)
{
    char state[32] = "";
    if (msg->state.len >= sizeof state)
        snprintf(state, sizeof state, "(no such state)");
    else if (msg->state.len)
        memcpy(state, msg->state.data, msg->state.len);
    if (msg->what == QUERY_TASKS) {
        list_tasks(n, from, msg, state);
        return;
    }
    struct rows r;
    rows_begin(&r, n, from, msg);
    struct object_rows objects = {&r, state};
    switch (msg->what) {
    case QUERY_STATUS: list_status(&r); break;
    case QUERY_WORKERS: list_workers(&r, state); break;
    case QUERY_OBJECTS: extents_each(n->extents, on_object, &objects); break;
    case QUERY_NODES: list_nodes(&r, state); break;
    default: break;             /* logs are the driver's: an empty answer */
    }
    rows_end(&r);
}

void list_tick(struct node *n)
{
    while (!list_empty(&n->queries)) {
        struct query *q = list_entry(n->queries.next, struct query, in_node);
        if (q->deadline > n->now)
            break;
        q->rows.dropped += map_count(&q->awaited);  /* at least one row each, or they had answered */
        query_end(n, q);
    }
}

int64_t list_deadline(const struct node *n)
{
    return list_empty(&n->queries) ? NEVER_NS
                                   : list_entry(n->queries.next, struct query, in_node)->deadline;
}

void list_fini(struct node *n)
{
    list_each(it, &n->queries)
        query_free(list_entry(it, struct query, in_node));
    free(n->picture.rows);
}
