/* settings.h - what was set on top of a sweep's file: of old, as the record keeps it, a line
 * each, and what the call that is under way adds.  All of it is put into the file's tree,
 * in this order, each time that the sweep is opened.
 */
#ifndef COVEY_SWEEP_SETTINGS_H
#define COVEY_SWEEP_SETTINGS_H

#include "covey/sweep.h"
#include "sweep/space/text.h"

struct settings {
    char *kept;                 /* owned: the record's text, cut into its lines */
    char run_cap[32], parallel[32]; /* of opts->count and opts->parallel */
    const char **lines;         /* owned, NULL-ended; their texts are opts', or above */
};
#define SETTINGS_NONE ((struct settings){.kept = NULL})

/* Takes @kept (NULL: nothing was set), also on failure; borrows @opts, and must stay where it is.
 * Whether they fit the file is seen by spec_read_with().
 *
 * COVEY_EINVAL  what @opts add is more than limits, and @resumes
 * COVEY_ENOMEM  out of memory */
covey_status settings_gather(struct settings *s, char *kept, const covey_sweep_opts *opts, bool resumes);
/* As the record keeps them. */
void settings_print(const struct settings *s, struct text *out);
void settings_fini(struct settings *s);

#endif
