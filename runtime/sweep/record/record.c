/* record.c - see record.h for the contract.
 *
 * Two connections to one database: the caller's thread reads through one, the
 * writer writes through the other, so neither waits for the other's statements.
 *
 * The queue is a list of blocks that are filled one after another; the writer
 * takes them as they are, so appending costs one copy and seldom an allocation.
 */
#include "sweep/record/record_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "covey.h"

#define BLOCK_BYTES (64u * 1024 - sizeof(struct block) - 32) /* with malloc's own, 64 KiB */
#define LOCK_FILE "lock"
#define LOCK_TRIES 1000         /* against those who ask whether it is held */

void record_fail(struct record *r, const char *format, ...)
{
    pthread_mutex_lock(&r->lock);
    if (!r->failed) {
        va_list args;
        va_start(args, format);
        vsnprintf(r->why, sizeof r->why, format, args);
        va_end(args);
        r->failed = true;
    }
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
    eventfd_write(r->wake_fd, 1);
}

/* ---- open and close ------------------------------------------------------------------ */

static void db_path(const struct record *r, const char *suffix, char *path, size_t size)
{
    snprintf(path, size, "%s/" RECORD_FILE "%s", r->dir, suffix);
}

static void record_free(struct record *r)
{
    writer_close(r);
    sqlite3_close(r->reader);
    for (struct block *block = r->first, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    if (r->lock_fd >= 0)
        close(r->lock_fd); /* unlocks it */
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->room);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static int record_new(struct record **out, const char *dir, char *why, size_t why_size)
{
    *out = NULL;
    assert(why_size > 0);
    why[0] = '\0';
    if (strlen(dir) >= RECORD_PATH_BYTES) {
        snprintf(why, why_size, "%.64s... is too long a path", dir);
        return COVEY_ESYSTEM;
    }
    struct record *r = calloc(1, sizeof *r);
    if (!r) {
        snprintf(why, why_size, "out of memory");
        return COVEY_ENOMEM;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->work, &monotonic);
    pthread_cond_init(&r->room, NULL);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&r->lock, NULL);
    snprintf(r->dir, sizeof r->dir, "%s", dir);
    r->lock_fd = r->wake_fd = -1;
    r->writer.csv = r->writer.jsonl = SINK_NONE;
    *out = r;
    return COVEY_OK;
}

/* Who asks record_is_held() shares the lock for an instant, and is no other runner. */
static bool lock_alone(int fd)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (flock(fd, LOCK_SH | LOCK_NB) != 0)
            return false;
        sched_yield();
    }
    errno = EWOULDBLOCK;
    return false;
}

int record_is_held(const char *dir, int *pid)
{
    char path[PATH_MAX], text[32] = "";
    if (pid)
        *pid = 0;
    if ((size_t)snprintf(path, sizeof path, "%s/" LOCK_FILE, dir) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0;
    if (held && pid && pread(fd, text, sizeof text - 1, 0) > 0)
        *pid = atoi(text);
    close(fd);
    return held;
}

/* The lock goes with the process, however that ends; the number in the file is
 * for the one who is refused. */
static int take_lock(struct record *r, char *why, size_t why_size)
{
    char path[RECORD_PATH_BYTES + sizeof "/" LOCK_FILE], text[32] = "";
    snprintf(path, sizeof path, "%s/" LOCK_FILE, r->dir);
    r->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (r->lock_fd < 0) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return COVEY_ESYSTEM;
    }
    if (!lock_alone(r->lock_fd)) {
        bool held = errno == EWOULDBLOCK;
        ssize_t len = pread(r->lock_fd, text, sizeof text - 1, 0);
        if (held)
            snprintf(why, why_size, "%s: another runner has this sweep (process %.*s)", r->dir,
                     len > 0 ? (int)strcspn(text, "\n") : 1, len > 0 ? text : "?");
        else
            snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return held ? COVEY_EREFUSED : COVEY_ESYSTEM;
    }
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(r->lock_fd, 0) != 0 || pwrite(r->lock_fd, text, (size_t)len, 0) != len) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return COVEY_ESYSTEM;
    }
    return COVEY_OK;
}

