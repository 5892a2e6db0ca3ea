/* rng.h - random numbers that a sweep can repeat.
 *
 * A stream is named by (seed, what it is for, number), and its start is
 * computed, not carried over: trial 812 draws the same numbers whether the
 * runner was killed ten times before it or never.  So no random state is kept
 * on disk.  xoshiro256++, seeded by splitmix64; not for secrets.
 */
#ifndef COVEY_SWEEP_RNG_H
#define COVEY_SWEEP_RNG_H

#include <stdint.h>

enum rng_use { RNG_SEARCH = 1, RNG_SOBOL, RNG_PBT, RNG_BRACKET };

struct rng {
    uint64_t s[4];
};

struct rng rng_stream(uint64_t seed, enum rng_use use, uint64_t number);
uint64_t rng_u64(struct rng *r);
/* In [0, 1), 53 bits. */
double rng_f64(struct rng *r);
/* In [0, n), without bias; n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);
double rng_normal(struct rng *r);

#endif
