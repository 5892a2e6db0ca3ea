/* yaml.c - see yaml.h for the contract.
 *
 * libyaml gives events; each function here takes the event at which a node
 * begins and reads until the node ends.  Every node is in doc->items, so that a
 * failure anywhere frees all by one loop.
 */
#include "sweep/spec/yaml.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MERGE_KEY "<<"
#define STANDARD_TAG "tag:yaml.org,2002:"

struct place { unsigned line, column; };

struct anchor {
    char *name;                 /* owned */
    struct yaml_item *item;
    bool open;                  /* its end has not been read */
};

struct loader {
    yaml_parser_t parser;
    struct yaml_doc *doc;
    struct anchor anchors[YAML_ANCHORS_MAX];
    size_t anchor_count;
    size_t nodes, nodes_max;
    unsigned depth;
    const char *name, *bytes;
    size_t size;
    char *why;
    size_t why_size;
};

/* ---- what is wrong ------------------------------------------------------------- */

static struct place place_of(yaml_mark_t mark)
{
    return (struct place){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static struct place item_place(const struct yaml_item *item)
{
    return (struct place){item->line, item->column};
}

__attribute__((format(printf, 3, 4)))
static bool fail(struct loader *l, struct place at, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    snprintf(l->why, l->why_size, "%s:%u:%u: %s", l->name, at.line, at.column, what);
    return false;
}

static bool fail_memory(struct loader *l)
{
    snprintf(l->why, l->why_size, "%s: out of memory", l->name);
    return false;
}

/* libyaml's reader knows the byte at which it failed, and no line. */
static bool fail_in_reader(struct loader *l)
{
    size_t offset = l->parser.problem_offset < l->size ? l->parser.problem_offset : l->size;
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < offset; i++) {
        bool next_line = l->bytes[i] == '\n';
        line += next_line;
        column = next_line ? 1 : column + 1;
    }
    return fail(l, (struct place){line, column}, "%s; the file is to be text in UTF-8",
                l->parser.problem);
}

/* Does the line of @mark begin with a tab or with blanks and a tab? */
static bool is_indented_by_tab(const struct loader *l, yaml_mark_t mark)
{
    const char *p = l->bytes, *end = l->bytes + l->size;
    for (size_t line = 0; line < mark.line && p < end; p++)
        line += *p == '\n';
    while (p < end && *p == ' ')
        p++;
    return p < end && *p == '\t';
}

static bool fail_in_parser(struct loader *l)
{
    const yaml_parser_t *p = &l->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return fail_memory(l);
    if (p->error == YAML_READER_ERROR)
        return fail_in_reader(l);
    if (is_indented_by_tab(l, p->problem_mark))
        return fail(l, place_of(p->problem_mark),
                    "a tab stands where YAML allows only spaces; indent with spaces");
    const char *context = p->context ? p->context : "";
    return fail(l, place_of(p->problem_mark), "%s%s%s", p->problem ? p->problem : "no YAML",
                *context ? " " : "", context);
}

static bool next_event(struct loader *l, yaml_event_t *event)
{
    return yaml_parser_parse(&l->parser, event) || fail_in_parser(l);
}

/* ---- nodes --------------------------------------------------------------------- */

/* @nodes more, of which one is made or an alias stands for. */
static bool count_nodes(struct loader *l, size_t nodes, struct place at)
{
    l->nodes += nodes;
    return l->nodes <= l->nodes_max ||
           fail(l, at, "more than %zu nodes, aliases counted as what they stand for", l->nodes_max);
}

static bool reserve_items(struct yaml_doc *doc, size_t more)
{
    size_t cap = doc->cap ? doc->cap : 64;
    while (cap < doc->count + more)
        cap *= 2;
    if (cap == doc->cap)
        return true;
    struct yaml_item **items = realloc(doc->items, cap * sizeof(struct yaml_item *));
    if (!items)
        return false;
    doc->items = items;
    doc->cap = cap;
    return true;
}

struct yaml_item *yaml_doc_new(struct yaml_doc *doc, enum yaml_kind kind)
{
    struct yaml_item *item = reserve_items(doc, 1) ? calloc(1, sizeof(struct yaml_item)) : NULL;
    if (!item)
        return NULL;
    item->kind = kind;
    item->size = 1;
    doc->items[doc->count++] = item;
    return item;
}

bool yaml_doc_take(struct yaml_doc *doc, struct yaml_doc *from)
{
    if (!reserve_items(doc, from->count))
        return false;
    memcpy(doc->items + doc->count, from->items, from->count * sizeof(struct yaml_item *));
    doc->count += from->count;
    free(from->items);
    *from = (struct yaml_doc){0};
    return true;
}

/* Capacities are the powers of two, so the count alone tells when one is full. */
bool yaml_item_add(struct yaml_item *item, struct yaml_item *key, struct yaml_item *value)
{
    if ((item->count & (item->count - 1)) == 0) {
        size_t cap = item->count ? item->count * 2 : 1;
        struct yaml_pair *pairs = realloc(item->pairs, cap * sizeof(struct yaml_pair));
        if (!pairs)
            return false;
        item->pairs = pairs;
    }
    item->pairs[item->count++] = (struct yaml_pair){key, value};
    item->size += value->size + (key != NULL);
    return true;
}

static struct yaml_item *item_new(struct loader *l, enum yaml_kind kind, yaml_mark_t mark)
{
    if (!count_nodes(l, 1, place_of(mark)))
        return NULL;
    struct yaml_item *item = yaml_doc_new(l->doc, kind);
    if (!item) {
        fail_memory(l);
        return NULL;
    }
    item->line = (unsigned)mark.line + 1;
    item->column = (unsigned)mark.column + 1;
    return item;
}

static bool add_pair(struct loader *l, struct yaml_item *item, struct yaml_item *key,
                     struct yaml_item *value)
{
    return yaml_item_add(item, key, value) || fail_memory(l);
}

static bool anchor_open(struct loader *l, const yaml_char_t *name, struct yaml_item *item)
{
    if (!name)
        return true;
    if (l->anchor_count == YAML_ANCHORS_MAX)
        return fail(l, item_place(item), "more than %d anchors", YAML_ANCHORS_MAX);
    char *copy = strdup((const char *)name);
    if (!copy)
        return fail_memory(l);
    l->anchors[l->anchor_count++] = (struct anchor){copy, item, true};
    return true;
}

static void anchor_close(struct loader *l, const struct yaml_item *item)
{
    for (size_t i = l->anchor_count; i-- > 0;)
        if (l->anchors[i].item == item)
            l->anchors[i].open = false;
}

static struct yaml_item *load_alias(struct loader *l, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    struct place at = place_of(event->start_mark);
    for (size_t i = l->anchor_count; i-- > 0;) {
        const struct anchor *a = &l->anchors[i];
        if (strcmp(a->name, name) != 0)
            continue;
        if (a->open) {
            fail(l, at, "*%s is part of itself", name);
            return NULL;
        }
        return count_nodes(l, a->item->size, at) ? a->item : NULL;
    }
    fail(l, at, "*%s: no &%s stands before it", name, name);
    return NULL;
}

/* ---- scalars ------------------------------------------------------------------- */

/* A tag other than !!str says of which kind the value is to be. */
static bool apply_tag(struct loader *l, struct yaml_item *item, const char *tag)
{
    static const struct { const char *name; enum value_kind kind; } tags[] = {
        {"null", VALUE_NULL}, {"bool", VALUE_BOOL}, {"int", VALUE_INT}, {"float", VALUE_FLOAT},
    };
    size_t prefix = strlen(STANDARD_TAG);
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        if (strncmp(tag, STANDARD_TAG, prefix) != 0 || strcmp(tag + prefix, tags[i].name) != 0)
            continue;
        if (tags[i].kind == VALUE_FLOAT && item->value.kind == VALUE_INT)
            item->value = value_float((double)item->value.i);
        return item->value.kind == tags[i].kind ||
               fail(l, item_place(item), "'%.40s' is no !!%s", item->text, tags[i].name);
    }
    return fail(l, item_place(item), "the tag %.40s is not understood; leave it out", tag);
}

