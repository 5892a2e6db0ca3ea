/* threads.c - see threads.h for the contract. */
#include "worker/threads.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static const struct { const char *variable, *function; } names[THREADS_COUNT] = {
#define THREADS_ROW_(variable, function) {variable, function},
    THREADS_NAMES(THREADS_ROW_)
#undef THREADS_ROW_
};

static uint32_t current, ours;

void threads_init(uint32_t threads, uint32_t ours_)
{
    current = threads;
    ours = ours_;
}

static void tell(const char *function, uint32_t threads)
{
    void (*set)(int) = NULL;
    *(void **)&set = dlsym(RTLD_DEFAULT, function);     /* as POSIX writes it */
    if (set)
        set((int)threads);
}

void threads_set(uint32_t threads)
{
    char text[16];
    if (threads == 0 || threads == current)
        return;
    current = threads;
    snprintf(text, sizeof text, "%u", (unsigned)threads);
    for (int i = 0; i < THREADS_COUNT; i++) {
        if (!(ours & 1u << i))
            continue;
        (void)setenv(names[i].variable, text, 1);   /* without memory: the number before */
        tell(names[i].function, threads);
    }
}
