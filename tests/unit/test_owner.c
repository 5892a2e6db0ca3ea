/* Tests of core/owner: a task's life from submit to commit, its arguments, retries,
 * cancel, deadlines, posts. */
#include "owner_world.h"

/* ---- the usual life ------------------------------------------------------- */

static void a_task_is_asked_for_pushed_and_committed(void **state)
{
    (void)state;
    covey_ref ref = submit("4");
    said("class 0\nwant 1 of class 0\n");
    shows(ref, "pending");
    assert_true(owner_busy(o));
    grant(7, w1);
    said("function p21 0\ntask p21 t1.1 of 7 4\n");
    reply_value(w1, reply_of(ref, 1, 7), "16");
    said("");                               /* an inline result needs no acknowledgement */
    shows(ref, "=16");
    pass_to_deadline(OWNER_LINGER);
    said("want 0 of class 0\nreturn 7\n");
    assert_false(owner_busy(o));
    assert_int_equal(owner_deadline(o), NEVER_NS);
    release(ref);
    shows(ref, "stale");
    assert_int_equal(owner_stats(o).objects, 0);
}

static void a_result_in_the_store_is_acknowledged_and_freed_in_the_end(void **state)
{
    (void)state;
    covey_ref ref = submit("4");
    grant(7, w1);
    said_anything();
    assert_int_equal(owner_watch(o, ref), COVEY_OK);
    reply_place(w1, reply_of(ref, 1, 7), 64);
    said("committed p21 t1.1\nsettled o1\n");
    shows(ref, "@64");
    release(ref);
    said("free @64\n");
}

static void a_lease_is_told_a_function_once(void **state)
{
    (void)state;
    uint32_t cube, again;
    assert_int_equal(owner_function(o, "cube", "i64 -> i64", &cube), COVEY_OK);
    assert_int_equal(owner_function(o, "cube", "i64 -> i64", &again), COVEY_OK);
    assert_int_equal(cube, again);
    push_some(1);
    said("");
    struct task_spec spec = spec_of("3");
    spec.fn_id = cube;
    submit_spec(spec);
    submit_spec(spec);
    said("function p21 1\ntask p21 t3.1 of 7 3\ntask p21 t4.1 of 7 3\n");
}

static void equal_needs_are_one_class(void **state)
{
    (void)state;
    struct resources need = {.cpu_milli = 1000}, other = {.cpu_milli = 1000, .custom_count = 1};
    uint32_t id;
    assert_int_equal(owner_class(o, (struct hash128){1, 1}, &need, &id), COVEY_OK);
    assert_int_equal(id, 0);
    assert_int_equal(owner_class(o, (struct hash128){1, 2}, &need, &id), COVEY_OK);
    assert_int_equal(id, 1);
    for (uint32_t i = 2; i < OWNER_CLASSES_MAX; i++) {
        snprintf(other.custom[0].name, sizeof other.custom[0].name, "licence %u", i);
        assert_int_equal(owner_class(o, (struct hash128){1, 1}, &other, &id), COVEY_OK);
        assert_int_equal(id, i);
    }
    need.gpu_milli = 500;
    assert_int_equal(owner_class(o, (struct hash128){1, 1}, &need, &id), COVEY_ELIMIT);
    assert_int_equal(owner_class(o, (struct hash128){1, 1}, &other, &id), COVEY_OK);
    assert_int_equal(id, OWNER_CLASSES_MAX - 1);
}

static void more_and_fewer_results_than_declared(void **state)
{
    (void)state;
    push_some(2);
    struct result two[] = {{.in_store = true, .place = place_at(64)},
                           {.in_store = true, .place = place_at(128)}};
    struct msg_reply r = reply_of(task[0], 1, 7);
    r.results = two;
    r.result_count = 2;
    reply(w1, r);
    said("free @128\ncommitted p21 t2.1\n");
    shows(task[0], "@64");
    reply(w1, reply_of(task[1], 1, 7));
    fails(task[1], "ESIGNATURE task \"square\" returned 0 results where its signature has 1");
}

