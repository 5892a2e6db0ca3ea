/* test_head_process.c - the head as a process: its record, its socket, its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mesh.h"
#include "head/head.h"
#include "io/mono.h"
#include "io/port.h"
#include "temp_dir.h"
#include "wire/wire.h"

#define WAIT_NS (20 * SECOND_NS)

static struct temp_dir dir;
static struct places places;
static char why[512];

/* ---- a process that asks --------------------------------------------------------- */

struct asker {
    struct addr self;
    struct port *port;
    struct mesh *mesh;
    uint64_t request, answered;
    uint32_t status;
    char value[64];
    uint64_t epoch;             /* of the last NODE_JOINED */
};

static bool on_transmit(void *io, struct addr to, struct frame *frame)
{
    return port_transmit(((struct asker *)io)->port, to, frame);
}

static void on_deliver(void *io, struct addr from, const struct msg *msg)
{
    struct asker *asker = io;
    (void)from;
    if (msg->kind == MSG_NODE_JOINED)
        asker->epoch = msg->u.node_joined.head_epoch;
    if (msg->kind != MSG_KV_VALUE)
        return;
    const struct msg_kv_value *answer = &msg->u.kv_value;
    asker->answered = answer->request;
    asker->status = answer->status;
    snprintf(asker->value, sizeof asker->value, "%.*s", (int)answer->value.len,
             (const char *)answer->value.data);
}

static void on_full(void *io, struct addr peer, bool is_full)
{
    (void)io, (void)peer, (void)is_full;
}

static void on_broken(void *io, struct addr peer, covey_status status, const char *text)
{
    (void)io, (void)peer, (void)status;
    fail_msg("%s", text);
}

static void on_frame(void *io, struct span frame)
{
    (void)mesh_receive(((struct asker *)io)->mesh, frame, mono_ns());
}

static void on_writable(void *io, struct addr peer)
{
    mesh_writable(((struct asker *)io)->mesh, peer, mono_ns());
}

static void asker_open(struct asker *asker, uint32_t number)
{
    static const struct mesh_codec codec = {wire_encode, wire_decode};
    static const struct mesh_ops mesh_ops = {on_transmit, on_deliver, on_full, on_broken};
    static const struct port_ops port_ops = {on_frame, on_writable};
    *asker = (struct asker){.self = {1, number, 0, 0}};
    assert_int_equal(port_open(&asker->port, places.dir, asker->self, &port_ops, asker, why,
                               sizeof why), COVEY_OK);
    assert_int_equal(mesh_new(&asker->mesh, asker->self, &codec, &mesh_ops, asker), COVEY_OK);
}

static void asker_close(struct asker *asker)
{
    port_close(&asker->port, 0);
    mesh_free(&asker->mesh);
}

static void turn(struct asker *asker)
{
    mesh_flush(asker->mesh, mono_ns());
    if (!port_pending(asker->port))
        poll(&(struct pollfd){port_fd(asker->port), POLLIN, 0}, 1,
             mono_poll_ms(mesh_deadline(asker->mesh)));
    port_receive(asker->port, 64);
    mesh_tick(asker->mesh, mono_ns());
}

static void await_answer(struct asker *asker)
{
    for (int64_t deadline = mono_ns() + WAIT_NS; asker->answered != asker->request; turn(asker))
        if (mono_ns() > deadline)
            fail_msg("the head does not answer");
}

static uint32_t kv_put(struct asker *asker, const char *key, const char *value)
{
    struct msg msg = {
        .kind = MSG_KV_PUT,
        .u.kv_put = {++asker->request, span_str(key), span_str(value), false},
    };
    assert_int_equal(mesh_send(asker->mesh, ADDR_HEAD, &msg, mono_ns()), COVEY_OK);
    await_answer(asker);
    return asker->status;
}

static const char *kv_get(struct asker *asker, const char *key)
{
    struct msg msg = {.kind = MSG_KV_GET, .u.kv_get = {++asker->request, span_str(key)}};
    assert_int_equal(mesh_send(asker->mesh, ADDR_HEAD, &msg, mono_ns()), COVEY_OK);
    await_answer(asker);
    return asker->status == COVEY_OK ? asker->value : NULL;
}

static uint64_t join(struct asker *asker)
{
    struct msg msg = {.kind = MSG_NODE_JOIN, .u.node_join = {.node = 1, .boot = 7, .name = span_str("n")}};
    asker->epoch = 0;
    assert_int_equal(mesh_send(asker->mesh, ADDR_HEAD, &msg, mono_ns()), COVEY_OK);
    for (int64_t deadline = mono_ns() + WAIT_NS; asker->epoch == 0; turn(asker))
        if (mono_ns() > deadline)
            fail_msg("the head lets no node join");
    return asker->epoch;
}

/* ---- heads ---------------------------------------------------------------------------- */

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    setenv("COVEY_DIR", dir.path, 1);
    assert_int_equal(places_find(&places, "h", why, sizeof why), COVEY_OK);
    assert_int_equal(places_create(&places, why, sizeof why), COVEY_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

/* Start a head; what it says on its ready descriptor is left in @line. */
static pid_t start_head(char line[256])
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ready[0]);
        if (!freopen("/dev/null", "w", stderr))
            _exit(99);
        exit(head_main(&places, NULL, ready[1]));
    }
    close(ready[1]);
    size_t len = 0;
    for (ssize_t n; len < 255 && (n = read(ready[0], line + len, 255 - len)) > 0;)
        len += (size_t)n;
    line[len] = '\0';
    close(ready[0]);
    return child;
}

