/* test_sweep_search.c - grid, random, Sobol and TPE: the points they try.
 *
 * Links with the flags that failing_malloc.h names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sweep/space/cdf.h"
#include "sweep/search/parzen.h"
#include "sweep/search/search_internal.h"
#include "failing_malloc.h"

#define PARAMS_MAX 6

/* A space in the test's own memory. */
struct world {
    struct param params[PARAMS_MAX];
    bool when[PARAMS_MAX][8];
    struct space space;
};

static struct param *add(struct world *w, struct param p)
{
    assert_true(w->space.count < PARAMS_MAX);
    w->space.params = w->params;
    p.parent = -1;
    w->params[w->space.count] = p;
    return &w->params[w->space.count++];
}

static struct param uniform(double low, double high)
{
    return (struct param){.distribution = DIST_UNIFORM, .low = low, .high = high};
}

static struct param whole(double low, double high)
{
    return (struct param){
        .distribution = DIST_UNIFORM, .low = low, .high = high, .whole = true, .quantum = 1};
}

static struct param choice(size_t count)
{
    return (struct param){.distribution = DIST_CHOICE, .count = count};
}

/* Active only where parameter @parent is choice @at. */
static void add_below(struct world *w, struct param p, int parent, size_t at)
{
    size_t i = w->space.count;
    struct param *added = add(w, p);
    added->parent = parent;
    added->when = w->when[i];
    added->when[at] = true;
}

/* All kinds at once: a real, a logarithm, a whole number, a choice, and one
 * parameter for each of two of its choices. */
static void mixed(struct world *w)
{
    *w = (struct world){0};
    add(w, uniform(-1, 3));
    add(w, (struct param){.distribution = DIST_LOG_UNIFORM, .low = 1e-5, .high = 1});
    add(w, whole(1, 20));
    add(w, choice(3));
    add_below(w, uniform(0, 1), 3, 0);
    add_below(w, whole(0, 9), 3, 2);
}

/* Best at x0 = 1, x1 = 1e-2, x2 = 7, choice 2, x5 = 4. */
static double mixed_loss(const double *x)
{
    double loss = (x[0] - 1) * (x[0] - 1) + pow(log10(x[1]) + 2, 2) / 4 + fabs(x[2] - 7) / 10;
    if (x[3] == 2)
        return loss + fabs(x[5] - 4) / 10;
    return loss + 1 + (x[3] == 0 ? x[4] : 0);
}

static struct search *start(const struct world *w, enum search_kind kind, uint64_t seed)
{
    struct search *s = search_new(&w->space, &(struct search_opts){.kind = kind, .seed = seed});
    assert_non_null(s);
    return s;
}

static double step_mixed(struct search *s, uint64_t trial, double *x)
{
    assert_int_equal(search_suggest(s, trial, x), SEARCH_OK);
    double loss = mixed_loss(x);
    assert_true(search_tell(s, trial, x, SEARCH_COMPLETE, 1, loss));
    return loss;
}

static bool same(const double *a, const double *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i])))
            return false;
    return true;
}

/* ---- numbers --------------------------------------------------------------------- */

static void test_rng(void **state)
{
    (void)state;
    struct rng a = rng_stream(1, RNG_SEARCH, 7), b = a, c = rng_stream(1, RNG_SOBOL, 7);
    struct rng d = rng_stream(1, RNG_SEARCH, 8), e = rng_stream(2, RNG_SEARCH, 7);
    uint64_t first = rng_u64(&a);
    assert_true(first == rng_u64(&b));
    assert_true(first != rng_u64(&c) && first != rng_u64(&d) && first != rng_u64(&e));
    int seen[6] = {0};
    double sum = 0, squares = 0;
    enum { DRAWS = 60000 };
    for (int i = 0; i < DRAWS; i++) {
        uint64_t n = rng_below(&a, 6);
        assert_true(n < 6);
        seen[n]++;
        double u = rng_f64(&a), z = rng_normal(&a);
        assert_true(u >= 0 && u < 1);
        sum += z;
        squares += z * z;
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(seen[i], DRAWS / 6 - 500, DRAWS / 6 + 500);
    assert_true(fabs(sum / DRAWS) < 0.02 && fabs(squares / DRAWS - 1) < 0.03);
}

static void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.17g is not %.17g", a, b);
}

