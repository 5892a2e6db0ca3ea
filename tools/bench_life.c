/* bench_life.c - starting, stopping, and what is there while nothing happens.
 *
 * Memory is PSS: a page that several processes map counts in parts that add up
 * to one, so that the sum over processes is what the machine gives.  So it falls
 * when other processes use the same libraries, as those of the bench do: head and
 * node alone on a machine would come to some 10 MB, half of it libraries.  The
 * arena is left out, since its size is the user's choice.
 */
#include "bench.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/mono.h"
#include "io/places.h"

#define LIFE_REPEATS 7
#define IDLE_MS 500             /* after the last task; then nothing is under way */
#define START_WORKERS 12        /* forked in a row */
#define START_MESSAGES_MS 10000
#define GATE_BYTES 1024        /* in the store */
#define ARENA_NAME "covey-arena"

/* ---- start and stop ---------------------------------------------------------------- */

/* `covey COMMAND -q --name NAME`, to its end. */
static bool run_command(struct bench *b, const char *command, const char *name)
{
    const char *const argv[] = {"covey", command, "-q", "--name", name, NULL};
    char what[32];
    snprintf(what, sizeof what, "covey %s", command);
    pid_t pid = bench_spawn(b, argv, NULL, NULL);
    return pid > 0 && bench_wait(b, pid, what);
}

static covey *enter(struct bench *b, const char *name)
{
    char address[64];
    snprintf(address, sizeof address, "local:%s", name);
    const covey_open_opts opts = {.size = sizeof opts, .address = address};
    covey *c = covey_open(&opts);
    if (!c)
        bench_fail(b, "%s", covey_error());
    return c;
}

/* The life of one cluster: start, a task, stop; milliseconds. */
static bool live_once(struct bench *b, int i, double *start_ms, double *stop_ms)
{
    char name[32];
    snprintf(name, sizeof name, "life%d", i);
    int64_t begin = mono_ns();
    if (!run_command(b, "start", name))
        return false;
    covey *c = enter(b, name);
    bool ok = c && bench_one_task(b, c);
    *start_ms = (double)(mono_ns() - begin) / 1e6;
    covey_close(&c);
    begin = mono_ns();
    ok = run_command(b, "stop", name) && ok;
    *stop_ms = (double)(mono_ns() - begin) / 1e6;
    return ok;
}

static bool live(struct bench *b)
{
    double starts[LIFE_REPEATS], stops[LIFE_REPEATS];
    bool ok = true;
    if (b->start_ms > 0)
        return true;
    bench_leave(b);
    for (int i = 0; ok && i < LIFE_REPEATS; i++)
        ok = live_once(b, i, &starts[i], &stops[i]);
    if (ok) {
        b->start_ms = bench_median(starts, LIFE_REPEATS);
        b->stop_ms = bench_median(stops, LIFE_REPEATS);
    }
    return ok;
}

bool bench_start_to_first_result(struct bench *b, struct bench_figure *out)
{
    bool ok = live(b);
    out->value = b->start_ms;
    return ok;
}

bool bench_stop(struct bench *b, struct bench_figure *out)
{
    bool ok = live(b);
    out->value = b->stop_ms;
    return ok;
}

/* ---- a worker's start ----------------------------------------------------------------
 *
 * The program is this one with OpenBLAS loaded, as if it were linked with it:
 * loaded before it becomes a zygote.  Each fork notes the time just before it;
 * the worker's first task tells how long ago that was.
 *
 * The figure ends with the start of a task that waited for this worker: the
 * task tells its time and then waits for an object, which frees its CPU, so
 * that the next task needs a new worker.  The first worker was started before
 * anybody asked for it and does not count.
 */

static int64_t forked_at;

static void before_fork(void) { forked_at = mono_ns(); }

void bench_before_worker(int argc, char **argv)
{
    if (argc < 3 || strcmp(argv[1], BENCH_HELPER) != 0 ||
        strcmp(argv[2], BENCH_HELPER_WORKER_START) != 0)
        return;
    /* Without OpenBLAS the figure is one without it: bench_worker_start() has
     * looked before. */
    (void)dlopen("libopenblas.so.0", RTLD_NOW | RTLD_GLOBAL);
    pthread_atfork(before_fork, NULL, NULL);
}

COVEY_TASK(bench_forked, "handle ->")
{
    double ms = forked_at ? (double)(mono_ns() - forked_at) / 1e6 : 0;
    covey_status status = covey_post(ctx, &ms, sizeof ms);
    if (status == COVEY_OK)
        status = covey_get(covey_self(ctx), covey_arg_handle(ctx, 0), BENCH_WAIT_MS, NULL);
    return status == COVEY_OK ? covey_return_nil(ctx) : status;
}

/* Each task in a worker of its own. */
static covey_status fork_workers(covey *c, covey_ref gate, covey_ref *refs, double *ms)
{
    covey_status status = COVEY_OK;
    for (int i = 0; i < START_WORKERS && status == COVEY_OK; i++) {
        covey_message m;
        refs[i] = covey_submit(c, "bench_forked", COVEY_ARGS(covey_handle(gate)), NULL);
        status = covey_next_message(c, refs[i], START_MESSAGES_MS, &m);
        if (status == COVEY_OK)
            memcpy(&ms[i], m.data, sizeof *ms);
    }
    return status;
}

