/* process.h - a process of the cluster: owner, executor, store and links behind
 * one lock.  This is what a covey handle is, in clients and in workers.
 *
 * The thread rule
 *   lock      protects the cores, the store, the mesh and the sockets.  Any
 *             thread may take it, step a core and send; user code never runs
 *             under it.
 *   poller    at most one thread sleeps in poll(2) for the process, without
 *             the lock.  A thread that waits for a ref polls itself, so a
 *             blocking call costs no hop to another thread; further waiting
 *             threads sleep on a condition until it hands them the role or
 *             their ref settles.
 *   helper    a thread that takes the poller's role when nobody has looked at
 *             the sockets for PROCESS_ABSENT, and only while there is work.  It
 *             gives the role up as soon as somebody wants it.
 * Whoever touched the sockets asks port_pending() before anybody may sleep:
 * ZMQ_FD tells each thing once (port.h).  A thread that is not the poller and
 * has changed a deadline or settled something wakes the poller.
 *
 * Callbacks (then, messages) are queued under the lock and run by the thread
 * that waits or dispatches, never by the helper.
 */
#ifndef COVEY_CLIENT_PROCESS_H
#define COVEY_CLIENT_PROCESS_H

#include <pthread.h>
#include <sys/types.h>

#include "core/exec.h"
#include "core/map.h"
#include "core/mesh.h"
#include "core/owner.h"
#include "io/page.h"
#include "io/port.h"
#include "store/store.h"
#include "wire/value.h"

#define PROCESS_ABSENT (1 * MS_NS)      /* user code for so long: the helper looks */
#define PROCESS_WATCH (4 * MS_NS)       /* the helper's pace while somebody polls */
#define PROCESS_QUIET (50 * MS_NS)      /* without work: the helper sleeps for good */
#define PROCESS_BURST 64                /* frames a turn */
#define PROCESS_FLUSH (100 * 1000)      /* ns that a finished reply may wait for company */
#define COVEY_LOST_MESSAGE_EXIT 70      /* of a worker that cannot say what it must */

struct task_def;                        /* client/registry.h */

enum callback_kind { CALLBACK_THEN, CALLBACK_MESSAGE };
struct callback {
    struct callback *next;
    enum callback_kind kind;
    covey_ref ref;
    covey_then_fn then;
    covey_message_fn on_message;
    void *arg;
    struct post *post;                  /* owned */
};

/* One message of a running task, as it waits to be read. */
struct post {
    struct post *next;
    uint64_t number;
    bool wants_answer;
    uint32_t size;
    _Alignas(16) uint8_t data[];
};

/* What a ref has beyond the core's object: callbacks and unread messages. */
struct extra {
    covey_ref ref;
    struct callback *thens;             /* owned */
    covey_message_fn on_message;
    void *arg;
    struct post *first, **last;         /* owned, unread */
    struct post *shown;                 /* owned; the last next_message() */
    void *creating;                     /* covey_create: not sealed yet */
    struct place place;
};

struct covey {
    pid_t pid;                          /* other processes must not use it */
    pthread_mutex_t lock;
    struct addr self, node;
    bool is_worker, quiet, closing, broken;
    covey_status broken_why;
    /* the parts */
    struct owner *owner;
    struct exec *exec;                  /* worker only */
    struct mesh *mesh;
    struct port *port;
    struct store *store;
    int door_fd, wake_fd, public_fd, callback_fd;   /* public_fd: epoll, made when asked for */
    uint32_t node_cpus, node_gpus;
    /* who polls */
    bool polling;                       /* somebody sleeps in poll(2) ... */
    bool helper_polls;                  /* ... and it is the helper */
    bool woken;                         /* wake_fd is set */
    int64_t polling_until;
    uint64_t polling_settled;           /* settled objects when the poll began */
    uint32_t want_poll;                 /* threads that wait for the role */
    pthread_cond_t turn_cond;           /* the role is free, or something settled */
    int64_t now;                        /* of the current step */
    int64_t user_at;                    /* when a thread of the program was last here */
    int64_t worked_at;                  /* when there was last work */
    pthread_t helper;
    bool helper_runs, helper_sleeps;
    pthread_cond_t helper_cond;
    /* for people's programs */
    struct map extras;                  /* covey_ref -> extra */
    struct callback *callbacks, **callbacks_last;
    uint32_t callback_count;
    /* submit */
    struct hash128 package;
    bool package_told;
    struct buf args;                    /* room for encoding */
    struct owner_dep *deps;
    uint32_t dep_cap;
    uint32_t calls;                     /* submits since the sockets were looked at */
    struct covey_ctx *run;              /* the task on top of the main thread (worker/run.h) */
    bool cancels_due;                   /* run_cancel_children() */
    struct covey_ctx *spare_run;
    pthread_t main_thread;
    uint64_t runs, traces;              /* counters */
    struct page_user page;              /* worker only: what it shares with the node */
    /* a private cluster */
    pid_t cluster_pid;
    int cluster_fd;
    char dir[512];
    struct scratch scratch;
    int64_t log_budget, log_at;         /* what tasks print: bytes that may be shown */
    uint64_t log_dropped;
};