/* ---- replies that are not current --------------------------------------------- */

static void a_reply_that_is_not_current_is_refused_and_its_results_freed(void **state)
{
    (void)state;
    push_some(1);
    struct msg_reply good = reply_of(task[0], 1, 7), bad = good;
    bad.attempt = 2;
    reply_place(w1, bad, 64);
    said("free @64\nrefused p21 t2.2\n");
    bad = good;
    bad.lease = 8;
    reply_place(w1, bad, 128);
    said("free @128\nrefused p21 t2.1\n");
    bad = good;
    bad.epoch++;
    reply_place(w1, bad, 192);
    said("free @192\nrefused p21 t2.1\n");
    reply_place(w2, good, 256);
    said("free @256\nrefused p22 t2.1\n");
    bad = good;
    bad.seq += UINT64_C(1) << OWNER_SLOT_BITS;
    reply_place(w1, bad, 320);
    said("free @320\nrefused p21 t3.1\n");
    bad.seq = UINT64_MAX;
    reply_value(w1, bad, "nothing to free");
    said("");
    shows(task[0], "pending");
    assert_int_equal(owner_stats(o).refused, 6);
    reply_place(w1, good, 384);
    said("committed p21 t2.1\n");
    shows(task[0], "@384");
}

/* It must not free what the first one brought. */
static void a_second_copy_of_a_reply_changes_nothing(void **state)
{
    (void)state;
    push_some(1);
    struct msg_reply r = reply_of(task[0], 1, 7);
    reply_place(w1, r, 64);
    reply_place(w1, r, 64);
    said("committed p21 t2.1\ncommitted p21 t2.1\n");
    shows(task[0], "@64");
    release(task[0]);
    said("free @64\n");
}

static void a_late_reply_of_a_dead_worker_is_refused(void **state)
{
    (void)state;
    push_some(1);
    uint64_t seq = id_of(task[0]).seq;
    died(7, w1, seq, "SIGSEGV");
    pass_to_deadline(OWNER_DEATH_GRACE);
    grant(8, w2);
    said("want 0 of class 0\n");            /* it pauses before it is tried again */
    pass_to_deadline(20 * MS_NS);
    said("function p22 0\ntask p22 t2.2 of 8 x\n");
    reply_place(w1, reply_of(task[0], 1, 7), 64);
    said("free @64\nrefused p21 t2.1\n");
    reply_value(w2, reply_of(task[0], 2, 8), "16");
    shows(task[0], "=16");
}

/* ---- arguments ------------------------------------------------------------------ */

static void a_task_waits_for_its_arguments(void **state)
{
    (void)state;
    push_some(2);
    covey_ref inlined = submit_with("a", task[0], false), placed = submit_with("b", task[1], false);
    covey_ref handle = submit_with("c", task[0], true);
    said("task p21 t6.1 of 7 c &o2\n");     /* the ref itself is there at once */
    reply_value(w1, reply_of(task[0], 1, 7), "16");
    said("task p21 t4.1 of 7 a =16\n");
    reply_place(w1, reply_of(task[1], 1, 7), 64);
    said("committed p21 t3.1\ntask p21 t5.1 of 7 b @64\n");
    submit_with("d", task[1], true);
    said("task p21 t7.1 of 7 d &o3@64\n");
    release(task[1]);                       /* tasks hold what they use */
    said("");
    reply_value(w1, reply_of(placed, 1, 7), "1");
    reply_value(w1, reply_of(handle, 1, 7), "1");
    reply_value(w1, reply_of(inlined, 1, 7), "1");
    said("");
}

static void an_argument_is_freed_after_its_last_task(void **state)
{
    (void)state;
    push_some(1);
    reply_place(w1, reply_of(task[0], 1, 7), 64);
    covey_ref ref = submit_with("a", task[0], false);
    release(task[0]);
    said_anything();
    reply_value(w1, reply_of(ref, 1, 7), "1");
    said("free @64\n");
}

