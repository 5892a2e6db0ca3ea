/* text.c - see text.h for the contract. */
#include "sweep/space/text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MIN 64
#define DIGITS_MAX 17           /* enough for every double */

void text_fini(struct text *t)
{
    free(t->data);
    *t = TEXT_NONE;
}

void text_clear(struct text *t)
{
    t->len = 0;
    t->failed = false;
    if (t->data)
        t->data[0] = 0;
}

/* Room for @len more bytes and the NUL. */
static bool reserve(struct text *t, size_t len)
{
    size_t need, cap = t->cap ? t->cap : CAP_MIN;
    if (t->failed || __builtin_add_overflow(t->len, len + 1, &need) || need > SIZE_MAX / 2) {
        t->failed = true;
        return false;
    }
    if (need <= t->cap)
        return true;
    while (cap < need)
        cap *= 2;
    char *data = realloc(t->data, cap);
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->cap = cap;
    return true;
}

void text_add(struct text *t, const char *s, size_t len)
{
    if (!reserve(t, len))
        return;
    if (len > 0)
        memcpy(t->data + t->len, s, len);
    t->len += len;
    t->data[t->len] = 0;
}

void text_puts(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

void text_printf(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || !reserve(t, (size_t)len)) {
        t->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf(t->data + t->len, (size_t)len + 1, format, args);
    va_end(args);
    t->len += (size_t)len;
}

const char *text_get(const struct text *t)
{
    if (t->failed)
        return NULL;
    return t->data ? t->data : "";
}

/* ---- characters ---------------------------------------------------------------- */

size_t text_utf8(const char *s, uint32_t *code)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) {
        *code = p[0];
        return 1;
    }
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    uint32_t c = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;           /* the NUL at the end is none either */
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *code = c;
    return len;
}

bool text_can_show(uint32_t code)
{
    bool is_c1 = code >= 0x80 && code < 0xa0;
    return code >= 0x20 && code != 0x7f && !is_c1;
}

void text_make_plain(char *s, size_t size, const char *kept)
{
    for (size_t i = 0, n; i < size; i += n) {
        uint32_t code = 0;
        n = text_utf8(s + i, &code);
        bool stays = n > 0 && (text_can_show(code) || (s[i] && strchr(kept, s[i])));
        n = n > 0 ? n : 1;
        if (!stays)
            memset(s + i, '?', n);
    }
}

static void add_escaped(struct text *t, unsigned char c)
{
    switch (c) {
    case '"':  text_puts(t, "\\\""); break;
    case '\\': text_puts(t, "\\\\"); break;
    case '\n': text_puts(t, "\\n"); break;
    case '\r': text_puts(t, "\\r"); break;
    case '\t': text_puts(t, "\\t"); break;
    default:   text_printf(t, "\\u%04x", c);
    }
}

void text_json_string(struct text *t, const char *s)
{
    const char *from = s;       /* what is copied as it is */
    text_puts(t, "\"");
    while (*s) {
        uint32_t code = 0;
        size_t len = text_utf8(s, &code);
        if (len > 0 && code >= ' ' && code != '"' && code != '\\') {
            s += len;
            continue;
        }
        text_add(t, from, (size_t)(s - from));
        if (len > 0)
            add_escaped(t, (unsigned char)*s);
        else
            text_puts(t, "\xef\xbf\xbd");
        from = ++s;
    }
    text_add(t, from, (size_t)(s - from));
    text_puts(t, "\"");
}

/* ---- numbers ------------------------------------------------------------------- */

/* The digits of "d.ddde+xx" in @text, and its power of ten.  The decimal point is
 * whatever the locale has, and is skipped. */
static int split(const char *text, char digits[DIGITS_MAX + 1])
{
    const char *exponent = strchr(text, 'e');
    size_t n = 0;
    for (const char *p = text; p < exponent; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    digits[n] = 0;
    return atoi(exponent + 1);
}

/* A power of two has half as much room below it as above, so that the nearest
 * decimal of 16 digits, which is below, may not read back where the next one
 * does.  Then that is the shortest, as Python has it. */
static bool round_up(double x, char digits[DIGITS_MAX + 1], int power)
{
    char text[DIGITS_MAX + 16];
    int exponent;
    if (frexp(x, &exponent) != 0.5)
        return false;
    unsigned long long next = strtoull(digits, NULL, 10) + 1;
    snprintf(text, sizeof(text), "%llue%d", next, power - (DIGITS_MAX - 2));
    if (next == 10000000000000000ULL || strtod(text, NULL) != x)
        return false;
    snprintf(digits, DIGITS_MAX + 1, "%llu", next);
    return true;
}

/* The digits of @x > 0 without zeros at their end, and its power of ten.
 * Of each count of digits printf() gives the decimal nearest to @x, so the first
 * that reads back is the shortest.  Up to 15 digits come back from any double
 * that is not subnormal, so there the search begins; zeros are cut off. */
static int shortest(double x, char digits[DIGITS_MAX + 1])
{
    char text[DIGITS_MAX + 16];
    int power = 0;
    for (int count = x >= DBL_MIN ? DBL_DIG : 1; count <= DIGITS_MAX; count++) {
        snprintf(text, sizeof(text), "%.*e", count - 1, x);
        power = split(text, digits);
        if (strtod(text, NULL) == x || (count == DIGITS_MAX - 1 && round_up(x, digits, power)))
            break;
    }
    size_t n = strlen(digits);
    while (n > 1 && digits[n - 1] == '0')
        digits[--n] = 0;
    return power;
}

/* As Python decides: fixed from 1e-4 to below 1e16, else with an exponent.
 * @point: whole numbers get ".0". */
static void add_number(struct text *t, double x, bool point)
{
    char digits[DIGITS_MAX + 1] = "0";
    int power = x == 0 ? 0 : shortest(fabs(x), digits);
    int count = (int)strlen(digits);
    if (signbit(x))
        text_puts(t, "-");
    if (power < -4 || power >= 16) {
        text_add(t, digits, 1);
        if (count > 1)
            text_printf(t, ".%s", digits + 1);
        text_printf(t, "e%c%02d", power < 0 ? '-' : '+', abs(power));
    } else if (power < 0) {
        text_printf(t, "0.%.*s%s", -power - 1, "000", digits);
    } else if (count <= power + 1) {
        text_printf(t, "%s%.*s%s", digits, power + 1 - count, "0000000000000000", point ? ".0" : "");
    } else {
        text_printf(t, "%.*s.%s", power + 1, digits, digits + power + 1);
    }
}

void text_json_number(struct text *t, double x)
{
    if (isfinite(x))
        add_number(t, x, false);
    else
        text_puts(t, "null");
}

void text_python_number(struct text *t, double x)
{
    if (isnan(x))
        text_puts(t, "nan");
    else if (isinf(x))
        text_puts(t, x < 0 ? "-inf" : "inf");
    else
        add_number(t, x, true);
}
