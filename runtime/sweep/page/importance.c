/* importance.c - see importance.h for the method.
 *
 * Trees are not kept.  A tree is grown depth first, and the path from the root is
 * the box of the node at hand: `box` has the bins still in it, a word a parameter,
 * and `path` names the parameters that were split on it.  A leaf adds its part to the
 * sums that the analysis needs, and predicts those samples that the tree has not seen. */
#include "sweep/page/importance.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/space/rng.h"

#define DEPTH_MAX 24
#define LEAF_MIN 2              /* samples of a leaf */
#define SEED 0x636f766579       /* any: results are to be repeatable, not secret */

struct forest {
    const struct importance_input *in;
    double *values;             /* owned; clipped; shuffled for the floor */
    uint32_t *bag, *rest;       /* owned; samples that the tree is grown from, and the others */
    uint32_t *spare;            /* owned; of a partition */
    uint32_t bag_size;
    bool *drawn;                /* owned; is in the bag */
    struct rng rng;
    /* the node at hand */
    uint64_t *box;              /* owned; a word a parameter */
    uint32_t path[DEPTH_MAX];
    /* of the tree: sums over leaves */
    double mean, square;        /* of value and of its square, by volume */
    double *inner;              /* owned; params x bins: what lies in boxes narrower than the whole there */
    double *narrow;             /* owned; of each parameter: the mean's part in such boxes */
    /* of the forest: sums over trees */
    double *share;              /* borrowed, from struct importance */
    double *marginal;           /* borrowed; NULL: not wanted */
    double *predicted;          /* owned; of each sample, over the trees that have not seen it */
    uint32_t *predictions;      /* owned */
};

struct split {
    double gain;                /* of the sum of squares */
    uint32_t param;
    uint64_t left;              /* bins */
};

static uint64_t all_bins(uint8_t bins) { return bins == 64 ? UINT64_MAX : (UINT64_C(1) << bins) - 1; }

uint8_t importance_bin(double low, double high, double x, uint8_t bins)
{
    double at = high > low ? (x - low) / (high - low) * bins : 0;
    assert(bins >= 1 && bins <= IMPORTANCE_BINS_MAX);
    return at <= 0 || isnan(at) ? 0 : at >= bins ? (uint8_t)(bins - 1) : (uint8_t)at;
}

static uint8_t bin_of(const struct forest *f, uint32_t sample, uint32_t param)
{
    return f->in->bins[(size_t)sample * f->in->params + param];
}

/* ---- the best split of a node ------------------------------------------------------ */

struct histogram {
    double sum[IMPORTANCE_BINS_MAX];
    uint32_t count[IMPORTANCE_BINS_MAX];
    uint8_t order[IMPORTANCE_BINS_MAX]; /* bins that are not empty; `used` of them */
    uint8_t used;
};

static void count_bins(const struct forest *f, const uint32_t *samples, uint32_t n, uint32_t param, struct histogram *h)
{
    memset(h, 0, sizeof *h);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t bin = bin_of(f, samples[i], param);
        h->sum[bin] += f->values[samples[i]];
        h->count[bin]++;
    }
    for (uint8_t bin = 0; bin < f->in->param[param].bins; bin++)
        if (h->count[bin])
            h->order[h->used++] = bin;
}

/* By their means, an insertion sort: there are few. */
static void order_choices(struct histogram *h)
{
    for (int i = 1; i < h->used; i++) {
        uint8_t bin = h->order[i];
        double mean = h->sum[bin] / h->count[bin];
        int k = i;
        for (; k > 0 && h->sum[h->order[k - 1]] / h->count[h->order[k - 1]] > mean; k--)
            h->order[k] = h->order[k - 1];
        h->order[k] = bin;
    }
}

/* The bins left of a split after the first @k of h->order.  Between two bins with samples
 * an ordered parameter is split half way; choices without samples go with the larger side. */
