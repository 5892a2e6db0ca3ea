/* head.h - the head's core machine: membership, packages, key-value.
 *
 * Off the path of every task.  Every change is persisted before its reply is
 * sent: head_ops.persist(record) is answered by head_persisted(), in order; a
 * reply waits for its record.  After a restart the record is loaded back
 * (head_load), the epoch is one higher, and nodes join again with the numbers
 * they had.  Where the record was lost the epoch begins above the time of day in
 * seconds, and so above all before, which began at 1 or at an earlier time.
 *
 * A node.  Its address's incarnation grows with each connection and each boot, and
 * what comes from an older one is late.  A new boot of a known number is its next incarnation, and what the
 * last one says from then on is ignored.  A node that asks for a number that
 * the record does not know gets it.  Joins are never refused: one that cannot be
 * written is tried again every HEAD_RETRY.
 *
 * KV_VALUE to a put: COVEY_OK; COVEY_EREFUSED, only_new and there is one: its
 * value comes along; COVEY_ESYSTEM, the disk failed; COVEY_ELIMIT, COVEY_ENOMEM,
 * COVEY_ETOOBIG, COVEY_EINVAL.  To a get: COVEY_OK; COVEY_EUNKNOWN, no such key.
 * A get is answered from what is safe, after everything that came before it.
 * A second copy of a put (same sender, request and value) changes nothing.
 *
 * SHUTDOWN goes on to every node.  QUERY_NODES is answered; other queries have
 * empty answers here.
 */
#ifndef COVEY_CORE_HEAD_H
#define COVEY_CORE_HEAD_H

#include "core/buf.h"
#include "core/msg.h"

#define HEAD_NODE_SUSPECT (3 * SECOND_NS)   /* silence before a node is not given work */
#define HEAD_STATE_EVERY (1 * SECOND_NS)    /* nodes report at least this often */
#define HEAD_RETRY (1 * SECOND_NS)          /* joins that could not be written */
#define HEAD_VIEW_EVERY (100 * MS_NS)       /* between two views, for members that come and go */
#define HEAD_VIEW_NODES_MAX 4096u           /* in one view */
#define HEAD_KV_BYTES_MAX (1024u * 1024)    /* one value */
#define HEAD_KV_KEY_MAX 1024u               /* bytes of a key */
#define HEAD_KV_ENTRIES_MAX (1u << 20)
#define HEAD_KV_TOTAL_MAX (256u * 1024 * 1024)  /* bytes of all keys and values */
#define HEAD_PACKAGES_MAX 65536u
#define HEAD_NODES_MAX 100000u
#define HEAD_PERSIST_MAX 65536u             /* records on their way to the disk, and answers that
                                               wait for them */

/* One row of the record. table: "node", "package", "kv", "meta". */
struct head_record {
    uint64_t number;            /* of this persist, from 1 */
    const char *table;
    struct span key, value;     /* empty value: delete */
};

struct head_ops {
    void (*send)(void *io, struct addr to, const struct msg *msg);
    void (*persist)(void *io, const struct head_record *record);    /* copies it */
    void (*shutdown)(void *io, int64_t grace_ms);
    void (*encode)(struct buf *out, const struct msg *msg);         /* values of the record */
    covey_status (*decode)(struct span bytes, struct msg *out);
    /* A node speaks from another address now: from this one nothing comes any more. */
    void (*forget)(void *io, struct addr peer);
};

struct head;
covey_status head_new(struct head **out, const struct head_ops *ops, void *io);
void head_free(struct head **head);
/* Before anything else, row by row as they were persisted; then head_start(). */
covey_status head_load(struct head *h, const char *table, struct span key, struct span value);
/* The record was lost: whatever epochs there have been, they were not above
 * @epoch.  Between head_new() and head_start(). */
void head_load_nothing(struct head *h, uint64_t epoch);
void head_start(struct head *h, int64_t now);
uint64_t head_epoch(const struct head *h);

void head_msg(struct head *h, struct addr from, const struct msg *msg, int64_t now);
/* Every record up to @number is safe (or @ok is false: the disk failed, and
 * the waiting requests are refused). */
void head_persisted(struct head *h, uint64_t number, bool ok, int64_t now);
/* If @who is a node: nothing more comes from it until it joins again. */
void head_node_gone(struct head *h, struct addr who, int64_t now);
void head_tick(struct head *h, int64_t now);
int64_t head_deadline(const struct head *h);

#endif
