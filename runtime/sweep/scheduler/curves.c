/* curves.c - see curves.h for the contract.
 *
 * Lines of different trials are mixed in a file that was written as they came,
 * so each trial's points are an array of its own, and names are found by a hash
 * table with open addresses.
 */
#include "sweep/scheduler/curves.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 64
#define TABLE_MIN 256u
#define NUMBER_BYTES_MAX 64
#define QUOTED_MAX 40           /* bytes of a field in a message */
#define SECONDS_MAX 1e12         /* so that sums of them are numbers */

struct curve {
    char *name;                 /* owned */
    struct curve_point *points; /* owned */
    uint32_t count, cap;
};

struct curves {
    struct curve *curves;       /* owned */
    uint32_t count, cap;
    uint32_t *table;            /* owned: number + 1 of a curve; 0: free */
    uint32_t table_size;        /* a power of two, at most half full */
};

struct field {
    const char *at;
    size_t len;
};

struct reader {
    struct curves *c;
    const char *path;
    unsigned long line;
    bool maximize;
    int trial, step, value, seconds; /* columns; -1: not there */
    char *why;
    size_t why_size;
};

/* The beginning of @f, with question marks for what a terminal would obey or cannot show. */
static void quote(char out[QUOTED_MAX + 1], struct field f)
{
    size_t len = f.len < QUOTED_MAX ? f.len : QUOTED_MAX;
    memcpy(out, f.at ? f.at : "", len);
    out[len] = '\0';
    text_make_plain(out, len, "");
}

static bool complain(struct reader *r, const char *what, struct field f)
{
    char quoted[QUOTED_MAX + 1];
    quote(quoted, f);
    snprintf(r->why, r->why_size, "%s:%lu: %s%s%s%s", r->path, r->line, what, f.at ? " \"" : "", quoted,
             f.at ? "\"" : "");
    return false;
}

static bool no_memory(struct reader *r) { return complain(r, "out of memory", (struct field){0}); }

/* ---- names ---- */

static uint32_t hash(struct field f) /* FNV-1a */
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < f.len; i++)
        h = (h ^ (unsigned char)f.at[i]) * 16777619u;
    return h;
}

/* The place of @name, or the free one where it would be. */
static uint32_t *find(const struct curves *c, struct field name)
{
    uint32_t i = hash(name) & (c->table_size - 1);
    while (c->table[i] != 0) {
        const char *known = c->curves[c->table[i] - 1].name;
        if (strlen(known) == name.len && memcmp(known, name.at, name.len) == 0)
            break;
        i = (i + 1) & (c->table_size - 1);
    }
    return &c->table[i];
}

static bool grow_table(struct curves *c)
{
    if (c->table && (c->count + 1) * 2 <= c->table_size)
        return true;
    uint32_t size = c->table_size > 0 ? c->table_size * 2 : TABLE_MIN;
    uint32_t *table = calloc(size, sizeof *table);
    if (!table)
        return false;
    free(c->table);
    c->table = table;
    c->table_size = size;
    for (uint32_t i = 0; i < c->count; i++)
        *find(c, (struct field){c->curves[i].name, strlen(c->curves[i].name)}) = i + 1;
    return true;
}

/* The curve of that name, made if it is new; NULL: out of memory. */
static struct curve *curve_named(struct curves *c, struct field name)
{
    if (!grow_table(c))
        return NULL;
    uint32_t *at = find(c, name);
    if (*at != 0)
        return &c->curves[*at - 1];
    if (c->count == c->cap) {
        uint32_t cap = c->cap > 0 ? c->cap * 2 : TABLE_MIN;
        struct curve *curves = realloc(c->curves, cap * sizeof *curves);
        if (!curves)
            return NULL;
        c->curves = curves;
        c->cap = cap;
    }
    char *copy = strndup(name.at, name.len);
    if (!copy)
        return NULL;
    c->curves[c->count] = (struct curve){.name = copy};
    *at = ++c->count;
    return &c->curves[c->count - 1];
}

