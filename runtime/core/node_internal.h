/* node_internal.h - what the files of the node share.  Nobody else includes it.
 *
 *   node.c         assembly: events in, dispatch, time, the invariants
 *   node_procs.c   the process table, worker states, starting and ending
 *   node_package.c programs: who uses them, warm workers, failures to start
 *   node_queue.c   the order in which wants are served
 *   node_lease.c   wants, grants, returns, blocking, the scheduling pass
 *   node_recall.c  whose leases come back when others wait
 *   node_death.c   death, census, objects found in a dead writer's extents
 *   node_adopt.c   objects that outlive their owner
 *   node_list.c    answers to queries;  node_history.c  finished tasks
 *
 * Every entry point sets @now, changes state, and ends in node_settle(), which
 * runs the scheduling pass where something made one necessary.
 *
 * Memory.  A process can make the node allocate: its wants (NODE_WANTS_MAX),
 * its packages (NODE_PACKAGES_MAX of NODE_PACKAGE_BYTES_MAX), its waits for
 * objects of dead owners (NODE_WAITS_MAX together with everybody's), and
 * queries (NODE_QUERIES_MAX).  Leases live inside workers, so a grant
 * allocates nothing.
 */
#ifndef COVEY_CORE_NODE_INTERNAL_H
#define COVEY_CORE_NODE_INTERNAL_H

#include "core/buf.h"
#include "core/list.h"
#include "core/map.h"
#include "core/node.h"
#include "core/resources.h"

#define NODE_CLIENTS_MAX 16384u         /* clients and tools at once */
#define NODE_WANTS_MAX 4096u            /* scheduling classes of one owner */
#define NODE_PACKAGES_MAX 64u           /* programs of one process */
#define NODE_PACKAGE_BYTES_MAX (1u << 20)   /* path, argv and environment of one */
#define NODE_PATIENCE (2 * MS_NS)       /* a want waits so long before it is not overtaken any
                                           more and before leases are recalled for it */
#define NODE_TURN (100 * MS_NS)         /* with more owners than leases: how long the only
                                           lease of one lasts while others have none */
#define NODE_CAP_PATIENCE (20 * MS_NS)  /* every worker waits, none may be started: then one more
                                           may, or tasks that wait for others' would wait for ever */
#define NODE_KILL_BURST (100 * MS_NS)   /* starts killed from outside within it have one cause */
#define NODE_END_GRACE (1 * SECOND_NS)  /* from TERM to KILL */
#define NODE_RETRY (100 * MS_NS)        /* what failed for lack of memory is tried again */
#define NODE_STORE_WARM (8u * 1024 * 1024) /* bytes of the store made ready for the first client */
#define NODE_NAME_MAX 64u               /* of a program in lists, with the NUL */
#define NODE_START_WHY_MAX 1024u

_Static_assert(NODE_DEVICES_MAX == DEVICES_MAX, "a device set is one word");

/* ---- a heap of things that know their place in it ------------------------- */

struct heap_item { uint32_t at; };      /* 0: in none */
struct heap {
    struct heap_item **items;           /* owned; items[0] is not used */
    uint32_t count, cap;
    bool (*before)(const struct heap_item *a, const struct heap_item *b);
};

/* ---- packages ---------------------------------------------------------------- */

struct package {
    struct msg_package what;            /* spans point into @bytes */
    uint8_t *bytes;                     /* owned */
    struct list wants;
    struct list idle;                   /* workers without devices, last used first */
    struct list idle_devices;
    struct list starting;               /* that nobody waits for yet */
    uint32_t users, clients;            /* processes that told it; the clients among them */
    uint32_t workers;                   /* in any state */
    uint32_t idle_count;                /* both lists */
    uint32_t starting_count;
    uint32_t failures;                  /* to start, in a row */
    int64_t killed_at;                  /* when a start was last counted as killed from outside */
    bool broken;                        /* NODE_START_FAILURES_MAX of them */
    char why[NODE_START_WHY_MAX];       /* of the last */
};

/* ---- wants and leases ----------------------------------------------------------- */

