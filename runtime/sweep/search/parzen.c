/* parzen.c - see parzen.h for the contract.
 *
 * A kernel is a normal distribution cut off at 0 and 1, in each coordinate as
 * wide as the gap to its further neighbour, or a part of it; of a choice, one that is most
 * likely to repeat it.  A suggestion asks the densities of two dozen points
 * under a thousand kernels: so normalisations are kept in the lanes until a
 * neighbour changes, and a kernel too far away to count costs no exponential.
 */
#include "sweep/search/parzen.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/space/cdf.h"

/* The newest trials have full weight, those before them the less the older. */
#define RECENT 25u
/* No kernel is narrower than this part of the range. */
#define KERNELS_FINEST 100.0
#define GAP_ERROR 1e-6          /* of a whole number of cells, by rounding */

/* Floats are exact enough to compare densities, and twice as fast. */
typedef float vector __attribute__((vector_size(16), aligned(4)));
typedef int32_t mask __attribute__((vector_size(16)));
#define VECTOR 4u
/* The logarithm of nothing, without the pitfalls of infinity. */
#define LOG_NOTHING (-1e30f)

static uint32_t padded(uint32_t count)
{
    return (count + VECTOR - 1) / VECTOR * VECTOR;
}

static bool reserve(float **array, size_t count)
{
    float *grown = realloc(*array, count * sizeof *grown);
    if (grown != NULL)
        *array = grown;
    return grown != NULL;
}

static bool reserve_offsets(int32_t **array, size_t count)
{
    int32_t *grown = realloc(*array, count * sizeof *grown);
    if (grown != NULL)
        *array = grown;
    return grown != NULL;
}

static bool reserve_doubles(double **array, size_t count)
{
    double *grown = realloc(*array, count * sizeof *grown);
    if (grown != NULL)
        *array = grown;
    return grown != NULL;
}

bool parzen_reserve(struct parzen *p, uint32_t kernel_cap, uint32_t lane_cap, uint32_t slot_cap)
{
    kernel_cap = padded(kernel_cap);
    if (kernel_cap <= p->kernel_cap && lane_cap <= p->lane_cap && slot_cap <= p->slot_cap)
        return true;
    size_t all = (size_t)kernel_cap * lane_cap;
    if (!reserve(&p->mu, all) || !reserve(&p->inverse, all) || !reserve_offsets(&p->offset, all) ||
        !reserve(&p->scale, kernel_cap) || !reserve(&p->term, kernel_cap) ||
        !reserve(&p->kept, kernel_cap) || !reserve_doubles(&p->weight, kernel_cap) ||
        !reserve_doubles(&p->log_scale, kernel_cap))
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
    free(p->offset);
    free(p->weight);
    free(p->log_scale);
    free(p->scale);
    free(p->term);
    free(p->kept);
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
    double left = at - before, right = after - at;
    if (first != last)
        return first ? right : left;
    return left > right ? left : right;
}

/* The part of a gap that is wanted.  Of a raster it is a whole number of cells again, for
 * the tables. */
static double scaled(const struct parzen *p, const struct lane *lane, double gap)
{
    double width = gap * p->shape.width;
    if (lane->cells == 0 || p->shape.width == 1)
        return width;
    return ceil(width * lane->cells - GAP_ERROR) / lane->cells;
}

/* Gaps between trials are whole numbers of cells.  A trial that is alone has none, and
 * no place in the table. */
static void set_offset(struct parzen *p, uint32_t lane, uint32_t kernel, double t, double width)
{
    struct lane *l = p->lane[lane];
    uint32_t row = p->narrow_row, length = 2 * l->cells - 1, cell = (uint32_t)(t * l->cells);
    double sigma = p->narrowest;
    int32_t *offset = p->offset + (size_t)lane * p->kernel_cap;
    if (width > p->narrowest) {
        uint32_t gap = (uint32_t)(width * l->cells + 0.5);
        if (fabs(width * l->cells - gap) > GAP_ERROR || gap == 0 || gap >= l->cells) {
            offset[p->kernels - 1] = -1;
            return;
        }
        sigma = (double)gap / l->cells;
        row = gap + 1;
    }
    lane_row(l, row, sigma);
    offset[kernel] = (int32_t)(row * length + l->cells - 1 - (cell < l->cells ? cell : l->cells - 1));
}

static void set_kernel(struct parzen *p, uint32_t lane, uint32_t slot, double gap)
{
    struct lane *l = p->lane[lane];
    double width = scaled(p, l, gap);
    double sigma = width > p->narrowest ? width : p->narrowest;
    if (l->sigma[slot] != sigma) {
        l->sigma[slot] = sigma;
        l->log_norm[slot] = log_norm(&l->axis, l->t[slot], sigma);
    }
    uint32_t kernel = p->kernel_of[slot];
    p->mu[(size_t)lane * p->kernel_cap + kernel] = (float)l->t[slot];
    p->inverse[(size_t)lane * p->kernel_cap + kernel] = 1 / (float)sigma;
    p->log_scale[kernel] -= l->log_norm[slot];
    if (l->cells > 0)
        set_offset(p, lane, kernel, l->t[slot], width);
}

