/* covey.h - distributed tasks for C programs.
 *
 * A program calls covey_init() at the top of main, submits tasks by name and
 * gets their results.  The same program file, started again by a node, is the
 * worker: covey_init() does not return there.
 *
 *     COVEY_TASK(square, "i64 -> i64")
 *     {
 *         int64_t x = covey_arg_i64(ctx, 0);
 *         return covey_return_i64(ctx, x * x);
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         covey *c = covey_init(&argc, &argv);
 *         covey_ref r = covey_submit(c, "square", COVEY_ARGS(12), NULL);
 *         int64_t y;
 *         if (covey_get_i64(c, r, 10000, &y) != COVEY_OK)
 *             fprintf(stderr, "%s\n", covey_why(c, r));
 *         covey_release(c, r);
 *         covey_close(&c);
 *     }
 *
 * Units      Timeouts are int64_t timeout_ms: -1 waits for ever, 0 does not
 *            wait.  Sizes are bytes.  Names are UTF-8.
 * Errors     Functions return a covey_status; COVEY_OK is zero.  A submit
 *            always returns a ref; what went wrong arrives at get, and
 *            covey_why() tells it in words.
 * Threads    A covey handle may be used from any thread.  Callbacks run in
 *            the thread that waits or dispatches, without any lock held, and
 *            may call everything except covey_close().
 * Fork       A handle is of the process that made it; in a forked child every
 *            call returns COVEY_EFORK.
 * NULL       A NULL handle gives COVEY_EINVAL, never a crash.
 * Blocking   Only functions that take timeout_ms block, and covey_init(),
 *            covey_open() and covey_close() as their comments say.
 */
#ifndef COVEY_H
#define COVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COVEY_VERSION "0.1.0"

#if defined(__GNUC__)
#define COVEY_MUST_USE __attribute__((warn_unused_result))
#define COVEY_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define COVEY_MUST_USE
#define COVEY_PRINTF(f, a)
#endif

/* ---- status ------------------------------------------------------------ */

/* name, text.  The numbers are part of the wire: append only. */
#define COVEY_STATUS_LIST(X)                                                  \
    X(OK, "ok")                                                               \
    X(EINVAL, "invalid argument")                                             \
    X(ENOMEM, "out of memory")                                                \
    X(ETIMEOUT, "timed out")                                                  \
    X(ESTALE, "the ref was released or never existed")                        \
    X(ECLOSED, "the handle is closed")                                        \
    X(EFORK, "the handle belongs to the parent of this process")              \
    X(ENOCLUSTER, "no cluster is running there")                              \
    X(EREFUSED, "the cluster refused")                                        \
    X(EVERSION, "the other side speaks another version")                      \
    X(EPROTO, "malformed message")                                            \
    X(ESYSTEM, "a system call failed")                                        \
    X(ELIMIT, "a limit was reached")                                          \
    X(EUNKNOWN, "no task of that name")                                       \
    X(ESIGNATURE, "the arguments do not match the signature")                 \
    X(ETYPE, "the value has another type")                                    \
    X(EIMPOSSIBLE, "no node can ever have these resources")                   \
    X(ETOOBIG, "too large")                                                   \
    X(ESTOREFULL, "the object store is full")                                 \
    X(EFRAGMENTED, "the object store is fragmented")                          \
    X(ENOTSEALED, "the object is not sealed")                                 \
    X(ETASK, "the task failed")                                               \
    X(EWORKER, "the worker died")                                             \
    X(ENODE, "the node died")                                                 \
    X(ELOST, "the object was lost")                                           \
    X(EOWNER, "the owner of the object died")                                 \
    X(EDEPENDENCY, "an argument could not be made")                           \
    X(ECANCELLED, "cancelled")                                                \
    X(EDEADLINE, "the deadline passed")                                       \
    X(EDEPTH, "tasks wait for tasks too deeply")                              \
    X(EEXIT, "the command ended with a non-zero status")                      \
    X(ESTART, "the program could not be started")                             \
    X(EAGAIN, "not now")

typedef enum covey_status {
#define COVEY_STATUS_ENUM_(name, text) COVEY_##name,
    COVEY_STATUS_LIST(COVEY_STATUS_ENUM_)
#undef COVEY_STATUS_ENUM_
    COVEY_STATUS_COUNT
} covey_status;

