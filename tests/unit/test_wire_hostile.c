/* test_wire_hostile.c - what no honest peer sends: cut, flipped, forged bytes.
 *
 * Inputs lie in memory of exactly their size, so that sanitizers see a read
 * behind them.  COVEY_SEED=N repeats a run.
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

#define FLIP_ROUNDS 2 /* of every kind */
#define REFUSAL_BYTES_MAX (1024u * 1024) /* what a refused record may take */

static uint64_t seed_of_run;

static struct scratch fill, scratch;
static struct buf buf;
static char why[200];

static int setup(void **state)
{
    (void)state;
    scratch_init(&fill);
    buf_init(&buf);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_fini(&fill);
    buf_fini(&buf);
    return 0;
}

/* Decode from an exact copy with a fresh scratch, and check what must hold for
 * any input: no memory before the walk has accepted, little where it refuses,
 * and what was accepted can be encoded again. */
static covey_status decode(const void *data, size_t len)
{
    uint8_t *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, data, len);
    struct span bytes = span_of(exact, len);
    struct msg msg;
    size_t used = 0, walked = 0;
    strcpy(why, "unset");
    scratch_init(&scratch);
    covey_status walk = wire_walk(bytes, &walked);
    covey_status status = wire_decode(bytes, &used, &scratch, &msg, why, sizeof(why));
    if (walk != COVEY_OK) {
        assert_int_not_equal(status, COVEY_OK);
        assert_null(scratch.chunk);
    }
    if (status == COVEY_OK) {
        struct buf again;
        buf_init(&again);
        assert_int_equal(used, walked);
        assert_int_equal(wire_encode(&again, &msg), COVEY_OK);
        buf_fini(&again);
    } else {
        assert_string_not_equal(why, "unset");
        assert_true(scratch.used <= REFUSAL_BYTES_MAX);
    }
    scratch_fini(&scratch);
    free(exact);
    return status;
}

static void random_record(size_t i, uint64_t *seed)
{
    struct msg msg;
    scratch_reset(&fill);
    msg_fill(&msg, ALL_KINDS[i % ALL_KINDS_COUNT], seed, &fill);
    buf_reset(&buf);
    assert_int_equal(wire_encode(&buf, &msg), COVEY_OK);
}

static void test_every_prefix_is_refused(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run;
    for (size_t i = 0; i < ALL_KINDS_COUNT; i++) {
        random_record(i, &seed);
        size_t whole = buf.len, walked;
        for (size_t len = 0; len < whole; len++) {
            assert_int_equal(wire_walk(span_of(buf.data, len), &walked), COVEY_EPROTO);
            assert_int_equal(decode(buf.data, len), COVEY_EPROTO);
        }
        assert_int_equal(decode(buf.data, whole), COVEY_OK);
    }
}

