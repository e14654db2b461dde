/* Stories of records that kill the server that executes them, and of servers that do not
 * take a write. What is killed is started again after a while, as by a supervisor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)
#define KILLER "\"killer\""

static void begin(msec restarts)
{
	world_start();
	made("docs");
	made("notes");
	for (unsigned i = 0; i < 2; i++) {
		model_dies_of(world_model(i), KILLER);
		model_restarts(world_model(i), restarts);
	}
}

static void finish(void)
{
	world_settle();
	world_check();
	world_stop();
}

static void a_killer_is_given_up_and_the_other_instance_lives(void **state)
{
	struct write *killer, *behind, *elsewhere;

	(void)state;
	begin(700);
	killer = add("docs", "killer");
	behind = add("docs", "a");
	elsewhere = add("notes", "b");
	pass_ms(60000);
	assert_decided(killer, 500);
	assert_decided(behind, 201);
	assert_decided(elsewhere, 201);
	assert_in_range(model_deaths(PRIMARY), 2, 3);
	assert_in_range(model_deaths(REPLICA), 0, 1);
	assert_string_equal(model_items(REPLICA, "docs"), "a");
	finish();
}

static void one_that_was_under_way_when_an_instance_died_by_chance_is_not_held_long(
        void **state)
{
	struct write *w;

	(void)state;
	begin(0);
	w = add("docs", "a");
	pass_ms(3);
	model_down(PRIMARY, false);
	pass_ms(4000);
	assert_decided(w, 201);
	assert_string_equal(model_items(REPLICA, "docs"), "a");
	world_up(A);
	finish();
}

/* Else the catalogue would say otherwise than the instances, for good. */
static void what_changes_the_catalogue_is_not_given_up(void **state)
{
	struct write *w;

	(void)state;
	begin(700);
	for (unsigned i = 0; i < 2; i++)
		model_dies_of(world_model(i), "ctd-del.");
	w = drop("docs");
	pass_ms(20000);
	assert_in_range(model_deaths(PRIMARY) + model_deaths(REPLICA), 3, 100);
	assert_false(w->ended);
	for (unsigned i = 0; i < 2; i++)
		model_dies_of(world_model(i), NULL);
	world_settle();
	assert_decided(w, 200);
	made("docs");
	finish();
}

static void a_wedged_instance_holds_nobody_up(void **state)
{
	struct write *w, *other;

	(void)state;
	begin(0);
	model_wedged(PRIMARY, true);
	w = add("docs", "a");
	other = create("mail");
	pass_ms(5000);
	assert_decided(w, 201);
	assert_decided(other, 200);
	model_wedged(PRIMARY, false);
	finish();
}

static void what_hangs_in_a_deleted_collection_is_tried_on(void **state)
{
	struct write *w;

	(void)state;
	begin(0);
	model_fault(REPLICA, FAULT_HANG_BEFORE, 4);
	w = add("docs", "a");
	pass_ms(100);
	assert_decided(w, 201);
	drop("docs");
	finish();
}

static int clean_up(void **state)
{
	(void)state;
	world_clean_up();
	return 0;
}

#define story(f) cmocka_unit_test_teardown(f, clean_up)

static void with_one_instance_away_for_long_the_other_is_not_killed_twice(void **state)
{
	struct write *killer, *elsewhere;

	(void)state;
	begin(0); /* nobody starts it again */
	killer = add("docs", "killer");
	pass_ms(200);
	assert_int_equal(model_deaths(PRIMARY), 1);
	elsewhere = add("notes", "b");
	pass_ms(20000);
	assert_in_range(model_deaths(REPLICA), 0, 1);
	model_up(REPLICA);
	pass_ms(20000);
	assert_in_range(model_deaths(REPLICA), 0, 1);
	assert_decided(elsewhere, 201);
	model_up(PRIMARY);
	pass_ms(10000);
	model_up(PRIMARY);
	model_up(REPLICA);
	pass_ms(10000);
	assert_decided(killer, 500);
	assert_in_range(model_deaths(REPLICA), 0, 1);
	model_up(PRIMARY);
	model_up(REPLICA);
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        story(with_one_instance_away_for_long_the_other_is_not_killed_twice),
	        story(a_killer_is_given_up_and_the_other_instance_lives),
	        story(one_that_was_under_way_when_an_instance_died_by_chance_is_not_held_long),
	        story(what_changes_the_catalogue_is_not_given_up),
	        story(a_wedged_instance_holds_nobody_up),
	        story(what_hangs_in_a_deleted_collection_is_tried_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
