/* test_sweep_help.c - options read from help texts, sweep files drafted of them,
 * and programs that are asked for help.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sweep/spec/draft.h"
#include "sweep/spec/help_run.h"
#include "sweep/spec/spec.h"

static struct help help;

static void read_help(const char *text) { help_read(&help, text, strlen(text)); }

static const struct help_option *find(const char *name)
{
    for (size_t i = 0; i < help.count; i++)
        if (strcmp(help.options[i].name, name) == 0)
            return &help.options[i];
    return NULL;
}

static const struct help_option *only(const char *text)
{
    read_help(text);
    assert_int_equal(help.count, 1);
    return &help.options[0];
}

/* ---- reading ---- */

/* One option each: its line or lines, and what they mean. */
static const struct {
    const char *text, *name;
    bool takes_value, is_many;
    const char *off;
    enum help_type type;
    const char *standard, *choices; /* choices joined by "|" */
} lines[] = {
    /* argparse */
    {"  --lr LR   rate (default: 0.01)", "lr", true, false, "", HELP_UNKNOWN, "0.01", ""},
    {"  -l LR, --lr LR  rate", "lr", true, false, "", HELP_UNKNOWN, "", ""},
    {"  -l, --learning-rate LR\n                        rate (default:\n                        1e-05)",
     "learning-rate", true, false, "", HELP_UNKNOWN, "1e-05", ""},
    {"  --opt {adam,sgd}  optimizer (default: adam)", "opt", true, false, "", HELP_UNKNOWN, "adam", "adam|sgd"},
    {"  --opt {adam,sgd}\n                        optimizer", "opt", true, false, "", HELP_UNKNOWN, "",
     "adam|sgd"},
    {"  --opt {a,b,a}  one", "opt", true, false, "", HELP_UNKNOWN, "", "a|b"},
    {"  --sizes N [N ...]  sizes (default: [1, 2])", "sizes", true, true, "", HELP_UNKNOWN, "", ""},
    {"  --pair A B         two", "pair", true, true, "", HELP_UNKNOWN, "", ""},
    {"  --keep [K]         perhaps", "keep", true, false, "", HELP_UNKNOWN, "", ""},
    {"  --amp, --no-amp    mixed (default: True)", "amp", false, false, "no-amp", HELP_UNKNOWN, "True", ""},
    {"  --amp | --no-amp   mixed", "amp", false, false, "no-amp", HELP_UNKNOWN, "", ""},
    {"  --verbose          say more", "verbose", false, false, "", HELP_UNKNOWN, "", ""},
    {"  --n N (default: None)", "n", true, false, "", HELP_UNKNOWN, "", ""},
    {"  -n N  one letter (default: 3)", "", true, false, "", HELP_UNKNOWN, "", ""},
    {"  --gr\xc3\xb6\xc3\x9f" "e X  no name of a file (default: 3)", "", true, false, "", HELP_UNKNOWN, "", ""},
    {"  --lr LR   (default: 1) (type: float)", "lr", true, false, "", HELP_FLOAT, "1", ""},
    /* click, typer */
    {"  -l, --lr FLOAT   Rate.  [default: 0.01]", "lr", true, false, "", HELP_FLOAT, "0.01", ""},
    {"  --layers INTEGER RANGE  Layers.  [default: 3; 1<=x<=8]", "layers", true, false, "", HELP_INT, "3", ""},
    {"  --opt [adam|sgd]  Optimizer.  [default: sgd; required]", "opt", true, false, "", HELP_UNKNOWN, "sgd",
     "adam|sgd"},
    {"  --loud / --quiet   [default: loud]", "loud", false, false, "quiet", HELP_UNKNOWN, "loud", ""},
    {"  --shout / --no-shout  [default: no-shout]", "shout", false, false, "no-shout", HELP_UNKNOWN, "no-shout", ""},
    {"\xe2\x94\x82 *  --lr      -l      FLOAT    Rate [default: 0.01]   \xe2\x94\x82", "lr", true, false, "",
     HELP_FLOAT, "0.01", ""},
    {"\xe2\x94\x82    --opt        [adam|sgd]  The one  \xe2\x94\x82", "opt", true, false, "", HELP_UNKNOWN, "",
     "adam|sgd"},
    /* GNU */
    {"  -b, --batch-size=N     images (default 32)", "batch-size", true, false, "", HELP_UNKNOWN, "32", ""},
    {"      --decay[=RATE]     decay; defaults to 0.5", "decay", true, false, "", HELP_UNKNOWN, "0.5", ""},
    {"      --lr=RATE          rate, default is 0.05.", "lr", true, false, "", HELP_UNKNOWN, "0.05", ""},
    {"  --out=FILE             where", "out", true, false, "", HELP_PATH, "", ""},
    {"\t--lr=RATE\trate", "lr", true, false, "", HELP_UNKNOWN, "", ""},
    /* clap, Go, absl */
    {"      --opt <OPT>\n          One\n\n          [default: adam]\n          [possible values: adam, sgd]", "opt",
     true, false, "", HELP_UNKNOWN, "adam", "adam|sgd"},
    {"      --sizes <N>...  sizes", "sizes", true, true, "", HELP_UNKNOWN, "", ""},
    {"  -lr float\n    \trate (default 0.01)", "lr", true, false, "", HELP_FLOAT, "0.01", ""},
    {"  -name string\n    \ta name (default \"a run\")", "name", true, false, "", HELP_TEXT, "a run", ""},
    {"  --[no]amp: Mixed.\n    (default: 'true')", "amp", false, false, "noamp", HELP_UNKNOWN, "true", ""},
    {"  --lr: rate\n    (default: '0.1')\n    (a number)", "lr", true, false, "", HELP_UNKNOWN, "0.1", ""},
    {"  --opt: <adam|sgd>: the one", "opt", true, false, "", HELP_UNKNOWN, "", "adam|sgd"},
    {"  -Wl,<options>      pass <options> on", "Wl", true, true, "", HELP_UNKNOWN, "", ""},
    /* colours */
    {"  \033[1;36m--lr\033[0m FLOAT  rate", "lr", true, false, "", HELP_FLOAT, "", ""},
    /* prose */
    {"  --fast be as fast as can be", "fast", false, false, "", HELP_UNKNOWN, "", ""},
    {"  --fast  by default this is slow.", "fast", false, false, "", HELP_UNKNOWN, "this", ""},
    {"  --fast  the default", "fast", false, false, "", HELP_UNKNOWN, "", ""},
};

