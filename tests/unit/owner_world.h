/* owner_world.h - an owner whose effects are lines of text, for its tests.
 *
 * A test reads as a conversation: what comes in, then said("what went out").
 * The node and the workers are the test itself; the clock is @now.  After every
 * event the owner's invariants are checked.  For the one file of a test
 * program.
 *
 * Names in the text: t5 is the task, o5 the object with serial number 5 (one
 * counter for both); .1 behind an object is its index, .2 behind a task its
 * attempt; p21 a process; @64 a place in the store by its offset.
 */
#ifndef COVEY_TESTS_OWNER_WORLD_H
#define COVEY_TESTS_OWNER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/owner.h"

#define T0 (1000 * SECOND_NS)
#define LOG_MAX (1u << 20)
#define RUN_NS (100 * 1000)         /* what a task is said to have run, unless a test says more */

static const struct addr node_addr = {1, 0, 0, 0}, self_addr = {1, 9, 0, 0};
static const struct addr w1 = {1, 21, 0, 0}, w2 = {1, 22, 0, 0};
static const struct addr alice = {1, 2, 0, 0}, bob = {1, 3, 0, 0};

static struct owner *o;
static int64_t now;
static char out[LOG_MAX];
static size_t out_len;
static bool quiet;                  /* write nothing down */

/* What was pushed and waits for a reply, for tests that answer everything. */
#define UNANSWERED_MAX 64u
static struct pushed { struct addr to; uint64_t seq, lease; uint32_t attempt; } unanswered[UNANSWERED_MAX];
static uint32_t unanswered_count;

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
    if (quiet)
        return;
    va_list args;
    va_start(args, format);
    out_len += (size_t)vsnprintf(out + out_len, LOG_MAX - out_len, format, args);
    va_end(args);
    assert_true(out_len < LOG_MAX);
}

static void said_anything(void)
{
    out_len = 0;
    out[0] = '\0';
}

static void said(const char *expected)
{
    assert_string_equal(out, expected);
    said_anything();
}

/* ---- words -------------------------------------------------------------- */

static unsigned serial(uint64_t seq)
{
    return (unsigned)(seq >> OWNER_SLOT_BITS);
}

static struct place place_at(uint64_t offset)
{
    return (struct place){.node = 1, .extent = 1, .gen = 3, .offset = offset, .size = 100,
                          .ordinal = (uint32_t)(offset / 64)};
}

static void say_id(struct oid id)
{
    if (id.proc != self_addr.proc)
        say("p%u:", id.proc);
    say("o%u", serial(id.seq));
    if (id.index)
        say(".%u", id.index);
}

static void say_span(const char *before, struct span s)
{
    say("%s%.*s", before, (int)(s.len < 60 ? s.len : 60), s.len ? (const char *)s.data : "");
}

static void say_to(const char *what, struct addr to)
{
    if (addr_eq(to, node_addr))
        say("%s", what);
    else
        say("%s p%u", what, to.proc);
}

/* ---- effects ------------------------------------------------------------ */

static void say_task(struct addr to, const struct msg_task *m)
{
    assert_int_equal(m->epoch, m->lease + 100);
    if (unanswered_count < UNANSWERED_MAX)
        unanswered[unanswered_count++] = (struct pushed){to, m->seq, m->lease, m->attempt};
    say("task p%u t%u.%u of %u", to.proc, serial(m->seq), m->attempt, (unsigned)m->lease);
    say_span(" ", m->args);
    for (uint32_t i = 0; i < m->dep_count; i++) {
        const struct dep *dep = &m->deps[i];
        if (dep->kind == DEP_INLINE)
            say_span(" =", dep->value);
        else if (dep->kind == DEP_PLACE)
            say(" @%u", (unsigned)dep->place.offset);
        if (dep->kind != DEP_HANDLE)
            continue;
        say(" &");
        say_id(dep->id);
        if (dep->place.node)
            say("@%u", (unsigned)dep->place.offset);
    }
    if (m->left_ms >= 0)
        say(" left %u", (unsigned)m->left_ms);
    say("\n");
}

static void say_ready(struct addr to, const struct msg_object_ready *m)
{
    say_to("ready", to);
    say(" ");
    say_id(m->id);
    if (m->status != COVEY_OK) {
        say(" %s", status_name(m->status));
        say_span(" ", m->why);
    } else if (m->in_store) {
        say(" @%u", (unsigned)m->place.offset);
    } else {
        say_span(" =", m->value);
    }
    say("\n");
}

