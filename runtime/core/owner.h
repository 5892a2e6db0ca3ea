/* owner.h - the owner's core machine: refs, tasks, leases, borrowed refs.
 *
 * Whoever creates a ref owns it; client and worker processes each have one
 * owner.  Pure: events come as calls with @now, effects go out through
 * owner_ops, which only record them.
 *
 * A task's life (the table in owner_task.c is the truth):
 *
 *   submit            deps ready         push                REPLY
 *   ------> WAITING ------------> QUEUED -----> PUSHED ----------------> DONE
 *              |                   ^  |           |  ^ |
 *              |        back-off   |  |    REVOKE v  | started
 *              |        is over    |  |        REVOKING
 *              |           PAUSED -+--+- REVOKED ----+
 *              |             ^        |           |
 *              |             |        | local     | worker died, or failed and
 *              |             |        v           | retries are left
 *              |             |      LOCAL         |
 *              |             +--------------------+
 *              +--> DONE: failed argument, cancelled, deadline
 *
 * A task that finds an argument lost goes back to WAITING until it is rebuilt.
 *
 * Exactly one transition to DONE settles the refs.  A REPLY commits only if
 * task, attempt, lease, epoch and worker are current; any other is refused and
 * its store results are freed.
 *
 * An object (what a ref names) lives while the program holds the ref, a task
 * in flight uses it, or another process borrows it; then its value is dropped
 * and its bytes in the store are freed.
 *
 * Identity.  seq = serial << OWNER_SLOT_BITS | slot: unique for ever, and the slot is found
 * without a table.
 *
 * Leases.  Per scheduling class the owner states a level of wanted leases,
 * pushes to granted ones within a window that follows the measured run time
 * (several short tasks in flight, never two long ones), takes back unstarted
 * tasks when a lease idles beside a loaded one, and gives idle leases back
 * after OWNER_LINGER or when they are recalled.
 */
#ifndef COVEY_CORE_OWNER_H
#define COVEY_CORE_OWNER_H

#include "core/msg.h"

#define OWNER_SLOT_BITS 28                  /* of a seq */
#define OWNER_REFS_MAX (1u << 24)           /* live refs of one process */
#define OWNER_WINDOW_MAX 512u               /* tasks in flight on one lease */
#define OWNER_WINDOW_NS (1 * MS_NS)         /* this much work in flight, by measured run time */
#define OWNER_WINDOW_BYTES (1u * 1024 * 1024)   /* arguments in flight, beyond one task */
#define OWNER_LINGER (200 * MS_NS)          /* an idle lease is kept this long */
#define OWNER_REBALANCE (1 * MS_NS)         /* no progress for so long: take back */
#define OWNER_STALLED (10 * MS_NS)          /* no progress for so long: a long task; none waits behind it */
#define OWNER_DEATH_GRACE (5 * MS_NS)       /* replies on their way are taken first */
#define OWNER_GRACE_DEFAULT_MS 5000
#define OWNER_LEAVE_GRACE_MS 1500   /* at most, of tasks that state one; the others have none */
#define OWNER_KILL_MARGIN (2 * SECOND_NS)   /* past the grace, the node is asked to kill */
#define OWNER_RETRIES_DEFAULT 3
#define OWNER_BACKOFF_DEFAULT_MS 20
#define OWNER_BACKOFF_MAX_MS 60000
#define OWNER_LINEAGE_BYTES_MAX (256u * 1024 * 1024)
#define OWNER_REBUILDS_MAX 3u               /* of one lost object */

struct owner;

enum object_state { OBJECT_PENDING, OBJECT_READY, OBJECT_FAILED };

/* What a ref shows.  Spans are valid until the object is freed. */
struct object_view {
    enum object_state state;
    struct oid id;
    bool in_store;
    struct span value;          /* encoded; READY and not in_store */
    struct place place;         /* READY and in_store */
    covey_status status;        /* FAILED */
    int32_t user_code;
    const char *why;            /* FAILED: the whole story */
    bool local_runnable;        /* PENDING: owner_local_begin() would take it */
};

/* One ref among the arguments. */
struct owner_dep {
    covey_ref ref;
    bool handle;                /* the ref itself: no edge */
};

struct task_spec {
    uint32_t class_id;          /* owner_class() */
    uint32_t fn_id;             /* owner_function() */
    const char *name;           /* for people; copied */
    struct span args;           /* encoded values; copied */
    const struct owner_dep *deps;
    uint32_t dep_count;
    uint32_t result_count;      /* at least 1 */
    int retries;                /* how many more attempts */
    uint32_t retry_on;
    int64_t backoff_ms;
    int64_t deadline_ms;        /* from now; 0: none */
    int64_t grace_ms;           /* from a cancel to the kill; 0: OWNER_GRACE_DEFAULT_MS */
    int32_t priority;
    uint32_t job;
    uint64_t trace;
    uint64_t parent;            /* seq of the task that submits it; 0: none */
};

struct owner_ops {
    /* To itself only CANCEL and POST_ACK, for a task on this process's own stack:
     * the driver hands them to its executor. */
    void (*send)(void *io, struct addr to, const struct msg *msg);
    /* Bytes in the store are no longer needed (owned objects only). */
    void (*free_place)(void *io, const struct place *place);
    /* A message of a running task, in order, once each. */
    void (*post)(void *io, covey_ref ref, const struct msg_post *post);
    /* The object was watched (owner_watch) and has settled. */
    void (*settled)(void *io, covey_ref ref);
};

struct owner_config {
    struct addr self, node;
    /* Where in an encoded value the bytes begin that users get a pointer to; 0:
     * it has none (a number).  They are kept 16-aligned, with a NUL behind. */
    uint32_t (*payload)(struct span value);
};

