/* sweep.c - see covey/sweep.h: make a sweep, open one, look at it.
 *
 * The record's meta keeps what a sweep was made from: the file's text and what
 * was set on top, in order.  So a sweep can be opened wherever its directory
 * is, with the file gone or changed. */
#include "sweep/sweep.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "sweep/settings.h"

#define ERROR_MAX 4096
#define DIR_ROOM 64             /* for the names of what is below the sweep's directory */

static _Thread_local char error[ERROR_MAX];

const char *covey_sweep_error(void) { return error; }

covey_status sweep_fail(covey_status status, const char *format, ...)
{
    char words[ERROR_MAX];      /* an argument may be the last error itself */
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    memcpy(error, words, sizeof words);
    return status;
}

void sweep_say(covey_sweep *s, const char *format, ...)
{
    char line[2048];
    va_list args;
    if (!s->opts.on_event)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    s->opts.on_event(s, line, s->opts.arg);
}

const char *sweep_params(covey_sweep *s, const struct trial *t)
{
    text_clear(&s->params);
    space_print_json(&s->params, &s->spec->space, t->x);
    return text_get(&s->params);
}

const char *sweep_trial_dir(covey_sweep *s, uint32_t trial)
{
    snprintf(s->trial_dir, sizeof s->trial_dir, "%s/trials/%04u", s->dir, trial);
    return s->trial_dir;
}

/* ---- the record -------------------------------------------------------------------- */

covey_status sweep_record_start(covey_sweep *s, const struct controller_order *order, uint64_t *seq)
{
    const struct trial *t = controller_trial(s->controller, order->trial);
    struct record_event e = {.kind = RECORD_START, .time_ms = t->run_started_ms, .trial = t->number};
    const char *params = order->new_point ? sweep_params(s, t) : NULL;
    if (order->new_point && !params)
        return sweep_fail(COVEY_ENOMEM, "out of memory");
    e.start.run = t->runs - 1;
    e.start.params = params;
    e.start.until = t->until;
    e.start.bracket = t->bracket;
    e.start.clone_of = t->clone_of;
    record_append(s->record, &e);
    *seq = e.seq;
    return COVEY_OK;
}

enum record_fate sweep_record_end(covey_sweep *s, uint32_t trial, int status, bool interrupted, const char *why)
{
    struct record_event e = {.kind = RECORD_END, .time_ms = clock_unix_ms(), .trial = trial};
    e.end.fate = controller_end(s->controller, trial, status, interrupted, why, e.time_ms);
    e.end.status = status;
    e.end.why = why;
    record_append(s->record, &e);
    if (trial_is_over(controller_trial(s->controller, trial)->state))
        checkpoints_end(s, trial);
    return e.end.fate;
}

/* meta's run_ended: "" while it runs, else "STATUS WORDS". */
void sweep_record_run(covey_sweep *s, bool runs, covey_status status)
{
    struct text text = TEXT_NONE;
    if (!runs)
        text_printf(&text, "%d %s", (int)status, status == COVEY_OK ? "" : covey_sweep_error());
    record_set(s->record, "run_ended", text_get(&text) ? text_get(&text) : "");
    text_fini(&text);
}

bool sweep_run_ended(covey_sweep *s, covey_status *status)
{
    char *words, *text = record_meta(s->record, "run_ended");
    long code = text && *text ? strtol(text, &words, 10) : -1;
    bool ended = code >= 0 && code < COVEY_STATUS_COUNT;
    if (ended)
        *status = sweep_fail((covey_status)code, "%s", words + (*words == ' '));
    free(text);
    return ended;
}

/* ---- making ------------------------------------------------------------------------- */

static void on_warning(const char *text, void *arg) { sweep_say(arg, "warning: %s", text); }

/* What a program that was compiled earlier does not know is zero. */
static bool take_opts(covey_sweep_opts *out, const covey_sweep_opts *opts, const char *call)
{
    *out = (covey_sweep_opts){0};
    if (!opts)
        sweep_fail(COVEY_EINVAL, "%s: opts are NULL", call);
    else if (opts->size < offsetof(covey_sweep_opts, parallel) || opts->size > sizeof *out)
        sweep_fail(COVEY_EINVAL, "%s: opts of size %zu: set opts.size to sizeof(covey_sweep_opts)", call, opts->size);
    else
        memcpy(out, opts, opts->size);
    return out->size > 0;
}