static void say_borrow(const char *what, struct addr to, struct oid id, struct addr who, uint64_t version)
{
    say_to(what, to);
    say(" ");
    say_id(id);
    say(" by p%u v%u\n", who.proc, (unsigned)version);
}

static void say_seqs(const char *what, struct addr to, uint64_t lease, uint32_t n, const uint64_t *seqs)
{
    say("%s p%u of %u:", what, to.proc, (unsigned)lease);
    for (uint32_t i = 0; i < n; i++)
        say(" t%u", serial(seqs[i]));
    say("\n");
}

static bool say_to_node(const struct msg *m)
{
    switch ((int)m->kind) {
    case MSG_CLASS:
        say("class %u\n", m->u.class_.class_id);
        return true;
    case MSG_LEASE_WANT:
        say("want %u of class %u", m->u.lease_want.want, m->u.lease_want.class_id);
        if (m->u.lease_want.priority)
            say(" priority %d", m->u.lease_want.priority);
        say("\n");
        return true;
    case MSG_LEASE_RETURN:
        say("return %u\n", (unsigned)m->u.lease_return.lease);
        return true;
    case MSG_WORKER_KILL:
        say("kill %u for t%u\n", (unsigned)m->u.worker_kill.lease, serial(m->u.worker_kill.seq));
        return true;
    case MSG_CENSUS:
        say("census of p%u:", m->u.census.who.proc);
        for (uint32_t i = 0; i < m->u.census.place_count; i++)
            say(" @%u", (unsigned)m->u.census.places[i].offset);
        say("\n");
        return true;
    case MSG_KEEP_ANSWER:
        say("unknown:");
        for (uint32_t i = 0; i < m->u.keep_answer.kept_count; i++)
            say(" @%u", (unsigned)m->u.keep_answer.kept[i].place.offset);
        say("\n");
        return true;
    default:
        return false;
    }
}

static void say_to_executor(struct addr to, const struct msg *m)
{
    switch ((int)m->kind) {
    case MSG_FUNCTION:
        say("function p%u %u\n", to.proc, m->u.function.fn_id);
        break;
    case MSG_TASK:
        say_task(to, &m->u.task);
        break;
    case MSG_REVOKE:
        say_seqs("revoke", to, m->u.revoke.lease, m->u.revoke.seq_count, m->u.revoke.seqs);
        break;
    case MSG_CANCEL:
        say("cancel p%u t%u.%u grace %d%s\n", to.proc, serial(m->u.cancel.seq), m->u.cancel.attempt,
            (int)m->u.cancel.grace_ms, m->u.cancel.recursive ? " recursive" : "");
        break;
    case MSG_REPLY_ACK:
        say("%s p%u t%u.%u\n", m->u.reply_ack.committed ? "committed" : "refused", to.proc,
            serial(m->u.reply_ack.seq), m->u.reply_ack.attempt);
        break;
    case MSG_POST_ACK:
        say("%s p%u t%u.%u #%u", m->u.post_ack.is_answer ? "answer" : "read", to.proc,
            serial(m->u.post_ack.seq), m->u.post_ack.attempt, (unsigned)m->u.post_ack.number);
        if (m->u.post_ack.body.len)
            say_span(" ", m->u.post_ack.body);
        say("\n");
        break;
    default:
        fail_msg("an owner does not send kind %d", (int)m->kind);
    }
}

static void on_send(void *io, struct addr to, const struct msg *m)
{
    (void)io;
    switch ((int)m->kind) {
    case MSG_OBJECT_READY:
        say_ready(to, &m->u.object_ready);
        return;
    case MSG_OBJECT_WAIT:
        say_to("wait", to);
        say(" ");
        say_id(m->u.object_wait.id);
        say("\n");
        return;
    case MSG_OBJECT_CANCEL:
        say_to("cancel", to);
        say(" ");
        say_id(m->u.object_cancel.id);
        say(" grace %d\n", (int)m->u.object_cancel.grace_ms);
        return;
    case MSG_BORROW_ADD:
        say_borrow("add", to, m->u.borrow_add.id, m->u.borrow_add.borrower, m->u.borrow_add.version);
        return;
    case MSG_BORROW_ADDED:
        say_borrow("added", to, m->u.borrow_added.id, m->u.borrow_added.borrower, m->u.borrow_added.version);
        return;
    case MSG_BORROW_DROP:
        say_borrow("drop", to, m->u.borrow_drop.id, m->u.borrow_drop.borrower, m->u.borrow_drop.version);
        return;
    default:
        break;
    }
    if (addr_eq(to, node_addr) && say_to_node(m))
        return;
    say_to_executor(to, m);
}

