/* test_exec.c - every sentence of core/exec.h; exec_world.h tells how to read
 * it, and test_exec_model.c does at random what is done here on purpose.
 */
#include "exec_world.h"

/* ---- one task ----------------------------------------------------------- */

static void a_task_runs_and_replies(void **state)
{
    (void)state;
    char text[] = "abc", inline_value[] = "xyz";
    struct dep deps[2] = {
        {.kind = DEP_INLINE, .id = {1, 2, 7, 0}, .value = span_str(inline_value)},
        {.kind = DEP_PLACE, .id = {1, 2, 8, 0}, .place = {.node = 1, .offset = 4096, .size = 10}},
    };
    struct msg_task m = task_of(5, 7);
    m.trace = 77;
    m.job = 2;
    m.args = span_str(text);
    m.dep_count = 2;
    m.deps = deps;
    push(alice, m, T0);
    memset(text, '-', 3);
    memset(inline_value, '-', 3);
    memset(deps, 0, sizeof deps);
    assert_int_equal(exec_queued(e), 1);

    struct exec_task *task = start(5, T0 + 10);
    assert_int_equal(exec_queued(e), 0);
    assert_true(addr_eq(task->owner, alice));
    assert_string_equal(task->function->name, "square");
    assert_string_equal(task->function->signature, "any... -> any");
    assert_int_equal(task->trace, 77);
    assert_int_equal(task->job, 2);
    assert_int_equal((uintptr_t)task->bytes % 16, 0);
    assert_memory_equal(task->args.data, "abc", 3);
    assert_int_equal(task->dep_count, 2);
    assert_memory_equal(task->deps[0].value.data, "xyz", 3);
    assert_int_equal(task->deps[0].id.seq, 7);
    assert_int_equal(task->deps[1].place.offset, 4096);
    assert_null(exec_start(e, T0 + 10));

    struct result results[2] = {{.value = span_str("9")},
                                {.in_store = true, .place = {.offset = 64}}};
    struct held held = {.id = {1, 2, 8, 0}, .version = 3};
    exec_finish(e, task, &(struct exec_outcome){.status = COVEY_ETASK, .user_code = 4,
        .why = span_str("because"), .result_count = 2, .results = results,
        .held_count = 1, .held = &held}, T0 + 35);
    said("reply p2 5.1 of 7/1 ETASK code 4 'because' =9 @64 holds 8\n");
    assert_int_equal(last_reply.queued_ns, 10);
    assert_int_equal(last_reply.run_ns, 25);
}

static void messages_of_others_are_not_for_the_executor(void **state)
{
    (void)state;
    assert_false(exec_msg(e, alice, &(struct msg){.kind = MSG_REPLY}, T0));
    assert_false(exec_msg(e, alice, &(struct msg){.kind = MSG_LEASE_GRANT}, T0));
    said("");
}

static void a_function_is_told_once_and_unknown_ones_fail(void **state)
{
    (void)state;
    function(alice, 1, "another name");     /* a copy: the first counts */
    push_simple(alice, 1, 7);
    assert_string_equal(start(1, T0)->function->name, "square");

    struct msg_task m = task_of(2, 7);
    m.fn_id = 2;
    push(alice, m, T0);
    said("reply p2 2.1 of 7/1 EUNKNOWN 'the worker does not know a function of this number'\n");
    function(alice, EXEC_FUNCTIONS_MAX, "beyond");
    m.fn_id = EXEC_FUNCTIONS_MAX;
    push(alice, m, T0);
    said("reply p2 2.1 of 7/1 EUNKNOWN 'the worker does not know a function of this number'\n");
    function(alice, EXEC_FUNCTIONS_MAX - 1, "the last");
    m.fn_id = EXEC_FUNCTIONS_MAX - 1;
    push(alice, m, T0);
    assert_string_equal(start(2, T0)->function->name, "the last");
    said("");
}

/* ---- duplicates --------------------------------------------------------- */

static void a_copy_joins_what_is_queued_or_runs(void **state)
{
    (void)state;
    push_simple(alice, 5, 7);
    push_simple(alice, 5, 7);
    assert_int_equal(exec_queued(e), 1);
    struct exec_task *task = start(5, T0);
    push_simple(alice, 5, 8);               /* the same under a later lease */
    assert_int_equal(exec_queued(e), 0);
    finish(task, COVEY_OK, "v", 0, T0);
    said("reply p2 5.1 of 8/1 OK =v\n");
    assert_int_equal(exec_queued(e), 0);
}

