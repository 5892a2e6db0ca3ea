/* test_head.c - the head's core, over a record in memory that a test makes safe,
 * fails, or loses at any point.  With @twice every message is delivered twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/head.h"
#include "core/rows.h"
#include "failing_malloc.h"
#include "wire/wire.h"

#define ROWS_MAX 4096
#define SENT_MAX 4096

struct row { char table[16]; uint8_t *key, *value; uint32_t key_len, value_len; };
struct sent { struct addr to; struct msg msg; struct span bytes; bool taken; };

static struct {
    struct head *head;
    int64_t now;
    bool twice;
    struct row disk[ROWS_MAX], flying[ROWS_MAX];    /* safe rows, and those on their way */
    uint32_t disk_count, flying_count;
    uint64_t safe;                                  /* number of the last safe one of this life */
    struct sent sent[SENT_MAX];
    uint32_t sent_count, shutdowns;
    struct addr forgotten;                          /* the last one */
    struct scratch scratch;
} w;

static const struct addr ASKER = {1, 5, 0, 0};

/* ---- ops ------------------------------------------------------------------------- */

static uint8_t *copy(const void *data, size_t size)
{
    uint8_t *bytes = scratch_alloc(&w.scratch, size + 1);
    assert_non_null(bytes);
    if (size)
        memcpy(bytes, data, size);
    bytes[size] = 0;
    return bytes;
}

static void on_send(void *io, struct addr to, const struct msg *msg)
{
    (void)io;
    assert_true(w.sent_count < SENT_MAX);
    struct sent *s = &w.sent[w.sent_count++];
    *s = (struct sent){.to = to, .msg = *msg};
    if (msg->kind == MSG_KV_VALUE)
        s->bytes = span_of(copy(msg->u.kv_value.value.data, msg->u.kv_value.value.len),
                           msg->u.kv_value.value.len);
    if (msg->kind == MSG_ROWS)
        s->bytes = span_of(copy(msg->u.rows.cells.data, msg->u.rows.cells.len), msg->u.rows.cells.len);
    if (msg->kind == MSG_VIEW)
        s->msg.u.view.nodes = (const void *)copy(msg->u.view.nodes, msg->u.view.node_count * sizeof(struct node_view));
}

static void on_persist(void *io, const struct head_record *record)
{
    (void)io;
    assert_true(w.flying_count < ROWS_MAX);
    struct row *r = &w.flying[w.flying_count++];
    assert_int_equal(record->number, w.safe + w.flying_count);
    snprintf(r->table, sizeof r->table, "%s", record->table);
    r->key = copy(record->key.data, record->key.len);
    r->key_len = record->key.len;
    r->value = copy(record->value.data, record->value.len);
    r->value_len = record->value.len;
}

static void on_shutdown(void *io, int64_t grace_ms)
{
    (void)io, (void)grace_ms;
    w.shutdowns++;
}

static void encode(struct buf *out, const struct msg *msg)
{
    if (wire_encode(out, msg) != COVEY_OK)
        out->failed = true;
}

static covey_status decode(struct span bytes, struct msg *out)
{
    struct scratch none;
    size_t used;
    char why[128];
    scratch_init(&none);
    covey_status status = wire_decode(bytes, &used, &none, out, why, sizeof why);
    assert_null(none.chunk);    /* rows have no arrays */
    scratch_fini(&none);
    return status == COVEY_OK && used != bytes.len ? COVEY_EPROTO : status;
}

static void on_forget(void *io, struct addr peer)
{
    (void)io;
    w.forgotten = peer;
}

static const struct head_ops OPS = {on_send, on_persist, on_shutdown, encode, decode, on_forget};

/* ---- the world ---------------------------------------------------------------------- */

static void begin(bool twice)
{
    memset(&w, 0, sizeof w);
    w.twice = twice;
    w.now = SECOND_NS;
    scratch_init(&w.scratch);
    assert_non_null(scratch_alloc(&w.scratch, 1 << 20));
    scratch_reset(&w.scratch);
}