/* Along the lane's order, with the one before and the one after at hand. */
static void set_kernels(struct parzen *p, uint32_t lane)
{
    const struct lane *l = p->lane[lane];
    uint32_t count = p->kernels - 1, done = 0, current = 0;
    double before = 0, at = 0;
    p->offset[(size_t)lane * p->kernel_cap + count] = 0;
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
        p->mu[(size_t)lane * p->kernel_cap + i] = (float)p->lane[lane]->t[slots[i]];
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
    p->inverse[at] = (float)(1 / axis->prior_sigma);
    p->log_scale[p->kernels - 1] -= log_norm(axis, 0.5, axis->prior_sigma);
}

/* Kernels are evaluated a vector at a time; those that fill up the last one
 * count for nothing. */
static void set_padding(struct parzen *p)
{
    for (uint32_t k = p->kernels; k % VECTOR != 0; k++) {
        p->log_scale[k] = LOG_NOTHING;
        for (uint32_t lane = 0; lane < p->lanes; lane++) {
            p->mu[(size_t)lane * p->kernel_cap + k] = 0;
            p->offset[(size_t)lane * p->kernel_cap + k] = 0;
            p->inverse[(size_t)lane * p->kernel_cap + k] = 0;
        }
    }
}

void parzen_fit(struct parzen *p, struct lane *const *lanes, uint32_t lane_count,
                const uint32_t *slots, uint32_t count, uint32_t slot_count)
{
    assert(count < p->kernel_cap && lane_count <= p->lane_cap && slot_count <= p->slot_cap);
    p->kernels = count + 1;
    p->narrowest = 1 / fmin(KERNELS_FINEST, p->shape.finest * (p->kernels + 1));
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
    for (uint32_t k = 0; k < padded(p->kernels); k++)
        p->scale[k] = (float)p->log_scale[k];
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

uint32_t parzen_pick(const struct parzen *p, struct rng *r)
{
    double u = rng_f64(r);
    uint32_t kernel = 0;
    for (; kernel + 1 < p->kernels && u >= p->weight[kernel]; kernel++)
        u -= p->weight[kernel];
    return kernel;
}

double parzen_draw(const struct parzen *p, struct rng *r, uint32_t kernel, uint32_t lane)
{
    const struct axis *axis = &p->lane[lane]->axis;
    size_t at = (size_t)lane * p->kernel_cap + kernel;
    double u = rng_f64(r), mu = p->mu[at];
    return axis->kind == AXIS_CHOICE ? draw_choice(p, axis->param, mu, u)
                                     : axis_value(axis, draw_normal(mu, 1 / p->inverse[at], u));
}

/* ---- densities ---------------------------------------------------------------------- */

/* The kernels' densities along one lane at a value are taken @times: once, or
 * minus once, where a value is replaced by another. */

static void add_real(struct parzen *p, uint32_t lane, float t, float times)
{
    const float *mu = p->mu + (size_t)lane * p->kernel_cap;
    const float *inverse = p->inverse + (size_t)lane * p->kernel_cap;
    float factor = -0.5f * times;
    for (uint32_t k = 0; k < p->kernels; k += VECTOR) {
        vector z = (t - *(const vector *)(mu + k)) * *(const vector *)(inverse + k);
        *(vector *)(p->term + k) += factor * z * z;
    }
}

/* The probability of the cell around @x.  Trials gather on few values, and most
 * of them have the narrowest kernel: along the lane's order the same mass comes
 * many times in a row. */
static void add_raster(struct parzen *p, uint32_t lane, double x, float times)
{
    const struct lane *l = p->lane[lane];
    const float *mu = p->mu + (size_t)lane * p->kernel_cap;
    const float *inverse = p->inverse + (size_t)lane * p->kernel_cap;
    float last_mu = NAN, last_inverse = NAN, mass = 0;
    double left, right;
    axis_cell(&l->axis, x, &left, &right);
    for (uint32_t i = 0; i <= l->count; i++) {
        uint32_t k = i < l->count ? p->kernel_of[l->sorted[i]] : p->kernels - 1;
        if (k == UINT32_MAX)
            continue;
        if (mu[k] != last_mu || inverse[k] != last_inverse) {
            last_mu = mu[k];
            last_inverse = inverse[k];
            mass = (float)log_mass((left - mu[k]) * inverse[k], (right - mu[k]) * inverse[k]);
        }
        p->term[k] += times * mass;
    }
}

/* The same from the lane's table, where the prior is apart.  What fills up the last vector
 * counts for nothing. */
static void add_tabled(struct parzen *p, uint32_t lane, double x, float times)
{
    const struct lane *l = p->lane[lane];
    size_t first = (size_t)lane * p->kernel_cap;
    const int32_t *offset = p->offset + first;
    uint32_t cell = (uint32_t)(axis_coordinate(&l->axis, x) * l->cells), prior = p->kernels - 1;
    const float *mass = l->mass + (cell < l->cells ? cell : l->cells - 1);
    float prior_after = p->term[prior] + times * l->prior_mass[mass - l->mass];
    for (uint32_t k = 0; k < p->kernels; k += VECTOR) {
        vector found = {mass[offset[k]], mass[offset[k + 1]], mass[offset[k + 2]], mass[offset[k + 3]]};
        *(vector *)(p->term + k) += times * found;
    }
    p->term[prior] = prior_after;
}

static void add_choice(struct parzen *p, uint32_t lane, double x, float times)
{
    const double least = 1e-300;        /* a choice of probability 0 still has a logarithm */
    const float *mu = p->mu + (size_t)lane * p->kernel_cap;
    const struct param *param = p->lane[lane]->axis.param;
    double prior = fmax(prior_probability(param, (size_t)x), least);
    double share = prior_share(p, param);
    vector miss = (vector){0} + times * (float)log(share * prior);
    vector hit = (vector){0} + times * (float)log(share * prior + 1 - share);
    float *prior_term = &p->term[p->kernels - 1];
    float prior_after = *prior_term + times * (float)log(prior);
    for (uint32_t k = 0; k < p->kernels; k += VECTOR) {
        mask is_hit = *(const vector *)(mu + k) == (float)x;
        *(vector *)(p->term + k) += (vector)(((mask)hit & is_hit) | ((mask)miss & ~is_hit));
    }
    *prior_term = prior_after;
}

static void add_lane(struct parzen *p, uint32_t lane, double x, float times)
{
    const struct axis *axis = &p->lane[lane]->axis;
    switch (axis->kind) {
    case AXIS_REAL:
        add_real(p, lane, (float)axis_coordinate(axis, x), times);
        break;
    case AXIS_RASTER:
        if (p->lane[lane]->cells > 0 && p->offset[(size_t)lane * p->kernel_cap + p->kernels - 1] == 0)
            add_tabled(p, lane, x, times);
        else
            add_raster(p, lane, x, times);
        break;
    case AXIS_CHOICE:
        add_choice(p, lane, x, times);
        break;
    case AXIS_FIXED:
        break;
    }
}

static vector larger(vector a, vector b)
{
    mask is_larger = a > b;
    return (vector)(((mask)a & is_larger) | ((mask)b & ~is_larger));
}

/* e^x for x <= 0; e^-80 stands for all that is less.
 * 2^n for the whole part n of x / ln 2 goes into the exponent's bits: adding
 * 1.5 * 2^23 leaves it in the lowest ones.  The rest is in [-1/2, 1/2], where
 * Taylor's series is short: this one is exact to 3e-6. */
static vector exp_vector(vector x)
{
    const float to_bits = 12582912.0f;
    vector y = larger(x, (vector){0} - 80.0f) * 1.44269504f;
    vector shifted = y + to_bits;
    vector f = y - (shifted - to_bits);
    vector power = 0.0013333558f * f + 0.0096181291f;
    power = power * f + 0.055504109f;
    power = power * f + 0.24022651f;
    power = power * f + 0.69314718f;
    power = power * f + 1.0f;
    return (vector)((mask)power + ((mask)shifted << 23));
}

static double log_sum_exp(const float *term, uint32_t count)
{
    vector max = {0}, sum = {0};
    max += LOG_NOTHING;
    for (uint32_t k = 0; k < count; k += VECTOR)
        max = larger(*(const vector *)(term + k), max);
    float top = max[0];
    for (uint32_t i = 1; i < VECTOR; i++)
        top = max[i] > top ? max[i] : top;
    for (uint32_t k = 0; k < count; k += VECTOR)
        sum += exp_vector(*(const vector *)(term + k) - top);
    double all = 0;
    for (uint32_t i = 0; i < VECTOR; i++)
        all += (double)sum[i];
    return top + log(all);
}

double parzen_log_density(struct parzen *p, const double *x)
{
    memcpy(p->term, p->scale, padded(p->kernels) * sizeof *p->term);
    for (uint32_t lane = 0; lane < p->lanes; lane++)
        add_lane(p, lane, x[lane], 1);
    return log_sum_exp(p->term, p->kernels);
}

void parzen_keep(struct parzen *p)
{
    float *term = p->term;
    p->term = p->kept;
    p->kept = term;
}

double parzen_log_density_near(struct parzen *p, const double *kept, const double *x)
{
    memcpy(p->term, p->kept, padded(p->kernels) * sizeof *p->term);
    for (uint32_t lane = 0; lane < p->lanes; lane++) {
        if (x[lane] == kept[lane])
            continue;
        add_lane(p, lane, kept[lane], -1);
        add_lane(p, lane, x[lane], 1);
    }
    return log_sum_exp(p->term, p->kernels);
}
