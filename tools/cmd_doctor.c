/* cmd_doctor.c - covey doctor: is this machine fit, and what to mend.
 *
 * One function a question; each looks and reports once or more: ok, warn (it
 * works, slower or smaller) or bad (it will not work), with what to do.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cmd.h"
#include "listing.h"

#define NOFILE_WANTED 4096u     /* descriptors of a node with a few hundred processes */
#define NPROC_WANTED 1024u
#define MEMORY_WANTED (512u * 1024 * 1024)
#define PROBE_BYTES (4u * 1024 * 1024)

enum level { LEVEL_OK, LEVEL_WARN, LEVEL_BAD };

struct doctor {
    struct cli *cli;
    bool json;
    bool bad;                   /* something is */
};

/* ---- reporting ---------------------------------------------------------------------- */

/* @mend NULL: nothing to do. */
static void report(struct doctor *d, enum level level, const char *what, const char *mend,
                   const char *format, ...) COVEY_PRINTF(5, 6);
static void report(struct doctor *d, enum level level, const char *what, const char *mend,
                   const char *format, ...)
{
    static const char *const names[] = {"ok", "warn", "bad"};
    static const enum cli_style styles[] = {STYLE_GOOD, STYLE_WARN, STYLE_BAD};
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    d->bad = d->bad || level == LEVEL_BAD;
    if (d->json) {
        printf("{\"check\": \"%s\", \"state\": \"%s\", \"text\": ", what, names[level]);
        json_string(stdout, text);
        fputs(", \"mend\": ", stdout);
        json_string(stdout, mend ? mend : "");
        fputs("}\n", stdout);
        return;
    }
    if (d->cli->quiet && level == LEVEL_OK)
        return;
    printf("%s%-5s%s %-12s %s\n", cli_style(d->cli, stdout, styles[level]), names[level],
           cli_style_end(d->cli, stdout), what, text);
    if (mend)
        printf("      %-12s do: %s\n", "", mend);
}

/* The first line of a small file, "" if there is none. */
static const char *read_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    if (!f || !fgets(out, (int)size, f))
        out[0] = 0;
    if (f)
        fclose(f);
    out[strcspn(out, "\n")] = 0;
    return out;
}

/* ---- processors and memory ------------------------------------------------------------ */

/* The directory of this process's cgroup (version 2), "" if there is none. */
static const char *cgroup_dir(char *out, size_t size)
{
    char line[PLACE_MAX];
    FILE *f = fopen("/proc/self/cgroup", "re");
    out[0] = 0;
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "0::", 3) == 0)
            snprintf(out, size, "/sys/fs/cgroup%s", line + 3);
    }
    if (f)
        fclose(f);
    return out;
}

static const char *cgroup_value(const char *name, char *out, size_t size)
{
    char dir[PLACE_MAX + 32], path[PLACE_MAX + 96];
    snprintf(path, sizeof path, "%s/%s", cgroup_dir(dir, sizeof dir), name);
    return read_line(path, out, size);
}

static void check_cpus(struct doctor *d)
{
    cpu_set_t set;
    char max[64];
    int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    double quota, period;
    cgroup_value("cpu.max", max, sizeof max);
    if (sscanf(max, "%lf %lf", &quota, &period) == 2 && quota / period < cpus)
        report(d, LEVEL_WARN, "cpus", "covey start --cpus N, N as the limit",
               "%d, but the cgroup allows the time of %.1f", cpus, quota / period);
    else
        report(d, LEVEL_OK, "cpus", NULL, "%d", cpus);
}

static uint64_t memory_available(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu", &kib) != 1)
        ;
    if (f)
        fclose(f);
    return kib * 1024;
}

static void check_memory(struct doctor *d)
{
    char text[32], limit_text[32], line[64];
    uint64_t available = memory_available(), limit;
    enum level level = available < MEMORY_WANTED ? LEVEL_WARN : LEVEL_OK;
    report(d, level, "memory", level ? "covey start --store SIZE, small" : NULL, "%s available",
           args_format_size(text, sizeof text, available));
    cgroup_value("memory.max", line, sizeof line);
    if (args_uint(line, &limit))
        report(d, limit < MEMORY_WANTED ? LEVEL_WARN : LEVEL_OK, "cgroup", NULL,
               "memory is limited to %s; the object store stays below it",
               args_format_size(limit_text, sizeof limit_text, limit));
    else
        report(d, LEVEL_OK, "cgroup", NULL, "no memory limit");
}

