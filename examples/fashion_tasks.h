/* fashion_tasks.h - what fashion_grid.c and its tasks agree on.
 *
 *   fashion_train   data, rate, hidden, batch, epochs -> accuracy, network
 *   fashion_test    data, network -> accuracy
 */
#ifndef FASHION_TASKS_H
#define FASHION_TASKS_H

#include "covey.h"

#define FASHION_VALID 10000u    /* the last of the training images measure, the others train */

/* Posted by fashion_train after each epoch. */
struct fashion_report {
    unsigned epoch;             /* from 1 */
    double accuracy;            /* on the validation images */
};

/* The images as one object of the store, from $FASHION_MNIST or where Debian has
 * them.  The caller owns *@out.  False: @why tells. */
bool fashion_put(covey *c, covey_ref *out, char *why, size_t why_size);

#endif
