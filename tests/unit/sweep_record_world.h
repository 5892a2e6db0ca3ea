/* sweep_record_world.h - a sweep whose every event is known from its number, and
 * checkers that say whether a record and its files hold just those.
 *
 * Blocks of 40 events: four trials start, report eight times each in turn, and
 * end.  The first of four is complete, the second stopped, the third failed, the
 * fourth paused: its next run comes one block later, and is complete.
 */
#ifndef COVEY_TESTS_SWEEP_RECORD_WORLD_H
#define COVEY_TESTS_SWEEP_RECORD_WORLD_H

#include <dirent.h>
#include <math.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "covey.h"
#include "sweep/record/record.h"
#include "temp_dir.h"

#define BLOCK 40u
#define START_MS INT64_C(1763728000000)
#define WAIT_MS 20000

static struct temp_dir dir;
static char why[1024];

static const char *const columns[] = {"lr", "opt.kind", "note", NULL};
static const struct record_sweep world_sweep = {.name = "world", .metric = "loss", .params = columns};

struct world_event {
    struct record_event event;
    char text[160];
};

/* The k-th trial of a block; its fourth is that of the block before, going on. */
static inline uint32_t world_trial(uint64_t block, unsigned k)
{
    return k == 3 && block % 2 == 1 ? (uint32_t)(block * 4 - 1) : (uint32_t)(block * 4 + k);
}

static inline double world_value(uint64_t seq)
{
    return (double)(seq * 37 % 101) / 8;
}

static inline int64_t world_step(uint64_t seq)
{
    uint64_t block = (seq - 1) / BLOCK, at = (seq - 1) % BLOCK;
    bool resumed = at % 4 == 3 && block % 2 == 1;
    return (int64_t)((at - 4) / 4 + 1 + (resumed ? 8 : 0));
}

static inline void world_event(struct world_event *out, uint64_t seq)
{
    uint64_t block = (seq - 1) / BLOCK, at = (seq - 1) % BLOCK;
    unsigned k = (unsigned)(at % 4);
    bool resumed = k == 3 && block % 2 == 1;
    struct record_event *e = &out->event;
    *e = (struct record_event){.seq = seq, .time_ms = START_MS + (int64_t)seq, .trial = world_trial(block, k)};
    if (at < 4) {
        e->kind = RECORD_START;
        snprintf(out->text, sizeof out->text,
                 "{\"lr\":0.%u1,\"opt\":{\"kind\":\"sgd\"},\"note\":\"say \\\"%u\\\", twice\"}", e->trial, k);
        e->start.params = resumed ? NULL : out->text;
        e->start.run = resumed;
        e->start.until = resumed ? 16 : 8;
        e->start.bracket = k;
        e->start.clone_of = k == 2 ? 1 : RECORD_NO_TRIAL;
    } else if (at < BLOCK - 4) {
        e->kind = RECORD_REPORT;
        e->report.step = world_step(seq);
        e->report.has_value = true;
        e->report.value = world_value(seq);
        snprintf(out->text, sizeof out->text, "{\"step\":%d,\"loss\":%g,\"nested\":{\"seq\":%llu}}",
                 (int)e->report.step, e->report.value, (unsigned long long)seq);
        e->report.metrics = out->text;
    } else {
        static const enum record_fate fates[] = {FATE_COMPLETE, FATE_STOPPED, FATE_FAILED, FATE_PAUSED};
        e->kind = RECORD_END;
        e->end.fate = resumed ? FATE_COMPLETE : fates[k];
        e->end.status = k == 2 ? 139 : k == 1 ? -1 : 0;
        snprintf(out->text, sizeof out->text, "killed by signal 11");
        e->end.why = k == 2 ? out->text : NULL;
    }
}

/* ---- a record ---------------------------------------------------------------------- */

static inline int world_setup(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    return 0;
}

static inline int world_teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static inline struct record *create(void)
{
    struct record *record;
    if (record_create(&record, dir.path, &world_sweep, why, sizeof why) != COVEY_OK)
        fail_msg("%s", why);
    return record;
}

static inline struct record *resume(void)
{
    struct record *record;
    if (record_resume(&record, dir.path, why, sizeof why) != COVEY_OK)
        fail_msg("%s", why);
    return record;
}

/* Events @from to @to, which have to get these numbers. */
static inline void append(struct record *record, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        struct world_event w;
        world_event(&w, seq);
        w.event.seq = 0;
        record_append(record, &w.event);
        assert_int_equal(w.event.seq, seq);
    }
}

/* Wait until @seq is durable; false: the record failed. */
static inline bool wait_durable(struct record *record, uint64_t seq)
{
    while (record_durable(record) < seq) {
        if (record_failed(record))
            return false;
        struct pollfd entry = {record_durable_fd(record), POLLIN, 0};
        if (poll(&entry, 1, WAIT_MS) != 1)
            fail_msg("the record does not answer");
    }
    return true;
}

