/* test_node.c - the node's core, sentence by sentence of node.h.
 *
 * All tests run twice: as they are, and with every message and death delivered
 * twice. */
#include "node_world.h"

#define CPU(n) ((struct resources){.cpu_milli = (n) * 1000})

static struct world *open_world(int64_t cpus, uint32_t processes_max)
{
    struct node_config c = world_config(cpus, processes_max);
    return world_open(&c);
}

/* ---- processes ------------------------------------------------------------------ */

static void test_hello(void **state)
{
    (void)state;
    struct world *w = open_world(2, 4);
    struct addr a, b;
    assert_int_equal(world_enter(w, ROLE_CLIENT, 0, 0, &a), COVEY_OK);
    assert_int_equal(world_enter(w, ROLE_TOOL, 0, 0, &b), COVEY_OK);
    assert_int_equal(a.node, 1);
    assert_int_not_equal(a.proc, 0);
    assert_int_not_equal(a.proc, b.proc);
    assert_int_equal(world_enter(w, ROLE_CLIENT, a.proc, 0, &b), COVEY_EREFUSED);
    assert_int_equal(world_enter(w, ROLE_NODE, 0, 0, &b), COVEY_EREFUSED);
    assert_int_equal(world_enter(w, ROLE_HEAD, 0, 0, &b), COVEY_EREFUSED);
    assert_int_equal(world_enter(w, ROLE_WORKER, 99, 5, &b), COVEY_EREFUSED);
    assert_int_equal(world_enter(w, ROLE_WORKER, a.proc, 0, &b), COVEY_EREFUSED);
    struct msg_door_hello old = {.version = WIRE_VERSION + 1, .role = ROLE_CLIENT};
    char why[128];
    assert_int_equal(node_hello(w->node, &old, 1, w->now, &b, why, sizeof why), COVEY_EVERSION);
    assert_non_null(strstr(why, "version"));
    assert_int_equal(node_stats(w->node).clients, 1);
    world_close(w);
}

static void test_worker_needs_its_token(void **state)
{
    (void)state;
    struct world *w = open_world(2, 4);
    struct addr owner = world_owner(w, 1), a;
    world_want(w, owner, 1, 1);
    struct started *s = &w->started[0];
    assert_int_equal(world_enter(w, ROLE_WORKER, s->proc, s->token + 1, &a), COVEY_EREFUSED);
    assert_int_equal(world_enter(w, ROLE_WORKER, s->proc, 0, &a), COVEY_EREFUSED);
    assert_int_equal(world_count(w, owner, MSG_LEASE_GRANT), 0);
    world_hello(w);
    assert_int_equal(world_count(w, owner, MSG_LEASE_GRANT), 1);
    assert_int_equal(world_enter(w, ROLE_WORKER, s->proc, s->token, &a), COVEY_EREFUSED);
    world_close(w);
}

static void test_numbers_are_never_used_again(void **state)
{
    (void)state;
    struct world *w = open_world(2, 4);
    uint32_t last = 0;
    for (int i = 0; i < 100; i++) {
        struct addr a = world_client(w);
        assert_true(a.proc > last);
        last = a.proc;
        world_gone(w, a.proc, 0, "");
    }
    assert_int_equal(node_stats(w->node).clients, 0);
    world_close(w);
}

static void test_idle_workers_end(void **state)
{
    (void)state;
    struct node_config c = world_config(4, 8);
    c.warm = 1;
    struct world *w = world_open(&c);
    struct addr owner = world_owner(w, 1);
    assert_int_equal(w->packages_known, 1);
    assert_int_equal(world_hello(w), 1);    /* the warm one */
    assert_int_equal(node_stats(w->node).idle, 1);
    world_want(w, owner, 1, 3);
    assert_int_equal(world_hello(w), 2);    /* two more */
    for (int i = 0; i < 3; i++) {
        struct msg_lease_grant g = world_granted(w, owner);
        world_want(w, owner, 1, (uint32_t)(2 - i));
        world_return(w, owner, g.lease);
    }
    assert_int_equal(node_stats(w->node).idle, 3);
    world_pass_time(w, NODE_IDLE_END);
    assert_int_equal(world_reap(w), 2);
    assert_int_equal(node_stats(w->node).idle, 1);
    world_pass_time(w, 3 * NODE_IDLE_END);
    assert_int_equal(world_reap(w), 0);     /* kept while a client uses the package */
    world_gone(w, owner.proc, 0, "");
    world_pass_time(w, 2 * NODE_IDLE_END);
    assert_int_equal(world_reap(w), 1);
    assert_int_equal(node_stats(w->node).workers, 0);
    assert_int_equal(node_deadline(w->node), NEVER_NS);
    world_close(w);
}

