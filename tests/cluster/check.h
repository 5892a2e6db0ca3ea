/* check.h - what the C tests with real processes share.
 *
 * Results are TAP lines, as tools/run-tests counts them.  A test program opens
 * a private cluster with check_open(), calls check() and its like, closes, asks
 * check_nothing_left(), and returns check_end().
 *
 * Only the process that runs main() to its end prints results: workers of the
 * same program end inside covey_open().
 *
 * Which processes belong to a test is read from their environment: daemons and
 * workers inherit CHECK_ENV.  tools/run-tests gives each test a directory of its
 * own; by hand, one is made:
 *
 *     make && COVEY_BIN=$PWD/build/covey build/tests/cluster/bad_code
 */
#ifndef TESTS_CLUSTER_CHECK_H
#define TESTS_CLUSTER_CHECK_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "covey.h"

#define CHECK_GET_MS 20000      /* for what must come: longer only hides a hang */
#define CHECK_MADE_DIR "/tmp/covey-check.XXXXXX"
#define CHECK_ENV "COVEYTEST_ID"    /* not COVEY_...: those are not handed to workers */

static struct {
    unsigned count, failures;
    char made[sizeof CHECK_MADE_DIR];   /* the directory that we made; "" if it was given */
} checks;

/* ---- results ------------------------------------------------------------------- */

static void check_note(const char *format, ...) COVEY_PRINTF(1, 2);
static bool check(bool ok, const char *format, ...) COVEY_PRINTF(2, 3);

/* One comment per line of the text. */
static void check_note(const char *format, ...)
{
    char text[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        printf("# %s\n", line);
    fflush(stdout);
}

/* Returns @ok, so that a failed one can be explained. */
static bool check(bool ok, const char *format, ...)
{
    char name[256];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    checks.count++;
    checks.failures += !ok;
    printf("%s %u - %s\n", ok ? "ok" : "not ok", checks.count, name);
    fflush(stdout);
    return ok;
}

static bool check_status(covey_status got, covey_status want, const char *name)
{
    bool ok = check(got == want, "%s", name);
    if (!ok)
        check_note("status %d (%s), not %d (%s); %s", (int)got, covey_strerror(got), (int)want,
                   covey_strerror(want), covey_error());
    return ok;
}

/* @ref gets the value @want in time. */
static bool check_i64(covey *c, covey_ref ref, int64_t want, const char *name)
{
    int64_t value = 0;
    covey_status status = covey_get_i64(c, ref, CHECK_GET_MS, &value);
    bool ok = check(status == COVEY_OK && value == want, "%s", name);
    if (!ok)
        check_note("%s; value %lld, not %lld; %s\n%s", covey_strerror(status), (long long)value,
                   (long long)want, covey_error(), covey_why(c, ref));
    return ok;
}

/* @ref fails with @want, and the story has @text in it. */
static bool check_fails(covey *c, covey_ref ref, covey_status want, const char *text,
                        const char *name)
{
    covey_value value;
    covey_status status = covey_get(c, ref, CHECK_GET_MS, &value);
    const char *why = covey_why(c, ref);
    bool ok = check(status == want && strstr(why, text), "%s", name);
    if (!ok)
        check_note("%s, not %s with \"%s\"; the story:\n%s", covey_strerror(status),
                   covey_strerror(want), text, why);
    return ok;
}

/* main() returns this. */
static int check_end(void)
{
    printf("1..%u\n", checks.count);
    if (checks.made[0]) {
        rmdir(getenv("COVEY_DIR"));
        rmdir(checks.made);
    }
    return checks.failures > 0;
}

/* ---- time ------------------------------------------------------------------------ */

static int64_t check_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Between two looks at something that no event tells. */
static void check_nap(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* ---- what is left ------------------------------------------------------------------ */

/* All of /proc/@pid/@file, NUL-terminated; at most @size - 1 bytes. */
static size_t check_read_proc(pid_t pid, const char *file, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    for (ssize_t n; fd >= 0 && len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0;)
        len += (size_t)n;
    if (fd >= 0)
        close(fd);
    out[len] = 0;
    return len;
}

/* Lives, and is no zombie. */
static bool check_lives(pid_t pid)
{
    char text[512];
    if (check_read_proc(pid, "stat", text, sizeof text) == 0)
        return false;
    const char *rest = strrchr(text, ')');
    return rest && rest[2] != 'Z' && rest[2] != 'X';
}

static bool check_has_env(pid_t pid, const char *entry)
{
    static char env[1024 * 1024];
    size_t len = check_read_proc(pid, "environ", env, sizeof env);
    for (size_t at = 0; at < len; at += strlen(env + at) + 1)
        if (strcmp(env + at, entry) == 0)
            return true;
    return false;
}

/* Call @fn for each living process of this test but this one.  Returns how
 * many there are. */
static unsigned check_each_process(void (*fn)(pid_t pid, void *ctx), void *ctx)
{
    char entry[600];
    unsigned count = 0;
    snprintf(entry, sizeof entry, CHECK_ENV "=%s", getenv(CHECK_ENV));
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        pid_t pid = (pid_t)atoi(e->d_name);
        if (!isdigit((unsigned char)e->d_name[0]) || pid == getpid())
            continue;
        if (!check_has_env(pid, entry) || !check_lives(pid))
            continue;
        count++;
        if (fn)
            fn(pid, ctx);
    }
    if (proc)
        closedir(proc);
    return count;
}

static void check_show_process(pid_t pid, void *ctx)
{
    char line[512];
    (void)ctx;
    size_t len = check_read_proc(pid, "cmdline", line, sizeof line);
    for (size_t i = 0; i + 1 < len; i++)
        line[i] = line[i] ? line[i] : ' ';
    check_note("still runs: %d %s", (int)pid, line);
}

static unsigned check_entries;

static int check_show_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    if (at->level > 0) {
        check_entries++;
        check_note("left behind: %s", path);
    }
    return 0;
}

