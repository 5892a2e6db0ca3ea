/* spec.h - a sweep file, read and checked.
 *
 * The format is W&B's, with our additions below the one key `covey`.  What is
 * not understood is refused by file, line, column and the nearest right name;
 * what W&B tolerates in real files is a warning.  Nothing is started here and
 * no file but the sweep file is read.
 */
#ifndef COVEY_SWEEP_SPEC_H
#define COVEY_SWEEP_SPEC_H

#include "sweep/scheduler/scheduler.h"
#include "sweep/search/search.h"

#define SPEC_FILE_MAX (1024u * 1024)    /* bytes; a sweep file is written by hand */
#define SPEC_NODES_MAX 200000           /* aliases counted each time, so that bombs end here */
#define SPEC_RESOURCES_MAX 16

enum spec_impute { IMPUTE_WORST, IMPUTE_BEST, IMPUTE_LATEST };
enum spec_wandb { SPEC_WANDB_AUTO, SPEC_WANDB_OFF };

struct spec_resource { char *name; double amount; };

struct spec {
    char *file;                 /* as it was given, for messages */
    char *name, *description, *program, *project, *entity; /* NULL: not given */
    char **command;             /* NULL-ended, macros not yet expanded; the default one if not given */
    struct space space;
    struct search_opts search;
    struct scheduler_opts scheduler;

    struct {
        char *name;             /* NULL: the file has no metric */
        bool maximize;
        bool has_target;
        double target;
        enum spec_impute impute;
    } metric;

    uint64_t run_cap;           /* trials at most; 0: no cap */

    /* Below `covey` */
    double cpus, gpus;          /* of a trial; NaN: not given */
    uint64_t memory_bytes, gpu_memory_bytes;
    struct spec_resource resources[SPEC_RESOURCES_MAX];
    size_t resource_count;
    uint32_t parallel;          /* 0: what the cluster has */
    uint64_t seed;
    uint32_t retries;           /* of one trial; default 0 */
    int64_t time_ms;            /* of the whole sweep; 0: none */
    int64_t trial_time_ms;
    int64_t grace_ms;           /* SIGTERM to SIGKILL; default 30000, as W&B's agent */
    int64_t leave_ms;           /* the answer says stop: so long until SIGTERM; default 0 */
    uint32_t checkpoints_keep;  /* trials, best first, whose checkpoints outlive the sweep; 0: all */
    bool sync_full;             /* reports are answered when even a power cut cannot lose them */
    bool cwd_trial;             /* each trial runs in its own directory */
    bool report_stdout;         /* lines of standard output that are JSON objects are reports */
    enum spec_wandb wandb;
    uint32_t storm;             /* failed trials in a row, before any worked, that end the sweep; default 5; 0 is never */
    double *points;             /* point_count of them, each space.count doubles; a NaN that is active is searched */
    size_t point_count;
};

/* Is @a the better value of the metric?  Of two numbers. */
static inline bool spec_is_better(const struct spec *spec, double a, double b)
{
    return spec->metric.maximize ? a > b : a < b;
}

/* Read @path.  NULL with @why: file:line:column: what, and what would be right.
 * @warn is called for each warning, with a text of the same shape.
 *
 * @sets are settings as of `--set`, "key=value" each, NULL-ended, or NULL: what they say is put
 * into the file's place, from left to right, before it is read (spec_set.h). */
struct spec *spec_open(const char *path, const char *const *sets, void (*warn)(const char *text, void *arg),
                       void *arg, char *why, size_t why_size);
/* The same of @size bytes in memory, named @path in messages. */
struct spec *spec_read_with(const char *path, const char *bytes, size_t size, const char *const *sets,
                            void (*warn)(const char *text, void *arg), void *arg, char *why, size_t why_size);
/* ... without settings. */
struct spec *spec_read(const char *path, const char *bytes, size_t size,
                       void (*warn)(const char *text, void *arg), void *arg, char *why, size_t why_size);
void spec_free(struct spec **spec);

/* May "key=value" be changed when trials have run, since it neither changes the space nor
 * what the search means?  False with @why; false, too, where it is no setting. */
bool spec_set_is_limit(const char *line, char *why, size_t why_size);

/* The schedulers that @text names, as `covey.scheduler` would and with commas between:
 * "asha, {type: median, grace: 3}".  How many; -1 with @why, which calls them @name. */
int spec_read_schedulers(const char *name, const char *text, struct scheduler_opts *out, int max,
                         char *why, size_t why_size);

#endif
