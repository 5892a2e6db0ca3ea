/* logs.c - see logs.h for the contract, logs_internal.h for the parts. */
#include "node/logs_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/dlog.h"

#define IDLE_MAX (60 * SECOND_NS)   /* longer pauses fill a bucket no further */

/* ---- the directory --------------------------------------------------------------------- */

void log_path(const struct logs *logs, uint32_t proc, const char *suffix, char out[LOG_PATH_MAX])
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
    list_init(&logs->open);
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
    for (uint32_t i = 0; *logs && i < LOG_FILES_MAX; i++)
        log_map_fini(&(*logs)->ended[i].text.map);
    free(*logs);
    *logs = NULL;
}

covey_status log_open(struct log **out, struct logs *logs, uint32_t proc)
{
    struct log *log = calloc(1, sizeof *log);
    if (!log)
        return COVEY_ENOMEM;
    log->logs = logs;
    log->text.proc = proc;
    log->fd = log->page_fd = -1;
    list_init(&log->in_open);
    if (proc != 0 && page_new(&log->page, &log->page_fd) != COVEY_OK) {
        free(log);
        return COVEY_ESYSTEM;
    }
    if (proc != 0)
        list_push(&logs->open, &log->in_open);
    log->file_bucket = (struct bucket){LOG_FILE_RATE, LOG_FILE_BURST, LOG_FILE_BURST, 0};
    log->owner_bucket = (struct bucket){LOG_OWNER_RATE, LOG_OWNER_BURST, LOG_OWNER_BURST, 0};
    *out = log;
    return COVEY_OK;
}

int log_take_page(struct log *log)
{
    int fd = log->page_fd;
    log->page_fd = -1;
    return fd;
}

bool log_running(const struct log *log, struct page_task *out)
{
    return log->page && page_running(log->page, out);
}

/* The files of the worker that died longest ago make room. */
static void remember_ended(struct logs *logs, struct log *log)
{
    struct ended *slot = &logs->ended[logs->ended_count++ % LOG_FILES_MAX];
    if (slot->text.proc != 0) {
        char path[LOG_PATH_MAX];
        log_path(logs, slot->text.proc, "", path);
        unlink(path);
        log_path(logs, slot->text.proc, ".1", path);
        unlink(path);
        log_map_fini(&slot->text.map);
    }
    *slot = (struct ended){.text = log->text};
    log->text.map = (struct log_map){0};
    log_map_end(&slot->text.map);
    if (!page_running(log->page, &slot->ran))
        slot->ran = (struct page_task){.seq = 0};
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
        dlog_warn("%s: %s; what workers print is not kept", log->logs->dir, strerror(errno));
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
    log_path(log->logs, log->text.proc, "", path);
    if (log->fd >= 0) {
        log_path(log->logs, log->text.proc, ".1", old);
        close(log->fd);
        log->fd = -1;
        if (rename(path, old) != 0) {
            file_broken(log);
            return false;
        }
        log_map_forget(&log->text.map, log->text.file_begin);
    }
    log->text.file_begin += log->file_bytes;
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

/* @run says of which stream the text is, and how much of it: a newline of ours
 * may be behind. */
static void to_file(struct log *log, const char *text, size_t len, struct log_run run, int64_t now)
{
    if (!bucket_take(&log->file_bucket, len, now)) {
        log->file_dropped += len;
        return;
    }
    file_say_dropped(log);
    file_append(log, text, len);
    if (log->fd >= 0) {
        run.at = log->text.file_begin + log->file_bytes - len;
        log_map_add(&log->text.map, run, log->text.file_begin);
    }
}

/* ---- owner and tail ------------------------------------------------------------------------- */

static void to_owner(struct log *log, bool is_error, const char *text, size_t len, int64_t now)
{
    const struct logs *logs = log->logs;
    bool taken = bucket_take(&log->owner_bucket, len, now)
                 && logs->ops->lines(logs->io, log->text.proc, is_error, log->owner_dropped,
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

/* Whole lines: the stream's bytes from @from on, of which the last may be a
 * newline that is not the stream's. */
static void emit(struct log *log, bool is_error, uint64_t from, char *text, size_t len, int64_t now)
{
    uint64_t own = log->taken[is_error] - from;
    for (char *nul = text; (nul = memchr(nul, '\0', len - (size_t)(nul - text))) != NULL;)
        *nul = ' ';
    to_tail(log, text, len);
    if (log->text.proc == 0)
        return;
    to_file(log, text, len, (struct log_run){from, own < len ? own : len, 0, is_error}, now);
    to_owner(log, is_error, text, len, now);
}

static ssize_t read_counted(struct log *log, int fd, bool is_error, char *to)
{
    ssize_t n;
    if (log->page)
        page_read_begin(log->page, is_error);
    do
        n = read(fd, to, LOG_READ_MAX);
    while (n < 0 && errno == EINTR);
    int error = errno;
    log->taken[is_error] += n > 0 ? (uint64_t)n : 0;
    if (log->page)
        page_read_end(log->page, is_error, log->taken[is_error]);
    errno = error;
    return n;
}

enum log_read log_read(struct log *log, int fd, bool is_error, int64_t now)
{
    struct rest *rest = &log->rests[is_error];
    char *block = log->logs->block;
    memcpy(block, rest->bytes, rest->len);
    uint64_t from = log->taken[is_error] - rest->len;
    ssize_t n = read_counted(log, fd, is_error, block + rest->len);
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
        emit(log, is_error, from, block, whole, now);
    return LOG_MORE;
}

void log_close(struct log **log)
{
    struct log *l = *log;
    if (!l)
        return;
    *log = NULL;
    if (l->has_file)
        remember_ended(l->logs, l);
    if (l->fd >= 0)
        close(l->fd);
    if (l->page_fd >= 0)
        close(l->page_fd);
    list_del(&l->in_open);
    page_free(&l->page);
    log_map_fini(&l->text.map);
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
        emit(log, i == 1, log->taken[i] - rest->len, block, rest->len + 1, now);
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
    log_path(logs, proc, "", path);
    if (stat(path, &st) != 0)
        return COVEY_EUNKNOWN;
    uint64_t newest = (uint64_t)st.st_size < LOG_QUERY_BYTES_MAX ? (uint64_t)st.st_size
                                                                 : LOG_QUERY_BYTES_MAX;
    buf_init(&text);
    log_path(logs, proc, ".1", path);
    append_end(&text, path, LOG_QUERY_BYTES_MAX - newest, &cut);
    log_path(logs, proc, "", path);
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
