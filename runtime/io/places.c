/* places.c - see places.h for the contract. */
#include "io/places.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <dirent.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* "/NODE.PROC" of the largest numbers: what a socket's path needs after its
 * directory. */
#define SOCKET_NAME "/4294967295.4294967295"
#define DIR_BYTES_MAX (sizeof((struct sockaddr_un *)NULL)->sun_path - sizeof SOCKET_NAME)
_Static_assert(sizeof SOCKET_NAME < 32, "a socket's name leaves room for its directory");

#define WALK_FDS 16 /* descriptors that a recursive removal may use */

/* ---- names ------------------------------------------------------------------- */

static bool name_is_good(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t len = strlen(name);
    return len > 0 && len < CLUSTER_NAME_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

/* Write a path; false if it does not fit. */
static bool put_path(char out[PLACE_MAX], const char *format, ...) COVEY_PRINTF(2, 3);
static bool put_path(char out[PLACE_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, PLACE_MAX, format, args);
    va_end(args);
    return n > 0 && n < PLACE_MAX;
}

static const char *env_or_null(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] != '\0' ? value : NULL;
}

/* A variable that names a directory.  By their own rule the XDG ones count as
 * unset when they are not absolute. */
static const char *env_dir(const char *name)
{
    const char *value = env_or_null(name);
    return value && value[0] == '/' ? value : NULL;
}

static const char *home_dir(void)
{
    const char *home = env_dir("HOME");
    if (home)
        return home;
    const struct passwd *user = getpwuid(geteuid());
    return user && user->pw_dir && user->pw_dir[0] == '/' ? user->pw_dir : "/";
}

static bool find_dir(struct places *p, const char *base)
{
    const char *runtime = env_dir("XDG_RUNTIME_DIR");
    if (base)
        return put_path(p->dir, "%s/%s", base, p->name);
    if (runtime)
        return put_path(p->dir, "%s/covey/%s", runtime, p->name);
    const char *tmp = env_dir("TMPDIR");
    return put_path(p->dir, "%s/covey-%u/%s", tmp ? tmp : "/tmp", (unsigned)geteuid(), p->name);
}

static bool find_state(struct places *p, const char *base)
{
    const char *state = env_dir("XDG_STATE_HOME");
    if (base)
        return put_path(p->state, "%s/%s/state", base, p->name);
    if (state)
        return put_path(p->state, "%s/covey/%s", state, p->name);
    return put_path(p->state, "%s/.local/state/covey/%s", home_dir(), p->name);
}

covey_status places_find(struct places *out, const char *name, char *why, size_t why_size)
{
    *out = (struct places){.name = ""};
    if (!name)
        name = env_or_null("COVEY_NAME");
    if (!name)
        name = CLUSTER_DEFAULT;
    if (!name_is_good(name)) {
        snprintf(why, why_size, "\"%.64s\" is no name for a cluster: 1 to %d of letters, digits, "
                 "\"-\", \"_\", \".\", the first not a \".\"", name, CLUSTER_NAME_MAX - 1);
        return COVEY_EINVAL;
    }
    memcpy(out->name, name, strlen(name) + 1);
    const char *base = env_or_null("COVEY_DIR");
    if (base && base[0] != '/') {
        snprintf(why, why_size, "COVEY_DIR is \"%.128s\": give it an absolute path", base);
        return COVEY_EINVAL;
    }
    if (!find_dir(out, base) || strlen(out->dir) > DIR_BYTES_MAX) {
        snprintf(why, why_size, "%.*s... is too long for sockets (%zu bytes at most): set COVEY_DIR "
                 "to a shorter directory, as /tmp/c", 64, out->dir, DIR_BYTES_MAX);
        return COVEY_ETOOBIG;
    }
    if (!find_state(out, base)) {
        snprintf(why, why_size, "%.*s... is too long (%d bytes at most): set XDG_STATE_HOME to a "
                 "shorter directory", 64, out->state, PLACE_MAX - 1);
        return COVEY_ETOOBIG;
    }
    return COVEY_OK;
}

covey_status places_of_address(struct places *out, const char *address, char *why, size_t why_size)
{
    if (strncmp(address, "local:", 6) == 0)
        return places_find(out, address + 6, why, why_size);
    if (strchr(address, ':')) {
        snprintf(why, why_size, "\"%.128s\" is no address: want local:NAME", address);
        return COVEY_EINVAL;
    }
    return places_find(out, address, why, why_size);
}

/* ---- directories ------------------------------------------------------------- */

static covey_status refuse(char *why, size_t why_size, const char *path, const char *is,
                           const char *mend)
{
    snprintf(why, why_size, "%s %s: %s", path, is, mend);
    return COVEY_EREFUSED;
}

static covey_status failed(char *why, size_t why_size, const char *what, const char *path)
{
    snprintf(why, why_size, "cannot %s %s: %s", what, path, strerror(errno));
    return COVEY_ESYSTEM;
}