static void a_failed_argument_fails_what_depends_on_it_with_the_chain_of_causes(void **state)
{
    (void)state;
    push_some(1);
    covey_ref b = submit_with("b", task[0], false), c = submit_with("c", b, false);
    reply_error(w1, reply_of(task[0], 1, 7), COVEY_ETASK, 5, "no such file");
    shows(c, "EDEPENDENCY task \"square\" (t9.4) did not run: its argument 0 could not be made\n"
             "  because task \"square\" (t9.3) did not run: its argument 0 could not be made\n"
             "  because task \"square\" (t9.2, attempt 1 of 4, on worker w21 of node 1) "
             "failed: the task failed: no such file");
    struct object_view view;
    owner_view(o, c, &view);
    assert_int_equal(view.user_code, 5);
    fails(submit_with("d", b, false), "EDEPENDENCY");   /* and what comes later */
    assert_int_equal(owner_stats(o).tasks, 0);
}

static void a_long_chain_of_causes_is_cut(void **state)
{
    (void)state;
    covey_ref ref = owner_failed(o, COVEY_EINVAL, "the root");
    for (int i = 0; i < 100; i++)
        ref = submit_with("x", ref, false);
    assert_non_null(strstr(shown(ref), "the root"));
    assert_true(strlen(shown(ref)) < 1000);
}

static void a_released_argument_fails_its_task(void **state)
{
    (void)state;
    covey_ref put = owner_put_inline(o, span_str("1"));
    release(put);
    fails(submit_with("a", put, false), "EDEPENDENCY task \"square\": argument 0 is a ref that was released");
    fails(submit_with("a", (covey_ref){0, 0}, true), "EDEPENDENCY");
    said("");
}

static void arguments_that_do_not_fit_into_a_message_fail_their_task(void **state)
{
    (void)state;
    static char large[INLINE_ARGS_MAX];
    struct owner_dep deps[17];
    memset(large, 'x', sizeof large);
    push_some(0);
    covey_ref value = owner_put_inline(o, span_of(large, sizeof large));
    struct task_spec spec = spec_of("x");
    for (uint32_t i = 0; i < 17; i++)
        deps[i] = (struct owner_dep){value, false};
    spec.deps = deps;
    spec.dep_count = 17;
    fails(submit_spec(spec), "ETOOBIG task \"square\": its 17 refs and their values do not fit");
    spec.dep_count = 15;
    shows(submit_spec(spec), "pending");
}

/* ---- retries -------------------------------------------------------------------- */

static void a_failed_task_is_tried_again_with_growing_pauses(void **state)
{
    (void)state;
    push_some(0);
    struct task_spec spec = spec_of("x");
    spec.retry_on = COVEY_RETRY_FAILURE;
    spec.retries = 2;
    spec.backoff_ms = 20;
    covey_ref ref = submit_spec(spec);
    said("task p21 t2.1 of 7 x\n");
    reply_error(w1, reply_of(ref, 1, 7), COVEY_ETASK, 1, "no");
    said("");
    pass_to_deadline(20 * MS_NS);
    said("task p21 t2.2 of 7 x\n");
    reply_error(w1, reply_of(ref, 2, 7), COVEY_ETASK, 1, "no");
    pass_to_deadline(40 * MS_NS);
    said("task p21 t2.3 of 7 x\n");
    shows(ref, "pending");
    reply_error(w1, reply_of(ref, 3, 7), COVEY_ETASK, 1, "never");
    fails(ref, "ETASK task \"square\" (t9.2, attempt 3 of 3, on worker w21 of node 1) "
          "failed: the task failed: never");
    assert_int_equal(owner_stats(o).retried, 2);
    assert_int_equal(owner_stats(o).failed, 1);
}

