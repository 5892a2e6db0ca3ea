/* curves.h - recorded learning curves, from a CSV file or a sweep's record.
 *
 *   trial,step,value,seconds
 *   a7,1,0.91,3.2
 *   b2,1,0.88,3.1
 *   a7,2,0.74,3.3
 *
 * The first line names the columns, in any order; others are passed over.
 * `trial` is any text, and trials are numbered as they first come; `seconds` is
 * optional, 1 by default, at most 1e12, and is since the trial's line before.  A value that is
 * no number ("nan", nothing) is a report that counts as the worst.
 */
#ifndef COVEY_SWEEP_CURVES_H
#define COVEY_SWEEP_CURVES_H

#include "sweep/scheduler/simulate.h"

#define CURVES_BYTES_MAX (1024u * 1024 * 1024)
#define CURVES_TRIALS_MAX 1000000u

struct curves;

/* NULL with @why: file:line: what is wrong. */
struct curves *curves_open(const char *path, bool maximize, char *why, size_t why_size);
/* The same of @size bytes in memory, named @path in messages. */
struct curves *curves_read(const char *path, const char *bytes, size_t size, bool maximize,
                           char *why, size_t why_size);
/* Those of the sweep in @dir, from its record: @metric of its reports, as trials "0",
 * "1" ...; seconds are what passed since the report before, or the run's start.  @cut
 * is how many were stopped or paused there, so that they end before their time.  NULL
 * with @why. */
struct curves *curves_of_sweep(const char *dir, const char *metric, bool maximize, uint32_t *cut,
                               char *why, size_t why_size);
/* Made by hand: none yet, and one report more.  NULL, false: out of memory. */
struct curves *curves_new(void);
bool curves_add(struct curves *c, const char *trial, struct curve_point point);
void curves_free(struct curves **c);
/* Borrows @c. */
struct curve_source curves_source(struct curves *c);
/* The name in the file of trial @trial. */
const char *curves_name(const struct curves *c, uint32_t trial);
/* The last step of the longest. */
int64_t curves_last_step(const struct curves *c);

#endif
