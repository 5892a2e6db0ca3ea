/* Tests of core/owner: what refs name - values, holds, refs that cross processes,
 * lost bytes, dead owners. */
#include "owner_world.h"

/* Another process's object. */
static struct oid theirs(unsigned number)
{
    return (struct oid){1, alice.proc, (uint64_t)number << OWNER_SLOT_BITS, 0};
}

static covey_ref borrow(unsigned number, uint64_t offset)
{
    struct dep dep = {.kind = DEP_HANDLE, .id = theirs(number)};
    if (offset)
        dep.place = place_at(offset);
    covey_ref ref = owner_borrow(o, &dep);
    assert_int_not_equal(ref.generation, 0);
    owner_check(o);
    return ref;
}

/* The task that brought @ref ends; it is @kept by the program.  Returns the
 * version that the reply lists, 0 for none. */
static uint64_t borrow_end(covey_ref ref, bool kept)
{
    struct held held = {.version = 0};
    bool listed = owner_borrow_end(o, ref, kept, &held, now);
    owner_check(o);
    assert_int_equal(listed, held.version != 0);
    return held.version;
}

static void wait_for(struct addr from, struct oid id)
{
    struct msg m = {.kind = MSG_OBJECT_WAIT};
    m.u.object_wait.id = id;
    hear(from, &m);
}

static void add(struct addr from, struct oid id, struct addr who, uint64_t version)
{
    struct msg m = {.kind = MSG_BORROW_ADD};
    m.u.borrow_add = (struct msg_borrow_add){id, who, version};
    hear(from, &m);
}

static void drop(struct oid id, struct addr who, uint64_t version)
{
    struct msg m = {.kind = MSG_BORROW_DROP};
    m.u.borrow_drop = (struct msg_borrow_drop){id, who, version};
    hear(who, &m);
}

static void added(struct oid id, struct addr who, uint64_t version)
{
    struct msg m = {.kind = MSG_BORROW_ADDED};
    m.u.borrow_added = (struct msg_borrow_added){id, who, version};
    hear(alice, &m);
}

static void ready(unsigned number, struct msg_object_ready r)
{
    struct msg m = {.kind = MSG_OBJECT_READY};
    r.id = theirs(number);
    m.u.object_ready = r;
    hear(alice, &m);
}

static void proc_dead(struct addr who)
{
    owner_proc_dead(o, who, now);
    owner_check(o);
}

/* A task's result in the store, of lease 7 of w1. */
static covey_ref made_at(const char *args, uint64_t offset)
{
    if (owner_stats(o).leases == 0)
        grant(7, w1);
    covey_ref ref = submit(args);
    reply_place(w1, reply_of(ref, 1, 7), offset);
    said_anything();
    return ref;
}

static void lose(covey_ref ref)
{
    assert_int_equal(owner_lost(o, ref, now), COVEY_OK);
    owner_check(o);
}

/* ---- values -------------------------------------------------------------------- */

static void values_are_copied_and_payloads_aligned(void **state)
{
    (void)state;
    char text[] = "s0123456789012345678901234567890123456789";
    for (uint32_t len = 2; len < sizeof text; len += 7) {
        covey_ref ref = owner_put_inline(o, span_of(text, len));
        struct object_view v;
        assert_int_equal(owner_view(o, ref, &v), COVEY_OK);
        assert_ptr_not_equal(v.value.data, text);
        assert_int_equal(v.value.len, len);
        assert_memory_equal(v.value.data, text, len);
        assert_int_equal((uintptr_t)(v.value.data + 1) % 16, 0);
        assert_int_equal(v.value.data[len], 0);
        release(ref);
    }
    shows(owner_put_inline(o, span_str("i7")), "=i7");
    shows(owner_failed(o, COVEY_EINVAL, "the data is NULL"), "EINVAL the data is NULL");
    assert_int_equal(owner_stats(o).objects, 2);
}

