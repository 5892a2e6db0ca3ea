/* kill9.c - any process of a cluster may be killed at any moment.
 *
 *     [KILLS=N] [SEED=N] kill9 [N]
 *
 * N times (else KILLS_DEFAULT, as far as they fit into TIME_MS): a client of its
 * own process opens a cluster of two CPUs and loads it: short tasks, nested ones,
 * tasks that take and return store objects, a command with a child that sleeps.
 * At a random moment one process gets SIGKILL.  What must hold then is in the
 * table of victims below: how the client's gets end, and by when.  And each time,
 * when the client has closed or is dead: no process of the cluster is left, no
 * file or socket, and the client has neither its mappings nor its descriptors any
 * more.
 *
 * A private cluster ends with any of its daemons, so that the head's death is
 * tried on one that `covey start` made, where tasks are to go on.  There, the
 * state directory stays, as it should; sockets do not.
 *
 * The client is this program, executed again with ROLE_ENV, which workers
 * inherit: they pass through client_main() into covey_open().  Moments and
 * victims follow from a seed that is printed, though not to the microsecond.
 */
#include <poll.h>
#include <sys/wait.h>

#include "check.h"

#define KILLS_DEFAULT 200
#define TIME_MS 60000           /* the default number fits on two CPUs with little else to do */
#define ROLE_ENV "KILL9_ROLE"   /* see client_main(); unset: the test itself */
#define NAME "kill9"            /* of the cluster that `covey start` makes */
#define DELAY_MS_MAX 100        /* from the loaded cluster to the kill: it is busy for longer */
#define STARTUP_MS_MAX 200      /* from the client's beginning to its kill */
#define END_MS 5000             /* for gets to end, and for remains to go */
#define SHORT_TASKS 16
#define NESTED_TASKS 4
#define NESTED_CHILDREN 4
#define OBJECT_TASKS 4
#define OBJECT_BYTES (256u * 1024)
#define TASK_MS 7
#define COMMAND_FOR_EVER "1000" /* seconds: longer than any test */
#define COMMAND_LONG "0.12"     /* longer than DELAY_MS_MAX */
#define COMMAND_SHORT "0.01"
#define TASKS (SHORT_TASKS + NESTED_TASKS + OBJECT_TASKS)

/* What the client says on its pipe, and its exit status. */
enum { SAYS_LOADED = 'l', SAYS_GOT = 'g' };
enum { ENDED_WELL, ENDED_WITH_ERRORS, ENDED_WRONG, ENDED_UNCLEAN, ENDED_UNOPENED };

/* ---- tasks ---------------------------------------------------------------------------- */

static void work(void)
{
    nanosleep(&(struct timespec){0, TASK_MS * 1000000}, NULL);
}

COVEY_TASK(twice, "i64 -> i64")
{
    work();
    return covey_return_i64(ctx, covey_arg_i64(ctx, 0) * 2);
}

/* The sum of what its own tasks return. */
COVEY_TASK(nest, "i64 -> i64")
{
    covey *self = covey_self(ctx);
    covey_ref refs[NESTED_CHILDREN];
    int64_t sum = 0;
    covey_status status = COVEY_OK;
    for (int i = 0; i < NESTED_CHILDREN; i++)
        refs[i] = covey_submit(self, "twice", COVEY_ARGS(covey_arg_i64(ctx, 0) + i), NULL);
    for (int i = 0; i < NESTED_CHILDREN && status == COVEY_OK; i++) {
        int64_t value = 0;
        status = covey_get_i64(self, refs[i], CHECK_GET_MS, &value);
        sum += value;
    }
    covey_release_all(self, refs, NESTED_CHILDREN);
    return status == COVEY_OK ? covey_return_i64(ctx, sum)
                              : covey_fail(ctx, status, "%s", covey_strerror(status));
}

/* The object with each byte one higher. */
COVEY_TASK(raise_bytes, "bytes -> bytes")
{
    size_t size;
    void *out;
    const unsigned char *in = covey_arg_bytes(ctx, 0, &size);
    covey_status status = covey_return_create(ctx, size, &out);
    if (status != COVEY_OK)
        return status;
    work();
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)out)[i] = (unsigned char)(in[i] + 1);
    return COVEY_OK;
}

/* ---- the client ------------------------------------------------------------------------- */

struct load {
    covey_ref object, command, tasks[TASKS];
};

static int64_t nested_sum(int64_t n)
{
    return 2 * NESTED_CHILDREN * n + NESTED_CHILDREN * (NESTED_CHILDREN - 1);
}

