/* core/json_scan.c - finds things in JSON text without building a tree.
 *
 * Two scans. The first, json_whole(), looks at everything once and knows the grammar: a
 * stack of bits says for each open bracket whether it is an object. The second walks what
 * the first has passed, and only skips: it counts brackets and jumps over strings. Bodies
 * that are large are large by lists of numbers and by long strings, so both scans take
 * those many bytes at a time (core/json_skip.c). What a string means that was found is
 * another matter (core/json_text.c).
 *
 * Handed garbage, the second scan yields garbage or stops; it never leaves its slice. */
#include "core/json_scan.h"

#include <string.h>

#include "core/json_skip.h"

#define FEW_NUMBERS 3

/* ---- the first scan: is the structure sound? ---- */

enum expect {
	A_VALUE,
	A_VALUE_OR_END, /* behind [ */
	A_KEY,
	A_KEY_OR_END, /* behind { */
	WHAT_FOLLOWS, /* comma, end of the container, or end of the text */
};

struct scan {
	const char *at, *end;
	enum expect expect;
	unsigned depth;
	uint64_t maps[JSON_MAX_DEPTH / 64]; /* a bit for each depth: is it an object? */
};

static bool in_map(const struct scan *s)
{
	unsigned top = s->depth - 1;

	return s->depth > 0 && (s->maps[top / 64] >> top % 64 & 1) != 0;
}

static bool open_container(struct scan *s, bool map)
{
	uint64_t bit = UINT64_C(1) << s->depth % 64;

	if (s->depth == JSON_MAX_DEPTH)
		return false;
	if (map)
		s->maps[s->depth / 64] |= bit;
	else
		s->maps[s->depth / 64] &= ~bit;
	s->depth++;
	s->at++;
	s->expect = map ? A_KEY_OR_END : A_VALUE_OR_END;
	return true;
}

static bool close_container(struct scan *s, char c)
{
	if (s->depth == 0 || c != (in_map(s) ? '}' : ']'))
		return false;
	s->depth--;
	s->at++;
	s->expect = WHAT_FOLLOWS;
	return true;
}

/* Moves on to `to`, the end of what was found; NULL if it was not found. */
static bool move_to(struct scan *s, const char *to, enum expect expect)
{
	if (to == NULL)
		return false;
	s->at = to;
	s->expect = expect;
	return true;
}

static bool scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return false;
	return move_to(s, s->at + len, WHAT_FOLLOWS);
}

static const char *skip_number(const char *at, const char *end)
{
	while (at < end && json_is_of_number(*at))
		at++;
	return at;
}

/* In a list more numbers follow, as a rule: few of them, as in a list of pairs, are
 * walked here, many are skipped. */
static bool scan_numbers(struct scan *s)
{
	const char *at = skip_number(s->at, s->end);

	for (int i = 0; i < FEW_NUMBERS && s->end - at > 1 && at[0] == ','; i++) {
		if (at[1] != '-' && !json_is_digit(at[1]))
			break;
		at = skip_number(at + 1, s->end);
	}
	if (at == s->end || *at != ',')
		return move_to(s, at, WHAT_FOLLOWS);
	return move_to(s, json_skip_numbers(at + 1, s->end), A_VALUE);
}

static bool scan_number(struct scan *s)
{
	if (s->depth > 0 && !in_map(s))
		return scan_numbers(s);
	return move_to(s, skip_number(s->at, s->end), WHAT_FOLLOWS);
}

static bool scan_value(struct scan *s, char c)
{
	switch (c) {
	case '{':
	case '[':
		return open_container(s, c == '{');
	case '"':
		return move_to(s, json_skip_string(s->at, s->end), WHAT_FOLLOWS);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		return (c == '-' || json_is_digit(c)) && scan_number(s);
	}
}

static bool scan_key(struct scan *s, char c)
{
	const char *at = c == '"' ? json_skip_string(s->at, s->end) : NULL;

	if (at == NULL)
		return false;
	at = json_skip_space(at, s->end);
	return at < s->end && *at == ':' && move_to(s, at + 1, A_VALUE);
}

