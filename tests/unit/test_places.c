/* test_places.c - where things are, and who might have put them there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/places.h"
#include "temp_dir.h"

#define NOBODY 65534

static struct temp_dir dir;
static struct places places;
static char why[512];

static int setup(void **state)
{
    (void)state;
    unsetenv("COVEY_DIR");
    unsetenv("COVEY_NAME");
    unsetenv("XDG_RUNTIME_DIR");
    unsetenv("XDG_STATE_HOME");
    temp_dir_make(&dir);
    why[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static const char *under(const char *rest)
{
    static char path[128];
    snprintf(path, sizeof path, "%s%s", dir.path, rest);
    return path;
}

static covey_status find(const char *name)
{
    return places_find(&places, name, why, sizeof why);
}

static covey_status create(void)
{
    return places_create(&places, why, sizeof why);
}

static void assert_says(const char *text)
{
    if (!strstr(why, text))
        fail_msg("\"%s\" does not say \"%s\"", why, text);
}

static mode_t mode_of(const char *path)
{
    struct stat at;
    return lstat(path, &at) == 0 ? at.st_mode : 0;
}

/* ---- names and paths ---------------------------------------------------------- */

static void test_the_order_of_places(void **state)
{
    (void)state;
    char expected[128];
    setenv("HOME", dir.path, 1);
    assert_int_equal(find(NULL), COVEY_OK);
    const char *tmp = getenv("TMPDIR");
    snprintf(expected, sizeof expected, "%s/covey-%u/default", tmp ? tmp : "/tmp", (unsigned)geteuid());
    assert_string_equal(places.name, "default");
    assert_string_equal(places.dir, expected);
    assert_string_equal(places.state, under("/.local/state/covey/default"));
    setenv("XDG_RUNTIME_DIR", under("/run"), 1);
    setenv("XDG_STATE_HOME", under("/state"), 1);
    setenv("COVEY_NAME", "n1", 1);
    assert_int_equal(find(NULL), COVEY_OK);
    assert_string_equal(places.dir, under("/run/covey/n1"));
    assert_string_equal(places.state, under("/state/covey/n1"));
    setenv("COVEY_DIR", under("/here"), 1);
    assert_int_equal(find("n2"), COVEY_OK);
    assert_string_equal(places.dir, under("/here/n2"));
    assert_string_equal(places.state, under("/here/n2/state"));
}

static void test_relative_directories(void **state)
{
    (void)state;
    setenv("XDG_RUNTIME_DIR", "run", 1); /* by its own rule as if it were unset */
    assert_int_equal(find(NULL), COVEY_OK);
    assert_int_equal(places.dir[0], '/');
    setenv("COVEY_DIR", "here", 1); /* our own is a mistake to be told */
    assert_int_equal(find(NULL), COVEY_EINVAL);
    assert_says("absolute");
}

static void test_bad_names(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", ".", "..", ".hidden", "a/b", "../up", "a b", "a\n", "caf\xc3\xa9", "a:b", "$HOME",
        "abcdefghijklmnopqrstuvwxyz0123456",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (find(bad[i]) != COVEY_EINVAL)
            fail_msg("\"%s\" was taken for a name", bad[i]);
        assert_says("letters, digits");
    }
    assert_int_equal(find("abcdefghijklmnopqrstuvwxyz012345"), COVEY_OK);
    assert_int_equal(find("A-b_c.9"), COVEY_OK);
}

static void test_addresses(void **state)
{
    (void)state;
    assert_int_equal(places_of_address(&places, "local:lab", why, sizeof why), COVEY_OK);
    assert_string_equal(places.name, "lab");
    assert_int_equal(places_of_address(&places, "lab2", why, sizeof why), COVEY_OK);
    assert_string_equal(places.name, "lab2");
    assert_int_equal(places_of_address(&places, "udp://x", why, sizeof why), COVEY_EINVAL);
    assert_says("local:NAME");
    assert_int_equal(places_of_address(&places, "local:a/b", why, sizeof why), COVEY_EINVAL);
}

static void test_a_path_too_long_for_sockets(void **state)
{
    (void)state;
    /* DIR "/n" "/4294967295.4294967295" and a NUL are 108 bytes. */
    char base[108 - 22 - 2], longer[sizeof base + 1], socket_path[PLACE_MAX + 32];
    memset(base, 'd', sizeof base - 1);
    base[0] = '/';
    base[sizeof base - 1] = '\0';
    snprintf(longer, sizeof longer, "%sd", base);
    setenv("COVEY_DIR", longer, 1);
    assert_int_equal(find("n"), COVEY_ETOOBIG);
    assert_says("COVEY_DIR");
    setenv("COVEY_DIR", base, 1);
    assert_int_equal(find("n"), COVEY_OK);
    snprintf(socket_path, sizeof socket_path, "%s/4294967295.4294967295", places.dir);
    assert_int_equal(strlen(socket_path), 107);
}

