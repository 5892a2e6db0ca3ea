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

/* Its work is not done: it says so. */
COVEY_TASK(wait_for_cancel, "->")
{
    while (!covey_cancelled(ctx))
        check_nap();
    return covey_fail(ctx, 1, "stopped");
}

/* Ends by a signal only; counts when it runs. */
COVEY_TASK(ignore_cancel, "str ->")
{
    counter_add(covey_arg_str(ctx, 0));
    while (counter_value(covey_arg_str(ctx, 0)) > 0)
        check_nap();
    return covey_return_nil(ctx);
}

/* Counts when it runs, and when it is cancelled. */
COVEY_TASK(note_cancel, "str ->")
{
    counter_add(covey_arg_str(ctx, 0));
    while (!covey_cancelled(ctx))
        check_nap();
    counter_add(covey_arg_str(ctx, 0));
    return covey_fail(ctx, 1, "stopped");
}

COVEY_TASK(parent_of_note_cancel, "str ->")
{
    covey_value value;
    covey *c = covey_self(ctx);
    covey_ref ref = covey_submit(c, "note_cancel", COVEY_ARGS(covey_arg_str(ctx, 0)), NULL);
    return covey_get(c, ref, -1, &value) == COVEY_OK ? covey_return_nil(ctx)
                                                        : covey_fail(ctx, 1, "%s", covey_why(c, ref));
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

/* ---- objects ------------------------------------------------------------------------------------- */

/* @data lies in memory that processes share, and is not a copy of this one's. */
static bool is_shared(const void *data)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4200], mode[8];
    unsigned long from, to;
    bool shared = false;
    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) == 3 && (uintptr_t)data >= from && (uintptr_t)data < to)
            shared = mode[3] == 's';
    if (maps)
        fclose(maps);
    return shared;
}

static void fill(void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)data)[i] = (unsigned char)(i * 7 + i / 256);
}

static bool is_filled(const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)data)[i] != (unsigned char)(i * 7 + i / 256))
            return false;
    return true;
}

COVEY_TASK(look, "bytes -> i64")
{
    size_t size;
    const void *data = covey_arg_bytes(ctx, 0, &size);
    return covey_return_i64(ctx, size == OBJECT_BYTES && is_filled(data, size) ? 1 + is_shared(data) : 0);
}

COVEY_TASK(make, "-> bytes")
{
    void *data;
    covey_status status = covey_return_create(ctx, OBJECT_BYTES, &data);
    if (status == COVEY_OK)
        fill(data, OBJECT_BYTES);
    return status;
}

static void check_bytes(covey *c)
{
    static unsigned char bytes[OBJECT_BYTES];
    const void *data;
    void *room;
    size_t size;
    covey_ref created = {0, 0}, refs[3];
    fill(bytes, sizeof bytes);
    refs[0] = covey_put(c, bytes, sizeof bytes);
    refs[1] = covey_submit(c, "make", COVEY_NONE, NULL);
    check_status(covey_create(c, OBJECT_BYTES, &room, &created), COVEY_OK, "create");
    refs[2] = created;
    covey_ref early = covey_submit(c, "look", COVEY_ARGS(created), NULL);
    check((uintptr_t)room % 64 == 0, "what is created is aligned");
    check_status(covey_wait(c, &early, 1, 1, SETTLE_MS, NULL), COVEY_ETIMEOUT, "a task waits for the seal");
    fill(room, OBJECT_BYTES);
    check_status(covey_seal(c, created), COVEY_OK, "seal");
    check_i64(c, early, 2, "and then sees the bytes");
    static const char *const how[] = {"put", "returned", "created"};
    for (int i = 0; i < 3; i++) {
        check(covey_get_bytes(c, refs[i], CHECK_GET_MS, &data, &size) == COVEY_OK && size == OBJECT_BYTES &&
                  is_filled(data, size) && is_shared(data), "bytes that were %s: got without a copy", how[i]);
        covey_ref looked = covey_submit(c, "look", COVEY_ARGS(refs[i]), NULL);
        check_i64(c, looked, 2, "a task reads them without a copy");
        covey_release(c, looked);
    }
    covey_release_all(c, refs, 3);
    covey_release(c, early);
}

