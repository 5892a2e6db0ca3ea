/* put.c - objects that the program makes itself: put, create, seal.
 *
 * Small values stay in the owner; larger ones are written into an extent of
 * the node's arena (store.h).  When there is no extent with room, the caller
 * waits for the node's grant, polling as any waiting thread does. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/submit.h"
#include "io/mono.h"

#define PUT_INLINE_MAX 256u     /* smaller puts stay with their owner */

struct room {
    struct oid id;
    covey_kind kind;
    uint64_t size;
    struct place *place;
    void **data;
    covey_status status;
    struct msg_extent_refused refused;
};

static bool has_room(covey *c, void *ctx)
{
    struct room *r = ctx;
    r->status = store_alloc(c->store, r->id, r->kind, r->size, r->place, r->data);
    if (r->status != COVEY_EAGAIN)
        return true;
    covey_status why = store_refusal(c->store, r->size, &r->refused);
    if (why == COVEY_OK)
        return false;
    r->status = why;
    return true;
}

static void explain_full(covey_status status, uint64_t size, const struct msg_extent_refused *r)
{
    unsigned long long need = size, store = r->store_bytes, free_bytes = r->free_bytes;
    if (status == COVEY_EFRAGMENTED)
        error_set("no room for %llu bytes: the store has %llu, %llu free, the largest piece %llu; it is fragmented: "
                  "%llu extents (%llu bytes) are kept by %llu live objects of about %llu bytes; release those that "
                  "have outlived what was made beside them, or start the cluster with a larger --store",
                  need, store, free_bytes, (unsigned long long)r->largest_bytes, (unsigned long long)r->held_extents,
                  (unsigned long long)r->held_bytes, (unsigned long long)r->live_objects,
                  (unsigned long long)r->live_bytes);
    else if (status == COVEY_ETOOBIG)
        error_set("no room for %llu bytes: the whole store has %llu; start the cluster with a larger --store", need,
                  store);
    else
        error_set("no room for %llu bytes: the store has %llu, %llu free; release refs, or start the cluster with a "
                  "larger --store", need, store, free_bytes);
}

covey_status alloc_locked(covey *c, struct oid id, covey_kind kind, uint64_t size, struct place *place, void **data)
{
    struct room r = {.id = id, .kind = kind, .size = size, .place = place, .data = data,
                     .refused.store_bytes = store_bytes(c->store)}; /* what is too big is not asked for */
    covey_status status = process_wait(c, has_room, &r, mono_ns() + PUT_WAIT, false);
    if (status == COVEY_OK)
        status = r.status;
    else
        store_unwant(c->store, size);   /* a grant that comes late goes back */
    if (status == COVEY_ESTOREFULL || status == COVEY_EFRAGMENTED || status == COVEY_ETOOBIG)
        explain_full(status, size, &r.refused);
    else if (status != COVEY_OK)
        error_set("no room for %llu bytes: %s", (unsigned long long)size, covey_strerror(status));
    return status;
}

static covey_status put_small(covey *c, const void *data, size_t size, covey_kind kind, covey_ref *out)
{
    struct buf value;
    buf_init(&value);
    if (kind == COVEY_STR)
        value_put_str(&value, data, size);
    else
        value_put_bytes(&value, data, size);
    *out = value.failed ? (covey_ref){0, 0} : owner_put_inline(c->owner, buf_span(&value));
    buf_fini(&value);
    return out->generation ? COVEY_OK : COVEY_ENOMEM;
}

covey_status put_locked(covey *c, const void *data, size_t size, covey_kind kind, covey_ref *out)
{
    if (size <= PUT_INLINE_MAX)
        return put_small(c, data, size, kind, out);
    struct oid id;
    struct place place;
    void *room;
    *out = owner_create(c->owner, &id);
    if (!out->generation) {
        error_set("more than %u refs, or out of memory", OWNER_REFS_MAX);
        return COVEY_ENOMEM;
    }
    uint64_t stored = size + (kind == COVEY_STR);   /* texts end with a NUL there */
    covey_status status = alloc_locked(c, id, kind, stored, &place, &room);
    if (status != COVEY_OK) {
        owner_create_failed(c->owner, *out, status, covey_error(), c->now);
        return status;
    }
    if (size > LARGE_COPY) {                        /* others may use the handle meanwhile */
        pthread_mutex_unlock(&c->lock);
        store_warm(c->store, &place);
        store_copy(room, data, size);
        pthread_mutex_lock(&c->lock);
    } else {
        store_copy(room, data, size);
    }
    if (kind == COVEY_STR)
        ((char *)room)[size] = 0;
    store_seal(c->store, &place);
    owner_sealed(c->owner, *out, &place, c->now);
    return COVEY_OK;
}

covey_ref covey_put(covey *c, const void *data, size_t size)
{
    covey_ref ref = {0, 0};
    if (process_enter(c) != COVEY_OK)
        return ref;
    c->now = mono_ns();
    if (!data && size > 0)
        ref = owner_failed(c->owner, COVEY_EINVAL, "covey_put: the data is NULL");
    else if (put_locked(c, data, size, COVEY_BYTES, &ref) != COVEY_OK && !ref.generation)
        ref = owner_failed(c->owner, COVEY_ENOMEM, "covey_put: out of memory");
    submit_after(c);
    process_leave(c);
    return ref;
}

covey_ref covey_put_object(covey *c, const covey_type *type, const void *object)
{
    void *packed;
    size_t size;
    covey_ref ref = {0, 0};
    if (type && type->pack && object && pack_object(type, object, &packed, &size)) {
        ref = covey_put(c, packed, size);
        free(packed);
    } else if (process_enter(c) == COVEY_OK) {
        ref = owner_failed(c->owner, COVEY_EINVAL, "covey_put_object: the object could not be packed");
        process_leave(c);
    }
    return ref;
}

covey_status covey_create(covey *c, size_t size, void **data, covey_ref *out)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    c->now = mono_ns();
    if (!data || !out) {
        error_set("covey_create: @data and @out are not NULL");
        process_leave(c);
        return COVEY_EINVAL;
    }
    struct oid id;
    struct extra *x = NULL;
    *data = NULL;
    *out = owner_create(c->owner, &id);
    if (out->generation)
        x = extra_of(c, *out, true);
    struct place place;
    status = x ? alloc_locked(c, id, COVEY_BYTES, size, &place, data) : COVEY_ENOMEM;
    if (status == COVEY_OK) {
        x->creating = *data;
        x->place = place;
    } else if (out->generation) {
        owner_release(c->owner, *out, c->now);
        extra_drop(c, *out);
        *out = (covey_ref){0, 0};
    }
    submit_after(c);
    process_leave(c);
    return status;
}

covey_status covey_seal(covey *c, covey_ref ref)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    c->now = mono_ns();
    struct object_view view;
    struct extra *x = extra_of(c, ref, false);
    status = owner_view(c->owner, ref, &view);
    if (status == COVEY_OK && (!x || !x->creating)) {
        error_set("covey_seal: the ref is not from covey_create(), or is sealed already");
        status = COVEY_EINVAL;
    } else if (status == COVEY_OK) {
        store_seal(c->store, &x->place);
        x->creating = NULL;
        struct place place = x->place;
        owner_sealed(c->owner, ref, &place, c->now);
        submit_after(c);
    } else {
        error_set("covey_seal: the ref was released, or never was one");
    }
    process_leave(c);
    return status;
}
