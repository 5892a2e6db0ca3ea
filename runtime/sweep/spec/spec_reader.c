/* spec_reader.c - see spec_reader.h for the contract. */
#include "sweep/spec/spec_reader.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/size.h"
#include "sweep/spec/spec_set.h"

#define MESSAGE_BYTES_MAX 1024
#define WORDS_TOLD_MAX 12       /* more of them are not listed in a message */
#define VALUE_DEPTH_MAX 12      /* with SPACE_DEPTH_MAX below the 32 levels that json-c reads */
#define WHOLE_MAX 9007199254740992.0 /* 2^53: every whole number up to it is a double */

/* ---- messages ------------------------------------------------------------------ */

static void add_path(struct text *t, const struct spec_path *path)
{
    if (path->outer) {
        add_path(t, path->outer);
        text_puts(t, ".");
    }
    text_puts(t, path->name);
}

/* The item at @path, as far as there is one; *@edited: the last setting that changed what is
 * around it, the file as a whole left aside. */
static const struct yaml_item *follow(const struct spec_reader *r, const struct spec_path *path, const char **edited)
{
    const struct yaml_item *at = path->outer ? follow(r, path->outer, edited) : r->root;
    at = at && at->kind == YAML_ITEM_MAP ? yaml_item_get(at, path->name) : NULL;
    if (at && at->edited)
        *edited = at->edited;
    return at;
}

/* Does the key of "key=value" say where @path is?  It may leave `covey` out, and reach deeper. */
static bool says_path(const char *set, const char *path)
{
    size_t key = strcspn(set, "="), len = strlen(path);
    return (len <= key && strncmp(set, path, len) == 0) || (len > key && strncmp(path + len - key, set, key) == 0);
}

static void write_place(const struct spec_reader *r, const struct yaml_item *item, const char *path, struct text *out)
{
    char shown[SPEC_SET_SHOWN];
    const char *edited = NULL;
    if (r->path && !item->set)
        (void)follow(r, r->path, &edited);
    if (item->set)
        text_printf(out, "--set %s: ", spec_set_shown(item->set, shown));
    else if (edited)
        text_printf(out, "%s:%u:%u with --set %s: ", r->spec->file, item->line, item->column,
                    spec_set_shown(edited, shown));
    else
        text_printf(out, "%s:%u:%u: ", r->spec->file, item->line, item->column);
    if (*path && !(item->set && says_path(item->set, path)))
        text_printf(out, "%s: ", path);
}

__attribute__((format(printf, 5, 0)))
static void write_message(const struct spec_reader *r, const struct yaml_item *item, char *out,
                          size_t size, const char *format, va_list args)
{
    char what[MESSAGE_BYTES_MAX];
    struct text path = TEXT_NONE, place = TEXT_NONE;
    vsnprintf(what, sizeof(what), format, args);
    if (r->path)
        add_path(&path, r->path);
    write_place(r, item, text_get(&path) ? text_get(&path) : "", &place);
    snprintf(out, size, "%s%s", text_get(&place) ? text_get(&place) : "", what);
    text_fini(&path);
    text_fini(&place);
}

bool spec_fail(struct spec_reader *r, const struct yaml_item *item, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_message(r, item, r->why, r->why_size, format, args);
    va_end(args);
    return false;
}

bool spec_fail_memory(struct spec_reader *r)
{
    snprintf(r->why, r->why_size, "%s: out of memory", r->spec->file);
    return false;
}

void spec_warn(struct spec_reader *r, const struct yaml_item *item, const char *format, ...)
{
    char text[MESSAGE_BYTES_MAX];
    va_list args;
    if (!r->warn)
        return;
    va_start(args, format);
    write_message(r, item, text, sizeof(text), format, args);
    va_end(args);
    r->warn(text, r->arg);
}

