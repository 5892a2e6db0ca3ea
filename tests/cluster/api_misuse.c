/* api_misuse.c - calls that make no sense have a status, and never crash.
 *
 * NULL, what was released, what belongs to a parent, values that are out of
 * range, tasks and resources that do not exist, programs that cannot become
 * workers, directories that nobody can write.
 */
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <sys/wait.h>

#include <sys/socket.h>
#include <sys/un.h>

#include "check.h"
#include "core/msg.h"

#define START_MS 5000           /* for a failure to start to be told */
#define EARLY_ENV "API_MISUSE_EARLY"    /* set: a worker ends before covey_init() */
#define EARLY_STATUS 7
#define WAITERS 4

COVEY_TASK(square, "i64 -> i64")
{
    int64_t x = covey_arg_i64(ctx, 0);
    return covey_return_i64(ctx, x * x);
}

COVEY_TASK(half, "f64 -> f64") { return covey_return_f64(ctx, covey_arg_f64(ctx, 0) / 2); }

COVEY_TASK(length, "str -> u64") { return covey_return_u64(ctx, strlen(covey_arg_str(ctx, 0))); }

COVEY_TASK(size_of, "bytes -> u64")
{
    size_t size;
    (void)covey_arg_bytes(ctx, 0, &size);
    return covey_return_u64(ctx, size);
}

COVEY_TASK(hello, "-> str") { return covey_return_str(ctx, "hello"); }

COVEY_TASK(bad_signature, "i64 i65 -> i64") { return covey_return_i64(ctx, 1); }

COVEY_TASK(wait_for_cancel, "->")
{
    while (!covey_cancelled(ctx))
        check_nap();
    return covey_return_nil(ctx);
}

/* ---- no handle ------------------------------------------------------------------------- */

static void on_nothing(covey *c, covey_ref ref, covey_status status, void *arg)
{
    (void)c;
    (void)ref;
    (void)status;
    (*(int *)arg)++;
}

static bool is_zero(covey_ref ref) { return ref.index == 0 && ref.generation == 0; }

