/* exec_world.h - an executor whose effects are lines of text, for its tests.
 *
 * A test reads as a conversation: what comes in, then said("what went out").
 * For the one file of a test program; link it with the flags that
 * failing_malloc.h names.
 */
#ifndef COVEY_TESTS_EXEC_WORLD_H
#define COVEY_TESTS_EXEC_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/exec.h"
#include "failing_malloc.h"

#define T0 (1000 * SECOND_NS)
#define LOG_MAX (1u << 20)

static const struct addr node_addr = {1, 0, 0, 0}, self_addr = {1, 9, 0, 0};
static const struct addr alice = {1, 2, 0, 0}, bob = {1, 3, 0, 0};

static struct exec *e;
static char out[LOG_MAX];
static size_t out_len;
static uint64_t sent_replies, sent_revoked;    /* tasks, not messages */
static struct msg_reply last_reply;            /* without its arrays */

static const char *status_name(uint32_t status)
{
    static const char *const names[] = {
#define NAME_(name, text) #name,
        COVEY_STATUS_LIST(NAME_)
#undef NAME_
    };
    return status < COVEY_STATUS_COUNT ? names[status] : "?";
}

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    out_len += (size_t)vsnprintf(out + out_len, LOG_MAX - out_len, format, args);
    va_end(args);
    assert_true(out_len < LOG_MAX);
}

static inline void said(const char *expected)
{
    assert_string_equal(out, expected);
    out_len = 0;
    out[0] = '\0';
}

static void said_anything(void)
{
    out_len = 0;
    out[0] = '\0';
}

/* ---- effects ------------------------------------------------------------ */

static void say_reply(struct addr to, const struct msg_reply *m)
{
    sent_replies++;
    last_reply = *m;
    say("reply p%u %u.%u of %u/%u %s", to.proc, (unsigned)m->seq, m->attempt, (unsigned)m->lease,
        (unsigned)m->epoch, status_name(m->status));
    if (m->user_code)
        say(" code %d", m->user_code);
    if (m->why.len)
        say(" '%.*s'", (int)(m->why.len < 60 ? m->why.len : 60), (const char *)m->why.data);
    for (uint32_t i = 0; i < m->result_count; i++)
        if (m->results[i].in_store)
            say(" @%u", (unsigned)m->results[i].place.offset);
        else
            say(" =%.*s", (int)(m->results[i].value.len < 20 ? m->results[i].value.len : 20),
                (const char *)m->results[i].value.data);
    for (uint32_t i = 0; i < m->held_count; i++)
        say(" holds %u", (unsigned)m->held[i].id.seq);
    say("\n");
}

static void on_send(void *io, struct addr to, const struct msg *msg)
{
    (void)io;
    switch ((int)msg->kind) {
    case MSG_REPLY:
        say_reply(to, &msg->u.reply);
        break;
    case MSG_REVOKED:
        sent_revoked += msg->u.revoked.seq_count;
        say("revoked p%u of %u%s:", to.proc, (unsigned)msg->u.revoked.lease,
            msg->u.revoked.blocked ? " blocked" : "");
        for (uint32_t i = 0; i < msg->u.revoked.seq_count; i++)
            say(" %u", (unsigned)msg->u.revoked.seqs[i]);
        say("\n");
        break;
    case MSG_POST:
        say("post p%u %u.%u #%u%s '%.*s'\n", to.proc, (unsigned)msg->u.post.seq, msg->u.post.attempt,
            (unsigned)msg->u.post.number, msg->u.post.wants_answer ? "?" : "",
            (int)msg->u.post.body.len, (const char *)msg->u.post.body.data);
        break;
    case MSG_BLOCKED:
        assert_true(addr_eq(to, node_addr));
        say("blocked %u\n", (unsigned)msg->u.blocked.version);
        break;
    case MSG_UNBLOCKED:
        assert_true(addr_eq(to, node_addr));
        say("unblocked %u\n", (unsigned)msg->u.unblocked.version);
        break;
    case MSG_TASK_DONE: {
        const struct msg_task_done *m = &msg->u.task_done;
        assert_true(addr_eq(to, node_addr));
        say("done %u dropped %u: %u %s %.*s\n", m->done_count, (unsigned)m->dropped,
            (unsigned)m->done[0].seq, status_name(m->done[0].status), (int)m->done[0].name.len,
            (const char *)m->done[0].name.data);
        break;
    }
    default:
        fail_msg("an executor does not send kind %d", (int)msg->kind);
    }
}

