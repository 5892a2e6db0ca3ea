/* exec.c - see exec.h for the contract; exec_record.c has the memory.
 *
 * What may happen to a task is the table `rules`; step() is the only place
 * where a state changes.
 */
#include "core/exec_internal.h"

#include <stdlib.h>

/* ---- what is sent ------------------------------------------------------- */

static void send_reply(struct exec *e, struct addr to, const struct msg_reply *reply)
{
    struct msg msg = {.kind = MSG_REPLY};
    msg.u.reply = *reply;
    e->ops->send(e->io, to, &msg);
}

/* Send @outcome as @r's reply and keep it until it is acknowledged.  Without
 * memory for that it is sent all the same: then a copy of the TASK finds
 * nothing, runs again, and its owner refuses the second result. */
static void reply_with(struct exec *e, struct record *r, const struct exec_outcome *outcome,
                       int64_t started_at, int64_t now)
{
    struct span why = outcome->why;
    why.len = why.len < WHY_MAX ? why.len : WHY_MAX;
    r->reply = (struct msg_reply){
        .seq = r->task.seq, .attempt = r->task.attempt, .lease = r->task.lease,
        .epoch = r->task.epoch, .status = outcome->status, .user_code = outcome->user_code,
        .why = why, .queued_ns = started_at - r->task.queued_at, .run_ns = now - started_at,
        .result_count = outcome->result_count, .results = outcome->results,
        .held_count = outcome->held_count, .held = outcome->held,
    };
    send_reply(e, r->task.owner, &r->reply);
    buf_fini(&r->answer);
    exec_reply_keep(e, r);
}

static void drop_results(struct exec *e, uint32_t count, const struct result *results)
{
    for (uint32_t i = 0; i < count; i++)
        if (results[i].in_store)
            e->ops->drop_result(e->io, &results[i].place);
}

/* A TASK that ends here without having become a record. */
static void refuse_task(struct exec *e, struct addr from, const struct msg_task *m,
                        covey_status status, const char *why)
{
    struct msg_reply reply = {.seq = m->seq, .attempt = m->attempt, .lease = m->lease,
                              .epoch = m->epoch, .status = status, .why = span_str(why)};
    send_reply(e, from, &reply);
}

static void send_revoked(struct exec *e, struct addr to, uint64_t lease,
                         uint32_t count, const uint64_t *seqs)
{
    struct msg msg = {.kind = MSG_REVOKED};
    msg.u.revoked = (struct msg_revoked){lease, !exec_resumed(e), count, seqs};
    e->ops->send(e->io, to, &msg);
}

/* ---- actions ------------------------------------------------------------ */

enum event_kind {
    ON_COPY,            /* the same TASK again */
    ON_START,
    ON_REVOKE,
    ON_CANCEL,
    ON_LATE,            /* its deadline passed */
    ON_OWNER_DEAD,
    ON_FINISH,
    ON_FINISH_ORPHAN,
    ON_COMMITTED,       /* REPLY_ACK */
    ON_REFUSED,
    ON_EVICT,           /* too many replies are kept */
    EVENT_COUNT
};

struct event {
    enum event_kind kind;
    int64_t now;
    const struct msg_task *copy;
    const struct msg_cancel *cancel;
    const struct exec_outcome *outcome;
};

static void be_due(struct exec *e, int64_t when)
{
    e->due = when < e->due ? when : e->due;
}

/* The same task under a later lease: only a reply under that one commits. */
static void do_adopt_lease(struct exec *e, struct record *r, const struct event *ev)
{
    (void)e;
    r->task.lease = ev->copy->lease;
    r->task.epoch = ev->copy->epoch;
}

static void do_start(struct exec *e, struct record *r, const struct event *ev)
{
    exec_queue_remove(e, r);
    list_push(&e->running, &r->task.in_queue);
    r->task.started_at = ev->now;
}

static void do_unqueue(struct exec *e, struct record *r, const struct event *ev)
{
    (void)ev;
    exec_queue_remove(e, r);
}

static void do_end_unstarted(struct exec *e, struct record *r, const struct event *ev)
{
    static const char late[] = "its deadline passed before it started";
    static const char cancelled[] = "cancelled before it started";
    bool is_late = ev->kind == ON_LATE;
    struct exec_outcome outcome = {.status = is_late ? COVEY_EDEADLINE : COVEY_ECANCELLED,
                                   .why = span_str(is_late ? late : cancelled)};
    exec_queue_remove(e, r);
    reply_with(e, r, &outcome, ev->now, ev->now);
}

