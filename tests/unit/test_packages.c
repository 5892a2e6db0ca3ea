/* test_packages.c - the file that is executed is the one that was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "node/packages.h"

#define FIRST "#!/bin/sh\necho first\n"
#define SECOND "#!/bin/sh\necho second, and longer\n"

struct fixture {
    char dir[64], program[128];
    uv_loop_t loop;
    struct packages *packages;
};

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, 0755), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/covey-packages-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->program, sizeof f->program, "%s/program", f->dir);
    write_file(f->program, FIRST);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(packages_open(&f->packages, &f->loop, f->dir), COVEY_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    packages_close(&f->packages);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    snprintf(command, sizeof command, "rm -r %s", f->dir);
    assert_int_equal(system(command), 0);
    free(f);
    return 0;
}

static struct msg_package describe(const struct fixture *f, const char *text)
{
    struct stat st;
    XXH128_hash_t h = XXH3_128bits(text, strlen(text));
    assert_int_equal(stat(f->program, &st), 0);
    return (struct msg_package){
        .hash = {.lo = h.low64, .hi = h.high64}, .file = {.lo = h.low64, .hi = h.high64},
        .path = span_str(f->program), .device = st.st_dev,
        .inode = st.st_ino, .size = (uint64_t)st.st_size,
        .mtime_ns = st.st_mtim.tv_sec * SECOND_NS + st.st_mtim.tv_nsec, .cwd = span_str(f->dir),
        .argv = span_of("program\0-x", 11), .env = span_of("A=1", 3)};
}

static void copy_ends(struct fixture *f)
{
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_false(packages_busy(f->packages));
}

static void runs(const struct program *program, const char *text)
{
    char path[4096], why[256], found[256] = "";
    assert_int_equal(program_file(program, path, sizeof path, why, sizeof why), COVEY_OK);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(found, 1, sizeof found - 1, file);
    fclose(file);
    assert_int_equal(n, strlen(text));
    assert_string_equal(found, text);
    assert_int_equal(access(path, X_OK), 0);
}

static void test_original_first(void **state)
{
    struct fixture *f = *state;
    char path[4096], why[256];
    struct msg_package what = describe(f, FIRST);
    struct program *program = packages_take(f->packages, &what);
    assert_non_null(program);
    assert_string_equal(program->path, f->program);
    assert_string_equal(program->cwd, f->dir);
    assert_ptr_equal(packages_take(f->packages, &what), program);
    assert_int_equal(program_file(program, path, sizeof path, why, sizeof why), COVEY_OK);
    assert_string_equal(path, f->program);
    copy_ends(f);
    assert_int_equal(program_file(program, path, sizeof path, why, sizeof why), COVEY_OK);
    assert_string_equal(path, f->program);
    assert_int_equal(program_file(program, path, 4, why, sizeof why), COVEY_ESTART);
    packages_release(program);
    packages_release(program);
}

static void test_copy_when_the_original_changed(void **state)
{
    struct fixture *f = *state;
    struct msg_package what = describe(f, FIRST);
    struct program *program = packages_take(f->packages, &what);
    copy_ends(f);
    write_file(f->program, SECOND);
    runs(program, FIRST);
    unlink(f->program);
    runs(program, FIRST);
    packages_release(program);
}

static void test_changed_before_the_copy(void **state)
{
    struct fixture *f = *state;
    char path[4096], why[256];
    struct msg_package what = describe(f, FIRST);
    write_file(f->program, SECOND);
    struct program *program = packages_take(f->packages, &what);
    copy_ends(f);
    assert_int_equal(program_file(program, path, sizeof path, why, sizeof why), COVEY_ESTART);
    assert_non_null(strstr(why, f->program));
    packages_release(program);
}

/* A copy that rotted is not trusted, and made again while there is an original. */
static void test_damaged_copy(void **state)
{
    struct fixture *f = *state;
    char copy[256];
    struct msg_package what = describe(f, FIRST);
    snprintf(copy, sizeof copy, "%s/packages/%016llx%016llx", f->dir,
             (unsigned long long)what.hash.hi, (unsigned long long)what.hash.lo);
    write_file(copy, "damaged");
    struct program *program = packages_take(f->packages, &what);
    copy_ends(f);
    unlink(f->program);
    runs(program, FIRST);
    packages_release(program);
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct program *taken[PACKAGES_MAX];
    struct msg_package what = describe(f, FIRST);
    struct hash128 real = what.hash;
    for (uint32_t i = 0; i < PACKAGES_MAX; i++) {
        what.hash.lo = i;
        taken[i] = packages_take(f->packages, &what);
        assert_non_null(taken[i]);
    }
    assert_null(packages_take(f->packages, &(struct msg_package){.hash = real, .file = real}));
    packages_release(taken[5]);
    struct msg_package again = describe(f, FIRST);
    struct program *program = packages_take(f->packages, &again);
    assert_non_null(program);
    copy_ends(f);
    runs(program, FIRST);
    packages_release(program);
    for (uint32_t i = 0; i < PACKAGES_MAX; i++)
        if (i != 5)
            packages_release(taken[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_original_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_when_the_original_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_before_the_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_copy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
    };
    return cmocka_run_group_tests_name("packages", tests, NULL, NULL);
}