static void test_bit_flips_never_crash(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run;
    for (size_t i = 0; i < ALL_KINDS_COUNT * FLIP_ROUNDS; i++) {
        random_record(i, &seed);
        for (size_t bit = 0; bit < buf.len * 8; bit++) {
            buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            decode(buf.data, buf.len);
            buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(decode(buf.data, buf.len), COVEY_OK);
    }
}

static void test_noise_never_crashes(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run;
    for (int i = 0; i < 20000; i++) {
        uint8_t noise[64];
        random_fill(&seed, noise, sizeof(noise));
        noise[0] = 0x90 | (noise[0] & 0x0f);
        noise[1] = (uint8_t)ALL_KINDS[noise[1] % ALL_KINDS_COUNT];
        decode(noise, random_next(&seed) % sizeof(noise));
    }
}

static void test_bombs_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bombs[] = {
        {"\xdd\xff\xff\xff\xff", 5},
        {"\xdf\xff\xff\xff\xff", 5},
        {"\xdc\xff\xff", 3},
        {"\x92\x10\xdd\xff\xff\xff\xff", 7},
        {"\x92\x10\xdb\xff\xff\xff\xff", 7},
        {"\x92\x10\xc6\xff\xff\xff\xff", 7},
        {"\x92\x10\xc9\xff\xff\xff\xff\x01", 8},
        {"\x93\x18\x00\xdd\xff\xff\xff\xff", 8},    /* a REVOKE of four billion */
        {"\x93\x18\x00\xdd\x00\x00\x00\x02\x01", 9},
        {"", 0}, {"\xc0", 1}, {"\x90", 1}, {"\x10", 1}, {"\x80", 1},
    };
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++)
        assert_int_equal(decode(bombs[i].bytes, bombs[i].len), COVEY_EPROTO);
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    uint8_t nested[1000];
    size_t walked;
    memset(nested, 0x91, sizeof(nested));
    for (size_t depth = 1; depth < sizeof(nested); depth++) {
        nested[depth] = 1;
        covey_status expected = depth <= WIRE_DEPTH_MAX ? COVEY_OK : COVEY_EPROTO;
        assert_int_equal(wire_walk(span_of(nested, depth + 1), &walked), expected);
        assert_int_equal(decode(nested, depth + 1), COVEY_EPROTO);
        nested[depth] = 0x91;
    }
    /* Four megabytes of nothing but depth. */
    uint8_t *bomb = test_malloc(MSG_BYTES_MAX);
    memset(bomb, 0x91, MSG_BYTES_MAX);
    assert_int_equal(decode(bomb, MSG_BYTES_MAX), COVEY_EPROTO);
    memset(bomb, 0x9f, MSG_BYTES_MAX);
    assert_int_equal(decode(bomb, MSG_BYTES_MAX), COVEY_EPROTO);
    test_free(bomb);
}

/* Garbage that claims the largest elements there are takes little memory,
 * whether it is found out at the first element or at the last. */
static void test_refusals_are_cheap(void **state)
{
    (void)state;
    static const uint8_t view[] = {0x93, MSG_VIEW, 0x00, 0xdd};
    static const uint8_t node[] = {0x96, 0, 0, 0xc2, 0xa0, 0x95, 0, 0, 0, 0, 0x90,
                                   0x95, 0, 0, 0, 0, 0x90};
    static const uint32_t counts[] = {2, 100, 480, 1000, 100000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint32_t big_endian = __builtin_bswap32(counts[i]);
        buf_reset(&buf);
        buf_append(&buf, view, sizeof(view));
        buf_append(&buf, &big_endian, sizeof(big_endian));
        for (uint32_t k = 0; k < counts[i]; k++)
            buf_append(&buf, node, sizeof(node));
        assert_int_equal(decode(buf.data, buf.len), COVEY_OK);
        buf.data[buf.len - 2] = 0xff; /* the last node has less than no GPU memory */
        assert_int_equal(decode(buf.data, buf.len), COVEY_EPROTO);
        memset(buf.data + sizeof(view) + 4, 0, buf.len - sizeof(view) - 4);
        buf.len = sizeof(view) + 4 + counts[i]; /* numbers instead of nodes */
        assert_int_equal(decode(buf.data, buf.len), COVEY_EPROTO);
    }
}

/* ---- fields ------------------------------------------------------------------- */

/* Where the items of the record in the buffer begin, one more than there are. */
static uint32_t find_items(size_t *start)
{
    const uint8_t *at = buf.data, *end = buf.data + buf.len;
    struct item item;
    assert_true(item_read(&at, end, &item));
    uint32_t count = item.len;
    for (uint32_t i = 0; i < count; i++) {
        start[i] = (size_t)(at - buf.data);
        for (uint32_t left = 1; left > 0; left--) {
            assert_true(item_read(&at, end, &item));
            left += item.type == ITEM_ARRAY ? item.len : 0;
        }
    }
    assert_ptr_equal(at, end);
    start[count] = buf.len;
    return count;
}

enum { A_NUMBER = 1, A_BOOL = 2, A_TEXT = 4, A_BLOB = 8, AN_ARRAY = 16, A_NEGATIVE = 32, HUGE_ = 64 };

