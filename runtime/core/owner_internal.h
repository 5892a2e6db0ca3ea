/* owner_internal.h - what the files of the owner share.  Nobody else includes it.
 *
 *   owner.c         assembly: events in, timers, the loop that settles
 *   owner_object.c  slots, values, holds, failures
 *   owner_task.c    the task's state machine, submit, retry, cancel, commit
 *   owner_rebuild.c  lost objects made again
 *   owner_lease.c   classes, wants, pushing, taking back, death of a worker
 *   owner_borrow.c  refs that cross processes
 *
 * Nothing here recurses over a graph: what settles and what dies goes to two
 * work lists, and owner_run() empties them at the end of every event.
 */
#ifndef COVEY_CORE_OWNER_INTERNAL_H
#define COVEY_CORE_OWNER_INTERNAL_H

#include "core/buf.h"
#include "core/list.h"
#include "core/map.h"
#include "core/owner.h"

#define SLOT_BITS OWNER_SLOT_BITS
#define SLOT_NONE UINT32_MAX
#define CHUNK_OBJECTS 1024u
#define INLINE_SMALL 24u            /* value bytes kept in the object itself */
#define TASK_RECORD_BYTES 256u      /* of an encoded TASK but its arguments, at most */
#define DEP_RECORD_BYTES 96u        /* of an encoded dep but its value, at most */
#define FAILURE_CHAIN_MAX 6u        /* links of a cause that are told one by one */

/* Why something failed; shared by all that failed for the same reason. */
struct failure {
    uint32_t refs;
    uint32_t depth;                 /* links of its chain */
    covey_status status;
    int32_t user_code;
    char why[];
};

struct watcher { struct watcher *next; struct addr who; };
/* @version: the highest of its borrows that was heard of; perhaps it was dropped. */
struct borrower { struct borrower *next; struct addr who; uint64_t version; bool dropped; };

/* One ref argument of a task. */
struct dep_ref {
    struct task *task;
    struct dep_ref *next;           /* in object.dependents, while it waits */
    uint32_t slot;
    bool handle;
    bool waiting;
};

struct object {
    uint32_t generation, slot;
    bool live, in_store, value_on_heap, borrowed, watched, requested, owner_dead, dying, settling;
    uint8_t state;                  /* enum object_state */
    uint8_t rebuilds;
    uint32_t local;                 /* holds of the program */
    uint32_t uses;                  /* holds of tasks, of the group, of passing on */
    uint32_t passing;               /* borrowed: of these, passed on and not acknowledged */
    struct oid id;
    struct task *task;              /* its producer, in flight or as lineage */
    struct dep_ref *dependents;
    struct watcher *watchers;       /* processes that wait for it */
    struct borrower *borrowers;
    struct failure *failure;        /* a share */
    uint64_t version;               /* borrowed: as registered with its owner; 0: covered by a task */
    uint32_t value_len;
    uint32_t next;                  /* free list */
    struct object *next_work;       /* settle or dying list */
    union {
        struct place place;
        struct { uint8_t *room; uint32_t pad; } heap;   /* owned; value_on_heap */
        uint8_t small[INLINE_SMALL];
    } v;
};

enum task_state { TASK_WAITING, TASK_QUEUED, TASK_PUSHED, TASK_REVOKING, TASK_PAUSED, TASK_LOCAL,
                  TASK_DONE, TASK_STATES };

struct task {
    struct list in_queue;           /* a class's bucket or a lease's pushed */
    struct list in_all;
    /* fixed at submit */
    uint64_t seq, trace, parent;
    struct class *class;
    const char *name;
    struct span args;
    struct dep_ref *deps;
    uint32_t *results;              /* slots */
    uint32_t fn_id, dep_count, result_count, retry_on, job, bytes;
    int32_t priority;
    int64_t backoff_ms, deadline, submitted_at;
    int64_t grace_ms;               /* 0: not stated */
    /* in progress */
    enum task_state state;
    uint32_t attempt;               /* 0 before the first push */
    uint32_t attempts_max;
    uint32_t waiting;               /* deps that are not there yet */
    uint32_t results_live;          /* objects that point here */
    struct lease *lease;
    covey_status cancel;            /* OK: nobody wants it to end */
    bool settled;                   /* its refs are settled, it is still on a lease */
    bool deps_held;
    bool sisters_gone;              /* result 0 has let them go */
    int64_t retry_at, kill_at;
    uint64_t post_seen;                 /* of this attempt */
    uint64_t post_base;                 /* of those before it: no number means two messages */
};

