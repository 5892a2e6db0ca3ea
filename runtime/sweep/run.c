/* run.c - covey_sweep_run(): the loop that keeps slots full.
 *
 *   free slot --controller_next--> start --on_message--> report --> record --> answer
 *       ^                                                   |  stop: cancel the task
 *       +------------------- on_settled: the trial's end <--+
 *
 * One thread: it sleeps in poll(2) on the cluster's descriptor, the record's and
 * the one that covey_sweep_stop() writes to.  Reports are decided as they come
 * and answered when the record has them on disk, many at a time, so that what a
 * trial was told is never forgotten.
 */
#include "sweep/page/page.h"
#include "base/clock.h"
#include "sweep/spec/command.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARALLEL_MAX 65536u
#define TICK_MS 100
#define LEAVE_NEVER INT64_MAX
#define TAIL_MAX 1200           /* bytes of a failed trial's log that are shown */

/* A place for one running trial. */
struct slot {
    covey_sweep *s;
    covey *c;
    covey_ref ref;              /* zero: free */
    uint32_t trial;
    int64_t leave_at;           /* SIGTERM is sent then; LEAVE_NEVER: not wanted, or sent */
    int64_t out_of_time_at;     /* of the file's trial_time; LEAVE_NEVER: none */
    bool cancelled;
};

/* An answer that waits until its report is on disk. */
struct answer { uint64_t seq, question; covey_ref ref; bool stop; };

struct run {
    struct slot *slots;
    uint32_t slot_count, busy;
    double gpus;                /* that each trial takes */
    struct answer *answers;     /* a ring */
    size_t first, answer_count, answer_cap;
    int64_t ends_at;            /* of the file's time; LEAVE_NEVER: none */
    int64_t tick_at;
    int stops_seen;
    bool ending;                /* nothing starts any more, what runs is told to leave */
    covey_status broken;        /* the run cannot go on */
};

void covey_sweep_stop(covey_sweep *s)
{
    uint64_t one = 1;
    if (!s)
        return;
    int saved = errno;
    atomic_fetch_add(&s->stops, 1);
    (void)!write(s->wake_fd, &one, sizeof one);
    errno = saved;
}

/* ---- answers --------------------------------------------------------------------------- */

static void say_answer(covey *c, covey_ref ref, uint64_t question, const char *text)
{
    covey_message m = {.ref = ref, .question = question};
    (void)covey_answer(c, &m, text, strlen(text));      /* its task may be over: nobody asks any more */
}

static void say_verdict(covey *c, const struct answer *a)
{
    say_answer(c, a->ref, a->question, a->stop ? "{\"stop\":true}" : "{\"stop\":false}");
}

static bool answers_grow(struct run *run)
{
    size_t cap = run->answer_cap ? run->answer_cap * 2 : 64;
    struct answer *more = malloc(cap * sizeof *more);
    if (!more)
        return false;
    for (size_t i = 0; i < run->answer_count; i++)
        more[i] = run->answers[(run->first + i) % run->answer_cap];
    free(run->answers);
    run->answers = more;
    run->answer_cap = cap;
    run->first = 0;
    return true;
}

/* Also for reports that need no record, so that answers keep the order of questions. */
static void answer_later(struct run *run, covey *c, const struct answer *a)
{
    if (run->answer_count == run->answer_cap && !answers_grow(run)) {
        say_verdict(c, a);      /* better early than never */
        return;
    }
    run->answers[(run->first + run->answer_count++) % run->answer_cap] = *a;
}

static void answer_durable(covey_sweep *s, covey *c)
{
    struct run *run = s->run;
    uint64_t durable = record_durable(s->record);
    while (run->answer_count > 0 && run->answers[run->first].seq <= durable) {
        say_verdict(c, &run->answers[run->first]);
        run->first = (run->first + 1) % run->answer_cap;
        run->answer_count--;
    }
}

/* ---- a trial's end ----------------------------------------------------------------------- */

static void leave(struct slot *slot, int64_t grace_ms)
{
    covey_cancel_opts opts = {.size = sizeof opts, .grace_ms = grace_ms > 0 ? grace_ms : 1};
    slot->cancelled = true;
    slot->leave_at = LEAVE_NEVER;
    (void)covey_cancel(slot->c, slot->ref, &opts);
}

