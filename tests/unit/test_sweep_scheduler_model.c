/* test_sweep_scheduler_model.c - every kind of scheduler on random courses of
 * events, beside slow models that know nothing but whole histories; and with
 * allocation n failing, for every n.
 *
 * A course: slots come and go, trials report with and without skips, end of
 * themselves, fail, are stopped by the user, also while paused, and the budget
 * runs out and is raised again.  After each call:
 *
 *   - no trial runs twice, and only paused ones are resumed;
 *   - the verdict is what the model of its kind says;
 *   - no rung of HyperBand has more trials than planned, or lets more go on;
 *   - a second scheduler that is told the same calls says the same.
 *
 * And each course ends when it gets no more new trials.
 */
#include "failing_malloc.h"
#include "scheduler_world.h"

#include <stdlib.h>

#include "sweep/space/rng.h"

#define SEEDS 1000
#define TRIALS_MAX 80
#define REPORTS_MAX 64
#define CALLS_MAX 20000

struct history {
    int64_t steps[REPORTS_MAX];
    double losses[REPORTS_MAX];
    uint32_t count;
    uint32_t bracket;
    enum { RUNS, ENDING, PAUSED, GONE } state;
    enum scheduler_verdict verdict;
    int64_t rung_step;          /* ASHA: the last rung where it was recorded */
    uint32_t rung;              /* promotion: where it is going, or waits */
};

/* A value that a trial left at a step: what the models of rungs remember. */
struct mark {
    int64_t step;
    uint32_t bracket, trial;
    double loss;
};

struct course {
    struct scheduler_opts opts;
    struct scheduler *s, *twin;
    struct rng rng;
    struct history trials[TRIALS_MAX];
    uint32_t count, running, budget;
    struct mark marks[TRIALS_MAX * REPORTS_MAX];
    uint32_t mark_count;
    bool close;                 /* the model's arithmetic cannot tell */
};

static struct course c; /* large; one at a time */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The sorted losses of the marks at @step of @bracket, in @out. */
static uint32_t marks_at(int64_t step, uint32_t bracket, double *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c.mark_count; i++)
        if (c.marks[i].step == step && c.marks[i].bracket == bracket)
            out[n++] = c.marks[i].loss;
    qsort(out, n, sizeof *out, by_value);
    return n;
}

static void add_mark(int64_t step, uint32_t bracket, uint32_t trial, double loss)
{
    assert_true(c.mark_count < TRIALS_MAX * REPORTS_MAX);
    c.marks[c.mark_count++] = (struct mark){step, bracket, trial, loss};
}

/* ---- the models ---- */

static double best_of(const struct history *h)
{
    double best = INFINITY;
    for (uint32_t i = 0; i < h->count; i++)
        best = fmin(best, h->losses[i]);
    return best;
}

/* As async_hyperband.py is written: rungs from the top, numpy's percentile. */
static enum scheduler_verdict model_asha(uint32_t trial, int64_t step, double loss)
{
    struct history *h = &c.trials[trial];
    if (step >= c.opts.max_iter)
        return SCHEDULER_FINISH;
    double eta = c.opts.eta, rung = (double)c.opts.min_iter * pow(eta, h->bracket);
    int64_t at = 0;
    for (; rung < (double)c.opts.max_iter - 1e-9; rung *= eta)
        if ((double)step >= rung - 1e-9)
            at = (int64_t)ceil(rung - 1e-9);
    if (at <= h->rung_step)
        return SCHEDULER_GO;
    h->rung_step = at;
    double sorted[TRIALS_MAX];
    uint32_t n = marks_at(at, h->bracket, sorted);
    add_mark(at, h->bracket, trial, loss);
    if (n == 0)
        return SCHEDULER_GO;
    double where = (n - 1) * (1 - 1 / eta);
    uint32_t low = (uint32_t)where;
    double worse = sorted[n - 1 - low], better = low + 1 < n ? sorted[n - 2 - low] : worse;
    double cutoff = isinf(worse) ? INFINITY : worse + (better - worse) * (where - low);
    c.close = fabs(loss - cutoff) < 1e-9; /* false for infinity */
    return loss > cutoff ? SCHEDULER_STOP : SCHEDULER_GO;
}

