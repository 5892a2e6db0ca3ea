/* test_budget.c - memory limits read from made-up files of /proc and cgroups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "store/budget.h"
#include "store/store.h"
#include "temp_dir.h"

#define MIB (1024ull * 1024)

static struct temp_dir dir;
static char path[4096];

static const char *at(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir.path, name);
    return path;
}

static void make_dir(const char *name) { assert_int_equal(mkdir(at(name), 0700), 0); }

static void make_file(const char *name, const char *text)
{
    FILE *f = fopen(at(name), "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static uint64_t group(void)
{
    char own[4096];
    snprintf(own, sizeof own, "%s/own", dir.path);
    return budget_cgroup_bytes(own, dir.path);
}

static int setup(void **state)
{
    (void)state;
    temp_dir_make(&dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static void test_machine(void **state)
{
    (void)state;
    make_file("meminfo", "MemTotal:       8388608 kB\nMemFree:  1 kB\nMemAvailable:   4194304 kB\n");
    assert_int_equal(budget_machine_bytes(at("meminfo")), 4096 * MIB - BUDGET_RESERVE_BYTES);
    /* A small machine keeps an eighth. */
    make_file("meminfo", "MemTotal: 524288 kB\nMemAvailable: 262144 kB\n");
    assert_int_equal(budget_machine_bytes(at("meminfo")), (256 - 64) * MIB);
    make_file("meminfo", "MemTotal: 524288 kB\nMemAvailable: 100 kB\n");
    assert_int_equal(budget_machine_bytes(at("meminfo")), 0);
    make_file("meminfo", "MemTotal: 524288 kB\nMemAvailableX: 100 kB\n");
    assert_int_equal(budget_machine_bytes(at("meminfo")), 0);
    assert_int_equal(budget_machine_bytes(at("none")), 0);
}

static void test_version_2(void **state)
{
    (void)state;
    make_file("own", "0::/a/b\n");
    assert_true(group() == UINT64_MAX); /* no such group, no limits */
    make_dir("a");
    make_dir("a/b");
    make_file("a/memory.max", "max\n");
    make_file("a/memory.current", "5\n");
    make_file("a/b/memory.max", "1073741824\n");
    make_file("a/b/memory.current", "629145600\n");
    assert_int_equal(group(), (1024 - 600 - 128) * MIB);
    /* Cache that can go does not count. */
    make_file("a/b/memory.stat", "anon 1\nworkingset_inactive_file 7\ninactive_file 104857600\n");
    assert_int_equal(group(), (1024 - 500 - 128) * MIB);
    /* The parent's limit counts as well. */
    make_file("a/memory.max", "268435456\n");
    assert_int_equal(group(), 224 * MIB - 5);
    make_file("a/memory.current", "268435000\n");
    assert_int_equal(group(), 0);
}

static void test_version_1(void **state)
{
    (void)state;
    make_file("own", "5:devices:/x\n4:cpu,memory:/job\n1:name=systemd:/\n0::/\n");
    make_dir("memory");
    make_dir("memory/job");
    make_file("memory/memory.limit_in_bytes", "9223372036854771712\n");
    make_file("memory/memory.usage_in_bytes", "1\n");
    make_file("memory/job/memory.limit_in_bytes", "9223372036854771712\n");
    make_file("memory/job/memory.usage_in_bytes", "1\n");
    assert_true(group() == UINT64_MAX);
    make_file("memory/job/memory.limit_in_bytes", "2147483648\n");
    make_file("memory/job/memory.usage_in_bytes", "1073741824\n");
    make_file("memory/job/memory.stat", "inactive_file 7\ntotal_inactive_file 1048576\n");
    assert_int_equal(group(), 1025 * MIB - BUDGET_RESERVE_BYTES);
}

/* In a container the path may be the host's: the mount's root is our group. */
static void test_path_of_the_host(void **state)
{
    (void)state;
    make_file("own", "2:memoryx:/nothing\n1:memory:/docker/123\n");
    make_dir("memory");
    make_file("memory/memory.limit_in_bytes", "1073741824\n");
    make_file("memory/memory.usage_in_bytes", "0\n");
    assert_int_equal(group(), (1024 - 128) * MIB);
}

static void test_nonsense(void **state)
{
    (void)state;
    assert_true(group() == UINT64_MAX); /* no file at all */
    make_file("own", "");
    assert_true(group() == UINT64_MAX);
    make_file("own", "0\n:\n::\n\n1:memory\n7:memory:\n0::noslash\n");
    assert_true(group() == UINT64_MAX);
    char text[9000] = "0::/";
    memset(text + 4, 'a', sizeof text - 5);
    text[sizeof text - 1] = '\0';
    make_file("own", text);
    assert_true(group() == UINT64_MAX);
}

static void test_limit(void **state)
{
    (void)state;
    assert_int_equal(arena_budget(10, 10), 0);
    assert_int_equal(arena_budget(11, 10), 0);
    assert_true(arena_budget(0, 4096) <= 4096);
    assert_true(arena_budget(0, UINT64_MAX) < UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_machine, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_1, setup, teardown),
        cmocka_unit_test_setup_teardown(test_path_of_the_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
