/* fuzz_help.c - any bytes as what a program's --help printed.
 *
 * What is read keeps the bounds of its header, and the sweep file that is drafted
 * of it is one that is taken: with as many parameters as were said, and without
 * warnings.
 */
#include "fuzz.h"

#include <string.h>

#include "sweep/spec/draft.h"
#include "sweep/spec/spec.h"

static bool is_text(const char *text, size_t size) { return memchr(text, 0, size) != NULL; }

static void check_option(const struct help_option *o)
{
    static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    FUZZ_CHECK(is_text(o->name, sizeof o->name) && o->name[0]);
    FUZZ_CHECK(o->name[strspn(o->name, name_chars)] == 0);
    FUZZ_CHECK(is_text(o->off, sizeof o->off) && o->off[strspn(o->off, name_chars)] == 0);
    FUZZ_CHECK(is_text(o->standard, sizeof o->standard) && is_text(o->text, sizeof o->text));
    FUZZ_CHECK(!strchr(o->text, '\n') && o->type <= HELP_BOOL);
    FUZZ_CHECK(o->choice_count <= HELP_CHOICES_MAX && (o->choice_count == 0 || o->takes_value || o->text[0] != 0));
    for (size_t i = 0; i < o->choice_count; i++)
        FUZZ_CHECK(is_text(o->choices[i], sizeof o->choices[i]) && o->choices[i][0]);
}

static void on_warning(const char *text, void *arg)
{
    (void)arg;
    fprintf(stderr, "%s\n", text);
    abort();
}

static void check_draft(const struct help *help)
{
    static const char *const args[] = {NULL};
    struct draft_opts opts = {.program = "train.py", .args = args, .file = "sweep.yaml"};
    struct text t = TEXT_NONE;
    char why[1024] = "";
    int params = draft_write(&t, &opts, help);
    if (params < 1) {
        text_fini(&t);
        return;
    }
    struct spec *spec = spec_read("sweep.yaml", t.data, t.len, on_warning, NULL, why, sizeof why);
    if (!spec)
        fprintf(stderr, "%s\n%s", why, t.data);
    FUZZ_CHECK(spec != NULL);
    FUZZ_CHECK(spec->space.count == (size_t)params);
    FUZZ_CHECK(strcmp(spec->metric.name, DRAFT_METRIC) == 0 && spec->run_cap > 0);
    spec_free(&spec);
    text_fini(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct help help;
    help_read(&help, (const char *)data, size);
    FUZZ_CHECK(help.count <= HELP_OPTIONS_MAX && help.word_count <= HELP_WORDS_MAX);
    for (size_t i = 0; i < help.count; i++) {
        check_option(&help.options[i]);
        for (size_t k = 0; k < i; k++)
            FUZZ_CHECK(strcmp(help.options[k].name, help.options[i].name) != 0 &&
                       strcmp(help.options[k].off, help.options[i].name) != 0);
    }
    check_draft(&help);
    return 0;
}
