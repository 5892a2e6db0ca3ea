/* text.c - see text.h. */
#include "core/text.h"

size_t utf8_length(const void *text, size_t size)
{
    const uint8_t *s = text;
    if (size == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || size < len)
        return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;           /* too long, a surrogate, or beyond the last */
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool utf8_valid(const void *text, size_t size)
{
    const char *s = text;
    for (size_t len; size > 0; s += len, size -= len)
        if ((len = utf8_length(s, size)) == 0)
            return false;
    return true;
}

void text_clean(char *text)
{
    char *to = text;
    size_t left = strlen(text);
    for (const char *from = text; left > 0;) {
        size_t len = utf8_length(from, left);
        if (len == 0 && left < 4 && ((uint8_t)from[0] & 0xc0) == 0xc0)
            break;          /* cut */
        bool shown = len > 1 || (len == 1 && ((uint8_t)from[0] >= 0x20 || from[0] == '\n' || from[0] == '\t') &&
                                 from[0] != 0x7f);
        if (shown)
            memmove(to, from, len);
        else
            *to = '?';
        to += shown ? len : 1;
        size_t step = len ? len : 1;
        from += step;
        left -= step;
    }
    *to = 0;
}
