/* settings.c - see settings.h for the contract. */
#include "sweep/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/sweep.h"

/* "KEY=VALUE" into @out, which is then one of the lines; 0 says nothing. */
static void add_number(char *out, size_t size, const char *key, uint64_t value, const char ***end)
{
    if (value == 0)
        return;
    snprintf(out, size, "%s=%llu", key, (unsigned long long)value);
    *(*end)++ = out;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    for (; text && *text; text++)
        count += *text == '\n';
    return count;
}

covey_status settings_gather(struct settings *s, char *kept, const covey_sweep_opts *opts, bool resumes)
{
    char why[1024], *save = NULL;
    size_t given = 0;
    while (opts->set && opts->set[given])
        given++;
    *s = (struct settings){.kept = kept, .lines = calloc(count_lines(kept) + given + 4, sizeof *s->lines)};
    if (!s->lines)
        return sweep_fail(COVEY_ENOMEM, "out of memory");
    const char **end = s->lines;
    for (char *line = kept ? strtok_r(kept, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
        *end++ = line;
    add_number(s->run_cap, sizeof s->run_cap, "run_cap", opts->count, &end);
    add_number(s->parallel, sizeof s->parallel, "parallel", opts->parallel, &end);
    for (size_t i = 0; i < given; i++) {
        if (resumes && !spec_set_is_limit(opts->set[i], why, sizeof why))
            return sweep_fail(COVEY_EINVAL, "%s", why);
        *end++ = opts->set[i];
    }
    return COVEY_OK;
}

void settings_print(const struct settings *s, struct text *out)
{
    for (size_t i = 0; s->lines[i]; i++)
        text_printf(out, "%s\n", s->lines[i]);
}

void settings_fini(struct settings *s)
{
    free(s->kept);
    free(s->lines);
    *s = SETTINGS_NONE;
}
