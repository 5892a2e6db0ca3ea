/* answers.h - answers to reports that wait: until the report is on disk, or, before that,
 * until the checkpoint that it came with is copied.
 *
 * A ring that grows.  One thread.
 */
#ifndef COVEY_SWEEP_ANSWERS_H
#define COVEY_SWEEP_ANSWERS_H

#include <stddef.h>

#include "covey.h"

struct slot;

struct answer {
    uint64_t seq;               /* of the record; 0: none to wait for */
    uint64_t copy;              /* of copies.h; 0: none to wait for */
    uint64_t question;          /* 0: nobody asked */
    covey_ref ref;
    struct slot *slot;
    bool stop;
};

struct answers { struct answer *ring; /* owned */ size_t first, count, cap; };

/* False: out of memory. */
bool answers_put(struct answers *answers, const struct answer *answer);
/* The oldest, until it is dropped; NULL: there is none. */
const struct answer *answers_first(const struct answers *answers);
void answers_drop(struct answers *answers);
void answers_fini(struct answers *answers);

#endif