/* A static text, for any value. */
const char *covey_strerror(covey_status status);

/* What went wrong last in this thread, in words; "" when nothing did.  Valid
 * until the next covey call of this thread. */
const char *covey_error(void);

/* ---- handles and refs --------------------------------------------------- */

typedef struct covey covey;         /* a connection to a cluster */
typedef struct covey_ctx covey_ctx; /* a running task's view of itself */

/* A ref names a value that exists or will exist.  It is a plain value; a zero
 * ref is never valid.  Using one after release is COVEY_ESTALE. */
typedef struct covey_ref {
    uint32_t index;
    uint32_t generation;
} covey_ref;

/* Connect as main's first act.  A process that a node started as a worker
 * serves tasks here and never returns.  Else: $COVEY_ADDRESS (local:NAME), or
 * this user's running cluster, or a private one that ends with the program.
 *
 * Blocks until connected, at most 10 s.  Returns NULL on failure, with
 * covey_error() set.  @argc and @argv may be NULL. */
COVEY_MUST_USE covey *covey_init(int *argc, char ***argv);

/* The same with a choice; in a worker it does not return either, so it, too,
 * stands at the top of main where it is used alone.  Zero means default. */
typedef struct covey_open_opts {
    size_t size;         /* sizeof(covey_open_opts) */
    const char *address; /* "local:NAME"; NULL as covey_init() */
    bool private_cluster; /* start one of this program's own */
    double cpus;         /* of a private cluster; 0: all */
    double gpus;         /* declared, not found */
    uint64_t store_bytes;
    uint64_t memory_bytes;
    uint32_t processes_max; /* worker processes; 0: by the cpus */
    bool quiet;          /* do not show what tasks print */
} covey_open_opts;
COVEY_MUST_USE covey *covey_open(const covey_open_opts *opts);

/* Cancel what runs, release all refs, leave; a private cluster ends.  Blocks
 * at most 5 s.  Sets *@c to NULL.  Pointers from get are invalid afterwards. */
void covey_close(covey **c);

/* CPUs and GPUs that the cluster lends; 0 for a NULL handle. */
double covey_cpus(covey *c);
double covey_gpus(covey *c);

/* ---- values and arguments ------------------------------------------------ */

typedef enum covey_kind {
    COVEY_NIL, COVEY_I64, COVEY_U64, COVEY_F64,
    COVEY_STR,   /* UTF-8, NUL-terminated where it is handed out */
    COVEY_BYTES,
    COVEY_REF,   /* argument only: an edge; the task sees the value */
    COVEY_HANDLE,/* argument only: the ref itself; the task may get it */
    COVEY_KIND_COUNT
} covey_kind;

/* A type of the program's own, carried as bytes.
 * pack: write @object to @buf (@cap bytes) and return the size it needs; it is
 *       called again with room when that is more than @cap.
 * unpack: make an object from @data, NULL if it is malformed.
 * drop: destroy what unpack made. */
typedef struct covey_type {
    const char *name;
    size_t (*pack)(const void *object, void *buf, size_t cap);
    void *(*unpack)(const void *data, size_t size);
    void (*drop)(void *object);
} covey_type;

typedef struct covey_arg {
    covey_kind kind;
    uint32_t align;            /* of bytes; 0: 16 */
    union {
        int64_t i64;
        uint64_t u64;
        double f64;
        struct { const void *data; size_t size; } bytes; /* borrowed until submit returns */
        covey_ref ref;
    } v;
    const covey_type *type;    /* bytes.data is an object to pack */
} covey_arg;

typedef struct covey_args {
    size_t count;
    const covey_arg *arg;       /* either this ... */
    const covey_ref *ref;       /* ... or an array of refs, each an edge */
} covey_args;

/* A value, as get returns it.  @data stays valid until the ref is released. */
typedef struct covey_value {
    covey_kind kind;
    int64_t i64;
    uint64_t u64;
    double f64;
    const void *data;           /* str, bytes: read-only memory, 16-aligned */
    size_t size;                /* of str without the NUL */
} covey_value;

