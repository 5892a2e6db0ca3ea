/* cmd.c - what more than one subcommand needs; see cmd.h. */
#include "cmd.h"

#include <signal.h>

int cluster_options_check(const struct cli *cli, const struct cluster_options *o)
{
    if (o->cpus >= 0 && (o->cpus < 0.001 || o->cpus > CLUSTER_CPUS_MAX))
        return cli_fail(cli, STATUS_USAGE, NULL, "--cpus must be more than 0 and at most %d",
                        CLUSTER_CPUS_MAX);
    if (o->gpus > CLUSTER_GPUS_MAX || o->gpus != (int)o->gpus)
        return cli_fail(cli, STATUS_USAGE, NULL, "--gpus must be a whole number up to %d",
                        CLUSTER_GPUS_MAX);
    if (o->store_bytes && o->store_bytes < CLUSTER_STORE_MIN)
        return cli_fail(cli, STATUS_USAGE, NULL, "--store must be at least %u MiB",
                        CLUSTER_STORE_MIN >> 20);
    if (o->processes_max > CLUSTER_PROCESSES_MAX)
        return cli_fail(cli, STATUS_USAGE, NULL, "--processes must be at most %u",
                        CLUSTER_PROCESSES_MAX);
    return CLI_GO;
}

pid_t cluster_shown_pid(const struct places *p, const char *file)
{
    pid_t pid = places_read_pid(p, file);
    return pid > 0 && kill(pid, 0) == 0 ? pid : 0;
}

int cli_query(const struct cli *cli, struct places *p, struct query **query)
{
    char why[512] = "";
    int status = cli_places(cli, p);
    if (status != CLI_GO)
        return status;
    covey_status result = query_open(query, p, QUERY_ENTER_MS, why, sizeof why);
    if (result == COVEY_ENOCLUSTER && cluster_shown_pid(p, PLACES_HEAD_PID))
        return cli_fail(cli, STATUS_NO_CLUSTER, "covey stop clears it away; covey start makes it anew.",
                        "the node of cluster '%s' is dead; its head lives", p->name);
    if (result == COVEY_ENOCLUSTER)
        return cli_no_cluster(cli, p);
    return result == COVEY_OK ? CLI_GO : cli_fail_status(cli, result, why);
}
