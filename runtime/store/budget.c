/* budget.c - see budget.h.
 *
 * Version 2 has one hierarchy ("0::/path") under /sys/fs/cgroup, or under
 * /sys/fs/cgroup/unified beside version 1.  Version 1 has one per controller
 * ("4:memory:/path") under /sys/fs/cgroup/memory.  Inside a container the path
 * is often that of the host and does not exist here; walking up from it ends at
 * the mount's root, which then is the container's own group.
 *
 * Usage counts the page cache; its inactive part goes when memory is needed and
 * is taken off.
 */
#include "store/budget.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES_MAX 16384
#define PATH_BYTES_MAX 4096
/* Version 1 says "no limit" as the largest multiple of a page. */
#define UNLIMITED_BYTES (UINT64_C(1) << 62)

struct names {
    const char *limit, *usage, *cache;
};
static const struct names names_v1 = {
    "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file",
};
static const struct names names_v2 = {
    "memory.max", "memory.current", "inactive_file",
};

static bool read_text(const char *path, char text[FILE_BYTES_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    ssize_t n = 0;
    while (len < FILE_BYTES_MAX - 1 && (n = read(fd, text + len, FILE_BYTES_MAX - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    text[len] = '\0';
    return n >= 0;
}

/* The number after @name at the start of a line. */
static bool find_number(const char *text, const char *name, uint64_t *out)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) != 0 || !strchr(": \t", line[len]) || !line[len])
            continue;
        *out = strtoull(line + len + strspn(line + len, ": \t"), NULL, 10);
        return true;
    }
    return false;
}

static uint64_t less_reserve(uint64_t available, uint64_t total)
{
    uint64_t reserve = total / 8 < BUDGET_RESERVE_BYTES ? total / 8 : BUDGET_RESERVE_BYTES;
    return available > reserve ? available - reserve : 0;
}

uint64_t budget_machine_bytes(const char *meminfo)
{
    char text[FILE_BYTES_MAX];
    uint64_t total_kib, available_kib;
    if (!read_text(meminfo, text) || !find_number(text, "MemTotal", &total_kib) ||
        !find_number(text, "MemAvailable", &available_kib))
        return 0;
    return less_reserve(available_kib * 1024, total_kib * 1024);
}

/* One group's file as a number; "max" is no limit. */
static bool read_number(const char *dir, const char *file, uint64_t *out)
{
    char path[PATH_BYTES_MAX], text[FILE_BYTES_MAX];
    int len = snprintf(path, sizeof(path), "%s/%s", dir, file);
    if (len < 0 || (size_t)len >= sizeof(path) || !read_text(path, text))
        return false;
    *out = strncmp(text, "max", 3) == 0 ? UINT64_MAX : strtoull(text, NULL, 10);
    return true;
}

static uint64_t group_bytes(const char *dir, const struct names *names)
{
    uint64_t limit, usage, cache = 0;
    if (!read_number(dir, names->limit, &limit) || limit >= UNLIMITED_BYTES)
        return UINT64_MAX;
    if (!read_number(dir, names->usage, &usage))
        return UINT64_MAX;
    char path[PATH_BYTES_MAX], text[FILE_BYTES_MAX];
    int len = snprintf(path, sizeof(path), "%s/memory.stat", dir);
    if (len > 0 && (size_t)len < sizeof(path) && read_text(path, text))
        find_number(text, names->cache, &cache);
    usage = usage > cache ? usage - cache : 0;
    return less_reserve(limit > usage ? limit - usage : 0, limit);
}

/* The least along the way from @mount/@group up to @mount. */
static uint64_t hierarchy_bytes(const char *mount, const char *group, size_t group_len,
                                const struct names *names)
{
    char dir[PATH_BYTES_MAX];
    int len = snprintf(dir, sizeof(dir), "%s%.*s", mount, (int)group_len, group);
    if (len < 0 || (size_t)len >= sizeof(dir))
        return UINT64_MAX;
    uint64_t least = UINT64_MAX;
    size_t root_len = strlen(mount);
    for (;;) {
        uint64_t bytes = group_bytes(dir, names);
        least = bytes < least ? bytes : least;
        char *slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < root_len)
            return least;
        *slash = '\0';
    }
}

/* Is "memory" in the comma-separated list? */
static bool has_memory(const char *list, size_t len)
{
    static const char word[] = "memory";
    for (size_t at = 0; at < len;) {
        size_t end = at;
        while (end < len && list[end] != ',')
            end++;
        if (end - at == sizeof(word) - 1 && memcmp(list + at, word, end - at) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

uint64_t budget_cgroup_bytes(const char *own, const char *mount)
{
    char text[FILE_BYTES_MAX], sub[PATH_BYTES_MAX];
    if (!read_text(own, text))
        return UINT64_MAX;
    uint64_t least = UINT64_MAX;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *list = strchr(line, ':');
        char *path = list ? strchr(++list, ':') : NULL;
        if (!path)
            continue;
        size_t list_len = (size_t)(path++ - list), path_len = strlen(path);
        bool v1 = has_memory(list, list_len);
        if (!v1 && list_len > 0)
            continue;
        const char *dirs[2] = {v1 ? "/memory" : "", v1 ? NULL : "/unified"};
        for (size_t i = 0; i < 2 && dirs[i]; i++) {
            snprintf(sub, sizeof(sub), "%s%s", mount, dirs[i]);
            uint64_t bytes = hierarchy_bytes(sub, path, path_len, v1 ? &names_v1 : &names_v2);
            least = bytes < least ? bytes : least;
        }
    }
    return least;
}
