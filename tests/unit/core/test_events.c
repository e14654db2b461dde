#include "core/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/log.h"

/* The ring is one for the process: each test begins with a line of its own. */

static void the_newest_comes_first(void **state)
{
	(void)state;
	events_add("health", "one");
	events_add("lease", "two");
	assert_string_equal(events_get(0)->event, "lease");
	assert_string_equal(events_get(0)->text, "two");
	assert_string_equal(events_get(1)->event, "health");
	assert_string_equal(events_get(1)->text, "one");
	assert_true(events_get(1)->wall_ms > 0);
}

static void the_same_again_is_counted(void **state)
{
	(void)state;
	events_add("health", "before");
	events_add("postgres", "gone");
	events_add("postgres", "gone");
	events_add("postgres", "gone");
	assert_int_equal(events_get(0)->times, 3);
	assert_string_equal(events_get(1)->text, "before");
	events_add("lease", "gone");
	assert_int_equal(events_get(0)->times, 1);
	assert_int_equal(events_get(1)->times, 3);
}

static void other_words_are_not_kept(void **state)
{
	(void)state;
	events_add("health", "mark");
	events_add("access", "answered");
	events_add("healthy", "no");
	assert_false(events_keep("access"));
	assert_true(events_keep("recover"));
	assert_string_equal(events_get(0)->text, "mark");
}

static void only_the_last_hundred_are_kept(void **state)
{
	char text[16];

	(void)state;
	for (unsigned i = 0; i < 3 * EVENTS_KEPT; i++) {
		snprintf(text, sizeof(text), "line %u", i);
		events_add("health", text);
	}
	assert_string_equal(events_get(0)->text, "line 299");
	assert_string_equal(events_get(EVENTS_KEPT - 1)->text, "line 200");
	assert_null(events_get(EVENTS_KEPT));
}

static void a_flood_does_not_push_out_what_came_before(void **state)
{
	char text[24];

	(void)state;
	events_add("health", "before the flood");
	for (unsigned i = 0; i < 5 * EVENTS_KEPT; i++) {
		snprintf(text, sizeof(text), "collection %u", i);
		events_add("quarantine", text);
	}
	assert_string_equal(events_get(0)->text, "collection 499");
	assert_string_equal(events_get(EVENTS_RUN - 1)->text, "collection 490");
	assert_string_equal(events_get(EVENTS_RUN)->text, "before the flood");
	events_add("health", "after it");
	events_add("quarantine", "another run");
	assert_string_equal(events_get(2)->text, "collection 499");
	assert_string_equal(events_get(EVENTS_RUN + 2)->text, "before the flood");
}

static void a_long_text_is_cut(void **state)
{
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	events_add("health", text);
	assert_int_equal(strlen(events_get(0)->text), sizeof(events_get(0)->text) - 1);
	events_add("health", text);
	assert_int_equal(events_get(0)->times, 2);
}

static void log_lines_of_changes_are_kept_whatever_the_log_shows(void **state)
{
	(void)state;
	log_start(LOG_ERROR, LOG_FORMAT_JSON, "test");
	log_info("health", "instance %s: %s", "a", "gone");
	log_debug("health", "not this");
	log_info("access", "nor this");
	assert_string_equal(events_get(0)->text, "instance a: gone");
	assert_int_equal(log_count(LOG_INFO), 0);
}

static struct {
	unsigned n, many;
	char last[400];
} told;

static void listen(const char *event, const char *text, bool many)
{
	assert_true(events_keep(event));
	told.n++;
	told.many += many;
	snprintf(told.last, sizeof(told.last), "%s", text);
}

static void who_listens_hears_each_whole_and_what_came_before(void **state)
{
	char text[301] = "";

	(void)state;
	for (unsigned i = 0; i < EVENTS_KEPT; i++) {
		snprintf(text, sizeof(text), "fill %u", i);
		events_add("health", text);
	}
	events_listen(listen);
	assert_int_equal(told.n, EVENTS_KEPT);
	assert_string_equal(told.last, "fill 99");
	memset(text, 'y', sizeof(text) - 1);
	events_add("quarantine", text);
	events_add("quarantine", text);
	events_add("access", "no event");
	assert_int_equal(told.n, EVENTS_KEPT + 2);
	assert_int_equal(told.many, 2);
	assert_string_equal(told.last, text);
	events_listen(NULL);
	events_add("health", "unheard");
	assert_int_equal(told.n, EVENTS_KEPT + 2);
}

/* The first one to run: only then is there room. */
static void what_was_before_comes_last(void **state)
{
	struct kept_event e = {
	        .wall_ms = 5, .times = 2, .event = "start", .proxy = "other"};

	(void)state;
	events_add("health", "of now");
	strcpy(e.text, "of yesterday");
	events_add_older(&e);
	e.event = "unheard of";
	events_add_older(&e);
	assert_string_equal(events_get(0)->text, "of now");
	assert_string_equal(events_get(0)->proxy, "");
	assert_string_equal(events_get(1)->text, "of yesterday");
	assert_string_equal(events_get(1)->event, "start");
	assert_string_equal(events_get(1)->proxy, "other");
	assert_int_equal(events_get(1)->times, 2);
	assert_null(events_get(2));
	e.event = "start";
	for (unsigned i = 0; i < 2 * EVENTS_KEPT; i++)
		events_add_older(&e);
	assert_string_equal(events_get(0)->text, "of now");
	assert_non_null(events_get(EVENTS_KEPT - 1));
	assert_null(events_get(EVENTS_KEPT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_was_before_comes_last),
	        cmocka_unit_test(the_newest_comes_first),
	        cmocka_unit_test(the_same_again_is_counted),
	        cmocka_unit_test(other_words_are_not_kept),
	        cmocka_unit_test(only_the_last_hundred_are_kept),
	        cmocka_unit_test(a_flood_does_not_push_out_what_came_before),
	        cmocka_unit_test(a_long_text_is_cut),
	        cmocka_unit_test(log_lines_of_changes_are_kept_whatever_the_log_shows),
	        cmocka_unit_test(who_listens_hears_each_whole_and_what_came_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
