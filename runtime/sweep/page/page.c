/* page.c - see page.h: the file, its parts, and the gate for JSON.
 *
 * Style and scripts are files below page/; D3 is where the Makefile says. */
#include "sweep/page/page_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "sweep/embed.h"

#ifndef COVEY_D3
#define COVEY_D3 "/usr/share/nodejs/d3/dist/d3.min.js"
#endif

#define PAGE "runtime/sweep/page/web/"

EMBED(page_html, PAGE "page.html");
EMBED(page_css, PAGE "page.css");
EMBED(page_d3, COVEY_D3);
EMBED(page_d3_license, PAGE "d3-license.txt");
EMBED(page_js_data, PAGE "data.js");
EMBED(page_js_ui, PAGE "ui.js");
EMBED(page_js_select, PAGE "select.js");
EMBED(page_js_summary, PAGE "summary.js");
EMBED(page_js_curves, PAGE "curves.js");
EMBED(page_js_parallel, PAGE "parallel.js");
EMBED(page_js_importance, PAGE "importance.js");
EMBED(page_js_history, PAGE "history.js");
EMBED(page_js_timeline, PAGE "timeline.js");
EMBED(page_js_rungs, PAGE "rungs.js");
EMBED(page_js_table, PAGE "table.js");
EMBED(page_js_main, PAGE "main.js");

/* What a {{part}} of page.html is replaced by: files in their order, or what is written. */
#define FILES_MAX 12
static void put_title(struct page *p);
static const struct part {
    const char *name;
    struct { const char *from, *end; } files[FILES_MAX];
    void (*put)(struct page *p);
} parts[] = {
    {"title", .put = put_title},
    {"data", .put = page_put_data},
    {"style", {{page_css, page_css_end}}, NULL},
    {"d3", {{page_d3, page_d3_end}}, NULL},
    {"d3-license", {{page_d3_license, page_d3_license_end}}, NULL},
    {"scripts", {
        {page_js_data, page_js_data_end}, {page_js_ui, page_js_ui_end},
        {page_js_select, page_js_select_end}, {page_js_summary, page_js_summary_end},
        {page_js_curves, page_js_curves_end}, {page_js_parallel, page_js_parallel_end},
        {page_js_importance, page_js_importance_end}, {page_js_history, page_js_history_end},
        {page_js_timeline, page_js_timeline_end}, {page_js_rungs, page_js_rungs_end},
        {page_js_table, page_js_table_end}, {page_js_main, page_js_main_end},
    }, NULL},
};

void page_fail(struct page *p, covey_status status, const char *format, ...)
{
    va_list args;
    if (p->status != COVEY_OK)
        return;
    va_start(args, format);
    vsnprintf(p->why, p->why_size, format, args);
    va_end(args);
    p->status = status;
}

/* ---- writing --------------------------------------------------------------------------- */

static void put(struct page *p, const char *from, const char *end)
{
    size_t size = (size_t)(end - from);
    if (p->status == COVEY_OK && fwrite(from, 1, size, p->file) != size)
        page_fail(p, COVEY_ESYSTEM, "cannot write %s/" PAGE_FILE ": %s", p->s->dir, strerror(errno));
}

static void put_text(struct page *p, const char *text) { put(p, text, text + strlen(text)); }

/* Those bytes stand inside strings only, where JSON allows \uXXXX for each of them. */
void page_put_json(struct page *p)
{
    const char *text = text_get(&p->part);
    if (!text) {
        page_fail(p, COVEY_ENOMEM, "out of memory");
        text_clear(&p->part);
        return;
    }
    const char *from = text, *end = text + p->part.len;
    for (const char *at = text; at < end; at++) {
        char escaped[8];
        bool separator = at + 2 < end && memcmp(at, "\xe2\x80", 2) == 0 && (at[2] & ~1) == '\xa8';
        if (!separator && *at != '<' && *at != '>' && *at != '&')
            continue;
        put(p, from, at);
        snprintf(escaped, sizeof escaped, "\\u%04x", separator ? 0x2028u | (at[2] & 1u) : (unsigned char)*at);
        put_text(p, escaped);
        at += separator ? 2 : 0;
        from = at + 1;
    }
    put(p, from, end);
    text_clear(&p->part);
}

/* In HTML's text. */
static void put_title(struct page *p)
{
    char *name = record_meta(p->s->record, "name");
    for (const char *c = name ? name : "sweep"; *c; c++) {
        if (strchr("<>&\"'", *c))
            fprintf(p->file, "&#%d;", *c);
        else
            putc((unsigned char)*c < ' ' ? ' ' : *c, p->file);
    }
    free(name);
}

