/* object.h - what lies in the arena.
 *
 *   block 0 ...        the generation table: u64 gen[blocks], only the node
 *                      writes it.  gen[b] is that of the extent that block b
 *                      belongs to, 0 while it belongs to none.
 *   then extents       runs of blocks; an extent's number is its first block.
 *     object, object   each a header of 64 bytes, then the payload, the next
 *                      header at the next multiple of 64.
 *
 * A header is published by one release store of @state.  OPEN only lets whoever
 * walks the extent of a dead writer step over an object that it did not finish;
 * to readers such a header is nothing.  Readers trust neither header nor hint:
 * they check the generation table (of the first and the last block, so that
 * only pages that exist are ever touched), the state and the id.
 */
#ifndef COVEY_CORE_OBJECT_H
#define COVEY_CORE_OBJECT_H

#include "core/types.h"

#define ARENA_BLOCK (256u * 1024)
#define EXTENT_BYTES (2u * 1024 * 1024)     /* an extent for small objects */
#define OBJECT_ALIGN 64u
/* Larger objects have an extent of their own.  Two of this size fill a shared
 * one, so less than a third of it is ever left over. */
#define OBJECT_SHARED_MAX (EXTENT_BYTES / 2 - OBJECT_ALIGN)
#define EXTENT_OBJECTS_MAX (EXTENT_BYTES / OBJECT_ALIGN)
#define OBJECT_OPEN UINT64_C(0x0be40bec7)
#define OBJECT_SEALED UINT64_C(0x5ea1ed0bec7)

struct object_header {
    _Atomic uint64_t state;     /* OBJECT_OPEN ^ gen, then OBJECT_SEALED ^ gen */
    uint64_t gen;
    uint64_t size;              /* of the payload */
    uint64_t seq;               /* the oid */
    uint32_t node, proc, index;
    uint32_t ordinal;           /* in this extent, from 0 */
    uint32_t kind;              /* covey_kind */
    uint32_t reserved[3];
};
_Static_assert(sizeof(struct object_header) == OBJECT_ALIGN, "a header is one cache line");

/* From one header to the next. */
static inline uint64_t object_stride(uint64_t size)
{
    return OBJECT_ALIGN + ((size + OBJECT_ALIGN - 1) & ~(uint64_t)(OBJECT_ALIGN - 1));
}

#endif
