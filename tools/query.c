/* query.c - see query.h for the contract. */
#include "query.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/mesh.h"
#include "io/door.h"
#include "io/mono.h"
#include "io/port.h"
#include "wire/wire.h"

#define FRAMES_A_TURN 64
#define LINGER_MS 100

struct query {
    struct addr self, node;
    int door_fd;
    struct port *port;          /* owned */
    struct mesh *mesh;          /* owned */
    uint64_t request;           /* number of the one under way */
    bool done;                  /* it is answered */
    covey_status status;        /* what broke the conversation */
    query_row_fn on_row;
    void *ctx;
    uint64_t dropped;
    char why[256];
};

static void break_off(struct query *q, covey_status status, const char *why)
{
    if (q->status == COVEY_OK) {
        q->status = status;
        snprintf(q->why, sizeof q->why, "%s", why);
    }
}

/* ---- messages ------------------------------------------------------------------ */

/* The cells of one row, off the front of *@cells; false: there are not enough. */
static bool next_row(struct span *cells, uint32_t columns, const char **row)
{
    for (uint32_t i = 0; i < columns; i++) {
        const uint8_t *end = cells->len ? memchr(cells->data, 0, cells->len) : NULL;
        if (!end)
            return false;
        row[i] = (const char *)cells->data;
        cells->len -= (uint32_t)(end + 1 - cells->data);
        cells->data = end + 1;
    }
    return true;
}

static void take_rows(struct query *q, const struct msg_rows *rows)
{
    const char *row[QUERY_COLUMNS_MAX];
    struct span cells = rows->cells;
    if (rows->request != q->request || q->done)
        return;                 /* of a question that was given up */
    if (cells.len > 0 && (rows->columns == 0 || rows->columns > QUERY_COLUMNS_MAX)) {
        break_off(q, COVEY_EPROTO, "rows without columns");
        return;
    }
    while (cells.len > 0) {
        if (!next_row(&cells, rows->columns, row)) {
            break_off(q, COVEY_EPROTO, "the last row is cut off");
            return;
        }
        q->on_row(q->ctx, row, rows->columns);
    }
    q->dropped += rows->dropped;
    q->done = rows->last;
}

static void on_deliver(void *io, struct addr from, const struct msg *msg)
{
    (void)from;
    if (msg->kind == MSG_ROWS)
        take_rows(io, &msg->u.rows);
}

static bool on_transmit(void *io, struct addr to, struct frame *frame)
{
    struct query *q = io;
    return port_transmit(q->port, to, frame);
}

static void on_full(void *io, struct addr peer, bool is_full)
{
    (void)io;                   /* we never send more than a question */
    (void)peer;
    (void)is_full;
}

static void on_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    (void)peer;
    break_off(io, status, why);
}

static void on_frame(void *io, struct span frame)
{
    struct query *q = io;
    mesh_receive(q->mesh, frame, mono_ns());
}

static void on_writable(void *io, struct addr peer)
{
    struct query *q = io;
    mesh_writable(q->mesh, peer, mono_ns());
}

/* ---- waiting ----------------------------------------------------------------------- */

/* One turn: send what is due, then take what is there, sleeping for it until
 * @deadline at most, or until @extra_fd (-1: none) is readable. */
static void turn(struct query *q, int extra_fd, int64_t deadline)
{
    int64_t now = mono_ns();
    mesh_tick(q->mesh, now);
    mesh_flush(q->mesh, now);
    if (!port_pending(q->port)) {
        int64_t next = mesh_deadline(q->mesh);
        struct pollfd p[] = {
            {port_fd(q->port), POLLIN, 0},
            {q->door_fd, POLLIN, 0},
            {extra_fd, POLLIN, 0},
        };
        int ready = poll(p, 3, mono_poll_ms(next < deadline ? next : deadline));
        if (ready < 0 && errno != EINTR)
            break_off(q, COVEY_ESYSTEM, strerror(errno));
        /* Nothing but its end ever comes through a door after the welcome. */
        if (ready > 0 && p[1].revents)
            break_off(q, COVEY_ECLOSED, "the node has ended");
    }
    port_receive(q->port, FRAMES_A_TURN);
}

static int64_t deadline_after(int64_t timeout_ms)
{
    return mono_ns() + timeout_ms * MS_NS;
}

