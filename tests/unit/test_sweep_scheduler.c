/* test_sweep_scheduler.c - golden traces of each scheduler, worked out by hand
 * from the formulas, and the options that are refused.
 */
#include "scheduler_world.h"

#define GO SCHEDULER_GO
#define STOP SCHEDULER_STOP
#define PAUSE SCHEDULER_PAUSE
#define FINISH SCHEDULER_FINISH
#define NONE SCHEDULER_NO_TRIAL

/* A new trial reports once: its verdict.  It goes on running. */
static enum scheduler_verdict report_new(struct scheduler *s, uint32_t *n, int64_t step,
                                         double loss)
{
    uint32_t trial = begin(s, n);
    return scheduler_report(s, trial, step, loss);
}

/* ---- none, and what holds for all ---- */

static void test_none(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_NONE, .max_iter = 3});
    uint32_t n = 0;
    assert_next(s, false, SCHEDULER_NEW, NONE, 3);
    assert_next(s, true, SCHEDULER_DONE, NONE, 0);
    assert_int_equal(begin(s, &n), 0);
    assert_next(s, true, SCHEDULER_WAIT, NONE, 0);
    assert_int_equal(scheduler_report(s, 0, 1, 5), GO);
    assert_int_equal(scheduler_report(s, 0, 2, NAN), GO);
    assert_int_equal(scheduler_report(s, 0, 3, 5), FINISH);
    /* It hears the same again for as long as it runs. */
    assert_int_equal(scheduler_report(s, 0, 4, 0), FINISH);
    scheduler_end(s, 0, SCHEDULER_ENDED_COMPLETE);
    assert_next(s, true, SCHEDULER_DONE, NONE, 0);
    struct scheduler_rung r;
    assert_false(scheduler_rung(s, 0, &r));
    scheduler_free(&s);
    assert_null(s);
}

static void test_none_without_end(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_NONE});
    uint32_t n = 0;
    begin(s, &n);
    assert_int_equal(scheduler_report(s, 0, INT64_C(1) << 40, 1), GO);
    scheduler_end(s, 0, SCHEDULER_ENDED_FAILED);
    scheduler_free(&s);
}

/* ---- ASHA, stopping ---- */

static void test_asha_rungs(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_ASHA, .brackets = 2});
    const int64_t steps[] = {1, 4, 16, 64, 4, 16, 64};
    for (uint32_t i = 0; i < 7; i++)
        assert_rung(s, i, i / 4, steps[i], 0);
    struct scheduler_rung r;
    assert_false(scheduler_rung(s, 7, &r));
    scheduler_free(&s);

    /* A fractional eta: reached by the next whole step.  243 = 3^5 is not below itself. */
    s = make((struct scheduler_opts){.kind = SCHEDULER_ASHA, .eta = 2.5, .max_iter = 20});
    const int64_t fractional[] = {1, 3, 7, 16};
    for (uint32_t i = 0; i < 4; i++)
        assert_rung(s, i, 0, fractional[i], 0);
    assert_false(scheduler_rung(s, 4, &r));
    scheduler_free(&s);
    s = make((struct scheduler_opts){.kind = SCHEDULER_ASHA, .eta = 3, .max_iter = 243});
    assert_rung(s, 4, 0, 81, 0);
    assert_false(scheduler_rung(s, 5, &r));
    scheduler_free(&s);
}

/* The cutoffs are numpy's: nanpercentile([-5, -4, -3, -1], 75) = -2.5. */
static void test_asha_cutoffs(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_ASHA});
    uint32_t n = 0;
    assert_same(cutoff_at(s, 0), NAN);
    const struct { double loss; enum scheduler_verdict verdict; double cutoff; } trace[] = {
        {5, GO, 5},             /* the first goes on */
        {3, GO, 3.5},           /* -5 + 0.75 * 2 */
        {4, STOP, 3.5},         /* halfway: -4 + 0.5 * 1 */
        {1, GO, 2.5},
        {2, GO, 2},
        {2.5, STOP, 2.125},
        {2, GO, 2},             /* equal to the cutoff goes on; after this: at = 4.5 */
        {2, GO, 2},
    };
    for (size_t i = 0; i < sizeof trace / sizeof *trace; i++) {
        assert_int_equal(report_new(s, &n, 1, trace[i].loss), trace[i].verdict);
        assert_same(cutoff_at(s, 0), trace[i].cutoff);
    }
    struct scheduler_rung r;
    assert_true(scheduler_rung(s, 0, &r));
    assert_int_equal(r.reached, 8);
    assert_int_equal(r.passed, 6);
    scheduler_free(&s);
}

