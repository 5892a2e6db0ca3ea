/* alarm.c - see alarm.h for the contract. */
#include "io/alarm.h"

#include "io/mono.h"

static void on_timer(uv_timer_t *timer)
{
    struct alarm *alarm = timer->data;
    alarm->deadline_ns = NEVER_NS;
    alarm->on_due(alarm->ctx);
}

void alarm_open(struct alarm *alarm, uv_loop_t *loop, void (*on_due)(void *ctx), void *ctx)
{
    *alarm = (struct alarm){.deadline_ns = NEVER_NS, .on_due = on_due, .ctx = ctx};
    int rc = uv_timer_init(loop, &alarm->timer);
    assert(rc == 0);
    (void)rc;
    alarm->timer.data = alarm;
}

void alarm_set(struct alarm *alarm, int64_t deadline_ns)
{
    if (deadline_ns == alarm->deadline_ns || uv_is_closing((uv_handle_t *)&alarm->timer))
        return;
    alarm->deadline_ns = deadline_ns;
    if (deadline_ns == NEVER_NS) {
        uv_timer_stop(&alarm->timer);
        return;
    }
    /* A timer counts from the loop's cached time; without the update a long
     * turn would let it ring early by as much as the turn took. */
    uv_update_time(alarm->timer.loop);
    int rc = uv_timer_start(&alarm->timer, on_timer, (uint64_t)mono_poll_ms(deadline_ns), 0);
    assert(rc == 0);
    (void)rc;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct alarm *alarm = handle->data;
    if (alarm->on_closed)
        alarm->on_closed(alarm->ctx);
}

void alarm_close(struct alarm *alarm, void (*on_closed)(void *ctx))
{
    alarm->on_closed = on_closed;
    uv_close((uv_handle_t *)&alarm->timer, on_timer_closed);
}