static void test_start_that_never_says_hello(void **state)
{
    (void)state;
    struct world *w = open_world(1, 4);
    struct addr owner = world_owner(w, 1);
    world_want(w, owner, 1, 1);
    uint32_t first = w->started[0].proc;
    world_pass_time(w, NODE_START_WAIT);
    assert_int_equal(w->killed[0].proc, first);
    assert_int_equal(w->killed[0].how, NODE_KILL_NOW);
    assert_int_equal(w->started_count, 2);  /* and tries again */
    struct addr a;
    assert_int_equal(world_enter(w, ROLE_WORKER, first, w->started[0].token, &a), COVEY_EREFUSED);
    world_gone(w, first, -9, "killed");
    w->started[0].over = true;
    world_hello(w);
    assert_int_equal(world_granted(w, owner).worker.proc, w->started[1].proc);
    world_close(w);
}

/* ---- wants and grants ----------------------------------------------------------------- */

static void test_grant(void **state)
{
    (void)state;
    struct world *w = open_world(2, 4);
    struct addr owner = world_owner(w, 1), who;
    world_want(w, owner, 1, 1);
    assert_int_equal(w->started_count, 1);
    assert_int_equal(w->started[0].package.lo, 1);
    assert_int_equal(w->started[0].cpu_milli, 1000);
    assert_string_equal(w->started[0].devices, "");
    assert_false(node_worker_owner(w->node, w->started[0].proc, &who));
    assert_int_equal(node_stats(w->node).free.cpu_milli, 1000);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, owner);
    assert_int_equal(g.class_id, 1);
    assert_int_equal(g.epoch, 7);
    assert_int_equal(g.worker.proc, w->started[0].proc);
    assert_true(node_worker_owner(w->node, g.worker.proc, &who));
    assert_true(addr_eq(who, owner));
    assert_int_equal(node_stats(w->node).leases, 1);
    /* The level still says one, so the lease that comes back goes out again,
     * to the idle worker, under a new number. */
    world_return(w, owner, g.lease);
    struct msg_lease_grant again = world_granted(w, owner);
    assert_int_equal(again.worker.proc, g.worker.proc);
    assert_true(again.lease != g.lease);
    assert_int_equal(w->started_count, 1);
    world_want(w, owner, 1, 0);
    world_return(w, owner, again.lease);
    assert_int_equal(world_count(w, owner, MSG_LEASE_GRANT), 0);
    assert_int_equal(node_stats(w->node).idle, 1);
    assert_int_equal(node_stats(w->node).free.cpu_milli, 2000);
    assert_false(node_worker_owner(w->node, g.worker.proc, &who));
    world_close(w);
}

static void test_never_more_than_there_is(void **state)
{
    (void)state;
    struct world *w = open_world(3, 100);
    struct addr owner = world_owner(w, 1);
    world_want(w, owner, 1, 1000);
    assert_int_equal(w->started_count, 3);
    world_hello(w);
    assert_int_equal(world_count(w, owner, MSG_LEASE_GRANT), 3);
    assert_int_equal(node_stats(w->node).wants, 997);
    assert_int_equal(node_stats(w->node).free.cpu_milli, 0);
    world_class(w, owner, 2, 1, (struct resources){.memory_bytes = 3 << 28});
    world_want(w, owner, 2, 5);
    world_hello(w);
    assert_int_equal(world_count(w, owner, MSG_LEASE_GRANT), 4);
    assert_int_equal(node_stats(w->node).free.memory_bytes, 1 << 28);
    world_close(w);
}

static void test_only_the_holder_returns(void **state)
{
    (void)state;
    struct world *w = open_world(2, 4);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_return(w, b, g.lease);
    world_return(w, a, g.lease + 1);
    world_return(w, a, 0);
    assert_int_equal(node_stats(w->node).leases, 1);
    world_close(w);
}

static void test_fewest_leases_first(void **state)
{
    (void)state;
    struct world *w = open_world(3, 8);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 9);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, b, 1, 1);
    assert_int_equal(world_count(w, b, MSG_LEASE_GRANT), 0);
    world_return(w, a, g.lease);
    assert_int_equal(world_count(w, b, MSG_LEASE_GRANT), 1);
    assert_int_equal(world_count(w, a, MSG_LEASE_GRANT), 2);
    world_close(w);
}

static void test_priority_before_all(void **state)
{
    (void)state;
    struct world *w = open_world(2, 8);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1), c = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_want(w, c, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, b, 1, 1);             /* first, and with no leases */
    world_want_as(w, c, 1, 2, 5);       /* but this is more urgent */
    world_want(w, a, 1, 0);
    world_return(w, a, g.lease);
    assert_int_equal(world_count(w, b, MSG_LEASE_GRANT), 0);
    assert_int_equal(world_count(w, c, MSG_LEASE_GRANT), 2);
    world_close(w);
}

static void test_arrival_last(void **state)
{
    (void)state;
    struct world *w = open_world(1, 8);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1), c = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, c, 1, 1);
    world_want(w, b, 1, 1);
    world_want(w, a, 1, 0);
    world_return(w, a, g.lease);
    g = world_granted(w, c);
    world_want(w, c, 1, 0);
    world_return(w, c, g.lease);
    world_granted(w, b);
    world_close(w);
}

