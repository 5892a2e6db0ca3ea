/* help_run.c - see help_run.h for the contract.
 *
 * The end of its output is no sign, since a child left behind may hold it open;
 * its pidfd is.  It is reaped after its group was killed, so that the number still
 * means that group.
 */
#include "sweep/spec/help_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define CHUNK 16384

/* Wide enough that nothing is wrapped, and without colours. */
static void set_environment(void)
{
    setenv("COLUMNS", "200", 1);
    setenv("NO_COLOR", "1", 1);
    setenv("TERM", "dumb", 1);
    setenv("PYTHONIOENCODING", "utf-8", 0);
}

/* In a group of its own it does not get the terminal's Ctrl-C, so it ends with who asked. */
__attribute__((noreturn)) static void become(char *const argv[], pid_t parent, int out, int failed)
{
    int null = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(127);
    set_environment();
    if (null >= 0 && dup2(null, 0) >= 0 && dup2(out, 1) >= 0 && dup2(out, 2) >= 0)
        execvp(argv[0], argv);
    int why = errno;
    (void)!write(failed, &why, sizeof why);
    _exit(127);
}

/* What has come; false: nothing more will. */
static bool drain(int fd, struct text *t, size_t bytes)
{
    char chunk[CHUNK];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        text_add(t, chunk, (size_t)n);
        if (t->len > bytes || t->failed)
            return true;
    }
}

static enum help_end listen_to(int fd, int pidfd, struct text *out, int ms, size_t bytes)
{
    int64_t end_ms = clock_mono_ms() + ms;
    bool open = true;
    for (;;) {
        int64_t left_ms = end_ms - clock_mono_ms();
        struct pollfd fds[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = open ? fd : -1, .events = POLLIN}};
        if (left_ms <= 0)
            return HELP_LATE;
        if (poll(fds, 2, (int)left_ms) < 0 && errno != EINTR)
            return HELP_LATE;
        open = open && drain(fd, out, bytes);
        if (out->len > bytes || out->failed)
            return HELP_TOO_LONG;
        if (fds[0].revents)
            return HELP_EXITED;
    }
}

/* Kill all of it, and learn how it ended. */
static int reap(pid_t pid)
{
    int status = 0;
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The errno of an execvp() that failed; 0: it went well. */
static int read_failure(int fd)
{
    int why = 0;
    ssize_t n;
    while ((n = read(fd, &why, sizeof why)) < 0 && errno == EINTR)
        continue;
    return n == sizeof why ? why : 0;
}

static void run_in(struct help_result *out, char *const argv[], int pipes[2], int failed[2], int ms, size_t bytes)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(argv, parent, pipes[1], failed[1]);
    close(pipes[1]);
    close(failed[1]);
    pipes[1] = failed[1] = -1;
    if (pid < 0) {
        out->status = errno;
        return;
    }
    setpgid(pid, pid);          /* whoever of both comes first */
    int why = read_failure(failed[0]);
    int pidfd = why == 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (why == 0 && pidfd < 0)
        why = errno;
    if (why == 0)
        out->end = listen_to(pipes[0], pidfd, &out->out, ms, bytes);
    int status = reap(pid);
    out->status = why ? why : status;
    if (pidfd >= 0)
        close(pidfd);
}

void help_run(struct help_result *out, char *const argv[], int ms, size_t bytes)
{
    int pipes[2] = {-1, -1}, failed[2] = {-1, -1};
    *out = (struct help_result){.end = HELP_NOT_RUN};
    if (pipe2(pipes, O_CLOEXEC) == 0 && pipe2(failed, O_CLOEXEC) == 0 &&
        fcntl(pipes[0], F_SETFL, O_NONBLOCK) == 0)
        run_in(out, argv, pipes, failed, ms, bytes);
    else
        out->status = errno;
    for (int i = 0; i < 2; i++) {
        if (pipes[i] >= 0)
            close(pipes[i]);
        if (failed[i] >= 0)
            close(failed[i]);
    }
}

void help_result_fini(struct help_result *r) { text_fini(&r->out); }
