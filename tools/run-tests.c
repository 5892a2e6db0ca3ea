/* run-tests.c - run test programs one after another and count what they say.
 *
 *     run-tests [-t SECONDS] TEST...
 *
 * A TEST is a path and its arguments in one word, split at spaces.  It speaks
 * TAP (cmocka does, when asked by CMOCKA_MESSAGE_OUTPUT): every "ok" and "not
 * ok" line counts; or it sums itself up as "N passed, N failed".  A TEST that
 * begins with "plain:" says nothing that we read; its exit status counts as one.
 *
 * What each test is given: a session of its own, a temporary directory of its
 * own (TMPDIR, and COVEY_DIR in it), no standard input, SECONDS to end.
 *
 * What it must leave behind: nothing.  This process is the subreaper of all
 * that a test starts, daemons too; a process that is still there shortly after
 * the test has ended is a failure of its own, and so is a socket in its
 * directory, and so is what a sanitizer has to report, of its daemons and
 * workers as of itself.  A test that is missing, that dies, that says fewer results than
 * it planned, or none at all, is a failure as well: silence never passes.
 *
 * The last line is "N passed, N failed"; the status is 0 only if none failed
 * and at least one passed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_SECONDS 120        /* when -t does not say otherwise */
#define TEST_ARGS_MAX 64
#define REAP_EVERY_MS 50        /* orphans of a test that runs */
#define LEFTOVER_WAIT_MS 2000   /* for a daemon that is on its way out */
#define OUTPUT_SHOWN_MAX (64l * 1024) /* of a failing test, from its end */
#define TEMPLATE "/tmp/covey-test.XXXXXX" /* short: ipc paths have 108 bytes */

struct outcome {
    unsigned passed, failed, skipped;
    char why[256];              /* what the runner itself found wrong */
};

static char scratch_dir[sizeof TEMPLATE];      /* of the test that runs */
static volatile sig_atomic_t interrupted;       /* the signal that tells us to end */

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fail(struct outcome *out, const char *why)
{
    out->failed++;
    if (!out->why[0])
        snprintf(out->why, sizeof out->why, "%s", why);
}

/* ---- the test's directory -------------------------------------------------- */

static unsigned sockets_found;

static int on_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)type;
    (void)ftw;
    sockets_found += S_ISSOCK(st->st_mode);
    if (remove(path) != 0)
        perror(path);           /* told, but no failure of the test */
    return 0;
}

/* Remove @dir; how many sockets lay in it. */
static unsigned dir_remove(const char *dir)
{
    sockets_found = 0;
    nftw(dir, on_visit, 16, FTW_DEPTH | FTW_PHYS);
    return sockets_found;
}

/* ---- sanitizers ---------------------------------------------------------------- */

#define REPORT "report"         /* .PID: what a sanitizer has written about a process */

/* Have them write files: a daemon's standard error goes where nobody looks. */
static void collect_reports(void)
{
    static const char *const tools[] = {"ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"};
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        char options[1024];
        const char *given = getenv(tools[i]);
        snprintf(options, sizeof options, "%s:log_path=%s/" REPORT, given ? given : "",
                 scratch_dir);
        setenv(tools[i], options, 1);
    }
}

static void append_file(FILE *to, const char *path)
{
    char bytes[4096];
    FILE *f = fopen(path, "re");
    for (size_t n; f && (n = fread(bytes, 1, sizeof bytes, f)) > 0;)
        fwrite(bytes, 1, n, to);
    if (f)
        fclose(f);
}

/* Put all reports behind the test's output.  They fail a test that passed; of
 * one that failed they are the reason. */
static void take_reports(FILE *output, struct outcome *out)
{
    bool found = false;
    DIR *dir = opendir(scratch_dir);
    fseek(output, 0, SEEK_END);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[sizeof scratch_dir + sizeof e->d_name];
        if (strncmp(e->d_name, REPORT ".", strlen(REPORT ".")) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", scratch_dir, e->d_name);
        append_file(output, path);
        found = true;
    }
    if (dir)
        closedir(dir);
    if (found && out->failed == 0)
        fail(out, "a sanitizer reports");
}

/* ---- processes --------------------------------------------------------------- */

/* The parent of @pid; 0 if there is no such process.  The second field of stat,
 * the name, may hold anything, so the search starts at its last bracket. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    int parent = 0;
    const char *rest = strrchr(text, ')');
    return rest && sscanf(rest, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* One of this process's children, 0 if there is none. */
