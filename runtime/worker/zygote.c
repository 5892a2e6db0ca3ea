/* zygote.c - see zygote.h for the contract. */
#include "worker/zygote.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROC_ENV "COVEY_PROC"
#define PROC_DIGITS 10

struct worker {
    uint32_t proc;
    pid_t pid;
};

static struct {
    int control, signals;
    bool single;            /* COVEY_WORKER: this process is the worker */
    sigset_t old_mask;
    struct worker *workers; /* owned */
    size_t count, cap;
} self = {.control = -1, .signals = -1};

/* What a packet may hold; aligned for the record at its front. */
union packet {
    struct zygote_record record;
    char bytes[ZYGOTE_RECORD_MAX];
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "covey: %s: %s\n", what, strerror(errno));
    _exit(127);
}

/* ---- the marker ---------------------------------------------------------------- */

static bool is_control_socket(int fd)
{
    struct stat st;
    int type = 0, domain = 0;
    socklen_t type_len = sizeof type, domain_len = sizeof domain;
    struct ucred peer = {0};
    socklen_t peer_len = sizeof peer;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode)
           && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 && type == SOCK_SEQPACKET
           && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) == 0 && domain == AF_UNIX
           && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) == 0
           && peer.uid == geteuid();
}

static bool take_marker(const char *name)
{
    const char *text = getenv(name);
    if (!text)
        return false;
    char *end;
    errno = 0;
    long fd = strtol(text, &end, 10);
    bool number = errno == 0 && end != text && *end == '\0' && fd > STDERR_FILENO && fd < 1 << 20;
    unsetenv(name);
    if (!number || !is_control_socket((int)fd))
        return false;
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    self.control = (int)fd;
    return true;
}

bool zygote_marked(void)
{
    if (self.control >= 0)
        return true;
    bool zygote = take_marker(ZYGOTE_ENV);
    self.single = !zygote && take_marker(ZYGOTE_WORKER_ENV);
    return zygote || self.single;
}

/* ---- records ------------------------------------------------------------------- */

static void say(const struct zygote_record *record)
{
    ssize_t n;
    do
        n = send(self.control, record, sizeof *record, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    /* The node is gone then: the next read finds the end of file. */
}

/* One packet.  0: end of file.  Descriptors are close-on-exec, -1 if absent. */
static size_t hear(union packet *packet, int fds[ZYGOTE_FDS])
{
    struct iovec iov = {packet->bytes, sizeof packet->bytes};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(ZYGOTE_FDS * sizeof(int))];
    } control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do
        n = recvmsg(self.control, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    fds[0] = fds[1] = fds[2] = -1;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (c && c->cmsg_type == SCM_RIGHTS) {
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), (count < ZYGOTE_FDS ? count : ZYGOTE_FDS) * sizeof(int));
    }
    return n > 0 ? (size_t)n : 0;
}

static bool is_valid(const union packet *packet, size_t len)
{
    const struct zygote_record *r = &packet->record;
    if (len < sizeof *r || r->version != ZYGOTE_VERSION)
        return false;
    if (r->kind != ZYGOTE_FORK)
        return true;
    if (r->dir_bytes == 0 || r->dir_bytes > ZYGOTE_DIR_MAX || r->env_bytes > ZYGOTE_ADDED_ENV_MAX
        || len != sizeof *r + r->dir_bytes + r->env_bytes)
        return false;
    const char *dir = packet->bytes + sizeof *r, *env = dir + r->dir_bytes;
    return dir[r->dir_bytes - 1] == '\0' && (r->env_bytes == 0 || env[r->env_bytes - 1] == '\0');
}

/* ---- becoming a worker ----------------------------------------------------------- */

/* The string on the initial stack is what /proc/PID/environ shows, and its
 * pages are copied by the fork, so writing there is enough. */
static void show_proc(uint32_t proc)
{
    char *text = getenv(PROC_ENV);
    char *digits = text ? strrchr(text, '.') : NULL;
    if (!digits || strlen(digits + 1) != PROC_DIGITS)
        return;
    char number[PROC_DIGITS + 1];
    snprintf(number, sizeof number, "%0*u", PROC_DIGITS, (unsigned)proc);
    memcpy(digits + 1, number, PROC_DIGITS);
}

static void be_more_killable(void)
{
    char text[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof text - 1);
    if (n > 0 && atoi(text) < ZYGOTE_OOM_SCORE_ADJ) {
        int len = snprintf(text, sizeof text, "%d", ZYGOTE_OOM_SCORE_ADJ);
        /* Failing changes nothing but the order in which memory pressure kills. */
        n = pwrite(fd, text, (size_t)len, 0);
    }
    close(fd);
}

static struct zygote_child enter(const union packet *packet, int page_fd)
{
    const struct zygote_record *r = &packet->record;
    const char *dir = packet->bytes + sizeof *r, *env = dir + r->dir_bytes;
    for (const char *at = env; at < env + r->env_bytes; at += strlen(at) + 1) {
        const char *equals = strchr(at, '=');
        char name[128];
        if (!equals || equals == at || (size_t)(equals - at) >= sizeof name)
            continue;
        memcpy(name, at, (size_t)(equals - at));
        name[equals - at] = '\0';
        setenv(name, equals + 1, 1);
    }
    be_more_killable();
    /* Output is a pipe, which stdio would keep until it has 4 KiB of it.  Given
     * a buffer, glibc flushes and starts afresh; without one, what was printed
     * before keeps the stream fully buffered. */
    static char line_buffer[BUFSIZ];
    setvbuf(stdout, line_buffer, _IOLBF, sizeof line_buffer);
    close(self.control);
    self.control = -1;
    struct zygote_child child = {.node = r->node, .proc = r->proc, .token = r->token,
                                 .threads = r->threads, .thread_names = r->thread_names,
                                 .page_fd = page_fd};
    memcpy(child.dir, dir, r->dir_bytes);
    return child;
}

