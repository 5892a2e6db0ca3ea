/* test_sweep_pbt.c - golden traces of W&B's bands and of PBT.
 *
 * The bands' expectations are what wandb/sweeps 0.3.0 gives for the same
 * histories; some are its own tests' (tests/test_hyperband_stopping.py).
 */
#include "scheduler_world.h"
#include "sweep/space/rng.h"

#define GO SCHEDULER_GO
#define STOP SCHEDULER_STOP
#define PAUSE SCHEDULER_PAUSE
#define FINISH SCHEDULER_FINISH
#define NONE SCHEDULER_NO_TRIAL

/* ---- bands ---- */

static void assert_bands(struct scheduler_opts opts, const int64_t *steps, uint32_t count)
{
    opts.kind = SCHEDULER_BANDS;
    struct scheduler *s = make(opts);
    for (uint32_t i = 0; i < count; i++)
        assert_rung(s, i, 0, steps[i], 0);
    struct scheduler_rung r;
    bool is_open = opts.min_iter > 0 && opts.max_iter == 0;
    assert_int_equal(scheduler_rung(s, count, &r), is_open);
    scheduler_free(&s);
}

static void test_bands(void **state)
{
    (void)state;
    /* min_iter alone, and with an s that W&B ignores */
    assert_bands((struct scheduler_opts){.min_iter = 3, .eta = 3}, (int64_t[]){3, 9, 27, 81}, 4);
    assert_bands((struct scheduler_opts){.min_iter = 3, .brackets = 2}, (int64_t[]){3, 9, 27}, 3);
    assert_bands((struct scheduler_opts){.min_iter = 1, .eta = 1.5}, (int64_t[]){1, 2, 3, 5, 7}, 5);
    /* max_iter and s; with min_iter, too, they win */
    assert_bands((struct scheduler_opts){.max_iter = 81, .brackets = 3}, (int64_t[]){3, 9, 27}, 3);
    assert_bands((struct scheduler_opts){.max_iter = 18, .brackets = 2}, (int64_t[]){2, 6}, 2);
    assert_bands((struct scheduler_opts){.max_iter = 5, .eta = 2, .brackets = 9}, (int64_t[]){1, 2},
                 2);
    assert_bands((struct scheduler_opts){.max_iter = 27, .brackets = 2, .min_iter = 5},
                 (int64_t[]){3, 9}, 2);
}

/* A trial's whole history; the verdict of the last report. */
static enum scheduler_verdict play(struct scheduler *s, uint32_t *n, const double *losses,
                                   uint32_t count)
{
    uint32_t trial = begin(s, n);
    enum scheduler_verdict verdict = GO;
    for (uint32_t i = 0; i < count; i++)
        verdict = scheduler_report(s, trial, i + 1, losses[i]);
    return verdict;
}

/* The example in W&B's hyperband_stop_runs(): bands 1 and 2, thresholds 10 and 8. */
static void test_bands_example(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){
        .kind = SCHEDULER_BANDS, .max_iter = 5, .eta = 2, .brackets = 2, .strict = true});
    /* a, b, c, d, e report in turn; when all are at 2, W&B stops b alone. */
    const double second[] = {9, 10, 8, 7, 6};
    uint32_t n = 0;
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(play(s, &n, (double[]){10}, 1), GO);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(scheduler_report(s, i, 2, second[i]), GO);
    assert_same(cutoff_at(s, 0), 10);
    assert_same(cutoff_at(s, 1), 8);
    assert_int_equal(scheduler_report(s, 1, 3, 10), STOP);
    assert_int_equal(scheduler_report(s, 2, 3, 8), GO);
    assert_int_equal(scheduler_report(s, 3, 3, 7), GO);
    assert_int_equal(scheduler_report(s, 4, 3, 6), GO);
    scheduler_free(&s);
}

static void test_bands_strict(void **state)
{
    (void)state;
    for (int strict = 0; strict <= 1; strict++) {
        struct scheduler *s = make((struct scheduler_opts){
            .kind = SCHEDULER_BANDS, .min_iter = 2, .eta = 2, .strict = strict});
        uint32_t n = 0;
        assert_int_equal(play(s, &n, (double[]){5, 4}, 2), GO);
        assert_int_equal(play(s, &n, (double[]){5, 3}, 2), GO);
        /* Of 3, 4, 9 the threshold is sorted[int(1.5)] = 4: by its value it is
         * beaten, by its best so far, 1, it is not. */
        assert_int_equal(play(s, &n, (double[]){1, 9}, 2), strict ? STOP : GO);
        scheduler_free(&s);
    }
}

