/* zwatch.c - see zwatch.h for the contract.
 *
 * The port's descriptor tells of news only while nobody has touched the
 * sockets since (see port.h), so readiness is never read from the poll
 * callback; the port is asked on both sides of every poll:
 *
 *   prepare  The driver sends.  Input there already?  Start idle: the poll must
 *            not block.
 *   poll     Sleep until the port's descriptor stirs, or a timer, or the door.
 *   check    Stop idle.  Deliver one burst.
 *
 * The driver sends in prepare and not after the burst, since timers and other
 * handles run in between and what they append must not wait for the next poll.
 */
#include "io/zwatch.h"

#include <stdlib.h>

#define HANDLES 4

struct zwatch {
    uv_prepare_t prepare;
    uv_poll_t poll;
    uv_check_t check;
    uv_idle_t idle;
    struct port *port;              /* borrowed */
    void (*on_turn)(void *ctx);
    void *ctx;
    /* at the end */
    bool closing;
    int open_handles;
    void (*on_closed)(void *ctx);
};

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* that it is started is its effect: the poll does not block */
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)poll, (void)status, (void)events; /* on_check looks for itself */
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct zwatch *watch = prepare->data;
    watch->on_turn(watch->ctx);
    if (!watch->closing && port_pending(watch->port))
        uv_idle_start(&watch->idle, on_idle);
}

static void on_check(uv_check_t *check)
{
    struct zwatch *watch = check->data;
    uv_idle_stop(&watch->idle);
    port_receive(watch->port, ZWATCH_BURST);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct zwatch *watch = handle->data;
    assert(watch->open_handles > 0);
    if (--watch->open_handles > 0)
        return;
    if (watch->on_closed)
        watch->on_closed(watch->ctx);
    free(watch);
}

covey_status zwatch_open(struct zwatch **out, uv_loop_t *loop, struct port *port,
                         void (*on_turn)(void *ctx), void *ctx)
{
    *out = NULL;
    struct zwatch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return COVEY_ENOMEM;
    /* The only step that can fail comes first, so there is nothing to undo. */
    if (uv_poll_init(loop, &watch->poll, port_fd(port)) != 0) {
        free(watch);
        return COVEY_ESYSTEM;
    }
    watch->port = port;
    watch->on_turn = on_turn;
    watch->ctx = ctx;
    watch->open_handles = HANDLES;
    uv_prepare_init(loop, &watch->prepare);
    uv_check_init(loop, &watch->check);
    uv_idle_init(loop, &watch->idle);
    watch->prepare.data = watch->poll.data = watch->check.data = watch->idle.data = watch;
    uv_prepare_start(&watch->prepare, on_prepare);
    uv_check_start(&watch->check, on_check);
    uv_poll_start(&watch->poll, UV_READABLE, on_poll);
    *out = watch;
    return COVEY_OK;
}

void zwatch_close(struct zwatch **watch_at, void (*on_closed)(void *ctx))
{
    struct zwatch *watch = *watch_at;
    *watch_at = NULL;
    assert(!watch->closing);
    watch->closing = true;
    watch->on_closed = on_closed;
    uv_close((uv_handle_t *)&watch->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&watch->poll, on_handle_closed);
    uv_close((uv_handle_t *)&watch->check, on_handle_closed);
    uv_close((uv_handle_t *)&watch->idle, on_handle_closed);
}
