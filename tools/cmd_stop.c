/* cmd_stop.c - covey stop: end a cluster, whatever state it is in. */
#include "cmd.h"

#define GRACE_DEFAULT_S 5

int cmd_stop(struct cli *cli, int argc, char **argv)
{
    double grace_s = GRACE_DEFAULT_S;
    const struct arg_option options[] = {
        {"grace", 0, ARG_NUMBER, &grace_s, "SECONDS", "for running tasks to end (default: 5)"},
        {0},
    };
    struct places p;
    bool killed;
    char why[1024] = "";
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 0, 0);
    if (status == CLI_GO && grace_s > 86400)
        status = cli_fail(cli, STATUS_USAGE, NULL, "--grace must be at most 86400 seconds");
    if (status == CLI_GO)
        status = cli_places(cli, &p);
    if (status != CLI_GO)
        return status;
    covey_status result = cluster_stop(&p, (int64_t)(grace_s * 1000), false, &killed, why, sizeof why);
    if (result == COVEY_ENOCLUSTER)
        return cli_no_cluster(cli, &p);
    if (result != COVEY_OK)
        return cli_fail_status(cli, result, why);
    cli_say(cli, "cluster '%s' is stopped%s\n", p.name,
            killed ? " (it did not end by itself and was killed)" : "");
    return STATUS_OK;
}
