/* args.c - a running task's arguments: refs resolved, bytes aligned, handles
 * borrowed when they are asked for. */
#include <stdio.h>
#include <stdlib.h>

#include "worker/run.h"

#define ARG_ALIGN 64u

static bool room_for(covey_ctx *ctx, uint32_t count)
{
    if (count <= ctx->arg_cap)
        return true;
    uint32_t cap = count < 16 ? 16 : count * 2;
    struct run_arg *args = realloc(ctx->args, cap * sizeof(*args));
    if (!args)
        return false;
    ctx->args = args;
    ctx->arg_cap = cap;
    return true;
}

static void from_value(struct run_arg *a, const struct value *v)
{
    *a = (struct run_arg){.kind = v->kind, .i64 = v->i64, .u64 = v->u64, .f64 = v->f64,
                          .data = v->bytes.data, .size = v->bytes.len};
}

static bool from_dep(covey_ctx *ctx, uint32_t index, struct run_arg *a)
{
    const struct dep *dep = &ctx->deps[index];
    struct value v;
    struct span in = dep->value;
    switch (dep->kind) {
    case DEP_INLINE:
        if (value_next(&in, &v) != COVEY_OK) {
            run_fail(ctx, COVEY_EPROTO, 0, "an argument's value is malformed");
            return false;
        }
        from_value(a, &v);
        return true;
    case DEP_PLACE:
        *a = (struct run_arg){.kind = (covey_kind)dep->place.kind, .size = dep->place.size, .fixed = true};
        if (store_read(ctx->c->store, dep->id, &dep->place, &a->data) != COVEY_OK) {
            run_fail(ctx, COVEY_ELOST, (int32_t)index, "the bytes of an argument are not in the store any more");
            return false;
        }
        if (a->kind == COVEY_STR && a->size > 0)
            a->size--;
        return true;
    default:
        *a = (struct run_arg){.kind = COVEY_HANDLE, .dep = index};
        return true;
    }
}

/* A ref's value is seen here for the first time: does it fit the signature? */
static bool check_type(covey_ctx *ctx, uint32_t i)
{
    static const covey_kind kinds[SIG_TYPES] = {
        [SIG_I64] = COVEY_I64, [SIG_U64] = COVEY_U64, [SIG_F64] = COVEY_F64, [SIG_STR] = COVEY_STR,
        [SIG_BYTES] = COVEY_BYTES, [SIG_HANDLE] = COVEY_HANDLE,
    };
    const struct run_arg *a = &ctx->args[i];
    enum sig_type type;
    if (!ctx->def || !signature_param(&ctx->def->signature, i, &type))
        return true;
    bool fits = type == SIG_ANY || a->kind == kinds[type] ||
                (type == SIG_I64 && a->kind == COVEY_U64 && a->u64 <= INT64_MAX) ||
                (type == SIG_U64 && a->kind == COVEY_I64 && a->i64 >= 0) ||
                (type == SIG_BYTES && a->kind == COVEY_STR);
    if (!fits)
        run_fail(ctx, COVEY_ESIGNATURE, 0, "argument %u, a ref, has another type than %s in the signature \"%s\"", i,
                 sig_type_name(type), ctx->def->text);
    return fits;
}

bool run_take_args(covey_ctx *ctx, struct span args)
{
    ctx->arg_count = 0;
    for (;;) {
        struct value v;
        covey_status status = value_next(&args, &v);
        if (status == COVEY_EAGAIN)
            return true;
        if (status != COVEY_OK || (v.kind == COVEY_REF && v.dep >= ctx->dep_count)) {
            run_fail(ctx, COVEY_EPROTO, 0, "the arguments are malformed");
            return false;
        }
        if (!room_for(ctx, ctx->arg_count + 1)) {
            run_fail(ctx, COVEY_ENOMEM, 0, "out of memory for the arguments");
            return false;
        }
        struct run_arg *a = &ctx->args[ctx->arg_count++];
        if (v.kind != COVEY_REF)
            from_value(a, &v);
        else if (!from_dep(ctx, v.dep, a) || !check_type(ctx, ctx->arg_count - 1))
            return false;
    }
}

/* Objects and arrays; the handles were given back before (run.c). */
void run_drop_args(covey_ctx *ctx)
{
    while (ctx->objects) {
        struct run_object *o = ctx->objects;
        ctx->objects = o->next;
        if (o->object && o->type->drop)
            o->type->drop(o->object);
        free(o);
    }
    free(ctx->handles);
    free(ctx->keeps);
    ctx->handles = NULL;
    ctx->keeps = NULL;
    scratch_reset(&ctx->scratch);
}

/* ---- what user code calls -------------------------------------------------------- */

size_t covey_arg_count(covey_ctx *ctx) { return ctx ? ctx->arg_count : 0; }

covey_kind covey_arg_kind(covey_ctx *ctx, size_t i)
{
    return ctx && i < ctx->arg_count ? ctx->args[i].kind : COVEY_NIL;
}

static struct run_arg *arg_at(covey_ctx *ctx, size_t i, const char *wanted)
{
    if (!ctx)
        return NULL;
    if (i < ctx->arg_count)
        return &ctx->args[i];
    run_fail(ctx, COVEY_ESIGNATURE, 0, "it asked for argument %zu as %s, and has %u", i, wanted, ctx->arg_count);
    return NULL;
}