static bool scan_step(struct scan *s)
{
	char c = *s->at;

	switch (s->expect) {
	case A_VALUE_OR_END:
		return c == ']' ? close_container(s, c) : scan_value(s, c);
	case A_VALUE:
		return scan_value(s, c);
	case A_KEY_OR_END:
		return c == '}' ? close_container(s, c) : scan_key(s, c);
	case A_KEY:
		return scan_key(s, c);
	default:
		if (c == ',')
			return move_to(s, s->at + 1, in_map(s) ? A_KEY : A_VALUE);
		return close_container(s, c);
	}
}

struct json_slice json_whole(const char *text, size_t len)
{
	struct scan s = {.at = text, .end = text + len, .expect = A_VALUE};
	const char *from;

	from = s.at = json_skip_space(s.at, s.end);
	do {
		if (s.at == s.end || !scan_step(&s))
			return (struct json_slice){0};
		if (s.expect == WHAT_FOLLOWS && s.depth == 0)
			break;
		s.at = json_skip_space(s.at, s.end);
	} while (true);
	if (json_skip_space(s.at, s.end) != s.end)
		return (struct json_slice){0};
	return (struct json_slice){from, (size_t)(s.at - from)};
}

enum json_kind json_kind(struct json_slice v)
{
	if (v.at == NULL || v.len == 0)
		return JSON_ABSENT;
	switch (v.at[0]) {
	case '{':
		return JSON_MAP;
	case '[':
		return JSON_LIST;
	case '"':
		return JSON_TEXT;
	case 't':
	case 'f':
		return JSON_BOOL;
	case 'n':
		return JSON_NULL_VALUE;
	default:
		return v.at[0] == '-' || json_is_digit(v.at[0]) ? JSON_NUMBER
		                                                : JSON_ABSENT;
	}
}

/* ---- the second scan: from value to value ---- */

static const char *skip_container(const char *at, const char *end)
{
	size_t depth = 0;

	while ((at = json_next_mark(at, end)) < end) {
		if (*at == '"') {
			at = json_skip_string(at, end);
			if (at == NULL)
				return NULL;
			continue;
		}
		depth += *at == '[' || *at == '{' ? 1 : (size_t)-1;
		at++;
		if (depth == 0)
			return at;
	}
	return NULL;
}

static const char *skip_scalar(const char *at, const char *end)
{
	const char *from = at;

	while (at < end && (json_is_of_number(*at) || (*at >= 'a' && *at <= 'z')))
		at++;
	return at > from ? at : NULL;
}

/* Takes the value at w->at. */
static bool take(struct json_walk *w, struct json_slice *out)
{
	const char *from = w->at, *to;

	if (from == w->end)
		return false;
	if (*from == '"')
		to = json_skip_string(from, w->end);
	else if (*from == '[' || *from == '{')
		to = skip_container(from, w->end);
	else
		to = skip_scalar(from, w->end);
	if (to == NULL)
		return false;
	*out = (struct json_slice){from, (size_t)(to - from)};
	w->at = json_skip_space(to, w->end);
	return true;
}

static bool take_key(struct json_walk *w)
{
	if (w->at == w->end || *w->at != '"' || !take(w, &w->key))
		return false;
	if (w->at == w->end || *w->at != ':')
		return false;
	w->at = json_skip_space(w->at + 1, w->end);
	return true;
}

struct json_walk json_walk(struct json_slice v)
{
	enum json_kind kind = json_kind(v);
	bool map = kind == JSON_MAP;

	if ((!map && kind != JSON_LIST) || v.len < 2 ||
	    v.at[v.len - 1] != (map ? '}' : ']'))
		return (struct json_walk){0};
	return (struct json_walk){.at = v.at + 1, .end = v.at + v.len - 1, .map = map};
}

bool json_step(struct json_walk *w)
{
	w->at = json_skip_space(w->at, w->end);
	if ((w->map && !take_key(w)) || !take(w, &w->value)) {
		*w = (struct json_walk){0};
		return false;
	}
	w->at = w->at < w->end && *w->at == ',' ? w->at + 1 : w->end;
	return true;
}

struct json_slice json_member(struct json_slice object, const char *key)
{
	struct json_walk w = json_walk(object);
	struct json_slice found = {0};

	while (json_step(&w))
		if (w.map && json_text_is(w.key, key))
			found = w.value;
	return found;
}

size_t json_count(struct json_slice list)
{
	struct json_walk w = json_walk(list);
	size_t n = 0;

	while (json_step(&w))
		n++;
	return n;
}
