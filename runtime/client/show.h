/* show.h - what a process shows people: its tasks in lists, the output of its
 * workers on the terminal. */
#ifndef COVEY_CLIENT_SHOW_H
#define COVEY_CLIENT_SHOW_H

#include "client/process.h"

#define SHOW_BYTES_PER_SECOND (256 * 1024)  /* of all tasks' output together */

/* Prefixed lines on standard output or error, rate-limited; never blocks. */
void show_log(covey *c, const struct msg_log *m);
/* Answer a list of tasks with this owner's live ones. */
void show_tasks(covey *c, struct addr to, const struct msg_query *q);

#endif
