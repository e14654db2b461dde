/* Stories of a log that is kept short, and of an instance it is not kept for any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"
#include "wal/append.h"
#include "wal/engine.h"
#include "wal/lead.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)
#define ROOM_FOR 64 /* records */

static struct write *some(const char *name, unsigned n)
{
	struct write *w = NULL;

	for (unsigned k = 0; k < n; k++) {
		char id[16];

		snprintf(id, sizeof(id), "i%u", k % 10);
		w = upsert(name, id);
	}
	pass_ms(100);
	return w;
}

static struct wal_figures figures(void)
{
	struct wal_figures now;

	wal_figures(&now);
	return now;
}

static bool is_detached(unsigned i)
{
	return wal_detached(health_instance(i));
}

/* Writes until the replica is given up; some of what it is owed is cold by then. */
static void give_up_the_replica(void)
{
	for (unsigned k = 0; k < 40 && !is_detached(B); k++) {
		some("docs", 4);
		pass_ms(5000);
	}
	assert_true(is_detached(B));
}

static void begin(void)
{
	world_log_limit(ROOM_FOR * FAKE_RECORD_BYTES);
	world_repairs();
	world_start();
	world_repairs();
	world_crash();
	world_boot();
	world_lead(20000);
	made("docs");
	made("notes");
	world_down(B);
	model_forget_trace(REPLICA);
}

/* What the log held is not there to compare with. */
static void finish_without_the_log(void)
{
	char *a, *b;

	world_settle();
	a = model_dump(PRIMARY);
	b = model_dump(REPLICA);
	assert_string_equal(a, b);
	free(a);
	free(b);
	world_stop();
}

static void until_it_is_whole_again(void)
{
	for (unsigned k = 0; wal_detached(health_instance(B)) || wal_quarantined() > 0;
	     k++) {
		assert_true(k < 600);
		pass_ms(500);
	}
}

/* --- partitions -------------------------------------------------------------------- */

static void the_log_stays_within_its_limit(void **state)
{
	(void)state;
	world_log_limit(ROOM_FOR * FAKE_RECORD_BYTES);
	world_repairs();
	world_start();
	made("docs");
	for (unsigned k = 0; k < 60; k++) {
		some("docs", 4);
		pass_ms(5000);
		assert_true(fake_pg_log_count() <= ROOM_FOR + 8);
	}
	assert_true(fake_pg_log_count() >
	            ROOM_FOR / 2); /* and does not give way for nothing */
	assert_true(fake_pg_partitions() < 30);
	finish_without_the_log();
}

static void places_are_left_out_and_all_goes_on_after_a_crash(void **state)
{
	(void)state;
	world_log_limit(ROOM_FOR * FAKE_RECORD_BYTES);
	world_repairs();
	world_start();
	made("docs");
	world_down(B);
	for (unsigned k = 0; k < 5; k++) {
		some("docs", 4);
		pass_ms(6000);
	}
	assert_true(fake_pg_partitions() > 6);
	assert_decided(some("docs", 1), 200);
	assert_true(append_last_seq() > 100000);
	world_crash();
	world_boot();
	world_lead(20000);
	some("docs", 3);
	world_up(B);
	world_finish();
}

static void what_is_old_goes(void **state)
{
	(void)state;
	world_repairs();
	world_start();
	made("docs");
	some("docs", 20);
	pass_ms(10000);
	assert_int_equal(fake_pg_log_count(), 21);
	pass_ms(3600000); /* the retention */
	assert_int_equal(fake_pg_log_count(), 0);
	some("docs", 2);
	finish_without_the_log();
}

static void an_append_that_finds_no_partition_is_refused_and_one_is_made(void **state)
{
	struct write *w;

	(void)state;
	world_repairs();
	world_start();
	made("docs");
	fake_pg_lose_partitions();
	w = upsert("docs", "a");
	pass_ms(50);
	assert_ended(w, STATUS_LOG_UNAVAILABLE);
	w = upsert("docs", "a");
	world_settle();
	assert_decided(w, 200);
	world_finish();
}