/* Every call, on a handle that must be refused with @want. */
static void check_refused(covey *c, covey_status want, const char *whose)
{
    const covey_ref ref = {1, 1};
    covey_ref out;
    covey_value value;
    int64_t i;
    uint64_t u;
    double f;
    const char *s;
    const void *data;
    void *room;
    size_t size;
    int calls = 0;
    covey_message message = {.ref = ref, .question = 1};
    char name[128];
#define REFUSED(call)                                                         \
    do {                                                                      \
        snprintf(name, sizeof name, "%s: %.80s", whose, #call);               \
        check_status((call), want, name);                                     \
    } while (0)
    REFUSED(covey_get(c, ref, 0, &value));
    REFUSED(covey_get_i64(c, ref, 0, &i));
    REFUSED(covey_get_u64(c, ref, 0, &u));
    REFUSED(covey_get_f64(c, ref, 0, &f));
    REFUSED(covey_get_str(c, ref, 0, &s));
    REFUSED(covey_get_bytes(c, ref, 0, &data, &size));
    REFUSED(covey_wait(c, &ref, 1, 1, 0, NULL));
    REFUSED(covey_then(c, ref, on_nothing, &calls));
    REFUSED(covey_release(c, ref));
    REFUSED(covey_cancel(c, ref, NULL));
    REFUSED(covey_create(c, 64, &room, &out));
    REFUSED(covey_seal(c, ref));
    REFUSED(covey_next_message(c, ref, 0, &message));
    REFUSED(covey_answer(c, &message, "", 0));
#undef REFUSED
    check(is_zero(covey_submit(c, "square", COVEY_ARGS(1), NULL)), "%s: submit gives no ref", whose);
    check(is_zero(covey_put(c, "x", 1)), "%s: put gives no ref", whose);
    check(is_zero(covey_result(c, ref, 1)), "%s: result gives no ref", whose);
    check(is_zero(covey_submit_command(c, NULL, NULL)), "%s: a command gives no ref", whose);
    check(covey_fd(c) == -1, "%s: no descriptor", whose);
    check(covey_dispatch(c) == 0 && calls == 0, "%s: nothing to dispatch", whose);
    covey_release_all(c, &ref, 1);
    check(covey_why(c, ref) != NULL && *covey_error(), "%s: the error has words", whose);
}

static void check_no_context(void)
{
    void *room;
    check(covey_arg_i64(NULL, 0) == 0 && !covey_arg_str(NULL, 0) && !covey_arg_bytes(NULL, 0, NULL) &&
              covey_arg_count(NULL) == 0, "no context: no arguments");
    check(covey_return_i64(NULL, 1) == COVEY_EINVAL && covey_return_create(NULL, 1, &room) == COVEY_EINVAL &&
              covey_fail(NULL, 1, "x") == COVEY_EINVAL, "no context: no results");
    check(covey_post(NULL, "", 0) == COVEY_EINVAL && !covey_cancelled(NULL) && !covey_self(NULL),
          "no context: no messages");
}

/* ---- after fork -------------------------------------------------------------------------- */

static void check_after_fork(covey *c, covey_ref ref)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {             /* its results count through its exit status */
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        checks.failures = 0;
        check_refused(c, COVEY_EFORK, "fork");
        covey_close(&c);
        _exit((int)checks.failures);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child is refused, not crashed");
    check_i64(c, ref, 9, "the parent goes on");
}

/* ---- refs ---------------------------------------------------------------------------------- */

static void check_refs(covey *c)
{
    covey_value value;
    const char *text;
    double f;
    int64_t i = 0;
    covey_ref ref = covey_submit(c, "square", COVEY_ARGS(3), NULL);
    check_i64(c, ref, 9, "a value");
    check_i64(c, ref, 9, "the same value again");
    check_status(covey_get_str(c, ref, 0, &text), COVEY_ETYPE, "a number is no text");
    check_status(covey_get_f64(c, ref, 0, &f), COVEY_ETYPE, "an integer is no float");
    check(strcmp(covey_why(c, ref), "") == 0, "nothing is wrong with it");
    check_status(covey_get(c, ref, 0, NULL), COVEY_OK, "get without a place for the value waits");
    check_status(covey_get_i64(c, ref, 0, NULL), COVEY_EINVAL, "get_i64 into NULL");
    check_status(covey_get_u64(c, ref, 0, NULL), COVEY_EINVAL, "get_u64 into NULL");
    covey_ref words = covey_submit(c, "hello", COVEY_NONE, NULL);
    check_status(covey_get_str(c, words, CHECK_GET_MS, NULL), COVEY_EINVAL, "get_str into NULL");
    check_status(covey_get_bytes(c, words, CHECK_GET_MS, NULL, NULL), COVEY_EINVAL, "get_bytes into NULL");
    check_status(covey_get_object(c, words, CHECK_GET_MS, NULL, NULL), COVEY_EINVAL, "get_object of no type");
    covey_release(c, words);
    check_status(covey_seal(c, ref), COVEY_EINVAL, "seal what was not created");
    check_status(covey_then(c, ref, NULL, NULL), COVEY_EINVAL, "then nothing");
    check_status(covey_cancel(c, ref, NULL), COVEY_OK, "ending what has ended");
    check_after_fork(c, ref);

    check_status(covey_release(c, ref), COVEY_OK, "release");
    check_status(covey_release(c, ref), COVEY_ESTALE, "release again");
    check_status(covey_get(c, ref, -1, &value), COVEY_ESTALE, "get what was released");
    check_status(covey_wait(c, &ref, 1, 1, -1, NULL), COVEY_ESTALE, "wait for what was released");
    check_status(covey_cancel(c, ref, NULL), COVEY_ESTALE, "cancel what was released");
    check_status(covey_then(c, ref, on_nothing, &i), COVEY_ESTALE, "then, of what was released");
    check_status(covey_next_message(c, ref, 0, &(covey_message){.size = 0}), COVEY_ESTALE,
                 "messages of what was released");
    check(*covey_why(c, ref), "why tells that it was released");
    const covey_ref never[] = {{0, 0}, {0, 1}, {1, 0}, {UINT32_MAX, UINT32_MAX}, {ref.index, ref.generation + 1}};
    for (size_t n = 0; n < sizeof never / sizeof *never; n++) {
        check_status(covey_get(c, never[n], -1, &value), COVEY_ESTALE, "get what never was");
        check_status(covey_release(c, never[n]), COVEY_ESTALE, "release what never was");
    }
    covey_release_all(c, never, sizeof never / sizeof *never);
    covey_release_all(c, NULL, 3);
    check_fails(c, covey_submit(c, "square", COVEY_ARGS(ref), NULL), COVEY_EDEPENDENCY, "released",
                "a task of what was released");
}

static void check_waits(covey *c)
{
    covey_value value;
    covey_ref never = covey_submit(c, "wait_for_cancel", COVEY_NONE, NULL);
    covey_ref done = covey_submit(c, "square", COVEY_ARGS(2), NULL);
    covey_ref both[] = {never, done};
    bool settled[2] = {true, false};
    check_status(covey_get(c, done, INT64_MAX, &value), COVEY_OK, "timeout INT64_MAX");
    check_status(covey_get(c, done, -1, &value), COVEY_OK, "timeout -1");
    check_status(covey_get(c, done, INT64_MIN, &value), COVEY_OK, "timeout INT64_MIN");
    check_status(covey_get(c, done, 0, &value), COVEY_OK, "timeout 0, there");
    check_status(covey_get(c, never, 0, &value), COVEY_ETIMEOUT, "timeout 0, not there");
    check_status(covey_get(c, never, 30, &value), COVEY_ETIMEOUT, "timeout 30");
    check_status(covey_wait(c, both, 2, 1, CHECK_GET_MS, settled), COVEY_OK, "wait 1 of 2");
    check(!settled[0] && settled[1], "and which one");
    check_status(covey_wait(c, both, 2, 2, 0, settled), COVEY_ETIMEOUT, "wait 2 of 2");
    check_status(covey_wait(c, both, 2, 3, 0, NULL), COVEY_EINVAL, "wait 3 of 2");
    check_status(covey_wait(c, NULL, 0, 0, -1, NULL), COVEY_OK, "wait for nothing");
    check_status(covey_wait(c, NULL, 2, 1, 0, NULL), COVEY_EINVAL, "wait for refs at NULL");
    check_status(covey_wait(c, both, 2, 0, 0, NULL), COVEY_OK, "wait 0 of 2");
    check_status(covey_answer(c, NULL, "", 0), COVEY_EINVAL, "answer no message");
    check_status(covey_answer(c, &(covey_message){.ref = done}, "", 0), COVEY_EINVAL, "answer no question");
    check_status(covey_next_message(c, done, 0, NULL), COVEY_EINVAL, "a message to NULL");
    check_status(covey_next_message(c, done, 0, &(covey_message){.size = 0}), COVEY_ECLOSED,
                 "a task that has ended says nothing more");
    covey_cancel(c, never, NULL);
    covey_release_all(c, both, 2);
}

/* ---- arguments ------------------------------------------------------------------------------- */

#define FAILS(status, text, task, ...)                                        \
    check_fails(c, covey_submit(c, task, __VA_ARGS__, NULL), COVEY_##status, text, task ": " #__VA_ARGS__)

static void check_arguments(covey *c)
{
    static char large[1000];
    memset(large, 'n', sizeof large - 1);
    int64_t numbers[2] = {1, 2};
    covey_arg nonsense = {.kind = (covey_kind)99};
    FAILS(EUNKNOWN, "did you mean \"square\"", "sqare", COVEY_ARGS(1));
    FAILS(EUNKNOWN, "no task", "something_else_entirely", COVEY_ARGS(1));
    FAILS(EUNKNOWN, "no task", "", COVEY_NONE);
    check_fails(c, covey_submit(c, NULL, COVEY_NONE, NULL), COVEY_EINVAL, "NULL", "a task named NULL");
    check_fails(c, covey_submit(c, "sq\xff", COVEY_NONE, NULL), COVEY_EINVAL, "UTF-8", "a name not UTF-8");
    check_fails(c, covey_submit(c, large, COVEY_NONE, NULL), COVEY_EINVAL, "255", "a name too long");
    FAILS(EUNKNOWN, "i65", "bad_signature", COVEY_ARGS(1, 2));
    FAILS(ESIGNATURE, "0 arguments", "square", COVEY_NONE);
    FAILS(ESIGNATURE, "2 arguments", "square", COVEY_ARGS(1, 2));
    FAILS(ESIGNATURE, "argument 0 is str", "square", COVEY_ARGS("3"));
    FAILS(ESIGNATURE, "1.5", "square", COVEY_ARGS(1.5));
    FAILS(ESIGNATURE, "nil", "square", COVEY_ARGS((const char *)NULL));
    FAILS(ESIGNATURE, "18446744073709551615", "square", COVEY_ARGS(UINT64_MAX));
    FAILS(ESIGNATURE, "bytes", "length", COVEY_ARGS(COVEY_SPAN(numbers, 2)));
    FAILS(ESIGNATURE, "9007199254740993", "half", COVEY_ARGS(INT64_C(9007199254740993)));
    FAILS(EINVAL, "UTF-8", "length", COVEY_ARGS("\xc0\x80"));
    FAILS(EINVAL, "99", "square", COVEY_ARRAY(&nonsense, 1));
    FAILS(EINVAL, "NULL", "square", COVEY_ARRAY((covey_arg *)NULL, 1));
    FAILS(ETOOBIG, "arguments", "square", COVEY_REFS((covey_ref *)NULL, SIZE_MAX));
    FAILS(EINVAL, "at NULL", "size_of", COVEY_ARGS(covey_span(NULL, 8, 0)));
    FAILS(ETOOBIG, "no room", "size_of", COVEY_ARGS(covey_span(numbers, SIZE_MAX, 0)));
    check_i64(c, covey_submit(c, "size_of", COVEY_ARGS(covey_span(numbers, 0, 0)), NULL), 0, "a span of nothing");
    check_i64(c, covey_submit(c, "size_of", COVEY_ARGS(covey_span(NULL, 0, 0)), NULL), 0, "no span at all");
    check_i64(c, covey_submit(c, "length", COVEY_ARGS("h\xc3\xa9"), NULL), 3, "UTF-8");

    covey_ref text = covey_submit(c, "hello", COVEY_NONE, NULL);
    check_fails(c, covey_submit(c, "square", COVEY_ARGS(text), NULL), COVEY_ESIGNATURE, "argument 0",
                "a ref whose value has another type");
    check_fails(c, covey_submit(c, "square", COVEY_ARGS(covey_handle(text)), NULL), COVEY_ESIGNATURE, "handle",
                "a handle where a value is wanted");
    /* What a task could only name before it exists: refs are not guessed. */
    covey_ref next = {1u << 20, 1};
    check_fails(c, covey_submit(c, "square", COVEY_ARGS(next), NULL), COVEY_EDEPENDENCY, "never was",
                "a cycle cannot be made");
    check(is_zero(covey_result(c, text, 1)), "a result that is not declared");
    covey_release(c, text);
}

static void check_sizes(covey *c)
{
    void *room;
    covey_ref ref;
    check_fails(c, covey_put(c, "x", SIZE_MAX), COVEY_ETOOBIG, "", "put SIZE_MAX");
    check_fails(c, covey_put(c, "x", SIZE_MAX / 2), COVEY_ETOOBIG, "larger --store", "put SIZE_MAX / 2");
    check_fails(c, covey_put(c, NULL, 8), COVEY_EINVAL, "NULL", "put NULL");
    check_fails(c, covey_put_object(c, NULL, NULL), COVEY_EINVAL, "packed", "put an object of no type");
    check_status(covey_create(c, SIZE_MAX, &room, &ref), COVEY_ETOOBIG, "create SIZE_MAX");
    check_status(covey_create(c, 8, NULL, NULL), COVEY_EINVAL, "create at NULL");
    const void *data;
    size_t size = 1;
    ref = covey_put(c, NULL, 0);
    check(covey_get_bytes(c, ref, 0, &data, &size) == COVEY_OK && size == 0, "put nothing, get nothing");
    covey_release(c, ref);
    check(covey_create(c, 0, &room, &ref) == COVEY_OK && covey_seal(c, ref) == COVEY_OK &&
              covey_get_bytes(c, ref, 0, &data, &size) == COVEY_OK && size == 0, "create nothing");
    check_status(covey_seal(c, ref), COVEY_EINVAL, "seal twice");
    covey_release(c, ref);
}

/* ---- options ----------------------------------------------------------------------------------- */

#define REFUSES(status, text, ...)                                            \
    check_fails(c, covey_submit(c, "square", COVEY_ARGS(1), COVEY_OPTS(__VA_ARGS__)), COVEY_##status, text, \
                "options " #__VA_ARGS__)

static void check_options(covey *c)
{
    const covey_resource tpu[] = {{"tpu", 1}, {NULL, 0}}, unnamed[] = {{"", 1}, {NULL, 0}};
    const covey_resource negative[] = {{"disk", -1}, {NULL, 0}};
    REFUSES(EIMPOSSIBLE, "cpu", .cpus = 1000);
    REFUSES(EIMPOSSIBLE, "gpu", .gpus = 1);
    REFUSES(EIMPOSSIBLE, "memory", .memory_bytes = UINT64_C(1) << 50);
    REFUSES(EIMPOSSIBLE, "tpu", .resources = tpu);
    REFUSES(EINVAL, "cpus", .cpus = NAN);
    REFUSES(EINVAL, "cpus", .cpus = -2);
    REFUSES(EINVAL, "cpus", .cpus = INFINITY);
    REFUSES(EINVAL, "0.001", .cpus = 1e-9);
    REFUSES(EINVAL, "gpus", .gpus = -1);
    REFUSES(EINVAL, "gpus", .gpus = NAN);
    REFUSES(EINVAL, "memory_bytes", .memory_bytes = UINT64_MAX);
    REFUSES(EINVAL, "disk", .resources = negative);
    REFUSES(EINVAL, "resource name", .resources = unnamed);
    REFUSES(EINVAL, "priority", .priority = 101);
    REFUSES(EINVAL, "retries", .retries = -2);
    REFUSES(EINVAL, "backoff", .backoff_ms = -1);
    REFUSES(EINVAL, "deadline", .deadline_ms = -1);
    REFUSES(EINVAL, "name", .name = "\xff\xfe");
    covey_opts no_size = {.cpus = 1}, huge = {.size = 100000};
    check_fails(c, covey_submit(c, "square", COVEY_ARGS(1), &no_size), COVEY_EINVAL, "size", "options without a size");
    check_fails(c, covey_submit(c, "square", COVEY_ARGS(1), &huge), COVEY_EINVAL, "size", "options of a later version");
    check_i64(c, covey_submit(c, "square", COVEY_ARGS(5), COVEY_OPTS(.cpus = COVEY_NO_CPU, .deadline_ms = INT64_MAX)),
              25, "no CPU, and a deadline at the end of time");
}

/* ---- closing while others wait ------------------------------------------------------------------- */

struct waiter { covey *c; covey_ref ref; covey_status status; pthread_t thread; };

static void *wait_long(void *arg)
{
    struct waiter *w = arg;
    covey_value value;
    w->status = covey_get(w->c, w->ref, -1, &value);
    return NULL;
}

/* Each of them hears of it; none waits on, none touches what is gone. */
static void check_close_under_waiters(covey *c)
{
    struct waiter waiters[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.c = c, .ref = covey_submit(c, "wait_for_cancel", COVEY_NONE, NULL)};
        pthread_create(&waiters[i].thread, NULL, wait_long, &waiters[i]);
    }
    int64_t start = check_now_ms();
    while (check_now_ms() - start < 50)
        check_nap();            /* they wait now, or are about to */
    start = check_now_ms();
    covey_close(&c);
    check(check_now_ms() - start < 5000, "close ends within 5 s");
    for (int i = 0; i < WAITERS; i++) {
        pthread_join(waiters[i].thread, NULL);
        check(waiters[i].status != COVEY_OK && waiters[i].status != COVEY_ETIMEOUT, "a thread that waited is told");
    }
}

/* ---- programs and places that do not work ----------------------------------------------------------- */

static void check_early_exit(void)
{
    setenv(EARLY_ENV, "1", 1);
    covey *c = check_open((covey_open_opts){0});
    int64_t start = check_now_ms();
    covey_ref ref = covey_submit(c, "square", COVEY_ARGS(1), NULL);
    check_fails(c, ref, COVEY_ESTART, "status 7", "a program that ends before covey_init()");
    check(strstr(covey_why(c, ref), "gone early"), "and its last line");
    check(check_now_ms() - start < START_MS, "told within %d ms", START_MS);
    covey_release(c, ref);
    covey_close(&c);
    unsetenv(EARLY_ENV);
    check_nothing_left("after a program that does not start");
}

static void check_no_open(const char *name, covey_open_opts o, const char *text)
{
    int64_t start = check_now_ms();
    o.size = o.size ? o.size : sizeof o;
    covey *c = covey_open(&o);
    bool ok = check(!c && strstr(covey_error(), text), "%s: does not open, and says why", name);
    if (!ok)
        check_note("%s; no \"%s\" in: %s", c ? "it opened" : "NULL", text, covey_error());
    check(check_now_ms() - start < START_MS, "%s: told within %d ms", name, START_MS);
    covey_close(&c);
}

static void check_bad_places(void)
{
    char dir[PATH_MAX], file[PATH_MAX], bin[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", getenv("COVEY_DIR"));
    snprintf(bin, sizeof bin, "%s", getenv("COVEY_BIN"));
    snprintf(file, sizeof file, "%s/file", getenv("TMPDIR"));
    close(open(file, O_WRONLY | O_CREAT, 0600));
    const covey_open_opts private = {.private_cluster = true, .cpus = 1};
    static const struct { const char *name, *dir; } dirs[] = {
        {"a directory that cannot be made", "/proc/covey"}, {"a relative directory", "c"},
        {"a directory too long", "/tmp/a-very-long-name-that-leaves-no-room-for-a-socket-in-the-hundred-and-eight-bytes"},
    };
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        setenv("COVEY_DIR", dirs[i].dir, 1);
        check_no_open(dirs[i].name, private, i == 0 ? "/proc/covey" : "COVEY_DIR");
    }
    setenv("COVEY_DIR", file, 1);
    check_no_open("a directory that is a file", private, file);
    setenv("COVEY_DIR", dir, 1);
    unlink(file);

    check_no_open("no cluster of that name", (covey_open_opts){.address = "local:nobody"}, "covey start");
    check_no_open("a name with a slash", (covey_open_opts){.address = "local:../x"}, "no name");
    check_no_open("an address of another kind", (covey_open_opts){.address = "carrier:pigeon"}, "local:NAME");
    check_no_open("options of a wrong size", (covey_open_opts){.size = 100000}, "size");
    check_no_open("a negative number of CPUs", (covey_open_opts){.private_cluster = true, .cpus = -1}, "cpus");
    check_no_open("no number of CPUs", (covey_open_opts){.private_cluster = true, .cpus = NAN}, "cpus");
    setenv("COVEY_BIN", "/bin/true", 1);
    check_no_open("a command that is not covey", private, "/bin/true");
    setenv("COVEY_BIN", "/nonexistent", 1);
    check_no_open("a command that is not there", private, "COVEY_BIN");
    setenv("COVEY_BIN", bin, 1);
    check_nothing_left("after places that do not work");
}

/* ---- another release of covey ------------------------------------------------------------ */

static char door_path[108];

static int find_door(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)type;
    if (S_ISSOCK(st->st_mode) && strcmp(path + at->base, "door") == 0)
        snprintf(door_path, sizeof door_path, "%s", path);
    return 0;
}

/* What a program of the next version would say at the node's door. */
static void check_another_release(void)
{
    static const uint8_t hello[] = {0x96, MSG_DOOR_HELLO, WIRE_VERSION + 1, 0, 0, 0, 0xa0};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char answer[1024] = "", want[64];
    nftw(getenv("COVEY_DIR"), find_door, 16, FTW_PHYS);
    memcpy(at.sun_path, door_path, sizeof at.sun_path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool ok = connect(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
              send(fd, hello, sizeof hello, MSG_NOSIGNAL) == (ssize_t)sizeof hello;
    ssize_t n = ok ? recv(fd, answer, sizeof answer - 1, 0) : 0;
    snprintf(want, sizeof want, "is %d, this side speaks %d", WIRE_VERSION + 1, WIRE_VERSION);
    check(n > 0 && memmem(answer, (size_t)n, want, strlen(want)), "a program of another release hears both versions");
    check(n > 0 && memmem(answer, (size_t)n, "covey start", 11), "and what to do");
    close(fd);
}

int main(void)
{
    if (getenv(EARLY_ENV)) {
        fputs("gone early\n", stderr);
        return EARLY_STATUS;
    }
    covey *c = check_open((covey_open_opts){0}), *none = NULL;
    check_refused(NULL, COVEY_EINVAL, "NULL");
    covey_close(NULL);
    covey_close(&none);
    check_no_context();
    check_refs(c);
    check_waits(c);
    check_arguments(c);
    check_sizes(c);
    check_options(c);
    check_another_release();
    check_close_under_waiters(c);
    check_nothing_left("after close");
    check_early_exit();
    check_bad_places();
    return check_end();
}
