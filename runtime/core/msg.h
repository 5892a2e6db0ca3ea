/* msg.h - every message that processes exchange, as plain C.
 *
 * wire/ turns these into msgpack and back: an array of the kind's number and
 * then the fields in the order in which the struct has them.  A span that was
 * decoded aliases the input; arrays live in the decoder's scratch memory; both
 * are borrowed until the handler returns.
 *
 *   client, worker = "process";  owner, executor = parts of a process
 *
 *   process --DOOR_HELLO-->  node      process <--DOOR_WELCOME, DOOR_REFUSE-- node
 *   owner   --PACKAGE, CLASS, LEASE_WANT, LEASE_RETURN, WORKER_KILL--> node
 *   owner   <--LEASE_GRANT, LEASE_STALL, LEASE_RECALL, WORKER_DIED-- node
 *   owner   --FUNCTION, TASK, REVOKE, CANCEL, POST_ACK, REPLY_ACK--> executor
 *   owner   <--REPLY, REVOKED, POST-- executor
 *   executor --BLOCKED, UNBLOCKED, TASK_DONE--> node;  <--RESUME--
 *   process --EXTENT_WANT, EXTENT_CLOSE, OBJECT_FREE--> node
 *   process <--EXTENT_GRANT, EXTENT_REFUSED-- node
 *   owner   <--OBJECT_WAIT, BORROW_ADD, BORROW_DROP, OBJECT_CANCEL-- borrower
 *   owner   --OBJECT_READY, BORROW_ADDED--> borrower
 *   process <--PROC_DEAD-- node;  process --CENSUS--> node
 *   owner   <--KEEP_ASK-- node;   owner --KEEP_ANSWER--> node
 *   node    --LOG--> owner
 *   anyone  --QUERY--> anyone;    anyone <--ROWS-- anyone
 *   node    --NODE_JOIN, NODE_STATE, PACKAGE, KV_PUT, KV_GET--> head
 *   node    <--NODE_JOINED, VIEW, KV_VALUE-- head
 *   cluster <--SHUTDOWN-- command line
 *
 * Every request is idempotent: it names state ("I want 3") and not a change
 * ("one more"), or carries an id under which a second copy is recognised.
 */
#ifndef COVEY_CORE_MSG_H
#define COVEY_CORE_MSG_H

#include "core/types.h"

#define WIRE_VERSION 1

/* name, number.  Numbers are for ever. */
#define MSG_LIST(X)                                                           \
    X(DOOR_HELLO, 1) X(DOOR_WELCOME, 2) X(DOOR_REFUSE, 3)                     \
    X(PACKAGE, 10) X(CLASS, 11) X(LEASE_WANT, 12) X(LEASE_GRANT, 13)          \
    X(LEASE_STALL, 14) X(LEASE_RECALL, 15) X(LEASE_RETURN, 16)                \
    X(WORKER_DIED, 17) X(WORKER_KILL, 18)                                     \
    X(FUNCTION, 20) X(TASK, 21) X(REPLY, 22) X(REPLY_ACK, 23) X(REVOKE, 24)   \
    X(REVOKED, 25) X(CANCEL, 26) X(POST, 27) X(POST_ACK, 28)                  \
    X(BLOCKED, 30) X(UNBLOCKED, 31) X(RESUME, 32) X(TASK_DONE, 33)            \
    X(EXTENT_WANT, 40) X(EXTENT_GRANT, 41) X(EXTENT_REFUSED, 42)              \
    X(EXTENT_CLOSE, 43) X(OBJECT_FREE, 44)                                    \
    X(OBJECT_WAIT, 50) X(OBJECT_READY, 51) X(BORROW_ADD, 52)                  \
    X(BORROW_ADDED, 53) X(BORROW_DROP, 54) X(OBJECT_CANCEL, 55)               \
    X(PROC_DEAD, 60) X(CENSUS, 61) X(KEEP_ASK, 62) X(KEEP_ANSWER, 63)         \
    X(LOG, 70) X(QUERY, 71) X(ROWS, 72) X(SHUTDOWN, 73)                       \
    X(NODE_JOIN, 80) X(NODE_JOINED, 81) X(NODE_STATE, 82) X(VIEW, 83)         \
    X(KV_PUT, 84) X(KV_GET, 85) X(KV_VALUE, 86)

enum msg_kind {
#define MSG_ENUM_(name, number) MSG_##name = number,
    MSG_LIST(MSG_ENUM_)
#undef MSG_ENUM_
};

enum role { ROLE_CLIENT, ROLE_WORKER, ROLE_ZYGOTE, ROLE_TOOL, ROLE_NODE, ROLE_HEAD, ROLE_COUNT };

