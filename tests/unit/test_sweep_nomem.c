/* test_sweep_nomem.c - allocation n fails, for every n: reading a file, planning, the
 * controller with each search and scheduler, playing a record back, and a sweep with its
 * directory.  Each says so, nothing crashes or leaks, and when memory is back all goes on.
 *
 * Ours fail, and SQLite's, which takes its memory where it is told to.  json-c and
 * libyaml have no such door: their own allocations do not fail here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <sys/stat.h>

#include "covey/sweep.h"
#include "failing_sqlite.h"
#include "sweep/controller.h"
#include "sweep/scheduler/plan.h"
#include "temp_dir.h"

#define STEPS 9

static const char long_text[] =
    "name: everything\ndescription: words\nprogram: train.py\nproject: p\nentity: e\nmethod: random\n"
    "metric: {name: loss, goal: minimize, target: -1}\n"
    "command: [\"${env}\", python3, \"${program}\", \"${args}\"]\n"
    "parameters:\n"
    "  lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-1}\n"
    "  width: {values: [64, 128, 256], probabilities: [0.5, 0.25, 0.25]}\n"
    "  opt: {parameters: {kind: {values: [sgd, adam]}, beta: {min: 0.5, max: 0.9}}}\n"
    "  units: {min: 1, max: 8}\n"
    "  fixed: {value: {a: [1, two]}}\n"
    "run_cap: 20\n"
    "covey:\n"
    "  resources: {cpus: 1, licence: 2}\n"
    "  when: {opt.beta: {opt.kind: adam}}\n"
    "  points: [{lr: 0.01, width: 64}]\n"
    "  seed: 3\n"
    "  scheduler: {type: asha, max_iter: 9, eta: 3}\n";

/* ---- reading a file --------------------------------------------------------------- */

static void on_warning(const char *text, void *arg) { (void)text, (void)arg; }

static struct spec *read_text(const char *text, const char *const *sets, char *why, size_t why_size)
{
    why[0] = 0;
    struct spec *spec = spec_read_with("nomem.yaml", text, strlen(text), sets, on_warning, NULL, why, why_size);
    if (!spec)
        assert_true(why[0] != 0);
    return spec;
}

static void test_spec(void **state)
{
    char why[1024];
    const char *const sets[] = {
        "name=other", "parameters.lr.min=1e-3", "resources.disk=2", "covey.search.type=sobol", "covey.storm=7", NULL,
    };
    (void)state;
    malloc_fail(0, 0);
    struct spec *spec = read_text(long_text, sets, why, sizeof why);
    if (!spec)
        fail_msg("%s", why);
    uint64_t calls = malloc_calls;
    assert_true(calls > 50);
    spec_free(&spec);
    for (uint64_t n = 1; n <= calls; n++) {
        malloc_fail(n, 1 + n % 3);
        spec = read_text(long_text, sets, why, sizeof why);
        malloc_fail(0, 0);
        if (!spec && !strstr(why, "memory"))
            fail_msg("allocation %llu: %s", (unsigned long long)n, why);
        spec_free(&spec);
    }
}

/* ---- the controller ------------------------------------------------------------------ */

/* A sweep in virtual time, two trials at once. */
struct world {
    struct spec *spec;
    struct controller *c;
    uint32_t running[2];
    int64_t now_ms;
};

static double loss_at(const struct trial *t, int64_t step) { return t->x[0] + 1.0 / (double)step; }

static void end(struct world *w, unsigned slot, int status)
{
    uint32_t trial = w->running[slot];
    w->running[slot] = UINT32_MAX;
    (void)controller_end(w->c, trial, status, false, status ? "it failed" : NULL, ++w->now_ms);
}

