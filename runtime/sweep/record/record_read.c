/* record_read.c - the record's events in their order, and its trials, from the tables.
 *
 * An event lies in one of three places: a start and an end in a row of runs, a
 * report in a row of reports.  Each place is read in order, and the three are
 * merged by number.  Numbers leave no gap, so a row that was lost is noticed.
 */
#include "sweep/record/record_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey.h"

static const char *const fate_names[] = {
    [FATE_COMPLETE] = "complete", [FATE_STOPPED] = "stopped", [FATE_PAUSED] = "paused",
    [FATE_FAILED] = "failed", [FATE_RETRY] = "retry", [FATE_INTERRUPTED] = "interrupted",
    [FATE_CANCELLED] = "cancelled",
};
#define FATE_COUNT (sizeof fate_names / sizeof *fate_names)

const char *record_fate_name(enum record_fate fate)
{
    assert(fate < FATE_COUNT);
    return fate_names[fate];
}

bool record_fate_of(const char *name, enum record_fate *out)
{
    for (size_t i = 0; name && i < FATE_COUNT; i++)
        if (strcmp(name, fate_names[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

/* ---- columns --------------------------------------------------------------------- */

static const char *text_at(sqlite3_stmt *stmt, int i)
{
    return (const char *)sqlite3_column_text(stmt, i);
}

static double number_at(sqlite3_stmt *stmt, int i)
{
    /* SQLite keeps no NaN: it stands there as a text. */
    bool is_number = sqlite3_column_type(stmt, i) == SQLITE_FLOAT || sqlite3_column_type(stmt, i) == SQLITE_INTEGER;
    return is_number ? sqlite3_column_double(stmt, i) : NAN;
}

static uint32_t trial_at(sqlite3_stmt *stmt, int i)
{
    return sqlite3_column_type(stmt, i) == SQLITE_NULL ? RECORD_NO_TRIAL
                                                       : (uint32_t)sqlite3_column_int64(stmt, i);
}

static int status_at(sqlite3_stmt *stmt, int i)
{
    return sqlite3_column_type(stmt, i) == SQLITE_NULL ? -1 : sqlite3_column_int(stmt, i);
}

/* ---- events ------------------------------------------------------------------------- */

/* The first three columns of each lane are number, trial and time. */
static bool read_start(sqlite3_stmt *stmt, struct record_event *event)
{
    event->kind = RECORD_START;
    event->start.run = (uint32_t)sqlite3_column_int64(stmt, 3);
    event->start.params = text_at(stmt, 4);
    event->start.until = sqlite3_column_int64(stmt, 5);
    event->start.bracket = (uint32_t)sqlite3_column_int64(stmt, 6);
    event->start.clone_of = trial_at(stmt, 7);
    return true;
}

static bool read_report(sqlite3_stmt *stmt, struct record_event *event)
{
    event->kind = RECORD_REPORT;
    event->report.step = sqlite3_column_int64(stmt, 3);
    event->report.has_value = sqlite3_column_type(stmt, 4) != SQLITE_NULL;
    event->report.value = number_at(stmt, 4);
    event->report.metrics = text_at(stmt, 5);
    return event->report.metrics != NULL;
}

static bool read_end(sqlite3_stmt *stmt, struct record_event *event)
{
    event->kind = RECORD_END;
    event->end.status = status_at(stmt, 4);
    event->end.why = text_at(stmt, 5);
    return record_fate_of(text_at(stmt, 3), &event->end.fate);
}

static const struct {
    const char *sql;
    bool (*read)(sqlite3_stmt *stmt, struct record_event *event);
} lanes[] = {
    {"SELECT seq, trial, started_ms, run, params, until, bracket, clone_of FROM runs"
     " WHERE seq >= ?1 AND run IS NOT NULL ORDER BY seq", read_start},
    {"SELECT seq, trial, time_ms, step, value, metrics FROM reports WHERE seq >= ?1 ORDER BY seq",
     read_report},
    {"SELECT end_seq, trial, ended_ms, fate, status, why FROM runs WHERE end_seq >= ?1"
     " ORDER BY end_seq", read_end},
};
#define LANES (sizeof lanes / sizeof *lanes)

struct lane {
    sqlite3_stmt *stmt;         /* owned */
    uint64_t seq;               /* of the row it stands at; UINT64_MAX: at its end */
};

static int lane_step(struct lane *lane)
{
    int rc = sqlite3_step(lane->stmt);
    lane->seq = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(lane->stmt, 0) : UINT64_MAX;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int lanes_open(sqlite3 *db, struct lane *open, uint64_t from)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < LANES && rc == SQLITE_OK; i++) {
        rc = sqlite3_prepare_v2(db, lanes[i].sql, -1, &open[i].stmt, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_bind_int64(open[i].stmt, 1, (int64_t)from);
        if (rc == SQLITE_OK)
            rc = lane_step(&open[i]);
    }
    return rc;
}

static int lanes_merge(struct lane *open, uint64_t from,
                       bool (*fn)(const struct record_event *event, void *arg), void *arg)
{
    for (uint64_t seq = from;; seq++) {
        size_t i = 0;
        for (size_t k = 1; k < LANES; k++)
            if (open[k].seq < open[i].seq)
                i = k;
        if (open[i].seq == UINT64_MAX)
            return SQLITE_OK;
        struct record_event event = {
            .seq = seq, .trial = trial_at(open[i].stmt, 1), .time_ms = sqlite3_column_int64(open[i].stmt, 2),
        };
        if (open[i].seq != seq || event.trial >= RECORD_TRIALS_MAX ||
            !lanes[i].read(open[i].stmt, &event))
            return SQLITE_CORRUPT;
        if (!fn(&event, arg))
            return SQLITE_OK;
        int rc = lane_step(&open[i]);
        if (rc != SQLITE_OK)
            return rc;
    }
}

/* One read transaction, so that the lanes see the same instant. */
int record_read_events(sqlite3 *db, uint64_t from,
                       bool (*fn)(const struct record_event *event, void *arg), void *arg)
{
    struct lane open[LANES] = {0};
    int rc = database_run(db, "BEGIN");
    if (rc != SQLITE_OK)
        return rc;
    rc = lanes_open(db, open, from);
    if (rc == SQLITE_OK)
        rc = lanes_merge(open, from, fn, arg);
    for (size_t i = 0; i < LANES; i++)
        sqlite3_finalize(open[i].stmt);
    int ended = database_run(db, "COMMIT");    /* else the next one cannot begin */
    return rc == SQLITE_OK ? ended : rc;
}

static int told(struct record *r, int rc, char *why, size_t why_size)
{
    return rc == SQLITE_OK ? COVEY_OK : record_db_explain(r->reader, rc, r->dir, why, why_size);
}

int record_play(struct record *r, bool (*fn)(const struct record_event *event, void *arg), void *arg,
                char *why, size_t why_size)
{
    return record_play_from(r, 1, fn, arg, why, why_size);
}

int record_play_from(struct record *r, uint64_t from, bool (*fn)(const struct record_event *event, void *arg),
                     void *arg, char *why, size_t why_size)
{
    return told(r, record_read_events(r->reader, from, fn, arg), why, why_size);
}

/* ---- looking ------------------------------------------------------------------------- */

/* Every row of @sql, with ?1 and ?2 bound where it has them. */
static int each_row(struct record *r, const char *sql, int64_t one, int64_t two,
                    bool (*row)(sqlite3_stmt *stmt, void *fn_arg), void *fn_arg, char *why, size_t why_size)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(r->reader, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK && sqlite3_bind_parameter_count(stmt) >= 1)
        rc = sqlite3_bind_int64(stmt, 1, one);
    if (rc == SQLITE_OK && sqlite3_bind_parameter_count(stmt) >= 2)
        rc = sqlite3_bind_int64(stmt, 2, two);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        rc = row(stmt, fn_arg) ? SQLITE_OK : SQLITE_DONE;
    sqlite3_finalize(stmt);
    return told(r, rc == SQLITE_DONE ? SQLITE_OK : rc, why, why_size);
}

struct trial_call {
    bool (*fn)(const struct record_trial *trial, void *arg);
    void *arg;
};

static bool on_trial(sqlite3_stmt *stmt, void *arg)
{
    struct trial_call *call = arg;
    return call->fn(&(struct record_trial){
        .trial = trial_at(stmt, 0), .params = text_at(stmt, 1), .state = text_at(stmt, 2),
        .value = number_at(stmt, 3), .step = sqlite3_column_int64(stmt, 4),
        .started_ms = sqlite3_column_int64(stmt, 5), .ended_ms = sqlite3_column_int64(stmt, 6),
        .ran_ms = sqlite3_column_int64(stmt, 7), .runs = (uint32_t)sqlite3_column_int64(stmt, 8),
        .why = text_at(stmt, 9),
    }, call->arg);
}

int record_trials(struct record *r, bool (*fn)(const struct record_trial *trial, void *arg), void *arg,
                  char *why, size_t why_size)
{
    return each_row(r, "SELECT trial, params, state, value, step, started_ms, ended_ms, ran_ms, runs, why"
                    " FROM trials ORDER BY trial", 0, 0, on_trial, &(struct trial_call){fn, arg},
                    why, why_size);
}

struct run_call {
    bool (*fn)(const struct record_run *run, void *arg);
    void *arg;
};

static bool on_run(sqlite3_stmt *stmt, void *arg)
{
    struct run_call *call = arg;
    return call->fn(&(struct record_run){
        .trial = trial_at(stmt, 0), .run = (uint32_t)sqlite3_column_int64(stmt, 1),
        .started_ms = sqlite3_column_int64(stmt, 2), .until = sqlite3_column_int64(stmt, 3),
        .bracket = (uint32_t)sqlite3_column_int64(stmt, 4), .clone_of = trial_at(stmt, 5),
        .ended_ms = sqlite3_column_int64(stmt, 6), .fate = text_at(stmt, 7),
        .status = status_at(stmt, 8), .why = text_at(stmt, 9),
    }, call->arg);
}

int record_runs(struct record *r, bool (*fn)(const struct record_run *run, void *arg), void *arg,
                char *why, size_t why_size)
{
    return each_row(r, "SELECT trial, run, started_ms, until, bracket, clone_of, ended_ms, fate, status, why"
                    " FROM runs WHERE run IS NOT NULL ORDER BY seq", 0, 0, on_run,
                    &(struct run_call){fn, arg}, why, why_size);
}

struct report_call {
    bool (*fn)(const struct record_event *event, void *arg);
    void *arg;
};

static bool on_report(sqlite3_stmt *stmt, void *arg)
{
    struct report_call *call = arg;
    struct record_event event = {
        .seq = (uint64_t)sqlite3_column_int64(stmt, 0), .trial = trial_at(stmt, 1),
        .time_ms = sqlite3_column_int64(stmt, 2),
    };
    return read_report(stmt, &event) && call->fn(&event, call->arg);
}

/* Reports lie in the order in which they came, so those of one trial are sought
 * between its first start and its last end only. */
int record_reports(struct record *r, uint32_t trial,
                   bool (*fn)(const struct record_event *event, void *arg), void *arg,
                   char *why, size_t why_size)
{
    static const char all[] = "SELECT seq, trial, time_ms, step, value, metrics FROM reports ORDER BY seq";
    static const char of_one[] =
        "SELECT seq, trial, time_ms, step, value, metrics FROM reports"
        " WHERE seq BETWEEN (SELECT min(seq) FROM runs WHERE trial = ?1)"
        " AND (SELECT max(coalesce(end_seq, ?2)) FROM runs WHERE trial = ?1) AND trial = ?1 ORDER BY seq";
    return each_row(r, trial == RECORD_NO_TRIAL ? all : of_one, trial, INT64_MAX, on_report,
                    &(struct report_call){fn, arg}, why, why_size);
}