/* ---- the door (unix seqpacket, one record a packet) ------------------------ */

struct msg_door_hello {
    uint32_t version;           /* WIRE_VERSION, checked before anything else */
    uint32_t role;              /* enum role */
    uint32_t proc;              /* a started worker's number; 0: give me one */
    uint64_t token;             /* what the node gave the process it started; 0 */
    struct span name;           /* program, for lists */
};

struct msg_door_welcome {       /* with the arena's descriptors: read-only, writable */
    uint32_t version;
    struct addr self, node;
    uint64_t arena_bytes, block_bytes;
    uint32_t cpus, gpus;        /* of the node */
    uint64_t head_epoch;
    struct span cluster;        /* its name */
    struct span dir;            /* where the ipc sockets are */
};

struct msg_door_refuse {
    uint32_t version;
    uint32_t status;            /* covey_status */
    struct span why;
};

/* ---- owner and node ---------------------------------------------------------- */

/* A program as it was started, so that a node can start it as a worker.
 * @hash identifies all of it (file, directory, environment): the same file run
 * from elsewhere is another package.  Idempotent by @hash. */
struct msg_package {
    struct hash128 hash;
    struct hash128 file;        /* of the content alone, for copies */
    struct span path;
    uint64_t device, inode, size;
    int64_t mtime_ns;
    struct span cwd;
    struct span argv;           /* NUL-separated, as in /proc/PID/cmdline */
    struct span env;            /* NUL-separated */
};

/* A scheduling class: numbered by its owner, sent once before its first use. */
struct msg_class {
    uint32_t class_id;
    struct hash128 package;
    struct resources need;
};

/* How many leases of a class the owner could use now.  A level, not a change:
 * the highest @version counts. */
struct msg_lease_want {
    uint32_t class_id;
    uint32_t want;
    uint64_t version;
    int32_t priority;           /* of its first task */
};

struct msg_lease_grant {
    uint32_t class_id;
    uint64_t lease;             /* never used again by this node */
    uint64_t epoch;
    struct addr worker;
    struct span devices;        /* UUIDs, comma separated */
};

/* Why there is no lease: COVEY_EIMPOSSIBLE (for good), COVEY_ESTART (for good),
 * COVEY_ELIMIT (the process cap: run on your own stack), COVEY_EAGAIN (it was
 * stalled and is not any more). */
struct msg_lease_stall {
    uint32_t class_id;
    uint32_t status;
    struct span why;
};

/* Others wait: finish what runs, take back what does not, return the lease. */
struct msg_lease_recall { uint64_t lease; };
struct msg_lease_return { uint64_t lease; };

/* The leased worker's process is gone. @why names signal or status and the
 * last lines it wrote. */
struct msg_worker_died {
    uint64_t lease;
    struct addr worker;
    int32_t exit_status;        /* 0..255, or -signal */
    uint64_t running_seq;       /* the task that ran then; 0: not known */
    struct span why;
};

struct msg_worker_kill {        /* the owner's grace for a cancelled task is over */
    uint64_t lease;
    uint64_t seq;
};

/* ---- owner and executor -------------------------------------------------------- */

struct msg_function {           /* numbered by its owner, sent once a worker */
    uint32_t fn_id;
    struct span name;
    struct span signature;
};

enum dep_kind { DEP_INLINE, DEP_PLACE, DEP_HANDLE, DEP_KIND_COUNT };

/* One ref among the arguments, in the order of the arguments. */
struct dep {
    uint32_t kind;              /* enum dep_kind */
    struct oid id;
    struct span value;          /* DEP_INLINE: an encoded value (wire/value.h) */
    struct place place;         /* DEP_PLACE; DEP_HANDLE where it is known */
};

struct msg_task {
    uint64_t seq;               /* of its owner, who is the sender */
    uint32_t attempt;           /* 1 for the first */
    uint64_t lease, epoch;      /* under which it is pushed */
    uint32_t fn_id;
    uint32_t job;               /* process number of the root client */
    uint64_t trace;             /* carried through nested submits */
    int32_t priority;
    int64_t left_ms;            /* until its deadline; -1: none */
    int64_t grace_ms;           /* from asking it to end to killing it; 0: as usual */
    uint32_t threads;           /* that libraries should use: the CPUs of its class */
    uint32_t dep_count;
    const struct dep *deps;
    struct span args;           /* encoded values; refs stand as placeholders */
};

struct result {
    bool in_store;
    struct span value;          /* encoded value, if not in_store */
    struct place place;
};

