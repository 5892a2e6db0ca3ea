/* door.c - see door.h for the contract. */
#include "io/door.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/mono.h"
#include "wire/wire.h"

/* Room for the descriptors of one packet, aligned as the kernel wants it. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(DOOR_FDS_MAX * sizeof(int))];
};

static void close_saving_errno(int fd)
{
    int saved = errno;
    close(fd);
    errno = saved;
}

static bool door_path(struct sockaddr_un *out, const char *dir)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(out->sun_path, sizeof out->sun_path, "%s/" DOOR_NAME, dir);
    if (n > 0 && (size_t)n < sizeof out->sun_path)
        return true;
    errno = ENAMETOOLONG;
    return false;
}

/* Is the process at the other end of the same user? */
static covey_status check_peer(int fd, pid_t *pid)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return COVEY_ESYSTEM;
    if (pid)
        *pid = peer.pid;
    return peer.uid == geteuid() ? COVEY_OK : COVEY_EREFUSED;
}

/* ---- connections ------------------------------------------------------------ */

covey_status door_listen(int *out, const char *dir)
{
    *out = -1;
    struct sockaddr_un at;
    if (!door_path(&at, dir))
        return COVEY_ESYSTEM;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return COVEY_ESYSTEM;
    /* The path gets the mode that the socket has when it is bound: so it is
     * never open to others, whatever the umask, and no other thread of this
     * process sees the umask change. */
    if (fchmod(fd, 0600) != 0 || (unlink(at.sun_path) != 0 && errno != ENOENT) ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, DOOR_BACKLOG) != 0) {
        close_saving_errno(fd);
        return COVEY_ESYSTEM;
    }
    *out = fd;
    return COVEY_OK;
}

covey_status door_accept(int listen_fd, int *out, pid_t *pid)
{
    *out = -1;
    int fd;
    do
        fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? COVEY_EAGAIN : COVEY_ESYSTEM;
    covey_status status = check_peer(fd, pid);
    if (status != COVEY_OK) {
        close_saving_errno(fd);
        return status;
    }
    *out = fd;
    return COVEY_OK;
}

/* connect() on a unix socket waits only for room in the backlog; how long is
 * the socket's send timeout.  That is for connect() alone: door_receive() polls
 * for itself, and a packet always fits into an empty socket. */
static covey_status connect_within(int fd, const struct sockaddr_un *at, int64_t timeout_ms)
{
    struct timeval wait = {0, 0}; /* for ever */
    if (timeout_ms == 0)
        wait.tv_usec = 1;
    else if (timeout_ms > 0)
        wait = (struct timeval){timeout_ms / 1000, timeout_ms % 1000 * 1000};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0)
        return COVEY_ESYSTEM;
    if (connect(fd, (const struct sockaddr *)at, sizeof *at) == 0)
        return COVEY_OK;
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED: return COVEY_ENOCLUSTER;
    case EACCES:
    case EPERM: return COVEY_EREFUSED;
    case EINTR:
    case EAGAIN: return COVEY_ETIMEOUT;
    default: return COVEY_ESYSTEM;
    }
}

covey_status door_connect(int *out, const char *dir, int64_t timeout_ms)
{
    *out = -1;
    struct sockaddr_un at;
    if (!door_path(&at, dir))
        return COVEY_ENOCLUSTER; /* where no path fits, nobody listens */
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return COVEY_ESYSTEM;
    covey_status status = connect_within(fd, &at, timeout_ms);
    if (status == COVEY_OK)
        status = check_peer(fd, NULL); /* it will give us memory to map */
    if (status != COVEY_OK) {
        close_saving_errno(fd);
        return status;
    }
    *out = fd;
    return COVEY_OK;
}

/* ---- packets ------------------------------------------------------------------ */

static void put_fds(struct msghdr *header, union control *control, const int *fds, int fd_count)
{
    assert(fd_count > 0 && fd_count <= DOOR_FDS_MAX);
    size_t bytes = (size_t)fd_count * sizeof *fds;
    header->msg_control = control;
    header->msg_controllen = CMSG_SPACE(bytes);
    struct cmsghdr *rights = CMSG_FIRSTHDR(header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(rights), fds, bytes);
}

static covey_status send_packet(int fd, struct span packet, const int *fds, int fd_count)
{
    struct iovec body = {(void *)(uintptr_t)packet.data, packet.len};
    struct msghdr header = {.msg_iov = &body, .msg_iovlen = 1};
    union control control = {.bytes = {0}};
    if (fd_count > 0)
        put_fds(&header, &control, fds, fd_count);
    ssize_t n;
    do
        n = sendmsg(fd, &header, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        assert((size_t)n == packet.len); /* seqpacket: whole or not at all */
        return COVEY_OK;
    }
    switch (errno) {
    case EAGAIN: return COVEY_EAGAIN;
    case EPIPE:
    case ENOTCONN:
    case ECONNRESET: return COVEY_ECLOSED;
    case EMSGSIZE: return COVEY_ETOOBIG;
    case ENOMEM:
    case ENOBUFS: return COVEY_ENOMEM;
    default: return COVEY_ESYSTEM;
    }
}