struct bird { char *name; int32_t age; };
static int birds_dropped;

static size_t bird_pack(const void *object, void *buf, size_t cap)
{
    const struct bird *b = object;
    size_t size = sizeof b->age + strlen(b->name);
    if (size <= cap) {
        memcpy(buf, &b->age, sizeof b->age);
        memcpy((char *)buf + sizeof b->age, b->name, size - sizeof b->age);
    }
    return size;
}

static void *bird_unpack(const void *data, size_t size)
{
    struct bird *b = size >= sizeof b->age ? calloc(1, sizeof *b) : NULL;
    if (!b)
        return NULL;
    memcpy(&b->age, data, sizeof b->age);
    b->name = strndup((const char *)data + sizeof b->age, size - sizeof b->age);
    return b;
}

static void bird_drop(void *object)
{
    struct bird *b = object;
    birds_dropped++;
    free(b->name);
    free(b);
}

static const covey_type bird_type = {"bird", bird_pack, bird_unpack, bird_drop};

COVEY_TASK(grow_older, "bytes bytes -> bytes")
{
    struct bird *b = covey_arg_object(ctx, 0, &bird_type), *by = covey_arg_object(ctx, 1, &bird_type);
    if (!b || !by || covey_arg_object(ctx, 0, &bird_type) != b)
        return covey_fail(ctx, 1, "unpacked twice, or not");
    struct bird older = {.name = b->name, .age = b->age + by->age};
    return covey_return_object(ctx, &bird_type, &older);
}

static void check_objects(covey *c)
{
    static char name[200000];
    memset(name, 'q', sizeof name - 1);
    struct bird quail = {.name = name, .age = 3}, year = {.name = name + sizeof name - 1, .age = 1};
    void *got = NULL;
    covey_ref put = covey_put_object(c, &bird_type, &quail);
    covey_ref older = covey_submit(c, "grow_older", COVEY_ARGS(put, covey_object(&bird_type, &year)), NULL);
    check_status(covey_get_object(c, older, CHECK_GET_MS, &bird_type, &got), COVEY_OK, "an object comes back");
    const struct bird *b = got;
    check(b && b->age == 4 && strcmp(b->name, name) == 0, "as the task made it");
    if (got)
        bird_drop(got);
    covey_release_all(c, (covey_ref[]){put, older}, 2);
    covey_ref small = covey_put(c, "xx", 2);
    check_status(covey_get_object(c, small, CHECK_GET_MS, &bird_type, &got), COVEY_ETYPE, "what does not unpack");
    check(birds_dropped == 1, "only what was unpacked is dropped");
    covey_release(c, small);
}

/* ---- stores without room ---------------------------------------------------------------------------- */

/* What was released before is with the node when this returns. */
static void round_trip(covey *c)
{
    int64_t value;
    covey_ref ref = covey_submit(c, "add_one", COVEY_ARGS(0), NULL);
    if (covey_get_i64(c, ref, CHECK_GET_MS, &value) != COVEY_OK)
        check_note("%s", covey_why(c, ref));
    covey_release(c, ref);
}

static void check_store_full(void)
{
    static char bytes[STORE_BYTES / 2];
    covey *c = check_open((covey_open_opts){.store_bytes = STORE_BYTES});
    covey_ref pieces[PIECES];
    int n = 0;
    covey_status status = COVEY_OK;
    covey_value value;
    while (n < PIECES && status == COVEY_OK) {
        pieces[n] = covey_put(c, bytes, PIECE_BYTES - 4096);
        status = covey_get(c, pieces[n++], CHECK_GET_MS, &value);
    }
    check_status(status, COVEY_ESTOREFULL, "a full store");
    check(n > PIECES / 4, "is used before it is full");
    covey_release(c, pieces[--n]);
    for (int i = 1; i < n; i += 2)
        covey_release(c, pieces[i]);
    round_trip(c);
    check_fails(c, covey_put(c, bytes, STORE_BYTES / 4), COVEY_EFRAGMENTED, "fragmented",
                "room, but not in one piece");
    for (int i = 0; i < n; i += 2)
        covey_release(c, pieces[i]);
    round_trip(c);
    covey_ref half = covey_put(c, bytes, sizeof bytes);
    check_status(covey_get(c, half, CHECK_GET_MS, &value), COVEY_OK, "and when all is released");
    covey_close(&c);
}

