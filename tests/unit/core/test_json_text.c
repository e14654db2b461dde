/* What the strings and numbers of JSON text mean, and how text is quoted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/json_scan.h"
#include "core/text.h"

#define BYTES(s) (s), sizeof(s) - 1

static struct json_slice whole(const char *text)
{
	struct json_slice v = json_whole(text, strlen(text));

	if (v.at == NULL)
		fail_msg("refused: %s", text);
	return v;
}

static void expect_text(const char *json, const char *expected)
{
	struct json_slice v = whole(json);
	size_t len = 99;
	char *text = json_text(v, &len);

	if (text == NULL || strcmp(text, expected) != 0)
		fail_msg("%s means '%s'", json, text != NULL ? text : "(nothing)");
	assert_int_equal(len, strlen(expected));
	assert_true(json_text_is(v, expected));
	assert_false(json_text_is(v, "something else"));
	free(text);
}

static void expect_no_text(const char *json, size_t len)
{
	struct json_slice v = {json, len};
	char *text = json_text(v, NULL);

	if (text != NULL)
		fail_msg("%s means '%s'", json, text);
	assert_false(json_text_is(v, ""));
	assert_false(json_text_is(v, "a"));
}

static void strings_have_a_meaning(void **state)
{
	(void)state;
	expect_text("\"\"", "");
	expect_text("\"plain\"", "plain");
	expect_text("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
	expect_text("\"\\u0041\\u00e9\\u20ac\\uFFFF\"",
	            "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf");
	expect_text("\"\\ud83d\\ude00\\uDBFF\\uDFFF\"",
	            "\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf");
	expect_text("\"caf\xc3\xa9 \xf0\x9f\x98\x80 \x7f\"",
	            "caf\xc3\xa9 \xf0\x9f\x98\x80 \x7f");
}

static void some_strings_mean_nothing(void **state)
{
	(void)state;
	expect_no_text(BYTES("\"\\x41\""));
	expect_no_text(BYTES("\"\\0\""));
	expect_no_text(BYTES("\"\\\0\""));
	expect_no_text(BYTES("\"\\u12\""));
	expect_no_text(BYTES("\"\\u12g4\""));
	expect_no_text(BYTES("\"\\u+123\""));
	expect_no_text(BYTES("\"\\u0000\""));
	expect_no_text(BYTES("\"a\\u0000\""));
	expect_no_text(BYTES("\"\\ud83d\""));
	expect_no_text(BYTES("\"\\ud83dx\""));
	expect_no_text(BYTES("\"\\ud83d\\n\""));
	expect_no_text(BYTES("\"\\ud83d\\u0041\""));
	expect_no_text(BYTES("\"\\ude00\""));
	expect_no_text(BYTES("\"\n\""));
	expect_no_text(BYTES("\"\0\""));
	expect_no_text(BYTES("\"\xff\""));
	expect_no_text(BYTES("\"\xc3\""));
	expect_no_text(BYTES("\"\xc0\xaf\""));
	expect_no_text(BYTES("\"\xed\xa0\x80\""));
	expect_no_text(BYTES("\"\xf4\x90\x80\x80\""));
}

static void what_is_no_string_has_no_text(void **state)
{
	(void)state;
	expect_no_text(BYTES("1"));
	expect_no_text(BYTES("null"));
	expect_no_text(BYTES("[\"a\"]"));
	expect_no_text(BYTES("\""));
	expect_no_text(BYTES("\"a"));
	expect_no_text(BYTES("\"\\\""));
	expect_no_text(BYTES("\"a\"b\""));
	expect_no_text(NULL, 0);
}

static void a_text_is_compared_to_its_end(void **state)
{
	(void)state;
	assert_true(json_text_is(whole("\"abc\""), "abc"));
	assert_false(json_text_is(whole("\"abc\""), "ab"));
	assert_false(json_text_is(whole("\"abc\""), "abcd"));
	assert_false(json_text_is(whole("\"abc\""), ""));
	assert_false(json_text_is(whole("\"\\u00e9\""), "\xc3"));
}

/* ---- scalars ---- */

static void true_is_true(void **state)
{
	(void)state;
	assert_true(json_flag(whole("true")));
	assert_false(json_flag(whole("false")));
	assert_false(json_flag(whole("\"true\"")));
	assert_false(json_flag(whole("1")));
	assert_false(json_flag((struct json_slice){0}));
}

static void whole_numbers_are_read(void **state)
{
	(void)state;
	assert_int_equal(json_int64(whole("0"), 7), 0);
	assert_int_equal(json_int64(whole("-0"), 7), 0);
	assert_int_equal(json_int64(whole("1234567890123"), 7), INT64_C(1234567890123));
	assert_int_equal(json_int64(whole("-5"), 7), -5);
	assert_true(json_int64(whole("9223372036854775807"), 7) == INT64_MAX);
	assert_true(json_int64(whole("-9223372036854775808"), 7) == INT64_MIN);
}

static void other_numbers_are_not(void **state)
{
	static const char *const others[] = {"9223372036854775808",
	                                     "-9223372036854775809",
	                                     "99999999999999999999999",
	                                     "1.0",
	                                     "1e3",
	                                     "-",
	                                     "01",
	                                     "1-1",
	                                     "\"1\"",
	                                     "null",
	                                     "true",
	                                     "[1]"};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_int_equal(json_int64(whole(others[i]), 7), 7);
	assert_int_equal(json_int64((struct json_slice){0}, 7), 7);
}

/* ---- writing ---- */

static void expect_quoted(const char *s, size_t len, const char *expected)
{
	struct text t = {0};

	json_add_quoted(&t, s, len);
	assert_string_equal(t.s, expected);
	assert_ptr_equal(whole(t.s).at, t.s);
	text_clear(&t);
}

static void text_is_quoted(void **state)
{
	struct text t = {0};

	(void)state;
	expect_quoted(BYTES(""), "\"\"");
	expect_quoted(BYTES("plain"), "\"plain\"");
	expect_quoted(BYTES("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
	expect_quoted(BYTES("\n\r\t\x01\x1f\x7f"), "\"\\n\\r\\t\\u0001\\u001f\x7f\"");
	expect_quoted(BYTES("a\0b"), "\"a\\u0000b\"");
	expect_quoted(BYTES("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
	expect_quoted(BYTES("a\xff\xc3"), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
	text_adds(&t, "{\"k\":");
	json_add_quoted(&t, "v", 1);
	assert_string_equal(t.s, "{\"k\":\"v\"");
	text_clear(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(strings_have_a_meaning),
	        cmocka_unit_test(some_strings_mean_nothing),
	        cmocka_unit_test(what_is_no_string_has_no_text),
	        cmocka_unit_test(a_text_is_compared_to_its_end),
	        cmocka_unit_test(true_is_true),
	        cmocka_unit_test(whole_numbers_are_read),
	        cmocka_unit_test(other_numbers_are_not),
	        cmocka_unit_test(text_is_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