static void test_classes_of_one_owner_take_turns(void **state)
{
    (void)state;
    struct world *w = open_world(2, 8);
    struct addr a = world_owner(w, 1);
    world_class(w, a, 2, 1, CPU(1));
    world_want(w, a, 1, 100);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, a, 2, 1);
    world_return(w, a, g.lease);
    assert_int_equal(world_granted(w, a).class_id, 1);  /* the second of the beginning */
    assert_int_equal(world_granted(w, a).class_id, 2);
    world_close(w);
}

static void test_old_levels_do_nothing(void **state)
{
    (void)state;
    struct world *w = open_world(2, 8);
    struct addr a = world_owner(w, 1);
    struct msg m = {.kind = MSG_LEASE_WANT};
    m.u.lease_want = (struct msg_lease_want){.class_id = 1, .want = 1, .version = 5};
    world_msg(w, a, &m);
    m.u.lease_want = (struct msg_lease_want){.class_id = 1, .want = 2, .version = 4};
    world_msg(w, a, &m);
    assert_int_equal(w->started_count, 1);
    m.u.lease_want.version = 6;
    world_msg(w, a, &m);
    assert_int_equal(w->started_count, 2);
    world_close(w);
}

static void test_lower_level_cancels_what_starts(void **state)
{
    (void)state;
    struct world *w = open_world(4, 2);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 2);
    assert_int_equal(w->started_count, 2);
    world_want(w, a, 1, 0);
    assert_int_equal(node_stats(w->node).free.cpu_milli, 4000);
    world_hello(w);
    assert_int_equal(world_count(w, a, MSG_LEASE_GRANT), 0);
    assert_int_equal(node_stats(w->node).idle, 2);
    world_want(w, b, 1, 2);             /* what was started is used by others */
    assert_int_equal(world_count(w, b, MSG_LEASE_GRANT), 2);
    assert_int_equal(w->started_count, 2);
    world_close(w);
}

static void test_starting_worker_is_taken_over(void **state)
{
    (void)state;
    struct world *w = open_world(4, 2);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_want(w, a, 1, 0);
    world_want(w, b, 1, 1);
    assert_int_equal(w->started_count, 1);
    world_hello(w);
    world_granted(w, b);
    world_close(w);
}

static void impossible(struct world *w, struct addr a, struct resources need, const char *part)
{
    static uint32_t id = 10;
    world_class(w, a, ++id, 1, need);
    world_want(w, a, id, 1);
    world_stalled(w, a, COVEY_EIMPOSSIBLE, part);
    while (w->twice && world_take(w, a, MSG_LEASE_STALL)) {
        /* a class that was not taken has no version to tell copies by */
    }
    assert_null(world_take(w, a, MSG_LEASE_STALL));
    world_want(w, a, id, 2);            /* a new level is answered again */
    world_stalled(w, a, COVEY_EIMPOSSIBLE, part);
    while (w->twice && world_take(w, a, MSG_LEASE_STALL)) {
        /* the same */
    }
    world_want(w, a, id, 0);
    assert_null(world_take(w, a, MSG_LEASE_STALL));
}

static void test_impossible(void **state)
{
    (void)state;
    struct node_config c = world_config(2, 4);
    world_devices(&c, 2);
    c.total.custom_count = 1;
    c.total.custom[0] = (struct custom){"licence", 3000};
    struct world *w = world_open(&c);
    struct addr a = world_owner(w, 1);
    impossible(w, a, CPU(3), "cpus: 3 wanted, this node has 2");
    impossible(w, a, (struct resources){.gpu_milli = 3000}, "gpus: 3 wanted, this node has 2");
    impossible(w, a, (struct resources){.memory_bytes = INT64_C(1) << 40}, "memory: 1099511627776 bytes");
    impossible(w, a, (struct resources){.gpu_memory_bytes = INT64_C(1) << 40}, "gpu memory");
    struct resources need = {.custom_count = 1, .custom = {{"licence", 4000}}};
    impossible(w, a, need, "licence: 4 wanted, this node has 3");
    need.custom[0] = (struct custom){"robot", 500};
    impossible(w, a, need, "robot: 0.5 wanted, this node has 0");
    /* Malformed ones are refused, too, and never counted. */
    impossible(w, a, (struct resources){.cpu_milli = -1}, "malformed");
    impossible(w, a, (struct resources){.gpu_milli = 1500}, "malformed");
    need.custom_count = CUSTOM_MAX + 1;
    impossible(w, a, need, "malformed");
    assert_int_equal(w->started_count, 0);
    assert_int_equal(node_stats(w->node).wants, 0);
    world_close(w);
}

static void test_unknown_class_and_package(void **state)
{
    (void)state;
    struct world *w = open_world(2, 4);
    struct addr a = world_client(w);
    world_want(w, a, 3, 1);
    world_stalled(w, a, COVEY_EIMPOSSIBLE, "does not have this class");
    world_class(w, a, 4, 99, CPU(1));
    world_want(w, a, 4, 1);
    world_stalled(w, a, COVEY_EIMPOSSIBLE, "does not have this class");
    world_close(w);
}

