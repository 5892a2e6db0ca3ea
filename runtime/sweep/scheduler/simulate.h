/* simulate.h - a scheduler played on learning curves, in virtual time.
 *
 *   curves (a file, or a formula) --> simulate_run() with P slots --> result
 *                                          |
 *                                          +--> one event for each thing that happens
 *
 * What would this scheduler have made of those trials: which are stopped and
 * where, how much is saved, and is the best one still found?  Trials come in the
 * order of the curves, one curve each.  PBT is approximated: a clone goes on along
 * the curve of the trial that it copies, from that one's last score, since no record
 * tells what a moved point makes of another's checkpoint.  So it shows what copying
 * gives and costs, and nothing of what moving does.
 *
 * Pure and deterministic: the same arguments give the same events.
 */
#ifndef COVEY_SWEEP_SIMULATE_H
#define COVEY_SWEEP_SIMULATE_H

#include "sweep/scheduler/scheduler.h"

#define SIMULATE_SLOTS_MAX 65536u

/* One report of a trial. */
struct curve_point {
    int64_t step;
    double loss;
    double seconds;             /* since the report before */
};

/* Where the curves come from. */
struct curve_source {
    uint32_t trials;
    /* Point @i (0 ...) of curve @trial, steps rising.  False: it ends of itself before. */
    bool (*point)(void *arg, uint32_t trial, uint32_t i, struct curve_point *out);
    void *arg;
};

enum simulate_what { SIMULATE_START, SIMULATE_RESUME, SIMULATE_REPORT, SIMULATE_END };

struct simulate_event {
    enum simulate_what what;
    double time_s;
    uint32_t trial;
    /* START, RESUME */
    uint32_t bracket, clone_of; /* clone_of SCHEDULER_NO_TRIAL: none */
    /* REPORT, END: of the last report */
    int64_t step;
    double loss;
    enum scheduler_verdict verdict;
    enum scheduler_fate fate;   /* END */
};

struct simulate_result {
    uint32_t trials;            /* started */
    uint32_t complete, stopped, paused; /* how they ended; paused: not resumed any more */
    uint32_t clones;            /* PBT: times that a trial took over another's place */
    uint32_t best_trial;        /* SCHEDULER_NO_TRIAL: none had a loss */
    uint32_t best_curve;        /* that it was on: its own, or that of a trial it copied */
    double best_loss;
    int64_t best_step;
    double full_best_loss;      /* of all curves to their ends */
    int64_t steps;              /* done */
    int64_t full_steps;         /* of all curves to their ends, or to max_iter */
    double time_s;              /* until the last trial ended */
    struct scheduler_rung *rungs; /* owned */
    uint32_t rung_count;
    struct scheduler_opts opts; /* with the defaults in place of zeros */
};

/* @space is what the scheduler's is, and may be NULL but for PBT.  @on_event may be
 * NULL.  False with @why: an option makes no sense, or out of memory. */
bool simulate_run(const struct scheduler_opts *opts, const struct space *space,
                  const struct curve_source *source, uint32_t slots,
                  void (*on_event)(const struct simulate_event *event, void *arg), void *arg,
                  struct simulate_result *out, char *why, size_t why_size);
void simulate_fini(struct simulate_result *r);

/* The result for people.  With @maximize, losses are shown with their sign turned;
 * @best_name is the best trial's, NULL: its number; @best_curve that of the trial
 * whose curve it was on, NULL: its own. */
void simulate_print(struct text *t, const struct simulate_result *r, bool maximize,
                    const char *best_name, const char *best_curve);

#endif
