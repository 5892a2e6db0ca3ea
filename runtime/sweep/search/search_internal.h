/* search_internal.h - the kinds of search, behind search.c.  Pure. */
#ifndef COVEY_SWEEP_SEARCH_INTERNAL_H
#define COVEY_SWEEP_SEARCH_INTERNAL_H

#include <assert.h>
#include <math.h>

#include "sweep/space/rng.h"
#include "sweep/search/search.h"

#define SEARCH_TRIALS_MAX (UINT32_C(1) << 30)   /* trials and points count in 32 bits */

/* ---- points.c: a set of points --------------------------------------------- */

struct points {
    size_t width;
    double *rows;               /* owned; count points of width numbers */
    uint32_t *slots;            /* owned; hash table of row + 1; 0: free */
    uint32_t count, row_cap, slot_count;
};

void points_init(struct points *points, size_t width);
void points_fini(struct points *points);
bool points_has(const struct points *points, const double *x);
/* Room for one more.  False: out of memory, nothing changed. */
bool points_reserve(struct points *points);
/* After points_reserve().  A point that is there already changes nothing. */
void points_add(struct points *points, const double *x);

/* ---- grid.c: the points of a discrete space, one after the other ------------ */

/* Has each parameter an end of values? */
bool grid_is_finite(const struct space *space);
/* Is @x one of the grid's? */
bool grid_has(const struct space *space, const double *x);
void grid_first(const struct space *space, double *x);
/* The one after @x; the last parameter counts fastest.  False: @x was the last. */
bool grid_next(const struct space *space, double *x);

/* ---- sobol.c ------------------------------------------------------------------ */

#define SOBOL_DIMS 64u

/* In (0, 1): dimension @dim of point @index. */
double sobol_number(uint64_t seed, uint64_t index, uint32_t dim);
void sobol_point(const struct space *space, uint64_t seed, uint64_t index, double *x);

/* ---- tpe.c --------------------------------------------------------------------- */

struct tpe;

/* NULL: out of memory. */
struct tpe *tpe_new(const struct space *space, const struct search_opts *opts);
void tpe_free(struct tpe **tpe);
/* search_tell()'s. */
bool tpe_tell(struct tpe *tpe, uint64_t trial, const double *x, enum search_fate fate, int64_t step,
              double loss);
/* False: too few trials have ended, @x is untouched. */
bool tpe_point(struct tpe *tpe, struct rng *r, double *x);

#endif
