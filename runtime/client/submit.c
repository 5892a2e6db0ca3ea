/* submit.c - from a call to a task: arguments checked against the signature and
 * encoded, options checked, class and function numbered.
 *
 * Nothing here fails as a call: what is wrong becomes a ref that has failed, with
 * the value, the limit and the mend in words. */
#include "client/submit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/package.h"
#include "client/registry.h"
#include "core/text.h"
#include "io/mono.h"
#include "worker/run.h"

covey_arg covey_arg_str_(const char *s)
{
    covey_arg a = {s ? COVEY_STR : COVEY_NIL, 0, {0}, NULL};
    if (s) {
        a.v.bytes.data = s;
        a.v.bytes.size = strlen(s);
    }
    return a;
}

/* ---- arguments ------------------------------------------------------------------- */

static bool dep_room(covey *c, uint32_t count)
{
    if (count <= c->dep_cap)
        return true;
    uint32_t cap = count < 64 ? 64 : count * 2;
    struct owner_dep *deps = realloc(c->deps, cap * sizeof(*deps));
    if (!deps)
        return false;
    c->deps = deps;
    c->dep_cap = cap;
    return true;
}

static bool put_dep(covey *c, struct encoding *e, covey_ref ref, bool handle)
{
    if (!dep_room(c, e->dep_count + 1))
        return encoding_fail(e, COVEY_ENOMEM, "out of memory");
    c->deps[e->dep_count] = (struct owner_dep){ref, handle};
    value_put_dep(&c->args, e->dep_count++);
    return true;
}

static bool mismatch(struct encoding *e, uint32_t i, const covey_arg *a, enum sig_type type)
{
    char value[64] = "";
    if (a->kind == COVEY_I64)
        snprintf(value, sizeof(value), " %lld", (long long)a->v.i64);
    else if (a->kind == COVEY_U64)
        snprintf(value, sizeof(value), " %llu", (unsigned long long)a->v.u64);
    else if (a->kind == COVEY_F64)
        snprintf(value, sizeof(value), " %g", a->v.f64);
    return encoding_fail(e, COVEY_ESIGNATURE, "argument %u is %s%s, the signature \"%s\" has %s there", i,
                         value_kind_name(a->kind), value, e->signature_text, sig_type_name(type));
}

static bool put_number(covey *c, struct encoding *e, uint32_t i, const covey_arg *a, enum sig_type type)
{
    bool negative = a->kind == COVEY_I64 && a->v.i64 < 0;
    uint64_t magnitude = a->kind == COVEY_I64 ? (uint64_t)(negative ? -a->v.i64 : a->v.i64) : a->v.u64;
    if (type == SIG_ANY)
        type = a->kind == COVEY_F64 ? SIG_F64 : a->kind == COVEY_I64 ? SIG_I64 : SIG_U64;
    if (type == SIG_F64 && (a->kind == COVEY_F64 || magnitude <= UINT64_C(1) << 53)) {
        double x = a->kind == COVEY_F64 ? a->v.f64 : negative ? -(double)magnitude : (double)magnitude;
        value_put_f64(&c->args, x);
    } else if (type == SIG_I64 && a->kind != COVEY_F64 && (negative || magnitude <= INT64_MAX)) {
        value_put_i64(&c->args, a->kind == COVEY_I64 ? a->v.i64 : (int64_t)a->v.u64);
    } else if (type == SIG_U64 && a->kind != COVEY_F64 && !negative) {
        value_put_u64(&c->args, magnitude);
    } else {
        return mismatch(e, i, a, type);
    }
    return true;
}

/* Bytes beyond what travels inline go into the store and by reference. */
static bool put_large(covey *c, struct encoding *e, uint32_t i, const void *data, size_t size, covey_kind kind)
{
    /* The wait for the store lets the lock go, and others encode meanwhile. */
    struct buf args = c->args;
    struct owner_dep *deps = c->deps;
    uint32_t dep_cap = c->dep_cap;
    buf_init(&c->args);
    c->deps = NULL;
    c->dep_cap = 0;
    covey_ref ref;
    covey_status status = put_locked(c, data, size, kind, &ref);
    buf_fini(&c->args);
    free(c->deps);
    c->args = args;
    c->deps = deps;
    c->dep_cap = dep_cap;
    if (status != COVEY_OK)
        return encoding_fail(e, status, "argument %u (%zu bytes) has no room in the object store: %s", i, size,
                             covey_error());
    if (e->temporary_count == ENCODING_TEMPORARIES_MAX) {
        owner_release(c->owner, ref, c->now);
        return encoding_fail(e, COVEY_ELIMIT, "more than %d arguments of over %u bytes; put them with covey_put() and "
                             "pass the refs", ENCODING_TEMPORARIES_MAX, INLINE_RESULT_MAX);
    }
    e->temporaries[e->temporary_count++] = ref;
    return put_dep(c, e, ref, false);
}

