/* world.c - virtual time: a heap of events, one generator of randomness. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t world_random(struct world *w)  /* splitmix64 */
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t world_below(struct world *w, uint64_t n) { return n ? world_random(w) % n : 0; }
bool world_chance(struct world *w, uint32_t of_1000) { return world_below(w, 1000) < of_1000; }

void world_say(struct world *w, const char *format, ...)
{
    if (!w->verbose)
        return;
    va_list args;
    va_start(args, format);
    printf("%12.6f ms  ", (double)w->now / 1e6);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

_Noreturn void world_fail(struct world *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "seed %llu failed at %.6f ms: ", (unsigned long long)w->seed, (double)w->now / 1e6);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    fflush(stdout);
    abort();
}

struct process *world_process(struct world *w, uint32_t proc, void (*turn)(struct process *p))
{
    struct process *p = w->life_count < SIM_LIVES_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (!p)
        world_fail(w, "more than %u processes, or no memory", SIM_LIVES_MAX);
    w->lives[w->life_count++] = p;
    p->w = w;
    p->proc = proc;
    p->tick_at = NEVER_NS;
    p->life = LIFE_ALIVE;
    p->turn = turn;
    return p;
}

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_at(struct world *w, int64_t delay, struct process *p, event_fn fn, void *data, uint64_t a, uint64_t b)
{
    if (w->heap_count == w->heap_cap) {
        w->heap_cap = w->heap_cap ? w->heap_cap * 2 : 256;
        w->heap = realloc(w->heap, w->heap_cap * sizeof(*w->heap));
    }
    struct event e = {w->now + delay, ++w->order, fn, p, data, a, b};
    uint32_t i = w->heap_count++;
    for (; i > 0 && before(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = e;
}

static struct event pop(struct world *w)
{
    struct event first = w->heap[0], last = w->heap[--w->heap_count];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < w->heap_count; i = child) {
        if (child + 1 < w->heap_count && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return first;
}

static void note(struct world *w, const struct event *e)
{
    uint64_t h = w->trace ^ (uint64_t)e->at ^ (e->a << 17) ^ (e->b << 41) ^ (e->process ? e->process->proc : 77777u);
    w->trace = (h ^ (h >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
}

static void step(struct world *w)
{
    struct event e = pop(w);
    w->now = e.at;
    struct process *p = e.process;
    if (p && p->life == LIFE_DEAD) {
        free(e.data);
        return;
    }
    if (p && p->paused_until > w->now) {
        world_at(w, p->paused_until - w->now, p, e.fn, e.data, e.a, e.b);
        return;
    }
    w->events++;
    note(w, &e);
    e.fn(w, p, e.data, e.a, e.b);
    free(e.data);
    if (p && p->life != LIFE_DEAD)
        process_step(p);
}

/* ---- faults ------------------------------------------------------------------------- */

static struct process *victim(struct world *w)
{
    uint32_t alive = 0;
    struct process *chosen = NULL;
    for (uint32_t i = 1; i < w->process_count; i++) {
        struct process *p = w->processes[i];
        if (p && p->life == LIFE_ALIVE && world_below(w, ++alive) == 0)
            chosen = p;
    }
    return chosen;
}

static void on_kill(struct world *w, struct process *none, void *data, uint64_t a, uint64_t b)
{
    (void)none; (void)data; (void)a; (void)b;
    struct process *p = victim(w);
    /* One client always survives: somebody must be left to see that waits end. */
    if (p && p != w->clients[0]) {
        world_say(w, "kill p%u", p->proc);
        process_die(p, -9);
    }
}

static void on_pause(struct world *w, struct process *none, void *data, uint64_t a, uint64_t b)
{
    (void)none; (void)data;
    struct process *p = b ? head_process(w) : victim(w);
    if (p) {
        p->paused_until = w->now + (int64_t)a;
        world_say(w, "pause p%u for %.3f ms", p->proc, (double)a / 1e6);
    }
}

static void on_kill_head(struct world *w, struct process *none, void *data, uint64_t a, uint64_t b)
{
    (void)none; (void)data; (void)a; (void)b;
    head_kill(w);
}

static void on_kill_node(struct world *w, struct process *none, void *data, uint64_t a, uint64_t b)
{
    (void)none; (void)data; (void)a; (void)b;
    head_kill_member(w, (uint32_t)world_below(w, head_member_count(w)));
}

static void choose_faults(struct world *w)
{
    struct faults *f = &w->faults;
    if (world_chance(w, 700)) {
        f->drop = (uint32_t)world_below(w, 80);
        f->duplicate = (uint32_t)world_below(w, 80);
        f->delay = (uint32_t)world_below(w, 200);
    }
    if (world_chance(w, 500))
        f->kills = (uint32_t)world_below(w, 6);
    if (world_chance(w, 300))
        f->pauses = (uint32_t)world_below(w, 6);
    if (world_chance(w, 200))
        f->start_failures = (uint32_t)world_below(w, 200);
    if (world_chance(w, 400))
        f->head_kills = 1 + (uint32_t)world_below(w, 4);
    if (world_chance(w, 300))
        f->node_kills = 1 + (uint32_t)world_below(w, 3);
    for (uint32_t i = 0; i < f->head_kills; i++)
        world_at(w, (int64_t)world_below(w, SIM_HEAL_AT / 2), NULL, on_kill_head, NULL, 0, 0);
    for (uint32_t i = 0; i < f->node_kills; i++)
        world_at(w, (int64_t)world_below(w, SIM_HEAL_AT / 2), NULL, on_kill_node, NULL, 0, 0);
    for (uint32_t i = 0; i < f->kills; i++)
        world_at(w, (int64_t)world_below(w, SIM_HEAL_AT / 2), NULL, on_kill, NULL, 0, 0);
    for (uint32_t i = 0; i < f->pauses; i++)
        world_at(w, (int64_t)world_below(w, SIM_HEAL_AT / 2), NULL, on_pause, NULL,
                 world_below(w, (uint64_t)(SIM_HEAL_AT / 4)), world_chance(w, 250));
}

static bool all_done(struct world *w)
{
    for (uint32_t i = 0; i < w->client_count; i++)
        if (w->clients[i]->life != LIFE_DEAD)
            return false;
    return w->now > SIM_HEAL_AT && w->client_count > 0;
}

void world_run(struct world *w, uint64_t seed, bool verbose)
{
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->random = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
    w->verbose = verbose;
    map_init(&w->headers, sizeof(uint64_t));
    choose_faults(w);
    machine_open(w);
    head_open(w);
    while (!all_done(w)) {
        if (w->heap_count == 0 || w->now > SIM_END_AT) {
            for (uint32_t i = 1; i < w->process_count; i++)
                program_tell(w->processes[i]);
            machine_tell(w);
            world_fail(w, "a wait has not ended: %s", w->heap_count ? "out of time" : "nothing more will happen");
        }
        if (w->events > SIM_EVENTS_MAX)
            world_fail(w, "more than %u events: a storm", SIM_EVENTS_MAX);
        step(w);
    }
    /* Let what is on its way arrive, then look at what is left. */
    w->ending = true;
    int64_t quiet = w->now + 10 * SECOND_NS;
    while (w->heap_count > 0 && w->heap[0].at < quiet)
        step(w);
    machine_check_end(w);
    head_check_end(w);
    while (w->heap_count > 0)
        free(w->heap[--w->heap_count].data);
    head_close(w);
    machine_close(w);
    for (uint32_t i = 0; i < w->life_count; i++)
        process_free(w->lives[i]);
    map_fini(&w->headers);
    free(w->heap);
    w->heap = NULL;
}