static void test_cdf(void **state)
{
    (void)state;
    assert_near(normal_quantile(0.975), 1.959963984540054, 1e-14);
    assert_near(normal_quantile(0.3), -0.5244005127080409, 1e-14);
    assert_near(normal_quantile(1e-10), -6.361340902404056, 1e-13);
    assert_near(normal_quantile(0.5), 0, 0);
    assert_near(beta_quantile(2, 5, 0.5), 0.26444998329565960, 1e-12);
    assert_near(beta_quantile(0.5, 0.5, 0.1), 0.024471741852423214, 1e-12);
    assert_near(beta_quantile(5, 1, 0.25), 0.757858283255199, 1e-12);
    for (double u = 0.01; u < 1; u += 0.01) {
        assert_near(normal_cdf(normal_quantile(u)), u, 1e-14);
        assert_near(beta_cdf(0.1, 3, beta_quantile(0.1, 3, u)), u, 1e-11);
        assert_near(beta_quantile(1, 1, u), u, 1e-12);
        assert_near(beta_quantile(1000, 20, u), 1 - beta_quantile(20, 1000, 1 - u), 1e-11);
    }
}

static void moments(const struct param *p, double *mean, double *deviation)
{
    enum { DRAWS = 20000 };
    double sum = 0, squares = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = param_quantile(p, (i + 0.5) / DRAWS);
        sum += x / DRAWS;
        squares += x * x / DRAWS;
    }
    *mean = sum;
    *deviation = sqrt(squares - sum * sum);
}

static void test_distributions(void **state)
{
    (void)state;
    double mean, deviation;
    struct param normal = {.distribution = DIST_NORMAL, .mu = 2, .sigma = 0.5};
    moments(&normal, &mean, &deviation);
    assert_near(mean, 2, 1e-6);
    assert_near(deviation, 0.5, 1e-3);
    assert_true(isfinite(param_quantile(&normal, 0)));
    struct param log_normal = {.distribution = DIST_LOG_NORMAL, .mu = 1, .sigma = 0.25};
    moments(&log_normal, &mean, &deviation);
    assert_near(mean, exp(1 + 0.25 * 0.25 / 2), 1e-3);
    assert_near(param_quantile(&log_normal, 0.5), M_E, 1e-12);
    struct param beta = {.distribution = DIST_BETA, .a = 2, .b = 6};
    moments(&beta, &mean, &deviation);
    assert_near(mean, 0.25, 1e-6);
    assert_near(deviation, sqrt(12.0 / (64 * 9)), 1e-5);
    struct param log_uniform = {.distribution = DIST_LOG_UNIFORM, .low = 1e-4, .high = 1};
    assert_near(param_quantile(&log_uniform, 0.5), 1e-2, 1e-12);
    assert_near(param_quantile(&log_uniform, 0), 1e-4, 1e-15);
    struct param inverse = {.distribution = DIST_INV_LOG_UNIFORM, .low = 1e-4, .high = 1};
    assert_near(param_quantile(&inverse, 0.25), 1e-3, 1e-12);
    struct param flat = uniform(-2, 6);
    moments(&flat, &mean, &deviation);
    assert_near(mean, 2, 1e-6);
    assert_near(deviation, 8 / sqrt(12), 1e-5);
}

