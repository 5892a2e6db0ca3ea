/* tbevent.c - see tbevent.h for the contract. */
#include "sweep/record/tbevent.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "sweep/record/metrics.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie in memory");

#define CRC32C_REVERSED 0x82f63b78u
#define MASK_DELTA 0xa282ead8u

/* Wire types of protocol buffers. */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* ---- TFRecord ----------------------------------------------------------------------- */

void tbevent_init(struct tbevent *e)
{
    *e = (struct tbevent){0};
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ CRC32C_REVERSED : crc >> 1;
        e->crc_table[i] = crc;
    }
}

static uint32_t masked_crc(const struct tbevent *e, const void *data, size_t len)
{
    const uint8_t *at = data;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++)
        crc = crc >> 8 ^ e->crc_table[(crc ^ at[i]) & 0xff];
    crc = ~crc;
    return (crc >> 15 | crc << 17) + MASK_DELTA;
}

static void add_u32(struct text *out, uint32_t x)
{
    text_add(out, (const char *)&x, sizeof x);
}

/* e->event as one record. */
static void frame(struct tbevent *e, struct text *out)
{
    uint64_t len = e->event.len;
    out->failed = out->failed || e->event.failed;
    text_add(out, (const char *)&len, sizeof len);
    add_u32(out, masked_crc(e, &len, sizeof len));
    text_add(out, e->event.data, e->event.len);
    add_u32(out, masked_crc(e, e->event.data, e->event.len));
}

/* ---- protocol buffers --------------------------------------------------------------- */

static void add_varint(struct text *out, uint64_t x)
{
    char bytes[10];
    size_t len = 0;
    for (; x >= 0x80; x >>= 7)
        bytes[len++] = (char)(x | 0x80);
    bytes[len++] = (char)x;
    text_add(out, bytes, len);
}

static void add_key(struct text *out, int field, int wire_type)
{
    add_varint(out, (uint64_t)field << 3 | (uint64_t)wire_type);
}

static void add_integer(struct text *out, int field, int64_t x)
{
    add_key(out, field, VARINT);
    add_varint(out, (uint64_t)x);
}

static void add_double(struct text *out, int field, double x)
{
    add_key(out, field, FIXED64);
    text_add(out, (const char *)&x, sizeof x);
}

static void add_float(struct text *out, int field, float x)
{
    add_key(out, field, FIXED32);
    text_add(out, (const char *)&x, sizeof x);
}

static void add_bytes(struct text *out, int field, const char *data, size_t len)
{
    add_key(out, field, BYTES);
    add_varint(out, len);
    text_add(out, data, len);
}

/* @message, which is emptied for the next. */
static void add_message(struct text *out, int field, struct text *message)
{
    out->failed = out->failed || message->failed;
    add_bytes(out, field, message->data, message->len);
    text_clear(message);
}

/* ---- events --------------------------------------------------------------------------- */

static void begin(struct tbevent *e, int64_t time_ms)
{
    text_clear(&e->event);
    text_clear(&e->summary);
    add_double(&e->event, 1, (double)time_ms / 1000.0);
}

void tbevent_version(struct tbevent *e, struct text *out, int64_t time_ms)
{
    static const char version[] = "brain.Event:2";
    begin(e, time_ms);
    add_bytes(&e->event, 3, version, sizeof version - 1);
    frame(e, out);
}

static void on_number(const char *name, size_t len, double value, void *arg)
{
    struct tbevent *e = arg;
    if (len == 4 && memcmp(name, "step", 4) == 0)
        return; /* the axis, not a curve */
    add_bytes(&e->value, 1, name, len);
    add_float(&e->value, 2, (float)value);
    add_message(&e->summary, 1, &e->value);
}

void tbevent_scalars(struct tbevent *e, struct text *out, int64_t time_ms, int64_t step,
                     const char *metrics)
{
    begin(e, time_ms);
    add_integer(&e->event, 2, step);
    metrics_each(metrics, on_number, e);
    if (e->summary.len == 0 && !e->summary.failed)
        return;
    add_message(&e->event, 5, &e->summary);
    frame(e, out);
}

/* google.protobuf.Value: 2 number, 3 string, 4 bool. */
static void add_param(struct text *out, struct json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_boolean:
        add_integer(out, 4, json_object_get_boolean(value));
        break;
    case json_type_int:
    case json_type_double:
        add_double(out, 2, json_object_get_double(value));
        break;
    default: {
        const char *text = value ? json_object_get_string(value) : "None";
        out->failed = out->failed || !text;
        if (text)
            add_bytes(out, 3, text, strlen(text));
    }
    }
}

/* SessionStartInfo: 1 hparams, a map, each entry {1 key, 2 value}. */
static void add_params(struct tbevent *e, struct text *out, struct json_object *params,
                       const char *outer, int depth)
{
    json_object_object_foreach(params, key, value) {
        char name[METRICS_NAME_MAX];
        snprintf(name, sizeof name, "%s%s%s", outer, *outer ? "." : "", key);
        if (json_object_is_type(value, json_type_object) && depth < METRICS_DEPTH_MAX) {
            add_params(e, out, value, name, depth + 1);
            continue;
        }
        add_bytes(&e->value, 1, name, strlen(name));
        add_param(&e->inner, value);
        add_message(&e->value, 2, &e->inner);
        add_message(out, 1, &e->value);
    }
}

/* The parameters hide in the metadata of a summary without a value:
 * Value.9 metadata { 1 plugin { 1 name, 2 content } }, and the content is
 * HParamsPluginData { 1 version, 3 session_start_info { 1 hparams, 5 start_time_secs } }. */
void tbevent_params(struct tbevent *e, struct text *out, int64_t time_ms, const char *params)
{
    static const char tag[] = "_hparams_/session_start_info", plugin[] = "hparams";
    struct json_object *json = json_tokener_parse(params);
    if (!json_object_is_type(json, json_type_object)) {
        out->failed = true; /* it is a JSON object, so memory ran out */
        json_object_put(json);
        return;
    }
    begin(e, time_ms);
    add_params(e, &e->content, json, "", 0);
    json_object_put(json);
    add_double(&e->content, 5, (double)time_ms / 1000.0);
    add_integer(&e->metadata, 1, 0);
    add_message(&e->metadata, 3, &e->content);
    add_bytes(&e->content, 1, plugin, sizeof plugin - 1);
    add_message(&e->content, 2, &e->metadata);
    add_message(&e->metadata, 1, &e->content);
    add_bytes(&e->value, 1, tag, sizeof tag - 1);
    add_message(&e->value, 9, &e->metadata);
    add_message(&e->summary, 1, &e->value);
    add_message(&e->event, 5, &e->summary);
    frame(e, out);
}

void tbevent_fini(struct tbevent *e)
{
    struct text *texts[] = {&e->event, &e->summary, &e->value, &e->metadata, &e->content, &e->inner};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        text_fini(texts[i]);
}
