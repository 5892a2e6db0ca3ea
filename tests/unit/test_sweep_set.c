/* test_sweep_set.c - settings of the command line on top of a sweep file: what they change, what
 * they leave alone, and what is said of those that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/spec/spec.h"
#include "sweep/spec/spec_set.h"

static const char file[] =
    "method: bayes\n"
    "metric: {name: loss}\n"
    "command: [\"${env}\", python, train.py, \"${args}\"]\n"
    "parameters:\n"
    "  lr: &rate\n"
    "    min: 0.001\n"
    "    max: 0.1\n"
    "  decay: *rate\n"
    "  width: {values: [64, 128], probabilities: [0.5, 0.5]}\n"
    "  model:\n"
    "    parameters: {depth: {min: 1, max: 9}}\n"
    "run_cap: 100\n"
    "covey:\n"
    "  count: 50\n"
    "  scheduler: asha\n"
    "  points: [{lr: 0.01}, {lr: 0.02}]\n";

static char why[1024];

/* @file with up to four settings, NULL-ended. */
static struct spec *read_with(const char *text, ...)
{
    const char *sets[5] = {NULL};
    va_list args;
    size_t count = 0;
    va_start(args, text);
    for (const char *set; (set = va_arg(args, const char *));) {
        assert_true(count < 4);
        sets[count++] = set;
    }
    va_end(args);
    why[0] = 0;
    return spec_read_with("sweep.yaml", text, strlen(text), sets, NULL, NULL, why, sizeof why);
}

static struct spec *must_take(struct spec *spec)
{
    if (!spec)
        fail_msg("%s", why);
    return spec;
}
#define SET(...) must_take(read_with(file, __VA_ARGS__, NULL))

