/* http/query.c - what stands behind the '?' of a path, for the pages of operators. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "http/admin.h"

static int digit(char c)
{
	c = (char)tolower((unsigned char)c);
	return isdigit((unsigned char)c) ? c - '0' : c - 'a' + 10;
}

static char *decoded(const char *s, size_t len)
{
	struct text out = {0};

	for (size_t k = 0; k < len; k++) {
		char c = s[k] == '+' ? ' ' : s[k];

		if (c == '%' && k + 2 < len && isxdigit((unsigned char)s[k + 1]) &&
		    isxdigit((unsigned char)s[k + 2])) {
			c = (char)(digit(s[k + 1]) * 16 + digit(s[k + 2]));
			k += 2;
		}
		text_addc(&out, c == '\0' ? ' ' : c);
	}
	return out.len > 0 ? text_detach(&out) : mem_string("");
}

char *query_text(const struct exchange *ex, const char *key)
{
	const char *at = ex->route.query;
	size_t name = strlen(key);

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at, "&");

		if (len > name && at[name] == '=' && memcmp(at, key, name) == 0)
			return decoded(at + name + 1, len - name - 1);
		at += len + (at[len] == '&');
	}
	return NULL;
}

bool query_number(const struct exchange *ex, const char *key, int64_t otherwise,
                  int64_t *out)
{
	char *text = query_text(ex, key);
	bool good = true;

	*out = otherwise;
	if (text != NULL) {
		*out = json_int64((struct json_slice){text, strlen(text)}, -1);
		good = *out >= 0;
	}
	free(text);
	return good;
}

bool query_flag(const struct exchange *ex, const char *key)
{
	char *text = query_text(ex, key);
	bool on = text != NULL && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0);

	free(text);
	return on;
}
