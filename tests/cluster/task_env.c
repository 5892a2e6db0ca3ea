/* task_env.c - what a task is given: its devices, its number of threads, and its
 * time to end. */
#include "check.h"

#define GRACE_MS 50
#define SOON_MS 4000            /* less than the grace that nobody asked for */
#define COMMAND(...) covey_submit_command(c, &(covey_command){.size = sizeof(covey_command), __VA_ARGS__}, NULL)
#define ARGV(...) (const char *const[]){__VA_ARGS__, NULL}

/* ---- devices ------------------------------------------------------------------------ */

COVEY_TASK(devices, "-> str")
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (strcmp(covey_devices(ctx), visible ? visible : "") != 0)
        return covey_fail(ctx, 1, "%s is visible", visible ? visible : "nothing");
    return covey_return_str(ctx, covey_devices(ctx));
}

static void device_text(covey *c, double gpus, char *out, size_t size, const char *name)
{
    const char *text = "";
    covey_ref ref = covey_submit(c, "devices", COVEY_NONE, COVEY_OPTS(.gpus = gpus));
    check_status(covey_get_str(c, ref, CHECK_GET_MS, &text), COVEY_OK, name);
    snprintf(out, size, "%s", text);
    covey_release(c, ref);
}

static void check_devices(void)
{
    char text[256];
    covey *c = check_open((covey_open_opts){.cpus = 1, .gpus = 2});
    device_text(c, 0, text, sizeof text, "a task without devices");
    check(strcmp(text, "") == 0, "has none");
    device_text(c, 1, text, sizeof text, "a task with one");
    check(strncmp(text, "declared-", 9) == 0 && !strchr(text, ','), "is told which");
    device_text(c, 2, text, sizeof text, "a task with two");
    check(strcmp(text, "declared-0,declared-1") == 0, "is told both");
    covey_ref ref = covey_submit_command(c, &(covey_command){.size = sizeof(covey_command),
                                         .argv = ARGV("sh", "-c", "printf %s \"$COVEY_DEVICES\"")},
                                         COVEY_OPTS(.gpus = 2));
    covey_ref out = covey_result(c, ref, 1);
    const void *data = "";
    size_t size = 0;
    check_status(covey_get_bytes(c, out, CHECK_GET_MS, &data, &size), COVEY_OK, "a command with two");
    check(size == 21 && memcmp(data, "declared-0,declared-1", size) == 0, "finds them in its environment");
    covey_release_all(c, (covey_ref[]){ref, out}, 2);
    covey_close(&c);
}

/* ---- threads ------------------------------------------------------------------------- */

static int number_in(const char *variable)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : -1;
}

/* The worker's number, and what the libraries are told. */
COVEY_TASK(threads, "-> i64 i64 i64")
{
    (void)covey_return_i64(ctx, getpid());
    (void)covey_return_i64(ctx, number_in("OMP_NUM_THREADS"));
    return covey_return_i64(ctx, number_in("MKL_NUM_THREADS"));
}

static int64_t result_i64(covey *c, covey_ref ref, unsigned index)
{
    int64_t value = -2;
    covey_ref result = covey_result(c, ref, index);
    if (covey_get_i64(c, result, CHECK_GET_MS, &value) != COVEY_OK)
        check_note("%s", covey_why(c, result));
    covey_release(c, result);
    return value;
}

static int64_t check_threads_of(covey *c, double cpus, int64_t omp, const char *name)
{
    covey_ref ref = covey_submit(c, "threads", COVEY_NONE, COVEY_OPTS(.cpus = cpus));
    int64_t worker = result_i64(c, ref, 0), got = result_i64(c, ref, 1), mkl = result_i64(c, ref, 2);
    if (!check(got == omp && mkl == 7, "%s", name))
        check_note("OMP_NUM_THREADS %lld, MKL_NUM_THREADS %lld", (long long)got, (long long)mkl);
    covey_release(c, ref);
    return worker;
}