static void end(void)
{
    head_free(&w.head);
    assert_null(w.head);
    scratch_fini(&w.scratch);
}

static void start(void)
{
    assert_int_equal(head_new(&w.head, &OPS, NULL), COVEY_OK);
    head_start(w.head, w.now);
}

static void write_row(const struct row *r)
{
    for (uint32_t i = 0; i < w.disk_count; i++) {
        struct row *old = &w.disk[i];
        if (strcmp(old->table, r->table) == 0 && old->key_len == r->key_len &&
            memcmp(old->key, r->key, r->key_len) == 0) {
            *old = *r;
            return;
        }
    }
    assert_true(w.disk_count < ROWS_MAX);
    w.disk[w.disk_count++] = *r;
}

/* The disk has written @count rows more. */
static void make_safe(uint32_t count)
{
    assert_true(count <= w.flying_count);
    for (uint32_t i = 0; i < count; i++)
        write_row(&w.flying[i]);
    w.flying_count -= count;
    memmove(w.flying, w.flying + count, w.flying_count * sizeof *w.flying);
    w.safe += count;
    head_persisted(w.head, w.safe, true, w.now);
}

static void all_safe(void)
{
    while (w.flying_count)
        make_safe(w.flying_count);
}

static void disk_fails(void)
{
    w.safe += w.flying_count;
    w.flying_count = 0;
    head_persisted(w.head, w.safe, false, w.now);
}

/* kill -9: what is not safe is gone; the next head reads the rest. */
static void restart(void)
{
    head_free(&w.head);
    w.flying_count = w.sent_count = 0;
    w.safe = 0;
    assert_int_equal(head_new(&w.head, &OPS, NULL), COVEY_OK);
    for (uint32_t i = 0; i < w.disk_count; i++)
        assert_int_equal(head_load(w.head, w.disk[i].table, span_of(w.disk[i].key, w.disk[i].key_len),
                                   span_of(w.disk[i].value, w.disk[i].value_len)), COVEY_OK);
    head_start(w.head, w.now);
}

static void say(struct addr from, const struct msg *msg)
{
    for (int i = 0; i < (w.twice ? 2 : 1); i++)
        head_msg(w.head, from, msg, w.now);
}

static const struct sent *take(struct addr to, enum msg_kind kind)
{
    for (uint32_t i = 0; i < w.sent_count; i++) {
        struct sent *s = &w.sent[i];
        if (!s->taken && s->msg.kind == kind && addr_eq(s->to, to)) {
            s->taken = true;
            return s;
        }
    }
    return NULL;
}

static void pass_time(int64_t ns)
{
    int64_t until = w.now + ns;
    for (int turns = 0; head_deadline(w.head) <= until; turns++) {
        assert_true(turns < 1000);
        w.now = head_deadline(w.head) > w.now ? head_deadline(w.head) : w.now;
        head_tick(w.head, w.now);
    }
    w.now = until;
}

static void begin_safe(bool twice)
{
    begin(twice);
    start();
    all_safe();
}

/* ---- what is said ----------------------------------------------------------------- */

static void put(const char *key, const char *value, uint64_t request, bool only_new)
{
    struct msg m = {.kind = MSG_KV_PUT};
    m.u.kv_put = (struct msg_kv_put){request, span_str(key), span_str(value), only_new};
    say(ASKER, &m);
}

static void get(const char *key, uint64_t request)
{
    struct msg m = {.kind = MSG_KV_GET};
    m.u.kv_get = (struct msg_kv_get){request, span_str(key)};
    head_msg(w.head, ASKER, &m, w.now);
}

/* The next answer; both, where it was asked twice. */
static void answered(uint64_t request, covey_status status, const char *value, bool asked_twice)
{
    for (int i = 0; i < (asked_twice && w.twice ? 2 : 1); i++) {
        const struct sent *s = take(ASKER, MSG_KV_VALUE);
        assert_non_null(s);
        assert_int_equal(s->msg.u.kv_value.request, request);
        assert_int_equal(s->msg.u.kv_value.status, status);
        assert_string_equal((const char *)s->bytes.data, value);
    }
}

