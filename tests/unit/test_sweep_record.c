/* test_sweep_record.c - a sweep's record: what it said is durable stays, in order,
 * and its files say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sweep/record/metrics.h"
#include "sweep_record_world.h"
#include "tb_reader.h"

#define KILL_ROUNDS 100
#define KILL_ROUNDS_A_SWEEP 10
#define AHEAD_MAX 500

static void check_files(uint64_t count)
{
    check_jsonl(count);
    check_csv(count);
    check_tb(count);
}

static void sql(const char *text)
{
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(sqlite3_open(path_of("sweep.db"), &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
    sqlite3_close(db);
}

/* ---- the ordinary ---------------------------------------------------------------- */

static void test_events_come_back_in_order(void **state)
{
    (void)state;
    struct record *record = create();
    assert_int_equal(record_durable(record), 0);
    append(record, 1, 333);
    assert_true(wait_durable(record, 333));
    assert_int_equal(played(record), 333);
    record_finish(&record);
    assert_null(record);

    assert_int_equal(record_look(&record, dir.path, why, sizeof why), COVEY_OK);
    assert_int_equal(played(record), 333);
    assert_int_equal(record_durable_fd(record), -1);
    record_finish(&record);
    check_files(333);
}

static void test_a_resumed_record_goes_on(void **state)
{
    (void)state;
    struct record *record = create();
    uint64_t count = 0;
    for (uint64_t next = 57; next < 600; next += 57) {
        append(record, count + 1, next);
        record_finish(&record);
        count = next;
        check_files(count);
        record = resume();
        assert_int_equal(played(record), count);
        assert_int_equal(record_durable(record), count);
    }
    record_finish(&record);
    check_files(count);
}

static bool first_two(const struct record_event *event, void *arg)
{
    *(uint64_t *)arg = event->seq;
    return event->seq < 2;
}

static void test_playing_ends_where_the_callback_says(void **state)
{
    (void)state;
    struct record *record = create();
    uint64_t last = 0;
    append(record, 1, 100);
    assert_true(wait_durable(record, 100));
    assert_int_equal(record_play(record, first_two, &last, why, sizeof why), COVEY_OK);
    assert_int_equal(last, 2);
    record_finish(&record);
}

static void test_lines_of_meta(void **state)
{
    (void)state;
    struct record *record = create();
    record_set(record, "spec", "method: random\nname: \"x\"\n");
    record_set(record, "seed", "1");
    record_set(record, "seed", "2");
    char *spec = record_meta(record, "spec"), *seed = record_meta(record, "seed");
    assert_string_equal(spec, "method: random\nname: \"x\"\n");
    assert_string_equal(seed, "2");
    assert_null(record_meta(record, "nothing"));
    free(spec);
    free(seed);
    record_finish(&record);

    record = resume();
    char *name = record_meta(record, "name"), *schema = record_meta(record, "covey.schema");
    char *metric = record_meta(record, "metric");
    assert_string_equal(name, "world");
    assert_string_equal(schema, "1");
    assert_string_equal(metric, "loss");
    free(name);
    free(schema);
    free(metric);
    record_finish(&record);
}