/* One report of the trial in @slot, and its end where it is time. */
static void report(struct world *w, unsigned slot)
{
    int64_t step;
    const struct trial *t = controller_trial(w->c, w->running[slot]);
    double value = loss_at(t, t->step + 1);
    enum controller_answer answer = controller_report(w->c, t->number, 0, &value, &step);
    if (answer == REPORT_STOP || answer == REPORT_ENDING)
        end(w, slot, 143);
    else if (t->number % 7 == 6)
        end(w, slot, 1);
    else if (t->step >= STEPS)
        end(w, slot, 0);
}

/* Goes on for at most @turns.  Returns whether the sweep is over. */
static bool go_on(struct world *w, unsigned turns, bool may_fail)
{
    for (unsigned turn = 0; turn < turns; turn++) {
        unsigned slot = turn % 2;
        if (w->running[slot] != UINT32_MAX) {
            report(w, slot);
            continue;
        }
        struct controller_order order = controller_next(w->c, ++w->now_ms);
        assert_true(order.what != CONTROLLER_ENOMEM || may_fail);
        if (order.what == CONTROLLER_RUN)
            w->running[slot] = order.trial;
        if (order.what == CONTROLLER_DONE)
            return true;
    }
    return false;
}

static const char *const minds[] = {
    "method: random\ncovey: {seed: 1}\n",
    "method: random\ncovey: {seed: 1, search: sobol, scheduler: {type: asha, max_iter: 9, eta: 3}}\n",
    "method: bayes\ncovey: {seed: 1, scheduler: {type: asha_promotion, max_iter: 9, eta: 3}, retries: 1}\n",
    "method: bayes\ncovey: {seed: 1, search: {type: tpe, univariate: true}, scheduler: {type: hyperband, max_iter: 9, "
        "eta: 3}}\n",
    "method: random\ncovey: {seed: 1, scheduler: {type: median, grace: 2, min_samples: 2}}\n",
    "method: random\ncovey: {seed: 1, scheduler: {type: pbt, population: 4, interval: 2, max_iter: 9}}\n",
    "method: random\nearly_terminate: {type: hyperband, min_iter: 2}\ncovey: {seed: 1}\n",
};

static struct spec *read_mind(size_t i)
{
    char text[1024], why[512];
    snprintf(text, sizeof text, "%smetric: {name: loss}\nparameters:\n  x: {min: 0.0, max: 1.0}\n"
             "  k: {values: [a, b, c]}\nrun_cap: 16\n", minds[i]);
    struct spec *spec = read_text(text, NULL, why, sizeof why);
    if (!spec)
        fail_msg("%s", why);
    return spec;
}

/* Returns how many allocations were tried. */
static uint64_t live(struct spec *spec, uint64_t first, uint64_t many)
{
    char why[512] = "";
    struct world w = {.spec = spec, .running = {UINT32_MAX, UINT32_MAX}};
    malloc_fail(first, many);
    w.c = controller_new(spec, why, sizeof why);
    if (w.c)
        (void)go_on(&w, 120, first > 0);
    uint64_t calls = malloc_calls;
    malloc_fail(0, 0);
    if (w.c)
        assert_true(go_on(&w, 2000, false));
    else
        assert_true(first > 0 && strstr(why, "memory"));
    controller_free(&w.c);
    return calls;
}

static void test_controller(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof minds / sizeof *minds; i++) {
        struct spec *spec = read_mind(i);
        uint64_t calls = live(spec, 0, 0);
        assert_true(calls > 20);
        for (uint64_t n = 1; n <= calls; n++)
            live(spec, n, 1 + n % 3);
        spec_free(&spec);
    }
}

static void test_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof minds / sizeof *minds; i++) {
        char why[512];
        struct plan plan = {0};
        struct spec *spec = read_mind(i);
        uint64_t calls = 1;
        for (uint64_t n = 0; n <= calls; n++) {
            malloc_fail(n, 1);
            bool ok = plan_make(&plan, &spec->scheduler, &spec->space, 16, 2, why, sizeof why);
            calls = n == 0 ? (uint64_t)malloc_calls : calls;
            malloc_fail(0, 0);
            assert_true(ok || (n > 0 && strstr(why, "memory")));
            if (ok)
                plan_fini(&plan);
        }
        spec_free(&spec);
    }
}