bool spec_fail_kind(struct spec_reader *r, const struct yaml_item *item, const char *wanted)
{
    char found[80];
    struct value plain = VALUE_NONE;
    bool quoted = item->kind == YAML_ITEM_SCALAR && !item->plain &&
                  yaml_scalar_resolve(item->text, &plain) && plain.kind != VALUE_TEXT;
    return spec_fail(r, item, "%s stands where %s is expected%s",
                     yaml_item_describe(item, found, sizeof(found)), wanted,
                     quoted ? "; leave the quotes out" : "");
}

bool spec_fail_word(struct spec_reader *r, const struct yaml_item *item, const char *what,
                    const char *word, const char *const *words)
{
    struct text list = TEXT_NONE;
    const char *near = nearest_word(word, words);
    size_t count = 0;
    for (; words[count]; count++)
        text_printf(&list, count ? ", %s" : "; one of %s", words[count]);
    if (near)
        spec_fail(r, item, "'%.60s' is no %s; did you mean %s?", word, what, near);
    else
        spec_fail(r, item, "'%.60s' is no %s%s", word, what,
                  count > 0 && count <= WORDS_TOLD_MAX && text_get(&list) ? text_get(&list) : "");
    text_fini(&list);
    return false;
}

/* ---- numbers, booleans, words ----------------------------------------------------- */

static bool is_number(const struct yaml_item *item)
{
    return item->kind == YAML_ITEM_SCALAR &&
           (item->value.kind == VALUE_INT || item->value.kind == VALUE_FLOAT);
}

bool spec_read_whole(struct spec_reader *r, const struct yaml_item *item, int64_t min, int64_t max,
                     int64_t *out)
{
    if (!is_number(item))
        return spec_fail_kind(r, item, "a whole number");
    double x = value_number(&item->value);
    bool whole = item->value.kind == VALUE_INT || (x == rint(x) && fabs(x) <= WHOLE_MAX);
    if (!whole)
        return spec_fail(r, item, "%.40s is no whole number", item->text);
    int64_t value = item->value.kind == VALUE_INT ? item->value.i : (int64_t)x;
    if (value < min)
        return spec_fail(r, item, "%.40s is too small; at least %lld", item->text, (long long)min);
    if (value > max)
        return spec_fail(r, item, "%.40s is too large; at most %lld", item->text, (long long)max);
    *out = value;
    return true;
}

bool spec_read_real(struct spec_reader *r, const struct yaml_item *item, double *out)
{
    if (!is_number(item))
        return spec_fail_kind(r, item, "a number");
    double x = value_number(&item->value);
    if (!isfinite(x))
        return spec_fail(r, item, "%.40s is no finite number", item->text);
    *out = x;
    return true;
}

bool spec_read_bool(struct spec_reader *r, const struct yaml_item *item, bool *out)
{
    if (item->kind != YAML_ITEM_SCALAR || item->value.kind != VALUE_BOOL)
        return spec_fail_kind(r, item, "true or false");
    *out = item->value.b;
    return true;
}

bool spec_read_text(struct spec_reader *r, const struct yaml_item *item, char **out)
{
    if (item->kind != YAML_ITEM_SCALAR)
        return spec_fail_kind(r, item, "a text");
    char *copy = NULL;
    if (item->value.kind != VALUE_NULL && !(copy = strdup(item->text)))
        return spec_fail_memory(r);
    free(*out);
    *out = copy;
    return true;
}

