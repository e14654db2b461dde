/* Finds things in JSON text without building a tree. */
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

/* Scans a copy of exactly that length, so that reading beyond it is noticed. */
static bool sound(const char *text, size_t len)
{
	char *exact = malloc(len > 0 ? len : 1);
	struct json_slice v;

	memcpy(exact, text, len);
	v = json_whole(exact, len);
	if (v.at != NULL && (v.at < exact || v.len == 0 || v.at + v.len > exact + len))
		fail_msg("a slice outside of the text");
	free(exact);
	return v.at != NULL;
}

static void expect_sound(const char *text)
{
	if (!sound(text, strlen(text)))
		fail_msg("refused: %s", text);
}

static void expect_broken(const char *text)
{
	if (sound(text, strlen(text)))
		fail_msg("taken: %s", text);
}

static struct json_slice whole(const char *text)
{
	struct json_slice v = json_whole(text, strlen(text));

	if (v.at == NULL)
		fail_msg("refused: %s", text);
	return v;
}

static void expect_slice(const char *expected, struct json_slice v)
{
	if (expected == NULL ? v.at != NULL
	                     : v.at == NULL || v.len != strlen(expected) ||
	                               memcmp(v.at, expected, v.len) != 0)
		fail_msg("%.*s, expected %s", (int)v.len,
		         v.at != NULL ? v.at : "(absent)",
		         expected != NULL ? expected : "(absent)");
}

/* ---- structure ---- */

