/* bench_object.c - objects: how fast they are put, how soon and how fast read.
 *
 * Large ones.  Putting is copying, so its baseline is memcpy between memory that
 * was touched before; reading is done in place by another process, so its
 * baseline is that process reading memory of its own.  The first time is a
 * figure of its own: then pages are made, or mapped, at 4 KiB each where shared
 * memory has no huge ones.
 *
 * Small ones are 1 KiB: large enough to be in the store, not in a message.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "io/mono.h"

#define LARGE_REPEATS 5
#define FIRST_REPEATS 3         /* each on a new cluster */
#define SMALL_BYTES 1024
#define SMALL_OBJECTS 16384
#define SMALL_REPEATS 15

static double s_since(int64_t begin) { return (double)(mono_ns() - begin) / 1e9; }
static double gb_per_s(int64_t begin) { return (double)BENCH_GIB / 1e9 / s_since(begin); }

/* Memory of our own with all its pages there. */
static void *touched(struct bench *b, size_t size, int byte)
{
    void *p = malloc(size);
    if (p)
        memset(p, byte, size);
    else
        bench_fail(b, "out of memory");
    return p;
}

/* Put @size bytes; the ref has a value, or b->why says why not. */
static bool put(struct bench *b, covey *c, const void *data, size_t size, covey_ref *out)
{
    *out = covey_put(c, data, size);
    covey_status status = covey_get(c, *out, BENCH_WAIT_MS, NULL);
    if (status == COVEY_OK)
        return true;
    bench_fail(b, "an object of %zu bytes: %s", size, covey_error());
    covey_release(c, *out);
    return false;
}

/* ---- 1 GiB: put ------------------------------------------------------------------ */

/* GB/s of one put; the object is gone afterwards.  0: it failed. */
static double put_large(struct bench *b, covey *c, const void *source)
{
    covey_ref ref;
    int64_t begin = mono_ns();
    bool ok = put(b, c, source, BENCH_GIB, &ref);
    double speed = gb_per_s(begin);
    if (!ok)
        return 0;
    covey_release(c, ref);
    /* What was freed is the node's again once it has heard of it. */
    return bench_one_task(b, c) ? speed : 0;
}

bool bench_put_1GiB(struct bench *b, struct bench_figure *out)
{
    double puts[LARGE_REPEATS], copies[LARGE_REPEATS];
    covey *c = bench_has_memory(b) ? bench_cluster(b) : NULL;
    void *source = c ? touched(b, BENCH_GIB, 1) : NULL;
    void *target = source ? touched(b, BENCH_GIB, 2) : NULL;
    bool ok = target && put_large(b, c, source) > 0;
    for (int i = 0; ok && i < LARGE_REPEATS; i++) {
        int64_t begin = mono_ns();
        memcpy(target, source, BENCH_GIB);
        __asm__ volatile("" : : "r"(target) : "memory");
        copies[i] = gb_per_s(begin);
        ok = (puts[i] = put_large(b, c, source)) > 0;
    }
    if (ok)
        *out = (struct bench_figure){bench_median(puts, LARGE_REPEATS),
                                     bench_median(copies, LARGE_REPEATS)};
    free(target);
    free(source);
    return ok;
}

bool bench_put_1GiB_first(struct bench *b, struct bench_figure *out)
{
    double puts[FIRST_REPEATS];
    void *source = bench_has_memory(b) ? touched(b, BENCH_GIB, 1) : NULL;
    bool ok = source != NULL;
    for (int i = 0; ok && i < FIRST_REPEATS; i++) {
        bench_leave(b);
        covey *c = bench_cluster(b);
        ok = c && bench_one_task(b, c) && (puts[i] = put_large(b, c, source)) > 0;
    }
    if (ok)
        out->value = bench_median(puts, FIRST_REPEATS);
    free(source);
    return ok;
}

/* ---- 1 GiB: get ------------------------------------------------------------------- */

