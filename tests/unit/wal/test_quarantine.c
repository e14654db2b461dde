/* Stories of lanes that cannot go on: wal/quarantine.c, and of later looks: wal/doubt.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/world.h"
#include "wal/heal.h"

#define PRIMARY world_model(A)
#define REPLICA world_model(B)

struct seen {
	unsigned n;
	struct wal_quarantine last;
};

static void see(void *arg, const struct wal_quarantine *q)
{
	struct seen *seen = arg;

	seen->n++;
	seen->last = *q;
}

static struct seen quarantines(void)
{
	struct seen seen = {0};

	wal_each_quarantine(see, &seen);
	return seen;
}

/* --- begin and what it means -------------------------------------------------------- */

static void an_instance_that_refuses_what_another_took_is_parked(void **state)
{
	struct write *w;
	struct seen seen;

	(void)state;
	world_start();
	w = diverged();
	seen = quarantines();
	assert_int_equal(seen.n, 1);
	assert_ptr_equal(seen.last.in, health_instance(B));
	assert_int_equal(seen.last.seq, w->seq);
	assert_int_equal(seen.last.cause, QUARANTINE_REFUSED);
	assert_int_equal(seen.last.http, 400);
	assert_false(wal_current(health_instance(B), named("docs")));
	assert_true(wal_current(health_instance(A), named("docs")));
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	world_finish();
}

static void everything_else_goes_on(void **state)
{
	struct write *w, *more, *other, *rename, *born;

	(void)state;
	world_start();
	w = diverged();
	more = add("docs", "b");
	other = add("notes", "a");
	rename = rename_to("docs", "papers");
	born = create("mail");
	pass_ms(200);
	assert_decided(more, 201);
	assert_decided(other, 201);
	assert_decided(rename, 200);
	assert_decided(born, 200);
	assert_string_equal(model_items(REPLICA, "notes"), "a");
	assert_non_null(model_collection_id(REPLICA, "mail"));
	assert_null(model_collection_id(REPLICA, "papers"));
	assert_int_equal(quarantines().last.owed, 3);
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	world_settle();
	assert_string_equal(model_items(REPLICA, "papers"), "a,b");
	world_finish();
}

static void the_database_is_not_listed_from_where_a_change_waits(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	w = diverged();
	modify("docs");
	create("mail");
	pass_ms(200);
	assert_false(wal_database_current(health_instance(B), named("docs")->db));
	assert_true(wal_database_current(health_instance(A), named("docs")->db));
	wal_retry(w->seq);
	world_settle();
	assert_true(wal_database_current(health_instance(B), named("docs")->db));
	world_finish();
}

static void it_is_tried_again_by_itself(void **state)
{
	(void)state;
	world_start();
	diverged();
	pass_ms(50000);
	assert_int_equal(quarantines().n, 1);
	pass_ms(15000);
	assert_int_equal(quarantines().n, 0);
	world_finish();
}

static void a_retry_that_fails_parks_it_again(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	w = diverged();
	model_refuse_ids(REPLICA, true);
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	pass_ms(50);
	model_refuse_ids(REPLICA, false);
	assert_int_equal(quarantines().n, 1);
	assert_int_equal(quarantines().last.attempts, 2);
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	world_finish();
}

static void an_unknown_seq_is_not_found(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	w = diverged();
	assert_int_equal(wal_retry(w->seq + 1), STATUS_NOT_FOUND);
	assert_int_equal(wal_skip(w->seq + 1, &(const char *){NULL}), STATUS_NOT_FOUND);
	wal_retry(w->seq);
	world_finish();
}

static const char *error_of(unsigned i)
{
	static struct wal_figures f;

	wal_figures(&f);
	return f.instances[i].last_error;
}

static void the_error_of_an_instance_is_one_of_now(void **state)
{
	struct write *w, *failing;
	char seq[32];

	(void)state;
	world_start();
	made("mail");
	w = diverged();
	snprintf(seq, sizeof(seq), "seq %lld ", (long long)w->seq);
	assert_non_null(strstr(error_of(B), seq));
	assert_string_equal(error_of(A), "");
	model_fault(REPLICA, FAULT_500_BEFORE, 2);
	failing = add("mail", "a");
	pass_ms(150);
	assert_null(strstr(error_of(B), seq));
	pass_ms(1000);
	assert_decided(failing, 201);
	assert_non_null(strstr(error_of(B), seq));
	wal_retry(w->seq);
	pass_ms(100);
	assert_string_equal(error_of(B), "");
	world_finish();
}

