/* test_store.c - objects in a real memfd: one process, two, and dead ones. */
#include "store_world.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MIB (1024u * 1024)

/* ---- the arena ------------------------------------------------------------------ */

static void test_arena_is_sealed(void **state)
{
    (void)state;
    struct arena *a = NULL;
    assert_int_equal(arena_new(&a, 100), COVEY_EINVAL);
    assert_int_equal(arena_new(&a, 16 * MIB), COVEY_OK);
    assert_int_equal(ftruncate(arena_fd_writable(a), 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(arena_fd_writable(a), 32 * MIB), -1);
    assert_int_equal(fcntl(arena_fd_writable(a), F_ADD_SEALS, F_SEAL_WRITE), -1);
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, arena_fd_read_only(a), 0);
    assert_ptr_equal(p, MAP_FAILED);
    assert_int_equal(errno, EACCES);
    arena_free(&a);
    assert_null(a);
}

static uint64_t file_bytes(const struct world *w)
{
    struct stat st;
    assert_int_equal(fstat(arena_fd_writable(w->arena), &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void test_pages_come_from_populate(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 0);
    uint64_t before = file_bytes(w);
    assert_true(before < 4 * MIB); /* the table, perhaps as a huge page */
    assert_int_equal(arena_populate(w->arena, 8 * MIB, 8 * MIB), COVEY_OK);
    assert_int_equal(file_bytes(w), before + 8 * MIB);
    world_free(w);
}

static void test_open_errors(void **state)
{
    (void)state;
    struct world *w = world_new(16 * MIB, 0);
    struct store *s = NULL;
    int fd = arena_fd_read_only(w->arena), rw = arena_fd_writable(w->arena);
    assert_int_equal(store_open(&s, fd, -1, 0, NODE), COVEY_EINVAL);
    assert_int_equal(store_open(&s, fd, -1, 1ull << 40, NODE), COVEY_ESYSTEM); /* would be SIGBUS */
    assert_int_equal(store_open(&s, -1, rw, 16 * MIB, NODE), COVEY_ESYSTEM);
    assert_int_equal(errno, EBADF);
    assert_null(s);
    assert_int_not_equal(fcntl(fd, F_GETFD), -1); /* not taken */
    assert_int_not_equal(fcntl(rw, F_GETFD), -1);
    world_free(w);
}

static void test_copy(void **state)
{
    (void)state;
    enum { SPACE = 3 * MIB };
    uint8_t *from = malloc(SPACE), *to = malloc(SPACE);
    assert_non_null(from);
    assert_non_null(to);
    for (size_t i = 0; i < SPACE; i++)
        from[i] = (uint8_t)(i * 7 + i / 251);
    size_t sizes[] = {0, 1, 63, 64, 4097, MIB - 1, MIB, MIB + 1, MIB + 63, 2 * MIB + 77};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t shift = 0; shift < 70; shift += 23) {
            memset(to, 0xee, SPACE);
            store_copy(to + 64 + shift, from + shift * 2 % 67, sizes[i]);
            assert_memory_equal(to + 64 + shift, from + shift * 2 % 67, sizes[i]);
            assert_int_equal(to[63 + shift], 0xee);
            assert_int_equal(to[64 + shift + sizes[i]], 0xee);
        }
    }
    free(from);
    free(to);
}

/* ---- one process ------------------------------------------------------------------ */

static void test_put_and_read(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 1);
    struct store *s = w->store[1];
    struct place place;
    void *data;
    const void *read = NULL;
    struct oid id = world_id(1, 5);
    assert_int_equal(store_alloc(s, id, 3, 1000, &place, &data), COVEY_EAGAIN);
    assert_int_equal(store_alloc(s, id, 3, 1000, &place, &data), COVEY_EAGAIN);
    struct msg_extent_want want;
    assert_true(store_want(s, &want));
    assert_int_equal(want.bytes, EXTENT_BYTES);
    assert_false(store_want(s, &want)); /* told once */
    extents_want(w->x, world_addr(1), want.request, want.bytes);
    assert_int_equal(store_alloc(s, id, 3, 1000, &place, &data), COVEY_OK);
    assert_int_equal(place.kind, 3);
    memset(data, 7, 1000);
    assert_int_equal(store_read(s, id, &place, &read), COVEY_ESTALE);
    store_seal(s, &place);
    assert_true(world_has(s, id, place, 7));
    assert_int_equal(store_read(s, id, &place, &read), COVEY_OK);
    assert_ptr_not_equal(read, data);
    world_put(w, 1, world_id(1, 6), 0, 0);
    assert_true(world_has(s, id, place, 7));
    world_free(w);
}

