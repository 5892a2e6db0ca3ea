/* map.c - see map.h for the contract.
 *
 * Two arrays.  @entries holds keys and values in the order of insertion; a
 * deleted entry leaves a hole (value NULL).  @slots is the hash table proper,
 * linear probing, each slot an index into @entries plus one, 0 for empty.  It
 * has twice as many slots as there are entries, so a probe is short and always
 * ends.  Deleting shifts later slots back instead of leaving tombstones, so
 * lookups stay short under any churn.
 *
 * Holes are squeezed out when @entries is used up.  That only happens inside
 * map_put(), which is why an iteration may delete but not insert.  At least a
 * quarter of the entries is free afterwards: put and delete cost O(1) amortised.
 */
#include "core/map.h"

#include <stdlib.h>

#define CAP_MIN 8u
#define CAP_MAX (1u << 30)      /* slots are twice as many and still count in 32 bits */
#define CAP_SHRINK_MIN 64u      /* below this memory is not worth giving back */

/* Keys are read in words of four bytes: they mostly come fresh from a caller's
 * stack, written as such, and wider loads would wait for those stores. */
static uint32_t key_word(const uint8_t *key, uint32_t len, uint32_t at)
{
    uint32_t word = 0;
    if (len - at >= sizeof word)
        memcpy(&word, key + at, sizeof word);
    else
        memcpy(&word, key + at, len - at);
    return word;
}

/* Multilinear: words times odd constants, summed, then mixed.  The same in
 * every run, since cores must not depend on a seed; the keys are numbers that
 * our own nodes gave out. */
static uint32_t key_hash(const uint8_t *key, uint32_t len)
{
    static const uint64_t odd[MAP_KEY_MAX / 4] = {
        UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xbf58476d1ce4e5b9), UINT64_C(0x94d049bb133111eb),
        UINT64_C(0xd6e8feb86659fd93), UINT64_C(0xff51afd7ed558ccd), UINT64_C(0xc4ceb9fe1a85ec53),
    };
    uint64_t sum = 0;
    for (uint32_t at = 0; at < len; at += 4)
        sum += key_word(key, len, at) * odd[at / 4];
    sum = (sum ^ sum >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(sum >> 32);
}

static bool key_eq(const uint8_t *a, const uint8_t *b, uint32_t len)
{
    uint32_t differ = 0;
    for (uint32_t at = 0; at < len; at += 4)
        differ |= key_word(a, len, at) ^ key_word(b, len, at);
    return differ == 0;
}

static uint32_t slot_home(const struct map *map, const uint8_t *key)
{
    return key_hash(key, map->key_len) & (map->slot_count - 1);
}

/* The slot that holds @key, or the empty one where it would go. */
static uint32_t slot_find(const struct map *map, const uint8_t *key)
{
    uint32_t mask = map->slot_count - 1;
    uint32_t at = slot_home(map, key);
    while (map->slots[at] != 0 &&
           !key_eq(map->entries[map->slots[at] - 1].key, key, map->key_len))
        at = (at + 1) & mask;
    return at;
}

void map_init(struct map *map, uint32_t key_len)
{
    assert(key_len > 0 && key_len <= MAP_KEY_MAX);
    *map = (struct map){.key_len = key_len};
}

void map_fini(struct map *map)
{
    free(map->entries);
    free(map->slots);
    *map = (struct map){.key_len = map->key_len};
}

void *map_get(const struct map *map, const void *key)
{
    if (map->count == 0)
        return NULL;
    uint32_t slot = map->slots[slot_find(map, key)];
    return slot ? map->entries[slot - 1].value : NULL;
}

/* Copy the live entries of @map to @to (which may be the same array) in order,
 * and fill @slots, which are all empty, for them. */
static void rebuild(struct map *map, struct map_entry *to, uint32_t cap, uint32_t *slots)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < map->used; i++)
        if (map->entries[i].value)
            to[live++] = map->entries[i];
    assert(live == map->count && live <= cap);
    map->entries = to;
    map->slots = slots;
    map->cap = cap;
    map->slot_count = cap * 2;
    map->used = live;
    for (uint32_t i = 0; i < live; i++)
        map->slots[slot_find(map, to[i].key)] = i + 1;
}

static void compact(struct map *map)
{
    memset(map->slots, 0, map->slot_count * sizeof *map->slots);
    rebuild(map, map->entries, map->cap, map->slots);
}

static bool resize(struct map *map, uint32_t cap)
{
    struct map_entry *old_entries = map->entries;
    uint32_t *old_slots = map->slots;
    struct map_entry *entries = malloc(cap * sizeof *entries);
    uint32_t *slots = calloc((size_t)cap * 2, sizeof *slots);
    if (!entries || !slots) {
        free(entries);
        free(slots);
        return false;
    }
    rebuild(map, entries, cap, slots);
    free(old_entries);
    free(old_slots);
    return true;
}

/* Make room for one more entry. */
static bool make_room(struct map *map)
{
    if (map->used < map->cap)
        return true;
    if (map->count > map->cap / 4 * 3 || map->cap == 0) {
        if (map->cap < CAP_MAX && resize(map, map->cap ? map->cap * 2 : CAP_MIN))
            return true;
    } else if (map->count < map->cap / 8 && map->cap > CAP_SHRINK_MIN) {
        if (resize(map, map->cap / 2))
            return true;
    }
    if (map->count == map->cap)
        return false;
    compact(map);
    return true;
}

bool map_put(struct map *map, const void *key, void *value)
{
    assert(value != NULL);
    if (map->count > 0) {
        uint32_t slot = map->slots[slot_find(map, key)];
        if (slot) {
            map->entries[slot - 1].value = value;
            return true;
        }
    }
    if (!make_room(map))
        return false;
    struct map_entry *entry = &map->entries[map->used];
    memcpy(entry->key, key, map->key_len);
    entry->value = value;
    map->slots[slot_find(map, key)] = ++map->used;
    map->count++;
    return true;
}

/* Empty slot @hole.  A slot further on in the same run moves into the hole if
 * its home does not lie between the hole and itself, for then a search from
 * its home would stop at the hole. */
static void slot_clear(struct map *map, uint32_t hole)
{
    uint32_t mask = map->slot_count - 1;
    for (uint32_t at = (hole + 1) & mask; map->slots[at] != 0; at = (at + 1) & mask) {
        uint32_t home = slot_home(map, map->entries[map->slots[at] - 1].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = 0;
}

void *map_del(struct map *map, const void *key)
{
    if (map->count == 0)
        return NULL;
    uint32_t at = slot_find(map, key);
    if (map->slots[at] == 0)
        return NULL;
    struct map_entry *entry = &map->entries[map->slots[at] - 1];
    void *value = entry->value;
    slot_clear(map, at);
    entry->value = NULL;
    map->count--;
    while (map->used > 0 && map->entries[map->used - 1].value == NULL)
        map->used--;
    return value;
}

void *map_next(const struct map *map, uint32_t *i)
{
    while (*i < map->used) {
        void *value = map->entries[(*i)++].value;
        if (value)
            return value;
    }
    return NULL;
}
