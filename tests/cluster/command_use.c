/* command_use.c - command tasks: logs, reports, exit, grace.
 *
 * The commands are this program itself, called with the name of what to do (the
 * table `peers`), so that each says exactly what a test needs to its report
 * socket: much, nothing, too much, bytes that are no text, and half a line.
 */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "check.h"

#define REPORT_ENV "TEST_REPORT"
#define MANY 40                 /* connections at once ... */
#define EACH 20                 /* ... and what each asks */
#define SILENT 150              /* more than a task keeps open */
#define LINE_MAX_BYTES 65536    /* as covey.h says */
#define LOG_MAX_BYTES (64 << 20)
#define FLOOD "300M"
#define DEAF_QUESTIONS 100
#define DEAF_ANSWER_BYTES 20000 /* all of them are more than a socket takes */
#define SOON_MS 3000
#define GRACE_MS 50

/* ---- as a command ----------------------------------------------------------------------- */

static int dial(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", getenv(REPORT_ENV));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    perror("connect");
    exit(10);
}

static void say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text))
        exit(11);
}

/* One line, without its end.  False: the other side hung up. */
static bool hear(int fd, char *out, size_t size)
{
    size_t len = 0;
    while (len < size - 1 && recv(fd, out + len, 1, 0) == 1 && out[len] != '\n')
        len++;
    bool whole = len < size - 1 && out[len] == '\n';
    out[len] = 0;
    return whole;
}

/* The test answers "re: " and the question. */
static void ask(int fd, const char *question)
{
    char line[128], want[128], answer[256];
    snprintf(line, sizeof line, "%s\n", question);
    snprintf(want, sizeof want, "re: %s", question);
    say(fd, line);
    if (!hear(fd, answer, sizeof answer) || strcmp(answer, want) != 0) {
        fprintf(stderr, "\"%s\" to \"%s\"\n", answer, question);
        exit(12);
    }
}

/* All connections ask before any listens. */
static void peer_many(void)
{
    int fds[MANY];
    char line[64], want[64], answer[64];
    for (int i = 0; i < MANY; i++)
        fds[i] = dial();
    for (int k = 0; k < EACH; k++) {
        for (int i = 0; i < MANY; i++) {
            snprintf(line, sizeof line, "%d.%d\n", i, k);
            say(fds[i], line);
        }
        for (int i = 0; i < MANY; i++) {
            snprintf(want, sizeof want, "re: %d.%d", i, k);
            if (!hear(fds[i], answer, sizeof answer) || strcmp(answer, want) != 0)
                exit(12);
        }
    }
}

static void peer_silent(void)
{
    for (int i = 0; i < SILENT; i++)
        (void)dial();
    ask(dial(), "after the silent");
}

static void peer_long(void)
{
    static char line[LINE_MAX_BYTES + 2];
    char answer[16];
    int fd = dial();
    memset(line, 'x', sizeof line - 2);
    line[sizeof line - 2] = '\n';
    say(fd, line);                      /* as long as may be */
    if (!hear(fd, answer, sizeof answer))
        exit(13);
    line[sizeof line - 2] = 'x';        /* and longer */
    (void)send(fd, line, sizeof line - 1, MSG_NOSIGNAL);
    (void)send(fd, "\n", 1, MSG_NOSIGNAL);
    if (hear(fd, answer, sizeof answer))
        exit(14);
    ask(dial(), "another connection");
}

static void peer_parts(void)
{
    static const char junk[] = "\0\x01\xff\xfe{\0\n";
    int fd = dial();
    say(fd, "ha");
    say(fd, "lf\n\n\nsec");
    say(fd, "ond\n");
    (void)send(fd, junk, sizeof junk - 1, MSG_NOSIGNAL);
    say(fd, "without an end");
    close(fd);
}

/* With an answer that was never read: the other side then hears of a reset. */
static void peer_reset(void)
{
    int fd = dial();
    struct pollfd answered = {fd, POLLIN, 0};
    say(fd, "heard\n");
    (void)poll(&answered, 1, CHECK_GET_MS);
    say(fd, "without an end");
    close(fd);
}

/* Whoever comes next gets its own answer and not one that is left. */
static void peer_leave(void)
{
    for (int i = 0; i < MANY; i++) {
        int fd = dial();
        say(fd, "gone\n");
        close(fd);
        ask(dial(), "here");
    }
}

static void peer_deaf(void)
{
    int deaf = dial();
    for (int i = 0; i < DEAF_QUESTIONS; i++)
        if (send(deaf, "deaf\n", 5, MSG_NOSIGNAL) != 5)
            break;                      /* it was hung up on */
    ask(dial(), "one that hears");
}

