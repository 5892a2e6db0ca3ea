/* fashion_tasks.c - the tasks of fashion_grid.c, and their data.
 *
 * Tasks may live in any file of the program: COVEY_TASK registers them before
 * main.  The arguments and results are described in fashion_tasks.h.
 *
 * covey_arg_bytes() points to the bytes in the object store, read-only, for as
 * long as the task runs.  So the images are read in place, and the network of
 * fashion_test is the very block that fashion_train returned.
 */
#include "fashion_tasks.h"

#include <stdio.h>
#include <stdlib.h>

#include "fashion_data.h"
#include "mlp.h"

#define MEASURE_BATCH 256u

/* covey_create() gives memory in the store; it is filled in place and sealed, and
 * from then on any process on this machine reads it without a copy. */
bool fashion_put(covey *c, covey_ref *out, char *why, size_t why_size)
{
    const char *dir = getenv("FASHION_MNIST");
    struct fashion header;
    void *memory;
    if (!dir)
        dir = FASHION_DIR;
    if (!fashion_open(dir, &header, why, why_size))
        return false;
    if (covey_create(c, fashion_bytes(&header), &memory, out) != COVEY_OK) {
        snprintf(why, why_size, "no room for the images: %s", covey_error());
        return false;
    }
    bool ok = fashion_read(dir, &header, memory, why, why_size);
    if (ok && covey_seal(c, *out) == COVEY_OK)
        return true;
    if (ok)
        snprintf(why, why_size, "the images: %s", covey_error());
    covey_release(c, *out);
    return false;
}

static void shuffle(uint32_t *picks, uint32_t n, uint64_t *random)
{
    for (uint32_t i = n - 1; i > 0; i--) {
        *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t k = (uint32_t)((*random >> 32) % (i + 1)), pick = picks[i];
        picks[i] = picks[k];
        picks[k] = pick;
    }
}

static double measure(const struct mlp *m, struct mlp_work *work, const struct fashion *data,
                      uint32_t from, uint32_t n)
{
    return mlp_accuracy(m, work, fashion_images(data) + (size_t)from * FASHION_PIXELS,
                        fashion_labels(data) + from, n);
}

struct trainer {
    const struct fashion *data;
    struct mlp *m;              /* owned, as are the next two */
    struct mlp_work *work;
    uint32_t *picks;            /* the training images, in the order of this epoch */
    uint32_t train, batch;
    float rate;
    uint64_t random;
};

/* One pass over all training images; ends early when the task is cancelled. */
static void train_epoch(covey_ctx *ctx, struct trainer *t)
{
    shuffle(t->picks, t->train, &t->random);
    for (uint32_t at = 0; at + t->batch <= t->train && !covey_cancelled(ctx); at += t->batch)
        mlp_step(t->m, t->work, fashion_images(t->data), fashion_labels(t->data),
                 t->picks + at, t->batch, t->rate);
}

static covey_status train(covey_ctx *ctx, struct trainer *t, uint32_t hidden, unsigned epochs)
{
    if (!t->m || !t->work || !t->picks)
        return covey_fail(ctx, 1, "no memory for %u hidden units", hidden);
    mlp_init(t->m, hidden, t->random);
    for (uint32_t i = 0; i < t->train; i++)
        t->picks[i] = i;
    struct fashion_report report = {0};
    while (report.epoch < epochs) {
        train_epoch(ctx, t);
        report.accuracy = measure(t->m, t->work, t->data, t->train, FASHION_VALID);
        report.epoch++;
        covey_status status = covey_post(ctx, &report, sizeof report);
        if (status != COVEY_OK)
            return covey_fail(ctx, 2, "epoch %u: %s", report.epoch, covey_strerror(status));
    }
    covey_status status = covey_return_f64(ctx, report.accuracy);
    return status == COVEY_OK ? covey_return_bytes(ctx, t->m, mlp_bytes(hidden)) : status;
}

COVEY_TASK(fashion_train, "bytes f64 u64 u64 u64 -> f64 bytes")
{
    size_t size;
    const struct fashion *data = covey_arg_bytes(ctx, 0, &size);
    uint64_t hidden = covey_arg_u64(ctx, 2), batch = covey_arg_u64(ctx, 3);
    if (!data || size < sizeof *data || size != fashion_bytes(data) || data->train <= FASHION_VALID)
        return covey_fail(ctx, 3, "%zu bytes are not the data", size);
    uint32_t n = data->train - FASHION_VALID;
    if (hidden < 1 || hidden > MLP_HIDDEN_MAX || batch < 1 || batch > n)
        return covey_fail(ctx, 4, "no network has these sizes");
    uint32_t room = batch > MEASURE_BATCH ? (uint32_t)batch : MEASURE_BATCH;
    struct trainer t = {
        .data = data, .train = n, .batch = (uint32_t)batch, .random = 1,
        .rate = (float)covey_arg_f64(ctx, 1),
        .m = malloc(mlp_bytes((uint32_t)hidden)),
        .work = mlp_work_new((uint32_t)hidden, room),
        .picks = malloc(n * sizeof *t.picks),
    };
    covey_status status = train(ctx, &t, (uint32_t)hidden, (unsigned)covey_arg_u64(ctx, 4));
    free(t.picks);
    free(t.work);
    free(t.m);
    return status;
}

COVEY_TASK(fashion_test, "bytes bytes -> f64")
{
    size_t size, model_size;
    const struct fashion *data = covey_arg_bytes(ctx, 0, &size);
    const struct mlp *m = covey_arg_bytes(ctx, 1, &model_size);
    if (!data || !m || size < sizeof *data || size != fashion_bytes(data)
        || model_size < sizeof *m || m->hidden > MLP_HIDDEN_MAX || model_size != mlp_bytes(m->hidden))
        return covey_fail(ctx, 3, "these are not the data and a network");
    struct mlp_work *work = mlp_work_new(m->hidden, MEASURE_BATCH);
    if (!work)
        return covey_fail(ctx, 1, "no memory for %u hidden units", m->hidden);
    double accuracy = measure(m, work, data, data->train, data->test);
    free(work);
    return covey_return_f64(ctx, accuracy);
}
