/* clock.c - see clock.h for the contract. */
#include "base/clock.h"

#include <assert.h>
#include <time.h>

static int64_t read_ms(clockid_t clock)
{
    struct timespec t;
    int rc = clock_gettime(clock, &t);
    assert(rc == 0);
    (void)rc;
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

int64_t clock_mono_ms(void) { return read_ms(CLOCK_MONOTONIC); }

int64_t clock_unix_ms(void) { return read_ms(CLOCK_REALTIME); }
