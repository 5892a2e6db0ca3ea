/* blocks.c - see blocks.h.
 *
 * Searches go over runs, found a word at a time; only searches that weigh cold
 * blocks look at single ones, and pages are about to be asked for then, which
 * costs a thousand times more.
 */
#include "core/blocks.h"

#include <stdlib.h>

/* Places looked at for one that the process had before. */
#define AFFINITY_PROBES_MAX 1024u

static bool bit(const uint64_t *words, uint32_t i)
{
    return words[i / 64] >> (i % 64) & 1;
}

/* The bits of word @w that lie in [first, end). */
static uint64_t mask_of(uint32_t w, uint32_t first, uint32_t end)
{
    uint64_t mask = UINT64_MAX;
    if (first > w * 64)
        mask &= UINT64_MAX << (first - w * 64);
    if (end < w * 64 + 64)
        mask &= (UINT64_C(1) << (end - w * 64)) - 1;
    return mask;
}

static void bits_set(uint64_t *words, uint32_t first, uint32_t n, bool on)
{
    uint32_t end = first + n;
    for (uint32_t w = first / 64; w * 64 < end; w++) {
        uint64_t mask = mask_of(w, first, end);
        words[w] = on ? words[w] | mask : words[w] & ~mask;
    }
}

static uint32_t bits_count(const uint64_t *words, uint32_t first, uint32_t n)
{
    uint32_t end = first + n, count = 0;
    for (uint32_t w = first / 64; w * 64 < end; w++)
        count += (uint32_t)__builtin_popcountll(words[w] & mask_of(w, first, end));
    return count;
}

static uint32_t word_count(const struct blocks *b)
{
    return (b->count + 63) / 64;
}

bool blocks_init(struct blocks *b, uint32_t count, uint32_t table)
{
    assert(count > table);
    assert(table > 0);
    *b = (struct blocks){.count = count, .table = table, .busy = table, .warm = table};
    uint32_t words = word_count(b);
    b->busy_bits = calloc(words, sizeof(uint64_t));
    b->warm_bits = calloc(words, sizeof(uint64_t));
    b->filling_bits = calloc(words, sizeof(uint64_t));
    b->last = calloc(count, sizeof(uint32_t));
    if (!b->busy_bits || !b->warm_bits || !b->filling_bits || !b->last) {
        blocks_fini(b);
        return false;
    }
    bits_set(b->busy_bits, 0, table, true);
    bits_set(b->busy_bits, count, words * 64 - count, true);
    bits_set(b->warm_bits, 0, table, true);
    return true;
}

void blocks_fini(struct blocks *b)
{
    free(b->busy_bits);
    free(b->warm_bits);
    free(b->filling_bits);
    free(b->last);
    *b = (struct blocks){0};
}

bool blocks_is_free(const struct blocks *b, uint32_t block)
{
    return !bit(b->busy_bits, block);
}

bool blocks_is_warm(const struct blocks *b, uint32_t block)
{
    return bit(b->warm_bits, block);
}

static bool is_cold(const struct blocks *b, uint32_t block)
{
    return !bit(b->warm_bits, block) && !bit(b->filling_bits, block);
}

/* ---- runs ---------------------------------------------------------------- */

enum run_kind { RUN_FREE, RUN_FREE_WARM, RUN_COLD, RUN_FREE_COLD };

static uint64_t word_of(const struct blocks *b, enum run_kind kind, uint32_t w)
{
    switch (kind) {
    case RUN_FREE:
        return ~b->busy_bits[w];
    case RUN_FREE_WARM:
        return ~b->busy_bits[w] & b->warm_bits[w];
    case RUN_COLD:
        return ~b->warm_bits[w] & ~b->filling_bits[w];
    case RUN_FREE_COLD:
        return ~b->busy_bits[w] & ~b->warm_bits[w] & ~b->filling_bits[w];
    }
    return 0;
}

/* The first block at or after @from that is of the kind, or is not; @limit if
 * there is none before. */