covey_status query_ask(struct query *q, const struct query_request *request, int64_t timeout_ms,
                       query_row_fn fn, void *ctx, uint64_t *dropped)
{
    int64_t deadline = deadline_after(timeout_ms);
    struct msg msg = {
        .kind = MSG_QUERY,
        .u.query = {
            .request = ++q->request,
            .what = request->what,
            .limit = request->limit,
            .state = span_str(request->state),
            .id = span_str(request->id),
        },
    };
    q->on_row = fn;
    q->ctx = ctx;
    q->done = false;
    q->dropped = 0;
    covey_status status = mesh_send(q->mesh, request->to, &msg, mono_ns());
    if (status != COVEY_OK)
        return status;
    while (!q->done && q->status == COVEY_OK && mono_ns() < deadline)
        turn(q, -1, deadline);
    *dropped = q->dropped;
    if (!q->done && q->status == COVEY_OK) {
        snprintf(q->why, sizeof q->why, "no answer within %lld ms", (long long)timeout_ms);
        return COVEY_ETIMEOUT;
    }
    return q->done ? COVEY_OK : q->status;
}

covey_status query_shutdown(struct query *q, struct addr to, int64_t grace_ms)
{
    struct msg msg = {.kind = MSG_SHUTDOWN, .u.shutdown = {.grace_ms = grace_ms}};
    return mesh_send(q->mesh, to, &msg, mono_ns());
}

bool query_wait(struct query *q, int fd, int64_t deadline)
{
    struct pollfd p = {fd, POLLIN, 0};
    while (poll(&p, 1, 0) == 0 && mono_ns() < deadline) {
        if (q && q->status == COVEY_OK)
            turn(q, fd, deadline);
        else
            poll(&p, 1, mono_poll_ms(deadline));
    }
    return p.revents != 0;
}

/* ---- open and close ------------------------------------------------------------------ */

static covey_status enter(struct query *q, const struct places *p, int64_t timeout_ms, char *why,
                          size_t why_size)
{
    const struct msg_door_hello hello = {
        .version = WIRE_VERSION, .role = ROLE_TOOL, .name = span_str("covey"),
    };
    struct msg_door_welcome welcome;
    struct scratch scratch;
    int ro_fd = -1, rw_fd = -1;
    scratch_init(&scratch);
    covey_status status = door_enter(p->dir, &hello, timeout_ms, &scratch, &welcome, &q->door_fd,
                                     &ro_fd, &rw_fd, why, why_size);
    if (status == COVEY_OK) {
        q->self = welcome.self;
        q->node = welcome.node;
        if (ro_fd >= 0)
            close(ro_fd);       /* a tool reads no objects */
        if (rw_fd >= 0)
            close(rw_fd);
    }
    scratch_fini(&scratch);
    return status;
}

covey_status query_open(struct query **out, const struct places *p, int64_t timeout_ms, char *why,
                        size_t why_size)
{
    static const struct mesh_codec codec = {wire_encode, wire_decode};
    static const struct mesh_ops mesh_ops = {on_transmit, on_deliver, on_full, on_broken};
    static const struct port_ops port_ops = {on_frame, on_writable};
    struct query *q = calloc(1, sizeof *q);
    if (!q)
        return COVEY_ENOMEM;
    q->door_fd = -1;
    covey_status status = enter(q, p, timeout_ms, why, why_size);
    if (status == COVEY_OK)
        status = port_open(&q->port, p->dir, q->self, &port_ops, q, why, why_size);
    if (status == COVEY_OK)
        status = mesh_new(&q->mesh, q->self, &codec, &mesh_ops, q);
    if (status != COVEY_OK) {
        query_close(&q);
        return status;
    }
    *out = q;
    return COVEY_OK;
}

void query_close(struct query **query)
{
    struct query *q = *query;
    *query = NULL;
    if (!q)
        return;
    if (q->port)
        port_close(&q->port, LINGER_MS);
    if (q->mesh)
        mesh_free(&q->mesh);
    if (q->door_fd >= 0)
        close(q->door_fd);
    free(q);
}

struct addr query_node(const struct query *q)
{
    return q->node;
}

const char *query_why(const struct query *q)
{
    return q->why;
}
