/* frees.c - see frees.h.
 *
 * A batch has at most EXTENT_OBJECTS_MAX ordinals: doubles are taken out when
 * it is full, and there are no more than that to name.
 */
#include "store/frees.h"

#include "core/object.h"

#include <stdlib.h>

#define BATCH_MIN 16u

struct free_batch {
    struct list in_due;
    struct free_batch *next;    /* of the same extent, another generation */
    uint32_t extent;
    uint64_t gen;
    uint32_t *ordinals;         /* owned */
    uint32_t count, cap;
};

bool frees_init(struct frees *f, uint32_t extents)
{
    *f = (struct frees){.extents = extents};
    list_init(&f->due);
    f->at = calloc(extents, sizeof(*f->at));
    return f->at != NULL;
}

static void batch_delete(struct free_batch *b)
{
    if (!b)
        return;
    free(b->ordinals);
    free(b);
}

void frees_fini(struct frees *f)
{
    if (!f->at)
        return;
    list_each(it, &f->due)
        batch_delete(list_entry(it, struct free_batch, in_due));
    batch_delete(f->told);
    free(f->at);
    *f = (struct frees){0};
}

static struct free_batch *batch_of(struct frees *f, uint32_t extent, uint64_t gen)
{
    for (struct free_batch *b = f->at[extent]; b; b = b->next)
        if (b->gen == gen)
            return b;
    struct free_batch *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->extent = extent;
    b->gen = gen;
    b->next = f->at[extent];
    f->at[extent] = b;
    list_push(&f->due, &b->in_due);
    return b;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sort(struct free_batch *b)
{
    uint32_t kept = 0;
    if (b->count > 1)
        qsort(b->ordinals, b->count, sizeof(uint32_t), compare);
    for (uint32_t i = 0; i < b->count; i++)
        if (kept == 0 || b->ordinals[kept - 1] != b->ordinals[i])
            b->ordinals[kept++] = b->ordinals[i];
    b->count = kept;
}

static bool make_room(struct free_batch *b)
{
    if (b->count < b->cap)
        return true;
    if (b->cap >= EXTENT_OBJECTS_MAX) {
        sort(b);
        return b->count < b->cap;
    }
    uint32_t cap = b->cap ? b->cap * 2 : BATCH_MIN;
    uint32_t *larger = realloc(b->ordinals, cap * sizeof(uint32_t));
    if (!larger)
        return false;
    b->ordinals = larger;
    b->cap = cap;
    return true;
}

void frees_add(struct frees *f, uint32_t extent, uint64_t gen, uint32_t ordinal)
{
    if (extent >= f->extents || ordinal >= EXTENT_OBJECTS_MAX)
        return;
    struct free_batch *b = batch_of(f, extent, gen);
    if (b && make_room(b))
        b->ordinals[b->count++] = ordinal;
}

bool frees_next(struct frees *f, struct msg_object_free *out)
{
    batch_delete(f->told);
    f->told = NULL;
    if (list_empty(&f->due))
        return false;
    struct free_batch *b = list_entry(f->due.next, struct free_batch, in_due);
    list_del(&b->in_due);
    struct free_batch **link = &f->at[b->extent];
    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
    sort(b);
    f->told = b;
    *out = (struct msg_object_free){
        .extent = b->extent,
        .gen = b->gen,
        .ordinal_count = b->count,
        .ordinals = b->ordinals,
    };
    return true;
}
