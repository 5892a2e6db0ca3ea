/* sweep_c.c - covey/sweep.h as a program uses it: trials that are C functions, on a
 * real cluster; stop and resume; ask and tell; and everything that can be got wrong. */
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "covey/sweep.h"

#define STEPS 9                 /* of a trial that is not stopped */
#define STOP_AT 4               /* where the first run of a trial waits to be stopped */
#define PATH_BYTES 4300

static char root[4096];         /* where all sweeps are */

/* ---- trials --------------------------------------------------------------------- */

#define TYPES_TEXT                                                              \
    "method: grid\n"                                                            \
    "metric: {name: loss, goal: minimize}\n"                                    \
    "parameters:\n"                                                             \
    "  lr: {value: 0.5}\n"                                                      \
    "  whole: {value: 3}\n"                                                     \
    "  three: {value: 3.0}\n"                                                   \
    "  big: {value: 9007199254740993}\n"                                        \
    "  yes: {value: true}\n"                                                    \
    "  name: {value: \"adam \\\"w\\\" \\u00e9\"}\n"                             \
    "  nothing: {value: null}\n"                                                \
    "  opt: {parameters: {kind: {value: sgd}, deep: {parameters: {rate: {value: 0.25}}}}}\n"

static bool same(const char *a, const char *b) { return a && strcmp(a, b) == 0; }

/* Its loss is the number of the first thing that is wrong; 0: none. */
COVEY_TRIAL(types)
{
    const bool right[] = {
        covey_trial_f64(trial, "lr") == 0.5,
        covey_trial_f64(trial, "whole") == 3,
        covey_trial_i64(trial, "whole") == 3,
        covey_trial_i64(trial, "three") == 3,
        covey_trial_i64(trial, "big") == INT64_C(9007199254740993),
        covey_trial_bool(trial, "yes"),
        same(covey_trial_str(trial, "name"), "adam \"w\" \xc3\xa9"),
        same(covey_trial_str(trial, "opt.kind"), "sgd"),
        covey_trial_f64(trial, "opt.deep.rate") == 0.25,
        covey_trial_has(trial, "opt.kind") && !covey_trial_has(trial, "opt.speed"),
        !covey_trial_has(trial, "nothing") && !covey_trial_has(trial, NULL),
        strstr(covey_trial_params(trial), "\"kind\":\"sgd\"") != NULL,
        covey_trial_number(trial) == 0,
        covey_trial_resource(trial) == 0,
        covey_trial_ctx(trial) != NULL,
        strncmp(covey_trial_checkpoint_dir(trial), covey_trial_dir(trial), strlen(covey_trial_dir(trial))) == 0,
        access(covey_trial_checkpoint_dir(trial), W_OK) == 0,
        covey_trial_f64(NULL, "lr") == 0 && !covey_trial_params(NULL) && !covey_trial_dir(NULL),
        covey_trial_report(NULL, 1, 0) == COVEY_EINVAL,
        covey_report("{\"loss\": 1}") == COVEY_ENOCLUSTER,
    };
    double wrong = 0;
    for (size_t i = sizeof right / sizeof *right; i-- > 0;)
        if (!right[i])
            wrong = (double)i + 1;
    return covey_trial_report(trial, 0, wrong);
}

/* Asks for a parameter in the way that its own says. */
COVEY_TRIAL(asker)
{
    const char *how = covey_trial_str(trial, "how");
    if (same(how, "missing"))
        (void)covey_trial_f64(trial, "optt.kind");
    else if (same(how, "f64"))
        (void)covey_trial_f64(trial, "how");
    else if (same(how, "i64"))
        (void)covey_trial_i64(trial, "half");
    else if (same(how, "bool"))
        (void)covey_trial_bool(trial, "half");
    else if (same(how, "str"))
        (void)covey_trial_str(trial, "half");
    else if (same(how, "own words"))
        return covey_fail(covey_trial_ctx(trial), 7, "the data are not there");
    else if (same(how, "status"))
        return COVEY_ESTOREFULL;
    return covey_trial_report(trial, 1, 1);
}

/* The smaller @x, the better, at every step. */
COVEY_TRIAL(curve)
{
    double x = covey_trial_f64(trial, "x");
    for (int64_t step = 1; step <= STEPS; step++)
        if (covey_trial_report(trial, step, x + 1.0 / (double)step) == COVEY_ECANCELLED)
            break;
    return COVEY_OK;
}

