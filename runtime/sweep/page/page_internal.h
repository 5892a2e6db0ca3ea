/* page_internal.h - what the files of the page share.
 *
 *   page.c         the file, its parts, and the gate for JSON
 *   page_data.c    the sweep as JSON, but for its curves
 *   page_curves.c  learning curves, thinned
 */
#ifndef COVEY_SWEEP_PAGE_INTERNAL_H
#define COVEY_SWEEP_PAGE_INTERNAL_H

#include <stdio.h>

#include "sweep/page/page.h"

#define PAGE_NOT_SHOWN UINT32_MAX

struct page {
    covey_sweep *s;             /* borrowed */
    FILE *file;
    struct text part;           /* JSON on its way to the file */
    covey_status status;        /* the first failure */
    char *why;                  /* borrowed */
    size_t why_size;
    bool running;               /* a runner holds the sweep */
    uint32_t trials;            /* that there are */
    uint32_t shown;             /* of them on the page */
    uint32_t points_max;        /* of all curves together */
    uint32_t tails;             /* logs that were looked into */
    uint32_t *place;            /* owned; of each trial on the page, or PAGE_NOT_SHOWN */
    int64_t began_ms, ended_ms; /* of its first start, and its last end or, while it runs, now */
};

/* The first failure is kept. */
void page_fail(struct page *p, covey_status status, const char *format, ...) COVEY_PRINTF(3, 4);
/* p->part goes through the gate to the file, and is empty again. */
void page_put_json(struct page *p);
/* Six digits, which is more than a line shows; null where it is not finite. */
void page_short_number(struct text *t, double x);

void page_put_data(struct page *p);
/* "curves": [[step, value, step, value, ...], ...] of the trials shown, in their order. */
void page_put_curves(struct page *p);

#endif
