/* node_world.h - a node core with everything around it faked, for tests.
 *
 * What the node sends is kept (deep copies) until a test takes it; what it
 * starts, kills and populates is recorded, and the test decides what comes of
 * it.  After every event the node checks all its invariants.  With @twice every
 * message and every death arrives twice, which must change nothing.
 */
#ifndef COVEY_TESTS_NODE_WORLD_H
#define COVEY_TESTS_NODE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/node.h"
#include "core/rows.h"
#include "core/scratch.h"

#define WORLD_ARENA (24u * 1024 * 1024)
#define WORLD_LOG_MAX 16384u

struct sent { struct addr to; struct msg msg; bool taken; };
struct started { uint32_t proc; uint64_t token; struct hash128 package; char devices[256]; int64_t cpu_milli; bool over; };
struct killed { uint32_t proc; enum node_kill how; bool over; };
struct populate { uint32_t first, blocks; };

struct world {
    struct node *node;
    int64_t now;
    bool twice;
    uint64_t random;
    uint8_t *arena;
    struct scratch scratch;
    struct sent *sent;
    uint32_t sent_count;
    struct started started[4096];
    uint32_t started_count;
    struct killed killed[4096];
    uint32_t killed_count;
    struct populate populates[256];
    uint32_t populate_count;
    uint32_t packages_known, shutdowns;
};

static bool world_twice;        /* of worlds opened from now on */

/* ---- ops ------------------------------------------------------------------------- */

static inline const void *world_copy(struct world *w, const void *data, size_t size)
{
    uint8_t *copy = scratch_alloc(&w->scratch, size + 1);
    assert_non_null(copy);
    if (size)
        memcpy(copy, data, size);
    copy[size] = 0;             /* so that texts print */
    return copy;
}

static inline struct span world_copy_span(struct world *w, struct span span)
{
    return (struct span){world_copy(w, span.data, span.len), span.len};
}

static void on_send(void *io, struct addr to, const struct msg *msg)
{
    struct world *w = io;
    assert_true(w->sent_count < WORLD_LOG_MAX);
    struct sent *s = &w->sent[w->sent_count++];
    *s = (struct sent){.to = to, .msg = *msg};
    switch (msg->kind) {
    case MSG_LEASE_GRANT:
        s->msg.u.lease_grant.devices = world_copy_span(w, msg->u.lease_grant.devices); break;
    case MSG_LEASE_STALL: s->msg.u.lease_stall.why = world_copy_span(w, msg->u.lease_stall.why); break;
    case MSG_WORKER_DIED: s->msg.u.worker_died.why = world_copy_span(w, msg->u.worker_died.why); break;
    case MSG_ROWS: s->msg.u.rows.cells = world_copy_span(w, msg->u.rows.cells); break;
    case MSG_QUERY: s->msg.u.query.state = world_copy_span(w, msg->u.query.state); break;
    case MSG_OBJECT_READY: s->msg.u.object_ready.why = world_copy_span(w, msg->u.object_ready.why); break;
    case MSG_EXTENT_REFUSED: s->msg.u.extent_refused.why = world_copy_span(w, msg->u.extent_refused.why); break;
    case MSG_KEEP_ASK:
        s->msg.u.keep_ask.kept =
            world_copy(w, msg->u.keep_ask.kept, msg->u.keep_ask.kept_count * sizeof(struct kept));
        break;
    default: break;
    }
}

static void on_start(void *io, uint32_t proc, uint64_t token, const struct msg_package *package,
                     const char *devices, int64_t cpu_milli)
{
    struct world *w = io;
    assert_true(w->started_count < 4096);
    struct started *s = &w->started[w->started_count++];
    *s = (struct started){.proc = proc, .token = token, .package = package->hash, .cpu_milli = cpu_milli};
    snprintf(s->devices, sizeof s->devices, "%s", devices);
}

static void on_kill(void *io, uint32_t proc, enum node_kill how)
{
    struct world *w = io;
    assert_true(w->killed_count < 4096);
    w->killed[w->killed_count++] = (struct killed){.proc = proc, .how = how};
}

static void on_package_known(void *io, const struct msg_package *package)
{
    (void)package;
    ((struct world *)io)->packages_known++;
}

