/* head_link.c - see head_link.h for the contract. */
#include "node/head_link.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/mesh.h"
#include "io/dlog.h"
#include "io/mono.h"
#include "io/places.h"
#include "io/watch.h"
#include "wire/wire.h"


enum state { ABSENT, JOINING, JOINED };

/* Which process head.pid names, and when it was written: a number alone may be
 * given to another process. */
struct identity {
    int pid;
    struct timespec written;
};

struct head_link {
    struct head_link_config config;
    const struct head_link_ops *ops;
    void *io;
    enum state state;
    struct identity head;
    uint32_t connections;       /* so far */
    int pidfd;                  /* owned; -1: ABSENT */
    struct watch *watch;        /* owned, of pidfd */
    struct mesh *mesh;          /* owned; NULL: ABSENT */
    bool full, broken;
    int64_t look_at;
    int64_t join_at;            /* when a head that has not answered is asked again */
    /* reports */
    struct msg_node_state reported;
    int64_t report_at, changed_at;
};

static const struct mesh_codec CODEC = {.encode = wire_encode, .decode = wire_decode};

/* ---- the mesh's events ----------------------------------------------------------------- */

static bool on_transmit(void *io, struct addr to, struct frame *frame)
{
    struct head_link *l = io;
    return port_transmit(l->config.port, to, frame);
}

static void on_deliver(void *io, struct addr from, const struct msg *msg)
{
    struct head_link *l = io;
    (void)from;
    if (msg->kind != MSG_NODE_JOINED) {
        l->ops->msg(l->io, msg);
        return;
    }
    const struct msg_node_joined *joined = &msg->u.node_joined;
    if (l->state != JOINING || joined->boot != l->config.boot)
        return;
    l->state = JOINED;
    l->report_at = 0;
    l->ops->joined(l->io, joined);
}

static void on_full(void *io, struct addr peer, bool is_full)
{
    struct head_link *l = io;
    (void)peer;
    l->full = is_full;
}

static void on_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    struct head_link *l = io;
    (void)peer;
    dlog_warn("the head sent nonsense: %s: %s", covey_strerror(status), why);
    /* This mesh is in use further up the stack; the tick makes a new one. */
    l->broken = true;
    l->look_at = 0;
}

static const struct mesh_ops MESH_OPS = {
    .transmit = on_transmit, .deliver = on_deliver, .full = on_full, .broken = on_broken};

/* ---- coming and going -------------------------------------------------------------------- */

static void leave(struct head_link *l)
{
    watch_close(&l->watch);
    if (l->pidfd >= 0)
        close(l->pidfd);
    l->pidfd = -1;
    if (l->mesh)
        mesh_free(&l->mesh);
    port_forget(l->config.port, ADDR_HEAD);
    l->head = (struct identity){0};
    l->state = ABSENT;
    l->full = l->broken = false;
}

static void on_head_end(void *ctx)
{
    struct head_link *l = ctx;
    leave(l);
    /* Not at once: until it is reaped its number still opens. */
    l->look_at = mono_ns() + HEAD_LINK_LOOK;
}

