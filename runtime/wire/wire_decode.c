/* wire_decode.c - msgpack to struct msg, field by field along the schema.
 *
 * The walk has proved the shape: every item is whole, every count is covered
 * by bytes.  The readers here check meaning: type, range, enum, number of
 * fields.  They allocate for arrays only, from the caller's scratch.
 *
 * A small count of large elements would still let garbage ask for a multiple
 * of its own size before its first element is looked at.  So a count must fit
 * the bytes that its elements need at the very least; and a record longer than
 * DRY_BYTES is first decoded into nothing.  What is refused has then taken
 * well under a megabyte.
 *
 * A failure records its path on the way out, innermost first; success pays
 * nothing for that.
 */
#include "wire/wire_internal.h"

#include <stdarg.h>
#include <stdio.h>

#define DRY_BYTES (8u * 1024)
/* The worst that it lets through: six fields and their array in seven bytes. */
_Static_assert(DRY_BYTES / 7 * sizeof(struct node_view) < 1024u * 1024, "DRY_BYTES is too large");
/* A message, a struct in it, resources, an element of those. */
#define PATH_MAX_STEPS WIRE_DEPTH_MAX

struct cursor {
    const uint8_t *at, *end;
    struct scratch *scratch;    /* NULL: a dry run */
    covey_status status;        /* why it stopped ... */
    char wrong[64];             /* ... in words */
    unsigned path_len;
    struct step {
        const char *field;      /* or NULL: an index */
        uint32_t index;
    } path[PATH_MAX_STEPS];
};

/* One element of any array, when it is only checked. */
union element {
    uint64_t number;
    struct place place;
    struct dep dep;
    struct result result;
    struct held held;
    struct kept kept;
    struct done done;
    struct node_view node_view;
};

/* ---- failure ----------------------------------------------------------------- */

__attribute__((cold, format(printf, 3, 4)))
static void set_wrong(struct cursor *c, covey_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->wrong, sizeof(c->wrong), fmt, args);
    va_end(args);
    c->status = status;
}

/* A macro, so that compilers see the false. */
#define refuse(c, ...) (set_wrong(c, __VA_ARGS__), false)

__attribute__((cold))
static bool failed_at(struct cursor *c, struct step step)
{
    assert(c->path_len < PATH_MAX_STEPS);
    c->path[c->path_len++] = step;
    return false;
}

/* "TASK.deps[3].id.seq: expected a number" */
static void tell_why(const struct cursor *c, const char *message, char *why, size_t why_size)
{
    char path[256];
    size_t len = 0;
    for (unsigned i = c->path_len; i-- > 0 && len < sizeof(path);) {
        const struct step *step = &c->path[i];
        size_t room = sizeof(path) - len;
        int n = step->field ? snprintf(path + len, room, "%s%s", *step->field ? "." : "", step->field)
                            : snprintf(path + len, room, "[%u]", step->index);
        assert(n >= 0);
        len += (size_t)n;
    }
    if (why_size > 0)
        snprintf(why, why_size, "%s%s: %s", message, c->path_len ? path : "", c->wrong);
}

/* ---- readers: one field each ---------------------------------------------------- */

/* Take the next item of a record that was walked: it is whole. */
static inline void next(struct cursor *c, struct item *item)
{
    bool whole = item_read(&c->at, c->end, item);
    assert(whole);
}

static inline bool read_u64(struct cursor *c, uint64_t *out)
{
    struct item item;
    next(c, &item);
    if (item.type != ITEM_INT && item.type != ITEM_UINT)
        return refuse(c, COVEY_EPROTO, "expected a number");
    if (item.type == ITEM_INT && item.v.i < 0)
        return refuse(c, COVEY_EPROTO, "is negative");
    *out = item.v.u;
    return true;
}

static inline bool read_u32(struct cursor *c, uint32_t max, uint32_t *out)
{
    uint64_t x;
    if (!read_u64(c, &x))
        return false;
    if (x > max)
        return refuse(c, COVEY_EPROTO, "%llu is more than %u", (unsigned long long)x, max);
    *out = (uint32_t)x;
    return true;
}

static inline bool read_i64(struct cursor *c, int64_t min, int64_t max, int64_t *out)
{
    struct item item;
    next(c, &item);
    if (item.type != ITEM_INT && item.type != ITEM_UINT)
        return refuse(c, COVEY_EPROTO, "expected a number");
    if (item.type == ITEM_UINT && item.v.u > INT64_MAX)
        return refuse(c, COVEY_EPROTO, "is too large");
    if (item.v.i < min || item.v.i > max)
        return refuse(c, COVEY_EPROTO, "%lld is out of range", (long long)item.v.i);
    *out = item.v.i;
    return true;
}

static bool read_i32(struct cursor *c, int32_t *out)
{
    int64_t x;
    if (!read_i64(c, INT32_MIN, INT32_MAX, &x))
        return false;
    *out = (int32_t)x;
    return true;
}

