/* test_port.c - several ports in one process, and strangers at their sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "core/mesh.h"
#include "io/mono.h"
#include "io/port.h"
#include "temp_dir.h"
#include "wire/wire.h"

#define PORTS_MAX 3
#define WAIT_NS (20 * SECOND_NS)    /* far beyond what anything here takes */
#define NOBODY 65534

/* One port and what came to it. */
struct end {
    struct port *port;
    struct addr self;
    bool echo;                  /* send every frame's number back */
    uint64_t frames, last_number, body_sum;
    bool in_order;
    struct addr last_from;
    uint32_t writables;
    struct mesh *mesh;          /* if frames go there */
    uint32_t delivered, broken;
};

struct world {
    struct temp_dir dir;
    struct end end[PORTS_MAX];
    int ends;
};

static struct addr process(uint32_t n)
{
    return (struct addr){1, n, 0, 0};
}

static struct frame *make_frame(struct addr from, struct addr to, uint64_t number, uint32_t body_len)
{
    struct frame *frame = frame_new(FRAME_HEADER + body_len);
    assert_non_null(frame);
    struct frame_header header = {.from = from, .to = to, .number = number, .body_len = body_len};
    frame_write_header(frame->data, &header);
    for (uint32_t i = 0; i < body_len; i++)
        frame->data[FRAME_HEADER + i] = (uint8_t)(number + i);
    frame->len = FRAME_HEADER + body_len;
    return frame;
}

static bool transmit(struct end *from, struct addr to, uint64_t number, uint32_t body_len)
{
    struct frame *frame = make_frame(from->self, to, number, body_len);
    bool sent = port_transmit(from->port, to, frame);
    frame_unref(frame);
    return sent;
}

static void on_frame(void *io, struct span bytes)
{
    struct end *end = io;
    struct frame_header header;
    assert_int_equal(frame_parse(bytes, &header), COVEY_OK);
    if (end->mesh) {
        (void)mesh_receive(end->mesh, bytes, 0);
        return;
    }
    end->in_order = end->in_order && header.number == end->last_number + 1;
    end->frames++;
    end->last_number = header.number;
    end->last_from = header.from;
    end->body_sum = 0;
    for (uint32_t i = FRAME_HEADER; i < bytes.len; i++)
        end->body_sum += bytes.data[i];
    if (end->echo)
        assert_true(transmit(end, header.from, header.number, 1));
}

static void on_writable(void *io, struct addr peer)
{
    struct end *end = io;
    (void)peer;
    end->writables++;
}

static const struct port_ops ops = {.frame = on_frame, .writable = on_writable};

static struct end *open_end(struct world *w, uint32_t number)
{
    char why[256] = "";
    assert_true(w->ends < PORTS_MAX);
    struct end *end = &w->end[w->ends++];
    *end = (struct end){.self = process(number), .in_order = true};
    covey_status status = port_open(&end->port, w->dir.path, end->self, &ops, end, why, sizeof why);
    if (status != COVEY_OK)
        fail_msg("%s", why);
    return end;
}

static void make_world(struct world *w)
{
    *w = (struct world){.ends = 0};
    temp_dir_make(&w->dir);
}

static void end_world(struct world *w)
{
    for (int i = 0; i < w->ends; i++)
        port_close(&w->end[i].port, 0);
    temp_dir_remove(&w->dir);
}

/* Serve the ports once, asleep until one of them has something. */
static void turn(struct world *w, int64_t deadline)
{
    struct pollfd fds[PORTS_MAX];
    bool pending = false;
    for (int i = 0; i < w->ends; i++) {
        pending = (w->end[i].port && port_pending(w->end[i].port)) || pending;
        fds[i] = (struct pollfd){w->end[i].port ? port_fd(w->end[i].port) : -1, POLLIN, 0};
    }
    if (!pending)
        poll(fds, (nfds_t)w->ends, mono_poll_ms(deadline));
    for (int i = 0; i < w->ends; i++)
        if (w->end[i].port)
            port_receive(w->end[i].port, 64);
}