/* Which of the substitutes below a field may take for its own. */
static unsigned accepted_by(const struct wire_field *f)
{
    switch (f->type) {
    case FIELD_U64:     return A_NUMBER | HUGE_;
    case FIELD_I32:     return A_NUMBER | A_NEGATIVE;
    case FIELD_I64:     return A_NUMBER | (f->min <= -5 ? A_NEGATIVE : 0);
    case FIELD_BOOL:    return A_BOOL;
    case FIELD_U32:
    case FIELD_VERSION: return A_NUMBER;
    case FIELD_TEXT:    return A_TEXT;
    case FIELD_BYTES:   return A_BLOB;
    case FIELD_ARRAY:   return AN_ARRAY;
    default:            return 0; /* hashes, structs: none of these is one */
    }
}

static void test_every_field_checks_its_type(void **state)
{
    (void)state;
    static const struct {
        unsigned what;
        const char *bytes;
        size_t len;
    } substitutes[] = {
        {A_NUMBER, "\x01", 1}, {A_BOOL, "\xc3", 1}, {A_TEXT, "\xa1x", 2}, {A_BLOB, "\xc4\x01x", 3},
        {AN_ARRAY, "\x90", 1}, {A_NEGATIVE, "\xfb", 1},
        {HUGE_, "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9},
        {0, "\xc0", 1}, {0, "\xcb\0\0\0\0\0\0\0\0", 9}, {0, "\x80", 1}, {0, "\xd6\x01\0\0\0\0", 6},
    };
    uint64_t seed = seed_of_run;
    struct buf forged;
    buf_init(&forged);
    for (size_t kind = 0; kind < ALL_KINDS_COUNT; kind++) {
        const struct wire_struct *message = wire_message(ALL_KINDS[kind]);
        size_t start[32];
        random_record(kind, &seed);
        uint32_t items = find_items(start);
        assert_int_equal(items, 1 + message->field_count);
        for (uint32_t i = 1; i < items; i++) {
            const struct wire_field *f = &message->fields[i - 1];
            for (size_t k = 0; k < sizeof(substitutes) / sizeof(substitutes[0]); k++) {
                buf_reset(&forged);
                buf_append(&forged, buf.data, start[i]);
                buf_append(&forged, substitutes[k].bytes, substitutes[k].len);
                buf_append(&forged, buf.data + start[i + 1], buf.len - start[i + 1]);
                bool accepted = decode(forged.data, forged.len) == COVEY_OK;
                if (accepted != ((substitutes[k].what & accepted_by(f)) != 0))
                    fail_msg("%s.%s: substitute %zu: %s", message->name, f->name, k, why);
                if (accepted || substitutes[k].what == 0)
                    continue;
                char path[100];
                int n = snprintf(path, sizeof(path), "%s.%s", message->name, f->name);
                assert_int_equal(strncmp(why, path, (size_t)n), 0);
            }
        }
    }
    buf_fini(&forged);
}

static void test_every_message_counts_its_fields(void **state)
{
    (void)state;
    uint64_t seed = seed_of_run;
    for (size_t kind = 0; kind < ALL_KINDS_COUNT; kind++) {
        size_t start[32];
        random_record(kind, &seed);
        uint32_t items = find_items(start);
        assert_true(items < 15); /* a short head, which counts in its low bits */
        buf.data[0]++;
        buf_append(&buf, "\0", 1);
        assert_int_equal(decode(buf.data, buf.len), COVEY_EPROTO);
        buf.data[0] -= 2;
        assert_int_equal(decode(buf.data, start[items - 1]), COVEY_EPROTO);
    }
}

static void test_unknown_kinds_are_refused(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 128; kind++) {
        const uint8_t record[] = {0x92, (uint8_t)kind, WIRE_VERSION};
        bool whole = wire_message(kind) && wire_message(kind)->field_count == 1 &&
                     wire_message(kind)->fields[0].type != FIELD_STRUCT;
        assert_int_equal(decode(record, sizeof(record)), whole ? COVEY_OK : COVEY_EPROTO);
    }
    assert_int_equal(decode("\x92\xff\0", 3), COVEY_EPROTO);
    assert_int_equal(decode("\x92\xcf\x80\0\0\0\0\0\0\x10\0", 11), COVEY_EPROTO);
    assert_int_equal(decode("\x92\xa1\x10\0", 4), COVEY_EPROTO);
    assert_string_equal(why, "record: is of no known kind");
}