static struct yaml_item *load_scalar(struct loader *l, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    const char *tag = (const char *)event->data.scalar.tag;
    struct yaml_item *item = item_new(l, YAML_ITEM_SCALAR, event->start_mark);
    if (!item)
        return NULL;
    if (strlen(text) != event->data.scalar.length) {
        fail(l, place_of(event->start_mark),
             "a text with a NUL character, which no command line can have");
        return NULL;
    }
    item->text = strdup(text);
    if (!item->text) {
        fail_memory(l);
        return NULL;
    }
    bool is_text = tag && (strcmp(tag, "!") == 0 || strcmp(tag, STANDARD_TAG "str") == 0);
    item->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    item->value = (struct value){.kind = VALUE_TEXT, .text = item->text};
    bool resolves = (item->plain || tag) && !is_text;
    if (resolves && !yaml_scalar_resolve(item->text, &item->value)) {
        fail(l, place_of(event->start_mark), "an integer beyond 64 bits; with quotes it is a text");
        return NULL;
    }
    if (tag && !is_text && !apply_tag(l, item, tag))
        return NULL;
    if (!anchor_open(l, event->data.scalar.anchor, item))
        return NULL;
    if (event->data.scalar.anchor)
        anchor_close(l, item);
    return item;
}

/* ---- mappings ------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
    const struct yaml_pair *x = a, *y = b;
    int order = strcmp(x->key->text, y->key->text);
    if (order != 0)
        return order;
    if (x->key->line != y->key->line)
        return x->key->line < y->key->line ? -1 : 1;
    return (x->key->column > y->key->column) - (x->key->column < y->key->column);
}

static int by_key_alone(const void *key, const void *pair)
{
    return strcmp(key, ((const struct yaml_pair *)pair)->key->text);
}

static bool check_keys(struct loader *l, const struct yaml_pair *sorted, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct yaml_item *first = sorted[i - 1].key, *second = sorted[i].key;
        if (strcmp(first->text, second->text) == 0)
            return fail(l, item_place(second), "%.80s is given twice; the first is in line %u",
                        second->text, first->line);
    }
    return true;
}

/* Into @map, what @from has and @sorted, the map's own keys, have not. */
static bool merge_one(struct loader *l, struct yaml_item *map, const struct yaml_pair *sorted,
                      size_t count, const struct yaml_item *from)
{
    if (from->kind != YAML_ITEM_MAP)
        return fail(l, item_place(from), MERGE_KEY " takes a mapping, or a list of mappings");
    if (map->count + from->count > YAML_MERGE_MAX)
        return fail(l, item_place(from), MERGE_KEY " brings more than %d keys", YAML_MERGE_MAX);
    if (!count_nodes(l, from->size, item_place(from))) /* so that merging what was merged counts, too */
        return false;
    for (size_t i = 0; i < from->count; i++) {
        const struct yaml_pair *pair = &from->pairs[i];
        if (bsearch(pair->key->text, sorted, count, sizeof(*sorted), by_key_alone) ||
            yaml_item_get(map, pair->key->text))
            continue;
        if (!add_pair(l, map, pair->key, pair->value))
            return false;
    }
    return true;
}

