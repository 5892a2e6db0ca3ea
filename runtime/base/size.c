/* size.c - see size.h for the contract. */
#include "base/size.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

uint64_t size_unit_bytes(const char *unit)
{
    static const char letters[] = "KMGT";
    if (!*unit || strcasecmp(unit, "B") == 0)
        return 1;
    const char *at = strchr(letters, toupper((unsigned char)unit[0]));
    if (!at || !*at)
        return 0;
    bool binary = !unit[1] || strcasecmp(unit + 1, "iB") == 0;
    if (!binary && strcasecmp(unit + 1, "B") != 0)
        return 0;
    uint64_t bytes = 1;
    for (const char *p = letters; p <= at; p++)
        bytes *= binary ? 1024 : 1000;
    return bytes;
}
