/* buf.c - see buf.h for the contract.
 *
 * Capacity doubles, so n appended bytes cost O(n) copies.  Sizes are checked
 * before they are added: a request that no address space holds fails like one
 * that the allocator refuses.
 */
#include "core/buf.h"

#include <stdlib.h>

#define BUF_CAP_MIN 256u

void buf_init(struct buf *buf)
{
    *buf = (struct buf){0};
}

void buf_fini(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

bool buf_reserve(struct buf *buf, size_t extra)
{
    assert(buf->len <= buf->cap);
    if (buf->failed)
        return false;
    if (buf->cap - buf->len >= extra)
        return true;
    if (extra > SIZE_MAX / 2 || buf->len > SIZE_MAX / 2 - extra) {
        buf->failed = true;
        return false;
    }
    size_t cap = buf->cap > BUF_CAP_MIN ? buf->cap : BUF_CAP_MIN;
    while (cap < buf->len + extra)
        cap *= 2; /* cannot wrap: what is needed is at most SIZE_MAX / 2 */
    uint8_t *data = realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void buf_append(struct buf *buf, const void *data, size_t len)
{
    /* No bytes may come as a NULL pointer, which memcpy() must not see. */
    if (!buf_reserve(buf, len) || len == 0)
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}
