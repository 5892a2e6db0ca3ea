/* trainer.h - train a network on the images, epoch by epoch.
 *
 * The first images train, the last of the training images measure.  What an epoch
 * does depends on its number and the seed alone, not on what this process did
 * before: so a training that is cut off and goes on from a checkpoint ends
 * with the same network, bit by bit.
 */
#ifndef TRAINER_H
#define TRAINER_H

#include "fashion_data.h"
#include "mlp.h"

struct trainer {
    const struct fashion *data; /* borrowed */
    uint32_t train, valid;      /* how many images of each kind */
    uint32_t batch;
    uint64_t seed;
    struct mlp *m;              /* owned, as are the next two */
    struct mlp_work *work;
    uint32_t *picks;            /* the training images, in the order of this epoch */
};

/* @valid of data->train images measure, the others train.  False: out of memory, or there
 * are no such network or batch.  trainer_fini() in any case. */
bool trainer_init(struct trainer *t, const struct fashion *data, uint32_t valid, struct mlp_shape shape,
                  uint32_t batch, uint64_t seed);
void trainer_fini(struct trainer *t);
/* One pass over the training images; @epoch counts from 1.  @cut is asked after each batch.
 * False: it said yes, and the network is somewhere within the epoch. */
bool trainer_epoch(struct trainer *t, uint32_t epoch, const struct mlp_rule *rule,
                   bool (*cut)(void *arg), void *arg);
/* The share of the validation images that is classified right. */
double trainer_accuracy(const struct trainer *t);
/* The same of @n images from image @from on. */
double trainer_accuracy_of(const struct trainer *t, uint32_t from, uint32_t n);

#endif