static pid_t any_child(void)
{
    if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
        return 0;               /* the usual answer costs no walk through /proc */
    pid_t found = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && !found && (e = readdir(proc));) {
        pid_t pid = (pid_t)atol(e->d_name);
        if (pid > 0 && parent_of(pid) == getpid())
            found = pid;
    }
    if (proc)
        closedir(proc);
    return found;
}

static void command_of(pid_t pid, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(out, 1, size - 1, f) : 0;
    if (f)
        fclose(f);
    out[n] = 0;
    for (size_t i = 0; i + 1 < n; i++)
        if (!out[i])
            out[i] = ' ';
}

/* Everything that the test started and that outlived it came to us.  Give it a
 * moment to end; what does not is killed and told. */
static void reap_leftovers(struct outcome *out)
{
    long until = now_ms() + (interrupted ? 0 : LEFTOVER_WAIT_MS);
    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        pid_t pid = any_child();
        if (pid == 0)
            return;
        if (now_ms() < until) {
            struct timespec nap = {0, 5 * 1000000};
            nanosleep(&nap, NULL);
            continue;
        }
        char command[160], why[224];
        command_of(pid, command, sizeof command);
        snprintf(why, sizeof why, "left a process behind: %d %s", (int)pid, command);
        fail(out, why);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

/* A test is to find signals as a shell gives them: none ignored, none blocked.
 * make and nohup leave some ignored, and glibc, which posix_spawn() makes ignore
 * two of its own, would not let us reset those: hence the bare system call. */
static void reset_signals(void)
{
    struct { void *handler; unsigned long flags, restorer, mask[2]; } none = {0};
    sigset_t empty;
    for (int number = 1; number <= 64; number++)
        syscall(SYS_rt_sigaction, number, &none, NULL, 8);
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
}

static void become_test(char *const argv[], int output_fd)
{
    setsid();
    reset_signals();
    int null_fd = open("/dev/null", O_RDONLY);
    dup2(null_fd, 0);
    dup2(output_fd, 1);
    dup2(output_fd, 2);
    char dir[sizeof scratch_dir + 8];
    snprintf(dir, sizeof dir, "%s/c", scratch_dir);
    setenv("TMPDIR", scratch_dir, 1);
    setenv("COVEY_DIR", dir, 1);
    setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1);
    collect_reports();
    unsetenv("COVEY_ADDRESS");
    unsetenv("COVEY_NAME");
    unsetenv("COVEY_LOG");
    execv(argv[0], argv);
    fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Reap what has ended.  Orphans of the test come to us while it runs, and a
 * test that waits for one of them to be gone is not to wait for us.  True, with
 * *@status, if @pid was among them. */
static bool reap(pid_t pid, int *status)
{
    int one;
    bool ended = false;
    for (pid_t who; (who = waitpid(-1, &one, WNOHANG)) > 0;) {
        if (who == pid) {
            *status = one;
            ended = true;
        }
    }
    return ended;
}

/* The wait status; -1: its time was up and it is dead now. */
static int wait_for(pid_t pid, long seconds)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0;
    struct pollfd p = {fd, POLLIN, 0};
    long until = now_ms() + seconds * 1000;
    bool ended = false;
    while (!ended && !interrupted && now_ms() < until) {
        poll(&p, 1, REAP_EVERY_MS);
        ended = reap(pid, &status);
    }
    close(fd);
    kill(-pid, SIGKILL);        /* its group, where there still is one */
    if (!ended)
        waitpid(pid, NULL, 0);
    return ended ? status : -1;
}

/* ---- results -------------------------------------------------------------------- */

/* Count what the lines of @f tell.  What is wrong with them: NULL if nothing. */
static const char *count_results(FILE *f, struct outcome *out)
{
    char line[1024];
    unsigned planned = 0;
    rewind(f);
    while (fgets(line, sizeof line, f)) {
        bool ok = strncmp(line, "ok ", 3) == 0, not_ok = strncmp(line, "not ok ", 7) == 0;
        unsigned plan, passed, failed;
        if (sscanf(line, "1..%u", &plan) == 1) {
            planned += plan;
        } else if (sscanf(line, "%u passed, %u failed", &passed, &failed) == 2) {
            out->passed += passed;
            out->failed += failed;
        } else if ((ok || not_ok) && strstr(line, "# SKIP")) {
            out->skipped++;
        } else {
            out->passed += ok;
            out->failed += not_ok;
        }
    }
    unsigned told = out->passed + out->failed + out->skipped;
    if (told == 0)
        return "ran no test";
    return told < planned ? "ended before its last test" : NULL;
}

