/* link.c - see link.h for the protocol and the contract.
 *
 * A record's way out:
 *
 *   link_begin -> open -(FRAME_TARGET, or flush)-> queue -(transmit)-> sent -(ack)-> pool
 *
 * Records are encoded straight into the open frame, behind the room for its
 * header.  pump() is the only place that moves frames from queue to sent; what
 * may hold it up is in may_send().  A flush that is held up only sets @flushed:
 * the open frame then goes on gathering and pump() closes it when it may leave.
 *
 * The header is written when a frame is transmitted, so that it carries the
 * newest acknowledgement and credit.  That is safe only while no carrier reads
 * the same bytes, hence frame_is_shared().
 *
 * Two timers.  @ack_at: the peer is to be told something by then.  @retry_at:
 * the peer (or the carrier) should have told us something by then; it runs
 * exactly while something is unacknowledged, waiting or refused.  Everything
 * that changes this ends in settle().
 */
#include "core/link.h"

#include <stdlib.h>

/* A record that begins below the target rarely makes the frame grow. */
#define FRAME_ROOM (FRAME_HEADER + FRAME_TARGET + 4u * 1024)

struct link {
    struct addr self, peer;
    const struct link_ops *ops;
    void *io, *user;
    int64_t now;                /* the newest that a call brought */

    /* out: the open frame.  Its bytes are @open's, not @open_frame's, until it
     * is closed. */
    struct buf open;            /* owned; without data when there is no open frame */
    struct frame *open_frame;   /* owned */
    size_t record_start;        /* in @open, while @appending */
    bool appending;
    bool flushed;               /* the open frame leaves as soon as it may */

    /* out: closed frames, by number */
    struct list queue;          /* owned; never transmitted */
    struct list sent;           /* owned; transmitted, not acknowledged */
    uint32_t flight;            /* how many are in @sent */
    uint64_t number;            /* of the frame closed last */
    uint64_t sent_number;       /* of the frame transmitted last */
    uint64_t sent_bytes;        /* of all bodies transmitted */
    uint64_t credit;            /* what sent_bytes may come to */
    uint64_t queued;            /* body bytes in @open and @queue */
    bool is_full;               /* as ops->full was told last */
    bool stalled;               /* the carrier refused */

    /* out: going back */
    struct list *resend;        /* in @sent, the next to send again; NULL: not going back */
    uint32_t resend_count;      /* frames in @sent before it */
    uint64_t gap_heard;         /* the last missing frame that the peer's word went back for */
    int64_t retry_at, retry_ns;

    /* in */
    uint64_t in_number;         /* of the last frame in order */
    uint64_t in_bytes;          /* of all bodies in order */
    uint64_t held;              /* of those, not consumed */
    uint32_t delivering_bytes;  /* of @held, what is consumed when deliver returns */
    bool delivering;
    uint64_t gap_told;          /* the last missing frame that we spoke of */

    /* in: what the peer knows, as of the last header */
    uint64_t told_number, told_bytes, told_credit;
    int64_t ack_at;

    struct frame_pool large, small; /* for use again */
    struct frame *bare;         /* owned; the last frame without a body, or NULL */
    struct link_stats stats;
};

static struct frame *first_frame(const struct list *head)
{
    assert(!list_empty(head));
    return list_entry(head->next, struct frame, in_link);
}

static uint32_t body_len(const struct frame *frame)
{
    return frame->len - FRAME_HEADER;
}

static uint32_t open_len(const struct link *link)
{
    return link->open.data ? (uint32_t)link->open.len - FRAME_HEADER : 0;
}

/* Something waits for credit, for the carrier or for room in flight. */
static bool is_waiting(const struct link *link)
{
    return !list_empty(&link->queue) || (link->flushed && open_len(link) > 0);
}

/* What the peer may send up to.  Never falls: bytes are held before they count. */
static uint64_t credit_given(const struct link *link)
{
    return link->in_bytes - link->held + LINK_WINDOW;
}

