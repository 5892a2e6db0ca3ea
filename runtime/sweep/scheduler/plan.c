/* plan.c - see plan.h for the contract. */
#include "sweep/scheduler/plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sweep/space/rng.h"
#include "sweep/scheduler/rung.h"
#include "sweep/scheduler/simulate.h"

/* Reports that a simulation may have, so that a preview takes about a second. */
#define PLAN_REPORTS_MAX 500000
/* Where only rungs matter, reports between them would change nothing. */
#define PLAN_POINTS 200

struct made_up {
    uint64_t seed;
    int64_t *steps;             /* owned: the steps at which every curve reports */
    uint32_t count;
};

/* A power law towards a limit, with some noise: what losses look like. */
static bool made_up_point(void *arg, uint32_t trial, uint32_t i, struct curve_point *out)
{
    const struct made_up *m = arg;
    if (i >= m->count)
        return false;
    struct rng shape = rng_stream(m->seed, RNG_SEARCH, trial);
    double limit = rng_f64(&shape);
    double height = 0.5 + rng_f64(&shape);
    double speed = 0.2 + rng_f64(&shape);
    struct rng noise = rng_stream(m->seed, RNG_SOBOL, (uint64_t)trial << 32 | i);
    int64_t before = i > 0 ? m->steps[i - 1] : 0;
    *out = (struct curve_point){
        .step = m->steps[i],
        .loss = limit + height * pow((double)m->steps[i], -speed) + 0.02 * rng_f64(&noise),
        .seconds = (double)(m->steps[i] - before),
    };
    return true;
}

