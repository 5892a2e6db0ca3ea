/* replay.c - feed files to a fuzz target, without libFuzzer.
 *
 *     replay PATH...      each a file, or a directory of files
 *
 * Links with one target.  A broken invariant aborts, and the file that did it
 * is the last one named.  An input that cannot be read, or a directory without
 * any, is a failure: a replay of nothing must not pass.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (64L * 1024 * 1024)
#define PATH_BYTES_MAX 4096

static bool complain(const char *path, const char *what)
{
    fprintf(stderr, "replay: %s: %s\n", path, what);
    return false;
}

static bool replay_open_file(FILE *file, const char *path)
{
    struct stat st;
    if (fstat(fileno(file), &st) != 0)
        return complain(path, strerror(errno));
    if (st.st_size > INPUT_BYTES_MAX)
        return complain(path, "too large");
    size_t size = (size_t)st.st_size;
    /* Exactly its size, so that sanitizers see a read behind it. */
    uint8_t *data = malloc(size ? size : 1);
    if (!data)
        return complain(path, "out of memory");
    bool whole = fread(data, 1, size, file) == size;
    if (whole) {
        printf("%s\n", path);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    return whole || complain(path, "cannot be read");
}

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return complain(path, strerror(errno));
    bool ok = replay_open_file(file, path);
    fclose(file);
    return ok;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static bool replay_directory(const char *path, unsigned *passed)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_visible, alphasort);
    if (count < 0)
        return complain(path, strerror(errno));
    bool ok = count > 0 || complain(path, "no inputs");
    for (int i = 0; i < count; i++) {
        char file[PATH_BYTES_MAX];
        int n = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (n < 0 || (size_t)n >= sizeof(file))
            ok = complain(path, "path too long");
        else if (replay_file(file))
            (*passed)++;
        else
            ok = false;
        free(entries[i]);
    }
    free(entries);
    return ok;
}

int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: replay PATH...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        struct stat st;
        bool ok;
        if (stat(argv[i], &st) != 0)
            ok = complain(argv[i], strerror(errno));
        else if (S_ISDIR(st.st_mode))
            ok = replay_directory(argv[i], &passed);
        else if ((ok = replay_file(argv[i])))
            passed++;
        failed += !ok;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed ? 1 : 0;
}