/* ---- life ------------------------------------------------------------------- */

covey_status link_new(struct link **out, struct addr self, struct addr peer,
                      const struct link_ops *ops, void *io)
{
    assert(!addr_eq(self, peer));
    struct link *link = malloc(sizeof *link);
    if (!link)
        return COVEY_ENOMEM;
    *link = (struct link){
        .self = self, .peer = peer, .ops = ops, .io = io,
        .credit = LINK_WINDOW, .told_credit = LINK_WINDOW,
        .retry_at = NEVER_NS, .retry_ns = LINK_RETRY_MIN, .ack_at = NEVER_NS,
    };
    buf_init(&link->open);
    list_init(&link->queue);
    list_init(&link->sent);
    frame_pool_init(&link->large, FRAME_ROOM, LINK_SPARE_FRAMES);
    frame_pool_init(&link->small, FRAME_SMALL, LINK_SPARE_FRAMES);
    *out = link;
    return COVEY_OK;
}

static void drop_frames(struct list *head)
{
    while (!list_empty(head)) {
        struct frame *frame = first_frame(head);
        list_del(&frame->in_link);
        frame_unref(frame);
    }
}

/* A frame's bytes go to @open and come back when it is closed. */
static void open_detach(struct link *link)
{
    if (!link->open_frame)
        return;
    link->open_frame->data = link->open.data;
    link->open_frame->len = (uint32_t)link->open.len;
    link->open_frame->cap = link->open.cap < UINT32_MAX ? (uint32_t)link->open.cap : UINT32_MAX;
    buf_init(&link->open);
}

void link_free(struct link **at)
{
    struct link *link = *at;
    if (!link)
        return;
    assert(!link->delivering && !link->appending);
    drop_frames(&link->queue);
    drop_frames(&link->sent);
    frame_pool_fini(&link->large);
    frame_pool_fini(&link->small);
    open_detach(link);
    if (link->open_frame)
        frame_unref(link->open_frame);
    if (link->bare)
        frame_unref(link->bare);
    free(link);
    *at = NULL;
}

struct addr link_peer(const struct link *link) { return link->peer; }
void *link_user(struct link *link) { return link->user; }
void link_set_user(struct link *link, void *user) { link->user = user; }
bool link_has_open(const struct link *link) { return open_len(link) > 0 && !link->flushed; }
struct link_stats link_stats(const struct link *link) { return link->stats; }

bool link_idle(const struct link *link)
{
    return list_empty(&link->sent) && list_empty(&link->queue);
}

/* ---- frames out ----------------------------------------------------------------- */

/* Hand @frame to the carrier, with the newest numbers in its header. */
static bool carry(struct link *link, struct frame *frame, uint8_t flags)
{
    assert(!frame_is_shared(frame));
    struct frame_header header = {
        .from = link->self, .to = link->peer, .body_len = body_len(frame), .flags = flags,
        .number = frame->number, .ack = link->in_number, .credit = credit_given(link),
    };
    frame_write_header(frame->data, &header);
    if (!link->ops->transmit(link->io, link, frame)) {
        link->stalled = true;
        return false;
    }
    link->told_number = link->in_number;
    link->told_bytes = link->in_bytes;
    link->told_credit = header.credit;
    link->ack_at = NEVER_NS;
    link->stats.frames_out++;
    link->stats.bytes_out += frame->len;
    return true;
}

/* An acknowledgement without a body.  Not sending it is never fatal: an
 * acknowledgement stays due, and the rest is done again by a timer. */
static bool send_bare(struct link *link, uint8_t flags)
{
    if (link->stalled)
        return false;
    if (link->bare && frame_is_shared(link->bare)) {
        frame_unref(link->bare);
        link->bare = NULL;
    }
    if (!link->bare) {
        link->bare = frame_new(FRAME_HEADER);
        if (!link->bare)
            return false;
        link->bare->len = FRAME_HEADER;
    }
    return carry(link, link->bare, flags);
}

