/* api_use.c - what covey.h promises, kept by clusters with real processes.
 *
 * Sizes are those at which a queue, a stack or a frame that is bounded the wrong
 * way would show: thousands of tasks that wait for each other, more messages
 * than may be unread, a store without room.
 */
#include <poll.h>
#include <pthread.h>

#include "check.h"

#define CHAIN 2000
#define FAN_OUT 20000
#define REFS 5000
#define REFS_TOO_MANY 150000u   /* their records are more than one frame */
#define NEST 200
#define NEST_PROCESSES 4
#define UNREAD_MAX 256          /* as covey_post() says */
#define MESSAGES 1000
#define THREADS 4
#define THREAD_TASKS 500
#define OBJECT_BYTES (1u << 20) /* far more than what travels inline */
#define STORE_BYTES (UINT64_C(64) << 20)
#define PIECE_BYTES (UINT64_C(2) << 20)
#define PIECES 64               /* more than the store holds */
#define SETTLE_MS 50            /* for something that must not happen to have its chance */
#define SOON_MS 3000            /* less than the grace that nobody asked for */
#define GRACE_MS 50

/* ---- counters that tasks and the client share ------------------------------------------ */

static void counter_path(const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", getenv("TMPDIR"), name);
}

/* One byte more.  Returns how many there are, 0 on failure. */
static int64_t counter_add(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int64_t at = fd >= 0 && write(fd, "x", 1) == 1 ? lseek(fd, 0, SEEK_CUR) : 0;
    if (fd >= 0)
        close(fd);
    return at;
}