static void silent(enum msg_kind kind)
{
    for (uint32_t i = 0; i < w.sent_count; i++)
        assert_false(!w.sent[i].taken && w.sent[i].msg.kind == kind);
}

static struct addr node_at(uint32_t node)
{
    return (struct addr){node, 0, 9, 0};
}

static void join(struct addr from, uint32_t number, uint64_t boot)
{
    struct msg m = {.kind = MSG_NODE_JOIN};
    m.u.node_join = (struct msg_node_join){number, boot, span_str("name"), {.cpu_milli = 4000}};
    say(from, &m);
}

static struct msg_node_joined joined(struct addr from)
{
    const struct sent *s = take(from, MSG_NODE_JOINED);
    assert_non_null(s);
    struct msg_node_joined j = s->msg.u.node_joined;
    while ((s = take(from, MSG_NODE_JOINED)) != NULL)
        assert_memory_equal(&s->msg.u.node_joined, &j, sizeof j);
    return j;
}

static void report(struct addr from, uint64_t version, int64_t free_cpu_milli)
{
    struct msg m = {.kind = MSG_NODE_STATE};
    m.u.node_state = (struct msg_node_state){.version = version, .free = {.cpu_milli = free_cpu_milli},
                                             .workers = 3};
    say(from, &m);
}

/* The last view that @to was sent; the others are dropped. */
static const struct msg_view *last_view(struct addr to)
{
    const struct sent *s, *last = NULL;
    while ((s = take(to, MSG_VIEW)) != NULL) {
        assert_true(!last || s->msg.u.view.version > last->msg.u.view.version);
        last = s;
    }
    return last ? &last->msg.u.view : NULL;
}

/* ---- key-value ----------------------------------------------------------------------- */

static void put_and_get(bool twice)
{
    begin_safe(twice);
    get("k", 1);
    answered(1, COVEY_EUNKNOWN, "", false);
    put("k", "one", 2, false);
    silent(MSG_KV_VALUE);               /* not before it is safe */
    assert_int_equal(w.flying_count, 1);
    get("k", 3);
    silent(MSG_KV_VALUE);               /* stands in line behind the put */
    all_safe();
    answered(2, COVEY_OK, "", true);
    answered(3, COVEY_OK, "one", false);
    put("k", "two", 4, false);
    put("", "x", 5, false);
    answered(5, COVEY_EINVAL, "", true);
    all_safe();
    answered(4, COVEY_OK, "", true);
    get("k", 6);
    answered(6, COVEY_OK, "two", false);
    end();
}

static void test_put_and_get(void **state)
{
    (void)state;
    put_and_get(false);
    put_and_get(true);
}

static void only_new(bool twice)
{
    begin_safe(twice);
    put("lock", "a", 1, true);
    put("lock", "b", 2, true);          /* the first is not safe yet, and counts */
    silent(MSG_KV_VALUE);
    assert_int_equal(w.flying_count, 1);
    all_safe();
    answered(1, COVEY_OK, "", true);
    answered(2, COVEY_EREFUSED, "a", true);
    put("lock", "a", 1, true);          /* a copy, much later */
    answered(1, COVEY_OK, "", true);
    put("lock", "a", 3, true);          /* the same value in another request */
    answered(3, COVEY_EREFUSED, "a", true);
    restart();
    all_safe();
    put("lock", "a", 1, true);          /* a copy, to the next head */
    answered(1, COVEY_OK, "", true);
    put("lock", "b", 4, true);
    answered(4, COVEY_EREFUSED, "a", true);
    end();
}

static void test_only_new(void **state)
{
    (void)state;
    only_new(false);
    only_new(true);
}

