/* keeper_main.c - the keeper itself; see keeper.h.
 *
 * One thread, one poll over the node's socket and SIGCHLD.  Small and plain: it
 * is what cleans up when all else failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/family.h"
#include "node/keeper_wire.h"

#define SWEEPS_MAX 256u         /* dead workers looked for in one scan */
#define OUR_FD_MIN 10           /* received descriptors stay clear of 0 to 3 */

struct child {
    uint64_t id;
    pid_t pid;
    uint32_t proc;
};

static struct {
    int sock, signals, null;
    const char *dir;
    uint32_t node;
    char nonce[FAMILY_NONCE_LEN + 1];
    struct child *children;     /* owned */
    size_t child_count, child_cap;
    struct family_dead sweeps[SWEEPS_MAX];
    size_t sweep_count;
} self;

/* The node's end of the socket is gone (or the keeper cannot go on). */
static _Noreturn void end_everything(void)
{
    family_end(KEEPER_END_WAIT_MS);
    keeper_remove_sockets(self.dir, self.node);
    _exit(0);
}

static void reply(const struct keeper_event *event)
{
    ssize_t n;
    do  /* Waits for a node that is stopped; one that died gives an error. */
        n = send(self.sock, event, sizeof *event, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        end_everything();
}

static void sweep_now(void)
{
    if (self.sweep_count > 0)
        family_sweep(self.nonce, self.sweeps, self.sweep_count);
    self.sweep_count = 0;
}

/* Deaths come in groups, and one scan serves many. */
static void sweep_later(uint32_t proc, pid_t pid)
{
    if (self.sweep_count == SWEEPS_MAX)
        sweep_now();
    self.sweeps[self.sweep_count++] = (struct family_dead){proc, pid};
}

/* ---- spawning ---------------------------------------------------------------- */

struct program {
    const char *path, *cwd;     /* cwd NULL: stay */
    char **argv, **env;         /* owned arrays; strings are in the mapping */
    int out_fd, err_fd, control_fd;
    pid_t parent;
    /* Written by the child, which shares the memory until it executes. */
    volatile int error;
    const char *volatile failed;
};

/* In the child, between vfork and exec: system calls only. */
static _Noreturn void become(struct program *p)
{
    int fds[4] = {self.null, p->out_fd, p->err_fd, p->control_fd};
    p->failed = "prepare";
    /* The control socket goes to 3 first, then nothing but 0 to 3 is written. */
    if (dup2(fds[3], KEEPER_CONTROL_FD) < 0 || dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0
        || dup2(fds[2], 2) < 0 || setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        goto fail;
    close_range(KEEPER_CONTROL_FD + 1, ~0u, 0);
    if (getppid() != p->parent) {
        errno = ESRCH;
        goto fail;
    }
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (p->cwd) {
        p->failed = p->cwd;
        if (chdir(p->cwd) != 0)
            goto fail;
    }
    p->failed = p->path;
    execve(p->path, p->argv, p->env);
fail:
    p->error = errno;
    _exit(127);
}

static __attribute__((noinline)) pid_t launch(struct program *p)
{
    pid_t pid = vfork();
    if (pid == 0)
        become(p);
    return pid;
}

/* Cut @count strings off @at; false if there are fewer. */
static bool take_strings(char **at, char *end, char **out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *nul = memchr(*at, '\0', (size_t)(end - *at));
        if (!nul)
            return false;
        out[i] = *at;
        *at = nul + 1;
    }
    return true;
}

static void say_failed(uint64_t id, const char *what, int error)
{
    struct keeper_event event = {.kind = KEEPER_SPAWN_FAILED, .id = id};
    snprintf(event.why, sizeof event.why, "%s: %s", what, strerror(error));
    reply(&event);
}

static bool child_add(uint64_t id, uint32_t proc)
{
    if (self.child_count == self.child_cap) {
        size_t cap = self.child_cap ? self.child_cap * 2 : 64;
        struct child *v = cap <= KEEPER_CHILDREN_MAX
                              ? realloc(self.children, cap * sizeof *v) : NULL;
        if (!v)
            return false;
        self.children = v;
        self.child_cap = cap;
    }
    self.children[self.child_count++] = (struct child){.id = id, .proc = proc};
    return true;
}

static void start_program(const struct keeper_request *r, struct program *p)
{
    if (!child_add(r->id, r->proc)) {
        say_failed(r->id, "too many processes", ENOMEM);
        return;
    }
    pid_t pid = launch(p);
    if (pid < 0 || p->error) {
        int error = pid < 0 ? errno : p->error;
        const char *what = pid < 0 ? "fork" : p->failed;
        self.child_count--;
        if (pid > 0)
            waitpid(pid, NULL, 0);
        say_failed(r->id, what, error);
        return;
    }
    self.children[self.child_count - 1].pid = pid;
    struct keeper_event event = {.kind = KEEPER_SPAWNED, .id = r->id, .pid = pid};
    reply(&event);
}

static void on_spawn(const struct keeper_request *r, const int *fds)
{
    char marker[64];
    snprintf(marker, sizeof marker, "%s%s.%0*u", FAMILY_MARKER, self.nonce, FAMILY_DIGITS,
             (unsigned)r->proc);
    struct program p = {.out_fd = fds[1], .err_fd = fds[2], .control_fd = fds[3],
                        .parent = getpid()};
    char *strings = mmap(NULL, r->strings_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fds[0], 0);
    char **pointers = calloc((size_t)r->argv_count + r->env_count + 5, sizeof *pointers);
    if (strings == MAP_FAILED || !pointers) {
        say_failed(r->id, "no memory for the arguments", ENOMEM);
    } else {
        char *at = strings, *end = strings + r->strings_bytes;
        p.argv = pointers + 2;
        p.env = p.argv + r->argv_count + 1;
        bool complete = take_strings(&at, end, pointers, 2)
                        && take_strings(&at, end, p.argv, r->argv_count)
                        && take_strings(&at, end, p.env, r->env_count);
        assert(complete);
        p.path = pointers[0];
        p.cwd = r->has_cwd ? pointers[1] : NULL;
        p.env[r->env_count] = marker;
        start_program(r, &p);
    }
    free(pointers);
    if (strings != MAP_FAILED)
        munmap(strings, r->strings_bytes);
}

/* ---- the loop ------------------------------------------------------------------ */

/* One that is known is looked at before it is reaped: until then its number,
 * which is its group's, too, cannot be given to another. */
static void reap(void)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
            return;
        struct child *c = NULL;
        for (size_t i = 0; i < self.child_count && !c; i++)
            if (self.children[i].pid == info.si_pid)
                c = &self.children[i];
        if (c)
            kill(-c->pid, SIGKILL);
        struct keeper_event event = {.kind = KEEPER_EXITED, .pid = info.si_pid};
        waitpid(info.si_pid, &event.wait_status, 0);
        if (!c)
            continue;
        event.id = c->id;
        sweep_later(c->proc, c->pid);
        *c = self.children[--self.child_count];
        reply(&event);
    }
}

