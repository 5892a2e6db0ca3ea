/* launch.c - what a trial is started with: its directory, its environment, its
 * process.
 *
 *   DIR/trials/0007/params.json     what it is to try
 *                   log             what it prints
 *                   checkpoint/     its own, kept from run to run
 *                   snapshot/       of the checkpoint, for those who clone it
 *   DIR/copies                      what of these is to be copied (copies.h)
 */
#include "sweep/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sweep/spec/command.h"

#define ENV_MAX 32
#define PARALLEL_MAX 65536u

/* ---- files ----------------------------------------------------------------------- */

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && file_write(fd, text, strlen(text));
    int error = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        error = errno;
        ok = false;
    }
    if (!ok)
        sweep_fail(COVEY_ESYSTEM, "cannot write %s: %s", path, strerror(error));
    return ok;
}

/* ---- a trial's directory ------------------------------------------------------------ */

/* Also where it is a link to another disk, or a mount. */
static bool is_empty(const char *path)
{
    bool found = false;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && !found && (e = readdir(dir)) != NULL;)
        found = strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return !found;
}

bool launch_make_dir(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return true;
    sweep_fail(COVEY_ESYSTEM, "cannot make %s: %s", path, strerror(errno));
    return false;
}

static bool fail_clone(covey_sweep *s, uint32_t trial, uint32_t from, int error)
{
    char source[PATH_MAX];
    snprintf(source, sizeof source, "%s", sweep_trial_dir(s, from));
    sweep_fail(COVEY_ESYSTEM, "cannot copy %s/snapshot to %s/checkpoint: %s", source, sweep_trial_dir(s, trial),
               strerror(error));
    return false;
}

static bool clones(const struct trial *t) { return t->clone_of != SCHEDULER_NO_TRIAL && t->runs > 1; }

bool launch_prepare(covey_sweep *s, const struct controller_order *order, uint64_t *wait)
{
    char path[PATH_MAX], checkpoint[PATH_MAX];
    const struct trial *t = controller_trial(s->controller, order->trial);
    const char *dir = sweep_trial_dir(s, t->number);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", dir);
    snprintf(path, sizeof path, "%s/params.json", dir);
    if (!launch_make_dir(dir) || !launch_make_dir(checkpoint))
        return false;
    if (order->new_point) {
        const char *params = sweep_params(s, t);
        if (!params) {
            sweep_fail(COVEY_ENOMEM, "out of memory");
            return false;
        }
        if (!write_file(path, params))
            return false;
    }
    if (clones(t) && !copies_add(s->copies, COPY_CLONE, t->number, t->clone_of))
        return fail_clone(s, t->number, t->clone_of, errno);
    *wait = copies_last(s->copies, t->number);
    return true;
}

void launch_ready(covey_sweep *s, uint32_t trial)
{
    char checkpoint[PATH_MAX];
    const struct trial *t = controller_trial(s->controller, trial);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", sweep_trial_dir(s, trial));
    if (t->runs < 2 || !is_empty(checkpoint))
        return;
    if (clones(t))
        sweep_say(s, "warning: trial %u takes over trial %u, which has saved no checkpoint: it begins anew, and what "
                  "it reports counts from step %lld on", trial, t->clone_of, (long long)t->step + 1);
    else
        controller_fresh(s->controller, trial);
}

static void warn_snapshot(covey_sweep *s, uint32_t trial, int error)
{
    sweep_say(s, "warning: trial %u: no snapshot of its checkpoint: %s", trial, strerror(error));
}

bool launch_copied(covey_sweep *s, const struct copy *copy)
{
    if (copy->error == 0 || copy->error == ECANCELED)
        return true;
    const struct trial *t = controller_trial(s->controller, copy->trial);
    if (copy->kind == COPY_SNAPSHOT)
        warn_snapshot(s, copy->trial, copy->error);
    return copy->kind != COPY_CLONE || !t || trial_is_over(t->state) ||
           fail_clone(s, copy->trial, copy->from, copy->error);
}

