/* head.c - the head, its disk, and the nodes as it knows them: members.
 *
 * The head is the real core (core/head.c) and is killed and started again.  Its
 * disk is a list of rows, and one commit at a time is on its way:
 *
 *     persist --> queued --> commit begins --> rows are safe --> the core hears
 *                              |  a kill here:    |  and here: they are there,
 *                              v  all or none     v  and nobody was told
 *
 * A member joins, reports and keeps a value, as node/head_link.c does for a
 * node: a mesh of its own for each connection, its end seen by the kernel's
 * word.  Member 0 stands for the machine of machine.c and dies with it; the
 * others are machines of which nothing else is simulated.
 *
 * What must hold: an epoch is above all that were announced before it; a node's
 * incarnation grows with its boots and only then; views grow; what was said to
 * be kept is kept; and after healing every member is in, and the head knows it.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/head_internal.h"
#include "wire/wire.h"

#define HEAD_NUMBER 5000u               /* in traces; members follow */
#define LOOK_EVERY (20 * MS_NS)         /* of a member for a head */
#define JOIN_AGAIN (1 * SECOND_NS)
#define TALK_EVERY (40 * MS_NS)         /* of a member with its head ... */
#define TALK_EVERY_HEALED (1 * SECOND_NS)   /* ... and once nothing goes wrong any more */
#define ROWS_MAX 256u
#define KEY_BYTES 16u

struct row { char table[16]; uint8_t key[KEY_BYTES]; uint32_t key_len; struct buf value; };
struct queued { uint64_t number; struct row row; };

enum join_state { ABSENT, JOINING, JOINED };
struct member {
    struct process *process;            /* this boot's; dead: NULL */
    uint32_t number, connections;
    uint64_t boot;
    enum join_state state;
    int64_t join_at;                    /* when a head that has not answered is asked again */
    struct process *with;               /* the life of the head that it joined */
    uint64_t version, view;             /* of its last report; of the last view */
    uint64_t request, sent, kept;       /* its value: the last that was put, that is kept */
    bool asks;                          /* a put or get without an answer */
    /* what it was told */
    uint32_t inc_told;
    uint64_t boot_told;
};

struct cluster {
    struct process *process;            /* the head's life; NULL: there is none */
    struct head *core;
    struct row rows[ROWS_MAX];          /* the disk: outlives the head */
    uint32_t row_count;
    struct queued queue[ROWS_MAX];      /* of this life */
    uint32_t queue_count, committing;   /* the first so many are being written */
    int64_t told_at;                    /* when the core hears of the last commit: in order */
    uint64_t epoch_told;                /* the highest that was announced, by ... */
    struct process *told_by;            /* ... this life */
    struct member members[SIM_MEMBERS_MAX];
    uint32_t member_count;
};

/* ---- the disk --------------------------------------------------------------------- */

static void copy_row(struct row *to, const struct head_record *from)
{
    *to = (struct row){.key_len = from->key.len};
    assert(from->key.len <= KEY_BYTES);
    snprintf(to->table, sizeof(to->table), "%s", from->table);
    memcpy(to->key, from->key.data, from->key.len);
    buf_init(&to->value);
    buf_append(&to->value, from->value.data, from->value.len);
}

static struct row *find_row(struct cluster *c, const struct row *like)
{
    for (uint32_t i = 0; i < c->row_count; i++) {
        struct row *r = &c->rows[i];
        if (strcmp(r->table, like->table) == 0 && r->key_len == like->key_len &&
            memcmp(r->key, like->key, r->key_len) == 0)
            return r;
    }
    return NULL;
}

/* The commit is a transaction: all of what is being written, or nothing. */
static void end_commit(struct cluster *c, bool done)
{
    for (uint32_t i = 0; i < c->committing; i++) {
        struct row *row = &c->queue[i].row, *old = done ? find_row(c, row) : NULL;
        if (old) {
            buf_fini(&old->value);
            *old = *row;
        } else if (done) {
            assert(c->row_count < ROWS_MAX);
            c->rows[c->row_count++] = *row;
        } else {
            buf_fini(&row->value);
        }
    }
    c->queue_count -= c->committing;
    memmove(c->queue, c->queue + c->committing, c->queue_count * sizeof(*c->queue));
    c->committing = 0;
}

