/* cmd_sweep.h - what the actions of `covey sweep` share. */
#ifndef COVEY_TOOLS_CMD_SWEEP_H
#define COVEY_TOOLS_CMD_SWEEP_H

#include "cmd.h"
#include "covey/sweep.h"

/* The command line, read. */
struct sweep_cmd {
    const char *word;           /* FILE or DIR */
    char **words;               /* what follows it */
    int word_count;
    const char *dir, *curves, *scheduler, *output;
    uint64_t parallel, count, trial, step, seed;
    struct arg_list set;
    bool done, failed, json;
};
covey_sweep_opts sweep_cmd_opts(const struct sweep_cmd *cmd);

int sweep_cmd_run(const struct cli *cli, const struct sweep_cmd *cmd);
int sweep_cmd_resume(const struct cli *cli, const struct sweep_cmd *cmd);
int sweep_cmd_simulate(const struct cli *cli, const struct sweep_cmd *cmd);
int sweep_cmd_init(const struct cli *cli, const struct sweep_cmd *cmd);
/* covey_sweep_error() on standard error; the exit status. */
int sweep_cmd_fail(const struct cli *cli, covey_status status);
/* How it stands, and the best trial with its parameters, on standard output. */
void sweep_print_summary(covey_sweep *sweep);
void sweep_print_best(covey_sweep *sweep);

#endif