static void wrong(covey_ctx *ctx, size_t i, const char *wanted)
{
    run_fail(ctx, COVEY_ESIGNATURE, 0, "its argument %zu is no %s", i, wanted);
}

int64_t covey_arg_i64(covey_ctx *ctx, size_t i)
{
    const struct run_arg *a = arg_at(ctx, i, "i64");
    if (a && a->kind == COVEY_I64)
        return a->i64;
    if (a && a->kind == COVEY_U64 && a->u64 <= INT64_MAX)
        return (int64_t)a->u64;
    if (a)
        wrong(ctx, i, "i64");
    return 0;
}

uint64_t covey_arg_u64(covey_ctx *ctx, size_t i)
{
    const struct run_arg *a = arg_at(ctx, i, "u64");
    if (a && a->kind == COVEY_U64)
        return a->u64;
    if (a && a->kind == COVEY_I64 && a->i64 >= 0)
        return (uint64_t)a->i64;
    if (a)
        wrong(ctx, i, "u64");
    return 0;
}

double covey_arg_f64(covey_ctx *ctx, size_t i)
{
    const struct run_arg *a = arg_at(ctx, i, "f64");
    if (a && a->kind == COVEY_F64)
        return a->f64;
    if (a)
        wrong(ctx, i, "f64");
    return 0;
}

/* Bytes that came inline lie anywhere: users get them aligned, with a NUL behind. */
static const void *fixed(covey_ctx *ctx, struct run_arg *a)
{
    if (!a->fixed) {
        uint8_t *room = scratch_alloc(&ctx->scratch, a->size + ARG_ALIGN + 1);
        if (!room) {
            run_fail(ctx, COVEY_ENOMEM, 0, "out of memory for an argument of %zu bytes", a->size);
            return NULL;
        }
        room += (ARG_ALIGN - (uintptr_t)room % ARG_ALIGN) % ARG_ALIGN;
        if (a->size)
            memcpy(room, a->data, a->size);
        room[a->size] = 0;
        a->data = room;
        a->fixed = true;
    }
    return a->data;
}

const char *covey_arg_str(covey_ctx *ctx, size_t i)
{
    struct run_arg *a = arg_at(ctx, i, "str");
    if (a && a->kind == COVEY_STR)
        return fixed(ctx, a);
    if (a)
        wrong(ctx, i, "str");
    return NULL;
}

const void *covey_arg_bytes(covey_ctx *ctx, size_t i, size_t *size)
{
    struct run_arg *a = arg_at(ctx, i, "bytes");
    if (size)
        *size = 0;
    if (!a)
        return NULL;
    if (a->kind != COVEY_BYTES && a->kind != COVEY_STR) {
        wrong(ctx, i, "bytes");
        return NULL;
    }
    const void *data = fixed(ctx, a);
    if (data && size)
        *size = a->size;
    return data;
}

void *covey_arg_object(covey_ctx *ctx, size_t i, const covey_type *type)
{
    if (!ctx || !type || !type->unpack)
        return NULL;
    for (struct run_object *o = ctx->objects; o; o = o->next)
        if (o->index == i && o->type == type)
            return o->object;
    size_t size;
    const void *data = covey_arg_bytes(ctx, i, &size);
    struct run_object *o = data ? malloc(sizeof(*o)) : NULL;
    if (!o)
        return NULL;
    *o = (struct run_object){ctx->objects, i, type, type->unpack(data, size)};
    ctx->objects = o;
    if (!o->object)
        run_fail(ctx, COVEY_ETYPE, 0, "its argument %zu is no \"%s\"", i, type->name ? type->name : "?");
    return o->object;
}

covey_ref covey_arg_handle(covey_ctx *ctx, size_t i)
{
    covey_ref none = {0, 0};
    const struct run_arg *a = arg_at(ctx, i, "handle");
    if (!a)
        return none;
    if (a->kind != COVEY_HANDLE) {
        wrong(ctx, i, "handle");
        return none;
    }
    pthread_mutex_lock(&ctx->c->lock);
    if (!ctx->handles) {
        ctx->handles = calloc(ctx->dep_count, sizeof(*ctx->handles));
        ctx->keeps = calloc(ctx->dep_count, sizeof(*ctx->keeps));
    }
    covey_ref ref = none;
    if (ctx->handles && ctx->keeps) {
        if (!ctx->handles[a->dep].generation)
            ctx->handles[a->dep] = owner_borrow(ctx->c->owner, &ctx->deps[a->dep]);
        ref = ctx->handles[a->dep];
    }
    pthread_mutex_unlock(&ctx->c->lock);
    if (!ref.generation)
        run_fail(ctx, COVEY_ENOMEM, 0, "out of memory for a handle");
    return ref;
}

covey_status covey_keep(covey_ctx *ctx, covey_ref ref)
{
    for (uint32_t i = 0; ctx && ctx->handles && i < ctx->dep_count; i++) {
        if (ctx->handles[i].index == ref.index && ctx->handles[i].generation == ref.generation) {
            ctx->keeps[i] = true;
            return COVEY_OK;
        }
    }
    error_set("covey_keep: the ref is no handle among this task's arguments");
    return COVEY_EINVAL;
}
