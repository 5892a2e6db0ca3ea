/* checkpoints.c - `checkpoints: N`: of the trials that are over, the N best keep
 * their checkpoints.
 *
 * Running, waiting and paused trials go on from theirs and keep them, whatever
 * they are worth.  A trial that failed, or has no value, is not among the best.
 */
#include "sweep/sweep.h"

#include <math.h>
#include <stdlib.h>

static void forget(covey_sweep *s, uint32_t trial)
{
    (void)copies_add(s->copies, COPY_REMOVE, trial, 0);     /* without memory it stays */
}

static bool has_value(const struct trial *t) { return isfinite(t->best) && t->state != TRIAL_FAILED; }

static bool is_better(const covey_sweep *s, uint32_t a, uint32_t b)
{
    double x = controller_trial(s->controller, a)->best, y = controller_trial(s->controller, b)->best;
    if (x == y)
        return a < b;
    return spec_is_better(s->spec, x, y);
}

static uint32_t places(const covey_sweep *s)
{
    uint32_t keep = s->spec->checkpoints_keep;
    return keep < RECORD_TRIALS_MAX ? keep : RECORD_TRIALS_MAX;
}

/* The worst of those that are kept is at the end; they are few. */
static void offer(covey_sweep *s, uint32_t trial)
{
    struct kept_trials *k = &s->kept;
    uint32_t at = k->count, max = places(s);
    if (!has_value(controller_trial(s->controller, trial))) {
        forget(s, trial);
        return;
    }
    while (at > 0 && is_better(s, trial, k->trials[at - 1]))
        at--;
    if (k->count == max) {
        forget(s, at == max ? trial : k->trials[max - 1]);
        if (at == max)
            return;
        k->count--;
    }
    for (uint32_t i = k->count; i > at; i--)
        k->trials[i] = k->trials[i - 1];
    k->trials[at] = trial;
    k->count++;
}

/* Those of earlier runs count, too.  Without memory nothing is removed. */
static bool know(covey_sweep *s)
{
    struct kept_trials *k = &s->kept;
    if (k->known)
        return true;
    k->trials = malloc(places(s) * sizeof *k->trials);
    if (!k->trials)
        return false;
    k->known = true;
    for (uint32_t i = 0; i < controller_count(s->controller); i++)
        if (trial_is_over(controller_trial(s->controller, i)->state))
            offer(s, i);
    return true;
}

void checkpoints_end(covey_sweep *s, uint32_t trial)
{
    if (s->spec->checkpoints_keep == 0 || s->spec->scheduler.kind == SCHEDULER_PBT)
        return;
    bool first = !s->kept.known;        /* then it is found among all */
    if (know(s) && !first)
        offer(s, trial);
}

void checkpoints_last(covey_sweep *s)
{
    if (s->spec->checkpoints_keep > 0)
        (void)know(s);
}

void checkpoints_fini(covey_sweep *s) { free(s->kept.trials); }
