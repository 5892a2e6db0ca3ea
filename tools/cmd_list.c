/* cmd_list.c - covey list: tasks, workers, objects, nodes, a line each. */
#include <stdlib.h>

#include "base/nearest.h"
#include "cmd.h"
#include "core/rows.h"
#include "listing.h"

#define LIMIT_DEFAULT 100

static const struct list_kind {
    const char *name;
    enum query_what what;
    const char *states;         /* blank-separated; what --state may say */
} kinds[] = {
    {"tasks", QUERY_TASKS, "waiting queued pushed revoking paused local done failed cancelled"},
    {"workers", QUERY_WORKERS, "starting idle running blocked ending"},
    {"objects", QUERY_OBJECTS, "sealed adopted"},
    {"nodes", QUERY_NODES, "alive suspect"},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static int find_kind(const struct cli *cli, const char *typed, const struct list_kind **out)
{
    const char *names[KINDS + 1] = {NULL};
    for (size_t i = 0; i < KINDS; i++) {
        names[i] = kinds[i].name;
        if (strcmp(kinds[i].name, typed) == 0) {
            *out = &kinds[i];
            return CLI_GO;
        }
    }
    const char *near = nearest_word(typed, names);
    return cli_fail(cli, STATUS_USAGE, "See: covey list --help", "there is no list of '%s'%s%s%s",
                    typed, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* Is @state one of the blank-separated @states? */
static bool has_state(const char *states, const char *state)
{
    size_t len = strlen(state);
    for (const char *at = states; *at; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");
        if (word == len && memcmp(at, state, len) == 0)
            return true;
        at += word;
    }
    return false;
}

/* Names carry units, so the name says what a column is. */
static enum column_type type_of(const char *name)
{
    static const char *const numbers[] = {"attempt", "pid", "tasks", "cpus", "cpus_free", "gpus",
                                          "gpus_free", "workers", "run_ms", "end_unix_ms"};
    size_t len = strlen(name);
    if (len > 6 && strcmp(name + len - 6, "_bytes") == 0)
        return COLUMN_BYTES;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(name, numbers[i]) == 0)
            return COLUMN_NUMBER;
    return COLUMN_TEXT;
}

static void on_row(void *ctx, const char *const *cells, uint32_t columns)
{
    listing_row(ctx, cells, columns);
}

static int list(const struct cli *cli, struct query *query, const struct list_kind *kind,
                const struct query_request *request, bool json)
{
    struct column columns[QUERY_COLUMNS_MAX];
    struct rows_table table = rows_table_of(kind->what);
    char schema[64];
    uint64_t dropped = 0;
    assert(table.columns <= QUERY_COLUMNS_MAX);
    for (uint32_t i = 0; i < table.columns; i++)
        columns[i] = (struct column){table.names[i], type_of(table.names[i])};
    snprintf(schema, sizeof schema, "covey.list-%s/1", kind->name);
    struct listing *listing = listing_open(stdout, schema, columns, table.columns, json);
    if (!listing)
        return cli_fail_status(cli, COVEY_ENOMEM, "");
    covey_status result = query_ask(query, request, QUERY_ANSWER_MS, on_row, listing, &dropped);
    bool shown = listing_close(&listing);
    if (result != COVEY_OK)
        return cli_fail_status(cli, result, query_why(query));
    if (dropped && !cli->quiet)
        fprintf(stderr, "covey list: %llu more are not shown; --limit N shows more of those that "
                "are remembered\n", (unsigned long long)dropped);
    return shown ? STATUS_OK : cli_fail(cli, STATUS_WORK, NULL, "the list could not be written");
}

int cmd_list(struct cli *cli, int argc, char **argv)
{
    bool json = false;
    const char *state = NULL;
    uint64_t limit = LIMIT_DEFAULT;
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &json, NULL, "one JSON object a line"},
        {"state", 0, ARG_TEXT, &state, "STATE", "only those in this state"},
        {"limit", 0, ARG_UINT, &limit, "N", "at most N lines (default: 100)"},
        {0},
    };
    const struct list_kind *kind = NULL;
    struct places p;
    struct query *query;
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 1, 1);
    if (status == CLI_GO)
        status = find_kind(cli, argv[1], &kind);
    if (status == CLI_GO && (limit == 0 || limit > ROWS_LIMIT_MAX))
        status = cli_fail(cli, STATUS_USAGE, NULL, "--limit must be 1 to %u", ROWS_LIMIT_MAX);
    if (status == CLI_GO && state && !has_state(kind->states, state))
        status = cli_fail(cli, STATUS_USAGE, NULL, "--state: '%s' is no state of %s; there are %s",
                          state, kind->name, kind->states);
    if (status == CLI_GO)
        status = cli_query(cli, &p, &query);
    if (status != CLI_GO)
        return status;
    const struct query_request request = {
        .to = query_node(query), .what = kind->what, .limit = (uint32_t)limit, .state = state,
    };
    status = list(cli, query, kind, &request, json);
    query_close(&query);
    return status;
}
