/* core/uuid.c - UUIDs as Chroma writes and reads them.
 *
 * Chroma (the uuid crate) takes 32 hex digits bare, or the hyphenated form bare, in
 * braces or behind "urn:uuid:". All of them mean the same collection, so all of them
 * become one text here: hyphenated, lower case. */
#include "core/uuid.h"

#include <string.h>

#include "core/random.h"

#define DIGITS 32u

/* Where the hyphens come, counted in digits before them. */
static bool hyphen_after(size_t digits)
{
	return digits == 8 || digits == 12 || digits == 16 || digits == 20;
}

static void write_hyphenated(const char digits[DIGITS], struct uuid *out)
{
	char *to = out->text;

	for (size_t i = 0; i < DIGITS; i++) {
		if (hyphen_after(i))
			*to++ = '-';
		*to++ = digits[i];
	}
	*to = '\0';
}

/* Takes `{...}` and `urn:uuid:` off a hyphenated UUID. */
static void unwrap(const char **s, size_t *len)
{
	static const char urn[] = "urn:uuid:";
	const size_t prefix = sizeof(urn) - 1;

	if (*len == UUID_LEN + 2 && (*s)[0] == '{' && (*s)[UUID_LEN + 1] == '}') {
		*s += 1;
		*len = UUID_LEN;
	} else if (*len == UUID_LEN + prefix && memcmp(*s, urn, prefix) == 0) {
		*s += prefix;
		*len = UUID_LEN;
	}
}

bool uuid_parse(const char *s, size_t len, struct uuid *out)
{
	char digits[DIGITS];
	size_t at = 0;
	bool hyphens;

	*out = (struct uuid){0};
	unwrap(&s, &len);
	hyphens = len == UUID_LEN;
	if (!hyphens && len != DIGITS)
		return false;
	for (size_t i = 0; i < DIGITS; i++) {
		char c;

		if (hyphens && hyphen_after(i) && s[at++] != '-')
			return false;
		c = s[at++];
		if (c >= 'A' && c <= 'F')
			c = (char)(c - 'A' + 'a');
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		digits[i] = c;
	}
	write_hyphenated(digits, out);
	return true;
}

bool uuid_parse_json(struct json_slice v, struct uuid *out)
{
	*out = (struct uuid){0};
	return json_kind(v) == JSON_TEXT && v.len == UUID_LEN + 2 &&
	       uuid_parse(v.at + 1, UUID_LEN, out);
}

void uuid_random(struct uuid *out)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t halves[2] = {random_u64(), random_u64()};
	char digits[DIGITS];

	for (size_t i = 0; i < DIGITS; i++)
		digits[i] = hex[halves[i / 16] >> (i % 16 * 4) & 15];
	digits[12] = '4';                      /* version */
	digits[16] = hex[8 | (halves[1] & 3)]; /* variant */
	write_hyphenated(digits, out);
}

bool uuid_none(const struct uuid *u)
{
	return u->text[0] == '\0';
}

int uuid_compare(const struct uuid *a, const struct uuid *b)
{
	return strcmp(a->text, b->text);
}