/* ---- a sweep with its directory ---------------------------------------------------------- */

static struct temp_dir dir;

static const char small_text[] =
    "method: random\nmetric: {name: loss}\nparameters:\n  x: {min: 0.0, max: 1.0}\nrun_cap: 6\n"
    "covey: {seed: 1, scheduler: {type: asha_promotion, max_iter: 3, min_iter: 1, eta: 3}}\n";

static uint64_t now_failing;       /* the allocation */

/* Where memory runs out, that is what is said. */
static void check_known(covey_status status)
{
    bool fine = status == COVEY_OK || status == COVEY_EAGAIN || status == COVEY_ECLOSED;
    if (!fine && !strstr(covey_sweep_error(), "memory"))
        fail_msg("allocation %llu: %s: %s", (unsigned long long)now_failing, covey_strerror(status),
                 covey_sweep_error());
}

/* Trials of the sweep in turn; each that is told to end does.  False: memory ran out. */
static bool tell_some(covey_sweep *s, unsigned turns)
{
    covey_offer offer;
    covey_status status = COVEY_OK;
    for (unsigned i = 0; i < turns && status == COVEY_OK; i++) {
        bool stop = false;
        status = covey_sweep_ask(s, &offer);
        for (int step = 0; step < 3 && status == COVEY_OK && !stop; step++)
            status = covey_sweep_tell(s, offer.trial, 0, "{\"loss\": 0.5, \"more\": [1]}", &stop);
        if (status == COVEY_OK)
            status = covey_sweep_end(s, offer.trial, false);
    }
    check_known(status);
    return status == COVEY_OK;
}

/* Returns how many allocations were tried. */
static uint64_t whole_sweep(uint64_t first, uint64_t many)
{
    char path[128];
    covey_sweep *s;
    covey_trial_info info;
    snprintf(path, sizeof path, "%s/sweep", dir.path);
    covey_sweep_opts opts = {.size = sizeof opts, .text = small_text, .dir = path};
    now_failing = first;
    malloc_fail(first, many);
    covey_status made = covey_sweep_create(&s, &opts), again = COVEY_EAGAIN;
    check_known(made);
    assert_true((made == COVEY_OK) == (s != NULL));
    if (s) {
        (void)tell_some(s, 4);
        covey_sweep_close(&s);
        again = covey_sweep_resume(&s, &opts);
        check_known(again);
        assert_true((again == COVEY_OK) == (s != NULL));
    }
    if (s) {
        (void)tell_some(s, 1);
        check_known(covey_sweep_best(s, &info));
        covey_sweep_close(&s);
    }
    uint64_t calls = malloc_calls;
    malloc_fail(0, 0);
    if (made == COVEY_OK) {
        if (covey_sweep_resume(&s, &opts) != COVEY_OK)
            fail_msg("allocation %llu: %s", (unsigned long long)first, covey_sweep_error());
        (void)tell_some(s, 1);
        covey_sweep_close(&s);
    }
    temp_dir_remove(&dir);
    assert_int_equal(mkdir(dir.path, 0700), 0);
    return calls;
}

static void test_sweep(void **state)
{
    (void)state;
    uint64_t calls = whole_sweep(0, 0);
    assert_true(calls > 100);
    /* SQLite's own are thousands, and a writer thread's among them: some of each part. */
    uint64_t stride = calls / 100 + 1;
    for (uint64_t n = 1; n <= calls; n += n < 40 ? 1 : stride)
        whole_sweep(n, 1 + n % 3);
}

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    return failing_sqlite_init();
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
        cmocka_unit_test(test_spec),
        cmocka_unit_test(test_controller),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests_name("sweep_nomem", tests, setup, teardown);
}
