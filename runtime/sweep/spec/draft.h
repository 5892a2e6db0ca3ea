/* draft.h - a first sweep file for a program, from its options.
 *
 * Each option is given the values that its default, its type and its name suggest.
 * What a sweep should not vary (seeds, paths, devices, epochs) and what nothing is
 * known of stands there as a comment.  What comes out is a file that spec.h takes;
 * only the metric's name is the user's to fill in.
 */
#ifndef COVEY_SWEEP_DRAFT_H
#define COVEY_SWEEP_DRAFT_H

#include "sweep/spec/help.h"
#include "sweep/space/text.h"

#define DRAFT_METRIC "your_metric"      /* stands where the user's is to stand */

/* What the file is for; all is borrowed. */
struct draft_opts {
    const char *program;        /* NULL: the command is only `args` */
    const char *const *args;    /* NULL-ended: words before the parameters */
    const char *file;           /* its name, for the comment that says what to do with it */
};

/* Append the file to @out.  How many parameters it has; 0: none was found, and the
 * file would be refused; -1: out of memory. */
int draft_write(struct text *out, const struct draft_opts *opts, const struct help *help);

#endif
