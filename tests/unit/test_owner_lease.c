/* Tests of core/owner: the queue, leases, pushing and taking back, death of a
 * worker, and what runs on one's own stack. */
#include "owner_world.h"

/* ---- the queue ---------------------------------------------------------------------- */

static covey_ref submit_at(int32_t priority, const char *args)
{
    struct task_spec spec = spec_of(args);
    spec.priority = priority;
    return submit_spec(spec);
}

static void priority_comes_first_and_then_arrival(void **state)
{
    (void)state;
    covey_ref ref = submit_at(0, "a");
    submit_at(5, "b");
    submit_at(-5, "c");
    submit_at(5, "d");
    submit_at(0, "e");
    said("class 0\nwant 1 of class 0\nwant 2 of class 0 priority 5\nwant 4 of class 0 priority 5\n"
         "want 8 of class 0 priority 5\n");
    grant(7, w1);
    said("function p21 0\ntask p21 t2.1 of 7 b\n");
    struct msg_reply r = reply_of(ref, 1, 7);
    r.seq = r.seq + (UINT64_C(1) << OWNER_SLOT_BITS) + 1;   /* the second task in the second slot */
    reply_value(w1, r, "1");
    said("task p21 t4.1 of 7 d\ntask p21 t1.1 of 7 a\ntask p21 t5.1 of 7 e\n"
         "task p21 t3.1 of 7 c\nwant 1 of class 0\n");
}

static void the_least_loaded_lease_gets_the_next_task(void **state)
{
    (void)state;
    push_some(2);
    grant(8, w2);
    said("");
    submit("a");
    submit("b");
    submit("c");
    said("function p22 0\ntask p22 t4.1 of 8 a\ntask p22 t5.1 of 8 b\ntask p21 t6.1 of 7 c\n");
}

static void nothing_is_pushed_over_a_full_link(void **state)
{
    (void)state;
    push_some(0);
    owner_link_full(o, w1, true, now);
    submit("a");
    said("want 2 of class 0\n");
    owner_link_full(o, w1, false, now);
    said("task p21 t2.1 of 7 a\nwant 1 of class 0\n");
}

/* ---- windows and levels ------------------------------------------------------------------ */

static void a_submit_beyond_its_window_waits_for_a_reply(void **state)
{
    (void)state;
    covey_ref a = submit("a"), b = submit("b");
    said("class 0\nwant 1 of class 0\nwant 2 of class 0\n");
    grant(7, w1);
    said("function p21 0\ntask p21 t1.1 of 7 a\n"); /* nobody knows yet how long they are */
    struct msg_reply r = reply_of(a, 1, 7);
    r.run_ns = 10 * MS_NS;
    reply_value(w1, r, "1");
    said("task p21 t2.1 of 7 b\nwant 1 of class 0\n");
    submit("c");
    said("want 2 of class 0\n");            /* long tasks do not wait behind long tasks */
    r = reply_of(b, 1, 7);
    r.run_ns = 0;
    reply_value(w1, r, "2");
    said("task p21 t3.1 of 7 c\nwant 1 of class 0\n");
}

static void the_level_that_is_wanted_grows_in_powers_of_two(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 9; i++)
        submit("x");
    said("class 0\nwant 1 of class 0\nwant 2 of class 0\nwant 4 of class 0\nwant 8 of class 0\n"
         "want 16 of class 0\n");
}

static void bytes_bound_the_window_too(void **state)
{
    (void)state;
    static char large[OWNER_WINDOW_BYTES / 2 + 1];
    push_some(0);
    memset(large, 'x', sizeof large - 1);
    submit(large);
    submit(large);
    submit("small");
    pass(0);
    assert_null(strstr(out, "t4"));         /* 1 MiB of arguments is on its way */
    assert_non_null(strstr(out, "t3.1 of 7"));
}

/* ---- leases --------------------------------------------------------------------------- */

