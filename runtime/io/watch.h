/* watch.h - call a function when a descriptor is ready, on a libuv loop.
 *
 * Threads   Loop thread only.
 * Lifetime  After watch_close() the callback never runs again, also not in the
 *           same turn of the loop, and the descriptor may be closed at once.
 *           The memory goes by itself when libuv lets go of the handle: run the
 *           loop once more before uv_loop_close().
 */
#ifndef COVEY_IO_WATCH_H
#define COVEY_IO_WATCH_H

#include <uv.h>

#include "core/types.h"

struct watch;

/* Call @fn while @fd is readable, at its end, or broken.  Level-triggered: what
 * is left unread is told again in the next turn.  @fd stays the caller's and is
 * made non-blocking.  @fn may close any watch, its own too.
 *
 * COVEY_ENOMEM
 * COVEY_ESYSTEM  @fd cannot be polled, or is watched already */
covey_status watch_open(struct watch **out, uv_loop_t *loop, int fd, void (*fn)(void *ctx),
                        void *ctx);
/* Sets *@watch to NULL; NULL is fine. */
void watch_close(struct watch **watch);

#endif
