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

#include "launch.h"
#include "io/mono.h"
#include "query.h"

#define LOCK_START "lock.start"
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

/* Remove @p if nobody lives there.  Its start may be under way: then it holds
 * lock.start, and we leave it alone. */
static void sweep_one(const struct places *p)
{
    int fd;
    if (access(p->dir, F_OK) != 0 || places_lock(p, LOCK_START, &fd) != COVEY_OK)
        return;
    if (!is_held(p, PLACES_HEAD_LOCK) && !is_held(p, PLACES_NODE_LOCK))
        places_remove(p, true);
    close(fd);
}

void cluster_sweep(const struct places *p)
{
    char parent[PLACE_MAX], why[256];
    struct places other;
    snprintf(parent, sizeof parent, "%s", p->dir);
    *strrchr(parent, '/') = 0;
    DIR *dir = opendir(parent);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strncmp(e->d_name, CLUSTER_PRIVATE_PREFIX, strlen(CLUSTER_PRIVATE_PREFIX)) == 0 &&
            strcmp(e->d_name, p->name) != 0 &&
            places_find(&other, e->d_name, why, sizeof why) == COVEY_OK)
            sweep_one(&other);
    if (dir)
        closedir(dir);
}
