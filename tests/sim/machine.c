/* machine.c - the node, its arena, and the processes that it starts. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/node_internal.h"
#include "wire/wire.h"

static struct world *world_of(void *io) { return ((struct process *)io)->w; }

/* ---- effects of the node ----------------------------------------------------------------- */

static void on_send(void *io, struct addr to, const struct msg *m)
{
    struct process *p = io;
    if (to.node != 0)                   /* the head is not there: nothing here needs it */
        (void)mesh_send(p->mesh, to, m, p->w->now);
}

static void on_start_failed(struct world *w, struct process *node, void *data, uint64_t proc, uint64_t b)
{
    (void)data; (void)b;
    node_start_failed(node->node, (uint32_t)proc, COVEY_ESTART, "the simulator said no", w->now);
}

static void on_started(struct world *w, struct process *p, void *data, uint64_t token, uint64_t b)
{
    (void)data; (void)b;
    machine_hello(w, p, ROLE_WORKER, token);
}

static void on_start_worker(void *io, uint32_t proc, uint64_t token, const struct msg_package *package,
                            const char *devices, int64_t cpu_milli)
{
    struct world *w = world_of(io);
    (void)package; (void)devices; (void)cpu_milli;
    int64_t delay = 200000 + (int64_t)world_below(w, 5 * (uint64_t)MS_NS);
    if (world_faulty(w) && world_chance(w, w->faults.start_failures)) {
        world_at(w, delay, io, on_start_failed, NULL, proc, 0);
        return;
    }
    world_at(w, delay, process_new(w, proc, ROLE_WORKER), on_started, NULL, token, 0);
}

static void on_die(struct world *w, struct process *p, void *data, uint64_t status, uint64_t b)
{
    (void)w; (void)data; (void)b;
    if (p->life == LIFE_STARTING)
        world_at(w, 0, w->processes[0], on_start_failed, NULL, p->proc, 0);
    process_die(p, (int32_t)(int64_t)status);
}

static void on_kill(void *io, uint32_t proc, enum node_kill how)
{
    struct world *w = world_of(io);
    struct process *p = proc < w->process_count ? w->processes[proc] : NULL;
    if (!p || p->life == LIFE_DEAD)
        return;
    if (how == NODE_KILL_NOW)
        p->paused_until = 0;            /* SIGKILL reaches a stopped process, too */
    world_at(w, 10000 + (int64_t)world_below(w, (uint64_t)MS_NS), p, on_die, NULL,
             (uint64_t)(int64_t)(how == NODE_KILL_NOW ? -9 : 0), 0);
}

static void on_package(void *io, const struct msg_package *package) { (void)io; (void)package; }
static void on_shutdown(void *io, int64_t grace_ms) { (void)io; (void)grace_ms; }
static uint64_t on_random(void *io) { return world_random(world_of(io)) | 1; }
static int64_t on_unix_ms(void *io) { return world_of(io)->now / MS_NS; }

static void on_populated(struct world *w, struct process *node, void *data, uint64_t first, uint64_t blocks)
{
    (void)data;
    bool ok = !world_faulty(w) || !world_chance(w, 20);
    if (ok)
        w->populated_bytes += blocks * ARENA_BLOCK;
    node_populated(node->node, (uint32_t)first, (uint32_t)blocks, ok, w->now);
}

static void on_populate(void *io, uint32_t first, uint32_t blocks)
{
    struct world *w = world_of(io);
    world_at(w, 50000 + (int64_t)world_below(w, 2 * (uint64_t)MS_NS), io, on_populated, NULL, first, blocks);
}

static void on_publish(void *io, uint32_t block, uint64_t gen) { world_of(io)->gens[block] = gen; }

static bool on_header(void *io, uint64_t offset, struct object_header *out)
{
    struct object_header *h = map_get(&world_of(io)->headers, &offset);
    if (!h)
        return false;
    *out = *h;
    return true;
}

static uint64_t on_budget(void *io)
{
    struct world *w = world_of(io);
    return w->arena_bytes > w->populated_bytes ? w->arena_bytes - w->populated_bytes : 0;
}

static const struct node_ops ops = {
    .send = on_send, .start_worker = on_start_worker, .kill = on_kill, .package_known = on_package,
    .shutdown = on_shutdown, .random = on_random, .unix_ms = on_unix_ms,
    .extents = {.populate = on_populate, .publish = on_publish, .header = on_header, .budget = on_budget},
};

/* ---- the arena ------------------------------------------------------------------------------ */

