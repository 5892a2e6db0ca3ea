/* package.c - see package.h.
 *
 * /proc/self/exe is read and not the path: it is the running program even when
 * the file was replaced meanwhile. */
#include "client/package.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/zygote.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define PACKAGE_TEXT_MAX (1024u * 1024)  /* argv or environment */

static struct hash128 file_hash;
static covey_status own_status;
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void compute(void)
{
    own_status = COVEY_ESYSTEM;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data != MAP_FAILED) {
            XXH128_hash_t h = XXH3_128bits(data, (size_t)st.st_size);
            file_hash = (struct hash128){h.low64, h.high64};
            own_status = COVEY_OK;
            munmap(data, (size_t)st.st_size);
        }
    }
    close(fd);
}

/* All of a small file of /proc. */
static bool slurp(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    char room[4096];
    ssize_t n;
    while ((n = read(fd, room, sizeof(room))) > 0 && out->len < PACKAGE_TEXT_MAX)
        buf_append(out, room, (size_t)n);
    close(fd);
    return n == 0 && !out->failed;
}

/* What this process's environment is now, without what marks workers. */
static void put_environment(struct buf *out)
{
    extern char **environ;
    static const char *const marks[] = {ZYGOTE_ENV "=", ZYGOTE_WORKER_ENV "=", ZYGOTE_PACKAGE_ENV "=", "COVEY_PROC="};
    for (char **e = environ; e && *e; e++) {
        bool mark = false;
        for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++)
            mark = mark || strncmp(*e, marks[i], strlen(marks[i])) == 0;
        if (!mark)
            buf_append(out, *e, strlen(*e) + 1);
    }
}

/* File, directory and environment: the same in all three is the same package. */
static struct hash128 identity(const char *cwd, const struct buf *env)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return file_hash;
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, &file_hash, sizeof(file_hash));
    XXH3_128bits_update(state, cwd, strlen(cwd) + 1);
    XXH3_128bits_update(state, env->data, env->len);
    XXH128_hash_t h = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return (struct hash128){h.low64, h.high64};
}

/* A worker's own submits run what it runs; its node knows that already. */
static bool inherit(covey *c)
{
    const char *hex = c->is_worker ? getenv(ZYGOTE_PACKAGE_ENV) : NULL;
    unsigned long long hi, lo;
    if (!hex || sscanf(hex, "%16llx%16llx", &hi, &lo) != 2)
        return false;
    c->package = (struct hash128){lo, hi};
    c->package_told = true;
    return true;
}

covey_status package_tell(covey *c)
{
    if (c->package_told || inherit(c))
        return COVEY_OK;
    struct stat st;
    char path[4096], cwd[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    pthread_once(&hash_once, compute);
    if (n < 0 || stat("/proc/self/exe", &st) != 0 || !getcwd(cwd, sizeof(cwd)) || own_status != COVEY_OK) {
        error_set("cannot read this program's own file (/proc/self/exe) or directory: %s", strerror(errno));
        return COVEY_ESYSTEM;
    }
    path[n] = 0;
    struct buf argv, env;
    buf_init(&argv);
    buf_init(&env);
    put_environment(&env);
    bool ok = slurp("/proc/self/cmdline", &argv) && !env.failed && env.len <= PACKAGE_TEXT_MAX;
    if (ok) {
        c->package = identity(cwd, &env);
        struct msg m = {.kind = MSG_PACKAGE};
        m.u.package = (struct msg_package){
            .hash = c->package, .file = file_hash, .path = span_of(path, (size_t)n), .device = st.st_dev,
            .inode = st.st_ino, .size = (uint64_t)st.st_size,
            .mtime_ns = st.st_mtim.tv_sec * SECOND_NS + st.st_mtim.tv_nsec,
            .cwd = span_str(cwd), .argv = buf_span(&argv), .env = buf_span(&env)};
        process_send(c, c->node, &m);
        c->package_told = true;
    } else {
        error_set("this program's arguments or environment are too large (more than %u bytes)", PACKAGE_TEXT_MAX);
    }
    buf_fini(&argv);
    buf_fini(&env);
    return ok ? COVEY_OK : COVEY_ETOOBIG;
}
