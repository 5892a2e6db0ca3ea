/* test_sweep_replay.c - curves of a sweep that has run, schedulers played on them and
 * told, and both where memory runs out.
 */
#include "failing_sqlite.h"
#include "scheduler_world.h"

#include <sys/stat.h>

#include "covey/sweep.h"
#include "sweep/scheduler/replay.h"
#include "temp_dir.h"

static struct temp_dir dir;
static char path[128];

/* ---- a sweep ---------------------------------------------------------------------------- */

/* Its trials' reports, one digit of the loss each: "n" is NaN, "x" one without a loss, "." one
 * more of the same step. */
static const struct { const char *losses; bool failed; } told[] = {
    {"5n.1", false}, {"62", false}, {"x4", true}, {"9", false},
};
#define TOLD (sizeof told / sizeof *told)

static void tell(covey_sweep *s, uint32_t trial, const char *losses)
{
    int64_t step = 0;
    bool stop = false;
    for (const char *c = losses; *c && !stop; c++) {
        char report[64];
        step += *c != '.';
        snprintf(report, sizeof report, *c == 'n' ? "{\"loss\": NaN}" : *c == 'x' || *c == '.' ? "{\"other\": 1}"
                                                  : "{\"loss\": 0.%c}", *c);
        if (covey_sweep_tell(s, trial, step, report, &stop) != COVEY_OK)
            fail_msg("%s", covey_sweep_error());
    }
}

static void make_sweep(void)
{
    covey_sweep *s;
    covey_offer offer;
    static const char text[] =
        "method: random\nmetric: {name: loss}\nparameters:\n  x: {min: 0.0, max: 1.0}\nrun_cap: 4\n"
        "covey: {seed: 1, scheduler: {type: asha, max_iter: 3, min_iter: 1, eta: 3}}\n";
    snprintf(path, sizeof path, "%s/sweep", dir.path);
    covey_sweep_opts opts = {.size = sizeof opts, .text = text, .dir = path};
    if (covey_sweep_create(&s, &opts) != COVEY_OK)
        fail_msg("%s", covey_sweep_error());
    for (size_t i = 0; i < TOLD; i++) {
        assert_int_equal(covey_sweep_ask(s, &offer), COVEY_OK);
        assert_int_equal(offer.trial, i);
        tell(s, offer.trial, told[i].losses);
        assert_int_equal(covey_sweep_end(s, offer.trial, told[i].failed), COVEY_OK);
    }
    covey_sweep_close(&s);
}

static void assert_curve(struct curves *c, uint32_t trial, const char *name, const char *losses)
{
    struct curve_source source = curves_source(c);
    struct curve_point p;
    assert_string_equal(curves_name(c, trial), name);
    uint32_t i = 0;
    for (; losses[i]; i++) {
        assert_true(source.point(source.arg, trial, i, &p));
        assert_true(p.seconds >= 0);
        double want = losses[i] == 'n' ? INFINITY : (losses[i] - '0') / 10.0;
        assert_true(p.loss == want || fabs(p.loss - want) < 1e-9);
    }
    assert_false(source.point(source.arg, trial, i, &p));
}

static void test_curves_of_a_sweep(void **state)
{
    (void)state;
    uint32_t cut = 7;
    struct curves *c = curves_of_sweep(path, "loss", false, &cut, why, sizeof why);
    if (!c)
        fail_msg("%s", why);
    assert_int_equal(curves_source(c).trials, 4);
    assert_curve(c, 0, "0", "5n1");
    assert_curve(c, 1, "1", "6");   /* stopped at once: 0.6 is worse than 0.5 */
    assert_curve(c, 2, "2", "4");
    assert_curve(c, 3, "3", "9");
    assert_int_equal(curves_last_step(c), 3);
    assert_int_equal(cut, 2);
    curves_free(&c);
    c = curves_of_sweep(path, "other", true, &cut, why, sizeof why);
    assert_non_null(c);
    assert_int_equal(curves_source(c).trials, 2);   /* 0, which had both at one step, and 2 */
    curves_free(&c);
    assert_null(curves_of_sweep(path, "accuracy", false, &cut, why, sizeof why));
    assert_non_null(strstr(why, "no report of this sweep has a \"accuracy\""));
    assert_null(curves_of_sweep(dir.path, "loss", false, &cut, why, sizeof why));
    assert_non_null(strstr(why, "no sweep here"));
}

