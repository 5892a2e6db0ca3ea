/* test_listing.c - tables and JSON of the command line. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "listing.h"

static const struct column columns[] = {
    {"name", COLUMN_TEXT}, {"run_ms", COLUMN_NUMBER}, {"size_bytes", COLUMN_BYTES},
};

static char *printed(bool json, const char *const rows[][3], size_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    struct listing *o = listing_open(f, "covey.test/1", columns, 3, json);
    for (size_t i = 0; i < count; i++)
        listing_row(o, rows[i], 3);
    assert_int_equal(listing_rows(o), count);
    assert_true(listing_close(&o));
    assert_null(o);
    fclose(f);
    return text;
}

static void json_has_a_schema_and_typed_values(void **state)
{
    static const char *const rows[][3] = {{"a", "1.5", "2048"}, {"b", "", "many"}};
    (void)state;
    char *text = printed(true, rows, 2);
    assert_string_equal(text, "{\"schema\": \"covey.test/1\"}\n"
                              "{\"name\": \"a\", \"run_ms\": 1.5, \"size_bytes\": 2048}\n"
                              "{\"name\": \"b\", \"run_ms\": null, \"size_bytes\": null}\n");
    free(text);
}

static void tables_are_aligned(void **state)
{
    static const char *const rows[][3] = {{"sch\xc3\xb6n", "12", "2048"}, {"", "1234567", "1"}};
    (void)state;
    char *text = printed(false, rows, 2);
    assert_string_equal(text, "name    run_ms  size_bytes\n"
                              "sch\xc3\xb6n       12     2.0 KiB\n"
                              "-      1234567         1 B\n");
    free(text);
}

static void a_table_keeps_control_characters_from_the_terminal(void **state)
{
    static const char *const rows[][3] = {{"a\033[31m\nb", "1", "1"}};
    (void)state;
    char *text = printed(false, rows, 1);
    assert_non_null(strstr(text, "a [31m b"));
    assert_null(strchr(text, '\033'));
    free(text);
}

static void grows_beyond_its_first_rows(void **state)
{
    static const char *rows[1000][3];
    (void)state;
    for (size_t i = 0; i < 1000; i++)
        rows[i][0] = rows[i][1] = rows[i][2] = "7";
    char *text = printed(false, rows, 1000);
    size_t lines = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 1001);
    free(text);
}

static void strings_are_valid_json(void **state)
{
    static const struct { const char *text, *json; } cases[] = {
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\t\x01\x7f", "\"\\n\\t\\u0001\\u007f\""},
        {"\xc3\xb6 \xe2\x82\xac \xf0\x9f\x90\xa6", "\"\xc3\xb6 \xe2\x82\xac \xf0\x9f\x90\xa6\""},
        {"\xff\xc3", "\"\\ufffd\\ufffd\""},
        {"\xc0\x80", "\"\\ufffd\\ufffd\""},                     /* overlong */
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},          /* a surrogate */
        {"\xf5\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* beyond Unicode */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        json_string(f, cases[i].text);
        fclose(f);
        assert_string_equal(text, cases[i].json);
        free(text);
    }
}

static void numbers_are_those_of_json(void **state)
{
    static const char *const good[] = {"0", "-1", "10", "1.5", "-0.25", "1e9", "2E-3"};
    static const char *const bad[] = {"", "-", "01", "1.", ".5", "1e", "nan", "inf", "0x1", "1 ", "+1"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(json_is_number(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(json_is_number(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_a_schema_and_typed_values),
        cmocka_unit_test(tables_are_aligned),
        cmocka_unit_test(a_table_keeps_control_characters_from_the_terminal),
        cmocka_unit_test(grows_beyond_its_first_rows),
        cmocka_unit_test(strings_are_valid_json),
        cmocka_unit_test(numbers_are_those_of_json),
    };
    return cmocka_run_group_tests_name("listing", tests, NULL, NULL);
}
