/* sweep_detach.h - a runner that goes on behind the terminal it was started from.
 *
 *   caller ---fork---> runner, in a session of its own
 *     |                   |  reads the file, makes DIR; its errors go to the terminal
 *     |                   |  detached_to_log(): output to DIR/runner.log from here on
 *     |                   |  finds or starts the cluster
 *     | <---- DIR --------+  detached_begun(): the sweep runs
 *   prints DIR, exits
 *
 * Where it never begins, the caller exits with the runner's status.
 */
#ifndef COVEY_TOOLS_SWEEP_DETACH_H
#define COVEY_TOOLS_SWEEP_DETACH_H

#include <stdbool.h>

#include "cli.h"

struct detached;

/* Before the process has threads.  True in the runner; false in the caller, who waited
 * and leaves with *@exit. */
bool detached_new(struct detached **out, const struct cli *cli, int *exit);
/* False with errno. */
bool detached_to_log(struct detached *d, const char *dir);
/* Errors go to the terminal again, unless detached_begun() was called: then it has them no more. */
void detached_failed(struct detached *d);
/* Tell the caller; the first time only. */
void detached_begun(struct detached *d, const char *dir);
void detached_free(struct detached **d);

#endif
