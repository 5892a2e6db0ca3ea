/* args.h - read command lines strictly: options from a table, sizes, numbers.
 *
 * Pure: nothing is printed and nothing allocated; results alias argv.  Errors
 * are told in words that name the option and what would have been right.
 */
#ifndef COVEY_TOOLS_ARGS_H
#define COVEY_TOOLS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum arg_type {
    ARG_FLAG,                   /* bool: set */
    ARG_COUNT,                  /* unsigned: one more */
    ARG_TEXT,                   /* const char *: not empty */
    ARG_UINT,                   /* uint64_t: digits */
    ARG_NUMBER,                 /* double: finite, not negative */
    ARG_SIZE,                   /* uint64_t bytes: args_size() */
    ARG_LIST,                   /* struct arg_list: each time one more */
};

#define ARG_LIST_MAX 64
struct arg_list {
    const char *items[ARG_LIST_MAX + 1];    /* NULL-ended */
    size_t count;
};

/* A table of these ends with a NULL name. */
struct arg_option {
    const char *name;           /* without its dashes */
    char letter;                /* 0: none */
    enum arg_type type;
    void *out;                  /* of the type above; untouched when not given */
    const char *value;          /* what help calls its value; NULL for flags */
    const char *help;
};

enum args_order {
    ARGS_MIXED,                 /* options may follow words */
    ARGS_PREFIX,                /* the first word ends the options: the rest is another program's */
};

/* Read @argv[0..argc).  The words that are no options are moved to its front;
 * their count is returned, -1 with @why when something is wrong.  "--" ends the
 * options; "--name=value", "--name value", "-n value" and "-nvalue" are one.
 * Bit i of *@given says that options[i] was there. */
int args_parse(const struct arg_option *options, enum args_order order, int argc, char **argv,
               uint64_t *given, char *why, size_t why_size);

/* Bytes from "4096", "512M", "1.5GiB", "2GB".  K M G T (also KiB ...) count in
 * 1024s, KB MB GB TB in 1000s, in capitals or not; a fraction needs a unit and
 * is rounded down to whole bytes.  No sign, space or exponent; at most INT64_MAX. */
bool args_size(const char *text, uint64_t *out);
/* Digits only. */
bool args_uint(const char *text, uint64_t *out);
/* Digits with at most one point: "2", "0.5". */
bool args_number(const char *text, double *out);

/* "1.5 GiB", for people. */
const char *args_format_size(char *out, size_t size, uint64_t bytes);

#endif
