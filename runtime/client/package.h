/* package.h - this program, as nodes know it. */
#ifndef COVEY_CLIENT_PACKAGE_H
#define COVEY_CLIENT_PACKAGE_H

#include "client/process.h"

/* Tell the node how to start it: path, argv, environment, directory.  Lock
 * held.  Sets covey_error(). */
covey_status package_tell(covey *c);

#endif
