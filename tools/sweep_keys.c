/* sweep_keys.c - see sweep_keys.h for the contract. */
#include "sweep_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPE '\033'
#define BACKSPACE '\b'
#define DELETE '\177'

/* The number that follows the letter, and nothing else. */
static bool read_number(const char *line, uint32_t *out)
{
    char *end;
    const char *s = line + 1 + strspn(line + 1, " ");
    errno = 0;
    unsigned long long n = strtoull(s, &end, 10);
    bool ok = *s >= '0' && *s <= '9' && errno == 0 && n < UINT32_MAX;
    end += strspn(end, " ");
    *out = (uint32_t)n;
    return ok && *end == 0;
}

static enum key end_line(struct keys *k)
{
    enum key key = k->line[0] == 's' ? KEY_STOP_TRIAL : KEY_LOG;
    if (!read_number(k->line, &k->number))
        key = KEY_BAD_NUMBER;
    k->line[0] = 0;
    return key;
}

static enum key type(struct keys *k, char c)
{
    size_t len = strlen(k->line);
    if (c == '\r' || c == '\n')
        return end_line(k);
    if (c == BACKSPACE || c == DELETE)
        k->line[len - 1] = 0;
    else if (c >= ' ' && c < DELETE && len + 1 < sizeof k->line) {
        k->line[len] = c;
        k->line[len + 1] = 0;
    }
    return KEY_NONE;
}

static enum key press(struct keys *k, char c)
{
    switch (c) {
    case 'q': return KEY_QUIT;
    case 'p': return KEY_PAUSE;
    case '?': return KEY_HELP;
    case 's':
    case 'l':
        memcpy(k->line, (char[]){c, ' ', 0}, 3);
        return KEY_NONE;
    default: return KEY_NONE;
    }
}

enum key keys_take(struct keys *k, char c)
{
    if (k->state == KEYS_SEQUENCE) {
        if (c >= '@' && c <= '~')
            k->state = KEYS_PLAIN;
        return KEY_NONE;
    }
    if (k->state == KEYS_ESCAPE && (c == '[' || c == 'O')) {
        k->state = KEYS_SEQUENCE;
        return KEY_NONE;
    }
    k->state = KEYS_PLAIN;
    if (c == ESCAPE) {
        k->state = KEYS_ESCAPE;
        k->line[0] = 0;
        return KEY_NONE;
    }
    return k->line[0] ? type(k, c) : press(k, c);
}
