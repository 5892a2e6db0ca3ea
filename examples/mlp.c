/* mlp.c - see mlp.h.  All the work is products of whole batches:
 *
 *   forward   h = relu(x w1' + b1)          p = softmax(h w2' + b2)
 *   backward  d2 = (p - truth) / n          d1 = d2 w2, where h > 0
 *   update    w2 -= rate d2' h              w1 -= rate d1' x
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
    float *x, *h, *d, *p;       /* batch x inputs, hidden, hidden, classes */
    float block[];
};

struct layers { float *w1, *b1, *w2, *b2; };

static struct layers layers_of(const struct mlp *m)
{
    float *w1 = (float *)m->weights, *b1 = w1 + (size_t)m->hidden * MLP_INPUTS, *w2 = b1 + m->hidden;
    return (struct layers){w1, b1, w2, w2 + (size_t)m->hidden * MLP_CLASSES};
}

size_t mlp_bytes(uint32_t hidden)
{
    size_t weights = (size_t)hidden * (MLP_INPUTS + 1) + (size_t)MLP_CLASSES * (hidden + 1);
    return sizeof(struct mlp) + weights * sizeof(float);
}

static void randomize(float *w, size_t n, float limit, uint64_t *state)
{
    for (size_t i = 0; i < n; i++) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        w[i] = limit * ((float)(*state >> 40) / 8388608.0f - 1.0f);
    }
}

void mlp_init(struct mlp *m, uint32_t hidden, uint64_t seed)
{
    memset(m, 0, mlp_bytes(hidden));
    m->hidden = hidden;
    struct layers l = layers_of(m);
    randomize(l.w1, (size_t)hidden * MLP_INPUTS, sqrtf(6.0f / MLP_INPUTS), &seed);
    randomize(l.w2, (size_t)hidden * MLP_CLASSES, sqrtf(6.0f / (float)hidden), &seed);
}

struct mlp_work *mlp_work_new(uint32_t hidden, uint32_t batch)
{
    size_t floats = (size_t)batch * (MLP_INPUTS + 2 * (size_t)hidden + MLP_CLASSES);
    struct mlp_work *w = malloc(sizeof *w + floats * sizeof(float));
    if (w) {
        w->batch = batch;
        w->x = w->block;
        w->h = w->x + (size_t)batch * MLP_INPUTS;
        w->d = w->h + (size_t)batch * hidden;
        w->p = w->d + (size_t)batch * hidden;
    }
    return w;
}

static void load_images(struct mlp_work *w, const uint8_t *images, const uint32_t *picks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *image = images + (size_t)(picks ? picks[i] : i) * MLP_INPUTS;
        for (uint32_t k = 0; k < MLP_INPUTS; k++)
            w->x[(size_t)i * MLP_INPUTS + k] = ((float)image[k] - PIXEL_MEAN) / PIXEL_DEVIATION;
    }
}

/* c = @beta c + @alpha a b, where c is rows x cols, and a or b may be transposed. */
static void multiply(CBLAS_TRANSPOSE a_as, CBLAS_TRANSPOSE b_as, uint32_t rows, uint32_t cols,
                     uint32_t inner, float alpha, const float *a, const float *b, float beta, float *c)
{
    cblas_sgemm(CblasRowMajor, a_as, b_as, (int)rows, (int)cols, (int)inner,
                alpha, a, (int)(a_as == CblasTrans ? rows : inner),
                b, (int)(b_as == CblasTrans ? inner : cols), beta, c, (int)cols);
}

/* From w->x to w->h and, as scores before the softmax, w->p. */
static void forward(const struct mlp *m, struct mlp_work *w, uint32_t n)
{
    struct layers l = layers_of(m);
    multiply(CblasNoTrans, CblasTrans, n, m->hidden, MLP_INPUTS, 1, w->x, l.w1, 0, w->h);
    for (size_t i = 0; i < (size_t)n * m->hidden; i++)
        w->h[i] = fmaxf(w->h[i] + l.b1[i % m->hidden], 0);
    multiply(CblasNoTrans, CblasTrans, n, MLP_CLASSES, m->hidden, 1, w->h, l.w2, 0, w->p);
    for (size_t i = 0; i < (size_t)n * MLP_CLASSES; i++)
        w->p[i] += l.b2[i % MLP_CLASSES];
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

void mlp_step(struct mlp *m, struct mlp_work *w, const uint8_t *images, const uint8_t *labels,
              const uint32_t *picks, uint32_t n, float rate)
{
    struct layers l = layers_of(m);
    uint32_t hidden = m->hidden;
    load_images(w, images, picks, n);
    forward(m, w, n);
    for (uint32_t i = 0; i < n; i++)
        softmax_minus_truth(w->p + i * MLP_CLASSES, labels[picks ? picks[i] : i], n);
    multiply(CblasNoTrans, CblasNoTrans, n, hidden, MLP_CLASSES, 1, w->p, l.w2, 0, w->d);
    for (size_t i = 0; i < (size_t)n * hidden; i++)
        w->d[i] = w->h[i] > 0 ? w->d[i] : 0;
    multiply(CblasTrans, CblasNoTrans, MLP_CLASSES, hidden, n, -rate, w->p, w->h, 1, l.w2);
    multiply(CblasTrans, CblasNoTrans, hidden, MLP_INPUTS, n, -rate, w->d, w->x, 1, l.w1);
    for (uint32_t i = 0; i < n; i++) {
        cblas_saxpy(MLP_CLASSES, -rate, w->p + i * MLP_CLASSES, 1, l.b2, 1);
        cblas_saxpy((int)hidden, -rate, w->d + (size_t)i * hidden, 1, l.b1, 1);
    }
}

double mlp_accuracy(const struct mlp *m, struct mlp_work *w,
                    const uint8_t *images, const uint8_t *labels, uint32_t n)
{
    uint32_t right = 0;
    for (uint32_t at = 0; at < n; at += w->batch) {
        uint32_t take = n - at < w->batch ? n - at : w->batch;
        load_images(w, images + (size_t)at * MLP_INPUTS, NULL, take);
        forward(m, w, take);
        for (uint32_t i = 0; i < take; i++)
            right += class_of(w->p + i * MLP_CLASSES) == labels[at + i];
    }
    return n ? (double)right / n : 0;
}
