/* bench_sweep.c - sweeps on a cluster: what a trial, a report and a stop cost.
 *
 * Each row has a cluster of its own, started before the clock.  The clock runs
 * from the making of the sweep's directory until all of its record is on disk.
 * Trials that are commands are executed like any user's; those that measure
 * something are this program, as `covey _bench WHAT`.
 */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "covey/sweep.h"
#include "io/mono.h"
#include "io/places.h"

#define CLUSTER "sweep"
#define SLEEPERS 1600
#define SLEEPERS_SLOTS 16
#define SLEEPERS_IDEAL_S 10
#define EMPTY_TRIALS 10000
#define EMPTY_WARM 2000         /* trials before memory is looked at */
#define PRINTED 100000          /* reports of each trial that prints them */
#define ASKING_TRIALS 64
#define ASKED 2000              /* reports of each trial that waits for answers */
#define STOPPED_TRIALS 400
#define TIMES_FILE "times"      /* in a trial's directory */

/* What all files have in common. */
#define SPACE "method: random\nparameters: {lr: {min: 0.0, max: 1.0}}\n"
#define SELF "command: ['${envvar:COVEY_BIN}', " BENCH_HELPER ", "

/* ---- a sweep on a cluster of its own ------------------------------------------------- */

static covey *open_cluster(struct bench *b, int cpus)
{
    char number[16];
    const char *const argv[] = {"covey", "start", "-q", "--name", CLUSTER, "--cpus", number, NULL};
    const covey_open_opts opts = {.size = sizeof opts, .address = "local:" CLUSTER, .quiet = true};
    bench_leave(b);
    snprintf(number, sizeof number, "%d", cpus);
    pid_t pid = bench_spawn(b, argv, NULL, NULL);
    if (pid < 0 || !bench_wait(b, pid, "covey start"))
        return NULL;
    covey *c = covey_open(&opts);
    if (!c)
        bench_fail(b, "%s", covey_error());
    return c;
}

static bool close_cluster(struct bench *b, covey **c)
{
    static const char *const argv[] = {"covey", "stop", "-q", "--name", CLUSTER, NULL};
    covey_close(c);
    pid_t pid = bench_spawn(b, argv, NULL, NULL);
    return pid > 0 && bench_wait(b, pid, "covey stop");
}

/* Run it to its end; seconds, 0: it failed.  @look, unless NULL, sees the sweep before it
 * is closed, which the clock does not count. */
static double run_sweep(struct bench *b, covey *c, const char *row, covey_sweep_opts *opts,
                        bool (*look)(struct bench *b, covey_sweep *sweep, void *arg), void *arg)
{
    char dir[512];
    covey_sweep *sweep = NULL;
    snprintf(dir, sizeof dir, "%s/sweeps/%s", b->dir, row);
    opts->size = sizeof *opts;
    opts->dir = dir;
    opts->seeded = true;
    opts->seed = 1;
    int64_t begin = mono_ns();
    covey_status status = covey_sweep_create(&sweep, opts);
    if (status == COVEY_OK)
        status = covey_sweep_run(sweep, c);
    int64_t looking = mono_ns();
    bool seen = status == COVEY_OK && (!look || look(b, sweep, arg));
    int64_t looked = mono_ns();
    if (status != COVEY_OK)
        bench_fail(b, "%s", covey_sweep_error());
    covey_sweep_close(&sweep);
    return seen ? (double)(mono_ns() - begin - (looked - looking)) / 1e9 : 0;
}

/* All of them ended as trials do that had their say. */
static bool all_complete(struct bench *b, covey_sweep *sweep, void *arg)
{
    covey_trial_info info;
    (void)arg;
    for (uint32_t i = 0; i < covey_sweep_count(sweep); i++) {
        covey_status status = covey_sweep_trial(sweep, i, &info);
        if (status != COVEY_OK || info.state != COVEY_TRIAL_COMPLETE)
            return bench_fail(b, "trial %u is not complete: %s", i, status == COVEY_OK ? info.why : covey_sweep_error());
    }
    return covey_sweep_count(sweep) > 0 || bench_fail(b, "no trial ran");
}

/* The whole row, where it is no more than the time of one sweep. */
static bool time_sweep(struct bench *b, const char *row, int cpus, covey_sweep_opts *opts, double *seconds)
{
    covey *c = open_cluster(b, cpus);
    *seconds = c ? run_sweep(b, c, row, opts, all_complete, NULL) : 0;
    return (c ? close_cluster(b, &c) : false) && *seconds > 0;
}

static int cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* ---- trials that do nothing ------------------------------------------------------------ */

