/* test_resources.c - amounts, what lacks, and how devices are given out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "core/resources.h"

static struct resources some(void)
{
    return (struct resources){.cpu_milli = 4000, .gpu_milli = 2000, .memory_bytes = 1000,
                              .gpu_memory_bytes = 500, .custom_count = 2,
                              .custom = {{"robot", 3000}, {"licence", 1000}}};
}

static void test_add_and_sub(void **state)
{
    (void)state;
    struct resources total = some(), free_now = total;
    struct resources need = {.cpu_milli = 1500, .memory_bytes = 7, .custom_count = 1,
                             .custom = {{"licence", 250}}};
    resources_sub(&free_now, &need);
    assert_int_equal(free_now.cpu_milli, 2500);
    assert_int_equal(free_now.gpu_milli, 2000);
    assert_int_equal(free_now.memory_bytes, 993);
    assert_int_equal(free_now.custom[0].milli, 3000);
    assert_int_equal(free_now.custom[1].milli, 750);
    assert_false(resources_equal(&free_now, &total));
    resources_add(&free_now, &need);
    assert_true(resources_equal(&free_now, &total));
    /* Nothing of an unknown name is nothing. */
    struct resources nothing = {.custom_count = 1, .custom = {{"unheard of", 0}}};
    resources_sub(&free_now, &nothing);
    assert_true(resources_equal(&free_now, &total));
}

static void test_equal_looks_at_names(void **state)
{
    (void)state;
    struct resources a = some(), b = some();
    b.custom[0] = a.custom[1];
    b.custom[1] = a.custom[0];
    assert_true(resources_equal(&a, &b));
    b.custom[0].milli++;
    assert_false(resources_equal(&a, &b));
}

static void test_lacking(void **state)
{
    (void)state;
    struct resources have = some(), need = {0};
    assert_int_equal(resources_lacking(&need, &have), 0);
    need = have;
    assert_int_equal(resources_lacking(&need, &have), 0);
    need.cpu_milli++;
    assert_int_equal(resources_lacking(&need, &have), RESOURCE_CPU);
    need.gpu_milli++;
    need.memory_bytes++;
    need.gpu_memory_bytes++;
    need.custom[1].milli++;
    assert_int_equal(resources_lacking(&need, &have), RESOURCE_CPU | RESOURCE_GPU | RESOURCE_MEMORY |
                     RESOURCE_GPU_MEMORY | RESOURCE_CUSTOM(1));
    need = (struct resources){.custom_count = 1, .custom = {{"boat", 1}}};
    assert_int_equal(resources_lacking(&need, &have), RESOURCE_UNKNOWN);
    /* What is overdrawn does not matter to those who need none of it. */
    have.cpu_milli = -500;
    need = (struct resources){.memory_bytes = 1};
    assert_int_equal(resources_lacking(&need, &have), 0);
}

static void test_used(void **state)
{
    (void)state;
    struct resources have = some();
    struct resources need = {.gpu_milli = 1, .custom_count = 2, .custom = {{"licence", 1}, {"robot", 0}}};
    assert_int_equal(resources_used(&need, &have), RESOURCE_GPU | RESOURCE_CUSTOM(1));
    assert_int_equal(resources_used(&(struct resources){0}, &have), 0);
}

static void test_valid(void **state)
{
    (void)state;
    struct resources r = some();
    assert_true(resources_valid(&r));
    assert_true(resources_valid(&(struct resources){0}));
    assert_true(resources_valid(&(struct resources){.gpu_milli = 999}));
    assert_false(resources_valid(&(struct resources){.gpu_milli = 1001}));
    assert_false(resources_valid(&(struct resources){.cpu_milli = -1}));
    assert_false(resources_valid(&(struct resources){.gpu_milli = -1000}));
    assert_false(resources_valid(&(struct resources){.memory_bytes = INT64_MIN}));
    assert_false(resources_valid(&(struct resources){.gpu_memory_bytes = -1}));
    r.custom_count = CUSTOM_MAX + 1;
    assert_false(resources_valid(&r));
    r = some();
    memcpy(r.custom[1].name, "robot", 6);
    assert_false(resources_valid(&r));      /* twice the same */
    memset(r.custom[1].name, 'x', sizeof r.custom[1].name);
    assert_false(resources_valid(&r));      /* without an end */
    r.custom[1].name[0] = 0;
    assert_false(resources_valid(&r));
    r = some();
    r.custom[0].milli = -1;
    assert_false(resources_valid(&r));
}