covey_status owner_new(struct owner **out, const struct owner_config *config,
                       const struct owner_ops *ops, void *io);
void owner_free(struct owner **owner);

/* Numbers for what tasks share; the same again gives the same number.  A class
 * tells the node, a function each worker, before their first use.
 * COVEY_ELIMIT: too many. */
#define OWNER_CLASSES_MAX 1024u
#define OWNER_FUNCTIONS_MAX 4096u
covey_status owner_class(struct owner *o, struct hash128 package, const struct resources *need, uint32_t *class_id);
covey_status owner_function(struct owner *o, const char *name, const char *signature, uint32_t *fn_id);

/* Always gives a ref, unless there are no slots or no memory: a zero ref. */
covey_ref owner_submit(struct owner *o, const struct task_spec *spec, int64_t now);
/* A ref that has failed already (bad arguments and the like). */
covey_ref owner_failed(struct owner *o, covey_status status, const char *why);
/* Values that the program made itself. */
covey_ref owner_put_inline(struct owner *o, struct span value);
covey_ref owner_create(struct owner *o, struct oid *id);       /* pending until sealed */
void owner_sealed(struct owner *o, covey_ref ref, const struct place *place, int64_t now);
void owner_create_failed(struct owner *o, covey_ref ref, covey_status status, const char *why, int64_t now);
/* Result @index of the task whose result 0 (or any) @ref is; one more hold. */
covey_ref owner_result(struct owner *o, covey_ref ref, uint32_t index);

/* COVEY_ESTALE for all of these when the ref is not live. */
covey_status owner_view(struct owner *o, covey_ref ref, struct object_view *out);
covey_status owner_release(struct owner *o, covey_ref ref, int64_t now);
/* @grace_ms 0: the task's own. */
covey_status owner_cancel(struct owner *o, covey_ref ref, int64_t grace_ms, bool recursive, int64_t now);
/* Asks the owner of a borrowed ref for its value, once. */
covey_status owner_request(struct owner *o, covey_ref ref, int64_t now);
covey_status owner_watch(struct owner *o, covey_ref ref);
/* The store says that the bytes are not there: build the object again from its
 * lineage, or fail it with COVEY_ELOST. */
covey_status owner_lost(struct owner *o, covey_ref ref, int64_t now);
/* All tasks that @parent submitted (recursive cancel), each with its own grace. */
void owner_cancel_children(struct owner *o, uint64_t parent, int64_t now);
/* How many objects have settled since the start. */
uint64_t owner_settled_count(const struct owner *o);

covey_status owner_post_read(struct owner *o, covey_ref ref, uint64_t number, int64_t now);
covey_status owner_post_answer(struct owner *o, covey_ref ref, uint64_t number, struct span body, int64_t now);
/* The task behind @ref has ended, no post will come. */
bool owner_posts_ended(struct owner *o, covey_ref ref);

/* Run a queued task of one's own on the current stack: for a process that
 * waits for it and was told that there are no workers (COVEY_ELIMIT).  Fills a
 * task as an executor would get it; spans are valid until owner_local_end(). */
bool owner_local_begin(struct owner *o, covey_ref ref, struct msg_task *out, const char **function, int64_t now);
/* A message of a task that runs on this process's own stack; the n-th is number n.
 * What acknowledges or answers it goes to this process itself. */
void owner_local_post(struct owner *o, uint64_t seq, struct span body, bool wants_answer);
/* The ref that its messages come with; zero: nobody holds it, nobody reads them. */
covey_ref owner_local_reader(struct owner *o, uint64_t seq);
void owner_local_end(struct owner *o, uint64_t seq, const struct msg_reply *reply, int64_t now);

/* Borrowed refs, for the executor's side of a process: a handle among a task's
 * arguments.  Several borrows of one object share a slot. */
covey_ref owner_borrow(struct owner *o, const struct dep *dep);
/* At the end of a task: drop @ref's hold; when the object is still held
 * otherwise, true and @out is what the reply must list. */
bool owner_borrow_end(struct owner *o, covey_ref ref, bool keep, struct held *out, int64_t now);

/* Every message that is for an owner; true if it was one. */
bool owner_msg(struct owner *o, struct addr from, const struct msg *msg, int64_t now);
void owner_link_full(struct owner *o, struct addr peer, bool is_full, int64_t now);
/* PROC_DEAD: what is held of @who's objects is listed for the CENSUS. */
void owner_proc_dead(struct owner *o, struct addr who, int64_t now);
/* Idle leases go back at once: this process waits for a CPU itself. */
void owner_yield(struct owner *o, int64_t now);
/* Everything is over: cancel all tasks, give all leases back. */
void owner_leave(struct owner *o, int64_t now);
void owner_tick(struct owner *o, int64_t now);
int64_t owner_deadline(const struct owner *o);
/* Work is on its way: somebody must drive this process. */
bool owner_busy(const struct owner *o);

/* Live tasks for lists: calls @fn with each, newest first, at most @limit. */
struct task_row { uint64_t seq; const char *name, *state; uint32_t attempt; struct addr worker; int64_t age_ms; };
void owner_each_task(struct owner *o, uint32_t limit, int64_t now,
                     void (*fn)(void *ctx, const struct task_row *row), void *ctx);
struct owner_stats { uint64_t submitted, done, failed, retried, refused, revoked;
                     uint32_t objects, tasks, leases; };
struct owner_stats owner_stats(const struct owner *o);
/* Every invariant; asserts. */
void owner_check(const struct owner *o);

#endif
