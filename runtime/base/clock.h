/* clock.h - milliseconds, for limits of time and for people.
 *
 * Any thread.
 */
#ifndef COVEY_BASE_CLOCK_H
#define COVEY_BASE_CLOCK_H

#include <stdint.h>

/* Of CLOCK_MONOTONIC: never goes back, and stands still while the machine sleeps. */
int64_t clock_mono_ms(void);
/* Since 1970.  For people: it may jump, so nothing waits for it. */
int64_t clock_unix_ms(void);

#endif