/* One small object lives in each extent, and half the store is wanted. */
static void check_store_fragmented(void)
{
    enum { IN_EXTENT = 4, COUNT = PIECES * IN_EXTENT };
    static char bytes[STORE_BYTES / 2];
    static covey_ref refs[COUNT];
    covey *c = check_open((covey_open_opts){.store_bytes = STORE_BYTES});
    int n = 0;
    covey_status status = COVEY_OK;
    covey_value value;
    while (n < COUNT && status == COVEY_OK) {
        refs[n] = covey_put(c, bytes, PIECE_BYTES / IN_EXTENT - 4096);
        status = covey_get(c, refs[n++], CHECK_GET_MS, &value);
    }
    check_status(status, COVEY_ESTOREFULL, "a store full of small objects");
    covey_release(c, refs[--n]);
    for (int i = 0; i < n; i++)
        if (i % IN_EXTENT)
            covey_release(c, refs[i]);
    round_trip(c);
    covey_ref half = covey_put(c, bytes, sizeof bytes);
    check_fails(c, half, COVEY_EFRAGMENTED, "it is fragmented", "one live object in each extent");
    check_fails(c, half, COVEY_EFRAGMENTED, " live objects of about ", "and who keeps it is told");
    covey_release(c, half);
    for (int i = 0; i < n; i += IN_EXTENT)
        covey_release(c, refs[i]);
    round_trip(c);
    half = covey_put(c, bytes, sizeof bytes);
    check_status(covey_get(c, half, CHECK_GET_MS, &value), COVEY_OK, "room again once those are gone");
    covey_close(&c);
}

/* ---- messages ------------------------------------------------------------------------------------------ */

COVEY_TASK(post_many, "i64 str -> i64")
{
    int64_t n = covey_arg_i64(ctx, 0), sent = 0;
    while (sent < n && covey_post(ctx, &sent, sizeof sent) == COVEY_OK) {
        counter_add(covey_arg_str(ctx, 1));
        sent++;
    }
    return sent == n ? covey_return_i64(ctx, sent) : covey_fail(ctx, 1, "stopped");
}

COVEY_TASK(ask_double, "i64 -> i64")
{
    int64_t x = covey_arg_i64(ctx, 0), y = 0;
    const void *answer;
    size_t size;
    covey_post(ctx, "before", 6);
    covey_status status = covey_ask(ctx, &x, sizeof x, CHECK_GET_MS, &answer, &size);
    if (status != COVEY_OK || size != sizeof y)
        return covey_fail(ctx, 1, "ask: %s", covey_strerror(status));
    memcpy(&y, answer, sizeof y);
    return covey_return_i64(ctx, y);
}

struct heard { int posts, questions; };

static void on_message(covey *c, const covey_message *m, void *arg)
{
    struct heard *h = arg;
    int64_t x;
    if (!m->question) {
        h->posts += m->size == 6 && memcmp(m->data, "before", 6) == 0;
        return;
    }
    memcpy(&x, m->data, sizeof x);
    x *= 2;
    h->questions += covey_answer(c, m, &x, sizeof x) == COVEY_OK;
}