static covey_sweep *sweep_new(const covey_sweep_opts *opts)
{
    covey_sweep *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->opts = *opts;
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->task = s->opts.trial ? strdup(s->opts.trial) : NULL;
    if (s->wake_fd < 0 || (s->opts.trial && !s->task))
        covey_sweep_close(&s);
    return s;
}

void covey_sweep_close(covey_sweep **sp)
{
    covey_sweep *s = sp ? *sp : NULL;
    if (!s)
        return;
    assert(!s->run);            /* closed from one of its own callbacks */
    *sp = NULL;
    record_finish(&s->record);
    controller_free(&s->controller);
    spec_free(&s->spec);
    text_fini(&s->params);
    text_fini(&s->words);
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    checkpoints_fini(s);
    copies_free(&s->copies);
    free(s->task);
    free(s);
}

/* The file's text; the caller frees. */
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = f ? malloc(SPEC_FILE_MAX + 2) : NULL;
    size_t size = text ? fread(text, 1, SPEC_FILE_MAX + 1, f) : 0;
    if (!text || ferror(f)) {
        sweep_fail(COVEY_EINVAL, "%s: %s", path, strerror(errno));
        free(text);
        text = NULL;
    } else {
        text[size] = 0;
    }
    if (f)
        fclose(f);
    return text;
}

/* The file's @text, named @name, with @set on top. */
static covey_status read_spec(covey_sweep *s, const char *name, const char *text, const struct settings *set,
                              void (*warn)(const char *text, void *arg))
{
    char why[4096];
    s->spec = spec_read_with(name, text, strlen(text), set->lines, warn, s, why, sizeof why);
    return s->spec ? COVEY_OK : sweep_fail(COVEY_EINVAL, "%s", why);
}

static covey_status use_seed(covey_sweep *s, uint64_t seed)
{
    char why[512];
    s->spec->seed = s->spec->search.seed = s->spec->scheduler.seed = seed;
    s->controller = controller_new(s->spec, why, sizeof why);
    return s->controller ? COVEY_OK : sweep_fail(COVEY_EINVAL, "%s: %s", s->spec->file, why);
}

/* Random unless somebody named one; what it was is in the record. */
static uint64_t choose_seed(const covey_sweep *s)
{
    uint64_t seed;
    if (s->opts.seeded || s->spec->seed)
        return s->opts.seeded ? s->opts.seed : s->spec->seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint64_t)clock_unix_ms() << 16;
    return seed >> 16;          /* short enough to be typed */
}

static bool make_parents(char *path)
{
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        bool ok = mkdir(path, 0777) == 0 || errno == EEXIST;
        *at = '/';
        if (!ok)
            return false;
    }
    return true;
}