static void on_told(struct world *w, struct process *p, void *data, uint64_t number, uint64_t ok)
{
    (void)p; (void)data;
    head_persisted(w->cluster->core, number, ok != 0, w->now);
}

static void begin_commit(struct world *w);

static void on_committed(struct world *w, struct process *p, void *data, uint64_t number, uint64_t ok)
{
    (void)data;
    end_commit(w->cluster, ok != 0);
    int64_t at = w->now + 1000 + (int64_t)world_below(w, MS_NS);
    if (at > w->cluster->told_at)
        w->cluster->told_at = at;
    world_at(w, w->cluster->told_at - w->now, p, on_told, NULL, number, ok);
    begin_commit(w);
}

static void begin_commit(struct world *w)
{
    struct cluster *c = w->cluster;
    if (c->committing > 0 || c->queue_count == 0)
        return;
    c->committing = c->queue_count;
    bool ok = !world_faulty(w) || !world_chance(w, 30);
    world_at(w, 50000 + (int64_t)world_below(w, 3 * (uint64_t)MS_NS), c->process, on_committed, NULL,
             c->queue[c->committing - 1].number, ok);
}

/* ---- effects of the head ---------------------------------------------------------------- */

static struct world *world_of(void *io) { return ((struct process *)io)->w; }

static void note_epoch(struct world *w, struct process *p, uint64_t epoch)
{
    struct cluster *c = w->cluster;
    if (epoch < c->epoch_told || (epoch == c->epoch_told && p != c->told_by))
        world_fail(w, "the head announces epoch %llu, and %llu was before", (unsigned long long)epoch,
                   (unsigned long long)c->epoch_told);
    c->epoch_told = epoch;
    c->told_by = p;
}

static void on_send(void *io, struct addr to, const struct msg *m)
{
    struct process *p = io;
    if (m->kind == MSG_NODE_JOINED)
        note_epoch(p->w, p, m->u.node_joined.head_epoch);
    (void)mesh_send(p->mesh, to, m, p->w->now);
}

static void on_persist(void *io, const struct head_record *record)
{
    struct world *w = world_of(io);
    struct cluster *c = w->cluster;
    if (c->queue_count == ROWS_MAX)
        world_fail(w, "the head wants %u rows written at once", ROWS_MAX);
    struct queued *q = &c->queue[c->queue_count++];
    q->number = record->number;
    copy_row(&q->row, record);
    begin_commit(w);
}

static void on_shutdown(void *io, int64_t grace_ms) { (void)io; (void)grace_ms; }
static void on_forget(void *io, struct addr peer) { mesh_forget(((struct process *)io)->mesh, peer); }

static void encode_row(struct buf *out, const struct msg *msg)
{
    if (wire_encode(out, msg) != COVEY_OK)
        out->failed = true;
}

static covey_status decode_row(struct span bytes, struct msg *out)
{
    struct scratch scratch;
    size_t used;
    char why[128];
    scratch_init(&scratch);
    covey_status status = wire_decode(bytes, &used, &scratch, out, why, sizeof(why));
    scratch_fini(&scratch);
    return status;
}

static const struct head_ops head_ops = {on_send, on_persist, on_shutdown, encode_row, decode_row, on_forget};

/* ---- links --------------------------------------------------------------------------------- */

static const struct member *member_at(const struct world *w, struct addr a)
{
    assert(a.node > 0 && a.node <= w->cluster->member_count);
    return &w->cluster->members[a.node - 1];
}

static bool on_transmit(void *io, struct addr to, struct frame *frame)
{
    struct world *w = world_of(io);
    struct process *p = addr_is_head(to) ? w->cluster->process : member_at(w, to)->process;
    return net_carry(w, io, p, frame);
}

static void on_full(void *io, struct addr peer, bool full) { (void)io; (void)peer; (void)full; }

static void on_member_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    (void)peer;
    world_fail(world_of(io), "%u dropped the head: %s: %s", ((struct process *)io)->proc, covey_strerror(status), why);
}

/* What a node still says to the last head may reach the next one, which is at the
 * same place, and speaks of frames that this one never sent. */
static void on_head_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    struct process *p = io;
    if (member_at(p->w, peer)->with == p)
        world_fail(p->w, "the head dropped node %u: %s: %s", peer.node, covey_strerror(status), why);
    head_node_gone(p->w->cluster->core, peer, p->w->now);
}

