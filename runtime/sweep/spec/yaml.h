/* yaml.h - a YAML text as a bounded tree, each node with its place.
 *
 * One document, UTF-8.  Refused, with line and column: a key that is given
 * twice, a key that is no scalar, a text with a NUL, unknown tags, an alias of
 * what it is part of, more than YAML_DEPTH_MAX levels, and more nodes than the
 * caller allows, where an alias counts as all that it stands for.  Aliases share
 * their nodes, so reading takes memory by the file's size, and only walking
 * takes time by the nodes.  Merge keys (<<: *defaults) are carried out.
 *
 * Scalars.  What is quoted or in a block is text.  The others are what PyYAML,
 * with which W&B reads sweep files, makes of them by the rules of YAML 1.1:
 *
 *   null      ~  null  Null  NULL  and nothing at all
 *   boolean   yes no true false on off, also Capitalised and in CAPITALS
 *   integer   12  -1_000  0b101  0x1f  017 (octal!)  1:30 (base 60: 90);
 *             beyond 64 bits it is refused
 *   float     0.5  1.  .5  1_000.5  1.5e+3  .inf  -.inf  .nan  1:30.5 (90.5)
 *   text      everything else, dates and 08 included
 *
 * and, unlike PyYAML but like YAML 1.2, these are floats: 1e-5 and 1E5 (without
 * a point), 1.5e3 (an exponent without a sign), -.5 (a sign before a point).
 * Dates stay texts.
 */
#ifndef COVEY_SWEEP_YAML_H
#define COVEY_SWEEP_YAML_H

#include "sweep/space/value.h"

#define YAML_DEPTH_MAX 64
#define YAML_ANCHORS_MAX 1000   /* an alias looks its anchor up among them */
#define YAML_MERGE_MAX 1000     /* keys that << brings to one mapping */

enum yaml_kind { YAML_ITEM_SCALAR, YAML_ITEM_LIST, YAML_ITEM_MAP };

struct yaml_pair {
    struct yaml_item *key;      /* a scalar; NULL in a list */
    struct yaml_item *value;
};

struct yaml_item {
    enum yaml_kind kind;
    unsigned line, column;      /* from 1, in characters; of an alias: its anchor's */
    char *text;                 /* owned: a scalar's text as it stands there */
    bool plain;                 /* a scalar without quotes */
    struct value value;         /* what it means; a text is `text`, not owned */
    struct yaml_pair *pairs;    /* owned; count of them, in the file's order */
    size_t count;
    size_t size;                /* nodes in it, itself and aliases included */
    /* By spec_set.c, borrowed: the setting that gave this node in place of the text, and the
     * last one that changed something below it. */
    const char *set, *edited;
};

struct yaml_doc {
    struct yaml_item *root;
    struct yaml_item **items;   /* owned, all of them */
    size_t count, cap;
};

/* False with @why (@name:line:column: what, and what would be right), or out of
 * memory; then there is nothing to free. */
bool yaml_doc_read(struct yaml_doc *doc, const char *name, const char *bytes, size_t size,
                   size_t nodes_max, char *why, size_t why_size);
void yaml_doc_fini(struct yaml_doc *doc);

/* A node more that @doc frees, in no mapping yet; NULL: out of memory. */
struct yaml_item *yaml_doc_new(struct yaml_doc *doc, enum yaml_kind kind);
/* @from's nodes are @doc's from here on, and @from is empty.  False: out of memory, and
 * nothing has changed. */
bool yaml_doc_take(struct yaml_doc *doc, struct yaml_doc *from);
/* A pair more at the end of @item, @key NULL in a list.  False: out of memory. */
bool yaml_item_add(struct yaml_item *item, struct yaml_item *key, struct yaml_item *value);

/* The value of @key in a map; NULL: it has none. */
struct yaml_item *yaml_item_get(const struct yaml_item *map, const char *key);
/* For messages: "a list", "the text 'x'", "the number 5".  Returns @out. */
const char *yaml_item_describe(const struct yaml_item *item, char *out, size_t size);
/* The same values as JSON, canonical (value.c).  Keys are texts as they stand there. */
void yaml_item_print_json(struct text *t, const struct yaml_item *item);

/* What a plain scalar means; a text borrows @text.  False: an integer that is too large. */
bool yaml_scalar_resolve(char *text, struct value *out);

#endif