void sweep_tell_end(covey_sweep *s, uint32_t trial, enum record_fate fate, const char *why)
{
    char tail[TAIL_MAX] = "";
    const struct trial *t = controller_trial(s->controller, trial);
    if (fate == FATE_FAILED || fate == FATE_RETRY) {
        launch_tail(s, t->number, tail, sizeof tail);
        sweep_say(s, "trial %u %s: %s%s%s", t->number, fate == FATE_RETRY ? "failed and runs again" : "failed",
                  why ? why : "no reason is known", *tail ? "; its last lines:\n" : "", tail);
    } else if (isfinite(t->best)) {
        sweep_say(s, "trial %u %s at step %lld: %s %.6g", t->number, record_fate_name(fate), (long long)t->step,
                  s->spec->metric.name ? s->spec->metric.name : "value", t->best);
    } else {
        sweep_say(s, "trial %u %s", t->number, record_fate_name(fate));
    }
}

static void say_signal(int number, char *why, size_t why_size)
{
    const char *name = sigabbrev_np(number);
    snprintf(why, why_size, "killed by signal %d%s%s%s", number, name ? ", SIG" : "", name ? name : "",
             number == SIGKILL ? ": as the kernel does where memory is short" : "");
}

static void say_no_metric(const covey_sweep *s, const char *metric, char *why, size_t why_size)
{
    const char *others = s->other_metrics;
    snprintf(why, why_size, "it ended well and never reported \"%s\", the file's metric%s%s%s", metric,
             *others ? " (reports had " : "", others, *others ? ")" : "");
}

/* Its exit status as a shell would say it, and what is to be told. */
static int read_status(struct slot *slot, covey_status status, char *why, size_t why_size)
{
    int64_t code = 0;
    const char *metric = slot->s->spec->metric.name;
    why[0] = 0;
    if (status != COVEY_OK) {
        snprintf(why, why_size, "%s", covey_why(slot->c, slot->ref));
        return status == COVEY_ECANCELLED ? 143 : 1;
    }
    if (!slot->s->task && covey_get_i64(slot->c, slot->ref, 0, &code) != COVEY_OK)
        code = 1;
    if (code > 128)
        say_signal((int)code - 128, why, why_size);
    else if (code != 0)
        snprintf(why, why_size, "exit status %lld", (long long)code);
    else if (metric && controller_trial(slot->s->controller, slot->trial)->values == 0)
        say_no_metric(slot->s, metric, why, why_size);
    return (int)code;
}

static void on_settled(covey *c, covey_ref ref, covey_status status, void *arg)
{
    char why[1024];
    struct slot *slot = arg;
    covey_sweep *s = slot->s;
    struct run *run = s->run;
    const struct trial *t = controller_trial(s->controller, slot->trial);
    int code = read_status(slot, status, why, sizeof why);
    if (status == COVEY_ENODE)
        run->broken = sweep_fail(COVEY_ENODE, "the cluster ended, or its node died, while the sweep ran; "
                                 "`covey sweep resume %s` goes on", s->dir);
    if (!trial_is_over(t->state)) { /* else it was cancelled, and its end is recorded */
        /* Through no fault of the trial's; its directory may have gone after it was submitted. */
        bool interrupted = run->ending || status == COVEY_ENODE ||
                           (status == COVEY_ESTART && !launch_has_cwd(s));
        enum record_fate fate = sweep_record_end(s, slot->trial, code, interrupted, why[0] ? why : NULL);
        sweep_tell_end(s, slot->trial, fate, why[0] ? why : NULL);
    }
    covey_release(c, ref);
    slot->ref = (covey_ref){0, 0};
    run->busy--;
}

/* The end is recorded at once, so that the wish survives a crash; the process has its grace. */
covey_status sweep_cancel(covey_sweep *s, uint32_t trial)
{
    static const char why[] = "stopped by the user";
    struct record_event e = {.kind = RECORD_END, .time_ms = clock_unix_ms(), .trial = trial,
                             .end = {.fate = FATE_CANCELLED, .status = -1, .why = why}};
    const struct trial *t = controller_trial(s->controller, trial);
    if (!s->run || !t)
        return sweep_fail(COVEY_EINVAL, "there is no trial %u", trial);
    if (!controller_cancel(s->controller, trial, why, e.time_ms))
        return sweep_fail(COVEY_EINVAL, "trial %u is %s already", trial, trial_state_name(t->state));
    record_append(s->record, &e);
    for (uint32_t i = 0; i < s->run->slot_count; i++) {
        struct slot *slot = &s->run->slots[i];
        if (slot->ref.generation && slot->trial == trial && !slot->cancelled)
            leave(slot, s->spec->grace_ms);
    }
    sweep_tell_end(s, trial, FATE_CANCELLED, NULL);
    return COVEY_OK;
}

