/* test_node_lists.c - the node's core: failures to start, deaths, objects that
 * outlive their owner, and answers to queries.  All tests run twice, as in test_node.c. */
#include "node_world.h"

#define CPU(n) ((struct resources){.cpu_milli = (n) * 1000})

static struct world *open_world(void)
{
    struct node_config c = world_config(2, 8);
    return world_open(&c);
}

static struct world *open_world_of(int64_t cpus)
{
    struct node_config c = world_config(cpus, 8);
    return world_open(&c);
}

static uint64_t live(struct world *w)
{
    return node_store_stats(w->node).objects_live;
}

static void close_extent(struct world *w, struct addr writer, const struct msg_extent_grant *e,
                         uint32_t sealed)
{
    struct msg m = {.kind = MSG_EXTENT_CLOSE};
    m.u.extent_close = (struct msg_extent_close){.extent = e->extent, .gen = e->gen, .sealed = sealed};
    world_msg(w, writer, &m);
}

static struct oid id_of(struct addr owner, uint64_t seq)
{
    return (struct oid){owner.node, owner.proc, seq, 0};
}

static void wait_for(struct world *w, struct addr from, struct oid id)
{
    struct msg m = {.kind = MSG_OBJECT_WAIT};
    m.u.object_wait.id = id;
    world_msg(w, from, &m);
}

static void borrow(struct world *w, struct addr from, enum msg_kind kind, struct oid id,
                   struct addr borrower, uint64_t version)
{
    struct msg m = {.kind = kind};
    m.u.borrow_add = (struct msg_borrow_add){id, borrower, version};
    if (kind == MSG_BORROW_DROP)
        m.u.borrow_drop = (struct msg_borrow_drop){id, borrower, version};
    world_msg(w, from, &m);
}

static covey_status ready(struct world *w, struct addr to, struct place *place)
{
    const struct msg *m = world_take(w, to, MSG_OBJECT_READY);
    assert_non_null(m);
    while (w->twice && world_take(w, to, MSG_OBJECT_READY)) {
        /* a second question may have a second answer */
    }
    *place = m->u.object_ready.place;
    return (covey_status)m->u.object_ready.status;
}

/* ---- failures to start -------------------------------------------------------------------------- */

static void fail_start(struct world *w, const char *why)
{
    for (uint32_t i = 0; i < w->started_count; i++) {
        if (w->started[i].over)
            continue;
        w->started[i].over = true;
        for (int k = 0; k < (w->twice ? 2 : 1); k++) {
            node_start_failed(w->node, w->started[i].proc, COVEY_ESYSTEM, why, w->now);
            world_after(w);
        }
        return;
    }
    fail_msg("nothing was started");
}

static void test_three_failed_starts(void **state)
{
    (void)state;
    struct world *w = open_world_of(1);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 4);
    fail_start(w, "exec: no such file");
    fail_start(w, "exec: no such file");
    assert_null(world_take(w, a, MSG_LEASE_STALL));
    fail_start(w, "exec: not executable");
    world_stalled(w, a, COVEY_ESTART, "exec: not executable");
    assert_int_equal(world_starting(w), 0);
    assert_int_equal(node_stats(w->node).free.cpu_milli, 1000);
    world_want(w, b, 1, 1);
    world_stalled(w, b, COVEY_ESTART, "not executable");
    /* Another client says it anew: what was wrong may be mended. */
    struct addr c = world_owner(w, 1);
    world_want(w, c, 1, 1);
    assert_int_equal(world_starting(w), 1);
    world_close(w);
}

static void test_failures_in_a_row(void **state)
{
    (void)state;
    struct world *w = open_world_of(1);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 1);
    for (int i = 0; i < 5; i++) {
        fail_start(w, "x");
        fail_start(w, "x");
        world_hello(w);
        struct msg_lease_grant g = world_granted(w, a);
        world_gone(w, g.worker.proc, -9, "");
        assert_null(world_take(w, a, MSG_LEASE_STALL));
    }
    world_close(w);
}

static void test_end_before_hello_is_a_failed_start(void **state)
{
    (void)state;
    struct world *w = open_world_of(1);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 1);
    for (int i = 0; i < 3; i++)
        world_gone(w, w->started[i].proc, 127, "cannot load libfoo.so");
    world_stalled(w, a, COVEY_ESTART, "cannot load libfoo.so");
    assert_null(world_take(w, a, MSG_WORKER_DIED));
    world_close(w);
}

/* ---- death of workers and clients ----------------------------------------------------- */