/* --- an operator's word ------------------------------------------------------------ */

static struct {
	bool told, blocked;
	enum status status;
	uint64_t deleted;
} cleaned;

static void on_cleaned(void *arg, enum status s, uint64_t deleted, bool blocked)
{
	(void)arg;
	cleaned.told = true;
	cleaned.status = s;
	cleaned.deleted = deleted;
	cleaned.blocked = blocked;
}

static void a_cleanup_takes_what_every_instance_has(void **state)
{
	static struct op *pending, *second;

	(void)state;
	memset(&cleaned, 0, sizeof(cleaned));
	world_repairs();
	world_start();
	made("docs");
	some("docs", 5);
	world_settle();
	assert_true(wal_cleanup(0, on_cleaned, NULL, &pending));
	assert_false(wal_cleanup(0, on_cleaned, NULL, &second));
	pass_ms(200);
	assert_true(cleaned.told);
	assert_int_equal(cleaned.status, STATUS_OK);
	assert_int_equal(cleaned.deleted, 6);
	world_down(B);
	some("docs", 5);
	assert_true(wal_cleanup(0, on_cleaned, NULL, &pending));
	pass_ms(200);
	assert_int_equal(cleaned.deleted, 0);
	assert_int_equal(fake_pg_log_count(), 5);
	world_up(B);
	finish_without_the_log();
}

/* Whether it is in the log is not known: it is taken up, wherever it lies. */
static void an_append_in_doubt_is_not_passed_by_a_close(void **state)
{
	static struct op *pending;
	struct write *w;

	(void)state;
	for (unsigned ms = 0; ms < 40; ms++) {
		world_repairs();
		world_start();
		made("docs");
		some("docs", 3);
		w = upsert("docs", "x");
		pass_ms(1);
		fake_pg_session_finishes(true);
		fake_pg_cut("log", 0, true, 3000); /* it commits, in a moment */
		while (!wal_ready())
			pass_ms(1);
		for (unsigned k = 0; k < ms && !append_all_known(); k++)
			pass_ms(3);
		wal_cleanup(0, on_cleaned, NULL, &pending);
		pass_ms(500);
		assert_decided(w, 200);
		finish_without_the_log();
	}
}

static void a_cleanup_ends_with_the_leadership(void **state)
{
	static struct op *pending;

	(void)state;
	memset(&cleaned, 0, sizeof(cleaned));
	world_repairs();
	world_start();
	assert_true(wal_cleanup(0, on_cleaned, NULL, &pending));
	wal_deposed("by the test");
	pass_ms(10);
	assert_true(cleaned.told);
	assert_int_equal(cleaned.status, STATUS_DEPOSED);
	world_lead(20000);
	world_finish();
}

/* --- detached ---------------------------------------------------------------------- */

static void at_the_limit_the_dead_one_is_given_up(void **state)
{
	(void)state;
	begin();
	give_up_the_replica();
	assert_true(fake_pg_detached("replica"));
	pass_ms(20000);
	assert_true(fake_pg_log_count() < ROOM_FOR);
	assert_int_equal(figures().instances[B].owed, 0);
	assert_int_equal(figures().instances[B].owed_bytes, 0);
	assert_int_equal(figures().owed, 0);
	assert_null(TAILQ_FIRST(engine_records()));
	assert_false(is_detached(A));
	world_stop();
}

static void nothing_is_executed_at_it_or_read_from_it(void **state)
{
	struct write *w;

	(void)state;
	begin();
	give_up_the_replica();
	w = upsert("docs", "x");
	create("more");
	pass_ms(5000);
	assert_decided(w, 200);
	assert_false(wal_readable(health_instance(B), named("docs")));
	assert_false(wal_current(health_instance(B), named("docs")));
	assert_false(wal_database_current(health_instance(B), named("docs")->db));
	assert_true(wal_current(health_instance(A), named("docs")));
	world_stop();
}

