/* grid.c - the points of a discrete space in order, like an odometer: the last
 * active parameter counts fastest, and where a parameter moves on, those after it
 * begin anew, since other ones may be active now.
 */
#include "sweep/search/search_internal.h"

bool grid_is_finite(const struct space *space)
{
    for (size_t i = 0; i < space->count; i++)
        if (param_count(&space->params[i]) == 0)
            return false;
    return true;
}

bool grid_has(const struct space *space, const double *x)
{
    for (size_t i = 0; i < space->count; i++) {
        if (space_is_active(space, x, i) == (bool)isnan(x[i]))
            return false;
        if (!isnan(x[i]) && param_clip(&space->params[i], x[i]) != x[i])
            return false;
    }
    return true;
}

/* Parameters @from and after get their first values. */
static void reset(const struct space *space, double *x, size_t from)
{
    for (size_t i = from; i < space->count; i++)
        x[i] = space_is_active(space, x, i) ? param_nth(&space->params[i], 0) : NAN;
}

void grid_first(const struct space *space, double *x)
{
    reset(space, x, 0);
}

bool grid_next(const struct space *space, double *x)
{
    for (size_t i = space->count; i-- > 0;) {
        const struct param *p = &space->params[i];
        uint64_t next = isnan(x[i]) ? 0 : param_rank(p, x[i]) + 1;
        if (isnan(x[i]) || next == param_count(p))
            continue;
        x[i] = param_nth(p, next);
        reset(space, x, i + 1);
        return true;
    }
    return false;
}