static void check_overcommit(struct doctor *d)
{
    char mode[16];
    read_line("/proc/sys/vm/overcommit_memory", mode, sizeof mode);
    if (strcmp(mode, "2") == 0)
        report(d, LEVEL_WARN, "overcommit", "sysctl vm.overcommit_memory=0, or a small --store",
               "strict: the whole object store counts as used at once");
    else
        report(d, LEVEL_OK, "overcommit", NULL, "mode %s", mode[0] ? mode : "unknown");
}

/* ---- shared memory ---------------------------------------------------------------------- */

static void check_shared_memory(struct doctor *d)
{
    int fd = memfd_create("covey-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool sized = fd >= 0 && ftruncate(fd, PROBE_BYTES) == 0;
    bool sealed = sized && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0;
    void *map = sealed ? mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                       : MAP_FAILED;
    if (map == MAP_FAILED)
        report(d, LEVEL_BAD, "shared", "Linux 5.14 or newer, and memory",
               "memfd, its size, seals or mapping failed: %s", strerror(errno));
    else if (madvise(map, PROBE_BYTES, MADV_POPULATE_WRITE) != 0)
        report(d, LEVEL_BAD, "shared", "Linux 5.14 or newer (MADV_POPULATE_WRITE), and memory",
               "shared memory gets no pages: %s", strerror(errno));
    else
        report(d, LEVEL_OK, "shared", NULL, "memfd, seals and populated mappings work");
    if (map != MAP_FAILED)
        munmap(map, PROBE_BYTES);
    if (fd >= 0)
        close(fd);
}

static void check_huge_pages(struct doctor *d)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    char line[128], mend[160];
    read_line(path, line, sizeof line);
    snprintf(mend, sizeof mend, "echo advise | sudo tee %s", path);
    if (!line[0])
        report(d, LEVEL_WARN, "huge pages", NULL, "this kernel has none for shared memory");
    else if (strstr(line, "[never]") || strstr(line, "[deny]"))
        report(d, LEVEL_WARN, "huge pages", mend,
               "off for shared memory: large objects are touched 10 to 20 times slower");
    else
        report(d, LEVEL_OK, "huge pages", NULL, "%s", line);
}

/* ---- limits --------------------------------------------------------------------------------- */

static const char *limit_text(rlim_t limit, char *out, size_t size)
{
    if (limit == RLIM_INFINITY)
        snprintf(out, size, "unlimited");
    else
        snprintf(out, size, "%llu", (unsigned long long)limit);
    return out;
}

static void check_limit(struct doctor *d, const char *what, int resource, rlim_t wanted,
                        const char *mend)
{
    struct rlimit r;
    char soft[32], hard[32];
    if (getrlimit(resource, &r) != 0)
        return;
    bool low = r.rlim_max != RLIM_INFINITY && r.rlim_max < wanted;
    report(d, low ? LEVEL_WARN : LEVEL_OK, what, low ? mend : NULL, "%s (hard limit %s)",
           limit_text(r.rlim_cur, soft, sizeof soft), limit_text(r.rlim_max, hard, sizeof hard));
}

static void check_limits(struct doctor *d)
{
    char pids[32];
    uint64_t max;
    check_limit(d, "nofile", RLIMIT_NOFILE, NOFILE_WANTED,
                "raise it in /etc/security/limits.conf: * hard nofile 65536");
    check_limit(d, "nproc", RLIMIT_NPROC, NPROC_WANTED,
                "raise it in /etc/security/limits.conf: * hard nproc 16384");
    /* Only pinned GPU buffers are locked; the object store never is. */
    check_limit(d, "memlock", RLIMIT_MEMLOCK, 0, NULL);
    cgroup_value("pids.max", pids, sizeof pids);
    if (args_uint(pids, &max) && max < NPROC_WANTED)
        report(d, LEVEL_WARN, "pids", "raise the cgroup's pids.max, or covey start --processes N",
               "the cgroup allows %s processes", pids);
}

/* ---- places ----------------------------------------------------------------------------------- */

/* The nearest directory above @path that exists. */
static void existing_parent(const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", path);
    while (out[0] && access(out, F_OK) != 0) {
        char *slash = strrchr(out, '/');
        if (!slash)
            snprintf(out, size, ".");
        else if (slash == out)
            out[1] = 0;
        else
            *slash = 0;
    }
}

