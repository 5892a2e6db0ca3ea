/* spec_covey.c - the key `covey`: what we add to W&B's format.
 *
 *   covey:
 *     scheduler: {type: asha, max_iter: 81, eta: 3}
 *     search: tpe
 *     resources: {cpus: 1, gpus: 0.5, memory: 2GiB}
 *     parallel: 8
 *
 * Options are checked here as far as one of them goes, so that a message has a
 * line; what several of them say together is scheduler_new()'s to refuse.
 */
#include "sweep/spec/spec_reader.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

#define AMOUNT_MAX 1e9
#define STEP_MAX 1e15           /* what scheduler.c takes is less; this keeps casts exact */

/* ---- scheduler ----------------------------------------------------------------------- */

static const char *const scheduler_names[] = {
    [SCHEDULER_NONE] = "none", [SCHEDULER_ASHA] = "asha", [SCHEDULER_ASHA_PROMOTION] = "asha_promotion",
    [SCHEDULER_HYPERBAND] = "hyperband", [SCHEDULER_MEDIAN] = "median", [SCHEDULER_PBT] = "pbt", NULL,
};
#define BIT(kind) (1u << SCHEDULER_##kind)
#define HALVING (BIT(ASHA) | BIT(ASHA_PROMOTION) | BIT(HYPERBAND))
#define ALL (HALVING | BIT(NONE) | BIT(MEDIAN) | BIT(PBT))
#define OPTION(name, type, min, max) {#name, type, offsetof(struct scheduler_opts, name), min, max}

static const struct spec_field scheduler_fields[] = {
    {"type", SPEC_IGNORED, 0, 0, 0}, /* read first */
    {"factors", SPEC_IGNORED, 0, 0, 0}, /* read apart */
    OPTION(max_iter, SPEC_I64, 1, STEP_MAX),
    OPTION(min_iter, SPEC_I64, 1, STEP_MAX),
    OPTION(eta, SPEC_REAL, 1, 1e6),
    OPTION(brackets, SPEC_U32, 1, SCHEDULER_RUNGS_MAX),
    OPTION(rounds, SPEC_U32, 1, 100),
    OPTION(grace, SPEC_I64, 1, STEP_MAX),
    OPTION(min_samples, SPEC_U32, 1, 0),
    OPTION(population, SPEC_U32, 2, 0),
    OPTION(interval, SPEC_I64, 1, STEP_MAX),
    OPTION(burn_in, SPEC_I64, 0, STEP_MAX),
    OPTION(quantile, SPEC_REAL, 1e-6, 0.5),
    OPTION(resample, SPEC_REAL, 1e-9, 1), /* 0 would be the default, 0.25 */
    {0},
};

/* Which schedulers have the option. */
static const struct { const char *name; unsigned kinds; } option_owners[] = {
    {"type", ALL}, {"max_iter", ALL}, {"min_iter", BIT(ASHA) | BIT(ASHA_PROMOTION)}, {"eta", HALVING},
    {"brackets", BIT(ASHA) | BIT(ASHA_PROMOTION)}, {"rounds", BIT(HYPERBAND)}, {"grace", BIT(MEDIAN)},
    {"min_samples", BIT(MEDIAN)}, {"population", BIT(PBT)}, {"interval", BIT(PBT)},
    {"burn_in", BIT(PBT)}, {"quantile", BIT(PBT)}, {"resample", BIT(PBT)}, {"factors", BIT(PBT)},
};
#define OPTIONS (sizeof(option_owners) / sizeof(option_owners[0]))

/* What the same option is called elsewhere. */
static const struct { const char *theirs, *ours; } scheduler_aliases[] = {
    {"max_t", "max_iter"}, {"max_resource", "max_iter"}, {"R", "max_iter"}, {"grace_period", "min_iter"},
    {"min_resource", "min_iter"}, {"reduction_factor", "eta"}, {"perturbation_interval", "interval"},
    {"quantile_fraction", "quantile"}, {"resample_probability", "resample"},
    {"perturbation_factors", "factors"}, {"burn_in_period", "burn_in"},
    {"min_samples_required", "min_samples"}, {"s", "brackets"},
};