/* ---- creation --------------------------------------------------------------------- */

static void test_directories_are_made_closed_and_may_be_there(void **state)
{
    (void)state;
    mode_t before = umask(0);
    setenv("XDG_RUNTIME_DIR", under("/run"), 1);
    setenv("XDG_STATE_HOME", under("/a/b/state"), 1);
    assert_int_equal(find(NULL), COVEY_OK);
    assert_int_equal(create(), COVEY_OK);
    umask(before);
    assert_int_equal(mode_of(places.dir), S_IFDIR | 0700);
    assert_int_equal(mode_of(places.state), S_IFDIR | 0700);
    assert_int_equal(mode_of(under("/run/covey")), S_IFDIR | 0700);
    assert_int_equal(create(), COVEY_OK);
}

static void test_state_below_the_runtime_directory(void **state)
{
    (void)state;
    setenv("COVEY_DIR", dir.path, 1);
    assert_int_equal(find(NULL), COVEY_OK);
    assert_int_equal(create(), COVEY_OK);
    assert_int_equal(mode_of(places.state), S_IFDIR | 0700);
}

static void test_a_planted_link_is_refused(void **state)
{
    (void)state;
    setenv("COVEY_DIR", dir.path, 1);
    assert_int_equal(find("c"), COVEY_OK);
    assert_int_equal(mkdir(under("/elsewhere"), 0700), 0);
    char target[128];
    snprintf(target, sizeof target, "%s", under("/elsewhere"));
    assert_int_equal(symlink(target, under("/c")), 0);
    assert_int_equal(create(), COVEY_EREFUSED);
    assert_says("link");
    assert_int_equal(mode_of(under("/elsewhere/state")), 0); /* nothing was made behind it */
    assert_int_equal(unlink(under("/c")), 0);
    assert_int_equal(symlink("/no/such/place", under("/c")), 0);
    assert_int_equal(create(), COVEY_EREFUSED);
}

static void test_a_file_in_the_way_is_refused(void **state)
{
    (void)state;
    setenv("COVEY_DIR", dir.path, 1);
    assert_int_equal(find("c"), COVEY_OK);
    int fd = open(under("/c"), O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(create(), COVEY_EREFUSED);
}

static void test_an_open_directory_is_refused(void **state)
{
    (void)state;
    setenv("COVEY_DIR", dir.path, 1);
    assert_int_equal(find("c"), COVEY_OK);
    assert_int_equal(mkdir(under("/c"), 0700), 0);
    assert_int_equal(chmod(under("/c"), 0750), 0);
    assert_int_equal(create(), COVEY_EREFUSED);
    assert_says("chmod 700");
}

static void test_a_parent_open_to_others_is_refused_unless_sticky(void **state)
{
    (void)state;
    char parent[128];
    snprintf(parent, sizeof parent, "%s", under("/p"));
    setenv("COVEY_DIR", parent, 1);
    assert_int_equal(find("c"), COVEY_OK);
    assert_int_equal(mkdir(parent, 0700), 0);
    assert_int_equal(chmod(parent, 0777), 0);
    assert_int_equal(create(), COVEY_EREFUSED);
    assert_says("written by others");
    assert_int_equal(chmod(parent, 01777), 0);
    assert_int_equal(create(), COVEY_OK);
}

static void test_another_users_directory_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give a directory away */
    setenv("COVEY_DIR", dir.path, 1);
    assert_int_equal(find("c"), COVEY_OK);
    assert_int_equal(mkdir(under("/c"), 0700), 0);
    assert_int_equal(chown(under("/c"), NOBODY, NOBODY), 0);
    assert_int_equal(create(), COVEY_EREFUSED);
    assert_says("another user");
    assert_int_equal(rmdir(under("/c")), 0);
    assert_int_equal(chown(dir.path, NOBODY, NOBODY), 0); /* nor one inside of it */
    assert_int_equal(create(), COVEY_EREFUSED);
    assert_int_equal(chown(dir.path, 0, 0), 0);
}

static void test_a_link_to_the_parent_by_another_user_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give a link away */
    char parent[128];
    snprintf(parent, sizeof parent, "%s", under("/p"));
    assert_int_equal(mkdir(under("/real"), 0700), 0);
    assert_int_equal(symlink("real", parent), 0);
    setenv("COVEY_DIR", parent, 1);
    assert_int_equal(find("c"), COVEY_OK);
    assert_int_equal(create(), COVEY_OK); /* our own link is our own business */
    assert_int_equal(lchown(parent, NOBODY, NOBODY), 0);
    assert_int_equal(create(), COVEY_EREFUSED);
    assert_says("another user");
}

/* ---- locks and removal --------------------------------------------------------------- */

static void make_cluster(void)
{
    setenv("COVEY_DIR", dir.path, 1);
    assert_int_equal(find("c"), COVEY_OK);
    assert_int_equal(create(), COVEY_OK);
}

