/* hyperband.c - HyperBand: brackets of successive halving, from the one that
 * stops hardest to the one that stops nothing.
 *
 * Li et al. 2017, algorithm 1, with R = max_iter: s_max = floor(log_eta R); a
 * bracket s has n = ceil((s_max + 1) * eta^s / (s + 1)) trials, and its rung i
 * takes floor(n * eta^-i) of them to R * eta^(i - s) steps.  R 81, eta 3:
 *
 *     s 4    81 @ 1    27 @ 3     9 @ 9     3 @ 27    1 @ 81
 *     s 3    34 @ 3    11 @ 9     3 @ 27    1 @ 81
 *     s 2    15 @ 9     5 @ 27    1 @ 81
 *     s 1     8 @ 27    2 @ 81
 *     s 0     5 @ 81
 *
 * A rung is decided when all its trials have come or gone.  Until then, free
 * slots start the trials of the next bracket.  Failed trials count as the worst,
 * so that no rung waits for them.
 *
 * Where the sweep may have no more new trials, a rung that has fewer than it was
 * planned for lets floor(m / eta) of its m trials go on, but at least one: what is
 * left of the budget is best spent on bringing one configuration to the end.  From
 * then on the bracket is closed, even if the budget is raised later.
 */
#include "sweep/scheduler/scheduler_internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#define HYPERBAND_MAX_ITER 81
#define HYPERBAND_ETA 3.0
#define ROUNDS_MAX 100
/* Trials of one bracket; R 10^9 and eta 3 need less. */
#define BRACKET_TRIALS_MAX 1e8

/* floor(log_eta R), or -1 with @why: more rungs than we have room for. */
static int find_s_max(const struct scheduler_opts *o, char *why, size_t why_size)
{
    int s = 0;
    for (double at = o->eta; floor_near((double)o->max_iter / at) >= 1; at *= o->eta)
        if (++s >= SCHEDULER_RUNGS_MAX) {
            snprintf(why, why_size, "eta is %g: makes more than %d rungs up to max_iter", o->eta,
                     SCHEDULER_RUNGS_MAX);
            return -1;
        }
    return s;
}

static bool plan_bracket(struct bracket *b, const struct scheduler_opts *o, int s_max, int s,
                         char *why, size_t why_size)
{
    double n = ceil_near((s_max + 1) * pow(o->eta, s) / (s + 1));
    if (n > BRACKET_TRIALS_MAX) {
        snprintf(why, why_size, "max_iter is %lld: makes a bracket of %g trials, at most %g",
                 (long long)o->max_iter, n, BRACKET_TRIALS_MAX);
        return false;
    }
    int64_t steps[SCHEDULER_RUNGS_MAX];
    uint32_t planned[SCHEDULER_RUNGS_MAX];
    uint32_t count = 0;
    for (int i = 0; i <= s; i++) {
        int64_t step = i == s ? o->max_iter
                              : (int64_t)floor_near((double)o->max_iter * pow(o->eta, i - s));
        if (count > 0 && step <= steps[count - 1])
            count--; /* a small eta: of two rungs at one step the stricter stays */
        steps[count] = step;
        planned[count++] = (uint32_t)floor_near(n * pow(o->eta, -i));
    }
    if (!bracket_init(b, steps, count))
        return scheduler_no_memory(why, why_size);
    for (uint32_t i = 0; i < count; i++)
        b->rungs[i].planned = planned[i];
    return true;
}

static bool init(struct scheduler *s, char *why, size_t why_size)
{
    struct scheduler_opts *o = &s->opts;
    o->max_iter = o->max_iter ? o->max_iter : HYPERBAND_MAX_ITER;
    o->eta = o->eta != 0 ? o->eta : HYPERBAND_ETA;
    o->rounds = o->rounds ? o->rounds : 1;
    if (!scheduler_check_eta(o, why, why_size) ||
        !scheduler_check_int("rounds", o->rounds, 1, ROUNDS_MAX, why, why_size))
        return false;
    int s_max = find_s_max(o, why, why_size);
    if (s_max < 0)
        return false;
    uint32_t each = (uint32_t)s_max + 1;
    if (!scheduler_brackets(s, each * o->rounds, why, why_size))
        return false;
    for (uint32_t i = 0; i < s->bracket_count; i++)
        if (!plan_bracket(&s->brackets[i], o, s_max, s_max - (int)(i % each), why, why_size))
            return false;
    return true;
}