/* Merged pairs come first, as PyYAML has it, and earlier mappings win. */
static bool merge(struct loader *l, struct yaml_item *map, const struct yaml_pair *sorted,
                  const struct yaml_item *merged)
{
    struct yaml_pair *own = map->pairs;
    size_t count = map->count;
    bool ok = true;
    map->pairs = NULL;
    map->count = 0;
    map->size = 1;
    if (merged->kind == YAML_ITEM_LIST)
        for (size_t i = 0; ok && i < merged->count; i++)
            ok = merge_one(l, map, sorted, count, merged->pairs[i].value);
    else
        ok = merge_one(l, map, sorted, count, merged);
    for (size_t i = 0; ok && i < count; i++)
        if (strcmp(own[i].key->text, MERGE_KEY) != 0)
            ok = add_pair(l, map, own[i].key, own[i].value);
    free(own);
    return ok;
}

static bool finish_map(struct loader *l, struct yaml_item *map)
{
    size_t count = map->count;
    if (count == 0)
        return true;
    struct yaml_pair *sorted = calloc(count, sizeof(struct yaml_pair));
    if (!sorted)
        return fail_memory(l);
    memcpy(sorted, map->pairs, count * sizeof(struct yaml_pair));
    qsort(sorted, count, sizeof(struct yaml_pair), by_key);
    bool ok = check_keys(l, sorted, count);
    const struct yaml_pair *merged =
        ok ? bsearch(MERGE_KEY, sorted, count, sizeof(*sorted), by_key_alone) : NULL;
    if (merged && merged->key->plain)
        ok = merge(l, map, sorted, merged->value);
    free(sorted);
    return ok;
}

