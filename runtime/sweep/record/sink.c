/* sink.c - see sink.h for the contract. */
#include "sweep/record/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

int sink_open(struct sink *s, const char *dir, const char *name, uint64_t bytes)
{
    char path[PATH_MAX];
    struct stat at;
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return ENAMETOOLONG;
    *s = SINK_NONE;
    s->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (s->fd < 0 || fstat(s->fd, &at) != 0)
        return errno;
    s->bytes = (uint64_t)at.st_size < bytes ? 0 : bytes;
    return ftruncate(s->fd, (off_t)s->bytes) == 0 ? 0 : errno;
}

int sink_flush(struct sink *s)
{
    if (s->pending.failed)
        return ENOMEM;
    if (s->pending.len == 0)
        return 0;
    int error = file_write(s->fd, s->pending.data, s->pending.len) ? 0 : errno;
    if (error == 0) {
        s->bytes += s->pending.len;
        text_clear(&s->pending);
    }
    return error;
}

void sink_close(struct sink *s)
{
    if (s->fd >= 0)
        close(s->fd);
    text_fini(&s->pending);
    *s = SINK_NONE;
}
