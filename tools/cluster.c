/* cluster.c - see cluster.h for the contract.
 *
 *   cluster_start    lock.start -> nobody there? -> clear what was left
 *                    -> head, ready -> node, ready
 *   cluster_stop     lock.start -> SHUTDOWN (or SIGTERM to whom no message
 *                    reaches) -> gone? else SIGKILL -> locks free -> clear
 */
#include "cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/process.h"
#include "launch.h"
#include "io/mono.h"
#include "query.h"

#define LOCK_START "lock.start"
#define OWNER_FILE "owner"      /* of a private cluster: its program's process */
#define SWEEP_FILE "sweep"      /* ... and the directory of the sweep that that one runs */
#define LOOK_EVERY_MS 5         /* at a lock that somebody else has */
#define CLAIM_MS 5000           /* for another start or stop to end */
#define ENTER_MS 2000           /* to reach a node that is to stop */

static void nap(void)
{
    nanosleep(&(struct timespec){0, LOOK_EVERY_MS * 1000000}, NULL);
}

/* ---- locks and pids ----------------------------------------------------------- */

/* Take lock.start, waiting for another start or stop to end.  The directory may
 * go away under us while that one stops; then it is made again, where we may. */
static covey_status claim(const struct places *p, bool create, int *fd, char *why, size_t why_size)
{
    int64_t deadline = mono_ns() + CLAIM_MS * MS_NS;
    for (;;) {
        covey_status status = create ? places_create(p, why, why_size) : COVEY_OK;
        if (status != COVEY_OK)
            return status;
        status = places_lock(p, LOCK_START, fd);
        if (status == COVEY_OK)
            return COVEY_OK;
        if (status != COVEY_EAGAIN && !(create && errno == ENOENT)) {
            snprintf(why, why_size, "%s/%s: %s", p->dir, LOCK_START, strerror(errno));
            return status;
        }
        if (mono_ns() > deadline) {
            snprintf(why, why_size, "another start or stop of '%s' does not end", p->name);
            return COVEY_ETIMEOUT;
        }
        nap();
    }
}

/* Does somebody hold this lock?  Asks for it shared, so that two who look do
 * not take each other for a holder. */
