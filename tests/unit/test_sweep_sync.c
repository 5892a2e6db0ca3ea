/* test_sweep_sync.c - what a sweep's record survives: how often it has the kernel write
 * to the disk itself.  tests/unit/test_database.c has the journals.
 *
 * The program's own fdatasync() and fsync() stand before libc's, for SQLite too, and
 * count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sweep/record/record_internal.h"
#include "sweep_record_world.h"

static atomic_uint syncs;

int fdatasync(int fd)
{
    atomic_fetch_add(&syncs, 1);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    atomic_fetch_add(&syncs, 1);
    return (int)syscall(SYS_fsync, fd);
}

/* Appends events one by one, each made durable.  Returns how often the disk was synced. */
static unsigned syncs_of(bool sync_full, uint64_t events)
{
    struct record_sweep sweep = world_sweep;
    struct record *record;
    sweep.sync_full = sync_full;
    assert_int_equal(record_create(&record, dir.path, &sweep, why, sizeof why), COVEY_OK);
    unsigned before = atomic_load(&syncs);
    for (uint64_t seq = 1; seq <= events; seq++) {
        append(record, seq, seq);
        assert_true(wait_durable(record, seq));
    }
    unsigned made = atomic_load(&syncs) - before;
    record_finish(&record);
    return made;
}

static void test_full_syncs_each_commit(void **state)
{
    (void)state;
    assert_true(syncs_of(true, 20) >= 20);
    struct record *record = resume();   /* and so does who goes on */
    unsigned before = atomic_load(&syncs);
    append(record, 21, 21);
    assert_true(wait_durable(record, 21));
    assert_true(atomic_load(&syncs) > before);
    record_finish(&record);
}

/* A process can be killed at any time without a sync: what it wrote is the kernel's. */
static void test_normal_does_not(void **state)
{
    (void)state;
    assert_true(syncs_of(false, 20) < 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_full_syncs_each_commit),
        TEST(test_normal_does_not),
    };
    return cmocka_run_group_tests_name("sweep_sync", tests, NULL, NULL);
}
