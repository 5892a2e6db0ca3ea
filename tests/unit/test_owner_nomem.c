/* Tests of core/owner without memory: the n-th allocation fails, for every n, and
 * in the end all of them; still every ref settles and every task ends. */
#include "owner_world.h"

#include "failing_malloc.h"

#define REFS_MAX 16u
#define ROUNDS 40u

static covey_ref refs[REFS_MAX];
static uint32_t ref_count;
static uint64_t lease_last, offset_last;
static const char value[] = "s long enough that it does not fit into the object itself";

/* A zero ref is how a program hears of it. */
static covey_ref take(covey_ref ref)
{
    assert_true(ref_count < REFS_MAX);
    if (ref.generation)
        refs[ref_count++] = ref;
    owner_check(o);
    return ref;
}

/* The first attempt of each task fails, the others leave two results, one of them
 * in the store, and one held ref. */
static void answer(struct pushed p)
{
    struct held held = {{1, self_addr.proc, p.seq, 0}, p.lease};
    struct result results[] = {{.in_store = true, .place = place_at(offset_last += 64)},
                               {.value = span_str(value)}};
    struct msg_reply r = {.seq = p.seq, .attempt = p.attempt, .lease = p.lease, .epoch = p.lease + 100,
                          .run_ns = 1000, .results = results, .result_count = 2,
                          .held = &held, .held_count = 1};
    if (p.attempt == 1) {
        r.status = COVEY_ETASK;
        r.why = span_str("the first time it fails");
    }
    reply(p.to, r);
}

/* Whatever others would do: lend workers, answer, wait, die. */
static void go_on(uint32_t round)
{
    if (owner_stats(o).leases == 0)
        grant(++lease_last, round % 2 ? w1 : w2);
    while (unanswered_count > 0)
        answer(unanswered[--unanswered_count]);
    if (round == 3)
        died(lease_last, w1, 0, "SIGKILL");
    if (round == 5)
        recall(lease_last);
    if (round == 7)
        for (uint32_t i = 0; i < ref_count; i++)
            owner_lost(o, refs[i], now);
    pass(30 * MS_NS);
}

static void submit_all(void)
{
    struct oid id;
    struct place place = place_at(offset_last += 64);
    covey_ref put = take(owner_put_inline(o, span_str(value)));
    covey_ref made = take(owner_create(o, &id));
    struct dep dep = {.kind = DEP_HANDLE, .id = {1, alice.proc, UINT64_C(5) << OWNER_SLOT_BITS, 0}};
    covey_ref borrowed = take(owner_borrow(o, &dep));
    struct task_spec spec = spec_of("x");
    spec.retry_on = COVEY_RETRY_FAILURE | COVEY_RETRY_DEATH;
    spec.result_count = 2;
    spec.deadline_ms = 60000;
    covey_ref a = take(submit_spec(spec));
    take(owner_result(o, a, 1));
    struct owner_dep deps[] = {{put, false}, {made, false}, {a, false}, {a, true}, {borrowed, false}};
    spec.deps = deps;
    spec.dep_count = 5;
    for (int32_t priority = 0; priority < 3; priority++) {
        spec.priority = priority;
        take(submit_spec(spec));
    }
    if (made.generation)
        owner_sealed(o, made, &place, now);
    owner_check(o);
    struct msg m = {.kind = MSG_OBJECT_READY};
    m.u.object_ready = (struct msg_object_ready){.id = dep.id, .value = span_str(value)};
    hear(alice, &m);
}

/* What other processes ask and say of these objects. */
static void be_asked(void)
{
    for (uint32_t i = 0; i < ref_count; i++) {
        struct oid id = id_of(refs[i]);
        struct msg m = {.kind = MSG_OBJECT_WAIT};
        m.u.object_wait.id = id;
        hear(bob, &m);
        m.kind = MSG_BORROW_ADD;
        m.u.borrow_add = (struct msg_borrow_add){id, bob, 1};
        hear(bob, &m);
        struct kept kept = {id, place_at(64)};
        m.kind = MSG_KEEP_ASK;
        m.u.keep_ask = (struct msg_keep_ask){i, 1, &kept};
        hear(node_addr, &m);
    }
}

static bool all_settled(void)
{
    for (uint32_t i = 0; i < ref_count; i++)
        if (strcmp(shown(refs[i]), "pending") == 0)
            return false;
    return true;
}

static void live_some_lives(void)
{
    ref_count = 0;
    lease_last = offset_last = 0;
    quiet = true;
    submit_all();
    be_asked();
    for (uint32_t round = 0; round < ROUNDS; round++)
        go_on(round);
    assert_true(all_settled());
    assert_int_equal(owner_stats(o).tasks, 0);
    while (ref_count > 0)
        release(refs[--ref_count]);
    const struct addr dead[] = {bob, w1, w2, alice};
    for (uint32_t i = 0; i < 4; i++)
        owner_proc_dead(o, dead[i], now);
    owner_leave(o, now);
    owner_check(o);
}

static void running_out_of_memory_settles_every_ref(void **state)
{
    (void)state;
    uint64_t n = 0;
    for (bool reached = true; reached;) {
        n++;
        malloc_fail(n, 1);
        bool open = world_open();
        if (open)
            live_some_lives();
        reached = malloc_calls >= n;
        malloc_fail(0, 0);
        /* A borrower that could not be noted keeps its object for good, and that
         * one the other result of its task. */
        if (open)
            assert_true(owner_stats(o).objects <= 2);
        owner_free(&o);
    }
    assert_true(n > 40);
}

/* As long as there is none at all no lease is taken; the node grants others. */
static void a_time_without_memory_passes(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 60; n++) {
        malloc_fail(n, 20);
        if (world_open())
            live_some_lives();
        malloc_fail(0, 0);
        owner_free(&o);
    }
}

static void a_program_hears_that_there_is_no_memory(void **state)
{
    (void)state;
    assert_true(world_open());
    take(owner_put_inline(o, span_str("i7")));
    malloc_fail(1, UINT64_MAX);
    covey_ref ref = owner_put_inline(o, span_str(value));
    shows(ref, "ENOMEM out of memory");
    shows(owner_failed(o, COVEY_EINVAL, "a text that needs room"), "ENOMEM out of memory");
    assert_int_equal(submit("x").generation, 0);
    malloc_fail(2, UINT64_MAX);             /* room for the task and none for its queue */
    ref = submit("x");
    shows(ref, "ENOMEM out of memory");
    malloc_fail(0, 0);
    struct task_spec spec = spec_of("x");   /* the same, for who depends on it */
    struct owner_dep dep = {ref, false};
    spec.deps = &dep;
    spec.dep_count = 1;
    fails(submit_spec(spec), "EDEPENDENCY");
    said("");
    owner_free(&o);
}

static void with_enough_memory_nothing_is_left(void **state)
{
    (void)state;
    assert_true(world_open());
    live_some_lives();
    assert_int_equal(owner_stats(o).objects, 0);
    assert_true(owner_stats(o).retried > 0);
    owner_free(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_hears_that_there_is_no_memory),
        cmocka_unit_test(with_enough_memory_nothing_is_left),
        cmocka_unit_test(running_out_of_memory_settles_every_ref),
        cmocka_unit_test(a_time_without_memory_passes),
    };
    return cmocka_run_group_tests_name("owner_nomem", tests, NULL, NULL);
}
