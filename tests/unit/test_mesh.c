/* test_mesh.c - core/mesh: a few processes, a switch, a codec of three fields.
 *
 * Links with the flags that failing_malloc.h names.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/list.h"
#include "core/mesh.h"
#include "failing_malloc.h"

#define NODES 4

/* ---- the codec: u32 length, u32 kind, u64 request, the key's bytes --------------- */

#define RECORD_HEADER 16u
#define KEY_TOO_BIG 100000u

static covey_status test_encode(struct buf *out, const struct msg *msg)
{
    uint32_t head[2] = {msg->u.kv_get.key.len, msg->kind};
    buf_append(out, head, sizeof head);
    if (msg->u.kv_get.key.len >= KEY_TOO_BIG) /* after it has begun to write */
        return COVEY_ETOOBIG;
    buf_append(out, &msg->u.kv_get.request, sizeof msg->u.kv_get.request);
    buf_append(out, msg->u.kv_get.key.data, msg->u.kv_get.key.len);
    return out->failed ? COVEY_ENOMEM : COVEY_OK;
}

static covey_status test_decode(struct span bytes, size_t *used, struct scratch *scratch,
                                struct msg *out, char *why, size_t why_size)
{
    uint32_t head[2];
    if (bytes.len < RECORD_HEADER)
        goto malformed;
    memcpy(head, bytes.data, sizeof head);
    if (head[0] > bytes.len - RECORD_HEADER || head[1] != MSG_KV_GET)
        goto malformed;
    *out = (struct msg){.kind = MSG_KV_GET};
    memcpy(&out->u.kv_get.request, bytes.data + 8, 8);
    uint8_t *key = scratch_alloc(scratch, head[0]); /* a copy, to see the scratch at work */
    if (!key) {
        snprintf(why, why_size, "out of memory");
        return COVEY_ENOMEM;
    }
    memcpy(key, bytes.data + RECORD_HEADER, head[0]);
    out->u.kv_get.key = span_of(key, head[0]);
    *used = RECORD_HEADER + head[0];
    return COVEY_OK;
malformed:
    snprintf(why, why_size, "malformed record");
    return COVEY_EPROTO;
}

static const struct mesh_codec test_codec = {.encode = test_encode, .decode = test_decode};

/* ---- processes and the switch between them ---------------------------------------- */

struct packet {
    struct list in_cluster;
    struct addr from, to;
    struct frame *frame;
};

struct node {
    struct cluster *cluster;
    struct addr addr;
    struct mesh *mesh;
    uint64_t sent[NODES], received[NODES];
    uint32_t relays;                /* answer so many messages from inside deliver */
    struct addr forget;             /* from inside deliver, once; node 0: none */
    bool refuses;                   /* its carrier is full */
    struct addr full_peer;
    int full_calls;
    struct addr broken_peer;
    covey_status broken_status;
    char broken_why[64];
    int broken_calls;
};

struct cluster {
    int64_t now;
    struct list packets;            /* in order */
    uint32_t packet_count;
    struct node node[NODES];
};

static bool on_transmit(void *io, struct addr to, struct frame *frame)
{
    struct node *node = io;
    if (node->refuses)
        return false;
    struct packet *p = __real_malloc(sizeof *p);
    assert_non_null(p);
    frame_ref(frame);
    *p = (struct packet){.from = node->addr, .to = to, .frame = frame};
    list_push(&node->cluster->packets, &p->in_cluster);
    node->cluster->packet_count++;
    return true;
}

static covey_status try_send(struct node *node, uint32_t to, uint32_t key_len)
{
    static const uint8_t key[KEY_TOO_BIG];
    struct msg msg = {.kind = MSG_KV_GET};
    msg.u.kv_get.request = node->sent[to] + 1;
    msg.u.kv_get.key = span_of(key, key_len);
    covey_status status = mesh_send(node->mesh, node->cluster->node[to].addr, &msg,
                                    node->cluster->now);
    if (status == COVEY_OK)
        node->sent[to]++;
    return status;
}

