/* process.c - a simulated client or worker: owner, executor, links, and its
 * side of the store. */
#include "world.h"

#include <stdlib.h>

#include "core/object.h"
#include "wire/wire.h"

/* ---- effects ------------------------------------------------------------------------ */

static void on_send(void *io, struct addr to, const struct msg *m)
{
    struct process *p = io;
    if (addr_eq(to, p->self))
        (void)exec_msg(p->exec, to, m, p->w->now);
    else
        (void)mesh_send(p->mesh, to, m, p->w->now);
}

static void on_free_place(void *io, const struct place *place) { process_free_place(io, place); }
static void on_settled(void *io, covey_ref ref) { program_settled(io, ref); }

static void on_post(void *io, covey_ref ref, const struct msg_post *post)
{
    struct process *p = io;
    /* Read at once: what is tested here is that none is lost or doubled. */
    owner_post_read(p->owner, ref, post->number, p->w->now);
}

static const struct owner_ops owner_ops = {on_send, on_free_place, on_post, on_settled};

static void on_exec_cancel(void *io, struct exec_task *task) { program_cancel(io, task); }

static void on_kill_self(void *io, struct exec_task *task)
{
    struct process *p = io;
    (void)task;
    p->wants_end = true;
}

static void on_drop_result(void *io, const struct place *place) { process_free_place(io, place); }
static void on_wake(void *io) { (void)io; }
static int64_t on_unix_ms(void *io) { return ((struct process *)io)->w->now / MS_NS; }
static const struct exec_ops exec_ops = {on_send, on_exec_cancel, on_kill_self, on_drop_result, on_wake, on_unix_ms,
                                         NULL};

/* ---- messages ----------------------------------------------------------------------- */

static void on_grant(struct process *p, const struct msg_extent_grant *g)
{
    if (g->request != p->want_request || p->hold_count == 64)
        return;
    p->holds[p->hold_count++] = (struct hold){.extent = g->extent, .gen = g->gen, .offset = g->offset,
                                              .bytes = g->bytes, .own = p->want_bytes > EXTENT_BYTES};
    p->want_request = 0;
}

static void on_dead(struct process *p, struct addr who)
{
    if (p->exec)
        exec_proc_dead(p->exec, who, p->w->now);
    owner_proc_dead(p->owner, who, p->w->now);
    mesh_forget(p->mesh, who);
}

static void on_deliver(void *io, struct addr from, const struct msg *m)
{
    struct process *p = io;
    if (m->kind == MSG_LEASE_GRANT)
        world_say(p->w, "p%u <- p%u LEASE_GRANT class %u: lease %llu of p%u", p->proc, from.proc, m->u.lease_grant.class_id,
                  (unsigned long long)m->u.lease_grant.lease, m->u.lease_grant.worker.proc);
    else
        world_say(p->w, "p%u <- p%u %s", p->proc, from.proc, msg_name(m->kind));
    if (m->kind == MSG_EXTENT_GRANT)
        on_grant(p, &m->u.extent_grant);
    else if (m->kind == MSG_EXTENT_REFUSED && m->u.extent_refused.request == p->want_request) {
        p->refused = (covey_status)m->u.extent_refused.status;
        p->want_request = 0;
    } else if (m->kind == MSG_PROC_DEAD)
        on_dead(p, m->u.proc_dead.who);
    else if (!p->exec || !exec_msg(p->exec, from, m, p->w->now))
        (void)owner_msg(p->owner, from, m, p->w->now);
}

static bool on_transmit(void *io, struct addr to, struct frame *frame)
{
    struct process *p = io;
    return net_transmit(p->w, p, to, frame);
}

static void on_full(void *io, struct addr peer, bool full)
{
    struct process *p = io;
    owner_link_full(p->owner, peer, full, p->w->now);
}

static void on_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    struct process *p = io;
    world_fail(p->w, "p%u dropped p%u: %s: %s", p->proc, peer.proc, covey_strerror(status), why);
}

static const struct mesh_ops mesh_ops = {on_transmit, on_deliver, on_full, on_broken};
static const struct mesh_codec codec = {wire_encode, wire_decode};

void process_receive(struct process *p, struct span frame)
{
    if (p->mesh)
        mesh_receive(p->mesh, frame, p->w->now);
}

/* ---- life ----------------------------------------------------------------------------- */

struct process *process_new(struct world *w, uint32_t proc, enum role role)
{
    if (proc >= SIM_PROCESSES_MAX)
        world_fail(w, "more than %u processes were started", SIM_PROCESSES_MAX);
    struct process *p = world_process(w, proc, NULL);
    p->role = role;
    p->life = LIFE_STARTING;
    w->processes[proc] = p;
    if (proc >= w->process_count)
        w->process_count = proc + 1;
    return p;
}

/* It is let in: from now on it has an address. */
void process_enter(struct process *p, struct addr self)
{
    struct world *w = p->w;
    struct addr node = w->node;
    struct owner_config config = {self, node, NULL};
    p->self = self;
    p->life = LIFE_ALIVE;
    if (mesh_new(&p->mesh, self, &codec, &mesh_ops, p) != COVEY_OK ||
        owner_new(&p->owner, &config, &owner_ops, p) != COVEY_OK ||
        (p->role == ROLE_WORKER && exec_new(&p->exec, self, node, &exec_ops, p) != COVEY_OK))
        world_fail(w, "out of memory");
    if (p->role == ROLE_CLIENT)
        program_client_start(p);
}

