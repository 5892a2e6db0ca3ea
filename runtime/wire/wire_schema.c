/* wire_schema.c - the fields of every struct that travels, in their order.
 *
 * One block per struct: T is the struct, FIELDS() lists its members.  Each
 * macro checks at compile time that the member has the C type which the engine
 * will read and write there.  Counts of arrays are not fields of their own on
 * the wire: the array's head is the count.  MSG_LIST makes the table of
 * messages, so a message without a block here does not compile.
 */
#include "wire/wire_internal.h"

/* offsetof, and an error unless T.m is a @type. */
#define AT(m, type_) (uint16_t)(offsetof(T, m) + 0 * _Generic(((T *)0)->m, type_: 0))
#define PLAIN(m, type_, field_type_) {.name = #m, .type = field_type_, .at = AT(m, type_)}

#define U64(m) PLAIN(m, uint64_t, FIELD_U64)
#define I32(m) PLAIN(m, int32_t, FIELD_I32)
#define BOOL(m) PLAIN(m, bool, FIELD_BOOL)
#define HASH(m) PLAIN(m, struct hash128, FIELD_HASH)
#define VERSION(m) PLAIN(m, uint32_t, FIELD_VERSION)
#define U32(m) {.name = #m, .type = FIELD_U32, .at = AT(m, uint32_t), .max = UINT32_MAX}
#define ENUM(m, count) {.name = #m, .type = FIELD_U32, .at = AT(m, uint32_t), .max = (count) - 1}
#define I64(m) {.name = #m, .type = FIELD_I64, .at = AT(m, int64_t), .min = INT64_MIN}
#define I64_FROM(m, min_) {.name = #m, .type = FIELD_I64, .at = AT(m, int64_t), .min = min_}
#define TEXT(m, max_) {.name = #m, .type = FIELD_TEXT, .at = AT(m, struct span), .max = max_}
#define BYTES(m, max_) {.name = #m, .type = FIELD_BYTES, .at = AT(m, struct span), .max = max_}
#define NAME(m) {.name = #m, .type = FIELD_NAME, .at = AT(m, char *), .max = sizeof(((T *)0)->m)}
#define STRUCT(m, s) {.name = #m, .type = FIELD_STRUCT, .at = AT(m, struct s), .of = &STRUCT_##s}
#define ARRAY_OF(m, type_, count_, of_, max_)                                 \
    {.name = #m, .type = FIELD_ARRAY, .at = AT(m, const type_ *),             \
     .count_at = AT(count_, uint32_t), .max = max_, .of = of_}