/* A scheduling class of one owner, and how many leases of it the owner wants. */
struct want {
    uint32_t class_id;
    struct proc *owner;
    struct package *package;
    struct list in_package;
    struct resources need;
    bool possible;                      /* it fits into an empty node */
    uint32_t level;                     /* wanted, held ones included */
    uint32_t leases, pending;           /* pending: not granted yet, in @leases too */
    uint32_t counted;                   /* its part of node.unmet */
    uint32_t firm, promised;            /* of one recall pass */
    uint64_t version;                   /* of the level */
    int32_t priority;
    uint64_t arrival;                   /* or when it was served last: a place in the line */
    struct heap_item in_owner;
    struct list aside;                  /* passed over in this pass */
    covey_status told;                  /* the stall that the owner knows of; OK: none */
    int64_t told_at;
    uint32_t lacking;                   /* resources that were short at its last try */
    int64_t lacking_since;              /* NEVER_NS: they were not */
};

enum lease_state { LEASE_NONE, LEASE_PENDING, LEASE_HELD, LEASE_ORPHAN };
enum lease_cpu { CPU_TAKEN, CPU_GIVEN, CPU_WANTED };    /* running, blocked, wants to resume */

/* Inside its worker.  Its number is the worker's and a count, so it is never
 * used again and found without a table. */
struct lease {
    enum lease_state state;
    enum lease_cpu cpu;
    uint64_t id;
    struct want *want;                  /* NULL for an orphan: its owner died */
    struct list in_owner;
    struct resources need;              /* outlives the want */
    struct device_set devices;
    int64_t granted_at;
    bool recalled;
};

/* ---- processes ---------------------------------------------------------------------- */

enum proc_state { PROC_QUEUED, PROC_STARTING, PROC_IDLE, PROC_LEASED, PROC_ENDING, PROC_PRESENT,
                  PROC_DEAD, PROC_STATE_COUNT };
enum proc_event { PROC_SLOT, PROC_HELLO, PROC_LEASE, PROC_RETURN, PROC_END, PROC_GONE,
                  PROC_EVENT_COUNT };

/* What the others still hold of a dead process's objects. */
struct census {
    bool begun;
    struct map awaited;                 /* processes that have not answered, by number */
    struct list adopted;                /* objects of the dead owner that somebody holds */
    struct list waiters;                /* OBJECT_WAIT that only the end can answer */
};

struct proc {
    struct addr addr;
    enum role role;
    enum proc_state state;
    bool said_hello;
    int32_t pid;
    uint64_t token;
    char name[NODE_NAME_MAX];
    /* as an owner */
    struct map wants;                   /* class_id -> want */
    struct heap waiting;                /* its wants that are not met */
    struct heap_item in_waiting;        /* of the node's waiting owners */
    struct list leases;
    uint32_t lease_count;
    uint32_t waiting_count;             /* its waiting wants, those set aside included */
    struct list active;                 /* in node.active: has leases or waiting wants */
    uint32_t firm, promised;            /* of one recall pass */
    struct list giver;                  /* the same */
    struct package *packages[NODE_PACKAGES_MAX];
    uint32_t package_count;
    /* as a worker */
    struct package *package;            /* a share of its life */
    uint64_t devices;                   /* the set that it was started with */
    struct lease lease;
    uint32_t lease_serial;
    uint64_t block_version, unblock_version;    /* highest seen */
    uint64_t kill_seq;                  /* the task for which it was killed */
    uint64_t ran_seq;                   /* of its lease; ran when it died, 0: not known */
    struct list in_state;               /* node.queued, starting, idle or ending */
    struct list in_package;             /* idle, idle_devices or starting */
    struct list in_resumes;
    int64_t since;                      /* of the state */
    bool doomed;                        /* not to be used again */
    bool terminated, killed;            /* TERM, KILL was sent */
    uint64_t tasks_done;
    /* death */
    struct list holds;                  /* struct holder: of dead owners' objects */
    struct list dead;                   /* in node.dead */
    struct census census;
};

/* ---- adopted objects ------------------------------------------------------------------- */

struct adopted {
    struct oid id;
    struct place place;                 /* node 0: nobody told it yet */
    struct list in_owner;               /* census.adopted, or nowhere when that is over */
    struct list holders;
    uint32_t holder_count;              /* without those that dropped it */
};
struct holder {
    struct adopted *object;
    struct proc *proc;
    struct list in_object, in_proc;
    uint64_t version;
    bool dropped;                       /* remembered, so that a late add does nothing */
};

/* ---- lists --------------------------------------------------------------------------------- */

struct history;
struct query;
struct node_picture {                   /* the head's view, copied */
    uint64_t version;
    struct picture_row { uint32_t node; bool alive; char name[NODE_NAME_MAX]; struct resources total, free; } *rows;
    uint32_t count, dropped;
};

