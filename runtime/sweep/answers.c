/* answers.c - see answers.h for the contract. */
#include "sweep/answers.h"

#include <assert.h>
#include <stdlib.h>

static bool grow(struct answers *answers)
{
    size_t cap = answers->cap ? answers->cap * 2 : 64;
    struct answer *more = malloc(cap * sizeof *more);
    if (!more)
        return false;
    for (size_t i = 0; i < answers->count; i++)
        more[i] = answers->ring[(answers->first + i) % answers->cap];
    free(answers->ring);
    *answers = (struct answers){.ring = more, .count = answers->count, .cap = cap};
    return true;
}

bool answers_put(struct answers *answers, const struct answer *answer)
{
    if (answers->count == answers->cap && !grow(answers))
        return false;
    answers->ring[(answers->first + answers->count++) % answers->cap] = *answer;
    return true;
}

const struct answer *answers_first(const struct answers *answers)
{
    return answers->count > 0 ? &answers->ring[answers->first] : NULL;
}

void answers_drop(struct answers *answers)
{
    assert(answers->count > 0);
    answers->first = (answers->first + 1) % answers->cap;
    answers->count--;
}

void answers_fini(struct answers *answers) { free(answers->ring); }