/* The open frame's records, copied to a small frame; @open stays for the next.
 * NULL: they are too many, @open grew too large to keep, or memory is out. */
static struct frame *copy_small(struct link *link)
{
    if (link->open.len > FRAME_SMALL || link->open.cap > LINK_SPARE_BYTES)
        return NULL;
    struct frame *frame = frame_pool_take(&link->small);
    if (!frame)
        return NULL;
    memcpy(frame->data + FRAME_HEADER, link->open.data + FRAME_HEADER, open_len(link));
    frame->len = (uint32_t)link->open.len;
    link->open.len = FRAME_HEADER;
    return frame;
}

static void close_open(struct link *link)
{
    assert(open_len(link) > 0 && !link->appending);
    struct frame *frame = copy_small(link);
    if (!frame) {
        frame = link->open_frame;
        open_detach(link);
        link->open_frame = NULL;
    }
    link->flushed = false;
    frame->number = ++link->number;
    list_push(&link->queue, &frame->in_link);
}

static bool may_send(const struct link *link, uint32_t len)
{
    return !link->stalled && !link->resend && link->flight < LINK_FLIGHT_FRAMES &&
           link->sent_bytes + len <= link->credit;
}

static bool send_first(struct link *link)
{
    struct frame *frame = first_frame(&link->queue);
    uint32_t len = body_len(frame);
    if (!may_send(link, len) || !carry(link, frame, 0))
        return false;
    list_del(&frame->in_link);
    list_push(&link->sent, &frame->in_link);
    link->flight++;
    assert(frame->number == link->sent_number + 1);
    link->sent_number = frame->number;
    link->sent_bytes += len;
    link->queued -= len;
    return true;
}

/* Go back: everything unacknowledged is to be sent again, from the oldest on. */
static void go_back(struct link *link)
{
    link->resend = list_empty(&link->sent) ? NULL : link->sent.next;
    link->resend_count = 0;
}

/* Send the next frame again; false: the carrier is full. */
static bool resend_next(struct link *link)
{
    struct frame *frame = list_entry(link->resend, struct frame, in_link);
    if (!frame_is_shared(frame)) {
        if (!carry(link, frame, 0))
            return false;
        link->stats.resent++;
    }
    link->resend_count++;
    link->resend = link->resend->next;
    if (link->resend == &link->sent)
        link->resend = NULL;
    return true;
}

/* Transmit all that may leave now: what is to be sent again first, since the
 * peer drops everything else until it has that. */
static void pump(struct link *link)
{
    while (link->resend && !link->stalled && link->resend_count < LINK_RESEND_FRAMES)
        if (!resend_next(link))
            return;
    for (;;) {
        if (list_empty(&link->queue)) {
            if (!link->flushed || open_len(link) == 0 || !may_send(link, open_len(link)))
                return;
            close_open(link);
        }
        if (!send_first(link))
            return;
    }
}

/* ---- timers ------------------------------------------------------------------------ */

/* See to it that the peer hears what it does not know yet. */
static void plan_ack(struct link *link, int64_t now)
{
    uint64_t frames = link->in_number - link->told_number;
    uint64_t bytes = link->in_bytes - link->told_bytes;
    uint64_t credit = credit_given(link) - link->told_credit;
    if (frames == 0 && credit == 0)
        return;
    bool much = frames >= LINK_ACK_FRAMES || bytes >= LINK_ACK_BYTES || credit >= LINK_ACK_BYTES;
    int64_t at = much ? now : now + LINK_ACK_DELAY;
    if (at < link->ack_at)
        link->ack_at = at;
}

static void tell_full(struct link *link)
{
    bool is_full = link->is_full ? link->queued >= LINK_FULL / 2 : link->queued > LINK_FULL;
    if (is_full == link->is_full)
        return;
    link->is_full = is_full;
    link->ops->full(link->io, link, is_full);
}

/* The end of every call that moved something.  Inside deliver acknowledgements
 * wait: in a moment they can speak of the body in hand, too. */