/* As median_stopping_rule.py is written. */
static enum scheduler_verdict model_median(uint32_t trial, int64_t step, double loss)
{
    (void)loss;
    enum scheduler_verdict else_verdict =
        c.opts.max_iter && step >= c.opts.max_iter ? SCHEDULER_FINISH : SCHEDULER_GO;
    if (step < c.opts.grace || else_verdict == SCHEDULER_FINISH)
        return else_verdict;
    double means[TRIALS_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < c.count; i++) {
        const struct history *h = &c.trials[i];
        if (i == trial || h->count == 0 || h->steps[h->count - 1] < step)
            continue;
        double sum = 0;
        uint32_t summed = 0;
        for (uint32_t k = 0; k < h->count; k++)
            if (h->steps[k] >= c.opts.grace && h->steps[k] <= step) {
                sum += h->losses[k];
                summed++;
            }
        if (summed > 0)
            means[n++] = sum / summed;
    }
    if (n < c.opts.min_samples)
        return SCHEDULER_GO;
    qsort(means, n, sizeof *means, by_value);
    double median = (means[(n - 1) / 2] + means[n / 2]) / 2;
    return best_of(&c.trials[trial]) > median ? SCHEDULER_STOP : SCHEDULER_GO;
}

/* As hyperband_stopping.py is written, for the one run that has just reported. */
static enum scheduler_verdict model_bands(uint32_t trial, int64_t step, double loss)
{
    (void)step;
    (void)loss;
    const struct history *own = &c.trials[trial];
    double band = (double)c.opts.min_iter;
    uint32_t closest = 0;
    for (int i = 0; i < 100 && (uint32_t)band <= own->count; i++, band *= c.opts.eta)
        closest = (uint32_t)band;
    if (closest == 0)
        return SCHEDULER_GO;
    double values[TRIALS_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < c.count; i++)
        if (c.trials[i].count >= closest)
            values[n++] = c.trials[i].losses[closest - 1];
    qsort(values, n, sizeof *values, by_value);
    double value = c.opts.strict ? own->losses[closest - 1] : best_of(own);
    return value > values[(uint32_t)(1.0 / c.opts.eta * n)] ? SCHEDULER_STOP : SCHEDULER_GO;
}

/* Promotion: who should be next, from the marks alone; their order is that of arrival. */
static int64_t promotion_step(uint32_t rung)
{
    double at = (double)c.opts.min_iter * pow(c.opts.eta, rung);
    return at < (double)c.opts.max_iter - 1e-9 ? (int64_t)ceil(at - 1e-9) : c.opts.max_iter;
}

/* How many marks of the rung come before mark @i? */
static uint32_t rank_of(uint32_t i, uint32_t *n)
{
    uint32_t rank = 0;
    *n = 0;
    for (uint32_t k = 0; k < c.mark_count; k++) {
        if (c.marks[k].step != c.marks[i].step)
            continue;
        (*n)++;
        rank += c.marks[k].loss < c.marks[i].loss || (c.marks[k].loss == c.marks[i].loss && k < i);
    }
    return rank;
}

static uint32_t model_promotion_next(void)
{
    for (uint32_t rung = 10; rung-- > 0;) {
        uint32_t best = SCHEDULER_NO_TRIAL, best_rank = UINT32_MAX;
        int64_t step = promotion_step(rung);
        for (uint32_t i = 0; i < c.mark_count && step < c.opts.max_iter; i++) {
            const struct mark *m = &c.marks[i];
            const struct history *h = &c.trials[m->trial];
            if (m->step != step || isinf(m->loss) || h->state != PAUSED || h->rung != rung)
                continue;
            uint32_t n, rank = rank_of(i, &n);
            if (rank < (uint32_t)floor(n / c.opts.eta + 1e-9) && rank < best_rank) {
                best = m->trial;
                best_rank = rank;
            }
        }
        if (best != SCHEDULER_NO_TRIAL)
            return best;
    }
    return SCHEDULER_NO_TRIAL;
}

static enum scheduler_verdict model_promotion(uint32_t trial, int64_t step, double loss)
{
    int64_t goal = promotion_step(c.trials[trial].rung);
    if (step < goal)
        return SCHEDULER_GO;
    add_mark(goal, 0, trial, loss);
    return goal == c.opts.max_iter ? SCHEDULER_FINISH : SCHEDULER_PAUSE;
}

/* Its end without a pause puts it where its fate says. */
static void model_promotion_end(uint32_t trial, enum scheduler_fate fate)
{
    const struct history *h = &c.trials[trial];
    int64_t goal = promotion_step(h->rung);
    for (uint32_t i = 0; i < c.mark_count; i++)
        if (c.marks[i].trial == trial && c.marks[i].step == goal)
            c.marks[i].step = -1;
    bool complete = fate == SCHEDULER_ENDED_COMPLETE && h->count > 0;
    add_mark(goal, 0, trial, complete ? h->losses[h->count - 1] : INFINITY);
}