static uint32_t seek(const struct blocks *b, enum run_kind kind, bool is, uint32_t from,
                     uint32_t limit)
{
    for (uint32_t w = from / 64; w * 64 < limit; w++) {
        uint64_t word = word_of(b, kind, w);
        word = (is ? word : ~word) & mask_of(w, from, limit);
        if (word)
            return w * 64 + (uint32_t)__builtin_ctzll(word);
    }
    return limit;
}

/* The next run at or after *@end; false when there is none. */
static bool next_run(const struct blocks *b, enum run_kind kind, uint32_t *first, uint32_t *end)
{
    *first = seek(b, kind, true, *end, b->count);
    *end = seek(b, kind, false, *first, b->count);
    return *first < b->count;
}

/* ---- finding ------------------------------------------------------------- */

static uint32_t align_up(uint32_t n, uint32_t step)
{
    return (n + step - 1) / step * step;
}

/* Where in the free run [first, end) a request of @n goes, 0 if nowhere;
 * *@affine: the same process was there before. */
static uint32_t place_in_run(const struct blocks *b, uint32_t first, uint32_t end, uint32_t n,
                             uint32_t step, uint32_t proc, uint32_t *probes, bool *affine)
{
    *affine = false;
    uint32_t low = align_up(first, step);
    if (end < n || low > end - n)
        return 0;
    uint32_t high = (end - n) / step * step;
    bool down = n > HUGE_BLOCKS;
    uint32_t at = down ? high : low;
    for (; *probes && at >= low && at <= high; (*probes)--, at = down ? at - step : at + step) {
        if (b->last[at] == proc) {
            *affine = true;
            return at;
        }
    }
    return down ? high : low;
}

static uint32_t find_warm_step(const struct blocks *b, uint32_t n, uint32_t step, uint32_t proc)
{
    uint32_t best = 0, best_len = UINT32_MAX, probes = AFFINITY_PROBES_MAX;
    bool best_affine = false;
    for (uint32_t first, end = 0; next_run(b, RUN_FREE_WARM, &first, &end);) {
        uint32_t len = end - first;
        if (len < n || len > best_len || (len == best_len && best_affine))
            continue;
        bool affine;
        uint32_t at = place_in_run(b, first, end, n, step, proc, &probes, &affine);
        if (at && (len < best_len || affine)) {
            best = at;
            best_len = len;
            best_affine = affine;
        }
    }
    return best;
}

uint32_t blocks_find_warm(const struct blocks *b, uint32_t n, uint32_t proc)
{
    assert(n > 0);
    if (b->warm_free < n)
        return 0;
    uint32_t at = n >= HUGE_BLOCKS ? find_warm_step(b, n, HUGE_BLOCKS, proc) : 0;
    return at ? at : find_warm_step(b, n, 1, proc);
}

static uint32_t find_step(const struct blocks *b, uint32_t n, uint32_t step, uint32_t *cold)
{
    uint32_t best = 0;
    *cold = UINT32_MAX;
    for (uint32_t first, end = 0; next_run(b, RUN_FREE, &first, &end);) {
        if (end - first < n)
            continue;
        uint32_t count = 0;
        for (uint32_t i = first; i < end; i++) {
            count += is_cold(b, i);
            if (i - first >= n)
                count -= is_cold(b, i - n);
            if (i + 1 - first < n || (i + 1 - n) % step)
                continue;
            if (count < *cold || (count == *cold && n > HUGE_BLOCKS)) {
                best = i + 1 - n;
                *cold = count;
            }
        }
    }
    return best;
}

uint32_t blocks_find(const struct blocks *b, uint32_t n, uint32_t room, uint32_t *cold)
{
    assert(n > 0);
    uint32_t at = n >= HUGE_BLOCKS ? find_step(b, n, HUGE_BLOCKS, cold) : 0;
    if (!at || *cold > room)
        at = find_step(b, n, 1, cold);
    return at && *cold <= room ? at : 0;
}

