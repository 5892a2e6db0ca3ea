/* test_door.c - both sides of a door, in one process and in two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/door.h"
#include "temp_dir.h"
#include "wire/wire.h"

#define WAIT_MS 20000
#define NOBODY 65534

struct world {
    struct temp_dir dir;
    struct scratch scratch;
    struct msg msg;
    char why[256];
    int listener, node, process;    /* one connection, both ends */
};

static void make_world(struct world *w)
{
    *w = (struct world){.listener = -1, .node = -1, .process = -1};
    temp_dir_make(&w->dir);
    scratch_init(&w->scratch);
    assert_int_equal(door_listen(&w->listener, w->dir.path), COVEY_OK);
}

static void connect_world(struct world *w)
{
    pid_t pid = 0;
    assert_int_equal(door_connect(&w->process, w->dir.path, WAIT_MS), COVEY_OK);
    assert_int_equal(door_accept(w->listener, &w->node, &pid), COVEY_OK);
    assert_int_equal(pid, getpid());
}

static void end_world(struct world *w)
{
    const int fds[] = {w->listener, w->node, w->process};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    scratch_fini(&w->scratch);
    temp_dir_remove(&w->dir);
}

static struct msg hello_of(const char *name)
{
    return (struct msg){
        .kind = MSG_DOOR_HELLO,
        .u.door_hello = {WIRE_VERSION, ROLE_CLIENT, 0, 0, span_str(name)},
    };
}

static struct msg welcome_of(const char *dir)
{
    return (struct msg){
        .kind = MSG_DOOR_WELCOME,
        .u.door_welcome = {WIRE_VERSION, {1, 7, 0, 0}, {1, 0, 1, 0}, 1 << 20, 1 << 16, 2, 0, 3,
                           span_str("default"), span_str(dir)},
    };
}

static covey_status receive(struct world *w, int fd, int *fds, int *count)
{
    scratch_reset(&w->scratch);
    return door_receive(fd, WAIT_MS, &w->scratch, &w->msg, fds, count, w->why, sizeof w->why);
}

static int count_open_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- connections ----------------------------------------------------------- */

static void test_the_socket_is_ours_alone(void **state)
{
    (void)state;
    struct world w;
    struct stat at;
    char path[128];
    make_world(&w);
    snprintf(path, sizeof path, "%s/" DOOR_NAME, w.dir.path);
    assert_int_equal(lstat(path, &at), 0);
    assert_true(S_ISSOCK(at.st_mode));
    assert_int_equal(at.st_mode & 0777, 0600);
    end_world(&w);
}

static void test_nobody_waits_and_nobody_listens(void **state)
{
    (void)state;
    struct world w;
    int fd;
    make_world(&w);
    assert_int_equal(door_accept(w.listener, &fd, NULL), COVEY_EAGAIN);
    close(w.listener); /* as a node that was killed: its socket stays */
    w.listener = -1;
    assert_int_equal(door_connect(&fd, w.dir.path, WAIT_MS), COVEY_ENOCLUSTER);
    assert_int_equal(door_connect(&fd, "/no/such/directory", WAIT_MS), COVEY_ENOCLUSTER);
    assert_int_equal(door_listen(&w.listener, w.dir.path), COVEY_OK); /* and is replaced */
    connect_world(&w);
    end_world(&w);
}

