/* core/utf8.h - pure: text that others wrote, one character at a time. */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_BROKEN UINT32_MAX

/* The character at the start of s[0..len), len > 0: how many bytes it has. Overlong
 * forms, surrogates and stray bytes are UTF8_BROKEN, one byte long. */
size_t utf8_next(const char *s, size_t len, uint32_t *c);

#endif