/* --- a record is left out ----------------------------------------------------------- */

static void is_skipped(wal_seq seq)
{
	const char *why = NULL;

	assert_int_equal(wal_skip(seq, &why), STATUS_OK);
	assert_null(why);
}

static void cannot_be_skipped(wal_seq seq, const char *because)
{
	const char *why = NULL;

	assert_int_equal(wal_skip(seq, &why), STATUS_CONFLICT);
	assert_non_null(strstr(why, because));
}

static void what_lacks_a_record_differs_until_somebody_says_otherwise(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	w = diverged();
	add("docs", "b");
	pass_ms(20);
	is_skipped(w->seq);
	pass_ms(3600000);
	assert_int_equal(quarantines().n, 1);
	assert_int_equal(quarantines().last.cause, QUARANTINE_DIFFERS);
	assert_int_equal(quarantines().last.owed, 1);
	assert_false(wal_current(health_instance(B), named("docs")));
	cannot_be_skipped(w->seq, "retry");
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	world_settle();
	assert_int_equal(wal_quarantined(), 0);
	assert_string_equal(model_items(PRIMARY, "docs"), "a,b");
	assert_string_equal(model_items(REPLICA, "docs"), "b");
	world_stop();
}

static void that_it_differs_survives_a_restart(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	w = diverged();
	is_skipped(w->seq);
	pass_ms(50);
	world_restart(10000);
	pass_ms(3600000);
	assert_int_equal(quarantines().n, 1);
	assert_int_equal(quarantines().last.cause, QUARANTINE_DIFFERS);
	assert_int_equal(quarantines().last.owed, 0);
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	pass_ms(50);
	assert_int_equal(wal_quarantined(), 0);
	world_stop();
}

static void nothing_is_left_out_of_a_collection_that_is_lost(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_drop_behind_our_back(REPLICA, "docs");
	w = add("docs", "a");
	pass_ms(5000);
	assert_int_equal(quarantines().last.cause, QUARANTINE_LOST);
	cannot_be_skipped(w->seq, "not there");
	assert_false(wal_current(health_instance(B), named("docs")));
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	pass_ms(5000);
	assert_int_equal(quarantines().last.cause, QUARANTINE_LOST);
	drop("docs");
	world_finish();
}

static void nor_is_its_create(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	world_down(B);
	w = create("docs");
	pass_ms(50);
	assert_decided(w, 200);
	model_fault(REPLICA, FAULT_500_BEFORE, 100);
	world_up(B);
	pass_ms(10000);
	model_fault(REPLICA, FAULT_NONE, 0);
	assert_int_equal(quarantines().last.cause, QUARANTINE_FAILING);
	cannot_be_skipped(w->seq, "not there");
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	world_finish();
}

static void what_was_accepted_there_alone_is_in_it_already(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_refuse_ids(PRIMARY, true);
	w = add_embedded("docs", "a", 2, false);
	pass_ms(100);
	model_refuse_ids(PRIMARY, false);
	assert_int_equal(quarantines().last.cause, QUARANTINE_ACCEPTED);
	cannot_be_skipped(w->seq, "retry");
	world_stop();
}

/* --- deletes ------------------------------------------------------------------------ */

static void a_deleted_collection_needs_no_healing(void **state)
{
	struct write *gone, *born;

	(void)state;
	world_start();
	diverged();
	rename_to("docs", "papers");
	add("docs", "b");
	pass_ms(50);
	gone = drop("papers");
	born = create("docs");
	world_settle();
	assert_decided(gone, 200);
	assert_decided(born, 200);
	world_finish();
}

static void nor_does_one_whose_database_is_deleted(void **state)
{
	struct database *db;
	struct collection *c;

	(void)state;
	world_start();
	create_database("east");
	world_settle();
	db = catalogue_database(TENANT_DEFAULT, "east");
	create_in(db, "docs");
	world_settle();
	c = catalogue_named(db, "docs");
	model_refuse_ids(REPLICA, true);
	items(RECORD_ADD, c, "a", 0, false);
	pass_ms(50);
	model_refuse_ids(REPLICA, false);
	assert_int_equal(wal_quarantined(), 1);
	drop_database("east");
	world_finish();
}

static void nor_what_a_reset_takes_away(void **state)
{
	(void)state;
	world_start();
	diverged();
	reset();
	world_finish();
}

/* --- restarts ----------------------------------------------------------------------- */

