/* output.c - see output.h for the contract. */
#include "node/output.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io/mono.h"

#define DRAIN_READS_MAX 32u     /* two full pipes of the greatest usual size */

static void stream_close(struct stream *s)
{
    watch_close(&s->watch);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* One read a turn, so that a program which prints without end leaves the loop
 * to the others. */
static void on_readable(void *ctx)
{
    struct stream *s = ctx;
    bool is_error = s == &s->output->streams[1];
    if (log_read(s->output->log, s->fd, is_error, mono_ns()) == LOG_END)
        stream_close(s);
}

static covey_status stream_open(struct stream *s, uv_loop_t *loop, int *write_fd)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return COVEY_ESYSTEM;
    /* The program's end blocks, as programs expect. */
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    covey_status status = watch_open(&s->watch, loop, fds[0], on_readable, s);
    if (status != COVEY_OK) {
        close(fds[0]);
        close(fds[1]);
        return status;
    }
    s->fd = fds[0];
    *write_fd = fds[1];
    return COVEY_OK;
}

covey_status output_open(struct output *output, uv_loop_t *loop, struct logs *logs, uint32_t proc,
                         int write_fds[2])
{
    *output = (struct output){.streams = {{.fd = -1, .output = output}, {.fd = -1, .output = output}}};
    covey_status status = log_open(&output->log, logs, proc);
    if (status == COVEY_OK)
        status = stream_open(&output->streams[0], loop, &write_fds[0]);
    if (status == COVEY_OK) {
        status = stream_open(&output->streams[1], loop, &write_fds[1]);
        if (status != COVEY_OK)
            close(write_fds[0]);
    }
    if (status != COVEY_OK) {
        int error = errno;
        output_close(output);
        errno = error;
    }
    return status;
}

void output_drain(struct output *output)
{
    if (!output->log)
        return;
    for (int i = 0; i < 2; i++) {
        struct stream *s = &output->streams[i];
        enum log_read got = LOG_MORE;
        for (unsigned n = 0; n < DRAIN_READS_MAX && s->fd >= 0 && got == LOG_MORE; n++)
            got = log_read(output->log, s->fd, i == 1, mono_ns());
        if (got == LOG_END)
            stream_close(s);
    }
}

void output_close(struct output *output)
{
    if (!output->log)
        return;
    output_drain(output);
    for (int i = 0; i < 2; i++)
        stream_close(&output->streams[i]);
    log_finish(output->log, mono_ns());
    log_close(&output->log);
}