static void test_nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    /* Die after each number of safe rows. */
    for (uint32_t at = 0; at <= 6; at++) {
        begin_safe(false);
        for (uint32_t i = 0; i < 6; i++) {
            char key[2] = {(char)('a' + i), 0};
            put(key, key, i + 1, false);
        }
        make_safe(at);
        uint32_t acknowledged = 0;
        while (take(ASKER, MSG_KV_VALUE))
            acknowledged++;
        assert_int_equal(acknowledged, at);
        restart();
        all_safe();
        for (uint32_t i = 0; i < 6; i++) {
            char key[2] = {(char)('a' + i), 0};
            get(key, 100 + i);
            answered(100 + i, i < at ? COVEY_OK : COVEY_EUNKNOWN, i < at ? key : "", false);
        }
        end();
    }
}

static void test_disk_fails(void **state)
{
    (void)state;
    begin_safe(true);
    put("k", "old", 1, false);
    all_safe();
    answered(1, COVEY_OK, "", true);
    put("k", "new", 2, false);
    put("n", "new", 3, true);
    put("n", "other", 4, true);
    disk_fails();
    answered(2, COVEY_ESYSTEM, "", true);
    answered(3, COVEY_ESYSTEM, "", true);
    answered(4, COVEY_ESYSTEM, "", true);
    get("k", 5);
    answered(5, COVEY_OK, "old", false);
    get("n", 6);
    answered(6, COVEY_EUNKNOWN, "", false);
    put("n", "again", 7, true);         /* as if it had never been */
    all_safe();
    answered(7, COVEY_OK, "", true);
    end();
}

static void test_two_puts_under_way(void **state)
{
    (void)state;
    begin_safe(false);
    put("k", "one", 1, false);
    put("k", "two", 2, false);
    make_safe(1);
    answered(1, COVEY_OK, "", false);
    disk_fails();
    answered(2, COVEY_ESYSTEM, "", false);
    get("k", 3);
    answered(3, COVEY_OK, "one", false);
    put("k", "three", 4, false);
    put("k", "four", 5, false);
    all_safe();
    get("k", 6);
    answered(4, COVEY_OK, "", false);
    answered(5, COVEY_OK, "", false);
    answered(6, COVEY_OK, "four", false);
    end();
}

static void test_kv_bounds(void **state)
{
    (void)state;
    static char large[HEAD_KV_BYTES_MAX + 2];
    begin_safe(false);
    memset(large, 'x', sizeof large - 1);
    put("k", large, 1, false);
    answered(1, COVEY_ETOOBIG, "", false);
    large[HEAD_KV_KEY_MAX + 1] = 0;
    put(large, "v", 2, false);
    answered(2, COVEY_ETOOBIG, "", false);
    large[HEAD_KV_KEY_MAX] = 0;
    put(large, "v", 3, false);
    all_safe();
    answered(3, COVEY_OK, "", false);
    assert_int_equal(w.disk_count, 2);  /* with the epoch */
    end();
}

/* ---- members -------------------------------------------------------------------------- */

static void joining(bool twice)
{
    begin_safe(twice);
    assert_int_equal(head_epoch(w.head), 1);
    join(node_at(1), 1, 77);
    silent(MSG_NODE_JOINED);
    make_safe(1);
    silent(MSG_NODE_JOINED);            /* half of it is safe */
    all_safe();
    struct msg_node_joined j = joined(node_at(1));
    assert_int_equal(j.node, 1);
    assert_int_equal(j.inc, 1);
    assert_int_equal(j.boot, 77);
    assert_int_equal(j.head_epoch, 1);
    assert_int_equal(w.flying_count, 0);
    join(node_at(1), 1, 77);            /* a copy: nothing to write */
    assert_int_equal(w.flying_count, 0);
    assert_int_equal(joined(node_at(1)).inc, 1);
    join(node_at(1), 1, 78);            /* the next boot */
    all_safe();
    assert_int_equal(joined(node_at(1)).inc, 2);
    join((struct addr){9, 9, 9, 9}, 0, 80);     /* a new one without a number */
    join((struct addr){8, 8, 8, 8}, 0, 81);
    all_safe();
    assert_int_equal(joined((struct addr){9, 9, 9, 9}).node, 2);
    assert_int_equal(joined((struct addr){8, 8, 8, 8}).node, 3);
    end();
}