static bool fail_option(struct spec_reader *r, const struct yaml_item *item, const struct yaml_item *key,
                        enum scheduler_kind kind)
{
    const struct yaml_item *type = yaml_item_get(item, "type");
    const char *names[OPTIONS + 1];
    size_t count = 0;
    for (size_t i = 0; i < sizeof(scheduler_aliases) / sizeof(scheduler_aliases[0]); i++)
        if (strcmp(scheduler_aliases[i].theirs, key->text) == 0)
            return spec_fail(r, key, "%s is called %s here", key->text, scheduler_aliases[i].ours);
    for (size_t i = 0; i < OPTIONS; i++) {
        if (strcmp(option_owners[i].name, key->text) == 0)
            return spec_fail(r, key, "%s is no option of the scheduler %s%s", key->text, scheduler_names[kind],
                             type->set && !key->set ? "; --set covey.scheduler={type: ...} replaces them all" : "");
        if (option_owners[i].kinds & 1u << kind)
            names[count++] = option_owners[i].name;
    }
    names[count] = NULL;
    return spec_fail_word(r, key, "option of this scheduler", key->text, names);
}

static bool check_options(struct spec_reader *r, const struct yaml_item *item, enum scheduler_kind kind)
{
    for (size_t i = 0; i < item->count; i++) {
        bool has = false;
        for (size_t k = 0; k < OPTIONS && !has; k++)
            has = strcmp(option_owners[k].name, item->pairs[i].key->text) == 0 &&
                  option_owners[k].kinds & 1u << kind;
        if (!has)
            return fail_option(r, item, item->pairs[i].key, kind);
    }
    return true;
}

/* [1.2, 0.8], in any order. */
static bool read_factors(struct spec_reader *r, const struct yaml_item *item, struct scheduler_opts *opts)
{
    double f[2];
    if (item->kind != YAML_ITEM_LIST || item->count != 2)
        return spec_fail(r, item, "factors are two numbers, such as [1.2, 0.8]");
    for (size_t i = 0; i < 2; i++)
        if (!spec_read_real(r, item->pairs[i].value, &f[i]))
            return false;
    double up = fmax(f[0], f[1]), down = fmin(f[0], f[1]);
    if (up <= 1 || down >= 1 || down <= 0)
        return spec_fail(r, item, "one factor is to be above 1, the other between 0 and 1");
    opts->factor_up = up;
    opts->factor_down = down;
    return true;
}

static bool check_scheduler(struct spec_reader *r, const struct yaml_item *item,
                            const struct scheduler_opts *opts)
{
    if (opts->eta != 0 && opts->eta <= 1)
        return spec_fail(r, yaml_item_get(item, "eta"), "eta %g is not above 1", opts->eta);
    if (opts->min_iter > 0 && opts->max_iter > 0 && opts->min_iter > opts->max_iter)
        return spec_fail(r, yaml_item_get(item, "min_iter"), "min_iter %lld is above max_iter %lld",
                         (long long)opts->min_iter, (long long)opts->max_iter);
    return true;
}

static bool read_scheduler(struct spec_reader *r, const struct yaml_item *item)
{
    struct scheduler_opts opts = {.kind = SCHEDULER_NONE};
    const struct yaml_item *type = item->kind == YAML_ITEM_MAP ? yaml_item_get(item, "type") : item;
    unsigned kind;
    if (!type)
        return spec_fail(r, item, "a scheduler without `type`");
    /* none is a word, but people also write nothing at all. */
    if (type->kind == YAML_ITEM_SCALAR && type->value.kind == VALUE_NULL)
        return true;
    if (!spec_read_word(r, type, "scheduler", scheduler_names, &kind))
        return false;
    opts.kind = (enum scheduler_kind)kind;
    if (item->kind == YAML_ITEM_MAP) {
        if (!check_options(r, item, opts.kind) ||
            !spec_read_map(r, item, "covey.scheduler", scheduler_fields, &opts))
            return false;
        const struct yaml_item *factors = yaml_item_get(item, "factors");
        if ((factors && !read_factors(r, factors, &opts)) || !check_scheduler(r, item, &opts))
            return false;
    }
    r->spec->scheduler = opts;
    return true;
}

