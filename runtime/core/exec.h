/* exec.h - the executor: what a worker does with the tasks that owners push.
 *
 *            TASK                exec_start           exec_finish
 *   (none) --------> QUEUED --------------> RUNNING ---------------> done: REPLY
 *                      |                      |
 *                      | REVOKE, blocked,     | CANCEL: the flag, then after the
 *                      | CANCEL, owner dead   | grace kill_self
 *                      v                      v
 *                 REVOKED / REPLY         (the process ends)
 *
 * Pure: events come as calls with @now, effects go out through exec_ops, which
 * only record them (no op calls back into the executor before it returns).
 *
 * Idempotent: a TASK that is queued or runs already joins it and brings its
 * lease and epoch along, so that the reply is current; one whose reply is not
 * acknowledged gets the reply again (replies are kept until REPLY_ACK, bounded
 * by EXEC_REPLIES_MAX and EXEC_REPLY_BYTES_MAX, oldest dropped: the link
 * delivers once, so this matters only after failures).
 *
 * A worker whose task waits (exec_block) returns all that is queued and takes
 * nothing more: each TASK that arrives is returned at once.  Blocks nest: the
 * task on top of the stack may be one that the worker runs for itself
 * (exec_nest), which waits in turn.  The leases of running tasks hear of it,
 * too, by a REVOKED that may be empty; the next REPLY is their further notice.
 *
 * A deadline that passes ends a queued task with COVEY_EDEADLINE and cancels a
 * running one with its own grace, or EXEC_DEADLINE_GRACE.
 *
 * Results and posts.  The driver hands encoded values; this core sends the
 * REPLY and remembers store results until the owner acknowledged them, so that
 * results for an owner that died, or that refused them (REPLY_ACK without
 * @committed), are freed (ops->drop_result).
 */
#ifndef COVEY_CORE_EXEC_H
#define COVEY_CORE_EXEC_H

#include "core/buf.h"
#include "core/list.h"
#include "core/msg.h"

#define EXEC_QUEUE_MAX 65536u   /* tasks; more are returned as revoked ... */
#define EXEC_QUEUE_BYTES_MAX (256u << 20) /* ... and so is what exceeds this, unless it is alone */
#define EXEC_REPLIES_MAX 4096u
#define EXEC_REPLY_BYTES_MAX (64u << 20)
#define EXEC_FUNCTIONS_MAX 65536u /* numbers of one owner; tasks beyond are COVEY_EUNKNOWN */
#define EXEC_DONE_BATCH 256u    /* history entries per TASK_DONE ... */
#define EXEC_DONE_EVERY (100 * MS_NS)   /* ... and at least this far apart */

enum exec_state { EXEC_QUEUED, EXEC_RUNNING, EXEC_DONE };

/* A task as the driver runs it.  Read-only for the driver except @user. */
struct exec_task {
    struct list in_queue;
    enum exec_state state;
    struct addr owner;
    uint64_t seq, lease, epoch, trace;
    uint32_t attempt, job;
    int32_t priority;
    struct exec_function *function;
    struct dep *deps;               /* owned copies; spans point into @bytes */
    uint32_t dep_count;
    struct span args;
    uint8_t *bytes;                 /* owned: args and inline values, 16-aligned start */
    int64_t queued_at, started_at, deadline; /* NEVER_NS: none */
    _Atomic bool cancelled;         /* user code polls it from its own thread */
    bool recursive;                 /* cancel what it submitted, too */
    bool orphan;                    /* its owner is dead */
    int64_t kill_at;                /* NEVER_NS: no grace runs */
    int64_t grace_ms;               /* after its deadline; 0: EXEC_DEADLINE_GRACE */
    uint32_t threads;               /* 0: no matter */
    uint64_t posted, post_read;     /* messages sent, and read by the submitter */
    uint64_t answered;              /* number of the last answer */
    struct buf *answer;             /* owned; the last answer's bytes; failed: no memory for it */
    void *user;                     /* the driver's */
};

/* Lives as long as its owner and every task of it.  @user is the driver's. */
struct exec_function { uint32_t fn_id; char *name, *signature; void *user; };

/* What user code made of it. */
struct exec_outcome {
    covey_status status;
    int32_t user_code;
    struct span why;
    uint32_t result_count;
    const struct result *results;
    uint32_t held_count;
    const struct held *held;
    struct printed printed;
};

struct exec_ops {
    void (*send)(void *io, struct addr to, const struct msg *msg);
    /* A running task is to stop: its flag is set already.  (Command tasks get
     * SIGTERM here; recursive ones cancel their children.) */
    void (*cancel)(void *io, struct exec_task *task);
    /* The grace is over: this process must end itself now. */
    void (*kill_self)(void *io, struct exec_task *task);
    /* The owner will never take this result: free it in the store. */
    void (*drop_result)(void *io, const struct place *place);
    /* A post was read, an answer, a cancel or RESUME came: whoever waits looks
     * again. */
    void (*wake)(void *io);
    int64_t (*unix_ms)(void *io);
    /* NULL, or: an answer came, in any order; @body is borrowed.  True: taken;
     * false: it is kept as the task's last answer. */
    bool (*answered)(void *io, struct exec_task *task, uint64_t number, struct span body);
};

struct exec;
covey_status exec_new(struct exec **out, struct addr self, struct addr node,
                      const struct exec_ops *ops, void *io);
void exec_free(struct exec **exec);

/* FUNCTION, TASK, REVOKE, CANCEL, POST_ACK, REPLY_ACK, RESUME.  True: handled;
 * false: not for the executor. */
bool exec_msg(struct exec *e, struct addr from, const struct msg *msg, int64_t now);
/* Process @who is dead: its queued tasks go, running ones are cancelled with
 * no grace beyond EXEC_ORPHAN_GRACE, its results are dropped. */
void exec_proc_dead(struct exec *e, struct addr who, int64_t now);
#define EXEC_ORPHAN_GRACE (1 * SECOND_NS)
#define EXEC_DEADLINE_GRACE (5 * SECOND_NS)

/* The next task to run, by priority and then arrival; NULL: none, or blocked. */
struct exec_task *exec_start(struct exec *e, int64_t now);
/* It has ended.  Sends REPLY and frees @task. */
void exec_finish(struct exec *e, struct exec_task *task, const struct exec_outcome *outcome, int64_t now);
/* Run a task of this process's own owner on the current stack: no lease, no
 * reply.  @task is the driver's, with answer NULL; it counts as running (CANCEL,
 * POST_ACK, deadline) until exec_unnest, which frees its answer. */
void exec_nest(struct exec *e, struct exec_task *task, int64_t now);
void exec_unnest(struct exec *e, struct exec_task *task, int64_t now);

/* The running task waits for something.  Returns everything queued, tells the
 * node.  Nested calls count; only the first tells. */
void exec_block(struct exec *e, int64_t now);
/* It goes on.  Then exec_resumed() must be true before user code runs. */
void exec_unblock(struct exec *e, int64_t now);
bool exec_resumed(const struct exec *e);

/* COVEY_EAGAIN: POST_WINDOW are unread.  COVEY_ETOOBIG.  COVEY_ECANCELLED: the task is to
 * end; its last words go out if there is room and its owner lives, and get no answer.
 * *@number is what an answer will carry. */
covey_status exec_post(struct exec *e, struct exec_task *task, struct span body,
                       bool wants_answer, uint64_t *number);

uint32_t exec_queued(const struct exec *e);
void exec_tick(struct exec *e, int64_t now);
int64_t exec_deadline(const struct exec *e);

#endif