/* What has no number, no text and no run before it. */
static void test_the_unusual(void **state)
{
    (void)state;
    struct record *record = create();
    struct record_event start = {
        .kind = RECORD_START, .time_ms = START_MS, .trial = 3,
        .start = {.params = "{\"lr\":null,\"opt.kind\":\"flat\",\"note\":[1,\"a\"]}",
                  .clone_of = RECORD_NO_TRIAL},
    };
    struct record_event report = {
        .kind = RECORD_REPORT, .time_ms = START_MS, .trial = 3,
        .report = {.step = 1, .has_value = true, .value = NAN,
                   .metrics = "{\n\"loss\": \"NaN\",\r\n \"a\\nb\": [1,{}], \"c\":true}"},
    };
    struct record_event end = {
        .kind = RECORD_END, .time_ms = START_MS - 5, .trial = 3,
        .end = {.fate = FATE_CANCELLED, .status = -1, .why = "by the user,\n\"who\" knows why"},
    };
    struct record_event never_ran = {
        .kind = RECORD_END, .time_ms = START_MS, .trial = 9, .end = {.fate = FATE_CANCELLED, .status = -1},
    };
    struct record_event *all[] = {&start, &report, &end, &never_ran};
    for (size_t i = 0; i < 4; i++)
        record_append(record, all[i]);
    record_finish(&record);

    for (int resumed = 0; resumed < 2; resumed++) {
        char *text;
        size_t len;
        text = read_whole(path_of("trials.csv"), &len);
        assert_string_equal(text, "trial,state,value,step,started,seconds,lr,opt.kind,note\n"
                            "3,cancelled,,,2025-11-21T12:26:40.000Z,0.000,,flat,\"[1,\"\"a\"\"]\"\n"
                            "9,cancelled,,,,0.000,,,\n");
        free(text);
        text = read_whole(path_of("results.jsonl"), &len);
        assert_string_equal(text, "{\"trial\":3,\"step\":1,\"time\":1763728000.000,\"metrics\":"
                            "{ \"loss\": \"NaN\",   \"a\\nb\": [1,{}], \"c\":true}}\n");
        free(text);
        record = resume();
        record_finish(&record);
    }
}

/* NaN is a value, the worst; no metric is none. */
static const struct {
    bool has_value;
    double value;
} values[] = {{true, NAN}, {false, NAN}, {true, INFINITY}, {true, -INFINITY}, {true, 0.1}, {true, 3}};

static bool on_odd_value(const struct record_event *event, void *arg)
{
    uint32_t *count = arg;
    if (event->kind != RECORD_REPORT)
        return true;
    double value = values[*count].value;
    assert_int_equal(event->report.has_value, values[*count].has_value);
    assert_true(event->report.value == value || (isnan(event->report.value) && isnan(value)));
    *count += 1;
    return true;
}

static void test_values_that_are_no_numbers(void **state)
{
    (void)state;
    const uint32_t all = sizeof values / sizeof *values;
    struct record *record = create();
    struct record_event event = {.kind = RECORD_START, .time_ms = START_MS,
                                 .start = {.params = "{}", .clone_of = RECORD_NO_TRIAL}};
    record_append(record, &event);
    for (uint32_t i = 0; i < all; i++) {
        event = (struct record_event){.kind = RECORD_REPORT, .time_ms = START_MS,
                                      .report = {.step = i + 1, .has_value = values[i].has_value,
                                                 .value = values[i].value, .metrics = "{}"}};
        record_append(record, &event);
    }
    assert_true(wait_durable(record, all + 1));
    record_finish(&record);
    uint32_t count = 0;
    record = resume();
    assert_int_equal(record_play(record, on_odd_value, &count, why, sizeof why), COVEY_OK);
    assert_int_equal(count, all);
    record_finish(&record);
}

struct seen {
    uint32_t trials, runs, reports;
};

static bool on_trial(const struct record_trial *trial, void *arg)
{
    struct seen *seen = arg;
    int64_t step = 0, ran_ms, started;
    uint32_t k = trial->trial % 4;
    seen->trials++;
    assert_true(trial->value == world_best(trial->trial, 2 * BLOCK, &step, &ran_ms, &started));
    assert_int_equal(trial->step, step);
    assert_int_equal(trial->ran_ms, ran_ms);
    assert_int_equal(trial->started_ms, started);
    assert_int_equal(trial->runs, k == 3 ? 2 : 1);
    assert_string_equal(trial->state, k == 2 ? "failed" : k == 1 ? "stopped" : "complete");
    assert_true(same_text(trial->why, k == 2 ? "killed by signal 11" : NULL));
    return true;
}

