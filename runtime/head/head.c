/* head.c - see head.h for the contract.
 *
 * Everything that the core wants goes through the mesh or the record, and both
 * only take it down: the mesh sends once a loop turn (on_turn), the record when
 * its thread is free.  So a burst of requests costs one commit and few frames.
 */
#include "head/head.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "core/map.h"
#include "core/mesh.h"
#include "io/alarm.h"
#include "io/dlog.h"
#include "io/mono.h"
#include "io/port.h"
#include "io/ready.h"
#include "io/zwatch.h"
#include "wire/wire.h"

#define WHY_BYTES 1024
#define SIGNALS 3

enum exit_status { EXIT_ENDED = 0, EXIT_FAILED = 1, EXIT_REFUSED = 4 };

struct head_process {
    const struct places *places;        /* borrowed */
    /* parts; NULL or -1 until they are open */
    int lock_fd;
    struct record *record;
    struct head *core;
    struct port *port;
    struct mesh *mesh;
    struct map full;                    /* peers that do not read what we send */
    /* loop */
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    uv_poll_t record_poll;
    struct alarm alarm;
    struct zwatch *watch;
    bool stopping;
};

/* ---- the core's effects ---------------------------------------------------------- */

static void on_core_send(void *io, struct addr to, const struct msg *msg)
{
    struct head_process *h = io;
    covey_status status = mesh_send(h->mesh, to, msg, mono_ns());
    /* A peer that is forgotten has no use for an answer. */
    if (status != COVEY_OK && status != COVEY_ECLOSED)
        dlog_warn("%s to %u.%u is lost: %s", msg_name(msg->kind), to.node, to.proc, covey_strerror(status));
}

static void on_core_persist(void *io, const struct head_record *row)
{
    struct head_process *h = io;
    record_put(h->record, row);
}

static void on_core_shutdown(void *io, int64_t grace_ms)
{
    struct head_process *h = io;
    (void)grace_ms; /* the nodes': nothing runs here that would need it */
    h->stopping = true; /* after the flush of this turn */
}

static struct key_addr key_of(struct addr a)
{
    return (struct key_addr){a.node, a.proc, a.inc, a.actor};
}

/* Each connection of a node has an address of its own; what is left of the last
 * one would be sent again for ever. */
static void on_core_forget(void *io, struct addr peer)
{
    struct head_process *h = io;
    struct key_addr key = key_of(peer);
    mesh_forget(h->mesh, peer);
    port_forget(h->port, peer);
    (void)map_del(&h->full, &key);
}

static void encode_row(struct buf *out, const struct msg *msg)
{
    if (wire_encode(out, msg) != COVEY_OK)
        out->failed = true;
}

/* Rows have no arrays, so nothing of @out may lie in the decoder's scratch
 * memory, which ends here; a row that has some is none of ours. */
static covey_status decode_row(struct span bytes, struct msg *out)
{
    char why[WHY_BYTES];
    size_t used;
    struct scratch scratch;
    scratch_init(&scratch);
    covey_status status = wire_decode(bytes, &used, &scratch, out, why, sizeof why);
    if (status != COVEY_OK)
        dlog_warn("a row of the record: %s", why);
    else if (used != bytes.len || scratch.chunk)
        status = COVEY_EPROTO;
    scratch_fini(&scratch);
    return status;
}

/* ---- the mesh's and the port's events --------------------------------------------- */

static bool on_mesh_transmit(void *io, struct addr to, struct frame *frame)
{
    struct head_process *h = io;
    return port_transmit(h->port, to, frame);
}

/* A peer that asks and does not read would have its answers pile up here.  What
 * it asks meanwhile is dropped; it has no answer to miss, and asks again. */
static bool is_question(enum msg_kind kind)
{
    return kind == MSG_KV_GET || kind == MSG_QUERY;
}

static void on_mesh_deliver(void *io, struct addr from, const struct msg *msg)
{
    struct head_process *h = io;
    struct key_addr key = key_of(from);
    if (!is_question(msg->kind) || !map_get(&h->full, &key))
        head_msg(h->core, from, msg, mono_ns());
}

static void on_mesh_full(void *io, struct addr peer, bool is_full)
{
    struct head_process *h = io;
    struct key_addr key = key_of(peer);
    if (!is_full)
        (void)map_del(&h->full, &key);
    else if (!map_put(&h->full, &key, h))
        dlog_warn("out of memory: answers to %u.%u are not held back", peer.node, peer.proc);
}

