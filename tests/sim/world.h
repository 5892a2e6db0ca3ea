/* world.h - a cluster in one process, in virtual time, from one seed.
 *
 * The cores are the real ones (owner, executor, node, head, extents, links, codec);
 * what is simulated is what lies between them:
 *
 *   network   frames are delayed, reordered, duplicated and dropped (the links
 *             are there to mend that), until the world heals
 *   head      it and the nodes are killed and come back; its disk is a list of
 *             rows, of which a commit on its way may be lost (head.c)
 *   machine   processes are started, paused and killed at any time; between a
 *             core's effect (start, populate, send) and its completion there is
 *             always an event, so a kill can fall between them
 *   arena     headers by offset, generations by block
 *   programs  clients and tasks that submit, wait, fail, crash, hang, cancel
 *
 * Nothing here asks a clock or the system's randomness: the same seed gives the
 * same events, byte for byte (world.trace is a hash over them).
 */
#ifndef COVEY_TESTS_SIM_WORLD_H
#define COVEY_TESTS_SIM_WORLD_H

#include "core/exec.h"
#include "core/map.h"
#include "core/mesh.h"
#include "core/node.h"
#include "core/owner.h"

#define SIM_PROCESSES_MAX 4096u
#define SIM_CLIENTS_MAX 3u
#define SIM_MEMBERS_MAX 4u              /* nodes that the head knows */
#define SIM_LIVES_MAX 8192u             /* processes of all lives of a seed */
#define SIM_EVENTS_MAX 400000u          /* of one seed: more is a storm, a failure */
#define SIM_HEAL_AT (400 * MS_NS)       /* faults end here; from then on everything must end */
#define SIM_END_AT (120 * SECOND_NS)    /* ... by then at the latest */

struct world;
struct process;

typedef void (*event_fn)(struct world *w, struct process *p, void *data, uint64_t a, uint64_t b);
struct event {
    int64_t at;
    uint64_t order;
    event_fn fn;
    struct process *process;            /* NULL: the world's own */
    void *data;                         /* owned by the event: freed after fn */
    uint64_t a, b;
};

/* What the seed decides before anything runs. */
struct faults {
    uint32_t drop, duplicate, delay;    /* of 1000 frames */
    uint32_t kills, pauses;             /* how many before the heal */
    uint32_t head_kills, node_kills;
    uint32_t start_failures;            /* of 1000 starts */
};

struct world {
    uint64_t seed, random;
    int64_t now;
    uint64_t order, trace, events;
    struct event *heap;                 /* owned */
    uint32_t heap_count, heap_cap;
    struct faults faults;
    bool verbose, ending;               /* ending: nobody begins anything any more */
    struct process *processes[SIM_PROCESSES_MAX];   /* by process number, 0: the node */
    uint32_t process_count;
    struct process *clients[SIM_CLIENTS_MAX];
    uint32_t client_count;
    uint64_t machine_life;              /* of the node: 1, 2, ... */
    struct addr node;                   /* its address in this life */
    struct cluster *cluster;            /* head.c, owned */
    struct process *lives[SIM_LIVES_MAX];   /* owned; all that there ever were */
    uint32_t life_count;
    /* the arena */
    struct map headers;                 /* offset -> struct object_header, owned */
    uint64_t *gens;                     /* by block, owned */
    uint64_t arena_bytes, populated_bytes;
    struct object_header **all_headers; /* owned */
    uint32_t header_count, header_cap;
};

/* world.c */
void world_run(struct world *w, uint64_t seed, bool verbose);
uint64_t world_random(struct world *w);
/* 0 <= x < n */
uint64_t world_below(struct world *w, uint64_t n);
bool world_chance(struct world *w, uint32_t of_1000);
void world_at(struct world *w, int64_t delay, struct process *p, event_fn fn, void *data, uint64_t a, uint64_t b);
_Noreturn void world_fail(struct world *w, const char *format, ...) COVEY_PRINTF(2, 3);
void world_say(struct world *w, const char *format, ...) COVEY_PRINTF(2, 3);
static inline bool world_faulty(const struct world *w) { return w->now < SIM_HEAL_AT; }

