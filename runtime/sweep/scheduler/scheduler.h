/* scheduler.h - which trials go on: ASHA in two forms, HyperBand, median, PBT,
 * W&B's bands, none.
 *
 * A scheduler is told what happens to trials and says what is to be done.  It
 * sees losses only (smaller is better; NaN and infinities arrive as INFINITY)
 * and steps, which count from 1.
 *
 *                 scheduler_next: NEW          scheduler_next: RESUME
 *   (no trial) ----scheduler_start----> running <--scheduler_start-- paused
 *                                        |  ^ |                        ^
 *                  scheduler_report: GO  +--+ |                        |
 *                  STOP, FINISH, PAUSE        v                        |
 *                                     ending --scheduler_end(PAUSED)---+
 *                                        |                             |
 *                                        | scheduler_end(others)       | scheduler_end(others):
 *                                        v                             | the user's wish
 *                                      gone <--------------------------+
 *
 *   running --scheduler_end(others)--> gone, too: of itself, or failed
 *
 * Deterministic: what it says depends on its options and on the calls so far.
 * scheduler_next() changes nothing, so a record of starts, reports and ends
 * brings a scheduler back exactly.  Pure: no clock, no I/O.  One thread.
 */
#ifndef COVEY_SWEEP_SCHEDULER_H
#define COVEY_SWEEP_SCHEDULER_H

#include "sweep/space/space.h"

/* Rungs are at whole steps below it, and reports at most there, so that doubles hold them exactly. */
#define SCHEDULER_STEP_MAX (INT64_C(1) << 52)
#define SCHEDULER_NO_TRIAL UINT32_MAX
#define SCHEDULER_RUNGS_MAX 100 /* in one bracket; W&B makes as many bands */

enum scheduler_kind {
    SCHEDULER_NONE, SCHEDULER_ASHA, SCHEDULER_ASHA_PROMOTION, SCHEDULER_HYPERBAND, SCHEDULER_MEDIAN,
    SCHEDULER_PBT, SCHEDULER_BANDS,
};

/* Zero means the default that the anchor of its kind has. */
struct scheduler_opts {
    enum scheduler_kind kind;
    uint64_t seed;
    int64_t max_iter;           /* the most a trial gets; ASHA 100, HyperBand 81 */
    int64_t min_iter;           /* ASHA's grace and first rung; bands */
    double eta;                 /* ASHA 4 (stopping) or 3, others 3 */
    uint32_t brackets;          /* ASHA: s = 0..brackets-1; bands: s */
    uint32_t rounds;            /* HyperBand: times through all brackets; 1 */
    int64_t grace;              /* median: 60 */
    uint32_t min_samples;       /* median: 3 */
    bool strict;                /* bands */
    /* PBT */
    uint32_t population;        /* 8 */
    int64_t interval, burn_in;  /* 60, 0 */
    double quantile, resample;  /* 0.25, 0.25 */
    double factor_up, factor_down; /* 1.2, 0.8 */
};

enum scheduler_verdict {
    SCHEDULER_GO,
    SCHEDULER_STOP,             /* it is beaten: end it for good */
    SCHEDULER_PAUSE,            /* end it; scheduler_next() may resume it later */
    SCHEDULER_FINISH,           /* it has had all it is to get: end it, complete */
};

enum scheduler_fate {
    SCHEDULER_ENDED_PAUSED,
    SCHEDULER_ENDED_COMPLETE,   /* of itself, or after FINISH */
    SCHEDULER_ENDED_STOPPED,
    SCHEDULER_ENDED_FAILED,     /* for good: no retry follows; counts as worst */
};

enum scheduler_what {
    SCHEDULER_NEW,              /* start a new trial, if the sweep may have more */
    SCHEDULER_RESUME,           /* start @trial again from its checkpoint */
    SCHEDULER_WAIT,             /* nothing until a trial reports or ends */
    SCHEDULER_DONE,             /* nothing ever again */
};

struct scheduler_choice {
    enum scheduler_what what;
    uint32_t trial;             /* RESUME */
    int64_t until;              /* the step at which it will be judged next; 0: no such step */
    uint32_t bracket;           /* shown to people */
    /* PBT: it goes on from this trial's checkpoint and with this point
     * (borrowed until the next call that changes the scheduler), else
     * SCHEDULER_NO_TRIAL and NULL. */
    uint32_t clone_of;
    const double *x;
};

struct scheduler;

/* @space is borrowed for the scheduler's life; only PBT looks at it.  NULL with
 * @why: an option makes no sense (its name, value and range are told), or out
 * of memory. */
struct scheduler *scheduler_new(const struct scheduler_opts *opts, const struct space *space,
                                char *why, size_t why_size);
void scheduler_free(struct scheduler **s);

/* What to do with a free slot.  Where the sweep may have no more new trials,
 * @no_new says so, and NEW does not come back: a bracket that can no longer be
 * filled goes on with those it has. */
struct scheduler_choice scheduler_next(const struct scheduler *s, bool no_new);
/* @choice is carried out: NEW as trial number @trial (0, 1, 2 ...) at point @x,
 * RESUME of choice->trial.  False: out of memory, nothing changed. */
bool scheduler_start(struct scheduler *s, const struct scheduler_choice *choice, uint32_t trial,
                     const double *x);
/* A running trial's loss at @step; steps of one trial rise, but may skip. */
enum scheduler_verdict scheduler_report(struct scheduler *s, uint32_t trial, int64_t step, double loss);
/* Its process has ended, or a paused one is not to go on.  PAUSED only after PAUSE; a
 * retry (from its last checkpoint) is no end. */
void scheduler_end(struct scheduler *s, uint32_t trial, enum scheduler_fate fate);

/* PBT: the step of @trial's last score.  Its checkpoint of then is what a clone begins
 * with, so it is to be kept while the trial goes on; 0: there is none. */
int64_t scheduler_score_step(const struct scheduler *s, uint32_t trial);

/* Its options, with the defaults in place of zeros. */
const struct scheduler_opts *scheduler_options(const struct scheduler *s);

/* For views: rung @i (0 ...) in the order of brackets, then steps.  False: no such one. */
struct scheduler_rung {
    uint32_t bracket, index;
    int64_t step;
    uint32_t planned;           /* trials that it is to get; 0: open */
    uint32_t reached, passed;   /* trials judged here, and those let go on */
    double cutoff;              /* the loss that would be let on now; NaN: not known */
};
bool scheduler_rung(const struct scheduler *s, uint32_t i, struct scheduler_rung *out);

#endif