static void on_deliver(void *io, struct addr from, const struct msg *msg)
{
    struct node *node = io;
    uint32_t i = from.node - 1;
    assert_int_equal(msg->kind, MSG_KV_GET);
    assert_int_equal(msg->u.kv_get.request, ++node->received[i]);
    if (node->relays > 0) {
        node->relays--;
        assert_int_equal(try_send(node, i, 10), COVEY_OK); /* to the sender */
        uint32_t other = (i + 1) % NODES;
        if (!addr_eq(node->cluster->node[other].addr, node->addr))
            assert_int_equal(try_send(node, other, 10), COVEY_OK);
    }
    if (node->forget.node != 0) {
        mesh_forget(node->mesh, node->forget);
        node->forget.node = 0;
    }
}

static void on_full(void *io, struct addr peer, bool is_full)
{
    struct node *node = io;
    node->full_peer = peer;
    node->full_calls += is_full ? 1 : 100;
}

static void on_broken(void *io, struct addr peer, covey_status status, const char *why)
{
    struct node *node = io;
    struct msg msg = {.kind = MSG_KV_GET};
    node->broken_peer = peer;
    node->broken_status = status;
    node->broken_calls++;
    snprintf(node->broken_why, sizeof node->broken_why, "%s", why);
    /* It is gone already. */
    assert_int_equal(mesh_send(node->mesh, peer, &msg, node->cluster->now), COVEY_ECLOSED);
}

static const struct mesh_ops test_ops = {
    .transmit = on_transmit, .deliver = on_deliver, .full = on_full, .broken = on_broken,
};

static struct cluster *cluster_make(void)
{
    struct cluster *c = calloc(1, sizeof *c);
    assert_non_null(c);
    list_init(&c->packets);
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *n = &c->node[i];
        n->cluster = c;
        n->addr = (struct addr){i + 1, 0, 7, 0};
        assert_int_equal(mesh_new(&n->mesh, n->addr, &test_codec, &test_ops, n), COVEY_OK);
    }
    return c;
}

static void packet_free(struct cluster *c, struct packet *p)
{
    list_del(&p->in_cluster);
    c->packet_count--;
    frame_unref(p->frame);
    free(p);
}

static struct packet *packet_first(struct cluster *c)
{
    assert_false(list_empty(&c->packets));
    return list_entry(c->packets.next, struct packet, in_cluster);
}

static void cluster_lose(struct cluster *c)
{
    while (!list_empty(&c->packets))
        packet_free(c, packet_first(c));
}

static void cluster_free(struct cluster *c)
{
    for (int i = 0; i < NODES; i++) {
        mesh_free(&c->node[i].mesh);
        assert_null(c->node[i].mesh);
    }
    cluster_lose(c);
    free(c);
}

static void cluster_carry(struct cluster *c)
{
    while (!list_empty(&c->packets)) {
        struct packet *p = packet_first(c);
        struct node *to = &c->node[p->to.node - 1];
        mesh_receive(to->mesh, span_of(p->frame->data, p->frame->len), c->now);
        packet_free(c, p);
    }
}

static void cluster_flush(struct cluster *c)
{
    for (int i = 0; i < NODES; i++)
        mesh_flush(c->node[i].mesh, c->now);
}

/* Until nothing will ever happen, driven by deadlines alone. */
static void cluster_settle(struct cluster *c)
{
    for (int turns = 0;; turns++) {
        int64_t next = NEVER_NS;
        assert_true(turns < 10000);
        cluster_flush(c);
        cluster_carry(c);
        for (int i = 0; i < NODES; i++) {
            int64_t deadline = mesh_deadline(c->node[i].mesh);
            next = deadline < next ? deadline : next;
            if (mesh_has_open(c->node[i].mesh))
                next = c->now;
        }
        if (next == NEVER_NS)
            return;
        c->now = next > c->now ? next : c->now;
        for (int i = 0; i < NODES; i++) {
            mesh_tick(c->node[i].mesh, c->now);
            assert_true(mesh_deadline(c->node[i].mesh) > c->now);
        }
    }
}

static void check_all_received(const struct cluster *c)
{
    for (int i = 0; i < NODES; i++)
        for (int j = 0; j < NODES; j++)
            assert_int_equal(c->node[j].received[i], c->node[i].sent[j]);
}

