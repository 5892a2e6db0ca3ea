/* value.c - see value.h for the contract.
 *
 * Lists and mappings are kept as JSON in one canonical form, so that equal
 * ones are equal texts: ", " and ": " between, mappings in the file's order,
 * numbers as text_python_number() prints them, so that 1.0 stays a float.
 */
#include "sweep/space/value.h"

#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void value_fini(struct value *v)
{
    if (v->kind == VALUE_TEXT || v->kind == VALUE_JSON)
        free(v->text);
    *v = VALUE_NONE;
}

bool value_copy(struct value *out, const struct value *v)
{
    struct value copy = *v;
    *out = VALUE_NONE;
    if (v->kind == VALUE_TEXT || v->kind == VALUE_JSON) {
        copy.text = strdup(v->text);
        if (!copy.text)
            return false;
    }
    *out = copy;
    return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case VALUE_NULL:  return true;
    case VALUE_BOOL:  return a->b == b->b;
    case VALUE_INT:   return a->i == b->i;
    case VALUE_FLOAT: return a->f == b->f || (isnan(a->f) && isnan(b->f));
    case VALUE_TEXT:
    case VALUE_JSON:  return strcmp(a->text, b->text) == 0;
    }
    return false;
}

double value_number(const struct value *v)
{
    switch (v->kind) {
    case VALUE_BOOL:  return v->b;
    case VALUE_INT:   return (double)v->i;
    case VALUE_FLOAT: return v->f;
    default:          return NAN;
    }
}

/* ---- JSON ---------------------------------------------------------------------- */

void value_print_json(struct text *t, const struct value *v)
{
    switch (v->kind) {
    case VALUE_NULL: text_puts(t, "null"); break;
    case VALUE_BOOL: text_puts(t, v->b ? "true" : "false"); break;
    case VALUE_INT:  text_printf(t, "%lld", (long long)v->i); break;
    case VALUE_FLOAT:
        if (isfinite(v->f))
            text_python_number(t, v->f); /* 1.0, so that it is read back as a float */
        else
            text_puts(t, "null");
        break;
    case VALUE_TEXT: text_json_string(t, v->text); break;
    case VALUE_JSON: text_puts(t, v->text); break;
    }
}

/* What is neither list nor mapping; texts are borrowed from @json. */
static struct value borrow_scalar(struct json_object *json)
{
    switch (json_object_get_type(json)) {
    case json_type_boolean:
        return (struct value){.kind = VALUE_BOOL, .b = json_object_get_boolean(json)};
    case json_type_int:
        /* json-c holds what is between the two kinds of 64 bits as unsigned. */
        if (json_object_get_uint64(json) > INT64_MAX && json_object_get_int64(json) > 0)
            return value_float((double)json_object_get_uint64(json));
        return value_int(json_object_get_int64(json));
    case json_type_double:
        return value_float(json_object_get_double(json));
    case json_type_string:
        return (struct value){.kind = VALUE_TEXT, .text = (char *)json_object_get_string(json)};
    default:
        return VALUE_NONE;
    }
}

/* How keys and leaves are written; lists and maps look the same in JSON and Python. */
struct notation {
    void (*print_key)(struct text *t, const char *key);
    void (*print_leaf)(struct text *t, struct json_object *json);
};

/* As deep as json-c's parser allows, 32 by default. */
static void print_tree(struct text *t, struct json_object *json, const struct notation *n)
{
    if (json_object_is_type(json, json_type_array)) {
        size_t count = json_object_array_length(json);
        text_puts(t, "[");
        for (size_t i = 0; i < count; i++) {
            text_puts(t, i ? ", " : "");
            print_tree(t, json_object_array_get_idx(json, i), n);
        }
        text_puts(t, "]");
    } else if (json_object_is_type(json, json_type_object)) {
        bool first = true;
        text_puts(t, "{");
        json_object_object_foreach(json, key, child) {
            text_puts(t, first ? "" : ", ");
            n->print_key(t, key);
            text_puts(t, ": ");
            print_tree(t, child, n);
            first = false;
        }
        text_puts(t, "}");
    } else {
        n->print_leaf(t, json);
    }
}

