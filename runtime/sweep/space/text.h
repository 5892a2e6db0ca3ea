/* text.h - a string that grows.
 *
 * Appending never fails on the spot: when memory ran out, `failed` is set,
 * later appends do nothing, and whoever asked for the whole text looks once.
 */
#ifndef COVEY_SWEEP_TEXT_H
#define COVEY_SWEEP_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *data;                 /* owned; NUL-terminated once something was appended */
    size_t len, cap;
    bool failed;
};
#define TEXT_NONE ((struct text){0})

void text_fini(struct text *t);
/* Empty, with its memory kept. */
void text_clear(struct text *t);
void text_add(struct text *t, const char *s, size_t len);
void text_puts(struct text *t, const char *s);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As a JSON string, with its quotes; what is no UTF-8 becomes U+FFFD. */
void text_json_string(struct text *t, const char *s);
/* The shortest decimal that reads back as the same double, as JSON allows it:
 * what is not finite becomes null.  In every locale. */
void text_json_number(struct text *t, double x);
/* As Python's repr() of a float: 1e-05, 5.0, 1e+16, nan, -inf. */
void text_python_number(struct text *t, double x);
/* The character at the front of @s, whose end is NUL: its bytes, and its code point in
 * *@code; 0: it is no UTF-8. */
size_t text_utf8(const char *s, uint32_t *code);
/* Does a terminal show it, and not obey it?  Newlines and tabs are not shown. */
bool text_can_show(uint32_t code);
/* Question marks for all bytes among @size of what cannot be shown or is no UTF-8, but for
 * the characters in @kept; s[size] is NUL. */
void text_make_plain(char *s, size_t size, const char *kept);
/* The text; "" when nothing was appended, NULL when memory ran out. */
const char *text_get(const struct text *t);

#endif