static void on_head_deliver(void *io, struct addr from, const struct msg *m)
{
    struct world *w = world_of(io);
    world_say(w, "head <- node %u %s", from.node, msg_name(m->kind));
    head_msg(w->cluster->core, from, m, w->now);
}

static const struct mesh_codec codec = {wire_encode, wire_decode};
static const struct mesh_ops head_mesh_ops = {on_transmit, on_head_deliver, on_full, on_head_broken};

/* ---- the head's life ------------------------------------------------------------------------- */

static void arm(struct process *p, event_fn fn, int64_t at)
{
    if (at == NEVER_NS || at >= p->tick_at)
        return;
    p->tick_at = at;
    world_at(p->w, at > p->w->now ? at - p->w->now : 0, p, fn, NULL, 0, 0);
}

static void on_head_tick(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b)
{
    (void)data; (void)a; (void)b;
    if (p->tick_at > w->now)
        return;
    p->tick_at = NEVER_NS;
    head_tick(w->cluster->core, w->now);
    mesh_tick(p->mesh, w->now);
}

static void head_turn(struct process *p)
{
    mesh_flush(p->mesh, p->w->now);
    int64_t at = head_deadline(p->w->cluster->core), other = mesh_deadline(p->mesh);
    arm(p, on_head_tick, at < other ? at : other);
}

static void on_head_start(struct world *w, struct process *none, void *data, uint64_t a, uint64_t b)
{
    (void)none; (void)data; (void)a; (void)b;
    struct cluster *c = w->cluster;
    struct process *p = world_process(w, HEAD_NUMBER, head_turn);
    c->process = p;
    if (mesh_new(&p->mesh, ADDR_HEAD, &codec, &head_mesh_ops, p) != COVEY_OK ||
        head_new(&c->core, &head_ops, p) != COVEY_OK)
        world_fail(w, "out of memory");
    for (uint32_t i = 0; i < c->row_count; i++) {
        const struct row *r = &c->rows[i];
        if (head_load(c->core, r->table, span_of(r->key, r->key_len), buf_span(&r->value)) != COVEY_OK)
            world_fail(w, "the head does not read its own row of table %s", r->table);
    }
    head_start(c->core, w->now);
    world_say(w, "the head begins epoch %llu with %u rows", (unsigned long long)head_epoch(c->core), c->row_count);
    head_turn(p);
}

static void on_head_end(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b);

static void stop_head(struct cluster *c, bool written)
{
    c->process->life = LIFE_DEAD;
    c->process = NULL;
    end_commit(c, written);
    c->committing = c->queue_count;     /* what had not begun is lost */
    end_commit(c, false);
    head_free(&c->core);
}

void head_kill(struct world *w)
{
    struct cluster *c = w->cluster;
    if (!c->process)
        return;
    world_say(w, "kill the head, %u rows on their way", c->queue_count);
    stop_head(c, world_chance(w, 500));
    for (uint32_t i = 0; i < c->member_count; i++)
        if (c->members[i].process && c->members[i].state != ABSENT)
            world_at(w, 100000 + (int64_t)world_below(w, 3 * (uint64_t)MS_NS), c->members[i].process, on_head_end,
                     NULL, i, 0);
    world_at(w, 2 * MS_NS + (int64_t)world_below(w, 50 * (uint64_t)MS_NS), NULL, on_head_start, NULL, 0, 0);
}

/* ---- members ------------------------------------------------------------------------------------ */

static struct member *member_of(struct process *p)
{
    struct cluster *c = p->w->cluster;
    uint32_t i = p->proc - HEAD_NUMBER - 1;
    assert(i < c->member_count && c->members[i].process == p);
    return &c->members[i];
}

static void leave(struct member *m)
{
    mesh_free(&m->process->mesh);
    m->state = ABSENT;
    m->with = NULL;
    m->asks = false;
}

static void on_head_end(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b)
{
    (void)data; (void)a; (void)b;
    struct member *m = member_of(p);
    if (m->state != ABSENT && m->with != w->cluster->process)
        leave(m);
}

static void tell(struct member *m, const struct msg *msg)
{
    (void)mesh_send(m->process->mesh, ADDR_HEAD, msg, m->process->w->now);
}

