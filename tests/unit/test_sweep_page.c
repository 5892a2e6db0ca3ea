/* test_sweep_page.c - the page of a sweep: whole, bounded, and not to be broken out of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <json-c/json.h>
#include <locale.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sweep/page/page_internal.h"
#include "temp_dir.h"

static struct temp_dir dir;

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

/* ---- a sweep ------------------------------------------------------------------------- */

#define HOSTILE "</script><script>alert(1)</script><!-- & \xe2\x80\xa8\xe2\x80\xa9 \"'\\ ]]> \xc3\xa9"

/* The same as it stands in the file, which is YAML. */
#define HOSTILE_YAML "\"</script><script>alert(1)</script><!-- & \\u2028\\u2029 \\\"'\\\\ ]]> \\u00e9\""

static const char file[] =
    "name: " HOSTILE_YAML "\n"
    "description: " HOSTILE_YAML "\n"
    "method: random\n"
    "metric: {name: " HOSTILE_YAML ", goal: minimize}\n"
    "parameters:\n"
    "  lr: {distribution: log_uniform_values, min: 0.0001, max: 0.1}\n"
    "  kind: {values: [" HOSTILE_YAML ", plain]}\n"
    "  depth: {min: 1, max: 3}\n"
    "  fixed: {value: " HOSTILE_YAML "}\n"
    "command: [\"true\"]\n"
    "run_cap: 40\n"
    "covey: {scheduler: {type: asha, max_iter: 9, min_iter: 1, eta: 3}}\n";

static covey_sweep *create(void)
{
    char path[128];
    covey_sweep *s;
    snprintf(path, sizeof path, "%s/s", dir.path);
    covey_sweep_opts opts = {.size = sizeof opts, .text = file, .dir = path, .seeded = true, .seed = 3};
    if (covey_sweep_create(&s, &opts) != COVEY_OK)
        fail_msg("%s", covey_sweep_error());
    return s;
}

static uint32_t ask(covey_sweep *s)
{
    covey_offer offer;
    if (covey_sweep_ask(s, &offer) != COVEY_OK)
        fail_msg("%s", covey_sweep_error());
    return offer.trial;
}

/* True: it is to stop. */
static bool report(covey_sweep *s, uint32_t trial, int64_t step, const char *value)
{
    char line[256];
    struct sweep_answer answer;
    snprintf(line, sizeof line,
             "{\"step\": %lld, \"</script><script>alert(1)</script><!-- & \\u2028\\u2029 \\\"'\\\\ ]]> \\u00e9\": %s}",
             (long long)step, value);
    sweep_report(s, trial, step, line, strlen(line), &answer);
    if (answer.refused)
        fail_msg("%s", answer.why);
    return answer.stop;
}

static void run_trial(covey_sweep *s, uint32_t trial, bool fails)
{
    char value[32];
    bool stop = false;
    for (int64_t step = 1; step <= (fails ? 1 : 9) && !stop; step++) {
        snprintf(value, sizeof value, "%.3f", 1.0 / (double)step + trial % 7);
        stop = report(s, trial, step, trial == 2 ? "NaN" : trial == 3 && step == 1 ? "Infinity" : value);
    }
    sweep_record_end(s, trial, fails, false, fails ? HOSTILE : NULL);
}

/* ---- its page ------------------------------------------------------------------------- */

static char *page(covey_sweep *s, size_t *size)
{
    char why[512], path[256];
    struct stat at;
    if (page_write(s, why, sizeof why) != COVEY_OK)
        fail_msg("%s", why);
    snprintf(path, sizeof path, "%s/" PAGE_FILE, covey_sweep_dir(s));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &at), 0);
    char *text = malloc((size_t)at.st_size + 1);
    assert_non_null(text);
    *size = fread(text, 1, (size_t)at.st_size, f);
    text[*size] = 0;
    assert_int_equal(strlen(text), *size);
    fclose(f);
    return text;
}

static size_t times(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strcasestr(at, what)); at += strlen(what))
        n++;
    return n;
}

/* What stands between the tags; the caller frees. */
static char *data_of(const char *text)
{
    const char *from = strstr(text, "<script type=\"application/json\" id=\"data\">");
    assert_non_null(from);
    from = strchr(from, '>') + 1;
    const char *end = strstr(from, "</script");
    assert_non_null(end);
    return strndup(from, (size_t)(end - from));
}

static json_object *parse(const char *data)
{
    enum json_tokener_error error;
    json_object *json = json_tokener_parse_verbose(data, &error);
    if (!json)
        fail_msg("the data is no JSON: %s", json_tokener_error_desc(error));
    return json;
}

static json_object *get(json_object *json, const char *key)
{
    json_object *value = NULL;
    if (!json_object_object_get_ex(json, key, &value))
        fail_msg("the data has no \"%s\"", key);
    return value;
}
static const char *get_text(json_object *json, const char *key) { return json_object_get_string(get(json, key)); }
static json_object *at(json_object *list, size_t i) { return json_object_array_get_idx(list, i); }

static const char *state_of(json_object *json, size_t trial)
{
    int state = json_object_get_int(at(at(get(json, "trials"), trial), 1));
    return json_object_get_string(at(get(json, "states"), (size_t)state));
}