static void check_messages(covey *c)
{
    char path[4200];
    covey_message m = {.size = 0};
    counter_path("posted", path, sizeof path);
    covey_ref ref = covey_submit(c, "post_many", COVEY_ARGS(MESSAGES, path), NULL);
    check(counter_reaches(path, UNREAD_MAX), "messages go out before one is read");
    check_status(covey_wait(c, &ref, 1, 1, SETTLE_MS, NULL), COVEY_ETIMEOUT, "but not all");
    check(counter_value(path) <= UNREAD_MAX + 1, "at most 256 are unread");
    bool ordered = true;
    for (int64_t i = 0, got = -1; i < MESSAGES && ordered; i++) {
        ordered = covey_next_message(c, ref, CHECK_GET_MS, &m) == COVEY_OK && m.size == sizeof got;
        if (ordered)
            memcpy(&got, m.data, sizeof got);
        ordered = ordered && got == i;
    }
    check(ordered, "1,000 messages in order");
    check_status(covey_next_message(c, ref, CHECK_GET_MS, &m), COVEY_ECLOSED, "and then no more");
    check_i64(c, ref, MESSAGES, "the task that sent them");
    covey_release(c, ref);
    unlink(path);

    ref = covey_submit(c, "post_many", COVEY_ARGS(MESSAGES, path), NULL);
    check(counter_reaches(path, UNREAD_MAX), "another waits for a reader");
    int64_t start = check_now_ms();
    covey_cancel(c, ref, NULL);
    check_fails(c, ref, COVEY_ECANCELLED, "", "and is cancelled");
    check(check_now_ms() - start < SOON_MS, "at once");
    covey_release(c, ref);
    unlink(path);

    struct heard heard = {0};
    ref = covey_submit(c, "ask_double", COVEY_ARGS(21), NULL);
    while (covey_next_message(c, ref, CHECK_GET_MS, &m) == COVEY_OK)
        on_message(c, &m, &heard);
    check_i64(c, ref, 42, "a question, answered after next_message");
    check(heard.posts == 1 && heard.questions == 1, "after what was said before");
    covey_release(c, ref);
    ref = covey_submit(c, "ask_double", COVEY_ARGS(4), COVEY_OPTS(.on_message = on_message, .arg = &heard));
    check_i64(c, ref, 8, "a question, answered by a callback");
    check(heard.posts == 2 && heard.questions == 2, "which hears all");
    covey_release(c, ref);
}

/* ---- ends before the end ---------------------------------------------------------------------------------- */

static void check_cancel(covey *c)
{
    char path[4200];
    int64_t start = check_now_ms();
    covey_ref runs = covey_submit(c, "wait_for_cancel", COVEY_NONE, NULL);
    covey_ref pending = covey_submit(c, "sum", COVEY_ARGS(runs), NULL);
    covey_cancel(c, pending, NULL);
    check_fails(c, pending, COVEY_ECANCELLED, "", "cancel what is pending");
    covey_ref by = covey_submit(c, "cancel_handle", COVEY_ARGS(covey_handle(runs)), NULL);
    check_i64(c, by, COVEY_OK, "cancel by another task");
    check_fails(c, runs, COVEY_ECANCELLED, "", "what runs sees it and returns");
    check(check_now_ms() - start < SOON_MS, "both soon");
    covey_release_all(c, (covey_ref[]){runs, pending, by}, 3);

    counter_path("stubborn", path, sizeof path);
    covey_ref stubborn = covey_submit(c, "ignore_cancel", COVEY_ARGS(path), NULL);
    check(counter_reaches(path, 1), "a task that does not look");
    start = check_now_ms();
    covey_cancel(c, stubborn, &(covey_cancel_opts){.size = sizeof(covey_cancel_opts), .grace_ms = GRACE_MS});
    check_fails(c, stubborn, COVEY_ECANCELLED, "", "is killed after its grace");
    check(check_now_ms() - start < SOON_MS, "which was short");
    covey_release(c, stubborn);
    unlink(path);

    counter_path("child", path, sizeof path);
    covey_ref parent = covey_submit(c, "parent_of_note_cancel", COVEY_ARGS(path), NULL);
    check(counter_reaches(path, 1), "a task's own task runs");
    covey_cancel(c, parent, &(covey_cancel_opts){.size = sizeof(covey_cancel_opts), .recursive = true});
    check_fails(c, parent, COVEY_ECANCELLED, "", "its parent is cancelled");
    check(counter_reaches(path, 2), "and it with it");
    covey_release(c, parent);
    unlink(path);
}

static void check_deadline(covey *c)
{
    int64_t start = check_now_ms();
    covey_ref runs = covey_submit(c, "wait_for_cancel", COVEY_NONE, COVEY_OPTS(.deadline_ms = GRACE_MS));
    covey_ref pending = covey_submit(c, "sum", COVEY_ARGS(runs), NULL);
    covey_ref early = covey_submit(c, "add_one", COVEY_ARGS(1), COVEY_OPTS(.deadline_ms = CHECK_GET_MS));
    check_fails(c, runs, COVEY_EDEADLINE, "", "a deadline ends what runs");
    check(check_now_ms() - start >= GRACE_MS, "not before");
    check(check_now_ms() - start < SOON_MS, "and soon after");
    check_fails(c, pending, COVEY_EDEPENDENCY, "deadline", "what needs it is told");
    check_i64(c, early, 2, "what ends in time has its value");
    covey_release_all(c, (covey_ref[]){runs, pending, early}, 3);
}

