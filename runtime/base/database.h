/* database.h - SQLite as our records use it: how changes reach the disk, where
 * that may not be by a shared WAL, and whether a file is healthy.
 *
 * All return SQLite's codes.  A connection is used by one thread at a time.
 */
#ifndef COVEY_BASE_DATABASE_H
#define COVEY_BASE_DATABASE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* Is @path on a file system whose locks and shared memory are only as good as a server
 * is?  FUSE counts, since sshfs is one of them.  False where nobody can tell. */
bool database_on_network(const char *path);
/* The same of a file system's kind, as statfs(2) gives it. */
bool database_is_network_type(int64_t fs_type);

int database_run(sqlite3 *db, const char *sql);
/* The one integer that @sql answers. */
int database_ask(sqlite3 *db, const char *sql, int64_t *out);
/* WAL, or a journal that is rolled back.  After a commit returned, kill -9 loses
 * nothing; with @rollback or @power_safe the loss of power does not, either. */
int database_set_journal(sqlite3 *db, bool rollback, bool power_safe);
/* Every page of @table, or of all tables for NULL, before anything is believed.
 * SQLITE_CORRUPT: they are damaged. */
int database_check_pages(sqlite3 *db, const char *table);

#endif