static void test_bounds_of_one_process(void **state)
{
    (void)state;
    struct world *w = open_world(2, 4);
    struct addr a = world_owner(w, 1);
    bool twice = w->twice;
    w->twice = false;
    for (uint32_t i = 2; i <= 5000; i++) {
        struct msg m = {.kind = MSG_CLASS};
        m.u.class_ = (struct msg_class){.class_id = i, .package = world_hash(1), .need = CPU(1)};
        node_msg(w->node, a, &m, w->now);
    }
    world_want(w, a, 4096, 1);
    assert_null(world_take(w, a, MSG_LEASE_STALL));
    world_want(w, a, 4097, 1);
    world_stalled(w, a, COVEY_EIMPOSSIBLE, "too many");
    for (uint32_t i = 2; i < 200; i++)
        world_package(w, a, i);
    assert_int_equal(w->packages_known, 64);
    w->twice = twice;
    world_gone(w, a.proc, 0, "");
    /* Nobody needs them any more: the first comes as new. */
    struct addr b = world_client(w);
    world_package(w, b, 5);
    assert_int_equal(w->packages_known, 65);
    world_close(w);
}

/* ---- the process cap ---------------------------------------------------------------------- */

static void test_cap(void **state)
{
    (void)state;
    struct world *w = open_world(4, 1);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, b, 1, 1);
    world_stalled(w, b, COVEY_ELIMIT, "all 1 worker processes are in use");
    world_want(w, b, 1, 2);             /* it knows */
    world_class(w, b, 2, 1, (struct resources){0});
    assert_null(world_take(w, b, MSG_LEASE_STALL));
    world_want(w, b, 1, 1);
    world_want(w, a, 1, 0);
    world_return(w, a, g.lease);
    world_stalled(w, b, COVEY_EAGAIN, "");
    world_granted(w, b);
    world_want(w, b, 1, 0);
    assert_null(world_take(w, b, MSG_LEASE_STALL));
    /* A stall also ends when nothing is wanted any more. */
    world_want(w, a, 1, 1);
    world_stalled(w, a, COVEY_ELIMIT, "");
    world_want(w, a, 1, 0);
    world_stalled(w, a, COVEY_EAGAIN, "");
    world_close(w);
}

static void test_cap_counts_blocked_workers(void **state)
{
    (void)state;
    struct world *w = open_world(1, 2);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 5);
    world_hello(w);
    world_blocked(w, world_granted(w, a).worker, 1);
    world_hello(w);
    assert_null(world_take(w, a, MSG_LEASE_STALL));
    world_blocked(w, world_granted(w, a).worker, 1);
    world_stalled(w, a, COVEY_ELIMIT, "all 2");
    assert_int_equal(node_stats(w->node).free.cpu_milli, 1000);
    world_close(w);
}

/* The only process is idle and has tasks of its own: it is not lent to itself. */
static void test_cap_with_an_idle_owner(void **state)
{
    (void)state;
    struct world *w = open_world(1, 1);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_class(w, g.worker, 1, 1, (struct resources){.cpu_milli = 1000});
    world_want(w, g.worker, 1, 1);
    world_want(w, a, 1, 0);
    world_return(w, a, g.lease);
    world_stalled(w, g.worker, COVEY_ELIMIT, "all 1 worker processes are in use");
    world_pass_time(w, 100 * MS_NS);
    world_hello(w);
    struct msg_lease_grant beyond = world_granted(w, g.worker);
    assert_false(addr_eq(beyond.worker, g.worker));
    world_want(w, g.worker, 1, 0);
    world_return(w, g.worker, beyond.lease);
    assert_true(world_was_killed(w, beyond.worker.proc));   /* back to the cap */
    world_close(w);
}

static void test_idle_worker_of_another_package_is_replaced(void **state)
{
    (void)state;
    struct world *w = open_world(4, 1);
    struct addr a = world_owner(w, 1), b = world_owner(w, 2);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, a, 1, 0);
    world_return(w, a, g.lease);
    world_want(w, b, 1, 1);
    assert_null(world_take(w, b, MSG_LEASE_STALL));
    assert_int_equal(w->killed_count, 1);
    assert_int_equal(w->killed[0].proc, g.worker.proc);
    assert_int_equal(w->killed[0].how, NODE_KILL_TERM);
    assert_int_equal(w->started_count, 1);
    /* It does not listen. */
    world_pass_time(w, 2 * SECOND_NS);
    assert_int_equal(w->killed_count, 2);
    assert_int_equal(w->killed[1].how, NODE_KILL_NOW);
    world_reap(w);
    assert_int_equal(w->started_count, 2);
    assert_int_equal(w->started[1].package.lo, 2);
    world_hello(w);
    assert_int_equal(world_granted(w, b).worker.proc, w->started[1].proc);
    world_close(w);
}

