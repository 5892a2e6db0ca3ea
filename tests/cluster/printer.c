/* printer.c - a program for tests/cluster: many tasks print in one worker.
 *
 *     printer FILE
 *
 * Its tasks, by name, are "plain", "child", "part", "silent", "errors", "many"
 * and "last", one after the other; each prints lines that begin with its name.
 * "part" does not end its line.  "last" prints a line, waits until FILE exists,
 * and prints another.  Between them run many that print nothing or one line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "covey.h"

#define GET_MS 60000
#define LOOK_NS (10 * 1000 * 1000)
#define LONG_LINES 5000
#define OTHERS 30                       /* fewer in all than a worker tells its node at once */

static covey_status print(covey_ctx *ctx, const char *what)
{
    const char *file = covey_arg_str(ctx, 0);
    if (strcmp(what, "silent") == 0)
        return covey_return_nil(ctx);
    printf("%s begins%s", what, strcmp(what, "part") ? "\n" : "");
    if (strcmp(what, "child") == 0) {
        fflush(stdout);
        if (system("echo child of a child; echo child complains >&2") != 0)
            return covey_fail(ctx, 1, "the child failed");
    }
    if (strcmp(what, "errors") == 0)
        fputs("errors on stderr\n", stderr);
    for (int i = 0; i < LONG_LINES && strcmp(what, "long") == 0; i++)
        printf("long line %d of many that make it more than a pipe takes at once\n", i);
    while (strcmp(what, "last") == 0 && access(file, F_OK) != 0 && !covey_cancelled(ctx))
        nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
    if (strcmp(what, "last") == 0)
        printf("last ends\n");
    return covey_return_nil(ctx);
}

/* A list shows a finished task by its function. */
COVEY_TASK(plain, "str") { return print(ctx, "plain"); }
COVEY_TASK(child, "str") { return print(ctx, "child"); }
COVEY_TASK(part, "str") { return print(ctx, "part"); }
COVEY_TASK(silent, "str") { return print(ctx, "silent"); }
COVEY_TASK(errors, "str") { return print(ctx, "errors"); }
COVEY_TASK(many, "str") { return print(ctx, "long"); }
COVEY_TASK(last, "str") { return print(ctx, "last"); }
COVEY_TASK(other, "str") { return print(ctx, "other"); }
COVEY_TASK(quiet, "str") { return print(ctx, "silent"); }

static int run(covey *c, const char *what, const char *file)
{
    covey_value ignored;
    covey_ref task = covey_submit(c, what, COVEY_ARGS(file), NULL);
    covey_status status = covey_get(c, task, GET_MS, &ignored);
    if (status != COVEY_OK)
        fprintf(stderr, "printer: %s: %s\n", what, covey_why(c, task));
    covey_release(c, task);
    return status != COVEY_OK;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"plain", "child", "part", "silent", "errors", "many", "last"};
    covey *c = covey_init(&argc, &argv);
    if (!c || argc < 2) {
        fprintf(stderr, "printer: %s\n", c ? "usage: printer FILE" : covey_error());
        return 2;
    }
    int failed = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        covey_ref others[OTHERS];
        for (int k = 0; k < OTHERS; k++)
            others[k] = covey_submit(c, k % 2 ? "quiet" : "other", COVEY_ARGS(""), NULL);
        failed += covey_wait(c, others, OTHERS, OTHERS, GET_MS, NULL) != COVEY_OK;
        covey_release_all(c, others, OTHERS);
        failed += run(c, names[i], argv[1]);
    }
    covey_close(&c);
    return failed ? 1 : 0;
}
