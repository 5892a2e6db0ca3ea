/* test_node_model.c - the node's core under random events, from seeds.
 *
 * Owners, workers and the machine do anything that honest or dying ones could
 * do, in any order, some of it twice.  The node checks its own invariants after
 * every step; beside it a model that sees messages alone checks what owners can
 * see: nothing is lent twice or beyond what there is, a RESUME answers an
 * UNBLOCKED, WORKER_DIED comes once for a lease and only for one that is held,
 * recalls are for leases that are held.  In the end everybody but one lets go,
 * and that one must be served: nothing got lost or stuck.
 *
 * One more test lets the n-th allocation fail, for every n.
 */
#include "node_world.h"

#include <signal.h>

#include "core/resources.h"
#include "failing_malloc.h"

#define SEEDS 3000
#define STEPS 150
#define OWNERS_MAX 128
#define LEASES_MAX 512
#define CLASSES 5

struct model_lease {
    uint64_t lease;
    struct addr owner, worker;
    struct resources need;
    bool open, orphan, recalled, blocked, wants_cpu;
    uint64_t version;
};

struct model {
    struct world *w;
    uint64_t seed;
    struct resources total;
    struct addr owner[OWNERS_MAX];      /* clients, and workers that submit */
    bool is_client[OWNERS_MAX];
    uint32_t owner_count;
    struct model_lease lease[LEASES_MAX];
    uint32_t lease_count, seen;         /* messages looked at */
    uint64_t versions;
    struct { struct addr from, who; } census[1024];
    uint32_t census_count;
};

static uint32_t pick(struct model *m, uint32_t n)
{
    m->seed = m->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(m->seed >> 33) % n;
}

static struct resources need_of(uint32_t class_id)
{
    static const struct resources needs[CLASSES] = {
        {.cpu_milli = 1000},
        {.cpu_milli = 2000, .memory_bytes = 1 << 28},
        {.gpu_milli = 500, .cpu_milli = 500},
        {.gpu_milli = 2000},
        {.memory_bytes = 3 << 28, .custom_count = 1, .custom = {{"licence", 1000}}},
    };
    return needs[class_id % CLASSES];
}

static struct model_lease *find_lease(struct model *m, uint64_t lease)
{
    for (uint32_t i = 0; i < m->lease_count; i++)
        if (m->lease[i].open && m->lease[i].lease == lease)
            return &m->lease[i];
    return NULL;
}

static struct model_lease *lease_of_worker(struct model *m, uint32_t proc)
{
    for (uint32_t i = 0; i < m->lease_count; i++)
        if (m->lease[i].open && m->lease[i].worker.proc == proc)
            return &m->lease[i];
    return NULL;
}

static void add_owner(struct model *m, struct addr a, bool client)
{
    for (uint32_t i = 0; i < m->owner_count; i++)
        if (addr_eq(m->owner[i], a))
            return;
    if (m->owner_count == OWNERS_MAX)
        return;
    m->is_client[m->owner_count] = client;
    m->owner[m->owner_count++] = a;
    for (uint32_t package = 1; package <= 2; package++)
        world_package(m->w, a, package);
    for (uint32_t i = 0; i < CLASSES; i++)
        world_class(m->w, a, i, 1 + i % 2, need_of(i));
}

static void drop_owner(struct model *m, uint32_t proc)
{
    for (uint32_t i = 0; i < m->owner_count; i++) {
        if (m->owner[i].proc == proc) {
            m->owner[i] = m->owner[--m->owner_count];
            m->is_client[i] = m->is_client[m->owner_count];
            return;
        }
    }
}

/* ---- what was sent ------------------------------------------------------------------ */

static void check_sum(const struct model *m)
{
    struct resources lent = m->total;
    resources_sub(&lent, &m->total);
    for (uint32_t i = 0; i < m->lease_count; i++) {
        struct resources need = m->lease[i].need;
        if (!m->lease[i].open)
            continue;
        if (m->lease[i].blocked)
            need.cpu_milli = 0;
        resources_add(&lent, &need);
    }
    assert_int_equal(resources_lacking(&lent, &m->total), 0);
}

