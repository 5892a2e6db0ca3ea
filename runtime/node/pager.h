/* pager.h - a thread that gives pages to the arena, so that the loop does not.
 *
 * Requests are served in order, one at a time: populating is bound by the
 * kernel's clearing of pages, and two at once only share that.
 *
 * Threads: the loop thread calls everything here; the results wait
 * until they are fetched, and a descriptor announces them.
 */
#ifndef COVEY_NODE_PAGER_H
#define COVEY_NODE_PAGER_H

#include "core/types.h"

struct pager;

/* At most @requests_max are unanswered at a time: no block is asked for again
 * before it was answered, so the arena's blocks are enough.
 * @populate runs on the pager's thread; true if the blocks have pages now.
 * COVEY_ENOMEM, COVEY_ESYSTEM (no thread). */
covey_status pager_open(struct pager **out, uint32_t requests_max,
                        bool (*populate)(void *ctx, uint32_t first_block, uint32_t blocks), void *ctx);
/* Waits for the request that runs; the others are forgotten. */
void pager_close(struct pager **pager);

/* Never blocks, never fails. */
void pager_ask(struct pager *pager, uint32_t first_block, uint32_t blocks);
/* Readable when pager_next() has something. */
int pager_fd(const struct pager *pager);
bool pager_next(struct pager *pager, uint32_t *first_block, uint32_t *blocks, bool *ok);

#endif
