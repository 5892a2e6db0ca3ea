/* test_head_link.c - a node finds its head, reports to it, and finds the next.
 *
 * The head here is a port and a mesh of this same process under the head's
 * address; its life and death are what head.pid says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mesh.h"
#include "io/alarm.h"
#include "io/mono.h"
#include "io/zwatch.h"
#include "node/head_link.h"
#include "wire/wire.h"

#define DEADLINE_MS 5000

struct world {
    char dir[64];
    uv_loop_t loop;
    struct alarm alarm;
    struct zwatch *node_watch, *head_watch;
    struct port *node_port, *head_port;
    struct mesh *head_mesh;
    struct head_link *link;
    /* what the head heard */
    int joins, states;
    struct msg_node_join join;
    struct addr node;       /* as it called itself then */
    struct msg_node_state state;
    /* what the node heard */
    int joined, views;
    uint64_t epoch;
    /* what the node has */
    int64_t free_cpu;
};

static const struct addr NODE = {.node = 1, .inc = 4};
static const struct mesh_codec CODEC = {.encode = wire_encode, .decode = wire_decode};

/* ---- the head ------------------------------------------------------------------- */

static bool head_transmit(void *io, struct addr to, struct frame *frame)
{
    struct world *w = io;
    return port_transmit(w->head_port, to, frame);
}

static void head_deliver(void *io, struct addr from, const struct msg *msg)
{
    struct world *w = io;
    assert_int_equal(from.node, NODE.node);
    assert_int_equal(from.inc >> HEAD_LINK_COUNT_BITS, NODE.inc);
    if (msg->kind == MSG_NODE_JOIN) {
        w->joins++;
        w->node = from;
        w->join = msg->u.node_join;
    } else if (msg->kind == MSG_NODE_STATE) {
        w->states++;
        w->state = msg->u.node_state;
    }
}

static void ignore_full(void *io, struct addr peer, bool is_full) { (void)io, (void)peer, (void)is_full; }

/* A frame for the head before, which comes to the next one, makes no sense
 * there; the head does what it does with any such peer. */
static void head_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    struct world *w = io;
    (void)status, (void)why;
    assert_false(w->joins > w->joined && addr_eq(peer, w->node));
    port_forget(w->head_port, peer);
}

static const struct mesh_ops HEAD_MESH = {
    .transmit = head_transmit, .deliver = head_deliver, .full = ignore_full, .broken = head_broken};

static void head_frame(void *io, struct span frame)
{
    struct world *w = io;
    (void)mesh_receive(w->head_mesh, frame, mono_ns());
}

static void head_writable(void *io, struct addr peer)
{
    struct world *w = io;
    mesh_writable(w->head_mesh, peer, mono_ns());
}

static const struct port_ops HEAD_PORT = {.frame = head_frame, .writable = head_writable};

static void head_turn(void *ctx)
{
    struct world *w = ctx;
    mesh_flush(w->head_mesh, mono_ns());
}

