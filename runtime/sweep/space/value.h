/* value.h - one value of a parameter: what a sweep file names, a trial is given
 * and the record keeps.
 *
 * A value prints in two ways: as JSON, and as Python's str() prints it, since
 * that is what scripts written for W&B parse on their command line.
 */
#ifndef COVEY_SWEEP_VALUE_H
#define COVEY_SWEEP_VALUE_H

#include <stdint.h>
#include "sweep/space/text.h"

struct json_object;

enum value_kind {
    VALUE_NULL, VALUE_BOOL, VALUE_INT, VALUE_FLOAT,
    VALUE_TEXT,
    VALUE_JSON,                 /* a list or mapping, kept as compact JSON */
};

struct value {
    enum value_kind kind;
    union {
        bool b;
        int64_t i;
        double f;
        char *text;             /* owned: of VALUE_TEXT and VALUE_JSON */
    };
};
#define VALUE_NONE ((struct value){.kind = VALUE_NULL})

static inline struct value value_int(int64_t i) { return (struct value){.kind = VALUE_INT, .i = i}; }
static inline struct value value_float(double f) { return (struct value){.kind = VALUE_FLOAT, .f = f}; }

void value_fini(struct value *v);
/* False: out of memory; @out is then VALUE_NONE. */
bool value_copy(struct value *out, const struct value *v);
/* Same kind and same content; NaN equals itself. */
bool value_equal(const struct value *a, const struct value *b);
/* A number's value; NaN for what is none.  Booleans are 0 and 1. */
double value_number(const struct value *v);

/* str(v): True, None, 1e-05, 0.1, ['a', 1], {'k': 0.5}. */
void value_print_python(struct text *t, const struct value *v);
void value_print_json(struct text *t, const struct value *v);
/* False: out of memory. */
bool value_from_json(struct value *out, struct json_object *json);

#endif
