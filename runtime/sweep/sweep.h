/* sweep.h - what covey_sweep is made of, for its own files.
 *
 *   sweep.c    create, resume, look, close; what can be asked of it
 *   settings.c what was set on top of the file
 *   ask.c      trials that somebody else runs
 *   run.c      the loop that runs trials on a cluster
 *   launch.c   a trial's directory, environment and process
 *   copies.c   the thread that copies and removes checkpoints
 *   answers.c  answers that wait
 *   checkpoints.c  whose checkpoints are kept, where the file keeps only some
 *   report.c   one report, from its JSON to its answer
 *   recover.c  reports that were printed and not recorded before a crash
 *   trial.c    inside a trial that is a C function
 */
#ifndef COVEY_SWEEP_SWEEP_H
#define COVEY_SWEEP_SWEEP_H

#include <limits.h>
#include <stdatomic.h>

#include "covey/sweep.h"
#include "sweep/controller.h"
#include "sweep/copies.h"

#define SWEEP_PATH_MAX (PATH_MAX - 64)
#define SWEEP_REPORT_MAX (64u * 1024)   /* bytes of one report */

struct run;

/* Trials that are over and keep their checkpoints: the best, where the file sets a number. */
struct kept_trials { uint32_t *trials, count; bool known; };

struct covey_sweep {
    covey_sweep_opts opts;      /* texts are not kept */
    struct spec *spec;
    struct controller *controller;
    struct record *record;
    struct copies *copies;      /* owned; NULL: only looking */
    char dir[SWEEP_PATH_MAX];   /* absolute */
    char cwd[PATH_MAX];         /* where trials run; "" for each in its own directory */
    char *task;                 /* owned: the COVEY_TRIAL to run; NULL: the command */
    bool looking;               /* nothing may change */
    bool damaged;               /* an event of the record does not fit; covey_sweep_error() says which */
    atomic_int stops;           /* covey_sweep_stop() calls */
    int wake_fd;                /* eventfd that they write to */
    uint64_t played;            /* events of the record up to here are known, where it was opened */
    void (*follower)(const struct record_event *event, void *arg);
    void *follower_arg;
    bool held;                  /* no trial is started until this is false again */
    struct kept_trials kept;    /* owned */
    struct run *run;            /* while covey_sweep_run() is at it */
    char other_metrics[128];    /* of the last report without the file's metric, for a message */
    struct text params, words;  /* for what is handed out */
    char trial_dir[SWEEP_PATH_MAX + 32];
};

/* sweep.c */
/* Sets covey_sweep_error(); returns @status. */
covey_status sweep_fail(covey_status status, const char *format, ...) COVEY_PRINTF(2, 3);
/* A line for people. */
void sweep_say(covey_sweep *s, const char *format, ...) COVEY_PRINTF(2, 3);
/* A trial's parameters as JSON; valid until the next call.  NULL: out of memory. */
const char *sweep_params(covey_sweep *s, const struct trial *t);
const char *sweep_trial_dir(covey_sweep *s, uint32_t trial);
/* Record that @order was carried out, and that a trial ended. */
covey_status sweep_record_start(covey_sweep *s, const struct controller_order *order, uint64_t *seq);
enum record_fate sweep_record_end(covey_sweep *s, uint32_t trial, int status, bool interrupted, const char *why);
/* Of a sweep that was opened to look: take what its record has got since.  @on_event is
 * called after each event was played. */
covey_status sweep_follow(covey_sweep *s, void (*on_event)(const struct record_event *event, void *arg), void *arg);
/* How covey_sweep_run() ended, kept in the record.  False: it runs, or its runner died;
 * else *@status, and the words are covey_sweep_error(). */
void sweep_record_run(covey_sweep *s, bool runs, covey_status status);
bool sweep_run_ended(covey_sweep *s, covey_status *status);

/* run.c */
/* A line about a run's end, with the last lines of its log where it failed. */
void sweep_tell_end(covey_sweep *s, uint32_t trial, enum record_fate fate, const char *why);
/* End @trial for good, while covey_sweep_run() is at it, from on_event or on_tick.
 * COVEY_EINVAL: there is none, or it is over. */
covey_status sweep_cancel(covey_sweep *s, uint32_t trial);

/* report.c */
struct sweep_answer {
    bool stop;
    bool refused;
    uint64_t seq;               /* the answer waits until this is durable; 0: it need not */
    uint64_t copy;              /* and until this copy of its checkpoint was taken; 0: none */
    char why[160];              /* of a refusal; "" */
};
/* Take one report of @trial; @step 0: what the report says itself, else the next. */
void sweep_report(covey_sweep *s, uint32_t trial, int64_t step, const char *json, size_t size,
                  struct sweep_answer *out);

/* recover.c */
/* Of a trial whose runner died: record the reports at the end of its log that have a step
 * higher than those known, where trials report by printing. */
void recover_printed(covey_sweep *s, uint32_t trial);

/* trial.c */
/* COVEY_EUNKNOWN with covey_sweep_error(): this program has no COVEY_TRIAL of that name. */
covey_status trial_find(const char *name);

/* checkpoints.c */
/* @trial is over: its checkpoint, or that of one that is worse than it, is to be removed where
 * the file keeps only some.  PBT's stay until the sweep is over, since they are cloned. */
void checkpoints_end(covey_sweep *s, uint32_t trial);
/* covey_sweep_run() has ended, with nothing left to do. */
void checkpoints_last(covey_sweep *s);
void checkpoints_fini(covey_sweep *s);

/* launch.c */
/* Make a directory, unless it is there.  False with covey_sweep_error(). */
bool launch_make_dir(const char *path);
/* Make the directory of @order's trial, with its parameters, and, where it clones another
 * trial, have that one's checkpoint copied.  It may begin, with launch_ready(), when the copy
 * *@wait was taken; 0: at once.  False with covey_sweep_error(). */
bool launch_prepare(covey_sweep *s, const struct controller_order *order, uint64_t *wait);
/* Look at the checkpoint that @trial begins with. */
void launch_ready(covey_sweep *s, uint32_t trial);
/* A copy has ended: a snapshot that failed is warned of.  False with covey_sweep_error(): a
 * clone of a trial that is not over was not made. */
bool launch_copied(covey_sweep *s, const struct copy *copy);
/* Submit it.  A zero ref with covey_sweep_error() where its command cannot be made. */
covey_ref launch_submit(covey_sweep *s, covey *c, uint32_t trial, double gpus, covey_opts *opts);
/* Is the directory in which trials run still there? */
bool launch_has_cwd(const covey_sweep *s);
double launch_cpus(const covey_sweep *s);   /* that each trial takes */
/* How many run at once: what the file says, else what the cluster has room for. */
uint32_t launch_parallel(const covey_sweep *s, covey *c, double gpus);
/* Have a copy made of the checkpoint that @trial has now, for those who clone it (PBT).  Its
 * number; 0: it was warned that there is none. */
uint64_t launch_snapshot(covey_sweep *s, uint32_t trial);
/* The last lines of its log, for an error; "" if there is none. */
void launch_tail(covey_sweep *s, uint32_t trial, char *out, size_t size);
/* Write the helpers for scripts into DIR/python: the wandb module and covey_report.py. */
bool launch_write_helpers(covey_sweep *s);
/* A Python program, for -c, that has argparse tell defaults and types in its help. */
const char *helpers_argparse(void);

#endif
