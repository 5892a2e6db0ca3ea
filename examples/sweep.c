/* sweep.c - search for good parameters of a C function, and stop bad trials early.
 *
 * A trial trains a small classifier: two interleaved spirals, which no straight line
 * separates, and logistic regression on random cosine features of the points, by
 * gradient descent.  How wide the features are (gamma), how fast it learns (lr) and how
 * much it forgets (decay) decide whether it learns anything at all.
 *
 * The sweep file is a text in the program, in W&B's format.  `asha` compares trials
 * after 1, 3, 9 and 27 epochs and ends all but the best third each time.  A trial reports
 * after each epoch, and leaves when the answer is that it is beaten.  Its weights go into
 * its checkpoint before each report, so that covey_sweep_resume() could go on with them.
 *
 *     build/examples/sweep [DIRECTORY]
 *
 * Everything that happened is in the sweep's directory, for `covey sweep show DIRECTORY`;
 * if you name none, a temporary one is removed in the end.
 */
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "covey/sweep.h"

#define POINTS 400              /* the second half only to test with */
#define FEATURES 100
#define EPOCHS 27

static const char sweep_text[] =
    "method: bayes\n"
    "metric: {name: error, goal: minimize}\n"
    "parameters:\n"
    "  lr: {distribution: log_uniform_values, min: 0.001, max: 10}\n"
    "  gamma: {distribution: log_uniform_values, min: 0.1, max: 100}\n"
    "  decay: {values: [0, 0.0001, 0.01]}\n"
    "run_cap: 40\n"
    "covey: {seed: 1, scheduler: {type: asha, max_iter: 27, min_iter: 1, eta: 3}}\n";

struct model { double weights[FEATURES]; int64_t epoch; };
static struct { double features[FEATURES], label; } points[POINTS];

static double random_unit(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*state >> 11) + 0.5) / 9007199254740992.0;
}

/* The same points and random directions in each trial; only gamma differs. */
static void make_points(double gamma)
{
    uint64_t random = 42;
    for (int i = 0; i < POINTS; i++) {
        double turn = 16 * sqrt(random_unit(&random)), radius = (i % 2 ? turn : -turn) / 16;
        uint64_t direction = 7;
        points[i].label = i % 2;
        for (int f = 0; f < FEATURES; f++) {
            double length = gamma * sqrt(-2 * log(random_unit(&direction)));
            double angle = 6.2832 * random_unit(&direction), phase = 6.2832 * random_unit(&direction);
            points[i].features[f] = cos(length * radius * cos(turn - angle) + phase);
        }
    }
}

static double predict(const struct model *m, int point)
{
    double sum = 0;
    for (int f = 0; f < FEATURES; f++)
        sum += m->weights[f] * points[point].features[f];
    return 1 / (1 + exp(-sum));
}

/* One pass over the first half.  Returns the share of the second one that is wrong. */
static double train(struct model *m, double lr, double decay)
{
    int wrong = 0;
    for (int i = 0; i < POINTS / 2; i++) {
        double step = lr / FEATURES * (points[i].label - predict(m, i));
        for (int f = 0; f < FEATURES; f++)
            m->weights[f] += step * points[i].features[f] - lr * decay * m->weights[f];
    }
    for (int i = POINTS / 2; i < POINTS; i++)
        wrong += (predict(m, i) > 0.5) != (points[i].label > 0.5);
    return wrong / (POINTS / 2.0);
}

/* Read or write the checkpoint; by another name first, so that it is whole at any instant. */
static bool checkpoint(const char *dir, const char *mode, struct model *m)
{
    char path[2][4200];
    snprintf(path[0], sizeof path[0], "%s/model", dir);
    snprintf(path[1], sizeof path[1], "%s/model.new", dir);
    FILE *f = fopen(path[*mode == 'w'], mode);
    bool ok = f && (*mode == 'w' ? fwrite(m, sizeof *m, 1, f) : fread(m, sizeof *m, 1, f)) == 1;
    ok = (!f || fclose(f) == 0) && ok;
    return ok && (*mode == 'r' || rename(path[1], path[0]) == 0);
}

COVEY_TRIAL(spirals)
{
    struct model model = {.epoch = 0};
    const char *dir = covey_trial_checkpoint_dir(trial);
    double lr = covey_trial_f64(trial, "lr"), decay = covey_trial_f64(trial, "decay");
    make_points(covey_trial_f64(trial, "gamma"));
    (void)checkpoint(dir, "r", &model);         /* there is none at first */
    while (model.epoch < EPOCHS) {
        double error = train(&model, lr, decay);
        model.epoch++;
        if (!checkpoint(dir, "w", &model))
            return covey_fail(covey_trial_ctx(trial), 1, "cannot write the checkpoint in %s", dir);
        if (covey_trial_report(trial, model.epoch, error) == COVEY_ECANCELLED)
            break;
    }
    return COVEY_OK;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    char made[] = "/tmp/covey-spirals.XXXXXX", dir[64];
    if (!c || (argc < 2 && !mkdtemp(made))) {
        fprintf(stderr, "sweep: %s\n", c ? "no temporary directory" : covey_error());
        return 3;
    }
    snprintf(dir, sizeof dir, "%s/sweep", made);
    covey_sweep *sweep;
    covey_sweep_opts opts = {.size = sizeof opts, .text = sweep_text, .trial = "spirals",
                             .dir = argc > 1 ? argv[1] : dir};
    covey_trial_info best = {.best = 1}, info;
    uint32_t count = 0, epochs = 0;
    if (covey_sweep_create(&sweep, &opts) == COVEY_OK && covey_sweep_run(sweep, c) == COVEY_OK) {
        count = covey_sweep_count(sweep);
        for (uint32_t i = 0; i < count && covey_sweep_trial(sweep, i, &info) == COVEY_OK; i++)
            epochs += (uint32_t)info.step;
        if (covey_sweep_best(sweep, &best) == COVEY_OK)
            printf("%.1f %% wrong with %s (trial %u after %d epochs)\n%u trials took %u epochs, instead of %u\n",
                   100 * best.best, best.params, best.trial, (int)best.best_step, count, epochs, count * EPOCHS);
    } else {
        fprintf(stderr, "sweep: %s\n", covey_sweep_error());
    }
    covey_sweep_close(&sweep);
    covey_close(&c);
    if (argc < 2)
        nftw(made, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return best.best < 0.2 && epochs < count * EPOCHS / 2 ? 0 : 1;
}
