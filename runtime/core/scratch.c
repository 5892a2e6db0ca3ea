/* scratch.c - see scratch.h for the contract.
 *
 * Chunks grow by doubling, so the newest is the largest: reset keeps it and
 * frees the rest, and a step of the same size fits into it next time.
 */
#include "core/scratch.h"

#include <stdlib.h>

#define SCRATCH_ALIGN 16u
#define SCRATCH_CHUNK_MIN (4u * 1024)

struct scratch_chunk {
    struct scratch_chunk *older;    /* owned */
    size_t size;                    /* of @bytes */
    _Alignas(SCRATCH_ALIGN) uint8_t bytes[];
};

void scratch_init(struct scratch *s)
{
    *s = (struct scratch){0};
}

static void free_chunks(struct scratch_chunk *chunk)
{
    while (chunk) {
        struct scratch_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
}

void scratch_fini(struct scratch *s)
{
    free_chunks(s->chunk);
    *s = (struct scratch){0};
}

void scratch_reset(struct scratch *s)
{
    if (s->chunk) {
        free_chunks(s->chunk->older);
        s->chunk->older = NULL;
    }
    s->used = 0;
}

/* Make a chunk with room for @size the newest. */
static bool add_chunk(struct scratch *s, size_t size)
{
    size_t chunk_size = s->chunk ? s->chunk->size * 2 : SCRATCH_CHUNK_MIN;
    if (chunk_size < size)
        chunk_size = size;
    struct scratch_chunk *chunk = malloc(sizeof(*chunk) + chunk_size);
    if (!chunk)
        return false;
    chunk->older = s->chunk;
    chunk->size = chunk_size;
    s->chunk = chunk;
    s->used = 0;
    return true;
}

void *scratch_alloc(struct scratch *s, size_t size)
{
    if (size > SIZE_MAX / 4)
        return NULL; /* rounding and doubling would wrap */
    size = (size + SCRATCH_ALIGN - 1) & ~(size_t)(SCRATCH_ALIGN - 1);
    if (!s->chunk || s->chunk->size - s->used < size) {
        if (!add_chunk(s, size))
            return NULL;
    }
    assert(s->used % SCRATCH_ALIGN == 0);
    void *p = s->chunk->bytes + s->used;
    s->used += size;
    return p;
}
