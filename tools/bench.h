/* bench.h - what the files of `covey bench` share.
 *
 * A row is one figure with its unit, measured by one function.  Where a row has
 * a baseline, the function measures it, too, in turns with the figure itself:
 * what one machine says at different times differs by more than most bounds.
 *
 *   cmd_bench.c     the table of rows, the command line, what is printed
 *   bench.c         clusters, helper processes, medians
 *   bench_task.c    tasks: latency and rate
 *   bench_object.c  objects: bandwidth and rate
 *   bench_life.c    starting, stopping, what idles
 *   bench_sweep.c   sweeps: trials, reports, stops
 *   bench_record.c  their record, search and resume
 *   bench_zmq.c     the baseline of bench_task.c: ZeroMQ and nothing else
 *
 * The command itself is the program under test: its tasks are registered like
 * those of any program, and its workers are this same file.
 *
 * Threads: one.
 */
#ifndef COVEY_TOOLS_BENCH_H
#define COVEY_TOOLS_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "covey.h"

#define BENCH_WAIT_MS 20000     /* for anything that a row waits for */
#define BENCH_GIB (UINT64_C(1) << 30)
#define BENCH_STORE_BYTES (3 * BENCH_GIB)
/* Two private copies of a GiB, the store, and room for everybody else. */
#define BENCH_MEMORY_MIN (6 * BENCH_GIB)

struct bench {
    covey *c;                   /* of a private cluster; bench_cluster() opens it */
    const char *dir;            /* temporary, of this run alone */
    char why[1024];             /* of the row that could not be measured */
    /* What one measurement tells for two rows; 0: not measured yet. */
    double start_ms, stop_ms;
    double read_first, read_later, read_own;
    double trial_ms, trial_growth_mb;
};

struct bench_figure {
    double value, baseline;     /* @baseline 0: there is none */
};

/* False: it could not be measured, and bench->why says why. */
typedef bool (*bench_fn)(struct bench *b, struct bench_figure *out);
bool bench_fail(struct bench *b, const char *format, ...) COVEY_PRINTF(2, 3);

/* ---- rows; cmd_bench.c says what each one is ------------------------------------ */

bool bench_tasks_sync(struct bench *b, struct bench_figure *out);
bool bench_tasks_async(struct bench *b, struct bench_figure *out);
bool bench_put_1GiB(struct bench *b, struct bench_figure *out);
bool bench_put_1GiB_first(struct bench *b, struct bench_figure *out);
bool bench_get_1GiB(struct bench *b, struct bench_figure *out);
bool bench_get_1GiB_read(struct bench *b, struct bench_figure *out);
bool bench_get_1GiB_read_first(struct bench *b, struct bench_figure *out);
bool bench_put_1KiB(struct bench *b, struct bench_figure *out);
bool bench_get_1KiB(struct bench *b, struct bench_figure *out);
bool bench_start_to_first_result(struct bench *b, struct bench_figure *out);
bool bench_stop(struct bench *b, struct bench_figure *out);
bool bench_worker_start(struct bench *b, struct bench_figure *out);
bool bench_idle_head_node(struct bench *b, struct bench_figure *out);
bool bench_idle_worker(struct bench *b, struct bench_figure *out);
bool bench_sweep_trials(struct bench *b, struct bench_figure *out);
bool bench_sweep_c_trial(struct bench *b, struct bench_figure *out);
bool bench_sweep_memory(struct bench *b, struct bench_figure *out);
bool bench_sweep_command(struct bench *b, struct bench_figure *out);
bool bench_sweep_reports(struct bench *b, struct bench_figure *out);
bool bench_sweep_reports_asked(struct bench *b, struct bench_figure *out);
bool bench_sweep_record(struct bench *b, struct bench_figure *out);
bool bench_sweep_stop(struct bench *b, struct bench_figure *out);
bool bench_sweep_suggest(struct bench *b, struct bench_figure *out);
bool bench_sweep_suggest_int(struct bench *b, struct bench_figure *out);
bool bench_sweep_suggest_log(struct bench *b, struct bench_figure *out);
bool bench_sweep_resume(struct bench *b, struct bench_figure *out);

/* ---- bench.c ------------------------------------------------------------------- */

/* Of at least one value; sorts them. */
double bench_median(double *values, int count);

/* The run's own cluster with all cores and a store of BENCH_STORE_BYTES; the
 * same one until bench_leave(), which ends it.  NULL: b->why says why. */
covey *bench_cluster(struct bench *b);
void bench_leave(struct bench *b);
/* Is there enough memory for the rows that handle a GiB? */
bool bench_has_memory(struct bench *b);
/* One task that does nothing, to its end. */
bool bench_one_task(struct bench *b, covey *c);

/* Execute this program with @argv (NULL-ended, argv[0] given).  @out: its
 * standard output, the caller's to close; NULL: /dev/null.  @address sets
 * COVEY_ADDRESS for it.  -1: b->why says why. */
pid_t bench_spawn(struct bench *b, const char *const *argv, const char *address, int *out);
/* Until it has ended.  False: not with status 0. */
bool bench_wait(struct bench *b, pid_t pid, const char *what);

/* ---- bench_life.c ------------------------------------------------------------------- */

/* Add the PSS of @pid in MB, without the arena. */
bool bench_add_pss(struct bench *b, pid_t pid, double *mb);
/* That of a daemon, whose number is in @file, and of the processes that it keeps beside
 * itself. */
struct places;
bool bench_add_daemon(struct bench *b, const struct places *p, const char *file, double *mb);

/* ---- the hidden command `covey _bench WHAT ...`: what rows execute ----------------- */

#define BENCH_HELPER "_bench"
#define BENCH_HELPER_ECHO "echo"                /* ENDPOINT */
#define BENCH_HELPER_WORKER_START "worker-start"
int bench_zmq_echo(const char *endpoint);
int bench_worker_start_program(void);
/* Trials of bench_sweep.c */
#define BENCH_HELPER_PRINT "print-reports"
#define BENCH_HELPER_STOP "stop-trial"
int bench_print_reports(void);
int bench_stop_trial(int64_t began);
/* main() calls it in a process that is to be a worker, before it becomes one. */
void bench_before_worker(int argc, char **argv);

/* ---- bench_zmq.c ---------------------------------------------------------------- */

/* A DEALER of this process and a ROUTER of another one that sends back what it
 * gets, over ipc. */
struct bench_zmq;
struct bench_zmq *bench_zmq_open(struct bench *b);
void bench_zmq_close(struct bench *b, struct bench_zmq **z);
/* The median of @count round trips of 64 bytes, one at a time, blocking; in
 * microseconds.  0: b->why says why. */
double bench_zmq_round_trip_us(struct bench *b, struct bench_zmq *z, int count);

#endif