/* A ref that the executor's process still holds when the task is done. */
struct held {
    struct oid id;
    uint64_t version;           /* grows for each time that it borrows this object */
};

struct msg_reply {
    uint64_t seq;
    uint32_t attempt;
    uint64_t lease, epoch;
    uint32_t status;            /* covey_status */
    int32_t user_code;          /* of covey_fail, or a command's exit status */
    struct span why;
    int64_t queued_ns, run_ns;
    uint32_t result_count;
    const struct result *results;
    uint32_t held_count;
    const struct held *held;
};

/* The owner has committed or refused (seq, attempt).  Lets the executor forget
 * which results it would free if the owner died. */
struct msg_reply_ack {
    uint64_t seq;
    uint32_t attempt;
    bool committed;
};

/* Give back what has not started.  One task, or with seq 0 all of a lease. */
struct msg_revoke {
    uint64_t lease;
    uint32_t seq_count;
    const uint64_t *seqs;       /* none: all of the lease */
};

/* These were returned unstarted; what the revoke named and is not here has
 * started (its reply comes).  Also sent unasked, when a worker blocks. */
struct msg_revoked {
    uint64_t lease;
    bool blocked;               /* accepts nothing until further notice */
    uint32_t seq_count;
    const uint64_t *seqs;
};

struct msg_cancel {
    uint64_t seq;
    uint32_t attempt;
    int64_t grace_ms;
    bool recursive;
};

/* A running task's message to its submitter, numbered from 1. */
struct msg_post {
    uint64_t seq;
    uint32_t attempt;
    uint64_t number;
    bool wants_answer;
    struct span body;
};

/* Everything up to @number is read; or the answer to @number. */
struct msg_post_ack {
    uint64_t seq;
    uint32_t attempt;
    uint64_t number;
    bool is_answer;
    struct span body;
};

/* ---- executor and node --------------------------------------------------------- */

/* The running task waits: its CPU is free for others. Versioned level. */
struct msg_blocked { uint64_t version; };
struct msg_unblocked { uint64_t version; };     /* wants its CPU back */
struct msg_resume { uint64_t version; };        /* has it */

/* Which bytes a worker printed while a task ran, counted from its start. */
struct printed { uint64_t out_begin, out_end, err_begin, err_end; };

/* History for lists: what this executor finished; sent in batches, and what
 * did not fit is counted. */
struct done {
    struct addr owner;
    uint64_t seq;
    uint32_t attempt;
    uint32_t status;
    struct span name;
    int64_t end_unix_ms, run_ns;
    struct printed printed;
};
struct msg_task_done {
    uint64_t dropped;
    uint32_t done_count;
    const struct done *done;
};

/* ---- store ------------------------------------------------------------------------ */

struct msg_extent_want {
    uint64_t request;           /* a second copy gets the same answer */
    uint64_t bytes;             /* at least, contiguous */
};
struct msg_extent_grant {
    uint64_t request;
    uint32_t extent;
    uint64_t gen;
    uint64_t offset, bytes;     /* in the arena; its pages exist */
};
struct msg_extent_refused {
    uint64_t request;
    uint32_t status;            /* COVEY_ESTOREFULL, COVEY_EFRAGMENTED, COVEY_ETOOBIG */
    uint64_t store_bytes, free_bytes, largest_bytes;
    uint64_t held_extents, held_bytes;      /* not free for the objects in them ... */
    uint64_t live_objects, live_bytes;      /* ... that live */
    struct span why;
};
/* The writer will put nothing more into it.  @freed: bit i is object i. */
struct msg_extent_close {
    uint32_t extent;
    uint64_t gen;
    uint32_t sealed;            /* how many objects it has */
    struct span freed;
};
/* The owner let go of objects of one extent (ordinals, ascending). */
struct msg_object_free {
    uint32_t extent;
    uint64_t gen;
    uint32_t ordinal_count;
    const uint32_t *ordinals;
};

/* ---- borrowed refs ------------------------------------------------------------------ */

struct msg_object_wait { struct oid id; };      /* tell me when it is there */
struct msg_object_ready {
    struct oid id;
    uint32_t status;            /* not OK: why it will never be there */
    int32_t user_code;
    struct span why;
    bool in_store;
    struct span value;
    struct place place;
};
/* @borrower holds @id; sent by whoever passed it on, and acknowledged to it. */
struct msg_borrow_add { struct oid id; struct addr borrower; uint64_t version; };
struct msg_borrow_added { struct oid id; struct addr borrower; uint64_t version; };
struct msg_borrow_drop { struct oid id; struct addr borrower; uint64_t version; };
struct msg_object_cancel { struct oid id; int64_t grace_ms; bool recursive; };