/* Writes the number to, or reads it from, a file of the trial's; 0: there is none. */
static int number_in(const char *dir, const char *file, const char *mode, int number)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, mode);
    if (f && *mode == 'w')
        fprintf(f, "%d\n", number);
    else if (f && fscanf(f, "%d", &number) != 1)
        number = 0;
    if (f)
        fclose(f);
    return number;
}

/* Goes on from its checkpoint.  As long as the sweep has a file "wait", it waits at
 * STOP_AT until it is told to end. */
COVEY_TRIAL(stayer)
{
    const char *dir = covey_trial_checkpoint_dir(trial);
    bool wait = number_in(covey_trial_dir(trial), "../../wait", "r", 0) == 1;
    covey_ctx *ctx = covey_trial_ctx(trial);
    for (int step = number_in(dir, "step", "r", 0) + 1; step <= STEPS && !covey_cancelled(ctx); step++) {
        number_in(dir, "step", "w", step);
        if (covey_trial_report(trial, step, 1.0 / step) != COVEY_OK)
            return COVEY_ECANCELLED;
        if (wait && step == STOP_AT)
            number_in(dir, "waits", "w", 1);
        while (wait && step == STOP_AT && !covey_cancelled(ctx))
            check_nap();
    }
    return covey_cancelled(ctx) ? covey_trial_report(trial, 0, 1) : COVEY_OK;
}

/* Never ends of itself, and does not listen. */
COVEY_TRIAL(stubborn)
{
    number_in(covey_trial_checkpoint_dir(trial), "waits", "w", 1);
    while (covey_trial_ctx(trial))
        check_nap();
    return COVEY_OK;
}

COVEY_TRIAL(crasher)
{
    signal(SIGSEGV, SIG_DFL);   /* a sanitizer has a handler of its own */
    if (covey_trial_bool(trial, "crash"))
        raise(SIGSEGV);
    return covey_trial_report(trial, 1, 1);
}

/* Reports what is refused, and says by its loss what it was answered. */
COVEY_TRIAL(refused)
{
    double wrong = 0;
    if (covey_trial_report(trial, 3, 1) != COVEY_OK)
        wrong = 1;
    if (covey_trial_report(trial, 2, 1) != COVEY_EPROTO || !strstr(covey_sweep_error(), "step 2 is below 3"))
        wrong = 2;
    if (covey_trial_report_json(trial, "{\"loss\": \"low\"}") != COVEY_EPROTO)
        wrong = 3;
    if (covey_trial_report_json(trial, "[1, 2]") != COVEY_EPROTO ||
        covey_trial_report_json(trial, NULL) != COVEY_EINVAL)
        wrong = 4;
    if (covey_trial_report(trial, 0, NAN) != COVEY_OK || covey_trial_report(trial, 0, INFINITY) != COVEY_OK)
        wrong = 5;
    return covey_trial_report_json(trial, wrong == 0 ? "{\"loss\": -1, \"more\": {\"x\": [1]}}" : "{\"loss\": 5}");
}

/* ---- sweeps ---------------------------------------------------------------------- */

static char *in_root(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static bool check_sweep(covey_status got, covey_status want, const char *name)
{
    bool ok = check(got == want, "%s", name);
    if (!ok)
        check_note("%s, not %s: %s", covey_strerror(got), covey_strerror(want), covey_sweep_error());
    return ok;
}

/* It fails with @want, and the error has @text in it. */
static void check_refused(covey_status got, covey_status want, const char *text, const char *name)
{
    bool ok = check(got == want && strstr(covey_sweep_error(), text), "%s", name);
    if (!ok)
        check_note("%s, not %s with \"%s\": %s", covey_strerror(got), covey_strerror(want), text, covey_sweep_error());
}

/* Ends the program where there is nothing to go on with. */
static covey_sweep *make(const char *dir, const char *trial, const char *text, covey_sweep_opts opts)
{
    covey_sweep *s;
    opts.size = sizeof opts;
    opts.text = text;
    opts.trial = trial;
    opts.dir = in_root(dir);
    if (!check_sweep(covey_sweep_create(&s, &opts), COVEY_OK, dir))
        exit(1);
    return s;
}

static covey_trial_info info_of(covey_sweep *s, uint32_t trial)
{
    covey_trial_info info = {.params = "", .why = ""};
    if (covey_sweep_trial(s, trial, &info) != COVEY_OK)
        check_note("trial %u: %s", trial, covey_sweep_error());
    return info;
}

static uint32_t in_state(covey_sweep *s, covey_trial_state state)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < covey_sweep_count(s); i++)
        n += info_of(s, i).state == state;
    return n;
}

static unsigned lines_of(const char *dir, const char *file)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "r");
    unsigned lines = 0;
    for (int c; f && (c = getc(f)) != EOF;)
        lines += c == '\n';
    if (f)
        fclose(f);
    return lines;
}

