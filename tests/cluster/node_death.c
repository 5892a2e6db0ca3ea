/* node_death.c - the node is killed under a program: everything that waits is told,
 * whichever way it waits, and the program's own loop comes to rest.
 */
#include <poll.h>

#include "check.h"

COVEY_TASK(sleep_long, "->")
{
    covey_post(ctx, "runs", 4);
    sleep(60);
    return covey_return_nil(ctx);
}

struct told { int count; covey_status status; };

static void on_settled(covey *c, covey_ref ref, covey_status status, void *arg)
{
    (void)c;
    (void)ref;
    struct told *told = arg;
    told->count++;
    told->status = status;
}

static void kill_node(pid_t pid, void *ctx)
{
    char line[512], name[64];
    size_t len = check_read_proc(pid, "cmdline", line, sizeof line);
    check_read_proc(pid, "comm", name, sizeof name);
    if (strcmp(name, "covey-keeper\n") == 0)
        return;
    for (size_t at = 0; at < len; at += strlen(line + at) + 1)
        if (strcmp(line + at, "_node") == 0 && kill(pid, SIGKILL) == 0)
            ++*(int *)ctx;
}

static covey_ref start_one(covey *c)
{
    covey_message m;
    covey_ref ref = covey_submit(c, "sleep_long", COVEY_NONE, NULL);
    check_status(covey_next_message(c, ref, CHECK_GET_MS, &m), COVEY_OK, "a task runs");
    return ref;
}

static void kill_now(void)
{
    int killed = 0;
    check_each_process(kill_node, &killed);
    check(killed == 1, "its node is killed");
}

/* A program with its own loop, which sleeps on covey_fd(). */
static void check_own_loop(void)
{
    covey *c = check_open((covey_open_opts){0});
    covey_ref ref = start_one(c);
    struct told told = {0, COVEY_OK}, late = {0, COVEY_OK};
    struct pollfd fd = {covey_fd(c), POLLIN, 0};
    covey_then(c, ref, on_settled, &told);
    kill_now();
    for (int64_t until = check_now_ms() + CHECK_GET_MS; told.count == 0 && check_now_ms() < until;) {
        (void)poll(&fd, 1, 100);
        covey_dispatch(c);
    }
    check(told.count == 1 && told.status == COVEY_ENODE, "its callback is told that the node died");
    (void)covey_dispatch(c);
    check(poll(&fd, 1, 0) == 0, "and the descriptor is quiet again");
    covey_ref next = covey_submit(c, "sleep_long", COVEY_NONE, NULL);
    covey_then(c, next, on_settled, &late);
    check(poll(&fd, 1, CHECK_GET_MS) == 1 && covey_dispatch(c) == 1 && late.status == COVEY_ENODE,
          "a task that is submitted then is told, too");
    covey_release(c, ref);
    covey_release(c, next);
    covey_close(&c);
}

static void check_waits(void)
{
    covey_value value;
    covey_message m;
    covey *c = check_open((covey_open_opts){0});
    covey_ref ref = start_one(c);
    kill_now();
    check_status(covey_get(c, ref, CHECK_GET_MS, &value), COVEY_ENODE, "a get ends");
    check(strstr(covey_why(c, ref), "covey start") != NULL, "and says what to do");
    check_status(covey_wait(c, &ref, 1, 1, CHECK_GET_MS, NULL), COVEY_ENODE, "so does a wait");
    check_status(covey_next_message(c, ref, CHECK_GET_MS, &m), COVEY_ENODE, "and who waits for a message");
    covey_release(c, ref);
    covey_close(&c);
}

static int64_t cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* Nobody looks: the library's own thread must not spin on the closed door. */
static void check_rest(void)
{
    covey *c = check_open((covey_open_opts){0});
    covey_ref ref = start_one(c);
    kill_now();
    struct pollfd fd = {covey_fd(c), POLLIN, 0};
    (void)poll(&fd, 1, CHECK_GET_MS);
    int64_t before = cpu_ms(), until = check_now_ms() + 400;
    while (check_now_ms() < until)
        check_nap();
    check(cpu_ms() - before < 200, "whoever does not look costs nothing");
    covey_release(c, ref);
    covey_close(&c);
}

int main(void)
{
    check_own_loop();
    check_waits();
    check_rest();
    for (int64_t until = check_now_ms() + CHECK_GET_MS; check_each_process(NULL, NULL) > 0 && check_now_ms() < until;)
        check_nap();
    check_nothing_left("after the keepers have swept");
    return check_end();
}
