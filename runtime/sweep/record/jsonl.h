/* jsonl.h - results.jsonl: a line for each report.
 *
 *   {"trial":7,"step":5,"time":1763728000.123,"metrics":{"step":5,"loss":0.3}}
 *
 * JSON has no NaN and no infinity: they are "NaN", "Infinity" and "-Infinity".
 */
#ifndef COVEY_SWEEP_JSONL_H
#define COVEY_SWEEP_JSONL_H

#include "sweep/record/record.h"
#include "sweep/space/text.h"

#define JSONL_FILE "results.jsonl"

void jsonl_report(struct text *out, const struct record_event *event);

#endif
