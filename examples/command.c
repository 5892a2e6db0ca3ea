/* command.c - any executable as a task: files in, files and output back.
 *
 * A command task runs in a directory of its own, which holds the files of
 * .inputs and is removed afterwards, and in a process group of its own, so that
 * cancelling it reaches what it starts.  Its results are
 *
 *     0  the exit status          1  what it wrote to standard output
 *     2  to standard error        3, 4, ...  the files named in .outputs
 *
 * An input is a value like an argument: a string, bytes, or a ref.  With a ref
 * the command starts when the value is there, so commands and tasks chain in
 * any mixture, and the files between them travel through the object store.
 *
 * A status other than 0 is an error, COVEY_EEXIT, and covey_why() shows the
 * last lines that the command wrote.  With .any_exit it is a value like any.
 */
#include <stdio.h>
#include <string.h>

#include "covey.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static int wrong;

/* Result @index of @ref must be the bytes @expected. */
static void expect_text(covey *c, covey_ref ref, unsigned index, const char *expected)
{
    covey_ref result = covey_result(c, ref, index);
    const void *data;
    size_t size;
    if (covey_get_bytes(c, result, 20000, &data, &size) != COVEY_OK) {
        fprintf(stderr, "command: result %u: %s\n", index, covey_why(c, result));
        wrong++;
    } else if (size != strlen(expected) || memcmp(data, expected, size) != 0) {
        fprintf(stderr, "command: result %u is '%.*s'\n", index, (int)size, (const char *)data);
        wrong++;
    } else {
        printf("  result %u: %s", index, expected);
    }
    covey_release(c, result);
}

/* Two commands, the second on the file that the first one made. */
static void sort_and_count(covey *c)
{
    puts("sort, then count:");
    covey_ref sorted = covey_submit_command(c, &(covey_command){
        .size = sizeof(covey_command),
        .argv = ARGV("sh", "-c", "sort birds > sorted && wc -l < birds | tr -d ' ' && echo done >&2"),
        .inputs = (const covey_arg[]){COVEY_ARG("quail\npartridge\nquail\ngrouse\n")},
        .input_names = ARGV("birds"),
        .outputs = ARGV("sorted"),
    }, COVEY_OPTS(.name = "sort"));
    covey_ref file = covey_result(c, sorted, 3);
    covey_ref counted = covey_submit_command(c, &(covey_command){
        .size = sizeof(covey_command),
        .argv = ARGV("sh", "-c", "uniq in | wc -l | tr -d ' '; echo \"$WHO $(cat)\""),
        .env = ARGV("WHO=I read"),
        .inputs = (const covey_arg[]){COVEY_ARG(file)},
        .input_names = ARGV("in"),
        .stdin_data = "this",
        .stdin_size = 4,
    }, COVEY_OPTS(.name = "count"));

    expect_text(c, sorted, 1, "4\n");
    expect_text(c, sorted, 2, "done\n");
    expect_text(c, sorted, 3, "grouse\npartridge\nquail\nquail\n");
    expect_text(c, counted, 1, "3\nI read this\n");
    covey_release(c, counted);
    covey_release(c, file);
    covey_release(c, sorted);
}

static void fail_as_error_and_as_value(covey *c)
{
    covey_command command = {
        .size = sizeof(covey_command),
        .argv = ARGV("sh", "-c", "echo 'no such bird' >&2; exit 7"),
    };
    covey_ref error = covey_submit_command(c, &command, NULL);
    command.any_exit = true;
    covey_ref value = covey_submit_command(c, &command, NULL);

    int64_t status;
    covey_status as_error = covey_get_i64(c, error, 20000, &status);
    printf("a command that fails: %s\n%s\n", covey_strerror(as_error), covey_why(c, error));
    if (as_error != COVEY_EEXIT || !strstr(covey_why(c, error), "no such bird"))
        wrong++;
    if (covey_get_i64(c, value, 20000, &status) != COVEY_OK || status != 7) {
        fprintf(stderr, "command: any_exit: %s\n", covey_why(c, value));
        wrong++;
    } else {
        printf("the same with any_exit: status %d\n", (int)status);
    }
    expect_text(c, value, 2, "no such bird\n");
    covey_release(c, error);
    covey_release(c, value);
}

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    if (!c) {
        fprintf(stderr, "command: %s\n", covey_error());
        return 3;
    }
    sort_and_count(c);
    fail_as_error_and_as_value(c);
    covey_close(&c);
    return wrong ? 1 : 0;
}
