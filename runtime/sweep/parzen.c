/* parzen.c - see parzen.h for the contract.
 *
 * A kernel is a normal distribution cut off at 0 and 1, in each coordinate as
 * wide as the gap to its further neighbour; of a choice, one that is most
 * likely to repeat it.  A suggestion asks the densities of two dozen points
 * under a thousand kernels: so normalisations are kept in the lanes until a
 * neighbour changes, and a kernel too far away to count costs no exponential.
 */
#include "sweep/parzen.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/cdf.h"

/* The newest trials have full weight, those before them the less the older. */
#define RECENT 25u
/* No kernel is narrower than this part of the range. */
#define KERNELS_FINEST 100.0
/* e^-40 of the largest term is lost in rounding. */
#define TERM_REACH 40.0

typedef double quad __attribute__((vector_size(32), aligned(8)));
#define QUAD 4u

static bool reserve(double **array, size_t count)
{
    double *grown = realloc(*array, count * sizeof *grown);
    if (grown != NULL)
        *array = grown;
    return grown != NULL;
}

bool parzen_reserve(struct parzen *p, uint32_t kernel_cap, uint32_t lane_cap, uint32_t slot_cap)
{
    kernel_cap = (kernel_cap + QUAD - 1) / QUAD * QUAD;
    if (kernel_cap <= p->kernel_cap && lane_cap <= p->lane_cap && slot_cap <= p->slot_cap)
        return true;
    size_t all = (size_t)kernel_cap * lane_cap;
    if (!reserve(&p->mu, all) || !reserve(&p->inverse, all) || !reserve(&p->weight, kernel_cap) ||
        !reserve(&p->log_scale, kernel_cap) || !reserve(&p->term, kernel_cap))
        return false;
    uint32_t *kernel_of = realloc(p->kernel_of, slot_cap * sizeof *kernel_of);
    if (kernel_of == NULL)
        return false;
    p->kernel_of = kernel_of;
    p->kernel_cap = kernel_cap;
    p->lane_cap = lane_cap;
    p->slot_cap = slot_cap;
    p->kernels = 0;
    return true;
}

void parzen_fini(struct parzen *p)
{
    free(p->mu);
    free(p->inverse);
    free(p->weight);
    free(p->log_scale);
    free(p->term);
    free(p->kernel_of);
    *p = (struct parzen){0};
}

/* ---- fitting -------------------------------------------------------------------- */

/* Of @count trials, oldest first, and the prior. */
static void set_weights(double *weight, uint32_t count)
{
    double sum = 1;
    weight[count] = 1;
    uint32_t ramp = count > RECENT ? count - RECENT : 0;
    for (uint32_t i = 0; i < count; i++) {
        double first = 1.0 / count;
        weight[i] = i >= ramp ? 1 : ramp == 1 ? first : first + (1 - first) * i / (ramp - 1);
        sum += weight[i];
    }
    for (uint32_t i = 0; i <= count; i++)
        weight[i] /= sum;
}

/* Of a normal distribution around @mu in [0, 1], what is between 0 and 1: both
 * halves are positive, so nothing cancels. */
static double mass_inside(double mu, double sigma)
{
    double scale = M_SQRT1_2 / sigma;
    return 0.5 * (erf((1 - mu) * scale) + erf(mu * scale));
}

/* The logarithm of what a kernel's exponential is divided by. */
static double log_norm(const struct axis *axis, double mu, double sigma)
{
    double mass = mass_inside(mu, sigma);
    return log(axis->kind == AXIS_REAL ? mass * sigma : mass);
}

/* One kernel's width: the larger gap, but at the ends the inner one, and
 * where it is alone the larger distance to the bounds. */
static double width_of(double before, double at, double after, bool first, bool last)
{
    if (first != last)
        return first ? after - at : at - before;
    return fmax(at - before, after - at);
}