static void test_worker_dies(void **state)
{
    (void)state;
    struct world *w = open_world_of(1);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    world_gone(w, g.worker.proc, -11, "killed by SIGSEGV; last lines: x");
    const struct msg *m = world_take(w, a, MSG_WORKER_DIED);
    assert_non_null(m);
    assert_int_equal(m->u.worker_died.lease, g.lease);
    assert_int_equal(m->u.worker_died.worker.proc, g.worker.proc);
    assert_int_equal(m->u.worker_died.exit_status, -11);
    assert_non_null(strstr((const char *)m->u.worker_died.why.data, "SIGSEGV"));
    assert_null(world_take(w, a, MSG_WORKER_DIED));
    assert_non_null(world_take(w, a, MSG_PROC_DEAD));
    world_hello(w);                     /* the want is still there, and met again */
    assert_int_not_equal(world_granted(w, a).worker.proc, g.worker.proc);
    world_close(w);
}

static void test_worker_kill(void **state)
{
    (void)state;
    struct world *w = open_world_of(1);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    struct msg m = {.kind = MSG_WORKER_KILL};
    m.u.worker_kill = (struct msg_worker_kill){g.lease, 77};
    world_msg(w, b, &m);                /* not its lease */
    assert_int_equal(w->killed_count, 0);
    world_msg(w, a, &m);
    assert_int_equal(w->killed_count, 1);
    assert_int_equal(w->killed[0].how, NODE_KILL_NOW);
    world_reap(w);
    assert_int_equal(world_take(w, a, MSG_WORKER_DIED)->u.worker_died.running_seq, 77);
    world_close(w);
}

/* What ran is known from the worker's page; the owner hears it if it is its own. */
static void test_running_task_is_named(void **state)
{
    (void)state;
    for (int mine = 0; mine < 2; mine++) {
        struct world *w = open_world_of(1);
        struct addr a = world_owner(w, 1), b = world_owner(w, 1);
        world_want(w, a, 1, 1);
        world_hello(w);
        struct addr worker = world_granted(w, a).worker;
        node_worker_ran(w->node, worker.proc, mine ? a : b, 55);
        node_proc_gone(w->node, worker.proc, -11, "was killed by SIGSEGV", w->now);
        assert_int_equal(world_take(w, a, MSG_WORKER_DIED)->u.worker_died.running_seq, mine ? 55 : 0);
        world_close(w);
    }
}

static void test_killed_worker_is_not_lent_again(void **state)
{
    (void)state;
    struct world *w = open_world_of(1);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct msg_lease_grant g = world_granted(w, a);
    struct msg m = {.kind = MSG_WORKER_KILL};
    m.u.worker_kill = (struct msg_worker_kill){g.lease, 77};
    world_msg(w, a, &m);
    world_return(w, a, g.lease);
    world_hello(w);
    assert_int_not_equal(world_granted(w, a).worker.proc, g.worker.proc);
    world_pass_time(w, 5 * SECOND_NS);
    world_reap(w);
    assert_null(world_take(w, a, MSG_WORKER_DIED));
    world_close(w);
}

static void test_client_dies(void **state)
{
    (void)state;
    struct world *w = open_world_of(2);
    struct addr a = world_owner(w, 1), b = world_owner(w, 1);
    world_want(w, a, 1, 3);
    world_hello(w);
    struct addr worker = world_granted(w, a).worker, who;
    world_want(w, b, 1, 2);
    world_gone(w, a.proc, -9, "");
    assert_int_equal(w->killed_count, 2);
    assert_false(node_worker_owner(w->node, worker.proc, &who));
    assert_non_null(world_take(w, worker, MSG_PROC_DEAD));
    assert_non_null(world_take(w, b, MSG_PROC_DEAD));
    /* Their resources are free when their processes are gone, not before. */
    assert_int_equal(node_stats(w->node).free.cpu_milli, 0);
    assert_int_equal(w->started_count, 2);
    world_reap(w);
    world_hello(w);
    assert_int_equal(world_count(w, b, MSG_LEASE_GRANT), 2);
    assert_int_equal(node_stats(w->node).wants, 0);
    assert_int_equal(world_count(w, a, MSG_WORKER_DIED), 0);
    world_close(w);
}

static void test_client_dies_while_its_workers_start(void **state)
{
    (void)state;
    struct world *w = open_world_of(2);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 2);
    world_gone(w, a.proc, 0, "");
    assert_int_equal(node_stats(w->node).free.cpu_milli, 2000);
    assert_int_equal(world_hello(w), 2);
    assert_int_equal(node_stats(w->node).idle, 2);
    world_close(w);
}

static void test_death_of_a_chain(void **state)
{
    (void)state;
    struct world *w = open_world_of(4);
    struct addr a = world_owner(w, 1);
    struct addr owner = a;
    for (int i = 0; i < 3; i++) {       /* a's worker's worker's worker */
        world_want(w, owner, 1, 1);
        world_hello(w);
        owner = world_granted(w, owner).worker;
        world_package(w, owner, 1);
        world_class(w, owner, 1, 1, CPU(1));
    }
    world_gone(w, a.proc, 0, "");
    assert_int_equal(world_reap(w), 3); /* each death kills the next */
    assert_int_equal(node_stats(w->node).workers, 0);
    assert_int_equal(node_stats(w->node).free.cpu_milli, 4000);
    world_close(w);
}

