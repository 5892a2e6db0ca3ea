/* saving.h - what early stopping saved, for the terminal and the page.
 *
 * Pure; one thread.
 */
#ifndef COVEY_SWEEP_SAVING_H
#define COVEY_SWEEP_SAVING_H

#include "sweep/controller.h"

/* Of the trials that ended as they should: their steps, against all of them run as far as
 * the longest complete one. */
struct saving { int64_t steps, longest, trials; };
struct saving saving_of(const struct controller *c);

#endif
