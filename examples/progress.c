/* progress.c - a running task talks to its submitter, and is told when to stop.
 *
 * The task integrates sin(x) / x from 0 to 10 by throwing random points, and
 * has no idea how exact the answer must be.  After each batch it sends what it
 * knows.  Two calls do that:
 *
 *   covey_post()   say something and go on: progress, a log line, a metric
 *   covey_ask()    say something and wait for the answer: "shall I stop?"
 *
 * Messages are bytes; here they are a struct, which both sides know since they
 * are one program.  They arrive in order, once each.  If the submitter is slow,
 * the task waits when 256 are unread: nothing is lost, nothing grows.
 *
 * The submitter reads them with covey_next_message() until COVEY_ECLOSED: then
 * the task has ended and its result is there.  A program that follows many
 * tasks gives COVEY_OPTS(.on_message = fn) instead; see fashion_grid.c.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "covey.h"

#define BATCH 200000
#define BATCHES_MAX 200
#define ASK_EVERY 4             /* batches; the ones between are only reported */
#define ERROR_WANTED 0.002

struct report {
    unsigned batch;
    double estimate, error;     /* error: one standard deviation */
};

static double random_unit(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / 9007199254740992.0;
}

COVEY_TASK(integrate, "u64 -> f64")
{
    uint64_t random = covey_arg_u64(ctx, 0);
    double sum = 0, squares = 0, n = 0;
    struct report report = {0};
    while (report.batch < BATCHES_MAX && !covey_cancelled(ctx)) {
        for (int i = 0; i < BATCH; i++) {
            double x = 10 * random_unit(&random);
            double y = x > 0 ? 10 * sin(x) / x : 10;
            sum += y;
            squares += y * y;
        }
        n += BATCH;
        report.batch++;
        report.estimate = sum / n;
        report.error = sqrt((squares / n - report.estimate * report.estimate) / n);

        const void *answer = NULL;
        size_t size = 0;
        bool ask = report.batch % ASK_EVERY == 0;
        covey_status status = ask ? covey_ask(ctx, &report, sizeof report, 10000, &answer, &size)
                                  : covey_post(ctx, &report, sizeof report);
        if (status != COVEY_OK)
            return covey_fail(ctx, 1, "nobody listens: %s", covey_strerror(status));
        if (ask && size == 4 && memcmp(answer, "stop", 4) == 0)
            break;
    }
    return covey_return_f64(ctx, report.estimate);
}

/* Follow the task until it ends.  Returns how many messages came. */
static int follow(covey *c, covey_ref ref)
{
    int messages = 0;
    covey_message m;
    covey_status status;
    while ((status = covey_next_message(c, ref, 30000, &m)) == COVEY_OK) {
        struct report report;
        if (m.size != sizeof report)
            return -1;
        memcpy(&report, m.data, sizeof report);     /* a message need not be aligned */
        messages++;
        printf("batch %3u  %.5f +- %.5f", report.batch, report.estimate, report.error);
        if (m.question) {
            const char *answer = report.error < ERROR_WANTED ? "stop" : "go on";
            printf("  shall I stop? - %s", answer);
            if (covey_answer(c, &m, answer, strlen(answer)) != COVEY_OK)
                return -1;
        }
        putchar('\n');
    }
    return status == COVEY_ECLOSED ? messages : -1;
}

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    if (!c) {
        fprintf(stderr, "progress: %s\n", covey_error());
        return 3;
    }

    covey_ref ref = covey_submit(c, "integrate", COVEY_ARGS(42), NULL);
    int messages = follow(c, ref);
    double value;
    bool ok = false;
    if (covey_get_f64(c, ref, 10000, &value) != COVEY_OK) {
        fprintf(stderr, "progress: %s\n", covey_why(c, ref));
    } else {
        printf("the integral of sin(x)/x from 0 to 10 is about %.4f, after %d messages\n", value,
               messages);
        ok = fabs(value - 1.658348) < 4 * ERROR_WANTED
            && messages % ASK_EVERY == 0 && messages > ASK_EVERY && messages < BATCHES_MAX;
    }

    covey_release(c, ref);
    covey_close(&c);
    return ok ? 0 : 1;
}
