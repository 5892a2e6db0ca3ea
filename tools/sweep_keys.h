/* sweep_keys.h - keys, as they come byte by byte, to what they mean.
 *
 *   q  p  ?            at once
 *   s N Enter          and l N Enter: typed in a line, where Backspace and Escape work
 *
 * Everything else is ignored, and so are the sequences that arrow and function keys send.
 * Pure.
 */
#ifndef COVEY_TOOLS_SWEEP_KEYS_H
#define COVEY_TOOLS_SWEEP_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_LINE_MAX 24

enum key { KEY_NONE, KEY_QUIT, KEY_PAUSE, KEY_STOP_TRIAL, KEY_LOG, KEY_HELP, KEY_BAD_NUMBER };

struct keys {
    char line[KEYS_LINE_MAX];   /* what is being typed: "s 12"; "" for nothing */
    enum { KEYS_PLAIN, KEYS_ESCAPE, KEYS_SEQUENCE } state;
    uint32_t number;            /* of KEY_STOP_TRIAL and KEY_LOG */
};

enum key keys_take(struct keys *keys, char c);

#endif
