/* cmd_bench.c - covey bench: what tasks and objects cost on this machine.
 *
 * Two processes.  The one that was called only watches: it makes a temporary
 * directory, in which all clusters of the run live, waits for the other, and
 * then ends what is left there and removes it, however the other ended.  The
 * other measures.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/nearest.h"
#include "bench.h"
#include "cmd.h"
#include "io/mono.h"
#include "listing.h"

#define SCHEMA "covey.bench/1"

/* ---- the rows ----------------------------------------------------------------------- */

enum bound { NO_BOUND, VALUE_MAX, VALUE_MIN, RATIO_MAX, RATIO_MIN };

static const struct row {
    const char *name, *unit;
    bench_fn measure;
    enum bound bound;
    double limit;
    const char *what;
} rows[] = {
    {"tasks_sync", "us", bench_tasks_sync, RATIO_MAX, 2.0,
     "one no-op task, from submit to get; baseline: a bare ZeroMQ round trip"},
    {"tasks_async", "/s", bench_tasks_async, VALUE_MIN, 300000,
     "no-op tasks of one client, on all cores"},
    {"put_1GiB", "GB/s", bench_put_1GiB, RATIO_MIN, 0.7,
     "put into memory used before; baseline: memcpy into touched memory"},
    {"put_1GiB_first", "GB/s", bench_put_1GiB_first, NO_BOUND, 0,
     "put into a store that was never written to"},
    {"get_1GiB", "us", bench_get_1GiB, VALUE_MAX, 200,
     "get in another process, until the pointer is there"},
    {"get_1GiB_read", "GB/s", bench_get_1GiB_read, RATIO_MIN, 0.8,
     "read it there; baseline: memory of that process's own"},
    {"get_1GiB_read_first", "GB/s", bench_get_1GiB_read_first, NO_BOUND, 0,
     "the same for the first time, when it is mapped page by page"},
    {"put_1KiB", "/s", bench_put_1KiB, VALUE_MIN, 1e6, "puts of 1 KiB by one process"},
    {"get_1KiB", "/s", bench_get_1KiB, VALUE_MIN, 1e6,
     "gets of 1 KiB by another process, through handles"},
    {"start_to_first_result", "ms", bench_start_to_first_result, VALUE_MAX, 60,
     "from executing covey start to a new client's first result"},
    {"stop", "ms", bench_stop, VALUE_MAX, 200, "covey stop of an idle cluster"},
    {"worker_start", "ms", bench_worker_start, VALUE_MAX, 3,
     "from the fork of a worker with OpenBLAS to the start of a waiting task"},
    {"idle_head_node", "MB", bench_idle_head_node, VALUE_MAX, 20,
     "PSS of head, node and the node's keeper, without the arena"},
    {"idle_worker", "MB", bench_idle_worker, VALUE_MAX, 4, "PSS of a worker, without the arena"},
    {"sweep_trials", "s", bench_sweep_trials, VALUE_MAX, 11,
     "1,600 trials `sleep 0.1` on 16 declared CPUs; baseline: without overhead"},
    {"sweep_c_trial", "ms", bench_sweep_c_trial, VALUE_MAX, 1,
     "an empty C trial, of 10,000 on all cores"},
    {"sweep_memory", "MB", bench_sweep_memory, VALUE_MAX, 8,
     "growth of runner, head and node from the 2,000th to the 10,000th of them"},
    {"sweep_command", "s", bench_sweep_command, RATIO_MAX, 1.5,
     "10,000 trials /bin/true on all cores; baseline: xargs -P"},
    {"sweep_reports", "/s", bench_sweep_reports, VALUE_MIN, 50000,
     "reports that commands print, a trial a core, to the last logger's disk"},
    {"sweep_reports_asked", "/s", bench_sweep_reports_asked, NO_BOUND, 0,
     "reports of 64 C trials that each wait for their answer"},
    {"sweep_record", "/s", bench_sweep_record, VALUE_MIN, 50000,
     "reports into SQLite, CSV, JSONL and TensorBoard, without trials"},
    {"sweep_stop", "ms", bench_sweep_stop, VALUE_MAX, 50,
     "from a report that is answered with stop to the next program in its slot, p99"},
    {"sweep_suggest", "ms", bench_sweep_suggest, VALUE_MAX, 0.5,
     "TPE: a suggestion in 10 uniform dimensions, 1,000 trials known"},
    {"sweep_suggest_int", "ms", bench_sweep_suggest_int, VALUE_MAX, 0.5, "in whole numbers"},
    {"sweep_suggest_log", "ms", bench_sweep_suggest_log, VALUE_MAX, 0.5, "on a logarithmic scale"},
    {"sweep_resume", "s", bench_sweep_resume, VALUE_MAX, 1,
     "open a sweep of 10,000 trials that was killed"},
};
#define ROWS (sizeof rows / sizeof *rows)

