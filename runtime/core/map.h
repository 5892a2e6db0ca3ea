/* map.h - a hash table from up to 24 key bytes to a pointer.
 *
 * Open addressing.  Iteration order is that of insertion order slots and is
 * the same in every run with the same calls: no core may depend on addresses
 * or on a random seed.  Keys are copied; values are the caller's.
 */
#ifndef COVEY_CORE_MAP_H
#define COVEY_CORE_MAP_H

#include "core/types.h"

#define MAP_KEY_MAX 24

struct map {
    struct map_entry *entries;  /* owned, in insertion order, with holes */
    uint32_t *slots;            /* owned; index + 1 into entries */
    uint32_t count, used, cap, slot_count;
    uint32_t key_len;
};

struct map_entry {
    uint8_t key[MAP_KEY_MAX];
    void *value;                /* NULL: a hole */
};

/* Keys are @key_len bytes, without padding inside. */
void map_init(struct map *map, uint32_t key_len);
void map_fini(struct map *map);
void *map_get(const struct map *map, const void *key);
/* Insert or replace; @value is not NULL.  False: out of memory, unchanged. */
bool map_put(struct map *map, const void *key, void *value);
/* Returns what was there. */
void *map_del(struct map *map, const void *key);
static inline uint32_t map_count(const struct map *map) { return map->count; }
/* for (uint32_t i = 0; (v = map_next(m, &i)) != NULL;)  Deleting the current
 * entry inside is allowed, inserting is not. */
void *map_next(const struct map *map, uint32_t *i);

/* Fixed-size keys without padding. */
struct key_addr { uint32_t node, proc, inc, actor; };
struct key_oid { uint32_t node, proc, seq_lo, seq_hi, index; };
static inline struct key_oid key_of_oid(struct oid id)
{
    return (struct key_oid){id.node, id.proc, (uint32_t)id.seq, (uint32_t)(id.seq >> 32), id.index};
}

#endif
