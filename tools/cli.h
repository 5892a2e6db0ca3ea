/* cli.h - what all subcommands of `covey` share: the table of them, common
 * options, help made from tables, exit statuses, errors in one shape.
 *
 * A command is a function that declares its options, calls cli_parse() and does
 * its work.  Help, `covey COMMAND --help`, and the words for completion come
 * from those same tables, so they cannot differ from what is accepted.
 */
#ifndef COVEY_TOOLS_CLI_H
#define COVEY_TOOLS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "args.h"
#include "covey.h"
#include "io/places.h"

/* The contract of every command; 128 + signal comes from `covey run` alone. */
enum {
    STATUS_OK = 0,
    STATUS_WORK = 1,            /* the work failed */
    STATUS_USAGE = 2,           /* usage or file */
    STATUS_NO_CLUSTER = 3,
    STATUS_REFUSED = 4,
    STATUS_TIMEOUT = 5,
};

struct cli {
    const struct command *command;
    const char *name;           /* --name; NULL: $COVEY_NAME or the default */
    const char *color;          /* --color: auto, always, never */
    bool quiet;
    unsigned verbose;
    bool help, version;
    bool words;                 /* print the words for completion and stop */
    uint64_t given;             /* after cli_parse(): bit i, option i of the command's table */
};

struct command {
    const char *name;
    const char *usage;          /* what follows "covey NAME [OPTIONS]" */
    const char *summary;        /* one line; NULL: hidden */
    const char *text;           /* what it does, examples */
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the name */
};

/* In the order of the help; ends with a NULL name. */
extern const struct command commands[];

#define CLI_GO (-1)

/* Read the common options that stand before the command; its name and what
 * follows are moved to @argv + 1, and their count returned; -1: it is all said. */
int cli_parse_first(struct cli *cli, int argc, char **argv);
/* Read the options of @cli->command, common ones included; @words is how many
 * words are left in front of @argv + 1.  CLI_GO, or the exit status: help was
 * asked for or something was wrong, and it is all said. */
int cli_parse(struct cli *cli, const struct arg_option *options, enum args_order order, int argc,
              char **argv, int *words);
/* At most @max words, at least @min; else the usage error's exit status. */
int cli_words(const struct cli *cli, int words, int min, int max);
/* The cluster that --name, $COVEY_ADDRESS and $COVEY_NAME mean. */
int cli_places(const struct cli *cli, struct places *out);

/* An error on standard error: "covey COMMAND: TEXT" and, where there is one,
 * what to do about it.  Returns @status. */
int cli_fail(const struct cli *cli, int status, const char *mend, const char *format, ...)
    COVEY_PRINTF(4, 5);
/* The same for what went wrong inside: the exit status follows from @status. */
int cli_fail_status(const struct cli *cli, covey_status status, const char *why);
/* No cluster of that name runs. */
int cli_no_cluster(const struct cli *cli, const struct places *p);
/* For people, on standard output; nothing under -q. */
void cli_say(const struct cli *cli, const char *format, ...) COVEY_PRINTF(2, 3);
/* How it goes, on standard error, under -v. */
void cli_detail(const struct cli *cli, const char *format, ...) COVEY_PRINTF(2, 3);

enum cli_style { STYLE_BAD, STYLE_WARN, STYLE_GOOD, STYLE_BOLD, STYLE_COUNT };
/* What turns @style on for @f ("" without colours); cli_style_end() turns it off. */
const char *cli_style(const struct cli *cli, FILE *f, enum cli_style style);
const char *cli_style_end(const struct cli *cli, FILE *f);

#endif
