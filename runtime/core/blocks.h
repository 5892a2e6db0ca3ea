/* blocks.h - which blocks of an arena are free, and which have pages.
 *
 * Three bits a block: busy (the table's, or promised to somebody), warm (has
 * pages) and filling (pages were asked for).  A block that is neither warm nor
 * filling is cold: pages for it come out of the budget.  Nothing here calls
 * anybody; extents.c decides, this finds.
 *
 * Placing.  Runs of warm free blocks are taken by best fit, so that a small
 * extent does not break the run that a large object left behind.  Within a run
 * small requests come from its low end and large ones from its high end, and
 * the place that the same process had last is preferred, since its mapping of
 * those pages still exists.  Requests of HUGE_BLOCKS and more are aligned to
 * huge pages if that is possible.
 */
#ifndef COVEY_CORE_BLOCKS_H
#define COVEY_CORE_BLOCKS_H

#include "core/object.h"
#include "core/types.h"

#define HUGE_BLOCKS (2u * 1024 * 1024 / ARENA_BLOCK) /* a huge page */
#define BLOCKS_ALL UINT32_MAX                        /* "room" without a limit */

struct blocks {
    uint32_t count, table;      /* all; those at the start that are never free */
    uint32_t busy, warm, filling, warm_free;
    uint64_t *busy_bits, *warm_bits, *filling_bits; /* owned; bits past @count are busy */
    uint32_t *last;             /* owned; the process that last had the extent beginning here */
};

/* False: out of memory; nothing to undo. */
bool blocks_init(struct blocks *b, uint32_t count, uint32_t table);
void blocks_fini(struct blocks *b);

/* The first block of @n free ones, 0 for none.  All are warm. */
uint32_t blocks_find_warm(const struct blocks *b, uint32_t n, uint32_t proc);
/* The same with at most @room cold ones among them, and as few as possible:
 * *@cold tells how many. */
uint32_t blocks_find(const struct blocks *b, uint32_t n, uint32_t room, uint32_t *cold);
/* The longest free run with at most @room cold blocks in it. */
uint32_t blocks_largest(const struct blocks *b, uint32_t room);
/* How many free blocks could be lent in total if @room cold ones may be filled. */
uint32_t blocks_available(const struct blocks *b, uint32_t room);

void blocks_take(struct blocks *b, uint32_t first, uint32_t n, uint32_t proc);
void blocks_give(struct blocks *b, uint32_t first, uint32_t n);
bool blocks_are_warm(const struct blocks *b, uint32_t first, uint32_t n);
/* Some are cold, and nobody fills them. */
bool blocks_any_cold(const struct blocks *b, uint32_t first, uint32_t n);

/* The next run of cold blocks at or after *@first and before @end; with
 * @only_free of free ones. */
bool blocks_next_cold(const struct blocks *b, bool only_free, uint32_t end,
                      uint32_t *first, uint32_t *n);
/* Let a cold run grow over its cold free neighbours to the bounds of huge pages
 * and to @least blocks; at most @spare are added. */
void blocks_widen(const struct blocks *b, uint32_t least, uint32_t spare,
                  uint32_t *first, uint32_t *n);
void blocks_fill(struct blocks *b, uint32_t first, uint32_t n);
/* What was filling there is now warm, or cold again. */
void blocks_filled(struct blocks *b, uint32_t first, uint32_t n, bool ok);

bool blocks_is_free(const struct blocks *b, uint32_t block);
bool blocks_is_warm(const struct blocks *b, uint32_t block);
/* Recounts everything; asserts. */
void blocks_check(const struct blocks *b);

#endif
