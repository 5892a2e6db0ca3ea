/* cmd_sweep.c - covey sweep: the table of its actions, and those that plan or tell;
 * cmd_sweep_run.c has those that run trials, cmd_sweep_show.c those that look. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "cmd_sweep.h"
#include "sweep/page/page.h"
#include "sweep/scheduler/plan.h"
#include "sweep/sweep.h"

#define NOTHING_LEFT 10         /* of ask and report, for scripts */
#define LOCK_TRIES 100          /* of a record that another ask or tell has open, 100 ms each */

int sweep_cmd_fail(const struct cli *cli, covey_status status)
{
    return cli_fail(cli, status == COVEY_EINVAL || status == COVEY_EREFUSED ? STATUS_USAGE : STATUS_WORK, NULL, "%s",
                    covey_sweep_error());
}

/* ---- report ------------------------------------------------------------------------------- */

/* Beside a runner, or after one that was killed, too. */
static int report(const struct cli *cli, const struct sweep_cmd *cmd)
{
    char why[1024];
    covey_sweep *s;
    covey_status status = covey_sweep_look(&s, cmd->word);
    if (status != COVEY_OK)
        return sweep_cmd_fail(cli, status);
    status = page_write(s, why, sizeof why);
    int exit = status == COVEY_OK ? STATUS_OK : cli_fail(cli, STATUS_WORK, NULL, "%s", why);
    if (status == COVEY_OK)
        printf("%s/" PAGE_FILE "\n", covey_sweep_dir(s));
    covey_sweep_close(&s);
    return exit;
}

/* ---- preview ------------------------------------------------------------------------------ */

static void print_choices(const struct param *p)
{
    struct text text = TEXT_NONE;
    for (size_t k = 0; k < p->count && k < 8; k++) {
        text_puts(&text, k ? ", " : "");
        value_print_python(&text, &p->choices[k]);
    }
    for (size_t k = 0; k < text.len; k++)
        text.data[k] = (char)(text.data[k] == '\n' ? ' ' : text.data[k]);
    printf("%s%s\n", text_get(&text) ? text_get(&text) : "", p->count > 8 ? ", ..." : "");
    text_fini(&text);
}

static void print_param(const struct param *p)
{
    static const char *const names[] = {"choice", "uniform", "log uniform", "inverse log uniform", "normal",
                                        "log normal", "beta"};
    printf("  %-24s ", p->name);
    if (p->distribution == DIST_CHOICE) {
        print_choices(p);
        return;
    }
    printf("%s, ", names[p->distribution]);
    if (p->distribution == DIST_NORMAL || p->distribution == DIST_LOG_NORMAL)
        printf("mu %g, sigma %g", p->mu, p->sigma);
    else if (p->distribution == DIST_BETA)
        printf("a %g, b %g", p->a, p->b);
    else
        printf("%g to %g", p->low, p->high);
    if (p->quantum > 0 && !(p->whole && p->quantum == 1))
        printf(", multiples of %g", p->quantum);
    printf("%s\n", p->whole ? ", whole" : "");
}

static void print_space(const struct space *space)
{
    uint64_t size = space_size(space);
    printf("space: %zu parameter%s", space->count, space->count == 1 ? "" : "s");
    if (size != UINT64_MAX)
        printf(", %llu point%s", (unsigned long long)size, size == 1 ? "" : "s");
    printf("\n");
    for (size_t i = 0; i < space->count; i++)
        print_param(&space->params[i]);
}

static void on_warning(const char *text, void *arg)
{
    (void)arg;
    fprintf(stderr, "warning: %s\n", text);
}

static int preview(const struct cli *cli, const struct sweep_cmd *cmd)
{
    char why[4096];
    struct plan plan;
    struct spec *spec = spec_open(cmd->word, cmd->set.items, on_warning, NULL, why, sizeof why);
    if (!spec)
        return cli_fail(cli, STATUS_USAGE, NULL, "%s", why);
    uint64_t trials = cmd->count ? cmd->count : spec->run_cap, size = space_size(&spec->space);
    if (size != UINT64_MAX && (trials == 0 || trials > size))   /* no search tries a point again */
        trials = size;
    uint32_t slots = cmd->parallel ? (uint32_t)cmd->parallel : spec->parallel ? spec->parallel : 8;
    sweep_preview_metric(spec);
    print_space(&spec->space);
    bool ok = sweep_preview_command(spec, why, sizeof why) &&
              plan_make(&plan, &spec->scheduler, &spec->space, trials > UINT32_MAX ? UINT32_MAX : (uint32_t)trials,
                        slots, why, sizeof why);
    if (ok) {
        struct text text = TEXT_NONE;
        plan_print(&text, &plan);
        printf("%s", text_get(&text) ? text_get(&text) : "");
        text_fini(&text);
        plan_fini(&plan);
    }
    spec_free(&spec);
    return ok ? STATUS_OK : cli_fail(cli, STATUS_USAGE, NULL, "%s: %s", cmd->word, why);
}

