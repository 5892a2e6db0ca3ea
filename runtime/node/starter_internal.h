/* starter_internal.h - what the files of the starter share.
 *
 *   starter.c   starts: the table of workers, the choice of a way
 *   zygotes.c   zygotes: their life and their records
 */
#ifndef COVEY_NODE_STARTER_INTERNAL_H
#define COVEY_NODE_STARTER_INTERNAL_H

#include "core/buf.h"
#include "core/list.h"
#include "core/map.h"
#include "node/output.h"
#include "node/starter.h"
#include "worker/zygote.h"

/*            spawned                  READY, one thread
 *  STARTING ---------> STARTING ------------------------> SERVING
 *      |                   | READY, more threads             | its end
 *      | spawn failed      +----------------> THREADED       v
 *      +-----------------> ENDED <--- exit before READY -- ENDED */
enum zygote_state { ZYGOTE_IS_STARTING, ZYGOTE_IS_SERVING, ZYGOTE_IS_THREADED, ZYGOTE_IS_ENDED };

struct zygote {
    struct starter *starter;
    struct list in_starter;
    struct program *program;    /* a use of it */
    uint32_t threads;
    uint64_t id;                /* the keeper's */
    enum zygote_state state;
    bool busy;                  /* its records are being read: do not free it */
    int control;                /* owned; -1: closed */
    struct watch *watch;        /* owned, of control */
    struct output output;
    struct list starts;         /* that wait for it, and that it forked */
    int64_t idle_since;
};

enum start_state { START_WAITS, START_SENT, START_RUNS, START_FAILED, START_ENDED };

struct start {
    struct starter *starter;
    struct list in_zygote;      /* zygote.starts; alone for one that was spawned */
    struct list in_failed;
    uint32_t proc;
    uint64_t token;
    uint32_t threads, thread_names; /* as of threads_init() */
    enum start_state state;
    struct zygote *zygote;      /* NULL: spawned, or its zygote is gone */
    uint64_t spawn_id;          /* 0: forked */
    pid_t pid;
    char *devices;              /* owned */
    struct output output;
    int page_fd, write_fds[2];  /* owned until they are sent; -1 */
    bool killed;                /* of START_FAILED: see starter_ops.failed */
    char why[STARTER_WHY_MAX];  /* the same */
};

struct starter {
    struct starter_config config;
    const struct starter_ops *ops;
    void *io;
    struct watch *keeper_watch; /* owned */
    struct map starts;          /* proc -> struct start, owned */
    struct map spawned;         /* keeper's id -> struct start, spawned ones */
    struct list failed;         /* to be told in the next tick */
    struct list zygotes;        /* owned, least recently used first */
    uint32_t zygote_count;
    uint64_t ids;
    int64_t now;                /* of the last tick */
};

/* starter.c: the keeper's spawn with the environment that workers get. */
covey_status starter_spawn(struct starter *s, uint64_t id, uint32_t proc, struct program *program,
                           uint32_t threads, const char *marker, const int write_fds[2],
                           int control_fd, char *why, size_t why_size);
void start_fail(struct start *start, const char *why);
void start_spawn(struct start *start, struct program *program, uint32_t threads);
/* The FORK record of @start and its page, with its pipes if @with_pipes. */
covey_status start_send(struct start *start, int control, bool with_pipes);
/* What was sent is not ours any more. */
void start_close_fds(struct start *start);

/* zygotes.c */
/* The one for this program, made if there is none.  NULL: @why. */
struct zygote *zygote_get(struct starter *s, struct program *program, uint32_t threads, char *why,
                          size_t why_size);
void zygote_add(struct zygote *z, struct start *start);
void zygote_keeper_event(struct zygote *z, const struct keeper_event *event);
void zygote_kill_worker(struct zygote *z, uint32_t proc, int signal_number);
/* Kill one that has not come to covey_init() when nobody waits for it. */
void zygote_unwanted(struct zygote *z);
void zygote_free(struct zygote *z);
void zygotes_tick(struct starter *s);
int64_t zygotes_deadline(const struct starter *s);

#endif
