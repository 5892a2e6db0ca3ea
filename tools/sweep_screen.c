/* sweep_screen.c - see sweep_screen.h for the contract. */
#include "sweep_screen.h"

#include <string.h>

#define ERASE_LINE "\033[K"     /* from the cursor to the line's end */
#define ERASE_BELOW "\033[J"    /* from the cursor to the screen's end */

void screen_fini(struct screen *screen) { text_fini(&screen->lines); }

void screen_forget(struct screen *screen) { text_clear(&screen->lines); }

static unsigned count_lines(const char *s)
{
    unsigned n = 0;
    for (; s && *s; s++)
        n += *s == '\n';
    return n;
}

static size_t characters(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

/* Rows that the lines take where the terminal has @columns. */
static unsigned count_rows(const char *s, unsigned columns)
{
    unsigned rows = 0;
    while (s && *s) {
        size_t len = strcspn(s, "\n"), width = characters(s, len);
        rows += width == 0 || columns == 0 ? 1 : (unsigned)((width + columns - 1) / columns);
        s += s[len] ? len + 1 : len;
    }
    return rows;
}

static void move_up(unsigned rows, struct text *out)
{
    text_puts(out, "\r");
    if (rows > 0)
        text_printf(out, "\033[%uA", rows);
}

void screen_hide(struct screen *screen, unsigned columns, struct text *out)
{
    unsigned rows = count_rows(text_get(&screen->lines), columns);
    if (rows > 0) {
        move_up(rows - 1, out);
        text_puts(out, ERASE_BELOW);
    }
    screen_forget(screen);
}

/* A line of each, old and new; @last: no newline follows. */
static void show_line(const char *old, size_t old_len, const char *new, size_t new_len, bool last, struct text *out)
{
    bool same = old && old_len == new_len && memcmp(old, new, new_len) == 0;
    if (!same || last)          /* the last one is written, so that the cursor ends behind it */
        text_add(out, new, new_len);
    if (!same)
        text_puts(out, ERASE_LINE);
    if (!last)
        text_puts(out, "\r\n");
}

void screen_show(struct screen *screen, const char *lines, unsigned columns, struct text *out)
{
    const char *old = text_get(&screen->lines);
    if (!old || !lines || (screen->columns == columns && strcmp(old, lines) == 0))
        return;
    if (screen->columns != columns)
        screen_hide(screen, columns, out);
    old = text_get(&screen->lines);
    unsigned had = count_lines(old), has = count_lines(lines);
    if (had > 0)
        move_up(had - 1, out);
    const char *new = lines;
    for (unsigned i = 0; i < has; i++) {
        size_t new_len = strcspn(new, "\n"), old_len = i < had ? strcspn(old, "\n") : 0;
        show_line(i < had ? old : NULL, old_len, new, new_len, i + 1 == has, out);
        new += new_len + 1;
        old += i < had ? old_len + 1 : 0;
    }
    if (had > has)
        text_puts(out, ERASE_BELOW);
    text_clear(&screen->lines);
    text_puts(&screen->lines, lines);
    screen->columns = columns;
}

void screen_plain(const char *s, struct text *out)
{
    while (*s) {
        uint32_t code = 0;
        size_t n = text_utf8(s, &code);
        if (code == '\n' || code == '\t' || text_can_show(code))
            text_add(out, s, n);
        else
            text_puts(out, "?");
        s += n > 0 ? n : 1;
    }
}

size_t screen_width(const char *s) { return characters(s, strlen(s)); }

/* The first @columns characters of @s, which are harmless. */
static void put_cut(const char *s, size_t columns, struct text *out)
{
    size_t size = 0, n;
    uint32_t code;
    for (; s[size] && columns > 0; columns--, size += n > 0 ? n : 1)
        n = text_utf8(s + size, &code);
    text_add(out, s, size);
}

void screen_fit(const char *whole, const char *rest, unsigned columns, struct text *out)
{
    struct text line = TEXT_NONE;
    screen_plain(whole, &line);
    size_t first = screen_width(text_get(&line) ? text_get(&line) : "");
    screen_plain(rest, &line);
    const char *all = text_get(&line);
    for (size_t i = 0; all && i < line.len; i++)
        if (line.data[i] == '\n' || line.data[i] == '\t')
            line.data[i] = ' ';
    size_t most = columns > first ? columns : first;
    bool fits = !all || screen_width(all) <= most;
    size_t dots = fits ? 0 : most - first < 3 ? most - first : 3;
    put_cut(all ? all : "", most - dots, out);
    text_add(out, "...", dots);
    text_fini(&line);
}
