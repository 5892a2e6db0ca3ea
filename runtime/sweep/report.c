/* report.c - one report of a trial, from its JSON to the answer.
 *
 * A report is an object: {"step": 5, "loss": 0.3, "lr": 1e-3}.  Its step may
 * be missing; the metric may be NaN or Infinity, as Python and JavaScript print
 * them, with quotes or without.  JSON has no such numbers, so they are recorded
 * as the texts "NaN", "Infinity" and "-Infinity". */
#include "sweep/sweep.h"

#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define DEPTH_MAX 16

static bool refuse(struct sweep_answer *out, const char *why)
{
    out->refused = true;
    snprintf(out->why, sizeof out->why, "%s", why);
    return false;
}

/* The caller puts it back; NULL: @out says why. */
static struct json_object *parse(const char *json, size_t size, struct sweep_answer *out)
{
    if (size > SWEEP_REPORT_MAX) {
        refuse(out, "a report has at most 65536 bytes");
        return NULL;
    }
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    if (!tokener) {
        refuse(out, "the sweep is out of memory");
        return NULL;
    }
    json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);        /* results.jsonl is to be JSON */
    struct json_object *report = json_tokener_parse_ex(tokener, size > 0 ? json : " ", size > 0 ? (int)size : 1);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    while (end < size && strchr(" \t\r\n", json[end]))
        end++;
    if (error == json_tokener_success && json_object_is_type(report, json_type_object) && end == size)
        return report;
    /* To be continued is what it says of one that ends too soon. */
    bool shape = error == json_tokener_success || error == json_tokener_continue;
    snprintf(out->why, sizeof out->why, "%s%sa report is a JSON object, such as {\"step\": 5, \"loss\": 0.3}",
             shape ? "" : json_tokener_error_desc(error), shape ? "" : ": ");
    out->refused = true;
    json_object_put(report);
    return NULL;
}

static bool number_of(struct json_object *v, double *out)
{
    static const struct { const char *text; double value; } names[] = {
        {"NaN", NAN}, {"nan", NAN}, {"Infinity", INFINITY}, {"inf", INFINITY}, {"-Infinity", -INFINITY},
        {"-inf", -INFINITY},
    };
    if (json_object_is_type(v, json_type_double) || json_object_is_type(v, json_type_int)) {
        *out = json_object_get_double(v);
        return true;
    }
    for (size_t i = 0; json_object_is_type(v, json_type_string) && i < sizeof names / sizeof *names; i++)
        if (strcmp(json_object_get_string(v), names[i].text) == 0) {
            *out = names[i].value;
            return true;
        }
    return false;
}

/* For who waits for a metric that never comes: what came instead.  As many as there is room for. */
static void keep_names(covey_sweep *s, struct json_object *report)
{
    size_t len = 0, size = sizeof s->other_metrics;
    s->other_metrics[0] = 0;
    json_object_object_foreach(report, name, value)
    {
        (void)value;
        if (strcmp(name, "step") != 0 && len + strlen(name) + 5 < size)
            len += (size_t)snprintf(s->other_metrics + len, size - len, "%s\"%s\"", len ? ", " : "", name);
    }
}

/* False: @out says why. */
static bool read_report(covey_sweep *s, struct json_object *report, int64_t *step, double *value,
                        bool *has_value, struct sweep_answer *out)
{
    struct json_object *v;
    if (*step == 0 && json_object_object_get_ex(report, "step", &v)) {
        bool whole = json_object_is_type(v, json_type_int) ||
                     (json_object_is_type(v, json_type_double) &&
                      json_object_get_double(v) == floor(json_object_get_double(v)));
        if (!whole)
            return refuse(out, "\"step\" is to be a whole number");
        *step = json_object_get_int64(v);
        if (*step < 0)
            return refuse(out, "\"step\" is to be 0 or more");
    }
    const char *metric = s->spec->metric.name;
    if (json_object_object_get_ex(report, "", &v)) {    /* covey_trial_report() does not know its name */
        json_object_object_add(report, metric ? metric : "value", json_object_get(v));
        json_object_object_del(report, "");
    }
    *has_value = metric && json_object_object_get_ex(report, metric, &v);
    if (metric && !*has_value)
        keep_names(s, report);
    if (*has_value && !number_of(v, value)) {
        snprintf(out->why, sizeof out->why, "\"%s\" is to be a number", metric);
        out->refused = true;
        return false;
    }
    return true;
}