struct bucket { struct bucket *next; int32_t priority; struct list tasks; };

struct class {
    uint32_t id;
    struct hash128 package;
    struct resources need;
    struct bucket *buckets;         /* highest priority first */
    uint32_t queued;
    struct list leases;
    uint32_t lease_count;
    uint32_t want_sent;
    uint64_t want_version;
    bool told, capped, dirty;
    int64_t run_ns;                 /* smoothed run time; 0: unknown */
};

struct lease {
    struct list in_class;
    struct class *class;
    uint64_t id, epoch;
    struct addr worker;
    struct list pushed;             /* tasks, in order of pushing */
    uint32_t in_flight, bytes;
    bool recalled, blocked, full, revoking;
    int64_t idle_since, progress_at;
    int64_t dead_at;                /* NEVER_NS: alive */
    uint64_t dead_running;          /* the task that ran then; 0: not known */
    char *dead_why;                 /* owned */
    uint8_t known[OWNER_FUNCTIONS_MAX / 8 / 8]; /* functions told, first 512; others are told each time */
};

enum timer_kind { TIMER_RETRY, TIMER_DEADLINE, TIMER_KILL };
struct timer { int64_t at; uint64_t seq; enum timer_kind kind; };

struct function { char *name, *signature; };

struct owner {
    struct addr self, node;
    uint32_t (*payload)(struct span value);
    const struct owner_ops *ops;
    void *io;
    /* objects */
    struct object **chunks;
    uint32_t chunk_count, free_slot;
    uint64_t serial;
    struct map borrowed;            /* key_oid -> object */
    struct object *settling, **settling_tail, *dying;
    uint64_t settled_count;
    /* tasks */
    struct list tasks;
    struct class *classes[OWNER_CLASSES_MAX];
    uint32_t class_count;
    struct function functions[OWNER_FUNCTIONS_MAX];
    uint32_t function_count;
    struct timer *timers;           /* a heap */
    uint32_t timer_count, timer_cap;
    int64_t lease_at;               /* when a lease wants attention */
    struct map leases;              /* lease id -> lease */
    uint64_t borrow_version;
    uint64_t lineage_bytes;
    uint32_t capped;                /* classes that no process may be started for */
    bool leaving, any_dirty;
    struct dep *dep_room;           /* for pushing */
    uint32_t dep_room_cap;
    struct owner_stats stats;
};

/* owner.c */
void owner_run(struct owner *o, int64_t now);
bool owner_timer(struct owner *o, int64_t at, uint64_t seq, enum timer_kind kind);
static inline void owner_lease_by(struct owner *o, int64_t at)
{
    if (at < o->lease_at)
        o->lease_at = at;
}

/* owner_object.c */
struct object *object_new(struct owner *o);
struct object *object_at(const struct owner *o, uint32_t slot);
struct object *object_of_ref(const struct owner *o, covey_ref ref);
struct object *object_of_id(const struct owner *o, struct oid id);
covey_ref object_ref(const struct object *obj);
bool object_set_value(struct owner *o, struct object *obj, struct span value);
void object_set_place(struct object *obj, const struct place *place);
void object_set_failure(struct object *obj, struct failure *failure);   /* takes a share */
void object_drop_value(struct owner *o, struct object *obj);
struct span object_value(const struct object *obj);
void object_settle(struct owner *o, struct object *obj);
void object_unuse(struct owner *o, struct object *obj);
void object_check_dead(struct owner *o, struct object *obj);
void object_end(struct owner *o, struct object *obj);
/* It is ready, and these are its bytes. */
bool object_is_at(const struct object *obj, const struct place *place);
/* Nobody takes @reply's results: their bytes are freed, except those that an
 * object already has.  True if there is such a one: @reply is a copy. */
