/* Stories of two things that go wrong at once: what a review of the lanes has found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"
#include "wal/record.h"
#include "wal/scope.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)

static void a_lane_whose_collection_is_deleted_ends(void **state)
{
	struct write *w, *gone, *born;

	(void)state;
	world_start();
	made("docs");
	model_fault(REPLICA, FAULT_500_BEFORE, 40);
	w = add("docs", "a");
	pass_ms(100);
	assert_decided(w, 201);
	gone = drop("docs");
	born = create("mail");
	pass_ms(60000);
	model_fault(REPLICA, FAULT_NONE, 0);
	pass_ms(600000);
	assert_decided(gone, 200);
	assert_decided(born, 200);
	assert_non_null(model_collection_id(REPLICA, "mail"));
	world_finish();
}

static void a_delete_is_tried_until_it_is_done(void **state)
{
	struct write *gone;

	(void)state;
	world_start();
	made("docs");
	model_fault(REPLICA, FAULT_500_BEFORE, 6);
	gone = drop("docs");
	pass_ms(600000);
	assert_decided(gone, 200);
	assert_int_equal(wal_owed(), 0);
	world_finish();
}

static void a_restart_finds_a_lane_that_is_being_left(void **state)
{
	struct write *born;

	(void)state;
	world_start();
	diverged();
	rename_to("docs", "papers");
	pass_ms(100);
	world_down(A);
	born = create("mail"); /* decided by B, owed by A */
	pass_ms(200);
	assert_decided(born, 200);
	fake_pg_delay(20);
	drop("papers");
	pass_ms(25); /* its append is committed; nothing else is */
	world_crash();
	fake_pg_delay(2);
	world_boot();
	world_lead(10000);
	world_up(A);
	world_finish();
}

static void a_create_does_not_take_what_a_parked_rename_has_left(void **state)
{
	struct write *w, *born;
	char old[64], bound[64];

	(void)state;
	world_start();
	w = diverged();
	rename_to("docs", "papers");
	pass_ms(100);
	snprintf(old, sizeof(old), "%s", model_collection_id(REPLICA, "docs"));
	born = create("docs");
	model_fault(REPLICA, FAULT_LOST_BEFORE, 1);
	pass_ms(3000);
	assert_decided(born, 200);
	snprintf(bound, sizeof(bound), "%s", named("docs")->local[B].text);
	assert_string_not_equal(bound, old);
	wal_retry(w->seq);
	world_finish();
}

static void nobody_passes_a_lane_before_its_row_is_durable(void **state)
{
	(void)state;
	world_start();
	made("docs");
	model_refuse_ids(REPLICA, true);
	add("docs", "a");
	fake_pg_refuse("quarantine", 2);
	pass_ms(50);
	model_refuse_ids(REPLICA, false);
	rename_to("docs", "papers");
	create("mail");
	pass_ms(200);
	world_restart(10000);
	pass_ms(2000);
	world_finish();
}

static void a_delete_is_not_given_up(void **state)
{
	struct write *gone, *born;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_500_BEFORE, 60);
	model_fault(REPLICA, FAULT_500_BEFORE, 60);
	gone = drop("docs");
	pass_ms(10000);
	model_fault(PRIMARY, FAULT_NONE, 0);
	model_fault(REPLICA, FAULT_NONE, 0);
	pass_ms(60000);
	assert_decided(gone, 200);
	born = create("docs");
	pass_ms(120000);
	assert_decided(born, 200);
	world_finish();
}

static void what_may_have_been_acknowledged_is_not_given_up_soon(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	world_down(B);
	w = add("docs", "a");
	for (int k = 0; k < 50 && !w->appended; k++)
		pass_ms(1);
	fake_pg_stall(true);
	for (int k = 0; k < 50 && !w->ended; k++)
		pass_ms(1);
	world_crash();
	fake_pg_stall(false);
	world_boot();
	world_up(B);
	model_fault(PRIMARY, FAULT_500_BEFORE, 60);
	model_fault(REPLICA, FAULT_500_BEFORE, 60);
	world_lead(10000);
	pass_ms(10000);
	model_fault(PRIMARY, FAULT_NONE, 0);
	model_fault(REPLICA, FAULT_NONE, 0);
	pass_ms(30000);
	assert_string_equal(model_items(REPLICA, "docs"), "a");
	world_finish();
}