static void judge(FILE *f, int status, bool plain, long seconds, struct outcome *out)
{
    char why[128] = "";
    if (status == -1)
        snprintf(why, sizeof why, "still ran after %ld s", seconds);
    else if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "killed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        snprintf(why, sizeof why, "exit status %d", WEXITSTATUS(status));
    const char *silent = NULL;
    if (plain)
        out->passed += !why[0];
    else
        silent = count_results(f, out);
    /* One cause, one failure: what failed inside makes the status non-zero, and
     * what was killed has not said all. */
    bool told = out->failed > 0 && status != -1 && WIFEXITED(status);
    if (why[0] && !told)
        fail(out, why);
    else if (!why[0] && silent)
        fail(out, silent);
}

static void show_output(FILE *f)
{
    char line[1024];
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    fseek(f, size > OUTPUT_SHOWN_MAX ? size - OUTPUT_SHOWN_MAX : 0, SEEK_SET);
    while (fgets(line, sizeof line, f))
        printf("    %s%s", line, strchr(line, '\n') ? "" : "\n");
}

static void split(char *words, char *argv[TEST_ARGS_MAX])
{
    int n = 0;
    for (char *save, *w = strtok_r(words, " ", &save); w && n < TEST_ARGS_MAX - 1;
         w = strtok_r(NULL, " ", &save))
        argv[n++] = w;
    argv[n] = NULL;
}

static struct outcome run_test(const char *test, long seconds)
{
    struct outcome out = {0};
    bool plain = strncmp(test, "plain:", 6) == 0;
    char *words = strdup(plain ? test + 6 : test);
    char *argv[TEST_ARGS_MAX];
    FILE *output = tmpfile();
    strcpy(scratch_dir, TEMPLATE);
    if (!words || !output || !mkdtemp(scratch_dir)) {
        perror("run-tests");
        exit(2);
    }
    split(words, argv);
    long start = now_ms();
    if (!argv[0] || access(argv[0], X_OK) != 0) {
        fail(&out, "there is no such program");
    } else {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            become_test(argv, fileno(output));
        int status = pid > 0 ? wait_for(pid, seconds) : -1;
        judge(output, status, plain, seconds, &out);
        reap_leftovers(&out);
        take_reports(output, &out);
    }
    if (dir_remove(scratch_dir) > 0)
        fail(&out, "left a socket behind");
    if (interrupted) {
        printf("interrupted in %s\n", test);
    } else if (out.failed > 0) {
        printf("FAILED %s: %u of %u%s%s\n", test, out.failed,
               out.passed + out.failed + out.skipped, out.why[0] ? "; " : "", out.why);
        show_output(output);
    } else {
        printf("%5u ok  %5.1f s  %s", out.passed, (double)(now_ms() - start) / 1000, test);
        printf(out.skipped ? "  (%u skipped)\n" : "\n", out.skipped);
    }
    fclose(output);
    free(words);
    return out;
}

/* Ctrl-C ends the test that runs, with all that it started, and then us. */
static void on_signal(int number)
{
    interrupted = number;
}

int main(int argc, char **argv)
{
    long seconds = TEST_SECONDS;
    int opt;
    while ((opt = getopt(argc, argv, "t:")) != -1) {
        seconds = opt == 't' ? atol(optarg) : 0;
        if (seconds < 1) {
            fprintf(stderr, "usage: run-tests [-t SECONDS] TEST...\n");
            return 2;
        }
    }
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        perror("run-tests: PR_SET_CHILD_SUBREAPER");
        return 2;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    struct outcome sum = {0};
    for (int i = optind; i < argc && !interrupted; i++) {
        struct outcome one = run_test(argv[i], seconds);
        sum.passed += one.passed;
        sum.failed += one.failed;
        sum.skipped += one.skipped;
    }
    if (interrupted)
        return 128 + interrupted;
    if (sum.passed + sum.failed == 0) {
        printf("no test ran\n");
        sum.failed = 1;
    }
    if (sum.skipped)
        printf("%u skipped\n", sum.skipped);
    printf("%u passed, %u failed\n", sum.passed, sum.failed);
    return sum.failed > 0;
}
