/* node_package.c - the programs that workers run.
 *
 * A package is known from the first process that told it until no process that
 * told it, no want and no worker needs it.  It is broken after
 * NODE_START_FAILURES_MAX starts in a row that did not come to a hello: then
 * everybody who wants it is told COVEY_ESTART.  A hello mends it, and so does
 * another client that tells it: what was wrong may have been outside the file.
 */
#include "core/node_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Only fields without padding between them may be a key. */
_Static_assert(sizeof(struct hash128) == 16, "a hash is 16 bytes");

struct package *package_find(const struct node *n, struct hash128 hash)
{
    return map_get(&n->packages, &hash);
}

static struct span copy_span(uint8_t **to, struct span from)
{
    struct span copy = {*to, from.len};
    if (from.len)
        memcpy(*to, from.data, from.len);
    *to += from.len;
    return copy;
}

static struct package *package_new(struct node *n, const struct msg_package *msg)
{
    uint64_t bytes = (uint64_t)msg->path.len + msg->cwd.len + msg->argv.len + msg->env.len;
    if (bytes > NODE_PACKAGE_BYTES_MAX)
        return NULL;
    struct package *package = calloc(1, sizeof *package);
    uint8_t *copy = malloc(bytes + 1);
    if (!package || !copy || !map_put(&n->packages, &msg->hash, package)) {
        free(package);
        free(copy);
        return NULL;
    }
    package->what = *msg;
    package->bytes = copy;
    package->what.path = copy_span(&copy, msg->path);
    package->what.cwd = copy_span(&copy, msg->cwd);
    package->what.argv = copy_span(&copy, msg->argv);
    package->what.env = copy_span(&copy, msg->env);
    list_init(&package->wants);
    list_init(&package->idle);
    list_init(&package->idle_devices);
    list_init(&package->starting);
    n->ops->package_known(n->io, &package->what);
    return package;
}

static void start_warm(struct node *n, struct package *package)
{
    while (package->idle_count + package->starting_count < n->config.warm &&
           n->worker_count < n->config.processes_max && !package->broken) {
        struct proc *p = worker_new(n, package, 0);
        if (!p)
            return;             /* only ahead of need: there is no need yet */
        worker_start(n, p);
        worker_unbind(p);
    }
}

void package_mend(struct node *n, struct package *package)
{
    package->failures = 0;
    if (!package->broken)
        return;
    package->broken = false;
    list_each(it, &package->wants) {
        struct want *w = list_entry(it, struct want, in_package);
        w->told = COVEY_OK;     /* that was for good: its tasks have failed */
        waiting_update(n, w);
    }
    n->dirty = true;
}

void package_msg(struct node *n, struct proc *from, const struct msg_package *msg)
{
    for (uint32_t i = 0; i < from->package_count; i++)
        if (hash_eq(from->packages[i]->what.hash, msg->hash))
            return;
    /* What is refused here is told at the class that names it. */
    if (from->package_count == NODE_PACKAGES_MAX)
        return;
    struct package *package = package_find(n, msg->hash);
    if (!package)
        package = package_new(n, msg);
    if (!package)
        return;
    from->packages[from->package_count++] = package;
    package->users++;
    if (from->role != ROLE_CLIENT)
        return;
    package->clients++;
    package_mend(n, package);
    start_warm(n, package);
}

void package_leave(struct node *n, struct proc *user)
{
    for (uint32_t i = 0; i < user->package_count; i++) {
        struct package *package = user->packages[i];
        package->users--;
        if (user->role == ROLE_CLIENT)
            package->clients--;
        package_unuse(n, package);
    }
    user->package_count = 0;
}

void package_unuse(struct node *n, struct package *package)
{
    if (package->users || package->workers || !list_empty(&package->wants))
        return;
    map_del(&n->packages, &package->what.hash);
    free(package->bytes);
    free(package);
}

static void cancel_queued(struct node *n, const struct package *package)
{
    list_each(it, &n->queued) {
        struct proc *p = list_entry(it, struct proc, in_state);
        if (p->package != package)
            continue;
        if (p->lease.state != LEASE_NONE)
            lending_end(n, p);
        worker_drop(n, p);
        proc_free(n, p);
    }
}

void package_start_failed(struct node *n, struct package *package, const char *why, bool killed)
{
    if (killed && package->killed_at && n->now - package->killed_at < NODE_KILL_BURST)
        return;
    if (killed)
        package->killed_at = n->now;
    package->failures++;
    snprintf(package->why, sizeof package->why, "%s", why);
    if (package->failures < NODE_START_FAILURES_MAX)
        return;
    package->broken = true;
    cancel_queued(n, package);
    list_each(it, &package->wants) {
        struct want *w = list_entry(it, struct want, in_package);
        waiting_update(n, w);
        if (want_unmet(w) > 0 && w->told != COVEY_ESTART)
            want_stall(n, w, COVEY_ESTART, package->why);
    }
}

bool package_can_spare(const struct node *n, const struct package *package)
{
    return package->clients == 0 || package->idle_count > n->config.warm;
}
