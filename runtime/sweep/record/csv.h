/* csv.h - trials.csv: a row for each trial that is over.
 *
 *   trial,state,value,step,started,seconds,lr,opt.kind
 *   7,complete,0.31,27,2025-11-21T12:30:00.250Z,81.204,0.01,sgd
 *
 * Fields are quoted as RFC 4180 has it; lines end in \n, as Unix tools expect.
 */
#ifndef COVEY_SWEEP_CSV_H
#define COVEY_SWEEP_CSV_H

#include "sweep/record/record.h"
#include "sweep/space/text.h"

#define CSV_FILE "trials.csv"

struct json_object;

/* @columns: a JSON list of the parameters' names, borrowed.  A name's dots may
 * be part of it or lead into a nested object. */
void csv_header(struct text *out, struct json_object *columns);
void csv_trial(struct text *out, struct json_object *columns, const struct record_trial *trial);

#endif
