/* trial.c - trials that are C functions: which there are, and, inside of one, its
 * parameters and reports. */
#include "covey/sweep.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "sweep/sweep.h"

#define NAMES_MAX 64            /* of trials that somebody who mistyped one may have meant */

struct covey_trial {
    covey_ctx *ctx;
    struct json_object *given;          /* owned */
    struct json_object *params;
    uint32_t number;
    int64_t resource;
    const char *dir;
    char *checkpoint;                   /* owned */
    bool stopped;
    char why[256];                      /* of the first misuse, which fails the trial; "" */
};

/* ---- which there are -------------------------------------------------------------- */

static covey_trial_def *registered;     /* before main, one thread */

void covey_trial_register(covey_trial_def *def)
{
    def->next = registered;
    registered = def;
}

covey_status trial_find(const char *name)
{
    const char *names[NAMES_MAX + 1] = {NULL};
    size_t count = 0;
    for (const covey_trial_def *def = registered; def; def = def->next) {
        if (strcmp(def->name, name) == 0)
            return COVEY_OK;
        if (count < NAMES_MAX)
            names[count++] = def->name;
    }
    const char *near = nearest_word(name, names);
    return sweep_fail(COVEY_EUNKNOWN, "this program has no COVEY_TRIAL \"%s\"%s%s%s; run the sweep from the program that "
                      "has it", name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* ---- its life ---------------------------------------------------------------------- */

static bool begin(covey_trial *t)
{
    struct json_object *number, *resource, *dir;
    const char *text = covey_arg_str(t->ctx, 0);
    t->given = text ? json_tokener_parse(text) : NULL;
    if (!t->given || !json_object_object_get_ex(t->given, "trial", &number) ||
        !json_object_object_get_ex(t->given, "resource", &resource) ||
        !json_object_object_get_ex(t->given, "dir", &dir) ||
        !json_object_object_get_ex(t->given, "params", &t->params))
        return false;
    t->number = (uint32_t)json_object_get_int64(number);
    t->resource = json_object_get_int64(resource);
    t->dir = json_object_get_string(dir);
    return asprintf(&t->checkpoint, "%s/checkpoint", t->dir) >= 0;
}

covey_status covey_trial_main(covey_ctx *ctx, covey_trial_fn fn)
{
    covey_trial t = {.ctx = ctx};
    covey_status status;
    if (!begin(&t))
        status = covey_fail(ctx, 2, "this is no trial of a sweep: its argument is not what covey_sweep_run() sends");
    else
        status = fn(&t);
    if (t.why[0])
        status = covey_fail(ctx, 2, "%s", t.why);
    else if (status != COVEY_OK && !t.stopped)
        status = covey_fail(ctx, 1, "the trial returned %s", covey_strerror(status));
    else if (t.stopped || status == COVEY_OK)
        status = covey_return_nil(ctx);
    json_object_put(t.given);
    free(t.checkpoint);
    return status;
}

/* ---- parameters --------------------------------------------------------------------- */

/* "opt.kind": the parameter of that very name, else "kind" in "opt". */
static struct json_object *look_up(struct json_object *in, const char *name)
{
    struct json_object *v;
    if (json_object_object_get_ex(in, name, &v))
        return v;
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        char *head = strndup(name, (size_t)(dot - name));
        bool found = head && json_object_object_get_ex(in, head, &v) && json_object_is_type(v, json_type_object);
        free(head);
        if (found && (v = look_up(v, dot + 1)))
            return v;
    }
    return NULL;
}

static struct json_object *find(covey_trial *t, const char *name, const char *wanted)
{
    struct json_object *v = t && name ? look_up(t->params, name) : NULL;
    if (!v && t && !t->why[0])
        snprintf(t->why, sizeof t->why, "trial %u has no parameter \"%s\", of which it wants %s", t->number,
                 name ? name : "NULL", wanted);
    return v;
}

static void mismatch(covey_trial *t, const char *name, struct json_object *v, const char *wanted)
{
    if (!t->why[0])
        snprintf(t->why, sizeof t->why, "parameter \"%s\" is %s; the trial wants %s", name,
                 json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN), wanted);
}

