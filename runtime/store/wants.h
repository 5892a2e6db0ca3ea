/* wants.h - what a process has asked its node for, by size.
 *
 *          alloc finds no room      store_want()           grant
 *   NONE ----------------------> NEW ----------> ASKED -------------> NONE
 *    ^                            ^                |
 *    |  told                      | alloc          | refusal, and somebody waits
 *    +--------- SEEN <------ REFUSED <-------------+
 *                 |    alloc
 *                 +-----------> NEW
 *
 * A refusal is kept until it is told, so that a caller may look at it before or
 * after it tries again; a caller that never looks asks again at the second try.
 */
#ifndef COVEY_STORE_WANTS_H
#define COVEY_STORE_WANTS_H

#include "core/msg.h"
#include "store/store.h"

struct lent;

enum want_state { WANT_NONE, WANT_NEW, WANT_ASKED, WANT_REFUSED, WANT_SEEN };

struct want {
    enum want_state state;
    uint64_t request;
    uint64_t bytes;             /* what is asked for */
    uint64_t bytes_min;         /* what would do */
    bool needed;                /* else asked for ahead: a refusal is not news */
    struct lent *lent;          /* owned; room to note the grant */
    struct msg_extent_refused why;
};

struct wants {
    /* The first is for shared extents, the others for one size each. */
    struct want want[STORE_WANTS_MAX];
    uint64_t request_last;
};

void wants_fini(struct wants *w);
/* The one for large extents of this size; NULL if there is none. */
struct want *wants_find(struct wants *w, uint64_t bytes);
/* An unused one, or the one whose refusal nobody came for; NULL: all are out. */
struct want *wants_unused(struct wants *w);
struct want *wants_asked(struct wants *w, uint64_t request);
/* The next to tell the node; it is then asked. */
bool wants_next(struct wants *w, struct msg_extent_want *out);
/* Back to nothing. */
void want_clear(struct want *want);

#endif