static bool put_bytes(covey *c, struct encoding *e, uint32_t i, const void *data, size_t size, covey_kind kind)
{
    if (!data && size > 0)
        return encoding_fail(e, COVEY_EINVAL, "argument %u: %zu bytes at NULL", i, size);
    if (size > INLINE_RESULT_MAX || c->args.len + size > INLINE_ARGS_MAX)
        return put_large(c, e, i, data, size, kind);
    if (kind == COVEY_STR)
        value_put_str(&c->args, data, size);
    else
        value_put_bytes(&c->args, data, size);
    return true;
}

bool pack_object(const covey_type *type, const void *object, void **out, size_t *size)
{
    size_t need = type->pack(object, NULL, 0);
    for (int round = 0; round < 3; round++) {       /* an object that others change may grow in between */
        char *room = malloc(need + 1);
        if (!room)
            return false;
        size_t used = type->pack(object, room, need);
        if (used <= need) {
            *out = room;
            *size = used;
            return true;
        }
        free(room);
        need = used;
    }
    return false;
}

static bool put_object(covey *c, struct encoding *e, uint32_t i, const covey_arg *a)
{
    void *packed;
    size_t size;
    if (!a->type->pack || !pack_object(a->type, a->v.bytes.data, &packed, &size))
        return encoding_fail(e, COVEY_EINVAL, "argument %u: an object of type \"%s\" could not be packed", i,
                             a->type->name ? a->type->name : "?");
    bool ok = put_bytes(c, e, i, packed, size, COVEY_BYTES);
    free(packed);
    return ok;
}

static bool put_arg(covey *c, struct encoding *e, uint32_t i, const covey_arg *a, enum sig_type type)
{
    switch (a->kind) {
    case COVEY_NIL:
        value_put_nil(&c->args);
        return type == SIG_ANY || mismatch(e, i, a, type);
    case COVEY_I64: case COVEY_U64: case COVEY_F64:
        return type <= SIG_F64 ? put_number(c, e, i, a, type) : mismatch(e, i, a, type);
    case COVEY_STR:
        if (type != SIG_STR && type != SIG_ANY && type != SIG_BYTES)
            return mismatch(e, i, a, type);
        if (type != SIG_BYTES && !utf8_valid(a->v.bytes.data, a->v.bytes.size))
            return encoding_fail(e, COVEY_EINVAL, "argument %u is a string that is not UTF-8; pass bytes with "
                                 "COVEY_SPAN", i);
        return put_bytes(c, e, i, a->v.bytes.data, a->v.bytes.size, type == SIG_BYTES ? COVEY_BYTES : COVEY_STR);
    case COVEY_BYTES:
        if (type != SIG_BYTES && type != SIG_ANY)
            return mismatch(e, i, a, type);
        return a->type ? put_object(c, e, i, a) : put_bytes(c, e, i, a->v.bytes.data, a->v.bytes.size, COVEY_BYTES);
    case COVEY_REF:
        return type == SIG_HANDLE ? mismatch(e, i, a, type) : put_dep(c, e, a->v.ref, false);
    case COVEY_HANDLE:
        return type != SIG_HANDLE && type != SIG_ANY ? mismatch(e, i, a, type) : put_dep(c, e, a->v.ref, true);
    default:
        return encoding_fail(e, COVEY_EINVAL, "argument %u has the unknown kind %d", i, (int)a->kind);
    }
}

bool encoding_fail(struct encoding *e, covey_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(e->why, sizeof(e->why), format, args);
    va_end(args);
    e->status = status;
    return false;
}

