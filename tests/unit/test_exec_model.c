/* test_exec_model.c - the executor against a naive model, over random events.
 *
 * Both write their effects as lines of text (exec_world.h), and after each
 * event the lines are the same.  COVEY_TEST_SEED runs one seed instead of all.
 */
#include "exec_world.h"

#define SEEDS 300
#define OPS 1500
#define OWNERS 3u
#define SEQS 6u
#define ATTEMPTS 2u

enum { NONE = -1 };

struct model_task {
    int state;                  /* NONE or enum exec_state */
    uint64_t order;             /* when it came into this state */
    uint64_t lease, offset;
    int32_t priority;
    bool cancelled, recursive, orphan, late;
    int64_t deadline, kill_at;
    covey_status status;        /* of its reply */
    struct exec_task *task;
};

struct model {
    struct model_task tasks[OWNERS][SEQS][ATTEMPTS];
    bool known[OWNERS];         /* announced a function */
    uint64_t clock, version, random;
    uint32_t blocks;
    bool resuming;
    int64_t now;
    uint32_t done_count, done_dropped;
    uint64_t done_seq;
    covey_status done_status;
    int64_t done_next_at;
    char text[LOG_MAX];
    size_t text_len;
};

static struct model model;

static void __attribute__((format(printf, 1, 2))) expect(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    model.text_len += (size_t)vsnprintf(model.text + model.text_len, LOG_MAX - model.text_len, format, args);
    va_end(args);
    assert_true(model.text_len < LOG_MAX);
}

static uint32_t below(uint32_t bound)
{
    model.random ^= model.random << 13;
    model.random ^= model.random >> 7;
    model.random ^= model.random << 17;
    return (uint32_t)(model.random >> 32) % bound;
}

static struct addr owner_addr(uint32_t owner) { return (struct addr){1, 2 + owner, 0, 0}; }

struct name { uint32_t owner, seq, attempt; };  /* from 0 */

static struct model_task *task_at(struct name n) { return &model.tasks[n.owner][n.seq][n.attempt]; }

static struct name any_name(void) { return (struct name){below(OWNERS), below(SEQS), below(ATTEMPTS)}; }

/* The first of all tasks in @state by (priority if queued, order) that @fits;
 * false: none.  Slow, and obviously right. */
static bool first_task(int state, bool (*fits)(struct name, uint64_t), uint64_t arg, struct name *first)
{
    struct model_task *best = NULL;
    struct name n;
    for (n.owner = 0; n.owner < OWNERS; n.owner++)
        for (n.seq = 0; n.seq < SEQS; n.seq++)
            for (n.attempt = 0; n.attempt < ATTEMPTS; n.attempt++) {
                struct model_task *t = task_at(n);
                if (t->state != state || (fits && !fits(n, arg)))
                    continue;
                bool better = !best
                    || (state == EXEC_QUEUED && t->priority != best->priority
                            ? t->priority > best->priority : t->order < best->order);
                if (better) {
                    best = t;
                    *first = n;
                }
            }
    return best != NULL;
}

/* The running task that started first after @order; false: none. */
static bool next_running(uint64_t order, struct name *next)
{
    uint64_t least = UINT64_MAX;
    struct name n;
    for (n.owner = 0; n.owner < OWNERS; n.owner++)
        for (n.seq = 0; n.seq < SEQS; n.seq++)
            for (n.attempt = 0; n.attempt < ATTEMPTS; n.attempt++) {
                const struct model_task *t = task_at(n);
                if (t->state == EXEC_RUNNING && t->order > order && t->order < least) {
                    least = t->order;
                    *next = n;
                }
            }
    return least != UINT64_MAX;
}

static void move_to(struct name n, int state)
{
    task_at(n)->state = state;
    task_at(n)->order = ++model.clock;
}

static bool model_resumed(void) { return model.blocks == 0 && !model.resuming; }

static void expect_reply(struct name n)
{
    struct model_task *t = task_at(n);
    expect("reply p%u %u.%u of %u/1 %s", 2 + n.owner, n.seq + 1, n.attempt + 1, (unsigned)t->lease,
           status_name(t->status));
    if (t->task == NULL)
        expect(" '%s'", t->status == COVEY_EDEADLINE ? "its deadline passed before it started"
                                                     : "cancelled before it started");
    if (t->offset)
        expect(" @%u", (unsigned)t->offset);
    expect("\n");
}