static bool start_thread(struct record *r)
{
    r->has_thread = thread_start(&r->thread, writer_run, r);
    return r->has_thread;
}

/* The tables are there: from here on the record can be written. */
static int start_writer(struct record *r, char *why, size_t why_size)
{
    int64_t last = 0;
    int rc = database_ask(r->reader, "SELECT max(coalesce((SELECT max(seq) FROM reports), 0),"
                           " coalesce((SELECT max(seq) FROM runs), 0),"
                           " coalesce((SELECT max(end_seq) FROM runs), 0))", &last);
    if (rc != SQLITE_OK)
        return record_db_explain(r->reader, rc, r->dir, why, why_size);
    r->last_seq = r->durable_seq = (uint64_t)last;
    rc = writer_open(r);
    if (rc != SQLITE_OK)
        return record_db_explain(r->writer.db, rc, r->dir, why, why_size);
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r->wake_fd < 0 || !start_thread(r)) {
        snprintf(why, why_size, "%s: no descriptor or thread is left for the record's writer", r->dir);
        return COVEY_ESYSTEM;
    }
    return COVEY_OK;
}

static int put_meta(sqlite3 *db, const char *key, const char *value)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "INSERT INTO meta (key, value) VALUES (?1, ?2)", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 2, value, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* What a later record_resume() has to know, and what says whose file it is. */
static int put_sweep(sqlite3 *db, const struct record_sweep *sweep)
{
    struct text columns = TEXT_NONE;
    char created[32];
    snprintf(created, sizeof created, "%lld", (long long)clock_unix_ms());
    text_puts(&columns, "[");
    for (size_t i = 0; sweep->params && sweep->params[i]; i++) {
        text_puts(&columns, i ? "," : "");
        text_json_string(&columns, sweep->params[i]);
    }
    text_puts(&columns, "]");
    const char *list = text_get(&columns);
    int rc = list ? put_meta(db, "covey.columns", list) : SQLITE_NOMEM;
    text_fini(&columns);
    const char *const lines[][2] = {
        {"covey.schema", "1"}, {"covey.generation", "1"},
        {"covey.goal", sweep->maximize ? "maximize" : "minimize"},
        {"covey.sync", sweep->sync_full ? "full" : "normal"},
        {"created_ms", created}, {"name", sweep->name ? sweep->name : ""}, {"metric", sweep->metric},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines && rc == SQLITE_OK; i++)
        rc = lines[i][1] ? put_meta(db, lines[i][0], lines[i][1]) : SQLITE_OK;
    return rc;
}

/* The schema and what belongs into it come in one transaction: a file cut short
 * by a crash is empty, and is told from a record. */
static int make_tables(struct record *r, const struct record_sweep *sweep)
{
    int rc = record_db_open(&r->reader, r->dir, SQLITE_OPEN_READWRITE);
    if (rc == SQLITE_OK)
        rc = record_db_set_modes(r->reader, r->dir, sweep->sync_full);
    if (rc == SQLITE_OK)
        rc = database_run(r->reader, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
        rc = record_db_make_schema(r->reader);
    if (rc == SQLITE_OK)
        rc = put_sweep(r->reader, sweep);
    return rc == SQLITE_OK ? database_run(r->reader, "COMMIT") : rc;
}

static void remove_made(struct record *r)
{
    static const char *const parts[] = {"", "-wal", "-shm", "-journal"};
    sqlite3_close(r->reader);
    r->reader = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char path[RECORD_PATH_BYTES + 32];
        db_path(r, parts[i], path, sizeof path);
        unlink(path);
    }
}