/* sweeps/NAME-DATE, and a number where that is there already. */
static void name_dir(const covey_sweep *s, int n, char *path, size_t size)
{
    char date[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(date, sizeof date, "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
    const char *name = s->spec->name && *s->spec->name ? s->spec->name : "sweep";
    int at = snprintf(path, size, "sweeps/");
    snprintf(path + at, size - (size_t)at, n ? "%s-%s-%d" : "%s-%s", name, date, n);
    for (char *c = path + at; *c; c++)
        if (*c == '/' || *c <= ' ')
            *c = '-';
}

/* Where it is now, absolute.  0, or an errno. */
static int use_dir(covey_sweep *s, const char *path)
{
    char *real = realpath(path, NULL);
    int failure = !real ? errno : strlen(real) + DIR_ROOM > sizeof s->dir ? ENAMETOOLONG : 0;
    if (failure == 0)
        memcpy(s->dir, real, strlen(real) + 1);
    free(real);
    return failure;
}

static covey_status make_dir(covey_sweep *s)
{
    char path[SWEEP_PATH_MAX + 16];
    if (s->opts.dir && strlen(s->opts.dir) >= SWEEP_PATH_MAX)
        return sweep_fail(COVEY_ESYSTEM, "cannot make the directory %.64s...: %s", s->opts.dir, strerror(ENAMETOOLONG));
    for (int n = 0;; n++) {
        if (s->opts.dir)
            snprintf(path, SWEEP_PATH_MAX, "%s", s->opts.dir);
        else
            name_dir(s, n, path, SWEEP_PATH_MAX);
        if (make_parents(path) && mkdir(path, 0777) == 0)
            break;
        if (errno == EEXIST && !s->opts.dir && n < 100)
            continue;
        if (errno == EEXIST)
            return sweep_fail(COVEY_EREFUSED, "%s exists already; `covey sweep resume %s` goes on with a sweep that "
                              "is there, another --dir starts a new one", path, path);
        return sweep_fail(COVEY_ESYSTEM, "cannot make the directory %s: %s", path, strerror(errno));
    }
    int failure = use_dir(s, path);
    if (failure != 0)
        return sweep_fail(COVEY_ESYSTEM, "%s: %s", path, strerror(failure));
    snprintf(path, sizeof path, "%s/trials", s->dir);
    if (mkdir(path, 0777) != 0)
        return sweep_fail(COVEY_ESYSTEM, "cannot make the directory %s: %s", path, strerror(errno));
    return COVEY_OK;
}

/* When it has its directory. */
static covey_status make_copies(covey_sweep *s)
{
    s->copies = copies_new(s->dir);
    return s->copies ? COVEY_OK : sweep_fail(COVEY_ENOMEM, "out of memory, or of descriptors");
}

static covey_status make_record(covey_sweep *s, const char *text, const char *sets)
{
    char why[1024], seed[32], created[32];
    const struct spec *spec = s->spec;
    const char **names = calloc(spec->space.count + 1, sizeof *names);
    if (!names)
        return sweep_fail(COVEY_ENOMEM, "out of memory");
    for (size_t i = 0; i < spec->space.count; i++)
        names[i] = spec->space.params[i].name;
    const char *base = strrchr(s->dir, '/');
    struct record_sweep what = {.name = spec->name ? spec->name : base ? base + 1 : s->dir,
                                .metric = spec->metric.name, .maximize = spec->metric.maximize, .params = names,
                                .sync_full = spec->sync_full};
    covey_status status = (covey_status)record_create(&s->record, s->dir, &what, why, sizeof why);
    free(names);
    if (status != COVEY_OK)
        return sweep_fail(status, "%s", why);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)spec->seed);
    snprintf(created, sizeof created, "%lld", (long long)clock_unix_ms());
    record_set(s->record, "spec", text);
    record_set(s->record, "spec_file", spec->file);
    record_set(s->record, "sets", sets);
    record_set(s->record, "seed", seed);
    record_set(s->record, "created_ms", created);
    record_set(s->record, "task", s->task ? s->task : "");
    record_set(s->record, "cwd", s->cwd);
    free(record_meta(s->record, "task"));       /* waits: who is told of the sweep can look at it */
    const char *failed = record_failed(s->record);
    return failed ? sweep_fail(COVEY_ESYSTEM, "%s", failed) : COVEY_OK;
}

static covey_status use_cwd(covey_sweep *s)
{
    if (getcwd(s->cwd, sizeof s->cwd))
        return COVEY_OK;
    return sweep_fail(COVEY_ESYSTEM, "the current directory, in which trials would run: %s", strerror(errno));
}

static covey_status create(covey_sweep *s, const char *name, const char *text)
{
    struct text sets = TEXT_NONE;
    struct settings set;
    covey_status status = settings_gather(&set, NULL, &s->opts, false);
    if (status == COVEY_OK)
        status = read_spec(s, name, text, &set, on_warning);
    if (status == COVEY_OK && s->task)
        status = trial_find(s->task);
    if (status == COVEY_OK)
        status = use_cwd(s);
    if (status == COVEY_OK)
        status = use_seed(s, choose_seed(s));
    if (status == COVEY_OK)
        settings_print(&set, &sets);
    if (sets.failed)
        status = sweep_fail(COVEY_ENOMEM, "out of memory");
    if (status == COVEY_OK)
        status = make_dir(s);
    if (status == COVEY_OK)
        status = make_copies(s);
    if (status == COVEY_OK)
        status = make_record(s, text, text_get(&sets));
    text_fini(&sets);
    settings_fini(&set);
    return status;
}

covey_status covey_sweep_create(covey_sweep **out, const covey_sweep_opts *given)
{
    covey_sweep_opts opts;
    if (!out)
        return sweep_fail(COVEY_EINVAL, "covey_sweep_create: out is NULL");
    *out = NULL;
    if (!take_opts(&opts, given, "covey_sweep_create"))
        return COVEY_EINVAL;
    if (!opts.file == !opts.text)
        return sweep_fail(COVEY_EINVAL, opts.file ? "covey_sweep_create: both a file and a text; set one of them"
                          : "covey_sweep_create: neither a file nor a text; set opts.file or opts.text");
    covey_sweep *s = sweep_new(&opts);
    char *read = opts.file ? read_file(opts.file) : NULL;
    covey_status status = COVEY_EINVAL;
    if (!s)
        status = sweep_fail(COVEY_ENOMEM, "out of memory, or of descriptors");
    else if (read || opts.text)
        status = create(s, opts.file ? opts.file : "sweep", read ? read : opts.text);
    free(read);
    if (status == COVEY_OK)
        *out = s;
    else
        covey_sweep_close(&s);
    return status;
}

