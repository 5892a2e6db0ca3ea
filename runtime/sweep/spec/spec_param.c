/* spec_param.c - `parameters`: each distribution that W&B has, and nesting.
 *
 * Whatever way the file gives a range, the space holds real bounds; and where
 * values are rounded, both bounds are moved inwards to multiples of q, so that
 * no value leaves the range by rounding.
 */
#include "sweep/spec/spec_reader.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBABILITY_SLACK 1e-6  /* the sum of decimals that people type */
#define WHOLE_MAX 9007199254740992.0 /* 2^53: beyond it a double skips whole numbers */
#define EXPONENT_LIKELY_MAX 40  /* e^40 is 2e17: no hyperparameter is as large */

/* The keys of one parameter, as they stand in the file; NULL: not there. */
struct raw {
    const struct yaml_item *value, *values, *probabilities, *parameters, *distribution;
    const struct yaml_item *min, *max, *mu, *sigma, *q, *a, *b;
};

static const struct spec_field raw_fields[] = {
    {"value", SPEC_ITEM, offsetof(struct raw, value), 0, 0},
    {"values", SPEC_ITEM, offsetof(struct raw, values), 0, 0},
    {"probabilities", SPEC_ITEM, offsetof(struct raw, probabilities), 0, 0},
    {"parameters", SPEC_ITEM, offsetof(struct raw, parameters), 0, 0},
    {"distribution", SPEC_ITEM, offsetof(struct raw, distribution), 0, 0},
    {"min", SPEC_ITEM, offsetof(struct raw, min), 0, 0},
    {"max", SPEC_ITEM, offsetof(struct raw, max), 0, 0},
    {"mu", SPEC_ITEM, offsetof(struct raw, mu), 0, 0},
    {"sigma", SPEC_ITEM, offsetof(struct raw, sigma), 0, 0},
    {"q", SPEC_ITEM, offsetof(struct raw, q), 0, 0},
    {"a", SPEC_ITEM, offsetof(struct raw, a), 0, 0},
    {"b", SPEC_ITEM, offsetof(struct raw, b), 0, 0},
    {0},
};

