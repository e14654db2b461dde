/* Stories of writes that go to an instance in one call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"
#include "wal/calls.h"
#include "wal/engine.h"
#include "wal/scope.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)
#define MANY 30

static struct write *writes[MANY];

static void begin(void)
{
	world_start();
	made("docs");
	world_merges(true);
	model_latency(PRIMARY, 50);
	model_forget_trace(PRIMARY);
	model_forget_trace(REPLICA);
}

/* What is written from now on waits, until let_go(). */
static void hold(void)
{
	world_down(A);
	world_down(B);
}

static void let_go(void)
{
	world_up(A);
	pass_ms(1000);
	world_up(B);
	world_settle();
}

static void many(struct write *(*write)(const char *name, const char *ids))
{
	for (unsigned k = 0; k < MANY; k++) {
		char id[16];

		snprintf(id, sizeof(id), "i%u", k);
		writes[k] = write("docs", id);
	}
}

static void all_decided(int http)
{
	for (unsigned k = 0; k < MANY; k++)
		assert_decided(writes[k], http);
}

static void what_waits_goes_along_in_order(void **state)
{
	struct wal_figures figures;

	(void)state;
	begin();
	hold();
	add("docs", "a");
	add("docs", "b,c");
	add("docs", "d");
	let_go();
	assert_string_equal(model_trace(PRIMARY), "add docs a,b,c,d; ");
	assert_string_equal(model_items(REPLICA, "docs"), "a,b,c,d");
	wal_figures(&figures);
	assert_int_equal(figures.merged_calls, 2);
	assert_int_equal(figures.merged, 6);
	world_finish();
}

static void another_kind_ends_the_call(void **state)
{
	(void)state;
	begin();
	hold();
	add("docs", "a");
	add("docs", "b");
	upsert("docs", "b");
	upsert("docs", "c");
	add("docs", "d");
	let_go();
	assert_string_equal(model_trace(PRIMARY),
	                    "add docs a,b; upsert docs b,c; add docs d; ");
	world_finish();
}

static void an_item_is_changed_once_in_a_call(void **state)
{
	(void)state;
	begin();
	hold();
	upsert("docs", "a");
	upsert("docs", "b");
	upsert("docs", "a");
	upsert("docs", "c");
	let_go();
	assert_string_equal(model_trace(PRIMARY), "upsert docs a,b; upsert docs a,c; ");
	world_finish();
}

static void each_delete_hears_how_many_it_has_named(void **state)
{
	struct write *one, *two;

	(void)state;
	begin();
	add("docs", "a,b,c");
	take_out("docs", "a");
	one = take_out("docs", "b");
	two = take_out("docs", "c,x,y");
	world_settle();
	assert_string_equal(one->body, "{\"deleted\":2}"); /* and its mark */
	assert_string_equal(two->body, "{\"deleted\":4}");
	assert_string_equal(model_items(PRIMARY, "docs"), "");
	world_finish();
}

static void who_is_refused_may_set_the_dimension_in_company_as_alone(void **state)
{
	struct write *bad, *good;

	(void)state;
	begin();
	add("docs", "a");
	pass_ms(2);
	bad = add_embedded("docs", "b", 2, true);
	good = add_embedded("docs", "c", 3, false);
	world_settle();
	assert_decided(bad, 400);
	assert_decided(good, 400); /* as on a Chroma alone */
	world_finish();
}

static void a_refused_one_is_refused_alone(void **state)
{
	struct write *bad = NULL;
	unsigned calls;

	(void)state;
	begin();
	add_embedded("docs", "a", 2, false);
	world_settle();
	calls = model_calls(PRIMARY);
	model_latency(PRIMARY, 5);
	add_embedded("docs", "b", 2, false);
	pass_ms(1);
	for (unsigned k = 0; k < MANY; k++) {
		char id[16];

		snprintf(id, sizeof(id), "i%u", k);
		writes[k] = add_embedded("docs", id, 2, false);
		if (k == MANY / 2)
			bad = add_embedded("docs", "c", 3, false);
	}
	world_settle();
	all_decided(201);
	assert_decided(bad, 400);
	assert_true(model_calls(PRIMARY) - calls < 20);
	world_finish();
}

