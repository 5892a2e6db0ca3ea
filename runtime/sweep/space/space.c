/* space.c - see space.h for the contract.  (Drawing and clipping are in sample.c.) */
#include "sweep/space/space.h"

#include <assert.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A multiple of 0.1 is not the same double by every way of computing it, so a bound
 * is met where it is missed by this part of the quantum. */
#define RASTER_SLACK 1e-6

void space_fini(struct space *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct param *p = &s->params[i];
        for (size_t k = 0; k < p->path_len; k++)
            free(p->path[k]);
        for (size_t k = 0; p->choices && k < p->count; k++)
            value_fini(&p->choices[k]);
        free(p->path);
        free(p->name);
        free(p->choices);
        free(p->probabilities);
        free(p->when);
    }
    free(s->params);
    *s = (struct space){0};
}

bool space_is_active(const struct space *s, const double *x, size_t i)
{
    const struct param *p = &s->params[i];
    if (p->parent < 0)
        return true;
    double choice = x[p->parent];
    return !isnan(choice) && p->when[(size_t)choice];
}

/* ---- size ---------------------------------------------------------------------- */

static uint64_t product(uint64_t a, uint64_t b)
{
    uint64_t r;
    return a == UINT64_MAX || b == UINT64_MAX || __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
    uint64_t r;
    return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}

/* Values of a parameter alone. */
static uint64_t param_size(const struct param *p)
{
    if (p->distribution == DIST_CHOICE)
        return p->count;
    if (p->distribution != DIST_UNIFORM || (!p->whole && p->quantum == 0))
        return UINT64_MAX;
    double steps = round((p->high - p->low) / (p->quantum > 0 ? p->quantum : 1));
    return steps < 9e18 ? (uint64_t)steps + 1 : UINT64_MAX;
}

/* A parameter stands for a tree: itself and those that depend on it.  The tree's
 * size is the sum over its choices of the product of what each choice lets in;
 * children come behind their parents, so trees are known from the back. */
uint64_t space_size(const struct space *s)
{
    uint64_t tree[SPACE_PARAMS_MAX], all = 1;
    assert(s->count <= SPACE_PARAMS_MAX);
    for (size_t i = s->count; i-- > 0;) {
        const struct param *p = &s->params[i];
        bool has_children = false;
        for (size_t k = i + 1; k < s->count && !has_children; k++)
            has_children = s->params[k].parent == (int)i;
        tree[i] = has_children ? 0 : param_size(p);
        for (size_t c = 0; has_children && c < p->count; c++) {
            uint64_t with = 1;
            for (size_t k = i + 1; k < s->count; k++)
                if (s->params[k].parent == (int)i && s->params[k].when[c])
                    with = product(with, tree[k]);
            tree[i] = sum(tree[i], with);
        }
        if (p->parent < 0)
            all = product(all, tree[i]);
    }
    return all;
}

/* ---- values -------------------------------------------------------------------- */

bool param_value(const struct param *p, double x, struct value *out)
{
    *out = VALUE_NONE;
    if (isnan(x))
        return true;
    if (p->distribution == DIST_CHOICE) {
        assert(x >= 0 && x < (double)p->count);
        return value_copy(out, &p->choices[(size_t)x]);
    }
    *out = p->whole ? value_int(llrint(x)) : value_float(x);
    return true;
}

/* 1 and 1.0 are the same choice where no other is nearer. */
static bool find_choice(const struct param *p, const struct value *v, double *out)
{
    for (size_t i = 0; i < p->count; i++) {
        if (value_equal(&p->choices[i], v)) {
            *out = (double)i;
            return true;
        }
    }
    for (size_t i = 0; i < p->count; i++) {
        bool numbers = (v->kind == VALUE_INT && p->choices[i].kind == VALUE_FLOAT) ||
                       (v->kind == VALUE_FLOAT && p->choices[i].kind == VALUE_INT);
        if (numbers && value_number(&p->choices[i]) == value_number(v)) {
            *out = (double)i;
            return true;
        }
    }
    return false;
}

bool param_coordinate(const struct param *p, const struct value *v, double *out)
{
    if (p->distribution == DIST_CHOICE)
        return find_choice(p, v, out);
    if (v->kind != VALUE_INT && v->kind != VALUE_FLOAT)
        return false;
    double x = value_number(v);
    double slack = p->quantum * RASTER_SLACK;
    if (!isfinite(x) || (p->whole && x != rint(x)))
        return false;
    switch (p->distribution) {
    case DIST_UNIFORM:
    case DIST_LOG_UNIFORM:
    case DIST_INV_LOG_UNIFORM:
        if (x < p->low - slack || x > p->high + slack)
            return false;
        break;
    case DIST_LOG_NORMAL:
        if (x < 0 || (x == 0 && p->quantum == 0))
            return false;
        break;
    case DIST_BETA:
        if (x < 0 || (p->quantum == 0 && x > 1))
            return false;
        break;
    case DIST_NORMAL:
    case DIST_CHOICE:
        break;
    }
    *out = x;
    return true;
}

/* ---- points to JSON -------------------------------------------------------------- */

/* Are both below the same mapping, which @depth names lead to? */
static bool same_prefix(const struct param *a, const struct param *b, size_t depth)
{
    if (a->path_len <= depth || b->path_len <= depth)
        return false;
    for (size_t k = 0; k < depth; k++)
        if (strcmp(a->path[k], b->path[k]) != 0)
            return false;
    return true;
}