#define UNTIL(w, condition)                                                                   \
    do {                                                                                      \
        int64_t deadline_ = mono_ns() + WAIT_NS;                                              \
        while (!(condition)) {                                                                \
            if (mono_ns() > deadline_)                                                        \
                fail_msg("not within %d s: %s", (int)(WAIT_NS / SECOND_NS), #condition);      \
            turn(w, deadline_);                                                               \
        }                                                                                     \
    } while (0)

/* ---- honest peers ------------------------------------------------------------- */

static void test_both_directions_use_one_connection(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    b->echo = true;
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_true(transmit(a, b->self, i, 64));
        UNTIL(&w, a->frames == i); /* a send follows each arrival: no edge may be lost */
    }
    assert_true(a->in_order && b->in_order);
    assert_true(addr_eq(a->last_from, b->self));
    assert_int_equal(port_stats(a->port).dealers, 1);
    assert_int_equal(port_stats(a->port).connections, 0);
    assert_int_equal(port_stats(b->port).dealers, 0);
    assert_int_equal(port_stats(b->port).connections, 1);
    end_world(&w);
}

static void test_answers_go_to_who_asked(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2), *c = open_end(&w, 3);
    c->echo = true;
    c->in_order = false;
    for (uint64_t i = 1; i <= 50; i++) {
        assert_true(transmit(a, c->self, i, 8));
        if (i <= 20)
            assert_true(transmit(b, c->self, i, 8));
    }
    UNTIL(&w, a->frames == 50 && b->frames == 20);
    assert_true(a->in_order && b->in_order);
    assert_int_equal(c->frames, 70);
    assert_int_equal(port_stats(c->port).connections, 2);
    end_world(&w);
}

static void test_frames_wait_for_a_peer_that_binds_later(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1);
    for (uint64_t i = 1; i <= 100; i++)
        assert_true(transmit(a, process(2), i, 8));
    struct end *b = open_end(&w, 2);
    UNTIL(&w, b->frames == 100);
    assert_true(b->in_order);
    end_world(&w);
}

static void test_big_frames_arrive_whole(void **state)
{
    (void)state;
    static const uint32_t bodies[] = {1, 4095, 65536, FRAME_BYTES_MAX - FRAME_HEADER};
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    for (uint64_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct frame *frame = make_frame(a->self, b->self, i + 1, bodies[i]);
        uint64_t sum = 0;
        for (uint32_t k = FRAME_HEADER; k < frame->len; k++)
            sum += frame->data[k];
        assert_true(port_transmit(a->port, b->self, frame));
        frame_unref(frame);
        UNTIL(&w, b->frames == i + 1);
        assert_int_equal(b->body_sum, sum);
    }
    end_world(&w);
}

/* The carrier's reference tells the link that a frame is still on its way. */
static void test_a_waiting_frame_is_referenced_and_a_sent_one_is_not(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1);
    struct frame *frame = make_frame(a->self, process(2), 1, 8);
    assert_true(port_transmit(a->port, process(2), frame));
    assert_int_equal(atomic_load(&frame->refs), 2);
    open_end(&w, 2);
    UNTIL(&w, atomic_load(&frame->refs) == 1);
    frame_unref(frame);
    end_world(&w);
}

/* ---- bounds -------------------------------------------------------------------- */

/* Send until the port refuses; returns how many it took. */
static uint64_t fill(struct end *from, struct addr to, uint64_t after)
{
    uint64_t sent = after;
    while (transmit(from, to, sent + 1, 1024)) {
        sent++;
        assert_true(sent < after + 100000); /* otherwise nothing bounds it */
    }
    return sent;
}

static void test_a_full_dealer_refuses_and_tells_when_there_is_room(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1);
    uint64_t sent = fill(a, process(2), 0);
    assert_int_equal(sent, PORT_HWM);
    assert_int_equal(a->writables, 0);
    struct end *b = open_end(&w, 2);
    UNTIL(&w, a->writables > 0 && b->frames == sent);
    assert_true(transmit(a, b->self, sent + 1, 8));
    UNTIL(&w, b->frames == sent + 1);
    assert_true(b->in_order);
    end_world(&w);
}

