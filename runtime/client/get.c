/* get.c - what one does with refs: get, wait, then, release, cancel, messages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client/process.h"
#include "client/submit.h"
#include "io/mono.h"
#include "worker/run.h"

/* ---- waiting ------------------------------------------------------------------------ */

struct wait_or_local {
    bool (*done)(covey *, void *);
    void *ctx;
    const covey_ref *refs;
    size_t n, at;                   /* refs before @at have settled */
    covey_ref local;
};

/* The first that is still pending: can it run here? */
static bool done_or_local(covey *c, void *ctx)
{
    struct wait_or_local *w = ctx;
    if (w->done(c, w->ctx))
        return true;
    struct object_view view;
    while (w->at < w->n && (owner_view(c->owner, w->refs[w->at], &view) != COVEY_OK || view.state != OBJECT_PENDING))
        w->at++;
    bool local = w->at < w->n && view.local_runnable;
    if (local)
        w->local = w->refs[w->at];
    return local;
}

/* In a worker's main thread a wait gives the CPU back, and may run a task of
 * this process on its own stack when there are no workers for it. */
static covey_status wait_settled(covey *c, bool (*done)(covey *, void *), void *ctx,
                                 const covey_ref *refs, size_t n, int64_t deadline)
{
    if (!run_is_mine(c))
        return process_wait(c, done, ctx, deadline, true);
    if (process_done(c, done, ctx, true))
        return COVEY_OK;
    struct wait_or_local w = {.done = done, .ctx = ctx, .refs = refs, .n = n};
    covey_status status;
    run_block(c);
    for (;;) {
        w.local = (covey_ref){0, 0};
        status = process_wait(c, done_or_local, &w, deadline, true);
        if (status != COVEY_OK || !w.local.generation)
            break;
        status = run_unblock(c);
        if (status == COVEY_OK)
            status = run_local(c, w.local);
        if (status != COVEY_OK)
            return status;
        run_block(c);
    }
    covey_status resumed = run_unblock(c);
    return status == COVEY_OK ? resumed : status;
}

struct one { covey_ref ref; struct object_view view; covey_status status; };

static bool one_settled(covey *c, void *ctx)
{
    struct one *one = ctx;
    one->status = owner_view(c->owner, one->ref, &one->view);
    return one->status != COVEY_OK || one->view.state != OBJECT_PENDING;
}

static covey_status stale(const char *call)
{
    error_set("%s: the ref was released, or never was one", call);
    return COVEY_ESTALE;
}

/* ---- get ------------------------------------------------------------------------------ */

static covey_status value_of(covey *c, const struct object_view *view, covey_value *out)
{
    memset(out, 0, sizeof(*out));
    if (view->in_store) {
        const void *data;
        covey_status status = store_read(c->store, view->id, &view->place, &data);
        if (status != COVEY_OK)
            return COVEY_ELOST;
        out->kind = (covey_kind)view->place.kind;
        out->data = data;
        out->size = view->place.size - (out->kind == COVEY_STR);
        return COVEY_OK;
    }
    struct value v;
    struct span in = view->value;
    covey_status status = value_next(&in, &v);
    if (status != COVEY_OK)
        return COVEY_EPROTO;
    out->kind = v.kind;
    out->i64 = v.i64;
    out->u64 = v.u64;
    out->f64 = v.f64;
    out->data = v.kind == COVEY_STR || v.kind == COVEY_BYTES ? (const void *)v.bytes.data : NULL;
    out->size = v.bytes.len;
    return COVEY_OK;
}

static covey_status get_locked(covey *c, covey_ref ref, int64_t timeout_ms, covey_value *out)
{
    int64_t deadline = deadline_of(timeout_ms, mono_ns());
    for (uint32_t round = 0; ; round++) {
        struct one one = {.ref = ref};
        if (!process_done(c, one_settled, &one, true)) {
            owner_request(c->owner, ref, c->now);
            covey_status waited = wait_settled(c, one_settled, &one, &ref, 1, deadline);
            if (waited != COVEY_OK) {
                error_set("%s", c->broken ? process_broken_why(c) : covey_strerror(waited));
                return waited;
            }
        }
        if (one.status != COVEY_OK)
            return stale("covey_get");
        if (one.view.state == OBJECT_FAILED) {
            error_set("%s", one.view.why);
            return one.view.status;
        }
        covey_status status = value_of(c, &one.view, out);
        if (status != COVEY_ELOST || round > OWNER_REBUILDS_MAX)
            return status;
        owner_lost(c->owner, ref, mono_ns());   /* made again, or failed: look again */
    }
}