/* Enter the cluster in @dir.  @hello says as what; @node is a worker's node, so
 * that it binds its socket before anybody hears of it.  Sets covey_error(). */
covey_status process_open(covey **out, const char *dir, const struct msg_door_hello *hello, uint32_t node);
/* Everything back; the handle is gone. */
void process_close(covey *c);

/* All of the following with the lock held. */

/* Receive what is there and run timers.  Does not block, does not flush. */
void process_turn(covey *c, int64_t now);
/* Everything leaves now. */
void process_flush(covey *c, int64_t now);
/* After a call that stepped a core: send what should leave at once; wake the
 * poller if it must look again. */
void process_after(covey *c, int64_t now);
/* Is it done?  True only when the callbacks queued before have run, too; so it
 * may be asked twice. */
bool process_done(covey *c, bool (*done)(covey *c, void *ctx), void *ctx, bool callbacks);
/* Wait until @done(@ctx) or @deadline, polling or waiting for the poller.  Lets
 * the lock go meanwhile; runs callbacks if @callbacks.  COVEY_ETIMEOUT,
 * COVEY_ECLOSED when the node is gone. */
covey_status process_wait(covey *c, bool (*done)(covey *c, void *ctx), void *ctx, int64_t deadline, bool callbacks);
/* Run the queued callbacks; lets the lock go around each.  Returns how many. */
int process_callbacks(covey *c);
void process_send(covey *c, struct addr to, const struct msg *msg);
void process_wake(covey *c);
void process_settled(covey *c, covey_ref ref);  /* queue what then() asked for */

/* Why the handle is of no use any more, in words; "" if it is.  Static. */
const char *process_broken_why(const covey *c);
/* Does the node still hold the door open?  If not, the process is broken from now on. */
void process_check_door(covey *c);

/* This is a fork of the process that opened the handle. */
bool process_forked(const covey *c);

/* The handle checks that every public call begins with: NULL, another process,
 * closed.  On COVEY_OK the lock is held. */
covey_status process_enter(covey *c);
static inline void process_leave(covey *c) { pthread_mutex_unlock(&c->lock); }

/* The text that covey_error() gives. */
void error_set(const char *format, ...) COVEY_PRINTF(1, 2);
void error_clear(void);

int64_t deadline_of(int64_t timeout_ms, int64_t now);
struct extra *extra_of(covey *c, covey_ref ref, bool make);
void extra_drop(covey *c, covey_ref ref);

/* worker/run.c, for the client's waiting: the main thread's task begins and
 * ends to wait; a task of our own that can run here does. */
bool run_is_mine(const covey *c);
void run_block(covey *c);
covey_status run_unblock(covey *c);
/* COVEY_EDEPTH: too many levels on this stack.  COVEY_OK: it ran, or cannot now. */
covey_status run_local(covey *c, covey_ref ref);
/* What recursive cancels of running tasks still have to reach. */
void run_cancel_children(covey *c);
/* worker/run.c: the executor of a worker. */
covey_status run_make_exec(covey *c);

#endif