bool encode_args(covey *c, struct encoding *e, const struct signature *s, covey_args args)
{
    buf_reset(&c->args);
    if (args.count > TASK_DEPS_MAX)
        return encoding_fail(e, COVEY_ETOOBIG, "%zu arguments, at most %u", args.count, TASK_DEPS_MAX);
    if (args.count && !args.arg && !args.ref)
        return encoding_fail(e, COVEY_EINVAL, "%zu arguments at NULL", args.count);
    uint32_t least = s->params_open ? s->param_count - 1 : s->param_count;
    if (args.count < least || (args.count > s->param_count && !s->params_open))
        return encoding_fail(e, COVEY_ESIGNATURE, "%zu arguments, the signature \"%s\" has %u%s", args.count,
                             e->signature_text, least, s->params_open ? " or more" : "");
    for (uint32_t i = 0; i < args.count; i++) {
        enum sig_type type = SIG_ANY;
        signature_param(s, i, &type);
        covey_arg by_ref;
        if (args.ref)
            by_ref = covey_arg_ref_(args.ref[i]);
        if (!put_arg(c, e, i, args.ref ? &by_ref : &args.arg[i], type))
            return false;
    }
    if (c->args.failed)
        return encoding_fail(e, COVEY_ENOMEM, "out of memory for the arguments");
    return true;
}

/* ---- options ---------------------------------------------------------------------- */

static bool amount(struct encoding *e, const char *what, double x, double most, int64_t *milli)
{
    if (!(x >= 0) || x > most || isnan(x))
        return encoding_fail(e, COVEY_EINVAL, "option %s = %g: give an amount from 0 to %g", what, x, most);
    *milli = (int64_t)llround(x * 1000);
    if (x > 0 && *milli == 0)
        return encoding_fail(e, COVEY_EINVAL, "option %s = %g: the smallest amount is 0.001", what, x);
    return true;
}

static bool put_custom(struct encoding *e, const covey_resource *r, struct resources *need)
{
    for (; r && r->name; r++) {
        if (need->custom_count == CUSTOM_MAX)
            return encoding_fail(e, COVEY_ELIMIT, "more than %d custom resources", CUSTOM_MAX);
        size_t len = strlen(r->name);
        if (len == 0 || len >= CUSTOM_NAME_MAX || !utf8_valid(r->name, len))
            return encoding_fail(e, COVEY_EINVAL, "resource name \"%.40s\": 1 to %d bytes of UTF-8", r->name,
                                 CUSTOM_NAME_MAX - 1);
        struct custom *custom = &need->custom[need->custom_count++];
        memcpy(custom->name, r->name, len + 1);
        if (!amount(e, r->name, r->amount, 1e12, &custom->milli))
            return false;
    }
    return true;
}

static bool read_opts(struct encoding *e, const covey_opts *in, covey_opts *o, struct resources *need)
{
    memset(o, 0, sizeof(*o));
    if (in) {
        if (in->size < offsetof(covey_opts, cpus) || in->size > sizeof(*o))
            return encoding_fail(e, COVEY_EINVAL, "options of size %zu: make them with COVEY_OPTS(...)", in->size);
        memcpy(o, in, in->size);
    }
    double cpus = o->cpus == 0 ? 1 : o->cpus == COVEY_NO_CPU ? 0 : o->cpus;
    memset(need, 0, sizeof(*need));
    if (!amount(e, "cpus", cpus, 1e6, &need->cpu_milli) || !amount(e, "gpus", o->gpus, 1e6, &need->gpu_milli) ||
        !put_custom(e, o->resources, need))
        return false;
    if (o->memory_bytes > INT64_MAX || o->gpu_memory_bytes > INT64_MAX)
        return encoding_fail(e, COVEY_EINVAL, "option memory_bytes = %llu is beyond 2^63",
                             (unsigned long long)o->memory_bytes);
    need->memory_bytes = (int64_t)o->memory_bytes;
    need->gpu_memory_bytes = (int64_t)o->gpu_memory_bytes;
    if (o->priority < -100 || o->priority > 100)
        return encoding_fail(e, COVEY_EINVAL, "option priority = %d: -100 to 100", o->priority);
    if (o->backoff_ms < 0 || o->deadline_ms < 0)
        return encoding_fail(e, COVEY_EINVAL, "options backoff_ms and deadline_ms are not negative");
    if (o->retries < -1 || o->retries > 1000000)
        return encoding_fail(e, COVEY_EINVAL, "option retries = %d: -1 (none) to 1000000", o->retries);
    if (o->name && (strlen(o->name) >= TASK_NAME_MAX || !utf8_valid(o->name, strlen(o->name))))
        return encoding_fail(e, COVEY_EINVAL, "option name: at most %u bytes of UTF-8", TASK_NAME_MAX - 1);
    return true;
}

/* ---- submit ------------------------------------------------------------------------ */

