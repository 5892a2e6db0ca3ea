/* walk.c - read items, and check a whole record before anything is decoded.
 *
 * The walk keeps one counter per level, on the stack, of the items that the
 * level still owes.  An item has at least one byte, so a level never owes more
 * than the bytes that remain: that refuses dd ff ff ff ff after five bytes,
 * and it bounds every count that the decoder will meet.
 */
#include "wire/wire_internal.h"

/* An item has at least a byte, so the limit on bytes implies the one on items. */
_Static_assert(MSG_BYTES_MAX <= WIRE_ITEMS_MAX, "WIRE_ITEMS_MAX must be counted then");

/* What a first byte says: the type, and the width of the big-endian number
 * that follows (a value, a length or a count). */
static const struct head {
    uint8_t type, width;
} HEADS[256] = {
    [0x00 ... 0x7f] = {ITEM_INT, 0},
    [0x90 ... 0x9f] = {ITEM_ARRAY, 0},
    [0xa0 ... 0xbf] = {ITEM_STR, 0},
    [0xc0] = {ITEM_NIL, 0},
    [0xc2] = {ITEM_BOOL, 0},  [0xc3] = {ITEM_BOOL, 0},
    [0xc4] = {ITEM_BIN, 1},   [0xc5] = {ITEM_BIN, 2},   [0xc6] = {ITEM_BIN, 4},
    [0xcb] = {ITEM_F64, 8},
    [0xcc] = {ITEM_UINT, 1},  [0xcd] = {ITEM_UINT, 2},
    [0xce] = {ITEM_UINT, 4},  [0xcf] = {ITEM_UINT, 8},
    [0xd0] = {ITEM_INT, 1},   [0xd1] = {ITEM_INT, 2},
    [0xd2] = {ITEM_INT, 4},   [0xd3] = {ITEM_INT, 8},
    [0xd6] = {ITEM_EXT, 1},
    [0xd9] = {ITEM_STR, 1},   [0xda] = {ITEM_STR, 2},   [0xdb] = {ITEM_STR, 4},
    [0xdc] = {ITEM_ARRAY, 2}, [0xdd] = {ITEM_ARRAY, 4},
    [0xe0 ... 0xff] = {ITEM_INT, 0},
};

static uint64_t load_big_endian(const uint8_t *p, unsigned width)
{
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    switch (width) {
    case 0: return 0;
    case 1: return p[0];
    case 2: memcpy(&u16, p, 2); return __builtin_bswap16(u16);
    case 4: memcpy(&u32, p, 4); return __builtin_bswap32(u32);
    }
    assert(width == 8);
    memcpy(&u64, p, 8);
    return __builtin_bswap64(u64);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "load_big_endian() swaps");

/* Take @len bytes of payload. */
static bool take_blob(const uint8_t **at, const uint8_t *end, uint32_t len, struct item *item)
{
    if ((size_t)(end - *at) < len)
        return false;
    item->data = *at;
    item->len = len;
    *at += len;
    return true;
}

/* All but what item_read() has taken: fixints and short arrays. */
bool item_read_wide(const uint8_t **at, const uint8_t *end, struct item *item)
{
    assert(*at < end);
    uint8_t first = *(*at)++;
    struct head head = HEADS[first];
    if ((size_t)(end - *at) < head.width)
        return false;
    uint64_t number = load_big_endian(*at, head.width);
    *at += head.width;
    item->type = head.type;
    switch (item->type) {
    case ITEM_UINT:
    case ITEM_F64: /* its bits */
        item->v.u = number;
        return true;
    case ITEM_INT: {
        assert(head.width > 0);
        unsigned unused_bits = 64 - 8u * head.width;
        item->v.i = (int64_t)(number << unused_bits) >> unused_bits;
        return true;
    }
    case ITEM_NIL:
    case ITEM_BOOL:
        item->v.u = first & 1;
        return true;
    case ITEM_STR:
        return take_blob(at, end, head.width ? (uint32_t)number : first & 0x1fu, item);
    case ITEM_BIN:
        return take_blob(at, end, (uint32_t)number, item);
    case ITEM_EXT:
        item->v.ext = (int8_t)number;
        return take_blob(at, end, 4, item);
    case ITEM_ARRAY:
        item->len = (uint32_t)number;
        return true;
    case ITEM_NONE:
        break;
    }
    return false;
}

/* Take numbers and booleans, most of any record, as many as there are but at
 * most @left.  Returns how many. */
static inline uint32_t skip_scalars(const uint8_t **at, const uint8_t *end, uint32_t left)
{
    const uint8_t *p = *at;
    uint32_t skipped = 0;
    while (skipped < left && p < end) {
        struct head head = HEADS[*p];
        bool scalar = head.type == ITEM_INT || head.type == ITEM_UINT || head.type == ITEM_BOOL;
        if (!scalar || end - p <= head.width)
            break;
        p += 1 + head.width;
        skipped++;
    }
    *at = p;
    return skipped;
}

covey_status wire_walk(struct span bytes, size_t *len)
{
    /* A longer record ends outside and is refused as truncated. */
    size_t limit = bytes.len < MSG_BYTES_MAX ? bytes.len : MSG_BYTES_MAX;
    const uint8_t *at = bytes.data, *end = limit ? at + limit : at;
    struct item item;
    if (!item_read(&at, end, &item) || item.type != ITEM_ARRAY)
        return COVEY_EPROTO;

    uint32_t left[WIRE_DEPTH_MAX]; /* [depth]: items that this level still owes */
    unsigned depth = 0;
    left[0] = item.len;
    for (;;) {
        if (left[depth] > (size_t)(end - at))
            return COVEY_EPROTO;
        left[depth] -= skip_scalars(&at, end, left[depth]);
        if (left[depth] == 0) {
            if (depth == 0)
                break;
            depth--;
            continue;
        }
        left[depth]--;
        if (!item_read(&at, end, &item))
            return COVEY_EPROTO;
        if (item.type == ITEM_ARRAY) {
            if (++depth == WIRE_DEPTH_MAX)
                return COVEY_EPROTO;
            left[depth] = item.len;
        } else if (item.type != ITEM_STR && item.type != ITEM_BIN) {
            return COVEY_EPROTO; /* nil, floats and ext are for values */
        }
    }
    *len = (size_t)(at - bytes.data);
    return COVEY_OK;
}
