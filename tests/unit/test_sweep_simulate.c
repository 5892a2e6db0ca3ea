/* test_sweep_simulate.c - curves from files, schedulers in virtual time, and
 * previews.
 */
#include "failing_malloc.h"
#include "scheduler_world.h"

#include "sweep/scheduler/curves.h"
#include "sweep/scheduler/plan.h"

/* ---- curves ---- */

static struct curves *read_curves(const char *csv, bool maximize)
{
    why[0] = '\0';
    return curves_read("f.csv", csv, strlen(csv), maximize, why, sizeof why);
}

static void test_curves(void **state)
{
    (void)state;
    struct curves *c = read_curves("\xef\xbb\xbfstep, value,note,trial,seconds\r\n"
                                   "1,0.5,x,b7,2.5\r\n"
                                   "\n"
                                   "10,nan,,\"a\",\n"
                                   "2,0.25,x,b7,0", true);
    assert_non_null(c);
    struct curve_source source = curves_source(c);
    assert_int_equal(source.trials, 2);
    assert_string_equal(curves_name(c, 0), "b7");
    assert_string_equal(curves_name(c, 1), "a");
    struct curve_point p;
    assert_true(source.point(source.arg, 0, 0, &p));
    assert_true(p.step == 1 && p.loss == -0.5 && p.seconds == 2.5);
    assert_true(source.point(source.arg, 0, 1, &p));
    assert_true(p.step == 2 && p.loss == -0.25 && p.seconds == 0);
    assert_false(source.point(source.arg, 0, 2, &p));
    assert_true(source.point(source.arg, 1, 0, &p));
    assert_true(p.step == 10 && isinf(p.loss) && p.seconds == 1);
    curves_free(&c);
    assert_null(c);
}

static void test_curves_many(void **state)
{
    (void)state;
    static char csv[100000];
    size_t len = (size_t)snprintf(csv, sizeof csv, "trial,step,value\n");
    for (int step = 1; step <= 3; step++)
        for (int trial = 0; trial < 2000; trial++)
            len += (size_t)snprintf(csv + len, sizeof csv - len, "t%d,%d,%d\n", trial, step,
                                    trial + step);
    struct curves *c = read_curves(csv, false);
    assert_non_null(c);
    struct curve_source source = curves_source(c);
    assert_int_equal(source.trials, 2000);
    struct curve_point p;
    assert_true(source.point(source.arg, 1234, 2, &p));
    assert_true(p.step == 3 && p.loss == 1237);
    curves_free(&c);
}

static void test_curves_refused(void **state)
{
    (void)state;
    static const struct { const char *csv, *words; } wrong[] = {
        {"", "f.csv:0: no curves: the file is empty"},
        {"trial,step,value\n\n", "f.csv:2: no curves: nothing stands below the first line"},
        {"trial,value\n", "f.csv:1: the first line must name"},
        {"trial;step;value\na;1;1\n", "with commas between them, and begins with \"trial;step;value\""},
        {"\033[2J\xff\xc2\x9b" "a\x7f\n", "begins with \"?[2J???a?\""},
        {"trial,step,value\na,1\n", "f.csv:2: too few columns"},
        {"trial,step,value\na,0,1\n", "f.csv:2: step is no whole number from 1 \"0\""},
        {"trial,step,value\na,1.5,1\n", "\"1.5\""},
        {"trial,step,value\na,x,1\n", "\"x\""},
        {"trial,step,value\na,1,good\n", "f.csv:2: value is no number \"good\""},
        {"trial,step,value\na,2,1\nb,1,1\na,2,1\n", "f.csv:4: steps of a trial must rise"},
        {"trial,step,value,seconds\na,1,1,-1\n", "seconds is no number from 0 to 1e12 \"-1\""},
        {"trial,step,value,seconds\na,1,1,1e308\n", "\"1e308\""},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_null(read_curves(wrong[i].csv, false));
        if (!strstr(why, wrong[i].words))
            print_error("\"%s\" for %s", why, wrong[i].csv);
        assert_non_null(strstr(why, wrong[i].words));
    }
    assert_null(curves_open("/nonexistent/curves.csv", false, why, sizeof why));
    assert_string_equal(why, "/nonexistent/curves.csv: No such file or directory");
}

