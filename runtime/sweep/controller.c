/* controller.c - see controller.h for the contract.
 *
 * Two things change a trial's state: `move`, which keeps the counts, and
 * nothing else.  Where memory runs out, nothing has changed: each step first
 * takes what it needs and then changes.
 */
#include "sweep/controller.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct controller {
    const struct spec *spec;
    struct search *search;
    struct scheduler *scheduler;
    struct trial **trials;      /* owned, by number */
    uint32_t count, cap;
    uint32_t in_state[TRIAL_STATE_COUNT];
    enum controller_limit limit;
    uint32_t best;              /* UINT32_MAX: to be looked for */
    uint32_t failed_runs;
    uint64_t values;            /* reports that had the metric, of all trials */
    uint64_t reports;           /* that are recorded */
    int64_t steps;
};

static const char *const state_names[TRIAL_STATE_COUNT] = {
    "running", "ending", "waiting", "paused", "complete", "stopped", "failed", "cancelled",
};

const char *trial_state_name(enum trial_state state)
{
    return state < TRIAL_STATE_COUNT ? state_names[state] : "unknown";
}

const char *controller_limit_text(enum controller_limit limit)
{
    static const char *const texts[] = {
        "", "the number of trials is reached", "every point of the space was tried",
        "the time is up", "the target is reached", "the first trials all failed", "it was stopped",
    };
    return texts[limit];
}

struct controller *controller_new(const struct spec *spec, char *why, size_t why_size)
{
    struct controller *c = calloc(1, sizeof *c);
    if (c) {
        c->spec = spec;
        c->best = UINT32_MAX;
        c->search = search_new(&spec->space, &spec->search);
    }
    if (!c || !c->search) {
        snprintf(why, why_size, "out of memory");
        controller_free(&c);
        return NULL;
    }
    c->scheduler = scheduler_new(&spec->scheduler, &spec->space, why, why_size);
    if (!c->scheduler)
        controller_free(&c);
    return c;
}

void controller_free(struct controller **cp)
{
    struct controller *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    search_free(&c->search);
    scheduler_free(&c->scheduler);
    for (uint32_t i = 0; i < c->count; i++) {
        free(c->trials[i]->x);
        free(c->trials[i]->best_x);
        free(c->trials[i]->why);
        free(c->trials[i]);
    }
    free(c->trials);
    free(c);
}

/* ---- trials ------------------------------------------------------------------------ */

static void move(struct controller *c, struct trial *t, enum trial_state to)
{
    c->in_state[t->state]--;
    c->in_state[to]++;
    t->state = to;
}

static struct trial *trial_at(const struct controller *c, uint32_t number)
{
    return number < c->count ? c->trials[number] : NULL;
}

static bool is_alive(const struct trial *t)
{
    return t->state == TRIAL_RUNNING || t->state == TRIAL_ENDING;
}

static uint32_t alive_count(const struct controller *c)
{
    return c->in_state[TRIAL_RUNNING] + c->in_state[TRIAL_ENDING];
}

/* Room for trial number c->count, not counted yet. */
static struct trial *trial_new(struct controller *c)
{
    if (c->count == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 64;
        struct trial **more = realloc(c->trials, cap * sizeof *more);
        if (!more)
            return NULL;
        c->trials = more;
        c->cap = cap;
    }
    struct trial *t = calloc(1, sizeof *t);
    if (t)
        t->x = calloc(c->spec->space.count + 1, sizeof *t->x);
    if (!t || !t->x) {
        free(t);
        return NULL;
    }
    t->number = c->count;
    t->value = t->best = NAN;
    t->clone_of = SCHEDULER_NO_TRIAL;
    return t;
}

static void trial_drop(struct trial *t)
{
    free(t->x);
    free(t);
}

static void trial_adopt(struct controller *c, struct trial *t)
{
    c->trials[c->count++] = t;
    c->in_state[t->state]++;    /* a fresh one is RUNNING */
}

/* Smaller is better, and what is no number is worst. */
static double loss_of(const struct controller *c, double value)
{
    if (!isfinite(value))
        return INFINITY;
    return c->spec->metric.maximize ? -value : value;
}

/* A trial's value is the best that it reported. */
static bool tell_search(struct controller *c, const struct trial *t, enum search_fate fate)
{
    return search_tell(c->search, t->number, t->x, fate, t->step, loss_of(c, t->best));
}

