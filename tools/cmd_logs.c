/* cmd_logs.c - covey logs ID: what a worker or a task printed, and prints on; what
 * the daemons tell.
 *
 * The node answers with the last lines.  To follow a worker, its file is read,
 * which is on this machine: the node writes whole lines, and puts a full file
 * aside (node/logs.h), so a file that is another one now is read to its end
 * first.  To follow a task, the node is asked again for what stands behind the
 * last line (core/rows.h), since which bytes are the task's only the node knows.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cmd.h"
#include "core/rows.h"
#include "io/mono.h"

#define LIMIT_DEFAULT 1000
#define FOLLOW_MS 100           /* between two looks at the file */
#define ALIVE_MS 1000           /* between two questions whether the worker lives, the task runs */
#define MISSED_MAX 3            /* such questions that found no task */

struct search {
    const char *id;
    char found[32];             /* the task's state, the worker; "" if there is none */
};

static bool is_worker_id(const char *id)
{
    uint64_t number;
    return id[0] == 'w' && args_uint(id + 1, &number) && number > 0 && number <= UINT32_MAX;
}

static bool is_task_id(const char *id)
{
    unsigned proc;
    unsigned long long number;
    int len = 0;
    return sscanf(id, "t%u.%llu%n", &proc, &number, &len) == 2 && id[len] == 0;
}

/* ---- whether it is known ------------------------------------------------------------------- */

/* Columns by rows.h: a task's id is the first, its state the second. */
enum { TASK_ID_COLUMN = 0, TASK_STATE_COLUMN = 1 };

static void on_task(void *ctx, const char *const *cells, uint32_t columns)
{
    struct search *s = ctx;
    if (columns > TASK_STATE_COLUMN && strcmp(cells[TASK_ID_COLUMN], s->id) == 0 && !s->found[0])
        snprintf(s->found, sizeof s->found, "%s", cells[TASK_STATE_COLUMN]);
}

static void on_worker(void *ctx, const char *const *cells, uint32_t columns)
{
    struct search *s = ctx;
    if (columns > 0 && strcmp(cells[0], s->id) == 0)
        snprintf(s->found, sizeof s->found, "%s", cells[0]);
}

static covey_status search(struct query *query, enum query_what what, query_row_fn fn,
                           struct search *s)
{
    uint64_t dropped;
    const struct query_request request = {.to = query_node(query), .what = what,
                                          .limit = ROWS_LIMIT_MAX};
    s->found[0] = 0;
    return query_ask(query, &request, QUERY_ANSWER_MS, fn, s, &dropped);
}

static int check_known(const struct cli *cli, struct query *query, const char *id)
{
    struct search s = {.id = id};
    if (is_worker_id(id))
        return CLI_GO;
    covey_status result = search(query, QUERY_TASKS, on_task, &s);
    if (result != COVEY_OK)
        return cli_fail_status(cli, result, query_why(query));
    if (!s.found[0])
        return cli_fail(cli, STATUS_WORK, "covey list tasks shows those that are remembered.",
                        "no task %s is known", id);
    return CLI_GO;
}

static bool is_alive(struct query *query, const char *worker)
{
    struct search s = {.id = worker};
    return search(query, QUERY_WORKERS, on_worker, &s) == COVEY_OK && s.found[0];
}

enum task_life { TASK_LIVES, TASK_HAS_ENDED, TASK_NOT_FOUND };

static enum task_life task_life(struct query *query, const char *task)
{
    struct search s = {.id = task};
    if (search(query, QUERY_TASKS, on_task, &s) != COVEY_OK || !s.found[0])
        return TASK_NOT_FOUND;
    return strcmp(s.found, "done") && strcmp(s.found, "failed") && strcmp(s.found, "cancelled") ? TASK_LIVES
                                                                                               : TASK_HAS_ENDED;
}

/* ---- printing ------------------------------------------------------------------------------ */

struct shown {
    bool is_task;
    uint64_t lines;
    unsigned long long position;        /* of a task's last line */
};

static void on_line(void *ctx, const char *const *cells, uint32_t columns)
{
    struct shown *shown = ctx;
    const char *text = columns > 0 ? cells[0] : "";
    int skipped = 0;
    if (shown->is_task && sscanf(text, "%llu%n", &shown->position, &skipped) == 1)
        text += skipped + (text[skipped] == ' ');
    puts(text);
    shown->lines++;
}

static int print_last(const struct cli *cli, struct query *query, const char *id, uint64_t limit)
{
    struct shown shown = {.is_task = is_task_id(id)};
    uint64_t dropped = 0;
    const struct query_request request = {.to = query_node(query), .what = QUERY_LOG,
                                          .limit = (uint32_t)limit, .id = id};
    covey_status result = query_ask(query, &request, QUERY_ANSWER_MS, on_line, &shown, &dropped);
    if (result != COVEY_OK)
        return cli_fail_status(cli, result, query_why(query));
    if (dropped && !cli->quiet)
        fprintf(stderr, "covey logs: %llu lines before these are not shown; --limit N shows more\n",
                (unsigned long long)dropped);
    if (shown.lines == 0 && !cli->quiet)
        fprintf(stderr, "covey logs: %s has printed nothing%s\n", id,
                shown.is_task ? ", or it is not kept any more" : ", or is no worker");
    return STATUS_OK;
}

static void copy_rest(FILE *f)
{
    char buf[64 * 1024];
    size_t n;
    clearerr(f);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        fwrite(buf, 1, n, stdout);
    fflush(stdout);
}