/* Every field of a hint must be right. */
static void test_wrong_hints(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 1);
    struct oid id = world_id(1, 5);
    struct place good = world_put(w, 1, id, 1000, 9), p;
    world_put(w, 1, world_id(1, 6), 1000, 10);
    struct store *s = w->store[1];
    assert_true(world_has(s, id, good, 9));
    assert_false(world_has(s, world_id(1, 6), good, 9));
    assert_false(world_has(s, world_id(2, 5), good, 9));
#define WRONG(field, value) (p = good, p.field = (value), assert_false(world_has(s, id, p, 9)))
    WRONG(node, 2);
    WRONG(node, 0);
    WRONG(gen, good.gen + 1);
    WRONG(gen, 0);
    WRONG(extent, good.extent + 1);
    WRONG(extent, UINT32_MAX);
    WRONG(extent, 0);
    WRONG(offset, good.offset + 64);
    WRONG(offset, good.offset + object_stride(1000));
    WRONG(offset, good.offset + 1);
    WRONG(offset, UINT64_MAX - 63);
    WRONG(offset, 64 * MIB);
    WRONG(offset, 0);
    WRONG(size, 999);
    WRONG(size, UINT64_MAX);
    WRONG(ordinal, 1);
    world_free(w);
}

/* Hints that lie never touch a page that was not lent: none appears. */
static void test_lying_hints_touch_nothing(void **state)
{
    (void)state;
    struct world *w = world_new(256 * MIB, 1);
    struct place good = world_put(w, 1, world_id(1, 1), 100, 1);
    uint64_t before = file_bytes(w), rng = 1;
    for (int i = 0; i < 200000; i++) {
        struct place p = good;
        rng = rng * 6364136223846793005u + 1442695040888963407u;
        uint32_t r = (uint32_t)(rng >> 32);
        if (r & 1)
            p.extent = r >> 8 & 1023;
        if (r & 2)
            p.offset = (uint64_t)(r >> 4) * 64 % (256 * MIB);
        if (r & 4)
            p.size = rng >> (r % 60);
        const void *data;
        covey_status status = store_read(w->store[1], world_id(1, 1), &p, &data);
        assert_true(status == COVEY_ESTALE || memcmp(&p, &good, sizeof(p)) == 0);
    }
    assert_int_equal(file_bytes(w), before);
    world_free(w);
}

static void test_spare_is_asked_for_ahead(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 1);
    struct store *s = w->store[1];
    struct msg_extent_want want;
    uint64_t seq = 0, size = 10000, used = 0;
    world_put(w, 1, world_id(1, ++seq), size, 1);
    for (used = object_stride(size); used <= EXTENT_BYTES / 4 * 3; used += object_stride(size)) {
        assert_false(store_want(s, &want));
        world_put(w, 1, world_id(1, ++seq), size, 1);
    }
    world_pump(w, 1);
    assert_int_equal(w->granted, 2);
    for (int i = 0; i < 1000; i++) { /* never a wait again */
        struct place place;
        void *data;
        assert_int_equal(store_alloc(s, world_id(1, ++seq), 0, size, &place, &data), COVEY_OK);
        store_seal(s, &place);
        store_free(s, &place);
        world_pump(w, 1);
    }
    assert_true(extents_stats(w->x).lent <= 2);
    assert_true(extents_stats(w->x).closed <= 1); /* the one with the early objects */
    world_free(w);
}

