/* node_main.c - the node process begins and ends; see node.h.
 *
 * The order matters at the beginning: the keeper is forked while this process
 * is small and has one thread; then come limits that children must not inherit,
 * memory, threads, and at last the door.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/dlog.h"
#include "io/mono.h"
#include "io/ready.h"
#include "node/daemon.h"
#include "node/family.h"
#include "node/machine.h"

#define NODE_NUMBER 1           /* the node of the head's own machine */
#define LOCK_WAIT_MS 6000      /* for the keeper of a node that was killed */
#define LOCK_LOOK_MS 5
#define KEEPER_WAIT_MS (KEEPER_END_WAIT_MS + 1000)
#define LINGER_MS 200           /* for last words to processes that still read */
#define OOM_SCORE_ADJ (-500)
#define STORE_SHARE 0.30
#define STORE_UNIT (2ull * 1024 * 1024)
#define STORE_BYTES_MIN (16ull * 1024 * 1024)
#define WARM_MAX 16u
#define INCARNATION_FILE "node.incarnation"

enum exit_status { EXIT_ENDED = 0, EXIT_FAILED = 1, EXIT_REFUSED = 4 };

/* ---- who we are ------------------------------------------------------------------------ */

/* Peers keep a link per incarnation, and the frames of a new one count from 1:
 * so the number must not come twice while any peer lives. */
static uint32_t next_incarnation(const struct places *p)
{
    char path[PLACE_MAX + sizeof INCARNATION_FILE + 8], fresh[sizeof path + 8];
    unsigned last = 0;
    snprintf(path, sizeof path, "%s/" INCARNATION_FILE, p->state);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%u", &last) != 1)
            last = 0;
        fclose(f);
    }
    f = fopen(fresh, "we");
    bool written = f && fprintf(f, "%u\n", last + 1) > 0;
    if (f)
        written = fclose(f) == 0 && written;
    if (!written || rename(fresh, path) != 0)
        dlog_warn("%s: %s; a head that runs may not know this node again", path, strerror(errno));
    return last + 1 ? last + 1 : 1;
}

static void declare_devices(struct node_config *c, double gpus)
{
    c->device_count = gpus > 0 ? (uint32_t)fmin(gpus, NODE_DEVICES_MAX) : 0;
    c->total.gpu_milli = (int64_t)c->device_count * 1000;
    for (uint32_t i = 0; i < c->device_count; i++)
        snprintf(c->devices[i], sizeof c->devices[i], "declared-%u", (unsigned)i);
}

static void configure(struct daemon *d)
{
    const struct node_options *o = d->options;
    struct node_config *c = &d->config;
    double cpus = o->cpus > 0 ? o->cpus : machine_cpus();
    uint64_t available = machine_memory_bytes();
    uint64_t store = o->store_bytes ? o->store_bytes : (uint64_t)((double)available * STORE_SHARE);
    store = (store + STORE_UNIT - 1) / STORE_UNIT * STORE_UNIT;
    c->arena_bytes = store > STORE_BYTES_MIN ? store : STORE_BYTES_MIN;
    c->total.cpu_milli = (int64_t)ceil(cpus * 1000 - 0.5);
    if (c->total.cpu_milli < 1)
        c->total.cpu_milli = 1;
    uint64_t memory = available > c->arena_bytes ? available - c->arena_bytes : 0;
    c->total.memory_bytes = (int64_t)(o->memory_bytes ? o->memory_bytes : memory);
    declare_devices(c, o->gpus);
    uint32_t whole = (uint32_t)ceil(cpus);
    c->processes_max = o->processes_max ? o->processes_max : 4 * whole + 16;
    c->warm = whole < WARM_MAX ? whole : WARM_MAX;
    c->warm = c->warm < c->processes_max ? c->warm : c->processes_max;
    if (o->name)
        snprintf(c->name, sizeof c->name, "%s", o->name);
    else if (gethostname(c->name, sizeof c->name - 1) != 0)
        snprintf(c->name, sizeof c->name, "node");
    c->self = (struct addr){.node = NODE_NUMBER, .inc = next_incarnation(d->places)};
    if (getrandom(&d->boot, sizeof d->boot, 0) != (ssize_t)sizeof d->boot)
        d->boot = (uint64_t)mono_ns();
}

/* The node is to outlive its workers when memory is short, and each process at
 * its door costs descriptors.  Where it is not allowed it is not. */
