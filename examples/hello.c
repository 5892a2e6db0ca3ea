/* hello.c - the smallest covey program: one task, one result.
 *
 *     cc hello.c -lcovey -o hello && ./hello
 *
 * What happens.  COVEY_TASK defines the function `greet` and registers it under
 * its name with its signature: it takes a string and gives one back.  main()
 * calls covey_init() first.  With no cluster running that starts a private one:
 * a node on this machine, which starts this very program again as a worker.
 * There covey_init() does not return; it serves tasks until the node ends it.
 * So everything before covey_init() would run in each worker, too.
 *
 * covey_submit() does not wait and does not fail.  It gives a ref, the name of
 * a value that will exist.  covey_get_str() waits for the value, here at most
 * ten seconds, and is where errors arrive; covey_why() tells them in words.
 * The text that it hands out belongs to the ref: it is valid until release.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "covey.h"

COVEY_TASK(greet, "str -> str")
{
    char text[256];
    snprintf(text, sizeof text, "Hello, %s, from process %d!", covey_arg_str(ctx, 0),
             (int)getpid());
    return covey_return_str(ctx, text);
}

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    if (!c) {
        fprintf(stderr, "hello: %s\n", covey_error());
        return 3;
    }

    const char *who = argc > 1 ? argv[1] : "world";
    covey_ref greeting = covey_submit(c, "greet", COVEY_ARGS(who), NULL);

    const char *text;
    bool ok = false;
    if (covey_get_str(c, greeting, 10000, &text) != COVEY_OK) {
        fprintf(stderr, "hello: %s\n", covey_why(c, greeting));
    } else {
        puts(text);
        ok = strncmp(text, "Hello, ", 7) == 0;
    }

    covey_release(c, greeting);
    covey_close(&c);
    return ok ? 0 : 1;
}
