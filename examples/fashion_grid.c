/* fashion_grid.c - train 12 neural networks on Fashion-MNIST, and keep the best.
 *
 * Each task trains one configuration (learning rate x hidden units x batch) on
 * 50,000 images and measures it on 10,000 others, the validation set.  The best
 * network is then measured, once, on 10,000 test images that none has seen.
 *
 * All tasks get the same ref to the images, which lie in the object store once
 * (fashion_put() in fashion_tasks.c); 55 MB are not copied 12 times.
 *
 * Tasks report while they run: they post a small struct each epoch, and
 * .on_message is called here, whenever this program waits in covey_wait().
 *
 * A result of one task is an argument of the next: the best network goes to
 * fashion_test as a ref, without passing through main().
 *
 * Each task leases one CPU; the runtime sets OPENBLAS_NUM_THREADS to that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fashion_tasks.h"

#define TRIALS 12
#define EPOCHS 6u
#define GOOD 0.85               /* any sound training gets there */
#define REDRAW_MS 200
struct trial {
    double rate, accuracy;
    unsigned hidden, batch, epoch;
    covey_ref ref, network;     /* results 0 and 1 */
};

static void on_report(covey *c, const covey_message *message, void *arg)
{
    struct trial *trial = arg;
    struct fashion_report report;
    (void)c;
    if (message->size == sizeof report) {
        memcpy(&report, message->data, sizeof report);
        trial->epoch = report.epoch;
        trial->accuracy = report.accuracy;
    }
}

static int best_first(const void *a, const void *b)
{
    const struct trial *x = a, *y = b;
    return (x->accuracy < y->accuracy) - (x->accuracy > y->accuracy);
}

static void show(const struct trial *t, const char *end)
{
    printf("%.4f  rate %.2f  hidden %3u  batch %3u%s", t->accuracy, t->rate, t->hidden, t->batch, end);
}

/* One line, drawn over and over.  Work is about epochs x hidden units. */
static void show_progress(const struct trial *trials, size_t done, double elapsed_s)
{
    const struct trial *best = trials;
    double work = 0, all = 0;
    for (const struct trial *t = trials; t < trials + TRIALS; t++) {
        all += EPOCHS * t->hidden;
        work += t->epoch * t->hidden;
        best = t->accuracy > best->accuracy ? t : best;
    }
    printf("\r\033[K%zu/%d  ", done, TRIALS);
    if (work > 0) {
        printf("%.0f s left, best ", elapsed_s * (all - work) / work);
        show(best, "");
    }
    fflush(stdout);
}

/* Wait for all, showing how it goes.  False: covey_wait() failed. */
static bool follow(covey *c, struct trial *trials)
{
    covey_ref refs[TRIALS];
    bool settled[TRIALS] = {false}, shown[TRIALS] = {false}, live = isatty(STDOUT_FILENO);
    covey_status status = COVEY_OK;
    size_t done = 0;
    time_t start = time(NULL);
    for (size_t i = 0; i < TRIALS; i++)
        refs[i] = trials[i].ref;
    while (done < TRIALS && (status == COVEY_OK || status == COVEY_ETIMEOUT)) {
        status = covey_wait(c, refs, TRIALS, done + 1, REDRAW_MS, settled);
        for (size_t i = 0; i < TRIALS; i++)
            if (settled[i] && !shown[i]) {
                shown[i] = true;
                done++;
                if (covey_get_f64(c, refs[i], 0, &trials[i].accuracy) == COVEY_OK)
                    trials[i].epoch = EPOCHS;
                if (!live)
                    show(&trials[i], "\n");
            }
        if (live)
            show_progress(trials, done, difftime(time(NULL), start));
    }
    puts(live ? "\r\033[K" : "");
    return done == TRIALS;
}

/* Get a number and release its ref.  Below 0: it failed, and this says why. */
static double take(covey *c, covey_ref ref)
{
    double value;
    if (covey_get_f64(c, ref, 60000, &value) != COVEY_OK) {
        fprintf(stderr, "fashion_grid: %s\n", covey_why(c, ref));
        value = -1;
    }
    covey_release(c, ref);
    return value;
}

int main(int argc, char **argv)
{
    static const double rates[] = {0.1, 0.03, 0.01};
    char why[1200];
    covey_ref data;
    covey *c = covey_init(&argc, &argv);
    if (!c || !fashion_put(c, &data, why, sizeof why)) {
        fprintf(stderr, "fashion_grid: %s\n", c ? why : covey_error());
        return c ? 2 : 3;
    }
    struct trial trials[TRIALS];
    for (unsigned i = 0; i < TRIALS; i++) {
        struct trial *t = &trials[i];
        *t = (struct trial){.rate = rates[i / 4], .hidden = i % 4 < 2 ? 256 : 64, .batch = i % 2 ? 32 : 128};
        t->ref = covey_submit(c, "fashion_train", COVEY_ARGS(data, t->rate, t->hidden, t->batch, EPOCHS),
                              COVEY_OPTS(.on_message = on_report, .arg = t));
        t->network = covey_result(c, t->ref, 1);
    }
    bool ok = follow(c, trials);
    for (unsigned i = 0; i < TRIALS; i++)
        trials[i].accuracy = take(c, trials[i].ref);
    qsort(trials, TRIALS, sizeof *trials, best_first);
    for (unsigned i = 0; i < TRIALS; i++)
        show(&trials[i], i == 0 ? "  <- best\n" : "\n");
    double test = take(c, covey_submit(c, "fashion_test", COVEY_ARGS(data, trials[0].network), NULL));
    printf("on the test images: %.4f\n", test);
    ok = ok && trials[TRIALS - 1].accuracy > 0 && trials[0].accuracy > GOOD && test > GOOD;
    for (unsigned i = 0; i < TRIALS; i++)
        covey_release(c, trials[i].network);
    covey_release(c, data);
    covey_close(&c);
    return ok ? 0 : 1;
}