static void on_shutdown(void *io, int64_t grace_ms)
{
    (void)grace_ms;
    ((struct world *)io)->shutdowns++;
}

static uint64_t on_random(void *io)
{
    struct world *w = io;
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return w->random >> 11;
}

static int64_t on_unix_ms(void *io)
{
    return 1700000000000 + ((struct world *)io)->now / MS_NS;
}

static void on_populate(void *io, uint32_t first, uint32_t blocks)
{
    struct world *w = io;
    assert_true(w->populate_count < 256);
    w->populates[w->populate_count++] = (struct populate){first, blocks};
}

static void on_publish(void *io, uint32_t block, uint64_t gen)
{
    (void)io, (void)block, (void)gen;
}

static bool on_header(void *io, uint64_t offset, struct object_header *out)
{
    struct world *w = io;
    assert_true(offset % OBJECT_ALIGN == 0 && offset < WORLD_ARENA);
    memcpy(out, w->arena + offset, sizeof *out);
    return out->state != 0;
}

static uint64_t on_budget(void *io)
{
    (void)io;
    return WORLD_ARENA;
}

static const struct node_ops world_ops = {
    .send = on_send, .start_worker = on_start, .kill = on_kill, .package_known = on_package_known,
    .shutdown = on_shutdown, .random = on_random, .unix_ms = on_unix_ms,
    .extents = {.populate = on_populate, .publish = on_publish, .header = on_header, .budget = on_budget},
};

/* ---- life ---------------------------------------------------------------------------- */

static inline struct node_config world_config(int64_t cpus, uint32_t processes_max)
{
    struct node_config c = {
        .self = {1, 0, 7, 0}, .processes_max = processes_max, .arena_bytes = WORLD_ARENA,
        .total = {.cpu_milli = cpus * 1000, .memory_bytes = 1 << 30},
    };
    snprintf(c.name, sizeof c.name, "here");
    return c;
}

static inline void world_devices(struct node_config *c, uint32_t count)
{
    c->device_count = count;
    c->total.gpu_milli = count * 1000;
    c->total.gpu_memory_bytes = (int64_t)count << 30;
    for (uint32_t i = 0; i < count; i++)
        snprintf(c->devices[i], sizeof c->devices[i], "GPU-%u", i);
}

/* Everything but the node.  The scratch memory has its chunk already, so that
 * the world itself allocates nothing more in a short test. */
static inline struct world *world_open_later(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->sent = calloc(WORLD_LOG_MAX, sizeof *w->sent);
    w->arena = calloc(1, WORLD_ARENA);
    assert_non_null(w->sent);
    assert_non_null(w->arena);
    scratch_init(&w->scratch);
    assert_non_null(scratch_alloc(&w->scratch, 256 * 1024));
    scratch_reset(&w->scratch);
    w->twice = world_twice;
    w->random = 1;
    w->now = SECOND_NS;
    return w;
}

static inline struct world *world_open(const struct node_config *config)
{
    struct world *w = world_open_later();
    assert_int_equal(node_new(&w->node, config, &world_ops, w), COVEY_OK);
    return w;
}

static inline void world_close(struct world *w)
{
    node_free(&w->node);
    assert_null(w->node);
    scratch_fini(&w->scratch);
    free(w->sent);
    free(w->arena);
    free(w);
}

/* ---- events --------------------------------------------------------------------------- */

static inline void world_after(struct world *w)
{
    node_check(w->node, true);
    while (w->populate_count > 0) {
        struct populate p = w->populates[--w->populate_count];
        node_populated(w->node, p.first, p.blocks, true, w->now);
        node_check(w->node, true);
    }
}

static inline void world_msg(struct world *w, struct addr from, const struct msg *msg)
{
    node_msg(w->node, from, msg, w->now);
    world_after(w);
    if (w->twice && msg->kind != MSG_TASK_DONE && msg->kind != MSG_QUERY) {
        uint32_t starts = w->started_count, kills = w->killed_count;
        node_msg(w->node, from, msg, w->now);
        world_after(w);
        assert_int_equal(w->started_count, starts);
        assert_int_equal(w->killed_count, kills);
    }
}