static void join_choices(const struct help_option *o, char *out, size_t size)
{
    out[0] = 0;
    for (size_t i = 0; i < o->choice_count; i++)
        snprintf(out + strlen(out), size - strlen(out), "%s%s", i ? "|" : "", o->choices[i]);
}

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char choices[256];
        read_help(lines[i].text);
        if (!lines[i].name[0]) {
            assert_int_equal(help.count, 0);
            continue;
        }
        const struct help_option *o = find(lines[i].name);
        if (!o || help.count != 1)
            print_error("%zu options in: %s\n", help.count, lines[i].text);
        assert_non_null(o);
        join_choices(o, choices, sizeof choices);
        if (o->takes_value != lines[i].takes_value || strcmp(o->standard, lines[i].standard) != 0)
            print_error("takes %d, default \"%s\": %s\n", o->takes_value, o->standard, lines[i].text);
        assert_int_equal(help.count, 1);
        assert_int_equal(o->takes_value, lines[i].takes_value);
        assert_int_equal(o->is_many, lines[i].is_many);
        assert_string_equal(o->off, lines[i].off);
        assert_int_equal(o->type, lines[i].type);
        assert_string_equal(o->standard, lines[i].standard);
        assert_string_equal(choices, lines[i].choices);
    }
}

/* Text below an option is its own, though it begins like one; what stands left ends it. */
static void test_layout(void **state)
{
    (void)state;
    read_help("usage: x [--lr LR]\n"
              "  --lr LR         rate, which\n"
              "                  --opt scales\n"
              "other options:\n"
              "  --opt OPT       optimizer\n"
              "notes of no option (default: 7)\n"
              "  --lr LR         again\n");
    assert_int_equal(help.count, 2);
    assert_string_equal(find("lr")->text, "rate, which --opt scales");
    assert_string_equal(find("opt")->text, "optimizer");
    assert_string_equal(find("opt")->standard, "");
}

/* A switch and what turns it off are one, on one line or on two. */
static void test_switches(void **state)
{
    (void)state;
    read_help("  --no-amp          off\n  --amp, --no-amp   both (default: True)\n"
              "  --cpu | --no-cpu  x\n  --no-cpu  x\n");
    assert_int_equal(help.count, 3);
    assert_string_equal(find("amp")->off, "");
    assert_string_equal(find("cpu")->off, "no-cpu");
    assert_null(find("no-cpu"));
}

static void test_words(void **state)
{
    (void)state;
    read_help("usage: x data out\n\npositional arguments:\n  data     where\n           it is\n  out\n\n"
              "options:\n  --lr LR  rate\n");
    assert_int_equal(help.word_count, 2);
    assert_string_equal(help.words[0], "data");
    assert_string_equal(help.words[1], "out");
    assert_int_equal(help.count, 1);
    read_help("Usage: train [OPTIONS] --lr LR DATA [OUT]... <more> run\nArguments:\n  DATA  x\n");
    assert_int_equal(help.word_count, 2);
    assert_string_equal(help.words[0], "DATA");
    assert_string_equal(help.words[1], "<more>");
}