void page_short_number(struct text *t, double x)
{
    char number[32], *to = number;
    bool digit_before = true;
    if (!isfinite(x)) {
        text_puts(t, "null");
        return;
    }
    snprintf(number, sizeof number, "%.6g", x);
    for (const char *c = number; *c; c++) {
        bool kept = strchr("0123456789-+e", *c) != NULL;
        if (kept)
            *to++ = *c;
        else if (digit_before)
            *to++ = '.';        /* whatever the locale's is, and however many bytes */
        digit_before = kept;
    }
    text_add(t, number, (size_t)(to - number));
}

/* ---- the page ---------------------------------------------------------------------------- */

static void put_part(struct page *p, const char *name, size_t size)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strlen(parts[i].name) != size || memcmp(parts[i].name, name, size) != 0)
            continue;
        if (parts[i].put)
            parts[i].put(p);
        for (int k = 0; k < FILES_MAX && parts[i].files[k].from; k++)
            put(p, parts[i].files[k].from, parts[i].files[k].end);
        return;
    }
    assert(!"page.html names a part that is none");
}

static void put_page(struct page *p)
{
    const char *at = page_html;
    while (p->status == COVEY_OK) {
        const char *open = memmem(at, (size_t)(page_html_end - at), "{{", 2);
        const char *close = open ? memmem(open, (size_t)(page_html_end - open), "}}", 2) : NULL;
        put(p, at, close ? open : page_html_end);
        if (!close)
            return;
        put_part(p, open + 2, (size_t)(close - open - 2));
        at = close + 2;
    }
}

/* Better ones first; those without a value last. */
static int by_loss(const void *a, const void *b, void *arg)
{
    const covey_sweep *s = arg;
    uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    double x = controller_trial(s->controller, i)->best, y = controller_trial(s->controller, k)->best;
    if (isnan(x) || isnan(y))
        return isnan(x) != isnan(y) ? (isnan(x) ? 1 : -1) : i < k ? -1 : 1;
    if (x != y)
        return spec_is_better(s->spec, x, y) ? -1 : 1;
    return i < k ? -1 : 1;
}

static bool choose_trials(struct page *p)
{
    uint32_t *order = calloc(p->trials + 1, sizeof *order);
    p->place = calloc(p->trials + 1, sizeof *p->place);
    if (!order || !p->place) {
        free(order);
        return false;
    }
    for (uint32_t i = 0; i < p->trials; i++)
        order[i] = i;
    if (p->trials > PAGE_TRIALS_MAX) {
        qsort_r(order, p->trials, sizeof *order, by_loss, p->s);
        for (uint32_t i = PAGE_TRIALS_MAX; i < p->trials; i++)
            p->place[order[i]] = PAGE_NOT_SHOWN;
    }
    for (uint32_t i = 0; i < p->trials; i++)
        if (p->place[i] != PAGE_NOT_SHOWN)
            p->place[i] = p->shown++;
    free(order);
    return true;
}

static void find_times(struct page *p)
{
    int64_t now = clock_unix_ms();
    for (uint32_t i = 0; i < p->trials; i++) {
        const struct trial *t = controller_trial(p->s->controller, i);
        if (t->started_ms && (p->began_ms == 0 || t->started_ms < p->began_ms))
            p->began_ms = t->started_ms;
        if (t->ended_ms > p->ended_ms)
            p->ended_ms = t->ended_ms;
    }
    if (p->running || p->ended_ms < p->began_ms)
        p->ended_ms = now > p->began_ms ? now : p->began_ms;
}

static void write_as(struct page *p, const char *fresh, const char *path)
{
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    p->file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!p->file) {
        page_fail(p, COVEY_ESYSTEM, "cannot write %s: %s", fresh, strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    put_page(p);
    bool wrote = ferror(p->file) == 0;
    if ((fclose(p->file) != 0 || !wrote) || (p->status == COVEY_OK && rename(fresh, path) != 0))
        page_fail(p, COVEY_ESYSTEM, "cannot write %s: %s", path, strerror(errno));
    if (p->status != COVEY_OK)
        unlink(fresh);
}

covey_status page_write(covey_sweep *s, char *why, size_t why_size)
{
    char path[SWEEP_PATH_MAX + 32], fresh[SWEEP_PATH_MAX + 64];
    struct page p = {.s = s, .status = COVEY_OK, .why = why, .why_size = why_size,
                     .trials = controller_count(s->controller), .running = s->looking && record_is_held(s->dir, NULL) > 0,
                     .points_max = PAGE_POINTS_MAX};
    snprintf(path, sizeof path, "%s/" PAGE_FILE, s->dir);
    snprintf(fresh, sizeof fresh, "%s/." PAGE_FILE ".%d", s->dir, (int)getpid()); /* two may write at once */
    find_times(&p);
    if (choose_trials(&p))
        write_as(&p, fresh, path);
    else
        page_fail(&p, COVEY_ENOMEM, "out of memory");
    text_fini(&p.part);
    free(p.place);
    return p.status;
}

void page_write_last(covey_sweep *s)
{
    char why[1024];
    if (page_write(s, why, sizeof why) != COVEY_OK)
        sweep_say(s, "warning: there is no new report: %s", why);
}
