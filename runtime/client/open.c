/* open.c - into a cluster and out again: covey_init, covey_open, covey_close.
 *
 * Where to: what the caller says, else $COVEY_ADDRESS, else this user's running
 * cluster, else a private one: `covey _private` is started with a pipe that it
 * holds on to; when this process ends, however it ends, so does the cluster. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/package.h"
#include "client/process.h"
#include "io/door.h"
#include "io/mono.h"
#include "io/places.h"
#include "worker/run.h"
#include "worker/zygote.h"

#define OPEN_WAIT_MS 10000
#define CLOSE_WAIT (2 * SECOND_NS)      /* for running tasks to end */
#define CLUSTER_END_MS 3000

extern char **environ;

/* ---- a private cluster ------------------------------------------------------------------ */

static bool executable(const char *path) { return access(path, X_OK) == 0; }

/* $COVEY_BIN, else beside this program or one above, else in PATH. */
static bool find_command(char *out, size_t size)
{
    const char *named = getenv("COVEY_BIN");
    if (named && *named) {
        snprintf(out, size, "%s", named);
        return executable(out);
    }
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = 0;
        for (int up = 0; up < 2; up++) {
            char *slash = strrchr(self, '/');
            if (!slash)
                break;
            *slash = 0;
            if ((size_t)snprintf(out, size, "%s/covey", self) < size && executable(out))
                return true;
        }
    }
    const char *path = getenv("PATH");
    for (const char *at = path; at && *at;) {
        size_t len = strcspn(at, ":");
        if ((size_t)snprintf(out, size, "%.*s/covey", (int)len, at) < size && executable(out))
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

/* The line that `covey _private` prints when it is ready, or why it is not. */
static bool read_line(int fd, char *line, size_t size)
{
    size_t len = 0;
    int64_t deadline = mono_ns() + OPEN_WAIT_MS * MS_NS;
    while (len < size - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, mono_poll_ms(deadline));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || read(fd, line + len, 1) != 1)
            return false;
        if (line[len] == '\n') {
            line[len] = 0;
            return true;
        }
        len++;
    }
    return false;
}

static void put_option(char **argv, int *argc, char room[][48], const char *name, const char *format, double value)
{
    if (value <= 0)
        return;
    argv[*argc] = (char *)(uintptr_t)name;
    snprintf(room[*argc], sizeof(room[0]), format, value);
    argv[*argc + 1] = room[*argc];
    *argc += 2;
}

static pid_t spawn_cluster(const char *command, const covey_open_opts *o, int life, int ready)
{
    char *argv[20], room[20][48];
    int argc = 0;
    argv[argc++] = (char *)(uintptr_t)command;
    argv[argc++] = "_private";
    put_option(argv, &argc, room, "--fd", "%.0f", life);
    put_option(argv, &argc, room, "--cpus", "%g", o->cpus);
    put_option(argv, &argc, room, "--gpus", "%g", o->gpus);
    put_option(argv, &argc, room, "--store", "%.0f", (double)o->store_bytes);
    put_option(argv, &argc, room, "--memory", "%.0f", (double)o->memory_bytes);
    put_option(argv, &argc, room, "--processes", "%.0f", o->processes_max);
    argv[argc] = NULL;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready, STDOUT_FILENO);
    pid_t pid;
    int error = posix_spawn(&pid, command, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    errno = error;
    return error ? -1 : pid;
}

/* Starts it and says where it is; *@pid and *@fd are its life. */
static covey_status start_private(const covey_open_opts *o, char *dir, size_t dir_size, pid_t *pid, int *fd)
{
    char command[PATH_MAX], line[1024];
    if (!find_command(command, sizeof(command))) {
        error_set("no cluster is running, and the covey command to start one is neither beside this program nor in "
                  "PATH; run \"covey start\", or set COVEY_BIN to the command");
        return COVEY_ENOCLUSTER;
    }
    int life[2], ready[2];
    if (pipe2(life, O_CLOEXEC) != 0)
        return COVEY_ESYSTEM;
    if (pipe2(ready, O_CLOEXEC) != 0) {
        close(life[0]);
        close(life[1]);
        return COVEY_ESYSTEM;
    }
    fcntl(life[0], F_SETFD, 0);         /* the one end that the cluster keeps */
    *pid = spawn_cluster(command, o, life[0], ready[1]);
    close(life[0]);
    close(ready[1]);
    char *space = NULL;
    bool ok = *pid > 0 && read_line(ready[0], line, sizeof(line)) && strncmp(line, "error ", 6) != 0 &&
              (space = strchr(line, ' ')) != NULL;
    close(ready[0]);
    if (ok) {
        snprintf(dir, dir_size, "%s", space + 1);
        *fd = life[1];
        return COVEY_OK;
    }
    error_set("a private cluster did not start (%s): %s", command,
              *pid > 0 ? (strncmp(line, "error ", 6) == 0 ? line + 6 : "it ended without a word") : strerror(errno));
    close(life[1]);
    if (*pid > 0)
        waitpid(*pid, NULL, 0);
    return COVEY_ENOCLUSTER;
}

