/* saving.c - see saving.h for the contract. */
#include "sweep/saving.h"

struct saving saving_of(const struct controller *c)
{
    struct saving saved = {0};
    for (uint32_t i = 0; i < controller_count(c); i++) {
        const struct trial *t = controller_trial(c, i);
        bool complete = t->state == TRIAL_COMPLETE;
        if (!complete && t->state != TRIAL_STOPPED && t->state != TRIAL_PAUSED)
            continue;
        saved.longest = complete && t->step > saved.longest ? t->step : saved.longest;
        saved.steps += t->step;
        saved.trials++;
    }
    return saved;
}
