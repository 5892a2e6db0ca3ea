/* exec_record.c - the executor's memory: functions, tasks, queue, kept replies,
 * history, and how it begins and ends.  No decisions here: exec_internal.h says
 * what lies where, exec.c what happens to it.
 */
#include "core/exec_internal.h"

#include <stdlib.h>

#define RETURN_ROOM_MIN 64u
#define SIGNATURE_MAX 4096u

/* ---- functions ---------------------------------------------------------- */

void exec_function_unref(struct function *f)
{
    assert(f->refs > 0);
    if (--f->refs == 0)
        free(f);
}

static struct function *function_new(const struct msg_function *m)
{
    size_t name_len = m->name.len, signature_len = m->signature.len;
    struct function *f = malloc(sizeof *f + name_len + 1 + signature_len + 1);
    if (!f)
        return NULL;
    char *text = (char *)(f + 1);
    f->refs = 1;
    f->pub = (struct exec_function){m->fn_id, text, text + name_len + 1, NULL};
    if (name_len)
        memcpy(f->pub.name, m->name.data, name_len);
    f->pub.name[name_len] = '\0';
    if (signature_len)
        memcpy(f->pub.signature, m->signature.data, signature_len);
    f->pub.signature[signature_len] = '\0';
    return f;
}

static struct key_addr key_of_addr(struct addr a)
{
    return (struct key_addr){a.node, a.proc, a.inc, a.actor};
}

static struct submitter *submitter_find(struct exec *e, struct addr who)
{
    if (e->last_submitter && addr_eq(e->last_submitter->addr, who))
        return e->last_submitter;
    struct key_addr key = key_of_addr(who);
    struct submitter *o = map_get(&e->submitters, &key);
    if (o)
        e->last_submitter = o;
    return o;
}

static struct submitter *submitter_find_or_new(struct exec *e, struct addr who)
{
    struct submitter *o = submitter_find(e, who);
    if (o)
        return o;
    o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->addr = who;
    struct key_addr key = key_of_addr(who);
    if (!map_put(&e->submitters, &key, o)) {
        free(o);
        return NULL;
    }
    return o;
}

static bool submitter_reserve(struct submitter *o, uint32_t fn_id)
{
    if (fn_id < o->function_cap)
        return true;
    uint32_t cap = o->function_cap ? o->function_cap : 16;
    while (cap <= fn_id)
        cap *= 2;
    struct function **grown = realloc(o->functions, cap * sizeof(struct function *));
    if (!grown)
        return false;
    memset(grown + o->function_cap, 0, (cap - o->function_cap) * sizeof(struct function *));
    o->functions = grown;
    o->function_cap = cap;
    return true;
}

void exec_function_add(struct exec *e, struct addr from, const struct msg_function *m)
{
    if (m->fn_id >= EXEC_FUNCTIONS_MAX || m->name.len > TASK_NAME_MAX
        || m->signature.len > SIGNATURE_MAX)
        return;
    struct submitter *o = submitter_find_or_new(e, from);
    if (!o || !submitter_reserve(o, m->fn_id)) {
        e->functions_lost = true;
        return;
    }
    if (!o->functions[m->fn_id])
        o->functions[m->fn_id] = function_new(m);
    if (!o->functions[m->fn_id])
        e->functions_lost = true;
}

struct function *exec_function_find(struct exec *e, struct addr from, uint32_t fn_id)
{
    struct submitter *o = submitter_find(e, from);
    return o && fn_id < o->function_cap ? o->functions[fn_id] : NULL;
}

void exec_functions_forget(struct exec *e, struct addr who)
{
    struct key_addr key = key_of_addr(who);
    struct submitter *o = map_del(&e->submitters, &key);
    if (!o)
        return;
    if (e->last_submitter == o)
        e->last_submitter = NULL;
    for (uint32_t i = 0; i < o->function_cap; i++)
        if (o->functions[i])
            exec_function_unref(o->functions[i]);
    free(o->functions);
    free(o);
}