/* ---- reports -------------------------------------------------------------------------------- */

static void on_message(covey *c, const covey_message *message, void *arg)
{
    struct slot *slot = arg;
    covey_sweep *s = slot->s;
    struct sweep_answer out;
    sweep_report(s, slot->trial, 0, message->data, message->size, &out);
    if (out.refused) {
        sweep_say(s, "warning: a report of trial %u is refused: %s", slot->trial, out.why);
        struct text refusal = TEXT_NONE;
        text_puts(&refusal, "{\"stop\":false,\"error\":");
        text_json_string(&refusal, out.why);
        text_puts(&refusal, "}");
        if (message->question)
            say_answer(c, message->ref, message->question,
                       text_get(&refusal) ? text_get(&refusal) : "{\"stop\":false,\"error\":\"\"}");
        text_fini(&refusal);
        return;
    }
    if (message->question)
        answer_later(s->run, c, &(struct answer){out.seq, message->question, message->ref, out.stop});
    if (out.stop && !slot->cancelled && slot->leave_at == LEAVE_NEVER)
        slot->leave_at = clock_mono_ms() + s->spec->leave_ms;
}

/* ---- starting --------------------------------------------------------------------------------- */

static bool start(covey_sweep *s, covey *c, struct slot *slot, const struct controller_order *order)
{
    uint64_t seq;
    char why[1024] = "";
    covey_opts opts = {.size = sizeof opts, .on_message = on_message, .arg = slot};
    /* A full disk, say: no fault of the trial's, which is not recorded and is chosen again. */
    if (!launch_prepare(s, order) || sweep_record_start(s, order, &seq) != COVEY_OK)
        return false;
    *slot = (struct slot){.s = s, .c = c, .trial = order->trial, .leave_at = LEAVE_NEVER,
                          .out_of_time_at = s->spec->trial_time_ms ? clock_mono_ms() + s->spec->trial_time_ms : LEAVE_NEVER};
    slot->ref = launch_submit(s, c, order->trial, s->run->gpus, &opts);
    if (slot->ref.generation) {
        s->run->busy++;
        covey_then(c, slot->ref, on_settled, slot);
        return true;
    }
    snprintf(why, sizeof why, "%s", covey_sweep_error());
    enum record_fate fate = sweep_record_end(s, order->trial, 1, false, why);
    sweep_tell_end(s, order->trial, fate, why);
    return true;
}

/* False: there is nothing to start now. */
static bool fill_one(covey_sweep *s, covey *c, bool *done)
{
    struct run *run = s->run;
    struct slot *slot = run->slots;
    while (slot->ref.generation)
        slot++;
    if (!launch_has_cwd(s)) {
        run->broken = sweep_fail(COVEY_ESYSTEM, "the directory in which trials run, %s, is gone; make it again, then "
                                 "`covey sweep resume %s` goes on", s->cwd, s->dir);
        return false;
    }
    struct controller_order order = controller_next(s->controller, clock_unix_ms());
    *done = order.what == CONTROLLER_DONE;
    if (order.what == CONTROLLER_ENOMEM)
        run->broken = sweep_fail(COVEY_ENOMEM, "out of memory");
    if (order.what != CONTROLLER_RUN)
        return false;
    if (!start(s, c, slot, &order))
        run->broken = sweep_fail(COVEY_ESYSTEM, "%s; once that is mended, `covey sweep resume %s` goes on",
                                 covey_sweep_error(), s->dir);
    return run->broken == COVEY_OK;
}

/* ---- time and ends ------------------------------------------------------------------------------ */

/* @verdict ends trials for good; without @for_good they are interrupted, and run again on resume. */
static void end_all(covey_sweep *s, bool for_good, int64_t grace_ms)
{
    struct run *run = s->run;
    run->ending |= !for_good;
    for (uint32_t i = 0; i < run->slot_count; i++) {
        struct slot *slot = &run->slots[i];
        if (!slot->ref.generation)
            continue;
        if (for_good)
            (void)controller_tell_end(s->controller, slot->trial, SCHEDULER_STOP);
        leave(slot, grace_ms);
    }
}

