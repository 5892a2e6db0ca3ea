/* main.c - run seeds of the simulator.
 *
 *   sim [--seeds N] [--from S] [--jobs N]     many seeds; stops at the first failure
 *   sim --seed S [--trace]                    one seed, with every message
 *
 * Each hundredth seed runs twice and must give the same trace.  A failing seed
 * prints itself and the line that repeats it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "world.h"

static int run_range(uint64_t from, uint64_t to)
{
    struct world *w = malloc(sizeof(*w));
    if (!w)
        return 1;
    for (uint64_t seed = from; seed < to; seed++) {
        char now[32];
        int n = snprintf(now, sizeof(now), "%llu", (unsigned long long)seed);
        setenv("SIM_SEED", now, n > 0);     /* for who looks at a core dump */
        world_run(w, seed, false);
        uint64_t trace = w->trace;
        if (seed % 100 == 0) {
            world_run(w, seed, false);
            if (w->trace != trace) {
                fprintf(stderr, "seed %llu is not repeatable\n", (unsigned long long)seed);
                return 1;
            }
        }
    }
    free(w);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 1000, from = 1, one = 0;
    int jobs = 2;
    bool trace = false;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--seeds") == 0 && more)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0 && more)
            from = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && more)
            one = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--jobs") == 0 && more)
            jobs = atoi(argv[++i]);
        else if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else {
            fprintf(stderr, "usage: sim [--seeds N] [--from S] [--jobs N] | --seed S [--trace]\n");
            return 2;
        }
    }
    if (one) {
        struct world *w = malloc(sizeof(*w));
        world_run(w, one, trace);
        printf("seed %llu: %llu events, trace %016llx\n", (unsigned long long)one, (unsigned long long)w->events,
               (unsigned long long)w->trace);
        free(w);
        return 0;
    }
    if (jobs < 1 || jobs > 64)
        jobs = 1;
    for (int j = 0; j < jobs; j++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(run_range(from + seeds * (uint64_t)j / (uint64_t)jobs, from + seeds * (uint64_t)(j + 1) / (uint64_t)jobs));
        if (pid < 0) {
            perror("fork");
            return 1;
        }
    }
    int failed = 0, status;
    while (wait(&status) > 0)
        failed += status != 0;
    if (failed)
        printf("a seed failed: see above; build/tests/sim --seed S --trace repeats it\n");
    else
        printf("%llu seeds passed\n", (unsigned long long)seeds);
    return failed ? 1 : 0;
}