static void write_pid(struct world *w, pid_t pid)
{
    char path[128];
    snprintf(path, sizeof path, "%s/head.pid", w->dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%d\n", (int)pid);
    fclose(f);
}

static void head_begins(struct world *w, pid_t pid)
{
    char why[256] = "";
    assert_int_equal(mesh_new(&w->head_mesh, ADDR_HEAD, &CODEC, &HEAD_MESH, w), COVEY_OK);
    if (port_open(&w->head_port, w->dir, ADDR_HEAD, &HEAD_PORT, w, why, sizeof why) != COVEY_OK)
        fail_msg("%s", why);
    assert_int_equal(zwatch_open(&w->head_watch, &w->loop, w->head_port, head_turn, w), COVEY_OK);
    write_pid(w, pid);
}

static void head_ends(struct world *w)
{
    zwatch_close(&w->head_watch, NULL);
    port_close(&w->head_port, 0);
    mesh_free(&w->head_mesh);
}

static void head_says(struct world *w, const struct msg *m)
{
    assert_int_equal(mesh_send(w->head_mesh, w->node, m, mono_ns()), COVEY_OK);
}

static void head_accepts(struct world *w, uint64_t epoch)
{
    struct msg m = {.kind = MSG_NODE_JOINED};
    m.u.node_joined = (struct msg_node_joined){
        .node = 1, .inc = 4, .boot = w->join.boot, .head_epoch = epoch};
    head_says(w, &m);
}

/* ---- the node --------------------------------------------------------------------- */

static void on_joined(void *io, const struct msg_node_joined *joined)
{
    struct world *w = io;
    w->joined++;
    w->epoch = joined->head_epoch;
}

static void on_msg(void *io, const struct msg *msg)
{
    struct world *w = io;
    w->views += msg->kind == MSG_VIEW;
}

static void on_state(void *io, struct msg_node_state *out)
{
    struct world *w = io;
    *out = (struct msg_node_state){.free = {.cpu_milli = w->free_cpu}};
}

static const struct head_link_ops OPS = {.joined = on_joined, .msg = on_msg, .state = on_state};

static void node_frame(void *io, struct span frame)
{
    struct world *w = io;
    head_link_frame(w->link, frame, mono_ns());
}

static void node_writable(void *io, struct addr peer)
{
    struct world *w = io;
    (void)peer;
    head_link_writable(w->link, mono_ns());
}

static const struct port_ops NODE_PORT = {.frame = node_frame, .writable = node_writable};

static void node_turn(void *ctx)
{
    struct world *w = ctx;
    head_link_flush(w->link, mono_ns());
    alarm_set(&w->alarm, head_link_deadline(w->link));
}

static void on_due(void *ctx)
{
    struct world *w = ctx;
    head_link_tick(w->link, mono_ns());
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    char why[256] = "";
    strcpy(w->dir, "/tmp/covey-link-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(uv_loop_init(&w->loop), 0);
    alarm_open(&w->alarm, &w->loop, on_due, w);
    if (port_open(&w->node_port, w->dir, NODE, &NODE_PORT, w, why, sizeof why) != COVEY_OK)
        fail_msg("%s", why);
    struct head_link_config config = {.loop = &w->loop, .port = w->node_port, .dir = w->dir,
                                      .self = NODE, .boot = 77, .name = "here",
                                      .total = {.cpu_milli = 2000}};
    assert_int_equal(head_link_open(&w->link, &config, &OPS, w), COVEY_OK);
    assert_int_equal(zwatch_open(&w->node_watch, &w->loop, w->node_port, node_turn, w), COVEY_OK);
    w->free_cpu = 2000;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    char command[128];
    if (w->head_port)
        head_ends(w);
    head_link_close(&w->link);
    zwatch_close(&w->node_watch, NULL);
    alarm_close(&w->alarm, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    port_close(&w->node_port, 0);
    snprintf(command, sizeof command, "rm -r %s", w->dir);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

/* Run until *@count has come to @value. */
static void until(struct world *w, const int *count, int value)
{
    int64_t end = mono_ns() + DEADLINE_MS * MS_NS;
    while (*count < value) {
        assert_true(mono_ns() < end);
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    assert_int_equal(*count, value);
}

static void until_left(struct world *w)
{
    int64_t end = mono_ns() + DEADLINE_MS * MS_NS;
    while (head_link_joined(w->link)) {
        assert_true(mono_ns() < end);
        uv_run(&w->loop, UV_RUN_ONCE);
    }
}

static void test_join_and_report(void **state)
{
    struct world *w = *state;
    head_begins(w, getpid());
    until(w, &w->joins, 1);
    assert_int_equal(w->join.node, 1);
    assert_int_equal(w->join.boot, 77);
    assert_int_equal(w->join.total.cpu_milli, 2000);
    assert_int_equal(w->states, 0);     /* nothing before it is taken */
    head_accepts(w, 9);
    until(w, &w->joined, 1);
    assert_int_equal(w->epoch, 9);
    until(w, &w->states, 1);
    assert_int_equal(w->state.free.cpu_milli, 2000);
    uint64_t version = w->state.version;
    int64_t begin = mono_ns();
    w->free_cpu = 500;
    until(w, &w->states, 2);
    assert_true(mono_ns() - begin < HEAD_LINK_STATE_MAX);   /* a change does not wait for the second */
    assert_int_equal(w->state.free.cpu_milli, 500);
    assert_true(w->state.version > version);
    struct msg m = {.kind = MSG_VIEW};
    m.u.view.version = 1;
    head_says(w, &m);
    until(w, &w->views, 1);
}

/* Another one's answer does not count. */
static void test_false_joined(void **state)
{
    struct world *w = *state;
    head_begins(w, getpid());
    until(w, &w->joins, 1);
    struct msg m = {.kind = MSG_NODE_JOINED};
    m.u.node_joined = (struct msg_node_joined){.node = 1, .boot = 78};
    head_says(w, &m);
    struct msg view = {.kind = MSG_VIEW};
    head_says(w, &view);    /* comes after it */
    until(w, &w->views, 1);
    assert_int_equal(w->joined, 0);
    assert_false(head_link_joined(w->link));
}

static void test_head_dies_and_comes_back(void **state)
{
    struct world *w = *state;
    int hold[2];
    assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
    pid_t head = fork();
    if (head == 0) {
        char byte;
        close(hold[1]);
        _exit(read(hold[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(hold[0]);
    head_begins(w, head);
    until(w, &w->joins, 1);
    head_accepts(w, 1);
    until(w, &w->states, 1);

    /* Its process ends: known at once, long before the next look. */
    head_ends(w);
    int64_t begin = mono_ns();
    close(hold[1]);
    until_left(w);
    assert_true(mono_ns() - begin < HEAD_LINK_LOOK_JOINED);
    assert_int_equal(waitpid(head, NULL, 0), head);

    /* The next one starts a stream of its own, and the node does as well. */
    head_begins(w, getpid());
    until(w, &w->joins, 2);
    head_accepts(w, 2);
    until(w, &w->joined, 2);
    assert_int_equal(w->epoch, 2);
    until(w, &w->states, 2);
}

/* The number in head.pid may have been given to another process; a file that
 * was written anew tells. */
static void test_replaced_head(void **state)
{
    struct world *w = *state;
    head_begins(w, getpid());
    until(w, &w->joins, 1);
    head_accepts(w, 1);
    until(w, &w->joined, 1);
    head_ends(w);
    head_begins(w, getpid());
    until(w, &w->joins, 2);
    head_accepts(w, 2);
    until(w, &w->joined, 2);
}

static void test_no_head(void **state)
{
    struct world *w = *state;
    struct msg m = {.kind = MSG_NODE_STATE};
    head_link_send(w->link, &m, mono_ns());     /* dropped */
    for (int i = 0; i < 3; i++)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_false(head_link_joined(w->link));
    write_pid(w, 0);
    for (int i = 0; i < 3; i++)
        uv_run(&w->loop, UV_RUN_ONCE);
    assert_false(head_link_joined(w->link));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join_and_report, setup, teardown),
        cmocka_unit_test_setup_teardown(test_false_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(test_head_dies_and_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_head, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_head, setup, teardown),
    };
    return cmocka_run_group_tests_name("head_link", tests, NULL, NULL);
}
