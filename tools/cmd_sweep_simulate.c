/* cmd_sweep_simulate.c - covey sweep simulate: a sweep file's scheduler, or several,
 * on recorded curves in virtual time. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd_sweep.h"
#include "sweep/scheduler/replay.h"
#include "sweep/spec/spec.h"
#include "sweep_screen.h"

#define PARALLEL 8              /* where neither the command line nor the file says */
#define SCHEDULERS_MAX 32
#define LATE 60                 /* median's grace and PBT's interval, where nobody says */

struct simulation {
    const struct cli *cli;
    const struct sweep_cmd *cmd;
    struct spec *spec;          /* owned */
    struct curves *curves;      /* owned */
    uint32_t slots;
    struct text text;
    bool warned;                /* of PBT, which is approximated */
    char why[WHY_MAX];
};

static void on_warning(const char *text, void *arg)
{
    (void)arg;
    fprintf(stderr, "warning: %s\n", text);
}

static bool open_curves(struct simulation *m)
{
    struct stat st;
    uint32_t cut;
    const char *path = m->cmd->curves;
    bool maximize = m->spec->metric.maximize;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        m->curves = curves_open(path, maximize, m->why, sizeof m->why);
        return m->curves != NULL;
    }
    m->curves = curves_of_sweep(path, m->spec->metric.name, maximize, &cut, m->why, sizeof m->why);
    if (m->curves && cut > 0)
        fprintf(stderr, "warning: %u trials of %s were stopped early, and their curves end there; curves of a sweep "
                "without early stopping tell more\n", cut, path);
    return m->curves != NULL;
}

static bool open_all(struct simulation *m)
{
    m->spec = spec_open(m->cmd->word, m->cmd->set.items, on_warning, NULL, m->why, sizeof m->why);
    if (!m->spec)
        return false;
    if (!m->spec->metric.name) {
        snprintf(m->why, sizeof m->why, "%s: no `metric`, whose goal says which curves are good: add "
                 "`metric: {name: loss, goal: minimize}`", m->cmd->word);
        return false;
    }
    if (m->cmd->parallel > SIMULATE_SLOTS_MAX) {
        snprintf(m->why, sizeof m->why, "--parallel is at most %u here", SIMULATE_SLOTS_MAX);
        return false;
    }
    m->slots = m->cmd->parallel ? (uint32_t)m->cmd->parallel : m->spec->parallel ? m->spec->parallel : PARALLEL;
    return open_curves(m);
}

/* What --scheduler leaves open.  A budget is the file's, or else all that the curves
 * have; where the usual first decision (step 60) would lie behind that, it is made
 * after a ninth, as two rungs with eta 3 below the top. */
static void fill_in(const struct simulation *m, struct scheduler_opts *opts)
{
    const struct scheduler_opts *file = &m->spec->scheduler;
    opts->seed = file->seed;
    if (opts->max_iter == 0)
        opts->max_iter = file->kind != SCHEDULER_BANDS && file->max_iter > 0 ? file->max_iter
                                                                             : curves_last_step(m->curves);
    int64_t ninth = opts->max_iter >= 9 ? opts->max_iter / 9 : 1;
    if (opts->kind == SCHEDULER_MEDIAN && opts->grace == 0 && opts->max_iter < LATE)
        opts->grace = ninth;
    if (opts->kind == SCHEDULER_PBT && opts->interval == 0 && opts->max_iter < LATE)
        opts->interval = ninth;
}

/* "@before @m->why" in its place. */
static bool fail_before(struct simulation *m, const char *before)
{
    char why[sizeof m->why];
    memcpy(why, m->why, sizeof why);
    snprintf(m->why, sizeof m->why, "%.1000s: %.*s", before, (int)(sizeof why / 2), why);
    return false;
}