static void test_asha_nan(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_ASHA});
    uint32_t n = 0;
    assert_int_equal(report_new(s, &n, 1, NAN), GO); /* the first, whatever it has */
    assert_int_equal(report_new(s, &n, 1, INFINITY), GO); /* no worse than the cutoff */
    assert_same(cutoff_at(s, 0), INFINITY);
    assert_int_equal(report_new(s, &n, 1, 1), GO);
    assert_int_equal(report_new(s, &n, 1, 1), GO);
    /* Scores -inf, -inf, -1, -1 at 2.25. */
    assert_same(cutoff_at(s, 0), 1);
    assert_int_equal(report_new(s, &n, 1, NAN), STOP);
    assert_int_equal(report_new(s, &n, 1, -INFINITY), STOP); /* no number is no good number */
    scheduler_free(&s);
}

static void test_asha_skips(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_ASHA});
    uint32_t n = 0;
    uint32_t a = begin(s, &n), b = begin(s, &n);
    assert_int_equal(scheduler_report(s, a, 20, 1), GO); /* at rung 16 alone */
    assert_int_equal(scheduler_report(s, a, 21, 9), GO); /* 1 and 4 are not filled in */
    struct scheduler_rung r;
    assert_true(scheduler_rung(s, 0, &r) && r.reached == 0);
    assert_true(scheduler_rung(s, 1, &r) && r.reached == 0);
    assert_true(scheduler_rung(s, 2, &r) && r.reached == 1);
    assert_int_equal(scheduler_report(s, b, 15, 7), GO); /* the first at 4 */
    assert_int_equal(scheduler_report(s, b, 15, 0), GO); /* a step that does not rise */
    assert_int_equal(scheduler_report(s, b, 16, 2), STOP);
    scheduler_end(s, b, SCHEDULER_ENDED_STOPPED);
    assert_int_equal(scheduler_report(s, a, 100, 9), FINISH);
    scheduler_end(s, a, SCHEDULER_ENDED_COMPLETE);
    scheduler_free(&s);
}

static void test_asha_brackets(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_ASHA, .brackets = 3});
    uint32_t n = 0, counts[3] = {0};
    for (int i = 0; i < 3000; i++) {
        struct scheduler_choice c = scheduler_next(s, false);
        assert_int_equal(c.until, c.bracket == 0 ? 1 : c.bracket == 1 ? 4 : 16);
        counts[c.bracket]++;
        begin(s, &n);
    }
    /* exp(0), exp(-1), exp(-2), of their sum: 0.665, 0.245, 0.090; five standard deviations. */
    assert_in_range(counts[0], 1995 - 130, 1995 + 130);
    assert_in_range(counts[1], 734 - 118, 734 + 118);
    scheduler_free(&s);
}

/* ---- ASHA, promotion ---- */

/* A new trial or a resumed one runs to its rung and pauses there. */
static void pause_at(struct scheduler *s, uint32_t trial, int64_t step, double loss)
{
    assert_int_equal(scheduler_report(s, trial, step, loss), PAUSE);
    scheduler_end(s, trial, SCHEDULER_ENDED_PAUSED);
}

