/* rung.c - see rung.h for the contract. */
#include "sweep/scheduler/rung.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RUNG_CAP_MIN 16u
/* Far above the rounding errors of a few dozen products, far below 1/steps. */
#define NEAR 1e-12

void rung_fini(struct rung *r)
{
    free(r->entries);
    *r = (struct rung){0};
}

bool rung_reserve(struct rung *r, uint32_t more)
{
    if (r->cap - r->count >= more)
        return true;
    if (more > UINT32_MAX / 2 || r->count > UINT32_MAX / 2 - more)
        return false;
    uint32_t cap = r->cap > RUNG_CAP_MIN ? r->cap : RUNG_CAP_MIN;
    while (cap < r->count + more)
        cap *= 2; /* cannot wrap: what is needed is at most UINT32_MAX / 2 */
    struct rung_entry *entries = realloc(r->entries, cap * sizeof *entries);
    if (!entries)
        return false;
    r->entries = entries;
    r->cap = cap;
    return true;
}

/* The first index whose loss is @loss or worse; with @after, the first that is worse. */
static uint32_t bound(const struct rung *r, double loss, bool after)
{
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        double at = r->entries[mid].loss;
        if (at < loss || (after && at == loss))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void rung_insert(struct rung *r, double loss, uint32_t trial, bool open)
{
    assert(!isnan(loss));
    assert(r->count < r->cap);
    uint32_t at = bound(r, loss, true);
    memmove(r->entries + at + 1, r->entries + at, (r->count - at) * sizeof *r->entries);
    r->entries[at] = (struct rung_entry){.loss = loss, .trial = trial, .open = open};
    r->count++;
}

uint32_t rung_find(const struct rung *r, double loss, uint32_t trial)
{
    uint32_t at = bound(r, loss, false);
    while (at < r->count && r->entries[at].trial != trial)
        at++;
    assert(at < r->count);
    assert(r->entries[at].loss == loss);
    return at;
}

void rung_remove(struct rung *r, uint32_t index)
{
    assert(index < r->count);
    r->count--;
    memmove(r->entries + index, r->entries + index + 1,
            (r->count - index) * sizeof *r->entries);
}

bool bracket_init(struct bracket *b, const int64_t *steps, uint32_t count)
{
    *b = (struct bracket){0};
    if (count == 0)
        return true;
    b->rungs = calloc(count, sizeof *b->rungs);
    if (!b->rungs)
        return false;
    b->rung_count = count;
    for (uint32_t i = 0; i < count; i++) {
        assert(i == 0 || steps[i] > steps[i - 1]);
        b->rungs[i].step = steps[i];
    }
    return true;
}

void bracket_fini(struct bracket *b)
{
    for (uint32_t i = 0; i < b->rung_count; i++)
        rung_fini(&b->rungs[i]);
    free(b->rungs);
    *b = (struct bracket){0};
}

bool bracket_reserve(struct bracket *b)
{
    /* A running trial enters each rung at most once before it ends. */
    for (uint32_t i = 0; i < b->rung_count; i++)
        if (!rung_reserve(&b->rungs[i], b->running + 1))
            return false;
    return true;
}

double floor_near(double x) { return floor(x * (1 + NEAR)); }
double ceil_near(double x) { return ceil(x * (1 - NEAR)); }