static uint64_t left_bins(const struct histogram *h, const struct importance_param *p, int k, bool larger)
{
    uint64_t left = 0, seen = 0;
    if (p->ordered)
        return all_bins((uint8_t)((h->order[k - 1] + h->order[k] + 1) / 2));
    for (int i = 0; i < h->used; i++) {
        seen |= UINT64_C(1) << h->order[i];
        if (i < k)
            left |= UINT64_C(1) << h->order[i];
    }
    return larger ? left | (all_bins(p->bins) & ~seen) : left;
}

static void split_on(const struct forest *f, const uint32_t *samples, uint32_t n, double sum, uint32_t param,
                     struct split *best)
{
    struct histogram h;
    const struct importance_param *p = &f->in->param[param];
    double left_sum = 0;
    uint32_t left_count = 0;
    count_bins(f, samples, n, param, &h);
    if (!p->ordered)
        order_choices(&h);
    for (int k = 1; k < h.used; k++) {
        left_sum += h.sum[h.order[k - 1]];
        left_count += h.count[h.order[k - 1]];
        if (left_count < LEAF_MIN || n - left_count < LEAF_MIN)
            continue;
        double right_sum = sum - left_sum;
        double gain = left_sum * left_sum / left_count + right_sum * right_sum / (n - left_count) - sum * sum / n;
        if (gain > best->gain)
            *best = (struct split){gain, param, left_bins(&h, p, k, left_count * 2 >= n)};
    }
}

/* ---- a tree --------------------------------------------------------------------------- */

static void add_leaf(struct forest *f, double value, const uint32_t *rest, uint32_t rest_count, int depth)
{
    uint32_t narrowed[DEPTH_MAX];
    int count = 0;
    double volume = 1;
    for (int i = 0; i < depth; i++) {
        bool seen = false;
        for (int k = 0; k < count && !seen; k++)
            seen = narrowed[k] == f->path[i];
        if (seen)
            continue;
        narrowed[count++] = f->path[i];
        volume *= (double)__builtin_popcountll(f->box[f->path[i]]) / f->in->param[f->path[i]].bins;
    }
    f->mean += value * volume;
    f->square += value * value * volume;
    for (int k = 0; k < count; k++) {
        uint32_t param = narrowed[k];
        uint64_t bins = f->box[param];
        double others = volume * f->in->param[param].bins / __builtin_popcountll(bins);
        f->narrow[param] += value * volume;
        for (; bins; bins &= bins - 1)
            f->inner[param * IMPORTANCE_BINS_MAX + (uint32_t)__builtin_ctzll(bins)] += value * others;
    }
    for (uint32_t i = 0; i < rest_count; i++) {
        f->predicted[rest[i]] += value;
        f->predictions[rest[i]]++;
    }
}

/* Those whose bin is in @split->left come first, in their order.  Returns how many. */
static uint32_t partition(struct forest *f, uint32_t *samples, uint32_t n, const struct split *split)
{
    uint32_t left = 0, right = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (split->left >> bin_of(f, samples[i], split->param) & 1)
            samples[left++] = samples[i];
        else
            f->spare[right++] = samples[i];
    }
    memcpy(samples + left, f->spare, right * sizeof *samples);
    return left;
}

static void grow(struct forest *f, uint32_t *bag, uint32_t n, uint32_t *rest, uint32_t rest_count, int depth)
{
    double sum = 0, square = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += f->values[bag[i]];
        square += f->values[bag[i]] * f->values[bag[i]];
    }
    /* Less than this is rounding, and a node that gains nothing is a leaf. */
    struct split best = {.gain = 1e-12 * square};
    if (depth < DEPTH_MAX && n >= 2 * LEAF_MIN)
        for (uint32_t param = 0; param < f->in->params; param++)
            split_on(f, bag, n, sum, param, &best);
    if (best.left == 0) {
        add_leaf(f, sum / n, rest, rest_count, depth);
        return;
    }
    uint64_t before = f->box[best.param];
    uint32_t left = partition(f, bag, n, &best), rest_left = partition(f, rest, rest_count, &best);
    f->path[depth] = best.param;
    f->box[best.param] = before & best.left;
    grow(f, bag, left, rest, rest_left, depth + 1);
    f->path[depth] = best.param;
    f->box[best.param] = before & ~best.left;
    grow(f, bag + left, n - left, rest + rest_left, rest_count - rest_left, depth + 1);
    f->box[best.param] = before;
}