static void format_bound(const struct row *row, char *out, size_t size)
{
    static const char *const words[] = {
        [NO_BOUND] = "", [VALUE_MAX] = "<= ", [VALUE_MIN] = ">= ",
        [RATIO_MAX] = "ratio <= ", [RATIO_MIN] = "ratio >= ",
    };
    *out = 0;
    if (row->bound != NO_BOUND)
        snprintf(out, size, "%s%.7g", words[row->bound], row->limit);
}

static bool is_met(const struct row *row, const struct bench_figure *f)
{
    double ratio = f->baseline > 0 ? f->value / f->baseline : 0;
    switch (row->bound) {
    case VALUE_MAX: return f->value <= row->limit;
    case VALUE_MIN: return f->value >= row->limit;
    case RATIO_MAX: return ratio <= row->limit;
    case RATIO_MIN: return ratio >= row->limit;
    default: return true;
    }
}

/* ---- what is printed -------------------------------------------------------------------- */

/* Three digits that count, or whole numbers. */
static const char *number(char out[32], double x)
{
    int decimals = x <= 0 || x >= 100 ? 0 : x >= 10 ? 1 : x >= 1 ? 2 : 3;
    snprintf(out, 32, "%.*f", decimals, x);
    return out;
}

static void print_head(bool json)
{
    if (json)
        printf("{\"schema\": \"" SCHEMA "\"}\n");
    else
        printf("%-22s %9s  %-5s %9s %6s  %-15s\n", "row", "value", "unit", "baseline", "ratio",
               "bound");
    fflush(stdout);
}

static void print_json_number(const char *name, bool known, double x)
{
    if (known && isfinite(x))
        printf(", \"%s\": %.6g", name, x);
    else
        printf(", \"%s\": null", name);
}

/* @f NULL: it could not be measured. */
static void print_json(const struct row *row, const struct bench_figure *f)
{
    char bound[32];
    bool based = f && f->baseline > 0;
    format_bound(row, bound, sizeof bound);
    printf("{\"row\": \"%s\"", row->name);
    print_json_number("value", f != NULL, f ? f->value : 0);
    printf(", \"unit\": \"%s\"", row->unit);
    print_json_number("baseline", based, based ? f->baseline : 0);
    print_json_number("ratio", based, based ? f->value / f->baseline : 0);
    if (*bound)
        printf(", \"bound\": \"%s\"}\n", bound);
    else
        printf(", \"bound\": null}\n");
}

static void print_row(const struct cli *cli, const struct row *row, const struct bench_figure *f)
{
    char value[32] = "-", baseline[32] = "", ratio[32] = "", bound[32];
    format_bound(row, bound, sizeof bound);
    if (f)
        number(value, f->value);
    if (f && f->baseline > 0) {
        number(baseline, f->baseline);
        snprintf(ratio, sizeof ratio, "%.2f", f->value / f->baseline);
    }
    bool met = f && is_met(row, f);
    printf("%-22s %9s  %-5s %9s %6s  %-15s", row->name, value, row->unit, baseline, ratio, bound);
    if (!f)
        printf(" failed\n");
    else if (row->bound != NO_BOUND)
        printf(" %s%s%s\n", cli_style(cli, stdout, met ? STYLE_GOOD : STYLE_WARN),
               met ? "ok" : "missed", cli_style_end(cli, stdout));
    else
        printf("\n");
}

static void print_list(void)
{
    for (const struct row *row = rows; row < rows + ROWS; row++)
        printf("%-22s %s\n", row->name, row->what);
}

/* ---- the process that measures ------------------------------------------------------------ */

static int measure(const struct cli *cli, const struct row *const *chosen, size_t count,
                   const char *dir, bool json)
{
    struct bench b = {.dir = dir};
    int status = STATUS_OK;
    print_head(json);
    for (size_t i = 0; i < count; i++) {
        struct bench_figure f = {0};
        bool ok = chosen[i]->measure(&b, &f);
        if (json)
            print_json(chosen[i], ok ? &f : NULL);
        else
            print_row(cli, chosen[i], ok ? &f : NULL);
        fflush(stdout);
        if (!ok)
            status = cli_fail(cli, STATUS_WORK, NULL, "%s: %s", chosen[i]->name, b.why);
    }
    bench_leave(&b);
    return status;
}

