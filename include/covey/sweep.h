/* covey/sweep.h - hyperparameter sweeps from a C program.
 *
 * What `covey sweep` does from a terminal: a file in W&B's format says which
 * parameters there are, trials run in parallel, bad ones stop early, and
 * everything that happened is in a directory from which the sweep can go on
 * after any crash.
 *
 *     COVEY_TRIAL(train)
 *     {
 *         double lr = covey_trial_f64(trial, "lr");
 *         for (int64_t epoch = 1; epoch <= 27; epoch++) {
 *             double loss = ...;
 *             if (covey_trial_report(trial, epoch, loss) == COVEY_ECANCELLED)
 *                 break;                       // beaten: leave
 *         }
 *         return COVEY_OK;
 *     }
 *
 *     covey_sweep *sweep;
 *     covey_sweep_opts opts = {.size = sizeof opts, .file = "sweep.yaml", .trial = "train"};
 *     if (covey_sweep_create(&sweep, &opts) != COVEY_OK || covey_sweep_run(sweep, c) != COVEY_OK)
 *         fprintf(stderr, "%s\n", covey_sweep_error());
 *     covey_sweep_close(&sweep);
 *
 * Link with -lcovey-sweep -lcovey.  What a sweep file says is in README.md.
 *
 * Units      Steps count from 1 and mean what the program wants them to: epochs,
 *            batches.  Values are the file's metric, as they are reported.
 * Errors     Functions return a covey_status, COVEY_OK is zero; what was wrong
 *            and what to do, in words, is covey_sweep_error()'s.
 * NULL       COVEY_EINVAL, 0 or NULL, never a crash.
 * Threads    A covey_sweep is used by one thread at a time, except for
 *            covey_sweep_stop(); different ones by different threads.
 * Callbacks  run in the thread that is in covey_sweep_create() or
 *            covey_sweep_run().  They may look at their sweep and stop it; they must
 *            not close it.
 * Blocking   covey_sweep_run(), which says when it ends; the others wait for the
 *            disk at most.
 * Processes  One at a time has a sweep open for running or telling; any number look.
 */
#ifndef COVEY_SWEEP_H
#define COVEY_SWEEP_H

#include "covey.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_sweep covey_sweep;

/* What went wrong last in this thread's calls of this header, in words; "" when nothing
 * did.  Valid until the next of them. */
const char *covey_sweep_error(void);

typedef enum covey_trial_state {
    COVEY_TRIAL_RUNNING, COVEY_TRIAL_WAITING, COVEY_TRIAL_PAUSED,
    COVEY_TRIAL_COMPLETE, COVEY_TRIAL_STOPPED, COVEY_TRIAL_FAILED, COVEY_TRIAL_CANCELLED,
} covey_trial_state;

/* A trial, as it is known.  Texts are the sweep's, valid until the next call with it. */
typedef struct covey_trial_info {
    uint32_t trial;             /* its number: 0, 1, 2 ... */
    covey_trial_state state;
    const char *params;         /* JSON, of its last run */
    const char *dir;            /* absolute */
    double value;               /* the metric's last value; NaN: none */
    double best;                /* and its best one, which is what the trial is worth; NaN: none */
    int64_t best_step;          /* 0: none */
    int64_t step;               /* the highest reported; 0: none */
    uint32_t runs;              /* how often it was started */
    const char *why;            /* of its last end; "": nothing to tell */
} covey_trial_info;

/* Zero means default.  Texts are borrowed until the call returns, @arg is for as long
 * as the sweep is open. */
typedef struct covey_sweep_opts {
    size_t size;                /* sizeof(covey_sweep_opts) */
    const char *file;           /* the sweep file ... */
    const char *text;           /* ... or its text */
    const char *dir;            /* made, with its parents; default sweeps/NAME-DATE */
    const char *trial;          /* run this COVEY_TRIAL of the program instead of the file's command */
    uint32_t parallel;          /* trials at once; 0: the file's, else what the cluster has room for */
    uint64_t count;             /* trials at most, all of the sweep's; 0: the file's run_cap */
    bool seeded;                /* @seed counts, else the file's or a random one; not for resume */
    uint64_t seed;
    /* "key=value", as `--set`; NULL-ended.  Of a new sweep any key of the file, of one that
     * is resumed limits: run_cap, parallel, time ... */
    const char *const *set;
    /* A line for people about each thing that happened; NULL: silence. */
    void (*on_event)(covey_sweep *sweep, const char *line, void *arg);
    /* About ten times a second while covey_sweep_run() is at it. */
    void (*on_tick)(covey_sweep *sweep, void *arg);
    void *arg;
} covey_sweep_opts;

/* Make the directory and its record; nothing runs yet.  The caller owns *@out and
 * ends it with covey_sweep_close(); on failure it is NULL.
 *
 * COVEY_EINVAL    @opts or the file is wrong: covey_sweep_error() has file, line, column
 * COVEY_EUNKNOWN  the program has no COVEY_TRIAL of that name
 * COVEY_EREFUSED  the directory exists
 * COVEY_ESYSTEM   it cannot be made or written
 * COVEY_ENOMEM    out of memory */
