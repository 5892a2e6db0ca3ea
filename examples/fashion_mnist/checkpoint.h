/* checkpoint.h - a training on disk: epoch, network, velocity.
 *
 *   DIR/network     as of the last epoch that was saved; replaced as a whole, so that
 *                   whoever is killed at any instant leaves the one or the other
 */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "trainer.h"

/* False with @why: it could not be written, and the one of before is still there. */
bool checkpoint_save(const char *dir, const struct trainer *t, uint32_t epoch, char *why, size_t why_size);
/* Fill @t with what @dir has.  The epoch it was saved after; 0: there is none.  -1 with @why:
 * it cannot be read, or is of a network of another shape. */
long checkpoint_load(const char *dir, struct trainer *t, char *why, size_t why_size);

#endif