static void a_copy_of_a_finished_task_gets_its_reply_again(void **state)
{
    (void)state;
    push_simple(alice, 5, 7);
    char value[] = "a value that is longer than what fits into the record itself, and so is kept "
                   "in a block of its own: two hundred bytes would do, and this is not far from "
                   "it, after all these words";
    finish(start(5, T0), COVEY_OK, value, 64, T0);
    said("reply p2 5.1 of 7/1 OK =a value that is long @64\n");
    memset(value, '-', sizeof value - 1);
    push_simple(alice, 5, 7);
    said("reply p2 5.1 of 7/1 OK =a value that is long @64\n");
    push_simple(alice, 5, 8);
    said("reply p2 5.1 of 8/1 OK =a value that is long @64\n");
    assert_null(exec_start(e, T0));

    ack(alice, 5, 1, true);
    ack(alice, 5, 1, true);
    push_simple(alice, 5, 8);               /* nothing is remembered any more */
    assert_non_null(exec_start(e, T0));
    said("");
}

static void owners_and_attempts_are_kept_apart(void **state)
{
    (void)state;
    push_simple(alice, 5, 7);
    push_simple(bob, 5, 8);
    struct msg_task second = task_of(5, 9);
    second.attempt = 2;
    push(alice, second, T0);
    assert_int_equal(exec_queued(e), 3);
    struct exec_task *first = start(5, T0), *bobs = start(5, T0), *again = start(5, T0);
    assert_true(addr_eq(bobs->owner, bob));
    assert_int_equal(again->attempt, 2);
    cancel(alice, 5, 1000, false, T0);
    assert_true(first->cancelled);
    assert_false(bobs->cancelled);
    assert_false(again->cancelled);
    said("cancel p2 5.1\nwake\n");
    finish(first, COVEY_ECANCELLED, NULL, 0, T0);
    finish(again, COVEY_OK, "2", 0, T0);
    finish(bobs, COVEY_OK, "b", 0, T0);
    said("reply p2 5.1 of 7/1 ECANCELLED\nreply p2 5.2 of 9/1 OK =2\nreply p3 5.1 of 8/1 OK =b\n");
    ack(alice, 5, 1, false);
    push(alice, second, T0);                /* attempt 2 is still kept */
    said("reply p2 5.2 of 9/1 OK =2\n");
    ack(alice, 5, 2, true);
    push(alice, second, T0);
    assert_int_equal(exec_queued(e), 1);
}

/* ---- order -------------------------------------------------------------- */

static void priority_comes_first_and_then_arrival(void **state)
{
    (void)state;
    static const int32_t priorities[] = {0, 5, -100, 0, 100, 5, INT32_MAX, INT32_MIN, 63, -63};
    static const uint64_t expected[] = {5, 7, 9, 2, 6, 1, 4, 10, 3, 8};
    for (uint64_t i = 0; i < 10; i++) {
        struct msg_task m = task_of(i + 1, 7);
        m.priority = priorities[i];
        push(alice, m, T0);
    }
    for (int i = 0; i < 10; i++)
        start(expected[i], T0);
    assert_null(exec_start(e, T0));
}

/* ---- taking back -------------------------------------------------------- */

static void revoke_returns_what_has_not_started(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 4; seq++)
        push_simple(alice, seq, 7);
    push_simple(bob, 2, 7);                 /* another node's number may be the same */
    push_simple(alice, 9, 8);
    struct exec_task *running = start(1, T0);
    const uint64_t seqs[] = {3, 1, 2, 3, 9, 77};
    revoke(alice, 7, 6, seqs);
    said("revoked p2 of 7: 3 2\n");
    revoke(alice, 7, 6, seqs);              /* a copy */
    said("revoked p2 of 7:\n");
    finish(running, COVEY_OK, "v", 0, T0);
    said("reply p2 1.1 of 7/1 OK =v\n");
    push_simple(alice, 2, 8);               /* what was returned may come again */
    start(4, T0);
    start(2, T0);
    start(9, T0);
    start(2, T0);
    assert_null(exec_start(e, T0));
}

