/* search.h - which point to try next: grid, random, Sobol, TPE.
 *
 * A search sees losses only: the smaller the better, whatever the sweep's goal;
 * a value that is NaN or infinite arrives as INFINITY.  It is deterministic:
 * the same seed and the same calls in the same order give the same points, and
 * so a resumed sweep goes on as if nothing had happened: the record's trials
 * are told again, none is suggested again.
 *
 * Pure: no clock, no I/O.  One thread.
 */
#ifndef COVEY_SWEEP_SEARCH_H
#define COVEY_SWEEP_SEARCH_H

#include "sweep/space/space.h"

enum search_kind { SEARCH_GRID, SEARCH_RANDOM, SEARCH_SOBOL, SEARCH_TPE };

struct search_opts {
    enum search_kind kind;
    uint64_t seed;
    /* Of TPE; zero means Optuna 5's default. */
    uint32_t startup;           /* random until so many have ended; 2 */
    uint32_t candidates;        /* drawn for each suggestion; 24 */
    bool univariate;            /* each parameter on its own */
    bool no_liar;               /* running trials do not repel */
};

enum search_fate {
    SEARCH_RUNNING,             /* loss is not known */
    SEARCH_COMPLETE,            /* loss is final */
    SEARCH_PRUNED,              /* stopped early at @step, with that loss */
    SEARCH_FAILED,              /* as if it never was, but not tried again by grid */
};

enum search_result { SEARCH_OK, SEARCH_EXHAUSTED, SEARCH_ENOMEM };

struct search;

/* @space is borrowed for the search's life.  NULL: out of memory. */
struct search *search_new(const struct space *space, const struct search_opts *opts);
void search_free(struct search **search);

/* The point for trial number @trial (0, 1, 2 ... each once) in @x.  SEARCH_EXHAUSTED: every
 * point of a discrete space was suggested (grid; random, Sobol and TPE where
 * the space is discrete and so small that this can be known). */
enum search_result search_suggest(struct search *search, uint64_t trial, double *x);
/* A trial has this point (suggested here, given by the user, cloned by PBT) and this
 * fate; a later call for the same @trial replaces the earlier one.  False: out
 * of memory, nothing changed. */
bool search_tell(struct search *search, uint64_t trial, const double *x, enum search_fate fate,
                 int64_t step, double loss);

#endif
