/* family.c - see family.h for the contract.
 *
 * /proc/PID/task/TID/children would spare reading every process of the machine,
 * but kernels are built without it, so the tree is put together from the parent
 * in each /proc/PID/stat: some 10 us a process, and only when something died.
 *
 * A number that was read may belong to another process when it is signalled.
 * Everything here is a descendant, and numbers wrap around slowly; the scan and
 * the kill are a few milliseconds apart.
 */
#include "node/family.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMBERS_MAX 65536u      /* processes of the machine that are looked at */
#define SWEEP_ROUNDS_MAX 16u    /* a stray that forks is found again */
#define ENVIRON_BYTES_MAX (1024u * 1024)

struct member {
    pid_t pid, parent, group, session;
    bool dead;                  /* a zombie */
    bool mine;
};

struct members {
    struct member *v;           /* owned */
    size_t count, cap;
};

static bool read_member(const char *name, struct member *out)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    /* The name in parentheses may hold anything, parentheses too. */
    const char *rest = strrchr(text, ')');
    char state;
    int parent, group, session;
    if (!rest || sscanf(rest + 1, " %c %d %d %d", &state, &parent, &group, &session) != 4)
        return false;
    *out = (struct member){.pid = atoi(name), .parent = parent, .group = group,
                           .session = session, .dead = state == 'Z' || state == 'X'};
    return true;
}

static bool members_add(struct members *m, const struct member *one)
{
    if (m->count == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 256;
        struct member *v = realloc(m->v, cap * sizeof *v);
        if (!v)
            return false;
        m->v = v;
        m->cap = cap;
    }
    m->v[m->count++] = *one;
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

/* @m is sorted by pid.  Parents tend to have lower numbers than their children,
 * so few passes are needed before nothing changes. */
static void mark_descendants(struct members *m, pid_t root)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < m->count; i++) {
            if (m->v[i].mine)
                continue;
            struct member key = {.pid = m->v[i].parent};
            const struct member *parent = bsearch(&key, m->v, m->count, sizeof *m->v, by_pid);
            if (key.pid == root || (parent && parent->mine))
                m->v[i].mine = changed = true;
        }
    }
}

/* All living descendants of this process, and nothing else, in @m. */
static void scan(struct members *m)
{
    m->count = 0;
    DIR *dir = opendir("/proc");
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir)) != NULL && m->count < MEMBERS_MAX;) {
        struct member one;
        if (isdigit((unsigned char)e->d_name[0]) && read_member(e->d_name, &one)
            && !members_add(m, &one))
            break;
    }
    closedir(dir);
    if (m->count == 0)
        return;
    qsort(m->v, m->count, sizeof *m->v, by_pid);
    mark_descendants(m, getpid());
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->v[i].mine && !m->v[i].dead)
            m->v[kept++] = m->v[i];
    m->count = kept;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

unsigned family_end(int64_t wait_ms)
{
    struct members m = {0};
    int64_t end = now_ms() + wait_ms;
    for (;;) {
        scan(&m);
        for (size_t i = 0; i < m.count; i++)
            kill(m.v[i].pid, SIGKILL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (m.count == 0 || now_ms() >= end)
            break;
        poll(NULL, 0, 1);   /* dying takes the kernel a moment */
    }
    unsigned left = (unsigned)m.count;
    free(m.v);
    return left;
}

/* The marker's number of @pid: true if it has one of ours. */
static bool read_marker(pid_t pid, const char *nonce, char *buffer, uint32_t *proc)
{
    char path[64], key[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    size_t key_len = (size_t)snprintf(key, sizeof key, "%s%s.", FAMILY_MARKER, nonce);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    for (ssize_t n; len < ENVIRON_BYTES_MAX
                    && (n = read(fd, buffer + len, ENVIRON_BYTES_MAX - len)) > 0;)
        len += (size_t)n;
    close(fd);
    buffer[len] = '\0';
    const char *at = memmem(buffer, len, key, key_len);
    if (!at)
        return false;
    *proc = (uint32_t)strtoul(at + key_len, NULL, 10);
    return true;
}

/* A number (session, group) may have been given to a new worker already; that
 * one carries its own marker.  So the marker decides where there is one. */
static bool is_stray(const struct member *one, bool marked, uint32_t proc,
                     const struct family_dead *dead, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool same = marked && proc != 0 && proc == dead[i].proc;
        bool near = dead[i].pid > 0 && (one->session == dead[i].pid || one->group == dead[i].pid);
        if (same || (near && (!marked || proc == dead[i].proc)))
            return true;
    }
    return false;
}

unsigned family_sweep(const char *nonce, const struct family_dead *dead, size_t count)
{
    char *buffer = malloc(ENVIRON_BYTES_MAX + 1);
    if (!buffer)
        return 0;
    struct members m = {0};
    unsigned found = 1;
    for (unsigned round = 0; round < SWEEP_ROUNDS_MAX && found > 0; round++) {
        found = 0;
        scan(&m);
        for (size_t i = 0; i < m.count; i++) {
            uint32_t proc = 0;
            bool marked = read_marker(m.v[i].pid, nonce, buffer, &proc);
            if (!is_stray(&m.v[i], marked, proc, dead, count))
                continue;
            kill(m.v[i].pid, SIGKILL);
            found++;
        }
        if (found)
            poll(NULL, 0, 1);
    }
    free(m.v);
    free(buffer);
    return found;
}
