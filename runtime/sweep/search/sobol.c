/* sobol.c - points that fill the space evenly: a scrambled Sobol sequence.
 *
 * In each dimension and for each k, the first 2^k points put exactly one into
 * each interval of length 2^-k.  Dimensions beyond SOBOL_DIMS are plain random
 * numbers: the sequence's own quality is gone long before.
 *
 * Scrambled as Owen proposed: in the tree of binary digits each node's two
 * branches are swapped or not at random.  The random bits come from a hash (Laine
 * and Karras; improved by Burley, "Practical hash-based Owen scrambling", JCGT
 * 2020), in which a bit is changed only by those above it.
 *
 * Primitive polynomials and initial numbers are the first of new-joe-kuo-6 by
 * S. Joe and F. Y. Kuo ("Constructing Sobol sequences with better two-dimensional
 * projections", SIAM J. Sci. Comput. 30, 2008).
 */
#include "sweep/search/search_internal.h"

#define BITS 32u
#define DEGREE_MAX 9

/* Dimensions 1 ...; 0 is the van der Corput sequence. The polynomial over GF(2)
 * has its lowest coefficient in the lowest bit; there is an initial number for
 * each degree. */
static const struct {
    uint16_t polynomial;
    uint16_t initial[DEGREE_MAX];
} table[SOBOL_DIMS - 1] = {
    {3, {1}}, {7, {1, 3}}, {11, {1, 3, 1}}, {13, {1, 1, 1}}, {19, {1, 1, 3, 3}},
    {25, {1, 3, 5, 13}}, {37, {1, 1, 5, 5, 17}}, {41, {1, 1, 5, 5, 5}}, {47, {1, 1, 7, 11, 19}},
    {55, {1, 1, 5, 1, 1}}, {59, {1, 1, 1, 3, 11}}, {61, {1, 3, 5, 5, 31}},
    {67, {1, 3, 3, 9, 7, 49}}, {91, {1, 1, 1, 15, 21, 21}}, {97, {1, 3, 1, 13, 27, 49}},
    {103, {1, 1, 1, 15, 7, 5}}, {109, {1, 3, 1, 15, 13, 25}}, {115, {1, 1, 5, 5, 19, 61}},
    {131, {1, 3, 7, 11, 23, 15, 103}}, {137, {1, 3, 7, 13, 13, 15, 69}},
    {143, {1, 1, 3, 13, 7, 35, 63}}, {145, {1, 3, 5, 9, 1, 25, 53}},
    {157, {1, 3, 1, 13, 9, 35, 107}}, {167, {1, 3, 1, 5, 27, 61, 31}},
    {171, {1, 1, 5, 11, 19, 41, 61}}, {185, {1, 3, 5, 3, 3, 13, 69}},
    {191, {1, 1, 7, 13, 1, 19, 1}}, {193, {1, 3, 7, 5, 13, 19, 59}},
    {203, {1, 1, 3, 9, 25, 29, 41}}, {211, {1, 3, 5, 13, 23, 1, 55}},
    {213, {1, 3, 7, 3, 13, 59, 17}}, {229, {1, 3, 1, 3, 5, 53, 69}},
    {239, {1, 1, 5, 5, 23, 33, 13}}, {241, {1, 1, 7, 7, 1, 61, 123}},
    {247, {1, 1, 7, 9, 13, 61, 49}}, {253, {1, 3, 3, 5, 3, 55, 33}},
    {285, {1, 3, 1, 15, 31, 13, 49, 245}}, {299, {1, 3, 5, 15, 31, 59, 63, 97}},
    {301, {1, 3, 1, 11, 11, 11, 77, 249}}, {333, {1, 3, 1, 11, 27, 43, 71, 9}},
    {351, {1, 1, 7, 15, 21, 11, 81, 45}}, {355, {1, 3, 7, 3, 25, 31, 65, 79}},
    {357, {1, 3, 1, 1, 19, 11, 3, 205}}, {361, {1, 1, 5, 9, 19, 21, 29, 157}},
    {369, {1, 3, 7, 11, 1, 33, 89, 185}}, {391, {1, 3, 3, 3, 15, 9, 79, 71}},
    {397, {1, 3, 7, 11, 15, 39, 119, 27}}, {425, {1, 1, 3, 1, 11, 31, 97, 225}},
    {451, {1, 1, 1, 3, 23, 43, 57, 177}}, {463, {1, 3, 7, 7, 17, 17, 37, 71}},
    {487, {1, 3, 1, 5, 27, 63, 123, 213}}, {501, {1, 1, 3, 5, 11, 43, 53, 133}},
    {529, {1, 3, 5, 5, 29, 17, 47, 173, 479}}, {539, {1, 3, 3, 11, 3, 1, 109, 9, 69}},
    {545, {1, 1, 1, 5, 17, 39, 23, 5, 343}}, {557, {1, 3, 1, 5, 25, 15, 31, 103, 499}},
    {563, {1, 1, 1, 11, 11, 17, 63, 105, 183}}, {601, {1, 1, 5, 11, 9, 29, 97, 231, 363}},
    {607, {1, 1, 5, 15, 19, 45, 41, 7, 383}}, {617, {1, 3, 7, 7, 31, 19, 83, 137, 221}},
    {623, {1, 1, 1, 3, 23, 15, 111, 223, 83}}, {631, {1, 1, 5, 13, 31, 15, 55, 25, 161}},
    {637, {1, 1, 3, 13, 25, 47, 39, 87, 257}},
};