const double *trial_best_point(const struct trial *t) { return t->best_x ? t->best_x : t->x; }

/* A clone stands where its donor stood, perhaps further back than it was itself. */
static void stand_at(struct trial *t, int64_t step)
{
    t->step = step;
    t->value_step = 0;
    t->next_step = step + 1;
}

static void begin_run(struct controller *c, struct trial *t, const struct scheduler_choice *choice, int64_t now_ms)
{
    if (t->runs == 0)
        t->started_ms = now_ms;
    t->run_started_ms = now_ms;
    t->ended_ms = 0;
    t->runs++;
    t->run_step = 0;
    t->next_step = t->step + 1;
    t->until = choice->until;
    t->bracket = choice->bracket;
    t->clone_of = choice->clone_of;
    if (t->clone_of != SCHEDULER_NO_TRIAL)
        stand_at(t, scheduler_score_step(c->scheduler, t->clone_of));
    free(t->why);
    t->why = NULL;
}

/* ---- what next ---------------------------------------------------------------------- */

/* The point of trial @t: the user's, else the search's; of a user's point what
 * was left open is the search's. */
static enum search_result choose_point(struct controller *c, struct trial *t)
{
    const struct spec *spec = c->spec;
    size_t n = spec->space.count;
    enum search_result found = search_suggest(c->search, t->number, t->x);
    if (found == SEARCH_ENOMEM || t->number >= spec->point_count)
        return found;
    const double *point = spec->points + t->number * n;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(point[i]))
            t->x[i] = point[i];
        if (!space_is_active(&spec->space, t->x, i))
            t->x[i] = NAN;
    }
    return SEARCH_OK;
}

static struct controller_order start_new(struct controller *c, const struct scheduler_choice *choice,
                                         int64_t now_ms)
{
    struct controller_order order = {.what = CONTROLLER_ENOMEM};
    struct trial *t = trial_new(c);
    if (!t)
        return order;
    enum search_result found = choose_point(c, t);
    if (found == SEARCH_EXHAUSTED) {
        trial_drop(t);
        controller_limit(c, LIMIT_EXHAUSTED);
        return controller_next(c, now_ms);
    }
    if (found == SEARCH_ENOMEM || !tell_search(c, t, SEARCH_RUNNING) ||
        !scheduler_start(c->scheduler, choice, t->number, t->x)) {
        trial_drop(t);
        return order;
    }
    trial_adopt(c, t);
    begin_run(c, t, choice, now_ms);
    return (struct controller_order){CONTROLLER_RUN, t->number, true};
}

/* @x: a new point, or NULL. */
static bool resume(struct controller *c, struct trial *t, const struct scheduler_choice *choice,
                   const double *x, int64_t now_ms)
{
    size_t size = c->spec->space.count * sizeof *t->x;
    double *copy = x ? malloc(size + sizeof *copy) : NULL;
    if (x && !copy)
        return false;
    if (x)
        memcpy(copy, x, size);
    bool ok = search_tell(c->search, t->number, x ? copy : t->x, SEARCH_RUNNING, t->step,
                          loss_of(c, t->best)) &&
              scheduler_start(c->scheduler, choice, t->number, x ? copy : t->x);
    if (ok && x) {
        /* Its best value was reached with the point that it gives up now. */
        double *old = t->x;
        t->x = copy;
        copy = NULL;
        if (t->best_x || isnan(t->best))
            free(old);
        else
            t->best_x = old;
    }
    free(copy);
    if (!ok)
        return false;
    move(c, t, TRIAL_RUNNING);
    begin_run(c, t, choice, now_ms);
    return true;
}

static struct controller_order run_again(struct controller *c, int64_t now_ms)
{
    uint32_t i = 0;
    while (c->trials[i]->state != TRIAL_WAITING)
        i++;
    struct trial *t = c->trials[i];
    struct scheduler_choice same = {.until = t->until, .bracket = t->bracket, .clone_of = SCHEDULER_NO_TRIAL};
    move(c, t, TRIAL_RUNNING);
    begin_run(c, t, &same, now_ms);
    return (struct controller_order){CONTROLLER_RUN, t->number, false};
}

static bool may_start(const struct controller *c)
{
    return c->limit == LIMIT_NONE || c->limit == LIMIT_COUNT || c->limit == LIMIT_EXHAUSTED;
}

