/* asha.c - asynchronous successive halving, the form that stops: a trial runs on
 * until it is beaten, and nothing is ever paused.
 *
 * After Ray Tune's async_hyperband.py.  Rungs are at min_iter * eta^(s+k), below
 * max_iter.  A report is judged at the highest rung that it has reached, if the
 * trial was not judged there before: against the losses recorded so far, its own
 * not among them, it must be in the best 1/eta, by numpy's nanpercentile (linear
 * interpolation).  The first to arrive always goes on.  Rungs that a trial has
 * skipped by reporting seldom are not filled in.
 *
 * A fractional rung is reached by the next whole step.  A rung at max_iter itself
 * would never judge anybody and is left out.
 */
#include "sweep/scheduler/scheduler_internal.h"
#include "sweep/space/rng.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#define ASHA_MAX_ITER 100
#define ASHA_MIN_ITER 1
#define ASHA_ETA 4.0

/* The steps of bracket @s below max_iter, in @steps; how many, or UINT32_MAX: too many. */
static uint32_t ladder(const struct scheduler_opts *o, uint32_t s, int64_t *steps)
{
    uint32_t count = 0;
    double at = ceil_near((double)o->min_iter * pow(o->eta, s));
    for (int k = 0; at < (double)o->max_iter; k++) {
        if (k == SCHEDULER_RUNGS_MAX)
            return UINT32_MAX;
        if (count == 0 || steps[count - 1] < (int64_t)at) /* else the same step reaches both */
            steps[count++] = (int64_t)at;
        at = ceil_near((double)o->min_iter * pow(o->eta, (double)s + k + 1));
    }
    return count;
}

/* How many brackets have a rung to judge at. */
static uint32_t brackets_max(const struct scheduler_opts *o)
{
    uint32_t count = 1;
    double at = (double)o->min_iter * o->eta;
    while (count < SCHEDULER_RUNGS_MAX && ceil_near(at) < (double)o->max_iter) {
        count++;
        at *= o->eta;
    }
    return count;
}

static bool fill_in(struct scheduler_opts *o, double eta, char *why, size_t why_size)
{
    o->max_iter = o->max_iter ? o->max_iter : ASHA_MAX_ITER;
    o->min_iter = o->min_iter ? o->min_iter : ASHA_MIN_ITER;
    o->eta = o->eta != 0 ? o->eta : eta;
    o->brackets = o->brackets ? o->brackets : 1;
    return scheduler_check_eta(o, why, why_size) &&
           scheduler_check_int("min_iter", o->min_iter, 1, o->max_iter, why, why_size) &&
           scheduler_check_int("brackets", o->brackets, 1, brackets_max(o), why, why_size);
}

bool asha_init(struct scheduler *s, bool top, double eta, char *why, size_t why_size)
{
    struct scheduler_opts *o = &s->opts;
    if (!fill_in(o, eta, why, why_size) || !scheduler_brackets(s, o->brackets, why, why_size))
        return false;
    for (uint32_t i = 0; i < o->brackets; i++) {
        int64_t steps[SCHEDULER_RUNGS_MAX + 1];
        uint32_t count = ladder(o, i, steps);
        if (count == UINT32_MAX) {
            snprintf(why, why_size, "eta is %g: makes more than %d rungs between min_iter and "
                     "max_iter", o->eta, SCHEDULER_RUNGS_MAX);
            return false;
        }
        if (top)
            steps[count++] = o->max_iter;
        if (!bracket_init(&s->brackets[i], steps, count))
            return scheduler_no_memory(why, why_size);
    }
    return true;
}

/* Ray's distribution: a bracket's weight is exp(its number of rungs), so that
 * most trials are where early stopping is hardest. */
static uint32_t draw_bracket(const struct scheduler *s)
{
    if (s->bracket_count == 1)
        return 0;
    double sum = 0;
    double most = s->brackets[0].rung_count;
    for (uint32_t i = 0; i < s->bracket_count; i++)
        sum += exp(s->brackets[i].rung_count - most);
    struct rng rng = rng_stream(s->opts.seed, RNG_BRACKET, s->trial_count);
    double u = rng_f64(&rng) * sum;
    uint32_t i = 0;
    for (; i + 1 < s->bracket_count; i++) {
        u -= exp(s->brackets[i].rung_count - most);
        if (u < 0)
            break;
    }
    return i;
}

static int64_t until(const struct scheduler *s, uint32_t bracket, uint32_t rung)
{
    const struct bracket *b = &s->brackets[bracket];
    return rung < b->rung_count ? b->rungs[rung].step : s->opts.max_iter;
}

struct scheduler_choice asha_new_trial(const struct scheduler *s)
{
    uint32_t bracket = draw_bracket(s);
    return scheduler_new_trial(bracket, until(s, bracket, 0));
}

static bool init(struct scheduler *s, char *why, size_t why_size)
{
    return asha_init(s, false, ASHA_ETA, why, why_size);
}

static struct scheduler_choice next(const struct scheduler *s, bool no_new)
{
    return no_new ? scheduler_idle(s) : asha_new_trial(s);
}

/* numpy.nanpercentile(-losses, 100 * (1 - 1/eta)) with its own order of
 * operations, so that equal numbers give equal cutoffs; as a loss. */
static double cutoff_of(const struct rung *r, double eta)
{
    if (r->count == 0)
        return NAN;
    double at = (r->count - 1) * (100 * (1 - 1 / eta) / 100);
    uint32_t low = (uint32_t)floor(at);
    double t = at - low;
    double a = -r->entries[r->count - 1 - low].loss;
    if (t == 0)
        return -a;
    assert(low + 1 < r->count);
    double b = -r->entries[r->count - 2 - low].loss;
    if (a == b || isinf(a))
        return -a; /* between minus infinity and any other score is minus infinity */
    return -(t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t));
}

static enum scheduler_verdict report(struct scheduler *s, uint32_t trial, int64_t before)
{
    (void)before;
    struct scheduler_trial *t = &s->trials[trial];
    struct bracket *b = &s->brackets[t->bracket];
    if (t->step >= s->opts.max_iter)
        return SCHEDULER_FINISH;
    uint32_t reached = t->rung;
    while (reached < b->rung_count && t->step >= b->rungs[reached].step)
        reached++;
    if (reached == t->rung)
        return SCHEDULER_GO;
    t->rung = reached;
    struct rung *r = &b->rungs[reached - 1];
    bool beaten = t->loss > cutoff_of(r, s->opts.eta); /* false for NaN: the first */
    rung_insert(r, t->loss, trial, false);
    if (beaten)
        return SCHEDULER_STOP;
    r->passed++;
    return SCHEDULER_GO;
}

static double cutoff(const struct scheduler *s, uint32_t bracket, uint32_t rung)
{
    return cutoff_of(&s->brackets[bracket].rungs[rung], s->opts.eta);
}

const struct scheduler_ops scheduler_asha = {
    .init = init, .next = next, .report = report, .cutoff = cutoff,
};
