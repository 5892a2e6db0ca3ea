/* scheduler.c - the life of every trial, and the schedulers' one table.
 *
 * What a kind decides is in its own file.  Here is what holds for all: a trial
 * that was told its verdict hears it again for as long as it runs, steps that do
 * not rise are not judged twice, and memory is found when a trial starts, so
 * that reports and ends cannot fail.
 */
#include "sweep/scheduler/scheduler_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIALS_CAP_MIN 64u
/* A trial's number is below it, so that sizes cannot wrap. */
#define TRIALS_MAX (UINT32_C(1) << 28)
#define ETA_MAX 1e6

/* ---- none: every trial runs to its end ---- */

static bool none_init(struct scheduler *s, char *why, size_t why_size)
{
    (void)s, (void)why, (void)why_size;
    return true;
}

static struct scheduler_choice none_next(const struct scheduler *s, bool no_new)
{
    return no_new ? scheduler_idle(s) : scheduler_new_trial(0, s->opts.max_iter);
}

static enum scheduler_verdict none_report(struct scheduler *s, uint32_t trial, int64_t before)
{
    (void)before;
    bool had_all = s->opts.max_iter != 0 && s->trials[trial].step >= s->opts.max_iter;
    return had_all ? SCHEDULER_FINISH : SCHEDULER_GO;
}

const struct scheduler_ops scheduler_none = {
    .init = none_init, .next = none_next, .report = none_report,
};

static const struct scheduler_ops *const kinds[] = {
    [SCHEDULER_NONE] = &scheduler_none,
    [SCHEDULER_ASHA] = &scheduler_asha,
    [SCHEDULER_ASHA_PROMOTION] = &scheduler_asha_promotion,
    [SCHEDULER_HYPERBAND] = &scheduler_hyperband,
    [SCHEDULER_MEDIAN] = &scheduler_median,
    [SCHEDULER_PBT] = &scheduler_pbt,
    [SCHEDULER_BANDS] = &scheduler_bands,
};

/* ---- what the kinds use ---- */

bool scheduler_check_int(const char *name, int64_t v, int64_t low, int64_t high, char *why,
                         size_t why_size)
{
    if (v >= low && v <= high)
        return true;
    snprintf(why, why_size, "%s is %" PRId64 ": must be from %" PRId64 " to %" PRId64, name, v,
             low, high);
    return false;
}

bool scheduler_check_real(const char *name, double v, double low, double high, char *why,
                          size_t why_size)
{
    if (v > low && v <= high) /* false for NaN */
        return true;
    snprintf(why, why_size, "%s is %g: must be above %g and at most %g", name, v, low, high);
    return false;
}

bool scheduler_check_eta(const struct scheduler_opts *o, char *why, size_t why_size)
{
    return scheduler_check_real("eta", o->eta, 1, ETA_MAX, why, why_size);
}

bool scheduler_no_memory(char *why, size_t why_size)
{
    snprintf(why, why_size, "out of memory");
    return false;
}

bool scheduler_brackets(struct scheduler *s, uint32_t count, char *why, size_t why_size)
{
    assert(!s->brackets);
    assert(count > 0);
    s->brackets = calloc(count, sizeof *s->brackets);
    if (!s->brackets)
        return scheduler_no_memory(why, why_size);
    s->bracket_count = count;
    return true;
}

struct scheduler_choice scheduler_new_trial(uint32_t bracket, int64_t until)
{
    return (struct scheduler_choice){
        .what = SCHEDULER_NEW, .trial = SCHEDULER_NO_TRIAL, .until = until, .bracket = bracket,
        .clone_of = SCHEDULER_NO_TRIAL,
    };
}

struct scheduler_choice scheduler_resume(const struct scheduler *s, uint32_t trial, int64_t until)
{
    return (struct scheduler_choice){
        .what = SCHEDULER_RESUME, .trial = trial, .until = until,
        .bracket = s->trials[trial].bracket, .clone_of = SCHEDULER_NO_TRIAL,
    };
}

struct scheduler_choice scheduler_idle(const struct scheduler *s)
{
    return (struct scheduler_choice){
        .what = s->running > 0 ? SCHEDULER_WAIT : SCHEDULER_DONE,
        .trial = SCHEDULER_NO_TRIAL, .clone_of = SCHEDULER_NO_TRIAL,
    };
}

/* ---- public ---- */

