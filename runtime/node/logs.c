/* logs.c - see logs.h for the contract. */
#include "node/logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOGS_DIR_MAX 600
#define LOG_PATH_MAX (LOGS_DIR_MAX + 64)
#define IDLE_MAX (60 * SECOND_NS)   /* longer pauses fill a bucket no further */

/* Lets @rate bytes a second pass, and @burst at once. */
struct bucket {
    uint64_t rate, burst, tokens;
    int64_t filled_at;
};

/* The beginning of a line whose end has not come yet. */
struct rest {
    uint32_t len;
    char bytes[LOG_LINE_MAX];
};

struct log {
    struct logs *logs;
    uint32_t proc;
    struct rest rests[2];       /* stdout, stderr */
    /* the file */
    int fd;                     /* owned; -1: none */
    bool has_file;              /* there is or was one */
    uint64_t file_bytes;
    struct bucket file_bucket;
    uint64_t file_dropped;      /* bytes, not said yet */
    /* the owner */
    struct bucket owner_bucket;
    uint64_t owner_dropped;
    /* the newest of @tail_count lines is tail[(tail_count - 1) % LOG_TAIL_LINES] */
    char tail[LOG_TAIL_LINES][LOG_TAIL_LINE_MAX];
    uint64_t tail_count;
};

struct logs {
    char dir[LOGS_DIR_MAX];
    const struct logs_ops *ops;
    void *io;
    bool told_broken;
    uint32_t ended[LOG_FILES_MAX];              /* a ring of dead workers with files */
    uint64_t ended_count;
    char block[LOG_LINE_MAX + LOG_READ_MAX + 1];/* a rest, what was read, and a newline */
};

/* ---- the directory --------------------------------------------------------------------- */

static void file_path(const struct logs *logs, uint32_t proc, const char *suffix,
                      char out[LOG_PATH_MAX])
{
    snprintf(out, LOG_PATH_MAX, "%s/worker-%u.log%s", logs->dir, (unsigned)proc, suffix);
}

static bool is_worker_file(const char *name)
{
    return strncmp(name, "worker-", 7) == 0;
}

/* Other files in there (the daemons' own words) are left alone. */
static void move_to_previous(const char *dir)
{
    char previous[LOG_PATH_MAX];
    snprintf(previous, sizeof previous, "%s/previous", dir);
    mkdir(previous, 0700);
    DIR *to = opendir(previous), *from = opendir(dir);
    for (struct dirent *e; to && (e = readdir(to)) != NULL;)
        if (is_worker_file(e->d_name))
            unlinkat(dirfd(to), e->d_name, 0);
    for (struct dirent *e; to && from && (e = readdir(from)) != NULL;)
        if (is_worker_file(e->d_name) && renameat(dirfd(from), e->d_name, dirfd(to), e->d_name) != 0)
            unlinkat(dirfd(from), e->d_name, 0);
    if (to)
        closedir(to);
    if (from)
        closedir(from);
}

covey_status logs_open(struct logs **out, const char *state_dir, const struct logs_ops *ops, void *io)
{
    struct logs *logs = calloc(1, sizeof *logs);
    if (!logs)
        return COVEY_ENOMEM;
    logs->ops = ops;
    logs->io = io;
    int len = snprintf(logs->dir, sizeof logs->dir, "%s/logs", state_dir);
    assert(len > 0 && (size_t)len < sizeof logs->dir);
    if (mkdir(logs->dir, 0700) != 0 && errno != EEXIST) {
        free(logs);
        return COVEY_ESYSTEM;
    }
    move_to_previous(logs->dir);
    *out = logs;
    return COVEY_OK;
}

void logs_close(struct logs **logs)
{
    free(*logs);
    *logs = NULL;
}

covey_status log_open(struct log **out, struct logs *logs, uint32_t proc)
{
    struct log *log = calloc(1, sizeof *log);
    if (!log)
        return COVEY_ENOMEM;
    log->logs = logs;
    log->proc = proc;
    log->fd = -1;
    log->file_bucket = (struct bucket){LOG_FILE_RATE, LOG_FILE_BURST, LOG_FILE_BURST, 0};
    log->owner_bucket = (struct bucket){LOG_OWNER_RATE, LOG_OWNER_BURST, LOG_OWNER_BURST, 0};
    *out = log;
    return COVEY_OK;
}

/* The files of the worker that died longest ago make room. */
static void remember_ended(struct logs *logs, uint32_t proc)
{
    uint32_t *slot = &logs->ended[logs->ended_count++ % LOG_FILES_MAX];
    if (*slot != 0) {
        char path[LOG_PATH_MAX];
        file_path(logs, *slot, "", path);
        unlink(path);
        file_path(logs, *slot, ".1", path);
        unlink(path);
    }
    *slot = proc;
}