static void check_thread_counts(void)
{
    unsetenv("OMP_NUM_THREADS");
    setenv("MKL_NUM_THREADS", "7", 1);
    covey *c = check_open((covey_open_opts){.cpus = 3, .processes_max = 1});
    int64_t first = check_threads_of(c, 1, 1, "one CPU: one thread, and the user's own number stays");
    int64_t second = check_threads_of(c, 3, 3, "three CPUs: three threads");
    check(first == second, "in the same worker");
    check_threads_of(c, 2, 2, "two: two");
    covey_ref ref = covey_submit_command(c, &(covey_command){.size = sizeof(covey_command),
                                         .argv = ARGV("sh", "-c", "exit $((OMP_NUM_THREADS * 10 + MKL_NUM_THREADS))"),
                                         .any_exit = true}, COVEY_OPTS(.cpus = 3));
    check_i64(c, ref, 37, "a command with three");
    covey_release(c, ref);
    covey_close(&c);
    unsetenv("MKL_NUM_THREADS");
}

/* ---- time to end ------------------------------------------------------------------------ */

static void file_path(char *out, size_t size) { snprintf(out, size, "%s/stubborn", getenv("TMPDIR")); }

/* The number of the process that a command wrote there; 0: not yet. */
static pid_t pid_in_file(void)
{
    char path[4200];
    int pid = 0;
    file_path(path, sizeof path);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%d\n", &pid) != 1)
        pid = 0;
    if (f)
        fclose(f);
    return pid;
}

/* It is deaf to SIGTERM. */
static covey_ref start_stubborn(covey *c, int64_t grace_ms, int64_t deadline_ms, pid_t *pid)
{
    char path[4200];
    file_path(path, sizeof path);
    unlink(path);
    covey_ref ref = covey_submit_command(
        c, &(covey_command){.size = sizeof(covey_command), .grace_ms = grace_ms,
                            .argv = ARGV("sh", "-c", "trap '' TERM; echo $$ >\"$1\"; sleep 1000; :", "sh", path)},
        COVEY_OPTS(.deadline_ms = deadline_ms));
    int64_t start = check_now_ms();
    while ((*pid = pid_in_file()) == 0 && check_now_ms() - start < CHECK_GET_MS)
        check_nap();
    check(*pid > 0, "a command that ignores SIGTERM");
    return ref;
}

static bool dies_soon(pid_t pid)
{
    int64_t start = check_now_ms();
    while (kill(pid, 0) == 0 && check_now_ms() - start < SOON_MS)
        check_nap();
    return kill(pid, 0) != 0;
}

static void check_graces(void)
{
    pid_t pid;
    char path[4200];
    covey *c = check_open((covey_open_opts){.cpus = 2});
    covey_ref ref = start_stubborn(c, GRACE_MS, 0, &pid);
    int64_t start = check_now_ms();
    covey_cancel(c, ref, NULL);
    check(dies_soon(pid), "cancelled: it has its own grace");
    check(check_now_ms() - start >= GRACE_MS, "all of it");
    check_fails(c, ref, COVEY_ECANCELLED, "SIGKILL", "and the story says how it ended");
    covey_release(c, ref);
    ref = start_stubborn(c, 60000, 0, &pid);
    covey_cancel(c, ref, &(covey_cancel_opts){.size = sizeof(covey_cancel_opts), .grace_ms = GRACE_MS});
    check(dies_soon(pid), "unless the cancel says otherwise");
    covey_release(c, ref);
    ref = start_stubborn(c, GRACE_MS, 700, &pid);
    check_fails(c, ref, COVEY_EDEADLINE, "", "a deadline");
    check(dies_soon(pid), "leaves it its grace, too");
    covey_release(c, ref);
    covey_close(&c);
    file_path(path, sizeof path);
    unlink(path);
}

/* ---- waiting ---------------------------------------------------------------------------- */

COVEY_TASK(nothing, "") { return covey_return_nil(ctx); }

/* The first wait of a program, when nothing has settled yet. */
static void check_first_wait(void)
{
    enum { MANY = 300 };
    covey_ref refs[MANY];
    covey *c = check_open((covey_open_opts){.cpus = 1});
    for (int i = 0; i < MANY; i++)
        refs[i] = covey_submit(c, "nothing", COVEY_NONE, NULL);
    check_status(covey_wait(c, refs, MANY, MANY, CHECK_GET_MS, NULL), COVEY_OK, "the first wait is for all");
    covey_release_all(c, refs, MANY);
    covey_close(&c);
}

int main(void)
{
    check_devices();
    check_thread_counts();
    check_graces();
    check_first_wait();
    check_nothing_left("after close");
    return check_end();
}