/* Two questions, which are answered the other way round. */
static void peer_turned(void)
{
    char answer[64];
    int a = dial(), b = dial();
    say(a, "first\n");
    say(b, "second\n");
    if (!hear(b, answer, sizeof answer) || strcmp(answer, "re: second") != 0)
        exit(12);
    if (!hear(a, answer, sizeof answer) || strcmp(answer, "re: first") != 0)
        exit(12);
    ask(a, "third");
}

static void peer_path(void) { printf("%s", getenv(REPORT_ENV)); }

static void peer_stdout(void)
{
    printf("a word\n{\"step\": 1}\nmore\n{\"step\": 2}");
}

static const struct { const char *name; void (*fn)(void); } peers[] = {
    {"many", peer_many}, {"silent", peer_silent}, {"long", peer_long}, {"parts", peer_parts}, {"reset", peer_reset},
    {"leave", peer_leave},
    {"deaf", peer_deaf}, {"turned", peer_turned}, {"path", peer_path}, {"stdout", peer_stdout},
};

static void be_peer(const char *name)
{
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++)
        if (strcmp(peers[i].name, name) == 0) {
            peers[i].fn();
            exit(0);
        }
    exit(9);
}

/* ---- the submitter's side ----------------------------------------------------------------- */

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define COMMAND(...) covey_submit_command(c, &(const covey_command){.size = sizeof(covey_command), __VA_ARGS__}, NULL)

static void log_path(const char *name, char *out, size_t size) { snprintf(out, size, "%s/%s", getenv("TMPDIR"), name); }

static covey_ref submit_peer(covey *c, const char *what)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    return COMMAND(.argv = ARGV(self, what), .report_env = REPORT_ENV, .report_stdout = strcmp(what, "stdout") == 0);
}

static void answer(covey *c, const covey_message *m)
{
    static char text[DEAF_ANSWER_BYTES];
    size_t len;
    if (m->size == 4 && memcmp(m->data, "deaf", 4) == 0) {
        memset(text, 'd', sizeof text);
        len = sizeof text;
    } else {
        len = (size_t)snprintf(text, sizeof text, "re: %.*s", m->size < 100 ? (int)m->size : 4, (const char *)m->data);
    }
    if (m->question)
        (void)covey_answer(c, m, text, len);
}

/* Answers each question at once.  Returns how many messages came; @all gets the
 * short ones, each ended by '|'. */
static unsigned converse(covey *c, covey_ref ref, char *all, size_t size)
{
    covey_message m;
    unsigned count = 0;
    size_t len = 0;
    for (; covey_next_message(c, ref, CHECK_GET_MS, &m) == COVEY_OK; count++) {
        if (all && m.size + 1 < size - len) {
            memcpy(all + len, m.data, m.size);
            len += m.size;
            all[len++] = '|';
        }
        answer(c, &m);
    }
    if (all)
        all[len] = 0;
    return count;
}

static void check_peer(covey *c, const char *what, unsigned messages, const char *name)
{
    covey_ref ref = submit_peer(c, what);
    unsigned count = converse(c, ref, NULL, 0);
    check_i64(c, ref, 0, name);
    if (!check(count == messages, "%s: each line is a message", name))
        check_note("%u, not %u", count, messages);
    covey_release(c, ref);
}

static void check_parts(covey *c)
{
    static const char want[] = "half|||second|\0\x01\xff\xfe{\0|without an end|";
    char all[256];
    covey_ref ref = submit_peer(c, "parts");
    unsigned count = converse(c, ref, all, sizeof all);
    check_i64(c, ref, 0, "half lines, empty ones, and bytes that are no text");
    if (!check(count == 6 && memcmp(all, want, sizeof want) == 0, "arrive as they were written"))
        check_note("%u of 6 came, the first is %.20s", count, all);
    covey_release(c, ref);
}

static void check_turned(covey *c)
{
    covey_message m, late;
    covey_ref ref = submit_peer(c, "turned");
    uint64_t first = 0;
    while (covey_next_message(c, ref, CHECK_GET_MS, &m) == COVEY_OK) {
        if (m.size == 5 && memcmp(m.data, "first", 5) == 0) {
            first = m.question;
            continue;
        }
        answer(c, &m);
        if (m.size != 6)
            continue;
        late = (covey_message){.ref = ref, .question = first};
        covey_answer(c, &late, "re: first", 9);
    }
    check_i64(c, ref, 0, "questions that are answered out of turn");
    covey_release(c, ref);
}