/* ---- rates ------------------------------------------------------------------------------- */

static bool bucket_take(struct bucket *b, uint64_t bytes, int64_t now)
{
    int64_t idle = now - b->filled_at;
    if (idle > IDLE_MAX)
        idle = IDLE_MAX;
    uint64_t more = (uint64_t)(idle / 1000) * b->rate / 1000000;
    if (more > 0) {
        b->tokens = b->tokens + more < b->burst ? b->tokens + more : b->burst;
        b->filled_at = now;
    }
    if (b->tokens < bytes)
        return false;
    b->tokens -= bytes;
    return true;
}

/* ---- the file ---------------------------------------------------------------------------- */

static void file_broken(struct log *log)
{
    if (!log->logs->told_broken)
        fprintf(stderr, "covey node: %s: %s; what workers print is not kept\n", log->logs->dir,
                strerror(errno));
    log->logs->told_broken = true;
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

static bool file_ready(struct log *log, size_t len)
{
    char path[LOG_PATH_MAX], old[LOG_PATH_MAX];
    if (log->fd >= 0 && log->file_bytes + len <= LOG_BYTES_MAX)
        return true;
    file_path(log->logs, log->proc, "", path);
    if (log->fd >= 0) {
        file_path(log->logs, log->proc, ".1", old);
        close(log->fd);
        log->fd = -1;
        if (rename(path, old) != 0) {
            file_broken(log);
            return false;
        }
    }
    log->file_bytes = 0;
    log->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log->fd < 0)
        file_broken(log);
    log->has_file = log->has_file || log->fd >= 0;
    return log->fd >= 0;
}

static void file_write(struct log *log, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(log->fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            file_broken(log);
            return;
        }
        log->file_bytes += (uint64_t)n;
        text += n;
        len -= (size_t)n;
    }
}

static void file_append(struct log *log, const char *text, size_t len)
{
    if (file_ready(log, len))
        file_write(log, text, len);
}

static void file_say_dropped(struct log *log)
{
    char note[96];
    if (log->file_dropped == 0)
        return;
    int len = snprintf(note, sizeof note, "[covey: %llu bytes left out: printed too fast]\n",
                       (unsigned long long)log->file_dropped);
    log->file_dropped = 0;
    file_append(log, note, (size_t)len);
}

static void to_file(struct log *log, const char *text, size_t len, int64_t now)
{
    if (!bucket_take(&log->file_bucket, len, now)) {
        log->file_dropped += len;
        return;
    }
    file_say_dropped(log);
    file_append(log, text, len);
}

/* ---- owner and tail ------------------------------------------------------------------------- */

static void to_owner(struct log *log, bool is_error, const char *text, size_t len, int64_t now)
{
    const struct logs *logs = log->logs;
    bool taken = bucket_take(&log->owner_bucket, len, now)
                 && logs->ops->lines(logs->io, log->proc, is_error, log->owner_dropped,
                                     span_of(text, len));
    log->owner_dropped = taken ? 0 : log->owner_dropped + len;
}

/* @text ends with a newline.  Looks at its last lines only. */
static void to_tail(struct log *log, const char *text, size_t len)
{
    size_t begin = len;
    for (uint32_t lines = 0; begin > 0 && lines < LOG_TAIL_LINES; lines++) {
        const char *newline = memrchr(text, '\n', begin - 1);
        begin = newline ? (size_t)(newline - text) + 1 : 0;
    }
    while (begin < len) {
        const char *newline = memchr(text + begin, '\n', len - begin);
        size_t line_len = (size_t)(newline - text) - begin;
        size_t kept = line_len < LOG_TAIL_LINE_MAX - 1 ? line_len : LOG_TAIL_LINE_MAX - 1;
        char *slot = log->tail[log->tail_count++ % LOG_TAIL_LINES];
        memcpy(slot, text + begin, kept);
        slot[kept] = '\0';
        begin += line_len + 1;
    }
}

void log_tail(const struct log *log, char *out, size_t size)
{
    assert(size > 0);
    out[0] = '\0';
    uint64_t first = log->tail_count > LOG_TAIL_LINES ? log->tail_count - LOG_TAIL_LINES : 0;
    size_t used = 0;
    for (uint64_t i = first; i < log->tail_count && used < size - 1; i++) {
        int n = snprintf(out + used, size - used, "%s\n  %s", i == first ? "; last lines:" : "",
                         log->tail[i % LOG_TAIL_LINES]);
        used += (size_t)n;
    }
}

