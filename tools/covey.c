/* covey.c - the covey command: the table of its subcommands, and main.
 *
 * The command is a program with tasks, too, those of `covey bench`: so a node
 * may have started it as a worker, which shows before anything else. */
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "bench.h"
#include "cmd.h"
#include "worker/run.h"
#include "worker/zygote.h"

#define COMMANDS_MAX 32

const struct command commands[] = {
    {"start", "", "start a cluster on this machine",
     "Start a head and a node in the background and return when both are ready.\n"
     "Nothing needs to be configured: no port is opened, and only you can use it.\n"
     "\n"
     "examples\n"
     "  covey start                         all CPUs, the cluster 'default'\n"
     "  covey start --cpus 2 --store 1G     two CPUs and an object store of 1 GiB\n"
     "  covey start --name test --gpus 4    another one, with four pretended devices\n"
     "\n"
     "SIZE is bytes or a number with K, M, G, T (1024s) or KB, MB, GB, TB (1000s).",
     cmd_start},
    {"stop", "", "end it, and everything that it runs",
     "Ask tasks, workers and daemons to end, then end what did not.  Works on what\n"
     "is left of a cluster that was killed, too.\n"
     "\n"
     "examples\n"
     "  covey stop\n"
     "  covey stop --name test --grace 0    at once",
     cmd_stop},
    {"status", "", "what runs and what is free",
     "Nodes, workers, tasks, and what of the machine is in use.\n"
     "\n"
     "examples\n"
     "  covey status\n"
     "  covey status --json | tail -n 1\n"
     "  covey status --name private-4711-0f3a82c1     of a program with its own\n"
     "\n"
     "Exit status 3 means that no cluster of that name runs; programs and sweeps that run\n"
     "with a cluster of their own are told then, with its name for status, list and logs.",
     cmd_status},
    {"run", "PROGRAM [ARGS...]", "run a program with a cluster",
     "Run PROGRAM in this terminal with COVEY_ADDRESS set.  Where no cluster runs,\n"
     "one is started for it, which ends with it.  Options of covey come before\n"
     "PROGRAM; what follows is the program's own.\n"
     "\n"
     "examples\n"
     "  covey run ./pi 1000000\n"
     "  covey run --cpus 2 -- ./train --epochs 3\n"
     "\n"
     "The exit status is the program's; 128 + N when signal N ended it.",
     cmd_run},
    {"sweep", "run|resume|show|best|... WHAT", "search for the best parameters of a program",
     "Run trials of a program with different parameters, in parallel, and stop bad ones\n"
     "early.  FILE.yaml is a sweep file in W&B's format; everything that happens is kept\n"
     "in a directory DIR, from which the sweep goes on after any crash.\n"
     "\n"
     "  run FILE.yaml      run a new sweep        resume DIR   go on with one\n"
     "  preview FILE.yaml  what would run         show DIR     its trials\n"
     "  best DIR           the best parameters    stop DIR     end its runner\n"
     "  report DIR         write DIR/report.html, a page for a browser, now\n"
     "  attach DIR         watch one that runs in the background, by run --detach\n"
     "  create FILE.yaml   a sweep whose trials others run:\n"
     "  ask DIR            the next trial; exit status 10 when there is none\n"
     "  tell DIR --trial N loss=0.3 [--done|--failed]\n"
     "  init PROGRAM [ARGS]                a first sweep.yaml from what PROGRAM --help says\n"
     "  simulate FILE.yaml --curves FILE   early stopping on recorded learning curves;\n"
     "                     pbt is approximated: a copy follows the curve that it copied\n"
     "\n"
     "examples\n"
     "  covey sweep init train.py images/ --epochs 27\n"
     "  covey sweep run sweep.yaml --parallel 4 --set parameters.lr.max=0.1 --set method=random\n"
     "  covey sweep simulate sweep.yaml --curves sweeps/mnist-1 --scheduler asha,hyperband\n"
     "  covey sweep resume sweeps/mnist-20261121-120000 --set run_cap=200\n"
     "\n"
     "--set changes any key of the file for run, preview, create and simulate, by its path;\n"
     "for resume only limits, such as run_cap and time.\n"
     "\n"
     "In a trial, COVEY_REPORT names a socket: a line {\"step\": 5, \"loss\": 0.3} is answered\n"
     "by {\"stop\": false}.",
     cmd_sweep},
    {"report", "NAME=NUMBER...", "report a trial's metric from a shell script",
     "In a trial of `covey sweep`, tell the sweep how it goes and ask whether to go on.\n"
     "Without a step it is the next one.\n"
     "\n"
     "examples\n"
     "  covey report loss=0.3\n"
     "  covey report step=5 loss=0.3 accuracy=0.9 || break\n"
     "\n"
     "exit status\n"
     "  0 go on   10 stop   2 usage   3 no sweep started this: COVEY_REPORT is not set\n"
     "  4 the report was refused   5 no answer",
     cmd_report},
    {"list", "tasks|workers|objects|nodes", "list what there is, one line each",
     "List tasks, workers, objects or nodes.  Tasks are asked of the programs that\n"
     "own them; finished ones are remembered by the node.\n"
     "\n"
     "examples\n"
     "  covey list tasks --state running\n"
     "  covey list objects --limit 1000 --json\n"
     "  covey list workers",
     cmd_list},
    {"logs", "ID", "what a worker or task printed",
     "Print the output of a worker (w3) or of one task (t5.12), as `covey list`\n"
     "shows them; head and node are what these daemons tell, down to the level\n"
     "that COVEY_LOG had when they started.\n"
     "\n"
     "examples\n"
     "  covey logs w3\n"
     "  covey logs -f w3                    and go on, until it ends",
     cmd_logs},
    {"doctor", "", "is this machine fit, and what to mend",
     "Look at everything that covey needs of this machine.  Each line is ok, warn\n"
     "(it works, slower or smaller) or bad (it will not work), with what to do.\n"
     "\n"
     "examples\n"
     "  covey doctor\n"
     "  covey doctor --json",
     cmd_doctor},
    {"bench", "[ROW...]", "measure this machine",
     "Measure what tasks and objects cost here, on clusters of its own that are gone\n"
     "afterwards, and print one line a figure.  Some have a baseline measured along\n"
     "with them, and most a bound that they are meant to keep.\n"
     "\n"
     "examples\n"
     "  covey bench                         everything, in less than a minute\n"
     "  covey bench --list                  what there is to measure\n"
     "  covey bench tasks_sync tasks_async\n"
     "  covey bench --json | jq .value",
     cmd_bench},
    {"_head", "", NULL, "The head daemon; started by covey start.", cmd_head},
    {"_node", "", NULL, "The node daemon; started by covey start.", cmd_node},
    {"_private", "", NULL,
     "Start a cluster that ends when descriptor N reaches end of file.  Prints one\n"
     "line: NAME DIR, or error TEXT.",
     cmd_private},
    {BENCH_HELPER, "", NULL, "What covey bench executes.", cmd_bench_helper},
    {0},
};