/* ---- the store ----------------------------------------------------------------- */

static void test_store_messages(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1);
    assert_true(e.bytes >= ARENA_BLOCK);
    struct place p = world_seal(w, &e, 0, a, 1);
    world_seal(w, &e, 1, a, 2);
    close_extent(w, a, &e, 2);
    assert_int_equal(live(w), 2);
    uint32_t ordinal = p.ordinal;
    struct msg m = {.kind = MSG_OBJECT_FREE};
    m.u.object_free = (struct msg_object_free){e.extent, e.gen, 1, &ordinal};
    world_msg(w, a, &m);
    assert_int_equal(live(w), 1);
    m = (struct msg){.kind = MSG_EXTENT_WANT};
    m.u.extent_want = (struct msg_extent_want){2, UINT64_C(1) << 40};
    world_msg(w, a, &m);
    const struct msg *refused = world_take(w, a, MSG_EXTENT_REFUSED);
    assert_non_null(refused);
    assert_int_equal(refused->u.extent_refused.status, COVEY_ETOOBIG);
    assert_non_null(strstr((const char *)refused->u.extent_refused.why.data, "are free"));
    world_close(w);
}

/* ---- census ------------------------------------------------------------------------ */

static void test_census_frees_after_all_have_answered(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), c = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1);
    struct place held = world_seal(w, &e, 0, a, 1);
    world_seal(w, &e, 1, a, 2);
    world_gone(w, a.proc, -9, "");
    assert_int_equal(world_count(w, b, MSG_PROC_DEAD), 1);
    assert_int_equal(world_count(w, c, MSG_PROC_DEAD), 1);
    assert_int_equal(world_take(w, b, MSG_PROC_DEAD)->u.proc_dead.who.proc, a.proc);
    assert_int_equal(live(w), 2);
    world_census(w, b, a, 1, &held);
    assert_int_equal(live(w), 2);
    world_census(w, c, a, 0, NULL);
    assert_int_equal(live(w), 1);       /* all but what b holds */
    borrow(w, b, MSG_BORROW_DROP, id_of(a, 1), b, 1);
    assert_int_equal(live(w), 0);
    assert_int_equal(node_store_stats(w->node).closed, 0);
    world_close(w);
}

static void test_census_with_a_death_during_it(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), c = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1);
    struct place held = world_seal(w, &e, 0, a, 1);
    world_seal(w, &e, 1, a, 2);
    world_gone(w, a.proc, -9, "");
    world_census(w, b, a, 1, &held);
    world_gone(w, c.proc, -9, "");      /* will not answer: counts as one that holds nothing */
    assert_int_equal(live(w), 1);
    world_gone(w, b.proc, -9, "");      /* and the last holder goes */
    assert_int_equal(live(w), 0);
    world_close(w);
}

static void test_holder_dies_before_the_census_ends(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), c = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1);
    struct place held = world_seal(w, &e, 0, a, 1);
    world_gone(w, a.proc, -9, "");
    world_census(w, b, a, 1, &held);
    world_gone(w, b.proc, -9, "");
    assert_int_equal(live(w), 1);       /* c may hold it as well */
    world_census(w, c, a, 1, &held);
    assert_int_equal(live(w), 1);
    borrow(w, c, MSG_BORROW_DROP, id_of(a, 1), c, 4);
    assert_int_equal(live(w), 0);
    world_close(w);
}

static void test_late_joiner_is_not_awaited(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1);
    world_seal(w, &e, 0, a, 1);
    world_gone(w, a.proc, -9, "");
    struct addr c = world_client(w);
    assert_null(world_take(w, c, MSG_PROC_DEAD));
    world_census(w, c, a, 0, NULL);     /* not asked */
    assert_int_equal(live(w), 1);
    world_census(w, b, a, 0, NULL);
    assert_int_equal(live(w), 0);
    world_close(w);
}

static void test_tools_are_not_asked(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), tool;
    assert_int_equal(world_enter(w, ROLE_TOOL, 0, 0, &tool), COVEY_OK);
    struct msg_extent_grant e = world_extent(w, a, 1);
    world_seal(w, &e, 0, a, 1);
    world_gone(w, a.proc, -9, "");
    assert_null(world_take(w, tool, MSG_PROC_DEAD));
    assert_int_equal(live(w), 0);
    world_gone(w, tool.proc, 0, "");
    world_close(w);
}