static inline covey_arg covey_arg_i64_(int64_t x)
{ covey_arg a = {COVEY_I64, 0, {0}, NULL}; a.v.i64 = x; return a; }
static inline covey_arg covey_arg_u64_(uint64_t x)
{ covey_arg a = {COVEY_U64, 0, {0}, NULL}; a.v.u64 = x; return a; }
static inline covey_arg covey_arg_f64_(double x)
{ covey_arg a = {COVEY_F64, 0, {0}, NULL}; a.v.f64 = x; return a; }
covey_arg covey_arg_str_(const char *s);   /* NULL becomes nil */
static inline covey_arg covey_arg_ref_(covey_ref r)
{ covey_arg a = {COVEY_REF, 0, {0}, NULL}; a.v.ref = r; return a; }
static inline covey_arg covey_arg_same_(covey_arg a) { return a; }

/* A byte span; @align is a power of two up to 64 that the task will see. */
static inline covey_arg covey_span(const void *data, size_t size, uint32_t align)
{
    covey_arg a = {COVEY_BYTES, 0, {0}, NULL};
    a.align = align; a.v.bytes.data = data; a.v.bytes.size = size;
    return a;
}
static inline covey_arg covey_object(const covey_type *type, const void *object)
{
    covey_arg a = {COVEY_BYTES, 0, {0}, NULL};
    a.v.bytes.data = object; a.type = type;
    return a;
}
/* The ref itself and not its value: no edge; the task may get, wait, cancel. */
static inline covey_arg covey_handle(covey_ref r)
{ covey_arg a = {COVEY_HANDLE, 0, {0}, NULL}; a.v.ref = r; return a; }

#define COVEY_SPAN(array, count) \
    covey_span((array), (count) * sizeof *(array), sizeof *(array) >= 64 ? 64 : 16)
#define COVEY_STRUCT(lvalue) covey_span(&(lvalue), sizeof(lvalue), 64)

#ifndef __cplusplus
#define COVEY_NONE ((covey_args){0, NULL, NULL})
#define COVEY_REFS(refs, n) ((covey_args){(n), NULL, (refs)})
#define COVEY_ARRAY(args, n) ((covey_args){(n), (args), NULL})
#define COVEY_OPTS(...) (&(const covey_opts){.size = sizeof(covey_opts), __VA_ARGS__})
#define COVEY_ARG(x)                                                          \
    _Generic((x),                                                             \
        _Bool: covey_arg_u64_, char: covey_arg_i64_,                          \
        signed char: covey_arg_i64_, unsigned char: covey_arg_u64_,           \
        short: covey_arg_i64_, unsigned short: covey_arg_u64_,                \
        int: covey_arg_i64_, unsigned: covey_arg_u64_,                        \
        long: covey_arg_i64_, unsigned long: covey_arg_u64_,                  \
        long long: covey_arg_i64_, unsigned long long: covey_arg_u64_,        \
        float: covey_arg_f64_, double: covey_arg_f64_,                        \
        char *: covey_arg_str_, const char *: covey_arg_str_,                 \
        covey_ref: covey_arg_ref_, covey_arg: covey_arg_same_)(x)

/* COVEY_ARGS(1, 2.5, "text", ref, COVEY_SPAN(v, n)): up to 16; any number by
 * COVEY_ARRAY and COVEY_REFS. */
#define COVEY_ARGS(...)                                                       \
    ((covey_args){COVEY_COUNT_(__VA_ARGS__),                                  \
                  (const covey_arg[]){COVEY_EACH_(COVEY_COUNT_(__VA_ARGS__), __VA_ARGS__)}, NULL})
#define COVEY_COUNT_(...) \
    COVEY_NTH_(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define COVEY_NTH_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, ...) q