static void settle(struct link *link, int64_t now)
{
    if (link->ack_at <= now && !link->delivering && !link->stalled && !send_bare(link, 0))
        link->ack_at = now + LINK_ACK_DELAY;
    if (list_empty(&link->sent) && !is_waiting(link) && !link->stalled) {
        link->retry_at = NEVER_NS;
        link->retry_ns = LINK_RETRY_MIN;
    } else if (link->retry_at == NEVER_NS) {
        link->retry_at = now + link->retry_ns;
    }
    tell_full(link);
}

int64_t link_deadline(const struct link *link)
{
    /* A refused acknowledgement goes with link_writable(), or with the retry
     * that runs while the carrier is full. */
    if (link->stalled || link->retry_at < link->ack_at)
        return link->retry_at;
    return link->ack_at;
}

/* Nothing was heard for a retry time. */
static void retry(struct link *link, int64_t now)
{
    link->retry_ns = link->retry_ns < LINK_RETRY_MAX / 2 ? link->retry_ns * 2 : LINK_RETRY_MAX;
    link->retry_at = now + link->retry_ns;
    link->stalled = false; /* ask the carrier again: its word may have been lost */
    go_back(link);
    pump(link);
    if (list_empty(&link->sent) && is_waiting(link))
        send_bare(link, FRAME_ASK);
}

void link_tick(struct link *link, int64_t now)
{
    link->now = now;
    if (link->retry_at <= now)
        retry(link, now);
    settle(link, now);
}

void link_writable(struct link *link, int64_t now)
{
    link->now = now;
    link->stalled = false;
    pump(link);
    settle(link, now);
}

/* What was on its way may be lost, in both directions: send again, and have
 * the peer told everything at once. */
void link_reconnected(struct link *link, int64_t now)
{
    link->now = now;
    link->retry_ns = LINK_RETRY_MIN;
    link->retry_at = now;
    link->ack_at = now;
    link_tick(link, now);
}

/* ---- appending ----------------------------------------------------------------------- */

/* Get a frame to append to.  Without memory @open is left failed. */
static void open_new(struct link *link)
{
    assert(!link->open_frame);
    struct frame *frame = frame_pool_take(&link->large);
    if (!frame) {
        link->open.failed = true;
        return;
    }
    link->open_frame = frame;
    link->open = (struct buf){.data = frame->data, .cap = frame->cap, .len = FRAME_HEADER};
    frame->data = NULL; /* @open's, which may move it */
}

struct buf *link_begin(struct link *link)
{
    assert(!link->appending);
    if (!link->open.data)
        open_new(link);
    link->appending = true;
    link->record_start = link->open.len;
    return &link->open;
}

/* Take back the record that was being appended.  Its frame may have grown too
 * large to be of use again, so an empty one is let go. */
static covey_status drop_record(struct link *link, size_t start)
{
    covey_status status = link->open.failed ? COVEY_ENOMEM : COVEY_ETOOBIG;
    link->open.len = start;
    link->open.failed = false;
    if (link->open_frame && open_len(link) == 0) {
        open_detach(link);
        frame_unref(link->open_frame);
        link->open_frame = NULL;
    }
    return status;
}

covey_status link_end(struct link *link, int64_t now)
{
    assert(link->appending && link->open.len >= link->record_start);
    link->appending = false;
    if (link->open.failed || link->open.len > FRAME_BYTES_MAX)
        return drop_record(link, link->record_start);
    link->queued += link->open.len - link->record_start;
    if (link->open.len >= FRAME_HEADER + FRAME_TARGET) {
        link->now = now;
        close_open(link);
        pump(link);
        settle(link, now);
    } else if (link->queued > LINK_FULL) {
        tell_full(link);
    }
    return COVEY_OK;
}

void link_flush(struct link *link, int64_t now)
{
    assert(!link->appending);
    if (!link_has_open(link))
        return;
    link->now = now;
    link->flushed = true;
    pump(link);
    settle(link, now);
}