static void test_replacement_is_not_wanted_any_more(void **state)
{
    (void)state;
    struct world *w = open_world(4, 1);
    struct addr a = world_owner(w, 1), b = world_owner(w, 2);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, a, 1, 0);
    world_return(w, a, g.lease);
    for (int i = 0; i < 5; i++) {       /* it changes its mind: nothing more is killed */
        world_want(w, b, 1, 1);
        world_want(w, b, 1, 0);
    }
    assert_int_equal(w->killed_count, 1);
    assert_int_equal(node_stats(w->node).free.cpu_milli, 4000);
    world_reap(w);
    assert_int_equal(w->started_count, 1);
    world_close(w);
}

/* ---- recall ------------------------------------------------------------------------------- */

static void test_recall_to_an_equal_share(void **state)
{
    (void)state;
    struct world *w = open_world(4, 8);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 9);
    world_hello(w);
    uint64_t lease[4];
    for (int i = 0; i < 4; i++)
        lease[i] = world_granted(w, a).lease;
    world_pass_time(w, SECOND_NS);
    assert_int_equal(world_count(w, a, MSG_LEASE_RECALL), 0);   /* nobody else is there */
    world_want(w, b, 1, 9);
    world_pass_time(w, SECOND_NS);
    assert_int_equal(world_count(w, a, MSG_LEASE_RECALL), 2);
    for (int i = 0; i < 2; i++) {
        uint64_t recalled = world_take(w, a, MSG_LEASE_RECALL)->u.lease_recall.lease;
        assert_true(recalled == lease[0] || recalled == lease[1] || recalled == lease[2] ||
                    recalled == lease[3]);
        world_return(w, a, recalled);
    }
    world_hello(w);
    assert_int_equal(world_count(w, b, MSG_LEASE_GRANT), 2);
    assert_int_equal(world_count(w, a, MSG_LEASE_GRANT), 0);
    world_pass_time(w, 10 * SECOND_NS);
    assert_int_equal(world_count(w, a, MSG_LEASE_RECALL), 0);
    assert_int_equal(world_count(w, b, MSG_LEASE_RECALL), 0);
    world_close(w);
}

static void test_one_recall_for_each_unmet_want(void **state)
{
    (void)state;
    struct world *w = open_world(8, 16);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 9);
    world_hello(w);
    world_want(w, b, 1, 1);
    world_pass_time(w, SECOND_NS);
    world_want(w, b, 1, 2);
    world_pass_time(w, SECOND_NS);
    world_pass_time(w, SECOND_NS);
    assert_int_equal(world_count(w, a, MSG_LEASE_RECALL), 2);
    world_close(w);
}

static void test_the_last_lease_stays(void **state)
{
    (void)state;
    struct world *w = open_world(2, 8);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_want(w, b, 1, 1);
    world_hello(w);
    world_want(w, a, 1, 5);
    world_want(w, b, 1, 5);
    world_pass_time(w, 10 * SECOND_NS);
    assert_int_equal(world_count(w, a, MSG_LEASE_RECALL), 0);
    assert_int_equal(world_count(w, b, MSG_LEASE_RECALL), 0);
    world_close(w);
}

static void test_turns_with_more_owners_than_leases(void **state)
{
    (void)state;
    struct world *w = open_world(1, 8);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 5);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, b, 1, 5);
    world_pass_time(w, 50 * MS_NS);
    assert_int_equal(world_count(w, a, MSG_LEASE_RECALL), 0);
    world_pass_time(w, 60 * MS_NS);
    assert_non_null(world_take(w, a, MSG_LEASE_RECALL));
    world_return(w, a, g.lease);
    world_hello(w);
    g = world_granted(w, b);            /* and back again */
    world_pass_time(w, 110 * MS_NS);
    assert_non_null(world_take(w, b, MSG_LEASE_RECALL));
    world_return(w, b, g.lease);
    world_granted(w, a);
    world_close(w);
}

static void test_no_recall_of_what_does_not_help(void **state)
{
    (void)state;
    struct node_config c = world_config(8, 16);
    world_devices(&c, 1);
    struct world *w = world_open(&c);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1), d = world_owner(w, 1);
    world_class(w, a, 2, 1, (struct resources){.gpu_milli = 1000});
    world_class(w, b, 2, 1, (struct resources){.gpu_milli = 1000});
    world_want(w, d, 1, 5);
    world_want(w, a, 1, 3);
    world_want(w, a, 2, 1);
    world_hello(w);
    uint64_t gpu = 0;
    for (int i = 0; i < 4; i++) {
        struct msg_lease_grant g = world_granted(w, a);
        if (g.class_id == 2)
            gpu = g.lease;
    }
    world_want(w, b, 2, 1);
    world_pass_time(w, SECOND_NS);
    assert_int_equal(world_count(w, d, MSG_LEASE_RECALL), 0);   /* it holds most, but no GPU */
    assert_int_equal(world_take(w, a, MSG_LEASE_RECALL)->u.lease_recall.lease, gpu);
    assert_null(world_take(w, a, MSG_LEASE_RECALL));
    world_close(w);
}