static void a_poison_while_the_other_is_parked_is_given_up(void **state)
{
	struct write *p, *next;

	(void)state;
	world_start();
	diverged();
	model_fault(PRIMARY, FAULT_500_BEFORE, 100);
	p = add("docs", "p");
	next = add("docs", "n");
	pass_ms(600000);
	model_fault(PRIMARY, FAULT_NONE, 0);
	assert_decided(p, 500);
	assert_true(next->ended);
	world_finish();
}

static void a_database_is_current_again_when_its_lane_is_healed(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	w = diverged();
	rename_to("docs", "papers");
	pass_ms(200);
	wal_retry(w->seq);
	world_settle();
	assert_true(wal_database_current(health_instance(B), named("papers")->db));
	world_finish();
}

static void a_create_is_not_given_up(void **state)
{
	struct write *w, *again;

	(void)state;
	world_start();
	model_fault(PRIMARY, FAULT_500_AFTER, 60);
	model_fault(REPLICA, FAULT_500_AFTER, 60);
	w = create("docs");
	pass_ms(10000);
	model_fault(PRIMARY, FAULT_NONE, 0);
	model_fault(REPLICA, FAULT_NONE, 0);
	pass_ms(60000);
	assert_decided(w, 200);
	again = create("docs");
	pass_ms(60000);
	assert_ended(again, STATUS_CONFLICT);
	world_finish();
}

static void looks_that_must_wait_do_not_keep_others_waiting(void **state)
{
	unsigned before;

	(void)state;
	world_start();
	made("docs");
	made("notes");
	for (int k = 0; k < 30; k++) {
		char id[8];
		snprintf(id, sizeof(id), "i%d", k);
		model_fault(REPLICA, FAULT_LOST_AFTER, 1);
		add("docs", id);
		world_settle();
	}
	model_refuse_ids(REPLICA, true);
	add("docs", "z");
	pass_ms(50);
	model_refuse_ids(REPLICA, false);
	assert_int_equal(wal_quarantined(), 1);
	model_fault(PRIMARY, FAULT_LOST_AFTER, 1);
	add("notes", "a");
	pass_ms(20000);
	before = model_calls(PRIMARY);
	for (int k = 0; k < 100; k++) { /* the lane stays parked */
		model_refuse_ids(REPLICA, true);
		pass_ms(5000);
	}
	assert_true(model_calls(PRIMARY) > before);
	model_refuse_ids(REPLICA, false);
	world_stop();
}

static void a_parked_lane_has_no_say_in_giving_up(void **state)
{
	struct write *p, *next;

	(void)state;
	world_start();
	made("docs");
	model_refuse_ids(PRIMARY, true);
	add_embedded("docs", "a", 2, false);
	pass_ms(100);
	model_refuse_ids(PRIMARY, false);
	assert_int_equal(wal_quarantined(),
	                 1); /* B: accepted; not tried again by itself */
	model_fault(PRIMARY, FAULT_500_BEFORE, 10000);
	p = add("docs", "p");
	next = add("docs", "n");
	pass_ms(3600000);
	model_fault(PRIMARY, FAULT_NONE, 0);
	assert_decided(p, 500);
	assert_true(next->ended);
	world_stop();
}

static void a_rename_is_not_given_up(void **state)
{
	struct write *w, *again;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_500_AFTER, 60);
	model_fault(REPLICA, FAULT_500_BEFORE, 60);
	w = rename_to("docs", "papers");
	pass_ms(10000);
	model_fault(PRIMARY, FAULT_NONE, 0);
	model_fault(REPLICA, FAULT_NONE, 0);
	pass_ms(2000000);
	assert_decided(w, 200);
	again = create("papers");
	pass_ms(60000);
	assert_ended(again, STATUS_CONFLICT);
	world_finish();
}

static enum fault slow(void *arg)
{
	(void)arg;
	return FAULT_HANG_BEFORE;
}
static void a_look_without_an_answer_comes_ever_more_rarely(void **state)
{
	unsigned held = 0, n = 0;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_LOST_AFTER, 1);
	add("docs", "a");
	world_settle();
	pass_ms(58000);
	model_faults(PRIMARY, slow, NULL);
	for (int k = 0; k < 36000; k++) {
		pass_ms(100);
		held += named("docs")->scope->holds > 0;
		n++;
	}
	model_faults(PRIMARY, NULL, NULL);
	assert_true(held < n / 50);
	world_stop();
}