static inline void world_gone(struct world *w, uint32_t proc, int32_t exit_status, const char *why)
{
    for (int i = 0; i < (w->twice ? 2 : 1); i++) {
        node_proc_gone(w->node, proc, exit_status, why, w->now);
        world_after(w);
    }
    for (uint32_t i = 0; i < w->killed_count; i++)
        w->killed[i].over |= w->killed[i].proc == proc;
    for (uint32_t i = 0; i < w->started_count; i++)
        w->started[i].over |= w->started[i].proc == proc;
}

static inline void world_pass_time(struct world *w, int64_t ns)
{
    int64_t until = w->now + ns;
    for (int turns = 0; node_deadline(w->node) <= until; turns++) {
        assert_true(turns < 10000);
        w->now = node_deadline(w->node) > w->now ? node_deadline(w->node) : w->now;
        node_tick(w->node, w->now);
        world_after(w);
    }
    w->now = until;
}

static inline covey_status world_enter(struct world *w, enum role role, uint32_t proc, uint64_t token,
                                struct addr *self)
{
    char why[256] = "";
    struct msg_door_hello hello = {.version = WIRE_VERSION, .role = role, .proc = proc, .token = token,
                                   .name = span_str("prog")};
    covey_status status = node_hello(w->node, &hello, 1000 + (int32_t)w->now, w->now, self, why, sizeof why);
    assert_true((status == COVEY_OK) == (why[0] == 0));
    world_after(w);
    return status;
}

static inline struct addr world_client(struct world *w)
{
    struct addr a;
    assert_int_equal(world_enter(w, ROLE_CLIENT, 0, 0, &a), COVEY_OK);
    return a;
}

static inline bool world_was_killed(const struct world *w, uint32_t proc)
{
    for (uint32_t i = 0; i < w->killed_count; i++)
        if (w->killed[i].proc == proc)
            return true;
    return false;
}

/* Everything that was started, and not given up, says hello, in order.  Returns
 * how many. */
static inline uint32_t world_hello(struct world *w)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->started_count; i++) {
        struct started *s = &w->started[i];
        struct addr a;
        if (s->over || world_was_killed(w, s->proc))
            continue;
        s->over = true;
        count++;
        assert_int_equal(world_enter(w, ROLE_WORKER, s->proc, s->token, &a), COVEY_OK);
        assert_int_equal(a.proc, s->proc);
        if (w->twice)
            assert_int_equal(world_enter(w, ROLE_WORKER, s->proc, s->token, &a), COVEY_EREFUSED);
    }
    return count;
}

/* Everything that was killed ends. */
static inline uint32_t world_reap(struct world *w)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->killed_count; i++) {
        if (w->killed[i].over)
            continue;
        count++;
        world_gone(w, w->killed[i].proc, -15, "killed by SIGTERM");
    }
    return count;
}

static inline uint32_t world_starting(const struct world *w)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->started_count; i++)
        count += !w->started[i].over;
    return count;
}

/* ---- messages of owners ------------------------------------------------------------------ */

static inline struct hash128 world_hash(uint32_t package)
{
    return (struct hash128){package, 42};
}

static inline void world_package(struct world *w, struct addr from, uint32_t package)
{
    struct msg m = {.kind = MSG_PACKAGE};
    m.u.package = (struct msg_package){.hash = world_hash(package), .path = span_str("/bin/prog"),
                                       .cwd = span_str("/"), .argv = span_of("prog\0-x", 8)};
    world_msg(w, from, &m);
}

static inline void world_class(struct world *w, struct addr from, uint32_t id, uint32_t package,
                        struct resources need)
{
    struct msg m = {.kind = MSG_CLASS};
    m.u.class_ = (struct msg_class){.class_id = id, .package = world_hash(package), .need = need};
    world_msg(w, from, &m);
}

static inline void world_want_as(struct world *w, struct addr from, uint32_t id, uint32_t want, int32_t priority)
{
    static uint64_t version;
    struct msg m = {.kind = MSG_LEASE_WANT};
    m.u.lease_want = (struct msg_lease_want){.class_id = id, .want = want, .version = ++version,
                                             .priority = priority};
    world_msg(w, from, &m);
}

static inline void world_want(struct world *w, struct addr from, uint32_t id, uint32_t want)
{
    world_want_as(w, from, id, want, 0);
}

