/* cmd_private.c - covey _private: a cluster whose life is somebody else's.
 *
 *   program ---fork, exec---> covey _private --fd N ---> head, node
 *      |                          |
 *      | <--- "NAME DIR\n" -------+   ready; or "error TEXT\n"
 *      |
 *      +--- its end of N closes (or it dies) ---> the cluster ends, traceless
 *
 * The library executes this for covey_open() with a private cluster.  It has a
 * session of its own, so that Ctrl-C at the program's terminal does not take
 * the cluster away under a program that handles it.  Head and node are killed
 * by the kernel when this process is, so that kill -9 of either side leaves
 * nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"

#define GRACE_MS 500            /* who started it is gone: nobody waits for its tasks */

/* A descriptor that is readable when we are asked to end or a daemon has died. */
static int watch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Until the other end of @fd closes, or a signal tells us to end.  A daemon's
 * death is such a signal: half a cluster is of no use to anybody. */
static void wait_for_end(int fd, int signal_fd)
{
    for (;;) {
        struct pollfd p[] = {{fd, POLLIN, 0}, {signal_fd, POLLIN, 0}};
        char ignored[64];
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return;
        if (p[1].revents)
            return;
        if (p[0].revents && read(fd, ignored, sizeof ignored) <= 0 && errno != EINTR)
            return;
    }
}

/* Say @text in one line.  Where nobody reads, the end of the descriptor will
 * tell us next. */
static void answer(char *text)
{
    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = ' ';
    dprintf(1, "%s\n", text);
}

static void answer_error(covey_status status, const char *why)
{
    char text[PLACE_MAX * 2];
    snprintf(text, sizeof text, "error %.1000s", *why ? why : covey_strerror(status));
    answer(text);
}

static covey_status serve(const struct places *p, const struct cluster_options *o, int fd, pid_t owner)
{
    struct cluster_life life;
    char why[1024] = "";
    bool killed;
    int signal_fd = watch_signals();
    signal(SIGPIPE, SIG_IGN);   /* whoever waits for our answer may be gone: we clean up */
    cluster_sweep(p);
    covey_status status = cluster_start(p, o, &life, why, sizeof why);
    if (status != COVEY_OK) {
        answer_error(status, why);
        places_remove(p, true);
        return status;
    }
    cluster_tell_owner(p, owner);
    snprintf(why, sizeof why, "%s %s", p->name, p->dir);
    answer(why);
    /* Whoever reads the program's output to its end is not to wait for us. */
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int std = 0; null_fd >= 0 && std < 3; std++)
        dup2(null_fd, std);
    wait_for_end(fd, signal_fd);
    return cluster_stop(p, GRACE_MS, true, &killed, why, sizeof why);
}

int cmd_private(struct cli *cli, int argc, char **argv)
{
    struct cluster_options o = CLUSTER_OPTIONS_NONE;
    uint64_t fd = UINT64_MAX;
    const struct arg_option options[] = {
        {"fd", 0, ARG_UINT, &fd, "N", "the cluster ends when this descriptor's other end closes"},
        CLUSTER_OPTION_ROWS(&o),
        {0},
    };
    struct places p;
    char name[CLUSTER_NAME_MAX], why[256] = "";
    pid_t owner = getppid();
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 0, 0);
    if (status == CLI_GO)
        status = cluster_options_check(cli, &o);
    if (status != CLI_GO)
        return status;
    if (fd > INT32_MAX || fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0)
        return cli_fail(cli, STATUS_USAGE, NULL, "--fd must name an open descriptor");
    setsid();                   /* fails where we lead one already, which is as good */
    o.bound = true;
    cluster_private_name(name);
    covey_status result = places_find(&p, cli->name ? cli->name : name, why, sizeof why);
    if (result != COVEY_OK) {
        answer_error(result, why);
        return STATUS_USAGE;
    }
    result = serve(&p, &o, (int)fd, owner);
    return result == COVEY_OK || result == COVEY_ENOCLUSTER ? STATUS_OK : STATUS_WORK;
}
