/* simulate.c - see simulate.h for the contract.
 *
 * Each running trial has one event to come, its next report or its end, in a heap
 * by time.  Events of the same time happen in the order in which they were
 * scheduled.
 */
#include "sweep/scheduler/simulate.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A run that is to come to its next report. */
struct due {
    double time_s;
    uint64_t order;
    uint32_t trial;
};

struct place {
    uint32_t curve;             /* whose curve it follows: its own, or a donor's */
    uint32_t next;              /* point of it */
    int64_t step;               /* of the last report */
};

struct life {
    struct place at;
    struct place scored;        /* PBT: at its last score, where its clones begin */
    double loss;
    struct curve_point point;   /* the report that is due; step 0: the curve's end is */
};

struct simulation {
    struct scheduler *scheduler; /* owned */
    const struct curve_source *source;
    const struct space *space;
    double *x;                  /* owned: a point, for the scheduler only */
    struct life *lives;         /* owned; one for each curve */
    uint32_t started;
    struct due *heap;           /* owned; slots of them */
    uint32_t due_count, slots;
    uint64_t order;
    double now_s;
    void (*on_event)(const struct simulate_event *event, void *arg);
    void *arg;
    struct simulate_result *out;
};

/* ---- the heap ---- */

static bool is_before(const struct due *a, const struct due *b)
{
    return a->time_s != b->time_s ? a->time_s < b->time_s : a->order < b->order;
}

