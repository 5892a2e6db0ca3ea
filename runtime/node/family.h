/* family.h - find and end the processes that descend from this one.
 *
 * Works on /proc alone, since user code forks, leaves its process group and
 * session, and lets its parents die: what remains true is that an orphan comes
 * to the nearest ancestor that asked for it (PR_SET_CHILD_SUBREAPER), and that
 * the environment with which a process began can be read.
 *
 * The marker.  Every process under a keeper has COVEY_PROC=NONCE.NUMBER in its
 * environment, NUMBER being ten digits: the process number of the worker that
 * it is or came from, zeros for a zygote.  A program that starts with an empty
 * environment in a session of its own is only found when everything ends.
 */
#ifndef COVEY_NODE_FAMILY_H
#define COVEY_NODE_FAMILY_H

#include <sys/types.h>
#include "core/types.h"

#define FAMILY_MARKER "COVEY_PROC="
#define FAMILY_NONCE_LEN 16     /* hexadecimal digits */
#define FAMILY_DIGITS 10

/* A worker that is dead and reaped. */
struct family_dead {
    uint32_t proc;              /* 0: no marker to look for */
    pid_t pid;                  /* which was its process group and session, too; 0: not known */
};

/* SIGKILL everything that descends from the caller, reaping what comes to it,
 * until nothing lives or @wait_ms are over.  The caller must be a subreaper.
 * Returns how many are left (in an uninterruptible sleep, or forking faster
 * than they can be killed). */
unsigned family_end(int64_t wait_ms);

/* SIGKILL what the @count dead ones left behind: descendants of the caller in
 * their session or process group, or with their marker (of @nonce).  Returns
 * how many the last look still found: 0 when they are gone. */
unsigned family_sweep(const char *nonce, const struct family_dead *dead, size_t count);

#endif