static void check_late(covey *c)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const void *path = "";
    size_t len = 0;
    covey_ref ref = submit_peer(c, "path"), text = covey_result(c, ref, 1);
    covey_status status = covey_get_bytes(c, text, CHECK_GET_MS, &path, &len);
    check(status == COVEY_OK && len > 0 && len < sizeof at.sun_path, "a report socket has a path");
    snprintf(at.sun_path, sizeof at.sun_path, "%.*s", (int)len, (const char *)path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(connect(fd, (struct sockaddr *)&at, sizeof at) != 0, "a report after the task's end meets nobody");
    close(fd);
    covey_release_all(c, (covey_ref[]){ref, text}, 2);
}

/* The node removes what a worker that was killed could not. */
static void check_killed_worker(covey *c)
{
    char at[4200], path[256] = "";
    log_path("socket", at, sizeof at);
    const covey_command command = {
        .size = sizeof command, .argv = ARGV("sh", "-c", "printf %s \"$" REPORT_ENV "\" > \"$1\"; kill -9 $PPID", "sh", at),
        .report_env = REPORT_ENV};
    covey_ref ref = covey_submit_command(c, &command, COVEY_OPTS(.retries = -1));
    check_fails(c, ref, COVEY_EWORKER, "SIGKILL", "a worker dies under its command");
    int fd = open(at, O_RDONLY | O_CLOEXEC);
    check(fd >= 0 && read(fd, path, sizeof path - 1) > 0, "which had a report socket");
    close(fd);
    for (int64_t start = check_now_ms(); access(path, F_OK) == 0 && check_now_ms() - start < SOON_MS;)
        check_nap();
    check(path[0] == '/' && access(path, F_OK) != 0, "it does not stay");
    covey_release(c, ref);
    unlink(at);
}

static void check_stdout_reports(covey *c)
{
    char all[256];
    covey_ref ref = submit_peer(c, "stdout");
    (void)converse(c, ref, all, sizeof all);
    check_i64(c, ref, 0, "a command that reports on its output");
    if (!check(strcmp(all, "{\"step\": 1}|{\"step\": 2}|") == 0, "lines that begin with '{' are messages"))
        check_note("%s", all);
    covey_release(c, ref);
}

/* It asks and nobody answers: cancelling ends it all the same. */
static void check_cancelled_reporter(covey *c)
{
    covey_message m;
    covey_ref ref = submit_peer(c, "many");
    covey_status status = covey_next_message(c, ref, CHECK_GET_MS, &m);
    int64_t start = check_now_ms();
    covey_cancel(c, ref, NULL);
    check(status == COVEY_OK, "a command asks");
    check_fails(c, ref, COVEY_ECANCELLED, "", "it can be cancelled while it waits for an answer");
    check(check_now_ms() - start < SOON_MS, "soon");
    covey_release(c, ref);
}

static void check_reports(covey *c)
{
    check_peer(c, "many", MANY * EACH, "many reporters at once");
    check_peer(c, "silent", 1, "connections that say nothing");
    check_peer(c, "reset", 2, "an end with an answer unread");
    check_peer(c, "long", 2, "a line that is too long ends its connection");
    check_peer(c, "leave", 2 * MANY, "reporters that leave before their answer");
    check_parts(c);
    check_turned(c);
    check_late(c);
    check_stdout_reports(c);
    check_killed_worker(c);
    check_cancelled_reporter(c);
    covey_ref ref = submit_peer(c, "deaf");
    (void)converse(c, ref, NULL, 0);
    check_i64(c, ref, 0, "a reporter that does not hear holds nobody up");
    covey_release(c, ref);
}

/* ---- logs ------------------------------------------------------------------------------------ */

