/* replay.c - see replay.h for the contract. */
#include "sweep/scheduler/replay.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PLACES_TOLD_MAX 8       /* steps at which trials were stopped, in one line for people */

/* ---- playing ------------------------------------------------------------------------- */

static void on_event(const struct simulate_event *event, void *arg)
{
    struct replay *r = arg;
    struct replay_trial *t = &r->trials[event->trial];
    switch (event->what) {
    case SIMULATE_START:
        *t = (struct replay_trial){.loss = INFINITY, .best = INFINITY, .started_s = event->time_s};
        break;
    case SIMULATE_RESUME:
        break;
    case SIMULATE_REPORT:
        t->step = event->step;
        t->loss = event->loss;
        t->best = fmin(t->best, event->loss);
        break;
    case SIMULATE_END:
        t->fate = event->fate;
        t->ended_s = event->time_s;
        break;
    }
}

bool replay_run(struct replay *out, const struct scheduler_opts *opts, const struct space *space,
                struct curves *curves, bool maximize, uint32_t slots, char *why, size_t why_size)
{
    struct curve_source source = curves_source(curves);
    *out = (struct replay){
        .curves = curves, .maximize = maximize,
        .trials = calloc((size_t)source.trials + 1, sizeof *out->trials),
    };
    if (!out->trials) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    if (simulate_run(opts, space, &source, slots, on_event, out, &out->result, why, why_size))
        return true;
    replay_fini(out);
    return false;
}

void replay_fini(struct replay *r)
{
    simulate_fini(&r->result);
    free(r->trials);
    *r = (struct replay){0};
}

/* ---- for people ---------------------------------------------------------------------- */

static const char *kind_name(enum scheduler_kind kind)
{
    static const char *const names[] = {
        [SCHEDULER_NONE] = "none", [SCHEDULER_ASHA] = "asha",
        [SCHEDULER_ASHA_PROMOTION] = "asha_promotion", [SCHEDULER_HYPERBAND] = "hyperband",
        [SCHEDULER_MEDIAN] = "median", [SCHEDULER_PBT] = "pbt",
        [SCHEDULER_BANDS] = "early_terminate",
    };
    assert(kind < sizeof names / sizeof *names);
    return names[kind];
}

void replay_print_scheduler(struct text *t, const struct scheduler_opts *o)
{
    bool halves = o->kind != SCHEDULER_NONE && o->kind != SCHEDULER_MEDIAN && o->kind != SCHEDULER_PBT;
    const struct { const char *name; int64_t value; bool shown; } options[] = {
        {"max_iter", o->max_iter, o->max_iter > 0},
        {"min_iter", o->min_iter, halves && o->min_iter > 0},
        {"s", o->brackets, o->kind == SCHEDULER_BANDS && o->brackets > 0},
        {"brackets", o->brackets, o->kind != SCHEDULER_BANDS && o->brackets > 1},
        {"rounds", o->rounds, o->rounds > 1},
        {"grace", o->grace, o->kind == SCHEDULER_MEDIAN},
        {"min_samples", o->min_samples, o->kind == SCHEDULER_MEDIAN},
        {"population", o->population, o->kind == SCHEDULER_PBT},
        {"interval", o->interval, o->kind == SCHEDULER_PBT},
    };
    text_puts(t, kind_name(o->kind));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].shown)
            text_printf(t, " %s=%" PRId64, options[i].name, options[i].value);
    if (halves && o->eta > 0)
        text_printf(t, " eta=%g", o->eta);
}

/* The next step after @after at which a trial was stopped, and how many were; 0: none. */
static int64_t next_place(const struct replay *r, int64_t after, uint32_t *count)
{
    int64_t step = 0;
    *count = 0;
    for (uint32_t i = 0; i < r->result.trials; i++) {
        const struct replay_trial *t = &r->trials[i];
        if (t->fate != SCHEDULER_ENDED_STOPPED || t->step <= after)
            continue;
        if (step == 0 || t->step < step) {
            step = t->step;
            *count = 0;
        }
        *count += t->step == step;
    }
    return step;
}

static void print_places(struct text *t, const struct replay *r)
{
    uint32_t count, told = 0;
    int64_t step = 0;
    for (int i = 0; i < PLACES_TOLD_MAX && (step = next_place(r, step, &count)) > 0; i++) {
        text_printf(t, "%s%u at step %" PRId64, i ? ", " : "stopped    ", count, step);
        told += count;
    }
    if (told < r->result.stopped)
        text_printf(t, ", %u later", r->result.stopped - told);
    if (r->result.stopped > 0)
        text_puts(t, "\n");
}

static const char *best_name(const struct replay *r)
{
    uint32_t best = r->result.best_trial;
    return best == SCHEDULER_NO_TRIAL ? NULL : curves_name(r->curves, best);
}

