/* launch.c - see launch.h for the contract. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "argv.h"
#include "io/mono.h"
#include "io/ready.h"

#define READY_FD 3              /* in the daemon */
#define LAST_WORDS_BYTES 1024   /* of the log, shown when a daemon does not start */
#define TERM_MS 1000

/* In the child: become the daemon.  Does not return. */
static void become_daemon(char *const argv[], int ready_fd, int log_fd, bool bound,
                          pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    /* The parent may have died before the kernel knew what to do about it. */
    if (bound && (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent))
        _exit(1);
    int null_fd = open("/dev/null", O_RDONLY);
    /* Above all targets first, so that none is overwritten before it is moved. */
    ready_fd = fcntl(ready_fd, F_DUPFD, READY_FD + 1);
    log_fd = fcntl(log_fd, F_DUPFD, READY_FD + 1);
    if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0 ||
        dup2(ready_fd, READY_FD) < 0)
        _exit(1);
    close_range(READY_FD + 1, ~0u, 0);
    umask(077);
    unsetenv("COVEY_ADDRESS");
    execv("/proc/self/exe", argv);
    dprintf(2, "cannot execute the covey command: %s\n", strerror(errno));
    _exit(1);
}

/* STATE/node.log, the one of the run before as node.log.old. */
static int open_log(struct launched *d, const char *command, const struct places *p)
{
    char old[sizeof d->log + 8];
    snprintf(d->log, sizeof d->log, "%s/%s.log", p->state, command + 1);
    snprintf(old, sizeof old, "%s.old", d->log);
    if (rename(d->log, old) != 0 && errno != ENOENT)
        return -1;
    return open(d->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

covey_status launch_daemon(struct launched *d, const char *command, const struct places *p,
                          const struct cluster_options *options, char *why, size_t why_size)
{
    struct argv argv = {0};
    int ready[2] = {-1, -1};
    pid_t parent = getpid();
    *d = LAUNCHED_NONE;
    argv_add(&argv, "covey");
    argv_add(&argv, "%s", command);
    argv_add(&argv, "--name=%s", p->name);
    argv_add(&argv, "--ready-fd=%d", READY_FD);
    if (strcmp(command, "_node") == 0)
        argv_add_options(&argv, options);
    int log_fd = open_log(d, command, p);
    if (log_fd < 0 || pipe2(ready, O_CLOEXEC) != 0) {
        snprintf(why, why_size, "%s: %s", log_fd < 0 ? d->log : "pipe", strerror(errno));
        if (log_fd >= 0)
            close(log_fd);
        return COVEY_ESYSTEM;
    }
    fflush(NULL);
    d->pid = fork();
    if (d->pid == 0)
        become_daemon(argv.list, ready[1], log_fd, options->bound, parent);
    close(ready[1]);
    close(log_fd);
    d->ready_fd = ready[0];
    if (d->pid < 0) {
        snprintf(why, why_size, "fork: %s", strerror(errno));
        return COVEY_ESYSTEM;
    }
    /* Ours, and not reaped before launch_kill(): the pid cannot be another's. */
    d->pidfd = (int)syscall(SYS_pidfd_open, d->pid, 0);
    return COVEY_OK;
}

/* The end of the daemon's log, as one line. */
static void last_words(const struct launched *d, char *out, size_t size)
{
    char text[LAST_WORDS_BYTES];
    int fd = open(d->log, O_RDONLY | O_CLOEXEC);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    off_t from = end > (off_t)sizeof text - 1 ? end - (off_t)sizeof text + 1 : 0;
    ssize_t n = fd >= 0 ? pread(fd, text, sizeof text - 1, from) : 0;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = 0;
    const char *line = strrchr(text, '\n');
    snprintf(out, size, "%.*s", (int)size - 1, line ? line + 1 : text);
}

/* What the daemon says, without the line's end: "ready", "failed: WHY", or ""
 * if it ended without a word.  False: it said nothing until @deadline. */
static bool read_word(int fd, int64_t deadline, char *word, size_t size)
{
    size_t len = 0;
    word[0] = 0;
    while (len < size - 1 && !strchr(word, '\n')) {
        struct pollfd p = {fd, POLLIN, 0};
        int ready = poll(&p, 1, mono_poll_ms(deadline));
        if (ready == 0)
            return false;
        ssize_t n = ready > 0 ? read(fd, word + len, size - 1 - len) : -1;
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        len += n > 0 ? (size_t)n : 0;
        word[len] = 0;
    }
    word[strcspn(word, "\n")] = 0;
    return true;
}

covey_status launch_wait_ready(struct launched *d, int64_t deadline, char *why, size_t why_size)
{
    char word[512];
    if (!read_word(d->ready_fd, deadline, word, sizeof word)) {
        snprintf(why, why_size, "no word within %d s; see %s", CLUSTER_START_MS / 1000, d->log);
        return COVEY_ETIMEOUT;
    }
    if (strcmp(word, READY_WORD) == 0)
        return COVEY_OK;
    bool failed = strncmp(word, READY_FAILED, strlen(READY_FAILED)) == 0;
    const char *told = failed ? word + strlen(READY_FAILED) : word;
    if (!*told) {
        last_words(d, word, sizeof word);
        told = word;
    }
    snprintf(why, why_size, "%s%s(log: %s)", told, *told ? " " : "", d->log);
    return COVEY_ESYSTEM;
}

void launch_kill(struct launched *d)
{
    if (d->pid <= 0)
        return;
    struct pollfd p = {d->pidfd, POLLIN, 0};
    kill(d->pid, SIGTERM);
    if (d->pidfd < 0 || poll(&p, 1, TERM_MS) <= 0)
        kill(d->pid, SIGKILL);
    while (waitpid(d->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    d->pid = 0;
}

void launch_close(struct launched *d)
{
    if (d->ready_fd >= 0)
        close(d->ready_fd);
    if (d->pidfd >= 0)
        close(d->pidfd);
    d->ready_fd = d->pidfd = -1;
}