covey_status door_send(int fd, const struct msg *msg, const int *fds, int fd_count)
{
    struct buf packet;
    buf_init(&packet);
    covey_status status = wire_encode(&packet, msg);
    if (status == COVEY_OK && packet.len > DOOR_BYTES_MAX)
        status = COVEY_ETOOBIG;
    if (status == COVEY_OK)
        status = send_packet(fd, buf_span(&packet), fds, fd_count);
    buf_fini(&packet);
    return status;
}

void door_refuse(int fd, covey_status status, const char *why)
{
    size_t len = strlen(why);
    if (len >= WHY_MAX) {
        len = WHY_MAX - 1;
        while (len > 0 && ((uint8_t)why[len] & 0xc0) == 0x80) /* not inside a character */
            len--;
    }
    struct msg msg = {
        .kind = MSG_DOOR_REFUSE,
        .u.door_refuse = {WIRE_VERSION, (uint32_t)status, span_of(why, len)},
    };
    (void)door_send(fd, &msg, NULL, 0);
}

static covey_status wait_readable(int fd, int64_t timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? NEVER_NS : mono_ns() + timeout_ms * MS_NS;
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    for (;;) {
        int n = poll(&entry, 1, mono_poll_ms(deadline));
        if (n > 0)
            return COVEY_OK; /* input, end of file or an error: the receive tells */
        if (n < 0 && errno != EINTR)
            return COVEY_ESYSTEM;
        if (n == 0 && mono_ns() >= deadline)
            return timeout_ms == 0 ? COVEY_EAGAIN : COVEY_ETIMEOUT;
    }
}

/* The descriptors of a packet; all of them, so that none is left open. */
static int take_fds(struct msghdr *header, int fds[DOOR_FDS_MAX])
{
    int count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        int n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        assert(count + n <= DOOR_FDS_MAX); /* the kernel keeps within our buffer */
        memcpy(fds + count, CMSG_DATA(c), (size_t)n * sizeof(int));
        count += n;
    }
    return count;
}

static void close_fds(const int *fds, int count)
{
    for (int i = 0; i < count; i++)
        close(fds[i]);
}

/* One packet into @scratch.  COVEY_EAGAIN: somebody else took it, or none. */
static covey_status receive_packet(int fd, struct scratch *scratch, struct span *packet,
                                   int fds[DOOR_FDS_MAX], int *fd_count, char *why, size_t why_size)
{
    *fd_count = 0;
    uint8_t *bytes = scratch_alloc(scratch, DOOR_BYTES_MAX);
    if (!bytes)
        return COVEY_ENOMEM;
    union control control;
    struct iovec body = {bytes, DOOR_BYTES_MAX};
    struct msghdr header = {
        .msg_iov = &body, .msg_iovlen = 1,
        .msg_control = &control, .msg_controllen = CMSG_LEN(DOOR_FDS_MAX * sizeof(int)),
    };
    ssize_t n;
    do
        n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno == EAGAIN)
            return COVEY_EAGAIN;
        return errno == ECONNRESET ? COVEY_ECLOSED : COVEY_ESYSTEM;
    }
    *fd_count = take_fds(&header, fds);
    if (n == 0)
        return COVEY_ECLOSED; /* or an empty packet, which nobody honest sends */
    if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        snprintf(why, why_size, "a packet at the door is larger than %u bytes or %d descriptors",
                 DOOR_BYTES_MAX, DOOR_FDS_MAX);
        return COVEY_EPROTO;
    }
    *packet = span_of(bytes, (size_t)n);
    return COVEY_OK;
}

static covey_status decode_packet(struct span packet, struct scratch *scratch, struct msg *out,
                                  char *why, size_t why_size)
{
    size_t used;
    covey_status status = wire_decode(packet, &used, scratch, out, why, why_size);
    if (status == COVEY_EVERSION && why_size > 0) {
        char found[128];                /* both numbers */
        snprintf(found, sizeof found, "%s", why);
        snprintf(why, why_size, "the cluster and the program are of different releases of covey (%s): build the "
                 "program with the cluster's release, or start the cluster anew (covey stop; covey start)", found);
    }
    if (status != COVEY_OK)
        return status;
    if (used != packet.len) {
        snprintf(why, why_size, "%s: %zu bytes follow it in its packet", msg_name(out->kind),
                 packet.len - used);
        return COVEY_EPROTO;
    }
    if (out->kind != MSG_DOOR_HELLO && out->kind != MSG_DOOR_WELCOME && out->kind != MSG_DOOR_REFUSE) {
        snprintf(why, why_size, "%s does not belong at the door", msg_name(out->kind));
        return COVEY_EPROTO;
    }
    return COVEY_OK;
}

