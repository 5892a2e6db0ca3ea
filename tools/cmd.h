/* cmd.h - the subcommands of `covey`.
 *
 * Each one lives in cmd_NAME.c, declares its options, and returns an exit
 * status of cli.h.  argv[0] is the subcommand's name.
 */
#ifndef COVEY_TOOLS_CMD_H
#define COVEY_TOOLS_CMD_H

#include "cli.h"
#include "cluster.h"
#include "query.h"

int cmd_start(struct cli *cli, int argc, char **argv);
int cmd_stop(struct cli *cli, int argc, char **argv);
int cmd_status(struct cli *cli, int argc, char **argv);
int cmd_run(struct cli *cli, int argc, char **argv);
int cmd_list(struct cli *cli, int argc, char **argv);
int cmd_logs(struct cli *cli, int argc, char **argv);
int cmd_doctor(struct cli *cli, int argc, char **argv);
int cmd_bench(struct cli *cli, int argc, char **argv);
int cmd_sweep(struct cli *cli, int argc, char **argv);
int cmd_report(struct cli *cli, int argc, char **argv);

/* Hidden: what others execute. */
int cmd_head(struct cli *cli, int argc, char **argv);
int cmd_node(struct cli *cli, int argc, char **argv);
int cmd_private(struct cli *cli, int argc, char **argv);
int cmd_bench_helper(struct cli *cli, int argc, char **argv);

#define QUERY_ENTER_MS 2000     /* to be let in by a node */
#define QUERY_ANSWER_MS 5000    /* it gives the owners of tasks a second */
/* Find the cluster and enter it.  CLI_GO, or what was said is the exit status; where none
 * runs, who has a private one is said, too. */
int cli_query(const struct cli *cli, struct places *p, struct query **query);
/* The number in DIR/FILE if such a process lives: for people, who may find
 * it wrong if the machine has given the number away since. */
pid_t cluster_shown_pid(const struct places *p, const char *file);

/* What a node may use; rows of an option table. */
#define CLUSTER_OPTIONS_NONE ((struct cluster_options){.cpus = -1, .gpus = -1})
#define CLUSTER_OPTION_ROWS(o)                                                          \
    {"cpus", 0, ARG_NUMBER, &(o)->cpus, "N", "CPUs to lend (default: all of the machine)"}, \
    {"gpus", 0, ARG_NUMBER, &(o)->gpus, "N", "declare N devices instead of looking for them"}, \
    {"memory", 0, ARG_SIZE, &(o)->memory_bytes, "SIZE", "memory to lend to tasks"},     \
    {"store", 0, ARG_SIZE, &(o)->store_bytes, "SIZE", "size of the object store"},      \
    {"processes", 0, ARG_UINT, &(o)->processes_max, "N", "worker processes at most (default: by the CPUs)"}
/* CLI_GO, or the usage error's status for amounts that make no sense. */
int cluster_options_check(const struct cli *cli, const struct cluster_options *options);

#endif