typedef enum scheduler_verdict model_fn(uint32_t trial, int64_t step, double loss);
static model_fn *const models[] = {
    [SCHEDULER_ASHA] = model_asha, [SCHEDULER_ASHA_PROMOTION] = model_promotion,
    [SCHEDULER_MEDIAN] = model_median, [SCHEDULER_BANDS] = model_bands, [SCHEDULER_PBT] = NULL,
};

/* ---- a course ---- */

static uint32_t below(uint32_t n) { return (uint32_t)rng_below(&c.rng, n); }

/* Few different losses, so that ties are common, and now and then none. */
static double draw_loss(void)
{
    return below(12) == 0 ? INFINITY : below(2) ? below(20) : rng_f64(&c.rng) * 20;
}

static void check_rungs(void)
{
    struct scheduler_rung r, other;
    for (uint32_t i = 0; scheduler_rung(c.s, i, &r); i++) {
        assert_true(scheduler_rung(c.twin, i, &other));
        assert_true(r.reached == other.reached && r.passed == other.passed);
        assert_same(r.cutoff, other.cutoff);
        assert_true(r.passed <= r.reached);
        if (c.opts.kind != SCHEDULER_HYPERBAND)
            continue;
        assert_true(r.reached <= r.planned);
        uint32_t most = (uint32_t)floor(r.reached / c.opts.eta + 1e-9);
        if (r.reached < r.planned)
            most = most > 0 ? most : 1;
        else if (scheduler_rung(c.s, i + 1, &other) && other.bracket == r.bracket)
            most = other.planned; /* with a fractional eta perhaps one more */
        assert_true(r.passed <= most);
    }
}

static struct scheduler_choice choose(bool no_new)
{
    struct scheduler_choice a = scheduler_next(c.s, no_new), b = scheduler_next(c.twin, no_new);
    assert_true(a.what == b.what && a.trial == b.trial && a.until == b.until);
    assert_true(a.bracket == b.bracket && a.clone_of == b.clone_of && !a.x == !b.x);
    for (int i = 0; a.x && i < PARAMS; i++)
        assert_same(a.x[i], b.x[i]);
    if (c.opts.kind == SCHEDULER_ASHA_PROMOTION && below(4) == 0) /* it is slow */
        assert_int_equal(a.trial, model_promotion_next());
    return a;
}

/* False: nothing ever again. */
static bool start_one(void)
{
    struct scheduler_choice choice = choose(c.count >= c.budget);
    if (choice.what == SCHEDULER_DONE)
        assert_int_equal(c.running, 0);
    if (choice.what == SCHEDULER_WAIT)
        assert_true(c.running > 0);
    if (choice.what == SCHEDULER_DONE || choice.what == SCHEDULER_WAIT)
        return choice.what == SCHEDULER_WAIT;
    bool is_new = choice.what == SCHEDULER_NEW;
    uint32_t trial = is_new ? c.count : choice.trial;
    struct history *h = &c.trials[trial];
    assert_true(is_new ? c.count < c.budget : h->state == PAUSED);
    double x[PARAMS];
    memcpy(x, choice.x ? choice.x : world_x, sizeof x);
    assert_true(scheduler_start(c.s, &choice, trial, x));
    assert_true(scheduler_start(c.twin, &choice, trial, x));
    if (is_new) {
        *h = (struct history){.bracket = choice.bracket};
        c.count++;
    }
    h->rung += !is_new;
    h->state = RUNS;
    c.running++;
    return true;
}

static void end_one(uint32_t trial, enum scheduler_fate fate)
{
    struct history *h = &c.trials[trial];
    scheduler_end(c.s, trial, fate);
    scheduler_end(c.twin, trial, fate);
    if (c.opts.kind == SCHEDULER_ASHA_PROMOTION && fate != SCHEDULER_ENDED_PAUSED)
        model_promotion_end(trial, fate);
    c.running -= h->state != PAUSED;
    h->state = fate == SCHEDULER_ENDED_PAUSED ? PAUSED : GONE;
}

static void report_one(uint32_t trial)
{
    struct history *h = &c.trials[trial];
    int64_t last = h->count > 0 ? h->steps[h->count - 1] : 0;
    int64_t step = last + 1 + (below(6) == 0 ? below(6) : 0);
    double loss = draw_loss();
    h->steps[h->count] = step;
    h->losses[h->count++] = loss;
    c.close = false;
    model_fn *model = models[c.opts.kind];
    enum scheduler_verdict expected = model ? model(trial, step, loss) : SCHEDULER_GO;
    enum scheduler_verdict verdict = scheduler_report(c.s, trial, step, loss);
    assert_int_equal(verdict, scheduler_report(c.twin, trial, step, loss));
    if (model && !c.close)
        assert_int_equal(verdict, expected);
    h->verdict = verdict;
    if (verdict != SCHEDULER_GO)
        h->state = ENDING;
}

