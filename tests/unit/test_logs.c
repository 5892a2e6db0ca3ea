/* test_logs.c - lines reach file, owner and tail whole; floods are bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/logs.h"

struct fixture {
    char dir[64];
    struct logs *logs;
    struct log *log;
    int pipe[2];
    struct buf heard;       /* what the owner got */
    uint64_t dropped;
    uint32_t errors;
    int64_t now;
};

static bool on_lines(void *io, uint32_t proc, bool is_error, uint64_t dropped, struct span text)
{
    struct fixture *f = io;
    assert_int_equal(proc, 3);
    assert_true(text.len > 0 && text.data[text.len - 1] == '\n');
    buf_append(&f->heard, text.data, text.len);
    f->dropped += dropped;
    f->errors += is_error;
    return true;
}

static const struct logs_ops OPS = {.lines = on_lines};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/covey-logs-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    buf_init(&f->heard);
    f->now = 100 * SECOND_NS;
    assert_int_equal(logs_open(&f->logs, f->dir, &OPS, f), COVEY_OK);
    assert_int_equal(log_open(&f->log, f->logs, 3), COVEY_OK);
    assert_int_equal(pipe2(f->pipe, O_NONBLOCK | O_CLOEXEC), 0);
    assert_true(fcntl(f->pipe[1], F_SETPIPE_SZ, 1 << 20) >= 1 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    log_close(&f->log);
    logs_close(&f->logs);
    buf_fini(&f->heard);
    close(f->pipe[0]);
    if (f->pipe[1] >= 0)
        close(f->pipe[1]);
    snprintf(command, sizeof command, "rm -r %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static void print(struct fixture *f, bool is_error, const char *text, size_t len)
{
    assert_int_equal(write(f->pipe[1], text, len), (ssize_t)len);
    while (log_read(f->log, f->pipe[0], is_error, f->now) == LOG_MORE)
        ;
}

static void heard_is(struct fixture *f, const char *text)
{
    assert_int_equal(f->heard.len, strlen(text));
    assert_memory_equal(f->heard.data, text, f->heard.len);
}

static char *file_text(struct fixture *f, const char *name, size_t *len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/logs/%s", f->dir, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = malloc(LOG_BYTES_MAX + 1);
    *len = fread(text, 1, LOG_BYTES_MAX + 1, file);
    fclose(file);
    return text;
}

static void test_whole_lines(void **state)
{
    struct fixture *f = *state;
    print(f, false, "one\ntw", 6);
    heard_is(f, "one\n");
    print(f, true, "error\n", 6);
    print(f, false, "o\nthr", 5);
    heard_is(f, "one\nerror\ntwo\n");
    assert_int_equal(f->errors, 1);
    log_finish(f->log, f->now);
    heard_is(f, "one\nerror\ntwo\nthr\n");
    size_t len;
    char *text = file_text(f, "worker-3.log", &len);
    assert_int_equal(len, f->heard.len);
    assert_memory_equal(text, f->heard.data, len);
    free(text);
}

static void test_end_of_pipe(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(log_read(f->log, f->pipe[0], false, f->now), LOG_EMPTY);
    close(f->pipe[1]);
    f->pipe[1] = -1;
    assert_int_equal(log_read(f->log, f->pipe[0], false, f->now), LOG_END);
}

static void test_binary(void **state)
{
    struct fixture *f = *state;
    print(f, false, "a\0b\xff\n\0\n", 7);
    heard_is(f, "a b\xff\n \n");
}

static void test_long_line_is_broken(void **state)
{
    struct fixture *f = *state;
    size_t len = 3 * LOG_LINE_MAX;
    char *line = malloc(len);
    memset(line, 'x', len);
    print(f, false, line, len);
    assert_true(f->heard.len > len);        /* newlines were added */
    size_t x = 0;
    for (size_t i = 0; i < f->heard.len; i++)
        x += f->heard.data[i] == 'x';
    assert_int_equal(x, len);
    /* Short of a line's length, byte by byte, nothing is said ... */
    buf_reset(&f->heard);
    for (size_t i = 0; i < LOG_LINE_MAX - 1; i++)
        print(f, false, "y", 1);
    assert_int_equal(f->heard.len, 0);
    print(f, false, "y", 1);                /* ... and then it is enough. */
    assert_int_equal(f->heard.len, LOG_LINE_MAX + 1);
    free(line);
}

static void test_tail(void **state)
{
    struct fixture *f = *state;
    char text[4096], line[400];
    log_tail(f->log, text, sizeof text);
    assert_string_equal(text, "");
    print(f, false, "first\nsecond\n", 13);
    log_tail(f->log, text, sizeof text);
    assert_string_equal(text, "; last lines:\n  first\n  second");
    for (int i = 0; i < 20; i++) {
        snprintf(line, sizeof line, "line %d\n", i);
        print(f, i % 2, line, strlen(line));
    }
    log_tail(f->log, text, sizeof text);
    assert_non_null(strstr(text, "last lines:\n  line 12\n"));
    assert_null(strstr(text, "line 11"));
    assert_string_equal(text + strlen(text) - 7, "line 19");
    memset(line, 'z', sizeof line - 1);
    line[sizeof line - 1] = '\n';
    print(f, false, line, sizeof line);
    log_tail(f->log, text, sizeof text);
    assert_int_equal(strspn(strchr(text, 'z'), "z"), LOG_TAIL_LINE_MAX - 1);
    char tiny[10];
    log_tail(f->log, tiny, sizeof tiny);
    assert_string_equal(tiny, "; last li");
}

/* Everything is taken, at once, and neither file nor owner gets more than the
 * rates; what was left out is said and adds up. */
static void test_flood(void **state)
{
    struct fixture *f = *state;
    enum { CHUNK = 64 * 1024 };
    char *chunk = malloc(CHUNK);
    for (int i = 0; i < CHUNK; i++)
        chunk[i] = i % 64 == 63 ? '\n' : 'f';
    uint64_t sent = 0;
    for (; sent < UINT64_C(64) << 20; sent += CHUNK)
        print(f, false, chunk, CHUNK);
    assert_true(f->heard.len <= LOG_OWNER_BURST);
    assert_true(f->heard.len >= LOG_OWNER_BURST / 2);
    uint64_t heard = f->heard.len;
    f->now += 1 * SECOND_NS;
    print(f, false, "after\n", 6);
    assert_int_equal(f->dropped, sent - heard);

    size_t len;
    char *text = file_text(f, "worker-3.log", &len);
    assert_true(len <= LOG_BYTES_MAX);
    text[len < LOG_BYTES_MAX ? len : LOG_BYTES_MAX] = '\0';
    assert_non_null(strstr(text, "bytes left out: printed too fast]\nafter\n"));
    free(text);
    free(chunk);
}

static void test_rotation(void **state)
{
    struct fixture *f = *state;
    enum { CHUNK = 512 * 1024 };
    char *chunk = malloc(CHUNK);
    memset(chunk, 'r', CHUNK);
    chunk[CHUNK - 1] = '\n';
    for (uint64_t sent = 0; sent < 5 * (uint64_t)LOG_BYTES_MAX / 2; sent += CHUNK) {
        f->now += 1 * SECOND_NS;
        print(f, false, chunk, CHUNK);
    }
    size_t len;
    free(file_text(f, "worker-3.log", &len));
    assert_true(len > 0 && len <= LOG_BYTES_MAX);
    free(file_text(f, "worker-3.log.1", &len));
    assert_true(len > LOG_BYTES_MAX / 2 && len <= LOG_BYTES_MAX);
    free(chunk);
}

static void query_is(struct fixture *f, uint32_t limit, const char *text, size_t len, uint64_t left)
{
    struct buf cells;
    uint64_t left_out;
    buf_init(&cells);
    assert_int_equal(logs_query(f->logs, 3, limit, &cells, &left_out), COVEY_OK);
    assert_int_equal(cells.len, len);
    assert_memory_equal(cells.data, text, len);
    assert_int_equal(left_out, left);
    buf_fini(&cells);
}

static void test_query(void **state)
{
    struct fixture *f = *state;
    struct buf cells;
    uint64_t left_out;
    buf_init(&cells);
    assert_int_equal(logs_query(f->logs, 3, 0, &cells, &left_out), COVEY_EUNKNOWN);
    print(f, false, "a\nbb\n\nccc\n", 10);
    query_is(f, 0, "a\0bb\0\0ccc", 10, 0);
    query_is(f, 2, "\0ccc", 5, 2);
    query_is(f, 4, "a\0bb\0\0ccc", 10, 0);
    log_close(&f->log);
    query_is(f, 1, "ccc", 4, 3);    /* of the dead, too */
    assert_int_equal(logs_query(f->logs, 4, 0, &cells, &left_out), COVEY_EUNKNOWN);
    buf_fini(&cells);
}

/* @text: each line with its position, '|' for the NUL behind. */
static void task_is(struct fixture *f, struct printed printed, uint64_t after, uint32_t limit, const char *text)
{
    struct buf cells;
    uint64_t left_out;
    buf_init(&cells);
    assert_int_equal(logs_query_task(f->logs, 3, &printed, after, limit, &cells, &left_out), COVEY_OK);
    for (size_t i = 0; i < cells.len; i++)
        if (cells.data[i] == 0)
            cells.data[i] = '|';
    buf_append(&cells, "", 1);
    assert_string_equal((const char *)cells.data, text);
    buf_fini(&cells);
}

static void test_task(void **state)
{
    struct fixture *f = *state;
    struct buf cells;
    uint64_t left_out;
    print(f, false, "a one\n", 6);
    print(f, true, "a bad\n", 6);
    print(f, false, "a two\nb one\nb tw", 16);
    print(f, true, "b bad\n", 6);
    print(f, false, "o\nc", 3);
    struct printed a = {0, 12, 0, 6}, b = {12, 24, 6, 12}, c = {24, 25, 12, 12}, nothing = {12, 12, 6, 6};
    for (int dead = 0; dead < 2; dead++) {
        task_is(f, a, 0, 0, "6 a one|12 a bad|18 a two|");
        task_is(f, a, 0, 2, "12 a bad|18 a two|");
        task_is(f, a, 6, 0, "12 a bad|18 a two|");
        task_is(f, a, 18, 0, "");
        task_is(f, b, 0, 0, "24 b one|30 b bad|36 b two|");
        task_is(f, c, 0, 0, "37 c|");         /* alive: not in the file yet */
        task_is(f, nothing, 0, 0, "");
        /* One that runs, or died: all from there on, whole lines while it runs. */
        c.out_end = c.err_end = UINT64_MAX;
        task_is(f, c, 0, 0, dead ? "37 c|" : "");
        c.out_end = 25;
        if (!dead)
            log_finish(f->log, f->now);
        log_close(&f->log);
    }
    buf_init(&cells);
    assert_int_equal(logs_query_task(f->logs, 4, &a, 0, 0, &cells, &left_out), COVEY_EUNKNOWN);
    buf_fini(&cells);
}

/* Lines that were broken here, text that was dropped, files put aside: a task's
 * bytes are still its own. */
static void test_task_over_files(void **state)
{
    struct fixture *f = *state;
    enum { CHUNK = 64 * 1024 };
    char *chunk = malloc(CHUNK);
    struct buf cells;
    uint64_t left_out, sent = 0;
    memset(chunk, 'r', CHUNK);
    while (sent < 3 * (uint64_t)LOG_BYTES_MAX) {
        f->now += 1 * SECOND_NS;
        print(f, false, chunk, CHUNK - 1);      /* no newline: broken */
        print(f, true, "error\n", 6);
        print(f, false, "\n", 1);
        sent += CHUNK;
    }
    print(f, false, "mine\n", 5);
    print(f, false, "theirs\n", 7);
    struct printed mine = {sent, sent + 5, 0, 0}, before = {sent - CHUNK, sent, 0, 0}, first = {0, CHUNK, 0, 0};
    buf_init(&cells);
    assert_int_equal(logs_query_task(f->logs, 3, &mine, 0, 0, &cells, &left_out), COVEY_OK);
    assert_string_equal(strchr((const char *)cells.data, ' '), " mine");
    assert_int_equal(strlen((const char *)cells.data) + 1, cells.len);
    buf_reset(&cells);
    assert_int_equal(logs_query_task(f->logs, 3, &before, 0, 0, &cells, &left_out), COVEY_OK);
    size_t r = 0;
    for (size_t i = 0; i < cells.len; i++)
        r += cells.data[i] == 'r';
    assert_int_equal(r, CHUNK - 1);
    assert_null(memchr(cells.data, 'o', cells.len));
    buf_reset(&cells);
    assert_int_equal(logs_query_task(f->logs, 3, &first, 0, 0, &cells, &left_out), COVEY_OK);
    assert_int_equal(cells.len, 0);             /* its file is gone */
    buf_fini(&cells);
    free(chunk);
}

static void test_task_that_runs_is_found(void **state)
{
    struct fixture *f = *state;
    struct page_user user;
    struct printed printed;
    uint32_t worker;
    uint64_t number = 5;
    page_user_open(&user, log_take_page(f->log));
    assert_int_equal(log_take_page(f->log), -1);
    print(f, false, "x\n", 2);
    assert_false(logs_find_running(f->logs, 9, number, &worker, &printed));
    user.printed[0] = 2;
    page_run(&user, (struct addr){1, 9, 0, 0}, number << 28 | 3, 1);
    assert_true(logs_find_running(f->logs, 9, number, &worker, &printed));
    assert_int_equal(worker, 3);
    assert_int_equal(printed.out_begin, 2);
    assert_false(logs_find_running(f->logs, 8, number, &worker, &printed));
    log_close(&f->log);                 /* it died of it */
    assert_true(logs_find_running(f->logs, 9, number, &worker, &printed));
    page_free(&user.page);
    close(user.streams[0]);
    close(user.streams[1]);
}

static void test_old_logs_are_kept_once(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct stat st;
    print(f, false, "before\n", 7);
    for (int run = 0; run < 2; run++) {
        log_close(&f->log);
        logs_close(&f->logs);
        assert_int_equal(logs_open(&f->logs, f->dir, &OPS, f), COVEY_OK);
        assert_int_equal(log_open(&f->log, f->logs, 3), COVEY_OK);
        snprintf(path, sizeof path, "%s/logs/previous/worker-3.log", f->dir);
        assert_int_equal(stat(path, &st), run == 0 ? 0 : -1);
    }
}

static void test_files_are_bounded(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct stat st;
    print(f, false, "x\n", 2);
    for (uint32_t i = 0; i < LOG_FILES_MAX; i++) {
        log_close(&f->log);
        assert_int_equal(log_open(&f->log, f->logs, 3), COVEY_OK);
        /* The owner's check is for worker 3; its own file is opened again. */
        print(f, false, "x\n", 2);
        snprintf(path, sizeof path, "%s/logs/worker-3.log", f->dir);
        assert_int_equal(stat(path, &st), 0);
    }
    log_close(&f->log);     /* the ring has gone round: the oldest entry goes */
    assert_int_equal(stat(path, &st), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_pipe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_binary, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_line_is_broken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_query, setup, teardown),
        cmocka_unit_test_setup_teardown(test_task, setup, teardown),
        cmocka_unit_test_setup_teardown(test_task_over_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_task_that_runs_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_logs_are_kept_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests_name("logs", tests, NULL, NULL);
}