/* It passes, then others lower the threshold, and its next report is judged anew. */
static void test_bands_again(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){
        .kind = SCHEDULER_BANDS, .min_iter = 1, .eta = 2, .strict = true});
    uint32_t n = 0;
    uint32_t first = begin(s, &n);
    assert_int_equal(scheduler_report(s, first, 1, 5), GO);
    assert_same(cutoff_at(s, 0), 5);
    const double better[] = {3, 2, 1};
    for (int i = 0; i < 3; i++)
        assert_int_equal(play(s, &n, &better[i], 1), GO);
    /* sorted[int(0.5 * 4)] of 1, 2, 3, 5 */
    assert_same(cutoff_at(s, 0), 3);
    struct scheduler_rung r;
    assert_true(scheduler_rung(s, 0, &r) && r.reached == 4 && r.passed == 4);
    /* A step that does not rise is no second report. */
    assert_int_equal(scheduler_report(s, first, 1, 0), GO);
    assert_true(scheduler_rung(s, 1, &r) && r.reached == 0);
    /* Its second report is at band 2, where it is the only one. */
    assert_int_equal(scheduler_report(s, first, 2, 9), GO);
    scheduler_free(&s);

    s = make((struct scheduler_opts){
        .kind = SCHEDULER_BANDS, .min_iter = 1, .eta = 3, .strict = true});
    n = 0;
    first = begin(s, &n);
    assert_int_equal(scheduler_report(s, first, 1, 5), GO);
    for (int i = 0; i < 3; i++)
        assert_int_equal(play(s, &n, &better[i], 1), GO);
    assert_int_equal(scheduler_report(s, first, 2, 0), STOP); /* of band 1: 5 > sorted[1] = 2 */
    assert_true(scheduler_rung(s, 0, &r) && r.reached == 4 && r.passed == 3);
    scheduler_free(&s);
}

static void test_bands_nan(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){
        .kind = SCHEDULER_BANDS, .min_iter = 1, .strict = true});
    uint32_t n = 0;
    assert_int_equal(play(s, &n, (double[]){1}, 1), GO);
    assert_int_equal(play(s, &n, (double[]){NAN}, 1), STOP);
    scheduler_free(&s);
}

/* ---- PBT ---- */

static const struct scheduler_opts four = {
    .kind = SCHEDULER_PBT, .population = 4, .interval = 10, .seed = 7,
};

/* All of the population run; their points differ in the learning rate. */
static struct scheduler *make_running(struct scheduler_opts opts)
{
    struct scheduler *s = make(opts);
    for (uint32_t i = 0; i < opts.population; i++) {
        struct scheduler_choice c = scheduler_next(s, false);
        assert_int_equal(c.what, SCHEDULER_NEW);
        double x[PARAMS] = {0.001 * (i + 1), 5, 2, NAN};
        assert_true(scheduler_start(s, &c, i, x));
    }
    assert_next(s, false, SCHEDULER_WAIT, NONE, 0);
    return s;
}

static void test_pbt(void **state)
{
    (void)state;
    struct scheduler *s = make_running(four);
    assert_int_equal(scheduler_report(s, 0, 9, 1), GO);
    assert_int_equal(scheduler_report(s, 0, 10, 1), GO);
    /* Of two, one is a quantile: the later one is worse, and becomes the better one. */
    assert_int_equal(scheduler_report(s, 1, 10, 2), PAUSE);
    scheduler_end(s, 1, SCHEDULER_ENDED_PAUSED);
    struct scheduler_choice c = scheduler_next(s, false);
    assert_int_equal(c.what, SCHEDULER_RESUME);
    assert_int_equal(c.trial, 1);
    assert_int_equal(c.clone_of, 0);
    assert_int_equal(c.until, 20);
    /* 0.001 of the donor, times a factor or drawn anew; in its range. */
    assert_true(c.x[LR] >= 1e-4 && c.x[LR] <= 0.1);
    assert_true(c.x[LAYERS] == 4 || c.x[LAYERS] == 6 ||
                (c.x[LAYERS] >= 1 && c.x[LAYERS] <= 10));
    assert_true(scheduler_start(s, &c, 1, c.x));
    /* In the middle, nothing happens to it; at the top neither. */
    assert_int_equal(scheduler_report(s, 2, 10, 1.5), GO);
    assert_int_equal(scheduler_report(s, 3, 10, 0.5), GO);
    /* Off the interval, no loss matters. */
    assert_int_equal(scheduler_report(s, 2, 15, 99), GO);
    assert_int_equal(scheduler_report(s, 2, 20, 3), PAUSE);
    scheduler_end(s, 2, SCHEDULER_ENDED_PAUSED);
    c = scheduler_next(s, false);
    assert_int_equal(c.clone_of, 3); /* the only one in the upper quarter */
    assert_int_equal(c.until, 20); /* from the donor's step 10 */
    assert_true(scheduler_start(s, &c, 2, c.x));
    /* It goes on behind its own last step. */
    assert_int_equal(scheduler_report(s, 2, 11, 3), GO);
    assert_int_equal(scheduler_report(s, 2, 20, 0.1), GO);
    scheduler_free(&s);
}

