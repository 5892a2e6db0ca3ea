/* mesh.c - see mesh.h for the contract.
 *
 * A peer is a link and its membership in two lists, which spare the frequent
 * calls a walk over all peers:
 *
 *   unflushed   its link has records that wait for a flush
 *   timed       its link has a deadline
 *
 * track() puts a peer where it belongs after every call of its link.  Walks
 * that call links take the list's members to a list of their own first, since
 * callbacks may send, and so append to the lists, or forget any other peer,
 * which leaves whatever list it is in.
 */
#include "core/mesh.h"
#include "core/map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define WHY_SIZE 256

struct peer {
    struct mesh *mesh;
    struct addr addr;
    struct link *link;          /* owned */
    struct list in_unflushed, in_timed;
};

struct mesh {
    struct addr self;
    const struct mesh_codec *codec;
    const struct mesh_ops *ops;
    void *io;
    struct map peers;           /* key_addr -> struct peer, owned */
    struct peer *last;          /* of the latest look-up; most come in runs */
    struct list unflushed, timed;

    /* The dead, in a ring: forgotten_count counts all there ever were. */
    struct map forgotten;       /* key_addr -> the mesh, which stands for "yes" */
    struct key_addr ring[MESH_FORGOTTEN_MAX];
    uint64_t forgotten_count;

    /* While a frame is being received. */
    struct scratch scratch;     /* one record's */
    struct peer *receiving;
    covey_status bad;           /* what was wrong with the frame's records */
    char why[WHY_SIZE];

    struct mesh_stats stats;
};

static struct key_addr key_of(struct addr a)
{
    return (struct key_addr){a.node, a.proc, a.inc, a.actor};
}

/* ---- links ----------------------------------------------------------------- */

static bool on_transmit(void *io, struct link *link, struct frame *frame)
{
    struct peer *peer = io;
    (void)link;
    return peer->mesh->ops->transmit(peer->mesh->io, peer->addr, frame);
}

static void on_full(void *io, struct link *link, bool is_full)
{
    struct peer *peer = io;
    (void)link;
    peer->mesh->ops->full(peer->mesh->io, peer->addr, is_full);
}

/* The records of a frame's body, one by one until one is bad. */
static void on_deliver(void *io, struct link *link, struct span body)
{
    struct peer *peer = io;
    struct mesh *mesh = peer->mesh;
    (void)link;
    while (body.len > 0) {
        struct msg msg;
        size_t used = 0;
        scratch_reset(&mesh->scratch);
        mesh->bad = mesh->codec->decode(body, &used, &mesh->scratch, &msg, mesh->why, WHY_SIZE);
        if (mesh->bad)
            return;
        assert(used > 0 && used <= body.len);
        body.data += used;
        body.len -= (uint32_t)used;
        mesh->ops->deliver(mesh->io, peer->addr, &msg);
    }
}

static const struct link_ops link_ops = {
    .transmit = on_transmit, .deliver = on_deliver, .full = on_full,
};

static void list_keep(struct list *list, struct list *item, bool member)
{
    if (member == !list_empty(item)) /* an item alone is in no list */
        return;
    if (member)
        list_push(list, item);
    else
        list_del(item);
}

static void track(struct peer *peer)
{
    list_keep(&peer->mesh->unflushed, &peer->in_unflushed, link_has_open(peer->link));
    list_keep(&peer->mesh->timed, &peer->in_timed, link_deadline(peer->link) != NEVER_NS);
}

static struct peer *peer_find(struct mesh *mesh, struct addr addr)
{
    if (mesh->last && addr_eq(mesh->last->addr, addr))
        return mesh->last;
    struct key_addr key = key_of(addr);
    struct peer *peer = map_get(&mesh->peers, &key);
    if (peer)
        mesh->last = peer;
    return peer;
}

static void peer_free(struct peer *peer)
{
    list_del(&peer->in_unflushed);
    list_del(&peer->in_timed);
    link_free(&peer->link);
    free(peer);
}