static void print_leaf(struct text *t, const struct param *p, double x)
{
    if (p->distribution == DIST_CHOICE) {
        value_print_json(t, &p->choices[(size_t)x]);
    } else {
        struct value v = p->whole ? value_int(llrint(x)) : value_float(x);
        value_print_json(t, &v);
    }
}

/* Does an active parameter before @i belong to the same mapping at @depth? */
static bool was_printed(const struct space *s, const double *x, size_t i, size_t depth)
{
    for (size_t k = 0; k < i; k++)
        if (!isnan(x[k]) && same_prefix(&s->params[k], &s->params[i], depth + 1))
            return true;
    return false;
}

/* The mapping of all that shares the first @depth names of parameter @first. */
static void print_level(struct text *t, const struct space *s, const double *x, size_t first,
                        size_t depth)
{
    bool comma = false;
    text_puts(t, "{");
    for (size_t i = first; i < s->count; i++) {
        const struct param *p = &s->params[i];
        bool nested = p->path_len > depth + 1;
        if (isnan(x[i]) || !same_prefix(p, &s->params[first], depth) ||
            (nested && was_printed(s, x, i, depth)))
            continue;
        text_puts(t, comma ? ", " : "");
        text_json_string(t, p->path[depth]);
        text_puts(t, ": ");
        comma = true;
        if (nested)
            print_level(t, s, x, i, depth + 1);
        else
            print_leaf(t, p, x[i]);
    }
    text_puts(t, "}");
}

void space_print_json(struct text *t, const struct space *s, const double *x)
{
    if (s->count > 0)
        print_level(t, s, x, 0, 0);
    else
        text_puts(t, "{}");
}

/* ---- and back -------------------------------------------------------------------- */

static struct json_object *find_leaf(struct json_object *json, const struct param *p, bool *found)
{
    *found = false;
    for (size_t k = 0; k < p->path_len; k++)
        if (!json_object_is_type(json, json_type_object) ||
            !json_object_object_get_ex(json, p->path[k], &json))
            return NULL;
    *found = true;
    return json;
}

/* Is (@path, @depth) the whole name of a parameter, or the beginning of one? */
static bool names_something(const struct space *s, const char *const *path, size_t depth, bool *leaf)
{
    bool any = false;
    *leaf = false;
    for (size_t i = 0; i < s->count && !*leaf; i++) {
        const struct param *p = &s->params[i];
        bool same = p->path_len >= depth;
        for (size_t k = 0; same && k < depth; k++)
            same = strcmp(p->path[k], path[k]) == 0;
        any |= same;
        *leaf = same && p->path_len == depth;
    }
    return any;
}

/* Is everything in @json, which is at @path, some parameter's? */
static bool check_names(const struct space *s, struct json_object *json, const char **path,
                        size_t depth, char *why, size_t why_size)
{
    if (!json_object_is_type(json, json_type_object)) {
        snprintf(why, why_size, "%s is a mapping of parameters", depth ? path[depth - 1] : "a point");
        return false;
    }
    json_object_object_foreach(json, key, child) {
        bool leaf;
        path[depth] = key;
        if (!names_something(s, path, depth + 1, &leaf)) {
            snprintf(why, why_size, "no parameter is named %.80s", key);
            return false;
        }
        if (!leaf && !check_names(s, child, path, depth + 1, why, why_size))
            return false;
    }
    return true;
}

static bool read_leaf(const struct param *p, struct json_object *json, double *x, char *why,
                      size_t why_size)
{
    struct value v;
    if (!value_from_json(&v, json)) {
        snprintf(why, why_size, "out of memory");
        return false;
    }
    bool ok = param_coordinate(p, &v, x);
    if (!ok) {
        struct text t = TEXT_NONE;
        value_print_json(&t, &v);
        const char *text = text_get(&t);
        snprintf(why, why_size, "%s: %.80s is none of its values", p->name, text ? text : "it");
        text_fini(&t);
    }
    value_fini(&v);
    return ok;
}

bool space_read_json(const struct space *s, struct json_object *json, double *x, char *why, size_t why_size)
{
    const char *path[SPACE_DEPTH_MAX + 1];
    if (!check_names(s, json, path, 0, why, why_size))
        return false;
    for (size_t i = 0; i < s->count; i++) {
        const struct param *p = &s->params[i];
        bool found;
        struct json_object *leaf = find_leaf(json, p, &found);
        x[i] = NAN;
        if (found && !space_is_active(s, x, i)) {
            const char *parent = s->params[p->parent].name;
            bool open = isnan(x[p->parent]);
            snprintf(why, why_size, open ? "%s depends on %s, which is not there"
                                         : "%s is no parameter where %s is what it is here",
                     p->name, parent);
            return false;
        }
        if (found && !read_leaf(p, leaf, &x[i], why, why_size))
            return false;
        bool constant = p->distribution == DIST_CHOICE && p->count == 1;
        if (!found && constant && space_is_active(s, x, i))
            x[i] = 0;
    }
    return true;
}

bool space_read_text(const struct space *s, const char *text, double *x, char *why, size_t why_size)
{
    struct json_object *json = json_tokener_parse(text);
    bool ok = json && space_read_json(s, json, x, why, why_size);
    if (!json)
        snprintf(why, why_size, "the parameters are no JSON");
    json_object_put(json);
    return ok;
}
