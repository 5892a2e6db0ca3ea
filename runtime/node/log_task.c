/* log_task.c - a task's part of its worker's log.
 *
 * Which bytes of the two streams are the task's was counted by its worker
 * (io/page.h); where they stand in the log, by the map.  Pieces follow each
 * other as in the log.  The end of a line that is not in a file yet is taken
 * from what waits for its newline.
 */
#include "node/logs_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/rows.h"

/* ---- which ----------------------------------------------------------------------------- */

static bool is_task(const struct page_task *t, uint32_t owner, uint64_t number)
{
    return t->seq != 0 && t->owner.proc == owner && rows_number(t->seq) == number;
}

bool logs_find_running(const struct logs *logs, uint32_t owner, uint64_t number, uint32_t *worker,
                       struct printed *out)
{
    struct page_task task = {.seq = 0};
    const struct log_text *text = NULL;
    list_each(it, &logs->open) {
        const struct log *log = list_entry(it, struct log, in_open);
        if (!text && log_running(log, &task) && is_task(&task, owner, number))
            text = &log->text;
    }
    for (uint32_t i = 0; i < LOG_FILES_MAX && !text; i++) {
        const struct ended *e = &logs->ended[i];
        if (e->text.proc != 0 && is_task(&e->ran, owner, number)) {
            text = &e->text;
            task = e->ran;
        }
    }
    if (!text)
        return false;
    *worker = text->proc;
    *out = (struct printed){task.out_begin, UINT64_MAX, task.err_begin, UINT64_MAX};
    return true;
}

/* ---- what ------------------------------------------------------------------------------ */

/* An answer as it is written. */
struct writer {
    struct buf *cells;
    struct buf line;
    bool is_error;              /* of the line */
    uint64_t at;                /* position behind what was written last */
    uint64_t lines;
};

static void end_line(struct writer *w)
{
    char position[24];
    int len = snprintf(position, sizeof position, "%llu ", (unsigned long long)w->at);
    buf_append(w->cells, position, (size_t)len);
    buf_append(w->cells, w->line.data, w->line.len);
    buf_append(w->cells, "", 1);
    buf_reset(&w->line);
    w->lines++;
}

/* Bytes of one stream that stand at @at.  A line that the other stream
 * interrupts ends there. */
static void write_piece(struct writer *w, bool is_error, uint64_t at, const char *bytes, size_t len)
{
    if (w->line.len > 0 && w->is_error != is_error)
        end_line(w);
    w->is_error = is_error;
    for (size_t i = 0; i < len; i++) {
        w->at = at + i + 1;
        if (bytes[i] == '\n' || w->line.len >= LOG_LINE_MAX)
            end_line(w);
        if (bytes[i] != '\n')
            buf_append(&w->line, bytes[i] ? &bytes[i] : " ", 1);
    }
}

/* The two files of a log; -1: not there. */
struct files {
    int fd, old_fd;
    uint64_t begin, old_begin;  /* positions in the log */
};

static bool files_open(struct files *f, const struct logs *logs, const struct log_text *text)
{
    char path[LOG_PATH_MAX];
    struct stat st;
    log_path(logs, text->proc, "", path);
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    log_path(logs, text->proc, ".1", path);
    f->old_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    f->begin = f->old_begin = text->file_begin;
    if (f->old_fd >= 0 && fstat(f->old_fd, &st) == 0)
        f->old_begin -= (uint64_t)st.st_size < f->begin ? (uint64_t)st.st_size : f->begin;
    return f->fd >= 0 || f->old_fd >= 0;
}

static void files_close(struct files *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->old_fd >= 0)
        close(f->old_fd);
}

static void write_run(struct writer *w, const struct files *f, const struct log_run *run)
{
    char chunk[16384];
    bool is_old = run->at < f->begin;
    int fd = is_old ? f->old_fd : f->fd;
    uint64_t file_begin = is_old ? f->old_begin : f->begin;
    if (run->at < file_begin)
        return;                 /* in a file that was given up */
    for (uint64_t done = 0; done < run->len && fd >= 0;) {
        size_t want = run->len - done < sizeof chunk ? (size_t)(run->len - done) : sizeof chunk;
        ssize_t n = pread(fd, chunk, want, (off_t)(run->at - file_begin + done));
        if (n <= 0)
            return;
        write_piece(w, run->is_error, run->at + done, chunk, (size_t)n);
        done += (uint64_t)n;
    }
}

