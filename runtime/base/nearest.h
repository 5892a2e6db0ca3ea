/* nearest.h - what somebody who mistyped a word may have meant.
 *
 * Near is what few edits reach: a letter inserted, deleted, replaced, or swapped
 * with its neighbour.  Where a third of the letters would have to be wrong,
 * nothing is near.
 *
 * Pure; any thread.
 */
#ifndef COVEY_BASE_NEAREST_H
#define COVEY_BASE_NEAREST_H

/* The nearest of @words (NULL-ended) to @typed; NULL: none is near. */
const char *nearest_word(const char *typed, const char *const *words);

/* The same of words that stand in no array: offer them one by one. */
struct nearest {
    const char *typed;          /* borrowed, as the words are */
    const char *word;           /* the nearest so far; NULL: none */
    unsigned edits;             /* a word is taken that needs fewer */
};
struct nearest nearest_to(const char *typed);
void nearest_offer(struct nearest *n, const char *word);

#endif
