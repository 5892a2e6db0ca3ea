/* test_keeper.c - the keeper starts programs, tells how they end, and leaves
 * nothing behind.
 *
 * That a process is gone is seen at its standard output: the pipe ends when the
 * last one that holds it has died.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/keeper.h"

#define DEADLINE_MS 5000
#define GONE_MS 2000

/* Of vfork() ThreadSanitizer makes a fork: what failed in the child is not heard,
 * and a signal may come before the program runs. */
#if defined(__SANITIZE_THREAD__)
#define VFORK_IS_FORK true
#else
#define VFORK_IS_FORK false
#endif

struct fixture {
    char dir[64];
    struct keeper *keeper;
    int out[2], err[2], control[2];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/covey-keeper-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(keeper_start(&f->keeper, f->dir, 1, -1), COVEY_OK);
    assert_int_equal(pipe2(f->out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(f->err, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->control), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_true(keeper_close(&f->keeper, DEADLINE_MS));
    for (int i = 0; i < 2; i++) {
        close(f->out[i]);
        close(f->err[i]);
        close(f->control[i]);
    }
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static struct keeper_event next(struct keeper *k)
{
    struct keeper_event event;
    struct pollfd p = {.fd = keeper_fd(k), .events = POLLIN};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    assert_int_equal(keeper_next(k, &event), COVEY_OK);
    return event;
}

static covey_status spawn(struct fixture *f, uint64_t id, uint32_t proc, const char *script)
{
    char argv[1024];
    int len = snprintf(argv, sizeof argv, "sh%c-c%c%s", 0, 0, script);
    return keeper_spawn(f->keeper, &(struct keeper_spawn){
        .id = id, .proc = proc, .path = "/bin/sh", .argv = span_of(argv, (size_t)len + 1),
        .env = span_of("PATH=/bin:/usr/bin\0X=1", 23), .out_fd = f->out[1], .err_fd = f->err[1],
        .control_fd = f->control[1]});
}

static pid_t spawned(struct fixture *f, uint64_t id)
{
    struct keeper_event event = next(f->keeper);
    assert_int_equal(event.kind, KEEPER_SPAWNED);
    assert_int_equal(event.id, id);
    assert_true(event.pid > 0);
    return event.pid;
}

static int exited(struct fixture *f, uint64_t id)
{
    struct keeper_event event = next(f->keeper);
    assert_int_equal(event.kind, KEEPER_EXITED);
    assert_int_equal(event.id, id);
    return event.wait_status;
}

/* Close our end for writing and read to the end of file. */
static size_t read_all(int pipe_fds[2], char *out, size_t size, int wait_ms)
{
    size_t len = 0;
    close(pipe_fds[1]);
    pipe_fds[1] = -1;
    struct pollfd p = {.fd = pipe_fds[0], .events = POLLIN};
    for (ssize_t n = 1; n > 0; len += (size_t)(n > 0 ? n : 0)) {
        assert_int_equal(poll(&p, 1, wait_ms), 1);
        n = read(pipe_fds[0], out + len, size - 1 - len);
    }
    out[len] = '\0';
    return len;
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

static void test_output_and_status(void **state)
{
    struct fixture *f = *state;
    char text[256];
    assert_int_equal(spawn(f, 5, 0, "echo hello $X; echo oops >&2; exit 3"), COVEY_OK);
    spawned(f, 5);
    int status = exited(f, 5);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    read_all(f->out, text, sizeof text, DEADLINE_MS);
    assert_string_equal(text, "hello 1\n");
    read_all(f->err, text, sizeof text, DEADLINE_MS);
    assert_string_equal(text, "oops\n");
}

static void test_signal(void **state)
{
    struct fixture *f = *state;
    if (VFORK_IS_FORK)
        skip();
    assert_int_equal(spawn(f, 1, 0, "kill -SEGV $$"), COVEY_OK);
    spawned(f, 1);
    int status = exited(f, 1);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);

    assert_int_equal(spawn(f, 2, 0, "exec sleep 1000"), COVEY_OK);
    spawned(f, 2);
    assert_int_equal(keeper_kill(f->keeper, 2, SIGTERM), COVEY_OK);
    status = exited(f, 2);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

static void test_clean_start(void **state)
{
    struct fixture *f = *state;
    char text[512];
    int extra = open("/dev/null", O_RDONLY);    /* not close-on-exec */
    /* ls itself has one more open: the directory that it lists. */
    assert_int_equal(spawn(f, 1, 0, "ls /proc/self/fd; readlink /proc/self/fd/0;"
                                    "grep -E 'Sig(Blk|Ign)' /proc/self/status"), COVEY_OK);
    spawned(f, 1);
    exited(f, 1);
    read_all(f->out, text, sizeof text, DEADLINE_MS);
    assert_string_equal(text, "0\n1\n2\n3\n4\n/dev/null\n"
                              "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    close(extra);
}

static void test_exec_failure(void **state)
{
    struct fixture *f = *state;
    if (VFORK_IS_FORK)
        skip();
    struct keeper_spawn s = {.id = 9, .path = "/nonexistent/program", .argv = span_of("x", 2),
                             .out_fd = f->out[1], .err_fd = f->err[1], .control_fd = f->control[1]};
    assert_int_equal(keeper_spawn(f->keeper, &s), COVEY_OK);
    struct keeper_event event = next(f->keeper);
    assert_int_equal(event.kind, KEEPER_SPAWN_FAILED);
    assert_int_equal(event.id, 9);
    assert_string_equal(event.why, "/nonexistent/program: No such file or directory");

    s.path = "/bin/sh";
    s.cwd = "/nonexistent";
    assert_int_equal(keeper_spawn(f->keeper, &s), COVEY_OK);
    event = next(f->keeper);
    assert_int_equal(event.kind, KEEPER_SPAWN_FAILED);
    assert_string_equal(event.why, "/nonexistent: No such file or directory");

    s.cwd = NULL;
    char *huge = malloc(KEEPER_STRINGS_MAX);
    memset(huge, 'x', KEEPER_STRINGS_MAX);
    s.argv = span_of(huge, KEEPER_STRINGS_MAX);
    assert_int_equal(keeper_spawn(f->keeper, &s), COVEY_ETOOBIG);
    free(huge);
}

/* A worker's descendant that left session and parent goes with the worker. */
static void test_strays_end_with_their_worker(void **state)
{
    struct fixture *f = *state;
    char text[64];
    assert_int_equal(spawn(f, 1, 8, "exec sleep 1000"), COVEY_OK);
    spawned(f, 1);
    close(f->err[1]);   /* the sleeper has it alone, besides those below */
    f->err[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_int_equal(spawn(f, 2, 7, "(setsid sh -c 'sleep 1000; true' &) ; exit 0"), COVEY_OK);
    spawned(f, 2);
    assert_int_equal(exited(f, 2), 0);
    /* Worker 8 has standard output as well: end it only after it was seen that
     * it lives, which is when its exit is by the signal sent now. */
    assert_int_equal(keeper_kill(f->keeper, 1, SIGTERM), COVEY_OK);
    int status = exited(f, 1);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    read_all(f->out, text, sizeof text, GONE_MS);
}

/* What the node says about workers that a zygote forked. */
static void test_sweep(void **state)
{
    struct fixture *f = *state;
    char text[64];
    assert_int_equal(spawn(f, 1, 0,
        "P=${COVEY_PROC%.*}; COVEY_PROC=$P.0000000042 setsid sh -c 'echo up; sleep 1000' & "
        "wait; echo swept; exec sleep 1000"), COVEY_OK);
    spawned(f, 1);
    read_line(f->out[0], text, sizeof text);
    assert_string_equal(text, "up\n");
    assert_int_equal(keeper_sweep(f->keeper, 42, 0), COVEY_OK);
    read_line(f->out[0], text, sizeof text);
    assert_string_equal(text, "swept\n");
}

static void touch(const char *dir, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static bool is_there(const char *dir, const char *name)
{
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0;
}

static void test_end_takes_all(void **state)
{
    struct fixture *f = *state;
    char text[64];
    static const char *const ours[] = {"1.0", "1.7", "door", "node.pid"};
    static const char *const others[] = {"0.0", "11.2", "2.1", "lock"};
    for (size_t i = 0; i < 4; i++) {
        touch(f->dir, ours[i]);
        touch(f->dir, others[i]);
    }
    /* No marker, no session, no parent, deaf to signals: descent remains. */
    assert_int_equal(spawn(f, 1, 3,
        "(env -i setsid sh -c 'trap \"\" TERM HUP INT; echo up; sleep 1000; sleep 1000' &);"
        "exec sleep 1000"), COVEY_OK);
    spawned(f, 1);
    read_line(f->out[0], text, sizeof text);
    assert_true(keeper_close(&f->keeper, GONE_MS));
    assert_int_equal(read_all(f->out, text, sizeof text, 0), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_false(is_there(f->dir, ours[i]));
        assert_true(is_there(f->dir, others[i]));
    }
}

/* The same when the node has no time to say anything. */
static void test_killed_node(void **state)
{
    struct fixture *f = *state;
    char text[64];
    pid_t node = fork();
    if (node == 0) {
        struct keeper *own;
        if (keeper_start(&own, f->dir, 2, -1) != COVEY_OK)
            _exit(1);
        keeper_close(&f->keeper, 0);    /* this copy of the other keeper's socket */
        f->keeper = own;
        if (spawn(f, 1, 3, "(setsid sh -c 'echo up; sleep 1000; true' &) ; exec sleep 1000") != COVEY_OK)
            _exit(1);
        for (;;)
            pause();
    }
    close(f->err[1]);
    f->err[1] = -1;
    read_line(f->out[0], text, sizeof text);
    assert_string_equal(text, "up\n");
    kill(node, SIGKILL);
    assert_int_equal(waitpid(node, NULL, 0), node);
    read_all(f->out, text, sizeof text, GONE_MS);
}

static void test_killed_keeper(void **state)
{
    struct fixture *f = *state;
    struct keeper_event event;
    char text[64];
    assert_int_equal(spawn(f, 1, 0, "echo up; exec sleep 1000"), COVEY_OK);
    spawned(f, 1);
    kill(keeper_pid(f->keeper), SIGKILL);
    struct pollfd p = {.fd = keeper_fd(f->keeper), .events = POLLIN};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    assert_int_equal(keeper_next(f->keeper, &event), COVEY_ECLOSED);
    assert_int_equal(keeper_kill(f->keeper, 1, SIGTERM), COVEY_ECLOSED);
    read_all(f->out, text, sizeof text, GONE_MS);   /* by the parent-death signal */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_output_and_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clean_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exec_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strays_end_with_their_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_takes_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_keeper, setup, teardown),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("keeper", tests, NULL, NULL);
}