static struct json_object *text_of(double value)
{
    return json_object_new_string(isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

static bool is_endless(struct json_object *v)
{
    return json_object_is_type(v, json_type_double) && !isfinite(json_object_get_double(v));
}

/* Every number in @v that JSON does not have becomes a text.  False: out of memory. */
static bool make_strict(struct json_object *v)
{
    bool ok = true;
    struct json_object *text;
    if (json_object_is_type(v, json_type_object)) {
        json_object_object_foreach(v, name, member) {
            text = is_endless(member) ? text_of(json_object_get_double(member)) : NULL;
            ok = (text ? json_object_object_add(v, name, text) == 0 : make_strict(member)) && ok;
        }
    } else if (json_object_is_type(v, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(v); i++) {
            struct json_object *item = json_object_array_get_idx(v, i);
            text = is_endless(item) ? text_of(json_object_get_double(item)) : NULL;
            ok = (text ? json_object_array_put_idx(v, i, text) == 0 : make_strict(item)) && ok;
        }
    } else {
        ok = !is_endless(v);
    }
    return ok;
}

static void record_report(covey_sweep *s, uint32_t trial, int64_t step, const double *value,
                          struct json_object *report, struct sweep_answer *out)
{
    struct record_event e = {.kind = RECORD_REPORT, .time_ms = clock_unix_ms(), .trial = trial};
    bool whole = json_object_object_add(report, "step", json_object_new_int64(step)) == 0 && make_strict(report);
    if (value && !isfinite(*value))     /* it may have come as "nan" */
        whole = json_object_object_add(report, s->spec->metric.name, text_of(*value)) == 0 && whole;
    e.report.step = step;
    e.report.has_value = value != NULL;
    e.report.value = value ? *value : NAN;
    e.report.metrics = whole ? json_object_to_json_string_ext(report, JSON_C_TO_STRING_PLAIN) : NULL;
    record_append(s->record, &e);
    out->seq = e.seq;
}

void sweep_report(covey_sweep *s, uint32_t trial, int64_t step, const char *json, size_t size,
                  struct sweep_answer *out)
{
    double value = NAN;
    bool has_value = false;
    *out = (struct sweep_answer){0};
    struct json_object *report = parse(json, size, out);
    if (report && read_report(s, report, &step, &value, &has_value, out)) {
        int64_t counts_as;
        enum controller_answer answer =
            controller_report(s->controller, trial, step, has_value ? &value : NULL, &counts_as);
        out->stop = answer == REPORT_STOP || answer == REPORT_ENDING;
        if (answer == REPORT_LOWER) {
            const struct trial *t = controller_trial(s->controller, trial);
            out->refused = true;
            snprintf(out->why, sizeof out->why, "step %lld is below %lld, which was reported already",
                     (long long)step, (long long)t->run_step);
        }
        if (answer == REPORT_BEYOND) {
            out->refused = true;
            snprintf(out->why, sizeof out->why, "\"step\" is to be at most %lld", (long long)SCHEDULER_STEP_MAX);
        }
        /* Noted before the record has the report: after a crash a kept checkpoint may be newer than
         * the score that it belongs to, but not older.  The trial waits, and its files are at rest. */
        if (counts_as > 0 && scheduler_score_step(controller_scheduler(s->controller), trial) == counts_as)
            out->copy = launch_snapshot(s, trial);
        if (counts_as > 0)
            record_report(s, trial, counts_as, has_value ? &value : NULL, report, out);
    }
    json_object_put(report);
}
