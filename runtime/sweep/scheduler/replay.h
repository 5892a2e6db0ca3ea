/* replay.h - which early stopping would have served: schedulers played on the
 * same recorded curves, told for people and for programs.
 *
 *   asha max_iter=9 min_iter=1 eta=3
 *   trials     9: 3 complete, 4 stopped early, 2 paused for good
 *   stopped    3 at step 1, 1 at step 3
 *   best       0.21, trial b7 at step 9; of all curves 0.21
 *   ...
 */
#ifndef COVEY_SWEEP_REPLAY_H
#define COVEY_SWEEP_REPLAY_H

#include "sweep/scheduler/curves.h"

#define REPLAY_SCHEMA "covey.simulate/1"

struct replay_trial {
    enum scheduler_fate fate;   /* its last one */
    int64_t step;               /* of its last report; 0: none */
    double loss;                /* of that; INFINITY: none */
    double best;                /* the least; INFINITY: none */
    double started_s, ended_s;  /* virtual: first start, last end */
};

struct replay {
    const struct curves *curves;    /* borrowed */
    bool maximize;
    struct replay_trial *trials;    /* owned; result.trials of them have started */
    struct simulate_result result;
};

/* Play @opts on @curves, which must outlive @out, on @slots slots.  False with @why,
 * and then there is nothing to free. */
bool replay_run(struct replay *out, const struct scheduler_opts *opts, const struct space *space,
                struct curves *curves, bool maximize, uint32_t slots, char *why, size_t why_size);
void replay_fini(struct replay *r);

/* "asha max_iter=81 eta=3": a scheduler with the options that it went by. */
void replay_print_scheduler(struct text *t, const struct scheduler_opts *opts);
/* All of one, for people. */
void replay_print(struct text *t, const struct replay *r);
/* One row for each of several, below one head. */
void replay_print_head(struct text *t);
void replay_print_row(struct text *t, const struct replay *r);
/* A line for each trial and each rung that was reached, and one for the whole. */
void replay_print_json(struct text *t, const struct replay *r);

#endif
