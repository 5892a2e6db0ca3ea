/* temp_dir.h - a directory of the test's own, removed with what is in it. */
#ifndef COVEY_TESTS_TEMP_DIR_H
#define COVEY_TESTS_TEMP_DIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

struct temp_dir {
    char path[64];
};

static inline int temp_dir_unlink(const char *path, const struct stat *at, int kind, struct FTW *walk)
{
    (void)at, (void)kind, (void)walk;
    return remove(path);
}

/* Short, since sockets go into it.  0700. */
static inline void temp_dir_make(struct temp_dir *dir)
{
    const char *base = getenv("TMPDIR");
    int n = snprintf(dir->path, sizeof dir->path, "%s/t.XXXXXX", base ? base : "/tmp");
    if (n >= (int)sizeof dir->path || !mkdtemp(dir->path)) {
        perror("a directory for the test");
        exit(1);
    }
}

static inline void temp_dir_remove(struct temp_dir *dir)
{
    nftw(dir->path, temp_dir_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
