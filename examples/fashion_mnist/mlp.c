/* mlp.c - see mlp.h.  All the work is products of whole batches; a[0] are the
 * pixels, a[1] ... a[depth] the hidden layers:
 *
 *   forward   a[l+1] = relu(a[l] w[l]' + b[l])      p = softmax of the last, without relu
 *   backward  d[depth] = (p - truth) / n            d[l-1] = d[l] w[l], where a[l] > 0
 *   update    v[l] = momentum v[l] + d[l]' a[l] + decay w[l]     w[l] -= rate v[l]
 */
#include "mlp.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIXEL_MEAN 72.9f        /* of Fashion-MNIST, of 255 */
#define PIXEL_DEVIATION 90.0f

struct mlp_work {
    uint32_t batch;
    float *a[MLP_DEPTH_MAX + 1];    /* batch x inputs, then batch x width */
    float *d[2];                    /* batch x width: of a layer, and of the one before */
    float *p;                       /* batch x classes */
    float *velocity;
    float block[];
};

/* Layer @l of a block of weights, or of the velocity, which is laid out the same. */
struct layer { float *w, *b; uint32_t inputs, outputs; };

static struct layer layer_of(struct mlp_shape shape, const float *block, uint32_t l)
{
    size_t first = (size_t)shape.width * (MLP_INPUTS + 1), inner = (size_t)shape.width * (shape.width + 1);
    float *w = (float *)block + (l > 0 ? first + (l - 1) * inner : 0);
    uint32_t inputs = l == 0 ? MLP_INPUTS : shape.width;
    uint32_t outputs = l == shape.depth ? MLP_CLASSES : shape.width;
    return (struct layer){w, w + (size_t)outputs * inputs, inputs, outputs};
}

bool mlp_shape_ok(struct mlp_shape shape)
{
    return shape.width >= 1 && shape.width <= MLP_WIDTH_MAX && shape.depth >= 1 && shape.depth <= MLP_DEPTH_MAX;
}

size_t mlp_weights(struct mlp_shape shape)
{
    size_t width = shape.width;
    return width * (MLP_INPUTS + 1) + (shape.depth - 1) * width * (width + 1) + MLP_CLASSES * (width + 1);
}

size_t mlp_bytes(struct mlp_shape shape) { return sizeof(struct mlp) + mlp_weights(shape) * sizeof(float); }

static void randomize(float *w, size_t n, float limit, uint64_t *state)
{
    for (size_t i = 0; i < n; i++) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        w[i] = limit * ((float)(*state >> 40) / 8388608.0f - 1.0f);
    }
}

void mlp_init(struct mlp *m, struct mlp_shape shape, uint64_t seed)
{
    memset(m, 0, mlp_bytes(shape));
    m->shape = shape;
    for (uint32_t l = 0; l <= shape.depth; l++) {
        struct layer layer = layer_of(shape, m->weights, l);
        randomize(layer.w, (size_t)layer.outputs * layer.inputs, sqrtf(6.0f / (float)layer.inputs), &seed);
    }
}

struct mlp_work *mlp_work_new(struct mlp_shape shape, uint32_t batch)
{
    size_t each = (size_t)batch * shape.width, weights = mlp_weights(shape);
    size_t floats = batch * (size_t)(MLP_INPUTS + MLP_CLASSES) + (shape.depth + 2) * each + weights;
    struct mlp_work *work = malloc(sizeof *work + floats * sizeof(float));
    if (!work)
        return NULL;
    float *at = work->block;
    work->batch = batch;
    work->velocity = at;
    work->p = at += weights;
    work->a[0] = at += (size_t)batch * MLP_CLASSES;
    at += (size_t)batch * MLP_INPUTS;
    for (uint32_t l = 1; l <= shape.depth; l++, at += each)
        work->a[l] = at;
    work->d[0] = at;
    work->d[1] = at + each;
    memset(work->velocity, 0, weights * sizeof(float));
    return work;
}

float *mlp_velocity(struct mlp_work *work) { return work->velocity; }

static void load_images(float *x, const uint8_t *images, const uint32_t *picks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *image = images + (size_t)(picks ? picks[i] : i) * MLP_INPUTS;
        for (uint32_t k = 0; k < MLP_INPUTS; k++)
            x[(size_t)i * MLP_INPUTS + k] = ((float)image[k] - PIXEL_MEAN) / PIXEL_DEVIATION;
    }
}

