/* frame.c - see link.h for a frame's layout and life.
 *
 * A frame's bytes come from struct buf, since the open frame of a link is
 * encoded into through one, and so go back through buf_fini(). */
#include "core/link.h"
#include "core/msg.h"

#include <stdatomic.h>
#include <stdlib.h>

#define FRAME_FLAGS (FRAME_ASK | FRAME_GAP)
#define BODY_LEN_BITS 24
_Static_assert(FRAME_BYTES_MAX < 1u << BODY_LEN_BITS, "the flags have the high byte");

static const uint8_t magic[4] = {'C', 'V', 'Y', WIRE_VERSION};

struct frame *frame_new(uint32_t cap)
{
    struct frame *frame = malloc(sizeof *frame);
    struct buf bytes;
    buf_init(&bytes);
    if (!frame || !buf_reserve(&bytes, cap)) {
        buf_fini(&bytes);
        free(frame);
        return NULL;
    }
    *frame = (struct frame){.data = bytes.data, .cap = (uint32_t)bytes.cap};
    atomic_init(&frame->refs, 1);
    list_init(&frame->in_link);
    return frame;
}

void frame_ref(struct frame *frame)
{
    uint32_t before = atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

/* Release, so that this holder's reads of the bytes come before whatever the
 * last holder does with them; acquire, so that the last one sees that. */
void frame_unref(struct frame *frame)
{
    uint32_t before = atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1)
        return;
    struct buf bytes = {.data = frame->data, .cap = frame->cap};
    buf_fini(&bytes);
    free(frame);
}

/* Acquire: what the last other holder did with the bytes is over. */
bool frame_is_shared(const struct frame *frame)
{
    return atomic_load_explicit(&frame->refs, memory_order_acquire) > 1;
}

void frame_pool_init(struct frame_pool *pool, uint32_t frame_cap, uint32_t count_max)
{
    *pool = (struct frame_pool){.frame_cap = frame_cap, .count_max = count_max};
    list_init(&pool->frames);
}

void frame_pool_fini(struct frame_pool *pool)
{
    while (pool->count > 0)
        frame_unref(frame_pool_take(pool));
}

/* The one that was given last, whose bytes are most likely still in a cache. */
struct frame *frame_pool_take(struct frame_pool *pool)
{
    if (pool->count == 0)
        return frame_new(pool->frame_cap);
    struct frame *frame = list_entry(pool->frames.next, struct frame, in_link);
    list_del(&frame->in_link);
    pool->count--;
    return frame;
}

void frame_pool_give(struct frame_pool *pool, struct frame *frame)
{
    if (pool->count >= pool->count_max || frame_is_shared(frame)) {
        frame_unref(frame);
        return;
    }
    list_push_front(&pool->frames, &frame->in_link);
    pool->count++;
}

static void put_u32(uint8_t *to, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(x >> 8 * i);
}

static void put_u64(uint8_t *to, uint64_t x)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(x >> 8 * i);
}

static void put_addr(uint8_t *to, struct addr a)
{
    put_u32(to, a.node);
    put_u32(to + 4, a.proc);
    put_u32(to + 8, a.inc);
    put_u32(to + 12, a.actor);
}

static uint32_t take_u32(const uint8_t *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static uint64_t take_u64(const uint8_t *from)
{
    return take_u32(from) | (uint64_t)take_u32(from + 4) << 32;
}

static struct addr take_addr(const uint8_t *from)
{
    return (struct addr){take_u32(from), take_u32(from + 4), take_u32(from + 8),
                         take_u32(from + 12)};
}

void frame_write_header(uint8_t out[FRAME_HEADER], const struct frame_header *h)
{
    assert(h->body_len <= FRAME_BYTES_MAX - FRAME_HEADER);
    assert((h->number == 0) == (h->body_len == 0));
    assert(h->flags == 0 || h->number == 0);
    memcpy(out, magic, sizeof magic);
    put_u32(out + 4, h->body_len | (uint32_t)h->flags << BODY_LEN_BITS);
    put_addr(out + 8, h->from);
    put_addr(out + 24, h->to);
    put_u64(out + 40, h->number);
    put_u64(out + 48, h->ack);
    put_u64(out + 56, h->credit);
}

covey_status frame_parse(struct span bytes, struct frame_header *out)
{
    const uint8_t *at = bytes.data;
    if (bytes.len < sizeof magic || memcmp(at, magic, sizeof magic - 1) != 0)
        return COVEY_EPROTO;
    if (at[3] != WIRE_VERSION) /* before the length: another version may have another header */
        return COVEY_EVERSION;
    if (bytes.len < FRAME_HEADER || bytes.len > FRAME_BYTES_MAX)
        return COVEY_EPROTO;
    uint32_t len_flags = take_u32(at + 4);
    *out = (struct frame_header){
        .from = take_addr(at + 8),
        .to = take_addr(at + 24),
        .body_len = len_flags & ((1u << BODY_LEN_BITS) - 1),
        .number = take_u64(at + 40),
        .ack = take_u64(at + 48),
        .credit = take_u64(at + 56),
        .flags = (uint8_t)(len_flags >> BODY_LEN_BITS),
    };
    if (out->body_len != bytes.len - FRAME_HEADER || (out->flags & ~FRAME_FLAGS) != 0)
        return COVEY_EPROTO;
    if ((out->number == 0) != (out->body_len == 0) || (out->flags != 0 && out->number != 0))
        return COVEY_EPROTO;
    return COVEY_OK;
}