/* Set a running task's flag.  The shortest grace counts, so that a copy of a
 * CANCEL does not prolong it; the driver hears only what is new. */
static void task_stop(struct exec *e, struct exec_task *task, int64_t kill_at, bool recursive)
{
    task->kill_at = kill_at < task->kill_at ? kill_at : task->kill_at;
    be_due(e, task->kill_at);
    bool is_new = !task->cancelled || (recursive && !task->recursive);
    task->recursive = task->recursive || recursive;
    task->cancelled = true;
    if (is_new) {
        e->ops->cancel(e->io, task);
        e->ops->wake(e->io);
    }
}

static int64_t kill_time(const struct msg_cancel *m, int64_t now)
{
    if (m->grace_ms <= 0)
        return now;
    return m->grace_ms < (NEVER_NS - now) / MS_NS ? now + m->grace_ms * MS_NS : NEVER_NS;
}

static int64_t late_kill_time(const struct exec_task *task, int64_t now)
{
    if (task->grace_ms <= 0)
        return now + EXEC_DEADLINE_GRACE;
    return task->grace_ms < (NEVER_NS - now) / MS_NS ? now + task->grace_ms * MS_NS : NEVER_NS;
}

static void do_stop(struct exec *e, struct record *r, const struct event *ev)
{
    if (ev->kind == ON_LATE) {
        r->late = true;
        task_stop(e, &r->task, late_kill_time(&r->task, ev->now), false);
    } else {
        task_stop(e, &r->task, kill_time(ev->cancel, ev->now), ev->cancel->recursive);
    }
}

static void do_orphan(struct exec *e, struct record *r, const struct event *ev)
{
    r->task.orphan = true;
    task_stop(e, &r->task, ev->now + EXEC_ORPHAN_GRACE, true);
}

static void do_reply(struct exec *e, struct record *r, const struct event *ev)
{
    struct exec_outcome outcome = *ev->outcome;
    if (r->late && outcome.status == COVEY_ECANCELLED)
        outcome.status = COVEY_EDEADLINE;
    list_del(&r->task.in_queue);
    exec_history_add(e, r, outcome.status, &outcome, ev->now);
    reply_with(e, r, &outcome, r->task.started_at, ev->now);
}

static void do_bury(struct exec *e, struct record *r, const struct event *ev)
{
    list_del(&r->task.in_queue);
    exec_history_add(e, r, ev->outcome->status, ev->outcome, ev->now);
    drop_results(e, ev->outcome->result_count, ev->outcome->results);
}

static void do_reply_again(struct exec *e, struct record *r, const struct event *ev)
{
    r->reply.lease = r->task.lease = ev->copy->lease;
    r->reply.epoch = r->task.epoch = ev->copy->epoch;
    send_reply(e, r->task.owner, &r->reply);
}

static void do_forget(struct exec *e, struct record *r, const struct event *ev)
{
    (void)ev;
    exec_reply_remove(e, r);
}

static void do_drop(struct exec *e, struct record *r, const struct event *ev)
{
    (void)ev;
    exec_reply_remove(e, r);
    drop_results(e, r->reply.result_count, r->reply.results);
}

/* ---- the table ---------------------------------------------------------- */

enum { GONE = EXEC_DONE + 1 };

static const struct rule {
    /* NULL: the event means nothing in this state. */
    void (*act)(struct exec *e, struct record *r, const struct event *ev);
    int next;
} rules[GONE][EVENT_COUNT] = {
    [EXEC_QUEUED] = {
        [ON_COPY] = {do_adopt_lease, EXEC_QUEUED},
        [ON_START] = {do_start, EXEC_RUNNING},
        [ON_REVOKE] = {do_unqueue, GONE},
        [ON_CANCEL] = {do_end_unstarted, EXEC_DONE},
        [ON_LATE] = {do_end_unstarted, EXEC_DONE},
        [ON_OWNER_DEAD] = {do_unqueue, GONE},
    },
    [EXEC_RUNNING] = {
        [ON_COPY] = {do_adopt_lease, EXEC_RUNNING},
        [ON_CANCEL] = {do_stop, EXEC_RUNNING},
        [ON_LATE] = {do_stop, EXEC_RUNNING},
        [ON_OWNER_DEAD] = {do_orphan, EXEC_RUNNING},
        [ON_FINISH] = {do_reply, EXEC_DONE},
        [ON_FINISH_ORPHAN] = {do_bury, GONE},
    },
    [EXEC_DONE] = {
        [ON_COPY] = {do_reply_again, EXEC_DONE},
        [ON_COMMITTED] = {do_forget, GONE},
        [ON_REFUSED] = {do_drop, GONE},
        [ON_OWNER_DEAD] = {do_drop, GONE},
        [ON_EVICT] = {do_forget, GONE},
    },
};

