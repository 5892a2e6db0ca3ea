/* sample.c - the distributions of space.h: from a number in [0, 1) to a value,
 * and onto the raster.
 *
 * A parameter with a quantum takes multiples of it, as W&B's does, but only
 * those between its bounds: W&B rounds past them, so that `min: 1, q: 4` would
 * try 0.  Where no multiple is between the bounds, there is no raster.
 */
#include "sweep/space/space.h"

#include <assert.h>
#include <math.h>

#include "sweep/space/cdf.h"

#define COUNT_MAX 0x1p53        /* beyond it doubles cannot tell neighbours apart */

/* The values a distribution can have before rounding. */
static void range(const struct param *p, double *low, double *high)
{
    *low = -INFINITY;
    *high = INFINITY;
    switch (p->distribution) {
    case DIST_CHOICE:
        *low = 0;
        *high = (double)p->count - 1;
        break;
    case DIST_UNIFORM:
    case DIST_LOG_UNIFORM:
    case DIST_INV_LOG_UNIFORM:
        *low = p->low;
        *high = p->high;
        break;
    case DIST_LOG_NORMAL:
        *low = 0;
        break;
    case DIST_BETA:
        *low = 0;
        *high = 1;
        break;
    case DIST_NORMAL:
        break;
    }
}

/* Multiples of @quantum from @first to @last; infinite where there is no bound. */
struct raster {
    double quantum;             /* 0: no raster */
    double first, last;
};

static struct raster raster_of(const struct param *p)
{
    const double slack = 1e-9;  /* 0.3 is no multiple of 0.1 in binary */
    double quantum = p->quantum > 0 ? p->quantum : p->whole || p->distribution == DIST_CHOICE;
    if (quantum == 0)
        return (struct raster){0};
    double low, high;
    range(p, &low, &high);
    struct raster r = {quantum, ceil(low / quantum - slack), floor(high / quantum + slack)};
    return r.first <= r.last ? r : (struct raster){0};
}

/* The @n-th multiple: a tenth is divided by ten, so that 3 of them are 0.3 and
 * not 0.30000000000000004. */
static double raster_value(const struct raster *r, double n)
{
    double inverse = 1 / r->quantum;
    double whole = rint(inverse);
    bool fraction = whole > 1 && fabs(inverse - whole) < 1e-9 * whole;
    return (fraction ? n / whole : n * r->quantum) + 0.0;   /* -0 becomes 0 */
}

double param_clip(const struct param *p, double x)
{
    assert(!isnan(x));
    double low, high;
    range(p, &low, &high);
    struct raster r = raster_of(p);
    if (r.quantum > 0) {
        double n = rint(x / r.quantum);
        return raster_value(&r, fmin(fmax(n, r.first), r.last));
    }
    return fmin(fmax(x, low), high);
}

static double choice_quantile(const struct param *p, double u)
{
    assert(p->count > 0);
    if (p->probabilities == NULL)
        return floor(u * (double)p->count);
    double sum = 0;
    size_t last = 0;            /* of those that can be; the sum may end below 1 */
    for (size_t i = 0; i < p->count; i++) {
        if (p->probabilities[i] <= 0)
            continue;
        last = i;
        sum += p->probabilities[i];
        if (u < sum)
            break;
    }
    return (double)last;
}

static double uniform_quantile(const struct param *p, double u)
{
    struct raster r = raster_of(p);
    /* int_uniform: each of the numbers is as likely.  A coarser raster rounds,
     * as W&B does, and its outermost values get half. */
    if (r.quantum == 1 && p->whole)
        return r.first + floor(u * (r.last - r.first + 1));
    return p->low + u * (p->high - p->low);
}

static double log_uniform_quantile(const struct param *p, double u)
{
    assert(p->low > 0);
    double low = log(p->low);
    return exp(low + u * (log(p->high) - low));
}

double param_quantile(const struct param *p, double u)
{
    assert(u >= 0 && u < 1);
    double inside = fmax(u, 0x1p-54);   /* where 0 would be minus infinity */
    double x = 0;
    switch (p->distribution) {
    case DIST_CHOICE:
        return choice_quantile(p, u);
    case DIST_UNIFORM:
        x = uniform_quantile(p, u);
        break;
    case DIST_LOG_UNIFORM:
    /* Where ln(1/x) is uniform so is ln(x): only the file gives other bounds. */
    case DIST_INV_LOG_UNIFORM:
        x = log_uniform_quantile(p, u);
        break;
    case DIST_NORMAL:
        x = p->mu + p->sigma * normal_quantile(inside);
        break;
    case DIST_LOG_NORMAL:
        x = exp(p->mu + p->sigma * normal_quantile(inside));
        break;
    case DIST_BETA:
        x = beta_quantile(p->a, p->b, u);
        break;
    }
    return param_clip(p, x);
}

uint64_t param_count(const struct param *p)
{
    double low, high;
    range(p, &low, &high);
    if (low == high)
        return 1;
    struct raster r = raster_of(p);
    if (r.quantum == 0)
        return 0;
    double count = r.last - r.first + 1;
    return count <= COUNT_MAX ? (uint64_t)count : 0;
}

double param_nth(const struct param *p, uint64_t i)
{
    assert(i < param_count(p));
    struct raster r = raster_of(p);
    return r.quantum > 0 ? raster_value(&r, r.first + (double)i) : p->low;
}

uint64_t param_rank(const struct param *p, double x)
{
    struct raster r = raster_of(p);
    double n = r.quantum > 0 ? rint(x / r.quantum) - r.first : 0;
    assert(n >= 0 && n <= COUNT_MAX);
    return (uint64_t)n;
}
