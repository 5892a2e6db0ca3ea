/* page.h - a page of memory that a node shares with one of its workers.
 *
 *   node    writes how many bytes it has read from each of the worker's pipes
 *   worker  writes which task runs, and how much had been printed before it
 *
 * How much a worker has printed, by whatever thread or child of it, is what was
 * read from the pipe and what is still in it.  So the worker can count without
 * touching what it prints, for two system calls a task, and for none where a task
 * was over before it could have written; and the node knows which task ran when a
 * worker died, and whose output is whose.
 *
 * The counts and the task are written between two steps of a turn, which is odd
 * meanwhile, so that the other side sees all of a write or none.  What a node
 * finds in a page is a worker's claim.
 *
 * Threads: one at a time on either side.
 */
#ifndef COVEY_IO_PAGE_H
#define COVEY_IO_PAGE_H

#include "core/msg.h"

#define PAGE_STREAMS 2          /* standard output, standard error */

struct page;

/* ---- the node's side */

/* COVEY_ESYSTEM with errno.  The caller owns *@fd, to be given to the worker. */
covey_status page_new(struct page **out, int *fd);
void page_free(struct page **page);
/* Around each read of the worker's pipe; @taken is the sum of all reads. */
void page_read_begin(struct page *page, bool is_error);
void page_read_end(struct page *page, bool is_error, uint64_t taken);

struct page_task {
    struct addr owner;
    uint64_t seq;
    uint32_t attempt;
    uint64_t out_begin, err_begin;
};
/* The task that runs; in a dead worker's page, that ran.  False: none, or it
 * changes just now. */
bool page_running(const struct page *page, struct page_task *out);

/* ---- the worker's side */

struct page_user {
    struct page *page;          /* NULL: none, nothing is counted */
    int streams[PAGE_STREAMS];  /* copies of the pipes, whatever becomes of 1 and 2 */
    uint64_t printed[PAGE_STREAMS];
    int64_t quiet_ns;           /* whoever ran for less than this has not printed */
};

/* Map the page and count from now on.  Takes @fd.  Failing leaves @user without
 * a page, which costs only what the page is for. */
void page_user_open(struct page_user *user, int fd);
/* Bring @user->printed up to date. */
void page_count(struct page_user *user);
/* A task begins; what is printed from here on is its.  No task: @seq 0. */
void page_run(struct page_user *user, struct addr owner, uint64_t seq, uint32_t attempt);

#endif