static void the_pause_is_bounded(void **state)
{
    (void)state;
    push_some(0);
    struct task_spec spec = spec_of("x");
    spec.retry_on = COVEY_RETRY_FAILURE;
    spec.retries = 40;
    spec.backoff_ms = 30000;
    covey_ref ref = submit_spec(spec);
    for (uint32_t attempt = 1; attempt <= 40; attempt++) {
        reply_error(w1, reply_of(ref, attempt, 6 + attempt), COVEY_ETASK, 1, "no");
        pass((attempt == 1 ? 30000 : OWNER_BACKOFF_MAX_MS) * MS_NS);
        said_anything();
        grant(7 + attempt, w1);             /* the one before was idle for long, and went back */
        assert_non_null(strstr(out, "task p21 t2."));
    }
}

static void only_the_chosen_errors_are_tried_again(void **state)
{
    (void)state;
    push_some(2);
    reply_error(w1, reply_of(task[0], 1, 7), COVEY_ETASK, 1, "no");     /* RETRY_DEATH alone */
    fails(task[0], "ETASK");
    struct task_spec spec = spec_of("x");
    spec.retry_on = COVEY_RETRY_FAILURE;
    covey_ref ref = submit_spec(spec);
    reply_error(w1, reply_of(ref, 1, 7), COVEY_ESIGNATURE, 0, "it is the same each time");
    fails(ref, "ESIGNATURE");
    reply_value(w1, reply_of(task[1], 1, 7), "1");
    ref = submit_spec(spec);
    died(7, w1, id_of(ref).seq, "exited with status 3");
    pass(OWNER_DEATH_GRACE);
    fails(ref, "EWORKER task \"square\" (t9.5, attempt 1 of 4): worker w21 of node 1 died: "
          "exited with status 3");
    spec.retry_on = 0;
    spec.retries = 0;
    ref = submit_spec(spec);
    grant(8, w2);
    died(8, w2, 0, "SIGKILL");
    pass(OWNER_DEATH_GRACE);
    fails(ref, "EWORKER");
}

static void a_failed_attempts_results_are_freed(void **state)
{
    (void)state;
    push_some(1);
    struct msg_reply r = reply_of(task[0], 1, 7);
    r.status = COVEY_ETASK;
    reply_place(w1, r, 64);
    said("free @64\ncommitted p21 t2.1\n");
    fails(task[0], "ETASK");
}

/* ---- cancel --------------------------------------------------------------------- */

static void cancel_before_a_task_is_pushed(void **state)
{
    (void)state;
    covey_ref queued = submit("a"), waiting = submit_with("b", queued, false);
    said_anything();
    cancel(waiting, 100);
    shows(waiting, "ECANCELLED task \"square\" (t9.2) was cancelled (before it started)");
    said("");
    cancel(queued, 100);
    shows(queued, "ECANCELLED task \"square\" (t9.1) was cancelled (before it started)");
    said("want 0 of class 0\n");
    cancel(queued, 100);                    /* it has ended */
    said("");
    release(queued);
    assert_int_equal(owner_cancel(o, queued, 0, false, now), COVEY_ESTALE);
}

static void cancel_of_a_running_task_waits_for_its_reply(void **state)
{
    (void)state;
    push_some(2);
    cancel(task[0], 100);
    cancel(task[0], 100);
    said("cancel p21 t2.1 grace 100\n");
    shows(task[0], "pending");
    reply_error(w1, reply_of(task[0], 1, 7), COVEY_ECANCELLED, 0, "it ended itself");
    fails(task[0], "ECANCELLED task \"square\" (t9.2) was cancelled (while it ran: it ended itself)");
    assert_int_equal(owner_cancel(o, task[1], 100, true, now), COVEY_OK);
    said("cancel p21 t3.1 grace 100 recursive\n");
    reply_value(w1, reply_of(task[1], 1, 7), "16");
    shows(task[1], "=16");                  /* it was faster */
}

static void a_second_cancel_counts_if_it_leaves_less_time(void **state)
{
    (void)state;
    push_some(1);
    cancel(task[0], 60000);
    cancel(task[0], 70000);
    cancel(task[0], 1);
    said("cancel p21 t2.1 grace 60000\ncancel p21 t2.1 grace 1\n");
    pass(OWNER_KILL_MARGIN + MS_NS);
    said("kill 7 for t2\n");
    pass(60 * SECOND_NS);
    assert_null(strstr(out, "kill"));       /* the first grace has no second end */
}