static bool read_bool(struct cursor *c, bool *out)
{
    struct item item;
    next(c, &item);
    if (item.type != ITEM_BOOL)
        return refuse(c, COVEY_EPROTO, "expected a boolean");
    *out = item.v.u != 0;
    return true;
}

static bool read_version(struct cursor *c, uint32_t *out)
{
    if (!read_u32(c, UINT32_MAX, out))
        return false;
    if (*out != WIRE_VERSION)
        return refuse(c, COVEY_EVERSION, "is %u, this side speaks %u", *out, WIRE_VERSION);
    return true;
}

static bool read_span(struct cursor *c, enum item_type type, uint32_t max, struct span *out)
{
    struct item item;
    next(c, &item);
    if (item.type != type)
        return refuse(c, COVEY_EPROTO, "expected %s", type == ITEM_STR ? "a text" : "bytes");
    if (item.len > max)
        return refuse(c, COVEY_EPROTO, "%u bytes are more than %u", item.len, max);
    *out = (struct span){item.data, item.len};
    return true;
}

static bool read_hash(struct cursor *c, struct hash128 *out)
{
    struct span span;
    uint64_t big_endian[2];
    if (!read_span(c, ITEM_BIN, HASH_BYTES, &span))
        return false;
    if (span.len != HASH_BYTES)
        return refuse(c, COVEY_EPROTO, "expected %u bytes", HASH_BYTES);
    memcpy(big_endian, span.data, HASH_BYTES);
    out->hi = __builtin_bswap64(big_endian[0]);
    out->lo = __builtin_bswap64(big_endian[1]);
    return true;
}

/* To @size chars at @out, cleared behind the text. */
static bool read_name(struct cursor *c, uint32_t size, char *out)
{
    struct span span;
    if (!read_span(c, ITEM_STR, size - 1, &span))
        return false;
    if (span.len == 0 || memchr(span.data, 0, span.len))
        return refuse(c, COVEY_EPROTO, "expected a name");
    memset(out, 0, size);
    memcpy(out, span.data, span.len);
    return true;
}

static bool read_count(struct cursor *c, uint32_t *out)
{
    struct item item;
    next(c, &item);
    if (item.type != ITEM_ARRAY)
        return refuse(c, COVEY_EPROTO, "expected an array");
    *out = item.len;
    return true;
}

/* ---- structs and arrays ---------------------------------------------------------- */

static bool decode_fields(struct cursor *c, const struct wire_struct *s, uint8_t *base);

static bool decode_struct(struct cursor *c, const struct wire_struct *s, void *out)
{
    uint32_t count;
    if (s->bare)
        return decode_fields(c, s, out);
    if (!read_count(c, &count))
        return false;
    if (count != s->field_count)
        return refuse(c, COVEY_EPROTO, "%u fields instead of %u", count, s->field_count);
    return decode_fields(c, s, out);
}

static bool read_element_count(struct cursor *c, const struct wire_field *f, uint32_t *out)
{
    uint32_t count;
    if (!read_count(c, &count))
        return false;
    if (count > f->max)
        return refuse(c, COVEY_EPROTO, "%u elements are more than %u", count, f->max);
    /* A field has a byte at least, and so has the array around the fields. */
    size_t least_bytes = f->of->bare ? 1 : 1u + f->of->field_count;
    if (count > (size_t)(c->end - c->at) / least_bytes)
        return refuse(c, COVEY_EPROTO, "%u elements do not fit", count);
    *out = count;
    return true;
}

static bool decode_array(struct cursor *c, const struct wire_field *f, uint8_t *base)
{
    uint32_t count;
    if (!read_element_count(c, f, &count))
        return false;
    size_t size = f->of->size;
    union element nowhere;
    uint8_t *elements = NULL;
    if (c->scratch && count > 0) {
        elements = scratch_alloc(c->scratch, count * size);
        if (!elements)
            return refuse(c, COVEY_ENOMEM, "no memory for %u elements", count);
    }
    assert(size <= sizeof(nowhere));
    for (uint32_t i = 0; i < count; i++)
        if (!decode_struct(c, f->of, elements ? elements + i * size : (uint8_t *)&nowhere))
            return failed_at(c, (struct step){NULL, i});
    memcpy(base + f->at, &elements, sizeof(elements)); /* a pointer to whatever it holds */
    *(uint32_t *)(void *)(base + f->count_at) = count;
    return true;
}

static bool decode_inline(struct cursor *c, const struct wire_field *f, uint8_t *base)
{
    uint32_t count;
    if (!read_element_count(c, f, &count))
        return false;
    uint8_t *elements = base + f->at;
    memset(elements, 0, (size_t)f->max * f->of->size); /* such structs are copied whole */
    for (uint32_t i = 0; i < count; i++)
        if (!decode_struct(c, f->of, elements + i * f->of->size))
            return failed_at(c, (struct step){NULL, i});
    if (!wire_names_differ(f->of, elements, count))
        return refuse(c, COVEY_EPROTO, "has a name twice");
    *(uint32_t *)(void *)(base + f->count_at) = count;
    return true;
}

