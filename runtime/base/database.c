/* database.c - see database.h for the contract. */
#include "base/database.h"

#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

bool database_is_network_type(int64_t fs_type)
{
    static const uint32_t types[] = {
        NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, AFS_SUPER_MAGIC, AFS_FS_MAGIC, CODA_SUPER_MAGIC,
        V9FS_MAGIC, FUSE_SUPER_MAGIC, NCP_SUPER_MAGIC, CEPH_SUPER_MAGIC, OCFS2_SUPER_MAGIC,
        0xff534d42 /* cifs */, 0xfe534d42 /* smb2 */, 0x0bd00bd0 /* lustre */,
        0x47504653 /* gpfs */, 0x19830326 /* beegfs */, 0xaad7aaea /* panfs */,
        0x01161970 /* gfs2 */,
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((uint32_t)fs_type == types[i])
            return true;
    return false;
}

bool database_on_network(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && database_is_network_type(fs.f_type);
}

int database_run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int database_ask(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(stmt, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(stmt);
    return rc;
}

int database_set_journal(sqlite3 *db, bool rollback, bool power_safe)
{
    int rc = database_run(db, rollback ? "PRAGMA journal_mode = DELETE" : "PRAGMA journal_mode = WAL");
    return rc == SQLITE_OK ? database_run(db, rollback || power_safe ? "PRAGMA synchronous = FULL"
                                                                     : "PRAGMA synchronous = NORMAL")
                           : rc;
}

int database_check_pages(sqlite3 *db, const char *table)
{
    sqlite3_stmt *stmt = NULL;
    char *sql = table ? sqlite3_mprintf("PRAGMA quick_check(%Q)", table) : sqlite3_mprintf("PRAGMA quick_check(1)");
    int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) : SQLITE_NOMEM;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        const char *said = (const char *)sqlite3_column_text(stmt, 0);
        rc = said && strcmp(said, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    }
    sqlite3_finalize(stmt);
    sqlite3_free(sql);
    return rc;
}
