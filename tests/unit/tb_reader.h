/* tb_reader.h - TensorBoard's files read back, by code that shares nothing with the
 * one that writes them. */
#ifndef COVEY_TESTS_TB_READER_H
#define COVEY_TESTS_TB_READER_H

#include "sweep_record_world.h"

#define TB_POINTS_MAX 4096
#define TB_FILES_MAX 8

struct tb_bytes {
    const uint8_t *at, *end;
};

struct tb_point {
    char tag[64];
    int64_t step;
    double time, value;
};

/* What one trial's folder holds. */
struct tb_folder {
    struct tb_point points[TB_POINTS_MAX];
    size_t count, files, versions, sessions;
};

static inline uint32_t tb_crc(const uint8_t *at, size_t len)
{
    uint32_t crc = ~0u;
    while (len--) {
        crc ^= *at++;
        for (int i = 0; i < 8; i++)
            crc = (crc >> 1) ^ (0x82f63b78u & -(crc & 1));
    }
    crc = ~crc;
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static inline uint64_t tb_varint(struct tb_bytes *b)
{
    uint64_t x = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(b->at < b->end && shift < 64);
        x |= (uint64_t)(*b->at & 0x7f) << shift;
        if (!(*b->at++ & 0x80))
            return x;
    }
}

static inline void tb_copy(struct tb_bytes *b, void *out, size_t len)
{
    assert_true((size_t)(b->end - b->at) >= len);
    memcpy(out, b->at, len);
    b->at += len;
}

static inline struct tb_bytes tb_inner(struct tb_bytes *b)
{
    size_t len = tb_varint(b);
    assert_true((size_t)(b->end - b->at) >= len);
    struct tb_bytes inner = {b->at, b->at + len};
    b->at += len;
    return inner;
}

static inline void tb_value(struct tb_folder *f, struct tb_bytes b, struct tb_point point)
{
    bool has_value = false;
    while (b.at < b.end) {
        uint64_t key = tb_varint(&b);
        if (key == (1 << 3 | 2)) {
            struct tb_bytes tag = tb_inner(&b);
            snprintf(point.tag, sizeof point.tag, "%.*s", (int)(tag.end - tag.at), (const char *)tag.at);
        } else if (key == (2 << 3 | 5)) {
            float value;
            tb_copy(&b, &value, sizeof value);
            point.value = value;
            has_value = true;
        } else {
            assert_int_equal(key, 9 << 3 | 2);
            tb_inner(&b);
        }
    }
    if (has_value) {
        assert_true(f->count < TB_POINTS_MAX);
        f->points[f->count++] = point;
    } else {
        assert_string_equal(point.tag, "_hparams_/session_start_info");
        f->sessions++;
    }
}

static inline void tb_event(struct tb_folder *f, struct tb_bytes b)
{
    struct tb_point point = {.step = 0};
    while (b.at < b.end) {
        uint64_t key = tb_varint(&b);
        if (key == (1 << 3 | 1)) {
            tb_copy(&b, &point.time, sizeof point.time);
        } else if (key == (2 << 3 | 0)) {
            point.step = (int64_t)tb_varint(&b);
        } else if (key == (3 << 3 | 2)) {
            struct tb_bytes version = tb_inner(&b);
            assert_int_equal(version.end - version.at, 13);
            assert_memory_equal(version.at, "brain.Event:2", 13);
            f->versions++;
        } else {
            assert_int_equal(key, 5 << 3 | 2);
            struct tb_bytes summary = tb_inner(&b);
            while (summary.at < summary.end) {
                assert_int_equal(tb_varint(&summary), 1 << 3 | 2);
                tb_value(f, tb_inner(&summary), point);
            }
        }
    }
}

static inline void tb_read_file(struct tb_folder *f, const char *path)
{
    size_t len;
    char *data = read_whole(path, &len);
    struct tb_bytes b = {(uint8_t *)data, (uint8_t *)data + len};
    while (b.at < b.end) {
        uint64_t size;
        uint32_t crc;
        const uint8_t *head = b.at;
        tb_copy(&b, &size, sizeof size);
        tb_copy(&b, &crc, sizeof crc);
        assert_int_equal(crc, tb_crc(head, sizeof size));
        assert_true((size_t)(b.end - b.at) >= size);
        struct tb_bytes event = {b.at, b.at + size};
        b.at += size;
        tb_copy(&b, &crc, sizeof crc);
        assert_int_equal(crc, tb_crc(event.at, size));
        tb_event(f, event);
    }
    free(data);
}

/* Its files in the order of their names, as TensorBoard has it. */
static inline void tb_read(struct tb_folder *f, uint32_t trial)
{
    struct dirent **entries;
    char folder[256];
    *f = (struct tb_folder){0};
    snprintf(folder, sizeof folder, "%s/tb/%04u", dir.path, trial);
    int n = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            tb_read_file(f, path);
            f->files++;
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

static inline void tb_expect(const struct tb_folder *f, size_t i, const char *tag, int64_t step, double value)
{
    if (i >= f->count || strcmp(f->points[i].tag, tag) != 0 || f->points[i].step != step ||
        f->points[i].value != (double)(float)value)
        fail_msg("point %zu of %zu is not %s at %d", i, f->count, tag, (int)step);
}

/* The trials' curves are those of the world's first @count events, no point lost or doubled. */
static inline void check_tb(uint64_t count)
{
    static struct tb_folder folder;
    uint64_t blocks = (count + BLOCK - 1) / BLOCK;
    for (uint64_t trial = 0; trial < blocks * 4; trial++) {
        uint64_t first = trial / 4 * BLOCK + 1, last = first + 2 * BLOCK - 1;
        size_t i = 0, starts = 0;
        tb_read(&folder, (uint32_t)trial);
        for (uint64_t seq = first; seq <= last && seq <= count; seq++) {
            struct world_event w;
            world_event(&w, seq);
            starts += w.event.trial == trial && w.event.kind == RECORD_START;
            if (w.event.trial != trial || w.event.kind != RECORD_REPORT)
                continue;
            tb_expect(&folder, i++, "loss", w.event.report.step, w.event.report.value);
            tb_expect(&folder, i++, "nested/seq", w.event.report.step, (double)seq);
        }
        assert_int_equal(folder.count, i);
        assert_int_equal(folder.files, starts);
        assert_int_equal(folder.versions, starts);
        assert_int_equal(folder.sessions, starts > 0);
    }
}

#endif
