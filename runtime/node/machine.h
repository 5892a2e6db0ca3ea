/* machine.h - what this machine, or the container we are in, has to lend. */
#ifndef COVEY_NODE_MACHINE_H
#define COVEY_NODE_MACHINE_H

#include "core/types.h"

/* CPUs that we may run on, less what the control groups leave us of them: may
 * be a fraction.  At least 0.01. */
double machine_cpus(void);
/* The quota part of it; HUGE_VAL without a limit.  @own is /proc/self/cgroup,
 * @mount /sys/fs/cgroup; parameters for tests. */
double machine_cpu_quota(const char *own, const char *mount);
/* Memory that can still be used, by the machine and the control groups. */
uint64_t machine_memory_bytes(void);
/* How many processes the kernel has killed for want of memory since it
 * started; 0 where it does not say. */
uint64_t machine_oom_kills(void);

#endif
