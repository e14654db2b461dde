/* An ordered list of header fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/headers.h"

static struct headers some(void)
{
	struct headers h = {0};

	headers_add(&h, "Host", "chroma");
	headers_add(&h, "X-Twice", "one");
	headers_add(&h, "Empty", "");
	headers_add(&h, "x-twice", "two");
	return h;
}

static void fields_come_back_in_order_with_their_spelling(void **state)
{
	static const char *const expected[][2] = {{"Host", "chroma"},
	                                          {"X-Twice", "one"},
	                                          {"Empty", ""},
	                                          {"x-twice", "two"}};
	struct headers h = some();
	struct header f;
	size_t at = 0, n = 0;

	(void)state;
	while (headers_next(&h, &at, &f)) {
		assert_in_range(n, 0, 3);
		assert_string_equal(f.name, expected[n][0]);
		assert_string_equal(f.value, expected[n][1]);
		assert_int_equal(f.name_len, strlen(f.name));
		assert_int_equal(f.value_len, strlen(f.value));
		n++;
	}
	assert_int_equal(n, 4);
	assert_int_equal(h.count, 4);
	headers_clear(&h);
}

static void names_are_the_same_without_case(void **state)
{
	const struct header host = {"Host", "", 4, 0};
	const struct header none = {"", "", 0, 0};
	const struct header odd = {"@x", "", 2, 0};

	(void)state;
	assert_true(header_named(&host, "hOST"));
	assert_true(header_named(&none, ""));
	assert_false(header_named(&host, "Hos"));
	assert_false(header_named(&host, "Hosts"));
	assert_false(header_named(&host, "hort"));
	assert_false(header_named(&none, "h"));
	assert_false(header_named(&odd, "`x")); /* as far apart as A and a */
}

static void names_are_found_without_case_the_first_one_wins(void **state)
{
	struct headers h = some();

	(void)state;
	assert_string_equal(headers_get(&h, "hOST"), "chroma");
	assert_string_equal(headers_get(&h, "X-TWICE"), "one");
	assert_string_equal(headers_get(&h, "empty"), "");
	assert_null(headers_get(&h, "Hos"));
	assert_null(headers_get(&h, "Hosts"));
	assert_null(headers_get(&h, "chroma")); /* a value is no name */
	assert_int_equal(headers_count_of(&h, "x-Twice"), 2);
	assert_int_equal(headers_count_of(&h, "absent"), 0);
	headers_clear(&h);
}

static void a_length_cuts_name_and_value(void **state)
{
	struct headers h = {0};

	(void)state;
	headers_addn(&h, "Name: rest", 4, "value\r\n", 5);
	headers_addn(&h, "None", 4, NULL, 0);
	assert_string_equal(headers_get(&h, "name"), "value");
	assert_string_equal(headers_get(&h, "none"), "");
	headers_clear(&h);
}

static void an_empty_list_has_nothing(void **state)
{
	struct headers h = {0};
	struct header f;
	size_t at = 0;

	(void)state;
	assert_null(headers_get(&h, "Host"));
	assert_false(headers_next(&h, &at, &f));
	assert_false(headers_has_token(&h, "Connection", "close"));
	headers_clear(&h);
	headers_clear(&h);
}

static void a_copy_replaces_what_was_there_and_stands_alone(void **state)
{
	struct headers from = some(), to = {0};

	(void)state;
	headers_add(&to, "Old", "gone");
	headers_copy(&to, &from);
	headers_clear(&from);
	assert_null(headers_get(&to, "Old"));
	assert_string_equal(headers_get(&to, "Host"), "chroma");
	assert_int_equal(to.count, 4);
	headers_copy(&to, &from); /* of nothing */
	assert_int_equal(to.count, 0);
	assert_null(headers_get(&to, "Host"));
	headers_clear(&to);
}

static void what_is_moved_is_gone_where_it_was(void **state)
{
	struct headers from = some(), to = {0};

	(void)state;
	headers_add(&to, "Old", "gone");
	headers_move(&to, &from);
	assert_null(headers_get(&to, "Old"));
	assert_string_equal(headers_get(&to, "Host"), "chroma");
	assert_int_equal(to.count, 4);
	assert_int_equal(from.count, 0);
	assert_null(headers_get(&from, "Host"));
	headers_clear(&from);
	headers_clear(&to);
}

