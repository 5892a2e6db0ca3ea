/* args.c - see args.h for the contract. */
#include "args.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/size.h"

#define OPTIONS_MAX 64          /* in one table */
#define OPTION_LENGTH_MAX 32       /* of an option: longer ones are unknown */

/* ---- numbers ---------------------------------------------------------------- */

bool args_uint(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (const char *p = text; *p; p++) {
        if (!isdigit((unsigned char)*p) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

/* How much of @text is digits with at most one point between or behind them:
 * strtod() alone would take "nan", "0x1p3", "1e9" and leading blanks. */
static size_t decimal_length(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    if (whole == 0 || text[whole] != '.')
        return whole;
    size_t fraction = strspn(text + whole + 1, "0123456789");
    return fraction == 0 ? 0 : whole + 1 + fraction;
}

bool args_number(const char *text, double *out)
{
    size_t len = decimal_length(text);
    if (len == 0 || len > 32 || text[len])
        return false;
    *out = strtod(text, NULL);
    return true;
}

bool args_size(const char *text, uint64_t *out)
{
    size_t len = decimal_length(text);
    uint64_t factor = len ? size_unit_bytes(text + len) : 0;
    char digits[32];
    if (factor == 0 || len >= sizeof digits)
        return false;
    memcpy(digits, text, len);
    digits[len] = 0;
    char *point = strchr(digits, '.');
    if (point && factor == 1)
        return false;           /* half a byte */
    uint64_t bytes;
    if (!point) {
        if (!args_uint(digits, &bytes) || __builtin_mul_overflow(bytes, factor, &bytes))
            return false;
    } else {
        /* The 64 bits of a long double hold every size up to INT64_MAX to the byte. */
        long double exact = strtold(digits, NULL) * (long double)factor;
        if (exact > (long double)INT64_MAX)
            return false;
        bytes = (uint64_t)exact;
    }
    if (bytes > INT64_MAX)
        return false;
    *out = bytes;
    return true;
}

const char *args_format_size(char *out, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
        value /= 1024;
    snprintf(out, size, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

/* ---- options ---------------------------------------------------------------------- */

struct reader {
    const struct arg_option *options;
    int argc, at;
    char **argv;
    uint64_t *given;
    char *why;
    size_t why_size;
};

static bool takes_value(enum arg_type type)
{
    return type != ARG_FLAG && type != ARG_COUNT;
}

/* Store @value where @option wants it; false: it is not what it must be. */
static bool store_value(const struct arg_option *option, const char *value)
{
    switch (option->type) {
    case ARG_FLAG:
        *(bool *)option->out = true;
        return true;
    case ARG_COUNT:
        ++*(unsigned *)option->out;
        return true;
    case ARG_LIST: {
        struct arg_list *list = option->out;
        if (list->count == ARG_LIST_MAX)
            return false;
        list->items[list->count++] = value;
        return *value != 0;
    }
    case ARG_TEXT:
        *(const char **)option->out = value;
        return *value != 0;
    case ARG_UINT:
        return args_uint(value, option->out);
    case ARG_NUMBER:
        return args_number(value, option->out);
    case ARG_SIZE:
        return args_size(value, option->out);
    }
    return false;
}

static const char *expectation(enum arg_type type)
{
    switch (type) {
    case ARG_UINT:
        return "a whole number such as 4";
    case ARG_NUMBER:
        return "a number such as 2 or 0.5";
    case ARG_SIZE:
        return "a size such as 512M, 1.5GiB or 4096";
    default:
        return "a word";
    }
}

/* @shown is the option as it was typed; @value NULL: take the next word. */
static bool apply(struct reader *r, const struct arg_option *option, const char *shown,
                  const char *value)
{
    if (takes_value(option->type) && !value) {
        if (r->at + 1 >= r->argc) {
            snprintf(r->why, r->why_size, "%s needs a value: %s", shown, expectation(option->type));
            return false;
        }
        value = r->argv[++r->at];
    }
    assert(option - r->options < OPTIONS_MAX);
    *r->given |= UINT64_C(1) << (option - r->options);
    if (store_value(option, value))
        return true;
    snprintf(r->why, r->why_size, "%s: '%s' is not %s", shown, value, expectation(option->type));
    return false;
}

static bool unknown(struct reader *r, const char *word)
{
    const char *names[OPTIONS_MAX + 1];
    size_t n = 0;
    for (const struct arg_option *o = r->options; o->name && n < OPTIONS_MAX; o++)
        names[n++] = o->name;
    names[n] = NULL;
    const char *near = strncmp(word, "--", 2) == 0 ? nearest_word(word + 2, names) : NULL;
    if (near)
        snprintf(r->why, r->why_size, "unknown option '%s'; did you mean --%s?", word, near);
    else
        snprintf(r->why, r->why_size, "unknown option '%s'", word);
    return false;
}

static bool read_long(struct reader *r)
{
    const char *word = r->argv[r->at];
    const char *equals = strchr(word, '=');
    size_t len = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
    char shown[OPTION_LENGTH_MAX + 3];
    if (len > OPTION_LENGTH_MAX)
        return unknown(r, word);
    snprintf(shown, sizeof shown, "%.*s", (int)len + 2, word);
    for (const struct arg_option *o = r->options; o->name; o++) {
        if (strcmp(o->name, shown + 2) != 0)
            continue;
        if (equals && !takes_value(o->type)) {
            snprintf(r->why, r->why_size, "%s takes no value", shown);
            return false;
        }
        return apply(r, o, shown, equals ? equals + 1 : NULL);
    }
    return unknown(r, shown);
}

/* One word of letters, "-qv" or "-nNAME". */
static bool read_letters(struct reader *r)
{
    const char *word = r->argv[r->at];
    for (const char *p = word + 1; *p; p++) {
        const struct arg_option *o = r->options;
        while (o->name && o->letter != *p)
            o++;
        if (!o->name)
            return unknown(r, word);
        char shown[] = {'-', *p, 0};
        bool rest_is_value = takes_value(o->type) && p[1];
        if (!apply(r, o, shown, rest_is_value ? p + 1 : NULL))
            return false;
        if (takes_value(o->type))
            break;
    }
    return true;
}

int args_parse(const struct arg_option *options, enum args_order order, int argc, char **argv,
               uint64_t *given, char *why, size_t why_size)
{
    struct reader r = {options, argc, 0, argv, given, why, why_size};
    *given = 0;
    int words = 0;
    bool only_words = false;
    for (; r.at < argc; r.at++) {
        const char *word = argv[r.at];
        if (only_words || word[0] != '-' || !word[1]) {
            argv[words++] = argv[r.at];
            only_words = only_words || order == ARGS_PREFIX;
        } else if (strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!(word[1] == '-' ? read_long(&r) : read_letters(&r))) {
            return -1;
        }
    }
    return words;
}
