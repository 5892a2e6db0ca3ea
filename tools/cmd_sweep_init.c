/* cmd_sweep_init.c - covey sweep init: a first sweep file from what a program says
 * of its options. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd_sweep.h"
#include "sweep/spec/command.h"
#include "sweep/spec/draft.h"
#include "sweep/spec/help_run.h"
#include "sweep/sweep.h"
#include "sweep_screen.h"

#define FILE_DEFAULT "sweep.yaml"
#define TAIL_LINES 8
#define TAIL_BYTES 2000
#define BY_HAND "write the file by hand: README.md has one to begin with"

struct init {
    const struct cli *cli;
    const char *file;           /* to be made; "-": standard output */
    bool is_shown;              /* print it too */
    const char *program;
    char *const *args;          /* NULL-ended */
    size_t arg_count;
    const char *interpreter;    /* of a .py file; NULL: it runs by itself */
    bool is_in_path;            /* no file of ours: found by PATH */
    char path[4096];            /* where the program's name needs ./ before it */
    char **argv;                /* owned, its words not: what is run */
    struct help_result result;
    struct help *help;          /* owned */
    struct text draft;
};

static bool ends_with(const char *word, const char *end)
{
    size_t len = strlen(word), end_len = strlen(end);
    return len > end_len && strcmp(word + len - end_len, end) == 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- the command line ---------------------------------------------------------------- */

/* How many words of @argv are one option of ours; 0: none. */
static int count_own(char **argv)
{
    static const char *const with_value[] = {"-o", "--output", "--name", "--color", NULL};
    for (size_t i = 0; with_value[i]; i++)
        if (strcmp(argv[0], with_value[i]) == 0)
            return argv[1] ? 2 : 1;
    return strncmp(argv[0], "--output=", 9) == 0;
}

/* Before PROGRAM every option is ours, behind it -o FILE alone. */
char **sweep_init_argv(int *argc, char **argv)
{
    char **out = calloc((size_t)*argc + 2, sizeof *out), **theirs = calloc((size_t)*argc + 1, sizeof *theirs);
    int n = 0, their_count = 0, i = 0;
    while (out && theirs && i < *argc && strcmp(argv[i], "--") != 0) {
        int own = count_own(argv + i);
        if (own == 0 && (i < 2 || (their_count == 0 && argv[i][0] == '-')))
            own = 1;
        for (int k = 0; k < own; k++)
            out[n++] = argv[i++];
        if (own == 0)
            theirs[their_count++] = argv[i++];
    }
    if (out && theirs) {
        if (i == *argc || their_count > 0)
            out[n++] = "--";
        for (int k = 0; k < their_count; k++)
            out[n++] = theirs[k];
        for (; i < *argc; i++)
            out[n++] = argv[i];
        *argc = n;
    } else {
        free(out);
        out = NULL;
    }
    free(theirs);
    return out;
}

/* ---- which program ------------------------------------------------------------------- */

/* "python train.py" is train.py. */
static void take_words(struct init *m, const struct sweep_cmd *cmd)
{
    bool python = strncmp(base_name(cmd->word), "python", 6) == 0;
    bool script = python && cmd->word_count > 0 && ends_with(cmd->words[0], ".py");
    m->program = script ? cmd->words[0] : cmd->word;
    m->args = cmd->words + script;
    m->arg_count = (size_t)cmd->word_count - script;
    if (ends_with(m->program, ".py"))
        m->interpreter = script ? cmd->word : command_interpreter();
}

static int find_program(struct init *m)
{
    struct stat st;
    const char *name = m->program;
    bool has_slash = strchr(name, '/') != NULL;
    if (stat(name, &st) != 0) {
        if (m->interpreter || has_slash || errno != ENOENT)
            return cli_fail(m->cli, STATUS_USAGE, NULL, "init: %s: %s", name, strerror(errno));
        m->is_in_path = true;
        return CLI_GO;
    }
    if (!S_ISREG(st.st_mode))
        return cli_fail(m->cli, STATUS_USAGE, NULL, "init: %s is no file but something else; which program?", name);
    if (m->interpreter)
        return CLI_GO;
    if (access(name, X_OK) != 0)
        return cli_fail(m->cli, STATUS_USAGE, "chmod +x, and a first line such as #!/bin/sh", "init: %s: %s", name,
                        strerror(errno));
    if (!has_slash && snprintf(m->path, sizeof m->path, "./%s", name) < (int)sizeof m->path)
        m->program = m->path;
    return CLI_GO;
}

/* ---- asking it ----------------------------------------------------------------------- */

static bool make_argv(struct init *m)
{
    size_t n = 0;
    m->argv = calloc(m->arg_count + 6, sizeof *m->argv);
    if (!m->argv)
        return false;
    if (m->interpreter) {
        m->argv[n++] = (char *)m->interpreter;
        m->argv[n++] = "-c";
        m->argv[n++] = (char *)helpers_argparse();
    }
    m->argv[n++] = (char *)m->program;
    for (size_t i = 0; i < m->arg_count; i++)
        m->argv[n++] = m->args[i];
    m->argv[n++] = "--help";
    return true;
}

/* The last lines of what it printed, indented. */
static void print_tail(const struct init *m)
{
    const char *text = text_get(&m->result.out);
    size_t len = text ? strlen(text) : 0;
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    size_t from = len;
    for (int lines = 0; from > 0 && len - from < TAIL_BYTES; from--)
        if (text[from - 1] == '\n' && ++lines == TAIL_LINES)
            break;
    if (len == 0)
        fprintf(stderr, "  (it printed nothing)\n");
    else
        fputs("  | ", stderr);
    for (size_t i = from, n; i < len; i += n > 0 ? n : 1) {
        uint32_t code = 0;
        n = text_utf8(text + i, &code);
        if (code == '\n')
            fputs("\n  | ", stderr);
        else if (text_can_show(code))
            fwrite(text + i, 1, n, stderr);
        else if (n == 0)
            fputc('?', stderr);
    }
    if (len > 0)
        fputc('\n', stderr);
}

static int fail_run(const struct init *m)
{
    const struct help_result *r = &m->result;
    int exit;
    switch (r->end) {
    case HELP_NOT_RUN:
        return cli_fail(m->cli, STATUS_USAGE, NULL, "init: %s cannot be run: %s", m->argv[0], strerror(r->status));
    case HELP_LATE:
        exit = cli_fail(m->cli, STATUS_WORK, "it is to read its options before it loads its data; or " BY_HAND,
                        "init: %s --help did not end within %d s; its last lines:", m->program, HELP_RUN_MS / 1000);
        break;
    case HELP_TOO_LONG:
        exit = cli_fail(m->cli, STATUS_WORK, BY_HAND, "init: %s --help printed more than %u bytes; its last lines:",
                        m->program, HELP_BYTES_MAX);
        break;
    default:
        exit = cli_fail(m->cli, STATUS_WORK,
                        r->status ? "does it run by itself, and know --help? Or " BY_HAND : BY_HAND,
                        "init: %s --help told of no options (exit status %d); its last lines:", m->program, r->status);
    }
    print_tail(m);
    return exit;
}

/* Programs that print their help and still fail (absl's do) are forgiven. */
static int ask(struct init *m)
{
    m->help = malloc(sizeof *m->help);
    if (!m->help || !make_argv(m))
        return cli_fail(m->cli, STATUS_WORK, NULL, "out of memory");
    help_run(&m->result, m->argv, HELP_RUN_MS, HELP_BYTES_MAX);
    if (m->result.end != HELP_EXITED)
        return fail_run(m);
    const char *text = text_get(&m->result.out);
    help_read(m->help, text, strlen(text));
    return m->help->count > 0 ? CLI_GO : fail_run(m);
}

/* ---- the file ------------------------------------------------------------------------ */

/* Perhaps it is a command in it, such as `fit`, that has the options. */
static int fail_draft(const struct init *m)
{
    char mend[HELP_WORD_MAX + 128];
    snprintf(mend, sizeof mend, "its usage names %s: covey sweep init PROGRAM WORD gives it such a word",
             m->help->words[0]);
    return cli_fail(m->cli, STATUS_WORK, m->help->word_count > 0 && m->arg_count == 0 ? mend : BY_HAND,
                    "init: none of the %zu options of %s has values that can be guessed (a default, choices, or a "
                    "well-known name)", m->help->count, m->program);
}

static int draft(struct init *m)
{
    struct draft_opts opts = {
        .program = m->is_in_path ? NULL : m->program, .file = strcmp(m->file, "-") == 0 ? FILE_DEFAULT : m->file,
    };
    /* Of a program in PATH the file has the whole command, without --help. */
    size_t n = m->arg_count + 1;
    const char **args = calloc(n + 1, sizeof *args);
    if (!args)
        return cli_fail(m->cli, STATUS_WORK, NULL, "out of memory");
    if (m->is_in_path)
        args[0] = m->program;
    for (size_t i = 0; i < m->arg_count; i++)
        args[i + m->is_in_path] = m->args[i];
    opts.args = args;
    int params = draft_write(&m->draft, &opts, m->help);
    free(args);
    if (params < 0)
        return cli_fail(m->cli, STATUS_WORK, NULL, "out of memory");
    if (params == 0)
        return fail_draft(m);
    /* What is made is what is read: a word of the command may still be refused. */
    char why[1024];
    struct spec *spec = spec_read(m->file, m->draft.data, m->draft.len, NULL, NULL, why, sizeof why);
    if (!spec)
        return cli_fail(m->cli, STATUS_USAGE, NULL, "init: no file can be made of it: %s", why);
    spec_free(&spec);
    return CLI_GO;
}

static int write_file(struct init *m)
{
    bool ok = true;
    if (strcmp(m->file, "-") != 0) {
        int fd = open(m->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
        if (!f)
            return cli_fail(m->cli, STATUS_USAGE, NULL, "init: %s: %s", m->file, strerror(errno));
        ok = fwrite(m->draft.data, 1, m->draft.len, f) == m->draft.len;
        ok = fclose(f) == 0 && ok;
    }
    if (!ok) {
        int exit = cli_fail(m->cli, STATUS_WORK, NULL, "init: %s: %s", m->file, strerror(errno));
        unlink(m->file);
        return exit;
    }
    if (m->is_shown)
        fwrite(m->draft.data, 1, m->draft.len, stdout);
    if (strcmp(m->file, "-") != 0 && !m->cli->quiet)
        fprintf(stderr, "wrote %s: fill in metric.name, which says \"" DRAFT_METRIC "\" now; then: "
                "covey sweep preview %s\n", m->file, m->file);
    return STATUS_OK;
}

int sweep_cmd_init(const struct cli *cli, const struct sweep_cmd *cmd)
{
    struct init m = {
        .cli = cli, .file = cmd->output ? cmd->output : FILE_DEFAULT,
        .is_shown = !cmd->output || strcmp(cmd->output, "-") == 0,
    };
    if (strcmp(m.file, "-") != 0 && access(m.file, F_OK) == 0)
        return cli_fail(cli, STATUS_USAGE, "-o FILE makes another, -o - only prints", "init: %s exists already",
                        m.file);
    take_words(&m, cmd);
    int status = find_program(&m);
    if (status == CLI_GO)
        status = ask(&m);
    if (status == CLI_GO)
        status = draft(&m);
    if (status == CLI_GO)
        status = write_file(&m);
    text_fini(&m.draft);
    help_result_fini(&m.result);
    free(m.help);
    free(m.argv);
    return status;
}
