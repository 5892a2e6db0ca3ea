/* ask.c - trials that somebody else runs: ask for one, tell what it reports,
 * say how it ended. */
#include "sweep/sweep.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"

/* What was told is on disk before the call returns. */
static covey_status wait_durable(covey_sweep *s, uint64_t seq)
{
    struct pollfd fd = {record_durable_fd(s->record), POLLIN, 0};
    while (record_durable(s->record) < seq) {
        if (record_failed(s->record))
            return sweep_fail(COVEY_ESYSTEM, "%s", record_failed(s->record));
        if (poll(&fd, 1, 1000) < 0 && errno != EINTR)
            return sweep_fail(COVEY_ESYSTEM, "poll: %s", strerror(errno));
    }
    return COVEY_OK;
}

static covey_status check_mine(const covey_sweep *s, const char *call)
{
    const char *why = !s ? "the sweep is NULL" : s->looking ? "the sweep was opened only to look"
        : s->run || !s->record ? "not from the sweep's own callbacks" : NULL;
    return why ? sweep_fail(COVEY_EINVAL, "%s: %s", call, why) : COVEY_OK;
}

/* Until all that was to be copied is; the caller's thread has nothing else to do. */
static covey_status wait_copies(covey_sweep *s)
{
    covey_status status = COVEY_OK;
    struct copy copy;
    struct pollfd fd = {copies_fd(s->copies), POLLIN, 0};
    for (;;) {
        while (copies_take(s->copies, &copy))
            if (!launch_copied(s, &copy))
                status = COVEY_ESYSTEM;
        if (!copies_busy(s->copies))
            return status;
        (void)poll(&fd, 1, -1);
    }
}

/* What an earlier caller did not live to see copied. */
static covey_status pick_up_copies(covey_sweep *s)
{
    if (!copies_pick_up(s->copies))
        return sweep_fail(COVEY_ESYSTEM, "%s/copies: %s", s->dir, strerror(errno));
    return wait_copies(s);
}

/* Where its checkpoint cannot be copied, the trial of @order waits until somebody asks again. */
static covey_status begin_asked(covey_sweep *s, const struct controller_order *order)
{
    uint64_t seq, wait;
    if (!launch_prepare(s, order, &wait))
        return COVEY_ESYSTEM;
    covey_status status = sweep_record_start(s, order, &seq);
    if (status != COVEY_OK)
        return status;
    status = wait_copies(s);
    if (status != COVEY_OK) {
        sweep_record_end(s, order->trial, 143, true, covey_sweep_error());
        return status;
    }
    launch_ready(s, order->trial);
    return wait_durable(s, seq);
}

covey_status covey_sweep_ask(covey_sweep *s, covey_offer *out)
{
    if (check_mine(s, "covey_sweep_ask") != COVEY_OK)
        return COVEY_EINVAL;
    if (!out)
        return sweep_fail(COVEY_EINVAL, "covey_sweep_ask: out is NULL");
    if (pick_up_copies(s) != COVEY_OK)
        return COVEY_ESYSTEM;
    struct controller_order order = controller_next(s->controller, clock_unix_ms());
    if (order.what == CONTROLLER_ENOMEM)
        return sweep_fail(COVEY_ENOMEM, "out of memory");
    if (order.what == CONTROLLER_WAIT)
        return sweep_fail(COVEY_EAGAIN, "nothing until a trial in progress reports or ends");
    if (order.what == CONTROLLER_DONE)
        return sweep_fail(COVEY_ECLOSED, "nothing is left: %s",
                          controller_limit_text(controller_limited(s->controller)));
    covey_status status = begin_asked(s, &order);
    if (status != COVEY_OK)
        return status;
    const struct trial *t = controller_trial(s->controller, order.trial);
    text_clear(&s->words);
    text_printf(&s->words, "%s/checkpoint", sweep_trial_dir(s, t->number));
    *out = (covey_offer){.trial = t->number, .params = sweep_params(s, t), .resource = t->until,
                         .checkpoint = text_get(&s->words)};
    return out->params && out->checkpoint ? COVEY_OK : sweep_fail(COVEY_ENOMEM, "out of memory");
}

static const struct trial *running(covey_sweep *s, uint32_t trial)
{
    const struct trial *t = controller_trial(s->controller, trial);
    bool runs = t && (t->state == TRIAL_RUNNING || t->state == TRIAL_ENDING);
    if (!t)
        sweep_fail(COVEY_EINVAL, "there is no trial %u", trial);
    else if (!runs)
        sweep_fail(COVEY_EINVAL, "trial %u does not run: it is %s", trial, trial_state_name(t->state));
    return runs ? t : NULL;
}

covey_status covey_sweep_tell(covey_sweep *s, uint32_t trial, int64_t step, const char *report, bool *stop)
{
    struct sweep_answer answer;
    if (check_mine(s, "covey_sweep_tell") != COVEY_OK)
        return COVEY_EINVAL;
    if (!report || step < 0)
        return sweep_fail(COVEY_EINVAL, report ? "covey_sweep_tell: step %lld is below 0"
                          : "covey_sweep_tell: the report is NULL", (long long)step);
    if (!running(s, trial))
        return COVEY_EINVAL;
    (void)pick_up_copies(s);    /* who asks is told what went wrong */
    sweep_report(s, trial, step, report, strlen(report), &answer);
    (void)wait_copies(s);       /* a snapshot that failed was warned of */
    if (stop)
        *stop = answer.stop;
    if (answer.refused)
        return sweep_fail(COVEY_EINVAL, "the report of trial %u is refused: %s", trial, answer.why);
    return wait_durable(s, answer.seq);
}

covey_status covey_sweep_end(covey_sweep *s, uint32_t trial, bool failed)
{
    if (check_mine(s, "covey_sweep_end") != COVEY_OK)
        return COVEY_EINVAL;
    if (!running(s, trial))
        return COVEY_EINVAL;
    sweep_record_end(s, trial, failed ? 1 : 0, false, failed ? "told so" : NULL);
    (void)wait_copies(s);       /* of checkpoints that are not kept */
    return wait_durable(s, record_last(s->record));
}
