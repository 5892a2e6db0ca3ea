/* store_world.h - a node's arena and its bookkeeping, wired straight to the
 * stores of processes, as the node would do with messages between.
 */
#ifndef COVEY_TESTS_STORE_WORLD_H
#define COVEY_TESTS_STORE_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/extents.h"
#include "store/store.h"

#define NODE 1u
#define WORLD_PROCS_MAX 4u

struct world {
    struct arena *arena;
    struct extents *x;
    uint64_t bytes, limit_bytes;
    struct store *store[WORLD_PROCS_MAX];   /* of processes that live in this one */
    uint32_t granted, refused, sealed;
    struct extent_grant grant;
    struct extent_refusal refusal;
};

static inline struct addr world_addr(uint32_t proc) { return (struct addr){NODE, proc, 0, 0}; }

static void world_granted(void *io, struct addr proc, const struct extent_grant *g)
{
    struct world *w = io;
    w->granted++;
    w->grant = *g;
    struct msg_extent_grant m = {g->request, g->extent, g->gen, g->offset, g->bytes};
    if (w->store[proc.proc])
        store_granted(w->store[proc.proc], &m);
}

static void world_refused(void *io, struct addr proc, const struct extent_refusal *r)
{
    struct world *w = io;
    w->refused++;
    w->refusal = *r;
    struct msg_extent_refused m = {
        .request = r->request, .status = r->status, .store_bytes = r->store_bytes,
        .free_bytes = r->free_bytes, .largest_bytes = r->largest_bytes,
    };
    if (w->store[proc.proc])
        store_refused(w->store[proc.proc], &m);
}

static void world_populate(void *io, uint32_t first, uint32_t n)
{
    struct world *w = io;
    covey_status s = arena_populate(w->arena, (uint64_t)first * ARENA_BLOCK, (uint64_t)n * ARENA_BLOCK);
    extents_populated(w->x, first, n, s == COVEY_OK);
}

static void world_publish(void *io, uint32_t block, uint64_t gen)
{
    arena_publish(((struct world *)io)->arena, block, gen);
}

static bool world_header(void *io, uint64_t offset, struct object_header *out)
{
    return arena_header(((struct world *)io)->arena, offset, out);
}

static void world_sealed(void *io, struct oid id, const struct place *place)
{
    (void)id;
    (void)place;
    ((struct world *)io)->sealed++;
}

static uint64_t world_budget(void *io)
{
    struct world *w = io;
    return arena_budget(extents_stats(w->x).populated_bytes, w->limit_bytes);
}

static const struct extents_ops world_ops = {
    .granted = world_granted, .refused = world_refused, .populate = world_populate,
    .publish = world_publish, .header = world_header, .sealed = world_sealed,
    .budget = world_budget,
};

static inline struct store *world_open_store(struct world *w)
{
    struct store *s = NULL;
    int ro = fcntl(arena_fd_read_only(w->arena), F_DUPFD_CLOEXEC, 0);
    int rw = fcntl(arena_fd_writable(w->arena), F_DUPFD_CLOEXEC, 0);
    assert_int_equal(store_open(&s, ro, rw, w->bytes, NODE), COVEY_OK);
    return s;
}

/* Processes 1 to @procs live here. */
static inline struct world *world_new(uint64_t bytes, uint32_t procs)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->bytes = bytes;
    w->limit_bytes = UINT64_MAX;
    assert_int_equal(arena_new(&w->arena, bytes), COVEY_OK);
    assert_int_equal(extents_new(&w->x, NODE, bytes, &world_ops, w), COVEY_OK);
    for (uint32_t i = 1; i <= procs; i++)
        w->store[i] = world_open_store(w);
    return w;
}

static inline void world_free(struct world *w)
{
    extents_check(w->x);
    for (uint32_t i = 0; i < WORLD_PROCS_MAX; i++)
        store_close(&w->store[i]);
    extents_free(&w->x);
    arena_free(&w->arena);
    free(w);
}

/* Carry what is due from a process to the node. */
static inline void world_pump(struct world *w, uint32_t proc)
{
    struct store *s = w->store[proc];
    struct msg_extent_close c;
    while (store_next_close(s, &c))
        extents_close(w->x, world_addr(proc), c.extent, c.gen, c.sealed, c.freed);
    struct msg_object_free f;
    while (store_next_free(s, &f))
        for (uint32_t i = 0; i < f.ordinal_count; i++)
            extents_object_free(w->x, f.extent, f.gen, f.ordinals[i]);
    struct msg_extent_want m;
    while (store_want(s, &m))
        extents_want(w->x, world_addr(proc), m.request, m.bytes);
}

static inline struct oid world_id(uint32_t proc, uint64_t seq)
{
    return (struct oid){.node = NODE, .proc = proc, .seq = seq};
}

/* As an owner would: ask until there is room or a refusal. */
static inline covey_status world_alloc(struct world *w, uint32_t proc, struct oid id, uint64_t size,
                                       struct place *place, void **data)
{
    for (int i = 0; i < 16; i++) {
        covey_status status = store_alloc(w->store[proc], id, 0, size, place, data);
        struct msg_extent_refused why;
        if (status != COVEY_EAGAIN)
            return status;
        status = store_refusal(w->store[proc], size, &why);
        if (status != COVEY_OK)
            return status;
        world_pump(w, proc);
    }
    return COVEY_EAGAIN;
}

/* A sealed object full of @fill. */
static inline struct place world_put(struct world *w, uint32_t proc, struct oid id, uint64_t size,
                                     uint8_t fill)
{
    struct place place = {0};
    void *data = NULL;
    assert_int_equal(world_alloc(w, proc, id, size, &place, &data), COVEY_OK);
    assert_int_equal((uintptr_t)data % OBJECT_ALIGN, 0);
    memset(data, fill, size);
    store_seal(w->store[proc], &place);
    return place;
}

/* Reads as @proc would; whether it is there and full of @fill. */
static inline bool world_has(struct store *s, struct oid id, struct place place, uint8_t fill)
{
    const void *data = NULL;
    if (store_read(s, id, &place, &data) != COVEY_OK)
        return false;
    const uint8_t *bytes = data;
    for (uint64_t i = 0; i < place.size; i++)
        if (bytes[i] != fill)
            return false;
    return true;
}

#endif