static int read_schedulers(struct spec_reader *r, const struct yaml_item *list,
                           struct scheduler_opts *out, int max)
{
    if (list->kind != YAML_ITEM_LIST || list->count == 0 || list->count > (size_t)max) {
        spec_fail(r, list, "1 to %d schedulers are expected, such as asha,hyperband", max);
        return -1;
    }
    for (size_t i = 0; i < list->count; i++) {
        r->spec->scheduler = (struct scheduler_opts){.kind = SCHEDULER_NONE};
        if (!read_scheduler(r, list->pairs[i].value))
            return -1;
        out[i] = r->spec->scheduler;
    }
    return (int)list->count;
}

int spec_read_schedulers(const char *name, const char *text, struct scheduler_opts *out, int max,
                         char *why, size_t why_size)
{
    /* Only a file's name is asked of this spec, and only its scheduler written. */
    char *file = strdup(name);
    struct spec spec = {.file = file};
    struct spec_reader r = {.spec = &spec, .why = why, .why_size = why_size};
    struct text list = TEXT_NONE;
    struct yaml_doc doc;
    int count = -1;
    text_printf(&list, "[%s]", text);
    if (!file || !text_get(&list))
        snprintf(why, why_size, "%s: out of memory", name);
    else if (yaml_doc_read(&doc, name, list.data, list.len, SPEC_NODES_MAX, why, why_size)) {
        count = read_schedulers(&r, doc.root, out, max);
        yaml_doc_fini(&doc);
    }
    text_fini(&list);
    free(file);
    return count;
}

/* ---- search ---------------------------------------------------------------------------- */

static bool read_search(struct spec_reader *r, const struct yaml_item *item)
{
    static const char *const names[] = {
        [SEARCH_GRID] = "grid", [SEARCH_RANDOM] = "random", [SEARCH_SOBOL] = "sobol",
        [SEARCH_TPE] = "tpe", NULL,
    };
    struct { struct search_opts opts; bool liar; } in = {.liar = true};
    static const struct spec_field fields[] = {
        {"type", SPEC_IGNORED, 0, 0, 0},
        {"startup", SPEC_U32, offsetof(struct search_opts, startup), 1, 0},
        {"candidates", SPEC_U32, offsetof(struct search_opts, candidates), 1, 100000},
        {"univariate", SPEC_BOOL, offsetof(struct search_opts, univariate), 0, 0},
        {"constant_liar", SPEC_BOOL, sizeof(struct search_opts), 0, 0},
        {0},
    };
    _Static_assert(offsetof(__typeof__(in), liar) == sizeof(struct search_opts), "as in the table");
    const struct yaml_item *type = item->kind == YAML_ITEM_MAP ? yaml_item_get(item, "type") : item;
    unsigned kind;
    if (!type)
        return spec_fail(r, item, "a search without `type`");
    if (!spec_read_word(r, type, "search", names, &kind))
        return false;
    in.opts.kind = (enum search_kind)kind;
    if (item->kind == YAML_ITEM_MAP && !spec_read_map(r, item, "covey.search", fields, &in))
        return false;
    if (item->kind == YAML_ITEM_MAP && item->count > 1 && in.opts.kind != SEARCH_TPE)
        return spec_fail(r, item, "the search %s has no options", names[kind]);
    in.opts.no_liar = !in.liar;
    r->spec->search = in.opts;
    return true;
}

/* ---- resources --------------------------------------------------------------------------- */

static const struct spec_field resource_fields[] = {
    {"cpus", SPEC_REAL, offsetof(struct spec, cpus), 0, AMOUNT_MAX},
    {"gpus", SPEC_REAL, offsetof(struct spec, gpus), 0, AMOUNT_MAX},
    {"memory", SPEC_BYTES, offsetof(struct spec, memory_bytes), 0, 0},
    {"gpu_memory", SPEC_BYTES, offsetof(struct spec, gpu_memory_bytes), 0, 0},
    {0},
};