static bool add_point(struct curve *curve, struct curve_point p)
{
    if (curve->count == curve->cap) {
        if (curve->cap > UINT32_MAX / 4)
            return false;
        uint32_t cap = curve->cap > 0 ? curve->cap * 2 : 16;
        struct curve_point *points = realloc(curve->points, cap * sizeof *points);
        if (!points)
            return false;
        curve->points = points;
        curve->cap = cap;
    }
    curve->points[curve->count++] = p;
    return true;
}

/* ---- lines ---- */

static struct field trim(struct field f)
{
    while (f.len > 0 && (*f.at == ' ' || *f.at == '\t'))
        f.at++, f.len--;
    while (f.len > 0 && strchr(" \t\r", f.at[f.len - 1]))
        f.len--;
    if (f.len >= 2 && f.at[0] == '"' && f.at[f.len - 1] == '"')
        f.at++, f.len -= 2;
    return f;
}

static int split(struct field line, struct field fields[FIELDS_MAX])
{
    int count = 0;
    while (count < FIELDS_MAX) {
        const char *comma = memchr(line.at, ',', line.len);
        size_t len = comma ? (size_t)(comma - line.at) : line.len;
        fields[count++] = trim((struct field){line.at, len});
        if (!comma)
            break;
        line.at += len + 1;
        line.len -= len + 1;
    }
    return count;
}

/* False: not a number as a whole. */
static bool read_number(struct field f, double *out)
{
    char text[NUMBER_BYTES_MAX];
    if (f.len == 0 || f.len >= sizeof text)
        return false;
    memcpy(text, f.at, f.len);
    text[f.len] = '\0';
    char *end;
    *out = strtod(text, &end);
    return *end == '\0';
}

static bool is_field(struct field f, const char *name)
{
    return f.len == strlen(name) && memcmp(f.at, name, f.len) == 0;
}

static bool read_header(struct reader *r, struct field line, const struct field *fields, int count)
{
    r->trial = r->step = r->value = r->seconds = -1;
    for (int i = 0; i < count; i++) {
        if (is_field(fields[i], "trial"))
            r->trial = i;
        else if (is_field(fields[i], "step"))
            r->step = i;
        else if (is_field(fields[i], "value"))
            r->value = i;
        else if (is_field(fields[i], "seconds"))
            r->seconds = i;
    }
    if (r->trial < 0 || r->step < 0 || r->value < 0)
        return complain(r, "the first line must name the columns trial, step and value (and "
                        "may name seconds), with commas between them, and begins with", line);
    return true;
}

static bool read_point(struct reader *r, const struct field *fields, int count)
{
    double step, value, seconds = 1;
    if (count <= r->trial || count <= r->step || count <= r->value)
        return complain(r, "too few columns", (struct field){0});
    if (!read_number(fields[r->step], &step) || step != floor(step) || step < 1 || step > 1e15)
        return complain(r, "step is no whole number from 1", fields[r->step]);
    if (fields[r->value].len == 0)
        value = NAN;
    else if (!read_number(fields[r->value], &value))
        return complain(r, "value is no number", fields[r->value]);
    bool timed = r->seconds >= 0 && count > r->seconds && fields[r->seconds].len > 0;
    if (timed && (!read_number(fields[r->seconds], &seconds) || !(seconds >= 0 && seconds <= SECONDS_MAX)))
        return complain(r, "seconds is no number from 0 to 1e12", fields[r->seconds]);
    if (r->c->count >= CURVES_TRIALS_MAX)
        return complain(r, "too many trials", (struct field){0});
    struct curve *curve = curve_named(r->c, fields[r->trial]);
    if (!curve)
        return no_memory(r);
    if (curve->count > 0 && curve->points[curve->count - 1].step >= (int64_t)step)
        return complain(r, "steps of a trial must rise: step", fields[r->step]);
    double loss = !isfinite(value) ? INFINITY : r->maximize ? -value : value;
    struct curve_point p = {.step = (int64_t)step, .loss = loss, .seconds = seconds};
    return add_point(curve, p) || no_memory(r);
}