static void test_descriptors_are_closed_on_exec(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    connect_world(&w);
    assert_true(fcntl(w.listener, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(w.process, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(w.node, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(w.node, F_GETFL) & O_NONBLOCK);
    end_world(&w);
}

/* A process of another user, let in by every mode, is turned away by its uid;
 * and it turns away from a node that is not its own user's. */
static void test_another_user_is_refused(void **state)
{
    (void)state;
    struct world w;
    char path[128];
    if (geteuid() != 0)
        skip(); /* only root can become another user */
    make_world(&w);
    snprintf(path, sizeof path, "%s/" DOOR_NAME, w.dir.path);
    assert_int_equal(chmod(w.dir.path, 0711), 0);
    assert_int_equal(chmod(path, 0666), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd;
        if (chdir(w.dir.path) != 0 || setuid(NOBODY) != 0)
            _exit(2);
        covey_status status = door_connect(&fd, ".", WAIT_MS); /* the dirs above may be closed */
        _exit(status == COVEY_EREFUSED ? 0 : 1);
    }
    int status, fd = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    int open_before = count_open_fds();
    assert_int_equal(door_accept(w.listener, &fd, NULL), COVEY_EREFUSED);
    assert_int_equal(fd, -1);
    assert_int_equal(count_open_fds(), open_before);
    end_world(&w);
}

/* ---- packets ------------------------------------------------------------------ */

static void test_records_and_descriptors_pass(void **state)
{
    (void)state;
    struct world w;
    int fds[DOOR_FDS_MAX], count, memory[2];
    make_world(&w);
    connect_world(&w);
    struct msg hello = hello_of("prog"), welcome = welcome_of(w.dir.path);
    assert_int_equal(door_send(w.process, &hello, NULL, 0), COVEY_OK);
    assert_int_equal(receive(&w, w.node, fds, &count), COVEY_OK);
    assert_int_equal(w.msg.kind, MSG_DOOR_HELLO);
    assert_int_equal(count, 0);
    assert_memory_equal(w.msg.u.door_hello.name.data, "prog", 4);

    for (int i = 0; i < 2; i++) {
        memory[i] = memfd_create("test", 0);
        assert_int_equal(write(memory[i], i ? "one" : "two", 3), 3);
    }
    assert_int_equal(door_send(w.node, &welcome, memory, 2), COVEY_OK);
    close(memory[0]);
    close(memory[1]);
    assert_int_equal(receive(&w, w.process, fds, &count), COVEY_OK);
    assert_int_equal(w.msg.kind, MSG_DOOR_WELCOME);
    assert_int_equal(count, 2);
    for (int i = 0; i < 2; i++) {
        char text[3];
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
        assert_int_equal(pread(fds[i], text, 3, 0), 3);
        assert_memory_equal(text, i ? "one" : "two", 3);
        close(fds[i]);
    }
    end_world(&w);
}

static void test_unwanted_descriptors_are_closed(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    connect_world(&w);
    struct msg hello = hello_of("prog");
    int gift[DOOR_FDS_MAX] = {0, 0, 0, 0};
    int before = count_open_fds();
    assert_int_equal(door_send(w.process, &hello, gift, DOOR_FDS_MAX), COVEY_OK);
    assert_int_equal(receive(&w, w.node, NULL, NULL), COVEY_OK);
    assert_int_equal(count_open_fds(), before);
    end_world(&w);
}

static void test_a_packet_that_is_too_large_is_refused_with_its_descriptors(void **state)
{
    (void)state;
    struct world w;
    int fds[DOOR_FDS_MAX], count, big[DOOR_FDS_MAX + 1] = {0};
    static char bytes[DOOR_BYTES_MAX + 1];
    make_world(&w);
    connect_world(&w);
    int before = count_open_fds();
    assert_int_equal(send(w.process, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(receive(&w, w.node, fds, &count), COVEY_EPROTO);
    assert_non_null(strstr(w.why, "larger"));

    union { struct cmsghdr align; char bytes[CMSG_SPACE(sizeof big)]; } control = {.bytes = {0}};
    struct iovec body = {bytes, 16};
    struct msghdr header = {.msg_iov = &body, .msg_iovlen = 1,
                            .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof big);
    memcpy(CMSG_DATA(rights), big, sizeof big);
    header.msg_controllen = CMSG_SPACE(sizeof big);
    assert_int_equal(sendmsg(w.process, &header, 0), 16);
    assert_int_equal(receive(&w, w.node, fds, &count), COVEY_EPROTO);
    assert_int_equal(count_open_fds(), before);

    struct msg hello = hello_of(bytes); /* a sender of ours does not get that far */
    memset(bytes, 'x', sizeof bytes);
    hello.u.door_hello.name = span_of(bytes, sizeof bytes);
    assert_int_equal(door_send(w.process, &hello, NULL, 0), COVEY_ETOOBIG);
    end_world(&w);
}

static void test_garbage_and_other_messages_are_refused(void **state)
{
    (void)state;
    struct world w;
    struct buf packet;
    make_world(&w);
    connect_world(&w);
    assert_int_equal(send(w.process, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    assert_int_equal(receive(&w, w.node, NULL, NULL), COVEY_EPROTO);
    assert_int_not_equal(w.why[0], '\0');

    struct msg shutdown_msg = {.kind = MSG_SHUTDOWN, .u.shutdown = {0}};
    assert_int_equal(door_send(w.process, &shutdown_msg, NULL, 0), COVEY_OK);
    assert_int_equal(receive(&w, w.node, NULL, NULL), COVEY_EPROTO);
    assert_non_null(strstr(w.why, "does not belong"));

    struct msg hello = hello_of("prog");
    buf_init(&packet);
    assert_int_equal(wire_encode(&packet, &hello), COVEY_OK);
    buf_append(&packet, "\0", 1);
    assert_int_equal(send(w.process, packet.data, packet.len, 0), packet.len);
    assert_int_equal(receive(&w, w.node, NULL, NULL), COVEY_EPROTO);
    assert_non_null(strstr(w.why, "follow"));
    buf_fini(&packet);
    end_world(&w);
}

static void test_waiting_has_an_end(void **state)
{
    (void)state;
    struct world w;
    make_world(&w);
    connect_world(&w);
    assert_int_equal(door_receive(w.node, 0, &w.scratch, &w.msg, NULL, NULL, w.why, sizeof w.why),
                     COVEY_EAGAIN);
    assert_int_equal(door_receive(w.process, 2, &w.scratch, &w.msg, NULL, NULL, w.why, sizeof w.why),
                     COVEY_ETIMEOUT);
    end_world(&w);
}

/* ---- death ---------------------------------------------------------------------- */

static void test_the_end_of_file_is_a_death(void **state)
{
    (void)state;
    struct world w;
    int go[2];
    make_world(&w);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd;
        if (door_connect(&fd, w.dir.path, WAIT_MS) == COVEY_OK)
            (void)!write(go[1], "c", 1);
        for (;;)
            pause();
    }
    char c;
    pid_t pid = 0;
    assert_int_equal(read(go[0], &c, 1), 1);
    assert_int_equal(door_accept(w.listener, &w.node, &pid), COVEY_OK);
    assert_int_equal(pid, child);
    assert_int_equal(door_receive(w.node, 0, &w.scratch, &w.msg, NULL, NULL, w.why, sizeof w.why),
                     COVEY_EAGAIN); /* alive */
    kill(child, SIGKILL);
    assert_int_equal(receive(&w, w.node, NULL, NULL), COVEY_ECLOSED);
    struct msg hello = hello_of("late");
    assert_int_equal(door_send(w.node, &hello, NULL, 0), COVEY_ECLOSED); /* and no SIGPIPE */
    waitpid(child, NULL, 0);
    close(go[0]);
    close(go[1]);
    end_world(&w);
}

/* ---- the whole entry --------------------------------------------------------------- */

/* A node for one visitor, in a thread. */
struct porter {
    pthread_t thread;
    int listener;
    const char *dir;
    void (*answer)(struct porter *porter, int fd, covey_status hello);
    uint32_t role;
};

static void *serve(void *arg)
{
    struct porter *porter = arg;
    struct scratch scratch;
    struct msg msg;
    char why[256];
    int fd;
    scratch_init(&scratch);
    struct pollfd entry = {porter->listener, POLLIN, 0};
    if (poll(&entry, 1, WAIT_MS) == 1 && door_accept(porter->listener, &fd, NULL) == COVEY_OK) {
        covey_status status =
            door_receive(fd, WAIT_MS, &scratch, &msg, NULL, NULL, why, sizeof why);
        if (status == COVEY_OK)
            porter->role = msg.u.door_hello.role;
        porter->answer(porter, fd, status);
        close(fd);
    }
    scratch_fini(&scratch);
    return NULL;
}

static void say_welcome(struct porter *porter, int fd, covey_status hello)
{
    struct msg msg = welcome_of(porter->dir);
    int fds[2] = {0, 0};
    if (hello == COVEY_OK)
        (void)door_send(fd, &msg, fds, 2);
}

static void say_no(struct porter *porter, int fd, covey_status hello)
{
    (void)porter;
    door_refuse(fd, hello == COVEY_OK ? COVEY_ELIMIT : hello, "the node is full: 4 of 4 clients");
}

static void say_version(struct porter *porter, int fd, covey_status hello)
{
    (void)porter;
    door_refuse(fd, COVEY_EVERSION, hello == COVEY_EVERSION
                ? "this cluster runs covey 0.1.0 (version 1): use its release"
                : "the test expected a version mismatch");
}

/* The records of another version: the number that follows the kind differs. */
static void say_another_version(struct porter *porter, int fd, covey_status hello)
{
    (void)porter, (void)hello;
    static const uint8_t refuse[] = {0x94, MSG_DOOR_REFUSE, WIRE_VERSION + 1, 0x01, 0xa1, 'x'};
    (void)!send(fd, refuse, sizeof refuse, MSG_NOSIGNAL);
}

static void say_little(struct porter *porter, int fd, covey_status hello)
{
    struct msg msg = welcome_of(porter->dir); /* without the arena */
    (void)hello;
    (void)door_send(fd, &msg, NULL, 0);
}

static void say_nothing(struct porter *porter, int fd, covey_status hello)
{
    (void)porter, (void)fd, (void)hello;
}

static covey_status enter(struct world *w, void (*answer)(struct porter *, int, covey_status),
                          struct porter *porter, struct msg_door_welcome *welcome, int fds[3])
{
    *porter = (struct porter){.listener = w->listener, .dir = w->dir.path, .answer = answer};
    assert_int_equal(pthread_create(&porter->thread, NULL, serve, porter), 0);
    struct msg hello = hello_of("prog");
    covey_status status = door_enter(w->dir.path, &hello.u.door_hello, WAIT_MS, &w->scratch, welcome,
                                     &fds[0], &fds[1], &fds[2], w->why, sizeof w->why);
    pthread_join(porter->thread, NULL);
    return status;
}

static void test_entry(void **state)
{
    (void)state;
    struct world w;
    struct porter porter;
    struct msg_door_welcome welcome;
    int fds[3];
    make_world(&w);
    assert_int_equal(enter(&w, say_welcome, &porter, &welcome, fds), COVEY_OK);
    assert_int_equal(welcome.self.proc, 7);
    assert_int_equal(welcome.head_epoch, 3);
    assert_memory_equal(welcome.dir.data, w.dir.path, welcome.dir.len);
    for (int i = 0; i < 3; i++)
        assert_int_equal(close(fds[i]), 0);
    end_world(&w);
}

static void test_refusals_are_readable(void **state)
{
    (void)state;
    static char versions[64];
    const struct {
        void (*answer)(struct porter *, int, covey_status);
        covey_status status;
        const char *says;
    } cases[] = {
        {say_no, COVEY_ELIMIT, "the node is full: 4 of 4 clients"},
        {say_another_version, COVEY_EVERSION, versions},
        {say_another_version, COVEY_EVERSION, "covey start"},
        {say_little, COVEY_EPROTO, "0 descriptors"},
        {say_nothing, COVEY_ECLOSED, "hung up"},
    };
    struct world w;
    struct porter porter;
    struct msg_door_welcome welcome;
    int fds[3];
    snprintf(versions, sizeof versions, "is %d, this side speaks %d", WIRE_VERSION + 1, WIRE_VERSION);
    make_world(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int before = count_open_fds();
        assert_int_equal(enter(&w, cases[i].answer, &porter, &welcome, fds), cases[i].status);
        if (!strstr(w.why, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", w.why, cases[i].says);
        assert_int_equal(fds[0], -1);
        assert_int_equal(count_open_fds(), before);
    }
    end_world(&w);
}

/* An old program knocks: the node can tell, and its refusal reaches it. */
static void test_a_hello_of_another_version_is_recognised(void **state)
{
    (void)state;
    struct world w;
    struct porter porter;
    static const uint8_t hello[] = {0x96, MSG_DOOR_HELLO, WIRE_VERSION + 1, 0, 0, 0, 0xa0};
    int fd;
    make_world(&w);
    porter = (struct porter){.listener = w.listener, .dir = w.dir.path, .answer = say_version};
    assert_int_equal(pthread_create(&porter.thread, NULL, serve, &porter), 0);
    assert_int_equal(door_connect(&fd, w.dir.path, WAIT_MS), COVEY_OK);
    assert_int_equal(send(fd, hello, sizeof hello, MSG_NOSIGNAL), sizeof hello);
    assert_int_equal(receive(&w, fd, NULL, NULL), COVEY_OK);
    pthread_join(porter.thread, NULL);
    assert_int_equal(w.msg.kind, MSG_DOOR_REFUSE);
    assert_int_equal(w.msg.u.door_refuse.status, COVEY_EVERSION);
    assert_memory_equal(w.msg.u.door_refuse.why.data, "this cluster runs", 17);
    close(fd);
    end_world(&w);
}

static void test_entry_without_a_node_says_what_to_do(void **state)
{
    (void)state;
    struct world w;
    struct msg_door_welcome welcome;
    struct msg hello = hello_of("prog");
    int fds[3];
    make_world(&w);
    close(w.listener);
    w.listener = -1;
    assert_int_equal(door_enter(w.dir.path, &hello.u.door_hello, WAIT_MS, &w.scratch, &welcome,
                                &fds[0], &fds[1], &fds[2], w.why, sizeof w.why), COVEY_ENOCLUSTER);
    assert_non_null(strstr(w.why, "covey start"));
    end_world(&w);
}

static void test_a_silent_node_is_a_timeout(void **state)
{
    (void)state;
    struct world w;
    struct msg_door_welcome welcome;
    struct msg hello = hello_of("prog");
    int fds[3];
    make_world(&w); /* it listens, but nobody accepts */
    assert_int_equal(door_enter(w.dir.path, &hello.u.door_hello, 5, &w.scratch, &welcome, &fds[0],
                                &fds[1], &fds[2], w.why, sizeof w.why), COVEY_ETIMEOUT);
    assert_non_null(strstr(w.why, "does not answer"));
    end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_socket_is_ours_alone),
        cmocka_unit_test(test_nobody_waits_and_nobody_listens),
        cmocka_unit_test(test_descriptors_are_closed_on_exec),
        cmocka_unit_test(test_another_user_is_refused),
        cmocka_unit_test(test_records_and_descriptors_pass),
        cmocka_unit_test(test_unwanted_descriptors_are_closed),
        cmocka_unit_test(test_a_packet_that_is_too_large_is_refused_with_its_descriptors),
        cmocka_unit_test(test_garbage_and_other_messages_are_refused),
        cmocka_unit_test(test_waiting_has_an_end),
        cmocka_unit_test(test_the_end_of_file_is_a_death),
        cmocka_unit_test(test_entry),
        cmocka_unit_test(test_refusals_are_readable),
        cmocka_unit_test(test_a_hello_of_another_version_is_recognised),
        cmocka_unit_test(test_entry_without_a_node_says_what_to_do),
        cmocka_unit_test(test_a_silent_node_is_a_timeout),
    };
    return cmocka_run_group_tests_name("door", tests, NULL, NULL);
}