static int make_record(struct record *r, const struct record_sweep *sweep, char *why, size_t why_size)
{
    char path[RECORD_PATH_BYTES + 32];
    int status = take_lock(r, why, why_size);
    if (status != COVEY_OK)
        return status;
    db_path(r, "", path, sizeof path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        bool there = errno == EEXIST;
        snprintf(why, why_size, there ? "%s: there is a sweep already; `covey sweep resume` goes on with it"
                                      : "%s: %s", there ? r->dir : path, strerror(errno));
        return there ? COVEY_EREFUSED : COVEY_ESYSTEM;
    }
    close(fd);
    int rc = make_tables(r, sweep);
    if (rc == SQLITE_OK)
        return start_writer(r, why, why_size);
    status = record_db_explain(r->reader, rc, r->dir, why, why_size);
    remove_made(r);
    return status;
}

int record_create(struct record **out, const char *dir, const struct record_sweep *sweep,
                  char *why, size_t why_size)
{
    int status = record_new(out, dir, why, why_size);
    if (status == COVEY_OK)
        status = make_record(*out, sweep, why, why_size);
    if (status != COVEY_OK && *out) {
        record_free(*out);
        *out = NULL;
    }
    return status;
}

static int open_reader(struct record *r, int flags, char *why, size_t why_size)
{
    char path[RECORD_PATH_BYTES + 32];
    struct stat at;
    db_path(r, "", path, sizeof path);
    if (stat(path, &at) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        snprintf(why, why_size, "%s: there is no sweep here (no " RECORD_FILE ")", r->dir);
        return COVEY_EINVAL;
    }
    int rc = record_db_open(&r->reader, r->dir, flags);
    if (rc == SQLITE_OK)
        rc = record_db_check(r->reader);
    return rc == SQLITE_OK ? COVEY_OK : record_db_explain(r->reader, rc, r->dir, why, why_size);
}

static int resume_record(struct record *r, char *why, size_t why_size)
{
    static const char next[] = "UPDATE meta SET value = value + 1 WHERE key = 'covey.generation'";
    char path[RECORD_PATH_BYTES + 32];
    db_path(r, "", path, sizeof path);
    /* Before the lock makes a file where no sweep is. */
    int status = access(path, F_OK) == 0 ? take_lock(r, why, why_size) : COVEY_OK;
    if (status == COVEY_OK)
        status = open_reader(r, SQLITE_OPEN_READWRITE, why, why_size);
    if (status != COVEY_OK)
        return status;
    int rc = database_run(r->reader, next);
    if (rc != SQLITE_OK)
        return record_db_explain(r->reader, rc, r->dir, why, why_size);
    return start_writer(r, why, why_size);
}

int record_resume(struct record **out, const char *dir, char *why, size_t why_size)
{
    int status = record_new(out, dir, why, why_size);
    if (status == COVEY_OK)
        status = resume_record(*out, why, why_size);
    if (status != COVEY_OK && *out) {
        record_free(*out);
        *out = NULL;
    }
    return status;
}

int record_look(struct record **out, const char *dir, char *why, size_t why_size)
{
    int status = record_new(out, dir, why, why_size);
    if (status == COVEY_OK)
        status = open_reader(*out, SQLITE_OPEN_READONLY, why, why_size);
    if (status != COVEY_OK && *out) {
        record_free(*out);
        *out = NULL;
    }
    return status;
}

void record_finish(struct record **record_at)
{
    struct record *r = *record_at;
    *record_at = NULL;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    if (r->has_thread)
        pthread_join(r->thread, NULL);
    sqlite3_close(r->reader); /* before the writer's, which tidies up as the last one */
    r->reader = NULL;
    record_free(r);
}

/* ---- the queue ---------------------------------------------------------------------------- */

