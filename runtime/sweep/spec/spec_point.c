/* spec_point.c - `covey.when`, conditions of parameters, and `covey.points`, what
 * is tried first.
 *
 *   when:                                      momentum is a parameter only where
 *     momentum: {optimizer: [sgd, rmsprop]}    optimizer is sgd or rmsprop
 *   points:
 *     - {lr: 0.1, optimizer: adam}             the rest of it is searched
 */
#include "sweep/spec/spec_reader.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MAX 10000

/* ---- conditions -------------------------------------------------------------------- */

static int find_param(const struct space *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->params[i].name, name) == 0)
            return (int)i;
    return -1;
}

static bool fail_param(struct spec_reader *r, const struct yaml_item *key)
{
    const char *names[SPACE_PARAMS_MAX + 1];
    const struct space *s = &r->spec->space;
    for (size_t i = 0; i < s->count; i++)
        names[i] = s->params[i].name;
    names[s->count] = NULL;
    return spec_fail_word(r, key, "parameter", key->text, names);
}

static bool mark_choice(struct spec_reader *r, const struct yaml_item *item, const struct param *parent,
                        bool *when)
{
    struct value v;
    double index = 0;
    if (!spec_read_value(r, item, &v))
        return false;
    bool found = param_coordinate(parent, &v, &index);
    value_fini(&v);
    if (!found)
        return spec_fail(r, item, "%s is never this", parent->name);
    when[(size_t)index] = true;
    return true;
}

/* @item: one value of the parent, or a list of them. */
static bool read_condition(struct spec_reader *r, const struct yaml_item *item, struct param *p, int parent)
{
    const struct param *of = &r->spec->space.params[parent];
    p->when = calloc(of->count, sizeof(bool));
    if (!p->when)
        return spec_fail_memory(r);
    p->parent = parent;
    if (item->kind != YAML_ITEM_LIST)
        return mark_choice(r, item, of, p->when);
    if (item->count == 0)
        return spec_fail(r, item, "an empty list: the parameter would never be there");
    for (size_t i = 0; i < item->count; i++)
        if (!mark_choice(r, item->pairs[i].value, of, p->when))
            return false;
    return true;
}

/* Is @name that of a parameter, or of the mapping that it is nested in? */
static bool covers(const char *name, const struct param *p)
{
    size_t len = strlen(name);
    return strncmp(name, p->name, len) == 0 && (p->name[len] == 0 || p->name[len] == '.');
}

static bool read_conditions(struct spec_reader *r, const struct yaml_item *key, const struct yaml_item *item)
{
    struct space *s = &r->spec->space;
    bool any = false;
    if (item->kind != YAML_ITEM_MAP || item->count != 1)
        return spec_fail(r, item, "a condition names one parameter and its values: {optimizer: [sgd]}");
    int parent = find_param(s, item->pairs[0].key->text);
    if (parent < 0)
        return fail_param(r, item->pairs[0].key);
    if (s->params[parent].distribution != DIST_CHOICE)
        return spec_fail(r, item->pairs[0].key, "%s has no list of values, so nothing can depend on one",
                         s->params[parent].name);
    for (size_t i = 0; i < s->count; i++) {
        if (!covers(key->text, &s->params[i]))
            continue;
        if ((int)i == parent)
            return spec_fail(r, key, "%s depends on itself", s->params[i].name);
        if (s->params[i].parent >= 0)
            return spec_fail(r, key, "a second condition for %s", s->params[i].name);
        if (!read_condition(r, item->pairs[0].value, &s->params[i], parent))
            return false;
        any = true;
    }
    return any || fail_param(r, key);
}

/* Parents first, else in the file's order: those whose parent is placed are
 * placed, again and again. */
static bool sort_parents_first(struct spec_reader *r, const struct yaml_item *item)
{
    struct space *s = &r->spec->space;
    struct param *sorted = calloc(SPACE_PARAMS_MAX, sizeof(struct param));
    int place[SPACE_PARAMS_MAX];
    size_t placed = 0, before;
    if (!sorted)
        return spec_fail_memory(r);
    for (size_t i = 0; i < s->count; i++)
        place[i] = -1;
    do {
        before = placed;
        for (size_t i = 0; i < s->count; i++) {
            int parent = s->params[i].parent;
            if (place[i] < 0 && (parent < 0 || place[parent] >= 0)) {
                place[i] = (int)placed;
                sorted[placed++] = s->params[i];
            }
        }
    } while (placed > before);
    if (placed < s->count) {
        free(sorted);
        return spec_fail(r, item, "conditions in a circle");
    }
    for (size_t i = 0; i < s->count; i++)
        if (sorted[i].parent >= 0)
            sorted[i].parent = place[sorted[i].parent];
    free(s->params);
    s->params = sorted;
    return true;
}

