/* file.h - descriptors, with the whole of what is asked for.
 *
 * Any thread.
 */
#ifndef COVEY_BASE_FILE_H
#define COVEY_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Write all of it, however many calls that takes; on one that does not block, EAGAIN is a
 * failure like any.  False with errno: any part of it may be written. */
bool file_write(int fd, const void *data, size_t size);

#endif
