/* cli.c - see cli.h for the contract. */
#include "cli.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPTIONS_MAX 32          /* of one command, the common ones included */
#define COMMON_COUNT 6

/* ---- colours ------------------------------------------------------------------ */

static bool has_color(const struct cli *cli, FILE *f)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (cli->color && strcmp(cli->color, "auto") != 0)
        return strcmp(cli->color, "always") == 0;
    return !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0) && isatty(fileno(f));
}

const char *cli_style(const struct cli *cli, FILE *f, enum cli_style style)
{
    static const char *const codes[STYLE_COUNT] = {
        [STYLE_BAD] = "\033[31m", [STYLE_WARN] = "\033[33m",
        [STYLE_GOOD] = "\033[32m", [STYLE_BOLD] = "\033[1m",
    };
    return has_color(cli, f) ? codes[style] : "";
}

const char *cli_style_end(const struct cli *cli, FILE *f)
{
    return has_color(cli, f) ? "\033[0m" : "";
}

/* ---- words to people ------------------------------------------------------------ */

int cli_fail(const struct cli *cli, int status, const char *mend, const char *format, ...)
{
    va_list ap;
    fprintf(stderr, "%scovey%s%s:%s ", cli_style(cli, stderr, STYLE_BAD), cli->command ? " " : "",
            cli->command ? cli->command->name : "", cli_style_end(cli, stderr));
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (mend)
        fprintf(stderr, "  %s\n", mend);
    return status;
}

int cli_fail_status(const struct cli *cli, covey_status status, const char *why)
{
    int exit_status = STATUS_WORK;
    switch (status) {
    case COVEY_EINVAL:
    case COVEY_ETOOBIG:
        exit_status = STATUS_USAGE;
        break;
    case COVEY_ENOCLUSTER:
    case COVEY_ECLOSED:
        exit_status = STATUS_NO_CLUSTER;
        break;
    case COVEY_EREFUSED:
    case COVEY_EVERSION:
        exit_status = STATUS_REFUSED;
        break;
    case COVEY_ETIMEOUT:
        exit_status = STATUS_TIMEOUT;
        break;
    default:
        break;
    }
    if (why && *why)
        return cli_fail(cli, exit_status, NULL, "%s: %s", covey_strerror(status), why);
    return cli_fail(cli, exit_status, NULL, "%s", covey_strerror(status));
}

int cli_no_cluster(const struct cli *cli, const struct places *p)
{
    char mend[128];
    bool is_default = strcmp(p->name, CLUSTER_DEFAULT) == 0;
    snprintf(mend, sizeof mend, "Start one: covey start%s%s", is_default ? "" : " --name ",
             is_default ? "" : p->name);
    return cli_fail(cli, STATUS_NO_CLUSTER, mend, "no cluster '%s' is running (looked in %s)",
                    p->name, p->dir);
}

void cli_say(const struct cli *cli, const char *format, ...)
{
    va_list ap;
    if (cli->quiet)
        return;
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
}

void cli_detail(const struct cli *cli, const char *format, ...)
{
    va_list ap;
    if (cli->verbose == 0)
        return;
    fputs("covey: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* ---- help ------------------------------------------------------------------------ */

static void print_option(const struct arg_option *o)
{
    char left[64];
    snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
             o->letter ? ", " : "  ", o->name, o->value ? " " : "", o->value ? o->value : "");
    printf("  %-24s %s\n", left, o->help);
}

static void print_help(const struct cli *cli, const struct arg_option *options)
{
    const struct command *c = cli->command;
    printf("usage: covey %s [OPTIONS]%s%s\n\n%s\n\noptions\n", c->name, *c->usage ? " " : "",
           c->usage, c->text);
    for (const struct arg_option *o = options; o->name; o++)
        print_option(o);
}

static void print_words(const struct arg_option *options)
{
    for (const struct arg_option *o = options; o->name; o++)
        printf("--%s%s\n", o->name, o->value ? "=" : "");
}

/* ---- parsing ------------------------------------------------------------------------ */

static bool known_color(const char *color)
{
    return !color || strcmp(color, "auto") == 0 || strcmp(color, "always") == 0 ||
           strcmp(color, "never") == 0;
}

static void common_options(struct cli *cli, struct arg_option out[COMMON_COUNT + 1])
{
    const struct arg_option common[COMMON_COUNT + 1] = {
        {"name", 0, ARG_TEXT, &cli->name, "NAME", "the cluster (default: $COVEY_NAME, else default)"},
        {"quiet", 'q', ARG_FLAG, &cli->quiet, NULL, "say only what was asked for, and errors"},
        {"verbose", 'v', ARG_COUNT, &cli->verbose, NULL, "tell how it goes"},
        {"color", 0, ARG_TEXT, &cli->color, "WHEN", "auto, always or never"},
        {"version", 0, ARG_FLAG, &cli->version, NULL, "print the version"},
        {"help", 'h', ARG_FLAG, &cli->help, NULL, "print this"},
        {0},
    };
    memcpy(out, common, sizeof common);
}

int cli_parse_first(struct cli *cli, int argc, char **argv)
{
    struct arg_option common[COMMON_COUNT + 1];
    char why[256];
    uint64_t given;
    common_options(cli, common);
    int words = args_parse(common, ARGS_PREFIX, argc - 1, argv + 1, &given, why, sizeof why);
    if (words < 0)
        cli_fail(cli, STATUS_USAGE, "See: covey --help", "%s", why);
    return words;
}

int cli_parse(struct cli *cli, const struct arg_option *options, enum args_order order, int argc,
              char **argv, int *words)
{
    struct arg_option all[OPTIONS_MAX + 1];
    size_t n = 0;
    for (; options[n].name; n++) {
        assert(n < OPTIONS_MAX - COMMON_COUNT);
        all[n] = options[n];
    }
    common_options(cli, all + n);
    if (cli->words) {
        print_words(all);
        return STATUS_OK;
    }
    char why[256], mend[64];
    snprintf(mend, sizeof mend, "See: covey %s --help", cli->command->name);
    *words = args_parse(all, order, argc - 1, argv + 1, &cli->given, why, sizeof why);
    if (*words < 0)
        return cli_fail(cli, STATUS_USAGE, mend, "%s", why);
    if (cli->help) {
        print_help(cli, all);
        return STATUS_OK;
    }
    if (cli->version) {
        printf("covey %s\n", COVEY_VERSION);
        return STATUS_OK;
    }
    if (!known_color(cli->color))
        return cli_fail(cli, STATUS_USAGE, mend, "--color: '%s' is not auto, always or never",
                        cli->color);
    return CLI_GO;
}

int cli_words(const struct cli *cli, int words, int min, int max)
{
    char mend[64];
    snprintf(mend, sizeof mend, "See: covey %s --help", cli->command->name);
    if (words < min)
        return cli_fail(cli, STATUS_USAGE, mend, "%s is missing", cli->command->usage);
    if (words > max && max == 0)
        return cli_fail(cli, STATUS_USAGE, mend, "takes no words, only options");
    if (words > max)
        return cli_fail(cli, STATUS_USAGE, mend, "too many words: expected %s", cli->command->usage);
    return CLI_GO;
}

int cli_places(const struct cli *cli, struct places *out)
{
    char why[256] = "";
    const char *address = getenv("COVEY_ADDRESS");
    covey_status status = !cli->name && address && *address
                              ? places_of_address(out, address, why, sizeof why)
                              : places_find(out, cli->name, why, sizeof why);
    if (status != COVEY_OK)
        return cli_fail(cli, STATUS_USAGE, NULL, "%s", why[0] ? why : covey_strerror(status));
    return CLI_GO;
}
