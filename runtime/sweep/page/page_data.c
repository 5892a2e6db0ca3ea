/* page_data.c - a sweep as the JSON that its page shows; data.js reads it.
 *
 * Rows are arrays, and times milliseconds since the sweep began, since there may be
 * ten thousand of them. */
#include "sweep/page/page_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sweep/page/importance.h"
#include "sweep/space/rng.h"
#include "sweep/saving.h"

/* Of trials and of runs; a state of a trial whose runner is gone is "unfinished". */
static const char *const states[] = {
    "complete", "stopped", "paused", "failed", "running", "waiting", "cancelled", "unfinished", "retry",
    "interrupted",
};
#define STATES (sizeof states / sizeof *states)

static int state_of(const char *name)
{
    for (size_t i = 0; i < STATES; i++)
        if (strcmp(states[i], name) == 0)
            return (int)i;
    return state_of("unfinished");
}

/* A trial's or run's state is one of a table that the page has: its index there. */
static int shown_state(const struct page *p, enum trial_state state)
{
    if (!p->running && (state == TRIAL_RUNNING || state == TRIAL_ENDING || state == TRIAL_WAITING))
        return state_of("unfinished");
    return state_of(state == TRIAL_ENDING ? "running" : trial_state_name(state));
}

/* ---- names and values ------------------------------------------------------------------ */

static void put_string(struct page *p, const char *key, const char *value)
{
    text_printf(&p->part, "\"%s\": ", key);
    if (value)
        text_json_string(&p->part, value);
    else
        text_puts(&p->part, "null");
    text_puts(&p->part, ",\n");
}

static void put_number(struct page *p, const char *key, double value)
{
    text_printf(&p->part, "\"%s\": ", key);
    text_json_number(&p->part, value);
    text_puts(&p->part, ",\n");
}

static void put_meta(struct page *p, const char *key, const char *meta)
{
    char *value = record_meta(p->s->record, meta);
    put_string(p, key, value);
    free(value);
}

/* At most PAGE_WHY_MAX bytes of @why, cut between characters. */
static void put_cut(struct text *t, const char *why)
{
    char cut[PAGE_WHY_MAX + 4];
    size_t len = 0;
    uint32_t code;
    while (why[len]) {
        size_t size = text_utf8(why + len, &code);
        size = size ? size : 1;
        if (len + size > PAGE_WHY_MAX)
            break;
        len += size;
    }
    memcpy(cut, why, len);
    strcpy(cut + len, why[len] ? "..." : "");
    text_json_string(t, cut);
}

/* What went wrong: the record's words, and what the program printed last.  A trial that ended well
 * was perhaps told to, which is nothing to tell. */
static void put_why(struct page *p, const struct trial *t)
{
    char tail[PAGE_WHY_MAX] = "", words[2 * PAGE_WHY_MAX];
    bool well = t->state == TRIAL_COMPLETE || t->state == TRIAL_STOPPED || t->state == TRIAL_PAUSED;
    if (well || !t->why || !*t->why) {
        text_puts(&p->part, "null");
        return;
    }
    if (t->state == TRIAL_FAILED && p->tails++ < PAGE_TAILS_MAX)
        launch_tail(p->s, t->number, tail, sizeof tail);
    const char *line = strrchr(tail, '\n');
    line = line ? line + 1 : tail;
    snprintf(words, sizeof words, *line ? "%s: %s" : "%s", t->why, line);
    put_cut(&p->part, words);
}

/* ---- parameters ----------------------------------------------------------------------------- */

/* A parameter as an axis. */
struct axis {
    const struct param *param;
    size_t index;               /* in the space */
    bool choice, log;
    double low, high;           /* of a number */
};

static void widen(struct axis *a, const struct page *p)
{
    for (uint32_t i = 0; i < p->trials; i++) {
        double x = controller_trial(p->s->controller, i)->x[a->index];
        if (!isfinite(x))
            continue;
        a->low = x < a->low ? x : a->low;
        a->high = x > a->high ? x : a->high;
    }
}

static struct axis axis_of(const struct page *p, size_t index)
{
    const struct param *param = &p->s->spec->space.params[index];
    enum distribution d = param->distribution;
    struct axis a = {.param = param, .index = index, .choice = d == DIST_CHOICE, .low = INFINITY, .high = -INFINITY};
    if (a.choice)
        return a;
    if (d == DIST_UNIFORM || d == DIST_LOG_UNIFORM || d == DIST_INV_LOG_UNIFORM) {
        a.low = param->low;
        a.high = param->high;
    }
    widen(&a, p);               /* normal ones have no bounds, and points of the user's may lie beyond others' */
    a.log = (d == DIST_LOG_UNIFORM || d == DIST_INV_LOG_UNIFORM || d == DIST_LOG_NORMAL) && a.low > 0;
    if (!(a.low <= a.high))
        a.low = a.high = 0;
    return a;
}

