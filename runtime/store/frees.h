/* frees.h - frees of objects in extents of others, gathered by extent. */
#ifndef COVEY_STORE_FREES_H
#define COVEY_STORE_FREES_H

#include "core/list.h"
#include "core/msg.h"

struct free_batch;

struct frees {
    struct list due;            /* of struct free_batch, owned */
    struct free_batch **at;     /* owned; by extent, chained by generation */
    uint32_t *ordinals;         /* owned; what frees_next() told last */
    uint32_t extents;
};

bool frees_init(struct frees *f, uint32_t extents);
void frees_fini(struct frees *f);
/* Dropped when memory is out: the object then lives until its owner ends. */
void frees_add(struct frees *f, uint32_t extent, uint64_t gen, uint32_t ordinal);
/* The oldest batch, in ascending order; valid until the next call. */
bool frees_next(struct frees *f, struct msg_object_free *out);

#endif
