/* csv.c - see csv.h for the contract. */
#include "sweep/record/csv.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>
#include <time.h>

static void add_field(struct text *out, const char *s)
{
    if (!s[strcspn(s, ",\"\r\n")]) {
        text_puts(out, s);
        return;
    }
    text_add(out, "\"", 1);
    for (; *s; s++) {
        if (*s == '"')
            text_add(out, "\"", 1);
        text_add(out, s, 1);
    }
    text_add(out, "\"", 1);
}

static void add_time(struct text *out, int64_t time_ms)
{
    time_t seconds = time_ms / 1000;
    struct tm tm;
    char date[64];
    if (gmtime_r(&seconds, &tm) && strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) > 0)
        text_printf(out, "%s.%03dZ", date, (int)(time_ms % 1000));
}

/* The member called @name, or by the parts of @name between its dots. */
static struct json_object *find(struct json_object *object, const char *name)
{
    struct json_object *found = NULL;
    char part[256];
    if (!json_object_is_type(object, json_type_object))
        return NULL;
    if (json_object_object_get_ex(object, name, &found))
        return found;
    for (const char *dot = strchr(name, '.'); dot && !found; dot = strchr(dot + 1, '.')) {
        struct json_object *inner;
        size_t len = (size_t)(dot - name);
        if (len >= sizeof part)
            break;
        memcpy(part, name, len);
        part[len] = '\0';
        if (json_object_object_get_ex(object, part, &inner))
            found = find(inner, dot + 1);
    }
    return found;
}

static void add_param(struct text *out, struct json_object *value)
{
    if (json_object_is_type(value, json_type_string))
        add_field(out, json_object_get_string(value));
    else if (value)
        add_field(out, json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
                                                      JSON_C_TO_STRING_NOSLASHESCAPE));
}

void csv_header(struct text *out, struct json_object *columns)
{
    text_puts(out, "trial,state,value,step,started,seconds");
    for (size_t i = 0; i < json_object_array_length(columns); i++) {
        text_puts(out, ",");
        add_field(out, json_object_get_string(json_object_array_get_idx(columns, i)));
    }
    text_puts(out, "\n");
}

void csv_trial(struct text *out, struct json_object *columns, const struct record_trial *trial)
{
    text_printf(out, "%u,%s,", trial->trial, trial->state);
    if (isfinite(trial->value)) {
        text_json_number(out, trial->value);
        text_printf(out, ",%lld,", (long long)trial->step);
    } else {
        text_puts(out, ",,");
    }
    if (trial->started_ms > 0)
        add_time(out, trial->started_ms);
    text_printf(out, ",%lld.%03d", (long long)(trial->ran_ms / 1000), (int)(trial->ran_ms % 1000));
    struct json_object *params = json_tokener_parse(trial->params);
    if (!params)
        out->failed = true; /* it is JSON, so memory ran out */
    for (size_t i = 0; i < json_object_array_length(columns); i++) {
        text_puts(out, ",");
        add_param(out, find(params, json_object_get_string(json_object_array_get_idx(columns, i))));
    }
    json_object_put(params);
    text_puts(out, "\n");
}
