/* head.h - the head process: core/head.h between its record and its port.
 *
 *   port --frames--> mesh --messages--> core head --rows--> record (thread)
 *        <--frames--      <--messages--           <--safe--
 *
 * One loop, one thread for the record's commits, ZeroMQ's own.  It holds
 * PLACES_HEAD_LOCK for as long as it lives, so there is one head a cluster,
 * and ends on SIGTERM, SIGINT or SIGHUP, or when the cluster is told to shut
 * down: what was put into the record is committed, and no socket stays.
 * Killed in any other way it leaves its socket, which the next head replaces.
 */
#ifndef COVEY_HEAD_HEAD_H
#define COVEY_HEAD_HEAD_H

#include "head/record.h"
#include "io/places.h"

#define HEAD_LINGER_MS 200      /* for last words to peers that still read */

struct head_options {
    struct record_options record;
};

/* Be the head of the cluster at @p, whose directories exist; blocks until it
 * ends.  @options may be NULL.  Takes @ready_fd (-1: none): "ready\n" is
 * written to it once frames are served, or "failed: WHY\n", and it is closed.
 *
 * Returns an exit status: 0 ended as told, 1 could not start, 4 another head
 * has this cluster. */
int head_main(const struct places *p, const struct head_options *options, int ready_fd);

#endif