static uint32_t degree_of(uint32_t polynomial)
{
    return 31u - (uint32_t)__builtin_clz(polynomial);
}

/* The number that digit i of an index adds: v_i of the recurrence, in the
 * highest bits.  @v has BITS of them. */
static void directions(uint32_t dim, uint32_t v[BITS])
{
    if (dim == 0) {
        for (uint32_t i = 0; i < BITS; i++)
            v[i] = UINT32_C(1) << (BITS - 1 - i);
        return;
    }
    uint32_t polynomial = table[dim - 1].polynomial;
    uint32_t degree = degree_of(polynomial);
    for (uint32_t i = 0; i < BITS; i++) {
        if (i < degree) {
            v[i] = (uint32_t)table[dim - 1].initial[i] << (BITS - 1 - i);
            continue;
        }
        v[i] = v[i - degree] ^ v[i - degree] >> degree;
        for (uint32_t j = 1; j < degree; j++)
            if (polynomial >> (degree - j) & 1)
                v[i] ^= v[i - j];
    }
}

static uint32_t reverse(uint32_t x)
{
    x = __builtin_bswap32(x);
    x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
    x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
    return (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
}

/* With the digits reversed, "changed only by those above" is what additions and
 * multiplications by even numbers do. */
static uint32_t scramble(uint32_t x, uint32_t seed)
{
    x = reverse(x);
    x ^= x * 0x3d20adeau;
    x += seed;
    x *= (seed >> 16) | 1u;
    x ^= x * 0x05526c56u;
    x ^= x * 0x53a22864u;
    return reverse(x);
}

double sobol_number(uint64_t seed, uint64_t index, uint32_t dim)
{
    assert(dim < SOBOL_DIMS);
    uint32_t v[BITS];
    directions(dim, v);
    uint32_t x = 0;
    for (uint32_t i = 0; i < BITS; i++)
        if (index >> i & 1)
            x ^= v[i];
    struct rng r = rng_stream(seed, RNG_SOBOL, dim);
    /* In the middle of its interval. */
    return ((double)scramble(x, (uint32_t)rng_u64(&r)) + 0.5) * 0x1p-32;
}

void sobol_point(const struct space *space, uint64_t seed, uint64_t index, double *x)
{
    struct rng r = rng_stream(seed, RNG_SEARCH, index);
    uint32_t dim = 0;
    for (size_t i = 0; i < space->count; i++) {
        const struct param *p = &space->params[i];
        double u = rng_f64(&r);
        if (param_count(p) != 1 && dim < SOBOL_DIMS)
            u = sobol_number(seed, index, dim++);
        x[i] = space_is_active(space, x, i) ? param_quantile(p, u) : NAN;
    }
}
