/* test_sweep_command.c - every macro, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "sweep/spec/command.h"

#define SPACE                                                                                 \
    "method: random\nparameters:\n  lr: {values: [1e-5]}\n  flag: {values: [true, false]}\n"  \
    "  opt: {parameters: {kind: {value: sgd}, m: {values: [0.9]}}}\n  words: {value: [a, 1]}\n" \
    "  late: {values: [1, 2]}\ncovey: {when: {late: {flag: true}}}\n"

static char why[512];

/* The words of a trial's command line at @flag (0 is true), joined by "|". */
static const char *expand(const char *keys, double flag)
{
    static char joined[2048];
    char yaml[2048];
    snprintf(yaml, sizeof yaml, SPACE "%s", keys);
    struct spec *spec = spec_read("s.yaml", yaml, strlen(yaml), NULL, NULL, why, sizeof why);
    if (!spec)
        fail_msg("%s", why);
    assert_string_equal(spec->space.params[5].name, "late");
    double x[] = {0, flag, 0, 0, 0, flag == 0 ? 1 : NAN};
    char **argv = command_expand(spec, x, "here/params.json", why, sizeof why);
    spec_free(&spec);
    if (!argv)
        return NULL;
    joined[0] = 0;
    for (size_t i = 0; argv[i]; i++)
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s", i ? "|" : "", argv[i]);
    command_free(argv);
    return joined;
}

static void every_macro_is_expanded(void **state)
{
    static const struct { const char *element, *words; } macros[] = {
        {"${args}", "--lr=1e-05|--flag=True|--opt={'kind': 'sgd', 'm': 0.9}|--words=['a', 1]|--late=2"},
        {"${args_no_equals}", "--lr|1e-05|--flag|True|--opt|{'kind': 'sgd', 'm': 0.9}|--words|['a', 1]|--late|2"},
        {"${args_no_hyphens}", "lr=1e-05|flag=True|opt={'kind': 'sgd', 'm': 0.9}|words=['a', 1]|late=2"},
        {"${args_no_boolean_flags}", "--lr=1e-05|--flag|--opt={'kind': 'sgd', 'm': 0.9}|--words=['a', 1]|--late=2"},
        {"${args_append_hydra}", "+lr=1e-05|+flag=True|+opt={'kind': 'sgd', 'm': 0.9}|+words=['a', 1]|+late=2"},
        {"${args_override_hydra}", "++lr=1e-05|++flag=True|++opt={'kind': 'sgd', 'm': 0.9}|++words=['a', 1]|++late=2"},
        {"${args_json}", "{\"lr\": 1e-05, \"flag\": true, \"opt\": {\"kind\": \"sgd\", \"m\": 0.9}, "
         "\"words\": [\"a\", 1], \"late\": 2}"},
        {"${args_json_file}", "here/params.json"},
        {"${env}", "/usr/bin/env"},
        {"${program}", "train.py"},
        {"${envvar:COVEY_TEST}", "value"},
        {"x=${envvar:COVEY_TEST}/${envvar:COVEY_TEST}.${now:%Y}", "x=value/value.${now:%Y}"},
        {"dir=${hydra:run.dir}", "dir=${hydra:run.dir}"},
        {"--c=${program}", "--c=${program}"},
        {"${a}${b}", "${a}${b}"},
        {"${envvar:open", "${envvar:open"},
    };
    (void)state;
    setenv("COVEY_TEST", "value", 1);
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++) {
        char keys[256];
        snprintf(keys, sizeof keys, "program: train.py\ncommand: [run, '%s']\n", macros[i].element);
        const char *words = expand(keys, 0);
        if (!words || strncmp(words, "run|", 4) != 0 || strcmp(words + 4, macros[i].words) != 0)
            fail_msg("%s: %s, not %s", macros[i].element, words ? words : why, macros[i].words);
    }
}

static void what_is_not_active_or_false_is_left_out(void **state)
{
    (void)state;
    assert_string_equal(expand("command: [run, '${args_no_boolean_flags}']\n", 1),
                        "run|--lr=1e-05|--opt={'kind': 'sgd', 'm': 0.9}|--words=['a', 1]");
}

