/* pbt.c - population based training: the worst go on as copies of the best.
 *
 * After Ray Tune's pbt.py.  Every `interval` steps, from burn_in on, a trial's
 * loss is its score.  If that is in the lower quantile of the trials that have a
 * score and have not ended, the trial takes over checkpoint and point of one
 * drawn from the upper quantile, and the point is moved:
 *
 *     a choice    drawn anew with probability `resample`, else its neighbour to
 *                 either side, of which there may be none
 *     a number    drawn anew with probability `resample`, else multiplied by
 *                 factor_up or factor_down, and put back into its range
 *
 * A quantile is ceil(n * quantile) of n trials, at most half of them.  What is taken
 * over is the checkpoint that belongs to the donor's last score when the clone starts;
 * the donor may have gone on since the clone was decided.
 *
 * Where there are fewer slots than members, those who wait would only ever meet
 * others that are far ahead.  So a trial yields at its interval as long as
 * somebody waits, and slots go to whoever is furthest behind.
 */
#include "sweep/scheduler/scheduler_internal.h"
#include "sweep/space/rng.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PBT_POPULATION 8
#define PBT_POPULATION_MAX 10000
#define PBT_INTERVAL 60
#define PBT_QUANTILE 0.25
#define PBT_RESAMPLE 0.25
#define PBT_FACTOR_UP 1.2
#define PBT_FACTOR_DOWN 0.8
#define PBT_FACTOR_MAX 1000

struct pbt {
    bool no_more;               /* the population stays smaller than planned */
    double *points;             /* owned; of each member its own, and the one it takes over */
};

static double *point(const struct scheduler *s, uint32_t trial)
{
    return s->pbt->points + (size_t)trial * 2 * s->space->count;
}

static double *taken_over(const struct scheduler *s, uint32_t trial)
{
    return point(s, trial) + s->space->count;
}

static void fill_in(struct scheduler_opts *o)
{
    o->population = o->population ? o->population : PBT_POPULATION;
    o->interval = o->interval ? o->interval : PBT_INTERVAL;
    o->quantile = o->quantile != 0 ? o->quantile : PBT_QUANTILE;
    o->resample = o->resample != 0 ? o->resample : PBT_RESAMPLE;
    o->factor_up = o->factor_up != 0 ? o->factor_up : PBT_FACTOR_UP;
    o->factor_down = o->factor_down != 0 ? o->factor_down : PBT_FACTOR_DOWN;
}

static bool check(const struct scheduler_opts *o, char *why, size_t n)
{
    int64_t end = o->max_iter != 0 ? o->max_iter : SCHEDULER_STEP_MAX;
    return scheduler_check_int("population", o->population, 2, PBT_POPULATION_MAX, why, n) &&
           scheduler_check_int("interval", o->interval, 1, end, why, n) &&
           scheduler_check_int("burn_in", o->burn_in, 0, end, why, n) &&
           scheduler_check_real("quantile", o->quantile, 0, 0.5, why, n) &&
           scheduler_check_real("resample", o->resample, 0, 1, why, n) &&
           scheduler_check_real("factor_up", o->factor_up, 1, PBT_FACTOR_MAX, why, n) &&
           scheduler_check_real("factor_down", o->factor_down, 0, 1, why, n);
}

static bool init(struct scheduler *s, char *why, size_t why_size)
{
    assert(s->space);
    struct scheduler_opts *o = &s->opts;
    fill_in(o);
    if (!check(o, why, why_size) || !scheduler_brackets(s, 1, why, why_size))
        return false;
    s->pbt = calloc(1, sizeof *s->pbt);
    if (!s->pbt || !bracket_init(&s->brackets[0], &o->interval, 1))
        return scheduler_no_memory(why, why_size);
    size_t each = s->space->count > 0 ? s->space->count : 1;
    s->pbt->points = calloc((size_t)o->population * 2 * each, sizeof *s->pbt->points);
    return s->pbt->points || scheduler_no_memory(why, why_size);
}

static void fini(struct scheduler *s)
{
    if (s->pbt)
        free(s->pbt->points);
    free(s->pbt);
}

/* The step after @mark at which a trial is judged. */
static int64_t until(const struct scheduler *s, int64_t mark)
{
    const struct scheduler_opts *o = &s->opts;
    int64_t step = mark + o->interval > o->burn_in ? mark + o->interval : o->burn_in;
    return o->max_iter != 0 && o->max_iter < step ? o->max_iter : step;
}

/* Where a paused trial goes on. */
static int64_t mark_of(const struct scheduler *s, const struct scheduler_trial *t)
{
    return t->clone_of != SCHEDULER_NO_TRIAL ? s->trials[t->clone_of].score_step : t->mark;
}

static struct scheduler_choice next(const struct scheduler *s, bool no_new)
{
    if (s->trial_count < s->opts.population && !no_new)
        return scheduler_new_trial(0, until(s, 0));
    uint32_t last = SCHEDULER_NO_TRIAL;
    for (uint32_t i = 0; i < s->trial_count && s->paused > 0; i++)
        if (s->trials[i].state == IS_PAUSED &&
            (last == SCHEDULER_NO_TRIAL || mark_of(s, &s->trials[i]) < mark_of(s, &s->trials[last])))
            last = i;
    if (last == SCHEDULER_NO_TRIAL)
        return scheduler_idle(s);
    const struct scheduler_trial *t = &s->trials[last];
    struct scheduler_choice c = scheduler_resume(s, last, until(s, mark_of(s, t)));
    c.clone_of = t->clone_of;
    c.x = t->clone_of != SCHEDULER_NO_TRIAL ? taken_over(s, last) : NULL;
    return c;
}

