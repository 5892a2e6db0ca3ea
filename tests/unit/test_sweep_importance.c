/* test_sweep_importance.c - functions whose shares of variance are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/page/importance.h"
#include "sweep/space/rng.h"

#define SAMPLES 600
#define PARAMS 4
#define BINS 32

/* Points drawn evenly; the last parameter has five choices. */
struct world {
    struct importance_param param[PARAMS];
    uint8_t bins[SAMPLES * PARAMS];
    double x[SAMPLES][PARAMS], values[SAMPLES];
    struct importance_input in;
    struct importance out;
};
static struct world w;

static double noise(struct rng *r) { return rng_normal(r); }

static void draw(double (*f)(const double *x, struct rng *r), uint32_t samples)
{
    struct rng r = rng_stream(7, RNG_SEARCH, 1);
    memset(&w, 0, sizeof w);
    for (uint32_t i = 0; i < samples; i++) {
        for (int k = 0; k < PARAMS; k++) {
            w.param[k] = (struct importance_param){k == PARAMS - 1 ? 5 : BINS, k != PARAMS - 1};
            w.x[i][k] = k == PARAMS - 1 ? (double)rng_below(&r, 5) : rng_f64(&r);
            w.bins[i * PARAMS + (uint32_t)k] = k == PARAMS - 1 ? (uint8_t)w.x[i][k]
                                                               : importance_bin(0, 1, w.x[i][k], BINS);
        }
        w.values[i] = f(w.x[i], &r);
    }
    w.in = (struct importance_input){samples, PARAMS, w.param, w.bins, w.values};
    assert_true(importance_compute(&w.out, &w.in));
}

static void near(double x, double expected, double tolerance)
{
    if (!(fabs(x - expected) <= tolerance))
        fail_msg("%g is not within %g of %g", x, tolerance, expected);
}

static void all_shares_are_shares(void)
{
    double sum = 0;
    for (int k = 0; k < PARAMS; k++) {
        assert_true(w.out.share[k] >= 0 && w.out.share[k] <= 1);
        sum += w.out.share[k];
    }
    assert_true(sum <= 1 + 1e-9);
}

/* Variances 4/12 and 1/12. */
static double linear(const double *x, struct rng *r)
{
    (void)r;
    return 100 + 2 * x[0] - x[1];
}

static void test_linear(void **state)
{
    (void)state;
    draw(linear, SAMPLES);
    all_shares_are_shares();
    near(w.out.share[0], 0.8, 0.05);
    near(w.out.share[1], 0.2, 0.05);
    assert_true(w.out.share[2] < 0.01 && w.out.share[3] < 0.01);
    assert_true(w.out.fit > 0.95);
    assert_true(w.out.floor < 0.15);
    /* Its marginal rises from 100 - 1/2 to 102 - 1/2. */
    near(w.out.marginal[1], 99.5, 0.25);
    near(w.out.marginal[BINS - 2], 101.5, 0.25);
    importance_fini(&w.out);
}

/* A choice's values in no order: 4 of 5 are the same. */
static double choice(const double *x, struct rng *r)
{
    return (x[3] == 2 ? 1 : 0) + 0.01 * noise(r);
}

static void test_choice(void **state)
{
    (void)state;
    draw(choice, SAMPLES);
    all_shares_are_shares();
    assert_true(w.out.share[3] > 0.97);
    near(w.out.marginal[3 * IMPORTANCE_BINS_MAX + 2], 1, 0.05);
    near(w.out.marginal[3 * IMPORTANCE_BINS_MAX + 4], 0, 0.05);
    importance_fini(&w.out);
}

/* Neither parameter does anything alone. */
static double interaction(const double *x, struct rng *r)
{
    (void)r;
    return (x[0] > 0.5) == (x[1] > 0.5);
}

static void test_interaction(void **state)
{
    (void)state;
    draw(interaction, SAMPLES);
    all_shares_are_shares();
    assert_true(w.out.share[0] < 0.15 && w.out.share[1] < 0.15);
    assert_true(w.out.fit > 0.5);
    importance_fini(&w.out);
}

/* A mountain: the mean over x[1] of a product is not zero, so x[0] has a share of its own. */
static double curved(const double *x, struct rng *r)
{
    return (x[0] - 0.5) * (x[0] - 0.5) * 12 + 0.1 * noise(r);
}

static void test_curved(void **state)
{
    (void)state;
    draw(curved, SAMPLES);
    assert_true(w.out.share[0] > 0.85);
    near(w.out.marginal[BINS / 2], 0, 0.2);
    near(w.out.marginal[0], 2.8, 0.4);
    importance_fini(&w.out);
}

static double nothing(const double *x, struct rng *r)
{
    (void)x;
    return noise(r);
}

static void test_noise_is_told(void **state)
{
    (void)state;
    for (uint32_t samples = 30; samples <= SAMPLES; samples *= 4) {
        draw(nothing, samples);
        assert_true(w.out.fit < 0.1);
        for (int k = 0; k < PARAMS; k++)
            assert_true(w.out.share[k] < 1.6 * w.out.floor);
        importance_fini(&w.out);
    }
}

/* One value of a million is not all that is explained. */
static double diverged(const double *x, struct rng *r)
{
    return rng_below(r, 50) == 0 ? 1e12 : 2 * x[0] - x[1];
}

static void test_outliers_are_clipped(void **state)
{
    (void)state;
    draw(diverged, SAMPLES);
    assert_true(w.out.share[0] > 0.3);
    assert_true(w.out.share[0] > 2 * w.out.share[1]);
    assert_true(w.out.marginal[0] < 100);
    importance_fini(&w.out);
}

static void test_repeats(void **state)
{
    double share[PARAMS], floor;
    (void)state;
    draw(curved, 100);
    memcpy(share, w.out.share, sizeof share);
    floor = w.out.floor;
    importance_fini(&w.out);
    draw(curved, 100);
    assert_memory_equal(share, w.out.share, sizeof share);
    assert_true(floor == w.out.floor);
    importance_fini(&w.out);
}

static double constant(const double *x, struct rng *r)
{
    (void)x, (void)r;
    return 3;
}

static void test_nothing_to_tell(void **state)
{
    (void)state;
    draw(constant, SAMPLES);
    for (int k = 0; k < PARAMS; k++)
        assert_true(w.out.share[k] == 0);
    importance_fini(&w.out);
    draw(linear, IMPORTANCE_SAMPLES_MIN - 1);
    for (int k = 0; k < PARAMS; k++)
        assert_true(w.out.share[k] == 0);
    importance_fini(&w.out);
    draw(linear, 0);
    importance_fini(&w.out);
}

static void test_bins(void **state)
{
    (void)state;
    assert_int_equal(importance_bin(0, 1, 0, 10), 0);
    assert_int_equal(importance_bin(0, 1, 1, 10), 9);
    assert_int_equal(importance_bin(0, 1, 0.55, 10), 5);
    assert_int_equal(importance_bin(0, 1, -INFINITY, 10), 0);
    assert_int_equal(importance_bin(0, 1, INFINITY, 10), 9);
    assert_int_equal(importance_bin(0, 1, NAN, 10), 0);
    assert_int_equal(importance_bin(2, 2, 2, 64), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_interaction),
        cmocka_unit_test(test_curved),
        cmocka_unit_test(test_noise_is_told),
        cmocka_unit_test(test_outliers_are_clipped),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_nothing_to_tell),
        cmocka_unit_test(test_bins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