/* ---- records ------------------------------------------------------------ */

struct key_task { uint32_t node, proc, seq_lo, seq_hi; };

static struct key_task key_of_task(struct addr owner, uint64_t seq)
{
    return (struct key_task){owner.node, owner.proc, (uint32_t)seq, (uint32_t)(seq >> 32)};
}

struct record *exec_record_newest(struct exec *e, struct addr owner, uint64_t seq)
{
    struct key_task key = key_of_task(owner, seq);
    return map_get(&e->tasks, &key);
}

struct record *exec_record_attempt(struct record *newest, uint32_t attempt)
{
    struct record *r = newest;
    while (r && r->task.attempt != attempt)
        r = r->older;
    return r;
}

static size_t align16(size_t n) { return (n + 15) & ~(size_t)15; }

struct record *exec_record_new(struct exec *e, struct addr owner, const struct msg_task *m,
                               struct function *f, struct record *older, int64_t now)
{
    size_t inline_len = 0;
    for (uint32_t i = 0; i < m->dep_count; i++)
        inline_len += m->deps[i].kind == DEP_INLINE ? m->deps[i].value.len : 0;
    size_t deps_at = align16(sizeof(struct record));
    size_t bytes_at = align16(deps_at + m->dep_count * sizeof(struct dep));
    size_t room_at = align16(bytes_at + m->args.len + inline_len);
    uint8_t *block = malloc(room_at + EXEC_REPLY_ROOM);
    if (!block)
        return NULL;

    struct record *r = (struct record *)(void *)block;
    *r = (struct record){.bytes = room_at + EXEC_REPLY_ROOM, .room = block + room_at};
    r->task = (struct exec_task){
        .state = EXEC_QUEUED, .owner = owner, .seq = m->seq, .lease = m->lease, .epoch = m->epoch,
        .trace = m->trace, .attempt = m->attempt, .job = m->job, .priority = m->priority,
        .function = &f->pub, .deps = (struct dep *)(void *)(block + deps_at),
        .dep_count = m->dep_count, .bytes = block + bytes_at,
        .grace_ms = m->grace_ms, .threads = m->threads,
        .queued_at = now, .deadline = NEVER_NS, .kill_at = NEVER_NS, .answer = &r->answer,
    };
    buf_init(&r->answer);
    if (m->left_ms >= 0 && m->left_ms < (NEVER_NS - now) / MS_NS)
        r->task.deadline = now + m->left_ms * MS_NS;

    uint8_t *to = r->task.bytes;
    r->task.args = (struct span){to, m->args.len};
    if (m->args.len)
        memcpy(to, m->args.data, m->args.len);
    to += m->args.len;
    for (uint32_t i = 0; i < m->dep_count; i++) {
        struct dep *dep = &r->task.deps[i];
        *dep = m->deps[i];
        bool is_inline = dep->kind == DEP_INLINE && dep->value.len;
        dep->value = (struct span){to, is_inline ? dep->value.len : 0};
        if (is_inline)
            memcpy(to, m->deps[i].value.data, dep->value.len);
        to += dep->value.len;
    }
    f->refs++;
    list_init(&r->task.in_queue);

    struct key_task key = key_of_task(owner, m->seq);
    if (!map_put(&e->tasks, &key, r)) {
        exec_function_unref(f);
        free(r);
        return NULL;
    }
    r->older = older;
    if (older)
        older->newer = r;
    return r;
}

void exec_record_fini(struct record *r)
{
    exec_function_unref((struct function *)r->task.function);
    buf_fini(&r->answer);
    free(r->reply_block);
    free(r);
}

void exec_record_free(struct exec *e, struct record *r)
{
    assert(list_empty(&r->task.in_queue));
    struct key_task key = key_of_task(r->task.owner, r->task.seq);
    if (r->older)
        r->older->newer = r->newer;
    if (r->newer) {
        r->newer->older = r->older;
    } else if (r->older) {
        bool replaced = map_put(&e->tasks, &key, r->older);
        assert(replaced); /* replacing a value needs no memory */
        (void)replaced;
    } else {
        map_del(&e->tasks, &key);
    }
    exec_record_fini(r);
}

