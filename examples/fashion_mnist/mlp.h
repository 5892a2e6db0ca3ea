/* mlp.h - a small neural network: equally wide hidden layers, trained by SGD
 * with momentum and weight decay.
 *
 *     pixels --w, b--> hidden --ReLU--> ... hidden --ReLU--> w, b --softmax--> classes
 *
 * The model is one block of floats behind a header, without pointers inside,
 * so it can be a task's result, another task's argument, or a file as it is.
 */
#ifndef MLP_H
#define MLP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MLP_INPUTS 784u
#define MLP_CLASSES 10u
#define MLP_WIDTH_MAX 4096u
#define MLP_DEPTH_MAX 8u

struct mlp_shape { uint32_t width, depth; };    /* units of a hidden layer, hidden layers */

struct mlp {
    struct mlp_shape shape;
    uint32_t reserved[14];      /* so that the weights begin on a cache line */
    float weights[];            /* of each layer w[outputs][inputs], b[outputs] */
};

/* How a step changes a weight w of gradient g: v = momentum v + g + decay w, w -= rate v. */
struct mlp_rule { float rate, momentum, decay; };

bool mlp_shape_ok(struct mlp_shape shape);
size_t mlp_weights(struct mlp_shape shape);     /* how many floats */
size_t mlp_bytes(struct mlp_shape shape);
/* Small random weights; the same seed gives the same model. */
void mlp_init(struct mlp *m, struct mlp_shape shape, uint64_t seed);

/* What training needs besides the model: memory for batches of up to @batch images, and the
 * velocity v, all zeros at first.  The caller owns it and gives it to free().  NULL: there is
 * no memory. */
struct mlp_work;
struct mlp_work *mlp_work_new(struct mlp_shape shape, uint32_t batch);
/* mlp_weights() floats: with them and the model a training goes on exactly as it was. */
float *mlp_velocity(struct mlp_work *work);

/* One step of gradient descent on the @n images images[picks[i]], or from
 * images[0] on where @picks is NULL. */
void mlp_step(struct mlp *m, struct mlp_work *work, const uint8_t *images, const uint8_t *labels,
              const uint32_t *picks, uint32_t n, const struct mlp_rule *rule);
/* The share of @n images from images[0] on that is classified right. */
double mlp_accuracy(const struct mlp *m, struct mlp_work *work,
                    const uint8_t *images, const uint8_t *labels, uint32_t n);

#endif
