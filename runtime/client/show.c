/* show.c - see show.h. */
#include "client/show.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "core/rows.h"

/* ---- output of tasks ------------------------------------------------------------------- */

static bool writable_now(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* A terminal that does not read must not stop the process: lines that find no
 * room are dropped and counted. */
static bool show_line(covey *c, int fd, uint32_t worker, const char *line, size_t len)
{
    char out[1024];
    int n = snprintf(out, sizeof(out), "(w%u) %.*s\n", worker, (int)(len < 960 ? len : 960), line);
    if (c->log_budget < n || !writable_now(fd))
        return false;
    c->log_budget -= n;
    return write(fd, out, (size_t)n) == n;
}

void show_log(covey *c, const struct msg_log *m)
{
    if (c->quiet || c->is_worker)
        return;
    if (c->now - c->log_at >= SECOND_NS) {
        c->log_at = c->now;
        c->log_budget = SHOW_BYTES_PER_SECOND;
    }
    int fd = m->is_error ? STDERR_FILENO : STDOUT_FILENO;
    const char *text = (const char *)m->text.data;
    size_t left = m->text.len;
    uint64_t dropped = m->dropped_bytes;
    while (left > 0) {
        const char *end = memchr(text, '\n', left);
        size_t len = end ? (size_t)(end - text) : left;
        if (!show_line(c, fd, m->worker, text, len))
            dropped += len;
        len += end != NULL;
        text += len;
        left -= len;
    }
    c->log_dropped += dropped;
    if (c->log_dropped && c->log_budget > 200 && writable_now(STDERR_FILENO)) {
        dprintf(STDERR_FILENO, "(w%u) ... %llu bytes of output not shown; see covey logs w%u\n", m->worker,
                (unsigned long long)c->log_dropped, m->worker);
        c->log_budget -= 100;
        c->log_dropped = 0;
    }
}

_Static_assert(ROWS_SLOT_BITS == OWNER_SLOT_BITS, "lists show serials");

/* ---- lists --------------------------------------------------------------------------------- */

struct listing { covey *c; struct buf cells; uint32_t rows; const struct msg_query *query; };

static void add_task(void *ctx, const struct task_row *row)
{
    struct listing *l = ctx;
    const struct span *state = &l->query->state;
    if (state->len && (strlen(row->state) != state->len || memcmp(row->state, state->data, state->len) != 0))
        return;
    char id[48], owner[32], worker[32] = "", attempt[16], run_ms[32];
    snprintf(id, sizeof(id), "t%u.%llu", l->c->self.proc, (unsigned long long)(row->seq >> ROWS_SLOT_BITS));
    snprintf(owner, sizeof(owner), "%s%u", l->c->is_worker ? "w" : "c", l->c->self.proc);
    if (row->worker.proc)
        snprintf(worker, sizeof(worker), "w%u", row->worker.proc);
    snprintf(attempt, sizeof(attempt), "%u", row->attempt);
    snprintf(run_ms, sizeof(run_ms), "%lld", (long long)row->age_ms);
    const char *cells[] = {id, row->state, row->name, owner, worker, attempt, run_ms, "", ""};
    for (size_t i = 0; i < sizeof(cells) / sizeof(*cells); i++)
        buf_append(&l->cells, cells[i], strlen(cells[i]) + 1);
    l->rows++;
}

void show_tasks(covey *c, struct addr to, const struct msg_query *q)
{
    struct listing l = {.c = c, .query = q};
    buf_init(&l.cells);
    if (q->what == QUERY_TASKS)
        owner_each_task(c->owner, q->limit, c->now, add_task, &l);
    struct msg m = {.kind = MSG_ROWS};
    m.u.rows = (struct msg_rows){.request = q->request, .last = true, .columns = 9,
                                 .cells = l.cells.failed ? (struct span){NULL, 0} : buf_span(&l.cells)};
    process_send(c, to, &m);
    buf_fini(&l.cells);
}