/* ---- the queue ---------------------------------------------------------- */

static uint32_t bucket_of(int32_t priority)
{
    int32_t p = priority > EXEC_PRIORITY_MAX ? EXEC_PRIORITY_MAX
              : priority < -EXEC_PRIORITY_MAX ? -EXEC_PRIORITY_MAX : priority;
    return (uint32_t)(EXEC_PRIORITY_MAX - p);
}

bool exec_queue_reserve(struct exec *e)
{
    if (e->queued < e->returns_cap)
        return true;
    uint32_t cap = e->returns_cap ? 2 * e->returns_cap : RETURN_ROOM_MIN;
    uint64_t *grown = realloc(e->returns, cap * sizeof *grown);
    if (!grown)
        return false;
    e->returns = grown;
    e->returns_cap = cap;
    return true;
}

void exec_queue_push(struct exec *e, struct record *r)
{
    assert(e->queued < e->returns_cap);
    uint32_t b = bucket_of(r->task.priority);
    list_push(&e->buckets[b], &r->task.in_queue);
    e->filled[b / 64] |= UINT64_C(1) << (b % 64);
    e->queued++;
    e->queued_bytes += r->bytes;
}

void exec_queue_remove(struct exec *e, struct record *r)
{
    assert(e->queued > 0);
    uint32_t b = bucket_of(r->task.priority);
    list_del(&r->task.in_queue);
    if (list_empty(&e->buckets[b]))
        e->filled[b / 64] &= ~(UINT64_C(1) << (b % 64));
    e->queued--;
    e->queued_bytes -= r->bytes;
}

struct record *exec_queue_first(const struct exec *e)
{
    for (uint32_t w = 0; w < EXEC_BUCKET_WORDS; w++)
        if (e->filled[w])
            return record_of(e->buckets[64 * w + (uint32_t)__builtin_ctzll(e->filled[w])].next);
    return NULL;
}

bool exec_queue_has_room(const struct exec *e, const struct msg_task *m)
{
    size_t bytes = (size_t)m->args.len + m->dep_count * sizeof(struct dep);
    return e->queued < EXEC_QUEUE_MAX
        && (e->queued == 0 || e->queued_bytes + bytes <= EXEC_QUEUE_BYTES_MAX);
}

/* ---- kept replies ------------------------------------------------------- */

static struct span copy_span(uint8_t **to, struct span from)
{
    struct span copy = {*to, from.len};
    if (from.len)
        memcpy(*to, from.data, from.len);
    *to += from.len;
    return copy;
}

/* Copy what r->reply points to into the record.  False: no memory. */
static bool reply_copy(struct record *r)
{
    struct msg_reply *reply = &r->reply;
    size_t results_len = reply->result_count * sizeof(struct result);
    size_t held_len = reply->held_count * sizeof(struct held);
    size_t need = results_len + held_len + reply->why.len;
    for (uint32_t i = 0; i < reply->result_count; i++)
        need += reply->results[i].in_store ? 0 : reply->results[i].value.len;

    uint8_t *block = r->room;
    if (need > EXEC_REPLY_ROOM) {
        block = r->reply_block = malloc(need);
        if (!block)
            return false;
        r->reply_bytes = need;
    }
    struct result *results = (struct result *)(void *)block;
    struct held *held = (struct held *)(void *)(block + results_len);
    uint8_t *to = block + results_len + held_len;
    if (held_len)
        memcpy(held, reply->held, held_len);
    for (uint32_t i = 0; i < reply->result_count; i++) {
        results[i] = reply->results[i];
        results[i].value = copy_span(&to, results[i].in_store ? (struct span){0} : results[i].value);
    }
    reply->why = copy_span(&to, reply->why);
    reply->results = results;
    reply->held = held;
    return true;
}

