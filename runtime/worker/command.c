/* command.c - run an executable as a task, in a process group of its own.
 *
 * The command dies with the worker (parent-death signal), and when it has ended
 * its whole group is killed, so that nothing it left behind holds the slot.
 * Output is read as it comes; the last COMMAND_CAPTURE_MAX bytes of each stream
 * are kept.  Cancelling is the executor's: SIGTERM to the group, SIGKILL when
 * the grace is over (worker/serve.c).  Where the worker itself is to end, it is
 * the same (worker/stop.h). */
#include "worker/command.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "core/buf.h"
#include "worker/command_log.h"
#include "worker/reporter.h"
#include "worker/stop.h"

extern char **environ;

struct input { const char *name; size_t arg; };

/* One command, from its arguments to its end. */
struct command {
    covey_ctx *ctx;
    char **argv, **env;                 /* owned arrays */
    char path[PATH_MAX], cwd[PATH_MAX];
    bool fresh_cwd;
    struct input *inputs;               /* owned */
    const char **outputs;               /* owned */
    size_t input_count, output_count;
    const void *stdin_data;
    size_t stdin_size, stdin_done;
    uint64_t flags;
    const char *log_path, *report_env;  /* "": none */
    char *report_var;                   /* owned: "NAME=path" */
    pid_t pid;
    int in, out[2];                     /* our ends */
    struct stop stop;
    struct buf captured[2];             /* unless they go to the log */
    struct command_log log;
    struct reporter reporter;
    struct lines lines;                 /* of standard output, while reports are looked for */
    int status;
};

/* ---- arguments ------------------------------------------------------------------------ */

static const char *take_text(covey_ctx *ctx, size_t *at) { return covey_arg_bytes(ctx, (*at)++, NULL); }

static char **take_list(covey_ctx *ctx, size_t *at, size_t extra)
{
    size_t n = covey_arg_u64(ctx, (*at)++);
    if (n > ctx->arg_count)
        return NULL;
    char **list = calloc(n + extra + 1, sizeof(*list));
    for (size_t i = 0; list && i < n; i++)
        list[i] = (char *)(uintptr_t)take_text(ctx, at);
    return list;
}

/* The worker's environment with the command's on top. */
static bool merge_env(struct command *m, char **added)
{
    size_t n = 0, have = 0;
    while (environ[n])
        n++;
    size_t more = 0;
    while (added[more])
        more++;
    m->env = calloc(n + more + 2, sizeof(*m->env));    /* one more: open_reporter() */
    if (!m->env)
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t key = strcspn(environ[i], "=");
        bool replaced = false;
        for (size_t k = 0; k < more && !replaced; k++)
            replaced = strncmp(environ[i], added[k], key) == 0 && added[k][key] == '=';
        if (!replaced)
            m->env[have++] = environ[i];
    }
    memcpy(m->env + have, added, more * sizeof(*added));
    return true;
}

static bool take_args(struct command *m)
{
    covey_ctx *ctx = m->ctx;
    size_t at = 0;
    m->argv = take_list(ctx, &at, 0);
    char **added = take_list(ctx, &at, 0);
    bool ok = m->argv && m->argv[0] && added && merge_env(m, added);
    free(added);
    if (!ok)
        return false;
    m->fresh_cwd = covey_arg_kind(ctx, at) == COVEY_NIL;
    if (m->fresh_cwd)
        at++;
    else
        snprintf(m->cwd, sizeof(m->cwd), "%s", take_text(ctx, &at));
    m->input_count = covey_arg_u64(ctx, at++);
    if (m->input_count > COMMAND_FILES_MAX || !(m->inputs = calloc(m->input_count + 1, sizeof(*m->inputs))))
        return false;
    for (size_t i = 0; i < m->input_count; i++) {
        m->inputs[i].name = take_text(ctx, &at);
        m->inputs[i].arg = at++;
    }
    size_t before = at;
    m->output_count = covey_arg_u64(ctx, before);
    m->outputs = (const char **)take_list(ctx, &at, 0);
    m->stdin_data = covey_arg_bytes(ctx, at++, &m->stdin_size);
    m->flags = covey_arg_u64(ctx, at++);
    m->log_path = take_text(ctx, &at);
    m->report_env = take_text(ctx, &at);
    return m->outputs && ctx->status == COVEY_OK;
}

/* ---- files --------------------------------------------------------------------------------- */