/* NULL: the best trial was on its own. */
static const char *best_curve(const struct replay *r)
{
    uint32_t curve = r->result.best_curve;
    return curve == r->result.best_trial ? NULL : curves_name(r->curves, curve);
}

void replay_print(struct text *t, const struct replay *r)
{
    text_puts(t, "scheduler  ");
    replay_print_scheduler(t, &r->result.opts);
    text_puts(t, "\n");
    print_places(t, r);
    simulate_print(t, &r->result, r->maximize, best_name(r), best_curve(r));
}

void replay_print_head(struct text *t)
{
    text_puts(t, "        BEST        STEPS   SAVED         TIME  COMPLETE  STOPPED   PAUSED  SCHEDULER\n");
}

/* How much of the steps of all curves was not done. */
static double saved(const struct simulate_result *r)
{
    return r->full_steps > 0 ? 100 * (1 - (double)r->steps / (double)r->full_steps) : 0;
}

void replay_print_row(struct text *t, const struct replay *r)
{
    const struct simulate_result *s = &r->result;
    char best[32] = "-";
    if (s->best_trial != SCHEDULER_NO_TRIAL)
        snprintf(best, sizeof best, "%.6g", r->maximize ? -s->best_loss : s->best_loss);
    text_printf(t, "%12s %12" PRId64 " %5.1f %% %10.6g s %9u %8u %8u  ", best, s->steps, saved(s),
                s->time_s, s->complete, s->stopped, s->paused);
    replay_print_scheduler(t, &s->opts);
    text_puts(t, "\n");
}

/* ---- for programs -------------------------------------------------------------------- */

/* Each line begins with the scheduler, since several may follow each other. */
static void open_line(struct text *t, const struct replay *r)
{
    struct text name = TEXT_NONE;
    replay_print_scheduler(&name, &r->result.opts);
    text_puts(t, "{\"scheduler\": ");
    text_json_string(t, text_get(&name) ? text_get(&name) : "");
    t->failed = t->failed || name.failed;
    text_fini(&name);
}

static void put_loss(struct text *t, const struct replay *r, const char *name, double loss)
{
    text_printf(t, ", \"%s\": ", name);
    text_json_number(t, r->maximize ? -loss : loss);
}

static void put_name(struct text *t, const char *key, const char *name)
{
    text_printf(t, ", \"%s\": ", key);
    text_json_string(t, name);
}

static void print_trial_json(struct text *t, const struct replay *r, uint32_t i)
{
    static const char *const states[] = {
        [SCHEDULER_ENDED_PAUSED] = "paused", [SCHEDULER_ENDED_COMPLETE] = "complete",
        [SCHEDULER_ENDED_STOPPED] = "stopped", [SCHEDULER_ENDED_FAILED] = "failed",
    };
    const struct replay_trial *trial = &r->trials[i];
    open_line(t, r);
    put_name(t, "trial", curves_name(r->curves, i));
    put_name(t, "state", states[trial->fate]);
    text_printf(t, ", \"step\": %" PRId64, trial->step);
    put_loss(t, r, "value", trial->loss);
    put_loss(t, r, "best", trial->best);
    text_printf(t, ", \"started_s\": %.6f, \"ended_s\": %.6f}\n", trial->started_s, trial->ended_s);
}

static void print_rung_json(struct text *t, const struct replay *r, const struct scheduler_rung *g)
{
    open_line(t, r);
    text_printf(t, ", \"bracket\": %u, \"rung\": %" PRId64 ", \"reached\": %u, \"passed\": %u",
                g->bracket, g->step, g->reached, g->passed);
    put_loss(t, r, "cutoff", g->cutoff);
    text_puts(t, "}\n");
}

void replay_print_json(struct text *t, const struct replay *r)
{
    const struct simulate_result *s = &r->result;
    for (uint32_t i = 0; i < s->trials; i++)
        print_trial_json(t, r, i);
    for (uint32_t i = 0; i < s->rung_count; i++)
        if (s->rungs[i].reached > 0)
            print_rung_json(t, r, &s->rungs[i]);
    open_line(t, r);
    text_printf(t, ", \"trials\": %u, \"complete\": %u, \"stopped\": %u, \"paused\": %u, \"clones\": %u",
                s->trials, s->complete, s->stopped, s->paused, s->clones);
    if (best_name(r)) {
        put_name(t, "best_curve", curves_name(r->curves, s->best_curve));
        put_name(t, "best_trial", best_name(r));
        put_loss(t, r, "best", s->best_loss);
        text_printf(t, ", \"best_step\": %" PRId64, s->best_step);
    }
    put_loss(t, r, "best_of_all", s->full_best_loss);
    text_printf(t, ", \"steps\": %" PRId64 ", \"steps_of_all\": %" PRId64 ", \"time_s\": %.6f}\n",
                s->steps, s->full_steps, s->time_s);
}
