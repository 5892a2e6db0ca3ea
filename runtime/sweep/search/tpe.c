/* tpe.c - a tree-structured Parzen estimator, in the manner of Optuna 5's default.
 *
 * The best of the ended trials, one in 12 and at most 25, give one density, l; the rest
 * and the running ones (the "constant liar": they must repel, or parallel slots
 * would all try the same) another, g.  Of 24 points drawn from l the one with
 * the largest l/g is taken.  Parameters that are always active are drawn
 * together; one with a condition on its own, from the trials that have it.
 *
 * Three things differ, and tools/prove-search shows what they are worth:
 *  - l is narrower: what is good is near what was best.
 *  - It begins after 2 random points: l/g spreads the next ones better than chance.
 *  - The point taken is improved by replacing one or two of its values by others drawn
 *    from l, as long as l/g grows: 24 points say little about where it is largest in
 *    ten dimensions.
 *
 *   trials told --> slots --> lanes (coordinates, sorted)  --> l, g --> point
 *                        \--> ranked (best first)  --> who is in l
 */
#include "sweep/search/search_internal.h"

#include <stdlib.h>
#include <string.h>

#include "sweep/search/parzen.h"

#define STARTUP_DEFAULT 2u
#define CANDIDATES_DEFAULT 24u
#define BELOW_SHARE 0.08
#define BELOW_MAX 25u
#define SLOTS_MIN 64u
#define L_SHAPE {.width = 0.4, .finest = 2}
#define G_SHAPE {.width = 1, .finest = 1}
/* Steps of refinement for each parameter, as long as the work stays below this
 * many kernels: so a suggestion stays fast when thousands of trials are known. */
#define REFINEMENTS 10u
#define REFINEMENT_KERNELS_MAX 10000u

struct trial {
    uint64_t number;
    enum search_fate fate;
    int64_t step;
    double loss;
};

struct tpe {
    const struct space *space;
    uint32_t startup, candidates;
    bool liar;
    struct lane *lanes;         /* owned; one for each parameter */
    struct lane **joint;        /* owned; those drawn together */
    uint32_t joint_count;
    struct trial *trials;       /* owned, as the next ones; at [slot] */
    uint32_t *order;            /* slots by the trials' numbers */
    uint32_t *ranked;           /* slots of ended trials, best first */
    uint32_t *above;            /* slots: scratch of a suggestion */
    bool *is_below;             /* [slot] */
    uint32_t count, cap, ended;
    struct parzen l, g;
    double *candidate, *best;   /* owned; a value for each lane that is drawn */
};

/* ---- memory ----------------------------------------------------------------------- */

static bool reserve(void *array, size_t count, size_t size)
{
    void *old, *grown;
    memcpy(&old, array, sizeof old);
    grown = realloc(old, count * size);
    if (grown != NULL)
        memcpy(array, &grown, sizeof grown);
    return grown != NULL;
}

/* Room for @cap trials everywhere, so that a suggestion allocates nothing.  What
 * has grown when the rest fails is only longer than it need be. */
static bool grow(struct tpe *tpe, uint32_t cap)
{
    for (size_t i = 0; i < tpe->space->count; i++)
        if (!lane_reserve(&tpe->lanes[i], cap))
            return false;
    uint32_t lanes_max = tpe->joint_count > 1 ? tpe->joint_count : 1;
    if (!reserve(&tpe->trials, cap, sizeof *tpe->trials) ||
        !reserve(&tpe->order, cap, sizeof *tpe->order) ||
        !reserve(&tpe->ranked, cap, sizeof *tpe->ranked) ||
        !reserve(&tpe->above, cap, sizeof *tpe->above) ||
        !reserve(&tpe->is_below, cap, sizeof *tpe->is_below) ||
        !parzen_reserve(&tpe->l, BELOW_MAX + 1, lanes_max, cap) ||
        !parzen_reserve(&tpe->g, cap + 1, lanes_max, cap))
        return false;
    tpe->cap = cap;
    return true;
}

struct tpe *tpe_new(const struct space *space, const struct search_opts *opts)
{
    struct tpe *tpe = calloc(1, sizeof *tpe);
    if (tpe == NULL)
        return NULL;
    tpe->space = space;
    tpe->startup = opts->startup ? opts->startup : STARTUP_DEFAULT;
    tpe->candidates = opts->candidates ? opts->candidates : CANDIDATES_DEFAULT;
    tpe->liar = !opts->no_liar;
    size_t count = space->count + 1;    /* so that nothing is of size zero */
    tpe->lanes = calloc(count, sizeof *tpe->lanes);
    tpe->joint = calloc(count, sizeof(struct lane *));
    tpe->candidate = calloc(count, sizeof *tpe->candidate);
    tpe->best = calloc(count, sizeof *tpe->best);
    if (!tpe->lanes || !tpe->joint || !tpe->candidate || !tpe->best) {
        tpe_free(&tpe);
        return NULL;
    }
    for (size_t i = 0; i < space->count; i++) {
        struct lane *lane = &tpe->lanes[i];
        lane->axis = axis_of(&space->params[i]);
        if (!opts->univariate && lane->axis.kind != AXIS_FIXED && space->params[i].parent < 0)
            tpe->joint[tpe->joint_count++] = lane;
        if (!lane_tabulate(lane)) {
            tpe_free(&tpe);
            return NULL;
        }
    }
    tpe->l.shape = (struct parzen_shape)L_SHAPE;
    tpe->g.shape = (struct parzen_shape)G_SHAPE;
    tpe->g.narrow_row = 1;
    if (!grow(tpe, SLOTS_MIN))
        tpe_free(&tpe);
    return tpe;
}

