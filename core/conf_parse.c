/* core/conf_parse.c - pure: values as people write them. */
#include "core/conf_parse.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_DIGITS 15u /* exact in a double */

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit durations[] = {{"", 1000},    {"ms", 1},      {"s", 1000},
                                        {"m", 60000},  {"h", 3600000}, {"d", 86400000},
                                        {"min", 60000}};
static const struct unit sizes[] = {
        {"b", 1},         {"k", 1 << 10},  {"m", 1 << 20},     {"g", 1 << 30},
        {"kb", 1000},     {"mb", 1000000}, {"gb", 1000000000}, {"kib", 1 << 10},
        {"mib", 1 << 20}, {"gib", 1 << 30}};

/* Digits, and with `fraction` a point and more of them; *rest is what follows. */
static bool parse_number(const char *s, bool fraction, double *out, const char **rest)
{
	size_t whole = strspn(s, "0123456789"), part = 0;
	char digits[2 * MOST_DIGITS + 2] = "";

	if (whole == 0 || whole > MOST_DIGITS)
		return false;
	if (fraction && s[whole] == '.') {
		part = strspn(s + whole + 1, "0123456789");
		if (part == 0 || part > MOST_DIGITS)
			return false;
		part++;
	}
	memcpy(digits, s, whole + part);
	*out = strtod(digits, NULL);
	*rest = s + whole + part;
	return true;
}

static bool find_unit(const struct unit *units, size_t n, const char *name, double *out)
{
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(units[i].name, name) == 0) {
			*out = (double)units[i].factor;
			return true;
		}
	return false;
}

bool conf_parse_count(const char *s, int64_t *out)
{
	const char *rest;
	double number;

	if (!parse_number(s, false, &number, &rest) || *rest != '\0')
		return false;
	*out = (int64_t)number;
	return true;
}

bool conf_parse_share(const char *s, double *out)
{
	const char *rest;
	double number;

	if (!parse_number(s, true, &number, &rest) || *rest != '\0')
		return false;
	*out = number;
	return true;
}

bool conf_parse_duration(const char *s, msec *out)
{
	double number, factor;
	const char *rest;

	if (!parse_number(s, true, &number, &rest) ||
	    !find_unit(durations, sizeof(durations) / sizeof(durations[0]), rest,
	               &factor) ||
	    number * factor > 1e15)
		return false;
	*out = (msec)(number * factor + 0.5);
	return true;
}

bool conf_parse_size(const char *s, int64_t unit, int64_t *out)
{
	double number, factor = (double)unit;
	const char *rest;

	if (!parse_number(s, true, &number, &rest))
		return false;
	if (*rest != '\0' &&
	    !find_unit(sizes, sizeof(sizes) / sizeof(sizes[0]), rest, &factor))
		return false;
	if (number * factor > 1e15)
		return false;
	*out = (int64_t)(number * factor) / unit;
	return true;
}

bool conf_parse_switch(const char *s, bool *out)
{
	static const char *const words[] = {"off", "on",  "false", "true",
	                                    "no",  "yes", "0",     "1"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(s, words[i]) == 0) {
			*out = i % 2 == 1;
			return true;
		}
	return false;
}

static unsigned least_of(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

unsigned conf_distance(const char *a, const char *b)
{
	unsigned row[33];
	size_t n = strlen(a), m = strlen(b);

	if (n > 32 || m > 32)
		return 32;
	for (unsigned j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 0; i < n; i++) {
		unsigned corner = row[0];

		row[0]++;
		for (size_t j = 0; j < m; j++) {
			unsigned above = row[j + 1];

			row[j + 1] = least_of(above + 1, row[j] + 1,
			                      corner + (a[i] == b[j] ? 0 : 1));
			corner = above;
		}
	}
	return row[m];
}