static void a_task_that_outlives_its_grace_is_killed(void **state)
{
    (void)state;
    push_some(1);
    cancel(task[0], 100);
    pass(OWNER_KILL_MARGIN + 99 * MS_NS);
    said("cancel p21 t2.1 grace 100\n");
    pass(MS_NS);
    said("kill 7 for t2\n");
    died(7, w1, id_of(task[0]).seq, "SIGKILL");
    pass(OWNER_DEATH_GRACE);
    fails(task[0], "ECANCELLED task \"square\" (t9.2) was cancelled; its grace passed and it was killed");
    assert_int_equal(owner_stats(o).retried, 0);
}

static void a_grace_for_ever_is_never_over(void **state)
{
    (void)state;
    push_some(1);
    cancel(task[0], INT64_MAX);
    pass(3600 * SECOND_NS);
    assert_null(strstr(out, "kill"));
}

/* A longer one does not prolong it. */
static void a_second_cancel_shortens_the_grace(void **state)
{
    (void)state;
    push_some(1);
    cancel(task[0], 10000);
    pass(SECOND_NS);
    cancel(task[0], 20000);
    cancel(task[0], 1);
    said("cancel p21 t2.1 grace 10000\ncancel p21 t2.1 grace 1\n");
    pass(OWNER_KILL_MARGIN + MS_NS);
    said("kill 7 for t2\n");
    pass(10 * SECOND_NS + OWNER_KILL_MARGIN);
    said("");
}

static void cancel_while_a_task_is_taken_back(void **state)
{
    (void)state;
    push_some(3);
    recall(7);
    said("revoke p21 of 7: t4 t3 t2\n");
    cancel(task[1], 5);
    cancel(task[2], 5);
    said("cancel p21 t3.1 grace 5\ncancel p21 t4.1 grace 5\n");
    revoked(w1, 7, false, 1, &task[2]);
    shows(task[2], "ECANCELLED task \"square\" (t9.4) was cancelled (before it started)");
    shows(task[1], "pending");              /* it had started */
    reply_error(w1, reply_of(task[1], 1, 7), COVEY_ECANCELLED, 0, "");
    fails(task[1], "ECANCELLED");
    shows(task[0], "pending");
}

static void cancel_during_the_pause_before_a_retry(void **state)
{
    (void)state;
    push_some(0);
    struct task_spec spec = spec_of("x");
    spec.retry_on = COVEY_RETRY_FAILURE;
    covey_ref ref = submit_spec(spec);
    reply_error(w1, reply_of(ref, 1, 7), COVEY_ETASK, 1, "no");
    cancel(ref, 100);
    fails(ref, "ECANCELLED");
    said_anything();
    pass(100 * MS_NS);
    said("");
}

static void a_cancelled_task_is_not_tried_again(void **state)
{
    (void)state;
    push_some(0);
    struct task_spec spec = spec_of("x");
    spec.retry_on = COVEY_RETRY_FAILURE | COVEY_RETRY_DEATH;
    covey_ref ref = submit_spec(spec);
    cancel(ref, 100);
    reply_error(w1, reply_of(ref, 1, 7), COVEY_ETASK, 1, "stopped");
    fails(ref, "ECANCELLED");
}

static void the_children_of_a_task_are_cancelled_with_it(void **state)
{
    (void)state;
    push_some(1);
    struct task_spec spec = spec_of("child");
    spec.parent = 1234;
    covey_ref pushed = submit_spec(spec), waiting;
    struct owner_dep dep = {pushed, false};
    spec.deps = &dep;
    spec.dep_count = 1;
    waiting = submit_spec(spec);
    said_anything();
    owner_cancel_children(o, 1234, now);
    said("cancel p21 t3.1 grace 5000 recursive\n");
    fails(waiting, "ECANCELLED");
    shows(pushed, "pending");
    shows(task[0], "pending");
}