/* With replacement. */
static uint32_t draw_bag(struct forest *f)
{
    uint32_t samples = f->in->samples, rest = 0;
    memset(f->drawn, 0, samples * sizeof *f->drawn);
    for (uint32_t i = 0; i < f->bag_size; i++) {
        f->bag[i] = (uint32_t)rng_below(&f->rng, samples);
        f->drawn[f->bag[i]] = true;
    }
    for (uint32_t i = 0; i < samples; i++)
        if (!f->drawn[i])
            f->rest[rest++] = i;
    return rest;
}

/* From the leaves' sums to the variance of each parameter's marginal. */
static void analyse_tree(struct forest *f, double weight)
{
    double variance = f->square - f->mean * f->mean;
    for (uint32_t param = 0; param < f->in->params; param++) {
        uint8_t bins = f->in->param[param].bins;
        double own = 0, elsewhere = f->mean - f->narrow[param];
        for (uint8_t bin = 0; bin < bins; bin++) {
            double at = elsewhere + f->inner[param * IMPORTANCE_BINS_MAX + bin];
            own += (at - f->mean) * (at - f->mean) / bins;
            if (f->marginal)
                f->marginal[param * IMPORTANCE_BINS_MAX + bin] += at * weight;
        }
        if (variance > 0)
            f->share[param] += own / variance * weight;
    }
}

static void grow_forest(struct forest *f, int trees)
{
    for (int i = 0; i < trees; i++) {
        uint32_t rest = draw_bag(f);
        f->mean = f->square = 0;
        memset(f->inner, 0, f->in->params * IMPORTANCE_BINS_MAX * sizeof *f->inner);
        memset(f->narrow, 0, f->in->params * sizeof *f->narrow);
        for (uint32_t param = 0; param < f->in->params; param++)
            f->box[param] = all_bins(f->in->param[param].bins);
        grow(f, f->bag, f->bag_size, f->rest, rest, 0);
        analyse_tree(f, 1.0 / trees);
    }
}

/* ---- values ---------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Clip, and centre on the mean: differences are what counts, and sums stay exact.  Returns the mean. */
static double take_values(struct forest *f)
{
    uint32_t n = f->in->samples;
    double mean = 0;
    memcpy(f->values, f->in->values, n * sizeof *f->values);
    qsort(f->values, n, sizeof *f->values, by_value);
    double low = f->values[n / 20], high = f->values[n - 1 - n / 20], room = high - low;
    for (uint32_t i = 0; i < n; i++) {
        double x = f->in->values[i];
        if (room > 0)
            x = x < low - room ? low - room : x > high + room ? high + room : x;
        f->values[i] = x;
        mean += x / n;
    }
    for (uint32_t i = 0; i < n; i++)
        f->values[i] -= mean;
    return mean;
}

static double out_of_bag_fit(const struct forest *f)
{
    double error = 0, all = 0;
    for (uint32_t i = 0; i < f->in->samples; i++) {
        if (f->predictions[i] == 0)
            continue;
        double miss = f->values[i] - f->predicted[i] / f->predictions[i];
        error += miss * miss;
        all += f->values[i] * f->values[i];
    }
    return all > 0 ? 1 - error / all : 0;
}

static void shuffle(struct forest *f)
{
    for (uint32_t i = f->in->samples; i > 1; i--) {
        uint32_t k = (uint32_t)rng_below(&f->rng, i);
        double x = f->values[i - 1];
        f->values[i - 1] = f->values[k];
        f->values[k] = x;
    }
}