static void print_json_leaf(struct text *t, struct json_object *json)
{
    struct value v = borrow_scalar(json);
    value_print_json(t, &v);
}

static const struct notation json_notation = {text_json_string, print_json_leaf};

bool value_from_json(struct value *out, struct json_object *json)
{
    *out = VALUE_NONE;
    if (!json_object_is_type(json, json_type_array) && !json_object_is_type(json, json_type_object)) {
        struct value v = borrow_scalar(json);
        return value_copy(out, &v);
    }
    struct text t = TEXT_NONE;
    print_tree(&t, json, &json_notation);
    if (!text_get(&t)) {
        text_fini(&t);
        return false;
    }
    *out = (struct value){.kind = VALUE_JSON, .text = t.data};
    return true;
}

/* ---- Python -------------------------------------------------------------------- */

/* What Python's repr() escapes above ASCII: controls, formats, blanks that are
 * not the space, surrogates, private use.  Code points that no Unicode version
 * has assigned yet are printed, which Python would not do. */
static bool is_printable(uint32_t c)
{
    static const struct { uint32_t first, last; } hidden[] = {
        {0x00, 0x1f}, {0x7f, 0xa0}, {0xad, 0xad}, {0x600, 0x605}, {0x61c, 0x61c}, {0x6dd, 0x6dd},
        {0x70f, 0x70f}, {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f},
        {0x205f, 0x206f}, {0x3000, 0x3000}, {0xd800, 0xf8ff}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
        {0xfffe, 0xffff}, {0xe0000, 0xe00ff}, {0xf0000, 0x10ffff},
    };
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        if (c >= hidden[i].first && c <= hidden[i].last)
            return false;
    return true;
}

static void print_python_text(struct text *t, const char *s)
{
    char quote = strchr(s, '\'') && !strchr(s, '"') ? '"' : '\'';
    text_add(t, &quote, 1);
    while (*s) {
        uint32_t c = 0xfffd;
        size_t len = text_utf8(s, &c);
        if (c == '\n' || c == '\r' || c == '\t')
            text_puts(t, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (c == '\\' || c == (uint32_t)quote)
            text_printf(t, "\\%c", (int)c);
        else if (!is_printable(c))
            text_printf(t, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
        else if (len > 0)
            text_add(t, s, len);
        else
            text_puts(t, "\xef\xbf\xbd");
        s += len ? len : 1;
    }
    text_add(t, &quote, 1);
}

static void print_python_scalar(struct text *t, const struct value *v)
{
    switch (v->kind) {
    case VALUE_NULL:  text_puts(t, "None"); break;
    case VALUE_BOOL:  text_puts(t, v->b ? "True" : "False"); break;
    case VALUE_INT:   text_printf(t, "%lld", (long long)v->i); break;
    case VALUE_FLOAT: text_python_number(t, v->f); break;
    case VALUE_TEXT:
    case VALUE_JSON:  text_puts(t, v->text); break;
    }
}

static void print_python_leaf(struct text *t, struct json_object *json)
{
    struct value v = borrow_scalar(json);
    if (v.kind == VALUE_TEXT)
        print_python_text(t, v.text);
    else
        print_python_scalar(t, &v);
}

static const struct notation python_notation = {print_python_text, print_python_leaf};

void value_print_python(struct text *t, const struct value *v)
{
    if (v->kind != VALUE_JSON) {
        print_python_scalar(t, v);
        return;
    }
    struct json_object *json = json_tokener_parse(v->text);
    if (!json)
        t->failed = true;       /* it was JSON, so memory ran out */
    else
        print_tree(t, json, &python_notation);
    json_object_put(json);
}