static void test_promotion(void **state)
{
    (void)state;
    struct scheduler *s = make(
        (struct scheduler_opts){.kind = SCHEDULER_ASHA_PROMOTION, .max_iter = 9});
    uint32_t n = 0;
    const int64_t steps[] = {1, 3, 9};
    for (uint32_t i = 0; i < 3; i++)
        assert_rung(s, i, 0, steps[i], 0);
    pause_at(s, begin(s, &n), 1, 3);
    pause_at(s, begin(s, &n), 1, 1);
    assert_next(s, false, SCHEDULER_NEW, NONE, 1); /* floor(2 / 3) = 0 */
    uint32_t c = begin(s, &n);
    assert_int_equal(scheduler_report(s, c, 1, 2), PAUSE);
    /* floor(3 / 3) = 1: trial 1.  It waits already; trial 2 has not ended. */
    assert_next(s, false, SCHEDULER_RESUME, 1, 3);
    scheduler_end(s, c, SCHEDULER_ENDED_PAUSED);
    assert_int_equal(begin(s, &n), 1);
    assert_next(s, false, SCHEDULER_NEW, NONE, 1);
    /* A better one comes late: it is promoted, too. */
    pause_at(s, begin(s, &n), 1, 0.5);
    assert_next(s, false, SCHEDULER_RESUME, 3, 3);
    assert_int_equal(begin(s, &n), 3);
    pause_at(s, 1, 3, 0.9);
    pause_at(s, 3, 3, 0.4);
    /* A third at rung 1 makes room for the best of it, before anything at rung 0. */
    pause_at(s, begin(s, &n), 1, 0.7);
    pause_at(s, begin(s, &n), 1, 0.6);
    assert_next(s, false, SCHEDULER_RESUME, 5, 3); /* top 2 of rung 0: trials 3 and 5 */
    assert_int_equal(begin(s, &n), 5);
    pause_at(s, 5, 3, 0.45);
    assert_next(s, false, SCHEDULER_RESUME, 3, 9);
    assert_int_equal(begin(s, &n), 3);
    assert_int_equal(scheduler_report(s, 3, 9, 0.1), FINISH);
    scheduler_end(s, 3, SCHEDULER_ENDED_COMPLETE);
    assert_next(s, true, SCHEDULER_DONE, NONE, 0);
    scheduler_free(&s);
}

static void test_promotion_ends(void **state)
{
    (void)state;
    struct scheduler *s = make(
        (struct scheduler_opts){.kind = SCHEDULER_ASHA_PROMOTION, .max_iter = 4, .eta = 2});
    uint32_t n = 0;
    struct scheduler_rung r;
    /* It ends of itself before rung 1, with the best loss: nothing to promote. */
    assert_int_equal(begin(s, &n), 0);
    scheduler_end(s, 0, SCHEDULER_ENDED_COMPLETE);
    assert_true(scheduler_rung(s, 0, &r) && r.reached == 1);
    /* One that fails counts as the worst, and makes the other the top of two. */
    assert_int_equal(begin(s, &n), 1);
    pause_at(s, 1, 1, 7);
    assert_next(s, true, SCHEDULER_RESUME, 1, 2);
    assert_int_equal(begin(s, &n), 1);
    scheduler_end(s, 1, SCHEDULER_ENDED_FAILED);
    assert_true(scheduler_rung(s, 1, &r) && r.reached == 1);
    /* Diverged ones are never promoted. */
    for (int i = 0; i < 4; i++)
        pause_at(s, begin(s, &n), 1, NAN);
    assert_next(s, true, SCHEDULER_DONE, NONE, 0);
    /* A paused one that is given up. */
    pause_at(s, begin(s, &n), 1, 1);
    assert_next(s, true, SCHEDULER_RESUME, 6, 2);
    scheduler_end(s, 6, SCHEDULER_ENDED_STOPPED);
    assert_next(s, true, SCHEDULER_DONE, NONE, 0);
    /* One whose process dies while it should pause. */
    uint32_t t = begin(s, &n);
    assert_int_equal(scheduler_report(s, t, 1, 0.1), PAUSE);
    scheduler_end(s, t, SCHEDULER_ENDED_FAILED);
    assert_next(s, true, SCHEDULER_DONE, NONE, 0);
    scheduler_free(&s);
}

/* max_iter is the last rung even where no power of eta falls on it. */
static void test_promotion_top(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_ASHA_PROMOTION});
    const int64_t steps[] = {1, 3, 9, 27, 81, 100};
    for (uint32_t i = 0; i < 6; i++)
        assert_rung(s, i, 0, steps[i], 0);
    scheduler_free(&s);
}

/* ---- HyperBand ---- */