static struct zygote_child be_worker(const union packet *packet, const int fds[ZYGOTE_FDS],
                                     pid_t zygote)
{
    show_proc(packet->record.proc);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != zygote)
        _exit(127);     /* it died between the fork and the line above */
    if (dup2(fds[1], STDOUT_FILENO) < 0 || dup2(fds[2], STDERR_FILENO) < 0)
        give_up("cannot take standard output");
    close(fds[1]);
    close(fds[2]);
    close(self.signals);
    free(self.workers);
    self.workers = NULL;
    self.count = self.cap = 0;
    sigprocmask(SIG_SETMASK, &self.old_mask, NULL);
    return enter(packet, fds[0]);
}

/* ---- the zygote -------------------------------------------------------------------- */

static int thread_count(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    if (!dir)
        return 2;   /* not known: the careful answer is that it cannot be forked */
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

static bool reserve_worker(void)
{
    if (self.count < self.cap)
        return true;
    size_t cap = self.cap ? self.cap * 2 : 16;
    struct worker *v = realloc(self.workers, cap * sizeof *v);
    if (!v)
        return false;
    self.workers = v;
    self.cap = cap;
    return true;
}

/* True in the child. */
static bool on_fork(const struct zygote_record *r, const int fds[ZYGOTE_FDS])
{
    struct zygote_record answer = {.version = ZYGOTE_VERSION, .proc = r->proc};
    pid_t pid = -1;
    if (fds[0] < 0 || fds[1] < 0 || fds[2] < 0)
        errno = EMFILE;     /* the kernel had no room here for what was sent */
    else if (!reserve_worker())
        errno = ENOMEM;
    else
        pid = fork();
    if (pid == 0)
        return true;
    if (pid < 0) {
        answer.kind = ZYGOTE_FORK_FAILED;
        answer.value = errno;
    } else {
        self.workers[self.count++] = (struct worker){r->proc, pid};
        answer.kind = ZYGOTE_FORKED;
        answer.value = pid;
    }
    say(&answer);
    return false;
}

/* A number belongs to the worker, and as a process group to what it forked,
 * until it is reaped; so its group is killed before. */
static void reap(void)
{
    struct signalfd_siginfo skipped;
    while (read(self.signals, &skipped, sizeof skipped) > 0)
        ;
    siginfo_t info;
    while (info.si_pid = 0, waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0
                            && info.si_pid != 0) {
        struct zygote_record exited = {.version = ZYGOTE_VERSION, .kind = ZYGOTE_EXITED,
                                       .value = info.si_pid};
        size_t i = 0;
        while (i < self.count && self.workers[i].pid != info.si_pid)
            i++;
        if (i < self.count)
            kill(-info.si_pid, SIGKILL);
        waitpid(info.si_pid, &exited.wait_status, 0);
        if (i == self.count)
            continue;   /* a child of the program's own, from before covey_init() */
        exited.proc = self.workers[i].proc;
        self.workers[i] = self.workers[--self.count];
        say(&exited);
    }
}

static void on_kill(const struct zygote_record *r)
{
    for (size_t i = 0; i < self.count; i++)
        if (self.workers[i].proc == r->proc)
            kill(self.workers[i].pid, r->value);
}

static _Noreturn void end(void)
{
    for (size_t i = 0; i < self.count; i++) {
        kill(-self.workers[i].pid, SIGKILL);
        kill(self.workers[i].pid, SIGKILL);
    }
    for (size_t i = 0; i < self.count; i++)
        waitpid(self.workers[i].pid, NULL, 0);
    _exit(0);
}

static void prepare(void)
{
    /* What lies in a buffer now would be written once by each worker. */
    fflush(NULL);
    signal(SIGCHLD, SIG_DFL);
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &self.old_mask);
    sigdelset(&self.old_mask, SIGCHLD);
    self.signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    if (self.signals < 0)
        give_up("cannot wait for workers");
    /* libzmq asks for this in every process that makes a context, and glibc then
     * looks for its name services on the disk.  Asked once here, a fork has them. */
    (void)getprotobyname("pgm");
    struct zygote_record ready = {.version = ZYGOTE_VERSION, .kind = ZYGOTE_READY,
                                  .value = thread_count()};
    say(&ready);
}

static struct zygote_child serve_once(void)
{
    union packet packet;
    int fds[ZYGOTE_FDS];
    size_t len = hear(&packet, fds);
    if (len == 0)
        _exit(0);   /* the node changed its mind */
    if (!is_valid(&packet, len) || packet.record.kind != ZYGOTE_FORK) {
        errno = EPROTO;
        give_up("the node sent a record that this program does not know");
    }
    return enter(&packet, fds[0]);
}

struct zygote_child zygote_serve(void)
{
    assert(self.control >= 0);
    if (self.single)
        return serve_once();
    pid_t zygote = getpid();
    prepare();
    for (;;) {
        struct pollfd p[2] = {{.fd = self.control, .events = POLLIN},
                              {.fd = self.signals, .events = POLLIN}};
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[1].revents)
            reap();
        if (!p[0].revents)
            continue;
        union packet packet;
        int fds[ZYGOTE_FDS];
        size_t len = hear(&packet, fds);
        if (len == 0)
            end();
        bool valid = is_valid(&packet, len);
        if (valid && packet.record.kind == ZYGOTE_FORK && on_fork(&packet.record, fds))
            return be_worker(&packet, fds, zygote);
        if (valid && packet.record.kind == ZYGOTE_KILL)
            on_kill(&packet.record);
        for (int i = 0; i < ZYGOTE_FDS; i++)
            if (fds[i] >= 0)
                close(fds[i]);
    }
}
