/* command.h - what client and worker agree on about command tasks. */
#ifndef COVEY_WORKER_COMMAND_H
#define COVEY_WORKER_COMMAND_H

#include "worker/run.h"

#define COMMAND_SIGNATURE "any..."
#define COMMAND_SHOW 1u
#define COMMAND_ANY_EXIT 2u
#define COMMAND_REPORT_STDOUT 4u
#define COMMAND_FILES_MAX 1024
#define COMMAND_NAME_MAX 1024
#define COMMAND_CAPTURE_MAX (16u * 1024 * 1024) /* of each stream, the last */
#define COMMAND_LOG_MAX (64u * 1024 * 1024)     /* of one run's log */
#define COMMAND_TAIL 600u                       /* bytes of output told in an error */

#endif
