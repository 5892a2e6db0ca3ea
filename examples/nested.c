/* nested.c - tasks that submit tasks and wait for them.
 *
 * fib(n) submits fib(n - 1) and fib(n - 2) and adds what they give.  That is a
 * silly way to compute Fibonacci numbers and a good picture of any recursion:
 * quicksort, tree search, adaptive integration.
 *
 * covey_self() is the handle with which a task submits.  It is the same kind of
 * handle that main() has, and the same rules hold: what a task submits it owns.
 *
 * Why this does not deadlock.  With two CPUs, the first two tasks would wait
 * for children that have no CPU to run on.  But a task that waits in
 * covey_get() gives its CPU back and its worker returns all tasks that are
 * queued behind it, so the node can start another worker; and when the node
 * has as many processes as it may, the worker runs the child on its own stack,
 * below the waiting parent.
 *
 * Why there is a cutoff.  A task costs microseconds, an addition a nanosecond:
 * below CUTOFF the recursion stays a plain function call.  A task should
 * take a millisecond or more where it can.
 */
#include <stdio.h>
#include <stdlib.h>

#include "covey.h"

#define N 32
#define CUTOFF 24

static uint64_t fib_here(uint64_t n)
{
    return n < 2 ? n : fib_here(n - 1) + fib_here(n - 2);
}

COVEY_TASK(fib, "u64 -> u64")
{
    uint64_t n = covey_arg_u64(ctx, 0);
    if (n < CUTOFF)
        return covey_return_u64(ctx, fib_here(n));

    covey *c = covey_self(ctx);
    covey_ref child[2] = {
        covey_submit(c, "fib", COVEY_ARGS(n - 1), NULL),
        covey_submit(c, "fib", COVEY_ARGS(n - 2), NULL),
    };
    uint64_t value[2];
    covey_status status = COVEY_OK;
    for (int i = 0; i < 2 && status == COVEY_OK; i++) {
        status = covey_get_u64(c, child[i], -1, &value[i]);
        if (status != COVEY_OK) /* the cause travels up, level by level */
            status = covey_fail(ctx, 1, "fib(%d) needs its child:\n%s", (int)n,
                                covey_why(c, child[i]));
        else if (i == 1)
            status = covey_return_u64(ctx, value[0] + value[1]);
    }
    covey_release_all(c, child, 2);
    return status;
}

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    if (!c) {
        fprintf(stderr, "nested: %s\n", covey_error());
        return 3;
    }

    covey_ref ref = covey_submit(c, "fib", COVEY_ARGS(N), NULL);
    uint64_t value;
    bool ok = false;
    if (covey_get_u64(c, ref, 60000, &value) != COVEY_OK) {
        fprintf(stderr, "nested: %s\n", covey_why(c, ref));
    } else {
        printf("fib(%d) = %llu\n", N, (unsigned long long)value);
        ok = value == fib_here(N);
    }

    covey_release(c, ref);
    covey_close(&c);
    return ok ? 0 : 1;
}
