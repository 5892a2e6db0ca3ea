/* fuzz_set.c - any lines as settings of the command line on top of a sweep file.
 *
 * What is refused says which setting it was, or where in the file.  What is taken is a sweep
 * whose space has points.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "sweep/spec/spec.h"

#define SETS_MAX 16

static const char file[] =
    "method: random\nmetric: {name: loss}\ncommand: [./train, \"${args}\"]\nrun_cap: 9\n"
    "parameters:\n  lr: &rate {min: 0.0, max: 1.0}\n  decay: *rate\n  model.width: {values: [64, 128]}\n"
    "  model: {parameters: {depth: {min: 1, max: 9}, base: {<<: *rate, max: 2}}}\n"
    "covey: {scheduler: asha, count: 5, points: [{lr: 0.5}], resources: {cpus: 1}}\n";

/* The lines of @text, cut; how many. */
static size_t cut(char *text, const char **sets)
{
    char *save;
    size_t count = 0;
    for (char *line = strtok_r(text, "\n", &save); line && count < SETS_MAX; line = strtok_r(NULL, "\n", &save))
        sets[count++] = line;
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[1024] = "", limit_why[1024] = "";
    const char *sets[SETS_MAX + 1] = {NULL};
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = 0;
    size_t count = cut(text, sets);
    struct spec *spec = spec_read_with("fuzz.yaml", file, sizeof file - 1, sets, NULL, NULL, why, sizeof why);
    if (spec)
        FUZZ_CHECK(spec->space.count >= 1 && space_size(&spec->space) >= 1);
    else
        FUZZ_CHECK(strncmp(why, "--set ", 6) == 0 || strncmp(why, "fuzz.yaml:", 10) == 0);
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(spec_set_is_limit(sets[i], limit_why, sizeof limit_why) || strncmp(limit_why, "--set ", 6) == 0);
    spec_free(&spec);
    free(text);
    return 0;
}
