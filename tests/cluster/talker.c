/* talker.c - a program for tests/cluster: its task prints and then waits.
 *
 *     talker FILE [ROUNDS]
 *
 * Puts an object of 1 MiB, submits a task that prints "talk 1" to "talk ROUNDS"
 * (3) on standard output and "done talking" on standard error and then waits
 * until FILE exists, and waits for it.  Ends with 0 if the task did.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "covey.h"

#define OBJECT_BYTES (1024u * 1024)
#define GET_MS 60000
#define LOOK_NS (10 * 1000 * 1000)

COVEY_TASK(talk, "str i64")
{
    const char *file = covey_arg_str(ctx, 0);
    int64_t rounds = covey_arg_i64(ctx, 1);
    for (int64_t i = 1; i <= rounds; i++)
        printf("talk %lld\n", (long long)i);
    fflush(stdout);
    fputs("done talking\n", stderr);
    while (access(file, F_OK) != 0 && !covey_cancelled(ctx))
        nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
    return covey_return_nil(ctx);
}

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    if (!c || argc < 2) {
        fprintf(stderr, "talker: %s\n", c ? "usage: talker FILE [ROUNDS]" : covey_error());
        return 2;
    }
    int64_t rounds = argc > 2 ? atoll(argv[2]) : 3;
    void *zeros = calloc(1, OBJECT_BYTES);
    covey_ref object = covey_put(c, zeros, OBJECT_BYTES);
    covey_ref task = covey_submit(c, "talk", COVEY_ARGS(argv[1], rounds), NULL);
    covey_value ignored;
    covey_status status = covey_get(c, task, GET_MS, &ignored);
    if (status != COVEY_OK)
        fprintf(stderr, "talker: %s\n", covey_why(c, task));
    covey_release(c, task);
    covey_release(c, object);
    covey_close(&c);
    free(zeros);
    return status == COVEY_OK ? 0 : 1;
}
