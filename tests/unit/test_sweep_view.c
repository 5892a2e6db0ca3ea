/* test_sweep_view.c - the live table without a terminal: what it shows at every size,
 * what is written to change it, and the keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "../../tools/sweep_keys.h"
#include "../../tools/sweep_screen.h"
#include "../../tools/sweep_view.h"

/* ---- the table ---------------------------------------------------------------------- */

static struct view a_view(void)
{
    struct view v = {
        .metric = "loss", .has_best = true, .best = 0.25, .best_step = 9, .best_trial = 12,
        .best_params = "lr = 0.01\nwidth = 64\n", .running = 3, .complete = 4, .stopped = 5, .failed = 1,
        .paused = 2, .cap = 64, .trial_count = 3, .rung_count = 2, .trials_per_min = 12.34,
        .reports_per_min = 1200, .elapsed_ms = 65000, .left_ms = 600000, .keys = "q quit",
    };
    for (uint32_t i = 0; i < 3; i++)
        v.trials[i] = (struct view_trial){.number = 20 + i, .step = i, .until = 9, .value = i ? 0.5 : NAN,
                                          .elapsed_ms = 5000, .ending = i == 2};
    v.rungs[0] = (struct scheduler_rung){.step = 1, .reached = 10, .passed = 4};
    v.rungs[1] = (struct scheduler_rung){.index = 1, .step = 3, .reached = 4, .passed = 1, .planned = 27};
    return v;
}

static void test_table(void **state)
{
    (void)state;
    struct text out = TEXT_NONE;
    struct view v = a_view();
    view_format(&v, 79, 24, &out);
    assert_string_equal(text_get(&out),
                        "best: loss 0.25 at step 9, trial 12\n"
                        "lr = 0.01  width = 64\n"
                        "3 running  4 complete  5 stopped  1 failed  2 paused  of 64\n"
                        "left 10 min  elapsed 65 s  12 trials/min  1200 reports/min\n"
                        " TRIAL       STEP         loss  ELAPSED\n"
                        "    20        0/9            -      5 s\n"
                        "    21        1/9          0.5      5 s\n"
                        "    22        2/9          0.5      5 s ending\n"
                        "rungs @1: 10, 4 on  @3: 4/27, 1 on\n"
                        "q quit\n");
    text_fini(&out);
}

static void test_nothing_yet(void **state)
{
    (void)state;
    struct text out = TEXT_NONE;
    struct view v = {.left_ms = -1, .trials_per_min = NAN, .reports_per_min = NAN};
    view_format(&v, 79, 24, &out);
    assert_string_equal(text_get(&out), "best: none yet\n"
                                        "0 running  0 complete  0 stopped  0 failed\n"
                                        "left -  elapsed 0 s  - trials/min  - reports/min\n");
    text_fini(&out);
}

/* Whatever the size, no line is wider and there are no more lines. */
static void test_every_size(void **state)
{
    (void)state;
    struct text out = TEXT_NONE;
    struct view v = a_view();
    v.notice = "no new trials start";
    v.many_brackets = true;
    v.running = 100;
    for (unsigned rows = 1; rows <= 30; rows++)
        for (unsigned columns = 1; columns <= 120; columns++) {
            unsigned lines = 0;
            view_format(&v, columns, rows, &out);
            for (const char *s = text_get(&out); *s; s += strcspn(s, "\n") + 1, lines++)
                assert_in_range(strcspn(s, "\n"), 0, columns);
            assert_in_range(lines, 1, rows);
        }
    text_fini(&out);
}

static void test_short(void **state)
{
    (void)state;
    struct text out = TEXT_NONE;
    struct view v = a_view();
    view_format(&v, 39, 9, &out);
    /* Parameters and rungs give way to the running trials, whose number is told. */
    assert_string_equal(text_get(&out), "best: loss 0.25 at step 9, trial 12\n"
                                        "3 running  4 complete  5 stopped\n"
                                        "1 failed  2 paused  of 64\n"
                                        "left 10 min  elapsed 65 s\n"
                                        "12 trials/min  1200 reports/min\n"
                                        " TRIAL       STEP         loss  ELAPSED\n"
                                        "    20        0/9            -      5 s\n"
                                        "   and 2 more\n"
                                        "q quit\n");
    view_format(&v, 39, 1, &out);
    assert_string_equal(text_get(&out), "best: loss 0.25 at step 9, trial 12\n");
    text_fini(&out);
}