/* ---- the tests ------------------------------------------------------------------------ */

static void everyone_hears_everyone_in_order(void **state)
{
    struct cluster *c = cluster_make();
    (void)state;
    for (int round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < NODES; i++)
            for (uint32_t j = 0; j < NODES; j++)
                if (i != j)
                    assert_int_equal(try_send(&c->node[i], j, (uint32_t)round * 7), COVEY_OK);
        if (round % 3 == 0)
            cluster_flush(c);
        if (round % 5 == 0)
            cluster_carry(c);
    }
    cluster_settle(c);
    check_all_received(c);
    for (int i = 0; i < NODES; i++)
        assert_false(mesh_has_open(c->node[i].mesh));
    cluster_free(c);
}

static void deliver_may_send(void **state)
{
    struct cluster *c = cluster_make();
    (void)state;
    c->node[1].relays = 500;
    for (int n = 0; n < 500; n++)
        assert_int_equal(try_send(&c->node[0], 1, 100), COVEY_OK);
    cluster_settle(c);
    check_all_received(c);
    assert_int_equal(c->node[0].received[1], 500);
    cluster_free(c);
}

static void flush_idle_sends_the_first_and_gathers_the_rest(void **state)
{
    struct cluster *c = cluster_make();
    struct mesh *mesh = c->node[0].mesh;
    (void)state;
    assert_false(mesh_has_open(mesh));
    assert_int_equal(try_send(&c->node[0], 1, 10), COVEY_OK);
    assert_true(mesh_has_open(mesh));
    mesh_flush_idle(mesh, c->now);
    assert_int_equal(c->packet_count, 1);
    assert_false(mesh_has_open(mesh));
    for (int n = 0; n < 50; n++) {
        assert_int_equal(try_send(&c->node[0], 1, 10), COVEY_OK);
        mesh_flush_idle(mesh, c->now);
    }
    assert_int_equal(c->packet_count, 1);
    assert_true(mesh_has_open(mesh));
    assert_int_equal(try_send(&c->node[0], 2, 10), COVEY_OK); /* another link is idle */
    mesh_flush_idle(mesh, c->now);
    assert_int_equal(c->packet_count, 2);
    mesh_flush(mesh, c->now);
    assert_int_equal(c->packet_count, 3);
    assert_false(mesh_has_open(mesh));
    cluster_settle(c);
    check_all_received(c);
    cluster_free(c);
}

static void half_an_encoded_record_does_not_leave(void **state)
{
    struct cluster *c = cluster_make();
    (void)state;
    assert_int_equal(try_send(&c->node[0], 1, KEY_TOO_BIG), COVEY_ETOOBIG);
    assert_false(mesh_has_open(c->node[0].mesh));
    assert_int_equal(try_send(&c->node[0], 1, 10), COVEY_OK);
    assert_int_equal(try_send(&c->node[0], 1, KEY_TOO_BIG), COVEY_ETOOBIG);
    assert_int_equal(try_send(&c->node[0], 1, 10), COVEY_OK);
    cluster_settle(c);
    check_all_received(c);
    assert_int_equal(c->node[1].broken_calls, 0);
    cluster_free(c);
}

static void the_forgotten_are_silent(void **state)
{
    struct cluster *c = cluster_make();
    struct node *a = &c->node[0], *b = &c->node[1];
    (void)state;
    assert_int_equal(try_send(a, 1, 10), COVEY_OK);
    assert_int_equal(try_send(b, 0, 10), COVEY_OK);
    cluster_flush(c);
    mesh_forget(a->mesh, b->addr);
    mesh_forget(a->mesh, b->addr); /* twice is once */
    assert_int_equal(try_send(a, 1, 10), COVEY_ECLOSED);
    assert_true(mesh_deadline(a->mesh) == NEVER_NS);
    cluster_carry(c);
    assert_int_equal(a->received[1], 0);
    assert_int_equal(mesh_stats(a->mesh).late, 1);
    mesh_writable(a->mesh, b->addr, c->now);
    mesh_reconnected(a->mesh, b->addr, c->now);
    assert_int_equal(try_send(a, 2, 10), COVEY_OK); /* others are as before */
    mesh_forget(b->mesh, a->addr);
    cluster_settle(c);
    assert_int_equal(c->node[2].received[0], 1);
    cluster_free(c);
}

