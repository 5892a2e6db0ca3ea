/* bench_task.c - tasks: how long one takes, how many there are in a second. */
#include "bench.h"

#include <assert.h>
#include <stdlib.h>

#include "io/mono.h"

/* Short turns: whether the other core sleeps deeply when it is to be woken is up
 * to the machine, may change at any time, and matters more than anything else. */
#define SYNC_REPEATS 40
#define SYNC_TASKS 200
#define SYNC_WARM 10            /* repeats before it counts */
#define ASYNC_REPEATS 7
#define ASYNC_TASKS 100000
#define WARM_TASKS 20000        /* workers started, leases granted, memory there */

COVEY_TASK(bench_nothing, "->")
{
    return covey_return_nil(ctx);
}

static covey_ref submit(covey *c)
{
    return covey_submit(c, "bench_nothing", COVEY_NONE, NULL);
}

bool bench_one_task(struct bench *b, covey *c)
{
    covey_ref ref = submit(c);
    covey_status status = covey_get(c, ref, BENCH_WAIT_MS, NULL);
    if (status != COVEY_OK)
        bench_fail(b, "a task: %s", covey_error());
    covey_release(c, ref);
    return status == COVEY_OK;
}

/* The median of @count tasks, one at a time; 0: one failed. */
static double sync_us(struct bench *b, covey *c, int count)
{
    static double us[SYNC_TASKS];
    assert(count <= SYNC_TASKS);
    for (int i = 0; i < count; i++) {
        int64_t begin = mono_ns();
        covey_ref ref = submit(c);
        covey_status status = covey_get(c, ref, BENCH_WAIT_MS, NULL);
        us[i] = (double)(mono_ns() - begin) / 1e3;
        if (status != COVEY_OK) {
            bench_fail(b, "a task: %s", covey_error());
            return 0;
        }
        covey_release(c, ref);
    }
    return bench_median(us, count);
}

bool bench_tasks_sync(struct bench *b, struct bench_figure *out)
{
    double tasks[SYNC_REPEATS], trips[SYNC_REPEATS];
    covey *c = bench_cluster(b);
    struct bench_zmq *z = c ? bench_zmq_open(b) : NULL;
    bool ok = z != NULL;
    for (int i = 0; ok && i < SYNC_WARM; i++)
        ok = sync_us(b, c, SYNC_TASKS) > 0;
    for (int i = 0; ok && i < SYNC_REPEATS; i++) {
        trips[i] = bench_zmq_round_trip_us(b, z, SYNC_TASKS);
        tasks[i] = trips[i] > 0 ? sync_us(b, c, SYNC_TASKS) : 0;
        ok = tasks[i] > 0;
    }
    if (ok)
        *out = (struct bench_figure){bench_median(tasks, SYNC_REPEATS),
                                     bench_median(trips, SYNC_REPEATS)};
    bench_zmq_close(b, &z);
    return ok;
}

/* Tasks a second, from the first submit until every result is in hand and every
 * ref given back; 0: one failed. */
static double async_rate(struct bench *b, covey *c, covey_ref *refs, int count)
{
    covey_status status = COVEY_OK;
    int64_t begin = mono_ns();
    for (int i = 0; i < count; i++)
        refs[i] = submit(c);
    for (int i = 0; i < count && status == COVEY_OK; i++)
        status = covey_get(c, refs[i], BENCH_WAIT_MS, NULL);
    if (status != COVEY_OK)
        bench_fail(b, "a task: %s", covey_error());
    covey_release_all(c, refs, (size_t)count);
    double s = (double)(mono_ns() - begin) / 1e9;
    return status == COVEY_OK ? count / s : 0;
}

bool bench_tasks_async(struct bench *b, struct bench_figure *out)
{
    double rates[ASYNC_REPEATS];
    covey *c = bench_cluster(b);
    covey_ref *refs = calloc(ASYNC_TASKS, sizeof *refs);
    bool ok = c && (refs || bench_fail(b, "out of memory")) &&
              async_rate(b, c, refs, WARM_TASKS) > 0;
    for (int i = 0; ok && i < ASYNC_REPEATS; i++)
        ok = (rates[i] = async_rate(b, c, refs, ASYNC_TASKS)) > 0;
    if (ok)
        out->value = bench_median(rates, ASYNC_REPEATS);
    free(refs);
    return ok;
}
