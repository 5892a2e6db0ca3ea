/* sweep_live.c - see sweep_live.h for the contract. */
#include "sweep_live.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cmd_sweep.h"
#include "core/types.h"
#include "io/mono.h"
#include "sweep/sweep.h"
#include "sweep_keys.h"
#include "sweep_screen.h"
#include "sweep_term.h"
#include "sweep_view.h"

#define EVENTS_MAX 65536u       /* bytes of lines that wait for the next tick */
#define LOG_TAIL_MAX 4096
#define KEYS_LINE "q quit  p pause  s N stop  l N log  ? help"

struct live {
    const struct cli *cli;
    const struct live_ops *ops; /* borrowed */
    void *arg;
    bool terminal;              /* there is a table */
    bool begun;
    int64_t began_ms;
    uint32_t ended_before;      /* trials that were over when it began */
    struct text events;         /* owned: lines that are to be printed */
    struct text lines, params, bytes;   /* owned: to be used again and again */
    struct screen screen;
    struct keys keys;
    struct view_rate rate;
    struct view view;
};

struct live *live_new(const struct cli *cli, const struct live_ops *ops, void *arg)
{
    struct live *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->cli = cli;
    l->ops = ops;
    l->arg = arg;
    l->began_ms = mono_ns() / MS_NS;
    l->terminal = !cli->quiet && term_open();
    return l;
}

/* ---- events ----------------------------------------------------------------------------- */

/* The table gives way to the lines that wait. */
static void put_events(struct live *l, unsigned columns)
{
    const char *lines = text_get(&l->events);
    if (!lines || !*lines)
        return;
    screen_hide(&l->screen, columns, &l->bytes);
    screen_plain(lines, &l->bytes);
    text_clear(&l->events);
}

/* In one piece, so that nobody sees the table blink. */
static void flush(struct live *l)
{
    if (text_get(&l->bytes))
        term_write(text_get(&l->bytes), l->bytes.len);
    text_clear(&l->bytes);
}

void live_event(struct live *l, const char *line)
{
    unsigned columns, rows;
    if (l->cli->quiet && strncmp(line, "warning", 7) != 0)
        return;
    if (!l->terminal) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    text_puts(&l->events, line);
    text_puts(&l->events, "\n");
    if (l->events.len < EVENTS_MAX)
        return;
    term_size(&columns, &rows);
    put_events(l, columns);
    flush(l);
}

void live_free(struct live **lp)
{
    unsigned columns, rows;
    struct live *l = *lp;
    *lp = NULL;
    if (!l)
        return;
    if (l->terminal) {
        term_size(&columns, &rows);
        put_events(l, columns);
        screen_hide(&l->screen, columns, &l->bytes);
        flush(l);
        term_close();
    }
    text_fini(&l->events);
    text_fini(&l->lines);
    text_fini(&l->params);
    text_fini(&l->bytes);
    screen_fini(&l->screen);
    free(l);
}

/* ---- the sweep as it is ------------------------------------------------------------------ */

static uint32_t over(const struct controller *c)
{
    uint32_t n = 0;
    for (int i = TRIAL_COMPLETE; i < TRIAL_STATE_COUNT; i++)
        n += controller_in_state(c, (enum trial_state)i);
    return n;
}

/* The step that a run goes to: where trials pause, its next rung, else the most there is. */
static int64_t goal_of(const covey_sweep *s, const struct trial *t)
{
    enum scheduler_kind kind = s->spec->scheduler.kind;
    bool pauses = kind == SCHEDULER_ASHA_PROMOTION || kind == SCHEDULER_HYPERBAND || kind == SCHEDULER_PBT;
    if (pauses && t->until >= t->step)
        return t->until;
    return scheduler_options(controller_scheduler(s->controller))->max_iter;
}

static void look_at_trials(covey_sweep *s, struct view *v)
{
    const struct controller *c = s->controller;
    int64_t now_ms = clock_unix_ms();
    v->running = controller_in_state(c, TRIAL_RUNNING) + controller_in_state(c, TRIAL_ENDING);
    uint32_t seen_max = v->running < VIEW_RUNNING_MAX ? v->running : VIEW_RUNNING_MAX;
    for (uint32_t i = 0; i < controller_count(c) && v->trial_count < seen_max; i++) {
        const struct trial *t = controller_trial(c, i);
        if (t->state == TRIAL_RUNNING || t->state == TRIAL_ENDING)
            v->trials[v->trial_count++] = (struct view_trial){
                .number = i, .step = t->step, .until = goal_of(s, t), .value = t->value,
                .elapsed_ms = now_ms > t->run_started_ms ? now_ms - t->run_started_ms : 0,
                .ending = t->state == TRIAL_ENDING,
            };
    }
}

/* Trials that there will be; 0: not known. */
static uint64_t look_at_rungs(const covey_sweep *s, struct view *v)
{
    struct scheduler_rung r;
    uint64_t planned = 0;
    bool all_planned = true;
    for (uint32_t i = 0; scheduler_rung(controller_scheduler(s->controller), i, &r); i++) {
        if (r.index == 0) {
            planned += r.planned;
            all_planned &= r.planned > 0;
        }
        v->many_brackets |= r.bracket > 0;
        if (v->rung_count < VIEW_RUNGS_MAX)
            v->rungs[v->rung_count++] = r;
    }
    uint64_t cap = s->spec->run_cap;
    return planned > 0 && all_planned && (cap == 0 || planned < cap) ? planned : cap;
}