static bool is_same_file(FILE *f, const char *path)
{
    struct stat open_one, named;
    return fstat(fileno(f), &open_one) == 0 && stat(path, &named) == 0 &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

/* ---- daemons -------------------------------------------------------------------------------- */

/* What they tell (io/dlog.h) is in a file of each, which outlives them, so no
 * cluster need run. */
static bool is_daemon(const char *id) { return strcmp(id, "head") == 0 || strcmp(id, "node") == 0; }

/* Move to where the last @limit lines begin. */
static void seek_last(FILE *f, uint64_t limit)
{
    uint64_t lines = 0;
    long at = 0;
    for (int c; (c = getc(f)) != EOF;)
        lines += c == '\n';
    rewind(f);
    for (int c; lines > limit && (c = getc(f)) != EOF;) {
        at++;
        lines -= c == '\n';
    }
    fseek(f, at, SEEK_SET);
}

static int show_daemon(const struct cli *cli, const struct places *p, const char *which, uint64_t limit, bool on)
{
    char path[PLACE_MAX + 16];
    snprintf(path, sizeof path, "%s/%s.log", p->state, which);
    FILE *f = fopen(path, "re");
    if (!f)
        return cli_fail(cli, STATUS_NO_CLUSTER, "covey start", "there is no log at %s: %s", path, strerror(errno));
    if (!on)
        seek_last(f, limit);
    copy_rest(f);
    while (on && !ferror(stdout) && is_same_file(f, path)) {
        poll(NULL, 0, FOLLOW_MS);
        copy_rest(f);
    }
    fclose(f);
    return STATUS_OK;
}

/* ---- workers and tasks ------------------------------------------------------------------------ */

/* Until the worker ends or nobody reads. */
static int follow(struct query *query, const struct places *p, const char *worker)
{
    char path[PLACE_MAX + 64];
    FILE *f = NULL;
    int64_t next_look = 0;
    bool alive = true;
    snprintf(path, sizeof path, "%s/logs/worker-%s.log", p->state, worker + 1);
    while (alive && !ferror(stdout)) {
        if (mono_ns() >= next_look) {
            alive = is_alive(query, worker);
            next_look = mono_ns() + ALIVE_MS * MS_NS;
        }
        if (f)
            copy_rest(f);       /* after the look: nothing comes behind its last word */
        if (f && !is_same_file(f, path)) {
            fclose(f);
            f = NULL;
        }
        if (!f && (f = fopen(path, "re")))
            continue;
        if (alive)
            poll(NULL, 0, FOLLOW_MS);
    }
    if (f) {
        copy_rest(f);
        fclose(f);
    }
    return STATUS_OK;
}

/* Until the task ends or nobody reads.  One that has ended may be in nobody's
 * list for a moment: its worker tells the node later than its owner. */
static int follow_task(const struct cli *cli, struct query *query, const char *task)
{
    struct shown shown = {.is_task = true};
    int64_t next_look = 0;
    int missed = 0;
    for (bool ended = false; !ended && !ferror(stdout);) {
        char id[96];
        uint64_t dropped;
        const struct query_request request = {.to = query_node(query), .what = QUERY_LOG, .id = id};
        if (mono_ns() >= next_look) {
            enum task_life life = task_life(query, task);
            missed = life == TASK_NOT_FOUND ? missed + 1 : 0;
            ended = life == TASK_HAS_ENDED || missed == MISSED_MAX;
            next_look = mono_ns() + ALIVE_MS * MS_NS;
        }
        snprintf(id, sizeof id, "%s@%llu", task, shown.position);
        covey_status result = query_ask(query, &request, QUERY_ANSWER_MS, on_line, &shown, &dropped);
        if (result == COVEY_ECLOSED)
            break;              /* with the cluster, as a worker's log */
        if (result != COVEY_OK)
            return cli_fail_status(cli, result, query_why(query));
        fflush(stdout);
        if (!ended)
            poll(NULL, 0, FOLLOW_MS);
    }
    return STATUS_OK;
}

int cmd_logs(struct cli *cli, int argc, char **argv)
{
    bool on = false;
    uint64_t limit = LIMIT_DEFAULT;
    const struct arg_option options[] = {
        {"follow", 'f', ARG_FLAG, &on, NULL, "print all of it, and go on until it ends"},
        {"limit", 0, ARG_UINT, &limit, "N", "the last N lines (default: 1000)"},
        {0},
    };
    struct places p;
    struct query *query;
    int words, status = cli_parse(cli, options, ARGS_MIXED, argc, argv, &words);
    if (status == CLI_GO)
        status = cli_words(cli, words, 1, 1);
    if (status == CLI_GO && !is_worker_id(argv[1]) && !is_task_id(argv[1]) && !is_daemon(argv[1]))
        status = cli_fail(cli, STATUS_USAGE, "covey list workers and covey list tasks show them.",
                          "'%s' is no ID: w3 is a worker, t5.12 a task, head and node are daemons", argv[1]);
    if (status == CLI_GO && (limit == 0 || limit > ROWS_LIMIT_MAX))
        status = cli_fail(cli, STATUS_USAGE, NULL, "--limit must be 1 to %u", ROWS_LIMIT_MAX);
    if (status == CLI_GO && is_daemon(argv[1])) {
        status = cli_places(cli, &p);
        return status == CLI_GO ? show_daemon(cli, &p, argv[1], limit, on) : status;
    }
    if (status == CLI_GO)
        status = cli_query(cli, &p, &query);
    if (status != CLI_GO)
        return status;
    status = check_known(cli, query, argv[1]);
    if (status == CLI_GO && !on)
        status = print_last(cli, query, argv[1], limit);
    else if (status == CLI_GO)
        status = is_task_id(argv[1]) ? follow_task(cli, query, argv[1]) : follow(query, &p, argv[1]);
    query_close(&query);
    return status;
}
