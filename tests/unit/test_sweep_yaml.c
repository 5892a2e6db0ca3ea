/* test_sweep_yaml.c - scalars mean what the rule says; trees are bounded. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sweep/spec/yaml.h"

#define NODES_MAX 1000

static char why[512];

static struct yaml_doc read_bytes(const char *yaml, size_t size)
{
    struct yaml_doc doc;
    why[0] = 0;
    if (!yaml_doc_read(&doc, "s.yaml", yaml, size, NODES_MAX, why, sizeof why))
        assert_null(doc.items);
    return doc;
}

static void must_be(const char *yaml, const char *json)
{
    struct yaml_doc doc = read_bytes(yaml, strlen(yaml));
    struct text t = TEXT_NONE;
    if (!doc.root)
        fail_msg("%s: %s", yaml, why);
    yaml_item_print_json(&t, doc.root);
    if (strcmp(text_get(&t), json) != 0)
        fail_msg("%s: %s, not %s", yaml, text_get(&t), json);
    text_fini(&t);
    yaml_doc_fini(&doc);
}

static void must_fail(const char *yaml, const char *message)
{
    struct yaml_doc doc = read_bytes(yaml, strlen(yaml));
    if (doc.root)
        fail_msg("%s: taken", yaml);
    if (!strstr(why, message))
        fail_msg("%s: '%s', not '%s'", yaml, why, message);
}

static void scalars_mean_what_pyyaml_makes_of_them(void **state)
{
    static const struct { const char *yaml, *json; } scalars[] = {
        {"~", "null"}, {"null", "null"}, {"NULL", "null"}, {"nULL", "\"nULL\""},
        {"yes", "true"}, {"No", "false"}, {"on", "true"}, {"OFF", "false"}, {"True", "true"},
        {"tRue", "\"tRue\""}, {"y", "\"y\""}, {"n", "\"n\""},
        {"0", "0"}, {"-0", "0"}, {"+12", "12"}, {"-1_000", "-1000"}, {"0b101", "5"}, {"-0b1", "-1"},
        {"0b", "\"0b\""}, {"0b2", "\"0b2\""}, {"0x1F", "31"}, {"0x", "\"0x\""}, {"0x_", "\"0x_\""},
        {"017", "15"}, {"08", "\"08\""}, {"0o17", "\"0o17\""}, {"0_", "0"}, {"_1", "\"_1\""},
        {"1:30", "90"}, {"1:30:05", "5405"}, {"1:60", "\"1:60\""}, {"-1:30", "-90"},
        {"9223372036854775807", "9223372036854775807"}, {"-9223372036854775808", "-9223372036854775808"},
        {"0.5", "0.5"}, {"1.", "1.0"}, {".5", "0.5"}, {".", "\".\""}, {"1_0.5_0", "10.5"},
        {"1.5e+3", "1500.0"}, {"1.e-2", "0.01"}, {"1:30.5", "90.5"},
        {"1.2.3", "\"1.2.3\""}, {"1e", "\"1e\""}, {"e5", "\"e5\""}, {"1.5e+", "\"1.5e+\""},
        {"2020-01-01", "\"2020-01-01\""}, {"=", "\"=\""}, {"1,000", "\"1,000\""}, {"nan", "\"nan\""},
        {"inf", "\"inf\""}, {"0x1p3", "\"0x1p3\""}, {"12e", "\"12e\""},
        {"'1'", "\"1\""}, {"\"true\"", "\"true\""}, {"!!str 12", "\"12\""}, {"!!float 3", "3.0"},
        {"!!int '3'", "3"}, {"! 5", "\"5\""}, {"!!str", "\"\""}, {"|\n  12\n", "\"12\\n\""},
        {"!!str 99999999999999999999", "\"99999999999999999999\""},
        /* Where we are YAML 1.2 and PyYAML is not. */
        {"1e-5", "1e-05"}, {"1E5", "100000.0"}, {"-3e+2", "-300.0"}, {"1.5e3", "1500.0"}, {"-.5", "-0.5"},
        {"+.5e-1", "0.05"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        must_be(scalars[i].yaml, scalars[i].json);
    struct value v;
    assert_true(yaml_scalar_resolve((char[]){"-.inf"}, &v) && v.f == -INFINITY);
    assert_true(yaml_scalar_resolve((char[]){".NaN"}, &v) && v.kind == VALUE_FLOAT && isnan(v.f));
}

static void trees_are_read(void **state)
{
    (void)state;
    must_be("a: 1\nb: [x, {c: d}]\n", "{\"a\": 1, \"b\": [\"x\", {\"c\": \"d\"}]}");
    must_be("a:\nb: ''\n", "{\"a\": null, \"b\": \"\"}");
    must_be("--- {}\n", "{}");
    must_be("\xef\xbb\xbf" "a: \xc3\xa9\n", "{\"a\": \"\xc3\xa9\"}");
    must_be("a: &x {b: 1}\nc: *x\nd: [*x, *x]\n",
            "{\"a\": {\"b\": 1}, \"c\": {\"b\": 1}, \"d\": [{\"b\": 1}, {\"b\": 1}]}");
    must_be("a: &x 1\nb: &x 2\nc: *x\n", "{\"a\": 1, \"b\": 2, \"c\": 2}");
    must_be("a: \r\n  b: 1\r\n", "{\"a\": {\"b\": 1}}");
}

