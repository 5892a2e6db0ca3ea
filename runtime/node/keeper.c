/* keeper.c - the node's side of the keeper; see keeper.h for the contract. */
#include "node/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "io/places.h"
#include "node/keeper_wire.h"

struct keeper {
    int sock;       /* owned */
    pid_t pid;
};

/* Everything beyond standard error but these two. */
static void close_others(int a, int b)
{
    unsigned low = (unsigned)(a < b ? a : b), high = (unsigned)(a < b ? b : a);
    if (a < 0 || b < 0)
        low = high = (unsigned)(a < 0 ? b : a);
    if (low > 3)
        close_range(3, low - 1, 0);
    if (high > low + 1)
        close_range(low + 1, high - 1, 0);
    close_range(high + 1, ~0u, 0);
}

covey_status keeper_start(struct keeper **out, const char *dir, uint32_t node, int lock_fd)
{
    struct keeper *keeper = calloc(1, sizeof *keeper);
    if (!keeper)
        return COVEY_ENOMEM;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(keeper);
        return COVEY_ESYSTEM;
    }
    /* The child must not see a signal before its handlers are in place. */
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    pid_t pid = fork();
    if (pid == 0) {
        close_others(pair[1], lock_fd);
        keeper_main(pair[1], dir, node);
    }
    int error = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        free(keeper);
        errno = error;
        return COVEY_ESYSTEM;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    keeper->sock = pair[0];
    keeper->pid = pid;
    *out = keeper;
    return COVEY_OK;
}

bool keeper_close(struct keeper **keeper, int64_t wait_ms)
{
    struct keeper *k = *keeper;
    if (!k)
        return true;
    *keeper = NULL;
    /* Its end of file comes when it has ended; what it still says is skipped. */
    shutdown(k->sock, SHUT_WR);
    bool ended = false;
    struct pollfd p = {.fd = k->sock, .events = POLLIN};
    while (!ended && poll(&p, 1, (int)wait_ms) > 0) {
        struct keeper_event skipped;
        ssize_t n = recv(k->sock, &skipped, sizeof skipped, MSG_DONTWAIT);
        ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    }
    close(k->sock);
    if (ended)
        waitpid(k->pid, NULL, 0);
    free(k);
    return ended;
}

int keeper_fd(const struct keeper *keeper) { return keeper->sock; }
pid_t keeper_pid(const struct keeper *keeper) { return keeper->pid; }

static covey_status send_request(struct keeper *k, const struct keeper_request *request,
                                 const int *fds, size_t fd_count)
{
    struct iovec iov = {(void *)(uintptr_t)request, sizeof *request};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(KEEPER_SPAWN_FDS * sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    assert(fd_count <= KEEPER_SPAWN_FDS);
    if (fd_count > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(k->sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return COVEY_OK;
    if (errno == EPIPE || errno == ECONNRESET)
        return COVEY_ECLOSED;
    /* ETOOMANYREFS and ENOBUFS pass as the keeper takes what is queued. */
    return COVEY_EAGAIN;
}

/* NUL-separated strings, whether or not the last one has its NUL. */
static uint32_t count_strings(struct span s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s.len; i++)
        count += s.data[i] == '\0';
    return count + (s.len > 0 && s.data[s.len - 1] != '\0');
}

static bool write_strings(int fd, struct span s)
{
    bool needs_end = s.len > 0 && s.data[s.len - 1] != '\0';
    return file_write(fd, s.data, s.len) && (!needs_end || file_write(fd, "", 1));
}

covey_status keeper_spawn(struct keeper *k, const struct keeper_spawn *s)
{
    assert(s->path && s->argv.len > 0);
    const char *cwd = s->cwd ? s->cwd : "";
    size_t bytes = strlen(s->path) + strlen(cwd) + s->argv.len + s->env.len + 4;
    if (bytes > KEEPER_STRINGS_MAX)
        return COVEY_ETOOBIG;
    int strings = memfd_create("covey-strings", MFD_CLOEXEC);
    if (strings < 0)
        return COVEY_ENOMEM;
    covey_status status = COVEY_ENOMEM;
    if (file_write(strings, s->path, strlen(s->path) + 1) && file_write(strings, cwd, strlen(cwd) + 1)
        && write_strings(strings, s->argv) && write_strings(strings, s->env)) {
        struct keeper_request request = {
            .kind = KEEPER_DO_SPAWN, .id = s->id, .proc = s->proc,
            .strings_bytes = (uint32_t)lseek(strings, 0, SEEK_CUR),
            .argv_count = count_strings(s->argv), .env_count = count_strings(s->env),
            .has_cwd = s->cwd != NULL,
        };
        int fds[KEEPER_SPAWN_FDS] = {strings, s->out_fd, s->err_fd, s->control_fd};
        status = send_request(k, &request, fds, KEEPER_SPAWN_FDS);
    }
    close(strings);
    return status;
}

covey_status keeper_kill(struct keeper *k, uint64_t id, int signal_number)
{
    struct keeper_request request = {
        .kind = KEEPER_DO_KILL, .id = id, .signal_number = signal_number};
    return send_request(k, &request, NULL, 0);
}

covey_status keeper_sweep(struct keeper *k, uint32_t proc, pid_t pid)
{
    struct keeper_request request = {.kind = KEEPER_DO_SWEEP, .proc = proc, .pid = pid};
    return send_request(k, &request, NULL, 0);
}

covey_status keeper_next(struct keeper *k, struct keeper_event *out)
{
    ssize_t n;
    do
        n = recv(k->sock, out, sizeof *out, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof *out)
        return COVEY_OK;
    return n < 0 && errno == EAGAIN ? COVEY_EAGAIN : COVEY_ECLOSED;
}

/* What begins with @prefix; with @daemon also what the node itself leaves. */
static void remove_named(const char *dir, const char *prefix, bool daemon)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        bool ours = strncmp(e->d_name, prefix, strlen(prefix)) == 0
                    || (daemon && (strcmp(e->d_name, "door") == 0 || strcmp(e->d_name, PLACES_NODE_PID) == 0));
        if (ours)
            unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
}

void keeper_remove_sockets(const char *dir, uint32_t node)
{
    char prefix[16];
    snprintf(prefix, sizeof prefix, "%u.", (unsigned)node);
    remove_named(dir, prefix, true);
}

void keeper_remove_reports(const char *dir, uint32_t node, uint32_t proc)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "%u.%u.", (unsigned)node, (unsigned)proc);
    remove_named(dir, prefix, false);
}
