/* owner_rebuild.c - an object whose bytes are gone is made again by running its
 * task again (lineage): its specification and arguments were kept for as long as
 * a result of it lies in the store.
 *
 * At most OWNER_REBUILDS_MAX times an object; arguments that are lost, too, are
 * found when the task runs (COVEY_ELOST) and are rebuilt in turn.  Results that
 * were not lost stay as they are.
 */
#include "core/owner_internal.h"

/* Wait for the arguments that are pending again; NULL, or why one of them will
 * never be there. */
static struct failure *attach_lost(struct owner *o, struct task *t)
{
    struct failure *why = NULL;
    for (uint32_t i = 0; i < t->dep_count; i++) {
        struct object *arg = object_at(o, t->deps[i].slot);
        if (t->deps[i].handle)
            continue;
        if (arg->state == OBJECT_PENDING)
            task_dep_attach(&t->deps[i], arg);
        else if (arg->state == OBJECT_FAILED && !why)
            why = task_dep_failure(o, t, i, arg->failure);
    }
    return why;
}

/* The task runs again, for those of its results that are pending now. */
static void run_again(struct owner *o, struct task *t, int64_t now)
{
    for (uint32_t i = 0; i < t->result_count; i++) {
        struct object *obj = task_result(o, t, i);
        if (obj)
            obj->uses++;            /* its producer is in flight again */
    }
    o->lineage_bytes -= t->bytes;
    t->settled = false;
    t->cancel = COVEY_OK;
    t->deadline = NEVER_NS;         /* it was met */
    t->attempts_max = t->attempt + 1 + OWNER_RETRIES_DEFAULT;
    list_push(&o->tasks, &t->in_all);
    o->stats.tasks++;
    task_move(t, TASK_WAITING);
    struct failure *why = attach_lost(o, t);
    if (why)
        task_fail(o, t, why, now);
    else if (t->waiting == 0)
        task_requeue(o, t, false, now);
}

/* A ready object's bytes are gone: pending again if it can be rebuilt, else failed. */
static void object_lost(struct owner *o, struct object *obj, int64_t now)
{
    assert(obj->state == OBJECT_READY && obj->in_store);
    struct task *t = obj->task;
    bool can = t && t->deps_held && t->state == TASK_DONE && obj->rebuilds < OWNER_REBUILDS_MAX && !o->leaving;
    bool underway = t && t->state != TASK_DONE;     /* a sister is being rebuilt: it comes along */
    object_drop_value(o, obj);
    if (can) {
        obj->rebuilds++;
        run_again(o, t, now);
    } else if (!underway) {
        object_set_failure(obj, failure_new(COVEY_ELOST, 0, 0, "%s",
                                            obj->borrowed ? "its bytes are gone, and only its owner could make it again"
                                            : !t ? "its bytes are gone; it was put, so it cannot be made again"
                                                 : "its bytes are gone, and it was made again too often or its "
                                                   "lineage was dropped"));
        object_settle(o, obj);
    }
}

covey_status owner_lost(struct owner *o, covey_ref ref, int64_t now)
{
    struct object *obj = object_of_ref(o, ref);
    if (!obj)
        return COVEY_ESTALE;
    if (obj->state == OBJECT_READY && obj->in_store)
        object_lost(o, obj, now);
    owner_run(o, now);
    return COVEY_OK;
}

/* An argument's bytes are not where its owner thought: rebuild it and wait. */
bool task_wait_for_lost(struct owner *o, struct task *t, uint32_t index, int64_t now)
{
    if (index >= t->dep_count || t->deps[index].handle)
        return false;
    struct object *obj = object_at(o, t->deps[index].slot);
    if (obj->state == OBJECT_READY && !obj->in_store)
        return false;
    task_take_out(o, t, now);
    task_move(t, TASK_WAITING);
    t->attempts_max++;              /* it never ran; but that attempt's number has got its reply */
    if (obj->state == OBJECT_READY)
        object_lost(o, obj, now);
    struct failure *why = attach_lost(o, t);
    if (why)
        task_fail(o, t, why, now);
    return true;
}

bool task_deps_ready(struct owner *o, struct task *t, int64_t now)
{
    assert(t->state == TASK_QUEUED);
    bool ready = true;
    for (uint32_t i = 0; i < t->dep_count && ready; i++)
        ready = t->deps[i].handle || object_at(o, t->deps[i].slot)->state == OBJECT_READY;
    if (ready)
        return true;
    task_take_out(o, t, now);
    task_move(t, TASK_WAITING);
    struct failure *why = attach_lost(o, t);
    if (why)
        task_fail(o, t, why, now);
    return false;
}
