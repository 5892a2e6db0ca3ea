/* spec_set.c - see spec_set.h for the contract.
 *
 * From the root down, each mapping on the way is replaced by a copy of its own
 * before anything in it changes, since an alias may share it.
 */
#include "sweep/spec/spec_set.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "sweep/spec/spec_reader.h"

struct setting {
    const char *line;           /* borrowed: "key=value" */
    const char *value;          /* in it */
    char path[SPEC_SET_KEY_MAX + sizeof "covey."]; /* as it is in the file, whatever was typed */
    char *why;
    size_t why_size;
};

/* On the way from the root to what is set. */
struct walk {
    struct setting *set;
    struct yaml_doc *doc;
    const char *rest;           /* of the path */
    struct yaml_item *on[YAML_DEPTH_MAX]; /* what was gone through, the root first; `depth` of them */
    size_t was[YAML_DEPTH_MAX]; /* their sizes before */
    size_t depth;
    bool in_parameters;         /* each name so far that says what a level holds is `parameters` */
};

/* ---- the words ------------------------------------------------------------------------ */

const char *spec_set_shown(const char *line, char out[SPEC_SET_SHOWN])
{
    if (snprintf(out, SPEC_SET_SHOWN, "%s", line) >= SPEC_SET_SHOWN)
        memcpy(out + SPEC_SET_SHOWN - 4, "...", 4);
    return out;
}

__attribute__((format(printf, 2, 3)))
static bool fail(struct setting *set, const char *format, ...)
{
    char what[512], shown[SPEC_SET_SHOWN];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(set->why, set->why_size, "--set %s: %s", spec_set_shown(set->line, shown), what);
    return false;
}

static bool fail_memory(struct setting *set) { return fail(set, "out of memory"); }

/* What may have been meant: a key of the file, or one below `covey`. */
static bool fail_unknown(struct setting *set, const char *word)
{
    struct nearest n = nearest_to(word);
    for (const struct spec_field *field = spec_top_fields; field->name; field++)
        nearest_offer(&n, field->name);
    for (const struct spec_field *field = spec_covey_fields; field->name; field++)
        nearest_offer(&n, field->name);
    if (n.word)
        return fail(set, "'%.60s' is no key of a sweep file; did you mean %s?", word, n.word);
    return fail(set, "'%.60s' is no key of a sweep file", word);
}

static bool check_path(struct setting *set)
{
    const char *path = set->path;
    size_t levels = 1;
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.'))
        levels++;
    if (*path == '.' || path[strlen(path) - 1] == '.' || strstr(path, ".."))
        return fail(set, "a name is missing beside a dot of the key");
    return levels < YAML_DEPTH_MAX || fail(set, "more than %d levels", YAML_DEPTH_MAX - 1);
}

/* The name that the file has for it. */
static bool resolve_path(struct setting *set)
{
    char first[SPEC_SET_KEY_MAX + 1];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(set->path, "."), set->path);
    if (!spec_find_field(spec_top_fields, first)) {
        if (!spec_find_field(spec_covey_fields, first))
            return fail_unknown(set, first);
        memmove(set->path + 6, set->path, strlen(set->path) + 1);
        memcpy(set->path, "covey.", 6);
    }
    if (strcmp(set->path, "covey.count") == 0)
        strcpy(set->path, "run_cap");
    return true;
}

static bool parse(struct setting *set)
{
    const char *equals = strchr(set->line, '=');
    size_t len = equals ? (size_t)(equals - set->line) : 0;
    if (!equals || len == 0)
        return fail(set, "key=value is wanted, such as run_cap=200");
    if (strchr(set->line, '\n'))
        return fail(set, "a setting is one line; lists and mappings are written as [1, 2] and {key: value}");
    if (len > SPEC_SET_KEY_MAX)
        return fail(set, "the key has more than %d bytes", SPEC_SET_KEY_MAX);
    set->value = equals + 1;
    if (!set->value[strspn(set->value, " \t\r")])
        return fail(set, "a value is missing behind =; '' in quotes is an empty text, null is nothing");
    if (strlen(set->value) > SPEC_FILE_MAX)
        return fail(set, "the value has more than %u bytes", SPEC_FILE_MAX);
    memcpy(set->path, set->line, len);
    set->path[len] = 0;
    return check_path(set) && resolve_path(set);
}