static void on_mesh_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    struct head_process *h = io;
    struct key_addr key = key_of(peer);
    dlog_warn("dropped %u.%u: %s: %s", peer.node, peer.proc, covey_strerror(status), why);
    (void)map_del(&h->full, &key);
    port_forget(h->port, peer);
    head_node_gone(h->core, peer, mono_ns());
}

static void on_port_frame(void *io, struct span frame)
{
    struct head_process *h = io;
    /* What has no peer to blame is counted there, and dropped. */
    (void)mesh_receive(h->mesh, frame, mono_ns());
}

static void on_port_writable(void *io, struct addr peer)
{
    struct head_process *h = io;
    mesh_writable(h->mesh, peer, mono_ns());
}

/* ---- the loop's events --------------------------------------------------------------- */

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* No handle survives this, so uv_run() returns.  Each is embedded in @h, which
 * outlives the loop, so none needs a callback. */
static void close_handles(struct head_process *h)
{
    if (h->watch)
        zwatch_close(&h->watch, NULL);
    uv_walk(&h->loop, close_handle, NULL);
}

static void on_turn(void *ctx)
{
    struct head_process *h = ctx;
    mesh_flush(h->mesh, mono_ns());
    int64_t core_ns = head_deadline(h->core), mesh_ns = mesh_deadline(h->mesh);
    alarm_set(&h->alarm, core_ns < mesh_ns ? core_ns : mesh_ns);
    if (h->stopping)
        close_handles(h);
}

static void on_due(void *ctx)
{
    struct head_process *h = ctx;
    int64_t now = mono_ns();
    head_tick(h->core, now);
    mesh_tick(h->mesh, now);
}

static void on_record(uv_poll_t *poll, int status, int events)
{
    struct head_process *h = poll->data;
    uint64_t number;
    bool ok;
    (void)status, (void)events; /* record_take() looks for itself */
    while (record_take(h->record, &number, &ok)) {
        if (!ok) {
            char why[WHY_BYTES];
            record_error(h->record, why, sizeof why);
            dlog_error("the record was not written: %s", why);
        }
        head_persisted(h->core, number, ok, mono_ns());
    }
}

static void on_signal(uv_signal_t *signal, int number)
{
    struct head_process *h = signal->data;
    (void)number;
    h->stopping = true;
}

/* ---- life -------------------------------------------------------------------------------- */

static const struct head_ops core_ops = {
    .send = on_core_send,
    .persist = on_core_persist,
    .shutdown = on_core_shutdown,
    .encode = encode_row,
    .decode = decode_row,
    .forget = on_core_forget,
};
static const struct mesh_codec codec = {.encode = wire_encode, .decode = wire_decode};
static const struct mesh_ops mesh_ops = {
    .transmit = on_mesh_transmit,
    .deliver = on_mesh_deliver,
    .full = on_mesh_full,
    .broken = on_mesh_broken,
};
static const struct port_ops port_ops = {.frame = on_port_frame, .writable = on_port_writable};

static covey_status on_row(void *io, const char *table, struct span key, struct span value)
{
    struct head_process *h = io;
    return head_load(h->core, table, key, value);
}

/* The lock comes first: from here on nobody else is the head. */
static covey_status take_cluster(struct head_process *h, char *why, size_t why_size)
{
    covey_status status = places_lock(h->places, PLACES_HEAD_LOCK, &h->lock_fd);
    if (status == COVEY_EAGAIN)
        snprintf(why, why_size, "cluster %s has a head already (see %s/" PLACES_HEAD_PID ")",
                 h->places->name, h->places->dir);
    else if (status != COVEY_OK)
        snprintf(why, why_size, "cannot lock %s: %s", h->places->dir, strerror(errno));
    return status;
}

static covey_status load_record(struct head_process *h, const struct head_options *options,
                                char *why, size_t why_size)
{
    char path[PLACE_MAX + sizeof RECORD_FILE + 1];
    snprintf(path, sizeof path, "%s/" RECORD_FILE, h->places->state);
    covey_status status = record_open(&h->record, path, &options->record, why, why_size);
    if (status == COVEY_OK && why[0] != '\0')
        dlog_warn("%s", why);
    if (status == COVEY_OK)
        status = head_new(&h->core, &core_ops, h);
    if (status == COVEY_OK && record_began_anew(h->record))
        head_load_nothing(h->core, (uint64_t)clock_unix_ms() / 1000);
    if (status == COVEY_OK)
        status = record_load(h->record, on_row, h, why, why_size);
    return status;
}

