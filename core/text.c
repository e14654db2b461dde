/* core/text.c - a growing run of bytes. */
#include "core/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

void text_grow(struct text *t, size_t more)
{
	size_t need = t->len + more + 1;

	t->room = need < 64 ? 64 : need + need / 2;
	t->s = mem_resize(t->s, t->room);
	t->s[t->len] = '\0';
}

size_t text_digits(char to[TEXT_DIGITS], int64_t n)
{
	uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
	size_t at = TEXT_DIGITS;

	do {
		to[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (n < 0)
		to[--at] = '-';
	return at;
}

void text_add_number(struct text *t, int64_t n)
{
	char digits[TEXT_DIGITS];
	size_t at = text_digits(digits, n);

	text_add(t, digits + at, sizeof(digits) - at);
}

/* Into the room there is; only if that does not do, once more. */
void text_addv(struct text *t, const char *format, va_list args)
{
	size_t room;
	va_list again;
	int n;

	va_copy(again, args);
	text_reserve(t, 1);
	room = t->room - t->len;
	n = vsnprintf(t->s + t->len, room, format, args);
	if (n > 0 && (size_t)n >= room) {
		text_reserve(t, (size_t)n);
		vsnprintf(t->s + t->len, (size_t)n + 1, format, again);
	}
	t->len += n > 0 ? (size_t)n : 0;
	t->s[t->len] = '\0';
	va_end(again);
}

void text_addf(struct text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	text_addv(t, format, args);
	va_end(args);
}

void text_drop(struct text *t, size_t len)
{
	if (len == 0)
		return;
	memmove(t->s, t->s + len, t->len - len);
	t->len -= len;
	t->s[t->len] = '\0';
}

void text_reset(struct text *t)
{
	t->len = 0;
	if (t->s != NULL)
		t->s[0] = '\0';
}

void text_clear(struct text *t)
{
	mem_free(t->s);
	*t = (struct text){0};
}

char *text_detach(struct text *t)
{
	char *s = t->s != NULL ? t->s : mem_string("");

	*t = (struct text){0};
	return s;
}

const char *text_string(const struct text *t)
{
	return t->s != NULL ? t->s : "";
}
