/* page_curves.c - learning curves for the page, thinned as they are read.
 *
 * Each trial keeps at most `limit` points.  When it has them, every second goes and from
 * then on only every second of those to come is kept, and so on.  So what is kept is
 * evenly spaced whatever the number of reports, which nobody has to know before.  The
 * last point is kept besides. */
#include "sweep/page/page_internal.h"

#include <math.h>
#include <stdlib.h>

#define POINTS_MIN 4u           /* of a trial */
#define POINTS_FIRST 16u        /* room that is made at first */

struct point { int64_t step; double value; };

struct curve {
    struct point *points;       /* owned; count of them, by rising step */
    uint32_t count, cap;
    uint32_t stride, skip;      /* every stride-th is kept; so many until the next */
    struct point last;          /* a report that was not kept; step 0: none */
};

struct curves {
    struct page *page;
    struct curve *all;          /* owned; of the trials shown */
    uint32_t limit;
};

static bool grow(struct curve *c, uint32_t limit)
{
    uint32_t cap = c->cap ? c->cap * 2 : POINTS_FIRST;
    if (cap > limit)
        cap = limit;
    struct point *more = realloc(c->points, cap * sizeof *more);
    if (!more)
        return false;
    c->points = more;
    c->cap = cap;
    return true;
}

static void halve(struct curve *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->count; i += 2)
        c->points[kept++] = c->points[i];
    c->skip = c->count % 2 ? c->stride : 0;
    c->count = kept;
    c->stride *= 2;
}

/* A step that comes again takes the place of what was from there on: the report was
 * merged, or the trial went back to an earlier checkpoint. */
static void cut_back(struct curve *c, int64_t step)
{
    if (c->last.step >= step)
        c->last.step = 0;
    while (c->count > 0 && c->points[c->count - 1].step >= step) {
        c->count--;
        c->skip = 0;
    }
}

static bool add(struct curve *c, uint32_t limit, struct point point)
{
    cut_back(c, point.step);
    if (c->stride == 0)
        c->stride = 1;
    if (c->skip == 0 && c->count == limit)
        halve(c);
    if (c->skip > 0) {
        c->skip--;
        c->last = point;
        return true;
    }
    if (c->count == c->cap && !grow(c, limit))
        return false;
    c->points[c->count++] = point;
    c->skip = c->stride - 1;
    c->last.step = 0;
    return true;
}

static bool on_report(const struct record_event *event, void *arg)
{
    struct curves *curves = arg;
    struct page *p = curves->page;
    /* A runner may have gone on since the trials were read. */
    if (!event->report.has_value || event->trial >= p->trials || p->place[event->trial] == PAGE_NOT_SHOWN)
        return true;
    if (add(&curves->all[p->place[event->trial]], curves->limit,
            (struct point){event->report.step, event->report.value}))
        return true;
    page_fail(p, COVEY_ENOMEM, "out of memory");
    return false;
}

static void put_point(struct text *t, const struct point *point, bool first)
{
    text_printf(t, first ? "%lld," : ",%lld,", (long long)point->step);
    page_short_number(t, point->value);
}

static void put_curve(struct page *p, const struct curve *c, bool first)
{
    text_puts(&p->part, first ? "\n[" : ",\n[");
    for (uint32_t i = 0; i < c->count; i++)
        put_point(&p->part, &c->points[i], i == 0);
    if (c->last.step > 0)
        put_point(&p->part, &c->last, c->count == 0);
    text_puts(&p->part, "]");
    page_put_json(p);
}

void page_put_curves(struct page *p)
{
    char why[512] = "";
    uint32_t thinned = 0;
    struct curves curves = {.page = p, .all = calloc(p->shown + 1, sizeof *curves.all)};
    curves.limit = p->shown ? p->points_max / p->shown : p->points_max;
    curves.limit = curves.limit < POINTS_MIN ? POINTS_MIN : curves.limit;
    if (!curves.all)
        page_fail(p, COVEY_ENOMEM, "out of memory");
    else if (record_reports(p->s->record, RECORD_NO_TRIAL, on_report, &curves, why, sizeof why) != COVEY_OK)
        page_fail(p, COVEY_ESYSTEM, "%s", why);
    text_puts(&p->part, "\"curves\": [");
    for (uint32_t i = 0; curves.all && i < p->shown; i++) {
        put_curve(p, &curves.all[i], i == 0);
        thinned += curves.all[i].stride > 1;
        free(curves.all[i].points);
    }
    free(curves.all);
    text_printf(&p->part, "],\n\"thinned\": %u, \"points_max\": %u", thinned, curves.limit);
    page_put_json(p);
}