static void test_a_full_connection_refuses_and_tells_when_there_is_room(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    assert_true(transmit(a, b->self, 1, 8));
    UNTIL(&w, b->frames == 1);
    /* b answers more than a, who does not look, can take; what ZeroMQ moves
     * meanwhile makes room now and then, so full is: no room for a while. */
    uint64_t sent = 0;
    for (int still = 0; still < 50;) {
        uint64_t before = sent;
        sent = fill(b, a->self, sent);
        still = sent == before ? still + 1 : 0;
        poll(&(struct pollfd){port_fd(b->port), POLLIN, 0}, 1, PORT_RETRY_MS);
        port_receive(b->port, 64);
    }
    sent = fill(b, a->self, sent); /* the refusal that is to be made good */
    assert_int_equal(port_stats(b->port).dealers, 0);
    uint32_t told = b->writables;
    UNTIL(&w, a->frames == sent && b->writables > told);
    assert_true(a->in_order);
    assert_true(transmit(b, a->self, sent + 1, 8));
    UNTIL(&w, a->frames == sent + 1);
    end_world(&w);
}

/* ---- death ---------------------------------------------------------------------- */

static void test_late_frames_of_a_forgotten_peer_are_dropped(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    assert_true(transmit(a, b->self, 1, 8));
    UNTIL(&w, b->frames == 1);
    port_forget(b->port, a->self);
    assert_int_equal(port_stats(b->port).connections, 0);
    for (uint64_t i = 2; i <= 20; i++)
        assert_true(transmit(a, b->self, i, 8));
    UNTIL(&w, port_stats(b->port).dropped == 19);
    assert_int_equal(b->frames, 1);
    end_world(&w);
}

static void test_forgetting_closes_our_own_socket(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1);
    fill(a, process(2), 0);
    port_forget(a->port, process(2));
    assert_int_equal(port_stats(a->port).dealers, 0);
    struct end *b = open_end(&w, 2);
    assert_true(transmit(a, b->self, 1, 8)); /* a new socket, without what was queued */
    UNTIL(&w, b->frames == 1);
    assert_int_equal(b->last_number, 1);
    assert_int_equal(a->writables, 0);
    end_world(&w);
}

static void test_a_later_incarnation_is_not_forgotten_with_an_earlier(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    a->self.inc = 2;
    assert_true(transmit(a, b->self, 1, 8));
    UNTIL(&w, b->frames == 1);
    port_forget(b->port, (struct addr){1, 1, 1, 0});
    assert_int_equal(port_stats(b->port).connections, 1);
    port_forget(b->port, a->self);
    assert_int_equal(port_stats(b->port).connections, 0);
    end_world(&w);
}

/* A peer that hung up and lives on is called; one that is dead waits for
 * port_forget(). */
static void test_an_answer_to_a_closed_connection_opens_our_own(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    assert_true(transmit(a, b->self, 1, 8));
    UNTIL(&w, b->frames == 1);
    port_forget(a->port, b->self); /* a's DEALER closes */
    for (uint64_t i = 1; port_stats(b->port).dealers == 0; i++) {
        assert_true(transmit(b, a->self, i, 8)); /* into the old one until its end is noticed */
        assert_true(i < 100000);
        port_receive(b->port, 64);
    }
    uint64_t before = a->frames;
    assert_true(transmit(b, a->self, 1, 8));
    UNTIL(&w, a->frames > before);
    end_world(&w);
}

/* ---- paths ------------------------------------------------------------------------ */

static void test_a_second_bind_is_refused(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    struct port *thief;
    char why[256] = "";
    assert_int_equal(port_open(&thief, w.dir.path, a->self, &ops, a, why, sizeof why), COVEY_ESYSTEM);
    assert_null(thief);
    assert_non_null(strstr(why, "address in use"));
    assert_true(transmit(b, a->self, 1, 8)); /* and the first one still has its path */
    UNTIL(&w, a->frames == 1);
    end_world(&w);
}