/* ---- simulation ---- */

static struct text trace;

static void on_event(const struct simulate_event *e, void *arg)
{
    (void)arg;
    static const char *const verdicts[] = {"go", "stop", "pause", "finish"};
    static const char *const fates[] = {"paused", "complete", "stopped", "failed"};
    if (e->what == SIMULATE_START || e->what == SIMULATE_RESUME)
        text_printf(&trace, "%g %s %u", e->time_s, e->what == SIMULATE_START ? "start" : "resume",
                    e->trial);
    else if (e->what == SIMULATE_REPORT)
        text_printf(&trace, "%g report %u %lld %s", e->time_s, e->trial, (long long)e->step,
                    verdicts[e->verdict]);
    else
        text_printf(&trace, "%g end %u %s", e->time_s, e->trial, fates[e->fate]);
    if (e->clone_of != SCHEDULER_NO_TRIAL)
        text_printf(&trace, " of %u", e->clone_of);
    text_puts(&trace, "\n");
}

static struct simulate_result simulate(struct scheduler_opts opts, struct curves *c, uint32_t slots)
{
    struct curve_source source = curves_source(c);
    struct simulate_result r;
    text_clear(&trace);
    assert_true(simulate_run(&opts, &world_space, &source, slots, on_event, NULL, &r, why,
                             sizeof why));
    return r;
}

/* Three trials of four steps; b is slow, c is good. */
static const char three[] = "trial,step,value,seconds\n"
                            "a,1,5,1\na,2,5,1\na,3,5,1\na,4,5,1\n"
                            "b,1,6,2\nb,2,2,2\nb,3,2,2\nb,4,2,2\n"
                            "c,1,4,1\nc,2,3,1\nc,3,1,1\nc,4,2,1\n";

static void test_simulate_asha(void **state)
{
    (void)state;
    struct curves *c = read_curves(three, false);
    struct simulate_result r = simulate(
        (struct scheduler_opts){.kind = SCHEDULER_ASHA, .eta = 2, .max_iter = 4}, c, 2);
    assert_string_equal(text_get(&trace),
                        "0 start 0\n0 start 1\n"
                        "1 report 0 1 go\n" /* the first at rung 1 */
                        "2 report 1 1 stop\n" /* 6 > 5 */
                        "2 end 1 stopped\n2 start 2\n"
                        "2 report 0 2 go\n"
                        "3 report 2 1 go\n" /* 4 <= 5.5 */
                        "3 report 0 3 go\n"
                        "4 report 2 2 go\n" /* 3 <= 5 */
                        "4 report 0 4 finish\n4 end 0 complete\n"
                        "5 report 2 3 go\n6 report 2 4 finish\n6 end 2 complete\n");
    assert_true(r.trials == 3 && r.complete == 2 && r.stopped == 1 && r.paused == 0);
    assert_true(r.best_loss == 1 && r.best_trial == 2 && r.best_step == 3);
    assert_true(r.steps == 9 && r.full_steps == 12 && r.time_s == 6);
    assert_true(r.rung_count == 2 && r.rungs[0].reached == 3 && r.rungs[0].passed == 2);
    struct text t = TEXT_NONE;
    simulate_print(&t, &r, false, NULL, NULL);
    assert_non_null(strstr(text_get(&t), "steps      9 of 12, 25.0 % saved"));
    assert_non_null(strstr(text_get(&t), "best       1, trial 2 at step 3; of all curves 1"));
    text_fini(&t);
    simulate_fini(&r);
    curves_free(&c);
}