/* A process of which the world knows no more than what it does after an event. */
struct process *world_process(struct world *w, uint32_t proc, void (*turn)(struct process *p));

/* net.c: a frame on its way. */
bool net_carry(struct world *w, struct process *from, struct process *to, struct frame *frame);
bool net_transmit(struct world *w, struct process *from, struct addr to, struct frame *frame);

/* machine.c: the node and what it starts. */
void machine_open(struct world *w);
void machine_close(struct world *w);
void machine_hello(struct world *w, struct process *p, enum role role, uint64_t token);
void machine_step(struct world *w);     /* after each event of the node */
bool machine_header(struct world *w, const struct place *place, struct oid id);
/* What the node thinks, on standard error. */
void machine_tell(const struct world *w);
void machine_seal(struct world *w, const struct place *place, struct oid id, covey_kind kind);
void machine_check_end(struct world *w);
/* The node and everything that it started, until machine_open() makes it anew. */
void machine_kill(struct world *w);
void machine_view(struct world *w, const struct msg *view);

/* head.c: the head and the nodes that it knows.  Who is killed comes again. */
void head_open(struct world *w);
void head_close(struct world *w);
void head_kill(struct world *w);
struct process *head_process(const struct world *w);    /* NULL: there is none now */
uint32_t head_member_count(const struct world *w);
void head_kill_member(struct world *w, uint32_t i);
void head_check_end(struct world *w);

/* process.c: a client or worker. */
enum life { LIFE_STARTING, LIFE_ALIVE, LIFE_DEAD };

/* One extent that a process was lent. */
struct hold {
    uint32_t extent;
    uint64_t gen, offset, bytes, used;
    uint32_t sealed;
    uint8_t freed[512];                 /* a bit an object */
    bool own;                           /* for one large object */
    bool closed;
};

/* A task on the stack of a worker; program.c says what it does. */
enum phase { PHASE_BEGIN, PHASE_WAIT, PHASE_RESUME, PHASE_COMPUTE, PHASE_RESULTS, PHASE_END };
struct frame_of {
    struct frame_of *below;
    struct exec_task *task;
    struct exec_task nested_task;
    bool cancel_children, nested, blocked, waited, ignores_cancel;
    uint64_t number, script;
    enum phase phase;
    int64_t until;
    covey_ref refs[8];
    uint32_t ref_count;
    struct result results[8];
    uint32_t result_count, result_wanted;
    struct buf out;
    covey_ref handles[8];
    uint32_t handle_count;
    covey_status status;
};

struct process {
    struct world *w;
    enum life life;
    enum role role;
    struct addr self;
    uint32_t proc;
    uint64_t token;
    int64_t paused_until;
    int64_t tick_at;
    struct mesh *mesh;
    struct owner *owner;
    struct exec *exec;
    struct node *node;                  /* of the node's process */
    struct hold holds[64];
    uint32_t hold_count;
    uint64_t want_request, want_bytes;
    covey_status refused;
    struct frame_of *top;
    uint64_t frames;
    bool wants_end, stepping, cancels_due;
    struct client *client;              /* program.c, owned */
    void (*turn)(struct process *p);    /* NULL: a client, a worker or the node */
};

struct process *process_new(struct world *w, uint32_t proc, enum role role);
void process_enter(struct process *p, struct addr self);
void process_die(struct process *p, int32_t status);
void process_free(struct process *p);
void process_receive(struct process *p, struct span frame);
void process_step(struct process *p);   /* after each event: program, flush, next tick */
/* Room in the store: COVEY_EAGAIN (ask again after a grant), or why not. */
covey_status process_alloc(struct process *p, uint64_t size, struct place *place);
void process_seal(struct process *p, const struct place *place, struct oid id);
void process_free_place(struct process *p, const struct place *place);
void process_close_holds(struct process *p);

/* program.c */
void program_client_start(struct process *p);
void program_client_step(struct process *p);
void program_client_free(struct process *p);
bool program_client_done(struct process *p);
void program_tell(struct process *p);    /* what it waits for, on standard error */
void program_settled(struct process *p, covey_ref ref);
void program_worker_step(struct process *p);
void program_worker_free(struct process *p);
void program_cancel(struct process *p, struct exec_task *task);

#endif