/* @fmt: n a u64, s a text of that many bytes, b a blob, [ an array's head,
 * - the negative of what follows. */
static void forge(const char *fmt, ...)
{
    static const char zeros[POST_BYTES_MAX + 1];
    va_list args;
    buf_reset(&buf);
    msgpack_sbuffer packed;
    msgpack_packer pk;
    msgpack_sbuffer_init(&packed);
    msgpack_packer_init(&pk, &packed, msgpack_sbuffer_write);
    va_start(args, fmt);
    for (; *fmt; fmt++) {
        unsigned n = va_arg(args, unsigned);
        assert_true(n <= sizeof(zeros) || *fmt == '[' || *fmt == 'n');
        switch (*fmt) {
        case 'n': msgpack_pack_uint64(&pk, n); break;
        case '-': msgpack_pack_int64(&pk, -(int64_t)n); break;
        case '[': msgpack_pack_array(&pk, n); break;
        case 's': msgpack_pack_str_with_body(&pk, zeros, n); break;
        case 'b': msgpack_pack_bin_with_body(&pk, zeros, n); break;
        default: fail();
        }
    }
    va_end(args);
    buf_append(&buf, packed.data, packed.size);
    msgpack_sbuffer_destroy(&packed);
}

static void refused_because(const char *reason)
{
    assert_int_equal(decode(buf.data, buf.len), COVEY_EPROTO);
    assert_string_equal(why, reason);
}

static void test_enums_are_checked(void **state)
{
    (void)state;
    forge("[nnnnns", 6, MSG_DOOR_HELLO, WIRE_VERSION, ROLE_COUNT, 0, 0, 0);
    refused_because("DOOR_HELLO.role: 6 is more than 5");
    forge("[nnns", 4, MSG_LEASE_STALL, 0, COVEY_STATUS_COUNT, 0);
    assert_int_equal(decode(buf.data, buf.len), COVEY_EPROTO);
    forge("[nnnnss", 6, MSG_QUERY, 0, QUERY_WHAT_COUNT, 0, 0, 0);
    refused_because("QUERY.what: 6 is more than 5");
    forge("[nnnnnnnnnnnn[[n[nnnnb[nnnnnnnb", 14, MSG_TASK, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1,
          4, DEP_KIND_COUNT, 4, 1, 1, 1, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0);
    refused_because("TASK.deps[0].kind: 3 is more than 2");
    forge("[nnnnnnnnnnnn[[n[nnnnb[nnnnnnnb", 14, MSG_TASK, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1,
          4, DEP_PLACE, 4, 1, 1, 1, 1, 0, 7, 0, 0, 0, 0, 0, 0, COVEY_KIND_COUNT, 0);
    refused_because("TASK.deps[0].place.kind: 8 is more than 7");
}

static void test_paths_name_the_field(void **state)
{
    (void)state;
    forge("[nnnnnnnnnnnn[[n[nnsnb[nnnnnnnb", 14, MSG_TASK, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1,
          4, DEP_PLACE, 4, 1, 1, 1, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0);
    refused_because("TASK.deps[0].id.seq: expected a number");
    forge("[nn[nn-", 3, MSG_REVOKE, 1, 3, 5, 6, 7);
    refused_because("REVOKE.seqs[2]: is negative");
    forge("[nn[nn", 3, MSG_REVOKE, 1, 2, 5, 6);
    assert_int_equal(decode(buf.data, buf.len), COVEY_OK);
    forge("[nnnnnnnnnnnn[b", 14, MSG_TASK, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, TASK_DEPS_MAX + 1, 0);
    refused_because("TASK: is truncated or malformed");
}