static void on_gone(struct world *w, struct process *node, void *data, uint64_t proc, uint64_t status)
{
    (void)data;
    node_proc_gone(node->node, (uint32_t)proc, (int32_t)(int64_t)status, "killed by the simulator", w->now);
}

void process_die(struct process *p, int32_t status)
{
    struct world *w = p->w;
    assert(p->life != LIFE_DEAD);
    bool greeted = p->life == LIFE_ALIVE;
    p->life = LIFE_DEAD;
    world_say(w, "p%u is dead (%d)", p->proc, status);
    if (greeted)
        world_at(w, 100000 + (int64_t)world_below(w, 3 * (uint64_t)MS_NS), w->processes[0], on_gone, NULL, p->proc,
                 (uint64_t)(int64_t)status);
    if (p->stepping)
        return;                         /* its memory goes with the world */
}

void process_free(struct process *p)
{
    program_worker_free(p);
    program_client_free(p);
    exec_free(&p->exec);
    owner_free(&p->owner);
    node_free(&p->node);
    mesh_free(&p->mesh);
    free(p);
}

static void on_tick(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b)
{
    (void)data; (void)a; (void)b;
    if (p->tick_at > w->now)
        return;
    p->tick_at = NEVER_NS;
    if (!p->owner)
        return;
    owner_tick(p->owner, w->now);
    if (p->exec)
        exec_tick(p->exec, w->now);
    mesh_tick(p->mesh, w->now);
}

static void arm(struct process *p)
{
    int64_t at = owner_deadline(p->owner);
    int64_t other = mesh_deadline(p->mesh);
    at = other < at ? other : at;
    other = p->exec ? exec_deadline(p->exec) : NEVER_NS;
    at = other < at ? other : at;
    if (at == NEVER_NS || at >= p->tick_at)
        return;
    p->tick_at = at;
    world_at(p->w, at > p->w->now ? at - p->w->now : 0, p, on_tick, NULL, 0, 0);
}

void process_step(struct process *p)
{
    if (p->turn) {
        p->turn(p);
        return;
    }
    if (p->proc == 0) {
        machine_step(p->w);
        return;
    }
    if (p->life != LIFE_ALIVE)
        return;
    p->stepping = true;
    if (p->role == ROLE_WORKER)
        program_worker_step(p);
    else
        program_client_step(p);
    p->stepping = false;
    if (p->life == LIFE_DEAD)
        return;
    mesh_flush(p->mesh, p->w->now);
    if (p->w->events % 8 == 0)
        owner_check(p->owner);
    if (p->wants_end) {
        process_die(p, -9);
        return;
    }
    arm(p);
}

/* ---- store ---------------------------------------------------------------------------- */

static void send_close(struct process *p, struct hold *h)
{
    struct msg m = {.kind = MSG_EXTENT_CLOSE};
    m.u.extent_close = (struct msg_extent_close){h->extent, h->gen, h->sealed, span_of(h->freed, (h->sealed + 7) / 8)};
    on_send(p, p->w->node, &m);
    *h = p->holds[--p->hold_count];
}

void process_close_holds(struct process *p)
{
    while (p->hold_count > 0)
        send_close(p, &p->holds[0]);
}

covey_status process_alloc(struct process *p, uint64_t size, struct place *place)
{
    uint64_t need = object_stride(size);
    for (uint32_t i = 0; i < p->hold_count; i++) {
        struct hold *h = &p->holds[i];
        if (h->bytes - h->used < need || h->sealed >= 4096) {
            if (!h->own || h->sealed > 0) {
                send_close(p, h);
                i--;
            }
            continue;
        }
        *place = (struct place){1, h->extent, h->gen, h->offset + h->used, size, h->sealed, COVEY_BYTES};
        h->used += need;
        h->sealed++;
        return COVEY_OK;
    }
    if (p->refused != COVEY_OK) {
        covey_status status = p->refused;
        p->refused = COVEY_OK;
        return status;
    }
    if (!p->want_request) {
        p->want_request = ++p->frames + 1000;
        p->want_bytes = need > EXTENT_BYTES ? need : EXTENT_BYTES;
        struct msg m = {.kind = MSG_EXTENT_WANT};
        m.u.extent_want = (struct msg_extent_want){p->want_request, p->want_bytes};
        on_send(p, p->w->node, &m);
    }
    return COVEY_EAGAIN;
}

void process_seal(struct process *p, const struct place *place, struct oid id)
{
    machine_seal(p->w, place, id, COVEY_BYTES);
}

void process_free_place(struct process *p, const struct place *place)
{
    for (uint32_t i = 0; i < p->hold_count; i++) {
        struct hold *h = &p->holds[i];
        if (h->extent == place->extent && h->gen == place->gen) {
            h->freed[place->ordinal / 8] |= (uint8_t)(1u << (place->ordinal % 8));
            return;
        }
    }
    struct msg m = {.kind = MSG_OBJECT_FREE};
    m.u.object_free = (struct msg_object_free){place->extent, place->gen, 1, &place->ordinal};
    on_send(p, p->w->node, &m);
}
