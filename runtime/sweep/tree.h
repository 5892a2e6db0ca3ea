/* tree.h - directories with all that is in them.
 *
 * Links in them are neither followed nor lost.  Any thread; two may not work on one tree.
 * Where *@stop turns true the work ends after the file, or the 64 MiB of one, that it is at;
 * NULL: it does not end before it is done.
 */
#ifndef COVEY_SWEEP_TREE_H
#define COVEY_SWEEP_TREE_H

#include <stdatomic.h>
#include <stdbool.h>

#define TREE_FRESH ".new"       /* what a tree's unfinished copy has behind its name */

/* Remove @path as far as that goes; what is not there is no error. */
void tree_remove(const char *path, const atomic_bool *stop);
/* Replace the tree @to by a copy of @from, or leave it as it was.  Where @from itself is a
 * link, what it leads to is copied, so that two never share it.  False with errno: ECANCELED
 * where it was stopped.  Files that vanish meanwhile are left out.
 *
 * The copy is made at @to.new and changes places with @to when it is whole, in one step;
 * where the file system has no such step, @to is first removed, and a crash in between
 * leaves neither.  What is at @to.new after that, or after a stop, is for tree_tidy(). */
bool tree_copy(const char *from, const char *to, const atomic_bool *stop);
/* Remove what tree_copy() left at @to.new. */
void tree_tidy(const char *to, const atomic_bool *stop);

#endif
