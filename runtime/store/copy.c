/* copy.c - store_copy(): see store.h.
 *
 * Ordinary stores read a cache line before they overwrite it; non-temporal ones
 * do not.  Into memory that is in no cache they copy 1.6 times as fast at every
 * size from 64 KiB to 64 MiB (15 against 9.5 GB/s on a shared
 * machine of two cores; beyond that the C library streams by itself).  Into memory
 * that is in the cache they lose by the same factor, and whoever reads next
 * finds nothing there.  Small objects are often written where others were just
 * freed and read at once, large ones are not: hence the threshold.
 *
 * 16-byte stores are as fast as 32-byte ones here, so no choice by processor is
 * made: every x86-64 has them.
 */
#include "store/store.h"

#define COPY_STREAM_MIN (1024u * 1024)

#if defined(__SSE2__)
#include <emmintrin.h>

static void copy_streaming(uint8_t *to, const uint8_t *from, size_t size)
{
    size_t head = -(uintptr_t)to & 63;
    memcpy(to, from, head);
    to += head;
    from += head;
    size -= head;
    for (; size >= 64; size -= 64, to += 64, from += 64) {
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)from);
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(from + 16));
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(from + 32));
        __m128i d = _mm_loadu_si128((const __m128i *)(const void *)(from + 48));
        _mm_stream_si128((__m128i *)(void *)to, a);
        _mm_stream_si128((__m128i *)(void *)(to + 16), b);
        _mm_stream_si128((__m128i *)(void *)(to + 32), c);
        _mm_stream_si128((__m128i *)(void *)(to + 48), d);
    }
    /* Streaming stores are weakly ordered: the release store that publishes
     * the object would not wait for them. */
    _mm_sfence();
    memcpy(to, from, size);
}
#endif

void store_copy(void *dst, const void *src, size_t size)
{
#if defined(__SSE2__)
    if (size >= COPY_STREAM_MIN) {
        copy_streaming(dst, src, size);
        return;
    }
#endif
    if (size)
        memcpy(dst, src, size);
}
