/* link_world.h - two links, a carrier that misbehaves, and virtual time.
 *
 * The carrier drops, duplicates, delays and (since delays differ) reorders
 * frames, holds references to them like ZeroMQ or copies them at once, and
 * refuses more than @room frames at a time.  It also watches: that credit is
 * never exceeded, that new frames are numbered without a hole, and that nobody
 * writes to a frame while it holds a reference.
 *
 * Time moves only to the next arrival or link_deadline(), so a deadline that
 * is missing shows as a world that stands still with work left.
 */
#ifndef COVEY_TESTS_LINK_WORLD_H
#define COVEY_TESTS_LINK_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/link.h"

#define PACKETS_MAX 8192
#define RECORD_HEADER 8u            /* length, index */
#define WORLD_STEPS_MAX 2000000

struct packet {
    int64_t due;
    uint64_t order;                 /* ties go by it */
    struct frame *frame;            /* held, or NULL */
    uint8_t *bytes;                 /* owned; as they were when it was sent */
    uint32_t len;
};

/* One end, and the direction of the carrier that begins at it. */
struct side {
    struct world *world;
    struct side *other;
    struct addr addr;
    struct link *link;

    /* what is to be sent and what has come */
    uint32_t to_send, sent, received;
    uint32_t record_max;            /* bytes */
    uint32_t hold_percent;          /* of delivered bodies that are held for a while */
    uint64_t held;
    uint32_t echo_percent;          /* of received records that make one more to send */
    bool is_full;
    uint32_t full_calls;

    /* the carrier */
    struct packet packets[PACKETS_MAX];
    uint32_t packet_count;
    uint32_t drop_percent, dup_percent;
    int64_t delay_min, delay_max;
    bool fifo;                      /* delays never reorder */
    bool hold_frames;               /* keep references until arrival */
    bool cut;                       /* nothing arrives */
    uint32_t room;                  /* packets at once; more are refused */
    bool refused;                   /* owes a link_writable() */
    bool silent;                    /* never pays it */
    int64_t last_due;

    /* what the carrier saw */
    uint64_t numbers_seen, bytes_seen;  /* new frames */
    uint64_t again_seen, bare_seen, ask_seen, gap_seen;
    uint64_t credit_said, ack_said;     /* by this end */
    uint64_t credit_heard, ack_heard;   /* that reached this end */
};

struct world {
    uint64_t random, order;
    int64_t now;
    struct side *side[2];
};

static inline uint32_t world_random(struct world *w, uint32_t bound)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random >> 32) % bound;
}

static inline bool world_chance(struct world *w, uint32_t percent)
{
    return percent > 0 && world_random(w, 100) < percent;
}

/* ---- records -------------------------------------------------------------------- */

#define PATTERN_LEN 4096u
#define PATTERN_SHIFTS 256u

/* PATTERN_LEN bytes that differ by record; a record repeats them. */
static inline const uint8_t *record_pattern(uint32_t index)
{
    static uint8_t pattern[PATTERN_LEN + PATTERN_SHIFTS];
    if (pattern[1] == 0)
        for (uint32_t i = 0; i < sizeof pattern; i++)
            pattern[i] = (uint8_t)(i * 167 ^ i >> 5);
    return pattern + index % PATTERN_SHIFTS;
}

static inline void record_fill(uint8_t *to, uint32_t len, uint32_t index)
{
    for (uint32_t at = 0; at < len; at += PATTERN_LEN)
        memcpy(to + at, record_pattern(index), len - at < PATTERN_LEN ? len - at : PATTERN_LEN);
}

static inline bool record_is_intact(const uint8_t *from, uint32_t len, uint32_t index)
{
    for (uint32_t at = 0; at < len; at += PATTERN_LEN)
        if (memcmp(from + at, record_pattern(index),
                   len - at < PATTERN_LEN ? len - at : PATTERN_LEN) != 0)
            return false;
    return true;
}

static inline uint32_t record_len(const struct side *side, uint32_t index)
{
    return (index * 2654435761u >> 7) % (side->record_max + 1);
}

/* Append record @index; false: memory was out and it was dropped. */
static inline bool side_append_len(struct side *side, uint32_t index, uint32_t len)
{
    uint32_t header[2] = {len, index};
    struct buf *out = link_begin(side->link);
    buf_append(out, header, sizeof header);
    if (buf_reserve(out, len)) {
        record_fill(out->data + out->len, len, index);
        out->len += len;
    }
    covey_status status = link_end(side->link, side->world->now);
    assert_true(status == COVEY_OK || status == COVEY_ENOMEM);
    return status == COVEY_OK;
}

static inline bool side_append(struct side *side)
{
    if (!side_append_len(side, side->sent, record_len(side, side->sent)))
        return false;
    side->sent++;
    return true;
}

