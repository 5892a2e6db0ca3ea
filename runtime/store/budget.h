/* budget.h - how much memory the machine and our control groups still have.
 *
 * Populating beyond a control group's limit is no error but a SIGKILL, so the
 * arena asks first.  The files are parameters so that tests can bring their own.
 */
#ifndef COVEY_STORE_BUDGET_H
#define COVEY_STORE_BUDGET_H

#include "core/types.h"

/* What is never given to the arena, so that workers and the system can run:
 * this much, or an eighth of a small machine or group. */
#define BUDGET_RESERVE_BYTES (256ull * 1024 * 1024)

/* From /proc/meminfo.  0 when it cannot be read. */
uint64_t budget_machine_bytes(const char *meminfo);
/* The least of all limited groups that we are in, versions 1 and 2, up to the
 * root; UINT64_MAX without limits.  @own is /proc/self/cgroup, @mount
 * /sys/fs/cgroup. */
uint64_t budget_cgroup_bytes(const char *own, const char *mount);

#endif