static void allow_resets(bool yes)
{
	model_allow_reset(PRIMARY, yes);
	model_allow_reset(REPLICA, yes);
}

/* It has no effect anywhere, so nobody waits for it. */
static void a_reset_that_is_refused_passes_it_by(void **state)
{
	struct write *w, *refused;

	(void)state;
	world_start();
	w = diverged();
	allow_resets(false);
	add("docs", "b");
	refused = reset();
	add("docs", "c");
	pass_ms(100);
	assert_decided(refused, 403);
	create("mail");
	pass_ms(100);
	assert_true(wal_current(health_instance(B), named("mail")));
	world_restart(10000);
	refused = reset();
	create("news");
	pass_ms(3000);
	assert_decided(refused, 403);
	assert_true(wal_current(health_instance(B), named("news")));
	assert_int_equal(wal_quarantined(), 1);
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	allow_resets(true);
	world_finish();
}

/* It was refused before the lane was parked, and waits in it. */
static void also_when_it_was_refused_before(void **state)
{
	struct write *w, *refused;

	(void)state;
	world_start();
	made("docs");
	allow_resets(false);
	world_down(B);
	w = add("docs", "a");
	refused = reset();
	add("docs", "b");
	pass_ms(50);
	assert_decided(refused, 403);
	model_refuse_ids(REPLICA, true);
	world_up(B);
	pass_ms(500);
	model_refuse_ids(REPLICA, false);
	assert_int_equal(wal_quarantined(), 1);
	create("mail");
	pass_ms(100);
	assert_true(wal_current(health_instance(B), named("mail")));
	assert_int_equal(wal_retry(w->seq), STATUS_OK);
	allow_resets(true);
	world_finish();
}

/* As the copy has everything up to its place in the log. */
static void and_the_lane_may_jump_over_it(void **state)
{
	(void)state;
	world_start();
	diverged();
	model_refuse_ids(REPLICA, true);
	add("notes", "a"); /* in front of it, too */
	pass_ms(100);
	model_refuse_ids(REPLICA, false);
	assert_int_equal(wal_quarantined(), 2);
	allow_resets(false);
	reset();
	add("docs", "b");
	pass_ms(100);
	assert_int_equal(wal_rebuild(named("docs"), health_instance(B), "asked for"),
	                 STATUS_OK);
	pass_ms(5000);
	assert_int_equal(wal_quarantined(), 1);
	assert_int_equal(wal_rebuild(named("notes"), health_instance(B), "asked for"),
	                 STATUS_OK);
	pass_ms(5000);
	assert_int_equal(wal_quarantined(), 0);
	allow_resets(true);
	world_finish();
}

static void it_survives_a_restart(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	w = diverged();
	add("docs", "b");
	rename_to("docs", "papers");
	create("mail"); /* moves the database's lane past the rename */
	pass_ms(200);
	world_restart(10000);
	pass_ms(200);
	assert_int_equal(quarantines().n, 1);
	assert_int_equal(quarantines().last.seq, w->seq);
	assert_int_equal(quarantines().last.owed, 3);
	assert_string_equal(model_items(REPLICA, "docs"), "");
	add("mail", "c");
	pass_ms(100);
	assert_string_equal(model_items(REPLICA, "mail"), "c");
	wal_retry(w->seq);
	world_settle();
	assert_string_equal(model_items(REPLICA, "papers"), "a,b");
	world_finish();
}

static void what_stood_apart_is_not_done_twice_after_a_restart(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	w = diverged();
	rename_to("docs", "papers");
	create("docs");
	pass_ms(100);
	wal_retry(w->seq);
	pass_ms(100);
	world_restart(10000);
	world_settle();
	world_finish();
}

/* What differs may have begun long before it was found; what was executed since was. */
static void what_was_done_before_it_was_found_is_not_done_again(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	w = add("docs", "a");
	world_settle();
	rename_to("docs", "papers");
	world_settle();
	rename_to("papers", "docs");
	world_settle();
	made("papers");
	assert_true(quarantine_begin(named("docs"), B, w->seq, QUARANTINE_DIFFERS, 0,
	                             "says the test"));
	modify("docs");
	pass_ms(100);
	world_restart(10000);
	assert_int_equal(quarantines().last.seq, w->seq);
	model_forget_trace(REPLICA);
	wal_retry(w->seq);
	world_settle();
	assert_string_equal(model_trace(REPLICA), "modify docs; ");
	world_finish();
}