static bool file_path(const struct command *m, const char *name, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "%s/%s", m->cwd, name) < size;
}

static void make_parents(char *path, size_t from)
{
    for (char *at = path + from; (at = strchr(at, '/')) != NULL; at++) {
        *at = 0;
        mkdir(path, 0700);
        *at = '/';
    }
}

static bool write_input(struct command *m, const struct input *in)
{
    char path[PATH_MAX], number[64];
    const void *data = number;
    size_t size = 0;
    switch (covey_arg_kind(m->ctx, in->arg)) {
    case COVEY_I64: size = (size_t)sprintf(number, "%lld\n", (long long)covey_arg_i64(m->ctx, in->arg)); break;
    case COVEY_U64: size = (size_t)sprintf(number, "%llu\n", (unsigned long long)covey_arg_u64(m->ctx, in->arg)); break;
    case COVEY_F64: size = (size_t)sprintf(number, "%.17g\n", covey_arg_f64(m->ctx, in->arg)); break;
    case COVEY_NIL: break;
    default: data = covey_arg_bytes(m->ctx, in->arg, &size);
    }
    if (!file_path(m, in->name, path, sizeof(path)))
        return run_fail(m->ctx, COVEY_ETOOBIG, 0, "the path of input \"%s\" is too long", in->name), false;
    make_parents(path, strlen(m->cwd) + 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && file_write(fd, data, size);
    if (!ok)
        run_fail(m->ctx, COVEY_ESYSTEM, errno, "cannot write input %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool prepare_files(struct command *m)
{
    if (m->fresh_cwd) {
        const char *tmp = getenv("TMPDIR");
        snprintf(m->cwd, sizeof(m->cwd), "%s/covey-command-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(m->cwd)) {
            m->fresh_cwd = false;
            run_fail(m->ctx, COVEY_ESYSTEM, errno, "cannot make a directory %s: %s", m->cwd, strerror(errno));
            return false;
        }
    }
    for (size_t i = 0; i < m->input_count; i++)
        if (!write_input(m, &m->inputs[i]))
            return false;
    return true;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    remove(path);
    return 0;
}

static bool return_file(struct command *m, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int fd = file_path(m, name, path, sizeof(path)) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        run_fail(m->ctx, COVEY_EEXIT, m->status, "the command ended well and made no file \"%s\": %s", name,
                 strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    void *data;
    bool ok = covey_return_create(m->ctx, (size_t)st.st_size, &data) == COVEY_OK;
    for (size_t done = 0; ok && done < (size_t)st.st_size;) {
        ssize_t n = read(fd, (char *)data + done, (size_t)st.st_size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            ok = run_fail(m->ctx, COVEY_ESYSTEM, errno, "cannot read output %s", path) == COVEY_OK;
        else
            done += (size_t)n;
    }
    close(fd);
    return ok;
}

/* ---- a log, and reports ------------------------------------------------------------------------ */

static bool open_log(struct command *m)
{
    if (!*m->log_path || command_log_open(&m->log, m->log_path))
        return true;
    run_fail(m->ctx, COVEY_ESYSTEM, errno, "cannot write the log %s: %s", m->log_path, strerror(errno));
    return false;
}

static bool open_reporter(struct command *m)
{
    if (!*m->report_env && !(m->flags & COMMAND_REPORT_STDOUT))
        return true;
    if (!reporter_open(&m->reporter, m->ctx, &m->log))
        return false;
    pthread_mutex_lock(&m->ctx->c->lock);
    m->ctx->reporter = &m->reporter;
    pthread_mutex_unlock(&m->ctx->c->lock);
    if (!*m->report_env)
        return true;
    if (asprintf(&m->report_var, "%s=%s", m->report_env, m->reporter.path) < 0) {
        m->report_var = NULL;
        run_fail(m->ctx, COVEY_ENOMEM, 0, "out of memory");
        return false;
    }
    size_t name = strlen(m->report_env), n = 0;
    while (m->env[n] && !(strncmp(m->env[n], m->report_env, name) == 0 && m->env[n][name] == '='))
        n++;                            /* in place of what it was before, else at the end */
    m->env[n] = m->report_var;
    return true;
}

static void close_reporter(struct command *m)
{
    if (!m->ctx->reporter)
        return;
    pthread_mutex_lock(&m->ctx->c->lock);
    m->ctx->reporter = NULL;
    pthread_mutex_unlock(&m->ctx->c->lock);
    reporter_close(&m->reporter);
}

/* Lines of standard output that look like a report are one. */
static void find_report(void *ctx, struct span line)
{
    struct command *m = ctx;
    if (line.len > 0 && line.data[0] == '{')
        reporter_post(&m->reporter, line);
}

/* ---- start ----------------------------------------------------------------------------------- */

/* As execvp() would find it, in the command's own PATH. */
static bool find_executable(struct command *m)
{
    const char *name = m->argv[0];
    if (strchr(name, '/'))
        return (size_t)snprintf(m->path, sizeof(m->path), "%s", name) < sizeof(m->path);
    const char *path = "/usr/local/bin:/usr/bin:/bin";
    for (char **e = m->env; *e; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            path = *e + 5;
    for (const char *at = path; *at;) {
        size_t len = strcspn(at, ":");
        if ((size_t)snprintf(m->path, sizeof(m->path), "%.*s/%s", (int)len, at, name) < sizeof(m->path) &&
            access(m->path, X_OK) == 0)
            return true;
        at += len + (at[len] == ':');
    }
    run_fail(m->ctx, COVEY_ESTART, 127, "no command \"%s\" in PATH (%s)", name, path);
    return false;
}

struct child_fds { int in, out, err, report; };

/* In the child of vfork(): only system calls, and no memory of the parent but
 * the stack. */
static _Noreturn void become(const struct command *m, struct child_fds fds, pid_t parent)
{
    sigset_t none;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool ok = getppid() == parent && dup2(fds.in, 0) == 0 && dup2(fds.out, 1) == 1 && dup2(fds.err, 2) == 2 &&
              chdir(m->cwd) == 0;
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (ok)
        execve(m->path, m->argv, m->env);
    int error = errno;
    (void)!write(fds.report, &error, sizeof(error));
    _exit(127);
}

/* "" where the error says enough. */
static const char *how_to_mend(const struct command *m, int error)
{
    struct stat st;
    char path[2 * PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", m->path[0] == '/' ? "" : m->cwd, m->path);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return "";
    if (error == EACCES)
        return "; chmod +x makes a file executable";
    if (error == ENOENT)
        return "; the file is there, so its first line (#!) names no program, perhaps for a Windows line end";
    if (error == ENOEXEC)
        return "; a script begins with a line such as #!/bin/sh";
    return "";
}

static bool fork_command(struct command *m, struct child_fds fds, int report)
{
    pid_t parent = getpid();
    pid_t pid = vfork();
    if (pid == 0)
        become(m, fds, parent);
    int error = pid < 0 ? errno : 0;
    close(fds.report);
    if (pid > 0 && read(report, &error, sizeof(error)) == (ssize_t)sizeof(error)) {
        waitpid(pid, NULL, 0);
        pid = -1;
    }
    if (pid < 0) {
        run_fail(m->ctx, COVEY_ESTART, error, "cannot run %s in %s: %s%s", m->path, m->cwd, strerror(error),
                 how_to_mend(m, error));
        return false;
    }
    setpgid(pid, pid);
    m->pid = pid;
    pthread_mutex_lock(&m->ctx->c->lock);
    m->ctx->command = pid;
    pthread_mutex_unlock(&m->ctx->c->lock);
    if (covey_cancelled(m->ctx))        /* it came before there was anything to signal */
        kill(-pid, SIGTERM);
    return true;
}

static bool start(struct command *m)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1};
    bool ok = pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 &&
              pipe2(report, O_CLOEXEC) == 0;
    if (!ok)
        run_fail(m->ctx, COVEY_ESYSTEM, errno, "no pipes for the command: %s", strerror(errno));
    ok = ok && find_executable(m) &&
         fork_command(m, (struct child_fds){in[0], out[1], err[1], report[1]}, report[0]);
    int theirs[] = {in[0], out[1], err[1], report[0], ok ? -1 : in[1], ok ? -1 : out[0], ok ? -1 : err[0]};
    for (size_t i = 0; i < sizeof(theirs) / sizeof(*theirs); i++)
        if (theirs[i] >= 0)
            close(theirs[i]);
    if (!ok)
        return false;
    m->in = in[1];
    m->out[0] = out[0];
    m->out[1] = err[0];
    fcntl(m->in, F_SETFL, O_NONBLOCK);
    fcntl(m->out[0], F_SETFL, O_NONBLOCK);
    fcntl(m->out[1], F_SETFL, O_NONBLOCK);
    return true;
}

/* ---- while it runs ------------------------------------------------------------------------------ */

/* False: this stream has ended. */
static bool take_output(struct command *m, int which)
{
    char room[65536];
    for (;;) {
        ssize_t n = read(m->out[which], room, sizeof(room));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        if (m->log.fd >= 0) {
            command_log_add(&m->log, room, (size_t)n);
        } else {
            buf_append(&m->captured[which], room, (size_t)n);
            command_keep_tail(&m->captured[which]);
        }
        /* After the log: what is reported is in it, whatever dies next. */
        if (which == 0 && (m->flags & COMMAND_REPORT_STDOUT))
            (void)lines_add(&m->lines, span_of(room, (size_t)n), find_report, m);
        if (m->flags & COMMAND_SHOW)
            (void)file_write(which ? STDERR_FILENO : STDOUT_FILENO, room, (size_t)n);
        if ((size_t)n < sizeof(room))
            return true;
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void give_input(struct command *m)
{
    while (m->stdin_done < m->stdin_size) {
        ssize_t n = write(m->in, (const char *)m->stdin_data + m->stdin_done, m->stdin_size - m->stdin_done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break;                      /* it does not read on */
        m->stdin_done += (size_t)n;
    }
    close_fd(&m->in);
}

static void pump(struct command *m)
{
    int pidfd = (int)syscall(SYS_pidfd_open, m->pid, 0);
    give_input(m);
    for (bool running = true; running;) {
        struct pollfd fds[5 + REPORTER_PEERS_MAX + 1] = {{m->out[0], POLLIN, 0}, {m->out[1], POLLIN, 0},
                                                         {m->in, POLLOUT, 0}, {pidfd, POLLIN, 0},
                                                         {m->stop.fd, POLLIN, 0}};
        int peers = m->ctx->reporter ? reporter_poll(&m->reporter, fds + 5) : 0;
        /* Without a pidfd (no descriptors left) its end is looked for now and then. */
        int wait_ms = pidfd < 0 ? 20 : stop_poll_ms(&m->stop);
        if (m->ctx->reporter)
            wait_ms = reporter_poll_ms(&m->reporter, fds + 5, peers, wait_ms);
        if (poll(fds, (nfds_t)(5 + peers), wait_ms) < 0 && errno != EINTR)
            break;
        stop_turn(&m->stop, fds[4].revents != 0);
        if (peers > 0)
            reporter_turn(&m->reporter, fds + 5, peers);
        for (int i = 0; i < 2; i++)
            if (fds[i].revents && m->out[i] >= 0 && !take_output(m, i))
                close_fd(&m->out[i]);
        if (fds[2].revents && m->in >= 0)
            give_input(m);
        if (pidfd < 0 || fds[3].revents)
            running = waitpid(m->pid, &m->status, WNOHANG) != m->pid;
    }
    for (int i = 0; i < 2; i++)         /* what it wrote before its end is here already */
        if (m->out[i] >= 0)
            (void)take_output(m, i);
    if (m->flags & COMMAND_REPORT_STDOUT)
        lines_end(&m->lines, find_report, m);
    if (m->ctx->reporter)
        reporter_finish(&m->reporter);
    if (pidfd >= 0)
        close(pidfd);
}

/* ---- the end --------------------------------------------------------------------------------------- */

static int tail_of(const struct buf *b, const char **text)
{
    size_t len = b->len < COMMAND_TAIL ? b->len : COMMAND_TAIL;
    const char *from = (const char *)b->data + b->len - len;
    while (len > 0 && (*from & 0xc0) == 0x80) {     /* not in the middle of a character */
        from++;
        len--;
    }
    while (len > 0 && from[len - 1] == '\n')
        len--;
    *text = from;
    return (int)len;
}

/* What a failure tells of its output: the last lines, or where they are. */
static const char *last_words(const struct command *m, char *room, size_t size)
{
    const char *tail;
    int len = tail_of(m->captured[1].len ? &m->captured[1] : &m->captured[0], &tail);
    room[0] = 0;
    if (*m->log_path)
        snprintf(room, size, "; its output is in %s", m->log_path);
    else if (len > 0)
        snprintf(room, size, "; its last lines:\n%.*s", len, tail);
    return room;
}

/* False: its end is the task's failure. */
static bool judge(struct command *m)
{
    char room[PATH_MAX + COMMAND_TAIL];
    if (covey_cancelled(m->ctx)) {
        if (WIFSIGNALED(m->status))
            run_fail(m->ctx, COVEY_ECANCELLED, 128 + WTERMSIG(m->status), "ended by %s",
                     WTERMSIG(m->status) == SIGKILL ? "SIGKILL after its grace" : "SIGTERM within its grace");
        else
            run_fail(m->ctx, COVEY_ECANCELLED, WEXITSTATUS(m->status), "ended with status %d within its grace",
                     WEXITSTATUS(m->status));
        return false;
    }
    if (WIFSIGNALED(m->status)) {
        const char *name = sigabbrev_np(WTERMSIG(m->status));
        if (!(m->flags & COMMAND_ANY_EXIT))
            run_fail(m->ctx, COVEY_EEXIT, 128 + WTERMSIG(m->status), "%s was killed by SIG%s%s", m->argv[0],
                     name ? name : "?", last_words(m, room, sizeof(room)));
    } else if (WEXITSTATUS(m->status) != 0 && !(m->flags & COMMAND_ANY_EXIT)) {
        run_fail(m->ctx, COVEY_EEXIT, WEXITSTATUS(m->status), "%s ended with status %d%s", m->argv[0],
                 WEXITSTATUS(m->status), last_words(m, room, sizeof(room)));
    }
    return m->ctx->status == COVEY_OK;
}

static void give_results(struct command *m)
{
    int code = WIFSIGNALED(m->status) ? 128 + WTERMSIG(m->status) : WEXITSTATUS(m->status);
    (void)covey_return_i64(m->ctx, code);
    for (int i = 0; i < 2; i++) {
        struct buf *b = &m->captured[i];
        size_t skip = b->len > COMMAND_CAPTURE_MAX ? b->len - COMMAND_CAPTURE_MAX : 0;
        if (b->failed)
            run_fail(m->ctx, COVEY_ENOMEM, 0, "out of memory for the command's output");
        else
            (void)covey_return_bytes(m->ctx, b->len ? b->data + skip : (const void *)"", b->len - skip);
    }
    for (size_t i = 0; i < m->output_count && m->outputs[i]; i++)
        if (!return_file(m, m->outputs[i]))
            return;
}

static void clean_up(struct command *m)
{
    close_fd(&m->in);
    close_fd(&m->out[0]);
    close_fd(&m->out[1]);
    close_reporter(m);
    command_log_close(&m->log);
    lines_fini(&m->lines);
    free(m->report_var);
    if (m->fresh_cwd)
        nftw(m->cwd, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    buf_fini(&m->captured[0]);
    buf_fini(&m->captured[1]);
    free(m->argv);
    free(m->env);
    free(m->inputs);
    free(m->outputs);
}

static covey_status command_run(covey_ctx *ctx)
{
    struct command m = {.ctx = ctx, .in = -1, .out = {-1, -1}, .log = {.fd = -1}, .log_path = "", .report_env = ""};
    lines_init(&m.lines);
    bool told_to_end = false;
    buf_init(&m.captured[0]);
    buf_init(&m.captured[1]);
    if (!take_args(&m)) {
        run_fail(ctx, COVEY_EPROTO, 0, "the command's description is malformed");
    } else if (prepare_files(&m) && open_log(&m) && open_reporter(&m) && start(&m)) {
        int64_t grace_ms = ctx->task->grace_ms;
        stop_begin(&m.stop, m.pid, grace_ms > 0 ? grace_ms : OWNER_GRACE_DEFAULT_MS);
        pump(&m);
        told_to_end = stop_end(&m.stop);
        pthread_mutex_lock(&ctx->c->lock);
        ctx->command = 0;
        pthread_mutex_unlock(&ctx->c->lock);
        kill(-m.pid, SIGKILL);          /* whatever it left behind */
        if (judge(&m))
            give_results(&m);
    }
    clean_up(&m);
    if (told_to_end)
        raise(SIGTERM);
    return ctx->status;
}

const struct task_def command_def = {
    .name = COMMAND_TASK, .text = COMMAND_SIGNATURE, .fn = command_run,
    .signature = {.param_count = 1, .params_open = true, .result_count = 1},
};