static bool has_now(const char *path, const char *words)
{
    char text[8192];
    FILE *f = fopen(path, "r");
    size_t len = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[len] = 0;
    return strstr(text, words) != NULL;
}

/* Soon: the files beside sweep.db follow it. */
static bool file_has(const char *dir, const char *file, const char *words)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    for (int naps = 0; naps < 1000 && !has_now(path, words); naps++)
        check_nap();
    return has_now(path, words);
}

/* ---- parameters and failures --------------------------------------------------------- */

static void check_types(covey *c)
{
    covey_trial_info best = {0};
    covey_sweep *s = make("types", "types", TYPES_TEXT, (covey_sweep_opts){0});
    check_sweep(covey_sweep_run(s, c), COVEY_OK, "a run");
    check_sweep(covey_sweep_best(s, &best), COVEY_OK, "has a best trial");
    check(best.best == 0, "parameters of all types arrive; wrong is number %g", best.best);
    check(best.state == COVEY_TRIAL_COMPLETE && best.step == 1 && best.best_step == 1 && best.runs == 1 && !*best.why,
          "and what is known of it fits");
    check(strstr(best.params, "\"lr\": 0.5") || strstr(best.params, "\"lr\":0.5"), "with its parameters");
    covey_sweep_close(&s);
    check(s == NULL, "close takes the pointer");
    covey_sweep_close(&s);
    covey_sweep_close(NULL);
}

static void check_wrong_parameters(covey *c)
{
    static const struct { const char *how, *why; covey_trial_state state; } wants[] = {
        {"fine", "", COVEY_TRIAL_COMPLETE},
        {"missing", "no parameter \"optt.kind\"", COVEY_TRIAL_FAILED},
        {"f64", "\"how\" is \"f64\"; the trial wants a number", COVEY_TRIAL_FAILED},
        {"i64", "\"half\" is 0.5; the trial wants a whole number", COVEY_TRIAL_FAILED},
        {"bool", "the trial wants true or false", COVEY_TRIAL_FAILED},
        {"str", "the trial wants a text", COVEY_TRIAL_FAILED},
        {"own words", "the data are not there", COVEY_TRIAL_FAILED},
        {"status", "the object store is full", COVEY_TRIAL_FAILED},
    };
    covey_sweep *s = make("asker", "asker", "method: grid\nmetric: {name: loss}\nparameters:\n"
                          "  half: {value: 0.5}\n  how: {values: [fine, missing, f64, i64, bool, str, own words, "
                          "status]}\ncovey: {parallel: 1}\n", (covey_sweep_opts){0});
    check_sweep(covey_sweep_run(s, c), COVEY_OK, "trials that fail are no failure of the sweep");
    for (uint32_t i = 0; i < sizeof wants / sizeof *wants; i++) {
        covey_trial_info info = info_of(s, i);
        bool ok = info.state == wants[i].state && strstr(info.why, wants[i].why) && strstr(info.params, wants[i].how);
        check(ok, "asked wrongly: %s", wants[i].how);
        if (!ok)
            check_note("state %d, %s: %s", (int)info.state, info.params, info.why);
    }
    covey_sweep_close(&s);
}

static void check_crash(covey *c)
{
    covey_sweep *s = make("crash", "crasher", "method: grid\nmetric: {name: loss}\nparameters:\n"
                          "  crash: {values: [false, true]}\ncovey: {retries: 1, parallel: 1}\n",
                          (covey_sweep_opts){0});
    check_sweep(covey_sweep_run(s, c), COVEY_OK, "a trial that crashes takes nobody along");
    covey_trial_info info = info_of(s, 1);
    bool ok = check(info.state == COVEY_TRIAL_FAILED && info.runs == 2, "it was tried as often as the file says");
    ok &= check(strstr(info.why, "signal 11") || strstr(info.why, "SIGSEGV"), "its cause is told");
    if (!ok)
        check_note("state %d after %u runs: %s", (int)info.state, info.runs, info.why);
    covey_sweep_close(&s);

    s = make("storm", "crasher", "method: random\nmetric: {name: loss}\nparameters: {crash: {values: [true]}, "
             "x: {min: 0.0, max: 1.0}}\nrun_cap: 100\ncovey: {storm: 3}\n", (covey_sweep_opts){0});
    check_refused(covey_sweep_run(s, c), COVEY_ETASK, "SIGSEGV", "where none works the sweep ends and says why");
    check(covey_sweep_count(s) < 10, "soon");
    covey_sweep_close(&s);
}

