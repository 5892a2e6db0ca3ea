/* tree.h - directories with all that is in them.
 *
 * Links in them are neither followed nor lost.  Any thread.
 */
#ifndef COVEY_SWEEP_TREE_H
#define COVEY_SWEEP_TREE_H

#include <stdbool.h>

/* Remove @path as far as that goes; what is not there is no error. */
void tree_remove(const char *path);
/* Replace the tree @to by a copy of @from, or leave it as it was.  Where @from itself is a
 * link, what it leads to is copied, so that two never share it.  False with errno.  Files
 * that vanish meanwhile are left out. */
bool tree_copy(const char *from, const char *to);

#endif
