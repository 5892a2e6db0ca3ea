/* scheduler_internal.h - what the kinds of schedulers share; for scheduler.c and
 * the file of each kind alone.
 *
 * scheduler.c keeps each trial's state and carries out the diagram of scheduler.h;
 * a kind only decides.  Its functions are called in the order reserve, start, and
 * never for a trial that has been told its verdict already.
 */
#ifndef COVEY_SWEEP_SCHEDULER_INTERNAL_H
#define COVEY_SWEEP_SCHEDULER_INTERNAL_H

#include "sweep/scheduler/rung.h"
#include "sweep/scheduler/scheduler.h"

enum scheduler_state { IS_RUNNING, IS_ENDING, IS_PAUSED, IS_GONE };

struct scheduler_trial {
    enum scheduler_state state;
    enum scheduler_verdict verdict; /* of the last report */
    uint32_t bracket;
    uint32_t rung;              /* next to be judged at; of a paused trial, where it waits */
    uint32_t reports;
    int64_t step;               /* of the last report; 0: none */
    double loss, best;          /* the last and the least; INFINITY: none */

    double judged;              /* bands: the loss at the last band */

    double sum;                 /* median: of the losses since the grace */
    uint32_t summed;            /* how many these are */

    bool scored;                /* PBT: in the rung of scores, with .score */
    double score;
    int64_t score_step;         /* PBT: of .score, and of the checkpoint that others take over */
    int64_t mark;               /* PBT: the interval's step that was reported last */
    uint32_t moves;             /* PBT: clones that it was made of others */
    uint32_t clone_of;          /* PBT: the donor while paused for it; else SCHEDULER_NO_TRIAL */
};

struct scheduler {
    const struct scheduler_ops *ops;
    struct scheduler_opts opts; /* with the defaults in place of zeros */
    const struct space *space;  /* borrowed */
    struct scheduler_trial *trials; /* owned */
    uint32_t trial_count, trial_cap;
    uint32_t running;           /* RUNNING and ENDING */
    uint32_t paused;
    struct bracket *brackets;   /* owned */
    uint32_t bracket_count;
    struct median *median;      /* owned */
    struct pbt *pbt;            /* owned */
};

struct scheduler_ops {
    /* Fill in and check the options, make brackets.  False with @why. */
    bool (*init)(struct scheduler *s, char *why, size_t why_size);
    void (*fini)(struct scheduler *s);
    struct scheduler_choice (*next)(const struct scheduler *s, bool no_new);
    /* Room for what the started trial may need beyond its bracket. */
    bool (*reserve)(struct scheduler *s);
    /* @trial is in place, running; of a resumed one .rung is still where it waited. */
    void (*start)(struct scheduler *s, uint32_t trial, const struct scheduler_choice *choice,
                  const double *x);
    /* Step, loss and best are noted; @before: the step of the report before. */
    enum scheduler_verdict (*report)(struct scheduler *s, uint32_t trial, int64_t before);
    void (*end)(struct scheduler *s, uint32_t trial, enum scheduler_fate fate);
    /* The loss that would be let on now; without it there are no rungs to show. */
    double (*cutoff)(const struct scheduler *s, uint32_t bracket, uint32_t rung);
};

extern const struct scheduler_ops scheduler_none, scheduler_asha, scheduler_asha_promotion,
    scheduler_hyperband, scheduler_median, scheduler_pbt, scheduler_bands;

/* "@name is 7: must be from 1 to 5".  False with @why unless @v is in the range. */
bool scheduler_check_int(const char *name, int64_t v, int64_t low, int64_t high, char *why,
                         size_t why_size);
/* The same, and in (@low, @high]. */
bool scheduler_check_real(const char *name, double v, double low, double high, char *why,
                          size_t why_size);
bool scheduler_check_eta(const struct scheduler_opts *o, char *why, size_t why_size);
/* Space for @count brackets, to be filled by bracket_init().  False with @why. */
bool scheduler_brackets(struct scheduler *s, uint32_t count, char *why, size_t why_size);
bool scheduler_no_memory(char *why, size_t why_size);

struct scheduler_choice scheduler_new_trial(uint32_t bracket, int64_t until);
struct scheduler_choice scheduler_resume(const struct scheduler *s, uint32_t trial, int64_t until);
/* Nothing to start: WAIT while something runs, else DONE. */
struct scheduler_choice scheduler_idle(const struct scheduler *s);

/* ---- what both forms of ASHA do alike (asha.c) ---- */

/* Defaults, checks, and the brackets s = 0 ... brackets - 1 with their rungs;
 * with @top, max_iter is the last rung. */
bool asha_init(struct scheduler *s, bool top, double eta, char *why, size_t why_size);
/* A new trial in a bracket drawn for its number. */
struct scheduler_choice asha_new_trial(const struct scheduler *s);

/* ---- what promotion and HyperBand do alike (asha_promotion.c) ---- */

struct rung *promotion_rung(const struct scheduler *s, const struct scheduler_trial *t);
void promotion_start(struct scheduler *s, uint32_t trial, const struct scheduler_choice *choice,
                     const double *x);
enum scheduler_verdict promotion_report(struct scheduler *s, uint32_t trial, int64_t before);
void promotion_end(struct scheduler *s, uint32_t trial, enum scheduler_fate fate);

#endif
