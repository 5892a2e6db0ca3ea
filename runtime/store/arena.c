/* arena.c - the node's side of the shared memory; see store.h.
 *
 * The memfd is sealed against shrinking, so no reader ever meets SIGBUS for a
 * page that was once there, and against further seals.  It is sparse: blocks
 * get pages through arena_populate() before they are lent, never by accident.
 * Going through the mapping matters: posix_fallocate() would not use huge pages.
 *
 * The read-only descriptor is a second opening of the same file, so it cannot
 * be mapped writable.
 */
#include "store/budget.h"
#include "store/mapping.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

struct arena {
    int rw_fd, ro_fd;           /* owned */
    uint8_t *base;              /* owned; all of it, writable */
    uint64_t bytes;
};

/* Older kernels refuse the flag that newer ones ask for. */
static int make_memfd(void)
{
    int fd = memfd_create("covey-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("covey-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

static int open_read_only(int fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static covey_status set_up(struct arena *a)
{
    a->rw_fd = make_memfd();
    if (a->rw_fd < 0 || ftruncate(a->rw_fd, (off_t)a->bytes) != 0)
        return COVEY_ESYSTEM;
    if (fcntl(a->rw_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return COVEY_ESYSTEM;
    a->ro_fd = open_read_only(a->rw_fd);
    if (a->ro_fd < 0)
        return COVEY_ESYSTEM;
    a->base = mapping_reserve(a->bytes);
    if (!a->base || !mapping_place(a->base, a->bytes, PROT_READ | PROT_WRITE, a->rw_fd, 0))
        return errno == ENOMEM ? COVEY_ENOMEM : COVEY_ESYSTEM;
    uint64_t table = a->bytes / ARENA_BLOCK * sizeof(uint64_t);
    return arena_populate(a, 0, (table + ARENA_BLOCK - 1) / ARENA_BLOCK * ARENA_BLOCK);
}

covey_status arena_new(struct arena **out, uint64_t bytes)
{
    bytes -= bytes % ARENA_BLOCK;
    if (bytes < 2 * ARENA_BLOCK || bytes > INT64_MAX / 2)
        return COVEY_EINVAL;
    struct arena *a = calloc(1, sizeof(*a));
    if (!a)
        return COVEY_ENOMEM;
    a->rw_fd = a->ro_fd = -1;
    a->bytes = bytes;
    covey_status status = set_up(a);
    if (status != COVEY_OK) {
        int saved = errno;
        arena_free(&a);
        errno = saved;
        return status;
    }
    *out = a;
    return COVEY_OK;
}

void arena_free(struct arena **arena)
{
    struct arena *a = *arena;
    if (!a)
        return;
    mapping_release(a->base, a->bytes);
    if (a->ro_fd >= 0)
        close(a->ro_fd);
    if (a->rw_fd >= 0)
        close(a->rw_fd);
    free(a);
    *arena = NULL;
}

int arena_fd_read_only(const struct arena *arena) { return arena->ro_fd; }
int arena_fd_writable(const struct arena *arena) { return arena->rw_fd; }

covey_status arena_populate(struct arena *arena, uint64_t offset, uint64_t bytes)
{
    assert(offset <= arena->bytes);
    assert(bytes <= arena->bytes - offset);
    int error = mapping_populate(arena->base + offset, bytes);
    if (error == EINVAL) /* an old kernel: pages all the same, but small ones */
        error = posix_fallocate(arena->rw_fd, (off_t)offset, (off_t)bytes);
    if (error == 0)
        return COVEY_OK;
    errno = error;
    return error == ENOMEM || error == ENOSPC || error == EFAULT ? COVEY_ENOMEM : COVEY_ESYSTEM;
}

void arena_publish(struct arena *arena, uint32_t block, uint64_t gen)
{
    assert(block < arena->bytes / ARENA_BLOCK);
    _Atomic uint64_t *table = (_Atomic uint64_t *)(void *)arena->base;
    atomic_store_explicit(&table[block], gen, memory_order_release);
}

bool arena_header(const struct arena *arena, uint64_t offset, struct object_header *out)
{
    if (offset % OBJECT_ALIGN || offset > arena->bytes - OBJECT_ALIGN)
        return false;
    const struct object_header *h = (const void *)(arena->base + offset);
    uint64_t state = atomic_load_explicit(&h->state, memory_order_acquire);
    if (state == 0)
        return false;
    *out = (struct object_header){
        .gen = h->gen, .size = h->size, .seq = h->seq,
        .node = h->node, .proc = h->proc, .index = h->index,
        .ordinal = h->ordinal, .kind = h->kind,
    };
    atomic_init(&out->state, state);
    return true;
}

uint64_t arena_budget(uint64_t populated_bytes, uint64_t limit_bytes)
{
    uint64_t left = limit_bytes > populated_bytes ? limit_bytes - populated_bytes : 0;
    uint64_t machine = budget_machine_bytes("/proc/meminfo");
    uint64_t group = budget_cgroup_bytes("/proc/self/cgroup", "/sys/fs/cgroup");
    left = machine < left ? machine : left;
    return group < left ? group : left;
}