static int print_help(void)
{
    printf("covey %s - distributed tasks for C programs and for any command\n\n"
           "usage: covey COMMAND [OPTIONS] ...\n\n", COVEY_VERSION);
    for (const struct command *c = commands; c->name; c++)
        if (c->summary)
            printf("  %-9s %s\n", c->name, c->summary);
    printf("\nfirst steps\n"
           "  covey run ./program             a cluster for one program, gone afterwards\n"
           "  covey start                     or one that stays:\n"
           "  ./program                         programs find it by themselves\n"
           "  covey list tasks                  what do they do?\n"
           "  covey stop\n"
           "  covey sweep init ./train.py     a first sweep file for a program, and then:\n"
           "  covey sweep run sweep.yaml        the search, in parallel, with early stopping\n"
           "  covey COMMAND --help            more on each, with examples\n"
           "\n"
           "everywhere\n"
           "  --name NAME   the cluster          -q, -v       less, more words\n"
           "  --color WHEN  auto, always, never  --help, --version\n"
           "\n"
           "environment\n"
           "  COVEY_ADDRESS  local:NAME, the cluster that programs use\n"
           "  COVEY_NAME     the cluster that commands mean (else 'default')\n"
           "  COVEY_DIR      where clusters live (else $XDG_RUNTIME_DIR/covey)\n"
           "  COVEY_LOG      what daemons tell: error, warn, info (usual) or debug\n"
           "  NO_COLOR       no colours\n"
           "\n"
           "exit status\n"
           "  0 ok   1 the work failed   2 usage or file   3 no cluster   4 refused\n"
           "  5 timeout   128+N ended by signal N   `covey run`: its program's own\n");
    return STATUS_OK;
}

static int unknown_command(const struct cli *cli, const char *typed)
{
    const char *names[COMMANDS_MAX + 1];
    size_t n = 0;
    for (const struct command *c = commands; c->name && n < COMMANDS_MAX; c++)
        if (c->summary)
            names[n++] = c->name;
    names[n] = NULL;
    const char *near = nearest_word(typed, names);
    if (near)
        return cli_fail(cli, STATUS_USAGE, "See: covey --help",
                        "unknown command '%s'; did you mean %s?", typed, near);
    return cli_fail(cli, STATUS_USAGE, "See: covey --help", "unknown command '%s'", typed);
}

static const struct command *find_command(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

/* covey _words [COMMAND]: the words that may come next, for completion. */
static int print_words(struct cli *cli, int argc, char **argv)
{
    if (argc > 1 && (cli->command = find_command(argv[1]))) {
        cli->words = true;
        return cli->command->run(cli, argc - 1, argv + 1);
    }
    for (const struct command *c = commands; c->name; c++)
        if (c->summary)
            puts(c->name);
    puts("--help\n--version");
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    if (zygote_marked()) {
        bench_before_worker(argc, argv);
        worker_main();
    }
    struct cli cli = {0};
    int words = cli_parse_first(&cli, argc, argv);
    if (words < 0)
        return STATUS_USAGE;
    argc = words + 1;
    const char *word = words > 0 ? argv[1] : "";
    if (strcmp(word, "help") == 0) {        /* covey help [COMMAND] */
        cli.help = true;
        argv++;
        argc--;
        word = argc > 1 ? argv[1] : "";
    }
    if (strcmp(word, "version") == 0 || (cli.version && !*word)) {
        printf("covey %s\n", COVEY_VERSION);
        return STATUS_OK;
    }
    if (!*word) {
        print_help();
        return cli.help ? STATUS_OK : STATUS_USAGE;
    }
    if (strcmp(word, "_words") == 0)
        return print_words(&cli, argc - 1, argv + 1);
    cli.command = find_command(word);
    if (!cli.command)
        return unknown_command(&cli, word);
    int status = cli.command->run(&cli, argc - 1, argv + 1);
    /* What was printed and could not be written is a failure, too. */
    if (fflush(stdout) != 0 || ferror(stdout))
        return status == STATUS_OK ? STATUS_WORK : status;
    return status;
}
