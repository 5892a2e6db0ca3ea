/* yaml_scalar.c - what a plain scalar means: see yaml.h for the rule. */
#include "sweep/spec/yaml.h"

#include <ctype.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_BYTES_MAX 255    /* what is longer is text */
#define DECIMAL "0123456789"

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static bool resolve_word(const char *text, struct value *out)
{
    static const char *const null[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {
        "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL,
    };
    static const char *const no[] = {
        "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL,
    };
    bool is_yes = is_one_of(text, yes);
    if (is_one_of(text, null))
        *out = VALUE_NONE;
    else if (is_yes || is_one_of(text, no))
        *out = (struct value){.kind = VALUE_BOOL, .b = is_yes};
    else
        return false;
    return true;
}

/* How many bytes of @s are among @set or underscores. */
static size_t span(const char *s, const char *set)
{
    size_t n = 0;
    while (s[n] && (s[n] == '_' || strchr(set, s[n])))
        n++;
    return n;
}

/* Bytes of (:[0-5]?[0-9])+ at @s. */
static size_t span_sixties(const char *s)
{
    size_t n = 0;
    while (s[n] == ':' && isdigit((unsigned char)s[n + 1])) {
        bool two = s[n + 1] <= '5' && isdigit((unsigned char)s[n + 2]);
        n += two ? 3 : 2;
    }
    return n;
}

/* ---- integers ------------------------------------------------------------------ */

enum outcome { NO, YES, TOO_LARGE };

/* Digits of @base, underscores between; at least one digit. */
static enum outcome read_digits(const char *s, unsigned base, uint64_t *out)
{
    enum outcome outcome = NO;
    *out = 0;
    for (; *s; s++) {
        if (*s == '_')
            continue;
        unsigned digit = isdigit((unsigned char)*s) ? (unsigned)(*s - '0')
                                                    : (unsigned)(tolower((unsigned char)*s) - 'a') + 10;
        if (__builtin_mul_overflow(*out, base, out) || __builtin_add_overflow(*out, digit, out))
            return TOO_LARGE;
        outcome = YES;
    }
    return outcome;
}

static enum outcome read_sixties(const char *s, uint64_t *out)
{
    uint64_t part = 0;
    *out = 0;
    for (;; s++) {
        if (isdigit((unsigned char)*s)) {
            if (__builtin_mul_overflow(part, 10, &part) ||
                __builtin_add_overflow(part, (uint64_t)(*s - '0'), &part))
                return TOO_LARGE;
        } else if (*s != '_') {
            if (__builtin_mul_overflow(*out, 60, out) || __builtin_add_overflow(*out, part, out))
                return TOO_LARGE;
            part = 0;
        }
        if (!*s)
            return YES;
    }
}

static enum outcome read_magnitude(const char *s, uint64_t *out)
{
    if (s[0] == '0' && s[1] == 'b' && s[2] && !s[2 + span(s + 2, "01")])
        return read_digits(s + 2, 2, out);
    if (s[0] == '0' && s[1] == 'x' && s[2] && !s[2 + span(s + 2, "0123456789abcdefABCDEF")])
        return read_digits(s + 2, 16, out);
    if (s[0] == '0' && !s[1 + span(s + 1, "01234567")])
        return read_digits(s, 8, out);
    if (s[0] < '1' || s[0] > '9')
        return NO;
    size_t digits = span(s, DECIMAL), sixties = span_sixties(s + digits);
    if (s[digits + sixties])
        return NO;
    return sixties ? read_sixties(s, out) : read_digits(s, 10, out);
}

static enum outcome resolve_int(const char *text, struct value *out)
{
    bool negative = text[0] == '-';
    uint64_t magnitude;
    enum outcome outcome = read_magnitude(text + (negative || text[0] == '+'), &magnitude);
    if (outcome != YES)
        return outcome;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return TOO_LARGE;
    *out = value_int(negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude);
    return YES;
}

/* ---- floats -------------------------------------------------------------------- */

/* strtod() of the decimal at @s, of @len bytes and without its underscores; it
 * wants the locale's decimal point. */
static double read_decimal(const char *s, size_t len)
{
    char plain[NUMBER_BYTES_MAX + 32];
    const char *point = localeconv()->decimal_point;
    size_t n = 0, point_len = strlen(point);
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '.' && point_len < 16) {
            memcpy(plain + n, point, point_len);
            n += point_len;
        } else if (s[i] != '_') {
            plain[n++] = s[i];
        }
    }
    plain[n] = 0;
    return strtod(plain, NULL);
}

/* Bytes of [eE][-+]?[0-9]+ at @s. */
static size_t span_exponent(const char *s)
{
    if (*s != 'e' && *s != 'E')
        return 0;
    size_t sign = s[1] == '-' || s[1] == '+';
    size_t digits = strspn(s + 1 + sign, DECIMAL);
    return digits ? 1 + sign + digits : 0;
}

static double read_sixties_float(const char *s)
{
    double sum = 0;
    for (;;) {
        size_t len = strcspn(s, ":");
        sum = sum * 60 + read_decimal(s, len);
        if (!s[len])
            return sum;
        s += len + 1;
    }
}

static bool read_real(const char *s, double *out)
{
    if (strcmp(s, ".inf") == 0 || strcmp(s, ".Inf") == 0 || strcmp(s, ".INF") == 0) {
        *out = INFINITY;
        return true;
    }
    size_t whole = isdigit((unsigned char)*s) ? span(s, DECIMAL) : 0;
    size_t sixties = whole ? span_sixties(s + whole) : 0;
    size_t end = whole + sixties;
    bool point = s[end] == '.';
    if (!whole && !(point && isdigit((unsigned char)s[end + 1])))
        return false;
    if (point)
        end += 1 + span(s + end + 1, DECIMAL);
    size_t exponent = sixties ? 0 : span_exponent(s + end);
    if (s[end + exponent] || (!point && !exponent))
        return false;
    *out = sixties ? read_sixties_float(s) : read_decimal(s, end + exponent);
    return true;
}

static bool resolve_float(const char *text, struct value *out)
{
    double x;
    if (strcmp(text, ".nan") == 0 || strcmp(text, ".NaN") == 0 || strcmp(text, ".NAN") == 0) {
        *out = value_float(NAN);
        return true;
    }
    if (!read_real(text + (text[0] == '-' || text[0] == '+'), &x))
        return false;
    *out = value_float(text[0] == '-' ? -x : x);
    return true;
}

bool yaml_scalar_resolve(char *text, struct value *out)
{
    enum outcome whole = NO;
    if (resolve_word(text, out))
        return true;
    if (strlen(text) <= NUMBER_BYTES_MAX) {
        whole = resolve_int(text, out);
        if (whole == YES || (whole == NO && resolve_float(text, out)))
            return true;
    }
    *out = (struct value){.kind = VALUE_TEXT, .text = text};
    return whole != TOO_LARGE;
}