static bool identify(const struct head_link *l, struct identity *out)
{
    char path[1024], text[32];
    struct stat st;
    snprintf(path, sizeof path, "%s/" PLACES_HEAD_PID, l->config.dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    bool ok = n > 0 && fstat(fd, &st) == 0;
    close(fd);
    if (!ok)
        return false;
    text[n] = '\0';
    out->pid = atoi(text);
    out->written = st.st_mtim;
    return out->pid > 1;
}

static bool same(const struct identity *a, const struct identity *b)
{
    return a->pid == b->pid && a->written.tv_sec == b->written.tv_sec
           && a->written.tv_nsec == b->written.tv_nsec;
}

/* The link repeats it until it has arrived, and the head may still have had no
 * memory or no room for it. */
static void ask_to_join(struct head_link *l, int64_t now)
{
    l->join_at = now + HEAD_LINK_JOIN_AGAIN;
    struct msg m = {.kind = MSG_NODE_JOIN};
    m.u.node_join = (struct msg_node_join){
        .node = l->config.self.node, .boot = l->config.boot, .name = span_str(l->config.name),
        .total = l->config.total};
    if (mesh_send(l->mesh, ADDR_HEAD, &m, now) != COVEY_OK)
        leave(l);
}

static void join(struct head_link *l, const struct identity *head, int64_t now)
{
    int pidfd = (int)syscall(SYS_pidfd_open, head->pid, 0);
    if (pidfd < 0)
        return;     /* a head that was killed leaves its file */
    l->pidfd = pidfd;
    fcntl(pidfd, F_SETFD, FD_CLOEXEC);
    struct addr self = l->config.self;
    uint32_t count = l->connections++ & ((1u << HEAD_LINK_COUNT_BITS) - 1);
    self.inc = self.inc << HEAD_LINK_COUNT_BITS | count;
    if (watch_open(&l->watch, l->config.loop, pidfd, on_head_end, l) != COVEY_OK
        || mesh_new(&l->mesh, self, &CODEC, &MESH_OPS, l) != COVEY_OK) {
        leave(l);
        return;
    }
    l->head = *head;
    l->state = JOINING;
    ask_to_join(l, now);
}

static void look(struct head_link *l, int64_t now)
{
    struct identity head;
    bool found = identify(l, &head);
    if (l->state != ABSENT && !l->broken && (!found || same(&head, &l->head))) {
        if (l->state == JOINING && now >= l->join_at)
            ask_to_join(l, now);
        return;
    }
    if (l->state != ABSENT)
        leave(l);
    if (found)
        join(l, &head, now);
}

/* ---- reports --------------------------------------------------------------------------------- */

static bool differs(const struct msg_node_state *a, const struct msg_node_state *b)
{
    const struct resources *x = &a->free, *y = &b->free;
    bool custom = x->custom_count != y->custom_count;
    for (uint32_t i = 0; !custom && i < x->custom_count; i++)
        custom = x->custom[i].milli != y->custom[i].milli;
    return custom || x->cpu_milli != y->cpu_milli || x->gpu_milli != y->gpu_milli
           || x->memory_bytes != y->memory_bytes || x->gpu_memory_bytes != y->gpu_memory_bytes
           || a->workers != b->workers || a->clients != b->clients;
}

static void report(struct head_link *l, int64_t now)
{
    struct msg m = {.kind = MSG_NODE_STATE};
    struct msg_node_state *state = &m.u.node_state;
    if (l->full) {      /* it does not read: the newest report is made when it does */
        l->report_at = now + HEAD_LINK_STATE_MIN;
        return;
    }
    l->ops->state(l->io, state);
    l->report_at = now + HEAD_LINK_STATE_MIN;
    if (!differs(state, &l->reported) && now < l->changed_at + HEAD_LINK_STATE_MAX)
        return;
    state->version = l->reported.version + 1;
    l->reported = *state;
    l->changed_at = now;
    /* Lost for want of memory: the next one says it, too. */
    (void)mesh_send(l->mesh, ADDR_HEAD, &m, now);
}

/* ---- the contract ----------------------------------------------------------------------------- */

covey_status head_link_open(struct head_link **out, const struct head_link_config *config,
                            const struct head_link_ops *ops, void *io)
{
    struct head_link *l = calloc(1, sizeof *l);
    if (!l)
        return COVEY_ENOMEM;
    l->config = *config;
    l->ops = ops;
    l->io = io;
    l->pidfd = -1;
    *out = l;
    return COVEY_OK;
}

void head_link_close(struct head_link **link)
{
    if (!*link)
        return;
    leave(*link);
    free(*link);
    *link = NULL;
}

bool head_link_joined(const struct head_link *link) { return link->state == JOINED; }

void head_link_send(struct head_link *l, const struct msg *msg, int64_t now)
{
    if (l->state == JOINED && !l->full && !l->broken)
        (void)mesh_send(l->mesh, ADDR_HEAD, msg, now);
}

void head_link_frame(struct head_link *l, struct span frame, int64_t now)
{
    if (l->mesh && !l->broken)
        (void)mesh_receive(l->mesh, frame, now);
}

void head_link_writable(struct head_link *l, int64_t now)
{
    if (l->mesh && !l->broken)
        mesh_writable(l->mesh, ADDR_HEAD, now);
}

void head_link_flush(struct head_link *l, int64_t now)
{
    if (l->mesh && !l->broken)
        mesh_flush(l->mesh, now);
}

void head_link_tick(struct head_link *l, int64_t now)
{
    if (now >= l->look_at) {
        look(l, now);
        l->look_at = now + (l->state == JOINED ? HEAD_LINK_LOOK_JOINED : HEAD_LINK_LOOK);
    }
    if (l->state == JOINED && now >= l->report_at)
        report(l, now);
    if (l->mesh && !l->broken)
        mesh_tick(l->mesh, now);
}

int64_t head_link_deadline(const struct head_link *l)
{
    int64_t at = l->look_at;
    if (l->state == JOINED && l->report_at < at)
        at = l->report_at;
    int64_t mesh_at = l->mesh && !l->broken ? mesh_deadline(l->mesh) : NEVER_NS;
    return mesh_at < at ? mesh_at : at;
}
