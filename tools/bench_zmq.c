/* bench_zmq.c - what a round trip costs with ZeroMQ and nothing else.
 *
 * The baseline of a task's latency: DEALER here, ROUTER in another process, ipc,
 * 64 bytes, blocking.  A task cannot be faster, since its record and its reply
 * travel the same way; what it takes beyond is this runtime's own.
 */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <zmq.h>

#include "io/mono.h"

#define BYTES 64
#define BYE_BYTES 1             /* the message that ends the other process */
#define TRIPS_MAX 4096

struct bench_zmq {
    void *context, *dealer;
    pid_t echo;                 /* 0: not started */
};

/* ---- the other process ---------------------------------------------------------- */

/* Sends back what it gets, until it is told to end.  False: ZeroMQ failed. */
static bool echo(void *router)
{
    for (;;) {
        char who[256], body[BYTES];
        int who_len = zmq_recv(router, who, sizeof who, 0);
        int len = who_len > 0 ? zmq_recv(router, body, sizeof body, 0) : -1;
        if (len == BYE_BYTES)
            return true;
        if (len != BYTES || zmq_send(router, who, (size_t)who_len, ZMQ_SNDMORE) != who_len ||
            zmq_send(router, body, BYTES, 0) != BYTES)
            return false;
    }
}

int bench_zmq_echo(const char *endpoint)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    void *context = zmq_ctx_new();
    void *router = context ? zmq_socket(context, ZMQ_ROUTER) : NULL;
    bool ok = router && zmq_bind(router, endpoint) == 0 && echo(router);
    if (router)
        zmq_close(router);
    if (context)
        zmq_ctx_term(context);
    return ok ? 0 : 1;
}

/* ---- this process ----------------------------------------------------------------- */

static bool connect_dealer(struct bench_zmq *z, const char *endpoint)
{
    int wait_ms = BENCH_WAIT_MS;
    z->context = zmq_ctx_new();
    z->dealer = z->context ? zmq_socket(z->context, ZMQ_DEALER) : NULL;
    return z->dealer &&
           zmq_setsockopt(z->dealer, ZMQ_LINGER, &wait_ms, sizeof wait_ms) == 0 &&
           zmq_setsockopt(z->dealer, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms) == 0 &&
           zmq_setsockopt(z->dealer, ZMQ_SNDTIMEO, &wait_ms, sizeof wait_ms) == 0 &&
           zmq_connect(z->dealer, endpoint) == 0;
}

struct bench_zmq *bench_zmq_open(struct bench *b)
{
    struct bench_zmq *z = calloc(1, sizeof *z);
    char endpoint[256];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/echo", b->dir);
    const char *const argv[] = {"covey", BENCH_HELPER, BENCH_HELPER_ECHO, endpoint, NULL};
    if (!z || !connect_dealer(z, endpoint)) {
        bench_fail(b, "ZeroMQ: %s", strerror(errno));
        bench_zmq_close(b, &z);
        return NULL;
    }
    z->echo = bench_spawn(b, argv, NULL, NULL);
    /* The first trip waits until the other side is there. */
    if (z->echo < 0 || bench_zmq_round_trip_us(b, z, 1) == 0)
        bench_zmq_close(b, &z);
    return z;
}

void bench_zmq_close(struct bench *b, struct bench_zmq **zmq)
{
    struct bench_zmq *z = *zmq;
    *zmq = NULL;
    if (!z)
        return;
    if (z->echo > 0) {
        if (zmq_send(z->dealer, "", BYE_BYTES, 0) != BYE_BYTES)
            kill(z->echo, SIGKILL);
        bench_wait(b, z->echo, "the echo of ZeroMQ's messages");
    }
    if (z->dealer)
        zmq_close(z->dealer);
    if (z->context)
        zmq_ctx_term(z->context);
    free(z);
}

double bench_zmq_round_trip_us(struct bench *b, struct bench_zmq *z, int count)
{
    static double us[TRIPS_MAX];
    char body[BYTES] = "round trip";
    count = count < TRIPS_MAX ? count : TRIPS_MAX;
    for (int i = 0; i < count; i++) {
        int64_t begin = mono_ns();
        if (zmq_send(z->dealer, body, sizeof body, 0) != BYTES ||
            zmq_recv(z->dealer, body, sizeof body, 0) != BYTES) {
            bench_fail(b, "ZeroMQ's round trip: %s", strerror(errno));
            return 0;
        }
        us[i] = (double)(mono_ns() - begin) / 1e3;
    }
    return bench_median(us, count);
}