static void check_retries(covey *c)
{
    const uint32_t failures = COVEY_RETRY_FAILURE;
    covey_ref refs[] = {
        covey_submit(c, "fail_until", COVEY_ARGS(3), COVEY_OPTS(.retries = 4, .retry_on = failures, .backoff_ms = 1)),
        covey_submit(c, "fail_until", COVEY_ARGS(9), COVEY_OPTS(.retries = 2, .retry_on = failures, .backoff_ms = 1)),
        covey_submit(c, "fail_until", COVEY_ARGS(2), COVEY_OPTS(.retries = 4, .backoff_ms = 1)),
        covey_submit(c, "die_until", COVEY_ARGS(4), COVEY_OPTS(.backoff_ms = 1)),
        covey_submit(c, "die_until", COVEY_ARGS(9), COVEY_OPTS(.retries = 1, .backoff_ms = 1)),
        covey_submit(c, "die_until", COVEY_ARGS(2), COVEY_OPTS(.retries = -1)),
        covey_submit(c, "die_until", COVEY_ARGS(2), COVEY_OPTS(.retries = 3, .retry_on = failures)),
    };
    check_i64(c, refs[0], 3, "a failure is tried again");
    check_fails(c, refs[1], COVEY_ETASK, "attempt 3 of 3", "as often as was asked");
    check_fails(c, refs[2], COVEY_ETASK, "attempt 1 of", "and only if it was asked");
    check_i64(c, refs[3], 4, "three deaths are survived without asking");
    check_fails(c, refs[4], COVEY_EWORKER, "attempt 2 of 2", "one, with one retry");
    check_fails(c, refs[5], COVEY_EWORKER, "attempt 1 of 1", "none, without");
    check_fails(c, refs[6], COVEY_EWORKER, "attempt 1 of", "nor if retries are for failures");
    covey_release_all(c, refs, sizeof refs / sizeof *refs);
}

static void check_priorities(void)
{
    char path[4200], hold[4200];
    covey *c = check_open((covey_open_opts){.cpus = 1});
    counter_path("order", path, sizeof path);
    counter_path("hold", hold, sizeof hold);
    covey_ref holder = covey_submit(c, "note_cancel", COVEY_ARGS(hold), NULL), refs[5];
    check(counter_reaches(hold, 1), "the one CPU is taken");
    for (int i = 0; i < 5; i++)
        refs[i] = covey_submit(c, "count", COVEY_ARGS(path), COVEY_OPTS(.priority = (i - 2) * 50));
    check_status(covey_wait(c, refs, 5, 1, SETTLE_MS, NULL), COVEY_ETIMEOUT, "others wait");
    covey_cancel(c, holder, NULL);
    for (int i = 0; i < 5; i++)
        check_i64(c, refs[i], 5 - i, "the higher priority comes first");
    covey_release_all(c, refs, 5);
    covey_close(&c);
    unlink(path);
    unlink(hold);
}

/* ---- commands ------------------------------------------------------------------------------------------------ */

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define COMMAND(...) covey_submit_command(c, &(covey_command){.size = sizeof(covey_command), __VA_ARGS__}, NULL)

/* Takes @ref.  Result @index, as text, into @out. */
static void command_text(covey *c, covey_ref ref, unsigned index, char *out, size_t size)
{
    const void *data = "";
    size_t len = 0;
    covey_ref result = covey_result(c, ref, index);
    if (covey_get_bytes(c, result, CHECK_GET_MS, &data, &len) != COVEY_OK)
        len = 0;
    snprintf(out, size, "%.*s", (int)len, (const char *)data);
    covey_release(c, result);
}

static void check_text(covey *c, covey_ref ref, unsigned index, const char *want, const char *name)
{
    char text[4200];
    command_text(c, ref, index, text, sizeof text);
    if (!check(strcmp(text, want) == 0, "%s", name))
        check_note("\"%s\", not \"%s\"; %s", text, want, covey_why(c, ref));
}