static void take_stops(covey_sweep *s)
{
    struct run *run = s->run;
    uint64_t count;
    (void)!read(s->wake_fd, &count, sizeof count);
    int stops = atomic_load(&s->stops);
    if (stops == run->stops_seen)
        return;
    bool first = run->stops_seen == 0;
    run->stops_seen = stops;
    controller_limit(s->controller, LIMIT_USER);
    end_all(s, false, first && stops == 1 ? s->spec->grace_ms : 1);
    if (first)
        sweep_say(s, "stopping: %u running, with %lld s to save what they have", run->busy,
                  (long long)(s->spec->grace_ms + 999) / 1000);
}

/* A limit that ends everything was reached by a report, an end, or the clock. */
static void take_limits(covey_sweep *s, int64_t now)
{
    struct run *run = s->run;
    if (now >= run->ends_at)
        controller_limit(s->controller, LIMIT_TIME);
    enum controller_limit limit = controller_limited(s->controller);
    bool ends_all = limit == LIMIT_TIME || limit == LIMIT_TARGET || limit == LIMIT_STORM;
    if (!ends_all || run->ending)
        return;
    sweep_say(s, "ending: %s", controller_limit_text(limit));
    end_all(s, limit != LIMIT_STORM, s->spec->grace_ms);
    run->ending = true;
}

static int64_t take_times(covey_sweep *s, int64_t now)
{
    struct run *run = s->run;
    int64_t next = run->ends_at;
    for (uint32_t i = 0; i < run->slot_count; i++) {
        struct slot *slot = &run->slots[i];
        if (!slot->ref.generation)
            continue;
        if (now >= slot->out_of_time_at) {
            slot->out_of_time_at = LEAVE_NEVER;
            if (controller_tell_end(s->controller, slot->trial, SCHEDULER_STOP))
                slot->leave_at = now;
        }
        if (now >= slot->leave_at)
            leave(slot, s->spec->grace_ms);
        next = slot->leave_at < next ? slot->leave_at : next;
        next = slot->out_of_time_at < next ? slot->out_of_time_at : next;
    }
    if (s->opts.on_tick && now >= run->tick_at) {
        s->opts.on_tick(s, s->opts.arg);
        run->tick_at = now + TICK_MS;
    }
    return s->opts.on_tick && run->tick_at < next ? run->tick_at : next;
}

static void sleep_until(covey_sweep *s, covey *c, int64_t next)
{
    struct pollfd fds[] = {
        {covey_fd(c), POLLIN, 0}, {record_durable_fd(s->record), POLLIN, 0}, {s->wake_fd, POLLIN, 0},
    };
    int64_t left = next == LEAVE_NEVER ? -1 : next - clock_mono_ms();
    if (next != LEAVE_NEVER && left <= 0)
        left = 0;
    (void)poll(fds, 3, left > INT32_MAX ? INT32_MAX : (int)left);
}

static void loop(covey_sweep *s, covey *c)
{
    struct run *run = s->run;
    bool done = false;
    while (run->broken == COVEY_OK) {
        covey_dispatch(c);
        answer_durable(s, c);
        take_stops(s);
        int64_t now = clock_mono_ms();
        take_limits(s, now);
        int64_t next = take_times(s, now);
        while (!s->held && run->broken == COVEY_OK && run->busy < run->slot_count && fill_one(s, c, &done)) {
            /* as many as there are */
        }
        if (record_failed(s->record))
            run->broken = sweep_fail(COVEY_ESYSTEM, "%s", record_failed(s->record));
        if (run->busy == 0 && (done || run->ending))
            return;
        if (covey_dispatch(c) == 0)
            sleep_until(s, c, next);
    }
}

/* ---- the whole run -------------------------------------------------------------------------------- */

/* Those that ran when the last runner ended run again, or end as they were told to. */
static void pick_up(covey_sweep *s)
{
    for (uint32_t i = 0; i < controller_count(s->controller); i++) {
        enum trial_state state = controller_trial(s->controller, i)->state;
        if (state != TRIAL_RUNNING && state != TRIAL_ENDING)
            continue;
        recover_printed(s, i);
        sweep_record_end(s, i, 143, true, "the sweep's runner ended");
    }
}

/* How many of @each fit into @total; without any need of it, no bound. */
static double fit(double total, double each) { return each > 0 ? floor(total / each + 1e-9) : PARALLEL_MAX; }

/* What the cluster has room for, at what a trial takes. */
static uint32_t choose_parallel(const covey_sweep *s, covey *c, double gpus)
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

