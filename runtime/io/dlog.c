/* dlog.c - see dlog.h for the contract. */
#include "io/dlog.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[DLOG_COUNT] = {"error", "warn", "info", "debug"};

static const char *daemon_name = "daemon";
static enum dlog_level limit = DLOG_INFO;
static atomic_size_t written;   /* since the file was emptied */

void dlog_open(const char *name)
{
    const char *wanted = getenv("COVEY_LOG");
    daemon_name = name;
    limit = DLOG_INFO;
    if (!wanted || !*wanted)
        return;
    for (int i = 0; i < DLOG_COUNT; i++) {
        if (strcmp(wanted, level_names[i]) == 0) {
            limit = (enum dlog_level)i;
            return;
        }
    }
    dlog_warn("COVEY_LOG=%s is none of error, warn, info, debug; it is info", wanted);
}

/* Only a file that each write appends to can be cut under its writers' hands. */
static void empty_file(void)
{
    static const char said[] = "covey: earlier lines are gone, to keep this file small\n";
    struct stat st;
    atomic_store(&written, 0);
    if (fstat(STDERR_FILENO, &st) != 0 || !S_ISREG(st.st_mode) || !(fcntl(STDERR_FILENO, F_GETFL) & O_APPEND))
        return;
    if (ftruncate(STDERR_FILENO, 0) == 0)
        (void)!write(STDERR_FILENO, said, sizeof said - 1);
}

void dlog_line(enum dlog_level level, const char *format, ...)
{
    char line[DLOG_LINE_MAX];
    struct timespec now;
    struct tm utc;
    if (level > limit)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t len = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    len += (size_t)snprintf(line + len, sizeof line - len, ".%03ldZ %-5s covey %s: ", now.tv_nsec / 1000000,
                            level_names[level], daemon_name);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + len, sizeof line - len, format, args);
    va_end(args);
    size_t end = len + (more > 0 ? (size_t)more : 0);
    if (end > sizeof line - 1)
        end = sizeof line - 1;
    for (; len < end; len++)            /* words of users may be among them, and one line stays one */
        if ((unsigned char)line[len] < ' ')
            line[len] = ' ';
    line[len++] = '\n';                 /* in place of the NUL: nobody needs it any more */
    if (write(STDERR_FILENO, line, len) < 0)
        return;                         /* there is nobody left to tell */
    if (atomic_fetch_add(&written, len) + len > DLOG_FILE_MAX)
        empty_file();
}
