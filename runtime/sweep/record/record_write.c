/* record_write.c - the writer thread: one transaction for all that is queued.
 *
 * While a transaction is on its way what arrives gathers for the next, so the
 * disk sets the size of a group.  On a fast disk groups would be tiny and cost
 * a core, so transactions begin at least COMMIT_GAP_MS apart; an event that
 * comes alone waits for nobody.
 *
 * A trial's best value changes with many of its reports, and updating its row
 * each time would double the work: it is written at the trial's end and, of
 * trials that run, once in TICK_MS together with the files for TensorBoard and
 * the marks of how far all files are.
 */
#include "sweep/record/record_internal.h"

#include <assert.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "covey.h"

#define COMMIT_GAP_MS 2
#define COMMIT_BLOCKS_MAX 64        /* 64 KiB each, so that a transaction stays small */
#define TICK_MS 1000

static const char *const sql[STATEMENT_COUNT] = {
    [PUT_META] = "INSERT INTO meta (key, value) VALUES (?1, ?2)"
                 " ON CONFLICT (key) DO UPDATE SET value = ?2",
    [PUT_TRIAL] = "INSERT INTO trials (trial, params, state, started_ms, ran_ms, runs)"
                  " VALUES (?1, coalesce(?2, '{}'), 'running', ?3, 0, 1) ON CONFLICT (trial) DO UPDATE SET"
                  " params = coalesce(?2, params), state = 'running',"
                  " started_ms = coalesce(started_ms, ?3), ended_ms = NULL, why = NULL, runs = runs + 1",
    [PUT_RUN] = "INSERT INTO runs (seq, trial, started_ms, run, params, until, bracket, clone_of)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [PUT_REPORT] = "INSERT INTO reports (seq, trial, time_ms, step, value, metrics)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [END_TRIAL] = "INSERT INTO trials (trial, params, state, value, step, ended_ms, ran_ms, runs, why)"
                  " VALUES (?1, '{}', ?2, ?3, ?4, ?5, ?6, 0, ?7) ON CONFLICT (trial) DO UPDATE SET"
                  " state = ?2, value = ?3, step = ?4, ended_ms = ?5, ran_ms = ?6, why = ?7",
    [END_RUN] = "UPDATE runs SET end_seq = ?2, ended_ms = ?3, fate = ?4, status = ?5, why = ?6"
                " WHERE seq = ?1",
    [PUT_END] = "INSERT INTO runs (seq, trial, end_seq, ended_ms, fate, status, why)"
                " VALUES (?2, ?1, ?2, ?3, ?4, ?5, ?6)",
    [PUT_PROGRESS] = "UPDATE trials SET value = ?2, step = ?3 WHERE trial = ?1",
    [PUT_SINK] = "INSERT INTO sinks (name, bytes, seq) VALUES (?1, ?2, ?3)"
                 " ON CONFLICT (name) DO UPDATE SET bytes = ?2, seq = ?3",
    [GET_TRIAL] = "SELECT params, state, value, step, started_ms, ran_ms FROM trials WHERE trial = ?1",
};

/* ---- open, close and failure ------------------------------------------------------------------ */

static int read_options(struct writer *w, bool *sync_full)
{
    char *goal = NULL, *sync = NULL, *generation = NULL;
    int rc = record_db_meta(w->db, "covey.goal", &goal);
    if (rc == SQLITE_OK)
        rc = record_db_meta(w->db, "covey.sync", &sync);
    if (rc == SQLITE_OK)
        rc = record_db_meta(w->db, "covey.generation", &generation);
    bool found = goal && sync && generation;
    if (found) {
        w->maximize = strcmp(goal, "maximize") == 0;
        *sync_full = strcmp(sync, "full") == 0;
        w->generation = (uint32_t)strtoul(generation, NULL, 10);
    }
    free(goal);
    free(sync);
    free(generation);
    return rc == SQLITE_OK && !found ? SQLITE_MISMATCH : rc;
}

