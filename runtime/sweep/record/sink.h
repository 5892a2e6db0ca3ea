/* sink.h - a file that only grows, and whose length is known.
 *
 * What is added waits in memory until sink_flush().  All return 0 or an errno.
 */
#ifndef COVEY_SWEEP_SINK_H
#define COVEY_SWEEP_SINK_H

#include <stdint.h>

#include "sweep/space/text.h"

struct sink {
    int fd;                     /* owned; -1: not open */
    uint64_t bytes;             /* in the file, once flushed */
    struct text pending;        /* owned: what comes next */
};
#define SINK_NONE ((struct sink){.fd = -1})

/* Open or create @dir/@name and cut it to @bytes.  Where it is shorter, it is
 * not the file that was written: it is cut to nothing, and `bytes` says 0. */
int sink_open(struct sink *s, const char *dir, const char *name, uint64_t bytes);
/* ENOMEM where adding to `pending` failed. */
int sink_flush(struct sink *s);
void sink_close(struct sink *s);

#endif
