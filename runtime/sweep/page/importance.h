/* importance.h - how much of a metric's variation each parameter accounts for.
 *
 * Method: functional analysis of variance over a random forest (fANOVA; Hutter,
 * Hoos and Leyton-Brown 2014), which is also Optuna's default.  A forest of
 * regression trees learns value = f(parameters).  A tree is constant on boxes of
 * the space, so the mean of f over all parameters but one, as a function of
 * that one, is computed exactly; so is the variance of it.  A parameter's share is that
 * variance over the whole variance of f, averaged over the trees.  What is missing
 * to 1 is interaction of parameters.
 *
 * A parameter is seen as at most 64 bins: intervals of equal width where it is
 * ordered, else its choices.  So a set of its values is one word of bits, a box
 * is a word a parameter, and both kinds are split by the same code; choices are
 * split in the order of their mean values, which is the best split for squares.
 *
 * Limits, and what is told about them:
 *  - Values are those of trials that ran, which a search or early stopping chose.  The
 *    forest is averaged over the whole space, evenly, also where few trials were.
 *  - `fit` is the part of the variance that the forest explains of values it has not
 *    seen (out of bag R^2).  Near or below 0 the shares say nothing.
 *  - `floor` is the largest share that a parameter gets by chance: the mean, over
 *    forests of shuffled values, of the largest share.  A share below it is noise.
 *  - Values further outside the middle nine tenths than those are wide count as just
 *    there, so that a few diverged trials are not all that is explained.
 *
 * Deterministic: the same input gives the same shares.  Pure: no clock, no I/O.
 */
#ifndef COVEY_SWEEP_IMPORTANCE_H
#define COVEY_SWEEP_IMPORTANCE_H

#include <stdbool.h>
#include <stdint.h>

#define IMPORTANCE_BINS_MAX 64
#define IMPORTANCE_PARAMS_MAX 256u  /* of a page; the time rises with them */
#define IMPORTANCE_SAMPLES_MIN 8    /* fewer say nothing */
#define IMPORTANCE_BAG_MAX 2000     /* samples that a tree is grown from ... */
#define IMPORTANCE_BAG_MIN 200
#define IMPORTANCE_CELLS_MAX 16000  /* ... times parameters: so many of either take no longer */
#define IMPORTANCE_TREES 64
#define IMPORTANCE_SHUFFLES 8       /* forests for the floor, of a quarter of the trees each */

struct importance_param {
    uint8_t bins;               /* 1..IMPORTANCE_BINS_MAX */
    bool ordered;               /* neighbouring bins are alike */
};

struct importance_input {
    uint32_t samples, params;
    const struct importance_param *param;
    const uint8_t *bins;        /* sample i's bin of parameter k is bins[i * params + k] */
    const double *values;       /* finite */
};

struct importance {
    double *share;              /* owned; of each parameter, 0..1 */
    double *marginal;           /* owned; of parameter k at bin b: marginal[k * IMPORTANCE_BINS_MAX + b] */
    double floor, fit;
};

/* The bin of @x in @bins even ones from @low to @high. */
uint8_t importance_bin(double low, double high, double x, uint8_t bins);
/* False: out of memory.  With fewer samples than IMPORTANCE_SAMPLES_MIN, or
 * values that are all the same, all shares are 0. */
bool importance_compute(struct importance *out, const struct importance_input *in);
void importance_fini(struct importance *out);

#endif
