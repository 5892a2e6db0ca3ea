/* test_zygote.c - this program, started by a keeper, is the zygote under test.
 *
 * What a forked worker does is chosen by its token; what the program does
 * before zygote_marked(), by its first argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/keeper.h"
#include "worker/zygote.h"

#define DEADLINE_MS 5000
#define FORK_MS_MAX 50      /* generous for a busy machine; usually below one */

enum token { TOKEN_REPORT = 1, TOKEN_EXIT, TOKEN_ABORT, TOKEN_WAIT, TOKEN_LEAVE_CHILD };

/* ---- the program ------------------------------------------------------------------ */

static void *idle_thread(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static int be_worker(void)
{
    struct zygote_child child = zygote_serve();
    char environ_text[4096] = "";
    int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, environ_text, sizeof environ_text - 1);
    close(fd);
    const char *marker = memmem(environ_text, n > 0 ? (size_t)n : 0, "COVEY_PROC=", 11);
    switch ((enum token)child.token) {
    case TOKEN_REPORT:
        printf("node %u proc %u page %d dir %s added %s marker %s leader %d child-marker %d\n", child.node, child.proc,
               fcntl(child.page_fd, F_GETFD) == FD_CLOEXEC, child.dir,
               getenv("ADDED") ? getenv("ADDED") : "-", marker ? strrchr(marker, '.') + 1 : "-",
               getsid(0) == getpid(),
               system("test ${COVEY_PROC#*.} = 0000000011 -a -z \"$COVEY_ZYGOTE$COVEY_WORKER\""));
        fprintf(stderr, "to stderr\n");
        return 0;
    case TOKEN_EXIT:
        return 5;
    case TOKEN_ABORT:
        abort();
    case TOKEN_LEAVE_CHILD:
        if (fork() == 0)
            pause();
        return 0;
    case TOKEN_WAIT:
    default:
        printf("waiting\n");
        for (;;)
            pause();
    }
}

static int program(const char *how)
{
    pthread_t thread;
    if (strcmp(how, "early") == 0) {
        fprintf(stderr, "no reason\n");
        return 3;
    }
    if (strcmp(how, "threads") == 0 && pthread_create(&thread, NULL, idle_thread, NULL) != 0)
        return 1;
    printf("printed once\n");
    return zygote_marked() ? be_worker() : 99;
}

/* ---- the tests ---------------------------------------------------------------------- */

struct fixture {
    char dir[64];
    struct keeper *keeper;
    int control;
    int out[2], err[2];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/covey-zygote-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(keeper_start(&f->keeper, f->dir, 1, -1), COVEY_OK);
    assert_int_equal(pipe2(f->out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(f->err, O_CLOEXEC), 0);
    f->control = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->control >= 0)
        close(f->control);
    assert_true(keeper_close(&f->keeper, DEADLINE_MS));
    for (int i = 0; i < 2; i++) {
        close(f->out[i]);
        close(f->err[i]);
    }
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *how, const char *marker)
{
    char argv[64], env[128], path[512];
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    f->control = pair[0];
    int argv_len = snprintf(argv, sizeof argv, "test_zygote%c%s", 0, how);
    int env_len = snprintf(env, sizeof env, "PATH=/bin:/usr/bin%c%s=%d", 0, marker, KEEPER_CONTROL_FD);
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(n > 0);
    path[n] = '\0';
    struct keeper_spawn s = {.id = 1, .path = path, .argv = span_of(argv, (size_t)argv_len + 1),
                             .env = span_of(env, (size_t)env_len + 1), .out_fd = f->out[1],
                             .err_fd = f->err[1], .control_fd = pair[1]};
    assert_int_equal(keeper_spawn(f->keeper, &s), COVEY_OK);
    close(pair[1]);
}

static struct keeper_event keeper_says(struct fixture *f)
{
    struct keeper_event event;
    struct pollfd p = {.fd = keeper_fd(f->keeper), .events = POLLIN};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    assert_int_equal(keeper_next(f->keeper, &event), COVEY_OK);
    return event;
}

static struct zygote_record hear(struct fixture *f, enum zygote_kind kind)
{
    struct zygote_record r;
    struct pollfd p = {.fd = f->control, .events = POLLIN};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    assert_int_equal(recv(f->control, &r, sizeof r, 0), sizeof r);
    assert_int_equal(r.version, ZYGOTE_VERSION);
    assert_int_equal(r.kind, kind);
    return r;
}

