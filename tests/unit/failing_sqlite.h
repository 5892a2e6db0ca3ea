/* failing_sqlite.h - SQLite's allocations fail with ours (failing_malloc.h), since it
 * takes its memory where it is told to. */
#ifndef COVEY_TESTS_FAILING_SQLITE_H
#define COVEY_TESTS_FAILING_SQLITE_H

#include <sqlite3.h>

#include "failing_malloc.h"

static sqlite3_mem_methods sqlite_memory;

static void *sqlite_malloc(int size) { return malloc_fails_now() ? NULL : sqlite_memory.xMalloc(size); }
static void *sqlite_realloc(void *p, int size) { return malloc_fails_now() ? NULL : sqlite_memory.xRealloc(p, size); }

/* Before SQLite is used.  0, or what cmocka takes for a failure. */
static int failing_sqlite_init(void)
{
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory) != SQLITE_OK)
        return 1;
    sqlite3_mem_methods ours = sqlite_memory;
    ours.xMalloc = sqlite_malloc;
    ours.xRealloc = sqlite_realloc;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) != SQLITE_OK || sqlite3_initialize() != SQLITE_OK;
}

#endif
