/* core/text.h - a growing run of bytes, always NUL-terminated.
 *
 * Embedded: `struct text t = {0};` is a valid empty text; text_clear() gives the memory
 * back and may come twice. */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *s; /* NULL while nothing was ever added; see text_string() */
	size_t len;
	size_t room;
};

void text_add(struct text *t, const void *bytes, size_t len);
void text_adds(struct text *t, const char *s);
void text_addc(struct text *t, char c);
void text_add_number(struct text *t, int64_t n); /* its decimal digits */
void text_addf(struct text *t, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void text_addv(struct text *t, const char *format, va_list args)
        __attribute__((format(printf, 2, 0)));
void text_reserve(struct text *t, size_t more); /* room for that many more bytes */
void text_drop(struct text *t, size_t len);     /* forget the first len bytes */
void text_reset(struct text *t);                /* empty, memory kept */
void text_clear(struct text *t);                /* empty, memory given back */
char *text_detach(struct text *t);              /* the caller frees; t is empty again */
const char *text_string(const struct text *t);  /* never NULL */

#endif