/* A value that grows: what is kept is at least the last one that was confirmed. */
static void talk(struct world *w, struct member *m)
{
    char key[KEY_BYTES], value[24];
    struct msg state = {.kind = MSG_NODE_STATE}, msg = {.kind = MSG_KV_GET};
    state.u.node_state = (struct msg_node_state){.version = ++m->version,
                                                 .free.cpu_milli = (int64_t)world_below(w, 4) * 1000};
    tell(m, &state);
    if (m->asks || w->ending)
        return;
    m->asks = true;
    snprintf(key, sizeof(key), "of %u", m->number);
    if (world_chance(w, 500)) {
        snprintf(value, sizeof(value), "%llu", (unsigned long long)++m->sent);
        msg.kind = MSG_KV_PUT;
        msg.u.kv_put = (struct msg_kv_put){++m->request, span_str(key), span_str(value), false};
    } else {
        msg.u.kv_get = (struct msg_kv_get){++m->request, span_str(key)};
    }
    tell(m, &msg);
}

static void on_value(struct world *w, struct member *m, const struct msg_kv_value *v)
{
    char text[24];
    if (!m->asks || v->request != m->request)
        world_fail(w, "node %u gets an answer to what it did not ask", m->number);
    m->asks = false;
    snprintf(text, sizeof(text), "%.*s", (int)v->value.len, (const char *)v->value.data);
    uint64_t number = strtoull(text, NULL, 10);
    if (v->status == COVEY_OK && v->value.len == 0)     /* a put */
        m->kept = m->sent;
    else if (v->status == COVEY_OK && (number < m->kept || number > m->sent))
        world_fail(w, "node %u put up to %llu, of which %llu is kept, and reads %s", m->number,
                   (unsigned long long)m->sent, (unsigned long long)m->kept, text);
    else if (v->status == COVEY_EUNKNOWN && m->kept > 0)
        world_fail(w, "node %u had %llu kept, and reads nothing", m->number, (unsigned long long)m->kept);
    else if (v->status == COVEY_OK)
        m->kept = number;               /* what was read once does not go either */
}

static void on_joined(struct world *w, struct member *m, const struct msg_node_joined *j)
{
    if (j->boot != m->boot || j->node != m->number)
        world_fail(w, "node %u is told that it is node %u", m->number, j->node);
    bool same = m->boot_told == j->boot;
    if (same ? j->inc != m->inc_told : j->inc <= m->inc_told)
        world_fail(w, "node %u has incarnation %u after %u, in %s boot", m->number, j->inc, m->inc_told,
                   same ? "the same" : "another");
    m->inc_told = j->inc;
    m->boot_told = j->boot;
    m->state = JOINED;
    m->version = 0;
}

static void on_member_deliver(void *io, struct addr from, const struct msg *msg)
{
    struct process *p = io;
    struct member *m = member_of(p);
    (void)from;
    world_say(p->w, "node %u <- head %s", m->number, msg_name(msg->kind));
    if (msg->kind == MSG_NODE_JOINED)
        on_joined(p->w, m, &msg->u.node_joined);
    if (msg->kind == MSG_KV_VALUE)
        on_value(p->w, m, &msg->u.kv_value);
    if (msg->kind != MSG_VIEW)
        return;
    if (msg->u.view.version <= m->view)
        world_fail(p->w, "node %u gets a view that is older than its last", m->number);
    m->view = msg->u.view.version;
    if (m == p->w->cluster->members)
        machine_view(p->w, msg);
}

static const struct mesh_ops member_mesh_ops = {on_transmit, on_member_deliver, on_full, on_member_broken};

static void ask_to_join(struct world *w, struct member *m)
{
    struct msg msg = {.kind = MSG_NODE_JOIN};
    m->join_at = w->now + JOIN_AGAIN;
    msg.u.node_join = (struct msg_node_join){.node = m->number, .boot = m->boot, .name = span_str("member"),
                                             .total.cpu_milli = 4000};
    tell(m, &msg);
}

static void join(struct world *w, struct member *m)
{
    struct addr self = {m->number, 0, (uint32_t)m->boot << 12 | m->connections++, 0};
    if (mesh_new(&m->process->mesh, self, &codec, &member_mesh_ops, m->process) != COVEY_OK)
        world_fail(w, "out of memory");
    m->state = JOINING;
    m->with = w->cluster->process;
    ask_to_join(w, m);
}