static void test_no_recall_from_higher_priority(void **state)
{
    (void)state;
    struct world *w = open_world(4, 8);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want_as(w, a, 1, 9, 3);
    world_hello(w);
    world_want(w, b, 1, 9);
    world_pass_time(w, SECOND_NS);
    assert_int_equal(world_count(w, a, MSG_LEASE_RECALL), 0);
    world_want_as(w, b, 1, 9, 3);
    world_pass_time(w, SECOND_NS);
    assert_int_equal(world_count(w, a, MSG_LEASE_RECALL), 2);
    world_close(w);
}

static void test_recall_from_ones_own_lower_priority(void **state)
{
    (void)state;
    struct world *w = open_world(2, 8);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 9);
    world_hello(w);
    world_class(w, a, 2, 1, CPU(1));
    world_want_as(w, a, 2, 1, 10);
    world_pass_time(w, SECOND_NS);
    assert_int_equal(world_count(w, a, MSG_LEASE_RECALL), 1);
    world_return(w, a, world_take(w, a, MSG_LEASE_RECALL)->u.lease_recall.lease);
    uint32_t of_class_2 = 0;
    for (int i = 0; i < 3; i++)
        of_class_2 += world_granted(w, a).class_id == 2;
    assert_int_equal(of_class_2, 1);
    world_close(w);
}

static void test_a_large_want_is_not_starved(void **state)
{
    (void)state;
    struct world *w = open_world(2, 8);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_class(w, b, 2, 1, CPU(2));
    world_want(w, a, 1, 9);
    world_hello(w);
    uint64_t first = world_granted(w, a).lease, second = world_granted(w, a).lease;
    world_want(w, b, 2, 1);
    world_return(w, a, first);          /* at first others may pass it by */
    first = world_granted(w, a).lease;
    world_pass_time(w, 10 * MS_NS);
    world_return(w, a, first);
    assert_int_equal(world_count(w, a, MSG_LEASE_GRANT), 0);
    world_want(w, a, 1, 10);
    assert_int_equal(world_count(w, a, MSG_LEASE_GRANT), 0);
    world_return(w, a, second);
    assert_int_equal(world_granted(w, b).class_id, 2);
    world_close(w);
}

static void test_no_reservation_against_a_blocked_holder(void **state)
{
    (void)state;
    struct world *w = open_world(2, 8);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    struct resources most = {.cpu_milli = 1000, .memory_bytes = 3 << 28};
    world_class(w, a, 2, 1, most);
    world_class(w, b, 2, 1, most);
    world_want(w, a, 2, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, b, 2, 1);             /* waits for the memory */
    world_pass_time(w, SECOND_NS);
    world_blocked(w, g.worker, 1);      /* waits for a child, and the memory stays */
    world_package(w, g.worker, 1);
    world_class(w, g.worker, 1, 1, CPU(2));
    world_want(w, g.worker, 1, 1);
    world_hello(w);
    assert_int_equal(world_granted(w, g.worker).class_id, 1);
    world_close(w);
}

/* ---- blocking --------------------------------------------------------------------------------- */

static void test_blocked_gives_its_cpu(void **state)
{
    (void)state;
    struct world *w = open_world(1, 8);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 2);
    world_hello(w);
    struct msg_lease_grant parent = world_granted(w, a);
    assert_int_equal(w->started_count, 1);
    world_blocked(w, parent.worker, 1);
    world_hello(w);
    struct msg_lease_grant child = world_granted(w, a);
    world_unblocked(w, parent.worker, 2);
    assert_null(world_take(w, parent.worker, MSG_RESUME));
    /* A third want waits, too; the resume goes first. */
    world_want(w, a, 1, 3);
    world_return(w, a, child.lease);
    const struct msg *resume = world_take(w, parent.worker, MSG_RESUME);
    assert_non_null(resume);
    assert_int_equal(resume->u.resume.version, 2);
    assert_null(world_take(w, a, MSG_LEASE_GRANT));
    assert_int_equal(node_stats(w->node).free.cpu_milli, 0);
    world_close(w);
}

static void test_old_versions_do_nothing(void **state)
{
    (void)state;
    struct world *w = open_world(1, 8);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct addr worker = world_granted(w, a).worker;
    world_blocked(w, worker, 3);
    assert_int_equal(node_stats(w->node).free.cpu_milli, 1000);
    world_unblocked(w, worker, 2);
    assert_null(world_take(w, worker, MSG_RESUME));
    world_unblocked(w, worker, 3);      /* the same version is the same episode */
    assert_non_null(world_take(w, worker, MSG_RESUME));
    world_blocked(w, worker, 2);
    world_blocked(w, worker, 3);
    assert_int_equal(node_stats(w->node).free.cpu_milli, 0);
    assert_null(world_take(w, worker, MSG_RESUME));
    world_blocked(w, worker, 4);
    assert_int_equal(node_stats(w->node).free.cpu_milli, 1000);
    world_close(w);
}