struct controller_order controller_next(struct controller *c, int64_t now_ms)
{
    struct controller_order idle = {.what = alive_count(c) ? CONTROLLER_WAIT : CONTROLLER_DONE};
    if (!may_start(c))
        return idle;
    if (c->in_state[TRIAL_WAITING])
        return run_again(c, now_ms);
    if (c->limit == LIMIT_NONE && c->spec->run_cap && c->count >= c->spec->run_cap)
        c->limit = LIMIT_COUNT;
    struct scheduler_choice choice = scheduler_next(c->scheduler, c->limit != LIMIT_NONE);
    if (choice.what == SCHEDULER_NEW)
        return start_new(c, &choice, now_ms);
    if (choice.what != SCHEDULER_RESUME)
        return idle;
    struct trial *t = trial_at(c, choice.trial);
    assert(t && t->state == TRIAL_PAUSED);
    bool new_point = choice.x != NULL;
    if (!resume(c, t, &choice, choice.x, now_ms))
        return (struct controller_order){.what = CONTROLLER_ENOMEM};
    return (struct controller_order){CONTROLLER_RUN, t->number, new_point};
}

void controller_fresh(struct controller *c, uint32_t trial)
{
    struct trial *t = trial_at(c, trial);
    if (t && t->state == TRIAL_RUNNING && t->run_step == 0)
        t->next_step = 1;
}

void controller_limit(struct controller *c, enum controller_limit limit)
{
    /* What ends everything is not softened by what only ends new trials. */
    if (may_start(c))
        c->limit = limit;
}

enum controller_limit controller_limited(const struct controller *c) { return c->limit; }

/* ---- reports ------------------------------------------------------------------------- */

static void take_value(struct controller *c, struct trial *t, int64_t step, double value)
{
    t->value = value;
    if (isfinite(value) && (isnan(t->best) || spec_is_better(c->spec, value, t->best))) {
        t->best = value;
        t->best_step = step;
        free(t->best_x);
        t->best_x = NULL;
        if (c->best != UINT32_MAX && spec_is_better(c->spec, value, c->trials[c->best]->best))
            c->best = t->number;
    }
    const struct spec *spec = c->spec;
    if (spec->metric.has_target && isfinite(value) && loss_of(c, value) <= loss_of(c, spec->metric.target))
        controller_limit(c, LIMIT_TARGET);
}

/* W&B's bands count the values that were logged, everybody else the steps. */
static enum scheduler_verdict judge(struct controller *c, struct trial *t, int64_t step, double value)
{
    int64_t at = c->spec->scheduler.kind == SCHEDULER_BANDS ? t->values : step;
    if (at < 1 || t->state != TRIAL_RUNNING)
        return SCHEDULER_GO;
    return scheduler_report(c->scheduler, t->number, at, loss_of(c, value));
}

enum controller_answer controller_report(struct controller *c, uint32_t trial, int64_t step,
                                         const double *value, int64_t *step_out)
{
    struct trial *t = trial_at(c, trial);
    *step_out = 0;
    if (!t || !is_alive(t))
        return REPORT_ENDING;
    if (step <= 0)
        step = t->next_step;
    if (step > SCHEDULER_STEP_MAX)      /* sums of steps are to stay numbers */
        return REPORT_BEYOND;
    if (step < t->run_step)
        return REPORT_LOWER;
    bool repeats = step < t->step || (step == t->step && t->run_step < step);
    t->next_step = step + 1;
    t->run_step = step;
    if (repeats)
        return t->state == TRIAL_ENDING ? REPORT_ENDING : REPORT_SEEN;
    *step_out = step;
    c->reports++;
    c->steps += step - t->step;
    t->step = step;
    enum scheduler_verdict verdict = SCHEDULER_GO;
    if (value) {
        bool again = t->values > 0 && t->value_step == step;
        take_value(c, t, step, *value);
        if (!again) {
            t->value_step = step;
            t->values++;
            c->values++;
            verdict = judge(c, t, step, *value);
        }
    }
    if (t->state == TRIAL_ENDING)
        return REPORT_ENDING;
    if (verdict == SCHEDULER_GO)
        return REPORT_GO;
    t->verdict = verdict;
    move(c, t, TRIAL_ENDING);
    return REPORT_STOP;
}

bool controller_tell_end(struct controller *c, uint32_t trial, enum scheduler_verdict verdict)
{
    struct trial *t = trial_at(c, trial);
    if (!t || t->state != TRIAL_RUNNING)
        return false;
    t->verdict = verdict;
    move(c, t, TRIAL_ENDING);
    return true;
}