bool spec_read_word(struct spec_reader *r, const struct yaml_item *item, const char *what,
                    const char *const *words, unsigned *out)
{
    if (item->kind != YAML_ITEM_SCALAR)
        return spec_fail_kind(r, item, "a word");
    for (unsigned i = 0; words[i]; i++) {
        if (strcmp(item->text, words[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return spec_fail_word(r, item, what, item->text, words);
}

/* ---- times and sizes -------------------------------------------------------------- */

/* Digits with at most one point in or before them: their length, and the number.
 * By hand, since strtod() takes "inf" and "0x1p3", and wants the locale's point. */
static size_t read_decimal(const char *s, double *out)
{
    double number = 0, scale = 1;
    size_t n = 0, digits = 0;
    bool point = false;
    for (; isdigit((unsigned char)s[n]) || (s[n] == '.' && !point); n++) {
        if (s[n] == '.') {
            point = true;
            continue;
        }
        number = number * 10 + (s[n] - '0');
        scale *= point ? 10 : 1;
        digits++;
    }
    *out = number / scale;
    return digits > 0 && digits <= 15 ? n : 0;
}

/* Milliseconds of "2h30m"; NaN: it is none. */
static double parse_time(const char *s)
{
    static const struct { const char *name; double ms; } units[] = {
        {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3},
    };
    double sum = 0;
    if (!*s)
        return NAN;
    while (*s) {
        double number;
        size_t len = read_decimal(s, &number), unit = 0, name = 0;
        if (len == 0)
            return NAN;
        s += len;
        while (isalpha((unsigned char)s[name]))
            name++;
        while (unit < 5 && (strncmp(s, units[unit].name, name) != 0 || strlen(units[unit].name) != name))
            unit++;
        if (unit == 5)
            return NAN;
        sum += number * units[unit].ms;
        s += name;
    }
    return sum;
}

bool spec_read_time(struct spec_reader *r, const struct yaml_item *item, int64_t *ms)
{
    static const char wanted[] = "a time such as 90 (seconds), 30s or 2h30m";
    double value = NAN;
    /* 2:30 is 150 to YAML, and whoever writes it means something else. */
    if (is_number(item) && !strchr(item->text, ':'))
        value = value_number(&item->value) * 1e3;
    else if (item->kind == YAML_ITEM_SCALAR)
        value = parse_time(item->text);
    if (isnan(value))
        return spec_fail_kind(r, item, wanted);
    if (value < 0 || value > WHOLE_MAX)
        return spec_fail(r, item, "%.40s is no length of time", item->text);
    *ms = (int64_t)llrint(value);
    return true;
}

bool spec_read_bytes(struct spec_reader *r, const struct yaml_item *item, uint64_t *bytes)
{
    double number = NAN, factor = 1;
    if (is_number(item)) {
        number = value_number(&item->value);
    } else if (item->kind == YAML_ITEM_SCALAR) {
        size_t len = read_decimal(item->text, &number);
        const char *unit = item->text + len;
        factor = len ? (double)size_unit_bytes(unit + (*unit == ' ')) : 0;
    }
    if (isnan(number) || factor == 0)
        return spec_fail_kind(r, item, "a size such as 512M or 2GiB");
    if (number < 0 || number * factor > WHOLE_MAX)
        return spec_fail(r, item, "%.40s is no size", item->text);
    *bytes = (uint64_t)(number * factor);
    return true;
}

/* ---- a parameter's value ------------------------------------------------------------ */

static bool check_value(struct spec_reader *r, const struct yaml_item *item, unsigned depth)
{
    if (depth > VALUE_DEPTH_MAX)
        return spec_fail(r, item, "a value of more than %d levels", VALUE_DEPTH_MAX);
    if (item->kind == YAML_ITEM_SCALAR && item->value.kind == VALUE_FLOAT && !isfinite(item->value.f))
        return spec_fail(r, item, "%.40s is no finite number; a text prints the same: '%s'", item->text,
                         isnan(item->value.f) ? "nan" : item->value.f < 0 ? "-inf" : "inf");
    for (size_t i = 0; i < item->count; i++)
        if (!check_value(r, item->pairs[i].value, depth + 1))
            return false;
    return true;
}

bool spec_read_value(struct spec_reader *r, const struct yaml_item *item, struct value *out)
{
    *out = VALUE_NONE;
    if (!check_value(r, item, 0))
        return false;
    if (item->kind == YAML_ITEM_SCALAR)
        return value_copy(out, &item->value) || spec_fail_memory(r);
    struct text t = TEXT_NONE;
    yaml_item_print_json(&t, item);
    if (!text_get(&t)) {
        text_fini(&t);
        return spec_fail_memory(r);
    }
    *out = (struct value){.kind = VALUE_JSON, .text = t.data};
    return true;
}

/* ---- mappings ---------------------------------------------------------------------- */

static bool read_whole_field(struct spec_reader *r, const struct yaml_item *item,
                             const struct spec_field *field, void *at)
{
    int64_t most = field->type == SPEC_U32 ? UINT32_MAX : INT64_MAX, value;
    if (field->max > 0 && field->max < (double)most)
        most = (int64_t)field->max;
    if (!spec_read_whole(r, item, (int64_t)field->min, most, &value))
        return false;
    switch (field->type) {
    case SPEC_U32: *(uint32_t *)at = (uint32_t)value; break;
    case SPEC_U64: *(uint64_t *)at = (uint64_t)value; break;
    default:       *(int64_t *)at = value; break;
    }
    return true;
}

static bool read_real_field(struct spec_reader *r, const struct yaml_item *item,
                            const struct spec_field *field, double *at)
{
    double value;
    if (!spec_read_real(r, item, &value))
        return false;
    if (value < field->min)
        return spec_fail(r, item, "%.40s is too small; at least %g", item->text, field->min);
    if (field->max != 0 && value > field->max)
        return spec_fail(r, item, "%.40s is too large; at most %g", item->text, field->max);
    *at = value;
    return true;
}

static bool read_time_field(struct spec_reader *r, const struct yaml_item *item,
                            const struct spec_field *field, int64_t *at)
{
    int64_t ms;
    if (!spec_read_time(r, item, &ms))
        return false;
    if ((double)ms < field->min)
        return spec_fail(r, item, "%.40s is too short; at least %g ms", item->text, field->min);
    *at = ms;
    return true;
}

bool spec_read_field(struct spec_reader *r, const struct yaml_item *item,
                     const struct spec_field *field, void *base)
{
    void *at = (char *)base + field->offset;
    switch (field->type) {
    case SPEC_U32:
    case SPEC_U64:
    case SPEC_I64:   return read_whole_field(r, item, field, at);
    case SPEC_REAL:  return read_real_field(r, item, field, at);
    case SPEC_BOOL:  return spec_read_bool(r, item, at);
    case SPEC_TEXT:  return spec_read_text(r, item, at);
    case SPEC_TIME:  return read_time_field(r, item, field, at);
    case SPEC_BYTES: return spec_read_bytes(r, item, at);
    case SPEC_ITEM:  *(const struct yaml_item **)at = item; return true;
    case SPEC_IGNORED: return true;
    }
    return false;
}

const struct spec_field *spec_find_field(const struct spec_field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return fields;
    return NULL;
}

static bool fail_key(struct spec_reader *r, const struct yaml_item *key, const char *what,
                     const struct spec_field *fields)
{
    const char *words[SPEC_FIELDS_MAX + 1];
    char kind[80];
    size_t count = 0;
    for (; fields[count].name; count++) {
        assert(count < SPEC_FIELDS_MAX);
        words[count] = fields[count].name;
    }
    words[count] = NULL;
    snprintf(kind, sizeof(kind), "key of %s", what);
    return spec_fail_word(r, key, kind, key->text, words);
}

bool spec_read_map(struct spec_reader *r, const struct yaml_item *item, const char *what,
                   const struct spec_field *fields, void *base)
{
    const struct spec_path *outer = r->path;
    char wanted[100];
    snprintf(wanted, sizeof(wanted), "a mapping, %s,", what);
    if (item->kind != YAML_ITEM_MAP)
        return spec_fail_kind(r, item, wanted);
    for (size_t i = 0; i < item->count; i++) {
        const struct yaml_item *key = item->pairs[i].key;
        const struct spec_field *field = spec_find_field(fields, key->text);
        struct spec_path path = {key->text, outer};
        if (!field)
            return fail_key(r, key, what, fields);
        r->path = &path;
        bool ok = spec_read_field(r, item->pairs[i].value, field, base);
        r->path = outer;
        if (!ok)
            return false;
    }
    return true;
}