static void test_unblocked_without_a_lease(void **state)
{
    (void)state;
    struct world *w = open_world(1, 8);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_blocked(w, g.worker, 1);
    world_want(w, a, 1, 0);
    world_return(w, a, g.lease);        /* overtook what the worker says next */
    world_unblocked(w, g.worker, 1);
    assert_non_null(world_take(w, g.worker, MSG_RESUME));
    assert_int_equal(node_stats(w->node).free.cpu_milli, 1000);
    world_close(w);
}

static void test_a_resume_recalls(void **state)
{
    (void)state;
    struct world *w = open_world(1, 8);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 100);
    world_hello(w);
    struct msg_lease_grant parent = world_granted(w, a);
    world_blocked(w, parent.worker, 1);
    world_hello(w);
    struct msg_lease_grant child = world_granted(w, a);
    world_unblocked(w, parent.worker, 1);
    world_pass_time(w, 10 * MS_NS);
    const struct msg *m = world_take(w, a, MSG_LEASE_RECALL);
    assert_non_null(m);                 /* else its owner's queue would keep the CPU for ever */
    assert_int_equal(m->u.lease_recall.lease, child.lease);
    world_return(w, a, child.lease);
    assert_non_null(world_take(w, parent.worker, MSG_RESUME));
    world_close(w);
}

/* A worker that waited for its tasks goes on although their leases, which linger,
 * are no more than its share beside the lease that its parent has without a CPU. */
static void test_a_resume_recalls_what_the_worker_lent(void **state)
{
    (void)state;
    struct world *w = open_world(1, 8);
    struct addr a = world_owner(w, 1);
    world_class(w, a, 2, 1, CPU(0));
    world_want(w, a, 2, 1);
    world_hello(w);
    (void)world_granted(w, a);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct addr parent = world_granted(w, a).worker;
    world_blocked(w, parent, 1);
    world_package(w, parent, 1);
    world_class(w, parent, 1, 1, CPU(1));
    world_want(w, parent, 1, 1);
    world_hello(w);
    struct msg_lease_grant child = world_granted(w, parent);
    world_unblocked(w, parent, 2);
    world_pass_time(w, 10 * MS_NS);
    const struct msg *m = world_take(w, parent, MSG_LEASE_RECALL);
    assert_non_null(m);
    assert_int_equal(m->u.lease_recall.lease, child.lease);
    world_return(w, parent, child.lease);
    assert_non_null(world_take(w, parent, MSG_RESUME));
    world_close(w);
}

static void test_blocked_again_before_the_resume(void **state)
{
    (void)state;
    struct world *w = open_world(1, 8);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 2);
    world_hello(w);
    struct msg_lease_grant parent = world_granted(w, a);
    world_blocked(w, parent.worker, 1);
    world_hello(w);
    struct msg_lease_grant child = world_granted(w, a);
    world_unblocked(w, parent.worker, 2);
    world_blocked(w, parent.worker, 3);
    world_want(w, a, 1, 1);
    world_return(w, a, child.lease);
    assert_null(world_take(w, parent.worker, MSG_RESUME));
    world_unblocked(w, parent.worker, 4);
    assert_int_equal(world_take(w, parent.worker, MSG_RESUME)->u.resume.version, 4);
    world_close(w);
}

/* ---- devices ---------------------------------------------------------------------------------------- */

static void test_devices(void **state)
{
    (void)state;
    struct node_config c = world_config(8, 16);
    world_devices(&c, 2);
    struct world *w = world_open(&c);
    struct addr a = world_owner(w, 1);
    world_class(w, a, 2, 1, (struct resources){.gpu_milli = 500});
    world_class(w, a, 3, 1, (struct resources){.gpu_milli = 1000});
    world_class(w, a, 4, 1, (struct resources){.gpu_milli = 2000});
    world_want(w, a, 2, 2);
    world_hello(w);
    struct msg_lease_grant half = world_granted(w, a), other = world_granted(w, a);
    assert_string_equal((const char *)half.devices.data, "GPU-0");
    assert_string_equal((const char *)other.devices.data, "GPU-0");    /* packed */
    world_want(w, a, 3, 1);
    world_hello(w);
    struct msg_lease_grant whole = world_granted(w, a);
    assert_string_equal((const char *)whole.devices.data, "GPU-1");
    world_want(w, a, 4, 1);
    world_want(w, a, 2, 0);
    world_want(w, a, 3, 0);
    world_return(w, a, half.lease);
    world_return(w, a, whole.lease);
    assert_null(world_take(w, a, MSG_LEASE_GRANT));
    world_return(w, a, other.lease);
    world_hello(w);
    struct msg_lease_grant both = world_granted(w, a);
    assert_string_equal((const char *)both.devices.data, "GPU-0,GPU-1");
    assert_string_equal(w->started[w->started_count - 1].devices, "GPU-0,GPU-1");
    world_want(w, a, 4, 0);
    world_return(w, a, both.lease);
    /* The worker that used GPU-1 is kept for it, so it is preferred to a new one
     * for GPU-0. */
    uint32_t starts = w->started_count;
    world_want(w, a, 3, 1);
    assert_int_equal(w->started_count, starts);
    struct msg_lease_grant again = world_granted(w, a);
    assert_true(again.worker.proc == whole.worker.proc || again.worker.proc == half.worker.proc ||
                again.worker.proc == other.worker.proc);
    world_close(w);
}