uint32_t blocks_largest(const struct blocks *b, uint32_t room)
{
    uint32_t best = 0;
    for (uint32_t first, end = 0; next_run(b, RUN_FREE, &first, &end);) {
        if (room == BLOCKS_ALL) {
            best = end - first > best ? end - first : best;
            continue;
        }
        uint32_t left = first, cold = 0;
        for (uint32_t i = first; i < end; i++) {
            for (cold += is_cold(b, i); cold > room; left++)
                cold -= is_cold(b, left);
            best = i + 1 - left > best ? i + 1 - left : best;
        }
    }
    return best;
}

uint32_t blocks_available(const struct blocks *b, uint32_t room)
{
    uint32_t cold = 0;
    for (uint32_t w = 0; w < word_count(b); w++)
        cold += (uint32_t)__builtin_popcountll(word_of(b, RUN_FREE_COLD, w));
    uint32_t ready = b->count - b->busy - cold;
    return ready + (cold < room ? cold : room);
}

/* ---- changing ------------------------------------------------------------ */

void blocks_take(struct blocks *b, uint32_t first, uint32_t n, uint32_t proc)
{
    assert(bits_count(b->busy_bits, first, n) == 0);
    bits_set(b->busy_bits, first, n, true);
    b->busy += n;
    b->warm_free -= bits_count(b->warm_bits, first, n);
    b->last[first] = proc;
}

void blocks_give(struct blocks *b, uint32_t first, uint32_t n)
{
    assert(first >= b->table);
    assert(bits_count(b->busy_bits, first, n) == n);
    bits_set(b->busy_bits, first, n, false);
    b->busy -= n;
    b->warm_free += bits_count(b->warm_bits, first, n);
}

bool blocks_are_warm(const struct blocks *b, uint32_t first, uint32_t n)
{
    return bits_count(b->warm_bits, first, n) == n;
}

bool blocks_any_cold(const struct blocks *b, uint32_t first, uint32_t n)
{
    return seek(b, RUN_COLD, true, first, first + n) < first + n;
}

bool blocks_next_cold(const struct blocks *b, bool only_free, uint32_t end,
                      uint32_t *first, uint32_t *n)
{
    enum run_kind kind = only_free ? RUN_FREE_COLD : RUN_COLD;
    *first = seek(b, kind, true, *first, end);
    *n = seek(b, kind, false, *first, end) - *first;
    return *first < end;
}

void blocks_widen(const struct blocks *b, uint32_t least, uint32_t spare,
                  uint32_t *first, uint32_t *n)
{
    for (; spare && *first % HUGE_BLOCKS; spare--, (*first)--, (*n)++)
        if (!blocks_is_free(b, *first - 1) || !is_cold(b, *first - 1))
            break;
    for (; spare && (*n < least || (*first + *n) % HUGE_BLOCKS); spare--, (*n)++) {
        uint32_t next = *first + *n;
        if (next >= b->count || !blocks_is_free(b, next) || !is_cold(b, next))
            break;
    }
}

void blocks_fill(struct blocks *b, uint32_t first, uint32_t n)
{
    assert(bits_count(b->filling_bits, first, n) == 0);
    assert(bits_count(b->warm_bits, first, n) == 0);
    bits_set(b->filling_bits, first, n, true);
    b->filling += n;
}

void blocks_filled(struct blocks *b, uint32_t first, uint32_t n, bool ok)
{
    for (uint32_t i = first; i < first + n; i++) {
        if (!bit(b->filling_bits, i))
            continue;
        bits_set(b->filling_bits, i, 1, false);
        b->filling--;
        if (!ok)
            continue;
        bits_set(b->warm_bits, i, 1, true);
        b->warm++;
        b->warm_free += blocks_is_free(b, i);
    }
}

void blocks_check(const struct blocks *b)
{
    uint32_t warm_free = 0;
    assert(bits_count(b->busy_bits, 0, b->count) == b->busy);
    assert(bits_count(b->warm_bits, 0, b->count) == b->warm);
    assert(bits_count(b->filling_bits, 0, b->count) == b->filling);
    for (uint32_t w = 0; w < word_count(b); w++) {
        warm_free += (uint32_t)__builtin_popcountll(word_of(b, RUN_FREE_WARM, w));
        assert((b->warm_bits[w] & b->filling_bits[w]) == 0);
    }
    assert(warm_free == b->warm_free);
}