/* ---- create, ask, tell, stop ------------------------------------------------------------------ */

static int create(const struct cli *cli, const struct sweep_cmd *cmd)
{
    covey_sweep *s;
    covey_sweep_opts opts = sweep_cmd_opts(cmd);
    opts.file = cmd->word;
    covey_status status = covey_sweep_create(&s, &opts);
    if (status != COVEY_OK)
        return sweep_cmd_fail(cli, status);
    printf("%s\n", covey_sweep_dir(s));
    covey_sweep_close(&s);
    return STATUS_OK;
}

/* Several of them may come at once: they take turns. */
static covey_status open_for_telling(covey_sweep **s, const char *dir)
{
    covey_sweep_opts opts = {.size = sizeof opts, .dir = dir};
    covey_status status = COVEY_EREFUSED;
    for (int i = 0; i < LOCK_TRIES && status == COVEY_EREFUSED; i++) {
        if (i > 0)
            usleep(100000);
        status = covey_sweep_resume(s, &opts);
    }
    return status;
}

static void print_offer(const covey_offer *offer)
{
    struct text line = TEXT_NONE;
    text_printf(&line, "{\"trial\": %u, \"params\": %s, \"resource\": %lld, \"checkpoint\": ", offer->trial,
                offer->params, (long long)offer->resource);
    text_json_string(&line, offer->checkpoint);
    text_puts(&line, "}");
    printf("%s\n", text_get(&line) ? text_get(&line) : "null");
    text_fini(&line);
}

static int ask(const struct cli *cli, const struct sweep_cmd *cmd)
{
    covey_sweep *s;
    covey_offer offer;
    covey_status status = open_for_telling(&s, cmd->word);
    if (status != COVEY_OK)
        return sweep_cmd_fail(cli, status);
    status = covey_sweep_ask(s, &offer);
    int exit = STATUS_OK;
    if (status == COVEY_OK)
        print_offer(&offer);
    else if (status == COVEY_ECLOSED || status == COVEY_EAGAIN)
        exit = NOTHING_LEFT;
    else
        exit = sweep_cmd_fail(cli, status);
    if (status == COVEY_EAGAIN)
        cli_fail(cli, exit, NULL, "%s", covey_sweep_error());
    covey_sweep_close(&s);
    return exit;
}

/* {"loss": 0.3} of the words "loss=0.3"; a value that is no number is a text. */
static bool report_of_words(struct text *out, char **words, int count)
{
    text_puts(out, "{");
    for (int i = 0; i < count; i++) {
        char *equals = strchr(words[i], '=');
        if (!equals || equals == words[i])
            return false;
        *equals = 0;
        text_puts(out, i ? "," : "");
        text_json_string(out, words[i]);
        text_puts(out, ":");
        if (!report_put_number(out, equals + 1))
            text_json_string(out, equals + 1);
        *equals = '=';
    }
    text_puts(out, "}");
    return text_get(out) != NULL;
}

static int tell(const struct cli *cli, const struct sweep_cmd *cmd)
{
    covey_sweep *s;
    bool stop = false;
    struct text report = TEXT_NONE;
    if (cmd->trial == UINT64_MAX)
        return cli_fail(cli, STATUS_USAGE, NULL, "tell: --trial N says which trial is meant");
    if (cmd->word_count == 0 && !cmd->done && !cmd->failed)
        return cli_fail(cli, STATUS_USAGE, NULL, "tell: metrics such as loss=0.3, or --done or --failed, are missing");
    if (cmd->done && cmd->failed)
        return cli_fail(cli, STATUS_USAGE, NULL, "tell: --done and --failed: which of them?");
    if (!report_of_words(&report, cmd->words, cmd->word_count))
        return cli_fail(cli, STATUS_USAGE, NULL, "tell: metrics are given as NAME=VALUE, such as loss=0.3");
    covey_status status = open_for_telling(&s, cmd->word);
    if (status == COVEY_OK && cmd->word_count > 0)
        status = covey_sweep_tell(s, (uint32_t)cmd->trial, (int64_t)cmd->step, text_get(&report), &stop);
    if (status == COVEY_OK && (cmd->done || cmd->failed))
        status = covey_sweep_end(s, (uint32_t)cmd->trial, cmd->failed);
    if (status == COVEY_OK)
        printf("{\"stop\": %s}\n", stop ? "true" : "false");
    int exit = status == COVEY_OK ? STATUS_OK : sweep_cmd_fail(cli, status);
    if (s)
        covey_sweep_close(&s);
    text_fini(&report);
    return exit;
}