static void created_objects_are_pending_until_sealed(void **state)
{
    (void)state;
    struct oid id;
    struct place place = place_at(64);
    covey_ref ref = owner_create(o, &id);
    wait_for(bob, id);
    assert_int_equal(owner_watch(o, ref), COVEY_OK);
    said("");
    shows(ref, "pending");
    owner_sealed(o, ref, &place, now);
    owner_check(o);
    said("ready p3 o1 @64\nsettled o1\n");
    release(ref);
    said("free @64\n");
    ref = owner_create(o, &id);
    owner_create_failed(o, ref, COVEY_ESTOREFULL, "no room", now);
    shows(ref, "ESTOREFULL no room");
}

static void an_object_that_is_never_sealed_fails_those_who_wait(void **state)
{
    (void)state;
    struct oid id;
    covey_ref ref = owner_create(o, &id), dependent = submit_with("x", ref, false);
    wait_for(bob, id);
    release(ref);
    said("ready p3 o1 ENOTSEALED the object was released before it was sealed\n");
    fails(dependent, "EDEPENDENCY");
}

static void a_ref_is_stale_once_it_is_released(void **state)
{
    (void)state;
    covey_ref old = owner_put_inline(o, span_str("1"));
    release(old);
    assert_int_equal(owner_release(o, old, now), COVEY_ESTALE);
    covey_ref other = owner_put_inline(o, span_str("2"));
    assert_int_equal(other.index, old.index);   /* the slot is used again, the ref is not */
    shows(old, "stale");
    assert_int_equal(owner_watch(o, old), COVEY_ESTALE);
    assert_int_equal(owner_request(o, old, now), COVEY_ESTALE);
    assert_int_equal(owner_lost(o, old, now), COVEY_ESTALE);
    assert_int_equal(owner_release(o, (covey_ref){0, 0}, now), COVEY_ESTALE);
    assert_int_equal(owner_release(o, (covey_ref){UINT32_MAX, 1}, now), COVEY_ESTALE);
    assert_int_equal(owner_result(o, old, 0).generation, 0);
    shows(other, "=2");
}

static void a_released_task_still_runs_and_its_result_is_freed(void **state)
{
    (void)state;
    covey_ref ref = submit("x");
    grant(7, w1);
    struct msg_reply r = reply_of(ref, 1, 7);
    release(ref);
    said_anything();
    reply_place(w1, r, 64);
    said("committed p21 t1.1\nfree @64\n");
    assert_int_equal(owner_stats(o).objects, 0);
}