covey_status covey_get(covey *c, covey_ref ref, int64_t timeout_ms, covey_value *out)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    covey_value value;
    status = get_locked(c, ref, timeout_ms, &value);
    process_leave(c);
    if (status == COVEY_OK && out)
        *out = value;
    return status;
}

static covey_status wrong_kind(const covey_value *v, const char *wanted)
{
    error_set("the value is %s and not %s", value_kind_name(v->kind), wanted);
    return COVEY_ETYPE;
}

/* @c is looked at first: that it is NULL or a fork's is the greater mistake. */
static covey_status nowhere(covey *c)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    error_set("covey_get: there is no place for the value: it is NULL");
    process_leave(c);
    return COVEY_EINVAL;
}

covey_status covey_get_i64(covey *c, covey_ref ref, int64_t timeout_ms, int64_t *out)
{
    covey_value v;
    if (!out)
        return nowhere(c);
    covey_status status = covey_get(c, ref, timeout_ms, &v);
    if (status != COVEY_OK)
        return status;
    if (v.kind != COVEY_I64 && !(v.kind == COVEY_U64 && v.u64 <= INT64_MAX))
        return wrong_kind(&v, "i64");
    *out = v.kind == COVEY_I64 ? v.i64 : (int64_t)v.u64;
    return COVEY_OK;
}

covey_status covey_get_u64(covey *c, covey_ref ref, int64_t timeout_ms, uint64_t *out)
{
    covey_value v;
    if (!out)
        return nowhere(c);
    covey_status status = covey_get(c, ref, timeout_ms, &v);
    if (status != COVEY_OK)
        return status;
    if (v.kind != COVEY_U64 && !(v.kind == COVEY_I64 && v.i64 >= 0))
        return wrong_kind(&v, "u64");
    *out = v.kind == COVEY_U64 ? v.u64 : (uint64_t)v.i64;
    return COVEY_OK;
}

covey_status covey_get_f64(covey *c, covey_ref ref, int64_t timeout_ms, double *out)
{
    covey_value v;
    if (!out)
        return nowhere(c);
    covey_status status = covey_get(c, ref, timeout_ms, &v);
    if (status != COVEY_OK)
        return status;
    if (v.kind != COVEY_F64)
        return wrong_kind(&v, "f64");
    *out = v.f64;
    return COVEY_OK;
}

covey_status covey_get_str(covey *c, covey_ref ref, int64_t timeout_ms, const char **out)
{
    covey_value v;
    if (!out)
        return nowhere(c);
    covey_status status = covey_get(c, ref, timeout_ms, &v);
    if (status != COVEY_OK)
        return status;
    if (v.kind != COVEY_STR)
        return wrong_kind(&v, "str");
    *out = v.data;
    return COVEY_OK;
}

covey_status covey_get_bytes(covey *c, covey_ref ref, int64_t timeout_ms, const void **data, size_t *size)
{
    covey_value v;
    if (!data || !size)
        return nowhere(c);
    covey_status status = covey_get(c, ref, timeout_ms, &v);
    if (status != COVEY_OK)
        return status;
    if (v.kind != COVEY_BYTES && v.kind != COVEY_STR)
        return wrong_kind(&v, "bytes");
    *data = v.data;
    *size = v.size;
    return COVEY_OK;
}

covey_status covey_get_object(covey *c, covey_ref ref, int64_t timeout_ms, const covey_type *type, void **out)
{
    const void *data;
    size_t size;
    if (!out)
        return nowhere(c);
    if (!type || !type->unpack) {
        error_set("covey_get_object: a type with unpack is needed");
        return COVEY_EINVAL;
    }
    covey_status status = covey_get_bytes(c, ref, timeout_ms, &data, &size);
    if (status != COVEY_OK)
        return status;
    *out = type->unpack(data, size);
    if (*out)
        return COVEY_OK;
    error_set("the bytes are no \"%s\"", type->name ? type->name : "?");
    return COVEY_ETYPE;
}