/* What no kind can make sense of; zero stands for a default. */
static bool check(const struct scheduler_opts *o, char *why, size_t why_size)
{
    const struct { const char *name; int64_t v; } whole[] = {
        {"max_iter", o->max_iter}, {"min_iter", o->min_iter}, {"grace", o->grace},
        {"interval", o->interval}, {"burn_in", o->burn_in},
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (!scheduler_check_int(whole[i].name, whole[i].v, 0, SCHEDULER_STEP_MAX, why, why_size))
            return false;
    return true;
}

struct scheduler *scheduler_new(const struct scheduler_opts *opts, const struct space *space,
                                char *why, size_t why_size)
{
    assert((size_t)opts->kind < sizeof kinds / sizeof *kinds);
    if (!check(opts, why, why_size))
        return NULL;
    struct scheduler *s = calloc(1, sizeof *s);
    if (!s) {
        scheduler_no_memory(why, why_size);
        return NULL;
    }
    s->ops = kinds[opts->kind];
    s->opts = *opts;
    s->space = space;
    if (!s->ops->init(s, why, why_size))
        scheduler_free(&s);
    return s;
}

void scheduler_free(struct scheduler **sp)
{
    struct scheduler *s = *sp;
    if (!s)
        return;
    if (s->ops->fini)
        s->ops->fini(s);
    for (uint32_t i = 0; i < s->bracket_count; i++)
        bracket_fini(&s->brackets[i]);
    free(s->brackets);
    free(s->trials);
    free(s);
    *sp = NULL;
}

struct scheduler_choice scheduler_next(const struct scheduler *s, bool no_new)
{
    struct scheduler_choice c = s->ops->next(s, no_new);
    assert(c.what != SCHEDULER_NEW || !no_new);
    assert(c.what != SCHEDULER_RESUME || s->trials[c.trial].state == IS_PAUSED);
    return c;
}

static bool reserve_trial(struct scheduler *s)
{
    if (s->trial_count < s->trial_cap)
        return true;
    if (s->trial_count >= TRIALS_MAX)
        return false;
    uint32_t cap = s->trial_cap > 0 ? s->trial_cap * 2 : TRIALS_CAP_MIN;
    struct scheduler_trial *trials = realloc(s->trials, cap * sizeof *trials);
    if (!trials)
        return false;
    s->trials = trials;
    s->trial_cap = cap;
    return true;
}

bool scheduler_start(struct scheduler *s, const struct scheduler_choice *choice, uint32_t trial,
                     const double *x)
{
    assert(choice->what == SCHEDULER_NEW || choice->what == SCHEDULER_RESUME);
    assert(s->bracket_count == 0 || choice->bracket < s->bracket_count);
    struct bracket *b = s->bracket_count > 0 ? &s->brackets[choice->bracket] : NULL;
    bool is_new = choice->what == SCHEDULER_NEW;
    if ((is_new && !reserve_trial(s)) || (b && !bracket_reserve(b)) ||
        (s->ops->reserve && !s->ops->reserve(s)))
        return false;
    if (is_new) {
        assert(trial == s->trial_count);
        s->trials[s->trial_count++] = (struct scheduler_trial){
            .bracket = choice->bracket, .loss = INFINITY, .best = INFINITY,
            .clone_of = SCHEDULER_NO_TRIAL,
        };
        if (b)
            b->started++;
    } else {
        assert(trial == choice->trial);
        assert(trial < s->trial_count);
        assert(s->trials[trial].state == IS_PAUSED);
        assert(s->trials[trial].bracket == choice->bracket);
        s->paused--;
    }
    s->trials[trial].state = IS_RUNNING;
    s->trials[trial].verdict = SCHEDULER_GO;
    s->running++;
    if (b)
        b->running++;
    if (s->ops->start)
        s->ops->start(s, trial, choice, x);
    return true;
}

enum scheduler_verdict scheduler_report(struct scheduler *s, uint32_t trial, int64_t step,
                                        double loss)
{
    assert(trial < s->trial_count);
    struct scheduler_trial *t = &s->trials[trial];
    assert(t->state == IS_RUNNING || t->state == IS_ENDING);
    assert(step >= 1);
    if (t->state == IS_ENDING || step <= t->step)
        return t->verdict;
    int64_t before = t->step;
    t->step = step;
    t->loss = isfinite(loss) ? loss : INFINITY;
    t->best = t->loss < t->best ? t->loss : t->best;
    t->reports++;
    t->verdict = s->ops->report(s, trial, before);
    if (t->verdict != SCHEDULER_GO)
        t->state = IS_ENDING;
    return t->verdict;
}

void scheduler_end(struct scheduler *s, uint32_t trial, enum scheduler_fate fate)
{
    assert(trial < s->trial_count);
    struct scheduler_trial *t = &s->trials[trial];
    assert(t->state != IS_GONE);
    if (s->ops->end)
        s->ops->end(s, trial, fate);
    if (t->state == IS_PAUSED) {
        assert(fate != SCHEDULER_ENDED_PAUSED);
        s->paused--;
    } else {
        assert(s->running > 0);
        s->running--;
        if (s->bracket_count > 0)
            s->brackets[t->bracket].running--;
    }
    if (fate == SCHEDULER_ENDED_PAUSED) {
        assert(t->state == IS_ENDING);
        assert(t->verdict == SCHEDULER_PAUSE);
        t->state = IS_PAUSED;
        s->paused++;
    } else {
        t->state = IS_GONE;
    }
}

int64_t scheduler_score_step(const struct scheduler *s, uint32_t trial)
{
    return trial < s->trial_count ? s->trials[trial].score_step : 0;
}

const struct scheduler_opts *scheduler_options(const struct scheduler *s) { return &s->opts; }

bool scheduler_rung(const struct scheduler *s, uint32_t i, struct scheduler_rung *out)
{
    if (!s->ops->cutoff)
        return false;
    for (uint32_t b = 0; b < s->bracket_count; b++) {
        const struct bracket *bracket = &s->brackets[b];
        if (i >= bracket->rung_count) {
            i -= bracket->rung_count;
            continue;
        }
        const struct rung *r = &bracket->rungs[i];
        *out = (struct scheduler_rung){
            .bracket = b, .index = i, .step = r->step, .planned = r->planned,
            .reached = r->count, .passed = r->passed, .cutoff = s->ops->cutoff(s, b, i),
        };
        return true;
    }
    return false;
}
