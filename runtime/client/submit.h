/* submit.h - encoding arguments and submitting, shared by tasks and commands.
 * Lock held throughout. */
#ifndef COVEY_CLIENT_SUBMIT_H
#define COVEY_CLIENT_SUBMIT_H

#include <stdarg.h>

#include "client/process.h"
#include "client/registry.h"

#define ENCODING_TEMPORARIES_MAX 64 /* large arguments that submit puts itself */
#define SUBMIT_LOOK 32              /* submits between two looks at the sockets */

/* One call's arguments on their way into c->args and c->deps. */
struct encoding {
    covey_status status;
    char why[1024];
    const char *signature_text;
    int64_t grace_ms;           /* of a command; 0: as usual */
    uint32_t dep_count;
    uint32_t temporary_count;
    covey_ref temporaries[ENCODING_TEMPORARIES_MAX];    /* held until the task holds them */
};

/* Records the status and the words; returns false. */
bool encoding_fail(struct encoding *e, covey_status status, const char *format, ...) COVEY_PRINTF(3, 4);
bool encode_args(covey *c, struct encoding *e, const struct signature *s, covey_args args);
covey_ref submit_encoded(covey *c, struct encoding *e, const char *task, uint32_t result_count,
                         const covey_opts *opts);
void encoding_end(covey *c, struct encoding *e);
void submit_after(covey *c);

/* The caller frees *@out. */
bool pack_object(const covey_type *type, const void *object, void **out, size_t *size);

/* client/put.c: copy into the store (or inline, when small).  May wait for the
 * store with the lock let go.  Sets covey_error(). */
covey_status put_locked(covey *c, const void *data, size_t size, covey_kind kind, covey_ref *out);
/* Room for @id; waits for an extent at most PUT_WAIT. */
covey_status alloc_locked(covey *c, struct oid id, covey_kind kind, uint64_t size, struct place *place, void **data);
#define PUT_WAIT (10 * SECOND_NS)
#define LARGE_COPY (64u * 1024)     /* copied without the lock */

#endif
