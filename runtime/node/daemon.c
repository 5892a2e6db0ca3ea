/* daemon.c - the node's parts joined: every event of one part as a call of
 * another.
 *
 * The core's effects are recorded by the parts and carried out later, so none
 * comes back into the core from inside: messages wait in the mesh for the flush
 * of the loop's turn, failed starts in the starter for the next tick, pages in
 * the pager.
 */
#include "node/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/resources.h"
#include "io/dlog.h"
#include "io/mono.h"
#include "node/keeper.h"
#include "wire/wire.h"

#define LOG_ROWS_BYTES (256u * 1024)    /* of a log in one message */

static struct addr addr_of(const struct daemon *d, uint32_t proc)
{
    return (struct addr){.node = d->config.self.node, .proc = proc};
}

static void say(const char *what, struct addr who, const char *why)
{
    dlog_warn("%s %u.%u: %s", what, (unsigned)who.node, (unsigned)who.proc, why);
}

/* ---- the core's effects --------------------------------------------------------------- */

static void on_send(void *io, struct addr to, const struct msg *msg)
{
    struct daemon *d = io;
    int64_t now = mono_ns();
    if (addr_is_head(to)) {
        head_link_send(d->head, msg, now);
        return;
    }
    covey_status status = mesh_send(d->mesh, to, msg, now);
    /* One that is forgotten died: that is told to all who must know. */
    if (status != COVEY_OK && status != COVEY_ECLOSED)
        say(msg_name(msg->kind), to, covey_strerror(status));
}

static void on_start_worker(void *io, uint32_t proc, uint64_t token,
                            const struct msg_package *package, const char *devices,
                            int64_t cpu_milli)
{
    struct daemon *d = io;
    if (d->stopping)
        return;
    entrance_expect(d->entrance, proc);
    starter_start(d->starter, proc, token, package, devices, cpu_milli);
}

static void on_kill(void *io, uint32_t proc, enum node_kill how)
{
    struct daemon *d = io;
    entrance_kill(d->entrance, proc, how == NODE_KILL_TERM ? SIGTERM : SIGKILL);
}

static void on_package_known(void *io, const struct msg_package *package)
{
    struct daemon *d = io;
    if (!d->stopping)
        starter_prepare(d->starter, package);
}

static void on_shutdown(void *io, int64_t grace_ms)
{
    daemon_stop(io, grace_ms);
}

static uint64_t on_random(void *io)
{
    uint64_t number = 0;
    (void)io;
    while (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) {
        /* Interrupted: before the system's first entropy it may wait. */
    }
    return number;
}

static int64_t on_unix_ms(void *io)
{
    (void)io;
    return clock_unix_ms();
}

static void on_populate(void *io, uint32_t first_block, uint32_t blocks)
{
    struct daemon *d = io;
    pager_ask(d->pager, first_block, blocks);
}

static void on_publish(void *io, uint32_t block, uint64_t gen)
{
    struct daemon *d = io;
    arena_publish(d->arena, block, gen);
}

static bool on_header(void *io, uint64_t offset, struct object_header *out)
{
    struct daemon *d = io;
    return arena_header(d->arena, offset, out);
}

static uint64_t on_budget(void *io)
{
    struct daemon *d = io;
    uint64_t populated = d->core ? node_store_stats(d->core).populated_bytes : 0;
    return arena_budget(populated, d->config.arena_bytes);
}

const struct node_ops daemon_core_ops = {
    .send = on_send, .start_worker = on_start_worker, .kill = on_kill,
    .package_known = on_package_known, .shutdown = on_shutdown, .random = on_random,
    .unix_ms = on_unix_ms,
    .extents = {.populate = on_populate, .publish = on_publish, .header = on_header,
                .budget = on_budget},
};

/* ---- pages ------------------------------------------------------------------------------ */

bool daemon_populate(void *ctx, uint32_t first_block, uint32_t blocks)
{
    struct daemon *d = ctx;
    return arena_populate(d->arena, (uint64_t)first_block * ARENA_BLOCK,
                          (uint64_t)blocks * ARENA_BLOCK) == COVEY_OK;
}

void daemon_on_pages(void *ctx)
{
    struct daemon *d = ctx;
    uint32_t first_block, blocks;
    bool ok;
    while (pager_next(d->pager, &first_block, &blocks, &ok))
        node_populated(d->core, first_block, blocks, ok, mono_ns());
}