static void end_unstarted(struct name n, covey_status status)
{
    task_at(n)->status = status;
    expect_reply(n);
    move_to(n, EXEC_DONE);
}

static void stop(struct name n, int64_t kill_at, bool recursive)
{
    struct model_task *t = task_at(n);
    bool news = !t->cancelled || (recursive && !t->recursive);
    t->cancelled = true;
    t->recursive |= recursive;
    if (kill_at < t->kill_at)
        t->kill_at = kill_at;
    if (news)
        expect("cancel p%u %u.%u%s\nwake\n", 2 + n.owner, n.seq + 1, n.attempt + 1,
               t->recursive ? " recursive" : "");
}

static bool has_owner(struct name n, uint64_t owner) { return n.owner == owner; }
static bool has_lease(struct name n, uint64_t arg)
{
    return n.owner == arg / 100 && task_at(n)->lease == arg % 100;
}

static void expect_lease_back(uint32_t owner, uint64_t lease)
{
    expect("revoked p%u of %u%s:", 2 + owner, (unsigned)lease, model_resumed() ? "" : " blocked");
    for (struct name n; first_task(EXEC_QUEUED, has_lease, owner * 100 + lease, &n);) {
        expect(" %u", n.seq + 1);
        move_to(n, NONE);
    }
    expect("\n");
}

static void op_push(void)
{
    struct name n = any_name();
    struct model_task *t = task_at(n);
    struct msg_task m = task_of(n.seq + 1, 1 + below(3));
    m.attempt = n.attempt + 1;
    m.priority = (int32_t)below(3) * 2 - 1;
    m.left_ms = below(3) ? -1 : (int64_t)below(40);
    if (t->state == EXEC_DONE) {
        t->lease = m.lease;
        expect_reply(n);
    } else if (t->state != NONE) {
        t->lease = m.lease;
    } else if (!model_resumed()) {
        expect("revoked p%u of %u blocked: %u\n", 2 + n.owner, (unsigned)m.lease, n.seq + 1);
    } else if (!model.known[n.owner]) {
        expect("reply p%u %u.%u of %u/1 EUNKNOWN 'the worker does not know a function of this number'\n",
               2 + n.owner, n.seq + 1, n.attempt + 1, (unsigned)m.lease);
    } else {
        *t = (struct model_task){.lease = m.lease, .priority = m.priority, .kill_at = NEVER_NS,
            .deadline = m.left_ms < 0 ? NEVER_NS : model.now + m.left_ms * MS_NS};
        move_to(n, EXEC_QUEUED);
    }
    push(owner_addr(n.owner), m, model.now);
}

static void op_revoke(void)
{
    uint32_t owner = below(OWNERS);
    uint64_t lease = 1 + below(3), seqs[4];
    if (below(3) == 0) {
        expect_lease_back(owner, lease);
        revoke(owner_addr(owner), lease, 0, NULL);
        return;
    }
    expect("revoked p%u of %u%s:", 2 + owner, (unsigned)lease, model_resumed() ? "" : " blocked");
    for (int i = 0; i < 4; i++) {
        seqs[i] = 1 + below(SEQS);
        for (uint32_t k = 0; k < ATTEMPTS; k++) {
            struct name n = {owner, (uint32_t)seqs[i] - 1, k};
            if (task_at(n)->state == EXEC_QUEUED && task_at(n)->lease == lease) {
                expect(" %u", n.seq + 1);
                move_to(n, NONE);
            }
        }
    }
    expect("\n");
    revoke(owner_addr(owner), lease, 4, seqs);
}

static void op_cancel(void)
{
    struct name n = any_name();
    bool recursive = below(2);
    int64_t grace_ms = (int64_t)below(3) * 20;
    struct msg m = {.kind = MSG_CANCEL};
    m.u.cancel = (struct msg_cancel){n.seq + 1, n.attempt + 1, grace_ms, recursive};
    if (task_at(n)->state == EXEC_QUEUED)
        end_unstarted(n, COVEY_ECANCELLED);
    else if (task_at(n)->state == EXEC_RUNNING && !task_at(n)->orphan)
        stop(n, model.now + grace_ms * MS_NS, recursive);
    else if (task_at(n)->state == EXEC_RUNNING)
        return;                 /* a dead process cancels nothing */
    exec_msg(e, owner_addr(n.owner), &m, model.now);
}