static void test_limits_are_checked(void **state)
{
    (void)state;
    forge("[nnns", 4, MSG_LEASE_STALL, 0, 0, WHY_MAX);
    assert_int_equal(decode(buf.data, buf.len), COVEY_OK);
    forge("[nnns", 4, MSG_LEASE_STALL, 0, 0, WHY_MAX + 1);
    refused_because("LEASE_STALL.why: 4097 bytes are more than 4096");
    forge("[nnss", 4, MSG_FUNCTION, 0, TASK_NAME_MAX, 0);
    assert_int_equal(decode(buf.data, buf.len), COVEY_OK);
    forge("[nnss", 4, MSG_FUNCTION, 0, TASK_NAME_MAX + 1, 0);
    refused_because("FUNCTION.name: 257 bytes are more than 256");

    buf_reset(&buf);
    buf_append(&buf, "\x96\x1b\x01\x01\x01\xc2\xc6\x00\x10\x00\x01", 11);
    for (uint32_t i = 0; i < POST_BYTES_MAX + 1; i++)
        buf_append(&buf, "x", 1);
    refused_because("POST.body: 1048577 bytes are more than 1048576");

    buf_reset(&buf);
    buf_append(&buf, "\x9c\x16\1\1\1\1\0\0\xa0\0\0\xdc\x10\x01", 14);
    for (uint32_t i = 0; i < TASK_RESULTS_MAX + 1; i++)
        buf_append(&buf, "\x93\xc2\xc4\0\x97\0\0\0\0\0\0\0", 12);
    buf_append(&buf, "\x90", 1);
    refused_because("REPLY.results: 4097 elements are more than 4096");

    forge("[nnnnnnnnn-nn[b", 14, MSG_TASK, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0);
    assert_int_equal(decode(buf.data, buf.len), COVEY_OK);
    forge("[nnnnnnnnn-nn[b", 14, MSG_TASK, 1, 1, 1, 1, 1, 1, 1, 0, 2, 0, 1, 0, 0);
    refused_because("TASK.left_ms: -2 is out of range");

    /* Numbers that would be deps: there are as many bytes, but too few for deps. */
    buf_reset(&buf);
    buf_append(&buf, "\x9e\x15\1\1\1\1\1\1\1\0\0\0\1\xdd\0\x10\0\x01", 18);
    for (uint32_t i = 0; i < TASK_DEPS_MAX + 1; i++)
        buf_append(&buf, "\0", 1);
    buf_append(&buf, "\xc4\0", 2);
    refused_because("TASK.deps: 1048577 elements are more than 1048576");
    buf.data[17] = 0;
    buf.len--;
    buf.data[buf.len - 2] = 0xc4;
    buf.data[buf.len - 1] = 0;
    refused_because("TASK.deps: 1048576 elements do not fit");
}

static void test_resources_are_checked(void **state)
{
    (void)state;
    struct msg class = {.kind = MSG_CLASS};
    class.u.class_.need = (struct resources){.custom_count = 2, .custom = {{"ab", 1}, {"cd", 2}}};
    buf_reset(&buf);
    assert_int_equal(wire_encode(&buf, &class), COVEY_OK);
    assert_int_equal(decode(buf.data, buf.len), COVEY_OK);
    uint8_t *last = buf.data + buf.len; /* ... 92 a2 'a' 'b' 01 92 a2 'c' 'd' 02 */
    memcpy(last - 3, "ab", 2);
    refused_because("CLASS.need.custom: has a name twice");
    memcpy(last - 3, "a\0", 2);
    refused_because("CLASS.need.custom[1].name: expected a name");
    memcpy(last - 3, "cd", 2);
    last[-1] = 0xff;
    refused_because("CLASS.need.custom[1].milli: -1 is out of range");
    last[-1] = 2;
    memcpy(last - 4, "\xa0\x01\x02", 3);
    buf.len -= 2;
    last[-3] = 1;
    refused_because("CLASS.need.custom[1].name: expected a name");
    forge("[nnb[-nnn[", 4, MSG_CLASS, 0, HASH_BYTES, 5, 1, 0, 0, 0, 0);
    refused_because("CLASS.need.cpu_milli: -1 is out of range");
    forge("[nnb[nnnn[", 4, MSG_CLASS, 0, HASH_BYTES - 1, 5, 1, 0, 0, 0, 0);
    refused_because("CLASS.package: expected 16 bytes");
    forge("[nnb[nnnn[[sn", 4, MSG_CLASS, 0, HASH_BYTES, 5, 1, 0, 0, 0, 1, 2, CUSTOM_NAME_MAX, 1);
    refused_because("CLASS.need.custom[0].name: 32 bytes are more than 31");
    forge("[nnb[nnnn[nnnnnnnnn", 4, MSG_CLASS, 0, HASH_BYTES, 5, 1, 0, 0, 0, CUSTOM_MAX + 1,
          0, 0, 0, 0, 0, 0, 0, 0, 0);
    refused_because("CLASS.need.custom: 9 elements are more than 8");
    forge("[nnb[nnnn", 4, MSG_CLASS, 0, HASH_BYTES, 4, 1, 0, 0, 0);
    refused_because("CLASS.need: 4 fields instead of 5");
}