/* ---- messages ------------------------------------------------------------------------------ */

static void send_rows(struct daemon *d, struct addr to, const struct msg_query *q,
                      struct span cells, uint64_t left_out)
{
    struct msg m = {.kind = MSG_ROWS};
    do {
        uint32_t len = cells.len;
        if (len > LOG_ROWS_BYTES) {
            /* Whole lines: a line is shorter than this. */
            const uint8_t *end = memrchr(cells.data, '\0', LOG_ROWS_BYTES);
            len = (uint32_t)(end - cells.data) + 1;
        }
        m.u.rows = (struct msg_rows){
            .request = q->request, .last = len == cells.len, .columns = 1,
            .dropped = left_out, .cells = {cells.data, len}};
        on_send(d, to, &m);
        cells.data += len;
        cells.len -= len;
        left_out = 0;
    } while (cells.len > 0);
}

/* Whose log and what of it: "w3", "t5.12" or "t5.12@POSITION". */
struct wanted_log {
    uint32_t worker;            /* 0: nobody is known */
    bool is_task;
    struct printed printed;
    uint64_t after;
};

static struct wanted_log find_log(const struct daemon *d, struct span id)
{
    struct wanted_log w = {.worker = 0};
    char text[64] = "";
    unsigned long long number, after = 0;
    unsigned proc;
    if (id.len >= sizeof text)
        return w;
    if (id.len > 0)
        memcpy(text, id.data, id.len);
    if (sscanf(text, "w%u", &proc) == 1)
        w.worker = proc;
    else if (sscanf(text, "t%u.%llu@%llu", &proc, &number, &after) >= 2)
        w.is_task = logs_find_running(d->logs, proc, number, &w.worker, &w.printed)
                    || node_task_printed(d->core, proc, number, &w.worker, &w.printed);
    w.after = after;
    return w;
}

/* The lines, one a row; none of what is not known. */
static void answer_log(struct daemon *d, struct addr to, const struct msg_query *q)
{
    struct buf cells;
    uint64_t left_out = 0;
    struct wanted_log w = find_log(d, q->id);
    covey_status status = COVEY_EUNKNOWN;
    buf_init(&cells);
    if (w.is_task) {
        starter_drain(d->starter, w.worker);
        status = logs_query_task(d->logs, w.worker, &w.printed, w.after, q->limit, &cells, &left_out);
    } else if (w.worker != 0) {
        status = logs_query(d->logs, w.worker, q->limit, &cells, &left_out);
    }
    if (status != COVEY_OK)
        buf_reset(&cells);
    send_rows(d, to, q, buf_span(&cells), left_out);
    buf_fini(&cells);
}

static void on_deliver(void *io, struct addr from, const struct msg *msg)
{
    struct daemon *d = io;
    if (msg->kind == MSG_QUERY && msg->u.query.what == QUERY_LOG)
        answer_log(d, from, &msg->u.query);
    else
        node_msg(d->core, from, msg, mono_ns());
}

static bool on_transmit(void *io, struct addr to, struct frame *frame)
{
    struct daemon *d = io;
    return port_transmit(d->port, to, frame);
}

static void on_full(void *io, struct addr peer, bool is_full)
{
    struct daemon *d = io;
    /* Without memory to note it its logs are not held back; no more. */
    if (is_full)
        (void)map_put(&d->full, &peer.proc, d);
    else
        (void)map_del(&d->full, &peer.proc);
}

static void on_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    struct daemon *d = io;
    char text[DAEMON_WHY_MAX];
    snprintf(text, sizeof text, "%s: %s", covey_strerror(status), why);
    say("dropped", peer, text);
    entrance_expel(d->entrance, peer.proc);
}

const struct mesh_codec daemon_codec = {.encode = wire_encode, .decode = wire_decode};
const struct mesh_ops daemon_mesh_ops = {
    .transmit = on_transmit, .deliver = on_deliver, .full = on_full, .broken = on_broken,
};

/* Only who came in at the door is heard. */
static void on_frame(void *io, struct span frame)
{
    struct daemon *d = io;
    struct frame_header header;
    int64_t now = mono_ns();
    if (frame_parse(frame, &header) != COVEY_OK)
        return;
    if (addr_is_head(header.from))
        head_link_frame(d->head, frame, now);
    else if (header.from.node == d->config.self.node
             && entrance_is_guest(d->entrance, header.from.proc))
        (void)mesh_receive(d->mesh, frame, now);
}