static bool is_constant(const struct param *p) { return p->distribution == DIST_CHOICE && p->count == 1; }

static void put_choices(struct page *p, const struct param *param)
{
    struct text value = TEXT_NONE;
    text_puts(&p->part, ", \"choices\": [");
    for (size_t i = 0; i < param->count; i++) {
        text_clear(&value);
        value_print_python(&value, &param->choices[i]);
        text_puts(&p->part, i ? ", " : "");
        text_json_string(&p->part, text_get(&value) ? text_get(&value) : "");
    }
    text_puts(&p->part, "]");
    text_fini(&value);
}

static void put_params(struct page *p)
{
    const struct space *space = &p->s->spec->space;
    bool first = true;
    text_puts(&p->part, "\"params\": [");
    for (size_t i = 0; i < space->count; i++) {
        if (is_constant(&space->params[i]))
            continue;
        struct axis a = axis_of(p, i);
        text_puts(&p->part, first ? "\n{\"name\": " : ",\n{\"name\": ");
        text_json_string(&p->part, a.param->name);
        if (a.choice) {
            put_choices(p, a.param);
        } else {
            text_printf(&p->part, ", \"log\": %s, \"whole\": %s, \"low\": ", a.log ? "true" : "false",
                        a.param->whole ? "true" : "false");
            text_json_number(&p->part, a.low);
            text_puts(&p->part, ", \"high\": ");
            text_json_number(&p->part, a.high);
        }
        text_puts(&p->part, "}");
        page_put_json(p);
        first = false;
    }
    text_puts(&p->part, "],\n");
}

/* The best configuration whole, as a program would get it, constants included. */
static void put_best(struct page *p)
{
    const struct space *space = &p->s->spec->space;
    const struct trial *best = controller_best(p->s->controller);
    struct text value = TEXT_NONE;
    bool first = true;
    if (!best)
        return;
    const double *x = trial_best_point(best);
    text_printf(&p->part, "\"best\": {\"trial\": %u, \"dir\": ", best->number);
    text_json_string(&p->part, sweep_trial_dir(p->s, best->number));
    text_puts(&p->part, ", \"json\": ");
    space_print_json(&p->part, space, x);
    text_puts(&p->part, ", \"values\": [");
    for (size_t i = 0; i < space->count; i++) {
        struct value v;
        if (!space_is_active(space, x, i) || !param_value(&space->params[i], x[i], &v))
            continue;
        text_clear(&value);
        value_print_python(&value, &v);
        value_fini(&v);
        text_puts(&p->part, first ? "[" : ", [");
        text_json_string(&p->part, space->params[i].name);
        text_puts(&p->part, ", ");
        text_json_string(&p->part, text_get(&value) ? text_get(&value) : "");
        text_puts(&p->part, is_constant(&space->params[i]) ? ", 1]" : ", 0]");
        first = false;
    }
    text_puts(&p->part, "]},\n");
    text_fini(&value);
    page_put_json(p);
}

/* ---- the sweep ---------------------------------------------------------------------------------- */

static void put_sweep(struct page *p)
{
    static const char *const searches[] = {[SEARCH_GRID] = "grid", [SEARCH_RANDOM] = "random",
                                           [SEARCH_SOBOL] = "sobol", [SEARCH_TPE] = "tpe"};
    static const char *const schedulers[] = {"none", "asha", "asha_promotion", "hyperband", "median", "pbt", "bands"};
    const struct spec *spec = p->s->spec;
    const struct controller *c = p->s->controller;
    struct saving saved = saving_of(c);
    int64_t ran_ms = 0;
    for (uint32_t i = 0; i < p->trials; i++)
        ran_ms += controller_trial(c, i)->ran_ms;
    text_puts(&p->part, "{\"schema\": \"covey.report/1\",\n");
    put_meta(p, "name", "name");
    put_string(p, "dir", p->s->dir);
    put_string(p, "description", spec->description);
    put_string(p, "metric", spec->metric.name);
    text_printf(&p->part, "\"maximize\": %s, \"running\": %s,\n", spec->metric.maximize ? "true" : "false",
                p->running ? "true" : "false");
    if (spec->metric.has_target)
        put_number(p, "target", spec->metric.target);
    put_string(p, "search", searches[spec->search.kind]);
    put_string(p, "scheduler", schedulers[spec->scheduler.kind]);
    put_string(p, "limit", controller_limit_text(controller_limited(c)));
    text_printf(&p->part, "\"seed\": \"%llu\",\n", (unsigned long long)spec->seed); /* JavaScript would round it */
    put_number(p, "run_cap", (double)spec->run_cap);
    put_number(p, "began_ms", (double)p->began_ms);
    put_number(p, "ended_ms", (double)p->ended_ms);
    put_number(p, "written_ms", (double)clock_unix_ms());
    put_number(p, "ran_ms", (double)ran_ms);
    put_number(p, "steps", (double)controller_steps(c));
    text_printf(&p->part, "\"saving\": {\"steps\": %lld, \"longest\": %lld, \"trials\": %lld},\n",
                (long long)saved.steps, (long long)saved.longest, (long long)saved.trials);
    put_number(p, "trial_count", p->trials);
    text_puts(&p->part, "\"states\": [");
    for (size_t i = 0; i < STATES; i++)
        text_printf(&p->part, "%s\"%s\"", i ? ", " : "", states[i]);
    text_puts(&p->part, "],\n\"counts\": [");
    uint32_t counts[STATES] = {0};
    for (int i = 0; i < TRIAL_STATE_COUNT; i++)
        counts[shown_state(p, (enum trial_state)i)] += controller_in_state(c, (enum trial_state)i);
    for (size_t i = 0; i < STATES; i++)
        text_printf(&p->part, "%s%u", i ? ", " : "", counts[i]);
    text_puts(&p->part, "],\n");
    page_put_json(p);
}