uint64_t launch_snapshot(covey_sweep *s, uint32_t trial)
{
    uint64_t number = copies_add(s->copies, COPY_SNAPSHOT, trial, 0);
    if (!number)
        warn_snapshot(s, trial, errno);
    return number;
}

/* A program prints what it likes. */
static void make_printable(char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (s[i] == '\r')       /* of a progress bar, or of a Windows line end */
            s[i] = '\n';
    text_make_plain(s, size, "\n\t");
}

void launch_tail(covey_sweep *s, uint32_t trial, char *out, size_t size)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/log", sweep_trial_dir(s, trial));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
    ssize_t n = fd < 0 ? 0 : pread(fd, out, size - 1, from);
    if (fd >= 0)
        close(fd);
    while (n > 0 && strchr(" \r\n", out[n - 1]))
        n--;
    out[n > 0 ? n : 0] = 0;
    make_printable(out, n > 0 ? (size_t)n : 0);
    char *line = from > 0 ? strchr(out, '\n') : NULL;   /* not the end of a cut line */
    if (line)
        memmove(out, line + 1, strlen(line + 1) + 1);
}

/* ---- its process ---------------------------------------------------------------------- */

struct environment { char *list[ENV_MAX + 1]; size_t count; bool failed; };

static void env_add(struct environment *e, const char *format, ...) COVEY_PRINTF(2, 3);
static void env_add(struct environment *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (e->count == ENV_MAX || vasprintf(&e->list[e->count], format, args) < 0)
        e->failed = true;
    else
        e->count++;
    va_end(args);
}

static void env_fini(struct environment *e)
{
    while (e->count > 0)
        free(e->list[--e->count]);
}

static void env_fill(covey_sweep *s, const struct trial *t, struct environment *e)
{
    const char *dir = sweep_trial_dir(s, t->number), *base = strrchr(s->dir, '/');
    const char *path = getenv("PYTHONPATH");
    env_add(e, "COVEY_SWEEP_DIR=%s", s->dir);
    env_add(e, "COVEY_TRIAL_ID=%u", t->number);
    env_add(e, "COVEY_TRIAL_DIR=%s", dir);
    env_add(e, "COVEY_CHECKPOINT_DIR=%s/checkpoint", dir);
    env_add(e, "COVEY_TRIAL_PARAMS=%s/params.json", dir);
    if (t->until > 0)
        env_add(e, "COVEY_TRIAL_RESOURCE=%lld", (long long)t->until);
    if (s->spec->wandb == SPEC_WANDB_OFF) {
        env_add(e, "WANDB_MODE=disabled");
        return;
    }
    env_add(e, "PYTHONPATH=%s/python%s%s", s->dir, path && *path ? ":" : "", path ? path : "");
    env_add(e, "WANDB_RUN_ID=covey-%04u", t->number);
    env_add(e, "WANDB_SWEEP_ID=%s", base ? base + 1 : s->dir);
    env_add(e, "WANDB_SWEEP_PARAM_PATH=%s/params.json", dir);
}