bool bench_sweep_trials(struct bench *b, struct bench_figure *out)
{
    covey_sweep_opts opts = {.text = SPACE "command: [sleep, '0.1']\n", .count = SLEEPERS, .parallel = SLEEPERS_SLOTS};
    out->baseline = SLEEPERS_IDEAL_S;
    return time_sweep(b, "sweep_trials", SLEEPERS_SLOTS, &opts, &out->value);
}

COVEY_TRIAL(bench_empty_trial)
{
    (void)trial;
    return COVEY_OK;
}

/* Memory of the runner, which is this process, and of the daemons, at two times. */
struct growth { struct bench *b; struct places places; double before, after; };

static bool add_memory(struct growth *g, double *mb)
{
    return bench_add_pss(g->b, getpid(), mb) && bench_add_daemon(g->b, &g->places, PLACES_HEAD_PID, mb) &&
           bench_add_daemon(g->b, &g->places, PLACES_NODE_PID, mb);
}

static void on_tick(covey_sweep *sweep, void *arg)
{
    struct growth *g = arg;
    if (g->before <= 0 && covey_sweep_count(sweep) >= EMPTY_WARM)
        (void)add_memory(g, &g->before);
}

static bool look_at_memory(struct bench *b, covey_sweep *sweep, void *arg)
{
    struct growth *g = arg;
    return all_complete(b, sweep, NULL) && add_memory(g, &g->after);
}

/* Ten thousand C trials, once for both rows. */
static bool run_empty_trials(struct bench *b)
{
    char why[256];
    struct growth g = {.b = b};
    covey_sweep_opts opts = {.text = SPACE, .trial = "bench_empty_trial", .count = EMPTY_TRIALS, .on_tick = on_tick,
                             .arg = &g};
    if (b->trial_ms > 0)
        return true;
    if (places_find(&g.places, CLUSTER, why, sizeof why) != COVEY_OK)
        return bench_fail(b, "%s", why);
    covey *c = open_cluster(b, cores());
    double s = c ? run_sweep(b, c, "sweep_c_trial", &opts, look_at_memory, &g) : 0;
    bool ok = c && close_cluster(b, &c) && s > 0;
    if (ok && g.before <= 0)
        return bench_fail(b, "memory was not looked at after trial %d", EMPTY_WARM);
    b->trial_ms = s * 1e3 / EMPTY_TRIALS;
    b->trial_growth_mb = g.after - g.before;
    return ok;
}

bool bench_sweep_c_trial(struct bench *b, struct bench_figure *out)
{
    bool ok = run_empty_trials(b);
    out->value = b->trial_ms;
    return ok;
}

bool bench_sweep_memory(struct bench *b, struct bench_figure *out)
{
    bool ok = run_empty_trials(b);
    out->value = fmax(b->trial_growth_mb, 0);
    return ok;
}

/* As many of them through xargs; seconds, 0: it failed. */
static double run_xargs(struct bench *b, int count)
{
    char line[128];
    snprintf(line, sizeof line, "seq %d | xargs -P %d -n 1 /bin/true", count, cores());
    int64_t begin = mono_ns();
    int status = system(line);
    if (status != 0)
        bench_fail(b, "%s: status %d", line, WIFEXITED(status) ? WEXITSTATUS(status) : status);
    return status == 0 ? (double)(mono_ns() - begin) / 1e9 : 0;
}

/* Half of the baseline before and half after, since machines get slower and faster. */
bool bench_sweep_command(struct bench *b, struct bench_figure *out)
{
    covey_sweep_opts opts = {.text = SPACE "command: [/bin/true]\n", .count = EMPTY_TRIALS};
    double before = run_xargs(b, EMPTY_TRIALS / 2);
    bool ok = before > 0 && time_sweep(b, "sweep_command", cores(), &opts, &out->value);
    double after = ok ? run_xargs(b, EMPTY_TRIALS / 2) : 0;
    out->baseline = before + after;
    return ok && after > 0;
}

/* ---- reports ------------------------------------------------------------------------------ */

#define METRIC "metric: {name: loss, goal: minimize}\n"

/* covey _bench print-reports: as a script does that prints its results. */
int bench_print_reports(void)
{
    for (int step = 1; step <= PRINTED; step++)
        printf("{\"step\": %d, \"loss\": %.6f}\n", step, 1.0 / step);
    return fflush(stdout) == 0 ? 0 : 1;
}

static bool all_reported(struct bench *b, covey_sweep *sweep, void *arg)
{
    const int64_t *last = arg;
    covey_trial_info info;
    for (uint32_t i = 0; i < covey_sweep_count(sweep); i++)
        if (covey_sweep_trial(sweep, i, &info) != COVEY_OK || info.step != *last)
            return bench_fail(b, "trial %u reported up to step %lld of %lld", i, (long long)info.step, (long long)*last);
    return all_complete(b, sweep, NULL);
}

