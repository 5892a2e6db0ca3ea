/* test_sweep_spec.c - good files mean what they say; of bad ones the message tells
 * where, what, and what would be right. */
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

#include "sweep/spec/spec.h"

static char why[1024];
static struct text warnings;

static void on_warning(const char *text, void *arg)
{
    (void)arg;
    text_printf(&warnings, "%s\n", text);
}

static struct spec *read_text(const char *yaml)
{
    text_clear(&warnings);
    why[0] = 0;
    return spec_read("sweep.yaml", yaml, strlen(yaml), on_warning, NULL, why, sizeof why);
}

static struct spec *must_read(const char *yaml)
{
    struct spec *spec = read_text(yaml);
    if (!spec)
        fail_msg("%s\n---\n%s", why, yaml);
    return spec;
}

static void must_refuse(const char *yaml, const char *message)
{
    struct spec *spec = read_text(yaml);
    if (spec)
        fail_msg("taken:\n%s", yaml);
    if (!strstr(why, message))
        fail_msg("'%s'\nand not '%s' of\n%s", why, message, yaml);
}

static void must_warn(const char *yaml, const char *message)
{
    struct spec *spec = must_read(yaml);
    if (!strstr(text_get(&warnings), message))
        fail_msg("'%s'\nand not '%s' of\n%s", text_get(&warnings), message, yaml);
    spec_free(&spec);
}

