/* failing_malloc.h - let the n-th allocation fail, for a test program.
 *
 * Include it in the one file of a test program, and link that program with
 *
 *     -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc
 *     -Wl,--wrap=strdup -Wl,--wrap=strndup
 *
 * so that calls of our objects come here; those inside shared libraries (cmocka,
 * json-c, libyaml, the rest of libc) do not, and sanitizers keep their own allocator
 * underneath.  From any thread.
 */
#ifndef COVEY_TESTS_FAILING_MALLOC_H
#define COVEY_TESTS_FAILING_MALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t size);

static _Atomic uint64_t malloc_calls;       /* since malloc_fail() */
static _Atomic uint64_t malloc_fail_first;  /* 0: none fails */
static _Atomic uint64_t malloc_fail_count;

/* Of the allocations from now on, the @first-th (from 1) and the @count - 1
 * after it fail; 0, 0: none. */
static inline void malloc_fail(uint64_t first, uint64_t count)
{
    malloc_calls = 0;
    malloc_fail_first = first;
    malloc_fail_count = count;
}

static bool malloc_fails_now(void)
{
    uint64_t call = ++malloc_calls;
    return malloc_fail_first != 0 && call >= malloc_fail_first && call - malloc_fail_first < malloc_fail_count;
}

void *__wrap_malloc(size_t size)
{
    return malloc_fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return malloc_fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return malloc_fails_now() ? NULL : __real_realloc(p, size);
}

char *__wrap_strndup(const char *s, size_t size)
{
    size_t len = strnlen(s, size);
    char *copy = __wrap_malloc(len + 1);
    if (!copy)
        return NULL;
    copy[len] = 0;
    return memcpy(copy, s, len);
}

char *__wrap_strdup(const char *s) { return __wrap_strndup(s, strlen(s)); }

#endif