static void step(struct exec *e, struct record *r, const struct event *ev)
{
    const struct rule *rule = &rules[r->task.state][ev->kind];
    if (!rule->act)
        return;
    rule->act(e, r, ev);
    if (rule->next == GONE)
        exec_record_free(e, r);
    else
        r->task.state = (enum exec_state)rule->next;
}

static void replies_trim(struct exec *e)
{
    for (struct record *r; (r = exec_reply_excess(e)) != NULL;) {
        e->reply_uncopied -= e->reply_uncopied > 0;
        step(e, r, &(struct event){.kind = ON_EVICT});
    }
}

/* ---- messages from owners ----------------------------------------------- */

static void on_task(struct exec *e, struct addr from, const struct msg_task *m, int64_t now)
{
    struct record *newest = exec_record_newest(e, from, m->seq);
    struct record *known = exec_record_attempt(newest, m->attempt);
    if (known) {
        step(e, known, &(struct event){.kind = ON_COPY, .now = now, .copy = m});
        return;
    }
    if (!exec_resumed(e) || !exec_queue_has_room(e, m)) {
        send_revoked(e, from, m->lease, 1, &m->seq);
        return;
    }
    struct function *f = exec_function_find(e, from, m->fn_id);
    if (!f) {
        refuse_task(e, from, m, e->functions_lost ? COVEY_ENOMEM : COVEY_EUNKNOWN,
                    "the worker does not know a function of this number");
        return;
    }
    struct record *r = m->dep_count <= TASK_DEPS_MAX && exec_queue_reserve(e)
                     ? exec_record_new(e, from, m, f, newest, now) : NULL;
    if (!r) {
        refuse_task(e, from, m, m->dep_count > TASK_DEPS_MAX ? COVEY_ETOOBIG : COVEY_ENOMEM,
                    "the worker has no room for the arguments");
        return;
    }
    exec_queue_push(e, r);
    be_due(e, r->task.deadline);
}

/* Take a queued task of this lease away and note its number. */
static void give_back(struct exec *e, struct record *r, uint32_t *count)
{
    e->returns[(*count)++] = r->task.seq;
    step(e, r, &(struct event){.kind = ON_REVOKE});
}

/* Everything queued under @lease; tells its owner even if that is nothing. */
static void give_back_lease(struct exec *e, struct addr owner, uint64_t lease)
{
    uint32_t count = 0;
    for (uint32_t b = 0; b < EXEC_BUCKETS; b++)
        list_each (it, &e->buckets[b]) {
            struct record *r = record_of(it);
            if (r->task.lease == lease && addr_eq(r->task.owner, owner))
                give_back(e, r, &count);
        }
    send_revoked(e, owner, lease, count, e->returns);
}

static void on_revoke(struct exec *e, struct addr from, const struct msg_revoke *m)
{
    if (m->seq_count == 0) {
        give_back_lease(e, from, m->lease);
        return;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->seq_count; i++) {
        struct record *r = exec_record_newest(e, from, m->seqs[i]);
        for (struct record *older; r; r = older) {
            older = r->older;
            if (r->task.state == EXEC_QUEUED && r->task.lease == m->lease)
                give_back(e, r, &count);
        }
    }
    send_revoked(e, from, m->lease, count, e->returns);
}

/* A running task of this process's own owner. */
static struct exec_task *nested_find(struct exec *e, struct addr from, uint64_t seq,
                                     uint32_t attempt)
{
    list_each (it, &e->nested) {
        struct exec_task *task = list_entry(it, struct exec_task, in_queue);
        if (task->seq == seq && task->attempt == attempt && addr_eq(task->owner, from))
            return task;
    }
    return NULL;
}

static void on_cancel(struct exec *e, struct addr from, const struct msg_cancel *m, int64_t now)
{
    struct record *r = exec_record_find(e, from, m->seq, m->attempt);
    struct exec_task *nested = r ? NULL : nested_find(e, from, m->seq, m->attempt);
    if (r)
        step(e, r, &(struct event){.kind = ON_CANCEL, .now = now, .cancel = m});
    else if (nested)
        task_stop(e, nested, kill_time(m, now), m->recursive);
}