/* Names from a file may hold what moves the cursor. */
static void test_control_characters(void **state)
{
    (void)state;
    struct text out = TEXT_NONE;
    struct view v = a_view();
    v.metric = "\033[2J\xc3\xa9\xff\xc2\x9b";
    view_format(&v, 79, 1, &out);
    assert_string_equal(text_get(&out), "best: ?[2J\xc3\xa9?? 0.25 at step 9, trial 12\n");
    screen_plain("a\033[2J\tb\nc\x7f", &out);
    assert_non_null(strstr(text_get(&out), "a?[2J\tb\nc?"));
    text_fini(&out);
}

static void test_fit(void **state)
{
    static const struct { const char *whole, *rest, *shown; unsigned columns; } cases[] = {
        {"1 0.5", " lr: 3", "1 0.5 lr: 3", 11},
        {"1 0.5", " lr: 3", "1 0.5 l...", 10},
        {"1 0.5", " lr: 3", "1 0.5...", 8},
        {"1 0.5", " lr: 3", "1 0.5..", 7},
        {"1 0.5", " lr: 3", "1 0.5", 5},
        {"1 0.5", " lr: 3", "1 0.5", 1}, /* never less than what is to be whole */
        {"\xc3\xa9", "\xc3\xa9\xc3\xa9\xc3\xa9zz", "\xc3\xa9\xc3\xa9...", 5},
        {"a\033", "b\nc\td\xff", "a?b c d?", 80},
        {"", "", "", 80},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text out = TEXT_NONE;
        screen_fit(cases[i].whole, cases[i].rest, cases[i].columns, &out);
        assert_string_equal(text_get(&out), cases[i].shown);
        text_fini(&out);
    }
}