static void test_rasters(void **state)
{
    (void)state;
    int seen[4] = {0};
    struct param die = whole(3, 6);
    for (int i = 0; i < 400; i++) {
        double x = param_quantile(&die, i / 400.0);
        assert_true(x >= 3 && x <= 6 && x == floor(x));
        seen[(int)x - 3]++;
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(seen[i], 100);
    /* W&B's q_uniform rounds: the outermost values have half the others' share. */
    struct param tenths = uniform(0, 0.5);
    tenths.quantum = 0.1;
    assert_true(param_quantile(&tenths, 0.09) == 0 && param_quantile(&tenths, 0.11) == 0.1);
    assert_true(param_quantile(&tenths, 0.6) == 0.3);   /* not 0.30000000000000004 */
    assert_int_equal(param_count(&tenths), 6);
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal(param_rank(&tenths, param_nth(&tenths, i)), i);
    /* No multiple outside the bounds. */
    struct param fours = uniform(1, 10);
    fours.quantum = 4;
    assert_true(param_quantile(&fours, 0) == 4 && param_quantile(&fours, 0.999) == 8);
    assert_true(param_clip(&fours, -5) == 4 && param_clip(&fours, 5.9) == 4);
    struct param q_normal = {.distribution = DIST_NORMAL, .sigma = 10, .quantum = 5};
    assert_true(param_quantile(&q_normal, 0.5) == 0 && param_quantile(&q_normal, 0.85) == 10);
    assert_int_equal(param_count(&q_normal), 0);
    struct param flat = uniform(2, 3);
    assert_true(param_clip(&flat, 9) == 3 && param_clip(&flat, 2.5) == 2.5);
    double probabilities[] = {0.2, 0, 0.8};
    struct param loaded = choice(3);
    loaded.probabilities = probabilities;
    assert_true(param_quantile(&loaded, 0.19) == 0 && param_quantile(&loaded, 0.21) == 2);
    assert_true(param_quantile(&loaded, 1 - 0x1p-53) == 2);
}

static void test_sobol_intervals(void **state)
{
    (void)state;
    for (uint32_t dim = 0; dim < SOBOL_DIMS; dim++) {
        for (uint32_t bits = 1; bits <= 8; bits++) {
            bool hit[256] = {0};
            for (uint32_t i = 0; i < 1u << bits; i++) {
                double u = sobol_number(42, i, dim);
                assert_true(u > 0 && u < 1);
                uint32_t interval = (uint32_t)(u * (1u << bits));
                assert_false(hit[interval]);
                hit[interval] = true;
            }
        }
    }
    assert_true(sobol_number(1, 0, 0) != sobol_number(2, 0, 0));
}

/* The unscrambled numbers are those of the authors' table: in the first two
 * dimensions, every elementary box of 2^-i by 2^-j gets one point, too. */
static void test_sobol_boxes(void **state)
{
    (void)state;
    for (uint32_t wide = 0; wide <= 8; wide++) {
        bool hit[256] = {0};
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t column = (uint32_t)(sobol_number(7, i, 0) * (1u << wide));
            uint32_t row = (uint32_t)(sobol_number(7, i, 1) * (256u >> wide));
            uint32_t box = column * (256u >> wide) + row;
            assert_false(hit[box]);
            hit[box] = true;
        }
    }
}

/* ---- every kind ------------------------------------------------------------------- */

static const enum search_kind endless[] = {SEARCH_RANDOM, SEARCH_SOBOL, SEARCH_TPE};

static void test_same_seed_same_points(void **state)
{
    (void)state;
    struct world w;
    mixed(&w);
    for (size_t k = 0; k < 3; k++) {
        struct search *a = start(&w, endless[k], 5), *b = start(&w, endless[k], 5);
        struct search *other = start(&w, endless[k], 6);
        for (uint64_t trial = 0; trial < 60; trial++) {
            double x[PARAMS_MAX], y[PARAMS_MAX], z[PARAMS_MAX];
            step_mixed(a, trial, x);
            step_mixed(b, trial, y);
            step_mixed(other, trial, z);
            assert_true(same(x, y, w.space.count));
            assert_false(same(x, z, w.space.count));
        }
        search_free(&a);
        search_free(&b);
        search_free(&other);
    }
}