/* ---- opening --------------------------------------------------------------------------- */

static bool play(const struct record_event *event, void *arg)
{
    char why[512];
    covey_sweep *s = arg;
    s->played = event->seq;
    if (controller_play(s->controller, event, why, sizeof why)) {
        if (s->follower)
            s->follower(event, s->follower_arg);
        return true;
    }
    sweep_fail(COVEY_EINVAL, "%s: the record is damaged: %s", s->dir, why);
    s->damaged = true;
    return false;
}

static covey_status play_from(covey_sweep *s, uint64_t from)
{
    char why[1024];
    covey_status status = (covey_status)record_play_from(s->record, from, play, s, why, sizeof why);
    if (status != COVEY_OK)
        return sweep_fail(status, "%s", why);
    return s->damaged ? COVEY_EINVAL : COVEY_OK;
}

covey_status sweep_follow(covey_sweep *s, void (*on_event)(const struct record_event *event, void *arg), void *arg)
{
    s->follower = on_event;
    s->follower_arg = arg;
    return play_from(s, s->played + 1);
}

static covey_status get(covey_sweep *s, const char *key, char **out)
{
    return record_get(s->record, key, out) ? COVEY_OK
        : sweep_fail(COVEY_ENOMEM, "%s: the record cannot be read; memory may be short", s->dir);
}

/* What the record says that the sweep was made from, and what this call sets on top. */
static covey_status restore_spec(covey_sweep *s, const char *file, const char *text)
{
    struct text sets = TEXT_NONE;
    struct settings set = SETTINGS_NONE;
    char *kept = NULL;
    covey_status status = get(s, "sets", &kept);
    if (status == COVEY_OK)
        status = settings_gather(&set, kept, &s->opts, true);
    if (status == COVEY_OK)
        status = read_spec(s, file, text, &set, NULL);
    if (status == COVEY_OK)
        settings_print(&set, &sets);
    if (sets.failed)
        status = sweep_fail(COVEY_ENOMEM, "out of memory");
    if (status == COVEY_OK && !s->looking)
        record_set(s->record, "sets", text_get(&sets));
    text_fini(&sets);
    settings_fini(&set);
    return status;
}

/* Where the sweep was made, whoever resumes it from where; here, if that is not there any more. */
static covey_status restore_cwd(covey_sweep *s)
{
    covey_status status = COVEY_OK;
    char *cwd = record_meta(s->record, "cwd");
    bool found = cwd && access(cwd, X_OK) == 0 && strlen(cwd) < sizeof s->cwd;
    if (found)
        memcpy(s->cwd, cwd, strlen(cwd) + 1);
    else if (!s->looking)
        status = use_cwd(s);
    if (!found && cwd && !s->looking && status == COVEY_OK)
        sweep_say(s, "warning: %s is gone; trials run in %s", cwd, s->cwd);
    free(cwd);
    return status;
}

static covey_status restore(covey_sweep *s)
{
    char *text = NULL, *file = NULL, *seed = NULL, *task = NULL;
    covey_status status = get(s, "spec", &text);
    if (status == COVEY_OK)
        status = get(s, "spec_file", &file);
    if (status == COVEY_OK)
        status = get(s, "seed", &seed);
    if (status == COVEY_OK)
        status = get(s, "task", &task);
    if (status == COVEY_OK && (!text || !file || !seed))
        status = sweep_fail(COVEY_EINVAL, "%s: the record is damaged: it does not say what it was made from", s->dir);
    if (status == COVEY_OK)
        status = restore_spec(s, file, text);
    if (status == COVEY_OK)
        status = use_seed(s, strtoull(seed, NULL, 10));
    if (status == COVEY_OK)
        status = restore_cwd(s);
    if (status == COVEY_OK && task && *task && !s->task && !(s->task = strdup(task)))
        status = sweep_fail(COVEY_ENOMEM, "out of memory");
    free(text);
    free(file);
    free(seed);
    free(task);
    return status;
}

