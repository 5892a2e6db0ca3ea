/* tensorboard.c - see tensorboard.h for the contract. */
#include "sweep/record/tensorboard.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sweep/record/sink.h"
#include "sweep/record/tbevent.h"

#define NONE UINT32_MAX
/* TensorBoard reads a folder's files in the order of their names: by time, and within a
 * second by generation and run. */
#define FILE_FORMAT "events.out.tfevents.%010lld.covey.%04u.%04u"
#define FILE_PATTERN "events.out.tfevents.%lld.covey.%u.%u"

/* A trial's file, and what is to come to its end. */
struct stream {
    struct text pending;        /* owned */
    long long second;           /* these are its name */
    uint32_t generation, run;   /* run counts from 1; 0: there is no file yet */
    uint32_t next;              /* in the list of those with something pending */
    bool listed;
    bool empty;                 /* nothing was reported to it, and it is not on disk */
};

struct tensorboard {
    struct tbevent event;
    uint32_t generation;
    struct stream *streams;     /* owned, by trial */
    uint32_t stream_count;
    uint32_t first_listed;      /* NONE: the list is empty */
    size_t pending_bytes;
    size_t dir_len;
    char path[PATH_MAX];        /* DIR/tb, then what is being written */
};

struct tensorboard *tensorboard_new(const char *dir, uint32_t generation)
{
    struct tensorboard *tb = calloc(1, sizeof *tb);
    if (!tb)
        return NULL;
    tbevent_init(&tb->event);
    tb->generation = generation;
    tb->first_listed = NONE;
    tb->dir_len = (size_t)snprintf(tb->path, sizeof tb->path, "%s/" TENSORBOARD_DIR, dir);
    assert(tb->dir_len + 128 < sizeof tb->path); /* the record bounds its path */
    return tb;
}

void tensorboard_free(struct tensorboard **tb_at)
{
    struct tensorboard *tb = *tb_at;
    *tb_at = NULL;
    if (!tb)
        return;
    for (uint32_t i = 0; i < tb->stream_count; i++)
        text_fini(&tb->streams[i].pending);
    tbevent_fini(&tb->event);
    free(tb->streams);
    free(tb);
}

const char *tensorboard_path(const struct tensorboard *tb)
{
    return tb->path;
}

/* The trial's stream; NULL: out of memory.  Others move. */
static struct stream *stream_of(struct tensorboard *tb, uint32_t trial)
{
    if (trial >= tb->stream_count) {
        uint32_t count = tb->stream_count ? tb->stream_count : 64;
        while (count <= trial)
            count *= 2;
        struct stream *streams = realloc(tb->streams, count * sizeof *streams);
        if (!streams)
            return NULL;
        memset(streams + tb->stream_count, 0, (count - tb->stream_count) * sizeof *streams);
        tb->streams = streams;
        tb->stream_count = count;
    }
    return &tb->streams[trial];
}

static void list(struct tensorboard *tb, uint32_t trial)
{
    struct stream *stream = &tb->streams[trial];
    if (stream->listed)
        return;
    stream->listed = true;
    stream->next = tb->first_listed;
    tb->first_listed = trial;
}