static bool is_network_filesystem(const char *path)
{
    static const long types[] = {0x6969 /* nfs */, (long)0xff534d42 /* cifs */, (long)0xfe534d42 /* smb2 */,
                                 0x00c36400 /* ceph */, 0x0bd00bd0 /* lustre */, 0x47504653 /* gpfs */};
    struct statfs fs;
    if (statfs(path, &fs) != 0)
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (((long)fs.f_type & 0xffffffff) == (types[i] & 0xffffffff))
            return true;
    return false;
}

static void check_place(struct doctor *d, const char *what, const char *path, const char *variable)
{
    char parent[PLACE_MAX], mend[PLACE_MAX + 64];
    struct stat st;
    existing_parent(path, parent, sizeof parent);
    snprintf(mend, sizeof mend, "set %s to a directory of your own", variable);
    bool exists = strcmp(parent, path) == 0;
    if (stat(parent, &st) != 0 || access(parent, W_OK | X_OK) != 0)
        report(d, LEVEL_BAD, what, mend, "%s: %s: %s", path, parent, strerror(errno));
    else if (exists && st.st_uid != geteuid())
        report(d, LEVEL_BAD, what, mend, "%s belongs to user %u", path, (unsigned)st.st_uid);
    else if (exists && (st.st_mode & 077) != 0)
        report(d, LEVEL_BAD, what, "chmod 700 it, and see who could write there",
               "%s is open to others (mode %03o)", path, (unsigned)st.st_mode & 0777);
    else if (is_network_filesystem(parent))
        report(d, LEVEL_WARN, what, mend, "%s is on a network file system: slower, and locks are weaker",
               path);
    else
        report(d, LEVEL_OK, what, NULL, "%s%s", path, exists ? "" : " (will be made)");
}

static void check_places(struct doctor *d)
{
    struct places p;
    char why[256] = "";
    if (places_find(&p, d->cli->name, why, sizeof why) != COVEY_OK) {
        report(d, LEVEL_BAD, "directory", "choose a shorter COVEY_DIR or --name", "%s", why);
        return;
    }
    check_place(d, "directory", p.dir, "XDG_RUNTIME_DIR or COVEY_DIR");
    check_place(d, "state", p.state, "XDG_STATE_HOME or COVEY_DIR");
}

/* ---- software --------------------------------------------------------------------------------- */

static void check_kernel(struct doctor *d)
{
    struct utsname u;
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (uname(&u) != 0)
        return;
    if (fd < 0)
        report(d, LEVEL_BAD, "kernel", "Linux 5.14 or newer", "%s has no pidfd: %s", u.release,
               strerror(errno));
    else
        report(d, LEVEL_OK, "kernel", NULL, "%s %s", u.sysname, u.release);
    if (fd >= 0)
        close(fd);
}

/* Asked of what is loaded rather than of headers: the two may differ, and the
 * first is what runs.  Also keeps zmq.h and uv.h out of here. */
static void check_libraries(struct doctor *d)
{
    void *self = dlopen(NULL, RTLD_LAZY);
    void (*zmq)(int *, int *, int *) = NULL;
    const char *(*uv)(void) = NULL, *(*sqlite)(void) = NULL;
    if (self) {
        *(void **)&zmq = dlsym(self, "zmq_version");
        *(void **)&uv = dlsym(self, "uv_version_string");
        *(void **)&sqlite = dlsym(self, "sqlite3_libversion");
    }
    int major = 0, minor = 0, patch = 0;
    if (zmq)
        zmq(&major, &minor, &patch);
    bool old = major * 100 + minor < 403;
    report(d, old ? LEVEL_BAD : LEVEL_OK, "libraries", old ? "install ZeroMQ 4.3 or newer" : NULL,
           "covey %s, ZeroMQ %d.%d.%d, libuv %s, SQLite %s", COVEY_VERSION, major, minor, patch,
           uv ? uv() : "-", sqlite ? sqlite() : "-");
    if (self)
        dlclose(self);
}

int cmd_doctor(struct cli *cli, int argc, char **argv)
{
    static void (*const checks[])(struct doctor *) = {
        check_kernel, check_libraries, check_cpus, check_memory, check_overcommit,
        check_shared_memory, check_huge_pages, check_limits, check_places,
    };
    struct doctor d = {.cli = cli};
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &d.json, NULL, "one JSON object a line"},
        {0},
    };
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 0, 0);
    if (status != CLI_GO)
        return status;
    if (d.json)
        puts("{\"schema\": \"covey.doctor/1\"}");
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        checks[i](&d);
    return d.bad ? STATUS_WORK : STATUS_OK;
}