/* Any other name is a resource that nodes declare. */
static bool read_custom(struct spec_reader *r, const struct yaml_item *key, const struct yaml_item *item)
{
    static const char *const meant[][2] = {
        {"cpu", "cpus"}, {"CPU", "cpus"}, {"CPUs", "cpus"}, {"gpu", "gpus"}, {"GPU", "gpus"},
        {"GPUs", "gpus"}, {"mem", "memory"}, {"ram", "memory"}, {"RAM", "memory"}, {"num_cpus", "cpus"},
        {"num_gpus", "gpus"}, {"vram", "gpu_memory"}, {"memory_bytes", "memory"},
    };
    struct spec *spec = r->spec;
    double amount;
    for (size_t i = 0; i < sizeof(meant) / sizeof(meant[0]); i++)
        if (strcmp(key->text, meant[i][0]) == 0)
            return spec_fail(r, key, "%s is called %s here", key->text, meant[i][1]);
    if (!*key->text)
        return spec_fail(r, key, "a resource without a name");
    if (!spec_read_real(r, item, &amount))
        return false;
    if (amount < 0 || amount > AMOUNT_MAX)
        return spec_fail(r, item, "%.40s is no amount", item->text);
    size_t at = 0;
    while (at < spec->resource_count && strcmp(spec->resources[at].name, key->text) != 0)
        at++;
    if (at == SPEC_RESOURCES_MAX)
        return spec_fail(r, key, "more than %d resources of your own", SPEC_RESOURCES_MAX);
    if (at == spec->resource_count) {
        char *name = strdup(key->text);
        if (!name)
            return spec_fail_memory(r);
        spec->resources[spec->resource_count++].name = name;
    }
    spec->resources[at].amount = amount;
    return true;
}

static bool read_resource(struct spec_reader *r, const struct yaml_item *key, const struct yaml_item *item)
{
    const struct spec_path *outer = r->path;
    struct spec_path here = {key->text, outer};
    const struct spec_field *field = spec_find_field(resource_fields, key->text);
    r->path = &here;
    bool ok = field ? spec_read_field(r, item, field, r->spec) : read_custom(r, key, item);
    r->path = outer;
    return ok;
}

static bool read_resources(struct spec_reader *r, const struct yaml_item *item)
{
    if (item->kind != YAML_ITEM_MAP)
        return spec_fail_kind(r, item, "a mapping of resources to amounts");
    for (size_t i = 0; i < item->count; i++)
        if (!read_resource(r, item->pairs[i].key, item->pairs[i].value))
            return false;
    return true;
}

/* ---- words ------------------------------------------------------------------------------- */

static bool read_wandb(struct spec_reader *r, const struct yaml_item *item)
{
    static const char *const words[] = {[SPEC_WANDB_AUTO] = "auto", [SPEC_WANDB_OFF] = "off", NULL};
    unsigned which;
    /* off is false to YAML. */
    if (item->kind == YAML_ITEM_SCALAR && item->value.kind == VALUE_BOOL)
        which = item->value.b ? SPEC_WANDB_AUTO : SPEC_WANDB_OFF;
    else if (!spec_read_word(r, item, "choice", words, &which))
        return false;
    r->spec->wandb = (enum spec_wandb)which;
    return true;
}

/* One of two words; *@second: it is the second. */
static bool read_either(struct spec_reader *r, const struct yaml_item *item, const char *what,
                        const char *const words[3], bool *second)
{
    unsigned which;
    if (!spec_read_word(r, item, what, words, &which))
        return false;
    *second = which == 1;
    return true;
}

static bool read_cwd(struct spec_reader *r, const struct yaml_item *item)
{
    static const char *const words[] = {"caller", "trial", NULL};
    return read_either(r, item, "working directory", words, &r->spec->cwd_trial);
}