/* The runner's pid stands in DIR/runner.pid.  Of one that was killed it stays there, and may be
 * anybody's by now: it counts if that process holds the record. */
int sweep_cmd_runner(const char *dir, int *pid)
{
    char path[PATH_MAX];
    int holder, held = record_is_held(dir, &holder);
    bool fits = (size_t)snprintf(path, sizeof path, "%s/runner.pid", dir) < sizeof path;
    FILE *f = held > 0 && fits ? fopen(path, "re") : NULL;
    *pid = 0;
    if (f && (fscanf(f, "%d", pid) != 1 || *pid <= 1 || *pid != holder))
        *pid = 0;
    if (f)
        fclose(f);
    return held;
}

static int stop(const struct cli *cli, const struct sweep_cmd *cmd)
{
    int pid, held = sweep_cmd_runner(cmd->word, &pid);
    if (held < 0)
        return cli_fail(cli, STATUS_USAGE, NULL, "no sweep in %s: %s", cmd->word, strerror(errno));
    if (held > 0 && pid == 0)
        return cli_fail(cli, STATUS_WORK, "try again", "the sweep in %s is just beginning, or somebody asks or tells",
                        cmd->word);
    if (pid == 0 || kill(pid, SIGINT) != 0)
        return cli_fail(cli, STATUS_WORK, NULL, "nobody runs the sweep in %s", cmd->word);
    cli_say(cli, "its running trials save their checkpoints; `covey sweep resume %s` goes on\n", cmd->word);
    return STATUS_OK;
}

/* ---- the table ------------------------------------------------------------------------------------ */

static const struct action {
    const char *name, *of;
    int (*run)(const struct cli *cli, const struct sweep_cmd *cmd);
    bool more_words;
    const char *options;        /* its own, with a blank between them */
} actions[] = {
    {"run", "FILE.yaml", sweep_cmd_run, false, "dir parallel count seed set detach"},
    {"resume", "DIR", sweep_cmd_resume, false, "parallel count set detach"},
    {"show", "DIR", sweep_cmd_show, false, "json"},
    {"best", "DIR", sweep_cmd_best, false, "json"},
    {"attach", "DIR", sweep_cmd_attach, false, ""},
    {"stop", "DIR", stop, false, ""},
    {"preview", "FILE.yaml", preview, false, "parallel count set"},
    {"report", "DIR", report, false, ""},
    {"create", "FILE.yaml", create, false, "dir parallel count seed set"},
    {"ask", "DIR", ask, false, ""},
    {"tell", "DIR", tell, true, "trial step done failed"},
    {"simulate", "FILE.yaml --curves FILE", sweep_cmd_simulate, false, "curves parallel scheduler set json"},
    {"init", "[-o FILE] [--] PROGRAM [ARGS]", sweep_cmd_init, true, "output"},
};
#define ACTIONS (sizeof actions / sizeof *actions)

static const struct action *find_action(const char *name)
{
    for (size_t i = 0; i < ACTIONS; i++)
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    return NULL;
}

