/* scratch.h - memory that lives for one step: a bump allocator that is reset.
 *
 * scratch_reset() keeps the largest chunk, so a steady state allocates nothing.
 */
#ifndef COVEY_CORE_SCRATCH_H
#define COVEY_CORE_SCRATCH_H

#include "core/types.h"

struct scratch {
    struct scratch_chunk *chunk;    /* owned, newest first */
    size_t used;                    /* in the newest */
};

void scratch_init(struct scratch *s);
void scratch_fini(struct scratch *s);
void scratch_reset(struct scratch *s);
/* @size bytes, 16-aligned, not cleared; NULL when memory is out. */
void *scratch_alloc(struct scratch *s, size_t size);

#endif
