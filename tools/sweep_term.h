/* sweep_term.h - the terminal of a live view: its size, its keys, and how it was before.
 *
 * Keys come one by one and are not shown while the process is in the foreground; job
 * control works: Ctrl-Z gives the terminal back as it was, `fg` takes it again, and in
 * the background nothing is read or drawn.  The terminal is given back at term_close(),
 * at exit() and when a signal ends the process.
 *
 * Threads  One; there is one terminal a process.
 */
#ifndef COVEY_TOOLS_SWEEP_TERM_H
#define COVEY_TOOLS_SWEEP_TERM_H

#include <stdbool.h>
#include <stddef.h>

/* Is standard error a terminal?  Then signals are caught, and term_close() is due. */
bool term_open(void);
void term_close(void);

/* To be asked before drawing and reading.  False: not in the foreground.  *@anew: what was
 * drawn is not there any more. */
bool term_is_ours(bool *anew);
/* Ctrl-Z was pressed: term_suspend() gives the terminal back, stops the process, and
 * returns when it is continued. */
bool term_wants_suspend(void);
void term_suspend(void);

void term_size(unsigned *columns, unsigned *rows);
/* Keys that were pressed; 0: none.  Never blocks. */
size_t term_read(char *keys, size_t size);
/* A terminal that takes nothing for a second loses what is left of @data. */
void term_write(const char *data, size_t size);

#endif
