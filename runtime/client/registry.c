/* registry.c - see registry.h.
 *
 * COVEY_TASK registers before main, one thread; parsing happens at the first
 * look-up, under a lock, into a table that is then read without one. */
#include "client/registry.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/nearest.h"

static covey_task_def *registered;
static struct task_def *table;          /* sorted by name; built once */
static char (*table_why)[128];          /* what is wrong with a signature, or "" */
static uint32_t table_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void covey_register(covey_task_def *def)
{
    def->next = registered;
    registered = def;
}

static const char *const type_names[SIG_TYPES] = {
    [SIG_ANY] = "any", [SIG_I64] = "i64", [SIG_U64] = "u64", [SIG_F64] = "f64",
    [SIG_STR] = "str", [SIG_BYTES] = "bytes", [SIG_HANDLE] = "handle",
};

const char *sig_type_name(enum sig_type type) { return type_names[type]; }

static bool type_of(const char *word, size_t len, uint8_t *out)
{
    for (uint8_t i = 0; i < SIG_TYPES; i++) {
        if (strlen(type_names[i]) == len && memcmp(type_names[i], word, len) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

covey_status signature_parse(const char *text, struct signature *out, char *why, size_t why_size)
{
    memset(out, 0, sizeof(*out));
    bool results = false;
    for (const char *at = text; *at;) {
        if (isspace((unsigned char)*at)) {
            at++;
            continue;
        }
        size_t len = strcspn(at, " \t\n");
        if (len == 2 && at[0] == '-' && at[1] == '>') {
            if (results) {
                snprintf(why, why_size, "signature \"%s\" has two arrows", text);
                return COVEY_ESIGNATURE;
            }
            results = true;
            at += len;
            continue;
        }
        bool open = len > 3 && memcmp(at + len - 3, "...", 3) == 0;
        size_t word = open ? len - 3 : len;
        uint8_t *types = results ? out->result : out->param;
        uint32_t *count = results ? &out->result_count : &out->param_count;
        if (*count == SIGNATURE_TYPES_MAX || (out->params_open && !results) || (open && results) ||
            !type_of(at, word, &types[*count])) {
            snprintf(why, why_size, "signature \"%s\": \"%.*s\" is not understood; types are i64 u64 f64 str bytes "
                     "handle any, and \"...\" ends the last parameter", text, (int)len, at);
            return COVEY_ESIGNATURE;
        }
        if (!results && open)
            out->params_open = true;
        (*count)++;
        at += len;
    }
    if (out->result_count == 0) {
        out->result[0] = SIG_ANY;
        out->result_count = 1;
    }
    return COVEY_OK;
}

bool signature_param(const struct signature *s, uint32_t i, enum sig_type *out)
{
    if (i >= s->param_count && !s->params_open)
        return false;
    *out = (enum sig_type)s->param[i < s->param_count ? i : s->param_count - 1];
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct task_def *)a)->name, ((const struct task_def *)b)->name);
}

static void build(void)
{
    uint32_t count = 0;
    for (covey_task_def *d = registered; d; d = d->next)
        count++;
    table = calloc(count + 1, sizeof(*table));
    table_why = calloc(count + 1, sizeof(*table_why));
    if (!table || !table_why)
        return;                         /* every task is unknown: said at submit */
    for (covey_task_def *d = registered; d; d = d->next)
        table[table_count++] = (struct task_def){.name = d->name, .text = d->signature, .fn = d->fn};
    qsort(table, table_count, sizeof(*table), by_name);
    for (uint32_t i = 0; i < table_count; i++)
        (void)signature_parse(table[i].text, &table[i].signature, table_why[i], sizeof(table_why[i]));
}

const struct task_def *registry_find(const char *name, char *why, size_t why_size)
{
    pthread_once(&once, build);
    static _Thread_local const struct task_def *last;
    struct task_def key = {.name = name};
    const struct task_def *def = last && strcmp(last->name, name) == 0
        ? last : table_count ? bsearch(&key, table, table_count, sizeof(*table), by_name) : NULL;
    if (!def) {
        const char *near = registry_nearest(name);
        snprintf(why, why_size, "no task \"%.200s\" in this program%s%s%s", name, near ? "; did you mean \"" : "",
                 near ? near : "", near ? "\"?" : "");
        return NULL;
    }
    if (table_why[def - table][0]) {
        snprintf(why, why_size, "task \"%s\": %s", name, table_why[def - table]);
        return NULL;
    }
    last = def;
    return def;
}

const char *registry_nearest(const char *name)
{
    struct nearest n = nearest_to(name);
    for (uint32_t i = 0; i < table_count; i++)
        nearest_offer(&n, table[i].name);
    return n.word;
}