static void a_number_is_written_in_digits(void **state)
{
	struct headers h = {0};

	(void)state;
	headers_add_number(&h, "none", 0);
	headers_add_number(&h, "least", INT64_MIN);
	headers_add_number(&h, "most", INT64_MAX);
	assert_string_equal(headers_get(&h, "none"), "0");
	assert_string_equal(headers_get(&h, "least"), "-9223372036854775808");
	assert_string_equal(headers_get(&h, "most"), "9223372036854775807");
	headers_clear(&h);
}

static bool is_named(const struct header *f, const void *name)
{
	return header_named(f, name);
}

static bool is_any(const struct header *f, const void *arg)
{
	(void)f;
	(void)arg;
	return true;
}

static void what_is_dropped_leaves_the_others_in_order(void **state)
{
	struct headers h = some(), none = {0};
	struct header f;
	size_t at = 0;

	(void)state;
	headers_drop(&h, is_named, "x-twice");
	assert_int_equal(h.count, 2);
	assert_true(headers_next(&h, &at, &f));
	assert_string_equal(f.name, "Host");
	assert_string_equal(f.value, "chroma");
	assert_true(headers_next(&h, &at, &f));
	assert_string_equal(f.name, "Empty");
	assert_false(headers_next(&h, &at, &f));
	headers_drop(&h, is_named, "absent");
	assert_int_equal(h.count, 2);
	headers_add(&h, "Late", "there");
	assert_string_equal(headers_get(&h, "late"), "there");
	headers_drop(&h, is_any, NULL);
	assert_int_equal(h.count, 0);
	assert_null(headers_get(&h, "Host"));
	headers_drop(&none, is_any, NULL);
	assert_int_equal(none.count, 0);
	headers_clear(&h);
}

static void a_token_is_found_in_any_field_of_the_name(void **state)
{
	struct headers h = {0};

	(void)state;
	headers_add(&h, "Connection", "foo");
	headers_add(&h, "connection", "bar ,\tCLOSE");
	assert_true(headers_has_token(&h, "Connection", "close"));
	assert_true(headers_has_token(&h, "Connection", "foo"));
	assert_false(headers_has_token(&h, "Connection", "keep-alive"));
	assert_false(headers_has_token(&h, "Connectio", "close"));
	headers_clear(&h);
}

static void a_list_holds_whole_tokens_only(void **state)
{
	(void)state;
	assert_true(headers_list_has("close", "close"));
	assert_true(headers_list_has(" \tclose\t ", "Close"));
	assert_true(headers_list_has("a,,b , c", "b"));
	assert_true(headers_list_has(",,c", "c"));
	assert_false(headers_list_has("closed", "close"));
	assert_false(headers_list_has("close d", "close"));
	assert_false(headers_list_has("unclose", "close"));
	assert_false(headers_list_has("clos", "close"));
	assert_false(headers_list_has("", "close"));
	assert_false(headers_list_has(" , ,", "close"));
	assert_false(headers_list_has("a, ,b", ""));
}

static void a_token_has_no_separators(void **state)
{
	(void)state;
	assert_true(headers_is_token("X-Chroma-Token", 14));
	assert_true(headers_is_token("!#$%&'*+-.^_`|~09azAZ", 21));
	assert_false(headers_is_token("", 0));
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;

		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
			assert_false(headers_is_token(&byte, 1));
		else
			assert_true(headers_is_token(&byte, 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(fields_come_back_in_order_with_their_spelling),
	        cmocka_unit_test(names_are_the_same_without_case),
	        cmocka_unit_test(names_are_found_without_case_the_first_one_wins),
	        cmocka_unit_test(a_length_cuts_name_and_value),
	        cmocka_unit_test(an_empty_list_has_nothing),
	        cmocka_unit_test(a_copy_replaces_what_was_there_and_stands_alone),
	        cmocka_unit_test(what_is_moved_is_gone_where_it_was),
	        cmocka_unit_test(a_number_is_written_in_digits),
	        cmocka_unit_test(what_is_dropped_leaves_the_others_in_order),
	        cmocka_unit_test(a_token_is_found_in_any_field_of_the_name),
	        cmocka_unit_test(a_list_holds_whole_tokens_only),
	        cmocka_unit_test(a_token_has_no_separators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
