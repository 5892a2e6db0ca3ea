/* cmd_status.c - covey status: what runs here and what is free. */
#include <stdlib.h>

#include "cmd.h"
#include "core/rows.h"
#include "listing.h"

#define STATUS_PAIRS_MAX 64
#define STATUS_TEXT_MAX 96

struct pairs {
    uint32_t count;
    struct pair { char key[STATUS_TEXT_MAX], value[STATUS_TEXT_MAX]; } pair[STATUS_PAIRS_MAX];
};

static void on_pair(void *ctx, const char *const *cells, uint32_t columns)
{
    struct pairs *pairs = ctx;
    if (columns < ROWS_STATUS_COLUMNS || pairs->count == STATUS_PAIRS_MAX)
        return;
    struct pair *pair = &pairs->pair[pairs->count++];
    snprintf(pair->key, sizeof pair->key, "%s", cells[0]);
    snprintf(pair->value, sizeof pair->value, "%s", cells[1]);
}

static const char *value_of(const struct pairs *pairs, const char *key)
{
    for (uint32_t i = 0; i < pairs->count; i++)
        if (strcmp(pairs->pair[i].key, key) == 0)
            return pairs->pair[i].value;
    return "?";
}

static const char *size_of(const struct pairs *pairs, const char *key, char *out, size_t size)
{
    uint64_t bytes;
    return args_uint(value_of(pairs, key), &bytes) ? args_format_size(out, size, bytes) : "?";
}

static void print_json(const struct places *p, const struct pairs *pairs)
{
    printf("{\"schema\": \"covey.status/1\"}\n{\"cluster\": \"%s\", \"dir\": ", p->name);
    json_string(stdout, p->dir);
    printf(", \"head_pid\": %d, \"node_pid\": %d", cluster_shown_pid(p, PLACES_HEAD_PID),
           cluster_shown_pid(p, PLACES_NODE_PID));
    for (uint32_t i = 0; i < pairs->count; i++) {
        const struct pair *pair = &pairs->pair[i];
        fputs(", ", stdout);
        json_string(stdout, pair->key);
        fputs(": ", stdout);
        if (strcmp(pair->key, "name") == 0)     /* the only one that is no number */
            json_string(stdout, pair->value);
        else
            fputs(json_is_number(pair->value) ? pair->value : "null", stdout);
    }
    puts("}");
}

static void print_table(const struct cli *cli, const struct places *p, const struct pairs *v)
{
    char a[32], b[32], c[32];
    int head = cluster_shown_pid(p, PLACES_HEAD_PID);
    printf("%scluster '%s'%s  %s\n", cli_style(cli, stdout, STYLE_BOLD), p->name,
           cli_style_end(cli, stdout), p->dir);
    if (head)
        printf("  head     process %d\n", head);
    else
        printf("  head     %sdead%s: running tasks go on; covey stop and start mend it\n",
               cli_style(cli, stdout, STYLE_BAD), cli_style_end(cli, stdout));
    printf("  node     %s, process %d\n", value_of(v, "name"),
           cluster_shown_pid(p, PLACES_NODE_PID));
    printf("  CPUs     %s of %s free\n", value_of(v, "cpus_free"), value_of(v, "cpus"));
    if (strcmp(value_of(v, "gpus"), "0") != 0)
        printf("  GPUs     %s of %s free\n", value_of(v, "gpus_free"), value_of(v, "gpus"));
    printf("  memory   %s of %s free\n", size_of(v, "memory_free_bytes", a, sizeof a),
           size_of(v, "memory_bytes", b, sizeof b));
    printf("  store    %s of %s used, %s has pages\n", size_of(v, "store_used_bytes", a, sizeof a),
           size_of(v, "store_bytes", b, sizeof b), size_of(v, "store_populated_bytes", c, sizeof c));
    printf("  workers  %s, %s idle, at most %s\n", value_of(v, "workers"),
           value_of(v, "workers_idle"), value_of(v, "processes_max"));
    printf("  clients  %s\n", value_of(v, "clients"));
    printf("  leases   %s, %s wanted\n", value_of(v, "leases"), value_of(v, "leases_wanted"));
    printf("  tasks    %s finished, %s of them failed\n", value_of(v, "tasks_finished"),
           value_of(v, "tasks_failed"));
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
    static struct pairs pairs;
    bool json = false;
    const struct arg_option options[] = {
        {"json", 0, ARG_FLAG, &json, NULL, "one JSON object a line"},
        {0},
    };
    struct places p;
    struct query *query;
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 0, 0);
    if (status == CLI_GO)
        status = cli_query(cli, &p, &query);
    if (status != CLI_GO)
        return status;
    uint64_t dropped;
    const struct query_request request = {.to = query_node(query), .what = QUERY_STATUS};
    covey_status result = query_ask(query, &request, QUERY_ANSWER_MS, on_pair, &pairs, &dropped);
    if (result != COVEY_OK)
        status = cli_fail_status(cli, result, query_why(query));
    query_close(&query);
    if (status != CLI_GO)
        return status;
    if (json)
        print_json(&p, &pairs);
    else
        print_table(cli, &p, &pairs);
    return STATUS_OK;
}