static covey_status open_parts(struct head_process *h, const struct head_options *options,
                               char *why, size_t why_size)
{
    covey_status status = take_cluster(h, why, why_size);
    if (status == COVEY_OK)
        status = load_record(h, options, why, why_size);
    if (status == COVEY_OK)
        status = mesh_new(&h->mesh, ADDR_HEAD, &codec, &mesh_ops, h);
    if (status == COVEY_OK)
        status = port_open(&h->port, h->places->dir, ADDR_HEAD, &port_ops, h, why, why_size);
    /* Nodes look for this file to find the head, so it comes after the socket. */
    if (status == COVEY_OK && !places_write_pid(h->places, PLACES_HEAD_PID)) {
        snprintf(why, why_size, "cannot write %s/" PLACES_HEAD_PID ": %s", h->places->dir, strerror(errno));
        status = COVEY_ESYSTEM;
    }
    return status;
}

static covey_status open_handles(struct head_process *h)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    alarm_open(&h->alarm, &h->loop, on_due, h);
    for (int i = 0; i < SIGNALS; i++) {
        if (uv_signal_init(&h->loop, &h->signals[i]) != 0)
            return COVEY_ESYSTEM;
        h->signals[i].data = h;
        if (uv_signal_start(&h->signals[i], on_signal, numbers[i]) != 0)
            return COVEY_ESYSTEM;
    }
    if (uv_poll_init(&h->loop, &h->record_poll, record_fd(h->record)) != 0)
        return COVEY_ESYSTEM;
    h->record_poll.data = h;
    if (uv_poll_start(&h->record_poll, UV_READABLE, on_record) != 0)
        return COVEY_ESYSTEM;
    return zwatch_open(&h->watch, &h->loop, h->port, on_turn, h);
}

/* Run the loop until something stops the head. */
static covey_status serve(struct head_process *h, int *ready_fd, char *why, size_t why_size)
{
    if (uv_loop_init(&h->loop) != 0) {
        snprintf(why, why_size, "cannot make an event loop: %s", strerror(errno));
        return COVEY_ESYSTEM;
    }
    covey_status status = open_handles(h);
    if (status == COVEY_OK) {
        head_start(h->core, mono_ns());
        dlog_info("serves %s in epoch %llu", h->places->dir, (unsigned long long)head_epoch(h->core));
        ready_tell(ready_fd, NULL);
    } else {
        snprintf(why, why_size, "cannot watch signals and sockets: %s", covey_strerror(status));
        close_handles(h); /* those that are open; uv_run() ends them */
    }
    uv_run(&h->loop, UV_RUN_DEFAULT);
    dlog_info("ends");
    int rc = uv_loop_close(&h->loop);
    assert(rc == 0);
    (void)rc;
    return status;
}

/* The port goes first, so that nobody hears an answer that is not yet safe; the
 * lock last, so that the next head finds everything at rest. */
static void close_parts(struct head_process *h)
{
    port_close(&h->port, HEAD_LINGER_MS);
    record_close(&h->record);
    if (h->mesh)
        mesh_free(&h->mesh);
    if (h->core)
        head_free(&h->core);
    map_fini(&h->full);
    if (h->lock_fd >= 0) {
        places_remove_pid(h->places, PLACES_HEAD_PID);
        close(h->lock_fd);
    }
}

int head_main(const struct places *p, const struct head_options *options, int ready_fd)
{
    static const struct head_options defaults;
    struct head_process h = {.places = p, .lock_fd = -1};
    char why[WHY_BYTES] = "";
    dlog_open("head");
    signal(SIGPIPE, SIG_IGN); /* whoever waits at @ready_fd may be gone */
    map_init(&h.full, sizeof(struct key_addr));
    covey_status status = open_parts(&h, options ? options : &defaults, why, sizeof why);
    if (status == COVEY_OK)
        status = serve(&h, &ready_fd, why, sizeof why);
    close_parts(&h);
    if (status == COVEY_OK)
        return EXIT_ENDED;
    if (why[0] == '\0')
        snprintf(why, sizeof why, "%s", covey_strerror(status));
    dlog_error("%s", why);
    ready_tell(&ready_fd, why);
    return status == COVEY_EAGAIN ? EXIT_REFUSED : EXIT_FAILED;
}
