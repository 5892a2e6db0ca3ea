/* bench.c - see bench.h: what all rows use. */
#include "bench.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENV_MAX 1024            /* variables that are passed on */

extern char **environ;

bool bench_fail(struct bench *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(b->why, sizeof b->why, format, args);
    va_end(args);
    return false;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int count)
{
    assert(count > 0);
    qsort(values, (size_t)count, sizeof *values, by_value);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- clusters -------------------------------------------------------------------- */

covey *bench_cluster(struct bench *b)
{
    if (!b->c) {
        const covey_open_opts opts = {.size = sizeof opts, .private_cluster = true,
                                      .store_bytes = BENCH_STORE_BYTES};
        b->c = covey_open(&opts);
        if (!b->c)
            bench_fail(b, "%s", covey_error());
    }
    return b->c;
}

void bench_leave(struct bench *b)
{
    covey_close(&b->c);
}

bool bench_has_memory(struct bench *b)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu", &kib) != 1)
        ;
    if (f)
        fclose(f);
    return kib >= BENCH_MEMORY_MIN >> 10 ||
           bench_fail(b, "it needs %d GiB of free memory", (int)(BENCH_MEMORY_MIN >> 30));
}

/* ---- processes --------------------------------------------------------------------- */

/* The environment with COVEY_ADDRESS set to @address. */
static void make_env(char **env, char *entry, size_t size, const char *address)
{
    size_t n = 0;
    for (char **e = environ; *e && n < ENV_MAX - 2; e++)
        if (strncmp(*e, "COVEY_ADDRESS=", 14) != 0)
            env[n++] = *e;
    if (address) {
        snprintf(entry, size, "COVEY_ADDRESS=%s", address);
        env[n++] = entry;
    }
    env[n] = NULL;
}

pid_t bench_spawn(struct bench *b, const char *const *argv, const char *address, int *out)
{
    char *env[ENV_MAX], entry[128];
    int ends[2] = {-1, -1};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    make_env(env, entry, sizeof entry, address);
    if (out && pipe2(ends, O_CLOEXEC) != 0) {
        bench_fail(b, "pipe: %s", strerror(errno));
        return -1;
    }
    posix_spawn_file_actions_init(&actions);
    if (out)
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int error = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, (char *const *)argv, env);
    posix_spawn_file_actions_destroy(&actions);
    if (out) {
        close(ends[1]);
        *out = ends[0];
    }
    if (error == 0)
        return pid;
    if (out)
        close(ends[0]);
    bench_fail(b, "cannot execute covey %s: %s", argv[1], strerror(error));
    return -1;
}

bool bench_wait(struct bench *b, pid_t pid, const char *what)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return bench_fail(b, "%s: %s", what, strerror(errno));
    if (WIFSIGNALED(status))
        return bench_fail(b, "%s was killed by signal %d", what, WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ||
           bench_fail(b, "%s ended with status %d", what, WEXITSTATUS(status));
}
