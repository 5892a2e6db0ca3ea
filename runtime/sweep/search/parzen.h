/* parzen.h - what TPE estimates densities with: a mixture of one kernel per
 * trial, each a product over the parameters, and one wide kernel, the prior.
 *
 * All happens in coordinates from 0 to 1, in which the prior is simple: the
 * logarithm where the parameter is logarithmic, the probability where it is beta.
 * Pure.
 */
#ifndef COVEY_SWEEP_PARZEN_H
#define COVEY_SWEEP_PARZEN_H

#include "sweep/space/rng.h"
#include "sweep/space/space.h"

/* ---- axis: one parameter's coordinate ------------------------------------------- */

enum axis_kind {
    AXIS_FIXED,                 /* has one value: nothing to search */
    AXIS_CHOICE,                /* the coordinate is the choice's index */
    AXIS_REAL,
    AXIS_RASTER,                /* a value stands for the cell around it */
};

struct axis {
    enum axis_kind kind;
    const struct param *param;  /* borrowed */
    double low, high;           /* what 0 and 1 are, before scaling */
    double prior_sigma;         /* of the prior kernel, around 0.5 */
};

struct axis axis_of(const struct param *p);
double axis_coordinate(const struct axis *axis, double x);
double axis_value(const struct axis *axis, double t);
/* The edges of the cell of value @x, for AXIS_RASTER. */
void axis_cell(const struct axis *axis, double x, double *left, double *right);

/* ---- lane: the known trials along one axis ---------------------------------------- */

struct lane {
    struct axis axis;
    /* Owned, each with room for all trials; indexed by a trial's slot. */
    double *t;                  /* coordinate; NaN: the parameter is not part of the trial */
    double *sigma, *log_norm;   /* of the slot's kernel when it was last used; sigma 0: never */
    uint32_t *sorted;           /* slots with a coordinate, by (coordinate, slot) */
    uint32_t count;             /* of sorted */
    /* Of a raster of equal cells, how many; else 0.  What a kernel gives to a cell then depends on
     * its width and their distance alone: see lane_row(). */
    uint32_t cells;
    float *mass;                /* owned: cells + 1 rows of 2 * cells - 1 logarithms */
    double *row_sigma;          /* owned: of the row; 0: it is not filled in */
    float *prior_mass;          /* owned: what the prior gives to each cell */
};

/* Of a lane whose axis is set: once, before its first trial.  False: out of memory. */
bool lane_tabulate(struct lane *lane);
/* Fill in @row for kernels of this width: the logarithm of their mass in the cell @d further
 * is at row * (2 * cells - 1) + cells - 1 + d. */
void lane_row(struct lane *lane, uint32_t row, double sigma);
bool lane_reserve(struct lane *lane, uint32_t cap);
void lane_fini(struct lane *lane);
/* Slot @slot gets or loses its coordinate. */
void lane_put(struct lane *lane, uint32_t slot, double t);
void lane_drop(struct lane *lane, uint32_t slot);

/* The logarithm of the standard normal distribution's probability from @a to @b. */
double log_mass(double a, double b);

/* ---- parzen: the mixture ------------------------------------------------------------ */

/* How a mixture differs from the one that TPE is usually built of. */
struct parzen_shape {
    double width;               /* kernels are as wide as this part of the gap beside them */
    double finest;              /* and as fine as if there were this many times as many */
};

struct parzen {
    struct parzen_shape shape;  /* set it first */
    uint32_t kernels;           /* the last one is the prior */
    uint32_t lanes;
    struct lane *const *lane;   /* borrowed from parzen_fit() on */
    uint32_t kernel_cap, lane_cap, slot_cap;
    /* Owned, at [lane * kernel_cap + kernel].  Of an AXIS_CHOICE, mu is the index,
     * or -1: the prior's. */
    float *mu, *inverse;        /* inverse: 1 / sigma */
    /* Of a lane with a table: where in it the kernel's mass in the first cell is.  The prior,
     * which is not in it, has -1 where some other kernel is not, and then none counts. */
    int32_t *offset;
    /* Owned, at [kernel]. */
    double *weight;             /* they sum to 1 */
    double *log_scale;          /* weight and what makes the kernel's density one */
    float *scale;               /* log_scale, as it is used */
    float *term, *kept;         /* logarithms of the kernels' densities at a point */
    double narrowest;           /* sigma */
    uint32_t narrow_row;        /* of the lanes' tables: 0 or 1, another one for each mixture over them */
    uint32_t *kernel_of;        /* owned, at [slot]: its kernel, or UINT32_MAX */
};

/* False: out of memory, nothing lost. */
bool parzen_reserve(struct parzen *p, uint32_t kernel_cap, uint32_t lane_cap, uint32_t slot_cap);
void parzen_fini(struct parzen *p);
/* Of the trials in @slots, older ones first; each has all the coordinates.  There is room for
 * count + 1 kernels. */
void parzen_fit(struct parzen *p, struct lane *const *lanes, uint32_t lane_count,
                const uint32_t *slots, uint32_t count, uint32_t slot_count);
/* A draw: pick a kernel, then a value from it for each lane that is wanted. */
uint32_t parzen_pick(const struct parzen *p, struct rng *r);
double parzen_draw(const struct parzen *p, struct rng *r, uint32_t kernel, uint32_t lane);
/* Of the point with these values of the lanes' parameters, but for a term that
 * all mixtures over these lanes have. */
double parzen_log_density(struct parzen *p, const double *x);
/* What was just computed is kept; then points that differ from it in few lanes
 * cost little. */
void parzen_keep(struct parzen *p);
double parzen_log_density_near(struct parzen *p, const double *kept, const double *x);

#endif