static void set_kernel(struct parzen *p, uint32_t lane, uint32_t slot, double width)
{
    struct lane *l = p->lane[lane];
    double sigma = fmin(fmax(width, 1 / fmin(KERNELS_FINEST, p->kernels + 1)), 1);
    if (l->sigma[slot] != sigma) {
        l->sigma[slot] = sigma;
        l->log_norm[slot] = log_norm(&l->axis, l->t[slot], sigma);
    }
    uint32_t kernel = p->kernel_of[slot];
    p->mu[(size_t)lane * p->kernel_cap + kernel] = l->t[slot];
    p->inverse[(size_t)lane * p->kernel_cap + kernel] = 1 / sigma;
    p->log_scale[kernel] -= l->log_norm[slot];
}

/* Along the lane's order, with the one before and the one after at hand. */
static void set_kernels(struct parzen *p, uint32_t lane)
{
    const struct lane *l = p->lane[lane];
    uint32_t count = p->kernels - 1, done = 0, current = 0;
    double before = 0, at = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        uint32_t slot = l->sorted[i];
        if (p->kernel_of[slot] == UINT32_MAX)
            continue;
        if (done > 0) {
            set_kernel(p, lane, current, width_of(before, at, l->t[slot], done == 1, false));
            before = at;
        }
        at = l->t[slot];
        current = slot;
        done++;
    }
    assert(done == count);
    if (count > 0)
        set_kernel(p, lane, current, width_of(before, at, 1, count == 1, true));
}

static void set_choices(struct parzen *p, uint32_t lane, const uint32_t *slots, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        p->mu[(size_t)lane * p->kernel_cap + i] = p->lane[lane]->t[slots[i]];
}

static void set_prior(struct parzen *p, uint32_t lane)
{
    const struct axis *axis = &p->lane[lane]->axis;
    size_t at = (size_t)lane * p->kernel_cap + p->kernels - 1;
    if (axis->kind == AXIS_CHOICE) {
        p->mu[at] = -1;
        return;
    }
    p->mu[at] = 0.5;
    p->inverse[at] = 1 / axis->prior_sigma;
    p->log_scale[p->kernels - 1] -= log_norm(axis, 0.5, axis->prior_sigma);
}

/* Kernels are evaluated four at a time; those that fill up the last four count
 * for nothing. */
static void set_padding(struct parzen *p)
{
    for (uint32_t k = p->kernels; k % QUAD != 0; k++) {
        p->log_scale[k] = -INFINITY;
        for (uint32_t lane = 0; lane < p->lanes; lane++) {
            p->mu[(size_t)lane * p->kernel_cap + k] = 0;
            p->inverse[(size_t)lane * p->kernel_cap + k] = 0;
        }
    }
}

void parzen_fit(struct parzen *p, struct lane *const *lanes, uint32_t lane_count,
                const uint32_t *slots, uint32_t count, uint32_t slot_count)
{
    assert(count < p->kernel_cap && lane_count <= p->lane_cap && slot_count <= p->slot_cap);
    p->kernels = count + 1;
    p->lanes = lane_count;
    p->lane = lanes;
    memset(p->kernel_of, 0xff, slot_count * sizeof *p->kernel_of);
    set_weights(p->weight, count);
    for (uint32_t i = 0; i < count; i++)
        p->kernel_of[slots[i]] = i;
    for (uint32_t i = 0; i <= count; i++)
        p->log_scale[i] = log(p->weight[i]);
    for (uint32_t lane = 0; lane < lane_count; lane++) {
        if (lanes[lane]->axis.kind == AXIS_CHOICE)
            set_choices(p, lane, slots, count);
        else
            set_kernels(p, lane);
        set_prior(p, lane);
    }
    set_padding(p);
}

/* ---- drawing ---------------------------------------------------------------------- */

static double draw_normal(double mu, double sigma, double u)
{
    double low = normal_cdf(-mu / sigma), high = normal_cdf((1 - mu) / sigma);
    double inside = fmin(fmax(low + u * (high - low), 0x1p-54), 1 - 0x1p-53);
    return fmin(fmax(mu + sigma * normal_quantile(inside), 0), 1);
}

static double prior_probability(const struct param *p, size_t choice)
{
    return p->probabilities ? p->probabilities[choice] : 1 / (double)p->count;
}

/* How much of a choice's kernel is the prior's: one part in kernels for each
 * choice, and one for what was observed. */
