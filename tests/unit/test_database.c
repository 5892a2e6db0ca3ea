/* test_database.c - SQLite as our records use it: what is durable, and what is healthy. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/database.h"
#include "temp_dir.h"

static sqlite3 *open_at(const char *path)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

static void network_file_systems_are_known(void **state)
{
    (void)state;
    assert_true(database_is_network_type(NFS_SUPER_MAGIC));
    assert_true(database_is_network_type(FUSE_SUPER_MAGIC));
    /* statfs(2) gives a signed word: cifs has its highest bit set. */
    assert_true(database_is_network_type((int32_t)0xff534d42));
    assert_false(database_is_network_type(EXT4_SUPER_MAGIC));
    assert_false(database_is_network_type(TMPFS_MAGIC));
    assert_false(database_on_network("/proc"));
    assert_false(database_on_network("/there/is/no/such/place"));
}

/* As `PRAGMA synchronous` answers: 1 leaves the loss of power to the last checkpoint. */
static void journal_of(bool rollback, bool power_safe, int64_t synchronous, const char *mode)
{
    struct temp_dir dir;
    char path[96];
    int64_t is = -1;
    sqlite3_stmt *stmt = NULL;
    temp_dir_make(&dir);
    snprintf(path, sizeof path, "%s/x.db", dir.path);
    sqlite3 *db = open_at(path);
    assert_int_equal(database_set_journal(db, rollback, power_safe), SQLITE_OK);
    assert_int_equal(database_ask(db, "PRAGMA synchronous", &is), SQLITE_OK);
    assert_int_equal(is, synchronous);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), mode);
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    temp_dir_remove(&dir);
}

static void changes_reach_the_disk_as_asked(void **state)
{
    (void)state;
    journal_of(false, false, 1, "wal");
    journal_of(false, true, 2, "wal");
    journal_of(true, false, 2, "delete");
    journal_of(true, true, 2, "delete");
}

static void a_damaged_page_is_seen(void **state)
{
    (void)state;
    struct temp_dir dir;
    char path[96];
    temp_dir_make(&dir);
    snprintf(path, sizeof path, "%s/x.db", dir.path);
    sqlite3 *db = open_at(path);
    assert_int_equal(database_run(db, "CREATE TABLE sound (a); CREATE TABLE hurt (a);"
                                  "INSERT INTO hurt VALUES ('text')"), SQLITE_OK);
    assert_int_equal(database_check_pages(db, NULL), SQLITE_OK);
    assert_int_equal(database_check_pages(db, "hurt"), SQLITE_OK);
    int64_t page = 0, size = 0;
    assert_int_equal(database_ask(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'hurt'", &page), SQLITE_OK);
    assert_int_equal(database_ask(db, "PRAGMA page_size", &size), SQLITE_OK);
    sqlite3_close(db);

    char junk[64];
    memset(junk, 0x5a, sizeof junk);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, junk, sizeof junk, (page - 1) * size), sizeof junk);
    close(fd);
    db = open_at(path);
    assert_int_equal(database_check_pages(db, NULL), SQLITE_CORRUPT);
    assert_int_equal(database_check_pages(db, "hurt"), SQLITE_CORRUPT);
    assert_int_equal(database_check_pages(db, "sound"), SQLITE_OK);
    sqlite3_close(db);
    temp_dir_remove(&dir);
}

static void a_question_without_an_answer_is_told(void **state)
{
    (void)state;
    int64_t out = 7;
    sqlite3 *db = open_at(":memory:");
    assert_int_equal(database_ask(db, "SELECT 41 + 1", &out), SQLITE_OK);
    assert_int_equal(out, 42);
    assert_int_equal(database_ask(db, "SELECT 1 WHERE 0", &out), SQLITE_DONE);
    assert_int_equal(database_ask(db, "SELECT * FROM nowhere", &out), SQLITE_ERROR);
    assert_int_equal(out, 42);
    sqlite3_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(network_file_systems_are_known),
        cmocka_unit_test(changes_reach_the_disk_as_asked),
        cmocka_unit_test(a_damaged_page_is_seen),
        cmocka_unit_test(a_question_without_an_answer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
