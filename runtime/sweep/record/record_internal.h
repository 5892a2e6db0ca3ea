/* record_internal.h - what the files of the record share.
 *
 *   record.c        open, lock and close; the queue
 *   record_write.c  the writer thread: transactions
 *   record_sinks.c  which sink gets what, and mending them after a crash
 *   record_read.c   play and look
 *   record_db.c     SQLite: modes, schema, words for its failures
 */
#ifndef COVEY_SWEEP_RECORD_INTERNAL_H
#define COVEY_SWEEP_RECORD_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>
#include <sys/types.h>

#include "base/database.h"
#include "sweep/record/record.h"
#include "sweep/record/sink.h"
#include "sweep/record/tensorboard.h"

struct json_object;

#define RECORD_FILE "sweep.db"
#define RECORD_PATH_BYTES 1024
#define RECORD_WHY_BYTES 512

/* ---- the queue ---------------------------------------------------------------- */

/* An event, or a line of meta (@key not NULL); its texts follow it. */
struct queued {
    size_t size;
    const char *key, *value;
    struct record_event event;
};

/* Filled by record_append(); once the thread took it, its alone. */
struct block {
    struct block *next;
    size_t len, cap;
    _Alignas(16) char data[];
};

/* ---- the writer ----------------------------------------------------------------- */

/* What the writer knows of a trial between transactions. */
struct tally {
    uint64_t run_seq;           /* the open run's row; 0: none */
    int64_t run_started_ms, ran_ms;
    double best;                /* NaN: none */
    int64_t best_step;
    bool changed;               /* best is newer than the table's */
    bool torn;                  /* while mending: its files for TensorBoard are written anew */
};

enum statement {
    PUT_META, PUT_TRIAL, PUT_RUN, PUT_REPORT, END_TRIAL, END_RUN, PUT_END, PUT_PROGRESS, PUT_SINK,
    GET_TRIAL, STATEMENT_COUNT
};

/* The thread's alone. */
struct writer {
    sqlite3 *db;                /* owned */
    sqlite3_stmt *statements[STATEMENT_COUNT]; /* owned */
    dev_t device;               /* of sweep.db: still the file at its path? */
    ino_t inode;
    bool maximize;
    uint32_t generation;        /* how often the record was opened for writing */
    struct tally *tallies;      /* owned; tally_count of them, by trial */
    uint32_t tally_count;
    uint32_t *changed;          /* owned; trials whose tally changed, changed_count of them */
    uint32_t changed_count, changed_cap;
    uint64_t progress_seq;      /* trials.value knows the reports up to here */
    uint64_t sunk_seq;          /* events up to here are in the sinks */
    uint64_t flushed_seq;       /* and up to here on disk in TensorBoard's files, too */
    struct json_object *columns; /* owned: names, of trials.csv */
    struct sink csv, jsonl;
    struct tensorboard *tensorboard; /* owned */
    int64_t tick_ms;            /* when progress is written next */
    int64_t commit_ms;          /* when the last transaction began */
};

struct record {
    char dir[RECORD_PATH_BYTES];
    int lock_fd;                /* owned; -1: only looking */
    sqlite3 *reader;            /* owned; of the caller's thread */
    struct writer writer;
    bool has_thread;
    pthread_t thread;
    int wake_fd;                /* owned; -1: only looking */
    uint64_t last_seq;          /* given out */

    pthread_mutex_t lock;       /* over what follows */
    pthread_cond_t work, room;
    struct block *first, *last; /* owned */
    size_t queued_bytes;        /* those in the thread's hands included */
    uint64_t durable_seq;
    bool closing, failed;
    char why[RECORD_WHY_BYTES];
};

/* ---- record.c ------------------------------------------------------------------------ */

/* Nothing more is written: say so, once, and let everyone go on. */
void record_fail(struct record *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- record_db.c --------------------------------------------------------------------- */

/* Connections are opened one by one, and each is closed by its owner. */
int record_db_open(sqlite3 **out, const char *dir, int flags);
int record_db_set_modes(sqlite3 *db, const char *dir, bool sync_full);
/* Within a transaction. */
int record_db_make_schema(sqlite3 *db);
/* SQLITE_MISMATCH: a healthy database, but not a record of ours. */
int record_db_check(sqlite3 *db);
/* The caller frees *@out; NULL: not there, or not SQLITE_OK. */
int record_db_meta(sqlite3 *db, const char *key, char **out);
/* What went wrong, where, and what to do; returns a covey_status. */
int record_db_explain(sqlite3 *db, int rc, const char *dir, char *why, size_t why_size);

/* ---- record_write.c ------------------------------------------------------------------ */

/* The writer's connection, on tables that are there.  Returns SQLite's code. */
int writer_open(struct record *r);
/* The thread: mends the sinks, then writes what is queued until record_finish(). */
void *writer_run(void *record);
void writer_close(struct record *r);
/* SQLite writes on into a file that was removed, where nobody would find it. */
bool writer_finds_file(const struct record *r);
/* record_fail() with the words for SQLite's code, or for an errno of DIR/@name.  False. */
bool writer_fail_db(struct record *r, int rc);
bool writer_fail_file(struct record *r, const char *name, int error);
/* The trial's; NULL: out of memory. */
struct tally *writer_tally(struct writer *w, uint32_t trial);
/* A report's value may be its trial's best.  False: out of memory. */
bool writer_count(struct writer *w, const struct record_event *event);

/* ---- record_sinks.c: false where record_fail() has said why ---------------------------- */

/* Tallies, then the sinks, brought to where the tables are. */
bool sinks_open(struct record *r);
bool sinks_take(struct record *r, const struct record_event *event);
/* What was taken is in the files; with @all that of trials that run, too. */
bool sinks_flush(struct record *r, bool all);
/* Within a transaction: how far they are.  Returns SQLite's code. */
int sinks_mark(struct writer *w);
void sinks_close(struct writer *w);

/* ---- record_read.c ------------------------------------------------------------------- */

/* Events from @from on.  Returns SQLite's code; SQLITE_CORRUPT where one is missing. */
int record_read_events(sqlite3 *db, uint64_t from,
                       bool (*fn)(const struct record_event *event, void *arg), void *arg);
/* False: no such name. */
bool record_fate_of(const char *name, enum record_fate *out);
static inline bool record_fate_is_final(enum record_fate fate)
{
    return fate == FATE_COMPLETE || fate == FATE_STOPPED || fate == FATE_FAILED || fate == FATE_CANCELLED;
}

#endif