static void the_oldest_forgotten_goes_first(void **state)
{
    struct cluster *c = cluster_make();
    struct mesh *mesh = c->node[0].mesh;
    struct msg msg = {.kind = MSG_KV_GET};
    (void)state;
    mesh_forget(mesh, (struct addr){2, 1, 0, 0});
    for (uint32_t p = 1; p <= MESH_FORGOTTEN_MAX; p++)
        mesh_forget(mesh, (struct addr){2, p, 0, 0});
    assert_int_equal(mesh_send(mesh, (struct addr){2, 1, 0, 0}, &msg, c->now), COVEY_ECLOSED);
    mesh_forget(mesh, (struct addr){2, MESH_FORGOTTEN_MAX + 1, 0, 0});
    assert_int_equal(mesh_send(mesh, (struct addr){2, 1, 0, 0}, &msg, c->now), COVEY_OK);
    for (uint32_t p = 2; p <= MESH_FORGOTTEN_MAX + 1; p++)
        assert_int_equal(mesh_send(mesh, (struct addr){2, p, 0, 0}, &msg, c->now), COVEY_ECLOSED);
    cluster_free(c);
}

static void deliver_may_forget_others(void **state)
{
    struct cluster *c = cluster_make();
    struct node *a = &c->node[0];
    (void)state;
    assert_int_equal(try_send(a, 2, 10), COVEY_OK); /* open towards the one that goes */
    a->forget = c->node[2].addr;
    assert_int_equal(try_send(&c->node[1], 0, 10), COVEY_OK);
    assert_int_equal(try_send(&c->node[1], 0, 10), COVEY_OK);
    mesh_flush(c->node[1].mesh, c->now);
    cluster_carry(c);
    assert_int_equal(a->received[1], 2);
    assert_false(mesh_has_open(a->mesh));
    cluster_settle(c);
    cluster_free(c);
}

/* Let node 1 receive @body from node 0 as the frame @number. */
static covey_status inject(struct cluster *c, struct frame_header h, const void *body)
{
    struct frame *frame = frame_new(FRAME_HEADER + h.body_len);
    assert_non_null(frame);
    frame_write_header(frame->data, &h);
    memcpy(frame->data + FRAME_HEADER, body, h.body_len);
    covey_status status = mesh_receive(c->node[1].mesh,
                                       span_of(frame->data, FRAME_HEADER + h.body_len), c->now);
    frame_unref(frame);
    return status;
}

static struct frame_header header_make(const struct cluster *c, uint64_t number, uint32_t len)
{
    return (struct frame_header){.from = c->node[0].addr, .to = c->node[1].addr,
                                 .number = number, .body_len = len, .credit = LINK_WINDOW};
}

static void bad_records_break_their_peer_alone(void **state)
{
    struct cluster *c = cluster_make();
    struct node *a = &c->node[0], *b = &c->node[1];
    struct buf body;
    struct msg msg = {.kind = MSG_KV_GET};
    (void)state;
    buf_init(&body);
    msg.u.kv_get.request = 1;
    assert_int_equal(test_encode(&body, &msg), COVEY_OK);
    buf_append(&body, "garbage", 7);
    assert_int_equal(try_send(&c->node[2], 1, 10), COVEY_OK);
    mesh_flush(c->node[2].mesh, c->now);
    assert_int_equal(inject(c, header_make(c, 1, (uint32_t)body.len), body.data), COVEY_OK);
    assert_int_equal(b->received[0], 1); /* what came before */
    assert_int_equal(b->broken_calls, 1);
    assert_int_equal(b->broken_status, COVEY_EPROTO);
    assert_true(addr_eq(b->broken_peer, a->addr));
    assert_string_equal(b->broken_why, "malformed record");
    assert_int_equal(inject(c, header_make(c, 2, (uint32_t)body.len), body.data), COVEY_OK);
    assert_int_equal(b->broken_calls, 1);
    assert_int_equal(mesh_stats(b->mesh).late, 1);
    assert_int_equal(mesh_stats(b->mesh).broken, 1);
    struct frame_header bare = header_make(c, 0, 0);
    bare.from = c->node[2].addr;
    assert_int_equal(inject(c, bare, ""), COVEY_OK); /* the next frame is judged afresh */
    assert_int_equal(b->broken_calls, 1);
    cluster_settle(c);
    assert_int_equal(b->received[2], 1);
    buf_fini(&body);
    cluster_free(c);
}

