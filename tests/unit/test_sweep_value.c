/* test_sweep_value.c - values print as Python and JSON print them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <json-c/json.h>

#include "sweep/space/value.h"

/* What python3 prints for str(float): checked against it below, where it is there. */
static const struct { double x; const char *python; } floats[] = {
    {0.0, "0.0"}, {-0.0, "-0.0"}, {1.0, "1.0"}, {-1.5, "-1.5"}, {0.1, "0.1"}, {1e-5, "1e-05"},
    {0.0001, "0.0001"}, {0.00012345, "0.00012345"}, {9.999e-5, "9.999e-05"}, {1e15, "1000000000000000.0"},
    {1e16, "1e+16"}, {123456789012345680.0, "1.2345678901234568e+17"}, {1e22, "1e+22"}, {1e23, "1e+23"},
    {9007199254740993.0, "9007199254740992.0"}, {0.3, "0.3"}, {0.1 + 0.2, "0.30000000000000004"},
    {2.0 / 3, "0.6666666666666666"}, {1e100, "1e+100"}, {1.7976931348623157e308, "1.7976931348623157e+308"},
    {5e-324, "5e-324"}, {2.2250738585072014e-308, "2.2250738585072014e-308"},
    {2.225073858507201e-308, "2.225073858507201e-308"}, {1e-310, "1e-310"}, {3.14, "3.14"}, {100.0, "100.0"},
    {1234.5678, "1234.5678"}, {0.05, "0.05"}, {5e-05, "5e-05"}, {3e-4, "0.0003"}, {1e-4, "0.0001"},
    {12345678.9, "12345678.9"}, {1e10, "10000000000.0"}, {123.456e10, "1234560000000.0"},
    /* Powers of two, where the nearest decimal of 16 digits does not read back. */
    {7.120236347223045e-307, "7.120236347223045e-307"}, {5.858190679279809e-244, "5.858190679279809e-244"},
    {0x1p-44, "5.684341886080802e-14"}, {0x1p-1, "0.5"}, {0x1p53, "9007199254740992.0"},
    {0x1p1023, "8.98846567431158e+307"}, {0x1p-1022, "2.2250738585072014e-308"},
};
#define FLOATS (sizeof floats / sizeof *floats)

static void must_print(const struct value *v, const char *python, const char *json)
{
    struct text t = TEXT_NONE;
    value_print_python(&t, v);
    if (strcmp(text_get(&t), python) != 0)
        fail_msg("str() is %s, not %s", text_get(&t), python);
    text_clear(&t);
    value_print_json(&t, v);
    if (strcmp(text_get(&t), json) != 0)
        fail_msg("JSON is %s, not %s", text_get(&t), json);
    text_fini(&t);
}

static void floats_print_as_pythons(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLOATS; i++) {
        struct value v = value_float(floats[i].x);
        must_print(&v, floats[i].python, floats[i].python);
    }
    struct value inf = value_float(INFINITY), minus = value_float(-INFINITY), nan = value_float(NAN);
    must_print(&inf, "inf", "null");
    must_print(&minus, "-inf", "null");
    must_print(&nan, "nan", "null");
}

static void every_float_reads_back(void **state)
{
    uint64_t bits = 88172645463325252u;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct text t = TEXT_NONE;
        double x;
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x))
            continue;
        text_json_number(&t, x);
        assert_true(strtod(text_get(&t), NULL) == x);
        text_fini(&t);
    }
}

static void whole_numbers_are_short_in_json(void **state)
{
    struct text t = TEXT_NONE;
    (void)state;
    text_json_number(&t, 5.0);
    text_puts(&t, " ");
    text_json_number(&t, 1e16);
    text_puts(&t, " ");
    text_json_number(&t, -0.25);
    text_puts(&t, " ");
    text_json_number(&t, NAN);
    assert_string_equal(text_get(&t), "5 1e+16 -0.25 null");
    text_fini(&t);
}

/* Python itself is asked, where it is installed. */
static void python_agrees(void **state)
{
    (void)state;
    if (system("command -v python3 >/dev/null 2>&1") != 0) {
        print_message("python3 is not installed: not compared with it\n");
        skip();
    }
    struct text command = TEXT_NONE, wanted = TEXT_NONE;
    text_puts(&command, "python3 -c \"for x in [");
    for (size_t i = 0; i < FLOATS; i++) {
        text_printf(&command, "%s'%a'", i ? "," : "", floats[i].x);
        text_printf(&wanted, "%s\n", floats[i].python);
    }
    text_puts(&command, "]: print(float.fromhex(x))\"");
    FILE *python = popen(text_get(&command), "r");
    assert_non_null(python);
    char printed[4096];
    size_t len = fread(printed, 1, sizeof printed - 1, python);
    printed[len] = 0;
    assert_int_equal(pclose(python), 0);
    assert_string_equal(printed, text_get(&wanted));
    text_fini(&command);
    text_fini(&wanted);
}

