/* log_map.h - where in a worker's log stand the bytes that it printed.
 *
 * The log has whole lines of two streams, without what was dropped and with
 * lines of the node's own, so a stream's bytes are scattered over it in runs:
 *
 *   stdout  0 ......... 40    40 .... 60
 *            \           \     \       \
 *   log       0 ........ 40 50 ........ 70      40 to 50: a line of stderr
 *
 * Positions in the log count on over its files.  A worker that prints to one
 * stream only has one run.  More than LOG_RUNS_MAX forget the oldest.
 */
#ifndef COVEY_NODE_LOG_MAP_H
#define COVEY_NODE_LOG_MAP_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_RUNS_MAX 4096u      /* 128 KiB, of a worker that changes streams with each line */

struct log_run {
    uint64_t from, len;         /* in the stream */
    uint64_t at;                /* in the log */
    bool is_error;
};

struct log_map {
    struct log_run *runs;       /* owned; as they stand in the log */
    uint32_t count, cap;
};

void log_map_fini(struct log_map *map);
/* @at is behind everything added before.  A run never crosses @file_begin.
 * Without memory it is left out: the text stays, nobody's. */
void log_map_add(struct log_map *map, struct log_run run, uint64_t file_begin);
/* Forget what stands before @at. */
void log_map_forget(struct log_map *map, uint64_t at);
/* Nothing more will be added: give back room. */
void log_map_end(struct log_map *map);

#endif