static void on_grant(struct model *m, struct addr to, const struct msg_lease_grant *g)
{
    assert_null(find_lease(m, g->lease));
    assert_null(lease_of_worker(m, g->worker.proc));
    if (m->lease_count == LEASES_MAX) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < m->lease_count; i++)
            if (m->lease[i].open)
                m->lease[kept++] = m->lease[i];
        m->lease_count = kept;
    }
    assert_true(m->lease_count < LEASES_MAX);
    m->lease[m->lease_count++] = (struct model_lease){
        .lease = g->lease, .owner = to, .worker = g->worker, .need = need_of(g->class_id), .open = true,
    };
}

static void look(struct model *m)
{
    for (; m->seen < m->w->sent_count; m->seen++) {
        const struct sent *s = &m->w->sent[m->seen];
        struct model_lease *l;
        switch (s->msg.kind) {
        case MSG_LEASE_GRANT: on_grant(m, s->to, &s->msg.u.lease_grant); break;
        case MSG_LEASE_RECALL:
            l = find_lease(m, s->msg.u.lease_recall.lease);
            assert_non_null(l);
            assert_true(addr_eq(l->owner, s->to));
            assert_false(l->recalled);
            l->recalled = true;
            break;
        case MSG_WORKER_DIED:
            l = find_lease(m, s->msg.u.worker_died.lease);
            assert_non_null(l);
            assert_true(addr_eq(l->owner, s->to));
            l->open = false;
            break;
        case MSG_RESUME:
            l = lease_of_worker(m, s->to.proc);
            if (l) {
                assert_true(l->wants_cpu);
                assert_int_equal(s->msg.u.resume.version, l->version);
                l->blocked = l->wants_cpu = false;
            }
            break;
        case MSG_PROC_DEAD:
            assert_true(m->census_count < 1024);
            m->census[m->census_count].from = s->to;
            m->census[m->census_count++].who = s->msg.u.proc_dead.who;
            break;
        default: break;
        }
    }
    m->w->sent_count = m->seen = 0;
    scratch_reset(&m->w->scratch);
    check_sum(m);
}

/* ---- what happens ---------------------------------------------------------------------- */

static void return_lease(struct model *m, struct model_lease *l)
{
    uint64_t lease = l->lease;
    struct addr owner = l->owner;
    l->open = false;            /* before: a new grant may come from inside */
    world_return(m->w, owner, lease);
}

/* As a worker it held a lease: its owner hears WORKER_DIED, unless that is dead,
 * too.  As an owner it leaves orphans: lent until their processes are gone. */
static void kill_proc(struct model *m, uint32_t proc)
{
    struct model_lease *l = lease_of_worker(m, proc);
    drop_owner(m, proc);
    if (l && l->orphan)
        l->open = false;
    world_gone(m->w, proc, -9, "killed");
    look(m);
    assert_null(lease_of_worker(m, proc));
    for (uint32_t i = 0; i < m->lease_count; i++)
        m->lease[i].orphan |= m->lease[i].owner.proc == proc;
}

static void step_hello(struct model *m)
{
    struct world *w = m->w;
    for (uint32_t i = 0; i < w->started_count; i++) {
        struct started *s = &w->started[i];
        struct addr a;
        if (s->over || pick(m, 3) == 0)
            continue;
        s->over = true;
        if (pick(m, 12) == 0) {
            node_start_failed(w->node, s->proc, COVEY_ESYSTEM, "no pids", w->now);
            world_after(w);
        } else if (world_enter(w, ROLE_WORKER, s->proc, s->token, &a) == COVEY_OK) {
            look(m);
            if (pick(m, 4) == 0)
                add_owner(m, a, false);
        }
        return;
    }
}

static void step_level(struct model *m)
{
    if (m->owner_count == 0)
        return;
    struct addr a = m->owner[pick(m, m->owner_count)];
    world_want_as(m->w, a, pick(m, CLASSES), pick(m, 3) ? pick(m, 6) : 0, (int32_t)pick(m, 3) - 1);
}

static void step_lease(struct model *m)
{
    if (m->lease_count == 0)
        return;
    struct model_lease *l = &m->lease[pick(m, m->lease_count)];
    if (!l->open || l->orphan)
        return;
    uint32_t what = pick(m, 10);
    if (l->recalled ? what < 5 : what < 2) {
        return_lease(m, l);
    } else if (what < 8 && !l->blocked) {
        l->blocked = true;
        world_blocked(m->w, l->worker, ++m->versions);
    } else if (what < 8 && !l->wants_cpu) {
        l->wants_cpu = true;
        l->version = ++m->versions;
        world_unblocked(m->w, l->worker, l->version);
    } else if (what == 9) {
        struct msg kill = {.kind = MSG_WORKER_KILL};
        kill.u.worker_kill = (struct msg_worker_kill){l->lease, 1};
        world_msg(m->w, l->owner, &kill);
    }
}