/* @seconds: how long the command's child sleeps. */
static void load_submit(covey *c, struct load *l, const char *seconds)
{
    char script[64];
    static unsigned char bytes[OBJECT_BYTES];
    const char *argv[] = {"sh", "-c", script, NULL};
    snprintf(script, sizeof script, "sleep %s & wait", seconds);
    l->object = covey_put(c, bytes, sizeof bytes);
    l->command = covey_submit_command(
        c, &(covey_command){.size = sizeof(covey_command), .argv = argv},
        COVEY_OPTS(.cpus = COVEY_NO_CPU));
    for (int i = 0; i < TASKS; i++) {
        if (i % 6 == 0)
            l->tasks[i] = covey_submit(c, "nest", COVEY_ARGS(i), NULL);
        else if (i % 6 == 3)
            l->tasks[i] = covey_submit(c, "raise_bytes", COVEY_ARGS(l->object), NULL);
        else
            l->tasks[i] = covey_submit(c, "twice", COVEY_ARGS(i), NULL);
    }
}

static covey_status check_bytes(covey *c, covey_ref ref, unsigned char want, bool *right)
{
    const void *data;
    size_t size;
    covey_status status = covey_get_bytes(c, ref, CHECK_GET_MS, &data, &size);
    if (status != COVEY_OK)
        return status;
    *right = size == OBJECT_BYTES;
    for (size_t i = 0; i < size && *right; i++)
        *right = ((const unsigned char *)data)[i] == want;
    return status;
}

static covey_status check_number(covey *c, covey_ref ref, int64_t want, bool *right)
{
    int64_t value = 0;
    covey_status status = covey_get_i64(c, ref, CHECK_GET_MS, &value);
    *right = status != COVEY_OK || value == want;
    return status;
}

static bool tells_failures;     /* where all is to end well */

/* Says on standard error, which the test prints, what ended otherwise than well. */
static int explain(covey *c, covey_ref ref, const char *what, covey_status status, bool right)
{
    if (right && status == COVEY_OK)
        return ENDED_WELL;
    if (tells_failures || !right)
        fprintf(stderr, "# %s: %s%s; %s\n", what, covey_strerror(status),
                right ? "" : ", a wrong value", covey_why(c, ref));
    return right && status != COVEY_ETIMEOUT ? ENDED_WITH_ERRORS : ENDED_WRONG;
}

/* The worst of all ends. */
static int load_get(covey *c, const struct load *l)
{
    int worst = ENDED_WELL;
    for (int i = 0; i <= TASKS; i++) {
        covey_ref ref = i == TASKS ? l->command : l->tasks[i];
        bool right = true;
        covey_status status;
        const char *what = i == TASKS ? "command" : i % 6 == 0 ? "nested" : "task";
        if (i == TASKS)
            status = check_number(c, ref, 0, &right);
        else if (i % 6 == 0)
            status = check_number(c, ref, nested_sum(i), &right);
        else if (i % 6 == 3)
            status = check_bytes(c, ref, 1, &right);
        else
            status = check_number(c, ref, i * 2, &right);
        int end = explain(c, ref, what, status, right);
        worst = end > worst ? end : worst;
    }
    return worst;
}

static void load_release(covey *c, struct load *l)
{
    covey_release_all(c, l->tasks, TASKS);
    covey_release(c, l->command);
    covey_release(c, l->object);
}

/* A mapping of the store is one of a memfd. */
static bool is_clean(int descriptors_before)
{
    static char maps[256 * 1024];
    int descriptors = 0;
    for (int fd = 0; fd < 1024; fd++)
        descriptors += fcntl(fd, F_GETFD) >= 0;
    check_read_proc(getpid(), "maps", maps, sizeof maps);
    bool mapped = strstr(maps, "/memfd:") != NULL;
    if (mapped || descriptors != descriptors_before)
        fprintf(stderr, "# after close: %d descriptors, %d before; the store is %smapped\n",
                descriptors, descriptors_before, mapped ? "" : "not ");
    return !mapped && descriptors == descriptors_before;
}

static void say(char what)
{
    if (write(STDOUT_FILENO, &what, 1) != 1)
        _exit(ENDED_UNCLEAN);
}

/* "start": never ends its load.  "end": one load, whose end is told.  "bear":
 * the same, and a second one must end well, too.  "join": "bear" on the shared
 * cluster, without the second load. */