/* What is too long is left out, and nothing is mixed up by it. */
static void test_bounds(void **state)
{
    (void)state;
    static char text[300000];
    size_t len = 0;
    for (int i = 0; i < HELP_OPTIONS_MAX + 7; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "  --option-%d N  what it is\n", i);
    read_help(text);
    assert_int_equal(help.count, HELP_OPTIONS_MAX);
    assert_int_equal(help.left_out, 7);
    snprintf(text, sizeof text, "  --%0*d N  long\n  --x%0*d N  too long\n  --lr {", 0, 0, HELP_NAME_MAX, 0);
    for (int i = 0; i <= HELP_CHOICES_MAX; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%sc%d", i ? "," : "", i);
    strcat(text, "}  many\n");
    read_help(text);
    assert_int_equal(help.count, 1);
    assert_int_equal(find("lr")->choice_count, 0);
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "  --lr LR  ", 11);
    assert_int_equal(strlen(only(text)->text), HELP_TEXT_MAX - 1);
}

/* ---- drafts ---- */

static char draft[65536];

static int write_draft(const char *text, const char *const *args)
{
    struct draft_opts opts = {.program = "train.py", .args = args, .file = "sweep.yaml"};
    struct text t = TEXT_NONE;
    read_help(text);
    int params = draft_write(&t, &opts, &help);
    snprintf(draft, sizeof draft, "%s", text_get(&t));
    text_fini(&t);
    return params;
}

static const char *const no_args[] = {NULL};

/* What one option is varied over: the lines below its name. */
static const struct { const char *option, *lines; } drafts[] = {
    {"--lr LR  x (default: 0.01)", "  lr:                         # x (default 0.01)\n"
     "    distribution: log_uniform_values\n    min: 0.001\n    max: 0.1\n"},
    {"--lr LR  (default: 1)", "    distribution: log_uniform_values\n    min: 0.1\n    max: 10.0\n"},
    {"--lr LR  x", "x; a guess: no default was told\n    distribution: log_uniform_values\n"
     "    min: 0.0001\n    max: 0.1\n"},
    {"--weight-decay W  (default: 0)", "    distribution: log_uniform_values\n    min: 1.0e-06\n    max: 0.01\n"},
    {"--tiny T  (default: 1e-5)", "    distribution: log_uniform_values\n    min: 1.0e-06\n    max: 0.0001\n"},
    {"--momentum M  (default: 0.9)", "    distribution: uniform\n    min: 0.5\n    max: 0.98\n"},
    {"--dropout D  (default: 0.1)", "    distribution: uniform\n    min: 0.0\n    max: 0.5\n"},
    {"--dropout D  (default: 0.4)", "    distribution: uniform\n    min: 0.0\n    max: 0.8\n"},
    {"--clip C  (default: 5.0)", "    distribution: uniform\n    min: 2.5\n    max: 10.0\n"},
    {"--part C  (default: 0.8)", "    distribution: uniform\n    min: 0.4\n    max: 1.0\n"},
    {"--shift C  (default: -2.0)", "    distribution: uniform\n    min: -4.0\n    max: -1.0\n"},
    {"--layers N  (default: 3)", "    distribution: int_uniform\n    min: 1\n    max: 6\n"},
    {"--layers N  (default: 1)", "    distribution: int_uniform\n    min: 1\n    max: 3\n"},
    {"--batch-size N  (default: 64)", "    values: [16, 32, 64, 128, 256]\n"},
    {"--opt {adam,sgd,on,1,1e3}  x", "    values: [adam, sgd, \"on\", 1, \"1e3\"]\n"},
    {"--nesterov  x", "    values: [true, false]\n"},
    {"--amp, --no-amp  x (default: True)",
     "  no-amp:                     # x (default True)\n    values: [true, false]\n"},
    {"--amp, --no-amp  x (default: False)",
     "  amp:                        # x (default False)\n    values: [true, false]\n"},
    {"--amp X  x (default: True)", "    values: [\"True\", \"False\"]\n"},
    {"--amp X  x (default: false)", "    values: [\"true\", \"false\"]\n"},
    {"--yes X  x (default: 3)", "  \"yes\":                      # x (default 3)\n"},
};

static void test_drafts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof drafts / sizeof *drafts; i++) {
        char why[512] = "";
        assert_int_equal(write_draft(drafts[i].option, no_args), 1);
        if (!strstr(draft, drafts[i].lines))
            print_error("%s\nis drafted as\n%s", drafts[i].option, draft);
        assert_non_null(strstr(draft, drafts[i].lines));
        struct spec *spec = spec_read("f", draft, strlen(draft), NULL, NULL, why, sizeof why);
        assert_string_equal(why, "");
        assert_non_null(spec);
        spec_free(&spec);
    }
}