static pid_t start_good_head(void)
{
    char line[256];
    pid_t head = start_head(line);
    assert_string_equal(line, "ready\n");
    return head;
}

static int end_head(pid_t head, int signal_number)
{
    int status;
    if (signal_number)
        kill(head, signal_number);
    assert_int_equal(waitpid(head, &status, 0), head);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool exists(const char *name)
{
    char path[PLACE_MAX + 32];
    struct stat at;
    snprintf(path, sizeof path, "%s/%s", places.dir, name);
    return lstat(path, &at) == 0;
}

static void test_signals_end_it_cleanly(void **state)
{
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pid_t head = start_good_head();
        assert_true(exists("0.0"));
        assert_true(exists("head.pid"));
        assert_int_equal(end_head(head, signals[i]), 0);
        assert_false(exists("0.0"));
        assert_false(exists("head.pid"));
    }
}

static void test_what_it_acknowledged_outlives_kill_9(void **state)
{
    (void)state;
    struct asker asker;
    char key[16];
    for (uint32_t life = 1; life <= 5; life++) {
        pid_t head = start_good_head();
        asker_open(&asker, life);
        for (uint32_t old = 1; old < life; old++) {
            snprintf(key, sizeof key, "key%u", old);
            assert_string_equal(kv_get(&asker, key), key);
        }
        assert_null(kv_get(&asker, "no such key"));
        snprintf(key, sizeof key, "key%u", life);
        assert_int_equal(kv_put(&asker, key, key), COVEY_OK);
        assert_int_equal(end_head(head, SIGKILL), 128 + SIGKILL);
        assert_true(exists("0.0")); /* which the next one replaces */
        asker_close(&asker);
    }
}

static void test_a_second_head_is_refused_and_the_first_goes_on(void **state)
{
    (void)state;
    struct asker asker;
    char line[256];
    pid_t first = start_good_head(), second = start_head(line);
    assert_int_equal(strncmp(line, "failed: ", 8), 0);
    assert_non_null(strstr(line, "a head already"));
    assert_int_equal(end_head(second, 0), 4);
    assert_true(exists("head.pid"));
    asker_open(&asker, 1);
    assert_int_equal(kv_put(&asker, "k", "v"), COVEY_OK);
    assert_string_equal(kv_get(&asker, "k"), "v");
    asker_close(&asker);
    assert_int_equal(end_head(first, SIGTERM), 0);
}

static void test_shutdown_ends_it(void **state)
{
    (void)state;
    struct asker asker;
    struct msg msg = {.kind = MSG_SHUTDOWN, .u.shutdown = {0}};
    pid_t head = start_good_head();
    asker_open(&asker, 1);
    assert_int_equal(kv_put(&asker, "k", "v"), COVEY_OK);
    assert_int_equal(mesh_send(asker.mesh, ADDR_HEAD, &msg, mono_ns()), COVEY_OK);
    turn(&asker);
    assert_int_equal(end_head(head, 0), 0);
    assert_false(exists("0.0"));
    asker_close(&asker);
}

/* A life of the head in which node 1 joins.  Returns its epoch. */
static uint64_t live(void)
{
    static uint32_t number;
    struct asker asker;
    pid_t head = start_good_head();
    asker_open(&asker, ++number);
    assert_int_equal(kv_put(&asker, "k", "v"), COVEY_OK);
    uint64_t epoch = join(&asker);
    asker_close(&asker);
    assert_int_equal(end_head(head, SIGTERM), 0);
    return epoch;
}

/* And no epoch comes twice. */
static void test_a_damaged_record_does_not_stop_it(void **state)
{
    (void)state;
    char path[PLACE_MAX + 32];
    snprintf(path, sizeof path, "%s/" RECORD_FILE, places.state);
    uint64_t first = live(), second = live();
    assert_int_equal(second, first + 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 100; i++)
        assert_int_equal(write(fd, "this is no database at all ", 27), 27);
    close(fd);
    uint64_t third = live();
    assert_true(third > second);
    assert_int_equal(live(), third + 1);
}

static void test_without_a_state_directory_it_says_why(void **state)
{
    (void)state;
    char line[256];
    assert_int_equal(rmdir(places.state), 0);
    pid_t head = start_head(line);
    assert_int_equal(strncmp(line, "failed: ", 8), 0);
    assert_non_null(strstr(line, RECORD_FILE));
    assert_int_equal(end_head(head, 0), 1);
    assert_false(exists("0.0"));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_signals_end_it_cleanly),
        TEST(test_what_it_acknowledged_outlives_kill_9),
        TEST(test_a_second_head_is_refused_and_the_first_goes_on),
        TEST(test_shutdown_ends_it),
        TEST(test_a_damaged_record_does_not_stop_it),
        TEST(test_without_a_state_directory_it_says_why),
    };
    return cmocka_run_group_tests_name("head_process", tests, NULL, NULL);
}