static size_t text_size(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

/* Copies @s to *@at, which moves on; NULL stays NULL. */
static const char *put_text(char **at, const char *s)
{
    size_t size = text_size(s);
    if (!s)
        return NULL;
    char *copy = memcpy(*at, s, size);
    *at += size;
    return copy;
}

/* Where the event has its text; one each. */
static const char **text_of(struct record_event *event)
{
    switch (event->kind) {
    case RECORD_START: return &event->start.params;
    case RECORD_REPORT: return &event->report.metrics;
    case RECORD_END: return &event->end.why;
    }
    assert(!"an event of no kind");
    return NULL;
}

/* Room for @size bytes at the queue's end, waiting for it where the queue is
 * full.  NULL: the record has failed. */
static struct queued *reserve(struct record *r, size_t size)
{
    while (!r->failed && r->queued_bytes > 0 && r->queued_bytes + size > RECORD_QUEUE_MAX)
        pthread_cond_wait(&r->room, &r->lock);
    if (r->failed)
        return NULL;
    struct block *block = r->last;
    if (!block || block->cap - block->len < size) {
        size_t cap = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        block = malloc(sizeof *block + cap);
        if (!block)
            return NULL;
        *block = (struct block){.cap = cap};
        if (r->last)
            r->last->next = block;
        else
            r->first = block;
        r->last = block;
        pthread_cond_signal(&r->work);
    }
    struct queued *q = (struct queued *)(block->data + block->len);
    block->len += size;
    r->queued_bytes += size;
    q->size = size;
    return q;
}

static bool enqueue(struct record *r, const char *key, const char *value, struct record_event *event)
{
    assert(r->has_thread);
    const char *text = event ? *text_of(event) : NULL;
    size_t size = sizeof(struct queued) + text_size(key) + text_size(value) + text_size(text);
    size = (size + 15) & ~(size_t)15;
    pthread_mutex_lock(&r->lock);
    struct queued *q = reserve(r, size);
    if (q) {
        char *at = (char *)(q + 1);
        q->key = put_text(&at, key);
        q->value = put_text(&at, value);
        if (event) {
            q->event = *event;
            *text_of(&q->event) = put_text(&at, text);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return q != NULL;
}

void record_append(struct record *r, struct record_event *event)
{
    assert(event->trial < RECORD_TRIALS_MAX);
    event->seq = ++r->last_seq;
    bool whole = event->kind != RECORD_REPORT || event->report.metrics;
    if (!whole || !enqueue(r, NULL, NULL, event))
        record_fail(r, "out of memory for what the sweep has to record; then `covey sweep resume %s`",
                    r->dir);
}

void record_set(struct record *r, const char *key, const char *value)
{
    if (!enqueue(r, key, value, NULL))
        record_fail(r, "out of memory for what the sweep has to record; then `covey sweep resume %s`",
                    r->dir);
}

bool record_get(struct record *r, const char *key, char **out)
{
    pthread_mutex_lock(&r->lock);
    while (r->queued_bytes > 0 && !r->failed)
        pthread_cond_wait(&r->room, &r->lock);
    pthread_mutex_unlock(&r->lock);
    return record_db_meta(r->reader, key, out) == SQLITE_OK;
}

char *record_meta(struct record *r, const char *key)
{
    char *out;
    return record_get(r, key, &out) ? out : NULL;
}

int record_durable_fd(const struct record *r)
{
    return r->wake_fd;
}

uint64_t record_durable(struct record *r)
{
    eventfd_t count;
    if (r->wake_fd >= 0)
        eventfd_read(r->wake_fd, &count); /* that it was not set does not matter */
    pthread_mutex_lock(&r->lock);
    uint64_t seq = r->durable_seq;
    pthread_mutex_unlock(&r->lock);
    return seq;
}

uint64_t record_last(const struct record *r)
{
    return r->last_seq;
}

const char *record_failed(struct record *r)
{
    pthread_mutex_lock(&r->lock);
    bool failed = r->failed;
    pthread_mutex_unlock(&r->lock);
    return failed ? r->why : NULL;
}