static void test_devices_return_with_the_process(void **state)
{
    (void)state;
    struct node_config c = world_config(8, 16);
    world_devices(&c, 1);
    struct world *w = world_open(&c);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_class(w, a, 2, 1, (struct resources){.gpu_milli = 1000});
    world_class(w, b, 2, 1, (struct resources){.gpu_milli = 1000});
    world_want(w, a, 2, 1);
    world_hello(w);
    world_granted(w, a);
    world_want(w, b, 2, 1);
    world_gone(w, a.proc, 0, "");
    world_pass_time(w, 10 * MS_NS);
    assert_int_equal(world_starting(w), 0);     /* the device is still in use */
    world_reap(w);
    world_hello(w);
    assert_string_equal((const char *)world_granted(w, b).devices.data, "GPU-0");
    world_close(w);
}

static void test_idle_worker_of_another_set_is_replaced(void **state)
{
    (void)state;
    struct node_config c = world_config(8, 1);
    world_devices(&c, 2);
    struct world *w = world_open(&c);
    struct addr a = world_owner(w, 1);
    world_class(w, a, 2, 1, (struct resources){.gpu_milli = 2000});
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_want(w, a, 1, 0);
    world_return(w, a, g.lease);
    world_want(w, a, 2, 1);
    assert_int_equal(world_reap(w), 1);
    world_hello(w);
    assert_string_equal((const char *)world_granted(w, a).devices.data, "GPU-0,GPU-1");
    world_close(w);
}

/* ---- all ---------------------------------------------------------------------------------------------- */

static int once(void **state)
{
    (void)state;
    world_twice = false;
    return 0;
}

static int twice(void **state)
{
    (void)state;
    world_twice = true;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_worker_needs_its_token),
        cmocka_unit_test(test_numbers_are_never_used_again),
        cmocka_unit_test(test_idle_workers_end),
        cmocka_unit_test(test_start_that_never_says_hello),
        cmocka_unit_test(test_grant),
        cmocka_unit_test(test_never_more_than_there_is),
        cmocka_unit_test(test_only_the_holder_returns),
        cmocka_unit_test(test_fewest_leases_first),
        cmocka_unit_test(test_priority_before_all),
        cmocka_unit_test(test_arrival_last),
        cmocka_unit_test(test_classes_of_one_owner_take_turns),
        cmocka_unit_test(test_old_levels_do_nothing),
        cmocka_unit_test(test_lower_level_cancels_what_starts),
        cmocka_unit_test(test_starting_worker_is_taken_over),
        cmocka_unit_test(test_impossible),
        cmocka_unit_test(test_unknown_class_and_package),
        cmocka_unit_test(test_bounds_of_one_process),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_cap_counts_blocked_workers),
        cmocka_unit_test(test_cap_with_an_idle_owner),
        cmocka_unit_test(test_idle_worker_of_another_package_is_replaced),
        cmocka_unit_test(test_replacement_is_not_wanted_any_more),
        cmocka_unit_test(test_recall_to_an_equal_share),
        cmocka_unit_test(test_one_recall_for_each_unmet_want),
        cmocka_unit_test(test_the_last_lease_stays),
        cmocka_unit_test(test_turns_with_more_owners_than_leases),
        cmocka_unit_test(test_no_recall_of_what_does_not_help),
        cmocka_unit_test(test_no_recall_from_higher_priority),
        cmocka_unit_test(test_recall_from_ones_own_lower_priority),
        cmocka_unit_test(test_a_large_want_is_not_starved),
        cmocka_unit_test(test_no_reservation_against_a_blocked_holder),
        cmocka_unit_test(test_blocked_gives_its_cpu),
        cmocka_unit_test(test_old_versions_do_nothing),
        cmocka_unit_test(test_unblocked_without_a_lease),
        cmocka_unit_test(test_a_resume_recalls),
        cmocka_unit_test(test_a_resume_recalls_what_the_worker_lent),
        cmocka_unit_test(test_blocked_again_before_the_resume),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_devices_return_with_the_process),
        cmocka_unit_test(test_idle_worker_of_another_set_is_replaced),
    };
    int failed = cmocka_run_group_tests_name("node", tests, once, NULL);
    return failed + cmocka_run_group_tests_name("node, everything twice", tests, twice, NULL);
}