#define COVEY_EACH_(n, ...) COVEY_PASTE_(n, __VA_ARGS__)
#define COVEY_PASTE_(n, ...) COVEY_EACH##n##_(__VA_ARGS__)
#define COVEY_EACH1_(x) COVEY_ARG(x)
#define COVEY_EACH2_(x, ...) COVEY_ARG(x), COVEY_EACH1_(__VA_ARGS__)
#define COVEY_EACH3_(x, ...) COVEY_ARG(x), COVEY_EACH2_(__VA_ARGS__)
#define COVEY_EACH4_(x, ...) COVEY_ARG(x), COVEY_EACH3_(__VA_ARGS__)
#define COVEY_EACH5_(x, ...) COVEY_ARG(x), COVEY_EACH4_(__VA_ARGS__)
#define COVEY_EACH6_(x, ...) COVEY_ARG(x), COVEY_EACH5_(__VA_ARGS__)
#define COVEY_EACH7_(x, ...) COVEY_ARG(x), COVEY_EACH6_(__VA_ARGS__)
#define COVEY_EACH8_(x, ...) COVEY_ARG(x), COVEY_EACH7_(__VA_ARGS__)
#define COVEY_EACH9_(x, ...) COVEY_ARG(x), COVEY_EACH8_(__VA_ARGS__)
#define COVEY_EACH10_(x, ...) COVEY_ARG(x), COVEY_EACH9_(__VA_ARGS__)
#define COVEY_EACH11_(x, ...) COVEY_ARG(x), COVEY_EACH10_(__VA_ARGS__)
#define COVEY_EACH12_(x, ...) COVEY_ARG(x), COVEY_EACH11_(__VA_ARGS__)
#define COVEY_EACH13_(x, ...) COVEY_ARG(x), COVEY_EACH12_(__VA_ARGS__)
#define COVEY_EACH14_(x, ...) COVEY_ARG(x), COVEY_EACH13_(__VA_ARGS__)
#define COVEY_EACH15_(x, ...) COVEY_ARG(x), COVEY_EACH14_(__VA_ARGS__)
#define COVEY_EACH16_(x, ...) COVEY_ARG(x), COVEY_EACH15_(__VA_ARGS__)
#endif

/* ---- tasks --------------------------------------------------------------- */

/* COVEY_TASK(name, "types -> types") { body }
 *
 * Types: i64 u64 f64 str bytes handle any; a last one may end in "..." (any
 * number, none included).  "->" and what follows may be missing: no result is
 * one nil.  The body returns what covey_return_*() or covey_fail() returned.
 * An integer is taken for f64 where it is exact, and i64 for u64 where it is
 * not negative, and so on: values convert, bits do not. */
typedef covey_status (*covey_task_fn)(covey_ctx *ctx);

typedef struct covey_task_def {
    const char *name;
    const char *signature;
    covey_task_fn fn;
    struct covey_task_def *next; /* covey's */
} covey_task_def;

/* Takes @def for the life of the program.  COVEY_TASK calls it before main. */
void covey_register(covey_task_def *def);