void machine_seal(struct world *w, const struct place *place, struct oid id, covey_kind kind)
{
    struct object_header *h = map_get(&w->headers, &place->offset);
    if (!h) {
        if (w->header_count == w->header_cap) {
            w->header_cap = w->header_cap ? w->header_cap * 2 : 64;
            w->all_headers = realloc(w->all_headers, w->header_cap * sizeof(*w->all_headers));
        }
        h = w->all_headers[w->header_count++] = calloc(1, sizeof(*h));
        map_put(&w->headers, &place->offset, h);
    }
    if (w->gens[place->extent] != place->gen)
        world_fail(w, "sealed into extent %u of generation %llu, which is %llu by now", place->extent,
                   (unsigned long long)place->gen, (unsigned long long)w->gens[place->extent]);
    h->gen = place->gen;
    h->size = place->size;
    h->seq = id.seq;
    h->node = id.node;
    h->proc = id.proc;
    h->index = id.index;
    h->ordinal = place->ordinal;
    h->kind = (uint32_t)kind;
    h->state = OBJECT_SEALED ^ place->gen;
}

/* Would a reader with this hint find this object? */
bool machine_header(struct world *w, const struct place *place, struct oid id)
{
    const struct object_header *h = map_get(&w->headers, &place->offset);
    return w->gens[place->extent] == place->gen && h && h->gen == place->gen && h->seq == id.seq &&
           h->node == id.node && h->proc == id.proc && h->index == id.index;
}

static void machine_forget_arena(struct world *w)
{
    for (uint32_t i = 0; i < w->header_count; i++)
        free(w->all_headers[i]);
    free(w->all_headers);
    w->all_headers = NULL;
    w->header_count = w->header_cap = 0;
    map_fini(&w->headers);
    map_init(&w->headers, sizeof(uint64_t));
    free(w->gens);
    w->gens = NULL;
    w->populated_bytes = 0;
}

/* ---- links --------------------------------------------------------------------------------------- */

static void on_deliver(void *io, struct addr from, const struct msg *m)
{
    struct process *p = io;
    if (m->kind == MSG_LEASE_WANT)
        world_say(p->w, "node <- p%u LEASE_WANT class %u: %u (version %llu)", from.proc, m->u.lease_want.class_id,
                  m->u.lease_want.want, (unsigned long long)m->u.lease_want.version);
    else
        world_say(p->w, "node <- p%u %s", from.proc, msg_name(m->kind));
    node_msg(p->node, from, m, p->w->now);
}

static bool on_transmit(void *io, struct addr to, struct frame *frame)
{
    struct process *p = io;
    return net_transmit(p->w, p, to, frame);
}

static void on_full(void *io, struct addr peer, bool full) { (void)io; (void)peer; (void)full; }

static void on_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    world_fail(world_of(io), "the node dropped p%u: %s: %s", peer.proc, covey_strerror(status), why);
}

static const struct mesh_ops mesh_ops = {on_transmit, on_deliver, on_full, on_broken};
static const struct mesh_codec codec = {wire_encode, wire_decode};

/* ---- life ------------------------------------------------------------------------------------------ */

void machine_hello(struct world *w, struct process *p, enum role role, uint64_t token)
{
    struct msg_door_hello hello = {.version = WIRE_VERSION, .role = role, .proc = token ? p->proc : 0, .token = token,
                                   .name = span_str("simulated")};
    char why[256] = "";
    struct addr self;
    struct process *node = w->processes[0];
    covey_status status = node_hello(node->node, &hello, 1000 + (int32_t)p->proc, w->now, &self, why, sizeof(why));
    if (status != COVEY_OK) {
        world_say(w, "p%u is refused: %s", p->proc, why);
        p->life = LIFE_DEAD;
        return;
    }
    process_enter(p, self);
    machine_step(w);
}

static void on_client(struct world *w, struct process *none, void *data, uint64_t a, uint64_t b)
{
    (void)none; (void)data; (void)b;
    if (a != w->machine_life || w->process_count == 0)
        return;                         /* the node that it wanted to enter is dead */
    /* The node numbers processes: ask first, then make the process of that number. */
    struct msg_door_hello hello = {.version = WIRE_VERSION, .role = ROLE_CLIENT, .name = span_str("client")};
    char why[256] = "";
    struct addr self;
    if (node_hello(w->processes[0]->node, &hello, 1, w->now, &self, why, sizeof(why)) != COVEY_OK)
        world_fail(w, "a client was refused: %s", why);
    struct process *p = process_new(w, self.proc, ROLE_CLIENT);
    w->clients[w->client_count++] = p;
    process_enter(p, self);
    process_step(p);
    machine_step(w);
}

static void on_tick(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b)
{
    (void)data; (void)a; (void)b;
    if (p->tick_at > w->now)
        return;
    p->tick_at = NEVER_NS;
    node_tick(p->node, w->now);
    mesh_tick(p->mesh, w->now);
}

void machine_step(struct world *w)
{
    struct process *p = w->processes[0];
    mesh_flush(p->mesh, w->now);
    node_check(p->node, w->events % 1000 == 0);
    int64_t at = node_deadline(p->node), other = mesh_deadline(p->mesh);
    at = other < at ? other : at;
    if (at == NEVER_NS || at >= p->tick_at)
        return;
    p->tick_at = at;
    world_at(w, at > w->now ? at - w->now : 0, p, on_tick, NULL, 0, 0);
}

