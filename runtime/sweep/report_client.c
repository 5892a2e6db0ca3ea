/* report_client.c - covey_report(): a program tells the sweep that started it.
 *
 * One connection a process, opened by the first report.  A child of fork() opens
 * its own: two on one would take each other's answers.  After an answer that did
 * not come the connection is closed, so that it cannot come for the next report.
 *
 * It is part of libcovey and needs libc alone: the program has neither json-c nor
 * a cluster.  Answers are the sweep's own, {"stop":false,"error":"why"}, so
 * looking for the two keys is enough: in a string, their quotes are escaped. */
#include "covey/sweep.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

#define ANSWER_S 600            /* checkpoints of others may be copied before this one's */
#define ANSWER_MAX 1024         /* bytes of an answer */
#define REPORT_MAX (64u * 1024) /* of a report, as the sweep has it */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int connection = -1;     /* under the lock */
static _Thread_local char report_error[ANSWER_MAX];

const char *covey_report_error(void) { return report_error; }

static covey_status fail(covey_status status, const char *format, ...) COVEY_PRINTF(2, 3);
static covey_status fail(covey_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(report_error, sizeof report_error, format, args);
    va_end(args);
    return status;
}

static void hang_up(void)
{
    if (connection >= 0)
        close(connection);
    connection = -1;
}

/* A thread that this process does not have may have held the lock. */
static void on_fork(void)
{
    pthread_mutex_init(&lock, NULL);
    hang_up();
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, on_fork); }

/* ---- asking --------------------------------------------------------------------------- */

static covey_status open_connection(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *path = getenv("COVEY_REPORT");
    if (!path || !*path)
        return fail(COVEY_ENOCLUSTER, "no sweep started this program: COVEY_REPORT is not set");
    if (connection >= 0)
        return COVEY_OK;
    if (strlen(path) >= sizeof at.sun_path)
        return fail(COVEY_EINVAL, "COVEY_REPORT is too long for a socket: %s", path);
    memcpy(at.sun_path, path, strlen(path) + 1);
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0)
        return fail(COVEY_ESYSTEM, "socket: %s", strerror(errno));
    if (connect(connection, (struct sockaddr *)&at, sizeof at) == 0)
        return COVEY_OK;
    int error = errno;
    hang_up();
    return fail(COVEY_ECLOSED, "the sweep is not there any more: %s: %s", path, strerror(error));
}

static bool send_all(const char *line, size_t size)
{
    while (size > 0) {
        ssize_t n = send(connection, line, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        line += n;
        size -= (size_t)n;
    }
    return true;
}

/* One line, without its end.  Nothing follows it: there is one question at a time. */
static covey_status receive(char answer[ANSWER_MAX])
{
    const int64_t until_ms = clock_mono_ms() + ANSWER_S * 1000;
    size_t len = 0;
    while (len + 1 < ANSWER_MAX) {
        struct pollfd fd = {connection, POLLIN, 0};
        int64_t left_ms = until_ms - clock_mono_ms();
        int ready = poll(&fd, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready == 0)
            return fail(COVEY_ETIMEOUT, "the sweep has not answered for %d s", ANSWER_S);
        ssize_t n = ready < 0 ? -1 : recv(connection, answer + len, ANSWER_MAX - 1 - len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(COVEY_ECLOSED, "the sweep has closed the connection");
        len += (size_t)n;
        if (answer[len - 1] == '\n') {
            answer[len - 1] = 0;
            return COVEY_OK;
        }
    }
    return fail(COVEY_EPROTO, "the sweep's answer is too long");
}

static covey_status ask(const char *line, size_t size, char answer[ANSWER_MAX])
{
    bool kept = connection >= 0;
    covey_status status = open_connection();
    if (status == COVEY_OK && !send_all(line, size)) {
        hang_up();              /* closed since the last report, which was answered: once more */
        status = kept ? open_connection() : COVEY_ECLOSED;
        if (status == COVEY_OK && !send_all(line, size))
            status = COVEY_ECLOSED;
        if (status == COVEY_ECLOSED)
            fail(status, "the sweep is not there any more");
    }
    if (status == COVEY_OK)
        status = receive(answer);
    if (status != COVEY_OK)
        hang_up();
    return status;
}

/* ---- the answer ------------------------------------------------------------------------ */

/* What follows @key (with its quotes) and a colon; NULL. */
static const char *find_value(const char *answer, const char *key)
{
    const char *at = strstr(answer, key);
    if (!at)
        return NULL;
    at += strlen(key);
    at += strspn(at, " \t");
    return *at == ':' ? at + 1 + strspn(at + 1, " \t") : NULL;
}

/* A JSON string's text into report_error; only \" and \\ are turned back. */
static void take_error(const char *string)
{
    size_t len = 0;
    for (const char *c = string + 1; *c && *c != '"' && len + 1 < sizeof report_error; c++) {
        if (*c == '\\' && (c[1] == '"' || c[1] == '\\' || c[1] == '/'))
            c++;
        report_error[len++] = *c;
    }
    report_error[len] = 0;
}

static covey_status read_answer(const char *answer)
{
    const char *stop = find_value(answer, "\"stop\""), *error = find_value(answer, "\"error\"");
    if (!stop)
        return fail(COVEY_EPROTO, "the sweep's answer is not understood: %.200s", answer);
    if (strncmp(stop, "true", 4) == 0)
        return COVEY_ECANCELLED;
    if (!error || *error != '"')
        return COVEY_OK;
    take_error(error);
    return COVEY_EPROTO;
}

covey_status covey_report(const char *report)
{
    char answer[ANSWER_MAX];
    report_error[0] = 0;
    size_t len = report ? strlen(report) : 0;
    if (len == 0 || len >= REPORT_MAX)
        return fail(COVEY_EINVAL, "a report is a JSON object of at most %u bytes", REPORT_MAX - 1);
    char *line = malloc(len + 1);
    if (!line)
        return fail(COVEY_ENOMEM, "out of memory");
    for (size_t i = 0; i < len; i++)
        line[i] = isspace((unsigned char)report[i]) ? ' ' : report[i];     /* it is to be one line */
    line[len] = '\n';
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
    covey_status status = ask(line, len + 1, answer);
    pthread_mutex_unlock(&lock);
    free(line);
    return status == COVEY_OK ? read_answer(answer) : status;
}