static inline bool decode_field(struct cursor *c, const struct wire_field *f, uint8_t *base)
{
    void *p = base + f->at;
    switch (f->type) {
    case FIELD_U32:     return read_u32(c, f->max, p);
    case FIELD_U64:     return read_u64(c, p);
    case FIELD_I32:     return read_i32(c, p);
    case FIELD_I64:     return read_i64(c, f->min, INT64_MAX, p);
    case FIELD_BOOL:    return read_bool(c, p);
    case FIELD_VERSION: return read_version(c, p);
    case FIELD_TEXT:    return read_span(c, ITEM_STR, f->max, p);
    case FIELD_BYTES:   return read_span(c, ITEM_BIN, f->max, p);
    case FIELD_HASH:    return read_hash(c, p);
    case FIELD_NAME:    return read_name(c, f->max, p);
    case FIELD_STRUCT:  return decode_struct(c, f->of, p);
    case FIELD_ARRAY:   return decode_array(c, f, base);
    case FIELD_INLINE:  return decode_inline(c, f, base);
    }
    assert(!"no such field type");
    return false;
}

static bool decode_fields(struct cursor *c, const struct wire_struct *s, uint8_t *base)
{
    for (const struct wire_field *f = s->fields; f < s->fields + s->field_count; f++)
        if (!decode_field(c, f, base))
            return failed_at(c, (struct step){f->name, 0});
    return true;
}

/* ---- records --------------------------------------------------------------------- */

/* Read the head and the kind at @c.  Records that were not walked yet may end
 * anywhere, hence item_read() and not next(). */
static const struct wire_struct *read_head(struct cursor *c, uint32_t *count, enum msg_kind *kind)
{
    struct item head, number;
    if (!item_read(&c->at, c->end, &head) || head.type != ITEM_ARRAY || head.len == 0 ||
        !item_read(&c->at, c->end, &number)) {
        set_wrong(c, COVEY_EPROTO, "is no array with a kind");
        return NULL;
    }
    const struct wire_struct *message = NULL;
    if (number.type == ITEM_INT || number.type == ITEM_UINT)
        message = wire_message(number.v.u); /* a negative number is a huge one */
    if (!message) {
        set_wrong(c, COVEY_EPROTO, "is of no known kind");
        return NULL;
    }
    *count = head.len - 1;
    *kind = (enum msg_kind)number.v.u;
    return message;
}

/* The version comes first: another one may have other fields, or items that
 * the walk does not know, and must still be told apart from garbage. */
static bool version_fits(struct cursor *c, const struct wire_struct *message, uint32_t count)
{
    const struct wire_field *first = &message->fields[0];
    struct item item;
    if (first->type != FIELD_VERSION)
        return true;
    struct cursor ahead = *c;
    uint32_t version;
    if (count == 0 || !item_read(&ahead.at, ahead.end, &item)) {
        set_wrong(c, COVEY_EPROTO, "is missing");
        return failed_at(c, (struct step){first->name, 0});
    }
    ahead.at = c->at;
    if (!read_version(&ahead, &version)) {
        *c = ahead;
        return failed_at(c, (struct step){first->name, 0});
    }
    return true;
}

static bool decode_body(struct cursor *c, const struct wire_struct *message, struct msg *out)
{
    if (!decode_fields(c, message, (uint8_t *)&out->u))
        return false;
    assert(c->at == c->end); /* as many fields as the walk saw */
    return true;
}

static bool decode_record(struct cursor *c, struct span bytes, size_t *used, struct msg *out,
                          const char **name)
{
    uint32_t count;
    const struct wire_struct *message = read_head(c, &count, &out->kind);
    if (!message)
        return false;
    *name = message->name;
    if (!version_fits(c, message, count))
        return false;
    if (wire_walk(bytes, used) != COVEY_OK)
        return refuse(c, COVEY_EPROTO, "is truncated or malformed");
    c->end = bytes.data + *used;
    if (count != message->field_count)
        return refuse(c, COVEY_EPROTO, "%u fields instead of %u", count, message->field_count);
    if (*used > DRY_BYTES) {
        struct cursor dry = *c;
        dry.scratch = NULL;
        if (!decode_body(&dry, message, out)) {
            *c = dry;
            return false;
        }
    }
    return decode_body(c, message, out);
}

covey_status wire_decode(struct span bytes, size_t *used, struct scratch *scratch,
                         struct msg *out, char *why, size_t why_size)
{
    assert(scratch);
    struct cursor c;
    c.at = bytes.data;
    c.end = bytes.len ? bytes.data + bytes.len : bytes.data;
    c.scratch = scratch;
    c.status = COVEY_OK;
    c.path_len = 0;
    const char *name = "record";
    if (!decode_record(&c, bytes, used, out, &name)) {
        assert(c.status != COVEY_OK);
        tell_why(&c, name, why, why_size);
    }
    return c.status;
}
