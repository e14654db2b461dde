/* Ids and names where one must stand for another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "mapping/mapping.h"

#define ONE "11111111-1111-4111-8111-111111111111"
#define TWO "22222222-2222-4222-8222-222222222222"

static const struct uuid one = {ONE}, two = {TWO}, none;

static void every_occurrence_of_an_id_is_replaced(void **state)
{
	char text[] = "Collection [" ONE "] is not " ONE "" ONE ".";

	(void)state;
	rewrite_id(text, strlen(text), &one, &two);
	assert_string_equal(text, "Collection [" TWO "] is not " TWO "" TWO ".");
}

static void what_only_looks_like_it_stays(void **state)
{
	char text[] = "11111111-1111-4111-8111-11111111111 " TWO;
	char before[sizeof(text)];

	(void)state;
	memcpy(before, text, sizeof(text));
	rewrite_id(text, strlen(text), &one, &two);
	assert_string_equal(text, before);
}

static void nothing_beyond_the_length_is_touched(void **state)
{
	char text[] = ONE;

	(void)state;
	rewrite_id(text, UUID_LEN - 1, &one, &two);
	assert_string_equal(text, ONE);
	rewrite_id(text, 0, &one, &two);
	assert_string_equal(text, ONE);
}

static void no_id_is_never_looked_for_and_never_written(void **state)
{
	char text[] = "a" ONE;

	(void)state;
	rewrite_id(text, strlen(text), &none, &two);
	rewrite_id(text, strlen(text), &one, &none);
	rewrite_id(text, strlen(text), &one, &one);
	assert_string_equal(text, "a" ONE);
}

static void assert_segment(const char *segment, const char *expected)
{
	struct text path = {0};

	text_adds(&path, "/");
	rewrite_add_segment(&path, segment);
	assert_string_equal(path.s, expected);
	text_clear(&path);
}

static void a_segment_cannot_leave_its_place_in_the_path(void **state)
{
	(void)state;
	assert_segment("plain-Name_1.~", "/plain-Name_1.~");
	assert_segment("a/b", "/a%2Fb");
	assert_segment("a b?c#d%", "/a%20b%3Fc%23d%25");
	assert_segment("\xc3\xa9", "/%C3%A9");
	assert_segment("a\r\nb", "/a%0D%0Ab");
	assert_segment("", "/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_occurrence_of_an_id_is_replaced),
	        cmocka_unit_test(what_only_looks_like_it_stays),
	        cmocka_unit_test(nothing_beyond_the_length_is_touched),
	        cmocka_unit_test(no_id_is_never_looked_for_and_never_written),
	        cmocka_unit_test(a_segment_cannot_leave_its_place_in_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
