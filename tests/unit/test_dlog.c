/* test_dlog.c - levels, lines, and what is too long. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/dlog.h"

static int saved = -1, file = -1;
static char text[8192];

/* Standard error goes to a file from here to said(). */
static void listen_to(const char *level)
{
    if (level)
        setenv("COVEY_LOG", level, 1);
    else
        unsetenv("COVEY_LOG");
    FILE *f = tmpfile();
    assert_non_null(f);
    file = dup(fileno(f));
    fclose(f);
    saved = dup(STDERR_FILENO);
    assert_true(dup2(file, STDERR_FILENO) >= 0);
    dlog_open("node");
}

static const char *said(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    close(file);
    assert_true(n >= 0);
    text[n] = 0;
    return text;
}

static void each_level_has_those_above(void **state)
{
    (void)state;
    static const struct { const char *level, *last; int lines; } cases[] = {
        {"error", "one", 1}, {"warn", "two", 2}, {"info", "three", 3}, {"debug", "four", 4}, {NULL, "three", 3}, {"", "three", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        listen_to(cases[i].level);
        dlog_error("one");
        dlog_warn("two");
        dlog_info("three");
        dlog_debug("four");
        const char *all = said();
        int lines = 0;
        for (const char *at = all; (at = strchr(at, '\n')); at++)
            lines++;
        assert_int_equal(lines, cases[i].lines);
        assert_non_null(strstr(all, cases[i].last));
    }
}

static void a_line_has_time_level_and_name(void **state)
{
    (void)state;
    int year, month, day, hour, minute, second, ms, used = 0;
    listen_to(NULL);
    dlog_warn("the disk is %d%% full", 99);
    const char *line = said();
    assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute, &second, &ms,
                            &used), 7);
    assert_string_equal(line + used, " warn  covey node: the disk is 99% full\n");
}

static void a_long_line_is_cut(void **state)
{
    (void)state;
    static char longer[3 * DLOG_LINE_MAX];
    memset(longer, 'x', sizeof longer - 1);
    listen_to(NULL);
    dlog_info("%s", longer);
    dlog_info("ne\nxt");
    const char *all = said();
    assert_int_equal(strchr(all, '\n') - all, DLOG_LINE_MAX - 1);
    assert_non_null(strstr(all, "xx\n"));
    assert_non_null(strstr(all, ": ne xt\n"));
}

static void another_level_is_told(void **state)
{
    (void)state;
    listen_to("loud");
    dlog_debug("not this");
    const char *all = said();
    assert_non_null(strstr(all, "COVEY_LOG=loud is none of error, warn, info, debug"));
    assert_null(strstr(all, "not this"));
}

static void a_file_stays_small(void **state)
{
    (void)state;
    struct stat st;
    char words[900];
    memset(words, 'x', sizeof words - 1);
    words[sizeof words - 1] = 0;
    listen_to(NULL);
    assert_int_equal(fcntl(file, F_SETFL, O_APPEND), 0);
    for (int i = 0; i < 2 * DLOG_FILE_MAX / 900; i++)
        dlog_warn("%s", words);
    assert_int_equal(fstat(file, &st), 0);
    assert_true(st.st_size <= DLOG_FILE_MAX + DLOG_LINE_MAX);
    assert_non_null(strstr(said(), "earlier lines are gone"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_level_has_those_above),
        cmocka_unit_test(a_line_has_time_level_and_name),
        cmocka_unit_test(a_long_line_is_cut),
        cmocka_unit_test(another_level_is_told),
        cmocka_unit_test(a_file_stays_small),
    };
    return cmocka_run_group_tests_name("dlog", tests, NULL, NULL);
}