static void test_census_lies_are_not_believed(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1), f = world_extent(w, b, 1);
    struct place mine = world_seal(w, &f, 0, b, 1), his = world_seal(w, &e, 0, a, 1);
    world_gone(w, a.proc, -9, "");
    struct place lies[6];
    for (int i = 0; i < 6; i++)
        lies[i] = his;
    lies[0].gen++;
    lies[1].ordinal++;
    lies[2].offset += 8;
    lies[3].offset = UINT64_MAX & ~UINT64_C(63);
    lies[4].node = 2;
    lies[5] = mine;                     /* not the dead one's */
    world_census(w, b, a, 6, lies);
    assert_int_equal(live(w), 0);
    assert_int_equal(node_store_stats(w->node).lent, 1);
    world_close(w);
}

/* ---- adopted objects ------------------------------------------------------------------ */

static void test_wait_is_served_from_the_place(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), c = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1);
    struct place held = world_seal(w, &e, 0, a, 1), got;
    world_gone(w, a.proc, -9, "");
    wait_for(w, c, id_of(a, 1));        /* cannot be known yet */
    wait_for(w, c, id_of(a, 2));
    assert_null(world_take(w, c, MSG_OBJECT_READY));
    world_census(w, b, a, 1, &held);
    wait_for(w, b, id_of(a, 1));
    assert_int_equal(ready(w, b, &got), COVEY_OK);
    assert_int_equal(got.offset, held.offset);
    world_census(w, c, a, 0, NULL);
    const struct msg *m = world_take(w, c, MSG_OBJECT_READY);
    assert_int_equal(m->u.object_ready.status, COVEY_OK);
    assert_true(m->u.object_ready.in_store);
    m = world_take(w, c, MSG_OBJECT_READY);
    assert_int_equal(m->u.object_ready.id.seq, 2);
    assert_int_equal(m->u.object_ready.status, COVEY_EOWNER);
    assert_null(world_take(w, c, MSG_OBJECT_READY));
    wait_for(w, c, id_of(a, 99));       /* long after */
    assert_int_equal(ready(w, c, &got), COVEY_EOWNER);
    wait_for(w, c, id_of(b, 1));        /* b lives and speaks for itself */
    assert_null(world_take(w, c, MSG_OBJECT_READY));
    world_close(w);
}

static void test_passing_on(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), c = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1);
    struct place held = world_seal(w, &e, 0, a, 1);
    world_gone(w, a.proc, -9, "");
    borrow(w, b, MSG_BORROW_ADD, id_of(a, 1), c, 5);    /* before anybody told the place */
    assert_non_null(world_take(w, b, MSG_BORROW_ADDED));
    world_census(w, b, a, 1, &held);
    world_census(w, c, a, 0, NULL);
    borrow(w, b, MSG_BORROW_DROP, id_of(a, 1), b, 1);
    assert_int_equal(live(w), 1);       /* c has it */
    borrow(w, c, MSG_BORROW_DROP, id_of(a, 1), c, 4);   /* of an earlier time */
    assert_int_equal(live(w), 1);
    borrow(w, c, MSG_BORROW_DROP, id_of(a, 1), c, 5);
    assert_int_equal(live(w), 0);
    borrow(w, b, MSG_BORROW_ADD, id_of(a, 1), c, 6);    /* too late, but answered */
    assert_int_equal(world_take(w, b, MSG_BORROW_ADDED)->u.borrow_added.version, 5 + !w->twice);
    world_close(w);
}

static void test_drop_before_its_add(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), c = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1);
    struct place held = world_seal(w, &e, 0, a, 1);
    world_gone(w, a.proc, -9, "");
    world_census(w, b, a, 1, &held);
    world_census(w, c, a, 0, NULL);
    borrow(w, c, MSG_BORROW_DROP, id_of(a, 1), c, 3);
    borrow(w, b, MSG_BORROW_ADD, id_of(a, 1), c, 3);
    borrow(w, b, MSG_BORROW_DROP, id_of(a, 1), b, 1);
    assert_int_equal(live(w), 0);
    world_close(w);
}

static void test_blind_objects_end_with_the_census(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), c = world_client(w);
    struct place got;
    world_gone(w, a.proc, -9, "");
    borrow(w, b, MSG_BORROW_ADD, id_of(a, 8), c, 1);
    world_census(w, b, a, 0, NULL);
    world_census(w, c, a, 0, NULL);
    wait_for(w, c, id_of(a, 8));
    assert_int_equal(ready(w, c, &got), COVEY_EOWNER);
    world_gone(w, c.proc, 0, "");
    world_close(w);
}

/* ---- what a dead writer had sealed for others --------------------------------------------- */

