/* watch.c - see watch.h for the contract. */
#include "io/watch.h"

#include <stdlib.h>

struct watch {
    uv_poll_t poll;
    void (*fn)(void *ctx);
    void *ctx;
};

/* Errors and hang-ups come as readable, too: the read tells which it is. */
static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct watch *watch = poll->data;
    watch->fn(watch->ctx);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

covey_status watch_open(struct watch **out, uv_loop_t *loop, int fd, void (*fn)(void *ctx),
                        void *ctx)
{
    assert(fd >= 0);
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return COVEY_ENOMEM;
    if (uv_poll_init(loop, &watch->poll, fd) != 0) {
        free(watch);
        return COVEY_ESYSTEM;
    }
    watch->fn = fn;
    watch->ctx = ctx;
    watch->poll.data = watch;
    if (uv_poll_start(&watch->poll, UV_READABLE, on_poll) != 0) {
        watch_close(&watch);
        return COVEY_ESYSTEM;
    }
    *out = watch;
    return COVEY_OK;
}

void watch_close(struct watch **watch)
{
    struct watch *w = *watch;
    *watch = NULL;
    if (!w)
        return;
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_closed);
}