static void test_draft_held(void **state)
{
    (void)state;
    static const char *const held[] = {
        "--epochs N  (default: 27)", "--seed N  (default: 1)", "--output-dir D  (default: 3)",
        "--num-workers N  (default: 4)", "--device D  (default: 1)", "--data-dir D  (default: 1)",
        "--log-interval N  (default: 10)", "--sizes N [N ...]  (default: 3)", "--sink FILE  (default: 3)",
        "--what TEXT  (default: abc)", "--unknown N  nothing is told", "--help  (default: 3)", "--zero N  (default: 0)",
        "--opt {a\xff,b}  x",
    };
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) {
        if (write_draft(held[i], no_args) != 0)
            print_error("%s\nis drafted as\n%s", held[i], draft);
        assert_int_equal(write_draft(held[i], no_args), 0);
    }
    write_draft(held[0], no_args);
    assert_non_null(strstr(draft, "  # - --epochs=27 "));
    assert_non_null(strstr(draft, "  min_iter: 3\n"));
}

/* Words of the command stand before the parameters; an option among them is not varied. */
static void test_draft_command(void **state)
{
    (void)state;
    const char *args[] = {"data dir", "--lr=0.5", "--layers", "3", NULL};
    assert_int_equal(write_draft("positional arguments:\n  data  x\n  more  x\noptions:\n  --lr LR  (default: 1)\n"
                                 "  --layers N  (default: 2)\n  --width N  (default: 16)\n  --warm  x\n", args), 2);
    assert_non_null(strstr(draft, "  - ${env}\n  - ${interpreter} "));
    assert_non_null(strstr(draft, "  - \"data dir\"\n  - --lr=0.5\n  - --layers\n  - \"3\"\n"));
    assert_non_null(strstr(draft, "  - ${args_no_boolean_flags} "));
    assert_non_null(strstr(draft, "set in the command"));
    assert_null(strstr(draft, "\n  lr:"));
}

/* ---- programs ---- */

static struct help_result result;

static void run_shell(const char *script, int ms, size_t bytes)
{
    char *argv[] = {"sh", "-c", (char *)script, NULL};
    help_result_fini(&result);
    help_run(&result, argv, ms, bytes);
}

static void test_run(void **state)
{
    (void)state;
    run_shell("echo out; echo err >&2; cat; exit 3", 30000, 1000);
    assert_int_equal(result.end, HELP_EXITED);
    assert_int_equal(result.status, 3);
    assert_string_equal(text_get(&result.out), "out\nerr\n");
    run_shell("kill -9 $$", 30000, 1000);
    assert_int_equal(result.status, 128 + 9);
    run_shell("yes", 30000, 100000);
    assert_int_equal(result.end, HELP_TOO_LONG);
    run_shell("echo begun; trap '' TERM; sleep 100; sleep 100", 300, 1000);
    assert_int_equal(result.end, HELP_LATE);
    assert_string_equal(text_get(&result.out), "begun\n");
    char *argv[] = {"/nowhere/is/this", NULL};
    help_result_fini(&result);
    help_run(&result, argv, 30000, 1000);
    assert_int_equal(result.end, HELP_NOT_RUN);
    assert_int_equal(result.status, ENOENT);
    help_result_fini(&result);
}

/* A child that is left behind holds the output open: it is killed, and not waited for. */
static void test_run_child(void **state)
{
    (void)state;
    int ends[2];
    char script[64];
    assert_int_equal(pipe2(ends, 0), 0);
    snprintf(script, sizeof script, "sleep 100 & echo done");
    run_shell(script, 30000, 1000);
    close(ends[1]);
    assert_int_equal(result.end, HELP_EXITED);
    assert_string_equal(text_get(&result.out), "done\n");
    /* The child has our pipe too, so the pipe's end is the child's. */
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 10000), 1);
    assert_true(fd.revents & POLLHUP);
    close(ends[0]);
    help_result_fini(&result);
}

/* Ctrl-C ends who asks, and in its group of its own the program does not get it. */
static void test_run_orphan(void **state)
{
    (void)state;
    int ends[2];
    char script[64], byte;
    assert_int_equal(pipe2(ends, 0), 0);
    snprintf(script, sizeof script, "echo >&%d; exec sleep 100", ends[1]);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run_shell(script, 30000, 1000);
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);   /* it runs */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 10000), 1);
    assert_true(fd.revents & POLLHUP);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines), cmocka_unit_test(test_layout), cmocka_unit_test(test_words),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_drafts), cmocka_unit_test(test_draft_held),
        cmocka_unit_test(test_draft_command), cmocka_unit_test(test_run), cmocka_unit_test(test_run_child),
        cmocka_unit_test(test_run_orphan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