/* A refused spare is not asked for again until the next extent. */
static void test_refused_spare_is_quiet(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 1);
    struct msg_extent_want want;
    struct msg_extent_refused why;
    world_put(w, 1, world_id(1, 1), EXTENT_BYTES / 2 - 64, 1);
    world_put(w, 1, world_id(1, 2), EXTENT_BYTES / 2 - 8192, 1);
    assert_true(store_want(w->store[1], &want));
    store_refused(w->store[1], &(struct msg_extent_refused){.request = want.request,
                                                            .status = COVEY_ESTOREFULL});
    assert_int_equal(store_refusal(w->store[1], 10, &why), COVEY_OK);
    world_put(w, 1, world_id(1, 3), 10, 1);
    assert_false(store_want(w->store[1], &want));
    world_free(w);
}

static void test_large(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 2);
    struct oid id = world_id(1, 1);
    struct place p = world_put(w, 1, id, 20 * MIB + 5, 42);
    assert_int_equal(p.ordinal, 0);
    assert_true(world_has(w->store[2], id, p, 42));
    world_pump(w, 1);
    assert_int_equal(extents_stats(w->x).closed, 1); /* closed by its only seal */
    assert_int_equal(extents_stats(w->x).lent, 0);
    store_free(w->store[1], &p);
    world_pump(w, 1);
    assert_int_equal(extents_stats(w->x).closed, 0);
    assert_false(world_has(w->store[1], id, p, 42));
    /* The same place serves again, under another generation. */
    struct place q = world_put(w, 1, world_id(1, 2), 20 * MIB + 5, 43);
    assert_int_equal(q.offset, p.offset);
    assert_int_not_equal(q.gen, p.gen);
    assert_false(world_has(w->store[2], id, p, 42));
    assert_true(world_has(w->store[2], world_id(1, 2), q, 43));
    world_free(w);
}

static void test_too_big(void **state)
{
    (void)state;
    struct world *w = world_new(16 * MIB, 1);
    struct place p;
    void *data;
    uint64_t most = 16 * MIB - ARENA_BLOCK - OBJECT_ALIGN;
    uint64_t sizes[] = {most + 1, 16 * MIB, UINT64_MAX, UINT64_MAX - 64};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(world_alloc(w, 1, world_id(1, 1), sizes[i], &p, &data), COVEY_ETOOBIG);
    assert_int_equal(world_alloc(w, 1, world_id(1, 1), most, &p, &data), COVEY_OK);
    world_free(w);
}

static void test_frees(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 2);
    struct place p[10];
    for (uint32_t i = 0; i < 10; i++)
        p[i] = world_put(w, 1, world_id(2, i + 1), 100, 1);
    struct msg_object_free f;
    struct msg_extent_close c;
    /* In one's own extent: a bit that goes with the close. */
    store_free(w->store[1], &p[3]);
    store_free(w->store[1], &p[3]);
    assert_false(store_next_free(w->store[1], &f));
    /* In another's: gathered, ascending, once each. */
    uint32_t order[] = {9, 0, 5, 0, 9};
    for (uint32_t i = 0; i < 5; i++)
        store_free(w->store[2], &p[order[i]]);
    struct place old = p[1];
    old.gen += 100;
    store_free(w->store[2], &old);
    assert_true(store_next_free(w->store[2], &f));
    assert_int_equal(f.extent, p[0].extent);
    assert_int_equal(f.gen, p[0].gen);
    assert_int_equal(f.ordinal_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(f.ordinals[i], i == 0 ? 0 : i == 1 ? 5 : 9);
        extents_object_free(w->x, f.extent, f.gen, f.ordinals[i]);
    }
    assert_true(store_next_free(w->store[2], &f));
    assert_int_equal(f.gen, old.gen);
    assert_false(store_next_free(w->store[2], &f));
    store_close_extents(w->store[1]);
    store_free(w->store[1], &p[4]); /* until the close is told it is still local */
    assert_true(store_next_close(w->store[1], &c));
    assert_int_equal(c.sealed, 10);
    assert_int_equal(c.freed.len, 2);
    assert_int_equal(c.freed.data[0], 1 << 3 | 1 << 4);
    extents_close(w->x, world_addr(1), c.extent, c.gen, c.sealed, c.freed);
    assert_int_equal(extents_stats(w->x).objects_live, 5);
    store_free(w->store[1], &p[1]); /* and now it is not */
    assert_true(store_next_free(w->store[1], &f));
    assert_false(store_next_close(w->store[1], &c));
    world_free(w);
}