static bool on_run(const struct record_run *run, void *arg)
{
    struct seen *seen = arg;
    seen->runs++;
    assert_int_equal(run->clone_of, run->bracket == 2 ? 1 : RECORD_NO_TRIAL);
    assert_int_equal(run->ended_ms - run->started_ms, BLOCK - 4);
    assert_int_equal(run->until, run->run == 1 ? 16 : 8);
    if (run->trial == 3)
        assert_string_equal(run->fate, run->run == 1 ? "complete" : "paused");
    return true;
}

static bool on_report(const struct record_event *event, void *arg)
{
    struct seen *seen = arg;
    struct world_event expected;
    world_event(&expected, event->seq);
    assert_true(same_event(event, &expected.event));
    seen->reports++;
    return true;
}

static void test_trials_runs_and_curves(void **state)
{
    (void)state;
    struct record *record = create();
    struct seen seen = {0};
    append(record, 1, 2 * BLOCK);
    record_finish(&record);
    assert_int_equal(record_look(&record, dir.path, why, sizeof why), COVEY_OK);
    assert_int_equal(record_trials(record, on_trial, &seen, why, sizeof why), COVEY_OK);
    assert_int_equal(record_runs(record, on_run, &seen, why, sizeof why), COVEY_OK);
    assert_int_equal(record_reports(record, 3, on_report, &seen, why, sizeof why), COVEY_OK);
    assert_int_equal(seen.trials, 7);
    assert_int_equal(seen.runs, 8);
    assert_int_equal(seen.reports, 16);
    assert_int_equal(record_reports(record, RECORD_NO_TRIAL, on_report, &seen, why, sizeof why), COVEY_OK);
    assert_int_equal(seen.reports, 16 + 64);
    assert_int_equal(record_reports(record, 77, on_report, &seen, why, sizeof why), COVEY_OK);
    assert_int_equal(seen.reports, 16 + 64);
    record_finish(&record);
}

/* While it runs, too: of a trial that runs the value comes within a second or so. */
static bool on_value(const struct record_trial *trial, void *arg)
{
    *(double *)arg = trial->value;
    return false;
}

static void test_a_running_trial_is_seen(void **state)
{
    (void)state;
    struct record *record = create(), *look;
    double value = NAN;
    append(record, 1, 8);
    assert_true(wait_durable(record, 8));
    assert_int_equal(record_look(&look, dir.path, why, sizeof why), COVEY_OK);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        assert_int_equal(record_trials(look, on_value, &value, why, sizeof why), COVEY_OK);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (isnan(value) && now.tv_sec - start.tv_sec < 20);
    assert_true(value == world_value(5));
    record_finish(&look);
    record_finish(&record);
}

/* Larger than any block, and than the queue. */
static void test_large_reports_wait_for_room(void **state)
{
    (void)state;
    struct record *record = create();
    size_t size = 8u << 20;
    char *metrics = malloc(size);
    assert_non_null(metrics);
    memset(metrics, 'x', size);
    memcpy(metrics, "{\"text\":\"", 9);
    memcpy(metrics + size - 3, "\"}", 3);
    struct record_event event = {.kind = RECORD_START, .time_ms = START_MS, .start = {.params = "{}"}};
    record_append(record, &event);
    for (int i = 1; i <= 12; i++) {
        event = (struct record_event){.kind = RECORD_REPORT, .time_ms = START_MS,
                                      .report = {.step = i, .has_value = true, .value = i, .metrics = metrics}};
        record_append(record, &event);
    }
    assert_true(wait_durable(record, 13));
    record_finish(&record);
    struct stat at;
    assert_int_equal(stat(path_of("results.jsonl"), &at), 0);
    assert_true((size_t)at.st_size > 12 * (size - 1));
    free(metrics);
}

/* ---- numbers in reports ---------------------------------------------------------------- */

static void on_number(const char *name, size_t len, double value, void *arg)
{
    char *text = arg;
    sprintf(text + strlen(text), "%.*s=%g ", (int)len, name, value);
}

