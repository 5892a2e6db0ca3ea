/* text.h - UTF-8: what is valid, and how to make anything presentable. */
#ifndef COVEY_CORE_TEXT_H
#define COVEY_CORE_TEXT_H

#include "core/types.h"

/* Bytes of the character at the front of @text; 0: it is none. */
size_t utf8_length(const void *text, size_t size);
bool utf8_valid(const void *text, size_t size);
/* In place: what is not valid, and control characters but line ends and tabs,
 * become "?"; a character cut at the end goes.  For texts that quote output. */
void text_clean(char *text);

#endif