static void check_refusals(covey *c)
{
    covey_trial_info info;
    covey_sweep *s = make("refused", "refused", "method: random\nmetric: {name: loss}\nparameters: "
                          "{x: {min: 0.0, max: 1.0}}\nrun_cap: 1\n", (covey_sweep_opts){0});
    check_sweep(covey_sweep_run(s, c), COVEY_OK, "reports that are refused end nothing");
    info = info_of(s, 0);
    check(info.state == COVEY_TRIAL_COMPLETE && info.best == -1, "the trial is told, and goes on; its loss is %g",
          info.best);
    check(info.best_step == 6, "NaN and infinity are steps");
    check(lines_of(covey_sweep_dir(s), "results.jsonl") == 4, "nothing of what is refused is recorded");
    covey_sweep_close(&s);
}

/* ---- stopping early, stopping, resuming ------------------------------------------------ */

struct seen { unsigned events, ticks, looks; uint32_t trials; bool best, wrong; };

static void on_event(covey_sweep *s, const char *line, void *arg)
{
    struct seen *seen = arg;
    seen->events++;
    seen->wrong |= !*line || !covey_sweep_dir(s);
}

/* Another one may look while this one runs. */
static void on_tick(covey_sweep *s, void *arg)
{
    covey_sweep *other;
    covey_trial_info info;
    struct seen *seen = arg;
    seen->ticks++;
    seen->trials = covey_sweep_count(s);
    seen->best |= covey_sweep_best(s, &info) == COVEY_OK;
    seen->wrong |= covey_sweep_run(s, NULL) != COVEY_EINVAL || covey_sweep_end(s, 0, false) != COVEY_EINVAL;
    if (covey_sweep_look(&other, covey_sweep_dir(s)) != COVEY_OK) {
        check_note("look: %s", covey_sweep_error());
        seen->wrong = true;
        return;
    }
    seen->looks += covey_sweep_count(other) > 0 && covey_sweep_count(other) <= covey_sweep_count(s);
    covey_sweep_close(&other);
}

static void check_early_stopping(covey *c)
{
    struct seen seen = {0};
    covey_trial_info best, other;
    covey_sweep *s = make("asha", "curve", "method: random\nmetric: {name: loss, goal: minimize}\nparameters:\n"
                          "  x: {min: 0.0, max: 1.0}\nrun_cap: 30\ncovey: {seed: 7, parallel: 2, scheduler: "
                          "{type: asha, max_iter: 9, min_iter: 1, eta: 3}}\n",
                          (covey_sweep_opts){.on_event = on_event, .on_tick = on_tick, .arg = &seen});
    check_sweep(covey_sweep_run(s, c), COVEY_OK, "a sweep with ASHA");
    uint32_t stopped = in_state(s, COVEY_TRIAL_STOPPED), complete = in_state(s, COVEY_TRIAL_COMPLETE);
    check(covey_sweep_count(s) == 30 && stopped + complete == 30, "all trials have run");
    check(stopped >= 10 && complete >= 1, "%u were stopped, %u went to the end", stopped, complete);
    check_sweep(covey_sweep_best(s, &best), COVEY_OK, "the best");
    double least = best.best;
    uint32_t at = best.trial, better = 0, longer = 0;
    for (uint32_t i = 0; i < 30; i++) {
        other = info_of(s, i);
        better += other.best < least;
        longer += other.state == COVEY_TRIAL_STOPPED ? other.step >= STEPS : other.step != STEPS;
    }
    check(better == 0 && at < 30, "is the best");
    check(longer == 0, "who was stopped was so before the end");
    check(seen.events >= 30 && seen.ticks >= 1 && !seen.wrong, "callbacks: %u events, %u ticks", seen.events,
          seen.ticks);
    check(seen.looks == seen.ticks || seen.looks + 1 == seen.ticks, "others could look meanwhile");
    covey_sweep_close(&s);
}

struct stopper { covey_sweep *sweep; uint32_t trials; int times; pthread_t thread; };

/* Stops the sweep once its trials wait. */
static void *stop_soon(void *arg)
{
    struct stopper *stopper = arg;
    char dir[PATH_BYTES];
    const int64_t until_ms = check_now_ms() + CHECK_GET_MS;
    for (uint32_t i = 0; i < stopper->trials; i++) {
        snprintf(dir, sizeof dir, "%s/trials/%04u/checkpoint", covey_sweep_dir(stopper->sweep), i);
        while (number_in(dir, "waits", "r", 0) == 0 && check_now_ms() < until_ms)
            check_nap();
    }
    for (int i = 0; i < stopper->times; i++)
        covey_sweep_stop(stopper->sweep);
    return NULL;
}