const char *covey_why(covey *c, covey_ref ref)
{
    if (process_enter(c) != COVEY_OK)
        return covey_error();
    struct object_view view;
    const char *why = "the ref was released, or never was one";
    if (owner_view(c->owner, ref, &view) == COVEY_OK)
        why = view.state == OBJECT_FAILED ? view.why : view.state == OBJECT_PENDING ? process_broken_why(c) : "";
    process_leave(c);
    return why;
}

/* ---- wait ------------------------------------------------------------------------------- */

struct many {
    const covey_ref *refs;
    size_t n, k, have;
    uint64_t counted_at;            /* settled objects when they were counted last */
    bool is_counted, stale;
};

/* Counting again is worth it only when as many objects have settled as are
 * still missing. */
static bool many_settled(covey *c, void *ctx)
{
    struct many *m = ctx;
    uint64_t settled = owner_settled_count(c->owner);
    if (m->is_counted && settled - m->counted_at < m->k - m->have)
        return false;
    m->counted_at = settled;
    m->is_counted = true;
    m->have = 0;
    for (size_t i = 0; i < m->n && m->have < m->k; i++) {
        struct object_view view;
        if (owner_view(c->owner, m->refs[i], &view) != COVEY_OK)
            m->stale = true;
        else if (view.state != OBJECT_PENDING)
            m->have++;
        else if (m->counted_at <= 1)
            owner_request(c->owner, m->refs[i], c->now);
    }
    return m->stale || m->have >= m->k;
}

covey_status covey_wait(covey *c, const covey_ref *refs, size_t n, size_t k, int64_t timeout_ms, bool *settled)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    if ((n && !refs) || k > n) {
        error_set("covey_wait: %zu of %zu refs%s", k, n, refs ? "" : " at NULL");
        process_leave(c);
        return COVEY_EINVAL;
    }
    for (size_t i = 0; i < n; i++)
        owner_request(c->owner, refs[i], c->now);
    struct many m = {.refs = refs, .n = n, .k = k};
    status = wait_settled(c, many_settled, &m, refs, n, deadline_of(timeout_ms, mono_ns()));
    if (m.stale)
        status = stale("covey_wait");
    for (size_t i = 0; settled && i < n; i++) {
        struct object_view view;
        settled[i] = owner_view(c->owner, refs[i], &view) == COVEY_OK && view.state != OBJECT_PENDING;
    }
    process_leave(c);
    return status;
}

covey_status covey_then(covey *c, covey_ref ref, covey_then_fn fn, void *arg)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    struct object_view view;
    status = owner_view(c->owner, ref, &view);
    struct extra *x = status == COVEY_OK && fn ? extra_of(c, ref, true) : NULL;
    struct callback *cb = x ? calloc(1, sizeof(*cb)) : NULL;
    if (status != COVEY_OK) {
        status = stale("covey_then");
    } else if (!fn) {
        error_set("covey_then: the function is NULL");
        status = COVEY_EINVAL;
    } else if (!cb) {
        status = COVEY_ENOMEM;
    } else {
        *cb = (struct callback){.next = x->thens, .kind = CALLBACK_THEN, .ref = ref, .then = fn, .arg = arg};
        x->thens = cb;
        if (view.state == OBJECT_PENDING && !c->broken) {
            owner_watch(c->owner, ref);
            owner_request(c->owner, ref, c->now);
        } else {
            process_settled(c, ref);
        }
        process_after(c, mono_ns());
    }
    process_leave(c);
    return status;
}

/* ---- release, cancel ---------------------------------------------------------------------- */

static covey_status release_locked(covey *c, covey_ref ref)
{
    struct extra *x = map_count(&c->extras) ? extra_of(c, ref, false) : NULL;
    if (x && x->creating)
        store_abandon(c->store, &x->place);
    covey_status status = owner_release(c->owner, ref, c->now);
    struct object_view view;
    if (x && owner_view(c->owner, ref, &view) != COVEY_OK)
        extra_drop(c, ref);
    return status;
}

covey_status covey_release(covey *c, covey_ref ref)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    status = release_locked(c, ref);
    if (status != COVEY_OK)
        stale("covey_release");
    if (++c->calls % SUBMIT_LOOK == 0)
        submit_after(c);
    process_leave(c);
    return status;
}