/* What @run has of the stream from @begin to @end and behind @after in the log;
 * len 0: nothing. */
static struct log_run clip(struct log_run run, uint64_t begin, uint64_t end, uint64_t after)
{
    uint64_t run_end = run.from + run.len, skipped = 0;
    if (run.at < after)
        skipped = after - run.at;
    if (run.from < begin && begin - run.from > skipped)
        skipped = begin - run.from;
    if (run_end > end)
        run_end = end;
    if (run_end <= run.from + skipped)
        return (struct log_run){0};
    return (struct log_run){run.from + skipped, run_end - run.from - skipped, run.at + skipped, run.is_error};
}

static struct log_run clip_task(struct log_run run, const struct printed *p, uint64_t after)
{
    return run.is_error ? clip(run, p->err_begin, p->err_end, after)
                        : clip(run, p->out_begin, p->out_end, after);
}

/* The position from which on at most LOG_QUERY_BYTES_MAX are the task's. */
static uint64_t find_start(const struct log_map *map, const struct printed *p, uint64_t after)
{
    uint64_t bytes = 0;
    for (uint32_t i = map->count; i-- > 0;) {
        struct log_run run = clip_task(map->runs[i], p, after);
        if (bytes + run.len > LOG_QUERY_BYTES_MAX)
            return run.at + run.len - (LOG_QUERY_BYTES_MAX - bytes);
        bytes += run.len;
    }
    return after;
}

static void write_rest(struct writer *w, const struct log *log, const struct printed *p)
{
    for (int i = 0; i < 2; i++) {
        const struct rest *rest = &log->rests[i];
        struct log_run run = {log->taken[i] - rest->len, rest->len, 0, i == 1};
        struct log_run part = clip_task(run, p, 0);
        uint64_t behind_files = log->text.file_begin + log->file_bytes;
        if (part.len > 0)
            write_piece(w, i == 1, behind_files, rest->bytes + part.at, (size_t)part.len);
    }
}

static const struct log_text *text_of(const struct logs *logs, uint32_t proc, const struct log **open)
{
    *open = NULL;
    list_each(it, &logs->open) {
        const struct log *log = list_entry(it, struct log, in_open);
        if (log->text.proc == proc)
            *open = log;
    }
    if (*open)
        return &(*open)->text;
    for (uint32_t i = 0; i < LOG_FILES_MAX; i++)
        if (proc != 0 && logs->ended[i].text.proc == proc)
            return &logs->ended[i].text;
    return NULL;
}

covey_status logs_query_task(const struct logs *logs, uint32_t proc, const struct printed *printed,
                             uint64_t after, uint32_t limit, struct buf *cells, uint64_t *left_out)
{
    const struct log *log;
    const struct log_text *text = text_of(logs, proc, &log);
    struct writer w = {.cells = cells};
    struct files files;
    *left_out = 0;
    if (!text)
        return COVEY_EUNKNOWN;
    buf_init(&w.line);
    bool runs = log && printed->out_end == UINT64_MAX;
    if (files_open(&files, logs, text)) {
        uint64_t start = find_start(&text->map, printed, after);
        for (uint32_t i = 0; i < text->map.count; i++) {
            struct log_run run = clip_task(text->map.runs[i], printed, start);
            if (run.len > 0)
                write_run(&w, &files, &run);
        }
    }
    files_close(&files);
    if (log && !runs)
        write_rest(&w, log, printed);
    if (w.line.len > 0 && !runs)
        end_line(&w);
    bool failed = w.line.failed || cells->failed;
    buf_fini(&w.line);
    if (failed)
        return COVEY_ENOMEM;
    size_t skipped = 0;
    for (; limit > 0 && w.lines > limit; w.lines--, ++*left_out)
        skipped += strlen((const char *)cells->data + skipped) + 1;
    if (skipped > 0)
        memmove(cells->data, cells->data + skipped, cells->len -= skipped);
    return COVEY_OK;
}