static bool rate_reports(struct bench *b, const char *row, int slots, int64_t each, covey_sweep_opts *opts,
                         double *rate)
{
    covey *c = open_cluster(b, slots);
    opts->count = opts->parallel = (uint32_t)slots;
    double s = c ? run_sweep(b, c, row, opts, all_reported, &each) : 0;
    *rate = s > 0 ? (double)slots * (double)each / s : 0;
    return (c ? close_cluster(b, &c) : false) && s > 0;
}

bool bench_sweep_reports(struct bench *b, struct bench_figure *out)
{
    covey_sweep_opts opts = {.text = SPACE METRIC SELF BENCH_HELPER_PRINT "]\ncovey: {report: stdout}\n"};
    return rate_reports(b, "sweep_reports", cores(), PRINTED, &opts, &out->value);
}

COVEY_TRIAL(bench_asking_trial)
{
    covey_status status = COVEY_OK;
    for (int64_t step = 1; step <= ASKED && status == COVEY_OK; step++)
        status = covey_trial_report(trial, step, 1.0 / (double)step);
    return status;
}

bool bench_sweep_reports_asked(struct bench *b, struct bench_figure *out)
{
    covey_sweep_opts opts = {.text = SPACE METRIC, .trial = "bench_asking_trial"};
    return rate_reports(b, "sweep_reports_asked", ASKING_TRIALS, ASKED, &opts, &out->value);
}

/* ---- stopping --------------------------------------------------------------------------------
 *
 * One slot.  Each trial is worse than all before it, so each but the first is stopped
 * at its only report.  It notes when it began and when it reported; from that to
 * the beginning of the next trial the slot was freed and another program
 * loaded, so the figure is more than what is asked for.
 */

/* covey _bench stop-trial */
int bench_stop_trial(int64_t began)
{
    char path[512], report[64];
    const char *dir = getenv("COVEY_TRIAL_DIR"), *number = getenv("COVEY_TRIAL_ID");
    snprintf(path, sizeof path, "%s/" TIMES_FILE, dir ? dir : ".");
    snprintf(report, sizeof report, "{\"step\": 1, \"loss\": %s}", number ? number : "0");
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, "%lld %lld\n", (long long)began, (long long)mono_ns()) < 0 || fclose(f) != 0)
        return 1;
    covey_status status = covey_report(report);
    if (status == COVEY_ECANCELLED)
        for (;;)
            pause();            /* SIGTERM ends it */
    return status == COVEY_OK ? 0 : 1;
}

struct times { long long began, reported; };

static bool read_times(struct bench *b, covey_sweep *sweep, uint32_t trial, struct times *out, bool *stopped)
{
    char path[600];
    covey_trial_info info;
    if (covey_sweep_trial(sweep, trial, &info) != COVEY_OK)
        return bench_fail(b, "%s", covey_sweep_error());
    snprintf(path, sizeof path, "%s/" TIMES_FILE, info.dir);
    *stopped = info.state == COVEY_TRIAL_STOPPED;
    FILE *f = fopen(path, "re");
    bool ok = f && fscanf(f, "%lld %lld", &out->began, &out->reported) == 2;
    if (f)
        fclose(f);
    return ok || bench_fail(b, "%s: no times", path);
}

/* @arg: the 99th percentile of what stops took, in ms. */
static bool look_at_stops(struct bench *b, covey_sweep *sweep, void *arg)
{
    double *p99 = arg, took[STOPPED_TRIALS];
    struct times last = {0, 0}, times;
    bool last_stopped = false, stopped = false;
    int count = 0;
    for (uint32_t i = 0; i < covey_sweep_count(sweep) && i < STOPPED_TRIALS; i++) {
        if (!read_times(b, sweep, i, &times, &stopped))
            return false;
        if (last_stopped)
            took[count++] = (double)(times.began - last.reported) / 1e6;
        last = times;
        last_stopped = stopped;
    }
    if (count < STOPPED_TRIALS / 2)
        return bench_fail(b, "%d of %d trials were stopped", count, STOPPED_TRIALS);
    (void)bench_median(took, count);    /* sorts */
    *p99 = took[count * 99 / 100];
    return true;
}

bool bench_sweep_stop(struct bench *b, struct bench_figure *out)
{
    covey_sweep_opts opts = {
        .text = SPACE METRIC SELF BENCH_HELPER_STOP "]\ncovey: {scheduler: {type: asha, min_iter: 1, max_iter: 100, eta: 2}}\n",
        .count = STOPPED_TRIALS, .parallel = 1,
    };
    covey *c = open_cluster(b, cores());
    double s = c ? run_sweep(b, c, "sweep_stop", &opts, look_at_stops, &out->value) : 0;
    return (c ? close_cluster(b, &c) : false) && s > 0;
}