static covey_status run_and_stop(covey_sweep *s, covey *c, uint32_t trials, int times)
{
    struct stopper stopper = {.sweep = s, .trials = trials, .times = times};
    if (pthread_create(&stopper.thread, NULL, stop_soon, &stopper) != 0)
        exit(2);
    covey_status status = covey_sweep_run(s, c);
    pthread_join(stopper.thread, NULL);
    return status;
}

static void check_stop_and_resume(covey *c)
{
    covey_sweep *second;
    covey_sweep *s = make("stayer", "stayer", "method: random\nmetric: {name: loss}\nparameters:\n"
                          "  x: {min: 0.0, max: 1.0}\nrun_cap: 4\ncovey: {parallel: 2}\n", (covey_sweep_opts){0});
    covey_sweep_opts opts = {.size = sizeof opts, .dir = in_root("stayer")};
    check_refused(covey_sweep_resume(&second, &opts), COVEY_EREFUSED, "another runner", "a sweep is open only once");
    number_in(covey_sweep_dir(s), "wait", "w", 1);
    check_refused(run_and_stop(s, c, 2, 1), COVEY_ECANCELLED, "covey sweep resume", "stopped from another thread");
    check(covey_sweep_count(s) == 2 && info_of(s, 0).state == COVEY_TRIAL_WAITING && info_of(s, 1).step == STOP_AT + 1,
          "its trials wait, with what they had, and their last words");
    number_in(covey_sweep_dir(s), "wait", "w", 0);
    covey_sweep_close(&s);

    opts.set = (const char *const[]){"run_cap=5", NULL};
    if (!check_sweep(covey_sweep_resume(&s, &opts), COVEY_OK, "resume"))
        exit(1);
    check_sweep(covey_sweep_run(s, c), COVEY_OK, "goes on");
    check(in_state(s, COVEY_TRIAL_COMPLETE) == 5, "to the end, which was set anew");
    check(info_of(s, 0).runs == 2 && info_of(s, 1).runs == 2 && info_of(s, 2).runs == 1, "who had begun ran twice");
    check(lines_of(covey_sweep_dir(s), "results.jsonl") == 5 * STEPS, "from its checkpoint: no step was done twice");
    covey_sweep_close(&s);
}

static void check_stop_early_and_hard(covey *c)
{
    const char *text = "method: random\nmetric: {name: loss}\nparameters: {x: {min: 0.0, max: 1.0}}\nrun_cap: 1\n"
                       "covey: {grace: 1h}\n";
    covey_sweep *s = make("early", "curve", text, (covey_sweep_opts){0});
    covey_sweep_stop(s);
    check_sweep(covey_sweep_run(s, c), COVEY_ECANCELLED, "stopped before it runs");
    check(covey_sweep_count(s) == 0, "nothing starts");
    covey_sweep_close(&s);
    s = make("stubborn", "stubborn", text, (covey_sweep_opts){0});
    int64_t start = check_now_ms();
    check_sweep(run_and_stop(s, c, 1, 2), COVEY_ECANCELLED, "a second stop kills who does not listen");
    check(check_now_ms() - start < CHECK_GET_MS, "and does not wait for the grace");
    covey_sweep_close(&s);
}

/* ---- ask and tell ------------------------------------------------------------------------- */

