/* value.c - see value.h for the contract.
 *
 * msgpack's shortest integers do not tell signed from unsigned, so values use
 * its two families: what was put as u64 has the heads cc to cf, what was put
 * as i64 has fixints and d0 to d3.
 */
#include "wire/value.h"

#include <msgpack/pack.h>

#include "wire/wire_internal.h"

#define EXT_DEP 1

static msgpack_packer packer_on(struct buf *out)
{
    return (msgpack_packer){.data = out, .callback = wire_write};
}

void value_put_nil(struct buf *out)
{
    msgpack_packer pk = packer_on(out);
    msgpack_pack_nil(&pk);
}

void value_put_i64(struct buf *out, int64_t x)
{
    msgpack_packer pk = packer_on(out);
    if (x <= INT8_MAX)
        msgpack_pack_int64(&pk, x); /* fixint, or d0 to d3 by its size */
    else if (x <= INT16_MAX)
        msgpack_pack_fix_int16(&pk, (int16_t)x);
    else if (x <= INT32_MAX)
        msgpack_pack_fix_int32(&pk, (int32_t)x);
    else
        msgpack_pack_fix_int64(&pk, x);
}

void value_put_u64(struct buf *out, uint64_t x)
{
    msgpack_packer pk = packer_on(out);
    if (x <= INT8_MAX)
        msgpack_pack_fix_uint8(&pk, (uint8_t)x); /* a fixint would read as i64 */
    else
        msgpack_pack_uint64(&pk, x);
}

void value_put_f64(struct buf *out, double x)
{
    msgpack_packer pk = packer_on(out);
    msgpack_pack_double(&pk, x);
}

void value_put_str(struct buf *out, const char *s, size_t len)
{
    assert(len <= UINT32_MAX);
    msgpack_packer pk = packer_on(out);
    msgpack_pack_str(&pk, len);
    buf_append(out, s, len);
}

void value_put_bytes(struct buf *out, const void *data, size_t len)
{
    assert(len <= UINT32_MAX);
    msgpack_packer pk = packer_on(out);
    msgpack_pack_bin(&pk, len);
    buf_append(out, data, len);
}

void value_put_dep(struct buf *out, uint32_t dep)
{
    msgpack_packer pk = packer_on(out);
    uint32_t big_endian = __builtin_bswap32(dep);
    msgpack_pack_ext(&pk, sizeof(big_endian), EXT_DEP);
    msgpack_pack_ext_body(&pk, &big_endian, sizeof(big_endian));
}

static bool value_from_item(const struct item *item, struct value *out)
{
    switch (item->type) {
    case ITEM_NIL:
        out->kind = COVEY_NIL;
        return true;
    case ITEM_INT:
        out->kind = COVEY_I64;
        out->i64 = item->v.i;
        out->u64 = item->v.i >= 0 ? (uint64_t)item->v.i : 0;
        return true;
    case ITEM_UINT:
        out->kind = COVEY_U64;
        out->u64 = item->v.u;
        out->i64 = item->v.u <= INT64_MAX ? (int64_t)item->v.u : 0;
        return true;
    case ITEM_F64:
        out->kind = COVEY_F64;
        out->f64 = item->v.f;
        return true;
    case ITEM_STR:
    case ITEM_BIN:
        out->kind = item->type == ITEM_STR ? COVEY_STR : COVEY_BYTES;
        out->bytes = (struct span){item->data, item->len};
        return true;
    case ITEM_EXT: {
        uint32_t big_endian;
        memcpy(&big_endian, item->data, sizeof(big_endian));
        out->kind = COVEY_REF;
        out->dep = __builtin_bswap32(big_endian);
        return item->v.ext == EXT_DEP;
    }
    case ITEM_BOOL:     /* values have no booleans and no arrays */
    case ITEM_ARRAY:
    case ITEM_NONE:
        break;
    }
    return false;
}

covey_status value_next(struct span *in, struct value *out)
{
    if (in->len == 0)
        return COVEY_EAGAIN;
    const uint8_t *at = in->data, *end = at + in->len;
    struct item item;
    struct value value = {0};
    if (!item_read(&at, end, &item) || !value_from_item(&item, &value))
        return COVEY_EPROTO;
    *out = value;
    *in = (struct span){at, (uint32_t)(end - at)};
    return COVEY_OK;
}

const char *value_kind_name(covey_kind kind)
{
    static const char *const names[COVEY_KIND_COUNT] = {"nil", "i64", "u64", "f64", "str", "bytes", "ref", "handle"};
    return (unsigned)kind < COVEY_KIND_COUNT ? names[kind] : "nonsense";
}
