/* prove_search.c - is the search as good as the best one known?
 *
 *     tools/prove-search [--seeds N]
 *
 * Runs random search and TPE on four functions whose optimum is known, 100
 * trials one after the other from each of 50 seeds, and prints the median of the
 * best values beside those of Optuna 5.0.0 (its TPESampler's defaults, 50 seeds).
 * The ratio is that of regrets, what is missing to the optimum; the bound is the
 * 95th percentile of it over bootstrap samples of the seeds.  Status 1: a
 * bound is above 1.1.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/space/rng.h"
#include "sweep/search/search.h"

#define DIMS_MAX 10
#define TRIALS 100
#define SEEDS_MAX 100000
#define BOOTSTRAPS 2000
#define BOUND 1.1

static double square(double x) { return x * x; }

static double branin(const double *x, size_t dims)
{
    (void)dims;
    return square(x[1] - 5.1 / (4 * M_PI * M_PI) * x[0] * x[0] + 5 / M_PI * x[0] - 6) +
           10 * (1 - 1 / (8 * M_PI)) * cos(x[0]) + 10;
}

static double hartmann6(const double *x, size_t dims)
{
    static const double alpha[4] = {1, 1.2, 3, 3.2};
    static const double a[4][6] = {{10, 3, 17, 3.5, 1.7, 8}, {0.05, 10, 17, 0.1, 8, 14},
                                   {3, 3.5, 1.7, 10, 17, 8}, {17, 8, 0.05, 10, 0.1, 14}};
    static const double p[4][6] = {{0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886},
                                   {0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991},
                                   {0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650},
                                   {0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381}};
    double sum = 0;
    for (size_t i = 0; i < 4; i++) {
        double distance = 0;
        for (size_t j = 0; j < dims; j++)
            distance += a[i][j] * square(x[j] - p[i][j]);
        sum -= alpha[i] * exp(-distance);
    }
    return sum;
}

static double ackley(const double *x, size_t dims)
{
    double squares = 0, cosines = 0;
    for (size_t i = 0; i < dims; i++) {
        squares += x[i] * x[i] / (double)dims;
        cosines += cos(2 * M_PI * x[i]) / (double)dims;
    }
    return -20 * exp(-0.2 * sqrt(squares)) - exp(cosines) + 20 + M_E;
}

static double rosenbrock(const double *x, size_t dims)
{
    double sum = 0;
    for (size_t i = 0; i + 1 < dims; i++)
        sum += 100 * square(x[i + 1] - x[i] * x[i]) + square(1 - x[i]);
    return sum;
}

struct problem {
    const char *name;
    double (*loss)(const double *x, size_t dims);
    size_t dims;
    double low[2], high[2];     /* of the first dimension, and of the others */
    double optimum;
    double random, tpe;         /* Optuna's medians */
};

static const struct problem problems[] = {
    {"Branin", branin, 2, {-5, 0}, {10, 15}, 0.397887, 0.705, 0.427},
    {"Hartmann6", hartmann6, 6, {0, 0}, {1, 1}, -3.322368, -2.123, -3.223},
    {"Ackley10", ackley, 10, {-32.768, -32.768}, {32.768, 32.768}, 0, 19.67, 13.44},
    {"Rosenbrock5", rosenbrock, 5, {-5, -5}, {10, 10}, 0, 3421, 102},
};

/* The best value of one sweep. */
static double sweep(const struct problem *p, enum search_kind kind, uint64_t seed)
{
    struct param params[DIMS_MAX];
    for (size_t i = 0; i < p->dims; i++)
        params[i] = (struct param){.distribution = DIST_UNIFORM, .low = p->low[i > 0],
                                   .high = p->high[i > 0], .parent = -1};
    struct space space = {params, p->dims};
    struct search *search = search_new(&space, &(struct search_opts){.kind = kind, .seed = seed});
    double best = INFINITY;
    for (uint64_t trial = 0; search != NULL && trial < TRIALS; trial++) {
        double x[DIMS_MAX];
        if (search_suggest(search, trial, x) != SEARCH_OK)
            break;
        double loss = p->loss(x, p->dims);
        best = fmin(best, loss);
        if (!search_tell(search, trial, x, SEARCH_COMPLETE, 1, loss))
            break;
    }
    search_free(&search);
    return best;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* The 95th percentile of the median over samples with replacement; @sample is
 * room for as many. */
static double median_bound(const double *values, size_t count, double *sample)
{
    double medians[BOOTSTRAPS];
    struct rng r = rng_stream(0, RNG_SEARCH, 0);
    for (size_t i = 0; i < BOOTSTRAPS; i++) {
        for (size_t k = 0; k < count; k++)
            sample[k] = values[rng_below(&r, count)];
        medians[i] = median(sample, count);
    }
    qsort(medians, BOOTSTRAPS, sizeof *medians, compare);
    return medians[BOOTSTRAPS * 95 / 100];
}

/* One row of the table.  False: the bound is not met. */
static bool prove(const struct problem *p, size_t seeds, double *best, double *sample)
{
    for (size_t i = 0; i < seeds; i++)
        best[i] = sweep(p, SEARCH_RANDOM, i);
    double random = median(best, seeds);
    for (size_t i = 0; i < seeds; i++)
        best[i] = sweep(p, SEARCH_TPE, i);
    double tpe = median(best, seeds), regret = p->tpe - p->optimum;
    double bound = (median_bound(best, seeds, sample) - p->optimum) / regret;
    printf("%-12s %9.3f %9.3f %9.3f %9.3f %9.3f %7.2f %7.2f  %s\n", p->name, p->optimum, p->random,
           random, p->tpe, tpe, (tpe - p->optimum) / regret, bound,
           bound <= BOUND ? "ok" : "above");
    fflush(stdout);
    return bound <= BOUND;
}

int main(int argc, char **argv)
{
    long seeds = argc == 3 && strcmp(argv[1], "--seeds") == 0 ? strtol(argv[2], NULL, 10) : 50;
    if ((argc != 1 && argc != 3) || seeds < 1 || seeds > SEEDS_MAX) {
        fprintf(stderr, "usage: tools/prove-search [--seeds N]\n");
        return 2;
    }
    double *best = malloc((size_t)seeds * sizeof *best);
    double *sample = malloc((size_t)seeds * sizeof *sample);
    bool proved = best != NULL && sample != NULL;
    printf("median of the best of %d trials, %ld seeds; bound: at most %.1f\n", TRIALS, seeds,
           BOUND);
    printf("%-12s %9s %9s %9s %9s %9s %7s %7s\n", "", "", "random", "", "TPE", "", "", "");
    printf("%-12s %9s %9s %9s %9s %9s %7s %7s\n", "problem", "optimum", "Optuna", "covey", "Optuna",
           "covey", "ratio", "bound");
    for (size_t i = 0; best && sample && i < sizeof problems / sizeof *problems; i++)
        proved = prove(&problems[i], (size_t)seeds, best, sample) && proved;
    free(best);
    free(sample);
    return proved ? 0 : 1;
}
