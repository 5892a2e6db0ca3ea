/* package.h - this program, as nodes know it. */
#ifndef COVEY_CLIENT_PACKAGE_H
#define COVEY_CLIENT_PACKAGE_H

#include "client/process.h"

/* The content hash of the running program (xxh3-128), computed once a process. */
covey_status package_hash(struct hash128 *out);
/* Tell the node how to start it: path, argv, environment, directory.  Lock
 * held.  Sets covey_error(). */
covey_status package_tell(covey *c);

#endif
