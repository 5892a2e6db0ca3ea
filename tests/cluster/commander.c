/* commander.c - a program for tests/cluster: one command that is slow to end.
 *
 *     commander FILE GRACE_MS
 *
 * The command writes x to FILE and runs on; at SIGTERM it takes a while and then
 * adds y.  It has GRACE_MS for that.  Prints why the task ended.
 */
#include <stdio.h>
#include <stdlib.h>

#include "covey.h"

#define GET_MS 60000
#define SCRIPT "trap 'sleep 0.3; printf y >>\"$1\"; exit 0' TERM; printf x >\"$1\"; while :; do sleep 0.02; done"

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    if (!c || argc < 3) {
        fprintf(stderr, "commander: %s\n", c ? "usage: commander FILE GRACE_MS" : covey_error());
        return 2;
    }
    const covey_command command = {
        .size = sizeof(command), .argv = (const char *const[]){"sh", "-c", SCRIPT, "sh", argv[1], NULL},
        .grace_ms = atoll(argv[2])};
    covey_value ignored;
    covey_ref ref = covey_submit_command(c, &command, NULL);
    covey_status status = covey_get(c, ref, GET_MS, &ignored);
    printf("status %s\nerror %s\nwhy %s\n", covey_strerror(status), covey_error(), covey_why(c, ref));
    covey_close(&c);
    return status == COVEY_OK ? 0 : 1;
}