static void step_reap(struct model *m)
{
    struct world *w = m->w;
    for (uint32_t i = 0; i < w->killed_count; i++) {
        if (!w->killed[i].over && pick(m, 2)) {
            kill_proc(m, w->killed[i].proc);
            return;
        }
    }
}

static void step_census(struct model *m)
{
    if (m->census_count == 0)
        return;
    uint32_t i = pick(m, m->census_count);
    struct addr from = m->census[i].from, who = m->census[i].who;
    m->census[i] = m->census[--m->census_count];
    world_census(m->w, from, who, 0, NULL);
}

static void step_query(struct model *m)
{
    if (m->owner_count == 0)
        return;
    struct msg q = {.kind = MSG_QUERY};
    q.u.query = (struct msg_query){.request = pick(m, 4), .what = pick(m, QUERY_WHAT_COUNT)};
    world_msg(m->w, m->owner[pick(m, m->owner_count)], &q);
}

static void step(struct model *m)
{
    struct world *w = m->w;
    uint32_t what = pick(m, 100);
    if (what < 25)
        step_hello(m);
    else if (what < 50)
        step_level(m);
    else if (what < 75)
        step_lease(m);
    else if (what < 82)
        step_reap(m);
    else if (what < 88)
        step_census(m);
    else if (what < 91 && m->owner_count < 8)
        add_owner(m, world_client(w), true);
    else if (what < 93)
        step_query(m);
    else if (what < 95 && m->owner_count > 0)
        kill_proc(m, m->owner[pick(m, m->owner_count)].proc);
    else if (what < 96 && w->started_count > 0)
        kill_proc(m, w->started[pick(m, w->started_count)].proc);
    else
        world_pass_time(w, (int64_t)pick(m, 40) * MS_NS * (pick(m, 20) ? 1 : 1000));
    look(m);
}

/* Everybody lets go; the last one asks for one lease of every class in turn. */
static void check_alive(struct model *m)
{
    struct world *w = m->w;
    add_owner(m, world_client(w), true);
    struct addr last = m->owner[m->owner_count - 1];
    for (uint32_t i = 0; i + 1 < m->owner_count; i++)
        for (uint32_t c = 0; c < CLASSES; c++)
            world_want(w, m->owner[i], c, 0);
    look(m);
    for (uint32_t i = 0; i < m->lease_count; i++)
        if (m->lease[i].open && !m->lease[i].orphan)
            return_lease(m, &m->lease[i]);
    for (uint32_t c = 0; c < CLASSES; c++) {
        world_want(w, last, c, 1);
        for (int turn = 0; turn < 50 && !world_count(w, last, MSG_LEASE_GRANT); turn++) {
            world_hello(w);
            world_reap(w);
            world_pass_time(w, 100 * MS_NS);
        }
        struct msg_lease_grant g = world_granted(w, last);
        assert_int_equal(g.class_id, c);
        world_want(w, last, c, 0);
        world_return(w, last, g.lease);
    }
    world_reap(w);
    struct node_stats stats = node_stats(w->node);
    assert_true(resources_equal(&stats.free, &m->total));
}

static struct node_config model_config(uint32_t processes_max, uint32_t warm)
{
    struct node_config c = world_config(4, processes_max);
    world_devices(&c, 2);
    c.warm = warm;
    c.total.custom_count = 1;
    c.total.custom[0] = (struct custom){"licence", 2000};
    return c;
}

static void run_seed(uint64_t seed)
{
    struct model m = {.seed = seed * 2654435761u + 1};
    struct node_config c = model_config(1 + pick(&m, 8), pick(&m, 3));
    world_twice = pick(&m, 2);
    m.w = world_open(&c);
    m.w->random = seed;
    m.total = c.total;
    for (int i = 0; i < STEPS; i++)
        step(&m);
    check_alive(&m);
    world_close(m.w);
}

static uint64_t current_seed;

