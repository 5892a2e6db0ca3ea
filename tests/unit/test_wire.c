/* test_wire.c - what honest peers send: every message, there and back.
 *
 * COVEY_SEED=N repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <msgpack.h>
#include <stdlib.h>
#include <time.h>

#include "../msg_random.h"
#include "wire/value.h"

#define ROUNDS 300 /* of every kind */

static uint64_t seed_of_run;

static struct scratch fill, scratch;
static struct buf buf;
static char why[200];

static int setup(void **state)
{
    (void)state;
    scratch_init(&fill);
    scratch_init(&scratch);
    buf_init(&buf);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_fini(&fill);
    scratch_fini(&scratch);
    buf_fini(&buf);
    return 0;
}

static void encode(const struct msg *msg)
{
    buf_reset(&buf);
    assert_int_equal(wire_encode(&buf, msg), COVEY_OK);
}

/* Decode all of the buffer. */
static void decode(struct msg *out)
{
    size_t used = 0;
    scratch_reset(&scratch);
    covey_status status = wire_decode(buf_span(&buf), &used, &scratch, out, why, sizeof(why));
    if (status != COVEY_OK)
        fail_msg("%s (seed %llu)", why, (unsigned long long)seed_of_run);
    assert_int_equal(used, buf.len);
}

static void test_every_message_comes_back(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run;
    for (size_t i = 0; i < ALL_KINDS_COUNT * ROUNDS; i++) {
        struct msg msg, back;
        scratch_reset(&fill);
        msg_fill(&msg, ALL_KINDS[i % ALL_KINDS_COUNT], &seed, &fill);
        encode(&msg);
        size_t len = 0;
        assert_int_equal(wire_walk(buf_span(&buf), &len), COVEY_OK);
        assert_int_equal(len, buf.len);
        memset(&back, 0xa5, sizeof(back));
        decode(&back);
        if (!msg_equal(&msg, &back))
            fail_msg("%s differs (seed %llu)", msg_name(msg.kind), (unsigned long long)seed_of_run);
    }
}

/* The zero message is legal everywhere but for a version; names must exist. */
static void test_empty_messages_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL_KINDS_COUNT; i++) {
        struct msg msg = {.kind = ALL_KINDS[i]}, back;
        const struct wire_field *first = &wire_message(msg.kind)->fields[0];
        if (first->type == FIELD_VERSION)
            msg.u.door_hello.version = WIRE_VERSION;
        encode(&msg);
        decode(&back);
        assert_true(msg_equal(&msg, &back));
    }
}

static void test_records_stand_back_to_back(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run;
    struct msg sent[ALL_KINDS_COUNT];
    scratch_reset(&fill);
    buf_reset(&buf);
    for (size_t i = 0; i < ALL_KINDS_COUNT; i++) {
        msg_fill(&sent[i], ALL_KINDS[i], &seed, &fill);
        assert_int_equal(wire_encode(&buf, &sent[i]), COVEY_OK);
    }
    struct span rest = buf_span(&buf);
    for (size_t i = 0; i < ALL_KINDS_COUNT; i++) {
        struct msg back;
        size_t used = 0;
        scratch_reset(&scratch);
        assert_int_equal(wire_decode(rest, &used, &scratch, &back, why, sizeof(why)), COVEY_OK);
        assert_true(msg_equal(&sent[i], &back));
        rest = span_of(rest.data + used, rest.len - used);
    }
    assert_int_equal(rest.len, 0);
}

/* The schema lists members in the order of the struct, each once, and what it
 * skips is no more than the alignment of the next member asks for. */
static size_t alignment_of(const struct wire_field *f)
{
    switch (f->type) {
    case FIELD_U32:
    case FIELD_I32:
    case FIELD_VERSION: return _Alignof(uint32_t);
    case FIELD_BOOL:
    case FIELD_NAME:    return 1;
    case FIELD_STRUCT: {
        size_t most = 1;
        for (uint32_t i = 0; i < f->of->field_count; i++) {
            size_t one = alignment_of(&f->of->fields[i]);
            most = one > most ? one : most;
        }
        return most;
    }
    default:            return _Alignof(uint64_t);
    }
}

