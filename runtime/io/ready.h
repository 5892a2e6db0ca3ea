/* ready.h - a daemon's word to who started it: one line on a pipe.
 *
 *   "ready\n"          it serves
 *   "failed: WHY\n"    it does not, and is about to end
 *
 * A pipe that ends without a line: the daemon died on its way.
 */
#ifndef COVEY_IO_READY_H
#define COVEY_IO_READY_H

#define READY_WORD "ready"
#define READY_FAILED "failed: "

/* Say that all is well (@why NULL) or what is not, close *@fd and leave -1 in it.
 * Nothing where it is -1 already, so only the first word counts.  SIGPIPE must be
 * ignored: who waited may be gone. */
void ready_tell(int *fd, const char *why);

#endif