static void test_join(void **state)
{
    (void)state;
    joining(false);
    joining(true);
}

static void test_restart(void **state)
{
    (void)state;
    begin_safe(false);
    join(node_at(1), 1, 77);
    all_safe();
    (void)joined(node_at(1));
    for (uint64_t life = 2; life < 6; life++) {
        restart();
        assert_int_equal(head_epoch(w.head), life);
        join(node_at(1), 1, 77);
        silent(MSG_NODE_JOINED);        /* the new epoch is not safe yet */
        all_safe();
        struct msg_node_joined j = joined(node_at(1));
        assert_int_equal(j.node, 1);
        assert_int_equal(j.inc, 1);
        assert_int_equal(j.head_epoch, life);
    }
    join(node_at(7), 0, 99);
    all_safe();
    assert_int_equal(joined(node_at(7)).node, 2);
    end();
}

static void test_a_join_that_was_half_safe(void **state)
{
    (void)state;
    begin_safe(false);
    join(node_at(1), 1, 77);
    all_safe();
    join(node_at(1), 1, 78);
    make_safe(1);
    restart();
    all_safe();
    join(node_at(1), 1, 78);
    all_safe();
    assert_int_equal(joined(node_at(1)).inc, 2);
    end();
}

static void test_join_while_the_disk_fails(void **state)
{
    (void)state;
    begin_safe(false);
    join(node_at(1), 1, 77);
    disk_fails();
    silent(MSG_NODE_JOINED);
    pass_time(HEAD_RETRY);
    assert_int_equal(w.flying_count, 2);
    disk_fails();
    pass_time(HEAD_RETRY);
    all_safe();
    assert_int_equal(joined(node_at(1)).inc, 1);
    pass_time(10 * HEAD_RETRY);
    assert_int_equal(w.flying_count, 0);
    end();
}

static void test_epoch_that_cannot_be_written(void **state)
{
    (void)state;
    begin(false);
    start();
    join(node_at(1), 1, 77);
    disk_fails();
    silent(MSG_NODE_JOINED);
    pass_time(HEAD_RETRY);
    assert_int_equal(w.flying_count, 3);    /* the epoch first */
    assert_string_equal(w.flying[0].table, "meta");
    all_safe();
    assert_int_equal(joined(node_at(1)).head_epoch, 1);
    restart();
    assert_int_equal(head_epoch(w.head), 2);
    end();
}

static void test_suspect_after_three_seconds(void **state)
{
    (void)state;
    begin_safe(false);
    join(node_at(1), 1, 77);
    join(node_at(2), 2, 78);
    all_safe();
    pass_time(HEAD_VIEW_EVERY);
    const struct msg_view *v = last_view(node_at(1));
    assert_non_null(v);
    assert_int_equal(v->node_count, 2);
    assert_true(v->nodes[0].alive);
    assert_true(v->nodes[1].alive);
    for (uint64_t i = 1; i <= 4; i++) {
        assert_null(last_view(node_at(1)));     /* nothing has changed */
        pass_time(HEAD_NODE_SUSPECT / 4);
        report(node_at(1), i, 4000);
    }
    pass_time(HEAD_VIEW_EVERY);
    v = last_view(node_at(1));
    assert_non_null(v);
    assert_true(v->nodes[0].alive);
    assert_false(v->nodes[1].alive);
    report(node_at(2), 1, 4000);                /* and back */
    pass_time(HEAD_VIEW_EVERY);
    v = last_view(node_at(1));
    assert_non_null(v);
    assert_true(v->nodes[1].alive);
    end();
}

static void test_amounts(void **state)
{
    (void)state;
    begin_safe(false);
    join(node_at(1), 1, 77);
    all_safe();
    pass_time(HEAD_VIEW_EVERY);
    (void)last_view(node_at(1));
    report(node_at(1), 2, 1000);
    report(node_at(1), 1, 3000);        /* older */
    pass_time(HEAD_STATE_EVERY);
    const struct msg_view *v = last_view(node_at(1));
    assert_non_null(v);
    assert_int_equal(v->nodes[0].free.cpu_milli, 1000);
    assert_int_equal(v->nodes[0].total.cpu_milli, 4000);
    end();
}