static void impossible_headers_break_their_peer(void **state)
{
    struct cluster *c = cluster_make();
    struct node *b = &c->node[1];
    struct frame_header h = header_make(c, 0, 0);
    (void)state;
    h.ack = 5;
    assert_int_equal(inject(c, h, ""), COVEY_OK);
    assert_int_equal(b->broken_calls, 1);
    assert_int_equal(b->broken_status, COVEY_EPROTO);
    assert_non_null(strstr(b->broken_why, "impossible"));
    cluster_free(c);
}

static void frames_without_a_peer_to_blame_are_counted(void **state)
{
    struct cluster *c = cluster_make();
    struct node *b = &c->node[1];
    struct frame_header h = header_make(c, 0, 0);
    uint8_t other_version[FRAME_HEADER] = "CVY\x7f";
    (void)state;
    assert_int_equal(mesh_receive(b->mesh, span_of("GET / HTTP/1.1\r\n", 16), c->now),
                     COVEY_EPROTO);
    assert_int_equal(mesh_receive(b->mesh, span_of(other_version, FRAME_HEADER), c->now),
                     COVEY_EVERSION);
    h.to = c->node[2].addr;
    assert_int_equal(inject(c, h, ""), COVEY_EPROTO);
    h.to = h.from = b->addr; /* a frame from oneself */
    assert_int_equal(inject(c, h, ""), COVEY_EPROTO);
    assert_int_equal(mesh_stats(b->mesh).bad, 4);
    assert_int_equal(b->broken_calls, 0);
    assert_true(mesh_deadline(b->mesh) == NEVER_NS);
    cluster_free(c);
}

static void a_full_link_is_told_by_its_peer(void **state)
{
    struct cluster *c = cluster_make();
    struct node *a = &c->node[0];
    (void)state;
    a->refuses = true;
    assert_int_equal(try_send(a, 2, 10), COVEY_OK);
    while (a->full_calls == 0) {
        assert_true(a->sent[1] * 1000 <= LINK_FULL + 1000);
        assert_int_equal(try_send(a, 1, 1000), COVEY_OK);
    }
    assert_true(addr_eq(a->full_peer, c->node[1].addr));
    mesh_flush(a->mesh, c->now);
    assert_int_equal(c->packet_count, 0);
    assert_false(mesh_has_open(a->mesh)); /* flushing again would not help */
    assert_true(mesh_deadline(a->mesh) != NEVER_NS);
    a->refuses = false;
    mesh_writable(a->mesh, c->node[1].addr, c->now);
    assert_true(c->packet_count > 0);
    assert_int_equal(a->full_calls, 101);
    mesh_writable(a->mesh, c->node[2].addr, c->now);
    cluster_settle(c);
    check_all_received(c);
    cluster_free(c);
}

static void lost_frames_come_again(void **state)
{
    struct cluster *c = cluster_make();
    struct node *a = &c->node[0];
    (void)state;
    for (int n = 0; n < 100; n++)
        assert_int_equal(try_send(a, 1 + (uint32_t)n % 3, 1000), COVEY_OK);
    mesh_flush(a->mesh, c->now);
    cluster_lose(c);
    mesh_reconnected(a->mesh, c->node[1].addr, c->now);
    cluster_carry(c);
    assert_int_equal(c->node[1].received[0], a->sent[1]);
    assert_int_equal(c->node[2].received[0], 0);
    cluster_settle(c); /* the others by their timers */
    check_all_received(c);
    cluster_free(c);
}

