/* core/headers.c - an ordered list of HTTP header fields.
 *
 * A head has a dozen fields: they lie one behind the other in one text, and whoever wants
 * one walks there. That is quicker than any index, and adding one rarely allocates. */
#include "core/headers.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

void headers_add(struct headers *h, const char *name, const char *value)
{
	headers_addn(h, name, strlen(name), value, strlen(value));
}

void headers_addn(struct headers *h, const char *name, size_t name_len, const char *value,
                  size_t value_len)
{
	/* A NUL inside would shift every field behind it. */
	assert(memchr(name, '\0', name_len) == NULL);
	assert(value_len == 0 || memchr(value, '\0', value_len) == NULL);

	text_add(&h->text, name, name_len);
	text_addc(&h->text, '\0');
	text_add(&h->text, value, value_len);
	text_addc(&h->text, '\0');
	h->count++;
}

bool headers_next(const struct headers *h, size_t *at, const char **name,
                  const char **value)
{
	if (*at >= h->text.len)
		return false;
	*name = h->text.s + *at;
	*value = *name + strlen(*name) + 1;
	*at = (size_t)(*value - h->text.s) + strlen(*value) + 1;
	return true;
}

const char *headers_get(const struct headers *h, const char *name)
{
	const char *key, *value;
	size_t at = 0;

	while (headers_next(h, &at, &key, &value))
		if (strcasecmp(key, name) == 0)
			return value;
	return NULL;
}

size_t headers_count_of(const struct headers *h, const char *name)
{
	const char *key, *value;
	size_t at = 0, n = 0;

	while (headers_next(h, &at, &key, &value))
		if (strcasecmp(key, name) == 0)
			n++;
	return n;
}

bool headers_has_token(const struct headers *h, const char *name, const char *token)
{
	const char *key, *value;
	size_t at = 0;

	while (headers_next(h, &at, &key, &value))
		if (strcasecmp(key, name) == 0 && headers_list_has(value, token))
			return true;
	return false;
}

void headers_copy(struct headers *to, const struct headers *from)
{
	headers_clear(to);
	text_add(&to->text, from->text.s, from->text.len);
	to->count = from->count;
}

void headers_clear(struct headers *h)
{
	text_clear(&h->text);
	h->count = 0;
}

bool headers_is_token(const char *s, size_t len)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool digit = c >= '0' && c <= '9';

		if (!letter && !digit && memchr(marks, c, sizeof(marks) - 1) == NULL)
			return false;
	}
	return len > 0;
}

bool headers_list_has(const char *list, const char *token)
{
	size_t len = strlen(token);

	while (*list != '\0') {
		size_t member, n;

		list += strspn(list, " \t,");
		n = member = strcspn(list, ",");
		while (n > 0 && (list[n - 1] == ' ' || list[n - 1] == '\t'))
			n--;
		if (n > 0 && n == len && strncasecmp(list, token, len) == 0)
			return true;
		list += member;
	}
	return false;
}
