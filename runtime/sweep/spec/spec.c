/* spec.c - see spec.h for the contract: the file as a whole, and W&B's keys.
 *
 * Keys are collected first and then read in one order, whatever theirs is in
 * the file: the space before the points in it, all before what must fit together.
 */
#include "sweep/spec/spec_reader.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/spec/command.h"
#include "sweep/spec/spec_set.h"

#define GRACE_MS 30000          /* W&B's agent waits as long before SIGKILL */
#define STORM 5                 /* ... and gives up after as many failures */

/* The top level, collected. */
struct top {
    const struct yaml_item *method, *metric, *parameters, *command, *early_terminate, *covey;
    const struct yaml_item *metrics, *scheduler;
};

#define ITEM(name) {#name, SPEC_ITEM, offsetof(struct top, name), 0, 0}
#define TEXT(name) {#name, SPEC_TEXT, offsetof(struct spec, name), 0, 0}
#define UNUSED(name) {name, SPEC_IGNORED, 0, 0, 0}

const struct spec_field spec_top_fields[] = {
    ITEM(method), ITEM(metric), ITEM(parameters), ITEM(command), ITEM(early_terminate), ITEM(covey),
    ITEM(metrics), ITEM(scheduler),
    UNUSED("name"), UNUSED("description"), UNUSED("program"), UNUSED("project"), UNUSED("entity"),
    UNUSED("run_cap"),          /* these are in plain_fields */
    UNUSED("apiVersion"), UNUSED("kind"), UNUSED("controller"), UNUSED("job"), UNUSED("image_uri"),
    {0},
};

static const struct spec_field plain_fields[] = {
    TEXT(name), TEXT(description), TEXT(program), TEXT(project), TEXT(entity),
    {"run_cap", SPEC_U64, offsetof(struct spec, run_cap), 1, 0},
    {0},
};

/* ---- method, metric ------------------------------------------------------------------ */

static bool read_method(struct spec_reader *r, const struct yaml_item *item)
{
    static const char *const names[] = {"grid", "random", "bayes", "custom", NULL};
    static const enum search_kind kinds[] = {SEARCH_GRID, SEARCH_RANDOM, SEARCH_TPE, SEARCH_RANDOM};
    unsigned which;
    if (!spec_read_word(r, item, "method", names, &which))
        return false;
    if (strcmp(names[which], "custom") == 0)
        return spec_fail(r, item, "custom means a controller of your own; here that is a program which "
                         "calls `covey sweep ask` and `covey sweep tell`, with a method of grid, random "
                         "or bayes");
    r->spec->search.kind = kinds[which];
    return true;
}

static bool read_metric(struct spec_reader *r, const struct yaml_item *item)
{
    struct { const struct yaml_item *name, *goal, *target, *impute, *running; } raw = {0};
    static const char *const goals[] = {"minimize", "maximize", NULL};
    static const char *const imputes[] = {
        [IMPUTE_WORST] = "worst", [IMPUTE_BEST] = "best", [IMPUTE_LATEST] = "latest", NULL,
    };
    const struct spec_field fields[] = {
        {"name", SPEC_ITEM, offsetof(__typeof__(raw), name), 0, 0},
        {"goal", SPEC_ITEM, offsetof(__typeof__(raw), goal), 0, 0},
        {"target", SPEC_ITEM, offsetof(__typeof__(raw), target), 0, 0},
        {"impute", SPEC_ITEM, offsetof(__typeof__(raw), impute), 0, 0},
        {"impute_while_running", SPEC_ITEM, offsetof(__typeof__(raw), running), 0, 0},
        {0},
    };
    struct spec *spec = r->spec;
    unsigned goal = 0, impute = IMPUTE_WORST, running;
    if (!spec_read_map(r, item, "metric", fields, &raw))
        return false;
    if (!raw.name)
        return spec_fail(r, item, "a metric without `name`");
    if (!spec_read_text(r, raw.name, &spec->metric.name))
        return false;
    if (!spec->metric.name || !*spec->metric.name)
        return spec_fail(r, raw.name, "a metric without a name");
    if ((raw.goal && !spec_read_word(r, raw.goal, "goal", goals, &goal)) ||
        (raw.impute && !spec_read_word(r, raw.impute, "way to impute", imputes, &impute)) ||
        (raw.running && !spec_read_word(r, raw.running, "way to impute", imputes, &running)) ||
        (raw.target && !spec_read_real(r, raw.target, &spec->metric.target)))
        return false;
    spec->metric.maximize = goal == 1;
    spec->metric.has_target = raw.target != NULL;
    spec->metric.impute = (enum spec_impute)impute;
    return true;
}