static void on_free_place(void *io, const struct place *place)
{
    (void)io;
    say("free @%u\n", (unsigned)place->offset);
}

static void on_post(void *io, covey_ref ref, const struct msg_post *m)
{
    (void)io;
    struct object_view view;
    assert_int_equal(owner_view(o, ref, &view), COVEY_OK);
    say("post o%u #%u", serial(view.id.seq), (unsigned)m->number);
    say_span(" ", m->body);
    say("\n");
}

static void on_settled(void *io, covey_ref ref)
{
    (void)io;
    struct object_view view;
    assert_int_equal(owner_view(o, ref, &view), COVEY_OK);
    say("settled o%u\n", serial(view.id.seq));
}

/* Values that begin with 's' are texts: their payload begins behind it. */
static uint32_t payload_of(struct span value)
{
    return value.len && value.data[0] == 's' ? 1 : 0;
}

static const struct owner_ops ops = {on_send, on_free_place, on_post, on_settled};
static const struct owner_config config = {{1, 9, 0, 0}, {1, 0, 0, 0}, payload_of};

/* ---- what the program does ------------------------------------------------ */

static struct task_spec spec_of(const char *args)
{
    return (struct task_spec){.name = "square", .args = span_str(args), .result_count = 1,
                              .retry_on = COVEY_RETRY_DEATH, .retries = 3, .backoff_ms = 20};
}

static covey_ref submit_spec(struct task_spec spec)
{
    covey_ref ref = owner_submit(o, &spec, now);
    owner_check(o);
    return ref;
}

static covey_ref submit(const char *args)
{
    return submit_spec(spec_of(args));
}

static inline covey_ref submit_with(const char *args, covey_ref dep, bool handle)
{
    struct task_spec spec = spec_of(args);
    struct owner_dep deps[] = {{dep, handle}};
    spec.deps = deps;
    spec.dep_count = 1;
    return submit_spec(spec);
}

static inline void release(covey_ref ref)
{
    assert_int_equal(owner_release(o, ref, now), COVEY_OK);
    owner_check(o);
}

static inline void cancel(covey_ref ref, int64_t grace_ms)
{
    assert_int_equal(owner_cancel(o, ref, grace_ms, false, now), COVEY_OK);
    owner_check(o);
}

static struct oid id_of(covey_ref ref)
{
    struct object_view view;
    assert_int_equal(owner_view(o, ref, &view), COVEY_OK);
    return view.id;
}

/* What the ref shows: "pending", "=value", "@offset", or "STATUS why". */
static const char *shown(covey_ref ref)
{
    static char text[WHY_MAX + 64];
    struct object_view v;
    if (owner_view(o, ref, &v) != COVEY_OK)
        return "stale";
    if (v.state == OBJECT_PENDING)
        return v.local_runnable ? "pending, runnable" : "pending";
    if (v.state == OBJECT_FAILED)
        snprintf(text, sizeof text, "%s %s", status_name(v.status), v.why);
    else if (v.in_store)
        snprintf(text, sizeof text, "@%u", (unsigned)v.place.offset);
    else
        snprintf(text, sizeof text, "=%.*s", (int)v.value.len, (const char *)v.value.data);
    return text;
}

static inline void shows(covey_ref ref, const char *expected)
{
    assert_string_equal(shown(ref), expected);
}

/* Only the beginning is compared. */
static inline void fails(covey_ref ref, const char *expected)
{
    const char *text = shown(ref);
    if (strncmp(text, expected, strlen(expected)) != 0)
        fail_msg("it shows \"%s\", not \"%s...\"", text, expected);
}

/* ---- what the others say ---------------------------------------------------- */

static void hear(struct addr from, const struct msg *m)
{
    assert_true(owner_msg(o, from, m, now));
    owner_check(o);
}

static inline void grant_class(uint32_t class_id, uint64_t lease, struct addr worker)
{
    struct msg m = {.kind = MSG_LEASE_GRANT};
    m.u.lease_grant = (struct msg_lease_grant){.class_id = class_id, .lease = lease, .epoch = lease + 100,
                                               .worker = worker};
    hear(node_addr, &m);
}

