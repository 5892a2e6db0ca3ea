/* test_sweep_controller.c - trials that the user cancels, and PBT's clones: what is
 * decided, and that the record brings it back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "sweep/controller.h"

#define EVENTS_MAX 256

/* A controller, and what a runner would have recorded of it. */
struct world {
    struct spec *spec;
    struct controller *c;
    struct record_event events[EVENTS_MAX];
    struct text params[EVENTS_MAX];
    uint32_t count;
};

static char why[512];

static void world_open(struct world *w, const char *scheduler)
{
    char text[1024];
    snprintf(text, sizeof text, "method: random\nmetric: {name: loss}\nparameters: {lr: {min: 0.0, max: 1.0}}\n"
                                "program: x\nrun_cap: 4\ncovey: {seed: 1, scheduler: %s}\n", scheduler);
    *w = (struct world){0};
    w->spec = spec_read("test.yaml", text, strlen(text), NULL, NULL, why, sizeof why);
    if (!w->spec)
        print_error("%s\n", why);
    assert_non_null(w->spec);
    w->c = controller_new(w->spec, why, sizeof why);
    assert_non_null(w->c);
}

static struct record_event *note(struct world *w, enum record_kind kind, uint32_t trial)
{
    assert_in_range(w->count, 0, EVENTS_MAX - 1);
    struct record_event *e = &w->events[w->count++];
    *e = (struct record_event){.kind = kind, .seq = w->count, .time_ms = w->count * 1000, .trial = trial};
    return e;
}

static uint32_t begin(struct world *w)
{
    struct controller_order order = controller_next(w->c, (w->count + 1) * 1000);
    assert_int_equal(order.what, CONTROLLER_RUN);
    const struct trial *t = controller_trial(w->c, order.trial);
    struct text *params = &w->params[w->count];
    struct record_event *e = note(w, RECORD_START, order.trial);
    if (order.new_point) {
        space_print_json(params, &w->spec->space, t->x);
        e->start.params = text_get(params);
    }
    e->start.run = t->runs - 1;
    e->start.until = t->until;
    e->start.bracket = t->bracket;
    e->start.clone_of = t->clone_of;
    return order.trial;
}

static enum controller_answer report(struct world *w, uint32_t trial, int64_t step, double value)
{
    int64_t counts_as;
    enum controller_answer answer = controller_report(w->c, trial, step, &value, &counts_as);
    if (counts_as == 0)
        return answer;
    struct record_event *e = note(w, RECORD_REPORT, trial);
    e->report.step = counts_as;
    e->report.has_value = true;
    e->report.value = value;
    return answer;
}

static enum record_fate end(struct world *w, uint32_t trial, int status)
{
    struct record_event *e = note(w, RECORD_END, trial);
    e->end.fate = controller_end(w->c, trial, status, false, NULL, e->time_ms);
    return e->end.fate;
}

static bool cancel(struct world *w, uint32_t trial)
{
    if (!controller_cancel(w->c, trial, "by the user", (w->count + 1) * 1000))
        return false;
    note(w, RECORD_END, trial)->end.fate = FATE_CANCELLED;
    return true;
}

static void assert_same(double a, double b) { assert_true(a == b || (isnan(a) && isnan(b))); }

static void assert_same_trial(const struct trial *a, const struct trial *b)
{
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->runs, b->runs);
    assert_int_equal(a->until, b->until);
    assert_int_equal(a->next_step, b->next_step);
    assert_int_equal(a->ran_ms, b->ran_ms);
    assert_int_equal(a->best_step, b->best_step);
    assert_same(a->best, b->best);
    assert_same(a->x[0], b->x[0]);
    assert_same(trial_best_point(a)[0], trial_best_point(b)[0]);
}

/* The record, played to another one, ends in the same state, and goes on alike. */
static void assert_comes_back(struct world *w)
{
    struct controller *b = controller_new(w->spec, why, sizeof why);
    assert_non_null(b);
    for (uint32_t i = 0; i < w->count; i++)
        assert_true(controller_play(b, &w->events[i], why, sizeof why));
    assert_int_equal(controller_count(b), controller_count(w->c));
    assert_int_equal(controller_steps(b), controller_steps(w->c));
    assert_int_equal(controller_reports(b), controller_reports(w->c));
    for (uint32_t i = 0; i < controller_count(b); i++)
        assert_same_trial(controller_trial(w->c, i), controller_trial(b, i));
    controller_free(&b);
}

