/* buf.h - a growing byte buffer.
 *
 * Appending never fails at once: when memory runs out @failed is set, later
 * appends do nothing, and whoever uses the bytes looks at @failed first.
 */
#ifndef COVEY_CORE_BUF_H
#define COVEY_CORE_BUF_H

#include "core/types.h"

struct buf {
    uint8_t *data;      /* owned */
    size_t len, cap;
    bool failed;
};

void buf_init(struct buf *buf);
void buf_fini(struct buf *buf);
static inline void buf_reset(struct buf *buf) { buf->len = 0; buf->failed = false; }
/* Room for @extra more bytes. */
bool buf_reserve(struct buf *buf, size_t extra);
void buf_append(struct buf *buf, const void *data, size_t len);
static inline struct span buf_span(const struct buf *buf) { return span_of(buf->data, buf->len); }

#endif
