/* cmd_run.c - covey run PROGRAM: the program as a child of this terminal, with
 * a cluster to use.
 *
 * Where none runs, one is started for it by `covey _private`, and ends with it:
 * its life hangs on a pipe that only this process holds.
 *
 * Signals.  What comes from the terminal reaches the program by itself, since
 * it is of the same process group; what somebody sends to this process alone is
 * passed on.  So the program decides what Ctrl-C means, and this process waits
 * for it and returns its status.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "argv.h"
#include "cmd.h"
#include "io/door.h"

#define LOOK_MS 1000            /* for a node that is there to take our call */

/* A cluster of our own: the process that keeps it and the pipe it hangs on. */
struct keeping {
    pid_t pid;                  /* 0: none */
    int life_fd;
};

static bool is_running(const struct places *p)
{
    int fd;
    if (door_connect(&fd, p->dir, LOOK_MS) != COVEY_OK)
        return false;
    close(fd);
    return true;
}

/* ---- a cluster for the time of the run --------------------------------------------- */

static void exec_private(const struct cli *cli, const struct cluster_options *o, int life_fd,
                         int answer_fd)
{
    struct argv argv = {0};
    dup2(answer_fd, 1);
    fcntl(life_fd, F_SETFD, 0);
    argv_add(&argv, "covey");
    argv_add(&argv, "_private");
    argv_add(&argv, "--fd=%d", life_fd);
    if (cli->name)
        argv_add(&argv, "--name=%s", cli->name);
    argv_add_options(&argv, o);
    execv("/proc/self/exe", argv.list);
    dprintf(1, "error cannot execute the covey command: %s\n", strerror(errno));
    _exit(1);
}

/* The one line that it answers with, without its end; "" if it just ended. */
static void read_line(int fd, char *line, size_t size)
{
    size_t len = 0;
    ssize_t n = 1;
    while (len < size - 1 && n != 0) {
        n = read(fd, line + len, size - 1 - len);
        if (n < 0 && errno != EINTR)
            break;
        len += n > 0 ? (size_t)n : 0;
        if (memchr(line, '\n', len))
            break;
    }
    line[len] = 0;
    line[strcspn(line, "\n")] = 0;
}

static int start_private(const struct cli *cli, const struct cluster_options *o,
                         struct keeping *keeping, char name[CLUSTER_NAME_MAX])
{
    int life[2], answer[2];
    char line[PLACE_MAX * 2];
    if (pipe2(life, O_CLOEXEC) != 0 || pipe2(answer, O_CLOEXEC) != 0)
        return cli_fail(cli, STATUS_WORK, NULL, "pipe: %s", strerror(errno));
    keeping->pid = fork();
    if (keeping->pid == 0)
        exec_private(cli, o, life[0], answer[1]);
    close(life[0]);
    close(answer[1]);
    keeping->life_fd = life[1];
    read_line(answer[0], line, sizeof line);
    close(answer[0]);
    if (sscanf(line, "%32s", name) != 1 || strncmp(line, "error", 5) == 0)
        return cli_fail(cli, STATUS_WORK, "covey doctor tells what this machine lacks.",
                        "no cluster could be started: %s", strncmp(line, "error ", 6) ? line : line + 6);
    cli_detail(cli, "cluster '%s' for this run", name);
    return CLI_GO;
}

static void end_private(struct keeping *keeping)
{
    if (keeping->pid <= 0)
        return;
    close(keeping->life_fd);
    while (waitpid(keeping->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---- the program ------------------------------------------------------------------------ */

static void exec_program(const char *cluster, char **argv, const sigset_t *mask, int errno_fd)
{
    char address[CLUSTER_NAME_MAX + 8], self[PLACE_MAX];
    snprintf(address, sizeof address, "local:%s", cluster);
    setenv("COVEY_ADDRESS", address, 1);
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len > 0) {
        self[len] = 0;
        setenv("COVEY_BIN", self, 0);
    }
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(argv[0], argv);
    int error = errno;
    if (write(errno_fd, &error, sizeof error) < 0)
        _exit(127);
    _exit(127);
}

/* Wait for @pid, passing on what is sent to us.  Its wait status. */
static int wait_program(pid_t pid, int signal_fd)
{
    int status;
    for (;;) {
        struct signalfd_siginfo info;
        ssize_t n = read(signal_fd, &info, sizeof info);
        if (n == (ssize_t)sizeof info && info.ssi_signo != SIGCHLD && info.ssi_code <= 0)
            kill(pid, (int)info.ssi_signo);     /* not reaped yet, so it is it */
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
    }
}

static int run_program(const struct cli *cli, const char *cluster, char **argv)
{
    sigset_t ours, before;
    int failed[2], error = 0;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGQUIT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, &before);
    int signal_fd = signalfd(-1, &ours, SFD_CLOEXEC);
    if (signal_fd < 0 || pipe2(failed, O_CLOEXEC) != 0)
        return cli_fail(cli, STATUS_WORK, NULL, "%s: %s", argv[0], strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        exec_program(cluster, argv, &before, failed[1]);
    close(failed[1]);
    bool executed = pid > 0 && read(failed[0], &error, sizeof error) != (ssize_t)sizeof error;
    close(failed[0]);
    int status = pid > 0 ? wait_program(pid, signal_fd) : 0;
    close(signal_fd);
    if (!executed)
        return cli_fail(cli, STATUS_USAGE, NULL, "%s: %s", argv[0],
                        strerror(pid > 0 ? error : EAGAIN));
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int cmd_run(struct cli *cli, int argc, char **argv)
{
    struct cluster_options o = CLUSTER_OPTIONS_NONE;
    const struct arg_option options[] = {CLUSTER_OPTION_ROWS(&o), {0}};
    struct keeping keeping = {0, -1};
    struct places p;
    int words, status = cli_parse(cli, options, ARGS_PREFIX, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 1, INT32_MAX);
    if (status == CLI_GO)
        status = cluster_options_check(cli, &o);
    if (status == CLI_GO)
        status = cli_places(cli, &p);
    if (status != CLI_GO)
        return status;
    argv[1 + words] = NULL;     /* the words were moved to the front, over the options */
    const char *address = getenv("COVEY_ADDRESS");
    if (!is_running(&p)) {
        if (!cli->name && address && *address)
            return cli_no_cluster(cli, &p);     /* a certain one was meant */
        status = start_private(cli, &o, &keeping, p.name);
    }
    if (status == CLI_GO)
        status = run_program(cli, p.name, argv + 1);
    end_private(&keeping);
    return status;
}
