/* metrics.c - see metrics.h for the contract. */
#include "sweep/record/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    const char *at;
    void (*fn)(const char *name, size_t len, double value, void *arg);
    void *arg;
    char name[METRICS_NAME_MAX];
    size_t name_len;
};

static void skip_blanks(struct scan *s)
{
    s->at += strspn(s->at, " \t\r\n");
}

static bool take(struct scan *s, char c)
{
    skip_blanks(s);
    if (*s->at != c)
        return false;
    s->at++;
    return true;
}

/* Its inside, quotes left out. */
static bool take_string(struct scan *s, const char **out, size_t *len)
{
    if (!take(s, '"'))
        return false;
    *out = s->at;
    while (*s->at && *s->at != '"')
        s->at += s->at[0] == '\\' && s->at[1] ? 2 : 1;
    *len = (size_t)(s->at - *out);
    return take(s, '"');
}

static bool take_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(s->at, word, len) != 0)
        return false;
    s->at += len;
    return true;
}

static bool take_value(struct scan *s, bool named, int depth);

/* What is too long or too deep for a name is passed over. */
static bool take_member(struct scan *s, bool named, int depth)
{
    const char *key;
    size_t len, outer_len = s->name_len;
    if (!take_string(s, &key, &len) || !take(s, ':'))
        return false;
    named = named && outer_len + 1 + len <= sizeof s->name;
    if (named) {
        if (outer_len > 0)
            s->name[s->name_len++] = '/';
        memcpy(s->name + s->name_len, key, len);
        s->name_len += len;
    }
    bool ok = take_value(s, named, depth);
    s->name_len = outer_len;
    return ok;
}

/* After the opening bracket of an object or a list. */
static bool take_members(struct scan *s, bool object, bool named, int depth)
{
    char end = object ? '}' : ']';
    if (depth > METRICS_DEPTH_MAX)
        return false;
    if (take(s, end))
        return true;
    do {
        if (object ? !take_member(s, named, depth) : !take_value(s, false, depth))
            return false;
    } while (take(s, ','));
    return take(s, end);
}

static bool take_number(struct scan *s, bool named)
{
    char *end;
    double value = strtod(s->at, &end);
    if (end == s->at)
        return false;
    s->at = end;
    if (named)
        s->fn(s->name, s->name_len, value, s->arg);
    return true;
}

/* A text; three of them stand for numbers. */
static bool take_text(struct scan *s, bool named)
{
    static const struct { const char *text; double value; } numbers[] = {
        {"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY},
    };
    const char *text;
    size_t len;
    if (!take_string(s, &text, &len))
        return false;
    for (size_t i = 0; named && i < sizeof numbers / sizeof *numbers; i++)
        if (strlen(numbers[i].text) == len && memcmp(text, numbers[i].text, len) == 0)
            s->fn(s->name, s->name_len, numbers[i].value, s->arg);
    return true;
}

static bool take_value(struct scan *s, bool named, int depth)
{
    skip_blanks(s);
    switch (*s->at) {
    case '{':
        s->at++;
        return take_members(s, true, named, depth + 1);
    case '[':
        s->at++;
        return take_members(s, false, false, depth + 1);
    case '"':
        return take_text(s, named);
    case 't':
        return take_word(s, "true");
    case 'f':
        return take_word(s, "false");
    case 'n':
        return take_word(s, "null");
    default:
        return take_number(s, named);
    }
}

bool metrics_each(const char *json, void (*fn)(const char *name, size_t len, double value, void *arg),
                  void *arg)
{
    struct scan s;
    s.at = json;
    s.fn = fn;
    s.arg = arg;
    s.name_len = 0;
    return take(&s, '{') && take_members(&s, true, true, 1);
}