void covey_release_all(covey *c, const covey_ref *refs, size_t n)
{
    if (!refs || process_enter(c) != COVEY_OK)
        return;
    for (size_t i = 0; i < n; i++)
        (void)release_locked(c, refs[i]);
    submit_after(c);
    process_leave(c);
}

covey_status covey_cancel(covey *c, covey_ref ref, const covey_cancel_opts *opts)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    int64_t grace_ms = opts && opts->grace_ms > 0 ? opts->grace_ms : 0;
    c->now = mono_ns();
    status = owner_cancel(c->owner, ref, grace_ms, opts && opts->recursive, c->now);
    if (status != COVEY_OK)
        stale("covey_cancel");
    process_after(c, c->now);
    process_leave(c);
    return status;
}

/* ---- messages ---------------------------------------------------------------------------------- */

struct next { covey_ref ref; struct extra *x; };

static bool has_message(covey *c, void *ctx)
{
    struct next *n = ctx;
    n->x = extra_of(c, n->ref, false);
    return (n->x && n->x->first) || owner_posts_ended(c->owner, n->ref);
}

covey_status covey_next_message(covey *c, covey_ref ref, int64_t timeout_ms, covey_message *out)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    struct object_view view;
    struct next n = {.ref = ref};
    if (owner_view(c->owner, ref, &view) != COVEY_OK)
        status = stale("covey_next_message");
    else if (!out)
        status = COVEY_EINVAL;
    else
        status = wait_settled(c, has_message, &n, &ref, 1, deadline_of(timeout_ms, mono_ns()));
    if (status == COVEY_OK && (!n.x || !n.x->first))
        status = COVEY_ECLOSED;
    if (status == COVEY_OK) {
        struct extra *x = n.x;
        free(x->shown);
        x->shown = x->first;
        x->first = x->shown->next;
        if (!x->first)
            x->last = &x->first;
        if (!x->shown->wants_answer)
            owner_post_read(c->owner, ref, x->shown->number, mono_ns());
        *out = (covey_message){ref, x->shown->data, x->shown->size, x->shown->wants_answer ? x->shown->number : 0};
        process_after(c, mono_ns());
    }
    process_leave(c);
    return status;
}

covey_status covey_answer(covey *c, const covey_message *message, const void *data, size_t size)
{
    covey_status status = process_enter(c);
    if (status != COVEY_OK)
        return status;
    if (!message || !message->question || (size && !data)) {
        error_set("covey_answer: the message is no question, or the answer is NULL");
        status = COVEY_EINVAL;
    } else if (size > POST_BYTES_MAX) {
        error_set("covey_answer: %zu bytes, at most %u; put larger ones into the store", size, POST_BYTES_MAX);
        status = COVEY_ETOOBIG;
    } else {
        c->now = mono_ns();
        status = owner_post_answer(c->owner, message->ref, message->question, span_of(data, size), c->now);
        process_after(c, c->now);
    }
    process_leave(c);
    return status;
}

/* ---- programs with a loop of their own ------------------------------------------------------------- */

static bool watch_fd(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

int covey_fd(covey *c)
{
    if (process_enter(c) != COVEY_OK)
        return -1;
    if (c->public_fd < 0) {
        int fd = epoll_create1(EPOLL_CLOEXEC);
        if (fd >= 0 && (!watch_fd(fd, port_fd(c->port)) || !watch_fd(fd, c->callback_fd) ||
                        (!c->broken && !watch_fd(fd, c->door_fd)))) {
            close(fd);
            fd = -1;
        }
        if (fd < 0)
            error_set("covey_fd: %s", strerror(errno));
        c->public_fd = fd;
    }
    int fd = c->public_fd;
    process_leave(c);
    return fd;
}

int covey_dispatch(covey *c)
{
    if (process_enter(c) != COVEY_OK)
        return 0;
    int64_t now = mono_ns();
    process_turn(c, now);
    process_flush(c, now);
    int ran = process_callbacks(c);
    if (ran == 0) {             /* perhaps it was the node's end that made the descriptor readable */
        process_check_door(c);
        ran = process_callbacks(c);
    }
    process_after(c, mono_ns());
    process_leave(c);
    return ran;
}