static int open_path(struct tensorboard *tb, uint32_t trial, const struct stream *stream)
{
    snprintf(tb->path + tb->dir_len, sizeof tb->path - tb->dir_len, "/%04u/" FILE_FORMAT, trial,
             stream->second, stream->generation, stream->run);
    return open(tb->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

static bool make_folder(const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

/* Folders are made when they are first missed. */
static int open_file(struct tensorboard *tb, uint32_t trial, const struct stream *stream)
{
    int fd = open_path(tb, trial, stream);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    tb->path[tb->dir_len] = '\0';
    if (!make_folder(tb->path))
        return -1;
    snprintf(tb->path + tb->dir_len, sizeof tb->path - tb->dir_len, "/%04u", trial);
    return make_folder(tb->path) ? open_path(tb, trial, stream) : -1;
}

static void drop_pending(struct tensorboard *tb, struct stream *stream)
{
    tb->pending_bytes -= stream->pending.len;
    text_clear(&stream->pending);
    stream->empty = false;
}

static int flush_stream(struct tensorboard *tb, uint32_t trial)
{
    struct stream *stream = &tb->streams[trial];
    if (stream->pending.failed)
        return ENOMEM;
    if (stream->pending.len == 0)
        return 0;
    int fd = open_file(tb, trial, stream);
    if (fd < 0)
        return errno;
    int error = file_write(fd, stream->pending.data, stream->pending.len) ? 0 : errno;
    if (close(fd) != 0 && error == 0)
        error = errno;
    drop_pending(tb, stream);
    return error;
}

int tensorboard_flush(struct tensorboard *tb)
{
    int error = 0;
    while (tb->first_listed != NONE && error == 0) {
        struct stream *stream = &tb->streams[tb->first_listed];
        error = flush_stream(tb, tb->first_listed);
        stream->listed = false;
        tb->first_listed = stream->next;
    }
    return error;
}

static int begin_file(struct tensorboard *tb, struct stream *stream, const struct record_event *event)
{
    int error = flush_stream(tb, event->trial);
    stream->second = event->time_ms / 1000;
    stream->generation = tb->generation;
    stream->run = event->kind == RECORD_START ? event->start.run + 1 : 1;
    stream->empty = true;
    if (error == 0)
        tbevent_version(&tb->event, &stream->pending, event->time_ms);
    return error;
}

/* Is it one of ours? */
static bool read_name(const char *name, struct stream *out)
{
    return sscanf(name, FILE_PATTERN, &out->second, &out->generation, &out->run) == 3;
}

static bool is_later(const struct stream *a, const struct stream *b)
{
    if (a->second != b->second)
        return a->second > b->second;
    return a->generation != b->generation ? a->generation > b->generation : a->run > b->run;
}

/* The trial's last file; where there is none, a new one. */
static int continue_file(struct tensorboard *tb, struct stream *stream, const struct record_event *event)
{
    struct stream found = {.run = 0};
    const struct dirent *entry;
    snprintf(tb->path + tb->dir_len, sizeof tb->path - tb->dir_len, "/%04u", event->trial);
    DIR *dir = opendir(tb->path);
    if (!dir && errno != ENOENT)
        return errno;
    while (dir && (entry = readdir(dir)) != NULL)
        if (read_name(entry->d_name, &found) && (stream->run == 0 || is_later(&found, stream))) {
            stream->second = found.second;
            stream->generation = found.generation;
            stream->run = found.run;
        }
    if (dir)
        closedir(dir);
    return stream->run ? 0 : begin_file(tb, stream, event);
}

int tensorboard_take(struct tensorboard *tb, const struct record_event *event)
{
    struct stream *stream = stream_of(tb, event->trial);
    int error = 0;
    if (!stream)
        return ENOMEM;
    size_t before = stream->pending.len;
    switch (event->kind) {
    case RECORD_START:
        error = begin_file(tb, stream, event);
        before = 0;
        if (error == 0 && event->start.params)
            tbevent_params(&tb->event, &stream->pending, event->time_ms, event->start.params);
        break;
    case RECORD_REPORT:
        if (stream->run == 0)
            error = continue_file(tb, stream, event);
        stream->empty = false;
        if (error == 0)
            tbevent_scalars(&tb->event, &stream->pending, event->time_ms, event->report.step,
                            event->report.metrics);
        break;
    case RECORD_END:
        if (stream->empty)      /* a folder and a file of nothing would cost more than a short trial's record */
            drop_pending(tb, stream);
        error = flush_stream(tb, event->trial);
        text_fini(&stream->pending);
        return error;
    }
    tb->pending_bytes += stream->pending.len - before;
    list(tb, event->trial);
    if (error == 0 && tb->pending_bytes > TENSORBOARD_PENDING_MAX)
        error = tensorboard_flush(tb);
    return error;
}

int tensorboard_forget(struct tensorboard *tb, uint32_t trial)
{
    snprintf(tb->path + tb->dir_len, sizeof tb->path - tb->dir_len, "/%04u", trial);
    DIR *dir = opendir(tb->path);
    if (!dir)
        return errno == ENOENT ? 0 : errno;
    int error = 0;
    struct stream found;
    const struct dirent *entry;
    while (error == 0 && (entry = readdir(dir)) != NULL)
        if (read_name(entry->d_name, &found) && unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            error = errno;
    closedir(dir);
    return error;
}