static void world_close(struct world *w)
{
    assert_comes_back(w);
    controller_free(&w->c);
    spec_free(&w->spec);
    for (uint32_t i = 0; i < EVENTS_MAX; i++)
        text_fini(&w->params[i]);
}

/* ---- cancelling ---------------------------------------------------------------------- */

static void test_cancel_running(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "{type: none}");
    uint32_t a = begin(&w);
    assert_int_equal(report(&w, a, 1, 0.5), REPORT_GO);
    assert_true(cancel(&w, a));
    /* Its process may still be there: it is told to stop, and nothing is recorded. */
    int64_t counts_as;
    assert_int_equal(controller_report(w.c, a, 2, &(double){0.1}, &counts_as), REPORT_ENDING);
    assert_int_equal(counts_as, 0);
    assert_int_equal(controller_trial(w.c, a)->state, TRIAL_CANCELLED);
    assert_false(cancel(&w, a));
    assert_false(cancel(&w, 7));
    /* It is one of run_cap's trials, and keeps its value. */
    for (uint32_t i = 1; i < 4; i++)
        assert_int_equal(begin(&w), i);
    assert_int_equal(controller_next(w.c, 0).what, CONTROLLER_WAIT);
    assert_ptr_equal(controller_best(w.c), controller_trial(w.c, a));
    world_close(&w);
}

static void test_cancel_waiting(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "{type: none}");
    uint32_t a = begin(&w);
    struct record_event *e = note(&w, RECORD_END, a);
    e->end.fate = controller_end(w.c, a, 143, true, NULL, e->time_ms);
    assert_int_equal(e->end.fate, FATE_INTERRUPTED);
    int64_t ran_ms = controller_trial(w.c, a)->ran_ms;
    assert_true(cancel(&w, a));
    assert_int_equal(controller_trial(w.c, a)->ran_ms, ran_ms);
    assert_int_equal(begin(&w), 1);
    world_close(&w);
}

static void test_cancel_paused(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "{type: asha_promotion, max_iter: 9, min_iter: 1, eta: 3}");
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(begin(&w), i);
        assert_int_equal(report(&w, i, 1, i), REPORT_STOP);
        assert_int_equal(end(&w, i, 143), FATE_PAUSED);
    }
    /* Trial 0 is due for promotion; now the next best takes its place. */
    assert_true(cancel(&w, 0));
    assert_int_equal(begin(&w), 1);
    world_close(&w);
}

/* ---- clones ------------------------------------------------------------------------------ */

#define PBT "{type: pbt, population: 2, interval: 10, quantile: 0.5}"

/* Both run; trial 1 is to take over trial 0, which stands at @donor_step. */
static void make_clone(struct world *w, int64_t own_step, int64_t donor_step)
{
    world_open(w, PBT);
    assert_int_equal(begin(w), 0);
    assert_int_equal(begin(w), 1);
    assert_int_equal(report(w, 0, donor_step, 0.5), REPORT_GO);
    assert_int_equal(report(w, 1, 1, 0.4), REPORT_GO);
    assert_int_equal(report(w, 1, own_step, 0.9), REPORT_STOP);
    assert_int_equal(end(w, 1, 143), FATE_PAUSED);
}

static void test_clone_ahead(void **state)
{
    (void)state;
    struct world w;
    make_clone(&w, 10, 30);
    double old_x = controller_trial(w.c, 1)->x[0];
    assert_int_equal(begin(&w), 1);
    const struct trial *t = controller_trial(w.c, 1);
    assert_int_equal(t->clone_of, 0);
    assert_int_equal(t->step, 30);
    assert_int_equal(t->until, 40);
    assert_int_equal(report(&w, 1, 0, 0.45), REPORT_GO);
    assert_int_equal(t->step, 31);
    /* 30 of the donor, 10 of its own, and one more: what it jumped over was not done. */
    assert_int_equal(controller_steps(w.c), 41);
    /* Its best value belongs to the point that it had then. */
    assert_true(t->best == 0.4 && trial_best_point(t)[0] == old_x);
    assert_comes_back(&w);
    assert_int_equal(report(&w, 1, 0, 0.1), REPORT_GO);
    assert_true(t->best == 0.1 && trial_best_point(t)[0] == t->x[0]);
    world_close(&w);
}