/* c = @beta c + a b, where c is rows x cols, and a or b may be transposed. */
static void multiply(CBLAS_TRANSPOSE a_as, CBLAS_TRANSPOSE b_as, uint32_t rows, uint32_t cols,
                     uint32_t inner, const float *a, const float *b, float beta, float *c)
{
    cblas_sgemm(CblasRowMajor, a_as, b_as, (int)rows, (int)cols, (int)inner,
                1, a, (int)(a_as == CblasTrans ? rows : inner),
                b, (int)(b_as == CblasTrans ? inner : cols), beta, c, (int)cols);
}

/* From work->a[0] through all layers to work->p, scores before the softmax. */
static void forward(const struct mlp *m, struct mlp_work *work, uint32_t n)
{
    for (uint32_t l = 0; l <= m->shape.depth; l++) {
        struct layer layer = layer_of(m->shape, m->weights, l);
        bool hidden = l < m->shape.depth;
        float *to = hidden ? work->a[l + 1] : work->p;
        multiply(CblasNoTrans, CblasTrans, n, layer.outputs, layer.inputs, work->a[l], layer.w, 0, to);
        for (uint32_t i = 0; i < n; i++, to += layer.outputs)
            for (uint32_t k = 0; k < layer.outputs; k++) {
                float sum = to[k] + layer.b[k];
                to[k] = hidden && sum < 0 ? 0 : sum;
            }
    }
}

static uint32_t class_of(const float *scores)
{
    uint32_t best = 0;
    for (uint32_t k = 1; k < MLP_CLASSES; k++)
        best = scores[k] > scores[best] ? k : best;
    return best;
}

/* Scores to the gradient of the mean cross-entropy. */
static void softmax_minus_truth(float *p, uint8_t label, uint32_t n)
{
    float max = p[class_of(p)], sum = 0;
    for (uint32_t k = 0; k < MLP_CLASSES; k++)
        sum += p[k] = expf(p[k] - max);
    for (uint32_t k = 0; k < MLP_CLASSES; k++)
        p[k] = (p[k] / sum - (k == label)) / (float)n;
}

/* From work->p, the last layer's d, to the velocity of all layers, without the decay. */
static void backward(const struct mlp *m, struct mlp_work *work, uint32_t n, float momentum)
{
    const float *d = work->p;
    for (uint32_t l = m->shape.depth + 1; l-- > 0;) {
        struct layer layer = layer_of(m->shape, m->weights, l), v = layer_of(m->shape, work->velocity, l);
        multiply(CblasTrans, CblasNoTrans, v.outputs, v.inputs, n, d, work->a[l], momentum, v.w);
        cblas_sscal((int)v.outputs, momentum, v.b, 1);
        for (uint32_t i = 0; i < n; i++)
            cblas_saxpy((int)v.outputs, 1, d + (size_t)i * v.outputs, 1, v.b, 1);
        if (l == 0)
            return;
        float *before = work->d[l % 2];
        multiply(CblasNoTrans, CblasNoTrans, n, layer.inputs, layer.outputs, d, layer.w, 0, before);
        for (size_t i = 0; i < (size_t)n * layer.inputs; i++)
            before[i] = work->a[l][i] > 0 ? before[i] : 0;
        d = before;
    }
}

void mlp_step(struct mlp *m, struct mlp_work *work, const uint8_t *images, const uint8_t *labels,
              const uint32_t *picks, uint32_t n, const struct mlp_rule *rule)
{
    load_images(work->a[0], images, picks, n);
    forward(m, work, n);
    for (uint32_t i = 0; i < n; i++)
        softmax_minus_truth(work->p + i * MLP_CLASSES, labels[picks ? picks[i] : i], n);
    backward(m, work, n, rule->momentum);
    int weights = (int)mlp_weights(m->shape);
    cblas_saxpy(weights, rule->decay, m->weights, 1, work->velocity, 1);
    cblas_saxpy(weights, -rule->rate, work->velocity, 1, m->weights, 1);
}

double mlp_accuracy(const struct mlp *m, struct mlp_work *work,
                    const uint8_t *images, const uint8_t *labels, uint32_t n)
{
    uint32_t right = 0;
    for (uint32_t at = 0; at < n; at += work->batch) {
        uint32_t take = n - at < work->batch ? n - at : work->batch;
        load_images(work->a[0], images + (size_t)at * MLP_INPUTS, NULL, take);
        forward(m, work, take);
        for (uint32_t i = 0; i < take; i++)
            right += class_of(work->p + i * MLP_CLASSES) == labels[at + i];
    }
    return n ? (double)right / n : 0;
}
