/* record_db.c - the record's SQLite: how it is opened, its schema, its failures. */
#include "sweep/record/record_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey.h"

#define APPLICATION_ID 0x43565953   /* "CVYS" */
#define SCHEMA_VERSION 1
#define BUSY_MS 60000               /* a reader on a network file system, or a person's sqlite3 */

/* The comments stay in the file: `sqlite3 sweep.db .schema` shows them. */
static const char schema[] =
    "CREATE TABLE meta (  -- the sweep: covey.schema, covey.created_ms, name, spec, ...\n"
    "  key TEXT PRIMARY KEY,\n"
    "  value TEXT NOT NULL\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE trials (\n"
    "  trial INTEGER PRIMARY KEY,  -- 0, 1, 2 ...\n"
    "  params TEXT NOT NULL,       -- JSON, of its last run\n"
    "  state TEXT NOT NULL,        -- running, or the fate of its last run\n"
    "  value REAL,                 -- best value of the metric; a second old while it runs\n"
    "  step INTEGER,               -- at which it had that\n"
    "  started_ms INTEGER,         -- its first start, since 1970\n"
    "  ended_ms INTEGER,           -- its last end\n"
    "  ran_ms INTEGER NOT NULL,    -- all runs that ended, added up\n"
    "  runs INTEGER NOT NULL,\n"
    "  why TEXT                    -- what is to be told of its end\n"
    ") STRICT;\n"
    "CREATE TABLE runs (  -- times that a trial was started\n"
    "  seq INTEGER PRIMARY KEY,    -- number of the start, over all events; they leave no gap\n"
    "  trial INTEGER NOT NULL,\n"
    "  run INTEGER,                -- 0, 1 ... of this trial; NULL: it ended without running\n"
    "  started_ms INTEGER,\n"
    "  until INTEGER,              -- judged next at this step; 0: not\n"
    "  bracket INTEGER,\n"
    "  clone_of INTEGER,           -- the trial whose checkpoint it began with\n"
    "  params TEXT,                -- JSON; NULL: as in the run before\n"
    "  end_seq INTEGER,            -- number of the end; NULL: it runs\n"
    "  ended_ms INTEGER,\n"
    "  fate TEXT,                  -- complete stopped paused failed retry interrupted cancelled\n"
    "  status INTEGER,             -- exit status, or 128 + signal\n"
    "  why TEXT\n"
    ") STRICT;\n"
    "CREATE TABLE reports (\n"
    "  seq INTEGER PRIMARY KEY,    -- number of the report, over all events\n"
    "  trial INTEGER NOT NULL,\n"
    "  step INTEGER NOT NULL,\n"
    "  time_ms INTEGER NOT NULL,\n"
    "  value ANY,                  -- of the metric, a number or 'nan'; NULL: not in it\n"
    "  metrics TEXT NOT NULL       -- JSON, the whole report\n"
    ") STRICT;\n"
    "CREATE TABLE sinks (  -- how far the files beside this one are known to be\n"
    "  name TEXT PRIMARY KEY,      -- trials.csv, results.jsonl, tb; trials: the column value\n"
    "  bytes INTEGER NOT NULL,     -- length of the file with\n"
    "  seq INTEGER NOT NULL        -- all events up to this\n"
    ") STRICT, WITHOUT ROWID;\n";

int record_db_open(sqlite3 **out, const char *dir, int flags)
{
    char path[RECORD_PATH_BYTES + sizeof "/" RECORD_FILE];
    snprintf(path, sizeof path, "%s/" RECORD_FILE, dir);
    int rc = sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(*out, BUSY_MS);
    return rc;
}

/* A large WAL spares copying the same page again and again; a reader that
 * lets it grow further is paid for by cutting it back. */
int record_db_set_modes(sqlite3 *db, const char *dir, bool sync_full)
{
    int rc = database_set_journal(db, database_on_network(dir), sync_full);
    if (rc == SQLITE_OK)
        rc = database_run(db, "PRAGMA wal_autocheckpoint = 4096");
    if (rc == SQLITE_OK)
        rc = database_run(db, "PRAGMA journal_size_limit = 33554432");
    return rc;
}

int record_db_make_schema(sqlite3 *db)
{
    char pragmas[96];
    snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             APPLICATION_ID, SCHEMA_VERSION);
    int rc = database_run(db, schema);
    return rc == SQLITE_OK ? database_run(db, pragmas) : rc;
}

/* The pages of the small tables.  The large one, reports, is read as a whole by
 * whoever plays it, and an event that is missing is seen there. */
static int check_pages(sqlite3 *db)
{
    static const char *const tables[] = {"meta", "trials", "runs", "sinks"};
    int rc = SQLITE_OK;
    for (size_t i = 0; i < sizeof tables / sizeof *tables && rc == SQLITE_OK; i++)
        rc = database_check_pages(db, tables[i]);
    return rc;
}

int record_db_check(sqlite3 *db)
{
    int64_t application = 0, version = 0;
    int rc = database_ask(db, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK)
        rc = database_ask(db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK && (application != APPLICATION_ID || version != SCHEMA_VERSION))
        return SQLITE_MISMATCH;
    return rc == SQLITE_OK ? check_pages(db) : rc;
}

int record_db_meta(sqlite3 *db, const char *key, char **out)
{
    sqlite3_stmt *stmt = NULL;
    *out = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE key = ?1", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        *out = text ? strdup(text) : NULL;
        rc = *out ? SQLITE_OK : SQLITE_NOMEM;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* What the system said: SQLite passes it on where a statement failed, and keeps it
 * with the file, the database or its journal, where a commit did.  0: nothing. */
static int system_errno(sqlite3 *db)
{
    sqlite3_file *journal = NULL;
    int error = sqlite3_system_errno(db);
    if (error == 0)
        sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &error);
    if (error == 0)
        sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &journal);
    if (journal && journal->pMethods)
        journal->pMethods->xFileControl(journal, SQLITE_FCNTL_LAST_ERRNO, &error);
    return error;
}

int record_db_explain(sqlite3 *db, int rc, const char *dir, char *why, size_t why_size)
{
    int os = db ? system_errno(db) : 0;
    const char *said = os ? strerror(os) : db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        snprintf(why, why_size, "out of memory");
        return COVEY_ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        snprintf(why, why_size, "%s/" RECORD_FILE ": another program keeps it locked; end that one, "
                 "then `covey sweep resume %s`", dir, dir);
        return COVEY_EREFUSED;
    case SQLITE_MISMATCH:
        snprintf(why, why_size, "%s/" RECORD_FILE ": not a sweep's record, or one that was never "
                 "finished being made, or a newer covey's", dir);
        return COVEY_EINVAL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        snprintf(why, why_size, "%s/" RECORD_FILE " is damaged (%s); `sqlite3 %s/" RECORD_FILE
                 " .recover` prints what can be saved", dir, sqlite3_errstr(rc), dir);
        return COVEY_EINVAL;
    case SQLITE_FULL:
        snprintf(why, why_size, "%s/" RECORD_FILE ": no space is left; free some, then "
                 "`covey sweep resume %s`", dir, dir);
        return COVEY_ESYSTEM;
    default:
        snprintf(why, why_size, "%s/" RECORD_FILE ": %s; mend that, then `covey sweep resume %s`",
                 dir, said, dir);
        return COVEY_ESYSTEM;
    }
}
