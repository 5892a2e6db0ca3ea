/* window.c - see window.h. */
#include "store/window.h"

#include "store/mapping.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that is too short would be SIGBUS later; here it is an error. */
static covey_status check_size(int fd, uint64_t bytes)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return COVEY_ESYSTEM;
    if (st.st_size < 0 || (uint64_t)st.st_size < bytes) {
        errno = EINVAL;
        return COVEY_ESYSTEM;
    }
    return COVEY_OK;
}

static covey_status failed(void)
{
    return errno == ENOMEM ? COVEY_ENOMEM : COVEY_ESYSTEM;
}

static covey_status set_up(struct window *w, int ro_fd, int rw_fd)
{
    size_t words = (size_t)(w->bytes / ARENA_BLOCK + 63) / 64;
    w->mapped = calloc(words, sizeof(uint64_t));
    w->warm = calloc(words, sizeof(uint64_t));
    if (!w->mapped || !w->warm)
        return COVEY_ENOMEM;
    covey_status status = check_size(ro_fd, w->bytes);
    if (status == COVEY_OK && rw_fd >= 0)
        status = check_size(rw_fd, w->bytes);
    if (status != COVEY_OK)
        return status;
    w->read = mapping_reserve(w->bytes);
    if (!w->read || !mapping_place(w->read, w->bytes, PROT_READ, ro_fd, 0))
        return failed();
    if (rw_fd >= 0 && !(w->write = mapping_reserve(w->bytes)))
        return failed();
    return COVEY_OK;
}

covey_status window_open(struct window *w, int ro_fd, int rw_fd, uint64_t arena_bytes)
{
    *w = (struct window){.bytes = arena_bytes - arena_bytes % ARENA_BLOCK, .ro_fd = -1, .rw_fd = -1};
    covey_status status = set_up(w, ro_fd, rw_fd);
    if (status != COVEY_OK) {
        int saved = errno;
        window_close(w);
        errno = saved;
        return status;
    }
    w->ro_fd = ro_fd;
    w->rw_fd = rw_fd;
    return COVEY_OK;
}

void window_close(struct window *w)
{
    mapping_release(w->read, w->bytes);
    mapping_release(w->write, w->bytes);
    if (w->ro_fd >= 0)
        close(w->ro_fd);
    if (w->rw_fd >= 0)
        close(w->rw_fd);
    free(w->mapped);
    free((void *)w->warm);
    *w = (struct window){.ro_fd = -1, .rw_fd = -1};
}

static bool is_mapped(const struct window *w, uint64_t block)
{
    return w->mapped[block / 64] >> (block % 64) & 1;
}

/* One mmap for each run that is not there yet; neighbours of one file become
 * one mapping in the kernel. */
bool window_lend(struct window *w, uint64_t offset, uint64_t bytes)
{
    assert(w->write);
    assert(offset % ARENA_BLOCK == 0);
    assert(bytes % ARENA_BLOCK == 0);
    uint64_t end = (offset + bytes) / ARENA_BLOCK;
    for (uint64_t at = offset / ARENA_BLOCK; at < end; at++) {
        uint64_t first = at;
        while (at < end && !is_mapped(w, at))
            at++;
        if (at == first)
            continue;
        uint64_t from = first * ARENA_BLOCK;
        if (!mapping_place(w->write + from, (at - first) * ARENA_BLOCK, PROT_READ | PROT_WRITE,
                           w->rw_fd, from))
            return false;
        for (uint64_t i = first; i < at; i++)
            w->mapped[i / 64] |= UINT64_C(1) << (i % 64);
    }
    return true;
}

static bool is_warm(const struct window *w, uint64_t block)
{
    return atomic_load_explicit(&w->warm[block / 64], memory_order_relaxed) >> (block % 64) & 1;
}

/* Two threads may both do it; that is harmless.  A failure counts as done, too:
 * faults will do the rest, and asking again would not help. */
void window_warm(struct window *w, uint64_t offset, uint64_t bytes)
{
    int saved = errno;
    uint64_t end = (offset + bytes + ARENA_BLOCK - 1) / ARENA_BLOCK;
    for (uint64_t at = offset / ARENA_BLOCK; at < end; at++) {
        uint64_t first = at;
        while (at < end && !is_warm(w, at))
            at++;
        if (at == first)
            continue;
        mapping_populate(w->write + first * ARENA_BLOCK, (at - first) * ARENA_BLOCK);
        for (uint64_t i = first; i < at; i++)
            atomic_fetch_or_explicit(&w->warm[i / 64], UINT64_C(1) << (i % 64), memory_order_relaxed);
    }
    errno = saved;
}