/* A search that is told what happened goes on like the one that was killed. */
static void test_replay(void **state)
{
    (void)state;
    struct world w;
    mixed(&w);
    for (size_t k = 0; k < 3; k++) {
        double points[40][PARAMS_MAX], x[PARAMS_MAX], y[PARAMS_MAX];
        struct search *a = start(&w, endless[k], 9);
        for (uint64_t trial = 0; trial < 40; trial++)
            step_mixed(a, trial, points[trial]);
        assert_int_equal(search_suggest(a, 40, x), SEARCH_OK);  /* still running */
        struct search *b = start(&w, endless[k], 9);
        for (uint64_t trial = 0; trial < 40; trial++)
            assert_true(search_tell(b, trial, points[trial], SEARCH_COMPLETE, 1,
                                    mixed_loss(points[trial])));
        assert_true(search_tell(b, 40, x, SEARCH_RUNNING, 0, INFINITY));
        for (uint64_t trial = 41; trial < 60; trial++) {
            step_mixed(a, trial, x);
            step_mixed(b, trial, y);
            assert_true(same(x, y, w.space.count));
        }
        search_free(&a);
        search_free(&b);
    }
}

/* A parameter has a value exactly where its condition is met, and in its range. */
static void test_conditions(void **state)
{
    (void)state;
    struct world w;
    mixed(&w);
    for (size_t k = 0; k < 3; k++) {
        struct search *s = start(&w, endless[k], 3);
        int active = 0;
        for (uint64_t trial = 0; trial < 200; trial++) {
            double x[PARAMS_MAX];
            step_mixed(s, trial, x);
            assert_int_equal(isnan(x[4]), x[3] != 0);
            assert_int_equal(isnan(x[5]), x[3] != 2);
            active += !isnan(x[4]) || !isnan(x[5]);
            for (size_t i = 0; i < w.space.count; i++)
                assert_true(isnan(x[i]) || param_clip(&w.params[i], x[i]) == x[i]);
        }
        assert_true(active > 50);
        search_free(&s);
    }
}

/* 2 choices with 3 values below one of them, times 4: 16 points. */
static void discrete(struct world *w)
{
    *w = (struct world){0};
    add(w, choice(2));
    add_below(w, choice(3), 0, 1);
    add(w, whole(5, 8));
}

static void test_discrete_spaces_end(void **state)
{
    (void)state;
    struct world w;
    discrete(&w);
    assert_int_equal(space_size(&w.space), 16);
    for (enum search_kind kind = SEARCH_GRID; kind <= SEARCH_TPE; kind++) {
        struct search *s = start(&w, kind, 1);
        struct points seen;
        points_init(&seen, 3);
        double x[3] = {1, 2, 7};
        /* One that the user wanted first is not tried again. */
        assert_true(points_reserve(&seen));
        points_add(&seen, x);
        assert_true(search_tell(s, 0, x, SEARCH_FAILED, 0, INFINITY));
        for (uint64_t trial = 1; trial < 16; trial++) {
            assert_int_equal(search_suggest(s, trial, x), SEARCH_OK);
            assert_true(grid_has(&w.space, x));
            assert_false(points_has(&seen, x));
            assert_true(points_reserve(&seen));
            points_add(&seen, x);
            assert_true(search_tell(s, trial, x, SEARCH_COMPLETE, 1, x[2]));
        }
        assert_int_equal(search_suggest(s, 16, x), SEARCH_EXHAUSTED);
        assert_int_equal(search_suggest(s, 16, x), SEARCH_EXHAUSTED);
        points_fini(&seen);
        search_free(&s);
    }
}

static void test_grid_order(void **state)
{
    (void)state;
    struct world w;
    discrete(&w);
    struct search *s = start(&w, SEARCH_GRID, 1);
    const double expected[][3] = {{0, NAN, 5}, {0, NAN, 6}, {0, NAN, 7}, {0, NAN, 8}, {1, 0, 5}};
    for (uint64_t trial = 0; trial < 5; trial++) {
        double x[3];
        assert_int_equal(search_suggest(s, trial, x), SEARCH_OK);
        assert_true(same(x, expected[trial], 3));
    }
    search_free(&s);
}

/* ---- TPE ------------------------------------------------------------------------------ */

