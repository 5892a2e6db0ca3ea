/* record_sinks.c - the files beside the database, and mending them after a crash.
 *
 * The tables are the truth.  A sink is written after the transaction of its
 * events, and once a second a transaction says how far it is:
 *
 *     transaction n      events ..812
 *     sinks written      lines of 641..812, 64,960 bytes in all
 *     transaction n + 1  events ..950   sinks: up to 812 is in 64,960 bytes
 *
 * After a crash a file is cut to the length of the last mark, and the events
 * since are written again: no line is lost, none doubled.  A file that is
 * shorter than its mark (somebody removed it, or the power went) is written
 * anew from the first event.
 *
 * Files for TensorBoard are many, and their mark is one: the number up to which
 * all of them were on disk.  A trial to which something happened since is written
 * anew, into files of the next generation.
 */
#include "sweep/record/record_internal.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/record/csv.h"
#include "sweep/record/jsonl.h"

#define PENDING_MAX (1024u * 1024)      /* bytes of lines in memory while mending */

static bool fail_tensorboard(struct record *r, int error)
{
    const char *path = tensorboard_path(r->writer.tensorboard);
    return writer_fail_file(r, path + strlen(r->dir) + 1, error);
}

/* ---- writing -------------------------------------------------------------------------- */

/* The trial's row holds all that its line in trials.csv says. */
static bool add_csv_row(struct record *r, uint32_t trial)
{
    struct writer *w = &r->writer;
    sqlite3_stmt *stmt = w->statements[GET_TRIAL];
    int rc = sqlite3_bind_int64(stmt, 1, trial);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        bool has_value = sqlite3_column_type(stmt, 2) != SQLITE_NULL;
        csv_trial(&w->csv.pending, w->columns, &(struct record_trial){
            .trial = trial,
            .params = (const char *)sqlite3_column_text(stmt, 0),
            .state = (const char *)sqlite3_column_text(stmt, 1),
            .value = has_value ? sqlite3_column_double(stmt, 2) : NAN,
            .step = sqlite3_column_int64(stmt, 3),
            .started_ms = sqlite3_column_int64(stmt, 4),
            .ran_ms = sqlite3_column_int64(stmt, 5),
        });
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || writer_fail_db(r, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc);
}

static bool is_last(const struct record_event *event)
{
    return event->kind == RECORD_END && record_fate_is_final(event->end.fate);
}

bool sinks_take(struct record *r, const struct record_event *event)
{
    struct writer *w = &r->writer;
    if (event->kind == RECORD_REPORT)
        jsonl_report(&w->jsonl.pending, event);
    if (is_last(event) && !add_csv_row(r, event->trial))
        return false;
    int error = tensorboard_take(w->tensorboard, event);
    if (error)
        return fail_tensorboard(r, error);
    w->sunk_seq = event->seq;
    return true;
}

bool sinks_flush(struct record *r, bool all)
{
    struct writer *w = &r->writer;
    int error = sink_flush(&w->jsonl);
    if (error)
        return writer_fail_file(r, JSONL_FILE, error);
    error = sink_flush(&w->csv);
    if (error)
        return writer_fail_file(r, CSV_FILE, error);
    error = all ? tensorboard_flush(w->tensorboard) : 0;
    if (error)
        return fail_tensorboard(r, error);
    if (all)
        w->flushed_seq = w->sunk_seq;
    return true;
}

static int mark(struct writer *w, const char *name, uint64_t bytes, uint64_t seq)
{
    sqlite3_stmt *stmt = w->statements[PUT_SINK];
    int rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(stmt, 2, (int64_t)bytes);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(stmt, 3, (int64_t)seq);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int sinks_mark(struct writer *w)
{
    int rc = mark(w, CSV_FILE, w->csv.bytes, w->sunk_seq);
    if (rc == SQLITE_OK)
        rc = mark(w, JSONL_FILE, w->jsonl.bytes, w->sunk_seq);
    if (rc == SQLITE_OK)
        rc = mark(w, TENSORBOARD_DIR, 0, w->flushed_seq);
    if (rc == SQLITE_OK)
        rc = mark(w, "trials", 0, w->progress_seq);
    return rc;
}

void sinks_close(struct writer *w)
{
    sink_close(&w->csv);
    sink_close(&w->jsonl);
    tensorboard_free(&w->tensorboard);
    json_object_put(w->columns);
}

/* ---- mending ---------------------------------------------------------------------------- */

struct mending {
    struct record *r;
    uint64_t csv_seq, jsonl_seq;    /* up to here they are complete */
    uint64_t torn_seq;              /* the first start of a trial that is written anew */
    bool ok;
};

/* Not there: nothing is marked. */
static int read_mark(sqlite3 *db, const char *name, uint64_t *bytes, uint64_t *seq)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT bytes, seq FROM sinks WHERE name = ?1", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    *bytes = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
    *seq = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(stmt, 1) : 0;
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void set_tally(struct mending *m, struct tally *tally, sqlite3_stmt *stmt)
{
    (void)m;
    if (sqlite3_column_type(stmt, 1) != SQLITE_NULL)
        tally->best = sqlite3_column_double(stmt, 1);
    tally->best_step = sqlite3_column_int64(stmt, 2);
    tally->ran_ms = sqlite3_column_int64(stmt, 3);
}

static void set_run(struct mending *m, struct tally *tally, sqlite3_stmt *stmt)
{
    (void)m;
    tally->run_seq = (uint64_t)sqlite3_column_int64(stmt, 1);
    tally->run_started_ms = sqlite3_column_int64(stmt, 2);
}

static void set_torn(struct mending *m, struct tally *tally, sqlite3_stmt *stmt)
{
    uint64_t first = (uint64_t)sqlite3_column_int64(stmt, 1);
    tally->torn = true;
    m->torn_seq = first < m->torn_seq ? first : m->torn_seq;
}

static const struct {
    const char *sql;
    void (*set)(struct mending *m, struct tally *tally, sqlite3_stmt *stmt);
} parts[] = {
    {"SELECT trial, value, step, ran_ms FROM trials", set_tally},
    {"SELECT trial, seq, started_ms FROM runs WHERE end_seq IS NULL ORDER BY seq", set_run},
    {"SELECT trial, min(seq) FROM runs WHERE trial IN (SELECT trial FROM reports WHERE seq > ?1"
     " UNION SELECT trial FROM runs WHERE seq > ?1 OR end_seq > ?1) GROUP BY trial", set_torn},
};

static int read_part(struct writer *w, struct mending *m, size_t part)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(w->db, parts[part].sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK && sqlite3_bind_parameter_count(stmt) > 0)
        rc = sqlite3_bind_int64(stmt, 1, (int64_t)w->flushed_seq);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        uint64_t trial = (uint64_t)sqlite3_column_int64(stmt, 0);
        struct tally *tally = trial < RECORD_TRIALS_MAX ? writer_tally(w, (uint32_t)trial) : NULL;
        rc = tally ? SQLITE_OK : trial < RECORD_TRIALS_MAX ? SQLITE_NOMEM : SQLITE_CORRUPT;
        if (tally)
            parts[part].set(m, tally, stmt);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static bool read_tallies(struct record *r, struct mending *m)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && rc == SQLITE_OK; i++)
        rc = read_part(&r->writer, m, i);
    return rc == SQLITE_OK || writer_fail_db(r, rc);
}

