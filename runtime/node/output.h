/* output.h - the two pipes to which a program under the node prints.
 *
 * Both are read by the loop into one log.  The pipes may outlive the program,
 * where something that it started holds them; closing ends that.
 *
 * Threads: the loop thread.
 */
#ifndef COVEY_NODE_OUTPUT_H
#define COVEY_NODE_OUTPUT_H

#include "io/watch.h"
#include "node/logs.h"

struct output {
    struct log *log;            /* owned; NULL: not open */
    struct stream {
        int fd;                 /* owned; -1: ended */
        struct watch *watch;    /* owned */
        struct output *output;
    } streams[2];               /* stdout, stderr */
};

/* Where @output is must not change.  @proc as in log_open().  The caller owns
 * @write_fds, to be given to the program and closed.  COVEY_ESYSTEM, errno. */
covey_status output_open(struct output *output, uv_loop_t *loop, struct logs *logs, uint32_t proc,
                         int write_fds[2]);
/* Read what is there now (bounded), so that the last lines are the last. */
void output_drain(struct output *output);
/* Drain and close.  Fine if it is not open. */
void output_close(struct output *output);

#endif