static void op_ack(void)
{
    struct name n = any_name();
    bool committed = below(2);
    if (task_at(n)->state == EXEC_DONE) {
        if (!committed && task_at(n)->offset)
            expect("drop @%u\n", (unsigned)task_at(n)->offset);
        move_to(n, NONE);
    }
    ack(owner_addr(n.owner), n.seq + 1, n.attempt + 1, committed);
}

static void op_start(void)
{
    struct name n;
    bool found = false;
    while (model_resumed() && first_task(EXEC_QUEUED, NULL, 0, &n)) {
        found = task_at(n)->deadline > model.now;
        if (found)
            break;
        end_unstarted(n, COVEY_EDEADLINE);
    }
    struct exec_task *task = exec_start(e, model.now);
    assert_int_equal(task != NULL, found);
    if (!found)
        return;
    move_to(n, EXEC_RUNNING);
    task_at(n)->task = task;
    assert_int_equal(task->seq, n.seq + 1);
    assert_int_equal(task->attempt, n.attempt + 1);
    assert_true(addr_eq(task->owner, owner_addr(n.owner)));
}

static bool is_nth(struct name n, uint64_t seq) { return n.seq == seq; }

static void op_finish(void)
{
    struct name n;
    if (!first_task(EXEC_RUNNING, is_nth, below(SEQS), &n))
        return;
    struct model_task *t = task_at(n);
    assert_int_equal(t->task->cancelled, t->cancelled);
    assert_int_equal(t->task->recursive, t->recursive);
    t->status = t->cancelled && below(2) ? COVEY_ECANCELLED : COVEY_OK;
    t->offset = below(2) ? 0 : ++model.clock;
    covey_status status = t->status;
    if (t->late && status == COVEY_ECANCELLED && !t->orphan)
        t->status = COVEY_EDEADLINE;
    if (model.done_count == EXEC_DONE_BATCH) {
        model.done_dropped++;
    } else if (model.done_count++ == 0) {
        model.done_seq = n.seq + 1;
        model.done_status = t->status;
    }
    if (!t->orphan)
        expect_reply(n);
    else if (t->offset)
        expect("drop @%u\n", (unsigned)t->offset);
    move_to(n, t->orphan ? NONE : EXEC_DONE);
    finish(t->task, status, NULL, t->offset, model.now);
}

static void op_block(void)
{
    if (model.blocks++ == 0) {
        model.resuming = false;
        struct name r;
        for (uint64_t after = 0; next_running(after, &r); after = task_at(r)->order)
            if (!task_at(r)->orphan)
                expect_lease_back(r.owner, task_at(r)->lease);
        for (struct name n; first_task(EXEC_QUEUED, NULL, 0, &n);)
            expect_lease_back(n.owner, task_at(n)->lease);
        expect("blocked %u\n", (unsigned)++model.version);
    }
    exec_block(e, model.now);
}

static void op_unblock(void)
{
    if (model.blocks == 0)
        return;
    if (--model.blocks == 0) {
        model.resuming = true;
        expect("unblocked %u\n", (unsigned)++model.version);
    }
    exec_unblock(e, model.now);
}

static void op_resume(void)
{
    uint64_t version = model.version - below(2);
    if (model.resuming && version == model.version) {
        model.resuming = false;
        expect("wake\n");
    }
    resume(node_addr, version);
}

static void op_owner_dead(void)
{
    uint32_t owner = below(OWNERS);
    if (below(8))               /* rarely, so that something happens between */
        return;
    for (struct name n; first_task(EXEC_QUEUED, has_owner, owner, &n);)
        move_to(n, NONE);
    struct name r;
    for (uint64_t after = 0; next_running(after, &r); after = task_at(r)->order)
        if (r.owner == owner) {
            stop(r, model.now + EXEC_ORPHAN_GRACE, true);
            task_at(r)->orphan = true;
        }
    for (struct name n; first_task(EXEC_DONE, has_owner, owner, &n);) {
        if (task_at(n)->offset)
            expect("drop @%u\n", (unsigned)task_at(n)->offset);
        move_to(n, NONE);
    }
    model.known[owner] = false;
    exec_proc_dead(e, owner_addr(owner), model.now);
}