struct node {
    struct node_config config;
    const struct node_ops *ops;
    void *io;
    int64_t now;
    struct extents_ops extents_ops;
    struct extents *extents;
    /* processes */
    struct map procs;                   /* number -> proc, dead ones until their census ends */
    uint32_t proc_last;                 /* numbers given */
    uint32_t client_count, tool_count;
    uint32_t worker_count;              /* that are processes: without queued ones */
    uint32_t beyond_cap;                /* of them, started because all others waited */
    uint32_t ending_count, queued_count, idle_count;
    struct list queued, starting, idle, ending; /* oldest first */
    struct map packages;                /* hash -> package */
    bool store_warmed;
    /* leases */
    struct resources free;
    struct devices devices;
    struct heap waiting;                /* owners with unmet wants */
    struct list active;
    uint32_t active_count;
    struct list resumes;                /* workers that want their CPU back */
    uint64_t arrivals;
    uint64_t unmet;                     /* leases wanted and not there */
    uint32_t waiting_cpuless;           /* waiting wants that need no CPU */
    uint32_t granted;
    struct resources blocked;           /* still held by blocked leases: all but CPUs */
    struct resources reserved;          /* for wants that ran out of patience */
    bool reserving;
    int32_t reserve_priority;           /* of the first of them */
    bool dirty;                         /* a pass is due */
    int64_t recall_at, retry_at;        /* NEVER_NS */
    /* death */
    struct list dead;                   /* whose census is not over */
    struct map adopted;                 /* key_oid -> adopted */
    uint32_t adopted_blind;             /* adopted without a place */
    uint32_t waiter_count;
    struct kept *kept;                  /* owned; found in one dead writer's extents */
    uint32_t kept_count, kept_cap;
    uint64_t keep_requests;
    /* lists */
    struct history *history;            /* owned; node_history.c */
    uint64_t tasks_finished, tasks_failed;
    struct list queries;                /* oldest first */
    uint32_t query_count;
    uint64_t query_requests;
    struct node_picture picture;
};

/* node.c */
void node_send(struct node *n, struct addr to, const struct msg *msg);
void node_settle(struct node *n);
static inline void node_by(int64_t *deadline, int64_t at)
{
    if (at < *deadline)
        *deadline = at;
}

/* node_procs.c */
struct proc *proc_find(const struct node *n, uint32_t number);      /* alive or ending */
struct proc *proc_of(const struct node *n, struct addr addr);       /* the same, of this node */
struct proc *proc_dead(const struct node *n, struct oid id);        /* whose census is not over */
bool proc_is_peer(const struct proc *p);    /* has refs: a client or worker that said hello */
static inline bool proc_is_worker(const struct proc *p) { return p->role == ROLE_WORKER; }
/* It has tasks of its own that run or want to. */
static inline bool proc_is_busy_owner(const struct proc *p)
{
    return p->lease_count > 0 || p->waiting_count > 0;
}
/* The one place where states change. */
void proc_event(struct node *n, struct proc *p, enum proc_event event);
/* A worker that is QUEUED; NULL: no memory. */
struct proc *worker_new(struct node *n, struct package *package, uint64_t devices);
/* There must be room below the cap. */
void worker_start(struct node *n, struct proc *p);
/* Nobody waits for this STARTING worker, or nobody any more. */
void worker_unbind(struct proc *p);
/* End a worker.  It is used for nothing more, and goes when its process has gone. */
void worker_end(struct node *n, struct proc *p, enum node_kill how);
/* It is no process any more, or never was one.  @p itself stays. */
void worker_drop(struct node *n, struct proc *p);
/* A process is gone that never said hello. */
void worker_start_lost(struct node *n, struct proc *p, const char *why, bool killed);
void proc_free(struct node *n, struct proc *p);
void procs_tick(struct node *n);
int64_t procs_deadline(const struct node *n);
void devices_text(const struct node *n, uint64_t mask, char *out, size_t size);
/* Text of a process: cut to fit, control characters replaced. */
void name_copy(char out[NODE_NAME_MAX], struct span name);
#define DEVICES_TEXT_MAX (NODE_DEVICES_MAX * sizeof ((struct node_config *)0)->devices[0] + 1)

/* node_package.c */
struct package *package_find(const struct node *n, struct hash128 hash);
void package_msg(struct node *n, struct proc *from, const struct msg_package *msg);
void package_leave(struct node *n, struct proc *user);  /* a process that told packages is gone */
void package_unuse(struct node *n, struct package *package);    /* free it, if nothing needs it */
void package_start_failed(struct node *n, struct package *package, const char *why, bool killed);
void package_mend(struct node *n, struct package *package);     /* it can be started */
/* One idle worker may end: there are more than are kept warm. */
bool package_can_spare(const struct node *n, const struct package *package);

