/* cmd_sweep_show.c - covey sweep show and best: what trials there are, and how a sweep
 * stands. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd_sweep.h"
#include "sweep/saving.h"
#include "sweep/sweep.h"
#include "sweep_screen.h"

#define COLUMNS_USUAL 80        /* where neither COLUMNS nor a terminal says */
#define COLUMNS_MAX 65536
#define VALUE_WIDTH 12          /* of the column that the metric names, at least */
#define OTHERS_WIDTH 63         /* of those beside it, some room for parameters included */

/* ---- for programs ----------------------------------------------------------------------- */

/* Both tables pair a trial's best value with the parameters that made it. */
static void put_params_json(covey_sweep *s, const struct trial *t, struct text *out)
{
    space_print_json(out, &s->spec->space, trial_best_point(t));
}

static void print_trial_json(covey_sweep *s, const struct trial *t)
{
    struct text line = TEXT_NONE;
    text_printf(&line, "{\"trial\": %u, \"state\": \"%s\", ", t->number, trial_state_name(t->state));
    if (isfinite(t->best)) {
        text_puts(&line, "\"value\": ");
        text_json_number(&line, t->best);
        text_printf(&line, ", \"value_step\": %lld, ", (long long)t->best_step);
    }
    text_printf(&line, "\"step\": %lld, \"runs\": %u, \"run_ms\": %lld, \"params\": ", (long long)t->step, t->runs,
                (long long)t->ran_ms);
    put_params_json(s, t, &line);
    text_puts(&line, ", \"dir\": ");
    text_json_string(&line, sweep_trial_dir(s, t->number));
    text_puts(&line, "}");
    printf("%s\n", text_get(&line) ? text_get(&line) : "null");
    text_fini(&line);
}

/* ---- for people -------------------------------------------------------------------------- */

static unsigned out_columns(void)
{
    struct winsize w = {0};
    uint64_t columns;
    const char *wanted = getenv("COLUMNS");
    if (wanted && args_uint(wanted, &columns) && columns > 0 && columns <= COLUMNS_MAX)
        return (unsigned)columns;
    bool known = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0;
    return known ? w.ws_col : COLUMNS_USUAL;
}

static void print_fit(const struct text *whole, const char *rest, unsigned columns)
{
    struct text line = TEXT_NONE;
    screen_fit(text_get(whole) ? text_get(whole) : "", rest, columns, &line);
    printf("%s\n", text_get(&line) ? text_get(&line) : "");
    text_fini(&line);
}

struct table {
    unsigned columns;           /* of a line, but where there is no room for less than the values */
    int value_width;
};

/* The metric's name is whole where there is room for it; the line of the best one has it, too. */
static void print_head(struct table *table, const char *metric)
{
    struct text whole = TEXT_NONE, name = TEXT_NONE;
    unsigned room = table->columns > OTHERS_WIDTH + VALUE_WIDTH ? table->columns - OTHERS_WIDTH : VALUE_WIDTH;
    screen_fit("", metric ? metric : "VALUE", room, &name);
    const char *shown = text_get(&name) ? text_get(&name) : "";
    int width = (int)screen_width(shown);
    table->value_width = width > VALUE_WIDTH ? width : VALUE_WIDTH;
    text_printf(&whole, "%6s  %-9s %*s%s %8s %9s", "TRIAL", "STATE", table->value_width - width, "", shown, "STEP",
                "SECONDS");
    print_fit(&whole, "  PARAMETERS", table->columns);
    text_fini(&whole);
    text_fini(&name);
}

static void print_trial(covey_sweep *s, const struct trial *t, const struct table *table)
{
    char value[32] = "-", seconds[32];
    struct text whole = TEXT_NONE, params = TEXT_NONE;
    if (isfinite(t->best))
        snprintf(value, sizeof value, "%.6g", t->best);
    snprintf(seconds, sizeof seconds, "%.1f", (double)t->ran_ms / 1000);
    text_printf(&whole, "%6u  %-9s %*s %8lld %9s", t->number, trial_state_name(t->state), table->value_width, value,
                (long long)t->step, seconds);
    text_puts(&params, "  ");
    put_params_json(s, t, &params);
    print_fit(&whole, text_get(&params) ? text_get(&params) : "", table->columns);
    text_fini(&whole);
    text_fini(&params);
}

