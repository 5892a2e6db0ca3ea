/* message_use.c - messages of running tasks: their order against a task's end,
 * answers to an attempt that is over, questions on the submitter's own stack.
 */
#include "check.h"

#define MESSAGES 200            /* less than may be unread, so that all are on their way */
#define ROUNDS 20
#define TASKS 8

COVEY_TASK(post_some, "i64 -> i64")
{
    int64_t n = covey_arg_i64(ctx, 0);
    for (int64_t i = 0; i < n; i++)
        if (covey_post(ctx, &i, sizeof i) != COVEY_OK)
            return covey_fail(ctx, 1, "%s", covey_error());
    return covey_return_i64(ctx, n);
}

/* Its first attempt dies with a question open; the second asks anew. */
COVEY_TASK(ask_twice, "->")
{
    const void *answer;
    size_t size;
    unsigned attempt = covey_attempt(ctx);
    covey_status status = covey_ask(ctx, &attempt, sizeof attempt, attempt == 1 ? 50 : CHECK_GET_MS, &answer, &size);
    if (attempt == 1)
        _exit(3);
    if (status != COVEY_OK || size != 2 || memcmp(answer, "#2", 2) != 0)
        return covey_fail(ctx, 1, "%s", status == COVEY_OK ? "an answer to the first attempt" : covey_error());
    return covey_return_nil(ctx);
}

COVEY_TASK(ask_above, "-> i64")
{
    const void *answer;
    size_t size;
    covey_status status = covey_post(ctx, "said", 4);
    if (status == COVEY_OK)
        status = covey_ask(ctx, "well?", 5, CHECK_GET_MS, &answer, &size);
    if (status == COVEY_OK)
        return covey_return_i64(ctx, size == 3 && memcmp(answer, "yes", 3) == 0);
    return covey_fail(ctx, (int)status, "%s", covey_error());
}

static void say_yes(covey *c, const covey_message *m, void *arg)
{
    ++*(int *)arg;
    if (m->question)
        (void)covey_answer(c, m, "yes", 3);
}

/* With one process, what it submits runs on its own stack. */
COVEY_TASK(answer_below, "u64 -> i64")
{
    int heard = 0;
    int64_t value;
    covey *c = covey_self(ctx);
    covey_opts opts = {.size = sizeof opts, .retries = -1, .arg = &heard};
    if (covey_arg_u64(ctx, 0))
        opts.on_message = say_yes;
    covey_ref ref = covey_submit(c, "ask_above", COVEY_NONE, &opts);
    covey_status status = covey_get_i64(c, ref, -1, &value);
    if (status != COVEY_OK)
        return covey_fail(ctx, 1, "%s", covey_why(c, ref));
    return covey_return_i64(ctx, value == 1 && heard == 2);
}

/* ---- the tests ------------------------------------------------------------------------------ */

static void count_message(covey *c, const covey_message *m, void *arg)
{
    (void)c;
    (void)m;
    ++*(int64_t *)arg;
}

static void check_order(covey *c)
{
    int64_t heard = 0, value;
    int early = 0;
    for (int i = 0; i < ROUNDS; i++) {
        heard = 0;
        covey_ref ref = covey_submit(c, "post_some", COVEY_ARGS(MESSAGES),
                                     COVEY_OPTS(.on_message = count_message, .arg = &heard));
        covey_status status = covey_get_i64(c, ref, CHECK_GET_MS, &value);
        early += status != COVEY_OK || heard != MESSAGES;
        covey_release(c, ref);
    }
    if (!check(early == 0, "all messages are heard before get returns"))
        check_note("%d of %d times not", early, ROUNDS);
    covey_ref refs[TASKS];
    int64_t each[TASKS] = {0};
    for (int i = 0; i < TASKS; i++)
        refs[i] = covey_submit(c, "post_some", COVEY_ARGS(MESSAGES),
                               COVEY_OPTS(.on_message = count_message, .arg = &each[i]));
    early = 0;
    bool settled[TASKS] = {false};
    for (size_t k = 1; k <= TASKS; k++) {
        covey_status status = covey_wait(c, refs, TASKS, k, CHECK_GET_MS, settled);
        for (int i = 0; i < TASKS; i++)
            early += status != COVEY_OK || (settled[i] && each[i] != MESSAGES);
    }
    check(early == 0, "and before wait shows their task settled");
    covey_release_all(c, refs, TASKS);
}

static void get_again(covey *c, covey_ref ref, covey_status status, void *arg)
{
    int64_t value;
    *(int *)arg += status == COVEY_OK && covey_get_i64(c, ref, 0, &value) == COVEY_OK;
}

/* Callbacks that get do not run each other, however many there are. */
static void check_callbacks_that_get(covey *c)
{
    enum { MANY_CALLBACKS = 20000 };
    static covey_ref refs[MANY_CALLBACKS];
    int ran = 0;
    for (int i = 0; i < MANY_CALLBACKS; i++) {
        refs[i] = covey_submit(c, "post_some", COVEY_ARGS(0), NULL);
        covey_then(c, refs[i], get_again, &ran);
    }
    covey_status status = covey_wait(c, refs, MANY_CALLBACKS, MANY_CALLBACKS, CHECK_GET_MS, NULL);
    check(status == COVEY_OK && ran == MANY_CALLBACKS, "20,000 callbacks that call get");
    covey_release_all(c, refs, MANY_CALLBACKS);
}

static void check_attempts(covey *c)
{
    covey_message first = {.size = 0}, m;
    covey_ref ref = covey_submit(c, "ask_twice", COVEY_NONE, COVEY_OPTS(.backoff_ms = 1));
    covey_status status = covey_next_message(c, ref, CHECK_GET_MS, &first);
    check(status == COVEY_OK && first.question, "an attempt asks and dies");
    covey_message asked = {.ref = ref, .question = first.question};
    status = covey_next_message(c, ref, CHECK_GET_MS, &m);
    check(status == COVEY_OK && m.question, "the next one asks, too");
    check_status(covey_answer(c, &asked, "#1", 2), COVEY_ECLOSED, "an answer to the dead attempt");
    check_status(covey_answer(c, &m, "#2", 2), COVEY_OK, "and one to the living");
    covey_value value;
    check_status(covey_get(c, ref, CHECK_GET_MS, &value), COVEY_OK, "which gets its own");
    covey_release(c, ref);
}

static void check_nested(void)
{
    covey *c = check_open((covey_open_opts){.cpus = 1, .processes_max = 1});
    covey_ref ref = covey_submit(c, "answer_below", COVEY_ARGS(1), NULL);
    check_i64(c, ref, 1, "a task on its submitter's stack asks the submitter's callback");
    covey_release(c, ref);
    ref = covey_submit(c, "answer_below", COVEY_ARGS(0), NULL);
    check_fails(c, ref, COVEY_ETASK, "on_message", "without a callback it is told at once");
    covey_release(c, ref);
    covey_close(&c);
}

int main(void)
{
    covey *c = check_open((covey_open_opts){0});
    check_order(c);
    check_callbacks_that_get(c);
    check_attempts(c);
    covey_close(&c);
    check_nested();
    check_nothing_left("after close");
    return check_end();
}