static void test_frees_are_bounded(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 2);
    struct place p = world_put(w, 1, world_id(1, 1), 100, 1);
    for (uint32_t i = 0; i < 3 * EXTENT_OBJECTS_MAX; i++) {
        p.ordinal = (i * 7) % (EXTENT_OBJECTS_MAX + 100);
        store_free(w->store[2], &p);
    }
    struct msg_object_free f;
    assert_true(store_next_free(w->store[2], &f));
    assert_true(f.ordinal_count <= EXTENT_OBJECTS_MAX);
    assert_int_equal(f.ordinals[f.ordinal_count - 1], f.ordinal_count - 1);
    assert_false(store_next_free(w->store[2], &f));
    world_free(w);
}

static void test_abandon(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 1);
    struct store *s = w->store[1];
    struct place a, b;
    void *data;
    assert_int_equal(world_alloc(w, 1, world_id(1, 1), 500, &a, &data), COVEY_OK);
    b = world_put(w, 1, world_id(1, 2), 500, 2);
    store_abandon(s, &a);
    assert_false(world_has(s, world_id(1, 1), a, 0));
    assert_true(world_has(s, world_id(1, 2), b, 2));
    assert_int_equal(world_alloc(w, 1, world_id(1, 3), 5 * MIB, &a, &data), COVEY_OK);
    store_abandon(s, &a);
    store_close_extents(s);
    world_pump(w, 1);
    assert_int_equal(extents_stats(w->x).objects_live, 1);
    assert_int_equal(extents_stats(w->x).closed, 1);
    assert_true(world_has(s, world_id(1, 2), b, 2));
    world_free(w);
}

/* An extent with an object in the making waits for it. */
static void test_close_waits_for_seal(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 1);
    struct place p;
    void *data;
    struct msg_extent_close c;
    assert_int_equal(world_alloc(w, 1, world_id(1, 1), 500, &p, &data), COVEY_OK);
    store_close_extents(w->store[1]);
    assert_false(store_next_close(w->store[1], &c));
    store_seal(w->store[1], &p);
    assert_true(store_next_close(w->store[1], &c));
    assert_int_equal(c.sealed, 1);
    assert_false(store_next_close(w->store[1], &c));
    world_free(w);
}

/* ---- processes ------------------------------------------------------------------- */

enum packet_kind { PACKET_WANT, PACKET_GRANT, PACKET_PLACE, PACKET_GO };

struct packet {
    enum packet_kind kind;
    uint64_t request, bytes;
    struct msg_extent_grant grant;
    struct place place;
};

static void send_packet(int fd, const struct packet *p)
{
    if (write(fd, p, sizeof(*p)) != (ssize_t)sizeof(*p))
        _exit(9);
}

/* In the child: a process with a connection to its node. */
static struct place child_alloc(struct store *s, int fd, struct oid id, uint64_t size, void **data)
{
    struct place place;
    while (store_alloc(s, id, 0, size, &place, data) != COVEY_OK) {
        struct packet p = {.kind = PACKET_WANT};
        struct msg_extent_want want;
        if (!store_want(s, &want))
            _exit(8);
        p.request = want.request;
        p.bytes = want.bytes;
        send_packet(fd, &p);
        if (read(fd, &p, sizeof(p)) != (ssize_t)sizeof(p))
            _exit(7);
        store_granted(s, &p.grant);
    }
    return place;
}