static void test_keep_ask(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), c = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1);
    struct place known = world_seal(w, &e, 0, b, 1);
    world_seal(w, &e, 1, b, 2);
    world_seal(w, &e, 2, c, 1);
    world_seal(w, &e, 3, a, 1);
    world_gone(w, a.proc, -9, "");
    const struct msg *ask = world_take(w, b, MSG_KEEP_ASK);
    assert_non_null(ask);
    assert_int_equal(ask->u.keep_ask.kept_count, 2);
    assert_int_equal(ask->u.keep_ask.kept[0].place.offset, known.offset);
    struct kept unknown = ask->u.keep_ask.kept[1];
    assert_int_equal(unknown.id.seq, 2);
    assert_int_equal(world_take(w, c, MSG_KEEP_ASK)->u.keep_ask.kept_count, 1);
    world_census(w, b, a, 0, NULL);
    world_census(w, c, a, 0, NULL);
    assert_int_equal(live(w), 3);
    struct msg m = {.kind = MSG_KEEP_ANSWER};
    m.u.keep_answer = (struct msg_keep_answer){ask->u.keep_ask.request, 1, &unknown};
    world_msg(w, c, &m);                /* of somebody else's object */
    assert_int_equal(live(w), 3);
    world_msg(w, b, &m);
    assert_int_equal(live(w), 2);
    world_close(w);
}

static void test_writer_dies_after_the_owner(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr writer = world_client(w), owner = world_client(w), holder = world_client(w);
    struct msg_extent_grant e = world_extent(w, writer, 1);
    struct place held = world_seal(w, &e, 0, owner, 1);
    world_gone(w, owner.proc, -9, "");
    world_census(w, holder, owner, 1, &held);
    world_census(w, writer, owner, 0, NULL);
    world_seal(w, &e, 1, owner, 2);     /* a result for nobody */
    world_gone(w, writer.proc, -9, "");
    assert_null(world_take(w, owner, MSG_KEEP_ASK));
    world_census(w, holder, writer, 0, NULL);
    assert_int_equal(live(w), 1);       /* what is adopted */
    world_gone(w, holder.proc, -9, "");
    assert_int_equal(live(w), 0);
    world_close(w);
}

/* ---- queries ------------------------------------------------------------------------------------ */

static struct msg query_of(uint32_t what, uint64_t request)
{
    struct msg m = {.kind = MSG_QUERY};
    m.u.query = (struct msg_query){.request = request, .what = what};
    return m;
}

struct table { uint32_t rows, columns; uint64_t dropped; const char *cell[4096]; bool last; };

/* All rows that were sent to @to so far. */
static struct table rows_of(struct world *w, struct addr to, uint64_t request)
{
    struct table t = {0};
    const struct msg *m;
    while ((m = world_take(w, to, MSG_ROWS)) != NULL) {
        assert_int_equal(m->u.rows.request, request);
        assert_false(t.last);
        t.last = m->u.rows.last;
        t.dropped += m->u.rows.dropped;
        t.columns = m->u.rows.columns;
        uint32_t column = 0;
        for (uint32_t at = 0; at < m->u.rows.cells.len; column++) {
            uint32_t i = t.rows * t.columns + column % t.columns;
            assert_true(i < 4096);
            t.cell[i] = (const char *)m->u.rows.cells.data + at;
            at += (uint32_t)strlen(t.cell[i]) + 1;
            t.rows += column % t.columns == t.columns - 1;
        }
        assert_true(t.columns == 0 || column % t.columns == 0);
    }
    return t;
}

static const char *cell_of(const struct table *t, uint32_t what, uint32_t row, const char *column)
{
    struct rows_table names = rows_table_of(what);
    assert_int_equal(names.columns, t->columns);
    assert_true(row < t->rows);
    for (uint32_t i = 0; i < names.columns; i++)
        if (strcmp(names.names[i], column) == 0)
            return t->cell[row * t->columns + i];
    fail_msg("no column %s", column);
    return "";
}

static void test_query_status(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w);
    struct msg m = query_of(QUERY_STATUS, 5);
    world_msg(w, a, &m);
    struct table t = rows_of(w, a, 5);
    assert_true(t.last);
    bool found = false;
    for (uint32_t i = 0; i < t.rows; i++)
        if (strcmp(cell_of(&t, QUERY_STATUS, i, "key"), "cpus") == 0)
            found = strcmp(cell_of(&t, QUERY_STATUS, i, "value"), "2") == 0;
    assert_true(found);
    world_close(w);
}

static void test_query_workers(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 2);
    struct addr self;
    assert_int_equal(world_enter(w, ROLE_WORKER, w->started[0].proc, w->started[0].token, &self), COVEY_OK);
    struct msg m = query_of(QUERY_WORKERS, 6);
    world_msg(w, a, &m);
    struct table t = rows_of(w, a, 6);
    char name[16];
    assert_int_equal(t.rows, 2);
    snprintf(name, sizeof name, "w%u", self.proc);
    assert_string_equal(cell_of(&t, QUERY_WORKERS, 0, "id"), name);
    assert_string_equal(cell_of(&t, QUERY_WORKERS, 0, "state"), "running");
    snprintf(name, sizeof name, "c%u", a.proc);
    assert_string_equal(cell_of(&t, QUERY_WORKERS, 0, "owner"), name);
    assert_string_equal(cell_of(&t, QUERY_WORKERS, 1, "state"), "starting");
    m.u.query.state = span_str("running");
    world_msg(w, a, &m);
    assert_int_equal(rows_of(w, a, 6).rows, 1);
    m.u.query.state = span_str("a state that is much too long to be the name of any");
    world_msg(w, a, &m);
    assert_int_equal(rows_of(w, a, 6).rows, 0);
    world_close(w);
}