static void on_writable(void *io, struct addr peer)
{
    struct daemon *d = io;
    if (addr_is_head(peer))
        head_link_writable(d->head, mono_ns());
    else
        mesh_writable(d->mesh, peer, mono_ns());
}

const struct port_ops daemon_port_ops = {.frame = on_frame, .writable = on_writable};

/* ---- output ---------------------------------------------------------------------------------- */

static bool on_lines(void *io, uint32_t proc, bool is_error, uint64_t dropped, struct span text)
{
    struct daemon *d = io;
    struct addr owner;
    if (d->options->quiet || !node_worker_owner(d->core, proc, &owner))
        return true;    /* nobody's: it is in the file */
    if (map_get(&d->full, &owner.proc))
        return false;
    struct msg m = {.kind = MSG_LOG};
    m.u.log = (struct msg_log){
        .worker = proc, .is_error = is_error, .dropped_bytes = dropped, .text = text};
    return mesh_send(d->mesh, owner, &m, mono_ns()) == COVEY_OK;
}

const struct logs_ops daemon_logs_ops = {.lines = on_lines};

/* ---- processes ---------------------------------------------------------------------------------- */

static void on_exited(void *io, uint32_t proc, int wait_status)
{
    struct daemon *d = io;
    entrance_exited(d->entrance, proc, wait_status);
}

static void on_orphaned(void *io, uint32_t proc)
{
    struct daemon *d = io;
    entrance_orphaned(d->entrance, proc);
}

static void on_start_failed(void *io, uint32_t proc, bool killed, const char *why)
{
    struct daemon *d = io;
    entrance_start_failed(d->entrance, proc, killed, why);
}

/* Nothing can be started or cleaned up after any more. */
static void on_keeper_dead(void *io)
{
    struct daemon *d = io;
    dlog_error("the keeper process died; the node ends");
    d->keeper_died = true;
    daemon_stop(d, 0);
}

const struct starter_ops daemon_starter_ops = {
    .exited = on_exited, .orphaned = on_orphaned, .failed = on_start_failed,
    .keeper_dead = on_keeper_dead,
};

static covey_status on_hello(void *io, const struct msg_door_hello *hello, pid_t pid,
                             struct addr *self, char *why, size_t why_size)
{
    struct daemon *d = io;
    covey_status status = node_hello(d->core, hello, pid, mono_ns(), self, why, why_size);
    if (status == COVEY_OK)
        dlog_debug("process %u enters (pid %d)", (unsigned)self->proc, (int)pid);
    else
        dlog_warn("pid %d is refused: %s", (int)pid, why);
    return status;
}

static void on_welcome(void *io, struct msg_door_welcome *out, int arena_fds[2])
{
    struct daemon *d = io;
    int64_t cpus = (d->config.total.cpu_milli + 999) / 1000;
    *out = (struct msg_door_welcome){
        .node = d->config.self, .arena_bytes = d->config.arena_bytes, .block_bytes = ARENA_BLOCK,
        .cpus = (uint32_t)cpus, .gpus = (uint32_t)(d->config.total.gpu_milli / DEVICE_MILLI),
        .head_epoch = d->head_epoch, .cluster = span_str(d->places->name)};
    arena_fds[0] = arena_fd_read_only(d->arena);
    arena_fds[1] = arena_fd_writable(d->arena);
}

static void on_tail(void *io, uint32_t proc, char *out, size_t size)
{
    struct daemon *d = io;
    starter_tail(d->starter, proc, out, size);
}

static void on_signal_start(void *io, uint32_t proc, int signal_number)
{
    struct daemon *d = io;
    starter_kill(d->starter, proc, signal_number);
}

