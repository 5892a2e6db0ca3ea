/* sweep_detach.c - see sweep_detach.h for the contract. */
#include "sweep_detach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TERMINAL_FD_MIN 10      /* out of the way of those that a shell has opened */

struct detached {
    int caller_fd;              /* owned: a pipe's end; -1: it was told */
    int terminal_fd;            /* owned: standard error as it was; -1: it still is */
};

/* What the runner said, or how it ended. */
static int wait_for(const struct cli *cli, pid_t runner, int fd)
{
    char dir[PATH_MAX + 2];
    size_t size = 0;
    int status;
    for (ssize_t n = 1; n != 0 && size < sizeof dir - 1; size += n > 0 ? (size_t)n : 0) {
        n = read(fd, dir + size, sizeof dir - 1 - size);
        if (n < 0 && errno != EINTR)
            break;
    }
    close(fd);
    dir[size] = 0;
    if (size > 0) {
        printf("%s\n", dir);
        return STATUS_OK;
    }
    while (waitpid(runner, &status, 0) < 0)
        if (errno != EINTR)
            return cli_fail(cli, STATUS_WORK, NULL, "the runner is lost: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return WEXITSTATUS(status);     /* it has said why */
    return cli_fail(cli, STATUS_WORK, NULL, "the runner ended before the sweep began");
}

bool detached_new(struct detached **out, const struct cli *cli, int *exit)
{
    int fds[2];
    struct detached *d = calloc(1, sizeof *d);
    if (!d || pipe2(fds, O_CLOEXEC) != 0) {
        *exit = cli_fail(cli, STATUS_WORK, NULL, "cannot go to the background: %s", strerror(errno));
        free(d);
        return false;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid != 0) {
        close(fds[1]);
        free(d);
        if (pid > 0) {
            *exit = wait_for(cli, pid, fds[0]);
        } else {
            close(fds[0]);
            *exit = cli_fail(cli, STATUS_WORK, NULL, "cannot go to the background: %s", strerror(errno));
        }
        return false;
    }
    setsid();
    close(fds[0]);
    *d = (struct detached){.caller_fd = fds[1], .terminal_fd = -1};
    *out = d;
    return true;
}

bool detached_to_log(struct detached *d, const char *dir)
{
    char path[PATH_MAX];
    bool fits = (size_t)snprintf(path, sizeof path, "%s/runner.log", dir) < sizeof path;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log = fits ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    int terminal = log >= 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, TERMINAL_FD_MIN) : -1;
    fflush(NULL);
    bool done = null >= 0 && log >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0 &&
                dup2(log, STDERR_FILENO) >= 0;
    int error = errno;
    if (null >= 0)
        close(null);
    if (log >= 0)
        close(log);
    d->terminal_fd = terminal;
    if (!done)
        detached_failed(d);
    errno = error;
    return done;
}

void detached_failed(struct detached *d)
{
    fflush(NULL);
    if (d->terminal_fd >= 0)
        dup2(d->terminal_fd, STDERR_FILENO);
}

void detached_begun(struct detached *d, const char *dir)
{
    if (d->caller_fd < 0)
        return;
    /* A caller who is gone meanwhile does not hear it. */
    (void)!write(d->caller_fd, dir, strlen(dir));
    close(d->caller_fd);
    d->caller_fd = -1;
    if (d->terminal_fd >= 0)
        close(d->terminal_fd);
    d->terminal_fd = -1;
}

void detached_free(struct detached **dp)
{
    struct detached *d = *dp;
    *dp = NULL;
    if (!d)
        return;
    if (d->caller_fd >= 0)
        close(d->caller_fd);
    if (d->terminal_fd >= 0)
        close(d->terminal_fd);
    free(d);
}