static void on_kill(const struct keeper_request *r)
{
    for (size_t i = 0; i < self.child_count; i++)
        if (self.children[i].id == r->id)
            kill(self.children[i].pid, r->signal_number);
}

/* False: the node is gone. */
static bool receive(void)
{
    struct keeper_request request;
    struct iovec iov = {&request, sizeof request};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(KEEPER_SPAWN_FDS * sizeof(int))];
    } control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(self.sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n != (ssize_t)sizeof request)
        return false;
    int fds[KEEPER_SPAWN_FDS];
    size_t count = 0;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_type == SCM_RIGHTS) {
        count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), count * sizeof(int));
    }
    for (size_t i = 0; i < count; i++) {
        int high = fds[i] < OUR_FD_MIN ? fcntl(fds[i], F_DUPFD_CLOEXEC, OUR_FD_MIN) : fds[i];
        if (high != fds[i])
            close(fds[i]);
        fds[i] = high;
    }
    if (request.kind == KEEPER_DO_SPAWN && count == KEEPER_SPAWN_FDS)
        on_spawn(&request, fds);
    else if (request.kind == KEEPER_DO_SPAWN)
        say_failed(request.id, "no descriptors left to start a program with", EMFILE);
    else if (request.kind == KEEPER_DO_KILL)
        on_kill(&request);
    else
        sweep_later(request.proc, request.pid);
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return true;
}

static void make_nonce(void)
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)getpid();
    snprintf(self.nonce, sizeof self.nonce, "%0*llx", FAMILY_NONCE_LEN, (unsigned long long)random);
}

static void prepare(void)
{
    setsid();   /* Ctrl-C in the node's terminal is the node's affair. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_NAME, "covey-keeper");
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_SETMASK, &chld, NULL);
    self.signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    self.null = null < 0 ? -1 : fcntl(null, F_DUPFD_CLOEXEC, OUR_FD_MIN);
    if (self.signals < 0 || self.null < 0)
        end_everything();
    close(null);
    make_nonce();
}

_Noreturn void keeper_main(int sock, const char *dir, uint32_t node)
{
    self.sock = sock;
    self.dir = dir;
    self.node = node;
    prepare();
    for (;;) {
        struct pollfd p[2] = {{.fd = sock, .events = POLLIN}, {.fd = self.signals, .events = POLLIN}};
        if (poll(p, 2, self.sweep_count > 0 ? 0 : -1) == 0) {
            sweep_now();    /* nothing else waits */
            continue;
        }
        if (p[1].revents) {
            struct signalfd_siginfo info;
            while (read(self.signals, &info, sizeof info) > 0)
                ;
            reap();
        }
        if (p[0].revents && !receive())
            end_everything();
    }
}