/* ---- early_terminate ----------------------------------------------------------------- */

static bool check_bands(struct spec_reader *r, const struct yaml_item *item, struct scheduler_opts *opts)
{
    const struct yaml_item *s = yaml_item_get(item, "s");
    if (opts->max_iter > 0 && !s && opts->min_iter == 0)
        return spec_fail(r, item, "max_iter wants s, the number of bands");
    if (opts->max_iter == 0 && opts->min_iter == 0)
        return spec_fail(r, item, "early_terminate wants min_iter, or max_iter and s");
    if (opts->max_iter > 0 && s) {
        if (opts->min_iter > 0)
            spec_warn(r, yaml_item_get(item, "min_iter"),
                      "min_iter is not used, as in W&B: max_iter and s are there");
        opts->min_iter = 0;
        return true;
    }
    if (s || opts->max_iter > 0)
        spec_warn(r, s ? s : yaml_item_get(item, "max_iter"),
                  "%s is not used, as in W&B: it goes with %s, and min_iter is there", s ? "s" : "max_iter",
                  s ? "max_iter" : "s");
    opts->brackets = 0;
    opts->max_iter = 0;
    return true;
}

static bool read_early_terminate(struct spec_reader *r, const struct yaml_item *item)
{
    static const char *const types[] = {"hyperband", NULL};
    static const struct spec_field fields[] = {
        {"type", SPEC_IGNORED, 0, 0, 0},
        {"min_iter", SPEC_I64, offsetof(struct scheduler_opts, min_iter), 1, 1e15},
        {"max_iter", SPEC_I64, offsetof(struct scheduler_opts, max_iter), 1, 1e15},
        {"s", SPEC_U32, offsetof(struct scheduler_opts, brackets), 1, SCHEDULER_RUNGS_MAX},
        {"eta", SPEC_REAL, offsetof(struct scheduler_opts, eta), 1, 1e6},
        {"strict", SPEC_BOOL, offsetof(struct scheduler_opts, strict), 0, 0},
        {0},
    };
    struct scheduler_opts opts = {.kind = SCHEDULER_BANDS, .strict = true};
    unsigned which;
    if (!spec_read_map(r, item, "early_terminate", fields, &opts))
        return false;
    const struct yaml_item *type = yaml_item_get(item, "type");
    if (!type)
        return spec_fail(r, item, "early_terminate without `type: hyperband`");
    if (!spec_read_word(r, type, "early_terminate type of W&B", types, &which))
        return false;
    if (opts.eta != 0 && opts.eta <= 1)
        return spec_fail(r, yaml_item_get(item, "eta"), "eta %g is not above 1", opts.eta);
    if (!check_bands(r, item, &opts))
        return false;
    r->spec->scheduler = opts;
    return true;
}

/* ---- command ------------------------------------------------------------------------- */

static char **copy_command(const char *const *words, size_t count)
{
    char **command = calloc(count + 1, sizeof(char *));
    for (size_t i = 0; command && i < count; i++) {
        command[i] = strdup(words[i]);
        if (!command[i]) {
            command_free(command);
            return NULL;
        }
    }
    return command;
}

static bool use_default_command(struct spec_reader *r)
{
    size_t count = 0;
    while (command_default[count])
        count++;
    r->spec->command = copy_command(command_default, count);
    return r->spec->command || spec_fail_memory(r);
}

static bool read_command(struct spec_reader *r, const struct yaml_item *item)
{
    if (item->kind != YAML_ITEM_LIST)
        return spec_fail(r, item, "a command is a list of words: [\"${interpreter}\", train.py, \"${args}\"]");
    if (item->count == 0)
        return spec_fail(r, item, "an empty command");
    r->spec->command = calloc(item->count + 1, sizeof(char *));
    if (!r->spec->command)
        return spec_fail_memory(r);
    for (size_t i = 0; i < item->count; i++) {
        const struct yaml_item *word = item->pairs[i].value;
        char why[160];
        if (word->kind == YAML_ITEM_SCALAR && word->value.kind == VALUE_NULL && word->plain)
            return spec_fail(r, word, "nothing stands where a word of the command is expected");
        if (word->kind != YAML_ITEM_SCALAR)
            return spec_fail_kind(r, word, "a word of the command (a text with { or [ wants quotes)");
        r->spec->command[i] = strdup(word->text);
        if (!r->spec->command[i])
            return spec_fail_memory(r);
        if (!command_check(word->text, why, sizeof(why)))
            return spec_fail(r, word, "%s", why);
    }
    return true;
}