static void print_best(covey_sweep *s)
{
    const struct trial *t = controller_best(s->controller);
    if (!t)
        return;
    struct text params = TEXT_NONE;
    sweep_put_params(s, t, &params);
    printf("best: %s %.6g at step %lld, trial %u\n", s->spec->metric.name, t->best, (long long)t->best_step, t->number);
    for (const char *line = text_get(&params); line && *line; line += strcspn(line, "\n") + 1)
        printf("  %.*s\n", (int)strcspn(line, "\n"), line);
    text_fini(&params);
}

void sweep_put_params(covey_sweep *s, const struct trial *t, struct text *out)
{
    const double *x = trial_best_point(t);
    for (size_t i = 0; i < s->spec->space.count; i++) {
        struct value v;
        struct text text = TEXT_NONE;
        const struct param *p = &s->spec->space.params[i];
        if (!space_is_active(&s->spec->space, x, i) || !param_value(p, x[i], &v))
            continue;
        value_print_python(&text, &v);
        text_printf(out, "%s = ", p->name);
        for (const char *c = text_get(&text); c && *c; c++)
            text_add(out, *c == '\n' ? " " : c, 1);
        text_puts(out, "\n");
        text_fini(&text);
        value_fini(&v);
    }
}

static void print_savings(const struct controller *c)
{
    struct saving saved = saving_of(c);
    int64_t all = saved.longest * saved.trials;
    if (saved.steps < all)
        printf("early stopping: %lld steps instead of the %lld of full runs: %.0f %% saved\n", (long long)saved.steps,
               (long long)all, 100 * (1 - (double)saved.steps / (double)all));
}

void sweep_print_summary(covey_sweep *s)
{
    const struct controller *c = s->controller;
    printf("%u trials: %u complete, %u stopped early, %u paused, %u failed", controller_count(c),
           controller_in_state(c, TRIAL_COMPLETE), controller_in_state(c, TRIAL_STOPPED),
           controller_in_state(c, TRIAL_PAUSED), controller_in_state(c, TRIAL_FAILED));
    if (controller_in_state(c, TRIAL_CANCELLED))
        printf(", %u cancelled", controller_in_state(c, TRIAL_CANCELLED));
    uint32_t left = controller_in_state(c, TRIAL_RUNNING) + controller_in_state(c, TRIAL_WAITING) +
                    controller_in_state(c, TRIAL_ENDING);
    if (left)
        printf(",\n  %u running or to run again", left);
    printf("\n");
    print_savings(c);
    print_best(s);
}

/* ---- the actions ------------------------------------------------------------------------- */

int sweep_cmd_show(const struct cli *cli, const struct sweep_cmd *cmd)
{
    covey_sweep *s;
    struct table table = {.columns = out_columns()};
    covey_status status = covey_sweep_look(&s, cmd->word);
    if (status != COVEY_OK)
        return sweep_cmd_fail(cli, status);
    if (cmd->json)
        printf("{\"schema\": \"covey.sweep/1\"}\n");
    else
        print_head(&table, s->spec->metric.name);
    for (uint32_t i = 0; i < covey_sweep_count(s); i++) {
        const struct trial *t = controller_trial(s->controller, i);
        if (cmd->json)
            print_trial_json(s, t);
        else
            print_trial(s, t, &table);
    }
    if (!cmd->json)
        sweep_print_summary(s);
    covey_sweep_close(&s);
    return STATUS_OK;
}

int sweep_cmd_best(const struct cli *cli, const struct sweep_cmd *cmd)
{
    covey_sweep *s;
    covey_status status = covey_sweep_look(&s, cmd->word);
    if (status != COVEY_OK)
        return sweep_cmd_fail(cli, status);
    const struct trial *t = controller_best(s->controller);
    int exit = t ? STATUS_OK : STATUS_WORK;
    if (!t)
        (void)cli_fail(cli, STATUS_WORK, NULL, "no trial of %s has reported a value yet", cmd->word);
    else if (cmd->json)
        print_trial_json(s, t);
    else
        print_best(s);
    covey_sweep_close(&s);
    return exit;
}