static bool is_held(const struct places *p, const char *name)
{
    char path[PLACE_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0;
    close(fd);
    return held;
}

/* A handle of a daemon that holds its lock; -1: it does not live. */
static int find_daemon(const struct places *p, const char *file, const char *lock, pid_t *pid)
{
    *pid = is_held(p, lock) ? places_read_pid(p, file) : 0;
    int fd = *pid ? (int)syscall(SYS_pidfd_open, *pid, 0) : -1;
    /* Held before and after, by who wrote the file while holding it: so the
     * process that we have is that one. */
    if (fd >= 0 && is_held(p, lock) && places_read_pid(p, file) == *pid)
        return fd;
    if (fd >= 0)
        close(fd);
    *pid = 0;
    return -1;
}

/* Who lives there.  With lock.start held, since looking takes the daemons'
 * locks for a moment. */
static struct cluster_life look(const struct places *p)
{
    struct cluster_life life;
    int head = find_daemon(p, PLACES_HEAD_PID, PLACES_HEAD_LOCK, &life.head);
    int node = find_daemon(p, PLACES_NODE_PID, PLACES_NODE_LOCK, &life.node);
    if (head >= 0)
        close(head);
    if (node >= 0)
        close(node);
    return life;
}

/* ---- start ------------------------------------------------------------------------ */

/* Does something lie there that only a living daemon needs?  Locks alone are
 * nothing, and neither is the state, which COVEY_DIR puts inside. */
static bool has_leftovers(const struct places *p)
{
    bool found = false;
    DIR *dir = opendir(p->dir);
    for (struct dirent *e; dir && !found && (e = readdir(dir));)
        found = e->d_name[0] != '.' && strncmp(e->d_name, "lock", 4) != 0 &&
                strcmp(e->d_name, "ports") != 0 && strcmp(e->d_name, "state") != 0;
    if (dir)
        closedir(dir);
    return found;
}

/* Wait until what cleans up behind a dead daemon is done. */
static bool wait_for_locks(const struct places *p, int64_t deadline)
{
    while (is_held(p, PLACES_HEAD_LOCK) || is_held(p, PLACES_NODE_LOCK)) {
        if (mono_ns() > deadline)
            return false;
        nap();
    }
    return true;
}

static void tell_running(const struct places *p, struct cluster_life life, char *why,
                         size_t why_size)
{
    if (life.head && life.node)
        snprintf(why, why_size, "cluster '%s' is running already (head %d, node %d)", p->name,
                 (int)life.head, (int)life.node);
    else
        snprintf(why, why_size, "cluster '%s' runs only in part: its %s is dead", p->name,
                 life.head ? "node" : "head");
}

/* Hold lock.start of a directory in which nobody lives and nothing lies. */
static covey_status prepare(const struct places *p, int *lock_fd, char *why, size_t why_size)
{
    covey_status status = claim(p, true, lock_fd, why, why_size);
    if (status != COVEY_OK)
        return status;
    struct cluster_life life = look(p);
    if (life.head || life.node) {
        tell_running(p, life, why, why_size);
        close(*lock_fd);
        return COVEY_EREFUSED;
    }
    if (!wait_for_locks(p, mono_ns() + CLAIM_MS * MS_NS)) {
        snprintf(why, why_size, "what is left of cluster '%s' does not end", p->name);
        close(*lock_fd);
        return COVEY_EREFUSED;
    }
    if (!has_leftovers(p))
        return COVEY_OK;
    places_remove(p, false);
    close(*lock_fd);
    return claim(p, true, lock_fd, why, why_size);
}

static covey_status start_both(const struct places *p, const struct cluster_options *options,
                               struct launched *head, struct launched *node, char *why,
                               size_t why_size)
{
    int64_t deadline = mono_ns() + CLUSTER_START_MS * MS_NS;
    /* Side by side: the node serves without the head, and joins when it is there. */
    covey_status status = launch_daemon(head, "_head", p, options, why, why_size);
    if (status == COVEY_OK)
        status = launch_daemon(node, "_node", p, options, why, why_size);
    if (status == COVEY_OK)
        status = launch_wait_ready(head, deadline, why, why_size);
    if (status == COVEY_OK)
        status = launch_wait_ready(node, deadline, why, why_size);
    return status;
}

covey_status cluster_start(const struct places *p, const struct cluster_options *options,
                           struct cluster_life *out, char *why, size_t why_size)
{
    struct launched head = LAUNCHED_NONE, node = LAUNCHED_NONE;
    int lock_fd;
    covey_status status = prepare(p, &lock_fd, why, why_size);
    if (status != COVEY_OK)
        return status;
    status = start_both(p, options, &head, &node, why, why_size);
    if (status == COVEY_OK) {
        out->head = head.pid;
        out->node = node.pid;
    } else {
        launch_kill(&node);
        launch_kill(&head);
        wait_for_locks(p, mono_ns() + CLAIM_MS * MS_NS);
        places_remove(p, false);
    }
    launch_close(&head);
    launch_close(&node);
    close(lock_fd);
    return status;
}

/* ---- stop ------------------------------------------------------------------------- */

struct victims {
    int head_fd, node_fd;       /* pidfds; -1: dead already */
    struct query *query;        /* NULL: the node cannot be asked */
};

static void send_signal(int pidfd, int number)
{
    if (pidfd >= 0)
        syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

/* Tell both to end, by message where there is a node to speak through, else by
 * SIGTERM. */
static void ask_to_end(struct victims *v, const struct places *p, int64_t grace_ms)
{
    char why[256] = "";
    bool told_head = false, told_node = false;
    if (v->node_fd >= 0 && query_open(&v->query, p, ENTER_MS, why, sizeof why) == COVEY_OK) {
        if (v->head_fd >= 0)
            told_head = query_shutdown(v->query, ADDR_HEAD, grace_ms) == COVEY_OK;
        told_node = query_shutdown(v->query, query_node(v->query), grace_ms) == COVEY_OK;
    }
    if (!told_head)
        send_signal(v->head_fd, SIGTERM);
    if (!told_node)
        send_signal(v->node_fd, SIGTERM);
}

static bool is_gone(struct victims *v, int pidfd, int64_t deadline)
{
    return pidfd < 0 || query_wait(v->query, pidfd, deadline);
}

covey_status cluster_stop(const struct places *p, int64_t grace_ms, bool state_too, bool *killed,
                          char *why, size_t why_size)
{
    struct victims v = {-1, -1, NULL};
    pid_t head, node;
    int lock_fd = -1;
    *killed = false;
    if (access(p->dir, F_OK) != 0)
        return COVEY_ENOCLUSTER;
    covey_status status = claim(p, false, &lock_fd, why, why_size);
    if (status != COVEY_OK)
        return access(p->dir, F_OK) != 0 ? COVEY_ENOCLUSTER : status;
    v.head_fd = find_daemon(p, PLACES_HEAD_PID, PLACES_HEAD_LOCK, &head);
    v.node_fd = find_daemon(p, PLACES_NODE_PID, PLACES_NODE_LOCK, &node);
    bool was_there = head || node || has_leftovers(p);

    ask_to_end(&v, p, grace_ms);
    int64_t deadline = mono_ns() + (grace_ms + CLUSTER_LEAVE_MS) * MS_NS;
    bool node_gone = is_gone(&v, v.node_fd, deadline);
    bool head_gone = is_gone(&v, v.head_fd, deadline);
    if (!node_gone || !head_gone) {
        *killed = true;
        send_signal(v.node_fd, SIGKILL);
        send_signal(v.head_fd, SIGKILL);
    }
    query_close(&v.query);
    if (wait_for_locks(p, mono_ns() + CLUSTER_LEAVE_MS * MS_NS)) {
        places_remove(p, state_too);
        status = was_there ? COVEY_OK : COVEY_ENOCLUSTER;
    } else {
        snprintf(why, why_size, "a process of cluster '%s' does not end", p->name);
        status = COVEY_ETIMEOUT;
    }
    if (v.head_fd >= 0)
        close(v.head_fd);
    if (v.node_fd >= 0)
        close(v.node_fd);
    close(lock_fd);
    return status;
}

/* ---- private clusters ----------------------------------------------------------------- */

void cluster_private_name(char out[CLUSTER_NAME_MAX])
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint64_t)mono_ns();
    snprintf(out, CLUSTER_NAME_MAX, CLUSTER_PRIVATE_PREFIX "%d-%08x", (int)getpid(), (unsigned)random);
}