/* A step that no report has: somebody wrote into the record. */
static void test_curves_of_a_damaged_sweep(void **state)
{
    (void)state;
    sqlite3 *db;
    uint32_t cut;
    char file[160];
    snprintf(file, sizeof file, "%s/sweep.db", path);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE reports SET step = step + (1 << 52) WHERE trial = 0", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_null(curves_of_sweep(path, "loss", false, &cut, why, sizeof why));
    assert_non_null(strstr(why, "the record is damaged: a step is beyond 4503599627370496"));
    covey_sweep *s;
    assert_int_equal(covey_sweep_look(&s, path), COVEY_EINVAL);
    assert_non_null(strstr(covey_sweep_error(), "the record is damaged: event 2 of the record does not fit: a step, not"));
    assert_int_equal(sqlite3_exec(db, "UPDATE reports SET step = step - (1 << 52) WHERE trial = 0", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- told -------------------------------------------------------------------------------- */

static const char pbt_csv[] = "trial,step,value,seconds\n"
                              "a,1,5,1.7\na,2,5,1.7\na,3,5,1.7\na,4,5,1.7\n"
                              "g,1,1,1\ng,2,1,1\ng,3,9,1\ng,4,9,1\ng,5,0,1\n";
static const struct scheduler_opts pbt = {.kind = SCHEDULER_PBT, .population = 2, .interval = 2, .quantile = 0.5};

/* "": memory ran out. */
static void tell_replay(struct text *out, const struct scheduler_opts *opts, const char *csv,
                        void (*print)(struct text *t, const struct replay *r))
{
    struct replay r;
    struct curves *c = curves_read("f.csv", csv, strlen(csv), false, why, sizeof why);
    if (!c)
        return;
    if (replay_run(&r, opts, &world_space, c, false, 2, why, sizeof why)) {
        print(out, &r);
        replay_fini(&r);
    }
    curves_free(&c);
}

static void assert_told(const struct scheduler_opts *opts, const char *csv,
                        void (*print)(struct text *t, const struct replay *r), const char *expected)
{
    struct text t = TEXT_NONE;
    tell_replay(&t, opts, csv, print);
    assert_string_equal(text_get(&t), expected);
    text_fini(&t);
}

static void test_told(void **state)
{
    (void)state;
    assert_told(&pbt, pbt_csv, replay_print,
                "scheduler  pbt population=2 interval=2\n"
                "trials     2: 2 complete, 0 stopped early, 0 paused for good\n"
                "clones     3, each on the curve of the trial that it copied\n"
                "best       0, trial a on the curve of g at step 5; of all curves 0\n"
                "steps      11 of 9, 22.2 % more\n"
                "time       7.4 s\n");
    assert_told(&pbt, pbt_csv, replay_print_row,
                "           0           11 -22.2 %        7.4 s         2        0        0  "
                "pbt population=2 interval=2\n");
    assert_told(&pbt, "trial,step,value\n\"x\\\"\",1,nan\n", replay_print_json,
                "{\"scheduler\": \"pbt population=2 interval=2\", \"trial\": \"x\\\\\\\"\", \"state\": \"complete\", "
                "\"step\": 1, \"value\": null, \"best\": null, \"started_s\": 0.000000, \"ended_s\": 1.000000}\n"
                "{\"scheduler\": \"pbt population=2 interval=2\", \"trials\": 1, \"complete\": 1, \"stopped\": 0, "
                "\"paused\": 0, \"clones\": 0, \"best_of_all\": null, \"steps\": 1, \"steps_of_all\": 1, "
                "\"time_s\": 1.000000}\n");
}

/* ---- without memory ---------------------------------------------------------------------- */

static void test_replay_no_memory(void **state)
{
    static void (*const prints[])(struct text *t, const struct replay *r) = {
        replay_print, replay_print_row, replay_print_json,
    };
    (void)state;
    for (size_t i = 0; i < sizeof prints / sizeof *prints; i++) {
        bool all = false;
        for (uint64_t n = 1; !all; n++) {
            struct text t = TEXT_NONE;
            why[0] = 0;
            malloc_fail(n, 1);
            tell_replay(&t, &pbt, pbt_csv, prints[i]);
            all = malloc_calls < n;
            malloc_fail(0, 0);
            /* All of it, or none: by a message, or a text that failed. */
            assert_int_equal(text_get(&t) && text_get(&t)[0], all);
            assert_true(all || !text_get(&t) || strstr(why, "out of memory"));
            text_fini(&t);
        }
    }
}

static void test_curves_no_memory(void **state)
{
    (void)state;
    bool all = false;
    for (uint64_t n = 1; !all; n++) {
        uint32_t cut;
        why[0] = 0;
        malloc_fail(n, 1);
        struct curves *c = curves_of_sweep(path, "loss", false, &cut, why, sizeof why);
        all = malloc_calls < n;
        malloc_fail(0, 0);
        /* SQLite does without some of what it asks for. */
        if (!c && (all || !strstr(why, "memory")))
            fail_msg("allocation %llu: %s", (unsigned long long)n, why);
        if (c)
            assert_curve(c, 0, "0", "5n1");
        curves_free(&c);
    }
}

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    if (failing_sqlite_init() != 0)
        return 1;
    make_sweep();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return sqlite3_shutdown() != SQLITE_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curves_of_a_sweep), cmocka_unit_test(test_curves_of_a_damaged_sweep),
        cmocka_unit_test(test_told), cmocka_unit_test(test_replay_no_memory),
        cmocka_unit_test(test_curves_no_memory),
    };
    return cmocka_run_group_tests_name("sweep_replay", tests, setup, teardown);
}
