/* rung.h - who has come how far: losses in order, one rung of a bracket each.
 *
 * A rung keeps its entries sorted by loss, and those of equal loss in the order
 * of their arrival, so that every rule of early stopping is an index into it.
 * An insertion is a binary search and one memmove().
 *
 * Room is reserved when a trial starts, since a report must not fail.
 */
#ifndef COVEY_SWEEP_RUNG_H
#define COVEY_SWEEP_RUNG_H

#include <stdbool.h>
#include <stdint.h>

struct rung_entry {
    double loss;
    uint32_t trial;
    bool open;                  /* may still be let on from here; promotion and HyperBand */
};

struct rung {
    int64_t step;
    uint32_t planned;           /* 0: open */
    uint32_t entered;           /* trials started towards it; HyperBand */
    uint32_t passed;            /* trials let go on */
    uint32_t count, cap;
    struct rung_entry *entries; /* owned; the best first */
};

struct bracket {
    uint32_t running;           /* trials that are started and not ended */
    uint32_t started;
    bool closed;                /* takes no new trials; HyperBand */
    uint32_t rung_count;
    struct rung *rungs;         /* owned; by rising step */
};

void rung_fini(struct rung *r);
/* Room for @more entries.  False: out of memory, nothing changed. */
bool rung_reserve(struct rung *r, uint32_t more);
void rung_insert(struct rung *r, double loss, uint32_t trial, bool open);
/* The index of @trial, which is there with @loss. */
uint32_t rung_find(const struct rung *r, double loss, uint32_t trial);
void rung_remove(struct rung *r, uint32_t index);

/* Rungs at @steps.  False: out of memory. */
bool bracket_init(struct bracket *b, const int64_t *steps, uint32_t count);
void bracket_fini(struct bracket *b);
/* Room in every rung for one more running trial. */
bool bracket_reserve(struct bracket *b);

/* floor() and ceil() of what rounding has brought a hair below or above a whole
 * number, as powers of 3 are by pow(). */
double floor_near(double x);
double ceil_near(double x);

#endif