static void test_query_objects(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w);
    struct msg_extent_grant e = world_extent(w, a, 1), f = world_extent(w, b, 2);
    struct place held = world_seal(w, &e, 0, a, UINT64_C(3) << ROWS_SLOT_BITS | 5);
    for (uint32_t i = 0; i < 5; i++)
        world_seal(w, &f, i, b, i + 1);
    world_gone(w, a.proc, 0, "");
    world_census(w, b, a, 1, &held);
    struct msg m = query_of(QUERY_OBJECTS, 7);
    m.u.query.limit = 4;
    world_msg(w, b, &m);
    struct table t = rows_of(w, b, 7);
    assert_int_equal(t.rows, 4);
    assert_int_equal(t.dropped, 2);
    m.u.query.limit = 0;
    m.u.query.state = span_str("adopted");
    world_msg(w, b, &m);
    t = rows_of(w, b, 7);
    char id[32];
    assert_int_equal(t.rows, 1);
    snprintf(id, sizeof id, "o%u.3.0", a.proc);
    assert_string_equal(cell_of(&t, QUERY_OBJECTS, 0, "id"), id);
    assert_string_equal(cell_of(&t, QUERY_OBJECTS, 0, "size_bytes"), "64");
    assert_string_equal(cell_of(&t, QUERY_OBJECTS, 0, "kind"), "bytes");
    world_close(w);
}

static void test_query_nodes(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w);
    struct msg m = query_of(QUERY_NODES, 8);
    world_msg(w, a, &m);
    struct table t = rows_of(w, a, 8);
    assert_int_equal(t.rows, 1);
    assert_string_equal(cell_of(&t, QUERY_NODES, 0, "name"), "here");
    struct node_view nodes[2] = {
        {.node = 1, .alive = true, .name = span_str("here"), .total = {.cpu_milli = 2000}},
        {.node = 2, .alive = false, .name = span_str("there"), .total = {.cpu_milli = 64000}},
    };
    struct msg_view view = {.version = 3, .node_count = 2, .nodes = nodes};
    node_view(w->node, &view, w->now);
    view.version = 2;
    view.node_count = 1;
    node_view(w->node, &view, w->now);  /* old */
    world_msg(w, a, &m);
    t = rows_of(w, a, 8);
    assert_int_equal(t.rows, 2);
    assert_string_equal(cell_of(&t, QUERY_NODES, 1, "state"), "suspect");
    assert_string_equal(cell_of(&t, QUERY_NODES, 1, "cpus"), "64");
    assert_string_equal(cell_of(&t, QUERY_NODES, 1, "store_bytes"), "");
    world_close(w);
}

static void finish(struct world *w, struct addr worker, struct addr owner, uint64_t number, uint32_t status)
{
    struct done done = {.owner = owner, .seq = number << ROWS_SLOT_BITS | 1, .attempt = 2, .status = status,
                        .name = span_str("square"), .end_unix_ms = 1234, .run_ns = 1500 * 1000,
                        .printed = {number, number + 1, number + 2, number + 3}};
    struct msg m = {.kind = MSG_TASK_DONE};
    m.u.task_done = (struct msg_task_done){.done_count = 1, .done = &done};
    world_msg(w, worker, &m);
}

/* An owner's rows: tasks "tP.N" for N = @from .. @to - 1. */
static void answer_tasks(struct world *w, struct addr owner, uint64_t request, uint32_t from, uint32_t to)
{
    char cells[4096];
    uint32_t len = 0;
    for (uint32_t i = from; i < to; i++) {
        char row[128];
        int n = snprintf(row, sizeof row, "t%u.%u|pushed|square|c%u|w1|1|||", owner.proc, i, owner.proc);
        for (int k = 0; k <= n; k++)
            cells[len++] = row[k] == '|' ? 0 : row[k];
    }
    struct msg m = {.kind = MSG_ROWS};
    m.u.rows = (struct msg_rows){.request = request, .last = true, .columns = ROWS_TASKS_COLUMNS,
                                 .cells = {(const uint8_t *)cells, len}};
    world_msg(w, owner, &m);
}