/* Of every kind, and none waits for it. */
static void everything_goes_on_with_the_other(void **state)
{
	struct write *w[6];

	(void)state;
	begin();
	give_up_the_replica();
	w[0] = rename_to("docs", "papers");
	world_settle();
	w[1] = drop("notes");
	w[2] = create_database("other");
	w[3] = take_out_where("papers", "{}");
	world_settle();
	w[4] = reset();
	world_settle();
	w[5] = create("again");
	world_settle();
	for (unsigned k = 0; k < 6; k++)
		assert_true(w[k]->ended && w[k]->status == STATUS_OK);
	assert_string_equal(model_trace(REPLICA), "");
	assert_null(TAILQ_FIRST(engine_records()));
	world_stop();
}

/* What is under way at the one is no reason to doubt it: nobody else has been sent it. */
static void the_other_is_read_while_it_executes(void **state)
{
	struct write *w;

	(void)state;
	begin();
	give_up_the_replica();
	model_latency(PRIMARY, 100);
	w = upsert("docs", "x");
	for (unsigned k = 0; k < 10; k++) {
		pass_ms(1);
		assert_true(wal_current(health_instance(A), named("docs")));
	}
	world_settle();
	assert_decided(w, 200);
	world_stop();
}

static void it_is_durable(void **state)
{
	struct write *w;

	(void)state;
	begin();
	give_up_the_replica();
	w = some("docs", 3);
	world_crash();
	world_boot();
	world_lead(20000);
	assert_true(w->ended);
	assert_true(is_detached(B));
	assert_int_equal(figures().owed, 0);
	some("docs", 3);
	pass_ms(1000);
	assert_true(wal_current(health_instance(A), named("docs")));
	world_stop();
}

/* The answer to the step is lost: next time it is found to be done, or is done. */
static void the_log_is_lost_while_it_is_given_up(void **state)
{
	(void)state;
	begin();
	for (unsigned k = 0; k < 200 && !is_detached(B); k++) {
		some("docs", 2);
		pass_ms(1000);
		if (k % 3 == 0)
			fake_pg_cut("log", 1, false, 10);
		pass_ms(1000);
	}
	assert_true(is_detached(B));
	assert_true(fake_pg_detached("replica"));
	world_stop();
}

/* Only the primary has it; without the replica nobody but the log can say that. */
static void the_last_one_is_not_given_up(void **state)
{
	(void)state;
	begin();
	world_down(A);
	for (unsigned k = 0; k < 30; k++) {
		some("docs", 4);
		pass_ms(5000);
	}
	assert_false(is_detached(A) || is_detached(B));
	assert_true(fake_pg_log_count() > ROOM_FOR);
	world_up(A);
	world_up(B);
	until_it_is_whole_again(); /* it may have been given up in between */
	finish_without_the_log();
}

static void lanes_in_quarantine_do_not_hold_it_back(void **state)
{
	(void)state;
	world_log_limit(ROOM_FOR * FAKE_RECORD_BYTES);
	world_start();
	made("docs");
	made("notes");
	model_refuse_collection(REPLICA, "notes", 400, true);
	upsert("notes", "a");
	pass_ms(1000);
	assert_int_equal(figures().instances[B].quarantined, 1);
	upsert("notes", "b");
	drop("notes");
	rename_to("docs", "docs2");
	pass_ms(100);
	rename_to("docs2", "docs");
	world_down(B);
	give_up_the_replica();
	assert_int_equal(figures().owed, 0);
	some("docs", 5);
	world_settle();
	world_stop();
}

/* --- its return -------------------------------------------------------------------- */

static void when_it_returns_it_is_made_anew(void **state)
{
	(void)state;
	begin();
	give_up_the_replica();
	made("more");
	add("more", "a,b,c");
	rename_to("docs", "papers");
	world_settle();
	world_up(B);
	some("papers", 3);
	until_it_is_whole_again();
	assert_false(fake_pg_detached("replica"));
	assert_true(wal_current(health_instance(B), named("papers")));
	assert_string_equal(model_items(REPLICA, "more"), "a,b,c");
	take_out("papers", "i1");
	create("last");
	pass_ms(30000);
	finish_without_the_log();
}