int writer_open(struct record *r)
{
    struct writer *w = &r->writer;
    struct stat at;
    char path[RECORD_PATH_BYTES + sizeof "/" RECORD_FILE];
    bool sync_full = false;
    int rc = record_db_open(&w->db, r->dir, SQLITE_OPEN_READWRITE);
    if (rc == SQLITE_OK)
        rc = read_options(w, &sync_full);
    if (rc == SQLITE_OK)
        rc = record_db_set_modes(w->db, r->dir, sync_full);
    for (int i = 0; i < STATEMENT_COUNT && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(w->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &w->statements[i], NULL);
    snprintf(path, sizeof path, "%s/" RECORD_FILE, r->dir);
    if (rc == SQLITE_OK && stat(path, &at) != 0)
        rc = SQLITE_CANTOPEN;
    if (rc == SQLITE_OK) {
        w->device = at.st_dev;
        w->inode = at.st_ino;
    }
    return rc;
}

/* With a rollback journal what is left is one file, which can be copied, and
 * read where nothing can be written.  Where somebody reads it now it stays as
 * it is. */
void writer_close(struct record *r)
{
    struct writer *w = &r->writer;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(w->statements[i]);
    if (w->db && !r->failed) {
        sqlite3_busy_timeout(w->db, 0);
        database_run(w->db, "PRAGMA journal_mode = DELETE");
    }
    int rc = sqlite3_close(w->db);
    assert(rc == SQLITE_OK); /* every statement is finalized */
    sinks_close(w);
    free(w->tallies);
    free(w->changed);
}

bool writer_finds_file(const struct record *r)
{
    char path[RECORD_PATH_BYTES + sizeof "/" RECORD_FILE];
    struct stat at;
    snprintf(path, sizeof path, "%s/" RECORD_FILE, r->dir);
    return stat(path, &at) == 0 && at.st_dev == r->writer.device && at.st_ino == r->writer.inode;
}

static bool fail_removed(struct record *r)
{
    record_fail(r, "%s/" RECORD_FILE " was removed or replaced while the sweep ran; what came since "
                "is not kept", r->dir);
    return false;
}

bool writer_fail_db(struct record *r, int rc)
{
    char why[RECORD_WHY_BYTES];
    if (!writer_finds_file(r))
        return fail_removed(r);
    record_db_explain(r->writer.db, rc, r->dir, why, sizeof why);
    record_fail(r, "%s", why);
    return false;
}

bool writer_fail_file(struct record *r, const char *name, int error)
{
    if (!writer_finds_file(r))
        return fail_removed(r);
    if (error == ENOMEM)
        record_fail(r, "out of memory while writing %s/%s; then `covey sweep resume %s`", r->dir, name,
                    r->dir);
    else
        record_fail(r, "%s/%s: %s; mend that, then `covey sweep resume %s`", r->dir, name,
                    strerror(error), r->dir);
    return false;
}

/* ---- tallies --------------------------------------------------------------------------- */

struct tally *writer_tally(struct writer *w, uint32_t trial)
{
    assert(trial < RECORD_TRIALS_MAX);
    if (trial >= w->tally_count) {
        uint32_t count = w->tally_count ? w->tally_count : 64;
        while (count <= trial)
            count *= 2;
        struct tally *tallies = realloc(w->tallies, count * sizeof *tallies);
        if (!tallies)
            return NULL;
        for (uint32_t i = w->tally_count; i < count; i++)
            tallies[i] = (struct tally){.best = NAN};
        w->tallies = tallies;
        w->tally_count = count;
    }
    return &w->tallies[trial];
}

static bool list_changed(struct writer *w, uint32_t trial)
{
    if (w->changed_count == w->changed_cap) {
        uint32_t cap = w->changed_cap ? w->changed_cap * 2 : 64;
        uint32_t *changed = realloc(w->changed, cap * sizeof *changed);
        if (!changed)
            return false;
        w->changed = changed;
        w->changed_cap = cap;
    }
    w->changed[w->changed_count++] = trial;
    return true;
}

bool writer_count(struct writer *w, const struct record_event *event)
{
    struct tally *tally = writer_tally(w, event->trial);
    double value = event->report.has_value ? event->report.value : NAN;
    if (!tally)
        return false;
    if (!isfinite(value) || (w->maximize ? value <= tally->best : value >= tally->best))
        return true;
    tally->best = value;
    tally->best_step = event->report.step;
    if (!tally->changed && !list_changed(w, event->trial))
        return false;
    tally->changed = true;
    return true;
}

/* ---- rows ---------------------------------------------------------------------------- */

/* Binds the parameters of one statement, from ?1 on; the first failure stays. */
struct binder {
    sqlite3_stmt *stmt;
    int i, rc;
};

static void bind_int(struct binder *b, int64_t x)
{
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_int64(b->stmt, ++b->i, x);
}

static void bind_int_unless(struct binder *b, int64_t x, int64_t none)
{
    if (b->rc == SQLITE_OK)
        b->rc = x == none ? sqlite3_bind_null(b->stmt, ++b->i) : sqlite3_bind_int64(b->stmt, ++b->i, x);
}

/* NaN becomes NULL. */
static void bind_double(struct binder *b, double x)
{
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_double(b->stmt, ++b->i, x);
}

static void bind_text(struct binder *b, const char *text)
{
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_text(b->stmt, ++b->i, text, -1, SQLITE_STATIC);
}

/* NULL where the report has no metric; SQLite would make NULL of NaN, too. */
static void bind_value(struct binder *b, const struct record_event *event)
{
    if (event->report.has_value && isnan(event->report.value))
        bind_text(b, "nan");
    else if (event->report.has_value)
        bind_double(b, event->report.value);
    else
        bind_text(b, NULL);
}

static int execute(struct binder *b)
{
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_step(b->stmt);
    sqlite3_reset(b->stmt);
    return b->rc == SQLITE_DONE ? SQLITE_OK : b->rc;
}

static int put_meta(struct writer *w, const struct queued *q)
{
    struct binder b = {.stmt = w->statements[PUT_META]};
    bind_text(&b, q->key);
    bind_text(&b, q->value);
    return execute(&b);
}

static int put_start(struct writer *w, const struct record_event *event, struct tally *tally)
{
    struct binder trial = {.stmt = w->statements[PUT_TRIAL]};
    bind_int(&trial, event->trial);
    bind_text(&trial, event->start.params);
    bind_int(&trial, event->time_ms);
    int rc = execute(&trial);
    if (rc != SQLITE_OK)
        return rc;
    struct binder run = {.stmt = w->statements[PUT_RUN]};
    bind_int(&run, (int64_t)event->seq);
    bind_int(&run, event->trial);
    bind_int(&run, event->time_ms);
    bind_int(&run, event->start.run);
    bind_text(&run, event->start.params);
    bind_int(&run, event->start.until);
    bind_int(&run, event->start.bracket);
    bind_int_unless(&run, event->start.clone_of, RECORD_NO_TRIAL);
    tally->run_seq = event->seq;
    tally->run_started_ms = event->time_ms;
    return execute(&run);
}

static int put_report(struct writer *w, const struct record_event *event)
{
    struct binder b = {.stmt = w->statements[PUT_REPORT]};
    bind_int(&b, (int64_t)event->seq);
    bind_int(&b, event->trial);
    bind_int(&b, event->time_ms);
    bind_int(&b, event->report.step);
    bind_value(&b, event);
    bind_text(&b, event->report.metrics);
    return writer_count(w, event) ? execute(&b) : SQLITE_NOMEM;
}

static int end_trial(struct writer *w, const struct record_event *event, struct tally *tally)
{
    struct binder b = {.stmt = w->statements[END_TRIAL]};
    bind_int(&b, event->trial);
    bind_text(&b, record_fate_name(event->end.fate));
    bind_double(&b, tally->best);
    bind_int_unless(&b, tally->best_step, isnan(tally->best) ? tally->best_step : INT64_MIN);
    bind_int(&b, event->time_ms);
    bind_int(&b, tally->ran_ms);
    bind_text(&b, event->end.why);
    return execute(&b);
}

/* The end of the run that is open, or of a trial that does not run. */
static int put_end(struct writer *w, const struct record_event *event, struct tally *tally)
{
    bool ran = tally->run_seq != 0;
    struct binder b = {.stmt = w->statements[ran ? END_RUN : PUT_END]};
    bind_int(&b, ran ? (int64_t)tally->run_seq : event->trial);
    bind_int(&b, (int64_t)event->seq);
    bind_int(&b, event->time_ms);
    bind_text(&b, record_fate_name(event->end.fate));
    bind_int_unless(&b, event->end.status, -1);
    bind_text(&b, event->end.why);
    int rc = execute(&b);
    if (ran && event->time_ms > tally->run_started_ms)
        tally->ran_ms += event->time_ms - tally->run_started_ms;
    tally->run_seq = 0;
    tally->changed = false;
    return rc == SQLITE_OK ? end_trial(w, event, tally) : rc;
}

static int put_event(struct writer *w, const struct record_event *event)
{
    struct tally *tally = writer_tally(w, event->trial);
    if (!tally)
        return SQLITE_NOMEM;
    switch (event->kind) {
    case RECORD_START: return put_start(w, event, tally);
    case RECORD_REPORT: return put_report(w, event);
    case RECORD_END: return put_end(w, event, tally);
    }
    assert(!"an event of no kind");
    return SQLITE_MISUSE;
}

static int put_progress(struct writer *w)
{
    int rc = SQLITE_OK;
    for (uint32_t i = 0; i < w->changed_count && rc == SQLITE_OK; i++) {
        struct tally *tally = &w->tallies[w->changed[i]];
        if (!tally->changed)
            continue; /* it ended, which wrote it */
        struct binder b = {.stmt = w->statements[PUT_PROGRESS]};
        bind_int(&b, w->changed[i]);
        bind_double(&b, tally->best);
        bind_int(&b, tally->best_step);
        rc = execute(&b);
        tally->changed = false;
    }
    w->changed_count = 0;
    return rc;
}

/* ---- transactions ---------------------------------------------------------------------- */

static const struct queued *queued_at(const struct block *block, size_t at)
{
    return (const struct queued *)(block->data + at);
}

/* @seq: that of the last event so far; set to that of the last one here. */
static int put_blocks(struct writer *w, const struct block *first, uint64_t *seq)
{
    int rc = SQLITE_OK;
    for (const struct block *block = first; block; block = block->next)
        for (size_t at = 0; at < block->len && rc == SQLITE_OK; at += queued_at(block, at)->size) {
            const struct queued *q = queued_at(block, at);
            rc = q->key ? put_meta(w, q) : put_event(w, &q->event);
            if (!q->key)
                *seq = q->event.seq;
        }
    return rc;
}

static bool commit(struct record *r, const struct block *first, bool tick, uint64_t *seq)
{
    struct writer *w = &r->writer;
    int rc = database_run(w->db, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
        rc = put_blocks(w, first, seq);
    if (rc == SQLITE_OK && tick) {      /* an older mark only means more to mend */
        rc = put_progress(w);
        w->progress_seq = *seq;
        rc = rc == SQLITE_OK ? sinks_mark(w) : rc;
    }
    if (rc == SQLITE_OK && writer_finds_file(r) &&
        (rc = database_run(w->db, "COMMIT")) == SQLITE_OK)
        return true;
    writer_fail_db(r, rc);
    if (!sqlite3_get_autocommit(w->db))
        database_run(w->db, "ROLLBACK");
    return false;
}

static bool sink_blocks(struct record *r, const struct block *first)
{
    for (const struct block *block = first; block; block = block->next)
        for (size_t at = 0; at < block->len; at += queued_at(block, at)->size)
            if (!queued_at(block, at)->key && !sinks_take(r, &queued_at(block, at)->event))
                return false;
    return true;
}

/* ---- the thread -------------------------------------------------------------------------- */

static void sleep_ms(int64_t ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Wait for work, or, where a tick is due, until then.  False: there is none,
 * and none will come. */
static bool wait_for_work(struct record *r, bool has_tick)
{
    pthread_mutex_lock(&r->lock);
    int rc = 0;
    while (!r->first && !r->closing && rc == 0) {
        struct timespec until = {r->writer.tick_ms / 1000, r->writer.tick_ms % 1000 * 1000000};
        rc = has_tick ? pthread_cond_timedwait(&r->work, &r->lock, &until)
                      : pthread_cond_wait(&r->work, &r->lock);
    }
    bool any = r->first || !r->closing;
    pthread_mutex_unlock(&r->lock);
    return any;
}

static struct block *take_blocks(struct record *r)
{
    pthread_mutex_lock(&r->lock);
    struct block *first = r->first, *last = first;
    for (int i = 1; last && last->next && i < COMMIT_BLOCKS_MAX; i++)
        last = last->next;
    if (last) {
        r->first = last->next;
        r->last = r->first ? r->last : NULL;
        last->next = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    return first;
}

static void tell_durable(struct record *r, uint64_t seq)
{
    pthread_mutex_lock(&r->lock);
    bool risen = seq > r->durable_seq;
    r->durable_seq = seq;
    pthread_mutex_unlock(&r->lock);
    if (risen)
        eventfd_write(r->wake_fd, 1);
}

static void free_blocks(struct record *r, struct block *first)
{
    size_t bytes = 0;
    for (struct block *block = first, *next; block; block = next) {
        next = block->next;
        bytes += block->len;
        free(block);
    }
    pthread_mutex_lock(&r->lock);
    r->queued_bytes -= bytes;
    pthread_cond_broadcast(&r->room);
    pthread_mutex_unlock(&r->lock);
}

/* One transaction with what is queued, then the sinks.  False: the record failed. */
static bool write_group(struct record *r, bool tick, uint64_t *seq)
{
    struct writer *w = &r->writer;
    w->commit_ms = clock_mono_ms();
    struct block *first = take_blocks(r);
    bool ok = commit(r, first, tick, seq);
    if (ok) {
        tell_durable(r, *seq);
        ok = sink_blocks(r, first) && sinks_flush(r, tick);
    }
    free_blocks(r, first);
    if (tick)
        w->tick_ms = w->commit_ms + TICK_MS;
    return ok;
}

/* Numbers in reports are JSON's, whatever locale the program has. */
static locale_t enter_c_locale(void)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c)
        uselocale(c);
    return c;
}

static void leave_locale(locale_t c)
{
    uselocale(LC_GLOBAL_LOCALE);
    if (c)
        freelocale(c);
}

/* The last but one group completes the sinks, and the last says that they are. */
void *writer_run(void *arg)
{
    struct record *r = arg;
    struct writer *w = &r->writer;
    locale_t c = enter_c_locale();
    uint64_t seq = r->durable_seq;
    bool has_tick = true, ok = sinks_open(r);
    w->tick_ms = clock_mono_ms() + TICK_MS;
    while (ok && wait_for_work(r, has_tick)) {
        int64_t wait_ms = w->commit_ms + COMMIT_GAP_MS - clock_mono_ms();
        if (wait_ms > 0)
            sleep_ms(wait_ms);
        uint64_t before = seq;
        bool tick = clock_mono_ms() >= w->tick_ms;
        ok = write_group(r, tick, &seq);
        has_tick = seq != before || (has_tick && !tick);
    }
    for (int i = 0; i < 2 && ok; i++)
        ok = write_group(r, true, &seq);
    leave_locale(c);
    return NULL;
}
