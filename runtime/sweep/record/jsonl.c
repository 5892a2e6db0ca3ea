/* jsonl.c - see jsonl.h for the contract. */
#include "sweep/record/jsonl.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Between its tokens JSON may hold line breaks, and inside of strings it never
 * does; so a blank in their place changes nothing. */
static void add_on_one_line(struct text *out, const char *json)
{
    while (*json) {
        size_t len = strcspn(json, "\r\n");
        text_add(out, json, len);
        json += len;
        if (*json) {
            text_add(out, " ", 1);
            json++;
        }
    }
}

void jsonl_report(struct text *out, const struct record_event *event)
{
    char head[128];
    assert(event->kind == RECORD_REPORT && event->time_ms >= 0);
    int len = snprintf(head, sizeof head, "{\"trial\":%u,\"step\":%lld,\"time\":%lld.%03d,\"metrics\":",
                       event->trial, (long long)event->report.step,
                       (long long)(event->time_ms / 1000), (int)(event->time_ms % 1000));
    text_add(out, head, (size_t)len);
    add_on_one_line(out, event->report.metrics);
    text_add(out, "}\n", 2);
}
