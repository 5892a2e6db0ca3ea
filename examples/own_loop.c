/* own_loop.c - covey inside a program that has an event loop already.
 *
 * A server or a user interface must not sit in covey_get().  It needs two
 * things: to be woken when covey has something for it, and to be told when a
 * ref is settled.
 *
 *   covey_fd()        one descriptor, readable when there is something to do
 *   covey_dispatch()  does it, without blocking, and calls the callbacks
 *   covey_then()      "call this when that ref is settled"
 *
 * Here the loop is libuv's: a poll handle watches the descriptor.  Any loop
 * that can wait for a descriptor does as well.  Callbacks run inside
 * covey_dispatch(), in this thread, so they need no locks; they may submit.
 *
 * The program keeps WINDOW tasks on their way and submits the next when one
 * ends: the usual shape of a stream of work that is too long to submit at once.
 * Meanwhile a timer stands for the program's own business.
 */
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "covey.h"

#define TASKS 200
#define WINDOW 16
#define TICK_MS 20
#define PATIENCE_MS 60000

struct program {
    covey *c;
    uv_loop_t loop;
    uv_poll_t poll;
    uv_timer_t tick, patience;
    uint64_t submitted, settled, sum;
    int failed, ticks;
};

COVEY_TASK(collatz, "u64 -> u64")
{
    uint64_t steps = 0;
    for (uint64_t x = covey_arg_u64(ctx, 0); x != 1; x = x % 2 ? 3 * x + 1 : x / 2)
        steps++;
    return covey_return_u64(ctx, steps);
}

static void finish(struct program *p)
{
    uv_close((uv_handle_t *)&p->poll, NULL);
    uv_close((uv_handle_t *)&p->tick, NULL);
    uv_close((uv_handle_t *)&p->patience, NULL);
}

static void on_settled(covey *c, covey_ref ref, covey_status status, void *arg);

static void submit_next(struct program *p)
{
    covey_ref ref = covey_submit(p->c, "collatz", COVEY_ARGS(++p->submitted), NULL);
    if (covey_then(p->c, ref, on_settled, p) != COVEY_OK)
        p->failed++;
}

static void on_settled(covey *c, covey_ref ref, covey_status status, void *arg)
{
    struct program *p = arg;
    uint64_t steps = 0;
    if (status == COVEY_OK)
        status = covey_get_u64(c, ref, 0, &steps);  /* it is there: 0 does not wait */
    if (status != COVEY_OK) {
        fprintf(stderr, "own_loop: %s\n", covey_why(c, ref));
        p->failed++;
    }
    covey_release(c, ref);
    p->sum += steps;
    p->settled++;
    if (p->submitted < TASKS)
        submit_next(p);
    else if (p->settled == TASKS)
        finish(p);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct program *p = poll->data;
    (void)status, (void)events;
    covey_dispatch(p->c);
}

static void on_tick(uv_timer_t *timer)
{
    struct program *p = timer->data;
    p->ticks++;
    printf("tick %d: %d of %d tasks are done\n", p->ticks, (int)p->settled, TASKS);
}

static void on_patience(uv_timer_t *timer)
{
    struct program *p = timer->data;
    fprintf(stderr, "own_loop: %d tasks are late\n", (int)(TASKS - p->settled));
    p->failed++;
    finish(p);
}

static uint64_t sum_here(void)
{
    uint64_t steps = 0;
    for (uint64_t i = 1; i <= TASKS; i++)
        for (uint64_t x = i; x != 1; x = x % 2 ? 3 * x + 1 : x / 2)
            steps++;
    return steps;
}

int main(int argc, char **argv)
{
    struct program p = {.c = covey_init(&argc, &argv)};
    if (!p.c) {
        fprintf(stderr, "own_loop: %s\n", covey_error());
        return 3;
    }
    if (uv_loop_init(&p.loop) != 0 || uv_poll_init(&p.loop, &p.poll, covey_fd(p.c)) != 0
        || uv_timer_init(&p.loop, &p.tick) != 0 || uv_timer_init(&p.loop, &p.patience) != 0) {
        fprintf(stderr, "own_loop: no event loop\n");
        return 1;
    }
    p.poll.data = p.tick.data = p.patience.data = &p;
    if (uv_poll_start(&p.poll, UV_READABLE, on_readable) != 0
        || uv_timer_start(&p.tick, on_tick, TICK_MS, TICK_MS) != 0
        || uv_timer_start(&p.patience, on_patience, PATIENCE_MS, 0) != 0)
        p.failed++;

    for (int i = 0; i < WINDOW; i++)
        submit_next(&p);
    uv_run(&p.loop, UV_RUN_DEFAULT);

    printf("%d tasks, %d ticks, %llu steps in all\n", (int)p.settled, p.ticks,
           (unsigned long long)p.sum);
    bool ok = p.failed == 0 && p.settled == TASKS && p.sum == sum_here();
    covey_close(&p.c);
    ok = uv_loop_close(&p.loop) == 0 && ok;
    return ok ? 0 : 1;
}
