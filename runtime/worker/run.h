/* run.h - one task as it runs: its arguments, its results, its context.
 *
 * The worker's main thread runs one task at a time; while it waits it may run
 * tasks of its own process on the same stack, so runs nest (@outer).  A run is
 * what user code sees as covey_ctx.
 *
 * Threads: user code runs without the lock; the covey_ctx functions take it
 * where they touch the process, so any thread of the task may call them, one
 * at a time.
 */
#ifndef COVEY_WORKER_RUN_H
#define COVEY_WORKER_RUN_H

#include "client/process.h"
#include "client/registry.h"

#define RUN_DEPTH_MAX 1000u             /* levels of tasks that wait for tasks on one stack */
#define RUN_RESUME_SOON (200 * 1000)    /* ns for a free CPU's answer to come */
#define RUN_INLINE_MAX (2u << 20)       /* inline results of one task together */

/* One argument, its ref resolved. */
struct run_arg {
    covey_kind kind;
    int64_t i64;
    uint64_t u64;
    double f64;
    const void *data;
    size_t size;
    uint32_t dep;                       /* of a handle */
    bool fixed;                         /* @data is aligned and ends with a NUL */
};

struct run_object {                     /* what covey_arg_object() made */
    struct run_object *next;
    size_t index;
    const covey_type *type;
    void *object;
};

struct covey_ctx {
    covey *c;
    struct covey_ctx *outer;            /* also the list of spare ones */
    uint32_t depth;
    uint64_t number;                    /* as the parent of what it submits */
    struct exec_task *task;
    bool nested;                        /* a task of this process's own owner */
    const struct task_def *def;
    /* arguments */
    struct run_arg *args;               /* owned */
    uint32_t arg_count, arg_cap;
    const struct dep *deps;
    uint32_t dep_count;
    covey_ref *handles;                 /* owned; by dep, zero until asked for */
    bool *keeps;                        /* owned; by dep */
    struct run_object *objects;         /* owned */
    struct scratch scratch;             /* aligned copies */
    /* results */
    struct result *results;             /* owned; inline ones are offsets into @out until the end */
    uint32_t result_count, result_cap;
    struct buf out;
    covey_status status;                /* of covey_fail() or a misuse */
    int32_t user_code;
    char why[WHY_MAX];
    /* messages, commands */
    struct buf answer;
    bool cancel_children;               /* at the end of this turn */
    pid_t command;                      /* process group of a command; 0: none */
    struct reporter *reporter;          /* of a command that reports (worker/reporter.h) */
};

/* Fill @spec's lineage (job, trace, parent) from the running task. */
void run_describe(covey *c, struct task_spec *spec);
/* Run one task of the executor.  Lock held; let go while user code runs. */
void run_task(covey *c, struct exec_task *task);
struct covey_ctx *run_of(covey *c, const struct exec_task *task);

/* A failure of the run itself; the first one counts. */
covey_status run_fail(covey_ctx *ctx, covey_status status, int32_t code, const char *format, ...)
    COVEY_PRINTF(4, 5);
/* worker/args.c */
bool run_take_args(covey_ctx *ctx, struct span args);
void run_drop_args(covey_ctx *ctx);
/* worker/results.c: on failure everything made is given back. */
void run_end_results(covey_ctx *ctx, bool ok);

/* worker/command.c: the function behind covey_submit_command(). */
#define COMMAND_TASK "covey.command"
extern const struct task_def command_def;

/* worker/serve.c: serve tasks until the node ends. */
_Noreturn void worker_main(void);

#endif