static const struct param *param_of(const struct spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->space.count; i++)
        if (strcmp(spec->space.params[i].name, name) == 0)
            return &spec->space.params[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

/* ---- good files ------------------------------------------------------------------ */

/* As in W&B's documentation. */
static const char wandb_file[] =
    "program: train.py\n"
    "project: my-first-sweep\n"
    "entity: somebody\n"
    "name: sweep\n"
    "description: a sweep\n"
    "method: bayes\n"
    "run_cap: 100\n"
    "metric:\n"
    "  goal: maximize\n"
    "  name: val_accuracy\n"
    "  target: 0.95\n"
    "parameters:\n"
    "  learning_rate:\n"
    "    min: 0.0001\n"
    "    max: 0.1\n"
    "  batch_size:\n"
    "    distribution: q_log_uniform_values\n"
    "    q: 8\n"
    "    min: 32\n"
    "    max: 256\n"
    "  epochs: {value: 27}\n"
    "  dropout: {values: [0.3, 0.4, 0.5]}\n"
    "  optimizer:\n"
    "    values: [adam, sgd]\n"
    "    probabilities: [0.25, 0.75]\n"
    "early_terminate:\n"
    "  type: hyperband\n"
    "  min_iter: 3\n"
    "  eta: 2\n"
    "  strict: true\n"
    "command:\n"
    "  - ${env}\n"
    "  - ${interpreter}\n"
    "  - ${program}\n"
    "  - hydra.run.dir=out/${now:%Y-%m-%d}\n"
    "  - ${args}\n";

static void a_wandb_file_is_read(void **state)
{
    struct spec *spec = must_read(wandb_file);
    (void)state;
    assert_string_equal(text_get(&warnings), "");
    assert_string_equal(spec->program, "train.py");
    assert_string_equal(spec->name, "sweep");
    assert_string_equal(spec->entity, "somebody");
    assert_int_equal(spec->search.kind, SEARCH_TPE);
    assert_int_equal(spec->run_cap, 100);
    assert_true(spec->metric.maximize && spec->metric.has_target && spec->metric.target == 0.95);
    assert_int_equal(spec->space.count, 5);
    const struct param *rate = param_of(spec, "learning_rate"), *batch = param_of(spec, "batch_size");
    assert_true(rate->distribution == DIST_UNIFORM && rate->low == 0.0001 && rate->high == 0.1);
    assert_true(batch->distribution == DIST_LOG_UNIFORM && batch->quantum == 8 && batch->whole);
    assert_true(param_of(spec, "optimizer")->probabilities[1] == 0.75);
    assert_int_equal(param_of(spec, "dropout")->count, 3);
    assert_int_equal(spec->scheduler.kind, SCHEDULER_BANDS);
    assert_true(spec->scheduler.min_iter == 3 && spec->scheduler.eta == 2 && spec->scheduler.strict);
    assert_string_equal(spec->command[3], "hydra.run.dir=out/${now:%Y-%m-%d}");
    assert_null(spec->command[5]);
    assert_true(spec->grace_ms == 30000 && spec->storm == 5 && isnan(spec->cpus));
    spec_free(&spec);
    assert_null(spec);
}

static const char covey_file[] =
    "method: random\n"
    "metric: {name: loss, impute: latest}\n"
    "parameters:\n"
    "  lr: {distribution: log_uniform_values, min: 1e-5, max: 0.1}\n"
    "  optimizer: {values: [sgd, rmsprop, adam]}\n"
    "  momentum: {min: 0.0, max: 0.99}\n"
    "  model:\n"
    "    parameters:\n"
    "      width: {values: [64, 128]}\n"
    "      depth: {min: 1, max: 4}\n"
    "covey:\n"
    "  scheduler: {type: pbt, population: 16, interval: 5, burn_in: 2, quantile: 0.2, resample: 0.5, factors: [0.5, 2]}\n"
    "  search: {type: tpe, startup: 20, candidates: 48, univariate: yes, constant_liar: false}\n"
    "  resources: {cpus: 2, gpus: 0.5, memory: 2GiB, gpu_memory: 512M, tpu: 1}\n"
    "  parallel: 8\n"
    "  seed: 7\n"
    "  count: 40\n"
    "  time: 2h30m\n"
    "  trial_time: 90\n"
    "  grace: 1.5s\n"
    "  leave: 500ms\n"
    "  retries: 2\n"
    "  checkpoints: 3\n"
    "  cwd: trial\n"
    "  sync: full\n"
    "  report: stdout\n"
    "  wandb: off\n"
    "  storm: 0\n"
    "  when: {momentum: {optimizer: [sgd, rmsprop]}, model.depth: {model.width: 128}}\n"
    "  points:\n"
    "    - {lr: 0.1}\n"
    "    - {optimizer: sgd, momentum: 0.9, model: {width: 128, depth: 2}}\n";

static void every_key_of_ours_is_read(void **state)
{
    struct spec *spec = must_read(covey_file);
    const struct scheduler_opts *s = &spec->scheduler;
    (void)state;
    assert_string_equal(text_get(&warnings), "");
    assert_true(s->kind == SCHEDULER_PBT && s->population == 16 && s->interval == 5 && s->burn_in == 2);
    assert_true(s->quantile == 0.2 && s->resample == 0.5 && s->factor_up == 2 && s->factor_down == 0.5);
    assert_true(spec->search.kind == SEARCH_TPE && spec->search.startup == 20);
    assert_true(spec->search.candidates == 48 && spec->search.univariate && spec->search.no_liar);
    assert_true(spec->seed == 7 && spec->search.seed == 7 && s->seed == 7);
    assert_true(spec->cpus == 2 && spec->gpus == 0.5 && spec->memory_bytes == UINT64_C(2) << 30);
    assert_true(spec->gpu_memory_bytes == UINT64_C(512) << 20 && spec->resource_count == 1);
    assert_true(strcmp(spec->resources[0].name, "tpu") == 0 && spec->resources[0].amount == 1);
    assert_true(spec->parallel == 8 && spec->run_cap == 40 && spec->retries == 2);
    assert_true(spec->time_ms == 9000000 && spec->trial_time_ms == 90000);
    assert_true(spec->grace_ms == 1500 && spec->leave_ms == 500);
    assert_true(spec->checkpoints_keep == 3 && spec->cwd_trial && spec->report_stdout && spec->sync_full);
    assert_true(spec->wandb == SPEC_WANDB_OFF && spec->storm == 0);
    assert_int_equal(spec->metric.impute, IMPUTE_LATEST);
    spec_free(&spec);
}

static void conditions_and_points_are_read(void **state)
{
    struct spec *spec = must_read(covey_file);
    const struct param *momentum = param_of(spec, "momentum");
    (void)state;
    assert_string_equal(spec->space.params[momentum->parent].name, "optimizer");
    assert_true(momentum->when[0] && momentum->when[1] && !momentum->when[2]);
    assert_int_equal(spec->point_count, 2);
    const double *first = spec->points, *second = spec->points + spec->space.count;
    assert_true(first[0] == 0.1 && isnan(first[1]) && isnan(first[2]));
    struct text t = TEXT_NONE;
    space_print_json(&t, &spec->space, second);
    assert_string_equal(text_get(&t),
                        "{\"optimizer\": \"sgd\", \"momentum\": 0.9, \"model\": {\"width\": 128, \"depth\": 2}}");
    text_fini(&t);
    spec_free(&spec);
}

/* A parent that stands behind its child in the file comes before it in the space. */
static void parents_come_first(void **state)
{
    struct spec *spec = must_read(
        "method: grid\n"
        "parameters: {c: {values: [1, 2]}, b: {values: [1, 2, 3]}, a: {values: [x, y]}, d: {values: [1, 2]}}\n"
        "covey: {when: {c: {b: 1}, b: {a: y}}}\n");
    (void)state;
    const char *const order[] = {"a", "d", "b", "c"};
    const int parents[] = {-1, -1, 0, 2};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(spec->space.params[i].name, order[i]);
        assert_int_equal(spec->space.params[i].parent, parents[i]);
    }
    /* d: 2; a = x: 1; a = y: b = 1 with 2 of c, b = 2, b = 3. */
    assert_int_equal(space_size(&spec->space), 2 * (1 + 4));
    spec_free(&spec);
}

