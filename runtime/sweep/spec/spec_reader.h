/* spec_reader.h - what the parts of spec.h's reader share: where we are in the
 * file, typed values, tables of keys.
 *
 * Every function that returns a bool has told why when it returns false; the
 * first reason is the one that counts.
 */
#ifndef COVEY_SWEEP_SPEC_READER_H
#define COVEY_SWEEP_SPEC_READER_H

#include "sweep/spec/spec.h"
#include "sweep/spec/yaml.h"

/* The names that lead to what is being read, innermost first. */
struct spec_path {
    const char *name;
    const struct spec_path *outer;
};

struct spec_reader {
    struct spec *spec;
    const struct spec_path *path;
    const struct yaml_item *root; /* of the file; NULL: this is none */
    void (*warn)(const char *text, void *arg);
    void *arg;
    char *why;
    size_t why_size;
};

/* "FILE:LINE:COLUMN: PATH: what", of @item; "--set KEY=VALUE: what" where a setting gave it, and
 * where one changed what is around it, that is told, too. */
bool spec_fail(struct spec_reader *r, const struct yaml_item *item, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool spec_fail_memory(struct spec_reader *r);
void spec_warn(struct spec_reader *r, const struct yaml_item *item, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "X stands where @wanted is expected", with a hint where quotes are the cause. */
bool spec_fail_kind(struct spec_reader *r, const struct yaml_item *item, const char *wanted);
/* "@word is no @what", and the nearest of @words (NULL-ended), or all of them where
 * none is near and they are few. */
bool spec_fail_word(struct spec_reader *r, const struct yaml_item *item, const char *what,
                    const char *word, const char *const *words);

/* ---- one value ------------------------------------------------------------------ */

/* Numbers may be written as 10 or 1e1 where a whole one is expected. */
bool spec_read_whole(struct spec_reader *r, const struct yaml_item *item, int64_t min, int64_t max,
                     int64_t *out);
/* Finite. */
bool spec_read_real(struct spec_reader *r, const struct yaml_item *item, double *out);
bool spec_read_bool(struct spec_reader *r, const struct yaml_item *item, bool *out);
/* Any scalar, as it stands there; nothing is NULL.  Replaces and frees *@out. */
bool spec_read_text(struct spec_reader *r, const struct yaml_item *item, char **out);
/* The index of the word in @words (NULL-ended). */
bool spec_read_word(struct spec_reader *r, const struct yaml_item *item, const char *what,
                    const char *const *words, unsigned *out);
/* 90 (seconds), 2h30m, 1.5h, 500ms. */
bool spec_read_time(struct spec_reader *r, const struct yaml_item *item, int64_t *ms);
/* 4096, 512M and 2GiB (1024), 2GB (1000). */
bool spec_read_bytes(struct spec_reader *r, const struct yaml_item *item, uint64_t *bytes);
/* What the parameter is to be: a scalar, or a list or mapping as JSON.  Finite. */
bool spec_read_value(struct spec_reader *r, const struct yaml_item *item, struct value *out);

/* ---- a mapping ------------------------------------------------------------------ */

enum spec_type {
    SPEC_U32, SPEC_U64, SPEC_I64,   /* whole, in min..max */
    SPEC_REAL,                      /* in min..max */
    SPEC_BOOL, SPEC_TEXT,
    SPEC_TIME,                      /* int64_t ms, at least min */
    SPEC_BYTES,                     /* uint64_t */
    SPEC_ITEM,                      /* const struct yaml_item *, to be read later */
    SPEC_IGNORED,
};

struct spec_field {
    const char *name;
    enum spec_type type;
    size_t offset;              /* from the base that spec_read_map() is given */
    double min, max;            /* max 0: as large as the type */
};
#define SPEC_FIELDS_MAX 32      /* in one table */

/* Read @item, which must be a mapping, by @fields (count of them, the last one
 * has no name) into what is at @base.  @what names the mapping in messages. */
bool spec_read_map(struct spec_reader *r, const struct yaml_item *item, const char *what,
                   const struct spec_field *fields, void *base);
/* One of them, whose path is already told. */
bool spec_read_field(struct spec_reader *r, const struct yaml_item *item,
                     const struct spec_field *field, void *base);
const struct spec_field *spec_find_field(const struct spec_field *fields, const char *name);

/* ---- the parts ------------------------------------------------------------------ */

/* spec_param.c: `parameters` into the space. */
bool spec_read_parameters(struct spec_reader *r, const struct yaml_item *item);

/* spec_covey.c: the key `covey`. */
struct spec_covey {
    const struct yaml_item *scheduler, *search, *resources, *cwd, *report, *sync, *wandb, *points, *when;
    uint64_t count;
};
bool spec_read_covey(struct spec_reader *r, const struct yaml_item *item, struct spec_covey *out);

/* The keys that a file may have, and those below `covey`. */
extern const struct spec_field spec_top_fields[], spec_covey_fields[];

/* spec_point.c: `covey.when`, which reorders the space, and then `covey.points`. */
bool spec_read_when(struct spec_reader *r, const struct yaml_item *item);
bool spec_read_points(struct spec_reader *r, const struct yaml_item *item);

#endif
