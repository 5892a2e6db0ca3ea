/* bench_record.c - what a sweep does beside its trials: the record, the search,
 * going on after a crash. */
#include "bench.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "covey/sweep.h"
#include "io/mono.h"
#include "sweep/record/record.h"
#include "sweep/search/search.h"

#define RECORD_REPORTS 500000
#define RECORD_TRIALS 64        /* that report in turns */
#define SUGGEST_DIMS 10
#define SUGGEST_KNOWN 1000
#define SUGGEST_REPEATS 200
#define RESUME_TRIALS 10000
#define RESUME_REPORTS 3        /* of each */
#define SPEC "method: random\nmetric: {name: loss}\nparameters: {lr: {min: 0.0, max: 1.0}}\ncommand: [/bin/true]\n"

/* ---- the record ------------------------------------------------------------------------ */

static void append_start(struct record *r, uint32_t trial)
{
    struct record_event e = {.kind = RECORD_START, .time_ms = 1, .trial = trial};
    char params[48];
    snprintf(params, sizeof params, "{\"lr\":%.6f}", (trial + 0.5) / RECORD_TRIALS_MAX);
    e.start.params = params;
    e.start.clone_of = RECORD_NO_TRIAL;
    record_append(r, &e);
}

static void append_report(struct record *r, uint32_t trial, int64_t step)
{
    struct record_event e = {.kind = RECORD_REPORT, .time_ms = 2, .trial = trial};
    char metrics[64];
    e.report.step = step;
    e.report.has_value = true;
    e.report.value = 1.0 / (double)step + trial;
    snprintf(metrics, sizeof metrics, "{\"loss\":%.6f,\"step\":%lld}", e.report.value, (long long)step);
    e.report.metrics = metrics;
    record_append(r, &e);
}

static void append_end(struct record *r, uint32_t trial)
{
    struct record_event e = {.kind = RECORD_END, .time_ms = 3, .trial = trial};
    e.end.fate = FATE_COMPLETE;
    record_append(r, &e);
}

static bool finish(struct bench *b, struct record **r)
{
    const char *failed = *r ? record_failed(*r) : NULL;
    if (failed)
        bench_fail(b, "%s", failed);
    record_finish(r);
    return !failed;
}

/* Everything that reports cost but for their way from the trial: SQLite, trials.csv,
 * results.jsonl and TensorBoard's files, until all is on disk. */
bool bench_sweep_record(struct bench *b, struct bench_figure *out)
{
    static const char *const params[] = {"lr", NULL};
    const struct record_sweep sweep = {.name = "bench", .metric = "loss", .params = params};
    char dir[512], why[1024];
    struct record *r = NULL;
    bench_leave(b);
    snprintf(dir, sizeof dir, "%s/record", b->dir);
    if (mkdir(dir, 0700) != 0 || record_create(&r, dir, &sweep, why, sizeof why) != COVEY_OK)
        return bench_fail(b, "%s: no record", dir);
    int64_t begin = mono_ns();
    for (uint32_t i = 0; i < RECORD_TRIALS; i++)
        append_start(r, i);
    for (uint32_t i = 0; i < RECORD_REPORTS; i++)
        append_report(r, i % RECORD_TRIALS, 1 + i / RECORD_TRIALS);
    for (uint32_t i = 0; i < RECORD_TRIALS; i++)
        append_end(r, i);
    bool ok = finish(b, &r);
    out->value = RECORD_REPORTS / ((double)(mono_ns() - begin) / 1e9);
    return ok;
}

/* ---- suggestions -------------------------------------------------------------------------- */

/* A thousand trials, most of them where the search wants them, as in a real sweep. */
static bool learn(struct search *s)
{
    double x[SUGGEST_DIMS];
    for (uint64_t trial = 0; trial < SUGGEST_KNOWN; trial++) {
        double loss = 0;
        if (search_suggest(s, trial, x) != SEARCH_OK)
            return false;
        for (int i = 0; i < SUGGEST_DIMS; i++)
            loss += (log(x[i]) - 2) * (log(x[i]) - 2);
        if (!search_tell(s, trial, x, SEARCH_COMPLETE, 1, loss))
            return false;
    }
    return true;
}