static void merge_keys_are_carried_out(void **state)
{
    (void)state;
    must_be("a: &x {b: 1, c: 2}\nd: {c: 3, <<: *x}\n", "{\"a\": {\"b\": 1, \"c\": 2}, \"d\": {\"b\": 1, \"c\": 3}}");
    must_be("- &x {b: 1}\n- &y {b: 2, c: 2}\n- <<: [*x, *y]\n  d: *x\n",
            "[{\"b\": 1}, {\"b\": 2, \"c\": 2}, {\"b\": 1, \"c\": 2, \"d\": {\"b\": 1}}]");
    must_be("'<<': 1\n", "{\"<<\": 1}");
    must_fail("a: {<<: 5}\n", "1:9: << takes a mapping");
    must_fail("a: {<<: [[]]}\n", "1:10: << takes a mapping");
}

static void mistakes_have_a_place(void **state)
{
    (void)state;
    must_fail("", "s.yaml:1:1: the file is empty");
    must_fail("# only a comment\n\n", "the file is empty");
    must_fail("a: 1\nb: 2\na: 3\n", "s.yaml:3:1: a is given twice; the first is in line 1");
    must_fail("a:\n  x: 1\n  y: {k: 1, k: 1}\n", "s.yaml:3:13: k is given twice");
    must_fail("a:\n\tb: 1\n", "s.yaml:2:1: a tab stands where YAML allows only spaces");
    must_fail("a:\n  b: 1\n \t c: 1\n", "s.yaml:3:2: a tab");
    must_fail("a: [1, 2\nb: 3\n", "s.yaml:2:");
    must_fail("a: b: c\n", "s.yaml:1:5: mapping values are not allowed");
    must_fail("[a]: 1\n", "s.yaml:1:1: a list or mapping stands where a key");
    must_fail("a: *x\n", "s.yaml:1:4: *x: no &x stands before it");
    must_fail("a: &x [*x]\n", "s.yaml:1:8: *x is part of itself");
    must_fail("a: 1\n--- \nb: 2\n", "s.yaml:2:1: a second document");
    must_fail("a: \"x\\0y\"\n", "s.yaml:1:4: a text with a NUL");
    must_fail("a: !!python/tuple [1]\n", "s.yaml:1:4: the tag tag:yaml.org,2002:python/tuple");
    must_fail("a: !!int x\n", "'x' is no !!int");
    must_fail("a: !mine x\n", "s.yaml:1:4: the tag !mine");
    must_fail("a: 9223372036854775808\n", "s.yaml:1:4: an integer beyond 64 bits");
    must_fail("a: 1\nb: \xff\n", "s.yaml:2:4: ");
    must_fail("a: \x01\n", "control characters are not allowed");
    must_fail("\xff\xfe" "a", "the file is UTF-16; save it as UTF-8");
}

static void bombs_end(void **state)
{
    struct text t = TEXT_NONE;
    (void)state;
    text_puts(&t, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        text_printf(&t, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            text_printf(&t, "%s*a%d", k ? ", " : "", i - 1);
        text_puts(&t, "]\n");
    }
    must_fail(text_get(&t), "more than 1000 nodes");
    text_clear(&t);
    for (int i = 0; i < YAML_DEPTH_MAX + 1; i++)
        text_puts(&t, "[");
    must_fail(text_get(&t), "more than 64 levels");
    text_clear(&t);
    for (int i = 0; i < NODES_MAX; i++)
        text_puts(&t, "- x\n");
    must_fail(text_get(&t), "more than 1000 nodes");
    text_clear(&t);
    text_puts(&t, "[");
    for (int i = 0; i < 5; i++)
        text_printf(&t, "&a%d x,", i);
    text_puts(&t, "y]");
    must_be(text_get(&t), "[\"x\", \"x\", \"x\", \"x\", \"x\", \"y\"]");
    text_fini(&t);
}

static void items_are_described(void **state)
{
    static const char yaml[] = "[x, 5, 0.5, yes, ~, [], {}]";
    static const char *const wanted[] = {
        "the text 'x'", "the number 5", "the number 0.5", "the boolean yes", "nothing", "a list", "a mapping",
    };
    struct yaml_doc doc = read_bytes(yaml, strlen(yaml));
    char out[80];
    (void)state;
    assert_non_null(doc.root);
    for (size_t i = 0; i < doc.root->count; i++)
        assert_string_equal(yaml_item_describe(doc.root->pairs[i].value, out, sizeof out), wanted[i]);
    assert_int_equal(doc.root->pairs[3].value->line, 1);
    assert_int_equal(doc.root->pairs[3].value->column, 13);
    assert_int_equal(doc.root->size, 8);
    yaml_doc_fini(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_mean_what_pyyaml_makes_of_them),
        cmocka_unit_test(trees_are_read),
        cmocka_unit_test(merge_keys_are_carried_out),
        cmocka_unit_test(mistakes_have_a_place),
        cmocka_unit_test(bombs_end),
        cmocka_unit_test(items_are_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
