/* record.h - the head's record on disk: four tables of keys and values.
 *
 * A thread of its own commits.  While one commit is on its way what arrives
 * gathers for the next, so the disk sets the size of a group and a lone change
 * waits for nobody.  What record_take() has told as safe survives kill -9 of
 * the process at any instant; with @power_safe it survives a power cut, too.
 *
 *   journal   WAL, synchronous NORMAL (FULL with @power_safe).  On a network
 *             file system, where WAL's shared memory is not to be trusted, a
 *             rollback journal with synchronous FULL.
 *   lock      exclusive for as long as it is open: a second head is refused
 *   damage    found when it is opened: the files are set aside as
 *             record.db.damaged-TIME, and a new record begins; said in @why, and
 *             by record_began_anew()
 *
 * Threads: the head's only, except that the commits run in the record's own.
 */
#ifndef COVEY_HEAD_RECORD_H
#define COVEY_HEAD_RECORD_H

#include "core/head.h"

#define RECORD_FILE "record.db"
#define RECORD_FORMAT 1
#define RECORD_BATCH_MAX 4096u          /* rows in one commit */
/* Bytes on their way to the disk; what exceeds it is refused as if the disk
 * had failed.  (Rows are bounded by HEAD_PERSIST_MAX.) */
#define RECORD_QUEUE_BYTES_MAX (256u * 1024 * 1024)

struct record;

struct record_options {
    bool power_safe;
    bool rollback;      /* a rollback journal wherever the file lies */
};

/* Open or create @path (0600).  On COVEY_OK @why is "" or something that its
 * user should be told.
 *
 * COVEY_EAGAIN    another process has it
 * COVEY_EVERSION  a newer covey wrote it, or something else did
 * COVEY_ENOMEM, COVEY_ESYSTEM */
covey_status record_open(struct record **out, const char *path, const struct record_options *options,
                         char *why, size_t why_size);
/* Commits what was put, then ends the thread.  Of NULL does nothing. */
void record_close(struct record **record);

/* What was kept before is lost, and with it the epochs that there have been. */
bool record_began_anew(const struct record *record);

/* Every row, in the order of their first put: "meta", "node", "package", "kv".
 * Before the first record_put().  Stops at what @row returns if it is not
 * COVEY_OK.  @key and @value are borrowed until @row returns. */
covey_status record_load(struct record *record,
                         covey_status (*row)(void *io, const char *table, struct span key,
                                             struct span value),
                         void *io, char *why, size_t why_size);

/* Queue one change; copies it.  Numbers grow.  At most HEAD_PERSIST_MAX may be
 * on their way; more is a bug of the caller. */
void record_put(struct record *record, const struct head_record *row);
/* Readable when record_take() has news.  The record owns it. */
int record_fd(const struct record *record);
/* Every change up to *@number is safe (@ok), or those since the last call are
 * not: the disk failed.  False: nothing new. */
bool record_take(struct record *record, uint64_t *number, bool *ok);
/* What the disk said last, in words; "" if it never failed. */
void record_error(struct record *record, char *why, size_t why_size);

#endif
