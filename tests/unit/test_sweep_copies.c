/* test_sweep_copies.c - checkpoints are copied in order, whole or not at all, and what a
 * runner did not live to see copied is copied by the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sweep/copies.h"
#include "sweep/tree.h"
#include "temp_dir.h"

#define MANY 3000               /* files, so that a copy can be stopped on its way */

struct world { struct temp_dir dir; struct copies *copies; };

static const char *path_of(struct world *w, const char *name)
{
    static char path[2][PATH_MAX];
    static int at;
    at = !at;
    snprintf(path[at], sizeof path[at], "%s/%s", w->dir.path, name);
    return path[at];
}

static void make(struct world *w, const char *name) { assert_int_equal(mkdir(path_of(w, name), 0777), 0); }

static void write_text(struct world *w, const char *name, const char *text)
{
    FILE *f = fopen(path_of(w, name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_text(struct world *w, const char *name, const char *text)
{
    char got[64] = "";
    FILE *f = fopen(path_of(w, name), "r");
    assert_non_null(f);
    (void)!fgets(got, sizeof got, f);
    fclose(f);
    assert_string_equal(got, text);
}

static bool is_there(struct world *w, const char *name) { return access(path_of(w, name), F_OK) == 0; }

static int count_in(struct world *w, const char *name)
{
    int count = 0;
    DIR *dir = opendir(path_of(w, name));
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        count += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

static int setup(void **state)
{
    static struct world w;
    temp_dir_make(&w.dir);
    make(&w, "trials");
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "trials/%04d", i);
        make(&w, name);
        strcat(name, "/checkpoint");
        make(&w, name);
    }
    w.copies = copies_new(w.dir.path);
    assert_non_null(w.copies);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    copies_free(&w->copies);
    temp_dir_remove(&w->dir);
    return 0;
}

static struct copy take(struct world *w)
{
    struct copy copy;
    struct pollfd fd = {copies_fd(w->copies), POLLIN, 0};
    while (!copies_take(w->copies, &copy))
        assert_int_equal(poll(&fd, 1, 10000), 1);
    return copy;
}

static void wait_idle(struct world *w)
{
    struct copy copy;
    struct pollfd fd = {copies_fd(w->copies), POLLIN, 0};
    while ((void)copies_take(w->copies, &copy), copies_busy(w->copies))
        assert_int_equal(poll(&fd, 1, 10000), 1);
}

/* The clone gets what its donor had when it was decided. */
static void test_order(void **state)
{
    struct world *w = *state;
    write_text(w, "trials/0000/checkpoint/step", "3");
    uint64_t first = copies_add(w->copies, COPY_SNAPSHOT, 0, 0);
    uint64_t clone = copies_add(w->copies, COPY_CLONE, 1, 0);
    assert_true(first > 0 && clone > first);
    assert_int_equal(copies_last(w->copies, 0), first);
    assert_int_equal(copies_last(w->copies, 1), clone);
    assert_int_equal(copies_last(w->copies, 2), 0);
    assert_int_equal(take(w).number, first);
    struct copy copy = take(w);
    assert_true(copy.number == clone && copy.kind == COPY_CLONE && copy.error == 0);
    assert_true(copy.trial == 1 && copy.from == 0);
    assert_int_equal(copies_last(w->copies, 1), 0);
    write_text(w, "trials/0000/checkpoint/step", "6");
    assert_true(copies_add(w->copies, COPY_SNAPSHOT, 0, 0) > clone);
    assert_int_equal(take(w).error, 0);
    assert_text(w, "trials/0001/checkpoint/step", "3");
    assert_text(w, "trials/0000/snapshot/step", "6");
    wait_idle(w);
    assert_int_equal(count_in(w, "copies"), 0);
    assert_false(is_there(w, "trials/0000/snapshot" TREE_FRESH));
}

static void test_without_snapshot(void **state)
{
    struct world *w = *state;
    write_text(w, "trials/0000/checkpoint/step", "3");
    write_text(w, "trials/0001/checkpoint/old", "x");
    assert_true(copies_add(w->copies, COPY_CLONE, 1, 0) > 0);
    assert_int_equal(take(w).error, 0);
    assert_text(w, "trials/0001/checkpoint/step", "3");
    assert_false(is_there(w, "trials/0001/checkpoint/old"));
}

static void test_remove(void **state)
{
    struct world *w = *state;
    make(w, "trials/0002/snapshot");
    write_text(w, "trials/0002/snapshot/step", "1");
    make(w, "trials/0002/checkpoint" TREE_FRESH);
    assert_true(copies_add(w->copies, COPY_REMOVE, 2, 0) > 0);
    assert_int_equal(copies_last(w->copies, 2), 0);     /* nobody goes on from it */
    assert_int_equal(take(w).error, 0);
    assert_int_equal(count_in(w, "trials/0002"), 0);
    assert_false(is_there(w, "copies"));
}

/* A clone is made again once that is mended; a snapshot is not. */
static void test_errors(void **state)
{
    struct world *w = *state;
    write_text(w, "trials/0001/checkpoint/step", "1");
    assert_true(copies_add(w->copies, COPY_CLONE, 1, 7) > 0);
    assert_int_equal(take(w).error, ENOENT);
    assert_text(w, "trials/0001/checkpoint/step", "1");
    assert_int_equal(count_in(w, "copies"), 1);
    assert_true(copies_add(w->copies, COPY_SNAPSHOT, 7, 0) > 0);
    assert_int_equal(take(w).error, ENOENT);
    assert_int_equal(count_in(w, "copies"), 1);
    make(w, "trials/0007");
    make(w, "trials/0007/snapshot");
    write_text(w, "trials/0007/snapshot/step", "9");
    wait_idle(w);
    assert_true(copies_pick_up(w->copies));
    assert_int_equal(take(w).error, 0);
    assert_text(w, "trials/0001/checkpoint/step", "9");
    assert_int_equal(count_in(w, "copies"), 0);
}

/* What a runner that was killed left: its notes, and half of a tree. */
static void test_pick_up(void **state)
{
    struct world *w = *state;
    write_text(w, "trials/0000/checkpoint/step", "6");
    make(w, "trials/0000/snapshot");
    write_text(w, "trials/0000/snapshot/step", "3");
    make(w, "trials/0001/checkpoint" TREE_FRESH);
    write_text(w, "trials/0001/checkpoint" TREE_FRESH "/half", "x");
    make(w, "copies");
    assert_int_equal(symlink("snapshot 0", path_of(w, "copies/00000000000000000012")), 0);
    assert_int_equal(symlink("clone 1 0", path_of(w, "copies/00000000000000000009")), 0);
    assert_int_equal(symlink("nonsense", path_of(w, "copies/00000000000000000013")), 0);
    write_text(w, "copies/README", "not ours");
    assert_true(copies_pick_up(w->copies));
    struct copy clone = take(w), snapshot = take(w);
    assert_true(clone.number == 9 && clone.error == 0 && snapshot.number == 12 && snapshot.error == 0);
    assert_text(w, "trials/0001/checkpoint/step", "3");
    assert_text(w, "trials/0000/snapshot/step", "6");
    wait_idle(w);
    assert_false(is_there(w, "trials/0001/checkpoint/half"));
    assert_false(is_there(w, "trials/0001/checkpoint" TREE_FRESH));
    assert_true(copies_add(w->copies, COPY_SNAPSHOT, 0, 0) > 12);
}

static void test_stop(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < MANY; i++) {
        char name[64];
        snprintf(name, sizeof name, "trials/0000/checkpoint/%d", i);
        write_text(w, name, "new");
    }
    make(w, "trials/0000/snapshot");
    write_text(w, "trials/0000/snapshot/0", "old");
    assert_true(copies_add(w->copies, COPY_SNAPSHOT, 0, 0) > 0);
    assert_true(copies_add(w->copies, COPY_CLONE, 1, 0) > 0);
    while (!is_there(w, "trials/0000/snapshot" TREE_FRESH "/1"))
        assert_true(copies_busy(w->copies));
    copies_stop(w->copies, true);
    assert_int_equal(take(w).error, ECANCELED);
    assert_int_equal(take(w).error, ECANCELED);
    assert_int_equal(count_in(w, "trials/0000/snapshot"), 1);   /* the old one, whole */
    assert_text(w, "trials/0000/snapshot/0", "old");
    assert_int_equal(count_in(w, "trials/0001/checkpoint"), 0);
    assert_int_equal(count_in(w, "copies"), 2);
    wait_idle(w);
    assert_true(copies_pick_up(w->copies));
    assert_int_equal(take(w).error, 0);
    assert_int_equal(take(w).error, 0);
    assert_int_equal(count_in(w, "trials/0000/snapshot"), MANY);
    assert_int_equal(count_in(w, "trials/0001/checkpoint"), MANY);
}

/* With copies alone stopped, what is to be removed is removed. */
static void test_stop_copies(void **state)
{
    struct world *w = *state;
    copies_stop(w->copies, false);
    assert_true(copies_add(w->copies, COPY_SNAPSHOT, 0, 0) > 0);
    assert_true(copies_add(w->copies, COPY_REMOVE, 2, 0) > 0);
    assert_int_equal(take(w).error, ECANCELED);
    assert_int_equal(take(w).error, 0);
    assert_false(is_there(w, "trials/0000/snapshot"));
    assert_false(is_there(w, "trials/0002/checkpoint"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pick_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_copies, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