static covey_status open_record(covey_sweep *s)
{
    char why[1024];
    int failure = use_dir(s, s->opts.dir);
    if (failure != 0)
        return sweep_fail(COVEY_EINVAL, "no sweep in %s: %s", s->opts.dir, strerror(failure));
    covey_status status = (covey_status)(s->looking ? record_look(&s->record, s->dir, why, sizeof why)
                                                    : record_resume(&s->record, s->dir, why, sizeof why));
    if (status != COVEY_OK)
        return sweep_fail(status, "%s", why);
    status = restore(s);
    if (status == COVEY_OK && !s->looking)
        status = make_copies(s);
    return status == COVEY_OK ? play_from(s, 1) : status;
}

static covey_status open_sweep(covey_sweep **out, const covey_sweep_opts *opts, bool looking)
{
    covey_sweep *s = sweep_new(opts);
    if (!s)
        return sweep_fail(COVEY_ENOMEM, "out of memory, or of descriptors");
    s->looking = looking;
    covey_status status = open_record(s);
    if (status == COVEY_OK)
        *out = s;
    else
        covey_sweep_close(&s);
    return status;
}

covey_status covey_sweep_resume(covey_sweep **out, const covey_sweep_opts *given)
{
    covey_sweep_opts opts;
    if (!out)
        return sweep_fail(COVEY_EINVAL, "covey_sweep_resume: out is NULL");
    *out = NULL;
    if (!take_opts(&opts, given, "covey_sweep_resume"))
        return COVEY_EINVAL;
    if (!opts.dir)
        return sweep_fail(COVEY_EINVAL, "covey_sweep_resume: no directory; set opts.dir to the sweep's");
    return open_sweep(out, &opts, false);
}

covey_status covey_sweep_look(covey_sweep **out, const char *dir)
{
    covey_sweep_opts opts = {.size = sizeof opts, .dir = dir};
    if (!out)
        return sweep_fail(COVEY_EINVAL, "covey_sweep_look: out is NULL");
    *out = NULL;
    if (!dir)
        return sweep_fail(COVEY_EINVAL, "covey_sweep_look: no directory");
    return open_sweep(out, &opts, true);
}

/* ---- looking ------------------------------------------------------------------------------ */

static covey_trial_state public_state(enum trial_state state)
{
    static const covey_trial_state states[TRIAL_STATE_COUNT] = {
        [TRIAL_RUNNING] = COVEY_TRIAL_RUNNING, [TRIAL_ENDING] = COVEY_TRIAL_RUNNING,
        [TRIAL_WAITING] = COVEY_TRIAL_WAITING, [TRIAL_PAUSED] = COVEY_TRIAL_PAUSED,
        [TRIAL_COMPLETE] = COVEY_TRIAL_COMPLETE, [TRIAL_STOPPED] = COVEY_TRIAL_STOPPED,
        [TRIAL_FAILED] = COVEY_TRIAL_FAILED, [TRIAL_CANCELLED] = COVEY_TRIAL_CANCELLED,
    };
    return states[state];
}

/* Warnings about the file come before there is a controller: then there are no trials. */
uint32_t covey_sweep_count(covey_sweep *s) { return s && s->controller ? controller_count(s->controller) : 0; }

covey_status covey_sweep_trial(covey_sweep *s, uint32_t trial, covey_trial_info *out)
{
    if (!s || !out)
        return sweep_fail(COVEY_EINVAL, "covey_sweep_trial: %s is NULL", s ? "out" : "the sweep");
    uint32_t count = covey_sweep_count(s);
    if (trial >= count)
        return sweep_fail(COVEY_EINVAL, "there is no trial %u; there are %u, from 0 on", trial, count);
    const struct trial *t = controller_trial(s->controller, trial);
    const char *params = sweep_params(s, t);
    if (!params)
        return sweep_fail(COVEY_ENOMEM, "out of memory");
    *out = (covey_trial_info){
        .trial = trial, .state = public_state(t->state), .params = params, .dir = sweep_trial_dir(s, trial),
        .value = t->value, .best = t->best, .best_step = t->best_step, .step = t->step, .runs = t->runs,
        .why = t->why ? t->why : "",
    };
    return COVEY_OK;
}

covey_status covey_sweep_best(covey_sweep *s, covey_trial_info *out)
{
    if (!s || !out)
        return sweep_fail(COVEY_EINVAL, "covey_sweep_best: %s is NULL", s ? "out" : "the sweep");
    const struct trial *t = s->controller ? controller_best(s->controller) : NULL;
    if (!t)
        return sweep_fail(COVEY_EAGAIN, "no trial has reported a value yet");
    return covey_sweep_trial(s, t->number, out);
}

const char *covey_sweep_dir(covey_sweep *s) { return s ? s->dir : ""; }