static double chance(struct forest *f, double *share)
{
    double floor = 0;
    f->share = share;
    f->marginal = NULL;
    for (int i = 0; i < IMPORTANCE_SHUFFLES; i++) {
        double most = 0;
        memset(share, 0, f->in->params * sizeof *share);
        shuffle(f);
        grow_forest(f, IMPORTANCE_TREES / 4);
        for (uint32_t param = 0; param < f->in->params; param++)
            most = share[param] > most ? share[param] : most;
        floor += most / IMPORTANCE_SHUFFLES;
    }
    return floor;
}

/* ---- the whole ---------------------------------------------------------------------------- */

static void forest_fini(struct forest *f)
{
    free(f->values);
    free(f->bag);
    free(f->rest);
    free(f->spare);
    free(f->drawn);
    free(f->box);
    free(f->inner);
    free(f->narrow);
    free(f->predicted);
    free(f->predictions);
}

/* Bootstrap samples of fewer than all are as good for an average over trees, and bound the time. */
static uint32_t bag_size(const struct importance_input *in)
{
    uint32_t most = in->params ? IMPORTANCE_CELLS_MAX / in->params : IMPORTANCE_BAG_MAX;
    most = most < IMPORTANCE_BAG_MIN ? IMPORTANCE_BAG_MIN : most > IMPORTANCE_BAG_MAX ? IMPORTANCE_BAG_MAX : most;
    return in->samples < most ? in->samples : most;
}

static bool forest_init(struct forest *f, const struct importance_input *in)
{
    size_t n = in->samples, params = in->params;
    *f = (struct forest){.in = in, .rng = rng_stream(SEED, RNG_SEARCH, 0)};
    f->bag_size = bag_size(in);
    f->values = calloc(n + 1, sizeof *f->values);
    f->bag = calloc(n + 1, sizeof *f->bag);
    f->rest = calloc(n + 1, sizeof *f->rest);
    f->spare = calloc(n + 1, sizeof *f->spare);
    f->drawn = calloc(n + 1, sizeof *f->drawn);
    f->box = calloc(params + 1, sizeof *f->box);
    f->inner = calloc(params * IMPORTANCE_BINS_MAX + 1, sizeof *f->inner);
    f->narrow = calloc(params + 1, sizeof *f->narrow);
    f->predicted = calloc(n + 1, sizeof *f->predicted);
    f->predictions = calloc(n + 1, sizeof *f->predictions);
    return f->values && f->bag && f->rest && f->spare && f->drawn && f->box && f->inner && f->narrow &&
           f->predicted && f->predictions;
}

bool importance_compute(struct importance *out, const struct importance_input *in)
{
    struct forest f;
    size_t cells = (size_t)in->params * IMPORTANCE_BINS_MAX + 1;
    *out = (struct importance){0};
    out->share = calloc(in->params + 1, sizeof *out->share);
    out->marginal = calloc(cells, sizeof *out->marginal);
    double *by_chance = calloc(in->params + 1, sizeof *by_chance);
    bool ok = forest_init(&f, in) && out->share && out->marginal && by_chance;
    if (ok && in->samples >= IMPORTANCE_SAMPLES_MIN) {
        double mean = take_values(&f);
        f.share = out->share;
        f.marginal = out->marginal;
        grow_forest(&f, IMPORTANCE_TREES);
        for (size_t i = 0; i + 1 < cells; i++)
            out->marginal[i] += mean;
        out->fit = out_of_bag_fit(&f);
        out->floor = chance(&f, by_chance);
    }
    forest_fini(&f);
    free(by_chance);
    if (!ok)
        importance_fini(out);
    return ok;
}

void importance_fini(struct importance *out)
{
    free(out->share);
    free(out->marginal);
    *out = (struct importance){0};
}
