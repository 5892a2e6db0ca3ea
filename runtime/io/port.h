/* port.h - a process's ZeroMQ sockets behind one descriptor.
 *
 * One ROUTER is bound at DIR/<node>.<proc> (ipc; the directory is 0700, the
 * peer's uid is checked, and the path is taken by a lock before the bind, so a
 * bind cannot be stolen).  One DEALER is opened for each peer that this process
 * speaks to first; a peer that spoke first is answered over the connection it
 * made.  Identities are ZeroMQ's own, never chosen: the address in a frame's
 * header names the peer, and a connection keeps the address of its first frame:
 * one that changes it, or that sends what is no frame of ours, is dropped.
 *
 * ZMQ_FD is edge-triggered in disguise: any send or receive may swallow its
 * edge.  So sockets that were touched are remembered, and port_pending() asks
 * their ZMQ_EVENTS before anybody sleeps on port_fd(), an epoll descriptor over
 * all of them:
 *
 *     for (;;) {
 *         if (!port_pending(port))
 *             poll port_fd(port), until the mesh's deadline;
 *         port_receive(port, some);
 *         mesh_flush(...);
 *     }
 *
 * Socket limits set: LINGER, SNDHWM and RCVHWM (frames; a backstop, links count
 * bytes), MAXMSGSIZE, HANDSHAKE_IVL, RECONNECT_IVL, ROUTER_MANDATORY, IMMEDIATE
 * off; MAX_SOCKETS and one I/O thread on the context.  No heartbeats: on ipc
 * the kernel tells of death, and a stopped process shall keep its connections.
 *
 * Threads: one at a time, under the caller's lock; it may be another one each
 * time.  Fork: a child must not touch it.
 */
#ifndef COVEY_IO_PORT_H
#define COVEY_IO_PORT_H

#include "core/link.h"

#define PORT_HWM 4096           /* frames */
#define PORT_SOCKETS_MAX 4096   /* our own, and connections that peers made */
#define PORT_DROPPED_MAX 1024   /* connections remembered as dropped */
#define PORT_RECONNECT_MS 10    /* doubled up to ... */
#define PORT_RECONNECT_MS_MAX 200
#define PORT_HANDSHAKE_MS 2000
/* A refused transmit is tried again at least this often: ROUTER does not say
 * for which connection there is room. */
#define PORT_RETRY_MS 10
#define PORT_LOCKS "ports"      /* the file of locks in the directory */

struct port;

struct port_ops {
    /* One frame that frame_parse() accepts; borrowed until return.  May call
     * port_transmit() and port_forget(). */
    void (*frame)(void *io, struct span frame);
    /* The last transmit to @peer, which was refused, may be tried again.  May
     * call port_transmit(). */
    void (*writable)(void *io, struct addr peer);
};

/* @dir holds the sockets of this machine's processes.  COVEY_ESYSTEM: in words
 * in @why (path too long, no descriptors, address in use); COVEY_ENOMEM. */
covey_status port_open(struct port **out, const char *dir, struct addr self,
                       const struct port_ops *ops, void *io, char *why, size_t why_size);
/* Sends nothing more; waits at most @linger_ms for what is queued to peers that
 * have a socket.  Removes the socket's path.  Sets *@port to NULL; of NULL does nothing. */
void port_close(struct port **port, int linger_ms);

/* link_ops.transmit: takes its own reference and returns true, or returns
 * false when the socket is full.  A peer without a socket of its own yet is
 * connected to; frames wait in ZeroMQ until it binds.  Where memory is out the
 * frame is lost, as it may be on any carrier; the link sends it again. */
bool port_transmit(struct port *port, struct addr to, struct frame *frame);
/* Readable when something happened.  The port owns it. */
int port_fd(const struct port *port);
/* Input (or room for a refused transmit) is there now.  Call before sleeping. */
bool port_pending(struct port *port);
/* Deliver up to @frames_max frames; returns how many. */
int port_receive(struct port *port, int frames_max);
/* The peer is dead: close its socket, forget its connection.  Frames of that
 * connection that still come are dropped.  Nothing happens when a later
 * incarnation has taken its place. */
void port_forget(struct port *port, struct addr peer);
/* The path of a process's socket; false if it does not fit into a socket's
 * address. */
bool port_path(char *out, size_t size, const char *dir, struct addr who);
/* The path of another one, on which its commands report. */
bool port_report_path(char *out, size_t size, const char *dir, struct addr who);
/* Remove the sockets of a process that died without port_close().  For its node. */
void port_unlink(const char *dir, struct addr who);

struct port_stats {
    uint64_t frames_in, frames_out;
    uint64_t refused;           /* transmits that found the socket full */
    uint64_t lost;              /* transmits that there was no memory for */
    uint64_t dropped;           /* messages that were no frames, or of dropped connections */
    uint32_t dealers, connections;
};
struct port_stats port_stats(const struct port *port);

#endif