static void test_a_lock_is_held_once_and_dies_with_its_process(void **state)
{
    (void)state;
    int fd, second, ready[2];
    make_cluster();
    assert_int_equal(places_lock(&places, PLACES_HEAD_LOCK, &fd), COVEY_OK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(places_lock(&places, PLACES_HEAD_LOCK, &second), COVEY_EAGAIN);
    assert_int_equal(places_lock(&places, PLACES_NODE_LOCK, &second), COVEY_OK);
    close(second);
    close(fd);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        char answer = places_lock(&places, PLACES_HEAD_LOCK, &fd) == COVEY_OK ? 'y' : 'n';
        (void)!write(ready[1], &answer, 1);
        for (;;)
            pause();
    }
    char answer = 0;
    assert_int_equal(read(ready[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    assert_int_equal(places_lock(&places, PLACES_HEAD_LOCK, &fd), COVEY_EAGAIN);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(places_lock(&places, PLACES_HEAD_LOCK, &fd), COVEY_OK);
    close(fd);
    close(ready[0]);
    close(ready[1]);
}

static void test_a_lock_is_no_link(void **state)
{
    (void)state;
    int fd;
    make_cluster();
    assert_int_equal(symlink("/etc/passwd", under("/c/lock")), 0);
    assert_int_equal(places_lock(&places, PLACES_HEAD_LOCK, &fd), COVEY_ESYSTEM);
    assert_int_equal(fd, -1);
}

static void test_pid_files(void **state)
{
    (void)state;
    long pid = 0;
    make_cluster();
    assert_true(places_write_pid(&places, "head.pid"));
    FILE *file = fopen(under("/c/head.pid"), "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pid), 1);
    assert_int_equal(pid, getpid());
    fclose(file);
    assert_int_equal(places_read_pid(&places, PLACES_HEAD_PID), getpid());
    assert_int_equal(places_read_pid(&places, PLACES_NODE_PID), 0); /* no such file */
    file = fopen(under("/c/head.pid"), "w");
    assert_true(file && fputs("nobody\n", file) >= 0 && fclose(file) == 0);
    assert_int_equal(places_read_pid(&places, PLACES_HEAD_PID), 0);
    places_remove_pid(&places, PLACES_HEAD_PID);
    assert_int_equal(mode_of(under("/c/head.pid")), 0);
}

static void test_removal_keeps_the_state_unless_told(void **state)
{
    (void)state;
    setenv("XDG_RUNTIME_DIR", under("/run"), 1);
    setenv("XDG_STATE_HOME", under("/state"), 1);
    assert_int_equal(find("c"), COVEY_OK);
    assert_int_equal(create(), COVEY_OK);
    assert_true(places_write_pid(&places, "head.pid"));
    assert_int_equal(mkdir(under("/state/covey/c/logs"), 0700), 0);
    places_remove(&places, false);
    assert_int_equal(mode_of(places.dir), 0);
    assert_int_equal(mode_of(under("/state/covey/c/logs")), S_IFDIR | 0700);
    places_remove(&places, true);
    assert_int_equal(mode_of(places.state), 0);
    assert_int_equal(mode_of(under("/state/covey")), S_IFDIR | 0700); /* and nothing above */
}

static void test_removal_does_not_follow_links(void **state)
{
    (void)state;
    char target[128];
    make_cluster();
    assert_int_equal(mkdir(under("/precious"), 0700), 0);
    int fd = open(under("/precious/file"), O_CREAT | O_WRONLY, 0600);
    close(fd);
    snprintf(target, sizeof target, "%s", under("/precious"));
    assert_int_equal(symlink(target, under("/c/link")), 0);
    assert_int_equal(symlink(target, under("/c/state/link")), 0);
    places_remove(&places, true);
    assert_int_equal(mode_of(places.dir), 0);
    assert_int_equal(mode_of(under("/precious/file")), S_IFREG | 0600);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_order_of_places),
        TEST(test_relative_directories),
        TEST(test_bad_names),
        TEST(test_addresses),
        TEST(test_a_path_too_long_for_sockets),
        TEST(test_directories_are_made_closed_and_may_be_there),
        TEST(test_state_below_the_runtime_directory),
        TEST(test_a_planted_link_is_refused),
        TEST(test_a_file_in_the_way_is_refused),
        TEST(test_an_open_directory_is_refused),
        TEST(test_a_parent_open_to_others_is_refused_unless_sticky),
        TEST(test_another_users_directory_is_refused),
        TEST(test_a_link_to_the_parent_by_another_user_is_refused),
        TEST(test_a_lock_is_held_once_and_dies_with_its_process),
        TEST(test_a_lock_is_no_link),
        TEST(test_pid_files),
        TEST(test_removal_keeps_the_state_unless_told),
        TEST(test_removal_does_not_follow_links),
    };
    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
