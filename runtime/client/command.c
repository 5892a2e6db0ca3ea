/* command.c - covey_submit_command(): a command becomes a task of the built-in
 * function COMMAND_TASK (worker/command.c) with these arguments:
 *
 *   argc, argv...   envc, env...   cwd or nil
 *   inputs, (name, value)...   outputs, name...   stdin   flags   log   report_env
 *
 * Its grace is the task's (task_spec).
 */
#include <stdio.h>
#include <stdlib.h>

#include "client/submit.h"
#include "io/mono.h"
#include "worker/command.h"

static size_t count_strings(const char *const *strings)
{
    size_t n = 0;
    while (strings && strings[n])
        n++;
    return n;
}

static bool add_strings(covey_arg *args, size_t *at, const char *const *strings, size_t n)
{
    args[(*at)++] = covey_arg_u64_(n);
    for (size_t i = 0; i < n; i++) {
        /* Bytes, not text: file names and arguments need not be UTF-8. */
        args[(*at)++] = covey_span(strings[i], strlen(strings[i]), 0);
    }
    return true;
}

/* A file name that stays inside the command's directory. */
static bool name_ok(const char *name)
{
    if (!*name || name[0] == '/' || strlen(name) > COMMAND_NAME_MAX)
        return false;
    for (const char *at = name; *at;) {
        size_t len = strcspn(at, "/");
        if (len == 0 || (len == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += len + (at[len] == '/');
    }
    return true;
}

static bool check(struct encoding *e, const covey_command *cmd, size_t inputs, size_t outputs)
{
    if (!cmd->argv || !cmd->argv[0] || !*cmd->argv[0])
        return encoding_fail(e, COVEY_EINVAL, "argv is empty");
    if (outputs > COMMAND_FILES_MAX || inputs > COMMAND_FILES_MAX)
        return encoding_fail(e, COVEY_ELIMIT, "more than %d input or output files", COMMAND_FILES_MAX);
    if (inputs && !cmd->inputs)
        return encoding_fail(e, COVEY_EINVAL, "%zu input names and no inputs", inputs);
    if (cmd->stdin_size && !cmd->stdin_data)
        return encoding_fail(e, COVEY_EINVAL, "%zu bytes of standard input at NULL", cmd->stdin_size);
    if (cmd->grace_ms < 0)
        return encoding_fail(e, COVEY_EINVAL, "grace_ms = %lld is negative", (long long)cmd->grace_ms);
    if (cmd->report_env && strchr(cmd->report_env, '='))
        return encoding_fail(e, COVEY_EINVAL, "report_env = \"%.100s\" is no name of a variable", cmd->report_env);
    for (size_t i = 0; i < inputs; i++)
        if (!name_ok(cmd->input_names[i]))
            return encoding_fail(e, COVEY_EINVAL, "input name \"%.100s\" leaves the command's directory, or is longer "
                                 "than %d bytes", cmd->input_names[i], COMMAND_NAME_MAX);
    for (size_t i = 0; i < outputs; i++)
        if (!name_ok(cmd->outputs[i]))
            return encoding_fail(e, COVEY_EINVAL, "output name \"%.100s\" leaves the command's directory, or is longer "
                                 "than %d bytes", cmd->outputs[i], COMMAND_NAME_MAX);
    return true;
}

static covey_ref submit(covey *c, struct encoding *e, const covey_command *cmd, const covey_opts *opts)
{
    size_t argc = count_strings(cmd->argv), envc = count_strings(cmd->env);
    size_t inputs = count_strings(cmd->input_names), outputs = count_strings(cmd->outputs);
    covey_ref none = {0, 0};
    if (!check(e, cmd, inputs, outputs))
        return none;
    covey_arg *args = malloc((argc + envc + 2 * inputs + outputs + 10) * sizeof(*args));
    if (!args) {
        encoding_fail(e, COVEY_ENOMEM, "out of memory");
        return none;
    }
    size_t n = 0;
    add_strings(args, &n, cmd->argv, argc);
    add_strings(args, &n, cmd->env, envc);
    args[n++] = cmd->cwd ? covey_span(cmd->cwd, strlen(cmd->cwd), 0) : covey_arg_str_(NULL);
    args[n++] = covey_arg_u64_(inputs);
    for (size_t i = 0; i < inputs; i++) {
        args[n++] = covey_span(cmd->input_names[i], strlen(cmd->input_names[i]), 0);
        args[n++] = cmd->inputs[i];
    }
    add_strings(args, &n, cmd->outputs, outputs);
    args[n++] = covey_span(cmd->stdin_data, cmd->stdin_size, 0);
    args[n++] = covey_arg_u64_((cmd->show ? COMMAND_SHOW : 0) | (cmd->any_exit ? COMMAND_ANY_EXIT : 0) |
                               (cmd->report_stdout ? COMMAND_REPORT_STDOUT : 0));
    args[n++] = covey_span(cmd->log ? cmd->log : "", cmd->log ? strlen(cmd->log) : 0, 0);
    args[n++] = covey_span(cmd->report_env ? cmd->report_env : "", cmd->report_env ? strlen(cmd->report_env) : 0, 0);
    e->grace_ms = cmd->grace_ms;
    struct signature any;
    char why[8];
    (void)signature_parse(COMMAND_SIGNATURE, &any, why, sizeof(why));
    e->signature_text = COMMAND_SIGNATURE;
    covey_ref ref = none;
    covey_opts o = {.size = sizeof(o)};
    if (opts && opts->size <= sizeof(o))
        memcpy(&o, opts, opts->size);
    if (!o.name) {
        const char *slash = strrchr(cmd->argv[0], '/');
        o.name = slash ? slash + 1 : cmd->argv[0];
    }
    if (encode_args(c, e, &any, (covey_args){n, args, NULL}))
        ref = submit_encoded(c, e, COMMAND_TASK, (uint32_t)(3 + outputs), opts && opts->size > sizeof(o) ? opts : &o);
    free(args);
    return ref;
}

covey_ref covey_submit_command(covey *c, const covey_command *command, const covey_opts *opts)
{
    covey_ref ref = {0, 0};
    if (process_enter(c) != COVEY_OK)
        return ref;
    c->now = mono_ns();
    struct encoding e = {.status = COVEY_OK};
    covey_command cmd = {0};
    if (!command || command->size < offsetof(covey_command, env) || command->size > sizeof(cmd)) {
        encoding_fail(&e, COVEY_EINVAL, "the command's size is not set; use .size = sizeof(covey_command)");
    } else {
        memcpy(&cmd, command, command->size);
        ref = submit(c, &e, &cmd, opts);
    }
    if (!ref.generation) {
        char why[WHY_MAX];
        snprintf(why, sizeof(why), "the command was not submitted: %s: %s", covey_strerror(e.status), e.why);
        ref = owner_failed(c->owner, e.status == COVEY_OK ? COVEY_ENOMEM : e.status, why);
    }
    encoding_end(c, &e);
    submit_after(c);
    process_leave(c);
    return ref;
}