/* What its verdict asks for, or a crash. */
static void obey(uint32_t trial)
{
    static const enum scheduler_fate fates[] = {
        [SCHEDULER_STOP] = SCHEDULER_ENDED_STOPPED, [SCHEDULER_PAUSE] = SCHEDULER_ENDED_PAUSED,
        [SCHEDULER_FINISH] = SCHEDULER_ENDED_COMPLETE,
    };
    struct history *h = &c.trials[trial];
    if (below(4) == 0)
        assert_int_equal(scheduler_report(c.s, trial, INT64_C(1) << 40, 0), h->verdict);
    else
        end_one(trial, below(20) == 0 ? SCHEDULER_ENDED_FAILED
                       : below(20) == 0 ? SCHEDULER_ENDED_COMPLETE : fates[h->verdict]);
}

static void move_one(uint32_t trial)
{
    for (uint32_t i = 0; i < c.count && c.trials[trial].state == GONE; i++)
        trial = (trial + 1) % c.count;
    struct history *h = &c.trials[trial];
    if (h->state == ENDING)
        obey(trial);
    else if (h->state == PAUSED && below(200) == 0)
        end_one(trial, SCHEDULER_ENDED_STOPPED);
    else if (h->state == RUNS && (h->count == REPORTS_MAX || below(50) == 0))
        end_one(trial, SCHEDULER_ENDED_COMPLETE);
    else if (h->state == RUNS && below(60) == 0)
        end_one(trial, SCHEDULER_ENDED_FAILED);
    else if (h->state == RUNS)
        report_one(trial);
}

static void run_course(struct scheduler_opts opts, uint64_t seed)
{
    memset(&c, 0, sizeof c);
    c.opts = opts;
    c.rng = rng_stream(seed, RNG_SEARCH, opts.kind);
    c.s = make(opts);
    c.twin = make(opts);
    c.opts = *scheduler_options(c.s);
    uint32_t slots = 1 + below(12);
    c.budget = 1 + below(TRIALS_MAX);
    bool raised = false;
    for (uint32_t calls = 0;; calls++) {
        assert_true(calls < CALLS_MAX); /* else it does not end */
        if (c.running < slots && !start_one()) {
            if (raised || c.budget >= TRIALS_MAX)
                break;
            raised = true;
            c.budget += 1 + below(TRIALS_MAX - c.budget);
        }
        if (c.count > 0)
            move_one(below(c.count));
        if (below(8) == 0)
            check_rungs();
    }
    scheduler_free(&c.s);
    scheduler_free(&c.twin);
}

static struct scheduler_opts draw_opts(enum scheduler_kind kind, uint64_t seed)
{
    static const double etas[] = {2, 3, 4, 2.5};
    struct rng r = rng_stream(seed, RNG_BRACKET, 0);
    struct scheduler_opts o = {.kind = kind, .seed = seed, .eta = etas[rng_below(&r, 4)]};
    switch (kind) {
    case SCHEDULER_ASHA:
        o.brackets = 1 + (uint32_t)rng_below(&r, 2);
        /* fall through */
    case SCHEDULER_ASHA_PROMOTION:
        o.max_iter = 5 + (int64_t)rng_below(&r, 30);
        break;
    case SCHEDULER_HYPERBAND:
        o.max_iter = 1 + (int64_t)rng_below(&r, 30);
        o.rounds = 1 + (uint32_t)rng_below(&r, 3);
        break;
    case SCHEDULER_MEDIAN:
        o.grace = 1 + (int64_t)rng_below(&r, 8);
        o.min_samples = 1 + (uint32_t)rng_below(&r, 4);
        o.max_iter = rng_below(&r, 2) ? 20 : 0;
        break;
    case SCHEDULER_PBT:
        o.population = 2 + (uint32_t)rng_below(&r, 12);
        o.interval = 1 + (int64_t)rng_below(&r, 6);
        o.max_iter = rng_below(&r, 2) ? 20 : 0;
        break;
    case SCHEDULER_BANDS:
        o.min_iter = 1 + (int64_t)rng_below(&r, 3);
        o.strict = rng_below(&r, 2);
        break;
    case SCHEDULER_NONE:
        break;
    }
    return o;
}

