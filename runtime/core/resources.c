/* resources.c - see resources.h for the contract. */
#include "core/resources.h"

#include <inttypes.h>
#include <stdio.h>

_Static_assert(CUSTOM_MAX <= 27, "a bit for every custom resource, beside four and the unknown");

static int find_custom(const struct resources *in, const char *name)
{
    for (uint32_t i = 0; i < in->custom_count; i++)
        if (strcmp(in->custom[i].name, name) == 0)
            return (int)i;
    return -1;
}

bool resources_valid(const struct resources *r)
{
    if (r->cpu_milli < 0 || r->gpu_milli < 0 || r->memory_bytes < 0 || r->gpu_memory_bytes < 0)
        return false;
    if (r->gpu_milli > DEVICE_MILLI && r->gpu_milli % DEVICE_MILLI != 0)
        return false;
    if (r->custom_count > CUSTOM_MAX)
        return false;
    for (uint32_t i = 0; i < r->custom_count; i++) {
        const struct custom *c = &r->custom[i];
        if (c->milli < 0 || c->name[0] == 0 || !memchr(c->name, 0, sizeof c->name))
            return false;
    }
    for (uint32_t i = 0; i < r->custom_count; i++)
        if (find_custom(r, r->custom[i].name) != (int)i)
            return false;
    return true;
}

static void add_times(struct resources *to, const struct resources *x, int64_t sign)
{
    to->cpu_milli += sign * x->cpu_milli;
    to->gpu_milli += sign * x->gpu_milli;
    to->memory_bytes += sign * x->memory_bytes;
    to->gpu_memory_bytes += sign * x->gpu_memory_bytes;
    for (uint32_t i = 0; i < x->custom_count; i++) {
        int at = find_custom(to, x->custom[i].name);
        assert(at >= 0 || x->custom[i].milli == 0);
        if (at >= 0)
            to->custom[at].milli += sign * x->custom[i].milli;
    }
}

void resources_add(struct resources *to, const struct resources *x)
{
    add_times(to, x, 1);
}

void resources_sub(struct resources *to, const struct resources *x)
{
    add_times(to, x, -1);
}

uint32_t resources_lacking(const struct resources *need, const struct resources *have)
{
    uint32_t lacking = 0;
    if (need->cpu_milli > 0 && need->cpu_milli > have->cpu_milli)
        lacking |= RESOURCE_CPU;
    if (need->gpu_milli > 0 && need->gpu_milli > have->gpu_milli)
        lacking |= RESOURCE_GPU;
    if (need->memory_bytes > 0 && need->memory_bytes > have->memory_bytes)
        lacking |= RESOURCE_MEMORY;
    if (need->gpu_memory_bytes > 0 && need->gpu_memory_bytes > have->gpu_memory_bytes)
        lacking |= RESOURCE_GPU_MEMORY;
    for (uint32_t i = 0; i < need->custom_count; i++) {
        if (need->custom[i].milli == 0)
            continue;
        int at = find_custom(have, need->custom[i].name);
        if (at < 0)
            lacking |= RESOURCE_UNKNOWN;
        else if (need->custom[i].milli > have->custom[at].milli)
            lacking |= RESOURCE_CUSTOM(at);
    }
    return lacking;
}

uint32_t resources_used(const struct resources *need, const struct resources *have)
{
    struct resources nothing = *have;
    nothing.cpu_milli = nothing.gpu_milli = nothing.memory_bytes = nothing.gpu_memory_bytes = 0;
    for (uint32_t i = 0; i < nothing.custom_count; i++)
        nothing.custom[i].milli = 0;
    return resources_lacking(need, &nothing);
}

bool resources_equal(const struct resources *a, const struct resources *b)
{
    return resources_lacking(a, b) == 0 && resources_lacking(b, a) == 0;
}

static void write_milli(char *why, size_t size, const char *name, int64_t wanted, int64_t greatest)
{
    snprintf(why, size, "%s: %g wanted, this node has %g", name, (double)wanted / 1000,
             (double)greatest / 1000);
}

