/* places.h - where a cluster's things are.
 *
 *   runtime directory  $COVEY_DIR/NAME, else $XDG_RUNTIME_DIR/covey/NAME, else
 *                      TMP/covey-UID/NAME; 0700, ours, not a link.  Holds:
 *                      lock (flock: the head), lock.node, ports (locks of the
 *                      sockets), door, 0.0 (the head's socket), 1.0 (node 1's),
 *                      1.7 (its process 7's), node.pid, head.pid; of a private
 *                      cluster owner and sweep (tools/cluster.h)
 *   state directory    $COVEY_DIR/NAME/state, else $XDG_STATE_HOME/covey/NAME, else
 *                      ~/.local/state/covey/NAME: record.db, logs/, packages/
 *
 * NAME: 1 to 32 of letters, digits, "-", "_", "."; not starting with ".".
 *
 * The directory that holds ours must belong to us or to root and be closed to
 * others, or sticky as /tmp is; else its owner could put another in its place.
 *
 * Threads: any; places_find() reads the environment.
 */
#ifndef COVEY_IO_PLACES_H
#define COVEY_IO_PLACES_H

#include <sys/types.h>

#include "core/types.h"

#define PLACE_MAX 512
#define CLUSTER_NAME_MAX 33
#define CLUSTER_DEFAULT "default"
#define PLACES_HEAD_LOCK "lock"
#define PLACES_NODE_LOCK "lock.node"
#define PLACES_HEAD_PID "head.pid"
#define PLACES_NODE_PID "node.pid"

struct places {
    char name[CLUSTER_NAME_MAX];
    char dir[PLACE_MAX];
    char state[PLACE_MAX];
};

/* Fill in; nothing is created.  @name NULL: $COVEY_NAME, else "default".
 * COVEY_EINVAL (bad name, or a variable that is no absolute path),
 * COVEY_ETOOBIG (ipc paths would not fit in 108). */
covey_status places_find(struct places *out, const char *name, char *why, size_t why_size);
/* The same from an address "local:NAME" or NAME. */
covey_status places_of_address(struct places *out, const char *address, char *why, size_t why_size);
/* Create both, 0700, checking owner, mode and that nothing is a link.
 * COVEY_EREFUSED: something there is not as it must be.  COVEY_ESYSTEM. */
covey_status places_create(const struct places *p, char *why, size_t why_size);
/* Remove sockets and files of the runtime directory, and it.  The state stays
 * unless @state_too.  The caller holds the locks, or knows that nobody does. */
void places_remove(const struct places *p, bool state_too);
/* flock DIR/FILE without waiting; the descriptor is the lock (close-on-exec).
 * COVEY_EAGAIN: somebody has it.  COVEY_ESYSTEM with errno. */
covey_status places_lock(const struct places *p, const char *file, int *fd);
/* Write this process's number to DIR/FILE, for people and scripts: a lock, not
 * a number, tells who lives.  False with errno. */
bool places_write_pid(const struct places *p, const char *file);
/* The number in DIR/FILE; 0: there is none, or none that a daemon can have. */
pid_t places_read_pid(const struct places *p, const char *file);
/* At a clean end, before the lock goes. */
void places_remove_pid(const struct places *p, const char *file);

#endif