static void a_row_that_cannot_be_written_is_written_later(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_refuse_ids(REPLICA, true);
	w = add("docs", "a");
	fake_pg_refuse("quarantine", 2);
	pass_ms(50);
	model_refuse_ids(REPLICA, false);
	pass_ms(5000);
	world_restart(10000);
	assert_int_equal(quarantines().n, 1);
	wal_retry(w->seq);
	world_finish();
}

/* --- other causes ------------------------------------------------------------------- */

static void one_that_fails_while_others_go_on_is_parked(void **state)
{
	(void)state;
	world_start();
	made("docs");
	made("notes");
	model_fault(REPLICA, FAULT_500_BEFORE, 100);
	add("docs", "a");
	pass_ms(10000);
	model_fault(REPLICA, FAULT_NONE, 0);
	assert_int_equal(quarantines().n, 1);
	assert_int_equal(quarantines().last.cause, QUARANTINE_FAILING);
	add("notes", "b");
	pass_ms(100);
	assert_string_equal(model_items(REPLICA, "notes"), "b");
	wal_retry(quarantines().last.seq);
	world_finish();
}

static void what_another_decides_is_tried_here_at_once(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	world_down(A);
	model_drop_behind_our_back(REPLICA, "docs");
	w = add("docs", "a");
	pass_ms(60000); /* by now the replica's turn rests for long */
	assert_false(w->ended);
	world_up(A);
	pass_ms(500);
	assert_decided(w, 201);
	assert_int_equal(quarantines().n, 1);
	assert_int_equal(quarantines().last.cause, QUARANTINE_LOST);
	drop("docs");
	world_finish();
}

static void a_refusal_that_one_instance_takes_is_a_divergence(void **state)
{
	struct write *w;

	(void)state;
	world_start();
	made("docs");
	model_refuse_ids(PRIMARY, true);
	w = add_embedded("docs", "a", 2, false);
	pass_ms(100);
	model_refuse_ids(PRIMARY, false);
	assert_decided(w, 400);
	assert_int_equal(quarantines().n, 1);
	assert_int_equal(quarantines().last.cause, QUARANTINE_ACCEPTED);
	assert_ptr_equal(quarantines().last.in, health_instance(B));
	pass_ms(3600000);
	assert_int_equal(quarantines().n, 1); /* no waiting makes it equal */
	world_stop();
}

/* --- later looks -------------------------------------------------------------------- */

static void what_was_in_doubt_is_looked_at_later_and_is_well(void **state)
{
	unsigned before;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_LOST_AFTER, 1);
	add("docs", "a");
	world_settle();
	before = model_calls(PRIMARY);
	pass_ms(65000);
	assert_int_equal(model_calls(PRIMARY), before + 1);
	pass_ms(640000);
	assert_int_equal(model_calls(PRIMARY), before + 2);
	pass_ms(2000000);
	assert_int_equal(model_calls(PRIMARY), before + 2);
	world_finish();
}

static void a_doubt_survives_a_restart(void **state)
{
	unsigned before;

	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_LOST_AFTER, 1);
	add("docs", "a");
	world_settle();
	world_restart(10000);
	before = model_calls(PRIMARY);
	pass_ms(65000);
	assert_int_equal(model_calls(PRIMARY), before + 1);
	world_finish();
}

/* A request arrives at the primary that we have given up. */
static void arrives_late(const char *verb, const char *body)
{
	char target[256];

	snprintf(target, sizeof(target),
	         "/api/v2/tenants/default_tenant/databases/default_database/collections/"
	         "%s/%s",
	         model_collection_id(PRIMARY, "docs"), verb);
	model_execute(PRIMARY, "POST", target, body, strlen(body), NULL);
}

static const char late_item[] = "{\"ids\":[\"a\"],\"metadatas\":[{\"late\":\"yes\"}]}";

/* Of what the primary was sent the answer is lost; then the item is deleted. */
static void begin_late(void)
{
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_LOST_BEFORE, 1);
	add("docs", "a");
	world_settle();
	take_out("docs", "a");
	world_settle();
}

static void assert_found_late(void)
{
	struct seen now = quarantines();

	assert_int_equal(now.n, 1);
	assert_ptr_equal(now.last.in, health_instance(A));
	assert_int_equal(now.last.cause, QUARANTINE_DIFFERS);
	assert_false(wal_current(health_instance(A), named("docs")));
	assert_true(wal_current(health_instance(B), named("docs")));
}

