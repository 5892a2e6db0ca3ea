/* thread.h - threads that serve another one. */
#ifndef COVEY_BASE_THREAD_H
#define COVEY_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Start a thread in which every signal is blocked: they are for the thread that was
 * there first, and SIGXFSZ and SIGPIPE become errors of the calls that would raise
 * them.  The caller joins it.  False: the system gives none. */
bool thread_start(pthread_t *out, void *(*run)(void *arg), void *arg);

#endif