static void child_main(struct world *w, int fd)
{
    struct store *s = NULL;
    if (store_open(&s, arena_fd_read_only(w->arena), arena_fd_writable(w->arena), w->bytes, NODE))
        _exit(6);
    uint64_t sizes[] = {100, 1000, 5 * MIB, 300000, 2};
    void *data;
    for (uint64_t i = 0; i < 5; i++) {
        struct packet p = {.kind = PACKET_PLACE};
        p.place = child_alloc(s, fd, world_id(2, i + 1), sizes[i], &data);
        memset(data, (int)i + 1, sizes[i]);
        if (i == 1) { /* never sealed: the process dies with it */
            continue;
        }
        store_seal(s, &p.place);
        send_packet(fd, &p);
    }
    struct packet go;
    while (read(fd, &go, sizeof(go)) < 0)
        ;
    kill(getpid(), SIGKILL);
}

static void serve(struct world *w, int fd, const struct packet *p)
{
    assert_int_equal(p->kind, PACKET_WANT);
    extents_want(w->x, world_addr(3), p->request, p->bytes);
    struct packet answer = {.kind = PACKET_GRANT};
    answer.grant = (struct msg_extent_grant){w->grant.request, w->grant.extent, w->grant.gen,
                                             w->grant.offset, w->grant.bytes};
    send_packet(fd, &answer);
}

/* Process 3 writes objects that process 2 owns, process 1 reads them; 3 is
 * killed with one unfinished, and what it had sealed stays. */
static void test_two_processes(void **state)
{
    (void)state;
    struct world *w = world_new(64 * MIB, 1);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(pair[0]);
        child_main(w, pair[1]);
    }
    close(pair[1]);
    struct place place[4];
    uint32_t n = 0;
    uint8_t fill[] = {1, 3, 4, 5};
    while (n < 4) {
        struct packet p;
        assert_int_equal(read(pair[0], &p, sizeof(p)), sizeof(p));
        if (p.kind == PACKET_PLACE) {
            place[n] = p.place;
            assert_true(world_has(w->store[1], world_id(2, fill[n]), place[n], fill[n]));
            n++;
        } else {
            serve(w, pair[0], &p);
        }
    }
    send_packet(pair[0], &(struct packet){.kind = PACKET_GO});
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    extents_proc_dead(w->x, world_addr(3));
    extents_check(w->x);
    assert_int_equal(w->sealed, 4);
    assert_int_equal(extents_stats(w->x).lent, 0);
    assert_int_equal(extents_stats(w->x).objects_live, 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(world_has(w->store[1], world_id(2, fill[i]), place[i], fill[i]));
    /* The owner goes; process 1 still reads the first. */
    extents_owner_gone(w->x, world_addr(2), place, 1);
    extents_check(w->x);
    assert_true(world_has(w->store[1], world_id(2, 1), place[0], 1));
    assert_int_equal(extents_stats(w->x).objects_live, 1);
    assert_false(world_has(w->store[1], world_id(2, 3), place[1], 3)); /* had its own extent */
    close(pair[0]);
    world_free(w);
}

/* Users' pointers are read-only: writing through one is their crash alone. */
static void test_read_pointers_are_read_only(void **state)
{
    (void)state;
    struct world *w = world_new(16 * MIB, 1);
    struct place p = world_put(w, 1, world_id(1, 1), 100, 1);
    const void *data = NULL;
    assert_int_equal(store_read(w->store[1], world_id(1, 1), &p, &data), COVEY_OK);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        *(volatile char *)(uintptr_t)data = 2;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_true(world_has(w->store[1], world_id(1, 1), p, 1));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_is_sealed),
        cmocka_unit_test(test_pages_come_from_populate),
        cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_put_and_read),
        cmocka_unit_test(test_wrong_hints),
        cmocka_unit_test(test_lying_hints_touch_nothing),
        cmocka_unit_test(test_spare_is_asked_for_ahead),
        cmocka_unit_test(test_refused_spare_is_quiet),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_frees),
        cmocka_unit_test(test_frees_are_bounded),
        cmocka_unit_test(test_abandon),
        cmocka_unit_test(test_close_waits_for_seal),
        cmocka_unit_test(test_two_processes),
        cmocka_unit_test(test_read_pointers_are_read_only),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