static bool log_is(const char *path, const char *want)
{
    char text[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return strcmp(text, want) == 0;
}

static void check_log(covey *c)
{
    char path[4200];
    const void *data;
    size_t len = 1;
    log_path("log", path, sizeof path);
    covey_ref ref = COMMAND(.argv = ARGV("sh", "-c", "echo out; echo err >&2"), .log = path);
    check_i64(c, ref, 0, "a command with a log");
    check(log_is(path, "out\nerr\n") || log_is(path, "err\nout\n"), "both streams are in it");
    covey_ref out = covey_result(c, ref, 1);
    covey_status status = covey_get_bytes(c, out, CHECK_GET_MS, &data, &len);
    check(status == COVEY_OK && len == 0, "and not in the results");
    covey_release_all(c, (covey_ref[]){ref, out}, 2);
    unlink(path);
    ref = COMMAND(.argv = ARGV("sh", "-c", "echo one"), .log = path);
    check_i64(c, ref, 0, "one");
    covey_release(c, ref);
    ref = COMMAND(.argv = ARGV("sh", "-c", "echo two; exit 3"), .log = path);
    check_fails(c, ref, COVEY_EEXIT, path, "a failure names the log");
    check(log_is(path, "one\ntwo\n"), "what was there stays");
    covey_release(c, ref);
    unlink(path);
}

static void check_flood(covey *c)
{
    char path[4200], begin[8] = "", end[8] = "";
    struct stat st = {0};
    log_path("flood", path, sizeof path);
    covey_ref ref = COMMAND(.argv = ARGV("sh", "-c", "printf begin; head -c " FLOOD " /dev/zero; printf end"), .log = path);
    check_i64(c, ref, 0, "a command that prints " FLOOD);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    check(fd >= 0 && fstat(fd, &st) == 0 && st.st_size > LOG_MAX_BYTES / 4 && st.st_size <= LOG_MAX_BYTES + 256,
          "its log is bounded");
    bool ok = pread(fd, begin, 5, 0) == 5 && pread(fd, end, 3, st.st_size - 3) == 3;
    check(ok && strcmp(begin, "begin") == 0 && strcmp(end, "end") == 0, "and has its first and last words");
    close(fd);
    unlink(path);
    covey_release(c, ref);
}

static void check_bad_logs(covey *c)
{
    char path[4200];
    covey_ref ref = COMMAND(.argv = ARGV("true"), .log = "/nonexistent/log");
    check_fails(c, ref, COVEY_ESYSTEM, "/nonexistent/log", "a log that cannot be written");
    covey_release(c, ref);
    log_path("", path, sizeof path);
    ref = COMMAND(.argv = ARGV("true"), .log = path);
    check_fails(c, ref, COVEY_ESYSTEM, "directory", "a log that is a directory");
    covey_release(c, ref);
    log_path("fifo", path, sizeof path);
    check(mkfifo(path, 0600) == 0, "a pipe that nobody reads");
    ref = COMMAND(.argv = ARGV("true"), .log = path);
    check_fails(c, ref, COVEY_ESYSTEM, path, "is no log to wait for");
    covey_release(c, ref);
    unlink(path);
    ref = COMMAND(.argv = ARGV("sh", "-c", "echo lost; exit 0"), .log = "/dev/full");
    check_i64(c, ref, 0, "a log on a full disk does not end the command");
    covey_release(c, ref);
}

/* ---- ends ------------------------------------------------------------------------------------- */

static void check_ends(covey *c)
{
    covey_ref ref = COMMAND(.argv = ARGV("sh", "-c", "kill -9 $$"), .any_exit = true);
    check_i64(c, ref, 137, "with any_exit a signal is a result, too");
    covey_release(c, ref);
    ref = COMMAND(.argv = ARGV("sh", "-c", "kill -9 $$"));
    check_fails(c, ref, COVEY_EEXIT, "SIGKILL", "without it, a failure");
    covey_release(c, ref);

    char path[4200];
    log_path("ready", path, sizeof path);
    ref = COMMAND(.argv = ARGV("sh", "-c", "trap '' TERM; printf x > \"$1\"; while :; do sleep 0.01; done", "sh", path),
                  .grace_ms = GRACE_MS);
    for (int64_t start = check_now_ms(); !log_is(path, "x") && check_now_ms() - start < CHECK_GET_MS;)
        check_nap();
    int64_t start = check_now_ms();
    covey_cancel(c, ref, NULL);
    check_fails(c, ref, COVEY_ECANCELLED, "SIGKILL", "a command that does not end is killed");
    check(check_now_ms() - start >= GRACE_MS, "not before its grace is over");
    check(check_now_ms() - start < SOON_MS, "and soon after it");
    covey_release(c, ref);
    unlink(path);
    ref = COMMAND(.argv = ARGV("true"), .grace_ms = -1);
    check_fails(c, ref, COVEY_EINVAL, "grace_ms", "a negative grace");
    covey_release(c, ref);
    ref = COMMAND(.argv = ARGV("true"), .report_env = "A=b");
    check_fails(c, ref, COVEY_EINVAL, "report_env", "a variable with a value in its name");
    covey_release(c, ref);
}

int main(int argc, char **argv)
{
    if (argc > 1 && getenv(REPORT_ENV))
        be_peer(argv[1]);
    covey *c = check_open((covey_open_opts){0});
    check(covey_cpus(c) == 2, "the cluster's CPUs");
    check(covey_cpus(NULL) == 0, "of no cluster: none");
    check_reports(c);
    check_log(c);
    check_flood(c);
    check_bad_logs(c);
    check_ends(c);
    covey_close(&c);
    check_nothing_left("after close");
    return check_end();
}
