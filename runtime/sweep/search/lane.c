/* lane.c - coordinates of parameters, and the trials along them; see parzen.h. */
#include "sweep/search/parzen.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/space/cdf.h"

/* A normal distribution is searched within so many sigma of its middle: one
 * value in 16,000 is beyond. */
#define NORMAL_REACH 4.0
/* With more values than that, cells are narrower than any kernel, and the density
 * in a cell's middle says as much as the cell's probability. */
#define RASTER_MAX 100u
/* From here on a normal distribution's tail is no longer added up exactly. */
#define TAIL 6.0

static bool is_logarithmic(enum distribution d)
{
    return d == DIST_LOG_UNIFORM || d == DIST_INV_LOG_UNIFORM || d == DIST_LOG_NORMAL;
}

/* Before scaling to 0 ... 1; infinite at a logarithm's zero. */
static double coordinate(const struct param *p, double x)
{
    if (p->distribution == DIST_BETA)
        return beta_cdf(p->a, p->b, fmin(fmax(x, 0), 1));
    return is_logarithmic(p->distribution) ? log(fmax(x, 0)) : x;
}

static double raster_step(const struct param *p)
{
    return p->quantum > 0 ? p->quantum : p->whole ? 1 : 0;
}

struct axis axis_of(const struct param *p)
{
    uint64_t count = param_count(p);
    if (count == 1)
        return (struct axis){.kind = AXIS_FIXED, .param = p};
    if (p->distribution == DIST_CHOICE)
        return (struct axis){.kind = AXIS_CHOICE, .param = p};
    double half = raster_step(p) / 2;
    bool fine = p->distribution == DIST_UNIFORM && count > RASTER_MAX;
    struct axis axis = {.kind = half > 0 && !fine ? AXIS_RASTER : AXIS_REAL,
                        .param = p, .prior_sigma = 1};
    switch (p->distribution) {
    case DIST_NORMAL:
    case DIST_LOG_NORMAL:
        axis.low = p->mu - NORMAL_REACH * p->sigma;
        axis.high = p->mu + NORMAL_REACH * p->sigma;
        axis.prior_sigma = 0.5 / NORMAL_REACH;
        break;
    case DIST_BETA:
        axis.high = 1;
        break;
    default:
        /* The outermost cells reach as far out as in; of a logarithm the lowest
         * multiple is the quantum at least, so there is something left. */
        axis.low = coordinate(p, param_clip(p, p->low) - half);
        axis.high = coordinate(p, param_clip(p, p->high) + half);
    }
    assert(axis.low < axis.high);
    return axis;
}

static double scaled(const struct axis *axis, double at)
{
    return fmin(fmax((at - axis->low) / (axis->high - axis->low), 0), 1);
}

double axis_coordinate(const struct axis *axis, double x)
{
    return axis->kind == AXIS_CHOICE ? x : scaled(axis, coordinate(axis->param, x));
}

double axis_value(const struct axis *axis, double t)
{
    const struct param *p = axis->param;
    if (axis->kind == AXIS_CHOICE)
        return t;
    double at = axis->low + t * (axis->high - axis->low);
    if (p->distribution == DIST_BETA)
        at = beta_quantile(p->a, p->b, at);
    return param_clip(p, is_logarithmic(p->distribution) ? exp(at) : at);
}

void axis_cell(const struct axis *axis, double x, double *left, double *right)
{
    double half = raster_step(axis->param) / 2;
    *left = axis_coordinate(axis, x - half);
    *right = axis_coordinate(axis, x + half);
}

/* ---- tables ---------------------------------------------------------------------- */

/* On the side of the tail, where small numbers are exact; far out it is the density
 * at the nearer end. */
double log_mass(double a, double b)
{
    double near = a > 0 ? a : -b, far = a > 0 ? b : -a;
    if (near > TAIL)
        return -0.5 * near * near - log(near) - 0.5 * log(2 * M_PI);
    return log(normal_cdf(-near) - normal_cdf(-far));
}

bool lane_tabulate(struct lane *lane)
{
    const struct axis *axis = &lane->axis;
    if (axis->kind != AXIS_RASTER || axis->param->distribution != DIST_UNIFORM)
        return true;
    uint32_t cells = (uint32_t)param_count(axis->param);
    lane->mass = calloc((size_t)(cells + 1) * (2 * cells - 1), sizeof *lane->mass);
    lane->row_sigma = calloc(cells + 1, sizeof *lane->row_sigma);
    lane->prior_mass = malloc(cells * sizeof *lane->prior_mass);
    if (lane->mass == NULL || lane->row_sigma == NULL || lane->prior_mass == NULL)
        return false;
    double step = 1 / (cells * axis->prior_sigma);
    for (uint32_t i = 0; i < cells; i++)
        lane->prior_mass[i] = (float)log_mass((i - 0.5 * cells) * step, (i + 1 - 0.5 * cells) * step);
    lane->cells = cells;
    return true;
}

void lane_row(struct lane *lane, uint32_t row, double sigma)
{
    assert(row <= lane->cells);
    if (lane->row_sigma[row] == sigma)
        return;
    double step = 1 / (lane->cells * sigma);    /* from cell to cell, in sigmas */
    float *middle = lane->mass + (size_t)row * (2 * lane->cells - 1) + lane->cells - 1;
    for (uint32_t d = 0; d < lane->cells; d++)
        middle[d] = *(middle - d) = (float)log_mass((d - 0.5) * step, (d + 0.5) * step);
    lane->row_sigma[row] = sigma;
}

/* ---- lane ---------------------------------------------------------------------- */

static bool reserve(double **array, uint32_t cap)
{
    double *grown = realloc(*array, cap * sizeof *grown);
    if (grown != NULL)
        *array = grown;
    return grown != NULL;
}

bool lane_reserve(struct lane *lane, uint32_t cap)
{
    if (!reserve(&lane->t, cap) || !reserve(&lane->sigma, cap) || !reserve(&lane->log_norm, cap))
        return false;
    uint32_t *sorted = realloc(lane->sorted, cap * sizeof *sorted);
    if (sorted != NULL)
        lane->sorted = sorted;
    return sorted != NULL;
}

void lane_fini(struct lane *lane)
{
    free(lane->t);
    free(lane->sigma);
    free(lane->log_norm);
    free(lane->sorted);
    free(lane->mass);
    free(lane->row_sigma);
    free(lane->prior_mass);
    *lane = (struct lane){0};
}

/* How many slots come before (@t, @slot). */
static uint32_t rank_of(const struct lane *lane, double t, uint32_t slot)
{
    uint32_t first = 0, last = lane->count;
    while (first < last) {
        uint32_t middle = first + (last - first) / 2;
        uint32_t other = lane->sorted[middle];
        if (lane->t[other] < t || (lane->t[other] == t && other < slot))
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

void lane_put(struct lane *lane, uint32_t slot, double t)
{
    lane->t[slot] = t;
    lane->sigma[slot] = 0;
    if (isnan(t))
        return;
    uint32_t at = rank_of(lane, t, slot);
    memmove(lane->sorted + at + 1, lane->sorted + at, (lane->count - at) * sizeof *lane->sorted);
    lane->sorted[at] = slot;
    lane->count++;
}

void lane_drop(struct lane *lane, uint32_t slot)
{
    if (isnan(lane->t[slot]))
        return;
    uint32_t at = rank_of(lane, lane->t[slot], slot);
    assert(at < lane->count && lane->sorted[at] == slot);
    lane->count--;
    memmove(lane->sorted + at, lane->sorted + at + 1, (lane->count - at) * sizeof *lane->sorted);
    lane->t[slot] = NAN;
}
