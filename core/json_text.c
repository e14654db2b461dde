/* core/json_text.c - what the strings and numbers that core/json_scan.c found mean, and
 * how text becomes a JSON string.
 *
 * A string is read one character at a time, each an escape or some bytes of UTF-8. What
 * a strict parser refuses means nothing here either, and neither does a NUL, which would
 * end the text early: the caller sees "not a string". */
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/json_skip.h"
#include "core/mem.h"
#include "core/text.h"
#include "core/utf8.h"

static bool read_unit(const char **at, const char *end, uint32_t *unit)
{
	if (end - *at < 4)
		return false;
	*unit = 0;
	for (int i = 0; i < 4; i++) {
		char c = *(*at)++;
		char folded = (char)(c | 0x20);

		if (json_is_digit(c))
			*unit = *unit << 4 | (uint32_t)(c - '0');
		else if (folded >= 'a' && folded <= 'f')
			*unit = *unit << 4 | (uint32_t)(folded - 'a' + 10);
		else
			return false;
	}
	return true;
}

/* Behind `\u`. A high surrogate must have its low one as the next escape. */
static bool read_escaped_code(const char **at, const char *end, uint32_t *c)
{
	uint32_t low;

	if (!read_unit(at, end, c) || (*c >= 0xdc00 && *c < 0xe000))
		return false;
	if (*c < 0xd800 || *c >= 0xe000)
		return *c != 0;
	if (end - *at < 2 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return false;
	*at += 2;
	if (!read_unit(at, end, &low) || low < 0xdc00 || low >= 0xe000)
		return false;
	*c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
	return true;
}

static bool read_escape(const char **at, const char *end, uint32_t *c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *known;

	if (end - *at < 2)
		return false;
	*c = (unsigned char)(*at)[1];
	*at += 2;
	if (*c == 'u')
		return read_escaped_code(at, end, c);
	known = memchr(from, (int)*c, sizeof(from) - 1);
	if (known == NULL)
		return false;
	*c = (unsigned char)to[known - from];
	return true;
}

/* The next character between the quotes. */
static bool read_character(const char **at, const char *end, uint32_t *c)
{
	if (**at == '\\')
		return read_escape(at, end, c);
	*at += utf8_next(*at, (size_t)(end - *at), c);
	return *c != UTF8_BROKEN && *c >= 0x20 && *c != '"';
}

static size_t write_character(uint32_t c, char out[4])
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)(lead[n] | c);
	return n;
}

static bool is_quoted(struct json_slice v)
{
	return json_kind(v) == JSON_TEXT && v.len >= 2 && v.at[v.len - 1] == '"';
}

bool json_text_is(struct json_slice v, const char *text)
{
	const char *at, *end;

	if (!is_quoted(v))
		return false;
	for (at = v.at + 1, end = v.at + v.len - 1; at < end;) {
		char bytes[4];
		uint32_t c;
		size_t n;

		if (!read_character(&at, end, &c))
			return false;
		n = write_character(c, bytes);
		if (strncmp(text, bytes, n) != 0)
			return false;
		text += n;
	}
	return *text == '\0';
}

char *json_text(struct json_slice v, size_t *len)
{
	const char *at, *end;
	char *out;
	size_t n = 0;

	if (!is_quoted(v))
		return NULL;
	out = mem_alloc(v.len); /* no character is longer than what stands for it */
	for (at = v.at + 1, end = v.at + v.len - 1; at < end;) {
		uint32_t c;

		if (!read_character(&at, end, &c)) {
			free(out);
			return NULL;
		}
		n += write_character(c, out + n);
	}
	if (len != NULL)
		*len = n;
	return out;
}

/* ---- scalars ---- */

bool json_flag(struct json_slice v)
{
	return v.at != NULL && v.len == 4 && memcmp(v.at, "true", 4) == 0;
}

int64_t json_int64(struct json_slice v, int64_t otherwise)
{
	const char *at = v.at, *end;
	int64_t n = 0; /* counts downwards: that side reaches one further */
	bool minus;

	if (json_kind(v) != JSON_NUMBER)
		return otherwise;
	end = at + v.len;
	minus = *at == '-';
	at += minus;
	if (at == end || (*at == '0' && end - at > 1))
		return otherwise;
	for (; at < end; at++)
		if (!json_is_digit(*at) || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_sub_overflow(n, *at - '0', &n))
			return otherwise;
	if (!minus && n == INT64_MIN)
		return otherwise;
	return minus ? n : -n;
}

/* ---- writing ---- */

static void add_escape(struct text *to, uint32_t c)
{
	switch (c) {
	case '"':
		text_adds(to, "\\\"");
		break;
	case '\\':
		text_adds(to, "\\\\");
		break;
	case '\n':
		text_adds(to, "\\n");
		break;
	case '\r':
		text_adds(to, "\\r");
		break;
	case '\t':
		text_adds(to, "\\t");
		break;
	case UTF8_BROKEN:
		text_adds(to, "\xef\xbf\xbd"); /* the replacement character */
		break;
	default:
		text_addf(to, "\\u%04x", (unsigned)c);
	}
}

void json_add_quoted(struct text *to, const char *s, size_t len)
{
	size_t plain = 0, at = 0; /* s[plain..at) goes as it is */

	text_addc(to, '"');
	while (at < len) {
		uint32_t c;
		size_t n = utf8_next(s + at, len - at, &c);

		if (c == UTF8_BROKEN || c < 0x20 || c == '"' || c == '\\') {
			text_add(to, s + plain, at - plain);
			add_escape(to, c);
			plain = at + n;
		}
		at += n;
	}
	text_add(to, s + plain, at - plain);
	text_addc(to, '"');
}
