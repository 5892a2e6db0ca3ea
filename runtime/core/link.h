/* link.h - one peer's stream of frames: numbered, acknowledged, in credit.
 *
 * A link turns an unreliable, reordering, duplicating carrier of frames into a
 * first-in first-out stream for as long as both processes live.  It is pure:
 * time comes as @now, frames go out through link_ops.transmit.
 *
 * A frame is a fixed header and a body of records back to back (or nothing:
 * a bare acknowledgement).  All integers little endian:
 *
 *    0  u32  magic "CVY" + WIRE_VERSION
 *    4  u32  body length in the low 24 bits, flags in the high 8:
 *           FRAME_ASK  an acknowledgement is wanted at once
 *           FRAME_GAP  the frame after the acknowledged one is missing
 *           Only frames without a body carry flags.
 *    8  4 x u32  source address (node, proc, inc, actor)
 *   24  4 x u32  destination address
 *   40  u64  number of this frame, from 1; 0: no body, acknowledgement only
 *   48  u64  acknowledgement: every frame up to this number has arrived
 *   56  u64  credit: the receiver takes body bytes up to this total
 *   64  body
 *
 * Loss is mended by going back.  A receiver drops what is out of order and says
 * once per missing frame that there is a gap; what it has already it drops and
 * acknowledges again.  A sender that hears of a gap, or nothing for a retry
 * time (LINK_RETRY_MIN doubled up to LINK_RETRY_MAX), sends its frames again
 * from the oldest on, at most LINK_RESEND_FRAMES beyond what is acknowledged,
 * and nothing new until it has been through them.  A frame of which the
 * carrier still holds a reference is on its way and is passed over: so a peer
 * that is stopped or slow never has a frame twice before it.  On a local ipc
 * socket frames are not lost, so these timers only ever run while the peer is
 * stopped.
 *
 * Acknowledgements ride on traffic.  A bare one goes out when LINK_ACK_BYTES
 * or LINK_ACK_FRAMES are unacknowledged or LINK_ACK_DELAY after the first
 * change that the peer has not been told of, be it a frame or credit.
 *
 * Credit is in bytes, end to end: the receiver's window is LINK_WINDOW past
 * what its owner has consumed.  What exceeds the credit waits here; the ops
 * tell the core that the link is full (queued > LINK_FULL) and ready again
 * (queued < LINK_FULL / 2).  Appending never fails for lack of credit.  A
 * sender that waits for credit with nothing left to be acknowledged asks for
 * it (FRAME_ASK) every retry time, so a lost update cannot stop it for ever.
 */
#ifndef COVEY_CORE_LINK_H
#define COVEY_CORE_LINK_H

#include "core/buf.h"
#include "core/list.h"
#include "core/types.h"

#define FRAME_HEADER 64u
#define FRAME_TARGET (16u * 1024)       /* a frame that reaches this goes at once */
#define FRAME_BYTES_MAX (8u * 1024 * 1024)  /* with the header; fits the window twice */
#define FRAME_ASK 1u
#define FRAME_GAP 2u
#define LINK_WINDOW (16u * 1024 * 1024)
#define LINK_FULL (4u * 1024 * 1024)
#define LINK_ACK_BYTES (1u * 1024 * 1024)
#define LINK_ACK_FRAMES 64u
#define LINK_ACK_DELAY (20 * MS_NS)
#define LINK_RETRY_MIN (200 * MS_NS)
#define LINK_RETRY_MAX (5 * SECOND_NS)
#define LINK_RESEND_FRAMES 64u
/* Unacknowledged frames.  At this bound (or without credit) a flush leaves the
 * open frame to gather more, so that many tiny frames cannot pile up. */
#define LINK_FLIGHT_FRAMES 1024u
/* Acknowledged frames kept for use again, of both sizes: as many as fly between
 * two acknowledgements.  A frame that stays small is copied to one of
 * FRAME_SMALL bytes when it is closed, so that it does not hold a large one
 * until it is acknowledged. */
#define LINK_SPARE_FRAMES (LINK_ACK_BYTES / FRAME_TARGET)
#define LINK_SPARE_BYTES (64u * 1024)   /* one that grew beyond is freed */
#define FRAME_SMALL 1024u

/* Reference-counted, so that the carrier can send without a copy while the
 * link keeps the bytes for a resend.  The count is atomic: a carrier may drop
 * its reference on a thread of its own. */
