/* mapping.c - see mapping.h. */
#include "store/mapping.h"

#include <errno.h>
#include <sys/mman.h>

/* Since Linux 5.14; older headers lack it. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define POPULATE_RETRIES_MAX 16

uint8_t *mapping_reserve(uint64_t bytes)
{
    uint64_t total = bytes + MAPPING_ALIGN;
    if (total < bytes || total > SIZE_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    uint8_t *raw = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)raw & (MAPPING_ALIGN - 1);
    if (before)
        munmap(raw, before);
    munmap(raw + before + bytes, MAPPING_ALIGN - before);
    return raw + before;
}

bool mapping_place(uint8_t *at, uint64_t bytes, int prot, int fd, uint64_t offset)
{
    void *got = mmap(at, bytes, prot, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, (off_t)offset);
    if (got == MAP_FAILED)
        return false;
    /* Both are advice: a system without huge pages is only slower. */
    int saved = errno;
    madvise(at, bytes, MADV_HUGEPAGE);
    madvise(at, bytes, MADV_DONTDUMP);
    errno = saved;
    return true;
}

void mapping_release(uint8_t *at, uint64_t bytes)
{
    if (at)
        munmap(at, bytes);
}

int mapping_populate(uint8_t *at, uint64_t bytes)
{
    /* EAGAIN and EINTR come from signals and memory pressure, and pass. */
    for (int i = 0; i < POPULATE_RETRIES_MAX; i++) {
        if (madvise(at, bytes, MADV_POPULATE_WRITE) == 0)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return errno;
}