/* ---- ends ----------------------------------------------------------------------------- */

static enum record_fate fate_of_ending(const struct trial *t)
{
    switch (t->verdict) {
    case SCHEDULER_STOP: return FATE_STOPPED;
    case SCHEDULER_PAUSE: return FATE_PAUSED;
    default: return FATE_COMPLETE;
    }
}

static enum record_fate choose_fate(const struct controller *c, const struct trial *t, int status,
                                    bool interrupted)
{
    if (t->state == TRIAL_ENDING)
        return fate_of_ending(t);
    if (interrupted)
        return FATE_INTERRUPTED;
    bool has_result = !c->spec->metric.name || t->values > 0;
    if (status == 0 && has_result)
        return FATE_COMPLETE;
    return t->failures < c->spec->retries ? FATE_RETRY : FATE_FAILED;
}

struct ending { enum trial_state state; bool is_end; enum scheduler_fate scheduler; enum search_fate search; };
static const struct ending endings[] = {
    [FATE_COMPLETE] = {TRIAL_COMPLETE, true, SCHEDULER_ENDED_COMPLETE, SEARCH_COMPLETE},
    [FATE_STOPPED] = {TRIAL_STOPPED, true, SCHEDULER_ENDED_STOPPED, SEARCH_PRUNED},
    [FATE_PAUSED] = {TRIAL_PAUSED, true, SCHEDULER_ENDED_PAUSED, SEARCH_PRUNED},
    [FATE_FAILED] = {TRIAL_FAILED, true, SCHEDULER_ENDED_FAILED, SEARCH_FAILED},
    [FATE_RETRY] = {TRIAL_WAITING, false, 0, SEARCH_RUNNING},
    [FATE_INTERRUPTED] = {TRIAL_WAITING, false, 0, SEARCH_RUNNING},
    [FATE_CANCELLED] = {TRIAL_CANCELLED, true, SCHEDULER_ENDED_STOPPED, SEARCH_PRUNED},
};

/* What the search is to think of a failed trial's values, by the file's `impute`. */
static bool tell_search_end(struct controller *c, struct trial *t, enum search_fate fate)
{
    enum spec_impute impute = c->spec->metric.impute;
    if (fate != SEARCH_FAILED || impute == IMPUTE_WORST || t->values == 0)
        return tell_search(c, t, fate);
    double value = impute == IMPUTE_BEST ? t->best : t->value;
    return search_tell(c->search, t->number, t->x, SEARCH_COMPLETE, t->step, loss_of(c, value));
}

static void apply_end(struct controller *c, struct trial *t, enum record_fate fate, const char *why,
                      int64_t now_ms)
{
    const struct ending *end = &endings[fate];
    if (fate == FATE_RETRY || fate == FATE_FAILED) {
        t->failures++;
        c->failed_runs++;
    }
    if (is_alive(t))
        t->ran_ms += now_ms > t->run_started_ms ? now_ms - t->run_started_ms : 0;
    t->ended_ms = now_ms;
    free(t->why);
    t->why = why ? strdup(why) : NULL;
    move(c, t, end->state);
    if (end->is_end)
        scheduler_end(c->scheduler, t->number, end->scheduler);
    /* Without memory the search goes on thinking that it runs: it is no less right for that. */
    (void)tell_search_end(c, t, end->search);
    if (c->best == t->number && t->state == TRIAL_FAILED)
        c->best = UINT32_MAX;
    bool none_worked = c->values == 0 && c->in_state[TRIAL_COMPLETE] == 0;
    if (c->spec->storm && c->failed_runs >= c->spec->storm && none_worked)
        controller_limit(c, LIMIT_STORM);
}

enum record_fate controller_end(struct controller *c, uint32_t trial, int status, bool interrupted,
                                const char *why, int64_t now_ms)
{
    struct trial *t = trial_at(c, trial);
    assert(t && is_alive(t));
    enum record_fate fate = choose_fate(c, t, status, interrupted);
    apply_end(c, t, fate, why, now_ms);
    return fate;
}

bool controller_cancel(struct controller *c, uint32_t trial, const char *why, int64_t now_ms)
{
    struct trial *t = trial_at(c, trial);
    if (!t || trial_is_over(t->state))
        return false;
    apply_end(c, t, FATE_CANCELLED, why, now_ms);
    return true;
}

/* ---- the record, again ------------------------------------------------------------------- */