static inline void on_world_deliver(void *io, struct link *link, struct span body)
{
    struct side *side = io;
    uint32_t left = body.len;
    assert_ptr_equal(link, side->link);
    while (left > 0) {
        const uint8_t *at = body.data + (body.len - left);
        uint32_t header[2];
        assert_true(left >= RECORD_HEADER);
        memcpy(header, at, sizeof header);
        assert_true(header[0] <= left - RECORD_HEADER);
        assert_int_equal(header[1], side->received);
        assert_true(record_is_intact(at + RECORD_HEADER, header[0], header[1]));
        side->received++;
        left -= RECORD_HEADER + header[0];
        if (world_chance(side->world, side->echo_percent)) {
            side->to_send++;
            side_append(side); /* from inside deliver; if it fails, later */
        }
    }
    if (world_chance(side->world, side->hold_percent)) {
        uint32_t bytes = 1 + world_random(side->world, body.len);
        bytes = side->hold_percent == 100 ? body.len : bytes;
        link_hold(link, bytes);
        side->held += bytes;
    }
}

/* ---- the carrier ------------------------------------------------------------------- */

static inline void packet_put(struct side *side, struct frame *frame, int64_t due)
{
    assert_true(side->packet_count < PACKETS_MAX);
    struct packet *p = &side->packets[side->packet_count++];
    *p = (struct packet){.due = due, .order = side->world->order++, .len = frame->len};
    p->bytes = malloc(frame->len);
    assert_non_null(p->bytes);
    memcpy(p->bytes, frame->data, frame->len);
    if (side->hold_frames) {
        frame_ref(frame);
        p->frame = frame;
    }
}

static inline void watch_frame(struct side *side, const struct frame *frame)
{
    struct frame_header h;
    assert_int_equal(frame_parse(span_of(frame->data, frame->len), &h), COVEY_OK);
    assert_true(addr_eq(h.from, side->addr) && addr_eq(h.to, side->other->addr));
    assert_true(h.credit >= side->credit_said && h.ack >= side->ack_said);
    side->credit_said = h.credit;
    side->ack_said = h.ack;
    side->ask_seen += (h.flags & FRAME_ASK) != 0;
    side->gap_seen += (h.flags & FRAME_GAP) != 0;
    if (h.number == 0) {
        side->bare_seen++;
    } else if (h.number <= side->numbers_seen) {
        side->again_seen++;
    } else {
        assert_int_equal(h.number, side->numbers_seen + 1);
        side->numbers_seen++;
        side->bytes_seen += h.body_len;
        uint64_t heard = side->credit_heard > LINK_WINDOW ? side->credit_heard : LINK_WINDOW;
        assert_true(side->bytes_seen <= heard);
        assert_true(side->numbers_seen - side->ack_heard <= LINK_FLIGHT_FRAMES);
    }
}

static inline bool on_world_transmit(void *io, struct link *link, struct frame *frame)
{
    struct side *side = io;
    struct world *w = side->world;
    (void)link;
    if (side->packet_count >= side->room) {
        side->refused = true;
        return false;
    }
    watch_frame(side, frame);
    for (int copies = world_chance(w, side->dup_percent) ? 2 : 1; copies > 0; copies--) {
        int64_t due = w->now + side->delay_min;
        if (side->delay_max > side->delay_min)
            due += world_random(w, (uint32_t)(side->delay_max - side->delay_min));
        if (side->fifo && due < side->last_due)
            due = side->last_due;
        side->last_due = due;
        if (!side->cut && !world_chance(w, side->drop_percent))
            packet_put(side, frame, due);
    }
    return true;
}

static inline void on_world_full(void *io, struct link *link, bool is_full)
{
    struct side *side = io;
    (void)link;
    assert_int_not_equal(side->is_full, is_full);
    side->is_full = is_full;
    side->full_calls++;
}

static const struct link_ops world_link_ops = {
    .transmit = on_world_transmit, .deliver = on_world_deliver, .full = on_world_full,
};

static inline struct packet packet_take(struct side *side, uint32_t i)
{
    struct packet p = side->packets[i];
    side->packets[i] = side->packets[--side->packet_count];
    if (p.frame) { /* nobody may have written to it meanwhile */
        assert_true(memcmp(p.frame->data, p.bytes, p.len) == 0);
        frame_unref(p.frame);
    }
    return p;
}

static inline int packet_next(const struct side *side)
{
    int best = -1;
    for (uint32_t i = 0; i < side->packet_count; i++) {
        const struct packet *p = &side->packets[i];
        const struct packet *b = best < 0 ? NULL : &side->packets[best];
        if (!b || p->due < b->due || (p->due == b->due && p->order < b->order))
            best = (int)i;
    }
    return best;
}

/* Everything on its way from @side is lost. */
static inline void side_lose(struct side *side)
{
    while (side->packet_count > 0)
        free(packet_take(side, side->packet_count - 1).bytes);
}