struct frame {
    struct list in_link;        /* the link's */
    uint64_t number;
    _Atomic uint32_t refs;
    uint32_t len, cap;          /* with the header */
    uint8_t *data;
};
/* Room for @cap bytes, one reference; NULL when memory is out. */
struct frame *frame_new(uint32_t cap);
void frame_ref(struct frame *frame);
void frame_unref(struct frame *frame);

/* Whether somebody besides the caller holds a reference.  Once it is false, the
 * others are done with the bytes. */
bool frame_is_shared(const struct frame *frame);

/* Frames of about one size, kept for use again.  One thread's. */
struct frame_pool {
    struct list frames;         /* owned */
    uint32_t count, count_max;
    uint32_t frame_cap;         /* of new ones */
};
void frame_pool_init(struct frame_pool *pool, uint32_t frame_cap, uint32_t count_max);
void frame_pool_fini(struct frame_pool *pool);
/* A kept frame or a new one; NULL when memory is out. */
struct frame *frame_pool_take(struct frame_pool *pool);
/* Takes the caller's reference; keeps the frame if nobody else has one. */
void frame_pool_give(struct frame_pool *pool, struct frame *frame);

struct frame_header {
    struct addr from, to;
    uint32_t body_len;
    uint64_t number, ack, credit;
    uint8_t flags;
};
/* COVEY_EPROTO: too short, wrong length or magic, an unknown flag, a number
 * without a body or a body without a number; COVEY_EVERSION: our magic of
 * another version.  Nothing is read past @bytes. */
covey_status frame_parse(struct span bytes, struct frame_header *out);
void frame_write_header(uint8_t out[FRAME_HEADER], const struct frame_header *h);

struct link;

struct link_ops {
    /* Carry @frame to the peer; takes a reference of its own if it returns
     * true, and drops it when the frame has left or is lost.  False: the carrier
     * is full; link_writable() will be called.  May not call the link. */
    bool (*transmit)(void *io, struct link *link, struct frame *frame);
    /* The body of the next frame in order; borrowed until return.  May append
     * to this or other links. */
    void (*deliver)(void *io, struct link *link, struct span body);
    /* Crossed LINK_FULL upwards (true) or half of it downwards (false).  May
     * append, may not free the link. */
    void (*full)(void *io, struct link *link, bool is_full);
};

/* Everything that the carrier took or brought, headers included; @resent and
 * @dropped are parts of it. */
struct link_stats { uint64_t frames_out, frames_in, resent, dropped, bytes_out, bytes_in; };

/* @self and @peer are the two ends.  COVEY_ENOMEM. */
covey_status link_new(struct link **out, struct addr self, struct addr peer,
                      const struct link_ops *ops, void *io);
void link_free(struct link **link);
struct addr link_peer(const struct link *link);
void *link_user(struct link *link);             /* a pointer of the user's own */
void link_set_user(struct link *link, void *user);

/* Append one record: encode to the buffer that link_begin() returned (append
 * only), then link_end().  If the buffer failed, link_end() drops the record
 * and returns COVEY_ENOMEM (set @failed to take a record back); COVEY_ETOOBIG
 * when the frame would exceed FRAME_BYTES_MAX, which no record below
 * FRAME_BYTES_MAX - FRAME_TARGET - FRAME_HEADER does.  A frame at FRAME_TARGET
 * is transmitted at once. */
struct buf *link_begin(struct link *link);
covey_status link_end(struct link *link, int64_t now);

/* Transmit what is open.  Where credit, the carrier or LINK_FLIGHT_FRAMES do not
 * allow it yet, it leaves by itself as soon as they do. */
void link_flush(struct link *link, int64_t now);
/* Something is appended that waits for a flush. */
bool link_has_open(const struct link *link);
/* Nothing is on its way that the peer has not acknowledged. */
bool link_idle(const struct link *link);

/* A frame from the peer.  COVEY_EPROTO: its numbers make no sense (acknowledges
 * what was never sent, grants or exceeds credit that cannot be); the caller
 * drops the peer.  Not from inside deliver. */
covey_status link_receive(struct link *link, const struct frame_header *header,
                          struct span body, int64_t now);
/* Delivered bytes count as consumed when deliver returns, except those that the
 * user holds from inside deliver and gives back later, at any time. */
void link_hold(struct link *link, uint32_t bytes);
void link_unhold(struct link *link, uint32_t bytes);

void link_writable(struct link *link, int64_t now);    /* the carrier has room */
void link_reconnected(struct link *link, int64_t now); /* resend what is not acknowledged */
void link_tick(struct link *link, int64_t now);
int64_t link_deadline(const struct link *link);        /* next tick; NEVER_NS */
struct link_stats link_stats(const struct link *link);

#endif