/* covey _bench worker-start: prints the median, or why there is none. */
int bench_worker_start_program(void)
{
    const covey_open_opts opts = {.size = sizeof opts, .private_cluster = true, .cpus = 1};
    double ms[START_WORKERS];
    covey_ref refs[START_WORKERS] = {{0, 0}}, gate = {0, 0};
    void *data;
    covey *c = covey_open(&opts);
    covey_status status = c ? covey_create(c, GATE_BYTES, &data, &gate) : COVEY_ENOCLUSTER;
    if (status == COVEY_OK)
        status = fork_workers(c, gate, refs, ms);
    if (status != COVEY_OK)
        printf("%s\n", covey_error());
    else
        printf("%.6f ms\n", bench_median(ms + 1, START_WORKERS - 1));
    if (gate.generation)
        (void)covey_seal(c, gate);
    if (status == COVEY_OK)
        status = covey_wait(c, refs, START_WORKERS, START_WORKERS, BENCH_WAIT_MS, NULL);
    covey_close(&c);
    return status == COVEY_OK ? 0 : 1;
}

bool bench_worker_start(struct bench *b, struct bench_figure *out)
{
    const char *const argv[] = {"covey", BENCH_HELPER, BENCH_HELPER_WORKER_START, NULL};
    char line[1024] = "", unit[8] = "";
    int fd;
    void *blas = dlopen("libopenblas.so.0", RTLD_LAZY | RTLD_LOCAL);
    if (!blas)
        return bench_fail(b, "there is no OpenBLAS for the program to load (libopenblas0)");
    dlclose(blas);
    bench_leave(b);
    pid_t pid = bench_spawn(b, argv, NULL, &fd);
    if (pid < 0)
        return false;
    FILE *f = fdopen(fd, "r");
    bool told = f && fgets(line, sizeof line, f);
    if (f)
        fclose(f);
    else
        close(fd);
    line[strcspn(line, "\n")] = 0;
    if (!bench_wait(b, pid, "the program with OpenBLAS"))
        return told ? bench_fail(b, "%s", line) : false;
    return sscanf(line, "%lf %7s", &out->value, unit) == 2 ||
           bench_fail(b, "the program with OpenBLAS said \"%s\"", line);
}

/* ---- memory ------------------------------------------------------------------------------ */

bool bench_add_pss(struct bench *b, pid_t pid, double *mb)
{
    char path[64], line[1024];
    unsigned long long kib;
    bool arena = false, any = false;
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return bench_fail(b, "%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            arena = strstr(line, ARENA_NAME) != NULL;
        else if (!arena && sscanf(line, "Pss: %llu", &kib) == 1) {
            *mb += (double)kib * 1024 / 1e6;
            any = true;
        }
    }
    fclose(f);
    return any || bench_fail(b, "%s tells nothing", path);
}

/* The process that @pid came from; 0: it is gone. */
static pid_t parent_of(const char *pid)
{
    char path[300], line[256];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "PPid: %d", &parent) != 1)
        ;
    if (f)
        fclose(f);
    return parent;
}

bool bench_add_daemon(struct bench *b, const struct places *p, const char *file, double *mb)
{
    pid_t pid = places_read_pid(p, file);
    if (!pid)
        return bench_fail(b, "%s/%s: no process's number", p->dir, file);
    bool ok = bench_add_pss(b, pid, mb);
    DIR *dir = opendir("/proc");
    for (struct dirent *e; ok && dir && (e = readdir(dir));)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && parent_of(e->d_name) == pid)
            ok = bench_add_pss(b, atoi(e->d_name), mb);
    if (dir)
        closedir(dir);
    return ok;
}

bool bench_idle_head_node(struct bench *b, struct bench_figure *out)
{
    struct places p;
    char why[256];
    bench_leave(b);
    if (places_find(&p, "idle", why, sizeof why) != COVEY_OK)
        return bench_fail(b, "%s", why);
    if (!run_command(b, "start", "idle"))
        return false;
    poll(NULL, 0, IDLE_MS);
    bool ok = bench_add_daemon(b, &p, PLACES_HEAD_PID, &out->value) &&
              bench_add_daemon(b, &p, PLACES_NODE_PID, &out->value);
    return run_command(b, "stop", "idle") && ok;
}

COVEY_TASK(bench_pid, "-> i64")
{
    return covey_return_i64(ctx, getpid());
}

bool bench_idle_worker(struct bench *b, struct bench_figure *out)
{
    int64_t pid;
    bench_leave(b);
    covey *c = bench_cluster(b);
    if (!c || !bench_one_task(b, c))
        return false;
    covey_ref ref = covey_submit(c, "bench_pid", COVEY_NONE, NULL);
    bool ok = covey_get_i64(c, ref, BENCH_WAIT_MS, &pid) == COVEY_OK ||
              bench_fail(b, "%s", covey_error());
    covey_release(c, ref);
    poll(NULL, 0, IDLE_MS);
    return ok && bench_add_pss(b, (pid_t)pid, &out->value);
}