/* ---- trials, runs, rungs ------------------------------------------------------------------------- */

static void put_trial(struct page *p, const struct trial *t)
{
    const struct space *space = &p->s->spec->space;
    text_printf(&p->part, "[%u,%d,", t->number, shown_state(p, t->state));
    text_json_number(&p->part, t->best);
    text_printf(&p->part, ",%lld,%lld,%u,%u,%lld,%lld,%lld,", (long long)t->best_step, (long long)t->step, t->runs,
                t->bracket, (long long)(t->started_ms - p->began_ms),
                (long long)(t->ended_ms ? t->ended_ms - p->began_ms : -1), (long long)t->ran_ms);
    put_why(p, t);
    for (size_t i = 0; i < space->count; i++) {
        if (is_constant(&space->params[i]))
            continue;
        text_puts(&p->part, ",");
        text_json_number(&p->part, space_is_active(space, t->x, i) ? t->x[i] : NAN);
    }
    text_puts(&p->part, "]");
}

static void put_trials(struct page *p)
{
    text_puts(&p->part, "\"trials\": [");
    for (uint32_t i = 0, n = 0; i < p->trials; i++) {
        if (p->place[i] == PAGE_NOT_SHOWN)
            continue;
        text_puts(&p->part, n++ ? ",\n" : "\n");
        put_trial(p, controller_trial(p->s->controller, i));
        page_put_json(p);
    }
    text_puts(&p->part, "],\n");
}

struct runs { struct page *page; uint64_t skip; bool any; };

static bool on_run(const struct record_run *run, void *arg)
{
    struct runs *runs = arg;
    struct page *p = runs->page;
    if (runs->skip > 0) {
        runs->skip--;
        return true;
    }
    const char *state = run->fate ? run->fate : p->running ? "running" : "unfinished";
    text_printf(&p->part, "%s[%u,%lld,%lld,%d]", runs->any ? ",\n" : "\n", run->trial,
                (long long)(run->started_ms - p->began_ms),
                (long long)((run->ended_ms ? run->ended_ms : p->ended_ms) - p->began_ms), state_of(state));
    runs->any = true;
    page_put_json(p);
    return p->status == COVEY_OK;
}

/* Too many: the last ones. */
static void put_runs(struct page *p)
{
    char why[512] = "";
    uint64_t count = 0;
    for (uint32_t i = 0; i < p->trials; i++)
        count += controller_trial(p->s->controller, i)->runs;
    struct runs runs = {.page = p, .skip = count > PAGE_RUNS_MAX ? count - PAGE_RUNS_MAX : 0};
    put_number(p, "run_count", (double)count);
    text_puts(&p->part, "\"runs\": [");
    if (record_runs(p->s->record, on_run, &runs, why, sizeof why) != COVEY_OK)
        page_fail(p, COVEY_ESYSTEM, "%s", why);
    text_puts(&p->part, "],\n");
}

static void put_rungs(struct page *p)
{
    struct scheduler_rung r;
    text_puts(&p->part, "\"rungs\": [");
    for (uint32_t i = 0; scheduler_rung(controller_scheduler(p->s->controller), i, &r); i++) {
        text_printf(&p->part, "%s[%u,%u,%lld,%u,%u,%u,", i ? ",\n" : "\n", r.bracket, r.index, (long long)r.step,
                    r.planned, r.reached, r.passed);
        text_json_number(&p->part, p->s->spec->metric.maximize ? -r.cutoff : r.cutoff);
        text_puts(&p->part, "]");
    }
    text_puts(&p->part, "],\n");
    page_put_json(p);
}

/* ---- importance ------------------------------------------------------------------------------------ */

