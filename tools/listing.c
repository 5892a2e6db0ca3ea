/* listing.c - see listing.h for the contract. */
#include "listing.h"

#include <stdlib.h>
#include <string.h>

#include "args.h"

#define COLUMN_GAP 2

struct listing {
    FILE *f;
    const struct column *columns;   /* borrowed */
    uint32_t column_count, row_count, row_cap;
    bool json, failed;
    char **cells;                   /* owned, of a table: row after row */
};

/* ---- JSON ---------------------------------------------------------------------- */

/* The length of the UTF-8 sequence at @s, 0 if it is none. */
static unsigned utf8_length(const unsigned char *s)
{
    static const struct { unsigned char mask, lead; uint32_t least; } forms[] = {
        {0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000},
    };
    for (unsigned n = 0; n < 4; n++) {
        if ((s[0] & forms[n].mask) != forms[n].lead)
            continue;
        uint32_t code = s[0] & (unsigned char)~forms[n].mask;
        for (unsigned i = 1; i <= n; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return 0;       /* also where the string ends */
            code = code << 6 | (s[i] & 0x3f);
        }
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        return code >= forms[n].least && code <= 0x10ffff && !surrogate ? n + 1 : 0;
    }
    return 0;
}

void json_string(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        unsigned len = utf8_length(s);
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if (*s == '\n')
            fputs("\\n", f);
        else if (*s == '\t')
            fputs("\\t", f);
        else if (*s < 0x20 || *s == 0x7f)
            fprintf(f, "\\u%04x", *s);
        else if (len == 0)
            fputs("\\ufffd", f);
        else
            fwrite(s, 1, len, f);
        s += len ? len : 1;
    }
    fputc('"', f);
}

static const char *skip_digits(const char *s)
{
    return s + strspn(s, "0123456789");
}

bool json_is_number(const char *text)
{
    const char *s = text + (*text == '-'), *whole = s;
    s = skip_digits(s);
    if (s == whole || (*whole == '0' && s > whole + 1))
        return false;
    if (*s == '.') {
        const char *fraction = ++s;
        if ((s = skip_digits(s)) == fraction)
            return false;
    }
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '-' || s[1] == '+');
        const char *exponent = s;
        if ((s = skip_digits(s)) == exponent)
            return false;
    }
    return *s == 0;
}

static void json_row(struct listing *o, const char *const *cells, uint32_t count)
{
    for (uint32_t i = 0; i < o->column_count; i++) {
        const char *cell = i < count ? cells[i] : "";
        fputs(i ? ", " : "{", o->f);
        json_string(o->f, o->columns[i].name);
        fputs(": ", o->f);
        if (o->columns[i].type == COLUMN_TEXT)
            json_string(o->f, cell);
        else
            fputs(json_is_number(cell) ? cell : "null", o->f);
    }
    fputs("}\n", o->f);
}

/* ---- tables ----------------------------------------------------------------------- */

/* How many columns of a terminal @text takes: one per character, about. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static char *shown_cell(const struct column *column, const char *cell)
{
    uint64_t bytes;
    char text[32];
    if (column->type == COLUMN_BYTES && args_uint(cell, &bytes))
        return strdup(args_format_size(text, sizeof text, bytes));
    char *copy = strdup(*cell ? cell : "-");
    /* One row is one line, and control characters are no business of a terminal's. */
    for (char *p = copy; p && *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    return copy;
}

static bool grow(struct listing *o)
{
    uint32_t cap = o->row_cap ? o->row_cap * 2 : 64;
    char **cells = reallocarray(o->cells, cap, o->column_count * sizeof *cells);
    if (!cells)
        return false;
    o->cells = cells;
    o->row_cap = cap;
    return true;
}

static void keep_row(struct listing *o, const char *const *cells, uint32_t count)
{
    if (o->row_count == o->row_cap && !grow(o)) {
        o->failed = true;
        return;
    }
    char **row = o->cells + (size_t)o->row_count * o->column_count;
    for (uint32_t i = 0; i < o->column_count; i++) {
        row[i] = shown_cell(&o->columns[i], i < count ? cells[i] : "");
        o->failed = o->failed || !row[i];
    }
    o->row_count++;
}

static const char *cell_at(const struct listing *o, uint32_t row, uint32_t column)
{
    const char *cell = o->cells[(size_t)row * o->column_count + column];
    return cell ? cell : "";
}

static void print_cell(const struct listing *o, uint32_t column, const char *text, int width)
{
    int pad = width - width_of(text);
    bool right = o->columns[column].type != COLUMN_TEXT, last = column + 1 == o->column_count;
    fprintf(o->f, "%*s%s", right ? pad : 0, "", text);
    if (!last)
        fprintf(o->f, "%*s", (right ? 0 : pad) + COLUMN_GAP, "");
}

static void print_table(struct listing *o)
{
    int *width = calloc(o->column_count, sizeof *width);
    if (!width) {
        o->failed = true;
        return;
    }
    for (uint32_t c = 0; c < o->column_count; c++) {
        width[c] = width_of(o->columns[c].name);
        for (uint32_t r = 0; r < o->row_count; r++) {
            int w = width_of(cell_at(o, r, c));
            width[c] = w > width[c] ? w : width[c];
        }
    }
    for (uint32_t c = 0; c < o->column_count; c++)
        print_cell(o, c, o->columns[c].name, width[c]);
    fputc('\n', o->f);
    for (uint32_t r = 0; r < o->row_count; r++) {
        for (uint32_t c = 0; c < o->column_count; c++)
            print_cell(o, c, cell_at(o, r, c), width[c]);
        fputc('\n', o->f);
    }
    free(width);
}

/* ---- both --------------------------------------------------------------------------- */

struct listing *listing_open(FILE *f, const char *schema, const struct column *columns,
                           uint32_t count, bool json)
{
    struct listing *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->f = f;
    o->columns = columns;
    o->column_count = count;
    o->json = json;
    if (json)
        fprintf(f, "{\"schema\": \"%s\"}\n", schema);
    return o;
}

void listing_row(struct listing *o, const char *const *cells, uint32_t count)
{
    if (!o->json) {
        keep_row(o, cells, count);
        return;
    }
    json_row(o, cells, count);
    o->row_count++;
}

uint32_t listing_rows(const struct listing *o)
{
    return o->row_count;
}

bool listing_close(struct listing **listing)
{
    struct listing *o = *listing;
    *listing = NULL;
    if (!o->json)
        print_table(o);
    bool ok = !o->failed && fflush(o->f) == 0 && !ferror(o->f);
    for (size_t i = 0; !o->json && i < (size_t)o->row_count * o->column_count; i++)
        free(o->cells[i]);
    free(o->cells);
    free(o);
    return ok;
}