static double best_of(enum search_kind kind, uint64_t seed)
{
    struct world w;
    mixed(&w);
    struct search *s = start(&w, kind, seed);
    double best = INFINITY;
    for (uint64_t trial = 0; trial < 80; trial++) {
        double x[PARAMS_MAX];
        best = fmin(best, step_mixed(s, trial, x));
    }
    search_free(&s);
    return best;
}

static void test_tpe_beats_random(void **state)
{
    (void)state;
    double random = 0, tpe = 0;
    for (uint64_t seed = 0; seed < 10; seed++) {
        random += best_of(SEARCH_RANDOM, seed) / 10;
        tpe += best_of(SEARCH_TPE, seed) / 10;
    }
    if (!(tpe < 0.6 * random))
        fail_msg("TPE %.4f, random %.4f", tpe, random);
}

/* The mean of what is suggested next, of trials that do not end. */
static void suggest_many(struct search *s, uint64_t first, double *mean, double *deviation)
{
    enum { MANY = 20 };
    double sum = 0, squares = 0;
    for (uint64_t trial = first; trial < first + MANY; trial++) {
        double x;
        assert_int_equal(search_suggest(s, trial, &x), SEARCH_OK);
        sum += x / MANY;
        squares += x * x / MANY;
    }
    *mean = sum;
    *deviation = sqrt(squares - sum * sum);
}

/* Twenty trials, two of them near 0.2, the others spread out. */
static struct search *known(const struct world *w, bool no_liar, enum search_fate near_fate,
                            int64_t near_step, double near_loss)
{
    struct search_opts opts = {.kind = SEARCH_TPE, .seed = 1, .no_liar = no_liar};
    struct search *s = search_new(&w->space, &opts);
    assert_non_null(s);
    for (uint64_t trial = 0; trial < 20; trial++) {
        bool near = trial % 10 == 3;
        double x = near ? 0.2 + 0.001 * (double)trial : (double)trial / 20;
        enum search_fate fate = near ? near_fate : SEARCH_PRUNED;
        assert_true(search_tell(s, trial, &x, fate, near ? near_step : 5, near ? near_loss : 1));
    }
    return s;
}

static void test_ranking(void **state)
{
    (void)state;
    struct world w = {0};
    add(&w, uniform(0, 1));
    const struct { enum search_fate fate; int64_t step; double loss; bool good; } cases[] = {
        {SEARCH_COMPLETE, 1, 9, true},      /* complete is better than pruned */
        {SEARCH_PRUNED, 6, 9, true},        /* pruned later is better */
        {SEARCH_PRUNED, 5, 0, true},        /* then the loss counts */
        {SEARCH_PRUNED, 4, 0, false},
        {SEARCH_FAILED, 9, 0, false},       /* as if it never was */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct search *s = known(&w, true, cases[i].fate, cases[i].step, cases[i].loss);
        double mean, deviation;
        suggest_many(s, 20, &mean, &deviation);
        assert_int_equal(mean > 0.1 && mean < 0.4 && deviation < 0.2, cases[i].good);
        search_free(&s);
    }
}

/* Suggested where 30 trials already run, and where they do not. */
static void test_liar(void **state)
{
    (void)state;
    struct world w = {0};
    add(&w, uniform(0, 1));
    int near[2] = {0};
    for (int liar = 0; liar < 2; liar++) {
        struct search *s = known(&w, liar == 0, SEARCH_COMPLETE, 1, 0);
        for (uint64_t trial = 20; trial < 70; trial++) {
            double x = 0.204;
            if (trial >= 50)
                assert_int_equal(search_suggest(s, trial, &x), SEARCH_OK);
            else
                assert_true(search_tell(s, trial, &x, SEARCH_RUNNING, 0, INFINITY));
            near[liar] += trial >= 50 && fabs(x - 0.204) < 0.05;
        }
        search_free(&s);
    }
    if (near[0] < 10 || near[1] > 5)
        fail_msg("%d without the liar, %d with it", near[0], near[1]);
}

/* Each allocation fails once: nothing is lost, and the same call then gives what
 * it would have given. */