/* ---- the process that watches ---------------------------------------------------------------- */

static void stop_cluster(const char *name)
{
    struct places p;
    char why[256];
    bool killed;
    if (places_find(&p, name, why, sizeof why) == COVEY_OK)
        (void)cluster_stop(&p, 0, true, &killed, why, sizeof why);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* End what lives in @dir, and remove it with all that is in it. */
static void clean_up(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && e->d_type != DT_REG && e->d_type != DT_SOCK)
            stop_cluster(e->d_name);
    if (d)
        closedir(d);
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Wait for @pid, ending it when we are told to end.  Our exit status. */
static int watch(pid_t pid, const sigset_t *signals)
{
    int status, number, told = 0;
    while (waitpid(pid, &status, WNOHANG) != pid)
        if (sigwait(signals, &number) == 0 && number != SIGCHLD) {
            told = number;
            kill(pid, SIGTERM);
        }
    if (WIFSIGNALED(status))
        return 128 + (told ? told : WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* Everything of this run goes to @dir, and nothing else is touched. */
static bool set_environment(const char *dir)
{
    char self[PLACE_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = 0;
    unsetenv("COVEY_ADDRESS");
    unsetenv("COVEY_NAME");
    return setenv("COVEY_DIR", dir, 1) == 0 && setenv("COVEY_BIN", self, 1) == 0;
}

static int run(const struct cli *cli, const struct row *const *chosen, size_t count, bool json)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    const char *tmp = getenv("TMPDIR");
    char dir[PLACE_MAX];
    sigset_t signals, before;
    snprintf(dir, sizeof dir, "%s/covey-bench.XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");
    bool made = mkdtemp(dir) != NULL;
    if (!made || !set_environment(dir)) {
        int error = errno;
        if (made)
            rmdir(dir);
        return cli_fail(cli, STATUS_USAGE, "Set TMPDIR to a directory that can be written to.",
                        "%s: %s", dir, strerror(error));
    }
    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&signals, numbers[i]);
    sigprocmask(SIG_BLOCK, &signals, &before);
    fflush(NULL);
    pid_t watcher = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        int status = getppid() == watcher ? measure(cli, chosen, count, dir, json) : STATUS_WORK;
        fflush(NULL);
        _exit(status);
    }
    int status = pid > 0 ? watch(pid, &signals)
                         : cli_fail(cli, STATUS_WORK, NULL, "fork: %s", strerror(errno));
    clean_up(dir);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* ---- the commands ---------------------------------------------------------------------------- */

static int find_row(const struct cli *cli, const char *typed, const struct row **out)
{
    const char *names[ROWS + 1] = {NULL};
    for (size_t i = 0; i < ROWS; i++) {
        names[i] = rows[i].name;
        if (strcmp(rows[i].name, typed) == 0) {
            *out = &rows[i];
            return CLI_GO;
        }
    }
    const char *near = nearest_word(typed, names);
    return cli_fail(cli, STATUS_USAGE, "See: covey bench --list", "there is no row '%s'%s%s%s",
                    typed, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

int cmd_bench(struct cli *cli, int argc, char **argv)
{
    bool json = false, list = false;
    const struct row *chosen[ROWS];
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &json, NULL, "one JSON object a line"},
        {"list", 0, ARG_FLAG, &list, NULL, "only tell what there is to measure"},
        {0},
    };
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 0, (int)ROWS);
    for (int i = 0; status == CLI_GO && i < words; i++)
        status = find_row(cli, argv[1 + i], &chosen[i]);
    if (status != CLI_GO)
        return status;
    if (list) {
        print_list();
        return STATUS_OK;
    }
    for (size_t i = 0; words == 0 && i < ROWS; i++)
        chosen[i] = &rows[i];
    return run(cli, chosen, words ? (size_t)words : ROWS, json);
}

int cmd_bench_helper(struct cli *cli, int argc, char **argv)
{
    int64_t began = mono_ns();
    if (argc == 3 && strcmp(argv[1], BENCH_HELPER_ECHO) == 0)
        return bench_zmq_echo(argv[2]);
    if (argc == 2 && strcmp(argv[1], BENCH_HELPER_WORKER_START) == 0)
        return bench_worker_start_program();
    if (argc == 2 && strcmp(argv[1], BENCH_HELPER_PRINT) == 0)
        return bench_print_reports();
    if (argc == 2 && strcmp(argv[1], BENCH_HELPER_STOP) == 0)
        return bench_stop_trial(began);
    return cli_fail(cli, STATUS_USAGE, NULL, "executed by covey bench alone");
}
