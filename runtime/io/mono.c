/* mono.c - see mono.h for the contract. */
#include "io/mono.h"

#include <limits.h>
#include <time.h>

#include "core/types.h"

int64_t mono_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_BOOTTIME, &t) != 0) {
        /* A system has the clock or has it not: this never alternates. */
        int rc = clock_gettime(CLOCK_MONOTONIC, &t);
        assert(rc == 0);
        (void)rc;
    }
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

int mono_poll_ms(int64_t deadline_ns)
{
    if (deadline_ns == NEVER_NS)
        return -1;
    int64_t now = mono_ns();
    if (deadline_ns <= now)
        return 0;
    int64_t left_ms = (deadline_ns - now - 1) / MS_NS + 1;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}