/* ---- death -------------------------------------------------------------------------- */

struct msg_proc_dead { struct addr who; };
/* What of @who's objects this process still holds; @places where it knows. */
struct msg_census {
    struct addr who;
    uint32_t place_count;
    const struct place *places;
};
/* After a writer's death: these objects of yours lie in its extents.  The
 * owner answers with those that it does not know (they are freed). */
struct kept { struct oid id; struct place place; };
struct msg_keep_ask { uint64_t request; uint32_t kept_count; const struct kept *kept; };
struct msg_keep_answer { uint64_t request; uint32_t kept_count; const struct kept *kept; };

/* ---- people ------------------------------------------------------------------------- */

struct msg_log {                /* a worker's output, whole lines */
    uint32_t worker;            /* process number */
    bool is_error;
    uint64_t dropped_bytes;     /* left out before this, by rate */
    struct span text;
};

enum query_what { QUERY_STATUS, QUERY_TASKS, QUERY_WORKERS, QUERY_OBJECTS, QUERY_NODES,
                  QUERY_LOG, QUERY_WHAT_COUNT };
struct msg_query {
    uint64_t request;
    uint32_t what;
    uint32_t limit;
    struct span state;          /* filter; empty: all */
    struct span id;             /* QUERY_LOG: worker "w3", task "t5.12" (rows.h) */
};
/* Rows of cells: NUL-separated text, @columns a row, in the listed order. */
struct msg_rows {
    uint64_t request;
    bool last;
    uint32_t columns;
    uint64_t dropped;           /* rows that existed and are not shown */
    struct span cells;
};
struct msg_shutdown { int64_t grace_ms; };

/* ---- head --------------------------------------------------------------------------- */

struct msg_node_join {
    uint32_t node;              /* the number it had before; 0: a new one */
    uint64_t boot;              /* random, so that a repeated join is recognised */
    struct span name;
    struct resources total;
};
struct msg_node_joined { uint32_t node, inc; uint64_t boot, head_epoch; };
struct msg_node_state {
    uint64_t version;
    struct resources free;
    uint32_t workers, clients;
    uint64_t store_used, store_bytes;
};
struct node_view { uint32_t node, inc; bool alive; struct span name; struct resources total, free; };
struct msg_view { uint64_t version; uint32_t node_count; const struct node_view *nodes; };
struct msg_kv_put { uint64_t request; struct span key, value; bool only_new; };
struct msg_kv_get { uint64_t request; struct span key; };
struct msg_kv_value { uint64_t request; uint32_t status; struct span value; };

struct msg {
    enum msg_kind kind;
    union {
        struct msg_door_hello door_hello;
        struct msg_door_welcome door_welcome;
        struct msg_door_refuse door_refuse;
        struct msg_package package;
        struct msg_class class_;
        struct msg_lease_want lease_want;
        struct msg_lease_grant lease_grant;
        struct msg_lease_stall lease_stall;
        struct msg_lease_recall lease_recall;
        struct msg_lease_return lease_return;
        struct msg_worker_died worker_died;
        struct msg_worker_kill worker_kill;
        struct msg_function function;
        struct msg_task task;
        struct msg_reply reply;
        struct msg_reply_ack reply_ack;
        struct msg_revoke revoke;
        struct msg_revoked revoked;
        struct msg_cancel cancel;
        struct msg_post post;
        struct msg_post_ack post_ack;
        struct msg_blocked blocked;
        struct msg_unblocked unblocked;
        struct msg_resume resume;
        struct msg_task_done task_done;
        struct msg_extent_want extent_want;
        struct msg_extent_grant extent_grant;
        struct msg_extent_refused extent_refused;
        struct msg_extent_close extent_close;
        struct msg_object_free object_free;
        struct msg_object_wait object_wait;
        struct msg_object_ready object_ready;
        struct msg_borrow_add borrow_add;
        struct msg_borrow_added borrow_added;
        struct msg_borrow_drop borrow_drop;
        struct msg_object_cancel object_cancel;
        struct msg_proc_dead proc_dead;
        struct msg_census census;
        struct msg_keep_ask keep_ask;
        struct msg_keep_answer keep_answer;
        struct msg_log log;
        struct msg_query query;
        struct msg_rows rows;
        struct msg_shutdown shutdown;
        struct msg_node_join node_join;
        struct msg_node_joined node_joined;
        struct msg_node_state node_state;
        struct msg_view view;
        struct msg_kv_put kv_put;
        struct msg_kv_get kv_get;
        struct msg_kv_value kv_value;
    } u;
};

#endif