static void a_second_copy_of_a_grant_is_ignored(void **state)
{
    (void)state;
    push_some(1);
    grant(7, w1);
    grant_class(99, 9, w2);                 /* of no class of ours */
    said("");
    assert_int_equal(owner_stats(o).leases, 1);
}

static void an_idle_lease_that_is_recalled_goes_back(void **state)
{
    (void)state;
    push_some(0);
    recall(7);
    said("want 0 of class 0\nreturn 7\n");
    recall(7);
    said("");
}

static void a_loaded_lease_that_is_recalled_goes_back_after_its_task(void **state)
{
    (void)state;
    push_some(3);
    recall(7);
    recall(7);
    said("revoke p21 of 7: t4 t3 t2\n");
    covey_ref back[] = {task[1], task[2]};
    revoked(w1, 7, false, 2, back);
    said("want 3 of class 0\n");            /* nothing new goes there */
    assert_int_equal(owner_stats(o).revoked, 2);
    reply_value(w1, reply_of(task[0], 1, 7), "1");
    said("return 7\n");
    grant(8, w2);
    said("function p22 0\ntask p22 t3.1 of 8 x\ntask p22 t4.1 of 8 x\nwant 1 of class 0\n");
}

static void half_is_taken_back_for_an_idle_lease(void **state)
{
    (void)state;
    push_some(4);
    grant(8, w2);
    pass_to_deadline(OWNER_REBALANCE);
    said("revoke p21 of 7: t5 t4\n");
    pass(OWNER_REBALANCE);                  /* once */
    said("");
    revoked(w1, 7, false, 2, &task[2]);
    said("function p22 0\ntask p22 t4.1 of 8 x\ntask p22 t5.1 of 8 x\n");
    reply_value(w1, reply_of(task[0], 1, 7), "1");
    reply_value(w2, reply_of(task[2], 1, 8), "1");
    shows(task[2], "=1");
}

static void what_started_meanwhile_is_not_taken_back(void **state)
{
    (void)state;
    push_some(2);
    grant(8, w2);
    pass(OWNER_REBALANCE);
    said("revoke p21 of 7: t3\n");
    reply_value(w1, reply_of(task[0], 1, 7), "1");
    revoked(w1, 7, false, 0, NULL);
    said("");
    reply_value(w1, reply_of(task[1], 1, 7), "2");
    shows(task[1], "=2");
}

static void nothing_waits_behind_a_long_task(void **state)
{
    (void)state;
    push_some(3);
    pass_to_deadline(OWNER_STALLED);
    said("revoke p21 of 7: t4 t3 t2\n");
    revoked(w1, 7, false, 2, &task[1]);
    said("want 3 of class 0\n");
    grant(8, w2);
    said("function p22 0\ntask p22 t3.1 of 8 x\ntask p22 t4.1 of 8 x\nwant 2 of class 0\n");
    submit("y");                            /* not to the first one */
    said("task p22 t5.1 of 8 y\n");
    reply_value(w1, reply_of(task[0], 1, 7), "1");
    shows(task[0], "=1");
}

static void a_blocked_worker_gets_nothing_until_it_replies(void **state)
{
    (void)state;
    push_some(2);
    revoked(w1, 7, true, 1, &task[1]);      /* unasked */
    said("want 2 of class 0\n");
    revoked(w2, 7, false, 0, NULL);         /* not its lease */
    submit("y");
    said("want 3 of class 0\n");
    reply_value(w1, reply_of(task[0], 1, 7), "1");
    said("task p21 t3.1 of 7 x\ntask p21 t4.1 of 7 y\nwant 1 of class 0\n");
}

static void an_idle_lease_goes_back_when_its_process_waits_itself(void **state)
{
    (void)state;
    push_some(1);
    owner_yield(o, now);
    said("");
    reply_value(w1, reply_of(task[0], 1, 7), "1");
    owner_yield(o, now);
    said("want 0 of class 0\nreturn 7\n");
}

