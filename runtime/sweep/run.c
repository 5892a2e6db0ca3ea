/* run.c - covey_sweep_run(): the loop that keeps slots full.
 *
 *   free slot --controller_next--> start --on_message--> report --> record --> answer
 *       ^                                                   |  stop: cancel the task
 *       +------------------- on_settled: the trial's end <--+
 *
 * One thread: it sleeps in poll(2) on the cluster's descriptor, the record's, the
 * copies' and the one that covey_sweep_stop() writes to.  Reports are decided as they
 * come and answered when the record has them on disk, many at a time, so that what a
 * trial was told is never forgotten.  Where a checkpoint is copied (copies.h), its
 * trial's answer, or the start of its clone, comes after that.
 */
#include "sweep/page/page.h"
#include "base/clock.h"
#include "sweep/answers.h"
#include "sweep/spec/command.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS 100
#define LEAVE_NEVER INT64_MAX
#define TAIL_MAX 1200           /* bytes of a failed trial's log that are shown */

/* A place for one running trial. */
struct slot {
    covey_sweep *s;
    covey *c;
    covey_ref ref;              /* zero: nothing is submitted */
    uint64_t copy;              /* of its checkpoint, for which it waits; 0, and no ref: free */
    uint64_t asked_copy;        /* for which its answers wait */
    uint32_t trial;
    int64_t leave_at;           /* SIGTERM is sent then; LEAVE_NEVER: not wanted, or sent */
    int64_t out_of_time_at;     /* of the file's trial_time; LEAVE_NEVER: none */
    bool cancelled;
};

