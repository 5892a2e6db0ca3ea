/* cmd_sweep_run.c - covey sweep run and resume: a line about what happens, one
 * line that shows how it stands, and Ctrl-C.
 *
 * On a terminal the last line is rewritten in place, and only when it has
 * changed; elsewhere there are plain lines alone. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cmd_sweep.h"
#include "sweep/sweep.h"

/* Of the one sweep that this process runs; the signal handler needs it. */
static covey_sweep *volatile running;

struct view {
    const struct cli *cli;
    bool live;                  /* standard error is a terminal */
    char line[512];             /* as it is shown; "" for none */
    time_t began;
    uint32_t ended_before;      /* trials that were over when it began */
};

static void on_signal(int signal)
{
    (void)signal;
    covey_sweep_stop(running);
}

static void catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal};
    sigemptyset(&stop.sa_mask);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
}

/* ---- what is seen ----------------------------------------------------------------------- */

static void hide(struct view *v)
{
    if (v->line[0])
        fprintf(stderr, "\r\033[K");
    v->line[0] = 0;
}

static void on_event(covey_sweep *s, const char *line, void *arg)
{
    (void)s;
    struct view *v = arg;
    if (v->cli->quiet && strncmp(line, "warning", 7) != 0)
        return;
    hide(v);
    fprintf(stderr, "%s\n", line);
}

static uint32_t over(const struct controller *c)
{
    uint32_t n = 0;
    for (int i = TRIAL_COMPLETE; i < TRIAL_STATE_COUNT; i++)
        n += controller_in_state(c, (enum trial_state)i);
    return n;
}

static void format_left(char *out, size_t size, int64_t seconds)
{
    if (seconds < 0)
        snprintf(out, size, "-");
    else if (seconds < 100)
        snprintf(out, size, "%lld s", (long long)seconds);
    else if (seconds < 6000)
        snprintf(out, size, "%lld min", (long long)(seconds + 59) / 60);
    else
        snprintf(out, size, "%.1f h", (double)seconds / 3600);
}

static void on_tick(covey_sweep *s, void *arg)
{
    struct view *v = arg;
    char line[512], left[32], best[64] = "", cap[32] = "";
    const struct controller *c = s->controller;
    if (!v->live || v->cli->quiet)
        return;
    const struct trial *t = controller_best(s->controller);
    if (t)
        snprintf(best, sizeof best, "best %.6g (trial %u)  ", t->best, t->number);
    if (s->spec->run_cap)
        snprintf(cap, sizeof cap, " of %llu", (unsigned long long)s->spec->run_cap);
    uint32_t ended = over(c), here = ended - v->ended_before;
    int64_t left_s = -1;
    if (here > 0 && s->spec->run_cap > ended)
        left_s = (int64_t)((double)(time(NULL) - v->began) / here * (double)(s->spec->run_cap - ended));
    format_left(left, sizeof left, left_s);
    snprintf(line, sizeof line, "%s%u%s ended, %u running, %u stopped, %u paused, %u failed  left %s", best, ended, cap,
             controller_in_state(c, TRIAL_RUNNING) + controller_in_state(c, TRIAL_ENDING),
             controller_in_state(c, TRIAL_STOPPED), controller_in_state(c, TRIAL_PAUSED),
             controller_in_state(c, TRIAL_FAILED), left);
    struct winsize w = {0};
    if (ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 && w.ws_col < sizeof line)
        line[w.ws_col - 1] = 0;
    if (strcmp(line, v->line) == 0)
        return;
    hide(v);
    fprintf(stderr, "%s", line);
    memcpy(v->line, line, sizeof line);
}

/* ---- running ------------------------------------------------------------------------------- */

/* For `covey sweep stop`. */
static void write_pid(const covey_sweep *s, bool here)
{
    char path[SWEEP_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/runner.pid", s->dir);
    FILE *f = here ? fopen(path, "we") : NULL;
    if (f) {
        fprintf(f, "%d\n", getpid());
        fclose(f);
    }
    if (!here)
        unlink(path);
}

static int run(const struct cli *cli, covey_sweep *s, struct view *v)
{
    const covey_open_opts opts = {.size = sizeof opts, .quiet = true};
    covey *c = covey_open(&opts);
    if (!c)
        return cli_fail(cli, STATUS_WORK, "covey doctor tells what this machine lacks.", "no cluster: %s", covey_error());
    v->began = time(NULL);
    v->ended_before = over(s->controller);
    running = s;
    catch_signals();
    write_pid(s, true);
    covey_status status = covey_sweep_run(s, c);
    write_pid(s, false);
    hide(v);
    covey_close(&c);
    sweep_print_summary(s);
    printf("in %s\n", s->dir);
    if (status == COVEY_OK)
        return STATUS_OK;
    if (status == COVEY_ECANCELLED)
        return cli_fail(cli, 128 + SIGINT, NULL, "%s", covey_sweep_error());
    return cli_fail(cli, STATUS_WORK, NULL, "%s", covey_sweep_error());
}

static int run_opened(const struct cli *cli, covey_status opened, covey_sweep *s, struct view *v)
{
    if (opened != COVEY_OK)
        return sweep_cmd_fail(cli, opened);
    if (!cli->quiet)
        fprintf(stderr, "sweep in %s\n", s->dir);
    int exit = run(cli, s, v);
    running = NULL;
    covey_sweep_close(&s);
    return exit;
}

int sweep_cmd_run(const struct cli *cli, const struct sweep_cmd *cmd)
{
    covey_sweep *s = NULL;
    struct view v = {.cli = cli, .live = isatty(2)};
    covey_sweep_opts opts = sweep_cmd_opts(cmd);
    opts.file = cmd->word;
    opts.on_event = on_event;
    opts.on_tick = on_tick;
    opts.arg = &v;
    covey_status opened = covey_sweep_create(&s, &opts);
    return run_opened(cli, opened, s, &v);
}

int sweep_cmd_resume(const struct cli *cli, const struct sweep_cmd *cmd)
{
    covey_sweep *s = NULL;
    struct view v = {.cli = cli, .live = isatty(2)};
    covey_sweep_opts opts = sweep_cmd_opts(cmd);
    opts.dir = cmd->word;
    opts.on_event = on_event;
    opts.on_tick = on_tick;
    opts.arg = &v;
    covey_status opened = covey_sweep_resume(&s, &opts);
    return run_opened(cli, opened, s, &v);
}
