/* core/json_skip.h - pure: over the bytes of JSON text, many at a time.
 *
 * The ground floor of core/json_scan, for its files only. */
#ifndef CORE_JSON_SKIP_H
#define CORE_JSON_SKIP_H

#include <stdbool.h>

/* From the opening quote to behind the closing one; NULL if there is none. */
const char *json_skip_string(const char *at, const char *end);
/* To the next quote, bracket or brace; `end` if there is none. */
const char *json_next_mark(const char *at, const char *end);
/* Inside a list, where a value may begin: skips `1.5,-2, 3e4,` as long as it is nothing
 * but numbers, commas, and single blanks behind commas. Returns to where a value must
 * begin: behind the last comma that was skipped; or `at`. */
const char *json_skip_numbers(const char *at, const char *end);

static inline bool json_is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool json_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool json_is_of_number(char c)
{
	return json_is_digit(c) || c == '-' || c == '+' || c == '.' || (c | 0x20) == 'e';
}

static inline const char *json_skip_space(const char *at, const char *end)
{
	while (at < end && json_is_space(*at))
		at++;
	return at;
}

#endif
