/* sweep_screen.h - lines at the bottom of a terminal, and what must be written to
 * change them.
 *
 * The cursor rests at the end of the last line.  Only lines that differ are written
 * again; where none does, nothing is.
 *
 * Pure: what is to be written is appended to a text.
 */
#ifndef COVEY_TOOLS_SWEEP_SCREEN_H
#define COVEY_TOOLS_SWEEP_SCREEN_H

#include "sweep/space/text.h"

struct screen {
    struct text lines;          /* owned: as they stand there, each with its newline */
    unsigned columns;           /* that they were written for */
};
void screen_fini(struct screen *screen);

/* Show @lines (each with its newline) in place of those that are there. */
void screen_show(struct screen *screen, const char *lines, unsigned columns, struct text *out);
/* Take them away; the cursor is where the first one began.  @columns: of the terminal now,
 * which may have been narrowed since and then has broken the lines. */
void screen_hide(struct screen *screen, unsigned columns, struct text *out);
/* They are gone: the terminal was somebody else's. */
void screen_forget(struct screen *screen);
/* @s with every control character but newline and tab made harmless. */
void screen_plain(const char *s, struct text *out);

/* How many characters @s has. */
size_t screen_width(const char *s);
/* One line: @whole, and of @rest what the @columns have room for, with "..." where that is
 * not all.  Both are made plain, newlines and tabs too. */
void screen_fit(const char *whole, const char *rest, unsigned columns, struct text *out);

#endif
