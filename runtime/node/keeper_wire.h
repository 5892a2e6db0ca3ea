/* keeper_wire.h - the packets between node and keeper.  Both ends are one
 * program image, so plain structs do.
 */
#ifndef COVEY_NODE_KEEPER_WIRE_H
#define COVEY_NODE_KEEPER_WIRE_H

#include "node/keeper.h"

enum keeper_request_kind { KEEPER_DO_SPAWN, KEEPER_DO_KILL, KEEPER_DO_SWEEP };

/* SPAWN has four descriptors: strings, stdout, stderr, control.  The strings
 * stand in the memfd as path, cwd, arguments, environment, each ended by NUL. */
struct keeper_request {
    enum keeper_request_kind kind;
    uint32_t proc;
    uint64_t id;
    int32_t signal_number;
    pid_t pid;
    uint32_t strings_bytes;
    uint32_t argv_count, env_count;
    uint32_t has_cwd;
};
#define KEEPER_SPAWN_FDS 4

/* The keeper's life; never returns. */
_Noreturn void keeper_main(int sock, const char *dir, uint32_t node);

#endif
