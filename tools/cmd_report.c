/* cmd_report.c - covey report: a shell script that is a trial reports its metric. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd_sweep.h"

#define STATUS_STOP 10          /* for scripts: the trial is to end */

bool report_put_number(struct text *out, const char *word)
{
    char *end;
    double value = strtod(word, &end);
    if (end == word || *end)
        return false;
    if (isfinite(value))
        text_json_number(out, value);
    else
        text_puts(out, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    return true;
}

/* "loss=0.3" as a member of the report.  CLI_GO, or the usage error's status. */
static int add_word(const struct cli *cli, struct text *out, const char *word)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word)
        return cli_fail(cli, STATUS_USAGE, NULL, "'%s' is not NAME=NUMBER", word);
    char *name = strndup(word, (size_t)(equals - word));
    if (!name)
        return cli_fail(cli, STATUS_WORK, NULL, "out of memory");
    text_puts(out, out->len > 1 ? ", " : "");
    text_json_string(out, name);
    text_puts(out, ": ");
    bool is_step = strcmp(name, "step") == 0;
    free(name);
    uint64_t step;
    if (is_step) {
        if (!args_uint(equals + 1, &step) || step > INT64_MAX)
            return cli_fail(cli, STATUS_USAGE, NULL, "'%s': a step is a whole number", word);
        text_printf(out, "%llu", (unsigned long long)step);
        return CLI_GO;
    }
    if (!report_put_number(out, equals + 1))
        return cli_fail(cli, STATUS_USAGE, NULL, "'%s': '%s' is not a number", word, equals + 1);
    return CLI_GO;
}

static int report(const struct cli *cli, const char *json)
{
    covey_status status = covey_report(json);
    switch (status) {
    case COVEY_OK: return STATUS_OK;
    case COVEY_ECANCELLED: return STATUS_STOP;
    case COVEY_ENOCLUSTER: return cli_fail(cli, STATUS_NO_CLUSTER, NULL, "%s", covey_report_error());
    case COVEY_EPROTO: return cli_fail(cli, STATUS_REFUSED, NULL, "%s", covey_report_error());
    case COVEY_ETIMEOUT: return cli_fail(cli, STATUS_TIMEOUT, NULL, "%s", covey_report_error());
    default: return cli_fail(cli, STATUS_WORK, NULL, "%s", covey_report_error());
    }
}

int cmd_report(struct cli *cli, int argc, char **argv)
{
    const struct arg_option options[] = {{0}};
    struct text json = TEXT_NONE;
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 1, ARG_LIST_MAX);
    text_puts(&json, "{");
    for (int i = 1; status == CLI_GO && i <= words; i++)
        status = add_word(cli, &json, argv[i]);
    text_puts(&json, "}");
    if (status == CLI_GO && !text_get(&json))
        status = cli_fail(cli, STATUS_WORK, NULL, "out of memory");
    if (status == CLI_GO)
        status = report(cli, text_get(&json));
    text_fini(&json);
    return status;
}