/* ---- tests ------------------------------------------------------------------------------- */

static void test_hostile_texts(void **state)
{
    size_t size;
    (void)state;
    covey_sweep *s = create();
    for (uint32_t i = 0; i < 40; i++)
        run_trial(s, ask(s), i % 10 == 0);
    char *text = page(s, &size), *data = data_of(text);

    /* Three scripts, and nothing that a user wrote is one. */
    assert_int_equal(times(text, "<script"), 3);
    assert_int_equal(times(text, "</script"), 3);
    assert_int_equal(times(text, "alert(1)</script"), 0);
    assert_int_equal(times(text, "<!--"), 0);
    assert_int_equal(times(text, "\xe2\x80\xa8"), 1);   /* in the title */
    assert_null(strpbrk(data, "<>&"));
    assert_null(strstr(data, "\xe2\x80\xa8"));
    assert_null(strstr(data, "\xe2\x80\xa9"));
    assert_non_null(strstr(text, "<title>&#60;/script&#62;&#60;script&#62;alert(1)"));

    /* It reads back as it was. */
    json_object *json = parse(data);
    assert_string_equal(get_text(json, "name"), HOSTILE);
    assert_string_equal(get_text(json, "description"), HOSTILE);
    assert_string_equal(get_text(json, "metric"), HOSTILE);
    json_object *kind = at(get(json, "params"), 1);
    assert_string_equal(get_text(kind, "name"), "kind");
    assert_string_equal(json_object_get_string(at(get(kind, "choices"), 0)), HOSTILE);
    bool told = false;
    for (size_t i = 0; i < 40; i++) {
        const char *why = json_object_get_string(at(at(get(json, "trials"), i), 10));
        told = told || (why && strcmp(why, HOSTILE) == 0);
    }
    assert_true(told);
    json_object_put(json);
    free(data);
    free(text);
    covey_sweep_close(&s);
}

static void test_figures(void **state)
{
    size_t size;
    (void)state;
    covey_sweep *s = create();
    for (uint32_t i = 0; i < 40; i++)
        run_trial(s, ask(s), i % 10 == 0);
    s->spec->seed = UINT64_C(18446744073709551615);
    char *text = page(s, &size), *data = data_of(text);
    json_object *json = parse(data);
    /* A text, since JavaScript's numbers are exact to 2^53. */
    assert_true(json_object_is_type(get(json, "seed"), json_type_string));
    assert_string_equal(get_text(json, "seed"), "18446744073709551615");
    assert_int_equal(json_object_array_length(get(json, "trials")), 40);
    assert_int_equal(json_object_array_length(get(json, "curves")), 40);
    assert_int_equal(json_object_array_length(get(json, "runs")), 40);
    assert_int_equal(json_object_array_length(get(json, "params")), 3);
    assert_int_equal(json_object_array_length(get(json, "rungs")), 2);
    assert_int_equal(json_object_array_length(get(get(json, "importance"), "params")), 3);
    assert_int_equal(json_object_get_int(get(json, "thinned")), 0);
    json_object *saving = get(json, "saving");
    int64_t steps = 0, trials = 0;
    for (uint32_t i = 0; i < 40; i++) {
        const struct trial *t = controller_trial(s->controller, i);
        steps += t->state != TRIAL_FAILED ? t->step : 0;
        trials += t->state != TRIAL_FAILED;
    }
    assert_int_equal(json_object_get_int64(get(saving, "steps")), steps);
    assert_int_equal(json_object_get_int64(get(saving, "trials")), trials);
    assert_int_equal(json_object_get_int64(get(saving, "longest")), 9);
    assert_int_equal(json_object_get_int64(get(json, "steps")), controller_steps(s->controller));
    /* NaN and infinity are null. */
    assert_null(at(at(get(json, "curves"), 2), 1));
    assert_null(at(at(get(json, "trials"), 2), 2));
    assert_null(at(at(get(json, "curves"), 3), 1));
    json_object *best = get(json, "best");
    assert_int_equal(json_object_get_int(get(best, "trial")), controller_best(s->controller)->number);
    assert_int_equal(json_object_array_length(get(best, "values")), 4);
    assert_non_null(get(get(best, "json"), "lr"));
    json_object_put(json);
    free(data);
    free(text);
    covey_sweep_close(&s);
}

/* Nothing of it points elsewhere, and if something did, the page forbids it. */
static void test_asks_for_nothing(void **state)
{
    size_t size;
    (void)state;
    covey_sweep *s = create();
    char *text = page(s, &size);
    assert_non_null(strstr(text, "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "));
    assert_int_equal(times(text, "{{"), 0);
    assert_int_equal(times(text, " src="), 0);
    assert_int_equal(times(text, "<link"), 1);
    assert_int_equal(times(text, "href=\"data:,\""), 1);
    assert_int_equal(times(text, "href="), 2);          /* and one within the page */
    assert_int_equal(times(text, "@import"), 0);
    assert_int_equal(times(text, "url("), times(text, "\"url(") + times(text, "'url("));
    assert_non_null(strstr(text, "Redistribution and use in source and binary forms"));
    free(text);
    covey_sweep_close(&s);
}

