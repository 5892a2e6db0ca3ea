/* median.c - the median stopping rule.
 *
 * After Ray Tune's median_stopping_rule.py.  From step `grace` on, a trial whose
 * best loss so far is worse than the median of what the others had by this step
 * stops; what another had is the mean of its losses over [grace, step].  Only
 * those others count that have reported this step or a later one, and fewer than
 * min_samples judge nobody.
 *
 * To ask every other trial at each report would cost 10,000 look-ups.  So there
 * is one column for each step that anybody reported, in which the means by that
 * step stand sorted; a trial enters the columns that it passes.  The median is
 * then the middle of a column:
 *
 *     step          60      61      62       63
 *                  0.31    0.30    0.28     0.27      a report at 63 of a trial that
 *                  0.44    0.41    0.40               was at 61 enters 62, with its
 *                  0.52    0.50                       mean by 61, and 63
 *
 * There are at most MEDIAN_STEPS_MAX columns.  Past that every second one is
 * dropped and new ones keep twice the distance; a step without a column is
 * judged by the one below it.  So it is where memory for a new column is not
 * to be had.
 */
#include "sweep/scheduler/scheduler_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEDIAN_GRACE 60
#define MEDIAN_MIN_SAMPLES 3
/* With 10,000 trials of so many steps, the columns take 160 MB. */
#define MEDIAN_STEPS_MAX 1024u

struct median {
    int64_t spacing;            /* least distance of a new column to the one below */
    uint32_t count;
    struct rung columns[MEDIAN_STEPS_MAX]; /* by rising step; an entry's loss is a mean */
};

static bool init(struct scheduler *s, char *why, size_t why_size)
{
    struct scheduler_opts *o = &s->opts;
    o->grace = o->grace ? o->grace : MEDIAN_GRACE;
    o->min_samples = o->min_samples ? o->min_samples : MEDIAN_MIN_SAMPLES;
    if (o->max_iter != 0 && !scheduler_check_int("grace", o->grace, 1, o->max_iter, why, why_size))
        return false;
    s->median = calloc(1, sizeof *s->median);
    if (!s->median)
        return scheduler_no_memory(why, why_size);
    s->median->spacing = 1;
    return true;
}

static void fini(struct scheduler *s)
{
    for (uint32_t i = 0; s->median && i < s->median->count; i++)
        rung_fini(&s->median->columns[i]);
    free(s->median);
}

static struct scheduler_choice next(const struct scheduler *s, bool no_new)
{
    return no_new ? scheduler_idle(s) : scheduler_new_trial(0, s->opts.grace);
}

static bool reserve(struct scheduler *s)
{
    for (uint32_t i = 0; i < s->median->count; i++)
        if (!rung_reserve(&s->median->columns[i], s->running + 1))
            return false;
    return true;
}

/* The first column whose step is above @step. */
static uint32_t column_after(const struct median *m, int64_t step)
{
    uint32_t low = 0, high = m->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (m->columns[mid].step <= step)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void thin_out(struct median *m)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (i % 2 == 0)
            m->columns[kept++] = m->columns[i];
        else
            rung_fini(&m->columns[i]);
    }
    m->count = kept;
    m->spacing *= 2;
}

/* Who stands in a new column at @step?  Nobody has reported between the column
 * below and it, so those who stand there and have come further, with the same
 * means and in the same order. */
static bool make_column(struct scheduler *s, uint32_t at, int64_t step, uint32_t reporter)
{
    struct median *m = s->median;
    const struct rung *below = at > 0 ? &m->columns[at - 1] : NULL;
    struct rung column = {.step = step};
    if (!rung_reserve(&column, s->running + (below ? below->count : 0)))
        return false;
    for (uint32_t i = 0; below && i < below->count; i++) {
        const struct rung_entry *e = &below->entries[i];
        if (e->trial != reporter && s->trials[e->trial].step >= step)
            column.entries[column.count++] = *e;
    }
    memmove(m->columns + at + 1, m->columns + at, (m->count - at) * sizeof *m->columns);
    m->columns[at] = column;
    m->count++;
    return true;
}

/* The column that judges @step, made if there may be one; NULL: none is there. */
static struct rung *column_for(struct scheduler *s, int64_t step, uint32_t reporter)
{
    struct median *m = s->median;
    if (m->count == MEDIAN_STEPS_MAX)
        thin_out(m);
    uint32_t at = column_after(m, step);
    struct rung *below = at > 0 ? &m->columns[at - 1] : NULL;
    bool wanted = !below || step - below->step >= m->spacing;
    if (wanted && make_column(s, at, step, reporter))
        return &m->columns[at];
    return below;
}

/* The median of @r's means without that of @trial, which need not be there; NaN:
 * fewer than @least. */
static double median_of_others(const struct rung *r, uint32_t trial, bool is_there, uint32_t least)
{
    uint32_t own = r->count;
    for (uint32_t i = 0; is_there && i < r->count; i++)
        if (r->entries[i].trial == trial)
            own = i;
    uint32_t n = own < r->count ? r->count - 1 : r->count;
    if (n < least || n == 0)
        return NAN;
    uint32_t low = (n - 1) / 2, high = n / 2;
    low += low >= own;
    high += high >= own;
    return (r->entries[low].loss + r->entries[high].loss) / 2;
}

/* The columns that were passed without a report. */
static void enter_passed(struct scheduler *s, uint32_t trial, int64_t before, double mean)
{
    struct median *m = s->median;
    const struct scheduler_trial *t = &s->trials[trial];
    for (uint32_t i = column_after(m, before); i < m->count && m->columns[i].step < t->step; i++)
        rung_insert(&m->columns[i], mean, trial, false);
}

static enum scheduler_verdict report(struct scheduler *s, uint32_t trial, int64_t before)
{
    struct scheduler_trial *t = &s->trials[trial];
    bool had_all = s->opts.max_iter != 0 && t->step >= s->opts.max_iter;
    if (t->step < s->opts.grace)
        return had_all ? SCHEDULER_FINISH : SCHEDULER_GO;
    if (t->summed > 0)
        enter_passed(s, trial, before, t->sum / t->summed);
    t->sum += t->loss;
    t->summed++;
    struct rung *column = column_for(s, t->step, trial);
    if (!column)
        return had_all ? SCHEDULER_FINISH : SCHEDULER_GO;
    bool exact = column->step == t->step;
    double median = median_of_others(column, trial, !exact, s->opts.min_samples);
    if (exact)
        rung_insert(column, t->sum / t->summed, trial, false);
    if (had_all)
        return SCHEDULER_FINISH;
    return t->best > median ? SCHEDULER_STOP : SCHEDULER_GO; /* GO for NaN */
}

const struct scheduler_ops scheduler_median = {
    .init = init, .fini = fini, .next = next, .reserve = reserve, .report = report,
};
