/* command.c - see command.h for the contract.
 *
 * As W&B's agent has it, a nested mapping of parameters is one argument, whose
 * value is the mapping as Python prints it.  It is built from the same JSON that
 * ${args_json} hands over.
 */
#include "sweep/spec/command.h"

#include <assert.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"

#define ENVVAR "${envvar:"
#define PATH_BYTES_MAX 4096

const char *const command_default[] = {"${env}", "${interpreter}", "${program}", "${args}", NULL};

enum macro {
    MACRO_ENV, MACRO_INTERPRETER, MACRO_PROGRAM, MACRO_ARGS, MACRO_NO_EQUALS, MACRO_NO_HYPHENS,
    MACRO_NO_BOOLEAN_FLAGS, MACRO_JSON, MACRO_JSON_FILE, MACRO_APPEND_HYDRA, MACRO_OVERRIDE_HYDRA,
    MACRO_NONE,
};

static const char *const macros[] = {
    [MACRO_ENV] = "${env}", [MACRO_INTERPRETER] = "${interpreter}", [MACRO_PROGRAM] = "${program}",
    [MACRO_ARGS] = "${args}", [MACRO_NO_EQUALS] = "${args_no_equals}",
    [MACRO_NO_HYPHENS] = "${args_no_hyphens}", [MACRO_NO_BOOLEAN_FLAGS] = "${args_no_boolean_flags}",
    [MACRO_JSON] = "${args_json}", [MACRO_JSON_FILE] = "${args_json_file}",
    [MACRO_APPEND_HYDRA] = "${args_append_hydra}", [MACRO_OVERRIDE_HYDRA] = "${args_override_hydra}",
    NULL,
};

static enum macro find_macro(const char *element)
{
    for (unsigned i = 0; i < MACRO_NONE; i++)
        if (strcmp(element, macros[i]) == 0)
            return (enum macro)i;
    return MACRO_NONE;
}

/* ${...} and nothing before, behind or twice. */
static bool is_one_macro(const char *element)
{
    size_t len = strlen(element);
    return len >= 3 && strncmp(element, "${", 2) == 0 && strchr(element, '}') == element + len - 1 &&
           !strstr(element + 2, "${");
}

bool command_check(const char *element, char *why, size_t why_size)
{
    bool known = find_macro(element) != MACRO_NONE ||
                 (strncmp(element, ENVVAR, strlen(ENVVAR)) == 0 && strlen(element) > strlen(ENVVAR) + 1);
    if (!is_one_macro(element) || known)
        return true;
    const char *near = nearest_word(element, macros);
    if (near)
        snprintf(why, why_size, "'%.60s' is no macro; did you mean %s?", element, near);
    else
        snprintf(why, why_size, "'%.60s' is no macro; there are ${env}, ${interpreter}, ${program}, "
                 "${args} with its kin, ${envvar:NAME}", element);
    return false;
}

/* ---- the list that is built ------------------------------------------------------- */

struct builder {
    const struct spec *spec;
    struct json_object *params; /* of the point */
    const char *json, *json_file;
    char **argv;                /* owned */
    size_t count, cap;
    char *why;
    size_t why_size;
};

static bool fail_memory(struct builder *b)
{
    snprintf(b->why, b->why_size, "out of memory");
    return false;
}

/* Takes @word, which may be NULL: out of memory. */
static bool add_taken(struct builder *b, char *word)
{
    if (b->count + 1 >= b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 16;
        char **argv = word ? realloc(b->argv, cap * sizeof(char *)) : NULL;
        if (!argv) {
            free(word);
            return fail_memory(b);
        }
        b->argv = argv;
        b->cap = cap;
    }
    b->argv[b->count] = word;
    b->argv[b->count + 1] = NULL;
    b->count += word != NULL;
    return word || fail_memory(b);
}

static bool add_word(struct builder *b, const char *word)
{
    return add_taken(b, strdup(word));
}

/* Takes what is in @t. */
static bool add_text(struct builder *b, struct text *t)
{
    const char *text = text_get(t);
    bool ok = text ? add_word(b, text) : fail_memory(b);
    text_fini(t);
    return ok;
}

/* ---- parameters ------------------------------------------------------------------- */

static bool add_param(struct builder *b, enum macro macro, const char *name, const struct value *v)
{
    static const char *const before[MACRO_NONE] = {
        [MACRO_ARGS] = "--", [MACRO_NO_EQUALS] = "--", [MACRO_NO_HYPHENS] = "",
        [MACRO_NO_BOOLEAN_FLAGS] = "--", [MACRO_APPEND_HYDRA] = "+", [MACRO_OVERRIDE_HYDRA] = "++",
    };
    struct text t = TEXT_NONE;
    assert(before[macro]);
    bool flag = macro == MACRO_NO_BOOLEAN_FLAGS && v->kind == VALUE_BOOL;
    if (flag && !v->b)
        return true;
    text_printf(&t, "%s%s", before[macro], name);
    if (macro == MACRO_NO_EQUALS && !add_text(b, &t))
        return false;
    if (macro != MACRO_NO_EQUALS && !flag)
        text_puts(&t, "=");
    if (!flag)
        value_print_python(&t, v);
    return add_text(b, &t);
}