/* What a distribution's name means. */
enum shape { CONSTANT, CATEGORICAL, RANGE, EXPONENTS, NORMAL, BETA };
static const struct kind {
    const char *name;
    enum shape shape;
    enum distribution distribution;
    bool q;                     /* has a q */
} kinds[] = {
    {"constant", CONSTANT, DIST_CHOICE, false},
    {"categorical", CATEGORICAL, DIST_CHOICE, false},
    {"categorical_w_probabilities", CATEGORICAL, DIST_CHOICE, false},
    {"uniform", RANGE, DIST_UNIFORM, false},
    {"int_uniform", RANGE, DIST_UNIFORM, false},
    {"q_uniform", RANGE, DIST_UNIFORM, true},
    {"log_uniform", EXPONENTS, DIST_LOG_UNIFORM, false},
    {"q_log_uniform", EXPONENTS, DIST_LOG_UNIFORM, true},
    {"inv_log_uniform", EXPONENTS, DIST_INV_LOG_UNIFORM, false},
    {"log_uniform_values", RANGE, DIST_LOG_UNIFORM, false},
    {"q_log_uniform_values", RANGE, DIST_LOG_UNIFORM, true},
    {"inv_log_uniform_values", RANGE, DIST_INV_LOG_UNIFORM, false},
    {"normal", NORMAL, DIST_NORMAL, false},
    {"q_normal", NORMAL, DIST_NORMAL, true},
    {"log_normal", NORMAL, DIST_LOG_NORMAL, false},
    {"q_log_normal", NORMAL, DIST_LOG_NORMAL, true},
    {"beta", BETA, DIST_BETA, false},
    {"q_beta", BETA, DIST_BETA, true},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct kind *find_kind(const char *name)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

/* ---- which distribution ------------------------------------------------------------ */

static bool fail_distribution(struct spec_reader *r, const struct yaml_item *item)
{
    const char *names[KINDS + 1] = {NULL};
    for (size_t i = 0; i < KINDS; i++)
        names[i] = kinds[i].name;
    if (item->kind != YAML_ITEM_SCALAR)
        return spec_fail_kind(r, item, "a distribution's name");
    return spec_fail_word(r, item, "distribution", item->text, names);
}

static bool is_int(const struct yaml_item *item)
{
    return item->kind == YAML_ITEM_SCALAR && item->value.kind == VALUE_INT;
}

/* W&B goes by the keys where no distribution is named. */
static const struct kind *infer(struct spec_reader *r, const struct yaml_item *item, const struct raw *raw)
{
    const struct yaml_item *odd = raw->mu ? raw->mu : raw->sigma ? raw->sigma : raw->a ? raw->a : raw->b;
    if (raw->value)
        return find_kind("constant");
    if (raw->values)
        return find_kind("categorical");
    if (raw->min && raw->max)
        return find_kind(is_int(raw->min) && is_int(raw->max) ? "int_uniform" : "uniform");
    if (raw->min || raw->max)
        spec_fail(r, raw->min ? raw->min : raw->max, "%s without %s", raw->min ? "min" : "max",
                  raw->min ? "max" : "min");
    else if (odd)
        spec_fail(r, odd, "mu and sigma want `distribution: normal` or one like it, a and b want beta");
    else
        spec_fail(r, item, "no values: give `value`, `values`, `min` and `max`, `distribution` or "
                  "`parameters`");
    return NULL;
}

static const struct kind *choose_kind(struct spec_reader *r, const struct yaml_item *item,
                                      const struct raw *raw)
{
    if (!raw->distribution)
        return infer(r, item, raw);
    const struct kind *kind =
        raw->distribution->kind == YAML_ITEM_SCALAR ? find_kind(raw->distribution->text) : NULL;
    if (!kind)
        fail_distribution(r, raw->distribution);
    return kind;
}

/* Keys that the distribution has no use for are mistakes. */
static bool check_keys(struct spec_reader *r, const struct raw *raw, const struct kind *kind)
{
    bool range = kind->shape == RANGE || kind->shape == EXPONENTS;
    const struct { const char *name; const struct yaml_item *item; bool fits; } keys[] = {
        {"value", raw->value, kind->shape == CONSTANT},
        {"values", raw->values, kind->shape == CATEGORICAL},
        {"probabilities", raw->probabilities, kind->shape == CATEGORICAL},
        {"parameters", raw->parameters, false},
        {"min", raw->min, range},
        {"max", raw->max, range},
        {"mu", raw->mu, kind->shape == NORMAL},
        {"sigma", raw->sigma, kind->shape == NORMAL},
        {"a", raw->a, kind->shape == BETA},
        {"b", raw->b, kind->shape == BETA},
        {"q", raw->q, kind->q},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char quantized[40];
        if (!keys[i].item || keys[i].fits)
            continue;
        snprintf(quantized, sizeof(quantized), "q_%s", kind->name);
        const char *near = strcmp(kind->name, "int_uniform") == 0 ? "q_uniform" : quantized;
        bool has_q = keys[i].item == raw->q && find_kind(near);
        return spec_fail(r, keys[i].item, "%s does not go with %s%s%s", keys[i].name, kind->name,
                         has_q ? "; with it the distribution is " : "", has_q ? near : "");
    }
    return true;
}

/* ---- choices ----------------------------------------------------------------------- */

struct ranked { const struct value *value; size_t index; };

static int by_value(const void *a, const void *b)
{
    const struct value *x = ((const struct ranked *)a)->value, *y = ((const struct ranked *)b)->value;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    switch (x->kind) {
    case VALUE_BOOL:  return x->b - y->b;
    case VALUE_INT:   return (x->i > y->i) - (x->i < y->i);
    case VALUE_FLOAT: return (x->f > y->f) - (x->f < y->f);
    case VALUE_TEXT:
    case VALUE_JSON:  return strcmp(x->text, y->text);
    default:          return 0;
    }
}

static int by_value_then_index(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int order = by_value(a, b);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* Which of the choices stand twice; the first of equal ones stays. */
static void drop_marked(struct param *p, const bool *twice, const size_t *first)
{
    size_t kept = 0;
    for (size_t i = 0; p->probabilities && i < p->count; i++)
        if (twice[i])
            p->probabilities[first[i]] += p->probabilities[i];
    for (size_t i = 0; i < p->count; i++) {
        if (twice[i]) {
            value_fini(&p->choices[i]);
            continue;
        }
        p->choices[kept] = p->choices[i];
        if (p->probabilities)
            p->probabilities[kept] = p->probabilities[i];
        kept++;
    }
    p->count = kept;
}

/* A grid visits no point twice, so a value that is listed twice is one. */
static bool merge_equal_choices(struct spec_reader *r, const struct yaml_item *list, struct param *p)
{
    struct ranked *ranked = calloc(p->count, sizeof(struct ranked));
    size_t *first = calloc(p->count, sizeof(size_t));
    bool *twice = calloc(p->count, sizeof(bool));
    bool ok = ranked && first && twice, any = false;
    for (size_t i = 0; ok && i < p->count; i++)
        ranked[i] = (struct ranked){&p->choices[i], i};
    if (ok)
        qsort(ranked, p->count, sizeof(struct ranked), by_value_then_index);
    for (size_t i = 1, start = 0; ok && i < p->count; i++) {
        if (by_value(&ranked[start], &ranked[i]) != 0) {
            start = i;
            continue;
        }
        twice[ranked[i].index] = true;
        first[ranked[i].index] = ranked[start].index;
        if (!any)
            spec_warn(r, list->pairs[ranked[i].index].value, "a value that is listed twice counts once%s",
                      p->probabilities ? ", with the sum of its probabilities" : "");
        any = true;
    }
    if (any)
        drop_marked(p, twice, first);
    free(ranked);
    free(first);
    free(twice);
    return ok || spec_fail_memory(r);
}

static bool read_probabilities(struct spec_reader *r, const struct yaml_item *item, struct param *p)
{
    double sum = 0;
    if (item->kind != YAML_ITEM_LIST)
        return spec_fail_kind(r, item, "a list of probabilities");
    if (item->count != p->count)
        return spec_fail(r, item, "%zu probabilities for %zu values", item->count, p->count);
    p->probabilities = calloc(p->count, sizeof(double));
    if (!p->probabilities)
        return spec_fail_memory(r);
    for (size_t i = 0; i < p->count; i++) {
        if (!spec_read_real(r, item->pairs[i].value, &p->probabilities[i]))
            return false;
        if (p->probabilities[i] < 0 || p->probabilities[i] > 1)
            return spec_fail(r, item->pairs[i].value, "%g is no probability", p->probabilities[i]);
        sum += p->probabilities[i];
    }
    if (fabs(sum - 1) > PROBABILITY_SLACK)
        return spec_fail(r, item, "the probabilities sum to %g, not to 1", sum);
    for (size_t i = 0; i < p->count; i++)
        p->probabilities[i] /= sum;
    return true;
}

static bool read_choices(struct spec_reader *r, const struct yaml_item *item, const struct raw *raw,
                         struct param *p)
{
    const struct yaml_item *list = raw->values;
    if (!list)
        return spec_fail(r, item, "categorical without `values`");
    if (list->kind != YAML_ITEM_LIST)
        return spec_fail_kind(r, list, "a list of values");
    if (list->count == 0)
        return spec_fail(r, list, "an empty list has no value to try");
    if (list->count > SPACE_CHOICES_MAX)
        return spec_fail(r, list, "%zu values, more than %d", list->count, SPACE_CHOICES_MAX);
    p->choices = calloc(list->count, sizeof(struct value));
    if (!p->choices)
        return spec_fail_memory(r);
    for (p->count = 0; p->count < list->count; p->count++)
        if (!spec_read_value(r, list->pairs[p->count].value, &p->choices[p->count]))
            return false;
    if (raw->probabilities && !read_probabilities(r, raw->probabilities, p))
        return false;
    return merge_equal_choices(r, list, p);
}

static bool read_constant(struct spec_reader *r, const struct yaml_item *item, const struct raw *raw,
                          struct param *p)
{
    if (!raw->value)
        return spec_fail(r, item, "constant without `value`");
    p->choices = calloc(1, sizeof(struct value));
    if (!p->choices)
        return spec_fail_memory(r);
    p->count = 1;
    return spec_read_value(r, raw->value, &p->choices[0]);
}

/* ---- ranges ------------------------------------------------------------------------ */

static bool read_q(struct spec_reader *r, const struct raw *raw, const struct kind *kind, struct param *p)
{
    if (!kind->q)
        return true;
    p->quantum = 1;
    p->whole = true;
    if (!raw->q)
        return true;
    if (!spec_read_real(r, raw->q, &p->quantum))
        return false;
    p->whole = is_int(raw->q);  /* W&B, too, prints whole numbers exactly then */
    return p->quantum > 0 || spec_fail(r, raw->q, "q %g is not above 0", p->quantum);
}

/* Bounds onto multiples of q. */
static bool fit_to_q(struct spec_reader *r, const struct raw *raw, struct param *p)
{
    if (p->quantum == 0)
        return true;
    /* So that 0.3 with q 0.1 is three of them, whatever 0.3 / 0.1 is in binary. */
    double slack = 1e-9;
    double first = ceil(p->low / p->quantum - slack), last = floor(p->high / p->quantum + slack);
    /* A bound that is a multiple stays the decimal that it is in the file. */
    double low = first <= p->low / p->quantum + slack ? p->low : first * p->quantum + 0.0; /* no -0 */
    double high = last >= p->high / p->quantum - slack ? p->high : last * p->quantum;
    if (p->distribution != DIST_UNIFORM && low <= 0)
        low = p->quantum;
    if (low > high)
        return spec_fail(r, raw->q ? raw->q : raw->min, "no multiple of q %g lies between %g and %g%s",
                         p->quantum, p->low, p->high, raw->q ? "" : "; q is 1 where it is not given");
    p->low = low;
    p->high = high;
    return true;
}

static void warn_of_values(struct spec_reader *r, const struct yaml_item *at, const struct kind *kind,
                           double min, double max)
{
    if (min > 0 && (max <= 1 || max >= 10 * min || max > EXPONENT_LIKELY_MAX))
        spec_warn(r, at, "%s takes exponents: %g and %g mean %g to %g; if they are values, write "
                  "%s_values", kind->name, min, max, exp(min), exp(max), kind->name);
}

static bool set_exponents(struct spec_reader *r, const struct raw *raw, const struct kind *kind,
                          double min, double max, struct param *p)
{
    warn_of_values(r, raw->min, kind, min, max);
    bool inverse = p->distribution == DIST_INV_LOG_UNIFORM;
    p->low = exp(inverse ? -max : min);
    p->high = exp(inverse ? -min : max);
    if (p->low > 0 && isfinite(p->high))
        return true;
    return spec_fail(r, isfinite(p->high) == inverse ? raw->max : raw->min,
                     "%s takes exponents, and e to the power of them is no finite number above 0; "
                     "for values write %s_values", kind->name, kind->name);
}

static bool check_whole(struct spec_reader *r, const struct yaml_item *item)
{
    if (!is_int(item))
        return spec_fail_kind(r, item, "a whole number");
    return fabs((double)item->value.i) <= WHOLE_MAX ||
           spec_fail(r, item, "%s is beyond 2^53", item->text);
}

static bool read_range(struct spec_reader *r, const struct yaml_item *item, const struct raw *raw,
                       const struct kind *kind, struct param *p)
{
    double min, max;
    if (!raw->min || !raw->max)
        return spec_fail(r, item, "%s without `%s`", kind->name, raw->min ? "max" : "min");
    if (!spec_read_real(r, raw->min, &min) || !spec_read_real(r, raw->max, &max))
        return false;
    if (min > max)
        return spec_fail(r, raw->min, "min %s is above max %s; swap them", raw->min->text, raw->max->text);
    if (strcmp(kind->name, "int_uniform") == 0) {
        if (!check_whole(r, raw->min) || !check_whole(r, raw->max))
            return false;
        p->whole = true;
        p->quantum = 1;
    }
    if (kind->shape == EXPONENTS && !set_exponents(r, raw, kind, min, max, p))
        return false;
    if (kind->shape == RANGE) {
        if (kind->distribution != DIST_UNIFORM && min <= 0)
            return spec_fail(r, raw->min, "min %s has no logarithm; it must be above 0", raw->min->text);
        p->low = min;
        p->high = max;
    }
    if (!isfinite(p->high - p->low))
        return spec_fail(r, raw->min, "from %g to %g is too far", p->low, p->high);
    return read_q(r, raw, kind, p) && fit_to_q(r, raw, p);
}

static bool read_normal(struct spec_reader *r, const struct raw *raw, const struct kind *kind,
                        struct param *p)
{
    p->mu = 0;
    p->sigma = 1;
    if ((raw->mu && !spec_read_real(r, raw->mu, &p->mu)) ||
        (raw->sigma && !spec_read_real(r, raw->sigma, &p->sigma)))
        return false;
    if (p->sigma <= 0)
        return spec_fail(r, raw->sigma, "sigma %g is not above 0", p->sigma);
    return read_q(r, raw, kind, p);
}

static bool read_beta(struct spec_reader *r, const struct raw *raw, const struct kind *kind,
                      struct param *p)
{
    p->a = p->b = 1;
    if ((raw->a && !spec_read_real(r, raw->a, &p->a)) || (raw->b && !spec_read_real(r, raw->b, &p->b)))
        return false;
    if (p->a <= 0)
        return spec_fail(r, raw->a, "a %g is not above 0", p->a);
    if (p->b <= 0)
        return spec_fail(r, raw->b, "b %g is not above 0", p->b);
    return read_q(r, raw, kind, p);
}

/* ---- one parameter, and all of them --------------------------------------------------- */

/* A parameter without values yet, named by the reader's path below `parameters`. */
static struct param *add_param(struct spec_reader *r, const struct yaml_item *key,
                               const char *const *path, size_t path_len)
{
    struct space *s = &r->spec->space;
    if (s->count == SPACE_PARAMS_MAX) {
        spec_fail(r, key, "more than %d parameters", SPACE_PARAMS_MAX);
        return NULL;
    }
    if (!s->params)
        s->params = calloc(SPACE_PARAMS_MAX, sizeof(struct param));
    struct param *p = s->params ? &s->params[s->count] : NULL;
    struct text name = TEXT_NONE;
    if (p && (p->path = calloc(path_len, sizeof(char *)))) {
        s->count++;             /* from here on space_fini() sees it */
        p->parent = -1;
        for (size_t i = 0; i < path_len && (p->path[i] = strdup(path[i])); i++) {
            text_printf(&name, i ? ".%s" : "%s", path[i]);
            p->path_len++;
        }
        p->name = p->path_len == path_len && text_get(&name) ? name.data : NULL;
    }
    if (!p || !p->name) {
        text_fini(&name);
        spec_fail_memory(r);
        return NULL;
    }
    for (size_t i = 0; i + 1 < s->count; i++) {
        if (strcmp(s->params[i].name, p->name) == 0) {
            spec_fail(r, key, "a second parameter whose full name is %s", p->name);
            return NULL;
        }
    }
    return p;
}

static bool check_name(struct spec_reader *r, const struct yaml_item *key)
{
    const char *s = key->text;
    bool ok = isalpha((unsigned char)*s) || *s == '_';
    for (; *s; s++)
        ok &= isalnum((unsigned char)*s) || strchr("_.-", *s);
    return ok || spec_fail(r, key, "'%.60s' is no parameter's name: a letter or _, then letters, digits, "
                           "_ . and -", key->text);
}

static bool read_level(struct spec_reader *r, const struct yaml_item *map, const char **path, size_t depth);

static bool read_one(struct spec_reader *r, const struct yaml_item *key, const struct yaml_item *item,
                     const char **path, size_t depth)
{
    struct raw raw = {0};
    if (item->kind != YAML_ITEM_MAP) {
        char found[80];
        bool list = item->kind == YAML_ITEM_LIST;
        return spec_fail(r, item, "%s stands where a mapping is expected; write {%s: %s}",
                         yaml_item_describe(item, found, sizeof(found)), list ? "values" : "value",
                         list ? "[...]" : item->text);
    }
    if (!spec_read_map(r, item, "a parameter", raw_fields, &raw))
        return false;
    if (raw.parameters && item->count == 1)
        return read_level(r, raw.parameters, path, depth);
    if (raw.parameters)
        return spec_fail(r, raw.parameters, "nested `parameters` stand alone");
    const struct kind *kind = choose_kind(r, item, &raw);
    struct param *p = kind && check_keys(r, &raw, kind) ? add_param(r, key, path, depth) : NULL;
    if (!p)
        return false;
    p->distribution = kind->distribution;
    switch (kind->shape) {
    case CONSTANT:    return read_constant(r, item, &raw, p);
    case CATEGORICAL: return read_choices(r, item, &raw, p);
    case RANGE:
    case EXPONENTS:   return read_range(r, item, &raw, kind, p);
    case NORMAL:      return read_normal(r, &raw, kind, p);
    case BETA:        return read_beta(r, &raw, kind, p);
    }
    return false;
}

/* @path holds @depth names so far. */
static bool read_level(struct spec_reader *r, const struct yaml_item *map, const char **path, size_t depth)
{
    const struct spec_path *outer = r->path;
    if (map->kind != YAML_ITEM_MAP)
        return spec_fail_kind(r, map, "a mapping of parameters");
    if (map->count == 0)
        return spec_fail(r, map, "no parameters");
    if (depth == SPACE_DEPTH_MAX)
        return spec_fail(r, map, "parameters nested more than %d deep", SPACE_DEPTH_MAX);
    for (size_t i = 0; i < map->count; i++) {
        const struct yaml_item *key = map->pairs[i].key;
        struct spec_path here = {key->text, outer};
        if (!check_name(r, key))
            return false;
        r->path = &here;
        path[depth] = key->text;
        bool ok = read_one(r, key, map->pairs[i].value, path, depth + 1);
        r->path = outer;
        if (!ok)
            return false;
    }
    return true;
}

bool spec_read_parameters(struct spec_reader *r, const struct yaml_item *item)
{
    const char *path[SPACE_DEPTH_MAX];
    return read_level(r, item, path, 0);
}