/* ---- the tree ------------------------------------------------------------------ */

static struct yaml_item *load_node(struct loader *l, const yaml_event_t *event);

/* The next node, or NULL: an error, or, with *@end, the end of the collection. */
static struct yaml_item *load_next(struct loader *l, bool *end)
{
    yaml_event_t event;
    *end = false;
    if (!next_event(l, &event))
        return NULL;
    *end = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
    struct yaml_item *item = *end ? NULL : load_node(l, &event);
    yaml_event_delete(&event);
    return item;
}

static bool load_list(struct loader *l, struct yaml_item *list)
{
    for (;;) {
        bool end;
        struct yaml_item *value = load_next(l, &end);
        if (!value)
            return end;
        if (!add_pair(l, list, NULL, value))
            return false;
    }
}

static bool load_map(struct loader *l, struct yaml_item *map)
{
    for (;;) {
        bool end;
        struct yaml_item *key = load_next(l, &end);
        if (!key)
            return end && finish_map(l, map);
        if (key->kind != YAML_ITEM_SCALAR)
            return fail(l, item_place(key), "a list or mapping stands where a key is expected; "
                        "a text that begins with [ or { wants quotes");
        struct yaml_item *value = load_next(l, &end);
        if (!value || !add_pair(l, map, key, value))
            return false;
    }
}

static struct yaml_item *load_collection(struct loader *l, const yaml_event_t *event)
{
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    const yaml_char_t *anchor = is_list ? event->data.sequence_start.anchor
                                        : event->data.mapping_start.anchor;
    const yaml_char_t *tag = is_list ? event->data.sequence_start.tag : event->data.mapping_start.tag;
    const char *standard = is_list ? STANDARD_TAG "seq" : STANDARD_TAG "map";
    struct yaml_item *item = item_new(l, is_list ? YAML_ITEM_LIST : YAML_ITEM_MAP, event->start_mark);
    if (!item || !anchor_open(l, anchor, item))
        return NULL;
    if (tag && strcmp((const char *)tag, "!") != 0 && strcmp((const char *)tag, standard) != 0) {
        fail(l, item_place(item), "the tag %.40s is not understood; leave it out", (const char *)tag);
        return NULL;
    }
    if (++l->depth > YAML_DEPTH_MAX) {
        fail(l, item_place(item), "more than %d levels", YAML_DEPTH_MAX);
        return NULL;
    }
    if (!(is_list ? load_list(l, item) : load_map(l, item)))
        return NULL;
    l->depth--;
    if (anchor)
        anchor_close(l, item);
    return item;
}

static struct yaml_item *load_node(struct loader *l, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:  return load_alias(l, event);
    case YAML_SCALAR_EVENT: return load_scalar(l, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT: return load_collection(l, event);
    default:
        assert(!"libyaml's grammar has no other event here");
        return NULL;
    }
}