static void leaving_ends_everything(void **state)
{
    (void)state;
    push_some(2);
    covey_ref waiting = submit_with("y", task[0], false);
    owner_leave(o, now);
    said("cancel p21 t2.1 grace 0 recursive\ncancel p21 t3.1 grace 0 recursive\nwant 0 of class 0\n");
    fails(waiting, "ECANCELLED");
    reply_error(w1, reply_of(task[0], 1, 7), COVEY_ECANCELLED, 0, "");
    died(7, w1, id_of(task[1]).seq, "SIGKILL");
    pass(OWNER_DEATH_GRACE);
    fails(task[1], "ECANCELLED");
    grant(8, w2);                           /* it was on its way */
    said("return 8\n");
    assert_false(owner_busy(o));
}

/* ---- death of a worker ---------------------------------------------------------------- */

static void only_the_task_that_ran_is_blamed_for_a_death(void **state)
{
    (void)state;
    push_some(3);
    died(7, w1, id_of(task[1]).seq, "SIGSEGV");
    died(7, w1, id_of(task[1]).seq, "SIGSEGV");     /* a second copy */
    reply_value(w1, reply_of(task[0], 1, 7), "1");  /* it was on its way */
    shows(task[0], "=1");
    covey_ref last = submit("y");
    said("want 2 of class 0\n");            /* nothing goes to the dead */
    pass_to_deadline(OWNER_DEATH_GRACE);
    grant(8, w2);
    said("function p22 0\ntask p22 t4.1 of 8 x\ntask p22 t5.1 of 8 y\nwant 1 of class 0\n");
    reply_value(w2, reply_of(task[2], 1, 8), "1");
    reply_value(w2, reply_of(last, 1, 8), "1");
    pass(20 * MS_NS);
    said("task p22 t3.2 of 8 x\n");
    assert_int_equal(owner_stats(o).retried, 1);
}

static void the_first_is_blamed_where_nobody_knows(void **state)
{
    (void)state;
    push_some(2);
    died(7, w1, 0, "");
    pass(OWNER_DEATH_GRACE);
    grant(8, w2);
    assert_non_null(strstr(out, "task p22 t3.1 of 8 x\n"));
    assert_null(strstr(out, "task p22 t2."));
    pass(20 * MS_NS);
    assert_int_equal(owner_stats(o).retried, 1);
}

static void an_idle_workers_death_ends_its_lease(void **state)
{
    (void)state;
    push_some(0);
    died(7, w1, 0, "SIGKILL");
    died(99, w1, 0, "of no lease of ours");
    pass(OWNER_DEATH_GRACE);
    said("want 0 of class 0\n");
    assert_int_equal(owner_stats(o).leases, 0);
}

/* ---- stalls, and one's own stack --------------------------------------------------------- */

static void what_can_never_run_fails(void **state)
{
    (void)state;
    covey_ref a = submit("a"), b = submit_with("b", a, false);
    stall(0, COVEY_EIMPOSSIBLE, "no node has 64 CPUs");
    stall(99, COVEY_EIMPOSSIBLE, "of no class of ours");
    fails(a, "EIMPOSSIBLE");
    assert_non_null(strstr(shown(a), "no node has 64 CPUs"));
    fails(b, "EDEPENDENCY");
    said_anything();
    submit("c");                            /* asked for anew, and answered anew */
    said("want 1 of class 0\n");
}

