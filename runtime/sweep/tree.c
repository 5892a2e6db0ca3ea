/* tree.c - see tree.h for the contract. */
#include "sweep/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define COPY_CHUNK (64u << 20)

/* nftw() has no argument of its own for its callbacks. */
static _Thread_local const atomic_bool *stopper;
static _Thread_local struct copying { const char *to; size_t skip; bool failed; } copying;

static bool is_stopped(void)
{
    bool stopped = stopper && atomic_load(stopper);
    if (stopped)
        errno = ECANCELED;
    return stopped;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return is_stopped() || remove(path) != 0;
}

void tree_remove(const char *path, const atomic_bool *stop)
{
    stopper = stop;
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* For file systems that cannot do it themselves. */
static bool copy_by_hand(int in, int out)
{
    char chunk[16 * 1024];
    for (;;) {
        ssize_t n = read(in, chunk, sizeof chunk);
        if (n == 0)
            return true;
        if ((n < 0 && errno != EINTR) || (n > 0 && !file_write(out, chunk, (size_t)n)) || is_stopped())
            return false;
    }
}

/* Where the file system can share blocks, this shares them. */
static bool copy_bytes(int in, int out)
{
    ssize_t n;
    while ((n = copy_file_range(in, NULL, out, NULL, COPY_CHUNK, 0)) > 0)
        if (is_stopped())
            return false;
    bool cannot = n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP);
    return n == 0 || (cannot && copy_by_hand(in, out));
}

/* A file that has gone meanwhile was another's half-written one: it is none of the tree. */
static bool copy_file(const char *from, const char *to, mode_t mode)
{
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0)
        return errno == ENOENT;
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode & 0777);
    bool ok = out >= 0 && copy_bytes(in, out);
    int error = errno;
    close(in);
    if (out >= 0 && close(out) != 0 && ok)
        return false;
    errno = error;
    return ok;
}

static bool copy_link(const char *from, const char *to)
{
    char target[PATH_MAX];
    ssize_t n = readlink(from, target, sizeof target - 1);
    if (n < 0)
        return errno == ENOENT;
    target[n] = 0;
    return symlink(target, to) == 0;
}

static int copy_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    char to[PATH_MAX];
    (void)at;
    bool ok = (size_t)snprintf(to, sizeof to, "%s%s", copying.to, path + copying.skip) < sizeof to && !is_stopped();
    if (ok && type == FTW_D)
        ok = mkdir(to, 0777) == 0 || errno == EEXIST;
    else if (ok && type == FTW_F)
        ok = copy_file(path, to, st->st_mode);
    else if (ok && type == FTW_SL)
        ok = copy_link(path, to);
    copying.failed |= !ok;
    return !ok;
}

/* In one step, where the file system can. */
static bool put_in_place(const char *fresh, const char *to)
{
    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, to, RENAME_EXCHANGE) == 0)
        return true;
    if (errno == EINVAL || errno == ENOSYS)
        tree_remove(to, NULL);
    else if (errno != ENOENT)
        return false;
    return rename(fresh, to) == 0;
}

static bool name_fresh(char fresh[PATH_MAX], const char *to)
{
    bool fits = snprintf(fresh, PATH_MAX, "%s" TREE_FRESH, to) < PATH_MAX;
    if (!fits)
        errno = ENAMETOOLONG;
    return fits;
}

void tree_tidy(const char *to, const atomic_bool *stop)
{
    char fresh[PATH_MAX];
    if (name_fresh(fresh, to))
        tree_remove(fresh, stop);
}

bool tree_copy(const char *from, const char *to, const atomic_bool *stop)
{
    char fresh[PATH_MAX];
    if (!name_fresh(fresh, to))
        return false;
    tree_remove(fresh, stop);
    char *real = realpath(from, NULL);
    copying = (struct copying){.to = fresh, .skip = real ? strlen(real) : 0};
    bool copied = real && nftw(real, copy_entry, 16, FTW_PHYS) == 0 && !copying.failed &&
                  put_in_place(fresh, to);
    int error = errno;
    free(real);
    if (!copied)
        tree_remove(fresh, stop);       /* a full disk gets its room back */
    errno = error;
    return copied;
}
