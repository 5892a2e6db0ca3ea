/* logs_internal.h - what the files of the logs share.
 *
 *   logs.c      from the pipes to file, owner and last lines; a worker's log
 *   log_map.c   where in a log a stream's bytes stand
 *   log_task.c  a task's part of a log
 */
#ifndef COVEY_NODE_LOGS_INTERNAL_H
#define COVEY_NODE_LOGS_INTERNAL_H

#include "core/list.h"
#include "io/page.h"
#include "node/log_map.h"
#include "node/logs.h"

#define LOGS_DIR_MAX 600
#define LOG_PATH_MAX (LOGS_DIR_MAX + 64)

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

/* What was printed and kept, and where. */
struct log_text {
    uint32_t proc;
    uint64_t file_begin;        /* position in the log at which the present file begins */
    struct log_map map;         /* owned */
};

struct log {
    struct logs *logs;
    struct list in_open;        /* logs.open, of workers */
    struct log_text text;
    /* what is read; stdout, stderr */
    struct page *page;          /* owned; NULL: a zygote's log */
    int page_fd;                /* owned until it is taken; -1 */
    uint64_t taken[2];          /* bytes, ever */
    struct rest rests[2];
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

/* A dead worker with a file. */
struct ended {
    struct log_text text;       /* proc 0: none */
    struct page_task ran;       /* when it died; seq 0: nothing */
};

struct logs {
    char dir[LOGS_DIR_MAX];
    const struct logs_ops *ops;
    void *io;
    bool told_broken;
    struct list open;
    struct ended ended[LOG_FILES_MAX];          /* a ring */
    uint64_t ended_count;
    char block[LOG_LINE_MAX + LOG_READ_MAX + 1];/* a rest, what was read, and a newline */
};

/* The file of a worker; @suffix "" or ".1". */
void log_path(const struct logs *logs, uint32_t proc, const char *suffix, char out[LOG_PATH_MAX]);

#endif