/* ---- what must fit together -------------------------------------------------------------- */

static bool check_grid(struct spec_reader *r, const struct yaml_item *at)
{
    const struct space *s = &r->spec->space;
    for (size_t i = 0; i < s->count; i++) {
        const struct param *p = &s->params[i];
        bool finite = p->distribution == DIST_CHOICE ||
                      (p->distribution == DIST_UNIFORM && (p->whole || p->quantum > 0));
        if (!finite)
            return spec_fail(r, at, "a grid needs lists of values, int_uniform or q_uniform, and %s has no "
                             "end of values; give it `values`, or use random or bayes", p->name);
    }
    return true;
}

static bool check_whole(struct spec_reader *r, const struct yaml_item *root, const struct top *top,
                        const struct spec_covey *covey)
{
    const struct spec *spec = r->spec;
    const struct yaml_item *search = covey->search ? covey->search : top->method;
    if (!search)
        return spec_fail(r, root, "no `method`: grid, random or bayes");
    if (spec->search.kind == SEARCH_GRID && !check_grid(r, search))
        return false;
    if (spec->metric.name)
        return true;
    if (spec->search.kind == SEARCH_TPE)
        return spec_fail(r, search, "this search learns from a metric: add `metric: {name: loss, goal: "
                         "minimize}`");
    if (spec->scheduler.kind != SCHEDULER_NONE)
        return spec_fail(r, covey->scheduler ? covey->scheduler : top->early_terminate,
                         "stopping early needs a metric: add `metric: {name: loss, goal: minimize}`");
    return true;
}

static bool refuse_controllers(struct spec_reader *r, const struct top *top)
{
    if (top->scheduler)
        return spec_fail(r, top->scheduler, "a scheduler at the top level is of W&B's `method: custom`; ours "
                         "stands below `covey`");
    if (top->metrics)
        return spec_fail(r, top->metrics, "metrics is of W&B's `method: custom`; name one under `metric`");
    return true;
}

static bool read_part(struct spec_reader *r, const char *name, const struct yaml_item *item,
                      bool (*read)(struct spec_reader *r, const struct yaml_item *item))
{
    struct spec_path here = {name, NULL};
    r->path = &here;
    bool ok = read(r, item);
    r->path = NULL;
    return ok;
}

static bool read_plain(struct spec_reader *r, const struct yaml_item *root)
{
    for (const struct spec_field *field = plain_fields; field->name; field++) {
        const struct yaml_item *item = yaml_item_get(root, field->name);
        struct spec_path here = {field->name, NULL};
        r->path = &here;
        bool ok = !item || spec_read_field(r, item, field, r->spec);
        r->path = NULL;
        if (!ok)
            return false;
    }
    return true;
}

/* `covey.count` is a second cap, but --set run_cap means the cap, whatever the file has. */
static void use_count(struct spec *spec, const struct yaml_item *root, uint64_t count)
{
    const struct yaml_item *cap = yaml_item_get(root, "run_cap");
    if (count > 0 && !(cap && cap->set) && (spec->run_cap == 0 || count < spec->run_cap))
        spec->run_cap = count;
}

static bool read_root(struct spec_reader *r, const struct yaml_item *root)
{
    struct top top = {0};
    struct spec_covey covey = {0};
    struct spec *spec = r->spec;
    struct spec_path here = {"covey", NULL};
    if (!spec_read_map(r, root, "a sweep file", spec_top_fields, &top) || !refuse_controllers(r, &top) ||
        !read_plain(r, root))
        return false;
    if (!top.parameters)
        return spec_fail(r, root, "no `parameters`");
    if (!read_part(r, "parameters", top.parameters, spec_read_parameters) ||
        (top.method && !read_part(r, "method", top.method, read_method)) ||
        (top.metric && !read_part(r, "metric", top.metric, read_metric)) ||
        (top.early_terminate && !read_part(r, "early_terminate", top.early_terminate, read_early_terminate)))
        return false;
    if (!(top.command ? read_part(r, "command", top.command, read_command) : use_default_command(r)))
        return false;
    r->path = &here;
    bool ok = !top.covey || spec_read_covey(r, top.covey, &covey);
    r->path = NULL;
    if (!ok)
        return false;
    if (covey.scheduler && top.early_terminate)
        spec_warn(r, top.early_terminate, "early_terminate is not used: covey.scheduler is there");
    use_count(spec, root, covey.count);
    spec->search.seed = spec->scheduler.seed = spec->seed;
    return check_whole(r, root, &top, &covey);
}

