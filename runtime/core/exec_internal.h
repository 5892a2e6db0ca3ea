/* exec_internal.h - what exec.c and exec_record.c share; nobody else includes it.
 *
 * One allocation holds a task from its arrival until its reply is
 * acknowledged: the record, its dependencies, its bytes, and room for a small
 * reply.  So a short task costs one malloc and one entry in a map.
 *
 * A record is always in exactly one list (by task.in_queue): the bucket of its
 * priority while it is queued, `running`, or `replies` from the oldest on.
 *
 * Room for the numbers that a REVOKED lists is reserved when a task is queued,
 * so that giving tasks back, on which freedom from deadlock rests, never fails.
 */
#ifndef COVEY_CORE_EXEC_INTERNAL_H
#define COVEY_CORE_EXEC_INTERNAL_H

#include "core/exec.h"
#include "core/map.h"

#define EXEC_PRIORITY_MAX 100           /* as covey.h has it; beyond counts as this */
#define EXEC_BUCKETS (2 * EXEC_PRIORITY_MAX + 1)
#define EXEC_BUCKET_WORDS ((EXEC_BUCKETS + 63) / 64)
#define EXEC_REPLY_ROOM 160u            /* in a record: one result and a short value */

struct function {
    struct exec_function pub;
    uint32_t refs;                      /* its submitter's table, tasks, history */
};

/* Somebody who sent a FUNCTION. */
struct submitter {
    struct addr addr;
    struct function **functions;        /* owned; by number, with holes */
    uint32_t function_cap;
};

struct record {
    struct exec_task task;              /* first: the driver's pointer is ours */
    struct record *older, *newer;       /* other attempts of the same task */
    size_t bytes;                       /* of this allocation */
    uint8_t *room;                      /* EXEC_REPLY_ROOM bytes of it */
    bool late;                          /* cancelled by its deadline */
    struct buf answer;
    struct msg_reply reply;             /* DONE: what was sent; points into ... */
    void *reply_block;                  /* ... this (owned), or @room */
    size_t reply_bytes;
};

struct exec {
    struct addr self, node;
    const struct exec_ops *ops;
    void *io;

    struct map submitters;              /* key_addr -> struct submitter */
    struct submitter *last_submitter;   /* tasks come in runs; NULL: none */
    bool functions_lost;                /* a FUNCTION met no memory */
    struct map tasks;                   /* key_task -> newest struct record */

    struct list buckets[EXEC_BUCKETS];       /* highest priority first */
    uint64_t filled[EXEC_BUCKET_WORDS];      /* bit b: bucket b is not empty */
    uint32_t queued;
    size_t queued_bytes;
    uint64_t *returns;                  /* owned; room for @queued numbers */
    uint32_t returns_cap;

    struct list running, nested;        /* records; the driver's tasks */
    struct list replies;                /* oldest first; before them what has no copy */
    uint32_t reply_count, reply_uncopied;
    size_t reply_bytes;

    uint32_t blocks;
    bool resuming;                      /* UNBLOCKED is said, RESUME not yet heard */
    uint64_t level;                     /* version of what the node was told last */

    int64_t due;                        /* no deadline or grace ends before this */
    struct done done[EXEC_DONE_BATCH];
    struct function *done_function[EXEC_DONE_BATCH]; /* keeps done[i].name alive */
    uint32_t done_count;
    uint64_t done_dropped;
    int64_t done_next_at;
};

/* FUNCTION: the first one of a number counts, a copy changes nothing. */
void exec_function_add(struct exec *e, struct addr from, const struct msg_function *m);
/* NULL: never heard of. */
struct function *exec_function_find(struct exec *e, struct addr from, uint32_t fn_id);
void exec_function_unref(struct function *f);
/* Everything that @who announced; tasks and history keep what they refer to. */
void exec_functions_forget(struct exec *e, struct addr who);

/* A copy of @m, queued by nobody yet, in the map.  @older: the newest attempt
 * until now, or NULL.  NULL: out of memory. */
struct record *exec_record_new(struct exec *e, struct addr owner, const struct msg_task *m,
                               struct function *f, struct record *older, int64_t now);
/* Out of the map and out of memory; its list has let go of it before. */
void exec_record_free(struct exec *e, struct record *r);
/* Out of memory only. */
void exec_record_fini(struct record *r);
/* All attempts of a task: the newest, and on along r->older. */
struct record *exec_record_newest(struct exec *e, struct addr owner, uint64_t seq);
struct record *exec_record_attempt(struct record *newest, uint32_t attempt);
static inline struct record *exec_record_find(struct exec *e, struct addr owner, uint64_t seq,
                                              uint32_t attempt)
{
    return exec_record_attempt(exec_record_newest(e, owner, seq), attempt);
}
static inline struct record *record_of(struct list *item)
{
    return list_entry(item, struct record, task.in_queue);
}

bool exec_queue_has_room(const struct exec *e, const struct msg_task *m);
/* Memory to give back one task more than are queued. */
bool exec_queue_reserve(struct exec *e);
void exec_queue_push(struct exec *e, struct record *r);
void exec_queue_remove(struct exec *e, struct record *r);
/* The next to run; NULL: none. */
struct record *exec_queue_first(const struct exec *e);

/* Keep r->reply, copying what it points to, until exec_reply_remove(). */
void exec_reply_keep(struct exec *e, struct record *r);
void exec_reply_remove(struct exec *e, struct record *r);
/* The oldest, if there are too many or it could not be copied; else NULL. */
struct record *exec_reply_excess(const struct exec *e);

/* What ran here, for lists; a task that never started is in its owner's. */
void exec_history_add(struct exec *e, const struct record *r, covey_status status,
                      const struct exec_outcome *outcome, int64_t now);
/* Tell the node, if there is something and it is time. */
void exec_history_send(struct exec *e, int64_t now);

#endif