static size_t size_of(const struct wire_field *f)
{
    switch (f->type) {
    case FIELD_U32:
    case FIELD_I32:
    case FIELD_VERSION: return sizeof(uint32_t);
    case FIELD_U64:
    case FIELD_I64:     return sizeof(uint64_t);
    case FIELD_BOOL:    return sizeof(bool);
    case FIELD_TEXT:
    case FIELD_BYTES:   return sizeof(struct span);
    case FIELD_HASH:    return sizeof(struct hash128);
    case FIELD_NAME:    return f->max;
    case FIELD_STRUCT:  return f->of->size;
    case FIELD_ARRAY:   return sizeof(void *);
    case FIELD_INLINE:  return (size_t)f->max * f->of->size;
    }
    return 0;
}

static void check_cover(const struct wire_struct *s)
{
    size_t covered = 0;
    for (uint32_t i = 0; i < s->field_count; i++) {
        const struct wire_field *f = &s->fields[i];
        if (f->type == FIELD_ARRAY || f->type == FIELD_INLINE) {
            assert_true(f->count_at >= covered);
            assert_true(f->count_at - covered < _Alignof(uint32_t));
            covered = f->count_at + sizeof(uint32_t);
        }
        assert_true(f->at >= covered);
        assert_true(f->at - covered < alignment_of(f));
        covered = f->at + size_of(f);
        if (f->of)
            check_cover(f->of);
    }
    assert_true(covered <= s->size);
    assert_true(s->size - covered < _Alignof(uint64_t));
}

static void test_schema_covers_every_member(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL_KINDS_COUNT; i++) {
        const struct wire_struct *message = wire_message(ALL_KINDS[i]);
        assert_non_null(message);
        assert_string_equal(message->name, msg_name(ALL_KINDS[i]));
        assert_true(message->size <= sizeof(((struct msg *)0)->u));
        check_cover(message);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(msg_name(MSG_TASK), "TASK");
    assert_string_equal(msg_name(MSG_KV_VALUE), "KV_VALUE");
    assert_string_equal(msg_name((enum msg_kind)0), "UNKNOWN");
    assert_string_equal(msg_name((enum msg_kind)4), "UNKNOWN");
    assert_string_equal(msg_name((enum msg_kind)87), "UNKNOWN");
    assert_string_equal(msg_name((enum msg_kind)-1), "UNKNOWN");
}

/* The bytes are a contract between versions: they must not change. */
static void test_bytes_are_for_ever(void **state)
{
    (void)state;
    struct msg lease = {.kind = MSG_LEASE_RETURN};
    lease.u.lease_return.lease = 300;
    encode(&lease);
    static const uint8_t lease_bytes[] = {0x92, 0x10, 0xcd, 0x01, 0x2c};
    assert_int_equal(buf.len, sizeof(lease_bytes));
    assert_memory_equal(buf.data, lease_bytes, sizeof(lease_bytes));

    struct dep dep = {
        .kind = DEP_PLACE,
        .id = {1, 2, 3, 0},
        .place = {1, 8, 70, 4096, 200, 5, COVEY_BYTES},
    };
    struct msg task = {.kind = MSG_TASK};
    task.u.task = (struct msg_task){
        .seq = 9, .attempt = 1, .lease = 2, .epoch = 3, .fn_id = 4, .job = 5, .trace = 6,
        .priority = -7, .left_ms = -1, .grace_ms = 50, .threads = 2, .dep_count = 1, .deps = &dep, .args = span_str("\xc0"),
    };
    encode(&task);
    static const uint8_t task_bytes[] = {
        0x9e, 21, 9, 1, 2, 3, 4, 5, 6, 0xf9, 0xff, 50, 2,
        0x91, 0x94, 1, 0x94, 1, 2, 3, 0, 0xc4, 0,
        0x97, 1, 8, 70, 0xcd, 0x10, 0x00, 0xcc, 200, 5, 5,
        0xc4, 1, 0xc0};
    assert_int_equal(buf.len, sizeof(task_bytes));
    assert_memory_equal(buf.data, task_bytes, sizeof(task_bytes));

    struct msg class = {.kind = MSG_CLASS};
    class.u.class_.package = (struct hash128){.lo = 0x1122334455667788, .hi = 0x99aabbccddeeff00};
    class.u.class_.need = (struct resources){
        .cpu_milli = 1000, .custom_count = 1, .custom = {{"tpu", 500}}};
    encode(&class);
    static const uint8_t class_bytes[] = {
        0x94, 11, 0, 0xc4, 16, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00,
        0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
        0x95, 0xcd, 0x03, 0xe8, 0, 0, 0, 0x91, 0x92, 0xa3, 't', 'p', 'u', 0xcd, 0x01, 0xf4};
    assert_int_equal(buf.len, sizeof(class_bytes));
    assert_memory_equal(buf.data, class_bytes, sizeof(class_bytes));
}

