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
 *             if (covey_trial_report(trial, epoch, loss) != COVEY_OK)
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
 * Link with -lcovey-sweep -lcovey.  Errors, units and NULL are as in covey.h.
 *
 * Threads  A covey_sweep is used by one thread at a time, except for
 *          covey_sweep_stop().
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

/* A trial, as it is known.  Texts are valid until the next call with the sweep. */
typedef struct covey_trial_info {
    uint32_t trial;             /* its number: 0, 1, 2 ... */
    covey_trial_state state;
    const char *params;         /* JSON */
    const char *dir;
    double value;               /* the metric's last value; NaN: none */
    double best;                /* and its best one, at @best_step */
    int64_t best_step;
    int64_t step;               /* the highest reported */
    uint32_t runs;
    const char *why;            /* of its last end; "" */
} covey_trial_info;

/* Zero means default. */
typedef struct covey_sweep_opts {
    size_t size;                /* sizeof(covey_sweep_opts) */
    const char *file;           /* the sweep file ... */
    const char *text;           /* ... or its text */
    const char *dir;            /* made; default sweeps/NAME-DATE */
    const char *trial;          /* run this COVEY_TRIAL instead of the file's command */
    uint32_t parallel;          /* trials at once; 0: the file's, else what the cluster has room for */
    uint64_t count;             /* trials at most; 0: the file's run_cap */
    bool seeded;                /* @seed counts */
    uint64_t seed;
    const char *const *set;     /* "key=value", as `--set`; NULL-ended */
    /* A line for people about each thing that happened; NULL: silence. */
    void (*on_event)(covey_sweep *sweep, const char *line, void *arg);
    /* About ten times a second while covey_sweep_run() is at it. */
    void (*on_tick)(covey_sweep *sweep, void *arg);
    void *arg;
} covey_sweep_opts;

/* Make the directory and its record; nothing runs yet.
 *
 * COVEY_EINVAL    the file is wrong: covey_sweep_error() has file, line, column
 * COVEY_EREFUSED  the directory exists
 * COVEY_ESYSTEM   it cannot be made or written */
COVEY_MUST_USE covey_status covey_sweep_create(covey_sweep **out, const covey_sweep_opts *opts);
/* Go on with the sweep in opts->dir; file and text are not used, what @set names
 * is changed for good.
 *
 * COVEY_EREFUSED  another process runs it
 * COVEY_EINVAL    no sweep is there, or its record is damaged */
COVEY_MUST_USE covey_status covey_sweep_resume(covey_sweep **out, const covey_sweep_opts *opts);
/* Only look; trials can be read, nothing run. */
COVEY_MUST_USE covey_status covey_sweep_look(covey_sweep **out, const char *dir);
/* Waits until everything is on disk.  Sets *@sweep to NULL. */
void covey_sweep_close(covey_sweep **sweep);

/* Run trials on @c's cluster until the sweep is over or stopped.  Blocks; @c is
 * not used by anybody else meanwhile.
 *
 * COVEY_OK          over: all trials are run, or its limits are reached
 * COVEY_ECANCELLED  stopped; covey_sweep_resume() goes on
 * COVEY_ETASK       the first trials all failed; covey_sweep_error() shows why
 * COVEY_ESYSTEM     the record cannot be written */
COVEY_MUST_USE covey_status covey_sweep_run(covey_sweep *sweep, covey *c);
/* End covey_sweep_run(): running trials get SIGTERM and their grace, a second
 * call kills them.  From any thread, and from signal handlers. */
void covey_sweep_stop(covey_sweep *sweep);

/* ---- ask and tell: trials that somebody else runs ---------------------------- */

typedef struct covey_offer {
    uint32_t trial;
    const char *params;         /* JSON; valid until the next call with the sweep */
    int64_t resource;           /* the step at which it will be judged; 0: none */
    const char *checkpoint;     /* directory to go on from and to save to */
} covey_offer;

/* COVEY_EAGAIN   nothing until a trial in progress is told of
 * COVEY_ECLOSED  nothing is left */
COVEY_MUST_USE covey_status covey_sweep_ask(covey_sweep *sweep, covey_offer *out);
/* @report: JSON, {"loss": 0.3}; @step 0: the next one.  *@stop: the trial is to end. */
COVEY_MUST_USE covey_status covey_sweep_tell(covey_sweep *sweep, uint32_t trial, int64_t step,
                                             const char *report, bool *stop);
/* The trial has ended, well or not. */
COVEY_MUST_USE covey_status covey_sweep_end(covey_sweep *sweep, uint32_t trial, bool failed);

/* ---- looking ------------------------------------------------------------------- */

uint32_t covey_sweep_count(covey_sweep *sweep);
/* COVEY_EINVAL: no such trial. */
covey_status covey_sweep_trial(covey_sweep *sweep, uint32_t trial, covey_trial_info *out);
/* The trial with the best value, failed ones left out.  COVEY_EAGAIN: none has one. */
covey_status covey_sweep_best(covey_sweep *sweep, covey_trial_info *out);
const char *covey_sweep_dir(covey_sweep *sweep);

/* ---- inside a trial that is a C function ------------------------------------------ */

typedef struct covey_trial covey_trial;
typedef covey_status (*covey_trial_fn)(covey_trial *trial);
covey_status covey_trial_main(covey_ctx *ctx, covey_trial_fn fn);

#define COVEY_TRIAL(name)                                                     \
    static covey_status name##_trial(covey_trial *trial);                     \
    COVEY_TASK(name, "str ->")                                                \
    {                                                                         \
        return covey_trial_main(ctx, name##_trial);                           \
    }                                                                         \
    static covey_status name##_trial(covey_trial *trial)

/* Parameters; nested ones by their path with dots.  One that is missing or of
 * another type gives 0 or NULL and fails the trial when it returns. */
double covey_trial_f64(covey_trial *trial, const char *name);
int64_t covey_trial_i64(covey_trial *trial, const char *name);
bool covey_trial_bool(covey_trial *trial, const char *name);
const char *covey_trial_str(covey_trial *trial, const char *name);
bool covey_trial_has(covey_trial *trial, const char *name);
const char *covey_trial_params(covey_trial *trial);         /* all of them, as JSON */
uint32_t covey_trial_number(covey_trial *trial);
const char *covey_trial_dir(covey_trial *trial);
const char *covey_trial_checkpoint_dir(covey_trial *trial);
int64_t covey_trial_resource(covey_trial *trial);           /* 0: no such step */
covey_ctx *covey_trial_ctx(covey_trial *trial);

/* Report the sweep's metric; @step 0: the next one.  Save the checkpoint before.
 *
 * COVEY_OK          go on
 * COVEY_ECANCELLED  the trial is to end */
covey_status covey_trial_report(covey_trial *trial, int64_t step, double value);
/* Several metrics: a JSON object. */
covey_status covey_trial_report_json(covey_trial *trial, const char *report);

/* ---- inside a trial that is a program ----------------------------------------------- */

/* Report to the sweep that started this program ($COVEY_REPORT), as a JSON
 * object: {"step": 5, "loss": 0.3}.  Blocks until it is answered, at most 60 s.
 * Needs -lcovey alone.
 *
 * COVEY_OK          go on
 * COVEY_ECANCELLED  the trial is to end
 * COVEY_ENOCLUSTER  no sweep started this program
 * COVEY_EPROTO      the report was refused; covey_report_error() says why
 * COVEY_ECLOSED     the sweep is not there any more
 * COVEY_ETIMEOUT    it has not answered */
covey_status covey_report(const char *report);
const char *covey_report_error(void);

#ifdef __cplusplus
}
#endif
#endif