static void test_close_removes_the_path_and_lets_the_next_bind(void **state)
{
    (void)state;
    struct world w;
    struct stat at;
    char path[128];
    make_world(&w);
    struct end *a = open_end(&w, 1);
    assert_true(port_path(path, sizeof path, w.dir.path, a->self));
    assert_int_equal(lstat(path, &at), 0);
    assert_true(S_ISSOCK(at.st_mode));
    assert_int_equal(at.st_mode & 0777, 0600);
    port_close(&a->port, 0);
    assert_int_equal(lstat(path, &at), -1);
    open_end(&w, 1);
    end_world(&w);
}

static void test_close_waits_for_nobody_who_is_gone(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    struct end *a = open_end(&w, 1);
    assert_true(transmit(a, process(2), 1, 1));
    int64_t begin = mono_ns();
    port_close(&a->port, WAIT_NS / MS_NS);
    assert_true(mono_ns() - begin < WAIT_NS / 2);
    end_world(&w);
}

static void test_a_dead_process_path_is_taken_over(void **state)
{
    (void)state;
    struct world w;
    int ready[2];
    make_world(&w);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct end end = {.self = process(1)};
        char why[256];
        bool open = port_open(&end.port, w.dir.path, end.self, &ops, &end, why, sizeof why) == COVEY_OK;
        (void)!write(ready[1], open ? "y" : "n", 1);
        for (;;)
            pause();
    }
    char answer = 0;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    assert_true(transmit(b, a->self, 1, 8));
    UNTIL(&w, a->frames == 1);
    close(ready[0]);
    close(ready[1]);
    end_world(&w);
}

static void test_a_path_that_is_too_long_is_explained(void **state)
{
    (void)state;
    struct port *port;
    char dir[120], why[256] = "";
    memset(dir, 'x', sizeof dir - 1);
    dir[0] = '/';
    dir[sizeof dir - 1] = '\0';
    assert_int_equal(port_open(&port, dir, process(1), &ops, NULL, why, sizeof why), COVEY_ESYSTEM);
    assert_non_null(strstr(why, "too long"));
    assert_non_null(strstr(why, "COVEY_DIR"));
    assert_false(port_path(why, sizeof why, dir, process(1)));
}

/* ---- strangers ---------------------------------------------------------------------- */

/* A plain connection to @end's socket, with @bytes written to it. */
static int knock(struct world *w, struct end *end, const void *bytes, size_t len)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    assert_true(port_path(at.sun_path, sizeof at.sun_path, w->dir.path, end->self));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
    return fd;
}