static void on_gone(void *io, uint32_t proc, bool greeted, int32_t exit_status, const char *why)
{
    struct daemon *d = io;
    struct addr who = addr_of(d, proc);
    struct page_task ran;
    dlog_line(greeted && exit_status == 0 ? DLOG_DEBUG : DLOG_INFO, "process %u %s (%d)%s%s", (unsigned)proc,
             greeted ? "has ended" : "was not started", (int)exit_status, why && *why ? ": " : "", why ? why : "");
    if (starter_running(d->starter, proc, &ran))
        node_worker_ran(d->core, proc, ran.owner, ran.seq);
    if (greeted)
        node_proc_gone(d->core, proc, exit_status, why, mono_ns());
    else
        node_start_failed(d->core, proc, exit_status == -SIGKILL ? COVEY_EWORKER : COVEY_ESTART, why, mono_ns());
    mesh_forget(d->mesh, who);
    port_forget(d->port, who);
    port_unlink(d->places->dir, who);
    keeper_remove_reports(d->places->dir, who.node, proc);
    (void)map_del(&d->full, &proc);
    starter_forget(d->starter, proc);
}

const struct entrance_ops daemon_entrance_ops = {
    .hello = on_hello, .welcome = on_welcome, .tail = on_tail, .signal_start = on_signal_start,
    .gone = on_gone,
};

/* ---- the head -------------------------------------------------------------------------------------- */

static void on_joined(void *io, const struct msg_node_joined *joined)
{
    struct daemon *d = io;
    d->head_epoch = joined->head_epoch;
    if (joined->node != d->config.self.node)
        dlog_warn("the head calls this node %u, it calls itself %u", (unsigned)joined->node,
                 (unsigned)d->config.self.node);
    dlog_info("has joined the head of epoch %llu", (unsigned long long)joined->head_epoch);
}

static void on_head_msg(void *io, const struct msg *msg)
{
    struct daemon *d = io;
    node_msg(d->core, ADDR_HEAD, msg, mono_ns());
}

static void on_state(void *io, struct msg_node_state *out)
{
    struct daemon *d = io;
    struct node_stats stats = node_stats(d->core);
    struct extents_stats store = node_store_stats(d->core);
    *out = (struct msg_node_state){
        .free = stats.free, .workers = stats.workers, .clients = stats.clients,
        .store_used = store.store_bytes - store.free_bytes, .store_bytes = store.store_bytes};
}

const struct head_link_ops daemon_head_ops = {
    .joined = on_joined, .msg = on_head_msg, .state = on_state,
};

/* ---- time and the end --------------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool has_ended(const struct daemon *d, int64_t now)
{
    return d->stopping && (now >= d->stop_at || entrance_workers(d->entrance) == 0);
}

void daemon_on_turn(void *ctx)
{
    struct daemon *d = ctx;
    int64_t now = mono_ns();
    mesh_flush(d->mesh, now);
    head_link_flush(d->head, now);
    if (has_ended(d, now)) {
        uv_stop(&d->loop);
        return;
    }
    int64_t at = least(node_deadline(d->core), mesh_deadline(d->mesh));
    at = least(at, least(entrance_deadline(d->entrance), starter_deadline(d->starter)));
    at = least(at, head_link_deadline(d->head));
    alarm_set(&d->alarm, d->stopping ? least(at, d->stop_at) : at);
}

void daemon_on_due(void *ctx)
{
    struct daemon *d = ctx;
    int64_t now = mono_ns();
    entrance_tick(d->entrance, now);
    starter_tick(d->starter, now);
    node_tick(d->core, now);
    mesh_tick(d->mesh, now);
    head_link_tick(d->head, now);
}

void daemon_stop(struct daemon *d, int64_t grace_ms)
{
    int64_t now = mono_ns(), left_ms = (NEVER_NS - now) / MS_NS;
    int64_t stop_at = now + (grace_ms < left_ms ? grace_ms : left_ms) * MS_NS;
    if (d->stopping) {
        d->stop_at = least(d->stop_at, stop_at);
        return;
    }
    d->stopping = true;
    d->stop_at = stop_at;
    entrance_shut(d->entrance);
    entrance_kill_workers(d->entrance, SIGTERM);
}

void daemon_on_parent(void *ctx)
{
    struct daemon *d = ctx;
    char skipped[64];
    ssize_t n = read(d->options->parent_fd, skipped, sizeof skipped);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    watch_close(&d->parent_watch);
    struct msg m = {.kind = MSG_SHUTDOWN};
    m.u.shutdown.grace_ms = NODE_STOP_WAIT / MS_NS;
    head_link_send(d->head, &m, mono_ns());
    daemon_stop(d, NODE_STOP_WAIT / MS_NS);
}