static void write_bytes(char *why, size_t size, const char *name, int64_t wanted, int64_t greatest)
{
    snprintf(why, size, "%s: %" PRId64 " bytes wanted, this node has %" PRId64, name, wanted,
             greatest);
}

bool resources_short(const struct resources *need, const struct resources *total, char *why,
                     size_t why_size)
{
    uint32_t lacking = resources_lacking(need, total);
    if (lacking & RESOURCE_CPU) {
        write_milli(why, why_size, "cpus", need->cpu_milli, total->cpu_milli);
    } else if (lacking & RESOURCE_GPU) {
        write_milli(why, why_size, "gpus", need->gpu_milli, total->gpu_milli);
    } else if (lacking & RESOURCE_MEMORY) {
        write_bytes(why, why_size, "memory", need->memory_bytes, total->memory_bytes);
    } else if (lacking & RESOURCE_GPU_MEMORY) {
        write_bytes(why, why_size, "gpu memory", need->gpu_memory_bytes, total->gpu_memory_bytes);
    } else {
        for (uint32_t i = 0; lacking && i < need->custom_count; i++) {
            const struct custom *c = &need->custom[i];
            int at = find_custom(total, c->name);
            int64_t greatest = at < 0 ? 0 : total->custom[at].milli;
            if (c->milli > greatest) {
                write_milli(why, why_size, c->name, c->milli, greatest);
                break;
            }
        }
    }
    return lacking != 0;
}

/* ---- devices ---------------------------------------------------------------- */

void devices_init(struct devices *d, uint32_t count)
{
    assert(count <= DEVICES_MAX);
    *d = (struct devices){.count = count};
    for (uint32_t i = 0; i < count; i++)
        d->free_milli[i] = DEVICE_MILLI;
}

static bool find_whole(const struct devices *d, int64_t wanted, struct device_set *out)
{
    *out = (struct device_set){.milli = DEVICE_MILLI};
    for (uint32_t i = 0; i < d->count && wanted > 0; i++) {
        if (d->free_milli[i] == DEVICE_MILLI) {
            out->mask |= UINT64_C(1) << i;
            wanted--;
        }
    }
    return wanted == 0;
}

static bool find_part(const struct devices *d, int32_t milli, struct device_set *out)
{
    int best = -1;
    for (uint32_t i = 0; i < d->count; i++)
        if (d->free_milli[i] >= milli && (best < 0 || d->free_milli[i] < d->free_milli[best]))
            best = (int)i;
    if (best >= 0)
        *out = (struct device_set){UINT64_C(1) << best, milli};
    return best >= 0;
}

bool devices_find(const struct devices *d, int64_t gpu_milli, struct device_set *out)
{
    assert(gpu_milli > 0);
    if (gpu_milli < DEVICE_MILLI)
        return find_part(d, (int32_t)gpu_milli, out);
    assert(gpu_milli % DEVICE_MILLI == 0);
    return find_whole(d, gpu_milli / DEVICE_MILLI, out);
}

bool devices_as_good(const struct devices *d, uint64_t mask, struct device_set best)
{
    if (__builtin_popcountll(mask) != __builtin_popcountll(best.mask))
        return false;
    int32_t room = d->free_milli[__builtin_ctzll(best.mask)];
    for (uint64_t left = mask; left; left &= left - 1) {
        int32_t free_milli = d->free_milli[__builtin_ctzll(left)];
        if (free_milli < best.milli || free_milli > room)
            return false;
    }
    return true;
}

static void move_devices(struct devices *d, struct device_set set, int32_t sign)
{
    for (uint64_t left = set.mask; left; left &= left - 1) {
        int i = __builtin_ctzll(left);
        assert((uint32_t)i < d->count);
        d->free_milli[i] += sign * set.milli;
        assert(d->free_milli[i] >= 0);
        assert(d->free_milli[i] <= DEVICE_MILLI);
    }
}

void devices_take(struct devices *d, struct device_set set)
{
    move_devices(d, set, -1);
}

void devices_give(struct devices *d, struct device_set set)
{
    move_devices(d, set, 1);
}
