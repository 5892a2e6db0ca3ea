/* cmd_sweep_preview.c - what covey sweep preview shows of a file besides its plan. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd_sweep.h"
#include "sweep/spec/command.h"
#include "sweep/spec/draft.h"

void sweep_preview_metric(const struct spec *spec)
{
    if (!spec->metric.name)
        return;
    if (strcmp(spec->metric.name, DRAFT_METRIC) == 0)
        fprintf(stderr, "warning: %s: metric.name is still to be filled in\n", spec->file);
    printf("metric     %s, %s\n", spec->metric.name, spec->metric.maximize ? "maximize" : "minimize");
}

/* A word as a shell would have to be given it. */
static void print_word(const char *word)
{
    if (*word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%")]) {
        printf(" %s", word);
        return;
    }
    fputs(" '", stdout);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*word);
    putchar('\'');
}

bool sweep_preview_command(const struct spec *spec, char *why, size_t why_size)
{
    char **argv = command_example(spec, "DIR/trials/0000/params.json", why, why_size);
    if (argv)
        printf("such as   ");
    for (size_t i = 0; argv && argv[i]; i++)
        print_word(argv[i]);
    if (argv)
        printf("\n");
    bool ok = argv != NULL;
    command_free(argv);
    return ok;
}