static const struct param *param_of(const struct spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->space.count; i++)
        if (strcmp(spec->space.params[i].name, name) == 0)
            return &spec->space.params[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

/* ---- what is changed ------------------------------------------------------------------ */

static void any_key_can_be_set(void **state)
{
    (void)state;
    struct spec *spec = SET("method=random", "metric.goal=maximize", "covey.parallel=4", "name=a=b");
    assert_true(spec->search.kind == SEARCH_RANDOM && spec->metric.maximize && spec->parallel == 4);
    assert_string_equal(spec->name, "a=b");
    spec_free(&spec);
    spec = SET("parameters.lr.min=1e-4", "parameters.model.parameters.depth.max=12",
               "parameters.new={values: [a, 'off', 3]}", "covey.scheduler={type: hyperband, max_iter: 27}");
    assert_true(param_of(spec, "lr")->low == 1e-4 && param_of(spec, "lr")->high == 0.1);
    assert_true(param_of(spec, "model.depth")->high == 12);
    assert_int_equal(param_of(spec, "new")->count, 3);
    assert_true(spec->scheduler.kind == SCHEDULER_HYPERBAND && spec->scheduler.max_iter == 27);
    spec_free(&spec);
}

static void keys_below_covey_need_no_covey(void **state)
{
    (void)state;
    struct spec *spec = SET("parallel=3", "time=1h", "resources.cpus=0.5", "covey.resources.a.b=2");
    assert_true(spec->parallel == 3 && spec->time_ms == 3600000 && spec->cpus == 0.5);
    assert_string_equal(spec->resources[0].name, "a.b");
    spec_free(&spec);
    spec = SET("wandb=off", "metric.target=1e-3", "resources.a.b=2", "resources.a.b=3");
    assert_int_equal(spec->wandb, SPEC_WANDB_OFF);
    assert_true(spec->metric.target == 1e-3 && spec->resource_count == 1 && spec->resources[0].amount == 3);
    spec_free(&spec);
}

/* The file's covey.count is 50. */
static void run_cap_is_the_cap(void **state)
{
    (void)state;
    const char *const sets[] = {"run_cap=200", "count=200", "covey.count=200"};
    for (size_t i = 0; i < 3; i++) {
        struct spec *spec = SET(sets[i]);
        assert_int_equal(spec->run_cap, 200);
        spec_free(&spec);
    }
    struct spec *spec = SET("run_cap=7", "count=9");
    assert_int_equal(spec->run_cap, 9);
    spec_free(&spec);
    spec = SET("method=random");
    assert_int_equal(spec->run_cap, 50);
    spec_free(&spec);
}

static void the_last_one_counts(void **state)
{
    (void)state;
    struct spec *spec = SET("parameters.lr.max=5", "parameters.lr={min: 1.0, max: 2}", "parameters.lr.max=3",
                            "points=[]");
    assert_true(param_of(spec, "lr")->low == 1 && param_of(spec, "lr")->high == 3);
    spec_free(&spec);
}

/* decay is an alias of lr. */
static void an_alias_keeps_what_it_shared(void **state)
{
    (void)state;
    struct spec *spec = SET("parameters.lr.max=0.5", "parameters.lr.min=0.005");
    assert_true(param_of(spec, "lr")->low == 0.005 && param_of(spec, "lr")->high == 0.5);
    assert_true(param_of(spec, "decay")->low == 0.001 && param_of(spec, "decay")->high == 0.1);
    spec_free(&spec);
    spec = SET("parameters.two={a: &x {min: 0.0, max: 1}, b: *x}", "parameters.two={parameters: {a: &x {min: 0.0, "
               "max: 1}, b: *x}}", "parameters.two.parameters.a.max=4");
    assert_true(param_of(spec, "two.a")->high == 4 && param_of(spec, "two.b")->high == 1);
    spec_free(&spec);
}

static void a_value_replaces_its_parameter(void **state)
{
    (void)state;
    struct spec *spec = SET("parameters.lr.value=0.5", "parameters.model.parameters.depth.values=[2, 4, 8]",
                            "covey.points=[]", "parameters.width.value=32");
    assert_true(param_of(spec, "lr")->count == 1 && param_of(spec, "lr")->choices[0].f == 0.5);
    assert_int_equal(param_of(spec, "model.depth")->count, 3);
    assert_int_equal(param_of(spec, "width")->count, 1);
    assert_int_equal(param_of(spec, "decay")->distribution, DIST_UNIFORM);
    spec_free(&spec);
    spec = SET("parameters.width.values=[32, 96]");     /* its probabilities stay */
    assert_true(param_of(spec, "width")->probabilities[0] == 0.5);
    spec_free(&spec);
}

static void short_forms_are_opened(void **state)
{
    (void)state;
    struct spec *spec = SET("covey.scheduler.eta=4", "covey.search.type=tpe", "covey.search.startup=5");
    assert_true(spec->scheduler.kind == SCHEDULER_ASHA && spec->scheduler.eta == 4 && spec->search.startup == 5);
    spec_free(&spec);
    const char empty[] = "method: random\nparameters: {x: {min: 0.0, max: 1}}\ncovey:\n";
    spec = must_take(read_with(empty, "covey.parallel=2", NULL));
    assert_int_equal(spec->parallel, 2);
    spec_free(&spec);
}

static void lists_have_places(void **state)
{
    (void)state;
    struct spec *spec = SET("command.1=python3", "covey.points.1.lr=0.03");
    assert_string_equal(spec->command[1], "python3");
    assert_true(spec->points[spec->space.count] == 0.03);
    spec_free(&spec);
}

/* The longest name that is there counts, and one that is not there has no dot. */
static void keys_may_have_dots(void **state)
{
    const char dotted[] = "method: random\nparameters: {model: {value: 1}, model.lr: {min: 0.0, max: 1}}\n";
    (void)state;
    struct spec *spec = must_take(read_with(dotted, "parameters.model.lr.max=2", "parameters.model.value=3", NULL));
    assert_true(param_of(spec, "model.lr")->high == 2 && param_of(spec, "model")->choices[0].i == 3);
    spec_free(&spec);
    assert_null(read_with(dotted, "parameters.model.width=2", NULL));
    assert_non_null(strstr(why, "'width' is no key"));
}

static void what_the_file_lacks_can_be_set(void **state)
{
    (void)state;
    struct spec *spec = must_take(read_with("method: random\n", "parameters.lr.min=0.0", "parameters.lr.max=1", NULL));
    assert_int_equal(spec->space.count, 1);
    spec_free(&spec);
    spec = must_take(read_with("{}", "method=grid", "parameters={k: {values: [1, 2]}}", NULL));
    assert_int_equal(space_size(&spec->space), 2);
    spec_free(&spec);
}

/* ---- what is wrong -------------------------------------------------------------------- */

static void must_refuse(const char *set, const char *message)
{
    struct spec *spec = read_with(file, set, NULL);
    if (spec)
        fail_msg("taken: %.100s", set);
    if (strcmp(message, why) != 0 && !(message[0] == '~' && strstr(why, message + 1)))
        fail_msg("'%s'\nand not '%s'", why, message);
}

static void bad_settings_are_told(void **state)
{
    (void)state;
    must_refuse("", "--set : key=value is wanted, such as run_cap=200");
    must_refuse("=", "--set =: key=value is wanted, such as run_cap=200");
    must_refuse("=5", "--set =5: key=value is wanted, such as run_cap=200");
    must_refuse("run_cap", "--set run_cap: key=value is wanted, such as run_cap=200");
    must_refuse("run_cap=", "--set run_cap=: a value is missing behind =; '' in quotes is an empty text, null is nothing");
    must_refuse("run_cap= \t", "~a value is missing behind =");
    must_refuse("name=a\nb", "~a setting is one line");
    must_refuse("run_cap.=5", "--set run_cap.=5: a name is missing beside a dot of the key");
    must_refuse(".run_cap=5", "~a name is missing beside a dot");
    must_refuse("covey..parallel=5", "~a name is missing beside a dot");
    must_refuse(".=5", "~a name is missing beside a dot");
    must_refuse("parallel=[", "~--set parallel=[: the value cannot be read: value:");
    must_refuse("parallel=# 3", "~the value cannot be read");
    must_refuse("parallel=*rate", "~no &rate stands before it");
    must_refuse("run_cap=many",
                "--set run_cap=many: the text 'many' stands where a whole number is expected");
    must_refuse("run_cap=0", "~--set run_cap=0: 0 is too small");
    must_refuse("run_cap.x=1", "--set run_cap.x=1: run_cap is the number 100, which has nothing below it");
    must_refuse("command.7=x", "~command is a list of 4, whose places are 0, 1 ...; '7' is none");
    must_refuse("command.-1=x", "~'-1' is none");
    must_refuse("command.99999999999999999999999999=x", "~is none");
}

static void wrong_names_are_corrected(void **state)
{
    (void)state;
    must_refuse("paralell=3", "--set paralell=3: 'paralell' is no key of a sweep file; did you mean parallel?");
    must_refuse("metod=random", "~did you mean method?");
    must_refuse("qqqqqqqq=1", "--set qqqqqqqq=1: 'qqqqqqqq' is no key of a sweep file");
    must_refuse("parameters.lr.mim=1e-4", "~--set parameters.lr.mim=1e-4: 'mim' is no key of ");
    must_refuse("parameters.lr.mim=1e-4", "~did you mean min?");
    must_refuse("covey.scheduler.tpe=asha", "~did you mean type?");
    must_refuse("metric.gaol=maximize", "~--set metric.gaol=maximize: 'gaol' is no key of metric");
    must_refuse("method=bays", "--set method=bays: 'bays' is no method; did you mean bayes?");
    must_refuse("covey.scheduler={type: asha, eta: x}", "~: covey.scheduler.eta: the text 'x' stands where a number");
}

/* The place is the file's, but what is wrong there came by a setting. */
static void the_setting_is_told_with_the_place(void **state)
{
    (void)state;
    must_refuse("parameters.lr.max=0.0001",
                "sweep.yaml:6:10 with --set parameters.lr.max=0.0001: parameters.lr: min 0.001 is above max 0.0001; "
                "swap them");
    struct spec *spec = read_with("method: random\nparameters: {x: 5}\n", "run_cap=3", NULL);
    assert_null(spec);
    assert_true(strncmp(why, "sweep.yaml:2:17: ", 17) == 0);     /* the setting is not to blame */
    assert_null(strstr(why, "--set"));
    spec = read_with("method: random\nmetric: {name: a}\nparameters: {x: {values: [1]}}\ncovey:\n  scheduler: {type: asha, "
                     "min_iter: 1}\n", "covey.scheduler.type=median", NULL);
    assert_null(spec);
    assert_string_equal(why, "sweep.yaml:5:27 with --set covey.scheduler.type=median: covey.scheduler: min_iter is no "
                        "option of the scheduler median; --set covey.scheduler={type: ...} replaces them all");
    must_refuse("parameters.lr.min=0.05", "sweep.yaml:16:17: covey.points: the number 0.01 is no value of lr, which is "
                "from 0.05 to 0.1; without --set the file is right");
}

static void large_settings_are_refused(void **state)
{
    (void)state;
    size_t size = SPEC_FILE_MAX + 100;
    char *set = malloc(size + 1);
    assert_non_null(set);
    memset(set, 'x', size);
    set[size] = 0;
    memcpy(set, "name=", 5);
    must_refuse(set, "~the value has more than 1048576 bytes");
    assert_true(strlen(why) < 300);
    memcpy(set + 5, "[[[[", 4);
    set[SPEC_FILE_MAX - 1] = 0;
    memset(set + 5, '[', SPEC_FILE_MAX - 6);
    must_refuse(set, "~the value cannot be read");
    memset(set, 'k', SPEC_SET_KEY_MAX + 1);
    memcpy(set + SPEC_SET_KEY_MAX + 1, "=1", 3);
    must_refuse(set, "~the key has more than 1000 bytes");
    free(set);
}

/* Levels of the key and of the value add up. */
static void deep_settings_are_refused(void **state)
{
    char set[400] = "parameters";
    (void)state;
    for (int i = 0; i < YAML_DEPTH_MAX; i++)
        strcat(set, ".a");
    strcat(set, "=1");
    must_refuse(set, "~more than 63 levels");
    strcpy(set, "parameters.a.b.c.d.value=");
    for (int i = 0; i < YAML_DEPTH_MAX - 5; i++)
        strcat(set, "[");
    for (int i = 0; i < YAML_DEPTH_MAX - 5; i++)
        strcat(set, "]");
    must_refuse(set, "~more than 64 levels");
}

/* 199 * 1000 nodes, and then as many again. */
static void many_nodes_are_refused(void **state)
{
    struct text set = TEXT_NONE;
    (void)state;
    text_puts(&set, "parameters.a.values=[&x [0");
    for (int i = 1; i < 1000; i++)
        text_puts(&set, ", 0");
    text_puts(&set, "]");
    for (int i = 1; i < 190; i++)
        text_puts(&set, ", *x");
    text_puts(&set, "]");
    char *second = strdup(text_get(&set));
    assert_non_null(second);
    second[11] = 'b';
    struct spec *spec = read_with(file, text_get(&set), second, NULL);
    assert_null(spec);
    assert_non_null(strstr(why, "more than 200000 nodes"));
    free(second);
    text_fini(&set);
}

/* ---- of a sweep that is there ------------------------------------------------------------ */

static void limits_are_known(void **state)
{
    static const char *const limits[] = {
        "run_cap=9", "count=9", "covey.count=9", "parallel=2", "covey.parallel=2", "retries=1", "checkpoints=1",
        "storm=0", "time=1h", "trial_time=5", "grace=1", "leave=1", "wandb=off", "resources.gpus=1",
        "covey.resources.disk=1", "metric.target=0.5",
    };
    static const char *const others[] = {
        "method=grid", "covey.seed=3", "seed=3", "parameters.lr.min=1", "metric.goal=maximize", "covey={parallel: 3}",
        "scheduler=asha", "resources={cpus: 1}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!spec_set_is_limit(limits[i], why, sizeof why))
            fail_msg("%s", why);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(spec_set_is_limit(others[i], why, sizeof why));
        assert_true(strstr(why, others[i]) && strstr(why, "what can be set now is run_cap, parallel"));
    }
    assert_false(spec_set_is_limit("paralell=3", why, sizeof why));
    assert_non_null(strstr(why, "did you mean parallel?"));
    assert_false(spec_set_is_limit("run_cap=", why, sizeof why));
    assert_non_null(strstr(why, "a value is missing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_key_can_be_set),
        cmocka_unit_test(keys_below_covey_need_no_covey),
        cmocka_unit_test(run_cap_is_the_cap),
        cmocka_unit_test(the_last_one_counts),
        cmocka_unit_test(an_alias_keeps_what_it_shared),
        cmocka_unit_test(a_value_replaces_its_parameter),
        cmocka_unit_test(short_forms_are_opened),
        cmocka_unit_test(lists_have_places),
        cmocka_unit_test(keys_may_have_dots),
        cmocka_unit_test(what_the_file_lacks_can_be_set),
        cmocka_unit_test(bad_settings_are_told),
        cmocka_unit_test(wrong_names_are_corrected),
        cmocka_unit_test(the_setting_is_told_with_the_place),
        cmocka_unit_test(large_settings_are_refused),
        cmocka_unit_test(deep_settings_are_refused),
        cmocka_unit_test(many_nodes_are_refused),
        cmocka_unit_test(limits_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
