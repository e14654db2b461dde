/* Any bytes between two quotes: what they mean, and whether they mean anything, must be
 * what jansson says. (fuzz_json_scan asks about what jansson accepts; here it is asked
 * both ways.) And any bytes as text to be quoted, which jansson must read back. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/text.h"
#include "core/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool so)
{
	if (!so)
		abort();
}

static json_t *judge(const struct text *t)
{
	return json_loadb(t->s, t->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static void unquote(const char *bytes, size_t size)
{
	struct text quoted = {0};
	json_t *tree;
	char *text;
	size_t len = 0;
	bool has_nul;

	text_addc(&quoted, '"');
	text_add(&quoted, bytes, size);
	text_addc(&quoted, '"');
	tree = judge(&quoted);
	has_nul = tree != NULL &&
	          strlen(json_string_value(tree)) != json_string_length(tree);
	text = json_text((struct json_slice){quoted.s, quoted.len}, &len);
	must((text != NULL) == (tree != NULL && !has_nul));
	if (text != NULL) {
		must(len == json_string_length(tree));
		must(memcmp(text, json_string_value(tree), len) == 0);
		must(json_text_is((struct json_slice){quoted.s, quoted.len}, text));
	}
	free(text);
	json_decref(tree);
	text_clear(&quoted);
}

static bool is_utf8(const char *bytes, size_t size)
{
	uint32_t c;

	for (size_t at = 0; at < size;) {
		at += utf8_next(bytes + at, size - at, &c);
		if (c == UTF8_BROKEN)
			return false;
	}
	return true;
}

static void quote(const char *bytes, size_t size)
{
	json_t *own = json_stringn(bytes, size), *tree; /* NULL: not UTF-8 */
	struct text quoted = {0};

	must(is_utf8(bytes, size) == (own != NULL));
	json_add_quoted(&quoted, bytes, size);
	tree = judge(&quoted);
	must(json_is_string(tree));
	if (own != NULL)
		must(json_equal(own, tree));
	json_decref(own);
	json_decref(tree);
	text_clear(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = size > 0 ? (const char *)data : "";

	unquote(bytes, size);
	quote(bytes, size);
	return 0;
}