static covey_ref refuse(covey *c, const char *task, struct encoding *e)
{
    char why[WHY_MAX];
    snprintf(why, sizeof(why), "task \"%.200s\" was not submitted: %s: %s", task, covey_strerror(e->status), e->why);
    return owner_failed(c->owner, e->status, why);
}

static bool number_them(covey *c, struct encoding *e, const char *task, const struct resources *need,
                        struct task_spec *spec)
{
    if (!c->package_told && package_tell(c) != COVEY_OK)
        return encoding_fail(e, COVEY_ESYSTEM, "%s", covey_error());
    covey_status status = owner_class(c->owner, c->package, need, &spec->class_id);
    if (status == COVEY_OK)
        status = owner_function(c->owner, task, e->signature_text, &spec->fn_id);
    return status == COVEY_OK ||
           encoding_fail(e, status, "too many different resource demands or tasks (%u, %u)", OWNER_CLASSES_MAX,
                         OWNER_FUNCTIONS_MAX);
}

static void note_messages(covey *c, covey_ref ref, const covey_opts *o)
{
    if (!o->on_message || !ref.generation)
        return;
    struct extra *x = extra_of(c, ref, true);
    if (x) {
        x->on_message = o->on_message;
        x->arg = o->arg;
    }
}

covey_ref submit_encoded(covey *c, struct encoding *e, const char *task, uint32_t result_count,
                         const covey_opts *opts)
{
    covey_opts o;
    struct resources need;
    struct task_spec spec = {.result_count = result_count};
    if (!read_opts(e, opts, &o, &need) || !number_them(c, e, task, &need, &spec))
        return refuse(c, task, e);
    spec.name = o.name ? o.name : task;
    spec.args = buf_span(&c->args);
    spec.deps = c->deps;
    spec.dep_count = e->dep_count;
    spec.retries = o.retries == 0 ? OWNER_RETRIES_DEFAULT : o.retries < 0 ? 0 : o.retries;
    spec.retry_on = o.retry_on ? o.retry_on : COVEY_RETRY_DEATH;
    spec.backoff_ms = o.backoff_ms ? o.backoff_ms : OWNER_BACKOFF_DEFAULT_MS;
    spec.deadline_ms = o.deadline_ms;
    spec.grace_ms = e->grace_ms;
    spec.priority = o.priority;
    run_describe(c, &spec);
    covey_ref ref = owner_submit(c->owner, &spec, c->now);
    note_messages(c, ref, &o);
    return ref;
}

void encoding_end(covey *c, struct encoding *e)
{
    for (uint32_t i = 0; i < e->temporary_count; i++)
        owner_release(c->owner, e->temporaries[i], c->now);
}

/* A stream of submits looks at its sockets, too, so that replies are taken. */
void submit_after(covey *c)
{
    if (++c->calls % SUBMIT_LOOK == 0 && !c->polling) {
        process_turn(c, mono_ns());
        process_flush(c, c->now);
    }
    process_after(c, c->now);
}

covey_ref covey_submit(covey *c, const char *task, covey_args args, const covey_opts *opts)
{
    if (process_enter(c) != COVEY_OK)
        return (covey_ref){0, 0};
    c->now = mono_ns();
    struct encoding e = {.status = COVEY_OK};
    const struct task_def *def = NULL;
    covey_ref ref;
    if (!task)
        encoding_fail(&e, COVEY_EINVAL, "its name is NULL");
    else if (strlen(task) >= TASK_NAME_MAX || !utf8_valid(task, strlen(task)))
        encoding_fail(&e, COVEY_EINVAL, "its name is not 1 to %u bytes of UTF-8", TASK_NAME_MAX - 1);
    else if (!(def = registry_find(task, e.why, sizeof(e.why))))
        e.status = COVEY_EUNKNOWN;
    if (def)
        e.signature_text = def->text;
    if (!def || !encode_args(c, &e, &def->signature, args))
        ref = refuse(c, task ? task : "", &e);
    else
        ref = submit_encoded(c, &e, task, def->signature.result_count, opts);
    encoding_end(c, &e);
    submit_after(c);
    process_leave(c);
    return ref;
}

covey_ref covey_result(covey *c, covey_ref ref, unsigned index)
{
    if (process_enter(c) != COVEY_OK)
        return (covey_ref){0, 0};
    covey_ref result = owner_result(c->owner, ref, index);
    process_leave(c);
    return result;
}