static inline void world_return(struct world *w, struct addr from, uint64_t lease)
{
    struct msg m = {.kind = MSG_LEASE_RETURN};
    m.u.lease_return.lease = lease;
    world_msg(w, from, &m);
}

static inline void world_blocked(struct world *w, struct addr worker, uint64_t version)
{
    struct msg m = {.kind = MSG_BLOCKED};
    m.u.blocked.version = version;
    world_msg(w, worker, &m);
}

static inline void world_unblocked(struct world *w, struct addr worker, uint64_t version)
{
    struct msg m = {.kind = MSG_UNBLOCKED};
    m.u.unblocked.version = version;
    world_msg(w, worker, &m);
}

/* A client that has told package @package and a class 1 of one CPU. */
static inline struct addr world_owner(struct world *w, uint32_t package)
{
    struct addr a = world_client(w);
    world_package(w, a, package);
    world_class(w, a, 1, package, (struct resources){.cpu_milli = 1000});
    return a;
}

/* ---- what was sent ----------------------------------------------------------------------- */

/* The first message of this kind to @to that was not taken yet; NULL: none. */
static inline const struct msg *world_take(struct world *w, struct addr to, enum msg_kind kind)
{
    for (uint32_t i = 0; i < w->sent_count; i++) {
        struct sent *s = &w->sent[i];
        if (!s->taken && s->msg.kind == kind && addr_eq(s->to, to)) {
            s->taken = true;
            return &s->msg;
        }
    }
    return NULL;
}

static inline uint32_t world_count(const struct world *w, struct addr to, enum msg_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->sent_count; i++)
        count += !w->sent[i].taken && w->sent[i].msg.kind == kind && addr_eq(w->sent[i].to, to);
    return count;
}

static inline struct msg_lease_grant world_granted(struct world *w, struct addr owner)
{
    const struct msg *m = world_take(w, owner, MSG_LEASE_GRANT);
    assert_non_null(m);
    return m->u.lease_grant;
}

static inline void world_stalled(struct world *w, struct addr owner, covey_status status, const char *part)
{
    const struct msg *m = world_take(w, owner, MSG_LEASE_STALL);
    assert_non_null(m);
    assert_int_equal(m->u.lease_stall.status, status);
    if (!strstr((const char *)m->u.lease_stall.why.data, part))
        fail_msg("\"%s\" is not in \"%s\"", part, (const char *)m->u.lease_stall.why.data);
}

/* ---- the store ------------------------------------------------------------------------------ */

static inline struct msg_extent_grant world_extent(struct world *w, struct addr writer, uint64_t request)
{
    struct msg m = {.kind = MSG_EXTENT_WANT};
    m.u.extent_want = (struct msg_extent_want){request, ARENA_BLOCK};
    world_msg(w, writer, &m);
    const struct msg *granted = world_take(w, writer, MSG_EXTENT_GRANT);
    assert_non_null(granted);
    while (world_take(w, writer, MSG_EXTENT_GRANT)) {
        /* the second answer says the same */
    }
    return granted->u.extent_grant;
}

/* Object @ordinal of 64 bytes in @e, sealed, owned by @owner. */
static inline struct place world_seal(struct world *w, const struct msg_extent_grant *e, uint32_t ordinal,
                               struct addr owner, uint64_t seq)
{
    struct place p = {.node = 1, .extent = e->extent, .gen = e->gen, .size = 64, .ordinal = ordinal,
                      .kind = COVEY_BYTES, .offset = e->offset + ordinal * object_stride(64)};
    struct object_header h = {.gen = e->gen, .size = 64, .seq = seq, .node = owner.node,
                              .proc = owner.proc, .ordinal = ordinal, .kind = COVEY_BYTES};
    h.state = OBJECT_SEALED ^ e->gen;
    memcpy(w->arena + p.offset, &h, sizeof h);
    return p;
}

static inline void world_census(struct world *w, struct addr from, struct addr who, uint32_t count,
                         const struct place *places)
{
    struct msg m = {.kind = MSG_CENSUS};
    m.u.census = (struct msg_census){who, count, places};
    world_msg(w, from, &m);
}

#endif
