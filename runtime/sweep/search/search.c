/* search.c - see search.h for the contract.
 *
 * Points of random searches come from a stream named by the trial's number, and
 * a Sobol point from the number itself, so neither depends on what was asked
 * before.  What does: the points seen, in a discrete space, and TPE's knowledge.
 * Both are rebuilt by telling the trials again.
 */
#include "sweep/search/search_internal.h"

#include <stdlib.h>
#include <string.h>

/* A discrete space that has no more points than this is not searched twice. */
#define DISCRETE_MAX 65536u
/* So often a point that was seen is drawn again; then the next one on the grid
 * that was not is taken, which is slower and not quite as random. */
#define REDRAWS_MAX 32

struct search {
    const struct space *space;
    struct search_opts opts;
    bool discrete;              /* `seen` is kept: a grid, or a small discrete space */
    struct points seen;
    double *cursor;             /* owned; of a grid: no point before it is left */
    bool started, exhausted;    /* of a grid */
    struct tpe *tpe;            /* owned; NULL unless SEARCH_TPE */
};

struct search *search_new(const struct space *space, const struct search_opts *opts)
{
    struct search *search = calloc(1, sizeof *search);
    if (search == NULL)
        return NULL;
    bool finite = grid_is_finite(space);
    assert(finite || opts->kind != SEARCH_GRID);
    search->space = space;
    search->opts = *opts;
    search->discrete = opts->kind == SEARCH_GRID ||
                       (finite && space_size(space) <= DISCRETE_MAX);
    points_init(&search->seen, space->count);
    search->cursor = malloc((space->count + 1) * sizeof *search->cursor);
    if (opts->kind == SEARCH_TPE)
        search->tpe = tpe_new(space, opts);
    if (search->cursor == NULL || (opts->kind == SEARCH_TPE && search->tpe == NULL))
        search_free(&search);
    return search;
}

void search_free(struct search **search)
{
    struct search *s = *search;
    if (s == NULL)
        return;
    tpe_free(&s->tpe);
    points_fini(&s->seen);
    free(s->cursor);
    free(s);
    *search = NULL;
}

/* A number is drawn for every parameter, so that one that becomes active does
 * not move those after it. */
static void random_point(const struct space *space, struct rng *r, double *x)
{
    for (size_t i = 0; i < space->count; i++) {
        double u = rng_f64(r);
        x[i] = space_is_active(space, x, i) ? param_quantile(&space->params[i], u) : NAN;
    }
}

/* The next point of the grid that was not seen.  False: there is none. */
static bool grid_point(struct search *search, double *x)
{
    const struct space *space = search->space;
    if (!search->started)
        grid_first(space, search->cursor);
    search->started = true;
    while (!search->exhausted && points_has(&search->seen, search->cursor))
        search->exhausted = !grid_next(space, search->cursor);
    memcpy(x, search->cursor, space->count * sizeof *x);
    return !search->exhausted;
}

/* From @x around the grid to the next point that was not seen.  False: there is
 * none. */
static bool next_unseen(const struct search *search, double *x)
{
    for (uint32_t i = 0; i <= DISCRETE_MAX; i++) {
        if (!points_has(&search->seen, x))
            return true;
        if (!grid_next(search->space, x))
            grid_first(search->space, x);
    }
    return false;
}

static bool free_point(struct search *search, uint64_t trial, double *x)
{
    struct rng r = rng_stream(search->opts.seed, RNG_SEARCH, trial);
    if (search->opts.kind == SEARCH_SOBOL)
        sobol_point(search->space, search->opts.seed, trial, x);
    else if (search->tpe == NULL || !tpe_point(search->tpe, &r, x))
        random_point(search->space, &r, x);
    if (!search->discrete)
        return true;
    for (int i = 0; i < REDRAWS_MAX && points_has(&search->seen, x); i++)
        random_point(search->space, &r, x);
    return next_unseen(search, x);
}

/* What is suggested counts as running at once: nobody else is to get it. */
enum search_result search_suggest(struct search *search, uint64_t trial, double *x)
{
    bool found = search->opts.kind == SEARCH_GRID ? grid_point(search, x)
                                                  : free_point(search, trial, x);
    if (!found)
        return SEARCH_EXHAUSTED;
    return search_tell(search, trial, x, SEARCH_RUNNING, 0, INFINITY) ? SEARCH_OK : SEARCH_ENOMEM;
}

bool search_tell(struct search *search, uint64_t trial, const double *x, enum search_fate fate,
                 int64_t step, double loss)
{
    assert(!isnan(loss));
    bool seen = search->discrete && grid_has(search->space, x);
    if (seen && !points_reserve(&search->seen))
        return false;
    if (search->tpe != NULL && !tpe_tell(search->tpe, trial, x, fate, step, loss))
        return false;
    if (seen)
        points_add(&search->seen, x);
    return true;
}