static void test_numbers_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *json, *found;
        bool whole;
    } cases[] = {
        {"{}", "", true},
        {"{\"a\":1,\"b\":-2.5e3, \"c\" : NaN,\"d\":-Infinity}", "a=1 b=-2500 c=nan d=-inf ", true},
        {"{\"a\":{\"b\":{\"c\":1}},\"d\":2}", "a/b/c=1 d=2 ", true},
        {"{\"a\":[1,{\"b\":2}],\"c\":\"3\",\"d\":true,\"e\":null,\"f\":false,\"g\":4}", "g=4 ", true},
        {"{\"a\":\"NaN\",\"b\":{\"c\":\"Infinity\"},\"d\":\"-Infinity\",\"e\":\"nan\",\"f\":[\"NaN\"]}",
         "a=nan b/c=inf d=-inf ", true},
        {"{\"say \\\"x\\\"\":1}", "say \\\"x\\\"=1 ", true},
        {"", "", false},
        {"[1]", "", false},
        {"{\"a\":1", "a=1 ", false},
        {"{\"a\":1,\"b\"", "a=1 ", false},
        {"{\"a\":\"\\", "", false},
        {"{\"a\":x}", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256] = "";
        assert_int_equal(metrics_each(cases[i].json, on_number, text), cases[i].whole);
        assert_string_equal(text, cases[i].found);
    }
    char deep[4096] = "";
    for (int i = 0; i < 500; i++)
        strcat(deep, "{\"a\":");
    assert_false(metrics_each(deep, on_number, deep));
    char wide[METRICS_NAME_MAX + 64], found[METRICS_NAME_MAX + 64] = "";
    snprintf(wide, sizeof wide, "{\"%0*d\":1,\"b\":2}", METRICS_NAME_MAX + 1, 0);
    assert_true(metrics_each(wide, on_number, found));
    assert_string_equal(found, "b=2 ");
}

/* ---- who may ------------------------------------------------------------------------ */

static void test_a_second_runner_is_refused(void **state)
{
    (void)state;
    struct record *first = create(), *second, *look;
    char number[32];
    append(first, 1, 50);
    assert_int_equal(record_resume(&second, dir.path, why, sizeof why), COVEY_EREFUSED);
    assert_null(second);
    snprintf(number, sizeof number, "process %d", (int)getpid());
    assert_non_null(strstr(why, number));
    assert_int_equal(record_create(&second, dir.path, &world_sweep, why, sizeof why), COVEY_EREFUSED);
    assert_int_equal(record_look(&look, dir.path, why, sizeof why), COVEY_OK);
    assert_true(wait_durable(first, 50));
    assert_int_equal(played(look), 50);
    record_finish(&look);
    record_finish(&first);
    assert_int_equal(record_create(&second, dir.path, &world_sweep, why, sizeof why), COVEY_EREFUSED);
    assert_non_null(strstr(why, "resume"));
    first = resume();
    assert_int_equal(played(first), 50);
    record_finish(&first);
}

/* A report that cannot be recorded is as bad as a full disk, and no bug. */
static void test_a_report_without_memory(void **state)
{
    (void)state;
    struct record *record = create();
    append(record, 1, 10);
    struct record_event e = {.kind = RECORD_REPORT, .trial = 0, .report = {.step = 3}};
    record_append(record, &e);
    assert_non_null(record_failed(record));
    assert_non_null(strstr(record_failed(record), "memory"));
    record_finish(&record);
    record = resume();
    assert_true(played(record) <= 10);
    record_finish(&record);
}

#define ASKED_ROUNDS 100