static void links_are_bounded(void **state)
{
    struct cluster *c = cluster_make();
    struct mesh *mesh = c->node[0].mesh;
    struct msg msg = {.kind = MSG_KV_GET};
    (void)state;
    for (uint32_t p = 1; p <= MESH_LINKS_MAX; p++) { /* by bare frames, which need little */
        uint8_t bytes[FRAME_HEADER];
        struct frame_header h = {.from = {9, p, 0, 0}, .to = c->node[0].addr,
                                 .credit = LINK_WINDOW};
        frame_write_header(bytes, &h);
        assert_int_equal(mesh_receive(mesh, span_of(bytes, sizeof bytes), c->now), COVEY_OK);
    }
    assert_int_equal(mesh_send(mesh, (struct addr){8, 1, 0, 0}, &msg, c->now), COVEY_ELIMIT);
    mesh_forget(mesh, (struct addr){9, 1, 0, 0});
    assert_int_equal(mesh_send(mesh, (struct addr){8, 1, 0, 0}, &msg, c->now), COVEY_OK);
    cluster_free(c);
}

static void a_steady_state_allocates_nothing(void **state)
{
    struct cluster *c = cluster_make();
    (void)state;
    for (int round = 0; round < 300; round++) {
        if (round == 100)
            malloc_fail(0, 0); /* counts from here */
        for (int n = 0; n < 100; n++)
            assert_int_equal(try_send(&c->node[0], 1, round % 2 ? 1000 : 5), COVEY_OK);
        assert_int_equal(try_send(&c->node[1], 0, 20), COVEY_OK);
        cluster_flush(c);
        cluster_carry(c);
    }
    assert_int_equal(malloc_calls, 0);
    cluster_settle(c);
    check_all_received(c);
    cluster_free(c);
}

/* Allocation @n fails.  A send that fails is tried again, a frame that met no
 * memory for its link comes again, and a record that could not be decoded ends
 * its link and no other. */
static bool run_with_failure(uint64_t n)
{
    struct cluster *c = cluster_make();
    int broken = 0;
    mesh_free(&c->node[3].mesh);
    malloc_fail(n, 1);
    struct node *d = &c->node[3];
    while (mesh_new(&d->mesh, d->addr, &test_codec, &test_ops, d) != COVEY_OK)
        ;
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < NODES; i++)
            for (uint32_t j = 0; j < NODES; j++)
                if (i != j)
                    while (try_send(&c->node[i], j, 3000) == COVEY_ENOMEM)
                        ;
        cluster_flush(c);
        cluster_carry(c);
        if (round == 10)
            mesh_forget(c->node[0].mesh, (struct addr){77, 1, 0, 0});
    }
    for (int i = 0; i < NODES; i++)
        broken += c->node[i].broken_calls;
    if (broken == 0) {
        cluster_settle(c);
        check_all_received(c);
    }
    bool reached = malloc_calls >= n;
    malloc_fail(0, 0);
    assert_true(broken <= 1);
    for (int i = 0; i < NODES; i++)
        if (c->node[i].broken_calls)
            assert_int_equal(c->node[i].broken_status, COVEY_ENOMEM);
    cluster_free(c);
    return reached;
}

static void every_failed_allocation_is_survived(void **state)
{
    uint64_t n = 1;
    (void)state;
    while (run_with_failure(n))
        n++;
    assert_true(n > 30); /* else the hook is not linked in */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everyone_hears_everyone_in_order),
        cmocka_unit_test(deliver_may_send),
        cmocka_unit_test(flush_idle_sends_the_first_and_gathers_the_rest),
        cmocka_unit_test(half_an_encoded_record_does_not_leave),
        cmocka_unit_test(the_forgotten_are_silent),
        cmocka_unit_test(the_oldest_forgotten_goes_first),
        cmocka_unit_test(deliver_may_forget_others),
        cmocka_unit_test(bad_records_break_their_peer_alone),
        cmocka_unit_test(impossible_headers_break_their_peer),
        cmocka_unit_test(frames_without_a_peer_to_blame_are_counted),
        cmocka_unit_test(a_full_link_is_told_by_its_peer),
        cmocka_unit_test(lost_frames_come_again),
        cmocka_unit_test(links_are_bounded),
        cmocka_unit_test(a_steady_state_allocates_nothing),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests_name("mesh", tests, NULL, NULL);
}
