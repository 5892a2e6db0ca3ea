/* bands.c - W&B's early_terminate, type hyperband.
 *
 * After the package wandb/sweeps 0.3.0, src/sweeps/hyperband_stopping.py as of
 * commit 035d000 (February 2023, unchanged in version b1dfc5f of August 2026): the
 * value of band b is history[b - 1].  Older versions, up to 0.2.0, took
 * history[b] and knew no `strict`; they are not followed.
 *
 * Bands, counted in reports of the metric, come from one of two forms:
 *
 *     min_iter             min_iter * eta^i, i = 0 ... 99
 *     max_iter and s       max_iter / eta^i, i = 1 ... s, those that are at least 1
 *
 * each cut to a whole number.  If both are given, max_iter and s win.  The
 * threshold of a band is sorted[int(n * (1/eta))] of the values that all trials had
 * there, the judged one's among them.  At each report, the last band that the
 * trial has reached is looked at again: a trial that passed stops later if others
 * have lowered the threshold since.  With `strict` it is compared by its value
 * at the band, else by its best so far.
 *
 * W&B drops values that are no numbers; here they count as the worst.
 */
#include "sweep/scheduler/scheduler_internal.h"

#include <math.h>
#include <stdio.h>

#define BANDS_ETA 3.0
#define BANDS_OF_MIN_ITER 100

/* Bands by rising step; of those that fall on the same step, one. */
static uint32_t from_min_iter(const struct scheduler_opts *o, int64_t *steps)
{
    uint32_t count = 0;
    double band = (double)o->min_iter;
    for (int i = 0; i < BANDS_OF_MIN_ITER && band < (double)SCHEDULER_STEP_MAX; i++) {
        int64_t step = (int64_t)band;
        if (count == 0 || steps[count - 1] < step)
            steps[count++] = step;
        band *= o->eta;
    }
    return count;
}

static uint32_t from_max_iter(const struct scheduler_opts *o, int64_t *steps)
{
    int64_t falling[SCHEDULER_RUNGS_MAX];
    uint32_t count = 0;
    double band = (double)o->max_iter / o->eta;
    for (uint32_t i = 0; i < o->brackets && band >= 1; i++) {
        int64_t step = (int64_t)band;
        if (count == 0 || falling[count - 1] > step)
            falling[count++] = step;
        band /= o->eta;
    }
    for (uint32_t i = 0; i < count; i++)
        steps[i] = falling[count - 1 - i];
    return count;
}

static bool init(struct scheduler *s, char *why, size_t why_size)
{
    struct scheduler_opts *o = &s->opts;
    o->eta = o->eta != 0 ? o->eta : BANDS_ETA;
    bool by_max = o->max_iter > 0 && o->brackets > 0;
    if (!by_max && o->min_iter == 0) {
        snprintf(why, why_size, "bands need min_iter, or max_iter and s");
        return false;
    }
    if (!scheduler_check_eta(o, why, why_size) ||
        (by_max && !scheduler_check_int("s", o->brackets, 1, SCHEDULER_RUNGS_MAX, why, why_size)) ||
        !scheduler_brackets(s, 1, why, why_size))
        return false;
    int64_t steps[SCHEDULER_RUNGS_MAX];
    uint32_t count = by_max ? from_max_iter(o, steps) : from_min_iter(o, steps);
    if (count == 0) {
        snprintf(why, why_size, "max_iter is %lld: must be at least eta, %g, to make a band",
                 (long long)o->max_iter, o->eta);
        return false;
    }
    return bracket_init(&s->brackets[0], steps, count) || scheduler_no_memory(why, why_size);
}

static struct scheduler_choice next(const struct scheduler *s, bool no_new)
{
    /* Bands count reports, so there is no step to tell. */
    return no_new ? scheduler_idle(s) : scheduler_new_trial(0, 0);
}

/* As Python computes it, rounding included. */
static double threshold(const struct scheduler *s, const struct rung *r)
{
    return r->entries[(uint32_t)(1.0 / s->opts.eta * r->count)].loss;
}

static enum scheduler_verdict report(struct scheduler *s, uint32_t trial, int64_t before)
{
    (void)before;
    struct scheduler_trial *t = &s->trials[trial];
    struct bracket *b = &s->brackets[0];
    bool first = t->rung < b->rung_count && t->reports == b->rungs[t->rung].step;
    if (first) {
        rung_insert(&b->rungs[t->rung], t->loss, trial, false);
        t->judged = t->loss;
        t->rung++;
    }
    if (t->rung == 0)
        return SCHEDULER_GO;
    struct rung *r = &b->rungs[t->rung - 1];
    double own = s->opts.strict ? t->judged : t->best;
    bool beaten = own > threshold(s, r);
    if (first && !beaten)
        r->passed++;
    if (!first && beaten)
        r->passed--;
    return beaten ? SCHEDULER_STOP : SCHEDULER_GO;
}

static double cutoff(const struct scheduler *s, uint32_t bracket, uint32_t rung)
{
    const struct rung *r = &s->brackets[bracket].rungs[rung];
    return r->count > 0 ? threshold(s, r) : NAN;
}

const struct scheduler_ops scheduler_bands = {
    .init = init, .next = next, .report = report, .cutoff = cutoff,
};