static void test_what_a_task_printed_is_remembered(void **state)
{
    (void)state;
    struct world *w = open_world_of(1);
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct addr worker = world_granted(w, a).worker;
    struct printed printed;
    uint32_t proc;
    finish(w, worker, a, 7, COVEY_OK);
    finish(w, worker, a, 8, COVEY_ETASK);
    assert_true(node_task_printed(w->node, a.proc, 7, &proc, &printed));
    assert_int_equal(proc, worker.proc);
    assert_int_equal(printed.out_begin, 7);
    assert_int_equal(printed.err_end, 10);
    assert_false(node_task_printed(w->node, a.proc, 9, &proc, &printed));
    assert_false(node_task_printed(w->node, a.proc + 1, 7, &proc, &printed));
    world_close(w);
}

static void test_query_tasks(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), tool;
    assert_int_equal(world_enter(w, ROLE_TOOL, 0, 0, &tool), COVEY_OK);
    finish(w, a, b, 1, COVEY_OK);
    finish(w, a, b, 2, COVEY_ETASK);
    finish(w, a, b, 3, COVEY_ECANCELLED);
    struct msg m = query_of(QUERY_TASKS, 9);
    world_msg(w, tool, &m);
    world_msg(w, tool, &m);             /* asked again while it is being answered */
    uint64_t to_a = world_take(w, a, MSG_QUERY)->u.query.request;
    uint64_t to_b = world_take(w, b, MSG_QUERY)->u.query.request;
    assert_null(world_take(w, a, MSG_QUERY));
    answer_tasks(w, a, to_a, 1, 4);
    answer_tasks(w, b, to_b + 1, 1, 4); /* to another question */
    assert_null(world_take(w, tool, MSG_ROWS));
    answer_tasks(w, b, to_b, 3, 6);     /* 3 has ended meanwhile */
    struct table t = rows_of(w, tool, 9);
    assert_true(t.last);
    assert_int_equal(t.rows, 3 + 3 + 2);
    assert_string_equal(cell_of(&t, QUERY_TASKS, 0, "state"), "pushed");
    assert_string_equal(cell_of(&t, QUERY_TASKS, 6, "state"), "failed");    /* newest first */
    assert_string_equal(cell_of(&t, QUERY_TASKS, 7, "state"), "done");
    assert_string_equal(cell_of(&t, QUERY_TASKS, 7, "run_ms"), "1.500");
    assert_string_equal(cell_of(&t, QUERY_TASKS, 7, "attempt"), "2");
    assert_string_equal(cell_of(&t, QUERY_TASKS, 7, "end_unix_ms"), "1234");
    char id[32];
    snprintf(id, sizeof id, "t%u.1", b.proc);
    assert_string_equal(cell_of(&t, QUERY_TASKS, 7, "id"), id);
    assert_int_equal(node_stats(w->node).tasks_finished, 3);
    assert_int_equal(node_stats(w->node).tasks_failed, 1);
    world_close(w);
}

static void test_query_tasks_of_silent_owners(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), tool;
    assert_int_equal(world_enter(w, ROLE_TOOL, 0, 0, &tool), COVEY_OK);
    finish(w, a, b, 1, COVEY_OK);
    struct msg m = query_of(QUERY_TASKS, 9);
    world_msg(w, tool, &m);
    world_pass_time(w, NODE_QUERY_WAIT / 2);
    assert_null(world_take(w, tool, MSG_ROWS));
    world_gone(w, b.proc, -9, "");
    world_pass_time(w, NODE_QUERY_WAIT);
    struct table t = rows_of(w, tool, 9);
    assert_true(t.last);
    assert_int_equal(t.rows, 1);
    assert_true(t.dropped > 0);
    world_census(w, a, b, 0, NULL);
    assert_int_equal(node_deadline(w->node), NEVER_NS);
    /* The one who asks may die, too, or be the last. */
    world_msg(w, tool, &m);
    world_gone(w, tool.proc, 0, "");
    answer_tasks(w, a, 2, 1, 2);
    assert_int_equal(node_deadline(w->node), NEVER_NS);
    world_close(w);
}

static void test_query_limits(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), b = world_client(w), tool;
    assert_int_equal(world_enter(w, ROLE_TOOL, 0, 0, &tool), COVEY_OK);
    for (uint32_t i = 0; i < 5; i++)
        finish(w, a, b, i + 1, COVEY_OK);
    struct msg m = query_of(QUERY_TASKS, 9);
    m.u.query.limit = 3;
    world_msg(w, tool, &m);
    answer_tasks(w, a, 1, 1, 3);
    struct msg broken = {.kind = MSG_ROWS};     /* a row that is cut off, and wrong columns */
    broken.u.rows = (struct msg_rows){.request = 1, .columns = ROWS_TASKS_COLUMNS, .cells = span_of("t1\0x", 4)};
    world_msg(w, b, &broken);
    broken.u.rows.columns = 1;
    broken.u.rows.last = true;
    world_msg(w, b, &broken);
    struct table t = rows_of(w, tool, 9);
    assert_int_equal(t.rows, 3);
    assert_int_equal(t.dropped, 4);
    /* Logs are not the core's. */
    m = query_of(QUERY_LOG, 10);
    world_msg(w, tool, &m);
    t = rows_of(w, tool, 10);
    assert_true(t.last);
    assert_int_equal(t.rows, 0);
    world_close(w);
}

