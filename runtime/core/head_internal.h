/* head_internal.h - what the files of the head share.  Nobody else includes it.
 *
 *   head.c     assembly: messages in, the record, time
 *   head_node.c membership and views
 *   head_kv.c  key-value
 *
 * Whatever must be safe first is a struct pending: it stands in line with the
 * number of the last record before it, and is carried out when that is safe, in
 * the order in which it came.  State that is not safe yet is "staged": it counts
 * for new requests, and nobody is told about it.
 */
#ifndef COVEY_CORE_HEAD_INTERNAL_H
#define COVEY_CORE_HEAD_INTERNAL_H

#include "core/head.h"
#include "core/list.h"
#include "core/map.h"

#define HEAD_NAME_MAX 64u       /* of a node in lists, with the NUL */

struct head_node {
    uint32_t number, inc;
    uint64_t boot;              /* 0: none joined since the record began */
    char name[HEAD_NAME_MAX];
    struct resources total, free;
    struct addr addr;
    bool joined;                /* was told so, and is not gone */
    bool alive;                 /* and was heard lately */
    bool retry;                 /* its join waits for the disk to work again */
    int64_t heard_at;
    struct list in_alive;       /* head.alive, the longest silent first */
    struct msg_node_state state;
};

struct kv_value {
    uint64_t writer;            /* sender and request, mixed */
    uint32_t len;
    uint8_t data[];
};

struct kv_entry {
    struct kv_entry *next;      /* another key of the same hash */
    struct kv_value *safe;      /* owned; NULL: none yet */
    struct kv_value *staged;    /* the newest on its way; its pending owns it */
    uint32_t key_len;
    uint8_t key[];
};

enum pending_kind { PENDING_EPOCH, PENDING_JOIN, PENDING_PACKAGE,
                    PENDING_PUT, PENDING_PUT_AGAIN, PENDING_PUT_REFUSED, PENDING_GET };

struct pending {
    struct list in_head;
    enum pending_kind kind;
    uint64_t number;
    struct addr to;
    uint64_t request;           /* of a put or get; the boot of a join */
    struct head_node *node;
    struct hash128 package;
    struct kv_entry *entry;
    struct kv_value *value;     /* owned; of a put */
    uint64_t writer;
};

struct head {
    const struct head_ops *ops;
    void *io;
    int64_t now;
    uint64_t epoch;
    bool started, epoch_staged, epoch_safe;
    /* the record */
    uint64_t number, safe;      /* last given out, last that is safe or failed */
    struct list pending;
    uint32_t pending_count;
    struct buf row;
    /* members */
    struct map nodes;           /* number -> head_node */
    uint32_t node_last;
    struct list alive;
    uint32_t retries;           /* nodes whose join is to be tried again */
    int64_t retry_at;
    bool members_changed, amounts_changed;
    int64_t view_sent_at;
    uint64_t view_count;
    /* the rest */
    struct map packages;        /* hash -> something */
    struct map kv;              /* two hashes of the key -> kv_entry */
    uint32_t kv_count;
    uint64_t kv_bytes;
};

/* head.c */
void head_send(struct head *h, struct addr to, const struct msg *msg);
/* One row on its way to the disk; false: too many are, or no memory. */
bool head_persist(struct head *h, const char *table, struct span key, const struct msg *value);
/* A place in line for @what, before anything is handed to the disk for it: so
 * nothing becomes safe that nobody can be told of.  NULL: no memory, or too many
 * wait.  Then either head_queue(), which carries it out when everything that was
 * handed over before is safe (perhaps at once), or free(). */
struct pending *head_reserve(struct head *h, const struct pending *what);
void head_queue(struct head *h, struct pending *p);
static inline bool head_later(struct head *h, const struct pending *what)
{
    struct pending *p = head_reserve(h, what);
    if (p)
        head_queue(h, p);
    return p != NULL;
}

/* head_node.c */
struct head_node *members_find(const struct head *h, uint32_t number);
covey_status members_load(struct head *h, struct span key, struct span value);
void members_join(struct head *h, struct addr from, const struct msg_node_join *msg);
void members_joined(struct head *h, const struct pending *p, bool ok);
void members_state(struct head *h, struct addr from, const struct msg_node_state *msg);
void members_gone(struct head *h, struct head_node *node);
void members_query(struct head *h, struct addr from, const struct msg_query *msg);
void members_shutdown(struct head *h, int64_t grace_ms);
void members_tick(struct head *h);
int64_t members_deadline(const struct head *h);
void members_free(struct head *h);

/* head_kv.c */
covey_status kv_load(struct head *h, struct span key, const struct msg_kv_put *msg);
void kv_put(struct head *h, struct addr from, const struct msg_kv_put *msg);
void kv_get(struct head *h, struct addr from, const struct msg_kv_get *msg);
void kv_done(struct head *h, struct pending *p, bool ok);
void kv_free(struct head *h);

#endif