static void tell(struct fixture *f, enum zygote_kind kind, uint32_t proc, uint64_t token, int value)
{
    static const char dir[] = "/some/dir", env[] = "ADDED=yes\0OTHER=1";
    union { struct zygote_record r; char bytes[256]; } packet = {.r = {
        .version = ZYGOTE_VERSION, .kind = kind, .node = 6, .proc = proc, .token = token, .value = value,
        .dir_bytes = sizeof dir, .env_bytes = sizeof env}};
    memcpy(packet.bytes + sizeof packet.r, dir, sizeof dir);
    memcpy(packet.bytes + sizeof packet.r + sizeof dir, env, sizeof env);
    struct iovec iov = {&packet, sizeof packet.r + sizeof dir + sizeof env};
    union { struct cmsghdr align; char bytes[CMSG_SPACE(ZYGOTE_FDS * sizeof(int))]; } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                          .cmsg_len = CMSG_LEN(ZYGOTE_FDS * sizeof(int))};
    int page_fd = open("/dev/null", O_RDWR | O_CLOEXEC);     /* any descriptor arrives */
    int fds[ZYGOTE_FDS] = {page_fd, f->out[1], f->err[1]};
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    assert_int_equal(sendmsg(f->control, &msg, MSG_NOSIGNAL), (ssize_t)iov.iov_len);
    close(page_fd);
}

static void read_line(int fd, char *out, size_t size)
{
    size_t len = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    do
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    while (len < size - 1 && read(fd, out + len, 1) == 1 && out[len++] != '\n');
    out[len] = '\0';
}

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static void test_worker_is_itself(void **state)
{
    struct fixture *f = *state;
    char line[512];
    start(f, "plain", ZYGOTE_ENV);
    assert_int_equal(hear(f, ZYGOTE_READY).value, 1);
    tell(f, ZYGOTE_FORK, 11, TOKEN_REPORT, 0);
    struct zygote_record forked = hear(f, ZYGOTE_FORKED);
    assert_int_equal(forked.proc, 11);
    struct zygote_record ended = hear(f, ZYGOTE_EXITED);
    assert_int_equal(ended.proc, 11);
    assert_int_equal(ended.value, forked.value);
    assert_int_equal(ended.wait_status, 0);
    read_line(f->out[0], line, sizeof line);
    assert_string_equal(line, "printed once\n");    /* by the zygote, not again by the worker */
    read_line(f->out[0], line, sizeof line);
    assert_string_equal(line, "node 6 proc 11 page 1 dir /some/dir added yes marker 0000000011 leader 1 "
                              "child-marker 0\n");
    read_line(f->err[0], line, sizeof line);
    assert_string_equal(line, "to stderr\n");
}

static void test_exit_relay(void **state)
{
    struct fixture *f = *state;
    start(f, "plain", ZYGOTE_ENV);
    hear(f, ZYGOTE_READY);
    tell(f, ZYGOTE_FORK, 1, TOKEN_EXIT, 0);
    hear(f, ZYGOTE_FORKED);
    int status = hear(f, ZYGOTE_EXITED).wait_status;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);

    tell(f, ZYGOTE_FORK, 2, TOKEN_ABORT, 0);
    hear(f, ZYGOTE_FORKED);
    status = hear(f, ZYGOTE_EXITED).wait_status;
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);

    tell(f, ZYGOTE_FORK, 3, TOKEN_WAIT, 0);
    hear(f, ZYGOTE_FORKED);
    tell(f, ZYGOTE_KILL, 3, 0, SIGTERM);
    status = hear(f, ZYGOTE_EXITED).wait_status;
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void test_fork_is_fast(void **state)
{
    struct fixture *f = *state;
    int64_t best = INT64_MAX;
    start(f, "plain", ZYGOTE_ENV);
    hear(f, ZYGOTE_READY);
    for (uint32_t i = 1; i <= 20; i++) {
        int64_t begin = now_us();
        tell(f, ZYGOTE_FORK, i, TOKEN_EXIT, 0);
        hear(f, ZYGOTE_FORKED);
        int64_t took = now_us() - begin;
        best = took < best ? took : best;
        hear(f, ZYGOTE_EXITED);
    }
    print_message("fastest fork: %lld us\n", (long long)best);
    assert_true(best < FORK_MS_MAX * 1000);
}

