/* strerror.c - the texts of covey_status. */
#include "covey.h"

const char *covey_strerror(covey_status status)
{
    static const char *const texts[COVEY_STATUS_COUNT] = {
#define TEXT(name, text) [COVEY_##name] = text,
        COVEY_STATUS_LIST(TEXT)
#undef TEXT
    };
    return (unsigned)status < COVEY_STATUS_COUNT ? texts[status] : "unknown status";
}
