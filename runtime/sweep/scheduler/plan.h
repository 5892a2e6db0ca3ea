/* plan.h - what a sweep would do, before it is run: brackets, rungs, and compute.
 *
 *   bracket 0   81 @ 1   27 @ 3   9 @ 9   3 @ 27   1 @ 81
 *   compute     at most 1902 steps, likely 1902
 *
 * The most is a bound: no trial goes past max_iter.  (Only clones of PBT that go
 * back to an earlier step may add to it.)  W&B's bands end nobody at max_iter; there
 * it is taken for what every trial would do.  The likely is measured: the
 * scheduler is played on made-up learning curves, power laws with random limits
 * and speeds.  Of HyperBand both are the same, if no trial fails.
 */
#ifndef COVEY_SWEEP_PLAN_H
#define COVEY_SWEEP_PLAN_H

#include "sweep/scheduler/scheduler.h"

struct plan_rung {
    uint32_t bracket;
    int64_t step;
    double trials;              /* that come here; of HyperBand exact, else likely */
};

struct plan {
    uint32_t trials;            /* that the sweep has; 0: without end */
    int64_t most_steps, likely_steps; /* 0: not known, since trials end of themselves */
    struct plan_rung *rungs;    /* owned */
    uint32_t rung_count;
    bool exact;                 /* the rungs' trials are what is planned */
};

/* @trials: how many the sweep may have; 0: no cap, and then the scheduler's own number
 * counts, if it has one.  @slots: how many run at a time.  False with @why. */
bool plan_make(struct plan *out, const struct scheduler_opts *opts, const struct space *space,
               uint32_t trials, uint32_t slots, char *why, size_t why_size);
void plan_fini(struct plan *p);
void plan_print(struct text *t, const struct plan *p);

#endif