/* node_queue.c */
void waiting_init(struct node *n);
void waiting_fini(struct node *n);
void waiting_init_owner(struct proc *owner);
void waiting_fini_owner(struct node *n, struct proc *owner);
/* Memory for one more owner, or one more want of @owner, to wait. */
bool waiting_reserve_owner(struct node *n);
bool waiting_reserve_want(struct proc *owner);
/* @w's level, leases or priority changed. */
void waiting_update(struct node *n, struct want *w);
/* The best want, of those not set aside. */
struct want *waiting_top(const struct node *n);
void waiting_set_aside(struct node *n, struct want *w, struct list *aside);
void waiting_restore(struct node *n, struct list *aside);
static inline uint32_t want_unmet(const struct want *w)
{
    return w->level > w->leases ? w->level - w->leases : 0;
}
static inline bool want_waits(const struct want *w)
{
    return want_unmet(w) > 0 && w->possible && !w->package->broken;
}

/* node_lease.c */
void want_class(struct node *n, struct proc *from, const struct msg_class *msg);
void want_level(struct node *n, struct proc *from, const struct msg_lease_want *msg);
void want_stall(struct node *n, struct want *w, covey_status status, const char *why);
void want_free(struct node *n, struct want *w);
void lending_return(struct node *n, struct proc *from, uint64_t lease);
void lending_kill(struct node *n, struct proc *from, uint64_t lease, uint64_t seq);
void lending_blocked(struct node *n, struct proc *worker, uint64_t version);
void lending_unblocked(struct node *n, struct proc *worker, uint64_t version);
/* A started worker that a lease waits for said hello. */
void lending_grant(struct node *n, struct proc *worker);
/* The lease of @worker is over, whatever its state. */
void lending_end(struct node *n, struct proc *worker);
/* A pending lease is not wanted any more.  May free @worker. */
void lending_cancel(struct node *n, struct proc *worker);
/* The owner died: what is held is an orphan until the worker is gone. */
void lending_orphan(struct node *n, struct proc *worker);
/* One scheduling pass; @thorough: nothing is left out, and recalls follow. */
void lending_pass(struct node *n, bool thorough);

/* node_recall.c */
void recall_soon(struct node *n);
/* @aside: wants that lack resources, best first. */
void recall_leases(struct node *n, struct list *aside);

/* node_death.c */
void death_census(struct node *n, struct proc *from, const struct msg_census *msg);
void death_keep_answer(struct node *n, struct addr from, const struct msg_keep_answer *msg);
void death_found(struct node *n, struct oid id, const struct place *place);
void death_tick(struct node *n);
void census_fini(struct node *n, struct census *census);

/* node_adopt.c */
/* @proc holds object @id of a dead owner; @place: NULL, it does not know.
 * False: no memory to remember it. */
bool adopt_hold(struct node *n, struct oid id, const struct place *place, struct proc *proc,
                uint64_t version);
void adopt_let_go(struct node *n, struct proc *proc);   /* of everything that it holds */
struct adopted *adopt_find(const struct node *n, struct oid id);
/* The census of @dead is over.  False: no memory, try again. */
bool adopt_settle(struct node *n, struct proc *dead);
void adopt_wait(struct node *n, struct addr from, struct oid id);
void adopt_borrow_add(struct node *n, struct addr from, const struct msg_borrow_add *msg);
void adopt_borrow_drop(struct node *n, const struct msg_borrow_drop *msg);
void adopt_fini(struct node *n);

/* node_history.c */
struct finished {
    struct addr owner;
    uint64_t seq;
    uint32_t attempt, status, worker;
    int64_t end_unix_ms, run_ns;
    struct printed printed;
    char name[NODE_NAME_MAX];
};
void finished_add(struct node *n, struct proc *from, const struct msg_task_done *msg);
uint32_t finished_count(const struct node *n);
const struct finished *finished_newest(const struct node *n, uint32_t i);    /* 0: the last one */
uint64_t finished_dropped(const struct node *n);
void finished_free(struct node *n);

/* node_list.c */
void list_query(struct node *n, struct addr from, const struct msg_query *msg);
void list_rows(struct node *n, struct proc *from, const struct msg_rows *msg);
void list_proc_gone(struct node *n, const struct proc *p);
void list_view(struct node *n, const struct msg_view *view);
void list_tick(struct node *n);
int64_t list_deadline(const struct node *n);
void list_fini(struct node *n);

#endif
