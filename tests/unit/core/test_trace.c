#include "core/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define GOOD "00-" ID "-" SPAN "-01"

static void a_client_s_trace_goes_on_with_a_span_of_ours(void **state)
{
	char text[TRACE_BYTES], id[TRACE_ID_BYTES];
	struct trace t;

	(void)state;
	trace_begin(&t, GOOD);
	assert_string_equal(trace_id(&t, id), ID);
	trace_text(&t, text);
	assert_int_equal(strlen(text), strlen(GOOD));
	assert_memory_equal(text, "00-" ID "-", 36);
	assert_memory_not_equal(text + 36, SPAN, 16);
	assert_string_equal(text + 52, "-01");
	trace_begin(&t, "00-" ID "-" SPAN "-00");
	assert_string_equal(trace_text(&t, text) + 52, "-00");
}

static void what_was_kept_is_as_it_was(void **state)
{
	char text[TRACE_BYTES];
	struct trace t;

	(void)state;
	assert_true(trace_parse(&t, GOOD, strlen(GOOD)));
	assert_string_equal(trace_text(&t, text), GOOD);
	assert_true(
	        trace_parse(&t, "cc-" ID "-" SPAN "-01-what.comes", strlen(GOOD) + 11));
	assert_string_equal(trace_text(&t, text), GOOD);
}

static void none_or_a_bad_one_begins_anew(void **state)
{
	static const char *const bad[] = {
	        "",
	        "00",
	        "00-" ID "-" SPAN,
	        "00-" ID "-" SPAN "-0",
	        "00-" ID "-" SPAN "-01-more",
	        "00-" ID "-" SPAN "-0g",
	        "ff-" ID "-" SPAN "-01",
	        "cc-" ID "-" SPAN "-01x",
	        "00_" ID "-" SPAN "-01",
	        "00-" ID "_" SPAN "-01",
	        "00-" ID "-" SPAN "_01",
	        "00-4BF92F3577b34da6a3ce929d0e0e4736-" SPAN "-01",
	        "00-00000000000000000000000000000000-" SPAN "-01",
	        "00-" ID "-0000000000000000-01",
	        "g0-" ID "-" SPAN "-01",
	};
	char one[TRACE_ID_BYTES], two[TRACE_ID_BYTES], text[TRACE_BYTES];
	struct trace t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(trace_parse(&t, bad[i], strlen(bad[i])));
		assert_string_equal(trace_text(&t, text), "");
		assert_string_equal(trace_id(&t, one), "");
		trace_begin(&t, bad[i]);
		assert_true(t.set);
		assert_string_not_equal(trace_id(&t, one), ID);
	}
	trace_begin(&t, NULL);
	trace_id(&t, two);
	assert_string_not_equal(one, two);
	trace_text(&t, text);
	assert_true(trace_parse(&t, text, strlen(text)));
	assert_string_equal(text + 52, "-01");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_client_s_trace_goes_on_with_a_span_of_ours),
	        cmocka_unit_test(what_was_kept_is_as_it_was),
	        cmocka_unit_test(none_or_a_bad_one_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
