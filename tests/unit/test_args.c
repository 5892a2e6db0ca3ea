/* test_args.c - sizes, numbers, options and suggestions of the command line. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "args.h"
#include "base/nearest.h"

#define KIB UINT64_C(1024)

static void sizes_are_read_exactly(void **state)
{
    static const struct { const char *text; uint64_t bytes; } good[] = {
        {"0", 0}, {"4096", 4096}, {"7B", 7}, {"1K", KIB}, {"1k", KIB}, {"1KiB", KIB},
        {"1kb", 1000}, {"1KB", 1000}, {"512M", 512 * KIB * KIB}, {"4GiB", 4 * KIB * KIB * KIB},
        {"1.5G", 1536 * KIB * KIB}, {"0.5K", 512}, {"2T", 2 * KIB * KIB * KIB * KIB},
        {"2TB", UINT64_C(2000000000000)}, {"0.1K", 102}, {"1.50MiB", 1536 * KIB},
        {"9223372036854775807", INT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t bytes = 1;
        if (!args_size(good[i].text, &bytes) || bytes != good[i].bytes)
            fail_msg("%s is %llu", good[i].text, (unsigned long long)bytes);
    }
}

static void what_is_no_size_is_refused(void **state)
{
    static const char *const bad[] = {
        "", " ", "M", "-1", "+1", "1 M", " 1M", "1M ", "1.", ".5G", "1.5", "1.5B", "1..5G", "1e9",
        "0x10", "nan", "inf", "1Q", "1MM", "1MiBs", "1iB", "1Mi", "12,5M", "9223372036854775808",
        "18446744073709551616", "8388608T", "9999999999999.5T", "1\xc2\xa0M",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t bytes = 77;
        if (args_size(bad[i], &bytes))
            fail_msg("'%s' was taken as %llu", bad[i], (unsigned long long)bytes);
        assert_int_equal(bytes, 77);
    }
}

static void numbers_are_plain_decimals(void **state)
{
    static const char *const bad[] = {"", "-1", "nan", "inf", "1e3", "0x4", "1.", ".5", "1 ", "2x"};
    double x;
    uint64_t u;
    (void)state;
    assert_true(args_number("0.25", &x) && x == 0.25);
    assert_true(args_number("16", &x) && x == 16);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(args_number(bad[i], &x));
    assert_true(args_uint("18446744073709551615", &u) && u == UINT64_MAX);
    assert_false(args_uint("18446744073709551616", &u));
    assert_false(args_uint("1.0", &u));
    assert_false(args_uint("", &u));
}

static void sizes_are_shown_short(void **state)
{
    char out[32];
    (void)state;
    assert_string_equal(args_format_size(out, sizeof out, 0), "0 B");
    assert_string_equal(args_format_size(out, sizeof out, 1023), "1023 B");
    assert_string_equal(args_format_size(out, sizeof out, 1536), "1.5 KiB");
    assert_string_equal(args_format_size(out, sizeof out, 512 * KIB * KIB), "512 MiB");
    assert_string_equal(args_format_size(out, sizeof out, UINT64_MAX), "16.0 EiB");
}

static void the_nearest_word_is_close(void **state)
{
    static const char *const words[] = {"start", "status", "stop", "run", "list", "logs", NULL};
    (void)state;
    assert_string_equal(nearest_word("strat", words), "start");
    assert_string_equal(nearest_word("satus", words), "status");
    assert_string_equal(nearest_word("lsit", words), "list");
    assert_string_equal(nearest_word("log", words), "logs");
    assert_null(nearest_word("", words));
    assert_null(nearest_word("xyzzy", words));
    assert_null(nearest_word("q", words));
    assert_null(nearest_word("a-word-that-is-far-too-long-to-be-any-of-these", words));
}

struct parsed {
    bool json;
    unsigned verbose;
    const char *name;
    uint64_t limit, store, given;
    double cpus;
    char why[256];
};

/* The words that are left, or -1; @line is split at blanks. */
static int parse(struct parsed *p, enum args_order order, const char *line, char **argv)
{
    static char words[256];
    int argc = 0;
    memset(p, 0, sizeof *p);
    strcpy(words, line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &p->json, NULL, ""},
        {"verbose", 'v', ARG_COUNT, &p->verbose, NULL, ""},
        {"name", 'n', ARG_TEXT, &p->name, "NAME", ""},
        {"limit", 0, ARG_UINT, &p->limit, "N", ""},
        {"store", 0, ARG_SIZE, &p->store, "SIZE", ""},
        {"cpus", 'c', ARG_NUMBER, &p->cpus, "N", ""},
        {0},
    };
    return args_parse(options, order, argc, argv, &p->given, p->why, sizeof p->why);
}

