/* command_log.c - see command_log.h for the contract. */
#include "worker/command_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "worker/command.h"

void command_keep_tail(struct buf *b)
{
    if (b->len <= 2 * COMMAND_CAPTURE_MAX)
        return;
    memmove(b->data, b->data + b->len - COMMAND_CAPTURE_MAX, COMMAND_CAPTURE_MAX);
    b->len = COMMAND_CAPTURE_MAX;
}

bool command_log_open(struct command_log *log, const char *path)
{
    /* A pipe that nobody reads is an error and not a wait. */
    *log = (struct command_log){.fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666)};
    buf_init(&log->tail);
    return log->fd >= 0;
}

void command_log_add(struct command_log *log, const void *data, size_t size)
{
    log->printed += size;
    if (log->tail.len == 0 && log->written + size <= COMMAND_LOG_MAX / 2) {
        if (file_write(log->fd, data, size))
            log->written += size;
        return;
    }
    buf_append(&log->tail, data, size);
    command_keep_tail(&log->tail);
}

void command_log_close(struct command_log *log)
{
    char gap[96];
    if (log->fd < 0)
        return;
    uint64_t left_out = log->printed - log->written - log->tail.len;
    if (left_out > 0)
        (void)file_write(log->fd, gap,
                            (size_t)snprintf(gap, sizeof(gap), "\n[covey: %llu bytes are left out here]\n",
                                             (unsigned long long)left_out));
    (void)file_write(log->fd, log->tail.data, log->tail.len);
    close(log->fd);
    log->fd = -1;
    buf_fini(&log->tail);
}
