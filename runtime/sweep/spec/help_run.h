/* help_run.h - what a program prints when it is asked for help.
 *
 * A stranger's program may wait for input, print without end, ignore what it is
 * told, and leave children behind: it gets no input, a time and a size, and a process
 * group that is killed before this returns.  Where the caller is killed meanwhile, it is, too,
 * though not its children.
 */
#ifndef COVEY_SWEEP_HELP_RUN_H
#define COVEY_SWEEP_HELP_RUN_H

#include "sweep/space/text.h"

#define HELP_RUN_MS 30000

enum help_end { HELP_EXITED, HELP_LATE, HELP_TOO_LONG, HELP_NOT_RUN };

struct help_result {
    enum help_end end;
    int status;                 /* EXITED: exit status, 128 + signal; NOT_RUN: errno */
    struct text out;            /* owned: its standard output and error, as they came */
};

/* Run @argv, found by PATH, for @ms at most, and with @bytes at most.  Blocks. */
void help_run(struct help_result *out, char *const argv[], int ms, size_t bytes);
void help_result_fini(struct help_result *r);

#endif
