/* nearest.c - see nearest.h for the contract. */
#include "base/nearest.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define LENGTH_MAX 63           /* longer words are not compared */

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* By dynamic programming over the prefixes of both; the last three rows are kept. */
static unsigned distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned row[3][LENGTH_MAX + 1];
    assert(la <= LENGTH_MAX);
    assert(lb <= LENGTH_MAX);
    for (size_t j = 0; j <= lb; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *now = row[i % 3];
        const unsigned *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            now[j] = min3(now[j - 1] + 1, last[j] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
    }
    return row[la % 3][lb];
}

struct nearest nearest_to(const char *typed)
{
    size_t len = strlen(typed);
    bool comparable = len > 0 && len <= LENGTH_MAX;
    return (struct nearest){.typed = typed, .edits = comparable ? (unsigned)(len + 2) / 3 + 1 : 0};
}

void nearest_offer(struct nearest *n, const char *word)
{
    if (n->edits == 0 || strlen(word) > LENGTH_MAX)
        return;
    unsigned edits = distance(n->typed, word);
    if (edits < n->edits && edits < strlen(word)) {
        n->word = word;
        n->edits = edits;
    }
}

const char *nearest_word(const char *typed, const char *const *words)
{
    struct nearest n = nearest_to(typed);
    for (; *words; words++)
        nearest_offer(&n, *words);
    return n.word;
}
