/* mono.h - the clock of leases and deadlines.
 *
 * A core gets its @now from mono_ns().  The wall clock (base/clock.h) is for people
 * only: no lease, deadline or order ever depends on it.
 *
 * Threads: any.
 */
#ifndef COVEY_IO_MONO_H
#define COVEY_IO_MONO_H

#include <stdint.h>

/* Nanoseconds of CLOCK_BOOTTIME, so that a machine that slept finds its leases
 * run out; of CLOCK_MONOTONIC where there is no such clock.  Never goes back. */
int64_t mono_ns(void);

/* How long until @deadline_ns (of mono_ns) in milliseconds for poll(): rounded
 * up, so that nobody wakes before it; -1 for NEVER_NS, 0 when it has passed. */
int mono_poll_ms(int64_t deadline_ns);

#endif