static void on_cancel(void *io, struct exec_task *task)
{
    (void)io;
    assert_true(task->cancelled);
    say("cancel p%u %u.%u%s\n", task->owner.proc, (unsigned)task->seq, task->attempt,
        task->recursive ? " recursive" : "");
}

static void on_kill_self(void *io, struct exec_task *task)
{
    (void)io;
    say("kill_self for p%u %u.%u\n", task->owner.proc, (unsigned)task->seq, task->attempt);
}

static void on_drop(void *io, const struct place *place)
{
    (void)io;
    say("drop @%u\n", (unsigned)place->offset);
}

static void on_wake(void *io) { (void)io; say("wake\n"); }
static int64_t on_unix_ms(void *io) { (void)io; return 1700000000000; }

static const struct exec_ops ops = {on_send, on_cancel, on_kill_self, on_drop, on_wake, on_unix_ms, NULL};

/* ---- events ------------------------------------------------------------- */

static inline void function(struct addr from, uint32_t fn_id, const char *name)
{
    struct msg m = {.kind = MSG_FUNCTION};
    m.u.function = (struct msg_function){fn_id, span_str(name), span_str("any... -> any")};
    assert_true(exec_msg(e, from, &m, T0));
}

static inline struct msg_task task_of(uint64_t seq, uint64_t lease)
{
    return (struct msg_task){.seq = seq, .attempt = 1, .lease = lease, .epoch = 1, .fn_id = 1,
                             .left_ms = -1};
}

static void push(struct addr from, struct msg_task task, int64_t now)
{
    struct msg m = {.kind = MSG_TASK};
    m.u.task = task;
    assert_true(exec_msg(e, from, &m, now));
}

static inline void push_simple(struct addr from, uint64_t seq, uint64_t lease)
{
    push(from, task_of(seq, lease), T0);
}

static inline void revoke(struct addr from, uint64_t lease, uint32_t count, const uint64_t *seqs)
{
    struct msg m = {.kind = MSG_REVOKE};
    m.u.revoke = (struct msg_revoke){lease, count, seqs};
    assert_true(exec_msg(e, from, &m, T0));
}

static inline void cancel(struct addr from, uint64_t seq, int64_t grace_ms, bool recursive, int64_t now)
{
    struct msg m = {.kind = MSG_CANCEL};
    m.u.cancel = (struct msg_cancel){seq, 1, grace_ms, recursive};
    assert_true(exec_msg(e, from, &m, now));
}

static inline void ack(struct addr from, uint64_t seq, uint32_t attempt, bool committed)
{
    struct msg m = {.kind = MSG_REPLY_ACK};
    m.u.reply_ack = (struct msg_reply_ack){seq, attempt, committed};
    assert_true(exec_msg(e, from, &m, T0));
}

static inline void post_ack(struct addr from, uint64_t seq, uint64_t number, const char *answer)
{
    struct msg m = {.kind = MSG_POST_ACK};
    m.u.post_ack = (struct msg_post_ack){seq, 1, number, answer != NULL, span_str(answer)};
    assert_true(exec_msg(e, from, &m, T0));
}

static inline void resume(struct addr from, uint64_t version)
{
    struct msg m = {.kind = MSG_RESUME};
    m.u.resume.version = version;
    assert_true(exec_msg(e, from, &m, T0));
}

static inline void finish(struct exec_task *task, covey_status status, const char *value, uint64_t offset,
                   int64_t now)
{
    struct result results[2] = {{.value = span_str(value)},
                                {.in_store = true, .place = {.node = 1, .offset = offset}}};
    struct exec_outcome outcome = {.status = status, .results = value ? results : results + 1,
                                   .result_count = (value != NULL) + (offset != 0)};
    exec_finish(e, task, &outcome, now);
}

/* Start the next, which must be @seq. */
static inline struct exec_task *start(uint64_t seq, int64_t now)
{
    struct exec_task *task = exec_start(e, now);
    assert_non_null(task);
    assert_int_equal(task->seq, seq);
    assert_int_equal(task->state, EXEC_RUNNING);
    return task;
}

static int setup(void **state)
{
    (void)state;
    said_anything();
    sent_replies = sent_revoked = 0;
    if (exec_new(&e, self_addr, node_addr, &ops, NULL) != COVEY_OK)
        return -1;
    function(alice, 1, "square");
    function(bob, 1, "square");
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    exec_free(&e);
    return e != NULL;
}

#endif