/* The donor is behind: what the clone reports counts from there, and is judged. */
static void test_clone_behind(void **state)
{
    (void)state;
    struct world w;
    make_clone(&w, 30, 10);
    assert_int_equal(begin(&w), 1);
    const struct trial *t = controller_trial(w.c, 1);
    assert_int_equal(t->step, 10);
    for (int64_t step = 11; step < 20; step++)
        assert_int_equal(report(&w, 1, step, 0.3), REPORT_GO);
    assert_int_equal(t->step, 19);
    assert_int_equal(controller_reports(w.c), 3 + 9);
    uint32_t before = w.count;
    assert_int_equal(report(&w, 1, 20, 0.95), REPORT_STOP);
    assert_int_equal(w.count, before + 1);
    world_close(&w);
}

/* The donor goes on while the clone's process ends: its checkpoint of the latest score counts. */
static void test_clone_of_the_latest(void **state)
{
    (void)state;
    struct world w;
    make_clone(&w, 10, 10);
    assert_int_equal(report(&w, 0, 20, 0.5), REPORT_STOP); /* somebody waits: it yields */
    assert_int_equal(scheduler_score_step(controller_scheduler(w.c), 0), 20);
    assert_int_equal(begin(&w), 1);
    assert_int_equal(controller_trial(w.c, 1)->step, 20);
    assert_int_equal(controller_trial(w.c, 1)->until, 30);
    world_close(&w);
}

/* A value at the step of an earlier one, by another point, is judged all the same. */
static void test_clone_same_step(void **state)
{
    (void)state;
    struct world w;
    make_clone(&w, 20, 19);
    assert_int_equal(begin(&w), 1);
    uint32_t values = controller_trial(w.c, 1)->values;
    assert_int_equal(report(&w, 1, 20, 0.5), REPORT_GO);
    assert_int_equal(controller_trial(w.c, 1)->values, values + 1);
    world_close(&w);
}

/* Steps end where doubles stop to hold each one: no report, with or without a step, and no
 * record goes beyond. */
static void test_last_step(void **state)
{
    (void)state;
    struct world w;
    const int64_t last = SCHEDULER_STEP_MAX;
    world_open(&w, "{type: none}");
    assert_int_equal(begin(&w), 0);
    assert_int_equal(report(&w, 0, last + 1, 0.5), REPORT_BEYOND);
    assert_int_equal(report(&w, 0, INT64_MAX, 0.5), REPORT_BEYOND);
    assert_int_equal(report(&w, 0, last, 0.5), REPORT_GO);
    uint32_t count = w.count;
    assert_int_equal(report(&w, 0, 0, 0.25), REPORT_BEYOND);
    assert_int_equal(w.count, count);
    assert_int_equal(report(&w, 0, last, 0.25), REPORT_GO);
    assert_int_equal(controller_steps(w.c), last);
    const int64_t wrong[] = {last + 1, INT64_MAX, 0, -1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct record_event e = {.kind = RECORD_REPORT, .seq = 9, .report = {.step = wrong[i]}};
        assert_false(controller_play(w.c, &e, why, sizeof why));
        assert_string_equal(why, "event 9 of the record does not fit: a step, not from 1 to 2^52, of trial 0");
    }
    assert_int_equal(controller_steps(w.c), last);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_running),  cmocka_unit_test(test_cancel_waiting),
        cmocka_unit_test(test_cancel_paused),   cmocka_unit_test(test_clone_ahead),
        cmocka_unit_test(test_clone_behind),    cmocka_unit_test(test_clone_of_the_latest),
        cmocka_unit_test(test_clone_same_step), cmocka_unit_test(test_last_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