struct run {
    struct slot *slots;
    uint32_t slot_count, busy;
    double gpus;                /* that each trial takes */
    struct answers copying;     /* until a copy is taken; then in */
    struct answers answers;     /* until the record has it */
    uint64_t copied;            /* copies up to here were taken */
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

/* Also for reports that need no record, so that answers keep the order of questions. */
static void answer_later(covey_sweep *s, covey *c, const struct answer *a)
{
    if (a->question && !answers_put(&s->run->answers, a))
        say_verdict(c, a);      /* better early than never */
    struct slot *slot = a->slot;
    bool runs = slot->ref.generation == a->ref.generation && slot->ref.index == a->ref.index;
    if (a->stop && runs && !slot->cancelled && slot->leave_at == LEAVE_NEVER)
        slot->leave_at = clock_mono_ms() + s->spec->leave_ms;
}

static void answer_durable(covey_sweep *s, covey *c)
{
    const struct answer *a;
    uint64_t durable = record_durable(s->record);
    while ((a = answers_first(&s->run->answers)) != NULL && a->seq <= durable) {
        say_verdict(c, a);
        answers_drop(&s->run->answers);
    }
}

/* Who waits for a copy is answered after it, also what it asked since. */
static void answer_copied(covey_sweep *s, covey *c, struct answer *a)
{
    struct slot *slot = a->slot;
    slot->asked_copy = a->copy ? a->copy : slot->asked_copy > s->run->copied ? slot->asked_copy : 0;
    a->copy = slot->asked_copy;
    if (!a->copy || !answers_put(&s->run->copying, a))
        answer_later(s, c, a);
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

static void set_free(struct slot *slot)
{
    slot->ref = (covey_ref){0, 0};
    slot->copy = 0;
    slot->s->run->busy--;
}

/* Of a trial that nothing was submitted for. */
static void end_waiting(struct slot *slot, int status, bool interrupted, const char *error)
{
    char why[1024];
    snprintf(why, sizeof why, "%s", error ? error : "");
    enum record_fate fate = sweep_record_end(slot->s, slot->trial, status, interrupted, error ? why : NULL);
    sweep_tell_end(slot->s, slot->trial, fate, error ? why : NULL);
    set_free(slot);
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
    set_free(slot);
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
        if (slot->trial != trial)
            continue;
        if (slot->ref.generation && !slot->cancelled)
            leave(slot, s->spec->grace_ms);
        else if (slot->copy)
            set_free(slot);
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
    answer_copied(s, c, &(struct answer){.seq = out.seq, .copy = out.copy, .question = message->question,
                                         .ref = message->ref, .slot = slot, .stop = out.stop});
}

/* ---- starting --------------------------------------------------------------------------------- */

/* Its checkpoint is there. */
static void submit(covey_sweep *s, covey *c, struct slot *slot)
{
    covey_opts opts = {.size = sizeof opts, .on_message = on_message, .arg = slot};
    launch_ready(s, slot->trial);
    slot->copy = 0;
    slot->out_of_time_at = s->spec->trial_time_ms ? clock_mono_ms() + s->spec->trial_time_ms : LEAVE_NEVER;
    slot->ref = launch_submit(s, c, slot->trial, s->run->gpus, &opts);
    if (slot->ref.generation)
        covey_then(c, slot->ref, on_settled, slot);
    else
        end_waiting(slot, 1, false, covey_sweep_error());
}

/* A trial that waits for its checkpoint holds its slot, and nothing of the cluster. */
static bool start(covey_sweep *s, covey *c, struct slot *slot, const struct controller_order *order)
{
    uint64_t seq, wait;
    /* A full disk, say: no fault of the trial's, which is not recorded and is chosen again. */
    if (!launch_prepare(s, order, &wait) || sweep_record_start(s, order, &seq) != COVEY_OK)
        return false;
    *slot = (struct slot){.s = s, .c = c, .trial = order->trial, .copy = wait, .leave_at = LEAVE_NEVER,
                          .out_of_time_at = LEAVE_NEVER};
    s->run->busy++;
    if (!wait)
        submit(s, c, slot);
    return true;
}

static bool break_run(covey_sweep *s)
{
    s->run->broken = sweep_fail(COVEY_ESYSTEM, "%s; once that is mended, `covey sweep resume %s` goes on",
                                covey_sweep_error(), s->dir);
    return false;
}

/* Those who wait go on.  A run that breaks, or ends, ends them. */
static void take_copies(covey_sweep *s, covey *c)
{
    struct copy copy;
    struct run *run = s->run;
    const struct answer *first;
    uint64_t before = run->copied;
    while (copies_take(s->copies, &copy)) {
        run->copied = copy.number;
        if (!launch_copied(s, &copy))
            break_run(s);
    }
    if (run->copied == before)
        return;
    while ((first = answers_first(&run->copying)) != NULL && first->copy <= run->copied) {
        struct answer a = *first;
        answers_drop(&run->copying);
        answer_later(s, c, &a);
    }
    for (uint32_t i = 0; i < run->slot_count && run->broken == COVEY_OK; i++)
        if (run->slots[i].copy && run->slots[i].copy <= run->copied)
            submit(s, c, &run->slots[i]);
}

/* False: there is nothing to start now. */
static bool fill_one(covey_sweep *s, covey *c, bool *done)
{
    struct run *run = s->run;
    struct slot *slot = run->slots;
    while (slot->ref.generation || slot->copy)
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
    return start(s, c, slot, &order) || break_run(s);
}

/* ---- time and ends ------------------------------------------------------------------------------ */

/* @verdict ends trials for good; without @for_good they are interrupted, and run again on resume. */
static void end_all(covey_sweep *s, bool for_good, int64_t grace_ms)
{
    struct run *run = s->run;
    run->ending |= !for_good;
    for (uint32_t i = 0; i < run->slot_count; i++) {
        struct slot *slot = &run->slots[i];
        if (for_good && (slot->ref.generation || slot->copy))
            (void)controller_tell_end(s->controller, slot->trial, SCHEDULER_STOP);
        if (slot->ref.generation)
            leave(slot, grace_ms);
        else if (slot->copy)
            end_waiting(slot, 143, true, NULL);
    }
}

static bool has_stops(const covey_sweep *s)
{
    uint64_t count;
    (void)!read(s->wake_fd, &count, sizeof count);
    return atomic_load(&s->stops) != s->run->stops_seen;
}

static void take_stops(covey_sweep *s)
{
    struct run *run = s->run;
    if (!has_stops(s))
        return;
    bool first = run->stops_seen == 0;
    int stops = run->stops_seen = atomic_load(&s->stops);
    controller_limit(s->controller, LIMIT_USER);
    copies_stop(s->copies, true);
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
    copies_stop(s->copies, false);
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
        {copies_fd(s->copies), POLLIN, 0},
    };
    int64_t left = next == LEAVE_NEVER ? -1 : next - clock_mono_ms();
    if (next != LEAVE_NEVER && left <= 0)
        left = 0;
    (void)poll(fds, 4, left > INT32_MAX ? INT32_MAX : (int)left);
}

static void loop(covey_sweep *s, covey *c)
{
    struct run *run = s->run;
    bool done = false;
    while (run->broken == COVEY_OK) {
        covey_dispatch(c);
        take_copies(s, c);
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

/* Removals are waited for, but not by who stops the sweep. */
static void finish_copies(covey_sweep *s, covey *c, covey_status status)
{
    struct pollfd fds[] = {{copies_fd(s->copies), POLLIN, 0}, {s->wake_fd, POLLIN, 0}};
    for (;;) {
        if (status != COVEY_OK || has_stops(s))
            copies_stop(s->copies, true);
        take_copies(s, c);
        if (!copies_busy(s->copies))
            return;
        (void)take_times(s, clock_mono_ms());
        (void)poll(fds, 2, TICK_MS);
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
    struct run run = {.slot_count = launch_parallel(s, c, gpus), .gpus = gpus, .ends_at = LEAVE_NEVER};
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
    if (!copies_pick_up(s->copies))     /* before any is added */
        run.broken = sweep_fail(COVEY_ESYSTEM, "%s/copies: %s", s->dir, strerror(errno));
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
    finish_copies(s, c, status);
    sweep_record_run(s, false, status);
    s->run = NULL;
    free(run.slots);
    answers_fini(&run.copying);
    answers_fini(&run.answers);
    return status;
}