static int client_main(const char *role)
{
    int descriptors = 0;
    for (int fd = 0; fd < 1024; fd++)
        descriptors += fcntl(fd, F_GETFD) >= 0;
    bool shared = strcmp(role, "join") == 0;
    tells_failures = shared || strcmp(role, "bear") == 0;
    covey_open_opts o = {.size = sizeof o, .quiet = true, .cpus = 2, .private_cluster = !shared,
                         .store_bytes = UINT64_C(64) << 20,
                         .address = shared ? "local:" NAME : NULL};
    if (shared)
        o.cpus = 0, o.store_bytes = 0;
    covey *c = covey_open(&o);
    if (!c) {
        fprintf(stderr, "# no cluster: %s\n", covey_error());
        return ENDED_UNOPENED;
    }
    struct load l;
    load_submit(c, &l, strcmp(role, "start") == 0 ? COMMAND_FOR_EVER : COMMAND_LONG);
    say(SAYS_LOADED);
    int end = load_get(c, &l);
    load_release(c, &l);
    if (strcmp(role, "bear") == 0 && end == ENDED_WELL) {
        load_submit(c, &l, COMMAND_SHORT);
        end = load_get(c, &l);
        load_release(c, &l);
    }
    say(SAYS_GOT);
    covey_close(&c);
    return is_clean(descriptors) ? end : ENDED_UNCLEAN;
}

/* ---- who is killed --------------------------------------------------------------------- */

enum kind { STARTING, CLIENT, WORKER, ZYGOTE, KEEPER, NODE, HEAD, SUPERVISOR, KINDS };

static const struct victim {
    const char *name, *role;
    const char *cmdline;        /* what its command line has in it; NULL: found otherwise */
    bool ends_well;             /* the client's tasks, through retries; else they end by END_MS */
} victims[KINDS] = {
    [STARTING] = {"client that starts", "start", NULL, false},
    [CLIENT] = {"client", "start", NULL, false},
    [WORKER] = {"worker", "bear", NULL, true},
    [ZYGOTE] = {"zygote", "bear", NULL, true},
    [KEEPER] = {"keeper", "end", NULL, false},
    [NODE] = {"node", "end", "_node", false},
    [HEAD] = {"head", "join", "_head", true},
    [SUPERVISOR] = {"supervisor", "end", "_private", false},
};

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 16) % n);
}