static void test_hyperband_table(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_HYPERBAND});
    const struct { uint32_t bracket, n; int64_t step; } table[] = {
        {0, 81, 1}, {0, 27, 3}, {0, 9, 9}, {0, 3, 27}, {0, 1, 81},
        {1, 34, 3}, {1, 11, 9}, {1, 3, 27}, {1, 1, 81},
        {2, 15, 9}, {2, 5, 27}, {2, 1, 81},
        {3, 8, 27}, {3, 2, 81},
        {4, 5, 81},
    };
    uint32_t count = sizeof table / sizeof *table;
    for (uint32_t i = 0; i < count; i++)
        assert_rung(s, i, table[i].bracket, table[i].step, table[i].n);
    struct scheduler_rung r;
    assert_false(scheduler_rung(s, count, &r));
    scheduler_free(&s);
    s = make((struct scheduler_opts){.kind = SCHEDULER_HYPERBAND, .rounds = 3});
    assert_rung(s, 2 * count, 10, 1, 81);
    scheduler_free(&s);
}

/* R 9: 9 @ 1, 3 @ 3, 1 @ 9; 5 @ 3, 1 @ 9; 3 @ 9. */
static void test_hyperband_trace(void **state)
{
    (void)state;
    struct scheduler *s = make(
        (struct scheduler_opts){.kind = SCHEDULER_HYPERBAND, .max_iter = 9});
    uint32_t n = 0;
    for (uint32_t i = 0; i < 8; i++)
        pause_at(s, begin(s, &n), 1, 10 - i);
    uint32_t last = begin(s, &n);
    /* Rung 0 waits for one: the next bracket begins. */
    struct scheduler_choice c = scheduler_next(s, false);
    assert_int_equal(c.what, SCHEDULER_NEW);
    assert_int_equal(c.bracket, 1);
    assert_int_equal(c.until, 3);
    assert_same(cutoff_at(s, 0), NAN);
    scheduler_end(s, last, SCHEDULER_ENDED_FAILED);
    /* The best three are 7, 6 and 5, in this order. */
    assert_same(cutoff_at(s, 0), 5);
    for (uint32_t i = 0; i < 3; i++) {
        assert_next(s, false, SCHEDULER_RESUME, 7 - i, 3);
        assert_int_equal(begin(s, &n), 7 - i);
    }
    c = scheduler_next(s, false);
    assert_true(c.what == SCHEDULER_NEW && c.bracket == 1);
    pause_at(s, 7, 3, 3);
    pause_at(s, 6, 3, 2);
    assert_true(scheduler_next(s, true).what == SCHEDULER_WAIT);
    pause_at(s, 5, 3, 2.5);
    assert_next(s, true, SCHEDULER_RESUME, 6, 9);
    assert_int_equal(begin(s, &n), 6);
    assert_int_equal(scheduler_report(s, 6, 10, 1), FINISH);
    scheduler_end(s, 6, SCHEDULER_ENDED_COMPLETE);
    struct scheduler_rung r;
    assert_true(scheduler_rung(s, 0, &r) && r.reached == 9 && r.passed == 3);
    assert_true(scheduler_rung(s, 1, &r) && r.reached == 3 && r.passed == 1);
    assert_true(scheduler_rung(s, 2, &r) && r.reached == 1 && r.passed == 0);
    scheduler_free(&s);
}

/* No more trials after seven of nine: floor(7 / 3) go on, and then one. */
static void test_hyperband_short(void **state)
{
    (void)state;
    struct scheduler *s = make(
        (struct scheduler_opts){.kind = SCHEDULER_HYPERBAND, .max_iter = 9});
    uint32_t n = 0;
    for (uint32_t i = 0; i < 7; i++)
        pause_at(s, begin(s, &n), 1, 10 - i);
    assert_next(s, false, SCHEDULER_NEW, NONE, 1);
    assert_next(s, true, SCHEDULER_RESUME, 6, 3);
    struct scheduler_choice c = scheduler_next(s, true);
    assert_true(scheduler_start(s, &c, 6, NULL));
    /* Now it is closed: a larger budget goes to the next bracket. */
    assert_next(s, false, SCHEDULER_RESUME, 5, 3);
    assert_int_equal(begin(s, &n), 5);
    c = scheduler_next(s, false);
    assert_true(c.what == SCHEDULER_NEW && c.bracket == 1);
    pause_at(s, 6, 3, 1);
    pause_at(s, 5, 3, 2);
    assert_next(s, true, SCHEDULER_RESUME, 6, 9); /* floor(2 / 3) is 0, but one goes on */
    assert_int_equal(begin(s, &n), 6);
    assert_int_equal(scheduler_report(s, 6, 9, 1), FINISH);
    scheduler_end(s, 6, SCHEDULER_ENDED_COMPLETE);
    assert_next(s, true, SCHEDULER_DONE, NONE, 0);
    scheduler_free(&s);
}

