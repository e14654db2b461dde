/* core/headers.c - an ordered list of HTTP header fields.
 *
 * A head has a dozen fields: they lie one behind the other in one text, and whoever wants
 * one walks there, by the lengths in front of each. That is quicker than any index, and
 * adding one rarely allocates. */
#include "core/headers.h"

#include <assert.h>
#include <string.h>

#define ROOM_AT_FIRST 256u /* for most heads all they need */
#define ROOM_FOR_MORE 128u /* a copy is made to add something */

struct lengths {
	uint32_t name, value; /* with their NULs */
};

/* With its NUL, into room that is there; behind it is the NUL that ends a text. */
static void put(struct text *to, const char *s, size_t len)
{
	if (len > 0)
		memcpy(to->s + to->len, s, len);
	to->len += len + 1;
	memset(to->s + to->len - 1, '\0', 2);
}

void headers_add(struct headers *h, const char *name, const char *value)
{
	headers_addn(h, name, strlen(name), value, strlen(value));
}

void headers_addn(struct headers *h, const char *name, size_t name_len, const char *value,
                  size_t value_len)
{
	struct lengths lengths = {(uint32_t)name_len + 1, (uint32_t)value_len + 1};

	/* A NUL inside would end it too early. */
	assert(memchr(name, '\0', name_len) == NULL);
	assert(value_len == 0 || memchr(value, '\0', value_len) == NULL);
	assert(name_len < UINT32_MAX && value_len < UINT32_MAX);

	text_reserve(&h->text, sizeof(lengths) + name_len + value_len + 2 +
	                               (h->count == 0 ? ROOM_AT_FIRST : 0));
	text_add(&h->text, &lengths, sizeof(lengths));
	put(&h->text, name, name_len);
	put(&h->text, value, value_len);
	h->count++;
}

bool headers_next(const struct headers *h, size_t *at, const char **name,
                  const char **value)
{
	struct lengths lengths;

	if (*at >= h->text.len)
		return false;
	memcpy(&lengths, h->text.s + *at, sizeof(lengths));
	*name = h->text.s + *at + sizeof(lengths);
	*value = *name + lengths.name;
	*at += sizeof(lengths) + lengths.name + lengths.value;
	return true;
}

const char *headers_get(const struct headers *h, const char *name)
{
	const char *key, *value;
	size_t at = 0;

	while (headers_next(h, &at, &key, &value))
		if (headers_same(key, name))
			return value;
	return NULL;
}

size_t headers_count_of(const struct headers *h, const char *name)
{
	const char *key, *value;
	size_t at = 0, n = 0;

	while (headers_next(h, &at, &key, &value))
		if (headers_same(key, name))
			n++;
	return n;
}

bool headers_has_token(const struct headers *h, const char *name, const char *token)
{
	const char *key, *value;
	size_t at = 0;

	while (headers_next(h, &at, &key, &value))
		if (headers_same(key, name) && headers_list_has(value, token))
			return true;
	return false;
}

void headers_copy(struct headers *to, const struct headers *from)
{
	headers_clear(to);
	text_reserve(&to->text, from->text.len + ROOM_FOR_MORE);
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
	/* Letters, digits and !#$%&'*+-.^_`|~, a bit for each. */
	static const uint64_t allowed[2] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe};

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 128 || (allowed[c / 64] >> c % 64 & 1) == 0)
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