static void on_look(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b)
{
    (void)data; (void)a; (void)b;
    struct member *m = member_of(p);
    if (m->state == ABSENT && w->cluster->process)
        join(w, m);
    else if (m->state == JOINING && w->now >= m->join_at)
        ask_to_join(w, m);
    else if (m->state == JOINED)
        talk(w, m);
    int64_t every = m->state != JOINED ? LOOK_EVERY : world_faulty(w) ? TALK_EVERY : TALK_EVERY_HEALED;
    world_at(w, every / 2 + (int64_t)world_below(w, (uint64_t)every / 2), p, on_look, NULL, 0, 0);
}

static void on_member_tick(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b)
{
    (void)data; (void)a; (void)b;
    if (p->tick_at > w->now)
        return;
    p->tick_at = NEVER_NS;
    if (p->mesh)
        mesh_tick(p->mesh, w->now);
}

static void member_turn(struct process *p)
{
    if (!p->mesh)
        return;
    mesh_flush(p->mesh, p->w->now);
    arm(p, on_member_tick, mesh_deadline(p->mesh));
}

static void on_member_start(struct world *w, struct process *none, void *data, uint64_t i, uint64_t b)
{
    (void)none; (void)data; (void)b;
    struct member *m = &w->cluster->members[i];
    m->process = world_process(w, HEAD_NUMBER + 1 + (uint32_t)i, member_turn);
    m->boot++;                          /* a number is as good as a random one here */
    m->view = 0;
    m->state = ABSENT;
    m->asks = false;
    world_say(w, "node %u boots for time %llu", m->number, (unsigned long long)m->boot);
    world_at(w, 0, m->process, on_look, NULL, 0, 0);
    if (i == 0 && m->boot > 1)
        machine_open(w);
}

void head_kill_member(struct world *w, uint32_t i)
{
    struct member *m = &w->cluster->members[i];
    if (!m->process)
        return;
    world_say(w, "kill node %u", m->number);
    m->process->life = LIFE_DEAD;
    m->process = NULL;
    world_at(w, 10 * MS_NS + (int64_t)world_below(w, 40 * (uint64_t)MS_NS), NULL, on_member_start, NULL, i, 0);
    if (i == 0)
        machine_kill(w);
}

struct process *head_process(const struct world *w) { return w->cluster->process; }

uint32_t head_member_count(const struct world *w) { return w->cluster->member_count; }

/* ---- the world's begin and end --------------------------------------------------------------------- */

void head_open(struct world *w)
{
    struct cluster *c = w->cluster = calloc(1, sizeof(*c));
    if (!c)
        world_fail(w, "out of memory");
    c->member_count = 1 + (uint32_t)world_below(w, SIM_MEMBERS_MAX);
    for (uint32_t i = 0; i < c->member_count; i++) {
        c->members[i].number = i + 1;
        world_at(w, (int64_t)world_below(w, 20 * (uint64_t)MS_NS), NULL, on_member_start, NULL, i, 0);
    }
    world_at(w, (int64_t)world_below(w, 20 * (uint64_t)MS_NS), NULL, on_head_start, NULL, 0, 0);
}

/* All is healed: every node is in, what it asked was answered, and what the head
 * had to write is written. */
void head_check_end(struct world *w)
{
    struct cluster *c = w->cluster;
    if (!c->process)
        world_fail(w, "after the end: no head");
    if (c->queue_count > 0 || !list_empty(&c->core->pending))
        world_fail(w, "after the end: %u rows are not written, %u answers wait", c->queue_count,
                   c->core->pending_count);
    for (uint32_t i = 0; i < c->member_count; i++) {
        const struct member *m = &c->members[i];
        const struct head_node *n = members_find(c->core, m->number);
        if (m->state != JOINED || m->with != c->process)
            world_fail(w, "after the end: node %u has not joined", m->number);
        if (!n || !n->joined || !n->alive || n->boot != m->boot)
            world_fail(w, "after the end: the head does not know that node %u is there", m->number);
        if (m->asks)
            world_fail(w, "after the end: node %u has no answer", m->number);
        if (m->view == 0)
            world_fail(w, "after the end: node %u has seen no view", m->number);
    }
}

void head_close(struct world *w)
{
    struct cluster *c = w->cluster;
    if (c->process)
        stop_head(c, false);
    for (uint32_t i = 0; i < c->row_count; i++)
        buf_fini(&c->rows[i].value);
    free(c);
    w->cluster = NULL;
}