static void test_simulate_promotion(void **state)
{
    (void)state;
    struct curves *c = read_curves(three, false);
    struct simulate_result r = simulate((struct scheduler_opts){
        .kind = SCHEDULER_ASHA_PROMOTION, .eta = 2, .max_iter = 4}, c, 1);
    assert_string_equal(text_get(&trace),
                        "0 start 0\n1 report 0 1 pause\n1 end 0 paused\n"
                        "1 start 1\n3 report 1 1 pause\n3 end 1 paused\n"
                        "3 resume 0\n4 report 0 2 pause\n4 end 0 paused\n"
                        "4 start 2\n5 report 2 1 pause\n5 end 2 paused\n"
                        "5 resume 2\n6 report 2 2 pause\n6 end 2 paused\n"
                        "6 resume 2\n7 report 2 3 go\n8 report 2 4 finish\n8 end 2 complete\n");
    assert_true(r.complete == 1 && r.paused == 2 && r.steps == 7);
    simulate_fini(&r);
    curves_free(&c);
}

/* Equal times: in the order in which they were scheduled.  A curve that ends. */
static void test_simulate_none(void **state)
{
    (void)state;
    struct curves *c = read_curves("trial,step,value\na,5,1\nb,5,nan\nb,6,2\n", true);
    struct simulate_result r = simulate((struct scheduler_opts){.kind = SCHEDULER_NONE}, c, 9);
    assert_string_equal(text_get(&trace),
                        "0 start 0\n0 start 1\n1 report 0 5 go\n1 report 1 5 go\n"
                        "1 end 0 complete\n2 report 1 6 go\n2 end 1 complete\n");
    assert_true(r.best_loss == -2 && r.steps == 11 && r.full_steps == 11);
    simulate_fini(&r);
    curves_free(&c);
}

static void test_simulate_pbt(void **state)
{
    (void)state;
    struct curves *c = read_curves(three, false);
    struct simulate_result r = simulate((struct scheduler_opts){
        .kind = SCHEDULER_PBT, .population = 3, .interval = 2}, c, 3);
    /* At 2, a had 5 alone, and c was better; at 4 it is the worst of three, and
     * goes on along the curve of b, which is at 2. */
    assert_non_null(strstr(text_get(&trace),
                           "4 report 1 2 go\n4 report 0 4 pause\n4 end 0 paused\n"
                           "4 resume 0 of 1\n"));
    assert_non_null(strstr(text_get(&trace), "6 report 0 3 go\n"));
    assert_true(r.complete == 3 && r.paused == 0 && r.trials == 3);
    simulate_fini(&r);
    curves_free(&c);
}

/* A clone begins where its donor was scored, though that one has gone on since, and the
 * best value is told with the curve that it stands on. */
static void test_simulate_pbt_clones(void **state)
{
    (void)state;
    struct curves *c = read_curves(
        "trial,step,value,seconds\n"
        "a,1,5,1.7\na,2,5,1.7\na,3,5,1.7\na,4,5,1.7\n"
        "g,1,1,1\ng,2,1,1\ng,3,9,1\ng,4,9,1\ng,5,0,1\n", false);
    struct simulate_result r = simulate((struct scheduler_opts){
        .kind = SCHEDULER_PBT, .population = 2, .interval = 2, .quantile = 0.5}, c, 2);
    assert_non_null(strstr(text_get(&trace), "3 report 1 3 go\n"
                                             "3.4 report 0 2 pause\n3.4 end 0 paused\n3.4 resume 0 of 1\n"
                                             "4 report 1 4 pause\n4 end 1 paused\n4 resume 1 of 0\n"
                                             "4.4 report 0 3 go\n"));
    assert_true(r.clones == 3 && r.best_loss == 0 && r.best_trial == 0 && r.best_curve == 1);
    struct text t = TEXT_NONE;
    simulate_print(&t, &r, false, "a", "g");
    assert_non_null(strstr(text_get(&t), "clones     3, each on the curve of the trial that it copied\n"));
    assert_non_null(strstr(text_get(&t), "best       0, trial a on the curve of g at step 5; of all curves 0\n"));
    text_fini(&t);
    simulate_fini(&r);
    curves_free(&c);
}