void tpe_free(struct tpe **tpe)
{
    struct tpe *t = *tpe;
    if (t == NULL)
        return;
    for (size_t i = 0; t->lanes != NULL && i < t->space->count; i++)
        lane_fini(&t->lanes[i]);
    parzen_fini(&t->l);
    parzen_fini(&t->g);
    free(t->lanes);
    free(t->joint);
    free(t->trials);
    free(t->order);
    free(t->ranked);
    free(t->above);
    free(t->is_below);
    free(t->candidate);
    free(t->best);
    free(t);
    *tpe = NULL;
}

/* ---- what is known ------------------------------------------------------------------ */

static bool has_ended(enum search_fate fate)
{
    return fate == SEARCH_COMPLETE || fate == SEARCH_PRUNED;
}

/* Complete trials by loss; then those stopped early, the later the better. */
static bool is_better(const struct trial *a, const struct trial *b)
{
    if (a->fate != b->fate)
        return a->fate == SEARCH_COMPLETE;
    if (a->fate == SEARCH_PRUNED && a->step != b->step)
        return a->step > b->step;
    return a->loss != b->loss ? a->loss < b->loss : a->number < b->number;
}

static bool is_earlier(const struct trial *a, const struct trial *b)
{
    return a->number < b->number;
}

/* How many of the @count slots in @list come before @trial. */
static uint32_t rank_in(const struct tpe *tpe, const uint32_t *list, uint32_t count,
                        const struct trial *trial,
                        bool (*is_before)(const struct trial *, const struct trial *))
{
    uint32_t first = 0, last = count;
    while (first < last) {
        uint32_t middle = first + (last - first) / 2;
        if (is_before(&tpe->trials[list[middle]], trial))
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

static void list_insert(uint32_t *list, uint32_t count, uint32_t at, uint32_t slot)
{
    memmove(list + at + 1, list + at, (count - at) * sizeof *list);
    list[at] = slot;
}

static void forget(struct tpe *tpe, uint32_t slot)
{
    const struct trial *trial = &tpe->trials[slot];
    for (size_t i = 0; i < tpe->space->count; i++)
        lane_drop(&tpe->lanes[i], slot);
    if (!has_ended(trial->fate))
        return;
    uint32_t at = rank_in(tpe, tpe->ranked, tpe->ended, trial, is_better);
    assert(at < tpe->ended && tpe->ranked[at] == slot);
    tpe->ended--;
    memmove(tpe->ranked + at, tpe->ranked + at + 1, (tpe->ended - at) * sizeof *tpe->ranked);
}

/* Failed trials have no coordinates, and so no kernel. */
static void learn(struct tpe *tpe, uint32_t slot, const double *x)
{
    const struct trial *trial = &tpe->trials[slot];
    for (size_t i = 0; i < tpe->space->count; i++) {
        struct lane *lane = &tpe->lanes[i];
        bool known = trial->fate != SEARCH_FAILED && !isnan(x[i]) && lane->axis.kind != AXIS_FIXED;
        lane_put(lane, slot, known ? axis_coordinate(&lane->axis, x[i]) : NAN);
    }
    if (!has_ended(trial->fate))
        return;
    uint32_t at = rank_in(tpe, tpe->ranked, tpe->ended, trial, is_better);
    list_insert(tpe->ranked, tpe->ended++, at, slot);
}

bool tpe_tell(struct tpe *tpe, uint64_t trial, const double *x, enum search_fate fate, int64_t step,
              double loss)
{
    struct trial told = {trial, fate, step, loss};
    uint32_t at = rank_in(tpe, tpe->order, tpe->count, &told, is_earlier);
    bool known = at < tpe->count && tpe->trials[tpe->order[at]].number == trial;
    uint32_t slot = known ? tpe->order[at] : tpe->count;
    if (!known) {
        if (tpe->count == SEARCH_TRIALS_MAX || (slot == tpe->cap && !grow(tpe, tpe->cap * 2)))
            return false;
        list_insert(tpe->order, tpe->count++, at, slot);
    } else {
        forget(tpe, slot);
    }
    tpe->trials[slot] = told;
    learn(tpe, slot, x);
    return true;
}

/* ---- suggesting ----------------------------------------------------------------------- */

static bool has_all(struct lane *const *lanes, uint32_t count, uint32_t slot)
{
    for (uint32_t i = 0; i < count; i++)
        if (isnan(lanes[i]->t[slot]))
            return false;
    return true;
}

/* Fit l and g to the trials that have all of @lanes. */
static void fit(struct tpe *tpe, struct lane *const *lanes, uint32_t lane_count)
{
    uint32_t below[BELOW_MAX];
    uint32_t below_count = 0, above_count = 0;
    for (uint32_t i = 0; i < tpe->count; i++) {
        uint32_t slot = tpe->order[i];
        enum search_fate fate = tpe->trials[slot].fate;
        if (fate == SEARCH_FAILED || (fate == SEARCH_RUNNING && !tpe->liar) ||
            !has_all(lanes, lane_count, slot))
            continue;
        if (tpe->is_below[slot])
            below[below_count++] = slot;
        else
            tpe->above[above_count++] = slot;
    }
    parzen_fit(&tpe->l, lanes, lane_count, below, below_count, tpe->count);
    parzen_fit(&tpe->g, lanes, lane_count, tpe->above, above_count, tpe->count);
}

static double score(struct tpe *tpe, const double *x)
{
    return parzen_log_density(&tpe->l, x) - parzen_log_density(&tpe->g, x);
}

/* From tpe->best, whose score is @best: replace one or two values by such as l
 * draws, as long as that is better. */
static void refine(struct tpe *tpe, struct rng *r, uint32_t lane_count, double best)
{
    uint32_t steps = REFINEMENTS * lane_count;
    if (steps > REFINEMENT_KERNELS_MAX / tpe->g.kernels)
        steps = REFINEMENT_KERNELS_MAX / tpe->g.kernels;
    (void)score(tpe, tpe->best);
    parzen_keep(&tpe->l);
    parzen_keep(&tpe->g);
    memcpy(tpe->candidate, tpe->best, lane_count * sizeof *tpe->best);
    for (uint32_t i = 0; i < steps; i++) {
        uint32_t kernel = parzen_pick(&tpe->l, r);
        uint32_t lanes[2];
        for (int k = 0; k < 2; k++) {
            lanes[k] = (uint32_t)rng_below(r, lane_count);
            tpe->candidate[lanes[k]] = parzen_draw(&tpe->l, r, kernel, lanes[k]);
        }
        double found = parzen_log_density_near(&tpe->l, tpe->best, tpe->candidate) -
                       parzen_log_density_near(&tpe->g, tpe->best, tpe->candidate);
        for (int k = 0; k < 2; k++) {
            if (found > best)
                tpe->best[lanes[k]] = tpe->candidate[lanes[k]];
            else
                tpe->candidate[lanes[k]] = tpe->best[lanes[k]];
        }
        if (found > best) {
            /* Anew, so that no rounding piles up. */
            best = score(tpe, tpe->best);
            parzen_keep(&tpe->l);
            parzen_keep(&tpe->g);
        }
    }
}

/* Into tpe->best: of the points drawn from l, the one that g least expects. */
static void draw_best(struct tpe *tpe, struct rng *r, struct lane *const *lanes,
                      uint32_t lane_count)
{
    fit(tpe, lanes, lane_count);
    double best = -INFINITY;
    for (uint32_t i = 0; i < tpe->candidates; i++) {
        uint32_t kernel = parzen_pick(&tpe->l, r);
        for (uint32_t lane = 0; lane < lane_count; lane++)
            tpe->candidate[lane] = parzen_draw(&tpe->l, r, kernel, lane);
        double found = score(tpe, tpe->candidate);
        if (i == 0 || found > best) {
            best = found;
            memcpy(tpe->best, tpe->candidate, lane_count * sizeof *tpe->best);
        }
    }
    refine(tpe, r, lane_count, best);
}

static void split(struct tpe *tpe)
{
    uint32_t below = (uint32_t)ceil(BELOW_SHARE * tpe->ended);
    if (below > BELOW_MAX)
        below = BELOW_MAX;
    memset(tpe->is_below, 0, tpe->count * sizeof *tpe->is_below);
    for (uint32_t i = 0; i < below; i++)
        tpe->is_below[tpe->ranked[i]] = true;
}

bool tpe_point(struct tpe *tpe, struct rng *r, double *x)
{
    if (tpe->ended < tpe->startup)
        return false;
    const struct space *space = tpe->space;
    split(tpe);
    if (tpe->joint_count > 0)
        draw_best(tpe, r, tpe->joint, tpe->joint_count);
    for (uint32_t i = 0; i < tpe->joint_count; i++)
        x[tpe->joint[i] - tpe->lanes] = tpe->best[i];
    uint32_t next = 0;          /* of the joint ones, which are done */
    for (size_t i = 0; i < space->count; i++) {
        struct lane *lane = &tpe->lanes[i];
        if (next < tpe->joint_count && tpe->joint[next] == lane) {
            next++;
        } else if (!space_is_active(space, x, i)) {
            x[i] = NAN;
        } else if (lane->axis.kind == AXIS_FIXED) {
            x[i] = param_nth(&space->params[i], 0);
        } else {
            draw_best(tpe, r, &lane, 1);
            x[i] = tpe->best[0];
        }
    }
    return true;
}