/* How many of a decided rung go on. */
static uint32_t places(const struct scheduler *s, const struct bracket *b, uint32_t rung)
{
    const struct rung *r = &b->rungs[rung];
    if (rung + 1 == b->rung_count || r->count == 0)
        return 0;
    uint32_t planned = b->rungs[rung + 1].planned;
    if (r->count >= r->planned)
        return planned;
    uint32_t share = (uint32_t)floor_near(r->count / s->opts.eta);
    share = share > 0 ? share : 1;
    return share < planned ? share : planned;
}

/* Has everybody come to rung 0 who ever will? */
static bool is_full(const struct bracket *b, bool no_new)
{
    return b->closed || no_new || b->started >= b->rungs[0].planned;
}

/* What a decided rung still has to give. */
struct rest {
    uint32_t trial;             /* may be resumed now; SCHEDULER_NO_TRIAL: none */
    bool later;                 /* one that is to go on has not ended yet */
};

static struct rest rest_of(const struct scheduler *s, const struct bracket *b, uint32_t rung)
{
    const struct rung *r = &b->rungs[rung];
    struct rest rest = {.trial = SCHEDULER_NO_TRIAL};
    uint32_t top = places(s, b, rung);
    for (uint32_t i = 0; i < top && isfinite(r->entries[i].loss); i++) {
        if (!r->entries[i].open)
            continue;
        if (s->trials[r->entries[i].trial].state == IS_PAUSED) {
            rest.trial = r->entries[i].trial;
            break;
        }
        rest.later = true;
    }
    return rest;
}

/* The bracket's trial to resume, and the rung that it waits at. */
static uint32_t resumable(const struct scheduler *s, const struct bracket *b, bool no_new,
                          uint32_t *rung)
{
    if (!is_full(b, no_new))
        return SCHEDULER_NO_TRIAL;
    for (uint32_t i = 0; i + 1 < b->rung_count && b->rungs[i].count == b->rungs[i].entered; i++) {
        struct rest rest = rest_of(s, b, i);
        *rung = i;
        if (rest.trial != SCHEDULER_NO_TRIAL || rest.later)
            return rest.trial;
    }
    return SCHEDULER_NO_TRIAL;
}

static struct scheduler_choice next(const struct scheduler *s, bool no_new)
{
    for (uint32_t i = 0; i < s->bracket_count; i++) {
        const struct bracket *b = &s->brackets[i];
        uint32_t rung = 0;
        uint32_t trial = resumable(s, b, no_new, &rung);
        if (trial != SCHEDULER_NO_TRIAL)
            return scheduler_resume(s, trial, b->rungs[rung + 1].step);
        if (!is_full(b, no_new))
            return scheduler_new_trial(i, b->rungs[0].step);
    }
    return scheduler_idle(s);
}

static void start(struct scheduler *s, uint32_t trial, const struct scheduler_choice *choice,
                  const double *x)
{
    promotion_start(s, trial, choice, x);
    if (choice->what == SCHEDULER_RESUME)
        s->brackets[choice->bracket].closed = true;
}

static double cutoff(const struct scheduler *s, uint32_t bracket, uint32_t rung)
{
    const struct bracket *b = &s->brackets[bracket];
    uint32_t top = places(s, b, rung);
    bool decided = top > 0 && (b->closed || b->rungs[rung].count >= b->rungs[rung].planned);
    return decided && top <= b->rungs[rung].count ? b->rungs[rung].entries[top - 1].loss : NAN;
}

const struct scheduler_ops scheduler_hyperband = {
    .init = init, .next = next, .start = start, .report = promotion_report, .end = promotion_end,
    .cutoff = cutoff,
};