static bool is_private(const char *name)
{
    return strncmp(name, CLUSTER_PRIVATE_PREFIX, strlen(CLUSTER_PRIVATE_PREFIX)) == 0;
}

/* Call @fn with each place of a private cluster beside @p, whatever became of it. */
static void each_private(const struct places *p, void (*fn)(const struct places *other, void *arg), void *arg)
{
    char parent[PLACE_MAX], why[256];
    struct places other;
    snprintf(parent, sizeof parent, "%s", p->dir);
    *strrchr(parent, '/') = 0;
    DIR *dir = opendir(parent);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (is_private(e->d_name) && strcmp(e->d_name, p->name) != 0 &&
            places_find(&other, e->d_name, why, sizeof why) == COVEY_OK)
            fn(&other, arg);
    if (dir)
        closedir(dir);
}

/* Remove @p if nobody lives there.  Its start may be under way: then it holds
 * lock.start, and we leave it alone. */
static void sweep_one(const struct places *p, void *arg)
{
    int fd;
    (void)arg;
    if (access(p->dir, F_OK) != 0 || places_lock(p, LOCK_START, &fd) != COVEY_OK)
        return;
    if (!is_held(p, PLACES_HEAD_LOCK) && !is_held(p, PLACES_NODE_LOCK))
        places_remove(p, true);
    close(fd);
}

void cluster_sweep(const struct places *p) { each_private(p, sweep_one, NULL); }

/* ---- who they are there for ------------------------------------------------------------ */

static void tell(const char *dir, const char *file, const char *text)
{
    char path[PLACE_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;                 /* for people alone: nobody waits for it */
    dprintf(fd, "%s", text);
    close(fd);
}

void cluster_tell_owner(const struct places *p, pid_t owner)
{
    char text[32];
    snprintf(text, sizeof text, "%d\n", (int)owner);
    tell(p->dir, OWNER_FILE, text);
}

void cluster_tell_sweep(covey *c, const char *sweep)
{
    const char *slash = strrchr(c->dir, '/');
    if (slash && is_private(slash + 1))
        tell(c->dir, SWEEP_FILE, sweep);
}

/* What was told, "" if nothing was. */
static void read_told(const struct places *p, const char *file, char *out, size_t size)
{
    char path[PLACE_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", p->dir, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : 0;
    out[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
}

struct privates { struct cluster_private *out; size_t max, count; };

/* Its owner is told when it is ready, so the lock that is_held() takes for a moment is in
 * nobody's way. */
static void find_one(const struct places *p, void *arg)
{
    struct privates *found = arg;
    struct cluster_private one = {.owner = 0};
    struct stat st;
    if (lstat(p->dir, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return;
    one.owner = places_read_pid(p, OWNER_FILE);
    if (one.owner == 0 || !is_held(p, PLACES_NODE_LOCK))
        return;
    read_told(p, SWEEP_FILE, one.sweep, sizeof one.sweep);
    memcpy(one.name, p->name, sizeof one.name);
    if (found->count < found->max)
        found->out[found->count] = one;
    found->count++;
}

size_t cluster_privates(const struct places *p, struct cluster_private *out, size_t max)
{
    struct privates found = {.out = out, .max = max};
    each_private(p, find_one, &found);
    return found.count;
}