static void one_without_its_disk_returns_as_well(void **state)
{
	(void)state;
	begin();
	give_up_the_replica();
	model_wipe(REPLICA);
	world_up(B);
	until_it_is_whole_again();
	pass_ms(30000);
	finish_without_the_log();
}

/* Neither owed to it nor missed by it would be what is being made while it returns. */
static void what_is_made_while_it_returns_is_there(void **state)
{
	(void)state;
	for (unsigned ms = 0; ms < 12; ms++) {
		begin();
		give_up_the_replica();
		model_latency(PRIMARY, 400);
		create("beside");
		create_database("other");
		pass_ms(ms * 40);
		world_up(B);
		create("behind");
		upsert("docs", "z");
		pass_ms(2000);
		add("beside", "a");
		add("behind", "b");
		model_latency(PRIMARY, 3);
		until_it_is_whole_again();
		pass_ms(30000);
		assert_string_equal(model_items(REPLICA, "beside"), "a");
		assert_string_equal(model_items(REPLICA, "behind"), "b");
		finish_without_the_log();
	}
}

static void whoever_dies_while_it_returns_begins_anew(void **state)
{
	(void)state;
	for (unsigned ms = 0; ms < 30; ms++) {
		begin();
		give_up_the_replica();
		model_up(REPLICA);
		some("docs", 2);
		pass_ms(200 + ms * (ms < 20 ? 100 : 7));
		world_crash();
		world_boot();
		world_lead(20000);
		some("docs", 2);
		create("after");
		until_it_is_whole_again();
		pass_ms(30000);
		finish_without_the_log();
	}
}

static void it_may_be_given_up_again(void **state)
{
	(void)state;
	begin();
	give_up_the_replica();
	world_up(B);
	pass_ms(300);
	world_down(B);
	for (unsigned k = 0; k < 40 && !is_detached(B); k++) {
		some("docs", 4);
		pass_ms(5000);
	}
	assert_true(is_detached(B));
	world_up(B);
	until_it_is_whole_again();
	pass_ms(30000);
	finish_without_the_log();
}

/* --- removed ----------------------------------------------------------------------- */

static void one_that_was_removed_is_given_up_with_the_retention(void **state)
{
	unsigned n;

	(void)state;
	world_repairs();
	world_start();
	made("docs");
	fake_pg_add_instance("old", 1);
	some("docs", 20);
	pass_ms(3500000);
	assert_false(fake_pg_detached("old"));
	n = fake_pg_log_count();
	assert_int_equal(n, 21);
	pass_ms(3600000);
	assert_true(fake_pg_detached("old"));
	assert_int_equal(fake_pg_log_count(), 0);
	finish_without_the_log();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(the_log_stays_within_its_limit),
	        world_story(places_are_left_out_and_all_goes_on_after_a_crash),
	        world_story(what_is_old_goes),
	        world_story(an_append_that_finds_no_partition_is_refused_and_one_is_made),
	        world_story(an_append_in_doubt_is_not_passed_by_a_close),
	        world_story(a_cleanup_takes_what_every_instance_has),
	        world_story(a_cleanup_ends_with_the_leadership),
	        world_story(at_the_limit_the_dead_one_is_given_up),
	        world_story(nothing_is_executed_at_it_or_read_from_it),
	        world_story(everything_goes_on_with_the_other),
	        world_story(the_other_is_read_while_it_executes),
	        world_story(it_is_durable),
	        world_story(the_log_is_lost_while_it_is_given_up),
	        world_story(the_last_one_is_not_given_up),
	        world_story(lanes_in_quarantine_do_not_hold_it_back),
	        world_story(when_it_returns_it_is_made_anew),
	        world_story(one_without_its_disk_returns_as_well),
	        world_story(what_is_made_while_it_returns_is_there),
	        world_story(whoever_dies_while_it_returns_begins_anew),
	        world_story(it_may_be_given_up_again),
	        world_story(one_that_was_removed_is_given_up_with_the_retention),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
