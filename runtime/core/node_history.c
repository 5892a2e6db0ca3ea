/* node_history.c - the last NODE_HISTORY_MAX finished tasks, for lists.
 *
 * A ring in chunks, so that a node that runs little takes little.  What is
 * overwritten, what executors left out and what memory did not suffice for is
 * counted.
 */
#include "core/node_internal.h"
#include "core/rows.h"

#include <stdlib.h>

#define CHUNK_ROWS 1024u
#define CHUNKS ((NODE_HISTORY_MAX + CHUNK_ROWS - 1) / CHUNK_ROWS)

struct history {
    struct finished *chunks[CHUNKS];    /* owned */
    uint64_t added;                     /* ever; row i is at i % NODE_HISTORY_MAX */
    uint64_t dropped;
};

static struct finished *row_at(const struct node *n, uint64_t i)
{
    uint32_t at = (uint32_t)(i % NODE_HISTORY_MAX);
    struct finished *chunk = n->history->chunks[at / CHUNK_ROWS];
    return chunk ? chunk + at % CHUNK_ROWS : NULL;
}

static struct finished *next_row(struct node *n)
{
    struct history *h = n->history;
    uint32_t at = (uint32_t)(h->added % NODE_HISTORY_MAX);
    struct finished **chunk = &h->chunks[at / CHUNK_ROWS];
    if (!*chunk && !(*chunk = malloc(CHUNK_ROWS * sizeof **chunk)))
        return NULL;
    h->dropped += h->added >= NODE_HISTORY_MAX;
    h->added++;
    return *chunk + at % CHUNK_ROWS;
}

static void add(struct node *n, const struct proc *worker, const struct done *done)
{
    struct finished *row = next_row(n);
    if (!row) {
        n->history->dropped++;
        return;
    }
    *row = (struct finished){
        .owner = done->owner, .seq = done->seq, .attempt = done->attempt, .status = done->status,
        .worker = worker->addr.proc, .end_unix_ms = done->end_unix_ms, .run_ns = done->run_ns,
        .printed = done->printed,
    };
    name_copy(row->name, done->name);
}

void finished_add(struct node *n, struct proc *from, const struct msg_task_done *msg)
{
    if (!n->history)
        n->history = calloc(1, sizeof *n->history);
    n->tasks_finished += msg->done_count;
    from->tasks_done += msg->done_count;
    for (uint32_t i = 0; i < msg->done_count; i++) {
        n->tasks_failed += msg->done[i].status != COVEY_OK && msg->done[i].status != COVEY_ECANCELLED;
        if (n->history)
            add(n, from, &msg->done[i]);
    }
    if (n->history)
        n->history->dropped += msg->dropped;
}

uint32_t finished_count(const struct node *n)
{
    if (!n->history)
        return 0;
    return n->history->added < NODE_HISTORY_MAX ? (uint32_t)n->history->added : NODE_HISTORY_MAX;
}

const struct finished *finished_newest(const struct node *n, uint32_t i)
{
    assert(i < finished_count(n));
    return row_at(n, n->history->added - 1 - i);
}

bool node_task_printed(const struct node *n, uint32_t owner_proc, uint64_t number, uint32_t *worker,
                       struct printed *out)
{
    uint32_t count = finished_count(n);
    for (uint32_t i = 0; i < count; i++) {
        const struct finished *f = finished_newest(n, i);
        if (f->owner.proc != owner_proc || rows_number(f->seq) != number)
            continue;
        *worker = f->worker;
        *out = f->printed;
        return true;
    }
    return false;
}

uint64_t finished_dropped(const struct node *n)
{
    return n->history ? n->history->dropped : 0;
}

void finished_free(struct node *n)
{
    for (uint32_t i = 0; n->history && i < CHUNKS; i++)
        free(n->history->chunks[i]);
    free(n->history);
    n->history = NULL;
}