static void check_ask_and_tell(void)
{
    bool stop = true;
    covey_offer offer = {0}, other;
    covey_trial_info info;
    covey_sweep *s = make("asked", NULL, "method: grid\nmetric: {name: loss, goal: maximize}\nparameters:\n"
                          "  x: {values: [1, 2]}\ncovey: {retries: 1}\n", (covey_sweep_opts){0});
    check_refused(covey_sweep_best(s, &info), COVEY_EAGAIN, "no trial", "no best one yet");
    check_sweep(covey_sweep_ask(s, &offer), COVEY_OK, "ask");
    check(offer.trial == 0 && strstr(offer.params, "\"x\"") && offer.resource == 0, "the offer");
    check(access(offer.checkpoint, W_OK) == 0, "with a place for its checkpoint");
    check_sweep(covey_sweep_tell(s, 0, 5, "{\"loss\": 0.25}", &stop), COVEY_OK, "tell");
    check(!stop, "it may go on");
    check_sweep(covey_sweep_tell(s, 0, 5, "{\"more\": 1}", NULL), COVEY_OK, "the same step adds to it");
    check_sweep(covey_sweep_tell(s, 0, 0, "{\"loss\": nan, \"a\": [1, Infinity, {\"b\": -Infinity}], \"c\": 1e999}",
                                 &stop), COVEY_OK, "NaN");
    check(file_has(covey_sweep_dir(s), "results.jsonl", "\"metrics\":{\"loss\":\"NaN\",\"a\":[1,\"Infinity\",{\"b\":"
                   "\"-Infinity\"}],\"c\":\"Infinity\",\"step\":6}}\n"), "what JSON has no number for is a text");
    check_sweep(covey_sweep_tell(s, 0, 6, "{\"loss\": \"nan\", \"note\": \"-inf\"}", NULL), COVEY_OK, "with quotes");
    check(file_has(covey_sweep_dir(s), "results.jsonl", "{\"loss\":\"NaN\",\"note\":\"-inf\",\"step\":6}"),
          "the metric is spelt in one way, other texts are left");
    info = info_of(s, 0);
    check(info.step == 6 && isnan(info.value), "is a step");
    check(info.best == 0.25 && info.best_step == 5, "and no best one");
    check_refused(covey_sweep_tell(s, 0, 4, "{\"loss\": 1}", &stop), COVEY_EINVAL, "step 4 is below 6", "a lower step");
    check_refused(covey_sweep_tell(s, 0, 0, "loss = 1", &stop), COVEY_EINVAL, "trial 0 is refused", "no JSON");
    check_refused(covey_sweep_tell(s, 0, 0, "{\"a\": \"\xff\"}", &stop), COVEY_EINVAL, "utf-8", "no UTF-8");
    check_refused(covey_sweep_tell(s, 0, 0, "7", &stop), COVEY_EINVAL, "a JSON object", "no object");
    check_refused(covey_sweep_tell(s, 0, 0, "{\"loss\": ", &stop), COVEY_EINVAL, "a JSON object", "half of one");
    check_refused(covey_sweep_tell(s, 0, 0, "{} {}", &stop), COVEY_EINVAL, "a JSON object", "two");
    check_refused(covey_sweep_tell(s, 0, -1, "{}", &stop), COVEY_EINVAL, "-1", "a negative step");
    check_refused(covey_sweep_tell(s, 0, 0, NULL, &stop), COVEY_EINVAL, "NULL", "no report");
    check_refused(covey_sweep_tell(s, 9, 0, "{}", &stop), COVEY_EINVAL, "no trial 9", "no such trial");
    check_sweep(covey_sweep_ask(s, &other), COVEY_OK, "ask again");
    check_refused(covey_sweep_ask(s, &other), COVEY_EAGAIN, "in progress", "more later");
    check_sweep(covey_sweep_end(s, 1, true), COVEY_OK, "one has failed");
    check_sweep(covey_sweep_ask(s, &other), COVEY_OK, "and is offered again");
    check(other.trial == 1, "with its number");
    check_sweep(covey_sweep_end(s, 1, false), COVEY_OK, "it ends without a word");
    check(info_of(s, 1).state == COVEY_TRIAL_FAILED && info_of(s, 1).runs == 2, "which is a failure, its last");
    check_refused(covey_sweep_end(s, 1, false), COVEY_EINVAL, "does not run", "once is enough");
    check_sweep(covey_sweep_end(s, 0, false), COVEY_OK, "the other ends well");
    check_refused(covey_sweep_ask(s, &other), COVEY_ECLOSED, "nothing is left", "all is told");

    covey_sweep *look;
    check_sweep(covey_sweep_look(&look, covey_sweep_dir(s)), COVEY_OK, "look while it is open");
    check(covey_sweep_count(look) == 2 && info_of(look, 0).state == COVEY_TRIAL_COMPLETE, "what was told is there");
    check_refused(covey_sweep_ask(look, &other), COVEY_EINVAL, "to look", "who looks does not ask");
    check_refused(covey_sweep_tell(look, 0, 1, "{}", &stop), COVEY_EINVAL, "to look", "nor tell");
    check_refused(covey_sweep_end(look, 0, true), COVEY_EINVAL, "to look", "nor end");
    covey_sweep_close(&look);
    covey_sweep_close(&s);
}

