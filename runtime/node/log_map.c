/* log_map.c - see log_map.h for the contract. */
#include "node/log_map.h"

#include <stdlib.h>
#include <string.h>

#define RUNS_FIRST 4u

void log_map_fini(struct log_map *map)
{
    free(map->runs);
    *map = (struct log_map){0};
}

static void forget(struct log_map *map, uint32_t count)
{
    if (count == 0)
        return;
    map->count -= count;
    memmove(map->runs, map->runs + count, map->count * sizeof *map->runs);
}

/* Half of them at once, so that forgetting costs little a run. */
static bool has_room(struct log_map *map)
{
    if (map->count < map->cap)
        return true;
    if (map->cap == LOG_RUNS_MAX) {
        forget(map, LOG_RUNS_MAX / 2);
        return true;
    }
    uint32_t cap = map->cap ? 2 * map->cap : RUNS_FIRST;
    struct log_run *runs = realloc(map->runs, cap * sizeof *runs);
    if (!runs)
        return false;
    map->runs = runs;
    map->cap = cap;
    return true;
}

void log_map_add(struct log_map *map, struct log_run run, uint64_t file_begin)
{
    struct log_run *last = map->count ? &map->runs[map->count - 1] : NULL;
    if (last && last->is_error == run.is_error && last->from + last->len == run.from
        && last->at + last->len == run.at && run.at != file_begin)
        last->len += run.len;
    else if (has_room(map))
        map->runs[map->count++] = run;
}

void log_map_forget(struct log_map *map, uint64_t at)
{
    uint32_t gone = 0;
    while (gone < map->count && map->runs[gone].at + map->runs[gone].len <= at)
        gone++;
    forget(map, gone);
}

void log_map_end(struct log_map *map)
{
    struct log_run *runs = map->count ? realloc(map->runs, map->count * sizeof *runs) : NULL;
    if (runs) {
        map->runs = runs;
        map->cap = map->count;
    }
}