static void revoke_of_a_lease_returns_all_of_it(void **state)
{
    (void)state;
    struct msg_task urgent = task_of(4, 7);
    urgent.priority = 1;
    push_simple(alice, 1, 7);
    push_simple(alice, 2, 8);
    push_simple(alice, 3, 7);
    push(alice, urgent, T0);
    revoke(alice, 7, 0, NULL);
    said("revoked p2 of 7: 4 1 3\n");
    revoke(alice, 7, 0, NULL);
    said("revoked p2 of 7:\n");
    revoke(bob, 8, 0, NULL);                /* not his */
    said("revoked p3 of 8:\n");
    start(2, T0);
}

static void too_many_tasks_are_returned(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= EXEC_QUEUE_MAX; seq++)
        push_simple(alice, seq, 7);
    said("");
    push_simple(alice, EXEC_QUEUE_MAX + 1, 7);
    said("revoked p2 of 7: 65537\n");
    start(1, T0);
    push_simple(alice, EXEC_QUEUE_MAX + 1, 7);
    said("");
    revoke(alice, 7, 0, NULL);
    assert_int_equal(sent_revoked, 1 + EXEC_QUEUE_MAX);
    said_anything();
}

static void too_many_bytes_are_returned(void **state)
{
    (void)state;
    size_t size = EXEC_QUEUE_BYTES_MAX / 2;
    struct msg_task m = task_of(1, 7);
    m.args = span_of(calloc(1, size), size);
    assert_non_null(m.args.data);
    push(alice, m, T0);
    m.seq = 2;
    push(alice, m, T0);
    said("revoked p2 of 7: 2\n");           /* the records themselves tip it over */
    start(1, T0);
    push(alice, m, T0);
    said("");
    free((void *)m.args.data);
}

/* ---- blocked ------------------------------------------------------------ */

static void a_blocked_worker_returns_everything_and_takes_nothing(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 3; seq++)
        push_simple(alice, seq, 7);
    push_simple(bob, 1, 8);
    struct exec_task *task = start(1, T0);
    exec_block(e, T0);
    said("revoked p2 of 7 blocked: 2 3\nrevoked p3 of 8 blocked: 1\nblocked 1\n");
    assert_int_equal(exec_queued(e), 0);
    push_simple(alice, 4, 7);
    said("revoked p2 of 7 blocked: 4\n");
    revoke(alice, 7, 0, NULL);
    said("revoked p2 of 7 blocked:\n");
    push_simple(alice, 1, 9);               /* a copy of what runs still joins it */
    said("");
    assert_null(exec_start(e, T0));

    exec_unblock(e, T0);
    said("unblocked 2\n");
    assert_false(exec_resumed(e));
    push_simple(alice, 4, 7);               /* not before the CPU is back */
    said("revoked p2 of 7 blocked: 4\n");
    resume(node_addr, 1);
    resume(node_addr, 3);
    resume(alice, 2);                       /* not for her to say */
    assert_false(exec_resumed(e));
    said("");
    resume(node_addr, 2);
    said("wake\n");
    resume(node_addr, 2);
    said("");
    assert_true(exec_resumed(e));
    finish(task, COVEY_OK, "v", 0, T0);
    said("reply p2 1.1 of 9/1 OK =v\n");
    push_simple(alice, 4, 7);
    start(4, T0);
    said("");
}

static void the_lease_of_a_running_task_hears_of_it_even_if_nothing_is_queued(void **state)
{
    (void)state;
    push_simple(alice, 1, 7);
    start(1, T0);
    exec_block(e, T0);
    said("revoked p2 of 7 blocked:\nblocked 1\n");
}

static void blocks_nest_and_only_the_first_tells(void **state)
{
    (void)state;
    struct exec_task nested = {.owner = self_addr, .seq = 3, .attempt = 1, .deadline = NEVER_NS};
    exec_block(e, T0);
    said("blocked 1\n");
    exec_nest(e, &nested, T0);
    exec_block(e, T0);
    exec_block(e, T0);
    exec_unblock(e, T0);
    exec_unblock(e, T0);
    exec_unnest(e, &nested, T0);
    said("");
    exec_unblock(e, T0);
    said("unblocked 2\n");
    exec_block(e, T0);                      /* before RESUME: that is of no use now */
    said("blocked 3\n");
    resume(node_addr, 2);
    said("");
    assert_false(exec_resumed(e));
    exec_unblock(e, T0);
    said("unblocked 4\n");
    resume(node_addr, 2);
    assert_false(exec_resumed(e));
    resume(node_addr, 4);
    assert_true(exec_resumed(e));
    said("wake\n");
}