static covey_status peer_new(struct mesh *mesh, struct addr addr, struct peer **out)
{
    struct key_addr key = key_of(addr);
    if (map_count(&mesh->peers) >= MESH_LINKS_MAX)
        return COVEY_ELIMIT;
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return COVEY_ENOMEM;
    peer->mesh = mesh;
    peer->addr = addr;
    list_init(&peer->in_unflushed);
    list_init(&peer->in_timed);
    if (link_new(&peer->link, mesh->self, addr, &link_ops, peer) != COVEY_OK ||
        !map_put(&mesh->peers, &key, peer)) {
        peer_free(peer);
        return COVEY_ENOMEM;
    }
    mesh->last = peer;
    *out = peer;
    return COVEY_OK;
}

static bool is_forgotten(const struct mesh *mesh, struct addr addr)
{
    struct key_addr key = key_of(addr);
    return map_get(&mesh->forgotten, &key) != NULL;
}

/* The peer's link, made if there is none. */
static covey_status peer_get(struct mesh *mesh, struct addr addr, struct peer **out)
{
    *out = peer_find(mesh, addr);
    if (*out)
        return COVEY_OK;
    return is_forgotten(mesh, addr) ? COVEY_ECLOSED : peer_new(mesh, addr, out);
}

/* ---- life --------------------------------------------------------------------- */

covey_status mesh_new(struct mesh **out, struct addr self, const struct mesh_codec *codec,
                      const struct mesh_ops *ops, void *io)
{
    struct mesh *mesh = calloc(1, sizeof *mesh);
    if (!mesh)
        return COVEY_ENOMEM;
    mesh->self = self;
    mesh->codec = codec;
    mesh->ops = ops;
    mesh->io = io;
    map_init(&mesh->peers, sizeof(struct key_addr));
    map_init(&mesh->forgotten, sizeof(struct key_addr));
    list_init(&mesh->unflushed);
    list_init(&mesh->timed);
    scratch_init(&mesh->scratch);
    *out = mesh;
    return COVEY_OK;
}

void mesh_free(struct mesh **at)
{
    struct mesh *mesh = *at;
    if (!mesh)
        return;
    assert(!mesh->receiving);
    struct peer *peer;
    for (uint32_t i = 0; (peer = map_next(&mesh->peers, &i)) != NULL;)
        peer_free(peer);
    map_fini(&mesh->peers);
    map_fini(&mesh->forgotten);
    scratch_fini(&mesh->scratch);
    free(mesh);
    *at = NULL;
}

/* Remember @addr, and let go of the oldest where that is one too many.  When
 * memory is out it is not remembered: then its late frames meet a new link,
 * which refuses them by their numbers. */
static void remember(struct mesh *mesh, struct addr addr)
{
    struct key_addr key = key_of(addr);
    if (is_forgotten(mesh, addr))
        return;
    struct key_addr *place = &mesh->ring[mesh->forgotten_count % MESH_FORGOTTEN_MAX];
    if (mesh->forgotten_count >= MESH_FORGOTTEN_MAX)
        map_del(&mesh->forgotten, place);
    if (!map_put(&mesh->forgotten, &key, mesh))
        return;
    *place = key;
    mesh->forgotten_count++;
}

void mesh_forget(struct mesh *mesh, struct addr addr)
{
    struct key_addr key = key_of(addr);
    assert(!mesh->receiving || !addr_eq(mesh->receiving->addr, addr));
    remember(mesh, addr);
    struct peer *peer = map_del(&mesh->peers, &key);
    if (!peer)
        return;
    if (mesh->last == peer)
        mesh->last = NULL;
    peer_free(peer);
}

/* ---- out ------------------------------------------------------------------------ */

covey_status mesh_send(struct mesh *mesh, struct addr to, const struct msg *msg, int64_t now)
{
    struct peer *peer;
    assert(!addr_eq(to, mesh->self));
    covey_status status = peer_get(mesh, to, &peer);
    if (status)
        return status;
    struct buf *out = link_begin(peer->link);
    covey_status encoded = mesh->codec->encode(out, msg);
    if (encoded)
        out->failed = true; /* half a record must not leave */
    status = link_end(peer->link, now);
    track(peer);
    return encoded ? encoded : status;
}