static void test_gone(void **state)
{
    (void)state;
    begin_safe(false);
    join(node_at(1), 1, 77);
    join(node_at(2), 2, 78);
    all_safe();
    pass_time(HEAD_VIEW_EVERY);
    (void)last_view(node_at(1));
    (void)last_view(node_at(2));
    head_node_gone(w.head, node_at(2), w.now);
    head_node_gone(w.head, node_at(99), w.now);
    report(node_at(2), 5, 1000);        /* of the dead */
    pass_time(HEAD_VIEW_EVERY);
    const struct msg_view *v = last_view(node_at(1));
    assert_non_null(v);
    assert_false(v->nodes[1].alive);
    assert_null(last_view(node_at(2)));
    assert_int_equal(w.forgotten.node, 0);
    join((struct addr){2, 0, 10, 0}, 2, 79);
    assert_true(addr_eq(w.forgotten, node_at(2)));
    all_safe();
    head_node_gone(w.head, node_at(2), w.now);      /* which it was before */
    join((struct addr){2, 0, 8, 0}, 2, 77);         /* of a boot before, overtaken */
    report(node_at(2), 6, 1000);        /* the one before, again */
    pass_time(HEAD_STATE_EVERY);
    v = last_view((struct addr){2, 0, 10, 0});
    assert_non_null(v);
    assert_true(v->nodes[1].alive);
    assert_int_equal(v->nodes[1].inc, 2);
    assert_int_equal(v->nodes[1].free.cpu_milli, 4000);
    end();
}

static void test_views_grow_over_restarts(void **state)
{
    (void)state;
    begin_safe(false);
    uint64_t last = 0;
    for (int life = 0; life < 3; life++) {
        for (uint64_t boot = 1; boot < 4; boot++) {
            join(node_at(1), 1, boot + 10 * (uint64_t)life);
            all_safe();
            pass_time(SECOND_NS);
            const struct msg_view *v = last_view(node_at(1));
            assert_non_null(v);
            assert_true(v->version > last);
            last = v->version;
        }
        restart();
        all_safe();
    }
    end();
}

/* ---- the rest -------------------------------------------------------------------------- */

static void test_packages(void **state)
{
    (void)state;
    begin_safe(true);
    struct msg m = {.kind = MSG_PACKAGE};
    m.u.package = (struct msg_package){.hash = {1, 2}, .path = span_str("/bin/x")};
    say(node_at(1), &m);
    assert_int_equal(w.flying_count, 1);
    disk_fails();
    say(node_at(1), &m);                /* told again, written again */
    assert_int_equal(w.flying_count, 1);
    all_safe();
    restart();
    all_safe();
    say(node_at(1), &m);
    assert_int_equal(w.flying_count, 0);
    end();
}

static void test_shutdown_goes_on(void **state)
{
    (void)state;
    begin_safe(false);
    join(node_at(1), 1, 77);
    join(node_at(2), 2, 78);
    all_safe();
    head_node_gone(w.head, node_at(2), w.now);
    struct msg m = {.kind = MSG_SHUTDOWN, .u.shutdown = {5000}};
    say(ASKER, &m);
    assert_int_equal(w.shutdowns, 1);
    assert_int_equal(take(node_at(1), MSG_SHUTDOWN)->msg.u.shutdown.grace_ms, 5000);
    assert_null(take(node_at(2), MSG_SHUTDOWN));
    end();
}