static int64_t counter_value(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static bool counter_reaches(const char *path, int64_t value)
{
    for (int64_t start = check_now_ms(); check_now_ms() - start < CHECK_GET_MS; check_nap())
        if (counter_value(path) >= value)
            return true;
    return false;
}

/* ---- tasks ------------------------------------------------------------------------------- */

COVEY_TASK(add_one, "i64 -> i64") { return covey_return_i64(ctx, covey_arg_i64(ctx, 0) + 1); }

COVEY_TASK(sum, "i64... -> i64")
{
    int64_t total = 0;
    for (size_t i = 0; i < covey_arg_count(ctx); i++)
        total += covey_arg_i64(ctx, i);
    return covey_return_i64(ctx, total);
}

COVEY_TASK(nest, "i64 -> i64")
{
    int64_t depth = covey_arg_i64(ctx, 0), below;
    if (depth == 0)
        return covey_return_i64(ctx, 0);
    covey *c = covey_self(ctx);
    covey_ref ref = covey_submit(c, "nest", COVEY_ARGS(depth - 1), NULL);
    if (covey_get_i64(c, ref, -1, &below) != COVEY_OK)
        return covey_fail(ctx, 1, "at %lld: %s", (long long)depth, covey_why(c, ref));
    covey_release(c, ref);
    return covey_return_i64(ctx, below + 1);
}

COVEY_TASK(get_handle, "handle -> i64")
{
    int64_t value;
    covey_ref ref = covey_arg_handle(ctx, 0);
    if (covey_get_i64(covey_self(ctx), ref, -1, &value) != COVEY_OK)
        return covey_fail(ctx, 1, "%s", covey_why(covey_self(ctx), ref));
    return covey_return_i64(ctx, value);
}

static covey_ref kept;          /* of the one worker that there is */

COVEY_TASK(keep, "handle ->")
{
    kept = covey_arg_handle(ctx, 0);
    covey_keep(ctx, kept);
    return covey_return_nil(ctx);
}

COVEY_TASK(use_kept, "-> i64 i64")
{
    int64_t value = 0;
    covey_status status = covey_get_i64(covey_self(ctx), kept, -1, &value);
    covey_return_i64(ctx, (int64_t)status);
    covey_release(covey_self(ctx), kept);
    return covey_return_i64(ctx, value);
}

COVEY_TASK(three, "-> i64 str bytes")
{
    covey_return_i64(ctx, 3);
    covey_return_str(ctx, "three");
    return covey_return_bytes(ctx, "\0\1\2", 3);
}

COVEY_TASK(wait_for_cancel, "->")
{
    while (!covey_cancelled(ctx))
        check_nap();
    return covey_return_nil(ctx);
}

/* Ends by a signal only; counts when it runs. */
COVEY_TASK(ignore_cancel, "str ->")
{
    counter_add(covey_arg_str(ctx, 0));
    for (;;)
        check_nap();
}

/* Counts when it runs, and when it is cancelled. */
COVEY_TASK(note_cancel, "str ->")
{
    counter_add(covey_arg_str(ctx, 0));
    while (!covey_cancelled(ctx))
        check_nap();
    counter_add(covey_arg_str(ctx, 0));
    return covey_return_nil(ctx);
}

COVEY_TASK(parent_of_note_cancel, "str ->")
{
    covey_value value;
    covey *c = covey_self(ctx);
    covey_ref ref = covey_submit(c, "note_cancel", COVEY_ARGS(covey_arg_str(ctx, 0)), NULL);
    return covey_get(c, ref, -1, &value) == COVEY_OK ? covey_return_nil(ctx) : covey_fail(ctx, 1, "no child");
}

COVEY_TASK(cancel_handle, "handle -> i64")
{
    return covey_return_i64(ctx, covey_cancel(covey_self(ctx), covey_arg_handle(ctx, 0), NULL));
}

COVEY_TASK(fail_until, "u64 -> u64")
{
    unsigned attempt = covey_attempt(ctx);
    return attempt < covey_arg_u64(ctx, 0) ? covey_fail(ctx, 5, "too early") : covey_return_u64(ctx, attempt);
}

COVEY_TASK(die_until, "u64 -> u64")
{
    if (covey_attempt(ctx) < covey_arg_u64(ctx, 0))
        _exit(1);
    return covey_return_u64(ctx, covey_attempt(ctx));
}

COVEY_TASK(count, "str -> i64") { return covey_return_i64(ctx, counter_add(covey_arg_str(ctx, 0))); }

/* ---- many ---------------------------------------------------------------------------------- */

static void check_nesting(void)
{
    covey *c = check_open((covey_open_opts){.processes_max = NEST_PROCESSES});
    covey_ref ref = covey_submit(c, "nest", COVEY_ARGS(NEST), NULL);
    check_i64(c, ref, NEST, "200 nested gets by at most 4 processes");
    covey_release(c, ref);
    covey_close(&c);
}

/* Whoever waits gets what lies queued behind it, also where one process is all. */
static void check_behind_waiter(uint32_t processes_max)
{
    covey *c = check_open((covey_open_opts){.cpus = 1, .processes_max = processes_max});
    covey_ref first = covey_submit(c, "add_one", COVEY_ARGS(0), NULL);
    check_i64(c, first, 1, "a worker is there");
    for (int i = 0; i < 20; i++) {
        covey_ref gate = covey_submit(c, "add_one", COVEY_ARGS(i), NULL);
        covey_ref late = covey_submit(c, "add_one", COVEY_ARGS(gate), NULL);
        covey_ref waiter = covey_submit(c, "get_handle", COVEY_ARGS(covey_handle(late)), NULL);
        covey_ref behind = covey_submit(c, "add_one", COVEY_ARGS(i), NULL);
        covey_ref other = covey_submit(c, "get_handle", COVEY_ARGS(covey_handle(behind)), NULL);
        int64_t a = 0, b = 0;
        bool ok = covey_get_i64(c, waiter, CHECK_GET_MS, &a) == COVEY_OK && a == i + 2 &&
                  covey_get_i64(c, other, CHECK_GET_MS, &b) == COVEY_OK && b == i + 1;
        if (!ok || i == 19)
            check(ok, "processes_max %u: a task queued behind its waiter runs", processes_max);
        if (!ok) {
            check_note("%s%s", covey_why(c, waiter), covey_why(c, other));
            break;
        }
        covey_release_all(c, (covey_ref[]){gate, late, waiter, behind, other}, 5);
    }
    covey_release(c, first);
    covey_close(&c);
}

static void check_chain(covey *c)
{
    covey_ref last = covey_submit(c, "add_one", COVEY_ARGS(0), NULL);
    for (int i = 1; i < CHAIN; i++) {
        covey_ref next = covey_submit(c, "add_one", COVEY_ARGS(last), NULL);
        covey_release(c, last);
        last = next;
    }
    check_i64(c, last, CHAIN, "a chain of 2,000 tasks");
    covey_release(c, last);
}

static void check_fan_out(covey *c)
{
    static covey_ref refs[FAN_OUT];
    int64_t good = 0, value;
    for (int i = 0; i < FAN_OUT; i++)
        refs[i] = covey_submit(c, "add_one", COVEY_ARGS(i), NULL);
    for (int i = 0; i < FAN_OUT; i++)
        good += covey_get_i64(c, refs[i], CHECK_GET_MS, &value) == COVEY_OK && value == i + 1;
    check(good == FAN_OUT, "20,000 tasks, each with its own value");
    covey_ref total = covey_submit(c, "sum", COVEY_REFS(refs, REFS), NULL);
    check_i64(c, total, (int64_t)REFS * (REFS + 1) / 2, "5,000 refs to one task");
    covey_release(c, total);
    covey_release_all(c, refs, FAN_OUT);
}

static void check_too_many_refs(covey *c)
{
    covey_ref one = covey_submit(c, "add_one", COVEY_ARGS(0), NULL);
    covey_ref *refs = calloc(REFS_TOO_MANY, sizeof *refs);
    for (size_t i = 0; refs && i < REFS_TOO_MANY; i++)
        refs[i] = one;
    covey_ref total = covey_submit(c, "sum", COVEY_REFS(refs, REFS_TOO_MANY), NULL);
    check_fails(c, total, COVEY_ETOOBIG, "", "150,000 refs to one task are too many");
    covey_release_all(c, (covey_ref[]){one, total}, 2);
    free(refs);
    covey_ref after = covey_submit(c, "add_one", COVEY_ARGS(1), NULL);
    check_i64(c, after, 2, "and the next task runs");
    covey_release(c, after);
}

struct sharer { covey *c; int good; pthread_t thread; };

static void *share(void *arg)
{
    struct sharer *s = arg;
    int64_t value;
    for (int i = 0; i < THREAD_TASKS; i++) {
        covey_ref ref = covey_submit(s->c, "add_one", COVEY_ARGS(i), NULL);
        s->good += covey_get_i64(s->c, ref, CHECK_GET_MS, &value) == COVEY_OK && value == i + 1 &&
                   covey_release(s->c, ref) == COVEY_OK;
    }
    return NULL;
}

static void check_threads(covey *c)
{
    struct sharer sharers[THREADS];
    int good = 0;
    for (int i = 0; i < THREADS; i++) {
        sharers[i] = (struct sharer){.c = c};
        pthread_create(&sharers[i].thread, NULL, share, &sharers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(sharers[i].thread, NULL);
        good += sharers[i].good;
    }
    check(good == THREADS * THREAD_TASKS, "4 threads share one handle");
}

/* ---- results and handles ----------------------------------------------------------------------- */

static void check_results(covey *c)
{
    const char *s = "";
    const void *data = NULL;
    size_t size = 0;
    covey_ref number = covey_submit(c, "three", COVEY_NONE, NULL);
    covey_ref text = covey_result(c, number, 1), bytes = covey_result(c, number, 2);
    check_i64(c, number, 3, "result 0");
    covey_release(c, number);
    check(covey_get_str(c, text, CHECK_GET_MS, &s) == COVEY_OK && strcmp(s, "three") == 0, "result 1");
    check(covey_get_bytes(c, bytes, CHECK_GET_MS, &data, &size) == COVEY_OK && size == 3 &&
              memcmp(data, "\0\1\2", 3) == 0, "result 2, when result 0 is released");
    covey_release_all(c, (covey_ref[]){text, bytes}, 2);
}

static void check_keep(void)
{
    covey *c = check_open((covey_open_opts){.cpus = 1, .processes_max = 1});
    covey_value value;
    covey_ref ref = covey_submit(c, "add_one", COVEY_ARGS(41), NULL);
    covey_ref keeper = covey_submit(c, "keep", COVEY_ARGS(covey_handle(ref)), NULL);
    check_status(covey_get(c, keeper, CHECK_GET_MS, &value), COVEY_OK, "a task keeps a handle");
    covey_release_all(c, (covey_ref[]){ref, keeper}, 2);
    covey_ref user = covey_submit(c, "use_kept", COVEY_NONE, NULL), got = covey_result(c, user, 1);
    check_i64(c, user, COVEY_OK, "a later task of that process gets it");
    check_i64(c, got, 42, "though its owner has released it");
    covey_release_all(c, (covey_ref[]){user, got}, 2);
    covey_close(&c);
}

static void check_wait(covey *c)
{
    covey_ref refs[5];
    bool settled[5];
    for (int i = 0; i < 5; i++)
        refs[i] = i % 2 ? covey_submit(c, "wait_for_cancel", COVEY_NONE, COVEY_OPTS(.cpus = COVEY_NO_CPU))
                        : covey_submit(c, "add_one", COVEY_ARGS(i), NULL);
    check_status(covey_wait(c, refs, 5, 3, CHECK_GET_MS, settled), COVEY_OK, "wait for 3 of 5");
    check(settled[0] && !settled[1] && settled[2] && !settled[3] && settled[4], "and which");
    check_status(covey_wait(c, refs, 5, 4, SETTLE_MS, NULL), COVEY_ETIMEOUT, "a fourth does not come");
    covey_cancel(c, refs[1], NULL);
    check_status(covey_wait(c, refs, 5, 4, CHECK_GET_MS, settled), COVEY_OK, "until it is cancelled");
    check(settled[1] && !settled[3], "that one and no other");
    covey_cancel(c, refs[3], NULL);
    check_status(covey_wait(c, refs, 5, 5, CHECK_GET_MS, NULL), COVEY_OK, "wait for all");
    covey_release_all(c, refs, 5);
}

static void on_settled(covey *c, covey_ref ref, covey_status status, void *arg)
{
    int64_t value;
    if (status == COVEY_OK && covey_get_i64(c, ref, 0, &value) == COVEY_OK)
        *(int64_t *)arg += value;
}

static void check_dispatch(covey *c)
{
    covey_ref refs[10];
    int64_t total = 0, never = 0;
    int ran = 0;
    for (int i = 0; i < 10; i++) {
        refs[i] = covey_submit(c, "add_one", COVEY_ARGS(i), NULL);
        covey_then(c, refs[i], on_settled, &total);
    }
    covey_ref gone = covey_submit(c, "add_one", COVEY_ARGS(0), NULL);
    covey_then(c, gone, on_settled, &never);
    covey_release(c, gone);
    struct pollfd p = {.fd = covey_fd(c), .events = POLLIN};
    for (int64_t start = check_now_ms(); ran < 10 && check_now_ms() - start < CHECK_GET_MS;)
        if (poll(&p, 1, CHECK_GET_MS) > 0)
            ran += covey_dispatch(c);
    check(ran == 10 && total == 55, "callbacks run when the descriptor says so");
    check(never == 0, "not of what was released");
    covey_then(c, refs[9], on_settled, &never);
    for (int64_t start = check_now_ms(); never == 0 && check_now_ms() - start < CHECK_GET_MS;)
        if (poll(&p, 1, CHECK_GET_MS) > 0)
            covey_dispatch(c);
    check(never == 10, "also of what had settled before");
    covey_release_all(c, refs, 10);
}