bool spec_set_is_limit(const char *line, char *why, size_t why_size)
{
    static const char *const limits[] = {
        "run_cap", "covey.parallel", "covey.retries", "covey.checkpoints", "covey.storm", "covey.time",
        "covey.trial_time", "covey.grace", "covey.leave", "covey.wandb", "metric.target",
    };
    struct setting set = {.line = line, .why = why, .why_size = why_size};
    if (!parse(&set))
        return false;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (strcmp(set.path, limits[i]) == 0)
            return true;
    return strncmp(set.path, "covey.resources.", 16) == 0 ||
           fail(&set, "this holds for the whole sweep, so only a new one can have it otherwise; what can be set now "
                "is run_cap, parallel, retries, checkpoints, storm, time, trial_time, grace, leave, wandb, "
                "metric.target and resources.NAME");
}

/* ---- the way -------------------------------------------------------------------------- */

/* "covey.scheduler", for messages: where the walk is. */
static int walked(const struct walk *w)
{
    ptrdiff_t len = w->rest - w->set->path;
    return len > 0 ? (int)len - 1 : 0;
}

static bool at_path(const struct walk *w, const char *path)
{
    return (size_t)walked(w) == strlen(path) && strncmp(w->set->path, path, strlen(path)) == 0;
}

static struct yaml_item *new_key(struct walk *w, const char *name, size_t len)
{
    struct yaml_item *key = yaml_doc_new(w->doc, YAML_ITEM_SCALAR);
    if (!key || !(key->text = strndup(name, len)))
        return NULL;
    key->plain = true;
    key->value = (struct value){.kind = VALUE_TEXT, .text = key->text};
    key->set = w->set->line;
    return key;
}

/* What @item is as a mapping or list of which nobody else has a part.  NULL: it is told why. */
static struct yaml_item *copy_of(struct walk *w, struct yaml_item *item)
{
    char found[80];
    bool scalar = item->kind == YAML_ITEM_SCALAR, empty = scalar && item->value.kind == VALUE_NULL;
    bool is_short = scalar && !empty && (at_path(w, "covey.scheduler") || at_path(w, "covey.search"));
    if (scalar && !empty && !is_short) {
        fail(w->set, "%.*s is %s, which has nothing below it", walked(w), w->set->path,
             yaml_item_describe(item, found, sizeof found));
        return NULL;
    }
    struct yaml_item *copy = yaml_doc_new(w->doc, scalar ? YAML_ITEM_MAP : item->kind);
    struct yaml_item *type = is_short ? new_key(w, "type", 4) : NULL;
    bool ok = copy && (!is_short || (type && yaml_item_add(copy, type, item)));
    for (size_t i = 0; ok && i < item->count; i++)
        ok = yaml_item_add(copy, item->pairs[i].key, item->pairs[i].value);
    if (!ok) {
        fail_memory(w->set);
        return NULL;
    }
    copy->line = item->line;
    copy->column = item->column;
    copy->set = item->set;
    return copy;
}

/* Go into @at; what stands there is ours then. */
static struct yaml_item *enter(struct walk *w, struct yaml_item **at)
{
    assert(w->depth < YAML_DEPTH_MAX);
    w->was[w->depth] = (*at)->size;
    struct yaml_item *own = (*at)->edited ? *at : copy_of(w, *at);
    if (!own)
        return NULL;
    own->edited = w->set->line;
    w->on[w->depth++] = own;
    return *at = own;
}

/* How much of the path is the next name: up to a dot, but a key that is there may have dots
 * itself, and a resource's name is all of it.  *@pair: where it stands; the count: nowhere. */
static size_t next_name(const struct walk *w, const struct yaml_item *map, size_t *pair)
{
    bool whole = at_path(w, "covey.resources");
    size_t len = strcspn(w->rest, whole ? "" : ".");
    *pair = map->count;
    for (size_t i = 0; i < map->count; i++) {
        const char *key = map->pairs[i].key->text;
        size_t n = strlen(key);
        bool fits = n > 0 && strncmp(w->rest, key, n) == 0 && (!w->rest[n] || (!whole && w->rest[n] == '.'));
        if (fits && (*pair == map->count || n > len)) {
            *pair = i;
            len = n;
        }
    }
    return len;
}

