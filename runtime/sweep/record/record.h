/* record.h - what a sweep has done, in DIR/sweep.db, so that any crash is survived.
 *
 * The record is the list of what happened to trials, in order: started,
 * reported, ended.  Whoever plays it again through the controller has the
 * sweep as it was: rungs, counts, the search's knowledge.
 *
 *   record_append() --queue--> writer thread: one transaction for all that is queued,
 *                                 |  then trials.csv, results.jsonl, tb/ (sinks)
 *   record_durable_fd() <---------+  record_durable() = number of the last one on disk
 *
 * Durable means: kill -9 of this process at any later instant loses nothing of
 * it.  (Power may take the last second, unless the file says `sync: full`.)
 * The sinks come after the transaction; where a crash cut them off they are
 * mended from the tables, so that no line is lost or doubled.
 *
 * Tables, for people and other programs (documented in the schema itself):
 *   meta(key, value)        covey.schema = 1, name, seed, created_ms, spec: the file's text ...
 *   trials(trial, params, state, value, step, started_ms, ended_ms, ran_ms, runs, why)
 *   runs(seq, trial, run, started_ms, until, bracket, clone_of, params, end_seq, ended_ms, fate, status, why)
 *   reports(seq, trial, step, time_ms, value, metrics)
 *   sinks(name, bytes, seq)
 * seq counts events over all tables, so their order can be had again.  A
 * trial's value is its best, at that step; of one that runs it is up to a
 * second old.
 *
 * WAL, or a rollback journal where DIR is on a network file system.  One
 * process at a time: DIR/lock is held by flock while the record is open for
 * writing.  Readers (show, report) open the database read-only at any time.
 *
 * Threads  All calls from one thread, the writer is the record's own.
 */
#ifndef COVEY_SWEEP_RECORD_H
#define COVEY_SWEEP_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_QUEUE_MAX (64u * 1024 * 1024)    /* bytes queued before record_append() waits */
#define RECORD_TRIALS_MAX (16u * 1024 * 1024)   /* trial numbers are below this */
#define RECORD_NO_TRIAL UINT32_MAX

enum record_kind { RECORD_START, RECORD_REPORT, RECORD_END };

/* How a run or a trial ended; texts in the tables are these names in lower case. */
enum record_fate {
    FATE_COMPLETE,              /* of itself, or with all its resource */
    FATE_STOPPED,               /* early, by the scheduler */
    FATE_PAUSED,                /* may be resumed */
    FATE_FAILED,                /* for good */
    FATE_RETRY,                 /* this run failed, another follows */
    FATE_INTERRUPTED,           /* the sweep was stopped or its runner died; another run follows */
    FATE_CANCELLED,             /* by the user, for good */
};
const char *record_fate_name(enum record_fate fate);

/* Texts and arrays are borrowed until record_append() returns, and in
 * record_play() until the callback returns. */
struct record_event {
    enum record_kind kind;
    uint64_t seq;               /* set by record_append() */
    int64_t time_ms;            /* wall clock, since 1970 */
    uint32_t trial;
    union {
        struct {
            uint32_t run;       /* 0 for a trial's first */
            const char *params; /* JSON; NULL: as in the run before */
            int64_t until;
            uint32_t bracket, clone_of; /* clone_of RECORD_NO_TRIAL: none */
        } start;
        struct {
            int64_t step;
            bool has_value;     /* the report has the metric */
            double value;       /* of it: may be NaN or infinite, and comes back so */
            const char *metrics;/* JSON, the whole report with its step, NaN and infinities as
                                 * texts; appended as NULL: there was no memory for it, and
                                 * the record fails */
        } report;
        struct {
            enum record_fate fate;
            int status;         /* exit status, 128 + signal; -1: none */
            const char *why;    /* NULL: nothing to tell */
        } end;
    };
};

struct record;

/* What the sinks want to know of the sweep. */
struct record_sweep {
    const char *name, *metric;  /* metric NULL: none */
    bool maximize;
    const char *const *params;  /* their names, of trials.csv's columns; NULL-ended */
    bool sync_full;
};

