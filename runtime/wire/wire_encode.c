/* wire_encode.c - struct msg to msgpack, field by field along the schema.
 *
 * The pieces go through msgpack-c's packer straight into the caller's buffer.
 * The encoder refuses what the decoder would refuse, so that a bad field is
 * found where it was made and not by the peer, which would drop us for it.
 */
#include "wire/wire_internal.h"

#include <msgpack/pack.h>

struct encoder {
    struct buf *out;
    size_t start;               /* of the record in @out */
    covey_status status;        /* why it stopped */
};

/* A packer of one's own in each function: its callback is then a constant that
 * compilers inline, which makes encoding twice as fast. */
#define PACKER(e) (&(msgpack_packer){.data = (e)->out, .callback = wire_write})

static bool stop(struct encoder *e, covey_status why)
{
    e->status = why;
    return false;
}

static bool encode_i64(struct encoder *e, const struct wire_field *f, const void *p)
{
    int64_t x = *(const int64_t *)p;
    if (x < f->min)
        return stop(e, COVEY_EINVAL);
    msgpack_pack_int64(PACKER(e), x);
    return true;
}

static bool encode_span(struct encoder *e, const struct wire_field *f, const void *p)
{
    struct span span = *(const struct span *)p;
    if (span.len > f->max || e->out->len - e->start + span.len > MSG_BYTES_MAX)
        return stop(e, COVEY_ETOOBIG);
    if (f->type == FIELD_TEXT)
        msgpack_pack_str(PACKER(e), span.len);
    else
        msgpack_pack_bin(PACKER(e), span.len);
    if (span.len > 0) /* else it may be NULL */
        wire_write(e->out, (const char *)span.data, span.len);
    return true;
}

static void encode_hash(struct encoder *e, const struct hash128 *hash)
{
    uint64_t big_endian[2] = {__builtin_bswap64(hash->hi), __builtin_bswap64(hash->lo)};
    _Static_assert(sizeof(big_endian) == HASH_BYTES, "a hash is two words");
    msgpack_pack_bin(PACKER(e), HASH_BYTES);
    msgpack_pack_bin_body(PACKER(e), big_endian, HASH_BYTES);
}

static bool encode_name(struct encoder *e, const struct wire_field *f, const char *name)
{
    size_t len = strnlen(name, f->max);
    if (len == 0 || len == f->max)
        return stop(e, COVEY_EINVAL);
    msgpack_pack_str(PACKER(e), len);
    msgpack_pack_str_body(PACKER(e), name, len);
    return true;
}

static bool encode_fields(struct encoder *e, const struct wire_struct *s, const uint8_t *base);

static bool encode_struct(struct encoder *e, const struct wire_struct *s, const void *p)
{
    if (!s->bare)
        msgpack_pack_array(PACKER(e), s->field_count);
    return encode_fields(e, s, p);
}

/* @elements of @f->of; the count is that of the array field @f in @base. */
static bool encode_elements(struct encoder *e, const struct wire_field *f, const uint8_t *base,
                            const uint8_t *elements)
{
    uint32_t count = *(const uint32_t *)(const void *)(base + f->count_at);
    if (count > f->max)
        return stop(e, COVEY_ETOOBIG);
    assert(elements || count == 0);
    msgpack_pack_array(PACKER(e), count);
    for (uint32_t i = 0; i < count; i++, elements += f->of->size) {
        if (!encode_struct(e, f->of, elements))
            return false;
        /* Do not fill memory with what will be refused. */
        if (e->out->len - e->start > MSG_BYTES_MAX)
            return stop(e, COVEY_ETOOBIG);
    }
    return true;
}

static bool encode_inline(struct encoder *e, const struct wire_field *f, const uint8_t *base)
{
    const uint8_t *elements = base + f->at;
    if (!encode_elements(e, f, base, elements))
        return false;
    uint32_t count = *(const uint32_t *)(const void *)(base + f->count_at);
    return wire_names_differ(f->of, elements, count) || stop(e, COVEY_EINVAL);
}

static bool encode_field(struct encoder *e, const struct wire_field *f, const uint8_t *base)
{
    const void *p = base + f->at;
    switch (f->type) {
    case FIELD_U32:
        if (*(const uint32_t *)p > f->max)
            return stop(e, COVEY_EINVAL);
        msgpack_pack_uint32(PACKER(e), *(const uint32_t *)p);
        return true;
    case FIELD_U64:
        msgpack_pack_uint64(PACKER(e), *(const uint64_t *)p);
        return true;
    case FIELD_I32:
        msgpack_pack_int32(PACKER(e), *(const int32_t *)p);
        return true;
    case FIELD_I64:
        return encode_i64(e, f, p);
    case FIELD_BOOL:
        if (*(const bool *)p)
            msgpack_pack_true(PACKER(e));
        else
            msgpack_pack_false(PACKER(e));
        return true;
    case FIELD_VERSION:
        msgpack_pack_uint32(PACKER(e), *(const uint32_t *)p);
        return true;
    case FIELD_TEXT:
    case FIELD_BYTES:
        return encode_span(e, f, p);
    case FIELD_HASH:
        encode_hash(e, p);
        return true;
    case FIELD_NAME:
        return encode_name(e, f, p);
    case FIELD_STRUCT:
        return encode_struct(e, f->of, p);
    case FIELD_ARRAY: {
        const uint8_t *elements;
        memcpy(&elements, p, sizeof(elements)); /* whatever it points to */
        return encode_elements(e, f, base, elements);
    }
    case FIELD_INLINE:
        return encode_inline(e, f, base);
    }
    assert(!"no such field type");
    return false;
}

static bool encode_fields(struct encoder *e, const struct wire_struct *s, const uint8_t *base)
{
    for (const struct wire_field *f = s->fields; f < s->fields + s->field_count; f++)
        if (!encode_field(e, f, base))
            return false;
    return true;
}

covey_status wire_encode(struct buf *out, const struct msg *msg)
{
    const struct wire_struct *message = wire_message(msg->kind);
    assert(message);
    struct encoder e = {
        .out = out,
        .start = out->len,
        .status = COVEY_OK,
    };
    msgpack_pack_array(PACKER(&e), 1u + message->field_count);
    msgpack_pack_uint32(PACKER(&e), msg->kind);
    if (encode_fields(&e, message, (const uint8_t *)&msg->u)) {
        if (out->failed)
            e.status = COVEY_ENOMEM;
        else if (out->len - e.start > MSG_BYTES_MAX)
            e.status = COVEY_ETOOBIG;
    }
    if (e.status != COVEY_OK)
        out->len = e.start; /* not half a record */
    return e.status;
}