/* Before the first trial, with one that runs, and beside a runner. */
static void test_early(void **state)
{
    size_t size;
    (void)state;
    covey_sweep *s = create(), *looking;
    char *text = page(s, &size), *data = data_of(text);
    json_object *json = parse(data);
    assert_int_equal(json_object_array_length(get(json, "trials")), 0);
    json_object_put(json);
    free(data);
    free(text);
    uint32_t trial = ask(s);
    report(s, trial, 1, "0.5");
    free(record_meta(s->record, "name"));               /* now it is on disk */
    assert_int_equal(covey_sweep_look(&looking, covey_sweep_dir(s)), COVEY_OK);
    text = page(looking, &size);
    data = data_of(text);
    json = parse(data);
    assert_true(json_object_get_boolean(get(json, "running")));
    assert_string_equal(state_of(json, 0), "running");
    json_object_put(json);
    free(data);
    free(text);
    /* Its runner is gone. */
    covey_sweep_close(&s);
    text = page(looking, &size);
    data = data_of(text);
    json = parse(data);
    assert_false(json_object_get_boolean(get(json, "running")));
    assert_string_equal(state_of(json, 0), "unfinished");
    json_object_put(json);
    free(data);
    free(text);
    covey_sweep_close(&looking);
}

/* ---- thinning ------------------------------------------------------------------------------ */

static json_object *curve(struct page *p, char **text)
{
    size_t size = 0;
    p->file = open_memstream(text, &size);
    text_puts(&p->part, "{");
    page_put_curves(p);
    text_puts(&p->part, "}");
    page_put_json(p);
    fclose(p->file);
    assert_int_equal(p->status, COVEY_OK);
    json_object *json = parse(*text);
    assert_int_equal(json_object_get_int(get(json, "points_max")), p->points_max);
    return json;
}

static void test_thinning(void **state)
{
    char why[128];
    uint32_t place = 0;
    (void)state;
    covey_sweep *s = create();
    s->spec->scheduler.kind = SCHEDULER_NONE;
    uint32_t trial = ask(s);
    for (int64_t step = 1; step <= 1000; step++) {
        char line[96];
        snprintf(line, sizeof line, "{\"x\": %lld}", (long long)step);
        struct record_event e = {.kind = RECORD_REPORT, .time_ms = 1, .trial = trial, .report = {
            .step = step, .has_value = true, .value = (double)step / 2, .metrics = line}};
        record_append(s->record, &e);
    }
    free(record_meta(s->record, "name"));
    for (uint32_t most = 4; most <= 64; most += 15) {
        char *text;
        struct page p = {.s = s, .status = COVEY_OK, .why = why, .why_size = sizeof why, .trials = 1, .shown = 1,
                         .points_max = most, .place = &place};
        json_object *json = curve(&p, &text), *points = at(get(json, "curves"), 0);
        size_t count = json_object_array_length(points) / 2;
        assert_true(count <= most + 1 && count * 2 + 2 >= most);
        assert_int_equal(json_object_get_int(get(json, "thinned")), 1);
        /* From the first to the last, evenly. */
        int64_t stride = json_object_get_int64(at(points, 2)) - 1;
        for (size_t i = 0; i < count; i++) {
            int64_t step = json_object_get_int64(at(points, 2 * i));
            assert_int_equal(step, i + 1 < count || stride * (int64_t)i == 999 ? 1 + stride * (int64_t)i : 1000);
            assert_true(json_object_get_double(at(points, 2 * i + 1)) == (double)step / 2);
        }
        json_object_put(json);
        text_fini(&p.part);
        free(text);
    }
    covey_sweep_close(&s);
}

static void test_short_numbers(void **state)
{
    static const struct { double x; const char *text; } numbers[] = {
        {0, "0"}, {-1.5, "-1.5"}, {1e-9, "1e-09"}, {123456789, "1.23457e+08"}, {NAN, "null"}, {-INFINITY, "null"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct text t = TEXT_NONE;
        page_short_number(&t, numbers[i].x);
        assert_string_equal(text_get(&t), numbers[i].text);
        text_fini(&t);
    }
}

/* A page that cannot be written is an error, and the one of before stays. */
static void test_no_room(void **state)
{
    char why[512], path[256];
    size_t size;
    (void)state;
    covey_sweep *s = create();
    char *text = page(s, &size);
    free(text);
    snprintf(path, sizeof path, "%s/." PAGE_FILE ".%d", covey_sweep_dir(s), (int)getpid());
    assert_int_equal(symlink("/dev/full", path), 0);
    assert_int_equal(page_write(s, why, sizeof why), COVEY_ESYSTEM);
    assert_non_null(strstr(why, PAGE_FILE ": No space left on device"));
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/" PAGE_FILE, covey_sweep_dir(s));
    struct stat there;
    assert_int_equal(stat(path, &there), 0);
    assert_int_equal(there.st_size, size);
    covey_sweep_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hostile_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_figures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asks_for_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_early, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thinning, setup, teardown),
        cmocka_unit_test(test_short_numbers),
        cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