static void test_durations(void **state)
{
    (void)state;
    const struct { int64_t ms; const char *text; } cases[] = {
        {-1, "-"}, {0, "0 s"}, {99999, "99 s"}, {100000, "2 min"}, {5999999, "100 min"}, {7200000, "2.0 h"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        view_duration(text, sizeof text, cases[i].ms);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_rate(void **state)
{
    (void)state;
    struct view v;
    struct view_rate r = {0};
    view_rate_read(&r, 1000, 0, 0, &v);
    assert_true(isnan(v.trials_per_min));
    /* Ten minutes of one trial a second, then none: the last minute alone counts. */
    for (int i = 0; i <= 6000; i++)
        view_rate_note(&r, i * 100, (uint64_t)i / 10, (uint64_t)i);
    view_rate_read(&r, 600000, 600, 6000, &v);
    assert_true(fabs(v.trials_per_min - 60) < 0.01);
    assert_true(fabs(v.reports_per_min - 600) < 0.01);
    for (int i = 6001; i <= 6700; i++)
        view_rate_note(&r, i * 100, 600, 6000);
    view_rate_read(&r, 670000, 600, 6000, &v);
    assert_true(v.trials_per_min == 0);
}

/* ---- the screen ------------------------------------------------------------------------- */

static void show(struct screen *screen, const char *lines, const char *wanted)
{
    struct text out = TEXT_NONE;
    screen_show(screen, lines, 80, &out);
    assert_string_equal(text_get(&out), wanted);
    text_fini(&out);
}

static void test_screen(void **state)
{
    (void)state;
    struct screen screen = {0};
    struct text out = TEXT_NONE;
    show(&screen, "one\ntwo\nthree\n", "one\033[K\r\ntwo\033[K\r\nthree\033[K");
    show(&screen, "one\ntwo\nthree\n", "");
    /* Only what differs is written; the cursor ends behind the last line. */
    show(&screen, "one\nTWO\nthree\n", "\r\033[2A\r\nTWO\033[K\r\nthree");
    show(&screen, "one\nTWO\n", "\r\033[2A\r\nTWO\033[J");
    show(&screen, "one\nTWO\nmore\n", "\r\033[1A\r\n\r\nmore\033[K");
    screen_hide(&screen, 80, &out);
    assert_string_equal(text_get(&out), "\r\033[2A\033[J");
    screen_hide(&screen, 80, &out);
    assert_string_equal(text_get(&out), "\r\033[2A\033[J");
    text_fini(&out);
    screen_fini(&screen);
}

/* A terminal that was made narrower has broken the lines: more rows are to be cleared. */
static void test_screen_narrower(void **state)
{
    (void)state;
    struct screen screen = {0};
    struct text out = TEXT_NONE;
    screen_show(&screen, "0123456789\nabc\n", 80, &out);
    text_clear(&out);
    screen_show(&screen, "0123\n", 5, &out);
    assert_string_equal(text_get(&out), "\r\033[2A\033[J0123\033[K");
    text_fini(&out);
    screen_fini(&screen);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static enum key type(struct keys *keys, const char *s)
{
    enum key key = KEY_NONE;
    for (; *s; s++) {
        assert_int_equal(key, KEY_NONE);
        key = keys_take(keys, *s);
    }
    return key;
}

static void test_keys(void **state)
{
    (void)state;
    struct keys k = {0};
    assert_int_equal(type(&k, "q"), KEY_QUIT);
    assert_int_equal(type(&k, "p"), KEY_PAUSE);
    assert_int_equal(type(&k, "?"), KEY_HELP);
    assert_int_equal(type(&k, "xyz \r\n\t\x01\xff"), KEY_NONE);
    assert_int_equal(type(&k, "s 12\r"), KEY_STOP_TRIAL);
    assert_int_equal(k.number, 12);
    assert_int_equal(type(&k, "l7\n"), KEY_LOG);
    assert_int_equal(k.number, 7);
    assert_int_equal(type(&k, "s 19\b\x7f""3\r"), KEY_STOP_TRIAL);
    assert_int_equal(k.number, 3);
    /* q is a letter like others in a line that is being typed. */
    assert_int_equal(type(&k, "s q\r"), KEY_BAD_NUMBER);
    assert_int_equal(type(&k, "s\r"), KEY_BAD_NUMBER);
    assert_int_equal(type(&k, "s -1\r"), KEY_BAD_NUMBER);
    assert_int_equal(type(&k, "l 99999999999\r"), KEY_BAD_NUMBER);
    assert_int_equal(type(&k, "s 1 2\r"), KEY_BAD_NUMBER);
    assert_int_equal(type(&k, "s 5x\r"), KEY_BAD_NUMBER);
    assert_string_equal(k.line, "");
    /* Too much is not taken; backspace to the front forgets the line. */
    assert_int_equal(type(&k, "s 11111111111111111111111111111111111111\r"), KEY_BAD_NUMBER);
    assert_int_equal(type(&k, "s\b\bq"), KEY_QUIT);
}

static void test_sequences(void **state)
{
    (void)state;
    struct keys k = {0};
    /* Arrow up, F1, a modified key, a mouse: none of them is q, s, l or p. */
    assert_int_equal(type(&k, "\033[A\033OP\033[1;5p\033[q"), KEY_NONE);
    assert_int_equal(type(&k, "s 1\033"), KEY_NONE);
    assert_string_equal(k.line, "");
    assert_int_equal(type(&k, "q"), KEY_QUIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),         cmocka_unit_test(test_nothing_yet),
        cmocka_unit_test(test_every_size),    cmocka_unit_test(test_short),
        cmocka_unit_test(test_control_characters), cmocka_unit_test(test_fit),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_rate),          cmocka_unit_test(test_screen),
        cmocka_unit_test(test_screen_narrower), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
