/* nearest.h - what somebody who mistyped a word may have meant. */
#ifndef COVEY_SWEEP_NEAREST_H
#define COVEY_SWEEP_NEAREST_H

#include <stddef.h>

/* The one of @words (NULL-ended) that is reached from @typed by the fewest edits: a
 * letter inserted, deleted, replaced, or swapped with its neighbour.  NULL: none
 * is near, which is when a third of the letters would have to be wrong. */
const char *nearest_word(const char *typed, const char *const *words);

#endif
