/* Any bytes as a UUID, and any text in which one id is to stand for another.
 *
 * A UUID is checked against a slower reading: without its wrapping it is 32 hex digits,
 * with hyphens or without any. Of a rewritten text nothing may have changed but whole
 * occurrences of the id. */
#include <ctype.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/text.h"
#include "mapping/mapping.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

static bool has_ends(const char *s, size_t len, const char *before, const char *after)
{
	size_t n = strlen(before), m = strlen(after);

	return len == n + UUID_LEN + m && memcmp(s, before, n) == 0 &&
	       memcmp(s + len - m, after, m) == 0;
}

/* False: no UUID. Else what it means. */
static bool read_slowly(const char *s, size_t len, char out[UUID_LEN + 1])
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	bool bare = len == 32;

	if (has_ends(s, len, "{", "}"))
		s++;
	else if (has_ends(s, len, "urn:uuid:", ""))
		s += 9;
	else if (!bare && len != UUID_LEN)
		return false;
	for (size_t i = 0; i < UUID_LEN; i++) {
		if (form[i] == '-') {
			out[i] = '-';
			if (!bare && *s++ != '-')
				return false;
		} else {
			out[i] = (char)tolower((unsigned char)*s);
			if (!isxdigit((unsigned char)*s++))
				return false;
		}
	}
	out[UUID_LEN] = '\0';
	return true;
}

static void parse(const char *s, size_t len)
{
	char expected[UUID_LEN + 1];
	struct uuid id, again;

	must(uuid_parse(s, len, &id) == read_slowly(s, len, expected));
	if (uuid_none(&id))
		return;
	must(strcmp(id.text, expected) == 0);
	must(uuid_parse(id.text, UUID_LEN, &again) && uuid_compare(&id, &again) == 0);
}

static const struct uuid ours = {"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"};
static const struct uuid theirs = {"bbbbbbbb-0000-4000-8000-000000000001"};

/* From left to right, as a person would do it. */
static void check_rewritten(const char *before, const char *after, size_t len,
                            const struct uuid *from, const struct uuid *to)
{
	size_t at = 0;

	while (at < len) {
		if (len - at >= UUID_LEN &&
		    memcmp(before + at, from->text, UUID_LEN) == 0) {
			must(memcmp(after + at, to->text, UUID_LEN) == 0);
			at += UUID_LEN;
		} else {
			must(before[at] == after[at]);
			at++;
		}
	}
}

static void rewrite(const char *text, size_t len, const struct uuid *from,
                    const struct uuid *to)
{
	char *copy = mem_copy(text, len);

	rewrite_id(copy, len, from, to);
	check_rewritten(text, copy, len, from, to);
	free(copy);
}

/* Where the input says '@', the id is put in: a fuzzer does not find it by itself. */
static void rewrite_filled(const char *bytes, size_t size, const struct uuid *from,
                           const struct uuid *to)
{
	struct text text = {0};

	for (size_t i = 0; i < size && i < 4096; i++)
		if (bytes[i] == '@')
			text_adds(&text, from->text);
		else
			text_addc(&text, bytes[i]);
	rewrite(text_string(&text), text.len, from, to);
	text_clear(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = size > 0 ? (const char *)data : "";

	parse(bytes, size);
	rewrite_filled(bytes, size, &theirs, &ours);
	rewrite_filled(bytes, size, &ours, &theirs); /* which may overlap itself */
	return 0;
}