static bool misfit(const struct record_event *e, const char *what, char *why, size_t why_size)
{
    snprintf(why, why_size, "event %llu of the record does not fit: %s of trial %u",
             (unsigned long long)e->seq, what, e->trial);
    return false;
}

static bool play_start(struct controller *c, const struct record_event *e, const double *x)
{
    struct scheduler_choice choice = {.until = e->start.until, .bracket = e->start.bracket,
                                      .clone_of = e->start.clone_of, .trial = e->trial, .x = x};
    if (e->trial == c->count) {
        struct trial *t = trial_new(c);
        choice.what = SCHEDULER_NEW;
        if (!t)
            return false;
        memcpy(t->x, x, c->spec->space.count * sizeof *x);
        if (!tell_search(c, t, SEARCH_RUNNING) || !scheduler_start(c->scheduler, &choice, t->number, t->x)) {
            trial_drop(t);
            return false;
        }
        trial_adopt(c, t);
        begin_run(c, t, &choice, e->time_ms);
        return true;
    }
    struct trial *t = c->trials[e->trial];
    choice.what = SCHEDULER_RESUME;
    if (t->state == TRIAL_PAUSED)
        return resume(c, t, &choice, x, e->time_ms);
    move(c, t, TRIAL_RUNNING);
    begin_run(c, t, &choice, e->time_ms);
    return true;
}

static bool read_point(struct controller *c, const char *params, double **x, char *why, size_t why_size)
{
    *x = calloc(c->spec->space.count + 1, sizeof **x);
    if (!*x) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    return space_read_text(&c->spec->space, params, *x, why, why_size);
}

static bool play_started(struct controller *c, const struct record_event *e, char *why, size_t why_size)
{
    double *x = NULL;
    const struct trial *t = trial_at(c, e->trial);
    bool fits = t ? t->state == TRIAL_PAUSED || t->state == TRIAL_WAITING
                  : e->trial == c->count && e->start.params;
    if (!fits)
        return misfit(e, "a start", why, why_size);
    bool ok = !e->start.params || read_point(c, e->start.params, &x, why, why_size);
    if (ok && !play_start(c, e, x)) {
        snprintf(why, why_size, "out of memory");
        ok = false;
    }
    free(x);
    return ok;
}

bool controller_play(struct controller *c, const struct record_event *e, char *why, size_t why_size)
{
    if (e->kind == RECORD_START)
        return play_started(c, e, why, why_size);
    struct trial *t = trial_at(c, e->trial);
    bool cancels = t && e->kind == RECORD_END && e->end.fate == FATE_CANCELLED && !trial_is_over(t->state);
    if (!cancels && (!t || !is_alive(t)))
        return misfit(e, e->kind == RECORD_REPORT ? "a report" : "an end", why, why_size);
    if (e->kind == RECORD_REPORT && (e->report.step < 1 || e->report.step > SCHEDULER_STEP_MAX))
        return misfit(e, "a step, not from 1 to 2^52,", why, why_size);
    if (e->kind == RECORD_REPORT) {
        int64_t step;
        (void)controller_report(c, e->trial, e->report.step, e->report.has_value ? &e->report.value : NULL,
                                &step);
        return true;
    }
    apply_end(c, t, e->end.fate, e->end.why, e->time_ms);
    return true;
}

/* ---- looking ----------------------------------------------------------------------------- */

uint32_t controller_count(const struct controller *c) { return c->count; }

const struct trial *controller_trial(const struct controller *c, uint32_t number)
{
    return trial_at(c, number);
}

const struct trial *controller_best(struct controller *c)
{
    if (c->best != UINT32_MAX)
        return c->trials[c->best];
    for (uint32_t i = 0; i < c->count; i++) {
        const struct trial *t = c->trials[i];
        bool ranks = isfinite(t->best) && t->state != TRIAL_FAILED;
        if (ranks && (c->best == UINT32_MAX || spec_is_better(c->spec, t->best, c->trials[c->best]->best)))
            c->best = i;
    }
    return c->best == UINT32_MAX ? NULL : c->trials[c->best];
}

uint32_t controller_in_state(const struct controller *c, enum trial_state state)
{
    return c->in_state[state];
}

const struct scheduler *controller_scheduler(const struct controller *c) { return c->scheduler; }

int64_t controller_steps(const struct controller *c) { return c->steps; }

uint64_t controller_reports(const struct controller *c) { return c->reports; }