static void check_short(struct resources need, const char *expected)
{
    struct resources total = some();
    char why[128] = "";
    assert_true(resources_short(&need, &total, why, sizeof why));
    assert_string_equal(why, expected);
}

static void test_short(void **state)
{
    (void)state;
    struct resources total = some();
    char why[8];
    assert_false(resources_short(&total, &total, why, sizeof why));
    check_short((struct resources){.cpu_milli = 4500}, "cpus: 4.5 wanted, this node has 4");
    check_short((struct resources){.gpu_milli = 3000}, "gpus: 3 wanted, this node has 2");
    check_short((struct resources){.memory_bytes = 1001}, "memory: 1001 bytes wanted, this node has 1000");
    check_short((struct resources){.gpu_memory_bytes = 501}, "gpu memory: 501 bytes wanted, this node has 500");
    check_short((struct resources){.custom_count = 2, .custom = {{"licence", 1000}, {"robot", 3001}}},
                "robot: 3.001 wanted, this node has 3");
    check_short((struct resources){.custom_count = 1, .custom = {{"boat", 1000}}},
                "boat: 1 wanted, this node has 0");
    assert_true(resources_short(&(struct resources){.cpu_milli = 9000}, &total, why, sizeof why));
    assert_string_equal(why, "cpus: 9");    /* cut off, but ended */
}

/* ---- devices --------------------------------------------------------------------- */

static uint64_t take(struct devices *d, int64_t milli)
{
    struct device_set set;
    if (!devices_find(d, milli, &set))
        return 0;
    devices_take(d, set);
    return set.mask;
}

static void test_whole_devices(void **state)
{
    (void)state;
    struct devices d;
    devices_init(&d, 4);
    assert_int_equal(take(&d, 2000), 3);
    assert_int_equal(take(&d, 3000), 0);
    assert_int_equal(take(&d, 1000), 4);
    devices_give(&d, (struct device_set){2, 1000});
    assert_int_equal(take(&d, 2000), 2 | 8);
    assert_int_equal(take(&d, 1), 0);
    devices_init(&d, 0);
    assert_int_equal(take(&d, 1000), 0);
    devices_init(&d, DEVICES_MAX);
    assert_true(take(&d, 64000) == UINT64_MAX);
}

static void test_parts_pack(void **state)
{
    (void)state;
    struct devices d;
    devices_init(&d, 3);
    assert_int_equal(take(&d, 300), 1);
    assert_int_equal(take(&d, 300), 1);
    assert_int_equal(take(&d, 500), 2);     /* no room on the first */
    assert_int_equal(take(&d, 400), 1);     /* the tightest fit: it is full now */
    assert_int_equal(take(&d, 500), 2);
    assert_int_equal(take(&d, 1000), 4);    /* so one is still whole */
    assert_int_equal(take(&d, 1), 0);
}

static void test_half_devices_are_not_a_whole(void **state)
{
    (void)state;
    struct devices d;
    struct device_set set;
    devices_init(&d, 2);
    devices_take(&d, (struct device_set){1, 500});
    devices_take(&d, (struct device_set){2, 500});
    assert_false(devices_find(&d, 1000, &set));
    assert_true(devices_find(&d, 500, &set));
}

static void test_as_good(void **state)
{
    (void)state;
    struct devices d;
    struct device_set best;
    devices_init(&d, 4);
    assert_true(devices_find(&d, 1000, &best));
    assert_true(devices_as_good(&d, 8, best));
    assert_false(devices_as_good(&d, 12, best));
    devices_take(&d, (struct device_set){8, 100});
    assert_false(devices_as_good(&d, 8, best));
    /* A part goes to the device in use: a whole one is worse. */
    assert_true(devices_find(&d, 200, &best));
    assert_int_equal(best.mask, 8);
    assert_false(devices_as_good(&d, 1, best));
    devices_take(&d, (struct device_set){4, 700});
    assert_true(devices_as_good(&d, 4, best));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_and_sub),
        cmocka_unit_test(test_equal_looks_at_names),
        cmocka_unit_test(test_lacking),
        cmocka_unit_test(test_used),
        cmocka_unit_test(test_valid),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_whole_devices),
        cmocka_unit_test(test_parts_pack),
        cmocka_unit_test(test_half_devices_are_not_a_whole),
        cmocka_unit_test(test_as_good),
    };
    return cmocka_run_group_tests_name("resources", tests, NULL, NULL);
}
