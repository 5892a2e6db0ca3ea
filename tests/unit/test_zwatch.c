/* test_zwatch.c - ports, deadlines and wakes on one libuv loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "io/alarm.h"
#include "base/clock.h"
#include "io/mono.h"
#include "io/wake.h"
#include "io/zwatch.h"
#include "temp_dir.h"

#define ROUNDS 2000
#define FLOOD 20000u
#define WAIT_NS (20 * SECOND_NS)    /* far beyond what anything here takes */

struct world;

struct end {
    struct world *world;
    struct port *port;
    struct zwatch *watch;
    struct addr self, peer;
    uint64_t frames, turns, due, goal;
    bool silent;                /* does not answer */
    bool closed;
};

struct world {
    struct temp_dir dir;
    uv_loop_t loop;
    struct end end[2];
    struct alarm limit;         /* ends a loop that would not end */
    bool late;
    int64_t rang_ns;
};

static void on_closed(void *ctx)
{
    struct end *end = ctx;
    assert_false(end->closed);
    end->closed = true;
}

static void finish(struct world *w)
{
    for (int i = 0; i < 2; i++)
        if (w->end[i].watch)
            zwatch_close(&w->end[i].watch, on_closed);
    if (!uv_is_closing((uv_handle_t *)&w->limit.timer))
        alarm_close(&w->limit, NULL);
}

static void on_limit(void *ctx)
{
    struct world *w = ctx;
    w->late = true;
    finish(w);
}

static void send_one(struct end *end)
{
    struct frame *frame = frame_new(FRAME_HEADER + 1);
    assert_non_null(frame);
    struct frame_header header = {.from = end->self, .to = end->peer, .number = 1, .body_len = 1};
    frame_write_header(frame->data, &header);
    frame->data[FRAME_HEADER] = 'x';
    frame->len = FRAME_HEADER + 1;
    end->due -= port_transmit(end->port, end->peer, frame); /* else the next turn, or when writable */
    frame_unref(frame);
}

/* What the driver's flush is: what came in this turn is answered now. */
static void on_turn(void *ctx)
{
    struct end *end = ctx;
    end->turns++;
    for (uint64_t before = end->due + 1; end->due > 0 && end->due < before;) {
        before = end->due;
        send_one(end);
    }
    if (end->goal > 0 && end->frames >= end->goal)
        finish(end->world);
}

static void on_frame(void *io, struct span frame)
{
    struct end *end = io;
    (void)frame;
    end->frames++;
    if (!end->silent && (end->goal == 0 || end->frames < end->goal))
        end->due++;
}

static void on_writable(void *io, struct addr peer)
{
    (void)io, (void)peer; /* on_turn tries again */
}

static const struct port_ops ops = {.frame = on_frame, .writable = on_writable};

static void make_world(struct world *w)
{
    char why[256];
    *w = (struct world){.late = false};
    temp_dir_make(&w->dir);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    alarm_open(&w->limit, &w->loop, on_limit, w);
    alarm_set(&w->limit, mono_ns() + WAIT_NS);
    for (uint32_t i = 0; i < 2; i++) {
        struct end *end = &w->end[i];
        end->world = w;
        end->self = (struct addr){1, 1 + i, 0, 0};
        end->peer = (struct addr){1, 2 - i, 0, 0};
        assert_int_equal(port_open(&end->port, w->dir.path, end->self, &ops, end, why, sizeof why),
                         COVEY_OK);
        assert_int_equal(zwatch_open(&end->watch, &w->loop, end->port, on_turn, end), COVEY_OK);
    }
}

static void run_world(struct world *w)
{
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    assert_false(w->late);
    for (int i = 0; i < 2; i++) {
        assert_true(w->end[i].closed);
        port_close(&w->end[i].port, 0);
    }
    temp_dir_remove(&w->dir);
}

/* ---- zwatch -------------------------------------------------------------------- */

/* A send on the same socket follows each arrival, which swallows edges. */
static void test_no_edge_is_lost_when_sends_follow_arrivals(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    w.end[0].goal = ROUNDS;
    w.end[0].due = 1;
    run_world(&w);
    assert_int_equal(w.end[0].frames, ROUNDS);
    assert_int_equal(w.end[1].frames, ROUNDS);
}

static void test_a_flood_is_delivered_in_bursts(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    w.end[0].due = FLOOD; /* beyond every high-water mark: refused and tried again */
    w.end[1].goal = FLOOD;
    w.end[1].silent = true;
    run_world(&w);
    assert_int_equal(w.end[1].frames, FLOOD);
    assert_true(w.end[1].turns >= FLOOD / ZWATCH_BURST);
}