/* Those that end of themselves keep their places, and nothing waits for them. */
static void test_hyperband_complete(void **state)
{
    (void)state;
    struct scheduler *s = make(
        (struct scheduler_opts){.kind = SCHEDULER_HYPERBAND, .max_iter = 3});
    uint32_t n = 0;
    assert_rung(s, 0, 0, 1, 3);
    pause_at(s, begin(s, &n), 1, 5);
    pause_at(s, begin(s, &n), 1, 6);
    uint32_t best = begin(s, &n);
    assert_int_equal(scheduler_report(s, best, 1, 1), PAUSE);
    scheduler_end(s, best, SCHEDULER_ENDED_COMPLETE);
    struct scheduler_choice c = scheduler_next(s, false);
    assert_true(c.what == SCHEDULER_NEW && c.bracket == 1 && c.until == 3);
    assert_next(s, true, SCHEDULER_DONE, NONE, 0);
    scheduler_free(&s);
}

/* ---- median ---- */

static void test_median(void **state)
{
    (void)state;
    struct scheduler *s = make(
        (struct scheduler_opts){.kind = SCHEDULER_MEDIAN, .grace = 2, .min_samples = 3});
    uint32_t n = 0;
    assert_next(s, false, SCHEDULER_NEW, NONE, 2);
    const double losses[3][4] = {{9, 4, 2, 0}, {9, 6, 6, 6}, {9, 8, 4, 9}};
    for (uint32_t i = 0; i < 3; i++) {
        begin(s, &n);
        for (int64_t step = 1; step <= 4; step++)
            assert_int_equal(scheduler_report(s, i, step, losses[i][step - 1]), GO);
    }
    /* Means over [2, 2]: 4, 6, 8; over [2, 3]: 3, 6, 6; over [2, 4]: 2, 6, 7. */
    uint32_t d = begin(s, &n);
    assert_int_equal(scheduler_report(s, d, 1, 50), GO); /* in its grace */
    assert_int_equal(scheduler_report(s, d, 2, 6), GO); /* as the median */
    assert_int_equal(scheduler_report(s, d, 3, 99), GO); /* the best so far is 6 */
    uint32_t e = begin(s, &n);
    assert_int_equal(scheduler_report(s, e, 2, 6.5), STOP); /* means 4, 6, 6, 8: 6 is the median */
    scheduler_free(&s);
}

static void test_median_even(void **state)
{
    (void)state;
    struct scheduler *s = make(
        (struct scheduler_opts){.kind = SCHEDULER_MEDIAN, .grace = 1, .min_samples = 4});
    uint32_t n = 0;
    const double losses[] = {1, 2, 3, 4};
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(report_new(s, &n, 5, losses[i]), GO); /* fewer than four others */
    assert_int_equal(report_new(s, &n, 5, 2.5), GO); /* (2 + 3) / 2 */
    assert_int_equal(report_new(s, &n, 5, 2.51), STOP); /* 1, 2, 2.5, 3, 4 */
    /* At step 4, all that are at 5 count with nothing: they had not begun. */
    assert_int_equal(report_new(s, &n, 4, 100), GO);
    /* At step 6 nobody is yet. */
    assert_int_equal(report_new(s, &n, 6, 100), GO);
    scheduler_free(&s);
}

/* After 1024 different steps there is a column for every second one. */
static void test_median_thinned(void **state)
{
    (void)state;
    const double own[] = {6, 4};
    for (int i = 0; i < 2; i++) {
        struct scheduler *s = make(
            (struct scheduler_opts){.kind = SCHEDULER_MEDIAN, .grace = 1, .min_samples = 2});
        uint32_t n = 0;
        uint32_t a = begin(s, &n), b = begin(s, &n), d = begin(s, &n);
        for (int64_t step = 1; step <= 1100; step++)
            assert_int_equal(scheduler_report(s, a, step, 1), GO);
        assert_int_equal(scheduler_report(s, d, 1025, own[i]), GO); /* there is one other */
        assert_int_equal(scheduler_report(s, b, 1025, 9), STOP); /* that still counts */
        /* By the column of 1025, where it stands itself: of the others' 1 and 9, 5. */
        assert_int_equal(scheduler_report(s, d, 1026, own[i]), i == 0 ? STOP : GO);
        scheduler_free(&s);
    }
}