bool results_free(struct owner *o, const struct msg_reply *reply);
void object_fill(const struct object *obj, struct msg_object_ready *out);
struct failure *failure_new(covey_status status, int32_t user_code, uint32_t depth, const char *format, ...)
    COVEY_PRINTF(4, 5);
struct failure *failure_share(struct failure *f);
void failure_drop(struct failure *f);
extern struct failure failure_no_memory;

/* owner_task.c */
struct object *task_result(const struct owner *o, const struct task *t, uint32_t i);
struct task *task_of_seq(const struct owner *o, uint64_t seq);
void task_move(struct task *t, enum task_state to);
void task_dep_settled(struct owner *o, struct dep_ref *dep, struct object *obj, int64_t now);
void task_fail(struct owner *o, struct task *t, struct failure *failure, int64_t now); /* takes a share */
void task_attempt_failed(struct owner *o, struct task *t, uint32_t cause, struct failure *failure, int64_t now);
/* A new attempt numbers its messages from 1. */
static inline void task_posts_begin(struct task *t)
{
    t->post_base += t->post_seen;
    t->post_seen = 0;
}
void task_requeue(struct owner *o, struct task *t, bool front, int64_t now);
void task_timer(struct owner *o, struct task *t, enum timer_kind kind, int64_t at, int64_t now);
/* What is left of a task after a cancel: @grace_ms, else its own (0). */
int64_t task_grace(const struct task *t, int64_t grace_ms);
void task_cancel(struct owner *o, struct task *t, covey_status status, int64_t grace_ms, bool recursive, int64_t now);
void task_returned(struct owner *o, struct task *t, int64_t now);
void task_release_deps(struct owner *o, struct task *t);
void task_free(struct owner *o, struct task *t);
covey_status task_deps_fill(struct owner *o, struct task *t, struct msg_task *out);
void task_fill(const struct owner *o, const struct task *t, struct msg_task *out, int64_t now);
void task_reply(struct owner *o, struct addr from, const struct msg_reply *reply, int64_t now);
void task_finish(struct owner *o, struct task *t, struct addr from, const struct msg_reply *reply, int64_t now);
void task_dep_attach(struct dep_ref *dep, struct object *obj);
struct failure *task_dep_failure(const struct owner *o, const struct task *t, uint32_t index, struct failure *cause);
void task_take_out(struct owner *o, struct task *t, int64_t now);
struct task *task_startable(const struct owner *o, struct task *t);
const char *task_state_name(enum task_state state);

/* owner_rebuild.c */
/* A queued task's arguments are all there.  False: some were lost since, and it
 * waits for them, or has failed. */
bool task_deps_ready(struct owner *o, struct task *t, int64_t now);
/* True if @t waits for its lost argument now, or has failed for it. */
bool task_wait_for_lost(struct owner *o, struct task *t, uint32_t index, int64_t now);

/* owner_lease.c */
void class_enqueue(struct owner *o, struct task *t, bool front);
void class_remove(struct owner *o, struct task *t);              /* from its bucket */
void class_pump(struct owner *o, struct class *c, int64_t now);
void class_dirty(struct owner *o, struct class *c);
void lease_take_off(struct owner *o, struct task *t, int64_t now);   /* a pushed task leaves its lease */
void lease_measure(struct class *c, int64_t run_ns);
bool lease_msg(struct owner *o, struct addr from, const struct msg *msg, int64_t now);
void lease_died(struct owner *o, struct lease *l, int64_t now);
void lease_tick(struct owner *o, int64_t now);
void lease_leave(struct owner *o);
void lease_yield(struct owner *o);
void class_free(struct class *c);

/* owner_borrow.c */
bool borrow_msg(struct owner *o, struct addr from, const struct msg *msg, int64_t now);
void borrow_held(struct owner *o, struct addr borrower, const struct held *held, uint32_t count, int64_t now);
void borrow_settled(struct owner *o, struct object *obj);
void borrow_dropped(struct owner *o, struct object *obj);
void borrow_proc_dead(struct owner *o, struct addr who, int64_t now);
bool borrow_active(const struct object *obj);
void borrow_free_lists(struct object *obj);

#endif
