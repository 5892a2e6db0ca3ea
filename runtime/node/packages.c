/* packages.c - see packages.h for the contract. */
#include "node/packages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/map.h"
#include "io/job.h"

#define CACHE_PATH_MAX 700
#define HASH_TEXT_LEN 32

struct packages {
    uv_loop_t *loop;
    char dir[CACHE_PATH_MAX - 64];
    struct map programs;        /* hash128 -> struct program, owned */
    uint32_t copies_running;
    uint64_t uses;
};

/* One copy on its way: everything that its thread touches. */
struct copy {
    struct packages *packages;
    struct hash128 hash, file;
    char from[4096], to[CACHE_PATH_MAX], dir[CACHE_PATH_MAX];
    bool ok;
};

static void cache_path(const struct packages *p, struct hash128 hash, char *out)
{
    snprintf(out, CACHE_PATH_MAX, "%s/%016llx%016llx", p->dir, (unsigned long long)hash.hi,
             (unsigned long long)hash.lo);
}

/* ---- the copy, on a thread of its own ---------------------------------------------------- */

/* Hash what @in has; write it to @out as well, if that is not -1. */
static bool pump(int in, int out, struct hash128 *hash)
{
    static const size_t chunk_bytes = 256 * 1024;
    XXH3_state_t *state = XXH3_createState();
    char *chunk = malloc(chunk_bytes);
    bool ok = state && chunk && XXH3_128bits_reset(state) == XXH_OK;
    while (ok) {
        ssize_t n = read(in, chunk, chunk_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            break;
        ok = n > 0 && XXH3_128bits_update(state, chunk, (size_t)n) == XXH_OK;
        for (ssize_t put = 0; ok && out >= 0 && put < n;) {
            ssize_t m = write(out, chunk + put, (size_t)(n - put));
            ok = m > 0 || (m < 0 && errno == EINTR);
            put += m > 0 ? m : 0;
        }
    }
    if (ok) {
        XXH128_hash_t digest = XXH3_128bits_digest(state);
        *hash = (struct hash128){.lo = digest.low64, .hi = digest.high64};
    }
    free(chunk);
    XXH3_freeState(state);
    return ok;
}

static bool is_good(const char *path, struct hash128 expected)
{
    struct hash128 hash;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool ok = pump(fd, -1, &hash) && hash_eq(hash, expected);
    if (ok)
        futimens(fd, NULL);     /* used now: it is removed last */
    close(fd);
    return ok;
}

/* Under a name of its own until it is complete and right. */
static bool make_copy(const struct copy *c)
{
    char temporary[CACHE_PATH_MAX + 16];
    struct hash128 hash;
    struct stat st;
    bool ok = false;
    int in = open(c->from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return false;
    if (fstat(in, &st) == 0 && (uint64_t)st.st_size <= PACKAGE_FILE_BYTES_MAX) {
        snprintf(temporary, sizeof temporary, "%s.new", c->to);
        unlink(temporary);
        int out = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0700);
        if (out >= 0) {
            ok = pump(in, out, &hash) && hash_eq(hash, c->file);
            ok = close(out) == 0 && ok && rename(temporary, c->to) == 0;
            if (!ok)
                unlink(temporary);
        }
    }
    close(in);
    return ok;
}

struct cached_file {
    char name[HASH_TEXT_LEN + 8];
    struct timespec used;
};

static int newest_first(const void *a, const void *b)
{
    const struct timespec *x = &((const struct cached_file *)a)->used;
    const struct timespec *y = &((const struct cached_file *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? 1 : -1;
    return (x->tv_nsec < y->tv_nsec) - (x->tv_nsec > y->tv_nsec);
}

static void remove_unused(const char *path)
{
    struct cached_file files[4 * PACKAGE_FILES_MAX];
    size_t count = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir)) != NULL && count < sizeof files / sizeof *files;) {
        struct stat st;
        bool ours = strspn(e->d_name, "0123456789abcdef") == HASH_TEXT_LEN
                    && strlen(e->d_name) < sizeof files->name;
        if (ours && fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            memcpy(files[count].name, e->d_name, strlen(e->d_name) + 1);
            files[count++].used = st.st_mtim;
        }
    }
    qsort(files, count, sizeof *files, newest_first);
    for (size_t i = PACKAGE_FILES_MAX; i < count; i++)
        unlinkat(dirfd(dir), files[i].name, 0);
    closedir(dir);
}

static void run_copy(void *ctx)
{
    struct copy *c = ctx;
    c->ok = is_good(c->to, c->file) || make_copy(c);
    if (c->ok)
        remove_unused(c->dir);
}

static void copy_done(void *ctx)
{
    struct copy *c = ctx;
    struct program *program = map_get(&c->packages->programs, &c->hash);
    if (program) {
        program->copying = false;
        program->cached = c->ok;
    }
    c->packages->copies_running--;
    free(c);
}