static void on_reply_ack(struct exec *e, struct addr from, const struct msg_reply_ack *m)
{
    struct record *r = exec_record_find(e, from, m->seq, m->attempt);
    if (r)
        step(e, r, &(struct event){.kind = m->committed ? ON_COMMITTED : ON_REFUSED});
}

/* An answer shows that its question was read, and so what was posted before. */
static void on_post_ack(struct exec *e, struct addr from, const struct msg_post_ack *m)
{
    struct record *r = exec_record_find(e, from, m->seq, m->attempt);
    struct exec_task *task = r ? &r->task : nested_find(e, from, m->seq, m->attempt);
    if (!task || task->state != EXEC_RUNNING || m->number > task->posted)
        return;
    bool news = m->number > task->post_read;
    if (news)
        task->post_read = m->number;
    if (m->is_answer && e->ops->answered && e->ops->answered(e->io, task, m->number, m->body)) {
        news = true;                    /* one who had too many questions may ask again */
    } else if (m->is_answer && m->number > task->answered) {
        if (!task->answer && (task->answer = calloc(1, sizeof *task->answer)) == NULL)
            return; /* a nested task: it waits until its timeout */
        buf_reset(task->answer);
        buf_append(task->answer, m->body.data, m->body.len);
        task->answered = m->number;
        news = true;
    }
    if (news)
        e->ops->wake(e->io);
}

static void on_resume(struct exec *e, struct addr from, const struct msg_resume *m)
{
    if (!e->resuming || m->version != e->level || !addr_eq(from, e->node))
        return;
    e->resuming = false;
    e->ops->wake(e->io);
}

bool exec_msg(struct exec *e, struct addr from, const struct msg *msg, int64_t now)
{
    switch ((int)msg->kind) {
    case MSG_FUNCTION: exec_function_add(e, from, &msg->u.function); break;
    case MSG_TASK: on_task(e, from, &msg->u.task, now); break;
    case MSG_REVOKE: on_revoke(e, from, &msg->u.revoke); break;
    case MSG_CANCEL: on_cancel(e, from, &msg->u.cancel, now); break;
    case MSG_POST_ACK: on_post_ack(e, from, &msg->u.post_ack); break;
    case MSG_REPLY_ACK: on_reply_ack(e, from, &msg->u.reply_ack); break;
    case MSG_RESUME: on_resume(e, from, &msg->u.resume); break;
    default: return false;
    }
    replies_trim(e);
    return true;
}

static void orphan_all(struct exec *e, struct list *records, struct addr who, int64_t now)
{
    list_each (it, records)
        if (addr_eq(record_of(it)->task.owner, who))
            step(e, record_of(it), &(struct event){.kind = ON_OWNER_DEAD, .now = now});
}

void exec_proc_dead(struct exec *e, struct addr who, int64_t now)
{
    for (uint32_t b = 0; b < EXEC_BUCKETS; b++)
        orphan_all(e, &e->buckets[b], who, now);
    orphan_all(e, &e->running, who, now);
    orphan_all(e, &e->replies, who, now);
    exec_functions_forget(e, who);
}

/* ---- running ------------------------------------------------------------ */

struct exec_task *exec_start(struct exec *e, int64_t now)
{
    struct record *r = exec_resumed(e) ? exec_queue_first(e) : NULL;
    while (r && r->task.deadline <= now) {
        step(e, r, &(struct event){.kind = ON_LATE, .now = now});
        replies_trim(e);
        r = exec_queue_first(e);
    }
    if (!r)
        return NULL;
    step(e, r, &(struct event){.kind = ON_START, .now = now});
    return &r->task;
}

void exec_finish(struct exec *e, struct exec_task *task, const struct exec_outcome *outcome,
                 int64_t now)
{
    assert(task->state == EXEC_RUNNING);
    struct record *r = record_of(&task->in_queue);
    enum event_kind kind = r->task.orphan ? ON_FINISH_ORPHAN : ON_FINISH;
    step(e, r, &(struct event){.kind = kind, .now = now, .outcome = outcome});
    replies_trim(e);
}