double covey_trial_f64(covey_trial *t, const char *name)
{
    struct json_object *v = find(t, name, "a number");
    if (v && !json_object_is_type(v, json_type_double) && !json_object_is_type(v, json_type_int)) {
        mismatch(t, name, v, "a number");
        v = NULL;
    }
    return v ? json_object_get_double(v) : 0;
}

int64_t covey_trial_i64(covey_trial *t, const char *name)
{
    struct json_object *v = find(t, name, "a whole number");
    if (v && !json_object_is_type(v, json_type_int) &&
        !(json_object_is_type(v, json_type_double) &&
          json_object_get_double(v) == (double)json_object_get_int64(v))) {
        mismatch(t, name, v, "a whole number");
        v = NULL;
    }
    return v ? json_object_get_int64(v) : 0;
}

bool covey_trial_bool(covey_trial *t, const char *name)
{
    struct json_object *v = find(t, name, "true or false");
    if (v && !json_object_is_type(v, json_type_boolean)) {
        mismatch(t, name, v, "true or false");
        v = NULL;
    }
    return v && json_object_get_boolean(v);
}

const char *covey_trial_str(covey_trial *t, const char *name)
{
    struct json_object *v = find(t, name, "a text");
    if (v && !json_object_is_type(v, json_type_string)) {
        mismatch(t, name, v, "a text");
        v = NULL;
    }
    return v ? json_object_get_string(v) : NULL;
}

bool covey_trial_has(covey_trial *t, const char *name) { return t && name && look_up(t->params, name); }
const char *covey_trial_params(covey_trial *t)
{
    return t ? json_object_to_json_string_ext(t->params, JSON_C_TO_STRING_PLAIN) : NULL;
}
uint32_t covey_trial_number(covey_trial *t) { return t ? t->number : 0; }
const char *covey_trial_dir(covey_trial *t) { return t ? t->dir : NULL; }
const char *covey_trial_checkpoint_dir(covey_trial *t) { return t ? t->checkpoint : NULL; }
int64_t covey_trial_resource(covey_trial *t) { return t ? t->resource : 0; }
covey_ctx *covey_trial_ctx(covey_trial *t) { return t ? t->ctx : NULL; }

/* ---- reports -------------------------------------------------------------------------- */

/* The answer is the sweep's own text: {"stop":false,"error":"why"}; in a string, quotes
 * are escaped. */
static covey_status read_answer(covey_trial *t, const char *answer, size_t size)
{
    struct json_object *error = NULL;
    if (memmem(answer, size, "\"stop\":true", 11))
        return COVEY_ECANCELLED;
    if (!memmem(answer, size, "\"error\":", 8))
        return COVEY_OK;
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *whole = tokener ? json_tokener_parse_ex(tokener, answer, (int)size) : NULL;
    bool found = json_object_object_get_ex(whole, "error", &error);
    covey_status status = sweep_fail(COVEY_EPROTO, "a report of trial %u is refused: %s", t->number,
                                     found ? json_object_get_string(error) : "no reason is known");
    json_object_put(whole);
    if (tokener)
        json_tokener_free(tokener);
    return status;
}

covey_status covey_trial_report_json(covey_trial *t, const char *report)
{
    const void *answer;
    size_t size;
    if (!t || !report)
        return sweep_fail(COVEY_EINVAL, "covey_trial_report_json: %s is NULL", t ? "the report" : "the trial");
    covey_status status = covey_ask(t->ctx, report, strlen(report), -1, &answer, &size);
    if (status == COVEY_OK)
        status = read_answer(t, answer, size);
    else if (status != COVEY_ECANCELLED)
        sweep_fail(status, "%s", covey_error());
    t->stopped |= status == COVEY_ECANCELLED;
    return status;
}

covey_status covey_trial_report(covey_trial *t, int64_t step, double value)
{
    struct text line = TEXT_NONE;
    text_puts(&line, "{\"\":");         /* the metric, whatever the file calls it */
    if (value - value == 0)
        text_json_number(&line, value);
    else
        text_puts(&line, value != value ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    if (step > 0)
        text_printf(&line, ",\"step\":%lld", (long long)step);
    text_puts(&line, "}");
    const char *report = text_get(&line);
    covey_status status = report ? covey_trial_report_json(t, report) : COVEY_ENOMEM;
    text_fini(&line);
    return status;
}
