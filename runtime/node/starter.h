/* starter.h - start workers: through a zygote where the program can be forked.
 *
 *   start(proc) --> zygote of (package, threads)?
 *        none        spawn it through the keeper; the start waits in it
 *        starting    the start waits in it
 *        serving     FORK
 *        threaded    spawn the program anew, as this one worker
 *
 * A zygote (worker/zygote.h) loads the program once and forks in 0.2 ms.  There
 * is one for each package and number of threads, since OMP_NUM_THREADS and its
 * like are read while a program is loaded.  Those without workers end after
 * STARTER_ZYGOTE_IDLE, or earlier when there are STARTER_ZYGOTES_MAX.
 *
 * A program that ends before covey_init() fails every start that waits for it,
 * with its status and last lines.
 *
 * Threads: the loop thread.  Ops are called from the loop and from
 * starter_tick(), never from inside starter_start() or starter_kill().
 */
#ifndef COVEY_NODE_STARTER_H
#define COVEY_NODE_STARTER_H

#include <sys/types.h>
#include <uv.h>

#include "core/msg.h"
#include "node/keeper.h"
#include "node/logs.h"
#include "node/packages.h"

#define STARTER_ZYGOTES_MAX 64u
#define STARTER_ZYGOTE_IDLE (300 * SECOND_NS)
#define STARTER_WHY_MAX 3072

struct starter;

struct starter_ops {
    /* The parent's word; @wait_status as of waitpid(). */
    void (*exited)(void *io, uint32_t proc, int wait_status);
    /* It died with its zygote, or is about to; nobody will tell its status. */
    void (*orphaned)(void *io, uint32_t proc);
    /* It never ran.  @killed: its zygote was killed from outside, and all that
     * waited for that one fail together. */
    void (*failed)(void *io, uint32_t proc, bool killed, const char *why);
    /* The keeper is dead: nothing can be started or cleaned up any more. */
    void (*keeper_dead)(void *io);
};

struct starter_config {
    uv_loop_t *loop;
    struct keeper *keeper;      /* borrowed */
    struct packages *packages;  /* borrowed */
    struct logs *logs;          /* borrowed */
    const char *dir;            /* the cluster's, for the workers; borrowed */
    uint32_t node;              /* our number */
    bool has_devices;           /* then CUDA_VISIBLE_DEVICES is set, if to nothing */
};

covey_status starter_new(struct starter **out, const struct starter_config *config,
                         const struct starter_ops *ops, void *io);
/* Ends all zygotes, and with them what they forked. */
void starter_free(struct starter **starter);

/* A package will be needed: have its zygote ready. */
void starter_prepare(struct starter *s, const struct msg_package *package);
/* Its hello, or failed, follows. */
void starter_start(struct starter *s, uint32_t proc, uint64_t token,
                   const struct msg_package *package, const char *devices, int64_t cpu_milli);
/* Signal a worker through its parent (which cannot hit another process); one
 * that does not run yet fails. */
void starter_kill(struct starter *s, uint32_t proc, int signal_number);
/* The last lines that it printed, as log_tail(). */
void starter_tail(struct starter *s, uint32_t proc, char *out, size_t size);
/* Take in what it has printed until now (bounded). */
void starter_drain(struct starter *s, uint32_t proc);
/* The task that it runs, or ran when it died; false: none, or not known. */
bool starter_running(const struct starter *s, uint32_t proc, struct page_task *out);
/* The worker is gone: forget it, end what it left behind. */
void starter_forget(struct starter *s, uint32_t proc);

void starter_tick(struct starter *s, int64_t now);
int64_t starter_deadline(const struct starter *s);

/* How a process ended, for people: "ended with status 3", "was killed by SIGSEGV". */
void describe_exit(int wait_status, char *out, size_t size);

#endif