static void take_privileges(void)
{
    struct rlimit files;
    char text[16];
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, text, (size_t)snprintf(text, sizeof text, "%d", OOM_SCORE_ADJ));
    (void)n;
    close(fd);
}

/* ---- open --------------------------------------------------------------------------------- */

static covey_status failed(covey_status status, const char *what, char *why, size_t why_size)
{
    if (status == COVEY_ESYSTEM)
        snprintf(why, why_size, "%s: %s", what, strerror(errno));
    else if (status != COVEY_OK)
        snprintf(why, why_size, "%s: %s", what, covey_strerror(status));
    return status;
}

/* After a node was killed its keeper has the lock until everything is gone. */
static covey_status take_directory(struct daemon *d, char *why, size_t why_size)
{
    int64_t end = mono_ns() + LOCK_WAIT_MS * MS_NS;
    covey_status status;
    while ((status = places_lock(d->places, PLACES_NODE_LOCK, &d->lock_fd)) == COVEY_EAGAIN
           && mono_ns() < end)
        poll(NULL, 0, LOCK_LOOK_MS);
    if (status == COVEY_EAGAIN) {
        snprintf(why, why_size, "another node has %s", d->places->dir);
        return status;
    }
    failed(status, d->places->dir, why, why_size);
    if (status == COVEY_OK) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        status = failed(keeper_start(&d->keeper, d->places->dir, NODE_NUMBER, d->lock_fd),
                        "the keeper process", why, why_size);
    }
    return status;
}

static covey_status open_store(struct daemon *d, char *why, size_t why_size)
{
    const struct node_config *c = &d->config;
    char what[64];
    snprintf(what, sizeof what, "a store of %llu MiB", (unsigned long long)(c->arena_bytes >> 20));
    covey_status status = failed(arena_new(&d->arena, c->arena_bytes), what, why, why_size);
    if (status == COVEY_OK)
        status = failed(pager_open(&d->pager, (uint32_t)(c->arena_bytes / ARENA_BLOCK),
                                   daemon_populate, d), "the store's thread", why, why_size);
    return status;
}

static covey_status open_parts(struct daemon *d, char *why, size_t why_size)
{
    const struct places *p = d->places;
    covey_status status = failed(logs_open(&d->logs, p->state, &daemon_logs_ops, d), "logs", why,
                                 why_size);
    if (status == COVEY_OK)
        status = failed(packages_open(&d->packages, &d->loop, p->state), "packages", why, why_size);
    struct starter_config starter = {
        .loop = &d->loop, .keeper = d->keeper, .packages = d->packages, .logs = d->logs,
        .dir = p->dir, .node = NODE_NUMBER, .has_devices = d->config.device_count > 0};
    if (status == COVEY_OK)
        status = failed(starter_new(&d->starter, &starter, &daemon_starter_ops, d), "the keeper",
                        why, why_size);
    if (status == COVEY_OK)
        status = port_open(&d->port, p->dir, d->config.self, &daemon_port_ops, d, why, why_size);
    if (status == COVEY_OK)
        status = failed(mesh_new(&d->mesh, d->config.self, &daemon_codec, &daemon_mesh_ops, d),
                        "links", why, why_size);
    if (status == COVEY_OK)
        status = failed(node_new(&d->core, &d->config, &daemon_core_ops, d), "the node", why, why_size);
    struct head_link_config head = {
        .loop = &d->loop, .port = d->port, .dir = p->dir, .self = d->config.self, .boot = d->boot,
        .name = d->config.name, .total = d->config.total};
    if (status == COVEY_OK)
        status = failed(head_link_open(&d->head, &head, &daemon_head_ops, d), "the head's link", why,
                        why_size);
    return status;
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    struct daemon *d = handle->data;
    daemon_stop(d, d->stopping ? 0 : NODE_STOP_WAIT / MS_NS);
}

