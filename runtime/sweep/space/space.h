/* space.h - the search space: its parameters, their distributions, and what a
 * point in it means.
 *
 * A point is an array of one double per parameter: the index of a choice, else
 * the real value (whole where the parameter is whole), NaN where the
 * parameter's condition is not met.  Search and schedulers know points only;
 * names, nesting and printing are here.
 *
 *   parameters:                         path            distribution
 *     lr: {min: 1e-4, max: 0.1}         ["lr"]          UNIFORM
 *     opt: {parameters: {              ["opt","kind"]  CHOICE
 *       kind: {values: [sgd, adam]}}}
 *
 * Constants are parameters, too, of one choice, so that a point and the file
 * have the same order.  Pure: no clock, no randomness of its own.
 */
#ifndef COVEY_SWEEP_SPACE_H
#define COVEY_SWEEP_SPACE_H

#include "sweep/space/value.h"

#define SPACE_PARAMS_MAX 1024
#define SPACE_CHOICES_MAX 65536
#define SPACE_DEPTH_MAX 16

enum distribution {
    DIST_CHOICE,                /* choices, probabilities */
    DIST_UNIFORM,               /* low, high; whole where `whole` */
    DIST_LOG_UNIFORM,           /* low, high: real bounds > 0, whatever the file gave */
    DIST_INV_LOG_UNIFORM,       /* 1/x is log uniform in 1/high..1/low, as W&B has it */
    DIST_NORMAL,                /* mu, sigma */
    DIST_LOG_NORMAL,            /* exp(normal(mu, sigma)) */
    DIST_BETA,                  /* a, b */
};

struct param {
    char **path;                /* owned: names from the top, path_len of them */
    size_t path_len;
    char *name;                 /* owned: the path with dots between; unique */
    enum distribution distribution;
    struct value *choices;      /* owned; count of them */
    double *probabilities;      /* owned; NULL: equal; they sum to 1 */
    size_t count;
    double low, high, mu, sigma, a, b;
    double quantum;             /* rounded to multiples of it; 0: not */
    bool whole;                 /* an integer, and printed as one */
    /* Met where parameter @parent has one of the choices marked in @when
     * (parent's count of them); the parent comes first.  -1: always. */
    int parent;
    bool *when;                 /* owned */
};

struct space {
    struct param *params;       /* owned; each parent before its children */
    size_t count;
};

void space_fini(struct space *s);

/* Is parameter @i part of the point, given those before it? */
bool space_is_active(const struct space *s, const double *x, size_t i);
/* How many points a grid has: the product of the counts over what is active;
 * UINT64_MAX when it does not end or is larger.  A uniform that is whole or has a
 * quantum has (high - low) / quantum + 1 of them: the file's reader sets quantum to
 * 1 where it is whole, and puts both bounds on multiples of it. */
uint64_t space_size(const struct space *s);

/* How many values the parameter has: 0 where they do not end.  They are those
 * that param_clip() leaves alone; param_nth() is the @i-th of them in rising
 * order, param_rank() its inverse, so that a grid can be walked. */
uint64_t param_count(const struct param *p);
double param_nth(const struct param *p, uint64_t i);
uint64_t param_rank(const struct param *p, double x);

/* From u in [0, 1) to a value of the parameter by its distribution's inverse
 * CDF, quantum and wholeness included; so every search draws alike. */
double param_quantile(const struct param *p, double u);
/* Put @x into the parameter's range and on its raster. */
double param_clip(const struct param *p, double x);
/* The value that @x stands for.  False: out of memory.  The caller owns *@out. */
bool param_value(const struct param *p, double x, struct value *out);
/* The coordinate of @v; false: it is no value of this parameter. */
bool param_coordinate(const struct param *p, const struct value *v, double *out);

/* {"lr": 0.1, "opt": {"kind": "sgd"}}: nested, inactive ones left out. */
void space_print_json(struct text *t, const struct space *s, const double *x);
/* The point that a JSON object of that shape means: NaN where a parameter is not
 * named, except that constants need not be.  Refused: names that are none, values
 * that are none of the parameter's, and a parameter whose condition is not met.
 * False with @why. */
bool space_read_json(const struct space *s, struct json_object *json, double *x, char *why, size_t why_size);
/* The same from JSON text. */
bool space_read_text(const struct space *s, const char *text, double *x, char *why, size_t why_size);

#endif