/* A checkpoint that somebody keeps elsewhere is one: steps go on behind it. */
static void check_linked_checkpoint(void)
{
    covey_offer offer = {0};
    char model[PATH_BYTES];
    covey_sweep *s = make("linked", NULL, "method: grid\nmetric: {name: loss, goal: minimize}\nparameters:\n"
                          "  x: {values: [1]}\ncovey: {retries: 1}\n", (covey_sweep_opts){0});
    check_sweep(covey_sweep_ask(s, &offer), COVEY_OK, "ask");
    snprintf(model, sizeof model, "%s/elsewhere", covey_sweep_dir(s));
    bool linked = rmdir(offer.checkpoint) == 0 && mkdir(model, 0777) == 0 && symlink(model, offer.checkpoint) == 0;
    snprintf(model, sizeof model, "%s/elsewhere/model", covey_sweep_dir(s));
    check(linked && mkdir(model, 0777) == 0, "a checkpoint behind a link");
    check_sweep(covey_sweep_tell(s, 0, 5, "{\"loss\": 1}", NULL), COVEY_OK, "step 5");
    check_sweep(covey_sweep_end(s, 0, true), COVEY_OK, "it fails");
    check_sweep(covey_sweep_ask(s, &offer), COVEY_OK, "it is offered again");
    check_sweep(covey_sweep_tell(s, 0, 0, "{\"loss\": 1}", NULL), COVEY_OK, "the next step");
    check(info_of(s, 0).step == 6, "is the one after its checkpoint's");
    covey_sweep_close(&s);
}

/* ---- misuse --------------------------------------------------------------------------------- */

static void check_create(covey_sweep_opts opts, covey_status want, const char *text, const char *name)
{
    covey_sweep *s = (covey_sweep *)&opts;
    opts.size = opts.size ? opts.size : sizeof opts;
    covey_status status = covey_sweep_create(&s, &opts);
    check_refused(status, want, text, name);
    check(s == NULL, "and there is no sweep");
    covey_sweep_close(&s);
}

static void check_misuse(covey *c)
{
    const char *text = "method: random\nparameters: {x: {min: 0.0, max: 1.0}}\nrun_cap: 2\n";
    const char *wrong = "method: random\nparameters: {x: {minn: 0.0, max: 1.0}}\n";
    covey_sweep *s = NULL;
    covey_trial_info info;
    covey_sweep_opts opts = {.text = text};
    check_refused(covey_sweep_create(NULL, &opts), COVEY_EINVAL, "out", "nowhere to put it");
    check_refused(covey_sweep_create(&s, NULL), COVEY_EINVAL, "opts", "no opts");
    check_refused(covey_sweep_create(&s, &opts), COVEY_EINVAL, "sizeof(covey_sweep_opts)", "opts without their size");
    check_create((covey_sweep_opts){.size = 4096, .text = text}, COVEY_EINVAL, "4096", "opts of tomorrow");
    check_create((covey_sweep_opts){0}, COVEY_EINVAL, "opts.file or opts.text", "neither file nor text");
    check_create((covey_sweep_opts){.file = "x", .text = text}, COVEY_EINVAL, "both", "both");
    check_create((covey_sweep_opts){.file = "nowhere.yaml"}, COVEY_EINVAL, "nowhere.yaml: No such file",
                 "no such file");
    check_create((covey_sweep_opts){.text = wrong}, COVEY_EINVAL, "sweep:2:", "a wrong text: its line");
    check_create((covey_sweep_opts){.text = wrong}, COVEY_EINVAL, "did you mean min?", "and the mend");
    check_create((covey_sweep_opts){.text = text, .dir = root}, COVEY_EREFUSED, root, "a directory that exists");
    check_create((covey_sweep_opts){.text = text, .dir = "/proc/no/sweep"}, COVEY_ESYSTEM, "/proc/no",
                 "one that cannot be");
    check_create((covey_sweep_opts){.text = text, .trial = "curv", .dir = in_root("none")}, COVEY_EUNKNOWN,
                 "\"curv\"; did you mean curve?", "no such trial");
    const char *const no_value[] = {"run_cap", NULL}, *const no_key[] = {"run_cup=3", NULL};
    check_create((covey_sweep_opts){.text = text, .set = no_value, .dir = in_root("none")}, COVEY_EINVAL,
                 "--set run_cap: key=value", "a set without a value");
    check_create((covey_sweep_opts){.text = text, .set = no_key, .dir = in_root("none")}, COVEY_EINVAL,
                 "did you mean run_cap?", "a set of nothing");
    check(access(in_root("none"), F_OK) != 0, "what is refused leaves nothing behind");

    opts = (covey_sweep_opts){.size = sizeof opts};
    check_refused(covey_sweep_resume(&s, &opts), COVEY_EINVAL, "opts.dir", "resume nothing");
    opts.dir = in_root("none");
    check_refused(covey_sweep_resume(&s, &opts), COVEY_EINVAL, "none", "resume where none is");
    check_refused(covey_sweep_look(&s, root), COVEY_EINVAL, "no sweep", "look where none is");
    check_refused(covey_sweep_look(&s, NULL), COVEY_EINVAL, "directory", "look at nothing");
    check_refused(covey_sweep_look(NULL, root), COVEY_EINVAL, "out", "look into nothing");
    check_refused(covey_sweep_run(NULL, c), COVEY_EINVAL, "NULL", "run nothing");
    check_refused(covey_sweep_ask(NULL, NULL), COVEY_EINVAL, "NULL", "ask nobody");
    check_refused(covey_sweep_best(NULL, &info), COVEY_EINVAL, "NULL", "the best of nothing");
    check(covey_sweep_count(NULL) == 0 && !*covey_sweep_dir(NULL), "NULL has no trials");

    s = make("misused", NULL, text, (covey_sweep_opts){0});
    check_refused(covey_sweep_run(s, NULL), COVEY_EINVAL, "cluster", "run without a cluster");
    check_refused(covey_sweep_trial(s, 3, &info), COVEY_EINVAL, "no trial 3", "no such trial");
    check_refused(covey_sweep_trial(s, 0, NULL), COVEY_EINVAL, "out", "a trial to nowhere");
    check_refused(covey_sweep_ask(s, NULL), COVEY_EINVAL, "out", "ask for nothing");
    covey_sweep_close(&s);
    check(covey_report("{}") == COVEY_ENOCLUSTER && strstr(covey_report_error(), "COVEY_REPORT"),
          "a report where no sweep is");
    check(covey_report(NULL) == COVEY_EINVAL && covey_report("") == COVEY_EINVAL, "no report");
}