/* Stream start, document start, the tree, document end, stream end. */
static bool load_document(struct loader *l)
{
    yaml_event_t event;
    bool end;
    for (int i = 0; i < 2; i++) {
        if (!next_event(l, &event))
            return false;
        yaml_event_type_t type = event.type;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            return fail(l, (struct place){1, 1}, "the file is empty");
    }
    l->doc->root = load_next(l, &end);
    if (!l->doc->root || !next_event(l, &event))
        return false;
    yaml_event_delete(&event);
    if (!next_event(l, &event))
        return false;
    struct place at = place_of(event.start_mark);
    bool last = event.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event);
    return last || fail(l, at, "a second document begins here; a file is one");
}

bool yaml_doc_read(struct yaml_doc *doc, const char *name, const char *bytes, size_t size,
                   size_t nodes_max, char *why, size_t why_size)
{
    *doc = (struct yaml_doc){0};
    if (size >= 2 && (memcmp(bytes, "\xfe\xff", 2) == 0 || memcmp(bytes, "\xff\xfe", 2) == 0)) {
        snprintf(why, why_size, "%s:1:1: the file is UTF-16; save it as UTF-8", name);
        return false;
    }
    size_t mark = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct loader *l = calloc(1, sizeof(struct loader));
    if (!l || !yaml_parser_initialize(&l->parser)) {
        snprintf(why, why_size, "%s: out of memory", name);
        free(l);
        return false;
    }
    l->doc = doc;
    l->name = name;
    l->bytes = bytes + mark;
    l->size = size - mark;
    l->nodes_max = nodes_max;
    l->why = why;
    l->why_size = why_size;
    yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l->parser, (const unsigned char *)l->bytes, l->size);
    bool ok = load_document(l);
    yaml_parser_delete(&l->parser);
    for (size_t i = 0; i < l->anchor_count; i++)
        free(l->anchors[i].name);
    free(l);
    if (!ok)
        yaml_doc_fini(doc);
    return ok;
}

void yaml_doc_fini(struct yaml_doc *doc)
{
    for (size_t i = 0; i < doc->count; i++) {
        free(doc->items[i]->text);
        free(doc->items[i]->pairs);
        free(doc->items[i]);
    }
    free(doc->items);
    *doc = (struct yaml_doc){0};
}

/* ---- looking at it ---------------------------------------------------------------- */

struct yaml_item *yaml_item_get(const struct yaml_item *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (map->pairs[i].key && strcmp(map->pairs[i].key->text, key) == 0)
            return map->pairs[i].value;
    return NULL;
}

const char *yaml_item_describe(const struct yaml_item *item, char *out, size_t size)
{
    static const char *const formats[] = {
        [VALUE_NULL] = "nothing", [VALUE_BOOL] = "the boolean %.40s", [VALUE_INT] = "the number %.40s",
        [VALUE_FLOAT] = "the number %.40s", [VALUE_TEXT] = "the text '%.40s'",
    };
    if (item->kind == YAML_ITEM_SCALAR)
        snprintf(out, size, formats[item->value.kind], item->text);
    else
        snprintf(out, size, "%s", item->kind == YAML_ITEM_LIST ? "a list" : "a mapping");
    return out;
}

void yaml_item_print_json(struct text *t, const struct yaml_item *item)
{
    if (item->kind == YAML_ITEM_SCALAR) {
        value_print_json(t, &item->value);
        return;
    }
    text_puts(t, item->kind == YAML_ITEM_LIST ? "[" : "{");
    for (size_t i = 0; i < item->count; i++) {
        text_puts(t, i ? ", " : "");
        if (item->pairs[i].key) {
            text_json_string(t, item->pairs[i].key->text);
            text_puts(t, ": ");
        }
        yaml_item_print_json(t, item->pairs[i].value);
    }
    text_puts(t, item->kind == YAML_ITEM_LIST ? "]" : "}");
}