static void look_at_best(struct live *l, covey_sweep *s)
{
    const struct trial *t = controller_best(s->controller);
    struct view *v = &l->view;
    v->metric = s->spec->metric.name;
    v->has_best = t != NULL;
    text_clear(&l->params);
    if (!t)
        return;
    v->best = t->best;
    v->best_step = t->best_step;
    v->best_trial = t->number;
    sweep_put_params(s, t, &l->params);
    v->best_params = text_get(&l->params);
}

static void look_at_time(struct live *l, covey_sweep *s)
{
    struct view *v = &l->view;
    int64_t now_ms = mono_ns() / MS_NS;
    uint32_t ended = over(s->controller), here = ended - l->ended_before;
    uint64_t reports = controller_reports(s->controller);
    view_rate_note(&l->rate, now_ms, ended, reports);
    view_rate_read(&l->rate, now_ms, ended, reports, v);
    v->elapsed_ms = now_ms - l->began_ms;
    v->left_ms = -1;
    if (here > 0 && v->cap > ended)
        v->left_ms = (int64_t)((double)v->elapsed_ms / here * (double)(v->cap - ended));
    int64_t allowed = s->spec->time_ms;
    if (allowed && (v->left_ms < 0 || v->left_ms > allowed - v->elapsed_ms))
        v->left_ms = allowed > v->elapsed_ms ? allowed - v->elapsed_ms : 0;
}

static void look(struct live *l, covey_sweep *s)
{
    const struct controller *c = s->controller;
    l->view = (struct view){
        .waiting = controller_in_state(c, TRIAL_WAITING), .paused = controller_in_state(c, TRIAL_PAUSED),
        .complete = controller_in_state(c, TRIAL_COMPLETE), .stopped = controller_in_state(c, TRIAL_STOPPED),
        .failed = controller_in_state(c, TRIAL_FAILED), .cancelled = controller_in_state(c, TRIAL_CANCELLED),
        .notice = l->ops->notice ? l->ops->notice(s, l->arg) : NULL,
        .keys = l->keys.line[0] ? l->keys.line : KEYS_LINE,
    };
    look_at_trials(s, &l->view);
    l->view.cap = look_at_rungs(s, &l->view);
    look_at_best(l, s);
    look_at_time(l, s);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void show_log(struct live *l, covey_sweep *s, uint32_t trial)
{
    char line[LOG_TAIL_MAX + 128], tail[LOG_TAIL_MAX];
    if (trial >= controller_count(s->controller)) {
        snprintf(line, sizeof line, "there is no trial %u", trial);
    } else {
        launch_tail(s, trial, tail, sizeof tail);
        snprintf(line, sizeof line, "--- trial %u's log%s%s", trial, *tail ? ", its last lines:\n" : " is empty", tail);
    }
    live_event(l, line);
}

static void show_help(struct live *l)
{
    char line[512];
    snprintf(line, sizeof line,
             "q          %s\n"
             "p          start no new trials; p again goes on\n"
             "s N Enter  stop trial N for good\n"
             "l N Enter  the last lines of trial N's log\n"
             "Escape     forget what was typed", l->ops->quit_means);
    live_event(l, line);
}

static void take_key(struct live *l, covey_sweep *s, char c)
{
    switch (keys_take(&l->keys, c)) {
    case KEY_QUIT: l->ops->quit(s, l->arg); break;
    case KEY_PAUSE: l->ops->pause(s, l->arg); break;
    case KEY_STOP_TRIAL: l->ops->stop_trial(s, l->keys.number, l->arg); break;
    case KEY_LOG: show_log(l, s, l->keys.number); break;
    case KEY_HELP: show_help(l); break;
    case KEY_BAD_NUMBER: live_event(l, "s and l want the number of a trial, such as s 12"); break;
    case KEY_NONE: break;
    }
}

void live_tick(struct live *l, covey_sweep *s)
{
    char keys[64];
    bool anew;
    unsigned columns, rows;
    if (!l->terminal)
        return;
    if (!l->begun)
        l->ended_before = over(s->controller);
    l->begun = true;
    term_size(&columns, &rows);
    if (term_wants_suspend()) {
        screen_hide(&l->screen, columns, &l->bytes);
        flush(l);
        term_suspend();
    }
    bool ours = term_is_ours(&anew);
    if (anew || !ours)
        screen_forget(&l->screen);
    size_t count = ours ? term_read(keys, sizeof keys) : 0;
    for (size_t i = 0; i < count; i++)
        take_key(l, s, keys[i]);
    if (ours) {
        /* A column and a row stay free: no line wraps, and the last event is seen. */
        look(l, s);
        view_format(&l->view, columns > 1 ? columns - 1 : 1, rows > 2 ? rows - 1 : 1, &l->lines);
    }
    put_events(l, columns);
    if (ours && text_get(&l->lines))
        screen_show(&l->screen, text_get(&l->lines), columns, &l->bytes);
    flush(l);
}
