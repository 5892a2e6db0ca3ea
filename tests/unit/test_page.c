/* test_page.c - what a worker has printed is counted exactly, whoever reads the
 * pipes meanwhile; the node sees which task runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/mono.h"
#include "io/page.h"

static const struct addr OWNER = {1, 7, 0, 0};

struct fixture {
    struct page *page;
    struct page_user user;
    int out[2], err[2];
    int saved[2];
};

/* The worker's side counts what stands in descriptors 1 and 2. */
static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int fd;
    fflush(stdout);
    assert_int_equal(pipe2(f->out, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(f->err, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(page_new(&f->page, &fd), COVEY_OK);
    for (int i = 0; i < 2; i++)
        f->saved[i] = dup(STDOUT_FILENO + i);
    dup2(f->out[1], STDOUT_FILENO);
    dup2(f->err[1], STDERR_FILENO);
    page_user_open(&f->user, fd);
    for (int i = 0; i < 2; i++) {
        dup2(f->saved[i], STDOUT_FILENO + i);
        close(f->saved[i]);
    }
    assert_non_null(f->user.page);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int fds[] = {f->out[0], f->out[1], f->err[0], f->err[1], f->user.streams[0], f->user.streams[1]};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
    page_free(&f->page);
    page_free(&f->user.page);
    free(f);
    return 0;
}

static uint64_t node_reads(struct fixture *f, int fd, bool is_error, uint64_t taken)
{
    char room[4096];
    page_read_begin(f->page, is_error);
    ssize_t n = read(fd, room, sizeof room);
    taken += n > 0 ? (uint64_t)n : 0;
    page_read_end(f->page, is_error, taken);
    return taken;
}

static void test_count(void **state)
{
    struct fixture *f = *state;
    page_count(&f->user);
    assert_int_equal(f->user.printed[0], 0);
    assert_int_equal(write(f->out[1], "hello\n", 6), 6);
    assert_int_equal(write(f->err[1], "no\n", 3), 3);
    page_count(&f->user);
    assert_int_equal(f->user.printed[0], 6);
    assert_int_equal(f->user.printed[1], 3);
    node_reads(f, f->out[0], false, 0);
    page_count(&f->user);
    assert_int_equal(f->user.printed[0], 6);    /* the same, read or not */
    assert_int_equal(write(f->out[1], "x", 1), 1);
    page_count(&f->user);
    assert_int_equal(f->user.printed[0], 7);
    assert_int_equal(f->user.printed[1], 3);
}

static void test_task(void **state)
{
    struct fixture *f = *state;
    struct page_task task;
    assert_false(page_running(f->page, &task));
    assert_int_equal(write(f->err[1], "before", 6), 6);
    page_count(&f->user);
    page_run(&f->user, OWNER, 99, 2);
    assert_true(page_running(f->page, &task));
    assert_true(addr_eq(task.owner, OWNER));
    assert_int_equal(task.seq, 99);
    assert_int_equal(task.attempt, 2);
    assert_int_equal(task.out_begin, 0);
    assert_int_equal(task.err_begin, 6);
    page_run(&f->user, OWNER, 0, 0);
    assert_false(page_running(f->page, &task));
}

/* Without a page, all of it does nothing. */
static void test_no_page(void **state)
{
    (void)state;
    struct page_user user;
    page_user_open(&user, -1);
    page_run(&user, OWNER, 1, 1);
    page_count(&user);
    assert_null(user.page);
    assert_int_equal(user.printed[0], 0);
}

#define RACE_BYTES 200000u

static void *read_all(void *arg)
{
    struct fixture *f = arg;
    struct pollfd p = {.fd = f->out[0], .events = POLLIN};
    for (uint64_t taken = 0; taken < RACE_BYTES;)
        if (poll(&p, 1, -1) == 1)
            taken = node_reads(f, f->out[0], false, taken);
    return NULL;
}

/* Whatever the reader is about to do, the count is what was written. */
static void test_count_while_read(void **state)
{
    struct fixture *f = *state;
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_all, f), 0);
    uint64_t wrong = 0;
    for (uint64_t sent = 0; sent < RACE_BYTES;) {
        ssize_t n = write(f->out[1], "abcdefgh", sent % 8 + 1 < RACE_BYTES - sent ? sent % 8 + 1 : 1);
        sent += n > 0 ? (uint64_t)n : 0;
        page_count(&f->user);
        /* The reader may be off its CPU for all the looks: then it is less. */
        assert_true(f->user.printed[0] <= sent);
        wrong += f->user.printed[0] != sent;
    }
    assert_int_equal(pthread_join(reader, NULL), 0);
    page_count(&f->user);
    assert_int_equal(f->user.printed[0], RACE_BYTES);
    assert_true(wrong < RACE_BYTES / 1000);
}

/* A task that was over sooner is not asked for what it printed. */
static void test_no_write_is_quiet(void **state)
{
    struct fixture *f = *state;
    char c;
    assert_true(f->user.quiet_ns > 0);
    for (int i = 0; i < 20000; i++) {
        int64_t begin = mono_ns();
        assert_int_equal(write(f->out[1], "x", 1), 1);
        assert_true(mono_ns() - begin >= f->user.quiet_ns);
        assert_int_equal(read(f->out[0], &c, 1), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_count, setup, teardown),
        cmocka_unit_test_setup_teardown(test_task, setup, teardown),
        cmocka_unit_test(test_no_page),
        cmocka_unit_test_setup_teardown(test_count_while_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_write_is_quiet, setup, teardown),
    };
    return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