/* Make a new record in @dir (which exists).  With @why:
 * COVEY_EREFUSED (another runner holds it, or a record is there), COVEY_ESYSTEM
 * (disk, rights), COVEY_ENOMEM.  Returns a covey_status. */
int record_create(struct record **out, const char *dir, const struct record_sweep *sweep,
                  char *why, size_t why_size);
/* Open an existing one for going on; unfinished lines of the sinks are mended
 * from the tables.  COVEY_EINVAL: no record there, or it is damaged. */
int record_resume(struct record **out, const char *dir, char *why, size_t why_size);
/* Only look: no lock, no writer. */
int record_look(struct record **out, const char *dir, char *why, size_t why_size);
/* Does a process have the record in @dir open for going on?  Its number in *@pid (NULL: not
 * wanted), 0 where that is not known.  The answer goes with that process, however it ended.
 * -1 with errno: there is no record. */
int record_is_held(const char *dir, int *pid);
/* Waits until all is on disk.  Sets *record to NULL. */
void record_finish(struct record **record);

/* A line of meta, written with the next transaction. Creating a record: before the first event. */
void record_set(struct record *record, const char *key, const char *value);
/* Waits for the transaction of an earlier record_set().  The caller frees *@out; NULL: not
 * there.  False: out of memory, or it cannot be read. */
bool record_get(struct record *record, const char *key, char **out);
/* The same where it need not be told from what is not there. */
char *record_meta(struct record *record, const char *key);

/* All events so far, in order.  False from @fn ends it.  Returns a covey_status. */
int record_play(struct record *record, bool (*fn)(const struct record_event *event, void *arg), void *arg,
                char *why, size_t why_size);

/* Those from number @from on, for who has played what was before. */
int record_play_from(struct record *record, uint64_t from, bool (*fn)(const struct record_event *event, void *arg),
                     void *arg, char *why, size_t why_size);

/* ---- looking at trials, for views and reports; each as record_play() ---------------- */

struct record_trial {           /* borrowed until the callback returns */
    uint32_t trial, runs;
    const char *params;         /* JSON, of its last run */
    const char *state;          /* "running", or a fate's name */
    const char *why;            /* NULL: nothing to tell */
    double value;               /* the best; NaN: none */
    int64_t step;               /* of that value; 0: none */
    int64_t started_ms, ended_ms;   /* first start, last end; 0: not yet */
    int64_t ran_ms;             /* over all runs that ended */
};
struct record_run {
    uint32_t trial, run, bracket, clone_of;
    int64_t started_ms, ended_ms;   /* ended_ms 0: it runs */
    int64_t until;
    const char *fate;           /* NULL: it runs */
    const char *why;
    int status;
};
/* By number. */
int record_trials(struct record *record, bool (*fn)(const struct record_trial *trial, void *arg),
                  void *arg, char *why, size_t why_size);
/* By their start. */
int record_runs(struct record *record, bool (*fn)(const struct record_run *run, void *arg),
                void *arg, char *why, size_t why_size);
/* Reports of @trial, or of all (RECORD_NO_TRIAL), in order. */
int record_reports(struct record *record, uint32_t trial,
                   bool (*fn)(const struct record_event *event, void *arg), void *arg,
                   char *why, size_t why_size);

/* ---- writing -------------------------------------------------------------------------- */

/* Queue @event and set its seq.  Blocks only while RECORD_QUEUE_MAX are queued. */
void record_append(struct record *record, struct record_event *event);
/* Readable when record_durable() has risen or record_failed() says why not; read by record_durable(). */
int record_durable_fd(const struct record *record);
uint64_t record_durable(struct record *record);
/* The number that record_append() gave last; 0: none yet. */
uint64_t record_last(const struct record *record);
/* Nothing more is written (disk full, I/O error): the words; NULL: all is well.  What
 * was durable stays so. */
const char *record_failed(struct record *record);

#endif
