/* cmd_sweep.h - what the actions of `covey sweep` share. */
#ifndef COVEY_TOOLS_CMD_SWEEP_H
#define COVEY_TOOLS_CMD_SWEEP_H

#include "cmd.h"
#include "covey/sweep.h"
#include "sweep/space/text.h"

struct trial;

/* The command line, read. */
struct sweep_cmd {
    const char *word;           /* FILE or DIR */
    char **words;               /* what follows it */
    int word_count;
    const char *dir, *curves, *scheduler, *output;
    uint64_t parallel, count, trial, step, seed;
    struct arg_list set;
    bool seeded;                /* --seed was given */
    bool done, failed, json, detach;
};
covey_sweep_opts sweep_cmd_opts(const struct sweep_cmd *cmd);
/* @argv of `init`, with what is the program's behind a "--" of its own: its options
 * need none from the user.  The array is to be freed; NULL: out of memory. */
char **sweep_init_argv(int *argc, char **argv);
/* Of preview: the metric, and the command of a trial in the middle of the space; false
 * with @why. */
struct spec;
void sweep_preview_metric(const struct spec *spec);
bool sweep_preview_command(const struct spec *spec, char *why, size_t why_size);

int sweep_cmd_run(const struct cli *cli, const struct sweep_cmd *cmd);
int sweep_cmd_resume(const struct cli *cli, const struct sweep_cmd *cmd);
int sweep_cmd_show(const struct cli *cli, const struct sweep_cmd *cmd);
int sweep_cmd_best(const struct cli *cli, const struct sweep_cmd *cmd);
int sweep_cmd_simulate(const struct cli *cli, const struct sweep_cmd *cmd);
int sweep_cmd_init(const struct cli *cli, const struct sweep_cmd *cmd);
int sweep_cmd_attach(const struct cli *cli, const struct sweep_cmd *cmd);
/* Say how covey_sweep_run() ended, if not well; the exit status. */
int sweep_cmd_ended(const struct cli *cli, covey_status status, const char *why);
/* covey_sweep_error() on standard error; the exit status. */
int sweep_cmd_fail(const struct cli *cli, covey_status status);
/* Does a process run the sweep in @dir?  Its number in *@pid, 0 where that is not known.
 * -1 with errno: there is no sweep. */
int sweep_cmd_runner(const char *dir, int *pid);
/* A word as a number of a report's JSON, written anew, since C reads more than JSON: .5, +1,
 * 0x10, nan.  False: it is none.  By cmd_report.c. */
bool report_put_number(struct text *out, const char *word);
/* How it stands, and the best trial with its parameters, on standard output. */
void sweep_print_summary(covey_sweep *sweep);
/* "NAME = VALUE" lines of the parameters that are active. */
void sweep_put_params(covey_sweep *sweep, const struct trial *trial, struct text *out);

#endif