/* In another process: the time of a get, in microseconds. */
COVEY_TASK(bench_get, "handle -> f64")
{
    const void *data;
    size_t size;
    covey_ref ref = covey_arg_handle(ctx, 0);
    int64_t begin = mono_ns();
    covey_status status = covey_get_bytes(covey_self(ctx), ref, BENCH_WAIT_MS, &data, &size);
    double us = (double)(mono_ns() - begin) / 1e3;
    if (status != COVEY_OK || size != BENCH_GIB)
        return covey_fail(ctx, 1, "%zu bytes: %s", size, covey_error());
    return covey_return_f64(ctx, us);
}

/* Read it whole, as fast as plain C does. */
static uint64_t sum(const void *data, size_t size)
{
    const uint64_t *v = data;
    uint64_t s[8] = {0};
    for (size_t i = 0; i + 8 <= size / sizeof *v; i += 8)
        for (size_t k = 0; k < 8; k++)
            s[k] += v[i + k];
    return s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}

static double read_speed(const void *data, volatile uint64_t *sink)
{
    int64_t begin = mono_ns();
    *sink += sum(data, BENCH_GIB);
    return gb_per_s(begin);
}

/* Results: GB/s of the first read of the object in this process, of later ones,
 * and of as much memory of its own. */
COVEY_TASK(bench_read, "bytes -> f64 f64 f64")
{
    double shared[LARGE_REPEATS], private[LARGE_REPEATS];
    volatile uint64_t sink = 0;
    size_t size;
    const void *data = covey_arg_bytes(ctx, 0, &size);
    void *own = malloc(BENCH_GIB);
    if (!data || size != BENCH_GIB || !own) {
        free(own);
        return covey_fail(ctx, 1, "%zu bytes and no memory for as many", size);
    }
    memset(own, 1, BENCH_GIB);
    double first = read_speed(data, &sink);
    for (int i = 0; i < LARGE_REPEATS; i++) {
        private[i] = read_speed(own, &sink);
        shared[i] = read_speed(data, &sink);
    }
    free(own);
    covey_return_f64(ctx, first);
    covey_return_f64(ctx, bench_median(shared, LARGE_REPEATS));
    return covey_return_f64(ctx, bench_median(private, LARGE_REPEATS));
}

/* A GiB in the store of the run's cluster. */
static bool put_gib(struct bench *b, covey_ref *out)
{
    covey *c = bench_has_memory(b) ? bench_cluster(b) : NULL;
    void *source = c ? touched(b, BENCH_GIB, 1) : NULL;
    bool ok = source && put(b, c, source, BENCH_GIB, out);
    free(source);
    return ok;
}

static bool take_f64(struct bench *b, covey *c, covey_ref ref, double *out)
{
    return covey_get_f64(c, ref, BENCH_WAIT_MS, out) == COVEY_OK ||
           bench_fail(b, "%s", covey_error());
}

bool bench_get_1GiB(struct bench *b, struct bench_figure *out)
{
    double us[LARGE_REPEATS];
    covey_ref object;
    if (!put_gib(b, &object))
        return false;
    bool ok = true;
    for (int i = 0; ok && i < LARGE_REPEATS; i++) {
        covey_ref ref = covey_submit(b->c, "bench_get", COVEY_ARGS(covey_handle(object)), NULL);
        ok = take_f64(b, b->c, ref, &us[i]);
        covey_release(b->c, ref);
    }
    if (ok)
        out->value = bench_median(us, LARGE_REPEATS);
    covey_release(b->c, object);
    return ok;
}

static bool measure_read(struct bench *b)
{
    covey_ref object;
    if (b->read_own > 0)
        return true;
    bench_leave(b);             /* workers that have not read there before */
    if (!put_gib(b, &object))
        return false;
    covey_ref ref[3] = {covey_submit(b->c, "bench_read", COVEY_ARGS(object), NULL)};
    ref[1] = covey_result(b->c, ref[0], 1);
    ref[2] = covey_result(b->c, ref[0], 2);
    bool ok = take_f64(b, b->c, ref[0], &b->read_first) &&
              take_f64(b, b->c, ref[1], &b->read_later) && take_f64(b, b->c, ref[2], &b->read_own);
    covey_release_all(b->c, ref, 3);
    covey_release(b->c, object);
    return ok;
}

