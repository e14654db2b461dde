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
	uint32_t name, value;
};

/* With its NUL; returns where the next one goes. */
static char *put(char *to, const char *s, size_t len)
{
	if (len > 0)
		memcpy(to, s, len);
	to[len] = '\0';
	return to + len + 1;
}

static void add(struct headers *h, const struct header *f)
{
	struct lengths lengths = {(uint32_t)f->name_len, (uint32_t)f->value_len};
	size_t more = sizeof(lengths) + f->name_len + f->value_len + 2;
	char *to;

	assert(f->name_len < UINT32_MAX && f->value_len < UINT32_MAX);
	text_reserve(&h->text, more + (h->count == 0 ? ROOM_AT_FIRST : 0));
	to = h->text.s + h->text.len;
	memcpy(to, &lengths, sizeof(lengths));
	to = put(to + sizeof(lengths), f->name, f->name_len);
	to = put(to, f->value, f->value_len);
	*to = '\0'; /* as every text has */
	h->text.len += more;
	h->count++;
}

void headers_add(struct headers *h, const char *name, const char *value)
{
	add(h, &(struct header){name, value, strlen(name), strlen(value)});
}

void headers_addn(struct headers *h, const char *name, size_t name_len, const char *value,
                  size_t value_len)
{
	/* A NUL inside would end it too early. */
	assert(memchr(name, '\0', name_len) == NULL);
	assert(value_len == 0 || memchr(value, '\0', value_len) == NULL);
	add(h, &(struct header){name, value, name_len, value_len});
}

void headers_add_number(struct headers *h, const char *name, int64_t n)
{
	char digits[TEXT_DIGITS];
	size_t at = text_digits(digits, n);

	add(h, &(struct header){name, digits + at, strlen(name), sizeof(digits) - at});
}

bool headers_next(const struct headers *h, size_t *at, struct header *out)
{
	struct lengths lengths;

	if (*at >= h->text.len)
		return false;
	memcpy(&lengths, h->text.s + *at, sizeof(lengths));
	out->name_len = lengths.name;
	out->value_len = lengths.value;
	out->name = h->text.s + *at + sizeof(lengths);
	out->value = out->name + out->name_len + 1;
	*at += sizeof(lengths) + out->name_len + out->value_len + 2;
	return true;
}

/* The next one of that name. */
static bool next_named(const struct headers *h, size_t *at, const char *name, size_t len,
                       struct header *out)
{
	while (headers_next(h, at, out))
		if (out->name_len == len && strcasecmp(out->name, name) == 0)
			return true;
	return false;
}

const char *headers_get(const struct headers *h, const char *name)
{
	struct header f;
	size_t at = 0;

	return next_named(h, &at, name, strlen(name), &f) ? f.value : NULL;
}

size_t headers_count_of(const struct headers *h, const char *name)
{
	size_t at = 0, n = 0, len = strlen(name);
	struct header f;

	while (next_named(h, &at, name, len, &f))
		n++;
	return n;
}

bool headers_has_token(const struct headers *h, const char *name, const char *token)
{
	size_t at = 0, len = strlen(name);
	struct header f;

	while (next_named(h, &at, name, len, &f))
		if (headers_list_has(f.value, token))
			return true;
	return false;
}

void headers_drop(struct headers *h, header_test_fn *test, const void *arg)
{
	size_t from = 0, at = 0, kept = 0;
	struct header f;

	for (; headers_next(h, &at, &f); from = at) {
		if (test(&f, arg)) {
			h->count--;
			continue;
		}
		if (kept != from)
			memmove(h->text.s + kept, h->text.s + from, at - from);
		kept += at - from;
	}
	if (kept == h->text.len)
		return;
	h->text.len = kept;
	h->text.s[kept] = '\0';
}

void headers_copy(struct headers *to, const struct headers *from)
{
	headers_clear(to);
	text_reserve(&to->text, from->text.len + ROOM_FOR_MORE);
	text_add(&to->text, from->text.s, from->text.len);
	to->count = from->count;
}

void headers_move(struct headers *to, struct headers *from)
{
	headers_clear(to);
	*to = *from;
	*from = (struct headers){0};
}

void headers_clear(struct headers *h)
{
	text_clear(&h->text);
	h->count = 0;
}

bool headers_is_token(const char *s, size_t len)
{
	/* Letters, digits and !#$%&'*+-.^_`|~, a bit for each. */
	static const uint64_t allowed[4] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe};

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((allowed[c / 64] >> c % 64 & 1) == 0)
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