static bool add_params(struct builder *b, enum macro macro)
{
    json_object_object_foreach(b->params, name, json) {
        struct value v;
        if (!value_from_json(&v, json))
            return fail_memory(b);
        bool ok = add_param(b, macro, name, &v);
        value_fini(&v);
        if (!ok)
            return false;
    }
    return true;
}

/* ---- the program ------------------------------------------------------------------- */

static bool is_executable(const char *directory, const char *name, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%s", directory, name);
    return n > 0 && (size_t)n < size && access(out, X_OK) == 0;
}

static bool is_in_path(const char *name)
{
    const char *path = getenv("PATH");
    char directory[PATH_BYTES_MAX], file[PATH_BYTES_MAX];
    for (size_t len; path && *path; path += len + (path[len] == ':')) {
        len = strcspn(path, ":");
        if (len == 0 || len >= sizeof(directory))
            continue;
        memcpy(directory, path, len);
        directory[len] = 0;
        if (is_executable(directory, name, file, sizeof(file)))
            return true;
    }
    return false;
}

const char *command_interpreter(void)
{
    static const char *const variables[] = {"VIRTUAL_ENV", "CONDA_PREFIX"};
    static char found[PATH_BYTES_MAX];
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        const char *environment = getenv(variables[i]);
        if (environment && *environment && is_executable(environment, "bin/python", found, sizeof(found)))
            return found;
    }
    return is_in_path("python3") || !is_in_path("python") ? "python3" : "python";
}

/* A program of another kind needs no interpreter. */
static bool runs_by_itself(const char *program)
{
    const char *dot = program ? strrchr(program, '.') : NULL;
    return program && !(dot && strcmp(dot, ".py") == 0) && access(program, X_OK) == 0;
}

/* ---- expansion --------------------------------------------------------------------- */

/* Text with each ${envvar:NAME} replaced, and everything else as it is. */
static bool add_expanded(struct builder *b, const char *element)
{
    struct text t = TEXT_NONE;
    for (;;) {
        const char *at = strstr(element, ENVVAR);
        const char *name = at ? at + strlen(ENVVAR) : NULL;
        const char *end = at ? strchr(name, '}') : NULL;
        char variable[256];
        if (!end) {
            text_puts(&t, element);
            return add_text(b, &t);
        }
        int n = snprintf(variable, sizeof(variable), "%.*s", (int)(end - name), name);
        const char *value = n > 0 && (size_t)n < sizeof(variable) ? getenv(variable) : NULL;
        if (!value) {
            snprintf(b->why, b->why_size, "%s%.100s}: the environment has no such variable", ENVVAR,
                     variable);
            text_fini(&t);
            return false;
        }
        text_add(&t, element, (size_t)(at - element));
        text_puts(&t, value);
        element = end + 1;
    }
}

static bool add_element(struct builder *b, const char *element)
{
    const char *program = b->spec->program;
    enum macro macro = find_macro(element);
    switch (macro) {
    case MACRO_ENV:         return add_word(b, "/usr/bin/env");
    case MACRO_INTERPRETER: return runs_by_itself(program) || add_word(b, command_interpreter());
    case MACRO_JSON:        return add_word(b, b->json);
    case MACRO_JSON_FILE:   return add_word(b, b->json_file);
    case MACRO_NONE:        return add_expanded(b, element);
    case MACRO_PROGRAM:
        if (program)
            return add_word(b, program);
        snprintf(b->why, b->why_size, "the command has ${program}, and the file no `program`");
        return false;
    default:
        return add_params(b, macro);
    }
}

char **command_expand(const struct spec *spec, const double *x, const char *json_file, char *why,
                      size_t why_size)
{
    struct text json = TEXT_NONE;
    struct builder b = {.spec = spec, .json_file = json_file, .why = why, .why_size = why_size};
    space_print_json(&json, &spec->space, x);
    b.json = text_get(&json);
    b.params = b.json ? json_tokener_parse(b.json) : NULL;
    bool ok = b.params || fail_memory(&b);
    for (size_t i = 0; ok && spec->command[i]; i++)
        ok = add_element(&b, spec->command[i]);
    if (ok && b.count == 0) {
        snprintf(why, why_size, "the command is empty");
        ok = false;
    }
    json_object_put(b.params);
    text_fini(&json);
    if (!ok) {
        command_free(b.argv);
        return NULL;
    }
    return b.argv;
}

char **command_example(const struct spec *spec, const char *json_file, char *why, size_t why_size)
{
    const struct space *space = &spec->space;
    double *x = calloc(space->count + 1, sizeof *x);
    for (size_t i = 0; x && i < space->count; i++)
        x[i] = space_is_active(space, x, i) ? param_quantile(&space->params[i], 0.5) : NAN;
    char **argv = x ? command_expand(spec, x, json_file, why, why_size) : NULL;
    if (!x)
        snprintf(why, why_size, "out of memory");
    free(x);
    return argv;
}

void command_free(char **argv)
{
    for (size_t i = 0; argv && argv[i]; i++)
        free(argv[i]);
    free(argv);
}

bool command_needs_json_file(const struct spec *spec)
{
    for (size_t i = 0; spec->command[i]; i++)
        if (find_macro(spec->command[i]) == MACRO_JSON_FILE)
            return true;
    return false;
}
