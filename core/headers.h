/* core/headers.h - an ordered list of HTTP header fields.
 *
 * Embedded: `struct headers h = {0};` is valid and empty. Names keep their spelling;
 * they are compared without case. All text lives in one allocation. Neither names nor
 * values may hold a NUL. */
#ifndef CORE_HEADERS_H
#define CORE_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"

struct headers {
	struct text text; /* lengths name NUL value NUL lengths name NUL value NUL ... */
	size_t count;
};

/* One of them, where it lies; valid until one is added. */
struct header {
	const char *name, *value; /* each ends with a NUL, too */
	size_t name_len, value_len;
};

void headers_add(struct headers *h, const char *name, const char *value);
void headers_addn(struct headers *h, const char *name, size_t name_len, const char *value,
                  size_t value_len);
void headers_add_number(struct headers *h, const char *name, int64_t n);
const char *headers_get(const struct headers *h, const char *name); /* first, or NULL */
size_t headers_count_of(const struct headers *h, const char *name);
/* true if any field of that name holds the token in its comma-separated list */
bool headers_has_token(const struct headers *h, const char *name, const char *token);
/* Walks in order: start with *at = 0; false at the end. */
bool headers_next(const struct headers *h, size_t *at, struct header *out);
/* Drops those for which `test` says true. */
typedef bool(header_test_fn)(const struct header *f, const void *arg);
void headers_drop(struct headers *h, header_test_fn *test, const void *arg);
void headers_copy(struct headers *to, const struct headers *from); /* `to` is cleared */
void headers_move(struct headers *to,
                  struct headers *from); /* likewise; empties `from` */
void headers_clear(struct headers *h);

/* Is that its name, without case? Hardly ever are two as long that are not the same. */
static inline bool header_named(const struct header *h, const char *name)
{
	return h->name_len == strlen(name) && strcasecmp(h->name, name) == 0;
}

/* The grammar of fields, shared by those that read them. */
bool headers_is_token(const char *s, size_t len); /* an RFC 9110 token; not empty */
/* true if the comma-separated list holds the token, compared without case */
bool headers_list_has(const char *list, const char *token);

#endif