/* ---- options ---- */

static void test_refused(void **state)
{
    (void)state;
#define OPTS(...) ((struct scheduler_opts){__VA_ARGS__})
    for (int kind = SCHEDULER_ASHA; kind <= SCHEDULER_HYPERBAND; kind++) {
        assert_refused(OPTS(.kind = kind, .eta = 1), "eta");
        assert_refused(OPTS(.kind = kind, .eta = 0.5), "eta");
        assert_refused(OPTS(.kind = kind, .eta = -3), "eta");
        assert_refused(OPTS(.kind = kind, .eta = NAN), "eta");
        assert_refused(OPTS(.kind = kind, .eta = INFINITY), "eta");
        assert_refused(OPTS(.kind = kind, .eta = 1.0000001), "eta");
        assert_refused(OPTS(.kind = kind, .max_iter = -1), "max_iter");
        assert_refused(OPTS(.kind = kind, .max_iter = INT64_MAX), "max_iter");
    }
    assert_refused(OPTS(.kind = SCHEDULER_ASHA, .min_iter = 101), "min_iter");
    assert_refused(OPTS(.kind = SCHEDULER_ASHA_PROMOTION, .min_iter = 8, .max_iter = 7),
                   "min_iter");
    assert_refused(OPTS(.kind = SCHEDULER_ASHA, .brackets = 5), "brackets");
    assert_refused(OPTS(.kind = SCHEDULER_HYPERBAND, .rounds = 101), "rounds");
    assert_refused(OPTS(.kind = SCHEDULER_HYPERBAND, .max_iter = INT64_C(1) << 50), "max_iter");
    assert_refused(OPTS(.kind = SCHEDULER_MEDIAN, .grace = -1), "grace");
    assert_refused(OPTS(.kind = SCHEDULER_MEDIAN, .grace = 61, .max_iter = 60), "grace");
    assert_refused(OPTS(.kind = SCHEDULER_PBT, .population = 1), "population");
    assert_refused(OPTS(.kind = SCHEDULER_PBT, .population = 10001), "population");
    assert_refused(OPTS(.kind = SCHEDULER_PBT, .interval = 61, .max_iter = 60), "interval");
    assert_refused(OPTS(.kind = SCHEDULER_PBT, .quantile = 0.51), "quantile");
    assert_refused(OPTS(.kind = SCHEDULER_PBT, .resample = 1.01), "resample");
    assert_refused(OPTS(.kind = SCHEDULER_PBT, .factor_up = 1), "factor_up");
    assert_refused(OPTS(.kind = SCHEDULER_PBT, .factor_down = 1.01), "factor_down");
    assert_refused(OPTS(.kind = SCHEDULER_PBT, .factor_down = -1), "factor_down");
    assert_refused(OPTS(.kind = SCHEDULER_BANDS, .eta = 3), "min_iter");
    assert_refused(OPTS(.kind = SCHEDULER_BANDS, .eta = 1, .min_iter = 3), "eta");
    assert_refused(OPTS(.kind = SCHEDULER_BANDS, .max_iter = 2, .brackets = 2), "max_iter");
    assert_refused(OPTS(.kind = SCHEDULER_BANDS, .max_iter = 9, .brackets = 101), "s is");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none), cmocka_unit_test(test_none_without_end),
        cmocka_unit_test(test_asha_rungs), cmocka_unit_test(test_asha_cutoffs),
        cmocka_unit_test(test_asha_nan), cmocka_unit_test(test_asha_skips),
        cmocka_unit_test(test_asha_brackets), cmocka_unit_test(test_promotion),
        cmocka_unit_test(test_promotion_ends), cmocka_unit_test(test_promotion_top),
        cmocka_unit_test(test_hyperband_table), cmocka_unit_test(test_hyperband_trace),
        cmocka_unit_test(test_hyperband_short), cmocka_unit_test(test_hyperband_complete),
        cmocka_unit_test(test_median), cmocka_unit_test(test_median_even),
        cmocka_unit_test(test_median_thinned),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
