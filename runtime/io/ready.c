/* ready.c - see ready.h for the contract. */
#include "io/ready.h"

#include <stdio.h>
#include <unistd.h>

void ready_tell(int *fd, const char *why)
{
    if (*fd < 0)
        return;
    if (why)
        dprintf(*fd, READY_FAILED "%s\n", why);
    else
        dprintf(*fd, READY_WORD "\n");
    close(*fd);
    *fd = -1;
}