/* ---- cancel ------------------------------------------------------------- */

static void cancelling_a_queued_task_ends_it_at_once(void **state)
{
    (void)state;
    push_simple(alice, 1, 7);
    cancel(alice, 1, 5000, false, T0 + 5);
    said("reply p2 1.1 of 7/1 ECANCELLED 'cancelled before it started'\n");
    assert_int_equal(last_reply.queued_ns, 5);
    assert_int_equal(last_reply.run_ns, 0);
    cancel(alice, 1, 5000, false, T0);      /* a copy */
    said("");
    push_simple(alice, 1, 7);               /* a late copy of the task */
    said("reply p2 1.1 of 7/1 ECANCELLED 'cancelled before it started'\n");
    assert_null(exec_start(e, T0));
    cancel(alice, 99, 5000, false, T0);     /* never heard of */
    said("");
}

static void cancelling_a_running_task_sets_its_flag_and_then_kills(void **state)
{
    (void)state;
    push_simple(alice, 1, 7);
    struct exec_task *task = start(1, T0);
    assert_int_equal(exec_deadline(e), NEVER_NS);
    cancel(alice, 1, 5000, false, T0);
    said("cancel p2 1.1\nwake\n");
    assert_int_equal(exec_deadline(e), T0 + 5 * SECOND_NS);
    cancel(alice, 1, 5000, false, T0 + SECOND_NS); /* a copy prolongs nothing */
    said("");
    cancel(alice, 1, 5000, true, T0 + SECOND_NS);
    said("cancel p2 1.1 recursive\nwake\n");
    cancel(alice, 1, 5000, false, T0 + SECOND_NS);
    cancel(alice, 1, 5000, true, T0 + SECOND_NS);
    said("");
    exec_tick(e, T0 + 5 * SECOND_NS - 1);
    said("");
    assert_int_equal(exec_deadline(e), T0 + 5 * SECOND_NS);
    exec_tick(e, T0 + 5 * SECOND_NS);
    said("kill_self for p2 1.1\n");
    exec_tick(e, T0 + 9 * SECOND_NS);
    said("");
    finish(task, COVEY_ECANCELLED, NULL, 0, T0);
    said("reply p2 1.1 of 7/1 ECANCELLED\n");
}

static void the_shortest_grace_counts_and_ends_with_the_task(void **state)
{
    (void)state;
    push_simple(alice, 1, 7);
    push_simple(alice, 2, 7);
    struct exec_task *one = start(1, T0);
    cancel(alice, 1, 5000, false, T0);
    cancel(alice, 1, 1000, false, T0);
    said("cancel p2 1.1\nwake\n");
    assert_int_equal(exec_deadline(e), T0 + SECOND_NS);
    finish(one, COVEY_OK, "v", 0, T0);      /* it had been quicker */
    said("reply p2 1.1 of 7/1 OK =v\n");
    exec_tick(e, T0 + 9 * SECOND_NS);       /* nothing is left to kill */
    said("done 1 dropped 0: 1 OK square\n");
    start(2, T0);
    cancel(alice, 2, 0, false, T0);
    exec_tick(e, T0);
    said("cancel p2 2.1\nwake\nkill_self for p2 2.1\n");
    cancel(alice, 2, INT64_MAX, false, T0);
    said("");
}

/* ---- deadlines ---------------------------------------------------------- */

static struct msg_task task_with_deadline(uint64_t seq, int64_t left_ms)
{
    struct msg_task m = task_of(seq, 7);
    m.left_ms = left_ms;
    return m;
}

