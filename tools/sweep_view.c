/* sweep_view.c - see sweep_view.h for the contract. */
#include "sweep_view.h"

#include "sweep_screen.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define RATE_KNOWN_MS 2000      /* shorter, and a rate is chance */

/* Lines that are filled with items from left to right. */
struct lines {
    struct text text;
    unsigned columns, used;     /* characters in the open line */
    unsigned count;             /* lines begun */
};

/* ---- lines --------------------------------------------------------------------------- */

static void lines_begin(struct lines *l, unsigned columns)
{
    l->columns = columns;
    l->used = 0;
    l->count = 0;
    text_clear(&l->text);
}

/* Characters of @s, cut at the line's end; a control character would move the cursor. */
static void put_cut(struct lines *l, const char *s)
{
    while (*s && l->used < l->columns) {
        uint32_t code = 0;
        size_t n = text_utf8(s, &code);
        if (text_can_show(code))
            text_add(&l->text, s, n);
        else
            text_puts(&l->text, "?");
        s += n > 0 ? n : 1;
        l->used++;
    }
}

static unsigned width_of(const char *s)
{
    unsigned width = 0;
    uint32_t code;
    for (size_t n; *s; s += n > 0 ? n : 1, width++)
        n = text_utf8(s, &code);
    return width;
}

static void line_end(struct lines *l)
{
    if (l->count > 0)
        text_puts(&l->text, "\n");
    l->used = 0;
}

/* A line of its own. */
static void add_line(struct lines *l, const char *s)
{
    l->count++;
    put_cut(l, s);
    line_end(l);
}

/* In the open line, two spaces after the one before, or in a new line where it does not fit. */
static void add_item(struct lines *l, const char *s)
{
    if (l->count > 0 && l->used > 0 && l->used + 2 + width_of(s) <= l->columns) {
        put_cut(l, "  ");
        put_cut(l, s);
        return;
    }
    if (l->used > 0)
        line_end(l);
    l->count++;
    put_cut(l, s);
}

static void add_format(struct lines *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_format(struct lines *l, const char *format, ...)
{
    char item[256];
    va_list args;
    va_start(args, format);
    vsnprintf(item, sizeof item, format, args);
    va_end(args);
    add_item(l, item);
}

static void close_items(struct lines *l)
{
    if (l->used > 0)
        line_end(l);
}

/* ---- the parts ----------------------------------------------------------------------------- */

static void make_best(const struct view *v, struct lines *l)
{
    char line[256];
    if (!v->has_best)
        snprintf(line, sizeof line, "best: none yet");
    else
        snprintf(line, sizeof line, "best: %s %.6g at step %lld, trial %u", v->metric ? v->metric : "value", v->best,
                 (long long)v->best_step, v->best_trial);
    add_line(l, line);
}

static void make_params(const struct view *v, struct lines *l)
{
    char item[256];
    for (const char *at = v->has_best ? v->best_params : NULL; at && *at;) {
        size_t len = strcspn(at, "\n");
        snprintf(item, sizeof item, "%.*s", (int)(len < sizeof item ? len : sizeof item - 1), at);
        add_item(l, item);
        at += at[len] ? len + 1 : len;
    }
    close_items(l);
}

static void make_counts(const struct view *v, struct lines *l)
{
    const struct { const char *name; uint32_t n; bool always; } counts[] = {
        {"running", v->running, true},   {"complete", v->complete, true}, {"stopped", v->stopped, true},
        {"failed", v->failed, true},     {"paused", v->paused, false},    {"waiting", v->waiting, false},
        {"cancelled", v->cancelled, false},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].always || counts[i].n > 0)
            add_format(l, "%u %s", counts[i].n, counts[i].name);
    if (v->cap)
        add_format(l, "of %llu", (unsigned long long)v->cap);
    close_items(l);
}

static void format_rate(char *out, size_t size, double rate)
{
    if (isnan(rate))
        snprintf(out, size, "-");
    else
        snprintf(out, size, rate < 10 ? "%.1f" : "%.0f", rate);
}

static void make_time(const struct view *v, struct lines *l)
{
    char text[32];
    view_duration(text, sizeof text, v->left_ms);
    add_format(l, "left %s", text);
    view_duration(text, sizeof text, v->elapsed_ms);
    add_format(l, "elapsed %s", text);
    format_rate(text, sizeof text, v->trials_per_min);
    add_format(l, "%s trials/min", text);
    format_rate(text, sizeof text, v->reports_per_min);
    add_format(l, "%s reports/min", text);
    close_items(l);
}

static void make_running(const struct view *v, struct lines *l)
{
    char line[160], step[48], value[32], elapsed[32];
    if (v->trial_count == 0)
        return;
    snprintf(line, sizeof line, "%6s %10s %12.12s %8s", "TRIAL", "STEP", v->metric ? v->metric : "VALUE", "ELAPSED");
    add_line(l, line);
    for (uint32_t i = 0; i < v->trial_count; i++) {
        const struct view_trial *t = &v->trials[i];
        snprintf(step, sizeof step, t->until > 0 ? "%lld/%lld" : "%lld", (long long)t->step, (long long)t->until);
        snprintf(value, sizeof value, isnan(t->value) ? "-" : "%.6g", t->value);
        view_duration(elapsed, sizeof elapsed, t->elapsed_ms);
        snprintf(line, sizeof line, "%6u %10s %12s %8s%s", t->number, step, value, elapsed, t->ending ? " ending" : "");
        add_line(l, line);
    }
}

