/* frees.c - see frees.h.
 *
 * A batch is a bitmap that reaches to its highest ordinal, so doubles cost
 * nothing and none is larger than EXTENT_OBJECTS_MAX bits.
 */
#include "store/frees.h"

#include "core/object.h"

#include <stdlib.h>

#define BATCH_WORDS_MIN 4u
#define BATCH_WORDS_MAX (EXTENT_OBJECTS_MAX / 64)

struct free_batch {
    struct list in_due;
    struct free_batch *next;    /* of the same extent, another generation */
    uint32_t extent;
    uint64_t gen;
    uint64_t *bits;             /* owned */
    uint32_t words;
};

bool frees_init(struct frees *f, uint32_t extents)
{
    *f = (struct frees){.extents = extents};
    list_init(&f->due);
    f->at = calloc(extents, sizeof(*f->at));
    f->ordinals = calloc(EXTENT_OBJECTS_MAX, sizeof(*f->ordinals));
    if (f->at && f->ordinals)
        return true;
    frees_fini(f);
    return false;
}

static void batch_delete(struct free_batch *b)
{
    list_del(&b->in_due);
    free(b->bits);
    free(b);
}

/* Also of one that was never initialised but is all zeros. */
void frees_fini(struct frees *f)
{
    if (f->due.next)
        list_each(it, &f->due)
            batch_delete(list_entry(it, struct free_batch, in_due));
    free(f->at);
    free(f->ordinals);
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

static bool reach(struct free_batch *b, uint32_t ordinal)
{
    uint32_t words = b->words ? b->words : BATCH_WORDS_MIN;
    while (words <= ordinal / 64)
        words *= 2;
    if (words == b->words)
        return true;
    assert(words <= BATCH_WORDS_MAX);
    uint64_t *larger = realloc(b->bits, words * sizeof(uint64_t));
    if (!larger)
        return false;
    memset(larger + b->words, 0, (words - b->words) * sizeof(uint64_t));
    b->bits = larger;
    b->words = words;
    return true;
}

void frees_add(struct frees *f, uint32_t extent, uint64_t gen, uint32_t ordinal)
{
    if (extent >= f->extents || ordinal >= EXTENT_OBJECTS_MAX)
        return;
    struct free_batch *b = batch_of(f, extent, gen);
    if (b && reach(b, ordinal))
        b->bits[ordinal / 64] |= UINT64_C(1) << (ordinal % 64);
}

static uint32_t list_ordinals(const struct free_batch *b, uint32_t *out)
{
    uint32_t count = 0;
    for (uint32_t w = 0; w < b->words; w++)
        for (uint64_t word = b->bits[w]; word; word &= word - 1)
            out[count++] = w * 64 + (uint32_t)__builtin_ctzll(word);
    return count;
}

bool frees_next(struct frees *f, struct msg_object_free *out)
{
    if (list_empty(&f->due))
        return false;
    struct free_batch *b = list_entry(f->due.next, struct free_batch, in_due);
    struct free_batch **link = &f->at[b->extent];
    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
    *out = (struct msg_object_free){
        .extent = b->extent,
        .gen = b->gen,
        .ordinal_count = list_ordinals(b, f->ordinals),
        .ordinals = f->ordinals,
    };
    batch_delete(b);
    return true;
}