static void a_task_that_is_late_does_not_start(void **state)
{
    (void)state;
    push(alice, task_with_deadline(1, 0), T0);
    push(alice, task_with_deadline(2, 10), T0);
    push(alice, task_with_deadline(3, INT64_MAX), T0);
    push(alice, task_with_deadline(4, 20), T0);
    assert_int_equal(exec_deadline(e), T0);
    start(2, T0 + 5 * MS_NS);
    said("reply p2 1.1 of 7/1 EDEADLINE 'its deadline passed before it started'\n");
    start(3, T0 + 5 * MS_NS);
    exec_tick(e, T0 + 5 * MS_NS);
    assert_int_equal(exec_deadline(e), T0 + 10 * MS_NS);
    exec_tick(e, T0 + 20 * MS_NS);
    said("reply p2 4.1 of 7/1 EDEADLINE 'its deadline passed before it started'\n"
         "cancel p2 2.1\nwake\n");
    assert_null(exec_start(e, T0 + 20 * MS_NS));
}

static void a_running_task_that_is_late_is_cancelled(void **state)
{
    (void)state;
    push(alice, task_with_deadline(1, 10), T0);
    push(alice, task_with_deadline(2, 10), T0);
    struct exec_task *one = start(1, T0), *two = start(2, T0);
    assert_int_equal(one->deadline, T0 + 10 * MS_NS);
    exec_tick(e, T0 + 10 * MS_NS);
    said("cancel p2 1.1\nwake\ncancel p2 2.1\nwake\n");
    finish(one, COVEY_ECANCELLED, NULL, 0, T0 + 11 * MS_NS);
    said("reply p2 1.1 of 7/1 EDEADLINE\n");
    assert_true(exec_deadline(e) <= T0 + 10 * MS_NS + EXEC_DEADLINE_GRACE);
    exec_tick(e, T0 + 10 * MS_NS + EXEC_DEADLINE_GRACE);
    said("kill_self for p2 2.1\ndone 1 dropped 0: 1 EDEADLINE square\n");
    finish(two, COVEY_OK, "v", 0, T0);      /* still made it */
    said("reply p2 2.1 of 7/1 OK =v\n");
}

/* ---- death of an owner -------------------------------------------------- */

static void when_an_owner_dies_its_tasks_and_results_go(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 4; seq++)
        push_simple(alice, seq, 7);
    push_simple(bob, 1, 8);
    finish(start(1, T0), COVEY_OK, "v", 64, T0);
    struct exec_task *running = start(2, T0);
    said("reply p2 1.1 of 7/1 OK =v @64\n");

    exec_proc_dead(e, alice, T0);
    said("cancel p2 2.1 recursive\nwake\ndrop @64\n");
    exec_proc_dead(e, alice, T0);
    said("");
    assert_int_equal(exec_queued(e), 1);
    exec_block(e, T0);                      /* the dead are told nothing */
    said("revoked p3 of 8 blocked: 1\nblocked 1\n");
    exec_tick(e, T0 + EXEC_ORPHAN_GRACE - 1);
    said("done 1 dropped 0: 1 OK square\n");
    uint64_t number;
    assert_int_equal(exec_post(e, running, span_str("x"), false, &number), COVEY_ECANCELLED);
    said("");
    exec_tick(e, T0 + EXEC_ORPHAN_GRACE);
    said("kill_self for p2 2.1\n");
    assert_string_equal(running->function->name, "square"); /* lives on with the task */
    finish(running, COVEY_OK, "v", 128, T0);
    said("drop @128\n");
    push_simple(alice, 9, 7);
    said("revoked p2 of 7 blocked: 9\n");
}

static void a_dead_owners_functions_are_forgotten(void **state)
{
    (void)state;
    exec_proc_dead(e, alice, T0);
    push_simple(alice, 1, 7);
    said("reply p2 1.1 of 7/1 EUNKNOWN 'the worker does not know a function of this number'\n");
    push_simple(bob, 1, 7);
    start(1, T0);
}

/* ---- kept replies ------------------------------------------------------- */

static void refused_results_are_dropped_and_committed_ones_are_not(void **state)
{
    (void)state;
    push_simple(alice, 1, 7);
    push_simple(alice, 2, 7);
    finish(start(1, T0), COVEY_OK, NULL, 64, T0);
    finish(start(2, T0), COVEY_OK, NULL, 128, T0);
    said_anything();
    ack(bob, 1, 1, false);                  /* not his */
    ack(alice, 1, 2, false);                /* another attempt */
    said("");
    ack(alice, 1, 1, true);
    ack(alice, 2, 1, false);
    said("drop @128\n");
    exec_proc_dead(e, alice, T0);
    said("");
}