/* The trials that count, as importance.h wants them. */
struct samples {
    struct axis *axes;          /* owned; of in.params parameters */
    struct importance_param *param; /* owned */
    uint8_t *bins;              /* owned */
    double *values;             /* owned */
    struct rng rng;
    struct importance_input in;
};

static void samples_fini(struct samples *x)
{
    free(x->axes);
    free(x->param);
    free(x->bins);
    free(x->values);
}

/* An inactive parameter may have any value: one by chance, so that it explains nothing there. */
static uint8_t bin_of(struct samples *x, uint32_t k, double at)
{
    const struct axis *a = &x->axes[k];
    uint8_t bins = x->param[k].bins;
    if (isnan(at))
        return (uint8_t)rng_below(&x->rng, bins);
    if (a->choice)
        return (uint8_t)((uint64_t)at * bins / a->param->count);
    return a->log ? importance_bin(log(a->low), log(a->high), log(at), bins)
                  : importance_bin(a->low, a->high, at, bins);
}

#define NUMBER_BINS 32

static void add_axis(struct samples *x, const struct page *p, size_t index)
{
    struct axis a = axis_of(p, index);
    size_t values = a.choice ? a.param->count : a.param->whole ? (size_t)(a.high - a.low) + 1 : NUMBER_BINS;
    size_t most = a.choice ? IMPORTANCE_BINS_MAX : NUMBER_BINS;
    x->axes[x->in.params] = a;
    x->param[x->in.params++] = (struct importance_param){
        .bins = (uint8_t)(values < most && !a.log ? values : most),
        .ordered = !a.choice || values > most,
    };
}

static bool samples_take(struct samples *x, const struct page *p)
{
    const struct space *space = &p->s->spec->space;
    *x = (struct samples){.rng = rng_stream(1, RNG_SEARCH, 1)};
    x->axes = calloc(space->count + 1, sizeof *x->axes);
    x->param = calloc(space->count + 1, sizeof *x->param);
    x->values = calloc(p->shown + 1, sizeof *x->values);
    if (!x->axes || !x->param || !x->values)
        return false;
    for (size_t i = 0; i < space->count && x->in.params < IMPORTANCE_PARAMS_MAX; i++)
        if (!is_constant(&space->params[i]))
            add_axis(x, p, i);
    x->bins = calloc((size_t)p->shown * x->in.params + 1, 1);
    if (!x->bins)
        return false;
    for (uint32_t i = 0; i < p->trials; i++) {
        const struct trial *t = controller_trial(p->s->controller, i);
        if (p->place[i] == PAGE_NOT_SHOWN || !isfinite(t->best) || t->state == TRIAL_FAILED)
            continue;
        x->values[x->in.samples] = t->best;
        for (uint32_t k = 0; k < x->in.params; k++) {
            double at = space_is_active(space, t->x, x->axes[k].index) ? t->x[x->axes[k].index] : NAN;
            x->bins[(size_t)x->in.samples * x->in.params + k] = bin_of(x, k, at);
        }
        x->in.samples++;
    }
    x->in.param = x->param;
    x->in.bins = x->bins;
    x->in.values = x->values;
    return true;
}

static void put_shares(struct page *p, const struct samples *x, const struct importance *found)
{
    text_printf(&p->part, "\"importance\": {\"samples\": %u, \"samples_min\": %d, \"fit\": ", x->in.samples,
                IMPORTANCE_SAMPLES_MIN);
    page_short_number(&p->part, found->fit);
    text_puts(&p->part, ", \"floor\": ");
    page_short_number(&p->part, found->floor);
    text_puts(&p->part, ", \"params\": [");
    for (uint32_t k = 0; k < x->in.params; k++) {
        text_printf(&p->part, "%s{\"share\": ", k ? ",\n" : "\n");
        page_short_number(&p->part, found->share[k]);
        text_puts(&p->part, ", \"marginal\": [");
        for (uint8_t bin = 0; bin < x->param[k].bins; bin++) {
            text_puts(&p->part, bin ? "," : "");
            page_short_number(&p->part, found->marginal[k * IMPORTANCE_BINS_MAX + bin]);
        }
        text_puts(&p->part, "]}");
    }
    text_puts(&p->part, "]},\n");
    page_put_json(p);
}

static void put_importance(struct page *p)
{
    struct samples x;
    struct importance found = {0};
    if (samples_take(&x, p) && importance_compute(&found, &x.in))
        put_shares(p, &x, &found);
    else
        page_fail(p, COVEY_ENOMEM, "out of memory");
    importance_fini(&found);
    samples_fini(&x);
}

void page_put_data(struct page *p)
{
    put_sweep(p);
    put_best(p);
    put_params(p);
    put_trials(p);
    put_runs(p);
    put_rungs(p);
    put_importance(p);
    page_put_curves(p);
    text_puts(&p->part, "}");
    page_put_json(p);
}