static void options_may_stand_anywhere(void **state)
{
    struct parsed p;
    char *argv[16];
    (void)state;
    assert_int_equal(parse(&p, ARGS_MIXED, "--json a --limit=7 -vv b -n x --store 1M -c2.5", argv), 2);
    assert_string_equal(argv[0], "a");
    assert_string_equal(argv[1], "b");
    assert_true(p.json);
    assert_int_equal(p.verbose, 2);
    assert_string_equal(p.name, "x");
    assert_int_equal(p.limit, 7);
    assert_int_equal(p.store, KIB * KIB);
    assert_true(p.cpus == 2.5);
    assert_int_equal(p.given, 63);
    assert_int_equal(parse(&p, ARGS_MIXED, "a --limit 0 -v", argv), 1);
    assert_int_equal(p.given, 2 | 8);
}

static void words_of_another_program_are_left_alone(void **state)
{
    struct parsed p;
    char *argv[16];
    (void)state;
    assert_int_equal(parse(&p, ARGS_PREFIX, "--json prog --limit 7 -- -x", argv), 5);
    assert_string_equal(argv[1], "--limit");
    assert_string_equal(argv[3], "--");
    assert_int_equal(p.limit, 0);
    assert_int_equal(parse(&p, ARGS_MIXED, "-- --json -", argv), 2);
    assert_false(p.json);
    assert_int_equal(parse(&p, ARGS_PREFIX, "-v -- -prog a", argv), 2);
    assert_string_equal(argv[0], "-prog");
}

static void errors_name_the_option(void **state)
{
    static const struct { const char *line, *why; } bad[] = {
        {"--jsn", "unknown option '--jsn'; did you mean --json?"},
        {"--frobnicate", "unknown option '--frobnicate'"},
        {"--limt=3", "unknown option '--limt'; did you mean --limit?"},
        {"-x", "unknown option '-x'"},
        {"-vx", "unknown option '-vx'"},
        {"--json=1", "--json takes no value"},
        {"--limit", "--limit needs a value: a whole number such as 4"},
        {"--limit -1", "--limit: '-1' is not a whole number such as 4"},
        {"--store 12Q", "--store: '12Q' is not a size such as 512M, 1.5GiB or 4096"},
        {"--cpus nan", "--cpus: 'nan' is not a number such as 2 or 0.5"},
        {"-c", "-c needs a value: a number such as 2 or 0.5"},
        {"--name=", "--name: '' is not a word"},
    };
    struct parsed p;
    char *argv[16];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(&p, ARGS_MIXED, bad[i].line, argv), -1);
        assert_string_equal(p.why, bad[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read_exactly),
        cmocka_unit_test(what_is_no_size_is_refused),
        cmocka_unit_test(numbers_are_plain_decimals),
        cmocka_unit_test(sizes_are_shown_short),
        cmocka_unit_test(the_nearest_word_is_close),
        cmocka_unit_test(options_may_stand_anywhere),
        cmocka_unit_test(words_of_another_program_are_left_alone),
        cmocka_unit_test(errors_name_the_option),
    };
    return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
