/* wake.c - see wake.h for the contract. */
#include "io/wake.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

covey_status wake_open(int *fd)
{
    *fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return *fd >= 0 ? COVEY_OK : COVEY_ESYSTEM;
}

void wake_set(int fd)
{
    int saved = errno; /* of the code that a signal handler interrupts */
    uint64_t one = 1;
    ssize_t rc;
    do
        rc = write(fd, &one, sizeof one);
    while (rc < 0 && errno == EINTR);
    /* EAGAIN: the counter is full, so the descriptor is readable already. */
    assert(rc == (ssize_t)sizeof one || errno == EAGAIN);
    errno = saved;
}

bool wake_clear(int fd)
{
    uint64_t count;
    ssize_t rc;
    do
        rc = read(fd, &count, sizeof count);
    while (rc < 0 && errno == EINTR);
    assert(rc == (ssize_t)sizeof count || errno == EAGAIN);
    return rc == (ssize_t)sizeof count;
}