static void test_no_memory(void **state)
{
    (void)state;
    struct world w;
    mixed(&w);
    struct search *plain = start(&w, SEARCH_TPE, 4);
    struct search *s = NULL;
    struct search_opts opts = {.kind = SEARCH_TPE, .seed = 4};
    uint64_t failures = 0;
    for (uint64_t n = 1; s == NULL; n++, failures++) {
        malloc_fail(n, 1);
        s = search_new(&w.space, &opts);
        malloc_fail(0, 0);
    }
    assert_true(failures > 10);
    failures = 0;
    for (uint64_t trial = 0; trial < 200; trial++) {
        double x[PARAMS_MAX], y[PARAMS_MAX];
        step_mixed(plain, trial, x);
        enum search_result result = SEARCH_ENOMEM;
        for (uint64_t n = 1; result == SEARCH_ENOMEM; n++) {
            malloc_fail(n, 1);
            result = search_suggest(s, trial, y);
            malloc_fail(0, 0);
            failures += result == SEARCH_ENOMEM;
        }
        assert_true(same(x, y, w.space.count));
        assert_true(search_tell(s, trial, y, SEARCH_COMPLETE, 1, mixed_loss(y)));
    }
    assert_true(failures > 10);
    search_free(&plain);
    search_free(&s);
}

/* A table of masses says what adding each of them up says; also of one trial, which has
 * no gap to another and is not in it. */
static void test_tables(void **state)
{
    enum { TRIALS = 120 };
    (void)state;
    struct world w = {0};
    struct param p = *add(&w, whole(3, 42));
    struct lane lane = {.axis = axis_of(&p)}, *lanes[] = {&lane};
    struct parzen mixture = {.shape = {1, 1}, .narrow_row = 1};
    struct rng r = rng_stream(1, RNG_SEARCH, 0);
    uint32_t slots[TRIALS];
    assert_true(lane_tabulate(&lane) && lane.cells == 40);
    assert_true(lane_reserve(&lane, TRIALS) && parzen_reserve(&mixture, TRIALS + 1, 1, TRIALS));
    for (uint32_t i = 0; i < TRIALS; i++) {
        slots[i] = i;
        lane_put(&lane, i, axis_coordinate(&lane.axis, 3 + (double)rng_below(&r, 20) * 2));
        if (i > 5 && i % 30 != 0)
            continue;
        double tabled[40];
        uint32_t cells = lane.cells;
        parzen_fit(&mixture, lanes, 1, slots, i + 1, i + 1);
        for (int x = 0; x < 40; x++)
            tabled[x] = parzen_log_density(&mixture, &(double){3 + x});
        lane.cells = 0;
        parzen_fit(&mixture, lanes, 1, slots, i + 1, i + 1);
        for (int x = 0; x < 40; x++)
            assert_true(fabs(tabled[x] - parzen_log_density(&mixture, &(double){3 + x})) < 1e-4);
        lane.cells = cells;
    }
    parzen_fini(&mixture);
    lane_fini(&lane);
}

static void test_no_memory_grid(void **state)
{
    (void)state;
    struct world w = {0};
    add(&w, whole(0, 999));
    struct search *s = start(&w, SEARCH_GRID, 0);
    for (uint64_t trial = 0; trial < 1000; trial++) {
        double x;
        malloc_fail(1, 1);
        enum search_result result = search_suggest(s, trial, &x);
        malloc_fail(0, 0);
        if (result == SEARCH_ENOMEM)
            assert_int_equal(search_suggest(s, trial, &x), SEARCH_OK);
        assert_true(x == (double)trial);
    }
    search_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rng),
        cmocka_unit_test(test_cdf),
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_rasters),
        cmocka_unit_test(test_sobol_intervals),
        cmocka_unit_test(test_sobol_boxes),
        cmocka_unit_test(test_same_seed_same_points),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_discrete_spaces_end),
        cmocka_unit_test(test_grid_order),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_tpe_beats_random),
        cmocka_unit_test(test_ranking),
        cmocka_unit_test(test_liar),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_no_memory_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
