/* wants.c - see wants.h. */
#include "store/wants.h"

#include <stdlib.h>

void want_clear(struct want *want)
{
    free(want->lent);
    *want = (struct want){.state = WANT_NONE};
}

void wants_fini(struct wants *w)
{
    for (uint32_t i = 0; i < STORE_WANTS_MAX; i++)
        want_clear(&w->want[i]);
}

struct want *wants_find(struct wants *w, uint64_t bytes)
{
    for (uint32_t i = 1; i < STORE_WANTS_MAX; i++)
        if (w->want[i].state != WANT_NONE && w->want[i].bytes == bytes)
            return &w->want[i];
    return NULL;
}

struct want *wants_unused(struct wants *w)
{
    struct want *stale = NULL;
    for (uint32_t i = 1; i < STORE_WANTS_MAX; i++) {
        struct want *want = &w->want[i];
        if (want->state == WANT_NONE)
            return want;
        bool refused = want->state == WANT_REFUSED || want->state == WANT_SEEN;
        if (refused && (!stale || want->request < stale->request))
            stale = want;
    }
    if (stale)
        want_clear(stale);
    return stale;
}

struct want *wants_asked(struct wants *w, uint64_t request)
{
    for (uint32_t i = 0; i < STORE_WANTS_MAX; i++)
        if (w->want[i].state == WANT_ASKED && w->want[i].request == request)
            return &w->want[i];
    return NULL;
}

bool wants_next(struct wants *w, struct msg_extent_want *out)
{
    for (uint32_t i = 0; i < STORE_WANTS_MAX; i++) {
        struct want *want = &w->want[i];
        if (want->state != WANT_NEW)
            continue;
        want->state = WANT_ASKED;
        want->request = ++w->request_last;
        *out = (struct msg_extent_want){.request = want->request, .bytes = want->bytes};
        return true;
    }
    return false;
}
