/* size.h - units of sizes, as people write them.
 *
 * Pure; any thread.
 */
#ifndef COVEY_BASE_SIZE_H
#define COVEY_BASE_SIZE_H

#include <stdint.h>

/* The bytes of one @unit: K M G T and KiB ... count in 1024s, KB MB GB TB in 1000s, in
 * capitals or not; "" and B are 1.  0: no unit. */
uint64_t size_unit_bytes(const char *unit);

#endif
