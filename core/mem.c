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

/* --- small pieces, kept ------------------------------------------------------------- */

/* glibc has seven free pieces of each size at hand. With more requests than that under
 * way most others would be merged and split again each time; so we keep them. All of them
 * are malloc()'s, so free() may have them as well; a sanitizer is told of each. */
#ifdef CHROMATID_SANITIZE
#define MOST_KEPT 0u
#else
#define MOST_KEPT (1024u * 1024) /* bytes */
#endif
#define STEP 16u
#define SIZES (SMALL / STEP + 1)

struct piece {
	struct piece *next;
};

/* A piece of the n-th size has n * 16 + 8 bytes: what glibc has room for. */
static struct piece *kept[SIZES];
static size_t kept_bytes;

static size_t nth_size(size_t bytes)
{
	return bytes <= STEP + 8 ? 1 : (bytes + STEP - 9) / STEP;
}

void *mem_bare(size_t bytes)
{
	size_t n = nth_size(bytes);
	struct piece *p = n < SIZES ? kept[n] : NULL;

	if (p == NULL)
		return checked(malloc(bytes > 0 ? bytes : 1));
	kept[n] = p->next;
	kept_bytes -= n * STEP;
	return p;
}

void mem_free(void *old)
{
	size_t n = old != NULL ? (malloc_usable_size(old) - 8) / STEP : SIZES;
	struct piece *p = old;

	if (n >= SIZES || kept_bytes + n * STEP > MOST_KEPT) {
		free(old);
		return;
	}
	p->next = kept[n];
	kept[n] = p;
	kept_bytes += n * STEP;
}

/* --- in all forms ------------------------------------------------------------------- */

/* calloc() looks into none of these. */
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
	if (old == NULL)
		return mem_bare(bytes);
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
