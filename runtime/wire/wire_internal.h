/* wire_internal.h - what the files of wire/ and their tests share.
 *
 * The schema says once, for every struct of core/msg.h, which fields travel in
 * which order and within which limits.  The encoder, the decoder and the tests
 * all walk it, so a field cannot be written one way and read another.
 *
 * An item is one msgpack head with its payload, if that is a scalar or a blob.
 * item_read() is the only code that looks at foreign bytes; the walk, the
 * decoder and the value reader are built on it.
 */
#ifndef COVEY_WIRE_INTERNAL_H
#define COVEY_WIRE_INTERNAL_H

#include "wire/wire.h"

/* ---- schema ------------------------------------------------------------------ */

enum field_type {
    FIELD_U32,      /* at most @max */
    FIELD_U64,
    FIELD_I32,
    FIELD_I64,      /* at least @min */
    FIELD_BOOL,
    FIELD_VERSION,  /* u32, WIRE_VERSION or the record is refused before all else */
    FIELD_TEXT,     /* struct span as str, at most @max bytes */
    FIELD_BYTES,    /* struct span as bin, at most @max bytes */
    FIELD_HASH,     /* bin of 16: hi, then lo, both big endian */
    FIELD_NAME,     /* char[@max] with its NUL, as str; not empty */
    FIELD_STRUCT,   /* one @of */
    FIELD_ARRAY,    /* a pointer to *@count_at of @of, at most @max */
    FIELD_INLINE,   /* @max of @of lie in the struct itself, *@count_at are used;
                       their names (first fields, FIELD_NAME) differ */
};

struct wire_struct;

struct wire_field {
    const char *name;
    enum field_type type;
    uint16_t at;                /* offset in the struct */
    uint16_t count_at;          /* offset of the uint32_t count */
    uint32_t max;
    int64_t min;
    const struct wire_struct *of;
};

struct wire_struct {
    const char *name;
    const struct wire_field *fields;
    uint16_t field_count;
    uint16_t size;
    bool bare;                  /* one field, which stands without an array around it */
};

/* Texts that are no task name and no reason: programs, paths, keys, filters. */
#define WIRE_TEXT_MAX 4096u
#define HASH_BYTES 16u

/* What stands behind @kind in a record; NULL: there is no such message. */
const struct wire_struct *wire_message(uint64_t kind);

/* No two of the @count @elements of a FIELD_INLINE have the same name. */
bool wire_names_differ(const struct wire_struct *s, const void *elements, uint32_t count);

/* ---- items ------------------------------------------------------------------- */

enum item_type {
    ITEM_NONE,      /* what no side ever sends: maps, float32, other ext types */
    ITEM_NIL,
    ITEM_BOOL,      /* u */
    ITEM_UINT,      /* u; the unsigned family, cc to cf */
    ITEM_INT,       /* i; the signed family, and both kinds of fixint */
    ITEM_F64,
    ITEM_STR,       /* data, len */
    ITEM_BIN,       /* data, len */
    ITEM_EXT,       /* ext, and four bytes of data: fixext 4 */
    ITEM_ARRAY,     /* len: how many items follow */
};

struct item {
    enum item_type type;
    uint32_t len;
    const uint8_t *data;        /* aliases the input */
    union {
        uint64_t u;
        int64_t i;
        double f;
        int8_t ext;
    } v;
};

/* Take the head at *@at, and its payload unless it is an array.  False: the
 * input ends inside it, or it is ITEM_NONE.  Nothing is read at or past @end. */
bool item_read_wide(const uint8_t **at, const uint8_t *end, struct item *item);

static inline bool item_read(const uint8_t **at, const uint8_t *end, struct item *item)
{
    if (*at == end)
        return false;
    uint8_t head = **at;
    if (head < 0x80 || head >= 0xe0) {
        item->type = ITEM_INT;
        item->v.i = (int8_t)head;
        (*at)++;
        return true;
    }
    if ((head & 0xf0) == 0x90) {
        item->type = ITEM_ARRAY;
        item->len = head & 0x0f;
        (*at)++;
        return true;
    }
    return item_read_wide(at, end, item);
}

/* ---- writing ----------------------------------------------------------------- */

/* msgpack-c's packer calls this with each piece; @data is the struct buf. */
static inline int wire_write(void *data, const char *bytes, size_t len)
{
    struct buf *out = data;
    if ((out->cap - out->len < len || out->failed) && !buf_reserve(out, len))
        return -1;
    memcpy(out->data + out->len, bytes, len);
    out->len += len;
    return 0;
}

#endif
