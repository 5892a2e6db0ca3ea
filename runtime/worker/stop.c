/* stop.c - see stop.h for the contract. */
#include "worker/stop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/types.h"
#include "io/mono.h"

/* What the handler knows: one command runs at a time.  The descriptor stays for
 * the process's life, since a handler may still be about to write to it. */
static struct {
    _Atomic pid_t group;        /* 0: none */
    atomic_bool came;
    int fd;
} self = {.fd = -1};

static void on_term(int signal_number)
{
    int error = errno;
    pid_t group = atomic_load(&self.group);
    const uint64_t one = 1;
    if (group > 0)
        kill(-group, signal_number);
    atomic_store(&self.came, true);
    (void)!write(self.fd, &one, sizeof one);
    errno = error;
}

void stop_begin(struct stop *stop, pid_t group, int64_t grace_ms)
{
    if (self.fd < 0)
        self.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    *stop = (struct stop){.fd = self.fd, .works = self.fd >= 0, .group = group, .grace_ms = grace_ms,
                          .kill_at = NEVER_NS};
    if (!stop->works)
        return;
    atomic_store(&self.group, group);
    struct sigaction action = {.sa_handler = on_term, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, &stop->before);
}

int stop_poll_ms(const struct stop *stop)
{
    return mono_poll_ms(stop->kill_at);
}

void stop_turn(struct stop *stop, bool readable)
{
    int64_t now = mono_ns();
    if (readable) {
        stop->fd = -1;
        if (stop->grace_ms < (NEVER_NS - now) / MS_NS)
            stop->kill_at = now + stop->grace_ms * MS_NS;
    }
    if (now >= stop->kill_at) {
        stop->kill_at = NEVER_NS;
        kill(-stop->group, SIGKILL);
    }
}

bool stop_end(struct stop *stop)
{
    if (!stop->works)
        return false;
    atomic_store(&self.group, 0);
    sigaction(SIGTERM, &stop->before, NULL);
    return atomic_load(&self.came);     /* for good: the worker dies of it */
}
