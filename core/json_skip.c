/* core/json_skip.c - over the bytes of JSON text, many at a time. */
#include "core/json_skip.h"

#include <stddef.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A quote is escaped when an
 * odd number of backslashes stands before it; the opening quote ends their row. */
const char *json_skip_string(const char *at, const char *end)
{
	const char *quote = at;

	while ((quote = memchr(quote + 1, '"', (size_t)(end - quote - 1))) != NULL) {
		const char *slashes = quote;

		while (slashes[-1] == '\\')
			slashes--;
		if ((quote - slashes) % 2 == 0)
			return quote + 1;
	}
	return NULL;
}

static bool is_mark(char c)
{
	return c == '"' || c == '[' || c == ']' || c == '{' || c == '}';
}

#ifdef __SSE2__

static __m128i load(const char *at)
{
	return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static __m128i equal(__m128i block, char c)
{
	return _mm_cmpeq_epi8(block, _mm_set1_epi8(c));
}

static unsigned bits(__m128i mask)
{
	return (unsigned)_mm_movemask_epi8(mask);
}

/* Brackets differ from braces in one bit. */
const char *json_next_mark(const char *at, const char *end)
{
	for (; end - at >= 16; at += 16) {
		__m128i block = load(at);
		__m128i folded = _mm_or_si128(block, _mm_set1_epi8(0x20));
		unsigned found = bits(_mm_or_si128(
		        equal(block, '"'),
		        _mm_or_si128(equal(folded, '{'), equal(folded, '}'))));

		if (found != 0)
			return at + __builtin_ctz(found);
	}
	while (at < end && !is_mark(*at))
		at++;
	return at;
}

/* What numbers begin with: digits and the minus. */
static __m128i starts_of(__m128i block)
{
	__m128i digits = _mm_and_si128(_mm_cmpgt_epi8(block, _mm_set1_epi8('0' - 1)),
	                               _mm_cmplt_epi8(block, _mm_set1_epi8('9' + 1)));

	return _mm_or_si128(digits, equal(block, '-'));
}

/* What else they are made of: point, plus and exponent. */
static __m128i others_of(__m128i block)
{
	__m128i folded = _mm_or_si128(block, _mm_set1_epi8(0x20));
	__m128i signs = _mm_or_si128(equal(block, '.'), equal(block, '+'));

	return _mm_or_si128(signs, equal(folded, 'e'));
}

const char *json_skip_numbers(const char *at, const char *end)
{
	const char *behind_comma = at;
	unsigned after_number = 0, after_comma = 1; /* the byte before this block */

	for (; end - at >= 16; at += 16) {
		__m128i block = load(at);
		unsigned starts = bits(starts_of(block));
		unsigned numbers = starts | bits(others_of(block));
		unsigned commas = bits(equal(block, ','));
		unsigned blanks = bits(equal(block, ' '));
		unsigned follows_number = numbers << 1 | after_number;
		unsigned follows_comma = commas << 1 | after_comma;

		if ((numbers | commas | blanks) != 0xffff ||
		    (commas & ~follows_number) != 0 || (blanks & ~follows_comma) != 0 ||
		    (numbers & ~follows_number & ~starts) != 0)
			break;
		if (commas != 0)
			behind_comma = at + 32 - __builtin_clz(commas);
		after_number = numbers >> 15;
		after_comma = commas >> 15;
	}
	return behind_comma;
}

#else

const char *json_next_mark(const char *at, const char *end)
{
	while (at < end && !is_mark(*at))
		at++;
	return at;
}

const char *json_skip_numbers(const char *at, const char *end)
{
	(void)end;
	return at;
}

#endif