COVEY_MUST_USE covey_status covey_sweep_create(covey_sweep **out, const covey_sweep_opts *opts);
/* Go on with the sweep in opts->dir: what ended stays so, what was stopped or ran when
 * its process died runs again, from its checkpoint.  file and text are not used, what
 * @set, @count and @parallel say is changed for good.  The caller owns *@out.
 *
 * COVEY_EREFUSED  another process runs it, or another covey_sweep of this one
 * COVEY_EINVAL    no sweep is there, or its record is damaged
 * COVEY_ESYSTEM   it cannot be read or written
 * COVEY_ENOMEM    out of memory */
COVEY_MUST_USE covey_status covey_sweep_resume(covey_sweep **out, const covey_sweep_opts *opts);
/* Only look: trials can be read, nothing is run or told, and nothing is locked, so the
 * sweep may run meanwhile.  What is seen is how it stood at this call.  Errors as
 * covey_sweep_resume(), less COVEY_EREFUSED.  The caller owns *@out. */
COVEY_MUST_USE covey_status covey_sweep_look(covey_sweep **out, const char *dir);
/* Waits until everything is on disk.  Sets *@sweep to NULL; NULL or a NULL sweep is
 * nothing to do.  Not while another thread may call covey_sweep_stop(). */
void covey_sweep_close(covey_sweep **sweep);

/* Run trials on @c's cluster until the sweep is over or stopped.  Blocks as long as
 * that takes; when it returns, no trial runs any more.  @c is not used by anybody
 * else meanwhile, and stays the caller's.  Single trials that fail are no error:
 * covey_sweep_trial() tells of them.
 *
 * COVEY_OK          over: all trials are run, or its limits are reached
 * COVEY_ECANCELLED  stopped; covey_sweep_resume() goes on
 * COVEY_ETASK       all trials failed, or the first ones; covey_sweep_error() shows why
 * COVEY_ENODE       the cluster is gone; covey_sweep_resume() goes on on another one
 * COVEY_EUNKNOWN    another program has the sweep's COVEY_TRIAL
 * COVEY_ESYSTEM     the directory or its record cannot be written
 * COVEY_ENOMEM      out of memory
 * COVEY_EINVAL      the file has no command that can be run, or a macro in it no value;
 *                   NULL, opened only to look, or from a callback */
COVEY_MUST_USE covey_status covey_sweep_run(covey_sweep *sweep, covey *c);
/* End covey_sweep_run(): running commands get SIGTERM, C trials COVEY_ECANCELLED at
 * their next report, and the file's grace to save their checkpoints; a second call
 * kills them.  Does not wait.  Before covey_sweep_run(), that returns at once.  From any
 * thread, and from signal handlers. */
void covey_sweep_stop(covey_sweep *sweep);

/* ---- ask and tell: trials that somebody else runs ----------------------------
 *
 * Each call returns when what it says is on disk, so that no crash undoes it.  Not
 * while covey_sweep_run() is at it: COVEY_EINVAL.  COVEY_ESYSTEM: the record cannot be
 * written.  COVEY_ENOMEM: out of memory. */

typedef struct covey_offer {
    uint32_t trial;
    const char *params;         /* JSON; valid until the next call with the sweep */
    int64_t resource;           /* the step at which it will be judged; 0: none */
    const char *checkpoint;     /* directory to go on from and to save to; as valid as @params */
} covey_offer;

/* A trial to run: a new one, or one that goes on.
 *
 * COVEY_EAGAIN   nothing until a trial in progress is told of
 * COVEY_ECLOSED  nothing is left; covey_sweep_error() says why */
COVEY_MUST_USE covey_status covey_sweep_ask(covey_sweep *sweep, covey_offer *out);
/* @report: JSON, {"loss": 0.3}; NaN and Infinity are allowed and the worst of values.
 * @step 0: the report's own "step", else the next one; the step of before adds to its
 * report.  *@stop, if @stop is not NULL: the trial is to end.
 *
 * COVEY_EINVAL  no such trial runs, the step is below one that was told, or the report
 *               is no JSON object; nothing has changed */
COVEY_MUST_USE covey_status covey_sweep_tell(covey_sweep *sweep, uint32_t trial, int64_t step,
                                             const char *report, bool *stop);
/* The trial has ended: of itself, with what it was told last; because it was to end; or
 * it @failed, and the file's retries say whether it is offered again.  One that never
 * told the file's metric has failed, too.
 *
 * COVEY_EINVAL  no such trial runs */
COVEY_MUST_USE covey_status covey_sweep_end(covey_sweep *sweep, uint32_t trial, bool failed);

/* ---- looking ------------------------------------------------------------------- */