static void test_simulate_refused(void **state)
{
    (void)state;
    struct curves *c = read_curves(three, false);
    struct curve_source source = curves_source(c);
    struct simulate_result r;
    struct scheduler_opts o = {.kind = SCHEDULER_NONE};
    assert_false(simulate_run(&o, NULL, &source, 0, NULL, NULL, &r, why, sizeof why));
    assert_non_null(strstr(why, "parallel"));
    o = (struct scheduler_opts){.kind = SCHEDULER_ASHA, .eta = 1};
    assert_false(simulate_run(&o, NULL, &source, 1, NULL, NULL, &r, why, sizeof why));
    assert_non_null(strstr(why, "eta"));
    curves_free(&c);
}

/* ---- plans ---- */

static void assert_plan(struct scheduler_opts opts, uint32_t trials, const char *expected)
{
    struct plan p;
    assert_true(plan_make(&p, &opts, &world_space, trials, 8, why, sizeof why));
    struct text t = TEXT_NONE;
    plan_print(&t, &p);
    assert_string_equal(text_get(&t), expected);
    text_fini(&t);
    plan_fini(&p);
}

static void test_plan_hyperband(void **state)
{
    (void)state;
    struct scheduler_opts o = {.kind = SCHEDULER_HYPERBAND};
    /* 81 + 54 + 54 + 54 + 54; 102 + 66 + 54 + 54; 135 + 90 + 54; 216 + 108; 405 */
    assert_plan(o, 0, "trials     143\n"
                      "bracket 0   81 @ 1  27 @ 3  9 @ 9  3 @ 27  1 @ 81\n"
                      "bracket 1   34 @ 3  11 @ 9  3 @ 27  1 @ 81\n"
                      "bracket 2   15 @ 9  5 @ 27  1 @ 81\n"
                      "bracket 3   8 @ 27  2 @ 81\n"
                      "bracket 4   5 @ 81\n"
                      "compute    at most 1581 steps, likely 1581 (100 %)\n");
    o.max_iter = 9;
    assert_plan(o, 11, "trials     11\n"
                       "bracket 0   9 @ 1  3 @ 3  1 @ 9\n"
                       "bracket 1   2 @ 3  1 @ 9\n"
                       "bracket 2   - @ 9\n"
                       "compute    at most 33 steps, likely 33 (100 %)\n");
}

/* What HyperBand does with curves is what its plan says. */
static void test_plan_is_kept(void **state)
{
    (void)state;
    static char csv[40000];
    for (uint32_t trials = 1; trials <= 25; trials++) {
        size_t len = (size_t)snprintf(csv, sizeof csv, "trial,step,value\n");
        for (uint32_t i = 0; i < trials; i++)
            for (int step = 1; step <= 9; step++)
                len += (size_t)snprintf(csv + len, sizeof csv - len, "%u,%d,%u\n", i, step,
                                        i * 7 % 19 * 10 + (uint32_t)step);
        struct scheduler_opts o = {.kind = SCHEDULER_HYPERBAND, .max_iter = 9};
        struct plan p;
        assert_true(plan_make(&p, &o, NULL, trials, 4, why, sizeof why));
        struct curves *c = read_curves(csv, false);
        struct simulate_result r = simulate(o, c, 4);
        assert_int_equal(r.trials, p.trials);
        assert_int_equal(r.steps, p.most_steps);
        for (uint32_t i = 0; i < p.rung_count; i++)
            assert_true(r.rungs[i].reached == (uint32_t)p.rungs[i].trials);
        simulate_fini(&r);
        curves_free(&c);
        plan_fini(&p);
    }
}