static void on_abort(int number)
{
    (void)number;
    fprintf(stderr, "SEED=%llu\n", (unsigned long long)current_seed);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_random_events(void **state)
{
    (void)state;
    uint64_t first = from_environment("SEED", 1);
    uint64_t count = from_environment("SEED", 0) ? 1 : from_environment("SEEDS", SEEDS);
    signal(SIGABRT, on_abort);
    for (current_seed = first; current_seed < first + count; current_seed++)
        run_seed(current_seed);
    current_seed = 0;
}

static int tell_seed(void **state)
{
    (void)state;
    if (current_seed)
        on_abort(0);
    return 0;
}

/* ---- memory ------------------------------------------------------------------------- */

static void tell_done(struct world *w, struct addr from, struct addr owner)
{
    struct done done = {.owner = owner, .seq = 1, .attempt = 1, .name = span_str("x")};
    struct msg m = {.kind = MSG_TASK_DONE};
    m.u.task_done = (struct msg_task_done){.done_count = 1, .done = &done};
    world_msg(w, from, &m);
}

static void try_hello(struct world *w)
{
    for (uint32_t i = 0; i < w->started_count; i++) {
        struct addr a;
        if (!w->started[i].over)
            (void)world_enter(w, ROLE_WORKER, w->started[i].proc, w->started[i].token, &a);
        w->started[i].over = true;
    }
}

/* A bit of everything that allocates; what fails is left out. */
static void go_through(struct world *w)
{
    struct addr a = {1, 0, 0, 0}, b = {1, 0, 0, 0}, c = {1, 0, 0, 0};
    struct place held = {0};
    (void)world_enter(w, ROLE_CLIENT, 0, 0, &a);
    (void)world_enter(w, ROLE_CLIENT, 0, 0, &b);
    (void)world_enter(w, ROLE_CLIENT, 0, 0, &c);
    for (uint32_t package = 1; package <= 2; package++) {
        world_package(w, a, package);
        world_package(w, b, package);
    }
    world_class(w, a, 1, 1, need_of(0));
    world_class(w, b, 1, 2, need_of(0));
    world_want(w, a, 1, 2);
    try_hello(w);
    world_want(w, b, 1, 3);
    try_hello(w);
    struct msg m = {.kind = MSG_EXTENT_WANT};
    m.u.extent_want = (struct msg_extent_want){1, ARENA_BLOCK};
    world_msg(w, a, &m);
    const struct msg *granted = world_take(w, a, MSG_EXTENT_GRANT);
    if (granted) {
        held = world_seal(w, &granted->u.extent_grant, 0, a, 1);
        world_seal(w, &granted->u.extent_grant, 1, b, 1);
    }
    tell_done(w, b, a);
    struct msg q = {.kind = MSG_QUERY};
    for (uint32_t what = 0; what < QUERY_WHAT_COUNT; what++) {
        q.u.query = (struct msg_query){.request = what + 1, .what = what};
        world_msg(w, b, &q);
    }
    struct node_view here = {.node = 1, .alive = true};
    node_view(w->node, &(struct msg_view){.version = 1, .node_count = 1, .nodes = &here}, w->now);
    world_gone(w, a.proc, -9, "");
    struct oid id = {a.node, a.proc, 1, 0};
    m = (struct msg){.kind = MSG_BORROW_ADD, .u.borrow_add = {id, c, 1}};
    world_msg(w, b, &m);
    m = (struct msg){.kind = MSG_OBJECT_WAIT, .u.object_wait = {id}};
    world_msg(w, c, &m);
    world_census(w, b, a, held.node != 0, &held);
    world_census(w, c, a, 0, NULL);
    world_pass_time(w, 3 * SECOND_NS);
    world_gone(w, b.proc, -9, "");
    world_gone(w, c.proc, -9, "");
    world_pass_time(w, 3 * SECOND_NS);
    world_reap(w);
}

static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    struct node_config config = model_config(2, 1);
    world_twice = false;
    for (uint64_t n = 1;; n++) {
        struct world *w = world_open_later();
        malloc_fail(n, 1);
        covey_status status = node_new(&w->node, &config, &world_ops, w);
        assert_true(status == COVEY_OK || (status == COVEY_ENOMEM && !w->node));
        if (status == COVEY_OK)
            go_through(w);
        bool all = malloc_calls < n;
        malloc_fail(0, 0);
        world_close(w);
        if (all)
            break;
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_random_events, tell_seed),
        cmocka_unit_test(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests_name("node model", tests, NULL, NULL);
}