/* Trials so far; their numbers are below. */
uint32_t covey_sweep_count(covey_sweep *sweep);
/* COVEY_EINVAL: no such trial. */
covey_status covey_sweep_trial(covey_sweep *sweep, uint32_t trial, covey_trial_info *out);
/* The trial with the best value, failed ones left out.  COVEY_EAGAIN: none has one. */
covey_status covey_sweep_best(covey_sweep *sweep, covey_trial_info *out);
/* Absolute; as long as the sweep is open. */
const char *covey_sweep_dir(covey_sweep *sweep);

/* ---- inside a trial that is a C function ------------------------------------------
 *
 * COVEY_TRIAL(name) { body } is a task in a worker process of its program, like
 * COVEY_TASK: what it crashes is itself.  The body returns COVEY_OK, also when it was
 * beaten; anything else, or what covey_fail(covey_trial_ctx(trial), ...) returned,
 * fails the trial.  The handle and its texts are valid until the body returns, and are
 * its thread's.  What it prints goes where a task's output goes.
 *
 * When it is to end, a report says so, and covey_cancelled(covey_trial_ctx(trial)) is
 * true; it has the file's grace to return, and is killed then. */

typedef struct covey_trial covey_trial;
typedef covey_status (*covey_trial_fn)(covey_trial *trial);
/* What COVEY_TRIAL is made of. */
covey_status covey_trial_main(covey_ctx *ctx, covey_trial_fn fn);
typedef struct covey_trial_def {
    const char *name;
    struct covey_trial_def *next;   /* covey's */
} covey_trial_def;
/* Takes @def for the life of the program.  Before main. */
void covey_trial_register(covey_trial_def *def);

#define COVEY_TRIAL(name)                                                     \
    static covey_status name##_trial(covey_trial *trial);                     \
    COVEY_TASK(name, "str ->")                                                \
    {                                                                         \
        return covey_trial_main(ctx, name##_trial);                           \
    }                                                                         \
    __attribute__((constructor)) static void covey_trial_register_##name(void)\
    {                                                                         \
        static covey_trial_def def = {#name, NULL};                           \
        covey_trial_register(&def);                                           \
    }                                                                         \
    static covey_status name##_trial(covey_trial *trial)

/* Parameters; nested ones by their path with dots, "opt.kind".  One that is missing,
 * null or of another type gives 0 or NULL and fails the trial when it returns, with
 * its name and value in the error.  A whole number is taken for f64, and 3.0 for i64. */
double covey_trial_f64(covey_trial *trial, const char *name);
int64_t covey_trial_i64(covey_trial *trial, const char *name);
bool covey_trial_bool(covey_trial *trial, const char *name);
const char *covey_trial_str(covey_trial *trial, const char *name);
/* Is there such a parameter, and is it not null?  (Conditional ones may not be.) */
bool covey_trial_has(covey_trial *trial, const char *name);
const char *covey_trial_params(covey_trial *trial);         /* all of them, as JSON */
uint32_t covey_trial_number(covey_trial *trial);
const char *covey_trial_dir(covey_trial *trial);            /* absolute, the trial's own */
/* In it; made, empty at first, kept from run to run: look there for what to go on from. */
const char *covey_trial_checkpoint_dir(covey_trial *trial);
int64_t covey_trial_resource(covey_trial *trial);           /* judged next at this step; 0: never */
covey_ctx *covey_trial_ctx(covey_trial *trial);

/* Report the file's metric ("value" where it has none); NaN and infinity are the worst
 * of values.  @step 0: the next one.  Save the checkpoint before.  Blocks until it is
 * answered, which is when the report is on disk.
 *
 * COVEY_OK          go on
 * COVEY_ECANCELLED  the trial is to end; where the whole sweep is stopped, this report may
 *                   not be recorded
 * COVEY_EPROTO      refused, the step is below one of before or beyond 2^52:
 *                   covey_sweep_error(); the sweep shows a warning, and the trial may go on
 * COVEY_ENOMEM      out of memory */
covey_status covey_trial_report(covey_trial *trial, int64_t step, double value);
/* Several metrics: a JSON object, {"step": 5, "loss": 0.3, "accuracy": 0.9}. */
covey_status covey_trial_report_json(covey_trial *trial, const char *report);

/* ---- inside a trial that is a program ----------------------------------------------- */

/* Report to the sweep that started this program ($COVEY_REPORT), as a JSON
 * object: {"step": 5, "loss": 0.3}.  Blocks until it is answered, at most 600 s.
 * From any thread and after a fork.  Needs -lcovey alone.
 *
 * COVEY_OK          go on
 * COVEY_ECANCELLED  the trial is to end
 * COVEY_EINVAL      no report, or one of 64 KiB and more
 * COVEY_ENOCLUSTER  no sweep started this program
 * COVEY_EPROTO      the report was refused; covey_report_error() says why
 * COVEY_ECLOSED     the sweep is not there any more
 * COVEY_ETIMEOUT    it has not answered
 * COVEY_ESYSTEM     no socket
 * COVEY_ENOMEM      out of memory */
covey_status covey_report(const char *report);
/* What the last report of this thread met, in words; "" if it was taken. */
const char *covey_report_error(void);

#ifdef __cplusplus
}
#endif
#endif