static void at_the_process_cap_a_waiter_runs_its_own_task(void **state)
{
    (void)state;
    struct msg_task m;
    const char *function;
    covey_ref a = submit("a"), b = submit_with("b", a, false);
    shows(a, "pending");
    assert_false(owner_local_begin(o, a, &m, &function, now));
    stall(0, COVEY_ELIMIT, "all workers wait");
    shows(a, "pending, runnable");
    shows(b, "pending, runnable");          /* what it waits for */
    stall(0, COVEY_EAGAIN, "");
    shows(b, "pending");
    stall(0, COVEY_ELIMIT, "all workers wait");
    said_anything();
    assert_true(owner_local_begin(o, b, &m, &function, now));
    owner_check(o);
    said("want 0 of class 0\n");
    assert_string_equal(function, "square");
    assert_int_equal(m.seq, id_of(a).seq);
    assert_int_equal(m.attempt, 1);
    assert_memory_equal(m.args.data, "a", 1);
    owner_local_post(o, m.seq, span_str("hello"), false);
    said("post o1 #1 hello\n");
    owner_local_post(o, m.seq, span_str("well?"), true);
    said("post o1 #2 well?\n");
    assert_int_equal(owner_local_reader(o, m.seq).index, a.index);
    assert_int_equal(owner_post_answer(o, a, 2, span_str("yes"), now), COVEY_OK);
    said("answer p9 t1.1 #2 yes\n");       /* the driver hands this to its executor, too */
    cancel(a, 100);                         /* the driver hands it to its executor */
    said("cancel p9 t1.1 grace 100\n");
    struct result result = {.value = span_str("16")};
    owner_local_end(o, m.seq, &(struct msg_reply){.seq = m.seq, .attempt = 1, .result_count = 1, .results = &result},
                    now);
    owner_check(o);
    shows(a, "=16");
    shows(b, "pending, runnable");
    grant(7, w1);
    said("want 1 of class 0\nfunction p21 0\ntask p21 t2.1 of 7 b =16\n");
    shows(b, "pending");
}

static void a_local_task_fails_and_is_tried_again(void **state)
{
    (void)state;
    struct msg_task m;
    const char *function;
    struct task_spec spec = spec_of("a");
    spec.retry_on = COVEY_RETRY_FAILURE;
    covey_ref ref = submit_spec(spec);
    stall(0, COVEY_ELIMIT, "all workers wait");
    assert_true(owner_local_begin(o, ref, &m, &function, now));
    owner_local_end(o, m.seq, &(struct msg_reply){.seq = m.seq, .attempt = 1, .status = COVEY_ETASK}, now);
    owner_check(o);
    shows(ref, "pending");
    pass_to_deadline(20 * MS_NS);
    assert_true(owner_local_begin(o, ref, &m, &function, now));
    assert_int_equal(m.attempt, 2);
    owner_local_end(o, m.seq, &(struct msg_reply){.seq = m.seq, .attempt = 2, .status = COVEY_ESIGNATURE}, now);
    fails(ref, "ESIGNATURE task \"square\" (t9.1, attempt 2 of 4, on its caller's stack) failed");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(priority_comes_first_and_then_arrival),
        TEST(the_least_loaded_lease_gets_the_next_task),
        TEST(nothing_is_pushed_over_a_full_link),
        TEST(a_submit_beyond_its_window_waits_for_a_reply),
        TEST(the_level_that_is_wanted_grows_in_powers_of_two),
        TEST(bytes_bound_the_window_too),
        TEST(a_second_copy_of_a_grant_is_ignored),
        TEST(an_idle_lease_that_is_recalled_goes_back),
        TEST(a_loaded_lease_that_is_recalled_goes_back_after_its_task),
        TEST(half_is_taken_back_for_an_idle_lease),
        TEST(what_started_meanwhile_is_not_taken_back),
        TEST(nothing_waits_behind_a_long_task),
        TEST(a_blocked_worker_gets_nothing_until_it_replies),
        TEST(an_idle_lease_goes_back_when_its_process_waits_itself),
        TEST(leaving_ends_everything),
        TEST(only_the_task_that_ran_is_blamed_for_a_death),
        TEST(the_first_is_blamed_where_nobody_knows),
        TEST(an_idle_workers_death_ends_its_lease),
        TEST(what_can_never_run_fails),
        TEST(at_the_process_cap_a_waiter_runs_its_own_task),
        TEST(a_local_task_fails_and_is_tried_again),
    };
    return cmocka_run_group_tests_name("owner_lease", tests, NULL, NULL);
}