static void the_oldest_replies_are_forgotten(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= EXEC_REPLIES_MAX + 1; seq++) {
        push_simple(alice, seq, 7);
        finish(start(seq, T0), COVEY_OK, "v", 0, T0);
        said_anything();
    }
    push_simple(alice, 2, 7);
    said("reply p2 2.1 of 7/1 OK =v\n");
    push_simple(alice, 1, 7);               /* runs again */
    said("");
    start(1, T0);
}

static void large_replies_are_forgotten_sooner(void **state)
{
    (void)state;
    size_t size = EXEC_REPLY_BYTES_MAX / 4;
    uint8_t *value = malloc(size);
    assert_non_null(value);
    memset(value, 'x', size);
    struct result result = {.value = span_of(value, size)};
    for (uint64_t seq = 1; seq <= 4; seq++) {
        push_simple(alice, seq, 7);
        exec_finish(e, start(seq, T0),
                    &(struct exec_outcome){.result_count = 1, .results = &result}, T0);
    }
    free(value);
    said_anything();
    push_simple(alice, 2, 7);
    said("reply p2 2.1 of 7/1 OK =xxxxxxxxxxxxxxxxxxxx\n");
    push_simple(alice, 1, 7);
    said("");
    start(1, T0);
}

static void a_long_why_is_cut(void **state)
{
    (void)state;
    static char why[2 * WHY_MAX];
    memset(why, 'w', sizeof why);
    push_simple(alice, 1, 7);
    exec_finish(e, start(1, T0),
                &(struct exec_outcome){.status = COVEY_ETASK, .why = span_of(why, sizeof why)}, T0);
    assert_int_equal(last_reply.why.len, WHY_MAX);
}

/* ---- posts -------------------------------------------------------------- */

static void posts_are_numbered_and_the_window_is_bounded(void **state)
{
    (void)state;
    static uint8_t large[POST_BYTES_MAX + 1];
    push_simple(alice, 1, 7);
    struct exec_task *task = start(1, T0);
    uint64_t number = 0;
    assert_int_equal(exec_post(e, task, span_of(large, sizeof large), false, &number), COVEY_ETOOBIG);
    assert_int_equal(exec_post(e, task, span_str("hi"), false, &number), COVEY_OK);
    assert_int_equal(exec_post(e, task, span_str("well"), true, &number), COVEY_OK);
    assert_int_equal(number, 2);
    said("post p2 1.1 #1 'hi'\npost p2 1.1 #2? 'well'\n");
    for (uint64_t i = 3; i <= POST_WINDOW; i++)
        assert_int_equal(exec_post(e, task, span_str("x"), false, &number), COVEY_OK);
    said_anything();
    assert_int_equal(exec_post(e, task, span_str("x"), false, &number), COVEY_EAGAIN);
    said("");

    post_ack(alice, 1, POST_WINDOW + 1, NULL);  /* never posted */
    post_ack(bob, 1, 5, NULL);
    said("");
    post_ack(alice, 1, 3, NULL);
    said("wake\n");
    post_ack(alice, 1, 3, NULL);
    post_ack(alice, 1, 2, NULL);
    said("");
    for (int i = 0; i < 3; i++)
        assert_int_equal(exec_post(e, task, span_str("x"), false, &number), COVEY_OK);
    assert_int_equal(exec_post(e, task, span_str("x"), false, &number), COVEY_EAGAIN);
    assert_int_equal(number, POST_WINDOW + 3);
    said_anything();

    cancel(alice, 1, 1000, false, T0);
    said("cancel p2 1.1\nwake\n");          /* who waits for the window looks again */
    assert_int_equal(exec_post(e, task, span_str("x"), false, &number), COVEY_ECANCELLED);
    said("");
    post_ack(alice, 1, 5, NULL);
    said("wake\n");
    assert_int_equal(exec_post(e, task, span_str("last"), true, &number), COVEY_ECANCELLED);
    said("post p2 1.1 #260 'last'\n");     /* and nobody is asked to answer */
    finish(task, COVEY_ECANCELLED, NULL, 0, T0);
    said_anything();
    post_ack(alice, 1, 5, NULL);            /* too late */
    said("");
}