static int by_step(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Steps that are worth a report: the rungs', and others evenly up to the last.
 * Bands count reports, so there each step is one. */
static bool choose_steps(struct made_up *m, const struct plan *p, int64_t last, bool all)
{
    int64_t points = all || last < PLAN_POINTS ? last : PLAN_POINTS;
    int64_t *steps = calloc((size_t)points + p->rung_count, sizeof *steps);
    if (!steps)
        return false;
    uint32_t count = 0;
    for (int64_t i = 1; i <= points; i++)
        steps[count++] = (int64_t)((double)last * (double)i / (double)points);
    for (uint32_t i = 0; i < p->rung_count; i++)
        if (p->rungs[i].step < last)
            steps[count++] = p->rungs[i].step;
    qsort(steps, count, sizeof *steps, by_step);
    for (uint32_t i = 0; i < count; i++)
        if (m->count == 0 || steps[i] != steps[m->count - 1])
            steps[m->count++] = steps[i];
    m->steps = steps;
    return true;
}

/* ---- the rungs, and the trials of a scheduler that knows their number ---- */

static bool list_rungs(struct plan *p, const struct scheduler *s, uint32_t trials)
{
    struct scheduler_rung r;
    uint32_t count = 0, own = 0;
    for (; scheduler_rung(s, count, &r); count++)
        own += r.index == 0 ? r.planned : 0;
    p->exact = own > 0;
    p->trials = p->exact && (trials == 0 || own < trials) ? own : trials;
    p->rungs = calloc(count + 1, sizeof *p->rungs);
    if (!p->rungs)
        return false;
    p->rung_count = count;
    for (uint32_t i = 0; i < count; i++) {
        scheduler_rung(s, i, &r);
        p->rungs[i] = (struct plan_rung){r.bracket, r.step, r.planned};
    }
    return true;
}

/* HyperBand with fewer trials than it would have: its brackets in their order, a
 * last one that is short, and none behind. */
static void shorten(struct plan *p, double eta)
{
    double left = p->trials, here = 0, planned_before = 0;
    for (uint32_t i = 0; i < p->rung_count; i++) {
        struct plan_rung *r = &p->rungs[i];
        double planned = r->trials;
        if (i == 0 || p->rungs[i - 1].bracket != r->bracket) {
            here = fmin(left, planned);
            left -= here;
        } else if (here >= planned_before) {
            here = planned;
        } else if (here > 0) {
            here = fmin(planned, fmax(1, floor_near(here / eta)));
        }
        planned_before = planned;
        r->trials = here;
    }
}

static int64_t hyperband_steps(const struct plan *p)
{
    double sum = 0;
    for (uint32_t i = 0; i < p->rung_count; i++) {
        bool first = i == 0 || p->rungs[i - 1].bracket != p->rungs[i].bracket;
        int64_t from = first ? 0 : p->rungs[i - 1].step;
        sum += p->rungs[i].trials * (double)(p->rungs[i].step - from);
    }
    return sum < 9e18 ? (int64_t)sum : INT64_MAX;
}

/* ---- the likely, by simulation ---- */

static bool play(struct plan *p, const struct scheduler_opts *o, const struct space *space,
                 uint32_t slots, char *why, size_t why_size)
{
    struct made_up m = {.seed = o->seed};
    if (!choose_steps(&m, p, o->max_iter, o->kind == SCHEDULER_BANDS)) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    uint32_t most = m.count < PLAN_REPORTS_MAX ? PLAN_REPORTS_MAX / m.count : 1;
    struct curve_source source = {
        .trials = p->trials < most ? p->trials : most, .point = made_up_point, .arg = &m,
    };
    struct simulate_result r;
    bool ok = simulate_run(o, space, &source, slots, NULL, NULL, &r, why, why_size);
    if (ok) {
        double scale = (double)p->trials / source.trials;
        p->likely_steps = (int64_t)((double)r.steps * scale);
        for (uint32_t i = 0; i < p->rung_count; i++)
            p->rungs[i].trials = r.rungs[i].reached * scale;
    }
    simulate_fini(&r);
    free(m.steps);
    return ok;
}

/* Each step of a trial is a report of bands, and cannot be left out. */
static bool is_playable(const struct scheduler_opts *o)
{
    return o->max_iter > 0 &&
           (o->kind != SCHEDULER_BANDS || o->max_iter <= PLAN_REPORTS_MAX / 10);
}

static bool estimate(struct plan *p, const struct scheduler_opts *o, const struct space *space,
                     uint32_t slots, char *why, size_t why_size)
{
    if (p->exact) {
        shorten(p, o->eta);
        p->most_steps = p->likely_steps = hyperband_steps(p);
        return true;
    }
    if (o->kind == SCHEDULER_PBT && (p->trials == 0 || p->trials > o->population))
        p->trials = o->population;
    if (p->trials == 0 || o->max_iter == 0)
        return true;
    double most = (double)p->trials * (double)o->max_iter;
    p->most_steps = most < 9e18 ? (int64_t)most : INT64_MAX;
    return !is_playable(o) || play(p, o, space, slots, why, why_size);
}

bool plan_make(struct plan *out, const struct scheduler_opts *opts, const struct space *space,
               uint32_t trials, uint32_t slots, char *why, size_t why_size)
{
    *out = (struct plan){0};
    struct scheduler *s = scheduler_new(opts, space, why, why_size);
    if (!s)
        return false;
    bool ok = list_rungs(out, s, trials);
    if (!ok)
        snprintf(why, why_size, "out of memory");
    struct scheduler_opts full = *scheduler_options(s);
    scheduler_free(&s);
    ok = ok && estimate(out, &full, space, slots, why, why_size);
    if (!ok)
        plan_fini(out);
    return ok;
}

void plan_fini(struct plan *p)
{
    free(p->rungs);
    *p = (struct plan){0};
}

/* ---- for people ---- */

#define OPEN_RUNGS_TOLD 6       /* of which nobody knows how many come there */

static void print_compute(struct text *t, const struct plan *p)
{
    if (p->most_steps == 0) {
        text_puts(t, "compute    not known: trials end of themselves\n");
        return;
    }
    if (p->likely_steps > p->most_steps) {      /* PBT: a copy does steps again that it had done */
        text_printf(t, "compute    about %" PRId64 " steps\n", p->likely_steps);
        return;
    }
    text_printf(t, "compute    at most %" PRId64 " steps", p->most_steps);
    if (p->likely_steps > 0)
        text_printf(t, ", likely %s%" PRId64 " (%.0f %%)", p->exact ? "" : "about ",
                    p->likely_steps, 100 * (double)p->likely_steps / (double)p->most_steps);
    text_puts(t, "\n");
}

void plan_print(struct text *t, const struct plan *p)
{
    if (p->trials > 0)
        text_printf(t, "trials     %u\n", p->trials);
    else
        text_puts(t, "trials     without end: to run it give --count N, or the file a run_cap\n");
    uint32_t told = 0;
    for (uint32_t i = 0; i < p->rung_count; i++) {
        const struct plan_rung *r = &p->rungs[i];
        bool first = i == 0 || p->rungs[i - 1].bracket != r->bracket;
        if (first)
            text_printf(t, "%sbracket %-2u", i == 0 ? "" : "\n", r->bracket);
        told = first ? 1 : told + 1;
        if (r->trials > 0)
            text_printf(t, " %s%.0f @ %" PRId64, p->exact ? " " : " ~", r->trials, r->step);
        else if (told <= OPEN_RUNGS_TOLD)
            text_printf(t, "  - @ %" PRId64, r->step);
        else if (told == OPEN_RUNGS_TOLD + 1)
            text_puts(t, "  ...");
    }
    text_puts(t, p->rung_count > 0 ? "\n" : "");
    print_compute(t, p);
}
