/* cmd.c - what more than one subcommand needs; see cmd.h. */
#include "cmd.h"

#include <signal.h>
#include <string.h>

#include "sweep/space/text.h"

#define PRIVATES_SHOWN 8        /* more of them are counted */
#define WORDS_SHOWN 80          /* bytes of a program's command line */

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

/* The words of a process, for people; "a program" where they cannot be read. */
static void read_words(pid_t pid, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(out, 1, size - 1, f) : 0;
    for (size_t i = 0; i + 1 < n; i++)
        out[i] = (char)(out[i] == 0 ? ' ' : out[i]);
    out[n] = 0;
    if (n == 0)
        snprintf(out, size, "a program");
    if (f)
        fclose(f);
}

static void tell_private(struct cluster_private *one)
{
    char words[WORDS_SHOWN];
    text_make_plain(one->sweep, strlen(one->sweep), "");
    read_words(one->owner, words, sizeof words);
    text_make_plain(words, strlen(words), "");
    if (*one->sweep)
        fprintf(stderr, "  The sweep in %s runs with a cluster of its own: covey sweep attach %s\n", one->sweep,
                one->sweep);
    else
        fprintf(stderr, "  Process %d, %s, runs with a cluster of its own.\n", (int)one->owner, words);
    fprintf(stderr, "    status, list and logs show that cluster with --name %s\n", one->name);
}

/* Somebody who finds no cluster may miss one that a program has started for itself. */
static void tell_privates(const struct places *p)
{
    static struct cluster_private found[PRIVATES_SHOWN];
    size_t count = cluster_privates(p, found, PRIVATES_SHOWN);
    for (size_t i = 0; i < count && i < PRIVATES_SHOWN; i++)
        tell_private(&found[i]);
    if (count > PRIVATES_SHOWN)
        fprintf(stderr, "  and %zu more\n", count - PRIVATES_SHOWN);
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
    if (result == COVEY_ENOCLUSTER) {
        status = cli_no_cluster(cli, p);
        tell_privates(p);
        return status;
    }
    return result == COVEY_OK ? CLI_GO : cli_fail_status(cli, result, why);
}