/* Who only asks whether it runs, as views do all the time, keeps nobody from running it. */
static void test_asking_keeps_nobody_out(void **state)
{
    (void)state;
    assert_int_equal(record_is_held(dir.path, NULL), -1);
    struct record *record = create();
    int holder;
    assert_int_equal(record_is_held(dir.path, &holder), 1);
    assert_int_equal(holder, getpid());
    record_finish(&record);
    assert_int_equal(record_is_held(dir.path, NULL), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    while (pid == 0)
        (void)record_is_held(dir.path, NULL);
    int refused = 0;
    for (int i = 0; i < ASKED_ROUNDS; i++) {
        refused += record_resume(&record, dir.path, why, sizeof why) == COVEY_EREFUSED;
        record_finish(&record);
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(refused, 0);
}

static void test_no_sweep_is_told(void **state)
{
    (void)state;
    struct record *record;
    assert_int_equal(record_resume(&record, dir.path, why, sizeof why), COVEY_EINVAL);
    assert_non_null(strstr(why, dir.path));
    assert_int_equal(record_look(&record, dir.path, why, sizeof why), COVEY_EINVAL);
    assert_int_equal(access(path_of("lock"), F_OK), -1);
    assert_int_equal(record_resume(&record, path_of("not/there"), why, sizeof why), COVEY_EINVAL);
    assert_int_equal(record_create(&record, path_of("not/there"), &world_sweep, why, sizeof why),
                     COVEY_ESYSTEM);
    assert_null(record);
    fclose(fopen(path_of("sweep.db"), "w")); /* a crash while it was made */
    assert_int_equal(record_resume(&record, dir.path, why, sizeof why), COVEY_EINVAL);
    sql("CREATE TABLE something (else_)");
    assert_int_equal(record_look(&record, dir.path, why, sizeof why), COVEY_EINVAL);
    assert_non_null(strstr(why, "not a sweep's record"));
}

/* ---- damage --------------------------------------------------------------------------- */

/* Opened or played, somewhere it has to be said. */
static void assert_damage_is_told(void)
{
    struct record *record;
    uint64_t none = 0;
    int status = record_look(&record, dir.path, why, sizeof why);
    if (status == COVEY_OK)
        status = record_play(record, first_two, &none, why, sizeof why);
    if (status == COVEY_OK)
        status = record_reports(record, RECORD_NO_TRIAL, on_report, &(struct seen){0}, why, sizeof why);
    if (status == COVEY_OK)
        status = record_play(record, on_played, &(uint64_t){0}, why, sizeof why);
    assert_int_equal(status, COVEY_EINVAL);
    assert_non_null(strstr(why, "damaged"));
    record_finish(&record);
}

static void overwrite(off_t from, size_t len)
{
    char noise[4096];
    memset(noise, 0xa5, sizeof noise);
    int fd = open(path_of("sweep.db"), O_WRONLY);
    assert_true(fd >= 0);
    for (size_t done = 0; done < len; done += sizeof noise)
        assert_int_equal(pwrite(fd, noise, sizeof noise, from + (off_t)done), sizeof noise);
    close(fd);
}

static void test_a_damaged_file_is_told(void **state)
{
    (void)state;
    struct record *record = create();
    append(record, 1, 5000);
    record_finish(&record);
    struct stat at;
    assert_int_equal(stat(path_of("sweep.db"), &at), 0);
    overwrite(at.st_size / 8192 * 4096, 16 * 4096);
    assert_damage_is_told();
    overwrite(0, 4096);
    assert_damage_is_told();
    assert_int_equal(record_resume(&record, dir.path, why, sizeof why), COVEY_EINVAL);
    assert_null(record);
}

static void test_a_lost_event_is_told(void **state)
{
    (void)state;
    struct record *record = create();
    append(record, 1, 100);
    record_finish(&record);
    sql("DELETE FROM reports WHERE seq = 20");
    assert_damage_is_told();
}

/* ---- the files ------------------------------------------------------------------------- */

static void test_files_are_mended(void **state)
{
    (void)state;
    struct record *record = create();
    append(record, 1, 777);
    record_finish(&record);
    FILE *torn = fopen(path_of("results.jsonl"), "a");
    fputs("{\"trial\":7,\"st", torn);
    fclose(torn);
    torn = fopen(path_of("trials.csv"), "a");
    fputs("99,complete,\"", torn);
    fclose(torn);
    record = resume();
    record_finish(&record);
    check_files(777);

    /* Shorter than they were, or gone: anew. */
    assert_int_equal(truncate(path_of("results.jsonl"), 100), 0);
    assert_int_equal(unlink(path_of("trials.csv")), 0);
    record = resume();
    append(record, 778, 900);
    record_finish(&record);
    check_files(900);

    /* As if the last mark had been made before the last events. */
    sql("UPDATE sinks SET seq = 0, bytes = 0");
    record = resume();
    record_finish(&record);
    check_files(900);
}

/* ---- kill -9 ---------------------------------------------------------------------------- */

/* Appends in groups and tells what is durable, until it is killed.  It runs only
 * so far ahead of the disk that a round stays small. */
static void write_until_killed(int tell, uint64_t from, unsigned group)
{
    struct record *record;
    int status = from == 1 ? record_create(&record, dir.path, &world_sweep, why, sizeof why)
                           : record_resume(&record, dir.path, why, sizeof why);
    if (status != COVEY_OK)
        _exit(2);
    for (uint64_t next = from;; next += group) {
        for (uint64_t seq = next; seq < next + group; seq++) {
            struct world_event w;
            world_event(&w, seq);
            record_append(record, &w.event);
        }
        uint64_t durable = record_durable(record);
        if (durable + AHEAD_MAX < next && wait_durable(record, next))
            durable = record_durable(record);
        if (record_failed(record) || write(tell, &durable, sizeof durable) != sizeof durable)
            _exit(3);
    }
}

/* Returns the highest number that the writer had been told was durable. */
static uint64_t kill_a_writer(uint64_t from, unsigned *random)
{
    int tell[2];
    unsigned group = 1 + (unsigned)rand_r(random) % 60;
    uint64_t durable = 0, wanted = from + (unsigned)rand_r(random) % 600;
    int more = rand_r(random) % 30; /* so that it is not always just after a commit */
    assert_int_equal(pipe(tell), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(tell[0]);
        write_until_killed(tell[1], from, group);
    }
    close(tell[1]);
    while (durable < wanted || more-- > 0)
        if (read(tell[0], &durable, sizeof durable) != sizeof durable)
            break;
    kill(pid, SIGKILL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status))
        fail_msg("the writer ended by itself with %d", WEXITSTATUS(status));
    for (uint64_t late; read(tell[0], &late, sizeof late) == sizeof late;)
        durable = late;
    close(tell[0]);
    return durable;
}

static void test_kill_9_loses_nothing_that_was_durable(void **state)
{
    (void)state;
    unsigned random = 42;
    uint64_t count = 0;
    for (int round = 0; round < KILL_ROUNDS; round++) {
        if (round % KILL_ROUNDS_A_SWEEP == 0 && round > 0) {
            temp_dir_remove(&dir);
            temp_dir_make(&dir);
            count = 0;
        }
        uint64_t durable = kill_a_writer(count + 1, &random);
        struct record *record = resume();
        count = played(record);
        if (count < durable)
            fail_msg("round %d: %llu was durable, %llu is there", round, (unsigned long long)durable,
                     (unsigned long long)count);
        record_finish(&record);
        check_files(count);
    }
}

/* ---- the disk fails ---------------------------------------------------------------------- */

/* Append until it fails; returns what was durable then. */
static uint64_t append_until_failure(struct record *record, uint64_t from, const char *const words[])
{
    const char *said = NULL;
    for (uint64_t seq = from; !said; seq += 200) {
        append(record, seq, seq + 199);
        said = record_failed(record);
        assert_true(seq < 10 * 1000 * 1000);
    }
    for (size_t i = 0; words[i]; i++)
        if (!strstr(said, words[i]))
            fail_msg("\"%s\" does not say \"%s\"", said, words[i]);
    struct pollfd entry = {record_durable_fd(record), POLLIN, 0};
    assert_int_equal(poll(&entry, 1, WAIT_MS), 1);
    return record_durable(record);
}

static void check_after_failure(uint64_t durable)
{
    struct record *record = resume();
    uint64_t count = played(record);
    assert_true(count >= durable);
    append(record, count + 1, count + 50);
    assert_true(wait_durable(record, count + 50));
    record_finish(&record);
    check_files(count + 50);
}

/* What a test that failed left mounted, too. */
static int unmount_and_teardown(void **state)
{
    umount2(dir.path, MNT_DETACH);
    return world_teardown(state);
}

static void test_a_full_disk(void **state)
{
    (void)state;
    static const char *const words[] = {"space", "resume", NULL};
    if (mount("tmpfs", dir.path, "tmpfs", 0, "size=2m") != 0)
        skip(); /* only root may; the next test needs no rights */
    struct record *record = create();
    uint64_t durable = append_until_failure(record, 1, words);
    record_finish(&record);
    assert_true(durable > 0);
    assert_int_equal(mount("tmpfs", dir.path, "tmpfs", MS_REMOUNT, "size=64m"), 0);
    check_after_failure(durable);
}

static void test_files_that_may_not_grow(void **state)
{
    (void)state;
    static const char *const words[] = {"File too large", "resume", NULL};
    struct rlimit unlimited, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    small = unlimited;
    small.rlim_cur = 400 * 1000;
    struct record *record = create();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    uint64_t durable = append_until_failure(record, 1, words);
    record_finish(&record);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    check_after_failure(durable);
}

static void test_a_removed_directory(void **state)
{
    (void)state;
    static const char *const words[] = {"removed", NULL};
    char moved[96];
    struct record *record = create();
    append(record, 1, 100);
    assert_true(wait_durable(record, 100));
    snprintf(moved, sizeof moved, "%s.moved", dir.path);
    assert_int_equal(rename(dir.path, moved), 0);
    append_until_failure(record, 101, words);
    record_finish(&record);
    assert_int_equal(rename(moved, dir.path), 0);
    check_after_failure(100);
}

static void test_a_sink_that_cannot_be_written(void **state)
{
    (void)state;
    static const char *const words[] = {"/tb", "Not a directory", "resume", NULL};
    fclose(fopen(path_of("tb"), "w"));
    struct record *record = create();
    uint64_t durable = append_until_failure(record, 1, words);
    record_finish(&record);
    assert_int_equal(unlink(path_of("tb")), 0);
    check_after_failure(durable);
}

/* A hundred kills wait for the disk a thousand times; what a process has written
 * outlives it in memory, too. */
int main(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
        TEST(test_events_come_back_in_order),
        TEST(test_a_resumed_record_goes_on),
        TEST(test_playing_ends_where_the_callback_says),
        TEST(test_lines_of_meta),
        TEST(test_the_unusual),
        TEST(test_values_that_are_no_numbers),
        TEST(test_trials_runs_and_curves),
        TEST(test_a_running_trial_is_seen),
        TEST(test_large_reports_wait_for_room),
        TEST(test_numbers_are_found),
        TEST(test_a_second_runner_is_refused),
        TEST(test_asking_keeps_nobody_out),
        TEST(test_a_report_without_memory),
        TEST(test_no_sweep_is_told),
        TEST(test_a_damaged_file_is_told),
        TEST(test_a_lost_event_is_told),
        TEST(test_files_are_mended),
        TEST(test_kill_9_loses_nothing_that_was_durable),
        cmocka_unit_test_setup_teardown(test_a_full_disk, world_setup, unmount_and_teardown),
        TEST(test_files_that_may_not_grow),
        TEST(test_a_removed_directory),
        TEST(test_a_sink_that_cannot_be_written),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
