/* lines.h - bytes that come in pieces, cut into lines.
 *
 * They come from processes of users, so nothing about them is believed: a line
 * may hold any bytes but its end, and one beyond LINE_BYTES_MAX is left out.
 * What is kept between two pieces is at most one line's beginning.
 */
#ifndef COVEY_WORKER_LINES_H
#define COVEY_WORKER_LINES_H

#include "core/buf.h"

#define LINE_BYTES_MAX (64u * 1024)     /* without its end */

struct lines {
    struct buf part;                    /* a line that has not ended */
    bool skipping;                      /* it is too long: the rest of it is left out, too */
};

/* @line is borrowed until return, without its end; it may be empty. */
typedef void (*lines_fn)(void *ctx, struct span line);

void lines_init(struct lines *l);
void lines_fini(struct lines *l);
/* Call @fn with each line that ends in @data.  False: one was left out, because
 * it is too long or there was no memory for it; the others are there. */
bool lines_add(struct lines *l, struct span data, lines_fn fn, void *ctx);
/* The stream has ended: so has its last line, if something of it is there. */
void lines_end(struct lines *l, lines_fn fn, void *ctx);

#endif
