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

#include "fashion_mnist/trainer.h"

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

/* Ends early when the task is cancelled. */
static bool is_cancelled(void *ctx) { return covey_cancelled(ctx); }

static covey_status train(covey_ctx *ctx, struct trainer *t, float rate, unsigned epochs)
{
    const struct mlp_rule rule = {.rate = rate};
    struct fashion_report report = {0};
    while (report.epoch < epochs) {
        trainer_epoch(t, ++report.epoch, &rule, is_cancelled, ctx);
        report.accuracy = trainer_accuracy(t);
        covey_status status = covey_post(ctx, &report, sizeof report);
        if (status != COVEY_OK)
            return covey_fail(ctx, 2, "epoch %u: %s", report.epoch, covey_strerror(status));
    }
    covey_status status = covey_return_f64(ctx, report.accuracy);
    return status == COVEY_OK ? covey_return_bytes(ctx, t->m, mlp_bytes(t->m->shape)) : status;
}

COVEY_TASK(fashion_train, "bytes f64 u64 u64 u64 -> f64 bytes")
{
    size_t size;
    struct trainer t;
    const struct fashion *data = covey_arg_bytes(ctx, 0, &size);
    uint64_t hidden = covey_arg_u64(ctx, 2), batch = covey_arg_u64(ctx, 3);
    if (!data || size < sizeof *data || size != fashion_bytes(data))
        return covey_fail(ctx, 3, "%zu bytes are not the data", size);
    if (hidden > MLP_WIDTH_MAX || batch > UINT32_MAX)
        return covey_fail(ctx, 4, "no network has these sizes");
    covey_status status;
    if (trainer_init(&t, data, FASHION_VALID, (struct mlp_shape){(uint32_t)hidden, 1}, (uint32_t)batch, 1))
        status = train(ctx, &t, (float)covey_arg_f64(ctx, 1), (unsigned)covey_arg_u64(ctx, 4));
    else
        status = covey_fail(ctx, 1, "no memory for %u hidden units, or no such batch", (unsigned)hidden);
    trainer_fini(&t);
    return status;
}

COVEY_TASK(fashion_test, "bytes bytes -> f64")
{
    size_t size, model_size;
    const struct fashion *data = covey_arg_bytes(ctx, 0, &size);
    const struct mlp *m = covey_arg_bytes(ctx, 1, &model_size);
    if (!data || !m || size < sizeof *data || size != fashion_bytes(data)
        || model_size < sizeof *m || !mlp_shape_ok(m->shape) || model_size != mlp_bytes(m->shape))
        return covey_fail(ctx, 3, "these are not the data and a network");
    struct mlp_work *work = mlp_work_new(m->shape, MEASURE_BATCH);
    if (!work)
        return covey_fail(ctx, 1, "no memory for %u hidden units", m->shape.width);
    double accuracy = mlp_accuracy(m, work, fashion_images(data) + (size_t)data->train * FASHION_PIXELS,
                                   fashion_labels(data) + data->train, data->test);
    free(work);
    return covey_return_f64(ctx, accuracy);
}