static pid_t parent_of(pid_t pid)
{
    char text[512];
    check_read_proc(pid, "stat", text, sizeof text);
    const char *rest = strrchr(text, ')');
    int parent = 0;
    return rest && sscanf(rest, ") %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

static bool is_keeper(pid_t pid)
{
    char name[64];
    check_read_proc(pid, "comm", name, sizeof name);
    return strcmp(name, "covey-keeper\n") == 0;
}

static bool is_kind(pid_t pid, enum kind kind)
{
    char line[512];
    if (kind == KEEPER)
        return is_keeper(pid);
    if (kind == ZYGOTE)
        return is_keeper(parent_of(pid));
    if (kind == WORKER)
        return is_keeper(parent_of(parent_of(pid)));
    size_t len = check_read_proc(pid, "cmdline", line, sizeof line);
    for (size_t at = 0; at < len; at += strlen(line + at) + 1)
        if (strcmp(line + at, victims[kind].cmdline) == 0)
            return !is_keeper(pid);
    return false;
}

struct choice {
    enum kind kind;
    unsigned seen;
    pid_t pid;
};

/* Each of its kind with the same chance. */
static void choose(pid_t pid, void *ctx)
{
    struct choice *choice = ctx;
    if (is_kind(pid, choice->kind) && random_below(++choice->seen) == 0)
        choice->pid = pid;
}

static bool kill_one(enum kind kind, pid_t client)
{
    struct choice choice = {.kind = kind};
    if (kind == STARTING || kind == CLIENT)
        choice.pid = client;
    else
        check_each_process(choose, &choice);
    return choice.pid > 0 && kill(choice.pid, SIGKILL) == 0;
}

/* ---- the test ---------------------------------------------------------------------------- */

static void nap_ms(unsigned ms)
{
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static pid_t client_start(const char *role, int *out_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        perror("pipe2");
        exit(2);
    }
    pid_t pid = fork();
    if (pid == 0) {
        char name[] = "kill9";
        setenv(ROLE_ENV, role, 1);
        dup2(ends[1], STDOUT_FILENO);
        execv("/proc/self/exe", (char *[]){name, NULL});
        _exit(ENDED_UNOPENED);
    }
    close(ends[1]);
    *out_fd = ends[0];
    return pid;
}

/* The client's next word, 0 if it ended, or did not say it in time. */
static char client_hear(int fd, int64_t timeout_ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    char word = 0;
    return poll(&p, 1, (int)timeout_ms) == 1 && read(fd, &word, 1) == 1 ? word : 0;
}

static bool run_covey(const char *words)
{
    char line[512];
    const char *command = getenv("COVEY_BIN");
    snprintf(line, sizeof line, "'%s' %s >/dev/null", command ? command : "covey", words);
    return system(line) == 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)type;
    if (S_ISSOCK(st->st_mode)) {
        check_entries++;
        check_note("left behind: %s", path);
    }
    if (at->level > 0)
        remove(path);
    return 0;
}

/* Nobody waits for a cluster whose client or supervisor was killed. */
static void wait_for_end(void)
{
    int64_t until = check_now_ms() + END_MS;
    while (check_each_process(NULL, NULL) > 0 && check_now_ms() < until)
        check_nap();
}

/* Where a supervisor was killed nobody is left to remove the state directory
 * (the next private cluster does); where `covey start` made it, it is to stay. */
static void check_remains(enum kind kind, const char *what)
{
    wait_for_end();
    if (kind != HEAD && kind != SUPERVISOR) {
        check_nothing_left(what);
        return;
    }
    if (!check(check_each_process(NULL, NULL) == 0, "%s: no process is left", what))
        check_each_process(check_show_process, NULL);
    check_entries = 0;
    nftw(getenv("COVEY_DIR"), remove_entry, 16, FTW_PHYS | FTW_DEPTH);
    check(check_entries == 0, "%s: no socket is left", what);
}

/* How the client ended, after the kill. */
static void check_client(enum kind kind, pid_t client, int fd, const char *what)
{
    int status = 0;
    bool dies = kind == STARTING || kind == CLIENT;
    if (!dies) {
        int64_t limit = victims[kind].ends_well ? CHECK_GET_MS : END_MS;
        if (!check(client_hear(fd, limit) == SAYS_GOT, "%s: all gets end in time", what))
            kill(client, SIGKILL);
    }
    waitpid(client, &status, 0);
    bool ok = dies                      ? WIFSIGNALED(status)
              : !WIFEXITED(status)      ? false
              : victims[kind].ends_well ? WEXITSTATUS(status) == ENDED_WELL
                                        : WEXITSTATUS(status) <= ENDED_WITH_ERRORS;
    if (!check(ok, "%s: the client ends as it should", what))
        check_note("wait status 0x%x", (unsigned)status);
}

static void check_kill(unsigned number, enum kind kind)
{
    char what[128];
    int fd;
    unsigned ms = random_below(kind == STARTING ? STARTUP_MS_MAX : DELAY_MS_MAX);
    snprintf(what, sizeof what, "kill %u, %s after %u ms", number, victims[kind].name, ms);
    if (kind == HEAD)
        check(run_covey("start -q --cpus 2 --store 64M --name " NAME), "%s: a cluster starts", what);
    pid_t client = client_start(victims[kind].role, &fd);
    if (kind != STARTING)
        check(client_hear(fd, CHECK_GET_MS) == SAYS_LOADED, "%s: the cluster is loaded", what);
    nap_ms(ms);
    int64_t until = check_now_ms() + END_MS;
    bool killed;                /* no worker is there before the first has started */
    while (!(killed = kill_one(kind, client)) && check_now_ms() < until)
        check_nap();
    check(killed, "%s: it is killed", what);
    check_client(kind, client, fd, what);
    close(fd);
    if (kind == HEAD)
        check(run_covey("stop -q --name " NAME), "%s: the cluster stops", what);
    check_remains(kind, what);
}

static uint64_t number_from(const char *text, uint64_t otherwise)
{
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    const char *role = getenv(ROLE_ENV);
    if (role)
        return client_main(role);
    check_begin();
    const char *told = argc > 1 ? argv[1] : getenv("KILLS");
    uint64_t kills = number_from(told, KILLS_DEFAULT);
    int64_t until = told ? INT64_MAX : check_now_ms() + TIME_MS;
    uint64_t seed = number_from(getenv("SEED"), (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32);
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    check_note("SEED=%llu", (unsigned long long)seed);
    unsigned offset = random_below(KINDS), killed = 0;
    for (; killed < kills && check_now_ms() < until && checks.failures == 0; killed++)
        check_kill(killed + 1, (enum kind)((killed + offset) % KINDS));
    check(killed > 0, "something was killed");
    return check_end();
}
