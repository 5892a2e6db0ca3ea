/* help.h - the options of a program, read from what its --help prints.
 *
 *     -l LR, --lr LR         learning rate (default: 0.01)      argparse
 *     --opt {adam,sgd}       the optimizer
 *     --lr FLOAT             Learning rate.  [default: 0.01]    click, typer
 *     --amp / --no-amp
 *     -b, --batch-size=N     images at a time                   getopt_long, GNU
 *     --opt <OPT>            [possible values: adam, sgd]       clap
 *     -lr float                                                 Go
 *
 * The text is a stranger's: any bytes will do.  What is no line of an option is
 * passed over, and what is too long for its place is cut, or left out where a part
 * would mean something else.  Allocates nothing.
 */
#ifndef COVEY_SWEEP_HELP_H
#define COVEY_SWEEP_HELP_H

#include <stdbool.h>
#include <stddef.h>

#define HELP_BYTES_MAX (1024u * 1024)   /* of a text that is read; the rest is passed over */
#define HELP_OPTIONS_MAX 256
#define HELP_NAME_MAX 64                /* bytes, the NUL included, as below */
#define HELP_WORD_MAX 64                /* of a default or a choice */
#define HELP_TEXT_MAX 512
#define HELP_CHOICES_MAX 32
#define HELP_WORDS_MAX 8

enum help_type { HELP_UNKNOWN, HELP_INT, HELP_FLOAT, HELP_TEXT, HELP_PATH, HELP_BOOL };

struct help_option {
    char name[HELP_NAME_MAX];   /* the long one without its dashes: letters, digits, "_-." */
    bool takes_value;
    bool is_many;               /* several words follow it */
    char off[HELP_NAME_MAX];    /* the option that turns it off: "no-amp"; "": none */
    enum help_type type;        /* as far as the text tells */
    char standard[HELP_WORD_MAX]; /* its default; "": not told, or none */
    char choices[HELP_CHOICES_MAX][HELP_WORD_MAX];
    size_t choice_count;
    char text[HELP_TEXT_MAX];   /* what it is, on one line */
};

struct help {
    struct help_option options[HELP_OPTIONS_MAX];
    size_t count;
    size_t left_out;            /* options beyond HELP_OPTIONS_MAX */
    char words[HELP_WORDS_MAX][HELP_WORD_MAX]; /* what it wants besides options, by its usage */
    size_t word_count;
};

void help_read(struct help *out, const char *bytes, size_t size);

#endif
