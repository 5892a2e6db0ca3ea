/* spec_set.h - settings of the command line, put into a sweep file's tree.
 *
 *   --set run_cap=20
 *   --set parameters.lr.min=1e-4
 *   --set covey.scheduler='{type: hyperband, max_iter: 27}'
 *
 * The key is a path of the file's keys with dots between; what is missing on the
 * way is made.  The value is YAML, on one line.  It replaces what stood there, and the
 * tree is then read and checked as if it had all stood in the file.
 *
 *   keys below `covey` need not name it: parallel is covey.parallel
 *   run_cap and count are one, so run_cap=9 wins over the file's covey.count
 *   a number is a place in a list: command.0=python3
 *   a key of the file may have dots itself: parameters.model.lr.min, of `model.lr:`
 *   `scheduler: asha` is {type: asha} where something is set below it, and so is search
 *   `value` and `values` of a parameter that has neither replace all it was
 *
 * What an alias or << shares is changed in this one place alone.
 */
#ifndef COVEY_SWEEP_SPEC_SET_H
#define COVEY_SWEEP_SPEC_SET_H

#include "sweep/spec/yaml.h"

#define SPEC_SET_KEY_MAX 1000   /* bytes */
#define SPEC_SET_SHOWN 120      /* bytes of a setting that a message shows, and its end */

/* Put "key=value", which must outlive @doc, into @doc.  False with @why, which begins with
 * "--set key=value: "; then @doc is only good for yaml_doc_fini(). */
bool spec_set_tree(struct yaml_doc *doc, const char *line, char *why, size_t why_size);
/* @line for a message, cut where it is long.  Returns @out. */
const char *spec_set_shown(const char *line, char out[SPEC_SET_SHOWN]);

#endif