bool bench_get_1GiB_read(struct bench *b, struct bench_figure *out)
{
    bool ok = measure_read(b);
    *out = (struct bench_figure){b->read_later, b->read_own};
    return ok;
}

bool bench_get_1GiB_read_first(struct bench *b, struct bench_figure *out)
{
    bool ok = measure_read(b);
    *out = (struct bench_figure){b->read_first, b->read_own};
    return ok;
}

/* ---- 1 KiB --------------------------------------------------------------------------- */

static bool put_small(struct bench *b, covey *c, covey_ref *refs, double *rate)
{
    uint8_t data[SMALL_BYTES] = {0};
    int64_t begin = mono_ns();
    for (uint32_t i = 0; i < SMALL_OBJECTS; i++) {
        memcpy(data, &i, sizeof i);
        refs[i] = covey_put(c, data, sizeof data);
    }
    *rate = SMALL_OBJECTS / s_since(begin);
    covey_status status = COVEY_OK;
    for (uint32_t i = 0; i < SMALL_OBJECTS && status == COVEY_OK; i++)
        status = covey_get(c, refs[i], BENCH_WAIT_MS, NULL);
    return status == COVEY_OK || bench_fail(b, "an object of 1 KiB: %s", covey_error());
}

bool bench_put_1KiB(struct bench *b, struct bench_figure *out)
{
    double rates[SMALL_REPEATS];
    covey *c = bench_cluster(b);
    covey_ref *refs = calloc(SMALL_OBJECTS, sizeof *refs);
    bool ok = c && (refs || bench_fail(b, "out of memory"));
    for (int i = -1; ok && i < SMALL_REPEATS; i++) {    /* -1: makes the pages */
        ok = put_small(b, c, refs, &rates[i < 0 ? 0 : i]);
        covey_release_all(c, refs, SMALL_OBJECTS);
        ok = ok && bench_one_task(b, c);
    }
    if (ok)
        out->value = bench_median(rates, SMALL_REPEATS);
    free(refs);
    return ok;
}

/* In another process: gets a second, each object looked at. */
COVEY_TASK(bench_get_many, "handle... -> f64")
{
    size_t count = covey_arg_count(ctx);
    covey *c = covey_self(ctx);
    int64_t begin = mono_ns();
    for (uint32_t i = 0; i < count; i++) {
        const void *data;
        size_t size;
        uint32_t seen = UINT32_MAX;
        covey_ref ref = covey_arg_handle(ctx, i);
        covey_status status = covey_get_bytes(c, ref, BENCH_WAIT_MS, &data, &size);
        if (status == COVEY_OK && size == SMALL_BYTES)
            memcpy(&seen, data, sizeof seen);
        if (seen != i)
            return covey_fail(ctx, 1, "object %u: %s", (unsigned)i, covey_error());
    }
    return covey_return_f64(ctx, (double)count / s_since(begin));
}

bool bench_get_1KiB(struct bench *b, struct bench_figure *out)
{
    double rates[SMALL_REPEATS], ignored;
    covey *c = bench_cluster(b);
    covey_ref *refs = calloc(SMALL_OBJECTS, sizeof *refs);
    covey_arg *args = calloc(SMALL_OBJECTS, sizeof *args);
    bool ok = c && ((refs && args) || bench_fail(b, "out of memory"));
    if (ok)
        ok = put_small(b, c, refs, &ignored);
    for (uint32_t i = 0; ok && i < SMALL_OBJECTS; i++)
        args[i] = covey_handle(refs[i]);
    for (int i = 0; ok && i < SMALL_REPEATS; i++) {
        covey_ref ref = covey_submit(c, "bench_get_many", COVEY_ARRAY(args, SMALL_OBJECTS), NULL);
        ok = take_f64(b, c, ref, &rates[i]);
        covey_release(c, ref);
    }
    if (ok)
        out->value = bench_median(rates, SMALL_REPEATS);
    if (c && refs)
        covey_release_all(c, refs, SMALL_OBJECTS);
    free(args);
    free(refs);
    return ok;
}
