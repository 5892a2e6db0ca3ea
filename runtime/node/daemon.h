/* daemon.h - the node process's parts in one place.  Of node_main.c (which
 * opens and closes them) and daemon.c (which joins them); nobody else's.
 */
#ifndef COVEY_NODE_DAEMON_H
#define COVEY_NODE_DAEMON_H

#include <uv.h>

#include "core/map.h"
#include "core/mesh.h"
#include "core/node.h"
#include "io/alarm.h"
#include "io/port.h"
#include "io/watch.h"
#include "io/zwatch.h"
#include "node/entrance.h"
#include "node/head_link.h"
#include "node/node.h"
#include "node/pager.h"
#include "node/starter.h"
#include "store/store.h"

#define DAEMON_SIGNALS 3
#define DAEMON_WHY_MAX 1024

struct daemon {
    const struct places *places;            /* borrowed */
    const struct node_options *options;     /* borrowed */
    struct node_config config;
    uint64_t boot, head_epoch;
    /* parts; NULL or -1 until they are open */
    int lock_fd;
    struct keeper *keeper;
    struct arena *arena;
    struct logs *logs;
    struct packages *packages;
    struct starter *starter;
    struct entrance *entrance;
    struct port *port;
    struct mesh *mesh;
    struct node *core;
    struct pager *pager;
    struct head_link *head;
    struct map full;                        /* processes that do not read what we send */
    /* loop */
    uv_loop_t loop;
    bool has_loop;
    struct zwatch *zwatch;
    struct alarm alarm;
    uv_signal_t signals[DAEMON_SIGNALS];
    uint32_t signal_count;                  /* of them open */
    struct watch *pager_watch, *parent_watch;
    /* the end */
    bool stopping;
    int64_t stop_at;                        /* workers that still live are killed */
    bool keeper_died;
};

/* What the parts call; @io is the daemon. */
extern const struct node_ops daemon_core_ops;
extern const struct mesh_codec daemon_codec;
extern const struct mesh_ops daemon_mesh_ops;
extern const struct port_ops daemon_port_ops;
extern const struct logs_ops daemon_logs_ops;
extern const struct starter_ops daemon_starter_ops;
extern const struct entrance_ops daemon_entrance_ops;
extern const struct head_link_ops daemon_head_ops;
bool daemon_populate(void *ctx, uint32_t first_block, uint32_t blocks);     /* the pager's thread */

/* Loop callbacks; @ctx is the daemon. */
void daemon_on_turn(void *ctx);
void daemon_on_due(void *ctx);
void daemon_on_pages(void *ctx);
void daemon_on_parent(void *ctx);

/* Begin to end: workers have @grace_ms after SIGTERM.  Again: never longer. */
void daemon_stop(struct daemon *d, int64_t grace_ms);

#endif
