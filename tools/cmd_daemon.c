/* cmd_daemon.c - covey _head, covey _node: this program as one of the daemons.
 *
 * Executed by launch.c, so that a daemon shares nothing with who started it.
 */
#include "cmd.h"
#include "head/head.h"
#include "node/node.h"

static int parse(struct cli *cli, const struct arg_option *options, int argc, char **argv,
                 struct places *p)
{
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 0, 0);
    return status == CLI_GO ? cli_places(cli, p) : status;
}

#define READY_FD_OPTION(out) \
    {"ready-fd", 0, ARG_UINT, (out), "N", "say on this descriptor when it is ready"}
#define READY_FD_NONE UINT64_MAX

static int ready_descriptor(uint64_t given)
{
    return given <= INT32_MAX ? (int)given : -1;
}

int cmd_head(struct cli *cli, int argc, char **argv)
{
    uint64_t ready_fd = READY_FD_NONE;
    const struct arg_option options[] = {READY_FD_OPTION(&ready_fd), {0}};
    struct places p;
    int status = parse(cli, options, argc, argv, &p);
    return status == CLI_GO ? head_main(&p, NULL, ready_descriptor(ready_fd)) : status;
}

int cmd_node(struct cli *cli, int argc, char **argv)
{
    uint64_t ready_fd = READY_FD_NONE;
    struct cluster_options o = CLUSTER_OPTIONS_NONE;
    const struct arg_option options[] = {READY_FD_OPTION(&ready_fd), CLUSTER_OPTION_ROWS(&o), {0}};
    struct places p;
    int status = parse(cli, options, argc, argv, &p);
    if (status == CLI_GO)
        status = cluster_options_check(cli, &o);
    if (status != CLI_GO)
        return status;
    struct node_options node = NODE_OPTIONS_DEFAULT;
    node.cpus = o.cpus > 0 ? o.cpus : 0;
    node.gpus = o.gpus > 0 ? o.gpus : 0;
    node.memory_bytes = o.memory_bytes;
    node.store_bytes = o.store_bytes;
    node.processes_max = (uint32_t)o.processes_max;
    return node_main(&p, &node, ready_descriptor(ready_fd));
}