static void answers_arrive_once(void **state)
{
    (void)state;
    push_simple(alice, 1, 7);
    struct exec_task *task = start(1, T0);
    uint64_t number;
    for (int i = 0; i < 3; i++)
        assert_int_equal(exec_post(e, task, span_str("?"), true, &number), COVEY_OK);
    said_anything();
    post_ack(alice, 1, 4, "of nothing");
    said("");
    assert_int_equal(task->answered, 0);
    post_ack(alice, 1, 2, "yes");
    said("wake\n");
    assert_int_equal(task->answered, 2);
    assert_int_equal(task->post_read, 2);
    assert_int_equal(task->answer->len, 3);
    assert_memory_equal(task->answer->data, "yes", 3);
    post_ack(alice, 1, 2, "no");            /* a copy */
    post_ack(alice, 1, 1, "no");            /* of the past */
    said("");
    assert_memory_equal(task->answer->data, "yes", 3);
    post_ack(alice, 1, 3, NULL);
    said("wake\n");
    post_ack(alice, 1, 3, "");              /* read before it was answered; empty is an answer */
    said("wake\n");
    assert_int_equal(task->answered, 3);
    assert_int_equal(task->answer->len, 0);
}

static void a_nested_task_counts_as_running(void **state)
{
    (void)state;
    struct exec_task nested = {.owner = self_addr, .seq = 3, .attempt = 1,
                               .deadline = T0 + 10 * MS_NS};
    uint64_t number;
    exec_nest(e, &nested, T0);
    assert_int_equal(exec_deadline(e), T0 + 10 * MS_NS);
    assert_int_equal(exec_post(e, &nested, span_str("?"), true, &number), COVEY_OK);
    said("post p9 3.1 #1? '?'\n");
    post_ack(self_addr, 3, 1, "good");
    said("wake\n");
    assert_memory_equal(nested.answer->data, "good", 4);
    exec_tick(e, T0 + 10 * MS_NS);
    said("cancel p9 3.1\nwake\n");
    cancel(self_addr, 3, 1, true, T0 + 10 * MS_NS);
    said("cancel p9 3.1 recursive\nwake\n");
    exec_tick(e, T0 + 11 * MS_NS);
    said("kill_self for p9 3.1\n");
    exec_unnest(e, &nested, T0);
    assert_null(nested.answer);
    cancel(self_addr, 3, 1, true, T0);
    said("");
}

/* ---- history ------------------------------------------------------------ */

static void run_one(uint64_t seq, int64_t now)
{
    push_simple(alice, seq, 7);
    finish(start(seq, now), COVEY_OK, "v", 0, now);
    ack(alice, seq, 1, true);
    said_anything();
}

static void history_goes_in_batches(void **state)
{
    (void)state;
    exec_tick(e, T0);
    said("");
    run_one(1, T0);
    assert_true(exec_deadline(e) <= T0);
    exec_tick(e, T0);
    said("done 1 dropped 0: 1 OK square\n");
    assert_int_equal(exec_deadline(e), NEVER_NS);
    for (uint64_t seq = 2; seq < EXEC_DONE_BATCH + 7; seq++)
        run_one(seq, T0 + 1);
    assert_int_equal(exec_deadline(e), T0 + EXEC_DONE_EVERY);
    exec_tick(e, T0 + EXEC_DONE_EVERY - 1);
    said("");
    exec_proc_dead(e, alice, T0 + 2);       /* the names outlive her */
    exec_tick(e, T0 + EXEC_DONE_EVERY);
    said("done 256 dropped 5: 2 OK square\n");
    exec_tick(e, T0 + 9 * SECOND_NS);
    said("");
}

/* ---- no memory ---------------------------------------------------------- */

/* Ten tasks through their whole lives.  Each must be settled: by a reply or by
 * having been given back. */
