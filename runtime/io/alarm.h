/* alarm.h - one libuv timer that follows a core's deadline.
 *
 * A core says when it wants its next tick; the driver tells the alarm once a
 * loop turn, which costs nothing while the deadline stays the same.
 *
 * Threads   Loop thread only.
 * Lifetime  Embedded by value.  After alarm_open() only alarm_close() ends it;
 *           the memory is the owner's again when on_closed runs, once, never
 *           from inside alarm_close().
 */
#ifndef COVEY_IO_ALARM_H
#define COVEY_IO_ALARM_H

#include <uv.h>

#include "core/types.h"

struct alarm {
    uv_timer_t timer;
    int64_t deadline_ns;            /* what the timer is armed for; NEVER_NS */
    void (*on_due)(void *ctx);
    void (*on_closed)(void *ctx);
    void *ctx;
};

/* @on_due may set the alarm again, or close it. */
void alarm_open(struct alarm *alarm, uv_loop_t *loop, void (*on_due)(void *ctx), void *ctx);
/* Ring once at @deadline_ns of mono_ns(), or within a millisecond after it; in
 * the next loop turn if that has passed; not at all for NEVER_NS. */
void alarm_set(struct alarm *alarm, int64_t deadline_ns);
/* @on_closed may be NULL. */
void alarm_close(struct alarm *alarm, void (*on_closed)(void *ctx));

#endif