static int unknown_action(const struct cli *cli, const char *typed)
{
    const char *names[ACTIONS + 1] = {NULL};
    for (size_t i = 0; i < ACTIONS; i++)
        names[i] = actions[i].name;
    const char *near = nearest_word(typed, names);
    return cli_fail(cli, STATUS_USAGE, "See: covey sweep --help", "there is no covey sweep %s%s%s%s", typed,
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

covey_sweep_opts sweep_cmd_opts(const struct sweep_cmd *cmd)
{
    return (covey_sweep_opts){
        .size = sizeof(covey_sweep_opts), .dir = cmd->dir, .parallel = (uint32_t)cmd->parallel, .count = cmd->count,
        .seeded = cmd->seeded, .seed = cmd->seed, .set = cmd->set.items,
    };
}

static bool has_option(const struct action *action, const char *name)
{
    size_t len = strlen(name);
    for (const char *o = action->options; *o; o += strcspn(o, " "), o += *o == ' ')
        if (strcspn(o, " ") == len && memcmp(o, name, len) == 0)
            return true;
    return false;
}

static bool is_given(const struct cli *cli, const struct arg_option *options, const char *name)
{
    size_t i = 0;
    while (strcmp(options[i].name, name) != 0)
        i++;
    return cli->given >> i & 1;
}

/* One that the action would not look at was meant to change something. */
static int check_options(const struct cli *cli, const struct action *action, const struct arg_option *options)
{
    char own[256] = "";
    size_t len = 0, i = 0;
    while (options[i].name && (!is_given(cli, options, options[i].name) || has_option(action, options[i].name)))
        i++;
    if (!options[i].name)
        return CLI_GO;
    for (const struct arg_option *o = options; o->name; o++)
        if (has_option(action, o->name))
            len += (size_t)snprintf(own + len, sizeof own - len, "%s --%s", len ? "," : "", o->name);
    return cli_fail(cli, STATUS_USAGE, "See: covey sweep --help", "%s takes no --%s; %s%s", action->name,
                    options[i].name, len ? "its options:" : "it has no options of its own", own);
}

/* Numbers that what takes them could not hold would mean others there, and 0 what was not
 * given. */
static int check_numbers(const struct cli *cli, const struct sweep_cmd *cmd, const struct arg_option *options)
{
    const struct { const char *name; uint64_t value, least, most; } numbers[] = {
        {"parallel", cmd->parallel, 1, UINT32_MAX}, {"count", cmd->count, 1, INT64_MAX},
        {"trial", cmd->trial, 0, UINT32_MAX},       {"step", cmd->step, 0, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!is_given(cli, options, numbers[i].name))
            continue;
        if (numbers[i].value < numbers[i].least)
            return cli_fail(cli, STATUS_USAGE, NULL, "--%s 0: at least 1 is wanted, or leave it out", numbers[i].name);
        if (numbers[i].value > numbers[i].most)
            return cli_fail(cli, STATUS_USAGE, NULL, "--%s must be at most %llu", numbers[i].name,
                            (unsigned long long)numbers[i].most);
    }
    return CLI_GO;
}

static int parse_and_run(struct cli *cli, int argc, char **argv)
{
    struct sweep_cmd cmd = {.trial = UINT64_MAX};
    const struct arg_option options[] = {
        {"dir", 0, ARG_TEXT, &cmd.dir, "DIR", "of a new sweep (default sweeps/NAME-DATE)"},
        {"parallel", 0, ARG_UINT, &cmd.parallel, "N", "trials at once (default: what the cluster has room for)"},
        {"count", 0, ARG_UINT, &cmd.count, "N", "trials at most (default: the file's run_cap)"},
        {"seed", 0, ARG_UINT, &cmd.seed, "S", "of the search (default: the file's, else random)"},
        {"set", 0, ARG_LIST, &cmd.set, "KEY=VALUE", "change what the file says, such as parameters.lr.max=0.1 (resume: limits)"},
        {"trial", 0, ARG_UINT, &cmd.trial, "N", "tell: which one"},
        {"step", 0, ARG_UINT, &cmd.step, "N", "tell: of the metrics (default: the next one)"},
        {"done", 0, ARG_FLAG, &cmd.done, NULL, "tell: the trial has ended well"},
        {"failed", 0, ARG_FLAG, &cmd.failed, NULL, "tell: the trial has failed"},
        {"curves", 0, ARG_TEXT, &cmd.curves, "FILE", "simulate: a CSV file, or the DIR of a sweep"},
        {"scheduler", 0, ARG_TEXT, &cmd.scheduler, "LIST", "simulate: compare these, such as asha,hyperband"},
        {"output", 'o', ARG_TEXT, &cmd.output, "FILE", "init: the file to make (default sweep.yaml, which is shown too)"},
        {"detach", 0, ARG_FLAG, &cmd.detach, NULL, "run, resume: in the background; attach shows it"},
        {"json", 0, ARG_FLAG, &cmd.json, NULL, "for programs, one object a line"},
        {0},
    };
    for (size_t i = 0; cli->words && i < ACTIONS; i++)
        puts(actions[i].name);  /* for completion */
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = check_numbers(cli, &cmd, options);
    if (status != CLI_GO)
        return status;
    cmd.seeded = is_given(cli, options, "seed");
    if (words < 1)
        return cli_fail(cli, STATUS_USAGE, "See: covey sweep --help", "what is to be done: run, resume, show ...?");
    const struct action *action = find_action(argv[1]);
    if (!action)
        return unknown_action(cli, argv[1]);
    status = check_options(cli, action, options);
    if (status != CLI_GO)
        return status;
    if (words < 2 || !argv[2][0] || (words > 2 && !action->more_words))
        return cli_fail(cli, STATUS_USAGE, "See: covey sweep --help", "usage: covey sweep %s %s", action->name, action->of);
    cmd.word = argv[2];
    cmd.words = argv + 3;
    cmd.word_count = words - 2;
    return action->run(cli, &cmd);
}

int cmd_sweep(struct cli *cli, int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "init") != 0)
        return parse_and_run(cli, argc, argv);
    char **own = sweep_init_argv(&argc, argv);
    int exit = own ? parse_and_run(cli, argc, own) : cli_fail(cli, STATUS_WORK, NULL, "out of memory");
    free(own);
    return exit;
}
