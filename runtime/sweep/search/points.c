/* points.c - a set of points: rows of doubles, and a hash table of them.
 *
 * Twice as many slots as rows, linear probing, nothing is ever removed.
 */
#include "sweep/search/search_internal.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MIN 64u

void points_init(struct points *points, size_t width)
{
    *points = (struct points){.width = width};
}

void points_fini(struct points *points)
{
    free(points->rows);
    free(points->slots);
    *points = (struct points){0};
}

/* One pattern for all NaN, which mean "not active", and for both zeros. */
static uint64_t number_bits(double x)
{
    uint64_t bits = UINT64_MAX;
    x += 0.0;
    if (!isnan(x))
        memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint64_t point_hash(const double *x, size_t width)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < width; i++) {
        hash = (hash ^ number_bits(x[i])) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}

static bool point_equal(const double *a, const double *b, size_t width)
{
    for (size_t i = 0; i < width; i++)
        if (number_bits(a[i]) != number_bits(b[i]))
            return false;
    return true;
}

/* Where @x is, or the free slot where it would be. */
static uint32_t slot_of(const struct points *points, const double *x)
{
    uint32_t mask = points->slot_count - 1;
    uint32_t at = (uint32_t)point_hash(x, points->width) & mask;
    while (points->slots[at] != 0 &&
           !point_equal(points->rows + (points->slots[at] - 1) * points->width, x, points->width))
        at = (at + 1) & mask;
    return at;
}

bool points_has(const struct points *points, const double *x)
{
    return points->slot_count != 0 && points->slots[slot_of(points, x)] != 0;
}

/* Rows are one number longer than they need be, so that a space without
 * parameters has something to allocate. */
static bool grow(struct points *points)
{
    uint32_t cap = points->row_cap ? points->row_cap * 2 : ROWS_MIN;
    double *rows = realloc(points->rows, cap * (points->width + 1) * sizeof *rows);
    if (rows == NULL)
        return false;
    points->rows = rows;
    uint32_t *slots = calloc((size_t)cap * 2, sizeof *slots);
    if (slots == NULL)
        return false;
    free(points->slots);
    points->slots = slots;
    points->row_cap = cap;
    points->slot_count = cap * 2;
    for (uint32_t row = 0; row < points->count; row++)
        slots[slot_of(points, rows + row * points->width)] = row + 1;
    return true;
}

bool points_reserve(struct points *points)
{
    return points->count < points->row_cap || (points->count < SEARCH_TRIALS_MAX && grow(points));
}

void points_add(struct points *points, const double *x)
{
    if (points_has(points, x))
        return;
    assert(points->count < points->row_cap);
    memcpy(points->rows + points->count * points->width, x, points->width * sizeof *x);
    points->slots[slot_of(points, x)] = ++points->count;
}