static void test_plan_asha(void **state)
{
    (void)state;
    struct plan p;
    struct scheduler_opts o = {.kind = SCHEDULER_ASHA, .eta = 3, .max_iter = 27};
    assert_true(plan_make(&p, &o, NULL, 64, 4, why, sizeof why));
    assert_int_equal(p.most_steps, 64 * 27);
    assert_true(p.likely_steps > 64 && p.likely_steps < 64 * 27 / 2);
    assert_int_equal(p.rung_count, 3);
    assert_true(p.rungs[0].trials == 64);
    assert_true(p.rungs[2].trials > 0 && p.rungs[2].trials < 30);
    plan_fini(&p);
    /* Large ones take no longer, since only a part is played. */
    o.max_iter = 1000000;
    assert_true(plan_make(&p, &o, NULL, 1000000, 64, why, sizeof why));
    assert_true(p.rungs[0].trials == 1000000);
    plan_fini(&p);
}

static void test_plan_others(void **state)
{
    (void)state;
    assert_plan((struct scheduler_opts){.kind = SCHEDULER_NONE}, 0,
                "trials     without end: to run it give --count N, or the file a run_cap\n"
                "compute    not known: trials end of themselves\n");
    assert_plan((struct scheduler_opts){.kind = SCHEDULER_NONE, .max_iter = 5}, 20,
                "trials     20\ncompute    at most 100 steps, likely about 100 (100 %)\n");
    assert_plan((struct scheduler_opts){.kind = SCHEDULER_PBT}, 0,
                "trials     8\ncompute    not known: trials end of themselves\n");
    struct plan p;
    for (int kind = SCHEDULER_ASHA_PROMOTION; kind <= SCHEDULER_BANDS; kind++) {
        struct scheduler_opts o = {.kind = kind, .max_iter = 100, .brackets = 1, .interval = 20};
        assert_true(plan_make(&p, &o, &world_space, 50, 4, why, sizeof why));
        assert_true(p.likely_steps > 0 && p.likely_steps <= p.most_steps + 1000);
        plan_fini(&p);
    }
    struct scheduler_opts o = {.kind = SCHEDULER_ASHA, .eta = 1};
    assert_false(plan_make(&p, &o, NULL, 1, 1, why, sizeof why));
}

/* ---- without memory ---- */

static bool try_all(void)
{
    struct curves *c = read_curves(three, false);
    if (!c)
        return false;
    struct curve_source source = curves_source(c);
    struct scheduler_opts o = {.kind = SCHEDULER_ASHA_PROMOTION, .eta = 2, .max_iter = 4};
    struct simulate_result r;
    struct plan p;
    bool ok = simulate_run(&o, &world_space, &source, 2, NULL, NULL, &r, why, sizeof why);
    simulate_fini(&r);
    bool planned = plan_make(&p, &o, NULL, 4, 2, why, sizeof why);
    if (planned)
        plan_fini(&p);
    curves_free(&c);
    return ok && planned;
}

static void test_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        malloc_fail(n, 1);
        bool ok = try_all();
        bool all = malloc_calls < n;
        malloc_fail(0, 0);
        assert_int_equal(ok, all);
        assert_true(ok || strstr(why, "out of memory"));
        if (all)
            break;
    }
}

static int fini_trace(void **state)
{
    (void)state;
    text_fini(&trace);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curves), cmocka_unit_test(test_curves_many),
        cmocka_unit_test(test_curves_refused), cmocka_unit_test(test_simulate_asha),
        cmocka_unit_test(test_simulate_promotion), cmocka_unit_test(test_simulate_none),
        cmocka_unit_test(test_simulate_pbt), cmocka_unit_test(test_simulate_pbt_clones),
        cmocka_unit_test(test_simulate_refused), cmocka_unit_test(test_plan_hyperband),
        cmocka_unit_test(test_plan_is_kept), cmocka_unit_test(test_plan_asha),
        cmocka_unit_test(test_plan_others), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, fini_trace);
}
