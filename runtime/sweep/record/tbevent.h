/* tbevent.h - TensorBoard's events, as bytes.
 *
 * A file is a row of records; each is framed as TFRecord has it
 *
 *     uint64 length | masked crc32c of it | data | masked crc32c of data
 *
 * and its data is a protocol buffer, tensorflow.Event:
 *
 *     1 wall_time: double   2 step: int64   3 file_version: string
 *     5 summary { 1 value { 1 tag: string   2 simple_value: float   9 metadata } }
 *
 * Everything is little-endian.
 */
#ifndef COVEY_SWEEP_TBEVENT_H
#define COVEY_SWEEP_TBEVENT_H

#include <stdint.h>

#include "sweep/space/text.h"

/* Memory to build messages in, used again for each. */
struct tbevent {
    uint32_t crc_table[256];
    struct text event, summary, value, metadata, content, inner; /* owned */
};

void tbevent_init(struct tbevent *e);
void tbevent_fini(struct tbevent *e);

/* Each appends one record to @out; where memory ran out, @out says so. */

/* What a file begins with. */
void tbevent_version(struct tbevent *e, struct text *out, int64_t time_ms);
/* Each number of the JSON object @metrics under its name. */
void tbevent_scalars(struct tbevent *e, struct text *out, int64_t time_ms, int64_t step,
                     const char *metrics);
/* The trial's parameters, a JSON object, for the tab HPARAMS. */
void tbevent_params(struct tbevent *e, struct text *out, int64_t time_ms, const char *params);

#endif