static void tell_defaults(covey_sweep *s, double gpus)
{
    char devices[48] = "";
    double cpus = launch_cpus(s);
    if (gpus > 0)
        snprintf(devices, sizeof devices, " and %g GPU%s", gpus, gpus > 1 ? "s" : "");
    sweep_say(s, "each trial takes %g CPU%s%s, so %u run at once; covey: {resources: {cpus: N, gpus: N}} in the file, "
              "or --parallel, changes it", cpus, cpus == 1 ? "" : "s", devices, s->run->slot_count);
}

/* Of what was told to end when the run broke. */
static void wait_for_ends(covey_sweep *s, covey *c)
{
    int64_t until = clock_mono_ms() + s->spec->grace_ms;
    while (s->run->busy > 0 && clock_mono_ms() < until) {
        struct pollfd fd = {covey_fd(c), POLLIN, 0};
        (void)poll(&fd, 1, TICK_MS);
        covey_dispatch(c);
    }
}

static covey_status how_it_ended(covey_sweep *s)
{
    char tail[TAIL_MAX] = "";
    struct run *run = s->run;
    if (run->broken != COVEY_OK)
        return run->broken;
    enum controller_limit limit = controller_limited(s->controller);
    if (limit == LIMIT_USER)
        return sweep_fail(COVEY_ECANCELLED, "the sweep was stopped; `covey sweep resume %s` goes on", s->dir);
    uint32_t count = controller_count(s->controller);
    bool all_failed = count > 0 && controller_in_state(s->controller, TRIAL_FAILED) == count;
    if (limit != LIMIT_STORM && !all_failed)
        return COVEY_OK;
    launch_tail(s, 0, tail, sizeof tail);
    const struct trial *t = controller_trial(s->controller, 0);
    return sweep_fail(COVEY_ETASK, "%s; trial 0: %s%s%s",
                      limit == LIMIT_STORM ? "the first runs failed and none worked, so the sweep was stopped"
                                           : "every trial failed",
                      t && t->why ? t->why : "", *tail ? "; its last lines:\n" : "", tail);
}

/* Before any trial fails for it. */
static bool has_command(const covey_sweep *s)
{
    char why[1024];
    char **argv = command_example(s->spec, "params.json", why, sizeof why);
    if (!argv)
        sweep_fail(COVEY_EINVAL, "%s: %s", s->spec->file, why);
    command_free(argv);
    return argv != NULL;
}

covey_status covey_sweep_run(covey_sweep *s, covey *c)
{
    const char *misuse = !s ? "the sweep is NULL" : !c ? "the cluster is NULL"
        : s->looking ? "the sweep was opened only to look" : s->run || !s->record ? "it runs already" : NULL;
    if (misuse)
        return sweep_fail(COVEY_EINVAL, "covey_sweep_run: %s", misuse);
    if (s->task && trial_find(s->task) != COVEY_OK)
        return COVEY_EUNKNOWN;
    if (!s->task && !has_command(s))
        return COVEY_EINVAL;
    double gpus = isnan(s->spec->gpus) ? covey_gpus(c) > 0 : s->spec->gpus;
    struct run run = {.slot_count = choose_parallel(s, c, gpus), .gpus = gpus, .ends_at = LEAVE_NEVER};
    run.slots = calloc(run.slot_count + 1, sizeof *run.slots);
    if (!run.slots)
        return sweep_fail(COVEY_ENOMEM, "out of memory");
    if (s->spec->time_ms)
        run.ends_at = clock_mono_ms() + s->spec->time_ms;
    s->run = &run;
    if (isnan(s->spec->cpus) || isnan(s->spec->gpus))
        tell_defaults(s, gpus);
    if (!s->task && s->spec->wandb != SPEC_WANDB_OFF && !launch_write_helpers(s))
        run.broken = COVEY_ESYSTEM;
    sweep_record_run(s, true, COVEY_OK);
    pick_up(s);
    loop(s, c);
    if (run.busy > 0 && run.broken != COVEY_ENODE)  /* nothing may run on unseen */
        end_all(s, false, 1);
    if (run.broken != COVEY_ENODE)
        wait_for_ends(s, c);
    for (uint32_t i = 0; i < run.slot_count; i++)
        if (run.slots[i].ref.generation)
            covey_release(c, run.slots[i].ref);     /* its callbacks must not meet what is freed here */
    page_write_last(s);
    covey_status status = how_it_ended(s);
    if (status == COVEY_OK)
        checkpoints_last(s);
    sweep_record_run(s, false, status);
    s->run = NULL;
    free(run.slots);
    free(run.answers);
    return status;
}