static void test_threads_are_told(void **state)
{
    struct fixture *f = *state;
    start(f, "threads", ZYGOTE_ENV);
    assert_true(hear(f, ZYGOTE_READY).value >= 2);     /* ThreadSanitizer adds one of its own */
}

static void test_single_worker(void **state)
{
    struct fixture *f = *state;
    char line[512];
    start(f, "threads", ZYGOTE_WORKER_ENV);
    tell(f, ZYGOTE_FORK, 12, TOKEN_WAIT, 0);
    assert_int_equal(keeper_says(f).kind, KEEPER_SPAWNED);
    read_line(f->out[0], line, sizeof line);
    assert_string_equal(line, "printed once\n");
    read_line(f->out[0], line, sizeof line);
    assert_string_equal(line, "waiting\n");
    assert_int_equal(keeper_kill(f->keeper, 1, SIGKILL), COVEY_OK);
    struct keeper_event event = keeper_says(f);
    assert_int_equal(event.kind, KEEPER_EXITED);
    assert_true(WIFSIGNALED(event.wait_status));
}

static void test_exit_before_init(void **state)
{
    struct fixture *f = *state;
    char line[64];
    start(f, "early", ZYGOTE_ENV);
    assert_int_equal(keeper_says(f).kind, KEEPER_SPAWNED);
    struct keeper_event event = keeper_says(f);
    assert_int_equal(event.kind, KEEPER_EXITED);
    assert_int_equal(WEXITSTATUS(event.wait_status), 3);
    read_line(f->err[0], line, sizeof line);
    assert_string_equal(line, "no reason\n");
}

/* The group of a dead worker dies with it. */
static void test_group_ends(void **state)
{
    struct fixture *f = *state;
    char byte;
    start(f, "plain", ZYGOTE_ENV);
    hear(f, ZYGOTE_READY);
    tell(f, ZYGOTE_FORK, 1, TOKEN_LEAVE_CHILD, 0);
    hear(f, ZYGOTE_FORKED);
    hear(f, ZYGOTE_EXITED);
    close(f->err[1]);
    f->err[1] = -1;
    close(f->control);      /* the zygote ends, too */
    f->control = -1;
    struct pollfd p = {.fd = f->err[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    assert_int_equal(read(f->err[0], &byte, 1), 0);
}

static void test_closed_control_ends_workers(void **state)
{
    struct fixture *f = *state;
    start(f, "plain", ZYGOTE_ENV);
    hear(f, ZYGOTE_READY);
    tell(f, ZYGOTE_FORK, 1, TOKEN_WAIT, 0);
    hear(f, ZYGOTE_FORKED);
    close(f->control);
    f->control = -1;
    assert_int_equal(keeper_says(f).kind, KEEPER_SPAWNED);
    struct keeper_event event = keeper_says(f);
    assert_int_equal(event.kind, KEEPER_EXITED);
    assert_true(WIFEXITED(event.wait_status));
    char text[64];
    close(f->out[1]);
    f->out[1] = -1;
    struct pollfd p = {.fd = f->out[0], .events = POLLIN};
    ssize_t n = 1;
    while (n > 0) {
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
        n = read(f->out[0], text, sizeof text);
    }
    assert_int_equal(n, 0);
}

static void test_false_markers(void **state)
{
    (void)state;
    int pair[2];
    char text[16];
    unsetenv(ZYGOTE_ENV);
    unsetenv(ZYGOTE_WORKER_ENV);
    assert_false(zygote_marked());
    static const char *const bad[] = {"", "x", "3x", "-1", "2", "99999999999999999999", "4000"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv(ZYGOTE_ENV, bad[i], 1);
        assert_false(zygote_marked());
        assert_null(getenv(ZYGOTE_ENV));
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    snprintf(text, sizeof text, "%d", pair[0]);
    setenv(ZYGOTE_ENV, text, 1);
    assert_false(zygote_marked());
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(pipe(pair), 0);
    snprintf(text, sizeof text, "%d", pair[0]);
    setenv(ZYGOTE_WORKER_ENV, text, 1);
    assert_false(zygote_marked());
    close(pair[0]);
    close(pair[1]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && (getenv(ZYGOTE_ENV) || getenv(ZYGOTE_WORKER_ENV)))
        return program(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_worker_is_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exit_relay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fork_is_fast, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_single_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exit_before_init, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_control_ends_workers, setup, teardown),
        cmocka_unit_test(test_false_markers),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("zygote", tests, NULL, NULL);
}