static bool play(struct simulation *m, const struct scheduler_opts *opts,
                 void (*print)(struct text *t, const struct replay *r))
{
    struct replay replay;
    if (!replay_run(&replay, opts, &m->spec->space, m->curves, m->spec->metric.maximize, m->slots, m->why,
                    sizeof m->why))
        return false;
    if (opts->kind == SCHEDULER_PBT && !m->warned)
        fprintf(stderr, "warning: pbt is approximated on recorded curves: a trial that copies another goes on along "
                "that one's curve, since nobody recorded what its moved parameters would have done; this shows what "
                "copying gives, not what moving does\n");
    m->warned = m->warned || opts->kind == SCHEDULER_PBT;
    print(&m->text, &replay);
    replay_fini(&replay);
    return true;
}

/* The file's own, as it would run. */
static bool play_file(struct simulation *m)
{
    if (m->spec->scheduler.kind == SCHEDULER_NONE)
        fprintf(stderr, "warning: %s has no scheduler, so every trial runs to its end; others are played by "
                "--scheduler asha,hyperband,median\n", m->cmd->word);
    return play(m, &m->spec->scheduler, m->cmd->json ? replay_print_json : replay_print) ||
           fail_before(m, m->cmd->word);
}

static bool play_row(struct simulation *m, struct scheduler_opts *opts, bool is_whole)
{
    struct text name = TEXT_NONE;
    if (!is_whole)
        fill_in(m, opts);
    bool ok = play(m, opts, m->cmd->json ? replay_print_json : replay_print_row);
    replay_print_scheduler(&name, opts);
    ok = ok || fail_before(m, text_get(&name) ? text_get(&name) : "");
    text_fini(&name);
    return ok;
}

/* Those of --scheduler below each other; first of all what it is to stop nothing, and
 * the file's own. */
static bool play_several(struct simulation *m)
{
    struct scheduler_opts several[SCHEDULERS_MAX + 2] = {{.kind = SCHEDULER_NONE}, m->spec->scheduler};
    int own = m->spec->scheduler.kind != SCHEDULER_NONE;
    int count = spec_read_schedulers("--scheduler", m->cmd->scheduler, several + 1 + own, SCHEDULERS_MAX, m->why,
                                     sizeof m->why);
    if (count < 0)
        return false;
    if (!m->cmd->json)
        replay_print_head(&m->text);
    bool ok = true;
    for (int i = 0; i < 1 + own + count && ok; i++)
        ok = play_row(m, &several[i], own && i == 1);
    return ok;
}

static bool simulate(struct simulation *m)
{
    if (!open_all(m))
        return false;
    if (m->cmd->json)
        text_puts(&m->text, "{\"schema\": \"" REPLAY_SCHEMA "\"}\n");
    else
        text_printf(&m->text, "%u curves of %s, %u at a time\n", curves_source(m->curves).trials, m->cmd->curves,
                    m->slots);
    return m->cmd->scheduler ? play_several(m) : play_file(m);
}

int sweep_cmd_simulate(const struct cli *cli, const struct sweep_cmd *cmd)
{
    if (!cmd->curves)
        return cli_fail(cli, STATUS_USAGE, "a CSV file with the columns trial, step and value (and seconds), or the "
                        "directory of a sweep", "simulate: --curves FILE says on which curves");
    struct simulation m = {.cli = cli, .cmd = cmd};
    bool ok = simulate(&m);
    /* Names of trials are a stranger's: a terminal is not to obey them. */
    struct text plain = TEXT_NONE;
    screen_plain(text_get(&m.text) ? text_get(&m.text) : "", &plain);
    plain.failed = plain.failed || m.text.failed;
    const char *text = text_get(&plain);
    if (ok && text)
        printf("%s", text);
    int exit = !ok ? cli_fail(cli, STATUS_USAGE, NULL, "%s", m.why)
               : text ? STATUS_OK : cli_fail(cli, STATUS_WORK, NULL, "out of memory");
    text_fini(&plain);
    text_fini(&m.text);
    curves_free(&m.curves);
    spec_free(&m.spec);
    return exit;
}
