/* msg_random.h - random messages, and equality of messages, for tests.
 *
 * Both walk the schema of wire/, so a message that is added there is covered
 * here.  Contents come from one seed; lengths and numbers prefer the edges at
 * which encodings change.
 */
#ifndef COVEY_TESTS_MSG_RANDOM_H
#define COVEY_TESTS_MSG_RANDOM_H

#include <stdio.h>
#include <stdlib.h>

#include "wire/wire_internal.h"

#define RANDOM_ELEMENTS_MAX 20u
#define RANDOM_BYTES_MAX 300u

static const enum msg_kind ALL_KINDS[] = {
#define KIND_ROW(name, number) MSG_##name,
    MSG_LIST(KIND_ROW)
#undef KIND_ROW
};
#define ALL_KINDS_COUNT (sizeof(ALL_KINDS) / sizeof(ALL_KINDS[0]))

/* splitmix64 */
static inline uint64_t random_next(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 to @max, small ones and those next to powers of two preferred. */
static inline uint64_t random_number(uint64_t *seed, uint64_t max)
{
    uint64_t shape = random_next(seed) % 4, x = random_next(seed);
    if (shape == 0)
        x %= 4;
    else if (shape == 1)
        x = (UINT64_C(1) << (x % 64)) - (x >> 63);
    else if (shape == 2)
        x >>= x % 64;
    return x <= max ? x : max == UINT64_MAX ? x : x % (max + 1);
}

static inline void random_fill(uint64_t *seed, void *out, size_t len)
{
    uint8_t *p = (uint8_t *)out;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)random_next(seed);
}

static inline struct span random_span(uint64_t *seed, struct scratch *scratch, uint32_t max)
{
    uint32_t len = (uint32_t)random_number(seed, max < RANDOM_BYTES_MAX ? max : RANDOM_BYTES_MAX);
    void *data = scratch_alloc(scratch, len);
    if (!data)
        abort();
    random_fill(seed, data, len);
    return span_of(data, len);
}

static inline void struct_fill(const struct wire_struct *s, uint8_t *base, uint64_t *seed,
                               struct scratch *scratch);

static inline void elements_fill(const struct wire_field *f, uint8_t *base, uint64_t *seed,
                                 struct scratch *scratch)
{
    uint32_t max = f->max < RANDOM_ELEMENTS_MAX ? f->max : RANDOM_ELEMENTS_MAX;
    uint32_t count = (uint32_t)random_number(seed, max);
    uint8_t *elements = base + f->at;
    if (f->type == FIELD_ARRAY) {
        elements = (uint8_t *)scratch_alloc(scratch, (size_t)count * f->of->size);
        if (!elements)
            abort();
        memcpy(base + f->at, &elements, sizeof(elements));
    }
    for (uint32_t i = 0; i < count; i++)
        struct_fill(f->of, elements + i * f->of->size, seed, scratch);
    memcpy(base + f->count_at, &count, sizeof(count));
}

static inline void field_fill(const struct wire_field *f, uint8_t *base, uint64_t *seed,
                              struct scratch *scratch)
{
    void *p = base + f->at;
    switch (f->type) {
    case FIELD_U32:     *(uint32_t *)p = (uint32_t)random_number(seed, f->max); break;
    case FIELD_U64:     *(uint64_t *)p = random_number(seed, UINT64_MAX); break;
    case FIELD_I32:     *(int32_t *)p = (int32_t)random_number(seed, UINT32_MAX); break;
    case FIELD_I64: {
        int64_t x = (int64_t)random_number(seed, UINT64_MAX);
        *(int64_t *)p = x >= f->min ? x : f->min + (x & 1);
        break;
    }
    case FIELD_BOOL:    *(bool *)p = random_next(seed) & 1; break;
    case FIELD_VERSION: *(uint32_t *)p = WIRE_VERSION; break;
    case FIELD_TEXT:
    case FIELD_BYTES:   *(struct span *)p = random_span(seed, scratch, f->max); break;
    case FIELD_HASH:    random_fill(seed, p, sizeof(struct hash128)); break;
    case FIELD_NAME:    /* 16 random digits: no two alike */
        memset(p, 0, f->max);
        snprintf((char *)p, f->max, "%016llx", (unsigned long long)random_next(seed));
        break;
    case FIELD_STRUCT:  struct_fill(f->of, (uint8_t *)p, seed, scratch); break;
    case FIELD_ARRAY:
    case FIELD_INLINE:  elements_fill(f, base, seed, scratch); break;
    }
}

static inline void struct_fill(const struct wire_struct *s, uint8_t *base, uint64_t *seed,
                               struct scratch *scratch)
{
    for (uint32_t i = 0; i < s->field_count; i++)
        field_fill(&s->fields[i], base, seed, scratch);
}

/* Blobs and arrays lie in @scratch. */
static inline void msg_fill(struct msg *out, enum msg_kind kind, uint64_t *seed,
                            struct scratch *scratch)
{
    memset(out, 0, sizeof(*out));
    out->kind = kind;
    struct_fill(wire_message(kind), (uint8_t *)&out->u, seed, scratch);
}

static inline bool struct_equal(const struct wire_struct *s, const uint8_t *a, const uint8_t *b);

static inline bool elements_equal(const struct wire_field *f, const uint8_t *a, const uint8_t *b)
{
    uint32_t count, count_b;
    memcpy(&count, a + f->count_at, sizeof(count));
    memcpy(&count_b, b + f->count_at, sizeof(count_b));
    if (count != count_b)
        return false;
    const uint8_t *elements = a + f->at, *elements_b = b + f->at;
    if (f->type == FIELD_ARRAY) {
        memcpy(&elements, a + f->at, sizeof(elements));
        memcpy(&elements_b, b + f->at, sizeof(elements_b));
    }
    for (uint32_t i = 0; i < count; i++)
        if (!struct_equal(f->of, elements + i * f->of->size, elements_b + i * f->of->size))
            return false;
    return true;
}

static inline bool field_equal(const struct wire_field *f, const uint8_t *a, const uint8_t *b)
{
    const uint8_t *p = a + f->at, *q = b + f->at;
    switch (f->type) {
    case FIELD_U32:
    case FIELD_I32:
    case FIELD_VERSION: return memcmp(p, q, sizeof(uint32_t)) == 0;
    case FIELD_U64:
    case FIELD_I64:     return memcmp(p, q, sizeof(uint64_t)) == 0;
    case FIELD_BOOL:    return *p == *q;
    case FIELD_HASH:    return memcmp(p, q, sizeof(struct hash128)) == 0;
    case FIELD_NAME:    return strncmp((const char *)p, (const char *)q, f->max) == 0;
    case FIELD_STRUCT:  return struct_equal(f->of, p, q);
    case FIELD_ARRAY:
    case FIELD_INLINE:  return elements_equal(f, a, b);
    case FIELD_TEXT:
    case FIELD_BYTES: {
        const struct span *s = (const struct span *)(const void *)p;
        const struct span *t = (const struct span *)(const void *)q;
        return s->len == t->len && (s->len == 0 || memcmp(s->data, t->data, s->len) == 0);
    }
    }
    return false;
}

static inline bool struct_equal(const struct wire_struct *s, const uint8_t *a, const uint8_t *b)
{
    for (uint32_t i = 0; i < s->field_count; i++)
        if (!field_equal(&s->fields[i], a, b))
            return false;
    return true;
}

static inline bool msg_equal(const struct msg *a, const struct msg *b)
{
    return a->kind == b->kind &&
           struct_equal(wire_message(a->kind), (const uint8_t *)&a->u, (const uint8_t *)&b->u);
}

#endif