static covey_ref submit_command(covey_sweep *s, covey *c, const struct trial *t, const covey_opts *opts)
{
    char params[PATH_MAX], log[PATH_MAX], why[1024];
    struct environment env = {0};
    covey_ref none = {0, 0};
    const char *dir = sweep_trial_dir(s, t->number);
    snprintf(params, sizeof params, "%s/params.json", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    char **argv = command_expand(s->spec, t->x, params, why, sizeof why);
    if (!argv) {
        sweep_fail(COVEY_EINVAL, "%s", why);
        return none;
    }
    env_fill(s, t, &env);
    covey_command command = {
        .size = sizeof command, .argv = (const char *const *)argv, .env = (const char *const *)env.list,
        .cwd = s->spec->cwd_trial ? dir : s->cwd,
        .any_exit = true, .grace_ms = s->spec->grace_ms, .log = log, .report_env = "COVEY_REPORT",
        .report_stdout = s->spec->report_stdout,
    };
    covey_ref ref = none;
    if (env.failed)
        sweep_fail(COVEY_ENOMEM, "out of memory");
    else if ((ref = covey_submit_command(c, &command, opts)).generation == 0)
        sweep_fail(COVEY_ESYSTEM, "%s", covey_error());
    env_fini(&env);
    command_free(argv);
    return ref;
}

/* The task gets one string: everything that covey_trial_*() tells. */
static covey_ref submit_task(covey_sweep *s, covey *c, const struct trial *t, const covey_opts *opts)
{
    covey_ref none = {0, 0};
    char numbers[96];
    struct text text = TEXT_NONE;
    snprintf(numbers, sizeof numbers, "{\"trial\":%u,\"resource\":%lld,\"dir\":", t->number, (long long)t->until);
    text_puts(&text, numbers);
    text_json_string(&text, sweep_trial_dir(s, t->number));
    text_puts(&text, ",\"params\":");
    space_print_json(&text, &s->spec->space, t->x);
    text_puts(&text, "}");
    const char *given = text_get(&text);
    covey_ref ref = none;
    if (!given)
        sweep_fail(COVEY_ENOMEM, "out of memory");
    else if ((ref = covey_submit(c, s->task, COVEY_ARGS(given), opts)).generation == 0)
        sweep_fail(COVEY_ESYSTEM, "%s", covey_error());
    text_fini(&text);
    return ref;
}

bool launch_has_cwd(const covey_sweep *s)
{
    return s->task || s->spec->cwd_trial || access(s->cwd, X_OK) == 0;
}

double launch_cpus(const covey_sweep *s) { return isnan(s->spec->cpus) ? 1 : s->spec->cpus; }

/* How many of @each fit into @total; without any need of it, no bound. */
static double fit(double total, double each) { return each > 0 ? floor(total / each + 1e-9) : PARALLEL_MAX; }

uint32_t launch_parallel(const covey_sweep *s, covey *c, double gpus)
{
    double cpus = launch_cpus(s), room = fit(covey_cpus(c), cpus), devices = fit(covey_gpus(c), gpus);
    if (s->spec->parallel)
        return s->spec->parallel < PARALLEL_MAX ? s->spec->parallel : PARALLEL_MAX;
    /* Part of a device is part of one device. */
    if (gpus > 0 && gpus < 1)
        devices = covey_gpus(c) * fit(1, gpus);
    if (!(cpus > 0) && !(gpus > 0))
        room = covey_cpus(c);
    room = fmin(room, devices);
    return room < 1 ? 1 : room > PARALLEL_MAX ? PARALLEL_MAX : (uint32_t)room;
}

covey_ref launch_submit(covey_sweep *s, covey *c, uint32_t trial, double gpus, covey_opts *opts)
{
    char name[32];
    covey_resource more[SPEC_RESOURCES_MAX + 1] = {{NULL, 0}};
    const struct spec *spec = s->spec;
    const struct trial *t = controller_trial(s->controller, trial);
    snprintf(name, sizeof name, "trial-%04u", trial);
    for (size_t i = 0; i < spec->resource_count; i++)
        more[i] = (covey_resource){spec->resources[i].name, spec->resources[i].amount};
    opts->name = name;
    opts->cpus = launch_cpus(s) > 0 ? launch_cpus(s) : COVEY_NO_CPU;
    opts->gpus = gpus;
    opts->memory_bytes = spec->memory_bytes;
    opts->gpu_memory_bytes = spec->gpu_memory_bytes;
    opts->resources = more;
    opts->retries = -1;         /* the controller's, since it counts and records them */
    return s->task ? submit_task(s, c, t, opts) : submit_command(s, c, t, opts);
}
