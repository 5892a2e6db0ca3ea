/* owner_object.c - slots, values, holds and failures of the owner's objects.
 *
 * A slot is found from a ref (index and generation), from a seq (its low
 * bits), and for borrowed objects from the oid through a map.  An object ends
 * when nothing holds it any more:
 *
 *   local      the program's holds (a ref, a taken result, a borrowed handle)
 *   uses       its producer while in flight; tasks that have it as argument;
 *              result 0 for its sisters; a pass-on that is not acknowledged
 *   borrowers  other processes
 */
#include "core/owner_internal.h"
#include "core/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Used where not even the text of a failure can be allocated; never freed. */
struct failure failure_no_memory = {.refs = UINT32_MAX / 2, .status = COVEY_ENOMEM, .why = "out of memory"};

struct failure *failure_new(covey_status status, int32_t user_code, uint32_t depth, const char *format, ...)
{
    char text[WHY_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    text_clean(text);
    size_t len = strlen(text);
    struct failure *f = malloc(sizeof(*f) + len + 1);
    if (!f)
        return failure_share(&failure_no_memory);
    f->refs = 1;
    f->depth = depth;
    f->status = status;
    f->user_code = user_code;
    memcpy(f->why, text, len + 1);
    return f;
}

struct failure *failure_share(struct failure *f)
{
    f->refs++;
    return f;
}

void failure_drop(struct failure *f)
{
    assert(f->refs > 0);
    if (--f->refs == 0)
        free(f);
}

struct object *object_at(const struct owner *o, uint32_t slot)
{
    if (slot / CHUNK_OBJECTS >= o->chunk_count)
        return NULL;
    return &o->chunks[slot / CHUNK_OBJECTS][slot % CHUNK_OBJECTS];
}

static bool grow(struct owner *o)
{
    uint32_t first = o->chunk_count * CHUNK_OBJECTS;
    if (first >= OWNER_REFS_MAX)
        return false;
    struct object **chunks = realloc(o->chunks, (o->chunk_count + 1) * sizeof(*chunks));
    if (!chunks)
        return false;
    o->chunks = chunks;
    struct object *chunk = calloc(CHUNK_OBJECTS, sizeof(*chunk));
    if (!chunk)
        return false;
    chunks[o->chunk_count++] = chunk;
    for (uint32_t i = CHUNK_OBJECTS; i-- > 0;) {
        chunk[i].slot = first + i;
        chunk[i].generation = 1;
        chunk[i].next = o->free_slot;
        o->free_slot = first + i;
    }
    return true;
}

/* A live, pending object without any hold; its id is this owner's own. */
struct object *object_new(struct owner *o)
{
    if (o->free_slot == SLOT_NONE && !grow(o))
        return NULL;
    struct object *obj = object_at(o, o->free_slot);
    uint32_t slot = obj->slot, generation = obj->generation;
    o->free_slot = obj->next;
    memset(obj, 0, sizeof(*obj));
    obj->slot = slot;
    obj->generation = generation;
    obj->live = true;
    obj->state = OBJECT_PENDING;
    obj->id = (struct oid){o->self.node, o->self.proc, (++o->serial << SLOT_BITS) | slot, 0};
    o->stats.objects++;
    return obj;
}

struct object *object_of_ref(const struct owner *o, covey_ref ref)
{
    struct object *obj = object_at(o, ref.index);
    return obj && obj->live && ref.generation && obj->generation == ref.generation && obj->local ? obj : NULL;
}

struct object *object_of_id(const struct owner *o, struct oid id)
{
    if (id.node != o->self.node || id.proc != o->self.proc) {
        struct key_oid key = key_of_oid(id);
        return map_get(&o->borrowed, &key);
    }
    struct object *first = object_at(o, (uint32_t)(id.seq & ((1u << SLOT_BITS) - 1)));
    if (first && first->live && oid_eq(first->id, id))
        return first;
    /* A later result of a task: found through the task. */
    struct task *t = task_of_seq(o, id.seq);
    if (!t || id.index >= t->result_count)
        return NULL;
    struct object *obj = object_at(o, t->results[id.index]);
    return obj && obj->live && oid_eq(obj->id, id) ? obj : NULL;
}

covey_ref object_ref(const struct object *obj)
{
    return (covey_ref){obj->slot, obj->generation};
}

struct span object_value(const struct object *obj)
{
    const uint8_t *data = obj->value_on_heap ? obj->v.heap.room + obj->v.heap.pad : obj->v.small;
    return (struct span){data, obj->value_len};
}

/* A copy of the encoded value.  One with a payload lies so that the payload is
 * 16-aligned, with a NUL behind it. */
bool object_set_value(struct owner *o, struct object *obj, struct span value)
{
    assert(obj->state == OBJECT_PENDING);
    uint32_t payload = o->payload ? o->payload(value) : 0;
    obj->value_on_heap = payload > 0 || value.len > INLINE_SMALL;
    if (obj->value_on_heap) {
        uint32_t pad = (16 - payload % 16) % 16;
        uint8_t *room = malloc(pad + (size_t)value.len + 1);
        if (!room)
            return false;
        memcpy(room + pad, value.data, value.len);
        room[pad + value.len] = 0;
        obj->v.heap.room = room;
        obj->v.heap.pad = pad;
    } else {
        memcpy(obj->v.small, value.data, value.len);
    }
    obj->value_len = value.len;
    obj->in_store = false;
    obj->state = OBJECT_READY;
    return true;
}

void object_set_place(struct object *obj, const struct place *place)
{
    assert(obj->state == OBJECT_PENDING);
    obj->v.place = *place;
    obj->in_store = true;
    obj->state = OBJECT_READY;
}

void object_set_failure(struct object *obj, struct failure *failure)
{
    assert(obj->state == OBJECT_PENDING);
    obj->failure = failure;
    obj->state = OBJECT_FAILED;
}

/* Forget the value; the bytes in the store are given back if they are ours. */
void object_drop_value(struct owner *o, struct object *obj)
{
    if (obj->state == OBJECT_READY) {
        if (obj->in_store) {
            if (!obj->borrowed)
                o->ops->free_place(o->io, &obj->v.place);
        } else if (obj->value_on_heap) {
            free(obj->v.heap.room);
        }
    } else if (obj->state == OBJECT_FAILED) {
        failure_drop(obj->failure);
    }
    obj->failure = NULL;
    obj->value_len = 0;
    obj->in_store = obj->value_on_heap = false;
    obj->state = OBJECT_PENDING;
}

/* It has just become ready or failed: whoever waits for it is served when
 * owner_run() comes to it. */
void object_settle(struct owner *o, struct object *obj)
{
    assert(obj->state != OBJECT_PENDING && !obj->settling);
    obj->settling = true;
    obj->next_work = NULL;
    *o->settling_tail = obj;
    o->settling_tail = &obj->next_work;
}

void object_check_dead(struct owner *o, struct object *obj)
{
    if (obj->local || obj->uses || obj->dying || obj->settling || borrow_active(obj))
        return;
    obj->dying = true;
    obj->next_work = o->dying;
    o->dying = obj;
}

void object_unuse(struct owner *o, struct object *obj)
{
    assert(obj->uses > 0);
    obj->uses--;
    object_check_dead(o, obj);
}

/* Result 0 has no holds of its own left: the sisters that nobody took go.  It
 * stays, without a value, while others live, since the task is found by it. */
static bool first_may_end(struct owner *o, struct task *t)
{
    if (!t->sisters_gone) {
        t->sisters_gone = true;
        for (uint32_t i = 1; i < t->result_count; i++) {
            struct object *sister = task_result(o, t, i);
            if (sister)
                object_unuse(o, sister);
        }
    }
    return t->results_live == 1;
}

static void leave_task(struct owner *o, struct object *obj)
{
    struct task *t = obj->task;
    obj->task = NULL;
    t->results_live--;
    if (t->results_live == 0) {
        task_free(o, t);
    } else if (t->results_live == 1 && t->sisters_gone) {
        struct object *first = task_result(o, t, 0);
        if (first)
            object_check_dead(o, first);
    }
}

/* Nothing holds @obj: give everything of it back, and the slot. */
void object_end(struct owner *o, struct object *obj)
{
    assert(obj->live && !obj->local && !obj->uses && !obj->dependents && !obj->settling);
    obj->dying = false;
    if (obj->borrowed) {
        borrow_dropped(o, obj);
        struct key_oid key = key_of_oid(obj->id);
        map_del(&o->borrowed, &key);
    }
    object_drop_value(o, obj);
    borrow_free_lists(obj);
    assert(!obj->task || obj->task->state == TASK_DONE);
    if (obj->task && obj->id.index == 0 && !first_may_end(o, obj->task))
        return;
    if (obj->task)
        leave_task(o, obj);
    obj->live = false;
    obj->generation = obj->generation == UINT32_MAX ? 1 : obj->generation + 1;
    obj->next = o->free_slot;
    o->free_slot = obj->slot;
    o->stats.objects--;
}

bool object_is_at(const struct object *obj, const struct place *place)
{
    return obj->state == OBJECT_READY && obj->in_store && obj->v.place.extent == place->extent &&
           obj->v.place.gen == place->gen && obj->v.place.ordinal == place->ordinal;
}

bool results_free(struct owner *o, const struct msg_reply *reply)
{
    bool copy = false;
    for (uint32_t i = 0; i < reply->result_count; i++) {
        const struct result *result = &reply->results[i];
        if (!result->in_store)
            continue;
        const struct object *obj = object_of_id(o, (struct oid){o->self.node, o->self.proc, reply->seq, i});
        if (obj && object_is_at(obj, &result->place))
            copy = true;
        else
            o->ops->free_place(o->io, &result->place);
    }
    return copy;
}

void object_fill(const struct object *obj, struct msg_object_ready *out)
{
    *out = (struct msg_object_ready){.id = obj->id, .status = COVEY_OK};
    if (obj->state == OBJECT_FAILED) {
        out->status = obj->failure->status;
        out->user_code = obj->failure->user_code;
        out->why = span_str(obj->failure->why);
    } else if (obj->in_store) {
        out->in_store = true;
        out->place = obj->v.place;
    } else {
        out->value = object_value(obj);
    }
}

covey_ref owner_failed(struct owner *o, covey_status status, const char *why)
{
    struct object *obj = object_new(o);
    if (!obj)
        return (covey_ref){0, 0};
    obj->local = 1;
    object_set_failure(obj, failure_new(status, 0, 0, "%s", why));
    o->settled_count++;
    return object_ref(obj);
}

covey_ref owner_put_inline(struct owner *o, struct span value)
{
    struct object *obj = object_new(o);
    if (!obj)
        return (covey_ref){0, 0};
    obj->local = 1;
    if (!object_set_value(o, obj, value))
        object_set_failure(obj, failure_share(&failure_no_memory));
    o->settled_count++;
    return object_ref(obj);
}

covey_ref owner_create(struct owner *o, struct oid *id)
{
    struct object *obj = object_new(o);
    if (!obj)
        return (covey_ref){0, 0};
    obj->local = 1;
    *id = obj->id;
    return object_ref(obj);
}

void owner_sealed(struct owner *o, covey_ref ref, const struct place *place, int64_t now)
{
    struct object *obj = object_of_ref(o, ref);
    assert(obj && obj->state == OBJECT_PENDING && !obj->task);
    object_set_place(obj, place);
    object_settle(o, obj);
    owner_run(o, now);
}

void owner_create_failed(struct owner *o, covey_ref ref, covey_status status, const char *why, int64_t now)
{
    struct object *obj = object_of_ref(o, ref);
    assert(obj && obj->state == OBJECT_PENDING && !obj->task);
    object_set_failure(obj, failure_new(status, 0, 0, "%s", why));
    object_settle(o, obj);
    owner_run(o, now);
}

covey_ref owner_result(struct owner *o, covey_ref ref, uint32_t index)
{
    struct object *obj = object_of_ref(o, ref);
    if (!obj)
        return (covey_ref){0, 0};
    if (obj->id.index != index) {
        if (!obj->task || index >= obj->task->result_count)
            return (covey_ref){0, 0};
        struct object *first = object_at(o, obj->task->results[0]);
        struct object *other = object_at(o, obj->task->results[index]);
        if (!first->live || first->task != obj->task || !other->live || other->task != obj->task)
            return (covey_ref){0, 0};
        obj = other;
    }
    obj->local++;
    return object_ref(obj);
}

/* From @t to a task that can start now: itself, or one that it waits for. */
struct task *task_startable(const struct owner *o, struct task *t)
{
    while (t && t->state == TASK_WAITING) {
        struct task *next = NULL;
        for (uint32_t i = 0; i < t->dep_count && !next; i++)
            if (t->deps[i].waiting)
                next = object_at(o, t->deps[i].slot)->task;
        t = next;
    }
    return t && t->state == TASK_QUEUED && t->class->capped ? t : NULL;
}

covey_status owner_view(struct owner *o, covey_ref ref, struct object_view *out)
{
    struct object *obj = object_of_ref(o, ref);
    if (!obj)
        return COVEY_ESTALE;
    *out = (struct object_view){.state = (enum object_state)obj->state, .id = obj->id};
    if (obj->state == OBJECT_FAILED) {
        out->status = obj->failure->status;
        out->user_code = obj->failure->user_code;
        out->why = obj->failure->why;
    } else if (obj->state == OBJECT_READY) {
        out->in_store = obj->in_store;
        if (obj->in_store)
            out->place = obj->v.place;
        else
            out->value = object_value(obj);
    } else if (obj->task && !obj->borrowed && o->capped > 0) {
        out->local_runnable = task_startable(o, obj->task) != NULL;
    }
    return COVEY_OK;
}

covey_status owner_release(struct owner *o, covey_ref ref, int64_t now)
{
    struct object *obj = object_of_ref(o, ref);
    if (!obj)
        return COVEY_ESTALE;
    obj->local--;
    if (obj->state == OBJECT_PENDING && !obj->task && !obj->borrowed && !obj->local) {
        /* Created, never sealed: nobody will settle it, so those that wait get an error. */
        object_set_failure(obj, failure_new(COVEY_ENOTSEALED, 0, 0, "the object was released before it was sealed"));
        object_settle(o, obj);
    }
    object_check_dead(o, obj);
    owner_run(o, now);
    return COVEY_OK;
}

covey_status owner_watch(struct owner *o, covey_ref ref)
{
    struct object *obj = object_of_ref(o, ref);
    if (!obj)
        return COVEY_ESTALE;
    obj->watched = true;
    return COVEY_OK;
}