/* ---- frames in ------------------------------------------------------------------------- */

static void recycle(struct link *link, struct frame *frame)
{
    if (frame->cap > LINK_SPARE_BYTES)
        frame_unref(frame);
    else
        frame_pool_give(frame->cap < FRAME_ROOM ? &link->small : &link->large, frame);
}

/* Returns whether something was acknowledged for the first time. */
static bool take_ack(struct link *link, uint64_t ack)
{
    bool progress = false;
    while (!list_empty(&link->sent)) {
        struct frame *frame = first_frame(&link->sent);
        if (frame->number > ack)
            break;
        if (link->resend == &frame->in_link)
            link->resend = frame->in_link.next == &link->sent ? NULL : frame->in_link.next;
        else if (link->resend)
            link->resend_count--;
        list_del(&frame->in_link);
        link->flight--;
        recycle(link, frame);
        progress = true;
    }
    return progress;
}

/* What the header says of the other direction.  Old headers say nothing new. */
static void take_header(struct link *link, const struct frame_header *header)
{
    bool progress = take_ack(link, header->ack);
    if (header->credit > link->credit) {
        link->credit = header->credit;
        progress = progress || list_empty(&link->sent);
    }
    if (progress) { /* settle() starts the time anew */
        link->retry_ns = LINK_RETRY_MIN;
        link->retry_at = NEVER_NS;
    }
    /* Once for each missing frame: that and the bound on resends keep a flood
     * of reports from becoming a flood of frames. */
    uint64_t missing = header->ack + 1;
    if ((header->flags & FRAME_GAP) && !list_empty(&link->sent) &&
        first_frame(&link->sent)->number == missing && link->gap_heard != missing) {
        link->gap_heard = missing;
        go_back(link);
    }
}

static void deliver(struct link *link, struct span body)
{
    link->in_number++;
    link->in_bytes += body.len;
    link->held += body.len; /* until consumed, so that credit never falls */
    link->delivering_bytes = body.len;
    link->delivering = true;
    link->ops->deliver(link->io, link, body);
    link->delivering = false;
    link->held -= link->delivering_bytes;
    link->delivering_bytes = 0;
}

static void take_body(struct link *link, uint64_t number, struct span body, int64_t now)
{
    uint64_t missing = link->in_number + 1;
    if (number == missing) {
        deliver(link, body);
        plan_ack(link, now);
        return;
    }
    link->stats.dropped++;
    if (number > missing) {
        if (link->gap_told != missing && send_bare(link, FRAME_GAP))
            link->gap_told = missing;
    } else if (now + LINK_ACK_DELAY < link->ack_at) {
        link->ack_at = now + LINK_ACK_DELAY; /* one answer for a burst of old frames */
    }
}

covey_status link_receive(struct link *link, const struct frame_header *header,
                          struct span body, int64_t now)
{
    assert(!link->delivering && !link->appending);
    assert(body.len == header->body_len && (body.len == 0) == (header->number == 0));
    link->now = now;
    link->stats.frames_in++;
    link->stats.bytes_in += FRAME_HEADER + body.len;
    if (header->ack > link->sent_number || header->credit > link->sent_bytes + LINK_WINDOW)
        return COVEY_EPROTO;
    if (header->number == link->in_number + 1 && link->in_bytes + body.len > link->told_credit)
        return COVEY_EPROTO;
    take_header(link, header);
    if (header->flags & FRAME_ASK)
        link->ack_at = now;
    if (header->number != 0)
        take_body(link, header->number, body, now);
    pump(link);
    settle(link, now);
    return COVEY_OK;
}

void link_hold(struct link *link, uint32_t bytes)
{
    assert(link->delivering && bytes <= link->delivering_bytes);
    link->delivering_bytes -= bytes;
}

void link_unhold(struct link *link, uint32_t bytes)
{
    assert(bytes <= link->held - link->delivering_bytes);
    link->held -= bytes;
    plan_ack(link, link->now); /* a past deadline: the next tick sends it */
}
