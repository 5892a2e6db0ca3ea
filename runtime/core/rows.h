/* rows.h - the columns of the answers to queries, for those who write them
 * (node, owner) and those who read them (the command line).
 *
 * Every cell is text without NUL.  Names carry units.  A cell is empty where
 * the answer is not known.  Columns are only ever appended.
 *
 *   tasks    id is "tP.N": the N-th slot use of owner process P.  States of live
 *            tasks are the owner's (waiting queued pushed revoking paused local),
 *            of finished ones done, failed or cancelled.
 *   workers  id is "wP".  starting idle running blocked ending
 *   objects  id is "oP.N.I".  sealed; adopted: its owner is dead
 *   nodes    alive suspect
 *   status   one pair a row
 *   log      of worker "w3", a line a row; of task "t5.12", its position, a blank
 *            and the line.  Task "t5.12@POSITION": the lines behind that one.
 */
#ifndef COVEY_CORE_ROWS_H
#define COVEY_CORE_ROWS_H

#include "core/msg.h"

#define ROWS_STATUS(X) X(key) X(value)
#define ROWS_TASKS(X) X(id) X(state) X(name) X(owner) X(worker) X(attempt) X(run_ms) \
                      X(end_unix_ms) X(status)
#define ROWS_WORKERS(X) X(id) X(pid) X(state) X(program) X(owner) X(tasks)
#define ROWS_OBJECTS(X) X(id) X(size_bytes) X(kind) X(node) X(place) X(state)
#define ROWS_NODES(X) X(id) X(name) X(state) X(cpus) X(cpus_free) X(gpus) X(gpus_free) \
                      X(memory_bytes) X(memory_free_bytes) X(store_bytes) X(store_used_bytes) X(workers)

enum {
#define ROWS_COUNT_(name) + 1
    ROWS_STATUS_COLUMNS = 0 ROWS_STATUS(ROWS_COUNT_),
    ROWS_TASKS_COLUMNS = 0 ROWS_TASKS(ROWS_COUNT_),
    ROWS_WORKERS_COLUMNS = 0 ROWS_WORKERS(ROWS_COUNT_),
    ROWS_OBJECTS_COLUMNS = 0 ROWS_OBJECTS(ROWS_COUNT_),
    ROWS_NODES_COLUMNS = 0 ROWS_NODES(ROWS_COUNT_),
#undef ROWS_COUNT_
};

#define ROWS_LIMIT_MAX 100000u  /* rows in one answer; a query's limit 0 means this */
#define ROWS_BYTES (256u * 1024) /* cells in one message, about */

struct rows_table {
    uint32_t columns;           /* 0: nothing that a node answers with rows */
    const char *const *names;
};

static inline struct rows_table rows_table_of(uint32_t what)
{
#define ROWS_NAME_(name) #name,
    static const char *const status[] = {ROWS_STATUS(ROWS_NAME_)};
    static const char *const tasks[] = {ROWS_TASKS(ROWS_NAME_)};
    static const char *const workers[] = {ROWS_WORKERS(ROWS_NAME_)};
    static const char *const objects[] = {ROWS_OBJECTS(ROWS_NAME_)};
    static const char *const nodes[] = {ROWS_NODES(ROWS_NAME_)};
#undef ROWS_NAME_
    switch (what) {
    case QUERY_STATUS: return (struct rows_table){ROWS_STATUS_COLUMNS, status};
    case QUERY_TASKS: return (struct rows_table){ROWS_TASKS_COLUMNS, tasks};
    case QUERY_WORKERS: return (struct rows_table){ROWS_WORKERS_COLUMNS, workers};
    case QUERY_OBJECTS: return (struct rows_table){ROWS_OBJECTS_COLUMNS, objects};
    case QUERY_NODES: return (struct rows_table){ROWS_NODES_COLUMNS, nodes};
    default: return (struct rows_table){0, NULL};
    }
}

/* What people see of a seq: an owner's seq is a serial number and a slot
 * (owner.h), and the serial alone is unique. */
#define ROWS_SLOT_BITS 28
static inline unsigned long long rows_number(uint64_t seq)
{
    return (unsigned long long)(seq >> ROWS_SLOT_BITS);
}

#endif