static bool mend_event(const struct record_event *event, void *arg)
{
    struct mending *m = arg;
    struct record *r = m->r;
    struct writer *w = &r->writer;
    int error = 0;
    m->ok = true;
    if (event->seq > w->progress_seq && event->kind == RECORD_REPORT && !writer_count(w, event))
        m->ok = writer_fail_file(r, RECORD_FILE, ENOMEM);
    if (event->seq > m->jsonl_seq && event->kind == RECORD_REPORT)
        jsonl_report(&w->jsonl.pending, event);
    if (m->ok && event->seq > m->csv_seq && is_last(event))
        m->ok = add_csv_row(r, event->trial);
    struct tally *tally = writer_tally(w, event->trial);
    if (m->ok && tally && tally->torn)
        error = tensorboard_take(w->tensorboard, event);
    if (error || !tally)
        m->ok = fail_tensorboard(r, error ? error : ENOMEM);
    if (m->ok && w->csv.pending.len + w->jsonl.pending.len > PENDING_MAX)
        m->ok = sinks_flush(r, false);
    return m->ok;
}

static bool open_files(struct record *r, struct mending *m, uint64_t csv_bytes, uint64_t jsonl_bytes)
{
    struct writer *w = &r->writer;
    int error = sink_open(&w->csv, r->dir, CSV_FILE, csv_bytes);
    if (error)
        return writer_fail_file(r, CSV_FILE, error);
    error = sink_open(&w->jsonl, r->dir, JSONL_FILE, jsonl_bytes);
    if (error)
        return writer_fail_file(r, JSONL_FILE, error);
    if (w->csv.bytes == 0) {
        m->csv_seq = 0;
        csv_header(&w->csv.pending, w->columns);
    }
    if (w->jsonl.bytes == 0)
        m->jsonl_seq = 0;
    return true;
}

/* From the first event that some sink lacks. */
static bool mend(struct record *r, struct mending *m)
{
    struct writer *w = &r->writer;
    uint64_t complete = m->csv_seq < m->jsonl_seq ? m->csv_seq : m->jsonl_seq;
    complete = w->progress_seq < complete ? w->progress_seq : complete;
    complete = m->torn_seq - 1 < complete ? m->torn_seq - 1 : complete;
    for (uint32_t i = 0; i < w->tally_count; i++) {
        int error = w->tallies[i].torn ? tensorboard_forget(w->tensorboard, i) : 0;
        if (error)
            return fail_tensorboard(r, error);
    }
    int rc = record_read_events(w->db, complete + 1, mend_event, m);
    if (rc != SQLITE_OK)
        return writer_fail_db(r, rc);
    w->sunk_seq = r->durable_seq;
    return m->ok && sinks_flush(r, true);
}

bool sinks_open(struct record *r)
{
    struct writer *w = &r->writer;
    struct mending m = {.r = r, .torn_seq = UINT64_MAX, .ok = true};
    uint64_t csv_bytes, jsonl_bytes, none;
    int rc = read_mark(w->db, CSV_FILE, &csv_bytes, &m.csv_seq);
    if (rc == SQLITE_OK)
        rc = read_mark(w->db, JSONL_FILE, &jsonl_bytes, &m.jsonl_seq);
    if (rc == SQLITE_OK)
        rc = read_mark(w->db, TENSORBOARD_DIR, &none, &w->flushed_seq);
    if (rc == SQLITE_OK)
        rc = read_mark(w->db, "trials", &none, &w->progress_seq);
    char *columns = NULL;
    if (rc == SQLITE_OK)
        rc = record_db_meta(w->db, "covey.columns", &columns);
    if (rc != SQLITE_OK)
        return writer_fail_db(r, rc);
    w->columns = columns ? json_tokener_parse(columns) : NULL;
    free(columns);
    w->tensorboard = tensorboard_new(r->dir, w->generation);
    if (!w->columns || !w->tensorboard)
        return writer_fail_file(r, TENSORBOARD_DIR, ENOMEM);
    return read_tallies(r, &m) && open_files(r, &m, csv_bytes, jsonl_bytes) && mend(r, &m);
}
