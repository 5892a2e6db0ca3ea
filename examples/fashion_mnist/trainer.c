/* trainer.c - see trainer.h. */
#include "trainer.h"

#include <stdlib.h>

#define MEASURE_BATCH 256u

bool trainer_init(struct trainer *t, const struct fashion *data, uint32_t valid, struct mlp_shape shape,
                  uint32_t batch, uint64_t seed)
{
    *t = (struct trainer){.data = data, .valid = valid, .batch = batch, .seed = seed};
    t->train = data->train > valid ? data->train - valid : 0;
    if (!mlp_shape_ok(shape) || batch < 1 || batch > t->train)
        return false;
    t->m = malloc(mlp_bytes(shape));
    t->work = mlp_work_new(shape, batch > MEASURE_BATCH ? batch : MEASURE_BATCH);
    t->picks = malloc(t->train * sizeof *t->picks);
    if (!t->m || !t->work || !t->picks)
        return false;
    mlp_init(t->m, shape, seed);
    return true;
}

void trainer_fini(struct trainer *t)
{
    free(t->picks);
    free(t->work);
    free(t->m);
    *t = (struct trainer){0};
}

static void shuffle(struct trainer *t, uint64_t random)
{
    for (uint32_t i = 0; i < t->train; i++)
        t->picks[i] = i;
    for (uint32_t i = t->train - 1; i > 0; i--) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t k = (uint32_t)((random >> 32) % (i + 1)), pick = t->picks[i];
        t->picks[i] = t->picks[k];
        t->picks[k] = pick;
    }
}

bool trainer_epoch(struct trainer *t, uint32_t epoch, const struct mlp_rule *rule,
                   bool (*cut)(void *arg), void *arg)
{
    shuffle(t, t->seed * UINT64_C(1000003) + epoch);
    for (uint32_t at = 0; at + t->batch <= t->train; at += t->batch) {
        mlp_step(t->m, t->work, fashion_images(t->data), fashion_labels(t->data), t->picks + at, t->batch, rule);
        if (cut && cut(arg))
            return false;
    }
    return true;
}

double trainer_accuracy_of(const struct trainer *t, uint32_t from, uint32_t n)
{
    return mlp_accuracy(t->m, t->work, fashion_images(t->data) + (size_t)from * FASHION_PIXELS,
                        fashion_labels(t->data) + from, n);
}

double trainer_accuracy(const struct trainer *t) { return trainer_accuracy_of(t, t->train, t->valid); }