static void test_history_is_bounded(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_client(w), tool;
    assert_int_equal(world_enter(w, ROLE_TOOL, 0, 0, &tool), COVEY_OK);
    struct done done[1000];
    struct msg m = {.kind = MSG_TASK_DONE};
    m.u.task_done = (struct msg_task_done){.done_count = 1000, .done = done, .dropped = 2};
    for (uint32_t k = 0; k < NODE_HISTORY_MAX / 1000 + 3; k++) {
        for (uint32_t i = 0; i < 1000; i++)
            done[i] = (struct done){.owner = a, .seq = (uint64_t)(k * 1000 + i) << ROWS_SLOT_BITS,
                                    .name = span_str("x")};
        node_msg(w->node, a, &m, w->now);
    }
    assert_int_equal(node_stats(w->node).tasks_finished, NODE_HISTORY_MAX + 3000);
    assert_int_equal(node_stats(w->node).history_dropped, 3000 + 2 * (NODE_HISTORY_MAX / 1000 + 3));
    struct msg q = query_of(QUERY_TASKS, 11);
    q.u.query.limit = 2;
    world_msg(w, tool, &q);
    answer_tasks(w, a, 1, 0, 0);
    struct table t = rows_of(w, tool, 11);
    char id[32];
    snprintf(id, sizeof id, "t%u.%u", a.proc, NODE_HISTORY_MAX + 3000 - 1);
    assert_string_equal(cell_of(&t, QUERY_TASKS, 0, "id"), id);
    assert_true(t.dropped > NODE_HISTORY_MAX - 3);
    world_close(w);
}

static void test_shutdown(void **state)
{
    (void)state;
    struct world *w = open_world();
    struct addr a = world_owner(w, 1);
    world_want(w, a, 1, 1);
    world_hello(w);
    struct addr worker = world_granted(w, a).worker;
    struct msg m = {.kind = MSG_SHUTDOWN};
    world_msg(w, worker, &m);           /* a task may not */
    assert_int_equal(w->shutdowns, 0);
    world_msg(w, a, &m);
    assert_true(w->shutdowns > 0);
    struct addr nobody = {1, 999, 0, 0};
    w->shutdowns = 0;
    world_msg(w, nobody, &m);
    assert_int_equal(w->shutdowns, 0);
    world_close(w);
}

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
        cmocka_unit_test(test_three_failed_starts),
        cmocka_unit_test(test_failures_in_a_row),
        cmocka_unit_test(test_end_before_hello_is_a_failed_start),
        cmocka_unit_test(test_worker_dies),
        cmocka_unit_test(test_worker_kill),
        cmocka_unit_test(test_running_task_is_named),
        cmocka_unit_test(test_killed_worker_is_not_lent_again),
        cmocka_unit_test(test_client_dies),
        cmocka_unit_test(test_client_dies_while_its_workers_start),
        cmocka_unit_test(test_death_of_a_chain),
        cmocka_unit_test(test_store_messages),
        cmocka_unit_test(test_census_frees_after_all_have_answered),
        cmocka_unit_test(test_census_with_a_death_during_it),
        cmocka_unit_test(test_holder_dies_before_the_census_ends),
        cmocka_unit_test(test_late_joiner_is_not_awaited),
        cmocka_unit_test(test_tools_are_not_asked),
        cmocka_unit_test(test_census_lies_are_not_believed),
        cmocka_unit_test(test_wait_is_served_from_the_place),
        cmocka_unit_test(test_passing_on),
        cmocka_unit_test(test_drop_before_its_add),
        cmocka_unit_test(test_blind_objects_end_with_the_census),
        cmocka_unit_test(test_keep_ask),
        cmocka_unit_test(test_writer_dies_after_the_owner),
        cmocka_unit_test(test_query_status),
        cmocka_unit_test(test_query_workers),
        cmocka_unit_test(test_query_objects),
        cmocka_unit_test(test_query_nodes),
        cmocka_unit_test(test_what_a_task_printed_is_remembered),
        cmocka_unit_test(test_query_tasks),
        cmocka_unit_test(test_query_tasks_of_silent_owners),
        cmocka_unit_test(test_query_limits),
        cmocka_unit_test(test_history_is_bounded),
        cmocka_unit_test(test_shutdown),
    };
    int failed = cmocka_run_group_tests_name("node lists", tests, once, NULL);
    return failed + cmocka_run_group_tests_name("node lists, everything twice", tests, twice, NULL);
}
