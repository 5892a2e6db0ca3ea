/* query.h - a command's conversation with a running cluster.
 *
 * Enters the local node by its door as a tool (a process without tasks and
 * without an arena), then asks over an ordinary link.  Every wait has a
 * deadline, and the node's death ends it at once: the door's end of file says so.
 *
 * Threads: one.
 */
#ifndef COVEY_TOOLS_QUERY_H
#define COVEY_TOOLS_QUERY_H

#include "core/msg.h"
#include "io/places.h"

#define QUERY_COLUMNS_MAX 32u   /* in one row */

struct query;

/* COVEY_ENOCLUSTER, COVEY_EREFUSED, COVEY_EVERSION, COVEY_ETIMEOUT,
 * COVEY_ESYSTEM; in words in @why. */
covey_status query_open(struct query **out, const struct places *p, int64_t timeout_ms, char *why,
                        size_t why_size);
void query_close(struct query **query);
struct addr query_node(const struct query *query);  /* of this machine */

struct query_request {
    struct addr to;             /* query_node() or ADDR_HEAD */
    enum query_what what;
    uint32_t limit;
    const char *state, *id;     /* NULL: all */
};
/* @cells are borrowed until return. */
typedef void (*query_row_fn)(void *ctx, const char *const *cells, uint32_t columns);

/* Ask, and call @fn for each row of the answer.  *@dropped: rows that existed
 * and were not shown.  COVEY_ETIMEOUT, COVEY_ECLOSED (the node died),
 * COVEY_EPROTO; in words in query_why(). */
covey_status query_ask(struct query *query, const struct query_request *request,
                       int64_t timeout_ms, query_row_fn fn, void *ctx, uint64_t *dropped);
const char *query_why(const struct query *query);

/* Ask @to to end.  What becomes of it is seen with query_wait(). */
covey_status query_shutdown(struct query *query, struct addr to, int64_t grace_ms);
/* Keep the conversation going until @fd (a pidfd) is readable or the deadline,
 * of mono_ns(), has passed: a tool that left at once might be forgotten before
 * its last message is read.  True if @fd is readable.  @query may be NULL. */
bool query_wait(struct query *query, int fd, int64_t deadline);

#endif
