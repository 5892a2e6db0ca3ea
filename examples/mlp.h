/* mlp.h - a small neural network: one hidden layer, trained by plain SGD.
 *
 *     pixels --w1, b1--> hidden --ReLU--> w2, b2 --softmax--> classes
 *
 * The model is one block of floats behind a header, without pointers inside,
 * so it can be a task's result and another task's argument as it is.
 */
#ifndef MLP_H
#define MLP_H

#include <stddef.h>
#include <stdint.h>

#define MLP_INPUTS 784u
#define MLP_CLASSES 10u
#define MLP_HIDDEN_MAX 4096u

struct mlp {
    uint32_t hidden;
    uint32_t reserved[15];      /* so that the weights begin on a cache line */
    float weights[];            /* w1[hidden][inputs], b1, w2[classes][hidden], b2 */
};

size_t mlp_bytes(uint32_t hidden);
/* Small random weights; the same seed gives the same model. */
void mlp_init(struct mlp *m, uint32_t hidden, uint64_t seed);

/* Memory for batches of up to @batch images; the caller owns it and gives it to
 * free().  NULL: there is none. */
struct mlp_work;
struct mlp_work *mlp_work_new(uint32_t hidden, uint32_t batch);

/* One step of gradient descent on the @n images images[picks[i]], or from
 * images[0] on where @picks is NULL. */
void mlp_step(struct mlp *m, struct mlp_work *work, const uint8_t *images, const uint8_t *labels,
              const uint32_t *picks, uint32_t n, float rate);
/* The share of @n images from images[0] on that is classified right. */
double mlp_accuracy(const struct mlp *m, struct mlp_work *work,
                    const uint8_t *images, const uint8_t *labels, uint32_t n);

#endif