/* Whatever follows the version of another release is not looked at. */
static void test_version_comes_first(void **state)
{
    (void)state;
    static const enum msg_kind door[] = {MSG_DOOR_HELLO, MSG_DOOR_WELCOME, MSG_DOOR_REFUSE};
    static const char rest[] = "\xc0\x81\x01\x02\xca\0\0\0\0\xdd\xff\xff\xff\xff";
    for (size_t i = 0; i < sizeof(door) / sizeof(door[0]); i++) {
        for (size_t len = 0; len < sizeof(rest); len++) {
            uint8_t record[3 + sizeof(rest)] = {0x9f, (uint8_t)door[i], WIRE_VERSION + 1};
            memcpy(record + 3, rest, len);
            assert_int_equal(decode(record, 3 + len), COVEY_EVERSION);
            record[2] = 0;
            assert_int_equal(decode(record, 3 + len), COVEY_EVERSION);
            record[2] = WIRE_VERSION;
            assert_int_equal(decode(record, 3 + len), COVEY_EPROTO);
            record[2] = 0xc0; /* no number at all */
            assert_int_equal(decode(record, 3 + len), COVEY_EPROTO);
        }
    }
    forge("[nn", 2, MSG_DOOR_REFUSE, 7);
    assert_int_equal(decode(buf.data, buf.len), COVEY_EVERSION);
    assert_string_equal(why, "DOOR_REFUSE.version: is 7, this side speaks 1");
    forge("[n", 1, MSG_DOOR_REFUSE);
    refused_because("DOOR_REFUSE.version: is missing");
}

static void test_short_why_is_cut(void **state)
{
    (void)state;
    static const uint8_t record[] = {0x92, MSG_LEASE_RETURN, 0xc3};
    struct msg msg;
    size_t used;
    char tiny[8];
    scratch_init(&scratch);
    assert_int_equal(wire_decode(span_of(record, 3), &used, &scratch, &msg, tiny, sizeof(tiny)),
                     COVEY_EPROTO);
    assert_string_equal(tiny, "LEASE_R");
    assert_int_equal(wire_decode(span_of(record, 3), &used, &scratch, &msg, NULL, 0), COVEY_EPROTO);
    scratch_fini(&scratch);
}

int main(void)
{
    const char *text = getenv("COVEY_SEED");
    seed_of_run = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    printf("COVEY_SEED=%llu\n", (unsigned long long)seed_of_run);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_bit_flips_never_crash),
        cmocka_unit_test(test_noise_never_crashes),
        cmocka_unit_test(test_bombs_are_refused),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_refusals_are_cheap),
        cmocka_unit_test(test_every_field_checks_its_type),
        cmocka_unit_test(test_every_message_counts_its_fields),
        cmocka_unit_test(test_unknown_kinds_are_refused),
        cmocka_unit_test(test_enums_are_checked),
        cmocka_unit_test(test_paths_name_the_field),
        cmocka_unit_test(test_limits_are_checked),
        cmocka_unit_test(test_resources_are_checked),
        cmocka_unit_test(test_version_comes_first),
        cmocka_unit_test(test_short_why_is_cut),
    };
    return cmocka_run_group_tests_name("wire_hostile", tests, setup, teardown);
}
