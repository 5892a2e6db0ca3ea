/* cmd_start.c - covey start: head and node as daemons of their own. */
#include "cmd.h"
#include "io/mono.h"

static int refuse(const struct cli *cli, const struct places *p, const char *why)
{
    char mend[160];
    snprintf(mend, sizeof mend, "Use it (covey status --name %s), end it (covey stop --name %s) or "
             "choose another --name.", p->name, p->name);
    return cli_fail(cli, STATUS_REFUSED, mend, "%s", why);
}

static void tell(const struct cli *cli, const struct places *p, int64_t took_ms)
{
    cli_say(cli, "%scluster '%s' is running%s (started in %lld ms)\n",
            cli_style(cli, stdout, STYLE_GOOD), p->name, cli_style_end(cli, stdout),
            (long long)took_ms);
    cli_say(cli, "  directory  %s\n  logs       %s\n", p->dir, p->state);
    cli_say(cli, "\nUse it:  covey run --name %s ./program\n", p->name);
    cli_say(cli, "    or:  export COVEY_ADDRESS=local:%s\n", p->name);
    cli_say(cli, "Look:    covey status --name %s\n", p->name);
    cli_say(cli, "End it:  covey stop --name %s\n", p->name);
}

int cmd_start(struct cli *cli, int argc, char **argv)
{
    struct cluster_options o = CLUSTER_OPTIONS_NONE;
    const struct arg_option options[] = {CLUSTER_OPTION_ROWS(&o), {0}};
    struct places p;
    struct cluster_life life;
    char why[1024] = "";
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 0, 0);
    if (status == CLI_GO)
        status = cluster_options_check(cli, &o);
    if (status == CLI_GO)
        status = cli_places(cli, &p);
    if (status != CLI_GO)
        return status;
    int64_t begin = mono_ns();
    covey_status result = cluster_start(&p, &o, &life, why, sizeof why);
    if (result == COVEY_EREFUSED)
        return refuse(cli, &p, why);
    if (result != COVEY_OK)
        return cli_fail_status(cli, result, why);
    cli_detail(cli, "head %d, node %d", (int)life.head, (int)life.node);
    tell(cli, &p, (mono_ns() - begin) / MS_NS);
    return STATUS_OK;
}