static covey_status open_handles(struct daemon *d)
{
    static const int numbers[DAEMON_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    for (int i = 0; i < DAEMON_SIGNALS; i++) {
        if (uv_signal_init(&d->loop, &d->signals[i]) != 0)
            return COVEY_ENOMEM;
        d->signal_count++;
        d->signals[i].data = d;
        if (uv_signal_start(&d->signals[i], on_signal, numbers[i]) != 0)
            return COVEY_ESYSTEM;
    }
    covey_status status = watch_open(&d->pager_watch, &d->loop, pager_fd(d->pager),
                                     daemon_on_pages, d);
    if (status == COVEY_OK && d->options->parent_fd >= 0)
        status = watch_open(&d->parent_watch, &d->loop, d->options->parent_fd, daemon_on_parent, d);
    return status;
}

static covey_status open_door(struct daemon *d, char *why, size_t why_size)
{
    covey_status status = failed(open_handles(d), "the event loop", why, why_size);
    if (status != COVEY_OK)
        return status;
    struct entrance_config config = {.loop = &d->loop, .dir = d->places->dir};
    status = failed(entrance_open(&d->entrance, &config, &daemon_entrance_ops, d), "the door", why,
                    why_size);
    if (status == COVEY_OK)
        status = failed(zwatch_open(&d->zwatch, &d->loop, d->port, daemon_on_turn, d),
                        "the event loop", why, why_size);
    if (status == COVEY_OK && !places_write_pid(d->places, PLACES_NODE_PID))
        dlog_warn("%s/node.pid: %s", d->places->dir, strerror(errno));
    return status;
}

static covey_status open_all(struct daemon *d, char *why, size_t why_size)
{
    covey_status status = take_directory(d, why, why_size);
    if (status != COVEY_OK)
        return status;
    take_privileges();
    configure(d);
    status = open_store(d, why, why_size);
    if (status == COVEY_OK && uv_loop_init(&d->loop) != 0)
        status = failed(COVEY_ESYSTEM, "the event loop", why, why_size);
    if (status != COVEY_OK)
        return status;
    d->has_loop = true;
    alarm_open(&d->alarm, &d->loop, daemon_on_due, d);
    status = open_parts(d, why, why_size);
    return status == COVEY_OK ? open_door(d, why, why_size) : status;
}

/* ---- close ---------------------------------------------------------------------------------- */

/* What has handles goes first, then the loop runs until they and the jobs are
 * over; what those still touch goes after that. */
static void close_loop(struct daemon *d)
{
    if (d->zwatch)
        zwatch_close(&d->zwatch, NULL);
    entrance_close(&d->entrance);
    starter_free(&d->starter);
    head_link_close(&d->head);
    watch_close(&d->pager_watch);
    watch_close(&d->parent_watch);
    for (uint32_t i = 0; i < d->signal_count; i++)
        uv_close((uv_handle_t *)&d->signals[i], NULL);
    alarm_close(&d->alarm, NULL);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&d->loop);
    assert(rc == 0);
    (void)rc;
}

static void close_all(struct daemon *d)
{
    if (d->has_loop)
        close_loop(d);
    port_close(&d->port, LINGER_MS);
    packages_close(&d->packages);
    logs_close(&d->logs);
    pager_close(&d->pager);
    if (d->core)
        node_free(&d->core);
    if (d->mesh)
        mesh_free(&d->mesh);
    /* The keeper kills what is left, removes the sockets, and has the lock
     * until then. */
    if (!keeper_close(&d->keeper, KEEPER_WAIT_MS))
        dlog_warn("the keeper does not end; processes may be left");
    if (d->keeper_died) {
        family_end(KEEPER_END_WAIT_MS);
        keeper_remove_sockets(d->places->dir, NODE_NUMBER);
    }
    if (d->arena)
        arena_free(&d->arena);
    map_fini(&d->full);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
}

int node_main(const struct places *p, const struct node_options *options, int ready_fd)
{
    static const struct node_options defaults = {.parent_fd = -1};
    struct daemon d = {.places = p, .options = options ? options : &defaults, .lock_fd = -1};
    char why[DAEMON_WHY_MAX] = "";
    dlog_open("node");
    signal(SIGPIPE, SIG_IGN);   /* whoever waits at @ready_fd may be gone */
    map_init(&d.full, sizeof(uint32_t));
    covey_status status = open_all(&d, why, sizeof why);
    if (status == COVEY_OK) {
        dlog_info("serves %s with %g CPUs, %g GPUs, %llu MiB for tasks and %llu MiB of store", p->dir,
                 (double)d.config.total.cpu_milli / 1000, (double)d.config.total.gpu_milli / 1000,
                 (unsigned long long)d.config.total.memory_bytes >> 20, (unsigned long long)d.config.arena_bytes >> 20);
        ready_tell(&ready_fd, NULL);
        uv_run(&d.loop, UV_RUN_DEFAULT);
        dlog_info("ends");
    }
    close_all(&d);
    if (status == COVEY_OK)
        return d.keeper_died ? EXIT_FAILED : EXIT_ENDED;
    dlog_error("%s", why);
    ready_tell(&ready_fd, why);
    return status == COVEY_EAGAIN ? EXIT_REFUSED : EXIT_FAILED;
}