static void test_pbt_burn_in(void **state)
{
    (void)state;
    struct scheduler_opts o = four;
    o.burn_in = 25;
    o.max_iter = 40;
    struct scheduler *s = make(o);
    assert_next(s, false, SCHEDULER_NEW, NONE, 25);
    scheduler_free(&s);
    s = make_running(o);
    assert_int_equal(scheduler_report(s, 0, 20, 1), GO);
    assert_int_equal(scheduler_report(s, 1, 24, 9), GO);
    assert_int_equal(scheduler_report(s, 0, 25, 1), GO);
    assert_int_equal(scheduler_report(s, 1, 25, 9), PAUSE);
    assert_int_equal(scheduler_report(s, 0, 40, 1), FINISH);
    scheduler_free(&s);
}

/* Finished ones are no donors, and no part of a quantile. */
static void test_pbt_finished(void **state)
{
    (void)state;
    struct scheduler *s = make_running(four);
    assert_int_equal(scheduler_report(s, 0, 10, 1), GO);
    scheduler_end(s, 0, SCHEDULER_ENDED_COMPLETE);
    assert_int_equal(scheduler_report(s, 1, 10, 9), GO);
    scheduler_end(s, 2, SCHEDULER_ENDED_FAILED);
    assert_int_equal(scheduler_report(s, 3, 10, 5), GO);
    assert_int_equal(scheduler_report(s, 1, 20, 9), PAUSE);
    scheduler_end(s, 1, SCHEDULER_ENDED_PAUSED);
    assert_int_equal(scheduler_next(s, false).clone_of, 3);
    /* A donor that has no number is none. */
    scheduler_free(&s);
    s = make_running(four);
    assert_int_equal(scheduler_report(s, 0, 10, NAN), GO);
    assert_int_equal(scheduler_report(s, 1, 10, NAN), GO);
    scheduler_free(&s);
}

/* Two slots for four: each yields at its interval until all have come as far. */
static void test_pbt_few_slots(void **state)
{
    (void)state;
    struct scheduler_opts o = four;
    o.quantile = 0.0001; /* one of four, the worst of two */
    struct scheduler *s = make(o);
    uint32_t n = 0;
    begin(s, &n);
    begin(s, &n);
    assert_int_equal(scheduler_report(s, 0, 10, 1), PAUSE);
    scheduler_end(s, 0, SCHEDULER_ENDED_PAUSED);
    assert_next(s, false, SCHEDULER_NEW, NONE, 10);
    assert_next(s, true, SCHEDULER_RESUME, 0, 20);
    begin(s, &n);
    assert_int_equal(scheduler_report(s, 1, 10, 0.5), PAUSE);
    scheduler_end(s, 1, SCHEDULER_ENDED_PAUSED);
    begin(s, &n);
    assert_int_equal(scheduler_report(s, 2, 10, 0.7), PAUSE);
    scheduler_end(s, 2, SCHEDULER_ENDED_PAUSED);
    assert_next(s, false, SCHEDULER_RESUME, 0, 20);
    assert_int_equal(scheduler_next(s, false).clone_of, NONE);
    begin(s, &n);
    assert_int_equal(scheduler_report(s, 3, 10, 0.6), PAUSE);
    scheduler_end(s, 3, SCHEDULER_ENDED_PAUSED);
    assert_next(s, false, SCHEDULER_RESUME, 1, 20);
    scheduler_free(&s);

    /* No more new ones: from the first that is resumed on, nobody waits for them. */
    s = make(o);
    n = 0;
    begin(s, &n);
    assert_int_equal(scheduler_report(s, 0, 10, 1), PAUSE);
    scheduler_end(s, 0, SCHEDULER_ENDED_PAUSED);
    struct scheduler_choice c = scheduler_next(s, true);
    assert_int_equal(c.what, SCHEDULER_RESUME);
    assert_true(scheduler_start(s, &c, 0, world_x));
    assert_int_equal(scheduler_report(s, 0, 20, 1), GO);
    scheduler_free(&s);
}

