/* sweep_live.h - what is seen of a sweep while it runs, and the keys.
 *
 * On a terminal a table at the bottom, drawn again at most ten times a second and only
 * where it has changed; lines of events go above it.  Elsewhere there are those lines
 * alone.  Used by the runner and by `covey sweep attach`, who differ in what keys do.
 */
#ifndef COVEY_TOOLS_SWEEP_LIVE_H
#define COVEY_TOOLS_SWEEP_LIVE_H

#include "cmd.h"
#include "covey/sweep.h"

/* What keys are for; each says itself what came of it, by live_event(). */
struct live_ops {
    void (*quit)(covey_sweep *s, void *arg);
    void (*pause)(covey_sweep *s, void *arg);
    void (*stop_trial)(covey_sweep *s, uint32_t trial, void *arg);
    /* One line about what goes on, or NULL. */
    const char *(*notice)(covey_sweep *s, void *arg);
    const char *quit_means;     /* "ends the sweep ...", for the help */
};

struct live;

/* @ops and @arg must outlive it.  NULL: out of memory. */
struct live *live_new(const struct cli *cli, const struct live_ops *ops, void *arg);
/* The table goes, the terminal is as it was.  Sets *live to NULL. */
void live_free(struct live **live);
/* A line for people; under -q only warnings. */
void live_event(struct live *live, const char *line);
/* About ten times a second. */
void live_tick(struct live *live, covey_sweep *s);

#endif
