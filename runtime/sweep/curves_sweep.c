/* curves_sweep.c - the curves of a sweep that has run; see curves.h.
 *
 * The record is played in order.  A report belongs to the run that its trial is
 * in; one that does not rise above the trial's last step is passed over, since a
 * trial that went on from an older checkpoint says the same again.
 */
#include "sweep/scheduler/curves.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey.h"
#include "sweep/record/metrics.h"
#include "sweep/record/record.h"

struct track {                  /* one trial, so far */
    int64_t time_ms;            /* of what it did last */
    int64_t step;
    bool cut;                   /* it was stopped or paused and has not gone on */
};

struct playing {
    struct curves *curves;      /* owned until they are handed out */
    const char *metric;
    bool maximize, no_memory, damaged;
    struct track *tracks;       /* owned; by number */
    uint32_t count;
    uint64_t points;
};

struct wanted {
    const char *name;
    double value;
    bool found;
};

static void on_metric(const char *name, size_t len, double value, void *arg)
{
    struct wanted *w = arg;
    if (strlen(w->name) == len && memcmp(w->name, name, len) == 0) {
        w->value = value;
        w->found = true;
    }
}

static bool grow(struct playing *p, uint32_t trial)
{
    if (trial < p->count)
        return true;
    uint32_t count = trial + trial / 2 + 64;
    struct track *tracks = realloc(p->tracks, count * sizeof *tracks);
    if (!tracks)
        return false;
    memset(tracks + p->count, 0, (count - p->count) * sizeof *tracks);
    p->tracks = tracks;
    p->count = count;
    return true;
}

static bool take_report(struct playing *p, const struct record_event *event)
{
    struct track *t = &p->tracks[event->trial];
    struct wanted w = {.name = p->metric};
    char name[16];
    metrics_each(event->report.metrics, on_metric, &w);
    if (!w.found || event->report.step <= t->step)
        return true;
    snprintf(name, sizeof name, "%" PRIu32, event->trial);
    double seconds = fmax(0, (double)(event->time_ms - t->time_ms) / 1000);
    struct curve_point point = {
        .step = event->report.step, .seconds = seconds,
        .loss = !isfinite(w.value) ? INFINITY : p->maximize ? -w.value : w.value,
    };
    t->step = event->report.step;
    t->time_ms = event->time_ms;
    p->points++;
    return curves_add(p->curves, name, point);
}

static bool on_event(const struct record_event *event, void *arg)
{
    struct playing *p = arg;
    p->damaged = event->kind == RECORD_REPORT && event->report.step > SCHEDULER_STEP_MAX;
    if (p->damaged)
        return false;
    bool ok = grow(p, event->trial);
    if (ok && event->kind == RECORD_REPORT)
        ok = take_report(p, event);
    else if (ok && event->kind == RECORD_START)
        p->tracks[event->trial].time_ms = event->time_ms;
    if (ok && event->kind != RECORD_REPORT)
        p->tracks[event->trial].cut = event->kind == RECORD_END &&
                                      (event->end.fate == FATE_STOPPED || event->end.fate == FATE_PAUSED);
    p->no_memory = !ok;
    return ok;
}

static bool play(struct playing *p, const char *dir, char *why, size_t why_size)
{
    struct record *record;
    if (record_look(&record, dir, why, why_size) != COVEY_OK)
        return false;
    bool ok = record_play(record, on_event, p, why, why_size) == COVEY_OK;
    record_finish(&record);
    if (ok && p->no_memory)
        snprintf(why, why_size, "%s: out of memory", dir);
    else if (ok && p->damaged)
        snprintf(why, why_size, "%s: the record is damaged: a step is beyond %" PRId64, dir, SCHEDULER_STEP_MAX);
    else if (ok && p->points == 0)
        snprintf(why, why_size, "%s: no report of this sweep has a \"%s\"; the file's metric is to be one "
                 "that its trials reported", dir, p->metric);
    return ok && !p->no_memory && !p->damaged && p->points > 0;
}

struct curves *curves_of_sweep(const char *dir, const char *metric, bool maximize, uint32_t *cut,
                               char *why, size_t why_size)
{
    struct playing p = {.curves = curves_new(), .metric = metric, .maximize = maximize};
    *cut = 0;
    if (!p.curves)
        snprintf(why, why_size, "%s: out of memory", dir);
    else if (!play(&p, dir, why, why_size))
        curves_free(&p.curves);
    for (uint32_t i = 0; i < p.count; i++)
        *cut += p.tracks[i].cut;
    free(p.tracks);
    return p.curves;
}
