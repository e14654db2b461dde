/* Stories of events that are noted in PostgreSQL, or cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/events.h"
#include "core/log.h"
#include "tests/lib/world.h"
#include "wal/lead.h"

static const struct conf conf = {.events_retention = 86400000};

static struct wal_event_figures before;

static void begin(void)
{
	world_start();
	chronicle_start(&conf);
	pass_ms(2000);
	before = wal_event_figures();
}

static uint64_t lost(void)
{
	return wal_event_figures().lost - before.lost;
}

static void finish(void)
{
	chronicle_stop();
	world_finish();
}

static int tear_down(void **state)
{
	chronicle_stop();
	return world_tear_down(state);
}
#define story(f) cmocka_unit_test_teardown(f, tear_down)

static void say(const char *event, const char *what, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		log_info(event, "%s %u", what, k);
}

static void part_from_postgresql(void)
{
	fake_pg_reachable(false);
	fake_pg_cut("upkeep", 0, false, 0);
	pass_ms(10);
}

static void what_happens_is_noted_a_moment_later(void **state)
{
	(void)state;
	begin();
	log_info("health", "one thing");
	assert_int_equal(fake_pg_events("one thing", NULL), 0);
	pass_ms(500);
	assert_int_equal(fake_pg_events("one thing", NULL), 1);
	log_info("access", "no event");
	say("health", "many", 120);
	pass_ms(500);
	assert_int_equal(fake_pg_events("many", NULL), 120);
	assert_int_equal(fake_pg_events("no event", NULL), 0);
	assert_int_equal(lost(), 0);
	assert_false(chronicle_is_busy());
	finish();
}

static void the_same_in_a_row_is_one_with_a_count(void **state)
{
	unsigned times = 0;

	(void)state;
	begin();
	for (unsigned k = 0; k < 7; k++)
		log_info("health", "again");
	pass_ms(500);
	assert_int_equal(fake_pg_events("again", &times), 1);
	assert_int_equal(times, 7);
	finish();
}

static void while_postgresql_is_away_they_wait(void **state)
{
	(void)state;
	begin();
	part_from_postgresql();
	say("health", "meanwhile", 300);
	pass_ms(20000);
	assert_int_equal(fake_pg_events("meanwhile", NULL), 0);
	assert_false(chronicle_is_busy()); /* nobody need wait for that */
	fake_pg_reachable(true);
	pass_ms(5000);
	assert_int_equal(fake_pg_events("meanwhile", NULL), 300);
	assert_int_equal(lost(), 0);
	finish();
}

static void but_not_without_end(void **state)
{
	uint64_t gone;

	(void)state;
	begin();
	part_from_postgresql();
	say("health", "outage", 1500);
	gone = lost();
	assert_in_range(gone, 500, 520); /* what was told of PostgreSQL is among them */
	assert_int_equal(wal_event_figures().waiting, 1000);
	fake_pg_reachable(true);
	pass_ms(5000);
	assert_in_range(fake_pg_events("outage", NULL), 980, 1000);
	assert_int_equal(fake_pg_events("outage 0", NULL), 1); /* the first ones */
	assert_int_equal(fake_pg_events("outage 1499", NULL), 0);
	finish();
}

static void a_flood_of_one_kind_is_noted_in_part(void **state)
{
	(void)state;
	begin();
	say("quarantine", "flood", 900);
	pass_ms(900);
	assert_int_equal(fake_pg_events("flood", NULL), 300);
	assert_int_equal(lost(), 600);
	log_info("health", "something else");
	pass_ms(500);
	assert_int_equal(fake_pg_events("something else", NULL), 1);
	pass_ms(10000);
	say("quarantine", "later", 100);
	pass_ms(500);
	assert_in_range(fake_pg_events("later", NULL), 10, 13); /* one a second */
	finish();
}

static void what_is_refused_is_lost_and_the_next_is_not(void **state)
{
	(void)state;
	begin();
	fake_pg_refuse("note_event", 1);
	say("health", "refused", 3);
	pass_ms(2000);
	assert_int_equal(fake_pg_events("refused", NULL), 0);
	assert_int_equal(lost(), 3);
	log_info("health", "taken");
	pass_ms(2000);
	assert_int_equal(fake_pg_events("taken", NULL), 1);
	finish();
}

static void what_may_have_been_noted_is_noted_again(void **state)
{
	(void)state;
	begin();
	fake_pg_delay(100);
	log_info("health", "in doubt");
	pass_ms(250);
	assert_int_equal(fake_pg_sent("upkeep"), 1);
	fake_pg_cut("upkeep", 1, false, 0); /* it was */
	pass_ms(5000);
	log_info("health", "not at all");
	pass_ms(250);
	assert_int_equal(fake_pg_sent("upkeep"), 1);
	fake_pg_cut("upkeep", 0, false, 0); /* it was not */
	fake_pg_delay(2);
	pass_ms(5000);
	assert_int_equal(fake_pg_events("in doubt", NULL), 2);
	assert_int_equal(fake_pg_events("not at all", NULL), 1);
	assert_int_equal(lost(), 0);
	finish();
}

static void old_ones_are_looked_for_once_an_hour(void **state)
{
	unsigned tidied;

	(void)state;
	begin();
	tidied = fake_pg_tidied();
	assert_int_equal(tidied, 1);
	for (unsigned k = 0; k < 55; k++) {
		log_info("health", "now and then %u", k);
		pass_ms(60000);
	}
	assert_int_equal(fake_pg_tidied(), tidied);
	for (unsigned k = 0; k < 15; k++) {
		log_info("health", "later on %u", k);
		pass_ms(60000);
	}
	assert_int_equal(fake_pg_tidied(), tidied + 1);
	pass_ms(67 * 60000);
	assert_int_equal(fake_pg_tidied(), tidied + 2); /* also when nothing happens */
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        story(what_happens_is_noted_a_moment_later),
	        story(the_same_in_a_row_is_one_with_a_count),
	        story(while_postgresql_is_away_they_wait),
	        story(but_not_without_end),
	        story(a_flood_of_one_kind_is_noted_in_part),
	        story(what_is_refused_is_lost_and_the_next_is_not),
	        story(what_may_have_been_noted_is_noted_again),
	        story(old_ones_are_looked_for_once_an_hour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