#define COVEY_TASK(name, signature)                                           \
    static covey_status name(covey_ctx *ctx);                                 \
    __attribute__((constructor)) static void covey_register_##name(void)      \
    {                                                                         \
        static covey_task_def def = {#name, signature, name, NULL};           \
        covey_register(&def);                                                 \
    }                                                                         \
    static covey_status name(covey_ctx *ctx)

/* Which failures a retry is made for. */
enum {
    COVEY_RETRY_DEATH = 1,  /* the worker or node died */
    COVEY_RETRY_FAILURE = 2,/* the task returned an error, a command failed */
};

typedef struct covey_resource {
    const char *name;
    double amount;
} covey_resource;

typedef struct covey_message {
    covey_ref ref;          /* the task it came from */
    const void *data;       /* borrowed until the callback returns, or until the next
                               covey_next_message() of this ref */
    size_t size;
    uint64_t question;      /* not 0: the task waits for covey_answer() */
} covey_message;
typedef void (*covey_message_fn)(covey *c, const covey_message *message, void *arg);

/* Zero means default. */
typedef struct covey_opts {
    size_t size;               /* sizeof(covey_opts); COVEY_OPTS sets it */
    const char *name;          /* shown in lists; default: the task's */
    double cpus;               /* 0: 1; COVEY_NO_CPU: none */
    double gpus;
    uint64_t memory_bytes;
    uint64_t gpu_memory_bytes;
    const covey_resource *resources; /* ended by a NULL name */
    int retries;               /* 0: 3 for deaths; -1: none */
    uint32_t retry_on;         /* 0: COVEY_RETRY_DEATH */
    int64_t backoff_ms;        /* first pause, doubled each time; 0: 20 */
    int64_t deadline_ms;       /* from submit; 0: none */
    int priority;              /* -100..100, higher first */
    covey_message_fn on_message; /* called for all messages of the task before a get or
                                    wait, outside of callbacks, shows its end */
    void *arg;                 /* of on_message */
} covey_opts;
#define COVEY_NO_CPU (-1.0)

/* Submit a task.  Does not block; never fails as a call: errors arrive at
 * get.  The caller owns the ref and releases it.  Result 0.
 *
 * A task that waits (covey_get, covey_wait, covey_ask) gives its cpus back until
 * it goes on, and keeps its gpus, memory and other resources.  So tasks that hold
 * the last gpu must not wait for a task that needs one: both would wait for ever.
 * Submit the second one from outside, with the first one's ref as an argument. */
covey_ref covey_submit(covey *c, const char *task, covey_args args, const covey_opts *opts);

/* Another result of the same task; the caller owns it too. */
covey_ref covey_result(covey *c, covey_ref ref, unsigned index);

/* A command task: any executable, in its own process group.
 * Results: 0 the exit status (i64), 1 standard output, 2 standard error
 * (bytes, the last 16 MiB of each), 3... the files of @outputs (bytes). */
typedef struct covey_command {
    size_t size;                /* sizeof(covey_command) */
    const char *const *argv;    /* NULL-ended */
    const char *const *env;     /* NULL-ended "K=V", on top of the program's own */
    const char *cwd;            /* NULL: a fresh directory, removed afterwards */
    const covey_arg *inputs;    /* files made from values ... */
    const char *const *input_names; /* ... under these names in cwd; NULL-ended */
    const char *const *outputs; /* files in cwd to bring back; NULL-ended */
    const void *stdin_data;
    size_t stdin_size;
    bool show;                  /* its output also reaches the terminal */
    bool any_exit;              /* a non-zero status is a result, not COVEY_EEXIT */
    int64_t grace_ms;           /* from SIGTERM to SIGKILL when it is cancelled or its
                                   deadline passes, unless covey_cancel_opts says
                                   otherwise; 0: 5000 */
    /* Append standard output and error to this file, on the node where it runs
     * (a relative path is below the program's directory), and keep none of it:
     * results 1 and 2 are empty.  Beyond 64 MiB the middle of what it prints is
     * left out, and so is what cannot be written.  COVEY_ESYSTEM: it cannot be
     * opened. */
    const char *log;
    /* The command and its children may report: this environment variable of
     * theirs names a unix stream socket, which lives as long as the attempt.
     * Each line written to it, be it empty, is a message with a question, and
     * covey_answer() writes the answer and an end of line back to the connection it
     * came from, so that an answer has none inside.  Questions may be answered in
     * any order.  A connection ends when a line is longer than 64 KiB or an answer
     * finds no room because nobody reads, which the log tells; of more than 64, one
     * that has nothing to say. */
    const char *report_env;
    bool report_stdout;         /* lines of standard output that begin with '{' are messages, too,
                                   without a question */
} covey_command;
covey_ref covey_submit_command(covey *c, const covey_command *command, const covey_opts *opts);

/* ---- results --------------------------------------------------------------- */

/* Wait for a value.  A ref got twice gives the same value.
 *
 * COVEY_ETIMEOUT  not there yet
 * COVEY_ESTALE    released, or never was
 * others          why there will be none; covey_why() tells the story */
COVEY_MUST_USE covey_status covey_get(covey *c, covey_ref ref, int64_t timeout_ms, covey_value *out);
COVEY_MUST_USE covey_status covey_get_i64(covey *c, covey_ref ref, int64_t timeout_ms, int64_t *out);
COVEY_MUST_USE covey_status covey_get_u64(covey *c, covey_ref ref, int64_t timeout_ms, uint64_t *out);
COVEY_MUST_USE covey_status covey_get_f64(covey *c, covey_ref ref, int64_t timeout_ms, double *out);
COVEY_MUST_USE covey_status covey_get_str(covey *c, covey_ref ref, int64_t timeout_ms, const char **out);
COVEY_MUST_USE covey_status covey_get_bytes(covey *c, covey_ref ref, int64_t timeout_ms,
                                            const void **data, size_t *size);
/* The caller owns *@out and ends it with type->drop().  COVEY_ETYPE: unpack()
 * refused the bytes. */
COVEY_MUST_USE covey_status covey_get_object(covey *c, covey_ref ref, int64_t timeout_ms,
                                             const covey_type *type, void **out);

/* Why @ref failed, several lines: what, where, attempt, cause.  "" if it did
 * not.  Valid until the ref is released. */
const char *covey_why(covey *c, covey_ref ref);

/* Wait until @k of the @n refs are settled (a value or an error).  @settled may
 * be NULL; else settled[i] tells.  COVEY_ETIMEOUT: fewer than k are. */
COVEY_MUST_USE covey_status covey_wait(covey *c, const covey_ref *refs, size_t n, size_t k,
                                       int64_t timeout_ms, bool *settled);

/* Call @fn once when @ref is settled; soon, if it is already, and with COVEY_ENODE if the
 * cluster ends before.  Not called when the ref is released before. */
typedef void (*covey_then_fn)(covey *c, covey_ref ref, covey_status status, void *arg);
covey_status covey_then(covey *c, covey_ref ref, covey_then_fn fn, void *arg);

/* Give a ref back.  A task whose refs are all released still runs.
 * COVEY_ESTALE: it was given back before. */
covey_status covey_release(covey *c, covey_ref ref);
void covey_release_all(covey *c, const covey_ref *refs, size_t n);

/* End a task.  Pending: at once.  Running: covey_cancelled() turns true, a
 * command gets SIGTERM; after @grace_ms (0: a command's own, else 5000) it is killed.  The ref
 * settles with COVEY_ECANCELLED, and covey_why() says how it ended; a task that
 * returns its results all the same settles with them.  A second call counts if it
 * leaves less time.  Of a borrowed ref, its owner is asked.  Ending what has ended is
 * COVEY_OK. */
typedef struct covey_cancel_opts {
    size_t size;
    int64_t grace_ms;
    bool recursive;             /* also what the task itself submitted */
} covey_cancel_opts;
covey_status covey_cancel(covey *c, covey_ref ref, const covey_cancel_opts *opts);

/* ---- objects --------------------------------------------------------------- */

/* Copy bytes into the store.  The ref's error is COVEY_ESTOREFULL,
 * COVEY_EFRAGMENTED or COVEY_ETOOBIG where there is no room. */
covey_ref covey_put(covey *c, const void *data, size_t size);
covey_ref covey_put_object(covey *c, const covey_type *type, const void *object);

/* The same without a copy: write to *@data (64-aligned), then seal.  Until
 * then get and tasks wait for it.  Blocks while the store finds room, at most
 * 10 s. */
COVEY_MUST_USE covey_status covey_create(covey *c, size_t size, void **data, covey_ref *out);
covey_status covey_seal(covey *c, covey_ref ref);

/* ---- messages from running tasks ------------------------------------------- */

/* Wait for the next message of @ref's task.  COVEY_ECLOSED: the task has ended
 * and all its messages are read.  Not with on_message. */
COVEY_MUST_USE covey_status covey_next_message(covey *c, covey_ref ref, int64_t timeout_ms,
                                               covey_message *out);
/* COVEY_ECLOSED: the task, or the attempt that asked, has ended. */
covey_status covey_answer(covey *c, const covey_message *message, const void *data, size_t size);

/* ---- programs with an event loop of their own -------------------------------- */

/* A descriptor that is readable when covey_dispatch() has something to do.
 * The handle owns it. */
int covey_fd(covey *c);
/* Do what can be done without blocking: receive, settle, call callbacks.
 * Returns how many callbacks ran. */
int covey_dispatch(covey *c);

/* ---- inside a task ------------------------------------------------------------ */

/* Arguments live until the task returns.  One of another type or beyond the
 * last gives 0 or NULL and fails the task when it returns. */
size_t covey_arg_count(covey_ctx *ctx);
covey_kind covey_arg_kind(covey_ctx *ctx, size_t i);
int64_t covey_arg_i64(covey_ctx *ctx, size_t i);
uint64_t covey_arg_u64(covey_ctx *ctx, size_t i);
double covey_arg_f64(covey_ctx *ctx, size_t i);
const char *covey_arg_str(covey_ctx *ctx, size_t i);
const void *covey_arg_bytes(covey_ctx *ctx, size_t i, size_t *size);
/* A handle; released with the task unless covey_keep() is called on it. */
covey_ref covey_arg_handle(covey_ctx *ctx, size_t i);
covey_status covey_keep(covey_ctx *ctx, covey_ref ref);
/* Unpacked once, dropped when the task returns. */
void *covey_arg_object(covey_ctx *ctx, size_t i, const covey_type *type);

/* The next result; the first call gives result 0.  Bytes are copied. */
covey_status covey_return_nil(covey_ctx *ctx);
covey_status covey_return_i64(covey_ctx *ctx, int64_t x);
covey_status covey_return_u64(covey_ctx *ctx, uint64_t x);
covey_status covey_return_f64(covey_ctx *ctx, double x);
covey_status covey_return_str(covey_ctx *ctx, const char *s);
covey_status covey_return_bytes(covey_ctx *ctx, const void *data, size_t size);
covey_status covey_return_object(covey_ctx *ctx, const covey_type *type, const void *object);
/* The next result is @size bytes that the task writes to *@data before it
 * returns; nothing is copied. */
covey_status covey_return_create(covey_ctx *ctx, size_t size, void **data);
/* Fail the task.  @code is the program's own, shown with the text. */
covey_status covey_fail(covey_ctx *ctx, int code, const char *format, ...) COVEY_PRINTF(3, 4);

/* The handle with which this task submits tasks of its own. */
covey *covey_self(covey_ctx *ctx);
bool covey_cancelled(covey_ctx *ctx);
unsigned covey_attempt(covey_ctx *ctx);  /* 1 for the first */
const char *covey_devices(covey_ctx *ctx); /* UUIDs, comma separated; "" for none */

/* Send @data to the submitter, in order.  Blocks while 256 are unread, until
 * the task is cancelled (COVEY_ECANCELLED; then it is sent if fewer are unread, and a
 * question gets no answer).  What a process posts just before it
 * dies may be lost; what a task posts before it returns is not.
 * COVEY_ETOOBIG: more than 1 MiB. */
covey_status covey_post(covey_ctx *ctx, const void *data, size_t size);
/* The same, and wait for the answer: valid until the next ask.
 * COVEY_ELIMIT: all worker processes are in use, so the task runs on the stack of
 * its submitter, which waits and cannot answer, unless by on_message. */
covey_status covey_ask(covey_ctx *ctx, const void *data, size_t size, int64_t timeout_ms,
                       const void **answer, size_t *answer_size);

#ifdef __cplusplus
}

