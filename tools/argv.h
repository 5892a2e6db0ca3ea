/* argv.h - put together the argument list of a process that we execute.
 *
 * For our own subcommands only: few and short arguments, all of them ours, so
 * one that does not fit is a bug.
 */
#ifndef COVEY_TOOLS_ARGV_H
#define COVEY_TOOLS_ARGV_H

#include "cluster.h"

#define ARGV_MAX 24
#define ARGV_BYTES 96           /* of one argument */

struct argv {
    int count;
    char text[ARGV_MAX][ARGV_BYTES];
    char *list[ARGV_MAX + 1];   /* NULL-ended, into @text */
};

void argv_add(struct argv *argv, const char *format, ...) COVEY_PRINTF(2, 3);
/* What was given of @options, as CLUSTER_OPTION_ROWS read it. */
void argv_add_options(struct argv *argv, const struct cluster_options *options);

#endif
