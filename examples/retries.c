/* retries.c - what can go wrong with a task, and what a program sees of it.
 *
 * A task fails in one of three ways, each with a status of its own:
 *
 *   it says so        covey_fail() with a code and a text    COVEY_ETASK
 *   its worker dies   a crash, exit(), kill -9               COVEY_EWORKER
 *   an argument fails the task never starts                  COVEY_EDEPENDENCY
 *
 * A submit never fails as a call; even an unknown name or a wrong argument
 * arrives at get.  covey_why() tells the whole story: what, where, the attempt,
 * and beneath it the cause, down to the task that began it.
 *
 * Retries.  A death is retried three times unless .retries says otherwise,
 * since machines fail without being asked.  A failure is not, since the same
 * code on the same input mostly fails again: .retry_on asks for it.  Between
 * attempts .backoff_ms passes, doubled each time.  So a task may run more than
 * once, but only one attempt's result is ever taken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey.h"

/* Fails until its third attempt, as a busy server would. */
COVEY_TASK(flaky, "-> u64")
{
    unsigned attempt = covey_attempt(ctx);
    if (attempt < 3)
        return covey_fail(ctx, 503, "the server is busy (attempt %u)", attempt);
    return covey_return_u64(ctx, attempt);
}

/* Brings its worker down, in attempts up to the given one. */
COVEY_TASK(crash, "u64 -> u64")
{
    if (covey_attempt(ctx) <= covey_arg_u64(ctx, 0))
        abort();
    return covey_return_u64(ctx, covey_attempt(ctx));
}

COVEY_TASK(parse, "str -> i64")
{
    const char *text = covey_arg_str(ctx, 0);
    char *end;
    long x = strtol(text, &end, 10);
    if (*end)
        return covey_fail(ctx, 2, "'%s' is not a number: look at '%s'", text, end);
    return covey_return_i64(ctx, x);
}

COVEY_TASK(twice, "i64 -> i64")
{
    return covey_return_i64(ctx, 2 * covey_arg_i64(ctx, 0));
}

static int wrong; /* expectations that were not met */

/* Get @ref, show how it ended, and release it.  @words must be in its story. */
static void expect(covey *c, const char *what, covey_ref ref, covey_status expected, const char *words)
{
    covey_value value;
    covey_status status = covey_get(c, ref, 60000, &value);
    const char *why = covey_why(c, ref);
    printf("\n%s\n", what);
    if (status == COVEY_OK)
        printf("  value %lld\n", (long long)(value.kind == COVEY_I64 ? value.i64 : (int64_t)value.u64));
    else
        printf("  %s\n  --\n%s\n", covey_strerror(status), why);
    if (status != expected || !strstr(why, words)) {
        printf("  NOT AS EXPECTED: %s, with \"%s\" in its story\n", covey_strerror(expected), words);
        wrong++;
    }
    covey_release(c, ref);
}

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    if (!c) {
        fprintf(stderr, "retries: %s\n", covey_error());
        return 3;
    }

    expect(c, "1. A failure that goes away: the third attempt gives a value.",
           covey_submit(c, "flaky", COVEY_NONE,
                        COVEY_OPTS(.retries = 4, .retry_on = COVEY_RETRY_FAILURE, .backoff_ms = 10)),
           COVEY_OK, "");
    expect(c, "2. The same without retry_on: the first failure is final.",
           covey_submit(c, "flaky", COVEY_NONE, NULL), COVEY_ETASK, "busy");
    expect(c, "3. A worker that dies once: tried again without asking.",
           covey_submit(c, "crash", COVEY_ARGS(1), NULL), COVEY_OK, "");
    expect(c, "4. One that dies each time, tried twice.",
           covey_submit(c, "crash", COVEY_ARGS(100), COVEY_OPTS(.retries = 1, .backoff_ms = 10)),
           COVEY_EWORKER, "");

    /* 5. A chain: parse fails, so neither twice can run. */
    covey_ref parsed = covey_submit(c, "parse", COVEY_ARGS("12x"), NULL);
    covey_ref doubled = covey_submit(c, "twice", COVEY_ARGS(parsed), NULL);
    covey_ref again = covey_submit(c, "twice", COVEY_ARGS(doubled), NULL);
    expect(c, "5. A chain of causes: the last link knows the first.", again, COVEY_EDEPENDENCY,
           "'12x' is not a number");
    covey_release(c, doubled);
    covey_release(c, parsed);

    expect(c, "6. A wrong argument is found before anything runs.",
           covey_submit(c, "twice", COVEY_ARGS("two"), NULL), COVEY_ESIGNATURE, "");
    expect(c, "7. So is a task that does not exist.",
           covey_submit(c, "thrice", COVEY_ARGS(3), NULL), COVEY_EUNKNOWN, "thrice");

    covey_close(&c);
    printf("\n%s\n", wrong ? "Not everything went wrong as it should."
                           : "Everything went wrong as it should.");
    return wrong ? 1 : 0;
}
