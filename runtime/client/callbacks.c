/* callbacks.c - what refs have beyond the core's object: callbacks that wait to
 * be run, messages that wait to be read.  See process.h: they are queued under
 * the lock and run by the thread that waits or dispatches.
 */
#include "client/callbacks.h"

#include <stdlib.h>

#include "io/wake.h"

struct extra *extra_of(covey *c, covey_ref ref, bool make)
{
    struct extra *x = map_get(&c->extras, &ref);
    if (x || !make)
        return x;
    x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->ref = ref;
    x->last = &x->first;
    if (!map_put(&c->extras, &ref, x)) {
        free(x);
        return NULL;
    }
    return x;
}

void extra_drop(covey *c, covey_ref ref)
{
    if (map_count(&c->extras) == 0)
        return;
    struct extra *x = map_del(&c->extras, &ref);
    if (!x)
        return;
    while (x->thens) {
        struct callback *cb = x->thens;
        x->thens = cb->next;
        free(cb);
    }
    while (x->first) {
        struct post *p = x->first;
        x->first = p->next;
        free(p);
    }
    free(x->shown);
    free(x);
}

static void queue_callback(covey *c, struct callback *cb)
{
    cb->next = NULL;
    *c->callbacks_last = cb;
    c->callbacks_last = &cb->next;
    if (c->callback_count++ == 0)
        wake_set(c->callback_fd);
}

static _Thread_local unsigned depth;    /* callbacks that this thread is in */

bool callbacks_inside(void) { return depth > 0; }

/* Of one that is still pending: its cluster is gone, and nothing will come of it. */
static covey_status then_status(const covey *c, const struct object_view *view)
{
    if (view->state == OBJECT_PENDING)
        return c->broken_why;
    return view->state == OBJECT_FAILED ? view->status : COVEY_OK;
}

int process_callbacks(covey *c)
{
    int ran = 0;
    while (c->callbacks) {
        struct callback *cb = c->callbacks;
        c->callbacks = cb->next;
        if (!c->callbacks)
            c->callbacks_last = &c->callbacks;
        if (--c->callback_count == 0)
            wake_clear(c->callback_fd);
        struct object_view view;
        if (owner_view(c->owner, cb->ref, &view) == COVEY_OK) {     /* not released meanwhile */
            if (cb->kind == CALLBACK_MESSAGE && !cb->post->wants_answer)
                owner_post_read(c->owner, cb->ref, cb->post->number, c->now);
            pthread_mutex_unlock(&c->lock);
            depth++;
            if (cb->kind == CALLBACK_THEN) {
                cb->then(c, cb->ref, then_status(c, &view), cb->arg);
            } else {
                covey_message m = {cb->ref, cb->post->data, cb->post->size,
                                   cb->post->wants_answer ? cb->post->number : 0};
                cb->on_message(c, &m, cb->arg);
            }
            depth--;
            pthread_mutex_lock(&c->lock);
            ran++;
        }
        free(cb->post);
        free(cb);
    }
    return ran;
}

void process_settled(covey *c, covey_ref ref)
{
    struct extra *x = extra_of(c, ref, false);
    while (x && x->thens) {
        struct callback *cb = x->thens;
        x->thens = cb->next;
        queue_callback(c, cb);
    }
}

void callbacks_settle_all(covey *c)
{
    struct extra *x;
    for (uint32_t i = 0; (x = map_next(&c->extras, &i)) != NULL;)
        process_settled(c, x->ref);
}

/* A message that cannot be kept is answered as read: its sender goes on. */
void callbacks_post(covey *c, covey_ref ref, const struct msg_post *m)
{
    struct extra *x = extra_of(c, ref, true);
    struct post *p = x ? malloc(sizeof(*p) + m->body.len + 1) : NULL;
    struct callback *cb = p && x->on_message ? calloc(1, sizeof(*cb)) : NULL;
    if (!p || (x->on_message && !cb)) {
        free(p);
        owner_post_read(c->owner, ref, m->number, c->now);
        return;
    }
    p->next = NULL;
    p->number = m->number;
    p->wants_answer = m->wants_answer;
    p->size = m->body.len;
    if (p->size)
        memcpy(p->data, m->body.data, p->size);
    p->data[p->size] = 0;
    if (cb) {
        *cb = (struct callback){.kind = CALLBACK_MESSAGE, .ref = ref, .on_message = x->on_message,
                                .arg = x->arg, .post = p};
        queue_callback(c, cb);
    } else {
        *x->last = p;
        x->last = &p->next;
    }
}

void callbacks_free(covey *c)
{
    while (c->callbacks) {
        struct callback *cb = c->callbacks;
        c->callbacks = cb->next;
        free(cb->post);
        free(cb);
    }
    struct extra *x;
    for (uint32_t i = 0; (x = map_next(&c->extras, &i)) != NULL;)
        extra_drop(c, x->ref);
}
