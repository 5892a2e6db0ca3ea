/* pi.c - Monte Carlo on many tasks, and a sum that never passes through main.
 *
 * A dart thrown at the unit square hits the quarter circle with probability
 * pi / 4.  PARTS tasks throw THROWS darts each, with seeds of their own, so the
 * answer is the same in every run and on any number of machines.
 *
 * The hits are summed by a tree of `add` tasks:
 *
 *     throw  throw  throw  throw   ...      PARTS refs
 *        \    /        \    /
 *         add           add                 a ref as an argument is an edge:
 *            \         /                    the task starts when its value is
 *                add                        there, and sees the value
 *
 * main() submits the whole graph at once and waits for one ref.  Values travel
 * from worker to worker; main() sees only the last.  It gives back each ref as
 * soon as the next task has it: a task keeps its arguments alive by itself.
 */
#include <stdio.h>
#include <stdlib.h>

#include "covey.h"

#define PARTS 64
#define THROWS 500000
#define ARITY 4                 /* children of one add */

/* splitmix64: a good generator in three lines. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

COVEY_TASK(throw_darts, "u64 u64 -> u64")
{
    uint64_t state = covey_arg_u64(ctx, 0);
    uint64_t throws = covey_arg_u64(ctx, 1);
    uint64_t hits = 0;
    for (uint64_t i = 0; i < throws; i++) {
        uint64_t bits = random_next(&state);
        double x = (double)(bits >> 32) / 4294967296.0;
        double y = (double)(bits & 0xffffffff) / 4294967296.0;
        hits += x * x + y * y < 1.0;
    }
    return covey_return_u64(ctx, hits);
}

/* "u64...": any number of arguments. */
COVEY_TASK(add, "u64... -> u64")
{
    uint64_t sum = 0;
    for (size_t i = 0; i < covey_arg_count(ctx); i++)
        sum += covey_arg_u64(ctx, i);
    return covey_return_u64(ctx, sum);
}

/* Replace @n refs by one, the sum of their values. */
static covey_ref sum_tree(covey *c, covey_ref *refs, size_t n)
{
    while (n > 1) {
        size_t sums = 0;
        for (size_t i = 0; i < n; i += ARITY) {
            size_t take = n - i < ARITY ? n - i : ARITY;
            covey_ref sum = covey_submit(c, "add", COVEY_REFS(refs + i, take), NULL);
            covey_release_all(c, refs + i, take);
            refs[sums++] = sum;
        }
        n = sums;
    }
    return refs[0];
}

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    if (!c) {
        fprintf(stderr, "pi: %s\n", covey_error());
        return 3;
    }

    covey_ref refs[PARTS];
    for (uint64_t i = 0; i < PARTS; i++)
        refs[i] = covey_submit(c, "throw_darts", COVEY_ARGS(i + 1, THROWS), NULL);
    covey_ref total = sum_tree(c, refs, PARTS);

    uint64_t hits;
    bool ok = false;
    if (covey_get_u64(c, total, 60000, &hits) != COVEY_OK) {
        fprintf(stderr, "pi: %s\n", covey_why(c, total));
    } else {
        double pi = 4.0 * (double)hits / ((double)PARTS * THROWS);
        printf("pi is about %.5f (%d tasks, %d darts each)\n", pi, PARTS, THROWS);
        ok = pi > 3.1406 && pi < 3.1426;        /* three standard deviations */
    }

    covey_release(c, total);
    covey_close(&c);
    return ok ? 0 : 1;
}
