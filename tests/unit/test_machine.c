/* test_machine.c - what control groups leave of the CPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/machine.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/covey-machine-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

/* "\\n" in @text is for printf(1). */
static void put(const char *folder, const char *file, const char *text)
{
    char command[512];
    snprintf(command, sizeof command, "mkdir -p %s/%s && printf -- '%s' > %s/%s/%s", dir, folder, text,
             dir, folder, file);
    assert_int_equal(system(command), 0);
}

static double quota(const char *own)
{
    char path[128];
    put("", "own", own);
    snprintf(path, sizeof path, "%s/own", dir);
    return machine_cpu_quota(path, dir);
}

static void test_version_2(void **state)
{
    (void)state;
    assert_true(isinf(quota("0::/a/b\\n")));            /* no such files */
    put("a/b", "cpu.max", "max 100000\\n");
    assert_true(isinf(quota("0::/a/b\\n")));
    put("a/b", "cpu.max", "150000 100000\\n");
    assert_float_equal(quota("0::/a/b\\n"), 1.5, 1e-9);
    put("a", "cpu.max", "50000 100000\\n");             /* the group above is narrower */
    assert_float_equal(quota("0::/a/b\\n"), 0.5, 1e-9);
    put("a", "cpu.max", "nonsense\\n");
    assert_float_equal(quota("0::/a/b\\n"), 1.5, 1e-9);
    put("a/b", "cpu.max", "100000 0\\n");
    assert_true(isinf(quota("0::/a/b\\n")));
}

static void test_version_1(void **state)
{
    (void)state;
    put("cpu/x", "cpu.cfs_quota_us", "-1\\n");
    put("cpu/x", "cpu.cfs_period_us", "100000\\n");
    assert_true(isinf(quota("3:cpu,cpuacct:/x\\n")));
    put("cpu/x", "cpu.cfs_quota_us", "200000\\n");
    assert_float_equal(quota("3:cpu,cpuacct:/x\\n"), 2, 1e-9);
    assert_float_equal(quota("3:cpuacct,cpu:/x\\n0::/none\\n"), 2, 1e-9);
    assert_true(isinf(quota("3:cpuset:/x\\n2:cpuacct:/x\\n")));
    /* In a container the path is the host's; the root is the container's. */
    put("cpu", "cpu.cfs_quota_us", "300000\\n");
    put("cpu", "cpu.cfs_period_us", "100000\\n");
    assert_float_equal(quota("3:cpu:/docker/123\\n"), 3, 1e-9);
}

static void test_nonsense(void **state)
{
    (void)state;
    assert_true(isinf(quota("")));
    assert_true(isinf(quota("no colons\\n:\\n::\\n")));
    assert_true(isinf(machine_cpu_quota("/nonexistent", dir)));
}

static void test_this_machine(void **state)
{
    (void)state;
    assert_true(machine_cpus() > 0);
    assert_true(machine_memory_bytes() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_version_2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_version_1, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
        cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
