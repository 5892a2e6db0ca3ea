/* mesh.h - all links of one process: messages in, frames out, and back.
 *
 * Links appear with the first message or frame and go with mesh_forget().
 * Messages to a forgotten (dead) peer, and frames from one, are dropped.
 * Encoding is the caller's codec, so core stays free of msgpack.
 */
#ifndef COVEY_CORE_MESH_H
#define COVEY_CORE_MESH_H

#include "core/link.h"
#include "core/msg.h"
#include "core/scratch.h"

#define MESH_FORGOTTEN_MAX 1024u    /* dead peers remembered; the oldest goes first */
#define MESH_LINKS_MAX 65536u       /* peers at once */

struct mesh_codec {
    /* Append @msg; @out->failed when memory is out. */
    covey_status (*encode)(struct buf *out, const struct msg *msg);
    /* Decode one record from the front of @bytes, *@used bytes long. */
    covey_status (*decode)(struct span bytes, size_t *used, struct scratch *scratch,
                           struct msg *out, char *why, size_t why_size);
};

struct mesh_ops {
    /* As link_ops.transmit. */
    bool (*transmit)(void *io, struct addr to, struct frame *frame);
    /* One message, in order per peer; borrowed until return.  May call
     * mesh_send(), not mesh_forget() of @from from inside. */
    void (*deliver)(void *io, struct addr from, const struct msg *msg);
    /* As link_ops.full.  May call mesh_send(), not mesh_forget(). */
    void (*full)(void *io, struct addr peer, bool is_full);
    /* The peer sent what no honest peer sends (COVEY_EPROTO, COVEY_EVERSION), or
     * its message could not be decoded for want of memory (COVEY_ENOMEM; the
     * stream has a hole then).  Its link is gone already, it is forgotten. */
    void (*broken)(void *io, struct addr peer, covey_status status, const char *why);
};

struct mesh;
covey_status mesh_new(struct mesh **out, struct addr self, const struct mesh_codec *codec,
                      const struct mesh_ops *ops, void *io);
void mesh_free(struct mesh **mesh);

/* Queue a message to another process (never to self).  Never blocks;
 * COVEY_ENOMEM, COVEY_ETOOBIG, COVEY_ECLOSED (forgotten peer), COVEY_ELIMIT
 * (MESH_LINKS_MAX).  It leaves with the next flush, or when a frame is full. */
covey_status mesh_send(struct mesh *mesh, struct addr to, const struct msg *msg, int64_t now);
/* Everything that is open leaves now. */
void mesh_flush(struct mesh *mesh, int64_t now);
/* Only on links with nothing unacknowledged: a lone message leaves at once, a
 * stream of them gathers while the peer is busy with the first. */
void mesh_flush_idle(struct mesh *mesh, int64_t now);
bool mesh_has_open(const struct mesh *mesh);

/* A frame as it came.  Frames from forgotten peers are dropped; peers that send
 * what cannot be go to ops->broken.  Where there is no peer to blame the status
 * says why, for whoever knows the connection: COVEY_EPROTO, COVEY_EVERSION (no
 * readable header, not for us), COVEY_ENOMEM, COVEY_ELIMIT (no new link; the
 * peer will send it again).  Not from inside deliver. */
covey_status mesh_receive(struct mesh *mesh, struct span frame, int64_t now);
void mesh_writable(struct mesh *mesh, struct addr peer, int64_t now);
void mesh_reconnected(struct mesh *mesh, struct addr peer, int64_t now);
/* The peer is dead for good: the link goes, its address is remembered in a
 * bounded set so that late frames stay out. */
void mesh_forget(struct mesh *mesh, struct addr peer);
void mesh_tick(struct mesh *mesh, int64_t now);
int64_t mesh_deadline(const struct mesh *mesh);     /* next tick; NEVER_NS */

/* Frames that were refused without a peer to blame, that came from forgotten
 * peers, and peers that went to ops->broken. */
struct mesh_stats { uint64_t bad, late, broken; };
struct mesh_stats mesh_stats(const struct mesh *mesh);

#endif