/* Create the directories above the last one, as mkdir -p does, but closed. */
static bool make_parents(const char *path)
{
    char part[PLACE_MAX];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t len = (size_t)(slash - path);
        memcpy(part, path, len);
        part[len] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

/* The directory that holds ours.  A link to it is as good as who made it. */
static covey_status check_parent(const char *path, char *why, size_t why_size)
{
    char parent[PLACE_MAX];
    struct stat link, at;
    size_t len = (size_t)(strrchr(path, '/') - path);
    memcpy(parent, path, len);
    parent[len] = '\0';
    if (len == 0)
        memcpy(parent, "/", 2);
    if (lstat(parent, &link) != 0 || stat(parent, &at) != 0)
        return failed(why, why_size, "look at", parent);
    if ((link.st_uid != geteuid() && link.st_uid != 0) || (at.st_uid != geteuid() && at.st_uid != 0))
        return refuse(why, why_size, parent, "belongs to another user",
                      "set COVEY_DIR to a directory of your own");
    if ((at.st_mode & 022) != 0 && (at.st_mode & S_ISVTX) == 0)
        return refuse(why, why_size, parent, "can be written by others",
                      "set COVEY_DIR to another directory, or take their right with chmod go-w");
    return COVEY_OK;
}

/* Ours itself: opened without following a link and looked at through the
 * descriptor, so that what is checked is what is there. */
static covey_status check_own(const char *path, char *why, size_t why_size)
{
    struct stat at;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return refuse(why, why_size, path, "is a link or no directory",
                      "look who made it, remove it, and start again");
    if (fd < 0)
        return failed(why, why_size, "open", path);
    int rc = fstat(fd, &at);
    close(fd);
    if (rc != 0)
        return failed(why, why_size, "look at", path);
    if (at.st_uid != geteuid())
        return refuse(why, why_size, path, "belongs to another user",
                      "set COVEY_DIR to a directory of your own");
    if ((at.st_mode & 077) != 0)
        return refuse(why, why_size, path, "is open to others",
                      "look what is in it, then close it with chmod 700");
    return COVEY_OK;
}

static covey_status make_own(const char *path, char *why, size_t why_size)
{
    if (!make_parents(path))
        return failed(why, why_size, "make a directory above", path);
    covey_status status = check_parent(path, why, why_size);
    if (status != COVEY_OK)
        return status;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return failed(why, why_size, "make", path);
    return check_own(path, why, why_size);
}

covey_status places_create(const struct places *p, char *why, size_t why_size)
{
    covey_status status = make_own(p->dir, why, why_size);
    return status == COVEY_OK ? make_own(p->state, why, why_size) : status;
}

/* ---- the end ------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *at, int kind, struct FTW *walk)
{
    (void)at, (void)kind, (void)walk;
    (void)remove(path); /* what stays shows when its directory is removed */
    return 0;
}

/* Files only: with COVEY_DIR the state is a directory in there. */
static void remove_files(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        (void)unlinkat(fd, entry->d_name, 0); /* fails for directories, as it should */
    closedir(stream);
}

void places_remove(const struct places *p, bool state_too)
{
    remove_files(p->dir);
    if (state_too)
        (void)nftw(p->state, remove_entry, WALK_FDS, FTW_DEPTH | FTW_PHYS);
    (void)rmdir(p->dir);
}

/* ---- files ----------------------------------------------------------------------- */

/* Does @path still lead to what @fd has open? */
static bool same_file(int fd, const char *path)
{
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 &&
           open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}

covey_status places_lock(const struct places *p, const char *file, int *out)
{
    *out = -1;
    char path[PLACE_MAX];
    if (!put_path(path, "%s/%s", p->dir, file)) {
        errno = ENAMETOOLONG;
        return COVEY_ESYSTEM;
    }
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return COVEY_ESYSTEM;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int saved = errno;
            close(fd);
            errno = saved;
            return saved == EWOULDBLOCK ? COVEY_EAGAIN : COVEY_ESYSTEM;
        }
        if (same_file(fd, path)) {
            *out = fd;
            return COVEY_OK;
        }
        close(fd); /* places_remove() took the name away before we had the lock: again */
    }
}

/* Written beside and renamed, so that a reader sees a whole number or none. */
bool places_write_pid(const struct places *p, const char *file)
{
    char path[PLACE_MAX], fresh[PLACE_MAX];
    if (!put_path(path, "%s/%s", p->dir, file) || !put_path(fresh, "%s/%s.new", p->dir, file)) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool written = dprintf(fd, "%ld\n", (long)getpid()) > 0 && rename(fresh, path) == 0;
    int saved = errno;
    close(fd);
    errno = saved;
    return written;
}

pid_t places_read_pid(const struct places *p, const char *file)
{
    char path[PLACE_MAX];
    int pid = 0;
    FILE *f = put_path(path, "%s/%s", p->dir, file) ? fopen(path, "re") : NULL;
    if (f && fscanf(f, "%d", &pid) != 1)
        pid = 0;
    if (f)
        fclose(f);
    return pid > 1 ? pid : 0;
}

void places_remove_pid(const struct places *p, const char *file)
{
    char path[PLACE_MAX];
    if (put_path(path, "%s/%s", p->dir, file))
        unlink(path);
}
