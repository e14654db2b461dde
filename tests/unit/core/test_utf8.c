#include "core/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void whole_characters_are_read_with_their_length(void **state)
{
	static const struct {
		const char *s;
		uint32_t c;
	} list[] = {
	        {"a", 'a'},
	        {"\x7f", 0x7f},
	        {"\xc2\x80", 0x80},
	        {"\xdf\xbf", 0x7ff},
	        {"\xe0\xa0\x80", 0x800},
	        {"\xef\xbf\xbf", 0xffff},
	        {"\xf0\x90\x80\x80", 0x10000},
	        {"\xf4\x8f\xbf\xbf", 0x10ffff},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		uint32_t c = 0;

		assert_int_equal(utf8_next(list[i].s, strlen(list[i].s), &c),
		                 strlen(list[i].s));
		assert_int_equal(c, list[i].c);
	}
}

static void anything_else_is_one_broken_byte(void **state)
{
	static const char *const list[] = {
	        "\x80",
	        "\xbf",
	        "\xc0\x80",
	        "\xc1\xbf",
	        "\xe0\x9f\xbf",
	        "\xed\xa0\x80",
	        "\xed\xbf\xbf",
	        "\xf0\x8f\xbf\xbf",
	        "\xf4\x90\x80\x80",
	        "\xf5\x80\x80\x80",
	        "\xff",
	        "\xc3",
	        "\xe2\x82",
	        "\xf0\x9f\x98",
	        "\xc3(",
	        "\xe2(\xa1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		uint32_t c = 0;

		assert_int_equal(utf8_next(list[i], strlen(list[i]), &c), 1);
		assert_int_equal(c, UTF8_BROKEN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(whole_characters_are_read_with_their_length),
	        cmocka_unit_test(anything_else_is_one_broken_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