void exec_reply_keep(struct exec *e, struct record *r)
{
    if (reply_copy(r)) {
        list_push(&e->replies, &r->task.in_queue);
    } else {
        list_push_front(&e->replies, &r->task.in_queue);
        e->reply_uncopied++;
    }
    e->reply_count++;
    e->reply_bytes += r->bytes + r->reply_bytes;
}

void exec_reply_remove(struct exec *e, struct record *r)
{
    assert(e->reply_count > 0);
    list_del(&r->task.in_queue);
    e->reply_count--;
    e->reply_bytes -= r->bytes + r->reply_bytes;
}

struct record *exec_reply_excess(const struct exec *e)
{
    bool excess = e->reply_uncopied > 0 || e->reply_count > EXEC_REPLIES_MAX
        || (e->reply_count > 1 && e->reply_bytes > EXEC_REPLY_BYTES_MAX);
    return excess ? record_of(e->replies.next) : NULL;
}

/* ---- history ------------------------------------------------------------ */

void exec_history_add(struct exec *e, const struct record *r, covey_status status,
                      const struct exec_outcome *outcome, int64_t now)
{
    if (e->done_count == EXEC_DONE_BATCH) {
        e->done_dropped++;
        return;
    }
    struct function *f = (struct function *)r->task.function;
    f->refs++;
    e->done_function[e->done_count] = f;
    e->done[e->done_count++] = (struct done){
        .owner = r->task.owner, .seq = r->task.seq, .attempt = r->task.attempt, .status = status,
        .name = span_str(f->pub.name), .end_unix_ms = e->ops->unix_ms(e->io),
        .run_ns = now - r->task.started_at,
        .printed = outcome->printed,
    };
}

void exec_history_send(struct exec *e, int64_t now)
{
    if (e->done_count == 0 || now < e->done_next_at)
        return;
    struct msg msg = {.kind = MSG_TASK_DONE};
    msg.u.task_done = (struct msg_task_done){e->done_dropped, e->done_count, e->done};
    e->ops->send(e->io, e->node, &msg);
    for (uint32_t i = 0; i < e->done_count; i++)
        exec_function_unref(e->done_function[i]);
    e->done_count = 0;
    e->done_dropped = 0;
    e->done_next_at = now + EXEC_DONE_EVERY;
}

/* ---- life --------------------------------------------------------------- */

covey_status exec_new(struct exec **out, struct addr self, struct addr node,
                      const struct exec_ops *ops, void *io)
{
    struct exec *e = calloc(1, sizeof *e);
    if (!e)
        return COVEY_ENOMEM;
    e->self = self;
    e->node = node;
    e->ops = ops;
    e->io = io;
    map_init(&e->submitters, sizeof(struct key_addr));
    map_init(&e->tasks, sizeof(struct key_task));
    for (uint32_t b = 0; b < EXEC_BUCKETS; b++)
        list_init(&e->buckets[b]);
    list_init(&e->running);
    list_init(&e->nested);
    list_init(&e->replies);
    e->due = NEVER_NS;
    e->done_next_at = INT64_MIN;
    *out = e;
    return COVEY_OK;
}

static void free_all(struct list *records)
{
    list_each (it, records)
        exec_record_fini(record_of(it));
}

void exec_free(struct exec **exec)
{
    struct exec *e = *exec;
    if (!e)
        return;
    *exec = NULL;
    for (uint32_t b = 0; b < EXEC_BUCKETS; b++)
        free_all(&e->buckets[b]);
    free_all(&e->running);
    free_all(&e->replies);
    for (uint32_t i = 0; i < e->done_count; i++)
        exec_function_unref(e->done_function[i]);
    struct submitter *s;
    for (uint32_t i = 0; (s = map_next(&e->submitters, &i)) != NULL;)
        exec_functions_forget(e, s->addr);
    map_fini(&e->submitters);
    map_fini(&e->tasks);
    free(e->returns);
    free(e);
}
