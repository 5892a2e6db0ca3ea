/* machine.c - see machine.h. */
#include "node/machine.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/budget.h"

#define GROUP_PATH_MAX 4096
#define CPUS_MIN 0.01

/* One number of a small file; false if there is none ("max", -1 included). */
static bool read_numbers(const char *dir, const char *file, double *first, double *second)
{
    char path[GROUP_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    int wanted = second ? 2 : 1;
    bool ok = (second ? fscanf(f, "%lf %lf", first, second) : fscanf(f, "%lf", first)) == wanted;
    fclose(f);
    return ok && *first > 0;
}

/* The least quota from @dir up to @mount, in CPUs. */
static double quota_upwards(char *dir, size_t mount_len, bool v1)
{
    double least = HUGE_VAL;
    for (;;) {
        double quota = 0, period = 0;
        bool limited = v1 ? read_numbers(dir, "cpu.cfs_quota_us", &quota, NULL)
                                && read_numbers(dir, "cpu.cfs_period_us", &period, NULL)
                          : read_numbers(dir, "cpu.max", &quota, &period);
        if (limited && period > 0 && quota / period < least)
            least = quota / period;
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < mount_len)
            return least;
        *slash = '\0';
    }
}

static bool lists_cpu(const char *controllers)
{
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && strchr(",:", at[3]))
            return true;
        if (strchr(at, ',') == NULL)
            break;
    }
    return false;
}

/* A line is "4:cpu,cpuacct:/path" (version 1) or "0::/path" (version 2). */
static double quota_of_line(char *line, const char *mount)
{
    char dir[GROUP_PATH_MAX];
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return HUGE_VAL;
    bool v2 = path == controllers + 1, v1 = !v2 && lists_cpu(controllers + 1);
    path[1 + strcspn(path + 1, "\n")] = '\0';
    if (!v1 && !v2)
        return HUGE_VAL;
    int mount_len = snprintf(dir, sizeof dir, "%s%s", mount, v1 ? "/cpu" : "");
    int len = snprintf(dir, sizeof dir, "%s%s%s", mount, v1 ? "/cpu" : "", path + 1);
    if (len < 0 || (size_t)len >= sizeof dir)
        return HUGE_VAL;
    return quota_upwards(dir, (size_t)mount_len, v1);
}

double machine_cpu_quota(const char *own, const char *mount)
{
    double least = HUGE_VAL;
    char line[GROUP_PATH_MAX];
    FILE *f = fopen(own, "re");
    if (!f)
        return least;
    while (fgets(line, sizeof line, f))
        least = fmin(least, quota_of_line(line, mount));
    fclose(f);
    return least;
}

double machine_cpus(void)
{
    cpu_set_t set;
    double cpus = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cpus = CPU_COUNT(&set);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0)     /* more CPUs than the set can hold */
        cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);
    cpus = fmin(cpus, machine_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup"));
    return fmax(cpus, CPUS_MIN);
}

uint64_t machine_memory_bytes(void)
{
    uint64_t machine = budget_machine_bytes("/proc/meminfo");
    uint64_t groups = budget_cgroup_bytes("/proc/self/cgroup", "/sys/fs/cgroup");
    return machine < groups ? machine : groups;
}

uint64_t machine_oom_kills(void)
{
    char line[128];
    unsigned long long kills = 0;
    FILE *f = fopen("/proc/vmstat", "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "oom_kill %llu", &kills) == 1)
            break;
    fclose(f);
    return kills;
}