static void heap_push(struct simulation *m, struct due due)
{
    assert(m->due_count < m->slots);
    uint32_t i = m->due_count++;
    for (; i > 0 && is_before(&due, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = due;
}

static struct due heap_pop(struct simulation *m)
{
    assert(m->due_count > 0);
    struct due first = m->heap[0], last = m->heap[--m->due_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child + 1 < m->due_count && is_before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (child >= m->due_count || !is_before(&m->heap[child], &last))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = last;
    return first;
}

/* ---- what happens ---- */

static void tell(struct simulation *m, struct simulate_event event)
{
    event.time_s = m->now_s;
    if (m->on_event)
        m->on_event(&event, m->arg);
}

static bool point_at(const struct simulation *m, uint32_t curve, uint32_t i,
                     struct curve_point *out)
{
    return m->source->point(m->source->arg, curve, i, out);
}

static void schedule(struct simulation *m, uint32_t trial)
{
    struct life *l = &m->lives[trial];
    if (!point_at(m, l->at.curve, l->at.next, &l->point))
        l->point = (struct curve_point){0};
    double seconds = l->point.seconds > 0 ? l->point.seconds : 0;
    heap_push(m, (struct due){m->now_s + seconds, m->order++, trial});
}

static bool start(struct simulation *m, const struct scheduler_choice *choice)
{
    bool is_new = choice->what == SCHEDULER_NEW;
    uint32_t trial = is_new ? m->started : choice->trial;
    for (size_t i = 0; m->space && i < m->space->count; i++)
        m->x[i] = space_is_active(m->space, m->x, i)
                      ? param_quantile(&m->space->params[i], 0.5) : NAN;
    const double *x = choice->x ? choice->x : m->x;
    if (!scheduler_start(m->scheduler, choice, trial, x))
        return false;
    if (is_new) {
        m->started++;
        m->lives[trial] = (struct life){.at.curve = trial, .loss = INFINITY};
    }
    if (choice->clone_of != SCHEDULER_NO_TRIAL) {
        m->lives[trial].at = m->lives[choice->clone_of].scored;
        m->out->clones++;
    }
    tell(m, (struct simulate_event){
        .what = is_new ? SIMULATE_START : SIMULATE_RESUME, .trial = trial,
        .bracket = choice->bracket, .clone_of = choice->clone_of,
    });
    if (!is_new)
        m->out->paused--;
    schedule(m, trial);
    return true;
}

/* Give the free slots work. */
static bool fill(struct simulation *m)
{
    while (m->due_count < m->slots) {
        bool no_new = m->started == m->source->trials;
        struct scheduler_choice choice = scheduler_next(m->scheduler, no_new);
        if (choice.what != SCHEDULER_NEW && choice.what != SCHEDULER_RESUME) {
            assert(m->due_count > 0 || choice.what == SCHEDULER_DONE);
            return true;
        }
        if (!start(m, &choice))
            return false;
    }
    return true;
}

static void end(struct simulation *m, uint32_t trial, enum scheduler_fate fate)
{
    const struct life *l = &m->lives[trial];
    scheduler_end(m->scheduler, trial, fate);
    m->out->complete += fate == SCHEDULER_ENDED_COMPLETE;
    m->out->stopped += fate == SCHEDULER_ENDED_STOPPED;
    m->out->paused += fate == SCHEDULER_ENDED_PAUSED;
    m->out->time_s = m->now_s;
    tell(m, (struct simulate_event){
        .what = SIMULATE_END, .trial = trial, .step = l->at.step, .loss = l->loss, .fate = fate,
        .clone_of = SCHEDULER_NO_TRIAL,
    });
}

static void happen(struct simulation *m, uint32_t trial)
{
    static const enum scheduler_fate fates[] = {
        [SCHEDULER_STOP] = SCHEDULER_ENDED_STOPPED,
        [SCHEDULER_PAUSE] = SCHEDULER_ENDED_PAUSED,
        [SCHEDULER_FINISH] = SCHEDULER_ENDED_COMPLETE,
    };
    struct life *l = &m->lives[trial];
    struct curve_point p = l->point;
    if (p.step == 0) {
        end(m, trial, SCHEDULER_ENDED_COMPLETE);
        return;
    }
    m->out->steps += p.step - l->at.step;
    l->at.step = p.step;
    l->at.next++;
    l->loss = p.loss;
    if (p.loss < m->out->best_loss) {
        m->out->best_loss = p.loss;
        m->out->best_trial = trial;
        m->out->best_curve = l->at.curve;
        m->out->best_step = p.step;
    }
    enum scheduler_verdict verdict = scheduler_report(m->scheduler, trial, p.step, p.loss);
    if (scheduler_score_step(m->scheduler, trial) == p.step)
        l->scored = l->at;
    tell(m, (struct simulate_event){
        .what = SIMULATE_REPORT, .trial = trial, .step = p.step, .loss = p.loss,
        .verdict = verdict, .clone_of = SCHEDULER_NO_TRIAL,
    });
    if (verdict == SCHEDULER_GO)
        schedule(m, trial);
    else
        end(m, trial, fates[verdict]);
}

/* What it would cost and give to run everything, up to @max_iter (0: no end). */
static void measure_full(const struct simulation *m, int64_t max_iter)
{
    struct simulate_result *r = m->out;
    for (uint32_t trial = 0; trial < m->source->trials; trial++) {
        struct curve_point p;
        int64_t last = 0;
        for (uint32_t i = 0; point_at(m, trial, i, &p); i++) {
            if (max_iter > 0 && last >= max_iter)
                break;
            last = p.step;
            r->full_best_loss = p.loss < r->full_best_loss ? p.loss : r->full_best_loss;
        }
        r->full_steps += last;
    }
}

static bool copy_rungs(struct simulation *m)
{
    struct simulate_result *r = m->out;
    struct scheduler_rung rung;
    while (scheduler_rung(m->scheduler, r->rung_count, &rung))
        r->rung_count++;
    r->rungs = calloc(r->rung_count + 1, sizeof *r->rungs);
    for (uint32_t i = 0; r->rungs && i < r->rung_count; i++)
        scheduler_rung(m->scheduler, i, &r->rungs[i]);
    return r->rungs != NULL;
}

static bool run(struct simulation *m)
{
    size_t point_count = m->space && m->space->count > 0 ? m->space->count : 1;
    m->lives = calloc((size_t)m->source->trials + 1, sizeof *m->lives);
    m->heap = calloc(m->slots, sizeof *m->heap);
    m->x = calloc(point_count, sizeof *m->x);
    if (!m->lives || !m->heap || !m->x || !fill(m))
        return false;
    while (m->due_count > 0) {
        struct due due = heap_pop(m);
        m->now_s = due.time_s;
        happen(m, due.trial);
        if (!fill(m))
            return false;
    }
    m->out->trials = m->started;
    return copy_rungs(m);
}

bool simulate_run(const struct scheduler_opts *opts, const struct space *space,
                  const struct curve_source *source, uint32_t slots,
                  void (*on_event)(const struct simulate_event *event, void *arg), void *arg,
                  struct simulate_result *out, char *why, size_t why_size)
{
    *out = (struct simulate_result){
        .best_trial = SCHEDULER_NO_TRIAL, .best_curve = SCHEDULER_NO_TRIAL, .best_loss = INFINITY, .full_best_loss = INFINITY,
    };
    if (slots == 0 || slots > SIMULATE_SLOTS_MAX) {
        snprintf(why, why_size, "parallel is %u: must be from 1 to %u", slots, SIMULATE_SLOTS_MAX);
        return false;
    }
    struct simulation m = {
        .source = source, .space = space, .slots = slots, .on_event = on_event, .arg = arg,
        .out = out, .scheduler = scheduler_new(opts, space, why, why_size),
    };
    if (!m.scheduler)
        return false;
    out->opts = *scheduler_options(m.scheduler);
    bool ok = run(&m);
    if (ok)
        measure_full(&m, opts->kind == SCHEDULER_BANDS ? 0 : scheduler_options(m.scheduler)->max_iter);
    else
        snprintf(why, why_size, "out of memory");
    scheduler_free(&m.scheduler);
    free(m.lives);
    free(m.heap);
    free(m.x);
    return ok;
}

void simulate_fini(struct simulate_result *r)
{
    free(r->rungs);
    *r = (struct simulate_result){0};
}

/* ---- for people ---- */

static void print_rungs(struct text *t, const struct simulate_result *r, double sign)
{
    bool headed = false;
    for (uint32_t i = 0; i < r->rung_count; i++) {
        const struct scheduler_rung *g = &r->rungs[i];
        if (g->reached == 0)
            continue;
        if (!headed)
            text_puts(t, "\nbracket    step  reached  went on   cutoff\n");
        headed = true;
        text_printf(t, "%7u %7" PRId64 " %8u %8u", g->bracket, g->step, g->reached, g->passed);
        if (isfinite(g->cutoff))
            text_printf(t, " %8.4g\n", sign * g->cutoff);
        else
            text_puts(t, "        -\n");
    }
}

void simulate_print(struct text *t, const struct simulate_result *r, bool maximize,
                    const char *best_name, const char *best_curve)
{
    double sign = maximize ? -1 : 1;
    text_printf(t, "trials     %u: %u complete, %u stopped early, %u paused for good\n", r->trials,
                r->complete, r->stopped, r->paused);
    if (r->clones > 0)
        text_printf(t, "clones     %u, each on the curve of the trial that it copied\n", r->clones);
    if (r->best_trial == SCHEDULER_NO_TRIAL) {
        text_puts(t, "best       none: no trial had a value\n");
    } else {
        text_printf(t, "best       %.6g, trial ", sign * r->best_loss);
        if (best_name)
            text_puts(t, best_name);
        else
            text_printf(t, "%u", r->best_trial);
        text_puts(t, best_curve ? " on the curve of " : "");
        text_puts(t, best_curve ? best_curve : "");
        text_printf(t, " at step %" PRId64 "; of all curves %.6g\n", r->best_step,
                    sign * r->full_best_loss);
    }
    text_printf(t, "steps      %" PRId64, r->steps);
    double saved = r->full_steps > 0 ? 100 * (1 - (double)r->steps / (double)r->full_steps) : 0;
    if (r->full_steps > 0)      /* clones do steps again */
        text_printf(t, " of %" PRId64 ", %.1f %% %s", r->full_steps, fabs(saved), saved < 0 ? "more" : "saved");
    text_printf(t, "\ntime       %.6g s\n", r->time_s);
    print_rungs(t, r, sign);
}