static void make_rungs(const struct view *v, struct lines *l)
{
    uint32_t bracket = UINT32_MAX;
    for (uint32_t i = 0; i < v->rung_count; i++) {
        char planned[24] = "", name[24] = "";
        const struct scheduler_rung *r = &v->rungs[i];
        if (r->bracket != bracket) {
            close_items(l);
            if (v->many_brackets)
                snprintf(name, sizeof name, "bracket %u ", r->bracket);
            else
                snprintf(name, sizeof name, "rungs ");
        }
        bracket = r->bracket;
        if (r->planned)
            snprintf(planned, sizeof planned, "/%u", r->planned);
        add_format(l, "%s@%lld: %u%s, %u on", name, (long long)r->step, r->reached, planned, r->passed);
    }
    close_items(l);
}

static void make_notice(const struct view *v, struct lines *l)
{
    if (v->notice && *v->notice)
        add_line(l, v->notice);
}

static void make_keys(const struct view *v, struct lines *l)
{
    if (v->keys && *v->keys)
        add_line(l, v->keys);
}

/* ---- all of it ------------------------------------------------------------------------------- */

enum part { PART_BEST, PART_PARAMS, PART_COUNTS, PART_TIME, PART_RUNNING, PART_RUNGS, PART_NOTICE, PART_KEYS, PARTS };

/* From top to bottom.  @least lines come first, by @rank; then whole parts, by @rank. */
static const struct {
    void (*make)(const struct view *v, struct lines *l);
    unsigned least, rank;
} parts[PARTS] = {
    [PART_BEST] = {make_best, 1, 0},       [PART_PARAMS] = {make_params, 0, 5},
    [PART_COUNTS] = {make_counts, 1, 1},   [PART_TIME] = {make_time, 1, 3},
    [PART_RUNNING] = {make_running, 2, 4}, [PART_RUNGS] = {make_rungs, 0, 6},
    [PART_NOTICE] = {make_notice, 1, 2},   [PART_KEYS] = {make_keys, 1, 7},
};

static unsigned at_most(unsigned a, unsigned b) { return a < b ? a : b; }

static void share_rows(const struct lines *made, unsigned rows, unsigned *given)
{
    for (unsigned round = 0; round < 2; round++)
        for (unsigned rank = 0; rank < PARTS; rank++)
            for (unsigned i = 0; i < PARTS; i++) {
                if (parts[i].rank != rank)
                    continue;
                unsigned want = round == 0 ? at_most(parts[i].least, made[i].count) : made[i].count;
                unsigned more = at_most(want - given[i], rows);
                given[i] += more;
                rows -= more;
            }
}

/* The first @count lines of it. */
static void put_lines(struct text *out, const struct lines *l, unsigned count)
{
    const char *s = text_get(&l->text);
    for (unsigned i = 0; s && i < count; i++) {
        const char *end = strchr(s, '\n');
        if (!end)
            return;
        text_add(out, s, (size_t)(end + 1 - s));
        s = end + 1;
    }
}

/* Where not every running trial is seen, the last line says how many more there are. */
static void put_running(const struct view *v, struct text *out, const struct lines *l, unsigned given)
{
    unsigned seen = given > 0 ? given - 1 : 0;
    bool cut = seen < v->running && given > 2;
    put_lines(out, l, cut ? given - 1 : given);
    char more[32];
    snprintf(more, sizeof more, "%6s %u more", "and", v->running - (seen - 1));
    if (cut)
        text_printf(out, "%.*s\n", (int)l->columns, more);
}

void view_format(const struct view *v, unsigned columns, unsigned rows, struct text *out)
{
    struct lines made[PARTS] = {0};
    unsigned given[PARTS] = {0};
    text_clear(out);
    for (unsigned i = 0; i < PARTS; i++) {
        lines_begin(&made[i], columns);
        parts[i].make(v, &made[i]);
    }
    if (v->running > v->trial_count && v->trial_count > 0)
        made[PART_RUNNING].count++;     /* for "and N more" */
    share_rows(made, rows, given);
    for (unsigned i = 0; i < PARTS; i++) {
        if (i == PART_RUNNING)
            put_running(v, out, &made[i], given[i]);
        else
            put_lines(out, &made[i], given[i]);
        out->failed |= made[i].text.failed;
        text_fini(&made[i].text);
    }
}

void view_duration(char *out, size_t size, int64_t ms)
{
    if (ms < 0)
        snprintf(out, size, "-");
    else if (ms < 100000)
        snprintf(out, size, "%lld s", (long long)ms / 1000);
    else if (ms < 6000000)
        snprintf(out, size, "%lld min", (long long)(ms + 30000) / 60000);
    else
        snprintf(out, size, "%.1f h", (double)ms / 3600000);
}

/* ---- throughput ---------------------------------------------------------------------------- */

#define NOTES (VIEW_RATE_SECONDS + 1u)

void view_rate_note(struct view_rate *r, int64_t now_ms, uint64_t trials, uint64_t reports)
{
    uint32_t last = (r->first + r->count + NOTES - 1) % NOTES;
    if (r->count > 0 && now_ms - r->notes[last].at_ms < 1000)
        return;
    if (r->count == NOTES)
        r->first = (r->first + 1) % NOTES;
    else
        r->count++;
    last = (r->first + r->count - 1) % NOTES;
    r->notes[last].at_ms = now_ms;
    r->notes[last].trials = trials;
    r->notes[last].reports = reports;
}

void view_rate_read(const struct view_rate *r, int64_t now_ms, uint64_t trials, uint64_t reports, struct view *v)
{
    int64_t over_ms = r->count > 0 ? now_ms - r->notes[r->first].at_ms : 0;
    v->trials_per_min = v->reports_per_min = NAN;
    if (over_ms < RATE_KNOWN_MS)
        return;
    v->trials_per_min = (double)(trials - r->notes[r->first].trials) * 60000 / (double)over_ms;
    v->reports_per_min = (double)(reports - r->notes[r->first].reports) * 60000 / (double)over_ms;
}