static inline void side_pay_writable(struct side *side)
{
    if (!side->refused || side->silent || side->packet_count > side->room / 2)
        return;
    side->refused = false;
    link_writable(side->link, side->world->now);
}

/* Packet @i from @side arrives at the other end. */
static inline void packet_arrive(struct side *side, uint32_t i)
{
    struct side *to = side->other;
    struct packet p = packet_take(side, i);
    struct frame_header h;
    assert_int_equal(frame_parse(span_of(p.bytes, p.len), &h), COVEY_OK);
    if (h.credit > to->credit_heard)
        to->credit_heard = h.credit;
    if (h.ack > to->ack_heard)
        to->ack_heard = h.ack;
    struct span body = span_of(p.bytes + FRAME_HEADER, h.body_len);
    assert_int_equal(link_receive(to->link, &h, body, side->world->now), COVEY_OK);
    free(p.bytes);
    side_pay_writable(side);
}

/* ---- the world --------------------------------------------------------------------- */

/* A perfect carrier: 1 ms, in order, no bound.  NULL when memory is out. */
static inline struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    struct side *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    struct side *sides[2] = {a, b};
    if (!w || !a || !b) {
        free(w);
        free(a);
        free(b);
        return NULL;
    }
    w->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    w->now = 1000 * SECOND_NS;
    for (int i = 0; i < 2; i++) {
        struct side *s = w->side[i] = sides[i];
        *s = (struct side){.world = w, .other = sides[1 - i], .addr = {1, 1 + (uint32_t)i, 0, 0},
                           .record_max = 300, .delay_min = MS_NS, .delay_max = MS_NS,
                           .fifo = true, .hold_frames = true, .room = PACKETS_MAX};
    }
    for (int i = 0; i < 2; i++)
        if (link_new(&sides[i]->link, sides[i]->addr, sides[1 - i]->addr, &world_link_ops,
                     sides[i]) != COVEY_OK) {
            link_free(&a->link);
            free(w);
            free(a);
            free(b);
            return NULL;
        }
    return w;
}

static inline void world_free(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        side_lose(w->side[i]);
        link_free(&w->side[i]->link);
        assert_null(w->side[i]->link);
    }
    free(w->side[0]);
    free(w->side[1]);
    free(w);
}

/* What the nearest tick or arrival is for; NEVER_NS: nothing will happen. */
static inline int64_t world_next(const struct world *w)
{
    int64_t next = NEVER_NS;
    for (int i = 0; i < 2; i++) {
        const struct side *s = w->side[i];
        int packet = packet_next(s);
        int64_t deadline = link_deadline(s->link);
        if (packet >= 0 && s->packets[packet].due < next)
            next = s->packets[packet].due;
        if (deadline < next)
            next = deadline;
    }
    return next < w->now ? w->now : next;
}

/* One arrival, or all ticks that are due.  False: nothing will ever happen. */
static inline bool world_step(struct world *w)
{
    int64_t next = world_next(w);
    if (next == NEVER_NS)
        return false;
    w->now = next;
    for (int i = 0; i < 2; i++) {
        struct side *s = w->side[i];
        int packet = packet_next(s);
        if (packet >= 0 && s->packets[packet].due <= w->now) {
            packet_arrive(s, (uint32_t)packet);
            return true;
        }
    }
    for (int i = 0; i < 2; i++) {
        struct link *link = w->side[i]->link;
        if (link_deadline(link) > w->now)
            continue;
        link_tick(link, w->now);
        assert_true(link_deadline(link) > w->now); /* else the caller would spin */
    }
    return true;
}

static inline void world_run(struct world *w, int64_t until)
{
    for (int steps = 0; world_next(w) <= until; steps++) {
        assert_true(steps < WORLD_STEPS_MAX);
        if (!world_step(w))
            break;
    }
    if (w->now < until && until != NEVER_NS)
        w->now = until;
}

static inline void world_run_for(struct world *w, int64_t ns) { world_run(w, w->now + ns); }

/* Until nothing will ever happen. */
static inline void world_settle(struct world *w)
{
    for (int steps = 0; world_step(w); steps++)
        assert_true(steps < WORLD_STEPS_MAX);
}

/* Everything arrived, everything was acknowledged, all credit is back, and
 * both ends know it. */
static inline void world_check_quiet(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        struct side *s = w->side[i], *o = s->other;
        assert_int_equal(s->sent, s->to_send);
        assert_int_equal(o->received, s->sent);
        assert_int_equal(o->held, 0);
        assert_true(link_idle(s->link));
        assert_false(link_has_open(s->link));
        assert_false(s->is_full);
        assert_true(link_deadline(s->link) == NEVER_NS);
        assert_int_equal(s->packet_count, 0);
        assert_int_equal(o->ack_said, s->numbers_seen);
        if (s->numbers_seen > 0)
            assert_int_equal(o->credit_said, s->bytes_seen + LINK_WINDOW);
    }
}

#endif