static void who_may_have_applied_it_is_heard_before_a_refusal(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_LOST_AFTER, 1);
	model_refuse_ids(REPLICA, true);
	w = add("docs", "a");
	pass_ms(2000);
	model_refuse_ids(REPLICA, false);
	assert_decided(w, 201);
	assert_int_equal(wal_quarantined(), 1);
	wal_retry(w->seq);
	world_finish();
}

static void a_refusal_does_not_wait_for_one_that_cannot_be_heard(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_LOST_BEFORE, 100);
	w = add_embedded("docs", "a", 2, true);
	pass_ms(1000);
	model_fault(PRIMARY, FAULT_NONE, 0);
	assert_decided(w, 400);
	world_finish();
}

static void ids_that_may_not_be_stored_are_not_deleted(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	add("docs", "a,b");
	world_settle();
	model_latency(PRIMARY, 1);
	w = take_out_where("docs", "{\"a\":\"x\"}");
	while (!w->appended)
		pass_ms(1);
	fake_pg_stall(true); /* the ids are found, and never stored */
	pass_ms(6000);       /* the lease runs out meanwhile */
	fake_pg_cut("log", 0, false, 0);
	fake_pg_stall(false);
	world_lead(20000);
	world_finish(); /* compares the ids in the log with those deleted */
}

/* The outcome of a refusal is not stored, and a position behind it would have been. */
static void a_refusal_that_was_not_stored_is_none_that_was_accepted(void **state)
{
	struct collection *docs;

	(void)state;
	world_start();
	docs = made("docs");
	fake_pg_refuse("outcome", 1);
	items(RECORD_ADD, docs, "a", 0, true);
	add("docs", "b");
	pass_ms(100);
	world_restart(10000);
	world_settle();
	assert_int_equal(wal_quarantined(), 0);
	assert_int_equal(fake_pg_log(fake_pg_log_count() - 2)->decision,
	                 DECISION_REJECTED);
	assert_string_equal(model_items(world_model(B), "docs"), "b");
	world_finish();
}

/* It stood apart and is done; what stands before it in the database is not, and nothing
 * tells any more that the collection was in quarantine. */
static void a_restart_finds_what_stood_apart_in_front_of_what_is_owed(void **state)
{
	(void)state;
	world_start_with(3);
	diverged();
	world_down(B);
	world_down(C);
	create("mail");
	modify("docs");
	pass_ms(100);
	drop("docs");
	pass_ms(1000);
	assert_int_equal(fake_pg_quarantines("replica"), 0);
	world_restart(10000);
	world_up(B);
	world_up(C);
	world_finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(a_lane_whose_collection_is_deleted_ends),
	        world_story(a_delete_is_tried_until_it_is_done),
	        world_story(a_restart_finds_a_lane_that_is_being_left),
	        world_story(a_create_does_not_take_what_a_parked_rename_has_left),
	        world_story(nobody_passes_a_lane_before_its_row_is_durable),
	        world_story(a_delete_is_not_given_up),
	        world_story(what_may_have_been_acknowledged_is_not_given_up_soon),
	        world_story(a_parked_lane_has_no_say_in_giving_up),
	        world_story(a_poison_while_the_other_is_parked_is_given_up),
	        world_story(a_database_is_current_again_when_its_lane_is_healed),
	        world_story(a_create_is_not_given_up),
	        world_story(looks_that_must_wait_do_not_keep_others_waiting),
	        world_story(a_rename_is_not_given_up),
	        world_story(a_look_without_an_answer_comes_ever_more_rarely),
	        world_story(who_may_have_applied_it_is_heard_before_a_refusal),
	        world_story(a_refusal_does_not_wait_for_one_that_cannot_be_heard),
	        world_story(ids_that_may_not_be_stored_are_not_deleted),
	        world_story(a_refusal_that_was_not_stored_is_none_that_was_accepted),
	        world_story(a_restart_finds_what_stood_apart_in_front_of_what_is_owed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