/* ---- from the pipe ---------------------------------------------------------------------------- */

static void emit(struct log *log, bool is_error, char *text, size_t len, int64_t now)
{
    for (char *nul = text; (nul = memchr(nul, '\0', len - (size_t)(nul - text))) != NULL;)
        *nul = ' ';
    to_tail(log, text, len);
    if (log->proc == 0)
        return;
    to_file(log, text, len, now);
    to_owner(log, is_error, text, len, now);
}

enum log_read log_read(struct log *log, int fd, bool is_error, int64_t now)
{
    struct rest *rest = &log->rests[is_error];
    char *block = log->logs->block;
    memcpy(block, rest->bytes, rest->len);
    ssize_t n;
    do
        n = read(fd, block + rest->len, LOG_READ_MAX);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? LOG_EMPTY : LOG_END;
    if (n == 0)
        return LOG_END;
    size_t total = rest->len + (size_t)n;
    const char *newline = memrchr(block, '\n', total);
    size_t whole = newline ? (size_t)(newline - block) + 1 : 0;
    if (total - whole >= LOG_LINE_MAX) {
        block[total++] = '\n';
        whole = total;
    }
    rest->len = (uint32_t)(total - whole);
    memcpy(rest->bytes, block + whole, rest->len);
    if (whole > 0)
        emit(log, is_error, block, whole, now);
    return LOG_MORE;
}

void log_close(struct log **log)
{
    struct log *l = *log;
    if (!l)
        return;
    *log = NULL;
    if (l->has_file)
        remember_ended(l->logs, l->proc);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

void log_finish(struct log *log, int64_t now)
{
    for (int i = 0; i < 2; i++) {
        struct rest *rest = &log->rests[i];
        if (rest->len == 0)
            continue;
        char *block = log->logs->block;
        memcpy(block, rest->bytes, rest->len);
        block[rest->len] = '\n';
        emit(log, i == 1, block, rest->len + 1, now);
        rest->len = 0;
    }
    file_say_dropped(log);
}

/* ---- queries ------------------------------------------------------------------------------------ */

/* Append the last @bytes of a file; *@cut: it has more. */
static bool append_end(struct buf *out, const char *path, uint64_t bytes, bool *cut)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && (uint64_t)st.st_size > bytes) {
        *cut = true;
        lseek(fd, (off_t)((uint64_t)st.st_size - bytes), SEEK_SET);
    }
    while (bytes > 0) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, bytes < sizeof chunk ? (size_t)bytes : sizeof chunk);
        if (n <= 0)
            break;
        buf_append(out, chunk, (size_t)n);
        bytes -= (uint64_t)n;
    }
    close(fd);
    return true;
}

covey_status logs_query(const struct logs *logs, uint32_t proc, uint32_t limit, struct buf *cells,
                        uint64_t *left_out)
{
    char path[LOG_PATH_MAX];
    struct stat st;
    struct buf text;
    bool cut = false;
    *left_out = 0;
    file_path(logs, proc, "", path);
    if (stat(path, &st) != 0)
        return COVEY_EUNKNOWN;
    uint64_t newest = (uint64_t)st.st_size < LOG_QUERY_BYTES_MAX ? (uint64_t)st.st_size
                                                                 : LOG_QUERY_BYTES_MAX;
    buf_init(&text);
    file_path(logs, proc, ".1", path);
    append_end(&text, path, LOG_QUERY_BYTES_MAX - newest, &cut);
    file_path(logs, proc, "", path);
    append_end(&text, path, newest, &cut);

    size_t begin = 0, lines = 0;
    char *bytes = (char *)text.data;
    if (cut && text.len > 0) {      /* it begins inside a line */
        char *newline = memchr(bytes, '\n', text.len);
        begin = newline ? (size_t)(newline - bytes) + 1 : text.len;
    }
    for (size_t i = begin; i < text.len; i++)
        lines += bytes[i] == '\n';
    for (; limit > 0 && lines > limit; lines--, ++*left_out)
        begin += (size_t)((char *)memchr(bytes + begin, '\n', text.len - begin) - (bytes + begin)) + 1;
    for (size_t i = begin; i < text.len; i++)
        if (bytes[i] == '\n')
            bytes[i] = '\0';
    if (begin < text.len)
        buf_append(cells, bytes + begin, text.len - begin);
    bool failed = text.failed || cells->failed;
    buf_fini(&text);
    return failed ? COVEY_ENOMEM : COVEY_OK;
}
