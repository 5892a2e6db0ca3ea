/* cmd_sweep_attach.c - covey sweep attach: watch a sweep that another process runs.
 *
 * Everything comes from its record, which is read on from where it was read to.  Who
 * watches changes nothing: q and Ctrl-C end the watching. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "cmd_sweep.h"
#include "sweep/sweep.h"
#include "sweep_live.h"

#define TICK_MS 100
#define FOLLOW_TICKS 3          /* the record is read so often ... */
#define RUNNER_TICKS 10         /* ... and the runner looked for */

struct watch {
    const struct cli *cli;
    covey_sweep *sweep;
    struct live *live;          /* owned */
    const char *dir;            /* borrowed */
};

static volatile sig_atomic_t leaving;

static void on_signal(int signal)
{
    (void)signal;
    leaving = 1;
}

static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction leave = {.sa_handler = on_signal};
    sigemptyset(&leave.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &leave, NULL);
}

/* ---- keys, and what happened ------------------------------------------------------------ */

static void key_quit(covey_sweep *s, void *arg)
{
    (void)s, (void)arg;
    leaving = 1;
}

static void key_pause(covey_sweep *s, void *arg)
{
    struct watch *w = arg;
    (void)s;
    live_event(w->live, "p works where the sweep runs; here it is only watched");
}

static void key_stop_trial(covey_sweep *s, uint32_t trial, void *arg)
{
    struct watch *w = arg;
    (void)s, (void)trial;
    live_event(w->live, "s works where the sweep runs; here it is only watched");
}

static const struct live_ops live_ops = {
    .quit = key_quit, .pause = key_pause, .stop_trial = key_stop_trial,
    .quit_means = "stop watching; the sweep goes on",
};

static void on_line(covey_sweep *s, const char *line, void *arg)
{
    (void)s;
    struct watch *w = arg;
    live_event(w->live, line);
}

static void on_record(const struct record_event *event, void *arg)
{
    struct watch *w = arg;
    if (event->kind == RECORD_END)
        sweep_tell_end(w->sweep, event->trial, event->end.fate, event->end.why);
}

/* ---- watching -------------------------------------------------------------------------------- */

/* Until the runner is gone or somebody leaves. */
static covey_status watch(struct watch *w)
{
    int pid;
    sweep_say(w->sweep, "watching %s, of which %u trials have begun", w->sweep->dir, covey_sweep_count(w->sweep));
    bool runs = true;
    for (unsigned tick = 0; !leaving && runs; tick++) {
        /* First the runner, then what it wrote: nothing comes after that. */
        runs = tick % RUNNER_TICKS != 0 || sweep_cmd_runner(w->dir, &pid) > 0;
        covey_status status = COVEY_OK;
        if (!runs || tick % FOLLOW_TICKS == 0)
            status = sweep_follow(w->sweep, on_record, w);
        if (status != COVEY_OK)
            return status;
        live_tick(w->live, w->sweep);
        if (runs)
            (void)poll(NULL, 0, TICK_MS);
    }
    return COVEY_OK;
}

static int say_end(struct watch *w)
{
    covey_status ended;
    sweep_print_summary(w->sweep);
    if (sweep_run_ended(w->sweep, &ended))
        return sweep_cmd_ended(w->cli, ended, covey_sweep_error());
    return cli_fail(w->cli, STATUS_WORK, NULL, "nobody runs the sweep, and its last runner did not come to an end; "
                    "`covey sweep resume %s` goes on", w->dir);
}

int sweep_cmd_attach(const struct cli *cli, const struct sweep_cmd *cmd)
{
    int pid;
    struct watch w = {.cli = cli, .dir = cmd->word};
    if (sweep_cmd_runner(cmd->word, &pid) < 0)
        return cli_fail(cli, STATUS_USAGE, NULL, "no sweep in %s: %s", cmd->word, strerror(errno));
    covey_status status = covey_sweep_look(&w.sweep, cmd->word);
    if (status != COVEY_OK)
        return sweep_cmd_fail(cli, status);
    w.sweep->opts.on_event = on_line;
    w.sweep->opts.arg = &w;
    catch_signals();
    w.live = live_new(cli, &live_ops, &w);
    status = w.live ? watch(&w) : sweep_fail(COVEY_ENOMEM, "out of memory");
    live_free(&w.live);
    int exit = STATUS_OK;
    if (status != COVEY_OK)
        exit = cli_fail(cli, STATUS_WORK, NULL, "%s", covey_sweep_error());
    else if (leaving)
        cli_say(cli, "the sweep goes on; `covey sweep attach %s` watches it again\n", cmd->word);
    else
        exit = say_end(&w);
    covey_sweep_close(&w.sweep);
    return exit;
}
