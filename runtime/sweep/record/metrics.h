/* metrics.h - the numbers of a report, found without building its JSON as a tree:
 * tens of thousands a second come by. */
#ifndef COVEY_SWEEP_METRICS_H
#define COVEY_SWEEP_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#define METRICS_NAME_MAX 512    /* bytes of a name, those of the objects around it included */
#define METRICS_DEPTH_MAX 16

/* Call @fn for each member that is a number, or "NaN", "Infinity" or "-Infinity" (which
 * Python prints without quotes), in order; those of nested objects as "outer/inner", those of lists not at all.  A
 * name is as the report spelt it, escapes included.  False: @json is no object,
 * or is broken; what came before was told.
 * Numbers are read in the calling thread's locale, which is to be C's. */
bool metrics_each(const char *json, void (*fn)(const char *name, size_t len, double value, void *arg),
                  void *arg);

#endif