static void what_is_missing_is_told(void **state)
{
    (void)state;
    unsetenv("COVEY_TEST_MISSING");
    assert_null(expand("command: [run, '${envvar:COVEY_TEST_MISSING}']\n", 0));
    assert_non_null(strstr(why, "${envvar:COVEY_TEST_MISSING}: the environment has no such variable"));
    assert_null(expand("", 0));
    assert_non_null(strstr(why, "the command has ${program}, and the file no `program`"));
}

static void unknown_macros_are_refused(void **state)
{
    (void)state;
    assert_true(command_check("${args}", why, sizeof why));
    assert_true(command_check("${envvar:HOME}", why, sizeof why));
    assert_true(command_check("plain", why, sizeof why));
    assert_true(command_check("x${now:%Y}", why, sizeof why));
    assert_false(command_check("${argz}", why, sizeof why));
    assert_string_equal(why, "'${argz}' is no macro; did you mean ${args}?");
    assert_false(command_check("${now:%Y}", why, sizeof why));
    assert_non_null(strstr(why, "there are ${env}"));
    assert_false(command_check("${envvar:}", why, sizeof why));
    assert_false(command_check("${}", why, sizeof why));
}

static void make_executable(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("#!/bin/sh\n", file);
    fclose(file);
    assert_int_equal(chmod(path, 0755), 0);
}

static void the_interpreter_is_the_environments(void **state)
{
    char dir[] = "/tmp/covey-command-XXXXXX", bin[64], python[80], program[80], keys[200], wanted[400];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(bin, sizeof bin, "%s/bin", dir);
    snprintf(python, sizeof python, "%s/python", bin);
    snprintf(program, sizeof program, "%s/train", dir);
    assert_int_equal(mkdir(bin, 0755), 0);
    setenv("VIRTUAL_ENV", dir, 1);
    unsetenv("CONDA_PREFIX");
    assert_string_not_equal(command_interpreter(), python);
    make_executable(python);
    assert_string_equal(command_interpreter(), python);
    unsetenv("VIRTUAL_ENV");
    setenv("CONDA_PREFIX", dir, 1);
    assert_string_equal(command_interpreter(), python);

    /* A program that runs by itself needs none; one that cannot, or is Python, does. */
    snprintf(keys, sizeof keys, "program: %s\ncommand: ['${interpreter}', '${program}']\n", program);
    snprintf(wanted, sizeof wanted, "%s|%s", python, program);
    assert_string_equal(expand(keys, 0), wanted);
    make_executable(program);
    assert_string_equal(expand(keys, 0), program);
    snprintf(keys, sizeof keys, "program: %s.py\ncommand: ['${interpreter}', '${program}']\n", program);
    snprintf(wanted, sizeof wanted, "%s|%s.py", python, program);
    assert_string_equal(expand(keys, 0), wanted);
    unlink(program);
    unlink(python);
    rmdir(bin);
    rmdir(dir);
    unsetenv("CONDA_PREFIX");
    assert_non_null(strstr(command_interpreter(), "python"));
}

static void json_files_are_asked_for(void **state)
{
    static const char with[] = "method: random\nparameters: {x: {value: 1}}\ncommand: [x, '${args_json_file}']\n";
    static const char without[] = "method: random\nparameters: {x: {value: 1}}\n";
    (void)state;
    struct spec *spec = spec_read("s", with, strlen(with), NULL, NULL, why, sizeof why);
    assert_true(spec && command_needs_json_file(spec));
    spec_free(&spec);
    spec = spec_read("s", without, strlen(without), NULL, NULL, why, sizeof why);
    assert_true(spec && !command_needs_json_file(spec));
    spec_free(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_macro_is_expanded),
        cmocka_unit_test(what_is_not_active_or_false_is_left_out),
        cmocka_unit_test(what_is_missing_is_told),
        cmocka_unit_test(unknown_macros_are_refused),
        cmocka_unit_test(the_interpreter_is_the_environments),
        cmocka_unit_test(json_files_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
