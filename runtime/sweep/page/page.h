/* page.h - DIR/report.html: a sweep as one page that opens in a browser without a network.
 *
 * The page is page/page.html with its {{parts}} filled in: style, D3, scripts, and the
 * sweep as JSON.  Everything a user named or printed is in that JSON and nowhere else but
 * the title.  JSON goes through one gate, page_put_json(), that writes <, >, & and the
 * line separators of JavaScript as \uXXXX, so that no text can end the element that it
 * stands in; what is not finite is null.  The page forbids itself every request
 * (Content-Security-Policy: default-src 'none').
 *
 * Bounds   So that the page of any sweep opens: PAGE_TRIALS_MAX trials, the best ones,
 *          while counts and sums are those of all; PAGE_POINTS_MAX points of learning
 *          curves, where a trial that has more reports keeps every 2nd, 4th ... and its
 *          last one; PAGE_RUNS_MAX bars of the timeline, the last ones; PAGE_WHY_MAX
 *          bytes of an error, with the last line of PAGE_TAILS_MAX logs.  Of more than
 *          2,000 curves the scripts draw the best and an even sample.  The page says
 *          what is left out.
 * Memory   The points, and a word or so a trial; the record is read row by row.
 * Crashes  Written by another name and renamed: a page is whole, or is the one before.
 */
#ifndef COVEY_SWEEP_PAGE_H
#define COVEY_SWEEP_PAGE_H

#include "sweep/sweep.h"

#define PAGE_FILE "report.html"
#define PAGE_TRIALS_MAX 20000u
#define PAGE_POINTS_MAX 400000u
#define PAGE_RUNS_MAX 40000u
#define PAGE_WHY_MAX 300u
#define PAGE_TAILS_MAX 500u     /* logs of failed trials, whose last line is shown */

/* Write @s's page: of a sweep that was opened to look, while another process may run it,
 * or at the end of a run.  With @why where it fails: COVEY_ESYSTEM (disk, rights, the record
 * cannot be read), COVEY_ENOMEM. */
covey_status page_write(covey_sweep *s, char *why, size_t why_size);
/* The same at the end of a run, which it cannot fail: what went wrong is a warning. */
void page_write_last(covey_sweep *s);

#endif
