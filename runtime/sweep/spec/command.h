/* command.h - a trial's command line, from the file's elements and a point.
 *
 * An element that is wholly one of W&B's macros becomes what it stands for; one
 * that is wholly an unknown ${...} is refused when the file is read; in text,
 * only ${envvar:NAME} is expanded, so Hydra's own ${now:...} passes.
 */
#ifndef COVEY_SWEEP_COMMAND_H
#define COVEY_SWEEP_COMMAND_H

#include "sweep/spec/spec.h"

/* The default: what W&B's agent runs. */
extern const char *const command_default[];

/* Is @element, one word of `command`, allowed?  False with the nearest macro's name in @why. */
bool command_check(const char *element, char *why, size_t why_size);

/* The NULL-ended argv of a trial at @x, which the caller frees with
 * command_free().  @json_file is the path that ${args_json_file} stands for; the
 * caller writes space_print_json() there.  NULL with @why: a macro cannot be
 * expanded (no program, no such variable), or out of memory. */
char **command_expand(const struct spec *spec, const double *x, const char *json_file,
                      char *why, size_t why_size);
void command_free(char **argv);
/* The same of a point in the middle of the space: can the command be expanded at all? */
char **command_example(const struct spec *spec, const char *json_file, char *why, size_t why_size);
/* Does the command use ${args_json_file}? */
bool command_needs_json_file(const struct spec *spec);
/* ${interpreter}: python of the active virtual environment, else python3, else
 * python.  (command_expand() leaves it out where the program is no .py file and is
 * executable.)  Static. */
const char *command_interpreter(void);

#endif
