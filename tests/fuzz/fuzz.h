/* fuzz.h - the entry that libFuzzer calls, and what a target checks with.
 *
 * A broken invariant must end the process in every build, so targets do not
 * use assert(): it may be compiled out.
 */
#ifndef COVEY_TESTS_FUZZ_H
#define COVEY_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* @data is borrowed until return.  Always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                 \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                          \
        }                                                                     \
    } while (0)

#endif
