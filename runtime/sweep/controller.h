/* controller.h - a sweep's mind: which trial runs next, which goes on, when it
 * is over.
 *
 * Search says which points, the scheduler says who goes on; the controller
 * keeps the trials, their retries and the sweep's limits, and is told of
 * everything that happens.  It starts nothing itself, so `covey sweep run`, ask
 * and tell, the C interface and tests in virtual time all stand on it.
 *
 *   new -> RUNNING <-> ENDING -> PAUSED    resumed by the scheduler
 *             |          |    -> COMPLETE, STOPPED
 *             |          +----> WAITING    interrupted: started again
 *             +--> COMPLETE, FAILED, or WAITING for a retry
 *   RUNNING, ENDING, WAITING, PAUSED -> CANCELLED   by the user, at once
 *
 * What happened is recorded as record_events; controller_play() takes them back in the
 * same order and ends in the same state: rungs, counts, the search's
 * knowledge.  Decisions are played, not made again.
 *
 * Pure: no clock, no I/O; times are given.  One thread.
 */
#ifndef COVEY_SWEEP_CONTROLLER_H
#define COVEY_SWEEP_CONTROLLER_H

#include "sweep/record/record.h"
#include "sweep/spec/spec.h"

enum trial_state {
    TRIAL_RUNNING,
    TRIAL_ENDING,               /* told to end; its process is still there */
    TRIAL_WAITING,              /* its last run failed or was interrupted; it runs again */
    TRIAL_PAUSED,
    TRIAL_COMPLETE, TRIAL_STOPPED, TRIAL_FAILED, TRIAL_CANCELLED,
    TRIAL_STATE_COUNT
};
const char *trial_state_name(enum trial_state state);
struct trial;
/* The point that `best` was reached with. */
const double *trial_best_point(const struct trial *t);
static inline bool trial_is_over(enum trial_state state) { return state >= TRIAL_COMPLETE; }

struct trial {
    uint32_t number;
    enum trial_state state;
    double *x;                  /* owned: its point */
    double *best_x;             /* owned: the point of `best` where PBT has changed x since; else NULL */
    /* fixed at a start */
    uint32_t runs;              /* starts so far */
    uint32_t bracket;
    uint32_t clone_of;          /* whose checkpoint this run began with */
    int64_t until;              /* judged next at this step; 0: not */
    int64_t next_step;          /* of a report that names none */
    int64_t run_step;           /* highest of this run; below `step` where it repeats what was */
    /* in progress */
    enum scheduler_verdict verdict; /* of ENDING */
    int64_t step;               /* highest reported; 0: none */
    uint32_t values;            /* reports that had the metric */
    int64_t value_step;         /* of the last of them */
    double value;               /* the last one; NaN: none, or not a number */
    double best;                /* the best one, which is what the trial is worth; NaN: none */
    int64_t best_step;
    /* results */
    uint32_t failures;
    int64_t started_ms;         /* of its first run */
    int64_t run_started_ms;     /* of its last run */
    int64_t ended_ms;           /* of its last run; 0: it has not ended */
    int64_t ran_ms;             /* over all runs that ended */
    char *why;                  /* owned: of the last end; NULL: nothing to tell */
};

enum controller_what {
    CONTROLLER_RUN,             /* start this trial */
    CONTROLLER_WAIT,            /* until a trial reports or ends */
    CONTROLLER_DONE,            /* nothing will start any more, and nothing runs */
    CONTROLLER_ENOMEM,
};
struct controller_order {
    enum controller_what what;
    uint32_t trial;
    bool new_point;             /* its parameters are new: the record is to have them */
};

enum controller_answer {
    REPORT_GO,
    REPORT_STOP,                /* it is to end now; said once */
    REPORT_LOWER,               /* refused: the step is below the highest; a warning is due */
    REPORT_BEYOND,              /* refused: the step, or the next one, is beyond SCHEDULER_STEP_MAX */
    REPORT_SEEN,                /* a step of an earlier run, done again: go on */
    REPORT_ENDING,              /* it was told to end already, or does not run */
};

/* Why no new trial starts any more. */
enum controller_limit {
    LIMIT_NONE,
    LIMIT_COUNT,                /* run_cap or --count */
    LIMIT_EXHAUSTED,            /* every point of the space was tried */
    LIMIT_TIME,
    LIMIT_TARGET,               /* metric.target is reached */
    LIMIT_STORM,                /* the first trials all failed */
    LIMIT_USER,
};
const char *controller_limit_text(enum controller_limit limit);

struct controller;

/* @spec is borrowed for the controller's life.  NULL with @why. */
struct controller *controller_new(const struct spec *spec, char *why, size_t why_size);
void controller_free(struct controller **c);

/* A slot is free: what to do with it.  RUN makes the trial RUNNING; the caller
 * records a RECORD_START of it. */
struct controller_order controller_next(struct controller *c, int64_t now_ms);
/* The run that was just started finds no checkpoint: it counts its steps from 1. */
void controller_fresh(struct controller *c, uint32_t trial);

/* A report of a running trial.  @step <= 0: none given.  @value: the metric's, or NULL
 * where the report does not have it.  *@step_out is the step that it counts as, and 0
 * where it is not to be recorded. */
enum controller_answer controller_report(struct controller *c, uint32_t trial, int64_t step,
                                         const double *value, int64_t *step_out);
/* Tell a running trial to end: of its time, or the user's wish.  @verdict as a
 * scheduler's.  False: it does not run. */
bool controller_tell_end(struct controller *c, uint32_t trial, enum scheduler_verdict verdict);

/* Its process has ended: @status 0, its exit status, or 128 + signal.  @interrupted: the
 * sweep itself is ending, or its worker was lost through no fault of the trial's, so it
 * is to run again.  Returns what to record. */
enum record_fate controller_end(struct controller *c, uint32_t trial, int status, bool interrupted,
                                const char *why, int64_t now_ms);

/* End a trial for good by the user's wish, whether it runs, waits or is paused.  What its
 * process still reports is answered with stop; the caller ends that, records an end with
 * FATE_CANCELLED, and calls controller_end() for it no more.  False: it is over. */
bool controller_cancel(struct controller *c, uint32_t trial, const char *why, int64_t now_ms);

/* Start no new trials; running and paused ones may go on, but for LIMIT_STORM,
 * LIMIT_TARGET, LIMIT_TIME and LIMIT_USER, where nothing starts. */
void controller_limit(struct controller *c, enum controller_limit limit);
enum controller_limit controller_limited(const struct controller *c);

/* One event of the record, in order.  False with @why: it does not fit what was before. */
bool controller_play(struct controller *c, const struct record_event *event, char *why, size_t why_size);

/* ---- looking ---------------------------------------------------------------- */

uint32_t controller_count(const struct controller *c);
const struct trial *controller_trial(const struct controller *c, uint32_t number);
/* The trial with the best value, failed ones left out; NULL: none has one. */
const struct trial *controller_best(struct controller *c);
uint32_t controller_in_state(const struct controller *c, enum trial_state state);
const struct scheduler *controller_scheduler(const struct controller *c);
/* Steps that all trials have made, and reports that count. */
int64_t controller_steps(const struct controller *c);
uint64_t controller_reports(const struct controller *c);

#endif
