/* core/headers.h - an ordered list of HTTP header fields.
 *
 * Embedded: `struct headers h = {0};` is valid and empty. Names keep their spelling;
 * they are compared without case. All text lives in one allocation. Neither names nor
 * values may hold a NUL. */
#ifndef CORE_HEADERS_H
#define CORE_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <strings.h>

#include "core/text.h"

struct headers {
	struct text text; /* lengths name NUL value NUL lengths name NUL value NUL ... */
	size_t count;
};

void headers_add(struct headers *h, const char *name, const char *value);
void headers_addn(struct headers *h, const char *name, size_t name_len, const char *value,
                  size_t value_len);
const char *headers_get(const struct headers *h, const char *name); /* first, or NULL */
size_t headers_count_of(const struct headers *h, const char *name);
/* true if any field of that name holds the token in its comma-separated list */
bool headers_has_token(const struct headers *h, const char *name, const char *token);
/* Walks in order: start with *at = 0; false at the end. */
bool headers_next(const struct headers *h, size_t *at, const char **name,
                  const char **value);
void headers_copy(struct headers *to, const struct headers *from); /* `to` is cleared */
void headers_clear(struct headers *h);

/* Are these two names the same, without case? Most differ in their first letter. */
static inline bool headers_same(const char *a, const char *b)
{
	return ((a[0] ^ b[0]) & ~('a' ^ 'A')) == 0 && strcasecmp(a, b) == 0;
}

/* The grammar of fields, shared by those that read them. */
bool headers_is_token(const char *s, size_t len); /* an RFC 9110 token; not empty */
/* true if the comma-separated list holds the token, compared without case */
bool headers_list_has(const char *list, const char *token);

#endif
