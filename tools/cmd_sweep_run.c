/* cmd_sweep_run.c - covey sweep run and resume: in this terminal, or with --detach
 * behind it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd_sweep.h"
#include "sweep/page/page.h"
#include "sweep/sweep.h"
#include "sweep_detach.h"
#include "sweep_live.h"

/* Of the one sweep that this process runs; the signal handler needs it. */
static covey_sweep *volatile running;

struct runner {
    const struct cli *cli;
    struct live *live;          /* owned; NULL until there is something to say */
    struct detached *detached;  /* owned; NULL: in the foreground */
    int stops;                  /* asked for by a key */
    char notice[80];
};

/* ---- signals --------------------------------------------------------------------------- */

static void on_signal(int signal)
{
    (void)signal;
    covey_sweep_stop(running);
}

static void on_nothing(int signal) { (void)signal; }

static void catch_signals(void)
{
    struct sigaction old, stop = {.sa_handler = on_signal};
    /* A reader of our output who leaves is no reason to end.  Not SIG_IGN, which trials
     * would inherit. */
    struct sigaction go_on = {.sa_handler = on_nothing};
    sigemptyset(&stop.sa_mask);
    sigemptyset(&go_on.sa_mask);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGPIPE, &go_on, NULL);
    if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)     /* nohup */
        sigaction(SIGHUP, &stop, NULL);
}

/* ---- what is seen, and keys ---------------------------------------------------------------- */

static void on_event(covey_sweep *s, const char *line, void *arg)
{
    (void)s;
    struct runner *r = arg;
    if (r->live)
        live_event(r->live, line);
    else
        fprintf(stderr, "%s\n", line);
}

static void on_tick(covey_sweep *s, void *arg)
{
    struct runner *r = arg;
    if (r->detached)
        detached_begun(r->detached, s->dir);
    live_tick(r->live, s);
}

static void key_quit(covey_sweep *s, void *arg)
{
    struct runner *r = arg;
    r->stops++;
    covey_sweep_stop(s);
}

static void key_pause(covey_sweep *s, void *arg)
{
    struct runner *r = arg;
    s->held = !s->held;
    live_event(r->live, s->held ? "no new trials start; p goes on" : "new trials start again");
}

static void key_stop_trial(covey_sweep *s, uint32_t trial, void *arg)
{
    struct runner *r = arg;
    if (sweep_cancel(s, trial) != COVEY_OK)
        live_event(r->live, covey_sweep_error());
}

static const char *notice(covey_sweep *s, void *arg)
{
    struct runner *r = arg;
    if (atomic_load(&s->stops) > 0)
        snprintf(r->notice, sizeof r->notice, "stopping: what runs saves its checkpoint; q again kills it");
    else if (s->held)
        snprintf(r->notice, sizeof r->notice, "no new trials start; p goes on");
    else
        return NULL;
    return r->notice;
}

static const struct live_ops live_ops = {
    .quit = key_quit, .pause = key_pause, .stop_trial = key_stop_trial, .notice = notice,
    .quit_means = "end it, trials save their checkpoints and `resume` goes on; twice: at once",
};

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

int sweep_cmd_ended(const struct cli *cli, covey_status status, const char *why)
{
    if (status == COVEY_OK)
        return STATUS_OK;
    return cli_fail(cli, status == COVEY_ECANCELLED ? 128 + SIGINT : STATUS_WORK, NULL, "%s", why);
}

/* Not where the disk is full. */
static bool page_exists(const covey_sweep *s)
{
    char path[SWEEP_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/" PAGE_FILE, s->dir);
    return access(path, R_OK) == 0;
}

static int run(struct runner *r, covey_sweep *s)
{
    char address[128];          /* one that is cut off is too long for a name, and refused */
    snprintf(address, sizeof address, "local:%s", r->cli->name ? r->cli->name : "");
    const covey_open_opts opts = {.size = sizeof opts, .address = r->cli->name ? address : NULL, .quiet = true};
    covey *c = covey_open(&opts);
    if (!c) {
        if (r->detached)
            detached_failed(r->detached);
        return cli_fail(r->cli, STATUS_WORK, "covey doctor tells what this machine lacks.", "no cluster: %s",
                        covey_error());
    }
    running = s;
    catch_signals();
    write_pid(s, true);
    cluster_tell_sweep(c, s->dir);
    covey_status status = covey_sweep_run(s, c);
    if (r->detached && status != COVEY_OK)
        detached_failed(r->detached);   /* where it never began, the caller is told why */
    write_pid(s, false);
    live_free(&r->live);
    covey_close(&c);
    sweep_print_summary(s);
    printf("in %s\n", s->dir);
    if (page_exists(s))
        printf("report: %s/" PAGE_FILE "\n", s->dir);
    int exit = sweep_cmd_ended(r->cli, status, covey_sweep_error());
    running = NULL;
    return exit;
}

static int run_opened(struct runner *r, covey_status opened, covey_sweep *s)
{
    int exit = STATUS_WORK;
    if (opened != COVEY_OK)
        return sweep_cmd_fail(r->cli, opened);
    if (!r->cli->quiet && !r->detached)
        fprintf(stderr, "sweep in %s\n", s->dir);
    if (!r->detached || detached_to_log(r->detached, s->dir)) {
        r->live = live_new(r->cli, &live_ops, r);
        exit = r->live ? run(r, s) : cli_fail(r->cli, STATUS_WORK, NULL, "out of memory");
    } else {
        exit = cli_fail(r->cli, STATUS_WORK, NULL, "cannot write %s/runner.log: %s", s->dir, strerror(errno));
    }
    live_free(&r->live);
    covey_sweep_close(&s);
    return exit;
}

static int begin(const struct cli *cli, const struct sweep_cmd *cmd, bool resumes)
{
    int exit;
    covey_sweep *s = NULL;
    struct runner r = {.cli = cli};
    if (cmd->detach && !detached_new(&r.detached, cli, &exit))
        return exit;            /* this is the one who called; the other runs the sweep */
    covey_sweep_opts opts = sweep_cmd_opts(cmd);
    opts.on_event = on_event;
    opts.on_tick = on_tick;
    opts.arg = &r;
    if (resumes)
        opts.dir = cmd->word;
    else
        opts.file = cmd->word;
    covey_status opened = resumes ? covey_sweep_resume(&s, &opts) : covey_sweep_create(&s, &opts);
    exit = run_opened(&r, opened, s);
    detached_free(&r.detached);
    return exit;
}

int sweep_cmd_run(const struct cli *cli, const struct sweep_cmd *cmd) { return begin(cli, cmd, false); }

int sweep_cmd_resume(const struct cli *cli, const struct sweep_cmd *cmd) { return begin(cli, cmd, true); }