static inline bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static inline bool same_event(const struct record_event *a, const struct record_event *b)
{
    if (a->kind != b->kind || a->seq != b->seq || a->time_ms != b->time_ms || a->trial != b->trial)
        return false;
    switch (a->kind) {
    case RECORD_START:
        return a->start.run == b->start.run && same_text(a->start.params, b->start.params) &&
               a->start.until == b->start.until && a->start.bracket == b->start.bracket &&
               a->start.clone_of == b->start.clone_of;
    case RECORD_REPORT:
        return a->report.step == b->report.step && a->report.has_value == b->report.has_value &&
               same_text(a->report.metrics, b->report.metrics) &&
               (a->report.value == b->report.value || (isnan(a->report.value) && isnan(b->report.value)));
    case RECORD_END:
        return a->end.fate == b->end.fate && a->end.status == b->end.status &&
               same_text(a->end.why, b->end.why);
    }
    return false;
}

static inline bool on_played(const struct record_event *event, void *arg)
{
    uint64_t *count = arg;
    struct world_event expected;
    world_event(&expected, *count + 1);
    if (!same_event(event, &expected.event))
        fail_msg("event %llu is not what was appended", (unsigned long long)event->seq);
    *count += 1;
    return true;
}

/* Plays; all is as it was appended.  Returns how many. */
static inline uint64_t played(struct record *record)
{
    uint64_t count = 0;
    if (record_play(record, on_played, &count, why, sizeof why) != COVEY_OK)
        fail_msg("%s", why);
    return count;
}

/* ---- files ----------------------------------------------------------------------------- */

static inline const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", dir.path, name);
    return path;
}

/* The caller frees; NUL-terminated. */
static inline char *read_whole(const char *path, size_t *len)
{
    FILE *file = fopen(path, "r");
    struct stat at;
    if (!file || fstat(fileno(file), &at) != 0)
        fail_msg("cannot read %s", path);
    char *text = malloc((size_t)at.st_size + 1);
    assert_non_null(text);
    *len = fread(text, 1, (size_t)at.st_size, file);
    text[*len] = '\0';
    fclose(file);
    return text;
}

/* What open_memstream() gathered is what the file holds. */
static inline void assert_file(const char *name, FILE *expected, char **text, size_t *len)
{
    size_t there;
    fclose(expected);
    char *file = read_whole(path_of(name), &there);
    if (there != *len || memcmp(file, *text, there) != 0) {
        size_t i = 0;
        while (i < there && i < *len && file[i] == (*text)[i])
            i++;
        fail_msg("%s has %zu bytes, not %zu; from byte %zu: %.80s", name, there, *len, i, file + i);
    }
    free(file);
    free(*text);
}

static inline void check_jsonl(uint64_t count)
{
    char *text;
    size_t len;
    FILE *expected = open_memstream(&text, &len);
    for (uint64_t seq = 1; seq <= count; seq++) {
        struct world_event w;
        world_event(&w, seq);
        if (w.event.kind == RECORD_REPORT)
            fprintf(expected, "{\"trial\":%u,\"step\":%d,\"time\":%lld.%03d,\"metrics\":%s}\n", w.event.trial,
                    (int)w.event.report.step, (long long)w.event.time_ms / 1000,
                    (int)(w.event.time_ms % 1000), w.text);
    }
    assert_file("results.jsonl", expected, &text, &len);
}

/* The trial's best value and its step, over the events up to @end. */
static inline double world_best(uint32_t trial, uint64_t end, int64_t *step, int64_t *ran_ms, int64_t *started)
{
    uint64_t first = trial / 4 * BLOCK + 1;
    double best = NAN;
    int64_t start = 0;
    *step = *ran_ms = *started = 0;
    for (uint64_t seq = first; seq <= end; seq++) {
        struct world_event w;
        world_event(&w, seq);
        if (w.event.trial != trial)
            continue;
        if (w.event.kind == RECORD_START)
            start = w.event.time_ms;
        if (*started == 0)
            *started = start;
        if (w.event.kind == RECORD_END)
            *ran_ms += w.event.time_ms - start;
        if (w.event.kind == RECORD_REPORT && !(w.event.report.value >= best)) {
            best = w.event.report.value;
            *step = w.event.report.step;
        }
    }
    return best;
}

static inline void check_csv(uint64_t count)
{
    char *text;
    size_t len;
    FILE *expected = open_memstream(&text, &len);
    fputs("trial,state,value,step,started,seconds,lr,opt.kind,note\n", expected);
    for (uint64_t seq = 1; seq <= count; seq++) {
        struct world_event w;
        int64_t step, ran_ms, started;
        world_event(&w, seq);
        if (w.event.kind != RECORD_END || w.event.end.fate == FATE_PAUSED)
            continue;
        double best = world_best(w.event.trial, seq, &step, &ran_ms, &started);
        time_t second = started / 1000;
        char date[32];
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", gmtime(&second));
        fprintf(expected, "%u,%s,%g,%d,%s.%03dZ,%d.%03d,0.%u1,sgd,\"say \"\"%u\"\", twice\"\n", w.event.trial,
                record_fate_name(w.event.end.fate), best, (int)step, date, (int)(started % 1000),
                (int)(ran_ms / 1000), (int)(ran_ms % 1000), w.event.trial, (unsigned)((seq - 1) % 4));
    }
    assert_file("trials.csv", expected, &text, &len);
}

#endif
