/* results.c - a running task's results: small ones are encoded for the reply,
 * large ones are written into the store and travel as a place. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/submit.h"
#include "core/text.h"
#include "worker/run.h"

static struct result *add(covey_ctx *ctx)
{
    if (ctx->result_count == TASK_RESULTS_MAX) {
        run_fail(ctx, COVEY_ELIMIT, 0, "it returned more than %u results", TASK_RESULTS_MAX);
        return NULL;
    }
    if (ctx->result_count == ctx->result_cap) {
        uint32_t cap = ctx->result_cap ? ctx->result_cap * 2 : 8;
        struct result *results = realloc(ctx->results, cap * sizeof(*results));
        if (!results) {
            run_fail(ctx, COVEY_ENOMEM, 0, "out of memory for a result");
            return NULL;
        }
        ctx->results = results;
        ctx->result_cap = cap;
    }
    struct result *r = &ctx->results[ctx->result_count++];
    memset(r, 0, sizeof(*r));
    return r;
}

/* Until the end an inline result's @len is where it ends in @out. */
static covey_status added(covey_ctx *ctx, struct result *r)
{
    r->value.len = (uint32_t)ctx->out.len;
    if (!ctx->out.failed)
        return COVEY_OK;
    return run_fail(ctx, COVEY_ENOMEM, 0, "out of memory for a result");
}

#define RETURN_VALUE(put)                                                     \
    do {                                                                      \
        if (!ctx)                                                             \
            return COVEY_EINVAL;                                              \
        struct result *r = add(ctx);                                          \
        if (!r)                                                               \
            return ctx->status;                                               \
        put;                                                                  \
        return added(ctx, r);                                                 \
    } while (0)

covey_status covey_return_nil(covey_ctx *ctx) { RETURN_VALUE(value_put_nil(&ctx->out)); }
covey_status covey_return_i64(covey_ctx *ctx, int64_t x) { RETURN_VALUE(value_put_i64(&ctx->out, x)); }
covey_status covey_return_u64(covey_ctx *ctx, uint64_t x) { RETURN_VALUE(value_put_u64(&ctx->out, x)); }
covey_status covey_return_f64(covey_ctx *ctx, double x) { RETURN_VALUE(value_put_f64(&ctx->out, x)); }

/* Room in the store for the next result; sealed when the task has ended. */
static covey_status create(covey_ctx *ctx, size_t size, covey_kind kind, void **data)
{
    struct result *r = add(ctx);
    if (!r)
        return ctx->status;
    struct oid id = {ctx->task->owner.node, ctx->task->owner.proc, ctx->task->seq, ctx->result_count - 1};
    pthread_mutex_lock(&ctx->c->lock);
    covey_status status = alloc_locked(ctx->c, id, kind, size, &r->place, data);
    pthread_mutex_unlock(&ctx->c->lock);
    if (status != COVEY_OK) {
        ctx->result_count--;
        return run_fail(ctx, status, 0, "result %u (%zu bytes): %s", ctx->result_count, size, covey_error());
    }
    r->in_store = true;
    return COVEY_OK;
}

static covey_status return_bytes(covey_ctx *ctx, const void *data, size_t size, covey_kind kind)
{
    if (!ctx || (!data && size))
        return COVEY_EINVAL;
    if (size <= INLINE_RESULT_MAX && ctx->out.len + size <= RUN_INLINE_MAX) {
        if (kind == COVEY_STR)
            RETURN_VALUE(value_put_str(&ctx->out, data, size));
        RETURN_VALUE(value_put_bytes(&ctx->out, data, size));
    }
    void *room;
    covey_status status = create(ctx, size + (kind == COVEY_STR), kind, &room);
    if (status != COVEY_OK)
        return status;
    store_warm(ctx->c->store, &ctx->results[ctx->result_count - 1].place);
    store_copy(room, data, size);
    if (kind == COVEY_STR)
        ((char *)room)[size] = 0;
    return COVEY_OK;
}

covey_status covey_return_bytes(covey_ctx *ctx, const void *data, size_t size)
{
    return return_bytes(ctx, data, size, COVEY_BYTES);
}

covey_status covey_return_str(covey_ctx *ctx, const char *s)
{
    if (!ctx || !s)
        return COVEY_EINVAL;
    size_t len = strlen(s);
    if (!utf8_valid(s, len))
        return run_fail(ctx, COVEY_EINVAL, 0, "result %u is a string that is not UTF-8; return bytes",
                        ctx->result_count);
    return return_bytes(ctx, s, len, COVEY_STR);
}

covey_status covey_return_object(covey_ctx *ctx, const covey_type *type, const void *object)
{
    void *packed;
    size_t size;
    if (!ctx || !type || !type->pack || !object)
        return COVEY_EINVAL;
    if (!pack_object(type, object, &packed, &size))
        return run_fail(ctx, COVEY_ENOMEM, 0, "result %u could not be packed", ctx->result_count);
    covey_status status = covey_return_bytes(ctx, packed, size);
    free(packed);
    return status;
}

covey_status covey_return_create(covey_ctx *ctx, size_t size, void **data)
{
    if (!ctx || !data)
        return COVEY_EINVAL;
    return create(ctx, size, COVEY_BYTES, data);
}

covey_status covey_fail(covey_ctx *ctx, int code, const char *format, ...)
{
    if (!ctx || !format)
        return COVEY_EINVAL;
    char text[WHY_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return run_fail(ctx, COVEY_ETASK, code, "%s%s", text, utf8_valid(text, strlen(text)) ? "" : " (not UTF-8)");
}

/* Inline results get their final spans; those in the store are sealed, or
 * given back when the task failed. */
void run_end_results(covey_ctx *ctx, bool ok)
{
    uint32_t begin = 0;
    for (uint32_t i = 0; i < ctx->result_count; i++) {
        struct result *r = &ctx->results[i];
        if (!r->in_store) {
            uint32_t end = r->value.len;
            r->value = (struct span){ctx->out.data + begin, end - begin};
            begin = end;
        } else if (ok) {
            store_seal(ctx->c->store, &r->place);
        } else {
            store_abandon(ctx->c->store, &r->place);
        }
    }
    if (!ok)
        ctx->result_count = 0;
}