static void test_a_watch_closes_before_it_ever_ran(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    finish(&w);
    assert_null(w.end[0].watch);
    assert_false(w.end[0].closed); /* not from inside close */
    run_world(&w);
}

/* ---- alarm ----------------------------------------------------------------------- */

static void on_ring(void *ctx)
{
    struct world *w = ctx;
    w->rang_ns = mono_ns();
    finish(w);
}

static void test_an_alarm_rings_at_its_deadline_and_not_before(void **state)
{
    (void)state;
    struct world w;
    struct alarm alarm;
    make_world(&w);
    alarm_open(&alarm, &w.loop, on_ring, &w);
    int64_t deadline = mono_ns() + 15 * MS_NS;
    alarm_set(&alarm, NEVER_NS);
    alarm_set(&alarm, mono_ns() + WAIT_NS);
    alarm_set(&alarm, deadline); /* the last one counts */
    alarm_set(&alarm, deadline);
    while (w.rang_ns == 0 && uv_run(&w.loop, UV_RUN_ONCE))
        continue;
    assert_true(w.rang_ns >= deadline);
    alarm_close(&alarm, NULL);
    run_world(&w);
}

static void test_a_deadline_that_has_passed_rings_at_once(void **state)
{
    (void)state;
    struct world w;
    struct alarm alarm;
    make_world(&w);
    alarm_open(&alarm, &w.loop, on_ring, &w);
    alarm_set(&alarm, mono_ns() - SECOND_NS);
    while (w.rang_ns == 0 && uv_run(&w.loop, UV_RUN_ONCE))
        continue;
    alarm_close(&alarm, NULL);
    alarm_set(&alarm, 0); /* after close: nothing */
    run_world(&w);
}

static void test_never_does_not_ring(void **state)
{
    (void)state;
    struct world w;
    struct alarm never, soon;
    make_world(&w);
    alarm_open(&never, &w.loop, on_limit, &w);
    alarm_open(&soon, &w.loop, on_ring, &w);
    alarm_set(&never, mono_ns() + MS_NS);
    alarm_set(&never, NEVER_NS);
    alarm_set(&soon, mono_ns() + 5 * MS_NS);
    while (w.rang_ns == 0 && uv_run(&w.loop, UV_RUN_ONCE))
        continue;
    alarm_close(&never, NULL);
    alarm_close(&soon, NULL);
    run_world(&w);
}

/* ---- clocks and wakes ---------------------------------------------------------------- */

static void test_poll_times_are_never_early(void **state)
{
    (void)state;
    assert_int_equal(mono_poll_ms(NEVER_NS), -1);
    assert_int_equal(mono_poll_ms(0), 0);
    assert_int_equal(mono_poll_ms(mono_ns()), 0);
    assert_int_equal(mono_poll_ms(NEVER_NS - 1), INT_MAX);
    for (int i = 0; i < 1000; i++) {
        int64_t deadline = mono_ns() + i * 12345;
        int ms = mono_poll_ms(deadline);
        int64_t after = mono_ns();
        assert_true(ms * MS_NS + after >= deadline);
        assert_true(ms <= i * 12345 / MS_NS + 1);
    }
    int64_t last = mono_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = mono_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_unix_ms() > INT64_C(1600000000000));
}

static void *wake_it(void *arg)
{
    wake_set(*(int *)arg);
    return NULL;
}

static void test_wakes_coalesce_and_cross_threads(void **state)
{
    (void)state;
    int fd;
    pthread_t thread;
    assert_int_equal(wake_open(&fd), COVEY_OK);
    assert_false(wake_clear(fd));
    wake_set(fd);
    wake_set(fd);
    assert_true(wake_clear(fd));
    assert_false(wake_clear(fd));
    assert_int_equal(pthread_create(&thread, NULL, wake_it, &fd), 0);
    struct pollfd entry = {fd, POLLIN, 0};
    assert_int_equal(poll(&entry, 1, -1), 1);
    pthread_join(thread, NULL);
    assert_true(wake_clear(fd));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_edge_is_lost_when_sends_follow_arrivals),
        cmocka_unit_test(test_a_flood_is_delivered_in_bursts),
        cmocka_unit_test(test_a_watch_closes_before_it_ever_ran),
        cmocka_unit_test(test_an_alarm_rings_at_its_deadline_and_not_before),
        cmocka_unit_test(test_a_deadline_that_has_passed_rings_at_once),
        cmocka_unit_test(test_never_does_not_ring),
        cmocka_unit_test(test_poll_times_are_never_early),
        cmocka_unit_test(test_wakes_coalesce_and_cross_threads),
    };
    return cmocka_run_group_tests_name("zwatch", tests, NULL, NULL);
}
