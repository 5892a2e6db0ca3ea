/* train.c - train one network on Fashion-MNIST: a program that a sweep can run.
 *
 *     train --lr=0.05 --momentum=0.9 --width=128 --depth=2 --batch=64 --decay=1e-5
 *           --epochs=27 --images=12000 --seed=1 --test
 *
 * It does what any trainer does, and three things more:
 *
 *   reports      After each epoch it tells the sweep its accuracy, by covey_report().
 *                The answer may be that it is beaten: then it leaves.
 *   goes on      Before each report it saves a checkpoint where COVEY_CHECKPOINT_DIR
 *                says, and begins with the one that it finds there.
 *   leaves       at SIGTERM with status 143, by which the sweep knows that it did so.
 *
 * Without a sweep it only prints.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "covey/sweep.h"

#define VALID_SHARE 6u          /* one sixth of the images measures: 10,000 of 60,000 */
#define STATUS_TERMINATED (128 + SIGTERM)

struct settings {
    double lr, momentum, decay;
    double width, depth, batch, epochs, images, seed, test;
};

static volatile sig_atomic_t terminated;

static void on_term(int number)
{
    (void)number;
    terminated = 1;
}

static bool is_terminated(void *arg)
{
    (void)arg;
    return terminated;
}

/* ---- the command line --------------------------------------------------------- */

static const struct setting {
    const char *name;
    size_t at;                  /* in struct settings */
    double low, high;
    bool whole;
} table[] = {
    {"lr", offsetof(struct settings, lr), 0, 100, false},
    {"momentum", offsetof(struct settings, momentum), 0, 1, false},
    {"decay", offsetof(struct settings, decay), 0, 1, false},
    {"width", offsetof(struct settings, width), 1, MLP_WIDTH_MAX, true},
    {"depth", offsetof(struct settings, depth), 1, MLP_DEPTH_MAX, true},
    {"batch", offsetof(struct settings, batch), 1, 10000, true},
    {"epochs", offsetof(struct settings, epochs), 1, 100000, true},
    {"images", offsetof(struct settings, images), VALID_SHARE, 60000, true},
    {"seed", offsetof(struct settings, seed), 0, 1e9, true},
};
#define SETTINGS (sizeof table / sizeof *table)

static bool take_setting(const struct setting *setting, const char *text, struct settings *to)
{
    char *end;
    double value = strtod(text, &end);
    bool ok = *text && !*end && value >= setting->low && value <= setting->high
        && (!setting->whole || value == (double)(long)value);
    if (ok)
        memcpy((char *)to + setting->at, &value, sizeof value);
    else
        fprintf(stderr, "train: --%s=%s: %s from %g to %g is wanted\n", setting->name, text,
                setting->whole ? "a whole number" : "a number", setting->low, setting->high);
    return ok;
}

static bool read_settings(int argc, char **argv, struct settings *to)
{
    struct option options[SETTINGS + 2] = {[SETTINGS] = {"test", no_argument, NULL, 't'}};
    for (size_t i = 0; i < SETTINGS; i++)
        options[i] = (struct option){table[i].name, required_argument, NULL, 0};
    int c, at;
    while ((c = getopt_long(argc, argv, "", options, &at)) != -1) {
        if (c == 't')
            to->test = 1;
        else if (c != 0 || !take_setting(&table[at], optarg, to))
            return false;
    }
    if (optind < argc)
        fprintf(stderr, "train: what is '%s'?  Settings are given as --lr=0.05\n", argv[optind]);
    return optind == argc;
}

/* ---- the images ---------------------------------------------------------------- */

/* The first @images for training and, where @test says so, all that test.  The caller frees. */
static struct fashion *read_images(uint32_t images, bool test)
{
    char why[1200];
    const char *dir = getenv("FASHION_MNIST");
    struct fashion header, *data = NULL;
    dir = dir ? dir : FASHION_DIR;
    bool ok = fashion_open(dir, &header, why, sizeof why);
    if (ok) {
        header.train = images < header.train ? images : header.train;
        header.test = test ? header.test : 0;
        data = malloc(fashion_bytes(&header));
        snprintf(why, sizeof why, "no memory for %u images", header.train);
        ok = data && fashion_read(dir, &header, data, why, sizeof why);
    }
    if (ok)
        return data;
    fprintf(stderr, "train: %s\n", why);
    free(data);
    return NULL;
}

/* ---- training ------------------------------------------------------------------- */

/* To whoever started it.  False: it is to end, with @status. */
static bool report(uint32_t epoch, double accuracy, int *status)
{
    char line[96];
    printf("epoch %u: accuracy %.4f\n", epoch, accuracy);
    fflush(stdout);
    snprintf(line, sizeof line, "{\"step\": %u, \"accuracy\": %.6f}", epoch, accuracy);
    switch (covey_report(line)) {
    case COVEY_OK:
    case COVEY_ENOCLUSTER:      /* nobody: it was started by hand */
        return true;
    case COVEY_ECANCELLED:
        *status = 0;
        return false;
    default:
        fprintf(stderr, "train: epoch %u: %s\n", epoch, covey_report_error());
        *status = 1;
        return false;
    }
}

static int train(struct trainer *t, const struct settings *set)
{
    char why[1024];
    int status = 0;
    const char *dir = getenv("COVEY_CHECKPOINT_DIR");
    const struct mlp_rule rule = {(float)set->lr, (float)set->momentum, (float)set->decay};
    long done = dir ? checkpoint_load(dir, t, why, sizeof why) : 0;
    if (done < 0) {
        fprintf(stderr, "train: %s\n", why);
        return 2;
    }
    /* Whoever was killed between checkpoint and report has not reported that epoch. */
    if (done > 0 && !report((uint32_t)done, trainer_accuracy(t), &status))
        return status;
    for (uint32_t epoch = (uint32_t)done + 1; epoch <= (uint32_t)set->epochs; epoch++) {
        if (!trainer_epoch(t, epoch, &rule, is_terminated, NULL)) {
            fprintf(stderr, "train: SIGTERM in epoch %u\n", epoch);
            return STATUS_TERMINATED;
        }
        if (dir && !checkpoint_save(dir, t, epoch, why, sizeof why)) {
            fprintf(stderr, "train: %s\n", why);
            return 1;
        }
        if (!report(epoch, trainer_accuracy(t), &status))
            return status;
    }
    if (set->test)
        printf("on the test images: %.4f\n", trainer_accuracy_of(t, t->data->train, t->data->test));
    return 0;
}

int main(int argc, char **argv)
{
    struct sigaction term = {.sa_handler = on_term, .sa_flags = SA_RESTART};
    struct settings set = {.lr = 0.05, .momentum = 0.9, .decay = 0, .width = 128, .depth = 1,
                           .batch = 64, .epochs = 9, .images = 60000, .seed = 1};
    struct trainer t;
    sigemptyset(&term.sa_mask);
    sigaction(SIGTERM, &term, NULL);
    if (!read_settings(argc, argv, &set))
        return 2;
    struct fashion *data = read_images((uint32_t)set.images, set.test != 0);
    if (!data)
        return 2;
    int status = 2;
    if (trainer_init(&t, data, data->train / VALID_SHARE, (struct mlp_shape){(uint32_t)set.width, (uint32_t)set.depth},
                     (uint32_t)set.batch, (uint64_t)set.seed))
        status = train(&t, &set);
    else
        fprintf(stderr, "train: no memory for this network, or the batch is larger than the %u images\n", t.train);
    trainer_fini(&t);
    free(data);
    return status;
}