static bool read_lines(struct reader *r, const char *bytes, size_t size)
{
    bool header = false;
    size_t mark = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;   /* as spreadsheets write it */
    for (size_t at = mark; at < size;) {
        const char *newline = memchr(bytes + at, '\n', size - at);
        size_t len = newline ? (size_t)(newline - bytes) - at : size - at;
        struct field line = {bytes + at, len}, fields[FIELDS_MAX];
        at += len + 1;
        r->line++;
        if (trim(line).len == 0)
            continue;
        int count = split(line, fields);
        if (!(header ? read_point(r, fields, count) : read_header(r, line, fields, count)))
            return false;
        header = true;
    }
    if (r->c->count > 0)
        return true;
    return complain(r, header ? "no curves: nothing stands below the first line"
                              : "no curves: the file is empty", (struct field){0});
}

struct curves *curves_new(void) { return calloc(1, sizeof(struct curves)); }

bool curves_add(struct curves *c, const char *trial, struct curve_point point)
{
    struct curve *curve = curve_named(c, (struct field){trial, strlen(trial)});
    return curve && add_point(curve, point);
}

struct curves *curves_read(const char *path, const char *bytes, size_t size, bool maximize,
                           char *why, size_t why_size)
{
    struct curves *c = curves_new();
    struct reader r = {
        .c = c, .path = path, .maximize = maximize, .why = why, .why_size = why_size,
    };
    if (!c)
        no_memory(&r);
    else if (!read_lines(&r, bytes, size))
        curves_free(&c);
    return c;
}

/* The file's bytes, which the caller frees; NULL with @why. */
static char *read_file(const char *path, size_t *size, char *why, size_t why_size)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return NULL;
    }
    char *bytes = NULL;
    size_t len = 0, cap = 0;
    bool ok = true;
    do {
        if (len == cap) {
            cap = cap > 0 ? cap * 2 : 65536;
            char *more = cap <= CURVES_BYTES_MAX ? realloc(bytes, cap) : NULL;
            ok = more != NULL;
            bytes = ok ? more : bytes;
        }
        if (ok)
            len += fread(bytes + len, 1, cap - len, f);
    } while (ok && len == cap);
    if (!ok)
        snprintf(why, why_size, "%s: %s", path,
                 cap > CURVES_BYTES_MAX ? "more than 1 GiB" : "out of memory");
    else if (ferror(f))
        snprintf(why, why_size, "%s: cannot be read", path);
    ok = ok && !ferror(f);
    fclose(f);
    if (!ok) {
        free(bytes);
        return NULL;
    }
    *size = len;
    return bytes;
}

struct curves *curves_open(const char *path, bool maximize, char *why, size_t why_size)
{
    size_t size = 0;
    char *bytes = read_file(path, &size, why, why_size);
    if (!bytes)
        return NULL;
    struct curves *c = curves_read(path, bytes, size, maximize, why, why_size);
    free(bytes);
    return c;
}

void curves_free(struct curves **cp)
{
    struct curves *c = *cp;
    if (!c)
        return;
    for (uint32_t i = 0; i < c->count; i++) {
        free(c->curves[i].name);
        free(c->curves[i].points);
    }
    free(c->curves);
    free(c->table);
    free(c);
    *cp = NULL;
}

static bool point(void *arg, uint32_t trial, uint32_t i, struct curve_point *out)
{
    const struct curves *c = arg;
    assert(trial < c->count);
    if (i >= c->curves[trial].count)
        return false;
    *out = c->curves[trial].points[i];
    return true;
}

struct curve_source curves_source(struct curves *c)
{
    return (struct curve_source){.trials = c->count, .point = point, .arg = c};
}

const char *curves_name(const struct curves *c, uint32_t trial)
{
    assert(trial < c->count);
    return c->curves[trial].name;
}

int64_t curves_last_step(const struct curves *c)
{
    int64_t last = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct curve *curve = &c->curves[i];
        if (curve->count > 0 && curve->points[curve->count - 1].step > last)
            last = curve->points[curve->count - 1].step;
    }
    return last;
}
