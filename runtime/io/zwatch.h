/* zwatch.h - deliver one port's frames on one libuv loop.
 *
 * Each turn of the loop: before it may sleep, @on_turn runs, so that the driver
 * sends what the last turn made (once a turn, not once a message) and sets its
 * alarm; then, if there is input already, the loop does not sleep; at last one
 * burst is delivered through the port's ops.
 *
 * Threads   Loop thread only.
 * Fairness  At most ZWATCH_BURST frames a turn, so a loud peer cannot starve
 *           timers and the door.
 * Lifetime  zwatch_close() stops delivery at once; the port may be closed right
 *           after it.  @on_closed runs exactly once, never from inside
 *           zwatch_close(); when it returns the watch is gone.
 */
#ifndef COVEY_IO_ZWATCH_H
#define COVEY_IO_ZWATCH_H

#include <uv.h>

#include "io/port.h"

#define ZWATCH_BURST 256

struct zwatch;

/* Borrow @port until zwatch_close().  @on_turn may close the watch.
 *
 * COVEY_ENOMEM
 * COVEY_ESYSTEM  the loop cannot watch another descriptor */
covey_status zwatch_open(struct zwatch **out, uv_loop_t *loop, struct port *port,
                         void (*on_turn)(void *ctx), void *ctx);
/* Sets *@watch to NULL.  @on_closed may be NULL. */
void zwatch_close(struct zwatch **watch, void (*on_closed)(void *ctx));

#endif