/* Move all of @from to the empty @to, in order. */
static void list_move(struct list *to, struct list *from)
{
    list_init(to);
    while (!list_empty(from)) {
        struct list *item = from->next;
        list_del(item);
        list_push(to, item);
    }
}

static void flush(struct mesh *mesh, int64_t now, bool only_idle)
{
    struct list batch;
    list_move(&batch, &mesh->unflushed);
    while (!list_empty(&batch)) {
        struct peer *peer = list_entry(batch.next, struct peer, in_unflushed);
        list_del(&peer->in_unflushed);
        if (!only_idle || link_idle(peer->link))
            link_flush(peer->link, now);
        track(peer);
    }
}

void mesh_flush(struct mesh *mesh, int64_t now) { flush(mesh, now, false); }
void mesh_flush_idle(struct mesh *mesh, int64_t now) { flush(mesh, now, true); }
bool mesh_has_open(const struct mesh *mesh) { return !list_empty(&mesh->unflushed); }

void mesh_writable(struct mesh *mesh, struct addr addr, int64_t now)
{
    struct peer *peer = peer_find(mesh, addr);
    if (!peer)
        return;
    link_writable(peer->link, now);
    track(peer);
}

void mesh_reconnected(struct mesh *mesh, struct addr addr, int64_t now)
{
    struct peer *peer = peer_find(mesh, addr);
    if (!peer)
        return;
    link_reconnected(peer->link, now);
    track(peer);
}

/* ---- in ------------------------------------------------------------------------- */

/* Receive on @peer's link; what was wrong with the frame, if anything. */
static covey_status receive(struct mesh *mesh, struct peer *peer,
                            const struct frame_header *header, struct span body, int64_t now)
{
    mesh->receiving = peer;
    mesh->bad = COVEY_OK;
    mesh->why[0] = '\0';
    covey_status status = link_receive(peer->link, header, body, now);
    mesh->receiving = NULL;
    if (status) {
        snprintf(mesh->why, WHY_SIZE, "frame %" PRIu64 ": impossible acknowledgement or credit",
                 header->number);
        return status;
    }
    return mesh->bad;
}

covey_status mesh_receive(struct mesh *mesh, struct span frame, int64_t now)
{
    struct frame_header header;
    struct peer *peer = NULL;
    assert(!mesh->receiving);
    covey_status status = frame_parse(frame, &header);
    if (!status && (!addr_eq(header.to, mesh->self) || addr_eq(header.from, mesh->self)))
        status = COVEY_EPROTO;
    if (!status)
        status = peer_get(mesh, header.from, &peer);
    if (status == COVEY_ECLOSED) {
        mesh->stats.late++;
        return COVEY_OK;
    }
    if (status) {
        mesh->stats.bad++;
        return status;
    }
    struct span body = span_of(frame.data + FRAME_HEADER, header.body_len);
    status = receive(mesh, peer, &header, body, now);
    if (status) {
        mesh->stats.broken++;
        mesh_forget(mesh, header.from);
        mesh->ops->broken(mesh->io, header.from, status, mesh->why);
        return COVEY_OK;
    }
    track(peer);
    return COVEY_OK;
}

/* ---- time ----------------------------------------------------------------------- */

void mesh_tick(struct mesh *mesh, int64_t now)
{
    struct list batch;
    list_move(&batch, &mesh->timed);
    while (!list_empty(&batch)) {
        struct peer *peer = list_entry(batch.next, struct peer, in_timed);
        list_del(&peer->in_timed);
        if (link_deadline(peer->link) <= now)
            link_tick(peer->link, now);
        track(peer);
    }
}

int64_t mesh_deadline(const struct mesh *mesh)
{
    int64_t deadline = NEVER_NS;
    list_each(at, &mesh->timed) {
        int64_t one = link_deadline(list_entry(at, struct peer, in_timed)->link);
        if (one < deadline)
            deadline = one;
    }
    return deadline;
}

struct mesh_stats mesh_stats(const struct mesh *mesh) { return mesh->stats; }