static void many_objects_take_many_slots(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    static covey_ref refs[COUNT];
    for (uint32_t i = 0; i < COUNT; i++)
        refs[i] = owner_put_inline(o, span_str("v"));
    assert_int_equal(owner_stats(o).objects, COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        shows(refs[i], "=v");
    for (uint32_t i = 0; i < COUNT; i++)
        assert_int_equal(owner_release(o, refs[i], now), COVEY_OK);
    assert_int_equal(owner_stats(o).objects, 0);
    owner_check(o);
}

/* ---- several results ------------------------------------------------------------- */

static covey_ref submit_three(void)
{
    struct task_spec spec = spec_of("x");
    spec.result_count = 3;
    covey_ref ref = submit_spec(spec);
    if (owner_stats(o).leases == 0)
        grant(7, w1);
    said_anything();
    return ref;
}

static void reply_three(struct msg_reply r, uint64_t offset)
{
    struct result results[] = {{.in_store = true, .place = place_at(offset)}, {.value = span_str("i7")},
                               {.in_store = true, .place = place_at(offset + 64)}};
    r.results = results;
    r.result_count = 3;
    reply(w1, r);
}

static void results_that_nobody_took_go_with_the_first(void **state)
{
    (void)state;
    covey_ref first = submit_three();
    reply_three(reply_of(first, 1, 7), 64);
    said("committed p21 t1.1\n");
    covey_ref second = owner_result(o, first, 1);
    shows(second, "=i7");
    assert_int_equal(owner_result(o, first, 3).generation, 0);
    release(first);
    said("free @64\nfree @128\n");
    shows(second, "=i7");
    release(second);
    assert_int_equal(owner_stats(o).objects, 0);
}

static void results_are_taken_before_and_after_they_are_there(void **state)
{
    (void)state;
    covey_ref first = submit_three(), third = owner_result(o, first, 2);
    covey_ref again = owner_result(o, first, 0);
    struct msg_reply r = reply_of(first, 1, 7);
    assert_int_equal(again.index, first.index);
    release(first);
    shows(again, "pending");
    release(again);
    wait_for(bob, id_of(third));
    said("");
    reply_three(r, 64);
    said("committed p21 t1.1\nready p3 o1.2 @128\nfree @64\n");
    shows(third, "@128");
    wait_for(bob, (struct oid){1, 9, r.seq, 1});
    said("ready p3 o1.1 ELOST its owner has let it go\n");
    release(third);
    said("free @128\n");
    assert_int_equal(owner_stats(o).objects, 0);
}

static void a_task_may_use_a_later_result(void **state)
{
    (void)state;
    covey_ref first = submit_three(), second = owner_result(o, first, 1);
    covey_ref user = submit_with("y", second, false);
    release(second);
    struct msg_reply r = reply_of(first, 1, 7);
    release(first);
    said_anything();
    reply_three(r, 64);
    said("committed p21 t1.1\nfree @64\nfree @128\ntask p21 t4.1 of 7 y =i7\n");
    reply_value(w1, reply_of(user, 1, 7), "1");
    assert_int_equal(owner_stats(o).objects, 1);
}

/* ---- as owner: borrowers ----------------------------------------------------------- */

static void a_borrower_keeps_an_object_alive(void **state)
{
    (void)state;
    covey_ref ref = made_at("x", 64);
    struct oid id = id_of(ref);
    add(bob, id, w2, 1);
    said("added p3 o1 by p22 v1\n");
    add(bob, id, w2, 1);
    said("added p3 o1 by p22 v1\n");        /* again, since the first may not have arrived */
    release(ref);
    said("");
    wait_for(w2, id);
    said("ready p22 o1 @64\n");
    drop(id, w2, 1);
    said("free @64\n");
    drop(id, w2, 1);
    add(bob, id, w2, 1);                    /* it is gone, and that is no secret */
    said("added p3 o1 by p22 v1\n");
}

static void a_reply_lists_what_its_worker_still_holds(void **state)
{
    (void)state;
    covey_ref ref = made_at("x", 64);
    covey_ref user = submit_with("y", ref, true);
    struct held held = {id_of(ref), 5};
    struct msg_reply r = reply_of(user, 1, 7);
    r.held = &held;
    r.held_count = 1;
    release(ref);
    said_anything();
    reply_value(w1, r, "1");
    said("committed p21 t2.1\n");           /* the worker may let its own record go */
    drop(held.id, w1, 5);
    said("free @64\n");
}

static void adds_and_drops_come_in_any_order(void **state)
{
    (void)state;
    covey_ref ref = made_at("x", 64);
    struct oid id = id_of(ref);
    drop(id, w2, 1);                        /* faster than its add, which comes by two ways */
    add(bob, id, w2, 1);
    add(w1, id, w2, 1);
    add(bob, id, w1, 4);                    /* the second time that it borrows ... */
    drop(id, w1, 3);                        /* ... and now the end of the first time */
    said_anything();
    release(ref);
    said("");
    drop(id, w1, 4);
    said("free @64\n");
}

static void a_dead_borrower_holds_nothing(void **state)
{
    (void)state;
    struct oid id;
    covey_ref ref = made_at("x", 64), pending = owner_create(o, &id);
    add(bob, id_of(ref), w2, 1);
    add(bob, id_of(ref), bob, 1);
    wait_for(w2, id);
    release(ref);
    said_anything();
    proc_dead(w2);
    said("census of p22:\n");
    proc_dead(bob);
    said("census of p3:\nfree @64\n");
    owner_sealed(o, pending, &(struct place){.node = 1}, now);
    said("");                               /* nobody waits any more */
}

static void who_waits_hears_once(void **state)
{
    (void)state;
    covey_ref ref = submit("x");
    said_anything();
    wait_for(bob, id_of(ref));
    wait_for(bob, id_of(ref));
    wait_for(alice, id_of(ref));
    grant(7, w1);
    said_anything();
    reply_value(w1, reply_of(ref, 1, 7), "i7");
    said("ready p2 o1 =i7\nready p3 o1 =i7\n");
    covey_ref failed = owner_failed(o, COVEY_EINVAL, "why");
    wait_for(bob, id_of(failed));
    said("ready p3 o2 EINVAL why\n");
    wait_for(bob, (struct oid){1, 9, 77, 0});
    wait_for(bob, theirs(5));               /* not ours */
    said("ready p3 o0 ELOST its owner has let it go\nready p3 p2:o5 ELOST its owner has let it go\n");
}

static void a_borrower_cancels(void **state)
{
    (void)state;
    covey_ref ref = submit("x");
    struct msg m = {.kind = MSG_OBJECT_CANCEL};
    m.u.object_cancel = (struct msg_object_cancel){id_of(ref), 100, false};
    hear(bob, &m);
    fails(ref, "ECANCELLED");
    m.u.object_cancel.id = theirs(1);
    hear(bob, &m);
}

/* ---- as borrower ---------------------------------------------------------------------- */

static void a_borrow_within_a_task_is_nobodys_business(void **state)
{
    (void)state;
    covey_ref ref = borrow(5, 64);
    shows(ref, "@64");
    assert_int_equal(borrow_end(ref, false), 0);
    shows(ref, "stale");
    said("");
    struct dep dep = {.kind = DEP_INLINE, .id = theirs(6), .value = span_str("i7")};
    ref = owner_borrow(o, &dep);
    shows(ref, "=i7");
    release(ref);                           /* the task does it itself */
    assert_int_equal(borrow_end(ref, false), 0);
    said("");
    assert_int_equal(owner_stats(o).objects, 0);
}

static void a_borrow_that_is_kept_is_listed_and_dropped(void **state)
{
    (void)state;
    covey_ref ref = borrow(5, 64), again = borrow(5, 64);
    assert_int_equal(again.index, ref.index);
    assert_int_equal(borrow_end(again, false), 1);  /* the other task goes on */
    assert_int_equal(borrow_end(ref, true), 1);
    said("");
    release(ref);
    said("drop p2 p2:o5 by p9 v1\n");       /* and never frees the bytes: they are not ours */
    ref = borrow(5, 64);
    assert_int_equal(borrow_end(ref, true), 2);     /* another borrow */
    release(ref);
    said("drop p2 p2:o5 by p9 v2\n");
}

static void our_own_object_comes_back_to_us(void **state)
{
    (void)state;
    covey_ref ref = made_at("x", 64);
    struct dep dep = {.kind = DEP_HANDLE, .id = id_of(ref)};
    covey_ref back = owner_borrow(o, &dep);
    assert_int_equal(back.index, ref.index);
    release(ref);
    shows(back, "@64");
    assert_int_equal(borrow_end(back, false), 0);
    said("free @64\n");
    assert_int_equal(owner_borrow(o, &dep).generation, 0);
}

static void a_borrowed_value_is_asked_for_once(void **state)
{
    (void)state;
    covey_ref ref = borrow(5, 0), other = borrow(6, 0), third = borrow(7, 0);
    shows(ref, "pending");
    assert_int_equal(owner_request(o, ref, now), COVEY_OK);
    assert_int_equal(owner_request(o, ref, now), COVEY_OK);
    said("wait p2 p2:o5\n");
    ready(5, (struct msg_object_ready){.value = span_str("i7")});
    shows(ref, "=i7");
    ready(5, (struct msg_object_ready){.value = span_str("i8")});
    shows(ref, "=i7");                      /* a second copy */
    assert_int_equal(owner_request(o, ref, now), COVEY_OK);
    said("");
    ready(6, (struct msg_object_ready){.status = COVEY_ETASK, .user_code = 3, .why = span_str("no")});
    shows(other, "ETASK no");
    ready(7, (struct msg_object_ready){.in_store = true, .place = place_at(64)});
    shows(third, "@64");
    ready(8, (struct msg_object_ready){.value = span_str("i7")});
}

static void a_task_waits_for_a_borrowed_argument(void **state)
{
    (void)state;
    grant(7, w1);
    covey_ref ref = borrow(5, 0), user = submit_with("x", ref, false);
    said("wait p2 p2:o5\n");
    assert_int_equal(borrow_end(ref, false), 1);    /* the task that waits holds it */
    ready(5, (struct msg_object_ready){.in_store = true, .place = place_at(64)});
    said("function p21 0\ntask p21 t2.1 of 7 x @64\n");
    reply_value(w1, reply_of(user, 1, 7), "1");
    said("drop p2 p2:o5 by p9 v1\n");
}

static void a_borrowed_object_is_cancelled_at_its_owner(void **state)
{
    (void)state;
    covey_ref ref = borrow(5, 0), there = borrow(6, 64);
    cancel(ref, 100);
    cancel(there, 100);
    said("cancel p2 p2:o5 grace 100\n");
    shows(ref, "pending");
}

/* Passes @ref on to a task, whose worker keeps it and says so. */
static void pass_on(covey_ref ref, uint64_t version)
{
    covey_ref user = submit_with("x", ref, true);
    struct held held = {id_of(ref), version};
    struct msg_reply r = reply_of(user, 1, 7);
    r.held = &held;
    r.held_count = 1;
    said_anything();
    reply_value(w1, r, "1");
    release(user);
}

static void who_passes_a_ref_on_holds_it_until_the_owner_knows(void **state)
{
    (void)state;
    grant(7, w1);
    covey_ref ref = borrow(5, 64);
    pass_on(ref, 3);
    said("add p2 p2:o5 by p21 v3\ncommitted p21 t2.1\n");
    assert_int_equal(borrow_end(ref, false), 1);
    said("");
    added(theirs(5), w1, 3);
    said("drop p2 p2:o5 by p9 v1\n");
    added(theirs(5), w1, 3);
    assert_int_equal(owner_stats(o).objects, 0);
}

static void a_second_acknowledgement_ends_no_other_hold(void **state)
{
    (void)state;
    grant(7, w1);
    covey_ref ref = borrow(5, 64);
    pass_on(ref, 3);
    covey_ref user = submit_with("y", ref, false);
    added(theirs(5), w1, 3);
    added(theirs(5), w1, 3);
    assert_int_equal(borrow_end(ref, false), 1);
    said_anything();
    reply_value(w1, reply_of(user, 1, 7), "1");
    said("drop p2 p2:o5 by p9 v1\n");
}

/* ---- dead owners ------------------------------------------------------------------------- */

static void a_dead_owners_objects_are_counted(void **state)
{
    (void)state;
    covey_ref kept = borrow(5, 64), covered = borrow(6, 128), asked = borrow(7, 0), later = borrow(8, 0);
    assert_int_equal(borrow_end(kept, true), 1);
    assert_int_equal(owner_request(o, asked, now), COVEY_OK);
    assert_int_equal(owner_watch(o, asked), COVEY_OK);
    said_anything();
    proc_dead(alice);
    said("census of p2: @64\nsettled o7\n");
    shows(kept, "@64");
    shows(covered, "@128");
    shows(asked, "EOWNER the process that owned it (p2 of node 1) died before it was made");
    assert_int_equal(owner_request(o, later, now), COVEY_OK);
    said("wait p2:o8\n");                   /* the node answers in its place */
    cancel(later, 1);
    said("cancel p2:o8 grace 1\n");
    release(kept);
    said("drop p2:o5 by p9 v1\n");
}

/* The acknowledgement will never come. */
static void a_dead_owner_need_not_know_the_new_holder(void **state)
{
    (void)state;
    grant(7, w1);
    covey_ref ref = borrow(5, 64);
    pass_on(ref, 3);
    assert_int_equal(borrow_end(ref, false), 1);
    said_anything();
    proc_dead(alice);
    said("census of p2: @64\ndrop p2:o5 by p9 v1\n");
    assert_int_equal(owner_stats(o).objects, 0);
    ref = borrow(6, 64);
    proc_dead(alice);
    pass_on(ref, 4);
    assert_non_null(strstr(out, "add p2:o6 by p21 v4\n"));
}

/* ---- bytes of a dead writer ----------------------------------------------------------------- */

static void keep_ask(struct oid id, uint64_t offset)
{
    struct kept kept = {id, place_at(offset)};
    struct msg m = {.kind = MSG_KEEP_ASK};
    m.u.keep_ask = (struct msg_keep_ask){1, 1, &kept};
    hear(node_addr, &m);
}

static void what_an_owner_does_not_know_is_named(void **state)
{
    (void)state;
    covey_ref ref = made_at("x", 64);
    keep_ask(id_of(ref), 64);
    said("unknown:\n");
    keep_ask(id_of(ref), 128);              /* an earlier attempt's */
    said("unknown: @128\n");
    keep_ask((struct oid){1, 9, 12345, 0}, 192);
    said("unknown: @192\n");
}

/* Else its reply could commit bytes that were just given up. */
static void a_death_is_carried_out_before_its_bytes_are_given_up(void **state)
{
    (void)state;
    covey_ref ref = submit("x");
    grant(7, w1);
    struct msg m = {.kind = MSG_WORKER_DIED};
    m.u.worker_died = (struct msg_worker_died){.lease = 7, .worker = w1};
    hear(node_addr, &m);
    said_anything();
    keep_ask(id_of(ref), 64);
    said("unknown: @64\nwant 0 of class 0\n");
    reply_place(w1, reply_of(ref, 1, 7), 64);
    said("free @64\nrefused p21 t1.1\n");
    shows(ref, "pending");
}

/* ---- lost bytes --------------------------------------------------------------------------------- */

static void a_lost_object_is_made_again_a_few_times(void **state)
{
    (void)state;
    covey_ref ref = made_at("x", 64);
    for (uint32_t i = 1; i <= OWNER_REBUILDS_MAX; i++) {
        said_anything();
        lose(ref);
        shows(ref, "pending");
        char expected[64];
        snprintf(expected, sizeof expected, "free @%u\ntask p21 t1.%u of 7 x\n", 64 * i, i + 1);
        said(expected);
        reply_place(w1, reply_of(ref, i + 1, 7), 64 + 64 * i);
        said_anything();
    }
    lose(ref);
    fails(ref, "ELOST its bytes are gone, and it was made again too often");
    said("free @256\n");
    lose(ref);
    said("");
}

static void what_was_put_cannot_be_made_again(void **state)
{
    (void)state;
    struct oid id;
    covey_ref put = owner_create(o, &id), borrowed = borrow(5, 64);
    struct place place = place_at(128);
    owner_sealed(o, put, &place, now);
    lose(put);
    fails(put, "ELOST its bytes are gone; it was put");
    lose(borrowed);
    fails(borrowed, "ELOST its bytes are gone, and only its owner could make it again");
    covey_ref value = owner_put_inline(o, span_str("1"));
    lose(value);
    shows(value, "=1");
}

static void a_task_waits_while_its_lost_argument_is_made_again(void **state)
{
    (void)state;
    covey_ref arg = made_at("x", 64), user = submit_with("y", arg, false);
    said("task p21 t2.1 of 7 y @64\n");
    reply_error(w1, reply_of(user, 1, 7), COVEY_ELOST, 0, "");
    said("free @64\ntask p21 t1.2 of 7 x\n");
    shows(user, "pending");
    reply_place(w1, reply_of(arg, 2, 7), 128);
    /* Another attempt's number: the worker would answer the same one from memory. */
    said("committed p21 t1.2\ntask p21 t2.2 of 7 y @128\n");
    reply_value(w1, reply_of(user, 2, 7), "1");
    shows(user, "=1");
    assert_int_equal(owner_stats(o).retried, 0);
}

static void a_lost_argument_that_cannot_be_made_fails_its_task(void **state)
{
    (void)state;
    struct oid id;
    covey_ref put = owner_create(o, &id);
    struct place place = place_at(64);
    owner_sealed(o, put, &place, now);
    grant(7, w1);
    covey_ref user = submit_with("y", put, false);
    reply_error(w1, reply_of(user, 1, 7), COVEY_ELOST, 0, "");
    fails(user, "EDEPENDENCY");
    user = submit_with("z", owner_put_inline(o, span_str("1")), false);
    reply_error(w1, reply_of(user, 1, 7), COVEY_ELOST, 0, "it says"); /* of a value that came along */
    fails(user, "ELOST");
    user = submit_with("z", owner_put_inline(o, span_str("1")), false);
    reply_error(w1, reply_of(user, 1, 7), COVEY_ELOST, 99, "it says");
    fails(user, "ELOST");
}

static void lose_while_queued_and_pushed(bool pushed)
{
    covey_ref arg = made_at("x", 64), other = made_at("y", 128);
    struct owner_dep deps[] = {{arg, false}, {other, false}};
    struct task_spec spec = spec_of("z");
    spec.deps = deps;
    spec.dep_count = 2;
    owner_link_full(o, w1, !pushed, now);
    covey_ref user = submit_spec(spec);
    lose(arg);
    lose(other);
    if (pushed)
        reply_error(w1, reply_of(user, 1, 7), COVEY_ELOST, 0, "");
    owner_link_full(o, w1, false, now);
    said_anything();
    reply_place(w1, reply_of(arg, 2, 7), 192);
    shows(user, "pending");
    said("committed p21 t1.2\n");
    reply_place(w1, reply_of(other, 2, 7), 256);
    assert_non_null(strstr(out, pushed ? "task p21 t3.2 of 7 z @192 @256\n"
                                       : "task p21 t3.1 of 7 z @192 @256\n"));
}

static void arguments_are_lost_while_their_task_is_queued(void **state)
{
    (void)state;
    lose_while_queued_and_pushed(false);
}

static void both_arguments_of_a_pushed_task_are_lost(void **state)
{
    (void)state;
    lose_while_queued_and_pushed(true);
}

static void a_lost_argument_fails_for_good_while_its_task_is_queued(void **state)
{
    (void)state;
    struct oid id;
    struct msg_task m;
    const char *function;
    covey_ref put = owner_create(o, &id);
    struct place place = place_at(64);
    owner_sealed(o, put, &place, now);
    covey_ref user = submit_with("y", put, false), local = submit_with("z", put, false);
    stall(0, COVEY_ELIMIT, "all workers wait");
    lose(put);
    assert_false(owner_local_begin(o, local, &m, &function, now));
    fails(local, "EDEPENDENCY");
    owner_check(o);
    grant(7, w1);
    fails(user, "EDEPENDENCY");
}

static void a_lost_object_whose_argument_failed_fails_with_it(void **state)
{
    (void)state;
    struct oid id;
    covey_ref put = owner_create(o, &id);
    struct place place = place_at(64);
    owner_sealed(o, put, &place, now);
    grant(7, w1);
    covey_ref made = submit_with("y", put, false);
    reply_place(w1, reply_of(made, 1, 7), 128);
    lose(put);
    fails(put, "ELOST");
    said_anything();
    lose(made);
    fails(made, "EDEPENDENCY task \"square\" (t9.2) did not run: its argument 0 could not be made\n"
                "  because its bytes are gone; it was put");
    said("free @128\n");
}

/* That was of the first time. */
static void a_rebuild_has_no_deadline(void **state)
{
    (void)state;
    grant(7, w1);
    struct task_spec spec = spec_of("x");
    spec.deadline_ms = 30;
    covey_ref ref = submit_spec(spec);
    reply_place(w1, reply_of(ref, 1, 7), 64);
    pass(100 * MS_NS);
    said_anything();
    lose(ref);
    said("free @64\ntask p21 t1.2 of 7 x\n");
    pass(100 * MS_NS);
    shows(ref, "pending");
}

static void only_what_is_lost_of_several_results_is_made_again(void **state)
{
    (void)state;
    covey_ref first = submit_three(), third = owner_result(o, first, 2);
    reply_three(reply_of(first, 1, 7), 64);
    said_anything();
    lose(third);
    said("free @128\ntask p21 t1.2 of 7 x\n");
    shows(first, "@64");
    shows(third, "pending");
    reply_three(reply_of(first, 2, 7), 192);
    said("free @192\ncommitted p21 t1.2\n");
    shows(first, "@64");
    shows(third, "@256");
    struct msg_reply r = reply_of(first, 3, 7);
    release(first);
    said_anything();
    lose(third);                            /* though result 0 is held by nobody */
    said("free @256\ntask p21 t1.3 of 7 x\n");
    reply_three(r, 320);
    shows(third, "@384");
    said("committed p21 t1.3\nfree @320\n");
    release(third);
    said("free @384\n");
    assert_int_equal(owner_stats(o).objects, 0);
}

static void a_rebuild_that_fails_fails_only_what_was_lost(void **state)
{
    (void)state;
    covey_ref first = submit_three(), third = owner_result(o, first, 2);
    reply_three(reply_of(first, 1, 7), 64);
    lose(third);
    lose(first);                            /* comes along */
    reply_error(w1, reply_of(first, 2, 7), COVEY_ETASK, 0, "not now");
    fails(third, "ETASK");
    fails(first, "ETASK");
    shows(owner_result(o, first, 1), "=i7");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(values_are_copied_and_payloads_aligned),
        TEST(created_objects_are_pending_until_sealed),
        TEST(an_object_that_is_never_sealed_fails_those_who_wait),
        TEST(a_ref_is_stale_once_it_is_released),
        TEST(a_released_task_still_runs_and_its_result_is_freed),
        TEST(many_objects_take_many_slots),
        TEST(results_that_nobody_took_go_with_the_first),
        TEST(results_are_taken_before_and_after_they_are_there),
        TEST(a_task_may_use_a_later_result),
        TEST(a_borrower_keeps_an_object_alive),
        TEST(a_reply_lists_what_its_worker_still_holds),
        TEST(adds_and_drops_come_in_any_order),
        TEST(a_dead_borrower_holds_nothing),
        TEST(who_waits_hears_once),
        TEST(a_borrower_cancels),
        TEST(a_borrow_within_a_task_is_nobodys_business),
        TEST(a_borrow_that_is_kept_is_listed_and_dropped),
        TEST(our_own_object_comes_back_to_us),
        TEST(a_borrowed_value_is_asked_for_once),
        TEST(a_task_waits_for_a_borrowed_argument),
        TEST(a_borrowed_object_is_cancelled_at_its_owner),
        TEST(who_passes_a_ref_on_holds_it_until_the_owner_knows),
        TEST(a_second_acknowledgement_ends_no_other_hold),
        TEST(a_dead_owners_objects_are_counted),
        TEST(a_dead_owner_need_not_know_the_new_holder),
        TEST(what_an_owner_does_not_know_is_named),
        TEST(a_death_is_carried_out_before_its_bytes_are_given_up),
        TEST(a_lost_object_is_made_again_a_few_times),
        TEST(what_was_put_cannot_be_made_again),
        TEST(a_task_waits_while_its_lost_argument_is_made_again),
        TEST(a_lost_argument_that_cannot_be_made_fails_its_task),
        TEST(arguments_are_lost_while_their_task_is_queued),
        TEST(both_arguments_of_a_pushed_task_are_lost),
        TEST(a_lost_argument_fails_for_good_while_its_task_is_queued),
        TEST(a_lost_object_whose_argument_failed_fails_with_it),
        TEST(a_rebuild_has_no_deadline),
        TEST(only_what_is_lost_of_several_results_is_made_again),
        TEST(a_rebuild_that_fails_fails_only_what_was_lost),
    };
    return cmocka_run_group_tests_name("owner_objects", tests, NULL, NULL);
}