/* The file's text and directory, the number of trials and the seed. */
static void check_opts(covey *c)
{
    char path[PATH_BYTES], params[2][256];
    snprintf(path, sizeof path, "%s", in_root("opts.yaml"));
    FILE *f = fopen(path, "w");
    if (!f || fputs("name: from/file\nmethod: random\nparameters: {x: {min: 0.0, max: 1.0}}\n"
                    "covey: {seed: 5}\n", f) < 0)
        exit(2);
    fclose(f);
    for (int i = 0; i < 3; i++) {
        covey_sweep *s;
        char dir[PATH_BYTES];
        snprintf(dir, sizeof dir, "%s/deep/er/%d", root, i);
        covey_sweep_opts opts = {.size = sizeof opts, .file = path, .dir = dir, .trial = "curve", .count = 3,
                                 .parallel = 1, .seeded = i == 2, .seed = 6};
        if (!check_sweep(covey_sweep_create(&s, &opts), COVEY_OK, "from a file"))
            exit(1);
        check_sweep(covey_sweep_run(s, c), COVEY_OK, "runs, without a metric too");
        check(covey_sweep_count(s) == 3 && strcmp(covey_sweep_dir(s), dir) == 0, "as many as wanted, where wanted");
        if (i == 1)
            check(strcmp(params[0], info_of(s, 2).params) == 0, "the file's seed: the same again");
        if (i == 2)
            check(strcmp(params[0], info_of(s, 2).params) != 0, "a seed of the program's: others");
        snprintf(params[0], sizeof params[0], "%s", info_of(s, 2).params);
        covey_sweep_close(&s);
    }
    unlink(path);
}

/* A sweep of C trials can be read, not run, by a program that does not have them. */
static void check_other_program(void)
{
    char command[3 * PATH_BYTES];
    const char *bin = getenv("COVEY_BIN") ? getenv("COVEY_BIN") : "covey";
    snprintf(command, sizeof command, "'%s' sweep best '%s' | grep -q loss", bin, in_root("types"));
    check(system(command) == 0, "covey sweep best reads it");
    snprintf(command, sizeof command, "'%s' sweep resume '%s' --set run_cap=9 2>&1 | grep -q 'run the sweep from'",
             bin, in_root("types"));
    check(system(command) == 0, "covey sweep resume names the mend");
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

int main(void)
{
    covey *c = check_open((covey_open_opts){.cpus = 2});
    const char *tmp = getenv("TMPDIR");
    char made[512];
    snprintf(made, sizeof made, "%s/sweeps.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(made) || !realpath(made, root))
        exit(2);
    check_misuse(c);
    check_types(c);
    check_wrong_parameters(c);
    check_refusals(c);
    check_crash(c);
    check_early_stopping(c);
    check_stop_and_resume(c);
    check_stop_early_and_hard(c);
    check_ask_and_tell();
    check_linked_checkpoint();
    check_opts(c);
    covey_close(&c);
    check_other_program();
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    check_nothing_left("after close");
    return check_end();
}