static void distributions_have_real_bounds(void **state)
{
    static const struct {
        const char *yaml;
        enum distribution distribution;
        double low, high, quantum;
        bool whole;
    } ranges[] = {
        {"{min: 1, max: 10}", DIST_UNIFORM, 1, 10, 1, true},
        {"{min: 1, max: 10.0}", DIST_UNIFORM, 1, 10, 0, false},
        {"{distribution: uniform, min: 1, max: 10}", DIST_UNIFORM, 1, 10, 0, false},
        {"{distribution: int_uniform, min: -3, max: 3}", DIST_UNIFORM, -3, 3, 1, true},
        {"{distribution: q_uniform, min: 1, max: 10}", DIST_UNIFORM, 1, 10, 1, true},
        {"{distribution: q_uniform, min: 1, max: 10, q: 4}", DIST_UNIFORM, 4, 8, 4, true},
        {"{distribution: q_uniform, min: 0, max: 1, q: 0.25}", DIST_UNIFORM, 0, 1, 0.25, false},
        {"{distribution: q_uniform, min: 0.3, max: 0.7, q: 0.1}", DIST_UNIFORM, 0.3, 0.7, 0.1, false},
        {"{distribution: log_uniform, min: 0, max: 0}", DIST_LOG_UNIFORM, 1, 1, 0, false},
        {"{distribution: q_log_uniform, min: 0, max: 1.1}", DIST_LOG_UNIFORM, 1, 3, 1, true},
        {"{distribution: inv_log_uniform, min: 0, max: 0}", DIST_INV_LOG_UNIFORM, 1, 1, 0, false},
        {"{distribution: log_uniform_values, min: 1e-4, max: 1}", DIST_LOG_UNIFORM, 1e-4, 1, 0, false},
        {"{distribution: q_log_uniform_values, min: 1, max: 100, q: 10}", DIST_LOG_UNIFORM, 10, 100, 10, true},
        {"{distribution: inv_log_uniform_values, min: 1, max: 2}", DIST_INV_LOG_UNIFORM, 1, 2, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char yaml[200];
        snprintf(yaml, sizeof yaml, "method: random\nparameters: {x: %s}\n", ranges[i].yaml);
        struct spec *spec = must_read(yaml);
        const struct param *p = param_of(spec, "x");
        if (p->distribution != ranges[i].distribution || p->low != ranges[i].low || p->high != ranges[i].high ||
            p->quantum != ranges[i].quantum || p->whole != ranges[i].whole)
            fail_msg("%s: %d from %g to %g by %g, whole %d", yaml, p->distribution, p->low, p->high,
                     p->quantum, p->whole);
        spec_free(&spec);
    }
}

static void distributions_without_bounds_have_defaults(void **state)
{
    struct spec *spec = must_read(
        "method: random\nparameters:\n  a: {distribution: normal}\n"
        "  b: {distribution: q_log_normal, mu: 1, sigma: 0.5, q: 0.5}\n  c: {distribution: beta, a: 2}\n"
        "  d: {distribution: q_beta}\n  e: {distribution: categorical_w_probabilities, values: [1, 2], "
        "probabilities: [1, 0]}\n  f: {distribution: constant, value: null}\n  g: {distribution: q_normal}\n"
        "  h: {distribution: log_normal, mu: -2}\n");
    (void)state;
    const struct param *p = spec->space.params;
    assert_true(p[0].distribution == DIST_NORMAL && p[0].mu == 0 && p[0].sigma == 1 && p[0].quantum == 0);
    assert_true(p[1].distribution == DIST_LOG_NORMAL && p[1].mu == 1 && p[1].quantum == 0.5 && !p[1].whole);
    assert_true(p[2].distribution == DIST_BETA && p[2].a == 2 && p[2].b == 1);
    assert_true(p[3].distribution == DIST_BETA && p[3].quantum == 1 && p[3].whole);
    assert_true(p[4].probabilities[0] == 1);
    assert_int_equal(p[5].choices[0].kind, VALUE_NULL);
    assert_true(p[6].quantum == 1 && p[6].whole);
    assert_true(p[7].mu == -2 && p[7].sigma == 1);
    spec_free(&spec);
}

static void numbers_and_short_forms_are_taken(void **state)
{
    struct spec *spec = must_read("method: random\nrun_cap: 1e3\nmetric: {name: loss}\nparameters: {x: {value: 1}}\n"
                                  "covey: {scheduler: asha, search: sobol, wandb: auto, cwd: caller, report: socket}\n");
    (void)state;
    assert_int_equal(spec->run_cap, 1000);
    assert_int_equal(spec->scheduler.kind, SCHEDULER_ASHA);
    assert_int_equal(spec->search.kind, SEARCH_SOBOL);
    assert_string_equal(spec->command[3], "${args}");
    spec_free(&spec);
    spec = must_read("parameters: &p {x: {values: [1, 2]}}\ncovey: {search: grid, scheduler: none}\n");
    assert_int_equal(spec->search.kind, SEARCH_GRID);
    assert_null(spec->metric.name);
    spec_free(&spec);
    spec = must_read("method: random\nrun_cap: 5\nparameters: {x: {value: 1}}\ncovey: {count: 10}\n");
    assert_int_equal(spec->run_cap, 5);
    spec_free(&spec);
}

static void points_survive_json(void **state)
{
    struct spec *spec = must_read(covey_file);
    double x[16];
    char message[200];
    (void)state;
    struct json_object *json = json_tokener_parse(
        "{\"model\": {\"depth\": 3, \"width\": 128}, \"lr\": 1e-05, \"optimizer\": \"adam\"}");
    assert_true(space_read_json(&spec->space, json, x, message, sizeof message));
    struct text t = TEXT_NONE;
    space_print_json(&t, &spec->space, x);
    assert_string_equal(text_get(&t), "{\"lr\": 1e-05, \"optimizer\": \"adam\", \"model\": {\"width\": 128, \"depth\": 3}}");
    text_fini(&t);
    json_object_put(json);
    static const char *const bad[][2] = {
        {"{\"lr\": 1}", "lr: 1 is none of its values"},
        {"{\"LR\": 0.1}", "no parameter is named LR"},
        {"{\"model\": 3}", "model is a mapping of parameters"},
        {"{\"optimizer\": \"adam\", \"momentum\": 0.5}", "momentum is no parameter where optimizer"},
        {"{\"momentum\": 0.5}", "momentum depends on optimizer"},
        {"{\"model\": {\"width\": 128, \"depth\": 2.5}}", "model.depth: 2.5 is none"},
        {"[]", "a point is a mapping"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json = json_tokener_parse(bad[i][0]);
        assert_false(space_read_json(&spec->space, json, x, message, sizeof message));
        if (!strstr(message, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], message);
        json_object_put(json);
    }
    spec_free(&spec);
}

/* 3 * 0.1 is not 0.3, and both are the parameter's. */
static void the_raster_is_met_by_any_arithmetic(void **state)
{
    struct spec *spec = must_read("method: grid\nparameters: {x: {distribution: q_uniform, min: 0.25, max: 0.7, q: 0.1}}\n");
    struct value decimal = value_float(0.3), product = value_float(3 * 0.1), below = value_float(0.29);
    double x;
    (void)state;
    assert_true(param_coordinate(&spec->space.params[0], &decimal, &x) && x == 0.3);
    assert_true(param_coordinate(&spec->space.params[0], &product, &x));
    assert_false(param_coordinate(&spec->space.params[0], &below, &x));
    assert_int_equal(space_size(&spec->space), 5);
    spec_free(&spec);
}

/* ---- warnings -------------------------------------------------------------------- */

#define HEAD "method: random\nmetric: {name: loss}\n"
#define ONE "parameters: {x: {value: 1}}\n"

static void what_wandb_tolerates_is_a_warning(void **state)
{
    (void)state;
    must_warn(HEAD ONE "early_terminate: {type: hyperband, min_iter: 3, s: 2}\n",
              "sweep.yaml:4:52: early_terminate: s is not used, as in W&B");
    must_warn(HEAD ONE "early_terminate: {type: hyperband, min_iter: 3, max_iter: 27, s: 2}\n",
              "min_iter is not used");
    must_warn(HEAD ONE "early_terminate: {type: hyperband, min_iter: 3, max_iter: 27}\n", "max_iter is not used");
    must_warn(HEAD ONE "early_terminate: {type: hyperband, min_iter: 3}\ncovey: {scheduler: none}\n",
              "sweep.yaml:4:18: early_terminate is not used: covey.scheduler is there");
    must_warn(HEAD "parameters:\n  lr: {distribution: log_uniform, min: 0.001, max: 0.1}\n",
              "sweep.yaml:4:40: parameters.lr: log_uniform takes exponents: 0.001 and 0.1 mean 1.001 to 1.10517; "
              "if they are values, write log_uniform_values");
    must_warn(HEAD "parameters: {b: {distribution: q_log_uniform, min: 16, max: 64}}\n", "q_log_uniform_values");
    must_warn(HEAD "parameters: {b: {values: [1, 2, 1]}}\n", "a value that is listed twice counts once");
    struct spec *spec = must_read(HEAD "parameters: {b: {distribution: log_uniform, min: -9.2, max: -2.3}}\n");
    assert_string_equal(text_get(&warnings), "");
    spec_free(&spec);
    spec = must_read(HEAD "parameters: {b: {values: [a, 1, b, a, 1], probabilities: [0.1, 0.2, 0.3, 0.2, 0.2]}}\n");
    const struct param *p = param_of(spec, "b");
    assert_int_equal(p->count, 3);
    assert_true(fabs(p->probabilities[0] - 0.3) < 1e-12 && fabs(p->probabilities[1] - 0.4) < 1e-12);
    spec_free(&spec);
}

/* ---- bad files ------------------------------------------------------------------- */

static void mistakes_at_the_top_are_told(void **state)
{
    (void)state;
    must_refuse("[]", "sweep.yaml:1:1: a list stands where a mapping, a sweep file, is expected");
    must_refuse("", "the file is empty");
    must_refuse(ONE, "sweep.yaml:1:1: no `method`");
    must_refuse("method: random\n", "no `parameters`");
    must_refuse("metod: random\n" ONE, "sweep.yaml:1:1: 'metod' is no key of a sweep file; did you mean method?");
    must_refuse("method: rnadom\n" ONE, "sweep.yaml:1:9: method: 'rnadom' is no method; did you mean random?");
    must_refuse("method: hyperopt\n" ONE, "one of grid, random, bayes, custom");
    must_refuse("method: custom\n" ONE, "covey sweep ask");
    must_refuse("method: [grid]\n" ONE, "a list stands where a word is expected");
    must_refuse("method: bayes\n" ONE, "sweep.yaml:1:9: this search learns from a metric");
    must_refuse("method: random\nearly_terminate: {type: hyperband, min_iter: 1}\n" ONE,
                "stopping early needs a metric");
    must_refuse("method: random\nscheduler: {}\n" ONE, "ours stands below `covey`");
    must_refuse("method: random\nmetrics: []\n" ONE, "name one under `metric`");
    must_refuse("method: random\nrun_cap: 0\n" ONE, "sweep.yaml:2:10: run_cap: 0 is too small; at least 1");
    must_refuse("method: random\nrun_cap: 2.5\n" ONE, "2.5 is no whole number");
    must_refuse("method: random\nrun_cap: '5'\n" ONE, "leave the quotes out");
    must_refuse("method: random\nname: [x]\n" ONE, "name: a list stands where a text");
    must_refuse("method: random\nmethod: grid\n" ONE, "sweep.yaml:2:1: method is given twice");
    must_refuse("method: random\nmetric: loss\n" ONE, "the text 'loss' stands where a mapping, metric,");
    must_refuse("method: random\nmetric: {goal: minimize}\n" ONE, "a metric without `name`");
    must_refuse("method: random\nmetric: {name: l, goal: minimise}\n" ONE, "did you mean minimize?");
    must_refuse("method: random\nmetric: {name: l, target: .nan}\n" ONE, "no finite number");
    must_refuse("method: random\nmetric: {name: l, gaol: x}\n" ONE, "did you mean goal?");
    must_refuse("method: random\nmetric: {name: l, impute: mean}\n" ONE, "one of worst, best, latest");
    must_refuse("method: grid\nparameters: {a: {values: [1]}, lr: {min: 0.0, max: 1}}\n",
                "sweep.yaml:1:9: a grid needs lists of values, int_uniform or q_uniform, and lr has no end");
    must_refuse("method: random\ncommand: python train.py\n" ONE, "a command is a list of words");
    must_refuse("method: random\ncommand: []\n" ONE, "an empty command");
    must_refuse("method: random\ncommand: [a, '${arg}']\n" ONE,
                "sweep.yaml:2:14: command: '${arg}' is no macro; did you mean ${args}?");
    must_refuse("method: random\ncommand: [a, [b]]\n" ONE, "a list stands where a word of the command");
}

static void mistakes_in_early_terminate_are_told(void **state)
{
    (void)state;
    must_refuse(HEAD ONE "early_terminate: {min_iter: 3}\n", "without `type: hyperband`");
    must_refuse(HEAD ONE "early_terminate: {type: hyperband}\n", "wants min_iter, or max_iter and s");
    must_refuse(HEAD ONE "early_terminate: {type: hyperband, max_iter: 3}\n", "max_iter wants s");
    must_refuse(HEAD ONE "early_terminate: {type: asha, min_iter: 3}\n", "'asha' is no early_terminate type");
    must_refuse(HEAD ONE "early_terminate: {type: hyperband, min_iter: 0}\n", "0 is too small; at least 1");
    must_refuse(HEAD ONE "early_terminate: {type: hyperband, min_iter: 1, eta: 1}\n", "eta 1 is not above 1");
    must_refuse(HEAD ONE "early_terminate: {type: hyperband, miniter: 1}\n", "did you mean min_iter?");
}

static void mistakes_in_parameters_are_told(void **state)
{
    static const char *const bad[][2] = {
        {"{min: 0.1, max: 0.01}", "sweep.yaml:3:12: parameters.x: min 0.1 is above max 0.01; swap them"},
        {"0.1", "the number 0.1 stands where a mapping is expected; write {value: 0.1}"},
        {"[1, 2]", "write {values: [...]}"},
        {"{}", "no values: give `value`"},
        {"{min: 1}", "min without max"},
        {"{max: 1}", "max without min"},
        {"{values: []}", "an empty list has no value to try"},
        {"{values: 3}", "the number 3 stands where a list of values is expected"},
        {"{value: .nan}", "no finite number; a text prints the same: 'nan'"},
        {"{values: [1, [-.inf]]}", "a text prints the same: '-inf'"},
        {"{values: [1, 2], probabilities: [0.5]}", "1 probabilities for 2 values"},
        {"{values: [1, 2], probabilities: [0.5, 0.6]}", "sum to 1.1, not to 1"},
        {"{values: [1, 2], probabilities: [1.5, -0.5]}", "1.5 is no probability"},
        {"{values: [1, 2], probabilities: [a, b]}", "the text 'a' stands where a number"},
        {"{values: [1, 2], probabilities: 1}", "a list of probabilities"},
        {"{values: [1, 2], min: 1}", "min does not go with categorical"},
        {"{value: 1, values: [1]}", "values does not go with constant"},
        {"{min: 0, max: 1, q: 2}", "q does not go with int_uniform; with it the distribution is q_uniform"},
        {"{min: 0.0, max: 1, q: 2}", "with it the distribution is q_uniform"},
        {"{distribution: log_unifrom, min: 1, max: 2}", "did you mean log_uniform?"},
        {"{distribution: [x]}", "a list stands where a distribution's name"},
        {"{distribution: uniform}", "uniform without `min`"},
        {"{distribution: uniform, min: 0}", "uniform without `max`"},
        {"{distribution: constant}", "constant without `value`"},
        {"{distribution: categorical}", "categorical without `values`"},
        {"{distribution: int_uniform, min: 0.5, max: 2}", "the number 0.5 stands where a whole number"},
        {"{distribution: int_uniform, min: 0, max: 9007199254740994}", "beyond 2^53"},
        {"{distribution: uniform, min: .nan, max: 2}", ".nan is no finite number"},
        {"{distribution: uniform, min: -1.7e308, max: 1.7e308}", "too far"},
        {"{distribution: log_uniform_values, min: 0, max: 2}", "min 0 has no logarithm; it must be above 0"},
        {"{distribution: log_uniform, min: 0, max: 1000}", "for values write log_uniform_values"},
        {"{distribution: inv_log_uniform, min: -1000, max: 0}", "for values write inv_log_uniform_values"},
        {"{distribution: q_uniform, min: 0.1, max: 0.9}", "no multiple of q 1 lies between 0.1 and 0.9; q is 1"},
        {"{distribution: q_uniform, min: 1, max: 4, q: 5}", "no multiple of q 5"},
        {"{distribution: q_uniform, min: 1, max: 4, q: 0}", "q 0 is not above 0"},
        {"{distribution: normal, sigma: 0}", "sigma 0 is not above 0"},
        {"{distribution: normal, min: 0}", "min does not go with normal"},
        {"{distribution: beta, a: -1}", "a -1 is not above 0"},
        {"{mu: 0, sigma: 1}", "want `distribution: normal`"},
        {"{min: a, max: 2}", "the text 'a' stands where a number is expected"},
        {"{min: '0.1', max: 2}", "leave the quotes out"},
        {"{mim: 0, max: 1}", "sweep.yaml:3:7: parameters.x: 'mim' is no key of a parameter; did you mean min?"},
        {"{parameters: {}}", "parameters.x: no parameters"},
        {"{parameters: {y: {value: 1}}, value: 2}", "nested `parameters` stand alone"},
        {"{parameters: {y: {min: 2, max: 1}}}", "parameters.x.y: min 2 is above max 1"},
        {"{parameters: 5}", "a mapping of parameters"},
        {"{values: [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}", "a value of more than 12 levels"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char yaml[300];
        snprintf(yaml, sizeof yaml, "method: random\nparameters: \n  x: %s\n", bad[i][0]);
        must_refuse(yaml, bad[i][1]);
    }
    must_refuse("method: random\nparameters: {1x: {value: 1}}\n", "'1x' is no parameter's name");
    must_refuse("method: random\nparameters: {a b: {value: 1}}\n", "'a b' is no parameter's name");
    must_refuse("method: random\nparameters: {a.b: {value: 1}, a: {parameters: {b: {value: 2}}}}\n",
                "a second parameter whose full name is a.b");
    must_refuse("method: random\nparameters: []\n", "a list stands where a mapping of parameters");
}

static void mistakes_in_covey_are_told(void **state)
{
    static const char *const bad[][2] = {
        {"paralel: 3", "sweep.yaml:5:10: covey: 'paralel' is no key of covey; did you mean parallel?"},
        {"parallel: 0", "covey.parallel: 0 is too small; at least 1"},
        {"parallel: many", "the text 'many' stands where a whole number is expected"},
        {"seed: -1", "covey.seed: -1 is too small"},
        {"time: 2:30", "stands where a time such as 90 (seconds), 30s or 2h30m is expected"},
        {"time: 5x", "stands where a time"},
        {"time: 0", "too short"},
        {"grace: -1", "no length of time"},
        {"wandb: maybe", "one of auto, off"},
        {"cwd: here", "one of caller, trial"},
        {"sync: always", "one of normal, full"},
        {"report: file", "one of socket, stdout"},
        {"resources: {cpu: 2}", "covey.resources.cpu: cpu is called cpus here"},
        {"resources: {cpus: -1}", "-1 is too small; at least 0"},
        {"resources: {memory: lots}", "a size such as 512M or 2GiB"},
        {"resources: {tpu: -1}", "no amount"},
        {"resources: 5", "a mapping of resources"},
        {"search: tpee", "did you mean tpe?"},
        {"search: {startup: 3}", "a search without `type`"},
        {"search: {type: random, startup: 3}", "the search random has no options"},
        {"search: {type: tpe, startups: 3}", "did you mean startup?"},
        {"search: grid", "x has no end of values"},
        {"scheduler: ashaa", "did you mean asha?"},
        {"scheduler: {eta: 3}", "a scheduler without `type`"},
        {"scheduler: {type: median, eta: 3}", "eta is no option of the scheduler median"},
        {"scheduler: {type: asha, max_t: 3}", "max_t is called max_iter here"},
        {"scheduler: {type: asha, grace_perod: 3}", "no option of this scheduler"},
        {"scheduler: {type: asha, min_itr: 3}", "did you mean min_iter?"},
        {"scheduler: {type: asha, eta: 1}", "eta 1 is not above 1"},
        {"scheduler: {type: asha, min_iter: 9, max_iter: 3}", "min_iter 9 is above max_iter 3"},
        {"scheduler: {type: pbt, quantile: 0.9}", "0.9 is too large; at most 0.5"},
        {"scheduler: {type: pbt, factors: [1.2]}", "factors are two numbers"},
        {"scheduler: {type: pbt, factors: [1.2, 1.5]}", "one factor is to be above 1"},
        {"scheduler: {type: pbt, population: 1}", "1 is too small; at least 2"},
        {"when: {y: {o: b}}", "covey.when.y: 'y' is no parameter"},
        {"when: {x: {p: b}}", "'p' is no parameter"},
        {"when: {x: {o: c}}", "o is never this"},
        {"when: {o: {x: 1}}", "x has no list of values"},
        {"when: {x: {o: []}}", "would never be there"},
        {"when: {o: {o: a}}", "o depends on itself"},
        {"when: {o: {k: 1}, k: {o: a}}", "conditions in a circle"},
        {"when: {x: 5}", "a condition names one parameter"},
        {"when: 5", "a mapping of parameters to conditions"},
        {"points: 5", "a list of points"},
        {"points: [5]", "covey.points: the number 5 stands where a mapping of parameters"},
        {"points: [{z: 1}]", "'z' is no parameter"},
        {"points: [{x: 5}]", "sweep.yaml:5:23: covey.points: the number 5 is no value of x, which is from 0 to 1"},
        {"points: [{o: c}]", "the text 'c' is no value of o"},
        {"when: {x: {o: a}}, points: [{o: b, x: 0.5}]", "x is no parameter where o is what it is here"},
        {"when: {x: {o: a}}, points: [{x: 0.5}]", "x depends on o, which the point is to name"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char yaml[300];
        snprintf(yaml, sizeof yaml, HEAD "parameters:\n  {x: {min: 0.0, max: 1}, o: {values: [a, b]}, "
                 "k: {values: [1, 2]}}\ncovey: { %s}\n", bad[i][0]);
        must_refuse(yaml, bad[i][1]);
    }
}

/* ---- files ------------------------------------------------------------------------- */

static void files_are_opened(void **state)
{
    char path[] = "/tmp/covey-spec-XXXXXX";
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, wandb_file, strlen(wandb_file)), (int)strlen(wandb_file));
    close(fd);
    struct spec *spec = spec_open(path, NULL, NULL, NULL, why, sizeof why);
    assert_non_null(spec);
    assert_string_equal(spec->file, path);
    spec_free(&spec);
    unlink(path);
    assert_null(spec_open(path, NULL, NULL, NULL, why, sizeof why));
    assert_non_null(strstr(why, "No such file"));
    assert_null(spec_open("/", NULL, NULL, NULL, why, sizeof why));
    assert_non_null(strstr(why, "directory"));
    char *large = calloc(1, SPEC_FILE_MAX + 1);
    assert_non_null(large);
    assert_null(spec_read("large", large, SPEC_FILE_MAX + 1, NULL, NULL, why, sizeof why));
    assert_non_null(strstr(why, "more than 1048576 bytes"));
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wandb_file_is_read),
        cmocka_unit_test(every_key_of_ours_is_read),
        cmocka_unit_test(conditions_and_points_are_read),
        cmocka_unit_test(parents_come_first),
        cmocka_unit_test(distributions_have_real_bounds),
        cmocka_unit_test(distributions_without_bounds_have_defaults),
        cmocka_unit_test(numbers_and_short_forms_are_taken),
        cmocka_unit_test(points_survive_json),
        cmocka_unit_test(the_raster_is_met_by_any_arithmetic),
        cmocka_unit_test(what_wandb_tolerates_is_a_warning),
        cmocka_unit_test(mistakes_at_the_top_are_told),
        cmocka_unit_test(mistakes_in_early_terminate_are_told),
        cmocka_unit_test(mistakes_in_parameters_are_told),
        cmocka_unit_test(mistakes_in_covey_are_told),
        cmocka_unit_test(files_are_opened),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    text_fini(&warnings);
    return failed;
}
