/* door.h - the unix seqpacket socket by which processes enter their node.
 *
 * One encoded record a packet, at most DOOR_BYTES_MAX; descriptors ride along.
 * The kernel vouches for the peer's uid and pid (SO_PEERCRED), and its end of
 * file is the peer's death.  After hello and welcome nothing else crosses a
 * door: it stays open so that each side hears of the other's end.
 *
 * Blocking, with deadlines; used by processes that enter, and by the node
 * through its own loop on non-blocking descriptors.
 *
 * Threads: any, one at a time for each descriptor.
 */
#ifndef COVEY_IO_DOOR_H
#define COVEY_IO_DOOR_H

#include <sys/types.h>
#include "core/msg.h"
#include "core/scratch.h"

#define DOOR_BYTES_MAX (64u * 1024)
#define DOOR_FDS_MAX 4
#define DOOR_NAME "door"        /* in the cluster's directory */
#define DOOR_BACKLOG 1024       /* connections that wait to be accepted */

/* Bind DIR/door (0600), listening, non-blocking.  A stale socket of a dead node
 * is replaced; the caller holds the directory's lock.  COVEY_ESYSTEM with errno. */
covey_status door_listen(int *fd, const char *dir);
/* One waiting connection, checked: the peer's uid is ours (root's is not
 * special), else it is closed and COVEY_EREFUSED.  COVEY_EAGAIN: none waits.
 * COVEY_ESYSTEM with errno: EMFILE and the like leave it waiting.  *@fd is
 * non-blocking and the caller's. */
covey_status door_accept(int listen_fd, int *fd, pid_t *pid);
/* COVEY_ENOCLUSTER: nobody listens there.  COVEY_EREFUSED: somebody else's
 * process does.  COVEY_ETIMEOUT: too many wait before us. */
covey_status door_connect(int *fd, const char *dir, int64_t timeout_ms);

/* Whole packets.  Descriptors are dup'ed by the kernel; the sender keeps its
 * own.  COVEY_EAGAIN on a non-blocking one that is full; COVEY_ECLOSED: the
 * peer is gone; COVEY_ETOOBIG. */
covey_status door_send(int fd, const struct msg *msg, const int *fds, int fd_count);
/* Say no in words, and why.  What cannot be sent is lost: the caller closes. */
void door_refuse(int fd, covey_status status, const char *why);
/* Waits up to @timeout_ms (0: not, -1: for ever).  @fds has room for
 * DOOR_FDS_MAX; received descriptors are close-on-exec and the caller's.  Both
 * may be NULL: none are wanted, and what came is closed.  The record aliases
 * @scratch.  COVEY_ECLOSED: end of file; COVEY_EAGAIN: nothing there, with a
 * timeout of 0; COVEY_ETIMEOUT; COVEY_EPROTO, COVEY_EVERSION with @why. */
covey_status door_receive(int fd, int64_t timeout_ms, struct scratch *scratch, struct msg *out,
                          int *fds, int *fd_count, char *why, size_t why_size);

/* The whole entry: connect, HELLO, WELCOME.  On success *@door_fd stays open,
 * *@ro_fd and *@rw_fd are the arena's; spans of @welcome alias @scratch.
 * COVEY_ENOCLUSTER, COVEY_EREFUSED, COVEY_EVERSION, COVEY_ETIMEOUT with @why. */
covey_status door_enter(const char *dir, const struct msg_door_hello *hello, int64_t timeout_ms,
                        struct scratch *scratch, struct msg_door_welcome *welcome,
                        int *door_fd, int *ro_fd, int *rw_fd, char *why, size_t why_size);

#endif