/* ---- C++17: the same words ------------------------------------------------ */
namespace covey_cxx {
inline covey_arg arg(double x) { return covey_arg_f64_(x); }
inline covey_arg arg(float x) { return covey_arg_f64_(x); }
inline covey_arg arg(const char *s) { return covey_arg_str_(s); }
inline covey_arg arg(covey_ref r) { return covey_arg_ref_(r); }
inline covey_arg arg(covey_arg a) { return a; }
inline covey_arg arg(bool x) { return covey_arg_u64_(x); }
inline covey_arg arg(char x) { return covey_arg_i64_(x); }
inline covey_arg arg(signed char x) { return covey_arg_i64_(x); }
inline covey_arg arg(unsigned char x) { return covey_arg_u64_(x); }
inline covey_arg arg(short x) { return covey_arg_i64_(x); }
inline covey_arg arg(unsigned short x) { return covey_arg_u64_(x); }
inline covey_arg arg(int x) { return covey_arg_i64_(x); }
inline covey_arg arg(unsigned x) { return covey_arg_u64_(x); }
inline covey_arg arg(long x) { return covey_arg_i64_(x); }
inline covey_arg arg(unsigned long x) { return covey_arg_u64_(x); }
inline covey_arg arg(long long x) { return covey_arg_i64_(x); }
inline covey_arg arg(unsigned long long x) { return covey_arg_u64_(x); }
template <typename... T> struct pack {
    covey_arg v[sizeof...(T) + 1];
    explicit pack(T... x) : v{arg(x)..., covey_arg()} {}
    operator covey_args() const { return covey_args{sizeof...(T), v, nullptr}; }
};
template <typename... T> pack<T...> args(T... x) { return pack<T...>(x...); }
}
#define COVEY_ARGS(...) (covey_cxx::args(__VA_ARGS__))
#define COVEY_ARG(x) (covey_cxx::arg(x))
#define COVEY_NONE (covey_args{0, nullptr, nullptr})
#define COVEY_REFS(refs, n) (covey_args{(n), nullptr, (refs)})
#define COVEY_ARRAY(args, n) (covey_args{(n), (args), nullptr})
#endif

#endif