static void live_ten_lives(void)
{
    static const uint8_t large[1000];
    uint32_t settled_before = (uint32_t)(sent_replies + sent_revoked);
    function(alice, 40, "late");
    for (uint64_t seq = 1; seq <= 10; seq++) {
        struct msg_task m = task_of(seq, 7);
        m.fn_id = seq % 2 ? 1 : 40;
        m.args = span_of(large, seq * 100);
        push(alice, m, T0);
    }
    cancel(alice, 2, 100, false, T0);
    revoke(alice, 7, 2, (const uint64_t[]){9, 10});
    for (struct exec_task *task; (task = exec_start(e, T0)) != NULL;) {
        uint64_t number;
        assert_int_equal(exec_post(e, task, span_str("?"), true, &number), COVEY_OK);
        post_ack(alice, task->seq, 1, "an answer");
        assert_int_equal(task->answered, 1); /* perhaps with answer->failed */
        if (task->seq == 5)
            exec_block(e, T0);
        struct result result = {.value = span_of(large, 100 * task->seq)};
        exec_finish(e, task, &(struct exec_outcome){.result_count = 1, .results = &result}, T0);
    }
    assert_int_equal(exec_queued(e), 0);
    assert_int_equal(sent_replies + sent_revoked - settled_before, 10);
}

static void running_out_of_memory_settles_every_task(void **state)
{
    uint64_t n = 0;
    bool reached = true;
    while (reached) {
        n++;
        teardown(state);
        malloc_fail(n, 1);
        int failed = setup(state);
        if (!failed)
            live_ten_lives();
        reached = malloc_calls >= n;
        malloc_fail(0, 0);
        if (failed)
            assert_int_equal(setup(state), 0);
    }
    assert_true(n > 20);
    malloc_fail(1, UINT64_MAX);             /* and when there is none at all */
    live_ten_lives();
    malloc_fail(0, 0);
}

static void a_task_without_memory_fails_and_says_so(void **state)
{
    (void)state;
    malloc_fail(1, UINT64_MAX);
    push_simple(alice, 1, 7);
    said("reply p2 1.1 of 7/1 ENOMEM 'the worker has no room for the arguments'\n");
    function(alice, 2, "lost");
    struct msg_task m = task_of(2, 7);
    m.fn_id = 2;
    push(alice, m, T0);
    said("reply p2 2.1 of 7/1 ENOMEM 'the worker does not know a function of this number'\n");
    malloc_fail(0, 0);
    push_simple(alice, 3, 7);
    struct exec_task *task = start(3, T0);
    static uint8_t value[500];
    struct result result = {.value = span_of(value, sizeof value)};
    malloc_fail(1, UINT64_MAX);
    exec_finish(e, task, &(struct exec_outcome){.result_count = 1, .results = &result}, T0);
    malloc_fail(0, 0);
    said("reply p2 3.1 of 7/1 OK =\n");
    push_simple(alice, 3, 7);               /* no copy was kept: it runs again */
    said("");
    start(3, T0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_task_runs_and_replies),
        TEST(messages_of_others_are_not_for_the_executor),
        TEST(a_function_is_told_once_and_unknown_ones_fail),
        TEST(a_copy_joins_what_is_queued_or_runs),
        TEST(a_copy_of_a_finished_task_gets_its_reply_again),
        TEST(owners_and_attempts_are_kept_apart),
        TEST(priority_comes_first_and_then_arrival),
        TEST(revoke_returns_what_has_not_started),
        TEST(revoke_of_a_lease_returns_all_of_it),
        TEST(too_many_tasks_are_returned),
        TEST(too_many_bytes_are_returned),
        TEST(a_blocked_worker_returns_everything_and_takes_nothing),
        TEST(the_lease_of_a_running_task_hears_of_it_even_if_nothing_is_queued),
        TEST(blocks_nest_and_only_the_first_tells),
        TEST(cancelling_a_queued_task_ends_it_at_once),
        TEST(cancelling_a_running_task_sets_its_flag_and_then_kills),
        TEST(the_shortest_grace_counts_and_ends_with_the_task),
        TEST(a_task_that_is_late_does_not_start),
        TEST(a_running_task_that_is_late_is_cancelled),
        TEST(when_an_owner_dies_its_tasks_and_results_go),
        TEST(a_dead_owners_functions_are_forgotten),
        TEST(refused_results_are_dropped_and_committed_ones_are_not),
        TEST(the_oldest_replies_are_forgotten),
        TEST(large_replies_are_forgotten_sooner),
        TEST(a_long_why_is_cut),
        TEST(posts_are_numbered_and_the_window_is_bounded),
        TEST(answers_arrive_once),
        TEST(a_nested_task_counts_as_running),
        TEST(history_goes_in_batches),
        TEST(running_out_of_memory_settles_every_task),
        TEST(a_task_without_memory_fails_and_says_so),
    };
    return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}