static void test_strangers_bytes_never_become_frames(void **state)
{
    (void)state;
    static const char http[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    static const char zmtp1[] = "\x01\x00\x06\x00hello";
    static const char zmtp3_cut[] = "\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NU";
    static const char tls[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    static const char huge[] = "\x01\x00\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00";
    const struct { const char *bytes; size_t len; } probes[] = {
        {http, sizeof http - 1}, {zmtp1, sizeof zmtp1 - 1}, {zmtp3_cut, sizeof zmtp3_cut - 1},
        {tls, sizeof tls - 1}, {huge, sizeof huge - 1},
    };
    enum { PROBES = sizeof probes / sizeof *probes };
    struct world w;
    int fds[PROBES];
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    for (int i = 0; i < PROBES; i++)
        fds[i] = knock(&w, a, probes[i].bytes, probes[i].len);
    /* The old protocol's message does come out of ZeroMQ; it ends here. */
    UNTIL(&w, port_stats(a->port).dropped >= 1);
    for (uint64_t i = 1; i <= 100; i++)
        assert_true(transmit(b, a->self, i, 8));
    UNTIL(&w, a->frames == 100);
    assert_true(a->in_order);
    assert_int_equal(port_stats(a->port).connections, 1);
    for (int i = 0; i < PROBES; i++)
        close(fds[i]);
    end_world(&w);
}

/* A ZeroMQ client of its own will. */
struct raw {
    void *context, *dealer;
};

static void raw_open(struct raw *raw, struct world *w, struct end *end, const char *identity)
{
    char path[128], endpoint[160];
    int linger = 0;
    assert_true(port_path(path, sizeof path, w->dir.path, end->self));
    snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    raw->context = zmq_ctx_new();
    raw->dealer = zmq_socket(raw->context, ZMQ_DEALER);
    assert_non_null(raw->dealer);
    zmq_setsockopt(raw->dealer, ZMQ_LINGER, &linger, sizeof linger);
    if (identity)
        zmq_setsockopt(raw->dealer, ZMQ_ROUTING_ID, identity, strlen(identity));
    assert_int_equal(zmq_connect(raw->dealer, endpoint), 0);
}

static void raw_send(struct raw *raw, struct addr from, struct addr to, uint64_t number, int flags)
{
    struct frame *frame = make_frame(from, to, number, 4);
    assert_int_equal(zmq_send(raw->dealer, frame->data, frame->len, flags), frame->len);
    frame_unref(frame);
}

static void raw_close(struct raw *raw)
{
    zmq_close(raw->dealer);
    zmq_ctx_term(raw->context);
}

static void test_a_connection_that_changes_its_address_is_dropped(void **state)
{
    (void)state;
    struct world w;
    struct raw raw;
    make_world(&w);
    struct end *a = open_end(&w, 1);
    raw_open(&raw, &w, a, NULL);
    raw_send(&raw, process(5), a->self, 1, 0);
    raw_send(&raw, process(6), a->self, 2, 0);
    raw_send(&raw, process(5), a->self, 2, 0);
    UNTIL(&w, port_stats(a->port).dropped == 2);
    assert_int_equal(a->frames, 1);
    assert_int_equal(port_stats(a->port).connections, 0);
    raw_close(&raw);
    end_world(&w);
}

static void test_a_connection_that_sends_garbage_is_dropped(void **state)
{
    (void)state;
    struct world w;
    struct raw raw;
    make_world(&w);
    struct end *a = open_end(&w, 1), *b = open_end(&w, 2);
    raw_open(&raw, &w, a, NULL);
    raw_send(&raw, process(5), a->self, 1, 0);
    assert_int_equal(zmq_send(raw.dealer, "garbage", 7, 0), 7);
    raw_send(&raw, process(5), a->self, 2, 0);
    UNTIL(&w, port_stats(a->port).dropped == 2);
    assert_int_equal(a->frames, 1);
    assert_true(transmit(b, a->self, 2, 8)); /* only that peer */
    UNTIL(&w, a->frames == 2);
    raw_close(&raw);
    end_world(&w);
}

static void test_messages_of_many_parts_are_dropped_whole(void **state)
{
    (void)state;
    struct world w;
    struct raw raw;
    make_world(&w);
    struct end *a = open_end(&w, 1);
    raw_open(&raw, &w, a, NULL);
    raw_send(&raw, process(5), a->self, 1, ZMQ_SNDMORE);
    raw_send(&raw, process(5), a->self, 2, ZMQ_SNDMORE);
    raw_send(&raw, process(5), a->self, 3, 0);
    UNTIL(&w, port_stats(a->port).dropped == 1);
    assert_int_equal(a->frames, 0);
    raw_close(&raw);
    end_world(&w);
}

static void test_chosen_identities_are_not_listened_to(void **state)
{
    (void)state;
    struct world w;
    struct raw raw;
    make_world(&w);
    struct end *a = open_end(&w, 1);
    raw_open(&raw, &w, a, "me");
    raw_send(&raw, process(5), a->self, 1, 0);
    UNTIL(&w, port_stats(a->port).dropped == 1);
    assert_int_equal(a->frames, 0);
    raw_close(&raw);
    end_world(&w);
}

static void on_delivered(void *io, struct addr from, const struct msg *msg)
{
    (void)from, (void)msg;
    ((struct end *)io)->delivered++;
}

static void on_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    struct end *end = io;
    (void)status, (void)why;
    end->broken++;
    port_forget(end->port, peer); /* as drivers do: from inside the port's own frame() */
}

static bool mesh_transmit(void *io, struct addr to, struct frame *frame)
{
    return port_transmit(((struct end *)io)->port, to, frame);
}

static void on_full(void *io, struct addr peer, bool is_full)
{
    (void)io, (void)peer, (void)is_full;
}

static void test_a_good_header_around_garbage_ends_at_the_mesh(void **state)
{
    (void)state;
    static const struct mesh_codec codec = {.encode = wire_encode, .decode = wire_decode};
    static const struct mesh_ops mesh_ops = {mesh_transmit, on_delivered, on_full, on_broken};
    struct world w;
    struct raw raw;
    make_world(&w);
    struct end *a = open_end(&w, 1);
    assert_int_equal(mesh_new(&a->mesh, a->self, &codec, &mesh_ops, a), COVEY_OK);
    raw_open(&raw, &w, a, NULL);
    raw_send(&raw, process(5), a->self, 1, 0); /* the body is 01 02 03 04: no record */
    UNTIL(&w, a->broken == 1);
    raw_send(&raw, process(5), a->self, 2, 0);
    UNTIL(&w, port_stats(a->port).dropped == 1);
    assert_int_equal(a->delivered, 0);
    raw_close(&raw);
    mesh_free(&a->mesh);
    end_world(&w);
}

/* Even where the modes of directory and socket would let it in. */
static void test_another_user_is_hung_up_on(void **state)
{
    (void)state;
    struct world w;
    char path[128];
    if (geteuid() != 0)
        skip(); /* only root can become another user */
    make_world(&w);
    struct end *a = open_end(&w, 1);
    assert_true(port_path(path, sizeof path, w.dir.path, a->self));
    assert_int_equal(chmod(w.dir.path, 0711), 0);
    assert_int_equal(chmod(path, 0666), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        char byte;
        memcpy(at.sun_path, path, strlen(path) + 1);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (setuid(NOBODY) != 0)
            _exit(2);
        if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0)
            _exit(errno == EACCES ? 0 : 3); /* a directory above is closed: shut out as well */
        _exit(read(fd, &byte, 1) <= 0 ? 0 : 1); /* ZeroMQ greets whom it lets in */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    int fd = knock(&w, a, "\xff", 1);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1); /* our own is greeted */
    close(fd);
    end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_directions_use_one_connection),
        cmocka_unit_test(test_answers_go_to_who_asked),
        cmocka_unit_test(test_frames_wait_for_a_peer_that_binds_later),
        cmocka_unit_test(test_big_frames_arrive_whole),
        cmocka_unit_test(test_a_waiting_frame_is_referenced_and_a_sent_one_is_not),
        cmocka_unit_test(test_a_full_dealer_refuses_and_tells_when_there_is_room),
        cmocka_unit_test(test_a_full_connection_refuses_and_tells_when_there_is_room),
        cmocka_unit_test(test_late_frames_of_a_forgotten_peer_are_dropped),
        cmocka_unit_test(test_forgetting_closes_our_own_socket),
        cmocka_unit_test(test_a_later_incarnation_is_not_forgotten_with_an_earlier),
        cmocka_unit_test(test_an_answer_to_a_closed_connection_opens_our_own),
        cmocka_unit_test(test_a_second_bind_is_refused),
        cmocka_unit_test(test_close_removes_the_path_and_lets_the_next_bind),
        cmocka_unit_test(test_close_waits_for_nobody_who_is_gone),
        cmocka_unit_test(test_a_dead_process_path_is_taken_over),
        cmocka_unit_test(test_a_path_that_is_too_long_is_explained),
        cmocka_unit_test(test_strangers_bytes_never_become_frames),
        cmocka_unit_test(test_a_connection_that_changes_its_address_is_dropped),
        cmocka_unit_test(test_a_connection_that_sends_garbage_is_dropped),
        cmocka_unit_test(test_messages_of_many_parts_are_dropped_whole),
        cmocka_unit_test(test_chosen_identities_are_not_listened_to),
        cmocka_unit_test(test_a_good_header_around_garbage_ends_at_the_mesh),
        cmocka_unit_test(test_another_user_is_hung_up_on),
    };
    return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
