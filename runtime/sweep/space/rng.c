/* rng.c - see rng.h for the contract.
 *
 * splitmix64 and xoshiro256++ are Vigna's and Blackman's public domain
 * generators (prng.di.unimi.it), written out here.
 */
#include "sweep/space/rng.h"

#include <assert.h>

#include "sweep/space/cdf.h"

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Each part of the name is mixed before the next one comes in, so that streams
 * of neighbouring seeds and numbers have nothing in common. */
struct rng rng_stream(uint64_t seed, enum rng_use use, uint64_t number)
{
    uint64_t state = seed;
    state = splitmix(&state) ^ (uint64_t)use;
    state = splitmix(&state) ^ number;
    struct rng r;
    for (int i = 0; i < 4; i++)
        r.s[i] = splitmix(&state);
    return r;
}

static uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate_left(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double rng_f64(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

/* The first 2^64 mod n of the 2^64 numbers are drawn again: n divides the rest. */
uint64_t rng_below(struct rng *r, uint64_t n)
{
    assert(n > 0);
    uint64_t excess = -n % n;
    uint64_t x;
    do
        x = rng_u64(r);
    while (x < excess);
    return x % n;
}

/* One number a draw, so that a stream's length can be told from the draws. */
double rng_normal(struct rng *r)
{
    return normal_quantile(rng_f64(r) + 0x1p-54);
}