covey_status door_receive(int fd, int64_t timeout_ms, struct scratch *scratch, struct msg *out,
                          int *fds, int *fd_count, char *why, size_t why_size)
{
    assert((fds == NULL) == (fd_count == NULL));
    if (why_size > 0)
        why[0] = '\0';
    if (fd_count)
        *fd_count = 0;
    int came[DOOR_FDS_MAX], came_count = 0;
    struct span packet = {NULL, 0};
    covey_status status = wait_readable(fd, timeout_ms);
    if (status == COVEY_OK)
        status = receive_packet(fd, scratch, &packet, came, &came_count, why, why_size);
    if (status == COVEY_OK)
        status = decode_packet(packet, scratch, out, why, why_size);
    if (status == COVEY_OK && fds) {
        memcpy(fds, came, (size_t)came_count * sizeof *came);
        *fd_count = came_count;
    } else {
        close_fds(came, came_count);
    }
    return status;
}

/* ---- entry ---------------------------------------------------------------------- */

/* Words for what door_connect() and the two packets can say. */
static void explain(covey_status status, const char *dir, char *why, size_t why_size)
{
    if (why_size > 0 && why[0] != '\0')
        return; /* somebody who knew more has spoken */
    switch (status) {
    case COVEY_ENOCLUSTER:
        snprintf(why, why_size, "no node listens at %s/" DOOR_NAME "; start one with: covey start",
                 dir);
        break;
    case COVEY_EREFUSED:
        snprintf(why, why_size, "%s/" DOOR_NAME " belongs to another user's process", dir);
        break;
    case COVEY_ETIMEOUT:
        snprintf(why, why_size, "the node at %s/" DOOR_NAME " does not answer", dir);
        break;
    case COVEY_ECLOSED:
        snprintf(why, why_size, "the node at %s/" DOOR_NAME " hung up", dir);
        break;
    case COVEY_ESYSTEM:
        snprintf(why, why_size, "%s/" DOOR_NAME ": %s", dir, strerror(errno));
        break;
    default:
        snprintf(why, why_size, "%s/" DOOR_NAME ": %s", dir, covey_strerror(status));
    }
}

static covey_status refused(const struct msg_door_refuse *refuse, char *why, size_t why_size)
{
    snprintf(why, why_size, "%.*s", (int)refuse->why.len, (const char *)refuse->why.data);
    return refuse->status != COVEY_OK ? (covey_status)refuse->status : COVEY_EREFUSED;
}

/* The answer to our hello, with exactly two descriptors if it is a welcome. */
static covey_status take_answer(int fd, int64_t timeout_ms, struct scratch *scratch,
                                struct msg_door_welcome *welcome, int *ro_fd, int *rw_fd,
                                char *why, size_t why_size)
{
    struct msg answer;
    int fds[DOOR_FDS_MAX], fd_count;
    covey_status status =
        door_receive(fd, timeout_ms, scratch, &answer, fds, &fd_count, why, why_size);
    if (status == COVEY_EAGAIN)
        return COVEY_ETIMEOUT;
    if (status != COVEY_OK)
        return status;
    if (answer.kind == MSG_DOOR_WELCOME && fd_count == 2) {
        *welcome = answer.u.door_welcome;
        *ro_fd = fds[0];
        *rw_fd = fds[1];
        return COVEY_OK;
    }
    close_fds(fds, fd_count);
    if (answer.kind == MSG_DOOR_REFUSE)
        return refused(&answer.u.door_refuse, why, why_size);
    snprintf(why, why_size, "the node answered with %s and %d descriptors", msg_name(answer.kind),
             fd_count);
    return COVEY_EPROTO;
}

covey_status door_enter(const char *dir, const struct msg_door_hello *hello, int64_t timeout_ms,
                        struct scratch *scratch, struct msg_door_welcome *welcome,
                        int *door_fd, int *ro_fd, int *rw_fd, char *why, size_t why_size)
{
    *door_fd = *ro_fd = *rw_fd = -1;
    if (why_size > 0)
        why[0] = '\0';
    int64_t deadline = timeout_ms < 0 ? NEVER_NS : mono_ns() + timeout_ms * MS_NS;
    int fd;
    covey_status status = door_connect(&fd, dir, timeout_ms);
    if (status == COVEY_OK) {
        struct msg msg = {.kind = MSG_DOOR_HELLO, .u.door_hello = *hello};
        status = door_send(fd, &msg, NULL, 0);
        /* Where the send finds the door closed, a refusal may lie there to be
         * read, and says more. */
        if (status == COVEY_OK || status == COVEY_ECLOSED)
            status = take_answer(fd, mono_poll_ms(deadline), scratch, welcome, ro_fd, rw_fd, why,
                                 why_size);
    }
    if (status == COVEY_OK) {
        *door_fd = fd;
        return COVEY_OK;
    }
    explain(status, dir, why, why_size);
    if (fd >= 0)
        close(fd);
    return status;
}