/* One trial is cloned again and again from one donor: how are points moved? */
static void test_pbt_explore(void **state)
{
    (void)state;
    struct scheduler_opts o = four;
    o.population = 2;
    o.interval = 1;
    struct scheduler *s = make(o);
    uint32_t n = 0;
    double donor_x[PARAMS] = {0.09, 10, 3, 0.5};
    struct scheduler_choice c = scheduler_next(s, false);
    assert_true(scheduler_start(s, &c, n++, donor_x));
    begin(s, &n);
    assert_int_equal(scheduler_report(s, 0, 1, 1), GO);
    const uint32_t times = 4000;
    uint32_t up = 0, down = 0, widths_seen[4] = {0}, drop_off = 0;
    for (uint32_t i = 0; i < times; i++) {
        assert_int_equal(scheduler_report(s, 1, i + 2, 2), PAUSE);
        scheduler_end(s, 1, SCHEDULER_ENDED_PAUSED);
        c = scheduler_next(s, false);
        assert_int_equal(c.clone_of, 0);
        assert_true(c.x[LR] >= 1e-4 && c.x[LR] <= 0.1);
        assert_true(c.x[LAYERS] >= 1 && c.x[LAYERS] <= 10 && c.x[LAYERS] == floor(c.x[LAYERS]));
        up += c.x[LR] == 0.1; /* 0.108 is clipped */
        down += c.x[LR] == 0.09 * 0.8;
        widths_seen[(int)c.x[WIDTH]]++;
        assert_int_equal(isnan(c.x[DROP]), c.x[WIDTH] != 3);
        drop_off += isnan(c.x[DROP]);
        assert_true(scheduler_start(s, &c, 1, c.x));
    }
    /* 3/8 each, within five standard deviations (31 each). */
    assert_in_range(up, 1500 - 155, 1500 + 155);
    assert_in_range(down, 1500 - 155, 1500 + 155);
    /* The last of the list: to the left 3/8, stays 3/8, anew 1/16 each. */
    assert_in_range(widths_seen[3], 1750 - 157, 1750 + 157);
    assert_in_range(widths_seen[2], 1750 - 157, 1750 + 157);
    assert_in_range(widths_seen[0], 250 - 77, 250 + 77);
    assert_int_equal(drop_off, times - widths_seen[3]);
    scheduler_free(&s);
}

/* Each of an upper quantile of two is drawn about as often. */
static void test_pbt_donors(void **state)
{
    (void)state;
    uint32_t drawn[4] = {0};
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct scheduler_opts o = four;
        o.quantile = 0.5;
        o.seed = seed;
        struct scheduler *s = make_running(o);
        for (uint32_t i = 0; i < 3; i++) {
            enum scheduler_verdict verdict = scheduler_report(s, i, 10, 3 - i);
            assert_int_equal(verdict, GO); /* each is better than those before */
        }
        assert_int_equal(scheduler_report(s, 3, 10, 9), PAUSE);
        scheduler_end(s, 3, SCHEDULER_ENDED_PAUSED);
        drawn[scheduler_next(s, false).clone_of]++;
        scheduler_free(&s);
    }
    assert_int_equal(drawn[1] + drawn[2], 1000);
    assert_in_range(drawn[1], 500 - 79, 500 + 79);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bands), cmocka_unit_test(test_bands_example),
        cmocka_unit_test(test_bands_strict), cmocka_unit_test(test_bands_again),
        cmocka_unit_test(test_bands_nan), cmocka_unit_test(test_pbt),
        cmocka_unit_test(test_pbt_burn_in), cmocka_unit_test(test_pbt_finished),
        cmocka_unit_test(test_pbt_few_slots), cmocka_unit_test(test_pbt_explore),
        cmocka_unit_test(test_pbt_donors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
