/* word_count.c - map, shuffle, reduce: the words of many files, counted.
 *
 *     ./word_count [FILE ...]      without files: the licences that Debian ships
 *
 *     file --> map -+-> words of partition 0 ---+--> reduce 0 --+
 *                   +-> words of partition 1 --+|               +--> main
 *     file --> map -+-> words of partition 0 --|+               |
 *                   +-> words of partition 1 --+---> reduce 1 --+
 *
 * A map task has PARTITIONS results; covey_result(c, ref, i) names the i-th.  A
 * word's hash chooses its partition, so that all of its counts meet in one reduce
 * task.  The shuffle is nothing but which ref is an argument of which task:
 * results travel straight to the tasks that need them, and main() sees the end.
 */
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey.h"

#define PARTITIONS 4            /* the signature of map_words says so, too */
#define FILES_MAX 256
#define FILE_BYTES_MAX (1u << 20)       /* what is beyond is not counted */
#define WORD_MAX 48
#define TOP 10
#define LICENCES "/usr/share/common-licenses/*"

struct count { char word[WORD_MAX]; unsigned long n; };

/* The next word from *@at on, in lower case.  Its hash, or 0: there is none. */
static unsigned next_word(const char **at, const char *end, char word[WORD_MAX])
{
    unsigned len = 0, hash = 2166136261u;
    while (*at < end && !isalpha((unsigned char)**at))
        ++*at;
    for (; *at < end && isalpha((unsigned char)**at) && len < WORD_MAX - 1; ++*at) {
        word[len] = (char)tolower((unsigned char)**at);
        hash = (hash ^ (unsigned char)word[len++]) * 16777619u;
    }
    word[len] = '\0';
    return len > 0 ? hash | 1u << 31 : 0;
}

COVEY_TASK(map_words, "bytes -> bytes bytes bytes bytes")
{
    size_t size, len[PARTITIONS] = {0};
    const char *text = covey_arg_bytes(ctx, 0, &size);
    char word[WORD_MAX];
    size_t room = size + size / (WORD_MAX - 1) + 2;  /* a newline after each, even a cut one */
    char *out = malloc(PARTITIONS * room);
    if (!out)
        return covey_fail(ctx, 1, "no memory for %zu bytes", size);
    unsigned hash;
    for (const char *at = text; (hash = next_word(&at, text + size, word)) != 0;) {
        unsigned p = hash % PARTITIONS;
        len[p] += (size_t)sprintf(out + p * room + len[p], "%s\n", word);
    }
    covey_status status = COVEY_OK;
    for (unsigned p = 0; p < PARTITIONS && status == COVEY_OK; p++)
        status = covey_return_bytes(ctx, out + p * room, len[p]);
    free(out);
    return status;
}

static int by_word(const void *a, const void *b) { return strcmp(a, b); }
static int by_count(const void *a, const void *b)
{
    const struct count *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : strcmp(x->word, y->word);
}

/* Words, one a line, from any number of maps; gives the TOP of them and the sum. */
COVEY_TASK(reduce_words, "bytes... -> bytes u64")
{
    size_t size, bytes = 0, words = 0, left = 0;
    for (size_t i = 0; i < covey_arg_count(ctx); i++, bytes += size)
        covey_arg_bytes(ctx, i, &size);
    struct count *counts = calloc(bytes / 2 + 1, sizeof *counts); /* a letter and a newline */
    if (!counts)
        return covey_fail(ctx, 1, "no memory for %zu bytes of words", bytes);
    for (size_t i = 0; i < covey_arg_count(ctx); i++) {
        const char *at = covey_arg_bytes(ctx, i, &size), *end = at + size;
        while (next_word(&at, end, counts[words].word))
            counts[words++].n = 1;
    }
    qsort(counts, words, sizeof *counts, by_word);
    for (size_t i = 0; i < words; i++)
        if (left > 0 && strcmp(counts[left - 1].word, counts[i].word) == 0)
            counts[left - 1].n++;
        else
            counts[left++] = counts[i];
    qsort(counts, left, sizeof *counts, by_count);
    covey_status status = covey_return_bytes(ctx, counts, (left < TOP ? left : TOP) * sizeof *counts);
    free(counts);
    return status == COVEY_OK ? covey_return_u64(ctx, words) : status;
}

int main(int argc, char **argv)
{
    covey *c = covey_init(&argc, &argv);
    if (!c) {
        fprintf(stderr, "word_count: %s\n", covey_error());
        return 3;
    }
    glob_t found = {0};
    bool given = argc > 1 || glob(LICENCES, 0, NULL, &found) != 0;
    char **files = given ? argv + 1 : found.gl_pathv;
    size_t count = given ? (size_t)argc - 1 : found.gl_pathc;
    static char text[FILE_BYTES_MAX], word[WORD_MAX];
    covey_ref maps[FILES_MAX], parts[FILES_MAX], reduces[PARTITIONS];
    size_t n = 0, tops = 0, size;
    uint64_t expected = 0, sum = 0, part;
    for (size_t i = 0; i < count && n < FILES_MAX; i++) {
        FILE *f = fopen(files[i], "r");
        size = f ? fread(text, 1, sizeof text, f) : 0;
        if (!f || fclose(f) != 0)
            continue;
        for (const char *at = text; next_word(&at, text + size, word);)
            expected++;         /* as a check */
        maps[n++] = covey_submit(c, "map_words", COVEY_ARGS(covey_span(text, size, 16)), NULL);
    }
    globfree(&found);
    for (unsigned p = 0; p < PARTITIONS; p++) {
        for (size_t i = 0; i < n; i++)
            parts[i] = covey_result(c, maps[i], p);
        reduces[p] = covey_submit(c, "reduce_words", COVEY_REFS(parts, n), NULL);
        covey_release_all(c, parts, n);
    }
    covey_release_all(c, maps, n);
    struct count top[PARTITIONS * TOP];
    for (unsigned p = 0; p < PARTITIONS; p++) {
        covey_ref words = covey_result(c, reduces[p], 1);
        const void *data;
        if (covey_get_bytes(c, reduces[p], 60000, &data, &size) == COVEY_OK
            && covey_get_u64(c, words, 60000, &part) == COVEY_OK) {
            memcpy(top + tops, data, size);
            tops += size / sizeof *top;
            sum += part;
        } else {
            fprintf(stderr, "word_count: %s\n", covey_why(c, reduces[p]));
        }
        covey_release(c, words);
    }
    qsort(top, tops, sizeof *top, by_count);
    for (size_t i = 0; i < tops && i < TOP; i++)
        printf("%8lu  %s\n", top[i].n, top[i].word);
    printf("%lu words in %zu files\n", (unsigned long)sum, n);
    covey_release_all(c, reduces, PARTITIONS);
    covey_close(&c);
    return n > 0 && sum == expected ? 0 : 1;
}
