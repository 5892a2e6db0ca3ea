/* record.c - see record.h for the contract.
 *
 * Changes stand in a ring of fixed size.  Three counters divide it, each moved
 * by one side only:
 *
 *          taken          committed            put
 *     ------|-- finished ----|-- on their way --|---> free
 *           record_take()    the thread         record_put()
 *
 * The ring's slots are there from the start, so even a change that found no
 * memory for its bytes has a place in which to be refused.
 */
#include "head/record.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/database.h"
#include "base/thread.h"
#include "io/mono.h"
#include "io/wake.h"

#define APPLICATION_ID 0x43565952   /* "CVYR" */
#define PATH_BYTES 1024
#define RING HEAD_PERSIST_MAX
_Static_assert((RING & (RING - 1)) == 0, "the ring is indexed by a mask");

/* In the order in which they are loaded. */
#define TABLE_LIST(X) X(meta) X(node) X(package) X(kv)
enum table {
#define TABLE_ENUM_(name) TABLE_##name,
    TABLE_LIST(TABLE_ENUM_)
#undef TABLE_ENUM_
    TABLE_COUNT
};

static const struct {
    const char *name, *create, *put, *delete, *all;
} tables[TABLE_COUNT] = {
#define TABLE_SQL_(name)                                                                  \
    {#name,                                                                               \
     "CREATE TABLE IF NOT EXISTS " #name                                                  \
     " (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL) STRICT",   \
     "INSERT INTO " #name " (key, value) VALUES (?1, ?2)"                                 \
     " ON CONFLICT (key) DO UPDATE SET value = ?2",                                       \
     "DELETE FROM " #name " WHERE key = ?1",                                              \
     "SELECT key, value FROM " #name " ORDER BY id"},
    TABLE_LIST(TABLE_SQL_)
#undef TABLE_SQL_
};

struct slot {
    uint64_t number;
    enum table table;
    bool ok;
    uint32_t key_len, value_len;
    uint8_t *bytes;             /* owned: key, then value; NULL: there was no memory */
};

struct record {
    sqlite3 *db;                /* owned; the thread's from the first put on */
    sqlite3_stmt *put[TABLE_COUNT], *delete[TABLE_COUNT]; /* owned */
    struct slot *ring;          /* owned */
    int wake_fd;                /* owned */
    pthread_t thread;
    pthread_mutex_t lock;       /* over what follows */
    pthread_cond_t work;
    uint64_t taken_count, committed_count, put_count;
    uint64_t queued_bytes;
    bool closing;
    bool began_anew;            /* set once, before the thread starts */
    char error[256];
};

static struct slot *slot_at(const struct record *r, uint64_t count)
{
    return &r->ring[count & (RING - 1)];
}

/* ---- the database --------------------------------------------------------------- */

/* Exclusive comes before WAL: then the index of the WAL lies in our own memory
 * and not in a shared file. */
static int set_modes(sqlite3 *db, bool rollback, bool power_safe)
{
    int rc = database_run(db, "PRAGMA locking_mode = EXCLUSIVE");
    if (rc == SQLITE_OK)
        rc = database_set_journal(db, rollback, power_safe);
    if (rc == SQLITE_OK)
        rc = database_run(db, "PRAGMA journal_size_limit = 16777216");
    return rc;
}

static int make_tables(sqlite3 *db)
{
    char pragma[64];
    int rc = database_run(db, "BEGIN IMMEDIATE");
    for (int i = 0; i < TABLE_COUNT && rc == SQLITE_OK; i++)
        rc = database_run(db, tables[i].create);
    snprintf(pragma, sizeof pragma, "PRAGMA application_id = %d", APPLICATION_ID);
    if (rc == SQLITE_OK)
        rc = database_run(db, pragma);
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", RECORD_FORMAT);
    if (rc == SQLITE_OK)
        rc = database_run(db, pragma);
    return rc == SQLITE_OK ? database_run(db, "COMMIT") : rc;
}

static int prepare_all(struct record *r)
{
    int rc = SQLITE_OK;
    for (int i = 0; i < TABLE_COUNT && rc == SQLITE_OK; i++) {
        rc = sqlite3_prepare_v3(r->db, tables[i].put, -1, SQLITE_PREPARE_PERSISTENT, &r->put[i], NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_prepare_v3(r->db, tables[i].delete, -1, SQLITE_PREPARE_PERSISTENT,
                                    &r->delete[i], NULL);
    }
    return rc;
}

static void close_db(struct record *r)
{
    for (int i = 0; i < TABLE_COUNT; i++) {
        sqlite3_finalize(r->put[i]);
        sqlite3_finalize(r->delete[i]);
        r->put[i] = r->delete[i] = NULL;
    }
    int rc = sqlite3_close(r->db);
    assert(rc == SQLITE_OK); /* every statement is finalized */
    (void)rc;
    r->db = NULL;
}

/* SQLITE_MISMATCH: a healthy database, but not one that we may write. */
static int open_db(struct record *r, const char *path, const struct record_options *options)
{
    int64_t application = 0, format = 0;
    int rc = sqlite3_open_v2(path, &r->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
    if (rc == SQLITE_OK)
        rc = set_modes(r->db, options->rollback || database_on_network(path), options->power_safe);
    if (rc == SQLITE_OK)
        rc = database_check_pages(r->db, NULL);
    if (rc == SQLITE_OK)
        rc = database_ask(r->db, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK)
        rc = database_ask(r->db, "PRAGMA user_version", &format);
    if (rc == SQLITE_OK && (application != 0 || format != 0) &&
        (application != APPLICATION_ID || format != RECORD_FORMAT))
        return SQLITE_MISMATCH;
    if (rc == SQLITE_OK)
        rc = make_tables(r->db);
    if (rc == SQLITE_OK)
        rc = prepare_all(r);
    return rc;
}

/* SQLite would create the file open to others under most umasks; its journals
 * take their mode from the file. */
static bool create_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

/* Rename the damaged file, and the journals that belong to it, so that sqlite3
 * can still open what is left of them together. */
static bool set_aside(const char *path, char *aside, size_t aside_size)
{
    static const char *const parts[] = {"-wal", "-shm", "-journal", ""};
    int64_t now = clock_unix_ms();
    snprintf(aside, aside_size, "%s.damaged-%lld", path, (long long)now);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char from[PATH_BYTES + 16], to[PATH_BYTES + 64];
        snprintf(from, sizeof from, "%s%s", path, parts[i]);
        snprintf(to, sizeof to, "%s.damaged-%lld%s", path, (long long)now, parts[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            return false;
    }
    return true;
}

static covey_status explain(struct record *r, int rc, const char *path, char *why, size_t why_size)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        snprintf(why, why_size, "%s: another process has it open", path);
        return COVEY_EAGAIN;
    case SQLITE_MISMATCH:
        snprintf(why, why_size, "%s: written by a newer covey, or by another program; "
                 "move it away to begin a new record", path);
        return COVEY_EVERSION;
    case SQLITE_NOMEM:
        snprintf(why, why_size, "out of memory");
        return COVEY_ENOMEM;
    default:
        snprintf(why, why_size, "%s: %s", path, r->db ? sqlite3_errmsg(r->db) : sqlite3_errstr(rc));
        return COVEY_ESYSTEM;
    }
}

static covey_status open_or_begin_anew(struct record *r, const char *path,
                                       const struct record_options *options, char *why,
                                       size_t why_size)
{
    char aside[PATH_BYTES + 64];
    if (!create_file(path)) {
        snprintf(why, why_size, "cannot open %s: %s", path, strerror(errno));
        return COVEY_ESYSTEM;
    }
    int rc = open_db(r, path, options);
    if ((rc & 0xff) != SQLITE_CORRUPT && (rc & 0xff) != SQLITE_NOTADB)
        return rc == SQLITE_OK ? COVEY_OK : explain(r, rc, path, why, why_size);
    close_db(r);
    if (!set_aside(path, aside, sizeof aside) || !create_file(path)) {
        snprintf(why, why_size, "%s is damaged and cannot be set aside: %s", path, strerror(errno));
        return COVEY_ESYSTEM;
    }
    rc = open_db(r, path, options);
    if (rc != SQLITE_OK)
        return explain(r, rc, path, why, why_size);
    r->began_anew = true;
    snprintf(why, why_size, "the record was damaged; it is set aside as %s and a new one begins: "
             "names and values that were kept are lost, running work is not", aside);
    return COVEY_OK;
}

/* ---- commits ------------------------------------------------------------------------ */

static int apply(struct record *r, const struct slot *slot)
{
    sqlite3_stmt *stmt = slot->value_len ? r->put[slot->table] : r->delete[slot->table];
    int rc = sqlite3_bind_blob64(stmt, 1, slot->bytes, slot->key_len, SQLITE_STATIC);
    if (rc == SQLITE_OK && slot->value_len)
        rc = sqlite3_bind_blob64(stmt, 2, slot->bytes + slot->key_len, slot->value_len, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Changes [@from, @to) in one transaction. */
static int commit(struct record *r, uint64_t from, uint64_t to)
{
    int rc = database_run(r->db, "BEGIN IMMEDIATE");
    for (uint64_t i = from; i < to && rc == SQLITE_OK; i++)
        if (slot_at(r, i)->bytes)
            rc = apply(r, slot_at(r, i));
    if (rc == SQLITE_OK)
        rc = database_run(r->db, "COMMIT");
    return rc;
}

/* Tell the change's fate, and let its bytes go. */
static void finish(struct record *r, uint64_t from, uint64_t to, bool ok)
{
    for (uint64_t i = from; i < to; i++) {
        struct slot *slot = slot_at(r, i);
        slot->ok = ok && slot->bytes != NULL;
        r->queued_bytes -= slot->bytes ? slot->key_len + slot->value_len : 0;
        free(slot->bytes);
        slot->bytes = NULL;
    }
    r->committed_count = to;
}

static void *run(void *arg)
{
    struct record *r = arg;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (r->put_count == r->committed_count && !r->closing)
            pthread_cond_wait(&r->work, &r->lock);
        if (r->put_count == r->committed_count)
            break;
        uint64_t from = r->committed_count, to = r->put_count;
        if (to - from > RECORD_BATCH_MAX)
            to = from + RECORD_BATCH_MAX;
        pthread_mutex_unlock(&r->lock);
        int rc = commit(r, from, to);
        pthread_mutex_lock(&r->lock);
        if (rc != SQLITE_OK) {
            snprintf(r->error, sizeof r->error, "%s", sqlite3_errmsg(r->db));
            if (!sqlite3_get_autocommit(r->db))
                database_run(r->db, "ROLLBACK");
        }
        finish(r, from, to, rc == SQLITE_OK);
        wake_set(r->wake_fd);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- the head's side ------------------------------------------------------------------ */

static void record_free(struct record *r)
{
    if (r->db)
        close_db(r);
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    pthread_cond_destroy(&r->work);
    pthread_mutex_destroy(&r->lock);
    free(r->ring);
    free(r);
}

covey_status record_open(struct record **out, const char *path, const struct record_options *options,
                         char *why, size_t why_size)
{
    assert(why_size > 0);
    *out = NULL;
    why[0] = '\0';
    if (strlen(path) >= PATH_BYTES) {
        snprintf(why, why_size, "%.64s... is too long a path", path);
        return COVEY_ESYSTEM;
    }
    struct record *r = calloc(1, sizeof *r);
    if (!r)
        return COVEY_ENOMEM;
    r->wake_fd = -1;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    r->ring = calloc(RING, sizeof *r->ring);
    covey_status status = r->ring ? wake_open(&r->wake_fd) : COVEY_ENOMEM;
    if (status == COVEY_OK)
        status = open_or_begin_anew(r, path, options, why, why_size);
    if (status == COVEY_OK && !thread_start(&r->thread, run, r)) {
        snprintf(why, why_size, "cannot start the record's thread");
        status = COVEY_ESYSTEM;
    }
    if (status != COVEY_OK) {
        record_free(r);
        return status;
    }
    *out = r;
    return COVEY_OK;
}

bool record_began_anew(const struct record *record) { return record->began_anew; }

void record_close(struct record **record_at)
{
    struct record *r = *record_at;
    *record_at = NULL;
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    record_free(r);
}

static struct span column(sqlite3_stmt *stmt, int i)
{
    const void *data = sqlite3_column_blob(stmt, i); /* before bytes, says SQLite */
    return span_of(data, (size_t)sqlite3_column_bytes(stmt, i));
}

static covey_status load_table(sqlite3 *db, enum table table,
                               covey_status (*row)(void *io, const char *table, struct span key,
                                                   struct span value),
                               void *io, char *why, size_t why_size)
{
    sqlite3_stmt *stmt = NULL;
    covey_status status = COVEY_OK;
    int rc = sqlite3_prepare_v2(db, tables[table].all, -1, &stmt, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW && status == COVEY_OK) {
        status = row(io, tables[table].name, column(stmt, 0), column(stmt, 1));
        rc = SQLITE_OK;
    }
    if (status != COVEY_OK) {
        snprintf(why, why_size, "a row of table %s: %s", tables[table].name, covey_strerror(status));
    } else if (rc != SQLITE_DONE) {
        snprintf(why, why_size, "table %s: %s", tables[table].name, sqlite3_errmsg(db));
        status = COVEY_ESYSTEM;
    }
    sqlite3_finalize(stmt);
    return status;
}

covey_status record_load(struct record *r,
                         covey_status (*row)(void *io, const char *table, struct span key,
                                             struct span value),
                         void *io, char *why, size_t why_size)
{
    assert(r->put_count == 0);
    covey_status status = COVEY_OK;
    for (int i = 0; i < TABLE_COUNT && status == COVEY_OK; i++)
        status = load_table(r->db, i, row, io, why, why_size);
    return status;
}

static enum table table_of(const char *name)
{
    int i = 0;
    while (i < TABLE_COUNT && strcmp(tables[i].name, name) != 0)
        i++;
    assert(i < TABLE_COUNT);
    return i;
}

void record_put(struct record *r, const struct head_record *row)
{
    struct slot slot = {
        .number = row->number, .table = table_of(row->table),
        .key_len = row->key.len, .value_len = row->value.len,
    };
    uint64_t bytes = (uint64_t)row->key.len + row->value.len;
    assert(row->key.len > 0);
    pthread_mutex_lock(&r->lock);
    assert(r->put_count - r->taken_count < RING);
    assert(r->put_count == r->taken_count || slot_at(r, r->put_count - 1)->number < row->number);
    if (r->queued_bytes + bytes <= RECORD_QUEUE_BYTES_MAX)
        slot.bytes = malloc(bytes);
    if (slot.bytes) {
        memcpy(slot.bytes, row->key.data, row->key.len);
        if (row->value.len)
            memcpy(slot.bytes + row->key.len, row->value.data, row->value.len);
        r->queued_bytes += bytes;
    } else {
        snprintf(r->error, sizeof r->error, "more than memory holds waits for the disk");
    }
    *slot_at(r, r->put_count++) = slot;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
}

int record_fd(const struct record *r)
{
    return r->wake_fd;
}

bool record_take(struct record *r, uint64_t *number, bool *ok)
{
    wake_clear(r->wake_fd);
    pthread_mutex_lock(&r->lock);
    bool any = r->taken_count < r->committed_count;
    if (any) {
        *ok = slot_at(r, r->taken_count)->ok;
        while (r->taken_count < r->committed_count && slot_at(r, r->taken_count)->ok == *ok)
            *number = slot_at(r, r->taken_count++)->number;
    }
    bool more = r->taken_count < r->committed_count;
    pthread_mutex_unlock(&r->lock);
    if (more)
        wake_set(r->wake_fd);
    return any;
}

void record_error(struct record *r, char *why, size_t why_size)
{
    pthread_mutex_lock(&r->lock);
    snprintf(why, why_size, "%s", r->error);
    pthread_mutex_unlock(&r->lock);
}