static void every_kind_of_value_is_a_whole(void **state)
{
	static const struct {
		const char *text;
		enum json_kind kind;
	} cases[] = {
	        {"null", JSON_NULL_VALUE},
	        {"true", JSON_BOOL},
	        {"false", JSON_BOOL},
	        {"0", JSON_NUMBER},
	        {"-1.5e+3", JSON_NUMBER},
	        {"\"x\"", JSON_TEXT},
	        {"[]", JSON_LIST},
	        {"{}", JSON_MAP},
	        {" \t\r\n[ ] \n", JSON_LIST},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(json_kind(whole(cases[i].text)), cases[i].kind);
	assert_int_equal(json_kind((struct json_slice){0}), JSON_ABSENT);
}

static void the_slice_is_without_surrounding_space(void **state)
{
	(void)state;
	expect_slice("{ \"a\" : 1 }", whole(" \n{ \"a\" : 1 }\t\r\n"));
	expect_slice("12", whole(" 12 "));
	expect_slice("\" \"", whole(" \" \" "));
}

static void sound_structures_are_taken(void **state)
{
	(void)state;
	expect_sound("[1,2, 3 ,4\n,\t5]");
	expect_sound("[[],[[]],{},{\"a\":[{}]}]");
	expect_sound("{\"a\":1,\"b\":{\"c\":[true,false,null]},\"d\":\"e\"}");
	expect_sound("{ \"a\" : 1 , \"b\" : [ ] }");
	expect_sound("{\"\":\"\"}");
	expect_sound("[\"]\",\"}\",\"[{\",\",\",\":\"]");
	expect_sound("[\"\\\"\",\"\\\\\",\"\\\\\\\"]\"]");
	expect_sound("[0.1, -2, 3e10, 4E-5, 5.5e+6]");
}

static void broken_structures_are_refused(void **state)
{
	static const char *const broken[] = {"",
	                                     " ",
	                                     "[",
	                                     "]",
	                                     "{",
	                                     "}",
	                                     "[}",
	                                     "{]",
	                                     "[[]",
	                                     "[]]",
	                                     "{}}",
	                                     "[1",
	                                     "[1,",
	                                     "[1,]",
	                                     "[,1]",
	                                     "[,]",
	                                     "[1,,2]",
	                                     "[1 2]",
	                                     "[1]2",
	                                     "[]{}",
	                                     "1 2",
	                                     ",",
	                                     ":",
	                                     "1,",
	                                     "{1:2}",
	                                     "{\"a\"}",
	                                     "{\"a\":}",
	                                     "{\"a\" 1}",
	                                     "{\"a\":1,}",
	                                     "{,}",
	                                     "{,\"a\":1}",
	                                     "{\"a\":1 \"b\":2}",
	                                     "{\"a\":1:2}",
	                                     "{\"a\",1}",
	                                     "[\"a\":1]",
	                                     "{\"a\":1]",
	                                     "[{]}",
	                                     "\"",
	                                     "\"abc",
	                                     "\"\\\"",
	                                     "\"\\\\\\\"",
	                                     "[\"a]",
	                                     "{\"a:1}",
	                                     "{a:1}",
	                                     "'a'",
	                                     "nul",
	                                     "nulll",
	                                     "True",
	                                     "NaN",
	                                     "[NaN]",
	                                     "Infinity",
	                                     "-Infinity",
	                                     "truefalse",
	                                     "undefined",
	                                     "+1",
	                                     ".5",
	                                     "e5",
	                                     "1x",
	                                     "[1;2]",
	                                     "[1]//c",
	                                     "/**/[]",
	                                     "\xef\xbb\xbf{}",
	                                     "{\"a\":tru}",
	                                     "[nul]",
	                                     "\x0b[]",
	                                     "\xc2\xa0[]"};

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
		expect_broken(broken[i]);
	assert_false(sound(BYTES("[]\0")));
	assert_false(sound(BYTES("[1\0]")));
	assert_false(sound(BYTES("\0")));
}

static void a_sound_text_cut_anywhere_is_broken(void **state)
{
	static const char text[] =
	        "{\"a\":[1,-2.5e3,{\"b\\\"\":null}],\"c\":[true,\"\\\\\"]}";

	(void)state;
	assert_true(sound(BYTES(text)));
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_false(sound(text, n));
}

static bool nested(size_t depth, const char *open, const char *close)
{
	struct text t = {0};
	bool taken;

	for (size_t i = 0; i < depth; i++)
		text_adds(&t, open);
	text_adds(&t, "1");
	for (size_t i = 0; i < depth; i++)
		text_adds(&t, close);
	taken = sound(t.s, t.len);
	text_clear(&t);
	return taken;
}

static void depth_has_a_limit(void **state)
{
	(void)state;
	assert_true(nested(JSON_MAX_DEPTH, "[", "]"));
	assert_true(nested(JSON_MAX_DEPTH, "{\"a\":", "}"));
	assert_true(nested(JSON_MAX_DEPTH / 2, "[{\"a\":", "}]"));
	assert_false(nested(JSON_MAX_DEPTH + 1, "[", "]"));
	assert_false(nested(JSON_MAX_DEPTH + 1, "{\"a\":", "}"));
	assert_false(nested(1000000, "[", "]"));
}

static void each_bracket_is_closed_by_its_own_kind_at_any_depth(void **state)
{
	(void)state;
	for (size_t depth = 1; depth <= JSON_MAX_DEPTH; depth++) {
		struct text t = {0};

		for (size_t i = 0; i < depth; i++)
			text_adds(&t, i % 3 == 0 ? "[" : "{\"k\":");
		text_adds(&t, "0");
		for (size_t i = depth; i-- > 0;)
			text_adds(&t, i % 3 == 0 ? "]" : "}");
		assert_true(sound(t.s, t.len));
		t.s[t.len - 1] = '}';
		assert_false(sound(t.s, t.len));
		text_clear(&t);
	}
}

/* ---- lists of numbers, which are read in blocks ---- */

/* The same list with every element in turn replaced by `element`. */
static void in_a_list_of_numbers(const char *element, bool expected)
{
	for (size_t place = 0; place < 40; place++) {
		struct text t = {0};

		text_addc(&t, '[');
		for (size_t i = 0; i < 40; i++)
			text_addf(&t, "%s%s", i > 0 ? ", " : "",
			          i == place ? element : "-0.123e+4");
		text_addc(&t, ']');
		if (sound(t.s, t.len) != expected)
			fail_msg("%s '%s' at %zu", expected ? "refused" : "taken",
			         element, place);
		text_clear(&t);
	}
}

static void a_list_of_numbers_is_checked_everywhere(void **state)
{
	static const char *const bad[] = {"",   " ",  ",",   "1 2",  "1 ,,", "e5",
	                                  "+1", ".5", "1 -", "]",    "[",    "}",
	                                  "\"", "x",  "1:",  "\xb1", "-1]"};
	static const char *const good[] = {"1",  " 1",     "1 ",    "\n\t1\r", "{}",
	                                   "[]", "\"a,\"", "[1,2]", "null",    "1,2"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		in_a_list_of_numbers(bad[i], false);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		in_a_list_of_numbers(good[i], true);
}

static void lists_of_numbers_of_any_length_and_place(void **state)
{
	(void)state;
	for (size_t digits = 1; digits < 40; digits++)
		for (size_t count = 1; count < 40; count += 3) {
			struct text t = {0};

			text_adds(&t, "{\"e\":[");
			for (size_t i = 0; i < count; i++)
				text_addf(&t, "%s%0*d", i > 0 ? "," : "", (int)digits, 7);
			text_adds(&t, "],\"f\":1}");
			assert_true(sound(t.s, t.len));
			assert_int_equal(json_count(json_member(whole(t.s), "e")), count);
			expect_slice("1", json_member(whole(t.s), "f"));
			t.s[t.len - 9] = ','; /* the end of the list */
			assert_false(sound(t.s, t.len));
			text_clear(&t);
		}
}

static void numbers_with_commas_are_no_members_of_an_object(void **state)
{
	(void)state;
	expect_broken("{\"a\":1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20}");
	expect_broken("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20");
}

/* ---- walking ---- */

static void an_object_is_walked_in_order(void **state)
{
	static const char *const expected[][2] = {{"\"a\"", "1"},
	                                          {"\"b\\\"\"", "\"x,y\""},
	                                          {"\"c\"", "[1,[2]]"},
	                                          {"\"\"", "{}"}};
	struct json_walk w = json_walk(
	        whole(" { \"a\" : 1 ,\"b\\\"\":\"x,y\", \"c\":[1,[2]],\"\":{} } "));
	size_t n = 0;

	(void)state;
	while (json_step(&w)) {
		assert_in_range(n, 0, 3);
		expect_slice(expected[n][0], w.key);
		expect_slice(expected[n][1], w.value);
		n++;
	}
	assert_int_equal(n, 4);
	assert_false(json_step(&w));
}

static void an_array_is_walked_in_order(void **state)
{
	static const char *const expected[] = {
	        "null", "-1.5e3", "\"]\"", "{\"a\":[\"}\"]}", "[]", "true"};
	struct json_walk w =
	        json_walk(whole("[null,-1.5e3 , \"]\",{\"a\":[\"}\"]},[]\n,true]"));
	size_t n = 0;

	(void)state;
	while (json_step(&w)) {
		assert_in_range(n, 0, 5);
		expect_slice(NULL, w.key);
		expect_slice(expected[n++], w.value);
	}
	assert_int_equal(n, 6);
}

static void what_holds_nothing_has_no_steps(void **state)
{
	static const char *const texts[] = {"[]", "{}",      "[ ]", "{ }",
	                                    "1",  "\"[1]\"", "null"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_int_equal(json_count(whole(texts[i])), 0);
	assert_int_equal(json_count((struct json_slice){0}), 0);
	expect_slice(NULL, json_member((struct json_slice){0}, "a"));
}

static void members_are_found_by_what_their_key_means(void **state)
{
	struct json_slice v =
	        whole("{\"name\":\"x\",\"n\\u0061me2\":2,\"in\":{\"deep\":3},"
	              "\"caf\\u00e9\":4,\"\\ud83d\\ude00\":5,\"names\":6,\"nam\":7}");

	(void)state;
	expect_slice("\"x\"", json_member(v, "name"));
	expect_slice("2", json_member(v, "name2"));
	expect_slice("4", json_member(v, "caf\xc3\xa9"));
	expect_slice("5", json_member(v, "\xf0\x9f\x98\x80"));
	expect_slice("3", json_member(json_member(v, "in"), "deep"));
	expect_slice(NULL, json_member(v, "deep"));
	expect_slice(NULL, json_member(v, "Name"));
	expect_slice(NULL, json_member(v, ""));
	expect_slice(NULL, json_member(json_member(v, "name"), "x"));
	expect_slice(NULL, json_member(json_member(v, "absent"), "x"));
	expect_slice(NULL, json_member(whole("[\"a\",1]"), "a"));
}

static void of_equal_keys_the_last_counts(void **state)
{
	(void)state;
	expect_slice("3",
	             json_member(whole("{\"a\":1,\"b\":2,\"\\u0061\":3,\"c\":4}"), "a"));
}

static void elements_are_counted(void **state)
{
	(void)state;
	assert_int_equal(json_count(whole("[1,[2,3],\"4,5\"]")), 3);
	assert_int_equal(json_count(whole("{\"a\":[1,2],\"b\":{}}")), 2);
}

static void large_bodies_are_walked(void **state)
{
	struct text t = {0};
	struct json_slice v;

	(void)state;
	text_adds(&t, "{\"embeddings\":[");
	for (int i = 0; i < 500; i++) {
		text_addf(&t, "%s[", i > 0 ? "," : "");
		for (int j = 0; j < 384; j++)
			text_addf(&t, "%s%.9f", j > 0 ? ", " : "", (i - j) / 400.0);
		text_adds(&t, "]");
	}
	text_adds(&t, "],\"documents\":[\"");
	for (int i = 0; i < 100000; i++)
		text_adds(&t, "\\\\\\\"][");
	text_adds(&t, "\"],\"ids\":[\"a\",\"b\"]}");
	v = json_whole(t.s, t.len);
	assert_ptr_equal(v.at, t.s);
	assert_int_equal(json_count(json_member(v, "embeddings")), 500);
	assert_int_equal(json_count(json_member(v, "documents")), 1);
	expect_slice("[\"a\",\"b\"]", json_member(v, "ids"));
	text_clear(&t);
}

/* Nothing is promised but that it ends, and inside the slice. */
static void garbage_does_no_harm(void **state)
{
	static const char *const garbage[] = {
	        "[[[]",      "{\"a\"}",   "{\"a\":}", "[,]",      "[\"]",
	        "{\"}",      "{:}",       "[}]",      "{]}",      "[]]]",
	        "{\"a\":[}", "[\"a\\\"]", "[!]",      "{\"a\"1}", "[1",
	        "{",         "[",         "\"",       "]",        "[1 2]"};

	(void)state;
	for (size_t i = 0; i < sizeof(garbage) / sizeof(*garbage); i++) {
		size_t len = strlen(garbage[i]);
		char *exact = malloc(len);
		struct json_slice v = {exact, len};
		struct json_walk w;

		memcpy(exact, garbage[i], len);
		assert_in_range(json_count(v), 0, len);
		json_member(v, "a");
		json_text_is(v, "a");
		free(json_text(v, NULL));
		json_int64(v, 0);
		for (w = json_walk(v); json_step(&w);)
			assert_true(w.value.at > exact &&
			            w.value.at + w.value.len < exact + len);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_kind_of_value_is_a_whole),
	        cmocka_unit_test(the_slice_is_without_surrounding_space),
	        cmocka_unit_test(sound_structures_are_taken),
	        cmocka_unit_test(broken_structures_are_refused),
	        cmocka_unit_test(a_sound_text_cut_anywhere_is_broken),
	        cmocka_unit_test(depth_has_a_limit),
	        cmocka_unit_test(each_bracket_is_closed_by_its_own_kind_at_any_depth),
	        cmocka_unit_test(a_list_of_numbers_is_checked_everywhere),
	        cmocka_unit_test(lists_of_numbers_of_any_length_and_place),
	        cmocka_unit_test(numbers_with_commas_are_no_members_of_an_object),
	        cmocka_unit_test(an_object_is_walked_in_order),
	        cmocka_unit_test(an_array_is_walked_in_order),
	        cmocka_unit_test(what_holds_nothing_has_no_steps),
	        cmocka_unit_test(members_are_found_by_what_their_key_means),
	        cmocka_unit_test(of_equal_keys_the_last_counts),
	        cmocka_unit_test(elements_are_counted),
	        cmocka_unit_test(large_bodies_are_walked),
	        cmocka_unit_test(garbage_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
