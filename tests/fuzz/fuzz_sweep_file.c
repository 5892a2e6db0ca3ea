/* fuzz_sweep_file.c - any bytes as a sweep file.
 *
 * What is refused has a message with the file's name.  What is taken holds
 * what the headers promise: parents before children, bounds in order, choices,
 * probabilities that sum to 1, points inside the space; a point printed as JSON
 * is read back as the same point, and the command line can be made of it.
 */
#include "fuzz.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

#include "sweep/spec/command.h"

static void on_warning(const char *text, void *arg)
{
    FUZZ_CHECK(strncmp(text, "fuzz.yaml:", 10) == 0);
    ++*(unsigned *)arg;
}

static void check_param(const struct space *s, size_t i)
{
    const struct param *p = &s->params[i];
    FUZZ_CHECK(p->path_len >= 1 && p->path_len <= SPACE_DEPTH_MAX);
    FUZZ_CHECK(p->parent < (int)i);
    FUZZ_CHECK((p->parent >= 0) == (p->when != NULL));
    FUZZ_CHECK(p->parent < 0 || s->params[p->parent].distribution == DIST_CHOICE);
    if (p->distribution == DIST_CHOICE) {
        double sum = 0;
        FUZZ_CHECK(p->count >= 1 && p->count <= SPACE_CHOICES_MAX);
        for (size_t k = 0; p->probabilities && k < p->count; k++)
            sum += p->probabilities[k];
        FUZZ_CHECK(!p->probabilities || fabs(sum - 1) < 1e-9);
    } else if (p->distribution == DIST_NORMAL || p->distribution == DIST_LOG_NORMAL) {
        FUZZ_CHECK(isfinite(p->mu) && isfinite(p->sigma) && p->sigma > 0);
    } else if (p->distribution == DIST_BETA) {
        FUZZ_CHECK(isfinite(p->a) && p->a > 0 && isfinite(p->b) && p->b > 0);
    } else {
        FUZZ_CHECK(isfinite(p->low) && isfinite(p->high) && p->low <= p->high);
        FUZZ_CHECK(p->distribution == DIST_UNIFORM || p->low > 0);
    }
    FUZZ_CHECK(p->quantum >= 0 && isfinite(p->quantum));
}

/* Some point of the space, which the input's length chooses. */
static void choose_point(const struct space *s, size_t size, double *x)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct param *p = &s->params[i];
        x[i] = NAN;
        if (!space_is_active(s, x, i))
            continue;
        switch (p->distribution) {
        case DIST_CHOICE: x[i] = (double)(size % p->count); break;
        case DIST_UNIFORM:
        case DIST_LOG_UNIFORM:
        case DIST_INV_LOG_UNIFORM: x[i] = p->low; break;
        default: x[i] = 1;
        }
    }
}

static void check_json(const struct space *s, const double *x)
{
    static double again[SPACE_PARAMS_MAX];
    struct text t = TEXT_NONE;
    char why[256];
    space_print_json(&t, s, x);
    struct json_object *json = json_tokener_parse(text_get(&t));
    FUZZ_CHECK(json != NULL);
    FUZZ_CHECK(space_read_json(s, json, again, why, sizeof why));
    for (size_t i = 0; i < s->count; i++)
        FUZZ_CHECK(x[i] == again[i] || (isnan(x[i]) && isnan(again[i])));
    json_object_put(json);
    text_fini(&t);
}

static void check_spec(const struct spec *spec, size_t size)
{
    static double x[SPACE_PARAMS_MAX];
    char why[512] = "";
    FUZZ_CHECK(spec->space.count >= 1 && spec->space.count <= SPACE_PARAMS_MAX);
    FUZZ_CHECK(spec->resource_count <= SPEC_RESOURCES_MAX);
    for (size_t i = 0; i < spec->space.count; i++)
        check_param(&spec->space, i);
    FUZZ_CHECK(space_size(&spec->space) >= 1);
    choose_point(&spec->space, size, x);
    check_json(&spec->space, x);
    char **argv = command_expand(spec, x, "params.json", why, sizeof why);
    FUZZ_CHECK(argv ? argv[0] != NULL : why[0] != 0);
    command_free(argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[1024] = "";
    unsigned warnings = 0;
    struct spec *spec = spec_read("fuzz.yaml", (const char *)data, size, on_warning, &warnings, why, sizeof why);
    if (spec)
        check_spec(spec, size);
    else
        FUZZ_CHECK(strncmp(why, "fuzz.yaml:", 10) == 0);
    spec_free(&spec);
    return 0;
}