static void test_msgpack_c_reads_every_message(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run;
    for (size_t i = 0; i < ALL_KINDS_COUNT * 20; i++) {
        struct msg msg;
        scratch_reset(&fill);
        msg_fill(&msg, ALL_KINDS[i % ALL_KINDS_COUNT], &seed, &fill);
        encode(&msg);
        msgpack_unpacked unpacked;
        size_t offset = 0;
        msgpack_unpacked_init(&unpacked);
        assert_int_equal(msgpack_unpack_next(&unpacked, (const char *)buf.data, buf.len, &offset),
                         MSGPACK_UNPACK_SUCCESS);
        assert_int_equal(offset, buf.len);
        assert_int_equal(unpacked.data.type, MSGPACK_OBJECT_ARRAY);
        msgpack_object_array fields = unpacked.data.via.array;
        assert_int_equal(fields.size, 1 + wire_message(msg.kind)->field_count);
        assert_int_equal(fields.ptr[0].via.u64, msg.kind);
        msgpack_unpacked_destroy(&unpacked);
    }
}

/* A number may come in more bytes than it needs, as other packers send it. */
static void test_wide_numbers_are_read(void **state)
{
    (void)state;
    static const char *const wide[] = {"\x92\x10\xcc\x05", "\x92\x10\xd0\x05", "\x92\x10\xd1\0\x05",
                                       "\x92\xcd\0\x10\x05", "\xdc\0\x02\x10\x05",
                                       "\xdd\0\0\0\x02\x10\xcf\0\0\0\0\0\0\0\x05"};
    static const size_t lengths[] = {4, 4, 5, 5, 5, 15};
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        struct msg back;
        buf_reset(&buf);
        buf_append(&buf, wide[i], lengths[i]);
        decode(&back);
        assert_int_equal(back.kind, MSG_LEASE_RETURN);
        assert_int_equal(back.u.lease_return.lease, 5);
    }
}

/* ---- what the encoder refuses ------------------------------------------------- */

/* Encoding behind earlier bytes leaves these alone. */
static void refuse_encoding(const struct msg *msg, covey_status expected)
{
    buf_reset(&buf);
    buf_append(&buf, "before", 6);
    assert_int_equal(wire_encode(&buf, msg), expected);
    assert_int_equal(buf.len, 6);
    assert_memory_equal(buf.data, "before", 6);
    assert_false(buf.failed);
}

static void test_encoder_refuses_bad_fields(void **state)
{
    (void)state;
    struct msg hello = {.kind = MSG_DOOR_HELLO};
    hello.u.door_hello.role = ROLE_COUNT;
    refuse_encoding(&hello, COVEY_EINVAL);

    struct msg reply = {.kind = MSG_REPLY};
    reply.u.reply.status = COVEY_STATUS_COUNT;
    refuse_encoding(&reply, COVEY_EINVAL);

    struct msg task = {.kind = MSG_TASK};
    task.u.task.left_ms = -2;
    refuse_encoding(&task, COVEY_EINVAL);
    struct dep dep = {.kind = DEP_KIND_COUNT};
    task.u.task = (struct msg_task){.dep_count = 1, .deps = &dep};
    refuse_encoding(&task, COVEY_EINVAL);

    struct msg class = {.kind = MSG_CLASS};
    class.u.class_.need.cpu_milli = -1;
    refuse_encoding(&class, COVEY_EINVAL);
    class.u.class_.need = (struct resources){.custom_count = 1}; /* without a name */
    refuse_encoding(&class, COVEY_EINVAL);
    memset(class.u.class_.need.custom[0].name, 'x', CUSTOM_NAME_MAX); /* without an end */
    refuse_encoding(&class, COVEY_EINVAL);
    class.u.class_.need = (struct resources){.custom_count = CUSTOM_MAX + 1};
    refuse_encoding(&class, COVEY_ETOOBIG);
    class.u.class_.need = (struct resources){.custom_count = 2, .custom = {{"a", 1}, {"a", 2}}};
    refuse_encoding(&class, COVEY_EINVAL);
}