static void the_lane_is_merged_again_after_a_failure(void **state)
{
	unsigned calls;

	(void)state;
	begin();
	add("docs", "a");
	pass_ms(2);
	many(add);
	model_fault(PRIMARY, FAULT_500_AFTER, 3);
	world_settle();
	all_decided(201);
	calls = model_calls(PRIMARY);
	for (unsigned round = 0; round < 5; round++) {
		many(upsert);
		world_settle();
	}
	assert_true(model_calls(PRIMARY) - calls < 25);
	world_finish();
}

static void a_killer_dies_alone(void **state)
{
	struct write *killer;

	(void)state;
	begin();
	for (unsigned i = 0; i < 2; i++) {
		model_dies_of(world_model(i), "\"killer\"");
		model_restarts(world_model(i), 700);
	}
	add("docs", "a");
	pass_ms(2);
	killer = add("docs", "killer");
	many(add);
	pass_ms(60000);
	all_decided(201);
	assert_decided(killer, 500);
	assert_in_range(model_deaths(PRIMARY) + model_deaths(REPLICA), 2, 3);
	world_settle();
	world_check();
	world_stop();
}

static void when_the_answer_is_lost_each_is_executed_again_in_its_place(void **state)
{
	(void)state;
	for (int f = FAULT_LOST_BEFORE; f < FAULTS; f++) {
		begin();
		upsert("docs", "a");
		pass_ms(2);
		many(upsert);
		model_fault(PRIMARY, (enum fault)f, 2);
		pass_ms(30000);
		all_decided(200);
		world_finish();
	}
}

static void when_the_instance_dies_the_other_one_has_them_all(void **state)
{
	(void)state;
	for (int executed = 0; executed < 2; executed++) {
		begin();
		add("docs", "a");
		pass_ms(1);
		many(add);
		pass_ms(20);
		model_down(PRIMARY, executed > 0);
		pass_ms(10000);
		all_decided(201);
		world_up(A);
		world_finish();
	}
}

static void a_crash_in_the_middle_loses_none(void **state)
{
	(void)state;
	for (unsigned at = 1; at < 80; at += 3) {
		begin();
		add("docs", "a");
		pass_ms(1);
		many(add);
		pass_ms(at);
		world_restart(20000);
		world_finish();
	}
}

static void one_that_was_away_catches_up_in_few_calls(void **state)
{
	unsigned calls;

	(void)state;
	begin();
	world_down(B);
	for (unsigned round = 0; round < 10; round++) {
		many(add);
		many(upsert);
		pass_ms(3000);
		all_decided(200);
	}
	calls = model_calls(REPLICA);
	world_up(B);
	world_settle();
	assert_true(model_calls(REPLICA) - calls < 40);
	world_finish();
}

/* What a new process has to execute it reads from the log first. */
static void after_a_restart_bodies_are_read_for_a_whole_call(void **state)
{
	unsigned calls;

	(void)state;
	begin();
	world_down(B);
	many(add);
	pass_ms(3000);
	all_decided(201);
	world_restart(20000);
	calls = model_calls(REPLICA);
	world_up(B);
	world_settle();
	assert_true(model_calls(REPLICA) - calls < 10);
	world_finish();
}

/* Of three, two read the same bodies at once, but not equally many. */
static void each_gets_its_own_body_whoever_reads_it_first(void **state)
{
	(void)state;
	world_start_with(3);
	made("docs");
	world_merges(true);
	world_down(B);
	world_down(C);
	many(upsert);
	pass_ms(3000);
	all_decided(200);
	world_restart(20000);
	engine_hold(true);
	world_up(B);
	world_up(C);
	pass_ms(3000);
	named("docs")->scope->lanes[B].most = 7;
	engine_hold(false);
	world_finish();
}

static void while_clients_write_the_other_takes_several_at_once(void **state)
{
	unsigned ahead, behind;

	(void)state;
	begin();
	model_latency(PRIMARY, 3);
	ahead = model_calls(PRIMARY);
	behind = model_calls(REPLICA);
	for (unsigned k = 0; k < MANY; k++) {
		char id[16];

		snprintf(id, sizeof(id), "i%u", k);
		writes[k] = add("docs", id);
		pass_ms(9);
		assert_true(wal_behind(health_instance(B), named("docs")) <= 15);
	}
	assert_int_equal(model_calls(PRIMARY) - ahead, MANY);
	pass_ms(40);
	assert_true(model_calls(REPLICA) - behind < MANY / 4);
	assert_true(wal_current(health_instance(B), named("docs")));
	world_finish();
}

