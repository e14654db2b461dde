/* core/text.h - a growing run of bytes, always NUL-terminated.
 *
 * Embedded: `struct text t = {0};` is a valid empty text; text_clear() gives the memory
 * back and may come twice. */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
	char *s; /* NULL while nothing was ever added; see text_string() */
	size_t len;
	size_t room;
};

void text_add_number(struct text *t, int64_t n); /* its decimal digits */
#define TEXT_DIGITS 20u
/* The same, without a text: to the end of `to`; returns where they begin. */
size_t text_digits(char to[TEXT_DIGITS], int64_t n);
void text_addf(struct text *t, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void text_addv(struct text *t, const char *format, va_list args)
        __attribute__((format(printf, 2, 0)));
void text_grow(struct text *t, size_t more);   /* what text_reserve() does at times */
void text_drop(struct text *t, size_t len);    /* forget the first len bytes */
void text_reset(struct text *t);               /* empty, memory kept */
void text_clear(struct text *t);               /* empty, memory given back */
char *text_detach(struct text *t);             /* the caller frees; t is empty again */
const char *text_string(const struct text *t); /* never NULL */

/* Here, because most that is added is short and its length is known where it is. */

/* Room for that many more bytes. */
static inline void text_reserve(struct text *t, size_t more)
{
	if (t->len + more >= t->room)
		text_grow(t, more);
}

static inline void text_add(struct text *t, const void *bytes, size_t len)
{
	text_reserve(t, len);
	if (len > 0)
		memcpy(t->s + t->len, bytes, len);
	t->len += len;
	t->s[t->len] = '\0';
}

static inline void text_adds(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

static inline void text_addc(struct text *t, char c)
{
	text_add(t, &c, 1);
}

#endif
