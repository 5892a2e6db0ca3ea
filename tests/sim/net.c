/* net.c - frames between processes: delayed always; dropped, duplicated and
 * reordered until the world heals. */
#include "world.h"

#include <stdlib.h>

static void on_arrive(struct world *w, struct process *p, void *data, uint64_t len, uint64_t from)
{
    (void)w; (void)from;
    process_receive(p, span_of(data, len));
}

static void carry(struct world *w, struct process *to, const struct frame *frame, int64_t delay, uint64_t from)
{
    uint8_t *copy = malloc(frame->len);
    memcpy(copy, frame->data, frame->len);
    world_at(w, delay, to, on_arrive, copy, frame->len, from);
}

bool net_carry(struct world *w, struct process *from, struct process *p, struct frame *frame)
{
    frame_ref(frame);                   /* as a carrier does; it copies, so it is done at once */
    if (p && p->life == LIFE_ALIVE) {
        int64_t delay = 5000 + (int64_t)world_below(w, 60000);
        bool faulty = world_faulty(w);
        if (faulty && world_chance(w, w->faults.delay))
            delay += (int64_t)world_below(w, 5 * (uint64_t)MS_NS);
        if (faulty && world_chance(w, w->faults.duplicate))
            carry(w, p, frame, delay + (int64_t)world_below(w, 2 * (uint64_t)MS_NS), from->proc);
        if (!faulty || !world_chance(w, w->faults.drop))
            carry(w, p, frame, delay, from->proc);
    }
    frame_unref(frame);
    return true;
}

bool net_transmit(struct world *w, struct process *from, struct addr to, struct frame *frame)
{
    return net_carry(w, from, to.proc < w->process_count ? w->processes[to.proc] : NULL, frame);
}