static void check_command_files(covey *c)
{
    static const char script[] = "printf '%s|%s' \"$1\" \"$WHO\"; cat >&2; cat a b > out; rm a; echo x > 'two words'";
    char dir[4200];
    covey_ref made = covey_submit(c, "make", COVEY_NONE, NULL);
    covey_ref ref = COMMAND(.argv = ARGV("sh", "-c", script, "sh", "an 'argument' $HOME"), .env = ARGV("WHO=me"),
                            .inputs = (const covey_arg[]){COVEY_ARG("first "), covey_span("second", 6, 0)},
                            .input_names = ARGV("a", "b"), .outputs = ARGV("out", "two words"),
                            .stdin_data = "to stdin", .stdin_size = 8);
    check_i64(c, ref, 0, "a command");
    check_text(c, ref, 1, "an 'argument' $HOME|me", "its arguments, environment and output");
    check_text(c, ref, 2, "to stdin", "its input and errors");
    check_text(c, ref, 3, "first second", "its files");
    check_text(c, ref, 4, "x\n", "each of them");
    covey_release(c, ref);
    ref = COMMAND(.argv = ARGV("sh", "-c", "wc -c < in | tr -d ' \n'"),
                  .inputs = (const covey_arg[]){COVEY_ARG(made)}, .input_names = ARGV("in"));
    check_text(c, ref, 1, "1048576", "a task's result as a command's file");
    covey_release_all(c, (covey_ref[]){ref, made}, 2);

    ref = COMMAND(.argv = ARGV("pwd"));
    command_text(c, ref, 1, dir, sizeof dir);
    covey_release(c, ref);
    dir[strcspn(dir, "\n")] = 0;
    check(dir[0] == '/', "a directory of its own");
    int64_t start = check_now_ms();
    while (access(dir, F_OK) == 0 && check_now_ms() - start < SOON_MS)
        check_nap();
    check(access(dir, F_OK) != 0, "which does not stay");
    ref = COMMAND(.argv = ARGV("sh", "-c", "[ . -ef \"$TMPDIR\" ] && printf there"), .cwd = getenv("TMPDIR"));
    check_text(c, ref, 1, "there", "or the one that was asked for");
    covey_release(c, ref);
}

static void check_commands(covey *c)
{
    char path[4200];
    check_command_files(c);
    covey_ref ref = COMMAND(.argv = ARGV("sh", "-c", "echo last words >&2; exit 7"));
    check_fails(c, ref, COVEY_EEXIT, "last words", "a status that is not 0");
    covey_release(c, ref);
    ref = COMMAND(.argv = ARGV("sh", "-c", "echo last words >&2; exit 7"), .any_exit = true);
    check_i64(c, ref, 7, "the same with any_exit");
    check_text(c, ref, 2, "last words\n", "and what it wrote");
    covey_release(c, ref);

    counter_path("command", path, sizeof path);
    ref = COMMAND(.argv = ARGV("sh", "-c", "printf x > \"$1\"; sleep 1000; :", "sh", path));
    check(counter_reaches(path, 1), "a command that does not end");
    int64_t start = check_now_ms();
    covey_cancel(c, ref, NULL);
    check_fails(c, ref, COVEY_ECANCELLED, "", "is cancelled");
    check(check_now_ms() - start < SOON_MS, "by SIGTERM");
    covey_release(c, ref);
    unlink(path);
}

int main(void)
{
    covey *c = check_open((covey_open_opts){0});
    check_something_runs();
    check_results(c);
    check_wait(c);
    check_dispatch(c);
    check_bytes(c);
    check_objects(c);
    check_messages(c);
    check_cancel(c);
    check_deadline(c);
    check_retries(c);
    check_commands(c);
    check_chain(c);
    check_fan_out(c);
    check_threads(c);
    check_too_many_refs(c);
    covey_close(&c);
    check_nesting();
    check_behind_waiter(0);
    check_behind_waiter(1);
    check_keep();
    check_priorities();
    check_store_full();
    check_store_fragmented();
    check_nothing_left("after close");
    return check_end();
}