static void test_encoder_refuses_large_fields(void **state)
{
    (void)state;
    static uint8_t zeros[MSG_BYTES_MAX];
    struct msg reply = {.kind = MSG_REPLY};
    reply.u.reply.why = span_of(zeros, WHY_MAX);
    encode(&reply);
    reply.u.reply.why = span_of(zeros, WHY_MAX + 1);
    refuse_encoding(&reply, COVEY_ETOOBIG);
    reply.u.reply = (struct msg_reply){.result_count = TASK_RESULTS_MAX + 1,
                                       .results = (const struct result *)(const void *)zeros};
    refuse_encoding(&reply, COVEY_ETOOBIG);
    reply.u.reply.result_count = TASK_RESULTS_MAX;
    encode(&reply);

    struct msg post = {.kind = MSG_POST};
    post.u.post.body = span_of(zeros, POST_BYTES_MAX);
    encode(&post);
    post.u.post.body = span_of(zeros, POST_BYTES_MAX + 1);
    refuse_encoding(&post, COVEY_ETOOBIG);

    struct msg function = {.kind = MSG_FUNCTION};
    function.u.function.name = span_of(zeros, TASK_NAME_MAX + 1);
    refuse_encoding(&function, COVEY_ETOOBIG);

    struct msg task = {.kind = MSG_TASK};
    task.u.task.dep_count = TASK_DEPS_MAX + 1;
    task.u.task.deps = (const struct dep *)(const void *)zeros;
    refuse_encoding(&task, COVEY_ETOOBIG);
}

/* A record is at most MSG_BYTES_MAX, to the byte; both sides agree. */
static void test_record_limit_is_exact(void **state)
{
    (void)state;
    static uint8_t zeros[MSG_BYTES_MAX];
    struct msg log = {.kind = MSG_LOG}, back;
    encode(&log);
    uint32_t around = (uint32_t)buf.len + 3; /* a long blob's length takes 4 bytes, not 1 */
    log.u.log.text = span_of(zeros, MSG_BYTES_MAX - around);
    encode(&log);
    assert_int_equal(buf.len, MSG_BYTES_MAX);
    decode(&back);
    assert_true(msg_equal(&log, &back));
    log.u.log.text.len++;
    refuse_encoding(&log, COVEY_ETOOBIG);

    struct msg revoke = {.kind = MSG_REVOKE};
    revoke.u.revoke.seqs = (const uint64_t *)(const void *)zeros;
    revoke.u.revoke.seq_count = MSG_BYTES_MAX / sizeof(uint64_t);
    encode(&revoke);
    decode(&back);
    assert_true(msg_equal(&revoke, &back));
}

static void test_encoder_tells_of_no_memory(void **state)
{
    (void)state;
    struct buf full = {.data = NULL, .len = SIZE_MAX - 2, .cap = SIZE_MAX - 2};
    struct msg msg = {.kind = MSG_LEASE_RETURN};
    assert_int_equal(wire_encode(&full, &msg), COVEY_ENOMEM);
    assert_true(full.failed);
    assert_true(full.len == SIZE_MAX - 2);
}

int main(void)
{
    const char *text = getenv("COVEY_SEED");
    seed_of_run = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("COVEY_SEED=%llu\n", (unsigned long long)seed_of_run);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_comes_back),
        cmocka_unit_test(test_empty_messages_come_back),
        cmocka_unit_test(test_records_stand_back_to_back),
        cmocka_unit_test(test_schema_covers_every_member),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bytes_are_for_ever),
        cmocka_unit_test(test_msgpack_c_reads_every_message),
        cmocka_unit_test(test_wide_numbers_are_read),
        cmocka_unit_test(test_encoder_refuses_bad_fields),
        cmocka_unit_test(test_encoder_refuses_large_fields),
        cmocka_unit_test(test_record_limit_is_exact),
        cmocka_unit_test(test_encoder_tells_of_no_memory),
    };
    return cmocka_run_group_tests_name("wire", tests, setup, teardown);
}