static void what_arrived_late_is_found(void **state)
{
	(void)state;
	begin_late();
	arrives_late("add", late_item);
	pass_ms(65000);
	assert_found_late();
	world_stop();
}

/* By its vector alone, if it is nothing else. */
static void a_vector_that_arrived_late_is_found(void **state)
{
	(void)state;
	world_start();
	made("docs");
	model_fault(PRIMARY, FAULT_LOST_BEFORE, 1);
	add_embedded("docs", "a", 2, false);
	world_settle();
	arrives_late("update", "{\"ids\":[\"a\"],\"embeddings\":[[7,7]]}");
	pass_ms(65000);
	assert_found_late();
	world_stop();
}

static void what_arrived_late_is_found_when_the_other_is_back(void **state)
{
	(void)state;
	begin_late();
	arrives_late("add", late_item);
	pass_ms(50000);
	world_down(B);
	pass_ms(30000);
	assert_int_equal(quarantines().n, 0);
	world_up(B);
	pass_ms(60000);
	assert_found_late();
	world_stop();
}

/* One has the first of two changes, and waits until that is durable, the other has both:
 * that is no difference. */
static void a_late_look_compares_those_that_are_equally_far(void **state)
{
	(void)state;
	for (msec shift = 0; shift < 400; shift += 25) {
		world_start();
		world_merges(true); /* then each change is seen in the item */
		made("docs");
		model_fault(PRIMARY, FAULT_LOST_AFTER, 1);
		add("docs", "a");
		world_settle();
		pass_ms(55000 + shift);
		model_latency(REPLICA, 100);
		fake_pg_delay(60);
		for (unsigned n = 0; n < 20; n++) {
			upsert("docs", "a");
			upsert("docs", "a");
			pass_ms(400);
		}
		assert_int_equal(quarantines().n, 0);
		model_latency(REPLICA, 1);
		fake_pg_delay(2);
		world_finish();
	}
}

/* Else it would be there for good, and have the name of the next one. */
static void a_create_that_may_be_there_is_found_before_it_is_deleted(void **state)
{
	static const msec until_the_delete[] = {500,
	                                        5000}; /* before, after it is parked */

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		world_start();
		model_fault(world_model(A), FAULT_500_AFTER, 6);
		create("docs");
		pass_ms(until_the_delete[k]);
		drop("docs");
		pass_ms(30000);
		create("docs");
		world_finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        world_story(an_instance_that_refuses_what_another_took_is_parked),
	        world_story(everything_else_goes_on),
	        world_story(the_database_is_not_listed_from_where_a_change_waits),
	        world_story(it_is_tried_again_by_itself),
	        world_story(a_retry_that_fails_parks_it_again),
	        world_story(an_unknown_seq_is_not_found),
	        world_story(the_error_of_an_instance_is_one_of_now),
	        world_story(what_lacks_a_record_differs_until_somebody_says_otherwise),
	        world_story(that_it_differs_survives_a_restart),
	        world_story(nothing_is_left_out_of_a_collection_that_is_lost),
	        world_story(nor_is_its_create),
	        world_story(what_was_accepted_there_alone_is_in_it_already),
	        world_story(a_deleted_collection_needs_no_healing),
	        world_story(nor_does_one_whose_database_is_deleted),
	        world_story(nor_what_a_reset_takes_away),
	        world_story(a_reset_that_is_refused_passes_it_by),
	        world_story(also_when_it_was_refused_before),
	        world_story(and_the_lane_may_jump_over_it),
	        world_story(it_survives_a_restart),
	        world_story(what_stood_apart_is_not_done_twice_after_a_restart),
	        world_story(what_was_done_before_it_was_found_is_not_done_again),
	        world_story(a_row_that_cannot_be_written_is_written_later),
	        world_story(one_that_fails_while_others_go_on_is_parked),
	        world_story(what_another_decides_is_tried_here_at_once),
	        world_story(a_refusal_that_one_instance_takes_is_a_divergence),
	        world_story(what_was_in_doubt_is_looked_at_later_and_is_well),
	        world_story(a_doubt_survives_a_restart),
	        world_story(what_arrived_late_is_found),
	        world_story(a_vector_that_arrived_late_is_found),
	        world_story(what_arrived_late_is_found_when_the_other_is_back),
	        world_story(a_late_look_compares_those_that_are_equally_far),
	        world_story(a_create_that_may_be_there_is_found_before_it_is_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