#define ARRAY(m, s, count_, max_) ARRAY_OF(m, struct s, count_, &STRUCT_##s, max_)
#define INLINE(m, s, count_, max_)                                            \
    {.name = #m, .type = FIELD_INLINE, .at = AT(m, struct s *),               \
     .count_at = AT(count_, uint32_t), .max = max_, .of = &STRUCT_##s}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FIELDS(name, ...)                                                     \
    enum { SIZE_##name = sizeof(T) };                                         \
    static const struct wire_field FIELDS_##name[] = {__VA_ARGS__};
#define SHAPE(name_)                                                          \
    .name = #name_, .fields = FIELDS_##name_, .field_count = COUNT(FIELDS_##name_), \
    .size = SIZE_##name_
#define STRUCT_DEF(s) static const struct wire_struct STRUCT_##s = {SHAPE(s)};

/* Where no smaller bound is stated, the record's is the bound. */
#define BLOB_MAX MSG_BYTES_MAX
#define ARRAY_MAX MSG_BYTES_MAX

/* ---- parts ------------------------------------------------------------------- */

/* Plain numbers as elements. */
#define T uint64_t
FIELDS(u64, {.name = "", .type = FIELD_U64})
static const struct wire_struct NUMBER_U64 = {SHAPE(u64), .bare = true};
#undef T

#define T uint32_t
FIELDS(u32, {.name = "", .type = FIELD_U32, .max = UINT32_MAX})
static const struct wire_struct NUMBER_U32 = {SHAPE(u32), .bare = true};
#undef T

#define T struct addr
FIELDS(addr, U32(node), U32(proc), U32(inc), U32(actor))
STRUCT_DEF(addr)
#undef T

#define T struct oid
FIELDS(oid, U32(node), U32(proc), U64(seq), U32(index))
STRUCT_DEF(oid)
#undef T

#define T struct place
FIELDS(place, U32(node), U32(extent), U64(gen), U64(offset), U64(size), U32(ordinal),
       ENUM(kind, COVEY_KIND_COUNT))
STRUCT_DEF(place)
#undef T

#define T struct custom
FIELDS(custom, NAME(name), I64_FROM(milli, 0))
STRUCT_DEF(custom)
#undef T

#define T struct resources
FIELDS(resources, I64_FROM(cpu_milli, 0), I64_FROM(gpu_milli, 0), I64_FROM(memory_bytes, 0),
       I64_FROM(gpu_memory_bytes, 0), INLINE(custom, custom, custom_count, CUSTOM_MAX))
STRUCT_DEF(resources)
#undef T

#define T struct dep
FIELDS(dep, ENUM(kind, DEP_KIND_COUNT), STRUCT(id, oid), BYTES(value, BLOB_MAX),
       STRUCT(place, place))
STRUCT_DEF(dep)
#undef T

#define T struct result
FIELDS(result, BOOL(in_store), BYTES(value, BLOB_MAX), STRUCT(place, place))
STRUCT_DEF(result)
#undef T

#define T struct held
FIELDS(held, STRUCT(id, oid), U64(version))
STRUCT_DEF(held)
#undef T

#define T struct kept
FIELDS(kept, STRUCT(id, oid), STRUCT(place, place))
STRUCT_DEF(kept)
#undef T

#define T struct printed
FIELDS(printed, U64(out_begin), U64(out_end), U64(err_begin), U64(err_end))
STRUCT_DEF(printed)
#undef T

#define T struct done
FIELDS(done, STRUCT(owner, addr), U64(seq), U32(attempt), ENUM(status, COVEY_STATUS_COUNT),
       TEXT(name, TASK_NAME_MAX), I64(end_unix_ms), I64(run_ns),
       STRUCT(printed, printed))
STRUCT_DEF(done)
#undef T

#define T struct node_view
FIELDS(node_view, U32(node), U32(inc), BOOL(alive), TEXT(name, WIRE_TEXT_MAX),
       STRUCT(total, resources), STRUCT(free, resources))
STRUCT_DEF(node_view)
#undef T

/* ---- the door ---------------------------------------------------------------- */

#define T struct msg_door_hello
FIELDS(DOOR_HELLO, VERSION(version), ENUM(role, ROLE_COUNT), U32(proc), U64(token),
       TEXT(name, WIRE_TEXT_MAX))
#undef T

#define T struct msg_door_welcome
FIELDS(DOOR_WELCOME, VERSION(version), STRUCT(self, addr), STRUCT(node, addr), U64(arena_bytes),
       U64(block_bytes), U32(cpus), U32(gpus), U64(head_epoch), TEXT(cluster, WIRE_TEXT_MAX),
       TEXT(dir, WIRE_TEXT_MAX))
#undef T

#define T struct msg_door_refuse
FIELDS(DOOR_REFUSE, VERSION(version), ENUM(status, COVEY_STATUS_COUNT), TEXT(why, WHY_MAX))
#undef T

/* ---- owner and node ---------------------------------------------------------- */

#define T struct msg_package
FIELDS(PACKAGE, HASH(hash), HASH(file), TEXT(path, WIRE_TEXT_MAX), U64(device), U64(inode), U64(size),
       I64(mtime_ns), TEXT(cwd, WIRE_TEXT_MAX), BYTES(argv, BLOB_MAX), BYTES(env, BLOB_MAX))
#undef T

#define T struct msg_class
FIELDS(CLASS, U32(class_id), HASH(package), STRUCT(need, resources))
#undef T

#define T struct msg_lease_want
FIELDS(LEASE_WANT, U32(class_id), U32(want), U64(version), I32(priority))
#undef T

#define T struct msg_lease_grant
FIELDS(LEASE_GRANT, U32(class_id), U64(lease), U64(epoch), STRUCT(worker, addr),
       TEXT(devices, WIRE_TEXT_MAX))
#undef T

#define T struct msg_lease_stall
FIELDS(LEASE_STALL, U32(class_id), ENUM(status, COVEY_STATUS_COUNT), TEXT(why, WHY_MAX))
#undef T

#define T struct msg_lease_recall
FIELDS(LEASE_RECALL, U64(lease))
#undef T

#define T struct msg_lease_return
FIELDS(LEASE_RETURN, U64(lease))
#undef T

#define T struct msg_worker_died
FIELDS(WORKER_DIED, U64(lease), STRUCT(worker, addr), I32(exit_status), U64(running_seq),
       TEXT(why, WHY_MAX))
#undef T

#define T struct msg_worker_kill
FIELDS(WORKER_KILL, U64(lease), U64(seq))
#undef T

/* ---- owner and executor ------------------------------------------------------ */

#define T struct msg_function
FIELDS(FUNCTION, U32(fn_id), TEXT(name, TASK_NAME_MAX), TEXT(signature, WIRE_TEXT_MAX))
#undef T

#define T struct msg_task
FIELDS(TASK, U64(seq), U32(attempt), U64(lease), U64(epoch), U32(fn_id), U32(job), U64(trace),
       I32(priority), I64_FROM(left_ms, -1), I64_FROM(grace_ms, 0), U32(threads),
       ARRAY(deps, dep, dep_count, TASK_DEPS_MAX),
       BYTES(args, BLOB_MAX))
#undef T

#define T struct msg_reply
FIELDS(REPLY, U64(seq), U32(attempt), U64(lease), U64(epoch), ENUM(status, COVEY_STATUS_COUNT),
       I32(user_code), TEXT(why, WHY_MAX), I64(queued_ns), I64(run_ns),
       ARRAY(results, result, result_count, TASK_RESULTS_MAX),
       ARRAY(held, held, held_count, ARRAY_MAX))
#undef T

#define T struct msg_reply_ack
FIELDS(REPLY_ACK, U64(seq), U32(attempt), BOOL(committed))
#undef T

#define T struct msg_revoke
FIELDS(REVOKE, U64(lease), ARRAY_OF(seqs, uint64_t, seq_count, &NUMBER_U64, ARRAY_MAX))
#undef T

#define T struct msg_revoked
FIELDS(REVOKED, U64(lease), BOOL(blocked),
       ARRAY_OF(seqs, uint64_t, seq_count, &NUMBER_U64, ARRAY_MAX))
#undef T

#define T struct msg_cancel
FIELDS(CANCEL, U64(seq), U32(attempt), I64_FROM(grace_ms, 0), BOOL(recursive))
#undef T

#define T struct msg_post
FIELDS(POST, U64(seq), U32(attempt), U64(number), BOOL(wants_answer), BYTES(body, POST_BYTES_MAX))
#undef T

#define T struct msg_post_ack
FIELDS(POST_ACK, U64(seq), U32(attempt), U64(number), BOOL(is_answer), BYTES(body, POST_BYTES_MAX))
#undef T

/* ---- executor and node ------------------------------------------------------- */

#define T struct msg_blocked
FIELDS(BLOCKED, U64(version))
#undef T

#define T struct msg_unblocked
FIELDS(UNBLOCKED, U64(version))
#undef T

#define T struct msg_resume
FIELDS(RESUME, U64(version))
#undef T

#define T struct msg_task_done
FIELDS(TASK_DONE, U64(dropped), ARRAY(done, done, done_count, ARRAY_MAX))
#undef T

/* ---- store ------------------------------------------------------------------- */

#define T struct msg_extent_want
FIELDS(EXTENT_WANT, U64(request), U64(bytes))
#undef T

#define T struct msg_extent_grant
FIELDS(EXTENT_GRANT, U64(request), U32(extent), U64(gen), U64(offset), U64(bytes))
#undef T

#define T struct msg_extent_refused
FIELDS(EXTENT_REFUSED, U64(request), ENUM(status, COVEY_STATUS_COUNT), U64(store_bytes),
       U64(free_bytes), U64(largest_bytes), U64(held_extents), U64(held_bytes), U64(live_objects),
       U64(live_bytes), TEXT(why, WHY_MAX))
#undef T

#define T struct msg_extent_close
FIELDS(EXTENT_CLOSE, U32(extent), U64(gen), U32(sealed), BYTES(freed, BLOB_MAX))
#undef T

#define T struct msg_object_free
FIELDS(OBJECT_FREE, U32(extent), U64(gen),
       ARRAY_OF(ordinals, uint32_t, ordinal_count, &NUMBER_U32, ARRAY_MAX))
#undef T

/* ---- borrowed refs ----------------------------------------------------------- */

#define T struct msg_object_wait
FIELDS(OBJECT_WAIT, STRUCT(id, oid))
#undef T

#define T struct msg_object_ready
FIELDS(OBJECT_READY, STRUCT(id, oid), ENUM(status, COVEY_STATUS_COUNT), I32(user_code),
       TEXT(why, WHY_MAX), BOOL(in_store), BYTES(value, BLOB_MAX), STRUCT(place, place))
#undef T

#define T struct msg_borrow_add
FIELDS(BORROW_ADD, STRUCT(id, oid), STRUCT(borrower, addr), U64(version))
#undef T

#define T struct msg_borrow_added
FIELDS(BORROW_ADDED, STRUCT(id, oid), STRUCT(borrower, addr), U64(version))
#undef T

#define T struct msg_borrow_drop
FIELDS(BORROW_DROP, STRUCT(id, oid), STRUCT(borrower, addr), U64(version))
#undef T

#define T struct msg_object_cancel
FIELDS(OBJECT_CANCEL, STRUCT(id, oid), I64_FROM(grace_ms, 0), BOOL(recursive))
#undef T

/* ---- death ------------------------------------------------------------------- */

#define T struct msg_proc_dead
FIELDS(PROC_DEAD, STRUCT(who, addr))
#undef T

#define T struct msg_census
FIELDS(CENSUS, STRUCT(who, addr), ARRAY(places, place, place_count, ARRAY_MAX))
#undef T

#define T struct msg_keep_ask
FIELDS(KEEP_ASK, U64(request), ARRAY(kept, kept, kept_count, ARRAY_MAX))
#undef T

#define T struct msg_keep_answer
FIELDS(KEEP_ANSWER, U64(request), ARRAY(kept, kept, kept_count, ARRAY_MAX))
#undef T

/* ---- people ------------------------------------------------------------------ */

#define T struct msg_log
FIELDS(LOG, U32(worker), BOOL(is_error), U64(dropped_bytes), BYTES(text, BLOB_MAX))
#undef T

#define T struct msg_query
FIELDS(QUERY, U64(request), ENUM(what, QUERY_WHAT_COUNT), U32(limit), TEXT(state, WIRE_TEXT_MAX),
       TEXT(id, WIRE_TEXT_MAX))
#undef T

#define T struct msg_rows
FIELDS(ROWS, U64(request), BOOL(last), U32(columns), U64(dropped), BYTES(cells, BLOB_MAX))
#undef T

#define T struct msg_shutdown
FIELDS(SHUTDOWN, I64_FROM(grace_ms, 0))
#undef T

/* ---- head -------------------------------------------------------------------- */

#define T struct msg_node_join
FIELDS(NODE_JOIN, U32(node), U64(boot), TEXT(name, WIRE_TEXT_MAX), STRUCT(total, resources))
#undef T

#define T struct msg_node_joined
FIELDS(NODE_JOINED, U32(node), U32(inc), U64(boot), U64(head_epoch))
#undef T

#define T struct msg_node_state
FIELDS(NODE_STATE, U64(version), STRUCT(free, resources), U32(workers), U32(clients),
       U64(store_used), U64(store_bytes))
#undef T

#define T struct msg_view
FIELDS(VIEW, U64(version), ARRAY(nodes, node_view, node_count, ARRAY_MAX))
#undef T

#define T struct msg_kv_put
FIELDS(KV_PUT, U64(request), BYTES(key, WIRE_TEXT_MAX), BYTES(value, BLOB_MAX), BOOL(only_new))
#undef T

#define T struct msg_kv_get
FIELDS(KV_GET, U64(request), BYTES(key, WIRE_TEXT_MAX))
#undef T

#define T struct msg_kv_value
FIELDS(KV_VALUE, U64(request), ENUM(status, COVEY_STATUS_COUNT), BYTES(value, BLOB_MAX))
#undef T

/* ---- all --------------------------------------------------------------------- */

/* Indexed by the kind's number; numbers that are no kind have no fields. */
static const struct wire_struct MESSAGES[] = {
#define MESSAGE_ROW(name_, number) [number] = {SHAPE(name_)},
    MSG_LIST(MESSAGE_ROW)
#undef MESSAGE_ROW
};

const struct wire_struct *wire_message(uint64_t kind)
{
    if (kind >= COUNT(MESSAGES) || !MESSAGES[kind].fields)
        return NULL;
    return &MESSAGES[kind];
}

const char *msg_name(enum msg_kind kind)
{
    const struct wire_struct *message = wire_message(kind);
    return message ? message->name : "UNKNOWN";
}

bool wire_names_differ(const struct wire_struct *s, const void *elements, uint32_t count)
{
    const struct wire_field *name = &s->fields[0];
    assert(name->type == FIELD_NAME);
    const char *first = (const char *)elements + name->at;
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (strncmp(first + i * s->size, first + j * s->size, name->max) == 0)
                return false;
    return true;
}