bool spec_read_when(struct spec_reader *r, const struct yaml_item *item)
{
    const struct spec_path *outer = r->path;
    if (item->kind != YAML_ITEM_MAP)
        return spec_fail_kind(r, item, "a mapping of parameters to conditions");
    for (size_t i = 0; i < item->count; i++) {
        struct spec_path here = {item->pairs[i].key->text, outer};
        r->path = &here;
        bool ok = read_conditions(r, item->pairs[i].key, item->pairs[i].value);
        r->path = outer;
        if (!ok)
            return false;
    }
    return sort_parents_first(r, item);
}

/* ---- points ------------------------------------------------------------------------ */

/* The parameter that (@path, @depth) names: its index, or -1; *@prefix: it is the
 * beginning of some. */
static int find_path(const struct space *s, const char *const *path, size_t depth, bool *prefix)
{
    *prefix = false;
    for (size_t i = 0; i < s->count; i++) {
        const struct param *p = &s->params[i];
        bool same = p->path_len >= depth;
        for (size_t k = 0; same && k < depth; k++)
            same = strcmp(p->path[k], path[k]) == 0;
        if (same && p->path_len == depth)
            return (int)i;
        *prefix |= same;
    }
    return -1;
}

static bool fail_coordinate(struct spec_reader *r, const struct yaml_item *item, const struct param *p)
{
    char found[80];
    yaml_item_describe(item, found, sizeof(found));
    if (p->distribution == DIST_UNIFORM || p->distribution == DIST_LOG_UNIFORM ||
        p->distribution == DIST_INV_LOG_UNIFORM)
        return spec_fail(r, item, "%s is no value of %s, which is %sfrom %g to %g", found, p->name,
                         p->whole ? "whole, " : "", p->low, p->high);
    return spec_fail(r, item, "%s is no value of %s", found, p->name);
}

static bool read_coordinate(struct spec_reader *r, const struct yaml_item *item, const struct param *p,
                            double *x)
{
    struct value v;
    if (!spec_read_value(r, item, &v))
        return false;
    bool ok = param_coordinate(p, &v, x);
    value_fini(&v);
    return ok || fail_coordinate(r, item, p);
}

static bool read_names(struct spec_reader *r, const struct yaml_item *map, const char **path, size_t depth,
                       double *x)
{
    const struct space *s = &r->spec->space;
    if (map->kind != YAML_ITEM_MAP)
        return spec_fail_kind(r, map, "a mapping of parameters to values");
    for (size_t i = 0; i < map->count; i++) {
        bool prefix;
        assert(depth < SPACE_DEPTH_MAX); /* since parameters begin with this path */
        path[depth] = map->pairs[i].key->text;
        int index = find_path(s, path, depth + 1, &prefix);
        if (index < 0 && !prefix)
            return fail_param(r, map->pairs[i].key);
        bool ok = index >= 0 ? read_coordinate(r, map->pairs[i].value, &s->params[index], &x[index])
                             : read_names(r, map->pairs[i].value, path, depth + 1, x);
        if (!ok)
            return false;
    }
    return true;
}

static bool read_point(struct spec_reader *r, const struct yaml_item *item, double *x)
{
    const struct space *s = &r->spec->space;
    const char *path[SPACE_DEPTH_MAX];
    for (size_t i = 0; i < s->count; i++)
        x[i] = NAN;
    if (!read_names(r, item, path, 0, x))
        return false;
    for (size_t i = 0; i < s->count; i++) {
        const struct param *p = &s->params[i];
        bool active = space_is_active(s, x, i);
        if (isnan(x[i])) {
            if (active && p->distribution == DIST_CHOICE && p->count == 1)
                x[i] = 0;       /* a constant */
            continue;
        }
        if (!active && isnan(x[p->parent]))
            return spec_fail(r, item, "%s depends on %s, which the point is to name, too", p->name,
                             s->params[p->parent].name);
        if (!active)
            return spec_fail(r, item, "%s is no parameter where %s is what it is here", p->name,
                             s->params[p->parent].name);
    }
    return true;
}

bool spec_read_points(struct spec_reader *r, const struct yaml_item *item)
{
    struct spec *spec = r->spec;
    if (item->kind != YAML_ITEM_LIST)
        return spec_fail_kind(r, item, "a list of points");
    if (item->count > POINTS_MAX)
        return spec_fail(r, item, "%zu points, more than %d", item->count, POINTS_MAX);
    if (item->count == 0)
        return true;
    spec->points = calloc(item->count * spec->space.count, sizeof(double));
    if (!spec->points)
        return spec_fail_memory(r);
    for (; spec->point_count < item->count; spec->point_count++)
        if (!read_point(r, item->pairs[spec->point_count].value,
                        &spec->points[spec->point_count * spec->space.count]))
            return false;
    return true;
}
