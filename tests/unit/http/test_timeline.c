#include "http/timeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

static const char *const names[] = {"primary", "\"<odd>\xff"};

static int clear(void **state)
{
	(void)state;
	timeline_clear();
	return 0;
}

static void add(unsigned n)
{
	struct timeline_sample s = {.wall_ms = n, .requests = 1.25f, .errors = 0.5f};

	s.instances[0] = (struct timeline_instance){TIMELINE_STATE_UP, n, 2.5f};
	s.instances[1] =
	        (struct timeline_instance){TIMELINE_STATE_DOWN, TIMELINE_UNKNOWN, 0};
	timeline_add(&s);
}

/* As a client reads it. */
static json_t *document(uint64_t after)
{
	struct text json = {0};
	json_t *o;

	text_addc(&json, '{');
	timeline_add_json(&json, after, 2, names);
	text_addc(&json, '}');
	o = json_loads(text_string(&json), 0, NULL);
	text_clear(&json);
	assert_non_null(o);
	return o;
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* From sample `first` to `last`, in every column. */
static void assert_holds(uint64_t after, unsigned first, unsigned last)
{
	json_t *o = document(after), *times = json_object_get(o, "at_ms");
	json_t *in = json_array_get(json_object_get(o, "instances"), 0);
	json_t *pending = json_object_get(in, "pending_writes");
	size_t n = last + 1 - first;

	assert_int_equal(number(o, "first"), first);
	assert_int_equal(number(o, "last"), last);
	assert_int_equal(json_array_size(times), n);
	assert_int_equal(json_array_size(json_object_get(o, "errors_per_second")), n);
	assert_int_equal(json_array_size(json_object_get(in, "state")), n);
	assert_int_equal(json_array_size(pending), n);
	for (size_t k = 0; k < n; k++) {
		assert_int_equal(json_integer_value(json_array_get(times, k)), first + k);
		assert_int_equal(json_integer_value(json_array_get(pending, k)),
		                 first + k);
	}
	json_decref(o);
}

static void there_is_nothing_at_first(void **state)
{
	(void)state;
	assert_int_equal(timeline_last(), 0);
	assert_true(timeline_first() > timeline_last());
	assert_holds(0, 1, 0);
	assert_holds(17, 1, 0);
}

static void what_is_newer_is_given_alone(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 10; n++)
		add(n);
	assert_holds(0, 1, 10);
	assert_holds(1, 2, 10);
	assert_holds(9, 10, 10);
	assert_holds(10, 11, 10);
}

/* Who asks has seen a proxy that ran before this one. */
static void who_knows_more_than_there_is_gets_all(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 10; n++)
		add(n);
	assert_holds(11, 1, 10);
	assert_holds(UINT64_MAX, 1, 10);
}

static void an_hour_is_kept_and_no_more(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= TIMELINE_KEPT; n++)
		add(n);
	assert_holds(0, 1, TIMELINE_KEPT);
	for (unsigned n = TIMELINE_KEPT + 1; n <= 3 * TIMELINE_KEPT + 7; n++)
		add(n);
	assert_int_equal(timeline_first(), 2 * TIMELINE_KEPT + 8);
	assert_int_equal(timeline_get(timeline_first())->wall_ms, 2 * TIMELINE_KEPT + 8);
	assert_holds(0, 2 * TIMELINE_KEPT + 8, 3 * TIMELINE_KEPT + 7);
	assert_holds(5, 2 * TIMELINE_KEPT + 8, 3 * TIMELINE_KEPT + 7);
	assert_holds(3 * TIMELINE_KEPT, 3 * TIMELINE_KEPT + 1, 3 * TIMELINE_KEPT + 7);
}

static void values_are_what_they_were(void **state)
{
	json_t *o, *in;

	(void)state;
	add(7);
	o = document(0);
	in = json_array_get(json_object_get(o, "instances"), 1);
	assert_string_equal(json_string_value(json_object_get(in, "name")),
	                    "\"<odd>\xef\xbf\xbd");
	assert_string_equal(
	        json_string_value(json_array_get(json_object_get(in, "state"), 0)),
	        "down");
	assert_true(
	        json_is_null(json_array_get(json_object_get(in, "pending_writes"), 0)));
	in = json_array_get(json_object_get(o, "instances"), 0);
	assert_true(json_real_value(json_array_get(
	                    json_object_get(in, "requests_per_second"), 0)) == 2.5);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(there_is_nothing_at_first, clear),
	        cmocka_unit_test_setup(what_is_newer_is_given_alone, clear),
	        cmocka_unit_test_setup(who_knows_more_than_there_is_gets_all, clear),
	        cmocka_unit_test_setup(an_hour_is_kept_and_no_more, clear),
	        cmocka_unit_test_setup(values_are_what_they_were, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
