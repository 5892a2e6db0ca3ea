/* value.h - arguments and results: single values, encoded.
 *
 *   nil, i64, u64, f64, str, bytes   msgpack nil, int, uint, float64, str, bin
 *   a ref among arguments            ext type 1: u32, its place in msg_task.deps
 *
 * The arguments of a task are values back to back.  Readers take from
 * (cursor), check, and alias the input; bytes are not aligned there.
 */
#ifndef COVEY_WIRE_VALUE_H
#define COVEY_WIRE_VALUE_H

#include "core/buf.h"
#include "core/types.h"

struct value {
    covey_kind kind;        /* COVEY_REF: @dep; handles are deps, too */
    int64_t i64;
    uint64_t u64;
    double f64;
    struct span bytes;      /* str (no NUL), bytes */
    uint32_t dep;
};

void value_put_nil(struct buf *out);
void value_put_i64(struct buf *out, int64_t x);
void value_put_u64(struct buf *out, uint64_t x);
void value_put_f64(struct buf *out, double x);
void value_put_str(struct buf *out, const char *s, size_t len);
void value_put_bytes(struct buf *out, const void *data, size_t len);
void value_put_dep(struct buf *out, uint32_t dep);

/* Take the next value off the front of *@in.  A non-negative integer reads as
 * COVEY_U64 when it was put as one, else COVEY_I64; both fields are set where
 * the value fits both.  COVEY_EPROTO: malformed; COVEY_EAGAIN: @in is empty. */
covey_status value_next(struct span *in, struct value *out);

/* "i64" and so on, for people; "nonsense" for what is no kind. */
const char *value_kind_name(covey_kind kind);

#endif