/* ---- deadlines -------------------------------------------------------------------- */

static covey_ref submit_by(int64_t deadline_ms)
{
    struct task_spec spec = spec_of("x");
    spec.deadline_ms = deadline_ms;
    return submit_spec(spec);
}

static void a_deadline_passes_in_the_queue(void **state)
{
    (void)state;
    covey_ref ref = submit_by(30);
    pass_to_deadline(30 * MS_NS);
    shows(ref, "EDEADLINE task \"square\" (t9.1) passed its deadline of 30 ms (before it started)");
    said("class 0\nwant 1 of class 0\nwant 0 of class 0\n");
}

static void a_deadline_passes_while_a_task_runs(void **state)
{
    (void)state;
    push_some(0);
    pass(10 * MS_NS);
    covey_ref ref = submit_by(30);
    said("task p21 t2.1 of 7 x left 30\n");
    pass(30 * MS_NS);
    said("cancel p21 t2.1 grace 5000 recursive\n");
    fails(ref, "EDEADLINE task \"square\" (t9.2) passed its deadline of 30 ms (while it ran)");
    assert_true(owner_busy(o));             /* it is still there */
    reply_place(w1, reply_of(ref, 1, 7), 64);
    said("free @64\ncommitted p21 t2.1\n");
    fails(ref, "EDEADLINE");
    assert_int_equal(owner_stats(o).tasks, 0);
    assert_int_equal(owner_stats(o).failed, 1);
}

static void a_deadline_that_was_met_means_nothing_any_more(void **state)
{
    (void)state;
    push_some(0);
    covey_ref ref = submit_by(30), never = submit_by(INT64_MAX);
    reply_value(w1, reply_of(ref, 1, 7), "1");
    said_anything();
    pass(40 * MS_NS);
    said("");
    shows(ref, "=1");
    shows(never, "pending");
}

/* ---- posts -------------------------------------------------------------------------------- */

static void post(struct addr from, covey_ref ref, uint32_t attempt, uint64_t number, bool question)
{
    struct msg m = {.kind = MSG_POST};
    m.u.post = (struct msg_post){id_of(ref).seq, attempt, number, question, span_str("body")};
    hear(from, &m);
}

static void posts_come_once_and_only_from_the_task_that_runs(void **state)
{
    (void)state;
    push_some(1);
    post(w1, task[0], 1, 1, false);
    post(w1, task[0], 1, 1, false);
    post(w1, task[0], 1, 2, true);
    post(w2, task[0], 1, 3, false);
    post(w1, task[0], 2, 3, false);
    said("post o2 #1 body\npost o2 #2 body\n");
    assert_int_equal(owner_post_read(o, task[0], 1, now), COVEY_OK);
    assert_int_equal(owner_post_answer(o, task[0], 2, span_str("yes"), now), COVEY_OK);
    said("read p21 t2.1 #1\nanswer p21 t2.1 #2 yes\n");
    assert_false(owner_posts_ended(o, task[0]));
    struct msg late = {.kind = MSG_POST};
    late.u.post = (struct msg_post){id_of(task[0]).seq, 1, 3, false, span_str("late")};
    reply_value(w1, reply_of(task[0], 1, 7), "1");
    hear(w1, &late);
    said("");
    assert_true(owner_posts_ended(o, task[0]));
    assert_int_equal(owner_post_read(o, task[0], 2, now), COVEY_ECLOSED);
    release(task[0]);
    assert_int_equal(owner_post_read(o, task[0], 2, now), COVEY_ESTALE);
}

static void posts_that_nobody_can_read_are_acknowledged(void **state)
{
    (void)state;
    push_some(1);
    struct msg m = {.kind = MSG_POST};
    m.u.post = (struct msg_post){id_of(task[0]).seq, 1, 1, true, span_str("body")};
    release(task[0]);
    hear(w1, &m);
    said("answer p21 t2.1 #1\n");
}

/* ---- figures -------------------------------------------------------------------------------- */

