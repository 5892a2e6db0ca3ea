/* sweep_view.h - a sweep as lines of text that fit a terminal.
 *
 * From top to bottom: the best so far with its parameters, counts, throughput and
 * time left, running trials, rungs, the line for keys.  Where there is little room,
 * each part gets what it needs least, in the order of view_format()'s table; the rest
 * goes to those who want more.
 *
 * Pure: no terminal, no clock.
 */
#ifndef COVEY_TOOLS_SWEEP_VIEW_H
#define COVEY_TOOLS_SWEEP_VIEW_H

#include "sweep/scheduler/scheduler.h"
#include "sweep/space/text.h"

#define VIEW_RUNNING_MAX 64u    /* running trials that are looked at; the others are counted */
#define VIEW_RUNGS_MAX 64u
#define VIEW_RATE_SECONDS 60    /* throughput is that of the last minute */

struct view_trial {
    uint32_t number;
    int64_t step, until;        /* until 0: no such step */
    double value;               /* the last one; NaN: none */
    int64_t elapsed_ms;         /* of this run */
    bool ending;                /* told to end, or cancelled */
};

/* A sweep at one instant.  Texts and arrays are borrowed. */
struct view {
    const char *metric;         /* NULL: the file has none */
    bool has_best;
    double best;
    int64_t best_step;
    uint32_t best_trial;
    const char *best_params;    /* "lr = 0.1\nwidth = 64\n" */
    uint32_t running, waiting, paused, complete, stopped, failed, cancelled;
    uint64_t cap;               /* trials in all; 0: open */
    struct view_trial trials[VIEW_RUNNING_MAX];
    uint32_t trial_count;
    struct scheduler_rung rungs[VIEW_RUNGS_MAX];
    uint32_t rung_count;
    bool many_brackets;
    double trials_per_min, reports_per_min;     /* NaN: not known yet */
    int64_t elapsed_ms, left_ms;                /* left < 0: not known */
    const char *notice;         /* "no new trials (p goes on)"; NULL: nothing */
    const char *keys;           /* the line of keys, or what is being typed; NULL: none */
};

/* Lines of at most @columns characters, at most @rows of them, each with its newline.
 * What is no printable character becomes '?'. */
void view_format(const struct view *v, unsigned columns, unsigned rows, struct text *out);

/* "12 s", "5 min", "3.2 h"; "-" for less than none. */
void view_duration(char *out, size_t size, int64_t ms);

/* How many events there were, once a second. */
struct view_rate {
    struct { int64_t at_ms; uint64_t trials, reports; } notes[VIEW_RATE_SECONDS + 1];
    uint32_t first, count;
};
void view_rate_note(struct view_rate *r, int64_t now_ms, uint64_t trials, uint64_t reports);
/* Into v->trials_per_min and v->reports_per_min. */
void view_rate_read(const struct view_rate *r, int64_t now_ms, uint64_t trials, uint64_t reports, struct view *v);

#endif