void exec_nest(struct exec *e, struct exec_task *task, int64_t now)
{
    assert(!exec_record_find(e, task->owner, task->seq, task->attempt));
    assert(!task->answer);
    task->state = EXEC_RUNNING;
    task->started_at = now;
    task->kill_at = NEVER_NS;
    list_push(&e->nested, &task->in_queue);
    be_due(e, task->deadline);
}

void exec_unnest(struct exec *e, struct exec_task *task, int64_t now)
{
    (void)e, (void)now;
    assert(task->state == EXEC_RUNNING);
    task->state = EXEC_DONE;
    list_del(&task->in_queue);
    if (task->answer)
        buf_fini(task->answer);
    free(task->answer);
    task->answer = NULL;
}

covey_status exec_post(struct exec *e, struct exec_task *task, struct span body,
                       bool wants_answer, uint64_t *number)
{
    assert(task->state == EXEC_RUNNING);
    if (body.len > POST_BYTES_MAX)
        return COVEY_ETOOBIG;
    if (task->orphan)
        return COVEY_ECANCELLED;
    if (task->posted - task->post_read >= POST_WINDOW)
        return task->cancelled ? COVEY_ECANCELLED : COVEY_EAGAIN;
    *number = ++task->posted;
    struct msg msg = {.kind = MSG_POST};
    msg.u.post = (struct msg_post){task->seq, task->attempt, *number, wants_answer && !task->cancelled, body};
    e->ops->send(e->io, task->owner, &msg);
    return task->cancelled ? COVEY_ECANCELLED : COVEY_OK;
}

/* ---- blocked ------------------------------------------------------------ */

void exec_block(struct exec *e, int64_t now)
{
    (void)now;
    if (e->blocks++ > 0)
        return;
    e->resuming = false;
    list_each (it, &e->running) {
        struct record *r = record_of(it);
        if (!r->task.orphan)
            give_back_lease(e, r->task.owner, r->task.lease);
    }
    for (struct record *r; (r = exec_queue_first(e)) != NULL;)
        give_back_lease(e, r->task.owner, r->task.lease);
    struct msg msg = {.kind = MSG_BLOCKED};
    msg.u.blocked.version = ++e->level;
    e->ops->send(e->io, e->node, &msg);
}

void exec_unblock(struct exec *e, int64_t now)
{
    (void)now;
    assert(e->blocks > 0);
    if (--e->blocks > 0)
        return;
    e->resuming = true;
    struct msg msg = {.kind = MSG_UNBLOCKED};
    msg.u.unblocked.version = ++e->level;
    e->ops->send(e->io, e->node, &msg);
}

bool exec_resumed(const struct exec *e)
{
    return e->blocks == 0 && !e->resuming;
}

uint32_t exec_queued(const struct exec *e)
{
    return e->queued;
}

/* ---- time --------------------------------------------------------------- */

/* After its deadline was told, a task's kill_at is what is left to wait for. */
static void tick_running(struct exec *e, struct exec_task *task, int64_t now)
{
    if (task->kill_at <= now) {
        task->kill_at = NEVER_NS;
        e->ops->kill_self(e->io, task);
    }
    be_due(e, task->kill_at);
    if (!task->cancelled)
        be_due(e, task->deadline);
}

static void tick_deadlines(struct exec *e, int64_t now)
{
    e->due = NEVER_NS;
    for (uint32_t b = 0; b < EXEC_BUCKETS; b++)
        list_each (it, &e->buckets[b]) {
            struct record *r = record_of(it);
            if (r->task.deadline <= now)
                step(e, r, &(struct event){.kind = ON_LATE, .now = now});
            else
                be_due(e, r->task.deadline);
        }
    list_each (it, &e->running) {
        struct record *r = record_of(it);
        if (r->task.deadline <= now && !r->task.cancelled)
            step(e, r, &(struct event){.kind = ON_LATE, .now = now});
        tick_running(e, &r->task, now);
    }
    list_each (it, &e->nested) {
        struct exec_task *task = list_entry(it, struct exec_task, in_queue);
        if (task->deadline <= now && !task->cancelled)
            task_stop(e, task, late_kill_time(task, now), false);
        tick_running(e, task, now);
    }
    replies_trim(e);
}

void exec_tick(struct exec *e, int64_t now)
{
    if (now >= e->due)
        tick_deadlines(e, now);
    exec_history_send(e, now);
}

int64_t exec_deadline(const struct exec *e)
{
    return e->done_count > 0 && e->done_next_at < e->due ? e->done_next_at : e->due;
}