static void test_query(void **state)
{
    (void)state;
    begin_safe(false);
    for (uint32_t i = 1; i <= 5; i++)
        join(node_at(i), i, 70 + i);
    all_safe();
    report(node_at(1), 1, 500);
    head_node_gone(w.head, node_at(2), w.now);
    struct msg m = {.kind = MSG_QUERY};
    m.u.query = (struct msg_query){.request = 3, .what = QUERY_NODES, .state = span_str("suspect")};
    say(ASKER, &m);
    const struct sent *s = take(ASKER, MSG_ROWS);
    assert_true(s->msg.u.rows.last);
    assert_int_equal(s->msg.u.rows.columns, ROWS_NODES_COLUMNS);
    assert_string_equal((const char *)s->bytes.data, "n2");
    m.u.query = (struct msg_query){.request = 4, .what = QUERY_NODES, .limit = 2};
    say(ASKER, &m);
    s = take(ASKER, MSG_ROWS);
    assert_int_equal(s->msg.u.rows.dropped, 3);
    assert_string_equal((const char *)s->bytes.data, "n1");
    m.u.query = (struct msg_query){.request = 5, .what = QUERY_TASKS};
    say(ASKER, &m);
    s = take(ASKER, MSG_ROWS);
    assert_true(s->msg.u.rows.last);
    assert_int_equal(s->bytes.len, 0);
    end();
}

static void test_rows_that_are_not_ours(void **state)
{
    (void)state;
    begin(false);
    assert_int_equal(head_new(&w.head, &OPS, NULL), COVEY_OK);
    struct buf b;
    buf_init(&b);
    struct msg m = {.kind = MSG_KV_PUT};
    m.u.kv_put = (struct msg_kv_put){1, span_str("k"), span_str("v"), false};
    encode(&b, &m);
    assert_int_equal(head_load(w.head, "kv", span_str("other"), buf_span(&b)), COVEY_EPROTO);
    assert_int_equal(head_load(w.head, "meta", span_str("epoch"), buf_span(&b)), COVEY_EPROTO);
    assert_int_equal(head_load(w.head, "node", span_of("j\0\0\0\1", 5), buf_span(&b)), COVEY_EPROTO);
    assert_int_equal(head_load(w.head, "package", span_str("short"), buf_span(&b)), COVEY_EPROTO);
    assert_int_equal(head_load(w.head, "kv", span_str("k"), span_str("nonsense")), COVEY_EPROTO);
    assert_int_equal(head_load(w.head, "kv", span_str("k"), buf_span(&b)), COVEY_OK);
    buf_fini(&b);
    end();
}

static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        begin(true);
        malloc_fail(n, 1);
        covey_status status = head_new(&w.head, &OPS, NULL);
        if (status == COVEY_OK) {
            head_start(w.head, w.now);
            join(node_at(1), 1, 77);
            all_safe();
            report(node_at(1), 1, 5);
            put("k", "v", 1, false);
            put("k", "w", 2, true);
            get("k", 3);
            all_safe();
            get("k", 4);
            struct msg m = {.kind = MSG_QUERY, .u.query = {.what = QUERY_NODES}};
            say(ASKER, &m);
            m = (struct msg){.kind = MSG_PACKAGE, .u.package = {.hash = {1, 2}}};
            say(ASKER, &m);
            pass_time(2 * SECOND_NS);
            all_safe();
            pass_time(2 * SECOND_NS);
            all_safe();
        }
        bool all = malloc_calls < n;
        malloc_fail(0, 0);
        if (status == COVEY_OK)
            (void)joined(node_at(1));   /* joins are never given up */
        end();
        if (all)
            break;
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_and_get),
        cmocka_unit_test(test_only_new),
        cmocka_unit_test(test_nothing_acknowledged_is_lost),
        cmocka_unit_test(test_disk_fails),
        cmocka_unit_test(test_two_puts_under_way),
        cmocka_unit_test(test_kv_bounds),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_a_join_that_was_half_safe),
        cmocka_unit_test(test_join_while_the_disk_fails),
        cmocka_unit_test(test_epoch_that_cannot_be_written),
        cmocka_unit_test(test_suspect_after_three_seconds),
        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_views_grow_over_restarts),
        cmocka_unit_test(test_packages),
        cmocka_unit_test(test_shutdown_goes_on),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_rows_that_are_not_ours),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
