/* types.h - the words that every layer shares: addresses, ids, spans, places.
 *
 * Plain values without behaviour; nothing here allocates.  Times are int64_t
 * nanoseconds of a monotonic clock that the caller of a core passes as @now;
 * amounts of resources are thousandths ("milli") or bytes.
 */
#ifndef COVEY_CORE_TYPES_H
#define COVEY_CORE_TYPES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "covey.h"

#define MS_NS INT64_C(1000000)
#define SECOND_NS INT64_C(1000000000)
#define NEVER_NS INT64_MAX

/* Borrowed bytes. */
struct span {
    const uint8_t *data;
    uint32_t len;
};

static inline struct span span_of(const void *data, size_t len)
{
    assert(len <= UINT32_MAX);
    return (struct span){(const uint8_t *)data, (uint32_t)len};
}

static inline struct span span_str(const char *s)
{
    return s ? span_of(s, strlen(s)) : (struct span){NULL, 0};
}

/* Who sends and who receives.
 *
 *   head          (0, 0)
 *   node n        (n, 0)        n >= 1
 *   process p     (n, p)        p >= 1, given by node n, never used again
 *
 * @inc is the incarnation of a node or an actor; 0 for clients and workers,
 * whose process number is already theirs alone.  @actor is 0 for none. */
struct addr {
    uint32_t node, proc, inc, actor;
};

static inline bool addr_eq(struct addr a, struct addr b)
{
    return a.node == b.node && a.proc == b.proc && a.inc == b.inc && a.actor == b.actor;
}

static inline bool addr_is_node(struct addr a) { return a.node != 0 && a.proc == 0; }
static inline bool addr_is_head(struct addr a) { return a.node == 0; }
#define ADDR_HEAD ((struct addr){0, 0, 0, 0})

/* What an object is: result @index of the @seq-th task (or put) of its owner.
 * The owner's address is (node, proc).  seq 0 is no object. */
struct oid {
    uint32_t node, proc;
    uint64_t seq;
    uint32_t index;
};

static inline bool oid_eq(struct oid a, struct oid b)
{
    return a.seq == b.seq && a.node == b.node && a.proc == b.proc && a.index == b.index;
}

static inline struct addr oid_owner(struct oid id)
{
    return (struct addr){id.node, id.proc, 0, 0};
}

/* Where an object's bytes are: a hint that travels with the ref.  Right while
 * extent's generation is @gen and the header found there names the object.
 * @offset is of the header, from the arena's start; @size is of the payload;
 * @ordinal counts the objects of one extent. */
struct place {
    uint32_t node;      /* 0: nowhere */
    uint32_t extent;
    uint64_t gen;
    uint64_t offset;
    uint64_t size;
    uint32_t ordinal;
    uint32_t kind;      /* covey_kind of the value */
};

/* A content hash (xxh3-128). */
struct hash128 {
    uint64_t lo, hi;
};

static inline bool hash_eq(struct hash128 a, struct hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

#define CUSTOM_MAX 8
#define CUSTOM_NAME_MAX 32 /* with the NUL */

/* An amount of everything a node can lend. */
struct resources {
    int64_t cpu_milli;
    int64_t gpu_milli;
    int64_t memory_bytes;
    int64_t gpu_memory_bytes;
    uint32_t custom_count;
    struct custom {
        char name[CUSTOM_NAME_MAX];
        int64_t milli;
    } custom[CUSTOM_MAX];
};

/* How many threads a library should start for a task with so many CPUs. */
static inline uint32_t threads_of_cpus(int64_t cpu_milli)
{
    return cpu_milli >= 2000 ? (uint32_t)(cpu_milli / 1000) : 1;
}

/* Limits that more than one layer must agree on. */
#define INLINE_RESULT_MAX (64u * 1024)      /* larger results stay in the store */
#define INLINE_ARGS_MAX (256u * 1024)       /* all inline arguments of one task */
#define TASK_DEPS_MAX (1u << 20)            /* refs in one task's arguments */
#define TASK_RESULTS_MAX 4096u
#define TASK_NAME_MAX 256u
#define WHY_MAX 4096u                       /* an error's text */
#define MSG_BYTES_MAX (4u * 1024 * 1024)    /* one encoded record */
#define POST_BYTES_MAX (1024u * 1024)       /* one message of a task to its submitter */
#define POST_WINDOW 256u                    /* unread posts of one task */

#endif