static double prior_share(const struct parzen *p, const struct param *param)
{
    double prior = (double)param->count / p->kernels;
    return prior / (1 + prior);
}

static double draw_choice(const struct parzen *p, const struct param *param, double mu, double u)
{
    double share = mu < 0 ? 1 : prior_share(p, param);
    return u < share ? param_quantile(param, u / share) : mu;
}

void parzen_draw(const struct parzen *p, struct rng *r, double *x)
{
    double u = rng_f64(r);
    uint32_t kernel = 0;
    for (; kernel + 1 < p->kernels && u >= p->weight[kernel]; kernel++)
        u -= p->weight[kernel];
    for (uint32_t lane = 0; lane < p->lanes; lane++) {
        const struct axis *axis = &p->lane[lane]->axis;
        size_t at = (size_t)lane * p->kernel_cap + kernel;
        u = rng_f64(r);
        x[lane] = axis->kind == AXIS_CHOICE
                      ? draw_choice(p, axis->param, p->mu[at], u)
                      : axis_value(axis, draw_normal(p->mu[at], 1 / p->inverse[at], u));
    }
}

/* ---- densities ---------------------------------------------------------------------- */

static void add_real(struct parzen *p, uint32_t lane, double t)
{
    const double *mu = p->mu + (size_t)lane * p->kernel_cap;
    const double *inverse = p->inverse + (size_t)lane * p->kernel_cap;
    for (uint32_t k = 0; k < p->kernels; k += QUAD) {
        quad z = (t - *(const quad *)(mu + k)) * *(const quad *)(inverse + k);
        *(quad *)(p->term + k) -= 0.5 * z * z;
    }
}

/* The probability of the cell around @x. */
static void add_raster(struct parzen *p, uint32_t lane, double x)
{
    const double *mu = p->mu + (size_t)lane * p->kernel_cap;
    const double *inverse = p->inverse + (size_t)lane * p->kernel_cap;
    double left, right;
    axis_cell(&p->lane[lane]->axis, x, &left, &right);
    for (uint32_t k = 0; k < p->kernels; k++) {
        double a = (left - mu[k]) * inverse[k], b = (right - mu[k]) * inverse[k];
        /* On the side of the tail, where small numbers are exact. */
        double mass = a > 0 ? normal_cdf(-a) - normal_cdf(-b) : normal_cdf(b) - normal_cdf(a);
        p->term[k] += log(mass);
    }
}

static void add_choice(struct parzen *p, uint32_t lane, double x)
{
    const double *mu = p->mu + (size_t)lane * p->kernel_cap;
    const struct param *param = p->lane[lane]->axis.param;
    double prior = prior_probability(param, (size_t)x), share = prior_share(p, param);
    double miss = log(share * prior), hit = log(share * prior + 1 - share);
    for (uint32_t k = 0; k + 1 < p->kernels; k++)
        p->term[k] += mu[k] == x ? hit : miss;
    p->term[p->kernels - 1] += log(prior);
}

static double log_sum_exp(const double *term, uint32_t count)
{
    double max = -INFINITY, sum = 0;
    for (uint32_t k = 0; k < count; k++)
        max = term[k] > max ? term[k] : max;
    if (isinf(max))
        return max;
    for (uint32_t k = 0; k < count; k++)
        if (term[k] > max - TERM_REACH)
            sum += exp(term[k] - max);
    return max + log(sum);
}

double parzen_log_density(struct parzen *p, const double *x)
{
    memcpy(p->term, p->log_scale, (p->kernels + QUAD - 1) / QUAD * QUAD * sizeof *p->term);
    for (uint32_t lane = 0; lane < p->lanes; lane++) {
        const struct axis *axis = &p->lane[lane]->axis;
        switch (axis->kind) {
        case AXIS_REAL:
            add_real(p, lane, axis_coordinate(axis, x[lane]));
            break;
        case AXIS_RASTER:
            add_raster(p, lane, x[lane]);
            break;
        case AXIS_CHOICE:
            add_choice(p, lane, x[lane]);
            break;
        case AXIS_FIXED:
            break;
        }
    }
    return log_sum_exp(p->term, p->kernels);
}