static void end_private(pid_t pid, int fd)
{
    close(fd);                          /* it hears that, and ends */
    for (int waited = 0; waited < CLUSTER_END_MS; waited += 5) {
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return;
        poll(NULL, 0, 5);
    }
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
}

/* ---- open -------------------------------------------------------------------------------- */

static bool listening(const char *dir)
{
    int fd;
    if (door_connect(&fd, dir, 100) != COVEY_OK)
        return false;
    close(fd);
    return true;
}

static covey_status find_dir(const covey_open_opts *o, char *dir, size_t size, pid_t *pid, int *fd)
{
    char why[512] = "";
    struct places places;
    const char *address = o->address ? o->address : getenv("COVEY_ADDRESS");
    if (o->private_cluster)
        return start_private(o, dir, size, pid, fd);
    covey_status status = address && *address ? places_of_address(&places, address, why, sizeof(why))
                                              : places_find(&places, NULL, why, sizeof(why));
    if (status != COVEY_OK) {
        error_set("%s", why);
        return status;
    }
    snprintf(dir, size, "%s", places.dir);
    if ((address && *address) || listening(dir))
        return COVEY_OK;
    return start_private(o, dir, size, pid, fd);
}

covey *covey_open(const covey_open_opts *opts)
{
    if (zygote_marked())
        worker_main();
    error_clear();
    covey_open_opts o = {0};
    if (opts && (opts->size == 0 || opts->size > sizeof(o))) {
        error_set("covey_open: size = %zu; set it to sizeof(covey_open_opts)", opts->size);
        return NULL;
    }
    if (opts)
        memcpy(&o, opts, opts->size);
    if (!(o.cpus >= 0) || !(o.gpus >= 0)) {
        error_set("covey_open: cpus = %g and gpus = %g are not negative", o.cpus, o.gpus);
        return NULL;
    }
    char dir[512];
    pid_t pid = 0;
    int fd = -1;
    if (find_dir(&o, dir, sizeof(dir), &pid, &fd) != COVEY_OK)
        return NULL;
    struct msg_door_hello hello = {.version = WIRE_VERSION, .role = ROLE_CLIENT,
                                   .name = span_str(program_invocation_short_name)};
    covey *c;
    if (process_open(&c, dir, &hello, 0) != COVEY_OK) {
        if (pid > 0)
            end_private(pid, fd);
        return NULL;
    }
    pthread_mutex_lock(&c->lock);
    c->cluster_pid = pid;
    c->cluster_fd = fd;
    c->quiet = o.quiet;
    covey_status status = package_tell(c);  /* early: workers start meanwhile */
    process_flush(c, c->now);
    process_after(c, mono_ns());
    pthread_mutex_unlock(&c->lock);
    if (status != COVEY_OK)
        covey_close(&c);
    return c;
}

covey *covey_init(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return covey_open(NULL);
}

/* ---- close --------------------------------------------------------------------------------- */

static bool all_ended(covey *c, void *ctx)
{
    (void)ctx;
    return !owner_busy(c->owner);
}

void covey_close(covey **handle)
{
    if (!handle || process_enter(*handle) != COVEY_OK)
        return;
    covey *c = *handle;
    c->now = mono_ns();
    owner_leave(c->owner, c->now);
    if (!c->broken)
        (void)process_wait(c, all_ended, NULL, c->now + CLOSE_WAIT, false);
    store_close_extents(c->store);
    process_flush(c, mono_ns());
    pid_t pid = c->cluster_pid;
    int fd = c->cluster_fd;
    process_leave(c);
    process_close(c);
    *handle = NULL;
    if (pid > 0)
        end_private(pid, fd);
}

double covey_cpus(covey *c) { return c ? c->node_cpus : 0; }

double covey_gpus(covey *c) { return c ? c->node_gpus : 0; }