static inline void grant(uint64_t lease, struct addr worker)
{
    grant_class(0, lease, worker);
}

static struct msg_reply reply_of(covey_ref ref, uint32_t attempt, uint64_t lease)
{
    return (struct msg_reply){.seq = id_of(ref).seq, .attempt = attempt, .lease = lease, .epoch = lease + 100,
                              .run_ns = RUN_NS};
}

static void reply(struct addr from, struct msg_reply r)
{
    struct msg m = {.kind = MSG_REPLY};
    m.u.reply = r;
    hear(from, &m);
}

static inline void reply_value(struct addr from, struct msg_reply r, const char *value)
{
    struct result result = {.value = span_str(value)};
    r.results = &result;
    r.result_count = 1;
    reply(from, r);
}

static inline void reply_place(struct addr from, struct msg_reply r, uint64_t offset)
{
    struct result result = {.in_store = true, .place = place_at(offset)};
    r.results = &result;
    r.result_count = 1;
    reply(from, r);
}

static inline void reply_error(struct addr from, struct msg_reply r, covey_status status, int32_t code,
                               const char *why)
{
    r.status = status;
    r.user_code = code;
    r.why = span_str(why);
    reply(from, r);
}

static inline void revoked(struct addr from, uint64_t lease, bool blocked, uint32_t n, const covey_ref *refs)
{
    uint64_t seqs[OWNER_WINDOW_MAX];
    struct msg m = {.kind = MSG_REVOKED};
    for (uint32_t i = 0; i < n; i++)
        seqs[i] = id_of(refs[i]).seq;
    m.u.revoked = (struct msg_revoked){lease, blocked, n, seqs};
    hear(from, &m);
}

static inline void recall(uint64_t lease)
{
    struct msg m = {.kind = MSG_LEASE_RECALL};
    m.u.lease_recall.lease = lease;
    hear(node_addr, &m);
}

static inline void stall(uint32_t class_id, covey_status status, const char *why)
{
    struct msg m = {.kind = MSG_LEASE_STALL};
    m.u.lease_stall = (struct msg_lease_stall){class_id, status, span_str(why)};
    hear(node_addr, &m);
}

/* @running: 0 where the node does not know it. */
static inline void died(uint64_t lease, struct addr worker, uint64_t running, const char *why)
{
    struct msg m = {.kind = MSG_WORKER_DIED};
    m.u.worker_died = (struct msg_worker_died){.lease = lease, .worker = worker, .exit_status = -11,
                                               .running_seq = running, .why = span_str(why)};
    hear(node_addr, &m);
}

static void pass(int64_t ns)
{
    now += ns;
    owner_tick(o, now);
    owner_check(o);
}

/* The clock jumps to what the owner waits for next, which is @ns away. */
static inline void pass_to_deadline(int64_t ns)
{
    assert_int_equal(owner_deadline(o) - now, ns);
    pass(ns);
}

/* ---- a usual state -------------------------------------------------------------- */

/* The first lease, w1's, with @n tasks on it that are short. */
#define ON_LEASE_MAX 8
static covey_ref task[ON_LEASE_MAX];

static inline void push_some(uint32_t n)
{
    assert_true(n <= ON_LEASE_MAX);
    covey_ref first = submit("first");
    grant(7, w1);
    reply_value(w1, reply_of(first, 1, 7), "1");    /* its run time opens the window */
    release(first);
    for (uint32_t i = 0; i < n; i++)
        task[i] = submit("x");
    said_anything();
}

/* ---- life ---------------------------------------------------------------------- */

static bool world_open(void)
{
    static const struct resources one_cpu = {.cpu_milli = 1000};
    uint32_t id;
    now = T0;
    quiet = false;
    unanswered_count = 0;
    said_anything();
    if (owner_new(&o, &config, &ops, NULL) != COVEY_OK)
        return false;
    if (owner_class(o, (struct hash128){1, 1}, &one_cpu, &id) == COVEY_OK &&
        owner_function(o, "square", "i64 -> i64", &id) == COVEY_OK)
        return true;
    owner_free(&o);
    return false;
}

static int setup(void **state)
{
    (void)state;
    return world_open() ? 0 : -1;
}

static inline int teardown(void **state)
{
    (void)state;
    owner_check(o);
    owner_free(&o);
    return o != NULL;
}

#endif
