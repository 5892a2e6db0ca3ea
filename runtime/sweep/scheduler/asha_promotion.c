/* asha_promotion.c - asynchronous successive halving, the form that promotes.
 *
 * Li et al. 2018, algorithm 2.  Every trial pauses at its rung.  A free slot goes
 * to the best trial of the highest rung that is in the rung's top
 * floor(n / eta) and was not yet promoted, else to a new trial.  Since the top
 * moves as trials arrive, more than floor(n / eta) may be promoted in all.
 *
 * Rungs are at min_iter * eta^(s+k) below max_iter, and the last is max_iter
 * itself, so that the best get all that the file allows.
 *
 * A trial that fails, or is stopped by the user, counts as the rung's worst; one
 * that ends of itself is complete: it counts with its last loss and keeps its
 * place, but there is nothing to promote.  A loss that is no number is never
 * promoted.
 */
#include "sweep/scheduler/scheduler_internal.h"

#include <assert.h>
#include <math.h>

#define PROMOTION_ETA 3.0

struct rung *promotion_rung(const struct scheduler *s, const struct scheduler_trial *t)
{
    assert(t->rung < s->brackets[t->bracket].rung_count);
    return &s->brackets[t->bracket].rungs[t->rung];
}

/* Has the trial been judged at the rung where it stands? */
static bool is_judged(const struct scheduler_trial *t)
{
    return t->state == IS_PAUSED || t->state == IS_ENDING;
}

void promotion_start(struct scheduler *s, uint32_t trial, const struct scheduler_choice *choice,
                     const double *x)
{
    (void)x;
    struct scheduler_trial *t = &s->trials[trial];
    if (choice->what == SCHEDULER_RESUME) {
        struct rung *from = promotion_rung(s, t);
        from->entries[rung_find(from, t->loss, trial)].open = false;
        from->passed++;
        t->rung++;
    }
    promotion_rung(s, t)->entered++;
}

enum scheduler_verdict promotion_report(struct scheduler *s, uint32_t trial, int64_t before)
{
    (void)before;
    struct scheduler_trial *t = &s->trials[trial];
    struct rung *r = promotion_rung(s, t);
    if (t->step < r->step)
        return SCHEDULER_GO;
    bool last = t->rung + 1 == s->brackets[t->bracket].rung_count;
    rung_insert(r, t->loss, trial, !last);
    return last ? SCHEDULER_FINISH : SCHEDULER_PAUSE;
}

void promotion_end(struct scheduler *s, uint32_t trial, enum scheduler_fate fate)
{
    struct scheduler_trial *t = &s->trials[trial];
    if (fate == SCHEDULER_ENDED_PAUSED)
        return;
    struct rung *r = promotion_rung(s, t);
    double loss = fate == SCHEDULER_ENDED_COMPLETE ? t->loss : INFINITY;
    if (is_judged(t)) /* its own place is free, so the insertion has room */
        rung_remove(r, rung_find(r, t->loss, trial));
    rung_insert(r, loss, trial, false);
}

static bool init(struct scheduler *s, char *why, size_t why_size)
{
    return asha_init(s, true, PROMOTION_ETA, why, why_size);
}

/* The best trial of the top floor(n / eta) that waits here; SCHEDULER_NO_TRIAL: none. */
static uint32_t promotable(const struct scheduler *s, const struct rung *r)
{
    uint32_t top = (uint32_t)floor_near(r->count / s->opts.eta);
    for (uint32_t i = 0; i < top && isfinite(r->entries[i].loss); i++)
        if (r->entries[i].open && s->trials[r->entries[i].trial].state == IS_PAUSED)
            return r->entries[i].trial;
    return SCHEDULER_NO_TRIAL;
}

static struct scheduler_choice next(const struct scheduler *s, bool no_new)
{
    for (uint32_t i = 0; i < s->bracket_count; i++) {
        const struct bracket *b = &s->brackets[i];
        for (uint32_t k = b->rung_count - 1; k-- > 0;) {
            uint32_t trial = promotable(s, &b->rungs[k]);
            if (trial != SCHEDULER_NO_TRIAL)
                return scheduler_resume(s, trial, b->rungs[k + 1].step);
        }
    }
    return no_new ? scheduler_idle(s) : asha_new_trial(s);
}

static double cutoff(const struct scheduler *s, uint32_t bracket, uint32_t rung)
{
    const struct rung *r = &s->brackets[bracket].rungs[rung];
    uint32_t top = (uint32_t)floor_near(r->count / s->opts.eta);
    return top > 0 ? r->entries[top - 1].loss : NAN;
}

const struct scheduler_ops scheduler_asha_promotion = {
    .init = init, .next = next, .start = promotion_start, .report = promotion_report,
    .end = promotion_end, .cutoff = cutoff,
};