static bool suggest(struct bench *b, const struct param *kind, struct bench_figure *out)
{
    struct param params[SUGGEST_DIMS];
    double ms[SUGGEST_REPEATS], x[SUGGEST_DIMS];
    for (int i = 0; i < SUGGEST_DIMS; i++)
        params[i] = *kind;
    const struct space space = {params, SUGGEST_DIMS};
    struct search *s = search_new(&space, &(struct search_opts){.kind = SEARCH_TPE, .seed = 1});
    bool ok = s && learn(s);
    for (int i = 0; ok && i < SUGGEST_REPEATS; i++) {
        int64_t begin = mono_ns();
        ok = search_suggest(s, SUGGEST_KNOWN + (uint64_t)i, x) == SEARCH_OK;
        ms[i] = (double)(mono_ns() - begin) / 1e6;
    }
    search_free(&s);
    if (ok)
        out->value = bench_median(ms, SUGGEST_REPEATS);
    return ok || bench_fail(b, "out of memory");
}

bool bench_sweep_suggest(struct bench *b, struct bench_figure *out)
{
    return suggest(b, &(struct param){.distribution = DIST_UNIFORM, .low = 1, .high = 100, .parent = -1}, out);
}

bool bench_sweep_suggest_int(struct bench *b, struct bench_figure *out)
{
    const struct param whole = {.distribution = DIST_UNIFORM, .low = 1, .high = 100, .quantum = 1, .whole = true,
                                .parent = -1};
    return suggest(b, &whole, out);
}

bool bench_sweep_suggest_log(struct bench *b, struct bench_figure *out)
{
    return suggest(b, &(struct param){.distribution = DIST_LOG_UNIFORM, .low = 1e-4, .high = 100, .parent = -1}, out);
}

/* ---- going on -------------------------------------------------------------------------------- */

/* As if it had run and been killed: the record is all that there is. */
static bool make_sweep(struct bench *b, const char *dir)
{
    char why[1024];
    covey_sweep *sweep = NULL;
    struct record *r = NULL;
    covey_sweep_opts opts = {.size = sizeof opts, .text = SPEC, .dir = dir, .count = RESUME_TRIALS + 1};
    if (covey_sweep_create(&sweep, &opts) != COVEY_OK)
        return bench_fail(b, "%s", covey_sweep_error());
    covey_sweep_close(&sweep);
    if (record_resume(&r, dir, why, sizeof why) != COVEY_OK)
        return bench_fail(b, "%s", why);
    for (uint32_t trial = 0; trial < RESUME_TRIALS; trial++) {
        append_start(r, trial);
        for (int64_t step = 1; step <= RESUME_REPORTS; step++)
            append_report(r, trial, step);
        append_end(r, trial);
    }
    return finish(b, &r);
}

bool bench_sweep_resume(struct bench *b, struct bench_figure *out)
{
    char dir[512];
    covey_sweep *sweep = NULL;
    bench_leave(b);
    snprintf(dir, sizeof dir, "%s/sweeps/sweep_resume", b->dir);
    if (!make_sweep(b, dir))
        return false;
    const covey_sweep_opts opts = {.size = sizeof opts, .dir = dir};
    int64_t begin = mono_ns();
    if (covey_sweep_resume(&sweep, &opts) != COVEY_OK)
        return bench_fail(b, "%s", covey_sweep_error());
    out->value = (double)(mono_ns() - begin) / 1e9;
    bool all = covey_sweep_count(sweep) == RESUME_TRIALS;
    covey_sweep_close(&sweep);
    return all || bench_fail(b, "the resumed sweep has not all its trials");
}