static void start(struct scheduler *s, uint32_t trial, const struct scheduler_choice *choice,
                  const double *x)
{
    struct scheduler_trial *t = &s->trials[trial];
    assert(trial < s->opts.population);
    /* New trials come first, so this one was resumed because there are no more. */
    s->pbt->no_more = choice->what == SCHEDULER_RESUME && s->trial_count < s->opts.population;
    if (choice->what == SCHEDULER_NEW || choice->clone_of != SCHEDULER_NO_TRIAL)
        memmove(point(s, trial), x, s->space->count * sizeof *x);
    if (choice->clone_of != SCHEDULER_NO_TRIAL) {
        t->step = t->mark = s->trials[choice->clone_of].score_step; /* perhaps further back */
        t->loss = INFINITY;
        t->moves++;
    }
    t->clone_of = SCHEDULER_NO_TRIAL;
}

static double explore_param(const struct scheduler_opts *o, const struct param *p, double x,
                            struct rng *rng)
{
    /* Each parameter takes as many draws whatever comes of them, so that one
     * does not depend on the fate of those before it. */
    double anew = rng_f64(rng), u = rng_f64(rng);
    bool up = rng_below(rng, 2) == 1;
    if (isnan(x) || anew < o->resample)
        return param_quantile(p, u);
    if (p->distribution == DIST_CHOICE) {
        double last = (double)(p->count - 1);
        return fmin(fmax(x + (up ? 1 : -1), 0), last);
    }
    return param_clip(p, x * (up ? o->factor_up : o->factor_down));
}

/* A parameter whose condition is met only by the moved point is drawn anew. */
static void explore(struct scheduler *s, uint32_t trial, uint32_t donor)
{
    struct rng rng = rng_stream(s->opts.seed, RNG_PBT,
                                (uint64_t)trial << 32 | s->trials[trial].moves);
    const double *from = point(s, donor);
    double *to = taken_over(s, trial);
    for (size_t i = 0; i < s->space->count; i++) {
        double moved = explore_param(&s->opts, &s->space->params[i], from[i], &rng);
        to[i] = space_is_active(s->space, to, i) ? moved : NAN;
    }
}

/* One of the upper quantile, if @trial is in the lower one; else SCHEDULER_NO_TRIAL. */
static uint32_t find_donor(const struct scheduler *s, uint32_t trial)
{
    const struct rung *scores = &s->brackets[0].rungs[0];
    const struct scheduler_trial *t = &s->trials[trial];
    uint32_t n = scores->count;
    uint32_t size = (uint32_t)ceil_near(n * s->opts.quantile);
    size = size < n / 2 ? size : n / 2;
    if (size == 0 || rung_find(scores, t->score, trial) < n - size)
        return SCHEDULER_NO_TRIAL;
    struct rng rng = rng_stream(s->opts.seed, RNG_PBT,
                                (UINT64_C(1) << 63) | (uint64_t)trial << 32 | t->moves);
    const struct rung_entry *e = &scores->entries[rng_below(&rng, size)];
    return isfinite(e->loss) ? e->trial : SCHEDULER_NO_TRIAL;
}

static bool somebody_waits(const struct scheduler *s)
{
    return s->paused > 0 || (s->trial_count < s->opts.population && !s->pbt->no_more);
}

static void drop_score(struct scheduler *s, uint32_t trial)
{
    struct rung *scores = &s->brackets[0].rungs[0];
    struct scheduler_trial *t = &s->trials[trial];
    if (t->scored)
        rung_remove(scores, rung_find(scores, t->score, trial));
    t->scored = false;
}

static enum scheduler_verdict report(struct scheduler *s, uint32_t trial, int64_t before)
{
    (void)before;
    struct scheduler_trial *t = &s->trials[trial];
    if (s->opts.max_iter != 0 && t->step >= s->opts.max_iter)
        return SCHEDULER_FINISH;
    if (t->step < until(s, t->mark))
        return SCHEDULER_GO;
    t->mark = t->step;
    drop_score(s, trial);
    t->score = t->loss;
    t->scored = true;
    t->score_step = t->step;
    rung_insert(&s->brackets[0].rungs[0], t->score, trial, false);
    uint32_t donor = find_donor(s, trial);
    if (donor == SCHEDULER_NO_TRIAL)
        return somebody_waits(s) ? SCHEDULER_PAUSE : SCHEDULER_GO;
    explore(s, trial, donor);
    t->clone_of = donor;
    return SCHEDULER_PAUSE;
}

static void end(struct scheduler *s, uint32_t trial, enum scheduler_fate fate)
{
    if (fate != SCHEDULER_ENDED_PAUSED)
        drop_score(s, trial);
}

const struct scheduler_ops scheduler_pbt = {
    .init = init, .fini = fini, .next = next, .start = start, .report = report, .end = end,
};