static void it_does_not_wait_when_the_one_ahead_is_down(void **state)
{
	(void)state;
	begin();
	model_latency(PRIMARY, 3);
	many(add);
	pass_ms(60);
	world_down(A);
	writes[0] = add("docs", "b");
	pass_ms(80);
	assert_decided(writes[0], 201);
	world_up(A);
	world_finish();
}

static enum fault first_hangs(void *arg)
{
	unsigned *calls = arg;

	return (*calls)++ == 0 ? FAULT_HANG_BEFORE : FAULT_NONE;
}

/* The call is given up, and handed over behind a later write of its second record's. */
static void all_of_a_call_that_may_come_late_are_looked_at_later(void **state)
{
	static const struct model_closed late = {
	        .late = 100, .kinds = LATE_ITEMS, .late_least = 9000, .late_most = 9000};
	unsigned calls = 0;

	(void)state;
	begin();
	hold();
	upsert("docs", "a");
	upsert("docs", "b");
	model_closes(PRIMARY, &late);
	model_faults(PRIMARY, first_hangs, &calls);
	world_up(A);
	world_up(B);
	pass_ms(7000);
	upsert("docs", "b");
	pass_ms(9000);
	assert_int_equal(model_late(PRIMARY), 1);
	assert_int_equal(wal_quarantined(), 0);
	pass_ms(70000);
	assert_int_equal(wal_quarantined(), 1);
	world_stop();
}

static void a_collection_deleted_behind_them_takes_them_all(void **state)
{
	struct write *w;

	(void)state;
	begin();
	add("docs", "a");
	pass_ms(2);
	many(add);
	w = drop("docs");
	world_settle();
	all_decided(201);
	assert_decided(w, 200);
	world_finish();
}

/* Merged it can never be applied; alone each is looked at. */
static void a_lost_collection_is_noticed_at_once(void **state)
{
	unsigned calls;

	(void)state;
	begin();
	world_down(B);
	many(add);
	pass_ms(3000);
	model_drop_behind_our_back(REPLICA, "docs");
	calls = model_calls(REPLICA);
	world_up(B);
	for (unsigned ms = 0; wal_quarantined() == 0 && ms < 60000; ms += 10)
		pass_ms(10);
	assert_int_equal(wal_quarantined(), 1);
	assert_true(model_calls(REPLICA) - calls <= 3);
	world_stop();
}

/* It was to go along where nobody waits for it, and does not fit. */
static void who_does_not_go_along_after_all_is_executed_elsewhere(void **state)
{
	struct write *first, *second;
	struct batch b;

	(void)state;
	begin();
	model_fault(PRIMARY, FAULT_500_BEFORE, 2);
	model_latency(PRIMARY, 3);
	first = upsert("docs", "a");
	pass_ms(50);
	assert_decided(first, 200);
	engine_hold(true);
	second = upsert("docs", "b");
	pass_ms(1000);
	batch_begin(&b, engine_find(first->seq), A);
	batch_gather(&b);
	assert_int_equal(b.n, 2);
	model_fault(PRIMARY, FAULT_HANG_BEFORE, 1);
	engine_hold(false);
	pass_ms(100);
	assert_false(second->ended);
	batch_part(&b, 1);
	batch_clear(&b);
	pass_ms(100);
	assert_decided(second, 200);
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(what_waits_goes_along_in_order),
	        world_story(another_kind_ends_the_call),
	        world_story(an_item_is_changed_once_in_a_call),
	        world_story(each_delete_hears_how_many_it_has_named),
	        world_story(who_is_refused_may_set_the_dimension_in_company_as_alone),
	        world_story(a_refused_one_is_refused_alone),
	        world_story(the_lane_is_merged_again_after_a_failure),
	        world_story(a_killer_dies_alone),
	        world_story(when_the_answer_is_lost_each_is_executed_again_in_its_place),
	        world_story(when_the_instance_dies_the_other_one_has_them_all),
	        world_story(a_crash_in_the_middle_loses_none),
	        world_story(one_that_was_away_catches_up_in_few_calls),
	        world_story(after_a_restart_bodies_are_read_for_a_whole_call),
	        world_story(each_gets_its_own_body_whoever_reads_it_first),
	        world_story(while_clients_write_the_other_takes_several_at_once),
	        world_story(it_does_not_wait_when_the_one_ahead_is_down),
	        world_story(all_of_a_call_that_may_come_late_are_looked_at_later),
	        world_story(a_collection_deleted_behind_them_takes_them_all),
	        world_story(a_lost_collection_is_noticed_at_once),
	        world_story(who_does_not_go_along_after_all_is_executed_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
