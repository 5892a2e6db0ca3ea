/* scheduler_world.h - what the tests of schedulers share: short calls, and a
 * search space for PBT.
 */
#ifndef COVEY_TESTS_SCHEDULER_WORLD_H
#define COVEY_TESTS_SCHEDULER_WORLD_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sweep/scheduler/scheduler.h"

static char why[256];

/* lr: log uniform; layers: whole; width: a choice of four; drop: only with width 3. */
enum { LR, LAYERS, WIDTH, DROP, PARAMS };
static bool when_widest[4] = {false, false, false, true};
static struct value widths[4] = {{VALUE_INT, {.i = 8}}, {VALUE_INT, {.i = 16}},
                                 {VALUE_INT, {.i = 32}}, {VALUE_INT, {.i = 64}}};
static struct param world_params[PARAMS] = {
    [LR] = {.name = "lr", .distribution = DIST_LOG_UNIFORM, .low = 1e-4, .high = 0.1,
            .parent = -1},
    [LAYERS] = {.name = "layers", .distribution = DIST_UNIFORM, .low = 1, .high = 10,
                .whole = true, .parent = -1},
    [WIDTH] = {.name = "width", .distribution = DIST_CHOICE, .choices = widths, .count = 4,
               .parent = -1},
    [DROP] = {.name = "drop", .distribution = DIST_UNIFORM, .low = 0, .high = 0.9,
              .parent = WIDTH, .when = when_widest},
};
static struct space world_space = {world_params, PARAMS};
static double world_x[PARAMS] = {0.01, 5, 1, NAN};

static struct scheduler *make(struct scheduler_opts opts)
{
    struct scheduler *s = scheduler_new(&opts, &world_space, why, sizeof why);
    if (!s)
        print_error("refused: %s\n", why);
    assert_non_null(s);
    return s;
}

static void assert_refused(struct scheduler_opts opts, const char *word)
{
    why[0] = '\0';
    struct scheduler *s = scheduler_new(&opts, &world_space, why, sizeof why);
    assert_null(s);
    if (!strstr(why, word))
        print_error("\"%s\" does not name %s\n", why, word);
    assert_non_null(strstr(why, word));
}

/* Start what is due and be told which trial that is. */
static uint32_t begin(struct scheduler *s, uint32_t *next_number)
{
    struct scheduler_choice c = scheduler_next(s, false);
    assert_true(c.what == SCHEDULER_NEW || c.what == SCHEDULER_RESUME);
    uint32_t trial = c.what == SCHEDULER_NEW ? (*next_number)++ : c.trial;
    assert_true(scheduler_start(s, &c, trial, c.x ? c.x : world_x));
    return trial;
}

static void assert_next(const struct scheduler *s, bool no_new, enum scheduler_what what,
                        uint32_t trial, int64_t until)
{
    struct scheduler_choice c = scheduler_next(s, no_new);
    assert_int_equal(c.what, what);
    assert_int_equal(c.trial, trial);
    assert_int_equal(c.until, until);
}

static void assert_rung(const struct scheduler *s, uint32_t i, uint32_t bracket, int64_t step,
                        uint32_t planned)
{
    struct scheduler_rung r;
    assert_true(scheduler_rung(s, i, &r));
    assert_int_equal(r.bracket, bracket);
    assert_int_equal(r.step, step);
    assert_int_equal(r.planned, planned);
}

static double cutoff_at(const struct scheduler *s, uint32_t i)
{
    struct scheduler_rung r;
    assert_true(scheduler_rung(s, i, &r));
    return r.cutoff;
}

/* To the bit: these follow others' arithmetic. */
static void assert_same(double a, double b)
{
    if (!(a == b || (isnan(a) && isnan(b))))
        print_error("%.17g is not %.17g\n", a, b);
    assert_true(a == b || (isnan(a) && isnan(b)));
}

#endif