void machine_open(struct world *w)
{
    struct process *p = process_new(w, 0, ROLE_NODE);
    struct node_config config = {.name = "simulated", .warm = (uint32_t)world_below(w, 3)};
    int64_t cpus = 1 + (int64_t)world_below(w, 4);
    config.total.cpu_milli = cpus * 1000;
    config.total.memory_bytes = INT64_C(1) << 34;
    config.total.gpu_milli = 2000;
    config.device_count = 2;
    snprintf(config.devices[0], sizeof(config.devices[0]), "GPU-0");
    snprintf(config.devices[1], sizeof(config.devices[1]), "GPU-1");
    config.processes_max = world_chance(w, 600) ? (uint32_t)cpus + (uint32_t)world_below(w, 6) : 200;
    config.arena_bytes = w->arena_bytes = (8 + 8 * world_below(w, 8)) * 1024 * 1024;
    w->gens = calloc(w->arena_bytes / ARENA_BLOCK, sizeof(*w->gens));
    w->node = p->self = (struct addr){1, 0, (uint32_t)++w->machine_life, 0};
    config.self = w->node;
    p->life = LIFE_ALIVE;
    if (mesh_new(&p->mesh, w->node, &codec, &mesh_ops, p) != COVEY_OK ||
        node_new(&p->node, &config, &ops, p) != COVEY_OK)
        world_fail(w, "out of memory");
    uint32_t clients = 1 + (uint32_t)world_below(w, SIM_CLIENTS_MAX);
    for (uint32_t i = 0; i < clients; i++)
        world_at(w, (int64_t)(i * world_below(w, 20 * (uint64_t)MS_NS)), NULL, on_client, NULL, w->machine_life, 0);
}

/* The keeper ends what the node started, and clients hear its end at the door:
 * their waits end with COVEY_ECLOSED there, so that they are dead here. */
void machine_kill(struct world *w)
{
    for (uint32_t i = 0; i < w->process_count; i++)
        if (w->processes[i])
            w->processes[i]->life = LIFE_DEAD;
    memset(w->processes, 0, w->process_count * sizeof(*w->processes));
    w->process_count = w->client_count = 0;
    machine_forget_arena(w);
}

void machine_view(struct world *w, const struct msg *view)
{
    if (w->process_count == 0)
        return;                         /* it boots */
    node_msg(w->processes[0]->node, ADDR_HEAD, view, w->now);
    machine_step(w);
}

/* Every client has gone: nothing of theirs may be left. */
void machine_check_end(struct world *w)
{
    struct process *p = w->processes[0];
    node_check(p->node, true);
    struct node_stats s = node_stats(p->node);
    if (s.clients || s.leases || s.wants)
        world_fail(w, "after the end: %u clients, %u leases, %u wants", s.clients, s.leases, s.wants);
    struct extents_stats e = node_store_stats(p->node);
    if (e.objects_live)
        world_fail(w, "after the end: %llu objects are kept in the store", (unsigned long long)e.objects_live);
}

void machine_close(struct world *w)
{
    machine_forget_arena(w);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void dump_wants(const struct proc *p)
{
    const struct want *v;
    for (uint32_t i = 0; (v = map_next(&p->wants, &i)) != NULL;)
        if (v->level > 0 || v->leases > 0)
            fprintf(stderr, "    wants class %u: %u of %u (%u pending), %lld cpus and %lld gpus in 1000s, told %d, lacks %x\n",
                    v->class_id, v->leases, v->level, v->pending, (long long)v->need.cpu_milli,
                    (long long)v->need.gpu_milli, (int)v->told, v->lacking);
}

void machine_tell(const struct world *w)
{
    static const char *const states[PROC_STATE_COUNT] = {"queued", "starting", "idle", "leased", "ending", "present", "dead"};
    static const char *const cpus[] = {"runs", "blocked", "wants its cpu"};
    const struct node *n = w->processes[0]->node;
    const struct proc *p;
    fprintf(stderr, "node: %lld of %lld cpus, %lld of %lld gpus free (in 1000s), %u workers of %u, %u ending, %u beyond, %s\n",
            (long long)n->free.cpu_milli, (long long)n->config.total.cpu_milli, (long long)n->free.gpu_milli,
            (long long)n->config.total.gpu_milli, n->worker_count, n->config.processes_max, n->ending_count, n->beyond_cap,
            list_empty(&n->resumes) ? "nobody waits for a cpu" : "some wait for a cpu");
    for (uint32_t i = 0; (p = map_next(&n->procs, &i)) != NULL;) {
        fprintf(stderr, "  p%u is %s, %u leases, %u waiting wants%s", p->addr.proc, states[p->state], p->lease_count,
                p->waiting_count, p->doomed ? ", doomed" : "");
        if (p->lease.state != LEASE_NONE)
            fprintf(stderr, ", lent to p%u, %s", p->lease.want ? p->lease.want->owner->addr.proc : 0, cpus[p->lease.cpu]);
        fprintf(stderr, "\n");
        dump_wants(p);
    }
}