static uint64_t failing_seed;   /* printed where a course goes wrong */

static int print_seed(void **state)
{
    (void)state;
    print_message("the last seed was %u\n", (unsigned)failing_seed);
    return 0;
}

static void run_kind(enum scheduler_kind kind)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        failing_seed = seed;
        run_course(draw_opts(kind, seed), seed);
    }
}

static void test_asha(void **state) { (void)state; run_kind(SCHEDULER_ASHA); }
static void test_promotion(void **state) { (void)state; run_kind(SCHEDULER_ASHA_PROMOTION); }
static void test_hyperband(void **state) { (void)state; run_kind(SCHEDULER_HYPERBAND); }
static void test_median(void **state) { (void)state; run_kind(SCHEDULER_MEDIAN); }
static void test_pbt(void **state) { (void)state; run_kind(SCHEDULER_PBT); }
static void test_bands(void **state) { (void)state; run_kind(SCHEDULER_BANDS); }

/* More different steps than there are columns: judged roughly, but all goes on. */
static void test_median_many_steps(void **state)
{
    (void)state;
    struct scheduler *s = make((struct scheduler_opts){.kind = SCHEDULER_MEDIAN, .grace = 1});
    struct rng r = rng_stream(1, RNG_SEARCH, 0);
    uint32_t n = 0, stopped = 0;
    for (uint32_t trial = 0; trial < 60; trial++) {
        begin(s, &n);
        enum scheduler_verdict verdict = SCHEDULER_GO;
        for (int64_t step = 1; step < 20000 && verdict == SCHEDULER_GO;
             step += 1 + (int64_t)rng_below(&r, 200))
            verdict = scheduler_report(s, trial, step, trial % 2 ? 2 : 1);
        assert_true(trial % 2 || verdict == SCHEDULER_GO);
        stopped += verdict == SCHEDULER_STOP;
        if (verdict == SCHEDULER_STOP)
            scheduler_end(s, trial, SCHEDULER_ENDED_STOPPED);
    }
    assert_true(stopped >= 20); /* of the 30 that are worse */
    scheduler_free(&s);
}

/* ---- without memory ---- */

/* Three slots, every start tried until it succeeds.  False: no scheduler at all. */
static bool try_course(struct scheduler_opts opts)
{
    struct scheduler *s = scheduler_new(&opts, &world_space, why, sizeof why);
    if (!s) {
        assert_string_equal(why, "out of memory");
        return false;
    }
    enum { TRIALS = 150 };
    int64_t steps[TRIALS] = {0};
    uint32_t count = 0, failed = 0;
    for (;;) {
        struct scheduler_choice choice = scheduler_next(s, count == TRIALS);
        if (choice.what == SCHEDULER_DONE)
            break;
        uint32_t trial = choice.what == SCHEDULER_NEW ? count : choice.trial;
        if (!scheduler_start(s, &choice, trial, choice.x ? choice.x : world_x)) {
            assert_true(++failed <= 3);
            struct scheduler_choice same = scheduler_next(s, count == TRIALS);
            assert_true(same.what == choice.what && same.trial == choice.trial);
            continue;
        }
        count += choice.what == SCHEDULER_NEW;
        enum scheduler_verdict verdict = SCHEDULER_GO;
        while (verdict == SCHEDULER_GO && ++steps[trial] <= 12)
            verdict = scheduler_report(s, trial, steps[trial], (double)(trial * 7 % 50));
        scheduler_end(s, trial, verdict == SCHEDULER_PAUSE ? SCHEDULER_ENDED_PAUSED
                                                           : SCHEDULER_ENDED_COMPLETE);
    }
    scheduler_free(&s);
    return true;
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int kind = SCHEDULER_NONE; kind <= SCHEDULER_BANDS; kind++) {
        struct scheduler_opts o = {
            .kind = kind, .max_iter = 9, .grace = 2, .interval = 3,
            .min_iter = kind == SCHEDULER_BANDS || kind == SCHEDULER_ASHA,
        };
        for (uint64_t n = 1;; n++) {
            malloc_fail(n, 1 + n % 3);
            bool made = try_course(o);
            bool all = malloc_calls < n;
            malloc_fail(0, 0);
            assert_true(made || !all);
            if (all)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asha), cmocka_unit_test(test_promotion),
        cmocka_unit_test(test_hyperband), cmocka_unit_test(test_median),
        cmocka_unit_test(test_pbt), cmocka_unit_test(test_bands),
        cmocka_unit_test(test_median_many_steps), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, print_seed);
}
