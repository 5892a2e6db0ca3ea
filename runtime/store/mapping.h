/* mapping.h - address space for arenas: aligned to huge pages, out of core
 * dumps, and page tables filled in one call instead of by faults. */
#ifndef COVEY_STORE_MAPPING_H
#define COVEY_STORE_MAPPING_H

#include "core/types.h"

#define MAPPING_ALIGN (2u * 1024 * 1024)

/* Address space without memory behind it (PROT_NONE), aligned; NULL with errno. */
uint8_t *mapping_reserve(uint64_t bytes);
/* Put a piece of @fd there.  False with errno; then what was there is there
 * still, or nothing accessible is. */
bool mapping_place(uint8_t *at, uint64_t bytes, int prot, int fd, uint64_t offset);
void mapping_release(uint8_t *at, uint64_t bytes);
/* Give every page of it memory and a writable entry in the page table, without
 * changing what it holds: 0, or an errno.  EINVAL: this kernel cannot. */
int mapping_populate(uint8_t *at, uint64_t bytes);

#endif
