/* core/mem.c - allocation that never returns NULL. */
#include "core/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 1024u
#define KEPT_FREE (16 * 1024 * 1024)
#define OWN_PAGES_FROM (1024 * 1024) /* what is larger goes back when it is freed */

void mem_start(void)
{
	mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
	mallopt(M_MMAP_THRESHOLD, OWN_PAGES_FROM);
}

static void *checked(void *p)
{
	if (p == NULL) {
		fputs("chromatid: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *mem_bare(size_t bytes)
{
	return checked(malloc(bytes > 0 ? bytes : 1));
}

/* glibc keeps a cache of small pieces that calloc() does not look into. */
void *mem_alloc(size_t bytes)
{
	if (bytes > SMALL)
		return checked(calloc(1, bytes));
	return memset(mem_bare(bytes), 0, bytes);
}

void *mem_array(size_t count, size_t bytes)
{
	return checked(calloc(count > 0 ? count : 1, bytes > 0 ? bytes : 1));
}

void *mem_resize(void *old, size_t bytes)
{
	return checked(realloc(old, bytes > 0 ? bytes : 1));
}

void *mem_copy(const void *from, size_t bytes)
{
	void *p;

	if (from == NULL)
		return NULL;
	p = checked(malloc(bytes > 0 ? bytes : 1));
	memcpy(p, from, bytes);
	return p;
}

char *mem_string(const char *from)
{
	return from != NULL ? mem_copy(from, strlen(from) + 1) : NULL;
}

char *mem_substring(const char *from, size_t len)
{
	char *s = checked(malloc(len + 1));

	memcpy(s, from, len);
	s[len] = '\0';
	return s;
}

char *mem_format(const char *format, ...)
{
	va_list args;
	char *s;
	int n;

	va_start(args, format);
	n = vasprintf(&s, format, args);
	va_end(args);
	return checked(n >= 0 ? s : NULL);
}