/* Head, node, keeper, zygote: as long as these are seen, what comes after can fail. */
static void check_something_runs(void)
{
    check(check_each_process(NULL, NULL) >= 4, "a cluster's processes are found");
}

/* No process of the test lives and nothing lies in its directory. */
static void check_nothing_left(const char *when)
{
    unsigned processes = check_each_process(NULL, NULL);
    if (!check(processes == 0, "%s: no process is left", when))
        check_each_process(check_show_process, NULL);
    check_entries = 0;
    nftw(getenv("COVEY_DIR"), check_show_entry, 16, FTW_PHYS);
    check(check_entries == 0, "%s: no file is left", when);
}

/* ---- a cluster of the test's own ----------------------------------------------------- */

/* A directory and a mark, before anything is started.  Workers come here, too,
 * on their way to covey_open(), and have both already. */
static void check_begin(void)
{
    char text[sizeof checks.made + 32];
    if (getenv(CHECK_ENV))
        return;
    snprintf(text, sizeof text, "%d.%lld", (int)getpid(), (long long)check_now_ms());
    setenv(CHECK_ENV, text, 1);
    if (getenv("COVEY_DIR"))
        return;
    strcpy(checks.made, CHECK_MADE_DIR);
    if (!mkdtemp(checks.made)) {
        perror("mkdtemp");
        exit(2);
    }
    snprintf(text, sizeof text, "%s/c", checks.made);
    setenv("COVEY_DIR", text, 1);
    setenv("TMPDIR", checks.made, 1);
}

/* Two CPUs and quiet unless @o says otherwise.  Ends the program on failure:
 * nothing could be tested. */
static covey *check_open(covey_open_opts o)
{
    check_begin();
    o.size = sizeof o;
    o.private_cluster = true;
    o.cpus = o.cpus > 0 ? o.cpus : 2;
    o.store_bytes = o.store_bytes ? o.store_bytes : UINT64_C(64) << 20;
    o.quiet = true;
    covey *c = covey_open(&o);
    if (!c) {
        fprintf(stderr, "no cluster: %s\n", covey_error());
        exit(2);
    }
    return c;
}

#endif