static bool read_report(struct spec_reader *r, const struct yaml_item *item)
{
    static const char *const words[] = {"socket", "stdout", NULL};
    return read_either(r, item, "way to report", words, &r->spec->report_stdout);
}

static bool read_sync(struct spec_reader *r, const struct yaml_item *item)
{
    static const char *const words[] = {"normal", "full", NULL};
    return read_either(r, item, "way to sync", words, &r->spec->sync_full);
}

/* ---- all of it --------------------------------------------------------------------------- */

/* Read into the spec at once. */
static const struct spec_field plain_fields[] = {
    {"parallel", SPEC_U32, offsetof(struct spec, parallel), 1, 1000000},
    {"retries", SPEC_U32, offsetof(struct spec, retries), 0, 0},
    {"checkpoints", SPEC_U32, offsetof(struct spec, checkpoints_keep), 0, 0},
    {"storm", SPEC_U32, offsetof(struct spec, storm), 0, 0},
    {"time", SPEC_TIME, offsetof(struct spec, time_ms), 1, 0},
    {"trial_time", SPEC_TIME, offsetof(struct spec, trial_time_ms), 1, 0},
    {"grace", SPEC_TIME, offsetof(struct spec, grace_ms), 0, 0},
    {"leave", SPEC_TIME, offsetof(struct spec, leave_ms), 0, 0},
    {0},
};

#define ITEM(name) {#name, SPEC_ITEM, offsetof(struct spec_covey, name), 0, 0}
#define LATER(name) {name, SPEC_IGNORED, 0, 0, 0}

const struct spec_field spec_covey_fields[] = {
    ITEM(scheduler), ITEM(search), ITEM(resources), ITEM(cwd), ITEM(report), ITEM(sync), ITEM(wandb),
    ITEM(points), ITEM(when),
    {"count", SPEC_U64, offsetof(struct spec_covey, count), 1, 0},
    {"seed", SPEC_IGNORED, 0, 0, 0},
    LATER("parallel"), LATER("retries"), LATER("checkpoints"), LATER("storm"), LATER("time"),
    LATER("trial_time"), LATER("grace"), LATER("leave"),
    {0},
};

static bool read_named(struct spec_reader *r, const char *name, const struct yaml_item *item,
                       bool (*read)(struct spec_reader *r, const struct yaml_item *item))
{
    const struct spec_path *outer = r->path;
    struct spec_path here = {name, outer};
    if (!item)
        return true;
    r->path = &here;
    bool ok = read(r, item);
    r->path = outer;
    return ok;
}

static bool read_seed(struct spec_reader *r, const struct yaml_item *item)
{
    int64_t seed;
    if (!spec_read_whole(r, item, 0, INT64_MAX, &seed))
        return false;
    r->spec->seed = (uint64_t)seed;
    return true;
}

bool spec_read_covey(struct spec_reader *r, const struct yaml_item *item, struct spec_covey *out)
{
    if (!spec_read_map(r, item, "covey", spec_covey_fields, out))
        return false;
    for (const struct spec_field *field = plain_fields; field->name; field++) {
        const struct yaml_item *value = yaml_item_get(item, field->name);
        const struct spec_path *outer = r->path;
        struct spec_path here = {field->name, outer};
        r->path = &here;
        bool ok = !value || spec_read_field(r, value, field, r->spec);
        r->path = outer;
        if (!ok)
            return false;
    }
    return read_named(r, "seed", yaml_item_get(item, "seed"), read_seed) &&
           read_named(r, "scheduler", out->scheduler, read_scheduler) &&
           read_named(r, "search", out->search, read_search) &&
           read_named(r, "resources", out->resources, read_resources) &&
           read_named(r, "cwd", out->cwd, read_cwd) &&
           read_named(r, "report", out->report, read_report) &&
           read_named(r, "sync", out->sync, read_sync) &&
           read_named(r, "wandb", out->wandb, read_wandb) &&
           read_named(r, "when", out->when, spec_read_when) &&
           read_named(r, "points", out->points, spec_read_points);
}
