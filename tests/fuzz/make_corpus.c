/* make_corpus.c - write the seeds from which fuzzing starts.
 *
 *     make_corpus DIR     fills DIR/wire, DIR/value, DIR/frame, DIR/lines and DIR/sweep_file
 *
 * Always the same files: contents come from one fixed seed.  Names that begin
 * with "bad-" hold what must be refused.  Run it again after a message
 * changed; inputs that fuzzing found have other names and stay.
 */
#include <ctype.h>
#include <errno.h>
#include <sys/stat.h>

#include "../msg_random.h"
#include "core/link.h"
#include "wire/value.h"
#include "worker/lines.h"

#define SEED 20240601
#define PATH_BYTES_MAX 4096

static const char *corpus;

static void write_seed(const char *target, const char *name, const void *data, size_t len)
{
    char path[PATH_BYTES_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s/%s", corpus, target, name);
    FILE *file = n > 0 && (size_t)n < sizeof(path) ? fopen(path, "wb") : NULL;
    if (!file || fwrite(data, 1, len, file) != len || fclose(file) != 0) {
        fprintf(stderr, "make_corpus: %s/%s/%s: %s\n", corpus, target, name, strerror(errno));
        exit(1);
    }
}

static void make_directory(const char *target)
{
    char path[PATH_BYTES_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", corpus, target);
    if (n < 0 || (size_t)n >= sizeof(path) || (mkdir(path, 0777) != 0 && errno != EEXIST)) {
        fprintf(stderr, "make_corpus: %s/%s: %s\n", corpus, target, strerror(errno));
        exit(1);
    }
}

static void encode_or_exit(struct buf *out, const struct msg *msg)
{
    if (wire_encode(out, msg) != COVEY_OK) {
        fprintf(stderr, "make_corpus: %s cannot be encoded\n", msg_name(msg->kind));
        exit(1);
    }
}

/* ---- records ------------------------------------------------------------------ */

static void make_wire_messages(void)
{
    uint64_t seed = SEED;
    struct scratch scratch;
    struct buf one, all;
    scratch_init(&scratch);
    buf_init(&one);
    buf_init(&all);
    for (size_t i = 0; i < ALL_KINDS_COUNT; i++) {
        struct msg msg;
        char name[64];
        scratch_reset(&scratch);
        buf_reset(&one);
        msg_fill(&msg, ALL_KINDS[i], &seed, &scratch);
        encode_or_exit(&one, &msg);
        snprintf(name, sizeof(name), "%s", msg_name(msg.kind));
        for (char *p = name; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        write_seed("wire", name, one.data, one.len);
        if (one.len < 200)
            buf_append(&all, one.data, one.len);
    }
    write_seed("wire", "many", all.data, all.len);
    buf_fini(&one);
    buf_fini(&all);
    scratch_fini(&scratch);
}

static const struct seed {
    const char *name, *bytes;
    size_t len;
} BAD_WIRE[] = {
    {"bad-empty", "", 0},
    {"bad-array-of-4g", "\xdd\xff\xff\xff\xff", 5},
    {"bad-map-of-4g", "\xdf\xff\xff\xff\xff", 5},
    {"bad-array-in-lease-return", "\x92\x10\xdd\xff\xff\xff\xff", 7},
    {"bad-text-of-4g", "\x92\x10\xdb\xff\xff\xff\xff", 7},
    {"bad-blob-of-4g", "\x92\x10\xc6\xff\xff\xff\xff", 7},
    {"bad-ext-of-4g", "\x92\x10\xc9\xff\xff\xff\xff\x01", 8},
    {"bad-revoke-of-4g", "\x93\x18\x00\xdd\xff\xff\xff\xff", 8},
    {"bad-kind-0", "\x92\x00\x00", 3},
    {"bad-kind-99", "\x92\x63\x00", 3},
    {"bad-kind-negative", "\x92\xff\x00", 3},
    {"bad-no-kind", "\x90", 1},
    {"bad-no-array", "\x10", 1},
    {"bad-never-used", "\xc1", 1},
    {"bad-field-too-many", "\x93\x10\x01\x02", 4},
    {"bad-field-too-few", "\x91\x10", 2},
    {"bad-number-negative", "\x92\x10\xff", 3},
    {"bad-grace-negative", "\x92\x49\xff", 3},
    {"bad-bool-number", "\x94\x17\x01\x01\x01", 5},
    {"bad-version-2", "\x93\x01\x02\xc0", 4},
    {"bad-version-missing", "\x91\x01", 2},
    {"bad-deps-of-numbers", "\x9c\x15\1\1\1\1\1\1\1\0\0\x9f\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xc4\0", 29},
    {"wide-numbers", "\xdd\0\0\0\x02\xd1\0\x10\xcf\0\0\0\0\0\0\0\x05", 17},
};

static void make_wire_bombs(void)
{
    for (size_t i = 0; i < sizeof(BAD_WIRE) / sizeof(BAD_WIRE[0]); i++)
        write_seed("wire", BAD_WIRE[i].name, BAD_WIRE[i].bytes, BAD_WIRE[i].len);
    uint8_t nested[1024];
    memset(nested, 0x91, sizeof(nested));
    write_seed("wire", "bad-depth-1024", nested, sizeof(nested));
    nested[WIRE_DEPTH_MAX] = 0;
    write_seed("wire", "bad-depth-just-allowed", nested, WIRE_DEPTH_MAX + 1);
    memset(nested, 0x9f, sizeof(nested));
    write_seed("wire", "bad-depth-wide", nested, sizeof(nested));
    memset(nested, 0xc0, sizeof(nested));
    memcpy(nested, "\xdc\x03\xfd", 3);
    write_seed("wire", "bad-nils", nested, sizeof(nested));
}

/* ---- values ------------------------------------------------------------------- */

static void make_value_kinds(void)
{
    static const int64_t i64[] = {0, 127, 128, 32768, INT64_C(1) << 40, -1, -33, -129, -40000, INT64_MIN};
    static const uint64_t u64[] = {0, 128, 256, 65536, UINT64_MAX};
    static const double f64[] = {0.0, -1.5, 1e308};
    static char text[70000];
    memset(text, 'x', sizeof(text));
    struct buf numbers, all;
    buf_init(&numbers);
    buf_init(&all);
    for (size_t i = 0; i < sizeof(i64) / sizeof(i64[0]); i++)
        value_put_i64(&numbers, i64[i]);
    write_seed("value", "i64", numbers.data, numbers.len);
    buf_append(&all, numbers.data, numbers.len);
    buf_reset(&numbers);
    for (size_t i = 0; i < sizeof(u64) / sizeof(u64[0]); i++)
        value_put_u64(&numbers, u64[i]);
    write_seed("value", "u64", numbers.data, numbers.len);
    buf_append(&all, numbers.data, numbers.len);
    buf_reset(&numbers);
    for (size_t i = 0; i < sizeof(f64) / sizeof(f64[0]); i++)
        value_put_f64(&numbers, f64[i]);
    write_seed("value", "f64", numbers.data, numbers.len);
    buf_append(&all, numbers.data, numbers.len);
    value_put_nil(&all);
    value_put_str(&all, "text", 4);
    value_put_str(&all, text, 300);
    value_put_bytes(&all, "\0\1\2", 3);
    value_put_dep(&all, 7);
    write_seed("value", "all", all.data, all.len);
    buf_reset(&all);
    value_put_str(&all, text, 60000);
    write_seed("value", "text-60000", all.data, all.len);
    buf_reset(&all);
    value_put_bytes(&all, text, sizeof(text));
    write_seed("value", "bytes-70000", all.data, all.len);
    buf_fini(&numbers);
    buf_fini(&all);
}

static const struct seed BAD_VALUES[] = {
    {"empty", "", 0},
    {"nil", "\xc0", 1},
    {"dep", "\xd6\x01\0\0\0\x07", 6},
    {"nan", "\xcb\x7f\xf8\0\0\0\0\0\0", 9},
    {"infinity", "\xcb\xff\xf0\0\0\0\0\0\0", 9},
    {"bad-map", "\x80", 1},
    {"bad-array", "\x91\x01", 2},
    {"bad-bool", "\xc3", 1},
    {"bad-float32", "\xca\0\0\0\0", 5},
    {"bad-ext-2", "\xd6\x02\0\0\0\x01", 6},
    {"bad-ext-length", "\xd5\x01\0\x01", 4},
    {"bad-text-of-4g", "\xdb\xff\xff\xff\xff", 5},
    {"bad-bytes-of-4g", "\xc6\xff\xff\xff\xff", 5},
    {"bad-array-of-4g", "\xdd\xff\xff\xff\xff", 5},
    {"bad-text-cut", "\xa3xy", 3},
    {"bad-never-used", "\xc1", 1},
};

static void make_values(void)
{
    make_value_kinds();
    for (size_t i = 0; i < sizeof(BAD_VALUES) / sizeof(BAD_VALUES[0]); i++)
        write_seed("value", BAD_VALUES[i].name, BAD_VALUES[i].bytes, BAD_VALUES[i].len);
}

/* ---- frames ------------------------------------------------------------------- */

static void make_frames(void)
{
    static const char body[] = "\x92\x10\x05";
    struct frame_header header = {
        .from = {1, 2, 0, 0}, .to = {1, 3, 0, 0}, .body_len = 3,
        .number = 7, .ack = 6, .credit = LINK_WINDOW,
    };
    uint8_t frame[FRAME_HEADER + 3];
    memcpy(frame + FRAME_HEADER, body, 3);
    frame_write_header(frame, &header);
    write_seed("frame", "one-record", frame, sizeof(frame));
    write_seed("frame", "bad-body-cut", frame, sizeof(frame) - 1);
    write_seed("frame", "bad-header-cut", frame, FRAME_HEADER - 1);
    write_seed("frame", "bad-empty", "", 0);
    frame[0] ^= 1;
    write_seed("frame", "bad-magic", frame, sizeof(frame));
    frame[0] ^= 1;
    frame[3] ^= 2;
    write_seed("frame", "bad-version", frame, sizeof(frame));
    frame[3] ^= 2;
    memset(frame + 4, 0xff, 4);
    write_seed("frame", "bad-body-of-4g", frame, sizeof(frame));
    header.number = UINT64_MAX;
    header.ack = UINT64_MAX;
    header.credit = UINT64_MAX;
    frame_write_header(frame, &header);
    write_seed("frame", "largest-numbers", frame, sizeof(frame));
    memset(frame + 40, 0, 8);
    write_seed("frame", "bad-body-without-number", frame, sizeof(frame));
    header.body_len = 0;
    header.number = 0;
    frame_write_header(frame, &header);
    write_seed("frame", "acknowledgement", frame, FRAME_HEADER);
    write_seed("frame", "bad-trailing", frame, sizeof(frame));
    header.flags = FRAME_ASK | FRAME_GAP;
    frame_write_header(frame, &header);
    write_seed("frame", "flags", frame, FRAME_HEADER);
    frame[7] = 0xff;
    write_seed("frame", "bad-flags", frame, FRAME_HEADER);
}

/* ---- sweep files ---------------------------------------------------------------- */

#define SWEEP_HEAD "method: random\nmetric: {name: loss}\n"

static const struct { const char *name, *text; } SWEEP_FILES[] = {
    {"wandb", "program: train.py\nmethod: bayes\nrun_cap: 50\nmetric: {name: loss, goal: minimize, target: 0.1}\n"
     "parameters:\n  lr: {distribution: log_uniform, min: -9.2, max: -2.3}\n  epochs: {value: 27}\n"
     "  opt:\n    parameters:\n      kind: {values: [sgd, adam], probabilities: [0.3, 0.7]}\n"
     "      momentum: {min: 0.0, max: 1}\n"
     "early_terminate: {type: hyperband, min_iter: 3, s: 2, eta: 3}\n"
     "command: ['${env}', '${interpreter}', '${program}', '${args}', 'x=${now:%Y}', '${envvar:HOME}/x']\n"},
    {"covey", SWEEP_HEAD "parameters:\n  a: {values: [x, y]}\n  b: {min: 1, max: 5}\n"
     "covey:\n  scheduler: {type: asha, max_iter: 81, min_iter: 1, eta: 3, brackets: 2}\n"
     "  search: {type: tpe, startup: 5, candidates: 24, univariate: true, constant_liar: no}\n"
     "  resources: {cpus: 1, gpus: 0.5, memory: 2GiB, gpu_memory: 1G, tpu: 2}\n  parallel: 8\n  seed: 1\n"
     "  count: 10\n  time: 2h30m\n  trial_time: 90\n  grace: 30s\n  leave: 5s\n  retries: 2\n  checkpoints: 3\n"
     "  cwd: trial\n  report: stdout\n  wandb: off\n  storm: 3\n  when: {b: {a: [x]}}\n"
     "  points: [{a: x, b: 2}, {a: y}]\n"},
    {"pbt", SWEEP_HEAD "parameters: {a: {distribution: q_uniform, min: 0, max: 10, q: 0.5}}\n"
     "covey: {scheduler: {type: pbt, population: 8, interval: 5, burn_in: 2, quantile: 0.2, resample: 0.3, "
     "factors: [1.2, 0.8]}}\n"},
    {"distributions", SWEEP_HEAD "parameters:\n  a: {distribution: q_log_uniform_values, min: 1, max: 9, q: 2}\n"
     "  b: {distribution: inv_log_uniform, min: 0, max: 2}\n  c: {distribution: q_normal, mu: 1, sigma: 2}\n"
     "  d: {distribution: log_normal}\n  e: {distribution: beta, a: 2, b: 3}\n"
     "  f: {distribution: inv_log_uniform_values, min: 1, max: 2}\n"
     "  g: {values: [[1, 2.5], {k: v}, null, 1e-5, 0x1f, 1:30, .5, yes]}\n"},
    {"grid", "method: grid\nparameters: &p {a: {values: [1, 2, 2]}, b: {min: 1, max: 3}}\n"
     "covey: {when: {b: {a: 1}}, search: grid, scheduler: none}\n"},
    {"aliases", "method: grid\nparameters:\n  a: &x {values: &v [1, 2]}\n  b: *x\n  c: {<<: *x}\n  d: {<<: [*x, *x]}\n"
     "  e: {values: *v}\n"},
    {"text", "method: \"random\"\nname: |\n  long\n  text\nparameters: {a: {value: !!str 5}, b: {value: 'it''s'}}\n"},
    {"bad-tab", "a:\n\tb: 1\n"},
    {"bad-twice", "method: grid\nmethod: grid\n"},
    {"bad-circle", "a: &x [*x]\n"},
    {"bad-range", "method: random\nparameters: {a: {min: 2, max: 1}}\n"},
    {"bad-two-documents", "a: 1\n--- \nb: 1\n"},
    {"bad-empty", ""},
};

static void make_sweep_files(void)
{
    for (size_t i = 0; i < sizeof(SWEEP_FILES) / sizeof(SWEEP_FILES[0]); i++)
        write_seed("sweep_file", SWEEP_FILES[i].name, SWEEP_FILES[i].text, strlen(SWEEP_FILES[i].text));
    static const char bomb[] = "a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n"
        "c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c]\n"
        "e: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nf: &f [*e, *e, *e, *e, *e, *e, *e, *e]\n";
    write_seed("sweep_file", "bad-bomb", bomb, strlen(bomb));
}

/* ---- lines ---------------------------------------------------------------------- */

/* The first byte is the size of the pieces. */
static void make_lines(void)
{
    static char room[2 * LINE_BYTES_MAX + 16];
    static const struct { const char *name, *text; } small[] = {
        {"bytewise", "\1{\"step\": 1}\n{\"step\": 2}\n"}, {"pieces", "\2half\nsecond\n\n\nlast"},
        {"whole", "\377one\ntwo\nthree\n"}, {"only-ends", "\3\n\n\n\n"}, {"no-end", "\3never ends"},
    };
    for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++)
        write_seed("lines", small[i].name, small[i].text, strlen(small[i].text));
    write_seed("lines", "junk", "\5\0\377\376\n\0\n\r\n", 9);
    memset(room, 'x', sizeof(room));
    room[0] = 40;
    room[1 + LINE_BYTES_MAX] = '\n';
    write_seed("lines", "longest", room, LINE_BYTES_MAX + 2);
    room[1 + LINE_BYTES_MAX] = 'x';
    room[2 + LINE_BYTES_MAX] = '\n';
    write_seed("lines", "bad-longer", room, LINE_BYTES_MAX + 8);
    room[2 + LINE_BYTES_MAX] = 'x';
    write_seed("lines", "bad-endless", room, sizeof(room));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_corpus DIR\n");
        return 2;
    }
    corpus = argv[1];
    make_directory("wire");
    make_directory("value");
    make_directory("frame");
    make_directory("lines");
    make_directory("sweep_file");
    make_wire_messages();
    make_wire_bombs();
    make_values();
    make_frames();
    make_lines();
    make_sweep_files();
    return 0;
}