static bool is_late(struct name n, uint64_t arg)
{
    (void)arg;
    return task_at(n)->deadline <= model.now;
}

static void op_tick(void)
{
    model.now += (int64_t)below(30) * MS_NS;
    for (struct name n; first_task(EXEC_QUEUED, is_late, 0, &n);)
        end_unstarted(n, COVEY_EDEADLINE);
    struct name r;
    for (uint64_t after = 0; next_running(after, &r); after = task_at(r)->order) {
        struct model_task *t = task_at(r);
        if (t->deadline <= model.now && !t->cancelled) {
            stop(r, model.now + EXEC_DEADLINE_GRACE, false);
            t->late = true;
        }
        if (t->kill_at <= model.now) {
            expect("kill_self for p%u %u.%u\n", 2 + r.owner, r.seq + 1, r.attempt + 1);
            t->kill_at = NEVER_NS;
        }
    }
    if (model.done_count && model.now >= model.done_next_at) {
        expect("done %u dropped %u: %u %s square\n", model.done_count, model.done_dropped,
               (unsigned)model.done_seq, status_name(model.done_status));
        model.done_count = model.done_dropped = 0;
        model.done_next_at = model.now + EXEC_DONE_EVERY;
    }
    exec_tick(e, model.now);
    assert_true(exec_deadline(e) > model.now);
}

/* When something must happen next, the driver is not told to sleep past it. */
static void check_deadline(void)
{
    int64_t least = model.done_count ? model.done_next_at : NEVER_NS;
    for (uint32_t owner = 0; owner < OWNERS; owner++)
        for (uint32_t seq = 0; seq < SEQS; seq++)
            for (uint32_t attempt = 0; attempt < ATTEMPTS; attempt++) {
                const struct model_task *t = &model.tasks[owner][seq][attempt];
                bool waits = t->state == EXEC_QUEUED || (t->state == EXEC_RUNNING && !t->cancelled);
                if (waits && t->deadline < least)
                    least = t->deadline;
                if (t->state == EXEC_RUNNING && t->kill_at < least)
                    least = t->kill_at;
            }
    assert_true(exec_deadline(e) <= least);
}

static void op_announce(void)
{
    uint32_t owner = below(OWNERS);
    model.known[owner] = true;
    function(owner_addr(owner), 1, "square");
}

/* Often enough unblocked that tasks run. */
static void (*const model_ops[])(void) = {
    op_push, op_push, op_push, op_push, op_revoke, op_cancel, op_cancel, op_ack, op_ack,
    op_start, op_start, op_finish, op_finish, op_block, op_unblock, op_unblock,
    op_resume, op_resume, op_resume, op_owner_dead, op_announce, op_tick, op_tick,
};

static void run_seed(uint64_t seed)
{
    model = (struct model){.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, .now = T0, .done_next_at = INT64_MIN};
    memset(model.known, true, sizeof model.known);
    for (struct name n = {0}; n.owner < OWNERS; n.owner++)
        for (n.seq = 0; n.seq < SEQS; n.seq++)
            for (n.attempt = 0; n.attempt < ATTEMPTS; n.attempt++)
                task_at(n)->state = NONE;
    for (uint32_t owner = 0; owner < OWNERS; owner++)
        function(owner_addr(owner), 1, "square");
    for (uint32_t i = 0; i < OPS; i++) {
        model.text_len = 0;
        model.text[0] = '\0';
        model_ops[below(sizeof model_ops / sizeof *model_ops)]();
        if (strcmp(out, model.text) != 0)
            fail_msg("seed %llu, op %u:\nsaid     %sexpected %s", (unsigned long long)seed, i, out, model.text);
        said_anything();
        check_deadline();
    }
}

static void random_events_agree_with_the_model(void **state)
{
    const char *one = getenv("COVEY_TEST_SEED");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1;
    for (uint64_t seed = first; seed < first + (one ? 1 : SEEDS); seed++) {
        teardown(state);
        assert_int_equal(setup(state), 0);
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_events_agree_with_the_model, setup, teardown),
    };
    return cmocka_run_group_tests_name("exec_model", tests, NULL, NULL);
}
