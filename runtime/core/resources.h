/* resources.h - amounts of what a node can lend, and its devices.
 *
 * Amounts (struct resources) are added, subtracted and compared name by name.
 * A node's own amounts hold every name that it knows; what a task needs is
 * checked once with resources_valid() and resources_short() against the total,
 * so that sums can neither overflow nor meet an unknown name later.
 *
 * Devices are lent whole, or one of them in part: 2500 milli is nothing that
 * anybody can have.  Parts pack onto the device with the least room, so that
 * whole ones stay whole.
 */
#ifndef COVEY_CORE_RESOURCES_H
#define COVEY_CORE_RESOURCES_H

#include "core/types.h"

#define DEVICES_MAX 64u         /* of one node: a set is one word */
#define DEVICE_MILLI 1000

/* Which resources: a set of bits.  Custom i is the i-th of the node's. */
#define RESOURCE_CPU 1u
#define RESOURCE_GPU 2u
#define RESOURCE_MEMORY 4u
#define RESOURCE_GPU_MEMORY 8u
#define RESOURCE_CUSTOM(i) (16u << (i))
#define RESOURCE_UNKNOWN (1u << 31)     /* a name that the node does not have */

/* No negative amounts, names terminated, not empty and given once, GPUs whole
 * or less than one. */
bool resources_valid(const struct resources *r);
/* Every name of @x is in @to, unless its amount is 0. */
void resources_add(struct resources *to, const struct resources *x);
void resources_sub(struct resources *to, const struct resources *x);
/* Which resources @have has too little of for @need; 0: it fits. */
uint32_t resources_lacking(const struct resources *need, const struct resources *have);
/* Which resources @need asks for at all, with the names of @have. */
uint32_t resources_used(const struct resources *need, const struct resources *have);
bool resources_equal(const struct resources *a, const struct resources *b);
/* When @need does not fit into @total: true, and @why names the first resource
 * that is short, the wanted and the greatest amount. */
bool resources_short(const struct resources *need, const struct resources *total, char *why,
                     size_t why_size);

struct devices {
    uint32_t count;
    int32_t free_milli[DEVICES_MAX];
};

/* @milli of each device in @mask. */
struct device_set {
    uint64_t mask;
    int32_t milli;
};

void devices_init(struct devices *d, uint32_t count);
/* The best set for @gpu_milli (a valid, positive amount); false: none is free. */
bool devices_find(const struct devices *d, int64_t gpu_milli, struct device_set *out);
/* Would the devices of @mask do as well as @best, which devices_find() gave:
 * free, as many, and leaving no more fragments? */
bool devices_as_good(const struct devices *d, uint64_t mask, struct device_set best);
void devices_take(struct devices *d, struct device_set set);
void devices_give(struct devices *d, struct device_set set);

#endif
