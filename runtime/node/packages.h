/* packages.h - the programs that this node can start, and copies of their files.
 *
 * A package is known by the hash of its file.  The original path is executed as
 * long as the file there is the one that the client ran (device, inode, size
 * and modification time); so the usual case copies nothing on the way.  The
 * first time that a package is seen its file is copied in the background to
 * STATE/packages/HASH, checked by hash, for when the original was built anew or
 * removed while its tasks still run.
 *
 * Threads: the loop thread; the copy runs in libuv's pool.
 */
#ifndef COVEY_NODE_PACKAGES_H
#define COVEY_NODE_PACKAGES_H

#include <uv.h>

#include "core/msg.h"

#define PACKAGES_MAX 256u           /* known at a time */
#define PACKAGE_FILES_MAX 64u       /* copies, the longest unused removed first */
#define PACKAGE_FILE_BYTES_MAX (1024ull * 1024 * 1024)  /* larger programs are not copied */

struct packages;

/* Read-only for others. */
struct program {
    struct msg_package what;    /* spans point into memory of this program */
    char *path, *cwd;           /* of the client */
    uint32_t users;             /* zygotes */
    uint64_t used;              /* order of the last use */
    bool cached;                /* the copy is there and was checked */
    bool copying;
    struct packages *packages;
    uint8_t *bytes;             /* owned: everything above */
};

covey_status packages_open(struct packages **out, uv_loop_t *loop, const char *state_dir);
/* No copy may run any more: packages_busy(). */
void packages_close(struct packages **packages);
bool packages_busy(const struct packages *packages);

/* Know it, or find it again; it lives until packages_release() at least.
 * NULL: out of memory, or PACKAGES_MAX are in use. */
struct program *packages_take(struct packages *packages, const struct msg_package *what);
void packages_release(struct program *program);

/* The file to execute.  COVEY_ESTART with @why: the original has changed and
 * there is no copy. */
covey_status program_file(const struct program *program, char *path, size_t path_size, char *why,
                          size_t why_size);

#endif
