/* test_record.c - the head's record: what is acknowledged stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "head/record.h"
#include "temp_dir.h"

#define WAIT_MS 20000
#define ROWS_SEEN_MAX 200000
#define IN_FLIGHT 64                /* rows that wait for the disk */

static struct temp_dir dir;
static char path[128], why[1024];
static const struct record_options defaults;

/* What record_load() gave, as text. */
static struct {
    char table[16], key[32], value[64];
} seen[ROWS_SEEN_MAX];
static int seen_count;

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    snprintf(path, sizeof path, "%s/" RECORD_FILE, dir.path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static struct record *open_record(const struct record_options *options)
{
    struct record *record;
    covey_status status = record_open(&record, path, options, why, sizeof why);
    if (status != COVEY_OK)
        fail_msg("%s", why);
    return record;
}

static void put(struct record *record, uint64_t number, const char *table, const char *key,
                const char *value)
{
    record_put(record, &(struct head_record){number, table, span_str(key), span_str(value)});
}

/* Wait until the fate of @number is known. */
static bool is_safe(struct record *record, uint64_t number)
{
    uint64_t upto = 0;
    bool ok = true, all_ok = true;
    while (upto < number) {
        struct pollfd entry = {record_fd(record), POLLIN, 0};
        if (poll(&entry, 1, WAIT_MS) != 1)
            fail_msg("the record does not answer");
        while (record_take(record, &upto, &ok))
            all_ok = all_ok && ok;
    }
    assert_int_equal(upto, number);
    return all_ok;
}

static void copy_text(char *to, size_t size, struct span from)
{
    snprintf(to, size, "%.*s", (int)from.len, (const char *)from.data);
}

static covey_status on_row(void *io, const char *table, struct span key, struct span value)
{
    (void)io;
    assert_true(seen_count < ROWS_SEEN_MAX);
    snprintf(seen[seen_count].table, sizeof seen[0].table, "%s", table);
    copy_text(seen[seen_count].key, sizeof seen[0].key, key);
    copy_text(seen[seen_count].value, sizeof seen[0].value, value);
    seen_count++;
    return COVEY_OK;
}

static void load(struct record *record)
{
    seen_count = 0;
    if (record_load(record, on_row, NULL, why, sizeof why) != COVEY_OK)
        fail_msg("%s", why);
}

static void assert_row(int i, const char *table, const char *key, const char *value)
{
    assert_true(i < seen_count);
    assert_string_equal(seen[i].table, table);
    assert_string_equal(seen[i].key, key);
    assert_string_equal(seen[i].value, value);
}

static bool exists(const char *suffix)
{
    char name[160];
    struct stat at;
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return lstat(name, &at) == 0;
}

/* ---- the ordinary ---------------------------------------------------------------- */

static void test_rows_come_back_in_the_order_of_their_first_put(void **state)
{
    (void)state;
    struct record *record = open_record(&defaults);
    assert_string_equal(why, "");
    load(record);
    assert_int_equal(seen_count, 0);
    put(record, 1, "kv", "b", "1");
    put(record, 2, "kv", "a", "2");
    put(record, 3, "node", "n", "3");
    put(record, 4, "meta", "epoch", "4");
    put(record, 5, "package", "p", "5");
    put(record, 6, "kv", "gone", "6");
    put(record, 7, "kv", "b", "changed");
    put(record, 8, "kv", "gone", NULL);
    put(record, 9, "kv", "never there", NULL);
    assert_true(is_safe(record, 9));
    record_close(&record);
    assert_null(record);

    record = open_record(&defaults);
    load(record);
    assert_int_equal(seen_count, 5);
    assert_row(0, "meta", "epoch", "4");
    assert_row(1, "node", "n", "3");
    assert_row(2, "package", "p", "5");
    assert_row(3, "kv", "b", "changed");
    assert_row(4, "kv", "a", "2");
    record_close(&record);
}

static void test_close_commits_what_was_put(void **state)
{
    (void)state;
    char key[16];
    struct record *record = open_record(&defaults);
    for (uint64_t i = 1; i <= 10000; i++) {
        snprintf(key, sizeof key, "%d", (int)i);
        put(record, i, "kv", key, "x");
    }
    record_close(&record);
    record = open_record(&defaults);
    load(record);
    assert_int_equal(seen_count, 10000);
    record_close(&record);
}

static void test_keys_and_values_are_bytes(void **state)
{
    (void)state;
    uint8_t *big = malloc(HEAD_KV_BYTES_MAX);
    assert_non_null(big);
    memset(big, 0, HEAD_KV_BYTES_MAX);
    struct record *record = open_record(&defaults);
    record_put(record, &(struct head_record){1, "kv", span_of("\0k", 2),
                                              span_of(big, HEAD_KV_BYTES_MAX)});
    record_put(record, &(struct head_record){2, "kv", span_of("\0l", 2), span_of("\0", 1)});
    assert_true(is_safe(record, 2));
    record_close(&record);
    record = open_record(&defaults);
    load(record);
    assert_int_equal(seen_count, 2);
    record_close(&record);
    free(big);
}

static void test_the_file_is_ours_alone_and_held_once(void **state)
{
    (void)state;
    struct stat at;
    int go[2];
    assert_int_equal(pipe(go), 0);
    /* Another process, since POSIX locks do not hold within one; forked before
     * the record has a thread, which might hold a lock of malloc just then. */
    pid_t child = fork();
    if (child == 0) {
        char byte;
        struct record *second;
        close(go[1]);
        bool opened = read(go[0], &byte, 1) == 1;
        covey_status status = record_open(&second, path, &defaults, why, sizeof why);
        _exit(opened && status == COVEY_EAGAIN && strstr(why, "another process") ? 0 : 1);
    }
    close(go[0]);
    struct record *record = open_record(&defaults);
    assert_int_equal(lstat(path, &at), 0);
    assert_int_equal(at.st_mode & 0777, 0600);
    assert_true(exists("-wal"));
    assert_false(exists("-shm")); /* nothing is shared */
    assert_int_equal(write(go[1], "g", 1), 1);
    close(go[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    record_close(&record);
}

static void test_options(void **state)
{
    (void)state;
    static const struct record_options variants[] = {
        {.rollback = true}, {.power_safe = true}, {.rollback = true, .power_safe = true},
        {.rollback = false},
    };
    char key[16];
    for (uint64_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        struct record *record = open_record(&variants[i]); /* also from one mode to the other */
        assert_int_equal(exists("-wal"), !variants[i].rollback);
        snprintf(key, sizeof key, "k%d", (int)i);
        put(record, 1, "kv", key, "v");
        assert_true(is_safe(record, 1));
        record_close(&record);
        record = open_record(&variants[i]);
        load(record);
        assert_int_equal(seen_count, i + 1);
        record_close(&record);
    }
}

static void test_a_directory_that_is_not_there(void **state)
{
    (void)state;
    struct record *record;
    assert_int_equal(record_open(&record, "/no/such/directory/record.db", &defaults, why, sizeof why),
                     COVEY_ESYSTEM);
    assert_null(record);
    assert_non_null(strstr(why, "/no/such/directory"));
}

static covey_status refuse_row(void *io, const char *table, struct span key, struct span value)
{
    (void)io, (void)table, (void)key, (void)value;
    return COVEY_EPROTO;
}

static void test_a_row_that_its_reader_refuses(void **state)
{
    (void)state;
    struct record *record = open_record(&defaults);
    put(record, 1, "node", "n", "v");
    record_close(&record);
    record = open_record(&defaults);
    assert_int_equal(record_load(record, refuse_row, NULL, why, sizeof why), COVEY_EPROTO);
    assert_non_null(strstr(why, "table node"));
    record_close(&record);
}

/* ---- damage ------------------------------------------------------------------------ */

static void write_at(const char *file, off_t offset, const void *bytes, size_t len)
{
    int fd = open(file, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, offset), len);
    close(fd);
}

/* The name that @why gives for what was set aside. */
static void assert_set_aside(void)
{
    char name[256];
    const char *at = strstr(why, path);
    assert_non_null(strstr(why, "damaged"));
    assert_non_null(at);
    assert_int_equal(sscanf(at, "%255s", name), 1);
    struct stat found;
    assert_int_equal(lstat(name, &found), 0);
}

static void test_a_file_that_is_no_database_is_set_aside(void **state)
{
    (void)state;
    char garbage[8192];
    memset(garbage, 'g', sizeof garbage);
    write_at(path, 0, garbage, sizeof garbage);
    struct record *record = open_record(&defaults);
    assert_set_aside();
    assert_true(record_began_anew(record));
    load(record);
    assert_int_equal(seen_count, 0);
    put(record, 1, "kv", "k", "v");
    assert_true(is_safe(record, 1));
    record_close(&record);
    record = open_record(&defaults); /* and all is well again */
    assert_string_equal(why, "");
    assert_false(record_began_anew(record));
    load(record);
    assert_int_equal(seen_count, 1);
    record_close(&record);
}

static void fill_pages(void)
{
    char key[16];
    struct record *record = open_record(&defaults);
    for (uint64_t i = 1; i <= 5000; i++) {
        snprintf(key, sizeof key, "key%d", (int)i);
        put(record, i, "kv", key, "a value of some length, to fill pages with");
    }
    record_close(&record);
}

static void test_a_damaged_page_is_found(void **state)
{
    (void)state;
    char garbage[4096];
    memset(garbage, 0xa5, sizeof garbage);
    fill_pages();
    write_at(path, 10 * 4096, garbage, sizeof garbage);
    struct record *record = open_record(&defaults);
    assert_set_aside();
    load(record);
    assert_int_equal(seen_count, 0);
    record_close(&record);
}

static void test_a_cut_file_is_found(void **state)
{
    (void)state;
    fill_pages();
    assert_int_equal(truncate(path, 20 * 4096), 0);
    struct record *record = open_record(&defaults);
    assert_set_aside();
    record_close(&record);
}

static void test_another_programs_database_is_left_alone(void **state)
{
    (void)state;
    static const char *const pragmas[] = {"PRAGMA application_id = 77", "PRAGMA user_version = 99"};
    for (int i = 0; i < 2; i++) {
        sqlite3 *db;
        struct record *record;
        unlink(path);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, pragmas[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        assert_int_equal(record_open(&record, path, &defaults, why, sizeof why), COVEY_EVERSION);
        assert_non_null(strstr(why, "newer covey"));
        assert_true(exists(""));
    }
}

/* ---- a failing disk ------------------------------------------------------------------- */

static void test_what_could_not_be_written_is_refused(void **state)
{
    (void)state;
    /* No file of this process may grow beyond what the record has now. */
    pid_t child = fork();
    if (child == 0) {
        struct record *record;
        char value[4096];
        bool ok = false, later = false;
        uint64_t number;
        memset(value, 'v', sizeof value);
        signal(SIGXFSZ, SIG_IGN);
        if (record_open(&record, path, &defaults, why, sizeof why) != COVEY_OK)
            _exit(2);
        record_put(record, &(struct head_record){1, "kv", span_str("first"), span_str("v")});
        while (!record_take(record, &number, &ok))
            poll(&(struct pollfd){record_fd(record), POLLIN, 0}, 1, WAIT_MS);
        if (!ok)
            _exit(3);
        struct rlimit limit = {1, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
        setrlimit(RLIMIT_FSIZE, &limit);
        record_put(record, &(struct head_record){2, "kv", span_str("second"),
                                                  span_of(value, sizeof value)});
        while (!record_take(record, &number, &ok))
            poll(&(struct pollfd){record_fd(record), POLLIN, 0}, 1, WAIT_MS);
        char error[256];
        record_error(record, error, sizeof error);
        setrlimit(RLIMIT_FSIZE, &none);
        record_put(record, &(struct head_record){3, "kv", span_str("third"), span_str("v")});
        while (!record_take(record, &number, &later))
            poll(&(struct pollfd){record_fd(record), POLLIN, 0}, 1, WAIT_MS);
        record_close(&record);
        _exit(!ok && error[0] != '\0' && later ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct record *record = open_record(&defaults);
    load(record);
    assert_int_equal(seen_count, 2);
    assert_row(0, "kv", "first", "v");
    assert_row(1, "kv", "third", "v");
    record_close(&record);
}

/* Rows beyond RECORD_QUEUE_BYTES_MAX are refused one by one, in their place,
 * and what fits is kept. */
static void test_more_bytes_than_may_wait_are_refused(void **state)
{
    (void)state;
    uint32_t len = RECORD_QUEUE_BYTES_MAX;
    uint8_t *huge = calloc(1, len); /* one byte of key is too much already */
    assert_non_null(huge);
    struct record *record = open_record(&defaults);
    record_put(record, &(struct head_record){1, "kv", span_str("k"), span_of(huge, len)});
    assert_false(is_safe(record, 1));
    record_error(record, why, sizeof why);
    assert_non_null(strstr(why, "waits for the disk"));
    put(record, 2, "kv", "k2", "v");
    assert_true(is_safe(record, 2));
    record_close(&record);
    record = open_record(&defaults);
    load(record);
    assert_int_equal(seen_count, 1);
    assert_row(0, "kv", "k2", "v");
    record_close(&record);
    free(huge);
}

/* ---- kill -9 ------------------------------------------------------------------------------ */

/* Put rows @after + 1, @after + 2, ... as fast as they go, and tell through @out each
 * number that is safe, after it is. */
static void write_until_killed(uint64_t after, int out)
{
    struct record *record;
    if (record_open(&record, path, &defaults, why, sizeof why) != COVEY_OK)
        _exit(1);
    uint64_t number = 0, safe = 0;
    bool ok;
    for (;;) {
        while (number - safe < IN_FLIGHT) {
            char key[32], value[64];
            number++;
            snprintf(key, sizeof key, "%d", (int)(after + number));
            snprintf(value, sizeof value, "value of %d", (int)(after + number));
            put(record, number, "kv", key, value);
        }
        while (record_take(record, &safe, &ok)) {
            uint64_t told = after + safe;
            if (!ok || write(out, &told, sizeof told) != sizeof told)
                _exit(1);
        }
        if (number - safe == IN_FLIGHT)
            poll(&(struct pollfd){record_fd(record), POLLIN, 0}, 1, WAIT_MS);
    }
}

/* Kill it when it has told @tells times; the last number it told. */
static uint64_t kill_while_writing(uint64_t after, int tells)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        close(pipe_fds[0]);
        write_until_killed(after, pipe_fds[1]);
    }
    close(pipe_fds[1]);
    uint64_t told = 0, last = 0;
    for (int i = 0; i < tells; i++) {
        assert_int_equal(read(pipe_fds[0], &told, sizeof told), sizeof told);
        last = told;
    }
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    while (read(pipe_fds[0], &told, sizeof told) == sizeof told)
        last = told; /* said before it died */
    close(pipe_fds[0]);
    return last;
}

static void test_nothing_acknowledged_is_lost_by_kill_9(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (int round = 0; round < 25; round++) {
        last = kill_while_writing(last, 1 + round * 3);
        struct record *record = open_record(&defaults);
        assert_string_equal(why, ""); /* nothing is damaged */
        load(record);
        assert_true((uint64_t)seen_count >= last);
        for (uint64_t i = 0; i < (uint64_t)seen_count; i++) {
            char key[32], value[64];
            snprintf(key, sizeof key, "%d", (int)(i + 1));
            snprintf(value, sizeof value, "value of %d", (int)(i + 1));
            assert_row((int)i, "kv", key, value); /* a prefix: none is missing in between */
        }
        last = (uint64_t)seen_count;
        record_close(&record);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rows_come_back_in_the_order_of_their_first_put),
        TEST(test_close_commits_what_was_put),
        TEST(test_keys_and_values_are_bytes),
        TEST(test_the_file_is_ours_alone_and_held_once),
        TEST(test_options),
        TEST(test_a_directory_that_is_not_there),
        TEST(test_a_row_that_its_reader_refuses),
        TEST(test_a_file_that_is_no_database_is_set_aside),
        TEST(test_a_damaged_page_is_found),
        TEST(test_a_cut_file_is_found),
        TEST(test_another_programs_database_is_left_alone),
        TEST(test_what_could_not_be_written_is_refused),
        TEST(test_more_bytes_than_may_wait_are_refused),
        TEST(test_nothing_acknowledged_is_lost_by_kill_9),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