static void on_row(void *ctx, const struct task_row *row)
{
    (void)ctx;
    say("t%u %s %s.%u p%u %d ms\n", serial(row->seq), row->name, row->state, row->attempt, row->worker.proc,
        (int)row->age_ms);
}

static void live_tasks_are_listed_with_their_states(void **state)
{
    (void)state;
    push_some(2);
    struct task_spec spec = spec_of("x");
    spec.retry_on = COVEY_RETRY_FAILURE;
    covey_ref paused = submit_spec(spec);
    reply_error(w1, reply_of(paused, 1, 7), COVEY_ETASK, 1, "no");
    submit_with("y", task[0], false);
    recall(7);
    said_anything();
    submit("z");
    said_anything();
    owner_each_task(o, 10, now + 5 * MS_NS, on_row, NULL);
    said("t6 square queued.0 p0 5 ms\nt5 square waiting.0 p0 5 ms\nt4 square paused.1 p0 5 ms\n"
         "t3 square revoking.1 p21 5 ms\nt2 square revoking.1 p21 5 ms\n");
    owner_each_task(o, 1, now, on_row, NULL);
    said("t6 square queued.0 p0 0 ms\n");
    assert_int_equal(owner_stats(o).submitted, 6);
    assert_int_equal(owner_stats(o).tasks, 5);
    assert_int_equal(owner_stats(o).done, 1);
    assert_int_equal(owner_settled_count(o), 1);
}

static void messages_of_others_are_not_for_the_owner(void **state)
{
    (void)state;
    struct msg m = {.kind = MSG_TASK};
    assert_false(owner_msg(o, alice, &m, now));
    m.kind = MSG_EXTENT_GRANT;
    assert_false(owner_msg(o, bob, &m, now));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_task_is_asked_for_pushed_and_committed),
        TEST(a_result_in_the_store_is_acknowledged_and_freed_in_the_end),
        TEST(a_lease_is_told_a_function_once),
        TEST(equal_needs_are_one_class),
        TEST(more_and_fewer_results_than_declared),
        TEST(a_reply_that_is_not_current_is_refused_and_its_results_freed),
        TEST(a_second_copy_of_a_reply_changes_nothing),
        TEST(a_late_reply_of_a_dead_worker_is_refused),
        TEST(a_task_waits_for_its_arguments),
        TEST(an_argument_is_freed_after_its_last_task),
        TEST(a_failed_argument_fails_what_depends_on_it_with_the_chain_of_causes),
        TEST(a_long_chain_of_causes_is_cut),
        TEST(a_released_argument_fails_its_task),
        TEST(arguments_that_do_not_fit_into_a_message_fail_their_task),
        TEST(a_failed_task_is_tried_again_with_growing_pauses),
        TEST(the_pause_is_bounded),
        TEST(only_the_chosen_errors_are_tried_again),
        TEST(a_failed_attempts_results_are_freed),
        TEST(cancel_before_a_task_is_pushed),
        TEST(cancel_of_a_running_task_waits_for_its_reply),
        TEST(a_second_cancel_counts_if_it_leaves_less_time),
        TEST(a_task_that_outlives_its_grace_is_killed),
        TEST(a_second_cancel_shortens_the_grace),
        TEST(a_grace_for_ever_is_never_over),
        TEST(cancel_while_a_task_is_taken_back),
        TEST(cancel_during_the_pause_before_a_retry),
        TEST(a_cancelled_task_is_not_tried_again),
        TEST(the_children_of_a_task_are_cancelled_with_it),
        TEST(a_deadline_passes_in_the_queue),
        TEST(a_deadline_passes_while_a_task_runs),
        TEST(a_deadline_that_was_met_means_nothing_any_more),
        TEST(posts_come_once_and_only_from_the_task_that_runs),
        TEST(posts_that_nobody_can_read_are_acknowledged),
        TEST(live_tasks_are_listed_with_their_states),
        TEST(messages_of_others_are_not_for_the_owner),
    };
    return cmocka_run_group_tests_name("owner", tests, NULL, NULL);
}
