/* listing.h - rows on standard output: a table for people, or JSON.
 *
 * JSON: one object a line, the first {"schema": "covey.NAME/1"}.  Keys are the
 * columns' names, which carry their units; what a column's type is never
 * depends on a value, and an unknown number is null.  Bytes that are not UTF-8
 * become U+FFFD, so that every line is valid JSON.
 *
 * A table is shown when it is complete, since widths follow from all rows; the
 * query's limit bounds them.
 */
#ifndef COVEY_TOOLS_LISTING_H
#define COVEY_TOOLS_LISTING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum column_type { COLUMN_TEXT, COLUMN_NUMBER, COLUMN_BYTES };

struct column {
    const char *name;           /* a JSON key; dashes and units stay in tables, too */
    enum column_type type;
};

struct listing;

/* NULL: out of memory.  @columns is borrowed until listing_close(). */
struct listing *listing_open(FILE *f, const char *schema, const struct column *columns,
                           uint32_t count, bool json);
/* @cells[i] belongs to column i; missing ones are empty, more are ignored. */
void listing_row(struct listing *o, const char *const *cells, uint32_t count);
uint32_t listing_rows(const struct listing *o);
/* False: memory ran out or writing failed, and something is missing. */
bool listing_close(struct listing **listing);

/* @text as a JSON string, quotes included. */
void json_string(FILE *f, const char *text);
/* Is @text a number as JSON has them? */
bool json_is_number(const char *text);

#endif