static void scalars_print(void **state)
{
    struct value null = VALUE_NONE, yes = {.kind = VALUE_BOOL, .b = true}, no = {.kind = VALUE_BOOL};
    struct value least = value_int(INT64_MIN), text = {.kind = VALUE_TEXT, .text = "a 'b' \"c\"\n\x01\xff"};
    (void)state;
    must_print(&null, "None", "null");
    must_print(&yes, "True", "true");
    must_print(&no, "False", "false");
    must_print(&least, "-9223372036854775808", "-9223372036854775808");
    must_print(&text, "a 'b' \"c\"\n\x01\xff", "\"a 'b' \\\"c\\\"\\n\\u0001\xef\xbf\xbd\"");
}

static struct value from_json(const char *json)
{
    struct value v;
    struct json_object *tree = json_tokener_parse(json);
    assert_true(value_from_json(&v, tree));
    json_object_put(tree);
    return v;
}

static void trees_print(void **state)
{
    static const struct { const char *json, *python; } trees[] = {
        {"[]", "[]"}, {"{}", "{}"}, {"[1, 2.0, \"x\"]", "[1, 2.0, 'x']"},
        {"[true, false, null]", "[True, False, None]"},
        {"{\"k\": 0.5, \"l\": [1e-05]}", "{'k': 0.5, 'l': [1e-05]}"},
        {"[\"it's\"]", "[\"it's\"]"}, {"[\"a\\\"b\"]", "['a\"b']"},
        {"[\"both ' and \\\"\"]", "['both \\' and \"']"},
        {"[\"line\\nend\\ttab\\\\\"]", "['line\\nend\\ttab\\\\']"},
        {"[\"\\u0001\xc3\xa9\xc2\xa0\xe2\x80\x8b\"]", "['\\x01\xc3\xa9\\xa0\\u200b']"},
        {"[1e+16, -3]", "[1e+16, -3]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
        struct value v = from_json(trees[i].json);
        assert_int_equal(v.kind, VALUE_JSON);
        must_print(&v, trees[i].python, trees[i].json);
        value_fini(&v);
    }
}

static void json_gives_each_kind(void **state)
{
    struct value v = from_json("3");
    (void)state;
    assert_true(v.kind == VALUE_INT && v.i == 3);
    v = from_json("3.0");
    assert_true(v.kind == VALUE_FLOAT && v.f == 3);
    v = from_json("true");
    assert_true(v.kind == VALUE_BOOL && v.b);
    v = from_json("18446744073709551615");
    assert_true(v.kind == VALUE_FLOAT && v.f == 0x1p64);
    v = from_json("\"x\"");
    assert_int_equal(v.kind, VALUE_TEXT);
    value_fini(&v);
    assert_true(value_from_json(&v, NULL));
    assert_int_equal(v.kind, VALUE_NULL);
}

static void equal_means_same_kind_and_content(void **state)
{
    struct value one = value_int(1), real = value_float(1), nan = value_float(NAN), copy;
    struct value list = from_json("[1,2]"), same = from_json("[1, 2]"), other = from_json("[1, 2.0]");
    (void)state;
    assert_false(value_equal(&one, &real));
    assert_true(value_equal(&nan, &nan));
    assert_true(value_equal(&list, &same));
    assert_false(value_equal(&list, &other));
    assert_true(value_copy(&copy, &list));
    assert_true(value_equal(&list, &copy));
    assert_true(isnan(value_number(&list)));
    assert_true(value_number(&real) == 1);
    value_fini(&copy);
    value_fini(&list);
    value_fini(&same);
    value_fini(&other);
}

static void what_a_terminal_obeys_is_made_plain(void **state)
{
    /* Escape, newline, tab; a C1 control, which is CSI; no UTF-8; NUL in the middle. */
    char text[] = "a\033[1m\n\t\303\244\302\233\377\303", rest[] = "x\0y\nz";
    (void)state;
    text_make_plain(text, sizeof text - 1, "");
    assert_string_equal(text, "a?[1m??\303\244????");
    text_make_plain(rest, sizeof rest - 1, "\n");
    assert_memory_equal(rest, "x?y\nz", sizeof rest);
}

static void text_grows(void **state)
{
    struct text t = TEXT_NONE;
    (void)state;
    assert_string_equal(text_get(&t), "");
    for (int i = 0; i < 1000; i++)
        text_printf(&t, "%d,", i);
    assert_int_equal(t.len, 3890);
    assert_int_equal(strlen(text_get(&t)), 3890);
    text_clear(&t);
    assert_string_equal(text_get(&t), "");
    t.failed = true;
    text_puts(&t, "x");
    assert_null(text_get(&t));
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floats_print_as_pythons),
        cmocka_unit_test(every_float_reads_back),
        cmocka_unit_test(whole_numbers_are_short_in_json),
        cmocka_unit_test(python_agrees),
        cmocka_unit_test(scalars_print),
        cmocka_unit_test(trees_print),
        cmocka_unit_test(json_gives_each_kind),
        cmocka_unit_test(equal_means_same_kind_and_content),
        cmocka_unit_test(what_a_terminal_obeys_is_made_plain),
        cmocka_unit_test(text_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