/* ---- reading ----------------------------------------------------------------------------- */

static struct spec *spec_new(const char *path)
{
    struct spec *spec = calloc(1, sizeof(struct spec));
    if (!spec)
        return NULL;
    spec->file = strdup(path);
    spec->cpus = spec->gpus = NAN;
    spec->grace_ms = GRACE_MS;
    spec->storm = STORM;
    if (!spec->file)
        spec_free(&spec);
    return spec;
}

static bool read_tree(struct yaml_doc *doc, const char *path, const char *bytes, size_t size,
                      const char *const *sets, char *why, size_t why_size)
{
    if (size > SPEC_FILE_MAX) {
        snprintf(why, why_size, "%s: more than %u bytes", path, SPEC_FILE_MAX);
        return false;
    }
    if (!yaml_doc_read(doc, path, bytes, size, SPEC_NODES_MAX, why, why_size))
        return false;
    bool ok = true;
    for (; ok && sets && *sets; sets++)
        ok = spec_set_tree(doc, *sets, why, why_size);
    if (!ok)
        yaml_doc_fini(doc);
    return ok;
}

/* Of a place in the file that only settings elsewhere made wrong. */
static void tell_whose_fault(const char *path, const char *bytes, size_t size, char *why, size_t why_size)
{
    char alone[256];
    size_t len = strlen(why);
    if (strncmp(why, "--set ", 6) == 0 || strstr(why, " with --set "))
        return;
    struct spec *spec = spec_read(path, bytes, size, NULL, NULL, alone, sizeof alone);
    if (spec)
        snprintf(why + len, why_size - len, "; without --set the file is right");
    spec_free(&spec);
}

struct spec *spec_read_with(const char *path, const char *bytes, size_t size, const char *const *sets,
                            void (*warn)(const char *text, void *arg), void *arg, char *why, size_t why_size)
{
    struct yaml_doc doc;
    if (!read_tree(&doc, path, bytes, size, sets, why, why_size))
        return NULL;
    struct spec *spec = spec_new(path);
    struct spec_reader r = {.spec = spec, .root = doc.root, .warn = warn, .arg = arg, .why = why,
                            .why_size = why_size};
    if (!spec)
        snprintf(why, why_size, "%s: out of memory", path);
    else if (!read_root(&r, doc.root))
        spec_free(&spec);
    yaml_doc_fini(&doc);
    if (!spec && sets && *sets)
        tell_whose_fault(path, bytes, size, why, why_size);
    return spec;
}

struct spec *spec_read(const char *path, const char *bytes, size_t size,
                       void (*warn)(const char *text, void *arg), void *arg, char *why, size_t why_size)
{
    return spec_read_with(path, bytes, size, NULL, warn, arg, why, why_size);
}

struct spec *spec_open(const char *path, const char *const *sets, void (*warn)(const char *text, void *arg),
                       void *arg, char *why, size_t why_size)
{
    struct spec *spec = NULL;
    FILE *file = fopen(path, "rb");
    char *bytes = file ? malloc(SPEC_FILE_MAX + 1) : NULL;
    size_t size = bytes ? fread(bytes, 1, SPEC_FILE_MAX + 1, file) : 0;
    if (!file || (bytes && ferror(file)))
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
    else if (!bytes)
        snprintf(why, why_size, "%s: out of memory", path);
    else
        spec = spec_read_with(path, bytes, size, sets, warn, arg, why, why_size);
    free(bytes);
    if (file)
        fclose(file);
    return spec;
}

void spec_free(struct spec **specp)
{
    struct spec *spec = *specp;
    if (!spec)
        return;
    command_free(spec->command);
    space_fini(&spec->space);
    for (size_t i = 0; i < spec->resource_count; i++)
        free(spec->resources[i].name);
    free(spec->file);
    free(spec->name);
    free(spec->description);
    free(spec->program);
    free(spec->project);
    free(spec->entity);
    free(spec->metric.name);
    free(spec->points);
    free(spec);
    *specp = NULL;
}