/* The place in @list that the next name is; the list's count: it is told why not. */
static size_t next_place(const struct walk *w, const struct yaml_item *list, size_t *len)
{
    size_t place = 0;
    *len = strcspn(w->rest, ".");
    for (size_t i = 0; i < *len && place < list->count; i++)
        place = isdigit((unsigned char)w->rest[i]) ? place * 10 + (size_t)(w->rest[i] - '0') : list->count;
    if (place >= list->count)
        fail(w->set, "%.*s is a list of %zu, whose places are 0, 1 ...; '%.*s' is none", walked(w), w->set->path,
             list->count, (int)(*len < 60 ? *len : 60), w->rest);
    return place < list->count ? place : list->count;
}

/* Does the name of @len at rest say all that its parameter is? */
static bool replaces_parameter(const struct walk *w, size_t len)
{
    return w->in_parameters && w->depth > 1 && w->depth % 2 == 1 && !w->rest[len] &&
           ((len == 5 && memcmp(w->rest, "value", 5) == 0) || (len == 6 && memcmp(w->rest, "values", 6) == 0));
}

/* Where the next name of the path stands in @in, made if it is not there.  It is passed in
 * rest.  NULL: it is told why. */
static struct yaml_item **next_slot(struct walk *w, struct yaml_item *in)
{
    size_t pair, len;
    if (in->kind == YAML_ITEM_LIST)
        pair = next_place(w, in, &len);
    else
        len = next_name(w, in, &pair);
    if (in->kind == YAML_ITEM_MAP && pair == in->count) {
        if (replaces_parameter(w, len)) {
            pair = in->count = 0;
            in->size = 1;
        }
        struct yaml_item *key = new_key(w, w->rest, len), *value = yaml_doc_new(w->doc, YAML_ITEM_MAP);
        if (!key || !value || !yaml_item_add(in, key, value)) {
            fail_memory(w->set);
            return NULL;
        }
        value->set = w->set->line;
    }
    if (pair == in->count)
        return NULL;
    w->in_parameters = w->in_parameters && (w->depth % 2 == 0 || (len == 10 && memcmp(w->rest, "parameters", 10) == 0));
    w->rest += len + (w->rest[len] == '.');
    return &in->pairs[pair].value;
}

static size_t levels_of(const struct yaml_item *item)
{
    size_t most = 0;
    for (size_t i = 0; i < item->count; i++) {
        size_t levels = levels_of(item->pairs[i].value);
        most = levels > most ? levels : most;
    }
    return most + (item->kind != YAML_ITEM_SCALAR);
}

static bool put(struct walk *w, struct yaml_item *value)
{
    struct yaml_item **slot = &w->doc->root;
    while (*w->rest) {
        struct yaml_item *in = enter(w, slot);
        slot = in ? next_slot(w, in) : NULL;
        if (!slot)
            return false;
    }
    if (w->depth + levels_of(value) > YAML_DEPTH_MAX)
        return fail(w->set, "more than %d levels", YAML_DEPTH_MAX);
    w->on[w->depth - 1]->size += value->size - (*slot)->size;
    *slot = value;
    for (size_t i = w->depth - 1; i > 0; i--)
        w->on[i - 1]->size += w->on[i]->size - w->was[i];
    return w->doc->root->size <= SPEC_NODES_MAX || fail(w->set, "more than %d nodes with it", SPEC_NODES_MAX);
}

/* ---- all of it ------------------------------------------------------------------------ */

/* The value as nodes of @doc's. */
static struct yaml_item *read_value(struct setting *set, struct yaml_doc *doc)
{
    char said[256];
    struct yaml_doc value;
    if (!yaml_doc_read(&value, "value", set->value, strlen(set->value), SPEC_NODES_MAX, said, sizeof said)) {
        fail(set, "the value cannot be read: %s", said);
        return NULL;
    }
    struct yaml_item *root = value.root;
    for (size_t i = 0; i < value.count; i++)
        value.items[i]->set = set->line;
    if (yaml_doc_take(doc, &value))
        return root;
    yaml_doc_fini(&value);
    fail_memory(set);
    return NULL;
}

bool spec_set_tree(struct yaml_doc *doc, const char *line, char *why, size_t why_size)
{
    struct setting set = {.line = line, .why = why, .why_size = why_size};
    if (!parse(&set))
        return false;
    struct yaml_item *value = read_value(&set, doc);
    struct walk walk = {.set = &set, .doc = doc, .rest = set.path, .in_parameters = true};
    return value && put(&walk, value);
}