static void start_copy(struct program *program)
{
    struct packages *p = program->packages;
    struct copy *c = calloc(1, sizeof *c);
    if (!c)
        return;     /* without a copy: only its absence can be noticed */
    c->packages = p;
    c->hash = program->what.hash;
    c->file = program->what.file;
    snprintf(c->from, sizeof c->from, "%s", program->path);
    cache_path(p, c->file, c->to);
    snprintf(c->dir, sizeof c->dir, "%s", p->dir);
    if (job_run(p->loop, run_copy, copy_done, c) != COVEY_OK) {
        free(c);
        return;
    }
    program->copying = true;
    p->copies_running++;
}

/* ---- the table ------------------------------------------------------------------------------ */

covey_status packages_open(struct packages **out, uv_loop_t *loop, const char *state_dir)
{
    struct packages *p = calloc(1, sizeof *p);
    if (!p)
        return COVEY_ENOMEM;
    p->loop = loop;
    int len = snprintf(p->dir, sizeof p->dir, "%s/packages", state_dir);
    assert(len > 0 && (size_t)len < sizeof p->dir);
    if (mkdir(p->dir, 0700) != 0 && errno != EEXIST) {
        free(p);
        return COVEY_ESYSTEM;
    }
    map_init(&p->programs, sizeof(struct hash128));
    *out = p;
    return COVEY_OK;
}

static void program_free(struct program *program)
{
    free(program->bytes);
    free(program);
}

void packages_close(struct packages **packages)
{
    struct packages *p = *packages;
    if (!p)
        return;
    assert(p->copies_running == 0);
    struct program *program;
    for (uint32_t i = 0; (program = map_next(&p->programs, &i)) != NULL;)
        program_free(program);
    map_fini(&p->programs);
    free(p);
    *packages = NULL;
}

bool packages_busy(const struct packages *packages) { return packages->copies_running > 0; }

static struct span copy_span(uint8_t **at, struct span s)
{
    struct span copy = {*at, s.len};
    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    (*at)[s.len] = '\0';
    *at += s.len + 1;
    return copy;
}

static struct program *program_new(struct packages *p, const struct msg_package *what)
{
    struct program *program = calloc(1, sizeof *program);
    size_t bytes = (size_t)what->path.len + what->cwd.len + what->argv.len + what->env.len + 4;
    uint8_t *at = malloc(bytes);
    if (!program || !at) {
        free(program);
        free(at);
        return NULL;
    }
    program->packages = p;
    program->bytes = at;
    program->what = *what;
    program->what.path = copy_span(&at, what->path);
    program->what.cwd = copy_span(&at, what->cwd);
    program->what.argv = copy_span(&at, what->argv);
    program->what.env = copy_span(&at, what->env);
    program->path = (char *)(uintptr_t)program->what.path.data;
    program->cwd = (char *)(uintptr_t)program->what.cwd.data;
    return program;
}

/* True if there is room for one more. */
static bool make_room(struct packages *p)
{
    if (map_count(&p->programs) < PACKAGES_MAX)
        return true;
    struct program *oldest = NULL, *program;
    for (uint32_t i = 0; (program = map_next(&p->programs, &i)) != NULL;)
        if (program->users == 0 && (!oldest || program->used < oldest->used))
            oldest = program;
    if (!oldest)
        return false;
    map_del(&p->programs, &oldest->what.hash);
    program_free(oldest);
    return true;
}

struct program *packages_take(struct packages *p, const struct msg_package *what)
{
    struct program *program = map_get(&p->programs, &what->hash);
    if (!program) {
        if (!make_room(p) || !(program = program_new(p, what)))
            return NULL;
        if (!map_put(&p->programs, &what->hash, program)) {
            program_free(program);
            return NULL;
        }
        start_copy(program);
    }
    program->users++;
    program->used = ++p->uses;
    return program;
}

void packages_release(struct program *program)
{
    assert(program->users > 0);
    program->users--;
}

covey_status program_file(const struct program *program, char *path, size_t path_size, char *why,
                          size_t why_size)
{
    const struct msg_package *w = &program->what;
    struct stat st;
    bool same = stat(program->path, &st) == 0 && st.st_dev == w->device && st.st_ino == w->inode
                && (uint64_t)st.st_size == w->size
                && st.st_mtim.tv_sec * SECOND_NS + st.st_mtim.tv_nsec == w->mtime_ns;
    int len;
    if (same) {
        len = snprintf(path, path_size, "%s", program->path);
    } else if (program->cached) {
        char cached[CACHE_PATH_MAX];
        cache_path(program->packages, w->file, cached);
        len = snprintf(path, path_size, "%s", cached);
    } else {
        snprintf(why, why_size, "%s is not the file any more that the client runs, and no copy of "
                 "that was made in time; start the client again", program->path);
        return COVEY_ESTART;
    }
    if (len > 0 && (size_t)len < path_size)
        return COVEY_OK;
    snprintf(why, why_size, "the program's path is too long");
    return COVEY_ESTART;
}
