/* Stories of an instance that stands still at one place of the log while it is read; and
 * of collections that are created with the id they had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/lib/world.h"
#include "wal/append.h"
#include "wal/engine.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)

static wal_seq place;

static void begin(void)
{
	world_start();
	world_merges(true);
	made("docs");
	made("notes");
	model_forget_trace(REPLICA);
}

/* It is in the log; nothing more. */
static struct write *logged(struct write *w)
{
	while (!w->appended)
		pass_ms(1);
	return w;
}

static void pause_it(void)
{
	assert_true(wal_pause(health_instance(B), &place));
	assert_int_equal(place, append_last_seq());
	assert_true(wal_pausing(health_instance(B)));
}

static void reach_it(void)
{
	for (unsigned k = 0; k < 5000 && !wal_paused(health_instance(B)); k++)
		pass_ms(1);
	assert_true(wal_paused(health_instance(B)));
	assert_int_equal(engine_floor(B), place);
}

static void what_is_behind_the_place_waits_and_clients_do_not(void **state)
{
	struct write *w;

	(void)state;
	begin();
	logged(add("docs", "a"));
	pause_it();
	add("docs", "b");
	add("notes", "c");
	rename_to("notes", "other");
	create("more");
	w = upsert("docs", "a");
	reach_it();
	pass_ms(2000);
	assert_decided(w, 200);
	assert_string_equal(model_trace(REPLICA), "add docs a; ");
	assert_false(wal_current(health_instance(B), named("docs")));
	assert_true(wal_current(health_instance(A), named("docs")));
	wal_resume(health_instance(B));
	assert_false(wal_pausing(health_instance(B)));
	world_finish();
}

/* A call never carries something from behind the place along. */
static void what_is_behind_does_not_go_along(void **state)
{
	(void)state;
	begin();
	world_down(B);
	for (unsigned k = 0; k < 5; k++)
		logged(upsert("docs", "x"));
	world_up(B);
	assert_true(wal_pause(health_instance(B), &place));
	for (unsigned k = 0; k < 5; k++)
		logged(upsert("docs", "y"));
	reach_it();
	pass_ms(1000);
	assert_null(strstr(model_trace(REPLICA), "y"));
	assert_non_null(strstr(model_trace(REPLICA), "x"));
	wal_resume(health_instance(B));
	world_finish();
}

/* What its delete makes superfluous is executed there all the same: the place is before
 * the delete. */
static void a_delete_behind_the_place_takes_nothing_away(void **state)
{
	(void)state;
	begin();
	model_latency(REPLICA, 50);
	for (unsigned k = 0; k < 20; k++)
		logged(k % 2 == 0 ? upsert("docs", "x") : update("docs", "x"));
	pause_it();
	drop("docs");
	logged(create("last"));
	reach_it();
	pass_ms(1000);
	assert_string_equal(model_items(REPLICA, "docs"), "x");
	assert_non_null(strstr(model_trace(REPLICA), "update docs x"));
	wal_resume(health_instance(B));
	world_finish();
}

static void it_holds_nobody_up(void **state)
{
	msec then;

	(void)state;
	begin();
	pause_it();
	for (unsigned k = 0; k < 40; k++)
		logged(add("docs", "x"));
	pass_ms(1000);
	then = clock_ms();
	for (unsigned k = 0; k < 20; k++) {
		struct write *w = upsert("docs", "x");

		while (!w->ended)
			pass_ms(1);
	}
	assert_in_range(clock_ms() - then, 1, 1000);
	wal_resume(health_instance(B));
	world_finish();
}

static void it_is_forgotten_with_the_proxy(void **state)
{
	(void)state;
	begin();
	pause_it();
	logged(add("docs", "a"));
	world_crash();
	world_boot();
	world_lead(20000);
	assert_false(wal_pausing(health_instance(B)));
	world_finish();
}

static void it_is_forgotten_with_the_lease(void **state)
{
	(void)state;
	begin();
	pause_it();
	fake_pg_take_lease(1000);
	pass_ms(3000);
	assert_false(wal_pausing(health_instance(B)));
	world_lead(20000);
	world_finish();
}

static void one_that_is_far_behind_is_not_taken(void **state)
{
	(void)state;
	begin();
	world_down(B);
	for (unsigned k = 0; k < 10; k++)
		logged(add("docs", "a"));
	pass_ms(5000);
	assert_false(wal_pause(health_instance(B), &place));
	world_up(B);
	world_settle();
	pause_it();
	assert_false(wal_pause(health_instance(B), &place));
	reach_it();
	wal_resume(health_instance(B));
	world_finish();
}

/* --- an id that is given ----------------------------------------------------------- */

static const struct uuid given = {"0c8a9e5a-7f5f-4b0e-9c4c-3d2b8d5c1a11"};

static void a_collection_has_the_id_it_was_given(void **state)
{
	struct write *w;

	(void)state;
	begin();
	w = create_as("back", &given);
	world_settle();
	assert_decided(w, 200);
	assert_non_null(strstr(w->body, given.text));
	assert_string_equal(named("back")->public_id.text, given.text);
	assert_ptr_equal(catalogue_by_uuid(&given), named("back"));
	add("back", "a");
	world_settle();
	world_crash();
	world_boot();
	world_lead(20000);
	assert_string_equal(named("back")->public_id.text, given.text);
	assert_int_equal(catalogue_by_uuid(&given)->id, named("back")->id);
	world_finish();
}

static void it_keeps_it_when_the_proxy_dies_before_it_is_decided(void **state)
{
	(void)state;
	begin();
	world_down(A);
	world_down(B);
	logged(create_as("back", &given));
	world_crash();
	world_boot();
	pass_ms(10000);
	world_up(A);
	world_up(B);
	world_settle();
	assert_string_equal(named("back")->public_id.text, given.text);
	drop("back");
	world_settle();
	assert_null(catalogue_by_uuid(&given));
	create_as("again", &given);
	world_settle();
	assert_string_equal(named("again")->public_id.text, given.text);
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(what_is_behind_the_place_waits_and_clients_do_not),
	        world_story(what_is_behind_does_not_go_along),
	        world_story(a_delete_behind_the_place_takes_nothing_away),
	        world_story(it_holds_nobody_up),
	        world_story(it_is_forgotten_with_the_proxy),
	        world_story(it_is_forgotten_with_the_lease),
	        world_story(one_that_is_far_behind_is_not_taken),
	        world_story(a_collection_has_the_id_it_was_given),
	        world_story(it_keeps_it_when_the_proxy_dies_before_it_is_decided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
