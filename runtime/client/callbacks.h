/* callbacks.h - callbacks and unread messages of refs (process.h has the types).
 * Lock held. */
#ifndef COVEY_CLIENT_CALLBACKS_H
#define COVEY_CLIENT_CALLBACKS_H

#include "client/process.h"

/* A running task's message: to its callback's queue, or until it is read.  One
 * that cannot be kept is answered as read, so that its sender goes on. */
void callbacks_post(covey *c, covey_ref ref, const struct msg_post *m);
/* The cluster is gone: whoever waits to be told that a ref is settled is told that. */
void callbacks_settle_all(covey *c);
/* This thread is in a callback. */
bool callbacks_inside(void);
/* When the process closes: everything that never ran. */
void callbacks_free(covey *c);

#endif
